//! Training: likelihood ascent W <- W + rate v with v <- beta v + (1 - beta) dL/dW, dL/dW = `<v h>_target - <v h>_model`,
//! negative phase exact, CD-k or persistent CD-k; K > 0 is certified at every step (sec. III of arXiv 2309.15002).

use super::super::exact::{CorrelationBasis, Kernel};
use super::super::layer::{Float, TASK, Units};
use super::super::model::Model;
use super::super::record::{Record, Reference};
use super::{Mass, Method, Settings, Target, TrainerState};
use crate::error::{Error, Result};
use crate::field::inside;
use crate::interrupt::poll;
use crate::memory::require;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// Most Gibbs steps an update; random numbers of a run are counted by half steps.
const MOST_STEPS: u64 = 1 << 32;

/// Rows of visible and (mean) hidden units that enter an average.
#[derive(Debug, Clone)]
pub(super) struct Rows<R> {
    pub(super) visible: Vec<R>,
    pub(super) hidden: Vec<R>,
    pub(super) sample: Vec<R>,
}

/// A training run that can stop and go on between any two steps.
#[derive(Debug, Clone)]
pub struct Trainer<R> {
    pub(super) model: Model<R>,
    pub(super) target: Target<R>,
    pub(super) settings: Settings,
    pub(super) state: TrainerState<R>,
    pub(super) reference: Option<Reference>,
    /// Eigenbasis of the target in which exact training runs: the positive phase is then a scaling.
    pub(super) basis: Option<CorrelationBasis>,
    pub(super) target_mean: Vec<f64>,
    pub(super) kernel: Option<Kernel>,
    pub(super) norm_bound: f64,
    pub(super) direction: Vec<f64>,
    pub(super) shuffle: Option<(u64, Vec<usize>)>,
    pub(super) positive: Rows<R>,
    pub(super) negative: Rows<R>,
    /// Chains before the step that is being done.
    pub(super) before: [Vec<R>; 2],
    pub(super) step_norm: f64,
}

impl<R: Float> Trainer<R> {
    /// Prepares a run; the chains of PCD start at `start` (rows, visible).
    pub fn new(model: Model<R>, target: Target<R>, settings: Settings, start: Vec<R>) -> Result<Self> {
        let size = model.weights.len();
        let small = [wide(&model.visible.bias), wide(&model.hidden.bias), masses(&model)];
        let small_velocity = small.clone().map(|v| vec![0.0; v.len()]);
        let state = TrainerState {
            weights: Vec::new(),
            velocity: vec![R::ZERO; size],
            small,
            small_velocity,
            chains: start,
            chains_hidden: Vec::new(),
            epoch: 0,
            position: 0,
            draws: 0,
            backtracks: 0,
        };
        let none = || Rows { visible: Vec::new(), hidden: Vec::new(), sample: Vec::new() };
        let mut trainer = Self {
            model,
            target,
            settings,
            state,
            reference: None,
            basis: None,
            target_mean: Vec::new(),
            kernel: None,
            norm_bound: f64::INFINITY,
            direction: Vec::new(),
            shuffle: None,
            positive: none(),
            negative: none(),
            before: [Vec::new(), Vec::new()],
            step_norm: 0.0,
        };
        trainer.check_size()?;
        inside(|| trainer.prepare())?;
        Ok(trainer)
    }

    /// Refuses counts that no machine can do, before memory is taken.
    fn check_size(&self) -> Result<()> {
        let (n, m) = (self.model.visible.len() as u128, self.model.hidden.len() as u128);
        let (Method::Cd(k) | Method::Pcd(k, _)) = self.settings.method else { return Ok(()) };
        if k as u64 > MOST_STEPS {
            return Err(Error::value(format!("k = {k} Gibbs steps an update; allowed are 1 to {MOST_STEPS}")));
        }
        let chains = self.state.chains.len() as u128 / n;
        let batch = match &self.target {
            Target::Data(rows, batch) => (*batch as u128).min(rows.len() as u128 / n),
            Target::Moments(..) => 0,
        };
        // Units of both layers at both ends of the steps, and chains as they were before.
        let numbers = match self.settings.method {
            Method::Cd(_) => 3 * batch * (n + m),
            _ => 3 * chains * (n + m) + chains * m + batch * (n + m),
        };
        let what = format!("minibatches of {batch} and {chains} chains with {n} visible and {m} hidden units");
        require(&what, numbers * size_of::<R>() as u128)
    }

    fn prepare(&mut self) -> Result<()> {
        let exact = matches!(self.settings.method, Method::Exact | Method::Em);
        let moments = matches!(self.target, Target::Moments(..));
        if (exact || moments) && !self.gaussian() {
            return Err(Error::value(
                "exact phases need Gaussian units in both layers; give data and use \"cd\" or \"pcd\"",
            ));
        }
        if exact || moments {
            self.reference()?;
        }
        if self.settings.method == Method::Em {
            let plain = self.state.small[1].iter().all(|b| *b == 0.0) && !self.settings.train_hidden;
            if !(plain && self.common_mass() && self.settings.mass == Mass::Fixed) {
                return Err(Error::value(
                    "method=\"em\" needs eta = 0 and one fixed mass; use method=\"exact\", or remove the mean of the data",
                ));
            }
        }
        if exact {
            let fixed_frame = self.settings.mass == Mass::Local || !self.common_mass();
            let reference = self.reference()?.clone();
            self.target_mean.clone_from(&reference.mean);
            if self.settings.method == Method::Exact && !fixed_frame {
                self.target_mean = turn(&reference.basis, &reference.mean, 1, true);
                self.basis = Some(reference.basis);
                self.model.weights = self.turned(&self.model.weights, true);
            }
        }
        if self.gaussian() && !self.positive_kernel() {
            return Err(Error::value(format!(
                "K is not positive at the start: sigma_h^2 xi_max^2 = {:.6} must stay below mu^2 = {:.6}; \
                 scale the weights down or raise mu2",
                self.hidden_variance() * self.spectral_norm().powi(2),
                self.lowest_precision()
            )));
        }
        if matches!(self.settings.method, Method::Pcd(..)) {
            self.start_chains();
        }
        Ok(())
    }

    /// The machine as it is now.
    pub fn model(&self) -> Model<R> {
        let mut model = self.model.clone();
        model.weights = self.turned(&model.weights, false);
        model
    }

    /// The state to store.
    pub fn state(&self) -> TrainerState<R> {
        TrainerState { weights: self.model.weights.clone(), ..self.state.clone() }
    }

    /// Goes on from a stored state of the same run.
    pub fn restore(&mut self, state: TrainerState<R>) -> Result<()> {
        let now = self.state();
        let same = state.weights.len() == now.weights.len()
            && state.velocity.len() == now.velocity.len()
            && (0..3).all(|k| {
                state.small[k].len() == now.small[k].len() && state.small_velocity[k].len() == now.small[k].len()
            })
            && state.chains.len() == now.chains.len()
            && state.chains_hidden.len() == now.chains_hidden.len();
        if !same {
            return Err(Error::value("the stored training state belongs to another machine or other settings"));
        }
        self.model.weights.clone_from(&state.weights);
        self.state = state;
        self.state.weights = Vec::new();
        self.kernel = None;
        self.norm_bound = f64::INFINITY;
        self.write_small();
        if self.gaussian() && !self.positive_kernel() {
            return Err(Error::value("the stored training state has a kernel that is not positive"));
        }
        Ok(())
    }

    /// Frobenius norm of the last change of W.
    pub fn step_norm(&self) -> f64 {
        self.step_norm
    }

    /// Finished epochs.
    pub fn epoch(&self) -> u64 {
        self.state.epoch
    }

    /// Steps that were halved.
    pub fn backtracks(&self) -> u64 {
        self.state.backtracks
    }

    /// Visible rows of the persistent chains.
    pub fn chains(&self) -> &[R] {
        &self.state.chains
    }

    /// Trains for `epochs` more epochs; after an interruption the state is that of the last finished step.
    pub fn advance(&mut self, epochs: u64) -> Result<()> {
        let end = self.state.epoch.saturating_add(epochs);
        if self.small() { self.steps_until(end) } else { inside(|| self.steps_until(end)) }
    }

    /// Too small to be cut into tasks: the calling thread does it alone.
    fn small(&self) -> bool {
        let batch = if let Target::Data(_, batch) = &self.target { *batch } else { 0 };
        let rows = batch.max(self.state.chains.len() / self.model.visible.len());
        let widest = self.model.visible.len().max(self.model.hidden.len());
        widest < 64 && rows * widest <= TASK
    }

    fn steps_until(&mut self, end: u64) -> Result<()> {
        while self.state.epoch < end {
            poll()?;
            self.step()?;
        }
        Ok(())
    }

    /// Spectrum, angles and likelihood of a Gaussian machine.
    pub fn record(&mut self) -> Result<Record> {
        let precision = wide(&self.model.visible.variance).iter().map(|v| 1.0 / v).collect::<Vec<_>>();
        let eta: Vec<f64> = self.state.small[1].iter().map(|b| b * self.hidden_variance()).collect();
        let weights = wide(&self.turned(&self.model.weights, false));
        let (n, m, s) = (self.model.visible.len(), self.model.hidden.len(), self.hidden_variance());
        self.reference()?.record(MatRef::from_row_major_slice(&weights, n, m), &precision, s, &eta)
    }

    /// Singular values of W, descending.
    pub fn singular_values(&self) -> Result<Vec<f64>> {
        let weights = wide(&self.model.weights);
        let matrix = MatRef::from_row_major_slice(&weights, self.model.visible.len(), self.model.hidden.len());
        let mut values = matrix.singular_values().map_err(|e| Error::value(format!("singular values: {e:?}")))?;
        values.sort_by(|a, b| b.total_cmp(a));
        Ok(values)
    }

    pub(super) fn gaussian(&self) -> bool {
        self.model.visible.units == Units::Gaussian && self.model.hidden.units == Units::Gaussian
    }

    pub(super) fn hidden_variance(&self) -> f64 {
        self.model.hidden.variance[0].wide()
    }

    pub(super) fn common_mass(&self) -> bool {
        let variance = &self.model.visible.variance;
        variance.iter().all(|v| *v == variance[0])
    }

    pub(super) fn lowest_precision(&self) -> f64 {
        self.model.visible.variance.iter().map(|v| 1.0 / v.wide()).fold(f64::INFINITY, f64::min)
    }

    pub(super) fn reference(&mut self) -> Result<&Reference> {
        if self.reference.is_none() {
            self.reference = Some(match &self.target {
                Target::Moments(second, mean) => Reference::new(second.clone(), mean.clone()),
                Target::Data(rows, _) => Reference::of_rows(rows, self.model.visible.len()),
            }?);
        }
        self.reference.as_ref().ok_or_else(|| Error::value("the target has no moments"))
    }

    fn turned(&self, weights: &[R], forward: bool) -> Vec<R> {
        match &self.basis {
            Some(basis) => {
                turn(basis, &wide(weights), self.model.hidden.len(), forward).iter().map(|x| R::of(*x)).collect()
            }
            None => weights.to_vec(),
        }
    }

    /// One update of all parameters.
    fn step(&mut self) -> Result<()> {
        let settings = &self.settings;
        let decayed = settings.decay.powf((self.state.epoch / settings.decay_every.max(1)) as f64);
        let rate = settings.learning_rate * decayed * settings.schedule.factor(self.state.epoch);
        if settings.method == Method::Em {
            self.em_step()?;
        } else {
            self.gradient_step(rate)?;
        }
        self.state.position += 1;
        if self.state.position >= self.steps_per_epoch() {
            self.state.position = 0;
            self.state.epoch += 1;
        }
        Ok(())
    }

    fn steps_per_epoch(&self) -> u64 {
        match (&self.target, self.settings.method) {
            (Target::Data(rows, batch), Method::Cd(_) | Method::Pcd(..)) => {
                (rows.len() / self.model.visible.len()).div_ceil(*batch) as u64
            }
            _ => 1,
        }
    }
}

fn masses<R: Float>(model: &Model<R>) -> Vec<f64> {
    model.visible.variance.iter().map(|v| (1.0 / v.wide()).sqrt()).collect()
}

/// O^T B (forward) or O B for row-major B with `columns` columns.
fn turn(basis: &CorrelationBasis, b: &[f64], columns: usize, forward: bool) -> Vec<f64> {
    let n = basis.values.len();
    let (o, b) = (basis.matrix(), MatRef::from_row_major_slice(b, n, columns));
    let o = if forward { o.transpose() } else { o };
    let mut out = vec![0.0; n * columns];
    matmul(MatMut::from_row_major_slice_mut(&mut out, n, columns), Accum::Replace, o, b, 1.0, Par::Seq);
    out
}

/// A copy in double precision.
pub(super) fn wide<R: Float>(x: &[R]) -> Vec<f64> {
    R::widen(x).into_owned()
}
