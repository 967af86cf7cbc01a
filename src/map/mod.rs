//! Smearing: maps from link fields to link fields that commute with gauge transformations.

mod attention;
mod blocked;
mod flow;
pub mod force_size;
mod masked;
pub mod objective;
mod stack;
mod staples;
mod stout;

pub use attention::{AttentionLayer, Form};
pub use blocked::BlockedLayer;
pub use flow::{Flow, FlowStep};
pub use masked::{CoefficientNetwork, MAX_TRANSFORMED, MaskedLayer, Pattern, Transformation};
pub use stack::{Memory, Stack};
#[cfg(test)]
pub(crate) use stout::along_parameter;
pub(crate) use stout::pull_exponential;
pub use stout::{StoutLayer, StoutTerm, displaced};
