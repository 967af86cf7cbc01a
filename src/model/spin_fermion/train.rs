//! Mean square regression of log W by a network: mini-batches, reverse pass, optimiser; the same bits for any thread count.

use super::lattice::Spin;
use super::network::Network;
use crate::error::{Error, Result};
use crate::field;
use crate::nn::Optimizer;
use crate::random::{Purpose, Stream};
use rand::seq::SliceRandom;

/// Configurations whose gradients are summed one after another; the unit of parallel work.
const CHUNK: usize = 16;

/// Configurations with their exact log weights.
#[derive(Debug, Clone)]
pub struct Samples {
    spins: Vec<Spin>,
    targets: Vec<f64>,
    sites: usize,
}

impl Samples {
    /// `spins` holds one configuration after another.
    pub fn new(spins: Vec<Spin>, targets: Vec<f64>) -> Result<Self> {
        if targets.is_empty() || !spins.len().is_multiple_of(targets.len()) {
            let text = format!("{} spins and {} log weights", spins.len(), targets.len());
            return Err(Error::value(format!("{text}: give one log weight a configuration, and at least one")));
        }
        if let Some(bad) = targets.iter().position(|t| !t.is_finite()) {
            let text = format!("log_weight[{bad}] = {}", targets[bad]);
            return Err(Error::value(format!("{text}: training needs finite targets")));
        }
        let sites = spins.len() / targets.len();
        Ok(Self { spins, targets, sites })
    }

    /// Number of configurations.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether there is none (never).
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    fn get(&self, k: usize) -> (&[Spin], f64) {
        (&self.spins[k * self.sites..(k + 1) * self.sites], self.targets[k])
    }
}

/// `log W_eff - log W` for every configuration.
pub fn residuals(network: &Network, samples: &Samples) -> Vec<f64> {
    let indices: Vec<usize> = (0..samples.len()).collect();
    let chunk = |chunk: &[usize]| {
        let mut work = network.workspace();
        let residual = |&k: &usize| network.forward(samples.get(k).0, &mut work) - samples.get(k).1;
        chunk.iter().map(residual).collect::<Vec<f64>>()
    };
    in_chunks(&indices, chunk).concat()
}

fn in_chunks<T: Send>(indices: &[usize], work: impl Fn(&[usize]) -> T + Sync) -> Vec<T> {
    let chunks: Vec<&[usize]> = indices.chunks(CHUNK).collect();
    field::map(chunks.len(), |n| work(chunks[n]))
}

/// Mean square error over `batch`, with its gradient.
fn loss_and_gradient(network: &Network, samples: &Samples, batch: &[usize]) -> (f64, Vec<f64>) {
    let chunk = |chunk: &[usize]| {
        let mut work = network.workspace();
        let (mut loss, mut gradient) = (0.0, vec![0.0; network.parameters.len()]);
        for &k in chunk {
            let (spins, target) = samples.get(k);
            let residual = network.backward(spins, &mut work) - target;
            loss += residual * residual;
            for (g, d) in gradient.iter_mut().zip(&work.gradient) {
                *g += 2.0 * residual * d;
            }
        }
        (loss, gradient)
    };
    let parts = in_chunks(batch, chunk);
    let scale = 1.0 / batch.len() as f64;
    let mut gradient = vec![0.0; network.parameters.len()];
    for (_, part) in &parts {
        gradient.iter_mut().zip(part).for_each(|(g, p)| *g += scale * p);
    }
    (parts.iter().map(|p| p.0).sum::<f64>() * scale, gradient)
}

/// Configurations of step `step`: consecutive pieces of a new permutation every epoch, or all in order.
fn batch_of(step: u64, batch: usize, count: usize, seed: u64) -> Vec<usize> {
    if batch >= count {
        return (0..count).collect();
    }
    let per_epoch = (count / batch).max(1) as u64;
    let mut rng = Stream::new(seed, Purpose::Batches, step / per_epoch).site(0);
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut rng);
    let start = (step % per_epoch) as usize * batch;
    order[start..(start + batch).min(count)].to_vec()
}

/// Steps `optimizer.state().step .. until`; returns the loss of every batch.
///
/// The optimiser sees the constant relative to the mean target, so that weight decay pulls it there and not to zero.
pub fn train(
    network: &mut Network,
    samples: &Samples,
    optimizer: &mut Optimizer,
    until: u64,
    batch: usize,
    seed: u64,
) -> Result<Vec<f64>> {
    if batch == 0 {
        return Err(Error::value("batch = 0: give at least one configuration a step"));
    }
    let last = network.parameters.len() - 1;
    let centre = samples.targets.iter().sum::<f64>() / samples.len() as f64;
    let mut losses = Vec::new();
    for step in optimizer.state().step..until {
        crate::interrupt::poll()?;
        let chosen = batch_of(step, batch.min(samples.len()), samples.len(), seed);
        let (loss, gradient) = loss_and_gradient(network, samples, &chosen);
        if !loss.is_finite() {
            let text = format!("the loss is {loss} at step {step}");
            return Err(Error::value(format!("{text}: lower the learning rate and start from finite parameters")));
        }
        network.parameters[last] -= centre;
        let moved = optimizer.update(&mut network.parameters, &gradient);
        network.parameters[last] += centre;
        moved?;
        losses.push(loss);
    }
    Ok(losses)
}
