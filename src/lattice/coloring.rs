//! Colourings of a lattice: sites of one colour can be updated together because no displacement of a given set joins them.

use crate::lattice::{Displacement, Lattice, MAX_DIMENSIONS};
use crate::number::LaneMask;
use std::collections::HashSet;

const MAX_MODULUS: usize = 12;

/// For each colour the lanes of every site vector that carry it.
#[derive(Debug, Clone)]
pub struct Coloring {
    /// `[colour][site vector]`.
    pub masks: Vec<Vec<LaneMask>>,
}

impl Coloring {
    /// A colouring in which x and x + d never share a colour, for every d in `conflicts` (taken modulo the extents).
    ///
    /// Linear colourings c(x) = a.x mod m with the smallest m are tried first, then the sites are coloured greedily.
    pub fn new(lattice: &Lattice, conflicts: &HashSet<Displacement>) -> Self {
        let mut colors: Vec<usize> = match linear(lattice.extents(), conflicts) {
            Some((a, m)) => (0..lattice.volume()).map(|site| dot(&a, &lattice.coordinates(site)) % m).collect(),
            None => greedy(lattice, conflicts),
        };
        colors.shrink_to_fit();
        let count = colors.iter().max().map_or(0, |c| c + 1);
        let mut masks = vec![vec![0; lattice.vectors()]; count];
        for vector in 0..lattice.vectors() {
            for lane in 0..lattice.lanes() {
                masks[colors[lattice.site(vector, lane) as usize]][vector] |= 1 << lane;
            }
        }
        Self { masks }
    }
}

fn dot(a: &[usize], x: &[usize]) -> usize {
    a.iter().zip(x).map(|(a, x)| a * x).sum()
}

/// The smallest modulus with coefficients that respect the periodicity and separate every conflict.
fn linear(extents: &[usize], conflicts: &HashSet<Displacement>) -> Option<(Vec<usize>, usize)> {
    for m in 1..=MAX_MODULUS {
        for code in 0..m.pow(extents.len() as u32) {
            let a: Vec<usize> = (0..extents.len() as u32).map(|mu| code / m.pow(mu) % m).collect();
            let periodic = a.iter().zip(extents).all(|(a, extent)| (a * extent).is_multiple_of(m));
            if periodic && conflicts.iter().all(|d| !dot(&a, &d.map(|d| d as usize)).is_multiple_of(m)) {
                return Some((a, m));
            }
        }
    }
    None
}

fn greedy(lattice: &Lattice, conflicts: &HashSet<Displacement>) -> Vec<usize> {
    let extents = lattice.extents();
    let displacements: Vec<[usize; MAX_DIMENSIONS]> = conflicts.iter().map(|d| d.map(|d| d as usize)).collect();
    let neighbour = |x: &[usize], d: &[usize], sign: bool| {
        x.iter()
            .zip(d)
            .zip(extents)
            .fold(0, |index, ((x, d), extent)| index * extent + if sign { x + d } else { x + extent - d } % extent)
    };
    let mut colors = vec![usize::MAX; lattice.volume()];
    for site in 0..lattice.volume() {
        let x = lattice.coordinates(site);
        let taken: HashSet<usize> = displacements
            .iter()
            .flat_map(|d| [colors[neighbour(&x, d, true)], colors[neighbour(&x, d, false)]])
            .collect();
        colors[site] = (0..).find(|c| !taken.contains(c)).unwrap_or(0);
    }
    colors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lattice::path;

    #[test]
    fn no_two_links_of_a_colour_share_a_loop() {
        for extents in [&[4, 4, 4, 4][..], &[6, 6, 6, 6], &[3, 5], &[4, 6, 3], &[8, 8], &[5, 4, 4]] {
            for name in ["plaquette", "rectangle", "chair", "polyakov"] {
                let Ok(loops) = path::family(name, extents) else { continue };
                for lanes in [1, 8] {
                    let Ok(lattice) = Lattice::new(extents, lanes) else { continue };
                    for mu in 0..extents.len() {
                        let conflicts = path::conflicts(&loops, mu, extents);
                        if conflicts.contains(&[0; MAX_DIMENSIONS]) {
                            continue;
                        }
                        let coloring = Coloring::new(&lattice, &conflicts);
                        check(&lattice, &coloring, &conflicts);
                    }
                }
            }
        }
    }

    fn check(lattice: &Lattice, coloring: &Coloring, conflicts: &HashSet<Displacement>) {
        let mut color = vec![None; lattice.volume()];
        for (c, masks) in coloring.masks.iter().enumerate() {
            for (vector, mask) in masks.iter().enumerate() {
                for lane in (0..lattice.lanes()).filter(|lane| mask >> lane & 1 == 1) {
                    assert_eq!(color[lattice.site(vector, lane) as usize].replace(c), None);
                }
            }
        }
        for d in conflicts {
            let shift = lattice.shift(*d);
            for vector in 0..lattice.vectors() {
                for lane in 0..lattice.lanes() {
                    let source = lattice.permutation(shift[vector].permutation()).source(lane);
                    let to = lattice.site(shift[vector].site(), source) as usize;
                    assert_ne!(color[lattice.site(vector, lane) as usize], color[to], "{d:?}");
                }
            }
        }
        assert!(color.iter().all(Option::is_some));
    }

    #[test]
    fn plaquette_on_even_extents_is_a_checkerboard() {
        let loops = path::family("plaquette", &[4; 4]).unwrap();
        let lattice = Lattice::new(&[4; 4], 1).unwrap();
        assert_eq!(Coloring::new(&lattice, &path::conflicts(&loops, 1, &[4; 4])).masks.len(), 2);
    }
}
