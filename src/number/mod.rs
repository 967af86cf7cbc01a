//! Numbers that kernels are written over: plain, with a derivative, or many sites at once.

mod dual;
mod lanes;
mod real;

pub use dual::Dual;
#[cfg(target_arch = "x86_64")]
pub(crate) use lanes::{F32x8Avx2, F32x16Avx512, F64x4Avx2, F64x8Avx512};
pub use lanes::{HugePages, Isa};
pub use real::{Bits, LaneMask, MAX_LANES, Permutation, Real, Work, open_unit};

/// `f` of every entry of an array that is not empty, as a part of whoever calls it.
///
/// `[T; N]::map` and `std::array::from_fn` may become functions of their own, which are compiled without the instruction set of a kernel: then
/// networks on fields take four times as long. Which of them do changes with every build; `scripts/budgets.py` looks.
#[inline(always)]
pub fn each<T: Copy, U: Copy, const N: usize>(x: [T; N], f: impl Fn(T) -> U) -> [U; N] {
    let mut out = [f(x[0]); N];
    for n in 1..N {
        out[n] = f(x[n]);
    }
    out
}
