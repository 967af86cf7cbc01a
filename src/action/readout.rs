//! A weighted sum of the numbers that a readout gives is an action.

use crate::concept::{Action, Auxiliary, Configuration, Effort, Number, Readout, Tangent};
use crate::error::{Error, Result};
use crate::number::Real;
use std::sync::Arc;

/// sum_i w_i y_i(q).
pub struct ReadoutAction<Q> {
    /// y.
    pub readout: Arc<dyn Readout<Q>>,
    /// Its parameters.
    pub theta: Arc<[f64]>,
    /// w.
    pub weights: Arc<[f64]>,
}

impl<Q: Configuration> ReadoutAction<Q> {
    fn check(&self, outputs: usize) -> Result<()> {
        match outputs == self.weights.len() {
            true => Ok(()),
            false => Err(Error::value(format!(
                "the network gives {outputs} numbers for this field; {} weights are given",
                self.weights.len()
            ))),
        }
    }

    fn sum(&self, outputs: Vec<Number<Q>>) -> Result<Number<Q>> {
        self.check(outputs.len())?;
        let terms = outputs.into_iter().zip(self.weights.iter());
        Ok(terms.fold(Number::<Q>::zero(), |sum, (y, &w)| sum + y * Number::<Q>::splat(w)))
    }
}

impl<Q: Configuration + 'static> Action<Q> for ReadoutAction<Q> {
    fn value(&self, q: &Q, _phi: &[Auxiliary<Q>], _effort: &mut Effort) -> Result<Number<Q>> {
        self.sum(self.readout.record(&self.theta, q)?.0)
    }

    fn kick(&self, q: &Q, _phi: &[Auxiliary<Q>], step: f64, p: &mut Q::Tangent, _effort: &mut Effort) -> Result<()> {
        let (outputs, tape) = self.readout.record(&self.theta, q)?;
        self.check(outputs.len())?;
        let mut force = q.zero();
        self.readout.pullback(&self.theta, q, &tape, &self.weights, Some(&mut force), None)?;
        p.axpy(-step, &force);
        Ok(())
    }

    fn derivatives(
        &self,
        q: &Q,
        _phi: &[Auxiliary<Q>],
        gradient: &mut [Number<Q>],
        _effort: &mut Effort,
    ) -> Result<(Number<Q>, Q::Tangent)> {
        let (outputs, tape) = self.readout.record(&self.theta, q)?;
        let (value, mut force) = (self.sum(outputs)?, q.zero());
        self.readout.pullback(&self.theta, q, &tape, &self.weights, Some(&mut force), Some(gradient))?;
        Ok((value, force))
    }

    fn n_parameters(&self) -> usize {
        self.theta.len()
    }

    fn with_parameters(&self, theta: &[f64]) -> Option<Arc<dyn Action<Q>>> {
        let (readout, weights) = (self.readout.clone(), self.weights.clone());
        Some(Arc::new(Self { readout, theta: theta.into(), weights }))
    }
}
