//! `plaq`: lattice field theory with learned maps. The rooms are listed in `docs/architecture.md`.

pub mod action;
pub mod any;
pub mod concept;
pub mod dirac;
pub mod error;
pub mod field;
pub mod gauge;
pub mod group;
pub mod interrupt;
pub mod io;
pub mod lattice;
pub mod lcnn;
pub mod map;
pub mod matrix;
pub mod memory;
pub mod model;
pub mod nn;
pub mod number;
pub mod observable;
pub mod random;
pub mod sampler;
pub mod scalar;
pub mod solver;
pub mod spins;

#[cfg(test)]
mod laws;

#[cfg(feature = "python")]
mod py;

pub use number::HugePages;

#[cfg(feature = "python")]
#[global_allocator]
static ALLOCATOR: HugePages = HugePages;

/// The instruction set that kernels run on: `"avx512"`, `"avx2"` or `"scalar"` (`PLAQ_SIMD` asks for a lower one).
pub fn instruction_set() -> &'static str {
    number::Isa::best().name()
}
