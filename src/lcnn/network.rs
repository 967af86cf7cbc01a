//! Layers one after another: forward and reverse pass of one configuration.

use super::bilinear::{self, Shape};
use super::layer::{Layer, Signal};
use super::pointwise::{self, Dense};
use super::{exponential, input};
use crate::concept::{Configuration, Readout, Tangent as _, Tape};
use crate::error::{Error, Result};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::lattice::Lattice;
use crate::matrix::Matrix;
use crate::memory;
use crate::number::{Real, Work};

/// A network for lattices of one dimension, any extents and any group; parameters are handed in.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    ndim: usize,
    layers: Vec<Layer>,
    signals: Vec<Signal>,
    /// Where the parameters of each layer start, and their number.
    starts: Vec<usize>,
}

/// What a network gives.
#[derive(Debug, Clone)]
pub enum Outputs<R: Real> {
    /// Channels on the sites, stored `[site vector][channel]`.
    Sites(Vec<R>),
    /// One number per channel.
    Means(Vec<R::Total>),
}

/// Matrices or numbers between two layers.
enum Values<R, const N: usize> {
    Matrices(Vec<Matrix<R, N>>),
    Numbers(Vec<R>),
}

impl<R, const N: usize> Values<R, N> {
    fn matrices(&self) -> &[Matrix<R, N>] {
        if let Self::Matrices(w) = self { w } else { &[] }
    }
    fn numbers(&self) -> &[R] {
        if let Self::Numbers(x) = self { x } else { &[] }
    }
}

/// What the reverse pass needs: the values that go into each layer, and the links after each layer that changes them.
pub struct Kept<R, const N: usize> {
    values: Vec<Values<R, N>>,
    links: Vec<GaugeField<R, N>>,
}

impl<R: Real, const N: usize> Kept<R, N> {
    fn links<'a>(&'a self, changes: usize, u: &'a GaugeField<R, N>) -> &'a GaugeField<R, N> {
        if changes == 0 { u } else { &self.links[changes - 1] }
    }
}

impl Network {
    /// Checks that the layers fit each other: loops first, then matrix layers, the trace, dense layers, and at most one mean at the end.
    pub fn new(ndim: usize, layers: Vec<Layer>) -> Result<Self> {
        if !(1..=4).contains(&ndim) {
            return Err(Error::value(format!("ndim = {ndim}; allowed are 1 to 4")));
        }
        let (mut signals, mut starts) = (vec![Signal::Links], vec![0]);
        for (n, layer) in layers.iter().enumerate() {
            let signal = layer.signal(ndim, signals[n]);
            signals.push(signal.map_err(|error| Error::value(format!("layer {n}: {error}")))?);
            starts.push(starts[n] + layer.n_parameters(ndim));
        }
        match signals[layers.len()] {
            Signal::Numbers(_) | Signal::Means(_) => Ok(Self { ndim, layers, signals, starts }),
            other => Err(Error::value(format!("the network ends with {other}; a Trace must make numbers of matrices"))),
        }
    }

    /// Number of dimensions.
    pub fn ndim(&self) -> usize {
        self.ndim
    }

    /// The layers.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Number of parameters.
    pub fn n_parameters(&self) -> usize {
        self.starts[self.layers.len()]
    }

    /// Channels of the output, and whether there is one value per site.
    pub fn outputs(&self) -> (usize, bool) {
        match self.signals[self.layers.len()] {
            Signal::Numbers(n) | Signal::Matrices(n) => (n, true),
            Signal::Means(n) => (n, false),
            Signal::Links => (0, false),
        }
    }

    /// Initial parameters: normal numbers with deviation 1/sqrt(terms of the sum they stand in); biases and L-Exp 0.
    pub fn initial(&self, seed: u64) -> Vec<f64> {
        let own = |(n, layer): (usize, &Layer)| layer.initial(self.ndim, seed, n);
        self.layers.iter().enumerate().flat_map(own).collect()
    }

    fn own<'a, R>(&self, n: usize, parameters: &'a [R]) -> &'a [R] {
        &parameters[self.starts[n]..self.starts[n + 1]]
    }

    fn shape(&self, layer: &Layer) -> Option<Shape> {
        let Layer::Bilinear { inputs, outputs, kernel, both, centre, right, .. } = *layer else { return None };
        let sides = layer.sides(self.ndim);
        Some(Shape { inputs, outputs, length: kernel - 1, both, centre, right, sides })
    }

    fn check<R: Real, const N: usize>(&self, parameters: &[R], u: &GaugeField<R, N>) -> Result<()> {
        if u.lattice().ndim() != self.ndim {
            return Err(Error::value(format!(
                "the network is for {} dimensions; the field has extents {:?}",
                self.ndim,
                u.lattice().extents()
            )));
        }
        let (given, needed) = (parameters.len(), self.n_parameters());
        if given != needed {
            return Err(Error::value(format!("{given} parameters given; {needed} are needed")));
        }
        self.check_memory(u.lattice(), size_of::<Matrix<f64, N>>())
    }

    /// Refuses what cannot fit into this machine, before it is tried.
    fn check_memory(&self, lattice: &Lattice, matrix: usize) -> Result<()> {
        let kept = self.signals.iter().map(|signal| if let Signal::Matrices(n) = signal { *n } else { 0 });
        let working = self.layers.iter().map(|layer| layer.working_matrices(self.ndim)).max().unwrap_or(0);
        let bytes = (kept.sum::<usize>() + working).saturating_mul(lattice.volume() * matrix);
        let extents = lattice.extents();
        let what = format!("the network on {extents:?} (less with fewer channels or a smaller kernel)");
        memory::require(&what, bytes as u128)
    }

    /// The outputs, and what the reverse pass needs.
    pub fn run<R: Real, const N: usize>(
        &self,
        parameters: &[R],
        u: &GaugeField<R, N>,
    ) -> Result<(Outputs<R>, Kept<R, N>)> {
        self.check(parameters, u)?;
        let mut tape = Kept { values: vec![Values::Matrices(Vec::new())], links: Vec::new() };
        for n in 0..self.layers.len() {
            crate::interrupt::poll()?;
            let next = self.step(n, self.own(n, parameters), u, &mut tape);
            tape.values.extend(next);
        }
        let outputs = self.finish(&mut tape, u.lattice().volume());
        Ok((outputs, tape))
    }

    /// What layer `n` makes of the last values; nothing for the mean.
    fn step<R: Real, const N: usize>(
        &self,
        n: usize,
        own: &[R],
        u: &GaugeField<R, N>,
        tape: &mut Kept<R, N>,
    ) -> Option<Values<R, N>> {
        let (last, links) = (&tape.values[n], tape.links(tape.links.len(), u));
        Some(match (&self.layers[n], self.signals[n]) {
            (Layer::Loops { plaquettes, polyakov }, _) => {
                Values::Matrices(input::forward(&input::loops(u.lattice().extents(), *plaquettes, polyakov), u))
            }
            (Layer::Gate { function }, Signal::Matrices(c)) => {
                Values::Matrices(pointwise::gate(*function, last.matrices(), c))
            }
            (Layer::Trace, Signal::Matrices(c)) => Values::Numbers(pointwise::trace(last.matrices(), c)),
            (Layer::Exponential { .. }, _) => {
                let (image, same) = (exponential::forward(own, links, last.matrices()), last.matrices().to_vec());
                tape.links.push(image);
                Values::Matrices(same)
            }
            (Layer::Dense { inputs, outputs, function }, _) => {
                let layer = Dense { inputs: *inputs, outputs: *outputs, function: *function, parameters: own };
                Values::Numbers(layer.forward(last.numbers()))
            }
            (layer, _) => Values::Matrices(bilinear::forward(self.shape(layer)?, own, links, last.matrices())),
        })
    }

    fn finish<R: Real, const N: usize>(&self, tape: &mut Kept<R, N>, volume: usize) -> Outputs<R> {
        match (self.outputs(), tape.values.last_mut()) {
            ((_, true), Some(Values::Numbers(x))) => Outputs::Sites(std::mem::take(x)),
            ((channels, _), Some(Values::Numbers(x))) => {
                let weight = R::Total::splat(1.0 / volume as f64);
                Outputs::Means(pointwise::sums(x, channels).into_iter().map(|sum| sum * weight).collect())
            }
            _ => Outputs::Sites(Vec::new()),
        }
    }

    /// The outputs.
    pub fn forward<R: Real, const N: usize>(&self, parameters: &[R], u: &GaugeField<R, N>) -> Result<Outputs<R>> {
        Ok(self.run(parameters, u)?.0)
    }
}

/// What a reverse pass gives.
pub struct Gradients<R: Real, const N: usize> {
    /// Derivative with respect to the parameters.
    pub parameters: Vec<R::Total>,
    /// Cotangent of the links, if it was asked for.
    pub links: Option<LinkAlgebra<R, N>>,
}

impl Network {
    /// Reverse pass for dS/d(output) in the order of [`Outputs::plain`].
    pub fn pull<R: Real, const N: usize>(
        &self,
        parameters: &[R],
        u: &GaugeField<R, N>,
        kept: &Kept<R, N>,
        links: bool,
        cotangent: &[f64],
    ) -> Result<Gradients<R, N>> {
        self.reverse(parameters, u, kept, links, self.seed(u.lattice(), cotangent)?)
    }

    /// Weights of the outputs of a field on `lattice` whose sum is `coefficient` x the sum over sites of one channel.
    pub fn sum_of_channel(&self, lattice: &Lattice, channel: usize, coefficient: f64) -> Result<Vec<f64>> {
        let (channels, sites) = self.outputs();
        if channel >= channels {
            return Err(Error::value(format!("channel = {channel}: the network has channels 0 to {}", channels - 1)));
        }
        let (count, weight) = match sites {
            true => (channels * lattice.volume(), coefficient),
            false => (channels, coefficient * lattice.volume() as f64),
        };
        Ok((0..count).map(|n| if n % channels == channel { weight } else { 0.0 }).collect())
    }

    /// Cotangent of the numbers on the sites below the mean.
    fn seed<R: Real>(&self, lattice: &Lattice, cotangent: &[f64]) -> Result<Vec<R>> {
        let ((channels, sites), volume) = (self.outputs(), lattice.volume());
        let wanted = if sites { channels * volume } else { channels };
        if cotangent.len() != wanted {
            return Err(Error::value(format!("cotangent has {} elements; {wanted} are needed", cotangent.len())));
        }
        let value = |n: usize| {
            let (vector, j) = (n / channels, n % channels);
            match sites {
                true => R::from_lanes(|k| cotangent[lattice.site(vector, k) as usize * channels + j]),
                false => R::splat(cotangent[j] / volume as f64),
            }
        };
        Ok((0..lattice.vectors() * channels).map(value).collect())
    }

    fn reverse<R: Real, const N: usize>(
        &self,
        parameters: &[R],
        u: &GaugeField<R, N>,
        tape: &Kept<R, N>,
        wanted: bool,
        seed: Vec<R>,
    ) -> Result<Gradients<R, N>> {
        let is_exponential = |layer: &Layer| matches!(layer, Layer::Exponential { .. });
        let first = if wanted { Some(0) } else { self.layers.iter().position(is_exponential) };
        let mut links = first.map(|_| u.zero());
        let (mut above, mut gradients) = (Values::Numbers(seed), Vec::new());
        for (n, layer) in self.layers.iter().enumerate().rev() {
            crate::interrupt::poll()?;
            let changes = self.layers[..n].iter().filter(|layer| is_exponential(layer)).count();
            let at = Place {
                n,
                own: self.own(n, parameters),
                below: &tape.values[n],
                image: tape.values.get(n + 1),
                links: tape.links(changes, u),
            };
            let force = links.as_mut().filter(|_| first.is_some_and(|first| first <= n));
            gradients.push(self.reverse_step(layer, &at, &mut above, force));
        }
        let parameters = gradients.into_iter().rev().flatten().collect();
        Ok(Gradients { parameters, links: links.filter(|_| wanted) })
    }

    /// Replaces the cotangent above layer `at.n` by that below; returns the derivative with respect to its parameters.
    fn reverse_step<R: Real, const N: usize>(
        &self,
        layer: &Layer,
        at: &Place<'_, R, N>,
        above: &mut Values<R, N>,
        force: Option<&mut LinkAlgebra<R, N>>,
    ) -> Vec<R::Total> {
        let (w, channels) = (at.below.matrices(), if let Signal::Matrices(c) = self.signals[at.n] { c } else { 0 });
        match (layer, above, force) {
            (Layer::Dense { inputs, outputs, function }, above, _) => {
                let layer = Dense { inputs: *inputs, outputs: *outputs, function: *function, parameters: at.own };
                let (below, gradient) = layer.pull(at.below.numbers(), above.numbers());
                *above = Values::Numbers(below);
                return gradient;
            }
            (Layer::Trace, above, _) => *above = Values::Matrices(pointwise::pull_trace(above.numbers(), channels)),
            (Layer::Gate { function }, above, _) => {
                *above = Values::Matrices(pointwise::pull_gate(*function, w, channels, above.matrices()));
            }
            (Layer::Exponential { .. }, Values::Matrices(above), Some(force)) => {
                return exponential::pull(at.own, at.links, w, above, force);
            }
            (Layer::Loops { plaquettes, polyakov }, above, Some(force)) => {
                let loops = input::loops(at.links.lattice().extents(), *plaquettes, polyakov);
                let image = at.image.map_or(&[][..], Values::matrices);
                input::pull(&loops, at.links, image, above.matrices(), force);
            }
            (layer, above, force) => {
                if let Some(shape) = self.shape(layer) {
                    let (below, gradient) = bilinear::pull(shape, at.own, at.links, w, above.matrices(), force);
                    *above = Values::Matrices(below);
                    return gradient;
                }
            }
        }
        Vec::new()
    }
}

/// A layer with its parameters, what goes in and out, and the links it sees.
struct Place<'a, R, const N: usize> {
    n: usize,
    own: &'a [R],
    below: &'a Values<R, N>,
    image: Option<&'a Values<R, N>>,
    links: &'a GaugeField<R, N>,
}

impl<R: Real> Outputs<R> {
    /// The numbers: `[channel]`, or `[site in C order][channel]`.
    pub fn numbers(&self, lattice: &Lattice) -> Vec<R::Total> {
        match self {
            Self::Means(values) => values.clone(),
            Self::Sites(values) => {
                let channels = values.len() / lattice.vectors();
                let mut numbers = vec![R::Total::zero(); lattice.volume() * channels];
                R::vectorize(BySite { lattice, channels, values, numbers: &mut numbers });
                numbers
            }
        }
    }

    /// [`Self::numbers`] without derivatives.
    pub fn plain(&self, lattice: &Lattice) -> Vec<f64> {
        self.numbers(lattice).iter().map(|x| x.lane(0)).collect()
    }
}

/// Values of site vectors to numbers `[site in C order][channel]`.
struct BySite<'a, R: Real> {
    lattice: &'a Lattice,
    channels: usize,
    values: &'a [R],
    numbers: &'a mut [R::Total],
}

impl<R: Real> Work for BySite<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (n, value) in self.values.iter().enumerate() {
            for lane in 0..R::LANES {
                let site = self.lattice.site(n / self.channels, lane) as usize;
                let own = R::zero().blend(*value, 1 << lane).total();
                self.numbers[site * self.channels + n % self.channels] = own;
            }
        }
    }
}

fn splat<R: Real>(theta: &[f64]) -> Vec<R> {
    theta.iter().map(|&x| R::splat(x)).collect()
}

impl<R: Real, const N: usize> Readout<GaugeField<R, N>> for Network {
    fn n_parameters(&self) -> usize {
        self.n_parameters()
    }

    fn n_outputs(&self, u: &GaugeField<R, N>) -> usize {
        let (channels, sites) = self.outputs();
        if sites { channels * u.lattice().volume() } else { channels }
    }

    fn record(&self, theta: &[f64], u: &GaugeField<R, N>) -> Result<(Vec<R::Total>, Tape)> {
        let (outputs, kept) = self.run(&splat::<R>(theta), u)?;
        Ok((outputs.numbers(u.lattice()), Tape::new(kept)))
    }

    fn pullback(
        &self,
        theta: &[f64],
        u: &GaugeField<R, N>,
        tape: &Tape,
        cotangent: &[f64],
        field: Option<&mut LinkAlgebra<R, N>>,
        gradient: Option<&mut [R::Total]>,
    ) -> Result<()> {
        let kept: &Kept<R, N> = tape.get()?;
        let pulled = self.pull(&splat::<R>(theta), u, kept, field.is_some(), cotangent)?;
        if let (Some(field), Some(links)) = (field, &pulled.links) {
            field.axpy(1.0, links);
        }
        if let Some(gradient) = gradient {
            gradient.iter_mut().zip(pulled.parameters).for_each(|(sum, x)| *sum += x);
        }
        Ok(())
    }
}
