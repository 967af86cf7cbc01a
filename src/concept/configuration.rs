//! Fields that molecular dynamics can move, and the vector space of their momenta and forces.

use crate::number::Real;
use crate::random::Draws;

/// What an action of a field is: `f64`, or a `Dual` of it.
pub type Number<Q> = <<Q as Configuration>::Scalar as Real>::Total;

/// Momenta, forces and cotangents of a field: one vector space with the metric in which momenta are standard normal.
pub trait Tangent: Clone + Send + Sync {
    /// What an inner product is.
    type Number: Real;
    /// `self += a x`.
    fn axpy(&mut self, a: f64, x: &Self);
    /// <self, other>.
    fn inner(&self, other: &Self) -> Self::Number;
    /// Largest norm of one link, site or spin; NaN if one is NaN.
    fn largest(&self) -> f64;
    /// How many links, sites or spins there are.
    fn count(&self) -> usize;
}

/// A field that molecular dynamics can move.
pub trait Configuration: Clone + Send + Sync {
    /// The number that the field is made of.
    type Scalar: Real;
    /// Momenta conjugate to the field; forces live in the same space.
    type Tangent: Tangent<Number = Number<Self>>;
    /// The zero of the tangent space.
    fn zero(&self) -> Self::Tangent;
    /// Momenta with density exp(-<p, p>/2).
    fn noise(&self, draws: Draws) -> Self::Tangent;
    /// Moves the field along the momenta for time `step`; on spheres the momenta turn with it.
    fn drift(&mut self, step: f64, momenta: &mut Self::Tangent);
    /// Removes rounding errors that take the field off its manifold.
    fn restore(&mut self);
}

/// Kinetic energy <p, p>/2.
pub fn kinetic<T: Tangent>(momenta: &T) -> T::Number {
    momenta.inner(momenta) * T::Number::splat(0.5)
}
