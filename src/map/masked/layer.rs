//! A masked layer: a sweep of updates that share their coefficients, and its geometry on one lattice.

use super::mask::Pattern;
use super::network::{CoefficientNetwork, Kept, SliceNetwork};
use super::slice::{Geometry, Slice};
use crate::error::{Error, Result};
use crate::field;
use crate::lattice::{Lattice, WeightedPath, program::MAX_REPLACED};
use crate::matrix::{Algebra, Matrix};
use crate::nn::{Activation, Layer};
use crate::number::{LaneMask, Real, Work};
use std::f64::consts::FRAC_2_PI;
use std::ops::Range;
use std::sync::Arc;

/// What a layer is.
#[derive(Debug, Clone)]
pub struct MaskedLayer {
    /// How sites are split.
    pub pattern: Pattern,
    /// Direction of its links; all, one after another, where none is given.
    pub direction: Option<usize>,
    /// Class of its sites; all, one after another, where none is given.
    pub class: Option<usize>,
    /// Loops of each coefficient.
    pub groups: Vec<Vec<WeightedPath>>,
    /// s, at most 1.
    pub scale: f64,
    /// What gives the x_k of every link; without it they are parameters, the same for all slices.
    pub network: Option<CoefficientNetwork>,
}

/// A layer on one lattice: slices, with the same parameters if these are the x_k, else each with a network of its own.
pub(super) struct Sweep {
    pub slices: Vec<Slice>,
    pub groups: usize,
    scale: f64,
    networks: Vec<SliceNetwork>,
}

/// Coefficients of a slice, `[active site vector][group]`, and how its network came to them.
pub(super) struct Chosen<R: Real> {
    pub values: Vec<R>,
    kept: Option<Kept<R>>,
}

impl Sweep {
    pub fn new(lattice: &Arc<Lattice>, layer: &MaskedLayer, width: usize) -> Result<Self> {
        let (ndim, pattern) = (lattice.ndim(), layer.pattern);
        pattern.check(lattice.extents())?;
        if !(layer.scale > 0.0 && layer.scale <= 1.0) {
            return Err(Error::value(format!(
                "bound of a masked layer is {}; it must be above 0 and at most 1",
                layer.scale
            )));
        }
        let chosen = |one: Option<usize>, count: usize, what: &str| match one {
            None => Ok(0..count),
            Some(n) if n < count => Ok(n..n + 1),
            Some(n) => Err(Error::value(format!("{what} {n} of a masked layer: there are 0 to {}", count - 1))),
        };
        let lanes = pattern.lanes(lattice);
        let geometry = Geometry { lattice, pattern, lanes: &lanes, width };
        let layers = layer.network.as_ref().map(layers).transpose()?;
        let (mut slices, mut networks) = (Vec::new(), Vec::new());
        for mu in chosen(layer.direction, ndim, "direction")? {
            for class in chosen(layer.class, pattern.classes(ndim), "subset")? {
                let slice = geometry.slice(&layer.groups, mu, class)?;
                if let (Some(network), Some(layers)) = (&layer.network, &layers) {
                    let network = (&network.inputs[..], &layers[..]);
                    let network = SliceNetwork::new(&geometry, network, (mu, class), &slice.active)?;
                    check_outputs(network.outputs(), layer.groups.len())?;
                    networks.push(network);
                }
                slices.push(slice);
            }
        }
        Ok(Self { slices, groups: layer.groups.len(), scale: layer.scale, networks })
    }

    pub fn n_parameters(&self) -> usize {
        if self.networks.is_empty() { self.groups } else { self.networks.iter().map(SliceNetwork::n_parameters).sum() }
    }

    pub fn has_networks(&self) -> bool {
        !self.networks.is_empty()
    }

    /// The parameters of slice `n`.
    pub fn part(&self, n: usize) -> Range<usize> {
        let weights = self.networks.first().map_or(0, SliceNetwork::n_parameters);
        if self.networks.is_empty() { 0..self.groups } else { n * weights..(n + 1) * weights }
    }

    /// c_k / arctan(x_k).
    fn factor(&self) -> f64 {
        self.scale * FRAC_2_PI / self.slices[0].counts.iter().sum::<f64>()
    }

    /// The coefficients of slice `n` for links `[site vector][mu]`, with what the reverse pass needs if it is to be kept.
    pub fn choose<R: Real, const N: usize>(
        &self,
        n: usize,
        own: &[R],
        links: &[Matrix<R, N>],
        is_kept: bool,
    ) -> Result<Chosen<R>> {
        let (active, factor, theta) = (&self.slices[n].active[..], self.factor(), &own[self.part(n)]);
        let Some(network) = self.networks.get(n) else {
            let values = R::vectorize(Repeat { factor, theta, count: active.len() });
            return Ok(Chosen { values, kept: None });
        };
        let kept = network.record(theta, links, is_kept)?;
        let mut values = field::zeros(active.len() * self.groups);
        let (from, to) = (kept.output(), &mut values[..]);
        R::vectorize(Pick { factor, active, groups: self.groups, from, to, is_back: false });
        Ok(Chosen { values, kept: is_kept.then_some(kept) })
    }

    /// Carries derivatives with respect to the coefficients of slice `n`, `slopes` at each active site vector and their `sums`,
    /// on to links and parameters.
    pub fn pull<R: Real, const N: usize>(
        &self,
        (n, own, chosen): (usize, &[R], &Chosen<R>),
        (slopes, sums): (&[R], &[R::Total]),
        items: (&mut [Matrix<R, N>], usize),
        cotangent: &mut [Algebra<R, N>],
        gradient: Option<&mut [R::Total]>,
    ) -> Result<()> {
        let gradient = gradient.map(|gradient| &mut gradient[self.part(n)]);
        if let (Some(network), Some(kept)) = (self.networks.get(n), &chosen.kept) {
            let (active, factor, groups) = (&self.slices[n].active[..], self.factor(), self.groups);
            let mut above: Vec<R> = field::zeros(kept.output().len());
            R::vectorize(Pick { factor, active, groups, from: slopes, to: &mut above, is_back: true });
            return network.pull((kept, above), items, cotangent, gradient);
        }
        let factor = R::Total::splat(self.factor());
        for ((slope, &sum), &x) in gradient.into_iter().flatten().zip(sums).zip(&own[self.part(n)]) {
            *slope += sum * factor * Activation::Arctan.slope(R::Total::splat(x.lane(0)));
        }
        Ok(())
    }

    /// The largest sum |c_k| n_k, by which an update brings two links closer to each other.
    pub fn contraction<R: Real>(&self, c: &[R]) -> f64 {
        R::vectorize(Rate { c, counts: &self.slices[0].counts })
    }
}

/// factor arctan(x_k) for `count` site vectors.
struct Repeat<'a, R> {
    factor: f64,
    theta: &'a [R],
    count: usize,
}

impl<R: Real> Work for Repeat<'_, R> {
    type Output = Vec<R>;
    #[inline(always)]
    fn run(self) -> Vec<R> {
        let mut values = Vec::with_capacity(self.theta.len() * self.count);
        for n in 0..self.theta.len() {
            values.push(R::splat(self.factor) * Activation::Arctan.value(self.theta[n]));
        }
        for n in self.theta.len()..self.theta.len() * self.count {
            values.push(values[n - self.theta.len()]);
        }
        values
    }
}

/// Multiples of the numbers of active site vectors, from an array of all to one of these, or back.
struct Pick<'a, R> {
    factor: f64,
    active: &'a [(usize, LaneMask)],
    groups: usize,
    from: &'a [R],
    to: &'a mut [R],
    is_back: bool,
}

impl<R: Real> Work for Pick<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let factor = R::splat(self.factor);
        for n in 0..self.active.len() {
            let (one, other) = (n * self.groups, self.active[n].0 * self.groups);
            let (from, to) = if self.is_back { (one, other) } else { (other, one) };
            for k in 0..self.groups {
                self.to[to + k] = factor * self.from[from + k];
            }
        }
    }
}

struct Rate<'a, R> {
    c: &'a [R],
    counts: &'a [f64],
}

impl<R: Real> Work for Rate<'_, R> {
    type Output = f64;
    #[inline(always)]
    fn run(self) -> f64 {
        let mut largest = R::zero();
        for c in self.c.chunks_exact(self.counts.len()) {
            let mut sum = R::zero();
            for k in 0..self.counts.len() {
                let size = c[k].blend(-c[k], c[k].less(R::zero()));
                sum += R::splat(self.counts[k]) * size;
            }
            largest = largest.blend(sum, largest.less(sum));
        }
        largest.max_lane()
    }
}

/// The layers of a network that give arctan(x_k).
fn layers(network: &CoefficientNetwork) -> Result<Vec<Layer>> {
    let channels = network.inputs.len();
    if !(1..=MAX_REPLACED).contains(&channels) {
        return Err(Error::value(format!(
            "the network of a masked layer has {channels} loops as inputs; allowed are 1 to {MAX_REPLACED}"
        )));
    }
    Ok([&network.layers[..], &[Layer::Activation(Activation::Arctan)]].concat())
}

fn check_outputs(outputs: usize, groups: usize) -> Result<()> {
    match outputs == groups {
        true => Ok(()),
        false => Err(Error::value(format!(
            "the network of a masked layer has {outputs} outputs; {groups} are needed, one for each coefficient"
        ))),
    }
}
