//! Python: smearing, gradient flow and covariant networks.

use super::enter;
use super::gauge::{Gauge, array, elements};
use super::sampler::{PyTerm, terms};
use crate::action::custom::{self, ActionSpec, LayerSpec, StackSpec};
use crate::any::{AnyGauge, matrix, with_gauge};
use crate::error::{Error, Result};
use crate::gauge::{GaugeField, LinkAlgebra, pack};
use crate::real::Real;
use crate::smear::{self, Flow, Map};
use num_complex::Complex64;
use numpy::{PyArrayDyn, PyReadonlyArrayDyn};
use pyo3::prelude::*;

/// Layers of a network: terms (loops, directions), their coefficients, and whether fields are computed again.
pub(super) type PyLayers = Vec<(Vec<(PyTermLoops, u8)>, Vec<f64>)>;
pub(super) type PyTermLoops = Vec<(f64, super::sampler::PyLoop)>;

pub(super) fn stack(layers: PyLayers, recompute: bool) -> StackSpec {
    let layers = layers.into_iter().map(|(terms, rho)| LayerSpec {
        terms: terms.into_iter().map(|(loops, directions)| (super::sampler::loops(loops), directions)).collect(),
        rho,
    });
    StackSpec { layers: layers.collect(), recompute }
}

#[pyfunction]
fn ape(py: Python<'_>, field: &Gauge, alpha: f64, directions: Vec<usize>) -> PyResult<Gauge> {
    enter(py, || with_gauge!(&*field.field, u => Ok(AnyGauge::from(smear::ape(u, alpha, &directions)?).into())))
}

#[pyfunction]
fn hyp(py: Python<'_>, field: &Gauge, alphas: Vec<f64>) -> PyResult<Gauge> {
    enter(py, || with_gauge!(&*field.field, u => Ok(AnyGauge::from(smear::hyp(u, &alphas)?).into())))
}

#[pyfunction]
fn network_forward(py: Python<'_>, field: &Gauge, layers: PyLayers) -> PyResult<Gauge> {
    let spec = stack(layers, true);
    enter(py, || with_gauge!(&*field.field, u => Ok(AnyGauge::from(forward(&spec, u)?).into())))
}

fn forward<R: Real, const N: usize>(spec: &StackSpec, u: &GaugeField<R, N>) -> Result<GaugeField<R, N>> {
    custom::build_stack::<R, N>(spec, u.lattice())?.forward(u)
}

/// Cotangent `[mu, x.., a, b]` at the output to cotangent at the input and parameter gradient.
#[pyfunction]
fn network_pullback<'py>(
    py: Python<'py>,
    field: &Gauge,
    layers: PyLayers,
    recompute: bool,
    cotangent: PyReadonlyArrayDyn<'py, Complex64>,
) -> PyResult<(Bound<'py, PyArrayDyn<Complex64>>, Vec<f64>)> {
    let (spec, data) = (stack(layers, recompute), elements(&cotangent)?);
    let (links, gradient) = enter(py, || with_gauge!(&*field.field, u => pullback(&spec, u, &data)))?;
    let (extents, n) = (field.field.extents(), field.field.n_colors());
    Ok((array(py, links, [&[extents.len()], extents, &[n, n]].concat())?, gradient))
}

fn pullback<R: Real<Total = f64>, const N: usize>(
    spec: &StackSpec,
    u: &GaugeField<R, N>,
    data: &[Complex64],
) -> Result<(Vec<Complex64>, Vec<f64>)> {
    let lattice = u.lattice();
    let cotangent = from_array::<R, N>(u, data)?;
    let (below, gradient) = custom::build_stack::<R, N>(spec, lattice)?.pullback(u, &cotangent)?;
    let matrices = below.elements.iter().map(|a| a.to_matrix()).collect();
    Ok((crate::any::array(&GaugeField::new(lattice.clone(), matrices)), gradient))
}

fn from_array<R: Real, const N: usize>(u: &GaugeField<R, N>, data: &[Complex64]) -> Result<LinkAlgebra<R, N>> {
    let lattice = u.lattice();
    let (ndim, volume) = (lattice.ndim(), lattice.volume());
    if data.len() != ndim * volume * N * N {
        return Err(Error::value(format!(
            "cotangent has {} elements; {} are needed",
            data.len(),
            ndim * volume * N * N
        )));
    }
    let element = |n: usize| {
        let site = |lane| n % ndim * volume + lattice.site(n / ndim, lane) as usize;
        let lanes: Vec<_> = (0..R::LANES).map(|lane| matrix::<N>(data, site(lane))).collect();
        pack::<R, N>(&lanes).algebra_part()
    };
    Ok(LinkAlgebra { lattice: lattice.clone(), elements: (0..lattice.vectors() * ndim).map(element).collect() })
}

/// One flow step: the field, the step taken and the step to try next.
#[pyfunction]
#[pyo3(signature = (field, action, step, tolerance))]
fn flow_step(
    py: Python<'_>,
    field: &Gauge,
    action: Vec<PyTerm>,
    step: f64,
    tolerance: Option<f64>,
) -> PyResult<(Gauge, f64, f64)> {
    let action = terms(action);
    let (field, info) = enter(py, || with_gauge!(&*field.field, u => flow(&action, u, step, tolerance)))?;
    Ok((field.into(), info.taken, info.next))
}

fn flow<R: Real, const N: usize>(
    action: &[ActionSpec],
    u: &GaugeField<R, N>,
    step: f64,
    tolerance: Option<f64>,
) -> Result<(AnyGauge, smear::FlowStep)>
where
    AnyGauge: From<GaugeField<R, N>>,
{
    let flow = Flow::new(u.lattice(), custom::all_loops(action, u.lattice().extents())?);
    let (field, info) = match tolerance {
        Some(tolerance) => flow.adaptive_step(u, step, tolerance)?,
        None => (flow.step(u, step)?, smear::FlowStep { taken: step, next: step }),
    };
    Ok((field.into(), info))
}

/// Adds the functions.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(ape, module)?)?;
    module.add_function(wrap_pyfunction!(hyp, module)?)?;
    module.add_function(wrap_pyfunction!(network_forward, module)?)?;
    module.add_function(wrap_pyfunction!(network_pullback, module)?)?;
    module.add_function(wrap_pyfunction!(flow_step, module)?)
}
