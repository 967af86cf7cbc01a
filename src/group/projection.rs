//! The projection of a matrix to the nearest group element, and its reverse pass.

use crate::matrix::{Algebra, Complex, Matrix};
use crate::number::{Real, Work};

/// Steps after the value of a quadratic iteration has converged: its derivatives follow one and two steps later.
const fn steps_of_derivatives<R: Real>() -> usize {
    if R::DUAL { 2 } else { 0 }
}

/// Unitary polar factor by Newton's iteration X <- (g X + X^{-dagger} / g)/2 with g^2 = |X^{-1}|/|X| (Higham, SIAM J. Sci. Stat.
/// Comput. 7 (1986) 1160), and |X^{-1}|^2: seven steps or fewer in double precision, each an inverse by cofactors.
#[inline(always)]
fn polar_newton<R: Real, const N: usize>(x: &Matrix<R, N>) -> (Matrix<R, N>, R) {
    let (mut w, mut size, mut left) = (*x, R::zero(), steps_of_derivatives::<R>());
    for k in 0..30 {
        let inverse = inverse_adjoint(&w);
        let norm2 = inverse.norm2();
        if k == 0 {
            size = norm2;
        }
        let scale = (norm2 / w.norm2()).sqrt().sqrt();
        let (a, b) = (scale * R::splat(0.5), R::splat(0.5) / scale);
        let next = w.scale(a).add(&inverse.scale(b));
        let change = next.add(&w.scale(R::splat(-1.0))).norm2();
        w = next;
        // Convergence is quadratic: the error left is the square of this change.
        if change.max_lane() < R::EPSILON {
            if left == 0 {
                break;
            }
            left -= 1;
        }
    }
    (w, size)
}

/// Cofactors and determinant, N up to 3.
#[inline(always)]
fn cofactors<R: Real, const N: usize>(x: &Matrix<R, N>) -> (Matrix<R, N>, Complex<R>) {
    let mut cofactors = Matrix::<R, N>::zero();
    for i in 0..N {
        for j in 0..N {
            cofactors.0[i][j] = match N {
                1 => Complex::real(R::one()),
                2 if i == j => x.0[1 - i][1 - j],
                2 => -x.0[1 - i][1 - j],
                _ => {
                    let (a, b, c, d) = ((i + 1) % N, (j + 1) % N, (i + 2) % N, (j + 2) % N);
                    x.0[a][b] * x.0[c][d] - x.0[a][d] * x.0[c][b]
                }
            };
        }
    }
    let mut determinant = Complex::zero();
    for j in 0..N {
        determinant = determinant.fma(x.0[0][j], cofactors.0[0][j]);
    }
    (cofactors, determinant)
}

/// X^{-dagger} = conj(cofactors / det), N up to 3.
#[inline(always)]
fn inverse_adjoint<R: Real, const N: usize>(x: &Matrix<R, N>) -> Matrix<R, N> {
    let (mut cofactors, determinant) = cofactors(x);
    let over = R::one() / determinant.norm2();
    for i in 0..N {
        for j in 0..N {
            // conj(c / d) = conj(c) d / |d|^2
            cofactors.0[i][j] = (cofactors.0[i][j].conj() * determinant).scale(over);
        }
    }
    cofactors
}

/// Unitary polar factor X (X^dagger X)^{-1/2} by the coupled Newton-Schulz iteration, which converges for every invertible X, and
/// |X^{-1}|^2.
#[inline(always)]
fn polar_schulz<R: Real, const N: usize>(x: &Matrix<R, N>) -> (Matrix<R, N>, R) {
    let (bound, mut left) = (x.norm2(), steps_of_derivatives::<R>());
    let mut y = x.adjoint_mul(x).scale(R::one() / bound);
    let mut z = Matrix::<R, N>::one();
    for _ in 0..100 {
        let mut t = z.mul(&y).scale(R::splat(-0.5));
        for i in 0..N {
            t.0[i][i].re += R::splat(1.5);
        }
        (y, z) = (y.mul(&t), t.mul(&z));
        let mut residual = t;
        for i in 0..N {
            residual.0[i][i].re -= R::one();
        }
        if residual.norm2().max_lane() < R::EPSILON * R::EPSILON {
            if left == 0 {
                break;
            }
            left -= 1;
        }
    }
    // z is as accurate as the condition of X^dagger X lets it be; one more step makes the factor unitary to rounding.
    let w = x.mul(&z).scale(R::one() / bound.sqrt());
    let mut t = w.adjoint_mul(&w).scale(R::splat(-0.5));
    for i in 0..N {
        t.0[i][i].re += R::splat(1.5);
    }
    (w.mul(&t), z.norm2() / bound)
}

/// z^{-1/N}/|z^{-1/N}|, the principal root.
#[inline(always)]
fn inverse_root<R: Real>(z: Complex<R>, n: usize) -> Complex<R> {
    let mut angle = R::from_lanes(|k| z.im.lane(k).atan2(z.re.lane(k)));
    if R::DUAL {
        // What is left of z turned back by the value of its angle is the derivative.
        let (sin, cos) = angle.sin_cos();
        let turned = z * Complex::new(cos, -sin);
        angle += turned.im / turned.re;
    }
    let (sin, cos) = (angle * R::splat(-1.0 / n as f64)).sin_cos();
    Complex::new(cos, sin)
}

/// Nearest group element: the unitary factor W of X = W H, divided by det(W)^{1/N} (principal root); for U(1) the phase. With
/// |X^{-1}|^2: rounding of X turns the result by |X^{-1}| times as much.
#[inline(always)]
pub fn project<R: Real, const N: usize>(x: &Matrix<R, N>) -> (Matrix<R, N>, R) {
    if Matrix::<R, N>::CALLED { R::vectorize(Projection(x)) } else { project_here(x) }
}

/// [`project`] as a function of its own.
struct Projection<'a, R, const N: usize>(&'a Matrix<R, N>);

impl<R: Real, const N: usize> Work for Projection<'_, R, N> {
    type Output = (Matrix<R, N>, R);
    #[inline(always)]
    fn run(self) -> (Matrix<R, N>, R) {
        project_here(self.0)
    }
}

#[inline(always)]
fn project_here<R: Real, const N: usize>(x: &Matrix<R, N>) -> (Matrix<R, N>, R) {
    let (w, size) = if N <= 3 { polar_newton(x) } else { polar_schulz(x) };
    if N == 1 { (w, size) } else { (w.scale_complex(inverse_root(w.determinant(), N)), size) }
}

/// The reverse pass of [`project`] at X with image V: C with Re tr(C dX) = <F, delta> for V -> exp(delta) V.
///
/// With W = V det(X)^{1/N}/|det(X)^{1/N}|, H = W^dagger X and Omega = W^dagger dW, Omega H + H Omega = W^dagger dX - dX^dagger W, and delta is
/// V Omega V^dagger without its trace. The operator Y -> H Y + Y H is its own adjoint: C = -2 METRIC Y W^dagger with
/// H Y + Y H = V^dagger F V.
#[inline(always)]
pub fn pull_projection<R: Real, const N: usize>(x: &Matrix<R, N>, v: &Matrix<R, N>, f: &Algebra<R, N>) -> Matrix<R, N> {
    if Matrix::<R, N>::CALLED { R::vectorize(Pull { x, v, f }) } else { pull_here(x, v, f) }
}

/// [`pull_projection`] as a function of its own.
struct Pull<'a, R, const N: usize> {
    x: &'a Matrix<R, N>,
    v: &'a Matrix<R, N>,
    f: &'a Algebra<R, N>,
}

impl<R: Real, const N: usize> Work for Pull<'_, R, N> {
    type Output = Matrix<R, N>;
    #[inline(always)]
    fn run(self) -> Matrix<R, N> {
        pull_here(self.x, self.v, self.f)
    }
}

#[inline(always)]
fn pull_here<R: Real, const N: usize>(x: &Matrix<R, N>, v: &Matrix<R, N>, f: &Algebra<R, N>) -> Matrix<R, N> {
    let mut w = *v;
    if N > 1 {
        let determinant = if N <= 3 { cofactors(x).1 } else { x.determinant() };
        w = v.scale_complex(inverse_root(determinant, N).conj());
    }
    let product = w.adjoint_mul(x);
    let h = product.add(&product.adjoint()).scale(R::splat(0.5));
    let y = anticommuted(&h, &v.adjoint_mul(&f.to_matrix()).mul(v));
    y.mul_adjoint(&w).scale(R::splat(-2.0 * Algebra::<R, N>::METRIC))
}

/// Y with H Y + Y H = G, H Hermitian and positive. As p(H) = 0 for the characteristic polynomial p, and p(A) - p(-B) = (A + B) q(A, B) for
/// the products from the left A and from the right B, Y = -q(A, B) G p(-H)^{-1}.
#[inline(always)]
fn anticommuted<R: Real, const N: usize>(h: &Matrix<R, N>, g: &Matrix<R, N>) -> Matrix<R, N> {
    let half = R::splat(0.5);
    if N == 1 {
        return g.scale(half / h.0[0][0].re);
    }
    if N > 3 {
        return anticommuted_schulz(h, g);
    }
    let t = h.trace().re;
    if N == 2 {
        // p(-H) = 2 t H, q = A - B - t
        let z = g.mul_adjoint(&inverse_adjoint(h)).scale(half / t);
        return z.scale(t).add(&z.mul(h)).add(&h.mul(&z).scale(-R::one()));
    }
    // p(-H) = -2 (t H^2 + d), q = A^2 - A B + B^2 - t (A - B) + s
    let square = h.mul(h);
    let s = (t * t - square.trace().re) * half;
    // Traces of p(H) = 0.
    let d = (square.trace_mul(h).re - t * square.trace().re + s * t) * R::splat(1.0 / 3.0);
    let mut p = square.scale(t + t);
    for i in 0..N {
        p.0[i][i].re += d + d;
    }
    let z = g.mul_adjoint(&inverse_adjoint(&p));
    let (left, right) = (h.mul(&z), z.mul(h));
    let mut y = z.scale(s);
    y.add_mul(h, &left.add(&right.scale(-R::one())).add(&z.scale(-t)));
    y.add_mul(&right.add(&z.scale(t)), h);
    y
}

/// The same by the Newton-Schulz iteration for the sign of [[H, G], [0, -H]], which is [[1, 2 Y], [0, -1]].
#[inline(always)]
fn anticommuted_schulz<R: Real, const N: usize>(h: &Matrix<R, N>, g: &Matrix<R, N>) -> Matrix<R, N> {
    let (scale, half) = (R::one() / h.norm2().sqrt(), R::splat(0.5));
    let (mut h, mut g, mut left) = (h.scale(scale), g.scale(scale), steps_of_derivatives::<R>());
    for _ in 0..100 {
        let mut t = h.mul(&h).scale(-R::one());
        for i in 0..N {
            t.0[i][i].re += R::one();
        }
        let residual = t.norm2();
        for i in 0..N {
            t.0[i][i].re += R::splat(2.0);
        }
        let commutator = h.mul(&g).add(&g.mul(&h).scale(-R::one()));
        g = g.mul(&t).add(&h.mul(&commutator).scale(-R::one())).scale(half);
        h = h.mul(&t).scale(half);
        if residual.max_lane() < R::EPSILON {
            if left == 0 {
                break;
            }
            left -= 1;
        }
    }
    g.scale(half)
}
