//! Maps one after another.

use crate::concept::{Configuration, Map, Number, Tape};
use crate::error::Result;

/// Whether the tapes of a stack of maps are kept for the reverse pass or made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// One field and one tape per layer are kept.
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

/// Input and tape of every layer.
struct Kept<Q> {
    inputs: Vec<Q>,
    tapes: Vec<Tape>,
}

impl<Q: Configuration> Stack<Q> {
    /// Every layer with its own parameters.
    fn each<'a>(&'a self, mut theta: &'a [f64]) -> impl Iterator<Item = (&'a dyn Map<Q>, &'a [f64])> + 'a {
        self.layers.iter().map(move |layer| {
            let (own, rest) = theta.split_at(layer.n_parameters());
            theta = rest;
            (&**layer, own)
        })
    }

    fn image(&self, theta: &[f64], q: &Q, layers: usize) -> Result<Q> {
        self.each(theta).take(layers).try_fold(q.clone(), |q, (layer, own)| layer.forward(own, &q))
    }

    fn keep(&self, theta: &[f64], q: &Q) -> Result<(Q, Kept<Q>)> {
        let (mut image, mut kept) = (q.clone(), Kept { inputs: Vec::new(), tapes: Vec::new() });
        for (layer, own) in self.each(theta) {
            let (next, tape) = layer.record(own, &image)?;
            kept.inputs.push(std::mem::replace(&mut image, next));
            kept.tapes.push(tape);
        }
        Ok((image, kept))
    }
}

impl<Q: Configuration + 'static> Map<Q> for Stack<Q> {
    fn n_parameters(&self) -> usize {
        self.layers.iter().map(|layer| layer.n_parameters()).sum()
    }

    fn forward(&self, theta: &[f64], q: &Q) -> Result<Q> {
        self.image(theta, q, self.layers.len())
    }

    fn record(&self, theta: &[f64], q: &Q) -> Result<(Q, Tape)> {
        match self.memory {
            Memory::Recompute => Ok((self.forward(theta, q)?, Tape::new(()))),
            Memory::Store => {
                let (image, kept) = self.keep(theta, q)?;
                Ok((image, Tape::new(kept)))
            }
        }
    }

    fn pullback(
        &self,
        theta: &[f64],
        q: &Q,
        tape: &Tape,
        cotangent: &Q::Tangent,
        mut gradient: Option<&mut [Number<Q>]>,
    ) -> Result<Q::Tangent> {
        let kept: Option<&Kept<Q>> = match self.memory {
            Memory::Store => Some(tape.get()?),
            Memory::Recompute => None,
        };
        let layers: Vec<_> = self.each(theta).collect();
        let (mut cotangent, mut end) = (cotangent.clone(), theta.len());
        for (l, (layer, own)) in layers.into_iter().enumerate().rev() {
            let start = end - own.len();
            let part = gradient.as_deref_mut().map(|gradient| &mut gradient[start..end]);
            cotangent = match kept {
                Some(kept) => layer.pullback(own, &kept.inputs[l], &kept.tapes[l], &cotangent, part)?,
                None => {
                    let input = self.image(theta, q, l)?;
                    let (_, tape) = layer.record(own, &input)?;
                    layer.pullback(own, &input, &tape, &cotangent, part)?
                }
            };
            end = start;
        }
        Ok(cotangent)
    }
}
