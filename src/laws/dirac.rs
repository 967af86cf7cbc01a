//! Dirac operators: adjoints, even-odd forms, lanes and single precision; forces of pseudofermions are derivatives.

use crate::action::{Accuracy, Mapped, Pseudofermion, check_quarks};
use crate::concept::{Action, Configuration, Effort, LinearOperator, Normal, Sum, Tangent, check_adjoint};
use crate::dirac::{DiracSpec, EvenOdd, Family, Hermitian, LinkQuark, MinusSquare, Quark, Whole};
use crate::field::{Space, Vector};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::lattice::{Lattice, Sites};
use crate::map::{BlockedLayer, displaced};
use crate::number::{Dual, Real};
use crate::random::{Draws, Purpose, Stream};
use crate::solver::{EigenParams, Method, SolveParams, eigenvalues, multishift, solve};
use num_complex::Complex64;
use rand::RngExt;
use rand_distr::StandardNormal;
use std::sync::Arc;

/// Operators of every kind for a number of dimensions.
fn specs(ndim: usize) -> Vec<DiracSpec> {
    let boundary: Vec<f64> = (0..ndim).map(|mu| [0.0, std::f64::consts::PI, 0.3][(mu + 2) % 3]).collect();
    let wilson = |csw, mu, spatial| DiracSpec::Wilson {
        mass: Some(0.2),
        kappa: None,
        csw,
        mu,
        boundary: boundary.clone(),
        spatial,
    };
    let wall = |ls, b, c| DiracSpec::DomainWall { mass: 0.1, m5: 1.2, ls, b, c, boundary: boundary.clone() };
    vec![
        DiracSpec::Staggered { mass: 0.3, boundary: boundary.clone(), long: false },
        DiracSpec::Staggered { mass: 0.3, boundary: boundary.clone(), long: true },
        wilson(0.0, 0.0, 1.0),
        wilson(0.0, 0.4, 1.2),
        wilson(1.3, 0.0, 1.0),
        wilson(1.3, 0.2, 1.0),
        wall(4, 1.0, 0.0),
        wall(3, 1.5, 0.5),
        wall(1, 1.5, 0.5),
    ]
    .into_iter()
    .filter(|spec| ndim > 1 || matches!(spec, DiracSpec::Staggered { .. }))
    .filter(|spec| ndim.is_multiple_of(2) || spec.slices().is_none())
    .collect()
}

/// The operator on a field, with long links that are another one.
fn bound<R: Real, Q: Real, const N: usize>(
    spec: &DiracSpec,
    lattice: &Arc<Lattice>,
    u: &GaugeField<Q, N>,
) -> Box<dyn LinkQuark<R, N>> {
    let long = matches!(spec, DiracSpec::Staggered { long: true, .. });
    let long = long.then(|| GaugeField::hot(u.lattice().clone(), 4));
    Family::<R>::new(spec, lattice).unwrap().on_fat(u, long.as_ref()).unwrap()
}

fn noise<R: Real>(space: &Space, seed: u64) -> Vector<R> {
    let stream = Stream::new(seed, Purpose::Noise, 0);
    let count = space.lattice.volume() * space.width();
    let mut rng = stream.site(0);
    let data: Vec<_> =
        (0..count).map(|_| Complex64::new(rng.sample(StandardNormal), rng.sample(StandardNormal))).collect();
    Vector::from_array(space, &data)
}

fn distance(a: &[Complex64], b: &[Complex64]) -> f64 {
    let largest = a.iter().map(|z| z.norm()).fold(0.0, f64::max);
    a.iter().zip(b).map(|(a, b)| (a - b).norm()).fold(0.0, f64::max) / largest
}

const SHAPES: [&[usize]; 5] = [&[6], &[4, 6], &[4, 4, 2], &[4, 2, 2, 4], &[8, 4]];

#[test]
fn adjoints_and_even_odd_forms() {
    fn law<const N: usize>(extents: &[usize]) {
        let lattice = Lattice::new(extents, 1).unwrap();
        let u = GaugeField::<f64, N>::hot(lattice.clone(), 3);
        for spec in specs(extents.len()) {
            let quark = bound::<f64, _, N>(&spec, &lattice, &u);
            let quark: &dyn Quark<f64> = &*quark;
            let whole = Whole(quark);
            let (x, y) = (noise(quark.space(), 5), noise(quark.space(), 6));
            assert!(check_adjoint(&whole, &x, &y) < 1e-13, "N={N} {extents:?} {spec:?}");
            let reduced = EvenOdd::new(quark).unwrap();
            let even = |v: &Vector<f64>| v.part(Sites::Even);
            assert!(check_adjoint(&reduced, &even(&x), &even(&y)) < 1e-13);
            // D x = b has the even-odd equations as its consequence.
            let mut b = Vector::zero(quark.space());
            whole.apply(&x, &mut b);
            let mut image = Vector::zero(&even(&x).space);
            reduced.apply(&even(&x), &mut image);
            assert!(distance(&image.to_array(), &reduced.reduce(&b).to_array()) < 1e-12, "N={N} {extents:?} {spec:?}");
            assert!(distance(&x.to_array(), &reduced.complete(&even(&x), &b).to_array()) < 1e-12);
        }
    }
    for extents in SHAPES {
        law::<1>(extents);
        law::<2>(extents);
        law::<3>(extents);
        law::<4>(extents);
    }
}

/// (1 + b D_W) psi_s - (1 - c D_W) [P_- psi_(s+1) + P_+ psi_(s-1)], slice by slice with Wilson's operator of mass -m5.
#[test]
fn domain_walls_are_slices_of_wilson_fermions() {
    fn law<const N: usize>(extents: &[usize]) {
        let lattice = Lattice::new(extents, 1).unwrap();
        let u = GaugeField::<f64, N>::hot(lattice.clone(), 3);
        for spec in specs(extents.len()) {
            let DiracSpec::DomainWall { mass, m5, ls, b, c, ref boundary } = spec else { continue };
            let (quark, boundary) = (bound::<f64, _, N>(&spec, &lattice, &u), boundary.clone());
            let wilson = DiracSpec::Wilson { mass: Some(-m5), kappa: None, csw: 0.0, mu: 0.0, boundary, spatial: 1.0 };
            let wilson = bound::<f64, _, N>(&wilson, &lattice, &u);
            let (x, mut image) = (noise::<f64>(quark.space(), 5), Vector::zero(quark.space()));
            Whole(&*quark as &dyn Quark<f64>).apply(&x, &mut image);
            let (x, image, n) = (x.to_array(), image.to_array(), wilson.space().components);
            // Component i of slice s on all sites, one after the other.
            let slice = |data: &[Complex64], s: usize| -> Vec<Complex64> {
                data.chunks(ls * n).flat_map(|site| site[s * n..(s + 1) * n].to_vec()).collect()
            };
            let applied = |psi: &[Complex64]| {
                let mut out = Vector::zero(wilson.space());
                Whole(&*wilson as &dyn Quark<f64>).apply(&Vector::from_array(wilson.space(), psi), &mut out);
                out.to_array()
            };
            for s in 0..ls {
                let psi = slice(&x, s);
                let (above, below) = (slice(&x, (s + 1) % ls), slice(&x, (s + ls - 1) % ls));
                let around = |edge: bool| if edge { -mass } else { 1.0 };
                let hop: Vec<_> = (0..psi.len())
                    .map(|i| match i % n < n / 2 {
                        true => below[i] * around(s == 0),
                        false => above[i] * around(s + 1 == ls),
                    })
                    .collect();
                let (w_psi, w_hop) = (applied(&psi), applied(&hop));
                let expected: Vec<_> = (0..psi.len()).map(|i| psi[i] + w_psi[i] * b - hop[i] + w_hop[i] * c).collect();
                assert!(distance(&expected, &slice(&image, s)) < 1e-13, "N={N} {extents:?} {spec:?}");
            }
        }
    }
    law::<1>(&[4, 6]);
    law::<2>(&[4, 6]);
    law::<3>(&[4, 2, 2, 4]);
}

#[test]
fn lanes_and_single_precision_give_the_scalar_answer() {
    fn apply<R: Real, const N: usize>(
        spec: &DiracSpec,
        u: &GaugeField<f64, N>,
        data: &[Complex64],
        columns: usize,
    ) -> Vec<Complex64> {
        let lattice = Lattice::new(u.lattice().extents(), R::LANES).unwrap();
        let quark = bound::<R, _, N>(spec, &lattice, u);
        let x = Vector::<R>::from_array(&quark.space().with_columns(columns), data);
        let mut out = Vector::zero(&x.space);
        Whole(&*quark as &dyn Quark<R>).apply(&x, &mut out);
        out.to_array()
    }
    fn law<R: Real, const N: usize>(extents: &[usize]) {
        let lattice = Lattice::new(extents, 1).unwrap();
        let u = GaugeField::<f64, N>::hot(lattice.clone(), 3);
        for spec in specs(extents.len()) {
            let space = Space::new(&lattice, Sites::All, spec.components(extents.len()) * N).with_columns(2);
            let data = noise::<f64>(&space, 8).to_array();
            let scalar = apply::<f64, N>(&spec, &u, &data, 2);
            let lanes = apply::<R, N>(&spec, &u, &data, 2);
            assert!(distance(&scalar, &lanes) < 30.0 * R::EPSILON, "N={N} {extents:?} {spec:?}");
            // Two columns are two vectors, to the bit.
            let half = data.len() / 2;
            let apart =
                [apply::<R, N>(&spec, &u, &data[..half], 1), apply::<R, N>(&spec, &u, &data[half..], 1)].concat();
            assert_eq!(lanes, apart);
        }
    }
    fn all<R: Real>() {
        law::<R, 1>(&[8, 8]);
        law::<R, 2>(&[4, 4, 4]);
        law::<R, 3>(&[4, 4, 4, 4]);
        law::<R, 3>(&[6, 6, 2, 8]);
    }
    all::<f32>();
    #[cfg(target_arch = "x86_64")]
    {
        use crate::number::{F32x8Avx2, F32x16Avx512, F64x4Avx2, F64x8Avx512, Isa};
        if Isa::supported() >= Isa::Avx2 {
            all::<F64x4Avx2>();
            all::<F32x8Avx2>();
        }
        if Isa::supported() >= Isa::Avx512 {
            all::<F64x8Avx512>();
            all::<F32x16Avx512>();
        }
    }
}

/// D psi of D(U) goes to g D psi under gauge transformations: the norm of a solution does not change.
#[test]
fn solutions_are_covariant_and_all_methods_agree() {
    let lattice = Lattice::new(&[4, 4, 4, 4], 1).unwrap();
    let u = GaugeField::<f64, 3>::hot(lattice.clone(), 3);
    let params = SolveParams { tolerance: 1e-12, max_iterations: 2000 };
    for spec in specs(4) {
        let quark = bound::<f64, _, 3>(&spec, &lattice, &u);
        let quark: &dyn Quark<f64> = &*quark;
        let whole = Whole(quark);
        let b = noise::<f64>(quark.space(), 9);
        let mut answers = Vec::new();
        for method in [Method::Cgnr, Method::BiCgStab] {
            let mut x = Vector::zero(quark.space());
            // BiCGStab is not for anti-Hermitian hopping, nor for eigenvalues around zero.
            if (quark.is_staggered() || spec.slices().is_some()) && method == Method::BiCgStab {
                continue;
            }
            let info = solve::<f64, f64>(&whole, None, method, &b, &mut x, params).unwrap();
            assert!(info.residual <= 1e-12 && info.iterations > 5);
            answers.push(x.to_array());
        }
        let reduced = EvenOdd::new(quark).unwrap();
        let source = reduced.reduce(&b);
        let mut even = Vector::zero(&source.space);
        let method = if reduced.is_positive() { Method::Cg } else { Method::Cgnr };
        solve::<f64, f64>(&reduced, None, method, &source, &mut even, params).unwrap();
        answers.push(reduced.complete(&even, &b).to_array());
        for answer in &answers[1..] {
            assert!(distance(&answers[0], answer) < 1e-9, "{spec:?}");
        }
    }
}

#[test]
fn shifted_systems_are_solved_together() {
    let lattice = Lattice::new(&[4, 4, 4, 4], 1).unwrap();
    let u = GaugeField::<f64, 3>::hot(lattice.clone(), 3);
    let quark = Family::<f64>::new(&specs(4)[0], &lattice).unwrap().on(&u).unwrap();
    let reduced = EvenOdd::new(&*quark as &dyn Quark<f64>).unwrap();
    let b = noise::<f64>(reduced.space(), 4);
    let shifts = [0.5, 0.0, 3.0, 20.0];
    let params = SolveParams { tolerance: 1e-11, max_iterations: 2000 };
    let (x, info) = multishift(&reduced, &b, &shifts, params).unwrap();
    assert!(info.applications == info.iterations);
    for (x, shift) in x.iter().zip(shifts) {
        let mut r = Vector::zero(reduced.space());
        reduced.apply(x, &mut r);
        r.axpy(shift, x);
        r.axpy(-1.0, &b);
        assert!((r.norm2() / b.norm2()).sqrt() < 1e-10, "{shift}");
    }
}

/// Values of scalar code and of lanes agree, vectors belong to their values, and a whole spectrum has the trace of its operator.
#[test]
fn eigenvalues_of_lanes_scalars_and_whole_spaces() {
    fn values<R: Real<Total = f64>>(
        spec: &DiracSpec,
        u: &GaugeField<f64, 2>,
        count: usize,
        degree: Option<usize>,
    ) -> Vec<f64> {
        let lattice = Lattice::new(u.lattice().extents(), R::LANES).unwrap();
        let quark = bound::<R, _, 2>(spec, &lattice, u);
        let quark: &dyn Quark<R> = &*quark;
        let params = EigenParams {
            count,
            largest: false,
            tolerance: 1e-10,
            max_applications: 100_000,
            degree,
            keep_even: false,
        };
        let whole = Whole(quark);
        let (normal, square) = (Normal::new(&whole), MinusSquare::new(quark));
        let a: &dyn LinearOperator<R> = if quark.is_staggered() { &square } else { &normal };
        let params = EigenParams { keep_even: quark.is_staggered() && a.space().sites == Sites::All, ..params };
        let found = eigenvalues(a, params).unwrap();
        for (value, v) in found.values.iter().zip(&found.vectors) {
            let mut image = Vector::zero(&v.space);
            a.apply(v, &mut image);
            image.axpy(-value, v);
            assert!(image.norm2().sqrt() < 1e-9 * found.scale);
        }
        if !quark.is_staggered() {
            let q = Hermitian(quark);
            let signed = found.clone().of_root(&q, count, false, 1e-5).unwrap();
            for (value, square) in signed.values.iter().zip(&found.values) {
                assert!((value * value - square).abs() < 1e-7);
            }
        }
        found.values
    }
    let u = GaugeField::<f64, 2>::hot(Lattice::new(&[4, 8, 4], 1).unwrap(), 3);
    for spec in [specs(3).remove(0), specs(3).remove(2)] {
        let scalar = values::<f64>(&spec, &u, 6, None);
        assert!(scalar.iter().zip(values::<f64>(&spec, &u, 6, Some(10))).all(|(a, b)| (a - b).abs() < 1e-7));
        #[cfg(target_arch = "x86_64")]
        if crate::number::Isa::supported() >= crate::number::Isa::Avx512 {
            let lanes = values::<crate::number::F64x8Avx512>(&spec, &u, 6, None);
            assert!(scalar.iter().zip(lanes).all(|(a, b)| (a - b).abs() < 1e-7));
        }
    }
    // -H^2 on the even sites has the trace of 1/4 sum over both directions of U U^dagger: d N/2 a site, where no extent is 2.
    let u = GaugeField::<f64, 2>::hot(Lattice::new(&[4, 4, 4], 1).unwrap(), 3);
    let all = values::<f64>(&specs(3)[0], &u, 64, None);
    assert!((all.iter().sum::<f64>() - 32.0 * 3.0).abs() < 1e-9);
}

/// The same operator with heavier quarks.
fn heavier(spec: &DiracSpec) -> DiracSpec {
    match spec.clone() {
        DiracSpec::Staggered { mass, boundary, long } => DiracSpec::Staggered { mass: mass + 0.4, boundary, long },
        DiracSpec::DomainWall { mass, m5, ls, b, c, boundary } => {
            DiracSpec::DomainWall { mass: mass + 0.4, m5, ls, b, c, boundary }
        }
        DiracSpec::Wilson { mass, kappa, csw, mu, boundary, spatial } => {
            // A twisted quark is made heavier by its twist.
            let (more, twist) = if mu == 0.0 { (0.5, 0.0) } else { (0.0, 0.3) };
            let mass = mass.map(|mass| mass + more);
            DiracSpec::Wilson { mass, kappa, csw, mu: mu + twist, boundary, spatial }
        }
    }
}

/// Every pseudofermion: operators, flavours, and whether it is a ratio.
fn pseudofermions(ndim: usize) -> Vec<(DiracSpec, Option<DiracSpec>, u32)> {
    let flavors =
        |spec: DiracSpec| [1, 2, 3, 4, 8].map(|n| [(spec.clone(), None, n), (spec.clone(), Some(heavier(&spec)), n)]);
    specs(ndim).into_iter().flat_map(flavors).flatten().collect()
}

/// Without ratios of roots, which take three solves with many poles, and in four dimensions with one domain wall alone.
fn quick_pseudofermions(ndim: usize) -> Vec<(DiracSpec, Option<DiracSpec>, u32)> {
    let quick = |(spec, over, n): &(DiracSpec, Option<DiracSpec>, u32)| match spec {
        DiracSpec::DomainWall { ls, .. } => *n == 2 && over.is_none() && (ndim == 2 || *ls == 3),
        DiracSpec::Staggered { .. } => *n >= 4 || over.is_none(),
        DiracSpec::Wilson { .. } => *n == 2 || over.is_none(),
    };
    pseudofermions(ndim).into_iter().filter(quick).collect()
}

#[test]
fn forces_of_pseudofermions_are_derivatives() {
    type Cases = fn(usize) -> Vec<(DiracSpec, Option<DiracSpec>, u32)>;
    fn law<const N: usize>(extents: &[usize], cases: Cases) -> usize {
        let lattice = Lattice::new(extents, 1).unwrap();
        let u = GaugeField::<f64, N>::hot(lattice.clone(), 3);
        let delta = u.noise(Draws::new(12, 0));
        let moved = displaced(&u, &delta);
        let mut tested = 0;
        for (spec, over, flavors) in cases(extents.len()) {
            let settings = accuracy_of(&spec, 1e-13);
            let Ok(action) = Pseudofermion::<f64, N>::new(&spec, over.as_ref(), flavors, &lattice, settings) else {
                continue;
            };
            let dual = Pseudofermion::<Dual<f64>, N>::new(&spec, over.as_ref(), flavors, &lattice, settings).unwrap();
            let mut effort = Effort::default();
            let phi = action.draw(&u, Draws::new(7, 1), &mut effort).unwrap().fields;
            let zero = Vector::zero(&phi[0].space);
            let lifted = [Vector::<Dual<f64>>::join([&phi[0], &zero])];
            let slope = dual.value(&moved, &lifted, &mut effort).unwrap().eps;
            let mut force = u.zero();
            action.kick(&u, &phi, -1.0, &mut force, &mut effort).unwrap();
            let predicted = force.inner(&delta);
            assert!(
                (slope - predicted).abs() < 1e-9 * slope.abs().max(1.0),
                "N={N} {extents:?} {flavors} {spec:?} over {over:?}: {slope} {predicted}"
            );
            tested += 1;
        }
        tested
    }
    for extents in [&[4, 6][..], &[4, 2, 2], &[2, 2, 2, 4]] {
        law::<1>(extents, quick_pseudofermions);
        law::<2>(extents, quick_pseudofermions);
        law::<3>(extents, quick_pseudofermions);
    }
    law::<4>(&[4, 2], quick_pseudofermions);
    // Even and odd sites that share lanes do not exist in scalar code; odd extents have no halves.
    law::<2>(&[3, 4], quick_pseudofermions);
    law::<1>(&[3, 2], pseudofermions);
    // 1 to 4 and 8 of staggered fermions; 1, 2 of Wilson and clover, 2 with a twist; 1, 2 of three domain walls; all with a ratio too.
    assert_eq!(law::<1>(&[4, 2], pseudofermions), 2 * (5 + 2 * 2 + 2 + 3 * 2));
}

/// Quarks on smeared links: the force through stout layers and through projected averages.
#[test]
fn forces_of_quarks_on_smeared_links_are_derivatives() {
    fn law<const N: usize>(extents: &[usize]) {
        let lattice = Lattice::new(extents, 1).unwrap();
        let u = GaugeField::<f64, N>::hot(lattice.clone(), 3);
        let delta = u.noise(Draws::new(12, 0));
        let layers = [(u8::MAX, 1), (0b11, 1), (u8::MAX, extents.len() - 1)];
        for (spec, flavors) in [(&specs(extents.len())[0], 4), (&specs(extents.len())[4], 2)] {
            for (set, levels) in layers {
                let layer = Arc::new(BlockedLayer::new(&lattice, set, levels).unwrap());
                let theta: Arc<[f64]> = [0.75, 0.6, 0.3][..levels].into();
                let settings = accuracy_of(spec, 1e-13);
                let quarks = Pseudofermion::<f64, N>::new(spec, None, flavors, &lattice, settings).unwrap();
                let dual = Pseudofermion::<Dual<f64>, N>::new(spec, None, flavors, &lattice, settings).unwrap();
                let action = Mapped { action: Arc::new(quarks), map: layer.clone(), theta: theta.clone() };
                let dual = Mapped { action: Arc::new(dual), map: layer, theta };
                let mut effort = Effort::default();
                let phi = action.draw(&u, Draws::new(7, 1), &mut effort).unwrap().fields;
                let lifted = [Vector::<Dual<f64>>::join([&phi[0], &Vector::zero(&phi[0].space)])];
                let slope = dual.value(&displaced(&u, &delta), &lifted, &mut effort).unwrap().eps;
                let mut force = u.zero();
                action.kick(&u, &phi, -1.0, &mut force, &mut effort).unwrap();
                let error = (slope - force.inner(&delta)).abs() / slope.abs().max(1.0);
                assert!(error < 1e-9, "N={N} {extents:?} {spec:?}, {levels} levels in {set:b}: {error:e}");
            }
        }
    }
    for extents in [&[4, 6][..], &[4, 2, 2], &[2, 2, 2, 4]] {
        law::<1>(extents);
        law::<2>(extents);
        law::<3>(extents);
    }
    law::<4>(&[4, 2]);
}

/// ln |det| by Gaussian elimination with pivots.
fn log_det(mut rows: Vec<Vec<Complex64>>) -> f64 {
    let (size, mut sum) = (rows.len(), 0.0);
    for k in 0..size {
        let best = (k..size).max_by(|&i, &j| rows[i][k].norm().total_cmp(&rows[j][k].norm())).unwrap();
        rows.swap(k, best);
        let pivot = rows[k][k];
        sum += pivot.norm().ln();
        for i in k + 1..size {
            let factor = rows[i][k] / pivot;
            for j in k..size {
                let top = rows[k][j];
                rows[i][j] -= factor * top;
            }
        }
    }
    sum
}

/// The matrix of an operator.
fn dense(a: &dyn LinearOperator<f64>) -> Vec<Vec<Complex64>> {
    let count = a.space().range().1 * a.space().width();
    let column = |n: usize| {
        let (mut x, mut image) = (Vector::zero(a.space()), Vector::zero(a.space()));
        x.values[n] = crate::matrix::Complex::real(1.0);
        a.apply(&x, &mut image);
        image.values.iter().map(|&z| z.into()).collect()
    };
    (0..count).map(column).collect()
}

/// det D = det A_oo det(A_ee - H_eo A_oo^-1 H_oe), and S at phi = 0 is the logarithm of the determinant that pseudofermions leave.
#[test]
fn the_odd_sites_of_a_clover_operator_are_its_determinant() {
    fn law<const N: usize>(extents: &[usize]) {
        let lattice = Lattice::new(extents, 1).unwrap();
        let u = GaugeField::<f64, N>::hot(lattice.clone(), 3);
        for spec in specs(extents.len()).into_iter().filter(|spec| matches!(spec, DiracSpec::Wilson { .. })) {
            let quark = Family::<f64>::new(&spec, &lattice).unwrap().on(&u).unwrap();
            let quark: &dyn Quark<f64> = &*quark;
            let odd = log_det(dense(&Whole(quark))) - log_det(dense(&EvenOdd::new(quark).unwrap()));
            let clover = matches!(&spec, DiracSpec::Wilson { csw, .. } if *csw != 0.0);
            let energy = |over: Option<&DiracSpec>, light: &DiracSpec, flavors| {
                let action = Pseudofermion::<f64, N>::new(light, over, flavors, &lattice, accuracy(1e-10)).unwrap();
                let phi = [Vector::zero(&quark.space().on(Sites::Even))];
                action.value(&u, &phi, &mut Effort::default()).unwrap()
            };
            let expected = if clover { -2.0 * odd } else { 0.0 };
            let found = energy(None, &spec, 2);
            assert!((found - expected).abs() < 1e-9 * odd.abs(), "N={N} {extents:?} {spec:?}: {found} {expected}");
            if !matches!(&spec, DiracSpec::Wilson { mu, .. } if *mu != 0.0) {
                assert!((energy(None, &spec, 1) - 0.5 * expected).abs() < 1e-9 * odd.abs());
            }
            // Ratios telescope.
            let heavy = heavier(&spec);
            let split = energy(Some(&heavy), &spec, 2) + energy(None, &heavy, 2);
            assert!((split - found).abs() < 1e-9 * odd.abs(), "{split} {found}");
        }
    }
    law::<1>(&[4, 2]);
    law::<2>(&[4, 4]);
    law::<3>(&[2, 2, 2]);
    law::<2>(&[2, 2, 2, 2]);
}

/// exp(-S), integrated over phi, is a power of |det D / det W| for every field: n of Wilson fermions and domain walls, n/4 of staggered
/// fermions. S is a Hermitian form, so the integral is its determinant.
#[test]
fn pseudofermions_leave_the_power_of_the_determinant() {
    let lattice = Lattice::new(&[2, 2], 1).unwrap();
    let fields = [3, 4].map(|seed| GaugeField::<f64, 1>::hot(lattice.clone(), seed));
    let mut tested = 0;
    for (spec, over, flavors) in pseudofermions(2) {
        let settings = accuracy_of(&spec, 1e-13);
        let Ok(action) = Pseudofermion::<f64, 1>::new(&spec, over.as_ref(), flavors, &lattice, settings) else {
            continue;
        };
        let heavy = over.or_else(|| spec.regulator());
        let [one, two] = fields.each_ref().map(|u| {
            let mut effort = Effort::default();
            let space = action.draw(u, Draws::new(7, 1), &mut effort).unwrap().fields[0].space.clone();
            let mut value = |entries: &[(usize, Complex64)]| -> f64 {
                let mut phi = Vector::zero(&space);
                entries.iter().for_each(|(n, z)| phi.values[*n] = crate::matrix::Complex::new(z.re, z.im));
                action.value(u, &[phi], &mut effort).unwrap()
            };
            let (real, imaginary) = (Complex64::new(1.0, 0.0), Complex64::new(0.0, 1.0));
            let size = space.range().1 * space.width();
            let rest = value(&[]);
            let diagonal: Vec<f64> = (0..size).map(|n| value(&[(n, real)]) - rest).collect();
            let mut form = vec![vec![Complex64::new(0.0, 0.0); size]; size];
            for i in 0..size {
                form[i][i] = Complex64::new(diagonal[i], 0.0);
                for j in 0..i {
                    let [re, im] = [real, imaginary]
                        .map(|z| 0.5 * (value(&[(i, real), (j, z)]) - rest - diagonal[i] - diagonal[j]));
                    form[i][j] = Complex64::new(re, -im);
                    form[j][i] = Complex64::new(re, im);
                }
            }
            let determinant = |spec: &DiracSpec| {
                let quark = Family::<f64>::new(spec, &lattice).unwrap().on(u).unwrap();
                log_det(dense(&Whole(&*quark as &dyn Quark<f64>)))
            };
            let power = if matches!(spec, DiracSpec::Staggered { .. }) { 0.25 } else { 1.0 } * f64::from(flavors);
            let exact = power * (determinant(&spec) - heavy.as_ref().map_or(0.0, determinant));
            (rest + log_det(form), exact)
        });
        let (found, exact) = (one.0 - two.0, two.1 - one.1);
        assert!((found - exact).abs() < 1e-8, "{spec:?} over {heavy:?} {flavors}: {found} {exact}");
        assert!(exact.abs() > 1e-3, "{exact}");
        tested += 1;
    }
    assert_eq!(tested, 34);
}

/// A ratio of equal quarks is one: S = |phi|^2, no force. Domain walls of mass 1 are their own regulator.
#[test]
fn ratios_of_equal_quarks_are_one() {
    for extents in [&[4, 2, 2][..], &[3, 4], &[2, 2, 2, 2]] {
        let lattice = Lattice::new(extents, 1).unwrap();
        let u = GaugeField::<f64, 2>::hot(lattice.clone(), 3);
        for (spec, flavors) in
            specs(extents.len()).into_iter().flat_map(|spec| [1, 2, 3, 4, 8].map(|n| (spec.clone(), n)))
        {
            let (spec, over) = match spec.regulator() {
                Some(regulator) => (regulator, None),
                None => (spec.clone(), Some(spec)),
            };
            let settings = accuracy_of(&spec, 1e-13);
            let Ok(action) = Pseudofermion::<f64, 2>::new(&spec, over.as_ref(), flavors, &lattice, settings) else {
                continue;
            };
            let mut effort = Effort::default();
            let phi = action.draw(&u, Draws::new(7, 1), &mut effort).unwrap().fields;
            let value = action.value(&u, &phi, &mut effort).unwrap();
            let mut force = u.zero();
            action.kick(&u, &phi, -1.0, &mut force, &mut effort).unwrap();
            assert!((value - phi[0].norm2()).abs() < 1e-9 * value, "{spec:?} {flavors}");
            assert!(force.largest() < 1e-9, "{spec:?} {flavors}: {}", force.largest());
        }
    }
}

/// What differs in more than its mass is refused, as are flavours that an operator cannot do, with and without a lattice.
#[test]
fn ratios_are_of_one_kind() {
    let lattice = Lattice::new(&[4, 4], 1).unwrap();
    let all = specs(2);
    let refused = |light: &DiracSpec, heavy: Option<&DiracSpec>, flavors| {
        let found = check_quarks(light, heavy, flavors, false).err().unwrap().to_string();
        let built = Pseudofermion::<f64, 1>::new(light, heavy, flavors, &lattice, accuracy(1e-10));
        assert_eq!(found, built.err().unwrap().to_string());
        found
    };
    for (light, heavy) in [(0, 2), (2, 0), (2, 5), (2, 4), (6, 7), (7, 8), (2, 6)] {
        let flavors = if light == 0 { 4 } else { 2 };
        assert!(refused(&all[light], Some(&all[heavy]), flavors).contains("csw"));
    }
    for (light, flavors, allowed) in
        [(0, 5, "1, 2, 3, 4 or 8"), (1, 4, "fat"), (2, 3, "1 or 2"), (3, 1, "2 (up"), (6, 3, "1 or 2")]
    {
        assert!(refused(&all[light], None, flavors).contains(allowed));
    }
}

/// The operator that is kept belongs to the field it is asked for.
#[test]
fn kept_operators_follow_the_field() {
    let lattice = Lattice::new(&[4, 4], 1).unwrap();
    let (spec, mut effort) = (specs(2).remove(4), Effort::default());
    let new = || Pseudofermion::<f64, 2>::new(&spec, None, 2, &lattice, accuracy(1e-12)).unwrap();
    let (action, mut u) = (new(), GaugeField::<f64, 2>::hot(lattice.clone(), 3));
    let phi = action.draw(&u, Draws::new(7, 1), &mut effort).unwrap().fields;
    let mut values = vec![action.value(&u, &phi, &mut effort).unwrap()];
    for n in 0..3 {
        match n {
            0 => u.drift(0.1, &mut u.noise(Draws::new(12, 0))),
            1 => u.links_mut().swap(0, 1),
            _ => u = GaugeField::hot(lattice.clone(), 4),
        }
        let value = action.value(&u, &phi, &mut effort).unwrap();
        assert_eq!(value, new().value(&u, &phi, &mut effort).unwrap());
        assert_eq!(value, action.value(&u.clone(), &phi, &mut effort).unwrap());
        values.push(value);
    }
    values.sort_by(f64::total_cmp);
    assert!(values.windows(2).all(|pair| pair[0] < pair[1]), "{values:?}");
}

/// No two pseudofermions of a trajectory have the same noise, those of sums inside of sums included.
#[test]
fn fields_of_nested_sums_differ() {
    type Boxed = Box<dyn Action<GaugeField<f64, 2>>>;
    let lattice = Lattice::new(&[4, 4], 1).unwrap();
    let spec = specs(2).remove(4);
    let leaf = || Box::new(Pseudofermion::<f64, 2>::new(&spec, None, 2, &lattice, accuracy(1e-12)).unwrap()) as Boxed;
    let pair = || Box::new(Sum(vec![leaf(), leaf()])) as Boxed;
    let action = Sum(vec![leaf(), pair(), Box::new(Sum(vec![pair(), leaf()])) as Boxed]);
    let u = GaugeField::<f64, 2>::hot(lattice.clone(), 3);
    let fields = action.draw(&u, Draws::new(7, 1).of(1), &mut Effort::default()).unwrap().fields;
    let mut sizes: Vec<f64> = fields.iter().map(|phi| phi.inner(phi).re).collect();
    sizes.sort_by(f64::total_cmp);
    assert_eq!(sizes.len(), 6);
    assert!(sizes.windows(2).all(|pair| pair[0] < pair[1]), "{sizes:?}");
}

/// Settings of a pseudofermion; the range is that of rational approximations for hot fields of `specs`.
fn accuracy(tolerance: f64) -> Accuracy {
    Accuracy {
        tolerances: [tolerance; 2],
        max_iterations: 5000,
        range: Some([5e-3, 200.0]),
        mixed: false,
        chronological: 0,
    }
}

/// Settings for any operator; domain walls take the range that they have by default, and end at larger residuals by rounding.
fn accuracy_of(spec: &DiracSpec, tolerance: f64) -> Accuracy {
    match spec.slices() {
        Some(_) => Accuracy { range: None, ..accuracy(tolerance.max(1e-11)) },
        None => accuracy(tolerance),
    }
}

/// On a plane wave of the free theory S = lambda^-a |phi|^2: staggered lambda = m^2 + sum sin^2 p and a = n/4; Wilson, even-odd form,
/// h(p) = a - i gamma.s with a = sum cos p, s = sin p, D_hat = c - h^2/c, and a = n/2.
#[test]
fn powers_are_those_of_the_number_of_flavors() {
    for extents in [&[8, 4][..], &[6, 4]] {
        let lattice = Lattice::new(extents, 1).unwrap();
        let u = GaugeField::<f64, 1>::cold(lattice.clone());
        let (a, s2, mass): (f64, f64, f64) = (1.0 + (std::f64::consts::PI / 4.0).cos(), 0.5, 0.3);
        let c = mass + 2.0;
        let wilson = (c - (a * a - s2) / c).powi(2) + 4.0 * a * a * s2 / (c * c);
        let plain =
            DiracSpec::Wilson { mass: Some(mass), kappa: None, csw: 0.0, mu: 0.0, boundary: Vec::new(), spatial: 1.0 };
        let staggered = DiracSpec::Staggered { mass, boundary: Vec::new(), long: false };
        for (spec, flavors, lambda, power) in [
            (&staggered, 1, mass * mass + s2, 0.25),
            (&staggered, 2, mass * mass + s2, 0.5),
            (&staggered, 3, mass * mass + s2, 0.75),
            (&staggered, 4, mass * mass + s2, 1.0),
            (&plain, 1, wilson, 0.5),
            (&plain, 2, wilson, 1.0),
        ] {
            let settings = Accuracy { range: None, ..accuracy(1e-11) };
            let action = Pseudofermion::<f64, 1>::new(spec, None, flavors, &lattice, settings).unwrap();
            let mut phi = action.draw(&u, Draws::new(1, 1), &mut Effort::default()).unwrap().fields;
            let components = phi[0].space.components;
            let wave: Vec<_> = (0..lattice.volume())
                .flat_map(|x| {
                    let angle = std::f64::consts::PI / 4.0 * (x % 4) as f64;
                    let even = (x / 4 + x % 4) % 2 == 0;
                    (0..components).map(move |n| {
                        let size = if n == 0 && even { 1.0 } else { 0.0 };
                        Complex64::from_polar(size, angle)
                    })
                })
                .collect();
            phi[0] = Vector::from_array(&phi[0].space, &wave);
            let value: f64 = action.value(&u, &phi, &mut Effort::default()).unwrap();
            let expected = phi[0].norm2() * lambda.powf(-power);
            assert!((value - expected).abs() < 1e-9 * expected, "{spec:?} {flavors} {extents:?}: {value} {expected}");
        }
    }
}

/// Eigenvalues outside the range of the approximation are an error, not a bias.
#[test]
fn a_range_that_is_too_narrow_is_an_error() {
    let lattice = Lattice::new(&[8, 4], 1).unwrap();
    let u = GaugeField::<f64, 1>::hot(lattice.clone(), 3);
    for range in [[0.5, 200.0], [1e-3, 2.0]] {
        let settings = Accuracy { range: Some(range), ..accuracy(1e-9) };
        let action = Pseudofermion::<f64, 1>::new(&specs(2)[0], None, 2, &lattice, settings).unwrap();
        let error = action.draw(&u, Draws::new(1, 1), &mut Effort::default()).err().unwrap().to_string();
        assert!(error.contains("spectral_range"), "{error}");
    }
}

/// Along a path of fields a mixed or a chronological solve gives the force of a plain one to the residual that was asked for, in fewer
/// iterations where it knows solutions; the value knows none, and no other trajectory does.
#[test]
fn forces_are_the_same_in_mixed_precision_and_from_earlier_solutions() {
    fn law<const N: usize>(extents: &[usize]) -> usize {
        let lattice = Lattice::new(extents, 1).unwrap();
        let start = GaugeField::<f64, N>::hot(lattice.clone(), 3);
        let noise = start.noise(Draws::new(12, 0));
        let mut tested = 0;
        for (spec, over, flavors) in pseudofermions(extents.len()) {
            let plain = accuracy_of(&spec, 1e-9);
            let settings = [plain, Accuracy { mixed: true, ..plain }, Accuracy { chronological: 4, ..plain }];
            let new = |settings| Pseudofermion::<f64, N>::new(&spec, over.as_ref(), flavors, &lattice, settings);
            if new(plain).is_err() {
                continue;
            }
            let staggered = matches!(spec, DiracSpec::Staggered { .. });
            if flavors < if staggered { 4 } else { 2 } {
                for settings in &settings[1..] {
                    assert!(new(*settings).err().unwrap().to_string().contains("rational approximation"));
                }
                continue;
            }
            let phi = new(plain).unwrap().draw(&start, Draws::new(7, 1), &mut Effort::default()).unwrap().fields;
            let mut plainly: Vec<LinkAlgebra<f64, N>> = Vec::new();
            let mut spent = Vec::new();
            for settings in settings {
                let (action, mut effort, mut u) = (new(settings).unwrap(), Effort::default(), start.clone());
                for step in 0..6 {
                    let mut force = u.zero();
                    action.kick(&u, &phi, -1.0, &mut force, &mut effort).unwrap();
                    match plainly.get(step) {
                        None => plainly.push(force),
                        Some(expected) => {
                            let scale = expected.inner(expected);
                            force.axpy(-1.0, expected);
                            let error = (force.inner(&force) / scale).sqrt();
                            assert!(error < 1e-6, "{settings:?} {spec:?} {over:?} {flavors}: {error:e}");
                        }
                    }
                    u.drift(0.01, &mut noise.clone());
                }
                let mut others = [Effort::default(), Effort::default()];
                let before = action.value(&start, &phi, &mut others[0]).unwrap();
                let after = action.value(&start, &phi, &mut effort).unwrap();
                assert_eq!(before.to_bits(), after.to_bits(), "{settings:?} {spec:?}");
                spent.push(effort.iterations);
                let kicks = [effort, std::mem::take(&mut others[1])].map(|mut effort| {
                    let mut force = u.zero();
                    action.kick(&u, &phi, -1.0, &mut force, &mut effort).unwrap();
                    force.inner(&force)
                });
                assert_eq!(
                    kicks[0].to_bits() == kicks[1].to_bits(),
                    settings.chronological == 0,
                    "{settings:?} {spec:?}"
                );
            }
            assert!(spent[2] < spent[0], "{spec:?} {over:?} {flavors}: {spent:?}");
            tested += 1;
        }
        tested
    }
    // With and without a ratio: 4 and 8 of staggered fermions, Wilson and clover, two with a twist, three domain walls.
    assert_eq!(law::<1>(&[8, 4]), 2 * (2 + 2 + 2 + 3));
    law::<3>(&[2, 2, 2, 4]);
    law::<2>(&[3, 4]);
}

/// S of a fresh phi is |eta|^2 (and the log det of a clover operator) on average, and exactly where it is known from the draw.
#[test]
fn fresh_pseudofermions_have_the_action_of_their_noise() {
    let lattice = Lattice::new(&[4, 4], 1).unwrap();
    let u = GaugeField::<f64, 1>::hot(lattice.clone(), 3);
    for (spec, over, flavors) in pseudofermions(2) {
        let settings = accuracy_of(&spec, 1e-11);
        let Ok(action) = Pseudofermion::<f64, 1>::new(&spec, over.as_ref(), flavors, &lattice, settings) else {
            continue;
        };
        let (mut sum, mut known, draws) = (0.0, false, 100);
        let mut count = 0.0;
        for sweep in 0..draws {
            let mut effort = Effort::default();
            let drawn = action.draw(&u, Draws::new(17, sweep), &mut effort).unwrap();
            let value = action.value(&u, &drawn.fields, &mut effort).unwrap();
            if let Some(expected) = drawn.value {
                assert!((value - expected).abs() < 1e-8 * expected.abs().max(1.0), "{spec:?} over {over:?} {flavors}");
                known = true;
            }
            let zero = [Vector::zero(&drawn.fields[0].space)];
            sum += value - action.value(&u, &zero, &mut effort).unwrap();
            let space = &drawn.fields[0].space;
            // A vector that vanishes on the odd sites.
            let masked = matches!(spec, DiracSpec::Staggered { .. }) && flavors < 8 && space.sites == Sites::All;
            count = (space.range().1 * space.width()) as f64 * if masked { 0.5 } else { 1.0 };
        }
        assert!(known || matches!(spec, DiracSpec::Staggered { .. }));
        // |eta|^2 of n complex numbers has mean n and variance n.
        let (mean, error) = (sum / draws as f64, (count / draws as f64).sqrt());
        assert!((mean - count).abs() < 4.0 * error, "{spec:?} over {over:?} {flavors}: {mean} {count}");
    }
}
