//! Activation functions with their slopes: LeakyReLU, ReLU, tanh, sigmoid, GELU x Phi(x) (arXiv 1606.08415), swish x sigmoid(x)
//! (arXiv 1710.05941), arctan.

use crate::number::Real;
use serde::{Deserialize, Serialize};

/// A function of one number that acts on every channel and site.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "function", rename_all = "snake_case", deny_unknown_fields)]
pub enum Activation {
    /// x for x > 0, else slope x.
    LeakyRelu {
        /// Slope below zero.
        slope: f64,
    },
    /// max(x, 0).
    Relu,
    /// Hyperbolic tangent.
    Tanh,
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// x (1 + erf(x / sqrt 2)) / 2.
    Gelu,
    /// x sigmoid(x).
    Swish,
    /// Arc tangent.
    Arctan,
}

impl Activation {
    /// Whether [`Self::slope_of_image`] knows the slope, so that the argument need not be kept.
    pub fn is_known_by_image(self) -> bool {
        match self {
            Self::LeakyRelu { slope } => slope > 0.0,
            Self::Relu | Self::Tanh | Self::Sigmoid => true,
            Self::Gelu | Self::Swish | Self::Arctan => false,
        }
    }

    /// Whether f(-x) = -f(x).
    pub fn is_odd(self) -> bool {
        matches!(self, Self::Tanh | Self::Arctan)
    }

    /// The function.
    #[inline(always)]
    pub fn value<R: Real>(self, x: R) -> R {
        let zero = R::zero();
        match self {
            Self::LeakyRelu { slope } => (x * R::splat(slope)).blend(x, zero.less(x)),
            Self::Relu => zero.blend(x, zero.less(x)),
            Self::Tanh => tanh(x),
            Self::Sigmoid => sigmoid(x),
            Self::Gelu => x * normal_below(x).0,
            Self::Swish => x * sigmoid(x),
            Self::Arctan => arctan(x),
        }
    }

    /// Its derivative; where it jumps, that from below.
    #[inline(always)]
    pub fn slope<R: Real>(self, x: R) -> R {
        let (zero, one) = (R::zero(), R::one());
        match self {
            Self::LeakyRelu { slope } => R::splat(slope).blend(one, zero.less(x)),
            Self::Relu => zero.blend(one, zero.less(x)),
            Self::Tanh | Self::Sigmoid => self.of_image(self.value(x)),
            Self::Gelu => {
                let (below, density) = normal_below(x);
                x.mul_add(density, below)
            }
            Self::Swish => {
                let y = sigmoid(x);
                y * x.mul_add(one - y, one)
            }
            Self::Arctan => one / x.mul_add(x, one),
        }
    }

    /// The function and its derivative, which share what is dear; the derivative of a [`crate::number::Dual`] by the second one.
    #[inline(always)]
    pub fn value_and_slope<R: Real>(self, x: R) -> [R; 2] {
        let [x, eps] = x.split();
        let [value, slope, bend] = self.jet(x);
        [R::join([value, slope * eps]), R::join([slope, bend * eps])]
    }

    /// f, f' and f''.
    #[inline(always)]
    fn jet<R: Real>(self, x: R) -> [R; 3] {
        let (zero, one, two) = (R::zero(), R::one(), R::splat(2.0));
        match self {
            Self::LeakyRelu { slope } => {
                let slope = R::splat(slope).blend(one, zero.less(x));
                [slope * x, slope, zero]
            }
            Self::Relu => {
                let slope = zero.blend(one, zero.less(x));
                [zero.blend(x, zero.less(x)), slope, zero]
            }
            Self::Tanh => {
                let y = tanh(x);
                let slope = y.neg_mul_add(y, one);
                [y, slope, y * slope * R::splat(-2.0)]
            }
            Self::Sigmoid => {
                let y = sigmoid(x);
                let slope = y * (one - y);
                [y, slope, slope * (one - (y + y))]
            }
            Self::Gelu => {
                let (below, density) = normal_below(x);
                [x * below, x.mul_add(density, below), density * x.neg_mul_add(x, two)]
            }
            Self::Swish => {
                let y = sigmoid(x);
                let slope = y * (one - y);
                [x * y, x.mul_add(slope, y), slope * x.mul_add(one - (y + y), two)]
            }
            Self::Arctan => {
                let slope = one / x.mul_add(x, one);
                [arctan(x), slope, x * slope * slope * R::splat(-2.0)]
            }
        }
    }

    /// The derivative at the argument whose image is `y`, where [`Self::is_known_by_image`].
    #[inline(always)]
    pub fn slope_of_image<R: Real>(self, y: R) -> R {
        match self {
            Self::Tanh | Self::Sigmoid => self.of_image(y),
            _ => self.slope(y),
        }
    }

    /// Of tanh, else of the sigmoid function. (Functions that call each other are not inlined.)
    #[inline(always)]
    fn of_image<R: Real>(self, y: R) -> R {
        match self {
            Self::Tanh => y.neg_mul_add(y, R::one()),
            _ => y * (R::one() - y),
        }
    }
}

const INVERSE_ROOT_TWO_PI: f64 = 0.398_942_280_401_432_7;

/// |x| and the lanes in which x is negative.
#[inline(always)]
fn magnitude<R: Real>(x: R) -> (R, crate::number::LaneMask) {
    let negative = x.less(R::zero());
    (x.blend(-x, negative), negative)
}

#[inline(always)]
fn sigmoid<R: Real>(x: R) -> R {
    R::one() / (R::one() + (-x).exp())
}

/// (1 - e) / (1 + e) with e = exp(-2|x|); near 0, where that cancels, x + x^3 P(x^2) / Q(x^2) (Cephes).
#[inline(always)]
fn tanh<R: Real>(x: R) -> R {
    const P: [f64; 3] = [-1.614_687_684_417_084_5e3, -9.928_772_310_019_185e1, -9.643_991_794_250_523e-1];
    const Q: [f64; 4] = [4.844_063_053_251_255e3, 2.235_488_390_601_004_5e3, 1.128_116_784_916_329_3e2, 1.0];
    let (size, negative) = magnitude(x);
    let e = (size * R::splat(-2.0)).exp();
    let far = (R::one() - e) / (R::one() + e);
    let x2 = x * x;
    let near = size + size * x2 * polynomial(x2, &P) / polynomial(x2, &Q);
    let y = near.blend(far, R::splat(0.625).less(size));
    y.blend(-y, negative)
}

/// The reduction of Cephes to |x| < tan(pi/8) and its rational approximation.
#[inline(always)]
fn arctan<R: Real>(x: R) -> R {
    const P: [f64; 5] = [
        -6.485_021_904_942_025e1,
        -1.228_866_684_490_136_2e2,
        -7.500_855_792_314_705e1,
        -1.615_753_718_733_365_1e1,
        -8.750_608_600_031_905e-1,
    ];
    const Q: [f64; 6] = [
        1.945_506_571_482_614e2,
        4.853_903_996_359_137e2,
        4.328_810_604_912_903e2,
        1.650_270_098_316_988_4e2,
        2.485_846_490_142_306e1,
        1.0,
    ];
    let (size, negative) = magnitude(x);
    let (one, steep, flat) = (R::one(), R::splat(2.414_213_562_373_095).less(size), R::splat(0.66).less(size));
    // x, (x - 1)/(x + 1) or -1/x by one division
    let t = size.blend(size - one, flat).blend(-one, steep) / one.blend(size + one, flat).blend(size, steep);
    let from = R::zero().blend(R::splat(std::f64::consts::FRAC_PI_4), flat);
    let from = from.blend(R::splat(std::f64::consts::FRAC_PI_2), steep);
    let t2 = t * t;
    let y = from + (t + t * t2 * polynomial(t2, &P) / polynomial(t2, &Q));
    y.blend(-y, negative)
}

/// Phi(x) = erfc(-x / sqrt 2) / 2 with the rational approximations of Cephes below and above 1, and the normal density, whose
/// exponential they need.
#[inline(always)]
fn normal_below<R: Real>(x: R) -> (R, R) {
    const T: [f64; 5] = [
        5.559_230_130_103_95e4,
        7.003_325_141_128_051e3,
        2.232_005_345_946_843e3,
        9.002_601_972_038_427e1,
        9.604_973_739_870_516,
    ];
    const U: [f64; 6] = [
        4.926_739_426_086_359e4,
        2.262_900_006_138_909_5e4,
        4.594_323_829_709_801e3,
        5.213_579_497_801_527e2,
        3.356_171_416_475_031e1,
        1.0,
    ];
    const P: [f64; 9] = [
        5.575_353_353_693_994e2,
        1.027_551_886_895_157_2e3,
        9.345_285_271_719_576e2,
        5.264_451_949_954_773e2,
        1.965_208_329_560_771e2,
        4.863_719_709_856_814e1,
        7.463_210_564_422_699,
        5.641_895_648_310_689e-1,
        2.461_969_814_735_305e-10,
    ];
    const Q: [f64; 9] = [
        5.575_353_408_177_277e2,
        1.656_663_091_941_613_5e3,
        2.246_337_608_187_109_8e3,
        1.823_909_166_879_097_4e3,
        9.757_085_017_432_055e2,
        3.549_377_788_878_199e2,
        8.670_721_408_859_897e1,
        1.322_819_511_547_449_9e1,
        1.0,
    ];
    let z = x * R::splat(std::f64::consts::FRAC_1_SQRT_2);
    let (size, negative) = magnitude(z);
    let z2 = z * z;
    // Beyond 8 the tail is below 1e-28: the argument is held there, so that neither polynomial leaves its range.
    let held = size.blend(R::splat(8.0), R::splat(8.0).less(size));
    let (gaussian, far) = ((-z2).exp(), R::one().less(size));
    let above = (z * polynomial(z2, &T)).blend(gaussian * polynomial(held, &P), far);
    let part = above / polynomial(z2, &U).blend(polynomial(held, &Q), far);
    let beyond = (R::splat(2.0) - part).blend(part, negative);
    let below = R::splat(0.5) * (R::one() + part).blend(beyond, far);
    (below, gaussian * R::splat(INVERSE_ROOT_TWO_PI))
}

/// `sum_k c[k] x^k` by Horner's rule.
#[inline(always)]
fn polynomial<R: Real>(x: R, c: &[f64]) -> R {
    let mut y = R::splat(c[c.len() - 1]);
    for &c in c.iter().rev().skip(1) {
        y = y.mul_add(x, R::splat(c));
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Dual;

    const ALL: [Activation; 8] = [
        Activation::LeakyRelu { slope: 0.01 },
        Activation::LeakyRelu { slope: -0.5 },
        Activation::Relu,
        Activation::Tanh,
        Activation::Sigmoid,
        Activation::Gelu,
        Activation::Swish,
        Activation::Arctan,
    ];

    #[test]
    fn slopes_are_derivatives() {
        for function in ALL {
            for step in -400..400 {
                let x = f64::from(step) * 0.0173 + 0.0071;
                let y = function.value(Dual::new(x, 1.0));
                assert!((y.re - function.value(x)).abs() < 1e-15);
                assert!(
                    (y.eps - function.slope(x)).abs() < 1e-12,
                    "{function:?} at {x}: {} {}",
                    y.eps,
                    function.slope(x)
                );
                let [value, slope] = function.value_and_slope(Dual::new(x, 1.0));
                assert!((value.re - y.re).abs() + (value.eps - slope.re).abs() < 1e-15, "{function:?} at {x}");
                assert!((slope.re - function.slope(x)).abs() < 1e-15, "{function:?} at {x}");
                let bend = function.slope(Dual::new(x, 1.0)).eps;
                assert!((slope.eps - bend).abs() < 1e-11, "{function:?} at {x}: {} {bend}", slope.eps);
                if function.is_known_by_image() {
                    assert!((y.eps - function.slope_of_image(y.re)).abs() < 1e-12, "{function:?} at {x}");
                }
            }
        }
    }

    #[test]
    fn values_are_those_of_the_library_and_of_an_integral() {
        let (mut phi, step) = (0.5, 1e-3);
        for n in 0..6000 {
            let x = f64::from(n) * step;
            for x in [x, -x, 20.0 * x] {
                assert!((tanh(x) - x.tanh()).abs() < 4e-16, "{x}");
                assert!((arctan(x) - x.atan()).abs() < 5e-16, "{x}");
            }
            assert!((normal_below(x).0 - phi).abs() < 1e-12, "{x}: {} {phi}", normal_below(x).0);
            assert!((normal_below(-x).0 - (1.0 - phi)).abs() < 1e-12, "{x}");
            // Simpson's rule for the normal density.
            let density = |x: f64| INVERSE_ROOT_TWO_PI * (-0.5 * x * x).exp();
            phi += step / 6.0 * (density(x) + 4.0 * density(x + 0.5 * step) + density(x + step));
        }
        assert!(normal_below(1e200).0 == 1.0 && normal_below(-1e200).0 < 1e-27);
    }
}
