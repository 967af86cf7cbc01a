//! A masked layer: a sweep of updates that share their coefficients, and its geometry on one lattice.

use super::mask::Pattern;
use super::network::{CoefficientNetwork, SliceNetwork};
use super::slice::{Geometry, Slice};
use crate::error::{Error, Result};
use crate::field;
use crate::lattice::{Lattice, WeightedPath, program::MAX_REPLACED};
use crate::matrix::{Algebra, Matrix};
use crate::nn::{Activation, Layer, Plan, Record};
use crate::number::Real;
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
    /// Parameters of one network.
    weights: usize,
}

/// Coefficients of a slice, `[active site vector][group]`, and how its network came to them.
pub(super) struct Chosen<R> {
    pub values: Vec<R>,
    record: Option<Record<R>>,
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
        let plan = layer.network.as_ref().map(|network| plan(network, lattice, layer.groups.len())).transpose()?;
        let (mut slices, mut networks) = (Vec::new(), Vec::new());
        for mu in chosen(layer.direction, ndim, "direction")? {
            for class in chosen(layer.class, pattern.classes(ndim), "subset")? {
                slices.push(geometry.slice(&layer.groups, mu, class)?);
                if let (Some(network), Some(plan)) = (&layer.network, &plan) {
                    networks.push(SliceNetwork::new(&geometry, plan, &network.inputs, mu, class));
                }
            }
        }
        let weights = plan.map_or(0, |plan| plan.n_parameters());
        Ok(Self { slices, groups: layer.groups.len(), scale: layer.scale, networks, weights })
    }

    pub fn n_parameters(&self) -> usize {
        if self.networks.is_empty() { self.groups } else { self.networks.len() * self.weights }
    }

    pub fn has_networks(&self) -> bool {
        !self.networks.is_empty()
    }

    /// The parameters of slice `n`.
    pub fn part(&self, n: usize) -> Range<usize> {
        if self.networks.is_empty() { 0..self.groups } else { n * self.weights..(n + 1) * self.weights }
    }

    /// c_k / arctan(x_k).
    fn factor(&self) -> f64 {
        self.scale * FRAC_2_PI / self.slices[0].counts.iter().sum::<f64>()
    }

    /// The coefficients of slice `n` for links, alone or with replacements behind them.
    pub fn choose<R: Real, const N: usize>(
        &self,
        n: usize,
        own: &[R],
        (items, is_wide): (&[Matrix<R, N>], bool),
    ) -> Result<Chosen<R>> {
        let (active, groups, factor) = (&self.slices[n].active, self.groups, R::splat(self.factor()));
        let theta = &own[self.part(n)];
        let Some(network) = self.networks.get(n) else {
            let c: Vec<R> = theta.iter().map(|&x| factor * Activation::Arctan.value(x)).collect();
            return Ok(Chosen { values: c.repeat(active.len()), record: None });
        };
        let record = network.record(theta, (items, is_wide))?;
        let output = |&(vector, _): &(usize, _)| &record.output()[vector * groups..][..groups];
        let values = active.iter().flat_map(output).map(|&x| factor * x).collect();
        Ok(Chosen { values, record: Some(record) })
    }

    /// Carries derivatives with respect to the coefficients of slice `n`, `slopes` at each active site vector and their `sums`,
    /// on to links and parameters.
    pub fn pull<R: Real, const N: usize>(
        &self,
        (n, own, chosen): (usize, &[R], Chosen<R>),
        (slopes, sums): (&[R], &[R::Total]),
        items: (&mut [Matrix<R, N>], usize),
        cotangent: &mut [Algebra<R, N>],
        gradient: Option<&mut [R::Total]>,
    ) -> Result<()> {
        let gradient = gradient.map(|gradient| &mut gradient[self.part(n)]);
        if let (Some(network), Some(mut record)) = (self.networks.get(n), chosen.record) {
            let (slice, groups, factor) = (&self.slices[n], self.groups, R::splat(self.factor()));
            let mut above: Vec<R> = field::zeros(record.output().len());
            for (slopes, &(vector, _)) in slopes.chunks_exact(groups).zip(&slice.active) {
                let above = &mut above[vector * groups..][..groups];
                above.iter_mut().zip(slopes).for_each(|(above, &slope)| *above = factor * slope);
            }
            return network.pull((&mut record, &above), items, cotangent, gradient);
        }
        let factor = R::Total::splat(self.factor());
        for ((slope, &sum), &x) in gradient.into_iter().flatten().zip(sums).zip(&own[self.part(n)]) {
            *slope += sum * factor * Activation::Arctan.slope(R::Total::splat(x.lane(0)));
        }
        Ok(())
    }

    /// The largest sum |c_k| n_k, by which an update brings two links closer to each other.
    pub fn contraction<R: Real>(&self, c: &[R]) -> f64 {
        let counts = &self.slices[0].counts;
        let at = |c: &[R], lane| c.iter().zip(counts).map(|(c, count)| c.lane(lane).abs() * count).sum::<f64>();
        c.chunks_exact(self.groups).flat_map(|c| (0..R::LANES).map(move |lane| at(c, lane))).fold(0.0, f64::max)
    }
}

/// The network of a layer, compiled for a lattice: arctan(x_k).
fn plan(network: &CoefficientNetwork, lattice: &Lattice, groups: usize) -> Result<Arc<Plan>> {
    let channels = network.inputs.len();
    if !(1..=MAX_REPLACED).contains(&channels) {
        return Err(Error::value(format!(
            "the network of a masked layer has {channels} loops as inputs; allowed are 1 to {MAX_REPLACED}"
        )));
    }
    let layers = [&network.layers[..], &[Layer::Activation(Activation::Arctan)]].concat();
    let plan = Plan::on_lattice(&layers, channels, lattice)?;
    match plan.output().0 {
        outputs if outputs == groups => Ok(Arc::new(plan)),
        outputs => Err(Error::value(format!(
            "the network of a masked layer has {outputs} outputs; {groups} are needed, one for each coefficient"
        ))),
    }
}
