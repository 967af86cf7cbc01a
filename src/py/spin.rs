//! Python: the spin-fermion model, its effective models and chains. Spins cross as `[configuration, 3 N]` arrays.

use super::door::enter;
use crate::error::{Error, Result};
use crate::memory::require;
use crate::model::spin_fermion::{
    Architecture, Block, ExactMetropolis, ExactPlan, Linear, Network, Proposer, Rule, Samples, Shell, Spin,
    SpinFermion, SpinLattice, Trajectories, Workspace, flatten, outer_step, random_spins, residuals, train,
};
use num_complex::Complex64;
use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2,
    PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use pyo3::types::PyDict;

type Rows<'py> = PyReadonlyArray2<'py, f64>;
type Array1<'py> = Bound<'py, PyArray1<f64>>;
type Array2<'py> = Bound<'py, PyArray2<f64>>;

/// Every row as spins.
fn read(lattice: SpinLattice, rows: &Rows<'_>) -> PyResult<Vec<Vec<Spin>>> {
    let width = rows.shape()[1];
    let values = rows.as_slice()?;
    Ok(values.chunks_exact(width.max(1)).map(|row| lattice.spins(row)).collect::<Result<_>>()?)
}

fn table<'py>(py: Python<'py>, rows: Vec<Vec<f64>>, width: usize) -> PyResult<Array2<'py>> {
    let count = rows.len();
    rows.concat().into_pyarray(py).reshape([count, width])
}

/// All shells of a lattice, nearest first.
#[pyfunction]
fn spin_shells(extents: [usize; 2]) -> PyResult<Vec<Shell>> {
    Ok(SpinLattice::new(extents)?.all_shells())
}

/// Independent uniform spins, `[count, 3 N]`.
#[pyfunction]
fn spin_random(py: Python<'_>, extents: [usize; 2], count: usize, seed: u64) -> PyResult<Array2<'_>> {
    let lattice = SpinLattice::new(extents)?;
    let width = 3 * lattice.sites();
    let spins = enter(py, || {
        let [lx, ly] = extents;
        require(&format!("{count} spin configurations on a {lx}x{ly} lattice"), count as u128 * width as u128 * 8)?;
        let mut spins = Vec::with_capacity(count * width);
        for draw in 0..count {
            crate::interrupt::poll()?;
            spins.extend(random_spins(lattice, seed, draw as u64).iter().flat_map(|s| [s[0], s[1], s[2]]));
        }
        Ok(spins)
    })?;
    spins.into_pyarray(py).reshape([count, width])
}

/// The exact model.
#[pyclass(frozen, module = "plaq._plaq")]
struct SpinModelCore {
    inner: SpinFermion,
}

#[pymethods]
impl SpinModelCore {
    #[new]
    fn new(extents: [usize; 2], t: f64, j: f64, mu: f64, temperature: f64) -> PyResult<Self> {
        Ok(Self { inner: SpinFermion::new(SpinLattice::new(extents)?, t, j, mu, temperature)? })
    }

    fn hamiltonian<'py>(&self, py: Python<'py>, spins: Rows<'py>) -> PyResult<Bound<'py, PyArray3<Complex64>>> {
        let spins = read(self.inner.lattice, &spins)?;
        let n = 2 * self.inner.lattice.sites();
        let matrices = enter(py, || {
            let what = format!("{} matrices of {n} rows and columns", spins.len());
            require(&what, spins.len() as u128 * (n * n * size_of::<Complex64>()) as u128)?;
            Ok(each(&spins, |s| Ok(self.inner.matrix(s)))?.concat())
        })?;
        matrices.into_pyarray(py).reshape([spins.len(), n, n])
    }

    fn energies<'py>(&self, py: Python<'py>, spins: Rows<'py>) -> PyResult<Array2<'py>> {
        let spins = read(self.inner.lattice, &spins)?;
        let rows = enter(py, || each(&spins, |s| self.inner.energies(s)))?;
        table(py, rows, 2 * self.inner.lattice.sites())
    }

    fn log_weight<'py>(&self, py: Python<'py>, spins: Rows<'py>) -> PyResult<Array1<'py>> {
        let spins = read(self.inner.lattice, &spins)?;
        Ok(enter(py, || each(&spins, |s| self.inner.log_weight(s)))?.into_pyarray(py))
    }
}

fn each<T>(spins: &[Vec<Spin>], f: impl Fn(&[Spin]) -> Result<T>) -> Result<Vec<T>> {
    let poll = |s: &Vec<Spin>| {
        crate::interrupt::poll()?;
        f(s)
    };
    spins.iter().map(poll).collect()
}

/// Exact local Metropolis.
#[pyclass(frozen, module = "plaq._plaq")]
struct SpinExactCore {
    model: SpinFermion,
    sampler: ExactMetropolis,
    plan: ExactPlan,
}

#[pymethods]
impl SpinExactCore {
    #[new]
    fn new(
        py: Python<'_>,
        model: &SpinModelCore,
        sweeps: usize,
        hits: usize,
        width: f64,
        tolerance: f64,
    ) -> PyResult<Self> {
        let sampler = enter(py, || ExactMetropolis::new(model.inner.clone(), tolerance))?;
        Ok(Self { model: model.inner.clone(), sampler, plan: ExactPlan { sweeps, hits, width } })
    }

    /// Number of poles and error of the pole sum.
    fn poles(&self) -> (usize, f64) {
        self.sampler.poles()
    }

    /// (spins, accepted, local acceptance, log W, correction)
    fn step<'py>(
        &self,
        py: Python<'py>,
        spins: Rows<'py>,
        log_weight: Option<f64>,
        seed: u64,
        sweep: u64,
    ) -> PyResult<(Array1<'py>, bool, f64, f64, f64)> {
        let mut spins = one(read(self.model.lattice, &spins)?)?;
        let info = enter(py, || {
            let start = log_weight.map_or_else(|| self.model.log_weight(&spins), Ok)?;
            self.sampler.step(&mut spins, start, self.plan, seed, sweep)
        })?;
        let out = flatten(&spins).into_pyarray(py);
        Ok((out, info.accepted, info.local_acceptance, info.log_weight, info.correction))
    }
}

fn one(mut spins: Vec<Vec<Spin>>) -> PyResult<Vec<Spin>> {
    match (spins.len(), spins.pop()) {
        (1, Some(only)) => Ok(only),
        (count, _) => Err(Error::value(format!("{count} configurations; a step needs one")).into()),
    }
}

/// An effective model: blocks (none for the linear model) and a linear read-out.
#[pyclass(module = "plaq._plaq")]
struct SpinNetworkCore {
    inner: Network,
}

impl SpinNetworkCore {
    fn map<T: Send>(
        &self,
        py: Python<'_>,
        spins: &Rows<'_>,
        f: impl Fn(&Network, &[Spin], &mut Workspace) -> T + Send + Sync,
    ) -> PyResult<Vec<T>> {
        let spins = read(SpinLattice::new(self.inner.lattice_extents())?, spins)?;
        enter(py, || {
            let work = std::cell::RefCell::new(self.inner.workspace());
            each(&spins, |s| Ok(f(&self.inner, s, &mut work.borrow_mut())))
        })
    }
}

#[pymethods]
impl SpinNetworkCore {
    #[new]
    fn new(
        extents: [usize; 2],
        blocks: Vec<String>,
        shells: Vec<Shell>,
        coupling_shells: Vec<Shell>,
        reference: [usize; 2],
        seed: u64,
    ) -> PyResult<Self> {
        let blocks = blocks.iter().map(|name| Block::from_name(name)).collect::<Result<_>>()?;
        let architecture = Architecture { blocks, shells, coupling_shells, reference };
        Ok(Self { inner: Network::new(SpinLattice::new(extents)?, architecture, seed)? })
    }

    fn on(&self, extents: [usize; 2]) -> PyResult<Self> {
        Ok(Self { inner: self.inner.on(SpinLattice::new(extents)?)? })
    }

    fn with_block(&self, block: &str, seed: u64) -> PyResult<Self> {
        Ok(Self { inner: self.inner.with_block(Block::from_name(block)?, seed)? })
    }

    /// (blocks, shells, coupling shells, extents of the reference lattice)
    fn architecture(&self) -> (Vec<&'static str>, Vec<Shell>, Vec<Shell>, [usize; 2]) {
        let a = self.inner.architecture();
        let blocks = a.blocks.iter().map(|b| b.name()).collect();
        (blocks, a.shells.clone(), a.coupling_shells.clone(), a.reference)
    }

    /// What the products of each coupling shell are multiplied with on this lattice.
    fn coupling_factors(&self) -> Vec<f64> {
        let shells = self.inner.coupling_shells();
        (0..shells.len()).map(|n| shells.factor(n)).collect()
    }

    /// (name, length) of every group of parameters.
    fn layout(&self) -> Vec<(String, usize)> {
        self.inner.architecture().layout()
    }

    #[getter]
    fn extents(&self) -> [usize; 2] {
        self.inner.lattice_extents()
    }

    #[getter]
    fn parameters<'py>(&self, py: Python<'py>) -> Array1<'py> {
        self.inner.parameters.clone().into_pyarray(py)
    }

    #[setter]
    fn set_parameters(&mut self, parameters: PyReadonlyArray1<'_, f64>) -> PyResult<()> {
        Ok(self.inner.set_parameters(parameters.as_slice()?.to_vec())?)
    }

    fn log_weight<'py>(&self, py: Python<'py>, spins: Rows<'py>) -> PyResult<Array1<'py>> {
        Ok(self.map(py, &spins, |n, s, work| n.forward(s, work))?.into_pyarray(py))
    }

    fn gradient<'py>(&self, py: Python<'py>, spins: Rows<'py>) -> PyResult<Array2<'py>> {
        let rows = self.map(py, &spins, |n, s, work| {
            n.backward(s, work);
            flatten(&work.cotangent)
        })?;
        table(py, rows, spins.shape()[1])
    }

    fn parameter_gradient<'py>(&self, py: Python<'py>, spins: Rows<'py>) -> PyResult<Array2<'py>> {
        let rows = self.map(py, &spins, |n, s, work| {
            n.backward(s, work);
            work.gradient.clone()
        })?;
        table(py, rows, self.inner.parameters.len())
    }

    fn features<'py>(&self, py: Python<'py>, spins: Rows<'py>) -> PyResult<Array2<'py>> {
        let rows = self.map(py, &spins, |n, s, work| n.features(s, work))?;
        table(py, rows, self.inner.architecture().coupling_shells.len())
    }

    /// Spins after every block, `[configuration * (blocks + 1), 3 N]`.
    fn effective_spins<'py>(&self, py: Python<'py>, spins: Rows<'py>) -> PyResult<Array2<'py>> {
        let rows = self.map(py, &spins, |n, s, work| {
            n.forward(s, work);
            work.spins.iter().map(|s| flatten(s)).collect::<Vec<_>>()
        })?;
        table(py, rows.concat(), spins.shape()[1])
    }
}

/// Training data and the run over them.
#[pyclass(frozen, module = "plaq._plaq")]
struct SpinSamplesCore {
    inner: Samples,
    lattice: SpinLattice,
}

#[pymethods]
impl SpinSamplesCore {
    #[new]
    fn new(extents: [usize; 2], spins: Rows<'_>, log_weights: PyReadonlyArray1<'_, f64>) -> PyResult<Self> {
        let lattice = SpinLattice::new(extents)?;
        let inner = Samples::new(read(lattice, &spins)?.concat(), log_weights.as_slice()?.to_vec())?;
        Ok(Self { inner, lattice })
    }

    /// `log W_eff - log W`
    fn residuals<'py>(&self, py: Python<'py>, network: &SpinNetworkCore) -> PyResult<Array1<'py>> {
        self.check(network)?;
        Ok(enter(py, || Ok(residuals(&network.inner, &self.inner)))?.into_pyarray(py))
    }

    /// Trains to step `until` of the optimiser; returns the loss of every step.
    fn train<'py>(
        &self,
        py: Python<'py>,
        network: &mut SpinNetworkCore,
        optimizer: &mut super::optimizer::OptimizerCore,
        until: u64,
        batch: usize,
        seed: u64,
    ) -> PyResult<Array1<'py>> {
        self.check(network)?;
        let (network, optimizer) = (&mut network.inner, &mut optimizer.inner);
        Ok(enter(py, || train(network, &self.inner, optimizer, until, batch, seed))?.into_pyarray(py))
    }
}

impl SpinSamplesCore {
    fn check(&self, network: &SpinNetworkCore) -> PyResult<()> {
        if network.inner.lattice_extents() == self.lattice.extents {
            return Ok(());
        }
        let (a, b) = (self.lattice.extents, network.inner.lattice_extents());
        Err(Error::value(format!("spins of shape {a:?}, a network on {b:?}: use network.on(shape)")).into())
    }
}

/// Self-learning outer steps, and the inner chain alone.
#[pyclass(frozen, module = "plaq._plaq")]
struct SpinProposerCore {
    inner: Proposer,
    lattice: SpinLattice,
}

#[pymethods]
impl SpinProposerCore {
    #[new]
    fn new(
        network: &SpinNetworkCore,
        kind: &str,
        sweeps: usize,
        overrelaxation: usize,
        width: f64,
        hmc_steps: usize,
        hmc_step_size: f64,
    ) -> PyResult<Self> {
        let model = network.inner.clone();
        let lattice = SpinLattice::new(model.lattice_extents())?;
        if !(width > 0.0 && width.is_finite()) {
            return Err(Error::value(format!("width = {width}: give a positive number")).into());
        }
        let plan = Trajectories { count: sweeps, steps: hmc_steps, step_size: hmc_step_size };
        plan.validate()?;
        let linear = model.architecture().blocks.is_empty();
        let inner = match kind {
            "heatbath" if linear => {
                Proposer::Linear { model: as_linear(&model)?, rule: Rule::Heatbath, sweeps, overrelaxation }
            }
            "metropolis" if linear => {
                Proposer::Linear { model: as_linear(&model)?, rule: Rule::Metropolis { width }, sweeps, overrelaxation }
            }
            "metropolis" => Proposer::NetworkMetropolis { model, width, sweeps },
            "hmc" => Proposer::NetworkHmc { model, plan },
            _ => {
                let text = format!("inner = \"{kind}\": allowed are metropolis, hmc and, for a linear model, heatbath");
                return Err(Error::value(text).into());
            }
        };
        Ok(Self { inner, lattice })
    }

    /// (spins, inner acceptance)
    fn propose<'py>(&self, py: Python<'py>, spins: Rows<'py>, seed: u64, sweep: u64) -> PyResult<(Array1<'py>, f64)> {
        let mut spins = one(read(self.lattice, &spins)?)?;
        let acceptance = enter(py, || self.inner.propose(&mut spins, seed, sweep))?;
        Ok((flatten(&spins).into_pyarray(py), acceptance))
    }

    fn step<'py>(
        &self,
        py: Python<'py>,
        model: &SpinModelCore,
        spins: Rows<'py>,
        log_weight: Option<f64>,
        seed: u64,
        sweep: u64,
    ) -> PyResult<(Array1<'py>, Bound<'py, PyDict>)> {
        let mut spins = one(read(self.lattice, &spins)?)?;
        let info = enter(py, || {
            let start = log_weight.map_or_else(|| model.inner.log_weight(&spins), Ok)?;
            outer_step(&model.inner, &self.inner, &mut spins, start, seed, sweep)
        })?;
        let dict = PyDict::new(py);
        dict.set_item("accepted", info.accepted)?;
        dict.set_item("log_weight", info.log_weight)?;
        dict.set_item("residual", info.effective - info.log_weight)?;
        dict.set_item("proposed_residual", info.proposed_effective - info.proposed_log_weight)?;
        dict.set_item("inner_acceptance", info.inner_acceptance)?;
        dict.set_item("proposal", flatten(&info.proposal).into_pyarray(py))?;
        dict.set_item("proposed_log_weight", info.proposed_log_weight)?;
        Ok((flatten(&spins).into_pyarray(py), dict))
    }
}

fn as_linear(network: &Network) -> Result<Linear> {
    let shells = network.coupling_shells();
    let mut linear = Linear::new(shells.lattice(), shells.list())?;
    let couplings = network.couplings().iter().enumerate().map(|(n, c)| shells.factor(n) * c);
    linear.couplings = couplings.collect();
    linear.constant = network.parameters[network.parameters.len() - 1];
    Ok(linear)
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(spin_shells, module)?)?;
    module.add_function(wrap_pyfunction!(spin_random, module)?)?;
    module.add_class::<SpinModelCore>()?;
    module.add_class::<SpinExactCore>()?;
    module.add_class::<SpinNetworkCore>()?;
    module.add_class::<SpinSamplesCore>()?;
    module.add_class::<SpinProposerCore>()
}
