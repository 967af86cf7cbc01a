//! Reversible, area-preserving integrators as coefficient tables, nested over time scales.

use crate::concept::Configuration;
use crate::error::{Error, Result};
use crate::interrupt;

/// One substep, in units of the step size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Stage {
    /// Fields move: exp(c step T).
    Drift(f64),
    /// Momenta move: exp(c step S).
    Kick(f64),
    /// Momenta move with the force taken at fields displaced by -xi step^2 F, which adds the commutator {S,{S,T}}
    /// without second derivatives (Yin and Mawhinney, arXiv 1111.5059).
    GradientKick(f64, f64),
}

/// A symmetric sequence of stages that advances by one step.
#[derive(Debug, Clone, Copy)]
pub struct Integrator {
    /// Name.
    pub name: &'static str,
    /// dH of a trajectory scales as step^order.
    pub order: i32,
    /// The stages.
    pub stages: &'static [Stage],
}

use Stage::{Drift, GradientKick, Kick};

// Omelyan, Mryglod, Folk, Comput. Phys. Commun. 151 (2003) 272: eq. 31 (lambda), and the position version of eq. 62 with
// the constants as used by Takaishi and de Forcrand, hep-lat/0505020 (4MN4FP).
const LAMBDA: f64 = 0.193_183_327_503_783_6;
const RHO: f64 = 0.178_617_895_844_809_1;
const THETA: f64 = -0.066_264_582_669_818_43;
const LAMBDA4: f64 = 0.712_341_831_062_605_6;

/// All integrators.
pub const INTEGRATORS: [Integrator; 4] = [
    Integrator { name: "leapfrog", order: 2, stages: &[Kick(0.5), Drift(1.0), Kick(0.5)] },
    Integrator {
        name: "omelyan2",
        order: 2,
        stages: &[Kick(LAMBDA), Drift(0.5), Kick(1.0 - 2.0 * LAMBDA), Drift(0.5), Kick(LAMBDA)],
    },
    Integrator {
        name: "omelyan4",
        order: 4,
        stages: &[
            Drift(RHO),
            Kick(LAMBDA4),
            Drift(THETA),
            Kick(0.5 - LAMBDA4),
            Drift(1.0 - 2.0 * (THETA + RHO)),
            Kick(0.5 - LAMBDA4),
            Drift(THETA),
            Kick(LAMBDA4),
            Drift(RHO),
        ],
    },
    Integrator {
        name: "force_gradient",
        order: 4,
        stages: &[Kick(1.0 / 6.0), Drift(0.5), GradientKick(2.0 / 3.0, 1.0 / 24.0), Drift(0.5), Kick(1.0 / 6.0)],
    },
];

impl Integrator {
    /// The integrator of that name.
    pub fn named(name: &str) -> Result<Self> {
        INTEGRATORS.into_iter().find(|i| i.name == name).ok_or_else(|| {
            let known: Vec<&str> = INTEGRATORS.iter().map(|i| i.name).collect();
            Error::value(format!("unknown integrator \"{name}\"; known: {}", known.join(", ")))
        })
    }

    /// `steps` steps in a row, one after the other; neighbouring stages of the same kind are merged.
    fn schedule(&self, steps: usize) -> impl Iterator<Item = Stage> {
        let mut stages = std::iter::repeat_n(self.stages, steps).flatten().copied().peekable();
        std::iter::from_fn(move || {
            let mut stage = stages.next()?;
            loop {
                match (&mut stage, stages.peek()) {
                    (Drift(a), Some(Drift(b))) | (Kick(a), Some(Kick(b))) => *a += b,
                    _ => return Some(stage),
                }
                stages.next();
            }
        })
    }
}

/// One time scale: terms of the action integrated with `steps` steps per drift of the level outside it.
#[derive(Debug, Clone)]
pub struct Level {
    /// Numbers of the terms of this scale.
    pub terms: Vec<usize>,
    /// The integrator.
    pub integrator: Integrator,
    /// Steps per drift of the level outside.
    pub steps: usize,
}

/// Hamilton's equations: who knows the forces of a level.
pub trait Dynamics<Q: Configuration> {
    /// p <- p - step F of the terms of a level.
    fn kick(&mut self, level: &Level, q: &Q, step: f64, p: &mut Q::Tangent) -> Result<()>;

    /// Integrates for time `length`; levels go from the slowest to the fastest.
    fn run(&mut self, levels: &[Level], length: f64, q: &mut Q, p: &mut Q::Tangent) -> Result<()> {
        let Some((level, inner)) = levels.split_first() else {
            q.drift(length, p);
            return Ok(());
        };
        let step = length / level.steps as f64;
        for stage in level.integrator.schedule(level.steps) {
            interrupt::poll()?;
            match stage {
                Drift(c) => self.run(inner, c * step, q, p)?,
                Kick(c) => self.kick(level, q, c * step, p)?,
                GradientKick(c, xi) => {
                    let (mut displaced, mut force) = (q.clone(), q.zero());
                    self.kick(level, q, -1.0, &mut force)?;
                    displaced.drift(-xi * step * step, &mut force);
                    self.kick(level, &displaced, c * step, p)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_symmetric_and_sum_to_one_step() {
        for integrator in INTEGRATORS {
            let reverse: Vec<Stage> = integrator.stages.iter().rev().copied().collect();
            assert_eq!(reverse, integrator.stages, "{}", integrator.name);
            let sum = |pick: fn(&Stage) -> f64| integrator.stages.iter().map(pick).sum::<f64>();
            let drift = sum(|s| if let Drift(c) = s { *c } else { 0.0 });
            let kick = sum(|s| if let Kick(c) | GradientKick(c, _) = s { *c } else { 0.0 });
            assert!((drift - 1.0).abs() < 1e-15 && (kick - 1.0).abs() < 1e-15, "{}", integrator.name);
        }
    }

    #[test]
    fn neighbouring_stages_are_merged() {
        let omelyan2 = Integrator::named("omelyan2").unwrap();
        assert_eq!(omelyan2.schedule(20).filter(|s| matches!(s, Kick(_))).count(), 41);
        assert_eq!(Integrator::named("omelyan4").unwrap().schedule(3).count(), 3 * 8 + 1);
    }
}
