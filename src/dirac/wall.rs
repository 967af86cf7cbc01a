//! Domain-wall fermions (Y. Shamir, 1993; Moebius: R. Brower, H. Neff, K. Orginos, arXiv:1206.5214).
//!
//! D = 1 - M + D_W(-m5) (b + c M) with M = P_- T_(s+1) + P_+ T_(s-1), which has -m where it goes around the fifth dimension. With the
//! hopping term H of D_W this is A + H B: B = b + c M and A = 1 - M + (d - m5) B are real matrices in s for each chirality, so that
//! the even-odd form is that of every other operator. The slices are `[site][s][spin][colour]`: columns to the hopping term.

use super::hopping::{Onto, Sums};
use super::stencil::{LinkQuark, Quark};
use crate::error::{Error, Result};
use crate::field::{self, Pool, SiteKernel, Space, Vector};
use crate::gauge::LinkAlgebra;
use crate::matrix::Complex;
use crate::number::Real;

/// Numbers of a domain wall.
#[derive(Debug, Clone, Copy)]
pub struct Wall {
    /// Quark mass m.
    pub mass: f64,
    /// Extent of the fifth dimension.
    pub ls: usize,
    /// Coefficients of the Moebius kernel.
    pub kernel: [f64; 2],
    /// d - m5.
    pub at_site: f64,
}

/// `[row][column]`
type Dense = Vec<Vec<f64>>;

impl Wall {
    /// p + q M for one chirality: 0 is gamma_5 = 1.
    fn matrix(&self, chirality: usize, p: f64, q: f64) -> Dense {
        let ls = self.ls;
        let mut matrix = vec![vec![0.0; ls]; ls];
        for (s, row) in matrix.iter_mut().enumerate() {
            row[s] += p;
            let (to, around) = match chirality {
                0 => ((s + ls - 1) % ls, s == 0),
                _ => ((s + 1) % ls, s + 1 == ls),
            };
            row[to] += if around { -self.mass * q } else { q };
        }
        matrix
    }

    /// A of both chiralities.
    fn at_site(&self) -> [Dense; 2] {
        let ([b, c], a) = (self.kernel, self.at_site);
        [0, 1].map(|chirality| self.matrix(chirality, 1.0 + a * b, a * c - 1.0))
    }

    /// B of both chiralities.
    fn hopped(&self) -> [Dense; 2] {
        let [b, c] = self.kernel;
        [0, 1].map(|chirality| self.matrix(chirality, b, c))
    }

    /// Bounds of the norms of A, A^-1 and B; None where A is singular.
    pub fn bounds(&self) -> Option<[f64; 3]> {
        let direct = self.at_site();
        let [Some(upper), Some(lower)] = direct.each_ref().map(inverted) else { return None };
        Some([direct, [upper, lower], self.hopped()].map(|both| both.iter().map(bound).fold(0.0, f64::max)))
    }
}

/// |M|^2 is at most the largest sum of |entries| over a row times that over a column.
fn bound(matrix: &Dense) -> f64 {
    let rows = |matrix: &Dense| matrix.iter().map(|row| row.iter().map(|x| x.abs()).sum()).fold(0.0, f64::max);
    (rows(matrix) * rows(&transposed(matrix))).sqrt()
}

fn transposed(matrix: &Dense) -> Dense {
    (0..matrix.len()).map(|column| matrix.iter().map(|row| row[column]).collect()).collect()
}

/// Gauss-Jordan elimination; None for a singular matrix.
fn inverted(matrix: &Dense) -> Option<Dense> {
    let size = matrix.len();
    let unit = |row: usize| (0..size).map(move |column| if row == column { 1.0 } else { 0.0 });
    let mut rows: Dense =
        matrix.iter().enumerate().map(|(n, row)| row.iter().copied().chain(unit(n)).collect()).collect();
    for k in 0..size {
        let pivot = (k..size).max_by(|&a, &b| rows[a][k].abs().total_cmp(&rows[b][k].abs()))?;
        rows.swap(k, pivot);
        let chosen = rows[k].clone();
        if chosen[k].abs() < 1e-12 {
            return None;
        }
        for (n, row) in rows.iter_mut().enumerate() {
            let factor = if n == k { 1.0 - 1.0 / chosen[k] } else { row[k] / chosen[k] };
            row.iter_mut().zip(&chosen).for_each(|(x, y)| *x -= factor * y);
        }
    }
    Some(rows.into_iter().map(|row| row[size..].to_vec()).collect())
}

/// The entries of one row that are not zero: column and value.
type Row<R> = Vec<(usize, R)>;

/// Real matrices in s, `[adjoint][chirality][row]`.
struct Slices<R>([[Vec<Row<R>>; 2]; 2]);

impl<R: Real> Slices<R> {
    fn new(matrices: &[Dense; 2]) -> Self {
        let row = |row: &Vec<f64>| {
            let entries = row.iter().enumerate().filter(|(_, x)| **x != 0.0);
            entries.map(|(column, &x)| (column, R::splat(x))).collect()
        };
        let sparse = |matrix: &Dense| matrix.iter().map(row).collect();
        Self([matrices.each_ref().map(sparse), matrices.each_ref().map(|matrix| sparse(&transposed(matrix)))])
    }
}

struct AcrossSlices<'a, R> {
    rows: &'a [Vec<Row<R>>; 2],
    x: &'a [Complex<R>],
    y: Option<&'a [Complex<R>]>,
    weight: R,
    add: bool,
    /// Components of one chirality of a slice.
    half: usize,
}

impl<R: Real> SiteKernel<R, Complex<R>> for AcrossSlices<'_, R> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, out: &mut [Complex<R>]) -> R {
        let (first, slice, ls) = (vector * out.len(), 2 * self.half, self.rows[0].len());
        for (k, out) in out.chunks_exact_mut(slice).enumerate() {
            let (s, column) = (k % ls, first + (k - k % ls) * slice);
            for (n, out) in out.iter_mut().enumerate() {
                let mut sum = Complex::zero();
                for &(from, factor) in &self.rows[usize::from(n >= self.half)][s] {
                    let x = self.x[column + from * slice + n];
                    sum = Complex::new(factor.mul_add(x.re, sum.re), factor.mul_add(x.im, sum.im));
                }
                *out = if self.add {
                    let y = self.y.map_or(*out, |y| y[first + k * slice + n]);
                    Complex::new(self.weight.mul_add(y.re, sum.re), self.weight.mul_add(y.im, sum.im))
                } else {
                    sum
                };
            }
        }
        R::zero()
    }
}

/// The operator on the links of one field.
pub struct DomainWall<R, const N: usize> {
    wilson: Box<dyn LinkQuark<R, N>>,
    space: Space,
    /// A and its inverse.
    direct: Slices<R>,
    inverse: Slices<R>,
    /// B, where it is more than the number b.
    hopped: Option<Slices<R>>,
    b: f64,
    spare: Pool<R>,
}

impl<R: Real, const N: usize> DomainWall<R, N> {
    /// Of the hopping term of Wilson fermions.
    pub fn new(wilson: Box<dyn LinkQuark<R, N>>, wall: Wall) -> Result<Self> {
        let [b, c] = wall.kernel;
        let direct = wall.at_site();
        let singular = || {
            Error::value(format!(
                "the part of the domain wall at the site is singular for mass {}, ls {}, b {b}, c {c}; change one of them",
                wall.mass, wall.ls
            ))
        };
        let [Some(upper), Some(lower)] = direct.each_ref().map(inverted) else { return Err(singular()) };
        let one = wilson.space();
        let space = Space::new(&one.lattice, one.sites, one.components * wall.ls);
        let hopped = (c != 0.0).then(|| Slices::new(&wall.hopped()));
        let (direct, inverse) = (Slices::new(&direct), Slices::new(&[upper, lower]));
        Ok(Self { wilson, space, direct, inverse, hopped, b, spare: Pool::default() })
    }

    /// `out = onto + slices x`.
    fn across(&self, slices: &Slices<R>, x: &Vector<R>, onto: Onto<'_, R>, adjoint: bool, out: &mut Vector<R>) {
        let (y, weight, add) = match onto {
            Onto::Nothing => (None, 0.0, false),
            Onto::Output(weight) => (None, weight, true),
            Onto::Vector(weight, y) => (Some(y.values.as_slice()), weight, true),
        };
        let half = self.wilson.space().components / 2;
        let rows = &slices.0[usize::from(adjoint)];
        let kernel = AcrossSlices { rows, x: &x.values, y, weight: R::splat(weight), add, half };
        field::for_each::<R, _, _>(&kernel, x.space.width(), &mut out.values);
    }
}

impl<R: Real, const N: usize> Quark<R> for DomainWall<R, N> {
    fn space(&self) -> &Space {
        &self.space
    }
    fn hop_summed(
        &self,
        x: &Vector<R>,
        onto: Onto<'_, R>,
        scale: f64,
        adjoint: bool,
        sums: Sums<'_, R>,
        out: &mut Vector<R>,
    ) -> Vec<R::Total> {
        let Some(hopped) = &self.hopped else {
            self.wilson.hop(x, onto, scale * self.b, adjoint, out);
            return sums.of(out);
        };
        let between = if adjoint { out.space.clone() } else { x.space.clone() };
        self.spare.with(&between, |spare| match adjoint {
            true => {
                self.wilson.hop(x, Onto::Nothing, scale, true, spare);
                self.across(hopped, spare, onto, true, out);
            }
            false => {
                self.across(hopped, x, Onto::Nothing, false, spare);
                self.wilson.hop(spare, onto, scale, false, out);
            }
        });
        sums.of(out)
    }
    fn constant(&self) -> Option<f64> {
        None
    }
    fn diagonal(&self, x: &Vector<R>, adjoint: bool, inverse: bool, out: &mut Vector<R>) {
        let slices = if inverse { &self.inverse } else { &self.direct };
        self.across(slices, x, Onto::Nothing, adjoint, out);
    }
    fn clover(&self) -> Option<(&[Complex<R>], R::Total)> {
        None
    }
    fn is_staggered(&self) -> bool {
        false
    }
}

impl<R: Real, const N: usize> LinkQuark<R, N> for DomainWall<R, N> {
    fn add_force(&self, left: &Vector<R>, right: &Vector<R>, weight: f64, out: &mut LinkAlgebra<R, N>) {
        let Some(hopped) = &self.hopped else { return self.wilson.add_force(left, right, weight * self.b, out) };
        self.spare.with(&right.space, |spare| {
            self.across(hopped, right, Onto::Nothing, false, spare);
            self.wilson.add_force(left, spare, weight, out);
        });
    }
}
