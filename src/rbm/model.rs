//! The machine itself: weights between a visible and a hidden layer, and products of blocks of chains with them.

use super::layer::{Float, Layer};
use crate::error::{Error, Result};
use crate::rng::Stream;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

/// A product is cut into tiles of at least so many rows and so many multiplications; the columns are cut in four if there
/// are many. Fixed numbers, and sums over the inner index are never cut: results do not depend on threads.
const ROWS: usize = 128;
const WORK: usize = 1 << 20;
const NARROW: usize = 64;

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
        product(visible, self.matrix(), out);
        self.hidden.means(out);
    }

    /// Conditional means of the visible units given rows of hidden units.
    pub fn visible_mean(&self, hidden: &[R], out: &mut [R]) {
        product(hidden, self.matrix().transpose(), out);
        self.visible.means(out);
    }

    /// Samples of the visible units given rows of hidden units, mean and noise in one pass.
    pub fn draw_visible(&self, hidden: &[R], stream: &Stream, out: &mut [R]) {
        product(hidden, self.matrix().transpose(), out);
        self.visible.draw(stream, out);
    }
}

/// out = rows * matrix for row-major rows, in parallel over tiles.
fn product<R: Float>(rows: &[R], matrix: MatRef<'_, R>, out: &mut [R]) {
    let (inner, width) = (matrix.nrows(), matrix.ncols());
    let columns = if width < NARROW { width } else { width.div_ceil(4) };
    let height = ROWS.max(WORK / (inner * width));
    let tiles = out.par_chunks_mut(height * width).zip(rows.par_chunks(height * inner));
    tiles.for_each(|(out, rows)| {
        let count = rows.len() / inner;
        let lhs = MatRef::from_row_major_slice(rows, count, inner);
        let out = MatMut::from_row_major_slice_mut(out, count, width);
        cut_columns(out, columns).into_par_iter().enumerate().for_each(|(c, out)| {
            let rhs = matrix.subcols(c * columns, out.ncols());
            matmul(out, Accum::Replace, lhs, rhs, R::of(1.0), Par::Seq);
        });
    });
}

fn cut_columns<R>(matrix: MatMut<'_, R>, width: usize) -> Vec<MatMut<'_, R>> {
    let (mut parts, mut rest) = (Vec::new(), matrix);
    while rest.ncols() > width {
        let (part, right) = rest.split_at_col_mut(width);
        parts.push(part);
        rest = right;
    }
    parts.push(rest);
    parts
}
