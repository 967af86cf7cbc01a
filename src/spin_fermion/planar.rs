//! Complex matrices as two real planes with rows padded to vectors, and the two loops over them that cost time.
//!
//! pulp picks the widest vectors of the machine at run time; without fused multiply-add it multiplies, then adds.

use num_complex::Complex64;
use pulp::Simd;

/// Rows are padded with zeros to a multiple of this; every vector width divides it.
const PAD: usize = 8;

/// Length of `n` numbers with padding.
pub(super) fn padded(n: usize) -> usize {
    n.next_multiple_of(PAD)
}

/// A complex vector as two padded planes.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    pub re: Vec<f64>,
    pub im: Vec<f64>,
}

impl Row {
    pub fn zeros(n: usize) -> Self {
        Self { re: vec![0.0; padded(n)], im: vec![0.0; padded(n)] }
    }

    #[inline(always)]
    pub fn clear_from(&mut self, start: usize) {
        self.re[start..].fill(0.0);
        self.im[start..].fill(0.0);
    }

    #[inline(always)]
    pub fn get(&self, i: usize) -> Complex64 {
        Complex64::new(self.re[i], self.im[i])
    }

    #[inline(always)]
    pub fn set(&mut self, i: usize, value: Complex64) {
        (self.re[i], self.im[i]) = (value.re, value.im);
    }
}

/// A square complex matrix as two planes.
#[derive(Debug, Clone)]
pub(super) struct Planar {
    pub n: usize,
    pub stride: usize,
    pub re: Vec<f64>,
    pub im: Vec<f64>,
}

impl Planar {
    pub fn zeros(n: usize) -> Self {
        let stride = padded(n);
        Self { n, stride, re: vec![0.0; n * stride], im: vec![0.0; n * stride] }
    }

    #[inline(always)]
    pub fn get(&self, i: usize, j: usize) -> Complex64 {
        Complex64::new(self.re[i * self.stride + j], self.im[i * self.stride + j])
    }

    #[inline(always)]
    pub fn set(&mut self, i: usize, j: usize, value: Complex64) {
        (self.re[i * self.stride + j], self.im[i * self.stride + j]) = (value.re, value.im);
    }

    #[inline(always)]
    pub fn row_mut(&mut self, i: usize) -> (&mut [f64], &mut [f64]) {
        let range = i * self.stride..(i + 1) * self.stride;
        (&mut self.re[range.clone()], &mut self.im[range])
    }

    pub fn copy_row(&self, i: usize, out: &mut Row) {
        let range = i * self.stride..(i + 1) * self.stride;
        out.re.copy_from_slice(&self.re[range.clone()]);
        out.im.copy_from_slice(&self.im[range]);
    }
}

/// `row += a x + b y`
#[inline(always)]
pub(super) fn add_two<S: Simd>(simd: S, row: (&mut [f64], &mut [f64]), a: Complex64, x: &Row, b: Complex64, y: &Row) {
    let (re, im) = (S::as_mut_simd_f64s(row.0).0, S::as_mut_simd_f64s(row.1).0);
    let (xr, xi) = (S::as_simd_f64s(&x.re).0, S::as_simd_f64s(&x.im).0);
    let (yr, yi) = (S::as_simd_f64s(&y.re).0, S::as_simd_f64s(&y.im).0);
    let [ar, ai, mi] = [a.re, a.im, -a.im].map(|s| simd.splat_f64s(s));
    let [br, bi, ni] = [b.re, b.im, -b.im].map(|s| simd.splat_f64s(s));
    let columns = re.iter_mut().zip(im).zip(xr.iter().zip(xi)).zip(yr.iter().zip(yi));
    for (((re, im), (&xr, &xi)), (&yr, &yi)) in columns {
        let first = simd.mul_add_e_f64s(ar, xr, *re);
        let second = simd.mul_add_e_f64s(br, yr, simd.mul_f64s(mi, xi));
        *re = simd.add_f64s(simd.mul_add_e_f64s(ni, yi, first), second);
        let first = simd.mul_add_e_f64s(ar, xi, *im);
        let second = simd.mul_add_e_f64s(br, yi, simd.mul_f64s(ai, xr));
        *im = simd.add_f64s(simd.mul_add_e_f64s(bi, yr, first), second);
    }
}

/// `row += a conj(x) + b conj(y)` on the first `length` columns, then returns `row . z`.
#[inline(always)]
pub(super) fn add_two_conjugates_then_dot<S: Simd>(
    simd: S,
    row: (&mut [f64], &mut [f64]),
    length: usize,
    a: Complex64,
    x: &Row,
    b: Complex64,
    y: &Row,
    z: &Row,
) -> Complex64 {
    let end = padded(length);
    let (re, im) = (S::as_mut_simd_f64s(&mut row.0[..end]).0, S::as_mut_simd_f64s(&mut row.1[..end]).0);
    let (xr, xi) = (S::as_simd_f64s(&x.re[..end]).0, S::as_simd_f64s(&x.im[..end]).0);
    let (yr, yi) = (S::as_simd_f64s(&y.re[..end]).0, S::as_simd_f64s(&y.im[..end]).0);
    let (zr, zi) = (S::as_simd_f64s(&z.re[..end]).0, S::as_simd_f64s(&z.im[..end]).0);
    let [ar, ai, mr] = [a.re, a.im, -a.re].map(|s| simd.splat_f64s(s));
    let [br, bi, nr] = [b.re, b.im, -b.re].map(|s| simd.splat_f64s(s));
    let zero = simd.splat_f64s(0.0);
    let (mut s0, mut s1, mut s2, mut s3) = (zero, zero, zero, zero);
    for k in 0..re.len() {
        let (xr, xi, yr, yi) = (xr[k], xi[k], yr[k], yi[k]);
        let first = simd.mul_add_e_f64s(ai, xi, simd.mul_add_e_f64s(ar, xr, re[k]));
        let second = simd.mul_add_e_f64s(bi, yi, simd.mul_f64s(br, yr));
        let r = simd.add_f64s(first, second);
        let first = simd.mul_add_e_f64s(mr, xi, simd.mul_add_e_f64s(ai, xr, im[k]));
        let second = simd.mul_add_e_f64s(nr, yi, simd.mul_f64s(bi, yr));
        let i = simd.add_f64s(first, second);
        (re[k], im[k]) = (r, i);
        s0 = simd.mul_add_e_f64s(r, zr[k], s0);
        s1 = simd.mul_add_e_f64s(i, zi[k], s1);
        s2 = simd.mul_add_e_f64s(r, zi[k], s2);
        s3 = simd.mul_add_e_f64s(i, zr[k], s3);
    }
    Complex64::new(simd.reduce_sum_f64s(simd.sub_f64s(s0, s1)), simd.reduce_sum_f64s(simd.add_f64s(s2, s3)))
}
