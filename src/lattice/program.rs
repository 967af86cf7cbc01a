//! Programs that multiply links along weighted paths from one point: shared beginnings once, a few matrix slots.

use super::path::{WeightedPath, direction, staples};
use super::{Displacement, Lattice, MAX_DIMENSIONS, Shift};
use crate::matrix::Matrix;
use crate::number::{Real, Work};
use std::sync::Arc;

/// The programs that sum the staples of the links of every direction.
pub fn staple_programs(lattice: &Arc<Lattice>, loops: &[WeightedPath]) -> Vec<Program> {
    (0..lattice.ndim()).map(|mu| linear_staples(lattice, &[(0, loops)], mu).at(&[1.0])).collect()
}

/// The program that sums the staples of links of direction `mu` of lists of loops, each with the number of its coefficient.
pub fn linear_staples(lattice: &Arc<Lattice>, lists: &[(usize, &[WeightedPath])], mu: usize) -> Program {
    let mut start = [0; MAX_DIMENSIONS];
    start[mu] = 1;
    let of = |&(n, loops): &(usize, &[WeightedPath])| staples(loops, mu).into_iter().map(move |path| (n, path));
    let all: Vec<_> = lists.iter().flat_map(of).collect();
    let paths: Vec<_> = all.iter().map(|(n, path)| (*n, path)).collect();
    Program::linear(lattice, start, &paths)
}

/// The step that passes, in place of the link that `step` passes, item ndim + `number` of its site: what stands there is the user's.
pub fn replaced(step: i8, number: usize) -> i8 {
    step + step.signum() * (MAX_DIMENSIONS * (number + 1)) as i8
}

/// How many items of a site [`replaced`] can name.
pub const MAX_REPLACED: usize = i8::MAX as usize / MAX_DIMENSIONS - 1;

#[derive(Debug, Clone)]
struct Factor {
    shift: Shift,
    /// Which of the items of its site.
    item: usize,
    adjoint: bool,
}

/// Number of a weight.
type Weight = usize;

#[derive(Debug, Clone)]
enum Right {
    /// The unit matrix times a weight.
    One(Weight),
    /// Another link, with a weight.
    Link(Factor, Weight),
    /// A partial product.
    Slot(usize),
}

/// `slot[target] (+)= left * right`.
#[derive(Debug, Clone)]
struct Operation {
    target: usize,
    accumulate: bool,
    left: Option<Factor>,
    right: Right,
}

/// A weight as a linear form of coefficients: (number of the coefficient, factor).
type Form = Vec<(usize, f64)>;

/// A weighted sum of path products that all start at one point, ready to run on one lattice.
///
/// The weights are linear in coefficients that [`Program::at`] replaces without compiling anew.
#[derive(Debug, Clone)]
pub struct Program {
    operations: Arc<[Operation]>,
    forms: Arc<[Form]>,
    weights: Vec<f64>,
    slots: usize,
    /// Items of a site.
    width: usize,
    lattice: Arc<Lattice>,
}

/// Paths that share a beginning; those that end here have the weight.
#[derive(Default)]
struct Node {
    weight: Form,
    children: Vec<(i8, Node)>,
}

impl Node {
    fn insert(&mut self, path: &[i8], coefficient: usize, factor: f64) {
        let Some((&step, rest)) = path.split_first() else {
            match self.weight.iter_mut().find(|(own, _)| *own == coefficient) {
                Some((_, sum)) => *sum += factor,
                None => self.weight.push((coefficient, factor)),
            }
            return;
        };
        let known = self.children.iter().position(|(s, _)| *s == step);
        let n = known.unwrap_or_else(|| {
            self.children.push((step, Node::default()));
            self.children.len() - 1
        });
        self.children[n].1.insert(rest, coefficient, factor);
    }
}

/// A program that is being written.
struct Writer<'a> {
    operations: Vec<Operation>,
    forms: Vec<Form>,
    slots: usize,
    lattice: &'a Arc<Lattice>,
}

impl Program {
    /// Compiles the paths, all starting at displacement `start` from the site.
    pub fn new(lattice: &Arc<Lattice>, start: Displacement, paths: &[WeightedPath]) -> Self {
        let coefficient_of: Vec<_> = paths.iter().map(|path| (0, path)).collect();
        Self::linear(lattice, start, &coefficient_of).at(&[1.0])
    }

    /// Compiles paths whose weights are multiplied by coefficients, each path with the number of its coefficient; [`Self::at`]
    /// sets them, until then they are zero.
    pub fn linear(lattice: &Arc<Lattice>, start: Displacement, paths: &[(usize, &WeightedPath)]) -> Self {
        let mut root = Node::default();
        for (coefficient, path) in paths {
            root.insert(&path.path, *coefficient, path.weight);
        }
        let mut writer = Writer { operations: Vec::new(), forms: Vec::new(), slots: 1, lattice };
        writer.emit_sum(&root, start, 0, false);
        Self {
            operations: writer.operations.into(),
            weights: vec![0.0; writer.forms.len()],
            forms: writer.forms.into(),
            slots: writer.slots,
            width: lattice.ndim(),
            lattice: lattice.clone(),
        }
    }

    /// The same program with these coefficients.
    pub fn at(&self, coefficients: &[f64]) -> Self {
        let value = |form: &Form| form.iter().map(|&(n, factor)| coefficients[n] * factor).sum();
        Self { weights: self.forms.iter().map(value).collect(), ..self.clone() }
    }

    /// The same program for links with other items behind them, `[vector][width]`.
    pub fn among(self, width: usize) -> Self {
        Self { width, ..self }
    }

    /// Number of slots that [`Program::run`] works with.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Working memory for [`Program::run`].
    pub fn scratch<R: Real, const N: usize>(&self) -> Vec<Matrix<R, N>> {
        bytemuck::zeroed_vec(self.slots)
    }
}

impl Writer<'_> {
    fn weight(&mut self, form: &Form) -> Weight {
        self.forms.push(form.clone());
        self.forms.len() - 1
    }

    fn push(&mut self, target: usize, accumulate: bool, left: Option<Factor>, right: Right) {
        self.slots = self.slots.max(target + 1);
        self.operations.push(Operation { target, accumulate, left, right });
    }

    /// The link passed by `step` from `x`, and where the step ends.
    fn factor(&self, step: i8, mut x: Displacement) -> (Factor, Displacement) {
        let (mu, other) = (direction(step) % MAX_DIMENSIONS, direction(step) / MAX_DIMENSIONS);
        let mut end = x;
        end[mu] += i32::from(step.signum());
        if step < 0 {
            x = end;
        }
        for (x, &extent) in x.iter_mut().zip(self.lattice.extents()) {
            *x = x.rem_euclid(extent as i32);
        }
        let item = if other == 0 { mu } else { self.lattice.ndim() + other - 1 };
        (Factor { shift: self.lattice.shift(x), item, adjoint: step < 0 }, end)
    }

    /// `slot[target] (+)= weight + sum of children`.
    fn emit_sum(&mut self, node: &Node, x: Displacement, target: usize, mut accumulate: bool) {
        for (step, child) in &node.children {
            self.emit_product(*step, child, x, target, accumulate);
            accumulate = true;
        }
        if !node.weight.is_empty() || node.children.is_empty() {
            let weight = self.weight(&node.weight);
            self.push(target, accumulate, None, Right::One(weight));
        }
    }

    /// `slot[target] (+)= link(step) * (sum of node)`: unbranched stretches alternate between two slots.
    fn emit_product(&mut self, step: i8, node: &Node, x: Displacement, target: usize, accumulate: bool) {
        let (mut chain, mut node, mut at) = (vec![self.factor(step, x)], node, x);
        at.clone_from(&chain[0].1);
        while let ([(step, child)], true) = (node.children.as_slice(), node.weight.is_empty()) {
            let next = self.factor(*step, at);
            at = next.1;
            chain.push(next);
            node = child;
        }
        let mut factors: Vec<Factor> = chain.into_iter().map(|(factor, _)| factor).collect();
        let (one, other) = (target + 1, target + 2);
        let mut right = if node.children.is_empty() {
            let weight = self.weight(&node.weight);
            match factors.len() {
                1 => Right::One(weight),
                n => Right::Link(factors.remove(n - 1), weight),
            }
        } else {
            self.emit_sum(node, at, one, false);
            Right::Slot(one)
        };
        while factors.len() > 1 {
            let to = if matches!(right, Right::Slot(slot) if slot == one) { other } else { one };
            let left = factors.pop();
            self.push(to, false, left, right);
            right = Right::Slot(to);
        }
        let left = factors.pop();
        self.push(target, accumulate, left, right);
    }
}

impl Program {
    /// Runs the program at site vector `vector`; the result is in `slots[0]`. `links` are stored `[vector][mu]`.
    ///
    /// Entered anew rather than inlined, so that it is compiled once for all kernels of a scalar type and group.
    #[inline(always)]
    pub fn run<R: Real, const N: usize>(&self, links: &[Matrix<R, N>], slots: &mut [Matrix<R, N>], vector: usize) {
        R::vectorize(Walk { program: self, links, slots, vector });
    }

    #[inline(always)]
    fn walk<R: Real, const N: usize>(&self, links: &[Matrix<R, N>], slots: &mut [Matrix<R, N>], vector: usize) {
        let mut moved = [Matrix::zero(); 2];
        let [moved_left, moved_right] = &mut moved;
        for op in self.operations.iter() {
            match &op.left {
                None => op.add_unit(slots, &self.weights),
                Some(factor) => {
                    let left = self.fetch(links, factor, vector, moved_left);
                    match &op.right {
                        Right::One(weight) => op.add_link(slots, left, factor.adjoint, self.weights[*weight]),
                        Right::Slot(slot) => {
                            if let Ok([target, right]) = slots.get_disjoint_mut([op.target, *slot]) {
                                multiply(target, op.accumulate, left, factor.adjoint, right);
                            }
                        }
                        Right::Link(right, weight) => {
                            let (m, weight) = (self.fetch(links, right, vector, moved_right), self.weights[*weight]);
                            if right.adjoint || weight != 1.0 {
                                let m = if right.adjoint { m.adjoint() } else { *m };
                                *moved_right = m.scale(R::splat(weight));
                                multiply(&mut slots[op.target], op.accumulate, left, factor.adjoint, moved_right);
                            } else {
                                multiply(&mut slots[op.target], op.accumulate, left, factor.adjoint, m);
                            }
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn fetch<'a, R: Real, const N: usize>(
        &self,
        links: &'a [Matrix<R, N>],
        factor: &Factor,
        vector: usize,
        moved: &'a mut Matrix<R, N>,
    ) -> &'a Matrix<R, N> {
        self.lattice.borrow(links, self.width, factor.item, factor.shift[vector], moved)
    }
}

struct Walk<'a, R, const N: usize> {
    program: &'a Program,
    links: &'a [Matrix<R, N>],
    slots: &'a mut [Matrix<R, N>],
    vector: usize,
}

impl<R: Real, const N: usize> Work for Walk<'_, R, N> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        self.program.walk(self.links, self.slots, self.vector);
    }
}

impl Operation {
    #[inline(always)]
    fn add_unit<R: Real, const N: usize>(&self, slots: &mut [Matrix<R, N>], weights: &[f64]) {
        let Right::One(weight) = self.right else { return };
        let target = &mut slots[self.target];
        if !self.accumulate {
            *target = Matrix::zero();
        }
        for i in 0..N {
            target.0[i][i].re += R::splat(weights[weight]);
        }
    }

    #[inline(always)]
    fn add_link<R: Real, const N: usize>(
        &self,
        slots: &mut [Matrix<R, N>],
        link: &Matrix<R, N>,
        adjoint: bool,
        weight: f64,
    ) {
        let link = if adjoint { link.adjoint() } else { *link }.scale(R::splat(weight));
        let target = &mut slots[self.target];
        *target = if self.accumulate { target.add(&link) } else { link };
    }
}

/// `target (+)= left right` or `left^dagger right`.
#[inline(always)]
fn multiply<R: Real, const N: usize>(
    target: &mut Matrix<R, N>,
    accumulate: bool,
    left: &Matrix<R, N>,
    adjoint: bool,
    right: &Matrix<R, N>,
) {
    if N == 1 {
        // In registers: what has just been stored is slow to load.
        let mut sum = if accumulate { *target } else { Matrix::zero() };
        if adjoint {
            sum.add_product_here::<true>(left, right);
        } else {
            sum.add_product_here::<false>(left, right);
        }
        *target = sum;
        return;
    }
    if !accumulate {
        *target = Matrix::zero();
    }
    if adjoint {
        target.add_product_here::<true>(left, right);
    } else {
        target.add_product_here::<false>(left, right);
    }
}
