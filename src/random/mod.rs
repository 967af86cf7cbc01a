//! Random numbers by counters: functions of (seed, purpose, sweep, site, draw).

pub mod array;
mod draws;
mod philox;
mod stream;
mod words;

pub use crate::number::open_unit;
pub use draws::Draws;
pub use philox::philox4x32;
pub use stream::{Purpose, SiteRng, Stream};
pub use words::{Blocks, Trial};
