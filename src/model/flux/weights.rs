//! Site weights of the flux representation, W(2j) = I_j/2 with I_j = int_0^inf s^j exp(-eta s - lambda s^2) ds (arXiv 1206.2954).
//!
//! Only ratios R_j = W(2j+2)/W(2j) = I_{j+1}/I_j enter the moves. Integration by parts gives R_{j-1} (eta + 2 lambda R_j) = j.

use crate::error::{Error, Result};

/// The ratios R_j for j below a count that grows on demand, and ln W(0).
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    eta: f64,
    lam: f64,
    ratios: Vec<f64>,
}

/// Powers of e by which the error of the first guess of a backward recursion shrinks.
const SHRINK: f64 = 36.0;

impl Weights {
    /// The first `count` ratios.
    pub fn new(eta: f64, lam: f64, count: usize) -> Result<Self> {
        if !(eta.is_finite() && lam.is_finite()) {
            return Err(Error::value(format!("eta = {eta}, lam = {lam}: both must be finite numbers")));
        }
        if lam < 0.0 {
            return Err(Error::value(format!(
                "lam = {lam}: the weight exp(-eta |phi|^2 - lam |phi|^4) needs lam >= 0 to be normalisable"
            )));
        }
        if lam == 0.0 && eta <= 0.0 {
            return Err(Error::value(format!(
                "eta = {eta} with lam = 0: the weight exp(-eta |phi|^2) needs eta > 0; give lam > 0 for a double well"
            )));
        }
        Ok(Self { eta, lam, ratios: ratios(eta, lam, count.max(1)) })
    }

    /// Mass term and quartic coupling.
    pub fn couplings(&self) -> (f64, f64) {
        (self.eta, self.lam)
    }

    /// R_j = W(2j+2)/W(2j), the mean of |phi|^2 at occupation 2j.
    #[inline(always)]
    pub fn ratio(&mut self, j: usize) -> f64 {
        match self.ratios.get(j) {
            Some(&ratio) => ratio,
            None => self.extended(j),
        }
    }

    #[cold]
    fn extended(&mut self, j: usize) -> f64 {
        self.ratios = ratios(self.eta, self.lam, (2 * j).max(64));
        self.ratios[j]
    }

    /// ln W(2j) for j below `count`.
    pub fn log_weights(&mut self, count: usize) -> Vec<f64> {
        let mut log = log_normalisation(self.eta, self.lam) - std::f64::consts::LN_2;
        let next = |j| {
            let now = log;
            log += self.ratio(j).ln();
            now
        };
        (0..count).map(next).collect()
    }
}

/// R_0 ... R_{count-1}, in the direction in which the recursion is stable.
///
/// Backward, an error of R_j shrinks by 2 lambda R/(eta + 2 lambda R) < 1 a step for eta > 0; forward, errors do not grow for eta <= 0
/// and grow at most by exp(eta sqrt(2 count/lambda)), which decides.
fn ratios(eta: f64, lam: f64, count: usize) -> Vec<f64> {
    if eta * (2.0 * count as f64).sqrt() < lam.sqrt() {
        let mut found = vec![((-log_normalisation(eta, lam)).exp() - eta) / (2.0 * lam)];
        for j in 1..count {
            found.push((j as f64 / found[j - 1] - eta) / (2.0 * lam));
        }
        return found;
    }
    let start = ((count as f64).sqrt() + SHRINK * (0.5 * lam).sqrt() / eta).powi(2).ceil() as usize + 1;
    // R_j without its change from j to j + 1; exact for lambda = 0.
    let j = start as f64 + 1.0;
    let mut ratio = 2.0 * j / (eta + (eta * eta + 8.0 * lam * j).sqrt());
    let mut found = vec![0.0; count];
    for j in (0..start).rev() {
        ratio = (j as f64 + 1.0) / (eta + 2.0 * lam * ratio);
        if j < count {
            found[j] = ratio;
        }
    }
    found
}

/// ln I_0: from 1/I_0 = eta + 2 lambda R_0, or sqrt(pi/lambda)/2 exp(z^2) (1 + erf z) with z = -eta/(2 sqrt lambda).
fn log_normalisation(eta: f64, lam: f64) -> f64 {
    let z = -0.5 * eta / lam.sqrt();
    if lam == 0.0 || z < -0.5 {
        return -(eta + 2.0 * lam * ratios_backward_first(eta, lam)).ln();
    }
    z * z + (0.5 * (std::f64::consts::PI / lam).sqrt() * (1.0 + error_function(z))).ln()
}

fn ratios_backward_first(eta: f64, lam: f64) -> f64 {
    // eta > sqrt lambda: a start that shrinks the error by e^36 is at most 700 steps away.
    ratios(eta, lam, 1)[0]
}

/// erf z = 2/sqrt(pi) exp(-z^2) sum_n 2^n z^{2n+1}/(2n+1)!! (Abramowitz and Stegun 7.1.6), all terms of one sign.
fn error_function(z: f64) -> f64 {
    if z > 6.0 {
        return 1.0;
    }
    let (mut term, mut sum, mut n) = (z, z, 0.0);
    while term.abs() > 1e-17 * sum.abs() {
        n += 1.0;
        term *= 2.0 * z * z / (2.0 * n + 1.0);
        sum += term;
    }
    2.0 / std::f64::consts::PI.sqrt() * (-z * z).exp() * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R_j by the trapezoidal rule in t = ln s, which converges faster than any power.
    fn integrated(eta: f64, lam: f64, j: usize) -> f64 {
        let term = |power: f64, t: f64| (power * t - eta * t.exp() - lam * (2.0 * t).exp()).exp();
        let grid = || (-60_000..20_000).map(|n| f64::from(n) * 1e-3);
        let peak =
            grid().map(|t| (j as f64 + 1.0) * t - eta * t.exp() - lam * (2.0 * t).exp()).fold(f64::MIN, f64::max);
        let sum = |power: f64| grid().map(|t| term(power, t) * (-peak).exp()).sum::<f64>();
        sum(j as f64 + 2.0) / sum(j as f64 + 1.0)
    }

    #[test]
    fn ratios_are_those_of_the_integrals() {
        for (eta, lam) in [(4.25, 1.0), (4.01, 1e-4), (9.0, 7.0), (5.0, 0.0), (0.05, 1.0), (0.0, 2.0), (-3.0, 0.5)] {
            let mut weights = Weights::new(eta, lam, 1024).unwrap();
            for j in [0, 1, 2, 7, 20] {
                let (found, expected) = (weights.ratio(j), integrated(eta, lam, j));
                assert!((found / expected - 1.0).abs() < 2e-13, "{eta} {lam} {j}: {found} {expected}");
            }
            // Both directions of the recursion fulfil it; a table that grows keeps its values.
            let before: Vec<f64> = (0..1024).map(|j| weights.ratio(j)).collect();
            weights.ratio(5000);
            for (j, old) in before.iter().enumerate() {
                assert!((weights.ratio(j) / old - 1.0).abs() < 1e-13, "{eta} {lam} {j}");
            }
        }
    }

    #[test]
    fn the_normalisation_is_the_integral() {
        // lambda = 0: 1/eta. eta = 0: sqrt(pi/lambda)/2. Both forms agree where they meet.
        let log = |eta, lam| Weights::new(eta, lam, 8).unwrap().log_weights(3);
        assert!((log(5.0, 0.0)[0] - (0.1f64).ln()).abs() < 1e-15);
        assert!((log(5.0, 0.0)[2] - (2.0 / 250.0f64).ln()).abs() < 1e-14);
        assert!((log(0.0, 2.0)[0] - (0.25 * (std::f64::consts::PI / 2.0).sqrt()).ln()).abs() < 1e-15);
        let (below, above) = (log(1.0 - 1e-12, 1.0)[0], log(1.0 + 1e-12, 1.0)[0]);
        assert!((below - above).abs() < 1e-11, "{below} {above}");
        assert!((log(-80.0, 0.5)[0] - (3200.0 + (0.5 * (2.0 * std::f64::consts::PI).sqrt()).ln())).abs() < 1e-9);
    }

    #[test]
    fn weights_that_diverge_are_refused() {
        for (eta, lam) in [(0.0, 0.0), (-1.0, 0.0), (4.0, -1.0), (f64::NAN, 1.0), (4.0, f64::INFINITY)] {
            assert!(Weights::new(eta, lam, 8).is_err());
        }
    }
}
