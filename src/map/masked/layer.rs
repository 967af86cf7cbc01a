//! A masked layer: a sweep of updates that share their coefficients, and its geometry on one lattice.

use super::mask::Pattern;
use super::slice::{Geometry, Slice};
use crate::error::{Error, Result};
use crate::lattice::{Lattice, WeightedPath};
use std::f64::consts::FRAC_2_PI;
use std::sync::Arc;

/// What a layer is.
#[derive(Debug, Clone)]
pub struct MaskedLayer {
    /// How sites are split.
    pub pattern: Pattern,
    /// Direction of its links; all, one after another, where none is given.
    pub direction: Option<usize>,
    /// Class of its sites; all, one after another, where none is given.
    pub class: Option<usize>,
    /// Loops of each coefficient.
    pub groups: Vec<Vec<WeightedPath>>,
    /// s, at most 1.
    pub scale: f64,
}

/// A layer on one lattice: slices that share their coefficients.
pub(super) struct Sweep {
    pub slices: Vec<Slice>,
    pub groups: usize,
    scale: f64,
}

impl Sweep {
    pub fn new(lattice: &Arc<Lattice>, layer: &MaskedLayer, width: usize) -> Result<Self> {
        let (ndim, pattern) = (lattice.ndim(), layer.pattern);
        pattern.check(lattice.extents())?;
        if !(layer.scale > 0.0 && layer.scale <= 1.0) {
            return Err(Error::value(format!(
                "bound of a masked layer is {}; it must be above 0 and at most 1",
                layer.scale
            )));
        }
        let chosen = |one: Option<usize>, count: usize, what: &str| match one {
            None => Ok(0..count),
            Some(n) if n < count => Ok(n..n + 1),
            Some(n) => Err(Error::value(format!("{what} {n} of a masked layer: there are 0 to {}", count - 1))),
        };
        let lanes = pattern.lanes(lattice);
        let geometry = Geometry { lattice, pattern, lanes: &lanes, width };
        let mut slices = Vec::new();
        for mu in chosen(layer.direction, ndim, "direction")? {
            for class in chosen(layer.class, pattern.classes(ndim), "subset")? {
                slices.push(geometry.slice(&layer.groups, mu, class)?);
            }
        }
        Ok(Self { slices, groups: layer.groups.len(), scale: layer.scale })
    }

    /// c_k and dc_k/dx_k.
    pub fn coefficients(&self, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let all: f64 = self.slices[0].counts.iter().sum();
        let factor = self.scale * FRAC_2_PI / all;
        (x.iter().map(|x| factor * x.atan()).collect(), x.iter().map(|x| factor / (1.0 + x * x)).collect())
    }

    /// sum |c_k| n_k, by which an update brings two links closer to each other.
    pub fn contraction(&self, c: &[f64]) -> f64 {
        c.iter().zip(&self.slices[0].counts).map(|(c, count)| c.abs() * count).sum()
    }
}
