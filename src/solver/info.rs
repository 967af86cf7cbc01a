//! What a solve is asked for, what it cost and how it ended.

use crate::error::Error;

/// What a solve is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SolveParams {
    /// |b - A x| <= tolerance |b| for every column.
    pub tolerance: f64,
    /// Most iterations.
    pub max_iterations: usize,
}

/// How a solve ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SolveInfo {
    /// Iterations.
    pub iterations: usize,
    /// Applications of the operator, or of its adjoint.
    pub applications: usize,
    /// |b - A x| / |b| of the worst column, of the solution that is returned.
    pub residual: f64,
    /// Relative residual of the worst column after each iteration, as the recursion has it.
    pub history: Vec<f64>,
    /// Smallest and largest eigenvalue that multi-shift CG saw (its Ritz values).
    pub spectrum: Option<[f64; 2]>,
}

impl SolveInfo {
    /// Adds what another part of the solve cost.
    pub fn add(&mut self, part: Self) {
        self.iterations += part.iterations;
        self.applications += part.applications;
        self.history.extend(part.history);
    }
}

/// What a user can do about a solve that did not converge.
const REMEDY: &str = "try a larger tolerance or max_iterations, a heavier quark, or another method";

/// No convergence.
pub(super) fn not_converged(method: &str, why: &str, params: SolveParams, info: SolveInfo) -> Error {
    let message = format!(
        "{method} reached a relative residual of {:.3e} after {} iterations, {:.3e} is asked for: {why}; {REMEDY}",
        info.residual, info.iterations, params.tolerance
    );
    Error::Convergence { message, history: info.history, best: None }
}
