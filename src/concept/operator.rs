//! Linear operators on flat vectors: what solvers know.

use crate::field::{Pool, Space, Vector};
use crate::number::Real;

/// A linear operator with its adjoint; vectors may have any number of columns.
pub trait LinearOperator<R: Real>: Send + Sync {
    /// Where its vectors live, with one column.
    fn space(&self) -> &Space;
    /// `out = A x`.
    fn apply(&self, x: &Vector<R>, out: &mut Vector<R>);
    /// `out = A^dagger x`.
    fn apply_adjoint(&self, x: &Vector<R>, out: &mut Vector<R>);
    /// `out = A x`, and Re <x, out> of every column, without another pass over memory where the operator knows how.
    fn apply_and_inner(&self, x: &Vector<R>, out: &mut Vector<R>) -> Vec<R::Total> {
        self.apply(x, out);
        x.real_inner_each(out)
    }
    /// `out = A x`, and |out|^2 of every column.
    fn apply_and_norms(&self, x: &Vector<R>, out: &mut Vector<R>) -> Vec<R::Total> {
        self.apply(x, out);
        out.norms()
    }
    /// Whether A is Hermitian and positive, so that conjugate gradients solve it as it is.
    fn is_positive(&self) -> bool {
        false
    }
}

/// A^dagger A.
pub struct Normal<'a, R> {
    operator: &'a dyn LinearOperator<R>,
    between: Pool<R>,
}

impl<'a, R: Real> Normal<'a, R> {
    /// Of an operator.
    pub fn new(operator: &'a dyn LinearOperator<R>) -> Self {
        Self { operator, between: Pool::default() }
    }
}

impl<R: Real> LinearOperator<R> for Normal<'_, R> {
    fn space(&self) -> &Space {
        self.operator.space()
    }
    fn apply(&self, x: &Vector<R>, out: &mut Vector<R>) {
        self.between.with(&x.space, |y| {
            self.operator.apply(x, y);
            self.operator.apply_adjoint(y, out);
        });
    }
    fn apply_adjoint(&self, x: &Vector<R>, out: &mut Vector<R>) {
        self.apply(x, out);
    }
    fn apply_and_inner(&self, x: &Vector<R>, out: &mut Vector<R>) -> Vec<R::Total> {
        // <x, A^dagger A x> = |A x|^2
        self.between.with(&x.space, |y| {
            let norms = self.operator.apply_and_norms(x, y);
            self.operator.apply_adjoint(y, out);
            norms
        })
    }
    fn is_positive(&self) -> bool {
        true
    }
}

/// |<y, A x> - <A^dagger y, x>| relative to |A x| |y|.
pub fn check_adjoint<R: Real>(operator: &dyn LinearOperator<R>, x: &Vector<R>, y: &Vector<R>) -> f64 {
    let (mut forward, mut backward) = (Vector::zero(operator.space()), Vector::zero(operator.space()));
    operator.apply(x, &mut forward);
    operator.apply_adjoint(y, &mut backward);
    let (a, b) = (y.inner(&forward), backward.inner(x));
    let difference = ((a.re.lane(0) - b.re.lane(0)).powi(2) + (a.im.lane(0) - b.im.lane(0)).powi(2)).sqrt();
    difference / (forward.inner(&forward).re.lane(0) * y.inner(y).re.lane(0)).sqrt().max(f64::MIN_POSITIVE)
}
