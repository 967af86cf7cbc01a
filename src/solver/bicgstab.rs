//! BiCGStab (van der Vorst 1992) for operators that are not Hermitian, any number of columns at once.

use super::cg::worst;
use super::info::SolveInfo;
use crate::concept::LinearOperator;
use crate::error::Result;
use crate::field::Vector;
use crate::interrupt;
use crate::number::Real;
use num_complex::Complex64;

/// sum conj(x) y of every column of some pairs.
fn inners<R: Real<Total = f64>, const K: usize>(pairs: [[&Vector<R>; 2]; K]) -> [Vec<Complex64>; K] {
    Vector::inners(pairs).map(|sums| sums.into_iter().map(Complex64::from).collect())
}

/// a / b, zero where that says nothing.
fn ratio(a: &[Complex64], b: &[Complex64]) -> Vec<Complex64> {
    let divide = |(a, b): (&Complex64, &Complex64)| if b.norm_sqr() > 0.0 { a / b } else { Complex64::ZERO };
    a.iter().zip(b).map(divide).collect()
}

fn minus(a: &[Complex64]) -> Vec<Complex64> {
    a.iter().map(|a| -a).collect()
}

/// Improves `x` from its residual `r` until |r|^2 <= `goals` in every column; ends early where it breaks down.
pub(super) fn iterate<R: Real<Total = f64>>(
    a: &dyn LinearOperator<R>,
    r: &mut Vector<R>,
    x: &mut Vector<R>,
    goals: &[f64],
    scales: &[f64],
    max_iterations: usize,
) -> Result<SolveInfo> {
    let mut info = SolveInfo::default();
    let shadow = r.clone();
    let (mut p, mut v, mut t) = (r.clone(), Vector::zero(&r.space), Vector::zero(&r.space));
    let [mut rho] = inners([[&shadow, r]]);
    let mut rr = r.norms();
    let one = [Complex64::ONE];
    while rr.iter().zip(goals).any(|(rr, goal)| rr > goal) && info.iterations < max_iterations {
        interrupt::poll()?;
        // Columns that are done, or that broke down, stay where they are.
        let done: Vec<bool> = (0..rr.len()).map(|n| rr[n] <= goals[n] || rho[n].norm_sqr() == 0.0).collect();
        if done.iter().all(|done| *done) {
            break;
        }
        let still = |values: Vec<Complex64>| -> Vec<Complex64> {
            values.into_iter().zip(&done).map(|(z, done)| if *done { Complex64::ZERO } else { z }).collect()
        };
        a.apply(&p, &mut v);
        interrupt::poll()?;
        let [along] = inners([[&shadow, &v]]);
        let alpha = still(ratio(&rho, &along));
        r.combine(&one, &minus(&alpha), &v);
        a.apply(r, &mut t);
        interrupt::poll()?;
        let [tt, tr] = inners([[&t, &t], [&t, r]]);
        let omega = still(ratio(&tr, &tt));
        x.combine_two(&one, (&alpha, &p), (&omega, r));
        r.combine(&one, &minus(&omega), &t);
        // Steps of length zero: a breakdown that more iterations do not mend.
        if (0..rr.len()).all(|n| done[n] || (alpha[n] == Complex64::ZERO && omega[n] == Complex64::ZERO)) {
            break;
        }
        let [next, squares] = inners([[&shadow, r], [r, r]]);
        let beta: Vec<_> = ratio(&next, &rho).iter().zip(ratio(&alpha, &omega)).map(|(a, b)| a * b).collect();
        let back: Vec<_> = beta.iter().zip(&omega).map(|(beta, omega)| -beta * omega).collect();
        p.combine_two(&beta, (&back, &v), (&one, r));
        rho = next;
        rr = squares.iter().map(|z| z.re).collect();
        info.iterations += 1;
        info.applications += 2;
        info.history.push(worst(&rr, scales));
        if rr.iter().any(|rr| !rr.is_finite()) {
            break;
        }
    }
    Ok(info)
}
