//! Periodic lattices, their block layout, colourings, and closed loops as data and as programs.

pub mod coloring;
#[expect(clippy::module_inception, reason = "the room is called after its main type")]
mod lattice;
mod neighbor;
pub mod path;
pub mod program;

pub use coloring::Coloring;
pub use lattice::{Displacement, Lattice, MAX_DIMENSIONS, Neighbor, Shift, SiteOrder, Sites, check_extents};
pub use neighbor::Lanes;
pub use path::{Path, WeightedPath};
pub use program::Program;
