//! The clover term (Sheikholeslami, Wohlert 1985): A = m + d - (c_sw/2) sum_{mu<nu} gamma_mu gamma_nu F_mu nu + i mu gamma_5 with
//! F = (sum of the four leaves - h.c.)/8, as one block of numbers for each chirality and site.

use super::gamma;
use crate::error::{Error, Result};
use crate::field::{self, SiteKernel, SumKernel};
use crate::gauge::GaugeField;
use crate::lattice::{MAX_DIMENSIONS, Program, Sites, WeightedPath, path};
use crate::matrix::{Complex, Matrix};
use crate::number::Real;
use num_complex::Complex64;

/// gamma_mu gamma_nu, `[row][column]`.
pub(super) fn product<const S: usize>(mu: usize, nu: usize) -> [[Complex64; S]; S] {
    let numbers = |mu| gamma::matrix::<S>(mu).map(|row| row.map(|(re, im)| Complex64::new(re, im)));
    let (a, b) = (numbers(mu), numbers(nu));
    std::array::from_fn(|i| std::array::from_fn(|j| (0..S).map(|k| a[i][k] * b[k][j]).sum()))
}

struct Blocks<'a, R, const N: usize, const S: usize> {
    field: &'a GaugeField<R, N>,
    planes: Vec<(Program, [[Complex64; S]; S])>,
    csw: f64,
    mass: f64,
    mu: f64,
}

impl<R: Real, const N: usize, const S: usize> SiteKernel<R, Complex<R>> for Blocks<'_, R, N, S> {
    type Scratch = Vec<Matrix<R, N>>;
    fn scratch(&self) -> Self::Scratch {
        field::zeros(self.planes.iter().map(|(p, _)| p.scratch::<R, N>().len()).max().unwrap_or(1))
    }
    #[inline(always)]
    fn at(&self, slots: &mut Self::Scratch, position: usize, block: &mut [Complex<R>]) -> R {
        let (half, size) = (S / 2, S / 2 * N);
        block.fill(Complex::zero());
        for (chirality, block) in block.chunks_exact_mut(size * size).enumerate() {
            let mu = if chirality == 0 { self.mu } else { -self.mu };
            for i in 0..size {
                block[i * size + i] = Complex::new(R::splat(self.mass), R::splat(mu));
            }
        }
        let vector = self.field.lattice().order().vector(position);
        for (program, sigma) in &self.planes {
            program.run(self.field.links(), slots, vector);
            let leaves = slots[0];
            for (chirality, block) in block.chunks_exact_mut(size * size).enumerate() {
                for (s, t) in (0..half).flat_map(|s| (0..half).map(move |t| (s, t))) {
                    let z = sigma[chirality * half + s][chirality * half + t] * (-0.5 * self.csw / 8.0);
                    let z = Complex::new(R::splat(z.re), R::splat(z.im));
                    for (i, j) in (0..N).flat_map(|i| (0..N).map(move |j| (i, j))) {
                        let f = leaves.0[i][j] - leaves.0[j][i].conj();
                        let entry = &mut block[(s * N + i) * size + t * N + j];
                        *entry = entry.fma(z, f);
                    }
                }
            }
        }
        R::zero()
    }
}

/// Gauss-Jordan elimination without a choice of pivots: the blocks are Hermitian and positive, or far from singular. Sums |inverse|^2,
/// and ln |det| over the odd sites.
struct Invert<'a, R> {
    blocks: &'a [Complex<R>],
    size: usize,
    first_odd: usize,
}

impl<R: Real> SumKernel<R, Complex<R>> for Invert<'_, R> {
    type Scratch = Vec<Complex<R>>;
    fn scratch(&self) -> Self::Scratch {
        field::zeros(self.size * self.size)
    }
    #[inline(always)]
    fn at(&self, work: &mut Self::Scratch, sums: &mut [R], position: usize, inverse: &mut [Complex<R>]) {
        let (size, width) = (self.size, inverse.len());
        let source = &self.blocks[position * width..(position + 1) * width];
        for (inverse, source) in inverse.chunks_exact_mut(size * size).zip(source.chunks_exact(size * size)) {
            work.copy_from_slice(source);
            for i in 0..size * size {
                inverse[i] = Complex::real(if i % (size + 1) == 0 { R::one() } else { R::zero() });
            }
            for k in 0..size {
                let pivot = work[k * size + k];
                if position >= self.first_odd {
                    sums[1] += pivot.norm2().ln() * R::splat(0.5);
                }
                let reciprocal = pivot.conj().scale(R::one() / pivot.norm2());
                for j in 0..size {
                    work[k * size + j] = work[k * size + j] * reciprocal;
                    inverse[k * size + j] = inverse[k * size + j] * reciprocal;
                }
                for i in 0..size {
                    if i == k {
                        continue;
                    }
                    let factor = -work[i * size + k];
                    for j in 0..size {
                        work[i * size + j] = work[i * size + j].fma(factor, work[k * size + j]);
                        inverse[i * size + j] = inverse[i * size + j].fma(factor, inverse[k * size + j]);
                    }
                }
            }
        }
        for z in inverse.iter() {
            sums[0] += z.norm2();
        }
    }
}

/// Blocks and their inverses, `[position][chirality][row][column]`, and ln |det| of all blocks of the odd sites together (zero where even
/// and odd sites share site vectors).
pub type Inverted<R> = ([Vec<Complex<R>>; 2], <R as Real>::Total);

/// The blocks of a field.
pub fn blocks<R: Real, const N: usize, const S: usize>(
    field: &GaugeField<R, N>,
    (mass, mu, csw): (f64, f64, f64),
) -> Result<Inverted<R>> {
    let lattice = field.lattice();
    let plane = |(mu, nu): (i8, i8)| {
        let corners = [(mu, nu), (nu, -mu), (-mu, -nu), (-nu, mu)];
        let leaf = |&(a, b): &(i8, i8)| WeightedPath { weight: 1.0, path: path::rectangle(a, b, 1, 1) };
        let leaves: Vec<_> = corners.iter().map(leaf).collect();
        (Program::new(lattice, [0; MAX_DIMENSIONS], &leaves), product::<S>(mu as usize - 1, nu as usize - 1))
    };
    let planes = path::planes(lattice.ndim()).map(plane).collect();
    let (size, width) = (S / 2 * N, 2 * (S / 2 * N) * (S / 2 * N));
    let mut direct = field::zeros(lattice.vectors() * width);
    field::for_each::<R, _, _>(&Blocks::<R, N, S> { field, planes, csw, mass, mu }, width, &mut direct);
    let mut inverse = field::zeros(direct.len());
    let first_odd = lattice.order().range(Sites::Odd).map_or(lattice.vectors(), |(first, _)| first);
    let kernel = Invert { blocks: &direct, size, first_odd };
    let sums = field::for_each_summed::<R, _, _>(&kernel, width, &mut inverse, 2);
    if !sums.iter().all(|sum| sum.lane(0).is_finite()) {
        return Err(Error::value(format!(
            "the clover term is singular or not finite somewhere (mass {mass}, csw {csw}): take a heavier quark or a smaller csw"
        )));
    }
    Ok(([direct, inverse], sums[1]))
}
