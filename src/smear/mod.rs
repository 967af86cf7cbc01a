//! Smearing: maps from link fields to link fields that commute with gauge transformations.
//!
//! A [`Map`] knows its reverse pass in the Lie algebra: for U' = map(U) and U -> exp(delta) U, it takes F' with
//! dS = <F', delta'> to F with dS = <F, delta>, and to dS/dtheta.

mod blocked;
mod flow;
mod mapped;
mod stout;

pub use blocked::{ape, hyp};
pub use flow::{Flow, FlowStep};
pub use mapped::Mapped;
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
}

impl<Q: Configuration> Map<Q> for Stack<Q> {
    fn forward(&self, q: &Q) -> Result<Q> {
        self.image(q, self.layers.len())
    }

    fn pullback(&self, q: &Q, cotangent: &Q::Momenta) -> Result<(Q::Momenta, Vec<Q::Number>)> {
        let stored = match self.memory {
            Memory::Store => Some(self.images(q)?),
            Memory::Recompute => None,
        };
        let mut cotangent = q.copy_momenta(cotangent);
        let mut gradients = Vec::new();
        for (l, layer) in self.layers.iter().enumerate().rev() {
            let (down, gradient) = match &stored {
                Some(images) => layer.pullback(&images[l], &cotangent)?,
                None => layer.pullback(&self.image(q, l)?, &cotangent)?,
            };
            cotangent = down;
            gradients.push(gradient);
        }
        Ok((cotangent, gradients.into_iter().rev().flatten().collect()))
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
