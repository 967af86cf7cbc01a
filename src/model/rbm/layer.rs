//! One layer of units: conditional mean and conditional sample given the field W h or W^T v, eqs. (23) of arXiv 2309.15002.

use crate::error::{Error, Result};
use crate::field::by_pieces;
use crate::random::Stream;
use crate::random::array::{Draw, fill_normals, fill_uniforms};
use std::borrow::Cow;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// Numbers the weights can be made of.
pub trait Float:
    faer::traits::RealField
    + Draw
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
{
    /// Rounds a double.
    fn of(x: f64) -> Self;
    /// Widens to a double.
    fn wide(self) -> f64;
    /// Square root.
    fn root(self) -> Self;
    /// 1 / (1 + exp(-x)).
    fn sigmoid(self) -> Self;
    /// Hyperbolic tangent.
    fn hyperbolic_tangent(self) -> Self;
    /// Doubles, without a copy where they are doubles already.
    fn widen(x: &[Self]) -> Cow<'_, [f64]>;
}

macro_rules! float {
    ($t:ty, $widen:expr) => {
        impl Float for $t {
            #[inline(always)]
            fn of(x: f64) -> Self {
                x as Self
            }
            #[inline(always)]
            fn wide(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn root(self) -> Self {
                self.sqrt()
            }
            fn sigmoid(self) -> Self {
                1.0 / (1.0 + (-self).exp())
            }
            fn hyperbolic_tangent(self) -> Self {
                self.tanh()
            }
            fn widen(x: &[Self]) -> Cow<'_, [f64]> {
                $widen(x)
            }
        }
    };
}
float!(f32, |x: &[f32]| Cow::Owned(x.iter().map(|&x| f64::from(x)).collect()));
float!(f64, Cow::Borrowed);

/// What a unit can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Units {
    /// Real numbers, normal around (field + bias) * variance.
    Gaussian,
    /// 0 or 1, one with probability sigmoid(field + bias).
    Bernoulli,
    /// -1 or +1, mean tanh(field + bias).
    Spin,
}

impl std::str::FromStr for Units {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "gaussian" => Ok(Self::Gaussian),
            "bernoulli" => Ok(Self::Bernoulli),
            "spin" => Ok(Self::Spin),
            _ => {
                Err(Error::value(format!("units {name:?} are not known; use \"gaussian\", \"bernoulli\" or \"spin\"")))
            }
        }
    }
}

/// The units of one layer; `variance` is used by Gaussian units only.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer<R> {
    /// Kind of the units.
    pub units: Units,
    /// Field present without the other layer, one a unit.
    pub bias: Vec<R>,
    /// Conditional variance, one a unit.
    pub variance: Vec<R>,
}

/// Numbers that one task handles: a sixteenth of a megabyte.
pub(super) const TASK: usize = 8192;

impl<R: Float> Layer<R> {
    /// Number of units.
    pub fn len(&self) -> usize {
        self.bias.len()
    }

    /// True if there are no units.
    pub fn is_empty(&self) -> bool {
        self.bias.is_empty()
    }

    /// Turns the fields of the units from number `first` on into conditional means.
    #[inline(always)]
    pub fn mean(&self, first: usize, fields: &mut [R]) {
        let end = first + fields.len();
        let terms = fields.iter_mut().zip(self.bias[first..end].iter().zip(&self.variance[first..end]));
        match self.units {
            Units::Gaussian => terms.for_each(|(x, (&b, &s))| *x = (*x + b) * s),
            Units::Bernoulli => terms.for_each(|(x, (&b, _))| *x = (*x + b).sigmoid()),
            Units::Spin => terms.for_each(|(x, (&b, _))| *x = (*x + b).hyperbolic_tangent()),
        }
    }

    /// Rows of noise for [`Layer::place`], in parallel; row `r` uses the numbers of site `r`.
    pub fn noise(&self, stream: &Stream, rows: &mut [R]) {
        let width = self.len();
        let task = (TASK / width).max(1) * width;
        by_pieces(rows, task, |t, rows| {
            let site = (t * task / width) as u32;
            match self.units {
                Units::Gaussian => fill_normals(stream, site, width, rows),
                _ => fill_uniforms(stream, site, width, rows),
            }
        });
    }

    /// Turns noise into samples around the means, for the units whose `deviations` are given.
    #[inline(always)]
    pub fn place(&self, deviations: &[R], means: &[R], noise: &mut [R]) {
        let units = noise.iter_mut().zip(means);
        match self.units {
            Units::Gaussian => units.zip(deviations).for_each(|((x, &mean), &d)| *x = mean + d * *x),
            Units::Bernoulli => units.for_each(|(x, &mean)| *x = R::of(f64::from(u8::from(*x < mean)))),
            Units::Spin => units.for_each(|(x, &mean)| {
                let up = *x < (R::of(1.0) + mean) * R::of(0.5);
                *x = R::of(if up { 1.0 } else { -1.0 });
            }),
        }
    }

    /// Conditional standard deviations of Gaussian units.
    pub fn deviations(&self) -> Vec<R> {
        self.variance.iter().map(|v| v.root()).collect()
    }

    /// Overrelaxation (Adler): `x` becomes (1 - omega) x + omega mean + sqrt(omega (2 - omega)) noise. Gaussian units.
    pub fn overrelax(&self, stream: &Stream, omega: R, means: &[R], state: &mut [R]) {
        let (width, keep) = (self.len(), R::of(1.0) - omega);
        let scale = (omega * (R::of(2.0) - omega)).root();
        let deviations: Vec<R> = self.deviations().iter().map(|d| scale * *d).collect();
        let mut noise = vec![R::ZERO; state.len()];
        self.noise(stream, &mut noise);
        let task = (TASK / width).max(1) * width;
        by_pieces(state, task, |t, state| {
            let from = t * task;
            let others = means[from..].chunks_exact(width).zip(noise[from..].chunks_exact(width));
            for (state, (means, noise)) in state.chunks_exact_mut(width).zip(others) {
                let units = state.iter_mut().zip(means).zip(noise).zip(&deviations);
                units.for_each(|(((x, &mean), &z), &d)| *x = keep * *x + omega * mean + d * z);
            }
        });
    }
}
