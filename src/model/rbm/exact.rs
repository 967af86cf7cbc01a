//! Exact Gaussian algebra, eqs. (24),(25) of arXiv 2309.15002: K = diag(mu^2) - s W W^T by Cholesky, never by its inverse.
//!
//! For a common mass K^{-1} W = W M^{-1} with M = mu^2 - s W^T W, positive exactly when K is: the smaller matrix is factored.

use crate::error::{Error, Result};
use crate::field::by_pieces;
use faer::linalg::matmul::matmul;
use faer::linalg::solvers::Llt;
use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::{Accum, Mat, MatMut, MatRef, Par, Side};

/// Rows of a matrix that one task works on: an eighth of a large matrix, all of a small one; never a matter of threads.
pub fn chunk_rows(rows: usize, columns: usize) -> usize {
    if rows * columns < 64 * 64 { rows.max(1) } else { rows.div_ceil(8) }
}

/// Lower triangle of A^T A (or A A^T) for row-major A, in parallel over row chunks.
fn gram(a: MatRef<'_, f64>) -> Vec<f64> {
    let n = a.ncols();
    let rows = chunk_rows(n, n);
    let mut out = vec![0.0; n * n];
    by_pieces(&mut out, rows * n, |c, out| {
        let (start, count) = (c * rows, out.len() / n);
        let target = MatMut::from_row_major_slice_mut(out, count, n).subcols_mut(0, start + count);
        let (lhs, rhs) = (a.subcols(start, count).transpose(), a.subcols(0, start + count));
        matmul(target, Accum::Replace, lhs, rhs, 1.0, Par::Seq);
    });
    out
}

/// A factored kernel.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// L of L L^T, row-major lower triangle.
    factor: Vec<f64>,
    size: usize,
    by_hidden: bool,
}

/// Cholesky factor of diag(diagonal) - s A^T A, or nothing if that is not positive.
fn shifted(a: MatRef<'_, f64>, diagonal: &[f64], s: f64) -> Option<Vec<f64>> {
    let n = a.ncols();
    let mut k = gram(a);
    for i in 0..n {
        for x in &mut k[i * n..i * n + i + 1] {
            *x *= -s;
        }
        k[i * n + i] += diagonal[i];
    }
    cholesky(k, n)
}

/// Right-looking blocked Cholesky of a row-major lower triangle; panels and trailing updates in parallel over rows.
fn cholesky(mut a: Vec<f64>, n: usize) -> Option<Vec<f64>> {
    let block = if n < 256 { n } else { n.div_ceil(8) };
    for start in (0..n).step_by(block) {
        let width = block.min(n - start);
        let end = start + width;
        let corner = MatRef::from_row_major_slice(&a, n, n).submatrix(start, start, width, width);
        let factor = Llt::new(corner, Side::Lower).ok()?;
        let l = factor.L();
        for i in 0..width {
            for j in 0..=i {
                a[(start + i) * n + start + j] = l[(i, j)];
            }
        }
        if !(0..width).all(|i| l[(i, i)].is_finite()) {
            return None;
        }
        if end < n {
            eliminate(l, &mut a[end * n..], n, start, end);
        }
    }
    Some(a)
}

/// Panel and trailing update of the rows below a factored corner.
fn eliminate(corner: MatRef<'_, f64>, below: &mut [f64], n: usize, start: usize, end: usize) {
    let (width, rows) = (end - start, chunk_rows(n - end, n));
    by_pieces(below, rows * n, |_, part| {
        let count = part.len() / n;
        let panel = MatMut::from_row_major_slice_mut(part, count, n).subcols_mut(start, width);
        solve_lower_triangular_in_place(corner, panel.transpose_mut(), Par::Seq);
    });
    let panel: Vec<f64> = below.chunks_exact(n).flat_map(|row| &row[start..end]).copied().collect();
    let panel = MatRef::from_row_major_slice(&panel, n - end, width);
    by_pieces(below, rows * n, |c, part| {
        let (first, count) = (c * rows, part.len() / n);
        let out = MatMut::from_row_major_slice_mut(part, count, n).subcols_mut(end, first + count);
        let rhs = panel.subrows(0, first + count).transpose();
        matmul(out, Accum::Add, panel.subrows(first, count), rhs, -1.0, Par::Seq);
    });
}

/// Is `top - s W^T W` positive?
pub fn dominated(weights: MatRef<'_, f64>, top: f64, s: f64) -> bool {
    let smaller = if weights.ncols() <= weights.nrows() { weights } else { weights.transpose() };
    shifted(smaller, &vec![top; smaller.ncols()], s).is_some()
}

impl Kernel {
    /// Factors the kernel of these weights; nothing if it is not positive.
    pub fn factor(weights: MatRef<'_, f64>, precision: &[f64], s: f64) -> Option<Self> {
        let common = precision.iter().all(|p| *p == precision[0]);
        let by_hidden = common && weights.ncols() <= weights.nrows();
        let factor = if by_hidden {
            shifted(weights, &vec![precision[0]; weights.ncols()], s)?
        } else {
            shifted(weights.transpose(), precision, s)?
        };
        let size = if by_hidden { weights.ncols() } else { weights.nrows() };
        Some(Self { factor, size, by_hidden })
    }

    /// K^{-1} W, row-major, in parallel over independent right-hand sides.
    pub fn solve(&self, weights: MatRef<'_, f64>) -> Vec<f64> {
        let (n, m) = (weights.nrows(), weights.ncols());
        let mut x = vec![0.0; n * m];
        if self.by_hidden {
            let rows = chunk_rows(n, m);
            by_pieces(&mut x, rows * m, |c, x| {
                let count = x.len() / m;
                let mut x = MatMut::from_column_major_slice_mut(x, m, count);
                x.copy_from(weights.subrows(c * rows, count).transpose());
                self.solve_columns(x);
            });
            return x;
        }
        let solved = self.apply_inverse(weights);
        MatMut::from_row_major_slice_mut(&mut x, n, m).copy_from(MatRef::from_column_major_slice(&solved, n, m));
        x
    }

    /// K^{-1} B when K itself was factored, column-major.
    fn apply_inverse(&self, b: MatRef<'_, f64>) -> Vec<f64> {
        let (n, columns) = (b.nrows(), b.ncols());
        let width = chunk_rows(columns, n);
        let mut x = vec![0.0; n * columns];
        by_pieces(&mut x, width * n, |c, x| {
            let count = x.len() / n;
            let mut x = MatMut::from_column_major_slice_mut(x, n, count);
            x.copy_from(b.subcols(c * width, count));
            self.solve_columns(x);
        });
        x
    }

    fn solve_columns(&self, mut x: MatMut<'_, f64>) {
        let l = MatRef::from_row_major_slice(&self.factor, self.size, self.size);
        solve_lower_triangular_in_place(l, x.as_mut(), Par::Seq);
        solve_upper_triangular_in_place(l.transpose(), x, Par::Seq);
    }

    /// Diagonal of K^{-1}; `weights`, `precision` and `s` as in [`Kernel::factor`].
    pub fn inverse_diagonal(&self, weights: MatRef<'_, f64>, precision: &[f64], s: f64) -> Vec<f64> {
        if !self.by_hidden {
            let n = precision.len();
            let inverse = self.apply_inverse(Mat::identity(n, n).as_ref());
            return (0..n).map(|i| inverse[i * n + i]).collect();
        }
        // K^{-1} = (1 + s K^{-1} W W^T) / mu^2
        let (m, x) = (weights.ncols(), self.solve(weights));
        let dot = |i: usize| (0..m).map(|a| x[i * m + a] * weights[(i, a)]).sum::<f64>();
        (0..precision.len()).map(|i| (1.0 + s * dot(i)) / precision[i]).collect()
    }
}

/// Eigenvalues (descending) and eigenvectors of the correlation matrix of the target.
#[derive(Debug, Clone)]
pub struct CorrelationBasis {
    /// Eigenvalues, largest first: 1 / kappa.
    pub values: Vec<f64>,
    /// Eigenvectors as columns, row-major.
    pub vectors: Vec<f64>,
}

impl CorrelationBasis {
    /// Diagonalises a symmetric matrix, row-major.
    pub fn new(matrix: &[f64], n: usize) -> Result<Self> {
        let eigen = MatRef::from_row_major_slice(matrix, n, n)
            .self_adjoint_eigen(Side::Lower)
            .map_err(|e| Error::value(format!("the correlation matrix has no eigenvalues ({e:?}); is it finite?")))?;
        let mut vectors = vec![0.0; n * n];
        for i in 0..n {
            for a in 0..n {
                vectors[i * n + a] = eigen.U()[(i, n - 1 - a)];
            }
        }
        Ok(Self { values: (0..n).map(|a| eigen.S()[n - 1 - a]).collect(), vectors })
    }

    /// The matrix of eigenvectors.
    pub fn matrix(&self) -> MatRef<'_, f64> {
        MatRef::from_row_major_slice(&self.vectors, self.values.len(), self.values.len())
    }
}
