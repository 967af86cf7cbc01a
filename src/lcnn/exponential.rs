//! L-Exp: U_mu -> exp(sum_i b_mu,i TA(W_i)) U_mu; W stays.
//!
//! With F' the cotangent above, A = sum_i b_mu,i TA(W_i) and Lambda = J(-A) F': F = exp(-A) F' exp(A),
//! Wbar_i = METRIC sum_mu b_mu,i Lambda_mu, dS/db_mu,i = sum_x <Lambda_mu, TA(W_i)>.

use crate::concept::Configuration;
use crate::field::{self, SiteKernel, SumKernel};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::map::pull_exponential;
use crate::matrix::{Algebra, Matrix};
use crate::number::Real;

fn generator<R: Real, const N: usize>(b: &[R], u: &GaugeField<R, N>, w: &[Matrix<R, N>]) -> LinkAlgebra<R, N> {
    let mut a = u.zero();
    field::for_each::<R, _, _>(&Generator { b, w }, u.lattice().ndim(), &mut a.elements);
    a
}

/// The links after the layer.
pub fn forward<R: Real, const N: usize>(b: &[R], u: &GaugeField<R, N>, w: &[Matrix<R, N>]) -> GaugeField<R, N> {
    let mut image = u.clone();
    image.drift(1.0, &mut generator(b, u, w));
    image
}

/// Replaces the cotangent of the links above by that below, adds to the cotangent of W; the derivative with respect to b.
pub fn pull<R: Real, const N: usize>(
    b: &[R],
    u: &GaugeField<R, N>,
    w: &[Matrix<R, N>],
    cotangent: &mut [Matrix<R, N>],
    links: &mut LinkAlgebra<R, N>,
) -> Vec<R::Total> {
    let (below, lambda) = pull_exponential(&generator(b, u, w), links);
    *links = below;
    let kernel = Reverse { b, w, lambda: &lambda.elements, ndim: u.lattice().ndim() };
    let channels = cotangent.len() / u.lattice().vectors();
    field::for_each_summed::<R, _, _>(&kernel, channels, cotangent, b.len())
}

struct Generator<'a, R, const N: usize> {
    b: &'a [R],
    w: &'a [Matrix<R, N>],
}

impl<R: Real, const N: usize> SiteKernel<R, Algebra<R, N>> for Generator<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, links: &mut [Algebra<R, N>]) -> R {
        let c = self.b.len() / links.len();
        for (link, b) in links.iter_mut().zip(self.b.chunks_exact(c)) {
            *link = Algebra::zero();
            for (b, w) in b.iter().zip(&self.w[vector * c..]) {
                *link = link.add_scaled(*b, &w.algebra_part());
            }
        }
        R::zero()
    }
}

struct Reverse<'a, R, const N: usize> {
    b: &'a [R],
    w: &'a [Matrix<R, N>],
    lambda: &'a [Algebra<R, N>],
    ndim: usize,
}

impl<R: Real, const N: usize> SumKernel<R, Matrix<R, N>> for Reverse<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), sums: &mut [R], vector: usize, cotangents: &mut [Matrix<R, N>]) {
        let c = cotangents.len();
        let metric = R::splat(Algebra::<R, N>::METRIC);
        for mu in 0..self.ndim {
            let lambda = &self.lambda[vector * self.ndim + mu];
            for (i, cotangent) in cotangents.iter_mut().enumerate() {
                let scaled = lambda.scale(self.b[mu * c + i] * metric);
                cotangent.add_assign(&scaled.to_matrix());
                sums[mu * c + i] += lambda.inner(&self.w[vector * c + i].algebra_part());
            }
        }
    }
}
