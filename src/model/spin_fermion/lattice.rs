//! The periodic square lattice of unit spins: shells of equivalent displacements and sums over them.
//!
//! A displacement (dx, dy) belongs to shell (a, b), a >= b, of its smallest periodic image up to reflections and
//! rotation by 90 degrees. Every site is counted once in its shell, also where two images coincide: (3, 3) is one site on
//! 6x6 and four on 12x12. Shell sums that were learned on one lattice carry the ratio of these numbers to another one.

use crate::error::{Error, Result};
use crate::random::{Purpose, Stream};
use rand::{Rng, RngExt};
use rand_distr::UnitSphere;
use std::collections::BTreeMap;

pub use crate::spins::{Spin, add_scaled, dot};

/// Largest error of a length that is corrected; spins in single precision are within 2e-7.
const LENGTH_TOLERANCE: f64 = 1e-6;
/// Spins this close to unit length keep their bits, so that chains continue from what they returned.
const ROUNDING: f64 = 1e-14;

/// A displacement class, written as its representative (a, b) with a >= b >= 0.
pub type Shell = (usize, usize);

/// Extents of the periodic lattice; site (x, y) has index `x * extents[1] + y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpinLattice {
    /// Number of sites along x and y.
    pub extents: [usize; 2],
}

impl SpinLattice {
    /// A lattice with extents of at least 1 and at most 2^20 sites.
    pub fn new(extents: [usize; 2]) -> Result<Self> {
        match extents[0].checked_mul(extents[1]) {
            Some(1..=0x10_0000) => Ok(Self { extents }),
            _ => Err(Error::value(format!("shape {extents:?}: give two extents >= 1 with at most 2^20 sites"))),
        }
    }

    /// Number of sites.
    pub fn sites(&self) -> usize {
        self.extents[0] * self.extents[1]
    }

    fn class(&self, dx: usize, dy: usize) -> Shell {
        let (a, b) = (dx.min(self.extents[0] - dx), dy.min(self.extents[1] - dy));
        (a.max(b), a.min(b))
    }

    /// Displacements by shell, nearest first (ties: smaller first component first), without the origin.
    fn by_shell(&self) -> BTreeMap<(usize, Shell), Vec<(usize, usize)>> {
        let mut shells: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for dx in 0..self.extents[0] {
            for dy in 0..self.extents[1] {
                let (a, b) = self.class(dx, dy);
                if a > 0 {
                    shells.entry((a * a + b * b, (a, b))).or_default().push((dx, dy));
                }
            }
        }
        shells
    }

    /// All shells that exist here, nearest first.
    pub fn all_shells(&self) -> Vec<Shell> {
        self.by_shell().keys().map(|key| key.1).collect()
    }

    /// Reads the `[x][y][3]` numbers of unit spins. A length that is off by at most 1e-6 (single precision) is made 1; more
    /// is refused.
    pub fn spins(&self, values: &[f64]) -> Result<Vec<Spin>> {
        if values.len() != 3 * self.sites() {
            let [x, y] = self.extents;
            return Err(Error::value(format!(
                "spins with {} numbers; a {x}x{y} lattice needs [{x}, {y}, 3]",
                values.len()
            )));
        }
        values.chunks_exact(3).enumerate().map(|(site, s)| self.spin(site, [s[0], s[1], s[2], 0.0])).collect()
    }

    fn spin(&self, site: usize, s: Spin) -> Result<Spin> {
        let length = dot(&s, &s).sqrt();
        let off = (length - 1.0).abs();
        if off <= ROUNDING {
            return Ok(s);
        }
        if off <= LENGTH_TOLERANCE {
            return Ok(s.map(|x| x / length));
        }
        let at = (site / self.extents[1], site % self.extents[1]);
        let remedy = "spins are unit vectors to 1e-6: divide by np.linalg.norm(S, axis=-1, keepdims=True)";
        Err(Error::value(format!("spin at {at:?} has length {length}; {remedy}")))
    }
}

/// f of every component (`map` of arrays is not always inlined, and kernels must be).
#[inline(always)]
pub fn each<T: Copy, const N: usize>(mut values: [T; N], f: impl Fn(T) -> T) -> [T; N] {
    for value in &mut values {
        *value = f(*value);
    }
    values
}

/// A uniform point on the sphere.
pub fn uniform_direction(rng: &mut impl Rng) -> Spin {
    let [x, y, z] = rng.sample(UnitSphere);
    [x, y, z, 0.0]
}

/// Independent uniform spins, number `draw` of the run with this seed.
pub fn random_spins(lattice: SpinLattice, seed: u64, draw: u64) -> Vec<Spin> {
    let stream = Stream::new(seed, Purpose::Start, draw);
    (0..lattice.sites()).map(|site| uniform_direction(&mut stream.site(site as u32))).collect()
}

/// Back to `[x][y][3]` numbers.
pub fn flatten(spins: &[Spin]) -> Vec<f64> {
    spins.iter().flat_map(|s| [s[0], s[1], s[2]]).collect()
}

/// Neighbour table of chosen shells.
#[derive(Debug, Clone, PartialEq)]
pub struct Shells {
    lattice: SpinLattice,
    list: Vec<Shell>,
    /// `ends[n]`: end of shell `n` in the slots of a site; the same on every site.
    ends: Vec<usize>,
    /// What the sum over shell `n` is multiplied with.
    factors: Vec<f64>,
    /// `[site][slot]`
    neighbours: Vec<u32>,
}

impl Shells {
    /// The table of `list` on `lattice`.
    pub fn new(lattice: SpinLattice, list: &[Shell]) -> Result<Self> {
        let all = lattice.by_shell();
        let mut displacements: Vec<(usize, usize)> = Vec::new();
        let mut ends = Vec::new();
        for (n, &(a, b)) in list.iter().enumerate() {
            let Some(found) = all.get(&(a * a + b * b, (a, b))) else {
                let [x, y] = lattice.extents;
                let known = lattice.all_shells();
                return Err(Error::value(format!(
                    "shell ({a}, {b}) does not exist on a {x}x{y} lattice; it has {known:?}"
                )));
            };
            if list[..n].contains(&(a, b)) {
                return Err(Error::value(format!("shell ({a}, {b}) is given twice; name every shell once")));
            }
            displacements.extend(found);
            ends.push(displacements.len());
        }
        let [lx, ly] = lattice.extents;
        let site = |x: usize, y: usize| (x % lx * ly + y % ly) as u32;
        let mut neighbours = Vec::with_capacity(lattice.sites() * displacements.len());
        for x in 0..lx {
            for y in 0..ly {
                neighbours.extend(displacements.iter().map(|d| site(x + d.0, y + d.1)));
            }
        }
        Ok(Self { lattice, list: list.to_vec(), factors: vec![1.0; ends.len()], ends, neighbours })
    }

    /// The table of `list` on `lattice`, sums multiplied so that a configuration of `reference`, repeated periodically, has
    /// the same sums here and there.
    pub fn learned_on(reference: SpinLattice, lattice: SpinLattice, list: &[Shell]) -> Result<Self> {
        let (there, mut here) = (Self::new(reference, list)?, Self::new(lattice, list)?);
        here.factors = (0..here.len()).map(|n| there.size(n) as f64 / here.size(n) as f64).collect();
        Ok(here)
    }

    /// What the sum over shell `n` is multiplied with: 1 on the lattice where it was learned.
    pub fn factor(&self, n: usize) -> f64 {
        self.factors[n]
    }

    /// Number of sites in shell `n` of a site.
    pub fn size(&self, n: usize) -> usize {
        self.slots(n).len()
    }

    /// The lattice.
    pub fn lattice(&self) -> SpinLattice {
        self.lattice
    }

    /// Representatives of the shells.
    pub fn list(&self) -> &[Shell] {
        &self.list
    }

    /// Number of shells.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is no shell.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Neighbours of `site`, shell after shell.
    #[inline(always)]
    pub fn of(&self, site: usize) -> &[u32] {
        let slots = self.ends.last().copied().unwrap_or(0);
        &self.neighbours[site * slots..(site + 1) * slots]
    }

    /// `start..end` of shell `n` in [`Shells::of`].
    #[inline(always)]
    pub fn slots(&self, n: usize) -> std::ops::Range<usize> {
        (if n == 0 { 0 } else { self.ends[n - 1] })..self.ends[n]
    }

    /// `sum_{j in shell n of i} spins[j]`, times the factor of the shell.
    #[inline(always)]
    pub fn sum(&self, n: usize, spins: &[Spin], i: usize) -> Spin {
        self.sum_over(n, &self.of(i)[self.slots(n)], spins)
    }

    #[inline(always)]
    fn sum_over(&self, n: usize, neighbours: &[u32], spins: &[Spin]) -> Spin {
        let mut sum = [0.0; 4];
        for &j in neighbours {
            add_scaled(&mut sum, 1.0, &spins[j as usize]);
        }
        let factor = self.factors[n];
        sum.map(|x| factor * x)
    }

    /// `out[n * sites + i]`: [`Shells::sum`] of every shell and site.
    #[inline(always)]
    pub fn sums(&self, spins: &[Spin], out: &mut [Spin]) {
        let sites = self.lattice.sites();
        for i in 0..sites {
            let around = self.of(i);
            for n in 0..self.len() {
                out[n * sites + i] = self.sum_over(n, &around[self.slots(n)], spins);
            }
        }
    }

    /// Adjoint of [`Shells::sums`]: `spins[j] += sum_n factor_n sum_{i in shell n of j} cotangents[n * sites + i]`.
    #[inline(always)]
    pub fn sums_pullback(&self, cotangents: &[Spin], spins: &mut [Spin]) {
        let sites = self.lattice.sites();
        for j in 0..sites {
            let around = self.of(j);
            let mut sum = spins[j];
            for n in 0..self.len() {
                let factor = self.factors[n];
                for &i in &around[self.slots(n)] {
                    add_scaled(&mut sum, factor, &cotangents[n * sites + i as usize]);
                }
            }
            spins[j] = sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_by_six_has_nine_shells_that_cover_all_pairs() {
        let lattice = SpinLattice::new([6, 6]).unwrap();
        let all = lattice.all_shells();
        assert_eq!(all, [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 2), (3, 3)]);
        let shells = Shells::new(lattice, &all).unwrap();
        let sizes: Vec<_> = (0..9).map(|n| shells.slots(n).len()).collect();
        assert_eq!(sizes, [4, 4, 4, 8, 4, 2, 4, 4, 1]);
        for site in 0..36 {
            let mut seen: Vec<_> = shells.of(site).to_vec();
            seen.sort_unstable();
            assert_eq!(seen, (0..36).filter(|&j| j != site as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn wrong_shells_and_spins_are_named() {
        let lattice = SpinLattice::new([4, 4]).unwrap();
        assert!(Shells::new(lattice, &[(3, 0)]).unwrap_err().to_string().contains("(3, 0)"));
        assert!(Shells::new(lattice, &[(1, 0), (1, 0)]).unwrap_err().to_string().contains("twice"));
        assert!(SpinLattice::new([0, 4]).is_err() && SpinLattice::new([usize::MAX, 2]).is_err());
        let mut spins = [1.0, 0.0, 0.0].repeat(16);
        assert!(lattice.spins(&spins).is_ok());
        spins[3] = 1.0 + 9e-7;
        assert!(lattice.spins(&spins).is_ok_and(|s| s[1] == s[0]));
        spins[3] = 1.0 + 2e-6;
        assert!(lattice.spins(&spins).is_err());
        spins[3] = 1.0;
        spins[4] = 0.5;
        assert!(lattice.spins(&spins).unwrap_err().to_string().contains("(0, 1)"));
        spins[4] = f64::NAN;
        assert!(lattice.spins(&spins).is_err() && lattice.spins(&spins[3..]).is_err());
    }
}
