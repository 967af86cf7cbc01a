//! Linear maps of windows to channels (convolutions, dense layers) and their reverse passes, as products of small matrices.
//!
//! `y[o] = b + sum_k u[o, k] w[k]` with k = (tap of the window, channel). Vectors hold `W` channels of a position (`W` the lanes of
//! the type), or one channel of as many samples or sites as there are lanes (`W` = 1): the same source. A number of u is spread
//! over a register and multiplied with a vector of weights; a block of sums stays in registers, weights are packed in the order
//! in which they are read, and windows are read where they lie, without a copy. Only true channels are spread, so what stands in
//! the lanes that fill up the last vector has no effect.

use super::symmetry::{Place, Sharing};
use super::window::Windows;
use crate::number::{Real, Work};
use std::sync::Arc;

/// Positions whose numbers stay in the first cache while gradients of weights are summed over them.
const BLOCK: usize = 64;

/// Which parameters the weights `[output][input][tap]`, and then the biases, of a linear map are.
#[derive(Debug, Clone)]
pub struct Entries {
    /// Positions that one output sees.
    pub taps: usize,
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Number of the first parameter.
    pub start: usize,
    /// Whether there are biases.
    pub bias: bool,
    /// Which weights and biases are one parameter; nothing: all are different.
    pub sharing: Option<Arc<Sharing>>,
}

impl Entries {
    /// Terms of the sum of an output.
    pub fn terms(&self) -> usize {
        self.taps * self.inputs
    }

    /// Number of parameters.
    pub fn n_parameters(&self) -> usize {
        match &self.sharing {
            Some(sharing) => sharing.n_weights + if self.bias { sharing.n_biases } else { 0 },
            None => self.outputs * (self.terms() + usize::from(self.bias)),
        }
    }

    /// The parameter of a weight, if it has one.
    pub fn weight(&self, output: usize, tap: usize, input: usize) -> Option<Place> {
        if output >= self.outputs || input >= self.inputs {
            return None;
        }
        let number = (output * self.inputs + input) * self.taps + tap;
        let place = match &self.sharing {
            Some(sharing) => sharing.weights[number]?,
            None => Place::of(number),
        };
        Some(place.from(self.start))
    }

    /// The parameter of a bias, if it has one.
    pub fn bias(&self, output: usize) -> Option<Place> {
        if !self.bias || output >= self.outputs {
            return None;
        }
        let (place, weights) = match &self.sharing {
            Some(sharing) => (sharing.biases[output]?, sharing.n_weights),
            None => (Place::of(output), self.outputs * self.terms()),
        };
        Some(place.from(self.start + weights))
    }
}

/// A linear map of windows.
#[derive(Debug, Clone)]
pub struct Linear {
    /// What each output position sees.
    pub windows: Arc<Windows>,
    /// Its weights.
    pub entries: Entries,
}

/// Weights in the order of the kernels.
#[derive(Debug, Clone)]
pub struct Weights<R> {
    /// `[vector of outputs][tap][input]`
    forward: Vec<R>,
    /// `[vector of outputs]`
    bias: Vec<R>,
    /// `[tap][vector of inputs][output]`
    reverse: Vec<R>,
}

/// Derivatives with respect to the weights, in the order of [`Weights`].
#[derive(Debug, Clone)]
pub struct Gradient<R> {
    forward: Vec<R>,
    bias: Vec<R>,
}

/// Vectors of `W` channels.
pub const fn vectors<const W: usize>(channels: usize) -> usize {
    channels.div_ceil(W)
}

impl Linear {
    /// Packs weights; `make` gives the vector whose lane `k` holds the parameter at `index(k)`, or 0.
    pub fn pack<R: Real, const W: usize>(&self, make: &impl Fn(&dyn Fn(usize) -> Option<Place>) -> R) -> Weights<R> {
        let (taps, outputs) = (self.windows.taps, vectors::<W>(self.entries.outputs));
        let mut forward = Vec::with_capacity(outputs * self.entries.terms());
        for p in 0..outputs {
            for t in 0..taps {
                forward.extend((0..self.entries.inputs).map(|c| make(&|k| self.entries.weight(p * W + k, t, c))));
            }
        }
        let bias = (0..outputs).map(|p| make(&|k| self.entries.bias(p * W + k))).collect();
        let mut reverse = Vec::with_capacity(taps * vectors::<W>(self.entries.inputs) * self.entries.outputs);
        for t in 0..taps {
            for v in 0..vectors::<W>(self.entries.inputs) {
                reverse.extend((0..self.entries.outputs).map(|o| make(&|k| self.entries.weight(o, t, v * W + k))));
            }
        }
        Weights { forward, bias, reverse }
    }

    /// Calls `give(place, vector, lane)` for every weight and bias: its derivative, a term of that of the parameter.
    pub fn unpack<R: Real, const W: usize>(&self, gradient: &Gradient<R>, mut give: impl FnMut(Place, R, usize)) {
        for o in 0..self.entries.outputs {
            for (k, term) in gradient.forward[o / W * self.entries.terms()..][..self.entries.terms()].iter().enumerate()
            {
                let place = self.entries.weight(o, k / self.entries.inputs, k % self.entries.inputs);
                place.into_iter().for_each(|p| give(p, *term, o % W));
            }
            self.entries.bias(o).into_iter().for_each(|p| give(p, gradient.bias[o / W], o % W));
        }
    }

    /// Derivatives that are zero.
    pub fn gradient<R: Real, const W: usize>(&self) -> Gradient<R> {
        let outputs = vectors::<W>(self.entries.outputs);
        Gradient { forward: vec![R::zero(); outputs * self.entries.terms()], bias: vec![R::zero(); outputs] }
    }

    /// Writes y.
    pub fn forward<R: Real, const W: usize>(&self, weights: &Weights<R>, u: &[R], y: &mut [R]) {
        R::vectorize(Forward::<R, W> { layer: self, weights, u, y });
    }

    /// Adds to the cotangent of u that of y carried back.
    pub fn pull<R: Real, const W: usize>(&self, weights: &Weights<R>, above: &[R], below: &mut [R]) {
        R::vectorize(Pull::<R, W> { layer: self, weights, above, below });
    }

    /// Adds to the derivatives with respect to weights and biases.
    pub fn differentiate<R: Real, const W: usize>(&self, u: &[R], above: &[R], gradient: &mut Gradient<R>) {
        R::vectorize(Differentiate::<R, W> { layer: self, u, above, gradient });
    }
}

/// Lane `k` of one of the vectors of channels in every lane.
#[inline(always)]
fn spread<R: Real, const W: usize>(x: &R, k: usize) -> R {
    if W == 1 { *x } else { x.spread(k) }
}

/// `sums[m][p] + sum_k rows[m][k] panels[p][k]`, k in order. A number that is spread is one load: `P` products for each.
#[inline(always)]
fn products<R: Real, const W: usize, const M: usize, const P: usize>(
    rows: [&[R]; M],
    panels: [&[R]; P],
    mut sums: [[R; P]; M],
) -> [[R; P]; M] {
    let parts = panels.map(|panel| panel.as_chunks::<W>());
    let (whole, rest) = (parts[0].0.len(), parts[0].1.len());
    let (mut starts, mut chunks, mut ends) = (rows, [&parts[0].0[..0]; P], [&parts[0].1[..0]; P]);
    for m in 0..M {
        starts[m] = &rows[m][..whole];
    }
    for p in 0..P {
        (chunks[p], ends[p]) = (&parts[p].0[..whole], &parts[p].1[..rest]);
    }
    for v in 0..whole {
        for k in 0..W {
            for m in 0..M {
                let x = spread::<R, W>(&starts[m][v], k);
                for p in 0..P {
                    sums[m][p] = x.mul_add(chunks[p][v][k], sums[m][p]);
                }
            }
        }
    }
    for k in 0..rest {
        for m in 0..M {
            let x = spread::<R, W>(&rows[m][whole], k);
            for p in 0..P {
                sums[m][p] = x.mul_add(ends[p][k], sums[m][p]);
            }
        }
    }
    sums
}

// Blocks have at most four positions: longer loops stay loops (`.cargo/config.toml`), with their sums in memory.
struct Forward<'a, R, const W: usize> {
    layer: &'a Linear,
    weights: &'a Weights<R>,
    u: &'a [R],
    y: &'a mut [R],
}

impl<R: Real, const W: usize> Forward<'_, R, W> {
    /// Blocks of `M` positions and `P` vectors of outputs, the vectors left over one by one.
    #[inline(always)]
    fn blocks<const M: usize, const P: usize>(mut self) {
        let height = vectors::<W>(self.layer.entries.outputs);
        let whole = height / P * P;
        (0..whole).step_by(P).for_each(|p| self.panels::<M, P>(p));
        (whole..height).for_each(|p| self.panels::<M, 1>(p));
    }

    #[inline(always)]
    fn panels<const M: usize, const P: usize>(&mut self, p: usize) {
        let Windows { outputs: n, taps, ref table, .. } = *self.layer.windows;
        let (inputs, terms) = (self.layer.entries.inputs, self.layer.entries.terms());
        let (width, height) = (vectors::<W>(inputs), vectors::<W>(self.layer.entries.outputs));
        for first in (0..n).step_by(M) {
            let mut biases = [self.weights.bias[p]; P];
            biases.copy_from_slice(&self.weights.bias[p..p + P]);
            let mut sums = [biases; M];
            for t in 0..taps {
                let mut rows: [&[R]; M] = [&[]; M];
                for m in 0..M {
                    let window = (first + m).min(n - 1);
                    rows[m] = &self.u[table[window * taps + t] as usize * width..][..width];
                }
                let mut panels: [&[R]; P] = [&[]; P];
                for j in 0..P {
                    panels[j] = &self.weights.forward[(p + j) * terms + t * inputs..][..inputs];
                }
                sums = products::<R, W, M, P>(rows, panels, sums);
            }
            for m in 0..M.min(n - first) {
                for j in 0..P {
                    self.y[(first + m) * height + p + j] = sums[m][j];
                }
            }
        }
    }
}

impl<R: Real, const W: usize> Work for Forward<'_, R, W> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        match (self.layer.windows.outputs, R::DUAL) {
            (1, _) => self.blocks::<1, 1>(),
            (_, false) => self.blocks::<4, 2>(),
            (_, true) => self.blocks::<4, 1>(),
        }
    }
}

struct Pull<'a, R, const W: usize> {
    layer: &'a Linear,
    weights: &'a Weights<R>,
    above: &'a [R],
    below: &'a mut [R],
}

impl<R: Real, const W: usize> Pull<'_, R, W> {
    /// As in the forward pass, vectors of inputs in the place of those of outputs.
    #[inline(always)]
    fn blocks<const M: usize, const P: usize>(mut self) {
        let width = vectors::<W>(self.layer.entries.inputs);
        let whole = width / P * P;
        for t in 0..self.layer.windows.taps {
            (0..whole).step_by(P).for_each(|v| self.panels::<M, P>(t, v));
            (whole..width).for_each(|v| self.panels::<M, 1>(t, v));
        }
    }

    #[inline(always)]
    fn panels<const M: usize, const P: usize>(&mut self, t: usize, v: usize) {
        let Windows { outputs: n, taps, ref table, .. } = *self.layer.windows;
        let outputs = self.layer.entries.outputs;
        let (width, height) = (vectors::<W>(self.layer.entries.inputs), vectors::<W>(outputs));
        let mut panels: [&[R]; P] = [&[]; P];
        for j in 0..P {
            panels[j] = &self.weights.reverse[(t * width + v + j) * outputs..][..outputs];
        }
        for first in (0..n).step_by(M) {
            let mut rows: [&[R]; M] = [&[]; M];
            for m in 0..M {
                rows[m] = &self.above[(first + m).min(n - 1) * height..][..height];
            }
            let sums = products::<R, W, M, P>(rows, panels, [[R::zero(); P]; M]);
            for m in 0..M.min(n - first) {
                for j in 0..P {
                    self.below[table[(first + m) * taps + t] as usize * width + v + j] += sums[m][j];
                }
            }
        }
    }
}

impl<R: Real, const W: usize> Work for Pull<'_, R, W> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        match (self.layer.windows.outputs, R::DUAL) {
            (1, _) => self.blocks::<1, 1>(),
            (_, false) => self.blocks::<4, 2>(),
            (_, true) => self.blocks::<4, 1>(),
        }
    }
}

struct Differentiate<'a, R, const W: usize> {
    layer: &'a Linear,
    u: &'a [R],
    above: &'a [R],
    gradient: &'a mut Gradient<R>,
}

impl<R: Real, const W: usize> Differentiate<'_, R, W> {
    #[inline(always)]
    fn blocks<const M: usize, const P: usize>(mut self) {
        let (n, height) = (self.layer.windows.outputs, vectors::<W>(self.layer.entries.outputs));
        let whole = height / P * P;
        for start in (0..n).step_by(BLOCK) {
            let end = n.min(start + BLOCK);
            (0..whole).step_by(P).for_each(|p| self.panels::<M, P>(start..end, p));
            (whole..height).for_each(|p| self.panels::<M, 1>(start..end, p));
        }
    }

    /// `M` divides `W`, or `W` is 1.
    #[inline(always)]
    fn panels<const M: usize, const P: usize>(&mut self, block: std::ops::Range<usize>, p: usize) {
        let Windows { taps, ref table, .. } = *self.layer.windows;
        let (inputs, terms) = (self.layer.entries.inputs, self.layer.entries.terms());
        let (width, height) = (vectors::<W>(inputs), vectors::<W>(self.layer.entries.outputs));
        for t in 0..taps {
            for first in (0..inputs).step_by(M) {
                let mut sums = [[R::zero(); P]; M];
                for o in block.clone() {
                    let row = &self.u[table[o * taps + t] as usize * width..][..width];
                    let above = &self.above[o * height + p..][..P];
                    for m in 0..M {
                        let x = match W {
                            1 => row[(first + m).min(inputs - 1)],
                            _ => row[first / W].spread(first % W + m),
                        };
                        for j in 0..P {
                            sums[m][j] = x.mul_add(above[j], sums[m][j]);
                        }
                    }
                }
                for j in 0..P {
                    let target = &mut self.gradient.forward[(p + j) * terms + t * inputs + first..];
                    for (target, sum) in target.iter_mut().zip(&sums[..M.min(inputs - first)]) {
                        *target += sum[j];
                    }
                }
            }
        }
        for o in block {
            for j in 0..P {
                self.gradient.bias[p + j] += self.above[o * height + p + j];
            }
        }
    }
}

impl<R: Real, const W: usize> Work for Differentiate<'_, R, W> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        if R::DUAL {
            self.blocks::<4, 1>();
        } else {
            self.blocks::<4, 2>();
        }
    }
}
