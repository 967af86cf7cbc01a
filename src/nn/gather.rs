//! Windows on a lattice whose vectors hold sites: the channels of all neighbours of a site vector side by side, lanes moved.

use crate::lattice::{Displacement, Lattice, Shift};
use crate::number::{Permutation, Real, Work};

/// For each tap of a window, where it lies.
#[derive(Debug, Clone)]
pub struct Gather {
    taps: Vec<Tap>,
}

#[derive(Debug, Clone)]
struct Tap {
    to: Shift,
    moves: Vec<Permutation>,
    back: Vec<Permutation>,
}

impl Gather {
    /// Taps at these displacements.
    pub fn new(lattice: &Lattice, displacements: &[Displacement]) -> Self {
        let moves: Vec<_> = (0..lattice.lanes()).map(|n| *lattice.permutation(n)).collect();
        let invert = |permutation: &Permutation| {
            let mut inverse = *permutation;
            for lane in 0..lattice.lanes() {
                inverse[usize::from(permutation[lane])] = lane as u8;
            }
            inverse
        };
        let back: Vec<_> = moves.iter().map(invert).collect();
        let tap = |d: &Displacement| Tap { to: lattice.shift(*d), moves: moves.clone(), back: back.clone() };
        Self { taps: displacements.iter().map(tap).collect() }
    }

    /// Number of taps.
    pub fn taps(&self) -> usize {
        self.taps.len()
    }

    /// Writes y `[site vector][tap][channel]`.
    pub fn forward<R: Real>(&self, channels: usize, u: &[R], y: &mut [R]) {
        R::vectorize(Forward { gather: self, channels, u, y });
    }

    /// Adds to the cotangent of u that of y carried back.
    pub fn pull<R: Real>(&self, channels: usize, above: &[R], below: &mut [R]) {
        R::vectorize(Pull { gather: self, channels, above, below });
    }
}

struct Forward<'a, R> {
    gather: &'a Gather,
    channels: usize,
    u: &'a [R],
    y: &'a mut [R],
}

impl<R: Real> Work for Forward<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (vector, y) in self.y.chunks_exact_mut(self.channels * self.gather.taps()).enumerate() {
            for (tap, y) in self.gather.taps.iter().zip(y.chunks_exact_mut(self.channels)) {
                let to = tap.to[vector];
                let u = &self.u[to.site() * self.channels..][..self.channels];
                if to.permutation() == 0 {
                    y.copy_from_slice(u);
                    continue;
                }
                let permutation = &tap.moves[to.permutation()];
                for (y, u) in y.iter_mut().zip(u) {
                    *y = u.permute(permutation);
                }
            }
        }
    }
}

struct Pull<'a, R> {
    gather: &'a Gather,
    channels: usize,
    above: &'a [R],
    below: &'a mut [R],
}

impl<R: Real> Work for Pull<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (vector, above) in self.above.chunks_exact(self.channels * self.gather.taps()).enumerate() {
            for (tap, above) in self.gather.taps.iter().zip(above.chunks_exact(self.channels)) {
                let to = tap.to[vector];
                let below = &mut self.below[to.site() * self.channels..][..self.channels];
                let permutation = &tap.back[to.permutation()];
                for (below, above) in below.iter_mut().zip(above) {
                    *below += if to.permutation() == 0 { *above } else { above.permute(permutation) };
                }
            }
        }
    }
}
