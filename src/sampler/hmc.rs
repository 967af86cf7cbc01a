//! Hybrid Monte Carlo (Duane et al., Phys. Lett. B 195 (1987) 216) over any field that can drift.
//!
//! Terms of the action are built once and named by number: levels say which of them move the field on which time scale, roles say
//! which of them the Metropolis test uses. Self-learning HMC moves with one action and tests another.

use super::integrator::{Dynamics, Level};
use crate::concept::{Action, Auxiliary, Configuration, Effort, Number, Objective, Recall, Tangent, kinetic, unused};
use crate::error::{Error, Result};
use crate::number::Real;
use crate::random::{Draws, Purpose};
use rand::RngExt;
use rand::distr::Open01;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Whether a term moves the field, is tested, or both.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Moves the field and is part of the energy of the Metropolis test.
    #[default]
    Both,
    /// Moves the field only.
    Moves,
    /// Is tested only.
    Tested,
}

/// One term of the action.
pub struct Term<Q> {
    /// The term.
    pub action: Arc<dyn Action<Q>>,
    /// What it is for.
    pub role: Role,
    /// Uses the auxiliary fields of that term instead of its own.
    pub auxiliary: Option<usize>,
}

/// What happens when a solve fails inside a trajectory.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The error ends the run.
    #[default]
    Raise,
    /// The trajectory is rejected, and the information says so.
    Reject,
}

/// Molecular dynamics along `levels`, accepted with the tested terms.
pub struct Hmc<Q> {
    /// The terms of the action.
    pub terms: Vec<Term<Q>>,
    /// Time scales, slowest first.
    pub levels: Vec<Level>,
    /// Trajectory length in molecular dynamics time.
    pub length: f64,
    /// What a failed solve does.
    pub on_failure: OnFailure,
}

/// The force of one term at the start of a trajectory, per link, site or spin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ForceSize {
    /// Root of the mean of |F|^2.
    pub mean: f64,
    /// Largest |F|.
    pub largest: f64,
}

/// What a trajectory teaches about its proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lesson {
    /// S(moves) - S(tested) at both ends.
    Energy,
    /// |F(moves) - F(tested)|^2 per link or site, at the end.
    Force,
}

/// Displacement of the links, root mean square, by which derivatives of forces are taken.
const DISPLACEMENT: f64 = 3e-3;

/// What happened in one trajectory.
#[derive(Debug)]
pub struct HmcInfo {
    /// Whether the proposal was accepted.
    pub accepted: bool,
    /// Whether a solve failed inside the trajectory.
    pub failed: bool,
    /// H(end) - H(start).
    pub delta_h: f64,
    /// S of the state that is kept, its tested terms.
    pub action: f64,
    /// What the solves cost.
    pub effort: Effort,
    /// Force sizes of the terms that move the field, by number of the term (zero for the others).
    pub forces: Vec<ForceSize>,
}

/// Auxiliary fields of all terms, and the energy of those that knew it when they were drawn.
struct Start<Q: Configuration> {
    phi: Vec<Vec<Auxiliary<Q>>>,
    known: Vec<Option<Number<Q>>>,
}

impl<Q: Configuration> Hmc<Q>
where
    Q::Scalar: Real<Total = f64>,
{
    /// One action on one time scale.
    pub fn plain(action: Arc<dyn Action<Q>>, level: Level, length: f64) -> Self {
        let term = Term { action, role: Role::Both, auxiliary: None };
        Self { terms: vec![term], levels: vec![level], length, on_failure: OnFailure::Raise }
    }

    /// Refuses numbers of terms that do not exist.
    pub fn validate(&self) -> Result<()> {
        let count = self.terms.len();
        let named = self.levels.iter().flat_map(|level| &level.terms).copied();
        match named.chain(self.terms.iter().filter_map(|term| term.auxiliary)).find(|&n| n >= count) {
            Some(n) => Err(Error::value(format!("term {n} is named; there are {count} terms"))),
            None => Ok(()),
        }
    }

    /// One trajectory from `q`; the field at its end or `q` itself, restored to its manifold after the Metropolis test.
    pub fn step(&self, q: &Q, draws: Draws) -> Result<(Q, HmcInfo)> {
        self.trajectory(q, draws, None)
    }

    /// The same trajectory with what it teaches about the proposal at its start and at its end, accepted or not (the end is
    /// missing where a solve failed): a [`Lesson`] for the same auxiliary fields, with its derivative with respect to the
    /// parameters of the terms that only move the field, in their order.
    pub fn step_and_learn(&self, q: &Q, draws: Draws, lesson: Lesson) -> Result<(Q, HmcInfo, Vec<Objective<f64>>)> {
        let mut lessons = Vec::new();
        let (q, info) = self.trajectory(q, draws, Some((lesson, &mut lessons)))?;
        Ok((q, info, lessons))
    }

    /// What a trajectory that starts at `q` would teach there.
    pub fn lesson(&self, q: &Q, draws: Draws, lesson: Lesson) -> Result<Objective<f64>> {
        let mut effort = Effort::default();
        self.validate()?;
        let start = self.draw(q, draws, &mut effort)?;
        if lesson == Lesson::Force {
            return self.mismatch(q, &start.phi, &mut effort);
        }
        let tested = self.energies(q, &start.phi, &start.known, &mut effort)?;
        self.compare(q, &start.phi, &tested, &mut effort)
    }

    fn trajectory(
        &self,
        q: &Q,
        draws: Draws,
        mut lessons: Option<(Lesson, &mut Vec<Objective<f64>>)>,
    ) -> Result<(Q, HmcInfo)> {
        self.validate()?;
        let mut effort = Effort::default();
        let mut p = q.noise(draws);
        let start = self.draw(q, draws, &mut effort)?;
        let tested = self.energies(q, &start.phi, &start.known, &mut effort)?;
        let before: f64 = tested.iter().sum();
        if before.is_nan() {
            return Err(Error::value(
                "the action of the starting field is NaN; look for NaN in the field or the parameters",
            ));
        }
        if let Some((lesson, lessons)) = &mut lessons {
            lessons.push(match lesson {
                Lesson::Energy => self.compare(q, &start.phi, &tested, &mut effort)?,
                // The chain has been here before: its end was the last lesson.
                Lesson::Force => Objective { value: 0.0, gradient: vec![0.0; self.n_parameters()] },
            });
        }
        let kinetic_before = kinetic(&p);
        let mut proposal = q.clone();
        let mut forces = vec![None; self.terms.len()];
        let end = self
            .integrate(&mut proposal, &mut p, &start.phi, &mut effort, &mut forces)
            .and_then(|()| self.energies(&proposal, &start.phi, &vec![None; self.terms.len()], &mut effort))
            .and_then(|tested| {
                if let Some((lesson, lessons)) = lessons {
                    lessons.push(match lesson {
                        Lesson::Energy => self.compare(&proposal, &start.phi, &tested, &mut effort)?,
                        Lesson::Force => self.mismatch(&proposal, &start.phi, &mut effort)?,
                    });
                }
                Ok(tested.iter().sum())
            });
        let (end, failed): (f64, bool) = match end {
            Ok(end) => (end, false),
            Err(Error::Convergence { .. }) if self.on_failure == OnFailure::Reject => (f64::INFINITY, true),
            Err(error) => return Err(error),
        };
        let delta_h = end + kinetic(&p) - before - kinetic_before;
        // A NaN (diverged trajectory) compares false and is rejected.
        let uniform: f64 = draws.stream(Purpose::Metropolis).site(0).sample(Open01);
        let accepted = uniform < (-delta_h).exp();
        if accepted {
            proposal.restore();
        }
        let zero = ForceSize { mean: 0.0, largest: 0.0 };
        let forces = forces.into_iter().map(|force| force.unwrap_or(zero)).collect();
        let action = if accepted { end } else { before };
        let info = HmcInfo { accepted, failed, delta_h, action, effort, forces };
        Ok((if accepted { proposal } else { q.clone() }, info))
    }

    /// Along a trajectory and back with the momenta turned around: the field at the end, and H - H(start) there and half-way.
    pub fn there_and_back(&self, q: &Q, draws: Draws) -> Result<(Q, [f64; 2])> {
        self.validate()?;
        let mut effort = Effort::default();
        let (mut field, mut p) = (q.clone(), q.noise(draws));
        let start = self.draw(q, draws, &mut effort)?;
        let mut known = start.known;
        let mut energies = [0.0; 3];
        for n in 0..energies.len() {
            let tested = self.energies(&field, &start.phi, &known, &mut effort)?;
            energies[n] = tested.iter().sum::<f64>() + kinetic(&p);
            known = vec![None; self.terms.len()];
            if n + 1 < energies.len() {
                let mut forces = vec![None; self.terms.len()];
                self.integrate(&mut field, &mut p, &start.phi, &mut effort, &mut forces)?;
                let mut turned = field.zero();
                turned.axpy(-1.0, &p);
                p = turned;
                // A trajectory from the end would know nothing of this one.
                effort.recall = Recall::default();
            }
        }
        Ok((field, [energies[2] - energies[0], energies[1] - energies[0]]))
    }

    /// How many parameters the terms that only move the field have.
    pub fn n_parameters(&self) -> usize {
        self.students().map(|(_, term)| term.action.n_parameters()).sum()
    }

    /// The same with other parameters of the terms that only move the field.
    pub fn with_parameters(&self, theta: &[f64]) -> Result<Self> {
        let needed = self.n_parameters();
        if theta.len() != needed {
            return Err(Error::value(format!("{} parameters given; the proposal has {needed}", theta.len())));
        }
        let mut rest = theta;
        let mut term = |term: &Term<Q>| {
            let mut action = term.action.clone();
            if term.role == Role::Moves {
                let (own, others) = rest.split_at(action.n_parameters());
                rest = others;
                action = action.with_parameters(own).unwrap_or(action);
            }
            Term { action, role: term.role, auxiliary: term.auxiliary }
        };
        let terms = self.terms.iter().map(&mut term).collect();
        Ok(Self { terms, levels: self.levels.clone(), length: self.length, on_failure: self.on_failure })
    }

    /// The terms that only move the field, with their numbers.
    fn students(&self) -> impl Iterator<Item = (usize, &Term<Q>)> {
        self.terms.iter().enumerate().filter(|(_, term)| term.role == Role::Moves)
    }

    /// S(moves) - S(tested) with what the terms that are only tested are known to be; terms that do both cancel.
    fn compare(&self, q: &Q, phi: &[Vec<Auxiliary<Q>>], tested: &[f64], effort: &mut Effort) -> Result<Objective<f64>> {
        let only_tested = self.terms.iter().zip(tested).filter(|(term, _)| term.role == Role::Tested);
        let mut difference = -only_tested.map(|(_, value)| value).sum::<f64>();
        let mut gradient = Vec::with_capacity(self.n_parameters());
        for (n, term) in self.students() {
            let mut own = unused(&*term.action);
            difference += term.action.derivatives(q, &phi[term.auxiliary.unwrap_or(n)], &mut own, effort)?.0;
            gradient.extend(own);
        }
        Ok(Objective { value: difference, gradient })
    }

    /// dS(moves)/dtheta.
    fn slopes(&self, q: &Q, phi: &[Vec<Auxiliary<Q>>], effort: &mut Effort) -> Result<Vec<f64>> {
        let mut slopes = Vec::with_capacity(self.n_parameters());
        for (n, term) in self.students() {
            let mut own = unused(&*term.action);
            term.action.derivatives(q, &phi[term.auxiliary.unwrap_or(n)], &mut own, effort)?;
            slopes.extend(own);
        }
        Ok(slopes)
    }

    /// |v|^2 per link, v = F(moves) - F(tested), and its derivative: since d S = <F, delta>, that of |v|^2/2 is the derivative of
    /// dS(moves)/dtheta along v, which no second derivative of an action is needed for: five points, exact to the fourth order.
    fn mismatch(&self, q: &Q, phi: &[Vec<Auxiliary<Q>>], effort: &mut Effort) -> Result<Objective<f64>> {
        let mut v = q.zero();
        for (n, term) in self.terms.iter().enumerate().filter(|(_, term)| term.role != Role::Both) {
            let mut own = unused(&*term.action);
            let force = term.action.derivatives(q, &phi[term.auxiliary.unwrap_or(n)], &mut own, effort)?.1;
            v.axpy(if term.role == Role::Moves { 1.0 } else { -1.0 }, &force);
        }
        let count = v.count().max(1) as f64;
        let value = v.inner(&v) / count;
        let mut gradient = vec![0.0; self.n_parameters()];
        if value > 0.0 && value.is_finite() {
            let step = DISPLACEMENT / value.sqrt();
            for (steps, weight) in [(1.0, 8.0), (-1.0, -8.0), (2.0, -1.0), (-2.0, 1.0)] {
                let mut displaced = q.clone();
                displaced.drift(steps * step, &mut v.clone());
                let slopes = self.slopes(&displaced, phi, effort)?;
                gradient
                    .iter_mut()
                    .zip(slopes)
                    .for_each(|(g, slope)| *g += slope * weight * 2.0 / (12.0 * step * count));
            }
        }
        Ok(Objective { value, gradient })
    }

    fn draw(&self, q: &Q, draws: Draws, effort: &mut Effort) -> Result<Start<Q>> {
        let (mut phi, mut known) = (Vec::new(), Vec::new());
        for (n, term) in self.terms.iter().enumerate() {
            let drawn = match term.auxiliary {
                None if term.action.auxiliaries() > 0 => Some(term.action.draw(q, draws.of(n as u16), effort)?),
                _ => None,
            };
            known.push(drawn.as_ref().and_then(|drawn| drawn.value));
            phi.push(drawn.map_or_else(Vec::new, |drawn| drawn.fields));
        }
        Ok(Start { phi, known })
    }

    /// The tested terms, zero for the others.
    fn energies(
        &self,
        q: &Q,
        phi: &[Vec<Auxiliary<Q>>],
        known: &[Option<f64>],
        effort: &mut Effort,
    ) -> Result<Vec<f64>> {
        let energy = |(n, term): (usize, &Term<Q>)| match (term.role, known[n]) {
            (Role::Moves, _) => Ok(0.0),
            (_, Some(value)) => Ok(value),
            _ => term.action.value(q, &phi[term.auxiliary.unwrap_or(n)], effort),
        };
        self.terms.iter().enumerate().map(energy).collect()
    }

    /// Molecular dynamics for the length of a trajectory with given auxiliary fields.
    pub fn integrate(
        &self,
        q: &mut Q,
        p: &mut Q::Tangent,
        phi: &[Vec<Auxiliary<Q>>],
        effort: &mut Effort,
        forces: &mut [Option<ForceSize>],
    ) -> Result<()> {
        Trajectory { hmc: self, phi, effort, forces }.run(&self.levels, self.length, q, p)
    }
}

/// Kicks of a trajectory: which fields they use, what they cost, how large the first force of each term is.
struct Trajectory<'a, Q: Configuration> {
    hmc: &'a Hmc<Q>,
    phi: &'a [Vec<Auxiliary<Q>>],
    effort: &'a mut Effort,
    forces: &'a mut [Option<ForceSize>],
}

impl<Q: Configuration> Dynamics<Q> for Trajectory<'_, Q>
where
    Q::Scalar: Real<Total = f64>,
{
    fn kick(&mut self, level: &Level, q: &Q, step: f64, p: &mut Q::Tangent) -> Result<()> {
        for &n in &level.terms {
            let term = &self.hmc.terms[n];
            let phi = &self.phi[term.auxiliary.unwrap_or(n)];
            if self.forces[n].is_some() {
                term.action.kick(q, phi, step, p, self.effort)?;
                continue;
            }
            let mut force = q.zero();
            term.action.kick(q, phi, -1.0, &mut force, self.effort)?;
            self.forces[n] = Some(ForceSize {
                mean: (force.inner(&force) / force.count().max(1) as f64).sqrt(),
                largest: force.largest(),
            });
            p.axpy(-step, &force);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Space;
    use crate::lattice::{Lattice, Sites};
    use crate::matrix::Complex;
    use crate::sampler::Integrator;
    use crate::scalar::{ScalarAction, ScalarField, ScalarTangent};
    use rand_distr::StandardNormal;

    type Q = ScalarField<f64>;

    /// S = sum_x |phi_x|^2 (1 + c q_x^2), the simplest pseudofermion: integrated over phi it leaves prod 1 / (1 + c q^2).
    struct Toy(f64);

    impl Action<Q> for Toy {
        fn auxiliaries(&self) -> usize {
            1
        }
        fn draw(&self, q: &Q, draws: Draws, effort: &mut Effort) -> Result<crate::concept::Drawn<Q>> {
            let space = Space::new(q.lattice(), Sites::All, 1);
            let mut phi = Auxiliary::<Q>::zero(&space);
            let stream = draws.stream(Purpose::Pseudofermion);
            for (x, z) in phi.values.iter_mut().enumerate() {
                let mut rng = stream.site(x as u32);
                let width = (0.5 / (1.0 + self.0 * q.values()[x].powi(2))).sqrt();
                *z = Complex::new(
                    width * rng.sample::<f64, _>(StandardNormal),
                    width * rng.sample::<f64, _>(StandardNormal),
                );
            }
            effort.solves += 1;
            Ok(crate::concept::Drawn { value: Some(self.value(q, &[phi.clone()], effort)?), fields: vec![phi] })
        }
        fn value(&self, q: &Q, phi: &[Auxiliary<Q>], _: &mut Effort) -> Result<f64> {
            let sites = phi[0].values.iter().zip(q.values());
            Ok(sites.map(|(z, q)| z.norm2() * (1.0 + self.0 * q * q)).sum())
        }
        fn kick(
            &self,
            q: &Q,
            phi: &[Auxiliary<Q>],
            step: f64,
            p: &mut ScalarTangent<f64>,
            _: &mut Effort,
        ) -> Result<()> {
            for (x, p) in p.values.iter_mut().enumerate() {
                *p -= step * phi[0].values[x].norm2() * 2.0 * self.0 * q.values()[x];
            }
            Ok(())
        }
    }

    /// <q^2> of two sites with S = (q0 - q1)^2 + (m2/2)(q0^2 + q1^2) + sum log(1 + c q^2), by quadrature.
    fn exact(mass2: f64, c: f64) -> f64 {
        let grid: Vec<f64> = (-200..=200).map(|n| f64::from(n) * 0.04).collect();
        let (mut sum, mut norm) = (0.0, 0.0);
        for a in &grid {
            for b in &grid {
                let s = (a - b).powi(2) + 0.5 * mass2 * (a * a + b * b);
                let w = (-s).exp() / ((1.0 + c * a * a) * (1.0 + c * b * b));
                (sum, norm) = (sum + w * a * a, norm + w);
            }
        }
        sum / norm
    }

    fn check(terms: Vec<Term<Q>>, moving: Vec<usize>, c: f64, (low, high): (f64, f64)) {
        let lattice = Lattice::new(&[2], 1).unwrap();
        let level = Level { terms: moving, integrator: Integrator::named("leapfrog").unwrap(), steps: 3 };
        let hmc = Hmc { terms, levels: vec![level], length: 1.1, on_failure: OnFailure::Raise };
        let mut q = ScalarField::from_sites(lattice, 1, |x, _| x as f64);
        let (mut squares, mut weights, mut accepted) = (Vec::new(), Vec::new(), 0u32);
        for sweep in 0..40_000 {
            let (next, info) = hmc.step(&q, Draws::new(3, sweep)).unwrap();
            q = next;
            accepted += u32::from(info.accepted);
            weights.push((-info.delta_h).exp());
            squares.push(0.5 * (q.values()[0].powi(2) + q.values()[1].powi(2)));
        }
        let n = squares.len() as f64;
        for (values, expected) in [(squares, exact(0.6, c)), (weights, 1.0)] {
            let bins: Vec<f64> = values.chunks(200).map(|c| c.iter().sum::<f64>() / 200.0).collect();
            let (count, mean) = (bins.len() as f64, bins.iter().sum::<f64>() / bins.len() as f64);
            let error = (bins.iter().map(|b| (b - mean).powi(2)).sum::<f64>() / (count * (count - 1.0))).sqrt();
            assert!((mean - expected).abs() < 4.0 * error && error < 0.02, "{mean} +- {error}, exact {expected}");
        }
        let acceptance = f64::from(accepted) / n;
        assert!(low < acceptance && acceptance < high, "acceptance {acceptance}: the test should see decisions");
    }

    fn term(action: impl Action<Q> + 'static, role: Role, auxiliary: Option<usize>) -> Term<Q> {
        Term { action: Arc::new(action), role, auxiliary }
    }

    #[test]
    fn auxiliary_fields_sample_their_determinant() {
        let lattice = Lattice::new(&[2], 1).unwrap();
        let scalar = ScalarAction::new(&lattice, 0.6, 0.0);
        check(vec![term(scalar, Role::Both, None), term(Toy(2.0), Role::Both, None)], vec![0, 1], 2.0, (0.3, 0.97));
    }

    /// Self-learning: moves with another action on the auxiliary fields of the tested one.
    #[test]
    fn a_proposal_with_another_action_samples_the_tested_one() {
        let lattice = Lattice::new(&[2], 1).unwrap();
        let terms = vec![
            term(ScalarAction::new(&lattice, 0.6, 0.0), Role::Tested, None),
            term(Toy(2.0), Role::Tested, None),
            term(ScalarAction::new(&lattice, 0.9, 0.0), Role::Moves, None),
            term(Toy(1.2), Role::Moves, Some(1)),
        ];
        check(terms, vec![2, 3], 2.0, (0.3, 0.97));
    }

    #[test]
    fn numbers_of_terms_are_checked() {
        let lattice = Lattice::new(&[2], 1).unwrap();
        let mut hmc: Hmc<Q> = Hmc::plain(
            Arc::new(ScalarAction::new(&lattice, 1.0, 0.0)),
            Level { terms: vec![1], integrator: Integrator::named("leapfrog").unwrap(), steps: 2 },
            1.0,
        );
        assert!(hmc.validate().is_err());
        hmc.levels[0].terms = vec![0];
        hmc.terms[0].auxiliary = Some(4);
        assert!(hmc.validate().is_err());
    }
}
