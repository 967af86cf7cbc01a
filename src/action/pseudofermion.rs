//! Pseudofermion actions phi^dagger K^-a phi (Weingarten, Petcher 1981), K = D^dagger D of Wilson fermions (two flavours, even-odd form
//! where there is one) or of staggered ones on the even sites (four tastes) or on all sites (eight). a = 1, or for fewer flavours a
//! rational approximation of K^-a (RHMC: Clark, Kennedy, hep-lat/0309084).

use crate::concept::{Action, Auxiliary, Configuration, Drawn, Effort, LinearOperator, Normal, Number};
use crate::dirac::{DiracSpec, EvenOdd, Family, LinkQuark, MOST_COLORS, Quark, Whole};
use crate::error::{Error, Result};
use crate::field::{self, ItemKernel, Space, Vector};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::group;
use crate::lattice::{Lattice, Sites};
use crate::matrix::Complex;
use crate::number::Real;
use crate::random::{Draws, Purpose, Stream};
use crate::solver::{BEST_ACCURACY, Method, Rational, SolveInfo, SolveParams, multishift_through, solve_through};
use std::sync::Arc;

/// Where the pseudofermion lives and what K is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// D^dagger D on all sites.
    Whole,
    /// D_hat^dagger D_hat of the even-odd form.
    Reduced,
    /// D^dagger D = m^2 - H_eo H_oe on the even sites, staggered.
    Even,
    /// The same with a vector on all sites that vanishes on the odd ones.
    Masked,
}

/// Rational approximations for a < 1: of K^(a/2) to draw, and of K^-a for the action and for the force.
struct Fraction {
    draw: Rational,
    action: [Rational; 2],
}

/// How a pseudofermion is solved for.
#[derive(Debug, Clone, Copy)]
pub struct Accuracy {
    /// Relative residual of the solves for the action and for the force.
    pub tolerances: [f64; 2],
    /// Most iterations of a solve.
    pub max_iterations: usize,
    /// Between which numbers the eigenvalues of K lie, for rational approximations.
    pub range: Option<[f64; 2]>,
}

/// phi^dagger K^-a phi.
pub struct Pseudofermion<R: Real, const N: usize> {
    family: Family<R>,
    form: Form,
    accuracy: Accuracy,
    fraction: Option<Fraction>,
}

/// r(K) phi = constant phi + sum_k weight_k x_k.
struct Solution<R> {
    constant: f64,
    terms: Vec<(f64, Vector<R>)>,
}

impl<R: Real> Solution<R> {
    fn sum(&self, phi: &Vector<R>) -> Vector<R> {
        let mut sum = phi.clone();
        sum.scale(self.constant);
        self.terms.iter().for_each(|(weight, x)| sum.axpy(*weight, x));
        sum
    }
    /// phi^dagger r(K) phi.
    fn value(&self, phi: &Vector<R>) -> R::Total {
        let constant = phi.norm2() * R::Total::splat(self.constant);
        self.terms.iter().fold(constant, |sum, (weight, x)| sum + phi.inner(x).re * R::Total::splat(*weight))
    }
}

impl<R: Real, const N: usize> Pseudofermion<R, N> {
    /// For a lattice; an error says which numbers of flavours the operator can do.
    pub fn new(spec: &DiracSpec, n_flavors: u32, lattice: &Arc<Lattice>, accuracy: Accuracy) -> Result<Self> {
        if N > MOST_COLORS {
            return Err(Error::value(format!(
                "fermions are known up to SU({MOST_COLORS}); this is {}",
                group::name(N)
            )));
        }
        if spec.slices().is_some() {
            return Err(Error::value(
                "domain walls are for propagators: their pseudofermion needs a Pauli-Villars field, which is not there",
            ));
        }
        if matches!(spec, DiracSpec::Staggered { long: true, .. }) {
            return Err(Error::value(
                "fat and long links are for propagators: the force through the fattening is not there",
            ));
        }
        let (halves, staggered) = (lattice.order().has_halves(), matches!(spec, DiracSpec::Staggered { .. }));
        let plain = matches!(spec, DiracSpec::Wilson { csw, mu, .. } if *csw == 0.0 && *mu == 0.0);
        let twisted = matches!(spec, DiracSpec::Wilson { mu, .. } if *mu != 0.0);
        let (form, power) = match (n_flavors, staggered) {
            (1 | 2, false) if halves && plain => (Form::Reduced, 0.5 * f64::from(n_flavors)),
            (1, false) if !twisted => (Form::Whole, 0.5),
            (2, false) => (Form::Whole, 1.0),
            (1..=4, true) => (if halves { Form::Even } else { Form::Masked }, 0.25 * f64::from(n_flavors)),
            (8, true) => (Form::Whole, 1.0),
            (given, _) => {
                let allowed = match (staggered, twisted) {
                    (true, _) => "1, 2, 3, 4 or 8",
                    (_, true) => "2 (up and down have opposite twist)",
                    _ => "1 or 2; add actions for more",
                };
                let name = spec.name();
                return Err(Error::value(format!("n_flavors = {given} of {name} fermions; {allowed} can be done")));
            }
        };
        if matches!(spec, DiracSpec::Wilson { csw, .. } if *csw != 0.0) {
            return Err(Error::value("the force of the clover term is not known: take csw = 0 in an action"));
        }
        let fraction = match power < 1.0 {
            true => Some(Fraction::new(power, range_of(spec, form, accuracy.range, lattice.ndim())?, &accuracy)?),
            false => None,
        };
        Ok(Self { family: Family::new(spec, lattice)?, form, accuracy, fraction })
    }

    fn space(&self, quark: &dyn Quark<R>) -> Space {
        match self.form {
            Form::Whole | Form::Masked => quark.space().clone(),
            Form::Reduced | Form::Even => quark.space().on(Sites::Even),
        }
    }

    fn check(&self, phi: &[Auxiliary<GaugeField<R, N>>], space: &Space) -> Result<()> {
        let given = phi.first().map(|phi| (phi.space.sites, phi.space.components, phi.values.len()));
        let needed = (space.sites, space.components, space.range().1 * space.width());
        if given == Some(needed) {
            return Ok(());
        }
        Err(Error::value(
            "the pseudofermion has another shape than the action: the two actions need operators of one kind and one n_flavors",
        ))
    }

    /// `work` with A and s such that K = s A.
    fn with_operator<T>(
        &self,
        quark: &dyn LinkQuark<R, N>,
        work: impl FnOnce(&dyn LinearOperator<R>, f64) -> Result<T>,
    ) -> Result<T> {
        let quark: &dyn Quark<R> = quark;
        match self.form {
            Form::Whole | Form::Masked => work(&Normal(&Whole(quark)), 1.0),
            Form::Reduced => work(&Normal(&EvenOdd::new(quark)?), 1.0),
            // m - H_eo H_oe / m.
            Form::Even => work(&EvenOdd::new(quark)?, quark.constant().unwrap_or(1.0)),
        }
    }

    /// K^-1 phi, or r(K) phi.
    fn solve(
        &self,
        quark: &dyn LinkQuark<R, N>,
        phi: &Vector<R>,
        (tolerance, rational): (f64, Option<&Rational>),
        effort: &mut Effort,
    ) -> Result<Solution<R>> {
        let params = SolveParams { tolerance, max_iterations: self.accuracy.max_iterations };
        let mut note = |info: SolveInfo| {
            effort.solves += 1;
            effort.iterations += info.iterations as u64;
            effort.worst_residual = effort.worst_residual.max(info.residual);
        };
        self.with_operator(quark, |a, scale| {
            let Some(rational) = rational else {
                let (mut x, info) = solve_through(a, Method::Cg, phi, params)?;
                note(info);
                x.scale(1.0 / scale);
                return Ok(Solution { constant: 0.0, terms: vec![(1.0, x)] });
            };
            // 1 / (K + b) = (1/s) / (A + b/s).
            let (constant, terms) = rational.partial_fractions();
            let shifts: Vec<f64> = terms.iter().map(|(_, pole)| pole / scale).collect();
            let (mut x, info) = multishift_through(a, phi, &shifts, params)?;
            check_range(&info, scale, rational)?;
            note(info);
            x.iter_mut().for_each(|x| x.scale(1.0 / scale));
            Ok(Solution { constant, terms: terms.iter().map(|(residue, _)| *residue).zip(x).collect() })
        })
    }

    /// For x = (K + b)^-1 phi: left and right such that d(phi^dagger (K + b)^-1 phi) = -2 Re <left, dD right>.
    fn sides(&self, quark: &dyn LinkQuark<R, N>, x: &Vector<R>) -> Result<[Vector<R>; 2]> {
        let quark: &dyn Quark<R> = quark;
        let image_of = |a: &dyn LinearOperator<R>, x: &Vector<R>| {
            let mut image = Vector::zero(&x.space);
            a.apply(x, &mut image);
            image
        };
        Ok(match self.form {
            Form::Whole | Form::Masked => [image_of(&Whole(quark), x), x.clone()],
            Form::Reduced => {
                let reduced = EvenOdd::new(quark)?;
                [reduced.extend(&image_of(&reduced, x), true), reduced.extend(x, false)]
            }
            Form::Even => {
                let mut right = Vector::zero(quark.space());
                x.put_into(&mut right);
                [image_of(&Whole(quark), &right), right]
            }
        })
    }

    /// p <- p - step F for a solution.
    fn push(
        &self,
        quark: &dyn LinkQuark<R, N>,
        solution: &Solution<R>,
        step: f64,
        p: &mut LinkAlgebra<R, N>,
    ) -> Result<()> {
        for (weight, x) in &solution.terms {
            let [left, right] = self.sides(quark, x)?;
            quark.add_force(&left, &right, 2.0 * step * weight, p);
        }
        Ok(())
    }

    /// What solves use for the action (0) and for the force (1).
    fn settings(&self, which: usize) -> (f64, Option<&Rational>) {
        (self.accuracy.tolerances[which], self.fraction.as_ref().map(|fraction| &fraction.action[which]))
    }
}

impl Fraction {
    fn new(power: f64, range: [f64; 2], accuracy: &Accuracy) -> Result<Self> {
        let [fine, coarse] = accuracy.tolerances.map(|tolerance| tolerance.max(BEST_ACCURACY));
        let action = [Rational::to_accuracy(-power, fine, range)?, Rational::to_accuracy(-power, coarse, range)?];
        Ok(Self { draw: Rational::to_accuracy(0.5 * power, fine, range)?, action })
    }
}

/// The smallest and the largest eigenvalue that the solve saw lie where the approximation is good.
fn check_range(info: &SolveInfo, scale: f64, rational: &Rational) -> Result<()> {
    let Some([low, high]) = info.spectrum.map(|ends| ends.map(|end| end * scale)) else { return Ok(()) };
    let [least, most] = rational.range;
    if low >= 0.999 * least && high <= 1.001 * most {
        return Ok(());
    }
    Err(Error::value(format!(
        "eigenvalues of D^dagger D from {low:.4e} to {high:.4e} were met; the rational approximation holds from {least:.4e} to \
         {most:.4e}: give Pseudofermion(..., spectral_range=(low, high)) with room at both ends"
    )))
}

/// Ends of the spectrum of K: what is given, or what every field keeps to. The hopping term of D is a sum over directions of unitary
/// matrices with weights that sum to h, so |D| <= |m + h| + h for Wilson fermions and m^2 <= K <= m^2 + h^2 for staggered ones.
fn range_of(spec: &DiracSpec, form: Form, given: Option<[f64; 2]>, ndim: usize) -> Result<[f64; 2]> {
    if let Some(range) = given {
        return Ok(range);
    }
    let (mass, h) = (spec.mass(ndim), spec.weights(ndim).iter().sum::<f64>());
    if let DiracSpec::Staggered { .. } = spec {
        return Ok([mass * mass, mass * mass + h * h]);
    }
    let largest = match form {
        Form::Reduced => (mass + h).abs() + h * h / (mass + h).abs(),
        _ => (mass + h).abs() + h,
    };
    // The gap of the free theory is m^2, that of a field is not known: a solve that meets smaller eigenvalues says so.
    Ok([1e-4f64.min(0.1 * mass * mass).max(1e-8), largest * largest])
}

impl<R: Real, const N: usize> Action<GaugeField<R, N>> for Pseudofermion<R, N> {
    fn auxiliaries(&self) -> usize {
        1
    }

    /// phi = D^dagger eta, or K^(a/2) eta, with density exp(-|eta|^2) of eta.
    fn draw(&self, q: &GaugeField<R, N>, draws: Draws, effort: &mut Effort) -> Result<Drawn<GaugeField<R, N>>> {
        let quark = self.family.on(q)?;
        let base: &dyn Quark<R> = &*quark;
        let stream = draws.stream(Purpose::Pseudofermion);
        let noise = |space: &Space| {
            let mut eta = Vector::zero(space);
            let kernel = Gaussian { space, first: space.range().0, stream };
            field::update::<R, _>(&kernel, space.width(), &mut eta.values);
            eta
        };
        let space = self.space(base);
        if let Some(Fraction { draw, .. }) = &self.fraction {
            let mut eta = noise(&space);
            if self.form == Form::Masked {
                eta.keep_even();
            }
            let phi = self.solve(&*quark, &eta, (self.accuracy.tolerances[0], Some(draw)), effort)?.sum(&eta);
            return Ok(Drawn { fields: vec![phi], value: Some(eta.norm2()) });
        }
        let (phi, value) = match self.form {
            Form::Whole => {
                let (eta, mut phi) = (noise(&space), Vector::zero(&space));
                Whole(base).apply_adjoint(&eta, &mut phi);
                (phi, Some(eta.norm2()))
            }
            Form::Reduced => {
                let (eta, mut phi) = (noise(&space), Vector::zero(&space));
                EvenOdd::new(base)?.apply_adjoint(&eta, &mut phi);
                (phi, Some(eta.norm2()))
            }
            Form::Even | Form::Masked => {
                let (eta, mut whole) = (noise(base.space()), Vector::zero(base.space()));
                Whole(base).apply_adjoint(&eta, &mut whole);
                let mut phi = Vector::zero(&space);
                match self.form {
                    Form::Even => phi.copy_part(&whole),
                    _ => {
                        whole.keep_even();
                        phi = whole;
                    }
                }
                (phi, None)
            }
        };
        Ok(Drawn { fields: vec![phi], value })
    }

    fn value(
        &self,
        q: &GaugeField<R, N>,
        phi: &[Auxiliary<GaugeField<R, N>>],
        effort: &mut Effort,
    ) -> Result<Number<GaugeField<R, N>>> {
        let quark = self.family.on(q)?;
        self.check(phi, &self.space(&*quark as &dyn Quark<R>))?;
        Ok(self.solve(&*quark, &phi[0], self.settings(0), effort)?.value(&phi[0]))
    }

    fn kick(
        &self,
        q: &GaugeField<R, N>,
        phi: &[Auxiliary<GaugeField<R, N>>],
        step: f64,
        p: &mut LinkAlgebra<R, N>,
        effort: &mut Effort,
    ) -> Result<()> {
        let quark = self.family.on(q)?;
        self.check(phi, &self.space(&*quark as &dyn Quark<R>))?;
        let solution = self.solve(&*quark, &phi[0], self.settings(1), effort)?;
        self.push(&*quark, &solution, step, p)
    }

    fn derivatives(
        &self,
        q: &GaugeField<R, N>,
        phi: &[Auxiliary<GaugeField<R, N>>],
        _gradient: &mut [Number<GaugeField<R, N>>],
        effort: &mut Effort,
    ) -> Result<(Number<GaugeField<R, N>>, LinkAlgebra<R, N>)> {
        let quark = self.family.on(q)?;
        self.check(phi, &self.space(&*quark as &dyn Quark<R>))?;
        let solution = self.solve(&*quark, &phi[0], self.settings(0), effort)?;
        let mut force = q.zero();
        self.push(&*quark, &solution, -1.0, &mut force)?;
        Ok((solution.value(&phi[0]), force))
    }
}

/// Complex numbers with density exp(-|z|^2), the same for any cut of the lattice.
struct Gaussian<'a> {
    space: &'a Space,
    first: usize,
    stream: Stream,
}

impl<R: Real> ItemKernel<Complex<R>> for Gaussian<'_> {
    #[inline(always)]
    fn at(&self, n: usize, z: &mut Complex<R>) {
        let (width, lattice) = (self.space.width(), &self.space.lattice);
        let vector = lattice.order().vector(self.first + n / width);
        let (re, im) = self.stream.normals::<R>(|lane| lattice.site(vector, lane), (n % width) as u32);
        let half = R::splat(std::f64::consts::FRAC_1_SQRT_2);
        *z = Complex::new(re * half, im * half);
    }
}
