//! Closed loops as data, and the programs that multiply links along them.
//!
//! A path is a list of signed directions: `+(mu+1)` is a step forward in direction mu, `-(mu+1)` a step back. Staples follow by
//! deleting a link. All paths that start at one point are merged into a prefix tree, so shared beginnings are multiplied once.

use super::{Displacement, MAX_DIMENSIONS};
use crate::error::{Error, Result};
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
