//! Python: actions and samplers from their descriptions.

use super::door::enter;
use super::gauge::{Gauge, PyObjectives, array, inside, numbers, objectives};
use super::scalar::Scalars;
use crate::action::FieldFunction;
use crate::any::spec::{ActionSpec, SamplerSpec, parse};
use crate::any::{AnyAction, AnySampler, Info, KeptForce};
use crate::error::{Error, Result};
use crate::random::Draws;
use crate::sampler::Lesson;
use num_complex::Complex64;
use numpy::{PyReadonlyArray1, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::Arc;

/// A function of links and its name.
type PyFunctions = Vec<(Py<PyAny>, String)>;

struct PythonFunction(Py<PyAny>, String);

impl FieldFunction for PythonFunction {
    fn name(&self) -> String {
        self.1.clone()
    }
    fn of_links(&self, extents: &[usize], n_colors: usize, links: Vec<Complex64>) -> Result<(f64, Vec<Complex64>)> {
        let shape = [&[extents.len()], extents, &[n_colors, n_colors]].concat();
        self.of_array(links, shape, "complex128")
    }
    fn of_scalars(&self, extents: &[usize], components: usize, values: Vec<f64>) -> Result<(f64, Vec<f64>)> {
        self.of_array(values, [extents, &[components]].concat(), "float64")
    }
}

impl PythonFunction {
    fn of_array<T: numpy::Element + Copy>(
        &self,
        given: Vec<T>,
        shape: Vec<usize>,
        kind: &str,
    ) -> Result<(f64, Vec<T>)> {
        Python::attach(|py| self.call(py, given, shape, kind)).map_err(|error: PyErr| Error::Callback(Arc::new(error)))
    }

    fn call<T: numpy::Element + Copy>(
        &self,
        py: Python<'_>,
        given: Vec<T>,
        shape: Vec<usize>,
        kind: &str,
    ) -> PyResult<(f64, Vec<T>)> {
        let result = self.0.bind(py).call1((array(py, given, shape.clone())?,))?;
        let wrong =
            || Error::Type("a Custom action must return (value, force): a float and an array like the field's".into());
        let (value, force): (f64, Bound<'_, PyAny>) = result.extract().map_err(|_| wrong())?;
        let force = py.import("numpy")?.call_method1("ascontiguousarray", (force, kind))?;
        let force: PyReadonlyArrayDyn<'_, T> = force.extract().map_err(|_| wrong())?;
        if force.shape() != shape {
            let message =
                format!("the force of a Custom action has shape {:?}; the field has {shape:?}", force.shape());
            return Err(Error::value(message).into());
        }
        let elements = force.as_slice().map_err(|_| Error::value("array is not C-contiguous"))?;
        Ok((value, elements.to_vec()))
    }
}

fn functions(list: PyFunctions) -> impl Iterator<Item = Arc<dyn FieldFunction>> {
    list.into_iter().map(|(function, name)| -> Arc<dyn FieldFunction> { Arc::new(PythonFunction(function, name)) })
}

/// A field of the core, of any kind.
#[derive(FromPyObject)]
enum PyField<'py> {
    Gauge(PyRef<'py, Gauge>),
    Scalar(PyRef<'py, Scalars>),
}

/// An action; those of `plaq.actions` wrap it.
#[pyclass(frozen, module = "plaq._plaq")]
pub(super) struct ActionCore(pub(super) AnyAction);

/// A force in the storage of its field.
#[pyclass(frozen, module = "plaq._plaq")]
pub(super) struct ForceCore(pub(super) KeptForce);

#[pymethods]
impl ActionCore {
    /// From the description as JSON text and the functions of its Custom actions in the order of the description.
    #[new]
    fn new(spec: &str, supplied: PyFunctions) -> PyResult<Self> {
        let mut spec: ActionSpec = parse(spec)?;
        spec.supply(&mut functions(supplied));
        Ok(Self(AnyAction::new(spec)))
    }
    fn value(&self, py: Python<'_>, field: PyField<'_>) -> PyResult<f64> {
        match &field {
            PyField::Gauge(gauge) => {
                let field = gauge.field.clone();
                enter(py, || self.0.value(&field))
            }
            PyField::Scalar(scalars) => {
                let field = scalars.field.clone();
                enter(py, || self.0.scalar_value(&field))
            }
        }
    }
    fn force<'py>(&self, py: Python<'py>, field: PyField<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &field {
            PyField::Gauge(gauge) => {
                let field = gauge.field.clone();
                let links = enter(py, || self.0.force(&field))?;
                Ok(array(py, links, gauge.link_shape())?.into_any())
            }
            PyField::Scalar(scalars) => {
                let field = scalars.field.clone();
                let force = enter(py, || self.0.scalar_force(&field))?;
                Ok(array(py, force.values, scalars.array_shape())?.into_any())
            }
        }
    }
    /// The force of a gauge field, left in its storage.
    fn kept_force(&self, py: Python<'_>, field: &Gauge) -> PyResult<ForceCore> {
        Ok(ForceCore(enter(py, || self.0.kept_force(&field.field))?))
    }
}

/// A sampler that is compiled for the field it meets; `plaq.Heatbath` and `plaq.HMC` wrap it.
#[pyclass(frozen, module = "plaq._plaq")]
struct SamplerCore(AnySampler);

#[pymethods]
impl SamplerCore {
    #[new]
    fn new(spec: &str, supplied: PyFunctions) -> PyResult<Self> {
        let mut spec: SamplerSpec = parse(spec)?;
        spec.supply(&mut functions(supplied));
        Ok(Self(AnySampler::new(spec)))
    }
    /// One update with the random numbers of (seed, sweep): the new field and named numbers about it.
    fn step<'py>(
        &self,
        py: Python<'py>,
        field: PyField<'py>,
        seed: u64,
        sweep: u64,
    ) -> PyResult<(Py<PyAny>, Bound<'py, PyDict>)> {
        let draws = Draws::new(seed, sweep);
        let (field, info) = match &field {
            PyField::Gauge(gauge) => {
                let field = gauge.field.clone();
                let (field, info) = enter(py, || self.0.step(&field, draws))?;
                (Py::new(py, Gauge::from(field))?.into_any(), info)
            }
            PyField::Scalar(scalars) => {
                let field = scalars.field.clone();
                let (field, info) = enter(py, || self.0.step_scalar(&field, draws))?;
                (Py::new(py, Scalars { field })?.into_any(), info)
            }
        };
        Ok((field, named(py, info)?))
    }
    /// A trajectory and the way back: the field at the end, and H - H(start) there and half-way.
    fn there_and_back(
        &self,
        py: Python<'_>,
        field: PyField<'_>,
        seed: u64,
        sweep: u64,
    ) -> PyResult<(Py<PyAny>, [f64; 2])> {
        let draws = Draws::new(seed, sweep);
        Ok(match &field {
            PyField::Gauge(gauge) => {
                let field = gauge.field.clone();
                let (end, energies) = enter(py, || self.0.there_and_back(&field, draws))?;
                (Py::new(py, Gauge::from(end))?.into_any(), energies)
            }
            PyField::Scalar(scalars) => {
                let field = scalars.field.clone();
                let (field, energies) = enter(py, || self.0.there_and_back_scalar(&field, draws))?;
                (Py::new(py, Scalars { field })?.into_any(), energies)
            }
        })
    }
    /// One trajectory whose proposal has the parameters `theta`: the new field, named numbers, and S(proposal) - S(target) with
    /// its derivative at the start and at the end (with `forces` the mean square difference of their forces at the end).
    fn learn<'py>(
        &self,
        py: Python<'py>,
        field: &Gauge,
        seed: u64,
        sweep: u64,
        theta: PyReadonlyArray1<'py, f64>,
        forces: bool,
    ) -> PyResult<(Gauge, Bound<'py, PyDict>, PyObjectives<'py>)> {
        let (field, theta) = (field.field.clone(), numbers(&theta));
        let (field, info, lessons) =
            enter(py, || self.0.learn(&field, Draws::new(seed, sweep), &theta, lesson(forces)))?;
        Ok((Gauge::from(field), named(py, Info::Hmc(info))?, objectives(py, &lessons)?))
    }
    /// S(proposal) - S(target) and its derivatives for many fields, each with auxiliary fields of its own (seed, sweep).
    fn lessons<'py>(
        &self,
        py: Python<'py>,
        fields: Vec<PyRef<'py, Gauge>>,
        draws: Vec<(u64, u64)>,
        theta: PyReadonlyArray1<'py, f64>,
        forces: bool,
    ) -> PyResult<PyObjectives<'py>> {
        let fields = inside(&fields);
        let draws: Vec<_> = draws.into_iter().map(|(seed, sweep)| Draws::new(seed, sweep)).collect();
        let theta = numbers(&theta);
        objectives(py, &enter(py, || self.0.lessons(&fields, &draws, &theta, lesson(forces)))?)
    }
}

fn lesson(forces: bool) -> Lesson {
    if forces { Lesson::Force } else { Lesson::Energy }
}

fn named(py: Python<'_>, info: Info) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    let info = match info {
        Info::Colors(colors) => {
            dict.set_item("colors", colors)?;
            return Ok(dict);
        }
        Info::Hmc(info) => info,
    };
    dict.set_item("accepted", info.accepted)?;
    dict.set_item("delta_h", info.delta_h)?;
    // A trajectory that diverged has no weight.
    let weight = if info.delta_h.is_nan() { 0.0 } else { (-info.delta_h).exp() };
    dict.set_item("exp_minus_delta_h", weight)?;
    dict.set_item("action", info.action)?;
    for (n, force) in info.forces.iter().enumerate() {
        dict.set_item(format!("force_{n}"), force.mean)?;
        dict.set_item(format!("largest_force_{n}"), force.largest)?;
    }
    if info.effort.solves > 0 {
        dict.set_item("failed", info.failed)?;
        dict.set_item("solves", info.effort.solves)?;
        dict.set_item("solver_iterations", info.effort.iterations)?;
        dict.set_item("worst_residual", info.effort.worst_residual)?;
    }
    Ok(dict)
}

/// Adds the classes.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<ActionCore>()?;
    module.add_class::<ForceCore>()?;
    module.add_class::<SamplerCore>()
}
