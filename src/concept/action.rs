//! Actions: field -> real number, with value and force; a sum of actions is an action.

use super::{Configuration, Number, Tangent};
use crate::error::{Error, Result};
use crate::field::Vector;
use crate::number::Real;
use crate::random::Draws;
use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

/// An auxiliary field of one trajectory, such as a pseudofermion.
pub type Auxiliary<Q> = Vector<<Q as Configuration>::Scalar>;

/// Auxiliary fields phi ~ exp(-S(q; phi)), and S(q; phi) where drawing them tells it for nothing.
pub struct Drawn<Q: Configuration> {
    /// The fields.
    pub fields: Vec<Auxiliary<Q>>,
    /// S(q; phi).
    pub value: Option<Number<Q>>,
}

/// What the solves of a trajectory cost, and what later ones may start from.
#[derive(Debug, Default)]
pub struct Effort {
    /// Linear systems solved.
    pub solves: u64,
    /// Iterations of all solves.
    pub iterations: u64,
    /// Largest relative residual that a solve ended with.
    pub worst_residual: f64,
    /// Solutions of this trajectory.
    pub recall: Recall,
}

/// What an action remembers of a trajectory: it lives as long as that, and belongs to it alone.
#[derive(Debug, Default)]
pub struct Recall(HashMap<[usize; 2], Box<dyn Any + Send>>);

impl Recall {
    /// Takes out what `action` kept beside one of its auxiliary fields; both stay where they are during a trajectory.
    pub fn take<T: Default + 'static, A, P>(&mut self, action: &A, phi: &P) -> T {
        let kept = self.0.remove(&key(action, phi)).and_then(|kept| kept.downcast().ok());
        kept.map_or_else(T::default, |kept| *kept)
    }

    /// Keeps it.
    pub fn keep<T: Send + 'static, A, P>(&mut self, action: &A, phi: &P, value: T) {
        self.0.insert(key(action, phi), Box::new(value));
    }
}

fn key<A, P>(action: &A, phi: &P) -> [usize; 2] {
    [std::ptr::from_ref(action).addr(), std::ptr::from_ref(phi).addr()]
}

/// A number and its derivative with respect to the parameters of what gave it.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective<T> {
    /// The number.
    pub value: T,
    /// Its derivative.
    pub gradient: Vec<T>,
}

/// A function of a field, with its force. `value` is as accurate as a Metropolis test needs, `kick` as molecular dynamics needs.
pub trait Action<Q: Configuration>: Send + Sync {
    /// How many auxiliary fields the action has.
    fn auxiliaries(&self) -> usize {
        0
    }
    /// The auxiliary fields of one trajectory that starts at `q`.
    fn draw(&self, _q: &Q, _draws: Draws, _effort: &mut Effort) -> Result<Drawn<Q>> {
        Ok(Drawn { fields: Vec::new(), value: None })
    }
    /// S(q; phi).
    fn value(&self, q: &Q, phi: &[Auxiliary<Q>], effort: &mut Effort) -> Result<Number<Q>>;
    /// p <- p - step F(q; phi), where dS = <F, dq>.
    fn kick(&self, q: &Q, phi: &[Auxiliary<Q>], step: f64, p: &mut Q::Tangent, effort: &mut Effort) -> Result<()>;
    /// S(q; phi) and its force, by one solve where one serves both; adds dS/dtheta to `gradient`, which has `n_parameters`
    /// numbers.
    fn derivatives(
        &self,
        q: &Q,
        phi: &[Auxiliary<Q>],
        _gradient: &mut [Number<Q>],
        effort: &mut Effort,
    ) -> Result<(Number<Q>, Q::Tangent)> {
        let mut force = q.zero();
        self.kick(q, phi, -1.0, &mut force, effort)?;
        Ok((self.value(q, phi, effort)?, force))
    }
    /// How many parameters can be trained.
    fn n_parameters(&self) -> usize {
        0
    }
    /// The same action with other parameters, if it has some.
    fn with_parameters(&self, _theta: &[f64]) -> Option<Arc<dyn Action<Q>>> {
        None
    }
}

/// S(q) of an action without auxiliary fields.
pub fn value<Q: Configuration>(action: &dyn Action<Q>, q: &Q) -> Result<Number<Q>> {
    action.value(q, &[], &mut Effort::default())
}

/// The force F of an action without auxiliary fields.
pub fn force<Q: Configuration>(action: &dyn Action<Q>, q: &Q) -> Result<Q::Tangent> {
    let mut force = q.zero();
    action.kick(q, &[], -1.0, &mut force, &mut Effort::default())?;
    Ok(force)
}

/// A sum of actions is an action; its auxiliary fields are those of its terms in their order.
pub struct Sum<Q>(pub Vec<Box<dyn Action<Q>>>);

impl<Q: Configuration> Sum<Q> {
    /// Every term with its own auxiliary fields.
    fn each<'a>(
        &'a self,
        mut phi: &'a [Auxiliary<Q>],
    ) -> impl Iterator<Item = (&'a dyn Action<Q>, &'a [Auxiliary<Q>])> + 'a {
        self.0.iter().map(move |term| {
            let (own, rest) = phi.split_at(term.auxiliaries().min(phi.len()));
            phi = rest;
            (&**term, own)
        })
    }
}

impl<Q: Configuration> Action<Q> for Sum<Q> {
    fn auxiliaries(&self) -> usize {
        self.0.iter().map(|term| term.auxiliaries()).sum()
    }
    fn draw(&self, q: &Q, draws: Draws, effort: &mut Effort) -> Result<Drawn<Q>> {
        let mut fields = Vec::new();
        for term in &self.0 {
            // By the number of fields before: no two share it, sums inside of sums included.
            let before = match fields.len() {
                count @ 0..=255 => (count as u16) << 8,
                count => return Err(Error::value(format!("{count} pseudofermions in a sum; allowed are 256"))),
            };
            fields.extend(term.draw(q, draws.of(draws.term + before), effort)?.fields);
        }
        Ok(Drawn { fields, value: None })
    }
    fn value(&self, q: &Q, phi: &[Auxiliary<Q>], effort: &mut Effort) -> Result<Number<Q>> {
        self.each(phi).try_fold(Number::<Q>::zero(), |sum, (term, own)| Ok(sum + term.value(q, own, effort)?))
    }
    fn kick(&self, q: &Q, phi: &[Auxiliary<Q>], step: f64, p: &mut Q::Tangent, effort: &mut Effort) -> Result<()> {
        self.each(phi).try_for_each(|(term, own)| term.kick(q, own, step, p, effort))
    }
    fn derivatives(
        &self,
        q: &Q,
        phi: &[Auxiliary<Q>],
        _gradient: &mut [Number<Q>],
        effort: &mut Effort,
    ) -> Result<(Number<Q>, Q::Tangent)> {
        let (mut value, mut force) = (Number::<Q>::zero(), q.zero());
        for (term, own) in self.each(phi) {
            // Parameters of summands stay as they are.
            let (part, slope) = term.derivatives(q, own, &mut unused(term), effort)?;
            value += part;
            force.axpy(1.0, &slope);
        }
        Ok((value, force))
    }
}

/// Room for derivatives that nobody asked for.
pub fn unused<Q: Configuration>(action: &dyn Action<Q>) -> Vec<Number<Q>> {
    vec![Number::<Q>::zero(); action.n_parameters()]
}

/// The law of a force: its distance from the derivative `slope` of the value along `direction`, relative to their size.
pub fn check_force<Q: Configuration>(action: &dyn Action<Q>, q: &Q, direction: &Q::Tangent, slope: f64) -> Result<f64> {
    let predicted = force(action, q)?.inner(direction).lane(0);
    Ok((slope - predicted).abs() / slope.abs().max(1.0))
}
