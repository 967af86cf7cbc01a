//! Fluxes k (conserved, in Z) and l (in N) on the links of a periodic lattice: the dual form of a complex scalar field (arXiv 1206.2954).

use crate::error::{Error, Result};
use crate::memory::{product, require};

/// Largest number of links.
const MOST_LINKS: usize = 1 << 28;

/// Ends of links and neighbours of sites; the last direction is time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torus {
    extents: Vec<usize>,
    sites: usize,
    /// Neighbours `[site][forward 0 .. D-1, backward 0 .. D-1]`.
    near: Vec<u32>,
    /// Ends `[nu][site]` of the link from x to x + nu.
    ends: Vec<[u32; 2]>,
}

impl Torus {
    /// Extents of one to four directions, each at least 2.
    pub fn new(extents: &[usize]) -> Result<Self> {
        let ndim = extents.len();
        if !(1..=4).contains(&ndim) {
            return Err(Error::value(format!("a lattice of {ndim} directions; allowed are 1 to 4")));
        }
        if let Some(direction) = extents.iter().position(|&extent| extent < 2) {
            return Err(Error::value(format!(
                "extent {} in direction {direction} of {extents:?}; every extent is at least 2: a direction of extent 1 only \
                 shifts eta by 2, so leave it out and give eta - 2",
                extents[direction]
            )));
        }
        let links = product(extents, ndim);
        if links > MOST_LINKS as u128 {
            return Err(Error::value(format!("{extents:?} has {links} links; allowed are at most {MOST_LINKS}")));
        }
        require(&format!("neighbours of a lattice {extents:?}"), 16 * links)?;
        let sites: usize = extents.iter().product();
        let mut near = vec![0; 2 * ndim * sites];
        let mut stride = sites;
        for (nu, extent) in extents.iter().enumerate() {
            stride /= extent;
            for x in 0..sites {
                let c = x / stride % extent;
                near[x * 2 * ndim + nu] = (x - c * stride + (c + 1) % extent * stride) as u32;
                near[x * 2 * ndim + ndim + nu] = (x - c * stride + (c + extent - 1) % extent * stride) as u32;
            }
        }
        let ends = (0..ndim * sites).map(|link| [(link % sites) as u32, near[link % sites * 2 * ndim + link / sites]]);
        let ends = ends.collect();
        Ok(Self { extents: extents.to_vec(), sites, near, ends })
    }

    /// Extents, time last.
    pub fn extents(&self) -> &[usize] {
        &self.extents
    }
    /// Number of directions.
    pub fn ndim(&self) -> usize {
        self.extents.len()
    }
    /// Number of sites.
    pub fn sites(&self) -> usize {
        self.sites
    }
    /// Number of links.
    pub fn links(&self) -> usize {
        self.ends.len()
    }
    /// Neighbour of a site: direction nu forward, D + nu backward.
    #[inline(always)]
    pub fn neighbour(&self, site: usize, direction: usize) -> usize {
        self.near[site * 2 * self.extents.len() + direction] as usize
    }
    /// The two ends of a link, `[nu][site]`.
    #[inline(always)]
    pub fn ends(&self, link: usize) -> [usize; 2] {
        self.ends[link].map(|x| x as usize)
    }
}

/// The two fluxes of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Link {
    /// Conserved flux.
    pub k: i32,
    /// Number of pairs of opposite hops beyond |k|.
    pub l: i32,
}

/// Fluxes of all links, `[nu][site]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flux(pub Vec<Link>);

impl Flux {
    /// No flux anywhere.
    pub fn empty(torus: &Torus) -> Self {
        Self(vec![Link::default(); torus.links()])
    }

    /// From arrays `[nu][site]`: l must not be negative and k conserved at every site.
    pub fn new(torus: &Torus, k: &[i32], l: &[i32]) -> Result<Self> {
        if k.len() != torus.links() || l.len() != torus.links() {
            let (a, b, links) = (k.len(), l.len(), torus.links());
            return Err(Error::value(format!("k of {a} and l of {b} links; {:?} has {links}", torus.extents)));
        }
        if let Some(n) = l.iter().position(|&l| l < 0) {
            return Err(Error::value(format!("l = {} on link {n}; l counts pairs of hops and is at least 0", l[n])));
        }
        let flux = Self(k.iter().zip(l).map(|(&k, &l)| Link { k, l }).collect());
        match flux.divergence(torus).iter().position(|&d| d != 0) {
            Some(x) => Err(Error::value(format!(
                "k is not conserved: its divergence at site {x} (in C order) is {}; closed configurations have 0 everywhere",
                flux.divergence(torus)[x]
            ))),
            None => Ok(flux),
        }
    }

    /// sum_nu [k_{x,nu} - k_{x-nu,nu}] at every site.
    pub fn divergence(&self, torus: &Torus) -> Vec<i64> {
        let mut divergence = vec![0; torus.sites()];
        for (link, flux) in self.0.iter().enumerate() {
            let [x, y] = torus.ends(link);
            divergence[x] += i64::from(flux.k);
            divergence[y] -= i64::from(flux.k);
        }
        divergence
    }

    /// f_x / 2 = sum over the links at x of (|k|/2 + l), an integer where k is conserved.
    pub fn half_occupation(&self, torus: &Torus) -> Vec<usize> {
        let mut occupation = vec![0; torus.sites()];
        for (link, flux) in self.0.iter().enumerate() {
            for x in torus.ends(link) {
                occupation[x] += flux.k.unsigned_abs() as usize + 2 * flux.l as usize;
            }
        }
        occupation.iter().map(|f| f / 2).collect()
    }

    /// sum_x k_{x,time}: the charge times the extent of time.
    pub fn time_flux(&self, torus: &Torus) -> i64 {
        self.0[torus.links() - torus.sites()..].iter().map(|link| i64::from(link.k)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_there_and_back_are_none() {
        let torus = Torus::new(&[2, 3, 4]).unwrap();
        assert_eq!((torus.sites(), torus.links(), torus.ndim()), (24, 72, 3));
        for x in 0..24 {
            for nu in 0..3 {
                assert_eq!(torus.neighbour(torus.neighbour(x, nu), 3 + nu), x);
                assert_eq!(torus.ends(nu * 24 + x), [x, torus.neighbour(x, nu)]);
            }
        }
        assert_eq!(torus.neighbour(3, 2), 0);
        assert_eq!(torus.neighbour(0, 3), 12);
    }

    #[test]
    fn wrong_lattices_and_fluxes_are_refused() {
        for extents in [&[][..], &[1], &[4, 1], &[2; 5], &[1 << 20, 1 << 20]] {
            assert!(Torus::new(extents).is_err(), "{extents:?}");
        }
        let torus = Torus::new(&[2, 2]).unwrap();
        let refused = |k: [i32; 8], l: [i32; 8]| Flux::new(&torus, &k, &l).is_err();
        assert!(refused([1, 0, 0, 0, 0, 0, 0, 0], [0; 8]));
        assert!(refused([0; 8], [0, 0, -1, 0, 0, 0, 0, 0]));
        let winding = Flux::new(&torus, &[0, 0, 0, 0, 1, 1, 0, 0], &[0; 8]).unwrap();
        assert_eq!(winding.time_flux(&torus), 2);
        assert_eq!(winding.half_occupation(&torus), [1, 1, 0, 0]);
    }
}
