//! Dirac operators: Wilson, clover, twisted mass, staggered, domain walls, as a whole and in their even-odd form.

mod clover;
mod clover_force;
mod family;
pub mod gamma;
mod hermitian;
mod hopping;
mod stencil;
mod wall;

pub use clover_force::Slopes;
pub use family::{DiracSpec, Family, MOST_COLORS};
pub use hermitian::{Hermitian, MinusSquare};
pub use hopping::{Geometry, Hopping, Onto, Sums};
pub use stencil::{Diagonal, EvenOdd, LinkQuark, Quark, Stencil, Whole};
