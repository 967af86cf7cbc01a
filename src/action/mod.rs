//! Actions: field -> real number, with value and force.

pub mod custom;
mod loops;

pub use custom::{ActionSpec, LinkFunction, LoopSpec};
pub use loops::LoopAction;
pub(crate) use loops::{kick, scratch};

use crate::error::Result;
use crate::real::Real;

/// A field that molecular dynamics can move.
pub trait Configuration: Clone + Send + Sync {
    /// What an action of this field is: `f64`, or a `Dual` of it.
    type Number: Real;
    /// Momenta conjugate to the field; forces live in the same space.
    type Momenta: Send + Sync;
    /// Zero momenta.
    fn zero_momenta(&self) -> Self::Momenta;
    /// The same momenta again.
    fn copy_momenta(&self, momenta: &Self::Momenta) -> Self::Momenta {
        let mut copy = self.zero_momenta();
        self.add_momenta(&mut copy, 1.0, momenta);
        copy
    }
    /// `momenta += factor * other`.
    fn add_momenta(&self, momenta: &mut Self::Momenta, factor: f64, other: &Self::Momenta);
    /// Momenta with density exp(-kinetic), from the stream (seed, momenta, sweep).
    fn draw_momenta(&self, seed: u64, sweep: u64) -> Self::Momenta;
    /// Kinetic energy.
    fn kinetic(momenta: &Self::Momenta) -> Self::Number;
    /// Moves the field along the momenta for time `step`.
    fn drift(&mut self, step: f64, momenta: &Self::Momenta);
    /// Removes rounding errors that take the field off its manifold.
    fn restore(&mut self);
}

/// A function of a field, with its force.
pub trait Action<Q: Configuration>: Send + Sync {
    /// S(q).
    fn value(&self, q: &Q) -> Result<Q::Number>;
    /// p <- p - step F(q), where dS = <F, dq>.
    fn kick(&self, q: &Q, step: f64, momenta: &mut Q::Momenta) -> Result<()>;
}

/// The force F itself.
pub fn force<Q: Configuration>(action: &dyn Action<Q>, q: &Q) -> Result<Q::Momenta> {
    let mut force = q.zero_momenta();
    action.kick(q, -1.0, &mut force)?;
    Ok(force)
}

/// A sum of actions is an action.
pub struct Sum<Q>(pub Vec<Box<dyn Action<Q>>>);

impl<Q: Configuration> Action<Q> for Sum<Q> {
    fn value(&self, q: &Q) -> Result<Q::Number> {
        self.0.iter().try_fold(Q::Number::zero(), |sum, action| Ok(sum + action.value(q)?))
    }
    fn kick(&self, q: &Q, step: f64, momenta: &mut Q::Momenta) -> Result<()> {
        self.0.iter().try_for_each(|action| action.kick(q, step, momenta))
    }
}
