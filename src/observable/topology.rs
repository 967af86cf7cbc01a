//! Field strength from plaquettes, clover leaves or rectangles; topological charge and energy density.
//!
//! F_mu nu = TA(mean of the leaves); Q = -(1/32 pi^2) sum eps tr FF = -(1/4 pi^2) sum tr(F01 F23 - F02 F13 + F03 F12);
//! E = -sum_{mu<nu} tr F F. In 2D U(1) the geometric charge sum wrap(theta)/2 pi is an integer.

use super::loops;
use crate::error::{Error, Result};
use crate::field::{self, Measure};
use crate::gauge::GaugeField;
use crate::group;
use crate::lattice::{Lattice, MAX_DIMENSIONS};
use crate::lattice::{Path, Program, WeightedPath, path};
use crate::matrix::{Algebra, Matrix};
use crate::number::Real;
use std::f64::consts::PI;

/// Closed loops whose mean gives the field strength.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaves {
    /// The plaquette at the site.
    Plaquette,
    /// The four plaquettes around the site.
    Clover,
    /// The eight 2x1 and 1x2 rectangles around the site.
    Rectangle,
}

impl Leaves {
    fn paths(self, mu: i8, nu: i8) -> Vec<Path> {
        let corners = [(mu, nu), (nu, -mu), (-mu, -nu), (-nu, mu)];
        match self {
            Self::Plaquette => vec![path::rectangle(mu, nu, 1, 1)],
            Self::Clover => corners.iter().map(|&(a, b)| path::rectangle(a, b, 1, 1)).collect(),
            Self::Rectangle => {
                corners.iter().flat_map(|&(a, b)| [path::rectangle(a, b, 2, 1), path::rectangle(a, b, 1, 2)]).collect()
            }
        }
    }

    fn program(self, lattice: &std::sync::Arc<Lattice>, mu: i8, nu: i8) -> Program {
        let paths = self.paths(mu, nu);
        let weight = 1.0 / paths.len() as f64;
        let paths: Vec<_> = paths.into_iter().map(|path| WeightedPath { weight, path }).collect();
        Program::new(lattice, [0; MAX_DIMENSIONS], &paths)
    }
}

/// What is formed from the field strengths of the planes.
#[derive(Debug, Clone, Copy)]
enum Contraction {
    Charge,
    Energy,
}

struct FieldStrength<'a, R, const N: usize> {
    planes: Vec<Program>,
    links: &'a [Matrix<R, N>],
    contraction: Contraction,
}

impl<'a, R: Real, const N: usize> FieldStrength<'a, R, N> {
    fn new(field: &'a GaugeField<R, N>, leaves: Leaves, contraction: Contraction) -> Self {
        let lattice = field.lattice();
        let planes = path::planes(lattice.ndim()).map(|(mu, nu)| leaves.program(lattice, mu, nu)).collect();
        Self { planes, links: field.links(), contraction }
    }
}

impl<R: Real, const N: usize> Measure<R> for FieldStrength<'_, R, N> {
    type Scratch = (Vec<Matrix<R, N>>, [Algebra<R, N>; 6]);
    fn scratch(&self) -> Self::Scratch {
        let slots = self.planes.iter().map(|p| p.scratch::<R, N>().len()).max().unwrap_or(1);
        (field::zeros(slots), bytemuck::Zeroable::zeroed())
    }
    #[inline(always)]
    fn at(&self, (slots, f): &mut Self::Scratch, vector: usize) -> R {
        for (program, f) in self.planes.iter().zip(f.iter_mut()) {
            program.run(self.links, slots, vector);
            *f = slots[0].algebra_part();
        }
        // tr AB = -<A, B>/METRIC
        let trace = R::splat(1.0 / Algebra::<R, N>::METRIC);
        match self.contraction {
            Contraction::Charge => {
                (f[0].inner(&f[5]) - f[1].inner(&f[4]) + f[2].inner(&f[3])) * trace * R::splat(0.25 / (PI * PI))
            }
            Contraction::Energy => {
                let mut sum = R::zero();
                for f in f.iter().take(self.planes.len()) {
                    sum += f.inner(f);
                }
                sum * trace
            }
        }
    }
}

fn density<R: Real, const N: usize>(field: &GaugeField<R, N>, leaves: Leaves, contraction: Contraction) -> Vec<f64> {
    let lattice = field.lattice();
    let (values, _) = field::measure(&FieldStrength::new(field, leaves, contraction), lattice.vectors());
    field::by_site(lattice, &values)
}

/// Names of the definitions of the charge.
pub const CHARGES: [&str; 4] = ["plaquette", "clover", "improved", "geometric"];
/// Names of the definitions of the energy density.
pub const ENERGIES: [&str; 2] = ["plaquette", "clover"];

/// Topological charge density q(x), sum_x q(x) = Q.
pub fn charge_density<R: Real, const N: usize>(field: &GaugeField<R, N>, definition: &str) -> Result<Vec<f64>> {
    let ndim = field.lattice().ndim();
    let of = |leaves| density(field, leaves, Contraction::Charge);
    match (definition, ndim, N) {
        ("geometric", 2, 1) => Ok(geometric(field)),
        ("geometric", ..) => Err(Error::value(format!(
            "the geometric charge is defined for U(1) in 2 dimensions; this is {} in {ndim}",
            group::name(N)
        ))),
        ("plaquette", 4, _) => Ok(of(Leaves::Plaquette)),
        ("clover", 4, _) => Ok(of(Leaves::Clover)),
        ("improved", 4, _) => {
            let (clover, rectangle) = (of(Leaves::Clover), of(Leaves::Rectangle));
            Ok(clover.iter().zip(rectangle).map(|(c, r)| 5.0 / 3.0 * c - 2.0 / 12.0 * r).collect())
        }
        (name, ..) if CHARGES.contains(&name) => Err(Error::value(format!(
            "the {name} charge needs 4 dimensions; this lattice has {ndim} (U(1) in 2 dimensions has \"geometric\")"
        ))),
        (name, ..) => Err(unknown(name, &CHARGES)),
    }
}

/// Energy density E(x): clover -sum_{mu<nu} tr F F, or plaquette 2 sum_{mu<nu} Re tr(1 - P).
pub fn energy_density<R: Real, const N: usize>(field: &GaugeField<R, N>, definition: &str) -> Result<Vec<f64>> {
    match definition {
        "clover" => Ok(density(field, Leaves::Clover, Contraction::Energy)),
        "plaquette" => {
            let mut energy = vec![0.0; field.lattice().volume()];
            for (mu, nu) in path::planes(field.lattice().ndim()) {
                let traces = loops::trace_density(field, &path::rectangle(mu, nu, 1, 1));
                energy.iter_mut().zip(traces).for_each(|(e, z)| *e += 2.0 * N as f64 * (1.0 - z.re));
            }
            Ok(energy)
        }
        name => Err(unknown(name, &ENERGIES)),
    }
}

fn unknown(name: &str, known: &[&str]) -> Error {
    Error::value(format!("unknown definition \"{name}\"; known: {}", known.join(", ")))
}

fn geometric<R: Real, const N: usize>(field: &GaugeField<R, N>) -> Vec<f64> {
    let traces = loops::trace_density(field, &path::rectangle(1, 2, 1, 1));
    traces.into_iter().map(|z| z.arg() / (2.0 * PI)).collect()
}
