//! Conjugate gradients for Hermitian positive operators (Hestenes, Stiefel 1952), any number of columns at once, each stopped at its own
//! residual; and several shifts of one operator (Jegerlehner, hep-lat/9612014).

use super::info::{SolveInfo, SolveParams};
use crate::concept::LinearOperator;
use crate::error::Result;
use crate::field::{self, Vector};
use crate::interrupt;
use crate::number::Real;

/// Improves `x` from its residual `r` until the recursion has |r|^2 <= `goals` in every column; `r` is used up.
///
/// Ends early, without an error, where the iterations are used up, or where the operator turns out not to be positive.
pub(super) fn iterate<R: Real<Total = f64>>(
    a: &dyn LinearOperator<R>,
    r: &mut Vector<R>,
    x: &mut Vector<R>,
    goals: &[f64],
    scales: &[f64],
    max_iterations: usize,
) -> Result<SolveInfo> {
    let mut info = SolveInfo::default();
    let (mut p, mut ap) = (r.clone(), Vector::zero(&r.space));
    let mut rr = r.norms();
    let open = |rr: &[f64]| rr.iter().zip(goals).any(|(rr, goal)| rr > goal);
    while open(&rr) && info.iterations < max_iterations {
        interrupt::poll()?;
        let pap = a.apply_and_inner(&p, &mut ap);
        interrupt::poll()?;
        let moves = |n: usize| rr[n] > goals[n] && pap[n] > 0.0;
        if !(0..rr.len()).any(moves) {
            break;
        }
        let alpha: Vec<_> = (0..rr.len()).map(|n| if moves(n) { rr[n] / pap[n] } else { 0.0 }).collect();
        let next = r.add_and_norms(&alpha.iter().map(|a| -a).collect::<Vec<_>>(), &ap);
        let beta: Vec<_> = next.iter().zip(&rr).map(|(next, rr)| if *rr > 0.0 { next / rr } else { 0.0 }).collect();
        x.step_along(&alpha, &mut p, &beta, 1.0, r);
        rr = next;
        info.iterations += 1;
        info.history.push(worst(&rr, scales));
    }
    info.applications = info.iterations;
    Ok(info)
}

/// The largest relative residual; NaN if one is.
pub fn worst(squares: &[f64], scales: &[f64]) -> f64 {
    let ratio = |(square, scale): (&f64, &f64)| if *scale > 0.0 { (square / scale).sqrt() } else { 0.0 };
    squares.iter().zip(scales).map(ratio).fold(0.0, |a, b| if b > a || b.is_nan() { b } else { a })
}

/// Solves (A + shift) x = b for all shifts with the applications of one solve; A + the smallest shift is positive.
///
/// `x[k]` starts at zero. Residuals are those of the recursion: the caller checks what it needs.
pub fn multishift<R: Real<Total = f64>>(
    a: &dyn LinearOperator<R>,
    b: &Vector<R>,
    shifts: &[f64],
    params: SolveParams,
) -> Result<(Vec<Vector<R>>, SolveInfo)> {
    field::inside_for::<R, _, _>(&b.values, b.space.width(), || all_shifts(a, b, shifts, params))
}

fn all_shifts<R: Real<Total = f64>>(
    a: &dyn LinearOperator<R>,
    b: &Vector<R>,
    shifts: &[f64],
    params: SolveParams,
) -> Result<(Vec<Vector<R>>, SolveInfo)> {
    let mut info = SolveInfo::default();
    // The directions of the smallest shift are those of the recursion.
    let Some(main) = (0..shifts.len()).min_by(|&j, &k| shifts[j].total_cmp(&shifts[k])) else {
        return Ok((Vec::new(), info));
    };
    let base = shifts[main];
    let offsets: Vec<f64> = shifts.iter().map(|shift| shift - base).collect();
    let mut x: Vec<_> = shifts.iter().map(|_| Vector::zero(&b.space)).collect();
    let scale: f64 = b.norm2();
    if scale == 0.0 {
        return Ok((x, info));
    }
    let goal = scale * params.tolerance * params.tolerance;
    let (mut r, mut ap) = (b.clone(), Vector::zero(&b.space));
    let mut p: Vec<_> = shifts.iter().map(|_| b.clone()).collect();
    // zeta of this and of the last iteration for each shift; alpha and beta of the last iteration.
    let (mut zeta, mut last) = (vec![1.0f64; shifts.len()], vec![1.0f64; shifts.len()]);
    let (mut rr, mut alpha_last, mut beta_last) = (scale, 1.0, 0.0);
    // The Lanczos matrix of A + base, from the coefficients of CG.
    let (mut diagonal, mut beside) = (Vec::new(), Vec::new());
    while rr > goal {
        if info.iterations >= params.max_iterations {
            info.residual = (rr / scale).sqrt();
            return Err(super::info::not_converged("multi-shift CG", "no iterations left", params, info));
        }
        interrupt::poll()?;
        a.apply(&p[main], &mut ap);
        ap.axpy(base, &p[main]);
        let alpha = rr / p[main].inner(&ap).re;
        if !(alpha > 0.0 && alpha.is_finite()) {
            info.residual = (rr / scale).sqrt();
            return Err(super::info::not_converged("multi-shift CG", "the operator is not positive", params, info));
        }
        let next = r.add_and_norms(&[-alpha], &ap)[0];
        let beta = next / rr;
        diagonal.push(1.0 / alpha + if diagonal.is_empty() { 0.0 } else { beta_last / alpha_last });
        beside.push(beta.sqrt() / alpha);
        for k in 0..shifts.len() {
            // Terms that have converged far below the rest stay where they are.
            if zeta[k].abs() * (rr / scale).sqrt() < params.tolerance * 1e-3 {
                continue;
            }
            let (d, z, z_last) = (offsets[k], zeta[k], last[k]);
            let ratio = 1.0 / (1.0 + alpha * d + alpha * beta_last / alpha_last * (1.0 - z / z_last));
            let z_next = z * ratio;
            let alpha_k = alpha * ratio;
            let beta_k = beta * ratio * ratio;
            x[k].step_along(&[alpha_k], &mut p[k], &[beta_k], z_next, &r);
            (last[k], zeta[k]) = (z, z_next);
        }
        (rr, alpha_last, beta_last) = (next, alpha, beta);
        info.iterations += 1;
        info.history.push((rr / scale).sqrt());
    }
    info.applications = info.iterations;
    info.residual = (rr / scale).sqrt();
    info.spectrum = Some(ends(&diagonal, &beside).map(|end| end - base));
    Ok((x, info))
}

/// Smallest and largest eigenvalue of a symmetric tridiagonal matrix, by bisection of Sturm sequences.
fn ends(diagonal: &[f64], beside: &[f64]) -> [f64; 2] {
    let n = diagonal.len();
    let row = |i: usize| if i == 0 { 0.0 } else { beside[i - 1].abs() } + if i + 1 < n { beside[i].abs() } else { 0.0 };
    let low = (0..n).map(|i| diagonal[i] - row(i)).fold(f64::INFINITY, f64::min);
    let high = (0..n).map(|i| diagonal[i] + row(i)).fold(f64::NEG_INFINITY, f64::max);
    let below = |x: f64| {
        let (mut count, mut pivot) = (0, 1.0);
        for i in 0..n {
            let coupling = if i == 0 { 0.0 } else { beside[i - 1] * beside[i - 1] / pivot };
            pivot = diagonal[i] - x - coupling;
            if pivot == 0.0 {
                pivot = f64::MIN_POSITIVE;
            }
            count += usize::from(pivot < 0.0);
        }
        count
    };
    let bisect = |wanted: usize| {
        let (mut a, mut b) = (low, high);
        for _ in 0..60 {
            let middle = 0.5 * (a + b);
            if below(middle) < wanted { a = middle } else { b = middle }
        }
        0.5 * (a + b)
    };
    [bisect(1), bisect(n)]
}
