//! Typed actions, maps and samplers from their descriptions.

use super::spec::{
    ActionSpec, BijectionSpec, CoefficientSpec, HmcSpec, LayerSpec, LcnnSpec, LevelSpec, LoopSpec, StackSpec,
    StoutSpec, TermSpec, TransformSpec,
};
use super::storage::Capability;
use crate::action::{Accuracy, LoopAction, Mapped, Pseudofermion, ReadoutAction, Scaled, Supplied, Transformed};
use crate::concept::{Action, Configuration, Map, Sum};
use crate::dirac::MOST_COLORS;
use crate::error::{Error, Result};
use crate::gauge::GaugeField;
use crate::group;
use crate::lattice::{Lattice, WeightedPath, path};
use crate::lcnn::Network;
use crate::map::{
    AttentionLayer, BlockedLayer, CoefficientNetwork, MaskedLayer, Memory, Stack, StoutLayer, StoutTerm, Transformation,
};
use crate::number::Real;
use crate::sampler::{Hmc, Integrator, Level, Term};
use crate::scalar::{ScalarAction, ScalarField};
use std::sync::Arc;

/// A field whose actions can be described.
pub trait Described: Configuration + Sized + 'static {
    /// The lattice that it lives on.
    fn lattice(&self) -> &Arc<Lattice>;
    /// The action of a description.
    fn action(spec: &ActionSpec, lattice: &Arc<Lattice>) -> Result<Box<dyn Action<Self>>>;
}

/// A number times an action.
fn scaled<Q: Described>(
    action: &ActionSpec,
    coefficient: f64,
    trainable: bool,
    lattice: &Arc<Lattice>,
) -> Result<Box<dyn Action<Q>>> {
    Ok(Box::new(Scaled { action: Arc::from(Q::action(action, lattice)?), coefficient, trainable }))
}

fn sum<Q: Described>(terms: &[ActionSpec], lattice: &Arc<Lattice>) -> Result<Box<dyn Action<Q>>> {
    Ok(Box::new(Sum(terms.iter().map(|term| Q::action(term, lattice)).collect::<Result<_>>()?)))
}

impl<R: Real, const N: usize> Described for GaugeField<R, N> {
    fn lattice(&self) -> &Arc<Lattice> {
        self.lattice()
    }

    fn action(spec: &ActionSpec, lattice: &Arc<Lattice>) -> Result<Box<dyn Action<Self>>> {
        Ok(match spec {
            ActionSpec::Sum { terms } => sum(terms, lattice)?,
            ActionSpec::Scaled { action, coefficient, trainable } => scaled(action, *coefficient, *trainable, lattice)?,
            ActionSpec::Loops { terms, .. } => Box::new(LoopAction::new(lattice, expand(terms, lattice.extents())?)),
            ActionSpec::Custom { function, .. } => Box::new(Supplied(function.get()?)),
            ActionSpec::Mapped { action, map, theta } => {
                let map: Stack<Self> = stack(map, lattice)?;
                check_parameters(theta.len(), map.n_parameters())?;
                let action = Arc::from(Self::action(action, lattice)?);
                Box::new(Mapped { action, map: Arc::new(map), theta: theta.as_slice().into() })
            }
            ActionSpec::Transformed { action, map, theta } => {
                if const { !Capability::Transformation.of(N) } {
                    return Err(Capability::Transformation.missing(N));
                }
                let map = transformation(map, lattice)?;
                check_parameters(theta.len(), Map::<Self>::n_parameters(&map))?;
                let action = Arc::from(Self::action(action, lattice)?);
                Box::new(Transformed { action, map: Arc::new(map), theta: theta.as_slice().into() })
            }
            ActionSpec::Readout { network, theta, coefficient, channel } => {
                if const { !Capability::Lcnn.of(N) } {
                    return Err(Capability::Lcnn.missing(N));
                }
                let network = lcnn(network)?;
                check_parameters(theta.len(), network.n_parameters())?;
                let weights = network.sum_of_channel(lattice, *channel, *coefficient)?.into();
                Box::new(ReadoutAction { readout: Arc::new(network), theta: theta.as_slice().into(), weights })
            }
            ActionSpec::Pseudofermion {
                dirac,
                over,
                n_flavors,
                tolerance,
                force_tolerance,
                max_iterations,
                range,
                mixed,
                chronological,
            } => {
                if const { N > MOST_COLORS } {
                    let name = group::name(N);
                    return Err(Error::value(format!("fermions are known up to SU({MOST_COLORS}); this is {name}")));
                }
                if const { R::DUAL } {
                    return Err(Error::value("derivatives of forces exist for actions without quarks"));
                }
                let accuracy = Accuracy {
                    tolerances: [*tolerance, *force_tolerance],
                    max_iterations: *max_iterations,
                    range: *range,
                    mixed: *mixed,
                    chronological: *chronological,
                };
                Box::new(Pseudofermion::<R, N>::new(dirac, over.as_ref(), *n_flavors, lattice, accuracy)?)
            }
            ActionSpec::Scalar { .. } => return Err(wrong_field("gauge", spec)),
        })
    }
}

impl Described for ScalarField<f64> {
    fn lattice(&self) -> &Arc<Lattice> {
        self.lattice()
    }

    fn action(spec: &ActionSpec, lattice: &Arc<Lattice>) -> Result<Box<dyn Action<Self>>> {
        match spec {
            ActionSpec::Sum { terms } => sum(terms, lattice),
            ActionSpec::Scaled { action, coefficient, trainable } => scaled(action, *coefficient, *trainable, lattice),
            ActionSpec::Scalar { mass2, lam } => Ok(Box::new(ScalarAction::new(lattice, *mass2, *lam))),
            ActionSpec::Custom { function, .. } => Ok(Box::new(Supplied(function.get()?))),
            _ => Err(wrong_field("scalar", spec)),
        }
    }
}

fn wrong_field(field: &str, spec: &ActionSpec) -> Error {
    Error::Type(format!("{} is no action of {field} fields", spec.name()))
}

fn check_parameters(given: usize, needed: usize) -> Result<()> {
    match given == needed {
        true => Ok(()),
        false => Err(Error::value(format!("{given} parameters given; {needed} are needed"))),
    }
}

/// The loops of a list of coefficients on given extents.
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

/// The loops of an action that has nothing else.
pub fn all_loops(action: &ActionSpec, extents: &[usize]) -> Result<Vec<WeightedPath>> {
    let mut loops = Vec::new();
    for term in action.terms() {
        match term {
            ActionSpec::Loops { terms, .. } => loops.extend(expand(terms, extents)?),
            other => {
                return Err(Error::value(format!(
                    "an action made of loops is needed here; {} works with HMC only",
                    other.name()
                )));
            }
        }
    }
    Ok(loops)
}

/// The typed network.
pub fn lcnn(spec: &LcnnSpec) -> Result<Network> {
    Network::new(spec.ndim, spec.layers.clone())
}

/// The typed stack of layers.
pub fn stack<R: Real, const N: usize>(spec: &StackSpec, lattice: &Arc<Lattice>) -> Result<Stack<GaugeField<R, N>>> {
    let layer = |layer: &LayerSpec| -> Result<Box<dyn Map<GaugeField<R, N>>>> {
        Ok(match layer {
            LayerSpec::Stout { terms } => Box::new(StoutLayer::new(lattice, stout_terms(terms, lattice)?)),
            LayerSpec::Attention { terms, reach, form } => {
                if const { !Capability::Attention.of(N) } {
                    return Err(Capability::Attention.missing(N));
                }
                Box::new(AttentionLayer::new(lattice, stout_terms(terms, lattice)?, *reach, *form)?)
            }
            LayerSpec::Ape { directions } => Box::new(blocked(*directions, lattice, None)?),
            LayerSpec::Hyp { directions, levels } => Box::new(blocked(*directions, lattice, Some(*levels))?),
        })
    };
    let memory = if spec.recompute { Memory::Recompute } else { Memory::Store };
    Ok(Stack { layers: spec.layers.iter().map(layer).collect::<Result<_>>()?, memory })
}

/// The typed change of variables.
pub fn transformation(spec: &TransformSpec, lattice: &Arc<Lattice>) -> Result<Transformation> {
    let layer = |layer: &BijectionSpec| -> Result<MaskedLayer> {
        let BijectionSpec::StoutMask { loops, ndim, mask, direction, subset, bound, network } = layer;
        if *ndim != lattice.ndim() {
            return Err(Error::value(format!(
                "the field transformation is for {ndim} dimensions; the lattice {:?} has {}",
                lattice.extents(),
                lattice.ndim()
            )));
        }
        let group = |loops: &LoopSpec| expand(&[(1.0, loops.clone())], lattice.extents());
        let network_of = |network: &CoefficientSpec| -> Result<CoefficientNetwork> {
            let inputs = network.inputs.iter().map(group).collect::<Result<Vec<_>>>()?.concat();
            Ok(CoefficientNetwork { inputs, layers: network.layers.clone() })
        };
        Ok(MaskedLayer {
            pattern: *mask,
            direction: *direction,
            class: *subset,
            groups: loops.iter().map(group).collect::<Result<_>>()?,
            scale: *bound,
            network: network.as_ref().map(network_of).transpose()?,
        })
    };
    let memory = if spec.recompute { Memory::Recompute } else { Memory::Store };
    let layers: Vec<_> = spec.layers.iter().map(layer).collect::<Result<_>>()?;
    Transformation::new(lattice, &layers, memory)
}

/// Smearing by averages: HYP where the number of levels is given, else APE.
fn blocked(directions: u8, lattice: &Arc<Lattice>, levels: Option<usize>) -> Result<BlockedLayer> {
    check_directions(directions, lattice)?;
    let most = match directions {
        u8::MAX => lattice.ndim(),
        _ => directions.count_ones() as usize,
    };
    if most < 2 {
        return Err(Error::value(format!(
            "APE and HYP smearing need at least two directions; a layer has {most} on a {}-dimensional lattice",
            lattice.ndim()
        )));
    }
    match levels {
        Some(levels) if levels != most - 1 => Err(Error::value(format!(
            "HYP smearing in {most} directions takes {} coefficients; the layer has {levels}",
            most - 1
        ))),
        _ => BlockedLayer::new(lattice, directions, levels.unwrap_or(1)),
    }
}

fn check_directions(directions: u8, lattice: &Lattice) -> Result<()> {
    if directions == u8::MAX || u32::from(directions) >> lattice.ndim() == 0 {
        return Ok(());
    }
    Err(Error::value(format!(
        "a layer changes links of a direction that a {}-dimensional lattice does not have",
        lattice.ndim()
    )))
}

fn stout_terms(terms: &StoutSpec, lattice: &Lattice) -> Result<Vec<StoutTerm>> {
    let term = |(loops, directions): &(LoopSpec, u8)| {
        check_directions(*directions, lattice)?;
        let loops = expand(&[(1.0, loops.clone())], lattice.extents())?;
        Ok(StoutTerm { loops, directions: *directions })
    };
    terms.iter().map(term).collect()
}

/// The typed hybrid Monte Carlo: every term is built once.
pub fn hmc<Q: Described>(spec: &HmcSpec, lattice: &Arc<Lattice>) -> Result<Hmc<Q>> {
    let term = |term: &TermSpec| {
        let action = Arc::from(Q::action(&term.action, lattice)?);
        Ok(Term { action, role: term.role, auxiliary: term.auxiliary })
    };
    let level = |level: &LevelSpec| {
        let integrator = Integrator::named(&level.integrator)?;
        Ok(Level { terms: level.terms.clone(), integrator, steps: level.steps })
    };
    Ok(Hmc {
        terms: spec.terms.iter().map(term).collect::<Result<_>>()?,
        levels: spec.levels.iter().map(level).collect::<Result<_>>()?,
        length: spec.length,
        on_failure: spec.on_failure,
    })
}
