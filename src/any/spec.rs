//! Actions, maps and samplers as plain data, tagged by `kind`: the one form that crosses the border and stands in files.

use crate::action::FieldFunction;
use crate::dirac::DiracSpec;
use crate::error::{Error, Result};
use crate::lattice::Path;
use crate::lcnn::Layer;
use crate::map::{Form, Pattern};
use crate::sampler::{OnFailure, Role};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A loop by name (see `lattice::path::FAMILIES`) or by path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LoopSpec {
    /// A family.
    Family(String),
    /// Signed directions.
    Path(Path),
}

/// Terms of a stout-type map: for each coefficient its loop and the directions of the links that it changes (bit mu).
pub type StoutSpec = Vec<(LoopSpec, u8)>;

/// A layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum LayerSpec {
    /// A stout-type layer.
    Stout {
        /// One for each coefficient.
        terms: StoutSpec,
    },
    /// An attention layer.
    Attention {
        /// Terms of each of its three maps.
        terms: StoutSpec,
        /// The longest staple.
        reach: usize,
        /// Which staples have scores.
        #[serde(default)]
        form: Form,
    },
    /// APE smearing.
    Ape {
        /// Directions of the links that are smeared, and of their staples (bit mu; all of them 255).
        directions: u8,
    },
    /// HYP smearing.
    Hyp {
        /// Directions of the links that are smeared, and of their staples (bit mu; all of them 255).
        directions: u8,
        /// How many coefficients it has.
        levels: usize,
    },
}

/// A stack of layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackSpec {
    /// The layers, the first is applied first.
    pub layers: Vec<LayerSpec>,
    /// Compute fields again in the reverse pass instead of keeping them.
    #[serde(default)]
    pub recompute: bool,
}

/// A layer of a field transformation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum BijectionSpec {
    /// Masked link updates with one coefficient for each loop.
    StoutMask {
        /// The loops.
        loops: Vec<LoopSpec>,
        /// Dimensions of the lattice.
        ndim: usize,
        /// How sites are split.
        mask: Pattern,
        /// Direction of the links; all if absent.
        direction: Option<usize>,
        /// Class of the sites; all if absent.
        subset: Option<usize>,
        /// Bound of the sum of coefficients.
        bound: f64,
        /// Where coefficients depend on the field.
        #[serde(default)]
        network: Option<CoefficientSpec>,
    },
}

/// The network for the coefficients of a masked layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoefficientSpec {
    /// Loops whose traces are its input.
    pub inputs: Vec<LoopSpec>,
    /// Its layers.
    pub layers: Vec<crate::nn::Layer>,
}

/// A change of variables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransformSpec {
    /// The layers, the first is applied first.
    pub layers: Vec<BijectionSpec>,
    /// Compute fields again in the reverse pass instead of keeping them.
    #[serde(default)]
    pub recompute: bool,
}

/// An equivariant convolutional network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LcnnSpec {
    /// Dimensions of the lattice.
    pub ndim: usize,
    /// The layers.
    pub layers: Vec<Layer>,
}

/// A function that was handed over beside the description; descriptions in files know its name only.
#[derive(Clone, Default)]
pub struct Function(Option<Arc<dyn FieldFunction>>);

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "function" } else { "no function" })
    }
}

/// An action.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ActionSpec {
    /// A sum of actions.
    Sum {
        /// The summands.
        terms: Vec<ActionSpec>,
    },
    /// A number times an action.
    Scaled {
        /// The action.
        action: Box<ActionSpec>,
        /// The number.
        coefficient: f64,
        /// Whether it is a parameter.
        #[serde(default)]
        trainable: bool,
    },
    /// Coefficients and loops.
    Loops {
        /// What people call it.
        #[serde(default)]
        name: String,
        /// The terms.
        terms: Vec<(f64, LoopSpec)>,
    },
    /// A supplied function.
    Custom {
        /// What people call it.
        name: String,
        /// The function.
        #[serde(skip)]
        function: Function,
    },
    /// An action of mapped links.
    Mapped {
        /// The action.
        action: Box<ActionSpec>,
        /// The map.
        map: StackSpec,
        /// Its coefficients.
        theta: Vec<f64>,
    },
    /// An action in new variables, S(F(V)) - log det F'.
    Transformed {
        /// The action.
        action: Box<ActionSpec>,
        /// The change of variables.
        map: TransformSpec,
        /// Its parameters.
        theta: Vec<f64>,
    },
    /// A channel of a network, summed over sites.
    Readout {
        /// The network.
        network: LcnnSpec,
        /// Its parameters.
        theta: Vec<f64>,
        /// Factor of the sum.
        coefficient: f64,
        /// The channel.
        channel: usize,
    },
    /// Quarks as pseudofermions.
    Pseudofermion {
        /// The operator.
        dirac: DiracSpec,
        /// That of the heavier quark of a ratio.
        #[serde(default)]
        over: Option<DiracSpec>,
        /// Flavours or tastes.
        n_flavors: u32,
        /// Relative residual of the solves for the action.
        tolerance: f64,
        /// Relative residual of the solves for the force.
        force_tolerance: f64,
        /// Most iterations of a solve.
        max_iterations: usize,
        /// Ends of the spectrum of D^dagger D, for numbers of flavours that need a rational approximation.
        #[serde(default)]
        range: Option<[f64; 2]>,
        /// Iterations in single precision.
        #[serde(default)]
        mixed: bool,
        /// How many solutions of a trajectory solves for forces start from.
        #[serde(default)]
        chronological: usize,
    },
    /// A scalar field with quartic self-interaction.
    Scalar {
        /// m^2.
        mass2: f64,
        /// lambda.
        lam: f64,
    },
}

impl ActionSpec {
    /// The summands of sums, one after another.
    pub fn terms(&self) -> Vec<&Self> {
        match self {
            Self::Sum { terms } => terms.iter().flat_map(Self::terms).collect(),
            term => vec![term],
        }
    }

    /// What messages call the kind.
    pub fn name(&self) -> &str {
        match self {
            Self::Sum { .. } => "Sum",
            Self::Scaled { .. } => "Scaled",
            Self::Loops { .. } => "Loops",
            Self::Custom { .. } => "Custom",
            Self::Mapped { .. } => "Mapped",
            Self::Transformed { .. } => "Transformed",
            Self::Readout { .. } => "the output of a network",
            Self::Pseudofermion { .. } => "Pseudofermion",
            Self::Scalar { .. } => "Scalar",
        }
    }

    /// Whether it holds a supplied function, whose second derivative nobody knows.
    pub fn is_supplied(&self) -> bool {
        match self {
            Self::Custom { .. } => true,
            Self::Sum { terms } => terms.iter().any(Self::is_supplied),
            Self::Scaled { action, .. } | Self::Mapped { action, .. } | Self::Transformed { action, .. } => {
                action.is_supplied()
            }
            Self::Loops { .. } | Self::Readout { .. } | Self::Pseudofermion { .. } | Self::Scalar { .. } => false,
        }
    }

    /// Hands functions to the supplied actions in the order in which they are named.
    pub fn supply(&mut self, functions: &mut impl Iterator<Item = Arc<dyn FieldFunction>>) {
        match self {
            Self::Custom { function, .. } => *function = Function(functions.next()),
            Self::Sum { terms } => terms.iter_mut().for_each(|term| term.supply(functions)),
            Self::Scaled { action, .. } | Self::Mapped { action, .. } | Self::Transformed { action, .. } => {
                action.supply(functions)
            }
            Self::Loops { .. } | Self::Readout { .. } | Self::Pseudofermion { .. } | Self::Scalar { .. } => {}
        }
    }
}

impl Function {
    /// The function.
    pub fn get(&self) -> Result<Arc<dyn FieldFunction>> {
        self.0.clone().ok_or_else(|| Error::value("a Custom action was described without its function"))
    }
}

/// A term of an HMC.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermSpec {
    /// The action.
    pub action: ActionSpec,
    /// What it is for.
    #[serde(default)]
    pub role: Role,
    /// Uses the auxiliary fields of that term.
    #[serde(default)]
    pub auxiliary: Option<usize>,
}

/// A time scale of an HMC.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LevelSpec {
    /// Numbers of its terms.
    pub terms: Vec<usize>,
    /// Steps per drift of the scale outside.
    pub steps: usize,
    /// Name of the integrator.
    pub integrator: String,
}

/// Hybrid Monte Carlo.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HmcSpec {
    /// Terms of the action.
    pub terms: Vec<TermSpec>,
    /// Time scales, slowest first.
    pub levels: Vec<LevelSpec>,
    /// Trajectory length.
    pub length: f64,
    /// What a failed solve does.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// A sampler.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SamplerSpec {
    /// Heatbath and overrelaxation.
    Heatbath {
        /// The action; all its terms must be loops.
        action: ActionSpec,
        /// Overrelaxation sweeps per heatbath sweep.
        overrelaxation: usize,
    },
    /// Hybrid Monte Carlo.
    Hmc(HmcSpec),
}

impl SamplerSpec {
    /// Hands functions to the supplied actions in the order in which they are named.
    pub fn supply(&mut self, functions: &mut impl Iterator<Item = Arc<dyn FieldFunction>>) {
        match self {
            Self::Heatbath { action, .. } => action.supply(functions),
            Self::Hmc(hmc) => hmc.terms.iter_mut().for_each(|term| term.action.supply(functions)),
        }
    }

    /// Whether it calls a supplied function.
    pub fn is_supplied(&self) -> bool {
        match self {
            Self::Heatbath { .. } => false,
            Self::Hmc(hmc) => hmc.terms.iter().any(|term| term.action.is_supplied()),
        }
    }
}

/// A description from its JSON text.
pub fn parse<T: for<'de> Deserialize<'de>>(json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| Error::value(format!("no description of this kind: {error}")))
}
