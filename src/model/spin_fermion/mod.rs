//! The O(3) spin-fermion model: exact weights, effective models and the Markov chains between them.

mod architecture;
mod attention;
mod effective;
mod eigen;
mod exact;
mod hamiltonian;
mod lattice;
mod local;
mod network;
mod passes;
mod planar;
mod poles;
mod resolvent;
mod self_learning;
mod train;
mod trajectories;

pub use architecture::{Architecture, Block};
pub use effective::{Effective, Linear};
pub use exact::{ExactInfo, ExactMetropolis, ExactPlan};
pub use hamiltonian::SpinFermion;
pub use lattice::{Shell, Shells, Spin, SpinLattice, dot, flatten, random_spins, uniform_direction};
pub use local::{Rule, linear_chain, metropolis_chain};
pub use network::Network;
pub use passes::Workspace;
pub use self_learning::{OuterInfo, Proposer, outer_step};
pub use train::{Samples, residuals, train};
pub use trajectories::{Trajectories, network_hmc, run_trajectories};
