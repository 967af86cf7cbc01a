//! ln det of U -> exp(A) U for one link, A = -TA(M), M = U V with V independent of U, and its derivative with respect to M.
//!
//! In the adjoint the Jacobian is Ad(e^A) + J(A) D, D delta = -TA(delta M). With X = ad A, Y = X^2 and the Hermitian part H of M,
//! D + X/2 = -Gamma is symmetric, Gamma delta = {H, delta}/2, and multiplication by exp(-X/2) leaves
//!   ln det = ln det S + ln det T,   S = sinh(X/2)/(X/2),   T = g(Y) - Gamma,   g(Y) = (X/2) coth(X/2) = 1 + Y h(Y),
//! both symmetric. h is a power series reduced by the characteristic polynomial of Y, d ln det S = tr(h dY)/2. No determinant
//! of anything larger than N^2 - 1. U(1): ln(1 - Re M).

use crate::matrix::{Algebra, Complex, Matrix};
use crate::number::{Dual, Real};
use std::sync::LazyLock;

/// Largest N.
pub const MAX_N: usize = 3;
const ROWS: usize = MAX_N * MAX_N - 1;
const TERMS: usize = 26;

type Vector<R> = [R; ROWS];
type Square<R> = [[R; ROWS]; ROWS];

/// Structure constants of SU(N) and the series h.
pub(super) struct Tables {
    /// (a, b, c, <T_a, [T_c, T_b]>).
    antisymmetric: Vec<(usize, usize, usize, f64)>,
    /// (a, b, c, 2 tr({t_a, t_b} t_c)), T = i t.
    symmetric: Vec<(usize, usize, usize, f64)>,
    /// h_n = B_(2n+2)/(2n+2)!.
    series: [f64; TERMS],
}

impl Tables {
    /// Those of the group.
    pub(super) fn of<const N: usize>() -> &'static Self {
        static SU2: LazyLock<Tables> = LazyLock::new(Tables::new::<2>);
        static SU3: LazyLock<Tables> = LazyLock::new(Tables::new::<3>);
        if N == 3 { &SU3 } else { &SU2 }
    }

    fn new<const N: usize>() -> Self {
        let basis: Vec<Matrix<f64, N>> = (0..N * N - 1).map(|a| unit::<N>(a).to_matrix()).collect();
        let (mut antisymmetric, mut symmetric) = (Vec::new(), Vec::new());
        for (a, ta) in basis.iter().enumerate() {
            for (b, tb) in basis.iter().enumerate() {
                for (c, tc) in basis.iter().enumerate() {
                    // <T_a, [T_c, T_b]> = -2 tr T_a (T_c T_b - T_b T_c)
                    let (cb, bc) = (ta.trace_mul(&tc.mul(tb)), ta.trace_mul(&tb.mul(tc)));
                    antisymmetric.push((a, b, c, -2.0 * (cb - bc).re));
                    // tr t t t = i tr T T T
                    symmetric.push((a, b, c, -2.0 * (cb + bc).im));
                }
            }
        }
        antisymmetric.retain(|entry| entry.3.abs() > 1e-12);
        symmetric.retain(|entry| entry.3.abs() > 1e-12);
        Self { antisymmetric, symmetric, series: std::array::from_fn(series) }
    }
}

/// B_(2n+2)/(2n+2)! = 2 (-1)^n zeta(2n+2)/(2 pi)^(2n+2).
fn series(n: usize) -> f64 {
    match n {
        0 => 1.0 / 12.0,
        1 => -1.0 / 720.0,
        2 => 1.0 / 30240.0,
        _ => {
            let power = 2 * n as i32 + 2;
            let zeta: f64 = (1..200).rev().map(|k| f64::from(k).powi(-power)).sum();
            (if n.is_multiple_of(2) { 2.0 } else { -2.0 }) * zeta / std::f64::consts::TAU.powi(power)
        }
    }
}

fn unit<const N: usize>(a: usize) -> Algebra<f64, N> {
    let mut v = [0.0; ROWS];
    v[a] = 1.0;
    element(&v)
}

/// Components in an orthonormal basis: off-diagonal ones, then the diagonal ones.
#[inline(always)]
fn components<R: Real, const N: usize>(a: &Algebra<R, N>) -> Vector<R> {
    let (mut v, mut n) = ([R::zero(); ROWS], 0);
    for i in 0..N {
        for j in i + 1..N {
            v[n] = a.0[i][j] + a.0[i][j];
            v[n + 1] = a.0[j][i] + a.0[j][i];
            n += 2;
        }
    }
    let mut sum = R::zero();
    for k in 1..N {
        sum += a.0[k - 1][k - 1];
        let length = (2.0 / (k * (k + 1)) as f64).sqrt();
        v[n] = a.0[k][k].neg_mul_add(R::splat(k as f64), sum) * R::splat(length);
        n += 1;
    }
    v
}

/// The element with these components.
#[inline(always)]
fn element<R: Real, const N: usize>(v: &Vector<R>) -> Algebra<R, N> {
    let (mut a, mut n) = (Algebra::zero(), 0);
    for i in 0..N {
        for j in i + 1..N {
            a.0[i][j] = v[n] * R::splat(0.5);
            a.0[j][i] = v[n + 1] * R::splat(0.5);
            n += 2;
        }
    }
    for k in 1..N {
        let x = v[n] * R::splat((0.5 / (k * (k + 1)) as f64).sqrt());
        for i in 0..k {
            a.0[i][i] += x;
        }
        a.0[k][k] -= x * R::splat(k as f64);
        n += 1;
    }
    a
}

#[inline(always)]
fn zero<R: Real>() -> Square<R> {
    [[R::zero(); ROWS]; ROWS]
}

/// A B.
#[inline(always)]
fn multiply<R: Real>(a: &Square<R>, b: &Square<R>, n: usize) -> Square<R> {
    let mut c = zero();
    for i in 0..n {
        for k in 0..n {
            for j in 0..n {
                c[i][j] = a[i][k].mul_add(b[k][j], c[i][j]);
            }
        }
    }
    c
}

/// A B where the product is symmetric.
#[inline(always)]
fn multiply_symmetric<R: Real>(a: &Square<R>, b: &Square<R>, n: usize) -> Square<R> {
    let mut c = zero();
    for i in 0..n {
        for k in 0..n {
            for j in i..n {
                c[i][j] = a[i][k].mul_add(b[k][j], c[i][j]);
            }
        }
        for j in 0..i {
            c[i][j] = c[j][i];
        }
    }
    c
}

/// tr A B for symmetric matrices.
#[inline(always)]
fn overlap<R: Real>(a: &Square<R>, b: &Square<R>, n: usize) -> R {
    let mut sum = R::zero();
    for i in 0..n {
        for j in 0..n {
            sum = a[i][j].mul_add(b[i][j], sum);
        }
    }
    sum
}

/// y^3 + a y^2 + b y + c = 0 for the nonzero eigenvalues y = -(l_i - l_j)^2 of Y, from s = <A, A>/4 and d = Im tr A^3/3;
/// for SU(2) the only one is -a.
#[inline(always)]
fn polynomial<R: Real, const N: usize>(s: R, d: R) -> [R; 3] {
    if N == 2 {
        return [s * R::splat(4.0), R::zero(), R::zero()];
    }
    let s2 = s * s;
    [s * R::splat(6.0), s2 * R::splat(9.0), s2 * s * R::splat(4.0) - d * d * R::splat(27.0)]
}

/// Number of terms of the series for eigenvalues up to 4s: the ratio of successive ones is below 4s/(2 pi)^2.
#[inline(always)]
fn terms<R: Real>(s: R) -> usize {
    let ratio = (4.0 * s.max_lane() / std::f64::consts::TAU.powi(2)).clamp(1e-9, 0.5);
    ((R::EPSILON.ln() / ratio.ln()) as usize + 3).min(TERMS)
}

/// h reduced to h_0 + h_1 y + h_2 y^2 by the polynomial.
#[inline(always)]
fn reduced<R: Real, const N: usize>(series: &[f64], [a, b, c]: [R; 3]) -> [R; 3] {
    let mut h = [R::zero(); 3];
    for &x in series.iter().rev() {
        h = match N {
            2 => [a.neg_mul_add(h[0], R::splat(x)), R::zero(), R::zero()],
            _ => [c.neg_mul_add(h[2], R::splat(x)), b.neg_mul_add(h[2], h[0]), a.neg_mul_add(h[2], h[1])],
        };
    }
    h
}

/// ln det S = sum_n h_n p_(n+1)/(n+1), p_n the sum of n-th powers of the three eigenvalues.
#[inline(always)]
fn log_det_s<R: Real>(series: &[f64], [a, b, c]: [R; 3]) -> R {
    let first = -a;
    let second = a * a - (b + b);
    let mut p = [R::splat(3.0), first, second];
    let mut sum = R::zero();
    for (n, &x) in series.iter().enumerate() {
        sum = p[1].mul_add(R::splat(x / (n + 1) as f64), sum);
        p = [p[1], p[2], -(a * p[2] + b * p[1] + c * p[0])];
    }
    sum
}

/// What value and derivative share.
struct Prepared<'a, R> {
    series: &'a [f64],
    polynomial: [R; 3],
    s: R,
    d: R,
    a: Vector<R>,
    square: Vector<R>,
    x: Square<R>,
    powers: [Square<R>; 3],
    h: [R; 3],
    t: Square<R>,
}

#[inline(always)]
fn prepare<'a, R: Real, const N: usize>(tables: &'a Tables, m: &Matrix<R, N>) -> Prepared<'a, R> {
    let n = N * N - 1;
    let algebra = m.algebra_part().scale(R::splat(-1.0));
    let a = components(&algebra);
    let s = algebra.inner(&algebra) * R::splat(0.25);
    // i A^2, whose components are twice the derivative of d = Im tr A^3/3
    let full = algebra.to_matrix();
    let i_square = times_i(&full.mul(&full)).algebra_part();
    let square = components(&i_square);
    let d = i_square.inner(&algebra) * R::splat(1.0 / 6.0);
    let mut x = zero();
    for &(i, j, c, f) in &tables.antisymmetric {
        x[i][j] = a[c].mul_add(R::splat(f), x[i][j]);
    }
    let y = multiply_symmetric(&x, &x, n);
    let powers = match N {
        2 => [y, zero(), zero()],
        _ => {
            let second = multiply_symmetric(&y, &y, n);
            [y, second, multiply_symmetric(&second, &y, n)]
        }
    };
    let series = &tables.series[..terms(s)];
    let polynomial = polynomial::<R, N>(s, d);
    let h = reduced::<R, N>(series, polynomial);
    let mut t = zero();
    let hermitian = components(&times_i(m).algebra_part());
    for &(i, j, c, f) in &tables.symmetric {
        t[i][j] = hermitian[c].mul_add(R::splat(-0.5 * f), t[i][j]);
    }
    let mean = m.trace().re * R::splat(1.0 / N as f64);
    for i in 0..n {
        t[i][i] += R::one() - mean;
        for j in 0..n {
            for k in 0..if N == 2 { 1 } else { 3 } {
                t[i][j] = h[k].mul_add(powers[k][i][j], t[i][j]);
            }
        }
    }
    Prepared { series, polynomial, s, d, a, square, x, powers, h, t }
}

#[inline(always)]
fn times_i<R: Real, const N: usize>(m: &Matrix<R, N>) -> Matrix<R, N> {
    let mut out = *m;
    for i in 0..N {
        for j in 0..N {
            out.0[i][j] = Complex::new(-m.0[i][j].im, m.0[i][j].re);
        }
    }
    out
}

/// L and D of T = L D L^T, L in the lower triangle.
#[inline(always)]
fn decompose<R: Real>(t: &Square<R>, n: usize) -> (Square<R>, Vector<R>) {
    let (mut l, mut d) = (zero::<R>(), [R::one(); ROWS]);
    for j in 0..n {
        let mut pivot = t[j][j];
        for k in 0..j {
            pivot = (l[j][k] * d[k]).neg_mul_add(l[j][k], pivot);
        }
        d[j] = pivot;
        let over = R::one() / pivot;
        for i in j + 1..n {
            let mut entry = t[i][j];
            for k in 0..j {
                entry = (l[i][k] * d[k]).neg_mul_add(l[j][k], entry);
            }
            l[i][j] = entry * over;
        }
    }
    (l, d)
}

/// T^-1 = L^-T D^-1 L^-1.
#[inline(always)]
fn inverse<R: Real>(t: &Square<R>, n: usize) -> Square<R> {
    let (l, d) = decompose(t, n);
    let mut k = zero::<R>();
    for j in 0..n {
        k[j][j] = R::one();
        for i in j + 1..n {
            let mut sum = R::zero();
            for m in j..i {
                sum = l[i][m].neg_mul_add(k[m][j], sum);
            }
            k[i][j] = sum;
        }
    }
    let mut g = zero();
    for m in 0..n {
        let over = R::one() / d[m];
        for i in 0..=m {
            let scaled = k[m][i] * over;
            for j in i..=m {
                g[i][j] = scaled.mul_add(k[m][j], g[i][j]);
            }
        }
    }
    for i in 0..n {
        for j in 0..i {
            g[i][j] = g[j][i];
        }
    }
    g
}

/// NaN where x is not positive.
#[inline(always)]
fn positive<R: Real>(x: R) -> R {
    let good = R::zero().less(x);
    R::splat(f64::NAN).blend(x, good)
}

/// ln det; NaN off the positive branch.
#[inline(always)]
pub(super) fn log_det<R: Real, const N: usize>(tables: &Tables, m: &Matrix<R, N>) -> R {
    if N == 1 {
        return positive(R::one() - m.0[0][0].re).ln();
    }
    let p = prepare(tables, m);
    let (_, d) = decompose(&p.t, N * N - 1);
    let mut sum = log_det_s(p.series, p.polynomial);
    for &pivot in &d[..N * N - 1] {
        sum += positive(pivot).ln();
    }
    sum
}

/// B with d ln det = Re tr(B dM).
#[inline(always)]
pub(super) fn slope<R: Real, const N: usize>(tables: &Tables, m: &Matrix<R, N>) -> Matrix<R, N> {
    if N == 1 {
        return Matrix::one().scale(R::splat(-1.0) / (R::one() - m.0[0][0].re));
    }
    let n = N * N - 1;
    let p = prepare(tables, m);
    let g = inverse(&p.t, n);
    let mut e = along_y(tables, &p, &g, N);
    // the reduced series depends on A through s and d
    let tau = [overlap(&g, &p.powers[0], n), overlap(&g, &p.powers[1], n), overlap(&g, &p.powers[2], n)];
    let over_s = weigh(&tau, &reduced::<_, N>(p.series, polynomial::<_, N>(Dual::new(p.s, R::one()), constant(p.d))));
    for c in 0..n {
        e[c] = (over_s * R::splat(0.5)).mul_add(p.a[c], e[c]);
    }
    if N > 2 {
        let reduced = reduced::<_, N>(p.series, polynomial::<_, N>(constant(p.s), Dual::new(p.d, R::one())));
        let over_d = weigh(&tau, &reduced) * R::splat(0.5);
        for c in 0..n {
            e[c] = over_d.mul_add(p.square[c], e[c]);
        }
    }
    let mut k = [R::zero(); ROWS];
    for &(i, j, c, f) in &tables.symmetric {
        k[c] = g[i][j].mul_add(R::splat(-0.5 * f), k[c]);
    }
    let mut trace = R::zero();
    for i in 0..n {
        trace += g[i][i];
    }
    let metric = R::splat(Algebra::<R, N>::METRIC);
    let hermitian = times_i(&element::<R, N>(&k).to_matrix()).scale(-metric);
    let mut b = element::<R, N>(&e).to_matrix().scale(metric).add(&hermitian);
    for i in 0..N {
        b.0[i][i].re -= trace * R::splat(1.0 / N as f64);
    }
    b
}

#[inline(always)]
fn constant<R: Real>(x: R) -> Dual<R> {
    Dual::new(x, R::zero())
}

#[inline(always)]
fn weigh<R: Real>(tau: &[R; 3], h: &[Dual<R>; 3]) -> R {
    tau[0] * h[0].eps + tau[1] * h[1].eps + tau[2] * h[2].eps
}

/// The derivative through Y: tr(W dY), W = sum_k h_k sum_(i+j=k) Y^i G Y^j + h(Y)/2, dY = X dX + dX X.
#[inline(always)]
fn along_y<R: Real>(tables: &Tables, p: &Prepared<'_, R>, g: &Square<R>, colors: usize) -> Vector<R> {
    let n = colors * colors - 1;
    let half = R::splat(0.5);
    let mut w = zero();
    for i in 0..n {
        for j in 0..n {
            w[i][j] = p.h[0] * g[i][j];
        }
        w[i][i] += p.h[0] * half;
    }
    if colors > 2 {
        let y = &p.powers[0];
        let once = multiply(g, y, n);
        let twice = multiply(&once, y, n);
        let between = multiply_symmetric(y, &once, n);
        for i in 0..n {
            for j in 0..n {
                let first = (once[i][j] + once[j][i]) + half * y[i][j];
                let second = (twice[i][j] + twice[j][i]) + (between[i][j] + half * p.powers[1][i][j]);
                w[i][j] = p.h[1].mul_add(first, p.h[2].mul_add(second, w[i][j]));
            }
        }
    }
    let wx = multiply(&w, &p.x, n);
    let mut e = [R::zero(); ROWS];
    for &(j, i, c, f) in &tables.antisymmetric {
        e[c] = (wx[i][j] - wx[j][i]).mul_add(R::splat(f), e[c]);
    }
    e
}
