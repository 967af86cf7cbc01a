//! The passes of one masked update over its active links: forward with log det, inverse, and reverse.
//!
//! U' = exp(A) U, A = -TA(M), M = U sum_k c_k V_k. For dS = Re tr(B dM) the active link takes Ad(e^-A) F' - TA(M B)/METRIC, and
//! a passive one -TA(W ...)/METRIC of every loop through W in which c_k B U stands for the active link.

use super::jacobian::{self, MAX_N, Tables};
use super::slice::{Passages, Passives, Slice};
use crate::action;
use crate::field::{self, SiteKernel, SumKernel};
use crate::group;
use crate::lattice::Program;
use crate::map::stout::through_exponential;
use crate::matrix::{Algebra, Complex, Matrix};
use crate::number::Real;

/// Coefficients of the groups, `[active site vector][group]`.
pub(super) type Coefficients<'a, R> = &'a [R];

/// The sum of staples of active link `n`.
#[inline(always)]
fn staples<R: Real, const N: usize>(
    programs: &[Program],
    (links, vector): (&[Matrix<R, N>], usize),
    slots: &mut [Matrix<R, N>],
    (c, n): (Coefficients<'_, R>, usize),
) -> Matrix<R, N> {
    let c = &c[n * programs.len()..];
    let mut sum = Matrix::zero();
    for (k, program) in programs.iter().enumerate() {
        program.run(links, slots, vector);
        sum.add_assign(&slots[0].scale(c[k]));
    }
    sum
}

#[inline(always)]
fn generator<R: Real, const N: usize>(m: &Matrix<R, N>) -> Algebra<R, N> {
    m.algebra_part().scale(R::splat(-1.0))
}

/// exp(A) U; its sum is log det, if asked for.
pub(super) struct Advance<'a, R, const N: usize> {
    pub slice: &'a Slice,
    /// `[site vector][mu]`.
    pub links: &'a [Matrix<R, N>],
    pub ndim: usize,
    pub coefficients: Coefficients<'a, R>,
    pub log_det: bool,
    pub tables: &'a Tables,
}

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for Advance<'_, R, N> {
    type Scratch = Vec<Matrix<R, N>>;
    fn scratch(&self) -> Self::Scratch {
        action::scratch(&self.slice.staples)
    }
    #[inline(always)]
    fn at(&self, slots: &mut Self::Scratch, n: usize, image: &mut [Matrix<R, N>]) -> R {
        if N > MAX_N {
            return R::zero();
        }
        let (vector, mask) = self.slice.active[n];
        let link = &self.links[vector * self.ndim + self.slice.direction];
        let sum = staples(&self.slice.staples, (self.links, vector), slots, (self.coefficients, n));
        let m = link.mul(&sum);
        image[0] = link.blend(&group::exp(&generator(&m)).mul(link), mask);
        match self.log_det {
            true => R::zero().blend(jacobian::log_det(self.tables, &m), mask),
            false => R::zero(),
        }
    }
}

/// A link that was solved for, and the change in its last step.
#[derive(Clone, Copy, bytemuck::Zeroable)]
#[zeroable(bound = "R: bytemuck::Zeroable")]
pub(super) struct Solved<R, const N: usize> {
    pub link: Matrix<R, N>,
    pub change: R,
    pub iterations: R,
}

/// U <- exp(-A(U)) U' to the fixed point: a contraction by sum |c_k| n_k in every link.
pub(super) struct Solve<'a, R, const N: usize> {
    pub slice: &'a Slice,
    pub links: &'a [Matrix<R, N>],
    pub ndim: usize,
    pub coefficients: Coefficients<'a, R>,
    pub tolerance: f64,
    pub most: usize,
}

impl<R: Real, const N: usize> SiteKernel<R, Solved<R, N>> for Solve<'_, R, N> {
    type Scratch = Vec<Matrix<R, N>>;
    fn scratch(&self) -> Self::Scratch {
        action::scratch(&self.slice.staples)
    }
    #[inline(always)]
    fn at(&self, slots: &mut Self::Scratch, n: usize, solved: &mut [Solved<R, N>]) -> R {
        if N > MAX_N {
            return R::zero();
        }
        let (vector, mask) = self.slice.active[n];
        let image = &self.links[vector * self.ndim + self.slice.direction];
        let sum = staples(&self.slice.staples, (self.links, vector), slots, (self.coefficients, n));
        let (mut link, mut change, mut steps) = (*image, R::one(), 0);
        let is_open = |change: f64| change >= self.tolerance || change.is_nan();
        while steps < self.most && is_open(change.max_lane()) {
            let next = group::exp(&link.mul(&sum).algebra_part()).mul(image);
            let step = next.add(&link.scale(R::splat(-1.0))).norm2().sqrt();
            change = R::zero().blend(step, mask);
            link = next;
            steps += 1;
        }
        solved[0] = Solved { link: image.blend(&link, mask), change, iterations: R::splat(steps as f64) };
        R::zero()
    }
}

/// What the reverse pass makes of an active link.
#[derive(Clone, Copy, bytemuck::Zeroable)]
#[zeroable(bound = "R: bytemuck::Zeroable")]
pub(super) struct Turn<R, const N: usize> {
    /// The cotangent at the input.
    pub below: Algebra<R, N>,
    /// B U.
    pub replaced: Matrix<R, N>,
}

/// The reverse pass of active links.
pub(super) struct Reverse<'a, R, const N: usize> {
    pub slice: &'a Slice,
    /// `[site vector][width]`.
    pub items: &'a [Matrix<R, N>],
    pub width: usize,
    pub ndim: usize,
    pub coefficients: Coefficients<'a, R>,
    pub cotangent: &'a [Algebra<R, N>],
    /// Factor of log det.
    pub weight: f64,
    pub tables: &'a Tables,
}

impl<R: Real, const N: usize> SiteKernel<R, Turn<R, N>> for Reverse<'_, R, N> {
    type Scratch = Vec<Matrix<R, N>>;
    fn scratch(&self) -> Self::Scratch {
        action::scratch(&self.slice.wide)
    }
    #[inline(always)]
    fn at(&self, slots: &mut Self::Scratch, n: usize, turn: &mut [Turn<R, N>]) -> R {
        if N > MAX_N {
            return R::zero();
        }
        let (vector, mask) = self.slice.active[n];
        let link = &self.items[vector * self.width + self.slice.direction];
        let sum = staples(&self.slice.wide, (self.items, vector), slots, (self.coefficients, n));
        let m = link.mul(&sum);
        let above = &self.cotangent[vector * self.ndim + self.slice.direction];
        let [below, lambda] = through_exponential(&generator(&m), above);
        let mut b = lambda.to_matrix().scale(R::splat(Algebra::<R, N>::METRIC));
        if self.weight != 0.0 {
            b.add_assign(&jacobian::slope(self.tables, &m).scale(R::splat(self.weight)));
        }
        let turned = below.add_scaled(R::splat(-1.0 / Algebra::<R, N>::METRIC), &m.mul(&b).algebra_part());
        turn[0].below = blend(above, &turned, mask);
        turn[0].replaced = b.mul(link);
        R::zero()
    }
}

#[inline(always)]
fn blend<R: Real, const N: usize>(
    old: &Algebra<R, N>,
    new: &Algebra<R, N>,
    mask: crate::number::LaneMask,
) -> Algebra<R, N> {
    let mut out = *old;
    for i in 0..N {
        for j in 0..N {
            out.0[i][j] = old.0[i][j].blend(new.0[i][j], mask);
        }
    }
    out
}

/// dS/dc_k = Re tr(B U V_k) of active links, and its sums.
pub(super) struct Slopes<'a, R, const N: usize> {
    pub slice: &'a Slice,
    pub items: &'a [Matrix<R, N>],
    pub turns: &'a [Turn<R, N>],
}

impl<R: Real, const N: usize> SumKernel<R, R> for Slopes<'_, R, N> {
    type Scratch = Vec<Matrix<R, N>>;
    fn scratch(&self) -> Self::Scratch {
        action::scratch(&self.slice.wide)
    }
    #[inline(always)]
    fn at(&self, slots: &mut Self::Scratch, sums: &mut [R], n: usize, slopes: &mut [R]) {
        if N > MAX_N {
            return;
        }
        let (vector, mask) = self.slice.active[n];
        for (k, program) in self.slice.wide.iter().enumerate() {
            program.run(self.items, slots, vector);
            slopes[k] = R::zero().blend(self.turns[n].replaced.trace_mul(&slots[0]).re, mask);
            sums[k] += slopes[k];
        }
    }
}

/// Links with room for replacements behind those of each site.
pub(super) struct Widen<'a, R, const N: usize> {
    pub links: &'a [Matrix<R, N>],
    pub ndim: usize,
}

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for Widen<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, items: &mut [Matrix<R, N>]) -> R {
        items[..self.ndim].copy_from_slice(&self.links[vector * self.ndim..(vector + 1) * self.ndim]);
        R::zero()
    }
}

/// Puts c_k B U of active links behind the links of their sites.
pub(super) struct Place<'a, R, const N: usize> {
    pub slice: &'a Slice,
    pub turns: &'a [Turn<R, N>],
    pub coefficients: Coefficients<'a, R>,
    pub ndim: usize,
}

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for Place<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, items: &mut [Matrix<R, N>]) -> R {
        let n = self.slice.number[vector] as usize;
        if n < self.turns.len() {
            let groups = self.slice.staples.len();
            for (item, &c) in items[self.ndim..].iter_mut().zip(&self.coefficients[n * groups..][..groups]) {
                *item = self.turns[n].replaced.scale(c);
            }
        }
        R::zero()
    }
}

/// Adds to the cotangents of passive links.
pub(super) struct Passive<'a, R, const N: usize> {
    pub passives: &'a Passives,
    pub items: &'a [Matrix<R, N>],
    pub width: usize,
}

impl<R: Real, const N: usize> SiteKernel<R, Algebra<R, N>> for Passive<'_, R, N> {
    type Scratch = Vec<Matrix<R, N>>;
    fn scratch(&self) -> Self::Scratch {
        action::scratch(&self.passives.programs)
    }
    #[inline(always)]
    fn at(&self, slots: &mut Self::Scratch, vector: usize, cotangents: &mut [Algebra<R, N>]) -> R {
        if N > MAX_N {
            return R::zero();
        }
        let factor = R::splat(-1.0 / Algebra::<R, N>::METRIC);
        for target in &self.passives.targets[self.passives.first[vector]..self.passives.first[vector + 1]] {
            self.passives.programs[target.program].run(self.items, slots, vector);
            let link = &self.items[vector * self.width + target.direction];
            let cotangent = &mut cotangents[target.direction];
            let sum = cotangent.add_scaled(factor, &link.mul(&slots[0]).algebra_part());
            *cotangent = blend(cotangent, &sum, target.mask);
        }
        R::zero()
    }
}

/// Where links commute: Im(c_k B U V) of every staple V of active links, then dS/dc_k of their groups, with the sums of these.
pub(super) struct Arms<'a, R, const N: usize> {
    pub slice: &'a Slice,
    pub items: &'a [Matrix<R, N>],
    pub turns: &'a [Turn<R, N>],
    pub coefficients: Coefficients<'a, R>,
}

impl<R: Real, const N: usize> SumKernel<R, R> for Arms<'_, R, N> {
    type Scratch = Vec<Matrix<R, N>>;
    fn scratch(&self) -> Self::Scratch {
        vec![Matrix::zero(); self.slice.arms.iter().map(|arm| arm.program.slots()).max().unwrap_or(0)]
    }
    #[inline(always)]
    fn at(&self, slots: &mut Self::Scratch, sums: &mut [R], n: usize, numbers: &mut [R]) {
        if N != 1 {
            return;
        }
        let (vector, mask) = self.slice.active[n];
        let (loops, slopes) = numbers.split_at_mut(self.slice.arms.len());
        let groups = slopes.len();
        for (arm, number) in self.slice.arms.iter().zip(loops) {
            arm.program.run(self.items, slots, vector);
            let product = self.turns[n].replaced.trace_mul(&slots[0]).scale(R::splat(arm.weight));
            let c = self.coefficients[n * groups + arm.group];
            *number = R::zero().blend(c * product.im, mask);
            slopes[arm.group] += R::zero().blend(product.re, mask);
        }
        sums.iter_mut().zip(slopes).for_each(|(sum, slope)| *sum += *slope);
    }
}

/// Adds to the cotangents of links those of the loops through them, where links commute: -Im W with the sign of the direction, from
/// numbers `[site vector][width]`, or `[number of the site vector][width]` of some.
pub(super) struct Collect<'a, R> {
    pub passages: &'a Passages,
    pub number: Option<&'a [u32]>,
    pub numbers: &'a [R],
    pub width: usize,
}

impl<R: Real, const N: usize> SiteKernel<R, Algebra<R, N>> for Collect<'_, R> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, cotangents: &mut [Algebra<R, N>]) -> R {
        for (lanes, directions) in &self.passages.classes {
            let mask = lanes[vector];
            if mask == 0 {
                continue;
            }
            for (cotangent, passages) in cotangents.iter_mut().zip(directions) {
                let mut sum = R::zero();
                for passage in passages {
                    let to = passage.shift[vector];
                    let place = self.number.map_or(to.site(), |number| number[to.site()] as usize);
                    let Some(&x) = self.numbers.get(place * self.width + passage.number) else { continue };
                    let x = match to.permutation() {
                        0 => x,
                        n => x.permute(self.passages.lattice.permutation(n)),
                    };
                    if passage.is_backward {
                        sum -= x;
                    } else {
                        sum += x;
                    }
                }
                let sum = Complex::new(R::zero(), R::zero().blend(sum, mask));
                let step = Matrix::from_fn(|_, _| sum).algebra_part();
                *cotangent = cotangent.add_scaled(R::splat(-1.0 / Algebra::<R, N>::METRIC), &step);
            }
        }
        R::zero()
    }
}

/// Runs a kernel over a list.
pub(super) fn over<R: Real, Item: Send + bytemuck::Zeroable>(
    kernel: &impl SiteKernel<R, Item>,
    count: usize,
) -> (Vec<Item>, R::Total) {
    let mut items = field::zeros(count);
    let sum = field::for_each::<R, _, _>(kernel, 1, &mut items);
    (items, sum)
}
