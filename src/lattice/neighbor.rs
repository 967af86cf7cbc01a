//! A neighbour with its lanes moved: the one load of kernels that look at other sites.

use super::lattice::{Lattice, Neighbor};
use crate::matrix::{Algebra, Matrix};
use crate::number::{Permutation, Real};

/// What stands on the sites of a site vector, one lane a site.
pub trait Lanes: Copy {
    /// Lanes moved.
    fn moved(&self, permutation: &Permutation) -> Self;
}

impl<R: Real> Lanes for R {
    #[inline(always)]
    fn moved(&self, permutation: &Permutation) -> Self {
        self.permute(permutation)
    }
}

impl<R: Real, const N: usize> Lanes for Algebra<R, N> {
    #[inline(always)]
    fn moved(&self, permutation: &Permutation) -> Self {
        self.permute(permutation)
    }
}

impl<R: Real, const N: usize> Lanes for Matrix<R, N> {
    #[inline(always)]
    fn moved(&self, permutation: &Permutation) -> Self {
        self.permute(permutation)
    }
}

impl Lattice {
    /// Item `n` of the `per_site` items of a neighbour, in the lanes of this site vector.
    #[inline(always)]
    pub fn load<T: Lanes>(&self, items: &[T], per_site: usize, n: usize, at: Neighbor) -> T {
        let item = &items[at.site() * per_site + n];
        match at.permutation() {
            0 => *item,
            p => item.moved(self.permutation(p)),
        }
    }

    /// The same without a copy where no lane moves; `space` holds it where one does.
    #[inline(always)]
    pub fn borrow<'a, T: Lanes>(
        &self,
        items: &'a [T],
        per_site: usize,
        n: usize,
        at: Neighbor,
        space: &'a mut T,
    ) -> &'a T {
        let item = &items[at.site() * per_site + n];
        match at.permutation() {
            0 => item,
            p => {
                *space = item.moved(self.permutation(p));
                space
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::matrix::Complex;
    #[cfg(target_arch = "x86_64")]
    use crate::number::{F64x4Avx2, F64x8Avx512, Isa};

    /// Every lane of every loaded neighbour is the number of the displaced site, across block faces too.
    fn law<R: Real>() -> Result<()> {
        let extents = [4, 8, 8];
        let lattice = Lattice::new(&extents, R::LANES)?;
        let number =
            |vector: usize, n: usize| R::from_lanes(|lane| f64::from(2 * lattice.site(vector, lane)) + n as f64);
        let values: Vec<R> = (0..2 * lattice.vectors()).map(|k| number(k / 2, k % 2)).collect();
        let matrices: Vec<Matrix<R, 2>> =
            values.iter().map(|&x| Matrix::from_fn(|i, j| Complex::new(x, R::splat((i + j) as f64)))).collect();
        for step in [[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 1, 0], [0, 3, -5, 0], [-2, 4, 4, 0]] {
            let shift = lattice.shift(step);
            for vector in 0..lattice.vectors() {
                for n in 0..2 {
                    let value = lattice.load(&values, 2, n, shift[vector]);
                    let matrix = lattice.load(&matrices, 2, n, shift[vector]);
                    let mut space = Matrix::zero();
                    let borrowed = lattice.borrow(&matrices, 2, n, shift[vector], &mut space);
                    for lane in 0..R::LANES {
                        let x = lattice.coordinates(lattice.site(vector, lane) as usize);
                        let there = (0..3).map(|mu| (x[mu] as i32 + step[mu]).rem_euclid(extents[mu] as i32) as usize);
                        let site = there.zip(extents).fold(0, |site, (x, extent)| site * extent + x);
                        let expected = (2 * site + n) as f64;
                        assert_eq!(value.lane(lane), expected);
                        assert_eq!(matrix.0[1][0].re.lane(lane), expected);
                        assert_eq!(borrowed.0[0][1].re.lane(lane), expected);
                        assert_eq!(borrowed.0[1][1].im.lane(lane), 2.0);
                    }
                }
            }
        }
        Ok(())
    }

    #[test]
    fn a_loaded_neighbour_is_the_displaced_site() -> Result<()> {
        law::<f64>()?;
        #[cfg(target_arch = "x86_64")]
        if Isa::best() == Isa::Avx512 {
            law::<F64x8Avx512>()?;
        }
        #[cfg(target_arch = "x86_64")]
        if Isa::best() != Isa::Scalar {
            law::<F64x4Avx2>()?;
        }
        Ok(())
    }
}
