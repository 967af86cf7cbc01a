//! Layers as plain data: what goes in and out, how many parameters, and how they start.

use crate::error::{Error, Result};
use crate::number::Real;
use crate::random::{Purpose, Stream};
use rand::RngExt;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

/// A real function of one real number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// x
    Identity,
    /// max(x, 0)
    Relu,
    /// x for x > 0, x/100 below
    LeakyRelu,
    /// x / sqrt(1 + x^2), smooth
    Algebraic,
}

impl Function {
    /// All functions with their names.
    pub const TABLE: [(&str, Self); 4] = [
        ("identity", Self::Identity),
        ("relu", Self::Relu),
        ("leaky_relu", Self::LeakyRelu),
        ("algebraic", Self::Algebraic),
    ];

    /// Value and slope.
    #[inline(always)]
    pub fn at<R: Real>(self, x: R) -> (R, R) {
        let (zero, one) = (R::zero(), R::one());
        let positive = zero.less(x);
        match self {
            Self::Identity => (x, one),
            Self::Relu => (zero.blend(x, positive), zero.blend(one, positive)),
            Self::LeakyRelu => {
                let slope = R::splat(0.01).blend(one, positive);
                (x * slope, slope)
            }
            Self::Algebraic => {
                let scale = one / x.mul_add(x, one).sqrt();
                (x * scale, scale * scale * scale)
            }
        }
    }
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Layer {
    /// W = products along closed loops: plaquettes of all mu < nu, then Polyakov loops of these directions.
    Loops {
        /// Whether plaquettes are channels.
        plaquettes: bool,
        /// Directions of Polyakov loops.
        polyakov: Vec<usize>,
    },
    /// W_i -> sum_vw a_ivw L_v R_w: `left` is the list (W, W^dagger, 1), or 1 alone; `right` is the list (T, T^dagger, 1), or T
    /// alone, where T are the W of this site (`centre`) and those carried here along straight lines of 1 to `kernel` - 1 steps.
    Bilinear {
        /// Channels in.
        inputs: usize,
        /// Channels out.
        outputs: usize,
        /// K: lines of at most K - 1 steps.
        kernel: usize,
        /// Whether lines also run in negative directions.
        both: bool,
        /// Whether T holds the W of the site itself.
        centre: bool,
        /// Whether L holds W and W^dagger.
        left: bool,
        /// Whether R holds T^dagger and 1.
        right: bool,
    },
    /// W_i -> g(Re tr W_i) W_i.
    Gate {
        /// g.
        function: Function,
    },
    /// U_mu -> exp(sum_i b_mu,i TA(W_i)) U_mu.
    Exponential {
        /// Channels.
        inputs: usize,
    },
    /// Re tr W_i, Im tr W_i.
    Trace,
    /// y_o = f(sum_i w_oi x_i + b_o) at every site.
    Dense {
        /// Channels in.
        inputs: usize,
        /// Channels out.
        outputs: usize,
        /// f.
        function: Function,
    },
    /// Mean over sites.
    Mean,
}

/// What flows between layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Before the first layer: links only.
    Links,
    /// Site matrices with this many channels.
    Matrices(usize),
    /// Numbers on the sites with this many channels.
    Numbers(usize),
    /// Numbers of the whole lattice.
    Means(usize),
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Links => write!(f, "links only"),
            Self::Matrices(n) => write!(f, "{n} channels of matrices"),
            Self::Numbers(n) => write!(f, "{n} channels of numbers"),
            Self::Means(n) => write!(f, "{n} means over the lattice"),
        }
    }
}

/// Most channels and steps, and most parameters, of a layer.
const MOST: usize = 1 << 12;
const MOST_PARAMETERS: usize = 1 << 24;

/// One array of parameters: its name, its shape and the standard deviation of its initial values.
pub type Parameter = (&'static str, Vec<usize>, f64);

impl Layer {
    /// Name of the layer.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Loops { .. } => "Loops",
            Self::Bilinear { left: false, .. } => "LConv",
            Self::Bilinear { kernel: 1, .. } => "LBilin",
            Self::Bilinear { .. } => "LCB",
            Self::Gate { .. } => "LAct",
            Self::Exponential { .. } => "LExp",
            Self::Trace => "Trace",
            Self::Dense { .. } => "Dense",
            Self::Mean => "Mean",
        }
    }

    /// Numbers of matrices in the lists L and R.
    pub fn sides(&self, ndim: usize) -> (usize, usize) {
        let Self::Bilinear { inputs, kernel, both, centre, left, right, .. } = *self else { return (0, 0) };
        let lines = ndim * (kernel - 1) * if both { 2 } else { 1 };
        let terms = inputs * (lines + usize::from(centre));
        (if left { 2 * inputs + 1 } else { 1 }, if right { 2 * terms + 1 } else { terms })
    }

    /// Matrices per site that the reverse pass of the layer works with: W, T and their cotangents, one level of lines twice.
    pub fn working_matrices(&self, ndim: usize) -> usize {
        let Self::Bilinear { inputs, both, right, .. } = *self else { return 0 };
        let (_, r) = self.sides(ndim);
        let terms = if right { (r - 1) / 2 } else { r };
        2 * (inputs + terms) + 2 * inputs * ndim * if both { 2 } else { 1 }
    }

    /// The arrays of parameters.
    pub fn parameters(&self, ndim: usize) -> Vec<Parameter> {
        let deviation = |n: usize| 1.0 / (n as f64).sqrt();
        match *self {
            Self::Bilinear { outputs, .. } => {
                let (l, r) = self.sides(ndim);
                vec![("weight", vec![outputs, l, r], deviation(l * r))]
            }
            Self::Exponential { inputs } => vec![("weight", vec![ndim, inputs], 0.0)],
            Self::Dense { inputs, outputs, .. } => {
                vec![("weight", vec![outputs, inputs], deviation(inputs)), ("bias", vec![outputs], 0.0)]
            }
            _ => Vec::new(),
        }
    }

    /// Number of parameters.
    pub fn n_parameters(&self, ndim: usize) -> usize {
        self.parameters(ndim).iter().map(|(_, shape, _)| shape.iter().product::<usize>()).sum()
    }

    /// Initial values of layer number `n`: normal numbers with the deviation of each array.
    pub fn initial(&self, ndim: usize, seed: u64, n: usize) -> Vec<f64> {
        let mut rng = Stream::new(seed, Purpose::Weights, 0).site(n as u32);
        let arrays = self.parameters(ndim).into_iter();
        arrays
            .flat_map(|(_, shape, d)| vec![d; shape.iter().product()])
            .map(|d| d * rng.sample::<f64, _>(StandardNormal))
            .collect()
    }

    /// What comes out of the layer, after a check that it fits what comes in.
    pub fn signal(&self, ndim: usize, below: Signal) -> Result<Signal> {
        self.check_sizes(ndim)?;
        match (self, below) {
            (Self::Loops { plaquettes, polyakov }, Signal::Links) => {
                let planes = if *plaquettes { ndim * (ndim - 1) / 2 } else { 0 };
                match planes + polyakov.len() {
                    0 => Err(Error::value("the input has no loops; take plaquettes (D > 1) or Polyakov loops")),
                    n => Ok(Signal::Matrices(n)),
                }
            }
            (Self::Bilinear { inputs, outputs, .. }, Signal::Matrices(n)) if n == *inputs => {
                Ok(Signal::Matrices(*outputs))
            }
            (Self::Gate { .. }, Signal::Matrices(n)) => Ok(Signal::Matrices(n)),
            (Self::Exponential { inputs }, Signal::Matrices(n)) if n == *inputs => Ok(Signal::Matrices(n)),
            (Self::Trace, Signal::Matrices(n)) => Ok(Signal::Numbers(2 * n)),
            (Self::Dense { inputs, outputs, .. }, Signal::Numbers(n)) if n == *inputs => Ok(Signal::Numbers(*outputs)),
            (Self::Mean, Signal::Numbers(n)) => Ok(Signal::Means(n)),
            _ => Err(Error::value(format!("{} takes {}, but {below} come in", self.name(), self.takes()))),
        }
    }

    fn takes(&self) -> String {
        match self {
            Self::Loops { .. } => Signal::Links.to_string(),
            Self::Bilinear { inputs, .. } | Self::Exponential { inputs } => Signal::Matrices(*inputs).to_string(),
            Self::Dense { inputs, .. } => Signal::Numbers(*inputs).to_string(),
            Self::Gate { .. } | Self::Trace => "matrices".into(),
            Self::Mean => "numbers on the sites".into(),
        }
    }

    fn check_sizes(&self, ndim: usize) -> Result<()> {
        let within = |what: &str, n: usize| match (1..=MOST).contains(&n) {
            true => Ok(()),
            false => Err(Error::value(format!("{}: {what} = {n}; allowed are 1 to {MOST}", self.name()))),
        };
        match *self {
            Self::Loops { ref polyakov, .. } => match polyakov.iter().find(|mu| **mu >= ndim) {
                Some(mu) => Err(Error::value(format!(
                    "Polyakov loops of direction {mu}: a network of {ndim} dimensions has 0 to {}",
                    ndim - 1
                ))),
                None => Ok(()),
            },
            Self::Bilinear { inputs, outputs, kernel, centre, .. } => {
                within("inputs", inputs)?;
                within("outputs", outputs)?;
                within("kernel", kernel)?;
                if kernel == 1 && !centre {
                    return Err(Error::value(format!(
                        "{}: kernel = 1 without the centre term leaves nothing to multiply; take kernel = 2 or centre = True",
                        self.name()
                    )));
                }
                let (l, r) = self.sides(ndim);
                if l.saturating_mul(r).saturating_mul(outputs) > MOST_PARAMETERS {
                    let weights = "more than 2^24 weights; take fewer channels or a smaller kernel";
                    return Err(Error::value(format!("{}: {weights}", self.name())));
                }
                Ok(())
            }
            Self::Exponential { inputs } => within("inputs", inputs),
            Self::Dense { inputs, outputs, .. } => {
                within("inputs", inputs)?;
                within("outputs", outputs)
            }
            Self::Gate { .. } | Self::Trace | Self::Mean => Ok(()),
        }
    }
}
