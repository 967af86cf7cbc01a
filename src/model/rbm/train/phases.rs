//! The two phases of the gradient: averages over rows (minibatch, chains), or exact expectations (eqs. (24), (25) of arXiv 2309.15002).

use super::super::exact::{Kernel, chunk_rows};
use super::super::layer::Float;
use super::super::model::Model;
use super::trainer::Trainer;
use super::update::{Full, Part};
use super::{Method, Target};
use crate::error::{Error, Result};
use crate::field::by_pieces;
use crate::interrupt::poll;
use crate::random::{Purpose, Stream};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rand::seq::SliceRandom;

impl<R: Float> Trainer<R> {
    pub(super) fn next_draw(&mut self) -> Stream {
        self.state.draws += 1;
        Stream::new(self.settings.seed, Purpose::Gibbs, self.state.draws - 1)
    }

    pub(super) fn start_chains(&mut self) {
        let stream = self.next_draw();
        let rows = self.state.chains.len() / self.model.visible.len();
        let mut means = vec![R::ZERO; rows * self.model.hidden.len()];
        let mut samples = means.clone();
        self.model.draw_hidden(&self.state.chains, &stream, &mut means, &mut samples);
        self.state.chains_hidden = samples;
    }

    /// Gathers the next minibatch.
    pub(super) fn load_batch(&mut self) {
        let Target::Data(rows, batch) = &self.target else { return };
        let n = self.model.visible.len();
        let total = rows.len() / n;
        if self.shuffle.as_ref().is_none_or(|(epoch, _)| *epoch != self.state.epoch) {
            let mut order: Vec<usize> = (0..total).collect();
            let mut rng = Stream::new(self.settings.seed, Purpose::Batches, self.state.epoch).site(0);
            order.shuffle(&mut rng);
            self.shuffle = Some((self.state.epoch, order));
        }
        let Some((_, order)) = &self.shuffle else { return };
        let start = self.state.position as usize * batch;
        self.positive.visible.clear();
        for &row in &order[start..(start + batch).min(total)] {
            self.positive.visible.extend_from_slice(&rows[row * n..(row + 1) * n]);
        }
    }

    /// Hidden means given the minibatch.
    pub(super) fn mean_of_data(&mut self) {
        let (model, rows) = (&self.model, &mut self.positive);
        rows.hidden.resize(rows.visible.len() / model.visible.len() * model.hidden.len(), R::ZERO);
        model.hidden_mean(&rows.visible, &mut rows.hidden);
    }

    /// CD: the chains start at the minibatch; hidden means at both ends are kept.
    pub(super) fn run_from_data(&mut self, k: usize) -> Result<()> {
        let draws = self.half_steps(k);
        let (model, data, chain) = (&self.model, &mut self.positive, &mut self.negative);
        let hidden = data.visible.len() / model.visible.len() * model.hidden.len();
        data.hidden.resize(hidden, R::ZERO);
        chain.hidden.resize(hidden, R::ZERO);
        chain.sample.resize(hidden, R::ZERO);
        chain.visible.resize(data.visible.len(), R::ZERO);
        model.draw_hidden(&data.visible, &draws.at(0), &mut data.hidden, &mut chain.sample);
        data.sample.resize(data.visible.len(), R::ZERO);
        gibbs(model, &mut chain.visible, &mut data.sample, &mut chain.hidden, &mut chain.sample, draws.from(1))?;
        self.state.draws += draws.count;
        Ok(())
    }

    /// PCD: the chains go on from their hidden units; if that is interrupted, they are where they were.
    pub(super) fn run_chains(&mut self, k: usize) -> Result<()> {
        let draws = self.half_steps(k);
        let (model, chain, state) = (&self.model, &mut self.negative, &mut self.state);
        chain.hidden.resize(state.chains_hidden.len(), R::ZERO);
        chain.visible.resize(state.chains.len(), R::ZERO);
        self.before[0].clone_from(&state.chains);
        self.before[1].clone_from(&state.chains_hidden);
        let run =
            gibbs(model, &mut state.chains, &mut chain.visible, &mut chain.hidden, &mut state.chains_hidden, draws);
        if run.is_err() {
            std::mem::swap(&mut state.chains, &mut self.before[0]);
            std::mem::swap(&mut state.chains_hidden, &mut self.before[1]);
            return run;
        }
        state.draws += draws.count;
        Ok(())
    }

    fn half_steps(&self, k: usize) -> HalfSteps {
        HalfSteps { seed: self.settings.seed, first: self.state.draws, count: 2 * k as u64 }
    }

    /// The positive phase: `s C W + <phi>_target eta^T` where it is not an average over rows.
    pub(super) fn positive_gradient(&self) -> Result<Part> {
        if matches!(self.settings.method, Method::Cd(_) | Method::Pcd(..)) && matches!(self.target, Target::Data(..)) {
            return Ok(Part::Rows);
        }
        if self.basis.is_some() {
            return Ok(Part::Scaling);
        }
        let (n, m) = (self.model.visible.len(), self.model.hidden.len());
        let weights = R::widen(&self.model.weights);
        let w = MatRef::from_row_major_slice(&weights, n, m);
        let Some(reference) = &self.reference else { return Err(Error::value("the target has no moments")) };
        let mut product = vec![0.0; n * m];
        let rows = chunk_rows(n, m);
        let second = MatRef::from_row_major_slice(&reference.second, n, n);
        by_pieces(&mut product, rows * m, |c, out| {
            let count = out.len() / m;
            let out = MatMut::from_row_major_slice_mut(out, count, m);
            matmul(out, Accum::Replace, second.subrows(c * rows, count), w, 1.0, Par::Seq);
        });
        Ok(Part::Full(Full { product, visible: reference.mean.clone(), hidden: self.eta() }))
    }

    /// The negative phase: `s K^{-1} W + <phi> <h>^T` where it is not an average over rows.
    pub(super) fn negative_gradient(&mut self) -> Part {
        if self.settings.method != Method::Exact {
            return Part::Rows;
        }
        let (n, m, s) = (self.model.visible.len(), self.model.hidden.len(), self.hidden_variance());
        let precision: Vec<f64> = self.model.visible.variance.iter().map(|v| 1.0 / v.wide()).collect();
        let weights = R::widen(&self.model.weights);
        let w = MatRef::from_row_major_slice(&weights, n, m);
        let Some(kernel) = self.kernel.take().or_else(|| Kernel::factor(w, &precision, s)) else { return Part::Rows };
        let product = kernel.solve(w);
        let (visible, hidden) = self.model_means(&product);
        self.kernel = Some(kernel);
        Part::Full(Full { product, visible, hidden })
    }

    /// Hidden means eta without the visible layer.
    pub(super) fn eta(&self) -> Vec<f64> {
        self.state.small[1].iter().map(|b| b * self.hidden_variance()).collect()
    }

    /// `<phi> = K^{-1} W eta` and `<h> = eta + s W^T <phi>`, from X = K^{-1} W.
    pub(super) fn model_means(&self, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (m, s) = (self.model.hidden.len(), self.hidden_variance());
        let eta = self.eta();
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

    /// Visible rows at the end of the chains.
    pub(super) fn chain_end(&self) -> &[R] {
        if matches!(self.settings.method, Method::Pcd(..)) { &self.state.chains } else { &self.negative.visible }
    }
}

/// The random numbers of consecutive half steps.
#[derive(Clone, Copy)]
struct HalfSteps {
    seed: u64,
    first: u64,
    count: u64,
}

impl HalfSteps {
    fn at(&self, n: u64) -> Stream {
        Stream::new(self.seed, Purpose::Gibbs, self.first + n)
    }

    fn from(self, n: u64) -> Self {
        Self { first: self.first + n, count: self.count - n, ..self }
    }
}

/// Steps h -> v -> h from the hidden `samples`, each half with its own numbers; leaves the last visible samples and the
/// hidden means given them (and hidden samples, if there are numbers for them).
fn gibbs<R: Float>(
    model: &Model<R>,
    visible: &mut [R],
    visible_means: &mut [R],
    hidden_means: &mut [R],
    samples: &mut [R],
    draws: HalfSteps,
) -> Result<()> {
    for n in (0..draws.count).step_by(2) {
        poll()?;
        model.draw_visible(samples, &draws.at(n), visible_means, visible);
        if n + 1 < draws.count {
            model.draw_hidden(visible, &draws.at(n + 1), hidden_means, samples);
        } else {
            model.hidden_mean(visible, hidden_means);
        }
    }
    Ok(())
}
