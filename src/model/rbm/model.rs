//! The machine itself: weights between a visible and a hidden layer, and products of blocks of chains with them.

use super::layer::{Float, Layer};
use crate::error::{Error, Result};
use crate::field::map_tasks;
use crate::random::Stream;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// A product is cut into tiles of at least so many rows and so many multiplications; fixed numbers, and sums over the
/// inner index are never cut: results do not depend on threads.
const ROWS: usize = 128;
const WORK: usize = 1 << 20;

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
    pub fn hidden_mean(&self, visible: &[R], means: &mut [R]) {
        half_step(&self.hidden, visible, self.matrix(), means, None);
    }

    /// Conditional means of the visible units given rows of hidden units.
    pub fn visible_mean(&self, hidden: &[R], means: &mut [R]) {
        half_step(&self.visible, hidden, self.matrix().transpose(), means, None);
    }

    /// Means and samples of the hidden units given rows of visible units.
    pub fn draw_hidden(&self, visible: &[R], stream: &Stream, means: &mut [R], samples: &mut [R]) {
        self.hidden.noise(stream, samples);
        half_step(&self.hidden, visible, self.matrix(), means, Some(samples));
    }

    /// Means and samples of the visible units given rows of hidden units.
    pub fn draw_visible(&self, hidden: &[R], stream: &Stream, means: &mut [R], samples: &mut [R]) {
        self.visible.noise(stream, samples);
        half_step(&self.visible, hidden, self.matrix().transpose(), means, Some(samples));
    }
}

/// Means given rows of the other layer, and noise turned into samples, in parallel over tiles and while these are in cache.
fn half_step<R: Float>(
    layer: &Layer<R>,
    rows: &[R],
    matrix: MatRef<'_, R>,
    means: &mut [R],
    samples: Option<&mut [R]>,
) {
    let (inner, width) = (matrix.nrows(), matrix.ncols());
    let height = ROWS.max(WORK / (inner * width));
    let mut samples = samples.map(|s| s.chunks_mut(height * width));
    let tiles: Vec<_> = means
        .chunks_mut(height * width)
        .zip(rows.chunks(height * inner))
        .map(|(means, rows)| (means, rows, samples.as_mut().and_then(Iterator::next)))
        .collect();
    let deviations = layer.deviations();
    map_tasks(tiles, |(means, rows, samples)| {
        let lhs = MatRef::from_row_major_slice(rows, rows.len() / inner, inner);
        let mut samples = samples.map(|s| column_blocks(s, width).into_iter());
        let blocks: Vec<_> = column_blocks(means, width)
            .into_iter()
            .map(|block| (block, samples.as_mut().and_then(Iterator::next)))
            .collect();
        map_tasks(blocks, |((first, mut means), samples)| {
            let rhs = matrix.subcols(first, means.ncols());
            matmul(means.as_mut(), Accum::Replace, lhs, rhs, R::of(1.0), Par::Seq);
            let samples = samples.map(|(_, block)| block);
            pulp::Arch::new().dispatch(Finish { layer, deviations: &deviations, first, means, samples });
        });
    });
}

/// Fields of a block of units, which become means, and noise, which becomes samples; in vector instructions.
struct Finish<'a, R> {
    layer: &'a Layer<R>,
    deviations: &'a [R],
    first: usize,
    means: MatMut<'a, R>,
    samples: Option<MatMut<'a, R>>,
}

impl<R: Float> pulp::WithSimd for Finish<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(mut self, _simd: S) {
        let deviations = &self.deviations[self.first..self.first + self.means.ncols()];
        for r in 0..self.means.nrows() {
            let Some(row) = row_slice(self.means.as_mut(), r) else { return };
            self.layer.mean(self.first, row);
            if let Some(noise) = self.samples.as_mut().and_then(|s| row_slice(s.as_mut(), r)) {
                self.layer.place(deviations, row, noise);
            }
        }
    }
}

/// Row `r` of a block of columns of a row-major matrix.
pub(super) fn row_slice<R>(block: MatMut<'_, R>, r: usize) -> Option<&mut [R]> {
    block.row_mut(r).try_as_row_major_mut().map(|row| row.as_slice_mut())
}

/// One call of the inner kernel of a product handles 48 units in double precision, 96 in single.
const fn kernel_width<R>() -> usize {
    384 / size_of::<R>()
}

/// Into how many blocks of columns a matrix of this width is cut: at most four.
pub(super) fn column_parts<R>(width: usize) -> usize {
    (width / kernel_width::<R>()).clamp(1, 4)
}

/// A row-major matrix cut into blocks of columns, each with its first column; no cut goes through a kernel.
pub(super) fn column_blocks<R>(data: &mut [R], width: usize) -> Vec<(usize, MatMut<'_, R>)> {
    let parts = column_parts::<R>(width);
    let step = width / parts / kernel_width::<R>() * kernel_width::<R>();
    let mut rest = MatMut::from_row_major_slice_mut(data, data.len() / width, width);
    let mut blocks = Vec::with_capacity(parts);
    for part in 1..parts {
        let (block, right) = rest.split_at_col_mut(step);
        blocks.push(((part - 1) * step, block));
        rest = right;
    }
    blocks.push(((parts - 1) * step, rest));
    blocks
}
