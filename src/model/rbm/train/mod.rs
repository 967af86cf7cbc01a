//! Training of restricted Boltzmann machines (sec. III of arXiv 2309.15002).

mod averages;
mod phases;
mod positivity;
mod settings;
mod trainer;
mod update;

pub use settings::{Mass, Method, Settings, Target, TrainerState};
pub use trainer::Trainer;
