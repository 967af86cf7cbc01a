//! Local updates of links for every loop action: Cabibbo-Marinari heatbath (Phys. Lett. B 119 (1982) 387) with Kennedy-Pendleton
//! (Phys. Lett. B 156 (1985) 393), von Mises heatbath for U(1) (Best and Fisher, Appl. Stat. 28 (1979) 152), overrelaxation.

use crate::action::LoopAction;
use crate::error::{Error, Result};
use crate::field::{self, SiteKernel};
use crate::gauge::GaugeField;
use crate::group::{self, Quaternion, Subgroup};
use crate::interrupt;
use crate::lattice::Coloring;
use crate::lattice::path;
use crate::lattice::{Lattice, MAX_DIMENSIONS};
use crate::matrix::{Complex, Matrix};
use crate::number::{LaneMask, Real};
use crate::random::{Purpose, Stream};
use std::sync::Arc;

/// Below this value of 2k/N Kennedy-Pendleton rejects more often than Creutz' algorithm (Phys. Rev. D 21 (1980) 2308).
const CREUTZ_BELOW: f64 = 1.68;
/// Below this concentration the von Mises angle is drawn by rejection from the uniform distribution.
const UNIFORM_BELOW: f64 = 1e-3;
/// Attempts after which a link is left as it is.
const MAX_ATTEMPTS: u32 = 2000;

/// Heatbath followed by overrelaxation sweeps.
pub struct Heatbath {
    action: LoopAction,
    colorings: Vec<Coloring>,
    overrelaxation: usize,
}

/// What happened in one update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeatbathInfo {
    /// Mean number of colours per direction: how many passes a sweep needs.
    pub colors: f64,
}

/// The two local updates.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Update {
    Heatbath(Stream),
    Overrelaxation,
}

impl Heatbath {
    /// Prepares colourings so that no updated link sits in another's staple; refuses loops that pass a link twice.
    pub fn new(action: LoopAction, lattice: &Arc<Lattice>, overrelaxation: usize) -> Result<Self> {
        let coloring = |mu: usize| {
            let conflicts = path::conflicts(action.loops(), mu, lattice.extents());
            if conflicts.contains(&[0; MAX_DIMENSIONS]) {
                return Err(Error::value(format!(
                    "heatbath needs an action linear in each link, but on extents {:?} a loop of this action passes a link of \
                     direction {mu} twice; use HMC or a larger lattice",
                    lattice.extents()
                )));
            }
            Ok(Coloring::new(lattice, &conflicts))
        };
        let colorings = (0..lattice.ndim()).map(coloring).collect::<Result<_>>()?;
        Ok(Self { action, colorings, overrelaxation })
    }

    /// One heatbath sweep and the overrelaxation sweeps, from `field`; the links are reunitarised at the end.
    pub fn step<R: Real, const N: usize>(
        &self,
        field: &GaugeField<R, N>,
        seed: u64,
        sweep: u64,
    ) -> Result<(GaugeField<R, N>, HeatbathInfo)> {
        let mut field = field.clone();
        let mut fresh = field::zeros(field.lattice().vectors());
        self.sweep(&mut field, &mut fresh, Update::Heatbath(Stream::new(seed, Purpose::Heatbath, sweep)))?;
        for _ in 0..self.overrelaxation {
            self.sweep(&mut field, &mut fresh, Update::Overrelaxation)?;
        }
        field.reunitarize();
        let colors: usize = self.colorings.iter().map(|c| c.masks.len()).sum();
        Ok((field, HeatbathInfo { colors: colors as f64 / self.colorings.len() as f64 }))
    }

    fn sweep<R: Real, const N: usize>(
        &self,
        field: &mut GaugeField<R, N>,
        fresh: &mut [Matrix<R, N>],
        update: Update,
    ) -> Result<()> {
        let lattice = field.lattice().clone();
        for (mu, coloring) in self.colorings.iter().enumerate() {
            for masks in &coloring.masks {
                interrupt::poll()?;
                let links = field.links();
                let kernel = Draw { links, action: &self.action, lattice: &lattice, mu, masks, update };
                field::for_each::<R, _, _>(&kernel, 1, fresh);
                let kernel = WriteBack { fresh, mu, masks };
                field::for_each::<R, _, _>(&kernel, lattice.ndim(), field.links_mut());
            }
        }
        Ok(())
    }
}

/// Writes new links of one direction and colour into a separate field, so that sites stay independent.
struct Draw<'a, R, const N: usize> {
    links: &'a [Matrix<R, N>],
    action: &'a LoopAction,
    lattice: &'a Lattice,
    mu: usize,
    masks: &'a [LaneMask],
    update: Update,
}

struct WriteBack<'a, R, const N: usize> {
    fresh: &'a [Matrix<R, N>],
    mu: usize,
    masks: &'a [LaneMask],
}

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for WriteBack<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, links: &mut [Matrix<R, N>]) -> R {
        if self.masks[vector] != 0 {
            links[self.mu] = self.fresh[vector];
        }
        R::zero()
    }
}

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for Draw<'_, R, N> {
    type Scratch = Vec<Matrix<R, N>>;
    fn scratch(&self) -> Self::Scratch {
        self.action.staples()[self.mu].scratch()
    }
    #[inline(always)]
    fn at(&self, slots: &mut Self::Scratch, vector: usize, fresh: &mut [Matrix<R, N>]) -> R {
        let mask = self.masks[vector];
        if mask == 0 {
            return R::zero();
        }
        let ndim = self.lattice.ndim();
        self.action.staples()[self.mu].run(self.links, slots, vector);
        let mut link = self.links[vector * ndim + self.mu];
        let sites = self.lattice.links::<R>(vector, self.mu);
        if N == 1 {
            update_u1(&mut link, &slots[0], mask, sites, self.update);
        } else {
            update_sun(&mut link, &slots[0], mask, sites, self.update);
        }
        fresh[0] = link;
        R::zero()
    }
}

/// U with density exp(Re(U V)).
#[inline(always)]
fn update_u1<R: Real, const N: usize>(
    link: &mut Matrix<R, N>,
    staple: &Matrix<R, N>,
    mask: LaneMask,
    sites: R::Bits,
    update: Update,
) {
    let (u, v) = (link.0[0][0], staple.0[0][0]);
    let k = v.norm2().sqrt();
    let vanishes = k.less(R::splat(1e-300));
    let toward = v.conj().scale(R::one() / k).blend(Complex::real(R::one()), vanishes);
    let new = match update {
        // U V -> conj(U V)
        Update::Overrelaxation => (u * v).conj().scale(R::one() / k).blend(u, vanishes) * toward,
        Update::Heatbath(stream) => {
            let (phase, done) = von_mises(k.blend(R::zero(), vanishes), mask, sites, stream);
            link.0[0][0] = u.blend(phase * toward, done);
            return;
        }
    };
    link.0[0][0] = u.blend(new, mask & !vanishes);
}

/// e^{i phi} with density exp(k cos phi), by rejection from a wrapped Cauchy distribution; the lanes in which it was found.
#[inline(always)]
fn von_mises<R: Real>(k: R, mask: LaneMask, sites: R::Bits, stream: Stream) -> (Complex<R>, LaneMask) {
    let one = R::one();
    let flat = k.less(R::splat(UNIFORM_BELOW));
    let safe = k.blend(one, flat);
    let tau = one + (safe * safe).mul_add(R::splat(4.0), one).sqrt();
    let rho = (tau - (tau + tau).sqrt()) / (safe + safe);
    let r = rho.mul_add(rho, one) / (rho + rho);
    let (mut cosine, mut sine, mut open) = (one, R::zero(), mask);
    for attempt in 0..MAX_ATTEMPTS {
        let [[u1, u2], [u3, _]] = stream.lane_uniforms::<R, 2>(sites, 2 * attempt);
        let (_, z) = (u1 * R::splat(std::f64::consts::PI)).sin_cos();
        let f = (r.mul_add(z, one) / (r + z)).blend(z, flat);
        let c = safe * (r - f);
        let (cauchy, uniform) = ((c / u2).ln() + one - c, k * (f - one) - u2.ln());
        let accept = (-cauchy.blend(uniform, flat)).less(R::splat(f64::MIN_POSITIVE)) & open;
        let root = f.neg_mul_add(f, one);
        let root = root.blend(R::zero(), root.less(R::zero())).sqrt();
        let signed = root.blend(-root, u3.less(R::splat(0.5)));
        (cosine, sine) = (cosine.blend(f, accept), sine.blend(signed, accept));
        open &= !accept;
        if open == 0 {
            break;
        }
    }
    (Complex::new(cosine, sine), mask & !open)
}

/// U with density exp(Re tr(U V)/N), one SU(2) subgroup after another.
#[inline(always)]
fn update_sun<R: Real, const N: usize>(
    link: &mut Matrix<R, N>,
    staple: &Matrix<R, N>,
    mask: LaneMask,
    sites: R::Bits,
    update: Update,
) {
    let mut w = link.mul(staple);
    for (n, subgroup) in group::subgroups(N).enumerate() {
        let q = subgroup.staple(&w);
        let k = norm(&q);
        let usable = mask & !k.less(R::splat(1e-150));
        let (unit, open) = match update {
            Update::Overrelaxation => (normalised(&q, k), usable),
            Update::Heatbath(_) => (normalised(&q, k), mask),
        };
        let (g, done) = match update {
            Update::Overrelaxation => (product(&unit, &unit), open),
            Update::Heatbath(stream) => {
                let (h, done) =
                    draw_su2(k * R::splat(2.0 / N as f64), open, sites, stream, n as u32 * 2 * MAX_ATTEMPTS);
                (product(&h, &unit), done)
            }
        };
        apply(subgroup, &g, &mut w, link, done);
    }
}

#[inline(always)]
fn apply<R: Real, const N: usize>(
    subgroup: Subgroup,
    g: &Quaternion<R>,
    w: &mut Matrix<R, N>,
    link: &mut Matrix<R, N>,
    mask: LaneMask,
) {
    subgroup.multiply_rows(g, w, mask);
    subgroup.multiply_rows(g, link, mask);
}

#[inline(always)]
fn norm<R: Real>(q: &Quaternion<R>) -> R {
    q[0].mul_add(q[0], q[1].mul_add(q[1], q[2].mul_add(q[2], q[3] * q[3]))).sqrt()
}

/// q/|q|, or 1 where q vanishes.
#[inline(always)]
fn normalised<R: Real>(q: &Quaternion<R>, k: R) -> Quaternion<R> {
    let vanishes = k.less(R::splat(1e-150));
    let inverse = R::one() / k;
    [
        (q[0] * inverse).blend(R::one(), vanishes),
        (q[1] * inverse).blend(R::zero(), vanishes),
        (q[2] * inverse).blend(R::zero(), vanishes),
        (q[3] * inverse).blend(R::zero(), vanishes),
    ]
}

/// The product of a0 + i a.sigma and b0 + i b.sigma.
#[inline(always)]
fn product<R: Real>(a: &Quaternion<R>, b: &Quaternion<R>) -> Quaternion<R> {
    let cross = |i: usize, j: usize| a[j].neg_mul_add(b[i], a[i] * b[j]);
    let vector = |k: usize, cross: R| a[0].mul_add(b[k], a[k].mul_add(b[0], -cross));
    let dot = a[1].mul_add(b[1], a[2].mul_add(b[2], a[3] * b[3]));
    [a[0].mul_add(b[0], -dot), vector(1, cross(2, 3)), vector(2, cross(3, 1)), vector(3, cross(1, 2))]
}

/// h with density exp(alpha h0) on SU(2); the second value says in which lanes it was found.
#[inline(always)]
fn draw_su2<R: Real>(
    alpha: R,
    mask: LaneMask,
    sites: R::Bits,
    stream: Stream,
    block: u32,
) -> (Quaternion<R>, LaneMask) {
    let (one, two_pi) = (R::one(), R::splat(2.0 * std::f64::consts::PI));
    let small = alpha.less(R::splat(CREUTZ_BELOW)) & mask;
    let minus_inverse = -(one / alpha.blend(one, small));
    let (mut h0, mut open) = (one, mask);
    for attempt in 1..MAX_ATTEMPTS {
        let [[u1, u2], [u3, u4]] = stream.lane_uniforms::<R, 2>(sites, block + 2 * attempt);
        let (_, cosine) = (u2 * two_pi).sin_cos();
        let delta = (cosine * cosine).mul_add(u3.ln(), u1.ln()) * minus_inverse;
        let rejected = delta.neg_mul_add(R::splat(0.5), one).less(u4 * u4);
        let (mut x, mut accept) = (one - delta, !rejected);
        if small & open != 0 {
            let candidate = creutz(alpha, u1);
            let rejected = candidate.neg_mul_add(candidate, one).less(u4 * u4);
            x = x.blend(candidate, small);
            accept = accept & !small | !rejected & small;
        }
        accept &= open;
        h0 = h0.blend(x, accept);
        open &= !accept;
        if open == 0 {
            break;
        }
    }
    let [[u, v]] = stream.lane_uniforms::<R, 1>(sites, block);
    let radius = h0.neg_mul_add(h0, one);
    let radius = radius.blend(R::zero(), radius.less(R::zero())).sqrt();
    let z = (u + u) - one;
    let transverse = z.neg_mul_add(z, one).sqrt() * radius;
    let (sin, cos) = (v * two_pi).sin_cos();
    ([h0, transverse * cos, transverse * sin, radius * z], mask & !open)
}

/// x in [-1, 1] with density exp(alpha x), by inversion.
#[inline(always)]
fn creutz<R: Real>(alpha: R, u: R) -> R {
    R::from_lanes(|k| {
        let (alpha, u) = (alpha.lane(k), u.lane(k));
        if alpha < 1e-8 { 2.0 * u - 1.0 } else { 1.0 + ((1.0 - u) * (-2.0 * alpha).exp_m1()).ln_1p() / alpha }
    })
}
