//! Gradient flow: its Euler step, its error control and the number of its steps.

use super::{distance, wilson};
use crate::concept::Map;
use crate::concept::{Configuration, force, value};
use crate::gauge::GaugeField;
use crate::lattice::Lattice;
use crate::lattice::path;
use crate::map::{Flow, StoutLayer, StoutTerm};

#[test]
fn an_euler_step_of_the_flow_is_one_stout_step() {
    let lattice = Lattice::new(&[4, 4, 4, 4], 1).unwrap();
    let u = GaugeField::<f64, 3>::hot(lattice.clone(), 5);
    let action = wilson(&lattice);
    // dV/dt = -dS/dU in units in which S = sum Re tr(1 - P): N METRIC times the force of the unit action
    let mut euler = u.clone();
    euler.drift(-0.1 * 3.0 * 2.0, &mut force(&action, &u).unwrap());
    let term = StoutTerm { loops: path::family("plaquette", &[4; 4]).unwrap(), directions: u8::MAX };
    let smeared = StoutLayer::new(&lattice, vec![term]).forward(&[0.1], &u).unwrap();
    assert!(distance(&smeared, &euler) < 1e-13);
    let plaquette = |u: &GaugeField<f64, 3>| value(&action, u).unwrap();
    assert!(plaquette(&smeared) < plaquette(&u));
}

#[test]
fn adaptive_flow_keeps_its_error() {
    let lattice = Lattice::new(&[4, 4, 4, 4], 1).unwrap();
    let u = GaugeField::<f64, 3>::hot(lattice.clone(), 5);
    let flow = Flow::new(&lattice, &path::family("plaquette", &[4; 4]).unwrap());
    let mut exact = u.clone();
    for _ in 0..200 {
        exact = flow.step(&exact, 0.001).unwrap();
    }
    let mut counts = Vec::new();
    for tolerance in [1e-4, 1e-6, 1e-8] {
        let (mut v, mut t, mut step) = (u.clone(), 0.0, 0.02);
        let mut count = 0;
        while t < 0.2 {
            let (next, info) = flow.adaptive_step(&v, f64::min(step, 0.2 - t), tolerance).unwrap();
            (v, t, step) = (next, t + info.taken, info.next);
            t = if 0.2 - t < 1e-12 { 0.2 } else { t };
            count += 1;
            assert!(count < 400, "{tolerance:e}: step {step:e} at t = {t}");
        }
        let off = distance(&v, &exact);
        assert!(off < 100.0 * tolerance, "{tolerance:e}: {off:e}");
        counts.push(f64::from(count));
    }
    // the embedded error falls with the third power of the step: counts grow with tolerance^(-1/3)
    let growth = (counts[2] / counts[1]) / 100f64.cbrt();
    assert!((0.75..1.3).contains(&growth), "{counts:?}: {growth}");
}
