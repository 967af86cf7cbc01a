//! Python: smearing, gradient flow and covariant networks.

use super::door::enter;
use super::gauge::{Gauge, PyObjectives, array, elements, inside, numbers, objectives};
use super::sampler::{ActionCore, ForceCore};
use crate::any::compile::all_loops;
use crate::any::spec::{ActionSpec, parse};
use crate::any::{AnyGauge, AnyNetwork, with_gauge};
use crate::error::Result;
use crate::gauge::GaugeField;
use crate::map::{self, Flow};
use crate::number::Real;
use num_complex::Complex64;
use numpy::{IntoPyArray, PyArray1, PyArrayDyn, PyReadonlyArray1, PyReadonlyArrayDyn};
use pyo3::prelude::*;

/// A network of links that is compiled for the fields it meets; coefficients are handed in.
#[pyclass(frozen, module = "plaq._plaq")]
struct NetworkCore(AnyNetwork);

#[pymethods]
impl NetworkCore {
    /// From the description as JSON text.
    #[new]
    fn new(spec: &str) -> PyResult<Self> {
        Ok(Self(AnyNetwork::new(parse(spec)?)))
    }

    /// Image of a field.
    fn forward(&self, py: Python<'_>, field: &Gauge, theta: PyReadonlyArray1<'_, f64>) -> PyResult<Gauge> {
        let theta = numbers(&theta);
        Ok(enter(py, || self.0.forward(&field.field, &theta))?.into())
    }

    /// Cotangent `[mu, x.., a, b]` at the image to cotangent at the field, and derivative of the coefficients.
    #[allow(clippy::type_complexity)]
    fn pullback<'py>(
        &self,
        py: Python<'py>,
        field: &Gauge,
        theta: PyReadonlyArray1<'py, f64>,
        cotangent: PyReadonlyArrayDyn<'py, Complex64>,
    ) -> PyResult<(Bound<'py, PyArrayDyn<Complex64>>, Bound<'py, PyArray1<f64>>)> {
        let (theta, data) = (numbers(&theta), elements(&cotangent)?);
        let (links, gradient) = enter(py, || self.0.pullback(&field.field, &theta, &data))?;
        Ok((array(py, links, field.link_shape())?, gradient.into_pyarray(py)))
    }

    /// S(net(U)) of every field.
    fn action<'py>(
        &self,
        py: Python<'py>,
        fields: Vec<PyRef<'py, Gauge>>,
        theta: PyReadonlyArray1<'py, f64>,
        action: &ActionCore,
    ) -> PyResult<PyObjectives<'py>> {
        let (fields, theta) = (inside(&fields), numbers(&theta));
        objectives(py, &enter(py, || self.0.action(&fields, &theta, &action.0))?)
    }

    /// Mean over links of |net(U) - V|^2 of every field.
    fn distance<'py>(
        &self,
        py: Python<'py>,
        fields: Vec<PyRef<'py, Gauge>>,
        theta: PyReadonlyArray1<'py, f64>,
        targets: Vec<PyRef<'py, Gauge>>,
    ) -> PyResult<PyObjectives<'py>> {
        let (fields, theta, targets) = (inside(&fields), numbers(&theta), inside(&targets));
        objectives(py, &enter(py, || self.0.distance(&fields, &theta, &targets))?)
    }

    /// Mean over links of |F - target|^power of every field, F the force of S(net(U)); no target means zero.
    fn force_norm<'py>(
        &self,
        py: Python<'py>,
        fields: Vec<PyRef<'py, Gauge>>,
        theta: PyReadonlyArray1<'py, f64>,
        action: &ActionCore,
        targets: Vec<Option<PyRef<'py, ForceCore>>>,
        power: u32,
    ) -> PyResult<PyObjectives<'py>> {
        let (fields, theta) = (inside(&fields), numbers(&theta));
        let targets: Vec<_> = targets.iter().map(|target| target.as_ref().map(|force| force.0.clone())).collect();
        objectives(py, &enter(py, || self.0.force_norm(&fields, &theta, &action.0, &targets, power))?)
    }
}

/// One flow step: the field, the step taken and the step to try next.
#[pyfunction]
#[pyo3(signature = (field, action, step, tolerance))]
fn flow_step(
    py: Python<'_>,
    field: &Gauge,
    action: &ActionCore,
    step: f64,
    tolerance: Option<f64>,
) -> PyResult<(Gauge, f64, f64)> {
    let action = action.0.spec();
    let (field, info) = enter(py, || with_gauge!(&*field.field, u => flow(action, u, step, tolerance)))?;
    Ok((field.into(), info.taken, info.next))
}

fn flow<R: Real, const N: usize>(
    action: &ActionSpec,
    u: &GaugeField<R, N>,
    step: f64,
    tolerance: Option<f64>,
) -> Result<(AnyGauge, map::FlowStep)>
where
    AnyGauge: From<GaugeField<R, N>>,
{
    let loops = all_loops(action, u.lattice().extents())?;
    let flow = match u.open_slice() {
        None => Flow::new(u.lattice(), &loops),
        Some(slice) => Flow::open(u.lattice(), &loops, slice)?,
    };
    let (field, info) = match tolerance {
        Some(tolerance) => flow.adaptive_step(u, step, tolerance)?,
        None => (flow.step(u, step)?, map::FlowStep { taken: step, next: step }),
    };
    Ok((field.into(), info))
}

/// Adds the class and the functions.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<NetworkCore>()?;
    module.add_function(wrap_pyfunction!(flow_step, module)?)
}
