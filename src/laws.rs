//! Laws that every group, dimension, loop family, integrator and instruction set is held to.

use crate::action::{Action, Configuration, LoopAction, force};
use crate::dual::Dual;
use crate::gauge::{GaugeField, unpack};
use crate::group;
use crate::lanes::Isa;
use crate::lattice::Lattice;
use crate::matrix::{Algebra, Complex, Matrix};
use crate::path::{self, WeightedPath};
use crate::real::Real;
use crate::rng::{Purpose, Stream};
use crate::sampler::{Heatbath, Hmc, INTEGRATORS, Integrator, Level, integrator::integrate};
use crate::smear::{AttentionLayer, Flow, Map, Mapped, Memory, Stack, StoutLayer, StoutTerm, ape, hyp};
use crate::smear::{along_parameter, displaced};

/// Runs a generic law for U(1), SU(2), ..., SU(5) and SU(8).
macro_rules! every_group {
    ($law:ident $(, $argument:expr)*) => {
        $law::<1>($($argument),*);
        $law::<2>($($argument),*);
        $law::<3>($($argument),*);
        $law::<4>($($argument),*);
        $law::<5>($($argument),*);
        $law::<8>($($argument),*);
    };
}

const SHAPES: [&[usize]; 4] = [&[4, 6], &[3, 4, 2], &[2, 3, 2, 4], &[4, 2, 2, 2]];

/// Every loop family that exists on `extents`, a user's loop, and a mixture with different coefficients.
fn loop_lists(extents: &[usize]) -> Vec<Vec<WeightedPath>> {
    let mut lists: Vec<_> = path::FAMILIES.iter().filter_map(|name| path::family(name, extents).ok()).collect();
    lists.push(vec![WeightedPath { weight: 0.7, path: vec![1, 1, 2, 2, -1, -2, -2, 1, 2, -1, -1, -2] }]);
    let mut mixture = path::family("plaquette", extents).unwrap();
    mixture.extend(path::family("rectangle", extents).unwrap());
    for (n, l) in mixture.iter_mut().enumerate() {
        l.weight *= 1.3 - 0.4 * n as f64;
    }
    lists.push(mixture);
    lists
}

fn random_algebra<const N: usize>(seed: u64, site: u32) -> Algebra<f64, N> {
    let mut rng = Stream::new(seed, Purpose::Noise, 0).site(site);
    Algebra::from_normals(&std::array::from_fn(|_| std::array::from_fn(|_| rng.normal())))
}

#[test]
fn force_is_the_derivative_of_the_action() {
    fn law<const N: usize>(extents: &[usize]) {
        let lattice = Lattice::new(extents, 1).unwrap();
        let u = GaugeField::<f64, N>::hot(lattice.clone(), 11);
        let delta = u.draw_momenta(12, 0);
        for loops in loop_lists(extents) {
            let action = LoopAction::new(&lattice, loops.clone());
            let slope = action.value(&displaced(&u, &delta)).unwrap().eps;
            let predicted = force(&action, &u).unwrap().inner(&delta);
            assert!((slope - predicted).abs() < 1e-10 * slope.abs().max(1.0), "N={N} {extents:?} {loops:?}");
        }
    }
    for extents in SHAPES {
        every_group!(law, extents);
    }
}

#[test]
fn actions_are_gauge_invariant() {
    fn law<const N: usize>(extents: &[usize]) {
        let lattice = Lattice::new(extents, 1).unwrap();
        let u = GaugeField::<f64, N>::hot(lattice.clone(), 5);
        let stream = Stream::new(6, Purpose::Start, 0);
        let g: Vec<_> = (0..lattice.volume() as u32).map(|x| group::haar::<N>(&mut stream.site(x))).collect();
        let mut v = u.clone();
        v.gauge_transform(&g);
        for loops in loop_lists(extents) {
            let action = LoopAction::new(&lattice, loops);
            let (a, b) = (action.value(&u).unwrap(), action.value(&v).unwrap());
            assert!((a - b).abs() < 1e-12 * lattice.volume() as f64 * 10.0, "N={N} {extents:?}: {a} {b}");
        }
    }
    for extents in SHAPES {
        every_group!(law, extents);
    }
}

#[test]
fn exponential_lies_in_the_group_and_solves_its_equation() {
    fn law<const N: usize>() {
        for (site, size) in [1e-9, 1e-3, 0.1, 1.0, 7.0, 300.0].into_iter().enumerate() {
            let a = random_algebra::<N>(3, site as u32).scale(size);
            let e = group::exp(&a);
            assert!(group::unitarity_violation(&e) < 3e-14 * size.max(1.0), "N={N} size {size}");
            // exp(a) = exp(a/2)^2 and d/ds exp((1 + s) a) = a exp(a)
            let half = group::exp(&a.scale(0.5));
            let difference = half.mul(&half).add(&e.scale(-1.0)).norm2().sqrt();
            assert!(difference < 1e-13 * size.max(1.0), "N={N} size {size}: {difference:e}");
            let (_, derivative) = group::exp_differential(&a, &a);
            let error = derivative.add_scaled(-1.0, &a);
            assert!(error.inner(&error).sqrt() < 1e-12 * size * size.max(1.0), "N={N} size {size}");
        }
    }
    every_group!(law);
}

#[test]
fn differential_of_exp_against_finite_differences_and_its_adjoint() {
    fn law<const N: usize>() {
        for size in [0.0, 1e-5, 0.5, 2.0] {
            let (a, x, y) = (random_algebra::<N>(4, 0).scale(size), random_algebra(4, 1), random_algebra(4, 2));
            let (e, jx) = group::exp_differential(&a, &x);
            let h = 1e-5;
            let (plus, minus) = (group::exp(&a.add_scaled(h, &x)), group::exp(&a.add_scaled(-h, &x)));
            let slope = plus.add(&minus.scale(-1.0)).scale(0.5 / h).mul_adjoint(&e).algebra_part();
            let error = slope.add_scaled(-1.0, &jx);
            assert!(error.inner(&error).sqrt() < 1e-8, "N={N} size {size}");
            let (_, jy) = group::exp_differential(&a.scale(-1.0), &y);
            assert!((jx.inner(&y) - x.inner(&jy)).abs() < 1e-12, "adjoint, N={N} size {size}");
        }
    }
    every_group!(law);
}

#[test]
fn exponential_is_regular_at_degenerate_eigenvalues() {
    for eigenvalues in [[1.0, 1.0, -2.0], [0.0, 0.0, 0.0], [1.0, -1.0, 0.0], [1.0 + 1e-9, 1.0 - 1e-9, -2.0]] {
        let mut a = Algebra::<f64, 3>::zero();
        for i in 0..3 {
            a.0[i][i] = eigenvalues[i];
        }
        let e = group::exp(&a);
        for i in 0..3 {
            let (sin, cos) = eigenvalues[i].sin_cos();
            assert!((e.0[i][i].re - cos).abs() < 1e-15 && (e.0[i][i].im - sin).abs() < 1e-15);
        }
    }
}

#[test]
fn projection_returns_to_the_group() {
    fn law<const N: usize>() {
        let mut rng = Stream::new(9, Purpose::Noise, 0).site(0);
        let u = group::haar::<N>(&mut rng);
        assert!(group::unitarity_violation(&u) < 1e-13);
        let noise = Matrix::from_fn(|_, _| Complex::new(rng.normal(), rng.normal()));
        let projected = group::project(&u.add(&noise.scale(0.3)));
        assert!(group::unitarity_violation(&projected) < 1e-12, "N={N}");
        let again = group::project(&projected).add(&projected.scale(-1.0)).norm2().sqrt();
        assert!(again < 1e-12, "idempotent, N={N}: {again:e}");
        let restored = group::reunitarize(&u.add(&noise.scale(1e-6)));
        assert!(group::unitarity_violation(&restored) < 1e-11, "N={N} {:e}", group::unitarity_violation(&restored));
        let exact = group::reunitarize(&u.add(&noise.scale(1e-9))).add(&u.scale(-1.0)).norm2().sqrt();
        assert!(exact < 1e-8);
    }
    every_group!(law);
}

/// <|tr U|^2> = 1 for U(1) and SU(N >= 3) Haar matrices, <(tr U)^2> = 1 for SU(2), and <U> = 0.
#[test]
fn haar_measure_has_the_exact_moments() {
    fn law<const N: usize>() {
        let stream = Stream::new(21, Purpose::Start, 0);
        let n = 20_000;
        let (mut second, mut fourth, mut first) = (0.0, 0.0, 0.0);
        for site in 0..n {
            let trace = group::haar::<N>(&mut stream.site(site)).trace();
            let t = trace.norm2();
            (first, second, fourth) = (first + trace.re, second + t, fourth + t * t);
        }
        let n = f64::from(n);
        let error = ((fourth / n - (second / n).powi(2)) / n).sqrt();
        assert!((second / n - 1.0).abs() < 4.0 * error.max(1e-12), "N={N}: {} +- {error}", second / n);
        assert!(first.abs() / n < 4.0 / n.sqrt());
    }
    every_group!(law);
}

#[test]
fn momenta_are_standard_normal_in_the_metric() {
    fn law<const N: usize>() {
        let lattice = Lattice::new(&[8, 8, 4], 1).unwrap();
        let momenta = GaugeField::<f64, N>::cold(lattice.clone()).draw_momenta(17, 2);
        let dof = (if N == 1 { 1 } else { N * N - 1 } * lattice.volume() * 3) as f64;
        let kinetic = GaugeField::<f64, N>::kinetic(&momenta);
        assert!((kinetic - dof / 2.0).abs() < 4.0 * (dof / 2.0).sqrt(), "N={N}: {kinetic} {dof}");
    }
    every_group!(law);
}

fn hmc<const N: usize>(
    lattice: &std::sync::Arc<Lattice>,
    integrator: Integrator,
    steps: usize,
) -> Vec<Level<GaugeField<f64, N>>> {
    let mut loops = path::family("plaquette", lattice.extents()).unwrap();
    loops.iter_mut().for_each(|l| l.weight = 2.0 * N as f64);
    vec![Level { action: Box::new(LoopAction::new(lattice, loops)), integrator, steps }]
}

#[test]
fn trajectories_are_reversible() {
    fn law<const N: usize>() {
        let lattice = Lattice::new(&[4, 2, 3], 1).unwrap();
        for integrator in INTEGRATORS {
            let levels = hmc::<N>(&lattice, integrator, 5);
            let start = GaugeField::<f64, N>::hot(lattice.clone(), 1);
            let (mut u, mut p) = (start.clone(), start.draw_momenta(2, 0));
            integrate(&levels, 0.5, &mut u, &mut p).unwrap();
            p.elements.iter_mut().for_each(|a| *a = a.scale(-1.0));
            integrate(&levels, 0.5, &mut u, &mut p).unwrap();
            let distance = u.links().iter().zip(start.links()).map(|(a, b)| a.add(&b.scale(-1.0)).norm2());
            assert!(distance.fold(0.0, f64::max).sqrt() < 1e-11, "N={N} {}", integrator.name);
        }
    }
    every_group!(law);
}

#[test]
fn energy_error_scales_with_the_order_of_the_integrator() {
    let lattice = Lattice::new(&[4, 4, 4], 1).unwrap();
    let mut start = GaugeField::<f64, 3>::hot(lattice.clone(), 1);
    let equilibrate =
        Hmc { energy: Box::new(crate::action::Sum(vec![])), levels: hmc(&lattice, INTEGRATORS[1], 10), length: 0.5 };
    for sweep in 0..5 {
        start = equilibrate.step(&start, 3, sweep).unwrap().0;
    }
    for integrator in INTEGRATORS {
        let error = |steps: usize| {
            let levels = hmc::<3>(&lattice, integrator, steps);
            let (mut u, mut p) = (start.clone(), start.draw_momenta(4, 0));
            let energy = |u: &_, p: &_| levels[0].action.value(u).unwrap() + GaugeField::kinetic(p);
            let before = energy(&u, &p);
            integrate(&levels, 1.0, &mut u, &mut p).unwrap();
            (energy(&u, &p) - before).abs()
        };
        let order = (error(20) / error(40)).log2();
        assert!((order - f64::from(integrator.order)).abs() < 0.35, "{}: order {order}", integrator.name);
    }
}

/// What one field gives for everything that has a vector path: action, force, momenta, heatbath, overrelaxation.
fn fingerprint<R: Real, const N: usize>(extents: &[usize], name: &str) -> Option<Vec<f64>> {
    let lattice = Lattice::new(extents, R::LANES).ok()?;
    let mut loops = path::family("plaquette", extents).unwrap();
    loops.extend(path::family(name, extents).unwrap());
    loops.iter_mut().for_each(|l| l.weight = 1.5);
    let action = LoopAction::new(&lattice, loops);
    let mut u = GaugeField::<R, N>::hot(lattice.clone(), 8);
    let p = u.draw_momenta(9, 3);
    u.drift(0.3, &p);
    let mut values = vec![
        action.value(&u).unwrap().lane(0),
        GaugeField::kinetic(&p).lane(0),
        force(&action, &u).unwrap().inner(&p).lane(0),
    ];
    if let Ok(heatbath) = Heatbath::new(action.clone(), &lattice, 1) {
        u = heatbath.step(&u, 5, 1).unwrap().0;
        values.push(action.value(&u).unwrap().lane(0));
        let mut links = vec![0.0; lattice.volume()];
        for (n, link) in u.links().iter().enumerate().step_by(lattice.ndim()) {
            for lane in 0..R::LANES {
                links[lattice.site(n / lattice.ndim(), lane) as usize] = unpack(link, lane).0[N - 1][0].re;
            }
        }
        values.extend(links);
    }
    Some(values)
}

fn compare<R: Real, const N: usize>(tolerance: f64) {
    let mut compared = 0;
    for extents in [&[16][..], &[8, 8], &[4, 12], &[6, 4, 2], &[4, 4, 4, 4], &[6, 6, 2, 4], &[3, 2, 4, 8]] {
        for name in ["rectangle", "chair", "polyakov"] {
            if extents.len() < 2 || path::family(name, extents).is_err() {
                continue;
            }
            let Some(vector) = fingerprint::<R, N>(extents, name) else { continue };
            let scalar = fingerprint::<f64, N>(extents, name).unwrap();
            for (a, b) in vector.iter().zip(&scalar) {
                assert!((a - b).abs() < tolerance * b.abs().max(1.0), "N={N} {extents:?} {name}: {a} {b}");
            }
            compared += 1;
        }
    }
    assert!(compared > 5);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn every_instruction_set_gives_the_scalar_answer() {
    use crate::lanes::{F64x8Avx2, F64x8Avx512};
    if Isa::supported() >= Isa::Avx2 {
        compare::<F64x8Avx2, 1>(1e-9);
        compare::<F64x8Avx2, 2>(1e-9);
        compare::<F64x8Avx2, 3>(1e-9);
        compare::<Dual<F64x8Avx2>, 2>(1e-9);
    }
    if Isa::supported() >= Isa::Avx512 {
        compare::<F64x8Avx512, 1>(1e-9);
        compare::<F64x8Avx512, 2>(1e-9);
        compare::<F64x8Avx512, 3>(1e-9);
    }
}

/// Single precision: action, kinetic energy and force only, since a heatbath decision may flip at 1e-7.
#[cfg(target_arch = "x86_64")]
#[test]
fn single_precision_lanes_agree_to_single_precision() {
    use crate::lanes::{F32x16Avx2, F32x16Avx512};
    fn check<R: Real>() {
        let extents = [4, 4, 4, 4];
        let (single, double) = (
            fingerprint::<R, 3>(&extents, "rectangle").unwrap(),
            fingerprint::<f64, 3>(&extents, "rectangle").unwrap(),
        );
        for (a, b) in single.iter().zip(&double).take(3) {
            assert!((a - b).abs() < 2e-5 * b.abs(), "{a} {b}");
        }
    }
    if Isa::supported() >= Isa::Avx2 {
        check::<F32x16Avx2>();
    }
    if Isa::supported() >= Isa::Avx512 {
        check::<F32x16Avx512>();
    }
    check::<f32>();
}

fn stout<const N: usize>(lattice: &std::sync::Arc<Lattice>) -> StoutLayer {
    let extents = lattice.extents();
    let every = |name: &str, directions| StoutTerm { loops: path::family(name, extents).unwrap(), directions };
    let mut terms = vec![every("plaquette", u8::MAX), every("rectangle", 0b01), every("plaquette", 0b10)];
    terms.push(every("polyakov_t", u8::MAX));
    terms.push(every("polyakov_s", u8::MAX));
    if extents.len() > 2 {
        terms.push(every("chair", u8::MAX));
    }
    let rho = (0..terms.len()).map(|k| 0.07 - 0.03 * k as f64).collect();
    StoutLayer::new(lattice, terms, rho)
}

fn wilson<const N: usize>(lattice: &std::sync::Arc<Lattice>) -> LoopAction {
    LoopAction::new(lattice, path::family("plaquette", lattice.extents()).unwrap())
}

fn attention(lattice: &std::sync::Arc<Lattice>) -> AttentionLayer {
    let term = |name: &str| StoutTerm { loops: path::family(name, lattice.extents()).unwrap(), directions: u8::MAX };
    let rho = [0.1, -0.05, 0.06, 0.02, -0.08, 0.03];
    AttentionLayer::new(lattice, vec![term("plaquette"), term("polyakov_s")], &rho, 3).unwrap()
}

/// One stack of every kind, and mixtures.
fn stacks<R: Real, const N: usize>(lattice: &std::sync::Arc<Lattice>) -> Vec<Vec<Box<dyn Map<GaugeField<R, N>>>>> {
    vec![
        vec![Box::new(stout::<N>(lattice))],
        vec![Box::new(attention(lattice))],
        vec![Box::new(stout::<N>(lattice)), Box::new(attention(lattice)), Box::new(stout::<N>(lattice))],
    ]
}

fn mapped<R: Real, const N: usize>(
    lattice: &std::sync::Arc<Lattice>,
    layers: Vec<Box<dyn Map<GaugeField<R, N>>>>,
    memory: Memory,
) -> Mapped<GaugeField<R, N>> {
    Mapped { action: Box::new(wilson::<N>(lattice)), map: Box::new(Stack { layers, memory }) }
}

#[test]
fn pullback_of_every_stack_is_its_derivative() {
    fn law<const N: usize>(extents: &[usize]) {
        let lattice = Lattice::new(extents, 1).unwrap();
        let u = GaugeField::<f64, N>::hot(lattice.clone(), 31);
        let delta = u.draw_momenta(32, 0);
        for (n, layers) in stacks::<Dual<f64>, N>(&lattice).into_iter().enumerate() {
            let dual = mapped(&lattice, layers, Memory::Store);
            let slope = dual.value(&displaced(&u, &delta)).unwrap().eps;
            for memory in [Memory::Store, Memory::Recompute] {
                let action = mapped(&lattice, stacks::<f64, N>(&lattice).swap_remove(n), memory);
                let predicted = force(&action, &u).unwrap().inner(&delta);
                assert!(
                    (slope - predicted).abs() < 1e-10 * slope.abs().max(1.0),
                    "N={N} {extents:?} stack {n}: {slope} {predicted}"
                );
            }
        }
    }
    for extents in SHAPES {
        law::<1>(extents);
        law::<2>(extents);
        law::<3>(extents);
    }
    law::<4>(SHAPES[0]);
    law::<5>(SHAPES[0]);
}

#[test]
fn parameter_gradients_are_derivatives() {
    fn law<const N: usize>(extents: &[usize]) {
        let lattice = Lattice::new(extents, 1).unwrap();
        let u = GaugeField::<f64, N>::hot(lattice.clone(), 31);
        let (layer, action) = (stout::<N>(&lattice), wilson::<N>(&lattice));
        let top = force(&action, &layer.forward(&u).unwrap()).unwrap();
        for (k, predicted) in layer.pullback(&u, &top).unwrap().1.into_iter().enumerate() {
            let slope = action.value(&along_parameter(&layer, &u, k)).unwrap().eps;
            assert!((slope - predicted).abs() < 1e-10 * slope.abs().max(1.0), "N={N} {extents:?} rho_{k}");
        }
        // of a layer below others: its image moves along the coefficient, the layers above take dual numbers
        let stack = mapped(&lattice, stacks::<f64, N>(&lattice).swap_remove(2), Memory::Store);
        let top = force(&*stack.action, &stack.map.forward(&u).unwrap()).unwrap();
        let gradient = stack.map.pullback(&u, &top).unwrap().1;
        let parameters = Map::<GaugeField<f64, N>>::parameters(&layer).len();
        let above = stacks::<Dual<f64>, N>(&lattice).swap_remove(2).split_off(1);
        for (k, predicted) in gradient.into_iter().take(parameters).enumerate() {
            let image = above.iter().fold(along_parameter(&layer, &u, k), |image, map| map.forward(&image).unwrap());
            let slope = action.value(&image).unwrap().eps;
            assert!((slope - predicted).abs() < 1e-10 * slope.abs().max(1.0), "N={N} {extents:?} theta_{k}");
        }
    }
    for extents in SHAPES {
        law::<1>(extents);
        law::<2>(extents);
        law::<3>(extents);
    }
    law::<4>(SHAPES[0]);
}

type FieldMap<'a, const N: usize> = Box<dyn Fn(&GaugeField<f64, N>) -> GaugeField<f64, N> + 'a>;

#[test]
fn smearing_and_flow_are_gauge_covariant() {
    fn law<const N: usize>(extents: &[usize]) {
        let lattice = Lattice::new(extents, 1).unwrap();
        let u = GaugeField::<f64, N>::hot(lattice.clone(), 5);
        let stream = Stream::new(6, Purpose::Start, 0);
        let g: Vec<_> = (0..lattice.volume() as u32).map(|x| group::haar::<N>(&mut stream.site(x))).collect();
        let mut v = u.clone();
        v.gauge_transform(&g);
        let all: Vec<usize> = (0..extents.len()).collect();
        let alphas = [0.75, 0.6, 0.3];
        let flow = Flow::new(&lattice, path::family("plaquette", extents).unwrap());
        let mut maps: Vec<FieldMap<N>> = vec![
            Box::new(|u| stout::<N>(&lattice).forward(u).unwrap()),
            Box::new(|u| attention(&lattice).forward(u).unwrap()),
            Box::new(|u| ape(u, 0.4, &all).unwrap()),
            Box::new(|u| flow.step(u, 0.1).unwrap()),
        ];
        if extents.len() > 2 {
            maps.push(Box::new(|u| hyp(u, &alphas[4 - extents.len()..]).unwrap()));
        }
        for (n, map) in maps.iter().enumerate() {
            let (mut a, b) = (map(&u), map(&v));
            assert!(a.unitarity_violation() < 1e-11);
            a.gauge_transform(&g);
            let distance = a.links().iter().zip(b.links()).map(|(a, b)| a.add(&b.scale(-1.0)).norm2());
            // projections of sums of random matrices lose digits
            let tolerance = if n == 2 || n == 4 { 1e-10 } else { 1e-12 };
            assert!(distance.fold(0.0, f64::max).sqrt() < tolerance, "N={N} {extents:?} map {n}");
        }
    }
    for extents in SHAPES {
        every_group!(law, extents);
    }
}

#[test]
fn an_euler_step_of_the_flow_is_one_stout_step() {
    let lattice = Lattice::new(&[4, 4, 4, 4], 1).unwrap();
    let u = GaugeField::<f64, 3>::hot(lattice.clone(), 5);
    let action = wilson::<3>(&lattice);
    // dV/dt = -dS/dU in units in which S = sum Re tr(1 - P): N METRIC times the force of the unit action
    let mut euler = u.clone();
    euler.drift(-0.1 * 3.0 * 2.0, &force(&action, &u).unwrap());
    let term = StoutTerm { loops: path::family("plaquette", &[4; 4]).unwrap(), directions: u8::MAX };
    let smeared = StoutLayer::new(&lattice, vec![term], vec![0.1]).forward(&u).unwrap();
    let distance = smeared.links().iter().zip(euler.links()).map(|(a, b)| a.add(&b.scale(-1.0)).norm2());
    assert!(distance.fold(0.0, f64::max) < 1e-26);
    let plaquette = |u: &GaugeField<f64, 3>| action.value(u).unwrap();
    assert!(plaquette(&smeared) < plaquette(&u));
}

#[test]
fn adaptive_flow_keeps_its_error() {
    let lattice = Lattice::new(&[4, 4, 4, 4], 1).unwrap();
    let u = GaugeField::<f64, 3>::hot(lattice.clone(), 5);
    let flow = Flow::new(&lattice, path::family("plaquette", &[4; 4]).unwrap());
    let mut exact = u.clone();
    for _ in 0..200 {
        exact = flow.step(&exact, 0.001).unwrap();
    }
    for tolerance in [1e-4, 1e-6, 1e-8] {
        let (mut v, mut t, mut step) = (u.clone(), 0.0, 0.02);
        while t < 0.2 {
            let (next, info) = flow.adaptive_step(&v, f64::min(step, 0.2 - t), tolerance).unwrap();
            (v, t, step) = (next, t + info.taken, info.next);
            t = if 0.2 - t < 1e-12 { 0.2 } else { t };
        }
        let distance = v.links().iter().zip(exact.links()).map(|(a, b)| a.add(&b.scale(-1.0)).norm2());
        let distance = distance.fold(0.0, f64::max).sqrt();
        assert!(distance < 100.0 * tolerance, "{tolerance:e}: {distance:e}");
    }
}
