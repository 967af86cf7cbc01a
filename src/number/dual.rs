//! Dual numbers `a + b eps`, eps^2 = 0: every kernel run on them returns its exact directional derivative.

use crate::number::{LaneMask, Permutation, Real, Work};
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};

/// A value and its derivative.
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Zeroable)]
pub struct Dual<R> {
    /// The value.
    pub re: R,
    /// The coefficient of eps.
    pub eps: R,
}

impl<R: Real> Dual<R> {
    /// `re + eps * derivative`.
    #[inline(always)]
    pub fn new(re: R, eps: R) -> Self {
        Self { re, eps }
    }
}

impl<R: Real> Add for Dual<R> {
    type Output = Self;
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        Self::new(self.re + o.re, self.eps + o.eps)
    }
}

impl<R: Real> Sub for Dual<R> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        Self::new(self.re - o.re, self.eps - o.eps)
    }
}

impl<R: Real> Mul for Dual<R> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        Self::new(self.re * o.re, self.re.mul_add(o.eps, self.eps * o.re))
    }
}

impl<R: Real> Div for Dual<R> {
    type Output = Self;
    #[inline(always)]
    fn div(self, o: Self) -> Self {
        let q = self.re / o.re;
        Self::new(q, q.neg_mul_add(o.eps, self.eps) / o.re)
    }
}

impl<R: Real> Neg for Dual<R> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self::new(-self.re, -self.eps)
    }
}

impl<R: Real> AddAssign for Dual<R> {
    #[inline(always)]
    fn add_assign(&mut self, o: Self) {
        *self = *self + o;
    }
}

impl<R: Real> SubAssign for Dual<R> {
    #[inline(always)]
    fn sub_assign(&mut self, o: Self) {
        *self = *self - o;
    }
}

impl<R: Real> Real for Dual<R> {
    type Total = Dual<R::Total>;
    type Single = Dual<R::Single>;
    type Value = R::Value;
    type Bits = R::Bits;
    const DUAL: bool = true;
    const LANES: usize = R::LANES;
    const EPSILON: f64 = R::EPSILON;

    #[inline(always)]
    fn splat(x: f64) -> Self {
        Self::new(R::splat(x), R::zero())
    }
    #[inline(always)]
    fn open_unit(high: R::Bits, low: R::Bits) -> Self {
        Self::new(R::open_unit(high, low), R::zero())
    }
    #[inline(always)]
    fn from_lanes(f: impl FnMut(usize) -> f64) -> Self {
        Self::new(R::from_lanes(f), R::zero())
    }
    #[inline(always)]
    fn lane(self, k: usize) -> f64 {
        self.re.lane(k)
    }
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        Self::new(self.re.mul_add(a.re, b.re), self.re.mul_add(a.eps, self.eps.mul_add(a.re, b.eps)))
    }
    #[inline(always)]
    fn neg_mul_add(self, a: Self, b: Self) -> Self {
        Self::new(self.re.neg_mul_add(a.re, b.re), self.re.neg_mul_add(a.eps, self.eps.neg_mul_add(a.re, b.eps)))
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        let root = self.re.sqrt();
        Self::new(root, self.eps / (root + root))
    }
    #[inline(always)]
    fn sin_cos(self) -> (Self, Self) {
        let (sin, cos) = self.re.sin_cos();
        (Self::new(sin, cos * self.eps), Self::new(cos, -sin * self.eps))
    }
    #[inline(always)]
    fn ln(self) -> Self {
        Self::new(self.re.ln(), self.eps / self.re)
    }
    #[inline(always)]
    fn exp(self) -> Self {
        let value = self.re.exp();
        Self::new(value, value * self.eps)
    }
    #[inline(always)]
    fn less(self, other: Self) -> LaneMask {
        self.re.less(other.re)
    }
    #[inline(always)]
    fn blend(self, other: Self, mask: LaneMask) -> Self {
        Self::new(self.re.blend(other.re, mask), self.eps.blend(other.eps, mask))
    }
    #[inline(always)]
    fn permute(self, permutation: &Permutation) -> Self {
        Self::new(self.re.permute(permutation), self.eps.permute(permutation))
    }
    #[inline(always)]
    fn spread(&self, k: usize) -> Self {
        Self::new(self.re.spread(k), self.eps.spread(k))
    }
    #[inline(always)]
    fn vectorize<W: Work>(work: W) -> W::Output {
        R::vectorize(work)
    }
    #[inline(always)]
    fn total(self) -> Self::Total {
        Dual::new(self.re.total(), self.eps.total())
    }
    #[inline(always)]
    fn split(self) -> [R::Value; 2] {
        [self.re.split()[0], self.eps.split()[0]]
    }
    #[inline(always)]
    fn join([value, slope]: [R::Value; 2]) -> Self {
        let zero = R::Value::zero();
        Self::new(R::join([value, zero]), R::join([slope, zero]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivative_of_elementary_functions() {
        let x = Dual::new(0.7, 1.0);
        let y = (x.ln() * x.exp() * x.sqrt() / (Dual::splat(1.0) + x * x)).sin_cos().0;
        let f = |x: f64| (x.ln() * x.exp() * x.sqrt() / (1.0 + x * x)).sin();
        let h = 1e-5;
        assert!((y.re - f(0.7)).abs() < 1e-15);
        assert!((y.eps - (f(0.7 + h) - f(0.7 - h)) / (2.0 * h)).abs() < 1e-10);
    }
}
