//! Reverse passes of maps are their derivatives, and maps are gauge covariant.

use super::{SHAPES, distance, wilson};
use crate::action::Mapped;
use crate::concept::{Configuration, Map, check_force, force, value};
use crate::gauge::GaugeField;
use crate::group;
use crate::lattice::Lattice;
use crate::lattice::path;
use crate::map::{
    AttentionLayer, BlockedLayer, Flow, Form, Memory, Stack, StoutLayer, StoutTerm, along_parameter, displaced,
};
use crate::number::{Dual, Real};
use crate::random::{Draws, Purpose, Stream};
use std::sync::Arc;

pub(super) fn stout<const N: usize>(lattice: &Arc<Lattice>) -> StoutLayer {
    let extents = lattice.extents();
    let every = |name: &str, directions| StoutTerm { loops: path::family(name, extents).unwrap(), directions };
    let mut terms = vec![every("plaquette", u8::MAX), every("rectangle", 0b01), every("plaquette", 0b10)];
    terms.push(every("polyakov_t", u8::MAX));
    terms.push(every("polyakov_s", u8::MAX));
    if extents.len() > 2 {
        terms.push(every("chair", u8::MAX));
    }
    StoutLayer::new(lattice, terms)
}

/// Coefficients of a stack of one kind (see `stacks`).
fn coefficients<Q: Configuration>(layers: &[Box<dyn Map<Q>>]) -> Vec<f64> {
    let own = |layer: &dyn Map<Q>| (0..layer.n_parameters()).map(|k| 0.07 - 0.03 * k as f64 % 0.17).collect();
    layers.iter().flat_map(|layer| -> Vec<f64> { own(&**layer) }).collect()
}

pub(super) fn image<R: Real, const N: usize>(
    layer: &impl Map<GaugeField<R, N>>,
    u: &GaugeField<R, N>,
) -> GaugeField<R, N> {
    let rho: Vec<f64> = (0..layer.n_parameters()).map(|k| 0.07 - 0.03 * k as f64 % 0.17).collect();
    layer.forward(&rho, u).unwrap()
}

pub(super) fn attention(lattice: &Arc<Lattice>) -> AttentionLayer {
    attention_of(lattice, Form::Symmetric)
}

fn attention_of(lattice: &Arc<Lattice>, form: Form) -> AttentionLayer {
    let term = |name: &str| StoutTerm { loops: path::family(name, lattice.extents()).unwrap(), directions: u8::MAX };
    AttentionLayer::new(lattice, vec![term("plaquette"), term("polyakov_s")], 3, form).unwrap()
}

/// APE smearing in all and in two directions, HYP smearing of all levels and, where there are more, of two.
fn blocked(lattice: &Arc<Lattice>) -> Vec<BlockedLayer> {
    let most = lattice.ndim() - 1;
    let mut layers = vec![(u8::MAX, 1), (0b11, 1)];
    layers.extend((2..=most).map(|levels| (u8::MAX, levels)));
    if most > 2 {
        layers.push((0b1101, 2));
    }
    layers.into_iter().map(|(set, levels)| BlockedLayer::new(lattice, set, levels).unwrap()).collect()
}

/// Their coefficients, from the outermost level inwards.
fn weights(layer: &BlockedLayer) -> &'static [f64] {
    &[0.75, 0.6, 0.3][..Map::<GaugeField<f64, 2>>::n_parameters(layer)]
}

/// One stack of every kind, and mixtures.
fn stacks<R: Real, const N: usize>(lattice: &Arc<Lattice>) -> Vec<Vec<Box<dyn Map<GaugeField<R, N>>>>> {
    let mut stacks: Vec<Vec<Box<dyn Map<GaugeField<R, N>>>>> = vec![
        vec![Box::new(stout::<N>(lattice))],
        vec![Box::new(attention(lattice))],
        vec![Box::new(attention_of(lattice, Form::Score))],
        vec![Box::new(stout::<N>(lattice)), Box::new(attention(lattice)), Box::new(stout::<N>(lattice))],
        vec![Box::new(attention_of(lattice, Form::Authors))],
    ];
    for layer in blocked(lattice) {
        stacks.push(vec![Box::new(layer)]);
    }
    let [all, two] = [u8::MAX, 0b11].map(|set| BlockedLayer::new(lattice, set, 1).unwrap());
    stacks.push(vec![Box::new(two), Box::new(stout::<N>(lattice)), Box::new(all)]);
    stacks
}

fn mapped<R: Real, const N: usize>(
    lattice: &Arc<Lattice>,
    layers: Vec<Box<dyn Map<GaugeField<R, N>>>>,
    memory: Memory,
) -> Mapped<GaugeField<R, N>> {
    let theta = coefficients(&layers).into();
    Mapped { action: Arc::new(wilson(lattice)), map: Arc::new(Stack { layers, memory }), theta }
}

#[test]
fn pullback_of_every_stack_is_its_derivative() {
    fn law<const N: usize>(extents: &[usize]) {
        let lattice = Lattice::new(extents, 1).unwrap();
        let u = GaugeField::<f64, N>::hot(lattice.clone(), 31);
        let delta = u.noise(Draws::new(32, 0));
        for (n, layers) in stacks::<Dual<f64>, N>(&lattice).into_iter().enumerate() {
            let dual = mapped(&lattice, layers, Memory::Store);
            let slope = value(&dual, &displaced(&u, &delta)).unwrap().eps;
            for memory in [Memory::Store, Memory::Recompute] {
                let action = mapped(&lattice, stacks::<f64, N>(&lattice).swap_remove(n), memory);
                let error = check_force(&action, &u, &delta, slope).unwrap();
                assert!(error < 1e-10, "N={N} {extents:?} stack {n}: {error:e}");
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
        let (layer, action) = (stout::<N>(&lattice), wilson(&lattice));
        let mut gradient = vec![0.0; Map::<GaugeField<f64, N>>::n_parameters(&layer)];
        let rho: Vec<f64> = (0..gradient.len()).map(|k| 0.07 - 0.03 * k as f64 % 0.17).collect();
        let (image, tape) = layer.record(&rho, &u).unwrap();
        let top = force(&action, &image).unwrap();
        layer.pullback(&rho, &u, &tape, &top, Some(&mut gradient)).unwrap();
        for (k, predicted) in gradient.iter().enumerate() {
            let slope = value(&action, &along_parameter(&layer, &rho, &u, k)).unwrap().eps;
            assert!((slope - predicted).abs() < 1e-10 * slope.abs().max(1.0), "N={N} {extents:?} rho_{k}");
        }
        // of a layer below others: its image moves along the coefficient, the layers above take dual numbers
        let stack = mapped(&lattice, stacks::<f64, N>(&lattice).swap_remove(3), Memory::Store);
        let (image, tape) = stack.map.record(&stack.theta, &u).unwrap();
        let top = force(&*stack.action, &image).unwrap();
        let mut gradient = vec![0.0; stack.theta.len()];
        stack.map.pullback(&stack.theta, &u, &tape, &top, Some(&mut gradient)).unwrap();
        let above = stacks::<Dual<f64>, N>(&lattice).swap_remove(3).split_off(1);
        for (k, predicted) in gradient.into_iter().take(rho.len()).enumerate() {
            let (mut image, mut start) = (along_parameter(&layer, &rho, &u, k), rho.len());
            for map in &above {
                let end = start + map.n_parameters();
                image = map.forward(&stack.theta[start..end], &image).unwrap();
                start = end;
            }
            let slope = value(&action, &image).unwrap().eps;
            assert!((slope - predicted).abs() < 1e-10 * slope.abs().max(1.0), "N={N} {extents:?} theta_{k}");
        }
    }
    for extents in SHAPES {
        law::<1>(extents);
        law::<2>(extents);
        law::<3>(extents);
    }
    law::<4>(SHAPES[0]);
    // 42 sites: the last chunk of the sums is a partial one
    law::<2>(&[6, 7]);
}

/// The laws of the reverse pass for averages of strong weights: its derivative by duals, and by differences for the weights.
#[test]
fn projected_averages_pull_back_their_derivative() {
    fn law<const N: usize>(extents: &[usize]) {
        let lattice = Lattice::new(extents, 1).unwrap();
        let u = GaugeField::<f64, N>::hot(lattice.clone(), 41);
        let (delta, action) = (u.noise(Draws::new(42, 0)), wilson(&lattice));
        // Differences need links whose averages are far from singular.
        let mut smooth = GaugeField::<f64, N>::cold(lattice.clone());
        smooth.drift(0.4, &mut u.noise(Draws::new(43, 0)));
        for (n, layer) in blocked(&lattice).into_iter().enumerate() {
            let (alphas, layer) = (weights(&layer), Arc::new(layer));
            let dual = Mapped { action: Arc::new(wilson(&lattice)), map: layer.clone(), theta: alphas.into() };
            let slope = value(&dual, &displaced(&u, &delta)).unwrap().eps;
            let mapped = Mapped { action: Arc::new(wilson(&lattice)), map: layer.clone(), theta: alphas.into() };
            let error = check_force(&mapped, &u, &delta, slope).unwrap();
            assert!(error < 1e-10, "N={N} {extents:?} layer {n}: {error:e}");

            let (image, tape) = layer.record(alphas, &smooth).unwrap();
            let mut gradient = vec![0.0; alphas.len()];
            layer.pullback(alphas, &smooth, &tape, &force(&action, &image).unwrap(), Some(&mut gradient)).unwrap();
            for (k, predicted) in gradient.into_iter().enumerate() {
                let h = 1e-3;
                let at = |steps: f64| {
                    let mut moved = alphas.to_vec();
                    moved[k] += steps * h;
                    value(&action, &layer.forward(&moved, &smooth).unwrap()).unwrap()
                };
                let slope = (8.0 * (at(1.0) - at(-1.0)) - at(2.0) + at(-2.0)) / (12.0 * h);
                let error = (slope - predicted).abs() / slope.abs().max(1.0);
                assert!(error < 1e-7, "N={N} {extents:?} layer {n}, alpha_{k}: {error:e}");
            }
        }
    }
    for extents in SHAPES {
        law::<1>(extents);
        law::<2>(extents);
        law::<3>(extents);
        law::<4>(extents);
    }
    law::<5>(SHAPES[0]);
    law::<5>(SHAPES[1]);
    law::<8>(SHAPES[0]);
}

/// Where nothing is nearest there is an error and no field: links 1 and -1 whose average with a weight of one half vanishes.
#[test]
fn singular_averages_are_named() {
    let lattice = Lattice::new(&[4, 4], 1).unwrap();
    let u = GaugeField::<f64, 2>::from_sites(lattice.clone(), |site, mu| {
        let sign = if mu == 0 && site % 2 == 1 { -1.0 } else { 1.0 };
        crate::matrix::Matrix::one().scale(sign)
    });
    let layer = BlockedLayer::new(&lattice, u8::MAX, 1).unwrap();
    let text = layer.forward(&[0.5], &u).unwrap_err().to_string();
    assert!(text.contains("16 averages of links of direction 0") && text.contains("alpha = 0.5"), "{text}");
    assert!(layer.forward(&[0.4], &u).is_ok());
    for (set, levels) in [(0b01, 1), (u8::MAX, 2), (u8::MAX, 0), (0b10100, 1)] {
        assert!(BlockedLayer::new(&lattice, set, levels).is_err());
    }
}

type FieldMap<'a, const N: usize> = Box<dyn Fn(&GaugeField<f64, N>) -> GaugeField<f64, N> + 'a>;

#[test]
fn smearing_and_flow_are_gauge_covariant() {
    fn law<const N: usize>(extents: &[usize]) {
        let lattice = Lattice::new(extents, 1).unwrap();
        let u = GaugeField::<f64, N>::hot(lattice.clone(), 5);
        let stream = Stream::new(6, Purpose::Start, 0);
        let g: Vec<_> = (0..lattice.volume() as u32).map(|x| group::haar::<N>(&mut stream.site(x))).collect();
        // Averages of links of a hot start may be all but singular, and their projections lose digits.
        let mut smooth = GaugeField::<f64, N>::cold(lattice.clone());
        smooth.drift(0.4, &mut u.noise(Draws::new(7, 0)));
        let [v, turned] = [&u, &smooth].map(|field| {
            let mut field = field.clone();
            field.gauge_transform(&g);
            field
        });
        let flow = Flow::new(&lattice, &path::family("plaquette", extents).unwrap());
        let layers = blocked(&lattice);
        let mut maps: Vec<FieldMap<N>> = vec![
            Box::new(|u| image(&stout::<N>(&lattice), u)),
            Box::new(|u| image(&attention(&lattice), u)),
            Box::new(|u| image(&attention_of(&lattice, Form::Score), u)),
            Box::new(|u| image(&attention_of(&lattice, Form::Authors), u)),
            Box::new(|u| flow.step(u, 0.1).unwrap()),
        ];
        let exact = maps.len();
        for layer in &layers {
            maps.push(Box::new(|u| layer.forward(weights(layer), u).unwrap()));
        }
        for (n, map) in maps.iter().enumerate() {
            let (mut a, b) = if n < exact { (map(&u), map(&v)) } else { (map(&smooth), map(&turned)) };
            let violation = a.unitarity_violation().max(map(&u).unitarity_violation());
            assert!(violation < 1e-11, "N={N} {extents:?} map {n}: {violation:e}");
            a.gauge_transform(&g);
            assert!(distance(&a, &b) < 1e-12, "N={N} {extents:?} map {n}");
        }
    }
    for extents in SHAPES {
        every_group!(law, extents);
    }
}
