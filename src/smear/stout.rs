//! Stout-type layers with any closed loops (Morningstar and Peardon, hep-lat/0311018; trainable: arXiv 2103.11965).
//!
//! U'_mu(x) = exp(A) U_mu(x), A = -sum_k rho_k sum_V TA(U_mu(x) V), V the staples of the loops of term k: rho > 0 raises Re tr.
//! A is -N METRIC times the force of the action with coefficients rho_k, and the reverse pass is its derivative: with
//! Lambda = J(-A) F' and A(eps) the generator at exp(eps Lambda) U,
//!   F = exp(-A) F' exp(A) + dA/deps + [A, Lambda],   dS/drho_k = METRIC sum_x d/deps Re tr W_k(x).
//! The commutator appears because A is a gradient in a frame that turns with U. Dual numbers supply d/deps.

use super::Map;
use crate::action::{Action, Configuration, LoopAction};
use crate::dual::Dual;
use crate::error::Result;
use crate::field::{self, SiteKernel};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::group;
use crate::lattice::Lattice;
use crate::matrix::{Algebra, Complex, Matrix};
use crate::path::WeightedPath;
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
        let mut layer = Self { lattice: lattice.clone(), terms, rho: Vec::new(), groups: Vec::new(), units };
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
        let group = |(directions, loops)| Group { directions, action: LoopAction::new(&self.lattice, loops) };
        self.groups = groups.into_iter().map(group).collect();
    }

    /// A on every link.
    pub fn generator<R: Real, const N: usize>(&self, u: &GaugeField<R, N>) -> Result<LinkAlgebra<R, N>> {
        let mut sum = u.zero_momenta();
        for group in &self.groups {
            let part = group.generator(u)?;
            u.add_momenta(&mut sum, 1.0, &part);
        }
        Ok(sum)
    }
}

impl Group {
    fn generator<R: Real, const N: usize>(&self, u: &GaugeField<R, N>) -> Result<LinkAlgebra<R, N>> {
        let mut a = u.zero_momenta();
        self.action.kick(u, N as f64 * Algebra::<R, N>::METRIC, &mut a)?;
        restrict(&mut a, self.directions);
        Ok(a)
    }
}

/// Zero in the directions that are not in the mask.
fn restrict<R: Real, const N: usize>(a: &mut LinkAlgebra<R, N>, directions: u8) {
    let ndim = a.lattice.ndim();
    for mu in (0..ndim).filter(|mu| directions >> mu & 1 == 0) {
        a.elements.iter_mut().skip(mu).step_by(ndim).for_each(|a| *a = Algebra::zero());
    }
}

impl<R: Real, const N: usize> Map<GaugeField<R, N>> for StoutLayer {
    fn forward(&self, u: &GaugeField<R, N>) -> Result<GaugeField<R, N>> {
        let generator = self.generator(u)?;
        let mut image = u.clone();
        image.drift(1.0, &generator);
        Ok(image)
    }

    fn pullback(
        &self,
        u: &GaugeField<R, N>,
        cotangent: &LinkAlgebra<R, N>,
    ) -> Result<(LinkAlgebra<R, N>, Vec<R::Total>)> {
        let (mut result, lambda) = pull_exponential(&self.generator(u)?, cotangent);
        for group in &self.groups {
            let mut lambda = lambda.clone();
            restrict(&mut lambda, group.directions);
            let generator = group.action_generator_slope(u, &lambda)?;
            u.add_momenta(&mut result, 1.0, &generator);
        }
        Ok((result, self.gradient(u, &lambda)?))
    }

    fn parameters(&self) -> Vec<f64> {
        self.rho.clone()
    }

    fn set_parameters(&mut self, parameters: &[f64]) {
        self.set_rho(parameters);
    }
}

impl Group {
    /// dA/deps along exp(eps Lambda) U, plus [A, Lambda], for links of all directions.
    fn action_generator_slope<R: Real, const N: usize>(
        &self,
        u: &GaugeField<R, N>,
        lambda: &LinkAlgebra<R, N>,
    ) -> Result<LinkAlgebra<R, N>> {
        let moved = displaced(u, lambda);
        let mut a = moved.zero_momenta();
        self.action.kick(&moved, N as f64 * Algebra::<R, N>::METRIC, &mut a)?;
        let mut slope = u.zero_momenta();
        let kernel = Slope { dual: &a.elements, lambda: &lambda.elements };
        field::for_each::<R, _, _>(&kernel, u.lattice().ndim(), &mut slope.elements);
        Ok(slope)
    }
}

impl StoutLayer {
    /// dS/drho_k = <Lambda, dA/drho_k> = -N METRIC d/deps S_k(exp(eps Lambda) U).
    fn gradient<R: Real, const N: usize>(
        &self,
        u: &GaugeField<R, N>,
        lambda: &LinkAlgebra<R, N>,
    ) -> Result<Vec<R::Total>> {
        let factor = R::Total::splat(-(N as f64) * Algebra::<R, N>::METRIC);
        let of = |(term, unit): (&StoutTerm, &LoopAction)| {
            let mut lambda = lambda.clone();
            restrict(&mut lambda, term.directions);
            let slope = Action::<GaugeField<Dual<R>, N>>::value(unit, &displaced(u, &lambda))?.eps;
            Ok(slope * factor)
        };
        self.terms.iter().zip(&self.units).map(of).collect()
    }
}

/// exp(eps Lambda) U to first order.
pub fn displaced<R: Real, const N: usize>(u: &GaugeField<R, N>, lambda: &LinkAlgebra<R, N>) -> GaugeField<Dual<R>, N> {
    let mut moved = GaugeField::new(u.lattice().clone(), vec![Matrix::zero(); u.links().len()]);
    let kernel = Displace { links: u.links(), lambda: &lambda.elements };
    field::for_each::<R, _, _>(&kernel, u.lattice().ndim(), moved.links_mut());
    moved
}

struct Displace<'a, R, const N: usize> {
    links: &'a [Matrix<R, N>],
    lambda: &'a [Algebra<R, N>],
}

impl<R: Real, const N: usize> SiteKernel<R, Matrix<Dual<R>, N>> for Displace<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, moved: &mut [Matrix<Dual<R>, N>]) -> R {
        let ndim = moved.len();
        for (mu, moved) in moved.iter_mut().enumerate() {
            let (u, lambda) = (&self.links[vector * ndim + mu], &self.lambda[vector * ndim + mu]);
            let slope = lambda.to_matrix().mul(u);
            *moved = Matrix::from_fn(|i, j| {
                let (z, dz) = (u.0[i][j], slope.0[i][j]);
                Complex::new(Dual::new(z.re, dz.re), Dual::new(z.im, dz.im))
            });
        }
        R::zero()
    }
}

/// For U' = exp(A) U with cotangent F': exp(-A) F' exp(A), the cotangent of U, and Lambda = J(-A) F', that of A.
pub(crate) fn pull_exponential<R: Real, const N: usize>(
    generator: &LinkAlgebra<R, N>,
    cotangent: &LinkAlgebra<R, N>,
) -> (LinkAlgebra<R, N>, LinkAlgebra<R, N>) {
    let mut pairs = vec![[Algebra::zero(); 2]; cotangent.elements.len()];
    let kernel = Reverse { generator: &generator.elements, cotangent: &cotangent.elements };
    field::for_each::<R, _, _>(&kernel, cotangent.lattice.ndim(), &mut pairs);
    let part = |k: usize| LinkAlgebra {
        lattice: cotangent.lattice.clone(),
        elements: pairs.iter().map(|pair| pair[k]).collect(),
    };
    (part(0), part(1))
}

struct Reverse<'a, R, const N: usize> {
    generator: &'a [Algebra<R, N>],
    cotangent: &'a [Algebra<R, N>],
}

impl<R: Real, const N: usize> SiteKernel<R, [Algebra<R, N>; 2]> for Reverse<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, pairs: &mut [[Algebra<R, N>; 2]]) -> R {
        let ndim = pairs.len();
        for (mu, pair) in pairs.iter_mut().enumerate() {
            let (a, f) = (&self.generator[vector * ndim + mu], &self.cotangent[vector * ndim + mu]);
            let (e, lambda) = group::exp_differential(&a.scale(R::splat(-1.0)), f);
            *pair = [e.mul(&f.to_matrix()).mul_adjoint(&e).algebra_part(), lambda];
        }
        R::zero()
    }
}

struct Slope<'a, R, const N: usize> {
    dual: &'a [Algebra<Dual<R>, N>],
    lambda: &'a [Algebra<R, N>],
}

impl<R: Real, const N: usize> SiteKernel<R, Algebra<R, N>> for Slope<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, slopes: &mut [Algebra<R, N>]) -> R {
        let ndim = slopes.len();
        for (mu, slope) in slopes.iter_mut().enumerate() {
            let (a, lambda) = (&self.dual[vector * ndim + mu], self.lambda[vector * ndim + mu].to_matrix());
            let mut generator = Algebra::zero();
            for i in 0..N {
                for j in 0..N {
                    generator.0[i][j] = a.0[i][j].re;
                    slope.0[i][j] = a.0[i][j].eps;
                }
            }
            // [A, Lambda] = 2 TA(A Lambda) for anti-Hermitian A and Lambda
            let commutator = generator.to_matrix().mul(&lambda).algebra_part();
            *slope = slope.add_scaled(R::splat(2.0), &commutator);
        }
        R::zero()
    }
}
