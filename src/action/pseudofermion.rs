//! Pseudofermion actions phi^dagger K^-a phi (Weingarten, Petcher 1981), K = D^dagger D of Wilson fermions (two flavours, even-odd form
//! where there is one) or of staggered ones on the even sites (four tastes) or on all sites (eight). a = 1, or for fewer flavours a
//! rational approximation of K^-a (RHMC: Clark, Kennedy, hep-lat/0309084).
//!
//! Ratios (Hasenbusch, hep-lat/0107019): phi^dagger W K^-1 W^dagger phi with the operator W of a heavier quark, whose integral is
//! det K / det W^dagger W, and phi^dagger (W^dagger W)^(a/2) K^-a (W^dagger W)^(a/2) phi for fewer flavours. Domain walls are always
//! ratios: to their Pauli-Villars field of mass 1 unless to another one. The even-odd form of a clover operator A + H leaves det A_oo:
//! the action has -2 a ln |det A_oo| beside it.

use crate::concept::{Action, Auxiliary, Configuration, Drawn, Effort, LinearOperator, Normal, Number};
use crate::dirac::{DiracSpec, EvenOdd, Family, LinkQuark, MOST_COLORS, Quark, Slopes, Whole};
use crate::error::{Error, Result};
use crate::field::{self, ItemKernel, Space, Vector};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::group;
use crate::lattice::{Lattice, Sites};
use crate::matrix::Complex;
use crate::number::Real;
use crate::random::{Draws, Purpose, Stream};
use crate::solver::{
    BEST_ACCURACY, Method, Rational, Single, SolveInfo, SolveParams, multishift_through, solve_through,
};
use std::sync::{Arc, Mutex, PoisonError};

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

impl Form {
    /// `work` with A and s such that K = s A.
    fn with_operator<R: Real, T>(
        self,
        quark: &dyn Quark<R>,
        work: impl FnOnce(&dyn LinearOperator<R>, f64) -> Result<T>,
    ) -> Result<T> {
        match self {
            Self::Whole | Self::Masked => work(&Normal::new(&Whole(quark)), 1.0),
            Self::Reduced => work(&Normal::new(&EvenOdd::new(quark)?), 1.0),
            // m - H_eo H_oe / m.
            Self::Even => work(&EvenOdd::new(quark)?, quark.constant().unwrap_or(1.0)),
        }
    }
}

/// Which of the tolerances: of the Metropolis test, and of molecular dynamics.
const ENERGY: usize = 0;
const FORCE: usize = 1;

/// A rational approximation with its partial fractions.
struct Fractions {
    rational: Rational,
    constant: f64,
    /// Residues with their poles.
    terms: Vec<(f64, f64)>,
}

impl Fractions {
    fn new(power: f64, accuracy: f64, range: [f64; 2]) -> Result<Self> {
        let rational = Rational::to_accuracy(power, accuracy, range)?;
        let (constant, terms) = rational.partial_fractions();
        Ok(Self { rational, constant, terms })
    }
}

/// Rational approximations for a < 1: of K^(a/2) to draw, and of K^-a for the action and for the force; of the heavier quark of a ratio
/// K^(-a/2) and K^(a/2).
struct Fraction {
    draw: Fractions,
    action: [Fractions; 2],
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
    /// Iterations in single precision, restarted from the true residual; for K^-1 alone.
    pub mixed: bool,
    /// Of how many solutions before it in a trajectory a solve for a force knows; for K^-1 alone.
    pub chronological: usize,
}

/// The heavier quark of a ratio.
struct Heavier<R: Real> {
    family: Family<R>,
    way: Way,
}

/// How the heavier quark of a ratio enters.
enum Way {
    /// By W^dagger.
    Adjoint,
    /// By m_W^2 - m^2 of staggered fermions, where W K^-1 W^dagger = 1 + (m_W^2 - m^2) K^-1.
    Difference(f64),
    /// By (W^dagger W)^(a/2), for fewer flavours.
    Root(Box<Fraction>),
}

/// What the heavier quark makes of phi.
enum Source<R> {
    /// phi itself.
    Phi,
    /// W^dagger phi.
    Adjoint(Vector<R>),
    /// (W^dagger W)^(a/2) phi, and the solution that it is the sum of.
    Root(Vector<R>, Solution<R>),
}

/// phi^dagger K^-a phi, or phi^dagger W K^-1 W^dagger phi.
pub struct Pseudofermion<R: Real, const N: usize> {
    family: Family<R>,
    over: Option<Heavier<R>>,
    form: Form,
    /// a
    power: f64,
    csw: f64,
    accuracy: Accuracy,
    fraction: Option<Fraction>,
    /// The operator in single precision.
    single: Option<Family<Single<R>>>,
    kept: Mutex<Option<(u64, Arc<Quarks<R, N>>)>>,
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
    /// For a lattice, with the operator `over` of a heavier quark if it is a ratio; an error says which numbers of flavours the
    /// operator can do.
    pub fn new(
        spec: &DiracSpec,
        over: Option<&DiracSpec>,
        n_flavors: u32,
        lattice: &Arc<Lattice>,
        accuracy: Accuracy,
    ) -> Result<Self> {
        if N > MOST_COLORS {
            return Err(Error::value(format!(
                "fermions are known up to SU({MOST_COLORS}); this is {}",
                group::name(N)
            )));
        }
        let regulator = spec.regulator();
        let over = over.or(regulator.as_ref());
        let Kind { power, tastes } = kind(spec, over, n_flavors, accuracy.mixed || accuracy.chronological > 0)?;
        let form = match (tastes, lattice.order().has_halves()) {
            (Some(8), _) | (None, false) => Form::Whole,
            (Some(_), true) => Form::Even,
            (Some(_), false) => Form::Masked,
            (None, true) => Form::Reduced,
        };
        let csw = if let DiracSpec::Wilson { csw, .. } = spec { *csw } else { 0.0 };
        let range = |spec| range_of(spec, form, accuracy.range, lattice.ndim());
        let over = match over {
            Some(over) => {
                let way = match (spec, over) {
                    _ if power < 1.0 => {
                        let powers = [-0.5 * power, 0.5 * power];
                        Way::Root(Box::new(Fraction::new(powers, range(over)?, &accuracy)?))
                    }
                    (DiracSpec::Staggered { mass, .. }, DiracSpec::Staggered { mass: heavy, .. }) => {
                        Way::Difference(heavy * heavy - mass * mass)
                    }
                    _ => Way::Adjoint,
                };
                Some(Heavier { family: Family::new(over, lattice)?, way })
            }
            None => None,
        };
        let fraction = match power < 1.0 {
            true => Some(Fraction::new([0.5 * power, -power], range(spec)?, &accuracy)?),
            false => None,
        };
        // Where the lattice cannot be cut for more lanes, double precision does it.
        let smaller = Lattice::new(lattice.extents(), <Single<R> as Real>::LANES).ok().filter(|smaller| {
            accuracy.mixed && !R::DUAL && smaller.order().has_halves() == lattice.order().has_halves()
        });
        let single = smaller.map(|smaller| Family::new(spec, &smaller)).transpose()?;
        Ok(Self {
            family: Family::new(spec, lattice)?,
            single,
            over,
            form,
            power,
            csw,
            accuracy,
            fraction,
            kept: Mutex::default(),
        })
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
        if given.is_none() {
            return Err(Error::value(
                "quarks have no value without their pseudofermion, which an HMC draws at the start of every trajectory: put the action \
                 into pq.HMC; a determinant is a matter of D.eigenvalues",
            ));
        }
        Err(Error::value(
            "the pseudofermion has another shape than the action: the two actions need operators of one kind and one n_flavors",
        ))
    }

    /// r(K) phi.
    fn solve(
        &self,
        quark: &dyn LinkQuark<R, N>,
        phi: &Vector<R>,
        (tolerance, fractions): (f64, &Fractions),
        effort: &mut Effort,
    ) -> Result<Solution<R>> {
        let params = SolveParams { tolerance, max_iterations: self.accuracy.max_iterations };
        let Fractions { rational, constant, terms } = fractions;
        self.form.with_operator(quark, |a, scale| {
            // 1 / (K + b) = (1/s) / (A + b/s).
            let shifts: Vec<f64> = terms.iter().map(|(_, pole)| pole / scale).collect();
            let (mut x, info) = multishift_through(a, phi, &shifts, params)?;
            check_range(&info, scale, rational)?;
            count(effort, &info);
            x.iter_mut().for_each(|x| x.scale(1.0 / scale));
            Ok(Solution { constant: *constant, terms: terms.iter().map(|(residue, _)| *residue).zip(x).collect() })
        })
    }

    /// K^-1 b of the light quark, near to what `near` spans.
    fn invert(
        &self,
        quarks: &Quarks<R, N>,
        b: &Vector<R>,
        (tolerance, near): (f64, &[Vector<R::Value>]),
        effort: &mut Effort,
    ) -> Result<Vector<R>> {
        let params = SolveParams { tolerance, max_iterations: self.accuracy.max_iterations };
        let (mut x, scale) = self.form.with_operator(&*quarks.light, |a, scale| {
            let mut solve = |single: Option<&dyn LinearOperator<Single<R>>>| {
                let (x, info) = solve_through(a, single, Method::Cg, near, b, params)?;
                count(effort, &info);
                Ok((x, scale))
            };
            match &quarks.single {
                Some(single) => self.form.with_operator(&**single, |single, _| solve(Some(single))),
                None => solve(None),
            }
        })?;
        x.scale(1.0 / scale);
        Ok(x)
    }

    /// Left and right with Re <left, dD right> = Re <D x, dD y> (of D_hat where it is the form): with x = y = (K + b)^-1 phi it is
    /// -1/2 of d(phi^dagger (K + b)^-1 phi).
    fn sides(&self, quark: &dyn LinkQuark<R, N>, [x, y]: [&Vector<R>; 2]) -> Result<[Vector<R>; 2]> {
        let quark: &dyn Quark<R> = quark;
        let image_of = |a: &dyn LinearOperator<R>, x: &Vector<R>| {
            let mut image = Vector::zero(&x.space);
            a.apply(x, &mut image);
            image
        };
        Ok(match self.form {
            Form::Whole | Form::Masked => [image_of(&Whole(quark), x), y.clone()],
            Form::Reduced => {
                let reduced = EvenOdd::new(quark)?;
                [reduced.extend(&image_of(&reduced, x), true), reduced.extend(y, false)]
            }
            Form::Even => {
                let [left, right] = [x, y].map(|part| {
                    let mut whole = Vector::zero(quark.space());
                    part.put_into(&mut whole);
                    whole
                });
                [image_of(&Whole(quark), &left), right]
            }
        })
    }

    /// `work` with D or D_hat.
    fn with_root<T>(&self, quark: &dyn Quark<R>, work: impl FnOnce(&dyn LinearOperator<R>) -> T) -> Result<T> {
        Ok(match self.form {
            Form::Reduced => work(&EvenOdd::new(quark)?),
            _ => work(&Whole(quark)),
        })
    }

    /// The solution that value and force are made of: r(K) of what the heavier quark makes of phi.
    fn solution(&self, quarks: &Quarks<R, N>, phi: &Vector<R>, which: usize, effort: &mut Effort) -> Result<Solved<R>> {
        let tolerance = self.accuracy.tolerances[which];
        let source = match (&quarks.heavy, &self.over) {
            (Some(heavy), Some(Heavier { way: Way::Adjoint, .. })) => {
                let mut source = Vector::zero(&phi.space);
                self.with_root(&**heavy, |w| w.apply_adjoint(phi, &mut source))?;
                Source::Adjoint(source)
            }
            (Some(heavy), Some(Heavier { way: Way::Root(root), .. })) => {
                let parts = self.solve(&**heavy, phi, (tolerance, &root.action[which]), effort)?;
                Source::Root(parts.sum(phi), parts)
            }
            _ => Source::Phi,
        };
        let b = source.vector(phi);
        let mut solution = match &self.fraction {
            Some(fraction) => self.solve(&*quarks.light, b, (tolerance, &fraction.action[which]), effort)?,
            None => {
                // The Metropolis test starts from zero.
                let most = if which == FORCE { self.accuracy.chronological } else { 0 };
                let mut near: Vec<Vector<R::Value>> =
                    if most == 0 { Vec::new() } else { effort.recall.take(self, phi) };
                let x = self.invert(quarks, b, (tolerance, &near), effort)?;
                if most > 0 {
                    let [value, _] = x.split();
                    near.push(value);
                    near.drain(..near.len().saturating_sub(most));
                    effort.recall.keep(self, phi, near);
                }
                Solution { constant: 0.0, terms: vec![(1.0, x)] }
            }
        };
        if let Some(Heavier { way: Way::Difference(difference), .. }) = &self.over {
            solution.constant = 1.0;
            solution.terms.iter_mut().for_each(|(weight, _)| *weight *= difference);
        }
        Ok(Solved { solution, source, which })
    }

    /// S(q; phi) of a solution.
    fn energy(&self, quarks: &Quarks<R, N>, phi: &Vector<R>, solved: &Solved<R>) -> R::Total {
        solved.solution.value(solved.source.vector(phi)) - self.log_det(quarks)
    }

    /// 2 a ln |det A_oo|, minus that of W, where it depends on the field.
    fn log_det(&self, quarks: &Quarks<R, N>) -> R::Total {
        let mut sum = R::Total::zero();
        for (quark, sign) in self.reduced(quarks) {
            if let Some((_, log_det)) = quark.clover() {
                sum += log_det * R::Total::splat(2.0 * sign * self.power);
            }
        }
        sum
    }

    /// The operators whose determinant on the odd sites is apart, with their signs in the logarithm.
    fn reduced<'a>(&self, quarks: &'a Quarks<R, N>) -> impl Iterator<Item = (&'a dyn LinkQuark<R, N>, f64)> {
        let all = std::iter::once((&*quarks.light, 1.0)).chain(quarks.heavy.as_deref().map(|heavy| (heavy, -1.0)));
        all.filter(|_| self.form == Form::Reduced)
    }

    /// p <- p - step F for a solution.
    fn push(
        &self,
        q: &GaugeField<R, N>,
        quarks: &Quarks<R, N>,
        (phi, solved): (&Vector<R>, &Solved<R>),
        step: f64,
        p: &mut LinkAlgebra<R, N>,
        effort: &mut Effort,
    ) -> Result<()> {
        let light = &*quarks.light;
        let mut slopes = (self.csw != 0.0).then(|| Slopes::<R, N>::new(light.space(), self.csw));
        let mut add = |quark: &dyn LinkQuark<R, N>, [left, right]: [Vector<R>; 2], weight: f64| {
            quark.add_force(&left, &right, weight, p);
            slopes.iter_mut().for_each(|slopes| slopes.add_product(&left, &right, weight));
        };
        for (weight, x) in &solved.solution.terms {
            add(light, self.sides(light, [x, x])?, 2.0 * step * weight);
        }
        match (&solved.source, &quarks.heavy, &self.over) {
            (Source::Adjoint(_), Some(heavy), _) => {
                let Some((_, x)) = solved.solution.terms.first() else { return Ok(()) };
                // W in W^dagger phi: + 2 Re <phi, dW x>.
                let sides = match self.form {
                    Form::Reduced => {
                        let reduced = EvenOdd::new(&**heavy as &dyn Quark<R>)?;
                        [reduced.extend(phi, true), reduced.extend(x, false)]
                    }
                    _ => [phi.clone(), x.clone()],
                };
                add(&**heavy, sides, -2.0 * step);
            }
            (Source::Root(source, parts), Some(heavy), Some(Heavier { way: Way::Root(root), .. })) => {
                // With y = r(K) source, u = (K_W + b)^-1 y and v = (K_W + b)^-1 phi: 2 Re <y, d(source)> is the sum of
                // -2 weight Re (<W v, dW u> + <W u, dW v>).
                let y = solved.solution.sum(source);
                let settings = (self.accuracy.tolerances[solved.which], &root.action[solved.which]);
                let others = self.solve(&**heavy, &y, settings, effort)?;
                for ((weight, v), (_, u)) in parts.terms.iter().zip(&others.terms) {
                    add(&**heavy, self.sides(&**heavy, [v, u])?, 2.0 * step * weight);
                    add(&**heavy, self.sides(&**heavy, [u, v])?, 2.0 * step * weight);
                }
            }
            _ => {}
        }
        let Some(mut slopes) = slopes else { return Ok(()) };
        for (quark, sign) in self.reduced(quarks) {
            if let Some((inverse, _)) = quark.clover() {
                slopes.add_log_det(inverse, sign * step * 2.0 * self.power);
            }
        }
        slopes.add_force(q, p);
        Ok(())
    }

    /// The operators on a field; those of the last field are kept, since value and force are asked for one after the other. They are made
    /// without the lock: a thread of the pool that waits takes up other work, which may ask for it.
    fn bind(&self, q: &GaugeField<R, N>) -> Result<Arc<Quarks<R, N>>> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *kept() {
            Some((stamp, quarks)) if *stamp == q.stamp() => return Ok(quarks.clone()),
            other => *other = None,
        }
        let heavy = self.over.as_ref().map(|over| over.family.on(q)).transpose()?;
        let single = self.single.as_ref().map(|single| single.on(q)).transpose()?;
        let quarks = Arc::new(Quarks { light: self.family.on(q)?, single, heavy });
        *kept() = Some((q.stamp(), quarks.clone()));
        Ok(quarks)
    }
}

/// The operator of an action on a field, and W of a ratio.
struct Quarks<R: Real, const N: usize> {
    light: Box<dyn LinkQuark<R, N>>,
    /// The light one in single precision.
    single: Option<Box<dyn LinkQuark<Single<R>, N>>>,
    heavy: Option<Box<dyn LinkQuark<R, N>>>,
}

/// A solution with its source, and which of the tolerances it has.
struct Solved<R> {
    solution: Solution<R>,
    source: Source<R>,
    which: usize,
}

impl<R> Source<R> {
    fn vector<'a>(&'a self, phi: &'a Vector<R>) -> &'a Vector<R> {
        match self {
            Self::Phi => phi,
            Self::Adjoint(vector) | Self::Root(vector, _) => vector,
        }
    }
}

/// How a number of flavours is made.
struct Kind {
    /// a
    power: f64,
    /// How many there are of staggered fermions.
    tastes: Option<u32>,
}

/// An error says which numbers of flavours the operator can do, or what differs between the quarks of a ratio.
fn kind(spec: &DiracSpec, over: Option<&DiracSpec>, n_flavors: u32, one_solve: bool) -> Result<Kind> {
    if matches!(spec, DiracSpec::Staggered { long: true, .. }) {
        return Err(Error::value(
            "fat and long links are for propagators: the force through the fattening is not there",
        ));
    }
    let is_twisted = |spec: &DiracSpec| matches!(spec, DiracSpec::Wilson { mu, .. } if *mu != 0.0);
    let twisted = is_twisted(spec) || over.is_some_and(is_twisted);
    let staggered = matches!(spec, DiracSpec::Staggered { .. });
    let allowed: (&[u32], &str) = match (staggered, twisted) {
        (true, _) => (&[1, 2, 3, 4, 8], "1, 2, 3, 4 or 8"),
        (_, true) => (&[2], "2 (up and down have opposite twist)"),
        _ => (&[1, 2], "1 or 2; add actions for more"),
    };
    if !allowed.0.contains(&n_flavors) {
        let name = spec.name();
        return Err(Error::value(format!("n_flavors = {n_flavors} of {name} fermions; {} can be done", allowed.1)));
    }
    if let Some(over) = over
        && !spec.differs_in_masses_alone(over)
    {
        return Err(Error::value(
            "the quarks of a ratio (hasenbusch=, over=) differ in more than their masses: they need operators of one kind with the \
             same csw, boundary and anisotropy, of domain walls with the same m5, ls, b and c",
        ));
    }
    let power = match staggered {
        true => (0.25 * f64::from(n_flavors)).min(1.0),
        false => 0.5 * f64::from(n_flavors),
    };
    if one_solve && power < 1.0 {
        return Err(Error::value(format!(
            "n_flavors = {n_flavors} of {} fermions is a rational approximation, whose poles are solved for together, from zero and in \
             double precision: precision=\"mixed\" and chronological are for {}",
            spec.name(),
            if staggered { "4 and 8 flavours" } else { "2 flavours" },
        )));
    }
    Ok(Kind { power, tastes: staggered.then_some(n_flavors) })
}

/// What is wrong with the quarks of an action, as far as it is known without a lattice; whether it asks for what needs K^-1 alone.
pub fn check_quarks(spec: &DiracSpec, over: Option<&DiracSpec>, n_flavors: u32, one_solve: bool) -> Result<()> {
    kind(spec, over, n_flavors, one_solve).map(|_| ())
}

impl Fraction {
    /// From the powers to draw and for the action.
    fn new([draw, action]: [f64; 2], range: [f64; 2], accuracy: &Accuracy) -> Result<Self> {
        let [fine, coarse] = accuracy.tolerances.map(|tolerance| tolerance.max(BEST_ACCURACY));
        let action = [Fractions::new(action, fine, range)?, Fractions::new(action, coarse, range)?];
        Ok(Self { draw: Fractions::new(draw, fine, range)?, action })
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
    if let DiracSpec::DomainWall { m5, .. } = spec {
        let Some([direct, inverse, hopped]) = spec.wall(ndim).and_then(|wall| wall.bounds()) else {
            return Err(Error::value("the part of the domain wall at the site is singular; change one of its numbers"));
        };
        let h = h * hopped;
        let largest = if form == Form::Reduced { direct + h * h * inverse } else { direct + h };
        // Light modes of the free theory: m m5 (2 - m5).
        let light = mass * m5 * (2.0 - m5);
        return Ok([1e-4f64.min(0.1 * light * light).max(1e-8), largest * largest]);
    }
    // The clover term adds at most c_sw/2 for each plane (|F| <= 1), which may make A_oo as small as half of what it is without.
    let clover = match spec {
        DiracSpec::Wilson { csw, .. } => 0.25 * csw.abs() * (ndim * (ndim - 1)) as f64,
        DiracSpec::Staggered { .. } | DiracSpec::DomainWall { .. } => 0.0,
    };
    let site = (mass + h).abs();
    let largest = match form {
        Form::Reduced => site + clover + h * h / (site - clover).max(0.5 * site),
        _ => site + clover + h,
    };
    // The gap of the free theory is m^2, that of a field is not known: a solve that meets smaller eigenvalues says so.
    Ok([1e-4f64.min(0.1 * mass * mass).max(1e-8), largest * largest])
}

impl<R: Real, const N: usize> Action<GaugeField<R, N>> for Pseudofermion<R, N> {
    fn auxiliaries(&self) -> usize {
        1
    }

    /// phi = D^dagger eta, W^-dagger D^dagger eta, or (W^dagger W)^(-a/2) K^(a/2) eta, with density exp(-|eta|^2) of eta.
    fn draw(&self, q: &GaugeField<R, N>, draws: Draws, effort: &mut Effort) -> Result<Drawn<GaugeField<R, N>>> {
        let quarks = self.bind(q)?;
        let quark = &*quarks.light;
        let base: &dyn Quark<R> = quark;
        let stream = draws.stream(Purpose::Pseudofermion);
        let noise = |space: &Space| {
            let mut eta = Vector::zero(space);
            let kernel = Gaussian { space, first: space.range().0, stream };
            field::update::<R, _>(&kernel, space.width(), &mut eta.values);
            eta
        };
        let space = self.space(base);
        let log_det = self.log_det(&quarks);
        if let Some(Fraction { draw, .. }) = &self.fraction {
            let mut eta = noise(&space);
            if self.form == Form::Masked {
                eta.keep_even();
            }
            let mut phi = self.solve(quark, &eta, (self.accuracy.tolerances[ENERGY], draw), effort)?.sum(&eta);
            if let (Some(heavy), Some(Heavier { way: Way::Root(root), .. })) = (&quarks.heavy, &self.over) {
                let settings = (self.accuracy.tolerances[ENERGY], &root.draw);
                phi = self.solve(&**heavy, &phi, settings, effort)?.sum(&phi);
            }
            return Ok(Drawn { fields: vec![phi], value: Some(eta.norm2() - log_det) });
        }
        // On the even sites alone D^dagger needs noise of all sites.
        let halved = matches!(self.form, Form::Even | Form::Masked);
        let eta = noise(if halved { base.space() } else { &space });
        let mut phi = Vector::zero(&eta.space);
        self.with_root(base, |d| d.apply_adjoint(&eta, &mut phi))?;
        if let Some(heavy) = &quarks.heavy {
            phi = self.with_root(&**heavy, |w| -> Result<_> {
                // W^-dagger = W (W^dagger W)^-1
                let params = SolveParams {
                    tolerance: self.accuracy.tolerances[ENERGY],
                    max_iterations: self.accuracy.max_iterations,
                };
                let (x, info) = solve_through(&Normal::new(w), None, Method::Cg, &[], &phi, params)?;
                count(effort, &info);
                let mut image = Vector::zero(&x.space);
                w.apply(&x, &mut image);
                Ok(image)
            })??;
        }
        match self.form {
            Form::Even => Ok(Drawn { fields: vec![phi.part(Sites::Even)], value: None }),
            Form::Masked => {
                phi.keep_even();
                Ok(Drawn { fields: vec![phi], value: None })
            }
            _ => Ok(Drawn { fields: vec![phi], value: Some(eta.norm2() - log_det) }),
        }
    }

    fn value(
        &self,
        q: &GaugeField<R, N>,
        phi: &[Auxiliary<GaugeField<R, N>>],
        effort: &mut Effort,
    ) -> Result<Number<GaugeField<R, N>>> {
        let quarks = self.bind(q)?;
        self.check(phi, &self.space(&*quarks.light))?;
        let solved = self.solution(&quarks, &phi[0], ENERGY, effort)?;
        Ok(self.energy(&quarks, &phi[0], &solved))
    }

    fn kick(
        &self,
        q: &GaugeField<R, N>,
        phi: &[Auxiliary<GaugeField<R, N>>],
        step: f64,
        p: &mut LinkAlgebra<R, N>,
        effort: &mut Effort,
    ) -> Result<()> {
        let quarks = self.bind(q)?;
        self.check(phi, &self.space(&*quarks.light))?;
        let solved = self.solution(&quarks, &phi[0], FORCE, effort)?;
        self.push(q, &quarks, (&phi[0], &solved), step, p, effort)
    }

    fn derivatives(
        &self,
        q: &GaugeField<R, N>,
        phi: &[Auxiliary<GaugeField<R, N>>],
        _gradient: &mut [Number<GaugeField<R, N>>],
        effort: &mut Effort,
    ) -> Result<(Number<GaugeField<R, N>>, LinkAlgebra<R, N>)> {
        let quarks = self.bind(q)?;
        self.check(phi, &self.space(&*quarks.light))?;
        let solved = self.solution(&quarks, &phi[0], ENERGY, effort)?;
        let mut force = q.zero();
        self.push(q, &quarks, (&phi[0], &solved), -1.0, &mut force, effort)?;
        Ok((self.energy(&quarks, &phi[0], &solved), force))
    }
}

fn count(effort: &mut Effort, info: &SolveInfo) {
    effort.solves += 1;
    effort.iterations += info.iterations as u64;
    effort.worst_residual = effort.worst_residual.max(info.residual);
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
        let [[re, im]] = self.stream.normals::<R, 1>(lattice.sites::<R>(vector), (n % width) as u32);
        let half = R::splat(std::f64::consts::FRAC_1_SQRT_2);
        *z = Complex::new(re * half, im * half);
    }
}
