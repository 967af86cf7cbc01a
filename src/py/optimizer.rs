//! Python: the optimisers of [`crate::nn`].

use crate::error::{Error, Result};
use crate::nn::{Optimizer, Rule, Schedule, State};
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1, PyReadwriteArray1};
use pyo3::prelude::*;

type Array1<'py> = Bound<'py, PyArray1<f64>>;

/// A rule with its schedule and state.
#[pyclass(module = "plaq._plaq")]
pub(super) struct OptimizerCore {
    pub(super) inner: Optimizer,
}

fn rule(name: &str, options: &[f64]) -> Result<Rule> {
    match (name, options) {
        ("sgd", [momentum, nesterov]) => Ok(Rule::Sgd { momentum: *momentum, nesterov: *nesterov != 0.0 }),
        ("adam", [b1, b2, epsilon, decay]) => Ok(Rule::Adam { betas: [*b1, *b2], epsilon: *epsilon, decay: *decay }),
        ("amsgrad", [b1, b2, epsilon, decay]) => {
            Ok(Rule::AmsGrad { betas: [*b1, *b2], epsilon: *epsilon, decay: *decay })
        }
        _ => Err(Error::value(format!(
            "rule \"{name}\" with {options:?}: allowed are sgd (2 numbers), adam and amsgrad (4 numbers)"
        ))),
    }
}

pub(super) fn schedule(name: &str, options: &[f64]) -> Result<Schedule> {
    match (name, options) {
        ("constant", []) => Ok(Schedule::Constant),
        ("cosine", [steps, floor]) => Ok(Schedule::Cosine { steps: *steps as u64, floor: *floor }),
        ("warm_up", [steps, total, floor]) => {
            Ok(Schedule::WarmUp { steps: *steps as u64, total: *total as u64, floor: *floor })
        }
        ("step", [every, factor]) => Ok(Schedule::Step { every: *every as u64, factor: *factor }),
        _ => {
            let text = "allowed are constant, cosine (2 numbers), warm_up (3), step (2)";
            Err(Error::value(format!("schedule \"{name}\" with {options:?}: {text}")))
        }
    }
}

#[pymethods]
impl OptimizerCore {
    #[new]
    fn new(
        rule_name: &str,
        rule_options: Vec<f64>,
        schedule_name: &str,
        schedule_options: Vec<f64>,
        learning_rate: f64,
        n_parameters: usize,
    ) -> PyResult<Self> {
        let rule = rule(rule_name, &rule_options)?;
        let schedule = schedule(schedule_name, &schedule_options)?;
        Ok(Self { inner: Optimizer::new(rule, learning_rate, schedule, n_parameters)? })
    }

    /// One step, in place.
    fn update(
        &mut self,
        mut parameters: PyReadwriteArray1<'_, f64>,
        gradient: PyReadonlyArray1<'_, f64>,
    ) -> PyResult<()> {
        Ok(self.inner.update(parameters.as_slice_mut()?, gradient.as_slice()?)?)
    }

    #[getter]
    fn learning_rate(&self) -> f64 {
        self.inner.current_rate()
    }

    #[getter]
    fn step(&self) -> u64 {
        self.inner.state().step
    }

    /// (step, first moment, second moment)
    fn state<'py>(&self, py: Python<'py>) -> (u64, Array1<'py>, Array1<'py>) {
        let state = self.inner.state();
        (state.step, state.first.clone().into_pyarray(py), state.second.clone().into_pyarray(py))
    }

    fn restore(
        &mut self,
        step: u64,
        first: PyReadonlyArray1<'_, f64>,
        second: PyReadonlyArray1<'_, f64>,
    ) -> PyResult<()> {
        let (first, second) = (first.as_array().to_vec(), second.as_array().to_vec());
        Ok(self.inner.restore(State { step, first, second })?)
    }
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<OptimizerCore>()
}
