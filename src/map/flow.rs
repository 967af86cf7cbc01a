//! Gradient flow dV/dt = TA(staples V^dagger) V with the third-order Runge-Kutta of Luscher (arXiv 1006.4518), at fixed step or
//! with the step chosen from an embedded second-order solution (Fritzsch and Ramos, arXiv 1301.4388).

use crate::action;
use crate::concept::{Configuration, Tangent as _};
use crate::error::{Error, Result};
use crate::field::{self, ItemKernel};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::interrupt;
use crate::lattice::{Lattice, Program, WeightedPath, program};
use crate::matrix::{Algebra, Matrix};
use crate::number::{MAX_LANES, Real};
use std::sync::Arc;

/// Largest and smallest change of an adaptive step.
const GROWTH: [f64; 2] = [0.2, 2.0];
const SAFETY: f64 = 0.95;
/// Steps below this cannot meet the tolerance in double precision.
const SMALLEST_STEP: f64 = 1e-9;

/// The flow of an action given by loops (plaquettes with weight 1: Wilson flow).
pub struct Flow {
    staples: Vec<Program>,
    open: Option<Open>,
}

/// Open boundaries (Luscher and Schaefer, arXiv 1105.4749): in the action plaquettes in space weigh 1/2 on the two boundary
/// slices, and the flow of their links is doubled, so that there staples in space count once and those in time twice.
struct Open {
    /// Staples of the plaquettes in time.
    staples: Vec<Program>,
    slices: [usize; 2],
}

impl Open {
    fn new(lattice: &Arc<Lattice>, loops: &[WeightedPath], slice: usize) -> Result<Self> {
        if loops.iter().any(|l| l.path.len() != 4) {
            return Err(Error::value("with open boundaries only the Wilson flow is known: give action=\"wilson\""));
        }
        let time = lattice.ndim() as i8;
        let of_time = |l: &&WeightedPath| l.path.contains(&time);
        let loops: Vec<_> = loops.iter().filter(of_time).cloned().collect();
        let next = (slice + 1) % lattice.extents()[lattice.ndim() - 1];
        Ok(Self { staples: program::staple_programs(lattice, &loops), slices: [slice, next] })
    }

    /// Adds what the links in space of the boundary slices get once more.
    fn add<R: Real, const N: usize>(&self, v: &GaugeField<R, N>, factor: f64, z: &mut LinkAlgebra<R, N>) {
        let (lattice, mut extra) = (v.lattice(), v.zero());
        action::kick(&self.staples, v, (0.0, -factor), &mut extra);
        let (ndim, length) = (lattice.ndim(), lattice.extents()[lattice.ndim() - 1]);
        let kernel = OnEdge { lattice, slices: self.slices, ndim, length };
        field::update::<R, _>(&kernel, ndim, &mut extra.elements);
        z.axpy(1.0, &extra);
    }
}

/// Keeps the links in space of two slices.
struct OnEdge<'a> {
    lattice: &'a Lattice,
    slices: [usize; 2],
    ndim: usize,
    length: usize,
}

impl<R: Real, const N: usize> ItemKernel<Algebra<R, N>> for OnEdge<'_> {
    #[inline(always)]
    fn at(&self, n: usize, element: &mut Algebra<R, N>) {
        let mut kept = [0.0; MAX_LANES];
        for (lane, kept) in kept.iter_mut().enumerate().take(R::LANES) {
            let slice = self.lattice.site(n / self.ndim, lane) as usize % self.length;
            let on_edge = slice == self.slices[0] || slice == self.slices[1];
            *kept = f64::from(u8::from(on_edge && n % self.ndim + 1 < self.ndim));
        }
        *element = element.scale(R::from_lanes(|lane| kept[lane]));
    }
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlowStep {
    /// The step taken.
    pub taken: f64,
    /// The step to try next.
    pub next: f64,
}

impl Flow {
    /// Prepares the flow on `lattice`.
    pub fn new(lattice: &Arc<Lattice>, loops: &[WeightedPath]) -> Self {
        Self { staples: program::staple_programs(lattice, loops), open: None }
    }

    /// The flow of a field that lacks the temporal links of a slice.
    pub fn open(lattice: &Arc<Lattice>, loops: &[WeightedPath], slice: usize) -> Result<Self> {
        let open = Some(Open::new(lattice, loops, slice)?);
        Ok(Self { open, ..Self::new(lattice, loops) })
    }

    /// z <- keep z + factor TA(staples V^dagger).
    fn blend<R: Real, const N: usize>(
        &self,
        v: &GaugeField<R, N>,
        (keep, factor): (f64, f64),
        z: &mut LinkAlgebra<R, N>,
    ) {
        action::kick(&self.staples, v, (keep, -factor), z);
        if let Some(open) = &self.open {
            open.add(v, factor, z);
        }
    }

    /// One step: W1 = exp(Z0/4) V, W2 = exp(8/9 Z1 - 17/36 Z0) W1, V' = exp(3/4 Z2 - 8/9 Z1 + 17/36 Z0) W2, Z = step x field.
    pub fn step<R: Real, const N: usize>(&self, v: &GaugeField<R, N>, step: f64) -> Result<GaugeField<R, N>> {
        let (w, z) = self.first_stage(v, step)?;
        self.later_stages(w, z, step, |_, _| ())
    }

    /// One step with error control: the distance max |V' - V''|/N^2 to the second-order solution V'' = exp(2 Z1 - Z0) V stays
    /// below `tolerance`; steps that fail are tried again with a smaller one.
    pub fn adaptive_step<R: Real, const N: usize>(
        &self,
        v: &GaugeField<R, N>,
        mut step: f64,
        tolerance: f64,
    ) -> Result<(GaugeField<R, N>, FlowStep)> {
        loop {
            let (w, z) = self.first_stage(v, step)?;
            let z0 = z.clone();
            let mut second = v.clone();
            // 2 Z1 - Z0 = 9/4 (8/9 Z1 - 17/36 Z0) + Z0/16
            let third = self.later_stages(w, z, step, |w, z| {
                let mut generator = w.zero();
                generator.axpy(2.25, z);
                generator.axpy(0.0625, &z0);
                second.drift(step, &mut generator);
            })?;
            let distance = distance(&third, &second) / (N * N) as f64;
            let growth = SAFETY * (tolerance / distance.max(f64::MIN_POSITIVE)).cbrt();
            let next = step * growth.clamp(GROWTH[0], GROWTH[1]);
            if distance <= tolerance {
                return Ok((third, FlowStep { taken: step, next }));
            }
            if next < SMALLEST_STEP || !distance.is_finite() {
                return Err(Error::Convergence {
                    message: format!(
                        "the flow cannot keep its error below {tolerance:e} even with a step of {step:e}; allow a larger tolerance"
                    ),
                    history: vec![distance],
                    best: None,
                });
            }
            step = next;
        }
    }

    /// W1 and Z0 per unit step.
    fn first_stage<R: Real, const N: usize>(
        &self,
        v: &GaugeField<R, N>,
        step: f64,
    ) -> Result<(GaugeField<R, N>, LinkAlgebra<R, N>)> {
        interrupt::poll()?;
        let (mut w, mut z) = (v.clone(), v.zero());
        self.blend(v, (0.0, 1.0), &mut z);
        w.drift(0.25 * step, &mut z);
        Ok((w, z))
    }

    /// V' from W1 and Z0, both changed in place; `between` sees W1 and 8/9 Z1 - 17/36 Z0.
    fn later_stages<R: Real, const N: usize>(
        &self,
        mut w: GaugeField<R, N>,
        mut z: LinkAlgebra<R, N>,
        step: f64,
        between: impl FnOnce(&GaugeField<R, N>, &LinkAlgebra<R, N>),
    ) -> Result<GaugeField<R, N>> {
        self.blend(&w, (-17.0 / 36.0, 8.0 / 9.0), &mut z);
        between(&w, &z);
        w.drift(step, &mut z);
        self.blend(&w, (-1.0, 0.75), &mut z);
        w.drift(step, &mut z);
        Ok(w)
    }
}

/// max over links of |a - b| in the Frobenius norm.
fn distance<R: Real, const N: usize>(a: &GaugeField<R, N>, b: &GaugeField<R, N>) -> f64 {
    let mut squares = field::zeros(a.links().len());
    field::update::<R, _>(&Distance { a: a.links(), b: b.links() }, a.lattice().ndim(), &mut squares);
    let worst = |max: f64, x: f64| if x > max || x.is_nan() { x } else { max };
    squares.iter().map(|x| x.max_lane()).fold(0.0, worst).sqrt()
}

struct Distance<'a, R, const N: usize> {
    a: &'a [Matrix<R, N>],
    b: &'a [Matrix<R, N>],
}

impl<R: Real, const N: usize> ItemKernel<R> for Distance<'_, R, N> {
    #[inline(always)]
    fn at(&self, n: usize, square: &mut R) {
        *square = self.a[n].add(&self.b[n].scale(R::splat(-1.0))).norm2();
    }
}
