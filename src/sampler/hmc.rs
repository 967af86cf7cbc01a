//! Hybrid Monte Carlo (Duane et al., Phys. Lett. B 195 (1987) 216) over any field that can drift.

use super::integrator::{Level, integrate};
use crate::action::{Action, Configuration};
use crate::error::Result;
use crate::rng::{Purpose, Stream};

/// Molecular dynamics along `levels`, accepted with `energy`.
///
/// The two are the same action for plain HMC; self-learning HMC moves with a learned one and accepts with the exact one.
pub struct Hmc<Q> {
    /// The action that the Metropolis test uses.
    pub energy: Box<dyn Action<Q>>,
    /// The actions that move the field, slowest first.
    pub levels: Vec<Level<Q>>,
    /// Trajectory length in molecular dynamics time.
    pub length: f64,
}

/// What happened in one trajectory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HmcInfo {
    /// Whether the proposal was accepted.
    pub accepted: bool,
    /// H(end) - H(start).
    pub delta_h: f64,
    /// S of the state that is kept.
    pub action: f64,
}

impl<Q: Configuration<Number = f64>> Hmc<Q> {
    /// One trajectory from `q`; the field at its end or `q` itself, restored to its manifold after the Metropolis test.
    pub fn step(&self, q: &Q, seed: u64, sweep: u64) -> Result<(Q, HmcInfo)> {
        let mut p = q.draw_momenta(seed, sweep);
        let start = self.energy.value(q)?;
        let before = start + Q::kinetic(&p);
        let mut proposal = q.clone();
        integrate(&self.levels, self.length, &mut proposal, &mut p)?;
        let end = self.energy.value(&proposal)?;
        let delta_h = end + Q::kinetic(&p) - before;
        // A NaN (diverged trajectory) compares false and is rejected.
        let uniform = Stream::new(seed, Purpose::Metropolis, sweep).site(0).uniform();
        let accepted = uniform < (-delta_h).exp();
        if accepted {
            proposal.restore();
        }
        let info = HmcInfo { accepted, delta_h, action: if accepted { end } else { start } };
        Ok((if accepted { proposal } else { q.clone() }, info))
    }
}
