//! `plaq`: lattice field theory with learned maps. The rooms are listed in `docs/architecture.md`.

pub mod action;
pub mod any;
mod coloring;
pub mod dual;
pub mod error;
pub mod field;
pub mod gauge;
pub mod group;
pub mod interrupt;
pub mod io;
pub mod ising;
mod lanes;
pub mod lattice;
#[cfg(test)]
mod laws;
pub mod lcnn;
pub mod matrix;
pub mod nn;
pub mod observable;
pub mod path;
pub mod rbm;
pub mod real;
pub mod rng;
pub mod sampler;
pub mod scalar;
pub mod smear;
pub mod spin_fermion;

#[cfg(feature = "python")]
mod py;

pub use lanes::HugePages;

#[cfg(feature = "python")]
#[global_allocator]
static ALLOCATOR: HugePages = HugePages;

/// The instruction set that kernels run on: `"avx512"`, `"avx2"` or `"scalar"` (`PLAQ_SIMD` asks for a lower one).
pub fn instruction_set() -> &'static str {
    lanes::Isa::best().name()
}
