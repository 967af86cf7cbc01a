//! First-order update rules: momentum (Polyak 1964), Adam (arXiv 1412.6980), AdamW (arXiv 1711.05101), AMSGrad (arXiv
//! 1904.09237), with schedules.
//!
//! Gradients are summed by the caller; one call of [`Optimizer::update`] is one step. The state is plain numbers, so a
//! run that is saved and restored continues to the same bits.

use crate::error::{Error, Result};

/// How a gradient becomes a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// `m = momentum m + g; p -= lr m` (with `nesterov`: `p -= lr (g + momentum m)`).
    Sgd {
        /// Fraction of the last step that is kept.
        momentum: f64,
        /// Look ahead by one momentum step.
        nesterov: bool,
    },
    /// Moments `m`, `v` with bias correction; `p -= lr (m / (sqrt v + epsilon) + decay p)`: Adam at `decay = 0`, AdamW else.
    Adam {
        /// Decay rates of the first and second moment.
        betas: [f64; 2],
        /// Added to the root of the second moment.
        epsilon: f64,
        /// Decoupled weight decay.
        decay: f64,
    },
    /// [`Rule::Adam`] with the largest `v` so far in place of `v`.
    AmsGrad {
        /// Decay rates of the first and second moment.
        betas: [f64; 2],
        /// Added to the root of the second moment.
        epsilon: f64,
        /// Decoupled weight decay.
        decay: f64,
    },
}

/// Factor on the learning rate as a function of the step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Schedule {
    /// Always 1.
    Constant,
    /// `floor + (1 - floor) (1 + cos(pi s / steps)) / 2`, then `floor`.
    Cosine {
        /// Length of the half period.
        steps: u64,
        /// Last value.
        floor: f64,
    },
    /// Rises linearly to 1 over `steps`, then a cosine down to `floor` at `total`.
    WarmUp {
        /// Length of the rise.
        steps: u64,
        /// End of the cosine; at most `steps` means: stay at 1.
        total: u64,
        /// Last value of the cosine.
        floor: f64,
    },
    /// `factor` to the power of `s / every`.
    Step {
        /// Steps between drops.
        every: u64,
        /// Factor of each drop.
        factor: f64,
    },
}

impl Schedule {
    /// The factor at step `step` (counted from 0).
    pub fn factor(&self, step: u64) -> f64 {
        match *self {
            Self::Constant => 1.0,
            Self::Cosine { steps, floor } => half_cosine(step, steps, floor),
            Self::WarmUp { steps, .. } if step < steps => (step + 1) as f64 / steps as f64,
            Self::WarmUp { steps, total, floor } if total > steps => half_cosine(step - steps, total - steps, floor),
            Self::WarmUp { .. } => 1.0,
            Self::Step { every, factor } => factor.powi(i32::try_from(step / every.max(1)).unwrap_or(i32::MAX)),
        }
    }

    /// Refuses lengths and factors out of range.
    pub fn validate(&self) -> Result<()> {
        let good = match *self {
            Self::Constant => true,
            Self::Cosine { steps, floor } => steps > 0 && (0.0..=1.0).contains(&floor),
            Self::WarmUp { steps, floor, .. } => steps > 0 && (0.0..=1.0).contains(&floor),
            Self::Step { every, factor } => every > 0 && factor > 0.0 && factor.is_finite(),
        };
        let message = "lengths must be positive, floors in [0, 1] and factors positive";
        if good { Ok(()) } else { Err(Error::value(format!("schedule {self:?}: {message}"))) }
    }
}

fn half_cosine(step: u64, steps: u64, floor: f64) -> f64 {
    let phase = (step.min(steps) as f64 / steps as f64) * std::f64::consts::PI;
    floor + (1.0 - floor) * 0.5 * (1.0 + phase.cos())
}

/// What an optimiser remembers between steps.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// Steps done.
    pub step: u64,
    /// First moment (or momentum), one number a parameter.
    pub first: Vec<f64>,
    /// Second moment, and behind it its largest values for [`Rule::AmsGrad`]; empty for [`Rule::Sgd`].
    pub second: Vec<f64>,
}

/// A rule, a schedule and the state of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimizer {
    rule: Rule,
    schedule: Schedule,
    learning_rate: f64,
    state: State,
}

impl Optimizer {
    /// An optimiser for `n_parameters` numbers, at step 0.
    pub fn new(rule: Rule, learning_rate: f64, schedule: Schedule, n_parameters: usize) -> Result<Self> {
        if !(learning_rate >= 0.0 && learning_rate.is_finite()) {
            return Err(Error::value(format!("learning_rate = {learning_rate}: give a finite number >= 0")));
        }
        schedule.validate()?;
        validate_rule(&rule)?;
        let moments = match rule {
            Rule::Sgd { .. } => 0,
            Rule::Adam { .. } => n_parameters,
            Rule::AmsGrad { .. } => 2 * n_parameters,
        };
        let state = State { step: 0, first: vec![0.0; n_parameters], second: vec![0.0; moments] };
        Ok(Self { rule, schedule, learning_rate, state })
    }

    /// The state, to be saved.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Continues from a saved state of the same rule and number of parameters.
    pub fn restore(&mut self, state: State) -> Result<()> {
        let (have, want) = ((state.first.len(), state.second.len()), (self.state.first.len(), self.state.second.len()));
        if have != want {
            let text = format!("optimizer state with moments of lengths {have:?}; this optimizer needs {want:?}");
            return Err(Error::value(format!("{text}: restore it into the rule and network it was saved from")));
        }
        self.state = state;
        Ok(())
    }

    /// The learning rate of the next step.
    pub fn current_rate(&self) -> f64 {
        self.learning_rate * self.schedule.factor(self.state.step)
    }

    /// One step; parameters and state stay as they are when the gradient has a NaN or an infinity.
    pub fn update(&mut self, parameters: &mut [f64], gradient: &[f64]) -> Result<()> {
        let n = self.state.first.len();
        if parameters.len() != n || gradient.len() != n {
            let text = format!("{} parameters and a gradient of length {}", parameters.len(), gradient.len());
            return Err(Error::value(format!("{text}; this optimizer was made for {n} parameters")));
        }
        if let Some(bad) = gradient.iter().position(|g| !g.is_finite()) {
            let text = format!("gradient[{bad}] = {} at step {}", gradient[bad], self.state.step);
            return Err(Error::value(format!("{text}: lower the learning rate or check the data for NaN")));
        }
        let rate = self.current_rate();
        self.state.step += 1;
        match self.rule {
            Rule::Sgd { momentum, nesterov } => sgd(&mut self.state, parameters, gradient, rate, momentum, nesterov),
            Rule::Adam { betas, epsilon, decay } | Rule::AmsGrad { betas, epsilon, decay } => {
                adam(&mut self.state, parameters, gradient, rate, betas, epsilon, decay);
            }
        }
        Ok(())
    }
}

fn validate_rule(rule: &Rule) -> Result<()> {
    let good = match *rule {
        Rule::Sgd { momentum, .. } => (0.0..1.0).contains(&momentum),
        Rule::Adam { betas, epsilon, decay } | Rule::AmsGrad { betas, epsilon, decay } => {
            betas.iter().all(|b| (0.0..1.0).contains(b)) && epsilon > 0.0 && decay >= 0.0 && decay.is_finite()
        }
    };
    let message = "momentum and betas must lie in [0, 1), epsilon must be positive, decay >= 0";
    if good { Ok(()) } else { Err(Error::value(format!("{rule:?}: {message}"))) }
}

fn sgd(state: &mut State, parameters: &mut [f64], gradient: &[f64], rate: f64, momentum: f64, nesterov: bool) {
    for ((p, m), g) in parameters.iter_mut().zip(&mut state.first).zip(gradient) {
        *m = momentum * *m + g;
        *p -= rate * if nesterov { g + momentum * *m } else { *m };
    }
}

fn adam(
    state: &mut State,
    parameters: &mut [f64],
    gradient: &[f64],
    rate: f64,
    betas: [f64; 2],
    epsilon: f64,
    decay: f64,
) {
    let step = i32::try_from(state.step).unwrap_or(i32::MAX);
    let correction = betas.map(|b| 1.0 / (1.0 - b.powi(step)));
    let (second, largest) = state.second.split_at_mut(state.first.len());
    let mut largest = largest.iter_mut();
    let moments = state.first.iter_mut().zip(second);
    for ((p, (m, v)), g) in parameters.iter_mut().zip(moments).zip(gradient) {
        *m = betas[0] * *m + (1.0 - betas[0]) * g;
        *v = betas[1] * *v + (1.0 - betas[1]) * g * g;
        let v = largest.next().map_or(*v, |most| {
            *most = most.max(*v);
            *most
        });
        *p -= rate * (*m * correction[0] / ((v * correction[1]).sqrt() + epsilon) + decay * *p);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADAM: Rule = Rule::Adam { betas: [0.9, 0.999], epsilon: 1e-8, decay: 0.01 };
    const AMSGRAD: Rule = Rule::AmsGrad { betas: [0.9, 0.999], epsilon: 1e-8, decay: 0.01 };

    #[test]
    fn amsgrad_never_forgets_a_large_gradient() {
        let mut optimizer = Optimizer::new(AMSGRAD, 0.1, Schedule::Constant, 1).unwrap();
        let mut p = [1.0];
        optimizer.update(&mut p, &[2.0]).unwrap();
        let first: f64 = 1.0 - 0.1 * (2.0 / (2.0 + 1e-8) + 0.01);
        optimizer.update(&mut p, &[0.0]).unwrap();
        let (m, v): (f64, f64) = (0.9 * 0.2 / (1.0 - 0.81), 0.004 / (1.0 - 0.999f64 * 0.999));
        assert!((p[0] - (first - 0.1 * (m / (v.sqrt() + 1e-8) + 0.01 * first))).abs() < 1e-14);
    }

    #[test]
    fn two_steps_of_adamw_by_hand() {
        let mut optimizer = Optimizer::new(ADAM, 0.1, Schedule::Constant, 1).unwrap();
        let mut p = [1.0];
        optimizer.update(&mut p, &[2.0]).unwrap();
        let first = 1.0 - 0.1 * (2.0 / (2.0 + 1e-8) + 0.01);
        assert!((p[0] - first).abs() < 1e-15);
        optimizer.update(&mut p, &[-1.0]).unwrap();
        let m: f64 = (0.9 * 0.2 - 0.1) / (1.0 - 0.81);
        let v: f64 = (0.999 * 0.004 + 0.001) / (1.0 - 0.999f64 * 0.999);
        assert!((p[0] - (first - 0.1 * (m / (v.sqrt() + 1e-8) + 0.01 * first))).abs() < 1e-14);
    }

    #[test]
    fn every_rule_finds_the_minimum_of_a_quadratic() {
        let sgd = |nesterov| Rule::Sgd { momentum: 0.9, nesterov };
        for rule in [sgd(false), sgd(true), ADAM, AMSGRAD] {
            let mut optimizer = Optimizer::new(rule, 0.02, Schedule::Cosine { steps: 4000, floor: 0.0 }, 2).unwrap();
            let mut p = [3.0, -2.0];
            for _ in 0..4000 {
                let gradient = [p[0] - 1.0, 10.0 * (p[1] - 0.5)];
                optimizer.update(&mut p, &gradient).unwrap();
            }
            assert!((p[0] - 1.0).abs() < 0.02 && (p[1] - 0.5).abs() < 0.02, "{rule:?}: {p:?}");
        }
    }

    #[test]
    fn restored_state_continues_to_the_same_bits() {
        let schedule = Schedule::WarmUp { steps: 3, total: 20, floor: 0.1 };
        let run = |optimizer: &mut Optimizer, p: &mut [f64; 3], from: usize, to: usize| {
            for s in from..to {
                let gradient = [p[0].sin() + s as f64, p[1] * p[2], p[2] - 0.3];
                optimizer.update(p, &gradient).unwrap();
            }
        };
        let mut whole = Optimizer::new(ADAM, 0.05, schedule, 3).unwrap();
        let mut p = [0.1, 0.2, 0.3];
        run(&mut whole, &mut p, 0, 20);
        let mut half = Optimizer::new(ADAM, 0.05, schedule, 3).unwrap();
        let mut q = [0.1, 0.2, 0.3];
        run(&mut half, &mut q, 0, 9);
        let mut resumed = Optimizer::new(ADAM, 0.05, schedule, 3).unwrap();
        resumed.restore(half.state().clone()).unwrap();
        run(&mut resumed, &mut q, 9, 20);
        assert_eq!(p, q);
        assert_eq!(whole, resumed);
    }

    #[test]
    fn schedules_have_their_ends() {
        let cosine = Schedule::Cosine { steps: 10, floor: 0.2 };
        assert_eq!((cosine.factor(0), cosine.factor(10), cosine.factor(99)), (1.0, 0.2, 0.2));
        assert!((cosine.factor(5) - 0.6).abs() < 1e-15);
        let warm = Schedule::WarmUp { steps: 4, total: 14, floor: 0.0 };
        assert_eq!((warm.factor(0), warm.factor(3), warm.factor(4), warm.factor(14)), (0.25, 1.0, 1.0, 0.0));
        let step = Schedule::Step { every: 3, factor: 0.5 };
        assert_eq!((step.factor(2), step.factor(3), step.factor(6)), (1.0, 0.5, 0.25));
    }

    #[test]
    fn bad_input_changes_nothing() {
        assert!(Optimizer::new(ADAM, f64::NAN, Schedule::Constant, 1).is_err());
        assert!(Optimizer::new(ADAM, 0.1, Schedule::Cosine { steps: 0, floor: 0.0 }, 1).is_err());
        assert!(Optimizer::new(Rule::Sgd { momentum: 1.0, nesterov: false }, 0.1, Schedule::Constant, 1).is_err());
        let mut optimizer = Optimizer::new(ADAM, 0.1, Schedule::Constant, 2).unwrap();
        let before = optimizer.clone();
        let mut p = [1.0, 2.0];
        let message = optimizer.update(&mut p, &[0.0, f64::NAN]).unwrap_err().to_string();
        assert!(message.contains("gradient[1]") && p == [1.0, 2.0] && optimizer == before);
        assert!(optimizer.update(&mut p, &[0.0]).is_err());
        assert!(optimizer.restore(State::default()).is_err());
    }
}
