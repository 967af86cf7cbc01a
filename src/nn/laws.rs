//! Laws of convolutional networks: plain loops, derivatives by duals, symmetric second derivatives, lanes give one answer.

use super::*;
use crate::lattice::Lattice;
use crate::number::{Dual, Real};
use crate::random::{Purpose, Stream};
use rand::RngExt;
use rand_distr::StandardNormal;

/// Values and weights of one sample, its forward pass done.
type Sample<R> = (Packed<R>, Workspace<R>);

fn run<R: Real>(plan: &Plan, theta: &[R], x: &[R]) -> Sample<R> {
    let packed = plan.pack::<R, 1>(&|index| index(0).map_or(R::zero(), |place| place.apply(theta[place.number])));
    let mut workspace = plan.workspace::<R, 1>();
    workspace.input().copy_from_slice(x);
    plan.run::<R, 1>(&packed, &mut workspace);
    (packed, workspace)
}

/// Cotangent of the input; adds derivatives with respect to the parameters.
fn pull<R: Real>(plan: &Plan, (packed, workspace): &mut Sample<R>, above: &[R], gradient: &mut [R]) -> Vec<R> {
    workspace.start_reverse(plan).copy_from_slice(above);
    let mut gradients = plan.gradients::<R, 1>();
    plan.pull::<R, 1>(packed, workspace, Some(&mut gradients), true);
    plan.unpack::<R, 1>(&gradients, |p, x, _| gradient[p.number] += p.apply(x));
    workspace.input_cotangent().to_vec()
}

fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut rng = Stream::new(seed, Purpose::Noise, 0).site(0);
    (0..n).map(|_| rng.sample(StandardNormal)).collect()
}

fn conv(size: &[usize], inputs: usize, outputs: usize, stride: usize, dilation: usize) -> Layer {
    let (stride, dilation) = (vec![stride; size.len()], vec![dilation; size.len()]);
    Layer::Conv { size: size.to_vec(), inputs, outputs, bias: true, stride, dilation }
}

fn group_conv(size: usize, inputs: Fields, outputs: Fields) -> Layer {
    let symmetry = Symmetry { group: Group::Full, directions: vec![0, 1] };
    Layer::GroupConv { size: vec![size; 2], inputs, outputs, bias: true, symmetry, table: Default::default() }
}

fn pool(pooling: Pooling, ndim: usize, size: usize) -> Layer {
    Layer::Pool { pooling, size: vec![size; ndim], stride: vec![size; ndim] }
}

fn linear(inputs: usize, outputs: usize) -> Layer {
    Layer::Linear { inputs, outputs, bias: outputs > 1 }
}

const FUNCTIONS: [Activation; 7] = [
    Activation::LeakyRelu { slope: 0.01 },
    Activation::Relu,
    Activation::Tanh,
    Activation::Sigmoid,
    Activation::Gelu,
    Activation::Swish,
    Activation::Arctan,
];

/// Networks that together have every layer, with their extents and channels.
fn networks() -> Vec<(Vec<Layer>, usize, Vec<usize>)> {
    let act = |n: usize| Layer::Activation(FUNCTIONS[n]);
    let global = |pooling| Layer::GlobalPool { pooling };
    vec![
        (vec![conv(&[3], 2, 3, 1, 2), act(2), conv(&[2], 3, 1, 2, 1)], 2, vec![7]),
        (
            vec![
                conv(&[2, 3], 3, 9, 1, 1),
                act(0),
                pool(Pooling::Avg, 2, 2),
                act(4),
                conv(&[1, 1], 9, 17, 1, 1),
                global(Pooling::Avg),
                act(5),
                linear(17, 2),
            ],
            3,
            vec![5, 4],
        ),
        (
            vec![
                conv(&[2, 2], 1, 4, 1, 1),
                act(1),
                pool(Pooling::Max, 2, 2),
                Layer::Flatten,
                act(6),
                linear(24, 3),
                act(3),
            ],
            1,
            vec![4, 6],
        ),
        (
            vec![
                conv(&[2, 2, 2], 1, 5, 1, 1),
                Layer::Residual { layers: vec![act(2), conv(&[1, 2, 1], 5, 5, 1, 1), act(0)] },
                pool(Pooling::Sum, 3, 2),
                act(5),
                global(Pooling::Max),
                linear(5, 1),
            ],
            1,
            vec![4, 2, 3],
        ),
        (vec![act(4), conv(&[2, 1, 3, 2], 2, 3, 1, 1), act(3), global(Pooling::Sum)], 2, vec![2, 3, 3, 2]),
        (
            vec![
                group_conv(
                    3,
                    vec![(Field::Vector, 1), (Field::Bond, 1)],
                    vec![(Field::Regular, 2), (Field::Scalar, 1)],
                ),
                act(4),
                group_conv(
                    1,
                    vec![(Field::Regular, 2), (Field::Scalar, 1)],
                    vec![(Field::Scalar, 3), (Field::Vector, 1)],
                ),
                act(2),
                global(Pooling::Avg),
            ],
            4,
            vec![4, 3],
        ),
    ]
}

/// The convolution by its formula; weights `[o][i][tap]`, then biases.
fn by_hand(layer: &Layer, theta: &[f64], x: &[f64], extents: &[usize]) -> Vec<f64> {
    let Layer::Conv { size, inputs, outputs, stride, dilation, .. } = layer else { unreachable!() };
    let volume: usize = extents.iter().product();
    let taps: usize = size.iter().product();
    let after: Vec<usize> = extents.iter().zip(stride).map(|(l, s)| l.div_ceil(*s)).collect();
    let mut y = Vec::new();
    for s in 0..after.iter().product() {
        let at = window::decode(s, &after);
        for o in 0..*outputs {
            let mut sum = theta[outputs * inputs * taps + o];
            for c in 0..*inputs {
                for t in 0..taps {
                    let tap = window::decode(t, size);
                    let site = (0..size.len()).fold(0, |site, mu| {
                        let left = dilation[mu] * (size[mu] - 1) / 2;
                        let to = at[mu] * stride[mu] + tap[mu] * dilation[mu] + 10 * extents[mu] - left;
                        site * extents[mu] + to % extents[mu]
                    });
                    assert!(site < volume);
                    sum += theta[(o * inputs + c) * taps + t] * x[site * inputs + c];
                }
            }
            y.push(sum);
        }
    }
    y
}

#[test]
fn convolutions_are_their_formula() {
    let cases: [(&[usize], &[usize], usize, usize); 7] = [
        (&[5], &[3], 2, 1),
        (&[2], &[5], 1, 1),
        (&[6, 4], &[2, 2], 1, 1),
        (&[5, 4], &[3, 2], 2, 2),
        (&[4, 6], &[4, 1], 1, 3),
        (&[3, 4, 2], &[2, 3, 1], 1, 1),
        (&[2, 3, 2, 4], &[1, 2, 2, 3], 2, 1),
    ];
    for (extents, size, stride, dilation) in cases {
        let layer = conv(size, 3, 13, stride, dilation);
        let plan = Plan::new(std::slice::from_ref(&layer), 3, extents).unwrap();
        let (theta, x) = (noise(plan.n_parameters(), 1), noise(3 * extents.iter().product::<usize>(), 2));
        let expected = by_hand(&layer, &theta, &x, extents);
        let (_, values) = run(&plan, &theta, &x);
        assert_eq!(values.output(&plan).len(), expected.len());
        for (y, e) in values.output(&plan).iter().zip(&expected) {
            assert!((y - e).abs() < 1e-12, "{extents:?} {size:?}: {y} {e}");
        }
    }
}

fn dual(x: &[f64], v: &[f64]) -> Vec<Dual<f64>> {
    x.iter().zip(v).map(|(x, v)| Dual::new(*x, *v)).collect()
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn pullbacks_are_derivatives() {
    for (layers, channels, extents) in networks() {
        let plan = Plan::new(&layers, channels, &extents).unwrap();
        let volume: usize = extents.iter().product();
        let (theta, x) = (noise(plan.n_parameters(), 1), noise(channels * volume, 2));
        let (v, w) = (noise(theta.len(), 3), noise(x.len(), 4));
        let (_, moved) = run(&plan, &dual(&theta, &v), &dual(&x, &w));
        let slopes: Vec<f64> = moved.output(&plan).iter().map(|y| y.eps).collect();
        let above = noise(slopes.len(), 5);
        let mut gradient = vec![0.0; theta.len()];
        let below = pull(&plan, &mut run(&plan, &theta, &x), &above, &mut gradient);
        let (expected, found) = (inner(&above, &slopes), inner(&below, &w) + inner(&gradient, &v));
        assert!((expected - found).abs() < 1e-10 * expected.abs().max(1.0), "{layers:?}: {expected} {found}");
    }
}

/// The derivative along `b` of the derivative along `a` is that along `a` of that along `b`.
#[test]
fn second_derivatives_are_symmetric() {
    let layers = [conv(&[3, 3], 2, 5, 1, 1), Layer::Activation(Activation::Gelu), conv(&[2, 2], 5, 1, 1, 1)];
    let plan = Plan::new(&layers, 2, &[4, 4]).unwrap();
    let (theta, x) = (noise(plan.n_parameters(), 1), noise(32, 2));
    let directions = [(noise(theta.len(), 3), noise(32, 4)), (noise(theta.len(), 5), noise(32, 6))];
    let slope = |(v, w): &(Vec<f64>, Vec<f64>), (a, b): &(Vec<f64>, Vec<f64>)| {
        let mut sample = run(&plan, &dual(&theta, v), &dual(&x, w));
        let above: Vec<_> = sample.1.output(&plan).iter().map(|y| y.sin_cos().0).collect();
        let mut gradient = vec![Dual::splat(0.0); theta.len()];
        let below = pull(&plan, &mut sample, &above, &mut gradient);
        let along = |x: &[Dual<f64>], v: &[f64]| x.iter().zip(v).map(|(x, v)| x.eps * v).sum::<f64>();
        along(&gradient, a) + along(&below, b)
    };
    let (one, other) = (slope(&directions[0], &directions[1]), slope(&directions[1], &directions[0]));
    assert!((one - other).abs() < 1e-11 * one.abs().max(1.0), "{one} {other}");
}

/// On fields the network is that of samples, and its second derivatives those by duals; outputs that are not wanted are zero.
fn on_lanes<R: Real<Total = f64>>(extents: &[usize], every: usize) {
    let layers = [
        Layer::Activation(Activation::Swish),
        conv(&[3, 2], 2, 5, 1, 1),
        Layer::Activation(Activation::Tanh),
        Layer::Residual { layers: vec![conv(&[2, 3], 5, 5, 1, 2), Layer::Activation(Activation::Arctan)] },
        Layer::Activation(Activation::Gelu),
        group_conv(
            3,
            vec![(Field::Scalar, 1), (Field::Vector, 1), (Field::Bond, 1)],
            vec![(Field::Scalar, 3), (Field::Vector, 1)],
        ),
        conv(&[1, 1], 5, 7, 1, 1),
        Layer::Activation(Activation::Sigmoid),
    ];
    let lattice = Lattice::new(extents, R::LANES).unwrap();
    let wanted: Vec<u32> = (0..lattice.vectors() as u32).filter(|n| (*n as usize).is_multiple_of(every)).collect();
    let network = FieldNetwork::new(&layers, 2, &lattice, &wanted).unwrap();
    let plan = Plan::new(&layers, 2, extents).unwrap();
    assert_eq!(network.n_parameters(), plan.n_parameters());
    let volume = lattice.volume();
    let (theta, x, above) = (noise(plan.n_parameters(), 1), noise(2 * volume, 2), noise(7 * volume, 3));
    let (v, w) = (noise(theta.len(), 4), noise(2 * volume, 5));
    let to_lanes = |x: &[f64], channels: usize| -> Vec<R> {
        let value = |n: usize| R::from_lanes(|k| x[lattice.site(n / channels, k) as usize * channels + n % channels]);
        (0..lattice.vectors() * channels).map(value).collect()
    };
    let to_sites = |x: &[R], channels: usize| -> Vec<f64> {
        let mut sites = vec![0.0; x.len() * R::LANES];
        for (n, x) in x.iter().enumerate() {
            let place = |k| lattice.site(n / channels, k) as usize * channels + n % channels;
            (0..R::LANES).for_each(|k| sites[place(k)] = x.lane(k));
        }
        sites
    };
    let is_wanted = |n: usize| wanted.contains(&((n / 7) as u32));
    let keep = |x: Vec<R>| -> Vec<R> {
        x.into_iter().enumerate().map(|(n, x)| if is_wanted(n) { x } else { R::zero() }).collect()
    };
    let check = |found: &[f64], expected: &[f64], what: &str| {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e5 * R::EPSILON * b.abs().max(1.0), "{what} {extents:?} {every}: {a} {b}");
        }
    };
    // What is wanted of samples: zero elsewhere.
    let above = to_sites(&keep(to_lanes(&above, 7)), 7);
    let mut sample = run(&plan, &dual(&theta, &v), &dual(&x, &w));
    let (values, slopes): (Vec<f64>, Vec<f64>) = sample.1.output(&plan).iter().map(|y| (y.re, y.eps)).unzip();
    let mut wanted_gradient = vec![Dual::splat(0.0); theta.len()];
    let below_wanted = pull(&plan, &mut sample, &dual(&above, &vec![0.0; above.len()]), &mut wanted_gradient);
    let parts =
        |x: &[Dual<f64>]| -> [Vec<f64>; 2] { [x.iter().map(|x| x.re).collect(), x.iter().map(|x| x.eps).collect()] };
    let joined = |re: Vec<R>, eps: Vec<R>| -> Vec<Dual<R>> {
        re.into_iter().zip(eps).map(|(re, eps)| Dual::new(re, eps)).collect()
    };
    let splat = |x: &[f64]| -> Vec<R> { x.iter().map(|x| R::splat(*x)).collect() };
    let input = joined(to_lanes(&x, 2), to_lanes(&w, 2));
    let record = network.record(&joined(splat(&theta), splat(&v)), input, true).unwrap();
    for (part, expected) in [values, slopes].into_iter().enumerate() {
        let found: Vec<R> = record.output().iter().map(|y| if part == 0 { y.re } else { y.eps }).collect();
        check(&to_sites(&found, 7), &to_sites(&keep(to_lanes(&expected, 7)), 7), "output");
    }
    let mut gradient = vec![Dual::splat(0.0); theta.len()];
    let above = joined(to_lanes(&above, 7), vec![R::zero(); 7 * lattice.vectors()]);
    let below = network.pullback(&record, above, Some(&mut gradient)).unwrap();
    for (part, expected) in parts(&below_wanted).into_iter().enumerate() {
        let found: Vec<R> = below.iter().map(|y| if part == 0 { y.re } else { y.eps }).collect();
        check(&to_sites(&found, 2), &expected, "input");
        check(&parts(&gradient)[part], &parts(&wanted_gradient)[part], "gradient");
    }
}

/// Loss, gradient and cotangents of inputs of seven samples.
fn trained<R: Real<Total = f64>, const W: usize>(
    layers: &[Layer],
    channels: usize,
    extents: &[usize],
) -> (f64, Vec<f64>, Vec<f64>, Vec<f64>) {
    let plan = Plan::new(layers, channels, extents).unwrap();
    let (volume, outputs) = (extents.iter().product::<usize>(), plan.output_shape().iter().product::<usize>());
    let (theta, count) = (initial(layers, 3), 7);
    let numbers = Numbers::Double(noise(count * channels * volume, 2));
    let samples = Samples { channels, extents: extents.to_vec(), numbers, targets: noise(count * outputs, 4) };
    let batch = Batch::<R, W>::new(&plan, &theta, &samples).unwrap();
    let shifts: Vec<Vec<usize>> = (0..count).map(|n| extents.iter().map(|l| n % l).collect()).collect();
    let chosen = Chosen { samples: &[6, 5, 4, 3, 2, 1, 0], shifts: &shifts };
    let (loss, gradient) = batch.gradient(chosen, &Loss::SquaredError).unwrap();
    assert!((batch.loss(chosen, &Loss::SquaredError).unwrap() - loss).abs() < 1e-12 * loss.max(1.0));
    let (inputs, sums) = batch.pullback(chosen, &noise(count * outputs, 5)).unwrap();
    (loss, gradient, inputs, sums)
}

fn check_mode<R: Real<Total = f64>, const W: usize>() {
    for (layers, channels, extents) in networks() {
        let (loss, gradient, inputs, sums) = trained::<R, W>(&layers, channels, &extents);
        let (wanted, gradient_wanted, inputs_wanted, sums_wanted) = trained::<f64, 1>(&layers, channels, &extents);
        let tolerance = 1e4 * R::EPSILON;
        assert!((loss - wanted).abs() < tolerance * wanted.max(1.0), "{loss} {wanted}");
        for (found, wanted) in [(gradient, gradient_wanted), (inputs, inputs_wanted), (sums, sums_wanted)] {
            assert_eq!(found.len(), wanted.len());
            for (a, b) in found.iter().zip(&wanted) {
                assert!((a - b).abs() < tolerance * b.abs().max(1.0), "{layers:?} {W}: {a} {b}");
            }
        }
    }
}

/// Both precisions of an instruction set, with channels or samples on their lanes.
#[cfg(target_arch = "x86_64")]
fn on_registers<D: Real<Total = f64>, const W: usize, S: Real<Total = f64>, const V: usize>() {
    on_lanes::<D>(&[4, 8], 1);
    on_lanes::<D>(&[16, 16], 3);
    on_lanes::<D>(&[64, 16], 2);
    check_mode::<D, W>();
    check_mode::<D, 1>();
    check_mode::<S, V>();
    check_mode::<S, 1>();
}

#[test]
fn every_type_of_number_gives_the_same() {
    check_mode::<f32, 1>();
    on_lanes::<f64>(&[4, 8], 1);
    on_lanes::<f64>(&[4, 6], 5);
    on_lanes::<f64>(&[10, 16], 3);
    #[cfg(target_arch = "x86_64")]
    {
        use crate::number::{F32x8Avx2, F32x16Avx512, F64x4Avx2, F64x8Avx512, Isa};
        if Isa::supported() >= Isa::Avx2 {
            on_registers::<F64x4Avx2, 4, F32x8Avx2, 8>();
        }
        if Isa::supported() >= Isa::Avx512 {
            on_registers::<F64x8Avx512, 8, F32x16Avx512, 16>();
        }
    }
}

#[test]
fn layers_that_do_not_fit_are_named() {
    let cases: [(Vec<Layer>, &str); 8] = [
        (
            vec![conv(&[1, 1], 4, 3, 1, 1), conv(&[1, 1], 2, 3, 1, 1)],
            "layer 1, Conv(1, 2, 3): it takes 2 channels, but 3 channels on [6, 4] come in",
        ),
        (vec![linear(4, 2)], "layer 0, Linear(4, 2): 4 channels on [6, 4] come in; put Flatten or a global pool"),
        (vec![Layer::Flatten, linear(90, 2)], "layer 1, Linear(90, 2): it takes 90 numbers, but 96 numbers come in"),
        (
            vec![Layer::Flatten, Layer::Flatten],
            "layer 1, Flatten(): it takes channels on a lattice, but 96 numbers come in",
        ),
        (vec![pool(Pooling::Max, 2, 5)], "layer 0, MaxPool(5): windows of [5, 5] do not fit"),
        (
            vec![Layer::Residual { layers: vec![conv(&[1, 1], 4, 3, 1, 1)] }],
            "layer 0, Residual of 1 layers: 4 channels on [6, 4] come in, but its layers give 3",
        ),
        (
            vec![conv(&[1, 1, 1], 4, 3, 1, 1)],
            "layer 0, Conv(1, 4, 3): size has 3 numbers; the network is for 2 dimensions",
        ),
        (vec![conv(&[0, 1], 4, 3, 1, 1)], "size = [0, 1]; allowed are 1"),
    ];
    for (layers, message) in cases {
        let text = Plan::new(&layers, 4, &[6, 4]).unwrap_err().to_string();
        assert!(text.contains(message), "{text}");
    }
    let lattice = Lattice::new(&[6, 4], 1).unwrap();
    let on_field = |layers: &[Layer]| FieldNetwork::new(layers, 4, &lattice, &[0]).unwrap_err().to_string();
    assert!(on_field(&[Layer::Flatten]).contains("on a field only"));
    assert!(on_field(&[conv(&[1, 1], 4, 3, 2, 1)]).contains("stride [2, 2]; on a field it must be 1"));
    assert!(on_field(&[conv(&[1, 1], 2, 3, 1, 1)]).contains("it takes 2 channels, but 4 channels on [6, 4] come in"));
    let residual = Layer::Residual { layers: vec![conv(&[1, 1], 4, 3, 1, 1)] };
    assert!(on_field(&[residual]).contains("4 channels on [6, 4] come in, but its layers give 3 channels"));
}
