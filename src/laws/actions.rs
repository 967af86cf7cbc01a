//! Forces are derivatives of actions, and actions are gauge invariant.

use super::{SHAPES, loop_lists};
use crate::action::LoopAction;
use crate::concept::{Configuration, check_force, value};
use crate::gauge::GaugeField;
use crate::group;
use crate::lattice::Lattice;
use crate::map::displaced;
use crate::random::{Draws, Purpose, Stream};

#[test]
fn force_is_the_derivative_of_the_action() {
    fn law<const N: usize>(extents: &[usize]) {
        let lattice = Lattice::new(extents, 1).unwrap();
        let u = GaugeField::<f64, N>::hot(lattice.clone(), 11);
        let delta = u.noise(Draws::new(12, 0));
        for loops in loop_lists(extents) {
            let action = LoopAction::new(&lattice, loops.clone());
            let slope = value(&action, &displaced(&u, &delta)).unwrap().eps;
            assert!(check_force(&action, &u, &delta, slope).unwrap() < 1e-10, "N={N} {extents:?} {loops:?}");
        }
    }
    for extents in SHAPES {
        every_group!(law, extents);
    }
}

#[test]
fn actions_are_gauge_invariant() {
    fn law<const N: usize>(extents: &[usize]) {
        let lattice = Lattice::new(extents, 1).unwrap();
        let u = GaugeField::<f64, N>::hot(lattice.clone(), 5);
        let stream = Stream::new(6, Purpose::Start, 0);
        let g: Vec<_> = (0..lattice.volume() as u32).map(|x| group::haar::<N>(&mut stream.site(x))).collect();
        let mut v = u.clone();
        v.gauge_transform(&g);
        for loops in loop_lists(extents) {
            let action = LoopAction::new(&lattice, loops);
            let (a, b) = (value(&action, &u).unwrap(), value(&action, &v).unwrap());
            assert!((a - b).abs() < 1e-12 * lattice.volume() as f64 * 10.0, "N={N} {extents:?}: {a} {b}");
        }
    }
    for extents in SHAPES {
        every_group!(law, extents);
    }
}
