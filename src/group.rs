//! The gauge groups: `N = 1` is U(1), `N > 1` is SU(N). Exponential and its derivative, Haar measure, projections, SU(2) subgroups.

use crate::matrix::{Algebra, Complex, Matrix};
use crate::number::Dual;
use crate::number::{LaneMask, Real, Work};
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

mod projection;

pub use projection::{project, pull_projection};

/// Largest N.
pub const MAX_COLORS: usize = 8;

/// `"U(1)"`, `"SU(2)"`, ...
pub fn name(n_colors: usize) -> String {
    if n_colors == 1 { "U(1)".into() } else { format!("SU({n_colors})") }
}

/// Taylor order n and halvings s such that |A/2^s|^(n+1)/(n+1)! is below rounding; one choice for all lanes.
#[inline(always)]
fn taylor_plan<R: Real>(norm2: R) -> (usize, usize) {
    let norm = norm2.max_lane().sqrt();
    let (mut scaled, mut halvings) = (norm, 0);
    while scaled > 1.0 && halvings < 60 {
        scaled *= 0.5;
        halvings += 1;
    }
    let (mut order, mut term) = (1, scaled);
    while term > 0.1 * R::EPSILON && order < 20 {
        order += 1;
        term *= scaled / order as f64;
    }
    (order, halvings)
}

fn inverse_factorials() -> [f64; 21] {
    const TABLE: [f64; 21] = {
        let (mut c, mut k) = ([1.0; 21], 1);
        while k < 21 {
            c[k] = c[k - 1] / k as f64;
            k += 1;
        }
        c
    };
    TABLE
}

/// exp(A) of a Lie algebra element, to rounding for any norm, without branches that depend on a lane.
///
/// U(1) by sine and cosine; SU(2) and SU(3) by the Taylor series in the ring of polynomials modulo the characteristic
/// polynomial (Cayley-Hamilton) with scaling and squaring in that ring, regular at degenerate eigenvalues;
/// larger N by scaling and squaring of matrices.
#[inline(always)]
pub fn exp<R: Real, const N: usize>(a: &Algebra<R, N>) -> Matrix<R, N> {
    if Matrix::<R, N>::CALLED && R::DUAL { R::vectorize(Exponential(a)) } else { exp_here(a) }
}

/// [`exp`] as a function of its own: kernels of derivatives are smaller by it, and it takes far longer than its call.
struct Exponential<'a, R, const N: usize>(&'a Algebra<R, N>);

impl<R: Real, const N: usize> Work for Exponential<'_, R, N> {
    type Output = Matrix<R, N>;
    #[inline(always)]
    fn run(self) -> Matrix<R, N> {
        exp_here(self.0)
    }
}

#[inline(always)]
fn exp_here<R: Real, const N: usize>(a: &Algebra<R, N>) -> Matrix<R, N> {
    if N == 1 {
        let (sin, cos) = a.0[0][0].sin_cos();
        Matrix::from_fn(|_, _| Complex::new(cos, sin))
    } else if N == 2 {
        exp_su2(a)
    } else if N == 3 {
        exp_su3(a)
    } else {
        exp_taylor(a)
    }
}

/// A^2 = -theta^2: exp A = c + s A.
#[inline(always)]
fn exp_su2<R: Real, const N: usize>(a: &Algebra<R, N>) -> Matrix<R, N> {
    let theta2 = a.inner(a) * R::splat(0.25);
    let (order, halvings) = taylor_plan(theta2);
    let scale = 0.5f64.powi(halvings as i32);
    let theta2 = theta2 * R::splat(scale * scale);
    let factorial = inverse_factorials();
    let (mut c, mut s) = (R::splat(factorial[order]), R::zero());
    for k in (0..order).rev() {
        (c, s) = (theta2.neg_mul_add(s, R::splat(factorial[k])), c);
    }
    for _ in 0..halvings {
        (c, s) = (c * c - theta2 * s * s, (c + c) * s);
    }
    let mut m = a.scale(s * R::splat(scale)).to_matrix();
    for i in 0..N {
        m.0[i][i].re = c;
    }
    m
}

/// i d z; a function, since closures cannot be told to be inlined into vector code.
#[inline(always)]
fn times_i<R: Real>(z: Complex<R>, d: R) -> Complex<R> {
    Complex::new(-(z.im * d), z.re * d)
}

/// A^3 = t A + i d: exp A = q0 + q1 A + q2 A^2.
#[inline(always)]
fn exp_su3<R: Real, const N: usize>(a: &Algebra<R, N>) -> Matrix<R, N> {
    let m = a.to_matrix();
    let square = hermitian_square(&m);
    let t = a.inner(a) * R::splat(-0.25);
    let d = imaginary_trace_of_cube(a, &square) * R::splat(1.0 / 3.0);
    let (order, halvings) = taylor_plan(t * R::splat(-2.0));
    let scale = 0.5f64.powi(halvings as i32);
    let (ts, ds) = (t * R::splat(scale * scale), d * R::splat(scale * scale * scale));
    let factorial = inverse_factorials();
    let mut q = [Complex::real(R::splat(factorial[order])), Complex::zero(), Complex::zero()];
    for k in (0..order).rev() {
        let constant = times_i(q[2], ds) + Complex::real(R::splat(factorial[k]));
        q = [constant, q[0] + q[2].scale(ts), q[1]];
    }
    for _ in 0..halvings {
        let (q01, q12) = (q[0] * q[1], q[1] * q[2]);
        let (r3, r4) = (q12 + q12, q[2] * q[2]);
        let q02 = q[0] * q[2];
        q = [
            q[0] * q[0] + times_i(r3, ds),
            q01 + q01 + r3.scale(ts) + times_i(r4, ds),
            q[1] * q[1] + q02 + q02 + r4.scale(ts),
        ];
    }
    let (q1, q2) = (q[1].scale(R::splat(scale)), q[2].scale(R::splat(scale * scale)));
    let mut e = Matrix::zero();
    for i in 0..N {
        for j in 0..N {
            let start = if i == j { q[0] } else { Complex::zero() };
            e.0[i][j] = start.fma(q1, m.0[i][j]).fma(q2, square.0[i][j]);
        }
    }
    e
}

/// A^2 of an anti-Hermitian matrix, which is Hermitian: the upper triangle determines it.
#[inline(always)]
fn hermitian_square<R: Real, const N: usize>(m: &Matrix<R, N>) -> Matrix<R, N> {
    let mut square = Matrix::zero();
    for i in 0..N {
        let mut diagonal = R::zero();
        for k in 0..N {
            diagonal -= m.0[i][k].norm2();
        }
        square.0[i][i] = Complex::real(diagonal);
        for j in i + 1..N {
            let mut s = Complex::zero();
            for k in 0..N {
                s = s.fma(m.0[i][k], m.0[k][j]);
            }
            square.0[i][j] = s;
            square.0[j][i] = s.conj();
        }
    }
    square
}

/// Im tr A^3 from A and A^2.
#[inline(always)]
fn imaginary_trace_of_cube<R: Real, const N: usize>(a: &Algebra<R, N>, square: &Matrix<R, N>) -> R {
    let mut sum = R::zero();
    for i in 0..N {
        sum = a.0[i][i].mul_add(square.0[i][i].re, sum);
        for j in i + 1..N {
            let cross = a.0[i][j].neg_mul_add(square.0[i][j].im, a.0[j][i] * square.0[i][j].re);
            sum += cross + cross;
        }
    }
    sum
}

#[inline(always)]
fn exp_taylor<R: Real, const N: usize>(a: &Algebra<R, N>) -> Matrix<R, N> {
    let (order, halvings) = taylor_plan(a.inner(a) * R::splat(0.5));
    let scaled = a.scale(R::splat(0.5f64.powi(halvings as i32))).to_matrix();
    let factorial = inverse_factorials();
    let mut e = Matrix::one().scale(R::splat(factorial[order]));
    for k in (0..order).rev() {
        e = scaled.mul(&e);
        for i in 0..N {
            e.0[i][i].re += R::splat(factorial[k]);
        }
    }
    for _ in 0..halvings {
        e = e.mul(&e);
    }
    e
}

/// exp(A) and J(A) E = (d/ds exp(A + s E)) exp(-A), the differential in the Lie algebra; its adjoint is J(-A).
#[inline(always)]
pub fn exp_differential<R: Real, const N: usize>(
    a: &Algebra<R, N>,
    e: &Algebra<R, N>,
) -> (Matrix<R, N>, Algebra<R, N>) {
    let mut dual = Algebra::<Dual<R>, N>::zero();
    for i in 0..N {
        for j in 0..N {
            dual.0[i][j] = Dual::new(a.0[i][j], e.0[i][j]);
        }
    }
    let exponential = if R::DUAL { exp(&dual) } else { exp_here(&dual) };
    let value = Matrix::from_fn(|i, j| Complex::new(exponential.0[i][j].re.re, exponential.0[i][j].im.re));
    let slope = Matrix::from_fn(|i, j| Complex::new(exponential.0[i][j].re.eps, exponential.0[i][j].im.eps));
    (value, slope.mul_adjoint(&value).algebra_part())
}

/// Brings a matrix that is unitary up to rounding back to the group: two Newton-Schulz steps, then the phase of the determinant.
#[inline(always)]
pub fn reunitarize<R: Real, const N: usize>(u: &Matrix<R, N>) -> Matrix<R, N> {
    let mut m = *u;
    for _ in 0..2 {
        let mut correction = m.adjoint_mul(&m).scale(R::splat(-0.5));
        for i in 0..N {
            correction.0[i][i].re += R::splat(1.5);
        }
        m = m.mul(&correction);
    }
    if N == 1 { m } else { remove_small_phase(&m) }
}

#[inline(always)]
fn remove_small_phase<R: Real, const N: usize>(m: &Matrix<R, N>) -> Matrix<R, N> {
    let phase = m.determinant().im * R::splat(-1.0 / N as f64);
    let cosine = phase.neg_mul_add(phase * R::splat(0.5), R::one());
    m.scale_complex(Complex::new(cosine, phase))
}

/// max |U^dagger U - 1| and |det U - 1| in each lane; NaN stays NaN.
#[inline(always)]
pub fn unitarity_violation<R: Real, const N: usize>(u: &Matrix<R, N>) -> R {
    let mut distance = u.adjoint_mul(u);
    let (mut worst, mut poison) = (R::zero(), R::zero());
    for i in 0..N {
        distance.0[i][i].re -= R::one();
        for j in 0..N {
            let d = distance.0[i][j].norm2();
            (worst, poison) = (worst.blend(d, worst.less(d)), poison + d * R::zero());
        }
    }
    if N > 1 {
        let d = (u.determinant() - Complex::real(R::one())).norm2();
        (worst, poison) = (worst.blend(d, worst.less(d)), poison + d * R::zero());
    }
    (worst + poison).sqrt()
}

/// A Haar-distributed element: Gram-Schmidt of a complex Gaussian matrix, the determinant divided out of the first row.
pub fn haar<const N: usize>(rng: &mut impl Rng) -> Matrix<f64, N> {
    let mut m = Matrix::<f64, N>::from_fn(|_, _| Complex::new(rng.sample(StandardNormal), rng.sample(StandardNormal)));
    for i in 0..N {
        for k in 0..i {
            let mut overlap = Complex::zero();
            for j in 0..N {
                overlap = overlap.fma_conj(m.0[k][j], m.0[i][j]);
            }
            for j in 0..N {
                m.0[i][j] = m.0[i][j] - overlap * m.0[k][j];
            }
        }
        let norm = m.0[i].iter().map(|z| z.norm2()).sum::<f64>().sqrt();
        m.0[i] = m.0[i].map(|z| z.scale(1.0 / norm));
    }
    if N > 1 {
        let phase = m.determinant().conj();
        m.0[0] = m.0[0].map(|z| z * phase);
    }
    m
}

/// The SU(2) subgroup acting on rows and columns i < j.
#[derive(Debug, Clone, Copy)]
pub struct Subgroup {
    /// First index.
    pub i: usize,
    /// Second index.
    pub j: usize,
}

/// All N(N-1)/2 SU(2) subgroups.
pub fn subgroups(n_colors: usize) -> impl Iterator<Item = Subgroup> {
    (0..n_colors).flat_map(move |i| (i + 1..n_colors).map(move |j| Subgroup { i, j }))
}

/// A real quaternion a0 + i a.sigma.
pub type Quaternion<R> = [R; 4];

impl Subgroup {
    /// The quaternion q with Re tr(g w) = 2 g.q for every g in the subgroup embedded in the unit matrix, up to a constant:
    /// the projection of the 2 x 2 block on SU(2) directions, conjugated.
    #[inline(always)]
    pub fn staple<R: Real, const N: usize>(self, w: &Matrix<R, N>) -> Quaternion<R> {
        let half = R::splat(0.5);
        let (a, b, c, d) = (w.0[self.i][self.i], w.0[self.i][self.j], w.0[self.j][self.i], w.0[self.j][self.j]);
        [(a.re + d.re) * half, -(b.im + c.im) * half, (c.re - b.re) * half, -(a.im - d.im) * half]
    }

    /// `g W` with g in the subgroup.
    #[inline(always)]
    pub fn multiply_rows<R: Real, const N: usize>(self, g: &Quaternion<R>, w: &mut Matrix<R, N>, mask: LaneMask) {
        let diagonal = Complex::new(g[0], g[3]);
        let off = Complex::new(g[2], g[1]);
        for k in 0..N {
            let (top, bottom) = (w.0[self.i][k], w.0[self.j][k]);
            let new_top = (diagonal * top).fma(off, bottom);
            let new_bottom = (diagonal.conj() * bottom).fma(-off.conj(), top);
            w.0[self.i][k] = top.blend(new_top, mask);
            w.0[self.j][k] = bottom.blend(new_bottom, mask);
        }
    }
}
