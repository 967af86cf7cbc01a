//! Gradient flow dV/dt = TA(staples V^dagger) V with the third-order Runge-Kutta of Luscher (arXiv 1006.4518), at fixed step or
//! with the step chosen from an embedded second-order solution (Fritzsch and Ramos, arXiv 1301.4388).

use super::stout::{StoutLayer, StoutTerm};
use crate::action::Configuration;
use crate::error::{Error, Result};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::interrupt;
use crate::lattice::Lattice;
use crate::path::WeightedPath;
use crate::real::Real;
use std::sync::Arc;

/// Largest and smallest change of an adaptive step.
const GROWTH: [f64; 2] = [0.2, 2.0];
const SAFETY: f64 = 0.95;
/// Steps below this cannot meet the tolerance in double precision.
const SMALLEST_STEP: f64 = 1e-9;

/// The flow of an action given by loops (plaquettes with weight 1: Wilson flow).
pub struct Flow {
    field: StoutLayer,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlowStep {
    /// The step taken.
    pub taken: f64,
    /// The step to try next.
    pub next: f64,
}

impl Flow {
    /// Prepares the flow on `lattice`.
    pub fn new(lattice: &Arc<Lattice>, loops: Vec<WeightedPath>) -> Self {
        let term = StoutTerm { loops, directions: u8::MAX };
        Self { field: StoutLayer::new(lattice, vec![term], vec![1.0]) }
    }

    /// One step: W1 = exp(Z0/4) V, W2 = exp(8/9 Z1 - 17/36 Z0) W1, V' = exp(3/4 Z2 - 8/9 Z1 + 17/36 Z0) W2, Z = step x field.
    pub fn step<R: Real, const N: usize>(&self, v: &GaugeField<R, N>, step: f64) -> Result<GaugeField<R, N>> {
        let (w, z) = self.first_stage(v, step)?;
        self.later_stages(w, z, step, |_, _| ())
    }

    /// One step with error control: the distance max |V' - V''|/N^2 to the second-order solution V'' = exp(2 Z1 - Z0) V stays
    /// below `tolerance`; steps that fail are tried again with a smaller one.
    pub fn adaptive_step<R: Real, const N: usize>(
        &self,
        v: &GaugeField<R, N>,
        mut step: f64,
        tolerance: f64,
    ) -> Result<(GaugeField<R, N>, FlowStep)> {
        loop {
            let (w, z) = self.first_stage(v, step)?;
            let z0 = z.clone();
            let mut second = v.clone();
            // 2 Z1 - Z0 = 9/4 (8/9 Z1 - 17/36 Z0) + Z0/16
            let third = self.later_stages(w, z, step, |w, z| {
                let mut generator = w.zero_momenta();
                w.add_momenta(&mut generator, 2.25, z);
                w.add_momenta(&mut generator, 0.0625, &z0);
                second.drift(step, &generator);
            })?;
            let distance = distance(&third, &second) / (N * N) as f64;
            let growth = SAFETY * (tolerance / distance.max(f64::MIN_POSITIVE)).cbrt();
            let next = step * growth.clamp(GROWTH[0], GROWTH[1]);
            if distance <= tolerance {
                return Ok((third, FlowStep { taken: step, next }));
            }
            if next < SMALLEST_STEP || !distance.is_finite() {
                return Err(Error::Convergence {
                    message: format!(
                        "the flow cannot keep its error below {tolerance:e} even with a step of {step:e}; allow a larger tolerance"
                    ),
                    history: vec![distance],
                });
            }
            step = next;
        }
    }

    /// W1 and Z0 per unit step.
    fn first_stage<R: Real, const N: usize>(
        &self,
        v: &GaugeField<R, N>,
        step: f64,
    ) -> Result<(GaugeField<R, N>, LinkAlgebra<R, N>)> {
        interrupt::poll()?;
        let (mut w, z) = (v.clone(), self.field.generator(v));
        w.drift(0.25 * step, &z);
        Ok((w, z))
    }

    /// V' from W1 and Z0, both changed in place; `between` sees W1 and 8/9 Z1 - 17/36 Z0.
    fn later_stages<R: Real, const N: usize>(
        &self,
        mut w: GaugeField<R, N>,
        mut z: LinkAlgebra<R, N>,
        step: f64,
        between: impl FnOnce(&GaugeField<R, N>, &LinkAlgebra<R, N>),
    ) -> Result<GaugeField<R, N>> {
        self.field.blend(&w, -17.0 / 36.0, 8.0 / 9.0, &mut z);
        between(&w, &z);
        w.drift(step, &z);
        self.field.blend(&w, -1.0, 0.75, &mut z);
        w.drift(step, &z);
        Ok(w)
    }
}

/// max over links of |a - b| in the Frobenius norm.
fn distance<R: Real, const N: usize>(a: &GaugeField<R, N>, b: &GaugeField<R, N>) -> f64 {
    let worst = |max: f64, x: f64| if x > max || x.is_nan() { x } else { max };
    let pairs = a.links().iter().zip(b.links());
    pairs.map(|(a, b)| a.add(&b.scale(-R::one())).norm2().max_lane()).fold(0.0, worst).sqrt()
}
