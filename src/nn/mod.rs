//! Networks whose parameters are one flat slice of `f64`: update rules, and convolutional networks on periodic lattices.

mod activation;
mod batch;
mod conv;
mod layer;
mod loss;
mod optimizer;
mod passes;
mod pool;
mod sequential;
mod sites;
mod symmetry;
mod window;

#[cfg(test)]
mod laws;

pub use activation::Activation;
pub use batch::{Batch, Chosen, Numbers, Samples};
pub use layer::{Layer, Parameter, Pooling, check_symmetry, flat, initial};
pub use loss::Loss;
pub use optimizer::{Optimizer, Rule, Schedule, State};
pub use passes::{Gradients, Packed, Workspace};
pub use sequential::Plan;
pub use sites::{FieldNetwork, Record};
pub use symmetry::{Field, Fields, Group, Place, Symmetry};
