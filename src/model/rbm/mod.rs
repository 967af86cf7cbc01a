//! Restricted Boltzmann machines p(v, h) ~ exp(v^T W h + ...) with Gaussian, binary or spin units (arXiv 2309.15002).

mod em;
mod ensemble;
mod exact;
mod gibbs;
mod layer;
mod model;
mod record;
mod train;

pub use ensemble::{Ensemble, run_ensemble};
pub use exact::{CorrelationBasis, Kernel};
pub use gibbs::{Kick, sample};
pub use layer::{Float, Layer, Units};
pub use model::Model;
pub use record::Record;
pub use train::{Mass, Method, Settings, Target, Trainer, TrainerState};
