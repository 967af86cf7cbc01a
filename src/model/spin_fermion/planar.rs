//! Complex matrices as two real planes with rows padded to vectors, and the two loops over them that cost time.
//!
//! pulp picks the widest vectors of the machine at run time; without fused multiply-add it multiplies, then adds.

use num_complex::Complex64;
use pulp::Simd;
use std::ops::{Deref, DerefMut};

/// Rows are padded with zeros to a multiple of this; every vector width divides it.
const PAD: usize = 8;
/// Bytes of a cache line, and of the widest vectors.
const CACHE_LINE: usize = 64;

/// Length of `n` numbers with padding.
pub(super) fn padded(n: usize) -> usize {
    n.next_multiple_of(PAD)
}

/// Numbers that start at a cache line: a vector load that straddles two lines costs twice.
#[derive(Debug, Default)]
pub(super) struct Aligned {
    memory: Vec<f64>,
    start: usize,
    length: usize,
}

impl Aligned {
    pub fn zeros(length: usize) -> Self {
        let memory = vec![0.0; length + PAD];
        let start = memory.as_ptr().align_offset(CACHE_LINE).min(PAD);
        Self { memory, start, length }
    }
}

impl Clone for Aligned {
    fn clone(&self) -> Self {
        let mut copy = Self::zeros(self.length);
        copy.copy_from_slice(self);
        copy
    }
}

impl Deref for Aligned {
    type Target = [f64];

    #[inline(always)]
    fn deref(&self) -> &[f64] {
        &self.memory[self.start..self.start + self.length]
    }
}

impl DerefMut for Aligned {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [f64] {
        &mut self.memory[self.start..self.start + self.length]
    }
}

/// A complex vector as two padded planes.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    pub re: Aligned,
    pub im: Aligned,
}

impl Row {
    pub fn zeros(n: usize) -> Self {
        Self { re: Aligned::zeros(padded(n)), im: Aligned::zeros(padded(n)) }
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

/// A complex matrix as two planes.
#[derive(Debug, Clone)]
pub(super) struct Planar {
    pub rows: usize,
    pub stride: usize,
    pub re: Aligned,
    pub im: Aligned,
}

impl Planar {
    pub fn zeros(rows: usize, columns: usize) -> Self {
        let stride = padded(columns);
        Self { rows, stride, re: Aligned::zeros(rows * stride), im: Aligned::zeros(rows * stride) }
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

/// `a x + b y + row` in one vector of columns, coefficients splat as (re, im, -im).
#[inline(always)]
fn two_more<S: Simd>(
    simd: S,
    row: [S::f64s; 2],
    a: [S::f64s; 3],
    x: [S::f64s; 2],
    b: [S::f64s; 3],
    y: [S::f64s; 2],
) -> [S::f64s; 2] {
    let re = simd.mul_add_e_f64s(a[2], x[1], simd.mul_add_e_f64s(a[0], x[0], row[0]));
    let im = simd.mul_add_e_f64s(a[1], x[0], simd.mul_add_e_f64s(a[0], x[1], row[1]));
    let re = simd.mul_add_e_f64s(b[2], y[1], simd.mul_add_e_f64s(b[0], y[0], re));
    [re, simd.mul_add_e_f64s(b[1], y[0], simd.mul_add_e_f64s(b[0], y[1], im))]
}

#[inline(always)]
fn splat<S: Simd>(simd: S, z: Complex64) -> [S::f64s; 3] {
    // Written out: in a closure of `map` the splats fall out of vector code.
    [simd.splat_f64s(z.re), simd.splat_f64s(z.im), simd.splat_f64s(-z.im)]
}

/// `row += a x + b y`
#[inline(always)]
pub(super) fn add_two<S: Simd>(simd: S, row: (&mut [f64], &mut [f64]), a: Complex64, x: &Row, b: Complex64, y: &Row) {
    let (re, im) = (S::as_mut_simd_f64s(row.0).0, S::as_mut_simd_f64s(row.1).0);
    let (xr, xi) = (S::as_simd_f64s(&x.re).0, S::as_simd_f64s(&x.im).0);
    let (yr, yi) = (S::as_simd_f64s(&y.re).0, S::as_simd_f64s(&y.im).0);
    let (a, b) = (splat(simd, a), splat(simd, b));
    let columns = re.iter_mut().zip(im).zip(xr.iter().zip(xi)).zip(yr.iter().zip(yi));
    for (((re, im), (&xr, &xi)), (&yr, &yi)) in columns {
        [*re, *im] = two_more(simd, [*re, *im], a, [xr, xi], b, [yr, yi]);
    }
}

/// `matrix += p x^T + q y^T` with columns `p`, `q` of the matrix itself, an even number of rows, two at a time so that x
/// and y are loaded once.
#[inline(always)]
pub(super) fn add_outer<S: Simd>(simd: S, matrix: &mut Planar, p: usize, x: &Row, q: usize, y: &Row) {
    let (n, stride) = (matrix.rows, matrix.stride);
    let (xr, xi) = (S::as_simd_f64s(&x.re).0, S::as_simd_f64s(&x.im).0);
    let (yr, yi) = (S::as_simd_f64s(&y.re).0, S::as_simd_f64s(&y.im).0);
    for i in (0..n).step_by(2) {
        let (a0, b0) = (splat(simd, matrix.get(i, p)), splat(simd, matrix.get(i, q)));
        let (a1, b1) = (splat(simd, matrix.get(i + 1, p)), splat(simd, matrix.get(i + 1, q)));
        let rows = i * stride..(i + 2) * stride;
        let (r0, r1) = matrix.re[rows.clone()].split_at_mut(stride);
        let (i0, i1) = matrix.im[rows].split_at_mut(stride);
        let (r0, r1) = (S::as_mut_simd_f64s(r0).0, S::as_mut_simd_f64s(r1).0);
        let (i0, i1) = (S::as_mut_simd_f64s(i0).0, S::as_mut_simd_f64s(i1).0);
        let columns = r0.iter_mut().zip(i0).zip(r1.iter_mut().zip(i1)).zip(xr.iter().zip(xi)).zip(yr.iter().zip(yi));
        for ((((r0, i0), (r1, i1)), (&xr, &xi)), (&yr, &yi)) in columns {
            [*r0, *i0] = two_more(simd, [*r0, *i0], a0, [xr, xi], b0, [yr, yi]);
            [*r1, *i1] = two_more(simd, [*r1, *i1], a1, [xr, xi], b1, [yr, yi]);
        }
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
    let (ar, ai, mr) = (simd.splat_f64s(a.re), simd.splat_f64s(a.im), simd.splat_f64s(-a.re));
    let (br, bi, nr) = (simd.splat_f64s(b.re), simd.splat_f64s(b.im), simd.splat_f64s(-b.re));
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
