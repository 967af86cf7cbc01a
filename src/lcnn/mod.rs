//! Lattice gauge equivariant convolutional networks (Favoni, Ipp, Mueller and Schuh, arXiv 2012.12901).
//!
//! The state is links U and channels of site matrices W_i(x) that transform as W -> Omega(x) W Omega(x)^dagger. A layer maps
//! (U, W) to (U, W); the trace makes invariant numbers. Cotangents of matrices are Wbar with dS = Re tr(Wbar^dagger dW); those
//! of links are F with dS = <F, delta> for U -> exp(delta) U, as everywhere.

mod bilinear;
mod exponential;
mod input;
#[cfg(test)]
mod laws;
mod layer;
mod network;
mod pointwise;
mod wires;

pub use layer::{Function, Layer, Parameter, Signal};
pub use network::{Gradients, Kept, Network, Outputs};
