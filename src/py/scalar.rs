//! Python: scalar fields, their action and their HMC.

use super::enter;
use super::gauge::array;
use crate::action::{Action, Sum, force};
use crate::error::{Error, Result};
use crate::lattice::Lattice;
use crate::sampler::{Hmc, Integrator, Level};
use crate::scalar::{self, ScalarAction, ScalarField};
use numpy::{PyArrayDyn, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::Arc;

/// A scalar field inside the core; `plaq.ScalarField` wraps it.
#[pyclass(frozen, module = "plaq._plaq")]
struct Scalars {
    field: ScalarField<f64>,
}

impl Scalars {
    fn array_shape(&self) -> Vec<usize> {
        [self.field.lattice().extents(), &[self.field.components()]].concat()
    }
}

#[pymethods]
impl Scalars {
    #[staticmethod]
    fn from_array(values: PyReadonlyArrayDyn<'_, f64>) -> PyResult<Self> {
        let shape = values.shape().to_vec();
        let data = values.as_slice().map_err(|_| Error::value("array is not C-contiguous"))?;
        let [extents @ .., components] = shape.as_slice() else {
            return Err(Error::value("a scalar field has shape (L_0, .., L_D-1, components)").into());
        };
        let lattice = Lattice::new(extents, 1)?;
        let field = ScalarField::from_sites(lattice, *components, |site, c| data[site * components + c]);
        Ok(Self { field })
    }
    #[staticmethod]
    fn random(shape: Vec<usize>, components: usize, seed: u64) -> PyResult<Self> {
        let lattice = Lattice::new(&shape, 1)?;
        let values = scalar::normals(&lattice, components, seed);
        Ok(Self { field: ScalarField::from_sites(lattice, components, |site, c| values[site * components + c]) })
    }
    fn to_array<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        array(py, self.field.to_array(), self.array_shape())
    }
    #[getter]
    fn shape(&self) -> Vec<usize> {
        self.field.lattice().extents().to_vec()
    }
    #[getter]
    fn components(&self) -> usize {
        self.field.components()
    }
}

fn sum(terms: &[(f64, f64)], lattice: &Arc<Lattice>) -> Sum<ScalarField<f64>> {
    let term = |&(mass2, lam): &(f64, f64)| {
        Box::new(ScalarAction::new(lattice, mass2, lam)) as Box<dyn Action<ScalarField<f64>>>
    };
    Sum(terms.iter().map(term).collect())
}

#[pyfunction]
fn scalar_value(py: Python<'_>, field: &Scalars, action: Vec<(f64, f64)>) -> PyResult<f64> {
    enter(py, || sum(&action, field.field.lattice()).value(&field.field))
}

#[pyfunction]
fn scalar_force<'py>(
    py: Python<'py>,
    field: &Scalars,
    action: Vec<(f64, f64)>,
) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
    let values = enter(py, || force(&sum(&action, field.field.lattice()), &field.field))?;
    array(py, values, field.array_shape())
}

/// HMC of scalar fields: terms (mass2, lam) and levels as for gauge fields.
#[pyclass(frozen, module = "plaq._plaq")]
struct ScalarSampler {
    action: Vec<(f64, f64)>,
    levels: Vec<(Vec<usize>, usize, String)>,
    length: f64,
}

impl ScalarSampler {
    fn hmc(&self, lattice: &Arc<Lattice>) -> Result<Hmc<ScalarField<f64>>> {
        let level = |(indices, steps, integrator): &(Vec<usize>, usize, String)| {
            let terms: Vec<_> = indices.iter().map(|&i| self.action[i]).collect();
            let action: Box<dyn Action<ScalarField<f64>>> = Box::new(sum(&terms, lattice));
            Ok(Level { action, integrator: Integrator::named(integrator)?, steps: *steps })
        };
        let levels = self.levels.iter().map(level).collect::<Result<_>>()?;
        Ok(Hmc { energy: Box::new(sum(&self.action, lattice)), levels, length: self.length })
    }
}

#[pymethods]
impl ScalarSampler {
    #[new]
    fn new(action: Vec<(f64, f64)>, levels: Vec<(Vec<usize>, usize, String)>, length: f64) -> Self {
        Self { action, levels, length }
    }
    fn step<'py>(
        &self,
        py: Python<'py>,
        field: &Scalars,
        seed: u64,
        sweep: u64,
    ) -> PyResult<(Scalars, Bound<'py, PyDict>)> {
        let (field, info) = enter(py, || self.hmc(field.field.lattice())?.step(&field.field, seed, sweep))?;
        let dict = PyDict::new(py);
        dict.set_item("accepted", info.accepted)?;
        dict.set_item("delta_h", info.delta_h)?;
        dict.set_item("exp_minus_delta_h", (-info.delta_h).exp())?;
        dict.set_item("action", info.action)?;
        Ok((Scalars { field }, dict))
    }
}

/// Adds classes and functions.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Scalars>()?;
    module.add_class::<ScalarSampler>()?;
    module.add_function(wrap_pyfunction!(scalar_value, module)?)?;
    module.add_function(wrap_pyfunction!(scalar_force, module)?)
}
