//! `log(2 cosh(x/2))` on |x| <= X as a short sum `sum_k w_k log(1 + x^2 / y_k^2)`, up to a constant and a multiple of x^2.
//!
//! `tanh(x/2)/(2x) = sum_k 2/(x^2 + (2k+1)^2 pi^2)` is a Stieltjes function of x^2. Its Gauss quadrature for the measure
//! divided by `prod_j (. + s_j)` interpolates it at the s_j (multipoint Pade; Stahl and Totik, General Orthogonal
//! Polynomials, section 6.1): positive weights, imaginary poles, exponential convergence. Far Matsubara frequencies are
//! cut off because they contribute a multiple of x^2, whose sum over eigenvalues, tr (H - mu)^2, does not depend on the spins.

use crate::error::{Error, Result};
use std::f64::consts::PI;

/// Poles and weights with the largest error of the sum on |x| <= X.
#[derive(Debug, Clone)]
pub(super) struct PoleSum {
    pub frequencies: Vec<f64>,
    pub weights: Vec<f64>,
    pub error: f64,
}

/// Eight-point Gauss-Legendre rule on (-1, 1): positive half.
const LEGENDRE: [(f64, f64); 4] = [
    (0.183_434_642_495_649_8, 0.362_683_783_378_362),
    (0.525_532_409_916_329, 0.313_706_645_877_887_3),
    (0.796_666_477_413_626_7, 0.222_381_034_453_374_48),
    (0.960_289_856_497_536_3, 0.101_228_536_290_376_26),
];

/// Fewest poles (4 to 24) that reach `tolerance`, else the most accurate sum.
pub(super) fn pole_sum(range: f64, tolerance: f64) -> Result<PoleSum> {
    let (nodes, masses, cut) = matsubara(range);
    let mut best: Option<PoleSum> = None;
    for count in 4..=24 {
        let (frequencies, weights) = multipoint_gauss(&nodes, &masses, range, count)?;
        let error = largest_error(&frequencies, &weights, range, cut);
        if best.as_ref().is_none_or(|b| error < b.error) {
            best = Some(PoleSum { frequencies, weights, error });
        }
        if error <= tolerance {
            break;
        }
    }
    best.ok_or_else(|| Error::value(format!("no pole sum on [0, {range}]")))
}

/// Squared frequencies with masses: the first ones as they are, later ones bunched by octaves; last: mass of 1/node cut off.
fn matsubara(range: f64) -> (Vec<f64>, Vec<f64>, f64) {
    let exact = 200usize.max(range as usize);
    let square = |k: f64| ((2.0 * k + 1.0) * PI).powi(2);
    let mut nodes: Vec<f64> = (0..exact).map(|k| square(k as f64)).collect();
    let mut masses = vec![1.0; exact];
    let mut start = exact as f64 - 0.5;
    for _ in 0..7 {
        for (x, w) in LEGENDRE.iter().flat_map(|&(x, w)| [(x, w), (-x, w)]) {
            nodes.push(square(start * (1.5 + 0.5 * x)));
            masses.push(0.5 * start * w);
        }
        start *= 2.0;
    }
    let kept: f64 = nodes.iter().zip(&masses).rev().map(|(n, m)| m / n).sum();
    (nodes, masses, 0.125 - kept)
}

/// Gauss quadrature of the measure over `prod_j (node + s_j)` by the Lanczos process, multiplied back.
fn multipoint_gauss(nodes: &[f64], masses: &[f64], range: f64, count: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    let stretch = (range / PI).powi(2).ln_1p();
    let points: Vec<f64> = (0..2 * count)
        .map(|j| 0.5 - 0.5 * ((j as f64 + 0.5) * PI / (2 * count) as f64).cos())
        .map(|u| PI * PI * (stretch * u).exp_m1())
        .collect();
    let log_product = |x: f64| points.iter().map(|s| (x + s).ln()).sum::<f64>();
    let logs: Vec<f64> = nodes.iter().zip(masses).map(|(x, m)| m.ln() - log_product(*x)).collect();
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let measure: Vec<f64> = logs.iter().map(|l| (l - largest).exp()).collect();
    let total: f64 = measure.iter().sum();
    let (diagonal, off_diagonal) = lanczos(nodes, &measure, count);
    let jacobi = faer::Mat::from_fn(count, count, |i, j| match i.abs_diff(j) {
        0 => diagonal[i],
        1 => off_diagonal[i.min(j)],
        _ => 0.0,
    });
    let eigen = jacobi
        .self_adjoint_eigen(faer::Side::Lower)
        .map_err(|e| Error::value(format!("quadrature with {count} poles on [0, {range}]: {e:?}")))?;
    let values: Vec<f64> = (0..count).map(|k| eigen.S()[k]).collect();
    let weight = |k: usize| (total * eigen.U()[(0, k)].powi(2)).ln() + largest + log_product(values[k]);
    let weights = (0..count).map(|k| weight(k).exp()).collect();
    Ok((values.iter().map(|x| x.max(0.0).sqrt()).collect(), weights))
}

/// Jacobi matrix of the first `count` orthogonal polynomials, with full reorthogonalisation.
fn lanczos(nodes: &[f64], measure: &[f64], count: usize) -> (Vec<f64>, Vec<f64>) {
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut basis: Vec<Vec<f64>> = Vec::new();
    let (mut diagonal, mut off_diagonal) = (Vec::new(), Vec::new());
    let mut vector: Vec<f64> = measure.iter().map(|m| m.sqrt()).collect();
    for _ in 0..count {
        let norm = product(&vector, &vector).sqrt();
        off_diagonal.push(norm);
        basis.push(vector.iter().map(|x| x / norm).collect());
        let last = &basis[basis.len() - 1];
        vector = last.iter().zip(nodes).map(|(v, x)| v * x).collect();
        diagonal.push(product(last, &vector));
        for previous in basis.iter().chain(&basis) {
            let overlap = product(previous, &vector);
            vector.iter_mut().zip(previous).for_each(|(v, p)| *v -= overlap * p);
        }
    }
    off_diagonal.remove(0);
    (diagonal, off_diagonal)
}

fn largest_error(frequencies: &[f64], weights: &[f64], range: f64, cut: f64) -> f64 {
    let difference = |x: f64| {
        let terms = frequencies.iter().zip(weights).map(|(y, w)| w * (x * x / (y * y)).ln_1p());
        let exact = 0.5 * x + (-x).exp().ln_1p() - std::f64::consts::LN_2;
        (exact - cut * x * x - terms.sum::<f64>()).abs()
    };
    let steps = 4000;
    let errors = (0..=steps).map(|k| difference(range * (f64::from(k) / f64::from(steps)).powi(2)));
    errors.fold(0.0, |m, e| if e.is_finite() { m.max(e) } else { f64::INFINITY })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_poles_reach_the_tolerance_at_every_range() {
        for (range, tolerance, most) in [(1.0, 1e-9, 4), (30.0, 1e-7, 7), (90.0, 1e-6, 8), (450.0, 1e-5, 12)] {
            let sum = pole_sum(range, tolerance).unwrap();
            assert!(
                sum.error <= tolerance && sum.weights.len() <= most,
                "{range}: {} {:e}",
                sum.weights.len(),
                sum.error
            );
            assert!((sum.frequencies[0] - PI).abs() < 1e-3 && sum.weights.iter().all(|w| *w > 0.0));
        }
    }
}
