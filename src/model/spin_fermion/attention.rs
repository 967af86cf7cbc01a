//! Equivariant attention `A_i = scale sum_j ReLU(Q_i . K_j / sqrt 3) V_j` over all sites (arXiv 2306.11527), or
//! `A_i = sum_j softmax_j(Q_i . K_j / sqrt 3) V_j`.
//!
//! Scores are recomputed where they are needed: memory is O(N), time O(N^2). The ReLU loops run over vectors of sites
//! and need no horizontal sums; the reverse pass visits the score matrix by rows (dQ) and by columns (dK, dV).

use super::lattice::{Spin, add_scaled, dot, each};
use pulp::Simd;

/// Scores are divided by the root of the number of components.
pub(super) const SCORE: f64 = 0.577_350_269_189_625_8;

/// Three padded planes.
#[derive(Debug, Clone, Default)]
pub(super) struct Planes([Vec<f64>; 3]);

impl Planes {
    pub fn zeros(padded: usize) -> Self {
        Self([(); 3].map(|()| vec![0.0; padded]))
    }

    #[inline(always)]
    fn load(&mut self, spins: &[Spin]) {
        for c in 0..3 {
            for (p, s) in self.0[c].iter_mut().zip(spins) {
                *p = s[c];
            }
        }
    }

    #[inline(always)]
    fn store(&self, spins: &mut [Spin]) {
        for (i, s) in spins.iter_mut().enumerate() {
            *s = [self.0[0][i], self.0[1][i], self.0[2][i], 0.0];
        }
    }

    #[inline(always)]
    fn vector<S: Simd>(&self, k: usize) -> [S::f64s; 3] {
        let plane = |c: usize| S::as_simd_f64s(&self.0[c]).0[k];
        [plane(0), plane(1), plane(2)]
    }

    #[inline(always)]
    fn set<S: Simd>(&mut self, k: usize, value: [S::f64s; 3]) {
        for c in 0..3 {
            S::as_mut_simd_f64s(&mut self.0[c]).0[k] = value[c];
        }
    }
}

#[inline(always)]
fn splat<S: Simd>(simd: S, s: &Spin) -> [S::f64s; 3] {
    [simd.splat_f64s(s[0]), simd.splat_f64s(s[1]), simd.splat_f64s(s[2])]
}

#[inline(always)]
fn inner<S: Simd>(simd: S, a: [S::f64s; 3], b: [S::f64s; 3]) -> S::f64s {
    simd.mul_add_e_f64s(a[2], b[2], simd.mul_add_e_f64s(a[1], b[1], simd.mul_f64s(a[0], b[0])))
}

#[inline(always)]
fn accumulate<S: Simd>(simd: S, sum: &mut [S::f64s; 3], x: S::f64s, a: [S::f64s; 3]) {
    for c in 0..3 {
        sum[c] = simd.mul_add_e_f64s(x, a[c], sum[c]);
    }
}

/// Planes of the quantities that the loops run over.
#[derive(Debug, Clone)]
pub(super) struct AttentionPlanes {
    left: Planes,
    right: Planes,
    out: Planes,
    second: Planes,
}

impl AttentionPlanes {
    pub fn new(padded: usize) -> Self {
        let planes = || Planes::zeros(padded);
        Self { left: planes(), right: planes(), out: planes(), second: planes() }
    }
}

/// `out_i = scale sum_j max(0, q_i . k_j) v_j`
#[inline(always)]
pub(super) fn relu_forward<S: Simd>(
    simd: S,
    planes: &mut AttentionPlanes,
    [q, k, v]: [&[Spin]; 3],
    scale: f64,
    out: &mut [Spin],
) {
    let zero = simd.splat_f64s(0.0);
    planes.left.load(q);
    for block in 0..planes.left.0[0].len() / S::F64_LANES {
        let qs = planes.left.vector::<S>(block);
        let mut sum = [zero; 3];
        for (k, v) in k.iter().zip(v) {
            let score = simd.max_f64s(inner(simd, qs, splat(simd, k)), zero);
            accumulate(simd, &mut sum, score, splat(simd, v));
        }
        planes.out.set::<S>(block, each(sum, |s| simd.mul_f64s(s, simd.splat_f64s(scale))));
    }
    planes.out.store(out);
}

/// Reverse pass of [`relu_forward`]: cotangent `a` (already times `scale`) to cotangents of q, k, v.
#[inline(always)]
pub(super) fn relu_pullback<S: Simd>(
    simd: S,
    planes: &mut AttentionPlanes,
    [q, k, v]: [&[Spin]; 3],
    a: &[Spin],
    [dq, dk, dv]: [&mut [Spin]; 3],
) {
    let zero = simd.splat_f64s(0.0);
    let blocks = planes.left.0[0].len() / S::F64_LANES;
    planes.left.load(q);
    planes.right.load(a);
    for block in 0..blocks {
        let (qs, cotangents) = (planes.left.vector::<S>(block), planes.right.vector::<S>(block));
        let mut sum = [zero; 3];
        for (k, v) in k.iter().zip(v) {
            let ks = splat(simd, k);
            let positive = simd.greater_than_f64s(inner(simd, qs, ks), zero);
            let slope = simd.select_f64s(positive, inner(simd, cotangents, splat(simd, v)), zero);
            accumulate(simd, &mut sum, slope, ks);
        }
        planes.out.set::<S>(block, sum);
    }
    planes.out.store(dq);
    planes.left.load(k);
    planes.right.load(v);
    for block in 0..blocks {
        let (ks, vs) = (planes.left.vector::<S>(block), planes.right.vector::<S>(block));
        let (mut key, mut value) = ([zero; 3], [zero; 3]);
        for (q, a) in q.iter().zip(a) {
            let (qs, cotangents) = (splat(simd, q), splat(simd, a));
            let score = inner(simd, qs, ks);
            let positive = simd.greater_than_f64s(score, zero);
            let slope = simd.select_f64s(positive, inner(simd, cotangents, vs), zero);
            accumulate(simd, &mut key, slope, qs);
            accumulate(simd, &mut value, simd.max_f64s(score, zero), cotangents);
        }
        planes.out.set::<S>(block, key);
        planes.second.set::<S>(block, value);
    }
    planes.out.store(dk);
    planes.second.store(dv);
}

/// Row `p_j = exp(q . k_j) / sum_j exp(q . k_j)`.
fn softmax_row(q: &Spin, k: &[Spin], row: &mut [f64]) {
    let mut largest = f64::NEG_INFINITY;
    for (p, k) in row.iter_mut().zip(k) {
        *p = dot(q, k);
        largest = largest.max(*p);
    }
    let mut total = 0.0;
    for p in row.iter_mut() {
        *p = (*p - largest).exp();
        total += *p;
    }
    row.iter_mut().for_each(|p| *p /= total);
}

/// `out_i = sum_j softmax_j(q_i . k_j) v_j`
pub(super) fn softmax_forward([q, k, v]: [&[Spin]; 3], row: &mut [f64], out: &mut [Spin]) {
    for (q, out) in q.iter().zip(out) {
        softmax_row(q, k, row);
        *out = [0.0; 4];
        for (p, v) in row.iter().zip(v) {
            add_scaled(out, *p, v);
        }
    }
}

/// Reverse pass of [`softmax_forward`]: cotangent `a` to cotangents of q, k, v.
pub(super) fn softmax_pullback([q, k, v]: [&[Spin]; 3], a: &[Spin], row: &mut [f64], [dq, dk, dv]: [&mut [Spin]; 3]) {
    dk.fill([0.0; 4]);
    dv.fill([0.0; 4]);
    for i in 0..q.len() {
        softmax_row(&q[i], k, row);
        let mean: f64 = row.iter().zip(v).map(|(p, v)| p * dot(&a[i], v)).sum();
        dq[i] = [0.0; 4];
        for (j, &p) in row.iter().enumerate() {
            let slope = p * (dot(&a[i], &v[j]) - mean);
            add_scaled(&mut dq[i], slope, &k[j]);
            add_scaled(&mut dk[j], slope, &q[i]);
            add_scaled(&mut dv[j], p, &a[i]);
        }
    }
}
