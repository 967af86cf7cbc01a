//! Samplers described by plain data and compiled for the field they meet.

use super::cache::Cache;
use super::compile::{Described, all_loops, hmc};
use super::network::each;
use super::spec::SamplerSpec;
use super::storage::{AnyGauge, with_gauge};
use crate::action::LoopAction;
use crate::concept::Objective;
use crate::error::{Error, Result};
use crate::field::inside_for;
use crate::gauge::GaugeField;
use crate::number::Real;
use crate::random::Draws;
use crate::sampler::{Heatbath, Hmc, HmcInfo, Lesson};
use crate::scalar::ScalarField;
use std::sync::Arc;

/// What an update did.
#[derive(Debug)]
pub enum Info {
    /// Colours per direction of a heatbath.
    Colors(f64),
    /// A trajectory.
    Hmc(HmcInfo),
}

/// A sampler that compiles itself for a field and keeps the result for the next one like it.
pub struct AnySampler {
    spec: SamplerSpec,
    compiled: Cache,
}

impl AnySampler {
    /// A sampler from its description.
    pub fn new(spec: SamplerSpec) -> Self {
        Self { spec, compiled: Cache::default() }
    }

    /// One update of a gauge field.
    pub fn step(&self, field: &AnyGauge, draws: Draws) -> Result<(AnyGauge, Info)> {
        with_gauge!(field, field => {
            let (field, info) = self.links(field, draws)?;
            Ok((field.into(), info))
        })
    }

    /// Supplied functions are called on the thread of the caller, whose settings (of torch or JAX, say) they may count on. Nothing is
    /// compiled in there: a thread of the pool that waits takes up other work, which must not ask for a lock that the thread holds.
    fn on_pool<R: Real, const N: usize, T: Send>(
        &self,
        field: &GaugeField<R, N>,
        work: impl FnOnce() -> Result<T> + Send,
    ) -> Result<T> {
        if self.spec.is_supplied() {
            return work();
        }
        inside_for::<R, _, _>(field.links(), field.lattice().ndim(), work)
    }

    fn links<R: Real<Total = f64>, const N: usize>(
        &self,
        field: &GaugeField<R, N>,
        draws: Draws,
    ) -> Result<(GaugeField<R, N>, Info)> {
        let SamplerSpec::Heatbath { action, overrelaxation } = &self.spec else {
            let hmc = self.hmc(field)?;
            let (field, info) = self.on_pool(field, || hmc.step(field, draws))?;
            return Ok((field, Info::Hmc(info)));
        };
        let lattice = field.lattice();
        let heatbath = self.compiled.get(lattice, || {
            let action = LoopAction::new(lattice, all_loops(action, lattice.extents())?);
            Heatbath::new(action, lattice, *overrelaxation)
        })?;
        let (field, info) = self.on_pool(field, || heatbath.step(field, draws.seed, draws.sweep))?;
        Ok((field, Info::Colors(info.colors)))
    }

    /// One update of a scalar field.
    pub fn step_scalar(&self, field: &ScalarField<f64>, draws: Draws) -> Result<(ScalarField<f64>, Info)> {
        let (field, info) = self.hmc(field)?.step(field, draws)?;
        Ok((field, Info::Hmc(info)))
    }

    fn hmc<Q: Described>(&self, field: &Q) -> Result<Arc<Hmc<Q>>>
    where
        Q::Scalar: Real<Total = f64>,
    {
        let SamplerSpec::Hmc(spec) = &self.spec else {
            return Err(Error::Type("a heatbath updates gauge links".into()));
        };
        self.compiled.get(field.lattice(), || hmc(spec, field.lattice()))
    }

    /// One trajectory whose proposal has other parameters, with what it teaches about them.
    pub fn learn(
        &self,
        field: &AnyGauge,
        draws: Draws,
        theta: &[f64],
        lesson: Lesson,
    ) -> Result<(AnyGauge, HmcInfo, Vec<Objective<f64>>)> {
        with_gauge!(field, field => {
            let hmc = self.hmc(field)?.with_parameters(theta)?;
            let (field, info, lessons) = self.on_pool(field, || hmc.step_and_learn(field, draws, lesson))?;
            Ok((field.into(), info, lessons))
        })
    }

    /// A trajectory and the way back.
    pub fn there_and_back(&self, field: &AnyGauge, draws: Draws) -> Result<(AnyGauge, [f64; 2])> {
        with_gauge!(field, field => {
            let hmc = self.hmc(field)?;
            let (end, energies) = self.on_pool(field, || hmc.there_and_back(field, draws))?;
            Ok((end.into(), energies))
        })
    }

    /// The same for a scalar field.
    pub fn there_and_back_scalar(
        &self,
        field: &ScalarField<f64>,
        draws: Draws,
    ) -> Result<(ScalarField<f64>, [f64; 2])> {
        self.hmc(field)?.there_and_back(field, draws)
    }

    /// What trajectories that start at these fields would teach there about a proposal with these parameters.
    pub fn lessons(
        &self,
        fields: &[Arc<AnyGauge>],
        draws: &[Draws],
        theta: &[f64],
        lesson: Lesson,
    ) -> Result<Vec<Objective<f64>>> {
        each(
            fields.len().min(draws.len()),
            &|n| with_gauge!(&*fields[n], field => self.hmc(field)?.with_parameters(theta)?.lesson(field, draws[n], lesson)),
        )
    }
}
