//! Python face of the restricted Boltzmann machines and of the Ising sampler.

use super::door::enter;
use super::optimizer::schedule;
use crate::error::{Error, Result};
use crate::model::ising::{Ising, Update};
use crate::model::rbm::{
    Ensemble, Float, Kick, Layer, Mass, Method, Model, Settings, Target, Trainer, TrainerState, run_ensemble, sample,
};
use crate::nn::Schedule;
use numpy::{
    Element, IntoPyArray, PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2,
    PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use pyo3::types::PyDict;

type Parameters<'py> = (Bound<'py, PyAny>, [Bound<'py, PyArray1<f64>>; 3]);
type LayerData<'py> = (String, PyReadonlyArray1<'py, f64>, PyReadonlyArray1<'py, f64>);

fn layer<R: Float>(data: &LayerData<'_>) -> PyResult<Layer<R>> {
    let narrow =
        |x: &PyReadonlyArray1<'_, f64>| -> PyResult<Vec<R>> { Ok(x.as_slice()?.iter().map(|x| R::of(*x)).collect()) };
    Ok(Layer { units: data.0.parse::<crate::model::rbm::Units>()?, bias: narrow(&data.1)?, variance: narrow(&data.2)? })
}

fn vector<R: Element + Clone>(array: &Bound<'_, PyAny>) -> PyResult<Vec<R>> {
    Ok(array.extract::<PyReadonlyArray2<'_, R>>()?.as_slice()?.to_vec())
}

fn model<R: Float + Element>(
    weights: &Bound<'_, PyAny>,
    visible: &LayerData<'_>,
    hidden: &LayerData<'_>,
) -> PyResult<Model<R>> {
    Ok(Model::new(vector(weights)?, layer(visible)?, layer(hidden)?)?)
}

fn matrix<'py, R: Element>(py: Python<'py>, data: Vec<R>, columns: usize) -> PyResult<Bound<'py, PyArray2<R>>> {
    let rows = data.len() / columns.max(1);
    data.into_pyarray(py).reshape([rows, columns])
}

enum AnyTrainer {
    Single(Trainer<f32>),
    Double(Trainer<f64>),
}

macro_rules! each {
    ($any:expr, $trainer:ident => $body:expr) => {
        match $any {
            AnyTrainer::Single($trainer) => $body,
            AnyTrainer::Double($trainer) => $body,
        }
    };
}

/// A training run that can stop and go on between any two steps.
#[pyclass(module = "plaq._plaq")]
pub struct RbmTrainer {
    inner: AnyTrainer,
    columns: (usize, usize),
}

fn trainer<R: Float + Element>(
    py: Python<'_>,
    weights: &Bound<'_, PyAny>,
    visible: &LayerData<'_>,
    hidden: &LayerData<'_>,
    target: &Bound<'_, PyDict>,
    start: &Bound<'_, PyAny>,
    settings: Settings,
) -> PyResult<Trainer<R>> {
    let machine = model(weights, visible, hidden)?;
    let target = match target.get_item("data")? {
        Some(data) => {
            let batch = target.get_item("batch")?.map(|b| b.extract::<usize>()).transpose()?.unwrap_or(1);
            Target::Data(vector(&data)?, batch.max(1))
        }
        None => {
            let missing = || Error::value("a target needs data, or second moments and means");
            let second = target.get_item("second")?.ok_or_else(missing)?;
            let mean = target.get_item("mean")?.ok_or_else(missing)?.extract::<PyReadonlyArray1<'_, f64>>()?;
            Target::Moments(vector(&second)?, mean.as_slice()?.to_vec())
        }
    };
    let start = if start.is_none() { Vec::new() } else { vector(start)? };
    enter(py, || Trainer::new(machine, target, settings, start))
}

fn read_schedule(plain: &Bound<'_, PyAny>) -> PyResult<Schedule> {
    let (name, numbers) = plain.extract::<(String, Vec<f64>)>()?;
    let schedule = schedule(&name, &numbers)?;
    schedule.validate()?;
    Ok(schedule)
}

fn read_settings(options: &Bound<'_, PyDict>) -> PyResult<Settings> {
    let item = |name: &str| {
        options.get_item(name)?.ok_or_else(|| PyErr::from(Error::value(format!("training option {name} is missing"))))
    };
    let (k, chains) = (item("k")?.extract::<usize>()?.max(1), item("chains")?.extract::<usize>()?.max(1));
    let method = match item("method")?.extract::<String>()?.as_str() {
        "exact" => Method::Exact,
        "em" => Method::Em,
        "cd" => Method::Cd(k),
        "pcd" => Method::Pcd(k, chains),
        other => {
            let text = format!("method {other:?} is not known; use \"exact\", \"em\", \"cd\" or \"pcd\"");
            return Err(Error::value(text).into());
        }
    };
    let mass = match item("mass")?.extract::<String>()?.as_str() {
        "fixed" => Mass::Fixed,
        "global" => Mass::Global,
        "local" => Mass::Local,
        other => {
            let text = format!("mass {other:?} is not known; use \"fixed\", \"global\" or \"local\"");
            return Err(Error::value(text).into());
        }
    };
    Ok(Settings {
        method,
        learning_rate: item("learning_rate")?.extract()?,
        momentum: item("momentum")?.extract()?,
        weight_decay: item("weight_decay")?.extract()?,
        decay: item("decay")?.extract()?,
        decay_every: item("decay_every")?.extract()?,
        schedule: read_schedule(&item("schedule")?)?,
        mass,
        train_visible: item("train_visible")?.extract()?,
        train_hidden: item("train_hidden")?.extract()?,
        safe: item("safe")?.extract()?,
        seed: item("seed")?.extract()?,
    })
}

fn state_dict<'py, R: Float + Element>(py: Python<'py>, state: TrainerState<R>) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("weights", state.weights.into_pyarray(py))?;
    dict.set_item("velocity", state.velocity.into_pyarray(py))?;
    dict.set_item("chains", state.chains.into_pyarray(py))?;
    dict.set_item("chains_hidden", state.chains_hidden.into_pyarray(py))?;
    for (k, (value, velocity)) in state.small.into_iter().zip(state.small_velocity).enumerate() {
        dict.set_item(format!("small{k}"), value.into_pyarray(py))?;
        dict.set_item(format!("small_velocity{k}"), velocity.into_pyarray(py))?;
    }
    dict.set_item("counters", vec![state.epoch, state.position, state.draws, state.backtracks].into_pyarray(py))?;
    Ok(dict)
}

fn read_state<R: Float + Element>(dict: &Bound<'_, PyDict>) -> PyResult<TrainerState<R>> {
    fn array<T: Element + Clone>(dict: &Bound<'_, PyDict>, name: &str) -> PyResult<Vec<T>> {
        let missing = || Error::value(format!("the stored training state has no {name}"));
        let item = dict.get_item(name)?.ok_or_else(missing)?;
        Ok(item.extract::<PyReadonlyArray1<'_, T>>()?.as_slice()?.to_vec())
    }
    let small = |prefix: &str| -> PyResult<[Vec<f64>; 3]> {
        Ok([
            array(dict, &format!("{prefix}0"))?,
            array(dict, &format!("{prefix}1"))?,
            array(dict, &format!("{prefix}2"))?,
        ])
    };
    let counters: Vec<u64> = array(dict, "counters")?;
    let [epoch, position, draws, backtracks] = counters[..] else {
        return Err(Error::value("the stored training state has damaged counters").into());
    };
    Ok(TrainerState {
        weights: array(dict, "weights")?,
        velocity: array(dict, "velocity")?,
        small: small("small")?,
        small_velocity: small("small_velocity")?,
        chains: array(dict, "chains")?,
        chains_hidden: array(dict, "chains_hidden")?,
        epoch,
        position,
        draws,
        backtracks,
    })
}

#[pymethods]
impl RbmTrainer {
    #[new]
    fn new(
        py: Python<'_>,
        weights: &Bound<'_, PyAny>,
        visible: LayerData<'_>,
        hidden: LayerData<'_>,
        target: &Bound<'_, PyDict>,
        start: &Bound<'_, PyAny>,
        options: &Bound<'_, PyDict>,
    ) -> PyResult<Self> {
        let settings = read_settings(options)?;
        let columns = (visible.1.len(), hidden.1.len());
        let inner = if weights.cast::<PyArray2<f32>>().is_ok() {
            AnyTrainer::Single(trainer(py, weights, &visible, &hidden, target, start, settings)?)
        } else {
            AnyTrainer::Double(trainer(py, weights, &visible, &hidden, target, start, settings)?)
        };
        Ok(Self { inner, columns })
    }

    fn advance(&mut self, py: Python<'_>, epochs: u64) -> PyResult<()> {
        each!(&mut self.inner, t => enter(py, || t.advance(epochs)))
    }

    fn record<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let record = each!(&mut self.inner, t => enter(py, || t.record()))?;
        let dict = PyDict::new(py);
        dict.set_item("eigenvalues", record.eigenvalues.into_pyarray(py))?;
        dict.set_item("singular_values", record.singular_values.into_pyarray(py))?;
        dict.set_item("angles", record.angles.into_pyarray(py))?;
        dict.set_item("log_likelihood", record.log_likelihood)?;
        dict.set_item("kl", record.kl)?;
        Ok(dict)
    }

    fn singular_values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<f64>>> {
        Ok(each!(&self.inner, t => enter(py, || t.singular_values()))?.into_pyarray(py))
    }

    /// Weights, visible bias, hidden bias and visible variance.
    fn parameters<'py>(&self, py: Python<'py>) -> PyResult<Parameters<'py>> {
        each!(&self.inner, t => {
            let model = t.model();
            let wide = |x: &[_]| x.iter().map(|x| Float::wide(*x)).collect::<Vec<f64>>().into_pyarray(py);
            let small = [wide(&model.visible.bias), wide(&model.hidden.bias), wide(&model.visible.variance)];
            Ok((matrix(py, model.weights, self.columns.1)?.into_any(), small))
        })
    }

    fn chains<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        each!(&self.inner, t => Ok(matrix(py, t.chains().to_vec(), self.columns.0)?.into_any()))
    }

    fn state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        match &self.inner {
            AnyTrainer::Single(t) => state_dict(py, t.state()),
            AnyTrainer::Double(t) => state_dict(py, t.state()),
        }
    }

    fn restore(&mut self, state: &Bound<'_, PyDict>) -> PyResult<()> {
        match &mut self.inner {
            AnyTrainer::Single(t) => Ok(t.restore(read_state(state)?)?),
            AnyTrainer::Double(t) => Ok(t.restore(read_state(state)?)?),
        }
    }

    #[getter]
    fn epoch(&self) -> u64 {
        each!(&self.inner, t => t.epoch())
    }

    #[getter]
    fn step_norm(&self) -> f64 {
        each!(&self.inner, t => t.step_norm())
    }

    #[getter]
    fn backtracks(&self) -> u64 {
        each!(&self.inner, t => t.backtracks())
    }
}

type Sampled<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>);

fn sample_as<'py, R: Float + Element>(
    py: Python<'py>,
    machine: &Model<R>,
    start: &Bound<'py, PyAny>,
    hidden: &Bound<'py, PyAny>,
    run: (usize, usize, Option<f64>, u64, u64),
) -> PyResult<Sampled<'py>> {
    let (n, m) = (machine.visible.len(), machine.hidden.len());
    let mut visible: Vec<R> = vector(start)?;
    let mut hidden: Option<Vec<R>> = if hidden.is_none() { None } else { Some(vector(hidden)?) };
    let (sweeps, keep_every, omega, seed, first) = run;
    let kick = omega.map_or(Kick::Fresh, Kick::Overrelaxed);
    let kept = enter(py, || sample(machine, &mut visible, &mut hidden, sweeps, keep_every.max(1), kick, seed, first))?;
    let chains = visible.len() / n;
    let records = kept.len() / visible.len().max(1);
    let kept: Bound<'py, PyArray3<R>> = kept.into_pyarray(py).reshape([records, chains, n])?;
    let hidden = matrix(py, hidden.unwrap_or_default(), m)?;
    Ok((kept.into_any(), matrix(py, visible, n)?.into_any(), hidden.into_any()))
}

/// Gibbs sampling: kept configurations `(records, chains, n_visible)`, last visible and last hidden rows.
#[pyfunction]
fn rbm_sample<'py>(
    py: Python<'py>,
    weights: &Bound<'py, PyAny>,
    visible: LayerData<'py>,
    hidden: LayerData<'py>,
    start: &Bound<'py, PyAny>,
    start_hidden: &Bound<'py, PyAny>,
    run: (usize, usize, Option<f64>, u64, u64),
) -> PyResult<Sampled<'py>> {
    if weights.cast::<PyArray2<f32>>().is_ok() {
        return sample_as::<f32>(py, &model(weights, &visible, &hidden)?, start, start_hidden, run);
    }
    sample_as::<f64>(py, &model(weights, &visible, &hidden)?, start, start_hidden, run)
}

/// Eigenvalues of K along PCD training of many machines: `(members, records, n_visible)`.
#[pyfunction]
#[pyo3(signature = (weights, correlation, *, mu2, sigma2_h, k, chains, learning_rate, warmup, records, every, members, seed))]
fn rbm_ensemble<'py>(
    py: Python<'py>,
    weights: PyReadonlyArray2<'py, f64>,
    correlation: PyReadonlyArray2<'py, f64>,
    mu2: f64,
    sigma2_h: f64,
    k: usize,
    chains: usize,
    learning_rate: f64,
    warmup: u64,
    records: usize,
    every: u64,
    members: usize,
    seed: u64,
) -> PyResult<Bound<'py, PyArray3<f64>>> {
    let ensemble = Ensemble {
        weights: weights.as_slice()?.to_vec(),
        correlation: correlation.as_slice()?.to_vec(),
        n_visible: weights.shape()[0],
        mu2,
        sigma2_h,
        k,
        chains,
        learning_rate,
        warmup,
        records,
        every,
        members,
        seed,
    };
    let out = enter(py, || run_ensemble(&ensemble))?;
    out.into_pyarray(py).reshape([members, records, ensemble.n_visible])
}

type IsingRun<'py> = (Bound<'py, PyArray2<i8>>, Bound<'py, PyArray3<i8>>, [Bound<'py, PyArray1<f64>>; 3]);

/// Runs the Ising model: last spins, kept spins, and energy, magnetisation and flipped sites after every step.
#[pyfunction]
fn ising_run<'py>(
    py: Python<'py>,
    spins: PyReadonlyArray2<'py, i8>,
    beta: f64,
    clusters: Option<usize>,
    steps: usize,
    keep_every: usize,
    seed: u64,
    first: u64,
) -> PyResult<IsingRun<'py>> {
    let (rows, columns) = (spins.shape()[0], spins.shape()[1]);
    let start = spins.as_slice()?.to_vec();
    let update = clusters.map_or(Update::Metropolis, Update::Wolff);
    let work = || -> Result<_> {
        let mut ising = Ising::new(rows, columns, start)?;
        let (trace, kept) = ising.run(update, beta, steps, keep_every.max(1), seed, first)?;
        Ok((ising.spins().to_vec(), trace, kept))
    };
    let (spins, trace, kept) = enter(py, work)?;
    let kept_records = kept.len() / (rows * columns);
    let series = [trace.energy, trace.magnetization, trace.flipped].map(|x| x.into_pyarray(py));
    Ok((matrix(py, spins, columns)?, kept.into_pyarray(py).reshape([kept_records, rows, columns])?, series))
}

/// Adds this family to the module.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<RbmTrainer>()?;
    module.add_function(wrap_pyfunction!(rbm_sample, module)?)?;
    module.add_function(wrap_pyfunction!(rbm_ensemble, module)?)?;
    module.add_function(wrap_pyfunction!(ising_run, module)?)
}
