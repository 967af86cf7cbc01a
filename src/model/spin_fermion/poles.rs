//! `log(2 cosh(x/2))` on |x| <= X as a short sum `sum_k w_k log(1 + x^2 / y_k^2)`, up to a constant and a multiple of x^2.
//!
//! `tanh(x/2)/(2x) = sum_k 2/(x^2 + (2k+1)^2 pi^2)` is a Stieltjes function of x^2. Its Gauss quadrature for the measure
//! divided by `prod_j (. + s_j)` interpolates it at the s_j (multipoint Pade; Stahl and Totik, General Orthogonal
//! Polynomials, section 6.1): positive weights, imaginary poles, exponential convergence. Far Matsubara frequencies are
//! cut off because they contribute a multiple of x^2, whose sum over eigenvalues, tr (H - mu)^2, does not depend on the spins.
//! Where the quadrature is not yet good enough, Lawson's iteration (C. L. Lawson, 1961) moves poles and weights towards the best sum.

use crate::error::{Error, Result};
use faer::linalg::solvers::Solve;
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

/// Factor by which the refinement can be expected to lower the error.
const GAIN: f64 = 100.0;

/// Fewest poles (2 to 24) that reach `tolerance`.
pub(super) fn pole_sum(range: f64, tolerance: f64) -> Result<PoleSum> {
    let (nodes, masses) = matsubara(range);
    let grid = Grid::new(range);
    let mut best = f64::INFINITY;
    for count in 2..=24 {
        let (frequencies, weights) = multipoint_gauss(&nodes, &masses, range, count)?;
        let start = grid.measured(frequencies, weights);
        let near = start.error > tolerance && start.error < GAIN * tolerance;
        let sum = if near { grid.refined(start) } else { start };
        if sum.error <= tolerance {
            return Ok(sum);
        }
        best = best.min(sum.error);
    }
    let text = format!("tolerance = {tolerance:e} is out of reach: at (bandwidth + |mu|) / T = {range:.3e}");
    Err(Error::value(format!("{text} the best sum of 24 poles has an error of {best:.1e}; give a larger tolerance")))
}

/// Squared frequencies with masses: the first ones as they are, later ones bunched by octaves.
fn matsubara(range: f64) -> (Vec<f64>, Vec<f64>) {
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
    (nodes, masses)
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

/// The function on a grid of [0, X], denser towards both ends.
struct Grid {
    range: f64,
    x: Vec<f64>,
    exact: Vec<f64>,
}

impl Grid {
    fn new(range: f64) -> Self {
        let place = |k: u32| range * (0.5 - 0.5 * (PI * f64::from(k) / 1200.0).cos()).powi(2);
        let x: Vec<f64> = (0..=1200).map(place).collect();
        let exact = x.iter().map(|x| 0.5 * x + (-x).exp().ln_1p() - std::f64::consts::LN_2).collect();
        Self { range, x, exact }
    }

    /// The sum with the largest error that is left when constant and multiple of x^2 are fitted.
    fn measured(&self, frequencies: Vec<f64>, weights: Vec<f64>) -> PoleSum {
        let logs = frequencies.iter().map(|y| 2.0 * y.ln()).chain(weights.iter().map(|w| w.ln()));
        let mut parameters: Vec<f64> = logs.collect();
        let mut error = f64::INFINITY;
        let mut importance = vec![1.0; self.x.len()];
        for _ in 0..8 {
            let Some(residuals) = self.step(&mut parameters, &importance, false) else { break };
            let largest = largest(&residuals);
            error = error.min(largest);
            reweigh(&mut importance, &residuals, largest);
        }
        PoleSum { frequencies, weights, error }
    }

    /// Lawson's iteration towards the smallest largest error: least squares for poles, weights, constant and multiple of x^2
    /// by Gauss-Newton steps, each point with an importance that grows where the error is large. Never worse than `start`.
    fn refined(&self, start: PoleSum) -> PoleSum {
        let count = start.weights.len();
        let logs = start.frequencies.iter().map(|y| 2.0 * y.ln()).chain(start.weights.iter().map(|w| w.ln()));
        let mut parameters: Vec<f64> = logs.collect();
        let (mut best, mut importance) = (start, vec![1.0; self.x.len()]);
        for _ in 0..60 {
            let Some(residuals) = self.step(&mut parameters, &importance, true) else { break };
            let largest = largest(&residuals);
            if largest < best.error {
                let (squares, logs) = parameters.split_at(count);
                best = PoleSum {
                    frequencies: squares.iter().map(|s| (0.5 * s).exp()).collect(),
                    weights: logs.iter().map(|w| w.exp()).collect(),
                    error: largest,
                };
            }
            reweigh(&mut importance, &residuals, largest);
        }
        best
    }

    /// One weighted Gauss-Newton step of the parameters (log y^2, log w), or only of constant and multiple of x^2;
    /// residuals at the new parameters.
    fn step(&self, parameters: &mut [f64], importance: &[f64], all: bool) -> Option<Vec<f64>> {
        let movable = if all { parameters.len() } else { 0 };
        let mut normal = faer::Mat::<f64>::zeros(movable + 2, movable + 2);
        let mut right = faer::Mat::<f64>::zeros(movable + 2, 1);
        for ((x, exact), weight) in self.x.iter().zip(&self.exact).zip(importance) {
            let (value, mut slopes) = sum_and_slopes(parameters, *x);
            slopes.truncate(movable);
            slopes.extend([1.0, (x / self.range).powi(2)]);
            for (i, a) in slopes.iter().enumerate() {
                right[(i, 0)] += weight * a * (exact - value);
                slopes.iter().enumerate().for_each(|(j, b)| normal[(i, j)] += weight * a * b);
            }
        }
        let step = normal.partial_piv_lu().solve(&right);
        for (k, p) in parameters.iter_mut().enumerate().take(movable) {
            *p += step[(k, 0)].clamp(-0.5, 0.5);
        }
        let (constant, square) = (step[(movable, 0)], step[(movable + 1, 0)]);
        let residual = |(x, exact): (&f64, &f64)| {
            exact - sum_and_slopes(parameters, *x).0 - constant - square * (x / self.range).powi(2)
        };
        let residuals: Vec<f64> = self.x.iter().zip(&self.exact).map(residual).collect();
        residuals.iter().all(|r| r.is_finite()).then_some(residuals)
    }
}

/// `sum_k w_k log(1 + x^2/y_k^2)` and its derivatives with respect to log y^2 and log w.
fn sum_and_slopes(parameters: &[f64], x: f64) -> (f64, Vec<f64>) {
    let count = parameters.len() / 2;
    let mut slopes = vec![0.0; 2 * count];
    for k in 0..count {
        let (ratio, weight) = (x * x * (-parameters[k]).exp(), parameters[count + k].exp());
        slopes[k] = -weight * ratio / (1.0 + ratio);
        slopes[count + k] = weight * ratio.ln_1p();
    }
    (slopes[count..].iter().sum(), slopes)
}

fn largest(residuals: &[f64]) -> f64 {
    residuals.iter().fold(0.0, |m, r| m.max(r.abs()))
}

fn reweigh(importance: &mut [f64], residuals: &[f64], largest: f64) {
    let terms = importance.iter_mut().zip(residuals);
    terms.for_each(|(i, r)| *i *= r.abs() / largest.max(f64::MIN_POSITIVE) + 1e-3);
    let total: f64 = importance.iter().sum();
    importance.iter_mut().for_each(|i| *i /= total);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_poles_reach_the_tolerance_at_every_range() {
        let cases = [
            (0.1, 1e-9, 2),
            (1.0, 1e-9, 3),
            (30.0, 1e-7, 6),
            (90.0, 3e-3, 3),
            (90.0, 1e-6, 7),
            (450.0, 1e-5, 10),
            (1e5, 3e-3, 24),
        ];
        for (range, tolerance, most) in cases {
            let sum = pole_sum(range, tolerance).unwrap();
            assert!(
                sum.error <= tolerance && sum.weights.len() <= most,
                "{range}: {} {:e}",
                sum.weights.len(),
                sum.error
            );
            assert!(sum.weights.iter().all(|w| *w > 0.0));
            let error = |x: f64| {
                let terms = sum.frequencies.iter().zip(&sum.weights).map(|(y, w)| w * (x * x / (y * y)).ln_1p());
                0.5 * x + (-x).exp().ln_1p() - terms.sum::<f64>()
            };
            // Constant and multiple of x^2 from the ends; what is left is within a few times the error in between.
            let (start, end) = (error(0.0), error(range));
            for k in 0..3000 {
                let x = range * f64::from(k) / 3000.0;
                let left = error(x) - start - (end - start) * (x / range).powi(2);
                assert!(left.abs() < 4.0 * sum.error + 1e-13, "{range} {x}: {left:e} {:e}", sum.error);
            }
        }
    }

    #[test]
    fn tolerances_out_of_reach_are_errors() {
        assert!(pole_sum(90.0, 1e-30).unwrap_err().to_string().contains("tolerance = 1e-30"));
    }
}
