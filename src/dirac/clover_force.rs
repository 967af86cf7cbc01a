//! The force of the clover term A. A functional with dS = sum_x Re tr[G(x) dA(x)], G one block for each chirality and site, has
//! dS = sum_x sum_{mu<nu} Re tr[B_mu nu(x) dQ_mu nu(x)] with Q the sum of the four leaves and B = (K - K^dagger)/8,
//! K_ji = -(c_sw/2) sum_st (gamma_mu gamma_nu)_st G_(t j)(s i). A link is in the leaves of the four corners of each of its plaquettes: the
//! plaquette with B of each corner inserted there, differentiated.

use super::clover;
use crate::field::{self, ItemKernel, SiteKernel, Space, Vector};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::lattice::{Displacement, Lattice, Shift, Sites};
use crate::matrix::{Algebra, Complex, Matrix};
use crate::number::Real;
use num_complex::Complex64;

/// G of a functional, `[position][chirality][row][column]`.
pub struct Slopes<R> {
    blocks: Vector<R>,
    csw: f64,
    /// Components of one chirality.
    size: usize,
}

impl<R: Real> Slopes<R> {
    /// None yet; `components` of a spinor with its colours.
    pub fn new(like: &Space, csw: f64) -> Self {
        let size = like.components / 2;
        Self { blocks: Vector::zero(&Space::new(&like.lattice, Sites::All, 2 * size * size)), csw, size }
    }

    /// Adds those of weight Re <left, A right>, vectors on all sites.
    pub fn add_product(&mut self, left: &Vector<R>, right: &Vector<R>, weight: f64) {
        let kernel = Outer { left: &left.values, right: &right.values, size: self.size, weight: R::splat(weight) };
        field::for_each::<R, _, _>(&kernel, self.blocks.space.width(), &mut self.blocks.values);
    }

    /// Adds those of weight ln |det A| on the odd sites, from the inverse blocks of all sites.
    pub fn add_log_det(&mut self, inverse: &[Complex<R>], weight: f64) {
        let width = self.blocks.space.width();
        let first = self.blocks.space.on(Sites::Odd).range().0 * width;
        let kernel = AddScaled { source: &inverse[first..], weight: R::splat(weight) };
        field::update::<R, _>(&kernel, width, &mut self.blocks.values[first..]);
    }

    /// `p += F`, d(functional) = <F, delta>.
    pub fn add_force<const N: usize>(&self, links: &GaugeField<R, N>, p: &mut LinkAlgebra<R, N>) {
        let (lattice, half) = (links.lattice(), self.size / N);
        let planes = lattice.ndim() * (lattice.ndim() - 1) / 2;
        let sigmas: Vec<_> = (0..planes).map(|plane| sigma(lattice.ndim(), plane, half)).collect();
        let mut insertions = field::zeros::<Matrix<R, N>>(lattice.vectors() * planes);
        let kernel = Insert { slopes: self, lattice, sigmas: &sigmas };
        field::for_each::<R, _, _>(&kernel, planes, &mut insertions);
        let corners = Corners::new(lattice);
        let kernel = Gather { lattice, corners: &corners, links: links.links(), insertions: &insertions };
        field::for_each::<R, _, _>(&kernel, lattice.ndim(), &mut p.elements);
    }
}

/// Number of the plane of two directions.
const fn plane_of(mu: usize, nu: usize, ndim: usize) -> usize {
    mu * (2 * ndim - mu - 1) / 2 + nu - mu - 1
}

/// gamma_mu gamma_nu of a plane, `[chirality][row][column]`.
fn sigma(ndim: usize, plane: usize, half: usize) -> Vec<Complex64> {
    let pairs = (0..ndim).flat_map(|mu| (mu + 1..ndim).map(move |nu| (mu, nu)));
    let (mu, nu) = pairs.into_iter().find(|&(mu, nu)| plane_of(mu, nu, ndim) == plane).unwrap_or((0, 1));
    let entry = |chirality: usize, s: usize, t: usize| match half {
        1 => clover::product::<2>(mu, nu)[chirality + s][chirality + t],
        _ => clover::product::<4>(mu, nu)[2 * chirality + s][2 * chirality + t],
    };
    let all = (0..2).flat_map(|c| (0..half * half).map(move |n| (c, n / half, n % half)));
    all.map(|(c, s, t)| entry(c, s, t)).collect()
}

/// G += weight right left^dagger.
struct Outer<'a, R> {
    left: &'a [Complex<R>],
    right: &'a [Complex<R>],
    size: usize,
    weight: R,
}

impl<R: Real> SiteKernel<R, Complex<R>> for Outer<'_, R> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), position: usize, blocks: &mut [Complex<R>]) -> R {
        let size = self.size;
        for (chirality, block) in blocks.chunks_exact_mut(size * size).enumerate() {
            let start = (2 * position + chirality) * size;
            let (left, right) = (&self.left[start..start + size], &self.right[start..start + size]);
            for (row, &right) in block.chunks_exact_mut(size).zip(right) {
                let right = right.scale(self.weight);
                for (z, &left) in row.iter_mut().zip(left) {
                    *z = z.fma_conj(left, right);
                }
            }
        }
        R::zero()
    }
}

struct AddScaled<'a, R> {
    source: &'a [Complex<R>],
    weight: R,
}

impl<R: Real> ItemKernel<Complex<R>> for AddScaled<'_, R> {
    #[inline(always)]
    fn at(&self, n: usize, z: &mut Complex<R>) {
        *z += self.source[n].scale(self.weight);
    }
}

/// B of every plane, `[site vector][plane]`.
struct Insert<'a, R> {
    slopes: &'a Slopes<R>,
    lattice: &'a Lattice,
    sigmas: &'a [Vec<Complex64>],
}

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for Insert<'_, R> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, insertions: &mut [Matrix<R, N>]) -> R {
        let (size, half) = (self.slopes.size, self.slopes.size / N);
        let position = self.lattice.order().position(vector);
        let blocks = &self.slopes.blocks.values[position * 2 * size * size..][..2 * size * size];
        for (b, sigma) in insertions.iter_mut().zip(self.sigmas) {
            let mut k = Matrix::<R, N>::zero();
            for n in 0..2 * half * half {
                let (chirality, s, t) = (n / (half * half), n / half % half, n % half);
                let z = sigma[n] * (-0.5 * self.slopes.csw / 8.0);
                let z = Complex::new(R::splat(z.re), R::splat(z.im));
                for j in 0..N {
                    for i in 0..N {
                        let g = blocks[(chirality * size + t * N + j) * size + s * N + i];
                        k.0[j][i] = k.0[j][i].fma(z, g);
                    }
                }
            }
            for j in 0..N {
                for i in 0..N {
                    b.0[j][i] = k.0[j][i] - k.0[i][j].conj();
                }
            }
        }
        R::zero()
    }
}

/// Displacements of the corners of the plaquettes of two directions.
struct Corners {
    /// By mu.
    ahead: Vec<Shift>,
    /// By -nu.
    behind: Vec<Shift>,
    /// By mu + nu and by mu - nu, at `[mu][nu]`.
    across: Vec<Vec<[Shift; 2]>>,
    here: Shift,
}

impl Corners {
    fn new(lattice: &Lattice) -> Self {
        let ndim = lattice.ndim();
        let shift = |steps: &[(usize, i32)]| {
            let mut x = Displacement::default();
            steps.iter().for_each(|&(mu, n)| x[mu] += n);
            lattice.shift(x)
        };
        let across = |mu, nu| [shift(&[(mu, 1), (nu, 1)]), shift(&[(mu, 1), (nu, -1)])];
        Self {
            ahead: (0..ndim).map(|mu| shift(&[(mu, 1)])).collect(),
            behind: (0..ndim).map(|nu| shift(&[(nu, -1)])).collect(),
            across: (0..ndim).map(|mu| (0..ndim).map(|nu| across(mu, nu)).collect()).collect(),
            here: shift(&[]),
        }
    }
}

/// Forces from insertions.
struct Gather<'a, R, const N: usize> {
    lattice: &'a Lattice,
    corners: &'a Corners,
    links: &'a [Matrix<R, N>],
    insertions: &'a [Matrix<R, N>],
}

impl<R: Real, const N: usize> Gather<'_, R, N> {
    #[inline(always)]
    fn link(&self, mu: usize, at: crate::lattice::Neighbor) -> Matrix<R, N> {
        self.lattice.load(self.links, self.lattice.ndim(), mu, at)
    }

    /// B_mu nu, which changes its sign with the order of the directions as gamma_mu gamma_nu and the leaves do.
    #[inline(always)]
    fn insertion(&self, mu: usize, nu: usize, at: crate::lattice::Neighbor) -> Matrix<R, N> {
        let ndim = self.lattice.ndim();
        let (low, high, sign) = if mu < nu { (mu, nu, R::one()) } else { (nu, mu, -R::one()) };
        let planes = ndim * (ndim - 1) / 2;
        self.lattice.load(self.insertions, planes, plane_of(low, high, ndim), at).scale(sign)
    }

    /// W with d = Re tr(delta W) for U_mu(x) -> exp(delta) U_mu(x) in the plaquettes of mu and nu.
    #[inline(always)]
    fn plane(&self, mu: usize, nu: usize, vector: usize) -> Matrix<R, N> {
        let corners = self.corners;
        let here = corners.here[vector];
        let (ahead, up, down) = (corners.ahead[mu][vector], corners.ahead[nu][vector], corners.behind[nu][vector]);
        let [ahead_up, ahead_down] = [0, 1].map(|n| corners.across[mu][nu][n][vector]);
        let u = self.link(mu, here);
        let (b_here, b_ahead) = (self.insertion(mu, nu, here), self.insertion(mu, nu, ahead));

        // U (B V W^dagger Z^dagger + V B W^dagger Z^dagger + V W^dagger B Z^dagger + V W^dagger Z^dagger B)
        let (v, w, z) = (self.link(nu, ahead), self.link(mu, up), self.link(nu, here));
        let mut side = b_ahead.mul(&v);
        side.add_mul(&v, &self.insertion(mu, nu, ahead_up));
        let mut sum = side.mul_adjoint(&w);
        let side = v.mul_adjoint(&w);
        sum.add_mul(&side, &self.insertion(mu, nu, up));
        let mut sum = sum.mul_adjoint(&z);
        sum.add_mul(&side.mul_adjoint(&z), &b_here);
        let mut total = u.mul(&sum);

        // -(Z^dagger (B W V + W B V + W V B) + B Z^dagger W V) U^dagger, the plaquette below.
        let (v, w, z) = (self.link(nu, ahead_down), self.link(mu, down), self.link(nu, down));
        let mut side = self.insertion(mu, nu, down).mul(&w);
        side.add_mul(&w, &self.insertion(mu, nu, ahead_down));
        let mut sum = side.mul(&v);
        let side = w.mul(&v);
        sum.add_mul(&side, &b_ahead);
        let mut sum = z.adjoint_mul(&sum);
        sum.add_mul(&b_here, &z.adjoint_mul(&side));
        total.add_assign(&sum.mul_adjoint(&u).scale(-R::one()));
        total
    }
}

impl<R: Real, const N: usize> SiteKernel<R, Algebra<R, N>> for Gather<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, elements: &mut [Algebra<R, N>]) -> R {
        for (mu, element) in elements.iter_mut().enumerate() {
            let mut sum = Matrix::zero();
            for nu in (0..self.lattice.ndim()).filter(|&nu| nu != mu) {
                sum.add_assign(&self.plane(mu, nu, vector));
            }
            *element = element.add_scaled(R::splat(-1.0 / Algebra::<R, N>::METRIC), &sum.algebra_part());
        }
        R::zero()
    }
}
