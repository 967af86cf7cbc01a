//! Laws of the machines that need no Python: same bits on any number of threads, and likelihood that never falls.

use crate::error::Result;
use crate::model::rbm::{Kick, Layer, Mass, Method, Model, Settings, Target, Trainer, Units, sample};
use crate::random::{Purpose, Stream};
use rand::RngExt;
use rand_distr::StandardNormal;

const MU2: f64 = 30.0;

fn layer(units: Units, size: usize, variance: f64) -> Layer<f64> {
    Layer { units, bias: vec![0.0; size], variance: vec![variance; size] }
}

fn machine(visible: Units, hidden: Units, n: usize, m: usize) -> Result<Model<f64>> {
    let mut rng = Stream::new(3, Purpose::Weights, 0).site(0);
    let weights = (0..n * m).map(|_| 0.1 * rng.sample::<f64, _>(StandardNormal)).collect();
    Model::new(weights, layer(visible, n, 1.0 / MU2), layer(hidden, m, 1.0))
}

fn settings(method: Method) -> Settings {
    Settings {
        method,
        learning_rate: 0.05,
        momentum: 0.5,
        weight_decay: 1e-3,
        decay: 0.99,
        decay_every: 2,
        schedule: crate::nn::Schedule::Constant,
        mass: Mass::Fixed,
        train_visible: false,
        train_hidden: false,
        safe: false,
        seed: 11,
    }
}

fn rows(count: usize, n: usize) -> Vec<f64> {
    let mut rng = Stream::new(5, Purpose::Noise, 0).site(0);
    (0..count * n).map(|_| 0.4 * rng.sample::<f64, _>(StandardNormal)).collect()
}

fn on_threads<T>(threads: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
    crate::field::set_num_threads(threads)?;
    work()
}

#[test]
fn training_has_the_same_bits_on_one_and_on_three_threads() -> Result<()> {
    let (n, m) = (90, 70);
    for method in [Method::Exact, Method::Em, Method::Cd(2), Method::Pcd(2, 150)] {
        let run = || -> Result<Vec<f64>> {
            let model = machine(Units::Gaussian, Units::Gaussian, n, m)?;
            let mut settings = settings(method);
            settings.safe = true;
            let mut trainer = Trainer::new(model, Target::Data(rows(200, n), 130), settings, vec![1.0; 150 * n])?;
            trainer.advance(3)?;
            Ok(trainer.model().weights)
        };
        let (one, three) = (on_threads(1, run), on_threads(3, run));
        assert_eq!(one?, three?, "{method:?}");
    }
    Ok(())
}

#[test]
fn chains_have_the_same_bits_on_any_threads_and_when_cut() -> Result<()> {
    let (n, m, chains) = (33, 21, 200);
    for (visible, hidden) in
        [(Units::Gaussian, Units::Gaussian), (Units::Bernoulli, Units::Gaussian), (Units::Spin, Units::Bernoulli)]
    {
        let model = machine(visible, hidden, n, m)?;
        let run = |threads: usize, parts: &[usize]| -> Result<Vec<f64>> {
            on_threads(threads, || {
                let (mut v, mut h, mut first) = (vec![0.0; chains * n], None, 0);
                for &part in parts {
                    sample(&model, &mut v, &mut h, part, 1, Kick::Fresh, 9, first)?;
                    first += 2 * part as u64;
                }
                Ok(v)
            })
        };
        let whole = run(1, &[7])?;
        assert_eq!(whole, run(3, &[7])?);
        assert_eq!(whole, run(2, &[3, 4])?);
    }
    Ok(())
}

#[test]
fn expectation_maximisation_raises_the_likelihood() -> Result<()> {
    let (n, m) = (12, 5);
    let model = machine(Units::Gaussian, Units::Gaussian, n, m)?;
    let mut trainer = Trainer::new(model, Target::Data(rows(100, n), 100), settings(Method::Em), Vec::new())?;
    let mut last = trainer.record()?.log_likelihood;
    for _ in 0..1000 {
        trainer.advance(1)?;
        let record = trainer.record()?;
        assert!(record.log_likelihood >= last - 1e-11);
        assert!(record.eigenvalues[0] > 0.0);
        last = record.log_likelihood;
    }
    assert!(trainer.step_norm() < 1e-6);
    Ok(())
}

#[test]
fn impossible_runs_are_refused() -> Result<()> {
    let n = 4;
    let start = |model: Model<f64>, method: Method| {
        Trainer::new(model, Target::Data(rows(8, n), 8), settings(method), vec![1.0; n])
    };
    assert!(start(machine(Units::Bernoulli, Units::Bernoulli, n, 2)?, Method::Exact).is_err());
    let mut large = machine(Units::Gaussian, Units::Gaussian, n, 2)?;
    large.weights.iter_mut().for_each(|w| *w *= 100.0);
    for method in [Method::Exact, Method::Em, Method::Cd(1), Method::Pcd(1, 1)] {
        assert!(start(large.clone(), method).is_err_and(|e| e.to_string().contains("not positive")));
    }
    assert!(Model::<f64>::new(vec![], layer(Units::Gaussian, 0, 1.0), layer(Units::Gaussian, 1, 1.0)).is_err());
    Ok(())
}

/// A minibatch or chains whose hidden units fit nowhere: weights and data are small, their product is terabytes.
#[test]
fn rows_that_no_memory_holds_are_refused() -> Result<()> {
    if crate::memory::require("", 1 << 60).is_ok() {
        return Ok(()); // the system does not say
    }
    let (hidden, many) = (1_000_000, 200_000);
    for (method, start) in [(Method::Cd(1), Vec::new()), (Method::Pcd(1, many), vec![1.0; many])] {
        let model = machine(Units::Bernoulli, Units::Bernoulli, 1, hidden)?;
        let trainer = Trainer::new(model, Target::Data(vec![1.0; many], many), settings(method), start);
        assert!(trainer.is_err_and(|e| e.to_string().contains("of memory")));
    }
    Ok(())
}
