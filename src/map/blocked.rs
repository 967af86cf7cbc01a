//! APE smearing (Albanese et al., Phys. Lett. B 192 (1987) 163) and HYP smearing (Hasenfratz and Knechtli, hep-lat/0103029):
//! averages of a link and staples of (possibly already smeared) links, projected to the group.

use crate::error::Result;
use crate::field::{self, SiteKernel};
use crate::gauge::GaugeField;
use crate::group;
use crate::interrupt;
use crate::lattice::{Displacement, Lattice, Neighbor, Shift};
use crate::matrix::Matrix;
use crate::number::Real;
use std::collections::HashMap;
use std::sync::Arc;

/// Links of one direction on all site vectors.
type Direction<R, const N: usize> = Vec<Matrix<R, N>>;

/// The two staples of a link of direction `mu` in the plane with `nu`: side links from one field, the far link from another.
struct Staple<'a, R, const N: usize> {
    side: &'a [Matrix<R, N>],
    far: &'a [Matrix<R, N>],
    /// Shifts by mu, nu, -nu and mu - nu.
    shifts: [Shift; 4],
}

/// Project((1 - alpha) U + factor x sum of staples).
struct Average<'a, R, const N: usize> {
    lattice: &'a Lattice,
    thin: &'a [Matrix<R, N>],
    staples: Vec<Staple<'a, R, N>>,
    alpha: f64,
}

impl<R: Real, const N: usize> Average<'_, R, N> {
    #[inline(always)]
    fn fetch(&self, links: &[Matrix<R, N>], at: Neighbor) -> Matrix<R, N> {
        self.lattice.load(links, 1, 0, at)
    }
}

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for Average<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, links: &mut [Matrix<R, N>]) -> R {
        let mut sum = Matrix::zero();
        for staple in &self.staples {
            let [mu, nu, back, corner] = [0, 1, 2, 3].map(|k: usize| staple.shifts[k][vector]);
            let up = staple.side[vector].mul(&self.fetch(staple.far, nu));
            sum.add_assign(&up.mul_adjoint(&self.fetch(staple.side, mu)));
            let down = self.fetch(staple.side, back).adjoint_mul(&self.fetch(staple.far, back));
            sum.add_mul(&down, &self.fetch(staple.side, corner));
        }
        let factor = self.alpha / (2 * self.staples.len()) as f64;
        let average = self.thin[vector].scale(R::splat(1.0 - self.alpha)).add(&sum.scale(R::splat(factor)));
        links[0] = group::project(&average);
        R::zero()
    }
}

/// The smeared links of direction `mu`: `decorated(nu)` gives the side and far links of the plane with nu.
fn average<'a, R: Real, const N: usize>(
    lattice: &Arc<Lattice>,
    thin: &'a [Matrix<R, N>],
    mu: usize,
    alpha: f64,
    planes: impl Iterator<Item = usize>,
    decorated: impl Fn(usize) -> [&'a [Matrix<R, N>]; 2],
) -> Result<Direction<R, N>> {
    interrupt::poll()?;
    let unit = |nu: usize, sign: i32| -> Displacement { std::array::from_fn(|k| if k == nu { sign } else { 0 }) };
    let sum = |a: Displacement, b: Displacement| std::array::from_fn(|k| a[k] + b[k]);
    let staples = planes
        .map(|nu| {
            let [side, far] = decorated(nu);
            let steps = [unit(mu, 1), unit(nu, 1), unit(nu, -1), sum(unit(mu, 1), unit(nu, -1))];
            Staple { side, far, shifts: steps.map(|d| lattice.shift(d)) }
        })
        .collect();
    let mut smeared = field::zeros(thin.len());
    field::for_each::<R, _, _>(&Average { lattice, thin, staples, alpha }, 1, &mut smeared);
    Ok(smeared)
}

fn split<R: Real, const N: usize>(u: &GaugeField<R, N>) -> Vec<Direction<R, N>> {
    let ndim = u.lattice().ndim();
    (0..ndim).map(|mu| u.links().iter().skip(mu).step_by(ndim).copied().collect()).collect()
}

fn join<R: Real, const N: usize>(lattice: &Arc<Lattice>, directions: &[Direction<R, N>]) -> GaugeField<R, N> {
    let links = (0..lattice.vectors()).flat_map(|vector| directions.iter().map(move |links| links[vector]));
    GaugeField::new(lattice.clone(), links.collect())
}

/// One APE step on the links of `directions`, with staples in these directions only:
/// U' = Project((1 - alpha) U + alpha/(2(d - 1)) sum of staples), d the number of directions.
pub fn ape<R: Real, const N: usize>(
    u: &GaugeField<R, N>,
    alpha: f64,
    directions: &[usize],
) -> Result<GaugeField<R, N>> {
    let thin = split(u);
    let mut smeared = thin.clone();
    for &mu in directions {
        let planes = directions.iter().copied().filter(|&nu| nu != mu);
        smeared[mu] = average(u.lattice(), &thin[mu], mu, alpha, planes, |nu| [&thin[nu], &thin[mu]])?;
    }
    Ok(join(u.lattice(), &smeared))
}

/// One HYP step in three or four dimensions: `alphas` from the outermost level inwards (alpha_1, alpha_2, alpha_3; in three
/// dimensions two of them). Each level uses only directions orthogonal to those of the levels outside it.
pub fn hyp<R: Real, const N: usize>(u: &GaugeField<R, N>, alphas: &[f64]) -> Result<GaugeField<R, N>> {
    let ndim = u.lattice().ndim();
    let mut blocked = Blocked { lattice: u.lattice(), thin: split(u), alphas, links: HashMap::new() };
    let all = u8::MAX >> (8 - ndim);
    (0..ndim).try_for_each(|mu| blocked.add(mu, all, alphas.len()))?;
    let smeared: Vec<_> = (0..ndim).filter_map(|mu| blocked.links.remove(&(mu, all))).collect();
    Ok(join(u.lattice(), &smeared))
}

/// The links of all levels, each made once: 28 projections and 96 staples a site in four dimensions.
struct Blocked<'a, R, const N: usize> {
    lattice: &'a Arc<Lattice>,
    thin: Vec<Direction<R, N>>,
    alphas: &'a [f64],
    /// By direction and the set of directions (bit mu) that their staples, of all levels, lie in.
    links: HashMap<(usize, u8), Direction<R, N>>,
}

impl<R: Real, const N: usize> Blocked<'_, R, N> {
    /// Makes the links of direction `mu` with staples in the `allowed` directions, which the level below may not reuse.
    fn add(&mut self, mu: usize, allowed: u8, level: usize) -> Result<()> {
        if level == 0 || self.links.contains_key(&(mu, allowed)) {
            return Ok(());
        }
        let ndim = self.thin.len();
        let planes = (0..ndim).filter(|&nu| nu != mu && allowed >> nu & 1 == 1);
        for nu in planes.clone() {
            self.add(nu, allowed & !(1 << mu), level - 1)?;
            self.add(mu, allowed & !(1 << nu), level - 1)?;
        }
        let sides = |nu: usize| [self.get(nu, allowed & !(1 << mu)), self.get(mu, allowed & !(1 << nu))];
        let alpha = self.alphas[self.alphas.len() - level];
        let links = average(self.lattice, &self.thin[mu], mu, alpha, planes, sides)?;
        self.links.insert((mu, allowed), links);
        Ok(())
    }

    /// Links of a level, or those that nothing was done to.
    fn get(&self, mu: usize, allowed: u8) -> &[Matrix<R, N>] {
        self.links.get(&(mu, allowed)).unwrap_or(&self.thin[mu])
    }
}
