//! Markov kernels: molecular dynamics with a Metropolis test, heatbath and overrelaxation.

pub mod heatbath;
pub mod hmc;
pub mod integrator;

pub use heatbath::{Heatbath, HeatbathInfo};
pub use hmc::{ForceSize, Hmc, HmcInfo, Lesson, OnFailure, Role, Term};
pub use integrator::{Dynamics, INTEGRATORS, Integrator, Level};
