//! Moving the weights: gradient, momentum and step in one pass over blocks of columns.

use super::super::em;
use super::super::layer::{Float, Units};
use super::super::model::{column_blocks, column_parts, row_slice};
use super::trainer::{Trainer, wide};
use super::{Mass, Method, Target};
use crate::error::Result;
use crate::field::map_tasks;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par, RowRef};
use std::mem::take;

/// Where one phase of the gradient comes from.
pub(super) enum Part {
    /// The rows of the minibatch or of the chains.
    Rows,
    /// The target in its eigenbasis.
    Scaling,
    /// Expectations.
    Full(Full),
}

/// The matrix `s product + visible hidden^T`; the means may be empty.
pub(super) struct Full {
    pub(super) product: Vec<f64>,
    pub(super) visible: Vec<f64>,
    pub(super) hidden: Vec<f64>,
}

/// Both phases.
struct Gradient {
    positive: Part,
    negative: Part,
    eta: Vec<f64>,
}

impl<R: Float> Trainer<R> {
    pub(super) fn gradient_step(&mut self, rate: f64) -> Result<()> {
        match self.settings.method {
            Method::Cd(k) => {
                self.load_batch();
                self.run_from_data(k)?;
            }
            Method::Pcd(k, _) => {
                if matches!(self.target, Target::Data(..)) {
                    self.load_batch();
                    self.mean_of_data();
                }
                self.run_chains(k)?;
            }
            _ => {}
        }
        let positive = self.positive_gradient()?;
        let gradient = Gradient { positive, negative: self.negative_gradient(), eta: self.eta() };
        self.update_small_velocity()?;
        self.apply(&gradient, rate)
    }

    pub(super) fn em_step(&mut self) -> Result<()> {
        let (n, m, s) = (self.model.visible.len(), self.model.hidden.len(), self.hidden_variance());
        let (mu2, old) = (self.lowest_precision(), wide(&self.model.weights));
        let second = self.reference()?.second.clone();
        let new =
            em::step(MatRef::from_row_major_slice(&old, n, m), MatRef::from_row_major_slice(&second, n, n), mu2, s)?;
        self.step_norm = (0..n * m).map(|k| (new[(k / m, k % m)] - old[k]).powi(2)).sum::<f64>().sqrt();
        self.model.weights = (0..n * m).map(|k| R::of(new[(k / m, k % m)])).collect();
        Ok(())
    }

    /// Moves along the velocities; halves them (safe) or fails when K would stop being positive.
    fn apply(&mut self, gradient: &Gradient, rate: f64) -> Result<()> {
        let (decay, before) = (self.settings.weight_decay, self.state.small.clone());
        let mut gradient = Some(gradient);
        for _ in 0..60 {
            let norm = self.move_weights(gradient.take(), 1.0 - rate * decay, rate);
            for (value, velocity) in self.state.small.iter_mut().zip(&self.state.small_velocity) {
                value.iter_mut().zip(velocity).for_each(|(x, v)| *x += rate * v);
            }
            self.step_eta(&before, rate);
            self.write_small();
            self.norm_bound += norm;
            if norm.is_finite() && (!self.gaussian() || self.positive_kernel()) {
                self.step_norm = norm;
                return Ok(());
            }
            self.shift_weights_back(1.0 - rate * decay, rate);
            self.state.small.clone_from(&before);
            self.write_small();
            self.norm_bound = f64::INFINITY;
            if !self.settings.safe || !norm.is_finite() {
                return Err(self.not_positive(rate));
            }
            self.state.backtracks += 1;
            let half = R::of(0.5);
            self.state.velocity.iter_mut().for_each(|v| *v = half * *v);
            self.state.small_velocity.iter_mut().flatten().for_each(|v| *v *= 0.5);
        }
        Err(self.not_positive(rate))
    }

    /// The hidden bias is eta / s: a step in eta is a step by 1/s in the bias.
    fn step_eta(&mut self, before: &[Vec<f64>; 3], size: f64) {
        if self.model.hidden.units == Units::Gaussian {
            let s = self.hidden_variance();
            let terms = self.state.small[1].iter_mut().zip(&before[1]).zip(&self.state.small_velocity[1]);
            terms.for_each(|((x, old), v)| *x = old + size * v / s);
        }
    }

    /// v <- beta v + (1 - beta) gradient if one is given, then W <- keep W + size v, block by block while it is in cache;
    /// returns the norm of the change of W, summed over fixed blocks in order.
    fn move_weights(&mut self, gradient: Option<&Gradient>, keep: f64, size: f64) -> f64 {
        let (n, m) = (self.model.visible.len(), self.model.hidden.len());
        let (mut weights, mut velocity) = (take(&mut self.model.weights), take(&mut self.state.velocity));
        let height = block_height::<R>(n, m);
        let chunks = weights.chunks_mut(height * m).zip(velocity.chunks_mut(height * m)).enumerate();
        let blocks: Vec<_> = chunks
            .flat_map(|(c, (w, v))| {
                let pairs = column_blocks(w, m).into_iter().zip(column_blocks(v, m));
                pairs.map(move |((column, w), (_, v))| ((c * height, column), w, v))
            })
            .collect();
        let (this, keep, size) = (&*self, R::of(keep), R::of(size));
        let norms: Vec<f64> = map_tasks(blocks, |(place, weights, mut velocity)| {
            if let Some(gradient) = gradient {
                this.turn_velocity(gradient, place, weights.as_ref(), velocity.as_mut());
            }
            pulp::Arch::new().dispatch(Shift { weights, velocity, keep, size })
        });
        (self.model.weights, self.state.velocity) = (weights, velocity);
        norms.iter().sum::<f64>().sqrt()
    }

    /// v <- beta v + (1 - beta) (positive - negative) on the block of W that starts at `place`.
    fn turn_velocity(
        &self,
        gradient: &Gradient,
        place: (usize, usize),
        weights: MatRef<'_, R>,
        mut velocity: MatMut<'_, R>,
    ) {
        let (beta, fresh) = (R::of(self.settings.momentum), 1.0 - self.settings.momentum);
        let overwrite = beta == R::ZERO && matches!(gradient.positive, Part::Rows);
        for i in (0..velocity.nrows()).filter(|_| !overwrite) {
            let Some(row) = row_slice(velocity.as_mut(), i) else { return };
            if beta == R::ZERO {
                row.fill(R::ZERO);
            } else {
                row.iter_mut().for_each(|v| *v = beta * *v);
            }
            let at = (place.0 + i, place.1);
            let old = weights.row(i);
            self.add_row(&gradient.positive, &gradient.eta, at, old, fresh, row);
            self.add_row(&gradient.negative, &gradient.eta, at, old, -fresh, row);
        }
        let accum = if overwrite { Accum::Replace } else { Accum::Add };
        if matches!(gradient.positive, Part::Rows) {
            self.add_product(&self.positive.visible, &self.positive.hidden, place, fresh, accum, velocity.as_mut());
        }
        if matches!(gradient.negative, Part::Rows) {
            self.add_product(self.chain_end(), &self.negative.hidden, place, -fresh, Accum::Add, velocity);
        }
    }

    /// Adds `factor <v h>` of rows.
    fn add_product(
        &self,
        visible: &[R],
        hidden: &[R],
        place: (usize, usize),
        factor: f64,
        accum: Accum,
        out: MatMut<'_, R>,
    ) {
        let (n, m) = (self.model.visible.len(), self.model.hidden.len());
        let rows = visible.len() / n;
        let v = MatRef::from_row_major_slice(visible, rows, n).subcols(place.0, out.nrows());
        let h = MatRef::from_row_major_slice(hidden, rows, m).subcols(place.1, out.ncols());
        matmul(out, accum, v.transpose(), h, R::of(factor / rows as f64), Par::Seq);
    }

    /// Adds `factor` times a piece of one row of a phase that is not an average over rows.
    fn add_row(
        &self,
        part: &Part,
        eta: &[f64],
        (i, first): (usize, usize),
        weights: RowRef<'_, R>,
        factor: f64,
        out: &mut [R],
    ) {
        let (m, s) = (self.model.hidden.len(), self.hidden_variance());
        let columns = first..first + out.len();
        let add_means = |mean: f64, hidden: &[f64], out: &mut [R]| {
            if mean != 0.0 {
                out.iter_mut().zip(&hidden[columns.clone()]).for_each(|(x, h)| *x += R::of(factor * mean * h));
            }
        };
        match part {
            Part::Rows => {}
            Part::Full(full) => {
                let product = &full.product[i * m + first..i * m + first + out.len()];
                out.iter_mut().zip(product).for_each(|(x, g)| *x += R::of(factor * s * g));
                add_means(full.visible[i], &full.hidden, out);
            }
            Part::Scaling => {
                let Some(basis) = &self.basis else { return };
                let scale = R::of(factor * s * basis.values[i]);
                out.iter_mut().zip(weights.iter()).for_each(|(x, w)| *x += scale * *w);
                add_means(self.target_mean[i], eta, out);
            }
        }
    }

    fn shift_weights_back(&mut self, keep: f64, size: f64) {
        let (keep, size) = (R::of(keep), R::of(size));
        let terms = self.model.weights.iter_mut().zip(&self.state.velocity);
        terms.for_each(|(w, v)| *w = (*w - size * *v) / keep);
    }

    pub(super) fn write_small(&mut self) {
        let narrow = |x: &Vec<f64>| x.iter().map(|x| R::of(*x)).collect::<Vec<R>>();
        self.model.visible.bias = narrow(&self.state.small[0]);
        self.model.hidden.bias = narrow(&self.state.small[1]);
        if self.settings.mass != Mass::Fixed {
            self.model.visible.variance = self.state.small[2].iter().map(|mu| R::of(1.0 / (mu * mu))).collect();
        }
    }
}

/// Rows of a block of W, so that with the blocks of columns there are about four in all; small weights stay whole.
fn block_height<R>(n: usize, m: usize) -> usize {
    if n * m < 64 * 64 { n } else { n.div_ceil(4 / column_parts::<R>(m)) }
}

/// W <- keep W + size v on one block, with the squared norm of the change in sixteen partial sums of fixed order.
struct Shift<'a, R> {
    weights: MatMut<'a, R>,
    velocity: MatMut<'a, R>,
    keep: R,
    size: R,
}

impl<R: Float> pulp::WithSimd for Shift<'_, R> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(mut self, _simd: S) -> f64 {
        let mut total = 0.0;
        for i in 0..self.weights.nrows() {
            let rows = (row_slice(self.weights.as_mut(), i), row_slice(self.velocity.as_mut(), i));
            if let (Some(weights), Some(velocity)) = rows {
                total += shift_row(weights, velocity, self.keep, self.size);
            }
        }
        total
    }
}

#[inline(always)]
fn shift_row<R: Float>(weights: &mut [R], velocity: &[R], keep: R, size: R) -> f64 {
    let (weights, end) = weights.as_chunks_mut::<16>();
    let (velocity, end_velocity) = velocity.as_chunks::<16>();
    let mut sums = [R::ZERO; 16];
    for (w, v) in weights.iter_mut().zip(velocity) {
        for k in 0..16 {
            let new = keep * w[k] + size * v[k];
            let change = new - w[k];
            sums[k] += change * change;
            w[k] = new;
        }
    }
    let mut total = sums.iter().map(|s| s.wide()).sum::<f64>();
    for (w, &v) in end.iter_mut().zip(end_velocity) {
        let new = keep * *w + size * v;
        total += (new - *w).wide().powi(2);
        *w = new;
    }
    total
}
