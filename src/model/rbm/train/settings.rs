//! What a training run learns, by which method and with which numbers, and the state that it can be stopped in.

use crate::nn::Schedule;

/// What the machine learns.
#[derive(Debug, Clone)]
pub enum Target<R> {
    /// Rows of visible configurations, taken in shuffled minibatches of this size.
    Data(Vec<R>, usize),
    /// Second moments (row-major) and means of the target.
    Moments(Vec<f64>, Vec<f64>),
}

/// How the model average of the gradient is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Cholesky.
    Exact,
    /// Expectation maximisation instead of a gradient.
    Em,
    /// k Gibbs steps from the data.
    Cd(usize),
    /// k Gibbs steps of this many persistent chains.
    Pcd(usize, usize),
}

/// Is the mass trained, and as one number or one a site?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mass {
    /// Kept.
    Fixed,
    /// One mass, gradient -mu sum_i [<phi_i^2>_target - <phi_i^2>_model].
    Global,
    /// One mass a site.
    Local,
}

/// All numbers of a training run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Negative phase.
    pub method: Method,
    /// Step size.
    pub learning_rate: f64,
    /// beta of the running mean of gradients.
    pub momentum: f64,
    /// W loses `learning_rate * weight_decay * W` a step.
    pub weight_decay: f64,
    /// The step size is multiplied by this ...
    pub decay: f64,
    /// ... after every so many epochs.
    pub decay_every: u64,
    /// Further factor of the step size, a function of the epoch.
    pub schedule: Schedule,
    /// Trained masses.
    pub mass: Mass,
    /// Train the visible biases.
    pub train_visible: bool,
    /// Train the hidden biases (eta of Gaussian units).
    pub train_hidden: bool,
    /// Halve a step that would make K lose positivity instead of failing.
    pub safe: bool,
    /// Seed of minibatches and chains.
    pub seed: u64,
}

/// Everything that changes along a run.
#[derive(Debug, Clone)]
pub struct TrainerState<R> {
    /// Weights in the training basis.
    pub weights: Vec<R>,
    /// Running mean of weight gradients.
    pub velocity: Vec<R>,
    /// Biases and masses: visible bias, hidden bias, visible mu.
    pub small: [Vec<f64>; 3],
    /// Their running gradients.
    pub small_velocity: [Vec<f64>; 3],
    /// Visible rows of the persistent chains.
    pub chains: Vec<R>,
    /// Hidden rows of the persistent chains.
    pub chains_hidden: Vec<R>,
    /// Finished epochs.
    pub epoch: u64,
    /// Minibatches done in this epoch.
    pub position: u64,
    /// Half steps drawn.
    pub draws: u64,
    /// Steps halved to keep K positive.
    pub backtracks: u64,
}
