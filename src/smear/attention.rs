//! Gauge covariant attention (CASK, Nagai, Ohno, Tomiya, arXiv 2501.16955) on links.
//!
//! Three stout-type maps give the fields Q, K, V. For a link and each of its staples b (of lengths 1 to `reach`),
//!   a_b = f(x_b),  x_b = Re tr[Q_mu V_b(K)] - Re tr[U_mu V_b(U)],  f(x) = tan(pi x / (4 (N + 0.01))),
//!   A = -TA(V_mu sum_b a_b V_b(V)),  U' = exp(A) V:
//! gauge-invariant scores, so U' transforms like U; the identity when all coefficients vanish. The exponential multiplies V, not
//! U: only then is the link walked backwards mapped to the inverse, as rotations by 90 degrees need.
//! Reverse pass: with Lambda = J(-A) F', h_b = Re tr[Lambda V_mu V_b(V)] and M = METRIC, ds = M sum (f'(x_b) h_b dx_b + a_b dh_b).

use super::staples::{Lines, Staples, Weights};
use super::stout::{StoutLayer, pull_exponential};
use super::{Map, StoutTerm};
use crate::action::Configuration;
use crate::error::Result;
use crate::field::{self, SiteKernel};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::lattice::Lattice;
use crate::matrix::{Algebra, Matrix};
use crate::real::Real;
use std::sync::Arc;

/// Keeps |f| finite: |x| <= 2 N.
const MARGIN: f64 = 0.01;

/// An attention layer on one lattice.
pub struct AttentionLayer {
    /// The maps to Q, K and V.
    maps: [StoutLayer; 3],
    staples: Staples,
}

/// What the forward pass finds on the way.
struct Scores<R, const N: usize> {
    query: GaugeField<R, N>,
    own: Lines<R, N>,
    keys: Lines<R, N>,
    values: Lines<R, N>,
    scores: Weights<R>,
    attention: Weights<R>,
    /// sum_b a_b V_b(V)
    staples: Vec<Matrix<R, N>>,
    generator: LinkAlgebra<R, N>,
}

impl AttentionLayer {
    /// A layer whose three maps have the same terms; `rho` holds the coefficients of query, key and value.
    pub fn new(lattice: &Arc<Lattice>, terms: Vec<StoutTerm>, rho: &[f64], reach: usize) -> Result<Self> {
        let count = terms.len();
        let map = |k: usize| StoutLayer::new(lattice, terms.clone(), rho[k * count..(k + 1) * count].to_vec());
        Ok(Self { maps: [map(0), map(1), map(2)], staples: Staples::new(lattice, reach)? })
    }

    /// Q, K and V.
    fn mapped<R: Real, const N: usize>(&self, u: &GaugeField<R, N>) -> Result<[GaugeField<R, N>; 3]> {
        let [query, key, value] = &self.maps;
        Ok([query.forward(u)?, key.forward(u)?, value.forward(u)?])
    }

    fn scores<R: Real, const N: usize>(&self, u: &GaugeField<R, N>, mapped: [GaugeField<R, N>; 3]) -> Scores<R, N> {
        let [query, key, value] = mapped;
        let staples = &self.staples;
        let (own, keys, values) = (staples.lines(u), staples.lines(&key), staples.lines(&value));
        let mut scores = staples.traces(query.links(), &keys);
        let bare = staples.traces(u.links(), &own);
        field::for_each::<R, _, _>(&Subtract(&bare), self.per_site(u), &mut scores);
        let mut attention = scores.clone();
        field::for_each::<R, _, _>(&Tangent(N), self.per_site(u), &mut attention);
        let sums = staples.weighted(&attention, &values);
        let mut generator = u.zero_momenta();
        add_projected(&mut generator, -1.0, value.links(), &sums, None);
        Scores { query, own, keys, values, scores, attention, staples: sums, generator }
    }

    /// The image of `u` for given Q, K and V.
    fn attend<R: Real, const N: usize>(&self, u: &GaugeField<R, N>, mapped: [GaugeField<R, N>; 3]) -> GaugeField<R, N> {
        let scores = self.scores(u, mapped);
        let mut image = scores.values.field().clone();
        image.drift(1.0, &scores.generator);
        image
    }

    fn per_site<R: Real, const N: usize>(&self, u: &GaugeField<R, N>) -> usize {
        u.lattice().ndim() * self.staples.per_link()
    }

    /// F of sum_b w_b Re tr[first V_b(lines)] with respect to the links in the staples.
    fn staple_force<R: Real, const N: usize>(
        &self,
        weights: &Weights<R>,
        first: &[Matrix<R, N>],
        lines: &Lines<R, N>,
        force: &mut LinkAlgebra<R, N>,
    ) {
        let slope = self.staples.pullback(weights, first, lines);
        field::for_each::<R, _, _>(
            &AddPart { factor: -1.0 / Algebra::<R, N>::METRIC, matrices: &slope },
            lines.field().lattice().ndim(),
            &mut force.elements,
        );
    }
}

impl<R: Real, const N: usize> Map<GaugeField<R, N>> for AttentionLayer {
    fn forward(&self, u: &GaugeField<R, N>) -> Result<GaugeField<R, N>> {
        Ok(self.attend(u, self.mapped(u)?))
    }

    fn pullback(
        &self,
        u: &GaugeField<R, N>,
        cotangent: &LinkAlgebra<R, N>,
    ) -> Result<(LinkAlgebra<R, N>, Vec<R::Total>)> {
        let s = self.scores(u, self.mapped(u)?);
        let (mut value, lambda) = pull_exponential(&s.generator, cotangent);
        let metric = Algebra::<R, N>::METRIC;

        add_projected(&mut value, -1.0, s.values.field().links(), &s.staples, Some(&lambda));
        let pulled = rotated(&lambda, metric, s.values.field().links());
        self.staple_force(&s.attention, &pulled, &s.values, &mut value);

        let mut weights = self.staples.traces(&pulled, &s.values);
        field::for_each::<R, _, _>(&TangentSlope { scores: &s.scores, n: N }, self.per_site(u), &mut weights);

        let (mut query, mut key) = (u.zero_momenta(), u.zero_momenta());
        add_projected(&mut query, -1.0 / metric, s.query.links(), &self.staples.weighted(&weights, &s.keys), None);
        self.staple_force(&weights, s.query.links(), &s.keys, &mut key);

        let mut own = u.zero_momenta();
        add_projected(&mut own, -1.0 / metric, u.links(), &self.staples.weighted(&weights, &s.own), None);
        self.staple_force(&weights, u.links(), &s.own, &mut own);

        let (mut result, mut gradient) = (u.zero_momenta(), Vec::new());
        u.add_momenta(&mut result, -1.0, &own);
        for (map, force) in self.maps.iter().zip([query, key, value]) {
            let (below, of_rho) = map.pullback(u, &force)?;
            u.add_momenta(&mut result, 1.0, &below);
            gradient.extend(of_rho);
        }
        Ok((result, gradient))
    }

    fn parameters(&self) -> Vec<f64> {
        self.maps.iter().flat_map(Map::<GaugeField<f64, 1>>::parameters).collect()
    }

    fn set_parameters(&mut self, parameters: &[f64]) {
        for (map, own) in self.maps.iter_mut().zip(parameters.chunks_exact(parameters.len() / 3)) {
            Map::<GaugeField<f64, 1>>::set_parameters(map, own);
        }
    }
}

/// `sum += factor TA(U S [Lambda])`.
fn add_projected<R: Real, const N: usize>(
    sum: &mut LinkAlgebra<R, N>,
    factor: f64,
    links: &[Matrix<R, N>],
    staples: &[Matrix<R, N>],
    lambda: Option<&LinkAlgebra<R, N>>,
) {
    let ndim = sum.lattice.ndim();
    let lambda = lambda.map(|lambda| lambda.elements.as_slice());
    field::for_each::<R, _, _>(&AddProjected { factor, links, staples, lambda }, ndim, &mut sum.elements);
}

/// factor Lambda U.
fn rotated<R: Real, const N: usize>(
    lambda: &LinkAlgebra<R, N>,
    factor: f64,
    links: &[Matrix<R, N>],
) -> Vec<Matrix<R, N>> {
    let mut product = links.to_vec();
    field::for_each::<R, _, _>(&Rotate { factor, lambda: &lambda.elements }, lambda.lattice.ndim(), &mut product);
    product
}

struct AddProjected<'a, R, const N: usize> {
    factor: f64,
    links: &'a [Matrix<R, N>],
    staples: &'a [Matrix<R, N>],
    lambda: Option<&'a [Algebra<R, N>]>,
}

impl<R: Real, const N: usize> SiteKernel<R, Algebra<R, N>> for AddProjected<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, sums: &mut [Algebra<R, N>]) -> R {
        let first = vector * sums.len();
        for (mu, sum) in sums.iter_mut().enumerate() {
            let mut product = self.links[first + mu].mul(&self.staples[first + mu]);
            if let Some(lambda) = self.lambda {
                product = product.mul(&lambda[first + mu].to_matrix());
            }
            *sum = sum.add_scaled(R::splat(self.factor), &product.algebra_part());
        }
        R::zero()
    }
}

struct Rotate<'a, R, const N: usize> {
    factor: f64,
    lambda: &'a [Algebra<R, N>],
}

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for Rotate<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, links: &mut [Matrix<R, N>]) -> R {
        let first = vector * links.len();
        for (mu, link) in links.iter_mut().enumerate() {
            *link = self.lambda[first + mu].scale(R::splat(self.factor)).to_matrix().mul(link);
        }
        R::zero()
    }
}

struct AddPart<'a, R, const N: usize> {
    factor: f64,
    matrices: &'a [Matrix<R, N>],
}

impl<R: Real, const N: usize> SiteKernel<R, Algebra<R, N>> for AddPart<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, sums: &mut [Algebra<R, N>]) -> R {
        let first = vector * sums.len();
        for (mu, sum) in sums.iter_mut().enumerate() {
            *sum = sum.add_scaled(R::splat(self.factor), &self.matrices[first + mu].algebra_part());
        }
        R::zero()
    }
}

struct Subtract<'a, R>(&'a [R]);

impl<R: Real> SiteKernel<R, R> for Subtract<'_, R> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, values: &mut [R]) -> R {
        let first = vector * values.len();
        for (n, value) in values.iter_mut().enumerate() {
            *value -= self.0[first + n];
        }
        R::zero()
    }
}

fn frequency(n: usize) -> f64 {
    std::f64::consts::FRAC_PI_4 / (n as f64 + MARGIN)
}

/// x -> f(x).
struct Tangent(usize);

impl<R: Real> SiteKernel<R, R> for Tangent {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), _vector: usize, values: &mut [R]) -> R {
        for value in values {
            let (sin, cos) = (*value * R::splat(frequency(self.0))).sin_cos();
            *value = sin / cos;
        }
        R::zero()
    }
}

/// g -> f'(x) g.
struct TangentSlope<'a, R> {
    scores: &'a [R],
    n: usize,
}

impl<R: Real> SiteKernel<R, R> for TangentSlope<'_, R> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, values: &mut [R]) -> R {
        let (first, frequency) = (vector * values.len(), R::splat(frequency(self.n)));
        for (n, value) in values.iter_mut().enumerate() {
            let (_, cos) = (self.scores[first + n] * frequency).sin_cos();
            *value = *value * frequency / (cos * cos);
        }
        R::zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::{Action, LoopAction, force};
    use crate::path;
    use crate::smear::{displaced, stout::along_parameter};

    fn layer(lattice: &Arc<Lattice>, sign: f64) -> AttentionLayer {
        let term =
            |name: &str| StoutTerm { loops: path::family(name, lattice.extents()).unwrap(), directions: u8::MAX };
        let terms = vec![term("plaquette"), term("polyakov_t")];
        let rho = [0.11, -0.04, 0.07, 0.05, -0.09, 0.03].map(|rho| sign * rho);
        AttentionLayer::new(lattice, terms, &rho, 3).unwrap()
    }

    #[test]
    fn parameter_gradient_is_the_derivative() {
        fn law<const N: usize>(extents: &[usize]) {
            let lattice = Lattice::new(extents, 1).unwrap();
            let u = GaugeField::<f64, N>::hot(lattice.clone(), 7);
            let (layer, wilson) =
                (layer(&lattice, 1.0), LoopAction::new(&lattice, path::family("plaquette", extents).unwrap()));
            let top = force(&wilson, &layer.forward(&u).unwrap()).unwrap();
            let (_, gradient) = layer.pullback(&u, &top).unwrap();
            let still = displaced(&u, &u.zero_momenta());
            for (k, predicted) in gradient.iter().enumerate() {
                let mut mapped = layer.mapped(&still).unwrap();
                mapped[k / 2] = along_parameter(&layer.maps[k / 2], &u, k % 2);
                let slope = wilson.value(&layer.attend(&still, mapped)).unwrap().eps;
                assert!((slope - predicted).abs() < 1e-10 * slope.abs().max(1.0), "N={N} {k}: {slope} {predicted}");
            }
        }
        for extents in [&[4, 6][..], &[3, 4, 2], &[4, 2, 2, 2]] {
            law::<1>(extents);
            law::<2>(extents);
            law::<3>(extents);
        }
        law::<4>(&[4, 6]);
    }

    #[test]
    fn without_coefficients_it_is_the_identity() {
        let lattice = Lattice::new(&[4, 4, 4], 1).unwrap();
        let u = GaugeField::<f64, 3>::hot(lattice.clone(), 7);
        let image = layer(&lattice, 0.0).forward(&u).unwrap();
        assert!(u.links().iter().zip(image.links()).all(|(a, b)| a.add(&b.scale(-1.0)).norm2() == 0.0));
        assert!(AttentionLayer::new(&lattice, vec![], &[], 9).is_err());
    }

    /// One link of an otherwise cold U(1) field: the sum over staples by hand.
    #[test]
    fn one_excited_link_in_two_dimensions() {
        let lattice = Lattice::new(&[8, 8], 1).unwrap();
        let mut u = GaugeField::<f64, 1>::cold(lattice.clone());
        let angle = 0.3f64;
        u.links_mut()[0] = Matrix::from_fn(|_, _| crate::matrix::Complex::new(angle.cos(), angle.sin()));
        let terms = vec![StoutTerm { loops: path::family("plaquette", &[8, 8]).unwrap(), directions: u8::MAX }];
        let rho = [0.1, 0.0, 0.0];
        let layer = AttentionLayer::new(&lattice, terms, &rho, 2).unwrap();
        let image = layer.forward(&u).unwrap();
        // Q moves the angle of the link by -2 rho sin; K = V = U; all four staples of the link are cold
        let query = angle - 2.0 * rho[0] * angle.sin();
        let score = query.cos() - angle.cos();
        let attention = (frequency(1) * score).tan();
        let expected = angle - 4.0 * attention * angle.sin();
        let got = image.links()[0].0[0][0];
        assert!((got.im.atan2(got.re) - expected).abs() < 1e-14);
    }
}
