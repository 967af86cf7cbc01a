//! A Dirac operator D = A + H of a hopping term H and a part A at the site, as a whole and in its even-odd form
//! A_ee - H_eo A_oo^-1 H_oe.

use super::hopping::{Hopping, Onto, Sums};
use crate::concept::LinearOperator;
use crate::error::Result;
use crate::field::{self, Pool, SiteKernel, Space, Vector};
use crate::gauge::LinkAlgebra;
use crate::lattice::Sites;
use crate::matrix::Complex;
use crate::number::Real;

/// The part of a Dirac operator at the site.
#[derive(Debug, Clone)]
pub enum Diagonal<R: Real> {
    /// A number.
    Constant(f64),
    /// mass + i mu gamma_5.
    Twisted(f64, f64),
    /// A block for each chirality.
    Blocks {
        /// `[position][chirality][row][column]`
        direct: Vec<Complex<R>>,
        /// Their inverses.
        inverse: Vec<Complex<R>>,
        /// ln |det| of those of the odd sites.
        log_det: R::Total,
    },
}

/// The operator on the links of one field.
#[derive(Debug, Clone)]
pub struct Stencil<R: Real, const N: usize, const S: usize> {
    space: Space,
    hoppings: Vec<Hopping<R, N, S>>,
    diagonal: Diagonal<R>,
}

/// A Dirac operator below group and spin.
pub trait Quark<R: Real>: Send + Sync {
    /// Vectors on all sites, one column.
    fn space(&self) -> &Space;
    /// `out = onto + scale H x`, or H^dagger; returns the sums.
    fn hop_summed(
        &self,
        x: &Vector<R>,
        onto: Onto<'_, R>,
        scale: f64,
        adjoint: bool,
        sums: Sums<'_, R>,
        out: &mut Vector<R>,
    ) -> Vec<R::Total>;
    /// `out = onto + scale H x`, or H^dagger.
    fn hop(&self, x: &Vector<R>, onto: Onto<'_, R>, scale: f64, adjoint: bool, out: &mut Vector<R>) {
        self.hop_summed(x, onto, scale, adjoint, Sums::Nothing, out);
    }
    /// A, if it is a number.
    fn constant(&self) -> Option<f64>;
    /// `out = A x`, A^dagger x or their inverses.
    fn diagonal(&self, x: &Vector<R>, adjoint: bool, inverse: bool, out: &mut Vector<R>);
    /// Inverse blocks of A and ln |det A_oo|, where A is no number.
    fn clover(&self) -> Option<(&[Complex<R>], R::Total)>;
    /// Whether H^dagger = -H and A is real, as for staggered fermions.
    fn is_staggered(&self) -> bool;
}

impl<R: Real, const N: usize, const S: usize> Stencil<R, N, S> {
    /// From its parts.
    pub fn new(space: Space, hoppings: Vec<Hopping<R, N, S>>, diagonal: Diagonal<R>) -> Self {
        Self { space, hoppings, diagonal }
    }
    /// The part at the site.
    pub fn at_site(&self) -> &Diagonal<R> {
        &self.diagonal
    }
    /// `out += weight F` with F the force of Re <left, H right>.
    pub fn add_force(&self, left: &Vector<R>, right: &Vector<R>, weight: f64, out: &mut LinkAlgebra<R, N>) {
        self.hoppings.iter().for_each(|hopping| hopping.add_force(left, right, weight, out));
    }
}

impl<R: Real, const N: usize, const S: usize> Quark<R> for Stencil<R, N, S> {
    fn space(&self) -> &Space {
        &self.space
    }
    fn hop_summed(
        &self,
        x: &Vector<R>,
        onto: Onto<'_, R>,
        scale: f64,
        adjoint: bool,
        sums: Sums<'_, R>,
        out: &mut Vector<R>,
    ) -> Vec<R::Total> {
        let mut totals = Vec::new();
        for (n, hopping) in self.hoppings.iter().enumerate() {
            let onto = if n == 0 { onto } else { Onto::Output(1.0) };
            let sums = if n + 1 == self.hoppings.len() { sums } else { Sums::Nothing };
            totals = hopping.apply(x, onto, scale, adjoint, sums, out);
        }
        totals
    }
    fn constant(&self) -> Option<f64> {
        match self.diagonal {
            Diagonal::Constant(c) => Some(c),
            _ => None,
        }
    }
    fn diagonal(&self, x: &Vector<R>, adjoint: bool, inverse: bool, out: &mut Vector<R>) {
        let factors = |a: f64, b: f64| {
            let b = if adjoint { -b } else { b };
            let (re, im) = if inverse { (a / (a * a + b * b), -b / (a * a + b * b)) } else { (a, b) };
            [Complex::new(R::splat(re), R::splat(im)), Complex::new(R::splat(re), R::splat(-im))]
        };
        let size = if S == 1 { N } else { N * S / 2 };
        let (factors, blocks) = match &self.diagonal {
            Diagonal::Constant(a) => (factors(*a, 0.0), None),
            Diagonal::Twisted(a, b) => (factors(*a, *b), None),
            Diagonal::Blocks { direct, inverse: inverted, .. } => {
                (factors(1.0, 0.0), Some(if inverse { inverted } else { direct }))
            }
        };
        let kernel = AtSite {
            factors,
            blocks: blocks.map(Vec::as_slice),
            first: x.space.range().0,
            x: &x.values,
            size,
            adjoint,
        };
        field::for_each::<R, _, _>(&kernel, x.space.width(), &mut out.values);
    }
    fn clover(&self) -> Option<(&[Complex<R>], R::Total)> {
        match &self.diagonal {
            Diagonal::Blocks { inverse, log_det, .. } => Some((inverse, *log_det)),
            _ => None,
        }
    }
    fn is_staggered(&self) -> bool {
        S == 1
    }
}

/// An operator on the links of one field.
pub trait LinkQuark<R: Real, const N: usize>: Quark<R> {
    /// `out += weight F` with F the force of Re <left, D right>.
    fn add_force(&self, left: &Vector<R>, right: &Vector<R>, weight: f64, out: &mut LinkAlgebra<R, N>);
}

impl<R: Real, const N: usize, const S: usize> LinkQuark<R, N> for Stencil<R, N, S> {
    fn add_force(&self, left: &Vector<R>, right: &Vector<R>, weight: f64, out: &mut LinkAlgebra<R, N>) {
        // Single precision is for solves: no force is compiled for it.
        if const { R::EPSILON < 1e-12 } {
            Stencil::add_force(self, left, right, weight, out);
        }
    }
}

struct AtSite<'a, R> {
    factors: [Complex<R>; 2],
    blocks: Option<&'a [Complex<R>]>,
    first: usize,
    x: &'a [Complex<R>],
    /// Components of one chirality.
    size: usize,
    adjoint: bool,
}

impl<R: Real> SiteKernel<R, Complex<R>> for AtSite<'_, R> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, out: &mut [Complex<R>]) -> R {
        let x = &self.x[vector * out.len()..(vector + 1) * out.len()];
        let size = self.size;
        for (part, (out, x)) in out.chunks_exact_mut(size).zip(x.chunks_exact(size)).enumerate() {
            let Some(blocks) = self.blocks else {
                let factor = self.factors[part % 2];
                out.iter_mut().zip(x).for_each(|(out, &x)| *out = factor * x);
                continue;
            };
            let block = &blocks[((self.first + vector) * 2 + part % 2) * size * size..][..size * size];
            for (i, out) in out.iter_mut().enumerate() {
                let mut sum = Complex::zero();
                for (j, &x) in x.iter().enumerate() {
                    sum = match self.adjoint {
                        true => sum.fma_conj(block[j * size + i], x),
                        false => sum.fma(block[i * size + j], x),
                    };
                }
                *out = sum;
            }
        }
        R::zero()
    }
}

/// D on all sites.
pub struct Whole<'a, R>(pub &'a dyn Quark<R>);

impl<R: Real> Whole<'_, R> {
    fn run(&self, x: &Vector<R>, adjoint: bool, sums: Sums<'_, R>, out: &mut Vector<R>) -> Vec<R::Total> {
        if let Some(c) = self.0.constant() {
            return self.0.hop_summed(x, Onto::Vector(c, x), 1.0, adjoint, sums, out);
        }
        self.0.diagonal(x, adjoint, false, out);
        self.0.hop_summed(x, Onto::Output(1.0), 1.0, adjoint, sums, out)
    }
}

impl<R: Real> LinearOperator<R> for Whole<'_, R> {
    fn space(&self) -> &Space {
        self.0.space()
    }
    fn apply(&self, x: &Vector<R>, out: &mut Vector<R>) {
        self.run(x, false, Sums::Nothing, out);
    }
    fn apply_adjoint(&self, x: &Vector<R>, out: &mut Vector<R>) {
        self.run(x, true, Sums::Nothing, out);
    }
    fn apply_and_inner(&self, x: &Vector<R>, out: &mut Vector<R>) -> Vec<R::Total> {
        self.run(x, false, Sums::With(x), out)
    }
    fn apply_and_norms(&self, x: &Vector<R>, out: &mut Vector<R>) -> Vec<R::Total> {
        self.run(x, false, Sums::Norms, out)
    }
}

/// A_ee - H_eo A_oo^-1 H_oe on the even sites.
pub struct EvenOdd<'a, R> {
    quark: &'a dyn Quark<R>,
    space: Space,
    spare: Pool<R>,
}

impl<'a, R: Real> EvenOdd<'a, R> {
    /// An error where even and odd sites share site vectors.
    pub fn new(quark: &'a dyn Quark<R>) -> Result<Self> {
        quark.space().lattice.order().range(Sites::Even)?;
        Ok(Self { quark, space: quark.space().on(Sites::Even), spare: Pool::default() })
    }

    /// Runs `work` with a vector on the odd sites whose content is of no interest.
    fn with_spare<T>(&self, like: &Space, work: impl FnOnce(&mut Vector<R>) -> T) -> T {
        self.spare.with(&like.on(Sites::Odd), work)
    }

    /// `odd = scale A_oo^-1 H_oe even`, or of the adjoints.
    fn cross(&self, even: &Vector<R>, scale: f64, adjoint: bool, odd: &mut Vector<R>) {
        if let Some(c) = self.quark.constant() {
            return self.quark.hop(even, Onto::Nothing, scale / c, adjoint, odd);
        }
        self.with_spare(&even.space, |spare| {
            self.quark.hop(even, Onto::Nothing, scale, adjoint, spare);
            self.quark.diagonal(spare, adjoint, true, odd);
        });
    }

    fn run(&self, x: &Vector<R>, adjoint: bool, sums: Sums<'_, R>, out: &mut Vector<R>) -> Vec<R::Total> {
        self.with_spare(&x.space, |odd| {
            self.cross(x, 1.0, adjoint, odd);
            match self.quark.constant() {
                Some(c) => self.quark.hop_summed(odd, Onto::Vector(c, x), -1.0, adjoint, sums, out),
                None => {
                    self.quark.diagonal(x, adjoint, false, out);
                    self.quark.hop_summed(odd, Onto::Output(1.0), -1.0, adjoint, sums, out)
                }
            }
        })
    }

    /// b_e - H_eo A_oo^-1 b_o.
    pub fn reduce(&self, b: &Vector<R>) -> Vector<R> {
        let (mut even, odd) = (b.part(Sites::Even), b.part(Sites::Odd));
        self.with_spare(&b.space, |spare| {
            self.quark.diagonal(&odd, false, true, spare);
            self.quark.hop(spare, Onto::Output(1.0), -1.0, false, &mut even);
        });
        even
    }

    /// The solution on all sites from the one on the even sites: x_o = A_oo^-1 (b_o - H_oe x_e).
    pub fn complete(&self, even: &Vector<R>, b: &Vector<R>) -> Vector<R> {
        let mut odd = b.part(Sites::Odd);
        self.quark.hop(even, Onto::Output(1.0), -1.0, false, &mut odd);
        let mut whole = Vector::zero(&b.space);
        self.with_spare(&b.space, |spare| {
            self.quark.diagonal(&odd, false, true, spare);
            spare.put_into(&mut whole);
        });
        even.put_into(&mut whole);
        whole
    }

    /// The vector on all sites with (x_e, -A_oo^-1 H_oe x_e), or of the adjoints: d<left, D_hat right> = <left, dD right> of these.
    pub fn extend(&self, even: &Vector<R>, adjoint: bool) -> Vector<R> {
        let mut whole = Vector::zero(&even.space.on(Sites::All));
        let mut odd = Vector::zero(&even.space.on(Sites::Odd));
        self.cross(even, -1.0, adjoint, &mut odd);
        even.put_into(&mut whole);
        odd.put_into(&mut whole);
        whole
    }
}

impl<R: Real> LinearOperator<R> for EvenOdd<'_, R> {
    fn space(&self) -> &Space {
        &self.space
    }
    fn apply(&self, x: &Vector<R>, out: &mut Vector<R>) {
        self.run(x, false, Sums::Nothing, out);
    }
    fn apply_adjoint(&self, x: &Vector<R>, out: &mut Vector<R>) {
        self.run(x, true, Sums::Nothing, out);
    }
    fn apply_and_inner(&self, x: &Vector<R>, out: &mut Vector<R>) -> Vec<R::Total> {
        self.run(x, false, Sums::With(x), out)
    }
    fn apply_and_norms(&self, x: &Vector<R>, out: &mut Vector<R>) -> Vec<R::Total> {
        self.run(x, false, Sums::Norms, out)
    }
    fn is_positive(&self) -> bool {
        // m - H_eo H_oe / m with H anti-Hermitian.
        self.quark.is_staggered() && self.quark.constant().is_some_and(|m| m > 0.0)
    }
}
