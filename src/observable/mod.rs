//! Observables of gauge fields: closed loops, topological charge, energy density.

pub mod loops;
pub mod topology;
