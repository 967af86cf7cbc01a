//! Actions: field -> real number, with value and force.

mod loops;

pub use loops::LoopAction;
