//! Gauge covariant attention (CASK, Nagai, Ohno, Tomiya, arXiv 2501.16955) on links.
//!
//! Three stout-type maps give the fields Q, K, V. For a link and each of its staples b (of lengths 1 to `reach`),
//!   a_b = f(x_b),  x_b = Re tr[Q_mu V_b(K)] - Re tr[U_mu V_b(U)],  f(x) = tan(pi x / (4 (N + 0.01))),
//!   A = -TA(V_mu sum_b a_b V_b(V)),  U' = exp(A) V:
//! gauge-invariant scores, so U' transforms like U; the identity when all coefficients vanish. The exponential multiplies V, not
//! U: only then is the link walked backwards mapped to the inverse, as rotations by 90 degrees need.
//!
//! Two other forms are those of the authors: b = (nu, +, s) alone has a score, which also weighs (nu, -, s), and exp(A) multiplies U; and
//! that field U^A inside a fourth stout-type map whose generator, made of U^A, multiplies U.
//! Reverse pass: with Lambda = J(-A) F', h_b = Re tr[Lambda V_mu V_b(V)] and M = METRIC, ds = M sum (f'(x_b) h_b dx_b + a_b dh_b).

use super::StoutTerm;
use super::staples::{Lines, Staples, Weights};
use super::stout::{StoutLayer, pull_exponential};
use crate::concept::{Configuration, Map, Tangent as _, Tape};
use crate::error::Result;
use crate::field::{self, ItemKernel, SiteKernel};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::lattice::Lattice;
use crate::matrix::{Algebra, Matrix};
use crate::number::Real;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Keeps |f| finite: |x| <= 2 N.
const MARGIN: f64 = 0.01;

/// Which staples have scores and what the exponential multiplies.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Every staple has its own score; exp(A) V.
    #[default]
    Symmetric,
    /// One score for both senses of a direction, from the staple ahead; U^A = exp(A) U (steps 1 to 4 of the authors).
    Score,
    /// U^A makes the generator of a stout-type map of U (steps 1 to 5, as the authors code it).
    Authors,
}

/// An attention layer on one lattice.
pub struct AttentionLayer {
    /// Coefficients of each map.
    count: usize,
    /// The maps to Q, K and V, which differ in their coefficients.
    map: StoutLayer,
    staples: Staples,
    form: Form,
}

/// What the forward pass keeps: scores and, of the third form, U^A with the generator that it makes.
struct Recorded<R, const N: usize> {
    scores: Scores<R, N>,
    output: Option<(GaugeField<R, N>, LinkAlgebra<R, N>)>,
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
    /// A layer whose maps have the same terms; the parameters are the coefficients of query, key and value, after those of the
    /// output where the form has it.
    pub fn new(lattice: &Arc<Lattice>, terms: Vec<StoutTerm>, reach: usize, form: Form) -> Result<Self> {
        let (count, staples) = (terms.len(), Staples::new(lattice, reach)?);
        Ok(Self { count, map: StoutLayer::new(lattice, terms), staples, form })
    }

    /// Where the coefficients of query, key and value (0, 1, 2) stand.
    fn range(&self, k: usize) -> std::ops::Range<usize> {
        let first = k + usize::from(self.form == Form::Authors);
        first * self.count..(first + 1) * self.count
    }

    /// The coefficients of map `k`.
    fn own<'a>(&self, rho: &'a [f64], k: usize) -> &'a [f64] {
        &rho[self.range(k)]
    }

    /// Q, K and V.
    fn mapped<R: Real, const N: usize>(&self, rho: &[f64], u: &GaugeField<R, N>) -> Result<[GaugeField<R, N>; 3]> {
        let image = |k| self.map.forward(self.own(rho, k), u);
        Ok([image(0)?, image(1)?, image(2)?])
    }

    fn scores<R: Real, const N: usize>(&self, u: &GaugeField<R, N>, mapped: [GaugeField<R, N>; 3]) -> Scores<R, N> {
        let [query, key, value] = mapped;
        let staples = &self.staples;
        let (own, keys, values) = (staples.lines(u), staples.lines(&key), staples.lines(&value));
        let mut scores = staples.traces(query.links(), &keys);
        let bare = staples.traces(u.links(), &own);
        field::update::<R, _>(&Subtract(&bare), self.per_site(u), &mut scores);
        if self.form != Form::Symmetric {
            field::for_each::<R, _, _>(&Pairs { gather: false }, self.per_site(u), &mut scores);
        }
        let mut attention = scores.clone();
        field::update::<R, _>(&Tangent(N), self.per_site(u), &mut attention);
        let sums = staples.weighted(&attention, &values);
        let mut generator = u.zero();
        add_projected(&mut generator, -1.0, value.links(), &sums, None);
        Scores { query, own, keys, values, scores, attention, staples: sums, generator }
    }

    /// exp(A) V, or exp(A) U.
    fn attended<R: Real, const N: usize>(&self, scores: &Scores<R, N>, u: &GaugeField<R, N>) -> GaugeField<R, N> {
        let base = if self.form == Form::Symmetric { scores.values.field() } else { u };
        let mut image = base.clone();
        image.drift(1.0, &mut scores.generator.clone());
        image
    }

    fn run<R: Real, const N: usize>(
        &self,
        rho: &[f64],
        u: &GaugeField<R, N>,
        mapped: [GaugeField<R, N>; 3],
    ) -> (GaugeField<R, N>, Recorded<R, N>) {
        let scores = self.scores(u, mapped);
        let attended = self.attended(&scores, u);
        if self.form != Form::Authors {
            return (attended, Recorded { scores, output: None });
        }
        let generator = self.map.generator(&rho[..self.count], &attended);
        let mut image = u.clone();
        image.drift(1.0, &mut generator.clone());
        (image, Recorded { scores, output: Some((attended, generator)) })
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
        field::update::<R, _>(
            &AddPart { factor: -1.0 / Algebra::<R, N>::METRIC, matrices: &slope },
            lines.field().lattice().ndim(),
            &mut force.elements,
        );
    }
}

impl<R: Real, const N: usize> Map<GaugeField<R, N>> for AttentionLayer {
    fn n_parameters(&self) -> usize {
        self.range(2).end
    }

    fn forward(&self, rho: &[f64], u: &GaugeField<R, N>) -> Result<GaugeField<R, N>> {
        Ok(self.run(rho, u, self.mapped(rho, u)?).0)
    }

    fn record(&self, rho: &[f64], u: &GaugeField<R, N>) -> Result<(GaugeField<R, N>, Tape)> {
        let (image, recorded) = self.run(rho, u, self.mapped(rho, u)?);
        Ok((image, Tape::new(recorded)))
    }

    fn pullback(
        &self,
        rho: &[f64],
        u: &GaugeField<R, N>,
        tape: &Tape,
        cotangent: &LinkAlgebra<R, N>,
        mut gradient: Option<&mut [R::Total]>,
    ) -> Result<LinkAlgebra<R, N>> {
        let Recorded { scores, output }: &Recorded<R, N> = tape.get()?;
        let Some((attended, generator)) = output else {
            return self.pull_scores(rho, u, scores, cotangent, gradient);
        };
        // exp(G(W)) U and exp(G(W)) W have the same derivative with respect to the W in G.
        let (base, _) = pull_exponential(generator, cotangent);
        let part = gradient.as_deref_mut().map(|gradient| &mut gradient[..self.count]);
        let mut inner = self.map.pullback(&rho[..self.count], attended, &Tape::new(()), cotangent, part)?;
        inner.axpy(-1.0, &base);
        let mut result = self.pull_scores(rho, u, scores, &inner, gradient)?;
        result.axpy(1.0, &base);
        Ok(result)
    }
}

impl AttentionLayer {
    /// The cotangent at `u` from that at exp(A) V or exp(A) U.
    fn pull_scores<R: Real, const N: usize>(
        &self,
        rho: &[f64],
        u: &GaugeField<R, N>,
        s: &Scores<R, N>,
        cotangent: &LinkAlgebra<R, N>,
        mut gradient: Option<&mut [R::Total]>,
    ) -> Result<LinkAlgebra<R, N>> {
        let (base, lambda) = pull_exponential(&s.generator, cotangent);
        let metric = Algebra::<R, N>::METRIC;
        let (mut value, mut result) = (u.zero(), u.zero());
        match self.form {
            Form::Symmetric => value = base,
            Form::Score | Form::Authors => result = base,
        }

        add_projected(&mut value, -1.0, s.values.field().links(), &s.staples, Some(&lambda));
        let pulled = rotated(&lambda, metric, s.values.field().links());
        self.staple_force(&s.attention, &pulled, &s.values, &mut value);

        let mut weights = self.staples.traces(&pulled, &s.values);
        field::update::<R, _>(&TangentSlope { scores: &s.scores, n: N }, self.per_site(u), &mut weights);
        if self.form != Form::Symmetric {
            field::for_each::<R, _, _>(&Pairs { gather: true }, self.per_site(u), &mut weights);
        }

        let (mut query, mut key) = (u.zero(), u.zero());
        add_projected(&mut query, -1.0 / metric, s.query.links(), &self.staples.weighted(&weights, &s.keys), None);
        self.staple_force(&weights, s.query.links(), &s.keys, &mut key);

        let mut own = u.zero();
        add_projected(&mut own, -1.0 / metric, u.links(), &self.staples.weighted(&weights, &s.own), None);
        self.staple_force(&weights, u.links(), &s.own, &mut own);

        result.axpy(-1.0, &own);
        for (k, force) in [query, key, value].iter().enumerate() {
            let part = gradient.as_deref_mut().map(|g| &mut g[self.range(k)]);
            result.axpy(1.0, &self.map.pullback(self.own(rho, k), u, &Tape::new(()), force, part)?);
        }
        Ok(result)
    }
}

/// Staples ahead and behind, one after the other: the number of the first for both, or in reverse the sum in the first.
struct Pairs {
    gather: bool,
}

impl<R: Real> SiteKernel<R, R> for Pairs {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), _vector: usize, items: &mut [R]) -> R {
        for pair in items.chunks_exact_mut(2) {
            if self.gather {
                pair[0] += pair[1];
                pair[1] = R::zero();
            } else {
                pair[1] = pair[0];
            }
        }
        R::zero()
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
    field::update::<R, _>(&AddProjected { factor, links, staples, lambda }, ndim, &mut sum.elements);
}

/// factor Lambda U.
fn rotated<R: Real, const N: usize>(
    lambda: &LinkAlgebra<R, N>,
    factor: f64,
    links: &[Matrix<R, N>],
) -> Vec<Matrix<R, N>> {
    let mut product = links.to_vec();
    field::update::<R, _>(&Rotate { factor, lambda: &lambda.elements }, lambda.lattice.ndim(), &mut product);
    product
}

struct AddProjected<'a, R, const N: usize> {
    factor: f64,
    links: &'a [Matrix<R, N>],
    staples: &'a [Matrix<R, N>],
    lambda: Option<&'a [Algebra<R, N>]>,
}

impl<R: Real, const N: usize> ItemKernel<Algebra<R, N>> for AddProjected<'_, R, N> {
    #[inline(always)]
    fn at(&self, n: usize, sum: &mut Algebra<R, N>) {
        let mut product = self.links[n].mul(&self.staples[n]);
        if let Some(lambda) = self.lambda {
            product = product.mul(&lambda[n].to_matrix());
        }
        *sum = sum.add_scaled(R::splat(self.factor), &product.algebra_part());
    }
}

struct Rotate<'a, R, const N: usize> {
    factor: f64,
    lambda: &'a [Algebra<R, N>],
}

impl<R: Real, const N: usize> ItemKernel<Matrix<R, N>> for Rotate<'_, R, N> {
    #[inline(always)]
    fn at(&self, n: usize, link: &mut Matrix<R, N>) {
        *link = self.lambda[n].scale(R::splat(self.factor)).to_matrix().mul(link);
    }
}

struct AddPart<'a, R, const N: usize> {
    factor: f64,
    matrices: &'a [Matrix<R, N>],
}

impl<R: Real, const N: usize> ItemKernel<Algebra<R, N>> for AddPart<'_, R, N> {
    #[inline(always)]
    fn at(&self, n: usize, sum: &mut Algebra<R, N>) {
        *sum = sum.add_scaled(R::splat(self.factor), &self.matrices[n].algebra_part());
    }
}

struct Subtract<'a, R>(&'a [R]);

impl<R: Real> ItemKernel<R> for Subtract<'_, R> {
    #[inline(always)]
    fn at(&self, n: usize, value: &mut R) {
        *value -= self.0[n];
    }
}

fn frequency(n: usize) -> f64 {
    std::f64::consts::FRAC_PI_4 / (n as f64 + MARGIN)
}

/// x -> f(x).
struct Tangent(usize);

impl<R: Real> ItemKernel<R> for Tangent {
    #[inline(always)]
    fn at(&self, _n: usize, value: &mut R) {
        let (sin, cos) = (*value * R::splat(frequency(self.0))).sin_cos();
        *value = sin / cos;
    }
}

/// g -> f'(x) g.
struct TangentSlope<'a, R> {
    scores: &'a [R],
    n: usize,
}

impl<R: Real> ItemKernel<R> for TangentSlope<'_, R> {
    #[inline(always)]
    fn at(&self, n: usize, value: &mut R) {
        let frequency = R::splat(frequency(self.n));
        let (_, cos) = (self.scores[n] * frequency).sin_cos();
        *value = *value * frequency / (cos * cos);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::LoopAction;
    use crate::concept::{force, value};
    use crate::lattice::path;
    use crate::map::{displaced, stout::along_parameter};

    const RHO: [f64; 8] = [0.11, -0.04, 0.07, 0.05, -0.09, 0.03, 0.06, -0.05];
    const FORMS: [Form; 3] = [Form::Symmetric, Form::Score, Form::Authors];

    fn layer(lattice: &Arc<Lattice>, form: Form) -> AttentionLayer {
        let term =
            |name: &str| StoutTerm { loops: path::family(name, lattice.extents()).unwrap(), directions: u8::MAX };
        let terms = vec![term("plaquette"), term("polyakov_t")];
        AttentionLayer::new(lattice, terms, 3, form).unwrap()
    }

    fn coefficients(layer: &AttentionLayer) -> &'static [f64] {
        &RHO[..Map::<GaugeField<f64, 2>>::n_parameters(layer)]
    }

    #[test]
    fn parameter_gradient_is_the_derivative() {
        fn law<const N: usize>(extents: &[usize], form: Form) {
            let lattice = Lattice::new(extents, 1).unwrap();
            let u = GaugeField::<f64, N>::hot(lattice.clone(), 7);
            let (layer, wilson) =
                (layer(&lattice, form), LoopAction::new(&lattice, path::family("plaquette", extents).unwrap()));
            let rho = coefficients(&layer);
            let (image, tape) = layer.record(rho, &u).unwrap();
            let top = force(&wilson, &image).unwrap();
            let mut gradient = [0.0; 8];
            layer.pullback(rho, &u, &tape, &top, Some(&mut gradient[..rho.len()])).unwrap();
            let still = displaced(&u, &u.zero());
            for (k, predicted) in gradient.iter().enumerate().take(rho.len()) {
                let mut mapped = layer.mapped(rho, &still).unwrap();
                let part = (0..3).find(|&part| layer.range(part).contains(&k));
                let image = match part {
                    Some(part) => {
                        let own = k - layer.range(part).start;
                        mapped[part] = along_parameter(&layer.map, layer.own(rho, part), &u, own);
                        layer.run(rho, &still, mapped).0
                    }
                    None => {
                        // exp(G) U = exp(G) W W^-1 U with W = U^A.
                        let (_, recorded) = layer.run(rho, &u, layer.mapped(rho, &u).unwrap());
                        let attended = recorded.output.unwrap().0;
                        let mut image = along_parameter(&layer.map, &rho[..layer.count], &attended, k);
                        let (attended, zero) = (displaced(&attended, &u.zero()), still.links());
                        for ((link, w), u) in image.links_mut().iter_mut().zip(attended.links()).zip(zero) {
                            *link = link.mul_adjoint(w).mul(u);
                        }
                        image
                    }
                };
                let slope = value(&wilson, &image).unwrap().eps;
                assert!(
                    (slope - predicted).abs() < 1e-10 * slope.abs().max(1.0),
                    "N={N} {form:?} {k}: {slope} {predicted}"
                );
            }
        }
        for form in FORMS {
            for extents in [&[4, 6][..], &[3, 4, 2], &[4, 2, 2, 2]] {
                law::<1>(extents, form);
                law::<2>(extents, form);
                law::<3>(extents, form);
            }
            law::<4>(&[4, 6], form);
        }
    }

    #[test]
    fn without_coefficients_it_is_the_identity() {
        let lattice = Lattice::new(&[4, 4, 4], 1).unwrap();
        let u = GaugeField::<f64, 3>::hot(lattice.clone(), 7);
        let off = |a: &GaugeField<f64, 3>, b: &GaugeField<f64, 3>| {
            let squares = a.links().iter().zip(b.links()).map(|(a, b)| a.add(&b.scale(-1.0)).norm2());
            squares.fold(0.0, f64::max)
        };
        for form in FORMS {
            let layer = layer(&lattice, form);
            let count = Map::<GaugeField<f64, 3>>::n_parameters(&layer);
            assert_eq!(off(&u, &layer.forward(&vec![0.0; count], &u).unwrap()), 0.0, "{form:?}");
        }
        // Without attention the third form is a stout layer with its first coefficients, and without those the identity.
        let authors = layer(&lattice, Form::Authors);
        let rho = [0.1, 0.05, 0.0, 0.0, 0.0, 0.0, 0.2, 0.3];
        let stout = authors.map.forward(&rho[..2], &u).unwrap();
        assert!(off(&stout, &authors.forward(&rho, &u).unwrap()) < 1e-26);
        assert_eq!(off(&u, &authors.forward(&[0.0, 0.0, 0.1, 0.2, 0.3, 0.1, 0.2, 0.3], &u).unwrap()), 0.0);
        assert!(AttentionLayer::new(&lattice, vec![], 9, Form::Symmetric).is_err());
    }

    /// Field of the second form by its formula on one link: scores of the staples ahead weigh both.
    #[test]
    fn scores_of_the_staples_ahead_weigh_both_senses() {
        let lattice = Lattice::new(&[4, 4], 1).unwrap();
        let u = GaugeField::<f64, 2>::hot(lattice.clone(), 7);
        let layer = layer(&lattice, Form::Score);
        let rho = coefficients(&layer);
        let (image, Recorded { scores, .. }) = layer.run(rho, &u, layer.mapped(rho, &u).unwrap());
        let weight = |b: usize| -> f64 {
            let trace =
                |first: &GaugeField<f64, 2>, lines: &Lines<f64, 2>| layer.staples.traces(first.links(), lines)[b];
            (frequency(2) * (trace(&scores.query, &scores.keys) - trace(&u, &scores.own))).tan()
        };
        let per_link = layer.staples.per_link();
        let mut weights = vec![0.0; scores.attention.len()];
        (0..per_link).for_each(|b| weights[b] = weight(b - b % 2));
        let sum = layer.staples.weighted(&weights, &scores.values)[0];
        let generator = scores.values.field().links()[0].mul(&sum).algebra_part().scale(-1.0);
        let mut expected = u.clone();
        let mut move_one = u.zero();
        move_one.elements[0] = generator;
        expected.drift(1.0, &mut move_one);
        assert!(expected.links()[0].add(&image.links()[0].scale(-1.0)).norm2() < 1e-26);
        assert!(weight(0) != weight(1) && scores.attention[0] == scores.attention[1]);
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
        let layer = AttentionLayer::new(&lattice, terms, 2, Form::Symmetric).unwrap();
        let image = layer.forward(&rho, &u).unwrap();
        // Q moves the angle of the link by -2 rho sin; K = V = U; all four staples of the link are cold
        let query = angle - 2.0 * rho[0] * angle.sin();
        let score = query.cos() - angle.cos();
        let attention = (frequency(1) * score).tan();
        let expected = angle - 4.0 * attention * angle.sin();
        let got = image.links()[0].0[0][0];
        assert!((got.im.atan2(got.re) - expected).abs() < 1e-14);
    }
}
