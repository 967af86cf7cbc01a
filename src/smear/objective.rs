//! What networks are trained on: functions of a mapped field and their derivatives with respect to the coefficients.
//!
//! An action after the map, the distance of the mapped field to a target field, and p-norms of the force of an action after
//! the map. The last needs a second derivative, d/dtheta <F, G> = d/deps dS/dtheta at exp(eps G) U: the dual part of an
//! ordinary reverse pass.

use super::{Map, Mapped, displaced};
use crate::action::{Configuration, force};
use crate::dual::Dual;
use crate::error::{Error, Result};
use crate::field::{self, SiteKernel};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::matrix::{Algebra, Matrix};
use crate::real::Real;

/// Largest exponent of a force norm.
pub const MAX_POWER: u32 = 16;

/// A number and its derivative with respect to the coefficients of a map.
#[derive(Debug, Clone)]
pub struct Objective<T> {
    /// The number.
    pub value: T,
    /// Its derivative.
    pub gradient: Vec<T>,
}

/// S(map(q)).
pub fn action<Q: Configuration>(mapped: &Mapped<Q>, q: &Q) -> Result<Objective<Q::Number>> {
    let image = mapped.map.forward(q)?;
    let (_, gradient) = mapped.map.pullback(q, &force(&*mapped.action, &image)?)?;
    Ok(Objective { value: mapped.action.value(&image)?, gradient })
}

/// Mean over links of |map(U) - V|^2 in the Frobenius norm.
pub fn distance<R: Real, const N: usize>(
    map: &dyn Map<GaugeField<R, N>>,
    u: &GaugeField<R, N>,
    target: &GaugeField<R, N>,
) -> Result<Objective<R::Total>> {
    let image = map.forward(u)?;
    let per_link = 1.0 / (u.lattice().volume() * u.lattice().ndim()) as f64;
    let mut cotangent = u.zero_momenta();
    let kernel = Distance { image: image.links(), target: target.links(), factor: per_link };
    let sum = field::for_each::<R, _, _>(&kernel, u.lattice().ndim(), &mut cotangent.elements);
    let (_, gradient) = map.pullback(u, &cotangent)?;
    Ok(Objective { value: sum * R::Total::splat(per_link), gradient })
}

/// Mean over links of |F - target|^p, F the force of the action after the map, |F|^2 = <F, F>, p even.
///
/// `dual` is the same action after the same map, for dual numbers.
pub fn force_norm<R: Real, const N: usize>(
    mapped: &Mapped<GaugeField<R, N>>,
    dual: &Mapped<GaugeField<Dual<R>, N>>,
    u: &GaugeField<R, N>,
    target: Option<&LinkAlgebra<R, N>>,
    power: u32,
) -> Result<Objective<R::Total>> {
    if !(2..=MAX_POWER).contains(&power) || power % 2 == 1 {
        return Err(Error::value(format!(
            "force norm of power {power}: allowed are the even numbers 2 to {MAX_POWER}"
        )));
    }
    let mut direction = force(mapped, u)?;
    if let Some(target) = target {
        u.add_momenta(&mut direction, -1.0, target);
    }
    let per_link = 1.0 / (u.lattice().volume() * u.lattice().ndim()) as f64;
    let kernel = Norm { power, factor: per_link };
    let sum = field::for_each::<R, _, _>(&kernel, u.lattice().ndim(), &mut direction.elements);
    let slope = action(dual, &displaced(u, &direction))?;
    Ok(Objective { value: sum * R::Total::splat(per_link), gradient: slope.gradient.iter().map(|g| g.eps).collect() })
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
