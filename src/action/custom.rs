//! Actions supplied by the caller as a function of the link array, and run-time descriptions of actions.

use super::{Action, Configuration, LoopAction, Sum};
use crate::any::matrix;
use crate::error::{Error, Result};
use crate::gauge::{GaugeField, LinkAlgebra, pack};
use crate::lattice::Lattice;
use crate::matrix::Algebra;
use crate::path::{self, Path, WeightedPath};
use crate::real::Real;
use crate::smear::{AttentionLayer, Map, Mapped, Memory, Stack, StoutLayer, StoutTerm};
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

/// Terms of a stout-type map: for each coefficient its loops and the directions of the links that they change (bit mu).
pub type StoutSpec = Vec<(Vec<(f64, LoopSpec)>, u8)>;

/// A layer as plain data.
#[derive(Debug, Clone)]
pub enum LayerSpec {
    /// A stout-type layer and its coefficients.
    Stout(StoutSpec, Vec<f64>),
    /// An attention layer: the terms of each of its three maps, their coefficients, the longest staple.
    Attention(StoutSpec, Vec<f64>, usize),
}

/// A stack of layers as plain data.
#[derive(Debug, Clone)]
pub struct StackSpec {
    /// The layers, the first is applied first.
    pub layers: Vec<LayerSpec>,
    /// Compute fields again in the reverse pass instead of keeping them.
    pub recompute: bool,
}

/// One term of an action as plain data.
#[derive(Clone)]
pub enum ActionSpec {
    /// A sum of terms evaluated on mapped links.
    Mapped(Vec<ActionSpec>, StackSpec),
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
            ActionSpec::Mapped(inner, stack) => Box::new(Mapped {
                action: Box::new(build(inner, lattice)?),
                map: Box::new(build_stack(stack, lattice)?),
            }),
        });
    }
    Ok(Sum(actions))
}

/// Builds the typed stack of layers.
pub fn build_stack<R: Real, const N: usize>(
    spec: &StackSpec,
    lattice: &Arc<Lattice>,
) -> Result<Stack<GaugeField<R, N>>> {
    let layer = |layer: &LayerSpec| -> Result<Box<dyn Map<GaugeField<R, N>>>> {
        Ok(match layer {
            LayerSpec::Stout(terms, rho) => {
                Box::new(StoutLayer::new(lattice, stout_terms(terms, lattice)?, rho.clone()))
            }
            LayerSpec::Attention(terms, rho, reach) => {
                Box::new(AttentionLayer::new(lattice, stout_terms(terms, lattice)?, rho, *reach)?)
            }
        })
    };
    let memory = if spec.recompute { Memory::Recompute } else { Memory::Store };
    Ok(Stack { layers: spec.layers.iter().map(layer).collect::<Result<_>>()?, memory })
}

fn stout_terms(terms: &StoutSpec, lattice: &Lattice) -> Result<Vec<StoutTerm>> {
    let term = |(loops, directions): &(Vec<(f64, LoopSpec)>, u8)| {
        if *directions != u8::MAX && u32::from(*directions) >> lattice.ndim() != 0 {
            return Err(Error::value(format!(
                "a layer changes links of a direction that a {}-dimensional lattice does not have",
                lattice.ndim()
            )));
        }
        Ok(StoutTerm { loops: expand(loops, lattice.extents())?, directions: *directions })
    };
    terms.iter().map(term).collect()
}

/// Whether a term is a supplied function, whose second derivative nobody knows.
pub fn is_supplied(term: &ActionSpec) -> bool {
    match term {
        ActionSpec::Custom(_) => true,
        ActionSpec::Loops(_) => false,
        ActionSpec::Mapped(inner, _) => inner.iter().any(is_supplied),
    }
}

/// The loops of an action that has nothing else.
pub fn all_loops(terms: &[ActionSpec], extents: &[usize]) -> Result<Vec<WeightedPath>> {
    let mut loops = Vec::new();
    for term in terms {
        match term {
            ActionSpec::Loops(list) => loops.extend(expand(list, extents)?),
            _ => {
                return Err(Error::value(
                    "an action made of loops is needed here; Custom and Mapped work with HMC only",
                ));
            }
        }
    }
    Ok(loops)
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
