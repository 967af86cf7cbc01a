//! Hybrid Monte Carlo on a product of spheres with geodesic steps (Byrne and Girolami, Scand. J. Stat. 40, 2013).
//!
//! `H = sum_i p_i^2 / 2 - log W_eff(S)` with momenta tangent to the spheres; a step kicks with the projected gradient,
//! rotates every spin along its great circle, and kicks again. One step a trajectory is Langevin (MALA).

use super::lattice::{Spin, add_scaled, dot};
use crate::error::{Error, Result};
use crate::rng::{Purpose, Stream};

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

/// A function of the spins with its gradient.
pub type ValueAndGradient<'a> = dyn FnMut(&[Spin], &mut [Spin]) -> f64 + 'a;

/// Runs trajectories in place; returns the acceptance and the mean of exp(-dH).
pub fn sphere_hmc(
    target: &mut ValueAndGradient<'_>,
    spins: &mut [Spin],
    plan: Trajectories,
    seed: u64,
    step: u64,
) -> Result<(f64, f64)> {
    plan.validate()?;
    let sites = spins.len();
    let (noise, decisions) = (Stream::new(seed, Purpose::Momenta, step), Stream::new(seed, Purpose::Metropolis, step));
    let mut random: Vec<_> = (0..sites).map(|i| noise.site(i as u32)).collect();
    let mut decide = decisions.site(0);
    let mut gradient = vec![[0.0; 4]; sites];
    let (mut accepted, mut sum) = (0usize, 0.0);
    for _ in 0..plan.count {
        crate::interrupt::poll()?;
        let mut new = spins.to_vec();
        let mut momenta: Vec<Spin> = random
            .iter_mut()
            .zip(&new)
            .map(|(rng, s)| tangent(&[rng.normal(), rng.normal(), rng.normal(), 0.0], s))
            .collect();
        let start = target(&new, &mut gradient) - kinetic(&momenta);
        let end = leapfrog(target, &mut new, &mut momenta, &mut gradient, plan) - kinetic(&momenta);
        sum += (end - start).exp();
        if decide.uniform().ln() < end - start {
            spins.copy_from_slice(&new);
            accepted += 1;
        }
    }
    let count = plan.count.max(1) as f64;
    Ok((accepted as f64 / count, sum / count))
}

/// One trajectory from `gradient` at the start; returns the value at the end.
pub(super) fn leapfrog(
    target: &mut ValueAndGradient<'_>,
    spins: &mut [Spin],
    momenta: &mut [Spin],
    gradient: &mut [Spin],
    plan: Trajectories,
) -> f64 {
    let mut value = 0.0;
    kick(momenta, spins, gradient, 0.5 * plan.step_size);
    for k in 0..plan.steps {
        rotate(spins, momenta, plan.step_size);
        value = target(spins, gradient);
        let last = k + 1 == plan.steps;
        kick(momenta, spins, gradient, if last { 0.5 } else { 1.0 } * plan.step_size);
    }
    value
}

#[inline(always)]
fn tangent(v: &Spin, s: &Spin) -> Spin {
    let mut projected = *v;
    add_scaled(&mut projected, -dot(v, s), s);
    projected
}

fn kinetic(momenta: &[Spin]) -> f64 {
    0.5 * momenta.iter().map(|p| dot(p, p)).sum::<f64>()
}

fn kick(momenta: &mut [Spin], spins: &[Spin], gradient: &[Spin], step: f64) {
    for ((p, s), g) in momenta.iter_mut().zip(spins).zip(gradient) {
        add_scaled(p, step, &tangent(g, s));
    }
}

fn rotate(spins: &mut [Spin], momenta: &mut [Spin], step: f64) {
    for (s, p) in spins.iter_mut().zip(momenta) {
        let speed = dot(p, p).sqrt();
        if speed < 1e-300 {
            continue;
        }
        let (sin, cos) = (speed * step).sin_cos();
        let moved = [0, 1, 2, 3].map(|c| cos * s[c] + sin / speed * p[c]);
        let turned = [0, 1, 2, 3].map(|c| cos * p[c] - sin * speed * s[c]);
        let length = dot(&moved, &moved).sqrt();
        *s = moved.map(|x| x / length);
        *p = tangent(&turned, s);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spin_fermion::{Architecture, Block, Effective, Network, SpinLattice, random_spins};

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
        network.parameters.iter_mut().for_each(|p| *p = 0.4 * rng.normal());
        network
    }

    #[test]
    fn trajectories_are_reversible() {
        let lattice = SpinLattice::new([4, 4]).unwrap();
        let network = network(lattice);
        let start = random_spins(lattice, 1, 0);
        let (mut spins, mut gradient) = (start.clone(), start.clone());
        let mut target = |s: &[Spin], g: &mut [Spin]| network.gradient(s, g);
        let mut momenta: Vec<Spin> =
            random_spins(lattice, 2, 0).iter().zip(&start).map(|(p, s)| tangent(p, s)).collect();
        let plan = Trajectories { count: 1, steps: 12, step_size: 0.1 };
        target(&spins, &mut gradient);
        leapfrog(&mut target, &mut spins, &mut momenta, &mut gradient, plan);
        momenta.iter_mut().for_each(|p| *p = p.map(|x| -x));
        target(&spins, &mut gradient);
        leapfrog(&mut target, &mut spins, &mut momenta, &mut gradient, plan);
        let largest =
            spins.iter().zip(&start).flat_map(|(a, b)| (0..3).map(|c| (a[c] - b[c]).abs())).fold(0.0, f64::max);
        assert!(largest < 1e-11, "{largest:e}");
    }

    #[test]
    fn mean_of_exp_minus_dh_is_one() {
        let lattice = SpinLattice::new([2, 2]).unwrap();
        let network = network(lattice);
        let mut spins = random_spins(lattice, 1, 0);
        let mut target = |s: &[Spin], g: &mut [Spin]| network.gradient(s, g);
        let values: Vec<f64> = (0..2000)
            .map(|k| {
                let plan = Trajectories { count: 1, steps: 3, step_size: 0.6 };
                sphere_hmc(&mut target, &mut spins, plan, 3, k).unwrap().1
            })
            .collect();
        let mean = values.iter().sum::<f64>() / 2000.0;
        let sigma = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 2000.0 / 2000.0).sqrt();
        assert!((mean - 1.0).abs() < 4.0 * sigma && sigma > 1e-4, "{mean} {sigma}");
    }
}
