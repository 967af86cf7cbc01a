//! Exact local Metropolis of the spin-fermion model without diagonalising every proposal.
//!
//! A sweep visits the sites in random direction; each site gets several Metropolis hits from the local weight at the poles
//! (2x2 determinants) and at most one O(N^2) update of the resolvents. The pole sum has a stated small error, so the sweeps of
//! a step are a proposal that is reversible for the pole-sum weight; one accept/reject with two diagonalisations makes the step exact.

use super::hamiltonian::SpinFermion;
use super::lattice::Spin;
use super::local::{near, site_streams};
use super::resolvent::{FreeResolvents, Resolvents};
use crate::error::Result;
use crate::interrupt::poll;
use crate::random::{Purpose, SiteRng, Stream};
use rand::RngExt;
use rand::distr::Open01;

/// Knobs of [`ExactMetropolis`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExactPlan {
    /// Sweeps a step.
    pub sweeps: usize,
    /// Metropolis hits a visit.
    pub hits: usize,
    /// Width of the proposal.
    pub width: f64,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExactInfo {
    /// Whether the final exact test accepted.
    pub accepted: bool,
    /// Fraction of accepted hits.
    pub local_acceptance: f64,
    /// `log W` of the new spins.
    pub log_weight: f64,
    /// Difference of the pole sum and the exact change of log W over the step.
    pub correction: f64,
}

/// The sampler with its free resolvents.
#[derive(Debug, Clone)]
pub struct ExactMetropolis {
    model: SpinFermion,
    free: FreeResolvents,
}

impl ExactMetropolis {
    /// Prepares the resolvents without spins; `tolerance` bounds the error of one eigenvalue's term.
    pub fn new(model: SpinFermion, tolerance: f64) -> Result<Self> {
        let free = FreeResolvents::new(&model, tolerance)?;
        Ok(Self { model, free })
    }

    /// Number of poles and the largest error of one eigenvalue's term in log W.
    pub fn poles(&self) -> (usize, f64) {
        (self.free.len(), self.free.error)
    }

    /// One step; `log_weight` is that of `spins`.
    pub fn step(
        &self,
        spins: &mut [Spin],
        log_weight: f64,
        plan: ExactPlan,
        seed: u64,
        step: u64,
    ) -> Result<ExactInfo> {
        let mut new = spins.to_vec();
        let mut resolvents = Resolvents::new(&self.model, &self.free, spins)?;
        let mut streams = site_streams(spins.len(), seed, step);
        let mut global = Stream::new(seed, Purpose::Metropolis, step).site(0);
        let (mut change, mut accepted) = (0.0, 0usize);
        for _ in 0..plan.sweeps {
            let backward: bool = global.random();
            for visit in 0..new.len() {
                let site = if backward { new.len() - 1 - visit } else { visit };
                let (gain, hits) = visit_site(&mut resolvents, &mut new[site], site, plan, &mut streams[site])?;
                change += gain;
                accepted += hits;
            }
        }
        let proposed = self.model.log_weight(&new)?;
        let correction = change - (proposed - log_weight);
        let accept = global.sample::<f64, _>(Open01).ln() < -correction;
        if accept {
            spins.copy_from_slice(&new);
        }
        Ok(ExactInfo {
            accepted: accept,
            local_acceptance: accepted as f64 / (plan.sweeps as f64 * plan.hits as f64 * new.len() as f64).max(1.0),
            log_weight: if accept { proposed } else { log_weight },
            correction,
        })
    }
}

const HITS_BETWEEN_POLLS: usize = 1000;

/// Several hits at one site; returns the change of log W and the number of accepted hits.
fn visit_site(
    resolvents: &mut Resolvents<'_>,
    spin: &mut Spin,
    site: usize,
    plan: ExactPlan,
    rng: &mut SiteRng,
) -> Result<(f64, usize)> {
    let local = resolvents.local(site);
    let old = *spin;
    let (mut current, mut accepted) = (0.0, 0);
    for hit in 0..plan.hits {
        if hit % HITS_BETWEEN_POLLS == 0 {
            poll()?;
        }
        let proposal = near(spin, plan.width, rng);
        let change = local.change(&difference(&proposal, &old));
        if rng.sample::<f64, _>(Open01).ln() < change - current {
            (*spin, current) = (proposal, change);
            accepted += 1;
        }
    }
    if accepted > 0 {
        resolvents.change(site, &difference(spin, &old));
    }
    Ok((current, accepted))
}

fn difference(a: &Spin, b: &Spin) -> Spin {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2], 0.0]
}
