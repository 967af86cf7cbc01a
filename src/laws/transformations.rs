//! Masked field transformations: log det is that of the dense Jacobian, forces and gradients are derivatives, the inverse undoes.

use super::{distance, wilson};
use crate::action::Transformed;
use crate::concept::{Bijection, Configuration, Map, check_force, check_log_det, check_pullback, force, value};
use crate::error::Error;
use crate::gauge::GaugeField;
use crate::lattice::{Lattice, path};
use crate::map::{CoefficientNetwork, MaskedLayer, Memory, Pattern, Transformation, displaced};
use crate::matrix::{Algebra, Matrix};
use crate::nn::{Activation, Layer};
use crate::number::{Dual, Real};
use crate::random::Draws;
use std::sync::Arc;

fn layer(pattern: Pattern, names: &[&str], extents: &[usize], scale: f64) -> MaskedLayer {
    let groups = names.iter().map(|name| path::family(name, extents).unwrap()).collect();
    MaskedLayer { pattern, direction: None, class: None, groups, scale, network: None }
}

/// Two convolutions, from plaquettes and rectangles to one coefficient.
fn network(extents: &[usize]) -> CoefficientNetwork {
    let ndim = extents.len();
    let inputs = ["plaquette", "rectangle"].map(|name| path::family(name, extents).unwrap()).concat();
    let ones = vec![1; ndim];
    let conv = |size: usize, inputs: usize, outputs: usize| Layer::Conv {
        size: vec![size; ndim],
        inputs,
        outputs,
        bias: true,
        stride: ones.clone(),
        dilation: ones.clone(),
    };
    let layers = vec![conv(2, inputs.len(), 2), Layer::Activation(Activation::Gelu), conv(1, 2, 1)];
    CoefficientNetwork { inputs, layers }
}

/// A sweep over all links, one update of a single slice, and updates of one direction whose coefficients networks give.
fn transformation(lattice: &Arc<Lattice>, memory: Memory) -> Transformation {
    let extents = lattice.extents();
    let (pattern, names, scale) = match extents.len() {
        2 => (Pattern::Sublattices, ["plaquette", "rectangle"], 1.0),
        _ => (Pattern::Parity, ["plaquette", "chair"], 0.75),
    };
    let all = layer(pattern, &names, extents, scale);
    let one = MaskedLayer { direction: Some(1), class: Some(1), ..layer(pattern, &names[..1], extents, scale) };
    let learned = MaskedLayer {
        direction: Some(0),
        network: Some(network(extents)),
        ..layer(pattern, &names[..1], extents, scale)
    };
    Transformation::new(lattice, &[all, one, learned], memory).unwrap()
}

fn theta(ndim: usize) -> Vec<f64> {
    let classes = if ndim == 2 { 4 } else { 2 };
    let weights = classes * network(&vec![4; ndim]).layers.iter().map(Layer::n_parameters).sum::<usize>();
    let noise = (0..weights).map(|n| (0.7 * n as f64 * n as f64).sin());
    [1.3, -0.8, 2.5].into_iter().chain(noise).collect()
}

fn log_det_of_dense(mut rows: Vec<Vec<f64>>) -> f64 {
    let (n, mut sum) = (rows.len(), 0.0);
    for k in 0..n {
        let pivot = (k..n).max_by(|&i, &j| rows[i][k].abs().total_cmp(&rows[j][k].abs())).unwrap();
        rows.swap(k, pivot);
        sum += rows[k][k].abs().ln();
        let (done, rest) = rows.split_at_mut(k + 1);
        for row in rest {
            let factor = row[k] / done[k][k];
            row.iter_mut().zip(&done[k]).skip(k).for_each(|(x, y)| *x -= factor * y);
        }
    }
    sum
}

/// Orthonormal directions of one link, from standard ones by Gram-Schmidt.
fn basis<const N: usize>() -> Vec<Algebra<f64, N>> {
    let mut basis: Vec<Algebra<f64, N>> = Vec::new();
    for i in 0..N {
        for j in 0..N {
            let mut normals = [[0.0; N]; N];
            normals[i][j] = 1.0;
            let mut a = Algebra::from_normals(&normals);
            for b in &basis {
                a = a.add_scaled(-a.inner(b), b);
            }
            let norm = a.inner(&a).sqrt();
            if norm > 1e-6 {
                basis.push(a.scale(1.0 / norm));
            }
        }
    }
    basis
}

#[test]
fn log_det_is_that_of_the_dense_jacobian() {
    fn law<const N: usize>(extents: &[usize]) {
        let lattice = Lattice::new(extents, 1).unwrap();
        let map = transformation(&lattice, Memory::Store);
        let u = GaugeField::<f64, N>::hot(lattice, 3);
        let basis = basis::<N>();
        assert_eq!(basis.len(), if N == 1 { 1 } else { N * N - 1 });
        let column = |link: usize, e: &Algebra<f64, N>| -> Vec<f64> {
            let mut direction = u.zero();
            direction.elements[link] = *e;
            let image = map.forward(&theta(extents.len()), &displaced(&u, &direction)).unwrap();
            let part = |m: &Matrix<Dual<f64>, N>, f: fn(Dual<f64>) -> f64| {
                Matrix::<f64, N>::from_fn(|i, j| crate::matrix::Complex::new(f(m.0[i][j].re), f(m.0[i][j].im)))
            };
            let moved = |m| part(m, |x| x.eps).mul_adjoint(&part(m, |x| x.re)).algebra_part();
            image.links().iter().flat_map(|m| basis.iter().map(move |b| moved(m).inner(b))).collect()
        };
        let columns = (0..u.links().len()).flat_map(|link| basis.iter().map(move |e| (link, e)));
        let dense = log_det_of_dense(columns.map(|(link, e)| column(link, e)).collect());
        let (_, log_det, _) = map.record_log_det(&theta(extents.len()), &u).unwrap();
        assert!((dense - log_det).abs() < 1e-10 * dense.abs(), "N={N}: {dense} {log_det}");
        assert!(dense.abs() > 0.1);
    }
    law::<1>(&[4, 4]);
    law::<2>(&[2, 2, 2, 2]);
    law::<3>(&[2, 2, 2, 2]);
    law::<3>(&[2, 2, 4]);
}

fn transformed<R: Real, const N: usize>(lattice: &Arc<Lattice>, memory: Memory) -> Transformed<GaugeField<R, N>> {
    Transformed {
        action: Arc::new(wilson(lattice)),
        map: Arc::new(transformation(lattice, memory)),
        theta: theta(lattice.ndim()).into(),
    }
}

const EVEN: [&[usize]; 3] = [&[4, 6], &[2, 4, 2], &[2, 4, 2, 2]];

#[test]
fn forces_in_new_variables_are_derivatives() {
    fn law<const N: usize>(extents: &[usize]) {
        let lattice = Lattice::new(extents, 1).unwrap();
        let u = GaugeField::<f64, N>::hot(lattice.clone(), 8);
        let delta = u.noise(Draws::new(9, 0));
        let dual = transformed::<Dual<f64>, N>(&lattice, Memory::Store);
        let moved = displaced(&u, &delta);
        let slope = value(&dual, &moved).unwrap().eps;
        for memory in [Memory::Store, Memory::Recompute] {
            let error = check_force(&transformed(&lattice, memory), &u, &delta, slope).unwrap();
            assert!(error < 1e-10, "N={N} {extents:?} {memory:?}: {error:e}");
        }
        let map = transformation(&lattice, Memory::Store);
        let slope = map.record_log_det(&theta(extents.len()), &moved).unwrap().1.eps;
        let [error, round_trip] =
            check_log_det::<GaugeField<f64, N>>(&map, &theta(extents.len()), &u, distance, (&delta, slope)).unwrap();
        assert!(error < 1e-10 && round_trip < 1e-12, "N={N} {extents:?}: {error:e} {round_trip:e}");
        let action = wilson(&lattice);
        let slope = value(&action, &map.forward(&theta(extents.len()), &moved).unwrap()).unwrap().eps;
        let error =
            check_pullback(&map, &theta(extents.len()), &u, |image| force(&action, image), (&delta, slope)).unwrap();
        assert!(error < 1e-10, "N={N} {extents:?}: {error:e}");
    }
    for extents in EVEN {
        law::<1>(extents);
        law::<2>(extents);
        law::<3>(extents);
    }
}

#[test]
fn parameter_gradients_of_action_and_log_det_are_derivatives() {
    fn law<const N: usize>(extents: &[usize]) {
        let lattice = Lattice::new(extents, 1).unwrap();
        let (u, action) = (GaugeField::<f64, N>::hot(lattice.clone(), 8), wilson(&lattice));
        for memory in [Memory::Store, Memory::Recompute] {
            let map = transformation(&lattice, memory);
            let (image, _, tape) = map.record_log_det(&theta(extents.len()), &u).unwrap();
            let (top, mut gradient) = (force(&action, &image).unwrap(), vec![0.0; theta(extents.len()).len()]);
            map.pullback_log_det(&theta(extents.len()), &u, &tape, &top, -1.0, Some(&mut gradient)).unwrap();
            for (k, predicted) in gradient.into_iter().enumerate() {
                let (image, log_det) = map.along_parameter(&theta(extents.len()), &u, k).unwrap();
                let slope = value(&action, &image).unwrap().eps - log_det.eps;
                assert!((slope - predicted).abs() < 1e-10 * slope.abs().max(1.0), "N={N} {extents:?} {k}");
            }
        }
    }
    for extents in EVEN {
        law::<1>(extents);
        law::<2>(extents);
        law::<3>(extents);
    }
}

#[test]
fn what_cannot_be_masked_is_refused() {
    let refused = |extents: &[usize], layer: MaskedLayer| {
        let lattice = Lattice::new(extents, 1).unwrap();
        match Transformation::new(&lattice, &[layer], Memory::Store) {
            Err(Error::Value(message)) => message,
            _ => panic!("{extents:?} was accepted"),
        }
    };
    let plaquettes = |extents: &[usize], scale| layer(Pattern::Parity, &["plaquette"], extents, scale);
    assert!(refused(&[5, 8], plaquettes(&[5, 8], 1.0)).contains("[6, 8]"));
    assert!(refused(&[4, 4], plaquettes(&[4, 4], 1.5)).contains("at most 1"));
    assert!(refused(&[4, 4], layer(Pattern::Parity, &["rectangle"], &[4, 4], 1.0)).contains("sublattices"));
    assert!(refused(&[4, 4], MaskedLayer { class: Some(2), ..plaquettes(&[4, 4], 1.0) }).contains("0 to 1"));
    let learned = |network| MaskedLayer { network: Some(network), ..plaquettes(&[4, 4], 1.0) };
    let none = CoefficientNetwork { inputs: Vec::new(), ..network(&[4, 4]) };
    assert!(refused(&[4, 4], learned(none)).contains("0 loops as inputs"));
    let mut two = network(&[4, 4]);
    two.layers.pop();
    assert!(refused(&[4, 4], learned(two)).contains("2 outputs; 1 are needed"));
    let lattice = Lattice::new(&[4, 4], 1).unwrap();
    let map = Transformation::new(&lattice, &[plaquettes(&[4, 4], 1.0)], Memory::Store).unwrap();
    let mut u = GaugeField::<f64, 2>::hot(lattice.clone(), 1);
    u.links_mut()[3] = Matrix::one().scale(f64::NAN);
    assert!(matches!(map.record_log_det(&[0.5], &u), Err(Error::Value(_))));
    assert!(matches!(map.inverse(&[0.5], &u), Err(Error::Convergence { .. })));
    let large = GaugeField::<f64, 4>::hot(lattice, 1);
    assert!(matches!(map.forward(&[0.5], &large), Err(Error::Value(m)) if m.contains("SU(4)")));
}
