//! Eigenvalues at one end of the spectrum of a Hermitian operator: Lanczos with thick restarts (Wu, Simon 2000), all vectors kept
//! orthogonal. For the smallest ones it runs on a Chebyshev polynomial of the operator that is large there (Saad 1984).
//!
//! One start vector finds one vector of each degenerate value. So what was found is locked and the search goes on with fresh vectors in
//! the orthogonal complement until nothing turns up there that belongs to the answer.

use super::info::SolveInfo;
use crate::concept::LinearOperator;
use crate::error::{Error, Result};
use crate::field::Vector;
use crate::interrupt;
use crate::matrix::Complex;
use crate::memory;
use crate::number::Real;
use crate::random::{Purpose, Stream};
use faer::{Mat, Side};
use num_complex::Complex64;
use rand::RngExt;
use rand_distr::StandardNormal;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct EigenParams {
    /// Number of eigenvalues.
    pub count: usize,
    /// The largest instead of the smallest.
    pub largest: bool,
    /// |A v - value v| <= tolerance |A| for each.
    pub tolerance: f64,
    /// Most applications of the operator.
    pub max_applications: usize,
    /// Degree of the Chebyshev polynomial; 0: none, None: chosen.
    pub degree: Option<usize>,
    /// Vectors vanish on odd sites, which the operator does not mix with the even ones.
    pub keep_even: bool,
}

/// Eigenvalues, those that were asked for first, and their vectors.
#[derive(Debug, Clone)]
pub struct Eigen<R> {
    /// Eigenvalues.
    pub values: Vec<f64>,
    /// Vectors of norm one.
    pub vectors: Vec<Vector<R>>,
    /// |A v - value v|.
    pub residuals: Vec<f64>,
    /// Size of the operator: its largest eigenvalue, nearly.
    pub scale: f64,
    /// Applications, restarts as iterations, and the largest relative residual after each.
    pub info: SolveInfo,
    /// Degree of the polynomial.
    pub degree: usize,
}

/// Spaces up to this dimension are searched as a whole.
const SMALL: usize = 300;
/// Vectors that are kept beyond those asked for.
const GUARD: usize = 4;
/// An upper bound of the rounding of one step.
const ROUNDING: f64 = 1e-13;
/// Convergence of the search for what may be missing, as long as nothing is.
const LOOSE: f64 = 1e-3;

/// Dimension of the space that is searched.
pub fn dimension<R: Real>(a: &dyn LinearOperator<R>, keep_even: bool) -> usize {
    let space = a.space();
    space.range().1 * R::LANES * space.components / if keep_even { 2 } else { 1 }
}

/// Eigenvalues at one end of the spectrum, with their residuals checked.
pub fn eigenvalues<R: Real<Total = f64>>(a: &dyn LinearOperator<R>, params: EigenParams) -> Result<Eigen<R>> {
    let dimension = dimension(a, params.keep_even);
    if params.count > dimension {
        return Err(Error::value(format!(
            "k = {} eigenvalues are asked for; the space of this operator has {dimension} dimensions",
            params.count
        )));
    }
    let size = if dimension <= SMALL { dimension } else { (2 * params.count + 20).max(40).min(dimension) };
    let bytes = memory::product(&[size + params.count + 8, a.space().range().1 * R::LANES, a.space().components], 16);
    memory::require(&format!("{size} vectors of a search for {} eigenvalues", params.count), bytes)?;
    let mut work = Work { a, params, dimension, fresh: 0, info: SolveInfo::default(), window: None };
    let (scale, window) = work.survey(size)?;
    work.window = window;
    let mut tolerance = params.tolerance;
    let mut locked: Vec<(f64, Vector<R>)> = Vec::new();
    let mut start = None;
    loop {
        work.collect(size, scale, tolerance, start.take(), &mut locked)?;
        let mut found = work.rayleigh_ritz(locked.iter().map(|(_, v)| v))?;
        let worst = found.residuals.iter().copied().fold(0.0, f64::max) / scale.max(f64::MIN_POSITIVE);
        if scale == 0.0 || worst <= params.tolerance {
            found.scale = scale;
            found.degree = work.window.map_or(0, |window| window.degree);
            found.info = work.info;
            return Ok(found);
        }
        if tolerance < 1e-4 * params.tolerance || tolerance < 1e-15 {
            let why = "rounding does not let it get smaller: ask for a larger tolerance";
            return Err(work.failed(why, worst));
        }
        // The polynomial hides what is left: start once more from what there is.
        tolerance *= 0.03;
        let mut sum = found.vectors[0].clone();
        found.vectors[1..].iter().for_each(|v| sum.axpy(1.0, v));
        (start, locked) = (Some(sum), Vec::new());
    }
}

/// The interval that a Chebyshev polynomial keeps small.
#[derive(Debug, Clone, Copy)]
struct Window {
    low: f64,
    high: f64,
    degree: usize,
}

struct Work<'a, R: Real> {
    a: &'a dyn LinearOperator<R>,
    params: EigenParams,
    dimension: usize,
    /// Random vectors that were made.
    fresh: u64,
    info: SolveInfo,
    window: Option<Window>,
}

/// A basis of a Krylov space and the operator in it.
struct Basis<'a, R> {
    locked: &'a [(f64, Vector<R>)],
    vectors: Vec<Vector<R>>,
    matrix: Mat<Complex64>,
    /// The next vector and its coupling to the last one; none where the basis is that of the whole space.
    next: Option<(Vector<R>, f64)>,
    scale: f64,
}

impl<R: Real<Total = f64>> Work<'_, R> {
    fn random(&mut self) -> Vector<R> {
        let mut rng = Stream::new(0x1a2c05, Purpose::Noise, self.fresh).site(0);
        self.fresh += 1;
        let mut v = Vector::zero(self.a.space());
        let mut draw = || R::from_lanes(|_| rng.sample(StandardNormal));
        v.values.iter_mut().for_each(|z| *z = Complex::new(draw(), draw()));
        if self.params.keep_even {
            v.keep_even();
        }
        v
    }

    fn failed(&mut self, why: &str, worst: f64) -> Error {
        let message = format!(
            "Lanczos reached a relative residual of {worst:.3e} after {} applications, {:.3e} is asked for: {why}",
            self.info.applications, self.params.tolerance
        );
        Error::Convergence { message, history: std::mem::take(&mut self.info.history), best: None }
    }

    fn count(&mut self, applications: usize) -> Result<()> {
        interrupt::poll()?;
        self.info.applications += applications;
        if self.info.applications > self.params.max_applications {
            let worst = self.info.history.last().copied().unwrap_or(f64::INFINITY);
            return Err(self.failed("no applications left; ask for fewer, or allow more by max_applications", worst));
        }
        Ok(())
    }

    /// The operator whose largest eigenvalues are searched.
    fn apply(&mut self, x: &Vector<R>, out: &mut Vector<R>) -> Result<()> {
        let Some(Window { low, high, degree }) = self.window else {
            self.count(1)?;
            self.a.apply(x, out);
            if !self.params.largest {
                out.scale(-1.0);
            }
            return Ok(());
        };
        // T_n of (high + low - 2 A)/(high - low): above one below `low`.
        let (slope, offset) = (-2.0 / (high - low), (high + low) / (high - low));
        let one = |z: f64| [Complex64::new(z, 0.0)];
        let mut last = x.clone();
        self.count(1)?;
        self.a.apply(x, out);
        out.combine(&one(slope), &one(offset), x);
        let mut spare = Vector::zero(&x.space);
        for _ in 1..degree {
            self.count(1)?;
            self.a.apply(out, &mut spare);
            spare.combine(&one(2.0 * slope), &one(2.0 * offset), out);
            spare.axpy(-1.0, &last);
            std::mem::swap(&mut last, out);
            std::mem::swap(out, &mut spare);
        }
        Ok(())
    }

    /// Size of the operator and, where a polynomial helps, its interval: Ritz values lie above the eigenvalues of the same number.
    fn survey(&mut self, size: usize) -> Result<(f64, Option<Window>)> {
        let mut basis = self.basis(&[], None, size)?;
        self.extend(&mut basis, 0, size)?;
        let (mut values, _) = eigen(&basis.matrix, basis.vectors.len())?;
        if !self.params.largest {
            values.iter_mut().for_each(|value| *value = -*value);
        }
        values.sort_by(f64::total_cmp);
        let coupling = basis.next.as_ref().map_or(0.0, |(_, beta)| *beta);
        let (first, last) = (values[0], values[values.len() - 1]);
        let (scale, high) = (first.abs().max(last.abs()), last + coupling);
        let low = values[(self.params.count + GUARD).min(values.len() - 1)];
        let chosen = 1.5 * ((high - low) / (low - first).max(1e-3 * (high - low))).sqrt();
        let degree = self.params.degree.unwrap_or(if chosen < 4.0 { 0 } else { chosen.round() as usize });
        let useful = !self.params.largest && size < self.dimension && degree > 0 && high > low;
        Ok((scale, useful.then_some(Window { low, high, degree })))
    }

    /// A basis of one vector.
    fn basis<'b>(
        &mut self,
        locked: &'b [(f64, Vector<R>)],
        start: Option<Vector<R>>,
        size: usize,
    ) -> Result<Basis<'b, R>> {
        let matrix = Mat::zeros(size, size);
        let mut basis = Basis { locked, vectors: Vec::new(), matrix, next: None, scale: 0.0 };
        basis.next = match start {
            Some(mut v) => {
                basis.orthogonalize(&mut v);
                let norm = v.norm2().sqrt();
                v.scale(1.0 / norm);
                Some((v, 0.0))
            }
            None => self.another(&basis),
        };
        Ok(basis)
    }

    /// A random vector orthogonal to the basis.
    fn another(&mut self, basis: &Basis<'_, R>) -> Option<(Vector<R>, f64)> {
        if basis.locked.len() + basis.vectors.len() >= self.dimension {
            return None;
        }
        let mut v = self.random();
        basis.orthogonalize(&mut v);
        let norm = v.norm2().sqrt();
        v.scale(1.0 / norm);
        basis.orthogonalize(&mut v);
        let norm = v.norm2().sqrt();
        v.scale(1.0 / norm);
        Some((v, 0.0))
    }

    /// Steps of Lanczos from `kept` vectors to `size`.
    fn extend(&mut self, basis: &mut Basis<'_, R>, kept: usize, size: usize) -> Result<()> {
        let mut image = Vector::zero(self.a.space());
        for j in kept..size {
            let Some((v, _)) = basis.next.take() else { return Ok(()) };
            basis.vectors.push(v);
            self.apply(&basis.vectors[j], &mut image)?;
            let length = image.norm2().sqrt();
            if !length.is_finite() {
                let why = "numbers that are not finite appeared: look at the links and the mass";
                return Err(self.failed(why, length));
            }
            basis.scale = basis.scale.max(length);
            let overlaps = basis.orthogonalize(&mut image);
            for (i, &z) in overlaps.iter().enumerate() {
                basis.matrix[(i, j)] = z;
                basis.matrix[(j, i)] = z.conj();
            }
            let beta = image.norm2().sqrt();
            basis.next = if beta <= ROUNDING * basis.scale || basis.locked.len() + j + 1 >= self.dimension {
                self.another(basis)
            } else {
                let mut v = image.clone();
                v.scale(1.0 / beta);
                Some((v, beta))
            };
        }
        Ok(())
    }

    /// The `wanted` largest eigenvalues in the complement of what is locked, to a tolerance.
    fn search(
        &mut self,
        locked: &[(f64, Vector<R>)],
        start: Option<Vector<R>>,
        wanted: usize,
        size: usize,
        tolerance: f64,
    ) -> Result<Vec<(f64, Vector<R>)>> {
        let size = size.min(self.dimension - locked.len());
        let wanted = wanted.min(size);
        let mut basis = self.basis(locked, start, size)?;
        let mut kept = 0;
        loop {
            self.extend(&mut basis, kept, size)?;
            let m = basis.vectors.len();
            let (values, vectors) = eigen(&basis.matrix, m)?;
            // Largest first.
            let order: Vec<usize> = (0..m).rev().collect();
            let coupling = basis.next.as_ref().map_or(0.0, |(_, beta)| *beta);
            let error = |n: usize| coupling * vectors[(m - 1, order[n])].norm();
            let worst = (0..wanted).map(error).fold(0.0, f64::max);
            let whole = basis.next.is_none() || locked.len() + m >= self.dimension;
            let done = whole || worst <= tolerance * basis.scale.max(f64::MIN_POSITIVE);
            self.info.iterations += 1;
            self.info.history.push(worst / basis.scale.max(f64::MIN_POSITIVE));
            let keep = if done { wanted } else { (wanted + (m - wanted) / 2).min(m - 1) };
            let mut turned = Vec::with_capacity(keep);
            for &column in &order[..keep] {
                interrupt::poll()?;
                let coefficients: Vec<_> = (0..m).map(|row| vectors[(row, column)]).collect();
                turned.push(sum(&basis.vectors, &coefficients));
            }
            if done {
                return Ok(order[..keep].iter().map(|&n| values[n]).zip(turned).collect());
            }
            basis.vectors = turned;
            basis.matrix = Mat::zeros(size, size);
            for (n, &column) in order[..keep].iter().enumerate() {
                basis.matrix[(n, n)] = Complex64::new(values[column], 0.0);
            }
            kept = keep;
        }
    }

    /// Fills `locked` with as many as are asked for, and with those that a start vector did not see.
    fn collect(
        &mut self,
        size: usize,
        scale: f64,
        tolerance: f64,
        start: Option<Vector<R>>,
        locked: &mut Vec<(f64, Vector<R>)>,
    ) -> Result<()> {
        let count = self.params.count;
        *locked = self.search(&[], start, count, size, tolerance)?;
        let mut wanted = 1;
        while locked.len() < self.dimension && size < self.dimension {
            let last = locked.iter().map(|(value, _)| *value).fold(f64::INFINITY, f64::min);
            let size_of = |scale: f64| locked.iter().map(|(value, _)| value.abs()).fold(scale, f64::max);
            let scale = size_of(if self.window.is_some() { 1.0 } else { scale });
            let room = LOOSE * scale;
            let first = self.search(locked, None, 1, size, LOOSE)?;
            let Some((value, near)) = first.into_iter().next() else { return Ok(()) };
            if value + room < last {
                return Ok(());
            }
            let more = self.search(locked, Some(near), wanted, size, tolerance)?;
            let better = |value: f64| value > last + 1e-9 * scale;
            let found = more.iter().filter(|(value, _)| better(*value)).count();
            locked.extend(more.into_iter().take(found));
            locked.sort_by(|a, b| f64::total_cmp(&b.0, &a.0));
            locked.truncate(count);
            if found == 0 {
                return Ok(());
            }
            wanted = (2 * wanted).min(count);
        }
        Ok(())
    }

    /// Eigenvalues and vectors of the operator in the space of some vectors.
    fn rayleigh_ritz<'b>(&mut self, vectors: impl Iterator<Item = &'b Vector<R>>) -> Result<Eigen<R>>
    where
        R: 'b,
    {
        let found = rayleigh_ritz(self.a, vectors)?;
        self.count(2 * found.values.len())?;
        Ok(found.sorted(if self.params.largest { |value: f64| -value } else { |value: f64| value }))
    }
}

impl<R: Real<Total = f64>> Basis<'_, R> {
    /// Makes `v` orthogonal to all vectors, twice; returns what it had of those of the basis.
    fn orthogonalize(&self, v: &mut Vector<R>) -> Vec<Complex64> {
        let mut overlaps = vec![Complex64::ZERO; self.vectors.len()];
        for _ in 0..2 {
            for (_, u) in self.locked {
                take_out(u, v);
            }
            for (u, sum) in self.vectors.iter().zip(&mut overlaps) {
                *sum += take_out(u, v);
            }
        }
        overlaps
    }
}

/// Subtracts from `v` what it has of `u`.
fn take_out<R: Real<Total = f64>>(u: &Vector<R>, v: &mut Vector<R>) -> Complex64 {
    let z = Complex64::from(u.inner(v));
    v.combine(&[Complex64::ONE], &[-z], u);
    z
}

fn sum<R: Real<Total = f64>>(vectors: &[Vector<R>], coefficients: &[Complex64]) -> Vector<R> {
    let mut total = Vector::zero(&vectors[0].space);
    for (v, &z) in vectors.iter().zip(coefficients) {
        total.combine(&[Complex64::ONE], &[z], v);
    }
    total
}

/// Ascending eigenvalues of the leading block of a Hermitian matrix, and its vectors as columns.
fn eigen(matrix: &Mat<Complex64>, m: usize) -> Result<(Vec<f64>, Mat<Complex64>)> {
    let block = Mat::from_fn(m, m, |i, j| if i == j { Complex64::new(matrix[(i, i)].re, 0.0) } else { matrix[(i, j)] });
    let found = block
        .self_adjoint_eigen(Side::Lower)
        .map_err(|e| Error::value(format!("eigenvalues of a projected operator: {e:?}")))?;
    let values = (0..m).map(|n| found.S().column_vector()[n].re).collect();
    Ok((values, found.U().to_owned()))
}

/// Orthonormal vectors of the space of some, orthogonalised twice; those of which the others leave less than a part of |v|^2 are left out.
pub(super) fn orthonormal<R: Real<Total = f64>>(
    vectors: impl Iterator<Item = Vector<R>>,
    least: f64,
) -> Result<Vec<Vector<R>>> {
    let mut basis: Basis<'_, R> =
        Basis { locked: &[], vectors: Vec::new(), matrix: Mat::zeros(0, 0), next: None, scale: 0.0 };
    for mut v in vectors {
        interrupt::poll()?;
        let before = v.norm2();
        basis.orthogonalize(&mut v);
        let norm = v.norm2();
        // What the others have already adds nothing.
        if norm > least * before {
            v.scale(1.0 / norm.sqrt());
            basis.vectors.push(v);
        }
    }
    Ok(basis.vectors)
}

/// Eigenvalues, vectors and residuals of a Hermitian operator in the space of some vectors, ascending.
pub fn rayleigh_ritz<'b, R: Real<Total = f64> + 'b>(
    a: &dyn LinearOperator<R>,
    vectors: impl Iterator<Item = &'b Vector<R>>,
) -> Result<Eigen<R>> {
    let basis = orthonormal(vectors.cloned(), 1e-12)?;
    let m = basis.len();
    let mut image = Vector::zero(a.space());
    let mut matrix = Mat::zeros(m, m);
    for j in 0..m {
        interrupt::poll()?;
        a.apply(&basis[j], &mut image);
        for i in 0..m {
            let z = Complex64::from(basis[i].inner(&image));
            matrix[(i, j)] += z * 0.5;
            matrix[(j, i)] += z.conj() * 0.5;
        }
    }
    let (values, turned) = eigen(&matrix, m)?;
    let (mut vectors, mut residuals) = (Vec::with_capacity(m), Vec::with_capacity(m));
    for (n, &value) in values.iter().enumerate() {
        let coefficients: Vec<_> = (0..m).map(|row| turned[(row, n)]).collect();
        let v = sum(&basis, &coefficients);
        a.apply(&v, &mut image);
        image.axpy(-value, &v);
        residuals.push(image.norm2().sqrt());
        vectors.push(v);
    }
    Ok(Eigen { values, vectors, residuals, scale: 0.0, info: SolveInfo::default(), degree: 0 })
}

impl<R: Real<Total = f64>> Eigen<R> {
    /// In ascending order of a key.
    pub fn sorted(mut self, key: impl Fn(f64) -> f64) -> Self {
        let mut order: Vec<usize> = (0..self.values.len()).collect();
        order.sort_by(|&a, &b| f64::total_cmp(&key(self.values[a]), &key(self.values[b])));
        self.values = order.iter().map(|&n| self.values[n]).collect();
        self.residuals = order.iter().map(|&n| self.residuals[n]).collect();
        self.vectors = order.iter().map(|&n| self.vectors[n].clone()).collect();
        self
    }

    /// Of an operator Q whose square these belong to: every pair +-value is taken apart in the space of v and Q v.
    pub fn of_root(self, q: &dyn LinearOperator<R>, count: usize, largest: bool, tolerance: f64) -> Result<Self> {
        let images: Vec<_> = self
            .vectors
            .iter()
            .map(|v| {
                let mut image = Vector::zero(&v.space);
                q.apply(v, &mut image);
                image
            })
            .collect();
        let scale = self.scale.max(0.0).sqrt();
        let both = self.vectors.iter().chain(&images);
        let mut found = rayleigh_ritz(q, both)?.sorted(|value| if largest { -value.abs() } else { value.abs() });
        found.values.truncate(count);
        found.vectors.truncate(count);
        found.residuals.truncate(count);
        let worst = found.residuals.iter().copied().fold(0.0, f64::max) / scale.max(f64::MIN_POSITIVE);
        let spent = SolveInfo { applications: self.info.applications + 5 * images.len(), ..self.info };
        if worst > tolerance {
            let message = format!(
                "eigenvalues of gamma_5 D have a relative residual of {worst:.3e}, {tolerance:.3e} is asked for: take a larger tolerance"
            );
            return Err(Error::Convergence { message, history: spent.history, best: None });
        }
        Ok(Self { scale, info: spent, degree: self.degree, ..found })
    }
}
