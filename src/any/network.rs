//! Networks of links described by plain data, compiled for the field they meet; coefficients are handed in, batches run on threads.

use super::action::{AnyAction, KeptForce};
use super::cache::Cache;
use super::compile::stack;
use super::spec::StackSpec;
use super::storage::{AnyGauge, Capability, with_gauge};
use crate::concept::Map;
use crate::error::{Error, Result};
use crate::field;
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::group;
use crate::interrupt;
use crate::map::Stack;
use crate::map::objective::{self, At, ForceNorm, Objective};
use crate::number::{Dual, Real};
use num_complex::Complex64;
use std::any::Any;
use std::sync::Arc;

/// Configurations between two looks at Ctrl-C; does not change results.
const GROUP: usize = 64;

/// A network that compiles itself for a field and keeps the result for the next one like it.
pub struct AnyNetwork {
    spec: StackSpec,
    compiled: Cache,
    dual: Cache,
}

/// `work(n)` for every n below `count`, in order, on threads.
pub(super) fn each<T: Send>(count: usize, work: &(dyn Fn(usize) -> Result<T> + Sync)) -> Result<Vec<T>> {
    let mut results = Vec::with_capacity(count);
    for start in (0..count).step_by(GROUP) {
        interrupt::poll()?;
        let part = field::map(GROUP.min(count - start), |n| work(start + n));
        results.extend(part.into_iter().collect::<Result<Vec<T>>>()?);
    }
    Ok(results)
}

impl AnyNetwork {
    /// A network from its description.
    pub fn new(spec: StackSpec) -> Self {
        Self { spec, compiled: Cache::default(), dual: Cache::default() }
    }

    fn at<R: Real, const N: usize>(&self, u: &GaugeField<R, N>, theta: &[f64]) -> Result<Arc<Stack<GaugeField<R, N>>>> {
        let map = self.compiled.get(u.lattice(), || stack(&self.spec, u.lattice()))?;
        check::<R, N>(&map, theta)?;
        Ok(map)
    }

    /// The image of a field.
    pub fn forward(&self, field: &AnyGauge, theta: &[f64]) -> Result<AnyGauge> {
        with_gauge!(field, u => Ok(self.at(u, theta)?.forward(theta, u)?.into()))
    }

    /// Cotangent `[mu, x.., a, b]` at the image to cotangent at the field, and derivative with respect to the coefficients.
    pub fn pullback(
        &self,
        field: &AnyGauge,
        theta: &[f64],
        cotangent: &[Complex64],
    ) -> Result<(Vec<Complex64>, Vec<f64>)> {
        with_gauge!(field, u => {
            let map = self.at(u, theta)?;
            let (_, tape) = map.record(theta, u)?;
            let mut gradient = vec![0.0; theta.len()];
            let below = map.pullback(theta, u, &tape, &algebra_of(u, cotangent)?, Some(&mut gradient))?;
            Ok((below.to_array(), gradient))
        })
    }

    /// S(map(U)) of every field, with its derivative.
    pub fn action(&self, fields: &[Arc<AnyGauge>], theta: &[f64], action: &AnyAction) -> Result<Vec<Objective<f64>>> {
        each(fields.len(), &|n| {
            with_gauge!(&*fields[n], u => {
                let map = self.at(u, theta)?;
                objective::action(&**action.at(u)?, &At { map: &*map, theta }, u)
            })
        })
    }

    /// Mean over links of |map(U) - V|^2 of every field, with its derivative.
    pub fn distance(
        &self,
        fields: &[Arc<AnyGauge>],
        theta: &[f64],
        targets: &[Arc<AnyGauge>],
    ) -> Result<Vec<Objective<f64>>> {
        each(fields.len(), &|n| {
            with_gauge!(&*fields[n], u => {
                let map = self.at(u, theta)?;
                objective::distance(&At { map: &*map, theta }, u, same_storage(u, &targets[n])?)
            })
        })
    }

    /// Mean over links of |F - target|^power of every field, F the force of S(map(U)), with its derivative.
    pub fn force_norm(
        &self,
        fields: &[Arc<AnyGauge>],
        theta: &[f64],
        action: &AnyAction,
        targets: &[Option<KeptForce>],
        power: u32,
    ) -> Result<Vec<Objective<f64>>> {
        if action.spec().is_supplied() {
            return Err(Error::value(
                "the norm of a force needs an action made of loops; of a Custom action only the force is known",
            ));
        }
        each(
            fields.len(),
            &|n| with_gauge!(&*fields[n], u => self.one_force_norm(u, theta, action, targets[n].as_ref(), power)),
        )
    }

    fn one_force_norm<R: Real<Total = f64>, const N: usize>(
        &self,
        u: &GaugeField<R, N>,
        theta: &[f64],
        action: &AnyAction,
        target: Option<&KeptForce>,
        power: u32,
    ) -> Result<Objective<f64>> {
        if const { !Capability::ForceNorm.of(N) } {
            return Err(Capability::ForceNorm.missing(N));
        }
        let lattice = u.lattice();
        let map = self.at(u, theta)?;
        let dual_map: Arc<Stack<GaugeField<Dual<R>, N>>> = self.dual.get(lattice, || stack(&self.spec, lattice))?;
        let dual_action = action.at_dual::<R, N>(lattice)?;
        let norm = ForceNorm {
            action: &**action.at(u)?,
            map: At { map: &*map, theta },
            dual_action: &**dual_action,
            dual_map: At { map: &*dual_map, theta },
            power,
        };
        norm.at(u, target.map(KeptForce::get).transpose()?)
    }
}

fn check<R: Real, const N: usize>(map: &Stack<GaugeField<R, N>>, theta: &[f64]) -> Result<()> {
    let needed = map.n_parameters();
    match needed == theta.len() {
        true => Ok(()),
        false => Err(Error::value(format!("{} coefficients given; {needed} are needed", theta.len()))),
    }
}

/// The target in the storage of the field.
fn same_storage<'a, R: Real, const N: usize>(
    u: &GaugeField<R, N>,
    target: &'a AnyGauge,
) -> Result<&'a GaugeField<R, N>> {
    let typed = with_gauge!(target, v => (v as &dyn Any).downcast_ref::<GaugeField<R, N>>());
    typed.filter(|v| Arc::ptr_eq(v.lattice(), u.lattice())).ok_or_else(|| {
        let (theirs, ours) = (group::name(target.n_colors()), group::name(N));
        let (given, needed) = (target.extents(), u.lattice().extents());
        Error::value(format!("the target is a field of {theirs} on {given:?}; {ours} on {needed:?} is needed"))
    })
}

/// Elements of the algebra from an array like the links.
pub(super) fn algebra_of<R: Real, const N: usize>(
    u: &GaugeField<R, N>,
    data: &[Complex64],
) -> Result<LinkAlgebra<R, N>> {
    let lattice = u.lattice();
    let (ndim, volume) = (lattice.ndim(), lattice.volume());
    let needed = ndim * volume * N * N;
    if data.len() != needed {
        return Err(Error::value(format!("cotangent has {} elements; {needed} are needed", data.len())));
    }
    Ok(LinkAlgebra::from_array(lattice, data))
}
