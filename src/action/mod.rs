//! Actions of gauge and other fields.

mod loops;
mod mapped;
mod pseudofermion;
mod readout;
mod scaled;
mod supplied;
mod transformed;

pub use loops::LoopAction;
pub(crate) use loops::{kick, scratch};
pub use mapped::Mapped;
pub use pseudofermion::{Accuracy, Pseudofermion, check_quarks};
pub use readout::ReadoutAction;
pub use scaled::Scaled;
pub use supplied::{FieldFunction, Supplied};
pub use transformed::Transformed;
