//! Coefficients of a masked layer that depend on the field: a network of the traces of loops that pass no active link (arXiv
//! 2201.01862, 2405.19692). Its inputs do not change in the update, so log det and inverse are those of constant coefficients.

use super::passes::Passive;
use super::slice::{Geometry, Passives, around};
use crate::action;
use crate::error::Result;
use crate::field::{self, SiteKernel};
use crate::lattice::path::direction;
use crate::lattice::{Displacement, Path, Program, WeightedPath};
use crate::matrix::{Algebra, Matrix};
use crate::nn::{Layer, Plan, Record};
use crate::number::{LaneMask, Real};
use std::collections::BTreeMap;
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

/// The network of a slice on one lattice.
pub(super) struct SliceNetwork {
    plan: Arc<Plan>,
    /// The loop of each channel, for links alone and for links with replacements behind them.
    plain: Vec<Program>,
    wide: Vec<Program>,
    /// First direction of each loop.
    starts: Vec<usize>,
    /// Lanes in which a loop passes no active link, `[site vector][channel]`.
    masks: Vec<LaneMask>,
    /// The loops through every link, the first link of which item ndim + channel of its site replaces.
    passives: Passives,
}

impl SliceNetwork {
    /// For updates of links of direction `mu` on sites of class `class`.
    pub fn new(geometry: &Geometry<'_>, plan: &Arc<Plan>, inputs: &[WeightedPath], mu: usize, class: usize) -> Self {
        let (lattice, pattern) = (geometry.lattice, geometry.pattern);
        let paths: Vec<Path> = inputs.iter().map(|input| turned(&input.path)).collect();
        let closed = |path: &Path| {
            let path = WeightedPath { weight: 1.0, path: path.clone() };
            Program::new(lattice, Displacement::default(), &[path])
        };
        let plain: Vec<Program> = paths.iter().map(closed).collect();
        let mut masks = vec![0; lattice.vectors() * paths.len()];
        for (n, mask) in masks.iter_mut().enumerate() {
            for (from, lanes) in geometry.lanes.iter().enumerate() {
                if pattern.is_free(&paths[n % paths.len()], Displacement::default(), from, (mu, class)) {
                    *mask |= lanes[n / paths.len()];
                }
            }
        }
        let mut through: BTreeMap<_, Vec<WeightedPath>> = BTreeMap::new();
        for (channel, path) in paths.iter().enumerate() {
            for p in 0..path.len() {
                let (_, path) = around(path, channel, p);
                through
                    .entry((direction(paths[channel][p]), None))
                    .or_default()
                    .push(WeightedPath { weight: 1.0, path });
            }
        }
        Self {
            plan: plan.clone(),
            wide: plain.iter().map(|program| program.clone().among(geometry.width)).collect(),
            plain,
            starts: paths.iter().map(|path| direction(path[0])).collect(),
            masks,
            passives: geometry.passives(&through),
        }
    }

    /// Runs the network on links, stored `[site vector][width]`; its output is `[site vector][group]`.
    pub fn record<R: Real, const N: usize>(
        &self,
        theta: &[R],
        (items, is_wide): (&[Matrix<R, N>], bool),
    ) -> Result<Record<R>> {
        let (channels, vectors) = self.plan.input();
        let programs = if is_wide { &self.wide } else { &self.plain };
        let mut traces: Vec<R> = field::zeros(channels * vectors);
        let kernel = Traces { programs, masks: &self.masks, items };
        field::for_each::<R, _, _>(&kernel, channels, &mut traces);
        self.plan.record(theta, &traces)
    }

    /// From the derivatives of the output those of the links, added to `cotangent`, and of the parameters.
    pub fn pull<R: Real, const N: usize>(
        &self,
        (record, above): (&mut Record<R>, &[R]),
        (items, width): (&mut [Matrix<R, N>], usize),
        cotangent: &mut [Algebra<R, N>],
        gradient: Option<&mut [R::Total]>,
    ) -> Result<()> {
        let weights = self.plan.pullback(record, above, gradient)?;
        let ndim = self.passives.ndim;
        field::for_each::<R, _, _>(&Weigh { network: self, weights: &weights, ndim }, width, items);
        let kernel = Passive { passives: &self.passives, items, width };
        field::for_each::<R, _, _>(&kernel, ndim, cotangent);
        Ok(())
    }
}

/// 1/N Re tr of the loops.
struct Traces<'a, R, const N: usize> {
    programs: &'a [Program],
    masks: &'a [LaneMask],
    items: &'a [Matrix<R, N>],
}

impl<R: Real, const N: usize> SiteKernel<R, R> for Traces<'_, R, N> {
    type Scratch = Vec<Matrix<R, N>>;
    fn scratch(&self) -> Self::Scratch {
        action::scratch(self.programs)
    }
    #[inline(always)]
    fn at(&self, slots: &mut Self::Scratch, vector: usize, traces: &mut [R]) -> R {
        for (channel, program) in self.programs.iter().enumerate() {
            program.run(self.items, slots, vector);
            let trace = slots[0].trace().re * R::splat(1.0 / N as f64);
            traces[channel] = R::zero().blend(trace, self.masks[vector * self.programs.len() + channel]);
        }
        R::zero()
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
