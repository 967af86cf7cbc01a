//! The size of the force of an action in new variables, S(F(V)) - log det F', and its derivative with respect to the parameters.
//!
//! Configurations U are pulled back to V = F^{-1}(U) (arXiv 2201.01862). Sizes are p-norms, the largest, and the log-mean-exp over
//! links (2405.19692); d/dtheta <F, G> is the dual part of the reverse pass at exp(eps G) V.

use super::displaced;
use super::objective::Objective;
use crate::concept::{Action, Bijection, Tangent as _, force};
use crate::error::{Error, Result};
use crate::field::{self, ItemKernel};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::matrix::Algebra;
use crate::number::{Dual, Real};
use serde::Deserialize;

/// A weighted sum of sizes of f_l = |F_l|, l the links.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForceSize {
    /// (p, weight) of (mean f^p)^(1/p).
    pub norms: Vec<(f64, f64)>,
    /// Weight of the largest f.
    pub largest: f64,
    /// Weight of ln mean exp f.
    pub log_mean_exp: f64,
}

impl ForceSize {
    /// The size, and its derivative with respect to every f.
    fn of(&self, f: &[f64]) -> (f64, Vec<f64>) {
        let count = f.len() as f64;
        let top = f.iter().copied().fold(0.0, |a: f64, b| if b > a || b.is_nan() { b } else { a });
        let (mut size, mut slope) = (self.largest * top, vec![0.0; f.len()]);
        if top == 0.0 {
            return (size, slope);
        }
        for &(p, weight) in &self.norms {
            let mean = f.iter().map(|f| (f / top).powf(p)).sum::<f64>() / count;
            let norm = mean.powf(1.0 / p);
            size += weight * top * norm;
            let factor = weight * norm.powf(1.0 - p) / count;
            slope.iter_mut().zip(f).for_each(|(slope, f)| *slope += factor * (f / top).powf(p - 1.0));
        }
        if let Some(l) = f.iter().position(|f| *f == top) {
            slope[l] += self.largest;
        }
        if self.log_mean_exp != 0.0 {
            let sum: f64 = f.iter().map(|f| (f - top).exp()).sum();
            size += self.log_mean_exp * (top + (sum / count).ln());
            let factor = self.log_mean_exp / sum;
            slope.iter_mut().zip(f).for_each(|(slope, f)| *slope += factor * (f - top).exp());
        }
        (size, slope)
    }

    /// The size, and its derivative in place of the force.
    fn turn<R: Real, const N: usize>(&self, force: &mut LinkAlgebra<R, N>) -> f64 {
        let ndim = force.lattice.ndim();
        let mut squares: Vec<R> = field::zeros(force.elements.len());
        field::update::<R, _>(&Square(&force.elements), ndim, &mut squares);
        let f: Vec<f64> = squares.iter().flat_map(|s| (0..R::LANES).map(|k| s.lane(k).sqrt())).collect();
        let (size, slope) = self.of(&f);
        let over: Vec<f64> = slope.iter().zip(&f).map(|(slope, f)| if *f > 0.0 { slope / f } else { 0.0 }).collect();
        field::update::<R, _>(&Scale(&over), ndim, &mut force.elements);
        size
    }
}

struct Square<'a, R, const N: usize>(&'a [Algebra<R, N>]);

impl<R: Real, const N: usize> ItemKernel<R> for Square<'_, R, N> {
    #[inline(always)]
    fn at(&self, n: usize, square: &mut R) {
        *square = self.0[n].inner(&self.0[n]);
    }
}

/// Times one number for every lane.
struct Scale<'a>(&'a [f64]);

impl<R: Real, const N: usize> ItemKernel<Algebra<R, N>> for Scale<'_> {
    #[inline(always)]
    fn at(&self, n: usize, element: &mut Algebra<R, N>) {
        let factors = &self.0[n * R::LANES..(n + 1) * R::LANES];
        *element = element.scale(R::from_lanes(|k| factors[k]));
    }
}

/// An action in new variables, for numbers and for dual numbers.
pub struct NewVariables<'a, R: Real, const N: usize> {
    /// S.
    pub action: &'a dyn Action<GaugeField<R, N>>,
    /// F.
    pub map: &'a dyn Bijection<GaugeField<R, N>>,
    /// S for dual numbers.
    pub dual_action: &'a dyn Action<GaugeField<Dual<R>, N>>,
    /// F for dual numbers.
    pub dual_map: &'a dyn Bijection<GaugeField<Dual<R>, N>>,
    /// Parameters of F.
    pub theta: &'a [f64],
}

impl<R: Real<Total = f64>, const N: usize> NewVariables<'_, R, N> {
    /// The size of the force at V = F^{-1}(u), less the force of `target` at V, and its derivative.
    pub fn size(
        &self,
        u: &GaugeField<R, N>,
        target: Option<&dyn Action<GaugeField<R, N>>>,
        size: &ForceSize,
    ) -> Result<Objective<f64>> {
        let theta = self.theta;
        let (v, _) = self.map.inverse(theta, u)?;
        let (image, tape) = self.map.record(theta, &v)?;
        let above = force(self.action, &image)?;
        let mut direction = self.map.pullback_log_det(theta, &v, &tape, &above, -1.0, None)?;
        if let Some(target) = target {
            direction.axpy(-1.0, &force(target, &v)?);
        }
        let value = size.turn(&mut direction);
        if !value.is_finite() {
            return Err(Error::value(
                "the force in the new variables is not finite: links hold NaN or are not unitary",
            ));
        }
        let moved = displaced(&v, &direction);
        let (image, tape) = self.dual_map.record(theta, &moved)?;
        let above = force(self.dual_action, &image)?;
        let mut slopes = vec![Dual::zero(); theta.len()];
        self.dual_map.pullback_log_det(theta, &moved, &tape, &above, -1.0, Some(&mut slopes))?;
        Ok(Objective { value, gradient: slopes.into_iter().map(|slope| slope.eps).collect() })
    }
}
