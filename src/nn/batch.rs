//! Many samples: outputs, losses and gradients, each sample (or group of samples) on one thread, sums in a fixed order.
//!
//! A task takes a fixed share of the samples and uses its buffers again for each, so that the activations of one sample stay in
//! the cache and no buffer has the size of the batch. Results do not depend on the number of threads.

use super::loss::Loss;
use super::passes::{Packed, Workspace};
use super::sequential::Plan;
use super::symmetry::Place;
use super::window::decode;
use crate::error::{Error, Result};
use crate::field::map;
use crate::interrupt;
use crate::memory;
use crate::number::Real;

/// Parts that a batch is cut into, each with its own sum of gradients.
const TASKS: usize = 16;

/// Numbers of samples, `[sample][channel][site in C order]`.
#[derive(Debug, Clone)]
pub enum Numbers {
    /// Single precision.
    Single(Vec<f32>),
    /// Double precision.
    Double(Vec<f64>),
}

impl Numbers {
    #[inline(always)]
    fn at(&self, n: usize) -> f64 {
        match self {
            Self::Single(x) => f64::from(x[n]),
            Self::Double(x) => x[n],
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Single(x) => x.len(),
            Self::Double(x) => x.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Samples of one shape.
#[derive(Debug, Clone)]
pub struct Samples {
    /// Channels.
    pub channels: usize,
    /// Extents of the lattice.
    pub extents: Vec<usize>,
    /// Their numbers.
    pub numbers: Numbers,
    /// Numbers that the network should give, `[sample][output]`, or nothing.
    pub targets: Vec<f64>,
}

/// Which samples, and by how much the input of each is moved (nothing: not at all).
#[derive(Debug, Clone, Copy)]
pub struct Chosen<'a> {
    /// Numbers of the samples.
    pub samples: &'a [usize],
    /// A translation for each, `[sample][direction]`.
    pub shifts: &'a [Vec<usize>],
}

/// A plan with parameters for vectors of `W` channels of one sample (`W` lanes), or for one channel of as many samples as
/// there are lanes (`W` = 1).
pub struct Batch<'a, R, const W: usize> {
    plan: &'a Plan,
    packed: Packed<R>,
    samples: &'a Samples,
}

impl<'a, R: Real, const W: usize> Batch<'a, R, W> {
    /// Packs the parameters, once for all samples.
    pub fn new(plan: &'a Plan, theta: &[f64], samples: &'a Samples) -> Result<Self> {
        if theta.len() != plan.n_parameters() {
            let needed = plan.n_parameters();
            return Err(Error::value(format!("{} parameters are given; {needed} are needed", theta.len())));
        }
        let tasks = crate::field::num_threads().min(TASKS) as u128;
        memory::require("the activations of a network", tasks * plan.bytes::<R, W>())?;
        let parameter = |place: Option<Place>| place.map_or(0.0, |p| p.apply(theta[p.number]));
        let packed = plan.pack::<R, W>(&|index| R::from_lanes(|k| parameter(index(if W == 1 { 0 } else { k }))));
        Ok(Self { plan, packed, samples })
    }

    /// Samples that one pass takes.
    const GROUP: usize = if W == 1 { R::LANES } else { 1 };

    fn workspace(&self) -> Workspace<R> {
        self.plan.workspace::<R, W>()
    }

    /// What `work` gives for each task, in order; it gets the range of the chosen samples.
    fn tasks<T: Send>(
        &self,
        count: usize,
        work: impl Fn(std::ops::Range<usize>) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let groups = count.div_ceil(Self::GROUP);
        let share = groups.div_ceil(TASKS).max(1) * Self::GROUP;
        let parts = map(count.div_ceil(share), |n| work(n * share..count.min((n + 1) * share)));
        interrupt::poll()?;
        parts.into_iter().collect()
    }

    /// Fills the input with the chosen samples from number `first` on.
    fn fill(&self, chosen: Chosen<'_>, group: &std::ops::Range<usize>, input: &mut [R]) {
        let (channels, positions) = self.plan.input();
        let maps: Vec<_> = group.clone().map(|n| self.sites(chosen, n)).collect();
        let starts: Vec<_> = group.clone().map(|n| chosen.samples[n] * channels * positions).collect();
        let number = |j: usize, c: usize, s: usize| {
            let site = maps[j].as_ref().map_or(s, |map| map[s] as usize);
            self.samples.numbers.at(starts[j] + c * positions + site)
        };
        let width = channels.div_ceil(W);
        for (n, x) in input.iter_mut().enumerate() {
            let (s, v) = (n / width, n % width);
            *x = R::from_lanes(|k| match W {
                1 => number(k.min(starts.len() - 1), v, s),
                _ if v * W + k < channels => number(0, v * W + k, s),
                _ => 0.0,
            });
        }
    }

    /// Where each site of a moved sample comes from.
    fn sites(&self, chosen: Chosen<'_>, n: usize) -> Option<Vec<u32>> {
        let (shift, extents) = (chosen.shifts.get(n)?, &self.samples.extents);
        let from = |s: usize| {
            let x = decode(s, extents);
            (0..x.len()).fold(0, |site, mu| site * extents[mu] + (x[mu] + shift[mu]) % extents[mu]) as u32
        };
        Some((0..extents.iter().product()).map(from).collect())
    }

    /// Vector and lane of output number `j` (channel by channel) of sample `n` of a group.
    fn place(&self, n: usize, j: usize) -> (usize, usize) {
        let (channels, positions) = self.plan.output();
        let (c, s) = (j / positions, j % positions);
        if W == 1 { (s * channels + c, n) } else { (s * channels.div_ceil(W) + c / W, c % W) }
    }

    fn outputs(&self) -> usize {
        let (channels, positions) = self.plan.output();
        channels * positions
    }

    /// Outputs of the chosen samples one after another, channel by channel.
    pub fn predict(&self, chosen: Chosen<'_>) -> Result<Vec<f64>> {
        let parts = self.tasks(chosen.samples.len(), |range| {
            let (mut workspace, mut outputs) = (self.workspace(), Vec::new());
            for group in groups(range, Self::GROUP) {
                interrupt::poll()?;
                self.fill(chosen, &group, workspace.input());
                self.plan.run::<R, W>(&self.packed, &mut workspace);
                self.read(&workspace, group.len(), &mut outputs);
            }
            Ok(outputs)
        })?;
        Ok(parts.concat())
    }

    fn read(&self, workspace: &Workspace<R>, count: usize, outputs: &mut Vec<f64>) {
        let values = workspace.output(self.plan);
        for n in 0..count {
            outputs.extend((0..self.outputs()).map(|j| {
                let (vector, lane) = self.place(n, j);
                values[vector].lane(lane)
            }));
        }
    }

    fn target(&self, chosen: Chosen<'_>, n: usize) -> &[f64] {
        &self.samples.targets[chosen.samples[n] * self.outputs()..][..self.outputs()]
    }

    /// Mean of the loss over the chosen samples.
    pub fn loss(&self, chosen: Chosen<'_>, loss: &Loss) -> Result<f64> {
        let (width, mut sum) = (self.outputs(), 0.0);
        let mut slopes = vec![0.0; width];
        for (n, outputs) in self.predict(chosen)?.chunks_exact(width).enumerate() {
            sum += loss.at(outputs, self.target(chosen, n), &mut slopes)?;
        }
        Ok(sum / chosen.samples.len() as f64)
    }

    /// Mean of the loss over the chosen samples, and its derivatives with respect to the parameters.
    pub fn gradient(&self, chosen: Chosen<'_>, loss: &Loss) -> Result<(f64, Vec<f64>)> {
        let parts = self.tasks(chosen.samples.len(), |range| {
            let (mut sum, mut outputs, mut slopes) = (0.0, Vec::new(), vec![0.0; self.outputs() * Self::GROUP]);
            let gradient = self.reverse(chosen, range, None, |values, group, cotangent| {
                outputs.clear();
                self.read(values, group.len(), &mut outputs);
                let rows = outputs.chunks_exact(self.outputs()).zip(slopes.chunks_exact_mut(self.outputs()));
                for (n, (outputs, slopes)) in group.clone().zip(rows) {
                    sum += loss.at(outputs, self.target(chosen, n), slopes)?;
                }
                cotangent.extend_from_slice(&slopes[..group.len() * self.outputs()]);
                Ok(())
            })?;
            Ok((sum, gradient))
        })?;
        let weight = 1.0 / chosen.samples.len() as f64;
        let (mut sum, mut gradient) = (0.0, vec![0.0; self.plan.n_parameters()]);
        for (part, own) in parts {
            sum += part;
            gradient.iter_mut().zip(own).for_each(|(total, x)| *total += weight * x);
        }
        Ok((weight * sum, gradient))
    }

    /// Cotangents of the inputs and of the parameters (summed over samples) for those of the outputs.
    pub fn pullback(&self, chosen: Chosen<'_>, cotangents: &[f64]) -> Result<(Vec<f64>, Vec<f64>)> {
        let width = self.outputs();
        let parts = self.tasks(chosen.samples.len(), |range| {
            let mut inputs = Vec::new();
            let gradient = self.reverse(chosen, range, Some(&mut inputs), |_, group, cotangent| {
                cotangent.extend_from_slice(&cotangents[group.start * width..group.end * width]);
                Ok(())
            })?;
            Ok((inputs, gradient))
        })?;
        let (mut inputs, mut gradient) = (Vec::new(), vec![0.0; self.plan.n_parameters()]);
        for (own, part) in parts {
            inputs.extend(own);
            gradient.iter_mut().zip(part).for_each(|(total, x)| *total += x);
        }
        Ok((inputs, gradient))
    }

    /// Forward and reverse pass of a range of samples; `seed` writes the cotangents of the outputs of a group.
    fn reverse(
        &self,
        chosen: Chosen<'_>,
        range: std::ops::Range<usize>,
        mut inputs: Option<&mut Vec<f64>>,
        mut seed: impl FnMut(&Workspace<R>, &std::ops::Range<usize>, &mut Vec<f64>) -> Result<()>,
    ) -> Result<Vec<f64>> {
        let (mut workspace, mut gradients) = (self.workspace(), self.plan.gradients::<R, W>());
        let mut cotangent = Vec::new();
        for group in groups(range, Self::GROUP) {
            interrupt::poll()?;
            self.fill(chosen, &group, workspace.input());
            self.plan.run::<R, W>(&self.packed, &mut workspace);
            cotangent.clear();
            seed(&workspace, &group, &mut cotangent)?;
            self.seed(workspace.start_reverse(self.plan), group.len(), &cotangent);
            self.plan.pull::<R, W>(&self.packed, &mut workspace, Some(&mut gradients), inputs.is_some());
            if let Some(inputs) = &mut inputs {
                self.read_input(&workspace, group.len(), inputs);
            }
        }
        let mut sums = vec![0.0; self.plan.n_parameters()];
        self.plan.unpack::<R, W>(&gradients, |p, x, lane| {
            sums[p.number] += p.apply(if W == 1 { (0..R::LANES).map(|k| x.lane(k)).sum() } else { x.lane(lane) });
        });
        Ok(sums)
    }

    fn seed(&self, above: &mut [R], count: usize, cotangent: &[f64]) {
        let ((channels, positions), width) = (self.plan.output(), self.plan.output().0.div_ceil(W));
        for (n, x) in above.iter_mut().enumerate() {
            let (s, v) = (n / width, n % width);
            *x = R::from_lanes(|k| {
                let (sample, c) = if W == 1 { (k, v) } else { (0, v * W + k) };
                let is_there = sample < count && c < channels;
                if is_there { cotangent[(sample * channels + c) * positions + s] } else { 0.0 }
            });
        }
    }

    fn read_input(&self, workspace: &Workspace<R>, count: usize, inputs: &mut Vec<f64>) {
        let (values, (channels, positions)) = (workspace.input_cotangent(), self.plan.input());
        for n in 0..count {
            for c in 0..channels {
                inputs.extend((0..positions).map(|s| match W {
                    1 => values[s * channels + c].lane(n),
                    _ => values[s * channels.div_ceil(W) + c / W].lane(c % W),
                }));
            }
        }
    }
}

fn groups(range: std::ops::Range<usize>, size: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    range.clone().step_by(size).map(move |first| first..range.end.min(first + size))
}
