//! Periodic lattices of 1 to 4 dimensions, cut into blocks so that lane k of a site vector is the same local site of block k.
//!
//! Direction mu = axis mu, the last axis is time, sites are counted in C order. With W lanes the lattice is cut into W equal
//! blocks, halving the last directions first; a displacement maps a site vector to one other site vector and moves lanes by a
//! fixed permutation, which is the identity except for steps across a block face. With one lane there is one block.
//!
//! Flat vectors have an order of their own: sites of even coordinate sum first, where all lanes of a site vector agree about it.
//! They agree where the blocks are an even number of sites apart (4, 8, 12, 16 ... sites to a side); elsewhere the order is that
//! of the lattice, and only vectors on all sites exist.

use crate::error::{Error, Result};
use crate::number::{Bits, MAX_LANES, Permutation, Real};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, Weak};

/// Most dimensions a lattice can have.
pub const MAX_DIMENSIONS: usize = 4;
/// Site numbers are 32-bit, and a neighbour entry keeps 4 bits for the permutation.
const MAX_SITES: usize = 1 << 28;
const PERMUTATION_BITS: u32 = 4;

/// A displacement in units of the lattice spacing.
pub type Displacement = [i32; MAX_DIMENSIONS];

/// Where a displaced site vector lives: site vector and lane permutation packed in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbor(u32);

impl Neighbor {
    fn new(site: usize, permutation: usize) -> Self {
        Self((site << PERMUTATION_BITS | permutation) as u32)
    }
    /// Number of the site vector.
    #[inline(always)]
    pub fn site(self) -> usize {
        (self.0 >> PERMUTATION_BITS) as usize
    }
    /// Number of the lane permutation; 0 is the identity.
    #[inline(always)]
    pub fn permutation(self) -> usize {
        (self.0 & ((1 << PERMUTATION_BITS) - 1)) as usize
    }
}

/// The neighbours of all site vectors under one displacement.
pub type Shift = Arc<[Neighbor]>;

/// A periodic lattice with its block layout.
#[derive(Debug)]
pub struct Lattice {
    extents: Vec<usize>,
    blocks: Vec<usize>,
    local: Vec<usize>,
    lanes: usize,
    first: Vec<u32>,
    lane_offset: [u32; MAX_LANES],
    permutations: Vec<Permutation>,
    shifts: Mutex<HashMap<Displacement, Shift>>,
    order: OnceLock<SiteOrder>,
}

/// Checks extents before any memory is taken; returns the number of sites.
pub fn check_extents(extents: &[usize]) -> Result<usize> {
    if extents.is_empty() || extents.len() > MAX_DIMENSIONS {
        return Err(Error::value(format!("shape {extents:?} has {} dimensions; allowed are 1 to 4", extents.len())));
    }
    if let Some(extent) = extents.iter().find(|&&e| e < 2) {
        return Err(Error::value(format!("shape {extents:?} has an extent {extent}; every extent must be at least 2")));
    }
    let sites = extents.iter().try_fold(1usize, |v, &e| v.checked_mul(e).filter(|&v| v < MAX_SITES));
    sites.ok_or_else(|| Error::value(format!("shape {extents:?} has too many sites; at most {} fit", MAX_SITES - 1)))
}

impl Lattice {
    /// The lattice cut into `lanes` blocks; an error if the extents do not allow it (`lanes` = 1 always fits).
    ///
    /// Lattices in use are shared, so that their neighbour tables are made once.
    pub fn new(extents: &[usize], lanes: usize) -> Result<Arc<Self>> {
        static IN_USE: Mutex<Vec<Weak<Lattice>>> = Mutex::new(Vec::new());
        check_extents(extents)?;
        let mut in_use = IN_USE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        in_use.retain(|lattice| lattice.strong_count() > 0);
        let same = |lattice: &Arc<Self>| lattice.extents == extents && lattice.lanes == lanes;
        if let Some(lattice) = in_use.iter().filter_map(Weak::upgrade).find(same) {
            return Ok(lattice);
        }
        let lattice = Arc::new(Self::build(extents, lanes)?);
        in_use.push(Arc::downgrade(&lattice));
        Ok(lattice)
    }

    fn build(extents: &[usize], lanes: usize) -> Result<Self> {
        let blocks = Self::cut(extents, lanes)
            .ok_or_else(|| Error::value(format!("shape {extents:?} cannot be cut into {lanes} equal blocks")))?;
        let local: Vec<usize> = extents.iter().zip(&blocks).map(|(e, b)| e / b).collect();
        let mut lattice = Self {
            extents: extents.to_vec(),
            local,
            lanes,
            first: Vec::new(),
            lane_offset: [0; MAX_LANES],
            permutations: Vec::new(),
            shifts: Mutex::default(),
            order: OnceLock::new(),
            blocks,
        };
        lattice.first = (0..lattice.vectors()).map(|s| lattice.global(&decode(s, &lattice.local))).collect();
        for lane in 0..lanes {
            let corner: Vec<usize> =
                decode(lane, &lattice.blocks).iter().zip(&lattice.local).map(|(b, l)| b * l).collect();
            lattice.lane_offset[lane] = lattice.global(&corner);
        }
        lattice.permutations = (0..lanes).map(|shift| lattice.lane_permutation(shift)).collect();
        Ok(lattice)
    }

    /// How many blocks each direction is cut into for `lanes` lanes, halving the last directions first.
    pub fn cut(extents: &[usize], lanes: usize) -> Option<Vec<usize>> {
        let mut blocks = vec![1; extents.len()];
        let mut left = lanes;
        while left > 1 {
            let before = left;
            for mu in (0..extents.len()).rev() {
                if left > 1 && (extents[mu] / blocks[mu]).is_multiple_of(2) {
                    blocks[mu] *= 2;
                    left /= 2;
                }
            }
            if left == before {
                return None;
            }
        }
        Some(blocks)
    }

    /// Extents, time last.
    pub fn extents(&self) -> &[usize] {
        &self.extents
    }
    /// Number of dimensions.
    pub fn ndim(&self) -> usize {
        self.extents.len()
    }
    /// Number of sites.
    pub fn volume(&self) -> usize {
        self.extents.iter().product()
    }
    /// Number of lanes, which is the number of blocks.
    pub fn lanes(&self) -> usize {
        self.lanes
    }
    /// Number of site vectors, `volume / lanes`.
    pub fn vectors(&self) -> usize {
        self.local.iter().product()
    }
    /// Number in C order of the site in lane `lane` of vector `vector`.
    #[inline(always)]
    pub fn site(&self, vector: usize, lane: usize) -> u32 {
        self.first[vector] + self.lane_offset[lane]
    }
    /// Those of all lanes.
    #[inline(always)]
    pub fn sites<R: Real>(&self, vector: usize) -> R::Bits {
        R::Bits::from_lanes(|lane| u64::from(self.site(vector, lane)))
    }
    /// Numbers of the links of these sites in direction `mu`, those of a site one after the other.
    #[inline(always)]
    pub fn links<R: Real>(&self, vector: usize, mu: usize) -> R::Bits {
        let ndim = self.ndim() as u32;
        R::Bits::from_lanes(|lane| u64::from(self.site(vector, lane) * ndim + mu as u32))
    }
    /// Coordinates of site number `site`.
    pub fn coordinates(&self, site: usize) -> Vec<usize> {
        decode(site, &self.extents)
    }
    /// Lane permutation `index`.
    #[inline(always)]
    pub fn permutation(&self, index: usize) -> &Permutation {
        &self.permutations[index]
    }

    /// The order of site vectors in flat vectors; computed once and kept.
    pub fn order(&self) -> &SiteOrder {
        self.order.get_or_init(|| SiteOrder::new(self))
    }

    /// Neighbours under a displacement; computed once and kept.
    pub fn shift(&self, displacement: Displacement) -> Shift {
        let mut shifts = self.shifts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        shifts.entry(displacement).or_insert_with(|| self.compute_shift(&displacement)).clone()
    }

    /// Neighbours `length` sites further along every direction.
    pub fn steps(&self, length: i32) -> Vec<Shift> {
        let along = |mu: usize| self.shift(std::array::from_fn(|k| if k == mu { length } else { 0 }));
        (0..self.ndim()).map(along).collect()
    }

    fn compute_shift(&self, displacement: &Displacement) -> Shift {
        let entry = |vector: usize| {
            let (mut site, mut blocks) = (decode(vector, &self.local), vec![0; self.ndim()]);
            for mu in 0..self.ndim() {
                let target = site[mu] as i64 + i64::from(displacement[mu]);
                let target = target.rem_euclid(self.extents[mu] as i64) as usize;
                (site[mu], blocks[mu]) = (target % self.local[mu], target / self.local[mu]);
            }
            Neighbor::new(encode(&site, &self.local), encode(&blocks, &self.blocks))
        };
        (0..self.vectors()).map(entry).collect()
    }

    /// Lane k receives the lane whose block lies `shift` blocks further.
    fn lane_permutation(&self, shift: usize) -> Permutation {
        let shift = decode(shift, &self.blocks);
        Permutation::new(self.lanes, |lane| {
            let block = decode(lane, &self.blocks);
            let moved: Vec<usize> = (0..self.ndim()).map(|mu| (block[mu] + shift[mu]) % self.blocks[mu]).collect();
            encode(&moved, &self.blocks)
        })
    }

    fn global(&self, coordinates: &[usize]) -> u32 {
        encode(coordinates, &self.extents) as u32
    }
}

/// Which sites a vector lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sites {
    /// All sites.
    All,
    /// Sites whose coordinates sum to an even number.
    Even,
    /// The others.
    Odd,
}

impl Sites {
    /// The sites that are one step away.
    pub fn other(self) -> Self {
        match self {
            Self::All => Self::All,
            Self::Even => Self::Odd,
            Self::Odd => Self::Even,
        }
    }
}

/// Position of every site vector, and back.
#[derive(Debug)]
pub struct SiteOrder {
    vectors: Vec<u32>,
    positions: Vec<u32>,
    halves: bool,
}

impl SiteOrder {
    fn new(lattice: &Lattice) -> Self {
        let parity = |site: u32| lattice.coordinates(site as usize).iter().sum::<usize>() % 2;
        let of_vector = |vector: usize| {
            let first = parity(lattice.site(vector, 0));
            (1..lattice.lanes()).all(|lane| parity(lattice.site(vector, lane)) == first).then_some(first)
        };
        let parities: Option<Vec<usize>> = (0..lattice.vectors()).map(of_vector).collect();
        let bipartite = lattice.extents().iter().all(|extent| extent.is_multiple_of(2));
        let mut vectors: Vec<u32> = (0..lattice.vectors() as u32).collect();
        let halves = bipartite && parities.is_some();
        if let Some(parities) = parities.filter(|_| bipartite) {
            vectors.sort_by_key(|&vector| parities[vector as usize]);
        }
        let mut positions = vec![0; vectors.len()];
        for (position, &vector) in vectors.iter().enumerate() {
            positions[vector as usize] = position as u32;
        }
        Self { vectors, positions, halves }
    }

    /// The site vector at a position.
    #[inline(always)]
    pub fn vector(&self, position: usize) -> usize {
        self.vectors[position] as usize
    }
    /// The position of a site vector.
    #[inline(always)]
    pub fn position(&self, vector: usize) -> usize {
        self.positions[vector] as usize
    }
    /// Whether even sites come first, in one half of the positions.
    pub fn has_halves(&self) -> bool {
        self.halves
    }
    /// First position and number of positions of some sites.
    pub fn range(&self, sites: Sites) -> Result<(usize, usize)> {
        let all = self.vectors.len();
        match sites {
            Sites::All => Ok((0, all)),
            _ if !self.halves => Err(Error::value("even and odd sites share site vectors on this lattice")),
            Sites::Even => Ok((0, all / 2)),
            Sites::Odd => Ok((all / 2, all / 2)),
        }
    }
    /// The neighbours of all positions under a displacement, as positions.
    pub fn shift(&self, lattice: &Lattice, displacement: Displacement) -> Vec<Neighbor> {
        let shift = lattice.shift(displacement);
        let moved = |&vector: &u32| {
            let to = shift[vector as usize];
            Neighbor::new(self.positions[to.site()] as usize, to.permutation())
        };
        self.vectors.iter().map(moved).collect()
    }
}

/// Coordinates in C order.
fn decode(mut index: usize, extents: &[usize]) -> Vec<usize> {
    let mut x = vec![0; extents.len()];
    for mu in (0..extents.len()).rev() {
        x[mu] = index % extents[mu];
        index /= extents[mu];
    }
    x
}

fn encode(x: &[usize], extents: &[usize]) -> usize {
    x.iter().zip(extents).fold(0, |index, (x, extent)| index * extent + x)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: [&[usize]; 9] =
        [&[16], &[6], &[8, 8], &[4, 6], &[5, 3], &[4, 6, 2], &[4, 4, 2, 2], &[6, 6, 6, 6], &[3, 4, 4, 8]];

    fn displaced(lattice: &Lattice, site: usize, d: &Displacement) -> usize {
        let x = lattice.coordinates(site);
        let wrap = |mu: usize| (x[mu] as i64 + i64::from(d[mu])).rem_euclid(lattice.extents[mu] as i64) as usize;
        encode(&(0..x.len()).map(wrap).collect::<Vec<_>>(), &lattice.extents)
    }

    #[test]
    fn every_displacement_reaches_the_right_site_in_every_lane() {
        for extents in SHAPES {
            for lanes in [1, 2, 4, 8, 16] {
                let Ok(lattice) = Lattice::new(extents, lanes) else { continue };
                for d in [[1, 0, 0, 0], [-1, 2, -1, 1], [0, -1, 0, 3], [5, 0, 0, -7]] {
                    let shift = lattice.shift(d);
                    for vector in 0..lattice.vectors() {
                        let to = shift[vector];
                        for lane in 0..lanes {
                            let source = lattice.permutation(to.permutation()).source(lane);
                            let reached = lattice.site(to.site(), source) as usize;
                            assert_eq!(reached, displaced(&lattice, lattice.site(vector, lane) as usize, &d));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn sites_are_counted_once() {
        for extents in SHAPES {
            for lanes in [1, 8] {
                let Ok(lattice) = Lattice::new(extents, lanes) else { continue };
                let mut seen = vec![false; lattice.volume()];
                for vector in 0..lattice.vectors() {
                    for lane in 0..lanes {
                        assert!(!std::mem::replace(&mut seen[lattice.site(vector, lane) as usize], true));
                    }
                }
                assert!(seen.into_iter().all(|s| s));
            }
        }
    }

    #[test]
    fn blocks_halve_the_last_directions_first() {
        assert_eq!(Lattice::cut(&[8, 8, 8, 8], 8), Some(vec![1, 2, 2, 2]));
        assert_eq!(Lattice::cut(&[64, 64], 8), Some(vec![2, 4]));
        assert_eq!(Lattice::cut(&[3, 3, 3, 8], 8), Some(vec![1, 1, 1, 8]));
        assert_eq!(Lattice::cut(&[5, 7], 8), None);
    }

    #[test]
    fn impossible_extents_are_refused_before_memory_is_taken() {
        for extents in
            [&[][..], &[4, 1], &[0, 4], &[4, 4, 4, 4, 4], &[1 << 40, 4], &[1_000_000_000; 4], &[usize::MAX; 2]]
        {
            assert!(matches!(Lattice::new(extents, 1), Err(Error::Value(_))), "{extents:?}");
        }
    }
}
