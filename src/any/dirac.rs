//! Dirac operators on gauge fields of any group and storage, with arrays `[column][site][spin][colour]` at the border.

use super::storage::{AnyGauge, with_gauge};
use crate::concept::{LinearOperator, Normal};
use crate::dirac::{DiracSpec, EvenOdd, Family, Hermitian, LinkQuark, MOST_COLORS, MinusSquare, Quark, Whole};
use crate::error::{Error, Result};
use crate::field::Vector;
use crate::gauge::GaugeField;
use crate::group;
use crate::interrupt;
use crate::lattice::{Lattice, Sites};
use crate::memory;
use crate::number::Real;
use crate::solver::{
    Beside, Deflation, Eigen, EigenParams, Method, SolveInfo, SolveParams, eigenvalues, multishift_through, solve_with,
    worst,
};
use num_complex::Complex64;
use std::any::Any;
use std::sync::{Arc, OnceLock};

/// How a solve is done.
#[derive(Debug, Clone)]
pub struct SolveOptions {
    /// The method; None chooses.
    pub method: Option<Method>,
    /// Work in single precision, restarted from the true residual.
    pub mixed: bool,
    /// Even-odd form where there is one.
    pub even_odd: bool,
    /// What is asked for.
    pub params: SolveParams,
}

/// What was solved and how.
#[derive(Debug, Clone)]
pub struct Solved {
    /// `[column][site][spin][colour]`
    pub x: Vec<Complex64>,
    /// What it cost.
    pub info: SolveInfo,
    /// The method that was used.
    pub method: String,
}

/// The Hermitian operator whose spectrum is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpectrumOf {
    /// D^dagger D.
    Normal,
    /// gamma_5 D.
    Hermitian,
    /// -(D - m)^2 of staggered fermions on the even sites.
    Staggered,
}

impl SpectrumOf {
    /// The operator of a name; an error names what is known.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "normal" => Ok(Self::Normal),
            "hermitian" => Ok(Self::Hermitian),
            "staggered" => Ok(Self::Staggered),
            _ => Err(Error::value(format!("unknown operator \"{name}\"; known: normal, hermitian, staggered"))),
        }
    }
}

/// Eigenvalues and what they cost.
#[derive(Debug, Clone)]
pub struct Spectrum {
    /// Those that were asked for first.
    pub values: Vec<f64>,
    /// `[number][site][spin][colour]`, empty if not asked for.
    pub vectors: Vec<Complex64>,
    /// |A v - value v|.
    pub residuals: Vec<f64>,
    /// Size of the operator.
    pub scale: f64,
    /// Degree of the Chebyshev polynomial.
    pub degree: usize,
    /// Restarts as iterations, applications, history.
    pub info: SolveInfo,
}

/// A Dirac operator on a field, group and storage unseen.
pub trait AnyDirac: Send + Sync {
    /// Components of a spinor, and colours.
    fn components(&self) -> (usize, usize);
    /// Extent of a fifth dimension: arrays are `[column][site][slice][spin][colour]` with one.
    fn slices(&self) -> Option<usize>;
    /// D x or D^dagger x.
    fn apply(&self, x: &[Complex64], columns: usize, adjoint: bool) -> Result<Vec<Complex64>>;
    /// D x = b; the vectors in `low` are taken out of the residual at every restart.
    fn solve(
        &self,
        b: &[Complex64],
        guess: Option<&[Complex64]>,
        low: &[Complex64],
        columns: usize,
        options: &SolveOptions,
    ) -> Result<Solved>;
    /// (D^dagger D + shift) x = b for all shifts, `[shift][column]..`.
    fn solve_shifted(
        &self,
        b: &[Complex64],
        columns: usize,
        shifts: &[f64],
        params: SolveParams,
    ) -> Result<(Vec<Complex64>, SolveInfo)>;
    /// Eigenvalues of a Hermitian operator made of D.
    fn eigenvalues(&self, of: SpectrumOf, params: EigenParams, vectors: bool) -> Result<Spectrum>;
}

/// The operator of a description on a field, or on fat links and long ones.
pub fn bind(spec: &DiracSpec, field: &AnyGauge, long: Option<&AnyGauge>) -> Result<Box<dyn AnyDirac>> {
    let long = long.map(|long| with_gauge!(long, long => long as &dyn Any));
    with_gauge!(field, field => typed(spec, field, long))
}

fn typed<R: Real<Total = f64, Value = R>, const N: usize>(
    spec: &DiracSpec,
    field: &GaugeField<R, N>,
    long: Option<&dyn Any>,
) -> Result<Box<dyn AnyDirac>>
where
    R::Single: Real<Total = f64>,
{
    if const { N > MOST_COLORS } {
        return Err(Error::value(format!(
            "fermions are known for U(1), SU(2), SU(3) and SU({MOST_COLORS}); the field is of {}",
            group::name(N)
        )));
    }
    // Links forward and backward of every direction, and the clover term and its inverse, in double and in single precision.
    let ndim = field.lattice().ndim();
    let links = 2 * ndim * N * N * if long.is_some() { 2 } else { 1 };
    let clover = matches!(spec, DiracSpec::Wilson { csw, .. } if *csw != 0.0);
    let blocks = if clover { 4 * (spec.spins(ndim) / 2 * N).pow(2) } else { 0 };
    let per_site = (links + blocks) * 3 / 2;
    memory::require(
        "a Dirac operator",
        memory::product(&[field.lattice().volume(), per_site], size_of::<Complex64>()),
    )?;
    let long = long.map(|long| long.downcast_ref::<GaugeField<R, N>>().ok_or_else(unequal)).transpose()?;
    if long.is_some_and(|long| long.lattice().extents() != field.lattice().extents()) {
        return Err(unequal());
    }
    let quark = Family::new(spec, field.lattice())?.on_fat(field, long)?;
    let (spec, field, long) = (spec.clone(), field.clone(), long.cloned());
    Ok(Box::new(Bound { spec, field, long, quark, single: OnceLock::new() }))
}

fn unequal() -> Error {
    Error::value("fat and long links have different shapes")
}

type Single<R, const N: usize> = Option<Box<dyn LinkQuark<<R as Real>::Single, N>>>;

struct Bound<R: Real, const N: usize> {
    spec: DiracSpec,
    field: GaugeField<R, N>,
    long: Option<GaugeField<R, N>>,
    quark: Box<dyn LinkQuark<R, N>>,
    single: OnceLock<Single<R, N>>,
}

impl<R: Real<Total = f64, Value = R>, const N: usize> Bound<R, N>
where
    R::Single: Real<Total = f64>,
{
    fn vector(&self, data: &[Complex64], columns: usize) -> Result<Vector<R>> {
        let space = self.quark.space().with_columns(columns);
        let needed = space.lattice.volume() * space.width();
        if data.len() != needed {
            return Err(Error::value(format!("a source has {} numbers; {needed} are needed", data.len())));
        }
        Ok(Vector::from_array(&space, data))
    }

    /// The operator in single precision, if the lattice can be cut for its lanes; made when it is first needed.
    fn single(&self) -> Option<&dyn LinkQuark<R::Single, N>> {
        let make = || {
            let lattice = Lattice::new(self.field.lattice().extents(), <R::Single as Real>::LANES).ok()?;
            let family = Family::<R::Single>::new(&self.spec, &lattice).ok()?;
            family.on_fat(&self.field, self.long.as_ref()).ok()
        };
        self.single.get_or_init(make).as_deref()
    }

    fn run(
        &self,
        method: Method,
        even_odd: bool,
        (b, x): (&Vector<R>, &mut Vector<R>),
        low: &[Vector<R>],
        options: &SolveOptions,
    ) -> Result<(SolveInfo, bool)> {
        let quark: &dyn Quark<R> = &*self.quark;
        let single = self.single().filter(|_| options.mixed);
        if !even_odd {
            let (whole, small) = (Whole(quark), single.map(|quark| Whole(quark)));
            let small = small.as_ref().map(|small| small as &dyn LinearOperator<R::Single>);
            let low = deflation(&whole, method, low.iter().cloned())?;
            let beside = Beside { low: low.as_ref(), scales: None };
            return Ok((solve_with(&whole, small, method, beside, b, x, options.params)?, small.is_some()));
        }
        let reduced = EvenOdd::new(quark)?;
        let small = single.and_then(|quark| EvenOdd::new(quark).ok());
        let small = small.as_ref().map(|small| small as &dyn LinearOperator<R::Single>);
        interrupt::poll()?;
        let source = reduced.reduce(b);
        interrupt::poll()?;
        let mut even = x.part(Sites::Even);
        let low = deflation(reduced_operator(&reduced), method, low.iter().map(|v| v.part(Sites::Even)))?;
        // The residual of the whole system is that of the even sites; its size is measured against the whole source.
        let beside = Beside { low: low.as_ref(), scales: Some(b.norms()) };
        let result = solve_with(reduced_operator(&reduced), small, method, beside, &source, &mut even, options.params);
        *x = reduced.complete(&even, b);
        let mut info = result?;
        info.applications += 1;
        Ok((info, small.is_some()))
    }
}

fn deflation<R: Real<Total = f64>>(
    a: &dyn LinearOperator<R>,
    method: Method,
    low: impl ExactSizeIterator<Item = Vector<R>>,
) -> Result<Option<Deflation<R>>> {
    (low.len() > 0).then(|| Deflation::new(a, method == Method::Cg, low)).transpose()
}

fn reduced_operator<'a, R: Real>(reduced: &'a EvenOdd<'_, R>) -> &'a dyn LinearOperator<R> {
    reduced
}

impl<R: Real<Total = f64, Value = R>, const N: usize> AnyDirac for Bound<R, N>
where
    R::Single: Real<Total = f64>,
{
    fn components(&self) -> (usize, usize) {
        (self.spec.spins(self.field.lattice().ndim()), N)
    }

    fn slices(&self) -> Option<usize> {
        self.spec.slices()
    }

    fn apply(&self, x: &[Complex64], columns: usize, adjoint: bool) -> Result<Vec<Complex64>> {
        let x = self.vector(x, columns)?;
        let mut out = Vector::zero(&x.space);
        let whole = Whole(&*self.quark as &dyn Quark<R>);
        match adjoint {
            true => whole.apply_adjoint(&x, &mut out),
            false => whole.apply(&x, &mut out),
        }
        Ok(out.to_array())
    }

    fn solve(
        &self,
        b: &[Complex64],
        guess: Option<&[Complex64]>,
        low: &[Complex64],
        columns: usize,
        options: &SolveOptions,
    ) -> Result<Solved> {
        let vectors = |count: usize, length: usize| memory::product(&[count, length], size_of::<Complex64>());
        let bytes = vectors(16, b.len()).saturating_add(vectors(3, low.len()));
        memory::require("a solve (16 vectors for each source, 3 for each low mode)", bytes)?;
        let b = self.vector(b, columns)?;
        interrupt::poll()?;
        let mut x = match guess {
            Some(guess) => self.vector(guess, columns)?,
            None => Vector::zero(&b.space),
        };
        let low = low
            .chunks(self.quark.space().lattice.volume() * self.quark.space().width())
            .map(|v| self.vector(v, 1))
            .collect::<Result<Vec<_>>>()?;
        let has_inverse = self.quark.constant().is_none_or(|c| c != 0.0);
        let even_odd = options.even_odd && has_inverse && self.quark.space().lattice.order().has_halves();
        let positive = even_odd && EvenOdd::new(&*self.quark as &dyn Quark<R>)?.is_positive();
        let walls = self.spec.slices().is_some();
        let methods = match options.method {
            Some(Method::Cg) if !positive => {
                return Err(Error::value(
                    "method \"cg\" needs a positive operator (staggered fermions in even-odd form); take \"cgnr\" or \"bicgstab\"",
                ));
            }
            Some(method) => vec![method],
            None if positive => vec![Method::Cg],
            // Their eigenvalues surround zero, where BiCGStab stagnates.
            None if self.quark.is_staggered() || walls => vec![Method::Cgnr],
            None => vec![Method::BiCgStab, Method::Cgnr],
        };
        let whole = Whole(&*self.quark as &dyn Quark<R>);
        let mut spent = SolveInfo::default();
        let start = |n: Option<&[Complex64]>| n.map_or_else(|| Ok(Vector::zero(&b.space)), |n| self.vector(n, columns));
        let mut best = (f64::INFINITY, None);
        for (n, &method) in methods.iter().enumerate() {
            // A method that stagnates leaves half of the iterations to the next one.
            let left = options.params.max_iterations.saturating_sub(spent.iterations);
            let share = left.div_ceil(methods.len() - n);
            let options =
                &SolveOptions { params: SolveParams { max_iterations: share, ..options.params }, ..options.clone() };
            match self.run(method, even_odd, (&b, &mut x), &low, options) {
                Err(Error::Convergence { message, history, .. }) => {
                    spent.iterations += history.len();
                    spent.applications += 2 * history.len();
                    spent.history.extend(history);
                    // The even-odd form may leave less than the guess was worth.
                    for candidate in [start(guess)?, x] {
                        let residual = true_residual(&whole, &b, &candidate);
                        if residual < best.0 {
                            best = (residual, Some(Arc::new(candidate.to_array())));
                        }
                    }
                    if n + 1 == methods.len() {
                        return Err(Error::Convergence { message, history: spent.history, best: best.1 });
                    }
                    // The next method starts from zero: what a breakdown left is of no use.
                    x = Vector::zero(&b.space);
                }
                result => {
                    let (info, mixed) = result?;
                    let residual = true_residual(&whole, &b, &x);
                    spent.add(info);
                    spent.residual = residual;
                    let form = if even_odd { "even-odd " } else { "" };
                    let precision = if mixed { ", mixed precision" } else { "" };
                    let method = format!("{form}{}{precision}", method.name());
                    return Ok(Solved { x: x.to_array(), info: spent, method });
                }
            }
        }
        Err(Error::value("no method was tried"))
    }

    fn solve_shifted(
        &self,
        b: &[Complex64],
        columns: usize,
        shifts: &[f64],
        params: SolveParams,
    ) -> Result<(Vec<Complex64>, SolveInfo)> {
        let bytes = memory::product(&[b.len(), 2 * shifts.len() + 16], size_of::<Complex64>());
        memory::require("a solve with shifts (2 vectors for each shift)", bytes)?;
        let whole = Whole(&*self.quark as &dyn Quark<R>);
        let (normal, one) = (Normal::new(&whole), b.len() / columns.max(1));
        let mut solutions = vec![Complex64::ZERO; b.len() * shifts.len()];
        let mut spent = SolveInfo::default();
        for (column, b) in b.chunks(one.max(1)).enumerate() {
            let (found, info) = multishift_through::<R>(&normal, &self.vector(b, 1)?, shifts, params)?;
            for (k, x) in found.iter().enumerate() {
                solutions[(k * columns + column) * one..][..one].copy_from_slice(&x.to_array());
            }
            spent.residual = spent.residual.max(info.residual);
            spent.add(info);
        }
        spent.applications *= 2;
        Ok((solutions, spent))
    }

    fn eigenvalues(&self, of: SpectrumOf, params: EigenParams, vectors: bool) -> Result<Spectrum> {
        let quark: &dyn Quark<R> = &*self.quark;
        let whole = Whole(quark);
        let twisted = matches!(&self.spec, DiracSpec::Wilson { mu, .. } if *mu != 0.0);
        let found: Eigen<R> = match of {
            SpectrumOf::Normal => eigenvalues(&Normal::new(&whole), params)?,
            SpectrumOf::Hermitian if quark.is_staggered() || twisted || self.spec.slices().is_some() => {
                return Err(Error::value(
                    "gamma_5 D is Hermitian for Wilson fermions without a twisted mass; take of=\"normal\" or, for \
                     staggered ones, of=\"staggered\"",
                ));
            }
            SpectrumOf::Hermitian => {
                let q = Hermitian(quark);
                // |Q v - value v| of a vector of Q^2 is not smaller than its residual there over twice the value.
                let square = EigenParams { tolerance: params.tolerance * 1e-2, ..params };
                let square = EigenParams { tolerance: square.tolerance.max(1e-14), ..square };
                eigenvalues(&Normal::new(&whole), square)?.of_root(
                    &q,
                    params.count,
                    params.largest,
                    params.tolerance,
                )?
            }
            SpectrumOf::Staggered if !quark.is_staggered() => {
                return Err(Error::value(
                    "of=\"staggered\" is for staggered fermions; Wilson fermions have \"normal\" and \"hermitian\"",
                ));
            }
            SpectrumOf::Staggered => {
                let square = MinusSquare::new(quark);
                let keep_even = square.space().sites == Sites::All;
                eigenvalues(&square, EigenParams { keep_even, ..params })?
            }
        };
        let arrays = if vectors { found.vectors.iter().flat_map(Vector::to_array).collect() } else { Vec::new() };
        Ok(Spectrum {
            values: found.values,
            vectors: arrays,
            residuals: found.residuals,
            scale: found.scale,
            degree: found.degree,
            info: found.info,
        })
    }
}

/// |b - D x| / |b| of the worst column.
fn true_residual<R: Real<Total = f64>>(d: &dyn LinearOperator<R>, b: &Vector<R>, x: &Vector<R>) -> f64 {
    let mut r = Vector::zero(&b.space);
    d.apply(x, &mut r);
    r.axpy(-1.0, b);
    worst(&r.norms(), &b.norms())
}
