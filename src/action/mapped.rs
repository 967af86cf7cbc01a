//! An action after a map is an action: S(map(q)), its force pulled back.

use crate::concept::{Action, Auxiliary, Configuration, Drawn, Effort, Map, Number, Tangent, unused};
use crate::error::Result;
use crate::random::Draws;
use std::sync::Arc;

/// S(map(q)).
pub struct Mapped<Q> {
    /// S.
    pub action: Arc<dyn Action<Q>>,
    /// The map.
    pub map: Arc<dyn Map<Q>>,
    /// Its parameters.
    pub theta: Arc<[f64]>,
}

impl<Q: Configuration + 'static> Action<Q> for Mapped<Q> {
    fn auxiliaries(&self) -> usize {
        self.action.auxiliaries()
    }

    fn draw(&self, q: &Q, draws: Draws, effort: &mut Effort) -> Result<Drawn<Q>> {
        match self.auxiliaries() {
            0 => Ok(Drawn { fields: Vec::new(), value: None }),
            _ => self.action.draw(&self.map.forward(&self.theta, q)?, draws, effort),
        }
    }

    fn value(&self, q: &Q, phi: &[Auxiliary<Q>], effort: &mut Effort) -> Result<Number<Q>> {
        self.action.value(&self.map.forward(&self.theta, q)?, phi, effort)
    }

    fn kick(&self, q: &Q, phi: &[Auxiliary<Q>], step: f64, p: &mut Q::Tangent, effort: &mut Effort) -> Result<()> {
        let (image, tape) = self.map.record(&self.theta, q)?;
        let mut above = image.zero();
        self.action.kick(&image, phi, -1.0, &mut above, effort)?;
        p.axpy(-step, &self.map.pullback(&self.theta, q, &tape, &above, None)?);
        Ok(())
    }

    fn derivatives(
        &self,
        q: &Q,
        phi: &[Auxiliary<Q>],
        gradient: &mut [Number<Q>],
        effort: &mut Effort,
    ) -> Result<(Number<Q>, Q::Tangent)> {
        let (image, tape) = self.map.record(&self.theta, q)?;
        let (value, above) = self.action.derivatives(&image, phi, &mut unused(&*self.action), effort)?;
        Ok((value, self.map.pullback(&self.theta, q, &tape, &above, Some(gradient))?))
    }

    fn n_parameters(&self) -> usize {
        self.theta.len()
    }

    fn with_parameters(&self, theta: &[f64]) -> Option<Arc<dyn Action<Q>>> {
        Some(Arc::new(Self { action: self.action.clone(), map: self.map.clone(), theta: theta.into() }))
    }
}
