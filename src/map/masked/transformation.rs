//! A change of variables U = F(V) by masked link updates (arXiv 2201.01862, 2405.19692; Luescher, arXiv 0907.5491).
//!
//! Coefficients c_k = s (2/pi) arctan(x_k)/n, n staples in all, so that sum |c_k| n_k < s <= 1. With V the staples,
//! |d A| <= sum |c_k| n_k |dU|: the solution of U = exp(-A(U)) U' is a fixed point of a contraction, hence every update is one
//! to one and its Jacobian positive. All passes work in place; what is kept are the links before each update.

use super::jacobian::{MAX_N, Tables};
use super::layer::{Chosen, MaskedLayer, Sweep};
use super::passes::{Advance, Arms, Collect, Passive, Place, Reverse, Slopes, Solve, Turn, Widen, over};
use crate::concept::{Bijection, InverseInfo, Map, Tape};
use crate::error::{Error, Result};
use crate::field;
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::group;
use crate::interrupt;
use crate::lattice::{Lattice, program::MAX_REPLACED};
use crate::map::Memory;
use crate::matrix::Matrix;
use crate::number::Real;
use std::ops::Range;
use std::sync::Arc;

/// Change of a link at which the fixed point counts as found.
const TOLERANCE: f64 = 1e-14;
const MOST_ITERATIONS: usize = 20_000;

/// Masked layers one after another.
pub struct Transformation {
    lattice: Arc<Lattice>,
    sweeps: Vec<Sweep>,
    /// Items of a site in the reverse pass: links, then a replacement for every group, or every input of a network.
    width: usize,
    memory: Memory,
}

/// Links before each update, in turn.
type Before<R, const N: usize> = Vec<Vec<Matrix<R, N>>>;

/// Links before each update and how its coefficients came about, one entry for each in turn.
struct Undo<R: Real, const N: usize> {
    links: Before<R, N>,
    chosen: Vec<Chosen<R>>,
}

impl<R: Real, const N: usize> Undo<R, N> {
    fn new() -> Self {
        Self { links: Vec::new(), chosen: Vec::new() }
    }
}

/// The image and the way to it.
struct Kept<R: Real, const N: usize> {
    image: GaugeField<R, N>,
    undo: Undo<R, N>,
}

impl Transformation {
    /// The layers on a lattice.
    pub fn new(lattice: &Arc<Lattice>, layers: &[MaskedLayer], memory: Memory) -> Result<Self> {
        let groups = layers.iter().map(|layer| layer.groups.len()).max().unwrap_or(0);
        if layers.iter().any(|layer| layer.groups.is_empty()) || groups > MAX_REPLACED {
            return Err(Error::value(format!("a masked layer has 1 to {MAX_REPLACED} coefficients")));
        }
        if lattice.ndim() < 2 {
            return Err(Error::value("masked layers need at least two dimensions; the lattice has one"));
        }
        let channels = layers.iter().filter_map(|layer| layer.network.as_ref()).map(|network| network.inputs.len());
        let width = lattice.ndim() + channels.max().unwrap_or(0).max(groups);
        let sweeps = layers.iter().map(|layer| Sweep::new(lattice, layer, width)).collect::<Result<_>>()?;
        Ok(Self { lattice: lattice.clone(), sweeps, width, memory })
    }

    /// Staples of each coefficient of each layer.
    pub fn staples(&self) -> Vec<Vec<f64>> {
        self.sweeps.iter().map(|sweep| sweep.slices[0].counts.clone()).collect()
    }

    /// Every layer with its parameters.
    fn each<'a, T>(&'a self, mut theta: &'a [T]) -> Vec<(&'a Sweep, &'a [T])> {
        let part = |sweep: &'a Sweep| {
            let (own, rest) = theta.split_at(sweep.n_parameters());
            theta = rest;
            (sweep, own)
        };
        self.sweeps.iter().map(part).collect()
    }

    fn check<const N: usize>(&self) -> Result<()> {
        match N <= MAX_N {
            true => Ok(()),
            false => Err(Error::value(format!(
                "field transformations exist for U(1), SU(2) and SU(3); {} was given",
                group::name(N)
            ))),
        }
    }

    /// Runs layers in place; returns log det if asked for. Old links go to `undo`.
    fn advance<R: Real, const N: usize>(
        &self,
        (theta, layers): (&[R], Range<usize>),
        u: &mut GaugeField<R, N>,
        log_det: bool,
        mut undo: Option<&mut Undo<R, N>>,
    ) -> Result<R::Total> {
        self.check::<N>()?;
        let (ndim, tables) = (self.lattice.ndim(), Tables::of::<N>());
        let mut sum = R::Total::zero();
        for &(sweep, own) in &self.each(theta)[layers] {
            for (n, slice) in sweep.slices.iter().enumerate() {
                interrupt::poll()?;
                let chosen = sweep.choose(n, own, u.links(), undo.is_some())?;
                let coefficients = &chosen.values;
                let kernel = Advance { slice, links: u.links(), ndim, coefficients, log_det, tables };
                let (mut links, part) = over(&kernel, slice.active.len());
                sum += part;
                slice.swap((u.links_mut(), ndim), &mut links);
                if let Some(undo) = undo.as_deref_mut() {
                    undo.links.push(links);
                    undo.chosen.push(chosen);
                }
            }
        }
        match sum.lane(0).is_finite() {
            true => Ok(sum),
            false => Err(Error::value(
                "log det of the field transformation is not finite: the field holds NaN or links that are not unitary",
            )),
        }
    }

    /// All layers.
    fn all(&self) -> Range<usize> {
        0..self.sweeps.len()
    }

    fn recorded<R: Real, const N: usize>(
        &self,
        theta: &[f64],
        q: &GaugeField<R, N>,
        log_det: bool,
    ) -> Result<(GaugeField<R, N>, R::Total, Tape)> {
        let (mut image, mut undo) = (q.clone(), Undo::new());
        let kept = match self.memory {
            Memory::Store => Some(&mut undo),
            Memory::Recompute => None,
        };
        let sum = self.advance((&splat(theta), self.all()), &mut image, log_det, kept)?;
        let tape = match self.memory {
            Memory::Store => Tape::new(Kept { image: image.clone(), undo }),
            Memory::Recompute => Tape::new(()),
        };
        Ok((image, sum, tape))
    }

    /// The reverse pass of one layer: what is kept of the links loses its entries.
    fn reverse<R: Real, const N: usize>(
        &self,
        (sweep, own): (&Sweep, &[R]),
        (items, undo, chosen): (&mut [Matrix<R, N>], &mut Before<R, N>, &[Chosen<R>]),
        cotangent: &mut LinkAlgebra<R, N>,
        weight: f64,
        mut gradient: Option<&mut [R::Total]>,
    ) -> Result<()> {
        let (ndim, width, tables) = (self.lattice.ndim(), self.width, Tables::of::<N>());
        for ((n, slice), chosen) in sweep.slices.iter().enumerate().zip(chosen).rev() {
            interrupt::poll()?;
            slice.swap((items, width), &mut undo.pop().unwrap_or_default());
            let (coefficients, above) = (&chosen.values[..], &cotangent.elements[..]);
            let kernel = Reverse { slice, items, width, ndim, coefficients, cotangent: above, weight, tables };
            let (turns, _) = over::<R, Turn<R, N>>(&kernel, slice.active.len());
            for (turn, &(vector, _)) in turns.iter().zip(&slice.active) {
                cotangent.elements[vector * ndim + slice.direction] = turn.below;
            }
            let groups = sweep.groups;
            let is_sloped = gradient.is_some() || sweep.has_networks();
            let (slopes, sums) = if N == 1 {
                let (arms, kernel) = (slice.arms.len(), Arms { slice, items, turns: &turns, coefficients });
                let width = arms + groups;
                let mut numbers: Vec<R> = field::zeros(turns.len() * width);
                let sums = field::for_each_summed(&kernel, width, &mut numbers, groups);
                let kernel =
                    Collect { passages: &slice.passages, number: Some(&slice.number), numbers: &numbers, width };
                field::for_each::<R, _, _>(&kernel, ndim, &mut cotangent.elements);
                let parts = numbers.chunks_exact(width).flat_map(|numbers| &numbers[arms..]);
                (if is_sloped { parts.copied().collect() } else { Vec::new() }, sums)
            } else {
                let kernel = Place { slice, turns: &turns, coefficients, ndim };
                field::for_each::<R, _, _>(&kernel, width, items);
                let kernel = Passive { passives: &slice.passives, items, width };
                field::for_each::<R, _, _>(&kernel, ndim, &mut cotangent.elements);
                let mut slopes: Vec<R> = field::zeros(if is_sloped { turns.len() * groups } else { 0 });
                let kernel = Slopes { slice, items, turns: &turns };
                let sums = field::for_each_summed(&kernel, groups, &mut slopes, groups);
                (slopes, sums)
            };
            if is_sloped {
                let (derivatives, gradient) = ((&slopes[..], &sums[..]), gradient.as_deref_mut());
                sweep.pull((n, own, chosen), derivatives, (items, width), &mut cotangent.elements, gradient)?;
            }
        }
        Ok(())
    }

    /// Image and log det of `q` with d/dx_k as their dual parts.
    #[cfg(test)]
    pub(crate) fn along_parameter<const N: usize>(
        &self,
        theta: &[f64],
        q: &GaugeField<f64, N>,
        k: usize,
    ) -> Result<(GaugeField<crate::number::Dual<f64>, N>, crate::number::Dual<f64>)> {
        use crate::concept::Configuration;
        let mut moved = crate::map::displaced(q, &q.zero());
        let mut theta: Vec<crate::number::Dual<f64>> = splat(theta);
        theta[k].eps = 1.0;
        let log_det = self.advance((&theta, self.all()), &mut moved, true, None)?;
        Ok((moved, log_det))
    }

    fn wide<R: Real, const N: usize>(&self, u: &GaugeField<R, N>) -> Vec<Matrix<R, N>> {
        let mut items = field::zeros(self.lattice.vectors() * self.width);
        let kernel = Widen { links: u.links(), ndim: self.lattice.ndim() };
        field::for_each::<R, _, _>(&kernel, self.width, &mut items);
        items
    }
}

impl<R: Real, const N: usize> Map<GaugeField<R, N>> for Transformation {
    fn n_parameters(&self) -> usize {
        self.sweeps.iter().map(Sweep::n_parameters).sum()
    }

    fn forward(&self, theta: &[f64], q: &GaugeField<R, N>) -> Result<GaugeField<R, N>> {
        let mut image = q.clone();
        self.advance((&splat(theta), self.all()), &mut image, false, None)?;
        Ok(image)
    }

    fn record(&self, theta: &[f64], q: &GaugeField<R, N>) -> Result<(GaugeField<R, N>, Tape)> {
        let (image, _, tape) = self.recorded(theta, q, false)?;
        Ok((image, tape))
    }

    fn pullback(
        &self,
        theta: &[f64],
        q: &GaugeField<R, N>,
        tape: &Tape,
        cotangent: &LinkAlgebra<R, N>,
        gradient: Option<&mut [R::Total]>,
    ) -> Result<LinkAlgebra<R, N>> {
        self.pullback_log_det(theta, q, tape, cotangent, 0.0, gradient)
    }
}

impl<R: Real, const N: usize> Bijection<GaugeField<R, N>> for Transformation {
    fn record_log_det(&self, theta: &[f64], q: &GaugeField<R, N>) -> Result<(GaugeField<R, N>, R::Total, Tape)> {
        self.recorded(theta, q, true)
    }

    fn pullback_log_det(
        &self,
        theta: &[f64],
        q: &GaugeField<R, N>,
        tape: &Tape,
        cotangent: &LinkAlgebra<R, N>,
        weight: f64,
        mut gradient: Option<&mut [R::Total]>,
    ) -> Result<LinkAlgebra<R, N>> {
        let mut kept = match self.memory {
            Memory::Store => {
                let kept: &Kept<R, N> = tape.get()?;
                Some((self.wide(&kept.image), kept.undo.links.clone(), &kept.undo.chosen[..]))
            }
            Memory::Recompute => None,
        };
        let (mut below, mut end, theta) = (cotangent.clone(), theta.len(), splat::<R>(theta));
        for (l, (sweep, own)) in self.each(&theta).into_iter().enumerate().rev() {
            let start = end - own.len();
            let part = gradient.as_deref_mut().map(|gradient| &mut gradient[start..end]);
            match &mut kept {
                Some((items, undo, chosen)) => {
                    let (rest, chosen_here) = chosen.split_at(chosen.len() - sweep.slices.len());
                    *chosen = rest;
                    self.reverse((sweep, own), (items, undo, chosen_here), &mut below, weight, part)?;
                }
                None => {
                    let (mut u, mut undo) = (q.clone(), Undo::new());
                    self.advance((&theta, 0..l), &mut u, false, None)?;
                    self.advance((&theta, l..l + 1), &mut u, false, Some(&mut undo))?;
                    let Undo { links, chosen } = &mut undo;
                    self.reverse((sweep, own), (&mut self.wide(&u), links, chosen), &mut below, weight, part)?;
                }
            }
            end = start;
        }
        Ok(below)
    }

    /// Fixed points of U = exp(-A(U)) U', link by link: after a step that changes a link by less than e, it is off by less than
    /// e r/(1 - r), r = sum |c_k| n_k.
    fn inverse(&self, theta: &[f64], image: &GaugeField<R, N>) -> Result<(GaugeField<R, N>, InverseInfo)> {
        self.check::<N>()?;
        let (mut u, mut info) = (image.clone(), InverseInfo { iterations: 0, residual: 0.0 });
        let ndim = self.lattice.ndim();
        for (sweep, own) in self.each(&splat::<R>(theta)).into_iter().rev() {
            for (n, slice) in sweep.slices.iter().enumerate().rev() {
                interrupt::poll()?;
                let coefficients = &sweep.choose(n, own, u.links(), false)?.values;
                let rate = sweep.contraction(coefficients).max(1e-3);
                let most = (((0.1 * TOLERANCE).ln() / rate.ln()) as usize + 10).min(MOST_ITERATIONS);
                let kernel = Solve { slice, links: u.links(), ndim, coefficients, tolerance: TOLERANCE, most };
                let (solved, _) = over(&kernel, slice.active.len());
                for (solved, &(vector, _)) in solved.iter().zip(&slice.active) {
                    let change = solved.change.max_lane();
                    info.iterations = info.iterations.max(solved.iterations.lane(0) as usize);
                    info.residual = if change > info.residual || change.is_nan() { change } else { info.residual };
                    u.links_mut()[vector * ndim + slice.direction] = solved.link;
                }
                if info.residual >= TOLERANCE || info.residual.is_nan() {
                    return Err(no_inverse(most, info.residual, rate));
                }
            }
        }
        Ok((u, info))
    }
}

/// The same parameters in every lane.
fn splat<R: Real>(theta: &[f64]) -> Vec<R> {
    theta.iter().map(|&x| R::splat(x)).collect()
}

fn no_inverse(most: usize, residual: f64, rate: f64) -> Error {
    Error::Convergence {
        message: format!(
            "the inverse of the field transformation still changes links by {residual:.1e} after {most} iterations; {TOLERANCE:.0e} is \
             reached when links are unitary (contraction {rate:.3} per iteration): check U.unitarity_violation()"
        ),
        history: vec![residual],
        best: None,
    }
}
