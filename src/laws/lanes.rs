//! Lanes of every instruction set give what one site at a time gives, link by link.
#![cfg(target_arch = "x86_64")]

use super::maps::{attention, image, stout};
use crate::action::{LoopAction, Mapped};
use crate::concept::{Configuration, Map, Tangent as _, force, kinetic, value};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::lattice::Lattice;
use crate::lattice::path;
use crate::map::{BlockedLayer, Flow, displaced};
use crate::number::{F32x8Avx2, F32x16Avx512, F64x4Avx2, F64x8Avx512, Isa, Real};
use crate::observable::topology::{charge_density, energy_density};
use crate::random::Draws;
use crate::sampler::Heatbath;
use std::io::Write;
use std::sync::Arc;

/// Real parts of the last row of every link, in the order of sites.
fn links<R: Real, const N: usize>(u: &GaugeField<R, N>) -> Vec<f64> {
    let ndim = u.lattice().ndim();
    let mut values = vec![0.0; u.lattice().volume() * ndim * N];
    u.for_each_link(|site, mu, link| {
        for (k, z) in link.0[N - 1].iter().enumerate() {
            values[(site * ndim + mu) * N + k] = z.re - 0.7 * z.im;
        }
    });
    values
}

/// The field after a drift along the momenta: what they are on every link.
fn moved<R: Real, const N: usize>(u: &GaugeField<R, N>, step: f64, p: &mut LinkAlgebra<R, N>) -> Vec<f64> {
    let mut u = u.clone();
    u.drift(step, p);
    links(&u)
}

/// What one field gives for everything that has a vector path, on every site.
fn fingerprint<R: Real<Total = f64>, const N: usize>(
    extents: &[usize],
    name: &str,
    draws: bool,
) -> Option<Vec<(&'static str, Vec<f64>)>> {
    let lattice = Lattice::new(extents, R::LANES).ok()?;
    let mut loops = path::family("plaquette", extents).unwrap();
    loops.extend(path::family(name, extents).unwrap());
    loops.iter_mut().for_each(|l| l.weight = 1.5);
    let action = LoopAction::new(&lattice, loops);
    let mut u = GaugeField::<R, N>::hot(lattice.clone(), 8);
    let mut p = u.noise(Draws::new(9, 3));
    u.drift(0.3, &mut p);
    let mut push = force(&action, &u).unwrap();
    let averages = |alphas: &[f64]| BlockedLayer::new(&lattice, u8::MAX, alphas.len()).unwrap();
    let mut values = vec![
        ("numbers", vec![value(&action, &u).unwrap(), kinetic(&p), push.inner(&p)]),
        ("momenta", moved(&u, 0.2, &mut p)),
        ("force", moved(&u, 0.05, &mut push)),
        ("stout", links(&image(&stout::<N>(&lattice), &u))),
        ("attention", links(&image(&attention(&lattice), &u))),
        ("APE", links(&averages(&[0.4]).forward(&[0.4], &u).unwrap())),
        ("flow", links(&Flow::new(&lattice, action.loops()).step(&u, 0.02).unwrap())),
        ("energy", energy_density(&u, "clover").unwrap()),
    ];
    if extents.len() > 2 {
        let alphas = &[0.75, 0.6, 0.3][4 - extents.len()..];
        let layer = averages(alphas);
        values.push(("HYP", links(&layer.forward(alphas, &u).unwrap())));
        let mapped = Mapped { action: Arc::new(action.clone()), map: Arc::new(layer), theta: alphas.into() };
        values.push(("HYP reverse pass", moved(&u, 0.02, &mut force(&mapped, &u).unwrap())));
    }
    if extents.len() == 4 {
        values.push(("topology", charge_density(&u, "improved").unwrap()));
    }
    let mapped = Mapped {
        action: Arc::new(action.clone()),
        map: Arc::new(stout::<N>(&lattice)),
        theta: vec![0.05; Map::<GaugeField<R, N>>::n_parameters(&stout::<N>(&lattice))].into(),
    };
    values.push(("reverse pass", moved(&u, 0.05, &mut force(&mapped, &u).unwrap())));
    // six subgroups a link and staples that nearly vanish: a second sweep of SU(4) multiplies rounding by 10^5
    if draws && let Ok(heatbath) = Heatbath::new(action, &lattice, usize::from(N < 4)) {
        values.push(("heatbath", links(&heatbath.step(&u, 5, 1).unwrap().0)));
    }
    Some(values)
}

fn agree<R: Real<Total = f64>, const N: usize>(extents: &[usize], name: &str, tolerance: f64) -> bool {
    // a decision of the heatbath may flip where single precision rounds
    let draws = tolerance < 1e-6;
    let Some(vector) = fingerprint::<R, N>(extents, name, draws) else { return false };
    for ((what, a), (_, b)) in vector.iter().zip(fingerprint::<f64, N>(extents, name, draws).unwrap()) {
        // projections of sums of hot links lose digits, which doubles have to spare; a heatbath loses them at each of its two sweeps
        // where a staple sum nearly vanishes, and a decision that flips would be seen at order one
        let loses = *what == "heatbath" || (!draws && ["HYP", "APE", "HYP reverse pass"].contains(what));
        let tolerance = if loses { 100.0 * tolerance } else { tolerance };
        let size = b.iter().fold(1.0, |max: f64, x| max.max(x.abs()));
        let worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(
            a.len() == b.len() && worst < tolerance * size,
            "N={N} {extents:?} {name}: {what} differs by {worst:e}"
        );
    }
    true
}

fn compare<R: Real<Total = f64>, const N: usize>(tolerance: f64) {
    let shapes: [&[usize]; 7] = [&[16], &[8, 8], &[4, 12], &[6, 4, 2], &[4, 4, 4, 4], &[6, 6, 2, 4], &[3, 2, 4, 8]];
    let mut compared = 0;
    for extents in shapes {
        for name in ["rectangle", "chair", "polyakov"] {
            if extents.len() > 1 && path::family(name, extents).is_ok() && agree::<R, N>(extents, name, tolerance) {
                compared += 1;
            }
        }
    }
    assert!(compared > 5, "{compared} lattices");
}

/// Every x86-64 processor since 2013 has AVX2; where AVX-512 is missing this line, past the test harness, says so.
fn has(isa: Isa) -> bool {
    let supported = Isa::supported() >= isa;
    let what = if supported { "compared with site by site" } else { "NOT compared: this processor has no such lanes" };
    writeln!(std::io::stderr(), "lanes of {}: {what}", isa.name()).unwrap();
    assert!(supported || isa > Isa::Avx2, "a processor without AVX2 tests no lanes");
    supported
}

#[test]
fn avx2_gives_the_scalar_answer() {
    if has(Isa::Avx2) {
        compare::<F64x4Avx2, 1>(1e-9);
        compare::<F64x4Avx2, 2>(1e-9);
        compare::<F64x4Avx2, 3>(1e-9);
        compare::<F64x4Avx2, 4>(1e-9);
    }
}

#[test]
fn avx512_gives_the_scalar_answer() {
    if has(Isa::Avx512) {
        compare::<F64x8Avx512, 1>(1e-9);
        compare::<F64x8Avx512, 2>(1e-9);
        compare::<F64x8Avx512, 3>(1e-9);
        compare::<F64x8Avx512, 4>(1e-9);
    }
}

/// Duals of lanes: the derivative of the action on every lane.
#[test]
fn duals_of_lanes_have_the_scalar_derivative() {
    fn slope<R: Real<Total = f64>, const N: usize>() -> f64 {
        let lattice = Lattice::new(&[4, 4, 4, 4], R::LANES).unwrap();
        let u = GaugeField::<R, N>::hot(lattice.clone(), 8);
        value(&super::wilson(&lattice), &displaced(&u, &u.noise(Draws::new(9, 3)))).unwrap().eps
    }
    fn law<R: Real<Total = f64>>() {
        for (found, wanted) in [(slope::<R, 2>(), slope::<f64, 2>()), (slope::<R, 3>(), slope::<f64, 3>())] {
            assert!((found - wanted).abs() < 1e-10 * wanted.abs());
        }
    }
    if has(Isa::Avx2) {
        law::<F64x4Avx2>();
    }
    if has(Isa::Avx512) {
        law::<F64x8Avx512>();
    }
}

#[test]
fn single_precision_lanes_agree_to_single_precision() {
    fn check<R: Real<Total = f64>>() {
        assert!(agree::<R, 3>(&[4, 4, 4, 4], "rectangle", 2e-5));
    }
    if has(Isa::Avx2) {
        check::<F32x8Avx2>();
    }
    if has(Isa::Avx512) {
        check::<F32x16Avx512>();
    }
    check::<f32>();
}
