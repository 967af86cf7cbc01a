//! Complex numbers, N x N matrices and anti-Hermitian matrices over any `Real`, as plain loops that compile to straight code.

use crate::number::{LaneMask, Permutation, Real, Work};
use std::ops::{Add, AddAssign, Mul, Neg, Sub};

/// A complex number.
#[derive(Debug, Clone, Copy, bytemuck::Zeroable)]
#[repr(C)]
pub struct Complex<R> {
    /// Real part.
    pub re: R,
    /// Imaginary part.
    pub im: R,
}

impl From<Complex<f64>> for num_complex::Complex64 {
    fn from(z: Complex<f64>) -> Self {
        Self::new(z.re, z.im)
    }
}

impl<R: Real> Complex<R> {
    /// `re + i im`.
    #[inline(always)]
    pub fn new(re: R, im: R) -> Self {
        Self { re, im }
    }
    /// The real number `re`.
    #[inline(always)]
    pub fn real(re: R) -> Self {
        Self::new(re, R::zero())
    }
    /// Zero.
    #[inline(always)]
    pub fn zero() -> Self {
        Self::real(R::zero())
    }
    /// Complex conjugate.
    #[inline(always)]
    pub fn conj(self) -> Self {
        Self::new(self.re, -self.im)
    }
    /// |z|^2.
    #[inline(always)]
    pub fn norm2(self) -> R {
        self.re.mul_add(self.re, self.im * self.im)
    }
    /// Real multiple.
    #[inline(always)]
    pub fn scale(self, x: R) -> Self {
        Self::new(self.re * x, self.im * x)
    }
    /// `self + a b`.
    #[inline(always)]
    pub fn fma(self, a: Self, b: Self) -> Self {
        let re = a.im.neg_mul_add(b.im, a.re.mul_add(b.re, self.re));
        let im = a.im.mul_add(b.re, a.re.mul_add(b.im, self.im));
        Self::new(re, im)
    }
    /// `self + conj(a) b`.
    #[inline(always)]
    pub fn fma_conj(self, a: Self, b: Self) -> Self {
        let re = a.im.mul_add(b.im, a.re.mul_add(b.re, self.re));
        let im = a.im.neg_mul_add(b.re, a.re.mul_add(b.im, self.im));
        Self::new(re, im)
    }
    /// `other` in the lanes of `mask`.
    #[inline(always)]
    pub fn blend(self, other: Self, mask: LaneMask) -> Self {
        Self::new(self.re.blend(other.re, mask), self.im.blend(other.im, mask))
    }
}

impl<R: Real> Add for Complex<R> {
    type Output = Self;
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        Self::new(self.re + o.re, self.im + o.im)
    }
}

impl<R: Real> Sub for Complex<R> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        Self::new(self.re - o.re, self.im - o.im)
    }
}

impl<R: Real> Mul for Complex<R> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        let re = self.im.neg_mul_add(o.im, self.re * o.re);
        let im = self.im.mul_add(o.re, self.re * o.im);
        Self::new(re, im)
    }
}

impl<R: Real> Neg for Complex<R> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self::new(-self.re, -self.im)
    }
}

impl<R: Real> AddAssign for Complex<R> {
    #[inline(always)]
    fn add_assign(&mut self, o: Self) {
        *self = *self + o;
    }
}

/// An N x N complex matrix, row by row.
#[derive(Debug, Clone, Copy, bytemuck::Zeroable)]
#[zeroable(bound = "R: bytemuck::Zeroable")]
#[repr(C)]
pub struct Matrix<R, const N: usize>(pub [[Complex<R>; N]; N]);

/// `A B` as a function of its own; `A^dagger` and `B^dagger` in the places of A and B if asked for.
struct Product<'a, R, const N: usize, const LEFT: bool, const RIGHT: bool>(&'a Matrix<R, N>, &'a Matrix<R, N>);

impl<R: Real, const N: usize, const LEFT: bool, const RIGHT: bool> Work for Product<'_, R, N, LEFT, RIGHT> {
    type Output = Matrix<R, N>;
    #[inline(always)]
    fn run(self) -> Matrix<R, N> {
        Matrix::product_here::<LEFT, RIGHT>(self.0, self.1)
    }
}

/// `C += A B` as a function of its own; `A^dagger` in the place of A if asked for.
struct AddProduct<'a, R, const N: usize, const LEFT: bool> {
    c: &'a mut Matrix<R, N>,
    a: &'a Matrix<R, N>,
    b: &'a Matrix<R, N>,
}

impl<R: Real, const N: usize, const LEFT: bool> Work for AddProduct<'_, R, N, LEFT> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        self.c.add_product_here::<LEFT>(self.a, self.b);
    }
}

impl<R: Real, const N: usize> Matrix<R, N> {
    /// Whether products are functions of their own, which makes kernels with many of them several times smaller: of numbers with
    /// derivatives, which do not fit into registers anyway, and of single sites, where a call is short beside the product.
    pub(crate) const CALLED: bool = N > 1 && (R::DUAL || N > 3 || (R::LANES == 1 && N > 2));

    /// `A B`, with the adjoint of A or of B in its place if asked for.
    #[inline(always)]
    fn product<const LEFT: bool, const RIGHT: bool>(a: &Self, b: &Self) -> Self {
        if Self::CALLED {
            R::vectorize(Product::<R, N, LEFT, RIGHT>(a, b))
        } else {
            Self::product_here::<LEFT, RIGHT>(a, b)
        }
    }
    /// The product written out in the kernel: for the hottest of numbers with derivatives.
    #[inline(always)]
    pub(crate) fn product_here<const LEFT: bool, const RIGHT: bool>(a: &Self, b: &Self) -> Self {
        let mut c = Self::zero();
        if LEFT {
            c.add_product_here::<LEFT>(a, b);
            return c;
        }
        for i in 0..N {
            for j in 0..N {
                let mut s = if RIGHT { Complex::zero() } else { a.0[i][0] * b.0[0][j] };
                if RIGHT {
                    for k in 0..N {
                        s = s.fma_conj(b.0[j][k], a.0[i][k]);
                    }
                } else {
                    for k in 1..N {
                        s = s.fma(a.0[i][k], b.0[k][j]);
                    }
                }
                c.0[i][j] = s;
            }
        }
        c
    }
    #[inline(always)]
    fn add_product<const LEFT: bool>(&mut self, a: &Self, b: &Self) {
        if Self::CALLED {
            R::vectorize(AddProduct::<R, N, LEFT> { c: self, a, b });
        } else {
            self.add_product_here::<LEFT>(a, b);
        }
    }
    /// `self += A B` written out in the kernel, in the same way.
    #[inline(always)]
    pub(crate) fn add_product_here<const LEFT: bool>(&mut self, a: &Self, b: &Self) {
        for i in 0..N {
            for j in 0..N {
                let mut s = self.0[i][j];
                for k in 0..N {
                    s = if LEFT { s.fma_conj(a.0[k][i], b.0[k][j]) } else { s.fma(a.0[i][k], b.0[k][j]) };
                }
                self.0[i][j] = s;
            }
        }
    }
    /// Zero matrix.
    #[inline(always)]
    pub fn zero() -> Self {
        Self([[Complex::zero(); N]; N])
    }
    /// Unit matrix.
    #[inline(always)]
    pub fn one() -> Self {
        let mut m = Self::zero();
        for i in 0..N {
            m.0[i][i].re = R::one();
        }
        m
    }
    /// Element by element.
    #[inline(always)]
    pub fn from_fn(mut f: impl FnMut(usize, usize) -> Complex<R>) -> Self {
        let mut m = Self::zero();
        for i in 0..N {
            for j in 0..N {
                m.0[i][j] = f(i, j);
            }
        }
        m
    }
    /// Hermitian conjugate.
    #[inline(always)]
    pub fn adjoint(&self) -> Self {
        let mut m = Self::zero();
        for i in 0..N {
            for j in 0..N {
                m.0[i][j] = self.0[j][i].conj();
            }
        }
        m
    }
    /// `A B`.
    #[inline(always)]
    pub fn mul(&self, b: &Self) -> Self {
        Self::product::<false, false>(self, b)
    }
    /// `C += A B`.
    #[inline(always)]
    pub fn add_mul(&mut self, a: &Self, b: &Self) {
        self.add_product::<false>(a, b);
    }
    /// `C += A^dagger B`.
    #[inline(always)]
    pub fn add_adjoint_mul(&mut self, a: &Self, b: &Self) {
        self.add_product::<true>(a, b);
    }
    /// `A^dagger B`.
    #[inline(always)]
    pub fn adjoint_mul(&self, b: &Self) -> Self {
        Self::product::<true, false>(self, b)
    }
    /// `A B^dagger`.
    #[inline(always)]
    pub fn mul_adjoint(&self, b: &Self) -> Self {
        Self::product::<false, true>(self, b)
    }
    /// Sum.
    #[inline(always)]
    pub fn add(&self, o: &Self) -> Self {
        let mut m = *self;
        m.add_assign(o);
        m
    }
    /// Adds in place.
    #[inline(always)]
    pub fn add_assign(&mut self, o: &Self) {
        for i in 0..N {
            for j in 0..N {
                self.0[i][j] += o.0[i][j];
            }
        }
    }
    /// Real multiple.
    #[inline(always)]
    pub fn scale(&self, x: R) -> Self {
        let mut m = *self;
        for i in 0..N {
            for j in 0..N {
                m.0[i][j] = m.0[i][j].scale(x);
            }
        }
        m
    }
    /// Complex multiple.
    #[inline(always)]
    pub fn scale_complex(&self, z: Complex<R>) -> Self {
        let mut m = *self;
        for i in 0..N {
            for j in 0..N {
                m.0[i][j] = m.0[i][j] * z;
            }
        }
        m
    }
    /// Trace.
    #[inline(always)]
    pub fn trace(&self) -> Complex<R> {
        let mut s = self.0[0][0];
        for i in 1..N {
            s += self.0[i][i];
        }
        s
    }
    /// tr(A B).
    #[inline(always)]
    pub fn trace_mul(&self, b: &Self) -> Complex<R> {
        let mut s = Complex::zero();
        for i in 0..N {
            for k in 0..N {
                s = s.fma(self.0[i][k], b.0[k][i]);
            }
        }
        s
    }
    /// sum |a_ij|^2.
    #[inline(always)]
    pub fn norm2(&self) -> R {
        let mut s = R::zero();
        for i in 0..N {
            for j in 0..N {
                s += self.0[i][j].norm2();
            }
        }
        s
    }
    /// Lanes moved.
    #[inline(always)]
    pub fn permute(&self, p: &Permutation) -> Self {
        let mut m = *self;
        for i in 0..N {
            for j in 0..N {
                m.0[i][j] = Complex::new(m.0[i][j].re.permute(p), m.0[i][j].im.permute(p));
            }
        }
        m
    }
    /// `other` in the lanes of `mask`.
    #[inline(always)]
    pub fn blend(&self, other: &Self, mask: LaneMask) -> Self {
        let mut m = *self;
        for i in 0..N {
            for j in 0..N {
                m.0[i][j] = m.0[i][j].blend(other.0[i][j], mask);
            }
        }
        m
    }
    /// Determinant by the Faddeev-LeVerrier recursion: no pivots, hence no branches.
    #[inline(always)]
    pub fn determinant(&self) -> Complex<R> {
        let mut m = Self::one();
        let mut coefficient = Complex::real(R::one());
        for k in 1..=N {
            let product = self.mul(&m);
            coefficient = product.trace().scale(R::splat(-1.0 / k as f64));
            m = product;
            for i in 0..N {
                m.0[i][i] += coefficient;
            }
        }
        if N.is_multiple_of(2) { coefficient } else { -coefficient }
    }
    /// Projection on the Lie algebra: anti-Hermitian part, traceless for N > 1 (N = 1 is U(1)).
    #[inline(always)]
    pub fn algebra_part(&self) -> Algebra<R, N> {
        let half = R::splat(0.5);
        let mut a = Algebra::zero();
        for i in 0..N {
            a.0[i][i] = self.0[i][i].im;
            for j in i + 1..N {
                a.0[i][j] = (self.0[i][j].re - self.0[j][i].re) * half;
                a.0[j][i] = (self.0[i][j].im + self.0[j][i].im) * half;
            }
        }
        a.remove_trace();
        a
    }
}

/// An element A of the Lie algebra (anti-Hermitian; traceless for N > 1), packed into N^2 reals:
/// `[i][i]` = Im A_ii, and for i < j `[i][j]` = Re A_ij, `[j][i]` = Im A_ij.
#[derive(Debug, Clone, Copy, bytemuck::Zeroable)]
#[zeroable(bound = "R: bytemuck::Zeroable")]
#[repr(C)]
pub struct Algebra<R, const N: usize>(pub [[R; N]; N]);

impl<R: Real, const N: usize> Algebra<R, N> {
    /// <A, B> = -2 tr AB for SU(N), and -tr AB = ab for U(1): the metric in which momenta are standard normal.
    pub const METRIC: f64 = if N == 1 { 1.0 } else { 2.0 };

    /// Zero.
    #[inline(always)]
    pub fn zero() -> Self {
        Self([[R::zero(); N]; N])
    }
    #[inline(always)]
    fn remove_trace(&mut self) {
        if N > 1 {
            let mut mean = R::zero();
            for i in 0..N {
                mean += self.0[i][i];
            }
            mean = mean * R::splat(1.0 / N as f64);
            for i in 0..N {
                self.0[i][i] -= mean;
            }
        }
    }
    /// As a full matrix.
    #[inline(always)]
    pub fn to_matrix(&self) -> Matrix<R, N> {
        let mut m = Matrix::zero();
        for i in 0..N {
            m.0[i][i] = Complex::new(R::zero(), self.0[i][i]);
            for j in i + 1..N {
                let z = Complex::new(self.0[i][j], self.0[j][i]);
                m.0[i][j] = z;
                m.0[j][i] = -z.conj();
            }
        }
        m
    }
    /// <A, B>.
    #[inline(always)]
    pub fn inner(&self, b: &Self) -> R {
        let (mut diagonal, mut off) = (R::zero(), R::zero());
        for i in 0..N {
            diagonal = self.0[i][i].mul_add(b.0[i][i], diagonal);
            for j in 0..N {
                if j != i {
                    off = self.0[i][j].mul_add(b.0[i][j], off);
                }
            }
        }
        diagonal.mul_add(R::splat(Self::METRIC), off * R::splat(2.0 * Self::METRIC))
    }
    /// `self + x b`.
    #[inline(always)]
    pub fn add_scaled(&self, x: R, b: &Self) -> Self {
        let mut a = *self;
        for i in 0..N {
            for j in 0..N {
                a.0[i][j] = x.mul_add(b.0[i][j], a.0[i][j]);
            }
        }
        a
    }
    /// Real multiple.
    #[inline(always)]
    pub fn scale(&self, x: R) -> Self {
        let mut a = *self;
        for i in 0..N {
            for j in 0..N {
                a.0[i][j] = a.0[i][j] * x;
            }
        }
        a
    }
    /// Lanes moved.
    #[inline(always)]
    pub fn permute(&self, p: &Permutation) -> Self {
        let mut a = *self;
        for i in 0..N {
            for j in 0..N {
                a.0[i][j] = a.0[i][j].permute(p);
            }
        }
        a
    }
    /// Standard normal element from N^2 standard normals: A = i a^c T^c with a^c ~ N(0, 1), tr T^a T^b = delta/2 (U(1): A = i a).
    #[inline(always)]
    pub fn from_normals(z: &[[R; N]; N]) -> Self {
        let mut a = Self::zero();
        let diagonal = R::splat(if N == 1 { 1.0 } else { std::f64::consts::FRAC_1_SQRT_2 });
        for i in 0..N {
            for j in 0..N {
                a.0[i][j] = z[i][j] * if i == j { diagonal } else { R::splat(0.5) };
            }
        }
        a.remove_trace();
        a
    }
}
