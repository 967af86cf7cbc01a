//! Models that are not gauge theories.

pub mod flux;
pub mod ising;
pub mod rbm;
pub mod spin_fermion;
