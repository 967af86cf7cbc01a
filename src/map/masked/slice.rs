//! One masked update on one lattice: its active links with their staples, and the other links that these staples pass.

use super::mask::Pattern;
use crate::error::{Error, Result};
use crate::lattice::path::{direction, end, reversed, staples};
use crate::lattice::program::replaced;
use crate::lattice::{Displacement, Lattice, MAX_DIMENSIONS, Path, Program, Shift, WeightedPath};
use crate::number::LaneMask;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A passive link whose neighbours are active.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub direction: usize,
    pub mask: LaneMask,
    pub program: usize,
}

/// A staple by itself.
pub(super) struct Arm {
    pub group: usize,
    pub weight: f64,
    pub program: Program,
}

/// A loop with a number that passes a link: where the loop begins, seen from the site of the link.
#[derive(Debug, Clone)]
pub(super) struct Passage {
    pub number: usize,
    pub shift: Shift,
    pub is_backward: bool,
}

/// Where links commute every link of a loop gets the same cotangent up to its sign, so that numbers stand for paths around links.
pub(super) struct Passages {
    pub lattice: Arc<Lattice>,
    /// Lanes of each class of sites of the link, and the loops through it, `[direction][loop]`.
    pub classes: Vec<(Vec<LaneMask>, Vec<Vec<Passage>>)>,
}

impl Passages {
    /// No loops, on lattices whose classes have these lanes.
    pub fn new(lattice: &Arc<Lattice>, lanes: &[Vec<LaneMask>]) -> Self {
        let classes = lanes.iter().map(|lanes| (lanes.clone(), vec![Vec::new(); lattice.ndim()])).collect();
        Self { lattice: lattice.clone(), classes }
    }

    /// Link `step` of a loop, at `site` as seen from where the loop begins, for links on sites of one class.
    pub fn push(&mut self, class: usize, number: usize, step: i8, site: &Displacement) {
        let mut back = site.map(|x| -x);
        back.iter_mut().zip(self.lattice.extents()).for_each(|(x, &extent)| *x = x.rem_euclid(extent as i32));
        let passage = Passage { number, shift: self.lattice.shift(back), is_backward: step < 0 };
        self.classes[class].1[direction(step)].push(passage);
    }
}

/// Geometry of a masked update of the links of one direction on one class of sites.
pub(super) struct Slice {
    pub direction: usize,
    /// Site vectors with active links, and their lanes.
    pub active: Vec<(usize, LaneMask)>,
    /// The staples of each group, for links alone and for links with replacements behind them.
    pub staples: Vec<Program>,
    pub wide: Vec<Program>,
    /// Staples of each group, counted by the modulus of their weights.
    pub counts: Vec<f64>,
    /// Number among the active ones of every site vector.
    pub number: Vec<u32>,
    /// The links that the staples pass: item ndim + group of its site replaces an active link.
    pub passives: Passives,
    /// The same where links commute: all staples, with replacements behind the links, and the loops that they close.
    pub arms: Vec<Arm>,
    pub passages: Passages,
}

/// Links in loops one link of which is replaced, and for each all paths from its end back to its beginning.
pub(super) struct Passives {
    pub targets: Vec<Target>,
    /// Targets of a site vector begin here.
    pub first: Vec<usize>,
    pub programs: Vec<Program>,
}

/// Direction of links and class of their sites (all classes if none is named) with paths around them.
pub(super) type Around = BTreeMap<(usize, Option<usize>), Vec<WeightedPath>>;

/// From the end of link `p` of a loop back to its beginning, with the first link replaced; and where that link lies, seen from the
/// beginning of the loop. Around the first link itself the loop ends with the replacement and the link back.
pub(super) fn around(plain: &[i8], number: usize, p: usize) -> (Displacement, Path) {
    let first = replaced(plain[0], number);
    let closed = [&[first], &plain[1..]].concat();
    let (before, after) = (&closed[..p], &closed[p + 1..]);
    match (p, plain[p] > 0) {
        (0, _) => (Displacement::default(), [after, &[first, -plain[0]]].concat()),
        (_, true) => (end(&plain[..p]), [after, before].concat()),
        (_, false) => (end(&plain[..=p]), [reversed(before), reversed(after)].concat()),
    }
}

impl Slice {
    /// Exchanges the active links, stored `[site vector][width]`, for others.
    pub fn swap<T>(&self, (items, width): (&mut [T], usize), others: &mut [T]) {
        for (&(vector, _), other) in self.active.iter().zip(others) {
            std::mem::swap(&mut items[vector * width + self.direction], other);
        }
    }
}

/// What all slices of a layer share.
pub(super) struct Geometry<'a> {
    pub lattice: &'a Arc<Lattice>,
    pub pattern: Pattern,
    pub lanes: &'a [Vec<LaneMask>],
    /// Items of a site with its replacements.
    pub width: usize,
}

impl Geometry<'_> {
    /// The slice of direction `mu` and class `class`; staples that pass an active link are left out.
    pub fn slice(&self, groups: &[Vec<WeightedPath>], mu: usize, class: usize) -> Result<Slice> {
        let free = |loops: &Vec<WeightedPath>| -> Vec<_> {
            let passes_none = |staple: &WeightedPath| self.pattern.is_free(&staple.path, unit(mu), class, (mu, class));
            staples(loops, mu).into_iter().filter(passes_none).collect()
        };
        let staples: Vec<Vec<WeightedPath>> = groups.iter().map(free).collect();
        if let Some(k) = staples.iter().position(Vec::is_empty) {
            return Err(Error::value(format!(
                "group {k} of loops has no staple for links of direction {mu} that passes no other link of the mask; use the mask \
                 \"sublattices\" or other loops"
            )));
        }
        let program =
            |list: &[(usize, &WeightedPath)], start: usize| Program::linear(self.lattice, unit(start), list).at(&[1.0]);
        let sums = staples.iter().map(|list| list.iter().map(|path| (0, path)).collect::<Vec<_>>());
        let plain: Vec<Program> = sums.map(|list| program(&list, mu)).collect();
        let mut passages = Passages::new(self.lattice, self.lanes);
        let all = staples.iter().enumerate().flat_map(|(k, list)| list.iter().map(move |staple| (k, staple)));
        let arm = |(j, (group, staple)): (usize, (usize, &WeightedPath))| {
            let plain = [&[mu as i8 + 1], &staple.path[..]].concat();
            for p in 1..plain.len() {
                let (site, _) = around(&plain, group, p);
                passages.push(self.pattern.moved(class, &site), j, plain[p], &site);
            }
            let alone = WeightedPath { weight: 1.0, path: staple.path.clone() };
            let program = Program::new(self.lattice, unit(mu), &[alone]).among(self.width);
            Arm { group, weight: staple.weight, program }
        };
        let arms = all.enumerate().map(arm).collect();
        let active: Vec<_> = self.lanes[class].iter().copied().enumerate().filter(|(_, mask)| *mask != 0).collect();
        let mut number = vec![u32::MAX; self.lattice.vectors()];
        active.iter().enumerate().for_each(|(n, &(vector, _))| number[vector] = n as u32);
        Ok(Slice {
            direction: mu,
            active,
            wide: plain.iter().map(|program| program.clone().among(self.width)).collect(),
            staples: plain,
            counts: staples.iter().map(|list| list.iter().map(|staple| staple.weight.abs()).sum()).collect(),
            passives: self.passives(&self.through(&staples, mu, class)),
            number,
            arms,
            passages,
        })
    }

    /// The paths around every passive link in loops of staples and an active link of direction `mu` on sites of class `class`.
    fn through(&self, staples: &[Vec<WeightedPath>], mu: usize, class: usize) -> Around {
        let mut through = Around::new();
        for (k, staple) in staples.iter().enumerate().flat_map(|(k, list)| list.iter().map(move |staple| (k, staple))) {
            let plain = [&[mu as i8 + 1], &staple.path[..]].concat();
            for p in 1..plain.len() {
                let (site, path) = around(&plain, k, p);
                let key = (direction(plain[p]), Some(self.pattern.moved(class, &site)));
                through.entry(key).or_default().push(WeightedPath { weight: staple.weight, path });
            }
        }
        through
    }

    /// Compiles paths around links.
    pub fn passives(&self, around: &Around) -> Passives {
        let compile = |((nu, _), list): (&(usize, _), &Vec<WeightedPath>)| {
            Program::new(self.lattice, unit(*nu), list).among(self.width)
        };
        let everywhere = ((1u32 << self.lattice.lanes()) - 1) as LaneMask;
        let (mut targets, mut first) = (Vec::new(), vec![0]);
        for vector in 0..self.lattice.vectors() {
            for (program, &(direction, class)) in around.keys().enumerate() {
                let mask = class.map_or(everywhere, |class| self.lanes[class][vector]);
                if mask != 0 {
                    targets.push(Target { direction, mask, program });
                }
            }
            first.push(targets.len());
        }
        Passives { targets, first, programs: around.iter().map(compile).collect() }
    }
}

fn unit(mu: usize) -> Displacement {
    let mut x = [0; MAX_DIMENSIONS];
    x[mu] = 1;
    x
}
