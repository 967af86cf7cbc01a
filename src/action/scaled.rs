//! A number times an action is an action; the number can be a parameter.

use crate::concept::{Action, Auxiliary, Configuration, Drawn, Effort, Number, Tangent};
use crate::error::{Error, Result};
use crate::number::Real;
use crate::random::Draws;
use std::sync::Arc;

/// coefficient S(q; phi).
pub struct Scaled<Q> {
    /// S.
    pub action: Arc<dyn Action<Q>>,
    /// The factor.
    pub coefficient: f64,
    /// Whether the factor is a parameter; it comes before those of S.
    pub trainable: bool,
}

impl<Q: Configuration> Scaled<Q> {
    fn own(&self) -> usize {
        usize::from(self.trainable)
    }
}

impl<Q: Configuration + 'static> Action<Q> for Scaled<Q> {
    fn auxiliaries(&self) -> usize {
        self.action.auxiliaries()
    }

    /// Actions of auxiliary fields are quadratic in them, so that phi / sqrt(coefficient) has the right distribution.
    fn draw(&self, q: &Q, draws: Draws, effort: &mut Effort) -> Result<Drawn<Q>> {
        let mut drawn = self.action.draw(q, draws, effort)?;
        if !drawn.fields.is_empty() && self.coefficient <= 0.0 {
            let c = self.coefficient;
            return Err(Error::value(format!("{c} times an action with pseudofermions: the factor must be positive")));
        }
        drawn.fields.iter_mut().for_each(|phi| phi.scale(self.coefficient.powf(-0.5)));
        // The noise tells the part that is quadratic in phi; what else there is (a log det) is scaled.
        drawn.value = drawn.value.filter(|_| self.coefficient == 1.0);
        Ok(drawn)
    }

    fn value(&self, q: &Q, phi: &[Auxiliary<Q>], effort: &mut Effort) -> Result<Number<Q>> {
        Ok(self.action.value(q, phi, effort)? * Number::<Q>::splat(self.coefficient))
    }

    fn kick(&self, q: &Q, phi: &[Auxiliary<Q>], step: f64, p: &mut Q::Tangent, effort: &mut Effort) -> Result<()> {
        self.action.kick(q, phi, step * self.coefficient, p, effort)
    }

    fn derivatives(
        &self,
        q: &Q,
        phi: &[Auxiliary<Q>],
        gradient: &mut [Number<Q>],
        effort: &mut Effort,
    ) -> Result<(Number<Q>, Q::Tangent)> {
        let c = Number::<Q>::splat(self.coefficient);
        let mut inner = vec![Number::<Q>::zero(); self.action.n_parameters()];
        let (value, slope) = self.action.derivatives(q, phi, &mut inner, effort)?;
        let (first, rest) = gradient.split_at_mut(self.own());
        first.iter_mut().for_each(|g| *g += value);
        rest.iter_mut().zip(inner).for_each(|(g, part)| *g += part * c);
        let mut force = q.zero();
        force.axpy(self.coefficient, &slope);
        Ok((value * c, force))
    }

    fn n_parameters(&self) -> usize {
        self.own() + self.action.n_parameters()
    }

    fn with_parameters(&self, theta: &[f64]) -> Option<Arc<dyn Action<Q>>> {
        let (first, rest) = theta.split_at(self.own());
        let action = self.action.with_parameters(rest).unwrap_or_else(|| self.action.clone());
        let coefficient = first.first().copied().unwrap_or(self.coefficient);
        Some(Arc::new(Self { action, coefficient, trainable: self.trainable }))
    }
}
