//! What a physicist composes: configurations, actions, maps, readouts, operators, each with the laws it is held to.

mod action;
mod configuration;
mod map;
mod operator;

pub use action::{Action, Auxiliary, Drawn, Effort, Objective, Recall, Sum, check_force, force, unused, value};
pub use configuration::{Configuration, Number, Tangent, kinetic};
pub use map::{Bijection, InverseInfo, Map, Readout, Tape, check_log_det, check_pullback};
pub use operator::{LinearOperator, Normal, check_adjoint};
