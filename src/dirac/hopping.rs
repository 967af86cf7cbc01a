//! The hopping term of a nearest-neighbour operator, one kernel for Wilson fermions with four or two components and for staggered ones:
//! H psi(x) = sum_mu [ P_-mu U_mu(x) psi(x + mu) + P_+mu U_mu(x - mu)^dagger psi(x - mu) ], P_-+ = -(1 -+ gamma_mu)/2 (Wilson), +-1/2
//! (staggered).
//!
//! Links are prepared: in the order of flat vectors, with boundary phases, signs eta and weights of directions multiplied in, and
//! twice, as U_mu(x) and as U_mu(x - mu)^dagger in the lanes of x: the links of a site are one stream in the order of their use, which the
//! processor fetches ahead by itself. (A sum over even sites reads every link of the lattice either way.) Half spinors
//! (1 -+ gamma) psi have half of the components, so that a link multiplies two columns instead of four.

use super::gamma::{add_phase, conjugate, entry};
use crate::field::{self, ItemKernel, SiteKernel, Vector};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::lattice::{Displacement, Lattice, MAX_DIMENSIONS, Neighbor};
use crate::matrix::{Algebra, Complex, Matrix};
use crate::number::Real;
use num_complex::Complex64;
use std::sync::Arc;

/// Where the neighbours of a lattice are and what multiplies its links: made once for a lattice, shared by operators on many fields.
#[derive(Debug)]
pub struct Geometry<R> {
    lattice: Arc<Lattice>,
    /// `[position][mu][forward, backward]`
    neighbors: Vec<Neighbor>,
    /// `[position][mu]`
    factors: Vec<Complex<R>>,
}

impl<R: Real> Geometry<R> {
    /// Steps of `length` sites; `factor(coordinates, mu)` multiplies the link.
    pub fn new(lattice: &Arc<Lattice>, length: i32, factor: impl Fn(&[usize], usize) -> Complex64) -> Self {
        let (order, ndim) = (lattice.order(), lattice.ndim());
        let along =
            |mu: usize, sign: i32| -> Displacement { std::array::from_fn(|k| if k == mu { sign * length } else { 0 }) };
        let tables: Vec<_> =
            (0..2 * ndim).map(|n| order.shift(lattice, along(n / 2, if n % 2 == 0 { 1 } else { -1 }))).collect();
        let at = |n: usize| tables[n % (2 * ndim)][n / (2 * ndim)];
        let neighbors = (0..lattice.vectors() * 2 * ndim).map(at).collect();
        let factor = |n: usize| {
            let site = |lane| lattice.coordinates(lattice.site(order.vector(n / ndim), lane) as usize);
            let lanes: Vec<_> = (0..R::LANES).map(|lane| factor(&site(lane), n % ndim)).collect();
            Complex::new(R::from_lanes(|lane| lanes[lane].re), R::from_lanes(|lane| lanes[lane].im))
        };
        let factors = (0..lattice.vectors() * ndim).map(factor).collect();
        Self { lattice: lattice.clone(), neighbors, factors }
    }
    /// The lattice.
    pub fn lattice(&self) -> &Arc<Lattice> {
        &self.lattice
    }
}

/// What a hopping term is added to.
#[derive(Clone, Copy)]
pub enum Onto<'a, R> {
    /// Nothing.
    Nothing,
    /// A multiple of what the output holds.
    Output(f64),
    /// A multiple of a vector on the sites of the output.
    Vector(f64, &'a Vector<R>),
}

/// U_mu(x) and U_mu(x - mu)^dagger, `[row][which][column]`.
type Pair<R, const N: usize> = [[[Complex<R>; N]; 2]; N];

/// The hopping term on the links of a field; `S` components: 4, 2 or 1 (staggered).
#[derive(Debug, Clone)]
pub struct Hopping<R, const N: usize, const S: usize> {
    geometry: Arc<Geometry<R>>,
    /// `[position][mu]`
    links: Vec<Pair<R, N>>,
}

impl<R: Real, const N: usize, const S: usize> Hopping<R, N, S> {
    /// On the links of a field, of any storage.
    pub fn new<Q: Real>(geometry: &Arc<Geometry<R>>, field: &GaugeField<Q, N>) -> Self {
        let ndim = geometry.lattice.ndim();
        let mut links = field::zeros(geometry.lattice.vectors() * ndim);
        if let Some(same) = (field as &dyn std::any::Any).downcast_ref::<GaugeField<R, N>>() {
            let kernel = Prepare { geometry, link: Reorder { geometry, links: same.links() } };
            field::update::<R, _>(&kernel, ndim, &mut links);
        } else {
            let places = places(field.lattice());
            let kernel = Prepare { geometry, link: Convert { geometry, links: field.links(), places: &places } };
            field::update::<R, _>(&kernel, ndim, &mut links);
        }
        Self { geometry: geometry.clone(), links }
    }

    /// `out = onto + scale H x`, or H^dagger; `out` lives one step away from `x` (or both on all sites).
    pub fn apply(&self, x: &Vector<R>, onto: Onto<'_, R>, scale: f64, adjoint: bool, out: &mut Vector<R>) {
        let (space, width) = (out.space.clone(), out.space.width());
        debug_assert!(x.space.sites == space.sites.other() && x.space.width() == width);
        let (y, weight, add) = match onto {
            Onto::Nothing => (None, 0.0, false),
            Onto::Output(weight) => (None, weight, true),
            Onto::Vector(weight, y) => (Some(spinors::<R, N, S>(&y.values)), weight, true),
        };
        let kernel = Hop::<R, N, S> {
            hopping: self,
            first: space.range().0,
            x: spinors(&x.values),
            x_first: x.space.range().0,
            columns: width / (N * S),
            sign: R::splat(if adjoint { -1.0 } else { 1.0 }),
            scale: R::splat(scale * if S == 1 { 0.5 } else { -0.5 }),
            weight: R::splat(weight),
            add,
            y,
        };
        field::for_each::<R, _, _>(&kernel, width, &mut out.values);
    }

    /// `out += weight F` with F the force of Re <left, H right>: d Re <left, H right> = <F, delta>.
    pub fn add_force(&self, left: &Vector<R>, right: &Vector<R>, weight: f64, out: &mut LinkAlgebra<R, N>) {
        let factor = weight * if S == 1 { 0.5 } else { -0.5 } * (-1.0 / Algebra::<R, N>::METRIC);
        let kernel = Force::<R, N, S> {
            hopping: self,
            left: spinors(&left.values),
            right: spinors(&right.values),
            columns: left.space.width() / (N * S),
            factor: R::splat(factor),
        };
        field::for_each::<R, _, _>(&kernel, self.geometry.lattice.ndim(), &mut out.elements);
    }
}

/// Site vector and lane of every site.
fn places(lattice: &Lattice) -> Vec<[u32; 2]> {
    let mut places = vec![[0; 2]; lattice.volume()];
    for vector in 0..lattice.vectors() {
        for lane in 0..lattice.lanes() {
            places[lattice.site(vector, lane) as usize] = [vector as u32, lane as u32];
        }
    }
    places
}

/// U_mu(x) at a position in the order of flat vectors.
trait LinkAt<R, const N: usize>: Sync {
    fn at(&self, position: usize, mu: usize) -> Matrix<R, N>;
}

struct Reorder<'a, R, const N: usize> {
    geometry: &'a Geometry<R>,
    links: &'a [Matrix<R, N>],
}

impl<R: Real, const N: usize> LinkAt<R, N> for Reorder<'_, R, N> {
    #[inline(always)]
    fn at(&self, position: usize, mu: usize) -> Matrix<R, N> {
        let lattice = &self.geometry.lattice;
        self.links[lattice.order().vector(position) * lattice.ndim() + mu]
    }
}

struct Convert<'a, R, Q, const N: usize> {
    geometry: &'a Geometry<R>,
    links: &'a [Matrix<Q, N>],
    places: &'a [[u32; 2]],
}

impl<R: Real, Q: Real, const N: usize> LinkAt<R, N> for Convert<'_, R, Q, N> {
    #[inline(always)]
    fn at(&self, position: usize, mu: usize) -> Matrix<R, N> {
        let lattice = &self.geometry.lattice;
        let vector = lattice.order().vector(position);
        Matrix::from_fn(|i, j| {
            let at = |lane| {
                let [vector, lane] = self.places[lattice.site(vector, lane) as usize];
                let z = self.links[vector as usize * lattice.ndim() + mu].0[i][j];
                [z.re.lane(lane as usize), z.im.lane(lane as usize)]
            };
            Complex::new(R::from_lanes(|lane| at(lane)[0]), R::from_lanes(|lane| at(lane)[1]))
        })
    }
}

struct Prepare<'a, R, L> {
    geometry: &'a Geometry<R>,
    link: L,
}

impl<R: Real, const N: usize, L: LinkAt<R, N>> ItemKernel<Pair<R, N>> for Prepare<'_, R, L> {
    #[inline(always)]
    fn at(&self, n: usize, pair: &mut Pair<R, N>) {
        let Geometry { lattice, neighbors, factors } = self.geometry;
        let (ndim, behind) = (lattice.ndim(), neighbors[2 * n + 1]);
        let ahead = self.link.at(n / ndim, n % ndim).scale_complex(factors[n]);
        let back = self.link.at(behind.site(), n % ndim).scale_complex(factors[behind.site() * ndim + n % ndim]);
        let back = back.adjoint().permute(lattice.permutation(behind.permutation()));
        for (c, row) in pair.iter_mut().enumerate() {
            *row = [ahead.0[c], back.0[c]];
        }
    }
}

/// `[component][colour]` at the sites of a flat vector.
type Spinors<'a, R, const N: usize, const S: usize> = &'a [[[Complex<R>; N]; S]];

fn spinors<R, const N: usize, const S: usize>(values: &[Complex<R>]) -> Spinors<'_, R, N, S> {
    values.as_chunks::<N>().0.as_chunks::<S>().0
}

/// Components of a half spinor.
const fn half<const S: usize>() -> usize {
    if S == 1 { 1 } else { S / 2 }
}

type HalfSpinor<R, const N: usize> = [[Complex<R>; N]; 2];

/// The upper components of (1 + s gamma_mu) psi; -s psi of a staggered field.
#[inline(always)]
fn project<R: Real, const N: usize, const S: usize, const MU: usize>(
    psi: &[[Complex<R>; N]; S],
    s: R,
) -> HalfSpinor<R, N> {
    let mut h = [[Complex::zero(); N]; 2];
    for a in 0..half::<S>() {
        for c in 0..N {
            h[a][c] = if S == 1 {
                psi[0][c].scale(-s)
            } else {
                let (b, phase) = entry::<S>(MU, a);
                add_phase(psi[a][c], s, phase, psi[b][c])
            };
        }
    }
    h
}

#[inline(always)]
fn moved<R: Real, const N: usize, const S: usize>(
    mut h: HalfSpinor<R, N>,
    to: Neighbor,
    lattice: &Lattice,
) -> HalfSpinor<R, N> {
    if to.permutation() != 0 {
        let permutation = lattice.permutation(to.permutation());
        for a in 0..half::<S>() {
            for c in 0..N {
                h[a][c] = Complex::new(h[a][c].re.permute(permutation), h[a][c].im.permute(permutation));
            }
        }
    }
    h
}

/// `sum += (1 + s gamma_mu)` times a spinor whose upper components, projected, are `r`: colour `c` of it.
#[inline(always)]
fn reconstruct<R: Real, const N: usize, const S: usize, const MU: usize>(
    sum: &mut [[Complex<R>; N]; S],
    c: usize,
    r: [Complex<R>; 2],
    s: R,
) {
    for a in 0..half::<S>() {
        sum[a][c] += r[a];
        if S > 1 {
            let (b, phase) = entry::<S>(MU, a);
            sum[b][c] = add_phase(sum[b][c], s, conjugate(phase), r[a]);
        }
    }
}

struct Hop<'a, R, const N: usize, const S: usize> {
    hopping: &'a Hopping<R, N, S>,
    first: usize,
    x: &'a [[[Complex<R>; N]; S]],
    x_first: usize,
    columns: usize,
    sign: R,
    scale: R,
    weight: R,
    add: bool,
    y: Option<&'a [[[Complex<R>; N]; S]]>,
}

impl<R: Real, const N: usize, const S: usize> Hop<'_, R, N, S> {
    #[inline(always)]
    fn direction<const MU: usize>(&self, position: usize, column: usize, sum: &mut [[Complex<R>; N]; S]) {
        let Hopping { geometry, links } = self.hopping;
        let first = (position * geometry.lattice.ndim() + MU) * 2;
        let signs = [-self.sign, self.sign];
        let mut half = [[[Complex::zero(); N]; 2]; 2];
        for n in 0..2 {
            let at = geometry.neighbors[first + n];
            let psi = &self.x[(at.site() - self.x_first) * self.columns + column];
            half[n] = moved::<R, N, S>(project::<R, N, S, MU>(psi, signs[n]), at, &geometry.lattice);
        }
        let pair = &links[position * geometry.lattice.ndim() + MU];
        for c in 0..N {
            for n in 0..2 {
                let (row, mut r) = (&pair[c][n], [Complex::zero(); 2]);
                for a in 0..self::half::<S>() {
                    let mut z = row[0] * half[n][a][0];
                    for k in 1..N {
                        z = z.fma(row[k], half[n][a][k]);
                    }
                    r[a] = z;
                }
                reconstruct::<R, N, S, MU>(sum, c, r, signs[n]);
            }
        }
    }
}

impl<R: Real, const N: usize, const S: usize> SiteKernel<R, Complex<R>> for Hop<'_, R, N, S> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, items: &mut [Complex<R>]) -> R {
        let ndim = self.hopping.geometry.lattice.ndim();
        let outs = items.as_chunks_mut::<N>().0.as_chunks_mut::<S>().0;
        for (column, out) in outs.iter_mut().enumerate() {
            let mut sum = [[Complex::zero(); N]; S];
            for mu in 0..ndim.min(MAX_DIMENSIONS) {
                match mu {
                    0 => self.direction::<0>(self.first + vector, column, &mut sum),
                    1 => self.direction::<1>(self.first + vector, column, &mut sum),
                    2 => self.direction::<2>(self.first + vector, column, &mut sum),
                    _ => self.direction::<3>(self.first + vector, column, &mut sum),
                }
            }
            for s in 0..S {
                for c in 0..N {
                    let z = sum[s][c].scale(self.scale);
                    out[s][c] = if self.add {
                        let y = match self.y {
                            Some(y) => y[vector * self.columns + column][s][c],
                            None => out[s][c],
                        };
                        Complex::new(self.weight.mul_add(y.re, z.re), self.weight.mul_add(y.im, z.im))
                    } else {
                        z
                    };
                }
            }
        }
        R::zero()
    }
}

struct Force<'a, R, const N: usize, const S: usize> {
    hopping: &'a Hopping<R, N, S>,
    left: &'a [[[Complex<R>; N]; S]],
    right: &'a [[[Complex<R>; N]; S]],
    columns: usize,
    factor: R,
}

impl<R: Real, const N: usize, const S: usize> Force<'_, R, N, S> {
    /// sum over columns and components of U far near^dagger, far at x + mu and near at x.
    #[inline(always)]
    fn add_outer<const MU: usize>(
        &self,
        (position, ahead): (usize, Neighbor),
        (far, near): (Spinors<'_, R, N, S>, Spinors<'_, R, N, S>),
        s: R,
        sum: &mut Matrix<R, N>,
    ) {
        let lattice = &self.hopping.geometry.lattice;
        let pair = &self.hopping.links[position * lattice.ndim() + MU];
        for column in 0..self.columns {
            let far = project::<R, N, S, MU>(&far[ahead.site() * self.columns + column], s);
            let far = moved::<R, N, S>(far, ahead, lattice);
            let near = &near[position * self.columns + column];
            let near = if S == 1 { [near[0]; 2] } else { project::<R, N, S, MU>(near, s) };
            for a in 0..half::<S>() {
                for i in 0..N {
                    let mut z = Complex::zero();
                    for k in 0..N {
                        z = z.fma(pair[i][0][k], far[a][k]);
                    }
                    for j in 0..N {
                        sum.0[i][j] = sum.0[i][j].fma_conj(near[a][j], z);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn direction<const MU: usize>(&self, position: usize, element: &mut Algebra<R, N>) {
        let geometry = &self.hopping.geometry;
        let ahead = geometry.neighbors[(position * geometry.lattice.ndim() + MU) * 2];
        let mut sum = Matrix::zero();
        self.add_outer::<MU>((position, ahead), (self.right, self.left), -R::one(), &mut sum);
        self.add_outer::<MU>((position, ahead), (self.left, self.right), R::one(), &mut sum);
        *element = element.add_scaled(self.factor, &sum.algebra_part());
    }
}

impl<R: Real, const N: usize, const S: usize> SiteKernel<R, Algebra<R, N>> for Force<'_, R, N, S> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, elements: &mut [Algebra<R, N>]) -> R {
        let position = self.hopping.geometry.lattice.order().position(vector);
        for (mu, element) in elements.iter_mut().enumerate() {
            match mu {
                0 => self.direction::<0>(position, element),
                1 => self.direction::<1>(position, element),
                2 => self.direction::<2>(position, element),
                _ => self.direction::<3>(position, element),
            }
        }
        R::zero()
    }
}
