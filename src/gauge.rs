//! Gauge fields: links U_mu(x) from x to x+mu in U(1) or SU(N), and the momenta that live on them.

use crate::concept::{Configuration, Tangent};
use crate::field::{self, ItemKernel, Measure, SiteKernel};
use crate::group;
use crate::lattice::Lattice;
use crate::matrix::{Algebra, Complex, Matrix};
use crate::number::Real;
use crate::random::{Draws, Purpose, Stream};
use num_complex::Complex64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Links of a gauge field, stored `[site vector][mu]`.
#[derive(Debug, Clone)]
pub struct GaugeField<R, const N: usize> {
    lattice: Arc<Lattice>,
    links: Vec<Matrix<R, N>>,
    stamp: u64,
}

/// A number that no field has had.
fn fresh_stamp() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Lie algebra elements on the links, stored like the links: momenta and forces.
#[derive(Debug, Clone)]
pub struct LinkAlgebra<R, const N: usize> {
    /// The lattice.
    pub lattice: Arc<Lattice>,
    /// The elements.
    pub elements: Vec<Algebra<R, N>>,
}

impl<R: Real, const N: usize> GaugeField<R, N> {
    /// A field from its links `[site vector][mu]`.
    pub fn new(lattice: Arc<Lattice>, links: Vec<Matrix<R, N>>) -> Self {
        assert_eq!(links.len(), lattice.vectors() * lattice.ndim());
        Self { lattice, links, stamp: fresh_stamp() }
    }
    /// All links one.
    pub fn cold(lattice: Arc<Lattice>) -> Self {
        let links = vec![Matrix::one(); lattice.vectors() * lattice.ndim()];
        Self::new(lattice, links)
    }
    /// Haar-distributed links.
    pub fn hot(lattice: Arc<Lattice>, seed: u64) -> Self {
        let stream = Stream::new(seed, Purpose::Start, 0);
        let ndim = lattice.ndim();
        Self::from_sites(lattice, |site, mu| group::haar::<N>(&mut stream.site((site * ndim + mu) as u32)))
    }
    /// Links from a function of (site in C order, mu).
    pub fn from_sites(lattice: Arc<Lattice>, f: impl Fn(usize, usize) -> Matrix<f64, N>) -> Self {
        let ndim = lattice.ndim();
        let mut links = Vec::with_capacity(lattice.vectors() * ndim);
        for vector in 0..lattice.vectors() {
            for mu in 0..ndim {
                let mut lanes = [Matrix::<f64, N>::zero(); crate::number::MAX_LANES];
                for (lane, matrix) in lanes.iter_mut().enumerate().take(R::LANES) {
                    *matrix = f(lattice.site(vector, lane) as usize, mu);
                }
                links.push(pack(&lanes));
            }
        }
        Self::new(lattice, links)
    }
    /// The lattice.
    pub fn lattice(&self) -> &Arc<Lattice> {
        &self.lattice
    }
    /// The links.
    pub fn links(&self) -> &[Matrix<R, N>] {
        &self.links
    }
    /// Fields with the same stamp have the same links: copies keep it, whatever changes links gives a new one.
    pub fn stamp(&self) -> u64 {
        self.stamp
    }
    /// The links, to be changed.
    pub fn links_mut(&mut self) -> &mut [Matrix<R, N>] {
        self.stamp = fresh_stamp();
        &mut self.links
    }
    /// Calls `f(site, mu, link)` for every link.
    pub fn for_each_link(&self, mut f: impl FnMut(usize, usize, &Matrix<f64, N>)) {
        let ndim = self.lattice.ndim();
        for (n, link) in self.links.iter().enumerate() {
            for lane in 0..R::LANES {
                f(self.lattice.site(n / ndim, lane) as usize, n % ndim, &unpack(link, lane));
            }
        }
    }
    /// U_mu(x) -> g(x) U_mu(x) g(x+mu)^dagger, with `g` stored by site vector.
    pub fn gauge_transform(&mut self, g: &[Matrix<R, N>]) {
        let lattice = self.lattice.clone();
        let shifts = lattice.steps(1);
        field::for_each::<R, _, _>(
            &Transform { lattice: &lattice, shifts: &shifts, g },
            lattice.ndim(),
            self.links_mut(),
        );
    }
    /// Brings every link back to the group (`group::reunitarize`).
    pub fn reunitarize(&mut self) {
        let ndim = self.lattice.ndim();
        field::update::<R, _>(&Reunitarize, ndim, self.links_mut());
    }
    /// The time slice whose temporal links are all zero, if it is the only one: open boundaries between it and the next.
    pub fn open_slice(&self) -> Option<usize> {
        let ndim = self.lattice.ndim();
        let length = self.lattice.extents()[ndim - 1];
        let missing = |vector: usize, lane| unpack(&self.links[(vector + 1) * ndim - 1], lane).norm2() == 0.0;
        let lanes = || (0..self.lattice.vectors()).flat_map(|v| (0..R::LANES).map(move |lane| (v, lane)));
        // The sites below `length` are one line in time: a glance at it is enough for periodic fields.
        let site = |(vector, lane)| self.lattice.site(vector, lane) as usize;
        let mut zero = lanes().filter(|&at| site(at) < length && missing(at.0, at.1)).map(site);
        let slice = zero.next().filter(|_| ndim > 1 && zero.next().is_none())?;
        lanes().filter(|&at| site(at) % length == slice).all(|(v, lane)| missing(v, lane)).then_some(slice)
    }
    /// max over links of |U^dagger U - 1| and |det U - 1|.
    pub fn unitarity_violation(&self) -> f64 {
        let kernel = Violation { links: &self.links, ndim: self.lattice.ndim() };
        let worst = |a: f64, b: f64| if b > a || b.is_nan() { b } else { a };
        let (values, _) = field::measure::<R, _>(&kernel, self.lattice.vectors());
        values.into_iter().map(R::max_lane).fold(0.0, worst)
    }
}

impl<R: Real, const N: usize> Configuration for GaugeField<R, N> {
    type Scalar = R;
    type Tangent = LinkAlgebra<R, N>;

    fn zero(&self) -> LinkAlgebra<R, N> {
        LinkAlgebra::zero(self.lattice.clone())
    }
    /// Momenta with density exp(-(1/2) sum (a^c)^2).
    fn noise(&self, draws: Draws) -> LinkAlgebra<R, N> {
        let mut momenta = self.zero();
        let kernel = Gaussian { lattice: &self.lattice, stream: draws.stream(Purpose::Momenta) };
        field::for_each::<R, _, _>(&kernel, self.lattice.ndim(), &mut momenta.elements);
        momenta
    }
    /// U <- exp(step P) U on every link.
    fn drift(&mut self, step: f64, momenta: &mut LinkAlgebra<R, N>) {
        let kernel = Drift { step, momenta: &momenta.elements };
        field::update::<R, _>(&kernel, self.lattice.ndim(), self.links_mut());
    }
    fn restore(&mut self) {
        self.reunitarize();
    }
}

impl<R: Real, const N: usize> Tangent for LinkAlgebra<R, N> {
    type Number = R::Total;

    fn axpy(&mut self, a: f64, x: &Self) {
        let kernel = AddScaled { factor: a, other: &x.elements };
        field::update::<R, _>(&kernel, self.lattice.ndim(), &mut self.elements);
    }
    /// sum <A, B>.
    fn inner(&self, other: &Self) -> R::Total {
        let kernel = Inner { a: &self.elements, b: &other.elements, ndim: self.lattice.ndim() };
        field::measure(&kernel, self.lattice.vectors()).1
    }
    fn largest(&self) -> f64 {
        let mut squares = field::zeros(self.elements.len());
        field::update::<R, _>(&Square(&self.elements), self.lattice.ndim(), &mut squares);
        let worst = |a: f64, b: f64| if b > a || b.is_nan() { b } else { a };
        squares.iter().map(|s| s.max_lane()).fold(0.0, worst).sqrt()
    }
    fn count(&self) -> usize {
        self.lattice.volume() * self.lattice.ndim()
    }
}

/// One matrix per lane into a matrix of lanes.
#[inline(always)]
pub fn pack<R: Real, const N: usize>(lanes: &[Matrix<f64, N>]) -> Matrix<R, N> {
    let entry = |f: &dyn Fn(usize) -> f64| R::from_lanes(f);
    Matrix::from_fn(|i, j| Complex::new(entry(&|k| lanes[k].0[i][j].re), entry(&|k| lanes[k].0[i][j].im)))
}

/// The matrix in one lane.
pub fn unpack<R: Real, const N: usize>(m: &Matrix<R, N>, lane: usize) -> Matrix<f64, N> {
    Matrix::from_fn(|i, j| Complex::new(m.0[i][j].re.lane(lane), m.0[i][j].im.lane(lane)))
}

impl<R: Real, const N: usize> LinkAlgebra<R, N> {
    /// The algebra part of an array `[mu, x.., a, b]` that has the length of the links.
    pub(crate) fn from_array(lattice: &Arc<Lattice>, data: &[Complex64]) -> Self {
        let mut algebra = Self::zero(lattice.clone());
        let kernel = FromArray { data, lattice, volume: lattice.volume(), ndim: lattice.ndim() };
        field::update::<R, _>(&kernel, lattice.ndim(), &mut algebra.elements);
        algebra
    }
    /// The matrices as an array `[mu, x.., a, b]`.
    pub(crate) fn to_array(&self) -> Vec<Complex64> {
        let mut matrices = field::zeros(self.elements.len());
        field::update::<R, _>(&ToMatrix(&self.elements), self.lattice.ndim(), &mut matrices);
        array(&GaugeField::new(self.lattice.clone(), matrices))
    }
    /// Zero.
    pub fn zero(lattice: Arc<Lattice>) -> Self {
        let elements = field::zeros(lattice.vectors() * lattice.ndim());
        Self { lattice, elements }
    }
}

struct FromArray<'a> {
    data: &'a [Complex64],
    lattice: &'a Lattice,
    volume: usize,
    ndim: usize,
}

impl<R: Real, const N: usize> ItemKernel<Algebra<R, N>> for FromArray<'_> {
    #[inline(always)]
    fn at(&self, n: usize, element: &mut Algebra<R, N>) {
        let mut lanes = [Matrix::zero(); crate::number::MAX_LANES];
        for (lane, m) in lanes.iter_mut().enumerate().take(R::LANES) {
            let site = self.lattice.site(n / self.ndim, lane) as usize;
            *m = matrix::<N>(self.data, n % self.ndim * self.volume + site);
        }
        *element = pack::<R, N>(&lanes).algebra_part();
    }
}

struct ToMatrix<'a, R, const N: usize>(&'a [Algebra<R, N>]);

impl<R: Real, const N: usize> ItemKernel<Matrix<R, N>> for ToMatrix<'_, R, N> {
    #[inline(always)]
    fn at(&self, n: usize, m: &mut Matrix<R, N>) {
        *m = self.0[n].to_matrix();
    }
}

struct Transform<'a, R, const N: usize> {
    lattice: &'a Lattice,
    shifts: &'a [crate::lattice::Shift],
    g: &'a [Matrix<R, N>],
}

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for Transform<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, links: &mut [Matrix<R, N>]) -> R {
        for (link, shift) in links.iter_mut().zip(self.shifts) {
            let g = self.lattice.load(self.g, 1, 0, shift[vector]);
            *link = self.g[vector].mul(link).mul_adjoint(&g);
        }
        R::zero()
    }
}

struct Violation<'a, R, const N: usize> {
    links: &'a [Matrix<R, N>],
    ndim: usize,
}

impl<R: Real, const N: usize> Measure<R> for Violation<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize) -> R {
        // Zero times NaN or infinity is NaN and zero otherwise; a comparison alone would lose the NaN.
        let (mut worst, mut poison) = (R::zero(), R::zero());
        for link in &self.links[vector * self.ndim..(vector + 1) * self.ndim] {
            let violation = group::unitarity_violation(link);
            (worst, poison) = (worst.blend(violation, worst.less(violation)), poison + violation * R::zero());
        }
        worst + poison
    }
}

struct Reunitarize;

impl<R: Real, const N: usize> ItemKernel<Matrix<R, N>> for Reunitarize {
    #[inline(always)]
    fn at(&self, _n: usize, link: &mut Matrix<R, N>) {
        *link = group::reunitarize(link);
    }
}

struct Drift<'a, R, const N: usize> {
    step: f64,
    momenta: &'a [Algebra<R, N>],
}

impl<R: Real, const N: usize> ItemKernel<Matrix<R, N>> for Drift<'_, R, N> {
    #[inline(always)]
    fn at(&self, n: usize, link: &mut Matrix<R, N>) {
        *link = group::exp(&self.momenta[n].scale(R::splat(self.step))).mul(link);
    }
}

struct AddScaled<'a, R, const N: usize> {
    factor: f64,
    other: &'a [Algebra<R, N>],
}

impl<R: Real, const N: usize> ItemKernel<Algebra<R, N>> for AddScaled<'_, R, N> {
    #[inline(always)]
    fn at(&self, n: usize, momentum: &mut Algebra<R, N>) {
        *momentum = momentum.add_scaled(R::splat(self.factor), &self.other[n]);
    }
}

struct Gaussian<'a> {
    lattice: &'a Lattice,
    stream: Stream,
}

impl<R: Real, const N: usize> SiteKernel<R, Algebra<R, N>> for Gaussian<'_> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, momenta: &mut [Algebra<R, N>]) -> R {
        for (mu, momentum) in momenta.iter_mut().enumerate() {
            let mut normals = [[R::zero(); N]; N];
            self.stream.fill_normals(self.lattice.links::<R>(vector, mu), normals.as_flattened_mut());
            *momentum = Algebra::from_normals(&normals);
        }
        R::zero()
    }
}

struct Square<'a, R, const N: usize>(&'a [Algebra<R, N>]);

impl<R: Real, const N: usize> ItemKernel<R> for Square<'_, R, N> {
    #[inline(always)]
    fn at(&self, n: usize, square: &mut R) {
        *square = self.0[n].inner(&self.0[n]);
    }
}

struct Inner<'a, R, const N: usize> {
    a: &'a [Algebra<R, N>],
    b: &'a [Algebra<R, N>],
    ndim: usize,
}

impl<R: Real, const N: usize> Measure<R> for Inner<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize) -> R {
        let mut sum = R::zero();
        for link in vector * self.ndim..(vector + 1) * self.ndim {
            sum += self.a[link].inner(&self.b[link]);
        }
        sum
    }
}

/// Matrix number `n` of an array of matrices.
pub(crate) fn matrix<const N: usize>(data: &[Complex64], n: usize) -> Matrix<f64, N> {
    Matrix::from_fn(|i, j| {
        let z = data[(n * N + i) * N + j];
        Complex::new(z.re, z.im)
    })
}

pub(crate) fn array<R: Real, const N: usize>(field: &GaugeField<R, N>) -> Vec<Complex64> {
    let volume = field.lattice().volume();
    let mut data = vec![Complex64::ZERO; field.lattice().ndim() * volume * N * N];
    field.for_each_link(|site, mu, link| {
        for i in 0..N {
            for j in 0..N {
                data[((mu * volume + site) * N + i) * N + j] = Complex64::new(link.0[i][j].re, link.0[i][j].im);
            }
        }
    });
    data
}
