//! `plaq`: lattice field theory with learned maps. The rooms are listed in `docs/architecture.md`.

pub mod error;
pub mod interrupt;
pub mod io;
pub mod rng;

#[cfg(feature = "python")]
mod py;
