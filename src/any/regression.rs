//! Many configurations at once: outputs, and the mean squared error with its gradient, each configuration on one thread.

use super::network::each;
use super::storage::{AnyGauge, Capability, with_gauge};
use crate::concept::Readout;
use crate::error::{Error, Result};
use crate::gauge::GaugeField;
use crate::lcnn::Network;
use crate::number::Real;
use std::sync::Arc;

/// A configuration and the outputs it should give.
#[derive(Clone)]
pub struct Sample {
    /// The configuration.
    pub field: Arc<AnyGauge>,
    /// Outputs in the order of [`crate::lcnn::Outputs::plain`].
    pub target: Vec<f64>,
}

/// Outputs of every configuration.
pub fn predict(network: &Network, parameters: &[f64], fields: &[Arc<AnyGauge>]) -> Result<Vec<Vec<f64>>> {
    each(fields.len(), &|n| with_gauge!(&*fields[n], u => outputs(network, parameters, u)))
}

fn outputs<R: Real<Total = f64>, const N: usize>(
    network: &Network,
    parameters: &[f64],
    u: &GaugeField<R, N>,
) -> Result<Vec<f64>> {
    if const { !Capability::Lcnn.of(N) } {
        return Err(Capability::Lcnn.missing(N));
    }
    Ok(network.record(parameters, u)?.0)
}

/// Mean over configurations and outputs of (output - target)^2, and its derivative with respect to the parameters.
pub fn squared_error(network: &Network, parameters: &[f64], samples: &[&Sample]) -> Result<(f64, Vec<f64>)> {
    let parts = each(
        samples.len(),
        &|n| with_gauge!(&*samples[n].field, u => one(network, parameters, u, &samples[n].target)),
    )?;
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
    if const { !Capability::Lcnn.of(N) } {
        return Err(Capability::Lcnn.missing(N));
    }
    let weight = 1.0 / target.len() as f64;
    let (outputs, tape) = network.record(parameters, u)?;
    check_target(outputs.len(), target.len())?;
    let difference: Vec<f64> = outputs.iter().zip(target).map(|(y, t)| y - t).collect();
    let loss = weight * difference.iter().map(|d| d * d).sum::<f64>();
    let cotangent: Vec<f64> = difference.iter().map(|d| 2.0 * weight * d).collect();
    let mut gradient = vec![0.0; parameters.len()];
    network.pullback(parameters, u, &tape, &cotangent, None, Some(&mut gradient))?;
    Ok((loss, gradient))
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
