//! Solves whose true residual is checked: the recursion of a method is restarted from b - A x until that is small enough. With an inner
//! operator in single precision this is iterative refinement (mixed precision).

use super::cg::worst;
use super::deflation::Deflation;
use super::info::{SolveInfo, SolveParams, not_converged};
use super::{bicgstab, cg};
use crate::concept::{LinearOperator, Normal};
use crate::error::{Error, Result};
use crate::field::{self, Vector};
use crate::interrupt;
use crate::number::Real;
use num_complex::Complex64;

/// How a system is solved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Conjugate gradients of a Hermitian positive operator.
    Cg,
    /// Conjugate gradients of A^dagger A x = A^dagger b.
    Cgnr,
    /// BiCGStab.
    BiCgStab,
}

impl Method {
    /// Name in messages and of the argument in Python.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cg => "cg",
            Self::Cgnr => "cgnr",
            Self::BiCgStab => "bicgstab",
        }
    }
    /// The method of a name; an error names what is known.
    pub fn named(name: &str) -> Result<Self> {
        [Self::Cg, Self::Cgnr, Self::BiCgStab]
            .into_iter()
            .find(|method| method.name() == name)
            .ok_or_else(|| Error::value(format!("unknown method \"{name}\"; known: auto, cg, cgnr, bicgstab")))
    }
}

/// Residuals that single precision improves by, from one restart to the next.
const SINGLE: f64 = 1e-5;
/// Restarts that a double-precision solve needs only where rounding gets in its way.
const MOST_RESTARTS: usize = 60;

/// Solves A x = b from the guess in `x`; with `single`, the same operator in single precision, the work is done there.
///
pub fn solve<R: Real<Total = f64>, S: Real<Total = f64>>(
    a: &dyn LinearOperator<R>,
    single: Option<&dyn LinearOperator<S>>,
    method: Method,
    b: &Vector<R>,
    x: &mut Vector<R>,
    params: SolveParams,
) -> Result<SolveInfo> {
    solve_with(a, single, method, Beside::default(), b, x, params)
}

/// What a solve may know beside its system.
pub struct Beside<'a, R> {
    /// Low modes, taken out of the residual at every restart.
    pub low: Option<&'a Deflation<R>>,
    /// Squares that residuals are measured against where they are smaller than |b|^2.
    pub scales: Option<Vec<f64>>,
}

impl<R> Default for Beside<'_, R> {
    fn default() -> Self {
        Self { low: None, scales: None }
    }
}

/// The same with what is known beside it.
pub fn solve_with<R: Real<Total = f64>, S: Real<Total = f64>>(
    a: &dyn LinearOperator<R>,
    single: Option<&dyn LinearOperator<S>>,
    method: Method,
    beside: Beside<'_, R>,
    b: &Vector<R>,
    x: &mut Vector<R>,
    params: SolveParams,
) -> Result<SolveInfo> {
    field::inside_for::<R, _, _>(&b.values, b.space.width(), || refine(a, single, method, beside, b, x, params))
}

fn refine<R: Real<Total = f64>, S: Real<Total = f64>>(
    a: &dyn LinearOperator<R>,
    single: Option<&dyn LinearOperator<S>>,
    method: Method,
    beside: Beside<'_, R>,
    b: &Vector<R>,
    x: &mut Vector<R>,
    params: SolveParams,
) -> Result<SolveInfo> {
    let mut info = SolveInfo::default();
    let mut scales = b.norms();
    if let Some(bounds) = beside.scales {
        scales.iter_mut().zip(bounds).for_each(|(scale, bound)| *scale = scale.min(bound));
    }
    if let Some(bad) = scales.iter().find(|scale| !scale.is_finite()) {
        return Err(Error::value(format!("the source has norm {bad}; it must be finite")));
    }
    let goals: Vec<f64> = scales.iter().map(|scale| scale * params.tolerance * params.tolerance).collect();
    // The solution of a zero source is zero, whatever the guess.
    if scales.contains(&0.0) {
        let keep: Vec<_> = scales.iter().map(|s| Complex64::new(f64::from(u8::from(*s > 0.0)), 0.0)).collect();
        let zero = Vector::zero(&x.space);
        x.combine(&keep, &[Complex64::ZERO], &zero);
    }
    let mut r = Vector::zero(&b.space);
    let mut change = Vector::zero(&b.space);
    let mut before = f64::INFINITY;
    for _ in 0..MOST_RESTARTS {
        interrupt::poll()?;
        residual(a, b, x, &mut r);
        interrupt::poll()?;
        info.applications += 1;
        let squares = r.norms();
        info.residual = worst(&squares, &scales);
        if squares.iter().any(|square| !square.is_finite()) {
            let why = "numbers that are not finite appeared: look at the links, the mass and the first guess";
            return Err(not_converged(method.name(), why, params, info));
        }
        if squares.iter().zip(&goals).all(|(square, goal)| square <= goal) {
            return Ok(info);
        }
        let now = info.residual;
        if now > before {
            x.axpy(-1.0, &change);
            info.residual = before;
        }
        if info.iterations >= params.max_iterations {
            return Err(not_converged(method.name(), "no iterations left", params, info));
        }
        if now > 0.7 * before {
            let why = "it does not get smaller any more (rounding, or an operator that is singular)";
            return Err(not_converged(method.name(), why, params, info));
        }
        before = info.residual;
        // Columns that are done stay where they are: each has the bits of a solve of its own.
        let goals: Vec<f64> = squares
            .iter()
            .zip(&goals)
            .map(|(&square, &goal)| if square <= goal { f64::INFINITY } else { goal })
            .collect();
        if let Some(low) = beside.low {
            low.improve(x, &r, &goals);
            residual(a, b, x, &mut r);
            info.applications += 1;
        }
        let left = params.max_iterations - info.iterations;
        info.add(match single {
            Some(single) => {
                let mut small = r.convert::<S>(&single.space().lattice)?;
                let mut step = Vector::zero(&small.space);
                let own = small.norms();
                let goals: Vec<f64> =
                    own.iter().zip(&goals).map(|(own, goal)| (own * SINGLE * SINGLE).max(0.8 * goal)).collect();
                let part = inner(single, method, &mut small, &mut step, &goals, &scales, left)?;
                change = step.convert::<R>(&b.space.lattice)?;
                part
            }
            None => {
                change = Vector::zero(&b.space);
                inner(a, method, &mut r, &mut change, &goals, &scales, left)?
            }
        });
        if change.norms().iter().any(|square| !square.is_finite()) {
            let why = "it broke down: numbers that are not finite appeared";
            return Err(not_converged(method.name(), why, params, info));
        }
        x.axpy(1.0, &change);
    }
    Err(not_converged(method.name(), "too many restarts", params, info))
}

/// b - A x.
fn residual<R: Real>(a: &dyn LinearOperator<R>, b: &Vector<R>, x: &Vector<R>, r: &mut Vector<R>) {
    a.apply(x, r);
    r.combine(&[Complex64::new(-1.0, 0.0)], &[Complex64::ONE], b);
}

fn inner<R: Real<Total = f64>>(
    a: &dyn LinearOperator<R>,
    method: Method,
    r: &mut Vector<R>,
    x: &mut Vector<R>,
    goals: &[f64],
    scales: &[f64],
    max_iterations: usize,
) -> Result<SolveInfo> {
    match method {
        Method::Cg => cg::iterate(a, r, x, goals, scales, max_iterations),
        Method::BiCgStab => bicgstab::iterate(a, r, x, goals, scales, max_iterations),
        Method::Cgnr => {
            // |A^dagger r| <= goal does not bound |r|: the outer loop looks, and the goal follows what it saw.
            let mut normal = Vector::zero(&r.space);
            a.apply_adjoint(r, &mut normal);
            let (squares, own) = (r.norms(), normal.norms());
            let goals: Vec<f64> = (0..own.len())
                .map(|n| match squares[n] {
                    _ if goals[n].is_infinite() => goals[n],
                    0.0 => 0.0,
                    square => own[n] * (0.1 * goals[n] / square).min(1.0),
                })
                .collect();
            let mut info = cg::iterate(&Normal::new(a), &mut normal, x, &goals, &own, max_iterations)?;
            info.applications = 2 * info.iterations + 1;
            Ok(info)
        }
    }
}

/// The operator without derivatives.
struct Value<'a, R>(&'a dyn LinearOperator<R>);

impl<R: Real> Value<'_, R> {
    fn run(&self, adjoint: bool, x: &Vector<R::Value>, out: &mut Vector<R::Value>) {
        let apply = |x: &Vector<R>, out: &mut Vector<R>| match adjoint {
            true => self.0.apply_adjoint(x, out),
            false => self.0.apply(x, out),
        };
        // Numbers without a derivative are their own value: nothing is copied.
        let same = (x as &dyn std::any::Any).downcast_ref::<Vector<R>>();
        if let (Some(x), Some(out)) = (same, (out as &mut dyn std::any::Any).downcast_mut::<Vector<R>>()) {
            return apply(x, out);
        }
        let zero = Vector::zero(&x.space);
        let (lifted, mut image) = (Vector::<R>::join([x, &zero]), Vector::<R>::zero(&x.space));
        apply(&lifted, &mut image);
        let [value, _] = image.split();
        *out = value;
    }
}

impl<R: Real> LinearOperator<R::Value> for Value<'_, R> {
    fn space(&self) -> &field::Space {
        self.0.space()
    }
    fn apply(&self, x: &Vector<R::Value>, out: &mut Vector<R::Value>) {
        self.run(false, x, out);
    }
    fn apply_adjoint(&self, x: &Vector<R::Value>, out: &mut Vector<R::Value>) {
        self.run(true, x, out);
    }
    fn is_positive(&self) -> bool {
        self.0.is_positive()
    }
}

/// A + shift.
struct Shifted<'a, R>(&'a dyn LinearOperator<R>, f64);

impl<R: Real> LinearOperator<R> for Shifted<'_, R> {
    fn space(&self) -> &field::Space {
        self.0.space()
    }
    fn apply(&self, x: &Vector<R>, out: &mut Vector<R>) {
        self.0.apply(x, out);
        out.axpy(self.1, x);
    }
    fn apply_adjoint(&self, x: &Vector<R>, out: &mut Vector<R>) {
        self.0.apply_adjoint(x, out);
        out.axpy(self.1, x);
    }
    fn is_positive(&self) -> bool {
        self.0.is_positive()
    }
}

/// Numbers in single precision beside others that may have a derivative.
pub type Single<R> = <<R as Real>::Value as Real>::Single;

/// A x = b for numbers with or without a derivative: A_0 x_0 = b_0 and A_0 x_1 = (b - A x_0)_1.
///
/// With `single` in mixed precision. It starts from what the vectors in `near` say of the solution: for a positive A the best one of
/// their space (R. C. Brower et al., hep-lat/9509012), else from zero.
pub fn solve_through<R: Real>(
    a: &dyn LinearOperator<R>,
    single: Option<&dyn LinearOperator<Single<R>>>,
    method: Method,
    near: &[Vector<R::Value>],
    b: &Vector<R>,
    params: SolveParams,
) -> Result<(Vector<R>, SolveInfo)> {
    let [b0, _] = b.split();
    let mut x0 = Vector::zero(&b0.space);
    let own = Value(a);
    let positive = method == Method::Cg;
    let low = (!near.is_empty()).then(|| Deflation::new(&own, positive, near.iter().rev().cloned())).transpose()?;
    let beside = Beside { low: low.as_ref(), scales: None };
    let mut info = solve_with(&own, single, method, beside, &b0, &mut x0, params)?;
    info.applications += near.len();
    let x = with_slope(a, method, b, &x0, params, &mut info)?;
    Ok((x, info))
}

/// x_0 with its derivative, if numbers have one.
fn with_slope<R: Real>(
    a: &dyn LinearOperator<R>,
    method: Method,
    b: &Vector<R>,
    x0: &Vector<R::Value>,
    params: SolveParams,
    info: &mut SolveInfo,
) -> Result<Vector<R>> {
    let mut x1 = Vector::zero(&x0.space);
    let lifted = Vector::<R>::join([x0, &x1]);
    if !R::DUAL {
        return Ok(lifted);
    }
    let mut r = Vector::zero(&b.space);
    residual(a, b, &lifted, &mut r);
    let [_, slope] = r.split();
    info.add(solve::<R::Value, R::Value>(&Value(a), None, method, &slope, &mut x1, params)?);
    Ok(Vector::join([x0, &x1]))
}

/// (A + shift) x = b for all shifts and a positive A, as [`solve_through`]; every true residual is checked.
pub fn multishift_through<R: Real>(
    a: &dyn LinearOperator<R>,
    b: &Vector<R>,
    shifts: &[f64],
    params: SolveParams,
) -> Result<(Vec<Vector<R>>, SolveInfo)> {
    let [b0, _] = b.split();
    let (values, mut info) = cg::multishift::<R::Value>(&Value(a), &b0, shifts, params)?;
    let mut solutions = Vec::with_capacity(shifts.len());
    for (mut x0, &shift) in values.into_iter().zip(shifts) {
        let own = Shifted(a, shift);
        let polish = solve::<R::Value, R::Value>(&Value(&own), None, Method::Cg, &b0, &mut x0, params)?;
        info.residual = info.residual.max(polish.residual);
        info.iterations += polish.iterations;
        info.applications += polish.applications;
        solutions.push(with_slope(&own, Method::Cg, b, &x0, params, &mut info)?);
    }
    Ok((solutions, info))
}
