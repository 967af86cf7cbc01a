//! The input: products along closed loops that start at each site, and their reverse pass.
//!
//! A variation of the k-th link of W = E_1 .. E_n gives dS = Re tr(M_k delta) with M = W Wbar^dagger carried along the loop to
//! that link, the sign of a link passed backwards being negative: F -= +-TA(M_k) / METRIC.

use super::wires::Wires;
use crate::field::{self, SiteKernel};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::lattice::{Lattice, MAX_DIMENSIONS};
use crate::lattice::{Path, Program, WeightedPath, path};
use crate::matrix::{Algebra, Matrix};
use crate::number::Real;
use std::sync::Arc;

/// The loops, in the order of the channels: plaquettes of all mu < nu, then lines around the lattice.
pub fn loops(extents: &[usize], plaquettes: bool, polyakov: &[usize]) -> Vec<Path> {
    let planes = path::planes(if plaquettes { extents.len() } else { 0 });
    let squares = planes.map(|(mu, nu)| path::rectangle(mu, nu, 1, 1));
    squares.chain(polyakov.iter().map(|&mu| vec![mu as i8 + 1; extents[mu]])).collect()
}

fn programs(lattice: &Arc<Lattice>, loops: &[Path]) -> Vec<Program> {
    let unit = |path: &Path| [WeightedPath { weight: 1.0, path: path.clone() }];
    loops.iter().map(|path| Program::new(lattice, [0; MAX_DIMENSIONS], &unit(path))).collect()
}

/// W of every site.
pub fn forward<R: Real, const N: usize>(loops: &[Path], u: &GaugeField<R, N>) -> Vec<Matrix<R, N>> {
    let programs = programs(u.lattice(), loops);
    let mut w = field::zeros(u.lattice().vectors() * loops.len());
    field::for_each::<R, _, _>(&Products { programs: &programs, links: u.links() }, loops.len(), &mut w);
    w
}

/// Adds to the cotangent of the links.
pub fn pull<R: Real, const N: usize>(
    loops: &[Path],
    u: &GaugeField<R, N>,
    w: &[Matrix<R, N>],
    cotangent: &[Matrix<R, N>],
    links: &mut LinkAlgebra<R, N>,
) {
    let wires = Wires::new(u);
    for (channel, path) in loops.iter().enumerate() {
        let mut moment = field::zeros(u.lattice().vectors());
        let kernel = Moment { w, cotangent, channels: loops.len(), channel };
        field::for_each::<R, _, _>(&kernel, 1, &mut moment);
        for &step in path {
            if step > 0 {
                add_to_links(step, &moment, links);
            }
            moment = wires.carry(&[-step], 1, &moment, true);
            if step < 0 {
                add_to_links(step, &moment, links);
            }
        }
    }
}

fn add_to_links<R: Real, const N: usize>(step: i8, moment: &[Matrix<R, N>], links: &mut LinkAlgebra<R, N>) {
    let factor = -f64::from(step.signum()) / Algebra::<R, N>::METRIC;
    let kernel = AddMoment { mu: path::direction(step), factor, moment };
    field::for_each::<R, _, _>(&kernel, links.lattice.ndim(), &mut links.elements);
}

struct Products<'a, R, const N: usize> {
    programs: &'a [Program],
    links: &'a [Matrix<R, N>],
}

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for Products<'_, R, N> {
    type Scratch = Vec<Vec<Matrix<R, N>>>;
    fn scratch(&self) -> Self::Scratch {
        self.programs.iter().map(Program::scratch).collect()
    }
    #[inline(always)]
    fn at(&self, scratch: &mut Self::Scratch, vector: usize, w: &mut [Matrix<R, N>]) -> R {
        for ((program, slots), w) in self.programs.iter().zip(scratch).zip(w) {
            program.run(self.links, slots, vector);
            *w = slots[0];
        }
        R::zero()
    }
}

/// M = W Wbar^dagger.
struct Moment<'a, R, const N: usize> {
    w: &'a [Matrix<R, N>],
    cotangent: &'a [Matrix<R, N>],
    channels: usize,
    channel: usize,
}

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for Moment<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, moment: &mut [Matrix<R, N>]) -> R {
        let n = vector * self.channels + self.channel;
        moment[0] = self.w[n].mul_adjoint(&self.cotangent[n]);
        R::zero()
    }
}

struct AddMoment<'a, R, const N: usize> {
    mu: usize,
    factor: f64,
    moment: &'a [Matrix<R, N>],
}

impl<R: Real, const N: usize> SiteKernel<R, Algebra<R, N>> for AddMoment<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, links: &mut [Algebra<R, N>]) -> R {
        links[self.mu] = links[self.mu].add_scaled(R::splat(self.factor), &self.moment[vector].algebra_part());
        R::zero()
    }
}
