//! Layers one after another, compiled for one input shape: what each step reads and writes.

use super::activation::Activation;
use super::conv::{Entries, Linear, vectors};
use super::layer::Layer;
use super::pool::Pool;
use super::symmetry::{Sharing, in_words};
use super::window::{Slide, Windows};
use crate::error::{Error, Result};
use std::sync::Arc;

/// Channels at positions of a lattice, or a vector (no extents) of channels x positions numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Signal {
    pub(super) channels: usize,
    pub(super) positions: usize,
    extents: Option<Vec<usize>>,
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.extents {
            Some(extents) => write!(f, "{} channels on {extents:?}", self.channels),
            None => write!(f, "{} numbers", self.channels * self.positions),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Operation {
    Linear(Linear),
    Pool(Pool),
    Activation(Activation),
    /// Adds another buffer.
    Add(usize),
}

/// An operation from one buffer to another (the same one for activations whose image tells the slope).
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) operation: Operation,
    pub(super) from: usize,
    pub(super) to: usize,
}

/// A network for inputs of one shape; parameters are handed in.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) steps: Vec<Step>,
    /// What stands in each buffer; the first is the input.
    pub(super) signals: Vec<Signal>,
    pub(super) last: usize,
    pub(super) n_parameters: usize,
}

/// Adds steps to a plan, layer by layer.
struct Builder {
    plan: Plan,
    /// Whether the last buffer is known to nobody but the linear map that wrote it.
    is_own: bool,
}

impl Plan {
    /// The layers on samples with `channels` channels on a periodic lattice.
    pub fn new(layers: &[Layer], channels: usize, extents: &[usize]) -> Result<Self> {
        if !(1..=4).contains(&extents.len()) || extents.contains(&0) || extents.iter().product::<usize>() > 1 << 28 {
            return Err(Error::value(format!(
                "extents {extents:?}: allowed are 1 to 4 directions of at least one site, and 2^28 sites"
            )));
        }
        let input = Signal { channels, positions: extents.iter().product(), extents: Some(extents.to_vec()) };
        let plan = Self { steps: Vec::new(), signals: vec![input], last: 0, n_parameters: 0 };
        let mut builder = Builder { plan, is_own: false };
        for (n, layer) in layers.iter().enumerate() {
            layer.check(extents.len()).map_err(|error| Error::value(format!("layer {n}, {error}")))?;
            builder.add(&n.to_string(), layer)?;
        }
        Ok(builder.plan)
    }

    /// Number of parameters.
    pub fn n_parameters(&self) -> usize {
        self.n_parameters
    }

    /// Shape of the output of one sample.
    pub fn output_shape(&self) -> Vec<usize> {
        let last = &self.signals[self.last];
        match &last.extents {
            Some(extents) => [&[last.channels], &extents[..]].concat(),
            None => vec![last.channels * last.positions],
        }
    }

    /// Channels and positions of the input.
    pub fn input(&self) -> (usize, usize) {
        (self.signals[0].channels, self.signals[0].positions)
    }

    /// Channels and positions of the output.
    pub fn output(&self) -> (usize, usize) {
        (self.signals[self.last].channels, self.signals[self.last].positions)
    }

    pub(super) fn linear(&self) -> impl Iterator<Item = &Linear> {
        self.steps
            .iter()
            .filter_map(|step| if let Operation::Linear(linear) = &step.operation { Some(linear) } else { None })
    }

    /// Products of a forward and a reverse pass, where channels come in vectors of `width`.
    pub fn products(&self, width: usize) -> usize {
        let whole = |n: usize| n.div_ceil(width) * width;
        let one = |l: &Linear| {
            let (inputs, outputs) = (l.entries.inputs, l.entries.outputs);
            l.windows.outputs * l.windows.taps * (2 * inputs * whole(outputs) + outputs * whole(inputs))
        };
        self.linear().map(one).sum()
    }

    /// Bytes of the buffers of both passes, for vectors of `W` channels.
    pub fn bytes<R, const W: usize>(&self) -> u128 {
        let counts = self.signals.iter().map(|signal| (vectors::<W>(signal.channels) * signal.positions) as u128);
        2 * counts.sum::<u128>() * size_of::<R>() as u128
    }
}

impl Builder {
    fn signal(&self) -> &Signal {
        &self.plan.signals[self.plan.last]
    }

    fn push(&mut self, operation: Operation, signal: Signal) {
        self.is_own = matches!(operation, Operation::Linear(_));
        let (from, to) = (self.plan.last, self.plan.signals.len());
        self.plan.signals.push(signal);
        self.plan.steps.push(Step { operation, from, to });
        self.plan.last = to;
    }

    fn add(&mut self, place: &str, layer: &Layer) -> Result<()> {
        let fault = |text: &dyn std::fmt::Display| Error::value(format!("layer {place}, {layer}: {text}"));
        let fail = |text: String| Err(fault(&text));
        let signal = self.signal().clone();
        match (layer, &signal.extents) {
            (Layer::Residual { layers }, _) => {
                let start = self.plan.last;
                self.is_own = false;
                for (n, layer) in layers.iter().enumerate() {
                    self.add(&format!("{place}.{n}"), layer)?;
                }
                if *self.signal() != signal {
                    return fail(format!("{signal} come in, but its layers give {}", self.signal()));
                }
                self.push(Operation::Add(start), signal);
            }
            (Layer::Activation(function), _) if self.is_own && function.is_known_by_image() => {
                let operation = Operation::Activation(*function);
                self.plan.steps.push(Step { operation, from: self.plan.last, to: self.plan.last });
                self.is_own = false;
            }
            (Layer::Activation(function), _) => self.push(Operation::Activation(*function), signal),
            (Layer::Conv { inputs, .. }, Some(_)) if *inputs != signal.channels => {
                return fail(format!("it takes {inputs} channels, but {signal} come in"));
            }
            (Layer::Conv { inputs, outputs, bias, size, stride, dilation }, Some(extents)) => {
                let slide = Slide { size, stride, dilation };
                let (extents, windows) = Windows::periodic(extents, &slide)?;
                self.linear(windows, *inputs, *outputs, *bias, Some(extents), None);
            }
            (Layer::GroupConv { size, inputs, outputs, bias, symmetry, .. }, Some(extents)) => {
                let (ndim, one) = (size.len(), vec![1; size.len()]);
                let channels = symmetry.channels(inputs, ndim);
                if channels != signal.channels {
                    return fail(format!("{} have {channels} channels, but {signal} come in", in_words(inputs)));
                }
                let slide = Slide { size, stride: &one, dilation: &one };
                let outputs = symmetry.channels(outputs, ndim);
                let (extents, windows) = Windows::periodic(extents, &slide)?;
                self.linear(windows, channels, outputs, *bias, Some(extents), layer.sharing());
            }
            (Layer::Linear { .. }, Some(_)) => {
                return fail(format!("{signal} come in; put Flatten or a global pool before it"));
            }
            (Layer::Linear { inputs, .. }, None) if *inputs != signal.channels * signal.positions => {
                return fail(format!(
                    "it takes {inputs} numbers, but {signal} come in (Flatten fixes the size of the lattice)"
                ));
            }
            (Layer::Linear { outputs, bias, .. }, None) => {
                self.linear(Windows::all(signal.positions), signal.channels, *outputs, *bias, None, None);
            }
            (_, None) => return fail(format!("it takes channels on a lattice, but {signal} come in")),
            (Layer::Pool { pooling, size, stride }, Some(extents)) => {
                let slide = Slide { size, stride, dilation: &vec![1; size.len()] };
                let (extents, windows) = Windows::whole(extents, &slide).map_err(|error| fault(&error))?;
                let extents = Some(extents);
                let after = Signal { positions: windows.outputs, extents, ..signal };
                self.push(Operation::Pool(Pool { windows: Arc::new(windows), pooling: *pooling }), after);
            }
            (Layer::GlobalPool { pooling }, Some(_)) => {
                let windows = Arc::new(Windows::all(signal.positions));
                let after = Signal { positions: 1, extents: None, ..signal };
                self.push(Operation::Pool(Pool { windows, pooling: *pooling }), after);
            }
            (Layer::Flatten, Some(_)) => {
                let last = self.plan.last;
                self.plan.signals[last].extents = None;
            }
        }
        Ok(())
    }

    fn linear(
        &mut self,
        windows: Windows,
        inputs: usize,
        outputs: usize,
        bias: bool,
        extents: Option<Vec<usize>>,
        sharing: Option<Arc<Sharing>>,
    ) {
        let (positions, start) = (windows.outputs, self.plan.n_parameters);
        let entries = Entries { taps: windows.taps, inputs, outputs, start, bias, sharing };
        self.plan.n_parameters += entries.n_parameters();
        let linear = Linear { windows: Arc::new(windows), entries };
        self.push(Operation::Linear(linear), Signal { channels: outputs, positions, extents });
    }
}
