//! Self-learning Monte Carlo (Liu, Qi, Meng, Fu, PRB 95, 041101): a chain of the effective model proposes, the exact weight decides.
//!
//! `A = min(1, W(S') W_eff(S) / (W(S) W_eff(S')))` is exact for every effective model whose chain satisfies detailed balance.

use super::effective::{Effective, Linear};
use super::hamiltonian::SpinFermion;
use super::lattice::Spin;
use super::local::{Rule, linear_chain, metropolis_chain};
use super::network::Network;
use super::trajectories::{Trajectories, network_hmc, run_trajectories};
use crate::error::{Error, Result};
use crate::random::{Purpose, Stream};
use rand::RngExt;
use rand::distr::Open01;

/// An effective model with a chain of its own.
#[derive(Debug, Clone)]
pub enum Proposer {
    /// Linear model, local updates.
    Linear {
        /// The model.
        model: Linear,
        /// Local rule.
        rule: Rule,
        /// Sweeps, each way.
        sweeps: usize,
        /// Reflections of all sites after every sweep.
        overrelaxation: usize,
    },
    /// Network, local Metropolis with full evaluations.
    NetworkMetropolis {
        /// The network.
        model: Network,
        /// Proposal width.
        width: f64,
        /// Sweeps, each way.
        sweeps: usize,
    },
    /// Network, hybrid Monte Carlo on the spheres.
    NetworkHmc {
        /// The network.
        model: Network,
        /// Trajectories.
        plan: Trajectories,
    },
}

impl Proposer {
    /// The effective model.
    pub fn effective(&self) -> &dyn Effective {
        match self {
            Self::Linear { model, .. } => model,
            Self::NetworkMetropolis { model, .. } | Self::NetworkHmc { model, .. } => model,
        }
    }

    /// Runs the inner chain in place; returns its acceptance.
    pub fn propose(&self, spins: &mut [Spin], seed: u64, step: u64) -> Result<f64> {
        match self {
            Self::Linear { model, rule, sweeps, overrelaxation } => {
                linear_chain(model, spins, *rule, *sweeps, *overrelaxation, seed, step)
            }
            Self::NetworkMetropolis { model, width, sweeps } => {
                let mut work = model.workspace();
                metropolis_chain(&mut |s| model.forward(s, &mut work), spins, *width, *sweeps, seed, step)
            }
            Self::NetworkHmc { model, plan } => {
                let hmc = network_hmc(model, *plan)?;
                run_trajectories(&hmc, spins, plan.count, seed, step).map(|(acceptance, _)| acceptance)
            }
        }
    }
}

/// What one outer step did.
#[derive(Debug, Clone, PartialEq)]
pub struct OuterInfo {
    /// Whether the proposal was accepted.
    pub accepted: bool,
    /// `log W` of the spins after the step.
    pub log_weight: f64,
    /// `log W_eff` of the spins after the step.
    pub effective: f64,
    /// `log W` of the proposal.
    pub proposed_log_weight: f64,
    /// `log W_eff` of the proposal.
    pub proposed_effective: f64,
    /// Acceptance inside the inner chain.
    pub inner_acceptance: f64,
    /// The proposed spins, whether accepted or not: training data.
    pub proposal: Vec<Spin>,
}

/// One outer step; `log_weight` is the exact value of `spins`.
pub fn outer_step(
    model: &SpinFermion,
    proposer: &Proposer,
    spins: &mut [Spin],
    log_weight: f64,
    seed: u64,
    step: u64,
) -> Result<OuterInfo> {
    if model.lattice != proposer.effective().lattice() {
        let (a, b) = (model.lattice.extents, proposer.effective().lattice().extents);
        return Err(Error::value(format!("the model has shape {a:?}, the effective model {b:?}: use the same shape")));
    }
    let mut new = spins.to_vec();
    let inner_acceptance = proposer.propose(&mut new, seed, step)?;
    let effective = proposer.effective().log_weight(spins);
    let proposed_effective = proposer.effective().log_weight(&new);
    if !proposed_effective.is_finite() {
        let text = format!("log W_eff of the proposal is {proposed_effective}");
        return Err(Error::value(format!("{text}: the effective model has bad parameters; train it again")));
    }
    let proposed_log_weight = model.log_weight(&new)?;
    let uniform: f64 = Stream::new(seed, Purpose::Metropolis, step).site(u32::MAX).sample(Open01);
    let accepted = uniform.ln() < (proposed_log_weight - log_weight) - (proposed_effective - effective);
    if accepted {
        spins.copy_from_slice(&new);
    }
    Ok(OuterInfo {
        accepted,
        log_weight: if accepted { proposed_log_weight } else { log_weight },
        effective: if accepted { proposed_effective } else { effective },
        proposed_log_weight,
        proposed_effective,
        inner_acceptance,
        proposal: new,
    })
}
