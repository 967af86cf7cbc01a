//! Python: smearing, gradient flow and covariant networks.

use super::enter;
use super::gauge::{Gauge, array, elements};
use super::sampler::{PyTerm, terms};
use crate::action::custom::{self, ActionSpec, LayerSpec, StackSpec};
use crate::any::{AnyGauge, matrix, with_gauge};
use crate::error::{Error, Result};
use crate::gauge::{GaugeField, LinkAlgebra, pack};
use crate::group;
use crate::lattice::Lattice;
use crate::real::Real;
use crate::smear::objective::{self, Objective};
use crate::smear::{self, Flow, Map, Mapped};
use num_complex::Complex64;
use numpy::{PyArrayDyn, PyReadonlyArrayDyn};
use pyo3::prelude::*;
use std::sync::Arc;

/// Terms of a stout-type map: loops and directions.
type PyStout = Vec<(Vec<(f64, super::sampler::PyLoop)>, u8)>;

/// A layer: terms and coefficients; an attention layer has the longest staple as well.
#[derive(FromPyObject)]
pub(super) enum PyLayer {
    Attention(PyStout, Vec<f64>, usize),
    Stout(PyStout, Vec<f64>),
}

/// The layers of a network.
pub(super) type PyLayers = Vec<PyLayer>;

pub(super) fn stack(layers: PyLayers, recompute: bool) -> StackSpec {
    let stout = |terms: PyStout| {
        terms.into_iter().map(|(loops, directions)| (super::sampler::loops(loops), directions)).collect()
    };
    let layers = layers.into_iter().map(|layer| match layer {
        PyLayer::Stout(terms, rho) => LayerSpec::Stout(stout(terms), rho),
        PyLayer::Attention(terms, rho, reach) => LayerSpec::Attention(stout(terms), rho, reach),
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

/// S(net(U)) and its derivative with respect to the coefficients.
#[pyfunction]
fn network_action(py: Python<'_>, field: &Gauge, action: Vec<PyTerm>, layers: PyLayers) -> PyResult<(f64, Vec<f64>)> {
    let (action, spec) = (terms(action), stack(layers, false));
    let objective =
        enter(py, || with_gauge!(&*field.field, u => objective::action(&mapped(&action, &spec, u.lattice())?, u)))?;
    Ok((objective.value, objective.gradient))
}

/// Mean over links of |net(U) - V|^2 and its derivative.
#[pyfunction]
fn network_distance(py: Python<'_>, field: &Gauge, layers: PyLayers, target: &Gauge) -> PyResult<(f64, Vec<f64>)> {
    let (spec, target) = (stack(layers, false), &*target.field);
    let objective = enter(py, || with_gauge!(&*field.field, u => distance(&spec, u, target)))?;
    Ok((objective.value, objective.gradient))
}

fn distance<R: Real<Total = f64>, const N: usize>(
    spec: &StackSpec,
    u: &GaugeField<R, N>,
    target: &AnyGauge,
) -> Result<Objective<f64>> {
    let lattice = u.lattice();
    if target.extents() != lattice.extents() || target.n_colors() != N {
        return Err(Error::value(format!(
            "the target is a field of {} on {:?}; {} on {:?} is needed",
            group::name(target.n_colors()),
            target.extents(),
            group::name(N),
            lattice.extents()
        )));
    }
    let (links, volume) = (target.to_array(), lattice.volume());
    let target = GaugeField::from_sites(lattice.clone(), |site, mu| matrix(&links, mu * volume + site));
    objective::distance(&custom::build_stack(spec, lattice)?, u, &target)
}

/// Mean over links of |F - target|^power, F the force of S(net(U)), and its derivative; no target means zero.
#[pyfunction]
#[pyo3(signature = (field, action, layers, target, power))]
fn network_force_norm<'py>(
    py: Python<'py>,
    field: &Gauge,
    action: Vec<PyTerm>,
    layers: PyLayers,
    target: Option<PyReadonlyArrayDyn<'py, Complex64>>,
    power: u32,
) -> PyResult<(f64, Vec<f64>)> {
    let (action, spec) = (terms(action), stack(layers, false));
    let target = target.map(|target| elements(&target)).transpose()?;
    let target = target.as_deref();
    let objective = enter(py, || with_gauge!(&*field.field, u => force_norm(&action, &spec, u, target, power)))?;
    Ok((objective.value, objective.gradient))
}

fn force_norm<R: Real<Total = f64>, const N: usize>(
    action: &[ActionSpec],
    spec: &StackSpec,
    u: &GaugeField<R, N>,
    target: Option<&[Complex64]>,
    power: u32,
) -> Result<Objective<f64>> {
    if action.iter().any(custom::is_supplied) {
        return Err(Error::value(
            "the norm of a force needs an action made of loops; of a Custom action only the force is known",
        ));
    }
    let target = target.map(|data| from_array(u, data)).transpose()?;
    let lattice = u.lattice();
    let (plain, dual) = (mapped(action, spec, lattice)?, mapped(action, spec, lattice)?);
    objective::force_norm(&plain, &dual, u, target.as_ref(), power)
}

fn mapped<R: Real, const N: usize>(
    action: &[ActionSpec],
    spec: &StackSpec,
    lattice: &Arc<Lattice>,
) -> Result<Mapped<GaugeField<R, N>>> {
    let (action, map) = (custom::build(action, lattice)?, custom::build_stack(spec, lattice)?);
    Ok(Mapped { action: Box::new(action), map: Box::new(map) })
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
    module.add_function(wrap_pyfunction!(network_action, module)?)?;
    module.add_function(wrap_pyfunction!(network_distance, module)?)?;
    module.add_function(wrap_pyfunction!(network_force_norm, module)?)?;
    module.add_function(wrap_pyfunction!(flow_step, module)?)
}
