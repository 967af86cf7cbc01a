//! Smearing: maps from link fields to link fields that commute with gauge transformations.
//!
//! A [`Map`] knows its reverse pass in the Lie algebra: for U' = map(U) and U -> exp(delta) U, it takes F' with
//! dS = <F', delta'> to F with dS = <F, delta>, and to dS/dtheta.

mod attention;
mod blocked;
mod flow;
mod mapped;
pub mod objective;
mod staples;
mod stout;

pub use attention::AttentionLayer;
pub use blocked::{ape, hyp};
pub use flow::{Flow, FlowStep};
pub use mapped::Mapped;
#[cfg(test)]
pub(crate) use stout::along_parameter;
pub(crate) use stout::pull_exponential;
pub use stout::{StoutLayer, StoutTerm, displaced};

use crate::action::Configuration;
use crate::error::Result;

/// A differentiable map of a field to a field of the same kind, with parameters.
pub trait Map<Q: Configuration>: Send + Sync {
    /// The image of `q`.
    fn forward(&self, q: &Q) -> Result<Q>;
    /// Cotangent at the image to cotangent at `q`, and derivative with respect to the parameters.
    fn pullback(&self, q: &Q, cotangent: &Q::Momenta) -> Result<(Q::Momenta, Vec<Q::Number>)>;
    /// The cotangent at `q` alone, which is what a force needs.
    fn cotangent(&self, q: &Q, cotangent: &Q::Momenta) -> Result<Q::Momenta> {
        Ok(self.pullback(q, cotangent)?.0)
    }
    /// The parameters.
    fn parameters(&self) -> Vec<f64>;
    /// Sets the parameters.
    fn set_parameters(&mut self, parameters: &[f64]);
}

/// Whether intermediate fields of a stack of maps are kept for the reverse pass or computed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// One field per layer is kept.
    Store,
    /// Only the input is kept; layer l runs again for every layer above it.
    Recompute,
}

/// Maps one after another.
pub struct Stack<Q> {
    /// The maps, the first is applied first.
    pub layers: Vec<Box<dyn Map<Q>>>,
    /// How the reverse pass treats intermediate fields.
    pub memory: Memory,
}

impl<Q: Configuration> Stack<Q> {
    fn image(&self, q: &Q, layers: usize) -> Result<Q> {
        self.layers[..layers].iter().try_fold(q.clone(), |q, layer| layer.forward(&q))
    }

    /// The inputs of all layers and the output of the last.
    fn images(&self, q: &Q) -> Result<Vec<Q>> {
        let mut images = vec![q.clone()];
        for layer in &self.layers {
            let next = layer.forward(&images[images.len() - 1])?;
            images.push(next);
        }
        Ok(images)
    }

    /// Takes a cotangent through all layers, the last one first; `step(layer, its input, cotangent)`.
    fn reverse(
        &self,
        q: &Q,
        cotangent: &Q::Momenta,
        mut step: impl FnMut(&dyn Map<Q>, &Q, &Q::Momenta) -> Result<Q::Momenta>,
    ) -> Result<Q::Momenta> {
        let stored = match self.memory {
            Memory::Store => Some(self.images(q)?),
            Memory::Recompute => None,
        };
        let mut cotangent = q.copy_momenta(cotangent);
        for (l, layer) in self.layers.iter().enumerate().rev() {
            cotangent = match &stored {
                Some(images) => step(&**layer, &images[l], &cotangent)?,
                None => step(&**layer, &self.image(q, l)?, &cotangent)?,
            };
        }
        Ok(cotangent)
    }
}

impl<Q: Configuration> Map<Q> for Stack<Q> {
    fn forward(&self, q: &Q) -> Result<Q> {
        self.image(q, self.layers.len())
    }

    fn pullback(&self, q: &Q, cotangent: &Q::Momenta) -> Result<(Q::Momenta, Vec<Q::Number>)> {
        let mut gradients = Vec::new();
        let below = self.reverse(q, cotangent, |layer, image, cotangent| {
            let (below, gradient) = layer.pullback(image, cotangent)?;
            gradients.push(gradient);
            Ok(below)
        })?;
        Ok((below, gradients.into_iter().rev().flatten().collect()))
    }

    fn cotangent(&self, q: &Q, cotangent: &Q::Momenta) -> Result<Q::Momenta> {
        self.reverse(q, cotangent, |layer, image, cotangent| layer.cotangent(image, cotangent))
    }

    fn parameters(&self) -> Vec<f64> {
        self.layers.iter().flat_map(|layer| layer.parameters()).collect()
    }

    fn set_parameters(&mut self, mut parameters: &[f64]) {
        for layer in &mut self.layers {
            let (own, rest) = parameters.split_at(layer.parameters().len());
            layer.set_parameters(own);
            parameters = rest;
        }
    }
}
