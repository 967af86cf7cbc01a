//! Actions described by plain data and compiled for the field they meet.

use super::cache::Cache;
use super::compile::Described;
use super::spec::ActionSpec;
use super::storage::{AnyGauge, with_gauge};
use crate::concept::{Action, Configuration, force, value};
use crate::error::{Error, Result};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::lattice::Lattice;
use crate::number::{Dual, Real};
use crate::scalar::ScalarField;
use num_complex::Complex64;
use std::any::Any;
use std::sync::Arc;

/// An action of links with derivatives.
type DualAction<R, const N: usize> = Box<dyn Action<GaugeField<Dual<R>, N>>>;

/// An action that compiles itself for a field and keeps the result for the next one like it.
pub struct AnyAction {
    spec: ActionSpec,
    compiled: Cache,
    dual: Cache,
}

/// A force in the storage of its field.
#[derive(Clone)]
pub struct KeptForce(Arc<dyn Any + Send + Sync>);

impl KeptForce {
    /// The force, if it is that of a field of this storage.
    pub fn get<R: Real, const N: usize>(&self) -> Result<&LinkAlgebra<R, N>> {
        self.0
            .downcast_ref()
            .ok_or_else(|| Error::value("the target is the force of a field of another group or storage"))
    }
}

impl AnyAction {
    /// An action from its description.
    pub fn new(spec: ActionSpec) -> Self {
        Self { spec, compiled: Cache::default(), dual: Cache::default() }
    }

    /// The description.
    pub fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    /// The typed action for fields like this one.
    pub fn at<Q: Described>(&self, q: &Q) -> Result<Arc<Box<dyn Action<Q>>>> {
        self.compiled.get(q.lattice(), || Q::action(&self.spec, q.lattice()))
    }

    /// The same action for dual numbers.
    pub fn at_dual<R: Real, const N: usize>(&self, lattice: &Arc<Lattice>) -> Result<Arc<DualAction<R, N>>> {
        self.dual.get(lattice, || GaugeField::action(&self.spec, lattice))
    }

    /// S of a gauge field.
    pub fn value(&self, field: &AnyGauge) -> Result<f64> {
        with_gauge!(field, u => value(&**self.at(u)?, u))
    }

    /// The force, an array like the links.
    pub fn force(&self, field: &AnyGauge) -> Result<Vec<Complex64>> {
        with_gauge!(field, u => Ok(force(&**self.at(u)?, u)?.to_array()))
    }

    /// The force in the storage of the field.
    pub fn kept_force(&self, field: &AnyGauge) -> Result<KeptForce> {
        with_gauge!(field, u => Ok(KeptForce(Arc::new(force(&**self.at(u)?, u)?))))
    }

    /// S of a scalar field.
    pub fn scalar_value(&self, field: &ScalarField<f64>) -> Result<f64> {
        value(&**self.at(field)?, field)
    }

    /// dS/dphi of a scalar field, `[site][component]`.
    pub fn scalar_force(&self, field: &ScalarField<f64>) -> Result<<ScalarField<f64> as Configuration>::Tangent> {
        force(&**self.at(field)?, field)
    }
}
