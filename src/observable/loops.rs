//! Traces of closed loops, (1/N) tr W, as sums over the lattice and site by site.

use crate::field::{self, SiteKernel};
use crate::gauge::GaugeField;
use crate::lattice::MAX_DIMENSIONS;
use crate::lattice::{Path, Program, WeightedPath};
use crate::matrix::{Complex, Matrix};
use crate::number::Real;
use num_complex::Complex64;

/// sum_x sum_i w_i (1/N) Re tr W_i(x).
pub fn trace_sum<R: Real, const N: usize>(field: &GaugeField<R, N>, loops: &[WeightedPath]) -> f64 {
    let (_, sum) = traces(field, loops);
    sum.lane(0)
}

/// (1/N) tr W(x) of one loop on every site, in C order.
pub fn trace_density<R: Real, const N: usize>(field: &GaugeField<R, N>, path: &Path) -> Vec<Complex64> {
    let (values, _) = traces(field, &[WeightedPath { weight: 1.0, path: path.clone() }]);
    let lattice = field.lattice();
    let mut density = vec![Complex64::ZERO; lattice.volume()];
    for (vector, z) in values.iter().enumerate() {
        for lane in 0..R::LANES {
            density[lattice.site(vector, lane) as usize] = Complex64::new(z.re.lane(lane), z.im.lane(lane));
        }
    }
    density
}

fn traces<R: Real, const N: usize>(field: &GaugeField<R, N>, loops: &[WeightedPath]) -> (Vec<Complex<R>>, R::Total) {
    let program = Program::new(field.lattice(), [0; MAX_DIMENSIONS], loops);
    let mut values = field::zeros(field.lattice().vectors());
    let kernel = Traces { program: &program, links: field.links() };
    let sum = field::for_each::<R, _, _>(&kernel, 1, &mut values);
    (values, sum)
}

struct Traces<'a, R, const N: usize> {
    program: &'a Program,
    links: &'a [Matrix<R, N>],
}

impl<R: Real, const N: usize> SiteKernel<R, Complex<R>> for Traces<'_, R, N> {
    type Scratch = Vec<Matrix<R, N>>;
    fn scratch(&self) -> Self::Scratch {
        self.program.scratch()
    }
    #[inline(always)]
    fn at(&self, slots: &mut Self::Scratch, vector: usize, value: &mut [Complex<R>]) -> R {
        self.program.run(self.links, slots, vector);
        value[0] = slots[0].trace().scale(R::splat(1.0 / N as f64));
        value[0].re
    }
}
