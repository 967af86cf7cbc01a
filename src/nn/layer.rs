//! Layers of convolutional networks as plain data: sizes, parameters, and how these start.

use super::activation::Activation;
use super::symmetry::{Field, Fields, Sharing, Symmetry, in_words};
use crate::error::{Error, Result};
use crate::random::{Purpose, Stream};
use rand::RngExt;
use rand::distr::Open01;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Largest number of channels, and of sites that one window covers in one direction.
const MOST: usize = 1 << 20;
const MOST_PARAMETERS: usize = 1 << 28;
/// Weights of a layer that keeps a table of them.
const MOST_SHARED: usize = 1 << 24;

/// What a pool makes of the numbers in its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Mean.
    Avg,
    /// Largest.
    Max,
    /// Sum.
    Sum,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Layer {
    /// y_o(x) = b_o + sum_{i,t} w_oi(t) u_i(s x + d (t - (k - 1) / 2)), periodic.
    Conv {
        /// k, sites of the window in each direction.
        size: Vec<usize>,
        /// Channels in.
        inputs: usize,
        /// Channels out.
        outputs: usize,
        /// Whether there is b.
        bias: bool,
        /// s, sites between windows.
        stride: Vec<usize>,
        /// d, sites between the sites of a window.
        dilation: Vec<usize>,
    },
    /// A convolution that commutes with the point group of the lattice.
    GroupConv {
        /// k, sites of the window in each direction.
        size: Vec<usize>,
        /// Fields in.
        inputs: Fields,
        /// Fields out.
        outputs: Fields,
        /// Whether there are biases.
        bias: bool,
        /// The group.
        symmetry: Symmetry,
        /// Which weights are one parameter, made when it is first asked for.
        #[serde(skip)]
        table: OnceLock<Arc<Sharing>>,
    },
    /// A function of every number.
    Activation(Activation),
    /// Windows of `size` at distance `stride`; sites that fill no whole window are left out.
    Pool {
        /// Mean, maximum or sum.
        pooling: Pooling,
        /// Sites of a window in each direction.
        size: Vec<usize>,
        /// Sites between windows.
        stride: Vec<usize>,
    },
    /// One number a channel.
    GlobalPool {
        /// Mean, maximum or sum.
        pooling: Pooling,
    },
    /// All numbers as one vector, channel by channel, sites in C order.
    Flatten,
    /// y_o = b_o + sum_i w_oi u_i.
    Linear {
        /// Numbers in.
        inputs: usize,
        /// Numbers out.
        outputs: usize,
        /// Whether there is b.
        bias: bool,
    },
    /// u + f(u), f the layers inside.
    Residual {
        /// f.
        layers: Vec<Layer>,
    },
}

/// Name and shape of an array of parameters, and the number of terms of the sum that it stands in.
pub type Parameter = (&'static str, Vec<usize>, usize);

impl Layer {
    /// The arrays of parameters of this layer alone (a residual block has those of the layers inside).
    pub fn parameters(&self) -> Vec<Parameter> {
        let (weight, outputs, terms, bias) = match self {
            Self::Conv { size, inputs, outputs, bias, .. } => {
                let terms = inputs * size.iter().product::<usize>();
                ([&[*outputs, *inputs], &size[..]].concat(), *outputs, terms, *bias)
            }
            Self::Linear { inputs, outputs, bias } => (vec![*outputs, *inputs], *outputs, *inputs, *bias),
            Self::GroupConv { bias, .. } => {
                let Some(sharing) = self.sharing() else { return Vec::new() };
                (vec![sharing.n_weights], sharing.n_biases, sharing.terms(), *bias && sharing.n_biases > 0)
            }
            _ => return Vec::new(),
        };
        let weight = ("weight", weight, terms);
        if bias { vec![weight, ("bias", vec![outputs], terms)] } else { vec![weight] }
    }

    /// Which weights of a layer that commutes with a group are one parameter: a table that is made once.
    pub(super) fn sharing(&self) -> Option<Arc<Sharing>> {
        match self {
            Self::GroupConv { size, inputs, outputs, symmetry, table, .. } => {
                Some(table.get_or_init(|| Arc::new(Sharing::new(symmetry, size, inputs, outputs))).clone())
            }
            _ => None,
        }
    }

    /// Number of parameters, those of the layers inside included.
    pub fn n_parameters(&self) -> usize {
        match self {
            Self::Residual { layers } => layers.iter().map(Self::n_parameters).sum(),
            _ => self.parameters().iter().map(|(_, shape, _)| shape.iter().product::<usize>()).sum(),
        }
    }

    /// Refuses sizes out of range, for networks of `ndim` dimensions.
    pub fn check(&self, ndim: usize) -> Result<()> {
        let error = |text: String| Err(Error::value(format!("{self}: {text}")));
        let mut counts = Vec::new();
        match self {
            Self::Conv { size, inputs, outputs, stride, dilation, .. } => {
                counts = vec![("size", size), ("stride", stride), ("dilation", dilation)];
                let terms = size.iter().fold(*inputs, |product, k| product.saturating_mul(*k));
                if *inputs == 0 || *outputs == 0 || terms.max(*outputs) > MOST || terms * outputs > MOST_PARAMETERS {
                    return error(format!("channels are 1 to {MOST}, weights at most {MOST_PARAMETERS}"));
                }
            }
            Self::Linear { inputs, outputs, .. }
                if *inputs == 0
                    || *outputs == 0
                    || *inputs.max(outputs) > MOST
                    || inputs * outputs > MOST_PARAMETERS =>
            {
                return error(format!("numbers in and out are 1 to {MOST}, weights at most {MOST_PARAMETERS}"));
            }
            Self::GroupConv { size, inputs, outputs, symmetry, .. } => {
                if size.len() != ndim || size.iter().any(|n| !(1..=MOST).contains(n)) {
                    return error(format!("size = {size:?}; {ndim} numbers of 1 to {MOST} are needed"));
                }
                let acted = &symmetry.directions;
                if acted.is_empty() || !acted.is_sorted_by(|a, b| a < b) || acted.iter().any(|mu| *mu >= ndim) {
                    return error(format!("directions = {acted:?}; allowed are some of 0 to {}, in order", ndim - 1));
                }
                if acted.iter().any(|mu| size[*mu] % 2 == 0) {
                    return error(format!("size = {size:?}; it must be odd where the group reflects"));
                }
                if [inputs, outputs].iter().any(|fields| fields.is_empty() || fields.iter().any(|(_, n)| *n == 0)) {
                    return error("there must be fields, at least 1 of each kind that is named".into());
                }
                let kinds = [inputs, outputs].map(|fields| {
                    let channels = |(field, n): &(Field, usize)| n.saturating_mul(symmetry.components(*field, ndim));
                    fields.iter().map(channels).fold(0, usize::saturating_add)
                });
                let weights = size.iter().chain(&kinds).fold(1, |product: usize, n| product.saturating_mul(*n));
                if weights > MOST_SHARED {
                    return error(format!("{weights} weights; allowed are {MOST_SHARED}"));
                }
                if self.sharing().is_none_or(|sharing| sharing.n_weights == 0) {
                    return error(format!(
                        "no weight of this window from {} to {} commutes with the group; links need windows of 3 or more",
                        in_words(inputs),
                        in_words(outputs)
                    ));
                }
            }
            Self::Pool { size, stride, .. } => counts = vec![("size", size), ("stride", stride)],
            Self::Residual { layers } => return layers.iter().try_for_each(|layer| layer.check(ndim)),
            Self::Activation(Activation::LeakyRelu { slope }) if !slope.is_finite() => {
                return error("the slope must be finite".into());
            }
            _ => {}
        }
        for (name, values) in counts {
            if values.len() != ndim {
                return error(format!("{name} has {} numbers; the network is for {ndim} dimensions", values.len()));
            }
            if values.iter().any(|n| !(1..=MOST).contains(n)) {
                return error(format!("{name} = {values:?}; allowed are 1 to {MOST}"));
            }
        }
        Ok(())
    }

    /// This layer and those inside, in the order in which they act; the numbers say where each stands.
    fn all<'a>(&'a self, place: String, found: &mut Vec<(String, &'a Self)>) {
        if let Self::Residual { layers } = self {
            layers.iter().enumerate().for_each(|(n, layer)| layer.all(format!("{place}.{n}"), found));
        } else {
            found.push((place, self));
        }
    }
}

/// The layers that are not blocks, each with its place, as in `"3"` or `"3.0"` for the first one of a residual block.
pub fn flat(layers: &[Layer]) -> Vec<(String, &Layer)> {
    let mut found = Vec::new();
    layers.iter().enumerate().for_each(|(n, layer)| layer.all(n.to_string(), &mut found));
    found
}

/// Refuses layers that would undo the symmetry of a [`Layer::GroupConv`] before them.
pub fn check_symmetry(layers: &[Layer]) -> Result<()> {
    kept_symmetry(layers, None, "").map(|_| ())
}

/// Fields behind the layers, for those that come in (nothing: plain channels).
fn kept_symmetry<'a>(layers: &'a [Layer], mut known: Option<Known<'a>>, place: &str) -> Result<Option<Known<'a>>> {
    for (n, layer) in layers.iter().enumerate() {
        let place = format!("{place}{n}");
        if let Layer::GroupConv { inputs, outputs, symmetry, .. } = layer {
            let next = Known { fields: outputs, symmetry };
            if known.is_some_and(|now| now != (Known { fields: inputs, symmetry })) {
                let text = known.map(|now| in_words(now.fields)).unwrap_or_default();
                return Err(Error::value(format!("layer {place}, {layer}: {text} come in, or another group")));
            }
            known = Some(next);
            continue;
        }
        let Some(now) = known else {
            if let Layer::Residual { layers } = layer {
                known = kept_symmetry(layers, None, &format!("{place}."))?;
            }
            continue;
        };
        let has = |fields: &[Field]| now.fields.iter().any(|(field, _)| fields.contains(field));
        let reason = match layer {
            Layer::Activation(function) if has(&[Field::Vector]) && !function.is_odd() => {
                "it does not commute with the signs of vector fields: use an odd function, or regular fields"
            }
            Layer::GlobalPool { pooling: Pooling::Max } | Layer::Pool { .. } if has(&[Field::Vector, Field::Bond]) => {
                "pools of windows, and maxima, are for scalar and regular fields"
            }
            Layer::Conv { .. } | Layer::Flatten => "it would undo the symmetry: use GroupConv and a global pool",
            Layer::Linear { .. } if has(&[Field::Vector, Field::Bond, Field::Regular]) => {
                "it would undo the symmetry: let a GroupConv give scalar fields before the pool"
            }
            Layer::Linear { .. } => return Ok(None),
            Layer::Residual { layers } => {
                if kept_symmetry(layers, known, &format!("{place}."))? == known {
                    ""
                } else {
                    "its layers give other fields"
                }
            }
            _ => "",
        };
        if !reason.is_empty() {
            let text = in_words(now.fields);
            return Err(Error::value(format!("layer {place}, {layer}, behind {text}: {reason}")));
        }
    }
    Ok(known)
}

/// Fields and their group.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Known<'a> {
    fields: &'a Fields,
    symmetry: &'a Symmetry,
}

/// Initial parameters, uniform between -1/sqrt(n) and 1/sqrt(n), n the terms of the sum (as in torch).
pub fn initial(layers: &[Layer], seed: u64) -> Vec<f64> {
    let mut parameters = Vec::new();
    for (n, (_, layer)) in flat(layers).into_iter().enumerate() {
        let mut rng = Stream::new(seed, Purpose::Weights, 0).site(n as u32);
        for (_, shape, terms) in layer.parameters() {
            let width = 1.0 / (terms as f64).sqrt();
            let count: usize = shape.iter().product();
            parameters.extend((0..count).map(|_| width * (2.0 * rng.sample::<f64, _>(Open01) - 1.0)));
        }
    }
    parameters
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = |sizes: &[usize]| match sizes {
            [first, rest @ ..] if rest.iter().all(|k| k == first) => first.to_string(),
            _ => format!("{sizes:?}").replace('[', "(").replace(']', ")"),
        };
        let name = |pooling: &Pooling| format!("{pooling:?}Pool");
        match self {
            Self::Conv { size, inputs, outputs, .. } => write!(f, "Conv({}, {inputs}, {outputs})", by(size)),
            Self::GroupConv { size, inputs, outputs, .. } => {
                write!(f, "GroupConv({}, {} to {})", by(size), in_words(inputs), in_words(outputs))
            }
            Self::Activation(Activation::LeakyRelu { .. }) => write!(f, "LeakyReLU"),
            Self::Activation(function) => write!(f, "{function:?}"),
            Self::Pool { pooling, size, .. } => write!(f, "{}({})", name(pooling), by(size)),
            Self::GlobalPool { pooling } => write!(f, "Global{}()", name(pooling)),
            Self::Flatten => write!(f, "Flatten()"),
            Self::Linear { inputs, outputs, .. } => write!(f, "Linear({inputs}, {outputs})"),
            Self::Residual { layers } => write!(f, "Residual of {} layers", layers.len()),
        }
    }
}
