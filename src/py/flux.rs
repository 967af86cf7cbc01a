//! Python: fluxes of a complex scalar field and their worm algorithm. Fluxes cross as flat arrays of int32, `[nu][site]`.

use super::door::enter;
use crate::error::{Error, Result};
use crate::field::{inside, map_tasks};
use crate::memory::{product, require};
use crate::model::flux::{Flux, Report, Torus, Weights, Worm, adapted, open_worms};
use crate::random::{Draws, Purpose, Stream};
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;

type Integers<'py> = PyReadonlyArray1<'py, i32>;
type IntegersOut<'py> = Bound<'py, PyArray1<i32>>;
type Column = (&'static str, fn(&Report) -> f64);
type Array1<'py> = Bound<'py, PyArray1<f64>>;

/// The Markov kernel of one set of couplings.
#[pyclass(frozen, module = "plaq._plaq")]
struct WormCore {
    inner: Worm,
}

/// What one chain drew: configurations one after another, then one number or array a draw.
#[derive(Default)]
struct Drawn {
    k: Vec<i32>,
    l: Vec<i32>,
    reports: Vec<Report>,
}

impl Drawn {
    fn keep(&mut self, flux: &Flux) {
        self.k.extend(flux.0.iter().map(|link| link.k));
        self.l.extend(flux.0.iter().map(|link| link.l));
    }
}

#[pymethods]
impl WormCore {
    #[new]
    fn new(extents: Vec<usize>, eta: f64, lam: f64, mu: f64, visits: u64, log_open: Option<f64>) -> PyResult<Self> {
        let worm = Worm::new(Torus::new(&extents)?, eta, lam, mu, visits)?;
        let inner = log_open.map_or_else(|| Ok(worm.clone()), |log_open| worm.clone().with_log_open(log_open))?;
        Ok(Self { inner })
    }

    #[getter]
    fn log_open(&self) -> f64 {
        self.inner.log_open()
    }

    /// `draws` draws of each chain, `thin` updates apart, the first update numbered `sweep`; chains are numbered from `chain` on.
    ///
    /// Fluxes `[chain][draw][nu][site]`, and a dictionary of means over the updates of each draw, `[chain][draw]`.
    fn sample<'py>(
        &self,
        py: Python<'py>,
        k: Integers<'py>,
        l: Integers<'py>,
        draws: usize,
        thin: u64,
        seed: u64,
        sweep: u64,
        chain: u32,
    ) -> PyResult<(IntegersOut<'py>, IntegersOut<'py>, Bound<'py, PyDict>)> {
        let torus = self.inner.torus();
        let size = torus.links();
        let starts = k.as_slice()?.chunks(size).zip(l.as_slice()?.chunks(size));
        let starts = starts.map(|(k, l)| Flux::new(torus, k, l)).collect::<Result<Vec<_>>>()?;
        let chains = starts.len();
        let one = |(number, mut flux): (usize, Flux)| {
            let mut drawn = Drawn::default();
            for draw in 0..draws as u64 {
                let mut sum = None;
                for update in 0..thin {
                    let draws = Draws::new(seed, sweep + draw * thin + update);
                    let report = self.inner.update(&mut flux, draws, chain + number as u32)?;
                    sum = Some(added(sum, report, thin as f64));
                }
                drawn.reports.extend(sum);
                drawn.keep(&flux);
            }
            Ok(drawn)
        };
        let drawn = enter(py, || {
            let bytes = product(&[chains, draws, size], 8) + product(&[chains, draws, torus.sites()], 24);
            require(&format!("{draws} configurations of {size} links in {chains} chains"), bytes)?;
            let run =
                || map_tasks(starts.into_iter().enumerate().collect(), one).into_iter().collect::<Result<Vec<_>>>();
            // One chain runs on this thread, which hears the user; others need it to listen for them.
            if chains == 1 { run() } else { inside(run) }
        })?;
        let dict = facts(py, drawn.iter().flat_map(|chain| &chain.reports))?;
        let column = |part: fn(&Drawn) -> &Vec<i32>| drawn.iter().flat_map(part).copied().collect::<Vec<_>>();
        Ok((column(|d| &d.k).into_pyarray(py), column(|d| &d.l).into_pyarray(py), dict))
    }
}

/// Mean of `thin` reports, one more at a time; counts are added up.
fn added(sum: Option<Report>, report: Report, thin: f64) -> Report {
    let mut sum = sum.unwrap_or_else(|| Report { correlator: vec![0.0; report.correlator.len()], ..Report::default() });
    sum.steps += report.steps;
    sum.visits += report.visits;
    sum.worms += report.worms;
    sum.link_changes += report.link_changes;
    sum.head_steps += report.head_steps;
    sum.density += report.density / thin;
    sum.phi2 += report.phi2 / thin;
    sum.correlator.iter_mut().zip(&report.correlator).for_each(|(sum, value)| *sum += value / thin);
    sum
}

fn facts<'py, 'a>(py: Python<'py>, reports: impl Iterator<Item = &'a Report> + Clone) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let columns: [Column; 7] = [
        ("density", |r| r.density),
        ("phi2", |r| r.phi2),
        ("steps", |r| r.steps as f64),
        ("visits", |r| r.visits as f64),
        ("worms", |r| r.worms as f64),
        ("link_changes", |r| r.link_changes as f64),
        ("head_steps", |r| r.head_steps as f64),
    ];
    for (name, value) in columns {
        dict.set_item(name, reports.clone().map(value).collect::<Vec<_>>().into_pyarray(py))?;
    }
    let correlators: Vec<f64> = reports.flat_map(|r| r.correlator.iter().copied()).collect();
    dict.set_item("correlator", correlators.into_pyarray(py))?;
    Ok(dict)
}

/// ln c after one more update of the warm-up.
#[pyfunction]
fn worm_adapted(log_open: f64, done: u64, steps: u64, visits: u64) -> f64 {
    adapted(log_open, done, steps, visits)
}

/// Open worms in each of the configurations, `counts[n]` in configuration n: fluxes k, and (tail, head) of all worms in turn.
#[pyfunction]
fn flux_open_worms<'py>(
    py: Python<'py>,
    extents: Vec<usize>,
    k: Integers<'py>,
    counts: Vec<usize>,
    steps: usize,
    seed: u64,
) -> PyResult<(IntegersOut<'py>, Vec<[usize; 2]>)> {
    let torus = Torus::new(&extents)?;
    let k = k.as_slice()?;
    if k.len() != counts.len() * torus.links() {
        let text = format!("{} links for {} configurations on {extents:?}", k.len(), counts.len());
        return Err(Error::value(text).into());
    }
    let stream = Stream::new(seed, Purpose::Worm, OPEN_WORMS);
    let empty = vec![0; torus.links()];
    let tasks: Vec<_> = k.chunks(torus.links()).zip(counts).enumerate().collect();
    let (k, ends) = enter(py, || {
        let one = |(n, (k, count)): (usize, (&[i32], usize))| {
            let mut flux = Flux::new(&torus, k, &empty)?;
            let ends = open_worms(&torus, &mut flux, count, steps, &stream, n as u32)?;
            Ok((flux, ends))
        };
        let drawn = inside(|| map_tasks(tasks, one).into_iter().collect::<Result<Vec<_>>>())?;
        let k: Vec<i32> = drawn.iter().flat_map(|(flux, _)| flux.0.iter().map(|link| link.k)).collect();
        Ok((k, drawn.into_iter().flat_map(|(_, ends)| ends).collect()))
    })?;
    Ok((k.into_pyarray(py), ends))
}

/// A sweep number that no run reaches: its streams are those of open worms.
const OPEN_WORMS: u64 = (1 << 56) - 1;

/// ln W(2j) and R_j = W(2j+2)/W(2j) for j below `count`.
#[pyfunction]
fn flux_weights(py: Python<'_>, eta: f64, lam: f64, count: usize) -> PyResult<(Array1<'_>, Array1<'_>)> {
    if count == 0 || count > 1 << 24 {
        return Err(Error::value(format!("count = {count}: allowed are 1 to {}", 1 << 24)).into());
    }
    let mut weights = Weights::new(eta, lam, count)?;
    let ratios: Vec<f64> = (0..count).map(|j| weights.ratio(j)).collect();
    Ok((weights.log_weights(count).into_pyarray(py), ratios.into_pyarray(py)))
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(worm_adapted, module)?)?;
    module.add_function(wrap_pyfunction!(flux_open_worms, module)?)?;
    module.add_function(wrap_pyfunction!(flux_weights, module)?)?;
    module.add_class::<WormCore>()
}
