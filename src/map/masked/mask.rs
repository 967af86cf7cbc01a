//! Which links a masked layer updates at once: the links of one direction on every second site, or on one of 2^D sublattices.

use crate::error::{Error, Result};
use crate::lattice::path::direction;
use crate::lattice::{Displacement, Lattice, MAX_DIMENSIONS};
use crate::number::LaneMask;
use serde::{Deserialize, Serialize};

/// How sites fall into classes; a layer updates the sites of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// Even and odd sites.
    Parity,
    /// x_mu mod 2 in every direction (arXiv 2201.01862).
    Sublattices,
}

impl Pattern {
    /// Number of classes.
    pub fn classes(self, ndim: usize) -> usize {
        match self {
            Self::Parity => 2,
            Self::Sublattices => 1 << ndim,
        }
    }

    /// Class of a site, also outside of the lattice.
    pub(super) fn class(self, x: &Displacement) -> usize {
        let bits = x.iter().map(|x| x.rem_euclid(2) as usize);
        match self {
            Self::Parity => bits.sum::<usize>() % 2,
            Self::Sublattices => bits.enumerate().map(|(mu, bit)| bit << mu).sum(),
        }
    }

    /// The class of x + d for x of class `class`.
    pub(super) fn moved(self, class: usize, d: &Displacement) -> usize {
        let corner: Displacement = std::array::from_fn(|mu| (class >> mu & 1) as i32);
        self.class(&std::array::from_fn(|mu| corner[mu] + d[mu]))
    }

    /// Whether a path from x + `start`, x of class `from`, passes no link of direction `mu` on sites of class `class`.
    pub(super) fn is_free(self, path: &[i8], start: Displacement, from: usize, (mu, class): (usize, usize)) -> bool {
        let mut at = start;
        path.iter().all(|&step| {
            let nu = direction(step);
            at[nu] -= i32::from(step < 0);
            let hit = nu == mu && self.moved(from, &at) == class;
            at[nu] += i32::from(step > 0);
            !hit
        })
    }

    /// Refuses extents on which the classes do not close.
    pub fn check(self, extents: &[usize]) -> Result<()> {
        if extents.iter().all(|e| e.is_multiple_of(2)) {
            return Ok(());
        }
        let even: Vec<usize> = extents.iter().map(|e| e + e % 2).collect();
        Err(Error::value(format!(
            "masked layers update every second site in each direction; on {extents:?} an extent is odd: all must be even, as in {even:?}"
        )))
    }

    /// Lanes of every class on every site vector, `[class][site vector]`.
    pub(super) fn lanes(self, lattice: &Lattice) -> Vec<Vec<LaneMask>> {
        let mut masks = vec![vec![0; lattice.vectors()]; self.classes(lattice.ndim())];
        for vector in 0..lattice.vectors() {
            for lane in 0..lattice.lanes() {
                let x = lattice.coordinates(lattice.site(vector, lane) as usize);
                let mut site = [0; MAX_DIMENSIONS];
                site.iter_mut().zip(&x).for_each(|(to, &from)| *to = from as i32);
                masks[self.class(&site)][vector] |= 1 << lane;
            }
        }
        masks
    }
}
