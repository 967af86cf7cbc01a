//! `Real`: the one scalar that kernels are written over; here for `f64` and `f32`, in `dual` for derivatives, in `lanes` for vectors.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};

/// Largest number of lanes of any vector type.
pub const MAX_LANES: usize = 16;

/// How lanes move.
#[derive(Debug, Clone, Copy)]
pub struct Permutation {
    /// Lane `k` of the permuted vector is lane `lanes[k]` of the original.
    pub(super) lanes: [u8; MAX_LANES],
    /// The same for the halves of the first four lanes: AVX2 moves numbers of 32 bits.
    pub(super) halves: [u8; 8],
}

impl Permutation {
    /// Lane `k` of the permuted vector is lane `source(k)` of the original, `k` below `lanes`.
    pub fn new(lanes: usize, source: impl Fn(usize) -> usize) -> Self {
        let mut permutation = Self { lanes: [0; MAX_LANES], halves: [0; 8] };
        for lane in 0..lanes.min(MAX_LANES) {
            permutation.lanes[lane] = source(lane) as u8;
        }
        permutation.halves = std::array::from_fn(|k| 2 * permutation.lanes[k / 2] + (k % 2) as u8);
        permutation
    }

    /// The lane that lane `lane` of the permuted vector comes from.
    pub fn source(&self, lane: usize) -> usize {
        usize::from(self.lanes[lane])
    }
}

/// A set of lanes, bit `k` for lane `k`.
pub type LaneMask = u16;

/// Work that is compiled once for each instruction set; `run` is always inlined.
pub trait Work {
    /// What the work returns.
    type Output;
    /// Does the work.
    fn run(self) -> Self::Output;
}

/// Unsigned integers of 64 bits, one for each lane: what the counters of random numbers are made of.
pub trait Bits: Copy {
    /// The same integer in every lane.
    fn splat(x: u64) -> Self;
    /// Lane `k` gets `f(k)`.
    fn from_lanes(f: impl FnMut(usize) -> u64) -> Self;
    /// Products of the lower halves.
    fn mul_low(self, other: Self) -> Self;
    /// The upper halves.
    fn high(self) -> Self;
    /// Exclusive or.
    fn xor(self, other: Self) -> Self;
}

impl<const LANES: usize> Bits for [u64; LANES] {
    #[inline(always)]
    fn splat(x: u64) -> Self {
        [x; LANES]
    }
    #[inline(always)]
    fn from_lanes(mut f: impl FnMut(usize) -> u64) -> Self {
        let mut x = [0; LANES];
        for k in 0..LANES {
            x[k] = f(k);
        }
        x
    }
    #[inline(always)]
    fn mul_low(mut self, other: Self) -> Self {
        for k in 0..LANES {
            self[k] = (self[k] & 0xFFFF_FFFF) * (other[k] & 0xFFFF_FFFF);
        }
        self
    }
    #[inline(always)]
    fn high(mut self) -> Self {
        for k in 0..LANES {
            self[k] >>= 32;
        }
        self
    }
    #[inline(always)]
    fn xor(mut self, other: Self) -> Self {
        for k in 0..LANES {
            self[k] ^= other[k];
        }
        self
    }
}

/// (b + 1/2) 2^-52 of the 52 bits b = (high, low) >> 12 of two words, exactly, without an integer conversion.
#[inline(always)]
pub fn open_unit(high: u32, low: u32) -> f64 {
    f64::from_bits(1023 << 52 | (u64::from(high) << 32 | u64::from(low)) >> 12) - ONE_LESS
}

/// 1 - 2^-53.
pub(super) const ONE_LESS: f64 = 1.0 - 0.5 / (1u64 << 52) as f64;

/// A real number, or several of them at once, or a number with a derivative.
pub trait Real:
    Copy
    + Send
    + Sync
    + Debug
    + 'static
    + bytemuck::Zeroable
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
{
    /// What a sum over sites is: `f64`, or a `Dual` of it.
    type Total: Real;
    /// The same kind of number in single precision.
    type Single: Real<Total = Self::Total>;
    /// The number without its derivative.
    type Value: Real<Total = f64, Value = Self::Value>;
    /// Integers of 64 bits, as many as there are lanes.
    type Bits: Bits;
    /// Whether there is a derivative, which takes a second register: a kernel may hold half as many accumulators.
    const DUAL: bool = false;
    /// How many sites one value holds.
    const LANES: usize;
    /// Unit roundoff of one lane.
    const EPSILON: f64;

    /// The same number in every lane.
    fn splat(x: f64) -> Self;
    /// Lane `k` gets `f(k)`.
    fn from_lanes(f: impl FnMut(usize) -> f64) -> Self;
    /// The value in lane `k`.
    fn lane(self, k: usize) -> f64;
    /// `self * a + b`, fused where the instruction set fuses.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// `b - self * a`, fused where the instruction set fuses.
    fn neg_mul_add(self, a: Self, b: Self) -> Self;
    /// [`open_unit`] of the lower halves of two integers.
    fn open_unit(high: Self::Bits, low: Self::Bits) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Sine and cosine of an angle of modest size (|x| < 10^5).
    fn sin_cos(self) -> (Self, Self);
    /// Natural logarithm of a positive normal number.
    fn ln(self) -> Self;
    /// e to the power of a number; arguments that would overflow or vanish are moved to the end of the range.
    fn exp(self) -> Self;
    /// Lanes in which `self < other`.
    fn less(self, other: Self) -> LaneMask;
    /// `other` in the lanes of `mask`, `self` elsewhere.
    fn blend(self, other: Self, mask: LaneMask) -> Self;
    /// Lanes moved.
    fn permute(self, permutation: &Permutation) -> Self;
    /// Lane `k` (below [`Self::LANES`]) in every lane.
    fn spread(&self, k: usize) -> Self;
    /// Asks for the cache line of a place, which need not exist, before it is read.
    #[inline(always)]
    fn prefetch(_place: *const Self) {}
    /// Writes a place that is not read soon: past the cache, if the machine can. Other threads see it after [`Self::fence`].
    #[inline(always)]
    fn store_past(self, place: &mut Self) {
        *place = self;
    }
    /// Ends writing by [`Self::store_past`].
    #[inline(always)]
    fn fence() {}
    /// Enters code compiled for the instruction set of this type.
    fn vectorize<W: Work>(work: W) -> W::Output;
    /// The number without its derivative, and the derivative (zero if there is none).
    fn split(self) -> [Self::Value; 2];
    /// A number from its value and its derivative (dropped if there is none).
    fn join(parts: [Self::Value; 2]) -> Self;

    /// Zero.
    #[inline(always)]
    fn zero() -> Self {
        Self::splat(0.0)
    }
    /// One.
    #[inline(always)]
    fn one() -> Self {
        Self::splat(1.0)
    }
    /// Sum over lanes in lane order.
    fn total(self) -> Self::Total;
    /// Largest lane; NaN if a lane is NaN.
    #[inline(always)]
    fn max_lane(self) -> f64 {
        let mut max = self.lane(0);
        for k in 1..Self::LANES {
            let x = self.lane(k);
            max = if x > max || x.is_nan() { x } else { max };
        }
        max
    }
    /// The mask of all lanes.
    #[inline(always)]
    fn all_lanes() -> LaneMask {
        ((1u32 << Self::LANES) - 1) as LaneMask
    }
}

macro_rules! scalar {
    ($real:ty, $least:expr, $most:expr) => {
        impl Real for $real {
            type Total = f64;
            type Single = f32;
            type Value = Self;
            type Bits = [u64; 1];
            const LANES: usize = 1;
            const EPSILON: f64 = <$real>::EPSILON as f64;
            #[inline(always)]
            fn splat(x: f64) -> Self {
                x as $real
            }
            #[inline(always)]
            fn open_unit([high]: [u64; 1], [low]: [u64; 1]) -> Self {
                open_unit(high as u32, low as u32) as $real
            }
            #[inline(always)]
            fn from_lanes(mut f: impl FnMut(usize) -> f64) -> Self {
                f(0) as $real
            }
            #[inline(always)]
            fn lane(self, _k: usize) -> f64 {
                f64::from(self)
            }
            // Not `f64::mul_add`: without the instruction that is a slow library call.
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                self * a + b
            }
            #[inline(always)]
            fn neg_mul_add(self, a: Self, b: Self) -> Self {
                b - self * a
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                <$real>::sqrt(self)
            }
            #[inline(always)]
            fn sin_cos(self) -> (Self, Self) {
                <$real>::sin_cos(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                <$real>::ln(self)
            }
            #[inline(always)]
            fn exp(self) -> Self {
                <$real>::exp(self.clamp($least, $most))
            }
            #[inline(always)]
            fn less(self, other: Self) -> LaneMask {
                LaneMask::from(self < other)
            }
            #[inline(always)]
            fn blend(self, other: Self, mask: LaneMask) -> Self {
                if mask & 1 == 1 { other } else { self }
            }
            #[inline(always)]
            fn permute(self, _permutation: &Permutation) -> Self {
                self
            }
            #[inline(always)]
            fn spread(&self, _k: usize) -> Self {
                *self
            }
            #[inline(never)]
            fn vectorize<W: Work>(work: W) -> W::Output {
                work.run()
            }
            #[inline(always)]
            fn total(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn split(self) -> [Self; 2] {
                [self, 0.0]
            }
            #[inline(always)]
            fn join([value, _]: [Self; 2]) -> Self {
                value
            }
        }
    };
}

scalar!(f64, -708.0, 709.0);
scalar!(f32, -87.0, 88.0);
