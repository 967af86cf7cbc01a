//! Gauge actions S = sum_i c_i sum_x sum_{loops of family i} (1 - Re tr W / N): Wilson, improved, and any list of loops.

use crate::concept::{Action, Auxiliary, Effort};
use crate::error::Result;
use crate::field::{self, Measure, SiteKernel};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::lattice::{Lattice, MAX_DIMENSIONS};
use crate::lattice::{Program, WeightedPath, program};
use crate::matrix::{Algebra, Matrix};
use crate::number::Real;
use std::sync::Arc;

/// A gauge action given by its loops; the coefficients are in the weights.
#[derive(Debug, Clone)]
pub struct LoopAction {
    loops: Vec<WeightedPath>,
    lattice: Arc<Lattice>,
    staples: Vec<Program>,
    traces: Program,
    weight: f64,
}

impl LoopAction {
    /// Prepares the action for fields on `lattice`.
    pub fn new(lattice: &Arc<Lattice>, loops: Vec<WeightedPath>) -> Self {
        Self {
            staples: program::staple_programs(lattice, &loops),
            traces: Program::new(lattice, [0; MAX_DIMENSIONS], &loops),
            weight: loops.iter().map(|l| l.weight).sum(),
            lattice: lattice.clone(),
            loops,
        }
    }

    /// The loops with their coefficients.
    pub fn loops(&self) -> &[WeightedPath] {
        &self.loops
    }

    /// For every direction the program that sums the staples of its links.
    pub fn staples(&self) -> &[Program] {
        &self.staples
    }
}

impl<R: Real, const N: usize> Action<GaugeField<R, N>> for LoopAction {
    fn value(&self, field: &GaugeField<R, N>, _: &[Auxiliary<GaugeField<R, N>>], _: &mut Effort) -> Result<R::Total> {
        let kernel = Traces { program: &self.traces, links: field.links() };
        let (_, sum) = field::measure(&kernel, self.lattice.vectors());
        Ok(R::Total::splat(self.weight * self.lattice.volume() as f64) - sum * R::Total::splat(1.0 / N as f64))
    }

    /// F = sum_staples c TA(U V) / (N METRIC), from dS = -(c/N) Re tr(delta U V) = <F, delta>.
    fn kick(
        &self,
        field: &GaugeField<R, N>,
        _: &[Auxiliary<GaugeField<R, N>>],
        step: f64,
        momenta: &mut LinkAlgebra<R, N>,
        _: &mut Effort,
    ) -> Result<()> {
        let factor = -step / (N as f64 * Algebra::<R, N>::METRIC);
        kick(&self.staples, field, (1.0, factor), momenta);
        Ok(())
    }
}

struct Traces<'a, R, const N: usize> {
    program: &'a Program,
    links: &'a [Matrix<R, N>],
}

impl<R: Real, const N: usize> Measure<R> for Traces<'_, R, N> {
    type Scratch = Vec<Matrix<R, N>>;
    fn scratch(&self) -> Self::Scratch {
        self.program.scratch()
    }
    #[inline(always)]
    fn at(&self, slots: &mut Self::Scratch, vector: usize) -> R {
        self.program.run(self.links, slots, vector);
        slots[0].trace().re
    }
}

/// a <- keep a + factor TA(U V) on every link, V the sum of staples of the program of its direction.
pub(crate) fn kick<R: Real, const N: usize>(
    staples: &[Program],
    field: &GaugeField<R, N>,
    (keep, factor): (f64, f64),
    momenta: &mut LinkAlgebra<R, N>,
) {
    let kernel = Kick { staples, links: field.links(), keep, factor };
    field::for_each::<R, _, _>(&kernel, staples.len(), &mut momenta.elements);
}

/// Working memory for any of the programs.
pub(crate) fn scratch<R: Real, const N: usize>(staples: &[Program]) -> Vec<Matrix<R, N>> {
    let slots = staples.iter().map(|p| p.scratch::<R, N>().len()).max();
    field::zeros(slots.unwrap_or(1))
}

struct Kick<'a, R, const N: usize> {
    staples: &'a [Program],
    links: &'a [Matrix<R, N>],
    keep: f64,
    factor: f64,
}

impl<R: Real, const N: usize> SiteKernel<R, Algebra<R, N>> for Kick<'_, R, N> {
    type Scratch = Vec<Matrix<R, N>>;
    fn scratch(&self) -> Self::Scratch {
        scratch(self.staples)
    }
    #[inline(always)]
    fn at(&self, slots: &mut Self::Scratch, vector: usize, momenta: &mut [Algebra<R, N>]) -> R {
        let ndim = momenta.len();
        for (mu, momentum) in momenta.iter_mut().enumerate() {
            self.staples[mu].run(self.links, slots, vector);
            let force = self.links[vector * ndim + mu].mul(&slots[0]).algebra_part();
            *momentum = momentum.scale(R::splat(self.keep)).add_scaled(R::splat(self.factor), &force);
        }
        R::zero()
    }
}
