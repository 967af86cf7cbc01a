//! Expectation maximisation: with eta = 0 the machine is probabilistic PCA with noise 1/mu^2 (Tipping, Bishop 1999),
//! K^{-1} = 1/mu^2 + A A^T with A = (sigma/mu) W (mu^2 - sigma^2 W^T W)^{-1/2}; every step raises the likelihood and keeps K > 0.
//!
//! Plain EM moves the scale of a mode by a factor 1 - O(kappa/mu^2) a step, which is as stiff as gradient ascent. Its
//! parameter-expanded form (Liu, Rubin, Wu 1998) rescales the hidden units to their posterior second moment; both steps
//! together are A <- C A (M/mu^2 + A^T C A)^{-1/2} with M = 1/mu^2 + A^T A, and deviations fall by (kappa/mu^2)^2 a step.

use crate::error::{Error, Result};
use faer::linalg::triangular_solve::solve_lower_triangular_in_place;
use faer::{Mat, MatRef, Par, Side};

/// B f(eigenvalues of B^T B) in the eigenbasis V of B^T B, turned back by V^T.
fn map_right(b: MatRef<'_, f64>, f: impl Fn(f64) -> f64) -> Result<Mat<f64>> {
    let gram = b.transpose() * b;
    let eigen = gram.self_adjoint_eigen(Side::Lower).map_err(|e| Error::value(format!("EM step: {e:?}")))?;
    let mut turned = b * eigen.U();
    for a in 0..b.ncols() {
        let scale = f(eigen.S()[a].max(0.0));
        turned.col_mut(a).iter_mut().for_each(|x| *x *= scale);
    }
    Ok(turned * eigen.U().transpose())
}

/// One step for second moments `correlation`; returns the new weights.
pub fn step(weights: MatRef<'_, f64>, correlation: MatRef<'_, f64>, mu2: f64, s: f64) -> Result<Mat<f64>> {
    let a = map_right(weights, |xi2| (s / (mu2 * (mu2 - s * xi2))).sqrt())?;
    let ca = correlation * &a;
    let mut inner = a.transpose() * &ca + faer::Scale(1.0 / mu2) * (a.transpose() * &a);
    (0..inner.nrows()).for_each(|i| inner[(i, i)] += 1.0 / (mu2 * mu2));
    let factor = inner.llt(Side::Lower).map_err(|e| Error::value(format!("EM step: {e:?}")))?;
    let mut fresh = ca.transpose().to_owned();
    solve_lower_triangular_in_place(factor.L(), fresh.as_mut(), Par::Seq);
    map_right(fresh.transpose(), |alpha2| mu2 / (s * (1.0 + mu2 * alpha2)).sqrt())
}
