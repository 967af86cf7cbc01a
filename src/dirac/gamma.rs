//! Gamma matrices as data: DeGrand-Rossi (chiral) basis with four components, Pauli matrices with two; gamma_5 is +1 on the upper
//! and -1 on the lower half of the components.
//!
//! Every gamma_mu exchanges the halves: (gamma_mu psi)_a = phase psi_b for a row a of the upper half; the lower rows follow from
//! gamma_mu^dagger = gamma_mu.

use crate::matrix::Complex;
use crate::number::Real;

/// A power of i.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// 1
    One,
    /// i
    I,
    /// -1
    MinusOne,
    /// -i
    MinusI,
}

use Phase::{I, MinusI, MinusOne, One};

/// `[mu][row of the upper half]`: the column of the only entry, and the entry.
const FOUR: [[(usize, Phase); 2]; 4] =
    [[(3, I), (2, I)], [(3, MinusOne), (2, One)], [(2, I), (3, MinusI)], [(2, One), (3, One)]];
const TWO: [[(usize, Phase); 2]; 4] = [[(1, One), (1, One)], [(1, MinusI), (1, MinusI)], [(1, One); 2], [(1, One); 2]];

/// Entry of row `a` of the upper half of gamma_mu with `S` components: column and phase.
#[inline(always)]
pub const fn entry<const S: usize>(mu: usize, a: usize) -> (usize, Phase) {
    if S == 4 { FOUR[mu][a] } else { TWO[mu][a] }
}

/// `x + s phase y`.
#[inline(always)]
pub fn add_phase<R: Real>(x: Complex<R>, s: R, phase: Phase, y: Complex<R>) -> Complex<R> {
    match phase {
        One => Complex::new(s.mul_add(y.re, x.re), s.mul_add(y.im, x.im)),
        MinusOne => Complex::new(s.neg_mul_add(y.re, x.re), s.neg_mul_add(y.im, x.im)),
        I => Complex::new(s.neg_mul_add(y.im, x.re), s.mul_add(y.re, x.im)),
        MinusI => Complex::new(s.mul_add(y.im, x.re), s.neg_mul_add(y.re, x.im)),
    }
}

/// The complex conjugate of a phase.
#[inline(always)]
pub const fn conjugate(phase: Phase) -> Phase {
    match phase {
        I => MinusI,
        MinusI => I,
        real => real,
    }
}

/// gamma_mu as a matrix `[row][column]` of `S` x `S` numbers (re, im).
pub fn matrix<const S: usize>(mu: usize) -> [[(f64, f64); S]; S] {
    let number = |phase| match phase {
        One => (1.0, 0.0),
        I => (0.0, 1.0),
        MinusOne => (-1.0, 0.0),
        MinusI => (0.0, -1.0),
    };
    let mut gamma = [[(0.0, 0.0); S]; S];
    for a in 0..S / 2 {
        let (b, phase) = entry::<S>(mu, a);
        gamma[a][b] = number(phase);
        gamma[b][a] = number(conjugate(phase));
    }
    gamma
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_complex::Complex64;

    fn product<const S: usize>(a: &[[Complex64; S]; S], b: &[[Complex64; S]; S]) -> [[Complex64; S]; S] {
        std::array::from_fn(|i| std::array::from_fn(|j| (0..S).map(|k| a[i][k] * b[k][j]).sum()))
    }

    /// gamma_mu gamma_nu + gamma_nu gamma_mu = 2 delta, and their product is gamma_5 up to the phase of the dimension.
    fn law<const S: usize>(ndim: usize, phase: Complex64) {
        let gammas: Vec<_> =
            (0..ndim).map(|mu| matrix::<S>(mu).map(|row| row.map(|(re, im)| Complex64::new(re, im)))).collect();
        for mu in 0..ndim {
            for nu in 0..ndim {
                let (ab, ba) = (product(&gammas[mu], &gammas[nu]), product(&gammas[nu], &gammas[mu]));
                for i in 0..S {
                    for j in 0..S {
                        let wanted = if mu == nu && i == j { 2.0 } else { 0.0 };
                        assert_eq!(ab[i][j] + ba[i][j], Complex64::new(wanted, 0.0));
                    }
                }
            }
        }
        let all = gammas[1..].iter().fold(gammas[0], |a, b| product(&a, b));
        for i in 0..S {
            for j in 0..S {
                let wanted = if i != j {
                    0.0
                } else if i < S / 2 {
                    1.0
                } else {
                    -1.0
                };
                assert_eq!(all[i][j] * phase, Complex64::new(wanted, 0.0));
            }
        }
    }

    #[test]
    fn gammas_anticommute_and_make_gamma_five() {
        law::<4>(4, Complex64::ONE);
        law::<2>(2, Complex64::new(0.0, -1.0));
    }
}
