//! Changes of variables described by plain data, compiled for the field they meet; parameters are handed in.

use super::action::AnyAction;
use super::cache::Cache;
use super::compile::transformation;
use super::network::{algebra_of, each};
use super::spec::TransformSpec;
use super::storage::{AnyGauge, Capability, with_gauge};
use crate::concept::{Action, Bijection, InverseInfo, Map};
use crate::error::{Error, Result};
use crate::gauge::GaugeField;
use crate::lattice::Lattice;
use crate::map::Transformation;
use crate::map::force_size::{ForceSize, NewVariables};
use crate::map::objective::Objective;
use crate::number::Real;
use num_complex::Complex64;
use std::sync::Arc;

/// A change of variables that compiles itself for a field and keeps the result for the next one like it.
pub struct AnyTransformation {
    spec: TransformSpec,
    compiled: Cache,
}

/// Staples of each coefficient of each layer.
pub fn staples(spec: &TransformSpec, ndim: usize) -> Result<Vec<Vec<f64>>> {
    Ok(transformation(spec, &Lattice::new(&vec![4; ndim], 1)?)?.staples())
}

impl AnyTransformation {
    /// A change of variables from its description.
    pub fn new(spec: TransformSpec) -> Self {
        Self { spec, compiled: Cache::default() }
    }

    /// `work` with the change of variables for fields like this one.
    fn with<R: Real, const N: usize, T>(
        &self,
        u: &GaugeField<R, N>,
        theta: &[f64],
        work: impl FnOnce(&Transformation) -> Result<T>,
    ) -> Result<T> {
        if const { !Capability::Transformation.of(N) } {
            return Err(Capability::Transformation.missing(N));
        }
        let map = self.compiled.get(u.lattice(), || transformation(&self.spec, u.lattice()))?;
        let needed = Map::<GaugeField<R, N>>::n_parameters(&*map);
        match needed == theta.len() {
            true => work(&map),
            false => Err(Error::value(format!("{} parameters given; {needed} are needed", theta.len()))),
        }
    }

    /// U = F(V).
    pub fn forward(&self, v: &AnyGauge, theta: &[f64]) -> Result<AnyGauge> {
        with_gauge!(v, v => self.with(v, theta, |map| Ok(map.forward(theta, v)?.into())))
    }

    /// log det F'(V).
    pub fn log_det(&self, v: &AnyGauge, theta: &[f64]) -> Result<f64> {
        with_gauge!(v, v => self.with(v, theta, |map| Ok(map.record_log_det(theta, v)?.1)))
    }

    /// V with F(V) = U.
    pub fn inverse(&self, u: &AnyGauge, theta: &[f64]) -> Result<(AnyGauge, InverseInfo)> {
        with_gauge!(u, u => self.with(u, theta, |map| {
            let (v, info) = map.inverse(theta, u)?;
            Ok((v.into(), info))
        }))
    }

    /// Of S(F(V)) + weight log det, from the cotangent `[mu, x.., a, b]` of S at F(V): that at V, and the parameters' derivative.
    pub fn pullback(
        &self,
        v: &AnyGauge,
        theta: &[f64],
        cotangent: &[Complex64],
        weight: f64,
    ) -> Result<(Vec<Complex64>, Vec<f64>)> {
        with_gauge!(v, v => self.with(v, theta, |map| {
            let (_, tape) = map.record(theta, v)?;
            let mut gradient = vec![0.0; theta.len()];
            let above = algebra_of(v, cotangent)?;
            let below = map.pullback_log_det(theta, v, &tape, &above, weight, Some(&mut gradient))?;
            Ok((below.to_array(), gradient))
        }))
    }

    /// The size of the force of S(F(V)) - log det F' less that of `target` at V = F^{-1}(U), for every U, with its derivative.
    pub fn force_size(
        &self,
        fields: &[Arc<AnyGauge>],
        theta: &[f64],
        (action, target): (&AnyAction, Option<&AnyAction>),
        size: &ForceSize,
    ) -> Result<Vec<Objective<f64>>> {
        if action.spec().is_supplied() {
            return Err(Error::value(
                "the size of a force needs an action made of loops; of a Custom action only the force is known",
            ));
        }
        each(fields.len(), &|n| with_gauge!(&*fields[n], u => self.one_force_size(u, theta, (action, target), size)))
    }

    fn one_force_size<R: Real<Total = f64>, const N: usize>(
        &self,
        u: &GaugeField<R, N>,
        theta: &[f64],
        (action, target): (&AnyAction, Option<&AnyAction>),
        size: &ForceSize,
    ) -> Result<Objective<f64>> {
        self.with(u, theta, |map| {
            let dual_action = action.at_dual::<R, N>(u.lattice())?;
            let target = target.map(|target| target.at(u)).transpose()?;
            let action = action.at(u)?;
            let new = NewVariables { action: &**action, map, dual_action: &**dual_action, dual_map: map, theta };
            new.size(u, target.as_ref().map(|target| &***target as &dyn Action<_>), size)
        })
    }
}
