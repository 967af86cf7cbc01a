//! Flat vectors of complex numbers on the sites: what solvers and auxiliary fields know, below group and spin.
//!
//! Several vectors that are worked on together (the columns of a propagator) are one [`Vector`] with `[column][component]` at a site;
//! what is done to one of them does not depend on how many there are.

use super::{ItemKernel, SumKernel};
use crate::error::Result;
use crate::lattice::{Lattice, Sites};
use crate::matrix::Complex;
use crate::number::{Real, each};
use num_complex::Complex64;
use std::sync::{Arc, Mutex, PoisonError};

/// Where a vector lives and how many components a site has.
#[derive(Debug, Clone)]
pub struct Space {
    /// The lattice.
    pub lattice: Arc<Lattice>,
    /// The sites.
    pub sites: Sites,
    /// Components of a site.
    pub components: usize,
    /// Vectors that are worked on together.
    pub columns: usize,
}

impl Space {
    /// One vector.
    pub fn new(lattice: &Arc<Lattice>, sites: Sites, components: usize) -> Self {
        Self { lattice: lattice.clone(), sites, components, columns: 1 }
    }
    /// The same for some vectors together.
    pub fn with_columns(&self, columns: usize) -> Self {
        Self { columns, ..self.clone() }
    }
    /// The same on other sites.
    pub fn on(&self, sites: Sites) -> Self {
        Self { sites, ..self.clone() }
    }
    /// First position in the order of the lattice, and number of site vectors.
    pub fn range(&self) -> (usize, usize) {
        self.lattice.order().range(self.sites).unwrap_or((0, 0))
    }
    /// Numbers at a site.
    pub fn width(&self) -> usize {
        self.components * self.columns
    }
}

/// `[position in the order of the lattice][column][component]`.
#[derive(Debug, Clone)]
pub struct Vector<R> {
    /// Where it lives.
    pub space: Space,
    /// The components.
    pub values: Vec<Complex<R>>,
}

impl<R: Real> Vector<R> {
    /// Zero.
    pub fn zero(space: &Space) -> Self {
        Self { space: space.clone(), values: super::zeros(space.range().1 * space.width()) }
    }
    /// From an array `[column][site][component]` over all sites in C order.
    pub fn from_array(space: &Space, data: &[Complex64]) -> Self {
        let mut vector = Self::zero(space);
        let kernel = FromArray { space, first: space.range().0, data };
        super::update::<R, _>(&kernel, space.width(), &mut vector.values);
        vector
    }
    /// Adds the vector to an array `[column][site][component]` over all sites in C order.
    pub fn store(&self, data: &mut [Complex64]) {
        let (space, width) = (&self.space, self.space.width());
        let (lattice, order) = (&space.lattice, space.lattice.order());
        let first = space.range().0;
        for (n, z) in self.values.iter().enumerate() {
            let (vector, (column, component)) =
                (order.vector(first + n / width), (n % width / space.components, n % space.components));
            for lane in 0..R::LANES {
                let site = column * lattice.volume() + lattice.site(vector, lane) as usize;
                data[site * space.components + component] = Complex64::new(z.re.lane(lane), z.im.lane(lane));
            }
        }
    }
    /// As an array `[column][site][component]` over all sites in C order.
    pub fn to_array(&self) -> Vec<Complex64> {
        let mut data = vec![Complex64::ZERO; self.space.lattice.volume() * self.space.width()];
        self.store(&mut data);
        data
    }
    /// The part of a vector on all sites that lives on some.
    pub fn part(&self, sites: Sites) -> Self {
        let mut part = Self::zero(&self.space.on(sites));
        let (start, length) = (part.space.range().0 * part.space.width(), part.values.len());
        part.values.copy_from_slice(&self.values[start..start + length]);
        part
    }
    /// Puts this part of a vector on all sites into it.
    pub fn put_into(&self, whole: &mut Self) {
        let (start, length) = (self.space.range().0 * self.space.width(), self.values.len());
        whole.values[start..start + length].copy_from_slice(&self.values);
    }
    /// Sets the vector to zero on the odd sites, where even and odd sites share site vectors too.
    pub fn keep_even(&mut self) {
        let kernel = KeepEven { space: &self.space, first: self.space.range().0 };
        super::update::<R, _>(&kernel, self.space.width(), &mut self.values);
    }
    /// `self *= a`.
    pub fn scale(&mut self, a: f64) {
        super::update::<R, _>(&Scale(R::splat(a)), self.space.width(), &mut self.values);
    }
    /// `self += a x`.
    pub fn axpy(&mut self, a: f64, x: &Self) {
        self.combine(&[Complex64::ONE], &[Complex64::new(a, 0.0)], x);
    }
    /// `self = a self + b x` with factors of their own for each column, or one for all; `x` may have one column for all.
    pub fn combine(&mut self, a: &[Complex64], b: &[Complex64], x: &Self) {
        let real = a.iter().chain(b).all(|z| z.im == 0.0);
        let factors: Vec<_> = (0..self.space.columns).map(|n| [a, b].map(|factors| of_column(factors, n))).collect();
        let (components, shared) = (self.space.components, x.space.columns < self.space.columns);
        let kernel = Combine { factors: &factors, real, x: &x.values, components, shared };
        super::for_each::<R, _, _>(&kernel, self.space.width(), &mut self.values);
    }
    /// `self = a self + b x + c y` in one pass.
    pub fn combine_two(&mut self, a: &[Complex64], (b, x): (&[Complex64], &Self), (c, y): (&[Complex64], &Self)) {
        let factors: Vec<_> = (0..self.space.columns).map(|n| [a, b, c].map(|factors| of_column(factors, n))).collect();
        let kernel = CombineTwo { factors: &factors, x: [&x.values, &y.values], components: self.space.components };
        super::for_each::<R, _, _>(&kernel, self.space.width(), &mut self.values);
    }
    /// `self += a p`, then `p = b p + c r`, in one pass: the end of an iteration of conjugate gradients.
    pub fn step_along(&mut self, a: &[f64], p: &mut Self, b: &[f64], c: f64, r: &Self) {
        let kernel = StepAlong { a, b, c: R::splat(c), r: &r.values, components: self.space.components };
        super::update_both::<R, _, _>(&kernel, self.space.width(), [&mut self.values, &mut p.values]);
    }
    /// sum conj(x) y, in an order that the number of threads does not change; the sum of all columns.
    pub fn inner(&self, other: &Self) -> Complex<R::Total> {
        let mut sum = Complex::zero();
        self.inner_each(other).into_iter().for_each(|x| sum += x);
        sum
    }
    /// Re sum conj(x) y of every column of y.
    pub fn real_inner_each(&self, other: &Self) -> Vec<R::Total> {
        self.inner_each(other).into_iter().map(|z| z.re).collect()
    }
    /// sum |x|^2 of every column.
    pub fn norms(&self) -> Vec<R::Total> {
        self.real_inner_each(self)
    }
    /// sum conj(x) y of every column of y; x may have one column for all.
    pub fn inner_each(&self, other: &Self) -> Vec<Complex<R::Total>> {
        let [sums] = Self::inners([[self, other]]);
        sums
    }
    /// The same for some pairs, in one pass.
    pub fn inners<const K: usize>(pairs: [[&Self; 2]; K]) -> [Vec<Complex<R::Total>>; K] {
        let space = &pairs[0][1].space;
        let mut sites = vec![(); space.range().1];
        let both = pairs.map(|pair| pair.map(|vector| vector.values.as_slice()));
        let kernel = Inner { pairs: &both, components: space.components, columns: space.columns };
        let sums = super::for_each_summed::<R, _, _>(&kernel, 1, &mut sites, 2 * space.columns * K);
        std::array::from_fn(|k| {
            let of = &sums[2 * space.columns * k..2 * space.columns * (k + 1)];
            of.chunks(2).map(|z| Complex::new(z[0], z[1])).collect()
        })
    }
    /// `self += factor x` with a factor for each column, and sum |self|^2 of every column, in one pass.
    pub fn add_and_norms(&mut self, factors: &[f64], x: &Self) -> Vec<R::Total> {
        let kernel = AddAndNorms { factors, x: &x.values, components: self.space.components };
        super::for_each_summed::<R, _, _>(&kernel, self.space.width(), &mut self.values, self.space.columns)
    }
    /// sum |x|^2.
    pub fn norm2(&self) -> R::Total {
        self.inner(self).re
    }
    /// One column.
    pub fn column(&self, column: usize) -> Self {
        let mut one = Self::zero(&self.space.with_columns(1));
        let kernel = Column { from: &self.values, column, width: self.space.width() };
        super::for_each::<R, _, _>(&kernel, self.space.components, &mut one.values);
        one
    }
    /// The same numbers in another precision, on the same sites of a lattice of the same extents.
    pub fn convert<S: Real>(&self, lattice: &Arc<Lattice>) -> Result<Vector<S>> {
        let space = Space { lattice: lattice.clone(), ..self.space.clone() };
        lattice.order().range(space.sites)?;
        let mut data = vec![[0u32; 2]; lattice.volume()];
        for position in 0..self.space.range().1 {
            for lane in 0..R::LANES {
                let order = self.space.lattice.order();
                let vector = order.vector(self.space.range().0 + position);
                data[self.space.lattice.site(vector, lane) as usize] = [position as u32, lane as u32];
            }
        }
        let mut vector = Vector::zero(&space);
        let kernel = Convert { from: &self.values, places: &data, space: &space, first: space.range().0 };
        super::update::<S, _>(&kernel, space.width(), &mut vector.values);
        Ok(vector)
    }
}

/// Vectors between two steps, kept from one application to the next.
#[derive(Debug)]
pub struct Pool<R>(Mutex<Vec<Vector<R>>>);

impl<R> Default for Pool<R> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<R: Real> Pool<R> {
    /// Runs `work` with a vector whose content is of no interest.
    pub fn with<T>(&self, space: &Space, work: impl FnOnce(&mut Vector<R>) -> T) -> T {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let fits = |v: &Vector<R>| v.space.sites == space.sites && v.space.columns == space.columns;
        let mut vector = kept.filter(fits).unwrap_or_else(|| Vector::zero(space));
        let result = work(&mut vector);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(vector);
        result
    }
}

impl<R: Real> Vector<R> {
    /// Value and derivative as vectors of their own.
    pub fn split(&self) -> [Vector<R::Value>; 2] {
        [0, 1].map(|part| {
            let mut vector = Vector::zero(&self.space);
            super::update::<R::Value, _>(&Split { from: &self.values, part }, self.space.width(), &mut vector.values);
            vector
        })
    }
    /// A vector from its value and its derivative.
    pub fn join(parts: [&Vector<R::Value>; 2]) -> Self {
        let mut vector = Self::zero(&parts[0].space);
        super::update::<R, _>(&Join(parts.map(|v| v.values.as_slice())), vector.space.width(), &mut vector.values);
        vector
    }
}

struct Scale<R>(R);

impl<R: Real> ItemKernel<Complex<R>> for Scale<R> {
    #[inline(always)]
    fn at(&self, _: usize, y: &mut Complex<R>) {
        *y = y.scale(self.0);
    }
}

struct KeepEven<'a> {
    space: &'a Space,
    first: usize,
}

impl<R: Real> ItemKernel<Complex<R>> for KeepEven<'_> {
    #[inline(always)]
    fn at(&self, n: usize, z: &mut Complex<R>) {
        let lattice = &self.space.lattice;
        let vector = lattice.order().vector(self.first + n / self.space.width());
        let odd = |lane| lattice.coordinates(lattice.site(vector, lane) as usize).iter().sum::<usize>() % 2;
        *z = z.scale(R::from_lanes(|lane| if odd(lane) == 0 { 1.0 } else { 0.0 }));
    }
}

/// The factor of a column, or the one for all.
fn of_column(factors: &[Complex64], column: usize) -> Complex64 {
    factors[column.min(factors.len() - 1)]
}

struct Combine<'a, R> {
    factors: &'a [[Complex64; 2]],
    real: bool,
    x: &'a [Complex<R>],
    components: usize,
    /// Whether one column of `x` is added to all.
    shared: bool,
}

impl<R: Real> super::SiteKernel<R, Complex<R>> for Combine<'_, R> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, items: &mut [Complex<R>]) -> R {
        let width = if self.shared { self.components } else { items.len() };
        let x = &self.x[vector * width..(vector + 1) * width];
        for (n, (y, &[a, b])) in items.chunks_exact_mut(self.components).zip(self.factors).enumerate() {
            let first = if self.shared { 0 } else { n * self.components };
            let x = &x[first..first + self.components];
            let (a_re, a_im, b_re, b_im) = (R::splat(a.re), R::splat(a.im), R::splat(b.re), R::splat(b.im));
            for (y, &x) in y.iter_mut().zip(x) {
                *y = if self.real {
                    Complex::new(b_re.mul_add(x.re, a_re * y.re), b_re.mul_add(x.im, a_re * y.im))
                } else {
                    (*y * Complex::new(a_re, a_im)).fma(Complex::new(b_re, b_im), x)
                };
            }
        }
        R::zero()
    }
}

struct AddAndNorms<'a, R> {
    factors: &'a [f64],
    x: &'a [Complex<R>],
    components: usize,
}

impl<R: Real> SumKernel<R, Complex<R>> for AddAndNorms<'_, R> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), sums: &mut [R], vector: usize, items: &mut [Complex<R>]) {
        let first = vector * items.len();
        for (column, (sum, y)) in sums.iter_mut().zip(items.chunks_exact_mut(self.components)).enumerate() {
            let factor = R::splat(self.factors[column]);
            let mut parts = [R::zero(); 2];
            for (n, y) in y.iter_mut().enumerate() {
                let x = self.x[first + column * self.components + n];
                *y = Complex::new(factor.mul_add(x.re, y.re), factor.mul_add(x.im, y.im));
                parts = [y.re.mul_add(y.re, parts[0]), y.im.mul_add(y.im, parts[1])];
            }
            *sum += parts[0] + parts[1];
        }
    }
}

struct CombineTwo<'a, R> {
    factors: &'a [[Complex64; 3]],
    x: [&'a [Complex<R>]; 2],
    components: usize,
}

impl<R: Real> super::SiteKernel<R, Complex<R>> for CombineTwo<'_, R> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, items: &mut [Complex<R>]) -> R {
        let first = vector * items.len();
        for (column, items) in items.chunks_exact_mut(self.components).enumerate() {
            let [a, b, c] = each(self.factors[column], |z| Complex::new(R::splat(z.re), R::splat(z.im)));
            for (n, y) in items.iter_mut().enumerate() {
                let [x, z] = each(self.x, |x| x[first + column * self.components + n]);
                *y = (*y * a).fma(b, x).fma(c, z);
            }
        }
        R::zero()
    }
}

struct StepAlong<'a, R> {
    a: &'a [f64],
    b: &'a [f64],
    c: R,
    r: &'a [Complex<R>],
    components: usize,
}

impl<R: Real> super::PairKernel<Complex<R>> for StepAlong<'_, R> {
    #[inline(always)]
    fn at(&self, vector: usize, x: &mut [Complex<R>], p: &mut [Complex<R>]) {
        let r = &self.r[vector * x.len()..(vector + 1) * x.len()];
        for (n, ((x, p), &r)) in x.iter_mut().zip(p).zip(r).enumerate() {
            let column = n / self.components;
            let (a, b) = (R::splat(self.a[column]), R::splat(self.b[column]));
            *x = Complex::new(a.mul_add(p.re, x.re), a.mul_add(p.im, x.im));
            *p = Complex::new(self.c.mul_add(r.re, b * p.re), self.c.mul_add(r.im, b * p.im));
        }
    }
}

struct Inner<'a, R> {
    pairs: &'a [[&'a [Complex<R>]; 2]],
    components: usize,
    columns: usize,
}

impl<R: Real> SumKernel<R, ()> for Inner<'_, R> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), sums: &mut [R], vector: usize, _: &mut [()]) {
        for ([x, y], sums) in self.pairs.iter().zip(sums.chunks_exact_mut(2 * self.columns)) {
            let shared = x.len() < y.len();
            for (column, sums) in sums.chunks_exact_mut(2).enumerate() {
                // From zero, so that the additions of a site do not wait for those of the last one.
                let mut parts = [[R::zero(); 2]; 2];
                let first = (vector * self.columns + column) * self.components;
                let of_x = if shared { vector * self.components } else { first };
                for n in 0..self.components {
                    let (x, y) = (x[of_x + n], y[first + n]);
                    parts[0] = [x.re.mul_add(y.re, parts[0][0]), x.im.mul_add(y.im, parts[0][1])];
                    parts[1] = [x.re.mul_add(y.im, parts[1][0]), x.im.neg_mul_add(y.re, parts[1][1])];
                }
                sums[0] += parts[0][0] + parts[0][1];
                sums[1] += parts[1][0] + parts[1][1];
            }
        }
    }
}

struct FromArray<'a> {
    space: &'a Space,
    first: usize,
    data: &'a [Complex64],
}

impl<R: Real> ItemKernel<Complex<R>> for FromArray<'_> {
    #[inline(always)]
    fn at(&self, n: usize, z: &mut Complex<R>) {
        let (space, width) = (self.space, self.space.width());
        let vector = space.lattice.order().vector(self.first + n / width);
        let (column, component) = (n % width / space.components, n % space.components);
        let at = |lane| {
            let site = column * space.lattice.volume() + space.lattice.site(vector, lane) as usize;
            self.data[site * space.components + component]
        };
        *z = Complex::new(R::from_lanes(|lane| at(lane).re), R::from_lanes(|lane| at(lane).im));
    }
}

struct Convert<'a, R> {
    from: &'a [Complex<R>],
    places: &'a [[u32; 2]],
    space: &'a Space,
    first: usize,
}

impl<R: Real, S: Real> ItemKernel<Complex<S>> for Convert<'_, R> {
    #[inline(always)]
    fn at(&self, n: usize, z: &mut Complex<S>) {
        let width = self.space.width();
        let vector = self.space.lattice.order().vector(self.first + n / width);
        let at = |lane| {
            let [position, lane] = self.places[self.space.lattice.site(vector, lane) as usize];
            let z = self.from[position as usize * width + n % width];
            [z.re.lane(lane as usize), z.im.lane(lane as usize)]
        };
        *z = Complex::new(S::from_lanes(|lane| at(lane)[0]), S::from_lanes(|lane| at(lane)[1]));
    }
}

struct Column<'a, R> {
    from: &'a [Complex<R>],
    column: usize,
    width: usize,
}

impl<R: Real> super::SiteKernel<R, Complex<R>> for Column<'_, R> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, items: &mut [Complex<R>]) -> R {
        let start = vector * self.width + self.column * items.len();
        items.copy_from_slice(&self.from[start..start + items.len()]);
        R::zero()
    }
}

struct Split<'a, R> {
    from: &'a [Complex<R>],
    part: usize,
}

impl<R: Real> ItemKernel<Complex<R::Value>> for Split<'_, R> {
    #[inline(always)]
    fn at(&self, n: usize, z: &mut Complex<R::Value>) {
        let from = self.from[n];
        *z = Complex::new(from.re.split()[self.part], from.im.split()[self.part]);
    }
}

struct Join<'a, V>([&'a [Complex<V>]; 2]);

impl<R: Real> ItemKernel<Complex<R>> for Join<'_, R::Value> {
    #[inline(always)]
    fn at(&self, n: usize, z: &mut Complex<R>) {
        let [value, slope] = each(self.0, |part| part[n]);
        *z = Complex::new(R::join([value.re, slope.re]), R::join([value.im, slope.im]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::{Dual, Isa};

    /// x = n + 1 + i on component n of all components and sites: sums that are known in closed form.
    fn law<R: Real<Total = f64>>() {
        let lattice = Lattice::new(&[8, 8, 8, 4], R::LANES).unwrap();
        let space = Space::new(&lattice, Sites::All, 3);
        let volume = lattice.volume();
        let numbers: Vec<_> = (0..3 * volume).map(|n| Complex64::new(n as f64, 1.0)).collect();
        let x = Vector::<R>::from_array(&space, &numbers);
        let mut y = Vector::<R>::from_array(&space, &vec![Complex64::new(1.0, 2.0); 3 * volume]);
        assert_eq!(x.to_array(), numbers);
        let n = (3 * volume) as f64;
        let sum = n * (n - 1.0) / 2.0;
        // conj(n + i) (1 + 2 i) = n + 2 + i (2 n - 1)
        let inner = x.inner(&y);
        assert_eq!([inner.re, inner.im], [sum + 2.0 * n, 2.0 * sum - n]);
        assert_eq!(y.norm2(), 5.0 * n);
        // 2 i y - x = 2 i (1 + 2 i) - (n + i) = -4 - n + i
        y.combine(&[Complex64::new(0.0, 2.0)], &[Complex64::new(-1.0, 0.0)], &x);
        assert_eq!(y.to_array(), (0..3 * volume).map(|n| Complex64::new(-4.0 - n as f64, 1.0)).collect::<Vec<_>>());
        halves(&x, &numbers);
    }

    /// Even and odd parts make up the whole, and their sums its sum; a conversion to another cut keeps them apart.
    fn halves<R: Real<Total = f64>>(x: &Vector<R>, numbers: &[Complex64]) {
        let mut again = Vector::<R>::zero(&x.space);
        let mut total = 0.0;
        for sites in [Sites::Even, Sites::Odd] {
            let part = x.part(sites);
            let odd = usize::from(sites == Sites::Odd);
            let is_here = |n: usize| x.space.lattice.coordinates(n / 3).iter().sum::<usize>() % 2 == odd;
            let wanted: Vec<_> =
                numbers.iter().enumerate().map(|(n, &z)| if is_here(n) { z } else { Complex64::ZERO }).collect();
            assert_eq!(part.to_array(), wanted);
            let scalar = Lattice::new(x.space.lattice.extents(), 1).unwrap();
            assert_eq!(part.convert::<f64>(&scalar).unwrap().to_array(), wanted);
            total += part.norm2();
            part.put_into(&mut again);
        }
        assert_eq!(total, x.norm2());
        assert_eq!(again.to_array(), numbers);
    }

    #[test]
    fn sums_over_sites_are_exact() {
        law::<f64>();
        #[cfg(target_arch = "x86_64")]
        if Isa::supported() >= Isa::Avx2 {
            law::<crate::number::F64x4Avx2>();
        }
        #[cfg(target_arch = "x86_64")]
        if Isa::supported() >= Isa::Avx512 {
            law::<crate::number::F64x8Avx512>();
        }
    }

    #[test]
    fn columns_do_not_see_each_other() {
        let lattice = Lattice::new(&[4, 6], 1).unwrap();
        let two = Space { columns: 2, ..Space::new(&lattice, Sites::All, 2) };
        let numbers: Vec<_> = (0..96).map(|n| Complex64::new(f64::from(n), 0.5)).collect();
        let mut x = Vector::<f64>::from_array(&two, &numbers);
        let norms: Vec<f64> = (0..2).map(|k| x.column(k).norm2()).collect();
        assert_eq!(x.norms(), norms);
        let y = x.clone();
        x.combine(&[Complex64::ONE], &[Complex64::new(-1.0, 0.0), Complex64::ONE], &y);
        assert_eq!(x.column(0).norm2(), 0.0);
        assert_eq!(x.column(1).norm2(), 4.0 * norms[1]);
        assert_eq!(y.column(1).to_array(), numbers[48..]);
        // One column meets all.
        let one = y.column(0);
        let each = one.inner_each(&y);
        for (k, z) in each.iter().enumerate() {
            let wanted = one.inner(&y.column(k));
            assert_eq!([z.re, z.im], [wanted.re, wanted.im]);
        }
        x.combine(&[Complex64::ZERO], &[Complex64::ONE, Complex64::new(0.0, 2.0)], &one);
        assert_eq!(x.column(0).to_array(), one.to_array());
        assert_eq!(x.column(1).to_array(), one.to_array().iter().map(|z| z * Complex64::I * 2.0).collect::<Vec<_>>());
    }

    #[test]
    fn duals_fall_into_parts_and_come_together() {
        let lattice = Lattice::new(&[4, 4], 1).unwrap();
        let space = Space::new(&lattice, Sites::All, 1);
        let numbers: Vec<_> = (0..16).map(|n| Complex64::new(f64::from(n), 0.5)).collect();
        let value = Vector::<f64>::from_array(&space, &numbers);
        let mut slope = value.clone();
        slope.scale(3.0);
        let joined = Vector::<Dual<f64>>::join([&value, &slope]);
        assert_eq!(joined.norm2(), Dual::new(value.norm2(), 6.0 * value.norm2()));
        assert_eq!(joined.split()[1].to_array(), slope.to_array());
    }
}
