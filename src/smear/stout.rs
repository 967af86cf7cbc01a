//! Stout-type layers with any closed loops (Morningstar and Peardon, hep-lat/0311018; trainable: arXiv 2103.11965).
//!
//! U'_mu(x) = exp(A) U_mu(x), A = -sum_k rho_k sum_V TA(U_mu(x) V), V the staples of the loops of term k: rho > 0 raises Re tr.
//! A is -N METRIC times the force of the action with coefficients rho_k, and the reverse pass is its derivative: with
//! Lambda = J(-A) F' and A(eps) the generator at exp(eps Lambda) U,
//!   F = exp(-A) F' exp(A) + dA/deps + [A, Lambda],   dS/drho_k = <Lambda, dA/drho_k>.
//! The commutator appears because A is a gradient in a frame that turns with U. Dual numbers supply d/deps.

use super::Map;
use crate::action::{self, Configuration, LoopAction};
use crate::dual::Dual;
use crate::error::Result;
use crate::field::{self, Measure, SiteKernel};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::group;
use crate::lattice::{Lattice, MAX_DIMENSIONS};
use crate::matrix::{Algebra, Complex, Matrix};
use crate::path::{self, Program, WeightedPath};
use crate::real::Real;
use std::sync::Arc;

/// Loops that share one coefficient, and the directions of the links that they change (bit mu).
#[derive(Debug, Clone, PartialEq)]
pub struct StoutTerm {
    /// The loops, each unoriented loop once.
    pub loops: Vec<WeightedPath>,
    /// Directions of the links that receive the term.
    pub directions: u8,
}

/// A stout-type layer on one lattice.
pub struct StoutLayer {
    lattice: Arc<Lattice>,
    terms: Vec<StoutTerm>,
    rho: Vec<f64>,
    /// For every direction, the staples of all terms that change its links.
    staples: Vec<Program>,
    groups: Vec<Group>,
    units: Vec<LoopAction>,
}

/// All terms that change the same directions, as one action.
struct Group {
    directions: u8,
    action: LoopAction,
}

impl StoutLayer {
    /// A layer with one coefficient per term.
    pub fn new(lattice: &Arc<Lattice>, terms: Vec<StoutTerm>, rho: Vec<f64>) -> Self {
        let units = terms.iter().map(|t| LoopAction::new(lattice, t.loops.clone())).collect();
        let (lattice, staples, groups) = (lattice.clone(), Vec::new(), Vec::new());
        let mut layer = Self { lattice, terms, rho: Vec::new(), staples, groups, units };
        layer.set_rho(&rho);
        layer
    }

    fn set_rho(&mut self, rho: &[f64]) {
        self.rho = rho.to_vec();
        let mut groups: Vec<(u8, Vec<WeightedPath>)> = Vec::new();
        for (term, rho) in self.terms.iter().zip(rho) {
            let loops = term.loops.iter().map(|l| WeightedPath { weight: l.weight * rho, path: l.path.clone() });
            match groups.iter_mut().find(|(directions, _)| *directions == term.directions) {
                Some((_, list)) => list.extend(loops),
                None => groups.push((term.directions, loops.collect())),
            }
        }
        let of_direction = |mu: usize| {
            let list = groups.iter().filter(|(directions, _)| directions >> mu & 1 == 1);
            let loops: Vec<_> = list.flat_map(|(_, loops)| loops.iter().cloned()).collect();
            let mut start = [0; MAX_DIMENSIONS];
            start[mu] = 1;
            Program::new(&self.lattice, start, &path::staples(&loops, mu))
        };
        self.staples = (0..self.lattice.ndim()).map(of_direction).collect();
        let group = |(directions, loops)| Group { directions, action: LoopAction::new(&self.lattice, loops) };
        self.groups = groups.into_iter().map(group).collect();
    }

    /// A on every link.
    pub fn generator<R: Real, const N: usize>(&self, u: &GaugeField<R, N>) -> LinkAlgebra<R, N> {
        let mut generator = u.zero_momenta();
        self.blend(u, 0.0, 1.0, &mut generator);
        generator
    }

    /// a <- keep a + factor A.
    pub fn blend<R: Real, const N: usize>(
        &self,
        u: &GaugeField<R, N>,
        keep: f64,
        factor: f64,
        a: &mut LinkAlgebra<R, N>,
    ) {
        action::kick(&self.staples, u, (keep, -factor), a);
    }
}

impl<R: Real, const N: usize> Map<GaugeField<R, N>> for StoutLayer {
    fn forward(&self, u: &GaugeField<R, N>) -> Result<GaugeField<R, N>> {
        let mut image = GaugeField::new(u.lattice().clone(), vec![Matrix::zero(); u.links().len()]);
        let kernel = Forward { staples: &self.staples, links: u.links() };
        field::for_each::<R, _, _>(&kernel, self.staples.len(), image.links_mut());
        Ok(image)
    }

    fn pullback(
        &self,
        u: &GaugeField<R, N>,
        cotangent: &LinkAlgebra<R, N>,
    ) -> Result<(LinkAlgebra<R, N>, Vec<R::Total>)> {
        let steps = self.below(u, cotangent);
        Ok((down(u, &steps), self.gradient(u, &steps)))
    }

    fn cotangent(&self, u: &GaugeField<R, N>, cotangent: &LinkAlgebra<R, N>) -> Result<LinkAlgebra<R, N>> {
        Ok(down(u, &self.below(u, cotangent)))
    }

    fn parameters(&self) -> Vec<f64> {
        self.rho.clone()
    }

    fn set_parameters(&mut self, parameters: &[f64]) {
        self.set_rho(parameters);
    }
}

/// What the reverse pass keeps for a link.
#[derive(Debug, Clone, Copy)]
struct Step<R, const N: usize> {
    /// The cotangent at the input.
    below: Algebra<R, N>,
    lambda: Algebra<R, N>,
}

fn down<R: Real, const N: usize>(u: &GaugeField<R, N>, steps: &[Step<R, N>]) -> LinkAlgebra<R, N> {
    LinkAlgebra { lattice: u.lattice().clone(), elements: steps.iter().map(|step| step.below).collect() }
}

impl StoutLayer {
    /// The cotangent at `u`, and Lambda.
    fn below<R: Real, const N: usize>(&self, u: &GaugeField<R, N>, cotangent: &LinkAlgebra<R, N>) -> Vec<Step<R, N>> {
        let mut steps = vec![Step { below: Algebra::zero(), lambda: Algebra::zero() }; cotangent.elements.len()];
        let kernel = Reverse { staples: &self.staples, links: u.links(), cotangent: &cotangent.elements };
        field::for_each::<R, _, _>(&kernel, self.staples.len(), &mut steps);
        for group in &self.groups {
            let moved = along(u, &steps, group.directions);
            let staples = group.action.staples();
            let kernel = Slope { staples, links: moved.links(), directions: group.directions };
            field::for_each::<R, _, _>(&kernel, self.staples.len(), &mut steps);
        }
        steps
    }

    /// dS/drho_k = <Lambda, dA/drho_k>.
    fn gradient<R: Real, const N: usize>(&self, u: &GaugeField<R, N>, steps: &[Step<R, N>]) -> Vec<R::Total> {
        let of = |(term, unit): (&StoutTerm, &LoopAction)| {
            let kernel = Overlap { staples: unit.staples(), links: u.links(), steps, directions: term.directions };
            field::measure(&kernel, u.lattice().vectors()).1
        };
        self.terms.iter().zip(&self.units).map(of).collect()
    }
}

/// exp(eps Lambda) U, Lambda restricted to some directions.
fn along<R: Real, const N: usize>(
    u: &GaugeField<R, N>,
    steps: &[Step<R, N>],
    directions: u8,
) -> GaugeField<Dual<R>, N> {
    displaced_by(u, &|link, mu| (directions >> mu & 1 == 1).then(|| &steps[link].lambda))
}

/// Through U' = exp(A) U with A a function of U: exp(-A) F' exp(A), and Lambda = J(-A) F' with dS = <Lambda, dA> + ...
pub(crate) fn pull_exponential<R: Real, const N: usize>(
    generator: &LinkAlgebra<R, N>,
    cotangent: &LinkAlgebra<R, N>,
) -> (LinkAlgebra<R, N>, LinkAlgebra<R, N>) {
    let lattice = &generator.lattice;
    let mut pair = vec![[Algebra::zero(); 2]; cotangent.elements.len()];
    let kernel = ReversePair { generator: &generator.elements, cotangent: &cotangent.elements };
    field::for_each::<R, _, _>(&kernel, lattice.ndim(), &mut pair);
    let part = |k: usize| LinkAlgebra { lattice: lattice.clone(), elements: pair.iter().map(|pair| pair[k]).collect() };
    (part(0), part(1))
}

/// exp(eps Lambda) U to first order.
pub fn displaced<R: Real, const N: usize>(u: &GaugeField<R, N>, lambda: &LinkAlgebra<R, N>) -> GaugeField<Dual<R>, N> {
    displaced_by(u, &|link, _| Some(&lambda.elements[link]))
}

fn displaced_by<'a, R: Real, const N: usize>(
    u: &GaugeField<R, N>,
    lambda: &(impl Fn(usize, usize) -> Option<&'a Algebra<R, N>> + Sync),
) -> GaugeField<Dual<R>, N> {
    let mut moved = GaugeField::new(u.lattice().clone(), vec![Matrix::zero(); u.links().len()]);
    let kernel = Displace { links: u.links(), lambda };
    field::for_each::<R, _, _>(&kernel, u.lattice().ndim(), moved.links_mut());
    moved
}

struct Displace<'a, R, F, const N: usize> {
    links: &'a [Matrix<R, N>],
    lambda: &'a F,
}

impl<'a, R: Real, F: Fn(usize, usize) -> Option<&'a Algebra<R, N>> + Sync, const N: usize>
    SiteKernel<R, Matrix<Dual<R>, N>> for Displace<'_, R, F, N>
{
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, moved: &mut [Matrix<Dual<R>, N>]) -> R {
        let ndim = moved.len();
        for (mu, moved) in moved.iter_mut().enumerate() {
            let link = vector * ndim + mu;
            let u = &self.links[link];
            let slope = (self.lambda)(link, mu).map_or_else(Matrix::zero, |lambda| lambda.to_matrix().mul(u));
            for i in 0..N {
                for j in 0..N {
                    let (z, dz) = (u.0[i][j], slope.0[i][j]);
                    moved.0[i][j] = Complex::new(Dual::new(z.re, dz.re), Dual::new(z.im, dz.im));
                }
            }
        }
        R::zero()
    }
}

/// A of a link from the staples that are summed in slot 0.
#[inline(always)]
fn generator<R: Real, const N: usize>(link: &Matrix<R, N>, staples: &Matrix<R, N>) -> Algebra<R, N> {
    link.mul(staples).algebra_part().scale(R::splat(-1.0))
}

/// exp(A) U.
struct Forward<'a, R, const N: usize> {
    staples: &'a [Program],
    links: &'a [Matrix<R, N>],
}

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for Forward<'_, R, N> {
    type Scratch = Vec<Matrix<R, N>>;
    fn scratch(&self) -> Self::Scratch {
        action::scratch(self.staples)
    }
    #[inline(always)]
    fn at(&self, slots: &mut Self::Scratch, vector: usize, image: &mut [Matrix<R, N>]) -> R {
        let ndim = image.len();
        for (mu, image) in image.iter_mut().enumerate() {
            self.staples[mu].run(self.links, slots, vector);
            let link = &self.links[vector * ndim + mu];
            *image = group::exp(&generator(link, &slots[0])).mul(link);
        }
        R::zero()
    }
}

/// exp(-A) F' exp(A) and Lambda = J(-A) F'.
#[inline(always)]
fn through_exponential<R: Real, const N: usize>(a: &Algebra<R, N>, f: &Algebra<R, N>) -> [Algebra<R, N>; 2] {
    let (e, lambda) = group::exp_differential(&a.scale(R::splat(-1.0)), f);
    [e.mul(&f.to_matrix()).mul_adjoint(&e).algebra_part(), lambda]
}

/// The same from A.
struct ReversePair<'a, R, const N: usize> {
    generator: &'a [Algebra<R, N>],
    cotangent: &'a [Algebra<R, N>],
}

impl<R: Real, const N: usize> SiteKernel<R, [Algebra<R, N>; 2]> for ReversePair<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, pairs: &mut [[Algebra<R, N>; 2]]) -> R {
        let ndim = pairs.len();
        for (mu, pair) in pairs.iter_mut().enumerate() {
            *pair = through_exponential(&self.generator[vector * ndim + mu], &self.cotangent[vector * ndim + mu]);
        }
        R::zero()
    }
}

/// The first step of the reverse pass, with A made on the way.
struct Reverse<'a, R, const N: usize> {
    staples: &'a [Program],
    links: &'a [Matrix<R, N>],
    cotangent: &'a [Algebra<R, N>],
}

impl<R: Real, const N: usize> SiteKernel<R, Step<R, N>> for Reverse<'_, R, N> {
    type Scratch = Vec<Matrix<R, N>>;
    fn scratch(&self) -> Self::Scratch {
        action::scratch(self.staples)
    }
    #[inline(always)]
    fn at(&self, slots: &mut Self::Scratch, vector: usize, steps: &mut [Step<R, N>]) -> R {
        let first = vector * steps.len();
        for (mu, step) in steps.iter_mut().enumerate() {
            self.staples[mu].run(self.links, slots, vector);
            let a = generator(&self.links[first + mu], &slots[0]);
            let [below, lambda] = through_exponential(&a, &self.cotangent[first + mu]);
            *step = Step { below, lambda };
        }
        R::zero()
    }
}

/// <Lambda, A> of links of some directions.
struct Overlap<'a, R, const N: usize> {
    staples: &'a [Program],
    links: &'a [Matrix<R, N>],
    steps: &'a [Step<R, N>],
    directions: u8,
}

impl<R: Real, const N: usize> Measure<R> for Overlap<'_, R, N> {
    type Scratch = Vec<Matrix<R, N>>;
    fn scratch(&self) -> Self::Scratch {
        action::scratch(self.staples)
    }
    #[inline(always)]
    fn at(&self, slots: &mut Self::Scratch, vector: usize) -> R {
        let (ndim, mut sum) = (self.staples.len(), R::zero());
        for mu in (0..ndim).filter(|mu| self.directions >> mu & 1 == 1) {
            self.staples[mu].run(self.links, slots, vector);
            let link = vector * ndim + mu;
            sum += generator(&self.links[link], &slots[0]).inner(&self.steps[link].lambda);
        }
        sum
    }
}

/// Adds dA/deps along exp(eps Lambda) U and [A, Lambda], for links of all directions.
struct Slope<'a, R, const N: usize> {
    staples: &'a [Program],
    links: &'a [Matrix<Dual<R>, N>],
    directions: u8,
}

impl<R: Real, const N: usize> SiteKernel<R, Step<R, N>> for Slope<'_, R, N> {
    type Scratch = Vec<Matrix<Dual<R>, N>>;
    fn scratch(&self) -> Self::Scratch {
        action::scratch(self.staples)
    }
    #[inline(always)]
    fn at(&self, slots: &mut Self::Scratch, vector: usize, steps: &mut [Step<R, N>]) -> R {
        let first = vector * steps.len();
        for (mu, step) in steps.iter_mut().enumerate() {
            self.staples[mu].run(self.links, slots, vector);
            let a = generator(&self.links[first + mu], &slots[0]);
            let mut value = Algebra::zero();
            for i in 0..N {
                for j in 0..N {
                    value.0[i][j] = a.0[i][j].re;
                    step.below.0[i][j] += a.0[i][j].eps;
                }
            }
            if self.directions >> mu & 1 == 1 {
                // [A, Lambda] = 2 TA(A Lambda) for anti-Hermitian A and Lambda
                let commutator = value.to_matrix().mul(&step.lambda.to_matrix()).algebra_part();
                step.below = step.below.add_scaled(R::splat(2.0), &commutator);
            }
        }
        R::zero()
    }
}

/// The image of `u` with d/drho_k as its dual part.
#[cfg(test)]
pub(crate) fn along_parameter<const N: usize>(
    layer: &StoutLayer,
    u: &GaugeField<f64, N>,
    k: usize,
) -> GaugeField<Dual<f64>, N> {
    let unit = (0..layer.rho.len()).map(|j| f64::from(u8::from(j == k))).collect();
    let unit = StoutLayer::new(&layer.lattice, layer.terms.clone(), unit);
    let (a, slope) = (layer.generator(u), unit.generator(u));
    let pair = |(a, slope): (&Algebra<f64, N>, &Algebra<f64, N>)| {
        Algebra(std::array::from_fn(|i| std::array::from_fn(|j| Dual::new(a.0[i][j], slope.0[i][j]))))
    };
    let elements = a.elements.iter().zip(&slope.elements).map(pair).collect();
    let mut image = displaced(u, &u.zero_momenta());
    image.drift(1.0, &LinkAlgebra { lattice: a.lattice, elements });
    image
}
