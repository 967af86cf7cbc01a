//! An action after a map is an action: S(map(U)), its force pulled back.

use super::Map;
use crate::action::{Action, Configuration, force};
use crate::error::Result;

/// S(map(q)).
pub struct Mapped<Q> {
    /// S.
    pub action: Box<dyn Action<Q>>,
    /// The map.
    pub map: Box<dyn Map<Q>>,
}

impl<Q: Configuration> Action<Q> for Mapped<Q> {
    fn value(&self, q: &Q) -> Result<Q::Number> {
        self.action.value(&self.map.forward(q)?)
    }

    fn kick(&self, q: &Q, step: f64, momenta: &mut Q::Momenta) -> Result<()> {
        let above = force(&*self.action, &self.map.forward(q)?)?;
        let below = self.map.cotangent(q, &above)?;
        q.add_momenta(momenta, -step, &below);
        Ok(())
    }
}
