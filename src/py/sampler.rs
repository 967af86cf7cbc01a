//! Python: actions and samplers of gauge fields.

use super::enter;
use super::gauge::{Gauge, array};
use crate::action::custom::{self, ActionSpec, LinkFunction, LoopSpec};
use crate::action::{Action, force};
use crate::any::{AnyGauge, with_gauge};
use crate::error::{Error, Result};
use crate::gauge::GaugeField;
use crate::real::Real;
use crate::sampler::{AnySampler, SamplerSpec};
use num_complex::Complex64;
use numpy::{PyArrayDyn, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::Arc;

#[derive(FromPyObject)]
pub(super) enum PyLoop {
    Family(String),
    Path(Vec<i8>),
}

/// A term of an action: `[(coefficient, name or path), ...]`, `(terms, layers, recompute)` or a function of links.
#[derive(FromPyObject)]
pub(super) enum PyTerm {
    Loops(Vec<(f64, PyLoop)>),
    Mapped(Vec<PyTerm>, super::smear::PyLayers, bool),
    Custom(Py<PyAny>),
}

struct PythonFunction(Py<PyAny>);

impl LinkFunction for PythonFunction {
    fn value_and_force(
        &self,
        extents: &[usize],
        n_colors: usize,
        links: Vec<Complex64>,
    ) -> Result<(f64, Vec<Complex64>)> {
        let shape = [&[extents.len()], extents, &[n_colors, n_colors]].concat();
        Python::attach(|py| self.call(py, links, shape)).map_err(|error: PyErr| Error::Callback(Arc::new(error)))
    }
}

impl PythonFunction {
    fn call(&self, py: Python<'_>, links: Vec<Complex64>, shape: Vec<usize>) -> PyResult<(f64, Vec<Complex64>)> {
        let result = self.0.bind(py).call1((array(py, links, shape.clone())?,))?;
        let given =
            || Error::Type("a Custom action must return (value, force): a float and an array like the links".into());
        let (value, force): (f64, Bound<'_, PyAny>) = result.extract().map_err(|_| given())?;
        let numpy = py.import("numpy")?;
        let force = numpy.call_method1("ascontiguousarray", (force, "complex128"))?;
        let force: PyReadonlyArrayDyn<'_, Complex64> = force.extract().map_err(|_| given())?;
        if force.shape() != shape {
            let message =
                format!("the force of a Custom action has shape {:?}; the links have {shape:?}", force.shape());
            return Err(Error::value(message).into());
        }
        Ok((value, super::gauge::elements(&force)?))
    }
}

pub(super) fn loops(loops: Vec<(f64, PyLoop)>) -> Vec<(f64, LoopSpec)> {
    let spec = |l| match l {
        PyLoop::Family(name) => LoopSpec::Family(name),
        PyLoop::Path(path) => LoopSpec::Path(path),
    };
    loops.into_iter().map(|(c, l)| (c, spec(l))).collect()
}

pub(super) fn terms(list: Vec<PyTerm>) -> Vec<ActionSpec> {
    let term = |term| match term {
        PyTerm::Loops(list) => ActionSpec::Loops(loops(list)),
        PyTerm::Mapped(inner, layers, recompute) => {
            ActionSpec::Mapped(terms(inner), super::smear::stack(layers, recompute))
        }
        PyTerm::Custom(function) => ActionSpec::Custom(Arc::new(PythonFunction(function))),
    };
    list.into_iter().map(term).collect()
}

#[pyfunction]
fn action_value(py: Python<'_>, field: &Gauge, action: Vec<PyTerm>) -> PyResult<f64> {
    let action = terms(action);
    enter(py, || with_gauge!(&*field.field, field => value(&action, field)))
}

fn value<R: Real<Total = f64>, const N: usize>(terms: &[ActionSpec], field: &GaugeField<R, N>) -> Result<f64> {
    custom::build::<R, N>(terms, field.lattice())?.value(field)
}

#[pyfunction]
fn action_force<'py>(
    py: Python<'py>,
    field: &Gauge,
    action: Vec<PyTerm>,
) -> PyResult<Bound<'py, PyArrayDyn<Complex64>>> {
    let action = terms(action);
    let links = enter(py, || with_gauge!(&*field.field, field => force_array(&action, field)))?;
    let (extents, n) = (field.field.extents(), field.field.n_colors());
    array(py, links, [&[extents.len()], extents, &[n, n]].concat())
}

fn force_array<R: Real, const N: usize>(terms: &[ActionSpec], field: &GaugeField<R, N>) -> Result<Vec<Complex64>> {
    let lattice = field.lattice();
    let force = force(&custom::build::<R, N>(terms, lattice)?, field)?;
    let matrices = force.elements.iter().map(|a| a.to_matrix()).collect();
    Ok(crate::any::array(&GaugeField::new(lattice.clone(), matrices)))
}

/// A compiled sampler; `plaq.Heatbath` and `plaq.HMC` wrap it.
#[pyclass(frozen, module = "plaq._plaq")]
struct GaugeSampler(AnySampler);

#[pymethods]
impl GaugeSampler {
    #[staticmethod]
    fn heatbath(action: Vec<PyTerm>, overrelaxation: usize) -> Self {
        Self(AnySampler::new(SamplerSpec::Heatbath { action: terms(action), overrelaxation }))
    }
    #[staticmethod]
    fn hmc(action: Vec<PyTerm>, levels: Vec<(Vec<usize>, usize, String)>, length: f64) -> Self {
        Self(AnySampler::new(SamplerSpec::Hmc { action: terms(action), levels, length }))
    }
    /// One update with the random numbers of (seed, sweep): the new field and named numbers about it.
    fn step<'py>(
        &self,
        py: Python<'py>,
        field: &Gauge,
        seed: u64,
        sweep: u64,
    ) -> PyResult<(Gauge, Bound<'py, PyDict>)> {
        let field: &AnyGauge = &field.field;
        let (field, info) = enter(py, || self.0.step(field, seed, sweep))?;
        let dict = PyDict::new(py);
        for (name, value) in info {
            match name {
                "accepted" => dict.set_item(name, value != 0.0)?,
                _ => dict.set_item(name, value)?,
            }
        }
        Ok((field.into(), dict))
    }
}

/// Adds classes and functions.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<GaugeSampler>()?;
    module.add_function(wrap_pyfunction!(action_value, module)?)?;
    module.add_function(wrap_pyfunction!(action_force, module)?)
}
