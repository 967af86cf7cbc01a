//! Forward and reverse pass of a compiled network: one sample, or as many samples as a vector has lanes.

use super::activation::Activation;
use super::conv::{Gradient, Linear, Weights, vectors};
use super::sequential::{Operation, Plan, Signal};
use super::symmetry::Place;
use crate::field::zeros;
use crate::number::{Real, Work};

/// Parameters in the order of the kernels, made once for many samples.
#[derive(Debug, Clone)]
pub struct Packed<R>(Vec<Weights<R>>);

/// Values of all buffers of a forward pass, and cotangents of a reverse pass; used again for the next sample.
#[derive(Debug, Clone)]
pub struct Workspace<R> {
    values: Vec<Vec<R>>,
    cotangents: Vec<Vec<R>>,
}

/// Derivatives with respect to the parameters in the order of the kernels.
#[derive(Debug, Clone)]
pub struct Gradients<R>(Vec<Gradient<R>>);

impl Plan {
    /// Packs parameters; `make` gives the vector whose lane `k` holds the parameter at `index(k)`, or 0.
    pub fn pack<R: Real, const W: usize>(&self, make: &impl Fn(&dyn Fn(usize) -> Option<Place>) -> R) -> Packed<R> {
        Packed(self.linear().map(|linear| linear.pack::<R, W>(make)).collect())
    }

    /// Buffers for a forward and a reverse pass.
    pub fn workspace<R: Real, const W: usize>(&self) -> Workspace<R> {
        let buffer = |signal: &Signal| zeros(vectors::<W>(signal.channels) * signal.positions);
        Workspace {
            values: self.signals.iter().map(buffer).collect(),
            cotangents: self.signals.iter().map(buffer).collect(),
        }
    }

    /// Derivatives that are zero.
    pub fn gradients<R: Real, const W: usize>(&self) -> Gradients<R> {
        Gradients(self.linear().map(Linear::gradient::<R, W>).collect())
    }

    /// Calls `give(place, vector, lane)` for every weight: its derivative, a term of that of the parameter.
    pub fn unpack<R: Real, const W: usize>(&self, gradients: &Gradients<R>, mut give: impl FnMut(Place, R, usize)) {
        for (linear, gradient) in self.linear().zip(&gradients.0) {
            linear.unpack::<R, W>(gradient, &mut give);
        }
    }

    /// Forward pass of what stands in [`Workspace::input`].
    pub fn run<R: Real, const W: usize>(&self, packed: &Packed<R>, workspace: &mut Workspace<R>) {
        let mut weights = packed.0.iter();
        let values = &mut workspace.values;
        for step in &self.steps {
            let width = vectors::<W>(self.signals[step.from].channels);
            let mut target = std::mem::take(&mut values[step.to]);
            match &step.operation {
                Operation::Activation(function) if step.from == step.to => {
                    R::vectorize(Apply { function: *function, values: &mut target });
                }
                Operation::Activation(function) => {
                    target.copy_from_slice(&values[step.from]);
                    R::vectorize(Apply { function: *function, values: &mut target });
                }
                Operation::Linear(linear) => {
                    if let Some(weights) = weights.next() {
                        linear.forward::<R, W>(weights, &values[step.from], &mut target);
                    }
                }
                Operation::Pool(pool) => pool.forward(width, &values[step.from], &mut target),
                Operation::Add(other) => {
                    target.copy_from_slice(&values[step.from]);
                    R::vectorize(Add { values: &mut target, other: &values[*other] });
                }
            }
            values[step.to] = target;
        }
    }

    /// Reverse pass for the cotangent that [`Workspace::start_reverse`] was filled with; `input` asks for that of the input.
    pub fn pull<R: Real, const W: usize>(
        &self,
        packed: &Packed<R>,
        workspace: &mut Workspace<R>,
        mut gradients: Option<&mut Gradients<R>>,
        input: bool,
    ) {
        let mut linear = packed.0.len();
        let Workspace { values, cotangents } = workspace;
        for step in self.steps.iter().rev() {
            let width = vectors::<W>(self.signals[step.from].channels);
            let mut above = std::mem::take(&mut cotangents[step.to]);
            let is_wanted = input || step.from > 0;
            match &step.operation {
                Operation::Activation(function) if step.from == step.to => {
                    let image = &values[step.to];
                    R::vectorize(Steepen { function: *function, is_image: true, at: image, above: &mut above });
                }
                Operation::Activation(function) => {
                    let at = &values[step.from];
                    R::vectorize(Steepen { function: *function, is_image: false, at, above: &mut above });
                    R::vectorize(Add { values: &mut cotangents[step.from], other: &above });
                }
                Operation::Linear(map) => {
                    linear -= 1;
                    if let Some(gradients) = &mut gradients {
                        map.differentiate::<R, W>(&values[step.from], &above, &mut gradients.0[linear]);
                    }
                    if is_wanted {
                        map.pull::<R, W>(&packed.0[linear], &above, &mut cotangents[step.from]);
                    }
                }
                Operation::Pool(pool) => pool.pull(width, &values[step.from], &above, &mut cotangents[step.from]),
                Operation::Add(other) => {
                    R::vectorize(Add { values: &mut cotangents[step.from], other: &above });
                    R::vectorize(Add { values: &mut cotangents[*other], other: &above });
                }
            }
            cotangents[step.to] = above;
        }
    }
}

impl<R: Real> Workspace<R> {
    /// The input, `[position][vector of channels]`.
    pub fn input(&mut self) -> &mut [R] {
        &mut self.values[0]
    }

    /// The output of the last forward pass, `[position][vector of channels]`.
    pub fn output(&self, plan: &Plan) -> &[R] {
        &self.values[plan.last]
    }

    /// Cotangent of the output, to be filled in before the reverse pass; all others are set to zero.
    pub fn start_reverse(&mut self, plan: &Plan) -> &mut [R] {
        self.cotangents.iter_mut().for_each(|buffer| buffer.fill(R::zero()));
        &mut self.cotangents[plan.last]
    }

    /// Cotangent of the input after a reverse pass that was asked for it.
    pub fn input_cotangent(&self) -> &[R] {
        &self.cotangents[0]
    }
}

struct Apply<'a, R> {
    function: Activation,
    values: &'a mut [R],
}

impl<R: Real> Work for Apply<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for x in self.values {
            *x = self.function.value(*x);
        }
    }
}

struct Steepen<'a, R> {
    function: Activation,
    is_image: bool,
    at: &'a [R],
    above: &'a mut [R],
}

impl<R: Real> Work for Steepen<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (above, x) in self.above.iter_mut().zip(self.at) {
            let slope = if self.is_image { self.function.slope_of_image(*x) } else { self.function.slope(*x) };
            *above = *above * slope;
        }
    }
}

struct Add<'a, R> {
    values: &'a mut [R],
    other: &'a [R],
}

impl<R: Real> Work for Add<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (x, other) in self.values.iter_mut().zip(self.other) {
            *x += *other;
        }
    }
}
