//! Solvers of linear systems: they know operators and flat vectors, not groups or spins.

mod bicgstab;
mod cg;
mod deflation;
mod info;
mod lanczos;
mod rational;
mod solve;

pub use cg::{multishift, worst};
pub use deflation::Deflation;
pub use info::{SolveInfo, SolveParams};
pub use lanczos::{Eigen, EigenParams, eigenvalues};
pub use rational::{BEST_ACCURACY, Rational};
pub use solve::{Beside, Method, Single, multishift_through, solve, solve_through, solve_with};
