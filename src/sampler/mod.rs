//! Markov kernels: molecular dynamics with a Metropolis test, heatbath and overrelaxation.

pub mod heatbath;
pub mod hmc;
pub mod integrator;

pub use heatbath::{Heatbath, HeatbathInfo};
pub use hmc::{Hmc, HmcInfo};
pub use integrator::{INTEGRATORS, Integrator, Level};
