//! Pools over windows: mean, maximum (the first one takes the cotangent), sum; with their reverse passes.

use super::layer::Pooling;
use super::window::Windows;
use crate::number::{Real, Work};
use std::sync::Arc;

/// A pool of `width` vectors at each position.
#[derive(Debug, Clone)]
pub struct Pool {
    /// What each output position sees.
    pub windows: Arc<Windows>,
    /// Mean, maximum or sum.
    pub pooling: Pooling,
}

impl Pool {
    /// Factor of the sum.
    fn factor(&self) -> f64 {
        if self.pooling == Pooling::Avg { 1.0 / self.windows.taps as f64 } else { 1.0 }
    }

    /// Writes y from u.
    pub fn forward<R: Real>(&self, width: usize, u: &[R], y: &mut [R]) {
        R::vectorize(Forward { pool: self, width, u, y });
    }

    /// Adds to the cotangent of u that of y carried back.
    pub fn pull<R: Real>(&self, width: usize, u: &[R], above: &[R], below: &mut [R]) {
        R::vectorize(Pull { pool: self, width, u, above, below });
    }
}

struct Forward<'a, R> {
    pool: &'a Pool,
    width: usize,
    u: &'a [R],
    y: &'a mut [R],
}

impl<R: Real> Work for Forward<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let factor = R::splat(self.pool.factor());
        let (taps, width) = (self.pool.windows.taps, self.width);
        let windows = self.pool.windows.table.chunks_exact(taps);
        for (y, window) in self.y.chunks_exact_mut(width).zip(windows) {
            y.copy_from_slice(&self.u[window[0] as usize * width..][..width]);
            for &position in &window[1..] {
                let u = &self.u[position as usize * width..][..width];
                for (y, u) in y.iter_mut().zip(u) {
                    *y = if self.pool.pooling == Pooling::Max { y.blend(*u, y.less(*u)) } else { *y + *u };
                }
            }
            for y in y {
                *y = *y * factor;
            }
        }
    }
}

struct Pull<'a, R> {
    pool: &'a Pool,
    width: usize,
    u: &'a [R],
    above: &'a [R],
    below: &'a mut [R],
}

impl<R: Real> Pull<'_, R> {
    /// The lanes of one vector in which the largest number was found are passed over in the rest of the window.
    #[inline(always)]
    fn pull_to_largest(&mut self, window: &[u32], above: R, v: usize) {
        let width = self.width;
        let mut largest = self.u[window[0] as usize * width + v];
        for &position in &window[1..] {
            let u = self.u[position as usize * width + v];
            largest = largest.blend(u, largest.less(u));
        }
        let mut open = R::all_lanes();
        for &position in window {
            let n = position as usize * width + v;
            let here = open & !self.u[n].less(largest);
            self.below[n] += R::zero().blend(above, here);
            open &= !here;
        }
    }
}

impl<R: Real> Work for Pull<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run(mut self) {
        let pool = self.pool;
        let (factor, width) = (R::splat(pool.factor()), self.width);
        for (window, above) in pool.windows.table.chunks_exact(pool.windows.taps).zip(self.above.chunks_exact(width)) {
            if pool.pooling == Pooling::Max {
                for v in 0..width {
                    self.pull_to_largest(window, above[v], v);
                }
                continue;
            }
            for &position in window {
                let below = &mut self.below[position as usize * width..][..width];
                for (below, above) in below.iter_mut().zip(above) {
                    *below = above.mul_add(factor, *below);
                }
            }
        }
    }
}
