//! Samplers described by plain data and compiled for the field they meet.

use super::{Heatbath, Hmc, Integrator, Level};
use crate::action::custom::{ActionSpec, all_loops, build};
use crate::action::{Action, LoopAction, Sum};
use crate::any::{AnyGauge, with_gauge};
use crate::error::{Error, Result};
use crate::gauge::GaugeField;
use crate::lattice::Lattice;
use crate::real::Real;
use std::any::Any;
use std::sync::{Arc, Mutex};

/// Named numbers that describe one update.
pub type Info = Vec<(&'static str, f64)>;

/// A sampler of gauge fields as plain data.
#[derive(Clone)]
pub enum SamplerSpec {
    /// Heatbath and overrelaxation.
    Heatbath {
        /// Terms of the action; all must be loops.
        action: Vec<ActionSpec>,
        /// Overrelaxation sweeps per heatbath sweep.
        overrelaxation: usize,
    },
    /// Hybrid Monte Carlo.
    Hmc {
        /// Terms of the action.
        action: Vec<ActionSpec>,
        /// For each time scale, slowest first: indices of its terms, steps per drift of the scale outside, integrator.
        levels: Vec<(Vec<usize>, usize, String)>,
        /// Trajectory length.
        length: f64,
    },
}

trait Compiled: Send + Sync {
    fn step(&self, field: &dyn Any, seed: u64, sweep: u64) -> Result<(AnyGauge, Info)>;
    fn fits(&self, field: &dyn Any) -> bool;
}

/// A sampler that compiles itself for a field and keeps the result for the next one like it.
pub struct AnySampler {
    spec: SamplerSpec,
    compiled: Mutex<Option<Arc<dyn Compiled>>>,
}

impl AnySampler {
    /// A sampler from its description.
    pub fn new(spec: SamplerSpec) -> Self {
        Self { spec, compiled: Mutex::new(None) }
    }

    /// One update of `field` with the random numbers of (seed, sweep).
    pub fn step(&self, field: &AnyGauge, seed: u64, sweep: u64) -> Result<(AnyGauge, Info)> {
        with_gauge!(field, field => self.compiled(field)?.step(field, seed, sweep))
    }

    fn compiled<R: Real<Total = f64>, const N: usize>(&self, field: &GaugeField<R, N>) -> Result<Arc<dyn Compiled>>
    where
        GaugeField<R, N>: Into<AnyGauge>,
    {
        let mut kept = self.compiled.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(compiled) = kept.as_ref().filter(|c| c.fits(field)) {
            return Ok(compiled.clone());
        }
        let compiled = compile::<R, N>(&self.spec, field.lattice())?;
        *kept = Some(compiled.clone());
        Ok(compiled)
    }
}

fn compile<R: Real<Total = f64>, const N: usize>(
    spec: &SamplerSpec,
    lattice: &Arc<Lattice>,
) -> Result<Arc<dyn Compiled>>
where
    GaugeField<R, N>: Into<AnyGauge>,
{
    let lattice = lattice.clone();
    Ok(match spec {
        SamplerSpec::Heatbath { action, overrelaxation } => {
            let heatbath = Heatbath::new(loop_action(action, &lattice)?, &lattice, *overrelaxation)?;
            let step = move |field: &GaugeField<R, N>, seed, sweep| {
                let (field, info) = heatbath.step(field, seed, sweep)?;
                Ok((field, vec![("colors", info.colors)]))
            };
            Arc::new(For { lattice, step, field: std::marker::PhantomData })
        }
        SamplerSpec::Hmc { action, levels, length } => {
            let hmc = Hmc::<GaugeField<R, N>> {
                energy: Box::new(build(action, &lattice)?),
                levels: build_levels(action, levels, &lattice)?,
                length: *length,
            };
            let step = move |field: &GaugeField<R, N>, seed, sweep| {
                let (field, info) = hmc.step(field, seed, sweep)?;
                let accepted = f64::from(u8::from(info.accepted));
                Ok((
                    field,
                    vec![
                        ("accepted", accepted),
                        ("delta_h", info.delta_h),
                        ("exp_minus_delta_h", (-info.delta_h).exp()),
                        ("action", info.action),
                    ],
                ))
            };
            Arc::new(For { lattice, step, field: std::marker::PhantomData })
        }
    })
}

fn loop_action(terms: &[ActionSpec], lattice: &Arc<Lattice>) -> Result<LoopAction> {
    Ok(LoopAction::new(lattice, all_loops(terms, lattice.extents())?))
}

fn build_levels<R: Real, const N: usize>(
    terms: &[ActionSpec],
    levels: &[(Vec<usize>, usize, String)],
    lattice: &Arc<Lattice>,
) -> Result<Vec<Level<GaugeField<R, N>>>> {
    let level = |(indices, steps, integrator): &(Vec<usize>, usize, String)| {
        let terms: Vec<ActionSpec> = indices.iter().map(|&i| terms[i].clone()).collect();
        let action: Sum<GaugeField<R, N>> = build(&terms, lattice)?;
        let action: Box<dyn Action<GaugeField<R, N>>> = Box::new(action);
        Ok(Level { action, integrator: Integrator::named(integrator)?, steps: *steps })
    };
    levels.iter().map(level).collect()
}

/// A compiled sampler for one lattice, scalar type and group.
struct For<R, const N: usize, F> {
    lattice: Arc<Lattice>,
    step: F,
    field: std::marker::PhantomData<fn() -> R>,
}

impl<R: Real, const N: usize, F> Compiled for For<R, N, F>
where
    GaugeField<R, N>: Into<AnyGauge>,
    F: Fn(&GaugeField<R, N>, u64, u64) -> Result<(GaugeField<R, N>, Info)> + Send + Sync,
{
    fn step(&self, field: &dyn Any, seed: u64, sweep: u64) -> Result<(AnyGauge, Info)> {
        let field =
            field.downcast_ref().ok_or_else(|| Error::value("a sampler met a field it was not compiled for"))?;
        let (field, info) = (self.step)(field, seed, sweep)?;
        Ok((field.into(), info))
    }

    fn fits(&self, field: &dyn Any) -> bool {
        field.downcast_ref::<GaugeField<R, N>>().is_some_and(|field| Arc::ptr_eq(field.lattice(), &self.lattice))
    }
}
