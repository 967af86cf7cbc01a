//! What is written down along training: spectrum of K, singular values of W, angles to the target basis, likelihood, KL.

use super::exact::{CorrelationBasis, chunk_rows};
use super::layer::Float;
use crate::error::{Error, Result};
use crate::field::by_pieces;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par, Side};

/// One line of the history of a Gaussian machine.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Eigenvalues of K, ascending.
    pub eigenvalues: Vec<f64>,
    /// Singular values of W, descending.
    pub singular_values: Vec<f64>,
    /// Angle between the k-th eigenvector of K and the k-th eigenspace of the target, in [0, pi/2].
    pub angles: Vec<f64>,
    /// Mean log-likelihood of the target, in nats.
    pub log_likelihood: f64,
    /// KL(target || model) for the Gaussian target of the same moments.
    pub kl: f64,
}

/// Second moments, mean and entropy of the target.
#[derive(Debug, Clone)]
pub struct Reference {
    /// Second moments, row-major.
    pub second: Vec<f64>,
    /// Means.
    pub mean: Vec<f64>,
    /// Eigenbasis of the second moments.
    pub basis: CorrelationBasis,
    entropy: f64,
}

impl Reference {
    /// Prepares the target of these moments.
    pub fn new(second: Vec<f64>, mean: Vec<f64>) -> Result<Self> {
        let n = mean.len();
        let basis = CorrelationBasis::new(&second, n)?;
        let centred: Vec<f64> = (0..n * n).map(|k| second[k] - mean[k / n] * mean[k % n]).collect();
        let spread = if mean.iter().all(|m| *m == 0.0) { basis.clone() } else { CorrelationBasis::new(&centred, n)? };
        let floor = 1e-14 * spread.values[0];
        let singular = spread.values.iter().any(|e| *e <= floor);
        let log_det: f64 = spread.values.iter().map(|e| e.ln()).sum();
        let full = 0.5 * (n as f64 * (1.0 + (2.0 * std::f64::consts::PI).ln()) + log_det);
        Ok(Self { second, mean, basis, entropy: if singular { f64::NEG_INFINITY } else { full } })
    }

    /// The target that these rows are drawn from.
    pub fn of_rows<R: Float>(rows: &[R], n: usize) -> Result<Self> {
        let (second, mean) = moments(rows, n);
        Self::new(second, mean)
    }

    fn second(&self) -> MatRef<'_, f64> {
        MatRef::from_row_major_slice(&self.second, self.mean.len(), self.mean.len())
    }

    /// Largest index range of eigenvalues equal to number `k` within 1e-9 of the largest.
    fn degenerate(&self, k: usize) -> std::ops::Range<usize> {
        let (values, close) = (&self.basis.values, 1e-9 * self.basis.values[0]);
        let same = |j: &usize| (values[*j] - values[k]).abs() < close;
        let start = (0..k).rev().take_while(same).last().unwrap_or(k);
        start..(k..values.len()).take_while(same).last().unwrap_or(k) + 1
    }

    /// The record of a machine with these weights.
    pub fn record(&self, weights: MatRef<'_, f64>, precision: &[f64], s: f64, eta: &[f64]) -> Result<Record> {
        let n = precision.len();
        let mut kernel = weights * weights.transpose();
        kernel = Mat::from_fn(n, n, |i, j| f64::from(u8::from(i == j)) * precision[i] - s * kernel[(i, j)]);
        let eigen =
            kernel.self_adjoint_eigen(Side::Lower).map_err(|e| Error::value(format!("spectrum of K: {e:?}")))?;
        let eigenvalues: Vec<f64> = (0..n).map(|a| eigen.S()[a]).collect();
        let mut singular_values =
            weights.singular_values().map_err(|e| Error::value(format!("singular values: {e:?}")))?;
        singular_values.sort_by(|a, b| b.total_cmp(a));
        let overlap = self.basis.matrix().transpose() * eigen.U();
        let angle = |k: usize| {
            let same = self.degenerate(k);
            let weight = |j: usize| overlap[(j, k)].powi(2);
            let outside: f64 = (0..same.start).chain(same.end..n).map(weight).sum();
            outside.sqrt().atan2(same.map(weight).sum::<f64>().sqrt())
        };
        let source: Vec<f64> = (0..n).map(|i| (0..eta.len()).map(|a| weights[(i, a)] * eta[a]).sum()).collect();
        let along = |a: usize| (0..n).map(|i| eigen.U()[(i, a)] * source[i]).sum::<f64>();
        let quadratic: f64 = (0..n).map(|a| along(a).powi(2) / eigenvalues[a]).sum();
        let log_det: f64 = eigenvalues.iter().map(|e| e.ln()).sum();
        let log_z = 0.5 * (n as f64 * (2.0 * std::f64::consts::PI).ln() - log_det + quadratic);
        let trace: f64 = (0..n).map(|i| (0..n).map(|j| kernel[(i, j)] * self.second()[(j, i)]).sum::<f64>()).sum();
        let linear: f64 = source.iter().zip(&self.mean).map(|(j, m)| j * m).sum();
        let log_likelihood = -0.5 * trace + linear - log_z;
        let angles = (0..n).map(angle).collect();
        Ok(Record { eigenvalues, singular_values, angles, log_likelihood, kl: -self.entropy - log_likelihood })
    }
}

/// Second moments and means of rows.
fn moments<R: Float>(rows: &[R], n: usize) -> (Vec<f64>, Vec<f64>) {
    let count = rows.len() / n;
    let data = R::widen(rows);
    let matrix = MatRef::from_row_major_slice(&data, count, n);
    let mut second = vec![0.0; n * n];
    let chunk = chunk_rows(n, n);
    by_pieces(&mut second, chunk * n, |c, out| {
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
