//! Actions supplied by the caller as a function of the link array, and run-time descriptions of actions.

use super::{Action, Configuration, LoopAction, Sum};
use crate::any::matrix;
use crate::error::{Error, Result};
use crate::gauge::{GaugeField, LinkAlgebra, pack};
use crate::lattice::Lattice;
use crate::matrix::Algebra;
use crate::path::{self, Path, WeightedPath};
use crate::real::Real;
use num_complex::Complex64;
use std::sync::Arc;

/// Largest deviation from the Lie algebra, relative to the largest element, that a supplied force may have.
const FORCE_TOLERANCE: f64 = 1e-6;

/// A function of links `[mu, x.., a, b]` that returns the action and the force, an array like the links.
pub trait LinkFunction: Send + Sync {
    /// Value and force for links of `n_colors` colours on `extents`.
    fn value_and_force(
        &self,
        extents: &[usize],
        n_colors: usize,
        links: Vec<Complex64>,
    ) -> Result<(f64, Vec<Complex64>)>;
}

/// A loop by name or by path.
#[derive(Debug, Clone, PartialEq)]
pub enum LoopSpec {
    /// A family, see [`path::FAMILIES`].
    Family(String),
    /// Signed directions.
    Path(Path),
}

/// One term of an action as plain data.
#[derive(Clone)]
pub enum ActionSpec {
    /// Coefficients and loops.
    Loops(Vec<(f64, LoopSpec)>),
    /// A supplied function.
    Custom(Arc<dyn LinkFunction>),
}

/// The loops of a term on given extents.
pub fn expand(terms: &[(f64, LoopSpec)], extents: &[usize]) -> Result<Vec<WeightedPath>> {
    let mut loops = Vec::new();
    for (coefficient, spec) in terms {
        let family = match spec {
            LoopSpec::Family(name) => path::family(name, extents)?,
            LoopSpec::Path(path) => {
                path::check_closed(path, extents)?;
                vec![WeightedPath { weight: 1.0, path: path.clone() }]
            }
        };
        loops.extend(family.into_iter().map(|l| WeightedPath { weight: coefficient * l.weight, ..l }));
    }
    Ok(loops)
}

/// Builds the typed action of a list of terms.
pub fn build<R: Real, const N: usize>(terms: &[ActionSpec], lattice: &Arc<Lattice>) -> Result<Sum<GaugeField<R, N>>> {
    let mut actions: Vec<Box<dyn Action<GaugeField<R, N>>>> = Vec::new();
    for term in terms {
        actions.push(match term {
            ActionSpec::Loops(loops) => Box::new(LoopAction::new(lattice, expand(loops, lattice.extents())?)),
            ActionSpec::Custom(function) => Box::new(Supplied(function.clone())),
        });
    }
    Ok(Sum(actions))
}

struct Supplied(Arc<dyn LinkFunction>);

impl Supplied {
    fn call<R: Real, const N: usize>(&self, q: &GaugeField<R, N>) -> Result<(f64, Vec<Complex64>)> {
        self.0.value_and_force(q.lattice().extents(), N, crate::any::array(q))
    }
}

impl<R: Real, const N: usize> Action<GaugeField<R, N>> for Supplied {
    fn value(&self, q: &GaugeField<R, N>) -> Result<<GaugeField<R, N> as Configuration>::Number> {
        Ok(R::Total::splat(self.call(q)?.0))
    }

    fn kick(&self, q: &GaugeField<R, N>, step: f64, momenta: &mut LinkAlgebra<R, N>) -> Result<()> {
        let (_, force) = self.call(q)?;
        check_force::<N>(&force)?;
        let lattice = q.lattice();
        let (ndim, volume) = (lattice.ndim(), lattice.volume());
        for (n, momentum) in momenta.elements.iter_mut().enumerate() {
            let lanes: Vec<_> = (0..R::LANES)
                .map(|lane| matrix::<N>(&force, n % ndim * volume + lattice.site(n / ndim, lane) as usize))
                .collect();
            *momentum = momentum.add_scaled(R::splat(-step), &pack::<R, N>(&lanes).algebra_part());
        }
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
