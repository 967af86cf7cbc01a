//! The machine itself: weights between a visible and a hidden layer, and products of blocks of chains with them.

use super::layer::{Float, Layer};
use crate::error::{Error, Result};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// Chains that are advanced together by one task; a fixed number, so that results do not depend on threads.
pub const BLOCK: usize = 64;

/// A restricted Boltzmann machine.
#[derive(Debug, Clone)]
pub struct Model<R> {
    /// Weights, row-major `(n_visible, n_hidden)`.
    pub weights: Vec<R>,
    /// Visible units.
    pub visible: Layer<R>,
    /// Hidden units.
    pub hidden: Layer<R>,
}

impl<R: Float> Model<R> {
    /// A machine with the given parts.
    pub fn new(weights: Vec<R>, visible: Layer<R>, hidden: Layer<R>) -> Result<Self> {
        let (n, m) = (visible.len(), hidden.len());
        if n == 0 || m == 0 {
            return Err(Error::value(format!(
                "a machine needs at least one visible and one hidden unit, not {n} and {m}"
            )));
        }
        if weights.len() != n * m || visible.variance.len() != n || hidden.variance.len() != m {
            return Err(Error::value(format!(
                "{} weights for {n} visible and {m} hidden units; the array must be ({n}, {m})",
                weights.len()
            )));
        }
        Ok(Self { weights, visible, hidden })
    }

    /// The weights as a matrix `(n_visible, n_hidden)`.
    pub fn matrix(&self) -> MatRef<'_, R> {
        MatRef::from_row_major_slice(&self.weights, self.visible.len(), self.hidden.len())
    }

    /// Conditional means of the hidden units given rows of visible units.
    pub fn hidden_mean(&self, visible: &[R], out: &mut [R]) {
        let (n, m) = (self.visible.len(), self.hidden.len());
        let rows = visible.len() / n;
        let out_matrix = MatMut::from_row_major_slice_mut(out, rows, m);
        let lhs = MatRef::from_row_major_slice(visible, rows, n);
        matmul(out_matrix, Accum::Replace, lhs, self.matrix(), R::of(1.0), Par::Seq);
        self.hidden.mean(out);
    }

    /// Conditional means of the visible units given rows of hidden units.
    pub fn visible_mean(&self, hidden: &[R], out: &mut [R]) {
        let (n, m) = (self.visible.len(), self.hidden.len());
        let rows = hidden.len() / m;
        let out_matrix = MatMut::from_row_major_slice_mut(out, rows, n);
        let lhs = MatRef::from_row_major_slice(hidden, rows, m);
        matmul(out_matrix, Accum::Replace, lhs, self.matrix().transpose(), R::of(1.0), Par::Seq);
        self.visible.mean(out);
    }
}
