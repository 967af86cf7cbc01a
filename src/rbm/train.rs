//! Training: likelihood ascent W <- W + rate v with v <- beta v + (1 - beta) dL/dW, dL/dW = `<v h>_target - <v h>_model`,
//! negative phase exact, CD-k or persistent CD-k; K > 0 is certified at every step (sec. III of arXiv 2309.15002).

use super::em;
use super::exact::{CorrelationBasis, Kernel, chunk_rows, dominated};
use super::layer::{Float, TASK, Units};
use super::model::Model;
use super::record::{Record, Reference};
use crate::error::{Error, Result};
use crate::field::inside;
use crate::interrupt::poll;
use crate::rng::{Purpose, Stream};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;
use std::time::{Duration, Instant};

/// Steps are done inside the thread pool, so that small ones do not pay for the way in; Ctrl-C is looked for in between.
pub(super) const BETWEEN_POLLS: Duration = Duration::from_millis(20);

/// What the machine learns.
#[derive(Debug, Clone)]
pub enum Target<R> {
    /// Rows of visible configurations, taken in shuffled minibatches of this size.
    Data(Vec<R>, usize),
    /// Second moments (row-major) and means of the target.
    Moments(Vec<f64>, Vec<f64>),
}

/// How the model average of the gradient is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Cholesky.
    Exact,
    /// Expectation maximisation instead of a gradient.
    Em,
    /// k Gibbs steps from the data.
    Cd(usize),
    /// k Gibbs steps of this many persistent chains.
    Pcd(usize, usize),
}

/// Is the mass trained, and as one number or one a site?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mass {
    /// Kept.
    Fixed,
    /// One mass, gradient -mu sum_i [<phi_i^2>_target - <phi_i^2>_model].
    Global,
    /// One mass a site.
    Local,
}

/// All numbers of a training run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Negative phase.
    pub method: Method,
    /// Step size.
    pub learning_rate: f64,
    /// beta of the running mean of gradients.
    pub momentum: f64,
    /// W loses `learning_rate * weight_decay * W` a step.
    pub weight_decay: f64,
    /// The step size is multiplied by this ...
    pub decay: f64,
    /// ... after every so many epochs.
    pub decay_every: u64,
    /// Trained masses.
    pub mass: Mass,
    /// Train the visible biases.
    pub train_visible: bool,
    /// Train the hidden biases (eta of Gaussian units).
    pub train_hidden: bool,
    /// Halve a step that would make K lose positivity instead of failing.
    pub safe: bool,
    /// Seed of minibatches and chains.
    pub seed: u64,
}

/// Everything that changes along a run.
#[derive(Debug, Clone)]
pub struct TrainerState<R> {
    /// Weights in the training basis.
    pub weights: Vec<R>,
    /// Running mean of weight gradients.
    pub velocity: Vec<R>,
    /// Biases and masses: visible bias, hidden bias, visible mu.
    pub small: [Vec<f64>; 3],
    /// Their running gradients.
    pub small_velocity: [Vec<f64>; 3],
    /// Visible rows of the persistent chains.
    pub chains: Vec<R>,
    /// Hidden rows of the persistent chains.
    pub chains_hidden: Vec<R>,
    /// Finished epochs.
    pub epoch: u64,
    /// Minibatches done in this epoch.
    pub position: u64,
    /// Half steps drawn.
    pub draws: u64,
    /// Steps halved to keep K positive.
    pub backtracks: u64,
}

/// Rows of visible and (mean) hidden units that enter an average.
#[derive(Debug, Clone)]
struct Rows<R> {
    visible: Vec<R>,
    hidden: Vec<R>,
    sample: Vec<R>,
}

/// A training run that can stop and go on between any two steps.
#[derive(Debug, Clone)]
pub struct Trainer<R> {
    model: Model<R>,
    target: Target<R>,
    settings: Settings,
    state: TrainerState<R>,
    reference: Option<Reference>,
    /// Eigenbasis of the target in which exact training runs: the positive phase is then a scaling.
    basis: Option<CorrelationBasis>,
    target_mean: Vec<f64>,
    kernel: Option<Kernel>,
    norm_bound: f64,
    direction: Vec<f64>,
    shuffle: Option<(u64, Vec<usize>)>,
    positive: Rows<R>,
    negative: Rows<R>,
    step_norm: f64,
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
            step_norm: 0.0,
        };
        inside(|| trainer.prepare())?;
        Ok(trainer)
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
        let end = self.state.epoch + epochs;
        while self.state.epoch < end {
            poll()?;
            if self.small() { self.steps_until(end) } else { inside(|| self.steps_until(end)) }?;
        }
        Ok(())
    }

    /// Too small to be cut into tasks: the calling thread does it alone.
    fn small(&self) -> bool {
        let batch = if let Target::Data(_, batch) = &self.target { *batch } else { 0 };
        let rows = batch.max(self.state.chains.len() / self.model.visible.len());
        let widest = self.model.visible.len().max(self.model.hidden.len());
        widest < 64 && rows * widest <= TASK
    }

    fn steps_until(&mut self, end: u64) -> Result<()> {
        let start = Instant::now();
        while self.state.epoch < end && start.elapsed() < BETWEEN_POLLS {
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

    fn gaussian(&self) -> bool {
        self.model.visible.units == Units::Gaussian && self.model.hidden.units == Units::Gaussian
    }

    fn hidden_variance(&self) -> f64 {
        self.model.hidden.variance[0].wide()
    }

    fn common_mass(&self) -> bool {
        let variance = &self.model.visible.variance;
        variance.iter().all(|v| *v == variance[0])
    }

    fn lowest_precision(&self) -> f64 {
        self.model.visible.variance.iter().map(|v| 1.0 / v.wide()).fold(f64::INFINITY, f64::min)
    }

    fn reference(&mut self) -> Result<&Reference> {
        if self.reference.is_none() {
            let (second, mean) = match &self.target {
                Target::Moments(second, mean) => (second.clone(), mean.clone()),
                Target::Data(rows, _) => moments(rows, self.model.visible.len()),
            };
            self.reference = Some(Reference::new(second, mean)?);
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

    fn next_draw(&mut self) -> Stream {
        self.state.draws += 1;
        Stream::new(self.settings.seed, Purpose::Gibbs, self.state.draws - 1)
    }

    fn start_chains(&mut self) {
        let rows = self.state.chains.len() / self.model.visible.len();
        let mut hidden = vec![R::ZERO; rows * self.model.hidden.len()];
        self.model.hidden_mean(&self.state.chains, &mut hidden);
        let stream = self.next_draw();
        self.model.hidden.sample(&stream, 0, &mut hidden);
        self.state.chains_hidden = hidden;
    }

    /// One update of all parameters.
    fn step(&mut self) -> Result<()> {
        let settings = &self.settings;
        let rate =
            settings.learning_rate * settings.decay.powf((self.state.epoch / settings.decay_every.max(1)) as f64);
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

    fn em_step(&mut self) -> Result<()> {
        let (n, m, s) = (self.model.visible.len(), self.model.hidden.len(), self.hidden_variance());
        let (mu2, old) = (self.lowest_precision(), wide(&self.model.weights));
        let second = self.reference()?.second.clone();
        let new =
            em::step(MatRef::from_row_major_slice(&old, n, m), MatRef::from_row_major_slice(&second, n, n), mu2, s)?;
        self.step_norm = (0..n * m).map(|k| (new[(k / m, k % m)] - old[k]).powi(2)).sum::<f64>().sqrt();
        self.model.weights = (0..n * m).map(|k| R::of(new[(k / m, k % m)])).collect();
        Ok(())
    }

    fn gradient_step(&mut self, rate: f64) -> Result<()> {
        let fresh = 1.0 - self.settings.momentum;
        match self.settings.method {
            Method::Cd(k) => {
                self.load_batch();
                self.run_from_data(k);
            }
            Method::Pcd(k, _) => {
                if matches!(self.target, Target::Data(..)) {
                    self.load_batch();
                    self.mean_of_data();
                }
                self.run_chains(k);
            }
            _ => {}
        }
        let positive = self.positive_gradient()?;
        let negative = self.negative_gradient();
        self.update_velocity(&positive, &negative, fresh);
        self.update_small_velocity(fresh)?;
        self.apply(rate)
    }

    /// Gathers the next minibatch.
    fn load_batch(&mut self) {
        let Target::Data(rows, batch) = &self.target else { return };
        let n = self.model.visible.len();
        let total = rows.len() / n;
        if self.shuffle.as_ref().is_none_or(|(epoch, _)| *epoch != self.state.epoch) {
            let mut order: Vec<usize> = (0..total).collect();
            let mut rng = Stream::new(self.settings.seed, Purpose::Batches, self.state.epoch).site(0);
            for i in (1..total).rev() {
                order.swap(i, rng.below(i + 1));
            }
            self.shuffle = Some((self.state.epoch, order));
        }
        let Some((_, order)) = &self.shuffle else { return };
        let start = self.state.position as usize * batch;
        self.positive.visible.clear();
        for &row in &order[start..(start + batch).min(total)] {
            self.positive.visible.extend_from_slice(&rows[row * n..(row + 1) * n]);
        }
    }

    fn mean_of_data(&mut self) {
        let rows = &mut self.positive;
        rows.hidden.resize(rows.visible.len() / self.model.visible.len() * self.model.hidden.len(), R::ZERO);
        self.model.hidden_mean(&rows.visible, &mut rows.hidden);
    }

    /// CD: the chains start at the minibatch; hidden means at both ends are kept.
    fn run_from_data(&mut self, k: usize) {
        let draws: Vec<Stream> = (0..2 * k).map(|_| self.next_draw()).collect();
        self.mean_of_data();
        let (model, data, chain) = (&self.model, &self.positive, &mut self.negative);
        chain.visible.resize(data.visible.len(), R::ZERO);
        chain.hidden.resize(data.hidden.len(), R::ZERO);
        chain.sample.resize(data.hidden.len(), R::ZERO);
        model.hidden.draw_around(&data.hidden, &draws[0], &mut chain.sample);
        gibbs(model, &mut chain.visible, &mut chain.hidden, &mut chain.sample, k, &draws[1..]);
    }

    /// PCD: the chains go on from their hidden units.
    fn run_chains(&mut self, k: usize) {
        let draws: Vec<Stream> = (0..2 * k).map(|_| self.next_draw()).collect();
        let (model, chain, state) = (&self.model, &mut self.negative, &mut self.state);
        chain.hidden.resize(state.chains_hidden.len(), R::ZERO);
        gibbs(model, &mut state.chains, &mut chain.hidden, &mut state.chains_hidden, k, &draws);
        model.hidden.draw_around(&chain.hidden, &draws[2 * k - 1], &mut state.chains_hidden);
    }

    /// The positive phase, where it is not an average over rows.
    fn positive_gradient(&mut self) -> Result<Part> {
        if matches!(self.settings.method, Method::Cd(_) | Method::Pcd(..)) && matches!(self.target, Target::Data(..)) {
            return Ok(Part::Rows);
        }
        if self.basis.is_some() {
            return Ok(Part::Scaling);
        }
        let (n, m, s) = (self.model.visible.len(), self.model.hidden.len(), self.hidden_variance());
        let eta: Vec<f64> = self.state.small[1].iter().map(|b| b * s).collect();
        let weights = R::widen(&self.model.weights);
        let Some(reference) = &self.reference else { return Err(Error::value("the target has no moments")) };
        let mut out = vec![0.0; n * m];
        let rows = chunk_rows(n, m);
        let second = MatRef::from_row_major_slice(&reference.second, n, n);
        out.par_chunks_mut(rows * m).enumerate().for_each(|(c, out)| {
            let count = out.len() / m;
            let target = MatMut::from_row_major_slice_mut(out, count, m);
            let w = MatRef::from_row_major_slice(&weights, n, m);
            matmul(target, Accum::Replace, second.subrows(c * rows, count), w, s, Par::Seq);
            for (i, row) in out.chunks_exact_mut(m).enumerate() {
                row.iter_mut().zip(&eta).for_each(|(x, e)| *x += reference.mean[c * rows + i] * e);
            }
        });
        Ok(Part::Full(out))
    }

    /// The negative phase, where it is not an average over rows: `s K^{-1} W + m <h>^T`.
    fn negative_gradient(&mut self) -> Part {
        if self.settings.method != Method::Exact {
            return Part::Rows;
        }
        let (n, m, s) = (self.model.visible.len(), self.model.hidden.len(), self.hidden_variance());
        let precision: Vec<f64> = self.model.visible.variance.iter().map(|v| 1.0 / v.wide()).collect();
        let weights = R::widen(&self.model.weights);
        let w = MatRef::from_row_major_slice(&weights, n, m);
        let kernel = self.kernel.take().or_else(|| Kernel::factor(w, &precision, s));
        let Some(kernel) = kernel else { return Part::Rows };
        let mut x = kernel.solve(w);
        let (mean, hidden) = self.model_means(&x);
        x.par_chunks_mut(m).enumerate().for_each(|(i, row)| {
            row.iter_mut().zip(&hidden).for_each(|(x, h)| *x = s * *x + mean[i] * h);
        });
        self.kernel = Some(kernel);
        Part::Full(x)
    }

    /// `<phi> = K^{-1} W eta` and `<h> = eta + s W^T <phi>`, from X = K^{-1} W.
    fn model_means(&self, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (m, s) = (self.model.hidden.len(), self.hidden_variance());
        let eta: Vec<f64> = self.state.small[1].iter().map(|b| b * s).collect();
        if eta.iter().all(|e| *e == 0.0) {
            return (vec![0.0; self.model.visible.len()], eta);
        }
        let mean: Vec<f64> = x.chunks_exact(m).map(|row| row.iter().zip(&eta).map(|(x, e)| x * e).sum()).collect();
        let mut hidden = eta;
        for (row, phi) in self.model.weights.chunks_exact(m).zip(&mean) {
            row.iter().zip(&mut hidden).for_each(|(w, h)| *h += s * w.wide() * phi);
        }
        (mean, hidden)
    }

    /// v <- beta v + (1 - beta) (positive - negative), in parallel over rows of W.
    fn update_velocity(&mut self, positive: &Part, negative: &Part, fresh: f64) {
        let m = self.model.hidden.len();
        let rows = chunk_rows(self.model.visible.len(), m);
        let mut velocity = std::mem::take(&mut self.state.velocity);
        let (beta, this) = (R::of(self.settings.momentum), &*self);
        velocity.par_chunks_mut(rows * m).enumerate().for_each(|(c, v)| {
            if beta == R::ZERO {
                v.fill(R::ZERO);
            } else {
                v.iter_mut().for_each(|x| *x = beta * *x);
            }
            let (chains, end) = (&this.negative, this.chain_end());
            this.accumulate(v, c * rows, positive, &this.positive.visible, &this.positive.hidden, fresh);
            this.accumulate(v, c * rows, negative, end, &chains.hidden, -fresh);
        });
        self.state.velocity = velocity;
    }

    /// Visible rows at the end of the chains.
    fn chain_end(&self) -> &[R] {
        if matches!(self.settings.method, Method::Pcd(..)) { &self.state.chains } else { &self.negative.visible }
    }

    fn accumulate(&self, out: &mut [R], first: usize, part: &Part, visible: &[R], hidden: &[R], factor: f64) {
        let (n, m) = (self.model.visible.len(), self.model.hidden.len());
        let count = out.len() / m;
        match part {
            Part::Rows => {
                let rows = visible.len() / n;
                let v = MatRef::from_row_major_slice(visible, rows, n).subcols(first, count).transpose();
                let h = MatRef::from_row_major_slice(hidden, rows, m);
                let out = MatMut::from_row_major_slice_mut(out, count, m);
                matmul(out, Accum::Add, v, h, R::of(factor / rows as f64), Par::Seq);
            }
            Part::Full(gradient) => {
                let part = &gradient[first * m..first * m + out.len()];
                out.iter_mut().zip(part).for_each(|(x, g)| *x += R::of(factor * g));
            }
            Part::Scaling => {
                let Some(basis) = &self.basis else { return };
                let s = self.hidden_variance();
                let eta: Vec<f64> = self.state.small[1].iter().map(|b| b * s).collect();
                for (i, row) in out.chunks_exact_mut(m).enumerate() {
                    let (scale, mean) = (factor * s * basis.values[first + i], factor * self.target_mean[first + i]);
                    let w = &self.model.weights[(first + i) * m..(first + i + 1) * m];
                    let terms = row.iter_mut().zip(w).zip(&eta);
                    terms.for_each(|((x, w), e)| *x += R::of(scale * w.wide() + mean * e));
                }
            }
        }
    }

    fn update_small_velocity(&mut self, fresh: f64) -> Result<()> {
        let (beta, gradients) = (self.settings.momentum, self.small_gradients()?);
        for (velocity, gradient) in self.state.small_velocity.iter_mut().zip(gradients) {
            for (v, g) in velocity.iter_mut().zip(gradient) {
                *v = beta * *v + fresh * g;
            }
        }
        Ok(())
    }

    /// Gradients by visible bias, hidden bias (by eta for Gaussian units) and mu; empty where nothing is trained.
    fn small_gradients(&mut self) -> Result<[Vec<f64>; 3]> {
        let mut out = [Vec::new(), Vec::new(), Vec::new()];
        let settings = self.settings.clone();
        if !(settings.train_visible || settings.train_hidden || settings.mass != Mass::Fixed) {
            return Ok(out);
        }
        let [target, model] = self.averages()?;
        let difference = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<f64>>();
        if settings.train_visible {
            out[0] = difference(&target.visible, &model.visible);
        }
        if settings.train_hidden {
            let s = if self.model.hidden.units == Units::Gaussian { self.hidden_variance() } else { 1.0 };
            out[1] = difference(&target.hidden, &model.hidden).iter().map(|g| g / s).collect();
        }
        if settings.mass != Mass::Fixed {
            let mut g = difference(&model.square, &target.square);
            g.iter_mut().zip(&self.state.small[2]).for_each(|(g, mu)| *g *= mu);
            if settings.mass == Mass::Global {
                let sum = g.iter().sum();
                g.fill(sum);
            }
            out[2] = g;
        }
        Ok(out)
    }

    /// `<v>`, `<h>`, `<v^2>` of target and model.
    fn averages(&mut self) -> Result<[Averages; 2]> {
        let (n, m, s) = (self.model.visible.len(), self.model.hidden.len(), self.hidden_variance());
        let sampled = matches!(self.settings.method, Method::Cd(_) | Method::Pcd(..));
        let target = match (&self.target, sampled) {
            (Target::Data(..), true) => Averages::of(&self.positive.visible, &self.positive.hidden, n, m),
            _ => {
                let reference = self.reference()?.clone();
                let square = match &self.basis {
                    // only the sum enters for a common mass, and the trace is the same in every basis
                    Some(basis) => basis.values.clone(),
                    None => (0..n).map(|i| reference.second[i * n + i]).collect(),
                };
                let visible = if self.basis.is_some() { self.target_mean.clone() } else { reference.mean };
                let mut hidden: Vec<f64> = self.state.small[1].iter().map(|b| b * s).collect();
                for (row, phi) in self.model.weights.chunks_exact(m).zip(&visible) {
                    row.iter().zip(&mut hidden).for_each(|(w, h)| *h += s * w.wide() * phi);
                }
                Averages { visible, hidden, square }
            }
        };
        if sampled {
            return Ok([target, Averages::of(self.chain_end(), &self.negative.hidden, n, m)]);
        }
        let precision: Vec<f64> = self.model.visible.variance.iter().map(|v| 1.0 / v.wide()).collect();
        let weights = wide(&self.model.weights);
        let w = MatRef::from_row_major_slice(&weights, n, m);
        let Some(kernel) = self.kernel.take().or_else(|| Kernel::factor(w, &precision, s)) else {
            return Err(self.not_positive(self.settings.learning_rate));
        };
        let (visible, hidden) = self.model_means(&kernel.solve(w));
        let diagonal = kernel.inverse_diagonal(w, &precision, s);
        let square = diagonal.iter().zip(&visible).map(|(d, m)| d + m * m).collect();
        self.kernel = Some(kernel);
        Ok([target, Averages { visible, hidden, square }])
    }

    /// Moves along the velocities; halves the step (safe) or fails when K would stop being positive.
    fn apply(&mut self, rate: f64) -> Result<()> {
        let (decay, before) = (self.settings.weight_decay, self.state.small.clone());
        let mut size = rate;
        for _ in 0..60 {
            let norm = self.shift_weights(1.0 - size * decay, size);
            for (value, velocity) in self.state.small.iter_mut().zip(&self.state.small_velocity) {
                value.iter_mut().zip(velocity).for_each(|(x, v)| *x += size * v);
            }
            self.step_eta(&before, size);
            self.write_small();
            self.norm_bound += norm;
            if norm.is_finite() && (!self.gaussian() || self.positive_kernel()) {
                self.step_norm = norm;
                return Ok(());
            }
            self.shift_weights_back(1.0 - size * decay, size);
            self.state.small.clone_from(&before);
            self.write_small();
            self.norm_bound = f64::INFINITY;
            if !self.settings.safe || !norm.is_finite() {
                return Err(self.not_positive(size));
            }
            self.state.backtracks += 1;
            size *= 0.5;
            let half = R::of(0.5);
            self.state.velocity.iter_mut().for_each(|v| *v = half * *v);
            self.state.small_velocity.iter_mut().flatten().for_each(|v| *v *= 0.5);
        }
        Err(self.not_positive(size))
    }

    /// The hidden bias is eta / s: a step in eta is a step by 1/s in the bias.
    fn step_eta(&mut self, before: &[Vec<f64>; 3], size: f64) {
        if self.model.hidden.units == Units::Gaussian {
            let s = self.hidden_variance();
            let terms = self.state.small[1].iter_mut().zip(&before[1]).zip(&self.state.small_velocity[1]);
            terms.for_each(|((x, old), v)| *x = old + size * v / s);
        }
    }

    /// W <- keep W + size v; returns the norm of the change, summed over fixed chunks in order.
    fn shift_weights(&mut self, keep: f64, size: f64) -> f64 {
        let rows = chunk_rows(self.model.visible.len(), self.model.hidden.len()) * self.model.hidden.len();
        let (keep, size) = (R::of(keep), R::of(size));
        let chunks = self.model.weights.par_chunks_mut(rows).zip(self.state.velocity.par_chunks(rows));
        let norms: Vec<f64> = chunks
            .map(|(weights, velocity)| pulp::Arch::new().dispatch(Shift { weights, velocity, keep, size }))
            .collect();
        norms.iter().sum::<f64>().sqrt()
    }

    fn shift_weights_back(&mut self, keep: f64, size: f64) {
        let (keep, size) = (R::of(keep), R::of(size));
        let terms = self.model.weights.iter_mut().zip(&self.state.velocity);
        terms.for_each(|(w, v)| *w = (*w - size * *v) / keep);
    }

    fn write_small(&mut self) {
        let narrow = |x: &Vec<f64>| x.iter().map(|x| R::of(*x)).collect::<Vec<R>>();
        self.model.visible.bias = narrow(&self.state.small[0]);
        self.model.hidden.bias = narrow(&self.state.small[1]);
        if self.settings.mass != Mass::Fixed {
            self.model.visible.variance = self.state.small[2].iter().map(|mu| R::of(1.0 / (mu * mu))).collect();
        }
    }

    /// Certifies K > 0. Since ||W|| <= ||W_0|| + sum of the norms of all steps since W_0 was measured, nothing has to be
    /// factored while that bound stays below mu / sigma_h; the exact method factors anyway.
    fn positive_kernel(&mut self) -> bool {
        let (n, m, s) = (self.model.visible.len(), self.model.hidden.len(), self.hidden_variance());
        let (lowest, exact) = (self.lowest_precision(), self.settings.method == Method::Exact);
        if !exact && s * self.norm_bound.powi(2) < lowest {
            return true;
        }
        let estimate = if exact { f64::INFINITY } else { self.spectral_norm() };
        let precision: Vec<f64> = self.model.visible.variance.iter().map(|v| 1.0 / v.wide()).collect();
        let weights = R::widen(&self.model.weights);
        let w = MatRef::from_row_major_slice(&weights, n, m);
        let limit = (lowest / s).sqrt();
        let trial = estimate + 0.25 * (limit - estimate);
        if estimate < limit && dominated(w, trial * trial, 1.0) {
            self.norm_bound = trial;
            return true;
        }
        self.norm_bound = f64::INFINITY;
        self.kernel = Kernel::factor(w, &precision, s);
        self.kernel.is_some()
    }

    /// Largest singular value by power iteration from the last direction: a lower bound that tightens.
    fn spectral_norm(&mut self) -> f64 {
        let m = self.model.hidden.len();
        if self.direction.len() != m {
            self.direction = (0..m).map(|a| 1.0 + 0.01 * (a as f64).sin()).collect();
        }
        let mut norm = 0.0f64;
        for _ in 0..30 {
            let length = self.direction.iter().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
            self.direction.iter_mut().for_each(|x| *x /= length);
            let mut image = vec![0.0; m];
            for row in self.model.weights.chunks_exact(m) {
                let y: f64 = row.iter().zip(&self.direction).map(|(w, x)| w.wide() * x).sum();
                row.iter().zip(&mut image).for_each(|(w, z)| *z += w.wide() * y);
            }
            let old = norm;
            norm = image.iter().map(|x| x * x).sum::<f64>().sqrt().sqrt();
            self.direction = image;
            if (norm - old).abs() < 1e-3 * norm {
                break;
            }
        }
        norm
    }

    fn not_positive(&mut self, rate: f64) -> Error {
        Error::Convergence {
            message: format!(
                "K = mu^2 - sigma_h^2 W W^T would stop being positive (or finite) in epoch {}: sigma_h^2 xi_max^2 = {:.6} \
                 before the step, mu^2 = {:.6}, learning rate {rate:.3e}; use a smaller learning_rate, safe=True, \
                 or method=\"em\"",
                self.state.epoch + 1,
                self.hidden_variance() * self.spectral_norm().powi(2),
                self.lowest_precision()
            ),
            history: Vec::new(),
        }
    }
}

/// Where one phase of the gradient comes from.
enum Part {
    Rows,
    Scaling,
    Full(Vec<f64>),
}

struct Averages {
    visible: Vec<f64>,
    hidden: Vec<f64>,
    square: Vec<f64>,
}

impl Averages {
    fn of<R: Float>(visible: &[R], hidden: &[R], n: usize, m: usize) -> Self {
        let rows = (visible.len() / n) as f64;
        let mean = |data: &[R], width: usize, f: fn(f64) -> f64| {
            let mut sum = vec![0.0; width];
            for row in data.chunks_exact(width) {
                row.iter().zip(&mut sum).for_each(|(x, s)| *s += f(x.wide()) / rows);
            }
            sum
        };
        Self { visible: mean(visible, n, |x| x), hidden: mean(hidden, m, |x| x), square: mean(visible, n, |x| x * x) }
    }
}

/// k steps h -> v -> h; leaves the last visible sample and the hidden means given it.
fn gibbs<R: Float>(model: &Model<R>, v: &mut [R], h: &mut [R], sample: &mut [R], k: usize, draws: &[Stream]) {
    for j in 0..k {
        model.draw_visible(sample, &draws[2 * j], v);
        model.hidden_mean(v, h);
        if j + 1 < k {
            model.hidden.draw_around(h, &draws[2 * j + 1], sample);
        }
    }
}

/// W <- keep W + size v on one chunk, with the squared norm of the change in sixteen partial sums of fixed order.
struct Shift<'a, R> {
    weights: &'a mut [R],
    velocity: &'a [R],
    keep: R,
    size: R,
}

impl<R: Float> pulp::WithSimd for Shift<'_, R> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) -> f64 {
        let (keep, size) = (self.keep, self.size);
        let (weights, end) = self.weights.as_chunks_mut::<16>();
        let (velocity, end_velocity) = self.velocity.as_chunks::<16>();
        let mut total = 0.0;
        for (weights, velocity) in weights.chunks_mut(16).zip(velocity.chunks(16)) {
            let mut sums = [R::ZERO; 16];
            for (w, v) in weights.iter_mut().zip(velocity) {
                for k in 0..16 {
                    let new = keep * w[k] + size * v[k];
                    let change = new - w[k];
                    sums[k] += change * change;
                    w[k] = new;
                }
            }
            total += sums.iter().map(|s| s.wide()).sum::<f64>();
        }
        for (w, &v) in end.iter_mut().zip(end_velocity) {
            let new = keep * *w + size * v;
            total += (new - *w).wide().powi(2);
            *w = new;
        }
        total
    }
}

fn wide<R: Float>(x: &[R]) -> Vec<f64> {
    x.iter().map(|x| x.wide()).collect()
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

/// Second moments and means of rows.
fn moments<R: Float>(rows: &[R], n: usize) -> (Vec<f64>, Vec<f64>) {
    let count = rows.len() / n;
    let data = R::widen(rows);
    let matrix = MatRef::from_row_major_slice(&data, count, n);
    let mut second = vec![0.0; n * n];
    let chunk = chunk_rows(n, n);
    second.par_chunks_mut(chunk * n).enumerate().for_each(|(c, out)| {
        let height = out.len() / n;
        let lhs = matrix.subcols(c * chunk, height).transpose();
        let out = MatMut::from_row_major_slice_mut(out, height, n);
        matmul(out, Accum::Replace, lhs, matrix, 1.0 / count as f64, Par::Seq);
    });
    let mut mean = vec![0.0; n];
    for row in data.chunks_exact(n) {
        row.iter().zip(&mut mean).for_each(|(x, m)| *m += x / count as f64);
    }
    (second, mean)
}
