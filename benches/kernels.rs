//! Times of the kernels beside the machine's own limits, all in one run: `cargo bench --bench kernels`.
//!
//! Prints one JSON object a line: name, median and best of the repetitions in milliseconds, and what it is a ratio of.

use plaq::action::{Action, Configuration, LoopAction};
use plaq::any::AnyGauge;
use plaq::field::set_num_threads;
use plaq::gauge::GaugeField;
use plaq::matrix::Matrix;
use plaq::path;
use plaq::real::{Real, Work};
use plaq::sampler::{Heatbath, Hmc, Integrator, Level};
use plaq::smear::{AttentionLayer, Flow, Map, StoutLayer, StoutTerm};
use std::hint::black_box;
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

/// Sixteen independent chains of fused multiply-adds.
struct Peak<R>(std::marker::PhantomData<R>);

const PEAK_ROUNDS: usize = 200_000;

impl<R: Real> Work for Peak<R> {
    type Output = f64;
    #[inline(always)]
    fn run(self) -> f64 {
        let (a, b) = (R::splat(black_box(0.999_999)), R::splat(black_box(1e-7)));
        let mut x = [R::one(); 16];
        for _ in 0..PEAK_ROUNDS {
            for x in &mut x {
                *x = x.mul_add(a, b);
            }
        }
        x.iter().map(|x| x.lane(0)).sum()
    }
}

fn limits<R: Real, const N: usize>(_: &GaugeField<R, N>, isa: &str) {
    let times = time(|| {
        black_box(R::vectorize(Peak::<R>(std::marker::PhantomData)));
    });
    let flops = (PEAK_ROUNDS * 16 * 2 * R::LANES) as f64;
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

/// Force, link update and action; SU(3): 52 products of 198 and 12 sums of 18 operations a site for the force.
fn kernels<R: Real<Total = f64>, const N: usize>(u: &GaugeField<R, N>, name: &str, threads: usize) {
    let action = wilson(u, 6.0);
    let (mut field, mut p) = (u.clone(), u.draw_momenta(1, 0));
    let sites = u.lattice().volume() as f64;
    let times = time(|| action.kick(u, 1e-3, &mut p).expect("force"));
    let product = (8 * N * N * N - 2 * N * N) as f64;
    let ndim = u.lattice().ndim() as f64;
    let staples = 2.0 * (ndim - 1.0);
    let flops = ndim * ((2.0 * staples + 1.0) * product + staples * 2.0 * (N * N) as f64);
    report(&format!("{name}: Wilson force and momentum update"), threads, &times, "GFLOP/s", flops * sites);
    let times = time(|| field.drift(1e-3, &p));
    let bytes = (2 * size_of_val(u.links()) + size_of_val(p.elements.as_slice())) as f64;
    report(&format!("{name}: link update exp(P dt) U"), threads, &times, "GB/s", bytes);
    let times = time(|| {
        black_box(action.value(u).expect("value"));
    });
    report(&format!("{name}: action"), threads, &times, "GFLOP/s", sites * 6.0 * 3.0 * product);
    let times = time(|| {
        black_box(u.draw_momenta(1, 1));
    });
    report(&format!("{name}: momenta"), threads, &times, "G normals/s", sites * ndim * (N * N) as f64);
}

/// Stout level, its reverse pass and the flow beside the force and the exponentials that they are made of.
fn smearing<R: Real<Total = f64>, const N: usize>(u: &GaugeField<R, N>, name: &str, threads: usize) {
    let loops = path::family("plaquette", u.lattice().extents()).expect("two or more dimensions");
    let term = StoutTerm { loops: loops.clone(), directions: u8::MAX };
    let (layer, flow) = (StoutLayer::new(u.lattice(), vec![term.clone()], vec![0.1]), Flow::new(u.lattice(), loops));
    let attention = AttentionLayer::new(u.lattice(), vec![term], &[0.1, 0.1, 0.1], 3).expect("two dimensions");
    let action = wilson(u, 6.0);
    let (mut p, momenta, mut field) = (u.zero_momenta(), u.draw_momenta(1, 0), u.clone());
    let mut force = || action.kick(u, 1e-3, &mut p).expect("force");
    compare(&format!("{name}: stout level / Wilson force"), threads, &mut force, || {
        black_box(layer.forward(u).expect("stout"));
    });
    let mut forward = || {
        black_box(layer.forward(u).expect("stout"));
    };
    compare(&format!("{name}: stout reverse pass / forward"), threads, &mut forward, || {
        black_box(layer.cotangent(u, &momenta).expect("reverse"));
    });
    compare(&format!("{name}: stout reverse pass with parameters / forward"), threads, &mut forward, || {
        black_box(layer.pullback(u, &momenta).expect("reverse"));
    });
    let forces_and_exps = || {
        (0..7).for_each(|_| force());
        (0..6).for_each(|_| field.drift(1e-3, &momenta));
    };
    compare(&format!("{name}: two flow steps / 7 forces and 6 exps"), threads, forces_and_exps, || {
        black_box(flow.step(u, 0.01).expect("flow"));
        black_box(flow.step(u, 0.01).expect("flow"));
    });
    if u.lattice().volume() <= 4096 {
        let mut forward = || {
            black_box(attention.forward(u).expect("attention"));
        };
        compare(&format!("{name}: attention layer / Wilson force"), threads, &mut force, &mut forward);
        compare(&format!("{name}: attention reverse pass / forward"), threads, &mut forward, || {
            black_box(attention.pullback(u, &momenta).expect("reverse"));
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
    let level = Level {
        action: Box::new(wilson(u, beta)) as Box<dyn Action<_>>,
        integrator: Integrator::named(integrator).expect("known"),
        steps,
    };
    let hmc = Hmc { energy: Box::new(wilson(u, beta)), levels: vec![level], length: 1.0 };
    let mut field = u.clone();
    let mut sweep = 0;
    let times = time(|| {
        field = hmc.step(&field, 1, sweep).expect("trajectory").0;
        sweep += 1;
    });
    let title = format!("{name}: HMC trajectory, {integrator}, {steps} steps");
    report(&title, threads, &times, "G link updates/s", links * (2 * steps) as f64);
}

/// Calls `$work(field, ...)` for whichever storage of the group the machine chose.
macro_rules! typed {
    ($field:expr, $work:ident $(, $argument:expr)*) => {
        match $field {
            AnyGauge::U1(u) => $work(u $(, $argument)*),
            AnyGauge::Su2(u) => $work(u $(, $argument)*),
            AnyGauge::Su3(u) => $work(u $(, $argument)*),
            AnyGauge::Su4(u) => $work(u $(, $argument)*),
            #[cfg(target_arch = "x86_64")]
            AnyGauge::U1Avx512(u) => $work(u $(, $argument)*),
            #[cfg(target_arch = "x86_64")]
            AnyGauge::Su2Avx512(u) => $work(u $(, $argument)*),
            #[cfg(target_arch = "x86_64")]
            AnyGauge::Su3Avx512(u) => $work(u $(, $argument)*),
            #[cfg(target_arch = "x86_64")]
            AnyGauge::U1Avx2(u) => $work(u $(, $argument)*),
            #[cfg(target_arch = "x86_64")]
            AnyGauge::Su2Avx2(u) => $work(u $(, $argument)*),
            #[cfg(target_arch = "x86_64")]
            AnyGauge::Su3Avx2(u) => $work(u $(, $argument)*),
            _ => unreachable!("the benchmark has no such group"),
        }
    };
}

fn main() {
    let hot = |extents: &[usize], n| AnyGauge::hot(extents, n, 1).expect("a small lattice");
    let isa = std::env::var("PLAQ_SIMD").unwrap_or_else(|_| "best".into());
    let small = hot(&[8; 4], 3);
    set_num_threads(1).expect("one thread");
    typed!(&small, limits, &isa);
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
    }
    set_num_threads(1).expect("one thread");
    typed!(&hot(&[6; 4], 3), samplers, "SU(3) 6^4", 1, 6.0, ("omelyan2", 10));
    typed!(&hot(&[6; 4], 3), samplers, "SU(3) 6^4", 1, 6.0, ("leapfrog", 10));
    typed!(&hot(&[8; 4], 2), samplers, "SU(2) 8^4", 1, 2.5, ("omelyan2", 20));
    typed!(&hot(&[8; 4], 4), kernels, "SU(4) 8^4", 1);
    typed!(&hot(&[64, 64], 1), samplers, "U(1) 64^2", 1, 5.0, ("omelyan2", 20));
}
