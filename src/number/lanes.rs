//! Vectors of sites, each in one register: eight `f64` or sixteen `f32` with AVX-512, half as many with AVX2, and the choice at run time.
//!
//! A lane type wraps the vendor's vector type: an array `[f64; 8]` left to auto-vectorisation is ten times slower
//! (`docs/architecture.md`). The only room with `unsafe` (`pages` belongs to it): every intrinsic below is legal because a value
//! of a lane type is only made behind [`Isa::best`], which asks the processor; the types are not reachable from outside the
//! crate.

#[allow(unsafe_code)]
#[path = "pages.rs"]
mod pages;
pub use pages::HugePages;

use crate::error::{Error, Result};
use std::sync::OnceLock;

/// An instruction set that kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// One site at a time; runs everywhere.
    Scalar,
    /// AVX2 and FMA, four sites in one register.
    Avx2,
    /// AVX-512 F and DQ, eight sites in one register.
    Avx512,
}

impl Isa {
    /// Every instruction set, the plainest first.
    pub const ALL: [Isa; 3] = [Isa::Scalar, Isa::Avx2, Isa::Avx512];

    /// The best instruction set of this processor, or a lower one named in `PLAQ_SIMD` (`scalar`, `avx2`, `avx512`).
    pub fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Self::supported().min(Self::requested().unwrap_or(Self::Avx512)))
    }

    /// The value of `PLAQ_SIMD`; an error names what is allowed. Without it, or with an empty one, there is no limit.
    pub fn requested() -> Result<Self> {
        std::env::var("PLAQ_SIMD").map_or(Ok(Self::Avx512), |name| Self::named(&name))
    }

    fn named(name: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|isa| isa.name() == name);
        known.or(name.is_empty().then_some(Self::Avx512)).ok_or_else(|| {
            let allowed = Self::ALL.map(Self::name).join(", ");
            Error::value(format!("PLAQ_SIMD is {name:?}; allowed are {allowed}, or leave it unset for the best"))
        })
    }

    /// What the processor can do.
    #[cfg(target_arch = "x86_64")]
    pub fn supported() -> Self {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
            Self::Avx512
        } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            Self::Avx2
        } else {
            Self::Scalar
        }
    }

    /// What the processor can do.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn supported() -> Self {
        Self::Scalar
    }

    /// Name as accepted by `PLAQ_SIMD`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub use x86::{F32x8Avx2, F32x16Avx512, F64x4Avx2, F64x8Avx512};

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
#[cfg_attr(not(test), allow(dead_code))]
mod x86 {
    use crate::number::real::ONE_LESS;
    use crate::number::{Bits, LaneMask, Permutation, Real, Work, open_unit};
    use std::arch::x86_64::*;
    use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};

    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512dq,avx2,fma,bmi1,bmi2")]
    fn enter_avx512<W: Work>(work: W) -> W::Output {
        work.run()
    }

    #[inline(never)]
    #[target_feature(enable = "avx2,fma,bmi1,bmi2")]
    fn enter_avx2<W: Work>(work: W) -> W::Output {
        work.run()
    }

    // Added to an integer they leave it in the low bits: 1.5 x 2^52 and 1.5 x 2^23.
    const SHIFT64: f64 = 6_755_399_441_055_744.0;
    const SHIFT32: f32 = 12_582_912.0;
    // Mantissas run from sqrt(1/2) to sqrt(2): exponents step there, as in the classic kernels of the logarithm.
    const STEP64: i64 = std::f64::consts::FRAC_1_SQRT_2.to_bits() as i64;
    const STEP32: i32 = std::f32::consts::FRAC_1_SQRT_2.to_bits() as i32;

    /// Defines one lane type: a register `$register` that holds `$lanes` numbers `$element`.
    ///
    /// `$held` is what compiles to the faster kernels, by measurement only (`docs/performance.md`): an array of one register with
    /// AVX-512, the register itself with AVX2.
    macro_rules! lanes {
        ($(#[$doc:meta])* $name:ident / $single:ident: $element:ty, $lanes:literal, $register:ty as $held:ty, $enter:ident;
         $add:ident $sub:ident $mul:ident $div:ident $sqrt:ident $fma:ident $fnma:ident $set:ident $stream:ident;
         $bits:ty, $open_unit:expr; $floor:expr; $less:expr; $blend:expr; $permute:expr; $power:expr; $frexp:expr) => {
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            #[repr(transparent)]
            pub struct $name($held);

            // SAFETY: vector registers hold numbers of any bits.
            unsafe impl bytemuck::Zeroable for $name {}

            impl $name {
                #[inline(always)]
                fn of(register: $register) -> Self {
                    unsafe { std::mem::transmute(register) }
                }
                #[inline(always)]
                fn register(self) -> $register {
                    unsafe { std::mem::transmute(self) }
                }
                #[inline(always)]
                fn from_array(x: [$element; $lanes]) -> Self {
                    unsafe { std::mem::transmute(x) }
                }
                #[inline(always)]
                fn to_array(self) -> [$element; $lanes] {
                    unsafe { std::mem::transmute(self) }
                }
                #[inline(always)]
                fn floor(self) -> Self {
                    Self::of(unsafe { $floor(self.register()) })
                }
            }

            lanes!(@operator $name, Add add $add);
            lanes!(@operator $name, Sub sub $sub);
            lanes!(@operator $name, Mul mul $mul);
            lanes!(@operator $name, Div div $div);

            impl Neg for $name {
                type Output = Self;
                #[inline(always)]
                fn neg(self) -> Self {
                    Self::splat(0.0) - self
                }
            }
            impl AddAssign for $name {
                #[inline(always)]
                fn add_assign(&mut self, o: Self) {
                    *self = *self + o;
                }
            }
            impl SubAssign for $name {
                #[inline(always)]
                fn sub_assign(&mut self, o: Self) {
                    *self = *self - o;
                }
            }

            impl Real for $name {
                type Total = f64;
                type Single = $single;
                type Value = Self;
                type Bits = $bits;
                const LANES: usize = $lanes;
                const EPSILON: f64 = <$element>::EPSILON as f64;

                #[inline(always)]
                fn splat(x: f64) -> Self {
                    Self::from_array([x as $element; $lanes])
                }
                #[inline(always)]
                fn open_unit(high: $bits, low: $bits) -> Self {
                    $open_unit(high, low)
                }
                #[inline(always)]
                fn from_lanes(mut f: impl FnMut(usize) -> f64) -> Self {
                    let mut x = [0.0; $lanes];
                    for (k, x) in x.iter_mut().enumerate() {
                        *x = f(k) as $element;
                    }
                    Self::from_array(x)
                }
                #[inline(always)]
                fn lane(self, k: usize) -> f64 {
                    f64::from(self.to_array()[k])
                }
                #[inline(always)]
                fn mul_add(self, a: Self, b: Self) -> Self {
                    Self::of(unsafe { $fma(self.register(), a.register(), b.register()) })
                }
                #[inline(always)]
                fn neg_mul_add(self, a: Self, b: Self) -> Self {
                    Self::of(unsafe { $fnma(self.register(), a.register(), b.register()) })
                }
                #[inline(always)]
                fn sqrt(self) -> Self {
                    Self::of(unsafe { $sqrt(self.register()) })
                }
                #[inline(always)]
                fn sin_cos(self) -> (Self, Self) {
                    super::sin_cos(self, Self::floor)
                }
                #[inline(always)]
                fn ln(self) -> Self {
                    let (mantissa, exponent) = unsafe { $frexp(self.register()) };
                    super::ln(Self::of(mantissa), Self::of(exponent))
                }
                #[inline(always)]
                fn exp(self) -> Self {
                    super::exp(self, Self::floor, |n| Self::of(unsafe { $power(n.register()) }))
                }
                #[inline(always)]
                fn less(self, other: Self) -> LaneMask {
                    LaneMask::from(unsafe { $less(self.register(), other.register()) })
                }
                #[inline(always)]
                fn blend(self, other: Self, mask: LaneMask) -> Self {
                    Self::of(unsafe { $blend(self.register(), other.register(), mask) })
                }
                #[inline(always)]
                fn permute(self, permutation: &Permutation) -> Self {
                    $permute(self, permutation)
                }
                // By reference: one load from memory that broadcasts.
                #[inline(always)]
                fn spread(&self, k: usize) -> Self {
                    const { assert!(size_of::<Self>() == $lanes * size_of::<$element>()) };
                    let element = unsafe { *std::ptr::from_ref(self).cast::<$element>().add(k % $lanes) };
                    Self::of(unsafe { $set(element) })
                }
                // Into the second cache: the misses that the first one can have under way belong to the loads.
                #[inline(always)]
                fn prefetch(place: *const Self) {
                    unsafe { _mm_prefetch::<_MM_HINT_T1>(place.cast()) };
                }
                #[inline(always)]
                fn store_past(self, place: &mut Self) {
                    unsafe { $stream(std::ptr::from_mut(place).cast(), self.register()) };
                }
                #[inline(always)]
                fn fence() {
                    unsafe { _mm_sfence() };
                }
                #[inline(always)]
                fn vectorize<W: Work>(work: W) -> W::Output {
                    unsafe { $enter(work) }
                }
                #[inline(always)]
                fn total(self) -> f64 {
                    self.to_array().iter().map(|&x| f64::from(x)).sum()
                }
                #[inline(always)]
                fn split(self) -> [Self; 2] {
                    [self, Self::splat(0.0)]
                }
                #[inline(always)]
                fn join([value, _]: [Self; 2]) -> Self {
                    value
                }
            }
        };
        (@operator $name:ident, $trait:ident $method:ident $intrinsic:ident) => {
            impl $trait for $name {
                type Output = Self;
                #[inline(always)]
                fn $method(self, o: Self) -> Self {
                    Self::of(unsafe { $intrinsic(self.register(), o.register()) })
                }
            }
        };
    }

    /// Defines `$lanes` integers of 64 bits in one register.
    macro_rules! bits {
        ($name:ident / $real:ident: $lanes:literal in $register:ty; $cast:ident $set:ident $mul:ident $shift_right:ident $shift_left:ident $and:ident $or:ident $xor:ident) => {
            #[derive(Debug, Clone, Copy)]
            #[repr(transparent)]
            pub struct $name($register);

            impl $name {
                /// `open_unit` of every lane: the bits of 1 + b 2^-52, b = (high, low) >> 12, less a constant.
                #[inline(always)]
                fn unit(self, low: Self) -> $real {
                    let number = unsafe {
                        let low = $and(low.0, $set(0xFFFF_FFFF));
                        let both = $or($shift_left::<32>(self.0), low);
                        $cast($or($shift_right::<12>(both), $set(1023 << 52)))
                    };
                    $real::of(number) - $real::splat(ONE_LESS)
                }
            }

            impl Bits for $name {
                #[inline(always)]
                fn splat(x: u64) -> Self {
                    Self(unsafe { $set(x as i64) })
                }
                #[inline(always)]
                fn from_lanes(mut f: impl FnMut(usize) -> u64) -> Self {
                    let mut x = [0; $lanes];
                    for (k, x) in x.iter_mut().enumerate() {
                        *x = f(k);
                    }
                    unsafe { std::mem::transmute::<[u64; $lanes], Self>(x) }
                }
                #[inline(always)]
                fn mul_low(mut self, other: Self) -> Self {
                    self.0 = unsafe { $mul(self.0, other.0) };
                    self
                }
                #[inline(always)]
                fn high(mut self) -> Self {
                    self.0 = unsafe { $shift_right::<32>(self.0) };
                    self
                }
                #[inline(always)]
                fn xor(mut self, other: Self) -> Self {
                    self.0 = unsafe { $xor(self.0, other.0) };
                    self
                }
            }
        };
    }

    bits!(U64x8Avx512 / F64x8Avx512: 8 in __m512i;
          _mm512_castsi512_pd _mm512_set1_epi64 _mm512_mul_epu32 _mm512_srli_epi64 _mm512_slli_epi64 _mm512_and_si512 _mm512_or_si512 _mm512_xor_si512);
    bits!(U64x4Avx2 / F64x4Avx2: 4 in __m256i;
          _mm256_castsi256_pd _mm256_set1_epi64x _mm256_mul_epu32 _mm256_srli_epi64 _mm256_slli_epi64 _mm256_and_si256 _mm256_or_si256 _mm256_xor_si256);

    lanes!(
        /// Eight `f64` in one AVX-512 register.
        F64x8Avx512 / F32x16Avx512: f64, 8, __m512d as [__m512d; 1], enter_avx512;
        _mm512_add_pd _mm512_sub_pd _mm512_mul_pd _mm512_div_pd _mm512_sqrt_pd _mm512_fmadd_pd _mm512_fnmadd_pd _mm512_set1_pd _mm512_stream_pd;
        U64x8Avx512, U64x8Avx512::unit;
        |x| _mm512_roundscale_pd::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(x);
        |a, b| _mm512_cmp_pd_mask::<_CMP_LT_OQ>(a, b);
        |a, b, mask| _mm512_mask_blend_pd(mask as __mmask8, a, b);
        |x: F64x8Avx512, permutation: &Permutation| {
            let index = unsafe { _mm512_cvtepu8_epi64(_mm_loadu_si128(permutation.lanes.as_ptr().cast())) };
            F64x8Avx512::of(unsafe { _mm512_permutexvar_pd(index, x.register()) })
        };
        |n| {
            let bits = _mm512_castpd_si512(_mm512_add_pd(n, _mm512_set1_pd(SHIFT64)));
            _mm512_castsi512_pd(_mm512_slli_epi64::<52>(_mm512_add_epi64(bits, _mm512_set1_epi64(1023))))
        };
        |x| {
            let bits = _mm512_castpd_si512(x);
            let exponent = _mm512_srai_epi64::<52>(_mm512_sub_epi64(bits, _mm512_set1_epi64(STEP64)));
            let mantissa = _mm512_sub_epi64(bits, _mm512_slli_epi64::<52>(exponent));
            (_mm512_castsi512_pd(mantissa), _mm512_cvtepi64_pd(exponent))
        }
    );

    lanes!(
        /// Sixteen `f32` in one AVX-512 register.
        F32x16Avx512 / F32x16Avx512: f32, 16, __m512 as [__m512; 1], enter_avx512;
        _mm512_add_ps _mm512_sub_ps _mm512_mul_ps _mm512_div_ps _mm512_sqrt_ps _mm512_fmadd_ps _mm512_fnmadd_ps _mm512_set1_ps _mm512_stream_ps;
        [u64; 16], unit;
        |x| _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(x);
        |a, b| _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b);
        |a, b, mask| _mm512_mask_blend_ps(mask, a, b);
        |x: F32x16Avx512, permutation: &Permutation| {
            let index = unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(permutation.lanes.as_ptr().cast())) };
            F32x16Avx512::of(unsafe { _mm512_permutexvar_ps(index, x.register()) })
        };
        |n| {
            let bits = _mm512_castps_si512(_mm512_add_ps(n, _mm512_set1_ps(SHIFT32)));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_add_epi32(bits, _mm512_set1_epi32(127))))
        };
        |x| {
            let bits = _mm512_castps_si512(x);
            let exponent = _mm512_srai_epi32::<23>(_mm512_sub_epi32(bits, _mm512_set1_epi32(STEP32)));
            let mantissa = _mm512_sub_epi32(bits, _mm512_slli_epi32::<23>(exponent));
            (_mm512_castsi512_ps(mantissa), _mm512_cvtepi32_ps(exponent))
        }
    );

    /// `open_unit` of every lane, for single precision: one after the other.
    #[inline(always)]
    fn unit<R: Real, const LANES: usize>(high: [u64; LANES], low: [u64; LANES]) -> R {
        R::from_lanes(|k| open_unit(high[k] as u32, low[k] as u32))
    }

    /// Bit `k` of the mask spread over 64-bit lane `k`.
    #[inline(always)]
    unsafe fn spread64(mask: LaneMask) -> __m256d {
        unsafe {
            let bits = _mm256_set_epi64x(8, 4, 2, 1);
            let mask = _mm256_and_si256(_mm256_set1_epi64x(i64::from(mask)), bits);
            _mm256_castsi256_pd(_mm256_cmpeq_epi64(mask, bits))
        }
    }

    /// Bit `k` of the mask spread over 32-bit lane `k`.
    #[inline(always)]
    unsafe fn spread32(mask: LaneMask) -> __m256 {
        unsafe {
            let bits = _mm256_set_epi32(128, 64, 32, 16, 8, 4, 2, 1);
            let mask = _mm256_and_si256(_mm256_set1_epi32(i32::from(mask)), bits);
            _mm256_castsi256_ps(_mm256_cmpeq_epi32(mask, bits))
        }
    }

    /// Mantissa and exponent of positive normal numbers.
    #[inline(always)]
    unsafe fn frexp_avx2(x: __m256d) -> (__m256d, __m256d) {
        unsafe {
            let bits = _mm256_castpd_si256(x);
            // The upper half of each lane has the exponent with its sign.
            let halves = _mm256_srai_epi32::<20>(_mm256_sub_epi64(bits, _mm256_set1_epi64x(STEP64)));
            let upper = _mm256_setr_epi32(1, 3, 5, 7, 1, 3, 5, 7);
            let exponent = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(halves, upper));
            let mantissa = _mm256_sub_epi64(bits, _mm256_slli_epi64::<52>(_mm256_cvtepi32_epi64(exponent)));
            (_mm256_castsi256_pd(mantissa), _mm256_cvtepi32_pd(exponent))
        }
    }

    lanes!(
        /// Four `f64` in one AVX2 register.
        F64x4Avx2 / F32x8Avx2: f64, 4, __m256d as __m256d, enter_avx2;
        _mm256_add_pd _mm256_sub_pd _mm256_mul_pd _mm256_div_pd _mm256_sqrt_pd _mm256_fmadd_pd _mm256_fnmadd_pd _mm256_set1_pd _mm256_stream_pd;
        U64x4Avx2, U64x4Avx2::unit;
        |x| _mm256_floor_pd(x);
        |a, b| _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_LT_OQ>(a, b)) as u8;
        |a, b, mask| _mm256_blendv_pd(a, b, spread64(mask));
        |x: F64x4Avx2, permutation: &Permutation| {
            let index = unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(permutation.halves.as_ptr().cast())) };
            F64x4Avx2::of(unsafe {
                _mm256_castps_pd(_mm256_permutevar8x32_ps(_mm256_castpd_ps(x.register()), index))
            })
        };
        |n| {
            let bits = _mm256_castpd_si256(_mm256_add_pd(n, _mm256_set1_pd(SHIFT64)));
            _mm256_castsi256_pd(_mm256_slli_epi64::<52>(_mm256_add_epi64(bits, _mm256_set1_epi64x(1023))))
        };
        frexp_avx2
    );

    lanes!(
        /// Eight `f32` in one AVX2 register.
        F32x8Avx2 / F32x8Avx2: f32, 8, __m256 as __m256, enter_avx2;
        _mm256_add_ps _mm256_sub_ps _mm256_mul_ps _mm256_div_ps _mm256_sqrt_ps _mm256_fmadd_ps _mm256_fnmadd_ps _mm256_set1_ps _mm256_stream_ps;
        [u64; 8], unit;
        |x| _mm256_floor_ps(x);
        |a, b| _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(a, b)) as u8;
        |a, b, mask| _mm256_blendv_ps(a, b, spread32(mask));
        |x: F32x8Avx2, permutation: &Permutation| {
            let index = unsafe { _mm256_cvtepu8_epi32(_mm_loadu_si128(permutation.lanes.as_ptr().cast())) };
            F32x8Avx2::of(unsafe { _mm256_permutevar8x32_ps(x.register(), index) })
        };
        |n| {
            let bits = _mm256_castps_si256(_mm256_add_ps(n, _mm256_set1_ps(SHIFT32)));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(bits, _mm256_set1_epi32(127))))
        };
        |x| {
            let bits = _mm256_castps_si256(x);
            let exponent = _mm256_srai_epi32::<23>(_mm256_sub_epi32(bits, _mm256_set1_epi32(STEP32)));
            let mantissa = _mm256_sub_epi32(bits, _mm256_slli_epi32::<23>(exponent));
            (_mm256_castsi256_ps(mantissa), _mm256_cvtepi32_ps(exponent))
        }
    );
}

/// `sum_k c[k] x^k` by Horner's rule.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn polynomial<R: crate::number::Real>(x: R, c: &[f64]) -> R {
    let mut y = R::splat(c[c.len() - 1]);
    for &c in c.iter().rev().skip(1) {
        y = y.mul_add(x, R::splat(c));
    }
    y
}

/// exp(x) = 2^n exp(r), |r| <= ln(2)/2, with the Taylor polynomial of exp(r).
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn exp<R: crate::number::Real>(x: R, floor: impl Fn(R) -> R, power_of_two: impl Fn(R) -> R) -> R {
    const TERMS: [f64; 14] = {
        let (mut c, mut k, mut f) = ([0.0; 14], 0, 1.0);
        while k < 14 {
            c[k] = f;
            k += 1;
            f /= k as f64;
        }
        c
    };
    let single = R::EPSILON > 1e-10;
    let (least, most) = if single { (-87.0, 88.0) } else { (-708.0, 709.0) };
    let (least, most) = (R::splat(least), R::splat(most));
    let x = x.blend(least, x.less(least));
    let x = x.blend(most, most.less(x));
    let n = floor(x.mul_add(R::splat(std::f64::consts::LOG2_E), R::splat(0.5)));
    // ln 2 in two parts, the first short enough that its product with n is exact.
    let (high, low) = if single {
        (0.693_359_375, -2.121_944_400_546_905_8e-4)
    } else {
        (6.931_471_803_691_238e-1, 1.908_214_929_270_588e-10)
    };
    let r = n.neg_mul_add(R::splat(low), n.neg_mul_add(R::splat(high), x));
    polynomial(r, if single { &TERMS[..8] } else { &TERMS }) * power_of_two(n)
}

/// log(m 2^e) = e log 2 + 2 artanh((m - 1)/(m + 1)), |(m - 1)/(m + 1)| < 0.172.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn ln<R: crate::number::Real>(mantissa: R, exponent: R) -> R {
    const ARTANH: [f64; 10] = {
        let mut c = [0.0; 10];
        let mut k = 0;
        while k < 10 {
            c[k] = 2.0 / (2 * k + 3) as f64;
            k += 1;
        }
        c
    };
    // ln 2 split so that exponent * LN2_HIGH is exact.
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_588e-10;
    let f = (mantissa - R::one()) / (mantissa + R::one());
    let f2 = f * f;
    let tail = f * f2 * polynomial(f2, &ARTANH) + exponent * R::splat(LN2_LOW);
    exponent.mul_add(R::splat(LN2_HIGH), f + f + tail)
}

/// Cody-Waite reduction to |r| <= pi/4 and Taylor polynomials.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn sin_cos<R: crate::number::Real>(x: R, floor: impl Fn(R) -> R) -> (R, R) {
    const SIN: [f64; 9] = {
        let (mut c, mut k, mut f) = ([0.0; 9], 0, 1.0);
        while k < 9 {
            c[k] = f;
            f /= -(((2 * k + 2) * (2 * k + 3)) as f64);
            k += 1;
        }
        c
    };
    const COS: [f64; 10] = {
        let (mut c, mut k, mut f) = ([0.0; 10], 0, 1.0);
        while k < 10 {
            c[k] = f;
            f /= -(((2 * k + 1) * (2 * k + 2)) as f64);
            k += 1;
        }
        c
    };
    // pi/2 in three parts of 33, 33 and 53 bits (fdlibm's pio2_1, pio2_2, pio2_3 with its tail).
    const HALF_PI: [f64; 3] = [1.570_796_326_734_125_6, 6.077_100_506_303_966e-11, 2.022_266_248_795_950_6e-21];
    let quadrant = floor(x.mul_add(R::splat(std::f64::consts::FRAC_2_PI), R::splat(0.5)));
    let mut r = x;
    for part in HALF_PI {
        r = quadrant.neg_mul_add(R::splat(part), r);
    }
    let r2 = r * r;
    let (sin, cos) = (r * polynomial(r2, &SIN), polynomial(r2, &COS));
    let quarter = quadrant - R::splat(4.0) * floor(quadrant * R::splat(0.25));
    let half = quarter.less(R::splat(1.5)); // quadrants 0, 1
    let odd = half & !quarter.less(R::splat(0.5)) | !half & !quarter.less(R::splat(2.5));
    let (s, c) = (sin.blend(cos, odd), cos.blend(sin, odd));
    let negative_cos = !quarter.less(R::splat(0.5)) & quarter.less(R::splat(2.5)); // quadrants 1, 2
    (s.blend(-s, !half), c.blend(-c, negative_cos))
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_instruction_set_is_refused_by_name() {
        for isa in Isa::ALL {
            assert_eq!(Isa::named(isa.name()).unwrap(), isa);
        }
        assert_eq!(Isa::named("").unwrap(), Isa::Avx512);
        let message = Isa::named("neon").unwrap_err().to_string();
        assert!(message.contains("neon") && message.contains("scalar, avx2, avx512"), "{message}");
    }
    use crate::number::{Permutation, Real};

    struct Check<R>(std::marker::PhantomData<R>);

    impl<R: Real> crate::number::Work for Check<R> {
        type Output = ();
        fn run(self) {
            check::<R>();
        }
    }

    fn lanes_of<R: Real>(x: R) -> Vec<f64> {
        (0..R::LANES).map(|k| x.lane(k)).collect()
    }

    fn check<R: Real>() {
        let tolerance = 4.0 * R::EPSILON;
        for step in -400..400 {
            let at = |k: usize| f64::from(step) * 0.73 + k as f64 * 0.31;
            let x = R::from_lanes(at);
            let (sin, cos) = x.sin_cos();
            let ln = (x * x + R::splat(1e-3)).ln();
            let exp = (x * R::splat(0.25)).exp();
            for k in 0..R::LANES {
                let x = x.lane(k);
                let absolute = tolerance * x.abs().max(1.0);
                assert!((sin.lane(k) - x.sin()).abs() < absolute, "sin {x}: {} {}", sin.lane(k), x.sin());
                assert!((cos.lane(k) - x.cos()).abs() < absolute, "cos {x}");
                let expected = (x * x + 1e-3).ln();
                assert!((ln.lane(k) - expected).abs() < 2.0 * tolerance * expected.abs().max(1.0), "ln {x}");
                let expected = (0.25 * x).exp();
                assert!(
                    (exp.lane(k) - expected).abs() < 3.0 * R::EPSILON * (1.0 + (0.25 * x).abs()) * expected,
                    "exp {x}"
                );
            }
        }
        let x = R::from_lanes(|k| k as f64 + 0.5);
        let threshold = R::splat(3.0);
        assert_eq!(x.less(threshold), 0b111);
        assert_eq!(lanes_of(x.blend(threshold, 0b101))[..4], [3.0, 1.5, 3.0, 3.5]);
        let turns: [&dyn Fn(usize) -> usize; 2] = [&|k| R::LANES - 1 - k, &|k| (k + 1) % R::LANES];
        for source in turns {
            let expected: Vec<f64> = (0..R::LANES).map(|k| source(k) as f64 + 0.5).collect();
            assert_eq!(lanes_of(x.permute(&Permutation::new(R::LANES, source))), expected);
        }
        for k in 0..R::LANES {
            assert_eq!(lanes_of(x.spread(k)), vec![k as f64 + 0.5; R::LANES]);
        }
        for (x, limit) in [(-1e30, R::splat(-1e4).exp()), (1e30, R::splat(1e4).exp())] {
            let end = R::splat(x).exp().lane(0);
            assert!(end == limit.lane(0) && end.is_finite() && end > 0.0);
        }
        assert_eq!(lanes_of(x.mul_add(x, x))[1], 1.5 * 1.5 + 1.5);
        assert_eq!(lanes_of(x.neg_mul_add(x, x))[1], 1.5 - 1.5 * 1.5);
        assert_eq!(lanes_of((x - x * x) / x)[2], 1.0 - 2.5);
        assert_eq!(lanes_of(-(x * x).sqrt())[3], -3.5);
    }

    #[test]
    fn arithmetic_of_every_lane_type() {
        if Isa::supported() >= Isa::Avx2 {
            F64x4Avx2::vectorize(Check::<F64x4Avx2>(std::marker::PhantomData));
            F32x8Avx2::vectorize(Check::<F32x8Avx2>(std::marker::PhantomData));
        }
        if Isa::supported() >= Isa::Avx512 {
            F64x8Avx512::vectorize(Check::<F64x8Avx512>(std::marker::PhantomData));
            F32x16Avx512::vectorize(Check::<F32x16Avx512>(std::marker::PhantomData));
        }
    }
}
