//! The force of the clover term A. A functional with dS = sum_x Re tr[G(x) dA(x)], G one block for each chirality and site, has
//! dS = sum_x sum_{mu<nu} Re tr[B_mu nu(x) dQ_mu nu(x)] with Q the sum of the four leaves and B = (K - K^dagger)/8,
//! K_ji = -(c_sw/2) sum_st (gamma_mu gamma_nu)_st G_(t j)(s i). A link is in the leaves of the four corners of each of its plaquettes.
//!
//! With P = U V W^dagger Z^dagger the plaquette at x (U = U_mu(x), V = U_nu(x+mu), W = U_mu(x+nu), Z = U_nu(x)) and its insertions brought
//! to x, T = U B(x+mu) U^dagger, C = Z B(x+nu) Z^dagger and Z T(x+nu) Z^dagger, the links have d = Re tr(delta F) with the anti-Hermitian
//! parts of
//!   U^dagger-rotated F_V = P (B + T + C + Z T(x+nu) Z^dagger),
//!   F_U = F_V - [P, T],  F_Z = -F_V + [P, B + T],  F_W = F_Z + [P, C] (rotated by Z^dagger),
//! where only the anti-Hermitian part of P is left in the commutators. T serves two plaquettes.

use super::clover;
use crate::field::{self, SiteKernel, Space, Vector};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::lattice::{Lattice, Shift, Sites};
use crate::matrix::{Algebra, Complex, Matrix};
use crate::number::Real;
use num_complex::Complex64;

/// B of a functional, `[site vector][plane]`, with its trace.
pub struct Slopes<R, const N: usize> {
    insertions: Vec<Algebra<R, N>>,
    space: Space,
    planes: Vec<Rows>,
}

/// gamma_mu gamma_nu -c_sw/16: the column and the number in each row of spin, which has one.
type Rows = Vec<(usize, Complex64)>;

impl<R: Real, const N: usize> Slopes<R, N> {
    /// None yet; for spinors like those of the space.
    pub fn new(like: &Space, csw: f64) -> Self {
        let (ndim, spins) = (like.lattice.ndim(), like.components / N);
        let pairs = (0..ndim).flat_map(|mu| (mu + 1..ndim).map(move |nu| (mu, nu)));
        let planes: Vec<_> = pairs.map(|(mu, nu)| rows(mu, nu, spins, -0.0625 * csw)).collect();
        let insertions = field::zeros(like.lattice.vectors() * planes.len());
        Self { insertions, space: Space::new(&like.lattice, Sites::All, like.components), planes }
    }

    /// Adds those of weight Re <left, A right>, vectors on all sites.
    pub fn add_product(&mut self, left: &Vector<R>, right: &Vector<R>, weight: f64) {
        let (space, planes) = (&self.space, &self.planes);
        let kernel = Outer { left: &left.values, right: &right.values, space, planes, weight };
        field::for_each::<R, _, _>(&kernel, planes.len(), &mut self.insertions);
    }

    /// Adds those of weight ln |det A| on the odd sites, from the inverse blocks of all sites.
    pub fn add_log_det(&mut self, inverse: &[Complex<R>], weight: f64) {
        let (space, planes) = (&self.space, &self.planes);
        let kernel = OfBlocks { inverse, first_odd: space.on(Sites::Odd).range().0, space, planes, weight };
        field::for_each::<R, _, _>(&kernel, planes.len(), &mut self.insertions);
    }

    /// `p += F`, d(functional) = <F, delta>.
    pub fn add_force(&self, links: &GaugeField<R, N>, p: &mut LinkAlgebra<R, N>) {
        let lattice = links.lattice();
        let ndim = lattice.ndim();
        let (ahead, behind) = (lattice.steps(1), lattice.steps(-1));
        let mut brought = field::zeros(self.insertions.len());
        let (links, insertions) = (links.links(), self.insertions.as_slice());
        let kernel = Bring { lattice, ahead: &ahead, links, insertions };
        field::for_each::<R, _, _>(&kernel, self.planes.len(), &mut brought);
        let mut parts = field::zeros(lattice.vectors() * ndim * ndim);
        let kernel = Plaquettes { lattice, ahead: &ahead, links, insertions, brought: &brought };
        field::for_each::<R, _, _>(&kernel, ndim * ndim, &mut parts);
        let kernel = Gather { lattice, behind: &behind, parts: &parts };
        field::for_each::<R, _, _>(&kernel, ndim, &mut p.elements);
    }
}

/// factor gamma_mu gamma_nu by rows.
fn rows(mu: usize, nu: usize, spins: usize, factor: f64) -> Rows {
    let entry = |s: usize, t: usize| match spins {
        2 => clover::product::<2>(mu, nu)[s][t],
        _ => clover::product::<4>(mu, nu)[s][t],
    };
    (0..spins).filter_map(|s| (0..spins).map(|t| (t, factor * entry(s, t))).find(|(_, z)| z.norm() > 0.0)).collect()
}

/// `b += K - K^dagger`.
#[inline(always)]
fn add_anti_hermitian<R: Real, const N: usize>(b: &mut Algebra<R, N>, k: &Matrix<R, N>) {
    for i in 0..N {
        b.0[i][i] += k.0[i][i].im + k.0[i][i].im;
        for j in i + 1..N {
            b.0[i][j] += k.0[i][j].re - k.0[j][i].re;
            b.0[j][i] += k.0[i][j].im + k.0[j][i].im;
        }
    }
}

/// B of weight right left^dagger.
struct Outer<'a, R> {
    left: &'a [Complex<R>],
    right: &'a [Complex<R>],
    space: &'a Space,
    planes: &'a [Rows],
    weight: f64,
}

impl<R: Real, const N: usize> SiteKernel<R, Algebra<R, N>> for Outer<'_, R> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, insertions: &mut [Algebra<R, N>]) -> R {
        let width = self.space.width();
        let first = self.space.lattice.order().position(vector) * width;
        let (left, right) = (&self.left[first..first + width], &self.right[first..first + width]);
        for (b, rows) in insertions.iter_mut().zip(self.planes) {
            let mut k = Matrix::<R, N>::zero();
            for (s, (t, z)) in rows.iter().enumerate() {
                let z = Complex::new(R::splat(z.re * self.weight), R::splat(z.im * self.weight));
                let (left, right) = (&left[s * N..(s + 1) * N], &right[t * N..(t + 1) * N]);
                for j in 0..N {
                    let right = right[j] * z;
                    for i in 0..N {
                        k.0[j][i] = k.0[j][i].fma_conj(left[i], right);
                    }
                }
            }
            add_anti_hermitian(b, &k);
        }
        R::zero()
    }
}

/// B of weight times the inverse blocks, on the odd sites.
struct OfBlocks<'a, R> {
    inverse: &'a [Complex<R>],
    first_odd: usize,
    space: &'a Space,
    planes: &'a [Rows],
    weight: f64,
}

impl<R: Real, const N: usize> SiteKernel<R, Algebra<R, N>> for OfBlocks<'_, R> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, insertions: &mut [Algebra<R, N>]) -> R {
        let position = self.space.lattice.order().position(vector);
        if position < self.first_odd {
            return R::zero();
        }
        let size = self.space.components / 2;
        let blocks = &self.inverse[position * 2 * size * size..(position + 1) * 2 * size * size];
        for (b, rows) in insertions.iter_mut().zip(self.planes) {
            let mut k = Matrix::<R, N>::zero();
            for (s, (t, z)) in rows.iter().enumerate() {
                let z = Complex::new(R::splat(z.re * self.weight), R::splat(z.im * self.weight));
                // Row (t, j) and column (s, i) of the block of their chirality.
                let half = size / N;
                let (block, s, t) = (&blocks[s / half * size * size..], s % half, t % half);
                for j in 0..N {
                    for i in 0..N {
                        k.0[j][i] = k.0[j][i].fma(z, block[(t * N + j) * size + s * N + i]);
                    }
                }
            }
            add_anti_hermitian(b, &k);
        }
        R::zero()
    }
}

/// U A U^dagger.
#[inline(always)]
fn rotated<R: Real, const N: usize>(u: &Matrix<R, N>, a: &Algebra<R, N>) -> Algebra<R, N> {
    let half = u.mul(&a.to_matrix());
    let mut rotated = Algebra::zero();
    for i in 0..N {
        for j in i..N {
            let mut sum = Complex::zero();
            for k in 0..N {
                sum = sum.fma_conj(u.0[j][k], half.0[i][k]);
            }
            if j == i {
                rotated.0[i][i] = sum.im;
            } else {
                rotated.0[i][j] = sum.re;
                rotated.0[j][i] = sum.im;
            }
        }
    }
    rotated
}

#[inline(always)]
fn sum<R: Real, const N: usize>(a: &Algebra<R, N>, b: &Algebra<R, N>) -> Algebra<R, N> {
    a.add_scaled(R::one(), b)
}

/// T of every plane.
struct Bring<'a, R, const N: usize> {
    lattice: &'a Lattice,
    ahead: &'a [Shift],
    links: &'a [Matrix<R, N>],
    insertions: &'a [Algebra<R, N>],
}

impl<R: Real, const N: usize> SiteKernel<R, Algebra<R, N>> for Bring<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, brought: &mut [Algebra<R, N>]) -> R {
        let (ndim, planes, mut plane) = (self.lattice.ndim(), brought.len(), 0);
        for mu in 0..ndim {
            let u = &self.links[vector * ndim + mu];
            for _ in mu + 1..ndim {
                let b = self.lattice.load(self.insertions, planes, plane, self.ahead[mu][vector]);
                brought[plane] = rotated(u, &b);
                plane += 1;
            }
        }
        R::zero()
    }
}

/// The parts of F that the plaquettes at a site give, `[site vector][mu][nu]`: of U_mu(x+nu), and for mu = nu of U_mu(x).
struct Plaquettes<'a, R, const N: usize> {
    lattice: &'a Lattice,
    ahead: &'a [Shift],
    links: &'a [Matrix<R, N>],
    insertions: &'a [Algebra<R, N>],
    brought: &'a [Algebra<R, N>],
}

impl<R: Real, const N: usize> SiteKernel<R, Algebra<R, N>> for Plaquettes<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, parts: &mut [Algebra<R, N>]) -> R {
        let (lattice, ndim) = (self.lattice, self.lattice.ndim());
        let (planes, mut plane) = (ndim * (ndim - 1) / 2, 0);
        for mu in 0..ndim {
            parts[mu * ndim + mu] = Algebra::zero();
        }
        for mu in 0..ndim {
            let u = &self.links[vector * ndim + mu];
            for nu in mu + 1..ndim {
                let (right, up) = (self.ahead[mu][vector], self.ahead[nu][vector]);
                let z = &self.links[vector * ndim + nu];
                let v = lattice.load(self.links, ndim, nu, right);
                let w = lattice.load(self.links, ndim, mu, up);
                let p = u.mul(&v).mul_adjoint(&z.mul(&w));
                let a = p.algebra_part().to_matrix();

                let (b, t) = (&self.insertions[vector * planes + plane], &self.brought[vector * planes + plane]);
                let (b_up, t_up) =
                    (lattice.load(self.insertions, planes, plane, up), lattice.load(self.brought, planes, plane, up));
                let c = rotated(z, &b_up);
                let low = sum(b, t);
                let all = sum(&sum(&low, &c), &rotated(z, &t_up));

                let two = R::splat(2.0);
                let f_v = p.mul(&all.to_matrix()).algebra_part();
                let f_u = f_v.add_scaled(-two, &a.mul(&t.to_matrix()).algebra_part());
                let f_z = f_v.scale(-R::one()).add_scaled(two, &a.mul(&low.to_matrix()).algebra_part());
                let f_w = f_z.add_scaled(two, &a.mul(&c.to_matrix()).algebra_part());
                parts[mu * ndim + mu] = sum(&parts[mu * ndim + mu], &f_u);
                parts[nu * ndim + nu] = sum(&parts[nu * ndim + nu], &f_z);
                parts[nu * ndim + mu] = rotated(&u.adjoint(), &f_v);
                parts[mu * ndim + nu] = rotated(&z.adjoint(), &f_w);
                plane += 1;
            }
        }
        R::zero()
    }
}

/// Forces from their parts.
struct Gather<'a, R, const N: usize> {
    lattice: &'a Lattice,
    behind: &'a [Shift],
    parts: &'a [Algebra<R, N>],
}

impl<R: Real, const N: usize> SiteKernel<R, Algebra<R, N>> for Gather<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, elements: &mut [Algebra<R, N>]) -> R {
        let ndim = elements.len();
        for (mu, element) in elements.iter_mut().enumerate() {
            let mut total = self.parts[(vector * ndim + mu) * ndim + mu];
            for nu in (0..ndim).filter(|&nu| nu != mu) {
                let part = self.lattice.load(self.parts, ndim * ndim, mu * ndim + nu, self.behind[nu][vector]);
                total = sum(&total, &part);
            }
            *element = element.add_scaled(R::splat(-1.0 / Algebra::<R, N>::METRIC), &total);
        }
        R::zero()
    }
}
