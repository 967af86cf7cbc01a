//! Python: field transformations.

use super::door::enter;
use super::gauge::{Gauge, PyObjectives, array, elements, inside, numbers, objectives};
use super::sampler::ActionCore;
use crate::any::spec::{TransformSpec, parse};
use crate::any::{AnyTransformation, staples};
use crate::map::force_size::ForceSize;
use num_complex::Complex64;
use numpy::{IntoPyArray, PyArray1, PyArrayDyn, PyReadonlyArray1, PyReadonlyArrayDyn};
use pyo3::prelude::*;

/// Cotangent of the input, and derivatives by the parameters.
type LinkCotangents<'py> = (Bound<'py, PyArrayDyn<Complex64>>, Bound<'py, PyArray1<f64>>);

/// A change of variables that is compiled for the fields it meets; parameters are handed in.
#[pyclass(frozen, module = "plaq._plaq")]
struct TransformCore(AnyTransformation);

#[pymethods]
impl TransformCore {
    /// From the description as JSON text.
    #[new]
    fn new(spec: &str) -> PyResult<Self> {
        Ok(Self(AnyTransformation::new(parse(spec)?)))
    }

    /// F(V).
    fn forward(&self, py: Python<'_>, field: &Gauge, theta: PyReadonlyArray1<'_, f64>) -> PyResult<Gauge> {
        let theta = numbers(&theta);
        Ok(enter(py, || self.0.forward(&field.field, &theta))?.into())
    }

    /// log det F'(V).
    fn log_det(&self, py: Python<'_>, field: &Gauge, theta: PyReadonlyArray1<'_, f64>) -> PyResult<f64> {
        let theta = numbers(&theta);
        enter(py, || self.0.log_det(&field.field, &theta))
    }

    /// The field whose image is given, the most iterations of a link and the largest change in the last ones.
    fn inverse(
        &self,
        py: Python<'_>,
        field: &Gauge,
        theta: PyReadonlyArray1<'_, f64>,
    ) -> PyResult<(Gauge, usize, f64)> {
        let theta = numbers(&theta);
        let (field, info) = enter(py, || self.0.inverse(&field.field, &theta))?;
        Ok((field.into(), info.iterations, info.residual))
    }

    /// Of S(F(V)) + weight log det: cotangent at V and derivative with respect to the parameters.
    fn pullback<'py>(
        &self,
        py: Python<'py>,
        field: &Gauge,
        theta: PyReadonlyArray1<'py, f64>,
        cotangent: PyReadonlyArrayDyn<'py, Complex64>,
        weight: f64,
    ) -> PyResult<LinkCotangents<'py>> {
        let (theta, data) = (numbers(&theta), elements(&cotangent)?);
        let (links, gradient) = enter(py, || self.0.pullback(&field.field, &theta, &data, weight))?;
        Ok((array(py, links, field.link_shape())?, gradient.into_pyarray(py)))
    }

    /// Size of the force in new variables at the inverse image of every field.
    fn force_size<'py>(
        &self,
        py: Python<'py>,
        fields: Vec<PyRef<'py, Gauge>>,
        theta: PyReadonlyArray1<'py, f64>,
        action: &ActionCore,
        target: Option<PyRef<'py, ActionCore>>,
        size: &str,
    ) -> PyResult<PyObjectives<'py>> {
        let size: ForceSize = parse(size)?;
        let (fields, theta) = (inside(&fields), numbers(&theta));
        let pair = (&action.0, target.as_deref().map(|target| &target.0));
        objectives(py, &enter(py, || self.0.force_size(&fields, &theta, pair, &size))?)
    }
}

/// Staples of each coefficient of each layer of a description.
#[pyfunction]
fn masked_staples(spec: &str, ndim: usize) -> PyResult<Vec<Vec<f64>>> {
    let spec: TransformSpec = parse(spec)?;
    Ok(staples(&spec, ndim)?)
}

/// Adds the class and the function.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<TransformCore>()?;
    module.add_function(wrap_pyfunction!(masked_staples, module)?)
}
