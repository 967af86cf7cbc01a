//! Low modes taken out of a residual: the Galerkin solution of a system in the space of some vectors, which need not be eigenvectors.

use super::lanczos::orthonormal;
use crate::concept::LinearOperator;
use crate::error::{Error, Result};
use crate::field::Vector;
use crate::interrupt;
use crate::number::Real;
use faer::prelude::Solve;
use faer::{Mat, Side};
use num_complex::Complex64;

/// Part of |v|^2 that is left of a vector beside the others, below which it says nothing new.
const NOTHING_NEW: f64 = 1e-8;

/// A space W with its images: `x += W (L^dagger A W)^-1 L^dagger r`, L = W where A is positive and solved as it is, else L = A W, which
/// makes the new residual orthogonal to L.
pub struct Deflation<R> {
    vectors: Vec<Vector<R>>,
    left: Option<Vec<Vector<R>>>,
    inverse: Mat<Complex64>,
}

impl<R: Real<Total = f64>> Deflation<R> {
    /// Of an operator, positive and solved as it is or not; vectors that depend on the others are left out.
    pub fn new(a: &dyn LinearOperator<R>, positive: bool, candidates: impl Iterator<Item = Vector<R>>) -> Result<Self> {
        let vectors = orthonormal(candidates, NOTHING_NEW)?;
        let mut images = Vec::with_capacity(vectors.len());
        for v in &vectors {
            interrupt::poll()?;
            let mut image = Vector::zero(&v.space);
            a.apply(v, &mut image);
            images.push(image);
        }
        let left = if positive { &vectors } else { &images };
        let count = vectors.len();
        let matrix = Mat::from_fn(count, count, |i, j| Complex64::from(left[i].inner(&images[j])));
        let Ok(factors) = matrix.llt(Side::Lower) else {
            return Err(Error::value("the operator is singular in the space of the vectors of deflate"));
        };
        let inverse = factors.solve(Mat::<Complex64>::identity(count, count));
        let left = (!positive).then_some(images);
        Ok(Self { vectors, left, inverse })
    }

    /// Adds to `x` what the residual `r` says of the space, in columns with a goal.
    pub(super) fn improve(&self, x: &mut Vector<R>, r: &Vector<R>, goals: &[f64]) {
        let left = self.left.as_ref().unwrap_or(&self.vectors);
        let along: Vec<Vec<Complex64>> =
            left.iter().map(|v| v.inner_each(r).into_iter().map(Complex64::from).collect()).collect();
        for (j, w) in self.vectors.iter().enumerate() {
            let step: Vec<_> = (0..r.space.columns)
                .map(|column| match goals[column].is_infinite() {
                    true => Complex64::ZERO,
                    false => (0..left.len()).map(|i| self.inverse[(j, i)] * along[i][column]).sum(),
                })
                .collect();
            x.combine(&[Complex64::ONE], &step, w);
        }
    }
}
