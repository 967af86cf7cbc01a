//! Stout-type layers with any closed loops (Morningstar and Peardon, hep-lat/0311018; trainable: arXiv 2103.11965).
//!
//! U'_mu(x) = exp(A) U_mu(x), A = -sum_k rho_k sum_V TA(U_mu(x) V), V the staples of the loops of term k: rho > 0 raises Re tr.
//! A is -N METRIC times the force of the action with coefficients rho_k, and the reverse pass is its derivative: with
//! Lambda = J(-A) F' and A(eps) the generator at exp(eps Lambda) U,
//!   F = exp(-A) F' exp(A) + dA/deps + [A, Lambda],   dS/drho_k = <Lambda, dA/drho_k>.
//! The commutator appears because A is a gradient in a frame that turns with U. Dual numbers supply d/deps.

use crate::action;
use crate::concept::{Configuration, Map, Tape};
use crate::error::Result;
use crate::field::{self, ItemKernel, Measure, SiteKernel};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::group;
use crate::lattice::Lattice;
use crate::lattice::{Program, WeightedPath, program};
use crate::matrix::{Algebra, Complex, Matrix};
use crate::number::Dual;
use crate::number::Real;
use std::sync::Arc;

/// Loops that share one coefficient, and the directions of the links that they change (bit mu).
#[derive(Debug, Clone, PartialEq)]
pub struct StoutTerm {
    /// The loops, each unoriented loop once.
    pub loops: Vec<WeightedPath>,
    /// Directions of the links that receive the term.
    pub directions: u8,
}

/// A stout-type layer on one lattice; its parameters are one coefficient per term.
pub struct StoutLayer {
    terms: Vec<StoutTerm>,
    /// For every direction, the staples of all terms that change its links, linear in the coefficients.
    staples: Vec<Program>,
    groups: Vec<Group>,
    /// The staples of each term without its coefficient.
    units: Vec<Vec<Program>>,
}

/// All terms that change the same directions, with the staples of all links.
struct Group {
    directions: u8,
    staples: Vec<Program>,
}

/// Programs with their coefficients set.
fn set(programs: &[Program], rho: &[f64]) -> Vec<Program> {
    programs.iter().map(|program| program.at(rho)).collect()
}

impl StoutLayer {
    /// A layer with one coefficient per term.
    pub fn new(lattice: &Arc<Lattice>, terms: Vec<StoutTerm>) -> Self {
        let units = terms.iter().map(|t| program::staple_programs(lattice, &t.loops)).collect();
        let chosen = |keep: &dyn Fn(u8) -> bool, mu: usize| {
            let lists = terms.iter().enumerate().filter(|(_, term)| keep(term.directions));
            let lists: Vec<_> = lists.map(|(k, term)| (k, term.loops.as_slice())).collect();
            program::linear_staples(lattice, &lists, mu)
        };
        let ndim = lattice.ndim();
        let staples = (0..ndim).map(|mu| chosen(&|directions| directions >> mu & 1 == 1, mu)).collect();
        let mut kinds: Vec<u8> = terms.iter().map(|term| term.directions).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let group = |directions: u8| Group {
            directions,
            staples: (0..ndim).map(|mu| chosen(&|own| own == directions, mu)).collect(),
        };
        let groups = kinds.into_iter().map(group).collect();
        Self { terms, staples, groups, units }
    }

    /// A on every link.
    pub fn generator<R: Real, const N: usize>(&self, rho: &[f64], u: &GaugeField<R, N>) -> LinkAlgebra<R, N> {
        let mut generator = u.zero();
        action::kick(&set(&self.staples, rho), u, (0.0, -1.0), &mut generator);
        generator
    }
}

impl<R: Real, const N: usize> Map<GaugeField<R, N>> for StoutLayer {
    fn n_parameters(&self) -> usize {
        self.terms.len()
    }

    fn forward(&self, rho: &[f64], u: &GaugeField<R, N>) -> Result<GaugeField<R, N>> {
        let mut image = GaugeField::new(u.lattice().clone(), field::zeros(u.links().len()));
        let kernel = Forward { staples: &set(&self.staples, rho), links: u.links() };
        field::for_each::<R, _, _>(&kernel, self.staples.len(), image.links_mut());
        Ok(image)
    }

    /// Nothing is kept: A is as cheap to make again as to read.
    fn record(&self, rho: &[f64], u: &GaugeField<R, N>) -> Result<(GaugeField<R, N>, Tape)> {
        Ok((self.forward(rho, u)?, Tape::new(())))
    }

    fn pullback(
        &self,
        rho: &[f64],
        u: &GaugeField<R, N>,
        _tape: &Tape,
        cotangent: &LinkAlgebra<R, N>,
        gradient: Option<&mut [R::Total]>,
    ) -> Result<LinkAlgebra<R, N>> {
        let steps = self.below(rho, u, cotangent);
        if let Some(gradient) = gradient {
            self.add_gradient(u, &steps, gradient);
        }
        let mut below = u.zero();
        field::update::<R, _>(&Down(&steps), u.lattice().ndim(), &mut below.elements);
        Ok(below)
    }
}

/// What the reverse pass keeps for a link.
#[derive(Debug, Clone, Copy, bytemuck::Zeroable)]
#[zeroable(bound = "R: bytemuck::Zeroable")]
struct Step<R, const N: usize> {
    /// The cotangent at the input.
    below: Algebra<R, N>,
    lambda: Algebra<R, N>,
}

/// The cotangent at the input of every link.
struct Down<'a, R, const N: usize>(&'a [Step<R, N>]);

impl<R: Real, const N: usize> ItemKernel<Algebra<R, N>> for Down<'_, R, N> {
    #[inline(always)]
    fn at(&self, n: usize, below: &mut Algebra<R, N>) {
        *below = self.0[n].below;
    }
}

impl StoutLayer {
    /// The cotangent at `u`, and Lambda.
    fn below<R: Real, const N: usize>(
        &self,
        rho: &[f64],
        u: &GaugeField<R, N>,
        cotangent: &LinkAlgebra<R, N>,
    ) -> Vec<Step<R, N>> {
        let mut steps = field::zeros(cotangent.elements.len());
        let kernel = Reverse { staples: &set(&self.staples, rho), links: u.links(), cotangent: &cotangent.elements };
        field::for_each::<R, _, _>(&kernel, self.staples.len(), &mut steps);
        for group in &self.groups {
            let moved = along(u, &steps, group.directions);
            let staples = set(&group.staples, rho);
            let kernel = Slope { staples: &staples, links: moved.links(), directions: group.directions };
            field::for_each::<R, _, _>(&kernel, self.staples.len(), &mut steps);
        }
        steps
    }

    /// Adds dS/drho_k = <Lambda, dA/drho_k>.
    fn add_gradient<R: Real, const N: usize>(
        &self,
        u: &GaugeField<R, N>,
        steps: &[Step<R, N>],
        gradient: &mut [R::Total],
    ) {
        for ((term, staples), slope) in self.terms.iter().zip(&self.units).zip(gradient) {
            let kernel = Overlap { staples, links: u.links(), steps, directions: term.directions };
            *slope += field::measure(&kernel, u.lattice().vectors()).1;
        }
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
    let mut pair: Vec<[Algebra<R, N>; 2]> = field::zeros(cotangent.elements.len());
    let kernel = ReversePair { generator: &generator.elements, cotangent: &cotangent.elements };
    field::update::<R, _>(&kernel, lattice.ndim(), &mut pair);
    let part = |k: usize| {
        let mut part = LinkAlgebra::zero(lattice.clone());
        field::update::<R, _>(&Part { pair: &pair, k }, lattice.ndim(), &mut part.elements);
        part
    };
    (part(0), part(1))
}

/// One of a pair.
struct Part<'a, R, const N: usize> {
    pair: &'a [[Algebra<R, N>; 2]],
    k: usize,
}

impl<R: Real, const N: usize> ItemKernel<Algebra<R, N>> for Part<'_, R, N> {
    #[inline(always)]
    fn at(&self, n: usize, part: &mut Algebra<R, N>) {
        *part = self.pair[n][self.k];
    }
}

/// exp(eps Lambda) U to first order.
pub fn displaced<R: Real, const N: usize>(u: &GaugeField<R, N>, lambda: &LinkAlgebra<R, N>) -> GaugeField<Dual<R>, N> {
    displaced_by(u, &|link, _| Some(&lambda.elements[link]))
}

fn displaced_by<'a, R: Real, const N: usize>(
    u: &GaugeField<R, N>,
    lambda: &(impl Fn(usize, usize) -> Option<&'a Algebra<R, N>> + Sync),
) -> GaugeField<Dual<R>, N> {
    let mut moved = GaugeField::new(u.lattice().clone(), field::zeros(u.links().len()));
    let kernel = Displace { links: u.links(), lambda, ndim: u.lattice().ndim() };
    field::update::<R, _>(&kernel, kernel.ndim, moved.links_mut());
    moved
}

struct Displace<'a, R, F, const N: usize> {
    links: &'a [Matrix<R, N>],
    lambda: &'a F,
    ndim: usize,
}

impl<'a, R: Real, F: Fn(usize, usize) -> Option<&'a Algebra<R, N>> + Sync, const N: usize>
    ItemKernel<Matrix<Dual<R>, N>> for Displace<'_, R, F, N>
{
    #[inline(always)]
    fn at(&self, link: usize, moved: &mut Matrix<Dual<R>, N>) {
        let u = &self.links[link];
        let slope = match (self.lambda)(link, link % self.ndim) {
            Some(lambda) => lambda.to_matrix().mul(u),
            None => Matrix::zero(),
        };
        for i in 0..N {
            for j in 0..N {
                let (z, dz) = (u.0[i][j], slope.0[i][j]);
                moved.0[i][j] = Complex::new(Dual::new(z.re, dz.re), Dual::new(z.im, dz.im));
            }
        }
    }
}

/// A of a link from the staples that are summed in slot 0.
#[inline(always)]
fn generator<R: Real, const N: usize>(link: &Matrix<R, N>, staples: &Matrix<R, N>) -> Algebra<R, N> {
    Matrix::product_here::<false, false>(link, staples).algebra_part().scale(R::splat(-1.0))
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
pub(super) fn through_exponential<R: Real, const N: usize>(a: &Algebra<R, N>, f: &Algebra<R, N>) -> [Algebra<R, N>; 2] {
    if N == 1 {
        return [*f, *f];
    }
    let (e, lambda) = group::exp_differential(&a.scale(R::splat(-1.0)), f);
    [e.mul(&f.to_matrix()).mul_adjoint(&e).algebra_part(), lambda]
}

/// The same from A.
struct ReversePair<'a, R, const N: usize> {
    generator: &'a [Algebra<R, N>],
    cotangent: &'a [Algebra<R, N>],
}

impl<R: Real, const N: usize> ItemKernel<[Algebra<R, N>; 2]> for ReversePair<'_, R, N> {
    #[inline(always)]
    fn at(&self, n: usize, pair: &mut [Algebra<R, N>; 2]) {
        *pair = through_exponential(&self.generator[n], &self.cotangent[n]);
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
    rho: &[f64],
    u: &GaugeField<f64, N>,
    k: usize,
) -> GaugeField<Dual<f64>, N> {
    let unit: Vec<f64> = (0..rho.len()).map(|j| f64::from(u8::from(j == k))).collect();
    let (a, slope) = (layer.generator(rho, u), layer.generator(&unit, u));
    let pair = |(a, slope): (&Algebra<f64, N>, &Algebra<f64, N>)| {
        Algebra(std::array::from_fn(|i| std::array::from_fn(|j| Dual::new(a.0[i][j], slope.0[i][j]))))
    };
    let elements = a.elements.iter().zip(&slope.elements).map(pair).collect();
    let mut image = displaced(u, &u.zero());
    image.drift(1.0, &mut LinkAlgebra { lattice: a.lattice, elements });
    image
}
