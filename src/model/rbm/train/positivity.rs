//! K > 0 at every step: a bound on the norm of W while it lasts, a Cholesky factorisation when it does not.

use super::super::exact::{Kernel, dominated};
use super::super::layer::Float;
use super::Method;
use super::trainer::Trainer;
use crate::error::Error;
use faer::MatRef;

impl<R: Float> Trainer<R> {
    /// Certifies K > 0. Since ||W|| <= ||W_0|| + sum of the norms of all steps since W_0 was measured, nothing has to be
    /// factored while that bound stays below mu / sigma_h; the exact method factors anyway.
    pub(super) fn positive_kernel(&mut self) -> bool {
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
    pub(super) fn spectral_norm(&mut self) -> f64 {
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

    pub(super) fn not_positive(&mut self, rate: f64) -> Error {
        if !self.gaussian() {
            let epoch = self.state.epoch + 1;
            let message = format!(
                "the weights stopped being finite in epoch {epoch} at learning rate {rate:.3e}; use a smaller learning_rate"
            );
            return Error::Convergence { message, history: Vec::new(), best: None };
        }
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
            best: None,
        }
    }
}
