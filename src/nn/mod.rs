//! Training of networks whose parameters are one flat slice of `f64`: update rules and learning-rate schedules.

mod optimizer;

pub use optimizer::{Optimizer, Rule, Schedule, State};
