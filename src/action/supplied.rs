//! Actions supplied by the caller as a function of the link array.

use crate::concept::{Action, Auxiliary, Effort, Tangent as _};
use crate::error::{Error, Result};
use crate::gauge::{GaugeField, LinkAlgebra, array, matrix};
use crate::matrix::Algebra;
use crate::number::Real;
use num_complex::Complex64;
use std::sync::Arc;

/// Largest deviation from the Lie algebra, relative to the largest element, that a supplied force may have.
const FORCE_TOLERANCE: f64 = 1e-6;

/// A function of links `[mu, x.., a, b]` that returns the action and the force, an array like the links.
pub trait LinkFunction: Send + Sync {
    /// What messages call it.
    fn name(&self) -> String;
    /// Value and force for links of `n_colors` colours on `extents`.
    fn value_and_force(
        &self,
        extents: &[usize],
        n_colors: usize,
        links: Vec<Complex64>,
    ) -> Result<(f64, Vec<Complex64>)>;
}

/// A supplied function as an action.
pub struct Supplied(pub Arc<dyn LinkFunction>);

impl Supplied {
    fn call<R: Real, const N: usize>(&self, q: &GaugeField<R, N>) -> Result<(f64, Vec<Complex64>)> {
        let (value, force) = self.0.value_and_force(q.lattice().extents(), N, array(q))?;
        let name = self.0.name();
        if value.is_nan() {
            return Err(Error::value(format!("the Custom action {name} returned the value NaN")));
        }
        match force.iter().position(|z| !z.re.is_finite() || !z.im.is_finite()) {
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
