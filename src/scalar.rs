//! Real scalar fields with any number of components on the sites of a lattice.

use crate::concept::{Action, Auxiliary, Configuration, Effort, Tangent};
use crate::error::Result;
use crate::field::{self, Measure, SiteKernel};
use crate::lattice::{Lattice, Shift};
use crate::number::Real;
use crate::random::{Draws, Purpose, Stream};
use std::sync::Arc;

/// phi(x), stored `[site vector][component]`.
#[derive(Debug, Clone)]
pub struct ScalarField<R> {
    lattice: Arc<Lattice>,
    components: usize,
    values: Vec<R>,
}

impl<R: Real> ScalarField<R> {
    /// Values from a function of (site in C order, component).
    pub fn from_sites(lattice: Arc<Lattice>, components: usize, f: impl Fn(usize, usize) -> f64) -> Self {
        let at = |n: usize| {
            let (vector, component) = (n / components, n % components);
            R::from_lanes(|lane| f(lattice.site(vector, lane) as usize, component))
        };
        let values = (0..lattice.vectors() * components).map(at).collect();
        Self { lattice, components, values }
    }
    /// The lattice.
    pub fn lattice(&self) -> &Arc<Lattice> {
        &self.lattice
    }
    /// Number of components.
    pub fn components(&self) -> usize {
        self.components
    }
    /// The values, `[site vector][component]`.
    pub fn values(&self) -> &[R] {
        &self.values
    }
    /// The values, to be changed.
    pub fn values_mut(&mut self) -> &mut [R] {
        &mut self.values
    }
    /// The values as an array `[x.., component]`.
    pub fn to_array(&self) -> Vec<f64> {
        let mut array = vec![0.0; self.lattice.volume() * self.components];
        for (n, value) in self.values.iter().enumerate() {
            for lane in 0..R::LANES {
                let site = self.lattice.site(n / self.components, lane) as usize;
                array[site * self.components + n % self.components] = value.lane(lane);
            }
        }
        array
    }
}

/// Momenta and forces of a scalar field, stored like its values.
#[derive(Debug, Clone)]
pub struct ScalarTangent<R> {
    /// Numbers of a site vector.
    pub components: usize,
    /// `[site vector][component]`.
    pub values: Vec<R>,
}

impl<R: Real> Tangent for ScalarTangent<R> {
    type Number = R::Total;

    fn axpy(&mut self, a: f64, x: &Self) {
        field::for_each::<R, _, _>(&AddScaled { factor: a, other: &x.values }, self.components, &mut self.values);
    }
    fn inner(&self, other: &Self) -> R::Total {
        field::measure(&Product(&self.values, &other.values), self.values.len()).1
    }
    fn largest(&self) -> f64 {
        let worst = |a: f64, b: f64| if b > a || b.is_nan() { b } else { a };
        let site = |values: &[R]| values.iter().fold(R::zero(), |sum, &x| x.mul_add(x, sum)).max_lane();
        self.values.chunks(self.components.max(1)).map(site).fold(0.0, worst).sqrt()
    }
    fn count(&self) -> usize {
        self.values.len() / self.components.max(1) * R::LANES
    }
}

impl<R: Real> Configuration for ScalarField<R> {
    type Scalar = R;
    type Tangent = ScalarTangent<R>;

    fn zero(&self) -> ScalarTangent<R> {
        ScalarTangent { components: self.components, values: field::zeros(self.values.len()) }
    }
    fn noise(&self, draws: Draws) -> ScalarTangent<R> {
        let mut momenta = self.zero();
        let kernel = Gaussian { lattice: &self.lattice, stream: draws.stream(Purpose::Momenta) };
        field::for_each::<R, _, _>(&kernel, self.components, &mut momenta.values);
        momenta
    }
    fn drift(&mut self, step: f64, momenta: &mut ScalarTangent<R>) {
        let kernel = AddScaled { factor: step, other: &momenta.values };
        field::for_each::<R, _, _>(&kernel, self.components, &mut self.values);
    }
    /// A scalar field has no constraint to restore.
    fn restore(&mut self) {}
}

/// Standard normal numbers, as momenta and as a random start.
pub fn normals(lattice: &Arc<Lattice>, components: usize, seed: u64) -> Vec<f64> {
    let stream = Stream::new(seed, Purpose::Start, 0);
    let mut values = vec![0.0; lattice.volume() * components];
    field::for_each::<f64, _, _>(&Gaussian { lattice, stream }, components, &mut values);
    values
}

struct AddScaled<'a, R> {
    factor: f64,
    other: &'a [R],
}

impl<R: Real> SiteKernel<R, R> for AddScaled<'_, R> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, values: &mut [R]) -> R {
        let components = values.len();
        for (c, value) in values.iter_mut().enumerate() {
            *value = R::splat(self.factor).mul_add(self.other[vector * components + c], *value);
        }
        R::zero()
    }
}

struct Gaussian<'a> {
    lattice: &'a Lattice,
    stream: Stream,
}

impl<R: Real> SiteKernel<R, R> for Gaussian<'_> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, values: &mut [R]) -> R {
        self.stream.fill_normals(self.lattice.sites::<R>(vector), values);
        R::zero()
    }
}

struct Product<'a, R>(&'a [R], &'a [R]);

impl<R: Real> Measure<R> for Product<'_, R> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), n: usize) -> R {
        self.0[n] * self.1[n]
    }
}

/// S = sum_x (1/2) sum_mu |phi(x+mu) - phi(x)|^2 + (mass2/2) |phi|^2 + lam |phi|^4.
#[derive(Debug, Clone)]
pub struct ScalarAction {
    mass2: f64,
    lam: f64,
    lattice: Arc<Lattice>,
    forward: Vec<Shift>,
    backward: Vec<Shift>,
}

impl ScalarAction {
    /// Prepares the action on `lattice`.
    pub fn new(lattice: &Arc<Lattice>, mass2: f64, lam: f64) -> Self {
        Self { mass2, lam, lattice: lattice.clone(), forward: lattice.steps(1), backward: lattice.steps(-1) }
    }
}

impl<R: Real> Action<ScalarField<R>> for ScalarAction {
    fn value(&self, phi: &ScalarField<R>, _: &[Auxiliary<ScalarField<R>>], _: &mut Effort) -> Result<R::Total> {
        Ok(field::measure(&Density { action: self, phi }, self.lattice.vectors()).1)
    }
    fn kick(
        &self,
        phi: &ScalarField<R>,
        _: &[Auxiliary<ScalarField<R>>],
        step: f64,
        momenta: &mut ScalarTangent<R>,
        _: &mut Effort,
    ) -> Result<()> {
        field::for_each::<R, _, _>(&Kick { action: self, phi, step }, phi.components, &mut momenta.values);
        Ok(())
    }
}

impl ScalarAction {
    #[inline(always)]
    fn neighbour<R: Real>(&self, phi: &ScalarField<R>, shift: &Shift, vector: usize, component: usize) -> R {
        self.lattice.load(&phi.values, phi.components, component, shift[vector])
    }
    #[inline(always)]
    fn norm2<R: Real>(phi: &ScalarField<R>, vector: usize) -> R {
        let mut sum = R::zero();
        for &x in &phi.values[vector * phi.components..(vector + 1) * phi.components] {
            sum = x.mul_add(x, sum);
        }
        sum
    }
}

struct Density<'a, R> {
    action: &'a ScalarAction,
    phi: &'a ScalarField<R>,
}

impl<R: Real> Measure<R> for Density<'_, R> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize) -> R {
        let (action, phi) = (self.action, self.phi);
        let norm2 = ScalarAction::norm2(phi, vector);
        let mut gradient = R::zero();
        for shift in &action.forward {
            for c in 0..phi.components {
                let difference = action.neighbour(phi, shift, vector, c) - phi.values[vector * phi.components + c];
                gradient = difference.mul_add(difference, gradient);
            }
        }
        let potential = norm2.mul_add(R::splat(action.lam), R::splat(0.5 * action.mass2)) * norm2;
        gradient.mul_add(R::splat(0.5), potential)
    }
}

struct Kick<'a, R> {
    action: &'a ScalarAction,
    phi: &'a ScalarField<R>,
    step: f64,
}

impl<R: Real> SiteKernel<R, R> for Kick<'_, R> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, momenta: &mut [R]) -> R {
        let (action, phi) = (self.action, self.phi);
        let diagonal = R::splat(action.mass2 + 2.0 * action.forward.len() as f64);
        let diagonal = R::splat(4.0 * action.lam).mul_add(ScalarAction::norm2(phi, vector), diagonal);
        for (c, p) in momenta.iter_mut().enumerate() {
            let mut neighbours = R::zero();
            for shifts in [&action.forward, &action.backward] {
                for shift in shifts {
                    neighbours += action.neighbour(phi, shift, vector, c);
                }
            }
            let force = diagonal * phi.values[vector * phi.components + c] - neighbours;
            *p = R::splat(-self.step).mul_add(force, *p);
        }
        R::zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::concept::{check_force, value};
    use crate::number::Dual;
    use crate::sampler::{Hmc, INTEGRATORS, Level};

    fn random<R: Real>(extents: &[usize], components: usize) -> ScalarField<R> {
        let lattice = Lattice::new(extents, R::LANES).unwrap();
        let values = normals(&Lattice::new(extents, 1).unwrap(), components, 4);
        ScalarField::from_sites(lattice, components, |site, c| values[site * components + c])
    }

    #[test]
    fn force_is_the_derivative_of_the_action() {
        for (extents, components) in [(&[6][..], 1), (&[2, 3], 2), (&[4, 2, 3], 3), (&[2, 2, 3, 2], 1)] {
            let phi = random::<f64>(extents, components);
            let action = ScalarAction::new(phi.lattice(), 0.7, 0.3);
            let delta = phi.noise(Draws::new(5, 0));
            let moved = ScalarField {
                lattice: phi.lattice.clone(),
                components,
                values: phi.values.iter().zip(&delta.values).map(|(&x, &d)| Dual::new(x, d)).collect(),
            };
            let slope = value(&action, &moved).unwrap().eps;
            let error = check_force(&action, &phi, &delta, slope).unwrap();
            assert!(error < 1e-11, "{extents:?}: {error:e}");
        }
    }

    /// Free field: <phi_i phi_j> = K^{-1}, kappa = m^2 + sum 4 sin^2(k/2); <|phi_k|^2> = 1/kappa for each mode.
    #[test]
    fn free_field_spectrum_by_hmc() {
        let (n, mass2) = (6usize, 0.8);
        let mut phi = random::<f64>(&[n], 1);
        let action = ScalarAction::new(phi.lattice(), mass2, 0.0);
        let level = Level { terms: vec![0], integrator: INTEGRATORS[1], steps: 6 };
        let hmc = Hmc::plain(Arc::new(action), level, 1.3);
        let draws = 20_000;
        let mut power = vec![0.0; n];
        let mut weight = 0.0;
        for sweep in 0..draws {
            let (next, info) = hmc.step(&phi, Draws::new(9, sweep)).unwrap();
            phi = next;
            weight += (-info.delta_h).exp();
            for (k, power) in power.iter_mut().enumerate() {
                let angle = |x: usize| 2.0 * std::f64::consts::PI * (k * x) as f64 / n as f64;
                let re: f64 = phi.values.iter().enumerate().map(|(x, v)| v * angle(x).cos()).sum();
                let im: f64 = phi.values.iter().enumerate().map(|(x, v)| v * angle(x).sin()).sum();
                *power += (re * re + im * im) / n as f64;
            }
        }
        assert!((weight / draws as f64 - 1.0).abs() < 0.01);
        for (k, power) in power.iter().enumerate() {
            let sine = (std::f64::consts::PI * k as f64 / n as f64).sin();
            let exact = 1.0 / (mass2 + 4.0 * sine * sine);
            // Error of a chi^2 mean with an autocorrelation of a few trajectories.
            let error = exact * (2.0 * 4.0 / draws as f64).sqrt();
            assert!((power / draws as f64 - exact).abs() < 4.0 * error, "k = {k}: {} {exact}", power / draws as f64);
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn lanes_give_the_scalar_answer() {
        use crate::number::{F64x4Avx2, Isa};
        if Isa::supported() < Isa::Avx2 {
            return;
        }
        let (a, b) = (random::<f64>(&[8, 4], 2), random::<F64x4Avx2>(&[8, 4], 2));
        let (s, t) = (
            value(&ScalarAction::new(a.lattice(), 0.5, 0.1), &a).unwrap(),
            value(&ScalarAction::new(b.lattice(), 0.5, 0.1), &b).unwrap(),
        );
        assert!((s - t).abs() < 1e-11 * s);
        assert_eq!(a.to_array(), b.to_array());
    }
}
