//! Philox4x32-10 counter streams (Salmon et al., SC11): a random number is a function of (seed, purpose, sweep, site, draw).
//!
//! Counter words: `c0` = block (four 32-bit words each), `c1` = site, `c2` = low half of the sweep number,
//! `c3` = purpose (8 bits) and high 24 bits of the sweep number; the key is the 64-bit seed.
//! Nothing depends on threads, lanes or the order in which sites are visited.

use super::philox::{MULTIPLIERS, ROUNDS, WEYL, philox4x32};
use crate::number::{Bits, Real, open_unit};
use rand::TryRng;
use rand::rand_core::utils::fill_bytes_via_next_word;
use std::convert::Infallible;

/// What random numbers are used for; each has streams of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// Hot starts and random gauge transformations.
    Start = 1,
    /// Momenta of molecular dynamics.
    Momenta = 2,
    /// Metropolis decisions.
    Metropolis = 3,
    /// Heatbath updates.
    Heatbath = 4,
    /// Pseudofermion heatbath.
    Pseudofermion = 6,
    /// Stochastic estimators.
    Noise = 7,
    /// Initial weights of networks.
    Weights = 8,
    /// Mini-batches and shuffles.
    Batches = 9,
    /// Gibbs sampling of hidden and visible units.
    Gibbs = 10,
    /// Worm updates.
    Worm = 11,
    /// Spin updates.
    Spins = 12,
}

/// All random numbers of one purpose in one sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    pub(super) key: [u32; 2],
    pub(super) high: [u32; 2],
}

impl Stream {
    /// The stream of `purpose` in sweep `sweep` (below 2^56) of the run with this `seed`.
    pub fn new(seed: u64, purpose: Purpose, sweep: u64) -> Self {
        let high = (purpose as u32) << 24 | ((sweep >> 32) as u32 & 0x00FF_FFFF);
        Self { key: [seed as u32, (seed >> 32) as u32], high: [sweep as u32, high] }
    }

    /// Block `block` of four words at `site`.
    #[inline(always)]
    pub fn block(&self, site: u32, block: u32) -> [u32; 4] {
        philox4x32([block, site, self.high[0], self.high[1]], self.key)
    }

    /// Two uniforms in (0, 1) from block `block` at `site`.
    #[inline(always)]
    pub fn uniforms(&self, site: u32, block: u32) -> [f64; 2] {
        let w = self.block(site, block);
        [open_unit(w[0], w[1]), open_unit(w[2], w[3])]
    }

    /// Two uniforms in (0, 1) for each lane from each of `B` blocks: [`Self::uniforms`] of every lane and its site at once.
    ///
    /// Words are the lower halves of 64-bit integers; the upper halves hold what products left there. Rounds are a chain of
    /// multiplications in which each waits for the last one: two blocks together cost little more than one.
    #[inline(always)]
    pub fn lane_uniforms<R: Real, const B: usize>(&self, sites: R::Bits, first: u32) -> [[R; 2]; B] {
        let splat = |x: u32| R::Bits::splat(u64::from(x));
        let mut words = [[splat(first), sites, splat(self.high[0]), splat(self.high[1])]; B];
        for b in 1..B {
            words[b][0] = splat(first.wrapping_add(b as u32));
        }
        let (multipliers, mut key) = ([splat(MULTIPLIERS[0]), splat(MULTIPLIERS[1])], self.key);
        for _ in 0..ROUNDS {
            for c in &mut words {
                let p = [c[0].mul_low(multipliers[0]), c[2].mul_low(multipliers[1])];
                *c = [p[1].high().xor(c[1]).xor(splat(key[0])), p[1], p[0].high().xor(c[3]).xor(splat(key[1])), p[0]];
            }
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let mut drawn = [[R::zero(); 2]; B];
        for b in 0..B {
            let c = words[b];
            drawn[b] = [R::open_unit(c[0], c[1]), R::open_unit(c[2], c[3])];
        }
        drawn
    }

    /// Two standard normals for each lane from each of `B` blocks (Box-Muller).
    #[inline(always)]
    pub fn normals<R: Real, const B: usize>(&self, sites: R::Bits, first: u32) -> [[R; 2]; B] {
        let mut pairs = self.lane_uniforms::<R, B>(sites, first);
        for pair in &mut pairs {
            let radius = (pair[0].ln() * R::splat(-2.0)).sqrt();
            let (sin, cos) = (pair[1] * R::splat(2.0 * std::f64::consts::PI)).sin_cos();
            *pair = [radius * cos, radius * sin];
        }
        pairs
    }

    /// Standard normals from the blocks 0, 1, ..., two of each.
    #[inline(always)]
    pub fn fill_normals<R: Real>(&self, sites: R::Bits, out: &mut [R]) {
        let pairs = out.len() / 4;
        let (whole, rest) = out.split_at_mut(4 * pairs);
        for (n, part) in whole.chunks_exact_mut(4).enumerate() {
            part.copy_from_slice(self.normals::<R, 2>(sites, 2 * n as u32).as_flattened());
        }
        for (n, part) in rest.chunks_mut(2).enumerate() {
            let [pair] = self.normals::<R, 1>(sites, (2 * pairs + n) as u32);
            part.copy_from_slice(&pair[..part.len()]);
        }
    }

    /// The generator of `site`.
    pub fn site(&self, site: u32) -> SiteRng {
        SiteRng { stream: *self, site, block: 0, words: [0; 4], used: 4 }
    }
}

/// The words of one site, block after block: a generator of `rand`, whose distributions draw from it.
///
/// Sixty-four bits are two words of one block, the first one high; `rand`'s `Open01` of them is [`open_unit`].
#[derive(Debug, Clone)]
pub struct SiteRng {
    stream: Stream,
    site: u32,
    block: u32,
    words: [u32; 4],
    used: u8,
}

impl SiteRng {
    #[inline(always)]
    fn refill(&mut self) {
        self.words = self.stream.block(self.site, self.block);
        self.block = self.block.wrapping_add(1);
        self.used = 0;
    }
}

impl TryRng for SiteRng {
    type Error = Infallible;

    #[inline(always)]
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        if self.used == 4 {
            self.refill();
        }
        self.used += 1;
        Ok(self.words[usize::from(self.used - 1) & 3])
    }

    /// Both words come from the same half of a block; a single word left over before them is skipped.
    #[inline(always)]
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        if self.used > 2 {
            self.refill();
        }
        let [high, low] = if self.used == 0 { [self.words[0], self.words[1]] } else { [self.words[2], self.words[3]] };
        self.used = if self.used == 0 { 2 } else { 4 };
        Ok(u64::from(high) << 32 | u64::from(low))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        fill_bytes_via_next_word(bytes, || self.try_next_u32())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::distr::Open01;
    use rand::seq::SliceRandom;
    use rand::{Rng, RngExt};
    use rand_distr::StandardNormal;

    /// Known answers of Random123 1.14 (kat_vectors, philox4x32 10) as words, pairs of words and bytes of a generator.
    #[test]
    fn a_site_gives_the_words_of_its_blocks() {
        let stream = Stream { key: [0; 2], high: [0; 2] };
        let first = [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8];
        let mut rng = stream.site(0);
        assert_eq!([(); 4].map(|()| rng.next_u32()), first);
        let mut rng = stream.site(0);
        assert_eq!([rng.next_u64(), rng.next_u64()], [0x6627_e8d5_e169_c58d, 0xbc57_ac4c_9b00_dbd8]);
        assert_eq!(rng.next_u32(), stream.block(0, 1)[0]);
        assert_eq!(rng.next_u64(), u64::from(stream.block(0, 1)[2]) << 32 | u64::from(stream.block(0, 1)[3]));
        let mut bytes = [0; 10];
        stream.site(0).fill_bytes(&mut bytes);
        let all: Vec<u8> = first.iter().flat_map(|w: &u32| w.to_le_bytes()).collect();
        assert_eq!(bytes, all[..10]);
    }

    /// `Open01` of the generator, [`Stream::uniforms`] and therefore the lanes are the same numbers.
    #[test]
    fn open01_draws_what_lanes_draw() {
        let stream = Stream::new(5, Purpose::Spins, 9);
        let mut rng = stream.site(3);
        for block in 0..10 {
            assert_eq!([(); 2].map(|()| rng.sample::<f64, _>(Open01)), stream.uniforms(3, block));
        }
    }

    /// All 24 orders of four things are equally likely: chi^2 with 23 degrees of freedom.
    #[test]
    fn shuffles_are_uniform() {
        let stream = Stream::new(1, Purpose::Batches, 0);
        let mut counts = std::collections::HashMap::new();
        let n = 48_000;
        for site in 0..n {
            let mut order = [0u8, 1, 2, 3];
            order.shuffle(&mut stream.site(site));
            *counts.entry(order).or_insert(0) += 1;
        }
        let expected = f64::from(n) / 24.0;
        let chi2: f64 = counts.values().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum();
        assert!(counts.len() == 24 && chi2 < 23.0 + 4.0 * 46f64.sqrt(), "chi^2 = {chi2}");
    }

    /// Lanes of one type at different sites.
    fn drawn<R: Real>() {
        let stream = Stream::new(u64::MAX - 5, Purpose::Heatbath, (1 << 40) + 3);
        for (first, block) in [(0, 12), (77, u32::MAX), (u32::MAX - 15, 0)] {
            let drawn = stream.lane_uniforms::<R, 2>(R::Bits::from_lanes(|lane| u64::from(first + lane as u32)), block);
            for (lane, b) in (0..R::LANES).flat_map(|lane| [(lane, 0), (lane, 1)]) {
                let uniforms = stream.uniforms(first + lane as u32, block.wrapping_add(b as u32));
                let expected = uniforms.map(|x| R::splat(x).lane(0));
                let found = drawn[b].map(|x| x.lane(lane));
                assert_eq!(found, expected, "lane {lane}, block {b} of {}", std::any::type_name::<R>());
            }
        }
    }

    #[test]
    fn lanes_draw_what_sites_draw() {
        drawn::<f64>();
        drawn::<f32>();
        drawn::<crate::number::Dual<f64>>();
        #[cfg(target_arch = "x86_64")]
        {
            use crate::number::{F32x8Avx2, F32x16Avx512, F64x4Avx2, F64x8Avx512, Isa};
            if Isa::supported() >= Isa::Avx2 {
                drawn::<F64x4Avx2>();
                drawn::<F32x8Avx2>();
            }
            if Isa::supported() >= Isa::Avx512 {
                drawn::<F64x8Avx512>();
                drawn::<F32x16Avx512>();
            }
        }
    }

    #[test]
    fn uniforms_are_open_and_symmetric() {
        assert_eq!(open_unit(0, 0), 0.5f64.powi(53));
        assert_eq!(open_unit(u32::MAX, u32::MAX), 1.0 - 0.5f64.powi(53));
        assert_eq!(open_unit(1 << 31, 0), 0.5 + 0.5f64.powi(53));
    }

    #[test]
    fn moments_of_uniform_and_normal() {
        let stream = Stream::new(7, Purpose::Noise, 3);
        let n = 200_000;
        let (mut u1, mut u2, mut z1, mut z2, mut z4) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for site in 0..n {
            let mut rng = stream.site(site);
            let (u, z): (f64, f64) = (rng.sample(Open01), rng.sample(StandardNormal));
            assert!(u > 0.0 && u < 1.0);
            u1 += u;
            u2 += u * u;
            z1 += z;
            z2 += z * z;
            z4 += z * z * z * z;
        }
        let n = f64::from(n);
        let within = |value: f64, mean: f64, variance: f64| ((value / n - mean) / (variance / n).sqrt()).abs() < 4.0;
        assert!(within(u1, 0.5, 1.0 / 12.0) && within(u2, 1.0 / 3.0, 4.0 / 45.0));
        assert!(within(z1, 0.0, 1.0) && within(z2, 1.0, 2.0) && within(z4, 3.0, 96.0));
    }
}
