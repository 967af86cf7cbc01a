//! Closed loops as data, and the programs that multiply links along them.
//!
//! A path is a list of signed directions: `+(mu+1)` is a step forward in direction mu, `-(mu+1)` a step back. Staples follow by
//! deleting a link. All paths that start at one point are merged into a prefix tree, so shared beginnings are multiplied once.

use crate::error::{Error, Result};
use crate::lattice::{Displacement, Lattice, MAX_DIMENSIONS, Neighbor, Shift};
use crate::matrix::Matrix;
use crate::real::{Real, Work};
use std::collections::HashSet;

/// Signed directions, `+-(mu+1)`.
pub type Path = Vec<i8>;

/// A path with a coefficient.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightedPath {
    /// Factor of the product along the path.
    pub weight: f64,
    /// The path.
    pub path: Path,
}

/// Direction of a step.
pub fn direction(step: i8) -> usize {
    usize::from(step.unsigned_abs()) - 1
}

/// Where a path ends when it starts at the origin.
pub fn end(path: &[i8]) -> Displacement {
    let mut x = [0; MAX_DIMENSIONS];
    for &step in path {
        x[direction(step)] += i32::from(step.signum());
    }
    x
}

/// The path walked the other way.
pub fn reversed(path: &[i8]) -> Path {
    path.iter().rev().map(|s| -s).collect()
}

/// Checks a user's path: known directions, not empty, closed on the periodic lattice.
pub fn check_closed(path: &[i8], extents: &[usize]) -> Result<()> {
    let ndim = extents.len();
    if path.is_empty() || path.len() > 4096 {
        return Err(Error::value(format!("a loop has {} steps; allowed are 1 to 4096", path.len())));
    }
    if let Some(step) = path.iter().find(|s| **s == 0 || usize::from(s.unsigned_abs()) > ndim) {
        return Err(Error::value(format!(
            "step {step} in loop {path:?}: steps on a {ndim}-dimensional lattice are +-1 to +-{ndim} (direction mu is +-(mu+1))"
        )));
    }
    let end = end(path);
    if (0..ndim).any(|mu| i64::from(end[mu]) % extents[mu] as i64 != 0) {
        return Err(Error::value(format!(
            "loop {path:?} ends at displacement {:?}; it must close on the periodic lattice {extents:?}",
            &end[..ndim]
        )));
    }
    Ok(())
}

/// The planes mu < nu.
pub fn planes(ndim: usize) -> impl Iterator<Item = (i8, i8)> {
    let n = ndim as i8;
    (1..=n).flat_map(move |mu| (mu + 1..=n).map(move |nu| (mu, nu)))
}

/// A rectangle of `r` steps along `mu` and `t` along `nu`.
pub fn rectangle(mu: i8, nu: i8, r: usize, t: usize) -> Path {
    [(mu, r), (nu, t), (-mu, r), (-nu, t)].iter().flat_map(|&(step, n)| std::iter::repeat_n(step, n)).collect()
}

/// Names of the loop families.
pub const FAMILIES: [&str; 9] = [
    "plaquette",
    "rectangle",
    "chair",
    "polyakov_t",
    "polyakov_s",
    "polyakov_x",
    "polyakov_y",
    "polyakov_z",
    "polyakov",
];

/// All loops of a named family, each unoriented loop of the lattice once when summed over sites.
///
/// `plaquette`: mu < nu; `rectangle`: all 2x1 and 1x2; `chair`: two plaquettes folded along a common link;
/// `polyakov_*`: lines winding once (weight 1/L, since each is met from L starting sites), `_s` all but the last direction.
pub fn family(name: &str, extents: &[usize]) -> Result<Vec<WeightedPath>> {
    let ndim = extents.len();
    let unit = |path| WeightedPath { weight: 1.0, path };
    let winding = |mu: usize| WeightedPath { weight: 1.0 / extents[mu] as f64, path: vec![mu as i8 + 1; extents[mu]] };
    let needs = |n: usize| match ndim < n {
        true => Err(Error::value(format!("loop \"{name}\" needs {n} dimensions; the lattice has {ndim}"))),
        false => Ok(()),
    };
    Ok(match name {
        "plaquette" => {
            needs(2)?;
            planes(ndim).map(|(mu, nu)| unit(rectangle(mu, nu, 1, 1))).collect()
        }
        "rectangle" => {
            needs(2)?;
            planes(ndim).flat_map(|(mu, nu)| [rectangle(mu, nu, 2, 1), rectangle(mu, nu, 1, 2)]).map(unit).collect()
        }
        "chair" => {
            needs(3)?;
            chairs(ndim as i8).into_iter().map(unit).collect()
        }
        "polyakov" => (0..ndim).map(winding).collect(),
        "polyakov_t" => vec![winding(ndim - 1)],
        "polyakov_s" => {
            needs(2)?;
            (0..ndim - 1).map(winding).collect()
        }
        "polyakov_x" | "polyakov_y" | "polyakov_z" => {
            let mu = usize::from(name.as_bytes()[9] - b'x');
            needs(mu + 2)?;
            vec![winding(mu)]
        }
        _ => return Err(Error::value(format!("unknown loop \"{name}\"; known: {}", FAMILIES.join(", ")))),
    })
}

/// Common link along nu, plaquettes in the planes (mu, nu) and (nu, rho), every orientation of mu and rho.
fn chairs(ndim: i8) -> Vec<Path> {
    let mut chairs = Vec::new();
    for nu in 1..=ndim {
        for mu in (1..=ndim).filter(|&mu| mu != nu) {
            for rho in (mu + 1..=ndim).filter(|&rho| rho != nu) {
                for (m, r) in [(mu, rho), (mu, -rho), (-mu, rho), (-mu, -rho)] {
                    chairs.push(vec![m, nu, -m, r, -nu, -r]);
                }
            }
        }
    }
    chairs
}

/// Staples of the links of direction `mu`: paths V from x+mu to x with Re tr(U_mu(x) V) a loop of the list, one for each
/// time the loop passes the link (loops that pass backwards are reversed).
pub fn staples(loops: &[WeightedPath], mu: usize) -> Vec<WeightedPath> {
    let step = mu as i8 + 1;
    let mut staples = Vec::new();
    for oriented in loops.iter().flat_map(|l| [(l.weight, l.path.clone()), (l.weight, reversed(&l.path))]) {
        let (weight, path) = oriented;
        for p in (0..path.len()).filter(|&p| path[p] == step) {
            let rest = path[p + 1..].iter().chain(&path[..p]).copied().collect();
            staples.push(WeightedPath { weight, path: rest });
        }
    }
    staples
}

/// Displacements, on the periodic lattice, at which staples of a link of direction `mu` contain links of direction `mu`.
pub fn conflicts(loops: &[WeightedPath], mu: usize, extents: &[usize]) -> HashSet<Displacement> {
    let mut conflicts = HashSet::new();
    for staple in staples(loops, mu) {
        let mut x = [0; MAX_DIMENSIONS];
        x[mu] = 1;
        for &step in &staple.path {
            let nu = direction(step);
            x[nu] -= i32::from(step < 0);
            if nu == mu {
                conflicts.insert(std::array::from_fn(|k| extents.get(k).map_or(0, |&e| x[k].rem_euclid(e as i32))));
            }
            x[nu] += i32::from(step > 0);
        }
    }
    conflicts
}

#[derive(Debug, Clone)]
struct Factor {
    shift: Shift,
    mu: usize,
    adjoint: bool,
}

#[derive(Debug, Clone)]
enum Right {
    /// The unit matrix times a weight.
    One(f64),
    /// Another link, with a weight.
    Link(Factor, f64),
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

/// A weighted sum of path products that all start at one point, ready to run on one lattice.
#[derive(Debug, Clone)]
pub struct Program {
    operations: Vec<Operation>,
    slots: usize,
    ndim: usize,
    lattice: std::sync::Arc<Lattice>,
}

#[derive(Default)]
struct Node {
    weight: f64,
    children: Vec<(i8, Node)>,
}

impl Node {
    fn insert(&mut self, path: &[i8], weight: f64) {
        let Some((&step, rest)) = path.split_first() else {
            self.weight += weight;
            return;
        };
        let known = self.children.iter().position(|(s, _)| *s == step);
        let n = known.unwrap_or_else(|| {
            self.children.push((step, Node::default()));
            self.children.len() - 1
        });
        self.children[n].1.insert(rest, weight);
    }
}

impl Program {
    /// Compiles the paths, all starting at displacement `start` from the site.
    pub fn new(lattice: &std::sync::Arc<Lattice>, start: Displacement, paths: &[WeightedPath]) -> Self {
        let mut root = Node::default();
        for p in paths {
            root.insert(&p.path, p.weight);
        }
        let mut program = Self { operations: Vec::new(), slots: 1, ndim: lattice.ndim(), lattice: lattice.clone() };
        program.emit_sum(&root, start, 0, false);
        program
    }

    fn push(&mut self, target: usize, accumulate: bool, left: Option<Factor>, right: Right) {
        self.slots = self.slots.max(target + 1);
        self.operations.push(Operation { target, accumulate, left, right });
    }

    /// The link passed by `step` from `x`, and where the step ends.
    fn factor(&self, step: i8, mut x: Displacement) -> (Factor, Displacement) {
        let mu = direction(step);
        let mut end = x;
        end[mu] += i32::from(step.signum());
        if step < 0 {
            x = end;
        }
        for (x, &extent) in x.iter_mut().zip(self.lattice.extents()) {
            *x = x.rem_euclid(extent as i32);
        }
        (Factor { shift: self.lattice.shift(x), mu, adjoint: step < 0 }, end)
    }

    /// `slot[target] (+)= weight + sum of children`.
    fn emit_sum(&mut self, node: &Node, x: Displacement, target: usize, mut accumulate: bool) {
        for (step, child) in &node.children {
            self.emit_product(*step, child, x, target, accumulate);
            accumulate = true;
        }
        if node.weight != 0.0 || node.children.is_empty() {
            self.push(target, accumulate, None, Right::One(node.weight));
        }
    }

    /// `slot[target] (+)= link(step) * (sum of node)`: unbranched stretches alternate between two slots.
    fn emit_product(&mut self, step: i8, node: &Node, x: Displacement, target: usize, accumulate: bool) {
        let (mut chain, mut node, mut at) = (vec![self.factor(step, x)], node, x);
        at.clone_from(&chain[0].1);
        while let ([(step, child)], 0.0) = (node.children.as_slice(), node.weight) {
            let next = self.factor(*step, at);
            at = next.1;
            chain.push(next);
            node = child;
        }
        let mut factors: Vec<Factor> = chain.into_iter().map(|(factor, _)| factor).collect();
        let (one, other) = (target + 1, target + 2);
        let mut right = if node.children.is_empty() {
            match factors.len() {
                1 => Right::One(node.weight),
                n => Right::Link(factors.remove(n - 1), node.weight),
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

    /// Working memory for [`Program::run`].
    pub fn scratch<R: Real, const N: usize>(&self) -> Vec<Matrix<R, N>> {
        vec![Matrix::zero(); self.slots]
    }

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
        for op in &self.operations {
            match &op.left {
                None => op.add_unit(slots),
                Some(factor) => {
                    let left = self.fetch(links, factor, vector, moved_left);
                    match &op.right {
                        Right::One(weight) => op.add_link(slots, left, factor.adjoint, *weight),
                        Right::Slot(slot) => {
                            if let Ok([target, right]) = slots.get_disjoint_mut([op.target, *slot]) {
                                multiply(target, op.accumulate, left, factor.adjoint, right);
                            }
                        }
                        Right::Link(right, weight) => {
                            let m = self.fetch(links, right, vector, moved_right);
                            if right.adjoint || *weight != 1.0 {
                                let m = if right.adjoint { m.adjoint() } else { *m };
                                *moved_right = m.scale(R::splat(*weight));
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
        let neighbor: Neighbor = factor.shift[vector];
        let link = &links[neighbor.site() * self.ndim + factor.mu];
        match neighbor.permutation() {
            0 => link,
            p => {
                *moved = link.permute(self.lattice.permutation(p));
                moved
            }
        }
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
    fn add_unit<R: Real, const N: usize>(&self, slots: &mut [Matrix<R, N>]) {
        let Right::One(weight) = self.right else { return };
        let target = &mut slots[self.target];
        if !self.accumulate {
            *target = Matrix::zero();
        }
        for i in 0..N {
            target.0[i][i].re += R::splat(weight);
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
    if !accumulate {
        *target = Matrix::zero();
    }
    if adjoint {
        target.add_adjoint_mul(left, right);
    } else {
        target.add_mul(left, right);
    }
}
