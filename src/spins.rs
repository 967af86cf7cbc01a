//! Unit vectors on the sites, O(3) spins: a configuration whose momenta are tangent to the spheres and turn with the spins
//! (geodesic steps of Byrne and Girolami, Scand. J. Stat. 40, 2013).

use crate::concept::{Configuration, Tangent};
use crate::random::{Draws, Purpose};
use rand::RngExt;
use rand_distr::StandardNormal;

/// A classical spin; the fourth number is always 0 and fills a vector register.
pub type Spin = [f64; 4];

/// `a . b`
#[inline(always)]
pub fn dot(a: &Spin, b: &Spin) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// `a + x b`
#[inline(always)]
pub fn add_scaled(a: &mut Spin, x: f64, b: &Spin) {
    for c in 0..4 {
        a[c] += x * b[c];
    }
}

/// The part of `v` that is tangent to the sphere at `s`.
#[inline(always)]
pub fn tangent(v: &Spin, s: &Spin) -> Spin {
    let mut projected = *v;
    add_scaled(&mut projected, -dot(v, s), s);
    projected
}

/// Spins in the order of the sites.
#[derive(Debug, Clone, PartialEq)]
pub struct SpinField(pub Vec<Spin>);

/// Tangent vectors of spins.
#[derive(Debug, Clone, PartialEq)]
pub struct SpinTangent(pub Vec<Spin>);

impl Tangent for SpinTangent {
    type Number = f64;

    fn axpy(&mut self, a: f64, x: &Self) {
        self.0.iter_mut().zip(&x.0).for_each(|(y, x)| add_scaled(y, a, x));
    }
    fn inner(&self, other: &Self) -> f64 {
        self.0.iter().zip(&other.0).map(|(a, b)| dot(a, b)).sum()
    }
    fn largest(&self) -> f64 {
        let worst = |a: f64, b: f64| if b > a || b.is_nan() { b } else { a };
        self.0.iter().map(|p| dot(p, p)).fold(0.0, worst).sqrt()
    }
    fn count(&self) -> usize {
        self.0.len()
    }
}

impl Configuration for SpinField {
    type Scalar = f64;
    type Tangent = SpinTangent;

    fn zero(&self) -> SpinTangent {
        SpinTangent(vec![[0.0; 4]; self.0.len()])
    }

    fn noise(&self, draws: Draws) -> SpinTangent {
        let stream = draws.stream(Purpose::Momenta);
        let momentum = |(i, s): (usize, &Spin)| {
            let mut rng = stream.site(i as u32);
            let [x, y, z] = std::array::from_fn(|_| rng.sample(StandardNormal));
            tangent(&[x, y, z, 0.0], s)
        };
        SpinTangent(self.0.iter().enumerate().map(momentum).collect())
    }

    /// Every spin rotates along its great circle, and its momentum with it.
    fn drift(&mut self, step: f64, momenta: &mut SpinTangent) {
        for (s, p) in self.0.iter_mut().zip(&mut momenta.0) {
            let speed = dot(p, p).sqrt();
            if speed < 1e-300 {
                continue;
            }
            let (sin, cos) = (speed * step).sin_cos();
            let moved = [0, 1, 2, 3].map(|c| cos * s[c] + sin / speed * p[c]);
            let turned = [0, 1, 2, 3].map(|c| cos * p[c] - sin * speed * s[c]);
            let length = dot(&moved, &moved).sqrt();
            *s = moved.map(|x| x / length);
            *p = tangent(&turned, s);
        }
    }

    /// Every drift ends on the spheres.
    fn restore(&mut self) {}
}
