//! What networks are trained on: functions of a mapped field and their derivatives with respect to the coefficients.
//!
//! An action after the map, the distance of the mapped field to a target field, and p-norms of the force of an action after
//! the map. The last needs a second derivative, d/dtheta <F, G> = d/deps dS/dtheta at exp(eps G) U: the dual part of an
//! ordinary reverse pass.

use super::displaced;
pub use crate::concept::Objective;
use crate::concept::{Action, Configuration, Effort, Map, Number, Tangent as _, force, unused};
use crate::error::{Error, Result};
use crate::field::{self, SiteKernel};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::matrix::{Algebra, Matrix};
use crate::number::Dual;
use crate::number::Real;

/// Largest exponent of a force norm.
pub const MAX_POWER: u32 = 16;

/// A map with its coefficients.
pub struct At<'a, Q> {
    /// The map.
    pub map: &'a dyn Map<Q>,
    /// The coefficients.
    pub theta: &'a [f64],
}

impl<Q: Configuration> At<'_, Q> {
    /// The value of `above` at the image and its derivative: `above` gives the number and its cotangent.
    fn pull(&self, q: &Q, above: impl FnOnce(&Q) -> Result<(Number<Q>, Q::Tangent)>) -> Result<Objective<Number<Q>>> {
        let (image, tape) = self.map.record(self.theta, q)?;
        let (value, cotangent) = above(&image)?;
        let mut gradient = vec![Number::<Q>::zero(); self.theta.len()];
        self.map.pullback(self.theta, q, &tape, &cotangent, Some(&mut gradient))?;
        Ok(Objective { value, gradient })
    }
}

/// S(map(q)).
pub fn action<Q: Configuration>(action: &dyn Action<Q>, map: &At<'_, Q>, q: &Q) -> Result<Objective<Number<Q>>> {
    map.pull(q, |image| action.derivatives(image, &[], &mut unused(action), &mut Effort::default()))
}

/// Mean over links of |map(U) - V|^2 in the Frobenius norm.
pub fn distance<R: Real, const N: usize>(
    map: &At<'_, GaugeField<R, N>>,
    u: &GaugeField<R, N>,
    target: &GaugeField<R, N>,
) -> Result<Objective<R::Total>> {
    let per_link = per_link(u);
    map.pull(u, |image| {
        let mut cotangent = u.zero();
        let kernel = Distance { image: image.links(), target: target.links(), factor: per_link };
        let sum = field::for_each::<R, _, _>(&kernel, u.lattice().ndim(), &mut cotangent.elements);
        Ok((sum * R::Total::splat(per_link), cotangent))
    })
}

fn per_link<R: Real, const N: usize>(u: &GaugeField<R, N>) -> f64 {
    1.0 / (u.lattice().volume() * u.lattice().ndim()) as f64
}

/// A force norm: the map and the action for numbers and for dual numbers.
pub struct ForceNorm<'a, R: Real, const N: usize> {
    /// The action.
    pub action: &'a dyn Action<GaugeField<R, N>>,
    /// The map.
    pub map: At<'a, GaugeField<R, N>>,
    /// The same action for dual numbers.
    pub dual_action: &'a dyn Action<GaugeField<Dual<R>, N>>,
    /// The same map for dual numbers.
    pub dual_map: At<'a, GaugeField<Dual<R>, N>>,
    /// p, even.
    pub power: u32,
}

impl<R: Real, const N: usize> ForceNorm<'_, R, N> {
    /// Mean over links of |F - target|^p, F the force of the action after the map, |F|^2 = <F, F>.
    pub fn at(&self, u: &GaugeField<R, N>, target: Option<&LinkAlgebra<R, N>>) -> Result<Objective<R::Total>> {
        let power = self.power;
        if !(2..=MAX_POWER).contains(&power) || power % 2 == 1 {
            return Err(Error::value(format!(
                "force norm of power {power}: allowed are the even numbers 2 to {MAX_POWER}"
            )));
        }
        let (image, tape) = self.map.map.record(self.map.theta, u)?;
        let above = force(self.action, &image)?;
        let mut direction = self.map.map.pullback(self.map.theta, u, &tape, &above, None)?;
        if let Some(target) = target {
            direction.axpy(-1.0, target);
        }
        let per_link = per_link(u);
        let kernel = Norm { power, factor: per_link };
        let sum = field::for_each::<R, _, _>(&kernel, u.lattice().ndim(), &mut direction.elements);
        let slope = action(self.dual_action, &self.dual_map, &displaced(u, &direction))?;
        let gradient = slope.gradient.iter().map(|g| g.eps).collect();
        Ok(Objective { value: sum * R::Total::splat(per_link), gradient })
    }
}

/// |U - V|^2 and its force (2 / METRIC) TA(U V^dagger), from d|U - V|^2 = -2 Re tr(delta U V^dagger).
struct Distance<'a, R, const N: usize> {
    image: &'a [Matrix<R, N>],
    target: &'a [Matrix<R, N>],
    factor: f64,
}

impl<R: Real, const N: usize> SiteKernel<R, Algebra<R, N>> for Distance<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, cotangents: &mut [Algebra<R, N>]) -> R {
        let (first, mut sum) = (vector * cotangents.len(), R::zero());
        for (mu, cotangent) in cotangents.iter_mut().enumerate() {
            let (u, v) = (&self.image[first + mu], &self.target[first + mu]);
            sum += u.add(&v.scale(R::splat(-1.0))).norm2();
            let factor = R::splat(2.0 * self.factor / Algebra::<R, N>::METRIC);
            *cotangent = u.mul_adjoint(v).algebra_part().scale(factor);
        }
        sum
    }
}

/// F -> factor p |F|^(p-2) F, the derivative of factor |F|^p, which is summed without its factor.
struct Norm {
    power: u32,
    factor: f64,
}

impl<R: Real, const N: usize> SiteKernel<R, Algebra<R, N>> for Norm {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), _vector: usize, forces: &mut [Algebra<R, N>]) -> R {
        let mut sum = R::zero();
        for force in forces {
            let square = force.inner(force);
            let mut lower = R::one();
            for _ in 1..self.power / 2 {
                lower = lower * square;
            }
            sum += lower * square;
            *force = force.scale(lower * R::splat(self.factor * f64::from(self.power)));
        }
        sum
    }
}
