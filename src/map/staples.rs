//! Staples of every direction and length, one by one: V_b(x, mu) leads from x+mu back to x around b, with its reverse pass.
//!
//! b = (nu, sign, s): s links along +-nu, one against mu, s back (arXiv 2501.16955). With straight lines
//! P_{nu,s}(x) = U_nu(x) ... U_nu(x+(s-1)nu), W a link field:
//!   V_{+nu,s}(x, mu) = P(x+mu) W_mu(x+s nu)^dagger P(x)^dagger,
//!   V_{-nu,s}(x, mu) = P(y+mu)^dagger W_mu(y)^dagger P(y),  y = x - s nu.

use crate::error::{Error, Result};
use crate::field::{self, SiteKernel};
use crate::gauge::GaugeField;
use crate::lattice::{Displacement, Lattice, Neighbor, Shift};
use crate::matrix::Matrix;
use crate::number::Real;
use std::sync::Arc;

/// Longest staple.
pub const MAX_REACH: usize = 8;

/// One side of the staples of links in direction mu: s steps along nu.
struct Side {
    mu: usize,
    nu: usize,
    length: usize,
    /// Shifts by mu, s nu, -s nu, mu - s nu, -mu, s nu - mu.
    mu_forward: Shift,
    along: Shift,
    against: Shift,
    corner: Shift,
    mu_backward: Shift,
    behind: Shift,
}

/// Geometry of the staples on one lattice.
pub struct Staples {
    lattice: Arc<Lattice>,
    reach: usize,
    sides: Vec<Side>,
    /// Shift by j nu at `[nu][j]`, and by -j nu.
    ahead: Vec<Vec<Shift>>,
    back: Vec<Vec<Shift>>,
}

/// A link field with its straight lines `[site vector][nu][s-1]`.
pub struct Lines<R, const N: usize> {
    field: GaugeField<R, N>,
    lines: Vec<Matrix<R, N>>,
}

impl<R: Real, const N: usize> Lines<R, N> {
    /// The link field.
    pub fn field(&self) -> &GaugeField<R, N> {
        &self.field
    }
}

/// One real number for every link and staple, `[site vector][mu][b]`.
pub type Weights<R> = Vec<R>;

/// The sum of steps.
pub(super) fn displacement(steps: &[(usize, i32)]) -> Displacement {
    let mut x = Displacement::default();
    steps.iter().for_each(|&(mu, n)| x[mu] += n);
    x
}

impl Staples {
    /// Staples with 1 to `reach` links along nu.
    pub fn new(lattice: &Arc<Lattice>, reach: usize) -> Result<Self> {
        if !(1..=MAX_REACH).contains(&reach) {
            return Err(Error::value(format!(
                "staples of length 1 to {reach}: the longest may have 1 to {MAX_REACH} links"
            )));
        }
        if lattice.ndim() < 2 {
            return Err(Error::value("staples need at least two dimensions; the lattice has one"));
        }
        let ndim = lattice.ndim();
        let shift = |steps: &[(usize, i32)]| lattice.shift(displacement(steps));
        let side = |mu: usize, nu: usize, s: usize| Side {
            mu,
            nu,
            length: s,
            mu_forward: shift(&[(mu, 1)]),
            along: shift(&[(nu, s as i32)]),
            against: shift(&[(nu, -(s as i32))]),
            corner: shift(&[(mu, 1), (nu, -(s as i32))]),
            mu_backward: shift(&[(mu, -1)]),
            behind: shift(&[(mu, -1), (nu, s as i32)]),
        };
        let planes = (0..ndim).flat_map(|mu| (0..ndim).filter(move |&nu| nu != mu).map(move |nu| (mu, nu)));
        let sides = planes.flat_map(|(mu, nu)| (1..=reach).map(move |s| (mu, nu, s)));
        let steps = |sign: i32| {
            let of = |nu: usize| (0..reach as i32).map(|j| shift(&[(nu, sign * j)])).collect();
            (0..ndim).map(of).collect()
        };
        Ok(Self {
            sides: sides.map(|(mu, nu, s)| side(mu, nu, s)).collect(),
            ahead: steps(1),
            back: steps(-1),
            lattice: lattice.clone(),
            reach,
        })
    }

    /// Number of staples of one link.
    pub fn per_link(&self) -> usize {
        2 * (self.lattice.ndim() - 1) * self.reach
    }

    fn links(&self) -> usize {
        self.lattice.ndim()
    }

    /// Prepares a field.
    pub fn lines<R: Real, const N: usize>(&self, field: &GaugeField<R, N>) -> Lines<R, N> {
        let per_site = self.links() * self.reach;
        let mut lines = field::zeros(self.lattice.vectors() * per_site);
        field::for_each::<R, _, _>(&Straight { staples: self, links: field.links() }, per_site, &mut lines);
        Lines { field: field.clone(), lines }
    }

    /// Re tr[F_mu(x) V_b(x, mu)] for every link and staple.
    pub fn traces<R: Real, const N: usize>(&self, first: &[Matrix<R, N>], lines: &Lines<R, N>) -> Weights<R> {
        let per_site = self.links() * self.per_link();
        let mut traces = field::zeros(self.lattice.vectors() * per_site);
        field::for_each::<R, _, _>(&Traces { staples: self, first, lines }, per_site, &mut traces);
        traces
    }

    /// sum_b w_b(x, mu) V_b(x, mu) for every link.
    pub fn weighted<R: Real, const N: usize>(&self, weights: &Weights<R>, lines: &Lines<R, N>) -> Vec<Matrix<R, N>> {
        let mut sums = field::zeros(self.lattice.vectors() * self.links());
        field::for_each::<R, _, _>(&Weighted { staples: self, weights, lines }, self.links(), &mut sums);
        sums
    }

    /// G with d sum_b w_b Re tr[F_mu(x) V_b(x, mu)] = sum Re tr[delta_nu(y) G_nu(y)] for W -> exp(delta) W in the staples.
    pub fn pullback<R: Real, const N: usize>(
        &self,
        weights: &Weights<R>,
        first: &[Matrix<R, N>],
        lines: &Lines<R, N>,
    ) -> Vec<Matrix<R, N>> {
        let per_site = self.links() * self.reach;
        let weighted = WeightedLoops { staples: self, weights, first, lines };
        let mut cotangents = field::zeros(self.lattice.vectors() * per_site);
        field::for_each::<R, _, _>(&OfLines(&weighted), per_site, &mut cotangents);
        let mut result = field::zeros(self.lattice.vectors() * self.links());
        field::for_each::<R, _, _>(&OfLinks { loops: &weighted, cotangents: &cotangents }, self.links(), &mut result);
        result
    }

    #[inline(always)]
    fn link<R: Real, const N: usize>(&self, links: &[Matrix<R, N>], mu: usize, at: Neighbor) -> Matrix<R, N> {
        self.lattice.load(links, self.links(), mu, at)
    }

    #[inline(always)]
    fn line<R: Real, const N: usize>(&self, lines: &[Matrix<R, N>], side: &Side, at: Neighbor) -> Matrix<R, N> {
        self.lattice.load(lines, self.links() * self.reach, side.nu * self.reach + side.length - 1, at)
    }

    /// V_{+nu,s} and V_{-nu,s} at a site vector.
    #[inline(always)]
    fn pair<R: Real, const N: usize>(&self, lines: &Lines<R, N>, side: &Side, vector: usize) -> [Matrix<R, N>; 2] {
        let (links, p) = (lines.field.links(), &lines.lines);
        let here = &p[(vector * self.links() + side.nu) * self.reach + side.length - 1];
        let up = self
            .line(p, side, side.mu_forward[vector])
            .mul_adjoint(&self.link(links, side.mu, side.along[vector]))
            .mul_adjoint(here);
        let far = self.link(links, side.mu, side.against[vector]).mul(&self.line(p, side, side.corner[vector]));
        [up, far.adjoint_mul(&self.line(p, side, side.against[vector]))]
    }
}

struct Straight<'a, R, const N: usize> {
    staples: &'a Staples,
    links: &'a [Matrix<R, N>],
}

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for Straight<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, lines: &mut [Matrix<R, N>]) -> R {
        let reach = self.staples.reach;
        for (nu, lines) in lines.chunks_exact_mut(reach).enumerate() {
            lines[0] = self.links[vector * self.staples.links() + nu];
            for j in 1..reach {
                lines[j] = lines[j - 1].mul(&self.staples.link(self.links, nu, self.staples.ahead[nu][j][vector]));
            }
        }
        R::zero()
    }
}

struct Traces<'a, R, const N: usize> {
    staples: &'a Staples,
    first: &'a [Matrix<R, N>],
    lines: &'a Lines<R, N>,
}

impl<R: Real, const N: usize> SiteKernel<R, R> for Traces<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, traces: &mut [R]) -> R {
        for (side, traces) in self.staples.sides.iter().zip(traces.chunks_exact_mut(2)) {
            let first = &self.first[vector * self.staples.links() + side.mu];
            let staples = self.staples.pair(self.lines, side, vector);
            for (trace, staple) in traces.iter_mut().zip(&staples) {
                *trace = first.trace_mul(staple).re;
            }
        }
        R::zero()
    }
}

struct Weighted<'a, R, const N: usize> {
    staples: &'a Staples,
    weights: &'a [R],
    lines: &'a Lines<R, N>,
}

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for Weighted<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, sums: &mut [Matrix<R, N>]) -> R {
        sums.iter_mut().for_each(|sum| *sum = Matrix::zero());
        let sides = &self.staples.sides;
        let weights = self.weights[vector * 2 * sides.len()..].chunks_exact(2);
        for (side, weights) in sides.iter().zip(weights) {
            for (staple, weight) in self.staples.pair(self.lines, side, vector).iter().zip(weights) {
                sums[side.mu].add_assign(&staple.scale(*weight));
            }
        }
        R::zero()
    }
}

/// sum_b w_b Re tr[F_mu(x) V_b(x, mu)], to be differentiated.
struct WeightedLoops<'a, R, const N: usize> {
    staples: &'a Staples,
    weights: &'a [R],
    first: &'a [Matrix<R, N>],
    lines: &'a Lines<R, N>,
}

impl<R: Real, const N: usize> WeightedLoops<'_, R, N> {
    /// w_b F_mu of a neighbour, for side number `n` and sign + (0) or - (1).
    #[inline(always)]
    fn head(&self, n: usize, sign: usize, at: Neighbor) -> Matrix<R, N> {
        let sides = &self.staples.sides;
        let weight = self.staples.lattice.load(self.weights, 2 * sides.len(), 2 * n + sign, at);
        self.staples.link(self.first, sides[n].mu, at).scale(weight)
    }
}

/// K_{nu,s}(z) with d(sum) = Re tr(K dP) for every straight line P.
struct OfLines<'a, R, const N: usize>(&'a WeightedLoops<'a, R, N>);

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for OfLines<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, cotangents: &mut [Matrix<R, N>]) -> R {
        cotangents.iter_mut().for_each(|k| *k = Matrix::zero());
        let staples = self.0.staples;
        let (links, p) = (self.0.lines.field.links(), &self.0.lines.lines);
        let this = staples.ahead[0][0][vector];
        for (n, side) in staples.sides.iter().enumerate() {
            let (forward, backward) = (side.mu_forward[vector], side.mu_backward[vector]);
            let k = &mut cotangents[side.nu * staples.reach + side.length - 1];
            // P(x+mu) of V_+ with x = z - mu, then P(x)^dagger of V_+ with x = z
            let head = self.0.head(n, 0, backward);
            let line = staples.line(p, side, backward);
            k.add_adjoint_mul(&staples.link(links, side.mu, side.behind[vector]), &line.adjoint_mul(&head));
            let line = staples.line(p, side, forward).mul_adjoint(&staples.link(links, side.mu, side.along[vector]));
            k.add_assign(&self.0.head(n, 0, this).mul(&line).adjoint());
            // P(y+mu)^dagger of V_- with y = z - mu, then P(y) of V_- with y = z
            let line = staples.line(p, side, backward).mul(&self.0.head(n, 1, side.behind[vector]));
            k.add_adjoint_mul(&line, &staples.link(links, side.mu, backward));
            let head = self.0.head(n, 1, side.along[vector]);
            let far = staples.link(links, side.mu, this).mul(&staples.line(p, side, forward));
            k.add_assign(&head.mul_adjoint(&far));
        }
        R::zero()
    }
}

/// The derivative with respect to the links, from lines and far links.
struct OfLinks<'a, R, const N: usize> {
    loops: &'a WeightedLoops<'a, R, N>,
    cotangents: &'a [Matrix<R, N>],
}

impl<R: Real, const N: usize> OfLinks<'_, R, N> {
    /// The far links W^dagger: -P(x)^dagger (w F)(x) P(x+mu) W^dagger with x + s nu = z, and its mirror image.
    #[inline(always)]
    fn far(&self, n: usize, side: &Side, vector: usize) -> Matrix<R, N> {
        let (staples, p) = (self.loops.staples, &self.loops.lines.lines);
        let (this, against) = (staples.ahead[0][0][vector], side.against[vector]);
        let head = self.loops.head(n, 0, against).mul(&staples.line(p, side, side.corner[vector]));
        let mut sum = staples.line(p, side, against).adjoint_mul(&head);
        let head = self.loops.head(n, 1, side.along[vector]);
        sum.add_assign(&staples.line(p, side, this).mul(&head).mul_adjoint(&staples.line(
            p,
            side,
            side.mu_forward[vector],
        )));
        sum.mul_adjoint(&staples.link(self.loops.lines.field.links(), side.mu, this))
    }

    /// Links of straight lines: W(y) B K A with P = A W(y) B.
    #[inline(always)]
    fn straight(&self, nu: usize, vector: usize) -> Matrix<R, N> {
        let (staples, reach) = (self.loops.staples, self.loops.staples.reach);
        let (links, p, per_site) = (self.loops.lines.field.links(), &self.loops.lines.lines, staples.links() * reach);
        let mut sum = Matrix::zero();
        for s in 1..=reach {
            for before in 0..s {
                let start = staples.back[nu][before][vector];
                let mut k = staples.lattice.load(self.cotangents, per_site, nu * reach + s - 1, start);
                if before > 0 {
                    k = k.mul(&staples.lattice.load(p, per_site, nu * reach + before - 1, start));
                }
                if before + 1 < s {
                    let next = staples.ahead[nu][1][vector];
                    k = staples.lattice.load(p, per_site, nu * reach + s - before - 2, next).mul(&k);
                }
                sum.add_assign(&k);
            }
        }
        links[vector * staples.links() + nu].mul(&sum)
    }
}

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for OfLinks<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, result: &mut [Matrix<R, N>]) -> R {
        for (nu, result) in result.iter_mut().enumerate() {
            *result = self.straight(nu, vector);
        }
        for (n, side) in self.loops.staples.sides.iter().enumerate() {
            let far = self.far(n, side, vector);
            result[side.mu].add_assign(&far.scale(-R::one()));
        }
        R::zero()
    }
}
