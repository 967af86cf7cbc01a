//! Gauge fields: links U_mu(x) from x to x+mu in U(1) or SU(N), and the momenta that live on them.

use crate::action::Configuration;
use crate::field::{self, Measure, SiteKernel};
use crate::group;
use crate::lattice::Lattice;
use crate::matrix::{Algebra, Complex, Matrix};
use crate::real::Real;
use crate::rng::{Purpose, Stream};
use std::sync::Arc;

/// Links of a gauge field, stored `[site vector][mu]`.
#[derive(Debug, Clone)]
pub struct GaugeField<R, const N: usize> {
    lattice: Arc<Lattice>,
    links: Vec<Matrix<R, N>>,
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
        Self { lattice, links }
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
                let mut lanes = [Matrix::<f64, N>::zero(); crate::real::MAX_LANES];
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
    /// The links, to be changed.
    pub fn links_mut(&mut self) -> &mut [Matrix<R, N>] {
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
        let shifts = forward_shifts(&lattice);
        field::for_each::<R, _, _>(
            &Transform { lattice: &lattice, shifts: &shifts, g },
            lattice.ndim(),
            &mut self.links,
        );
    }
    /// Brings every link back to the group (`group::reunitarize`).
    pub fn reunitarize(&mut self) {
        let ndim = self.lattice.ndim();
        field::for_each::<R, _, _>(&Reunitarize, ndim, &mut self.links);
    }
    /// max over links of |U^dagger U - 1| and |det U - 1|.
    pub fn unitarity_violation(&self) -> f64 {
        let worst = |a: f64, b: f64| if b > a || b.is_nan() { b } else { a };
        self.links.iter().map(group::unitarity_violation).fold(0.0, worst)
    }
}

impl<R: Real, const N: usize> Configuration for GaugeField<R, N> {
    type Number = R::Total;
    type Momenta = LinkAlgebra<R, N>;

    fn zero_momenta(&self) -> LinkAlgebra<R, N> {
        LinkAlgebra::zero(self.lattice.clone())
    }
    fn add_momenta(&self, momenta: &mut LinkAlgebra<R, N>, factor: f64, other: &LinkAlgebra<R, N>) {
        let kernel = AddScaled { factor, other: &other.elements };
        field::for_each::<R, _, _>(&kernel, self.lattice.ndim(), &mut momenta.elements);
    }
    /// Momenta with density exp(-(1/2) sum (a^c)^2).
    fn draw_momenta(&self, seed: u64, sweep: u64) -> LinkAlgebra<R, N> {
        let mut momenta = self.zero_momenta();
        let stream = Stream::new(seed, Purpose::Momenta, sweep);
        let kernel = Gaussian { lattice: &self.lattice, stream };
        field::for_each::<R, _, _>(&kernel, self.lattice.ndim(), &mut momenta.elements);
        momenta
    }
    fn kinetic(momenta: &LinkAlgebra<R, N>) -> R::Total {
        momenta.inner(momenta) * R::Total::splat(0.5)
    }
    /// U <- exp(step P) U on every link.
    fn drift(&mut self, step: f64, momenta: &LinkAlgebra<R, N>) {
        let kernel = Drift { step, momenta: &momenta.elements };
        field::for_each::<R, _, _>(&kernel, self.lattice.ndim(), &mut self.links);
    }
    fn restore(&mut self) {
        self.reunitarize();
    }
}

/// The shift by +mu for every direction.
pub fn forward_shifts(lattice: &Lattice) -> Vec<crate::lattice::Shift> {
    let unit = |mu: usize| std::array::from_fn(|k| i32::from(k == mu));
    (0..lattice.ndim()).map(|mu| lattice.shift(unit(mu))).collect()
}

/// One matrix per lane into a matrix of lanes.
pub fn pack<R: Real, const N: usize>(lanes: &[Matrix<f64, N>]) -> Matrix<R, N> {
    let entry = |f: &dyn Fn(usize) -> f64| R::from_lanes(f);
    Matrix::from_fn(|i, j| Complex::new(entry(&|k| lanes[k].0[i][j].re), entry(&|k| lanes[k].0[i][j].im)))
}

/// The matrix in one lane.
pub fn unpack<R: Real, const N: usize>(m: &Matrix<R, N>, lane: usize) -> Matrix<f64, N> {
    Matrix::from_fn(|i, j| Complex::new(m.0[i][j].re.lane(lane), m.0[i][j].im.lane(lane)))
}

impl<R: Real, const N: usize> LinkAlgebra<R, N> {
    /// Zero.
    pub fn zero(lattice: Arc<Lattice>) -> Self {
        let elements = vec![Algebra::zero(); lattice.vectors() * lattice.ndim()];
        Self { lattice, elements }
    }
    /// sum <A, B>.
    pub fn inner(&self, other: &Self) -> R::Total {
        let kernel = Inner { a: &self.elements, b: &other.elements, ndim: self.lattice.ndim() };
        field::measure(&kernel, self.lattice.vectors()).1
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
            let to = shift[vector];
            let mut g = self.g[to.site()];
            if to.permutation() != 0 {
                g = g.permute(self.lattice.permutation(to.permutation()));
            }
            *link = self.g[vector].mul(link).mul_adjoint(&g);
        }
        R::zero()
    }
}

struct Reunitarize;

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for Reunitarize {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), _vector: usize, links: &mut [Matrix<R, N>]) -> R {
        for link in links {
            *link = group::reunitarize(link);
        }
        R::zero()
    }
}

struct Drift<'a, R, const N: usize> {
    step: f64,
    momenta: &'a [Algebra<R, N>],
}

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for Drift<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, links: &mut [Matrix<R, N>]) -> R {
        let ndim = links.len();
        for (mu, link) in links.iter_mut().enumerate() {
            let a = self.momenta[vector * ndim + mu].scale(R::splat(self.step));
            *link = group::exp(&a).mul(link);
        }
        R::zero()
    }
}

struct AddScaled<'a, R, const N: usize> {
    factor: f64,
    other: &'a [Algebra<R, N>],
}

impl<R: Real, const N: usize> SiteKernel<R, Algebra<R, N>> for AddScaled<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, momenta: &mut [Algebra<R, N>]) -> R {
        let ndim = momenta.len();
        for (mu, momentum) in momenta.iter_mut().enumerate() {
            *momentum = momentum.add_scaled(R::splat(self.factor), &self.other[vector * ndim + mu]);
        }
        R::zero()
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
        let ndim = momenta.len();
        for (mu, momentum) in momenta.iter_mut().enumerate() {
            let site = |lane| self.lattice.site(vector, lane) * ndim as u32 + mu as u32;
            let mut normals = [[R::zero(); N]; N];
            let mut spare = R::zero();
            for k in 0..N * N {
                if k.is_multiple_of(2) {
                    (normals[k / N][k % N], spare) = self.stream.normals(site, k as u32 / 2);
                } else {
                    normals[k / N][k % N] = spare;
                }
            }
            *momentum = Algebra::from_normals(&normals);
        }
        R::zero()
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
