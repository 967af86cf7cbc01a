//! Eigenvalues of a complex Hermitian matrix: Householder tridiagonalisation, then root-free QL
//! (Pal, Walker and Kahan; Parlett, The Symmetric Eigenvalue Problem, section 8.15).
//!
//! Each Householder update is delayed and fused with the matrix-vector product of the next reflection, so the matrix
//! is read once a column. Errors are a few ulp of the largest eigenvalue.

use super::planar::{Planar, Row, add_two_conjugates_then_dot};
use crate::error::{Error, Result};
use crate::interrupt::poll;
use num_complex::Complex64;
use pulp::{Arch, Simd, WithSimd};

/// Ascending eigenvalues; the matrix is destroyed.
pub(super) fn hermitian_eigenvalues(matrix: &mut Planar) -> Result<Vec<f64>> {
    let scale = safe_scale(matrix)?;
    let (mut diagonal, mut squares) = Arch::new().dispatch(Tridiagonalise { matrix })?;
    root_free_ql(&mut diagonal, &mut squares)?;
    diagonal.sort_by(f64::total_cmp);
    diagonal.iter_mut().for_each(|e| *e /= scale);
    Ok(diagonal)
}

/// Multiplies by a power of two, where squares of the entries could overflow or vanish; returns it.
fn safe_scale(matrix: &mut Planar) -> Result<f64> {
    let mut largest = 0.0;
    for row in 0..matrix.rows {
        poll()?;
        let (re, im) = matrix.row_mut(row);
        largest = re.iter().chain(im.iter()).fold(largest, |m: f64, x| m.max(x.abs()));
    }
    if largest == 0.0 || !largest.is_finite() || (1e-60..1e60).contains(&largest) {
        return Ok(1.0);
    }
    let scale = 2f64.powi(-(largest.log2() as i32).clamp(-1000, 1000));
    matrix.re.iter_mut().chain(matrix.im.iter_mut()).for_each(|x| *x *= scale);
    Ok(scale)
}

/// Rows of the largest matrix are read in a fraction of a millisecond, a column in one second.
const ROWS_BETWEEN_POLLS: usize = 256;

struct Tridiagonalise<'a> {
    matrix: &'a mut Planar,
}

impl WithSimd for Tridiagonalise<'_> {
    type Output = Result<(Vec<f64>, Vec<f64>)>;

    /// Diagonal and squared off-diagonal (entry `i` couples `i` and `i + 1`).
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let a = self.matrix;
        let n = a.rows;
        let (mut diagonal, mut squares) = (vec![0.0; n], vec![0.0; n.saturating_sub(1)]);
        let [mut v, mut w, mut next, mut product] = [(); 4].map(|()| Row::zeros(n));
        for r in (0..n).rev() {
            let (vr, wr) = (-v.get(r), -w.get(r));
            add_two_conjugates_then_dot(simd, a.row_mut(r), r + 1, vr, &w, wr, &v, &next);
            diagonal[r] = a.get(r, r).re;
            if r == 0 {
                break;
            }
            let (tau, off_diagonal) = reflector(a, r, &mut next);
            squares[r - 1] = off_diagonal * off_diagonal;
            let mut overlap = Complex64::ZERO;
            for i in 0..r {
                if i % ROWS_BETWEEN_POLLS == 0 {
                    poll()?;
                }
                let (vi, wi) = (-v.get(i), -w.get(i));
                let p = tau * add_two_conjugates_then_dot(simd, a.row_mut(i), r, vi, &w, wi, &v, &next);
                product.set(i, p);
                overlap += p.conj() * next.get(i);
            }
            let half = -0.5 * tau * overlap;
            for i in 0..r {
                product.set(i, product.get(i) + half * next.get(i));
            }
            product.clear_from(r);
            std::mem::swap(&mut v, &mut next);
            std::mem::swap(&mut w, &mut product);
        }
        Ok((diagonal, squares))
    }
}

/// Entries of a matrix scaled to 1e-60 or more that count as zero: their squares have lost digits, and an imprecise length
/// would make the reflector anything but unitary.
const NEGLIGIBLE: f64 = 1e-140;

/// Reflector that turns column `r` above the diagonal into a real multiple of its last unit vector: (tau, multiple).
#[inline(always)]
fn reflector(a: &Planar, r: usize, v: &mut Row) -> (Complex64, f64) {
    v.clear_from(r);
    let mut square = 0.0;
    for i in 0..r {
        v.set(i, a.get(r, i).conj());
        square += v.get(i).norm_sqr();
    }
    let norm = square.sqrt();
    if norm < NEGLIGIBLE {
        v.clear_from(0);
        return (Complex64::ZERO, 0.0);
    }
    let alpha = v.get(r - 1);
    let beta = -norm.copysign(alpha.re);
    let scale = 1.0 / (alpha - beta);
    for i in 0..r {
        v.set(i, v.get(i) * scale);
    }
    v.set(r - 1, Complex64::ONE);
    ((beta - alpha) / beta, beta)
}

/// Eigenvalues of the real symmetric tridiagonal matrix, in no order, left in `d`.
fn root_free_ql(d: &mut [f64], squares: &mut [f64]) -> Result<()> {
    let n = d.len();
    let norm = d.iter().map(|x| x * x).chain(squares.iter().map(|s| 2.0 * s)).fold(0.0, f64::max).sqrt();
    let negligible = (0.25 * f64::EPSILON * norm).powi(2);
    let mut left = 30 * n;
    let mut low = 0;
    while low < n {
        let high = (low..n - 1).find(|&k| squares[k] <= negligible).unwrap_or(n - 1);
        if high == low {
            low += 1;
        } else if high == low + 1 {
            (d[low], d[high]) = two_by_two(d[low], d[high], squares[low]);
            low += 2;
        } else {
            if left == 0 {
                let message =
                    format!("eigenvalues of a {n}x{n} Hermitian matrix: QL did not converge in {} steps", 30 * n);
                return Err(Error::Convergence {
                    message,
                    history: squares.iter().map(|s| s.sqrt()).collect(),
                    best: None,
                });
            }
            left -= 1;
            poll()?;
            ql_step(&mut d[low..=high], &mut squares[low..high]);
        }
    }
    Ok(())
}

fn two_by_two(a: f64, b: f64, square: f64) -> (f64, f64) {
    let (mean, half) = (0.5 * (a + b), 0.5 * (a - b));
    let root = half.hypot(square.sqrt());
    (mean - root, mean + root)
}

/// One implicit step with Wilkinson's shift from the top.
#[inline(always)]
fn ql_step(d: &mut [f64], squares: &mut [f64]) {
    let last = d.len() - 1;
    let root = squares[0].sqrt();
    let ratio = (d[1] - d[0]) / (2.0 * root);
    let shift = d[0] - root / (ratio + ratio.hypot(1.0).copysign(ratio));
    let (mut c, mut s) = (1.0, 0.0);
    let mut gamma = d[last] - shift;
    let mut p = gamma * gamma;
    for i in (0..last).rev() {
        let b = squares[i];
        let r = p + b;
        if i + 1 != last {
            squares[i + 1] = s * r;
        }
        let old_c = c;
        let inverse = 1.0 / r;
        c = p * inverse;
        s = b * inverse;
        let old_gamma = gamma;
        gamma = c * (d[i] - shift) - s * old_gamma;
        d[i + 1] = old_gamma + (d[i] - gamma);
        p = if c == 0.0 { old_c * b } else { gamma * gamma / c };
    }
    squares[0] = s * p;
    d[0] = shift + gamma;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Stream};
    use rand::RngExt;
    use rand_distr::StandardNormal;

    fn random(n: usize, seed: u64) -> (Planar, faer::Mat<faer::c64>) {
        let mut rng = Stream::new(seed, Purpose::Noise, 0).site(0);
        let mut planar = Planar::zeros(n, n);
        for i in 0..n {
            for j in 0..=i {
                let imaginary = if i == j { 0.0 } else { rng.sample::<f64, _>(StandardNormal) };
                let value = Complex64::new(rng.sample::<f64, _>(StandardNormal), imaginary);
                planar.set(i, j, value);
                planar.set(j, i, value.conj());
            }
        }
        let dense = faer::Mat::from_fn(n, n, |i, j| planar.get(i, j));
        (planar, dense)
    }

    #[test]
    fn agrees_with_faer_for_every_size() {
        for n in (1..20).chain([31, 72, 100]) {
            let (mut planar, dense) = random(n, n as u64);
            let expected = dense.self_adjoint_eigenvalues(faer::Side::Lower).unwrap();
            let found = hermitian_eigenvalues(&mut planar).unwrap();
            let scale = expected.iter().fold(1.0f64, |m, e| m.max(e.abs()));
            for (e, f) in expected.iter().zip(&found) {
                assert!((e - f).abs() < 2e-14 * scale, "n = {n}: {e} {f}");
            }
        }
    }

    #[test]
    fn the_size_of_the_entries_does_not_matter() {
        let (mut planar, _) = random(12, 3);
        let (start, expected) = (planar.clone(), hermitian_eigenvalues(&mut planar).unwrap());
        for size in [1e-300, 1e-200, 1e-80, 1e80, 1e200, 1e300] {
            let mut scaled = start.clone();
            scaled.re.iter_mut().chain(scaled.im.iter_mut()).for_each(|x| *x *= size);
            let found = hermitian_eigenvalues(&mut scaled).unwrap();
            for (e, f) in expected.iter().zip(&found) {
                assert!((e - f / size).abs() < 1e-13, "{size:e}: {e} {f:e}");
            }
        }
    }

    #[test]
    fn exact_degeneracies_and_zeros_converge() {
        let mut zero = Planar::zeros(10, 10);
        assert_eq!(hermitian_eigenvalues(&mut zero).unwrap(), [0.0; 10]);
        let mut pairs = Planar::zeros(12, 12);
        for i in 0..6 {
            pairs.set(2 * i, 2 * i + 1, Complex64::I);
            pairs.set(2 * i + 1, 2 * i, -Complex64::I);
        }
        let found = hermitian_eigenvalues(&mut pairs).unwrap();
        assert!(found.iter().enumerate().all(|(k, e)| (e - if k < 6 { -1.0 } else { 1.0 }).abs() < 1e-15));
    }
}
