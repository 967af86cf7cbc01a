//! Philox4x32-10 counter streams (Salmon et al., SC11): a random number is a function of (seed, purpose, sweep, site, draw).
//!
//! Counter words: `c0` = block (four 32-bit words each), `c1` = site, `c2` = low half of the sweep number,
//! `c3` = purpose (8 bits) and high 24 bits of the sweep number; the key is the 64-bit seed.
//! Nothing depends on threads, lanes or the order in which sites are visited.

use crate::real::{MAX_LANES, Real};

pub mod array;

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// One Philox4x32-10 block.
#[inline(always)]
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let (mut c, mut k) = (counter, key);
    for round in 0..ROUNDS {
        if round > 0 {
            k = [k[0].wrapping_add(WEYL[0]), k[1].wrapping_add(WEYL[1])];
        }
        let product = [u64::from(MULTIPLIERS[0]) * u64::from(c[0]), u64::from(MULTIPLIERS[1]) * u64::from(c[2])];
        c = [
            (product[1] >> 32) as u32 ^ c[1] ^ k[0],
            product[1] as u32,
            (product[0] >> 32) as u32 ^ c[3] ^ k[1],
            product[0] as u32,
        ];
    }
    c
}

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
    key: [u32; 2],
    high: [u32; 2],
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

    /// Two uniforms in (0, 1) for each lane, lane `k` at site `site(k)`: [`Self::uniforms`] of every lane at once.
    ///
    /// Words are kept in 64 bits and lanes in the inner loop, which compilers turn into vector code.
    #[inline(always)]
    pub fn lane_uniforms<R: Real>(&self, site: impl Fn(usize) -> u32, block: u32) -> (R, R) {
        let low = |x: u64| x & 0xFFFF_FFFF;
        let mut c = [[0u64; MAX_LANES]; 4];
        for k in 0..R::LANES {
            c[0][k] = u64::from(block);
            c[1][k] = u64::from(site(k));
            c[2][k] = u64::from(self.high[0]);
            c[3][k] = u64::from(self.high[1]);
        }
        let mut key = self.key;
        for _ in 0..ROUNDS {
            for k in 0..R::LANES {
                let p = [u64::from(MULTIPLIERS[0]) * c[0][k], u64::from(MULTIPLIERS[1]) * c[2][k]];
                c[0][k] = (p[1] >> 32) ^ c[1][k] ^ u64::from(key[0]);
                c[2][k] = (p[0] >> 32) ^ c[3][k] ^ u64::from(key[1]);
                c[1][k] = low(p[1]);
                c[3][k] = low(p[0]);
            }
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let unit = |high: u64, low: u64| open_unit_of_bits((high << 32 | low) >> 12);
        (R::from_lanes(|k| unit(c[0][k], c[1][k])), R::from_lanes(|k| unit(c[2][k], c[3][k])))
    }

    /// Two standard normals for each lane (Box-Muller).
    #[inline(always)]
    pub fn normals<R: Real>(&self, site: impl Fn(usize) -> u32, block: u32) -> (R, R) {
        let (u, v) = self.lane_uniforms::<R>(site, block);
        let radius = (u.ln() * R::splat(-2.0)).sqrt();
        let (sin, cos) = (v * R::splat(2.0 * std::f64::consts::PI)).sin_cos();
        (radius * cos, radius * sin)
    }

    /// Numbers drawn one after another at `site`.
    pub fn site(&self, site: u32) -> SiteRng {
        SiteRng { stream: *self, site, block: 0, spare_uniform: None, spare_normal: None }
    }
}

/// 52 bits of two words as a number in the open interval (0, 1), symmetric about 1/2.
#[inline(always)]
pub fn open_unit(high: u32, low: u32) -> f64 {
    open_unit_of_bits((u64::from(high) << 32 | u64::from(low)) >> 12)
}

/// (bits + 1/2) 2^-52 of 52 bits, exactly, without an integer conversion.
#[inline(always)]
fn open_unit_of_bits(bits: u64) -> f64 {
    f64::from_bits(1023 << 52 | bits) - (1.0 - 0.5 / (1u64 << 52) as f64)
}

/// Sequential draws at one site.
#[derive(Debug, Clone)]
pub struct SiteRng {
    stream: Stream,
    site: u32,
    block: u32,
    spare_uniform: Option<f64>,
    spare_normal: Option<f64>,
}

impl SiteRng {
    /// Uniform in (0, 1).
    pub fn uniform(&mut self) -> f64 {
        if let Some(u) = self.spare_uniform.take() {
            return u;
        }
        let [u, v] = self.stream.uniforms(self.site, self.block);
        self.block += 1;
        self.spare_uniform = Some(v);
        u
    }

    /// Standard normal (Box-Muller).
    pub fn normal(&mut self) -> f64 {
        if let Some(z) = self.spare_normal.take() {
            return z;
        }
        let (u, v) = (self.uniform(), self.uniform());
        let radius = (-2.0 * u.ln()).sqrt();
        let (sin, cos) = (2.0 * std::f64::consts::PI * v).sin_cos();
        self.spare_normal = Some(radius * sin);
        radius * cos
    }

    /// Uniform integer in `0..n`.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.uniform() * n as f64) as usize).min(n - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of Random123 1.14 (kat_vectors, philox4x32 10).
    #[test]
    fn known_answers() {
        let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        let table = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (pi, [0xa409_3822, 0x299f_31d0], [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]),
        ];
        for (counter, key, expected) in table {
            assert_eq!(philox4x32(counter, key), expected);
        }
    }

    #[test]
    fn lanes_draw_what_sites_draw() {
        let stream = Stream::new(u64::MAX - 5, Purpose::Heatbath, (1 << 40) + 3);
        for site in [0, 1, 77, u32::MAX] {
            let (u, v) = stream.lane_uniforms::<f64>(|_| site, 12);
            assert_eq!([u, v], stream.uniforms(site, 12));
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
            let (u, z) = (rng.uniform(), rng.normal());
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
