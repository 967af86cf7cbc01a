//! Markov kernels: molecular dynamics with a Metropolis test, heatbath and overrelaxation.

pub mod any;
pub mod heatbath;
pub mod hmc;
pub mod integrator;

pub use any::{AnySampler, SamplerSpec};
pub use heatbath::{Heatbath, HeatbathInfo};
pub use hmc::{Hmc, HmcInfo};
pub use integrator::{INTEGRATORS, Integrator, Level};
