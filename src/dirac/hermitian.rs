//! Hermitian operators made of a Dirac operator, whose spectra are asked for.

use super::hopping::Onto;
use super::stencil::{Quark, Whole};
use crate::concept::LinearOperator;
use crate::field::{self, ItemKernel, Space, Vector};
use crate::lattice::Sites;
use crate::matrix::Complex;
use crate::number::Real;
use std::sync::{Mutex, PoisonError};

/// Changes the sign of the lower half of the components.
struct GammaFive<'a>(&'a Space);

impl<R: Real> ItemKernel<Complex<R>> for GammaFive<'_> {
    #[inline(always)]
    fn at(&self, n: usize, z: &mut Complex<R>) {
        if 2 * (n % self.0.components) >= self.0.components {
            *z = -*z;
        }
    }
}

/// gamma_5 D, which is Hermitian without a twisted mass.
pub struct Hermitian<'a, R>(pub &'a dyn Quark<R>);

impl<R: Real> LinearOperator<R> for Hermitian<'_, R> {
    fn space(&self) -> &Space {
        self.0.space()
    }
    fn apply(&self, x: &Vector<R>, out: &mut Vector<R>) {
        Whole(self.0).apply(x, out);
        let space = out.space.clone();
        field::update::<R, _>(&GammaFive(&space), space.width(), &mut out.values);
    }
    fn apply_adjoint(&self, x: &Vector<R>, out: &mut Vector<R>) {
        self.apply(x, out);
    }
}

/// -H^2 of an anti-Hermitian hopping term on the even sites (of vectors that vanish on the others, where those share site vectors).
pub struct MinusSquare<'a, R> {
    quark: &'a dyn Quark<R>,
    space: Space,
    spare: Mutex<Option<Vector<R>>>,
}

impl<'a, R: Real> MinusSquare<'a, R> {
    /// Of the hopping term of staggered fermions.
    pub fn new(quark: &'a dyn Quark<R>) -> Self {
        let halves = quark.space().lattice.order().has_halves();
        let sites = if halves { Sites::Even } else { Sites::All };
        Self { quark, space: quark.space().on(sites), spare: Mutex::default() }
    }
}

impl<R: Real> LinearOperator<R> for MinusSquare<'_, R> {
    fn space(&self) -> &Space {
        &self.space
    }
    fn apply(&self, x: &Vector<R>, out: &mut Vector<R>) {
        let kept = self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut odd = kept.unwrap_or_else(|| Vector::zero(&self.space.on(self.space.sites.other())));
        self.quark.hop(x, Onto::Nothing, 1.0, false, &mut odd);
        self.quark.hop(&odd, Onto::Nothing, -1.0, false, out);
        *self.spare.lock().unwrap_or_else(PoisonError::into_inner) = Some(odd);
    }
    fn apply_adjoint(&self, x: &Vector<R>, out: &mut Vector<R>) {
        self.apply(x, out);
    }
    fn is_positive(&self) -> bool {
        true
    }
}
