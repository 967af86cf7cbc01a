//! Times of the kernels beside the machine's own limits, all in one run: `cargo bench --bench kernels`.
//!
//! `cargo bench --bench kernels -- table [ROW]` runs every kernel at 8^4 beside the Wilson force, or the rows whose name contains
//! ROW, on the instruction set named by `PLAQ_SIMD`.
//! `cargo bench --bench kernels -- worm` runs the worm algorithm alone, `-- quarks` the Dirac operators and their solvers
//! (`-- quarks large`: on 24^3 x 48, `-- quarks propagator`: twelve sources in one call, `-- quarks forces`: pseudofermions).
//! Prints one JSON object a line: name, median and best of the repetitions in milliseconds, and what it is a ratio of.

use plaq::action::{Accuracy, LoopAction, Pseudofermion};
use plaq::any::{AnyGauge, SolveOptions, bind};
use plaq::concept::{Action, Configuration, Effort, LinearOperator, Map, Readout, Tape, value};
use plaq::dirac::{DiracSpec, EvenOdd, Family, LinkQuark, Onto, Quark, Slopes};
use plaq::field::{Space, Vector, num_threads, set_num_threads};
use plaq::gauge::{GaugeField, LinkAlgebra};
use plaq::lattice::{Lattice, Sites, path};
use plaq::lcnn::{Function, Layer, Network};
use plaq::map::{AttentionLayer, BlockedLayer, Flow, Form, StoutLayer, StoutTerm};
use plaq::matrix::Matrix;
use plaq::model::flux::{Flux, Torus, Worm, adapted};
use plaq::nn::{self, Activation, FieldNetwork, Plan};
use plaq::number::{Real, Work};
use plaq::observable::loops::trace_sum;
use plaq::observable::topology::{charge_density, energy_density};
use plaq::random::Draws;
use plaq::sampler::{Heatbath, Hmc, Integrator, Level};
use plaq::scalar::{ScalarAction, ScalarField};
use plaq::solver::{Method, SolveParams, multishift, solve};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

// As in the Python module, which has set it when the feature is on.
#[cfg(not(feature = "python"))]
#[global_allocator]
static ALLOCATOR: plaq::HugePages = plaq::HugePages;

const GIB: f64 = 1e9;

struct Times {
    best: f64,
    median: f64,
}

/// Seconds of `work`, repeated for about a second.
fn time(mut work: impl FnMut()) -> Times {
    work();
    let start = Instant::now();
    let mut times = Vec::new();
    while times.len() < 7 || (start.elapsed().as_secs_f64() < 1.0 && times.len() < 200) {
        let start = Instant::now();
        work();
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Times { best: times[0], median: times[times.len() / 2] }
}

fn report(name: &str, threads: usize, times: &Times, unit: &str, per_second: f64) {
    let (median, best) = (times.median * 1e3, times.best * 1e3);
    println!(
        "{{\"name\": \"{name}\", \"threads\": {threads}, \"median_ms\": {median:.4}, \"best_ms\": {best:.4}, \
         \"rate\": {:.2}, \"unit\": \"{unit}\"}}",
        per_second / times.median / GIB
    );
}

/// Medians of `work` over the median of `unit`, run turn by turn, so that both see the same machine.
fn compare(name: &str, threads: usize, mut unit: impl FnMut(), mut work: impl FnMut()) {
    let seconds = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    unit();
    work();
    let start = Instant::now();
    let (mut ratios, mut times) = (Vec::new(), Vec::new());
    while ratios.len() < 7 || (start.elapsed().as_secs_f64() < 2.0 && ratios.len() < 200) {
        let (a, b) = (seconds(&mut unit), seconds(&mut work));
        ratios.push(b / a);
        times.push(b);
    }
    ratios.sort_by(f64::total_cmp);
    times.sort_by(f64::total_cmp);
    let middle = ratios.len() / 2;
    println!(
        "{{\"name\": \"{name}\", \"threads\": {threads}, \"median_ms\": {:.4}, \"best_ms\": {:.4}, \"ratio\": {:.3}}}",
        times[middle] * 1e3,
        times[0] * 1e3,
        ratios[middle]
    );
}

/// Twelve independent chains of fused multiply-adds, written out: the optimiser leaves a loop over an array of them in memory.
struct Peak<R>(std::marker::PhantomData<R>);

const PEAK_ROUNDS: usize = 200_000;
const CHAINS: usize = 12;

impl<R: Real> Work for Peak<R> {
    type Output = f64;
    #[inline(always)]
    fn run(self) -> f64 {
        let (a, b) = (R::splat(black_box(0.999_999)), R::splat(black_box(1e-7)));
        let [mut x0, mut x1, mut x2, mut x3, mut x4, mut x5, mut x6, mut x7, mut x8, mut x9, mut xa, mut xb] =
            [R::one(); CHAINS];
        for _ in 0..PEAK_ROUNDS {
            (x0, x1, x2, x3) = (x0.mul_add(a, b), x1.mul_add(a, b), x2.mul_add(a, b), x3.mul_add(a, b));
            (x4, x5, x6, x7) = (x4.mul_add(a, b), x5.mul_add(a, b), x6.mul_add(a, b), x7.mul_add(a, b));
            (x8, x9, xa, xb) = (x8.mul_add(a, b), x9.mul_add(a, b), xa.mul_add(a, b), xb.mul_add(a, b));
        }
        [x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, xa, xb].iter().map(|x| x.lane(0)).sum()
    }
}

fn limits<R: Real, const N: usize>(_: &GaugeField<R, N>, isa: &str) {
    let times = time(|| {
        black_box(R::vectorize(Peak::<R>(std::marker::PhantomData)));
    });
    let flops = (PEAK_ROUNDS * CHAINS * 2 * R::LANES) as f64;
    report(&format!("limit: multiply-add peak, {isa}"), 1, &times, "GFLOP/s", flops);
    let source = vec![1.0f64; 1 << 25];
    let mut target = vec![0.0f64; 1 << 25];
    let times = time(|| {
        target.copy_from_slice(black_box(&source));
        black_box(&mut target);
    });
    report("limit: memory copy", 1, &times, "GB/s (read + write)", (2 * source.len() * 8) as f64);
}

fn wilson<R: Real, const N: usize>(u: &GaugeField<R, N>, beta: f64) -> LoopAction {
    let mut loops = path::family("plaquette", u.lattice().extents()).expect("two or more dimensions");
    loops.iter_mut().for_each(|l| l.weight = beta);
    LoopAction::new(u.lattice(), loops)
}

fn kick<R: Real, const N: usize>(action: &LoopAction, u: &GaugeField<R, N>, p: &mut LinkAlgebra<R, N>) {
    action.kick(u, &[], 1e-3, p, &mut Effort::default()).expect("force");
}

/// The reverse pass alone of a map that keeps nothing.
fn reverse<R: Real, const N: usize>(
    map: &impl Map<GaugeField<R, N>>,
    theta: &[f64],
    u: &GaugeField<R, N>,
    cotangent: &LinkAlgebra<R, N>,
    parameters: bool,
) -> LinkAlgebra<R, N> {
    let mut gradient = vec![R::Total::zero(); theta.len()];
    let gradient = parameters.then_some(gradient.as_mut_slice());
    map.pullback(theta, u, &Tape::new(()), cotangent, gradient).expect("reverse")
}

fn record_and_reverse<R: Real, const N: usize>(
    map: &impl Map<GaugeField<R, N>>,
    theta: &[f64],
    u: &GaugeField<R, N>,
    cotangent: &LinkAlgebra<R, N>,
) -> LinkAlgebra<R, N> {
    let mut gradient = vec![R::Total::zero(); theta.len()];
    let (_, tape) = map.record(theta, u).expect("forward");
    map.pullback(theta, u, &tape, cotangent, Some(&mut gradient)).expect("reverse")
}

/// Force, link update and action; SU(3): 52 products of 198 and 12 sums of 18 operations a site for the force.
fn kernels<R: Real<Total = f64>, const N: usize>(u: &GaugeField<R, N>, name: &str, threads: usize) {
    let action = wilson(u, 6.0);
    let (mut field, mut p) = (u.clone(), u.noise(Draws::new(1, 0)));
    let sites = u.lattice().volume() as f64;
    let times = time(|| kick(&action, u, &mut p));
    let product = (8 * N * N * N - 2 * N * N) as f64;
    let ndim = u.lattice().ndim() as f64;
    let staples = 2.0 * (ndim - 1.0);
    let flops = ndim * ((2.0 * staples + 1.0) * product + staples * 2.0 * (N * N) as f64);
    report(&format!("{name}: Wilson force and momentum update"), threads, &times, "GFLOP/s", flops * sites);
    let times = time(|| field.drift(1e-3, &mut p));
    let bytes = (2 * size_of_val(u.links()) + size_of_val(p.elements.as_slice())) as f64;
    report(&format!("{name}: link update exp(P dt) U"), threads, &times, "GB/s", bytes);
    let times = time(|| {
        black_box(value(&action, u).expect("value"));
    });
    report(&format!("{name}: action"), threads, &times, "GFLOP/s", sites * 6.0 * 3.0 * product);
    let times = time(|| {
        black_box(u.noise(Draws::new(1, 1)));
    });
    report(&format!("{name}: momenta"), threads, &times, "G normals/s", sites * ndim * (N * N) as f64);
}

/// Stout level, its reverse pass and the flow beside the force and the exponentials that they are made of.
fn smearing<R: Real<Total = f64>, const N: usize>(u: &GaugeField<R, N>, name: &str, threads: usize) {
    let loops = path::family("plaquette", u.lattice().extents()).expect("two or more dimensions");
    let term = StoutTerm { loops: loops.clone(), directions: u8::MAX };
    let (layer, flow) = (StoutLayer::new(u.lattice(), vec![term.clone()]), Flow::new(u.lattice(), &loops));
    let attention = AttentionLayer::new(u.lattice(), vec![term], 3, Form::Symmetric).expect("two dimensions");
    let action = wilson(u, 6.0);
    let (mut p, mut momenta, mut field) = (u.zero(), u.noise(Draws::new(1, 0)), u.clone());
    let mut force = || kick(&action, u, &mut p);
    compare(&format!("{name}: stout level / Wilson force"), threads, &mut force, || {
        black_box(layer.forward(&[0.1], u).expect("stout"));
    });
    let mut forward = || {
        black_box(layer.forward(&[0.1], u).expect("stout"));
    };
    compare(&format!("{name}: stout reverse pass / forward"), threads, &mut forward, || {
        black_box(reverse(&layer, &[0.1], u, &momenta, false));
    });
    compare(&format!("{name}: stout reverse pass with parameters / forward"), threads, &mut forward, || {
        black_box(reverse(&layer, &[0.1], u, &momenta, true));
    });
    for (label, alphas) in [("APE", &[0.4][..]), ("HYP", &[0.75, 0.6, 0.3])] {
        let averages = BlockedLayer::new(u.lattice(), u8::MAX, alphas.len()).expect("four dimensions");
        let tape = averages.record(alphas, u).expect("averages").1;
        compare(&format!("{name}: {label} step / stout level"), threads, &mut forward, || {
            black_box(averages.forward(alphas, u).expect("averages"));
        });
        let mut gradient = vec![R::Total::zero(); alphas.len()];
        let mut stout = || {
            black_box(reverse(&layer, &[0.1], u, &momenta, true));
        };
        compare(&format!("{name}: {label} reverse pass / that of stout, with parameters"), threads, &mut stout, || {
            black_box(averages.pullback(alphas, u, &tape, &momenta, Some(&mut gradient)).expect("reverse"));
        });
    }
    let forces_and_exps = || {
        (0..7).for_each(|_| force());
        (0..6).for_each(|_| field.drift(1e-3, &mut momenta));
    };
    compare(&format!("{name}: two flow steps / 7 forces and 6 exps"), threads, forces_and_exps, || {
        black_box(flow.step(u, 0.01).expect("flow"));
        black_box(flow.step(u, 0.01).expect("flow"));
    });
    if u.lattice().volume() <= 4096 {
        let mut forward = || {
            black_box(attention.forward(&[0.1; 3], u).expect("attention"));
        };
        compare(&format!("{name}: attention layer / Wilson force"), threads, &mut force, &mut forward);
        compare(&format!("{name}: attention reverse pass / forward"), threads, &mut forward, || {
            black_box(record_and_reverse(&attention, &[0.1; 3], u, &momenta));
        });
    }
}

fn samplers<R: Real<Total = f64>, const N: usize>(
    u: &GaugeField<R, N>,
    name: &str,
    threads: usize,
    beta: f64,
    (integrator, steps): (&str, usize),
) {
    let links = (u.lattice().volume() * u.lattice().ndim()) as f64;
    for overrelaxation in [0, 1] {
        let heatbath = Heatbath::new(wilson(u, beta), u.lattice(), overrelaxation).expect("linear action");
        let mut field = u.clone();
        let mut sweep = 0;
        let times = time(|| {
            field = heatbath.step(&field, 1, sweep).expect("sweep").0;
            sweep += 1;
        });
        let title = format!("{name}: heatbath sweep and {overrelaxation} overrelaxation");
        report(&title, threads, &times, "G links/s", links);
    }
    let level = Level { terms: vec![0], integrator: Integrator::named(integrator).expect("known"), steps };
    let hmc = Hmc::plain(Arc::new(wilson(u, beta)), level, 1.0);
    let mut field = u.clone();
    let mut sweep = 0;
    let times = time(|| {
        field = hmc.step(&field, Draws::new(1, sweep)).expect("trajectory").0;
        sweep += 1;
    });
    let title = format!("{name}: HMC trajectory, {integrator}, {steps} steps");
    report(&title, threads, &times, "G link updates/s", links * (2 * steps) as f64);
}

/// An L-CNN whose layers between the plaquettes and the trace are `middle`, which leave `channels` matrices.
fn lcnn(ndim: usize, middle: &[Layer], channels: usize) -> Network {
    let read =
        [Layer::Trace, Layer::Dense { inputs: 2 * channels, outputs: 1, function: Function::Identity }, Layer::Mean];
    let layers = [&[Layer::Loops { plaquettes: true, polyakov: Vec::new() }], middle, &read].concat();
    Network::new(ndim, layers).expect("layers that fit")
}

/// Output of an L-CNN, and with `reverse` the cotangents of links and parameters.
fn read_out<R: Real<Total = f64>, const N: usize>(network: &Network, u: &GaugeField<R, N>, reverse: bool) {
    let parameters = network.initial(1);
    let (output, tape) = network.record(&parameters, u).expect("outputs");
    if reverse {
        let (mut force, mut gradient) = (u.zero(), vec![0.0; parameters.len()]);
        network.pullback(&parameters, u, &tape, &[1.0], Some(&mut force), Some(&mut gradient)).expect("reverse");
        black_box((force, gradient));
    }
    black_box(output);
}

/// Every kernel beside the Wilson force, as a table; `row` keeps the rows whose name contains it.
fn table<R: Real<Total = f64>, const N: usize>(u: &GaugeField<R, N>, isa: &str, row: &str) {
    let loops = path::family("plaquette", u.lattice().extents()).expect("two or more dimensions");
    let term = StoutTerm { loops: loops.clone(), directions: u8::MAX };
    let (layer, flow) = (StoutLayer::new(u.lattice(), vec![term.clone()]), Flow::new(u.lattice(), &loops));
    let attention = AttentionLayer::new(u.lattice(), vec![term], 3, Form::Symmetric).expect("two dimensions");
    let action = wilson(u, 6.0);
    let heatbath = |overrelaxation| Heatbath::new(wilson(u, 6.0), u.lattice(), overrelaxation).expect("linear action");
    let (sweep, relaxed) = (heatbath(0), heatbath(1));
    let (mut p, momenta, field) = (u.zero(), u.noise(Draws::new(1, 0)), std::cell::RefCell::new(u.clone()));
    let g: Vec<Matrix<R, N>> = u.links().iter().step_by(u.lattice().ndim()).copied().collect();
    let (ndim, planes) = (u.lattice().ndim(), u.lattice().ndim() * (u.lattice().ndim() - 1) / 2);
    let products = |kernel: usize, left: bool, right: bool| {
        let (both, centre) = (true, kernel == 1 || !left);
        let layer = Layer::Bilinear { inputs: planes, outputs: 2, kernel, both, centre, left, right };
        lcnn(ndim, &[layer], 2)
    };
    let (convolution, bilinear, both) = (products(2, false, false), products(1, true, true), products(2, true, true));
    let gate = lcnn(ndim, &[Layer::Gate { function: Function::Relu }], planes);
    let (plain, exponential) = (lcnn(ndim, &[], planes), lcnn(ndim, &[Layer::Exponential { inputs: planes }], planes));
    let phi = ScalarField::<R>::from_sites(u.lattice().clone(), 2, |site, c| ((7 * site + c) % 5) as f64 - 2.0);
    let (scalar, p_phi) = (ScalarAction::new(u.lattice(), -0.5, 0.2), std::cell::RefCell::new(phi.zero()));
    let scalar_kick = || scalar.kick(&phi, &[], 1e-3, &mut p_phi.borrow_mut(), &mut Effort::default());
    const HYP: [f64; 3] = [0.75, 0.6, 0.3];
    let averages = |levels| BlockedLayer::new(u.lattice(), u8::MAX, levels).expect("four dimensions");
    let (ape, hyp) = (averages(1), averages(3));
    let (ape_tape, hyp_tape) = (ape.record(&[0.4], u).expect("APE").1, hyp.record(&HYP, u).expect("HYP").1);
    let rows: [(&str, &dyn Fn()); 33] = [
        ("link update", &|| field.borrow_mut().drift(1e-3, &mut momenta.clone())),
        ("momenta", &|| drop(black_box(u.noise(Draws::new(1, 1))))),
        ("action", &|| drop(black_box(value(&action, u)))),
        ("heatbath sweep", &|| drop(black_box(sweep.step(u, 1, 0)))),
        ("heatbath and overrelaxation", &|| drop(black_box(relaxed.step(u, 1, 0)))),
        ("stout level", &|| drop(black_box(layer.forward(&[0.1], u)))),
        ("stout reverse pass", &|| drop(black_box(reverse(&layer, &[0.1], u, &momenta, false)))),
        ("stout reverse pass with coefficients", &|| drop(black_box(reverse(&layer, &[0.1], u, &momenta, true)))),
        ("attention layer", &|| drop(black_box(attention.forward(&[0.1; 3], u)))),
        ("attention, forward and reverse", &|| drop(black_box(record_and_reverse(&attention, &[0.1; 3], u, &momenta)))),
        ("APE step", &|| drop(black_box(ape.forward(&[0.4], u)))),
        ("APE reverse pass", &|| drop(black_box(ape.pullback(&[0.4], u, &ape_tape, &momenta, None)))),
        ("HYP step", &|| drop(black_box(hyp.forward(&HYP, u)))),
        ("HYP reverse pass", &|| drop(black_box(hyp.pullback(&HYP, u, &hyp_tape, &momenta, None)))),
        ("flow step", &|| drop(black_box(flow.step(u, 0.01)))),
        ("topology, clover", &|| drop(black_box(charge_density(u, "clover")))),
        ("topology, improved", &|| drop(black_box(charge_density(u, "improved")))),
        ("energy density", &|| drop(black_box(energy_density(u, "clover")))),
        ("plaquette", &|| _ = black_box(trace_sum(u, &loops))),
        ("unitarity violation", &|| _ = black_box(u.unitarity_violation())),
        ("reunitarization", &|| field.borrow_mut().reunitarize()),
        ("gauge transformation", &|| field.borrow_mut().gauge_transform(&g)),
        ("L-CNN: plaquettes and trace", &|| read_out(&plain, u, false)),
        ("L-CNN: plaquettes and trace, forward and reverse", &|| read_out(&plain, u, true)),
        ("L-CNN: convolution", &|| read_out(&convolution, u, false)),
        ("L-CNN: convolution, forward and reverse", &|| read_out(&convolution, u, true)),
        ("L-CNN: bilinear", &|| read_out(&bilinear, u, false)),
        ("L-CNN: convolution and bilinear in one", &|| read_out(&both, u, false)),
        ("L-CNN: gate", &|| read_out(&gate, u, false)),
        ("L-CNN: exponential", &|| read_out(&exponential, u, false)),
        ("L-CNN: exponential, forward and reverse", &|| read_out(&exponential, u, true)),
        ("scalar action", &|| drop(black_box(value(&scalar, &phi)))),
        ("scalar force", &|| scalar_kick().expect("force")),
    ];
    for (name, work) in rows.into_iter().filter(|(name, _)| name.contains(row)) {
        compare(&format!("{isa}: {name} / Wilson force"), 1, || kick(&action, u, &mut p), work);
    }
    let (title, mut unit) = (format!("{isa}: "), || kick(&action, u, &mut p));
    of_precision::<R>(&title, row, &mut unit);
    of_precision::<R::Single>(&title, row, &mut unit);
    on_field::<R>(&title, row, &mut unit);
    vectors::<R>(u.lattice().extents(), &title, row, &mut unit);
    vectors::<R::Single>(u.lattice().extents(), &title, row, &mut unit);
}

/// What solvers do beside applications, on spinors of twelve components.
fn vectors<R: Real<Total = f64>>(extents: &[usize], title: &str, row: &str, unit: &mut impl FnMut()) {
    let lattice = Lattice::new(extents, R::LANES).expect("the same lattice");
    let space = Space::new(&lattice, Sites::All, 12);
    let (x, y) = (filled::<R>(&space), filled::<R>(&space));
    let (out, along) = (std::cell::RefCell::new(x.clone()), std::cell::RefCell::new(y.clone()));
    let number = num_complex::Complex64::new;
    let (half, turned) = ([number(0.5, 0.0)], [number(0.3, 0.4)]);
    let rows: [(&str, &dyn Fn()); 7] = [
        ("a x + b y", &|| out.borrow_mut().combine(&half, &half, &x)),
        ("a x + b y, complex", &|| out.borrow_mut().combine(&turned, &turned, &x)),
        ("a x + b y + c z", &|| out.borrow_mut().combine_two(&half, (&turned, &x), (&half, &y))),
        ("end of an iteration of CG", &|| {
            out.borrow_mut().step_along(&[1e-9], &mut along.borrow_mut(), &[0.5], 0.5, &x)
        }),
        ("a x + y and its norm", &|| _ = black_box(out.borrow_mut().add_and_norms(&[1e-9], &x))),
        ("norm", &|| _ = black_box(x.norms())),
        ("two inner products", &|| _ = black_box(Vector::inners([[&x, &x], [&x, &y]]))),
    ];
    for (name, work) in rows {
        let name = format!("vectors: {name}, f{}", if R::EPSILON < 1e-10 { 64 } else { 32 });
        if name.contains(row) {
            compare(&format!("{title}{name} / Wilson force"), 1, &mut *unit, work);
        }
    }
}

/// Name, layer and channels in of the convolutions of the table: 1 to 9 taps, few and many channels, and one with a symmetry.
fn convolutions() -> Vec<(String, nn::Layer, usize)> {
    let window = |k: usize, channels: usize| nn::Layer::Conv {
        size: vec![k; 2],
        inputs: channels,
        outputs: channels,
        bias: true,
        stride: vec![1; 2],
        dilation: vec![1; 2],
    };
    let name = |k: usize, channels: usize| format!("convolution, {k} x {k}, {channels} channels");
    let sizes = [1, 2, 3].into_iter().flat_map(|k| [4, 32].map(|channels| (k, channels)));
    let mut all: Vec<_> = sizes.map(|(k, channels)| (name(k, channels), window(k, channels), channels)).collect();
    let symmetry = nn::Symmetry { group: nn::Group::Full, directions: vec![0, 1] };
    let fields = vec![(nn::Field::Regular, 4)];
    let (inputs, outputs, table) = (fields.clone(), fields, Default::default());
    let layer = nn::Layer::GroupConv { size: vec![3; 2], inputs, outputs, bias: true, symmetry, table };
    all.push(("group convolution, 3 x 3, 32 channels".into(), layer, 32));
    all
}

/// Convolutions of samples on 32^2: vectors of `W` channels, or (`W` = 1) of samples, forward and with the reverse pass.
fn samples<R: Real, const W: usize>(title: &str, layer: &nn::Layer, channels: usize, unit: &mut impl FnMut()) {
    let plan = Plan::new(std::slice::from_ref(layer), channels, &[32, 32]).expect("a convolution");
    let theta = nn::initial(std::slice::from_ref(layer), 1);
    let parameter = |place: Option<nn::Place>| place.map_or(0.0, |place| place.apply(theta[place.number]));
    let packed = plan.pack::<R, W>(&|index| R::from_lanes(|k| parameter(index(if W == 1 { 0 } else { k }))));
    let (mut workspace, mut gradients) = (plan.workspace::<R, W>(), plan.gradients::<R, W>());
    workspace.input().iter_mut().enumerate().for_each(|(n, x)| *x = R::splat((n as f64).sin()));
    compare(&format!("{title}, forward / Wilson force"), 1, &mut *unit, || {
        plan.run::<R, W>(&packed, &mut workspace);
        black_box(workspace.output(&plan));
    });
    compare(&format!("{title}, reverse / Wilson force"), 1, unit, || {
        workspace.start_reverse(&plan).fill(R::one());
        plan.pull::<R, W>(&packed, &mut workspace, Some(&mut gradients), true);
        black_box(workspace.input_cotangent());
    });
}

/// Rows of [`convolutions`] as the module runs them: few channels have samples on their lanes, many have channels.
fn of_precision<R: Real>(title: &str, row: &str, unit: &mut impl FnMut()) {
    for (name, layer, channels) in convolutions() {
        let title = format!("{title}{name}, f{}", if R::EPSILON < 1e-10 { 64 } else { 32 });
        if !title.contains(row) {
            continue;
        }
        match R::LANES {
            16 if channels > 8 => samples::<R, 16>(&title, &layer, channels, unit),
            8 if channels > 8 => samples::<R, 8>(&title, &layer, channels, unit),
            4 if channels > 8 => samples::<R, 4>(&title, &layer, channels, unit),
            _ => samples::<R, 1>(&title, &layer, channels, unit),
        }
    }
}

/// The network of a masked update on a field of 64^2: 3 x 3 windows, GELU, outputs on every fourth site vector.
fn on_field<R: Real>(title: &str, row: &str, unit: &mut impl FnMut()) {
    let window = |inputs, outputs| nn::Layer::Conv {
        size: vec![3; 2],
        inputs,
        outputs,
        bias: true,
        stride: vec![1; 2],
        dilation: vec![1; 2],
    };
    let gelu = nn::Layer::Activation(Activation::Gelu);
    let lattice = Lattice::new(&[64, 64], R::LANES).expect("a lattice");
    let wanted: Vec<u32> = (0..lattice.vectors() as u32 / 4).map(|n| 2 * n + n / 8 * 16).collect();
    let vectors = lattice.vectors();
    for channels in [2, 4, 32] {
        let title = format!("{title}network on a field, {channels} channels");
        if !title.contains(row) {
            continue;
        }
        let layers = [window(3, channels), gelu.clone(), window(channels, channels), gelu.clone(), window(channels, 2)];
        let network = FieldNetwork::new(&layers, 3, &lattice, &wanted).expect("convolutions");
        let theta: Vec<R> = nn::initial(&layers, 1).into_iter().map(R::splat).collect();
        let input: Vec<R> = (0..3 * vectors).map(|n| R::splat((n as f64).sin())).collect();
        compare(&format!("{title}, forward / Wilson force"), 1, &mut *unit, || {
            black_box(network.record(&theta, input.clone(), true).expect("forward"));
        });
        let record = network.record(&theta, input.clone(), true).expect("forward");
        let mut above = vec![R::zero(); 2 * vectors];
        wanted.iter().for_each(|&n| above[2 * n as usize..][..2].fill(R::one()));
        let mut gradient = vec![R::Total::zero(); theta.len()];
        compare(&format!("{title}, reverse / Wilson force"), 1, &mut *unit, || {
            black_box(network.pullback(&record, above.clone(), None).expect("reverse"));
        });
        compare(&format!("{title}, reverse with weights / Wilson force"), 1, &mut *unit, || {
            black_box(network.pullback(&record, above.clone(), Some(&mut gradient)).expect("reverse"));
        });
    }
}

/// Even-odd applications of SU(3) operators beside the multiply-add peak, turn by turn: two half hops that cover the lattice once.
/// Flops a site: 1320 for Wilson, 570 for staggered fermions and 1146 with long links, 504 more for each clover block and its inverse;
/// a slice of a domain wall counts as Wilson.
fn quarks<R: Real<Total = f64, Value = R>, const N: usize>(u: &GaugeField<R, N>, name: &str, threads: usize)
where
    R::Single: Real<Total = f64>,
{
    let spec = |spec: serde_json::Value| -> DiracSpec { serde_json::from_value(spec).expect("an operator") };
    let operators = [
        ("Wilson", 1320.0, serde_json::json!({"kind": "wilson", "mass": 0.1})),
        ("clover", 1320.0 + 1008.0, serde_json::json!({"kind": "wilson", "mass": 1.0, "csw": 1.0})),
        ("staggered", 570.0, serde_json::json!({"kind": "staggered", "mass": 0.1})),
        ("fat and long", 1146.0, serde_json::json!({"kind": "staggered", "mass": 0.1, "long": true})),
        (
            "domain wall, 8 slices",
            8.0 * 1320.0,
            serde_json::json!({"kind": "domain_wall", "mass": 0.1, "m5": 1.4, "ls": 8}),
        ),
    ];
    for (label, flops, json) in operators {
        let several = if json["kind"] == "domain_wall" { 1 } else { 12 };
        for columns in [1, several] {
            let title = format!("{name}: {label} f64, {columns} right-hand sides");
            hopping::<R, R, N>(u, &spec(json.clone()), &title, threads, flops, columns);
            let title = format!("{name}: {label} f32, {columns} right-hand sides");
            hopping::<R, R::Single, N>(u, &spec(json.clone()), &title, threads, flops, columns);
            if several == 1 {
                break;
            }
        }
    }
    solves(u, name, threads);
    forces(u, name, threads);
}

fn forces<R: Real<Total = f64, Value = R>, const N: usize>(u: &GaugeField<R, N>, name: &str, threads: usize) {
    for (label, json) in [
        ("Wilson", serde_json::json!({"kind": "wilson", "mass": 0.1})),
        ("clover", serde_json::json!({"kind": "wilson", "mass": 1.0, "csw": 1.0})),
        ("staggered", serde_json::json!({"kind": "staggered", "mass": 0.1})),
        ("domain wall, 8 slices", serde_json::json!({"kind": "domain_wall", "mass": 0.1, "m5": 1.4, "ls": 8})),
    ] {
        let spec: DiracSpec = serde_json::from_value(json).expect("an operator");
        force_beyond_solve(u, &spec, &format!("{name}: {label}"), threads);
    }
}

/// Something that is not constant.
fn filled<R: Real>(space: &Space) -> Vector<R> {
    let number = |n: usize| num_complex::Complex64::new(((7 * n) % 11) as f64 - 5.0, ((3 * n) % 13) as f64 - 6.0);
    Vector::from_array(space, &(0..space.lattice.volume() * space.width()).map(number).collect::<Vec<_>>())
}

/// The operator on a field; fat and long links are the field twice.
fn bound<R: Real, S: Real, const N: usize>(u: &GaugeField<R, N>, spec: &DiracSpec) -> Box<dyn LinkQuark<S, N>> {
    let lattice = Lattice::new(u.lattice().extents(), S::LANES).expect("the same lattice");
    let long = matches!(spec, DiracSpec::Staggered { long: true, .. }).then_some(u);
    Family::<S>::new(spec, &lattice).and_then(|family| family.on_fat(u, long)).expect("an operator")
}

fn hopping<R: Real, S: Real<Total = f64>, const N: usize>(
    u: &GaugeField<R, N>,
    spec: &DiracSpec,
    name: &str,
    threads: usize,
    flops: f64,
    columns: usize,
) {
    let quark = bound::<R, S, N>(u, spec);
    let reduced = EvenOdd::new(&*quark as &dyn Quark<S>).expect("even extents");
    let x = filled::<S>(&reduced.space().with_columns(columns));
    let mut out = Vector::<S>::zero(&x.space);
    let seconds = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    let (mut times, mut peaks) = (Vec::new(), Vec::new());
    let start = Instant::now();
    while times.len() < 11 || (start.elapsed().as_secs_f64() < 1.0 && times.len() < 200) {
        peaks.push(seconds(&mut || _ = black_box(S::vectorize(Peak::<S>(std::marker::PhantomData)))));
        times.push(seconds(&mut || reduced.apply(&x, &mut out)));
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let rate = flops * (u.lattice().volume() * columns) as f64 / median(&mut times) / GIB;
    let peak = (PEAK_ROUNDS * CHAINS * 2 * S::LANES) as f64 / median(&mut peaks) / GIB;
    println!(
        "{{\"name\": \"{name}\", \"threads\": {threads}, \"median_ms\": {:.4}, \"rate\": {rate:.2}, \"unit\": \"GFLOP/s\", \
         \"of_peak\": {:.3}}}",
        times[times.len() / 2] * 1e3,
        rate / peak / threads as f64
    );
}

/// Conjugate gradients beside the applications they are made of, and what single precision, several shifts and forces cost.
fn solves<R: Real<Total = f64, Value = R>, const N: usize>(u: &GaugeField<R, N>, name: &str, threads: usize)
where
    R::Single: Real<Total = f64>,
{
    let spec = |json| -> DiracSpec { serde_json::from_value(json).expect("an operator") };
    let staggered = spec(serde_json::json!({"kind": "staggered", "mass": 0.1}));
    let wilson = spec(serde_json::json!({"kind": "wilson", "mass": 0.1}));
    for (label, spec, method, each) in
        [("staggered CG", &staggered, Method::Cg, 1), ("Wilson CGNR", &wilson, Method::Cgnr, 2)]
    {
        let (quark, small) = (bound::<R, R, N>(u, spec), bound::<R, R::Single, N>(u, spec));
        let reduced = EvenOdd::new(&*quark as &dyn Quark<R>).expect("even extents");
        let single = EvenOdd::new(&*small as &dyn Quark<R::Single>).expect("even extents");
        let b = filled::<R>(reduced.space());
        let mut out = Vector::zero(&b.space);
        const ITERATIONS: usize = 30;
        let some = SolveParams { tolerance: 1e-15, max_iterations: ITERATIONS };
        // The residuals before and after are applications too, and for CGNR the adjoint at the start.
        let applications = each * (ITERATIONS + 1) + 1;
        compare(
            &format!("{name}: {label}, {ITERATIONS} iterations / their applications"),
            threads,
            || (0..applications).for_each(|_| reduced.apply(&b, &mut out)),
            || drop(black_box(solve::<R, R>(&reduced, None, method, &b, &mut Vector::zero(&b.space), some))),
        );
        let tight = SolveParams { tolerance: 1e-10, max_iterations: 5000 };
        let full = |single: Option<&dyn LinearOperator<R::Single>>| {
            let info = solve(&reduced, single, method, &b, &mut Vector::zero(&b.space), tight).expect("a solution");
            assert!(info.residual <= 1e-10);
        };
        let mixed = format!("{name}: {label} to 1e-10, double / mixed precision");
        compare(&mixed, threads, || full(Some(&single)), || full(None));
        if method == Method::Cg {
            let shifts: Vec<f64> = (0..10).map(|k| 1e-3 * 3f64.powi(k)).collect();
            let mut iterations = 1;
            let mut many = || iterations = multishift(&reduced, &b, &shifts, tight).expect("solutions").1.iterations;
            many();
            let title = format!("{name}: 10 shifts to 1e-10 / their applications");
            let unit = || (0..iterations).for_each(|_| reduced.apply(&b, &mut out));
            compare(&title, threads, unit, || drop(black_box(multishift(&reduced, &b, &shifts, tight))));
        }
    }
    let quark = bound::<R, R, N>(u, &wilson);
    let (x, y) = (filled::<R>(quark.space()), filled::<R>(quark.space()));
    let (mut out, mut force) = (Vector::zero(&x.space), u.zero());
    let mut hop = || quark.hop(&x, Onto::Nothing, 1.0, false, &mut out);
    compare(&format!("{name}: Wilson force / hopping term"), threads, &mut hop, || {
        quark.add_force(&x, &y, 1.0, &mut force)
    });
    compare(&format!("{name}: clover force / hopping term"), threads, &mut hop, || {
        let mut slopes = Slopes::<R, N>::new(quark.space(), 1.0);
        slopes.add_product(&x, &y, 1.0);
        slopes.add_force(u, &mut force);
    });
}

/// What the force of two flavours (four tastes) takes beyond its solve, and what a new field takes, in even-odd applications of the
/// operator; all in turns.
fn force_beyond_solve<R: Real<Total = f64, Value = R>, const N: usize>(
    u: &GaugeField<R, N>,
    spec: &DiracSpec,
    title: &str,
    threads: usize,
) {
    let flavors = if matches!(spec, DiracSpec::Staggered { .. }) { 4 } else { 2 };
    let accuracy =
        Accuracy { tolerances: [0.03; 2], max_iterations: 1000, range: None, mixed: false, chronological: 0 };
    let action = Pseudofermion::<R, N>::new(spec, None, flavors, u.lattice(), accuracy).expect("an action");
    let mut effort = Effort::default();
    let phi = action.draw(u, Draws::new(1, 0), &mut effort).expect("a field").fields;
    let quark = bound::<R, R, N>(u, spec);
    let reduced = EvenOdd::new(&*quark as &dyn Quark<R>).expect("even extents");
    let x = filled::<R>(reduced.space());
    let (mut out, mut p) = (Vector::<R>::zero(&x.space), u.zero());
    let seconds = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    let family = Family::<R>::new(spec, u.lattice()).expect("a family");
    let (mut beyond, mut fresh, start) = (Vec::new(), Vec::new(), Instant::now());
    while beyond.len() < 7 || (start.elapsed().as_secs_f64() < 2.0 && beyond.len() < 100) {
        let unit = seconds(&mut || (0..4).for_each(|_| reduced.apply(&x, &mut out))) / 4.0;
        let value = seconds(&mut || drop(black_box(action.value(u, &phi, &mut effort))));
        let kick = seconds(&mut || action.kick(u, &phi, 1e-3, &mut p, &mut effort).expect("a force"));
        beyond.push((kick - value) / unit);
        fresh.push(seconds(&mut || drop(black_box(family.on(u)))) / unit);
    }
    for (what, ratios) in [("force beyond its solve", &mut beyond), ("operator on a new field", &mut fresh)] {
        ratios.sort_by(f64::total_cmp);
        let ratio = ratios[ratios.len() / 2];
        println!("{{\"name\": \"{title}: {what} / application\", \"threads\": {threads}, \"ratio\": {ratio:.2}}}");
    }
}

/// Where nothing fits into a cache.
fn large_quarks<R: Real<Total = f64>, const N: usize>(u: &GaugeField<R, N>, threads: usize)
where
    R::Single: Real<Total = f64>,
{
    for (label, flops) in [("wilson", 1320.0), ("staggered", 570.0)] {
        let json = serde_json::json!({"kind": label, "mass": 0.1});
        let spec: DiracSpec = serde_json::from_value(json).expect("an operator");
        hopping::<R, R, N>(u, &spec, &format!("SU(3) 24^3 x 48: {label} f64"), threads, flops, 1);
        hopping::<R, R::Single, N>(u, &spec, &format!("SU(3) 24^3 x 48: {label} f32"), threads, flops, 1);
    }
}

/// Twelve columns of a clover quark on 8^3 x 16 in one call, on a field after some heatbath sweeps.
fn propagator<R: Real<Total = f64>, const N: usize>(u: &GaugeField<R, N>) {
    let heatbath = Heatbath::new(wilson(u, 6.0), u.lattice(), 1).expect("linear action");
    let mut field = u.clone();
    (0..20).for_each(|sweep| field = heatbath.step(&field, 1, sweep).expect("sweep").0);
    let json = serde_json::json!({"kind": "wilson", "kappa": 0.13, "csw": 1.0});
    let spec: DiracSpec = serde_json::from_value(json).expect("an operator");
    let volume = u.lattice().volume();
    let mut links = vec![num_complex::Complex64::ZERO; volume * u.lattice().ndim() * N * N];
    field.for_each_link(|site, mu, link| {
        for (n, z) in link.0.iter().flatten().enumerate() {
            links[(mu * volume + site) * N * N + n] = num_complex::Complex64::new(z.re, z.im);
        }
    });
    let any = AnyGauge::from_array(u.lattice().extents(), N, &links).expect("a field");
    let quark = bind(&spec, &any, None).expect("an operator");
    let size = volume * 4 * N;
    let mut sources = vec![num_complex::Complex64::ZERO; size * 4 * N];
    (0..4 * N).for_each(|n| sources[n * size + n] = num_complex::Complex64::ONE);
    for (label, mixed) in [("mixed precision", true), ("double precision", false)] {
        let params = SolveParams { tolerance: 1e-10, max_iterations: 2000 };
        let options = SolveOptions { method: None, mixed, even_odd: true, params };
        let mut info = None;
        let times = time(|| info = quark.solve(&sources, None, &[], 4 * N, &options).ok().map(|solved| solved.info));
        let info = info.expect("a solution");
        println!(
            "{{\"name\": \"clover propagator, 8^3 x 16, 12 sources to 1e-10, {label}\", \"threads\": {}, \"median_ms\": {:.1}, \
             \"best_ms\": {:.1}, \"iterations\": {}, \"residual\": {:.2e}}}",
            num_threads(),
            times.median * 1e3,
            times.best * 1e3,
            info.iterations,
            info.residual
        );
    }
}

/// Elementary moves (a trial of an l or of the worm each) in thermalised configurations.
fn worms() {
    for (extents, mu) in [([60, 4], 1.0), ([4, 60], 0.5), ([4, 60], 1.0), ([2, 4], 1.0), ([100, 100], 1.0)] {
        let visits = 2 * extents.iter().product::<u64>().max(128);
        let torus = Torus::new(&extents.map(|extent| extent as usize)).expect("a lattice");
        let mut worm = Worm::new(torus, 4.01, 1.0, mu, visits).expect("couplings");
        let mut flux = Flux::empty(worm.torus());
        for sweep in 0..100 {
            let report = worm.update(&mut flux, Draws::new(1, sweep), 0).expect("an update");
            let log_open = adapted(worm.log_open(), sweep, report.steps, report.visits);
            worm = worm.with_log_open(log_open).expect("a weight");
        }
        let update = || worm.update(&mut flux.clone(), Draws::new(1, 100), 0).expect("an update");
        let moves = 2.0 * update().steps as f64;
        let times = time(|| drop(black_box(update())));
        report(&format!("worm, {extents:?}, mu = {mu}"), 1, &times, "M moves/s", 1e3 * moves);
    }
}

/// Calls `$work(field, ...)` for whichever storage of the group the machine chose.
macro_rules! typed {
    ($field:expr, $work:ident $(, $argument:expr)*) => {
        match $field {
            AnyGauge::U1(u) => $work(u $(, $argument)*),
            AnyGauge::Su2(u) => $work(u $(, $argument)*),
            AnyGauge::Su3(u) => $work(u $(, $argument)*),
            #[cfg(not(plaq_small))]
            AnyGauge::Su4(u) => $work(u $(, $argument)*),
            #[cfg(target_arch = "x86_64")]
            AnyGauge::U1Avx512(u) => $work(u $(, $argument)*),
            #[cfg(target_arch = "x86_64")]
            AnyGauge::Su2Avx512(u) => $work(u $(, $argument)*),
            #[cfg(target_arch = "x86_64")]
            AnyGauge::Su3Avx512(u) => $work(u $(, $argument)*),
            #[cfg(all(target_arch = "x86_64", not(plaq_small)))]
            AnyGauge::U1Avx2(u) => $work(u $(, $argument)*),
            #[cfg(all(target_arch = "x86_64", not(plaq_small)))]
            AnyGauge::Su2Avx2(u) => $work(u $(, $argument)*),
            #[cfg(all(target_arch = "x86_64", not(plaq_small)))]
            AnyGauge::Su3Avx2(u) => $work(u $(, $argument)*),
            #[cfg(all(target_arch = "x86_64", not(plaq_small)))]
            AnyGauge::Su4Avx512(u) => $work(u $(, $argument)*),
            #[cfg(all(target_arch = "x86_64", not(plaq_small)))]
            AnyGauge::Su4Avx2(u) => $work(u $(, $argument)*),
            _ => unreachable!("the benchmark has no such group"),
        }
    };
}

fn main() {
    plaq::HugePages::keep_freed_blocks();
    let hot = |extents: &[usize], n| AnyGauge::hot(extents, n, 1).expect("a small lattice");
    let isa = std::env::var("PLAQ_SIMD").unwrap_or_else(|_| "best".into());
    let small = hot(&[8; 4], 3);
    set_num_threads(1).expect("one thread");
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_some_and(|first| first == "table") {
        return typed!(&small, table, &isa, arguments.get(1).map_or("", String::as_str));
    }
    if arguments.first().is_some_and(|first| first == "worm") {
        return worms();
    }
    typed!(&small, limits, &isa);
    if arguments.first().is_some_and(|first| first == "quarks") {
        let chosen = arguments.get(1).map_or("", String::as_str);
        for threads in [1, 2] {
            set_num_threads(threads).expect("threads");
            match chosen {
                "large" => typed!(&hot(&[24, 24, 24, 48], 3), large_quarks, threads),
                "propagator" => typed!(&hot(&[8, 8, 8, 16], 3), propagator),
                "forces" => {
                    typed!(&small, forces, "SU(3) 8^4", threads);
                    typed!(&hot(&[16; 4], 3), forces, "SU(3) 16^4", threads);
                }
                _ => {
                    typed!(&small, quarks, "SU(3) 8^4", threads);
                    typed!(&hot(&[16; 4], 3), quarks, "SU(3) 16^4", threads);
                    typed!(&hot(&[8, 8, 8, 16], 3), propagator);
                }
            }
        }
        return;
    }
    println!("{{\"bytes_of_a_matrix\": {}}}", size_of::<Matrix<f64, 3>>());
    if std::env::args().any(|argument| argument == "smearing") {
        for threads in [1, 2] {
            set_num_threads(threads).expect("threads");
            typed!(&small, smearing, "SU(3) 8^4", threads);
            typed!(&hot(&[16; 4], 3), smearing, "SU(3) 16^4", threads);
        }
        return;
    }
    for threads in [1, 2] {
        set_num_threads(threads).expect("threads");
        typed!(&small, kernels, "SU(3) 8^4", threads);
        typed!(&small, samplers, "SU(3) 8^4", threads, 6.0, ("omelyan2", 20));
        let large = hot(&[16; 4], 3);
        typed!(&large, kernels, "SU(3) 16^4", threads);
        typed!(&small, smearing, "SU(3) 8^4", threads);
        typed!(&large, smearing, "SU(3) 16^4", threads);
        typed!(&large, samplers, "SU(3) 16^4", threads, 6.0, ("omelyan2", 20));
        typed!(&small, quarks, "SU(3) 8^4", threads);
        typed!(&large, quarks, "SU(3) 16^4", threads);
    }
    set_num_threads(1).expect("one thread");
    typed!(&hot(&[6; 4], 3), samplers, "SU(3) 6^4", 1, 6.0, ("omelyan2", 10));
    typed!(&hot(&[6; 4], 3), samplers, "SU(3) 6^4", 1, 6.0, ("leapfrog", 10));
    typed!(&hot(&[8; 4], 2), samplers, "SU(2) 8^4", 1, 2.5, ("omelyan2", 20));
    typed!(&hot(&[8; 4], 4), kernels, "SU(4) 8^4", 1);
    typed!(&hot(&[64, 64], 1), samplers, "U(1) 64^2", 1, 5.0, ("omelyan2", 20));
    worms();
}
