//! Coefficients of a masked layer that depend on the field: a network of the traces of loops that pass no active link (arXiv
//! 2201.01862, 2405.19692). Its inputs do not change in the update, so log det and inverse are those of constant coefficients.

use super::passes::{Collect, Passive};
use super::slice::{Around, Geometry, Passages, Passives, around};
use crate::action;
use crate::error::Result;
use crate::field::{self, SiteKernel};
use crate::lattice::path::direction;
use crate::lattice::{Displacement, Lattice, Path, Program, WeightedPath};
use crate::matrix::{Algebra, Matrix};
use crate::nn::{FieldNetwork, Layer, Record};
use crate::number::{LaneMask, Real, Work};
use std::sync::Arc;

/// The network that gives the x_k of every active link.
#[derive(Debug, Clone)]
pub struct CoefficientNetwork {
    /// Input channels: 1/N Re tr W of closed loops that begin at the site; 0 where the loop passes an active link.
    pub inputs: Vec<WeightedPath>,
    /// Layers of networks on fields, with one output for each group of loops.
    pub layers: Vec<Layer>,
}

/// The loop from a point at which it steps forward.
fn turned(path: &[i8]) -> Path {
    let start = path.iter().position(|step| *step > 0).unwrap_or(0);
    [&path[start..], &path[..start]].concat()
}

/// Site vectors that one thread takes at a time.
const PIECE: usize = 32;

/// The network of a slice on one lattice.
pub(super) struct SliceNetwork {
    network: FieldNetwork,
    lattice: Arc<Lattice>,
    /// The loop of each channel.
    programs: Vec<Program>,
    /// First direction of each loop.
    starts: Vec<usize>,
    /// Lanes in which a loop passes no active link, `[site vector][channel]`.
    masks: Vec<LaneMask>,
    /// The loops through every link, the first link of which item ndim + channel of its site replaces.
    passives: Passives,
    /// The same where links commute.
    passages: Passages,
}

/// What the reverse pass needs.
pub(super) struct Kept<R: Real> {
    record: Record<R>,
    /// Im W of the loops W where links commute, `[site vector][channel]`.
    phases: Vec<R>,
}

impl<R: Real> Kept<R> {
    /// The output of the network, `[site vector][group]`.
    pub fn output(&self) -> &[R] {
        self.record.output()
    }
}

impl SliceNetwork {
    /// For updates of links of direction `mu` on sites of class `class`, which are among those of the site vectors `active`.
    pub fn new(
        geometry: &Geometry<'_>,
        (inputs, layers): (&[WeightedPath], &[Layer]),
        (mu, class): (usize, usize),
        active: &[(usize, LaneMask)],
    ) -> Result<Self> {
        let (lattice, pattern) = (geometry.lattice, geometry.pattern);
        let wanted: Vec<u32> = active.iter().map(|&(vector, _)| vector as u32).collect();
        let network = FieldNetwork::new(layers, inputs.len(), lattice, &wanted)?;
        let paths: Vec<Path> = inputs.iter().map(|input| turned(&input.path)).collect();
        let closed = |path: &Path| {
            let path = WeightedPath { weight: 1.0, path: path.clone() };
            Program::new(lattice, Displacement::default(), &[path])
        };
        // Loops that pass no active link, by the class of their site, if the network sees any there.
        let is_seen = |from: usize| network.needed().iter().any(|&vector| geometry.lanes[from][vector as usize] != 0);
        let seen: Vec<bool> = (0..geometry.lanes.len()).map(is_seen).collect();
        let is_free = |path: &Path, from: usize| pattern.is_free(path, Displacement::default(), from, (mu, class));
        let mut masks = vec![0; lattice.vectors() * paths.len()];
        let mut through = vec![vec![Vec::new(); geometry.lanes.len()]; lattice.ndim()];
        let mut passages = Passages::new(lattice, geometry.lanes);
        for (channel, path) in paths.iter().enumerate() {
            let free: Vec<usize> = (0..seen.len()).filter(|&from| seen[from] && is_free(path, from)).collect();
            for &vector in network.needed() {
                let lanes = free.iter().map(|&from| geometry.lanes[from][vector as usize]);
                masks[vector as usize * paths.len() + channel] = lanes.fold(0, |mask, lanes| mask | lanes);
            }
            for p in (0..path.len()).filter(|_| !free.is_empty()) {
                let (site, around) = around(path, channel, p);
                let nu = direction(path[p]);
                for &from in &free {
                    let (around, to) = (around.clone(), pattern.moved(from, &site));
                    through[nu][to].push(WeightedPath { weight: 1.0, path: around });
                    passages.push(to, channel, path[p], &site);
                }
            }
        }
        let mut around = Around::new();
        for (nu, classes) in through.into_iter().enumerate() {
            if classes.iter().all(|list| *list == classes[0]) {
                around.extend(classes.into_iter().take(1).map(|list| ((nu, None), list)));
            } else {
                around.extend(classes.into_iter().enumerate().map(|(class, list)| ((nu, Some(class)), list)));
            }
        }
        around.retain(|_, list| !list.is_empty());
        Ok(Self {
            network,
            lattice: lattice.clone(),
            programs: paths.iter().map(closed).collect(),
            starts: paths.iter().map(|path| direction(path[0])).collect(),
            masks,
            passives: geometry.passives(&around),
            passages,
        })
    }

    /// Number of parameters.
    pub fn n_parameters(&self) -> usize {
        self.network.n_parameters()
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.network.outputs()
    }

    /// Runs the network on links `[site vector][mu]`; with what the reverse pass needs if it is to be kept.
    pub fn record<R: Real, const N: usize>(
        &self,
        theta: &[R],
        links: &[Matrix<R, N>],
        is_kept: bool,
    ) -> Result<Kept<R>> {
        let (channels, vectors) = (self.programs.len(), self.lattice.vectors());
        let mut traces: Vec<R> = field::zeros(channels * vectors);
        let mut phases: Vec<R> = field::zeros(if N == 1 && is_kept { traces.len() } else { 0 });
        let size = PIECE * channels;
        let rest = std::iter::repeat_with(Default::default);
        let parts = traces.chunks_mut(size).zip(phases.chunks_mut(size).chain(rest)).enumerate();
        field::map_tasks(parts.collect(), |(n, (traces, phases))| {
            R::vectorize(Traces { network: self, links, first: n * PIECE, traces, phases });
        });
        Ok(Kept { record: self.network.record(theta, traces, is_kept)?, phases })
    }

    /// From the derivatives of the output those of the links, added to `cotangent`, and of the parameters.
    pub fn pull<R: Real, const N: usize>(
        &self,
        (kept, above): (&Kept<R>, Vec<R>),
        (items, width): (&mut [Matrix<R, N>], usize),
        cotangent: &mut [Algebra<R, N>],
        gradient: Option<&mut [R::Total]>,
    ) -> Result<()> {
        let mut weights = self.network.pullback(&kept.record, above, gradient)?;
        let ndim = self.lattice.ndim();
        if N == 1 {
            let kernel = Turn { phases: &kept.phases, masks: &self.masks };
            field::for_each::<R, _, _>(&kernel, self.programs.len(), &mut weights);
            let width = self.programs.len();
            let kernel = Collect { passages: &self.passages, number: None, numbers: &weights, width };
            field::for_each::<R, _, _>(&kernel, ndim, cotangent);
            return Ok(());
        }
        field::for_each::<R, _, _>(&Weigh { network: self, weights: &weights, ndim }, width, items);
        let kernel = Passive { passives: &self.passives, items, width };
        field::for_each::<R, _, _>(&kernel, ndim, cotangent);
        Ok(())
    }
}

/// 1/N Re tr of the loops, and Im W of U(1).
struct Traces<'a, R, const N: usize> {
    network: &'a SliceNetwork,
    links: &'a [Matrix<R, N>],
    first: usize,
    traces: &'a mut [R],
    phases: &'a mut [R],
}

impl<R: Real, const N: usize> Work for Traces<'_, R, N> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let programs = &self.network.programs;
        let mut slots = action::scratch(programs);
        let (channels, needed) = (programs.len(), self.network.network.needed());
        let end = self.first + self.traces.len() / channels;
        let start = needed.partition_point(|&n| (n as usize) < self.first);
        for &vector in needed[start..].iter().take_while(|&&n| (n as usize) < end) {
            let vector = vector as usize;
            for (channel, program) in programs.iter().enumerate() {
                let mask = self.network.masks[vector * channels + channel];
                if mask == 0 {
                    continue;
                }
                program.run(self.links, &mut slots, vector);
                let (trace, k) = (slots[0].trace(), (vector - self.first) * channels + channel);
                self.traces[k] = R::zero().blend(trace.re * R::splat(1.0 / N as f64), mask);
                if let Some(phase) = self.phases.get_mut(k) {
                    *phase = trace.im;
                }
            }
        }
    }
}

/// Puts the first link of every loop, times the derivative of its trace, behind the links of its site.
struct Weigh<'a, R> {
    network: &'a SliceNetwork,
    weights: &'a [R],
    ndim: usize,
}

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for Weigh<'_, R> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, items: &mut [Matrix<R, N>]) -> R {
        let channels = self.network.starts.len();
        for (channel, &mu) in self.network.starts.iter().enumerate() {
            let n = vector * channels + channel;
            let weight = R::zero().blend(self.weights[n] * R::splat(1.0 / N as f64), self.network.masks[n]);
            items[self.ndim + channel] = items[mu].scale(weight);
        }
        R::zero()
    }
}

/// Multiplies derivatives of traces by Im W.
struct Turn<'a, R> {
    phases: &'a [R],
    masks: &'a [LaneMask],
}

impl<R: Real> SiteKernel<R, R> for Turn<'_, R> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, weights: &mut [R]) -> R {
        let first = vector * weights.len();
        for (channel, weight) in weights.iter_mut().enumerate() {
            *weight = R::zero().blend(*weight * self.phases[first + channel], self.masks[first + channel]);
        }
        R::zero()
    }
}
