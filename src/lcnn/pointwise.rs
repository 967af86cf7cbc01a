//! What needs no neighbours: the gate g(Re tr W) W, traces, dense layers on the sites, and the mean over sites.

use super::layer::Function;
use crate::field::{self, ItemKernel, SiteKernel, SumKernel};
use crate::matrix::{Complex, Matrix};
use crate::number::Real;

/// g(Re tr W_i) W_i.
pub fn gate<R: Real, const N: usize>(function: Function, w: &[Matrix<R, N>], channels: usize) -> Vec<Matrix<R, N>> {
    let mut result = field::zeros(w.len());
    field::update::<R, _>(&Gate { function, w }, channels, &mut result);
    result
}

struct Gate<'a, R, const N: usize> {
    function: Function,
    w: &'a [Matrix<R, N>],
}

impl<R: Real, const N: usize> ItemKernel<Matrix<R, N>> for Gate<'_, R, N> {
    #[inline(always)]
    fn at(&self, n: usize, result: &mut Matrix<R, N>) {
        let w = &self.w[n];
        *result = w.scale(self.function.at(w.trace().re).0);
    }
}

/// Cotangent of W: g G + g' Re tr(G^dagger W) 1.
pub fn pull_gate<R: Real, const N: usize>(
    function: Function,
    w: &[Matrix<R, N>],
    channels: usize,
    cotangent: &[Matrix<R, N>],
) -> Vec<Matrix<R, N>> {
    let mut result = field::zeros(w.len());
    field::update::<R, _>(&PullGate { function, w, cotangent }, channels, &mut result);
    result
}

struct PullGate<'a, R, const N: usize> {
    function: Function,
    w: &'a [Matrix<R, N>],
    cotangent: &'a [Matrix<R, N>],
}

impl<R: Real, const N: usize> ItemKernel<Matrix<R, N>> for PullGate<'_, R, N> {
    #[inline(always)]
    fn at(&self, n: usize, result: &mut Matrix<R, N>) {
        let (w, above) = (&self.w[n], &self.cotangent[n]);
        let (value, slope) = self.function.at(w.trace().re);
        *result = above.scale(value);
        let diagonal = slope * super::bilinear::inner(above, w);
        for k in 0..N {
            result.0[k][k].re += diagonal;
        }
    }
}

/// Re tr W_i, Im tr W_i.
pub fn trace<R: Real, const N: usize>(w: &[Matrix<R, N>], channels: usize) -> Vec<R> {
    let mut result = field::zeros(2 * w.len());
    field::for_each::<R, _, _>(&Trace { w }, 2 * channels, &mut result);
    result
}

struct Trace<'a, R, const N: usize> {
    w: &'a [Matrix<R, N>],
}

impl<R: Real, const N: usize> SiteKernel<R, R> for Trace<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, results: &mut [R]) -> R {
        let w = &self.w[vector * results.len() / 2..];
        for (result, w) in results.chunks_exact_mut(2).zip(w) {
            let trace = w.trace();
            (result[0], result[1]) = (trace.re, trace.im);
        }
        R::zero()
    }
}

/// Cotangent of W: (cotangent of Re tr + i cotangent of Im tr) 1.
pub fn pull_trace<R: Real, const N: usize>(cotangent: &[R], channels: usize) -> Vec<Matrix<R, N>> {
    let mut result = field::zeros(cotangent.len() / 2);
    field::for_each::<R, _, _>(&PullTrace { cotangent }, channels, &mut result);
    result
}

struct PullTrace<'a, R> {
    cotangent: &'a [R],
}

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for PullTrace<'_, R> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, results: &mut [Matrix<R, N>]) -> R {
        let cotangent = &self.cotangent[2 * vector * results.len()..];
        for (result, above) in results.iter_mut().zip(cotangent.chunks_exact(2)) {
            *result = Matrix::one().scale_complex(Complex::new(above[0], above[1]));
        }
        R::zero()
    }
}

/// Weights `[o][i]` then biases of a dense layer.
#[derive(Clone, Copy)]
pub struct Dense<'a, R> {
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// f.
    pub function: Function,
    /// Weights and biases.
    pub parameters: &'a [R],
}

impl<R: Real> Dense<'_, R> {
    #[inline(always)]
    fn before_function(&self, o: usize, x: &[R]) -> R {
        let mut sum = self.parameters[self.outputs * self.inputs + o];
        for (w, x) in self.parameters[o * self.inputs..(o + 1) * self.inputs].iter().zip(x) {
            sum = w.mul_add(*x, sum);
        }
        sum
    }

    /// f(w x + b).
    pub fn forward(self, x: &[R]) -> Vec<R> {
        let mut y = field::zeros(x.len() / self.inputs * self.outputs);
        field::for_each::<R, _, _>(&DenseForward { layer: self, x }, self.outputs, &mut y);
        y
    }

    /// Cotangent of x and derivative with respect to weights and biases.
    pub fn pull(self, x: &[R], cotangent: &[R]) -> (Vec<R>, Vec<R::Total>) {
        let mut below = field::zeros(x.len());
        let kernel = DenseReverse { layer: self, x, cotangent };
        let gradient = field::for_each_summed::<R, _, _>(&kernel, self.inputs, &mut below, self.parameters.len());
        (below, gradient)
    }
}

struct DenseForward<'a, R> {
    layer: Dense<'a, R>,
    x: &'a [R],
}

impl<R: Real> SiteKernel<R, R> for DenseForward<'_, R> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, y: &mut [R]) -> R {
        let x = &self.x[vector * self.layer.inputs..][..self.layer.inputs];
        for (o, y) in y.iter_mut().enumerate() {
            *y = self.layer.function.at(self.layer.before_function(o, x)).0;
        }
        R::zero()
    }
}

struct DenseReverse<'a, R> {
    layer: Dense<'a, R>,
    x: &'a [R],
    cotangent: &'a [R],
}

impl<R: Real> SumKernel<R, R> for DenseReverse<'_, R> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), sums: &mut [R], vector: usize, below: &mut [R]) {
        let (inputs, outputs) = (self.layer.inputs, self.layer.outputs);
        let x = &self.x[vector * inputs..][..inputs];
        below.fill(R::zero());
        for o in 0..outputs {
            let slope = self.layer.function.at(self.layer.before_function(o, x)).1;
            let above = slope * self.cotangent[vector * outputs + o];
            for i in 0..inputs {
                below[i] = above.mul_add(self.layer.parameters[o * inputs + i], below[i]);
                sums[o * inputs + i] = above.mul_add(x[i], sums[o * inputs + i]);
            }
            sums[outputs * inputs + o] += above;
        }
    }
}

/// Sums over sites of each channel.
pub fn sums<R: Real>(x: &[R], channels: usize) -> Vec<R::Total> {
    let mut sites = vec![(); x.len() / channels];
    field::for_each_summed::<R, _, _>(&Total { x }, 1, &mut sites, channels)
}

struct Total<'a, R> {
    x: &'a [R],
}

impl<R: Real> SumKernel<R, ()> for Total<'_, R> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), sums: &mut [R], vector: usize, _sites: &mut [()]) {
        let x = &self.x[vector * sums.len()..];
        sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += *x);
    }
}
