//! Networks on fields whose vectors hold sites of a lattice: convolutions of stride 1, activations and residual blocks.
//!
//! A convolution reads its neighbours where they lie and keeps the sums of a few site vectors and outputs in registers. Only what
//! the wanted outputs depend on is computed (a masked update wants every fourth site), and derivatives start from these alone.
//! A record holds the slopes of the activations: the reverse pass computes no function again.

use super::activation::Activation;
use super::conv::Entries;
use super::layer::Layer;
use super::symmetry::in_words;
use super::window::Slide;
use crate::error::{Error, Result};
use crate::field;
use crate::lattice::{Displacement, Lattice, Shift};
use crate::number::{Real, Work, each};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Site vectors that one thread takes at a time.
const PIECE: usize = 64;
/// Outputs of which weights stand side by side.
const WIDEST: usize = 4;

/// Site vectors in order, and where those of each piece begin.
#[derive(Debug, Clone, Default)]
struct List {
    sites: Vec<u32>,
    first: Vec<u32>,
}

impl List {
    fn new(sites: Vec<u32>, vectors: usize) -> Self {
        let below = |n: usize| sites.partition_point(|&site| (site as usize) < n * PIECE) as u32;
        Self { first: (0..=vectors.div_ceil(PIECE)).map(below).collect(), sites }
    }

    /// The site vectors of a piece, which begins at site vector `first`.
    #[inline(always)]
    fn piece(&self, first: usize) -> &[u32] {
        let n = first / PIECE;
        &self.sites[self.first[n] as usize..self.first[n + 1] as usize]
    }
}

/// Site vectors whose sums have the same taps.
#[derive(Debug, Clone)]
struct Group {
    taps: Vec<usize>,
    list: List,
}

/// Sums over neighbours.
#[derive(Debug, Clone)]
struct Stencil {
    shifts: Vec<Shift>,
    groups: Vec<Group>,
}

#[derive(Debug, Clone)]
struct Conv {
    entries: Entries,
    forward: Stencil,
    reverse: Stencil,
}

#[derive(Debug, Clone)]
enum Operation {
    Conv(Conv),
    Copy,
    /// Adds another buffer.
    Add(usize),
}

/// An operation and the function behind it.
#[derive(Debug, Clone)]
struct Step {
    operation: Operation,
    function: Option<Activation>,
    from: usize,
    to: usize,
}

/// A network compiled for a lattice and for the site vectors where its output is wanted; parameters are handed in.
#[derive(Debug, Clone)]
pub struct FieldNetwork {
    lattice: Arc<Lattice>,
    steps: Vec<Step>,
    /// Channels of each buffer; the first is the input.
    channels: Vec<usize>,
    /// Site vectors on which each buffer is needed.
    needed: Vec<List>,
    last: usize,
    n_parameters: usize,
    /// Whether the last buffer is known to nobody but the step that wrote it.
    is_own: bool,
}

/// Weights in the order of the kernels, the same in every lane.
#[derive(Debug, Clone)]
struct Weights<T> {
    /// `[block of outputs][tap][input][output of the block]`
    forward: Vec<T>,
    bias: Vec<T>,
    /// `[block of inputs][tap][output][input of the block]`
    reverse: Vec<T>,
}

/// What [`FieldNetwork::pullback`] needs of the forward pass.
#[derive(Debug, Clone)]
pub struct Record<R: Real> {
    weights: Vec<Weights<R::Total>>,
    values: Vec<Vec<R>>,
    /// Slopes of the functions at every number of each buffer.
    slopes: Vec<Vec<R>>,
    last: usize,
}

impl<R: Real> Record<R> {
    /// The output, `[site vector][channel]`; zero where it is not wanted.
    pub fn output(&self) -> &[R] {
        &self.values[self.last]
    }
}

/// Blocks of channels: where they start and how many there are.
fn blocks(channels: usize) -> impl Iterator<Item = (usize, usize)> {
    let width = |left: usize| if left >= WIDEST { WIDEST } else { 1 << left.ilog2() };
    let mut start = 0;
    std::iter::from_fn(move || {
        let block = (start < channels).then(|| (start, width(channels - start)));
        start += block.map_or(0, |(_, width)| width);
        block
    })
}

/// A number of one lane in every lane.
#[inline(always)]
fn spread<R: Real>(x: R::Total) -> R {
    R::join(each(x.split(), |part| R::Value::splat(part.lane(0))))
}

/// The number of lane 0.
#[inline(always)]
fn of_one_lane<R: Real>(x: R) -> R::Total {
    R::Total::join(each(x.split(), |part| <R::Total as Real>::Value::splat(part.lane(0))))
}

impl Conv {
    fn pack<R: Real>(&self, theta: &[R]) -> Weights<R::Total> {
        let Entries { taps, inputs, outputs, .. } = self.entries;
        let number = |place: Option<super::symmetry::Place>| match place {
            Some(place) => place.apply(of_one_lane(theta[place.number])),
            None => R::Total::zero(),
        };
        let (mut forward, mut reverse) = (Vec::new(), Vec::new());
        for (start, width) in blocks(outputs) {
            for (t, c) in (0..taps).flat_map(|t| (0..inputs).map(move |c| (t, c))) {
                forward.extend((start..start + width).map(|o| number(self.entries.weight(o, t, c))));
            }
        }
        for (start, width) in blocks(inputs) {
            for (t, o) in (0..taps).flat_map(|t| (0..outputs).map(move |o| (t, o))) {
                reverse.extend((start..start + width).map(|c| number(self.entries.weight(o, t, c))));
            }
        }
        let bias = match self.entries.bias {
            true => (0..outputs).map(|o| number(self.entries.bias(o))).collect(),
            false => Vec::new(),
        };
        Weights { forward, bias, reverse }
    }

    /// Adds derivatives in the order of [`Weights::forward`], then of the biases, to those of the parameters.
    fn unpack<T: Real>(&self, sums: &[T], gradient: &mut [T]) {
        let Entries { taps, inputs, outputs, .. } = self.entries;
        let mut add = |place: Option<super::symmetry::Place>, x: T| {
            if let Some(place) = place {
                gradient[place.number] += place.apply(x);
            }
        };
        let mut sums = sums.iter();
        for (start, width) in blocks(outputs) {
            for (t, c) in (0..taps).flat_map(|t| (0..inputs).map(move |c| (t, c))) {
                (start..start + width).zip(&mut sums).for_each(|(o, x)| add(self.entries.weight(o, t, c), *x));
            }
        }
        (0..outputs).zip(sums).for_each(|(o, x)| add(self.entries.bias(o), *x));
    }

    fn numbers(&self) -> usize {
        self.entries.outputs * (self.entries.terms() + 1)
    }
}

impl FieldNetwork {
    /// The layers on fields of a lattice; outputs are wanted on some site vectors, in order.
    pub fn new(layers: &[Layer], channels: usize, lattice: &Arc<Lattice>, wanted: &[u32]) -> Result<Self> {
        let mut network = Self {
            lattice: lattice.clone(),
            steps: Vec::new(),
            channels: vec![channels],
            needed: Vec::new(),
            last: 0,
            n_parameters: 0,
            is_own: false,
        };
        for (n, layer) in layers.iter().enumerate() {
            layer.check(lattice.ndim()).map_err(|error| Error::value(format!("layer {n}, {error}")))?;
            network.add(&n.to_string(), layer)?;
        }
        network.restrict(wanted);
        Ok(network)
    }

    /// Number of parameters.
    pub fn n_parameters(&self) -> usize {
        self.n_parameters
    }

    /// Channels of the output.
    pub fn outputs(&self) -> usize {
        self.channels[self.last]
    }

    /// Site vectors, in order, on which the input matters.
    pub fn needed(&self) -> &[u32] {
        &self.needed[0].sites
    }

    fn push(&mut self, operation: Operation, channels: usize) {
        let (from, to) = (self.last, self.channels.len());
        self.is_own = true;
        self.steps.push(Step { operation, function: None, from, to });
        self.channels.push(channels);
        self.last = to;
    }

    fn add(&mut self, place: &str, layer: &Layer) -> Result<()> {
        let fail = |text: String| Err(Error::value(format!("layer {place}, {layer}: {text}")));
        let channels = self.channels[self.last];
        let lattice = self.lattice.clone();
        let here = |channels: usize| format!("{channels} channels on {:?}", lattice.extents());
        match layer {
            Layer::Residual { layers } => {
                let start = self.last;
                self.is_own = false;
                for (n, layer) in layers.iter().enumerate() {
                    self.add(&format!("{place}.{n}"), layer)?;
                }
                let after = self.channels[self.last];
                if after != channels {
                    return fail(format!("{} come in, but its layers give {}", here(channels), here(after)));
                }
                self.push(Operation::Add(start), channels);
            }
            Layer::Activation(function) => {
                if !self.is_own {
                    self.push(Operation::Copy, channels);
                }
                if let Some(step) = self.steps.last_mut() {
                    step.function = Some(*function);
                }
                self.is_own = false;
            }
            Layer::Conv { inputs, .. } if *inputs != channels => {
                return fail(format!("it takes {inputs} channels, but {} come in", here(channels)));
            }
            Layer::Conv { outputs, bias, size, stride, dilation, .. } => {
                if stride.iter().any(|s| *s != 1) {
                    return fail(format!("stride {stride:?}; on a field it must be 1"));
                }
                self.conv(&Slide { size, stride, dilation }, *outputs, *bias, layer);
            }
            Layer::GroupConv { size, inputs, outputs, bias, symmetry, .. } => {
                let (ndim, one) = (size.len(), vec![1; size.len()]);
                let taken = symmetry.channels(inputs, ndim);
                if taken != channels {
                    return fail(format!("{} have {taken} channels, but {} come in", in_words(inputs), here(channels)));
                }
                let slide = Slide { size, stride: &one, dilation: &one };
                self.conv(&slide, symmetry.channels(outputs, ndim), *bias, layer);
            }
            _ => return fail("on a field only convolutions, activations and residual blocks are known".into()),
        }
        Ok(())
    }

    fn conv(&mut self, slide: &Slide<'_>, outputs: usize, bias: bool, layer: &Layer) {
        let taps: usize = slide.size.iter().product();
        let displacement = |t: usize| {
            let mut displacement = Displacement::default();
            displacement.iter_mut().zip(slide.displacement(t)).for_each(|(to, d)| *to = d as i32);
            displacement
        };
        let displacements: Vec<Displacement> = (0..taps).map(displacement).collect();
        let stencil = |sign: i32| {
            let shift = |d: &Displacement| self.lattice.shift(inside(&self.lattice, &d.map(|d| sign * d)));
            Stencil { shifts: displacements.iter().map(shift).collect(), groups: Vec::new() }
        };
        let (forward, reverse) = (stencil(1), stencil(-1));
        let inputs = self.channels[self.last];
        let entries = Entries { taps, inputs, outputs, start: self.n_parameters, bias, sharing: layer.sharing() };
        self.n_parameters += entries.n_parameters();
        self.push(Operation::Conv(Conv { entries, forward, reverse }), outputs);
    }

    /// From the wanted outputs backwards: where each buffer is needed, and which taps of each sum are.
    fn restrict(&mut self, wanted: &[u32]) {
        let vectors = self.lattice.vectors();
        let mut needed = vec![vec![false; vectors]; self.channels.len()];
        wanted.iter().for_each(|&n| needed[self.last][n as usize] = true);
        for step in self.steps.iter_mut().rev() {
            let above = needed[step.to].clone();
            let list: Vec<u32> = (0..vectors as u32).filter(|&n| above[n as usize]).collect();
            match &mut step.operation {
                Operation::Conv(conv) => {
                    let below = &mut needed[step.from];
                    for shift in &conv.forward.shifts {
                        list.iter().for_each(|&n| below[shift[n as usize].site()] = true);
                    }
                    let list = List::new(list, vectors);
                    conv.forward.groups = vec![Group { taps: (0..conv.entries.taps).collect(), list }];
                    let mut groups: BTreeMap<Vec<usize>, Vec<u32>> = BTreeMap::new();
                    for n in (0..vectors).filter(|&n| below[n]) {
                        let meets = |t: &usize| above[conv.reverse.shifts[*t][n].site()];
                        groups.entry((0..conv.entries.taps).filter(meets).collect()).or_default().push(n as u32);
                    }
                    groups.remove(&Vec::new());
                    let group = |(taps, sites)| Group { taps, list: List::new(sites, vectors) };
                    conv.reverse.groups = groups.into_iter().map(group).collect();
                }
                Operation::Copy => list.iter().for_each(|&n| needed[step.from][n as usize] = true),
                Operation::Add(other) => {
                    list.iter().for_each(|&n| needed[step.from][n as usize] = true);
                    list.iter().for_each(|&n| needed[*other][n as usize] = true);
                }
            }
        }
        let sites = |flags: &[bool]| (0..vectors as u32).filter(|&n| flags[n as usize]).collect();
        let list = |flags: Vec<bool>| List::new(sites(&flags), vectors);
        self.needed = needed.into_iter().map(list).collect();
    }

    fn check(&self, what: &str, given: usize, needed: usize) -> Result<()> {
        match given == needed {
            true => Ok(()),
            false => {
                Err(Error::value(format!("{given} {what} are given to a network on a field; {needed} are needed")))
            }
        }
    }

    /// Forward pass of `x` `[site vector][channel]`; parameters have the same number in every lane and may carry derivatives.
    /// Slopes are kept for a reverse pass that follows.
    pub fn record<R: Real>(&self, theta: &[R], x: Vec<R>, is_kept: bool) -> Result<Record<R>> {
        let vectors = self.lattice.vectors();
        self.check("parameters", theta.len(), self.n_parameters)?;
        self.check("numbers", x.len(), self.channels[0] * vectors)?;
        let (mut weights, mut values, mut slopes) = (Vec::new(), vec![x], vec![Vec::new()]);
        for step in &self.steps {
            let outputs = self.channels[step.to];
            let mut y: Vec<R> = field::zeros(outputs * vectors);
            let kept = is_kept && step.function.is_some();
            let mut slope: Vec<R> = field::zeros(if kept { y.len() } else { 0 });
            let mut pass = Pass::new(&self.lattice, Some(&self.needed[step.to]), step.function);
            match &step.operation {
                Operation::Conv(conv) => {
                    weights.push(conv.pack(theta));
                    let own = &weights[weights.len() - 1];
                    pass.stencil = Some((&conv.forward, &own.forward));
                    pass.bias = &own.bias;
                    pass.u = &values[step.from];
                }
                Operation::Copy => pass.terms[0] = &values[step.from],
                Operation::Add(other) => pass.terms = [&values[step.from], &values[*other]],
            }
            pass.over(&mut y, &mut slope);
            values.push(y);
            slopes.push(slope);
        }
        Ok(Record { weights, values, slopes, last: self.last })
    }

    /// From the cotangent of the output (zero where it is not wanted) that of the input, zero where it does not matter; adds the
    /// derivatives with respect to the parameters, summed over lanes.
    pub fn pullback<R: Real>(
        &self,
        record: &Record<R>,
        above: Vec<R>,
        mut gradient: Option<&mut [R::Total]>,
    ) -> Result<Vec<R>> {
        let vectors = self.lattice.vectors();
        self.check("derivatives of outputs", above.len(), self.outputs() * vectors)?;
        if let Some(gradient) = &gradient {
            self.check("derivatives of parameters", gradient.len(), self.n_parameters)?;
        }
        let mut cotangents: Vec<Vec<R>> = self.channels.iter().map(|_| Vec::new()).collect();
        cotangents[self.last] = above;
        let mut weights = record.weights.iter().rev();
        for step in self.steps.iter().rev() {
            let mut above = std::mem::take(&mut cotangents[step.to]);
            if step.function.is_some() {
                self.check("slopes", record.slopes[step.to].len(), above.len())?;
                let size = PIECE * self.channels[step.to];
                let parts = above.chunks_mut(size).zip(record.slopes[step.to].chunks(size)).collect();
                field::map_tasks(parts, |(above, slopes)| R::vectorize(Steepen { above, slopes }));
            }
            let other = if let Operation::Add(other) = step.operation { Some(other) } else { None };
            for target in [step.from].into_iter().chain(other) {
                let mut below = std::mem::take(&mut cotangents[target]);
                if below.is_empty() {
                    below = field::zeros(self.channels[target] * vectors);
                }
                let mut pass = Pass::new(&self.lattice, None, None);
                match &step.operation {
                    Operation::Conv(conv) => {
                        if let Some(gradient) = gradient.as_deref_mut() {
                            self.differentiate(conv, &record.values[step.from], &above, gradient);
                        }
                        pass.stencil = weights.next().map(|weights| (&conv.reverse, &weights.reverse[..]));
                        pass.u = &above;
                    }
                    _ => pass.terms[0] = &above,
                }
                pass.over(&mut below, &mut []);
                cotangents[target] = below;
            }
        }
        Ok(cotangents.swap_remove(0))
    }

    fn differentiate<R: Real>(&self, conv: &Conv, u: &[R], above: &[R], gradient: &mut [R::Total]) {
        let parts = field::map(self.lattice.vectors().div_ceil(PIECE), |n| {
            R::vectorize(Differentiate { lattice: &self.lattice, conv, u, above, first: n * PIECE })
        });
        let mut sums = vec![R::Total::zero(); conv.numbers()];
        parts.iter().for_each(|part| sums.iter_mut().zip(part).for_each(|(sum, x)| *sum += *x));
        conv.unpack(&sums, gradient);
    }
}

/// A displacement within the lattice.
fn inside(lattice: &Lattice, d: &Displacement) -> Displacement {
    let mut d = *d;
    d.iter_mut().zip(lattice.extents()).for_each(|(d, &extent)| *d = d.rem_euclid(extent as i32));
    d
}

/// y <- f(y + terms + bias + sum_t w(t) u(x + d_t)), slopes <- f'.
#[derive(Clone, Copy)]
struct Pass<'a, R: Real> {
    lattice: &'a Lattice,
    terms: [&'a [R]; 2],
    stencil: Option<(&'a Stencil, &'a [R::Total])>,
    bias: &'a [R::Total],
    u: &'a [R],
    function: Option<Activation>,
    /// Where the function is needed.
    sites: Option<&'a List>,
}

impl<'a, R: Real> Pass<'a, R> {
    fn new(lattice: &'a Lattice, sites: Option<&'a List>, function: Option<Activation>) -> Self {
        Self { lattice, terms: [&[]; 2], stencil: None, bias: &[], u: &[], function, sites }
    }

    /// Runs on all site vectors; `slopes` is empty where nobody wants them.
    fn over(&self, y: &mut [R], slopes: &mut [R]) {
        let outputs = y.len() / self.lattice.vectors();
        let rest = std::iter::repeat_with(Default::default);
        let parts = y.chunks_mut(PIECE * outputs).zip(slopes.chunks_mut(PIECE * outputs).chain(rest)).enumerate();
        field::map_tasks(parts.collect(), |(n, (y, slopes))| {
            R::vectorize(Piece { pass: *self, outputs, first: n * PIECE, y, slopes });
        });
    }
}

struct Piece<'a, R: Real> {
    pass: Pass<'a, R>,
    outputs: usize,
    first: usize,
    y: &'a mut [R],
    slopes: &'a mut [R],
}

impl<R: Real> Piece<'_, R> {
    /// Sums of `M` site vectors at once.
    #[inline(always)]
    fn sums<const M: usize>(&mut self, stencil: &Stencil, weights: &[R::Total]) {
        let per_output = weights.len() / self.outputs;
        for group in &stencil.groups {
            let sites = group.list.piece(self.first);
            let mut start = 0;
            while start < self.outputs {
                let weights = &weights[start * per_output..];
                start += match self.outputs - start {
                    WIDEST.. => self.block::<M, WIDEST>((stencil, &group.taps), sites, weights, start),
                    2 | 3 => self.block::<M, 2>((stencil, &group.taps), sites, weights, start),
                    _ => self.block::<M, 1>((stencil, &group.taps), sites, weights, start),
                };
            }
        }
    }

    #[inline(always)]
    fn block<const M: usize, const P: usize>(
        &mut self,
        (stencil, taps): (&Stencil, &[usize]),
        sites: &[u32],
        weights: &[R::Total],
        start: usize,
    ) -> usize {
        let (inputs, lattice) = (self.pass.u.len() / self.pass.lattice.vectors(), self.pass.lattice);
        let weights = weights.as_chunks::<P>().0;
        for sites in sites.chunks(M) {
            let mut at = [0; M];
            for m in 0..M {
                at[m] = sites[m.min(sites.len() - 1)] as usize;
            }
            let mut sums = [[R::zero(); P]; M];
            for m in 0..M {
                for p in 0..P {
                    sums[m][p] = self.y[(at[m] - self.first) * self.outputs + start + p];
                    if let Some(&bias) = self.pass.bias.get(start + p) {
                        sums[m][p] += spread::<R>(bias);
                    }
                }
            }
            for &t in taps {
                let mut rows: [&[R]; M] = [&[]; M];
                let (mut moves, mut is_moved) = ([0; M], false);
                for m in 0..M {
                    let to = stencil.shifts[t][at[m]];
                    rows[m] = &self.pass.u[to.site() * inputs..][..inputs];
                    moves[m] = to.permutation();
                    is_moved |= moves[m] != 0;
                }
                for (c, weights) in weights[t * inputs..][..inputs].iter().enumerate() {
                    let mut x = [R::zero(); M];
                    for m in 0..M {
                        x[m] = rows[m][c];
                    }
                    if is_moved {
                        for m in 0..M {
                            x[m] = x[m].permute(lattice.permutation(moves[m]));
                        }
                    }
                    for p in 0..P {
                        let weight = spread::<R>(weights[p]);
                        for m in 0..M {
                            sums[m][p] = x[m].mul_add(weight, sums[m][p]);
                        }
                    }
                }
            }
            for m in 0..M.min(sites.len()) {
                for p in 0..P {
                    self.y[(at[m] - self.first) * self.outputs + start + p] = sums[m][p];
                }
            }
        }
        P
    }
}

impl<R: Real> Work for Piece<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run(mut self) {
        for terms in self.pass.terms {
            let from = (self.first * self.outputs).min(terms.len());
            for (y, x) in self.y.iter_mut().zip(&terms[from..]) {
                *y += *x;
            }
        }
        if let Some((stencil, weights)) = self.pass.stencil {
            if R::DUAL {
                self.sums::<2>(stencil, weights);
            } else {
                self.sums::<4>(stencil, weights);
            }
        }
        if let (Some(function), Some(sites)) = (self.pass.function, self.pass.sites) {
            for &n in sites.piece(self.first) {
                let from = (n as usize - self.first) * self.outputs;
                for k in from..from + self.outputs {
                    let [value, slope] = function.value_and_slope(self.y[k]);
                    self.y[k] = value;
                    if let Some(place) = self.slopes.get_mut(k) {
                        *place = slope;
                    }
                }
            }
        }
    }
}

struct Steepen<'a, R> {
    above: &'a mut [R],
    slopes: &'a [R],
}

impl<R: Real> Work for Steepen<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (above, slope) in self.above.iter_mut().zip(self.slopes) {
            *above = *above * *slope;
        }
    }
}

/// Sums of `above(x)[o] u(x + d_t)[c]` over a piece, in the order of the weights, then of `above(x)[o]`.
struct Differentiate<'a, R: Real> {
    lattice: &'a Lattice,
    conv: &'a Conv,
    u: &'a [R],
    above: &'a [R],
    first: usize,
}

impl<R: Real> Differentiate<'_, R> {
    /// Terms of `M` inputs and `P` outputs from `start` on.
    #[inline(always)]
    fn block<const M: usize, const P: usize>(&self, group: &Group, start: usize, sums: &mut [R]) {
        let Entries { inputs, outputs, .. } = self.conv.entries;
        let sites = group.list.piece(self.first);
        for &t in &group.taps {
            for c in (0..inputs).step_by(M) {
                let mut own = [[R::zero(); P]; M];
                for &n in sites {
                    let to = self.conv.forward.shifts[t][n as usize];
                    let row = &self.u[to.site() * inputs..][..inputs];
                    let above = &self.above[n as usize * outputs + start..][..P];
                    for m in 0..M {
                        let mut x = row[(c + m).min(inputs - 1)];
                        if to.permutation() != 0 {
                            x = x.permute(self.lattice.permutation(to.permutation()));
                        }
                        for p in 0..P {
                            own[m][p] = x.mul_add(above[p], own[m][p]);
                        }
                    }
                }
                for m in 0..M.min(inputs - c) {
                    for p in 0..P {
                        sums[(t * inputs + c + m) * P + p] += own[m][p];
                    }
                }
            }
        }
    }
}

impl<R: Real> Work for Differentiate<'_, R> {
    type Output = Vec<R::Total>;
    #[inline(always)]
    fn run(self) -> Vec<R::Total> {
        let (outputs, terms) = (self.conv.entries.outputs, self.conv.entries.terms());
        let mut sums: Vec<R> = field::zeros(self.conv.numbers());
        for group in &self.conv.forward.groups {
            let mut start = 0;
            while start < outputs {
                let own = &mut sums[start * terms..];
                start += match outputs - start {
                    WIDEST.. => {
                        self.block::<2, WIDEST>(group, start, own);
                        WIDEST
                    }
                    2 | 3 => {
                        self.block::<2, 2>(group, start, own);
                        2
                    }
                    _ => {
                        self.block::<2, 1>(group, start, own);
                        1
                    }
                };
            }
            for &n in group.list.piece(self.first) {
                for o in 0..outputs {
                    sums[outputs * terms + o] += self.above[n as usize * outputs + o];
                }
            }
        }
        sums.into_iter().map(R::total).collect()
    }
}
