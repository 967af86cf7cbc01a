//! Numbers that kernels are written over: plain, with a derivative, or many sites at once.

mod dual;
mod lanes;
mod real;

pub use dual::Dual;
#[cfg(target_arch = "x86_64")]
pub(crate) use lanes::{F32x16Avx2, F32x16Avx512, F64x8Avx2, F64x8Avx512};
pub use lanes::{HugePages, Isa};
pub use real::{Bits, LaneMask, MAX_LANES, Permutation, Real, Work, open_unit};
