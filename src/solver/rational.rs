//! Minimax rational approximations of powers on an interval (Remez), and their partial fractions.
//!
//! r(x) = c prod (x + z_k) / (x + b_k) is kept as logarithms of c, z, b: ln r(x) - p ln x is a sum of logarithms whose rounding is that
//! of one number, so that double precision suffices to a relative error of 1e-12 (coefficients of polynomials need fifty digits).
//! Zolotarev's approximation of x^-1/2 (Akhiezer, "Elements of the theory of elliptic functions", ch. 9) is the start; the power moves to
//! the wanted one in steps, after each of which Newton's method levels the 2n + 2 extrema.

use crate::error::{Error, Result};
use faer::linalg::solvers::Solve;
use faer::{Col, Mat};
use std::sync::{Mutex, PoisonError};

/// Most poles.
pub const MOST_POLES: usize = 32;
/// Best accuracy that is offered.
pub const BEST_ACCURACY: f64 = 1e-12;
/// Largest ratio of the ends of an interval.
const WIDEST: f64 = 1e14;
/// Points of a search for extrema, per zero and pole.
const DENSITY: usize = 100;
/// The last approximations that were asked for: one takes up to half a second, and every sampler of an action asks again.
static FOUND: Mutex<Vec<([u64; 4], Rational)>> = Mutex::new(Vec::new());
const MOST_FOUND: usize = 64;
/// Largest relative difference of the extrema of an approximation that is called best, beyond what rounding makes.
const LEVEL: f64 = 1e-3;
/// Rounding of ln r - p ln x.
const ROUNDING: f64 = 2e-14;

/// The best r(x) of its degree for x^power on an interval: max |r(x) x^-power - 1| is as small as it can be.
#[derive(Debug, Clone, PartialEq)]
pub struct Rational {
    /// The power.
    pub power: f64,
    /// The interval.
    pub range: [f64; 2],
    /// Largest relative error on it.
    pub error: f64,
    /// ln c.
    scale: f64,
    /// ln z_k.
    zeros: Vec<f64>,
    /// ln b_k.
    poles: Vec<f64>,
}

impl Rational {
    /// With `degree` poles; -1 < power < 1.
    pub fn new(power: f64, degree: usize, range: [f64; 2]) -> Result<Self> {
        let ratio = range[1] / range[0];
        let is_interval = range[0] > 0.0 && ratio > 1.0 && ratio <= WIDEST;
        if !is_interval {
            return Err(Error::value(format!(
                "range [{}, {}] of a rational approximation: it needs 0 < low < high <= {WIDEST:e} low",
                range[0], range[1]
            )));
        }
        let known = power.abs() < 1.0 && power != 0.0 && (1..=MOST_POLES).contains(&degree);
        if !known {
            return Err(Error::value(format!(
                "x^{power} with {degree} poles; powers lie between -1 and 1 and are not 0, poles are 1 to {MOST_POLES}"
            )));
        }
        let best = Fit::zolotarev(degree, ratio).and_then(|fit| fit.to(-power.abs())).ok_or_else(|| {
            Error::value(format!(
                "x^{power} on [{}, {}] with {degree} poles is nearer than {BEST_ACCURACY:e}: take fewer poles",
                range[0], range[1]
            ))
        })?;
        let error = best.error().exp_m1();
        // From [1, ratio] to the range; the reciprocal has the opposite power.
        let (low, sign) = (range[0].ln(), -power.signum());
        let mut found = Self {
            power,
            range,
            error,
            scale: sign * best.u[0] + power * low,
            zeros: best.zeros().iter().map(|z| z + low).collect(),
            poles: best.poles().iter().map(|b| b + low).collect(),
        };
        if power > 0.0 {
            std::mem::swap(&mut found.zeros, &mut found.poles);
        }
        Ok(found)
    }

    /// With as few poles as an accuracy needs, on the interval or a wider one.
    pub fn to_accuracy(power: f64, accuracy: f64, range: [f64; 2]) -> Result<Self> {
        if !(BEST_ACCURACY..1.0).contains(&accuracy) {
            return Err(Error::value(format!(
                "accuracy {accuracy:e} of a rational approximation; allowed are {BEST_ACCURACY:e} to 1"
            )));
        }
        let key = [power, accuracy, range[0], range[1]].map(f64::to_bits);
        let kept = || FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = kept().iter().find(|(each, _)| *each == key) {
            return Ok(found.clone());
        }
        let found = Self::search(power, accuracy, range)?;
        let mut kept = kept();
        if kept.len() == MOST_FOUND {
            kept.remove(0);
        }
        kept.push((key, found.clone()));
        Ok(found)
    }

    fn search(power: f64, accuracy: f64, range: [f64; 2]) -> Result<Self> {
        let mut wider = range;
        let mut degree = 1;
        while degree <= MOST_POLES {
            match Self::new(power, degree, wider) {
                Ok(found) if found.error <= accuracy => return Ok(found),
                Ok(_) => degree += 1,
                Err(error) if degree == 1 || wider[1] > WIDEST * wider[0] => return Err(error),
                // One pole more would be better than rounding: it serves a wider interval instead.
                Err(_) => wider = [wider[0] / 1.1, wider[1] * 1.1],
            }
        }
        Err(Error::value(format!(
            "x^{power} on [{}, {}] to {accuracy:e} needs more than {MOST_POLES} poles: a narrower range or less accuracy",
            range[0], range[1]
        )))
    }

    /// r(x).
    pub fn at(&self, x: f64) -> f64 {
        let ratios = self.zeros.iter().zip(&self.poles).map(|(z, b)| (x + z.exp()) / (x + b.exp()));
        self.scale.exp() * ratios.product::<f64>()
    }

    /// 1/r(x), the best for x^-power.
    pub fn reciprocal(&self) -> Self {
        Self {
            power: -self.power,
            scale: -self.scale,
            zeros: self.poles.clone(),
            poles: self.zeros.clone(),
            ..self.clone()
        }
    }

    /// r(x) = constant + sum_k residue_k / (x + pole_k): the constant, and residues with their poles, smallest pole first.
    pub fn partial_fractions(&self) -> (f64, Vec<(f64, f64)>) {
        let (c, b) = (self.scale.exp(), &self.poles);
        let residue = |k: usize| {
            let mut product = c * (self.zeros[k].exp() - b[k].exp());
            for j in (0..b.len()).filter(|&j| j != k) {
                product *= (self.zeros[j].exp() - b[k].exp()) / (b[j].exp() - b[k].exp());
            }
            (product, b[k].exp())
        };
        (c, (0..b.len()).map(residue).collect())
    }
}

/// ln r on [1, ratio]: u = (ln c, ln z, ln b), for x^power with power < 0.
struct Fit {
    u: Vec<f64>,
    power: f64,
    /// ln x at which extrema are looked for.
    grid: Vec<f64>,
    /// ln x of the extrema.
    points: Vec<f64>,
    /// Sign of the first extremum.
    first: f64,
}

impl Fit {
    /// The best approximation of x^-1/2; none where its error is lost in rounding.
    fn zolotarev(degree: usize, ratio: f64) -> Option<Self> {
        let (nodes, end) = (elliptic_nodes(degree, ratio), ratio.ln());
        let count = DENSITY * (2 * degree + 1);
        let even = |k: usize| end * k as f64 / (count - 1) as f64;
        let dense = |k: usize| 0.5 * end * (1.0 - (std::f64::consts::PI * k as f64 / (count - 1) as f64).cos());
        let mut grid: Vec<f64> = (0..count).flat_map(|k| [even(k), dense(k)]).collect();
        grid.sort_by(f64::total_cmp);
        let mut u = vec![0.0];
        u.extend(nodes.iter().skip(1).step_by(2));
        u.extend(nodes.iter().step_by(2));
        let mut fit = Self { u, power: -0.5, grid, points: Vec::new(), first: 1.0 };
        let errors = fit.grid.iter().map(|&t| fit.error_at(t));
        let (least, most) = errors.fold((f64::MAX, f64::MIN), |(a, b), e| (a.min(e), b.max(e)));
        fit.u[0] = -0.5 * (least + most);
        fit.points = fit.extrema()?;
        fit.first = fit.error_at(fit.points[0]).signum();
        Some(fit)
    }

    fn degree(&self) -> usize {
        self.u.len() / 2
    }

    fn zeros(&self) -> &[f64] {
        &self.u[1..=self.degree()]
    }

    fn poles(&self) -> &[f64] {
        &self.u[self.degree() + 1..]
    }

    /// ln r - power ln x.
    fn error_at(&self, t: f64) -> f64 {
        let x = t.exp();
        let terms = self.zeros().iter().zip(self.poles()).map(|(z, b)| ((x + z.exp()) / (x + b.exp())).ln());
        self.u[0] + terms.sum::<f64>() - self.power * t
    }

    /// The largest error.
    fn error(&self) -> f64 {
        self.points.iter().map(|&t| self.error_at(t).abs()).fold(0.0, f64::max)
    }

    /// Where |error| is largest between its changes of sign; none unless there are 2n + 2 such places.
    fn extrema(&self) -> Option<Vec<f64>> {
        let mut found: Vec<(f64, f64)> = Vec::new();
        for &t in &self.grid {
            let e = self.error_at(t);
            match found.last_mut() {
                Some(last) if last.1.signum() == e.signum() => {
                    if e.abs() > last.1.abs() {
                        *last = (t, e);
                    }
                }
                _ => found.push((t, e)),
            }
        }
        (found.len() == self.u.len() + 1).then(|| found.into_iter().map(|(t, _)| t).collect())
    }

    /// The best approximation of another power.
    fn to(mut self, power: f64) -> Option<Self> {
        let mut step = power - self.power;
        while self.power != power {
            let next = if (power - self.power).abs() <= step.abs() { power } else { self.power + step };
            let moved = Self { u: self.u.clone(), grid: self.grid.clone(), points: self.points.clone(), ..self };
            match (Self { power: next, ..moved }).levelled() {
                Some(moved) => self = moved,
                None if step.abs() < 1e-6 => return None,
                None => step *= 0.5,
            }
        }
        for _ in 0..20 {
            let largest = self.error();
            let smallest = self.points.iter().map(|&t| self.error_at(t).abs()).fold(f64::MAX, f64::min);
            if largest - smallest < LEVEL * largest + ROUNDING {
                return Some(self);
            }
            self = self.levelled()?;
        }
        None
    }

    /// Newton's method for errors +-E in turn at the points, which then move to the extrema.
    fn levelled(mut self) -> Option<Self> {
        let (n, size) = (self.degree(), self.u.len() + 1);
        for _ in 0..30 {
            let sign = |i: usize| if i.is_multiple_of(2) { self.first } else { -self.first };
            let slope = |i: usize, j: usize| {
                let x = self.points[i].exp();
                match j {
                    0 => 1.0,
                    j if j < self.u.len() => {
                        let y = self.u[j].exp();
                        if j <= n { y / (x + y) } else { -y / (x + y) }
                    }
                    _ => -sign(i),
                }
            };
            let matrix = Mat::from_fn(size, size, slope);
            let step = matrix.partial_piv_lu().solve(Col::from_fn(size, |i| -self.error_at(self.points[i])));
            let largest = (0..self.u.len()).map(|j| step[j].abs()).fold(0.0, f64::max);
            if largest.is_nan() || largest >= 1.0 {
                return None;
            }
            self.u.iter_mut().enumerate().for_each(|(j, u)| *u += step[j]);
            // Rounding of the ill-conditioned system leaves steps that no longer change the errors.
            if largest < 1e-9 {
                break;
            }
        }
        self.points = self.extrema()?;
        Some(self)
    }
}

/// ln sc^2(m K' / (2n + 1); k') for m = 1..2n, k'^2 = 1 - 1/ratio, by the descending Landen transformation.
fn elliptic_nodes(degree: usize, ratio: f64) -> Vec<f64> {
    let (mut a, mut b, mut levels) = (1.0f64, (1.0 / ratio).sqrt(), Vec::new());
    let mut c = (1.0 - 1.0 / ratio).sqrt();
    while c / a > 1e-16 && levels.len() < 12 {
        let mean = 0.5 * (a + b);
        c = 0.5 * (a - b);
        b = (a * b).sqrt();
        a = mean;
        levels.push(c / a);
    }
    let node = |m: usize| {
        // a_N u = pi/2 m / (2n + 1).
        let share = std::f64::consts::FRAC_PI_2 * m as f64 / (2 * degree + 1) as f64;
        let start = share * f64::from(1u32 << levels.len());
        let phi = levels.iter().rev().fold(start, |phi, level| 0.5 * (phi + (level * phi.sin()).asin()));
        2.0 * phi.tan().ln()
    };
    (1..=2 * degree).map(node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: &[(f64, usize, [f64; 2])] = &[
        (-0.5, 4, [0.3, 30.0]),
        (0.5, 10, [1e-3, 10.0]),
        (-0.25, 12, [0.09, 900.0]),
        (0.125, 8, [0.01, 20.0]),
        (-0.75, 15, [1e-5, 10.0]),
        (-0.375, 20, [2.0, 2e8]),
    ];

    /// Chebyshev's theorem: 2n + 2 equal extrema of alternating sign make the approximation the best (de la Vallee-Poussin bounds how
    /// far it can be from it).
    #[test]
    fn errors_alternate_at_one_level() {
        for &(power, degree, range) in CASES {
            let r = Rational::new(power, degree, range).unwrap();
            let points = 40_000;
            let width = (range[1] / range[0]).ln();
            let (mut extrema, mut last) = (Vec::new(), 0.0f64);
            for n in 0..=points {
                let x = range[0] * (width * f64::from(n) / f64::from(points)).exp();
                let error = r.at(x) / x.powf(power) - 1.0;
                if error.signum() != last.signum() || extrema.is_empty() {
                    extrema.push(0.0f64);
                }
                last = error;
                let top = extrema.last_mut().unwrap();
                *top = top.max(error.abs());
            }
            let (least, most) = extrema.iter().fold((f64::MAX, 0.0f64), |(a, b), &e| (a.min(e), b.max(e)));
            assert_eq!(extrema.len(), 2 * degree + 2, "{power} {degree}");
            assert!(
                least > 0.99 * most && (most / r.error - 1.0).abs() < 0.01,
                "{power}: {least} to {most}, {}",
                r.error
            );
        }
    }

    #[test]
    fn partial_fractions_and_reciprocals_are_the_same_function() {
        for &(power, degree, range) in CASES {
            let r = Rational::new(power, degree, range).unwrap();
            let (c, terms) = r.partial_fractions();
            let inverse = r.reciprocal();
            for x in [range[0], (range[0] * range[1]).sqrt(), range[1]] {
                let sum = c + terms.iter().map(|(a, b)| a / (x + b)).sum::<f64>();
                assert!((sum / r.at(x) - 1.0).abs() < 1e-11, "{power} at {x}: {sum}");
                assert!((inverse.at(x) * r.at(x) - 1.0).abs() < 1e-13);
            }
            assert!(terms.iter().all(|(a, b)| *b > 0.0 && a.signum() == -power.signum()));
        }
    }

    /// The interval [1, 4] turned around by x -> 4/x gives the reciprocal, so z b = 4 and the errors at the ends are opposite.
    #[test]
    fn one_pole_is_symmetric_and_level() {
        let r = Rational::new(-0.5, 1, [1.0, 4.0]).unwrap();
        let e = |x: f64| r.at(x) * x.sqrt() - 1.0;
        assert!((r.zeros[0] + r.poles[0] - 4f64.ln()).abs() < 1e-6);
        assert!((e(1.0).abs() / r.error - 1.0).abs() < 1e-2 && ((e(1.0) + 1.0) * (e(4.0) + 1.0) - 1.0).abs() < 1e-5);
    }

    #[test]
    fn accuracy_takes_the_fewest_poles() {
        let r = Rational::to_accuracy(-0.5, 1e-10, [0.01, 20.0]).unwrap();
        assert!(r.error <= 1e-10 && Rational::new(-0.5, r.poles.len() - 1, r.range).unwrap().error > 1e-10);
        for ratio in [1.5, 3.0, 45.0, 1e3] {
            let r = Rational::to_accuracy(0.25, BEST_ACCURACY, [0.1, 0.1 * ratio]).unwrap();
            let middle = 0.1 * f64::sqrt(ratio);
            assert!(r.error <= BEST_ACCURACY && (r.at(middle) / middle.powf(0.25) - 1.0).abs() < 2.0 * BEST_ACCURACY);
        }
        for (power, accuracy, range) in
            [(1.5, 1e-6, [1.0, 2.0]), (0.5, 1e-15, [1.0, 2.0]), (0.5, 1e-6, [0.0, 2.0]), (0.5, 1e-6, [2.0, 1.0])]
        {
            assert!(Rational::to_accuracy(power, accuracy, range).is_err());
        }
    }
}
