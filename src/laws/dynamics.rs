//! Molecular dynamics: momenta, reversibility, the order of dH, time scales, and the streams of its random numbers.

use super::distance;
use crate::action::LoopAction;
use crate::concept::{Configuration, Effort, kinetic, value};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::lattice::Lattice;
use crate::lattice::path;
use crate::random::{Draws, Purpose};
use crate::sampler::integrator::Stage;
use crate::sampler::{Heatbath, Hmc, INTEGRATORS, Integrator, Level, OnFailure, Role, Term};
use crate::scalar::{ScalarAction, ScalarField};
use std::collections::HashSet;
use std::sync::Arc;

#[test]
fn momenta_are_standard_normal_in_the_metric() {
    fn law<const N: usize>() {
        let lattice = Lattice::new(&[8, 8, 4], 1).unwrap();
        let momenta = GaugeField::<f64, N>::cold(lattice.clone()).noise(Draws::new(17, 2));
        let dof = (if N == 1 { 1 } else { N * N - 1 } * lattice.volume() * 3) as f64;
        let kinetic = kinetic(&momenta);
        assert!((kinetic - dof / 2.0).abs() < 4.0 * (dof / 2.0).sqrt(), "N={N}: {kinetic} {dof}");
    }
    every_group!(law);
}

fn hmc<const N: usize>(
    lattice: &Arc<Lattice>,
    integrator: Integrator,
    steps: usize,
    length: f64,
) -> Hmc<GaugeField<f64, N>> {
    let mut loops = path::family("plaquette", lattice.extents()).unwrap();
    loops.iter_mut().for_each(|l| l.weight = 2.0 * N as f64);
    Hmc::plain(Arc::new(LoopAction::new(lattice, loops)), Level { terms: vec![0], integrator, steps }, length)
}

/// Molecular dynamics alone.
fn integrate<const N: usize>(hmc: &Hmc<GaugeField<f64, N>>, u: &mut GaugeField<f64, N>, p: &mut LinkAlgebra<f64, N>) {
    let (phi, mut forces) = (vec![Vec::new(); hmc.terms.len()], vec![None; hmc.terms.len()]);
    hmc.integrate(u, p, &phi, &mut Effort::default(), &mut forces).unwrap();
}

#[test]
fn trajectories_are_reversible() {
    fn law<const N: usize>() {
        let lattice = Lattice::new(&[4, 2, 3], 1).unwrap();
        for integrator in INTEGRATORS {
            let hmc = hmc::<N>(&lattice, integrator, 5, 0.5);
            let start = GaugeField::<f64, N>::hot(lattice.clone(), 1);
            let (mut u, mut p) = (start.clone(), start.noise(Draws::new(2, 0)));
            integrate(&hmc, &mut u, &mut p);
            p.elements.iter_mut().for_each(|a| *a = a.scale(-1.0));
            integrate(&hmc, &mut u, &mut p);
            let off = distance(&u, &start);
            assert!(off < 1e-11, "N={N} {}: {off:e}", integrator.name);
        }
    }
    every_group!(law);
}

#[test]
fn energy_error_scales_with_the_order_of_the_integrator() {
    let lattice = Lattice::new(&[4, 4, 4], 1).unwrap();
    let mut start = GaugeField::<f64, 3>::hot(lattice.clone(), 1);
    let mut equilibrate = hmc(&lattice, INTEGRATORS[1], 10, 0.5);
    equilibrate.terms[0].role = Role::Moves;
    for sweep in 0..5 {
        start = equilibrate.step(&start, Draws::new(3, sweep)).unwrap().0;
    }
    for integrator in INTEGRATORS {
        let error = |steps: usize| {
            let hmc = hmc::<3>(&lattice, integrator, steps, 1.0);
            let (mut u, mut p) = (start.clone(), start.noise(Draws::new(4, 0)));
            let energy = |u: &_, p: &_| value(&*hmc.terms[0].action, u).unwrap() + kinetic(p);
            let before = energy(&u, &p);
            integrate(&hmc, &mut u, &mut p);
            (energy(&u, &p) - before).abs()
        };
        let order = (error(20) / error(40)).log2();
        assert!((order - f64::from(integrator.order)).abs() < 0.35, "{}: order {order}", integrator.name);
    }
}

/// Omelyan, Mryglod, Folk, eq. 31: lambda minimises the error of the second-order scheme.
#[test]
fn lambda_of_omelyan_has_its_closed_form() {
    let root = (2.0 * 326f64.sqrt() + 36.0).cbrt();
    let lambda = 0.5 - root / 12.0 + 1.0 / (6.0 * root);
    assert!(matches!(INTEGRATORS[1].stages[0], Stage::Kick(x) if (x - lambda).abs() < 1e-15), "{lambda}");
}

/// Rectangles on the slow level and plaquettes on the fast one, or the other way round.
fn two_levels(lattice: &Arc<Lattice>, outer: Integrator, inner: Integrator, steps: usize) -> Hmc<GaugeField<f64, 2>> {
    let term = |name: &str, weight: f64| {
        let mut loops = path::family(name, lattice.extents()).unwrap();
        loops.iter_mut().for_each(|l| l.weight = weight);
        Term { action: Arc::new(LoopAction::new(lattice, loops)) as _, role: Role::Both, auxiliary: None }
    };
    let level = |n, integrator, steps| Level { terms: vec![n], integrator, steps };
    Hmc {
        terms: vec![term("plaquette", 2.0), term("rectangle", 1.5)],
        levels: vec![level(1, outer, steps), level(0, inner, 2)],
        length: 1.0,
        on_failure: OnFailure::Raise,
    }
}

#[test]
fn two_levels_are_reversible_and_of_the_order_of_the_worse() {
    let lattice = Lattice::new(&[4, 4, 3], 1).unwrap();
    for outer in INTEGRATORS {
        for inner in INTEGRATORS {
            let names = format!("{} over {}", outer.name, inner.name);
            let run = |steps: usize| {
                let hmc = two_levels(&lattice, outer, inner, steps);
                let start = GaugeField::<f64, 2>::hot(lattice.clone(), 1);
                let (mut u, mut p) = (start.clone(), start.noise(Draws::new(2, 0)));
                let energy = |u: &_, p: &_| {
                    hmc.terms.iter().map(|term| value(&*term.action, u).unwrap()).sum::<f64>() + kinetic(p)
                };
                let before = energy(&u, &p);
                integrate(&hmc, &mut u, &mut p);
                let error = (energy(&u, &p) - before).abs();
                p.elements.iter_mut().for_each(|a| *a = a.scale(-1.0));
                integrate(&hmc, &mut u, &mut p);
                let off = distance(&u, &start);
                assert!(off < 1e-11, "{names}: back to {off:e}");
                error
            };
            let (order, expected) = ((run(20) / run(40)).log2(), f64::from(outer.order.min(inner.order)));
            assert!(order > expected - 0.5, "{names}: order {order}, expected {expected}");
        }
    }
}

#[test]
fn updates_return_to_the_group() {
    fn law<const N: usize>() {
        let lattice = Lattice::new(&[4, 2, 3], 1).unwrap();
        let hmc = hmc::<N>(&lattice, INTEGRATORS[0], 300, 3.0);
        let start = GaugeField::<f64, N>::hot(lattice.clone(), 1);
        let (end, info) = hmc.step(&start, Draws::new(2, 0)).unwrap();
        assert!(info.accepted && end.unitarity_violation() < 2e-15, "HMC N={N}: {:e}", end.unitarity_violation());
        let heatbath = Heatbath::new(super::wilson(&lattice), &lattice, 100).unwrap();
        let end = heatbath.step(&start, 5, 0).unwrap().0;
        assert!(end.unitarity_violation() < 2e-15, "heatbath N={N}: {:e}", end.unitarity_violation());
    }
    law::<1>();
    law::<2>();
    law::<3>();
}

/// A purpose that is added must be added here: the match has no other arm.
fn purposes() -> Vec<Purpose> {
    use Purpose::*;
    let all = vec![Start, Momenta, Metropolis, Heatbath, Pseudofermion, Noise, Weights, Batches, Gibbs, Worm, Spins];
    for purpose in &all {
        match purpose {
            Start | Momenta | Metropolis | Heatbath | Pseudofermion | Noise | Weights | Batches | Gibbs | Worm
            | Spins => (),
        }
    }
    all
}

#[test]
fn streams_of_all_purposes_terms_and_sweeps_differ() {
    let (mut seen, mut count) = (HashSet::new(), 0);
    for purpose in purposes() {
        for (seed, sweep, term) in
            [(1, 0, 0), (1, 1, 0), (1, 0, 1), (2, 0, 0), (1, 1 << 32, 0), (1, 0, 1 << 8), (1 << 32, 0, 0)]
        {
            let stream = Draws::new(seed, sweep).of(term).stream(purpose);
            for (site, block) in [(0, 0), (1, 0), (0, 1)] {
                let words = stream.block(site, block);
                seen.insert([words[0], words[1]]);
                seen.insert([words[2], words[3]]);
                count += 2;
            }
        }
    }
    assert_eq!(seen.len(), count);
}

/// <phi^2> of two sites with S = (a - b)^2 + (mass2/2)(a^2 + b^2) + lam (a^4 + b^4) by quadrature.
fn two_sites(mass2: f64, lam: f64) -> f64 {
    let grid: Vec<f64> = (-250..=250).map(|n| f64::from(n) * 0.016).collect();
    let (mut sum, mut norm) = (0.0, 0.0);
    for a in &grid {
        for b in &grid {
            let weight = |x: f64| 0.5 * mass2 * x * x + lam * x.powi(4);
            let w = (-(a - b).powi(2) - weight(*a) - weight(*b)).exp();
            (sum, norm) = (sum + w * a * a, norm + w);
        }
    }
    sum / norm
}

/// Where half of the proposals are rejected the decision itself is tested: a sign, |dH|, or a used random number shows.
#[test]
fn hmc_of_two_degrees_of_freedom_is_exact_at_half_acceptance() {
    let lattice = Lattice::new(&[2], 1).unwrap();
    for (name, steps, length) in [("leapfrog", 1, 0.8), ("leapfrog", 2, 1.5), ("omelyan2", 1, 1.35)] {
        let level = Level { terms: vec![0], integrator: Integrator::named(name).unwrap(), steps };
        let hmc = Hmc::plain(Arc::new(ScalarAction::new(&lattice, 0.5, 0.3)), level, length);
        let mut q = ScalarField::<f64>::from_sites(lattice.clone(), 1, |_, _| 0.0);
        let (mut squares, mut accepted) = (Vec::new(), 0u32);
        for sweep in 0..60_000 {
            let (next, info) = hmc.step(&q, Draws::new(11, sweep)).unwrap();
            (q, accepted) = (next, accepted + u32::from(info.accepted));
            squares.push(0.5 * (q.values()[0].powi(2) + q.values()[1].powi(2)));
        }
        let acceptance = f64::from(accepted) / squares.len() as f64;
        assert!((0.3..0.75).contains(&acceptance), "{name} {steps} {length}: acceptance {acceptance}");
        let bins: Vec<f64> = squares.chunks(200).map(|c| c.iter().sum::<f64>() / c.len() as f64).collect();
        let (count, mean) = (bins.len() as f64, bins.iter().sum::<f64>() / bins.len() as f64);
        let error = (bins.iter().map(|b| (b - mean).powi(2)).sum::<f64>() / (count * (count - 1.0))).sqrt();
        let exact = two_sites(0.5, 0.3);
        assert!(
            (mean - exact).abs() < 4.0 * error && error < 0.01 * exact,
            "{name} {steps}: {mean} +- {error}, exact {exact}"
        );
    }
}
