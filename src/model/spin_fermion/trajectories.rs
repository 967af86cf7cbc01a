//! Hybrid Monte Carlo of spins with the weight of a network: -log W_eff is the action of the common HMC.

use super::network::Network;
use super::passes::Workspace;
use crate::concept::{Action, Auxiliary, Effort};
use crate::error::{Error, Result};
use crate::random::Draws;
use crate::sampler::{Hmc, Integrator, Level};
use crate::spins::{Spin, SpinField, SpinTangent, add_scaled, tangent};
use std::sync::{Arc, Mutex, PoisonError};

/// Length of trajectories.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trajectories {
    /// Trajectories with one accept/reject each.
    pub count: usize,
    /// Leapfrog steps of each.
    pub steps: usize,
    /// Step size.
    pub step_size: f64,
}

impl Trajectories {
    /// Refuses zero steps and step sizes that are not positive.
    pub fn validate(&self) -> Result<()> {
        if self.steps > 0 && self.step_size > 0.0 && self.step_size.is_finite() {
            return Ok(());
        }
        let text = format!("hmc_steps = {}, hmc_step_size = {}", self.steps, self.step_size);
        Err(Error::value(format!("{text}: give at least one step and a positive step size")))
    }
}

/// -log W_eff, with the last reverse pass kept: the energy at the end of a trajectory is known from its last kick.
struct NetworkAction {
    network: Network,
    last: Mutex<Last>,
}

struct Last {
    spins: Vec<Spin>,
    value: f64,
    work: Workspace,
}

impl NetworkAction {
    fn new(network: &Network) -> Self {
        let last = Last { spins: Vec::new(), value: 0.0, work: network.workspace() };
        Self { network: network.clone(), last: Mutex::new(last) }
    }

    /// What `see` makes of log W_eff and its gradient.
    fn at<T>(&self, spins: &[Spin], see: impl FnOnce(f64, &[Spin]) -> T) -> T {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let last = &mut *last;
        if last.spins != spins {
            last.value = self.network.backward(spins, &mut last.work);
            last.spins.clear();
            last.spins.extend_from_slice(spins);
        }
        see(last.value, &last.work.cotangent)
    }
}

impl Action<SpinField> for NetworkAction {
    fn value(&self, q: &SpinField, _: &[Auxiliary<SpinField>], _: &mut Effort) -> Result<f64> {
        Ok(self.at(&q.0, |value, _| -value))
    }

    fn kick(
        &self,
        q: &SpinField,
        _: &[Auxiliary<SpinField>],
        step: f64,
        p: &mut SpinTangent,
        _: &mut Effort,
    ) -> Result<()> {
        self.at(&q.0, |_, gradient| {
            for ((p, s), g) in p.0.iter_mut().zip(&q.0).zip(gradient) {
                add_scaled(p, step, &tangent(g, s));
            }
        });
        Ok(())
    }
}

/// The common HMC with the weight of a network.
pub fn network_hmc(network: &Network, plan: Trajectories) -> Result<Hmc<SpinField>> {
    plan.validate()?;
    let level = Level { terms: vec![0], integrator: Integrator::named("leapfrog")?, steps: plan.steps };
    Ok(Hmc::plain(Arc::new(NetworkAction::new(network)), level, plan.steps as f64 * plan.step_size))
}

/// Runs trajectories in place; returns the acceptance and the mean of exp(-dH).
pub fn run_trajectories(
    hmc: &Hmc<SpinField>,
    spins: &mut [Spin],
    count: usize,
    seed: u64,
    step: u64,
) -> Result<(f64, f64)> {
    let (mut q, mut accepted, mut sum) = (SpinField(spins.to_vec()), 0usize, 0.0);
    for n in 0..count {
        let (next, info) = hmc.step(&q, Draws::new(seed, step * count as u64 + n as u64))?;
        (q, accepted, sum) = (next, accepted + usize::from(info.accepted), sum + (-info.delta_h).exp());
    }
    spins.copy_from_slice(&q.0);
    let count = count.max(1) as f64;
    Ok((accepted as f64 / count, sum / count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::concept::{Configuration, check_force, value};
    use crate::model::spin_fermion::{Architecture, Block, SpinLattice, random_spins};
    use crate::random::{Purpose, Stream};
    use rand::RngExt;
    use rand_distr::StandardNormal;

    fn network(lattice: SpinLattice) -> Network {
        let shells = vec![(1, 0)];
        let architecture = Architecture {
            blocks: vec![Block::Relu],
            shells: shells.clone(),
            coupling_shells: shells,
            reference: [2, 2],
        };
        let mut network = Network::new(lattice, architecture, 4).unwrap();
        let mut rng = Stream::new(8, Purpose::Noise, 0).site(0);
        network.parameters.iter_mut().for_each(|p| *p = 0.4 * rng.sample::<f64, _>(StandardNormal));
        network
    }

    fn setting(extents: [usize; 2], steps: usize, step_size: f64) -> (Hmc<SpinField>, SpinField) {
        let lattice = SpinLattice::new(extents).unwrap();
        let hmc = network_hmc(&network(lattice), Trajectories { count: 1, steps, step_size }).unwrap();
        (hmc, SpinField(random_spins(lattice, 1, 0)))
    }

    #[test]
    fn force_is_the_derivative_along_geodesics() {
        let (hmc, q) = setting([4, 4], 1, 0.1);
        let action = &*hmc.terms[0].action;
        let delta = q.noise(Draws::new(5, 0));
        let moved = |h: f64| {
            let mut q = q.clone();
            q.drift(h, &mut delta.clone());
            value(action, &q).unwrap()
        };
        let slope = (8.0 * (moved(1e-4) - moved(-1e-4)) - (moved(2e-4) - moved(-2e-4))) / 12e-4;
        assert!(check_force(action, &q, &delta, slope).unwrap() < 1e-8);
    }

    #[test]
    fn trajectories_are_reversible() {
        let (hmc, start) = setting([4, 4], 12, 0.1);
        let (mut q, mut p) = (start.clone(), start.noise(Draws::new(2, 0)));
        for _ in 0..2 {
            hmc.integrate(&mut q, &mut p, &[Vec::new()], &mut Effort::default(), &mut [None]).unwrap();
            p.0.iter_mut().for_each(|p| *p = p.map(|x| -x));
        }
        let pairs = q.0.iter().zip(&start.0).flat_map(|(a, b)| (0..3).map(|c| (a[c] - b[c]).abs()));
        let largest = pairs.fold(0.0, f64::max);
        assert!(largest < 1e-11, "{largest:e}");
    }

    #[test]
    fn mean_of_exp_minus_dh_is_one() {
        let (hmc, mut q) = setting([2, 2], 3, 0.6);
        let values: Vec<f64> = (0..2000).map(|k| run_trajectories(&hmc, &mut q.0, 1, 3, k).unwrap().1).collect();
        let mean = values.iter().sum::<f64>() / 2000.0;
        let sigma = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 2000.0 / 2000.0).sqrt();
        assert!((mean - 1.0).abs() < 4.0 * sigma && sigma > 1e-4, "{mean} {sigma}");
    }
}
