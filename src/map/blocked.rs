//! APE smearing (Albanese et al., Phys. Lett. B 192 (1987) 163) and HYP smearing (Hasenfratz and Knechtli, hep-lat/0103029) as layers:
//! averages of a link and staples of (possibly already smeared) links, projected to the group.
//!
//! V_mu;A = Project(X), X = (1 - alpha) U_mu + alpha/(2 p) sum over the p directions nu != mu of the set A of the two staples with sides
//! V_nu;A-mu and far link V_mu;A-nu of the level below, whose alpha is the next one; below the last level V = U. One level is APE
//! smearing in the directions A, as many as fit HYP smearing.
//!
//! Reverse pass, level by level from the outside: a cotangent F of V gives C with dS = Re tr(C dX) (`group::pull_projection`), which is a
//! factor of the cotangents of the links in the staples; dS/dalpha = sum Re tr(C dX/dalpha).

use super::staples::displacement;
use crate::concept::{Configuration, Map, Tape};
use crate::error::{Error, Result};
use crate::field::{self, ItemKernel, SiteKernel, SumKernel};
use crate::gauge::{GaugeField, LinkAlgebra};
use crate::group;
use crate::interrupt;
use crate::lattice::{Lattice, Neighbor, Shift};
use crate::matrix::{Algebra, Matrix};
use crate::number::{Real, each};
use std::sync::Arc;

/// Largest |X^{-1}| of an average that is projected. Its terms are of size one, so that rounding turns what is left of a smaller
/// average, and its derivative, by more than the square root of rounding.
const MOST_INVERSE: f64 = 1e8;

/// Links of one direction on all site vectors.
type Direction<R, const N: usize> = Vec<Matrix<R, N>>;

/// Directions of a lattice as bits.
fn bits(set: u8) -> impl Iterator<Item = usize> {
    (0..8).filter(move |mu| set >> mu & 1 == 1)
}

/// A plane of an average with numbers of link fields: those of the lattice come first, then those of the nodes.
#[derive(Debug, Clone, Copy)]
struct Plane {
    nu: usize,
    side: usize,
    far: usize,
}

/// The links of one direction and level.
#[derive(Debug)]
struct Node {
    mu: usize,
    /// Directions in which their staples, of all levels, lie.
    allowed: u8,
    /// Which coefficient they have.
    alpha: usize,
    planes: Vec<Plane>,
}

/// How a link field enters an average.
#[derive(Debug, Clone, Copy)]
enum Use {
    Side(Plane),
    Far(Plane),
}

/// APE and HYP smearing on one lattice; the parameters are the coefficients, from the outermost level inwards.
pub struct BlockedLayer {
    lattice: Arc<Lattice>,
    levels: usize,
    /// The links of every level, each once and after those that they are made of: 28 in four dimensions.
    nodes: Vec<Node>,
    /// By link field: the nodes in whose averages it is.
    uses: Vec<Vec<(usize, Use)>>,
    /// By direction: the field of smeared links.
    images: Vec<usize>,
}

impl BlockedLayer {
    /// `levels` nested levels of smearing in the `directions` (bit mu; those that the lattice has not are left out).
    pub fn new(lattice: &Arc<Lattice>, directions: u8, levels: usize) -> Result<Self> {
        let ndim = lattice.ndim();
        let directions = directions & (u8::MAX >> (8 - ndim));
        let most = (directions.count_ones() as usize).saturating_sub(1);
        if levels == 0 || levels > most {
            let count = directions.count_ones();
            return Err(Error::value(format!(
                "{levels} levels of averages with staples in {count} directions of a {ndim}-dimensional lattice: there are 1 to {most} \
                 levels, and at least two directions are needed"
            )));
        }
        let mut layer = Self {
            lattice: lattice.clone(),
            levels,
            nodes: Vec::new(),
            uses: (0..ndim).map(|_| Vec::new()).collect(),
            images: (0..ndim).collect(),
        };
        for mu in bits(directions) {
            layer.images[mu] = layer.node(mu, directions, 0);
        }
        Ok(layer)
    }

    /// Number of the field of links of direction `mu` with staples in the `allowed` directions, which the level below may not reuse.
    fn node(&mut self, mu: usize, allowed: u8, alpha: usize) -> usize {
        let ndim = self.lattice.ndim();
        if alpha == self.levels {
            return mu;
        }
        if let Some(found) = self.nodes.iter().position(|node| (node.mu, node.allowed) == (mu, allowed)) {
            return ndim + found;
        }
        let others = bits(allowed).filter(|&nu| nu != mu);
        let planes: Vec<_> = others
            .map(|nu| Plane {
                nu,
                side: self.node(nu, allowed & !(1 << mu), alpha + 1),
                far: self.node(mu, allowed & !(1 << nu), alpha + 1),
            })
            .collect();
        for plane in &planes {
            self.uses[plane.side].push((self.nodes.len(), Use::Side(*plane)));
            self.uses[plane.far].push((self.nodes.len(), Use::Far(*plane)));
        }
        self.nodes.push(Node { mu, allowed, alpha, planes });
        self.uses.push(Vec::new());
        ndim + self.nodes.len() - 1
    }

    /// The links of the lattice by direction, and room for those of every node.
    fn thin<R: Real, const N: usize>(&self, u: &GaugeField<R, N>) -> Vec<Direction<R, N>> {
        let pick = |mu| {
            let mut links = field::zeros(self.lattice.vectors());
            field::update::<R, _>(&Pick { links: u.links(), ndim: self.lattice.ndim(), mu }, 1, &mut links);
            links
        };
        (0..self.lattice.ndim()).map(pick).collect()
    }

    /// Adds the links of all nodes to those of the lattice.
    fn add_levels<R: Real, const N: usize>(&self, alphas: &[f64], links: &mut Vec<Direction<R, N>>) -> Result<()> {
        for node in &self.nodes {
            interrupt::poll()?;
            let mut image = field::zeros(self.lattice.vectors());
            let average = self.average(node, alphas, links);
            let singular = field::for_each::<R, _, _>(&average, 1, &mut image).lane(0);
            if singular != 0.0 {
                return Err(Error::value(format!(
                    "{singular} averages of links of direction {} with coefficient alpha = {} are singular (|X^-1| > {MOST_INVERSE:e}) \
                     or not finite, so that no group element is nearest: take a smaller alpha, smoother links or StoutLayer",
                    node.mu, alphas[node.alpha]
                )));
            }
            links.push(image);
        }
        Ok(())
    }

    fn average<'a, R: Real, const N: usize>(
        &'a self,
        node: &Node,
        alphas: &[f64],
        links: &'a [Direction<R, N>],
    ) -> Average<'a, R, N> {
        let staple = |plane: &Plane| Staple {
            side: &links[plane.side],
            far: &links[plane.far],
            shifts: shifts(&self.lattice, node.mu, plane.nu),
        };
        Average {
            lattice: &self.lattice,
            thin: &links[node.mu],
            staples: node.planes.iter().map(staple).collect(),
            alpha: alphas[node.alpha],
        }
    }

    /// What the averages of other links give to the cotangent of field number `n`; `pulled` holds the C of every node.
    fn branches<'a, R: Real, const N: usize>(
        &'a self,
        n: usize,
        mu: usize,
        alphas: &[f64],
        links: &'a [Direction<R, N>],
        pulled: &'a [Direction<R, N>],
    ) -> Vec<Branch<'a, R, N>> {
        let branch = |(node, entry): &(usize, Use)| {
            let parent = &self.nodes[*node];
            let (is_far, other, partner) = match entry {
                Use::Side(plane) => (false, parent.mu, plane.far),
                Use::Far(plane) => (true, plane.nu, plane.side),
            };
            Branch {
                is_far,
                pulled: &pulled[*node],
                partner: &links[partner],
                factor: alphas[parent.alpha] / (2 * parent.planes.len()) as f64,
                shifts: shifts(&self.lattice, mu, other),
            }
        };
        self.uses[n].iter().map(branch).collect()
    }

    fn image<R: Real, const N: usize>(&self, links: &[Direction<R, N>]) -> GaugeField<R, N> {
        let mut image =
            GaugeField::new(self.lattice.clone(), field::zeros(self.lattice.vectors() * self.lattice.ndim()));
        let directions: Vec<_> = self.images.iter().map(|&n| links[n].as_slice()).collect();
        field::for_each::<R, _, _>(&Join(&directions), self.lattice.ndim(), image.links_mut());
        image
    }
}

/// Shifts by mu, nu, -nu and mu - nu.
fn shifts(lattice: &Lattice, mu: usize, nu: usize) -> [Shift; 4] {
    let shift = |steps: &[(usize, i32)]| lattice.shift(displacement(steps));
    [shift(&[(mu, 1)]), shift(&[(nu, 1)]), shift(&[(nu, -1)]), shift(&[(mu, 1), (nu, -1)])]
}

impl<R: Real, const N: usize> Map<GaugeField<R, N>> for BlockedLayer {
    fn n_parameters(&self) -> usize {
        self.levels
    }

    fn forward(&self, alphas: &[f64], u: &GaugeField<R, N>) -> Result<GaugeField<R, N>> {
        let mut links = self.thin(u);
        self.add_levels(alphas, &mut links)?;
        Ok(self.image(&links))
    }

    /// The links of all levels are kept.
    fn record(&self, alphas: &[f64], u: &GaugeField<R, N>) -> Result<(GaugeField<R, N>, Tape)> {
        let mut links = self.thin(u);
        self.add_levels(alphas, &mut links)?;
        Ok((self.image(&links), Tape::new(links)))
    }

    fn pullback(
        &self,
        alphas: &[f64],
        u: &GaugeField<R, N>,
        tape: &Tape,
        cotangent: &LinkAlgebra<R, N>,
        gradient: Option<&mut [R::Total]>,
    ) -> Result<LinkAlgebra<R, N>> {
        let links: &Vec<Direction<R, N>> = tape.get()?;
        let ndim = self.lattice.ndim();
        let mut pulled: Vec<Direction<R, N>> = self.nodes.iter().map(|_| Vec::new()).collect();
        let mut slopes = vec![R::Total::zero(); self.levels];
        for (n, node) in self.nodes.iter().enumerate().rev() {
            interrupt::poll()?;
            let kernel = Pull {
                average: self.average(node, alphas, links),
                image: &links[ndim + n],
                branches: self.branches(ndim + n, node.mu, alphas, links, &pulled),
                top: (self.images[node.mu] == ndim + n).then_some((cotangent.elements.as_slice(), ndim, node.mu)),
            };
            let mut cotangents = field::zeros(self.lattice.vectors());
            let sums = field::for_each_summed::<R, _, _>(&kernel, 1, &mut cotangents, 1);
            slopes[node.alpha] += sums[0];
            pulled[n] = cotangents;
        }
        if let Some(gradient) = gradient {
            gradient.iter_mut().zip(slopes).for_each(|(gradient, slope)| *gradient += slope);
        }
        let of = |mu: usize| self.nodes.iter().zip(&pulled).filter(move |(node, _)| node.mu == mu);
        let thin = |mu: usize| Thin {
            links: links[mu].as_slice(),
            branches: self.branches(mu, mu, alphas, links, &pulled),
            direct: of(mu).map(|(node, pulled)| (1.0 - alphas[node.alpha], pulled.as_slice())).collect(),
            passed: (self.images[mu] == mu).then_some(cotangent.elements.as_slice()),
        };
        let kernel = Bottom { lattice: &self.lattice, directions: (0..ndim).map(thin).collect() };
        let mut below = u.zero();
        field::for_each::<R, _, _>(&kernel, ndim, &mut below.elements);
        Ok(below)
    }
}

/// Links of one direction.
struct Pick<'a, R, const N: usize> {
    links: &'a [Matrix<R, N>],
    ndim: usize,
    mu: usize,
}

impl<R: Real, const N: usize> ItemKernel<Matrix<R, N>> for Pick<'_, R, N> {
    #[inline(always)]
    fn at(&self, n: usize, link: &mut Matrix<R, N>) {
        *link = self.links[n * self.ndim + self.mu];
    }
}

/// Links of all directions.
struct Join<'a, R, const N: usize>(&'a [&'a [Matrix<R, N>]]);

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for Join<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, links: &mut [Matrix<R, N>]) -> R {
        for (link, direction) in links.iter_mut().zip(self.0) {
            *link = direction[vector];
        }
        R::zero()
    }
}

/// The two staples of a link of direction `mu` in the plane with `nu`: side links from one field, the far link from another.
struct Staple<'a, R, const N: usize> {
    side: &'a [Matrix<R, N>],
    far: &'a [Matrix<R, N>],
    /// Shifts by mu, nu, -nu and mu - nu.
    shifts: [Shift; 4],
}

/// Project((1 - alpha) U + factor x sum of staples); counts the averages that are singular.
struct Average<'a, R, const N: usize> {
    lattice: &'a Lattice,
    thin: &'a [Matrix<R, N>],
    staples: Vec<Staple<'a, R, N>>,
    alpha: f64,
}

#[inline(always)]
fn fetch<R: Real, const N: usize>(lattice: &Lattice, links: &[Matrix<R, N>], at: Neighbor) -> Matrix<R, N> {
    lattice.load(links, 1, 0, at)
}

impl<R: Real, const N: usize> Average<'_, R, N> {
    /// X and the mean of the staples.
    #[inline(always)]
    fn of(&self, vector: usize) -> [Matrix<R, N>; 2] {
        let (lattice, mut sum) = (self.lattice, Matrix::zero());
        for staple in &self.staples {
            let [mu, nu, back, corner] = each([0, 1, 2, 3], |k: usize| staple.shifts[k][vector]);
            let up = staple.side[vector].mul(&fetch(lattice, staple.far, nu));
            sum.add_assign(&up.mul_adjoint(&fetch(lattice, staple.side, mu)));
            let down = fetch(lattice, staple.side, back).adjoint_mul(&fetch(lattice, staple.far, back));
            sum.add_mul(&down, &fetch(lattice, staple.side, corner));
        }
        let mean = sum.scale(R::splat(1.0 / (2 * self.staples.len()) as f64));
        let thin = self.thin[vector].scale(R::splat(1.0 - self.alpha));
        [thin.add(&mean.scale(R::splat(self.alpha))), mean]
    }
}

impl<R: Real, const N: usize> SiteKernel<R, Matrix<R, N>> for Average<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, links: &mut [Matrix<R, N>]) -> R {
        let (image, inverse2) = group::project(&self.of(vector)[0]);
        links[0] = image;
        // NaN is not less than anything.
        let good = inverse2.less(R::splat(MOST_INVERSE * MOST_INVERSE));
        R::one().blend(R::zero(), good)
    }
}

/// An average in whose staples the links are: K with dS = Re tr(K dZ) for a link Z of direction mu in the staples of the plane with nu.
struct Branch<'a, R, const N: usize> {
    /// Whether Z is the far link, the average one of direction mu; else Z is a side and the average one of direction nu.
    is_far: bool,
    pulled: &'a [Matrix<R, N>],
    /// The other links of the staples: sides (of direction nu) where Z is far, far links (of direction nu) where Z is a side.
    partner: &'a [Matrix<R, N>],
    factor: f64,
    shifts: [Shift; 4],
}

impl<R: Real, const N: usize> Branch<'_, R, N> {
    #[inline(always)]
    fn add(&self, lattice: &Lattice, own: &[Matrix<R, N>], vector: usize, sum: &mut Matrix<R, N>) {
        let [mu, nu, back, corner] = each([0, 1, 2, 3], |k: usize| self.shifts[k][vector]);
        let (pulled, partner) = (self.pulled, self.partner);
        let k = if self.is_far {
            // S Z S'^dagger at x - nu, S^dagger Z S' at x + nu
            let head = fetch(lattice, pulled, back).mul(&fetch(lattice, partner, back));
            let mut k = fetch(lattice, partner, corner).adjoint_mul(&head);
            let head = fetch(lattice, pulled, nu).mul_adjoint(&partner[vector]);
            k.add_mul(&fetch(lattice, partner, mu), &head);
            k
        } else {
            // Z F Z'^dagger of the link of direction nu at x, Z'^dagger at x + nu; Z^dagger F Z' and its end one step along mu
            let (ahead, behind) = (fetch(lattice, own, nu), fetch(lattice, own, back));
            let mut turned = fetch(lattice, pulled, back).mul(&behind).mul(&fetch(lattice, partner, corner));
            turned.add_mul(&partner[vector].mul(&ahead), &fetch(lattice, pulled, mu));
            let mut k = turned.adjoint();
            k.add_mul(&fetch(lattice, partner, mu).mul_adjoint(&ahead), &pulled[vector]);
            let head = fetch(lattice, pulled, corner).mul_adjoint(&behind);
            k.add_mul(&head, &fetch(lattice, partner, back));
            k
        };
        sum.add_assign(&k.scale(R::splat(self.factor)));
    }
}

/// F of links Z with dS = Re tr(K dZ).
#[inline(always)]
fn cotangent<R: Real, const N: usize>(z: &Matrix<R, N>, k: &Matrix<R, N>) -> Algebra<R, N> {
    z.mul(k).algebra_part().scale(R::splat(-1.0 / Algebra::<R, N>::METRIC))
}

/// C of the averages of a node, and the derivative with respect to its coefficient.
struct Pull<'a, R, const N: usize> {
    average: Average<'a, R, N>,
    image: &'a [Matrix<R, N>],
    branches: Vec<Branch<'a, R, N>>,
    /// The cotangent of the layer where the node is in its image: elements, how many a site, which.
    top: Option<(&'a [Algebra<R, N>], usize, usize)>,
}

impl<R: Real, const N: usize> SumKernel<R, Matrix<R, N>> for Pull<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), sums: &mut [R], vector: usize, pulled: &mut [Matrix<R, N>]) {
        let f = match self.top {
            Some((elements, ndim, mu)) => elements[vector * ndim + mu],
            None => {
                let mut k = Matrix::zero();
                for branch in &self.branches {
                    branch.add(self.average.lattice, self.image, vector, &mut k);
                }
                cotangent(&self.image[vector], &k)
            }
        };
        let [x, mean] = self.average.of(vector);
        let c = group::pull_projection(&x, &self.image[vector], &f);
        sums[0] += c.trace_mul(&mean).re - c.trace_mul(&self.average.thin[vector]).re;
        pulled[0] = c;
    }
}

/// What there is to the cotangent of links of the lattice.
struct Thin<'a, R, const N: usize> {
    links: &'a [Matrix<R, N>],
    branches: Vec<Branch<'a, R, N>>,
    /// 1 - alpha of the averages that hold the link, with their C.
    direct: Vec<(f64, &'a [Matrix<R, N>])>,
    /// The cotangent of the layer, where the links are not changed.
    passed: Option<&'a [Algebra<R, N>]>,
}

/// The cotangent at the links of the lattice.
struct Bottom<'a, R, const N: usize> {
    lattice: &'a Lattice,
    directions: Vec<Thin<'a, R, N>>,
}

impl<R: Real, const N: usize> SiteKernel<R, Algebra<R, N>> for Bottom<'_, R, N> {
    type Scratch = ();
    fn scratch(&self) {}
    #[inline(always)]
    fn at(&self, (): &mut (), vector: usize, below: &mut [Algebra<R, N>]) -> R {
        let ndim = below.len();
        for (mu, (below, thin)) in below.iter_mut().zip(&self.directions).enumerate() {
            if let Some(passed) = thin.passed {
                *below = passed[vector * ndim + mu];
                continue;
            }
            let mut k = Matrix::zero();
            for (weight, pulled) in &thin.direct {
                k.add_assign(&pulled[vector].scale(R::splat(*weight)));
            }
            for branch in &thin.branches {
                branch.add(self.lattice, thin.links, vector, &mut k);
            }
            *below = cotangent(&thin.links[vector], &k);
        }
        R::zero()
    }
}
