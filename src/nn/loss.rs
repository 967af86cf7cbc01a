//! Losses of one sample, means over its outputs: squared error, binary cross entropy, Huber (Ann. Math. Stat. 35, 73).

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// How far outputs are from targets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Loss {
    /// (y - t)^2
    SquaredError,
    /// -t ln y - (1 - t) ln(1 - y), each logarithm at least -100.
    CrossEntropy,
    /// (y - t)^2 / 2 up to |y - t| = delta, then delta (|y - t| - delta / 2).
    Huber {
        /// Where the parabola ends.
        delta: f64,
    },
}

impl Loss {
    /// Mean over the outputs; writes its derivatives.
    pub fn at(&self, outputs: &[f64], targets: &[f64], derivatives: &mut [f64]) -> Result<f64> {
        let (mut sum, weight) = (0.0, 1.0 / outputs.len() as f64);
        for ((y, t), derivative) in outputs.iter().zip(targets).zip(derivatives) {
            let (value, slope) = self.one(*y, *t)?;
            sum += value;
            *derivative = slope * weight;
        }
        Ok(sum * weight)
    }

    fn one(&self, y: f64, t: f64) -> Result<(f64, f64)> {
        let d = y - t;
        match *self {
            Self::SquaredError => Ok((d * d, 2.0 * d)),
            Self::Huber { delta } if d.abs() <= delta => Ok((0.5 * d * d, d)),
            Self::Huber { delta } => Ok((delta * (d.abs() - 0.5 * delta), delta.copysign(d))),
            Self::CrossEntropy if y.is_nan() => Ok((y, y)),
            Self::CrossEntropy if !(0.0..=1.0).contains(&y) => Err(Error::value(format!(
                "an output is {y:.6}; binary cross entropy takes probabilities: end the network with Sigmoid()"
            ))),
            Self::CrossEntropy => {
                let ln = |x: f64| x.ln().max(-100.0);
                let value = -t * ln(y) - (1.0 - t) * ln(1.0 - y);
                Ok((value, d / (y * (1.0 - y)).max(1e-12)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_are_those_of_the_values() {
        for loss in [Loss::SquaredError, Loss::CrossEntropy, Loss::Huber { delta: 0.3 }] {
            for t in [0.0, 0.25, 1.0] {
                for y in [0.1, 0.5, 0.93] {
                    let (h, mut slopes) = (1e-6, [0.0; 2]);
                    let mut at = |y: f64| loss.at(&[y, t], &[t, t], &mut slopes).unwrap();
                    let difference = (at(y + h) - at(y - h)) / (2.0 * h);
                    at(y);
                    assert!((slopes[0] - difference).abs() < 1e-7, "{loss:?} at {y}, {t}");
                }
            }
        }
        assert!(Loss::CrossEntropy.at(&[1.5], &[1.0], &mut [0.0]).is_err());
        assert!(Loss::CrossEntropy.at(&[0.0], &[1.0], &mut [0.0]).unwrap() == 100.0);
    }
}
