//! Laws that every group, dimension, loop family, integrator and instruction set is held to.

use crate::action::LoopAction;
use crate::gauge::GaugeField;
use crate::lattice::Lattice;
use crate::lattice::path::{self, WeightedPath};
use std::sync::Arc;

/// Runs a generic law for U(1), SU(2), ..., SU(5) and SU(8).
macro_rules! every_group {
    ($law:ident $(, $argument:expr)*) => {
        $law::<1>($($argument),*);
        $law::<2>($($argument),*);
        $law::<3>($($argument),*);
        $law::<4>($($argument),*);
        $law::<5>($($argument),*);
        $law::<8>($($argument),*);
    };
}

mod actions;
mod coloring;
mod dirac;
mod dynamics;
// Its allocator counts; the Python module brings another.
#[cfg(not(feature = "python"))]
mod file_faults;
mod files;
mod flows;
mod groups;
mod lanes;
mod machines;
mod maps;
mod rooms;
mod sums;
mod transformations;

const SHAPES: [&[usize]; 4] = [&[4, 6], &[3, 4, 2], &[2, 3, 2, 4], &[4, 2, 2, 2]];

/// Every loop family that exists on `extents`, a user's loop, and a mixture with different coefficients.
fn loop_lists(extents: &[usize]) -> Vec<Vec<WeightedPath>> {
    let mut lists: Vec<_> = path::FAMILIES.iter().filter_map(|name| path::family(name, extents).ok()).collect();
    lists.push(vec![WeightedPath { weight: 0.7, path: vec![1, 1, 2, 2, -1, -2, -2, 1, 2, -1, -1, -2] }]);
    let mut mixture = path::family("plaquette", extents).unwrap();
    mixture.extend(path::family("rectangle", extents).unwrap());
    for (n, l) in mixture.iter_mut().enumerate() {
        l.weight *= 1.3 - 0.4 * n as f64;
    }
    lists.push(mixture);
    lists
}

/// Largest distance between links of two fields.
fn distance<const N: usize>(a: &GaugeField<f64, N>, b: &GaugeField<f64, N>) -> f64 {
    let squares = a.links().iter().zip(b.links()).map(|(a, b)| a.add(&b.scale(-1.0)).norm2());
    squares.fold(0.0, f64::max).sqrt()
}

fn wilson(lattice: &Arc<Lattice>) -> LoopAction {
    LoopAction::new(lattice, path::family("plaquette", lattice.extents()).unwrap())
}
