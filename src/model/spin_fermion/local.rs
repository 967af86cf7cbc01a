//! Local updates: proposals on the sphere, heat bath and overrelaxation of a spin in a field, sweeps of the linear model.
//!
//! Every chain here is a palindrome (sites forward, then the mirror image), so its kernel satisfies detailed balance and
//! not only stationarity; self-learning Monte Carlo needs that.

use super::effective::Linear;
use super::lattice::{Spin, dot, uniform_direction};
use crate::error::Result;
use crate::interrupt::poll;
use crate::random::{Purpose, SiteRng, Stream};
use rand::RngExt;
use rand::distr::Open01;
use rand_distr::StandardNormal;

/// How one spin is updated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Gaussian step of this width, normalised; accepted with the ratio of weights.
    Metropolis {
        /// Standard deviation of the step.
        width: f64,
    },
    /// Exact conditional distribution in the field (linear model).
    Heatbath,
}

/// One random sequence a site, for one step of a run.
pub(super) fn site_streams(sites: usize, seed: u64, step: u64) -> Vec<SiteRng> {
    let stream = Stream::new(seed, Purpose::Spins, step);
    (0..sites).map(|site| stream.site(site as u32)).collect()
}

/// `(s + width z) / |s + width z|` with normal z: the density depends on the angle only, so it is symmetric.
#[inline(always)]
pub(super) fn near(s: &Spin, width: f64, rng: &mut SiteRng) -> Spin {
    let moved = [0, 1, 2].map(|c| s[c] + width * rng.sample::<f64, _>(StandardNormal));
    let length = (moved[0] * moved[0] + moved[1] * moved[1] + moved[2] * moved[2]).sqrt();
    [moved[0] / length, moved[1] / length, moved[2] / length, 0.0]
}

/// A spin from `exp(h . s)`: `cos = 1 + log(u + (1 - u) exp(-2|h|)) / |h|`.
#[inline(always)]
pub(super) fn heatbath(h: &Spin, rng: &mut SiteRng) -> Spin {
    let strength = dot(h, h).sqrt();
    if strength < 1e-6 {
        return uniform_direction(rng);
    }
    let (u, phi): (f64, f64) = (rng.sample(Open01), rng.sample(Open01));
    let axis = h.map(|x| x / strength);
    let cosine = (1.0 + (u + (1.0 - u) * (-2.0 * strength).exp()).ln() / strength).clamp(-1.0, 1.0);
    let sine = (1.0 - cosine * cosine).sqrt();
    let (sin, cos) = (2.0 * std::f64::consts::PI * phi).sin_cos();
    let (a, b) = perpendicular(&axis);
    let raw = [0, 1, 2, 3].map(|c| cosine * axis[c] + sine * (cos * a[c] + sin * b[c]));
    let length = dot(&raw, &raw).sqrt();
    raw.map(|x| x / length)
}

/// Two unit vectors that complete `n` to an orthonormal frame (Duff et al., JCGT 6, 2017).
#[inline(always)]
fn perpendicular(n: &Spin) -> (Spin, Spin) {
    let sign = 1f64.copysign(n[2]);
    let a = -1.0 / (sign + n[2]);
    let b = n[0] * n[1] * a;
    ([1.0 + sign * n[0] * n[0] * a, sign * b, -sign * n[0], 0.0], [b, sign + n[1] * n[1] * a, -n[1], 0.0])
}

/// `S -> 2 (h . S) h / h^2 - S`: log W_eff does not change.
#[inline(always)]
fn reflect(s: &Spin, h: &Spin) -> Spin {
    let square = dot(h, h);
    if square < 1e-12 {
        return *s;
    }
    let factor = 2.0 * dot(h, s) / square;
    let raw = [0, 1, 2, 3].map(|c| factor * h[c] - s[c]);
    let length = dot(&raw, &raw).sqrt();
    raw.map(|x| x / length)
}

/// `sweeps` times (one sweep of `rule`, `overrelaxation` reflections of all sites), then the mirror image.
/// Returns the fraction of accepted local changes.
pub fn linear_chain(
    model: &Linear,
    spins: &mut [Spin],
    rule: Rule,
    sweeps: usize,
    overrelaxation: usize,
    seed: u64,
    step: u64,
) -> Result<f64> {
    let sites = spins.len();
    let mut streams = site_streams(sites, seed, step);
    let mut accepted = 0usize;
    for _ in 0..sweeps {
        poll()?;
        accepted += (0..sites).filter(|&i| update(model, spins, i, rule, &mut streams[i])).count();
        for _ in 0..overrelaxation {
            poll()?;
            (0..sites).for_each(|i| spins[i] = reflect(&spins[i], &model.field(spins, i)));
        }
    }
    for _ in 0..sweeps {
        for _ in 0..overrelaxation {
            poll()?;
            (0..sites).rev().for_each(|i| spins[i] = reflect(&spins[i], &model.field(spins, i)));
        }
        poll()?;
        accepted += (0..sites).rev().filter(|&i| update(model, spins, i, rule, &mut streams[i])).count();
    }
    Ok(accepted as f64 / (2.0 * sweeps as f64 * sites as f64).max(1.0))
}

#[inline(always)]
fn update(model: &Linear, spins: &mut [Spin], site: usize, rule: Rule, rng: &mut SiteRng) -> bool {
    let h = model.field(spins, site);
    match rule {
        Rule::Heatbath => {
            spins[site] = heatbath(&h, rng);
            true
        }
        Rule::Metropolis { width } => {
            let proposal = near(&spins[site], width, rng);
            let accept = rng.sample::<f64, _>(Open01).ln() < dot(&h, &proposal) - dot(&h, &spins[site]);
            if accept {
                spins[site] = proposal;
            }
            accept
        }
    }
}

/// Local Metropolis for any effective model: every proposal evaluates the whole model, since one spin moves every output.
pub fn metropolis_chain(
    log_weight: &mut dyn FnMut(&[Spin]) -> f64,
    spins: &mut [Spin],
    width: f64,
    sweeps: usize,
    seed: u64,
    step: u64,
) -> Result<f64> {
    let sites = spins.len();
    let mut streams = site_streams(sites, seed, step);
    let mut current = log_weight(spins);
    let mut accepted = 0usize;
    for forward in (0..sweeps).map(|_| true).chain((0..sweeps).map(|_| false)) {
        for visit in 0..sites {
            poll()?;
            let site = if forward { visit } else { sites - 1 - visit };
            let old = spins[site];
            spins[site] = near(&old, width, &mut streams[site]);
            let proposed = log_weight(spins);
            if streams[site].sample::<f64, _>(Open01).ln() < proposed - current {
                current = proposed;
                accepted += 1;
            } else {
                spins[site] = old;
            }
        }
    }
    Ok(accepted as f64 / (2.0 * sweeps as f64 * sites as f64).max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::spin_fermion::{Effective, SpinLattice, random_spins};

    /// One pair of spins: P(c) ~ exp(b c), <c> = coth b - 1/b.
    #[test]
    fn two_spins_have_the_langevin_function() {
        let lattice = SpinLattice::new([2, 1]).unwrap();
        let mut model = Linear::new(lattice, &[(1, 0)]).unwrap();
        model.couplings[0] = 1.5;
        let expected = 1.0 / 1.5f64.tanh() - 1.0 / 1.5;
        let variance = 1.0 - 2.0 * expected / 1.5 - expected * expected;
        for rule in [Rule::Heatbath, Rule::Metropolis { width: 1.0 }] {
            let mut spins = random_spins(lattice, 1, 0);
            let draws = 20_000;
            let mut sum = 0.0;
            for step in 0..draws {
                linear_chain(&model, &mut spins, rule, 6, 1, 11, step).unwrap();
                sum += dot(&spins[0], &spins[1]);
            }
            let sigma = (variance / draws as f64).sqrt();
            assert!((sum / draws as f64 - expected).abs() < 4.0 * sigma, "{rule:?}: {} {expected}", sum / draws as f64);
        }
    }

    #[test]
    fn overrelaxation_keeps_the_weight() {
        let lattice = SpinLattice::new([6, 6]).unwrap();
        let mut model = Linear::new(lattice, &lattice.all_shells()).unwrap();
        model.couplings.iter_mut().enumerate().for_each(|(n, c)| *c = 0.3 - 0.1 * n as f64);
        let mut spins = random_spins(lattice, 1, 0);
        let before = model.log_weight(&spins);
        for site in 0..36 {
            let old = spins[site];
            spins[site] = reflect(&old, &model.field(&spins, site));
            assert!((spins[site][0] - old[0]).abs() > 1e-12);
        }
        assert!((model.log_weight(&spins) - before).abs() < 1e-12);
    }
}
