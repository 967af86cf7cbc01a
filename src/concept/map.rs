//! Maps from fields to fields of the same kind, and readouts from fields to numbers, with their reverse passes.
//!
//! Parameters are handed in and the forward pass is kept, so that training compiles nothing anew and a force runs it once. The
//! reverse pass lives in the tangent space: for q' = map(q) it takes F' with dS = <F', delta'> to F with dS = <F, delta>, and
//! adds dS/dtheta.

use super::{Configuration, Number, Tangent};
use crate::error::{Error, Result};
use crate::number::Real;
use std::any::Any;

/// What a reverse pass needs of the forward pass.
pub struct Tape(Box<dyn Any + Send + Sync>);

impl Tape {
    /// Keeps a value of the map's own.
    pub fn new<T: Send + Sync + 'static>(kept: T) -> Self {
        Self(Box::new(kept))
    }
    /// The value that was kept.
    pub fn get<T: 'static>(&self) -> Result<&T> {
        self.0.downcast_ref().ok_or_else(|| Error::value("a reverse pass was given the tape of another map"))
    }
}

/// A differentiable map of a field to a field of the same kind, with parameters.
pub trait Map<Q: Configuration>: Send + Sync {
    /// How many parameters there are.
    fn n_parameters(&self) -> usize;
    /// The image of `q`.
    fn forward(&self, theta: &[f64], q: &Q) -> Result<Q>;
    /// The image, and what the reverse pass needs of the way to it.
    fn record(&self, theta: &[f64], q: &Q) -> Result<(Q, Tape)>;
    /// Cotangent at the image to cotangent at `q`; adds dS/dtheta to `gradient` where it is wanted.
    fn pullback(
        &self,
        theta: &[f64],
        q: &Q,
        tape: &Tape,
        cotangent: &Q::Tangent,
        gradient: Option<&mut [Number<Q>]>,
    ) -> Result<Q::Tangent>;
}

/// How an inverse was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InverseInfo {
    /// Iterations.
    pub iterations: usize,
    /// Largest change of the last iteration.
    pub residual: f64,
}

/// A map that is one to one, with the logarithm of its Jacobian's determinant.
pub trait Bijection<Q: Configuration>: Map<Q> {
    /// The image, log det of the Jacobian in the metric of the tangent space, and the tape.
    fn record_log_det(&self, theta: &[f64], q: &Q) -> Result<(Q, Number<Q>, Tape)>;
    /// As `pullback`, for S(image) + weight log det; the tape may be that of `record`.
    fn pullback_log_det(
        &self,
        theta: &[f64],
        q: &Q,
        tape: &Tape,
        cotangent: &Q::Tangent,
        weight: f64,
        gradient: Option<&mut [Number<Q>]>,
    ) -> Result<Q::Tangent>;
    /// The field whose image is given.
    fn inverse(&self, theta: &[f64], image: &Q) -> Result<(Q, InverseInfo)>;
}

/// A differentiable map of a field to numbers, with parameters.
pub trait Readout<Q: Configuration>: Send + Sync {
    /// How many parameters there are.
    fn n_parameters(&self) -> usize;
    /// How many numbers a field gives.
    fn n_outputs(&self, q: &Q) -> usize;
    /// The numbers, and the tape.
    fn record(&self, theta: &[f64], q: &Q) -> Result<(Vec<Number<Q>>, Tape)>;
    /// For dS/d(number): adds F with dS = <F, delta> to `field` and dS/dtheta to `gradient`, where they are wanted.
    fn pullback(
        &self,
        theta: &[f64],
        q: &Q,
        tape: &Tape,
        cotangent: &[f64],
        field: Option<&mut Q::Tangent>,
        gradient: Option<&mut [Number<Q>]>,
    ) -> Result<()>;
}

/// The law of a reverse pass: the distance of <F, direction> from the derivative `slope` of S(map(q)) along `direction`, relative
/// to their size; `above` is the force of S at the image.
pub fn check_pullback<Q: Configuration>(
    map: &dyn Map<Q>,
    theta: &[f64],
    q: &Q,
    above: impl FnOnce(&Q) -> Result<Q::Tangent>,
    (direction, slope): (&Q::Tangent, f64),
) -> Result<f64> {
    let (image, tape) = map.record(theta, q)?;
    let below = map.pullback(theta, q, &tape, &above(&image)?, None)?;
    Ok(relative(below.inner(direction).lane(0), slope))
}

/// The law of a log det: the distance of its force from its derivative `slope` along `direction`, and of the field from the inverse
/// of its image in the largest component of `difference`, both relative.
pub fn check_log_det<Q: Configuration>(
    map: &dyn Bijection<Q>,
    theta: &[f64],
    q: &Q,
    difference: impl FnOnce(&Q, &Q) -> f64,
    (direction, slope): (&Q::Tangent, f64),
) -> Result<[f64; 2]> {
    let (image, _, tape) = map.record_log_det(theta, q)?;
    let below = map.pullback_log_det(theta, q, &tape, &image.zero(), 1.0, None)?;
    let (again, _) = map.inverse(theta, &image)?;
    Ok([relative(below.inner(direction).lane(0), slope), difference(&again, q)])
}

fn relative(predicted: f64, slope: f64) -> f64 {
    (slope - predicted).abs() / slope.abs().max(1.0)
}
