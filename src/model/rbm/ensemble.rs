//! Many small machines trained from the same start with independent noise: eigenvalue statistics of arXiv 2407.16427.

use super::exact::Kernel;
use super::layer::{Layer, Units};
use super::model::Model;
use super::train::{Mass, Method, Settings, Target, Trainer};
use crate::error::{Error, Result};
use crate::field::{inside, map_tasks};
use crate::memory::require;
use crate::nn::Schedule;
use crate::random::{Purpose, Stream};
use faer::{MatRef, Side};
use rand::Rng;

/// An ensemble of PCD runs on known second moments.
#[derive(Debug, Clone)]
pub struct Ensemble {
    /// First weights, row-major `(n_visible, n_hidden)`.
    pub weights: Vec<f64>,
    /// Second moments of the target, row-major.
    pub correlation: Vec<f64>,
    /// Number of visible units.
    pub n_visible: usize,
    /// Common mass squared.
    pub mu2: f64,
    /// Hidden variance.
    pub sigma2_h: f64,
    /// Gibbs steps an update.
    pub k: usize,
    /// Persistent chains of one machine.
    pub chains: usize,
    /// Step size.
    pub learning_rate: f64,
    /// Updates that are not recorded.
    pub warmup: u64,
    /// Records a machine.
    pub records: usize,
    /// Updates between records.
    pub every: u64,
    /// Number of machines.
    pub members: usize,
    /// Seed.
    pub seed: u64,
}

/// Runs the ensemble; eigenvalues of K, ascending: `(members, records, n_visible)`.
pub fn run_ensemble(ensemble: &Ensemble) -> Result<Vec<f64>> {
    check_memory(ensemble)?;
    let seeds = Stream::new(ensemble.seed, Purpose::Start, 0);
    let mut members: Vec<Trainer<f64>> = (0..ensemble.members)
        .map(|member| start(ensemble, seeds.site(member as u32).next_u64()))
        .collect::<Result<_>>()?;
    let (n, records) = (ensemble.n_visible, ensemble.records);
    let mut out = vec![0.0; ensemble.members * records * n];
    advance(&mut members, ensemble.warmup)?;
    for record in 0..records {
        advance(&mut members, ensemble.every)?;
        for (member, trainer) in members.iter().enumerate() {
            let place = (member * records + record) * n;
            out[place..place + n].copy_from_slice(&spectrum(ensemble, &trainer.model().weights)?);
        }
    }
    Ok(out)
}

fn start(e: &Ensemble, seed: u64) -> Result<Trainer<f64>> {
    let (n, m) = (e.n_visible, e.weights.len() / e.n_visible);
    let layer = |size: usize, variance: f64| Layer {
        units: Units::Gaussian,
        bias: vec![0.0; size],
        variance: vec![variance; size],
    };
    let model = Model::new(e.weights.clone(), layer(n, 1.0 / e.mu2), layer(m, e.sigma2_h))?;
    let settings = Settings {
        method: Method::Pcd(e.k, e.chains),
        learning_rate: e.learning_rate,
        momentum: 0.0,
        weight_decay: 0.0,
        decay: 1.0,
        decay_every: 1,
        schedule: Schedule::Constant,
        mass: Mass::Fixed,
        train_visible: false,
        train_hidden: false,
        safe: false,
        seed,
    };
    Trainer::new(model, Target::Moments(e.correlation.clone(), vec![0.0; n]), settings, vec![1.0; e.chains * n])
}

/// Each machine once with its chains and working memory, and the records.
fn check_memory(e: &Ensemble) -> Result<()> {
    let [n, members, records, chains] = [e.n_visible, e.members, e.records, e.chains].map(|x| x as u128);
    let m = (e.weights.len() / e.n_visible.max(1)) as u128;
    let numbers = members.saturating_mul(records.saturating_mul(n));
    require(&format!("{members} machines with {records} records of {n} eigenvalues"), numbers.saturating_mul(8))?;
    let machines = members.saturating_mul(chains.saturating_mul(2 * (n + m)) + 2 * n * m);
    require(&format!("{members} machines of {n} visible and {m} hidden units with {chains} chains"), machines * 8)
}

fn advance(members: &mut [Trainer<f64>], epochs: u64) -> Result<()> {
    inside(|| map_tasks(members.iter_mut().collect(), |trainer| trainer.advance(epochs)).into_iter().collect())
}

fn spectrum(e: &Ensemble, weights: &[f64]) -> Result<Vec<f64>> {
    let (n, m) = (e.n_visible, weights.len() / e.n_visible);
    let w = MatRef::from_row_major_slice(weights, n, m);
    debug_assert!(Kernel::factor(w, &vec![e.mu2; n], e.sigma2_h).is_some());
    let gram = w * w.transpose();
    let mut values =
        gram.self_adjoint_eigenvalues(Side::Lower).map_err(|e| Error::value(format!("spectrum of K: {e:?}")))?;
    values.iter_mut().for_each(|x| *x = e.mu2 - e.sigma2_h * *x);
    values.reverse();
    Ok(values)
}
