//! The bilinear convolution W_u -> sum_vw a_uvw L_v R_w, of which L-Conv, L-Bilin and the fused L-CB are special cases.
//!
//! With S_uv = sum_w a_uvw R_w and G_u the cotangent of the result: Lbar_v = sum_u G_u S_uv^dagger, Sbar_uv = L_v^dagger G_u,
//! da_uvw = Re tr(Sbar_uv^dagger R_w), Rbar_w = sum_uv a_uvw Sbar_uv; a cotangent of W^dagger is conjugated.

use super::wires::Lines;
use crate::field::{self, SiteKernel, SumKernel};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::matrix::Matrix;
use crate::number::Real;

/// Numbers and choices of one layer.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Longest line.
    pub length: usize,
    /// Lines in both orientations.
    pub both: bool,
    /// T holds W itself.
    pub centre: bool,
    /// R = (T, T^dagger, 1) instead of T; L = (W, W^dagger, 1) or 1 follows from `sides`.
    pub right: bool,
    /// Numbers of matrices in L and R.
    pub sides: (usize, usize),
}

impl Shape {
    fn terms(&self) -> usize {
        if self.right { (self.sides.1 - 1) / 2 } else { self.sides.1 }
    }

    fn lines<'a, R: Real, const N: usize>(&self, u: &'a GaugeField<R, N>, w: &[Matrix<R, N>]) -> Lines<'a, R, N> {
        Lines::new(u, w, self.inputs, self.length, self.both)
    }
}

/// The layer.
pub fn forward<R: Real, const N: usize>(
    shape: Shape,
    weights: &[R],
    u: &GaugeField<R, N>,
    w: &[Matrix<R, N>],
) -> Vec<Matrix<R, N>> {
    let lines = shape.lines(u, w);
    let mut result = field::zeros(u.lattice().vectors() * shape.outputs);
    field::for_each::<R, _, _>(&Forward { shape, weights, w, lines: &lines }, shape.outputs, &mut result);
    result
}

/// Cotangent of the result to that of W and the derivative with respect to the weights; adds to the cotangent of the links.
pub fn pull<R: Real, const N: usize>(
    shape: Shape,
    weights: &[R],
    u: &GaugeField<R, N>,
    w: &[Matrix<R, N>],
    cotangent: &[Matrix<R, N>],
    links: Option<&mut LinkAlgebra<R, N>>,
) -> (Vec<Matrix<R, N>>, Vec<R::Total>) {
    let lines = shape.lines(u, w);
    let per_site = shape.inputs + shape.terms();
    let mut cotangents = field::zeros(u.lattice().vectors() * per_site);
    let kernel = Reverse { shape, weights, w, lines: &lines, cotangent };
    let gradient = field::for_each_summed::<R, _, _>(&kernel, per_site, &mut cotangents, weights.len());
    (lines.pull(shape.centre, &cotangents, links), gradient)
}

struct Forward<'a, R, const N: usize> {
    shape: Shape,
    weights: &'a [R],
    w: &'a [Matrix<R, N>],
    lines: &'a Lines<'a, R, N>,
}

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for Forward<'_, R, N> {
    type Scratch = Vec<Matrix<R, N>>;
    fn scratch(&self) -> Self::Scratch {
        field::zeros(self.shape.terms())
    }
    #[inline(always)]
    fn at(&self, terms: &mut Self::Scratch, vector: usize, results: &mut [Matrix<R, N>]) -> R {
        let (c, (l, r)) = (self.shape.inputs, self.shape.sides);
        self.lines.gather(vector, self.shape.centre, terms);
        let w = &self.w[vector * c..(vector + 1) * c];
        for (u, result) in results.iter_mut().enumerate() {
            *result = Matrix::zero();
            for v in 0..l {
                let s = combination(&self.weights[(u * l + v) * r..][..r], terms, self.shape.right);
                match v {
                    _ if v + 1 == l => result.add_assign(&s),
                    _ if v < c => result.add_mul(&w[v], &s),
                    _ => result.add_adjoint_mul(&w[v - c], &s),
                }
            }
        }
        R::zero()
    }
}

/// sum_w a_w R_w.
#[inline(always)]
fn combination<R: Real, const N: usize>(a: &[R], terms: &[Matrix<R, N>], conjugates: bool) -> Matrix<R, N> {
    let (plain, rest) = a.split_at(terms.len());
    let mut sum = Matrix::zero();
    for (a, term) in plain.iter().zip(terms) {
        add_scaled(&mut sum, *a, term);
    }
    if conjugates {
        let mut conjugate = Matrix::zero();
        for (a, term) in rest.iter().zip(terms) {
            add_scaled(&mut conjugate, *a, term);
        }
        sum.add_assign(&conjugate.adjoint());
        for i in 0..N {
            sum.0[i][i].re += rest[terms.len()];
        }
    }
    sum
}

/// `sum += a m`.
#[inline(always)]
fn add_scaled<R: Real, const N: usize>(sum: &mut Matrix<R, N>, a: R, m: &Matrix<R, N>) {
    for i in 0..N {
        for j in 0..N {
            sum.0[i][j].re = a.mul_add(m.0[i][j].re, sum.0[i][j].re);
            sum.0[i][j].im = a.mul_add(m.0[i][j].im, sum.0[i][j].im);
        }
    }
}

/// Re tr(A^dagger B).
#[inline(always)]
pub fn inner<R: Real, const N: usize>(a: &Matrix<R, N>, b: &Matrix<R, N>) -> R {
    let mut sum = R::zero();
    for i in 0..N {
        for j in 0..N {
            sum = a.0[i][j].re.mul_add(b.0[i][j].re, sum);
            sum = a.0[i][j].im.mul_add(b.0[i][j].im, sum);
        }
    }
    sum
}

/// Items: cotangents of the W in L, then of the T.
struct Reverse<'a, R, const N: usize> {
    shape: Shape,
    weights: &'a [R],
    w: &'a [Matrix<R, N>],
    lines: &'a Lines<'a, R, N>,
    cotangent: &'a [Matrix<R, N>],
}

impl<R: Real, const N: usize> SumKernel<R, Matrix<R, N>> for Reverse<'_, R, N> {
    type Scratch = Vec<Matrix<R, N>>;
    fn scratch(&self) -> Self::Scratch {
        field::zeros(self.shape.terms())
    }
    #[inline(always)]
    fn at(&self, terms: &mut Self::Scratch, sums: &mut [R], vector: usize, items: &mut [Matrix<R, N>]) {
        let (c, (l, r)) = (self.shape.inputs, self.shape.sides);
        self.lines.gather(vector, self.shape.centre, terms);
        let (left, right) = items.split_at_mut(c);
        let w = &self.w[vector * c..(vector + 1) * c];
        for u in 0..self.shape.outputs {
            let above = &self.cotangent[vector * self.shape.outputs + u];
            for v in 0..l {
                let row = (u * l + v) * r..(u * l + v + 1) * r;
                let a = &self.weights[row.clone()];
                let mut sbar = *above;
                if v + 1 < l {
                    let s = combination(a, terms, self.shape.right);
                    if v < c {
                        left[v].add_assign(&above.mul_adjoint(&s));
                        sbar = w[v].adjoint_mul(above);
                    } else {
                        left[v - c].add_assign(&s.mul_adjoint(above));
                        sbar = w[v - c].mul(above);
                    }
                }
                pull_combination(a, terms, self.shape.right, &sbar, right, &mut sums[row]);
            }
        }
    }
}

/// The reverse of [`combination`].
#[inline(always)]
fn pull_combination<R: Real, const N: usize>(
    a: &[R],
    terms: &[Matrix<R, N>],
    conjugates: bool,
    cotangent: &Matrix<R, N>,
    below: &mut [Matrix<R, N>],
    sums: &mut [R],
) {
    let (plain, rest) = a.split_at(terms.len());
    let (sums, more) = sums.split_at_mut(terms.len());
    for w in 0..terms.len() {
        sums[w] += inner(cotangent, &terms[w]);
        add_scaled(&mut below[w], plain[w], cotangent);
    }
    if conjugates {
        let conjugate = cotangent.adjoint();
        for w in 0..terms.len() {
            more[w] += inner(&conjugate, &terms[w]);
            add_scaled(&mut below[w], rest[w], &conjugate);
        }
        more[terms.len()] += cotangent.trace().re;
    }
}
