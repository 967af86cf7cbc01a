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

/// Part of |v|^2 that is left of a vector beside the others, below which it says nothing new: solutions one after another of a
/// trajectory differ by little.
const NOTHING_NEW: f64 = 1e-14;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::concept::Normal;
    use crate::dirac::{DiracSpec, Family, Whole};
    use crate::gauge::GaugeField;
    use crate::lattice::Lattice;
    use crate::random::{Draws, Purpose};

    /// A Galerkin solution leaves a residual that is orthogonal to the space on the left, in every column.
    #[test]
    fn the_residual_is_orthogonal_to_the_space() {
        let lattice = Lattice::new(&[4, 6], 1).unwrap();
        let u = GaugeField::<f64, 2>::hot(lattice.clone(), 3);
        let spec =
            DiracSpec::Wilson { mass: Some(0.1), kappa: None, csw: 0.0, mu: 0.0, boundary: Vec::new(), spatial: 1.0 };
        let quark = Family::<f64>::new(&spec, &lattice).unwrap().on(&u).unwrap();
        let whole = Whole(&*quark as &dyn crate::dirac::Quark<f64>);
        let normal = Normal::new(&whole);
        let random = |seed: u64, columns: usize| {
            let space = quark.space().with_columns(columns);
            let stream = Draws::new(seed, 0).stream(Purpose::Pseudofermion);
            let values = (0..lattice.volume() * space.width()).map(|n| {
                let [[re, im]] = stream.normals::<f64, 1>([n as u64], 0);
                Complex64::new(re, im)
            });
            Vector::<f64>::from_array(&space, &values.collect::<Vec<_>>())
        };
        let b = random(1, 2);
        for (a, positive) in [(&normal as &dyn LinearOperator<f64>, true), (&whole, false)] {
            // The last one is made of two others.
            let mut vectors: Vec<_> = (2..6).map(|seed| random(seed, 1)).collect();
            let mut sum = vectors[0].clone();
            sum.axpy(0.5, &vectors[2]);
            vectors.push(sum);
            let low = Deflation::new(a, positive, vectors.into_iter()).unwrap();
            assert_eq!(low.vectors.len(), 4);
            let mut x = Vector::zero(&b.space);
            low.improve(&mut x, &b, &[0.0, 0.0]);
            let mut r = Vector::zero(&b.space);
            a.apply(&x, &mut r);
            r.axpy(-1.0, &b);
            for v in low.left.as_ref().unwrap_or(&low.vectors) {
                let scale = (v.norm2() * b.norm2()).sqrt();
                for product in v.inner_each(&r) {
                    assert!(Complex64::from(product).norm() < 1e-12 * scale, "positive: {positive}, {product:?}");
                }
            }
            let before = x.norms();
            low.improve(&mut x, &b, &[f64::INFINITY, 0.0]);
            assert_eq!(x.norms()[0], before[0], "a column that is done has moved");
        }
    }
}
