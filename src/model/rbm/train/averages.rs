//! Gradients of biases, hidden means and masses: differences of single-unit averages.

use super::super::exact::Kernel;
use super::super::layer::{Float, Units};
use super::trainer::{Trainer, wide};
use super::{Mass, Method, Target};
use crate::error::Result;
use faer::MatRef;

impl<R: Float> Trainer<R> {
    /// v <- beta v + (1 - beta) gradient for biases and masses.
    pub(super) fn update_small_velocity(&mut self) -> Result<()> {
        let (beta, gradients) = (self.settings.momentum, self.small_gradients()?);
        for (velocity, gradient) in self.state.small_velocity.iter_mut().zip(gradients) {
            for (v, g) in velocity.iter_mut().zip(gradient) {
                *v = beta * *v + (1.0 - beta) * g;
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
