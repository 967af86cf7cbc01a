//! Parallel transport of site matrices along straight lines, W(x + s) -> V W(x + s) V^dagger, and its reverse pass.
//!
//! One step is the only thing that connects sites. A step +mu carries with V = U_mu(x), a step -mu with V = U_mu(x-mu)^dagger;
//! the reverse of a step is the opposite step. With [W, Wbar] = W Wbar^dagger - Wbar^dagger W the link of a step +mu gets
//! F -= TA[T, Tbar] / METRIC with T, Tbar the carried matrix and its cotangent, that of a step -mu the negative of
//! F -= TA[W, P] / METRIC with W the matrix before the step and P its cotangent.

use crate::field::{self, SiteKernel};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::lattice::path::direction;
use crate::lattice::{Lattice, Shift};
use crate::matrix::{Algebra, Matrix};
use crate::number::Real;

/// Links with the neighbours of one step in each direction.
pub struct Wires<'a, R, const N: usize> {
    lattice: &'a Lattice,
    ahead: Vec<Shift>,
    behind: Vec<Shift>,
    links: &'a [Matrix<R, N>],
}

impl<'a, R: Real, const N: usize> Wires<'a, R, N> {
    /// The wires of a gauge field.
    pub fn new(u: &'a GaugeField<R, N>) -> Self {
        let lattice = u.lattice();
        Self { lattice, ahead: lattice.steps(1), behind: lattice.steps(-1), links: u.links() }
    }

    fn shift(&self, step: i8) -> &Shift {
        let shifts = if step > 0 { &self.ahead } else { &self.behind };
        &shifts[direction(step)]
    }

    /// Matrix `n` of the `per_site` matrices at the site that `step` leads to.
    #[inline(always)]
    fn fetch(&self, step: i8, vector: usize, data: &[Matrix<R, N>], per_site: usize, n: usize) -> Matrix<R, N> {
        self.lattice.load(data, per_site, n, self.shift(step)[vector])
    }

    /// V of the step.
    #[inline(always)]
    fn carrier(&self, step: i8, vector: usize) -> Matrix<R, N> {
        let (mu, ndim) = (direction(step), self.ahead.len());
        if step > 0 { self.links[vector * ndim + mu] } else { self.fetch(step, vector, self.links, ndim, mu).adjoint() }
    }

    /// Each step of `steps` carries `channels` matrices; with `shared` all steps carry the same ones.
    pub fn carry(&self, steps: &[i8], channels: usize, source: &[Matrix<R, N>], shared: bool) -> Vec<Matrix<R, N>> {
        let per_site = steps.len() * channels;
        let mut carried = field::zeros(self.lattice.vectors() * per_site);
        let kernel = Carry { wires: self, steps, channels, source, shared };
        field::for_each::<R, _, _>(&kernel, per_site, &mut carried);
        carried
    }
}

struct Carry<'a, R, const N: usize> {
    wires: &'a Wires<'a, R, N>,
    steps: &'a [i8],
    channels: usize,
    source: &'a [Matrix<R, N>],
    shared: bool,
}

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for Carry<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, carried: &mut [Matrix<R, N>]) -> R {
        let per_site = if self.shared { self.channels } else { carried.len() };
        for (d, (&step, carried)) in self.steps.iter().zip(carried.chunks_exact_mut(self.channels)).enumerate() {
            let carrier = self.wires.carrier(step, vector);
            let first = if self.shared { 0 } else { d * self.channels };
            for (j, carried) in carried.iter_mut().enumerate() {
                let matrix = self.wires.fetch(step, vector, self.source, per_site, first + j);
                *carried = carrier.mul(&matrix).mul_adjoint(&carrier);
            }
        }
        R::zero()
    }
}

/// W and what lines of every direction carry to each site: level k holds lines of k steps, level 0 is W itself.
pub struct Lines<'a, R, const N: usize> {
    wires: Wires<'a, R, N>,
    steps: Vec<i8>,
    channels: usize,
    levels: Vec<Vec<Matrix<R, N>>>,
}

impl<'a, R: Real, const N: usize> Lines<'a, R, N> {
    /// Carries `w` along lines of up to `length` steps, `both` ways or in positive directions.
    pub fn new(u: &'a GaugeField<R, N>, w: &[Matrix<R, N>], channels: usize, length: usize, both: bool) -> Self {
        let ahead = 1..=u.lattice().ndim() as i8;
        let steps: Vec<i8> = if both { ahead.clone().chain(ahead.map(|s| -s)).collect() } else { ahead.collect() };
        let mut lines = Self { wires: Wires::new(u), steps, channels, levels: vec![w.to_vec()] };
        for k in 0..length {
            let next = lines.wires.carry(&lines.steps, channels, &lines.levels[k], k == 0);
            lines.levels.push(next);
        }
        lines
    }

    /// Copies what arrives at a site vector to `terms`: the centre (if asked for), then lines by length, direction, channel.
    #[inline(always)]
    pub fn gather(&self, vector: usize, centre: bool, terms: &mut [Matrix<R, N>]) {
        let mut filled = 0;
        for level in if centre { &self.levels[..] } else { &self.levels[1..] } {
            let per_site = level.len() / self.wires.lattice.vectors();
            terms[filled..filled + per_site].copy_from_slice(&level[vector * per_site..(vector + 1) * per_site]);
            filled += per_site;
        }
    }

    /// Cotangents `[left.., terms..]` of each site to the cotangent of W; adds to that of the links.
    pub fn pull(
        &self,
        centre: bool,
        cotangents: &[Matrix<R, N>],
        mut links: Option<&mut LinkAlgebra<R, N>>,
    ) -> Vec<Matrix<R, N>> {
        let (c, vectors) = (self.channels, self.wires.lattice.vectors());
        let (per_site, lines) = (cotangents.len() / vectors, self.steps.len() * c);
        let first = |k: usize| c + if centre { c } else { 0 } + (k - 1) * lines;
        let back: Vec<i8> = self.steps.iter().map(|s| -s).collect();
        let mut pulled: Option<Vec<Matrix<R, N>>> = None;
        for k in (1..self.levels.len()).rev() {
            let mut above = field::zeros(vectors * lines);
            let add = Add { cotangents, per_site, first: first(k), pulled: pulled.as_deref() };
            field::for_each::<R, _, _>(&add, lines, &mut above);
            let below = self.wires.carry(&back, c, &above, false);
            if let Some(links) = links.as_deref_mut() {
                self.add_to_links(k, &above, &below, links);
            }
            pulled = Some(below);
        }
        let mut result = field::zeros(vectors * c);
        let collect = Collect { cotangents, per_site, centre, lines, pulled: pulled.as_deref() };
        field::for_each::<R, _, _>(&collect, c, &mut result);
        result
    }

    fn add_to_links(&self, k: usize, above: &[Matrix<R, N>], below: &[Matrix<R, N>], links: &mut LinkAlgebra<R, N>) {
        let kernel = StepForce { lines: self, k, above, below };
        field::for_each::<R, _, _>(&kernel, links.lattice.ndim(), &mut links.elements);
    }
}

/// The cotangent of one level: its own and what came down from the level above.
struct Add<'a, R, const N: usize> {
    cotangents: &'a [Matrix<R, N>],
    per_site: usize,
    first: usize,
    pulled: Option<&'a [Matrix<R, N>]>,
}

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for Add<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, sums: &mut [Matrix<R, N>]) -> R {
        let own = &self.cotangents[vector * self.per_site + self.first..][..sums.len()];
        sums.copy_from_slice(own);
        if let Some(pulled) = self.pulled {
            let pulled = &pulled[vector * sums.len()..][..sums.len()];
            sums.iter_mut().zip(pulled).for_each(|(sum, m)| sum.add_assign(m));
        }
        R::zero()
    }
}

/// The cotangent of W: as left factor, as centre, and from the lines of all directions.
struct Collect<'a, R, const N: usize> {
    cotangents: &'a [Matrix<R, N>],
    per_site: usize,
    centre: bool,
    lines: usize,
    pulled: Option<&'a [Matrix<R, N>]>,
}

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for Collect<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, sums: &mut [Matrix<R, N>]) -> R {
        let c = sums.len();
        let own = &self.cotangents[vector * self.per_site..][..self.per_site];
        sums.copy_from_slice(&own[..c]);
        if self.centre {
            sums.iter_mut().zip(&own[c..2 * c]).for_each(|(sum, m)| sum.add_assign(m));
        }
        if let Some(pulled) = self.pulled {
            for line in pulled[vector * self.lines..][..self.lines].chunks_exact(c) {
                sums.iter_mut().zip(line).for_each(|(sum, m)| sum.add_assign(m));
            }
        }
        R::zero()
    }
}

/// What the step from level k - 1 to level k gives to the links.
struct StepForce<'a, R, const N: usize> {
    lines: &'a Lines<'a, R, N>,
    k: usize,
    above: &'a [Matrix<R, N>],
    below: &'a [Matrix<R, N>],
}

impl<R: Real, const N: usize> SiteKernel<R, Algebra<R, N>> for StepForce<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, links: &mut [Algebra<R, N>]) -> R {
        let (steps, c) = (&self.lines.steps, self.lines.channels);
        let (before, after) = (&self.lines.levels[self.k - 1], &self.lines.levels[self.k]);
        for (d, &step) in steps.iter().enumerate() {
            let mut moment = Matrix::zero();
            for j in 0..c {
                let at = (vector * steps.len() + d) * c + j;
                if step > 0 {
                    add_commutator(&mut moment, &after[at], &self.above[at]);
                } else {
                    let source = if self.k == 1 { vector * c + j } else { at };
                    add_commutator(&mut moment, &self.below[at], &before[source]);
                }
            }
            let link = &mut links[direction(step)];
            *link = link.add_scaled(R::splat(-1.0 / Algebra::<R, N>::METRIC), &moment.algebra_part());
        }
        R::zero()
    }
}

/// `sum += w wbar^dagger - wbar^dagger w`, whose anti-Hermitian part changes sign when w and wbar are exchanged.
#[inline(always)]
fn add_commutator<R: Real, const N: usize>(sum: &mut Matrix<R, N>, w: &Matrix<R, N>, wbar: &Matrix<R, N>) {
    let negative = wbar.scale(R::splat(-1.0));
    sum.add_assign(&w.mul_adjoint(wbar));
    sum.add_adjoint_mul(&negative, w);
}
