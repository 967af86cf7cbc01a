//! Actions supplied by the caller as a function of the array of a field.

use crate::concept::{Action, Auxiliary, Effort, Tangent as _};
use crate::error::{Error, Result};
use crate::gauge::{GaugeField, LinkAlgebra, array, matrix};
use crate::matrix::Algebra;
use crate::number::Real;
use crate::scalar::{ScalarField, ScalarTangent};
use num_complex::Complex64;
use std::fmt::Display;
use std::sync::Arc;

/// Largest deviation from the Lie algebra, relative to the largest element, that a supplied force may have.
const FORCE_TOLERANCE: f64 = 1e-6;

/// A scalar field that has left with a trajectory that diverged: S is infinite there, and the trajectory is rejected.
const DIVERGED: f64 = 1e50;

/// A function of links `[mu, x.., a, b]` or of a scalar field `[x.., component]` that returns the action and the force, an array
/// of the same shape.
pub trait FieldFunction: Send + Sync {
    /// What messages call it.
    fn name(&self) -> String;
    /// Value and force for links of `n_colors` colours on `extents`.
    fn of_links(&self, extents: &[usize], n_colors: usize, links: Vec<Complex64>) -> Result<(f64, Vec<Complex64>)>;
    /// Value and force for a scalar field of so many components on `extents`.
    fn of_scalars(&self, extents: &[usize], components: usize, values: Vec<f64>) -> Result<(f64, Vec<f64>)>;
}

/// A supplied function as an action.
pub struct Supplied(pub Arc<dyn FieldFunction>);

impl Supplied {
    fn call<R: Real, const N: usize>(&self, q: &GaugeField<R, N>) -> Result<(f64, Vec<Complex64>)> {
        let result = self.0.of_links(q.lattice().extents(), N, array(q))?;
        self.checked(result, |z| z.re.is_finite() && z.im.is_finite())
    }

    fn call_scalar(&self, q: &ScalarField<f64>) -> Result<(f64, Vec<f64>)> {
        if q.values().iter().any(|x| x.is_nan() || x.abs() > DIVERGED) {
            return Ok((f64::INFINITY, vec![0.0; q.values().len()]));
        }
        let result = self.0.of_scalars(q.lattice().extents(), q.components(), q.to_array())?;
        self.checked(result, |x| x.is_finite())
    }

    fn checked<T: Display>(&self, result: (f64, Vec<T>), finite: impl Fn(&T) -> bool) -> Result<(f64, Vec<T>)> {
        let (value, force) = result;
        let name = self.0.name();
        if value.is_nan() {
            return Err(Error::value(format!("the Custom action {name} returned the value NaN")));
        }
        match force.iter().position(|z| !finite(z)) {
            Some(n) => {
                Err(Error::value(format!("the force of the Custom action {name} is {} at element {n}", force[n])))
            }
            None => Ok((value, force)),
        }
    }
}

impl<R: Real, const N: usize> Action<GaugeField<R, N>> for Supplied {
    fn value(&self, q: &GaugeField<R, N>, _: &[Auxiliary<GaugeField<R, N>>], _: &mut Effort) -> Result<R::Total> {
        Ok(R::Total::splat(self.call(q)?.0))
    }

    fn kick(
        &self,
        q: &GaugeField<R, N>,
        _: &[Auxiliary<GaugeField<R, N>>],
        step: f64,
        momenta: &mut LinkAlgebra<R, N>,
        _: &mut Effort,
    ) -> Result<()> {
        let (_, force) = self.call(q)?;
        check_force::<N>(&force)?;
        momenta.axpy(-step, &LinkAlgebra::from_array(q.lattice(), &force));
        Ok(())
    }
}

impl Action<ScalarField<f64>> for Supplied {
    fn value(&self, q: &ScalarField<f64>, _: &[Auxiliary<ScalarField<f64>>], _: &mut Effort) -> Result<f64> {
        Ok(self.call_scalar(q)?.0)
    }

    fn kick(
        &self,
        q: &ScalarField<f64>,
        _: &[Auxiliary<ScalarField<f64>>],
        step: f64,
        momenta: &mut ScalarTangent<f64>,
        _: &mut Effort,
    ) -> Result<()> {
        let (_, force) = self.call_scalar(q)?;
        let force = ScalarField::<f64>::from_sites(q.lattice().clone(), q.components(), |site, component| {
            force[site * q.components() + component]
        });
        momenta.values.iter_mut().zip(force.values()).for_each(|(p, f)| *p -= step * f);
        Ok(())
    }
}

fn check_force<const N: usize>(force: &[Complex64]) -> Result<()> {
    let (mut size, mut deviation) = (0.0f64, 0.0f64);
    for n in 0..force.len() / (N * N) {
        let f = matrix::<N>(force, n);
        let off = f.add(&Algebra::to_matrix(&f.algebra_part()).scale(-1.0));
        size = size.max(f.norm2().sqrt());
        let distance = off.norm2().sqrt();
        deviation = if distance > deviation || distance.is_nan() { distance } else { deviation };
    }
    if deviation <= FORCE_TOLERANCE * size.max(1.0) {
        return Ok(());
    }
    Err(Error::value(format!(
        "the force of a Custom action is not {}: it deviates by {deviation:.3e}; return F with dS = <F, delta>, <A, B> = {} tr AB, \
         for U -> exp(delta) U",
        if N == 1 { "imaginary" } else { "traceless anti-Hermitian" },
        if N == 1 { "-" } else { "-2" }
    )))
}
