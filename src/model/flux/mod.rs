//! Complex scalar field at chemical potential in the flux representation without a sign problem (arXiv 1206.2954).

mod field;
mod open;
mod weights;
mod worm;

pub use field::{Flux, Link, Torus};
pub use open::open_worms;
pub use weights::Weights;
pub use worm::{Report, Worm, adapted};
