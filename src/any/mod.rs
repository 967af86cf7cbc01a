//! What is only known at run time: the group, the storage, and which actions, maps and samplers were asked for.

mod action;
mod cache;
pub mod compile;
mod convolution;
mod dirac;
mod gauge;
mod network;
pub mod regression;
mod sampler;
pub mod spec;
mod storage;
mod transformation;

pub use action::{AnyAction, KeptForce};
pub use convolution::AnyConvolution;
pub use dirac::{AnyDirac, SolveOptions, Solved, Spectrum, SpectrumOf, bind};
pub use network::AnyNetwork;
pub use sampler::{AnySampler, Info};
#[cfg(feature = "python")]
pub(crate) use storage::with_gauge;
pub use storage::{AnyGauge, Capability};
pub use transformation::{AnyTransformation, staples};
