//! Many configurations at once: outputs, and the mean squared error with its gradient, each configuration on one thread.

use super::Network;
use crate::any::{AnyGauge, with_gauge};
use crate::error::{Error, Result};
use crate::field;
use crate::gauge::GaugeField;
use crate::interrupt;
use crate::real::Real;
use std::sync::Arc;

/// Configurations between two looks at Ctrl-C; does not change results.
const GROUP: usize = 64;

/// A configuration and the outputs it should give.
#[derive(Clone)]
pub struct Sample {
    /// The configuration.
    pub field: Arc<AnyGauge>,
    /// Outputs in the order of [`super::Outputs::plain`].
    pub target: Vec<f64>,
}

fn splat<R: Real>(parameters: &[f64]) -> Vec<R> {
    parameters.iter().map(|&x| R::splat(x)).collect()
}

/// `work` for every item, in order.
fn each<T: Sync, V: Send>(items: &[T], work: &(dyn Fn(&T) -> Result<V> + Sync)) -> Result<Vec<V>> {
    let mut results = Vec::with_capacity(items.len());
    for group in items.chunks(GROUP) {
        interrupt::poll()?;
        let part = field::map(group.len(), |n| work(&group[n]));
        results.extend(part.into_iter().collect::<Result<Vec<V>>>()?);
    }
    Ok(results)
}

/// Outputs of every configuration.
pub fn predict(network: &Network, parameters: &[f64], fields: &[Arc<AnyGauge>]) -> Result<Vec<Vec<f64>>> {
    each(fields, &|field| with_gauge!(&**field, u => outputs(network, parameters, u)))
}

fn outputs<R: Real, const N: usize>(network: &Network, parameters: &[f64], u: &GaugeField<R, N>) -> Result<Vec<f64>> {
    Ok(network.forward(&splat::<R>(parameters), u)?.plain(u.lattice()))
}

/// Mean over configurations and outputs of (output - target)^2, and its derivative with respect to the parameters.
pub fn squared_error(network: &Network, parameters: &[f64], samples: &[&Sample]) -> Result<(f64, Vec<f64>)> {
    let parts = each(samples, &|sample| with_gauge!(&*sample.field, u => one(network, parameters, u, &sample.target)))?;
    let (mut loss, mut gradient) = (0.0, vec![0.0; parameters.len()]);
    let weight = 1.0 / samples.len().max(1) as f64;
    for (own, part) in parts {
        loss += weight * own;
        gradient.iter_mut().zip(part).for_each(|(sum, x)| *sum += weight * x);
    }
    Ok((loss, gradient))
}

fn one<R: Real<Total = f64>, const N: usize>(
    network: &Network,
    parameters: &[f64],
    u: &GaugeField<R, N>,
    target: &[f64],
) -> Result<(f64, Vec<f64>)> {
    let (mut loss, weight) = (0.0, 1.0 / target.len() as f64);
    let mut mismatch = Ok(());
    let gradients = network.pullback(&splat::<R>(parameters), u, false, |outputs| {
        let outputs = outputs.plain(u.lattice());
        mismatch = check_target(outputs.len(), target.len());
        let difference: Vec<f64> = outputs.iter().zip(target).map(|(y, t)| y - t).collect();
        loss = weight * difference.iter().map(|d| d * d).sum::<f64>();
        difference.iter().map(|d| 2.0 * weight * d).collect()
    });
    mismatch?;
    Ok((loss, gradients?.parameters))
}

/// The same mean without its derivative.
pub fn loss(network: &Network, parameters: &[f64], samples: &[Sample]) -> Result<f64> {
    let fields: Vec<_> = samples.iter().map(|sample| sample.field.clone()).collect();
    let mut sum = 0.0;
    for (output, sample) in predict(network, parameters, &fields)?.iter().zip(samples) {
        check_target(output.len(), sample.target.len())?;
        let squares = output.iter().zip(&sample.target).map(|(y, t)| (y - t) * (y - t));
        sum += squares.sum::<f64>() / output.len() as f64;
    }
    Ok(sum / samples.len().max(1) as f64)
}

fn check_target(outputs: usize, target: usize) -> Result<()> {
    match outputs == target {
        true => Ok(()),
        false => Err(Error::value(format!("target has {target} numbers; the network gives {outputs}"))),
    }
}
