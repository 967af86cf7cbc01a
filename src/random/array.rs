//! Arrays of normal (Box-Muller) and uniform numbers from the Philox streams, sixteen counters at a time.
//!
//! A row of `width` numbers belongs to one site; with `n` numbers to a counter block and `b = ceil(width / n)` blocks,
//! column `j` holds number `j / b` of block `j % b`: contiguous stores, and a number depends on nothing but its place.
//! Only additions, products and square roots in a fixed order are used, so every CPU gives the same bits.

use super::{Stream, philox4x32};

pub(super) const LANES: usize = 16;

pub(super) type Words = [[u32; LANES]; 4];

/// Floating-point numbers that can be drawn in arrays.
pub trait Draw: Copy + Send + Sync + 'static {
    /// Numbers from one counter block.
    const PER_BLOCK: usize;
    /// Standard normals of sixteen blocks.
    fn normals(words: &Words, out: &mut [[Self; LANES]; 4]);
    /// Uniforms in (0, 1) of sixteen blocks.
    fn uniforms(words: &Words, out: &mut [[Self; LANES]; 4]);
    /// Zero.
    const ZERO: Self;
}

/// Fills rows of `width` standard normals; row `r` belongs to site `first_site + r`.
pub fn fill_normals<R: Draw>(stream: &Stream, first_site: u32, width: usize, out: &mut [R]) {
    pulp::Arch::new().dispatch(Fill::<R, true> { stream, first_site, width, out });
}

/// Fills rows of `width` uniforms in (0, 1); row `r` belongs to site `first_site + r`.
pub fn fill_uniforms<R: Draw>(stream: &Stream, first_site: u32, width: usize, out: &mut [R]) {
    pulp::Arch::new().dispatch(Fill::<R, false> { stream, first_site, width, out });
}

// The kind of number is a constant, not a function: a function would be compiled without the vector instructions.
struct Fill<'a, R, const NORMAL: bool> {
    stream: &'a Stream,
    first_site: u32,
    width: usize,
    out: &'a mut [R],
}

impl<R: Draw, const NORMAL: bool> pulp::WithSimd for Fill<'_, R, NORMAL> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        if self.width == 0 {
            return;
        }
        let blocks = self.width.div_ceil(R::PER_BLOCK);
        let rows = self.out.len() / self.width;
        let (mut row, mut block) = (0usize, 0usize);
        let mut numbers = [[R::ZERO; LANES]; 4];
        while row < rows {
            let (first_row, first_block) = (row, block);
            let (mut site, mut counter) = ([0u32; LANES], [0u32; LANES]);
            if block + LANES <= blocks {
                for lane in 0..LANES {
                    site[lane] = self.first_site.wrapping_add(row as u32);
                    counter[lane] = (block + lane) as u32;
                }
                block += LANES;
                if block == blocks {
                    (row, block) = (row + 1, 0);
                }
            } else {
                for lane in 0..LANES {
                    site[lane] = self.first_site.wrapping_add(row as u32);
                    counter[lane] = block as u32;
                    block += 1;
                    if block == blocks {
                        (row, block) = (row + 1, 0);
                    }
                }
            }
            let words = philox_lanes(self.stream, &site, &counter);
            if NORMAL {
                R::normals(&words, &mut numbers)
            } else {
                R::uniforms(&words, &mut numbers)
            }
            store(&numbers, self.out, self.width, blocks, first_row, first_block);
        }
    }
}

#[inline(always)]
fn store<R: Draw>(
    numbers: &[[R; LANES]; 4],
    out: &mut [R],
    width: usize,
    blocks: usize,
    mut row: usize,
    mut block: usize,
) {
    if block + LANES <= blocks {
        for (part, lanes) in numbers[..R::PER_BLOCK].iter().enumerate() {
            let column = part * blocks + block;
            let count = width.saturating_sub(column).min(LANES);
            let start = row * width + column;
            if count > 0 {
                out[start..start + count].copy_from_slice(&lanes[..count]);
            }
        }
        return;
    }
    for lane in 0..LANES {
        let Some(target) = out.get_mut(row * width..(row + 1) * width) else { return };
        for part in 0..R::PER_BLOCK {
            if let Some(x) = target.get_mut(part * blocks + block) {
                *x = numbers[part][lane];
            }
        }
        block += 1;
        if block == blocks {
            (row, block) = (row + 1, 0);
        }
    }
}

#[inline(always)]
pub(super) fn philox_lanes(stream: &Stream, site: &[u32; LANES], block: &[u32; LANES]) -> Words {
    let mut words = [[0; LANES]; 4];
    for lane in 0..LANES {
        let w = philox4x32([block[lane], site[lane], stream.high[0], stream.high[1]], stream.key);
        for part in 0..4 {
            words[part][lane] = w[part];
        }
    }
    words
}

/// 52 bits of two words in the open interval (0, 1): the same number as [`super::open_unit`], without integer conversion.
#[inline(always)]
fn unit64(high: u32, low: u32) -> f64 {
    let bits = (u64::from(high) << 32 | u64::from(low)) >> 12;
    f64::from_bits(0x3FF0_0000_0000_0000 | bits) - 1.0 + 0.5 / (1u64 << 52) as f64
}

/// 31 bits in (0, 1]; one is reached by rounding only and has logarithm zero.
#[inline(always)]
fn unit32(word: u32) -> f32 {
    ((word >> 1) as i32 as f32 + 0.5) * (1.0 / (1u64 << 31) as f32)
}

/// sqrt(-2 ln u): exponent and mantissa split at sqrt(1/2), ln m = 2 artanh((m - 1)/(m + 1)) as a series.
#[inline(always)]
fn radius64(u: f64) -> f64 {
    const SHIFT: u64 = 0x3FF0_0000_0000_0000 - 0x3FE6_A09E_667F_3BCD;
    let exponent = u.to_bits().wrapping_add(SHIFT) >> 52;
    let m = f64::from_bits(u.to_bits().wrapping_sub(exponent.wrapping_sub(1023) << 52));
    let e = f64::from_bits(0x4330_0000_0000_0000 | exponent) - 4_503_599_627_370_496.0 - 1023.0;
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let mut series = 1.0 / 21.0;
    for k in [19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        series = series * z + 1.0 / k;
    }
    let ln = e * std::f64::consts::LN_2 + 2.0 * s * series;
    (-2.0 * ln).max(0.0).sqrt()
}

#[inline(always)]
fn radius32(u: f32) -> f32 {
    const SHIFT: u32 = 0x3F80_0000 - 0x3F35_04F3;
    let exponent = u.to_bits().wrapping_add(SHIFT) >> 23;
    let m = f32::from_bits(u.to_bits().wrapping_sub(exponent.wrapping_sub(127) << 23));
    let e = exponent as i32 as f32 - 127.0;
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let mut series = 1.0 / 9.0;
    for k in [7.0, 5.0, 3.0, 1.0] {
        series = series * z + 1.0 / k;
    }
    let ln = e * std::f32::consts::LN_2 + 2.0 * s * series;
    (-2.0 * ln).max(0.0).sqrt()
}

/// cos(2 pi v), sin(2 pi v): the quarter turn is taken out exactly, the rest by Taylor series on [-pi/4, pi/4].
#[inline(always)]
fn turn64(v: f64) -> (f64, f64) {
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    let shifted = 4.0 * v + MAGIC;
    let quarter = shifted.to_bits();
    let x = (4.0 * v - (shifted - MAGIC)) * std::f64::consts::FRAC_PI_2;
    let z = x * x;
    let (mut sin, mut cos) = (-1.0 / 1_307_674_368_000.0, 1.0 / 20_922_789_888_000.0);
    for d in [6_227_020_800.0, -39_916_800.0, 362_880.0, -5040.0, 120.0, -6.0, 1.0] {
        sin = sin * z + 1.0 / d;
    }
    for d in [-87_178_291_200.0, 479_001_600.0, -3_628_800.0, 40_320.0, -720.0, 24.0, -2.0, 1.0] {
        cos = cos * z + 1.0 / d;
    }
    let (sin, cos) = ((sin * x).to_bits(), cos.to_bits());
    let odd = 0u64.wrapping_sub(quarter & 1);
    let (a, b) = ((cos & !odd) | (sin & odd), (sin & !odd) | (cos & odd));
    let (flip_a, flip_b) = ((quarter.wrapping_add(1) >> 1) << 63, (quarter >> 1) << 63);
    (f64::from_bits(a ^ flip_a), f64::from_bits(b ^ flip_b))
}

#[inline(always)]
fn turn32(v: f32) -> (f32, f32) {
    const MAGIC: f32 = 12_582_912.0;
    let shifted = 4.0 * v + MAGIC;
    let quarter = shifted.to_bits();
    let x = (4.0 * v - (shifted - MAGIC)) * std::f32::consts::FRAC_PI_2;
    let z = x * x;
    let (mut sin, mut cos) = (1.0 / 362_880.0, -1.0 / 3_628_800.0);
    for d in [-5040.0, 120.0, -6.0, 1.0] {
        sin = sin * z + 1.0 / d;
    }
    for d in [40_320.0, -720.0, 24.0, -2.0, 1.0] {
        cos = cos * z + 1.0 / d;
    }
    let (sin, cos) = ((sin * x).to_bits(), cos.to_bits());
    let odd = 0u32.wrapping_sub(quarter & 1);
    let (a, b) = ((cos & !odd) | (sin & odd), (sin & !odd) | (cos & odd));
    let (flip_a, flip_b) = ((quarter.wrapping_add(1) >> 1) << 31, (quarter >> 1) << 31);
    (f32::from_bits(a ^ flip_a), f32::from_bits(b ^ flip_b))
}

impl Draw for f64 {
    const PER_BLOCK: usize = 2;
    const ZERO: Self = 0.0;

    #[inline(always)]
    fn normals(words: &Words, out: &mut [[Self; LANES]; 4]) {
        for lane in 0..LANES {
            let radius = radius64(unit64(words[0][lane], words[1][lane]));
            let (cos, sin) = turn64(unit64(words[2][lane], words[3][lane]));
            out[0][lane] = radius * cos;
            out[1][lane] = radius * sin;
        }
    }

    #[inline(always)]
    fn uniforms(words: &Words, out: &mut [[Self; LANES]; 4]) {
        for lane in 0..LANES {
            out[0][lane] = unit64(words[0][lane], words[1][lane]);
            out[1][lane] = unit64(words[2][lane], words[3][lane]);
        }
    }
}

impl Draw for f32 {
    const PER_BLOCK: usize = 4;
    const ZERO: Self = 0.0;

    #[inline(always)]
    fn normals(words: &Words, out: &mut [[Self; LANES]; 4]) {
        for pair in 0..2 {
            for lane in 0..LANES {
                let radius = radius32(unit32(words[2 * pair][lane]));
                let (cos, sin) = turn32(unit32(words[2 * pair + 1][lane]));
                out[2 * pair][lane] = radius * cos;
                out[2 * pair + 1][lane] = radius * sin;
            }
        }
    }

    #[inline(always)]
    fn uniforms(words: &Words, out: &mut [[Self; LANES]; 4]) {
        for part in 0..4 {
            for lane in 0..LANES {
                out[part][lane] = unit32(words[part][lane]).min(1.0 - f32::EPSILON / 2.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, open_unit};

    fn stream() -> Stream {
        Stream::new(11, Purpose::Gibbs, 5)
    }

    /// The distribution function of the normal law by the trapezoid rule, good to 1e-9.
    fn normal_cdf(x: f64) -> f64 {
        let steps = 4000;
        let h = x / f64::from(steps);
        let density = |t: f64| (-0.5 * t * t).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let inner: f64 = (1..steps).map(|k| density(f64::from(k) * h)).sum();
        0.5 + h * (inner + 0.5 * (density(0.0) + density(x)))
    }

    fn check_distribution(mut x: Vec<f64>) {
        let n = x.len() as f64;
        for (power, mean, variance) in
            [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0), (6, 15.0, 10_170.0)]
        {
            let moment = x.iter().map(|z| z.powi(power)).sum::<f64>() / n;
            let pull = (moment - mean) / f64::sqrt(variance / n);
            assert!(pull.abs() < 4.0, "moment {power}: {moment} is {pull} sigma off");
        }
        for edge in [1.0, 2.0, 3.0, 4.0, 4.5] {
            let p = 2.0 * (1.0 - normal_cdf(edge));
            let seen = x.iter().filter(|z| z.abs() > edge).count() as f64;
            assert!((seen - n * p).abs() < 4.0 * (n * p).sqrt() + 1.0, "beyond {edge}: {seen}, expected {}", n * p);
        }
        x.truncate(20_000);
        x.sort_by(f64::total_cmp);
        let n = x.len() as f64;
        let distance = |(i, z): (usize, &f64)| {
            let f = normal_cdf(*z);
            (f - i as f64 / n).abs().max((f - (i + 1) as f64 / n).abs())
        };
        let ks = x.iter().enumerate().map(distance).fold(0.0, f64::max) * n.sqrt();
        assert!(ks < 1.95, "Kolmogorov-Smirnov {ks}: probability below 1e-3");
    }

    #[test]
    fn normals_have_the_normal_distribution() {
        let mut x = vec![0.0f64; 2_000_000];
        fill_normals(&stream(), 0, 1000, &mut x);
        check_distribution(x);
        let mut x = vec![0.0f32; 2_000_000];
        fill_normals(&stream(), 0, 1000, &mut x);
        check_distribution(x.iter().map(|&z| f64::from(z)).collect());
    }

    #[test]
    fn elementary_functions_reach_rounding() {
        for k in 0..20_000u32 {
            let u = unit64(k.wrapping_mul(2_654_435_761), k.wrapping_mul(40_503));
            assert_eq!(u, open_unit(k.wrapping_mul(2_654_435_761), k.wrapping_mul(40_503)));
            let (cos, sin) = turn64(u);
            let (s, c) = (2.0 * std::f64::consts::PI * u).sin_cos();
            assert!((radius64(u) - (-2.0 * u.ln()).sqrt()).abs() < 1e-14 * radius64(u).max(1.0));
            assert!((cos - c).abs() < 1e-15 * 8.0 && (sin - s).abs() < 1e-15 * 8.0);
            let (v, exact) = (u as f32, f64::from(u as f32));
            let (cos, sin) = turn32(v);
            let (s, c) = (2.0 * std::f64::consts::PI * exact).sin_cos();
            assert!((f64::from(radius32(v)) - (-2.0 * exact.ln()).max(0.0).sqrt()).abs() < 1e-6);
            assert!((f64::from(cos) - c).abs() < 4e-7 && (f64::from(sin) - s).abs() < 4e-7);
        }
    }

    /// A row is the same whether it is drawn alone or with others, for widths that do and do not fill sixteen blocks.
    #[test]
    fn rows_do_not_depend_on_their_neighbours() {
        for width in [1, 2, 7, 10, 31, 32, 33, 64, 100, 784] {
            let (mut all, mut alone) = (vec![0.0f64; 5 * width], vec![0.0f64; width]);
            let (mut all32, mut alone32) = (vec![0.0f32; 5 * width], vec![0.0f32; width]);
            fill_normals(&stream(), 3, width, &mut all);
            fill_normals(&stream(), 3, width, &mut all32);
            for row in 0..5 {
                fill_normals(&stream(), 3 + row as u32, width, &mut alone);
                fill_normals(&stream(), 3 + row as u32, width, &mut alone32);
                assert_eq!(all[row * width..(row + 1) * width], alone[..]);
                assert_eq!(all32[row * width..(row + 1) * width], alone32[..]);
                assert!(alone.iter().all(|&z| z != 0.0));
            }
        }
    }

    #[test]
    fn uniforms_are_uniform() {
        let mut x = vec![0.0f64; 500_000];
        fill_uniforms(&stream(), 0, 10, &mut x);
        let mut y = vec![0.0f32; 500_000];
        fill_uniforms(&stream(), 0, 10, &mut y);
        x.extend(y.iter().map(|&u| f64::from(u)));
        assert!(x.iter().all(|&u| u > 0.0 && u < 1.0));
        let n = x.len() as f64;
        let pull = |value: f64, mean: f64, variance: f64| ((value / n - mean) / (variance / n).sqrt()).abs();
        assert!(pull(x.iter().sum(), 0.5, 1.0 / 12.0) < 4.0);
        assert!(pull(x.iter().map(|u| u * u).sum(), 1.0 / 3.0, 4.0 / 45.0) < 4.0);
    }
}
