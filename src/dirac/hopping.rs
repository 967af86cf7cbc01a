//! The hopping term of a nearest-neighbour operator, one kernel for Wilson fermions with four or two components and for staggered ones:
//! H psi(x) = sum_mu [ P_-mu U_mu(x) psi(x + mu) + P_+mu U_mu(x - mu)^dagger psi(x - mu) ], P_-+ = -(1 -+ gamma_mu)/2 (Wilson), +-1/2
//! (staggered).
//!
//! Links are prepared: in the order of flat vectors, with boundary phases, signs eta and weights of directions multiplied in, and
//! twice, as U_mu(x) and as U_mu(x - mu)^dagger in the lanes of x: the links of a site are one stream in the order of their use, which the
//! processor fetches ahead by itself. (A sum over even sites reads every link of the lattice either way.) Half spinors
//! (1 -+ gamma) psi have half of the components, so that a link multiplies two columns instead of four.

use super::gamma::{add_phase, conjugate, entry};
use crate::field::{self, ItemKernel, SiteKernel, SumKernel, Vector};
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

/// What is summed over the sites while an output is written.
#[derive(Clone, Copy)]
pub enum Sums<'a, R> {
    /// Nothing.
    Nothing,
    /// |out|^2 of every column.
    Norms,
    /// Re <y, out> of every column.
    With(&'a Vector<R>),
}

impl<R: Real> Sums<'_, R> {
    /// By a pass of its own.
    pub fn of(self, out: &Vector<R>) -> Vec<R::Total> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Norms => out.norms(),
            Self::With(y) => y.real_inner_each(out),
        }
    }
}

/// U_mu(x) and U_mu(x - mu)^dagger, `[row][which][column]`.
type Pair<R, const N: usize> = [[[Complex<R>; N]; 2]; N];

/// Bytes of links and vectors above which memory is asked for ahead of its use: more than the second cache and its neighbours hold.
/// Below it costs up to a quarter of the speed (`docs/performance.md`).
const OUT_OF_CACHE: usize = 12 << 20;
/// Bytes above which results are not worth keeping in any cache.
const OUT_OF_EVERY_CACHE: usize = 64 << 20;
/// Bytes of spinors at a site that one pass over the lattice works on in the cache; twice as many outside of it.
const TOGETHER: usize = 10 << 10;

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

    /// `out = onto + scale H x`, or H^dagger; `out` lives one step away from `x` (or both on all sites). Returns the sums.
    pub fn apply(
        &self,
        x: &Vector<R>,
        onto: Onto<'_, R>,
        scale: f64,
        adjoint: bool,
        sums: Sums<'_, R>,
        out: &mut Vector<R>,
    ) -> Vec<R::Total> {
        let bytes =
            size_of_val(self.links.as_slice()) + size_of_val(x.values.as_slice()) + size_of_val(out.values.as_slice());
        // Code that asks for memory ahead is compiled where it was seen to pay.
        if const { R::LANES > 1 && N == 3 } && bytes > OUT_OF_CACHE {
            let past = bytes > OUT_OF_EVERY_CACHE && !matches!(onto, Onto::Output(_));
            self.run::<true>(x, onto, scale, adjoint, past, sums, out)
        } else {
            self.run::<false>(x, onto, scale, adjoint, false, sums, out)
        }
    }

    /// With requests for memory ahead of its use, and with results that go past the cache, or without.
    fn run<const AHEAD: bool>(
        &self,
        x: &Vector<R>,
        onto: Onto<'_, R>,
        scale: f64,
        adjoint: bool,
        past: bool,
        sums: Sums<'_, R>,
        out: &mut Vector<R>,
    ) -> Vec<R::Total> {
        let (space, width) = (out.space.clone(), out.space.width());
        debug_assert!(x.space.sites == space.sites.other() && x.space.width() == width);
        let (y, weight, add) = match onto {
            Onto::Nothing => (None, 0.0, false),
            Onto::Output(weight) => (None, weight, true),
            Onto::Vector(weight, y) => (Some(spinors::<R, N, S>(&y.values)), weight, true),
        };
        let with = match sums {
            Sums::With(y) => Some(spinors::<R, N, S>(&y.values)),
            _ => None,
        };
        let columns = width / (N * S);
        let wanted = if matches!(sums, Sums::Nothing) { 0 } else { columns };
        let mut totals = vec![R::Total::zero(); wanted];
        let bytes = if AHEAD { 2 * TOGETHER } else { TOGETHER };
        let together = (bytes / size_of::<[[Complex<R>; N]; S]>()).max(1);
        for start in (0..columns).step_by(together) {
            let kernel = Hop::<R, N, S, AHEAD> {
                hopping: self,
                first: space.range().0,
                x: spinors(&x.values),
                x_first: x.space.range().0,
                columns,
                part: [start, columns.min(start + together)],
                sign: R::splat(if adjoint { -1.0 } else { 1.0 }),
                scale: R::splat(scale * if S == 1 { 0.5 } else { -0.5 }),
                weight: R::splat(weight),
                add,
                past,
                y,
                with,
            };
            let part = field::for_each_summed::<R, _, _>(&kernel, width, &mut out.values, wanted);
            totals.iter_mut().zip(part).for_each(|(total, part)| *total += part);
        }
        totals
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

struct Hop<'a, R, const N: usize, const S: usize, const AHEAD: bool> {
    hopping: &'a Hopping<R, N, S>,
    first: usize,
    x: Spinors<'a, R, N, S>,
    x_first: usize,
    columns: usize,
    /// First column of this pass, and one past its last.
    part: [usize; 2],
    sign: R,
    scale: R,
    weight: R,
    add: bool,
    past: bool,
    y: Option<Spinors<'a, R, N, S>>,
    /// What the output is multiplied with in the sums: itself without.
    with: Option<Spinors<'a, R, N, S>>,
}

/// Asks for all of an item that need not exist.
#[inline(always)]
fn fetch<R: Real, T>(item: *const T) {
    for n in 0..size_of::<T>() / size_of::<R>() {
        R::prefetch(item.cast::<R>().wrapping_add(n));
    }
}

impl<R: Real, const N: usize, const S: usize, const AHEAD: bool> Hop<'_, R, N, S, AHEAD> {
    #[inline(always)]
    fn spinor(&self, at: Neighbor, column: usize) -> usize {
        at.site().wrapping_sub(self.x_first).wrapping_mul(self.columns).wrapping_add(column)
    }

    /// Spinors of the two slowest directions come from the farthest: those of the next column or site.
    #[inline(always)]
    fn fetch_spinors<const MU: usize>(&self, position: usize, column: usize) {
        let (geometry, [start, end]) = (&self.hopping.geometry, self.part);
        let (position, column) = match column + 1 < end {
            true => (position, column + 1),
            false => (position + if end - start == 1 { 2 } else { 1 }, start),
        };
        let first = (position.min(geometry.lattice.vectors() - 1) * geometry.lattice.ndim() + MU) * 2;
        for n in first..first + 2 {
            fetch::<R, _>(self.x.as_ptr().wrapping_add(self.spinor(geometry.neighbors[n], column)));
        }
    }

    #[inline(always)]
    fn direction<const MU: usize>(&self, position: usize, column: usize, sum: &mut [[Complex<R>; N]; S]) {
        let Hopping { geometry, links } = self.hopping;
        let ndim = geometry.lattice.ndim();
        let link = position * ndim + MU;
        let signs = [-self.sign, self.sign];
        let mut half = [[[Complex::zero(); N]; 2]; 2];
        for n in 0..2 {
            let at = geometry.neighbors[2 * link + n];
            let psi = &self.x[self.spinor(at, column)];
            half[n] = moved::<R, N, S>(project::<R, N, S, MU>(psi, signs[n]), at, &geometry.lattice);
        }
        if AHEAD && S > 1 && MU < 2 {
            self.fetch_spinors::<MU>(position, column);
        }
        let pair = &links[link];
        let soon = links.as_ptr().wrapping_add(link + if S == 1 { 1 } else { ndim });
        for c in 0..N {
            if AHEAD && column == self.part[0] {
                fetch::<R, _>(soon.cast::<[[Complex<R>; N]; 2]>().wrapping_add(c));
            }
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

impl<R: Real, const N: usize, const S: usize, const AHEAD: bool> SumKernel<R, Complex<R>> for Hop<'_, R, N, S, AHEAD> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), sums: &mut [R], vector: usize, items: &mut [Complex<R>]) {
        let ndim = self.hopping.geometry.lattice.ndim();
        let outs = items.as_chunks_mut::<N>().0.as_chunks_mut::<S>().0;
        for column in self.part[0]..self.part[1] {
            let (out, mut sum) = (&mut outs[column], [[Complex::zero(); N]; S]);
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
                    let mut z = sum[s][c].scale(self.scale);
                    if self.add {
                        let y = match self.y {
                            Some(y) => y[vector * self.columns + column][s][c],
                            None => out[s][c],
                        };
                        z = Complex::new(self.weight.mul_add(y.re, z.re), self.weight.mul_add(y.im, z.im));
                    }
                    if AHEAD && self.past {
                        z.re.store_past(&mut out[s][c].re);
                        z.im.store_past(&mut out[s][c].im);
                    } else {
                        out[s][c] = z;
                    }
                    sum[s][c] = z;
                }
            }
            if let Some(total) = sums.get_mut(column) {
                let with = self.with.map_or(&sum, |with| &with[vector * self.columns + column]);
                for (w, z) in with.as_flattened().iter().zip(sum.as_flattened()) {
                    *total = w.im.mul_add(z.im, w.re.mul_add(z.re, *total));
                }
            }
        }
    }
    #[inline(always)]
    fn done(&self) {
        if AHEAD && self.past {
            R::fence();
        }
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
    /// sum over columns and components of far near^dagger, far at x + mu and near at x; for staggered fermions of U far near^dagger.
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
                    let mut z = far[a][i];
                    if S == 1 {
                        z = Complex::zero();
                        for k in 0..N {
                            z = z.fma(pair[i][0][k], far[a][k]);
                        }
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
        if S > 1 {
            // One product with the link for all spins and columns.
            let (pair, outer) = (&self.hopping.links[position * geometry.lattice.ndim() + MU], sum);
            for i in 0..N {
                for j in 0..N {
                    let mut z = Complex::zero();
                    for k in 0..N {
                        z = z.fma(pair[i][0][k], outer.0[k][j]);
                    }
                    sum.0[i][j] = z;
                }
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Space;
    use crate::lattice::Sites;
    #[cfg(target_arch = "x86_64")]
    use crate::number::{F32x8Avx2, F32x16Avx512, F64x4Avx2, F64x8Avx512, Isa};

    fn values<R: Real>(x: &Vector<R>) -> Vec<u64> {
        x.values
            .iter()
            .flat_map(|z| (0..R::LANES).flat_map(|k| [z.re.lane(k), z.im.lane(k)]))
            .map(f64::to_bits)
            .collect()
    }

    /// Asking for memory ahead and writing past the cache change no bit, for any number of columns and up to the last site.
    fn law<R: Real<Total = f64>, const S: usize>() {
        let lattice = Lattice::new(&[4, 4, 4, 8], R::LANES).unwrap();
        let u = GaugeField::<f64, 3>::hot(Lattice::new(lattice.extents(), 1).unwrap(), 3);
        let geometry = Arc::new(Geometry::<R>::new(&lattice, 1, |x, _| Complex64::new(1.0, x[3] as f64)));
        let hopping = Hopping::<R, 3, S>::new(&geometry, &u);
        for (sites, columns) in [(Sites::All, 1), (Sites::Odd, 1), (Sites::Odd, 5), (Sites::Even, 13), (Sites::All, 13)]
        {
            let space = Space::new(&lattice, sites, 3 * S).with_columns(columns);
            let number = |n: usize| Complex64::new(((7 * n) % 11) as f64 - 5.0, 0.3 * ((3 * n) % 13) as f64);
            let data: Vec<_> = (0..lattice.volume() * space.width()).map(number).collect();
            let (x, mut y) = (Vector::from_array(&space.on(sites.other()), &data), Vector::from_array(&space, &data));
            y.scale(0.7);
            for (onto, past) in [
                (Onto::Nothing, false),
                (Onto::Nothing, true),
                (Onto::Vector(0.3, &y), true),
                (Onto::Output(0.4), false),
            ] {
                let (mut plain, mut ahead) = (y.clone(), y.clone());
                let (norms, with) = (Sums::Norms, Sums::With(&y));
                let sums = hopping.run::<false>(&x, onto, -0.8, past, false, norms, &mut plain);
                let others = hopping.run::<true>(&x, onto, -0.8, past, past, with, &mut ahead);
                assert!(values(&plain) == values(&ahead), "{sites:?} {columns} {past}");
                // Sums on the way are those of a pass of its own, to rounding.
                for (sums, wanted) in [(sums, norms.of(&plain)), (others, with.of(&ahead))] {
                    assert_eq!(sums.len(), columns);
                    for (sum, wanted) in sums.iter().zip(wanted) {
                        let bound = 1e3 * R::EPSILON * (plain.norm2() * y.norm2()).sqrt().max(plain.norm2());
                        assert!((*sum - wanted).abs() < bound, "{sum} {wanted}");
                    }
                }
            }
        }
    }

    #[test]
    fn memory_asked_for_ahead_changes_no_bit() {
        law::<f64, 4>();
        #[cfg(target_arch = "x86_64")]
        if Isa::supported() >= Isa::Avx2 {
            law::<F64x4Avx2, 4>();
            law::<F32x8Avx2, 1>();
        }
        #[cfg(target_arch = "x86_64")]
        if Isa::supported() >= Isa::Avx512 {
            law::<F64x8Avx512, 4>();
            law::<F64x8Avx512, 1>();
            law::<F32x16Avx512, 4>();
        }
    }
}
