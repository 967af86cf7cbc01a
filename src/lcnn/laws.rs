//! Laws of the equivariant convolutions: reverse pass against dual numbers, invariance, translations, lanes, known loops.

use super::layer::{Function, Layer};
use super::network::{Gradients, Network, Outputs};
use crate::concept::{Configuration, Tangent as _};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::group;
use crate::lattice::Lattice;
use crate::lattice::path::{WeightedPath, rectangle};
use crate::map::displaced;
use crate::number::Dual;
use crate::number::Real;
use crate::observable::loops::trace_sum;
use crate::random::{Draws, Purpose, Stream};
use rand::RngExt;
use rand_distr::StandardNormal;
use std::sync::Arc;

/// Extents 2 and 3 are shorter than the longest kernel.
const SHAPES: [&[usize]; 3] = [&[4, 6], &[3, 2, 4], &[2, 3, 2, 2]];

fn bilinear(inputs: usize, outputs: usize, kernel: usize, both: bool, centre: bool) -> Layer {
    Layer::Bilinear { inputs, outputs, kernel, both, centre, left: true, right: true }
}

fn convolution(inputs: usize, outputs: usize, kernel: usize) -> Layer {
    Layer::Bilinear { inputs, outputs, kernel, both: true, centre: true, left: false, right: false }
}

fn dense(inputs: usize, outputs: usize) -> Layer {
    Layer::Dense { inputs, outputs, function: Function::Algebraic }
}

/// Input, the layers on channels that they change from the number of loops to 2, trace and read-out.
fn network(ndim: usize, middle: Vec<Layer>, channels: usize, mean: bool) -> Network {
    let polyakov = vec![ndim - 1, 0];
    let mut layers = vec![Layer::Loops { plaquettes: true, polyakov }];
    layers.extend(middle);
    layers.extend([Layer::Trace, dense(2 * channels, 3), dense(3, 2)]);
    layers.extend(mean.then_some(Layer::Mean));
    Network::new(ndim, layers).unwrap()
}

/// Every layer alone, and all of them together with two changes of the links.
fn networks(ndim: usize) -> Vec<Network> {
    let c = ndim * (ndim - 1) / 2 + 2;
    let layers = vec![
        (vec![], c),
        (vec![convolution(c, 2, 3)], 2),
        (vec![bilinear(c, 2, 1, false, true)], 2),
        (vec![bilinear(c, 2, 2, false, false)], 2),
        (vec![bilinear(c, 1, 5, true, true)], 1),
        (vec![Layer::Gate { function: Function::Relu }], c),
        (vec![Layer::Gate { function: Function::LeakyRelu }], c),
        (vec![Layer::Gate { function: Function::Algebraic }], c),
        (vec![Layer::Exponential { inputs: c }, convolution(c, 2, 2)], 2),
        (
            vec![
                convolution(c, 2, 2),
                Layer::Exponential { inputs: 2 },
                bilinear(2, 2, 3, true, true),
                Layer::Gate { function: Function::Algebraic },
                Layer::Exponential { inputs: 2 },
                bilinear(2, 1, 2, false, true),
            ],
            1,
        ),
    ];
    layers.into_iter().flat_map(|(l, c)| [true, false].map(|mean| network(ndim, l.clone(), c, mean))).collect()
}

/// Parameters away from the special values 0 of biases and L-Exp.
fn parameters(network: &Network, seed: u64) -> Vec<f64> {
    let mut rng = Stream::new(seed, Purpose::Noise, 0).site(0);
    network.initial(seed).iter().map(|p| p + 0.1 * rng.sample::<f64, _>(StandardNormal)).collect()
}

fn hot<R: Real, const N: usize>(extents: &[usize], seed: u64) -> GaugeField<R, N> {
    GaugeField::hot(Lattice::new(extents, R::LANES).unwrap(), seed)
}

/// Some numbers to weigh outputs with.
fn weights(n: usize) -> Vec<f64> {
    (0..n).map(|k| 0.7 - 0.3 * (k % 5) as f64).collect()
}

/// Reverse pass of the weighted outputs.
fn pulled<R: Real, const N: usize>(
    network: &Network,
    theta: &[R],
    u: &GaugeField<R, N>,
    links: bool,
) -> crate::error::Result<Gradients<R, N>> {
    let (outputs, kept) = network.run(theta, u)?;
    network.pull(theta, u, &kept, links, &weights(outputs.plain(u.lattice()).len()))
}

/// d(weighted outputs)/d eps.
fn slope(outputs: &Outputs<Dual<f64>>) -> f64 {
    let values = match outputs {
        Outputs::Sites(values) => values,
        Outputs::Means(values) => values,
    };
    values.iter().zip(weights(values.len())).map(|(x, w)| w * x.eps).sum()
}

fn close(a: f64, b: f64, size: f64, what: &str) {
    assert!((a - b).abs() <= 1e-10 * size.max(a.abs()).max(1e-3), "{what}: {a} {b}");
}

#[test]
fn reverse_pass_is_the_derivative() {
    fn law<const N: usize>(extents: &[usize]) {
        let u = hot::<f64, N>(extents, 3);
        let delta = u.noise(Draws::new(4, 0));
        let still = LinkAlgebra::zero(u.lattice().clone());
        for network in networks(extents.len()) {
            let what = format!("N={N} {extents:?} {:?}", network.layers());
            let theta = parameters(&network, 5);
            let gradients = pulled(&network, &theta, &u, true).unwrap();

            let constant: Vec<_> = theta.iter().map(|&x| Dual::new(x, 0.0)).collect();
            let outputs = network.forward(&constant, &displaced(&u, &delta)).unwrap();
            let force = gradients.links.unwrap();
            close(slope(&outputs), force.inner(&delta), force.inner(&force).sqrt(), &what);

            let mut rng = Stream::new(6, Purpose::Noise, 0).site(0);
            let moved: Vec<_> = theta.iter().map(|&x| Dual::new(x, rng.sample::<f64, _>(StandardNormal))).collect();
            let outputs = network.forward(&moved, &displaced(&u, &still)).unwrap();
            let predicted: f64 = moved.iter().zip(&gradients.parameters).map(|(d, g)| d.eps * g).sum();
            let size = gradients.parameters.iter().map(|g| g * g).sum::<f64>().sqrt();
            close(slope(&outputs), predicted, size, &what);

            let alone = pulled(&network, &theta, &u, false).unwrap();
            assert_eq!(alone.parameters, gradients.parameters, "without the force, {what}");
        }
    }
    for extents in SHAPES {
        law::<1>(extents);
        law::<2>(extents);
        law::<3>(extents);
    }
    law::<4>(SHAPES[0]);
}

/// Each single parameter, not only a random direction.
#[test]
fn every_parameter_has_its_derivative() {
    let u = hot::<f64, 2>(&[2, 3], 3);
    let still = LinkAlgebra::zero(u.lattice().clone());
    let Some(network) = networks(2).pop() else { panic!("no networks") };
    let theta = parameters(&network, 5);
    let gradients = pulled(&network, &theta, &u, false).unwrap();
    for k in 0..theta.len() {
        let moved: Vec<_> = theta.iter().enumerate().map(|(n, &x)| Dual::new(x, f64::from(u8::from(n == k)))).collect();
        let outputs = network.forward(&moved, &displaced(&u, &still)).unwrap();
        close(slope(&outputs), gradients.parameters[k], 1.0, &format!("parameter {k}"));
    }
}

fn plain<R: Real, const N: usize>(network: &Network, theta: &[f64], u: &GaugeField<R, N>) -> Vec<f64> {
    let theta: Vec<R> = theta.iter().map(|&x| R::splat(x)).collect();
    network.forward(&theta, u).unwrap().plain(u.lattice())
}

#[test]
fn outputs_are_gauge_invariant() {
    fn law<const N: usize>(extents: &[usize]) {
        let u = hot::<f64, N>(extents, 3);
        let stream = Stream::new(6, Purpose::Start, 0);
        let g: Vec<_> = (0..u.lattice().volume() as u32).map(|x| group::haar::<N>(&mut stream.site(x))).collect();
        let mut v = u.clone();
        v.gauge_transform(&g);
        for network in networks(extents.len()) {
            let theta = parameters(&network, 5);
            for (a, b) in plain(&network, &theta, &u).iter().zip(plain(&network, &theta, &v)) {
                assert!((a - b).abs() < 1e-12 * a.abs().max(1.0), "N={N} {extents:?} {:?}: {a} {b}", network.layers());
            }
        }
    }
    for extents in SHAPES {
        law::<1>(extents);
        law::<2>(extents);
        law::<3>(extents);
    }
}

#[test]
fn outputs_move_with_the_field() {
    fn law<const N: usize>(extents: &[usize]) {
        let u = hot::<f64, N>(extents, 3);
        let lattice = u.lattice().clone();
        let by = lattice.shift(std::array::from_fn(|mu| 1 + mu as i32));
        let links: Vec<_> = (0..u.links().len()).map(|n| (by[n / extents.len()].site(), n % extents.len())).collect();
        let moved = links.iter().map(|(site, mu)| u.links()[site * extents.len() + mu]).collect();
        let moved = GaugeField::new(lattice.clone(), moved);
        for network in networks(extents.len()).into_iter().filter(|network| network.outputs().1) {
            let theta = parameters(&network, 5);
            let (a, b) = (plain(&network, &theta, &u), plain(&network, &theta, &moved));
            for n in 0..b.len() {
                assert!((b[n] - a[by[n / 2].site() * 2 + n % 2]).abs() < 1e-13);
            }
        }
    }
    SHAPES.iter().for_each(|extents| law::<2>(extents));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn lanes_give_the_scalar_answer() {
    use crate::number::{F64x4Avx2, F64x8Avx512, Isa};
    fn compare<R: Real<Total = f64>, const N: usize>(extents: &[usize]) {
        let (vector, scalar) = (hot::<R, N>(extents, 3), hot::<f64, N>(extents, 3));
        let p = scalar.noise(Draws::new(1, 0));
        for network in networks(extents.len()) {
            let theta = parameters(&network, 5);
            let wide: Vec<R> = theta.iter().map(|&x| R::splat(x)).collect();
            let a = pulled(&network, &wide, &vector, true).unwrap();
            let b = pulled(&network, &theta, &scalar, true).unwrap();
            let (f, g) = (a.links.unwrap().inner(&vector.noise(Draws::new(1, 0))), b.links.unwrap().inner(&p));
            close(f, g, 1.0, "force");
            for (x, y) in a.parameters.iter().zip(&b.parameters) {
                close(*x, *y, 1.0, "gradient");
            }
            for (x, y) in plain(&network, &theta, &vector).iter().zip(plain(&network, &theta, &scalar)) {
                close(*x, y, 1.0, "output");
            }
        }
    }
    for extents in [&[8, 8][..], &[4, 4, 2], &[2, 2, 2, 4]] {
        if Isa::supported() >= Isa::Avx2 {
            compare::<F64x4Avx2, 2>(extents);
        }
        if Isa::supported() >= Isa::Avx512 {
            compare::<F64x8Avx512, 2>(extents);
            compare::<F64x8Avx512, 3>(extents);
        }
    }
}

/// L-CB of one channel and kernel 2 forward: L = (W, W^dagger, 1), R = (T_0, T_1, T_0^dagger, T_1^dagger, 1).
#[test]
fn chosen_weights_give_wilson_loops() {
    fn law<const N: usize>(extents: &[usize; 2]) {
        let lattice: Arc<Lattice> = Lattice::new(extents, 1).unwrap();
        let u = GaugeField::<f64, N>::hot(lattice, 8);
        let mean = |r: usize, t: usize| {
            let path = vec![WeightedPath { weight: 1.0, path: rectangle(1, 2, r, t) }];
            trace_sum(&u, &path) / u.lattice().volume() as f64
        };
        let layer = || bilinear(1, 1, 2, false, false);
        let weight = |v: usize, w: usize| (0..15).map(|k| f64::from(u8::from(k == 5 * v + w))).collect::<Vec<_>>();
        let (along_time, along_space) = (weight(0, 1), weight(1, 2));
        let readout = vec![1.0 / N as f64, 0.0, 0.0];
        let cases = [
            (vec![], vec![], mean(1, 1)),
            (vec![layer()], along_time.clone(), mean(1, 2)),
            (vec![layer()], along_space.clone(), mean(2, 1)),
            (vec![layer(), layer()], [along_time, along_space].concat(), mean(2, 2)),
        ];
        for (middle, theta, expected) in cases {
            let input = Layer::Loops { plaquettes: true, polyakov: vec![] };
            let out = Layer::Dense { inputs: 2, outputs: 1, function: Function::Identity };
            let layers = [vec![input], middle, vec![Layer::Trace, out, Layer::Mean]].concat();
            let network = Network::new(2, layers).unwrap();
            let given = plain(&network, &[theta, readout.clone()].concat(), &u);
            assert!((given[0] - expected).abs() < 1e-14, "N={N}: {given:?} {expected}");
        }
    }
    for extents in [[6, 5], [8, 4]] {
        law::<1>(&extents);
        law::<2>(&extents);
        law::<3>(&extents);
    }
}

#[test]
fn numbers_of_parameters_of_the_article() {
    let count = |centre: bool| {
        let middle = bilinear(1, 2, 2, false, centre);
        let input = Layer::Loops { plaquettes: true, polyakov: vec![] };
        let out = Layer::Dense { inputs: 4, outputs: 1, function: Function::Identity };
        Network::new(2, vec![input, middle, Layer::Trace, out]).unwrap().n_parameters()
    };
    assert_eq!((count(false), count(true)), (35, 47));
}
