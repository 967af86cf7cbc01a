//! Masked link updates: changes of variables with log det, inverse and reverse pass.

mod jacobian;
mod layer;
mod mask;
mod network;
mod passes;
mod slice;
mod transformation;

pub use jacobian::MAX_N as MAX_TRANSFORMED;
pub use layer::MaskedLayer;
pub use mask::Pattern;
pub use network::CoefficientNetwork;
pub use transformation::Transformation;
