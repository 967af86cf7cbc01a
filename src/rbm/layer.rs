//! One layer of units: conditional mean and conditional sample given the field W h or W^T v, eqs. (23) of arXiv 2309.15002.

use crate::error::{Error, Result};
use crate::rng::Stream;
use crate::rng::array::{Draw, fill_normals, fill_uniforms};
use rayon::prelude::*;
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

/// Numbers drawn before they are used: small enough for the first-level cache.
const SCRATCH: usize = 1024;
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

    /// Turns rows of fields into conditional means.
    pub fn mean(&self, rows: &mut [R]) {
        for row in rows.chunks_exact_mut(self.len()) {
            let terms = row.iter_mut().zip(self.bias.iter().zip(&self.variance));
            match self.units {
                Units::Gaussian => terms.for_each(|(x, (&b, &s))| *x = (*x + b) * s),
                Units::Bernoulli => terms.for_each(|(x, (&b, _))| *x = (*x + b).sigmoid()),
                Units::Spin => terms.for_each(|(x, (&b, _))| *x = (*x + b).hyperbolic_tangent()),
            }
        }
    }

    /// Turns rows of fields into conditional means, in parallel.
    pub fn means(&self, rows: &mut [R]) {
        rows.par_chunks_mut(self.task()).for_each(|rows| self.mean(rows));
    }

    /// Turns rows of fields into samples, in parallel; row `r` uses the numbers of site `r`.
    pub fn draw(&self, stream: &Stream, rows: &mut [R]) {
        rows.par_chunks_mut(self.task()).enumerate().for_each(|(task, rows)| {
            self.mean(rows);
            self.sample(stream, (task * self.task() / self.len()) as u32, rows);
        });
    }

    /// Samples around rows of conditional means, in parallel; row `r` uses the numbers of site `r`.
    pub fn draw_around(&self, means: &[R], stream: &Stream, out: &mut [R]) {
        let work = |(task, (out, means)): (usize, (&mut [R], &[R]))| {
            out.copy_from_slice(means);
            self.sample(stream, (task * self.task() / self.len()) as u32, out);
        };
        out.par_chunks_mut(self.task()).zip(means.par_chunks(self.task())).enumerate().for_each(work);
    }

    /// Overrelaxes rows given their conditional means, in parallel.
    pub fn overrelax_all(&self, stream: &Stream, omega: R, means: &[R], old: &mut [R]) {
        let work = |(task, (old, means)): (usize, (&mut [R], &[R]))| {
            self.overrelax(stream, (task * self.task() / self.len()) as u32, omega, means, old);
        };
        old.par_chunks_mut(self.task()).zip(means.par_chunks(self.task())).enumerate().for_each(work);
    }

    /// Numbers (whole rows) that one task handles.
    fn task(&self) -> usize {
        (TASK / self.len()).max(1) * self.len()
    }

    /// Turns rows of conditional means into samples; row `r` uses the numbers of site `first_site + r`.
    pub fn sample(&self, stream: &Stream, first_site: u32, rows: &mut [R]) {
        self.noisy(stream, first_site, rows, |unit, mean, z| mean + self.variance[unit].root() * z);
    }

    /// Overrelaxation (Adler): `x` becomes (1 - omega) x + omega mean + sqrt(omega (2 - omega)) noise. Gaussian units.
    pub fn overrelax(&self, stream: &Stream, first_site: u32, omega: R, rows: &[R], old: &mut [R]) {
        let noise = (omega * (R::of(2.0) - omega)).root();
        let mut fresh = rows.to_vec();
        let mean_part = |unit: usize, mean: R, z: R| omega * mean + noise * self.variance[unit].root() * z;
        self.noisy(stream, first_site, &mut fresh, mean_part);
        old.iter_mut().zip(fresh).for_each(|(x, new)| *x = (R::of(1.0) - omega) * *x + new);
    }

    fn noisy(&self, stream: &Stream, first_site: u32, rows: &mut [R], gaussian: impl Fn(usize, R, R) -> R) {
        let width = self.len();
        let batch = (SCRATCH / width).max(1);
        let mut scratch = vec![R::ZERO; batch * width];
        for (b, rows) in rows.chunks_mut(batch * width).enumerate() {
            let site = first_site + (b * batch) as u32;
            let noise = &mut scratch[..rows.len()];
            match self.units {
                Units::Gaussian => fill_normals(stream, site, width, noise),
                _ => fill_uniforms(stream, site, width, noise),
            }
            for (row, noise) in rows.chunks_exact_mut(width).zip(noise.chunks_exact(width)) {
                let units = row.iter_mut().zip(noise);
                match self.units {
                    Units::Gaussian => units.enumerate().for_each(|(i, (x, &z))| *x = gaussian(i, *x, z)),
                    Units::Bernoulli => units.for_each(|(x, &u)| *x = R::of(f64::from(u8::from(u < *x)))),
                    Units::Spin => units.for_each(|(x, &u)| {
                        let up = u < (R::of(1.0) + *x) * R::of(0.5);
                        *x = R::of(if up { 1.0 } else { -1.0 });
                    }),
                }
            }
        }
    }
}
