//! Convolutions that commute with the point group of the lattice: which weights are equal up to a sign, and which are zero.
//!
//! A weight is `W[o, a][i, b](t)`: component b of input field i at x + t to component a of output field o at x. It commutes with g if
//! `W[g a][g b](g t) = s_a s_b W[a][b](t)`, with the signs that g gives the components. One parameter stands for each orbit of
//! (a, b, t); an orbit that leaves the window, or meets itself with the other sign, is zero (arXiv 1602.07576, 1612.08498).
//! Components of link fields lie half a step from their site: a reflection of direction mu moves the link of x to that of -x - mu.

use super::window::Slide;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;

/// Signed permutations of the directions, all or some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// All: reflections and permutations (D4 in two dimensions, O_h in three).
    Full,
    /// Those of determinant 1 (C4, O).
    Rotations,
    /// Reflections of each direction (D2).
    Reflections,
}

/// How the components of a field change under the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// One number a site.
    Scalar,
    /// A number for each link that changes its sign with the direction of the link: a flux.
    Vector,
    /// A number for each link, without a sign.
    Bond,
    /// A number for each element of the group, permuted by it.
    Regular,
}

/// An element of the group: direction mu becomes `sign[mu]` times direction `to[mu]`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Element {
    to: Vec<usize>,
    sign: Vec<i64>,
}

/// A parameter of a weight, or its negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Number of the parameter.
    pub number: usize,
    /// Whether the weight is minus the parameter.
    pub is_negative: bool,
}

impl Place {
    /// A parameter as it is.
    pub fn of(number: usize) -> Self {
        Self { number, is_negative: false }
    }

    /// Among parameters that start at a number.
    pub fn from(self, start: usize) -> Self {
        Self { number: start + self.number, ..self }
    }

    /// `x`, or its negative.
    #[inline(always)]
    pub fn apply<T: std::ops::Neg<Output = T>>(self, x: T) -> T {
        if self.is_negative { -x } else { x }
    }
}

impl Element {
    fn all(group: Group, acted: &[usize], ndim: usize) -> Vec<Self> {
        let mut permutations = vec![(0..ndim).collect::<Vec<_>>()];
        if group != Group::Reflections {
            permutations = permuted(acted)
                .into_iter()
                .map(|images| {
                    let mut to: Vec<usize> = (0..ndim).collect();
                    acted.iter().zip(images).for_each(|(mu, nu)| to[*mu] = nu);
                    to
                })
                .collect();
        }
        let mut elements = Vec::new();
        for to in permutations {
            for bits in 0..1_usize << acted.len() {
                let mut sign = vec![1; ndim];
                acted.iter().enumerate().for_each(|(n, mu)| sign[*mu] = if bits >> n & 1 == 1 { -1 } else { 1 });
                let element = Self { to: to.clone(), sign };
                if group != Group::Rotations || element.determinant() == 1 {
                    elements.push(element);
                }
            }
        }
        elements
    }

    fn determinant(&self) -> i64 {
        let n = self.to.len();
        let inversions = (0..n).flat_map(|j| (0..j).map(move |i| (i, j))).filter(|(i, j)| self.to[*i] > self.to[*j]);
        let parity = if inversions.count() % 2 == 0 { 1 } else { -1 };
        parity * self.sign.iter().product::<i64>()
    }

    /// The image of a vector.
    fn image(&self, x: &[i64]) -> Vec<i64> {
        let mut image = vec![0; x.len()];
        for mu in 0..x.len() {
            image[self.to[mu]] = self.sign[mu] * x[mu];
        }
        image
    }

    /// First `other`, then this one.
    fn after(&self, other: &Self) -> Self {
        let n = self.to.len();
        let sign = (0..n).map(|mu| other.sign[mu] * self.sign[other.to[mu]]).collect();
        Self { to: (0..n).map(|mu| self.to[other.to[mu]]).collect(), sign }
    }
}

/// All orders of a few numbers.
fn permuted(numbers: &[usize]) -> Vec<Vec<usize>> {
    if numbers.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for n in 0..numbers.len() {
        let mut rest = numbers.to_vec();
        let first = rest.remove(n);
        all.extend(permuted(&rest).into_iter().map(|tail| [vec![first], tail].concat()));
    }
    all
}

/// The group that acts on some directions of a lattice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Symmetry {
    /// Which signed permutations.
    pub group: Group,
    /// The directions that they reflect and permute.
    pub directions: Vec<usize>,
}

/// Fields of one kind, and how many.
pub type Fields = Vec<(Field, usize)>;

/// What a component becomes: its number and whether it changes sign.
type Image = (usize, bool);

/// A kind of field under a group: what each element makes of each component, and where components lie, in half steps.
struct Representation {
    images: Vec<Vec<Image>>,
    offsets: Vec<Vec<i64>>,
}

impl Symmetry {
    fn elements(&self, ndim: usize) -> Vec<Element> {
        Element::all(self.group, &self.directions, ndim)
    }

    /// Number of elements.
    pub fn order(&self, ndim: usize) -> usize {
        self.elements(ndim).len()
    }

    /// Channels of a field.
    pub fn components(&self, field: Field, ndim: usize) -> usize {
        match field {
            Field::Scalar => 1,
            Field::Vector | Field::Bond => ndim,
            Field::Regular => self.order(ndim),
        }
    }

    /// Channels of fields.
    pub fn channels(&self, fields: &Fields, ndim: usize) -> usize {
        fields.iter().map(|(field, count)| count * self.components(*field, ndim)).sum()
    }

    fn representation(&self, field: Field, ndim: usize) -> Representation {
        let elements = self.elements(ndim);
        let unit = |mu: usize| (0..ndim).map(|nu| i64::from(mu == nu)).collect::<Vec<_>>();
        let image = |g: &Element, a: usize| match field {
            Field::Scalar => (0, false),
            Field::Vector => (g.to[a], g.sign[a] < 0),
            Field::Bond => (g.to[a], false),
            Field::Regular => {
                let product = g.after(&elements[a]);
                (elements.iter().position(|h| *h == product).unwrap_or(a), false)
            }
        };
        let components = self.components(field, ndim);
        let offset = |a: usize| if matches!(field, Field::Vector | Field::Bond) { unit(a) } else { vec![0; ndim] };
        Representation {
            images: elements.iter().map(|g| (0..components).map(|a| image(g, a)).collect()).collect(),
            offsets: (0..components).map(offset).collect(),
        }
    }
}

/// Orbits of (a, b, t) for one kind of input and of output.
struct Pattern {
    /// `[a][b][tap]`: number of the orbit and sign.
    places: Vec<Option<Place>>,
    orbits: usize,
}

/// The orbits of `0..count` under maps to a number and a sign (none: it leaves the set).
fn orbits(count: usize, maps: &[impl Fn(usize) -> Option<Image>]) -> Pattern {
    let (mut places, mut seen, mut orbits) = (vec![None; count], vec![false; count], 0);
    for start in 0..count {
        if seen[start] {
            continue;
        }
        let (mut signs, mut is_zero) = (HashMap::from([(start, false)]), false);
        for map in maps {
            match map(start) {
                None => is_zero = true,
                Some((n, sign)) => is_zero |= *signs.entry(n).or_insert(sign) != sign,
            }
        }
        for (n, is_negative) in signs {
            seen[n] = true;
            places[n] = (!is_zero).then_some(Place { number: orbits, is_negative });
        }
        orbits += usize::from(!is_zero);
    }
    Pattern { places, orbits }
}

/// Which parameter each weight and bias of a layer is.
#[derive(Debug, Clone, PartialEq)]
pub struct Sharing {
    /// `[output channel][input channel][tap]`
    pub weights: Vec<Option<Place>>,
    /// `[output channel]`, numbered from 0.
    pub biases: Vec<Option<Place>>,
    /// Parameters of the weights.
    pub n_weights: usize,
    /// Parameters of the biases.
    pub n_biases: usize,
}

impl Sharing {
    /// The weights of a window of `size` between fields.
    pub fn new(symmetry: &Symmetry, size: &[usize], inputs: &Fields, outputs: &Fields) -> Self {
        let (ndim, taps) = (size.len(), size.iter().product::<usize>());
        let elements = symmetry.elements(ndim);
        let one = vec![1; ndim];
        let slide = Slide { size, stride: &one, dilation: &one };
        let displacements: Vec<Vec<i64>> = (0..taps).map(|t| slide.displacement(t)).collect();
        let tap_of: HashMap<&[i64], usize> = displacements.iter().enumerate().map(|(n, t)| (&t[..], n)).collect();
        let mut kinds = HashMap::new();
        for (field, _) in inputs.iter().chain(outputs) {
            kinds.entry(*field).or_insert_with(|| symmetry.representation(*field, ndim));
        }
        let between = |to: &Representation, from: &Representation| {
            let (n_a, n_b) = (to.offsets.len(), from.offsets.len());
            let image = |n: usize, index: usize| {
                let (a, b, t) = (index / (n_b * taps), index / taps % n_b, &displacements[index % taps]);
                let (g, (a2, s_a), (b2, s_b)) = (&elements[n], to.images[n][a], from.images[n][b]);
                // Twice the displacement between where the components lie, before and after.
                let apart: Vec<i64> = (0..ndim).map(|mu| 2 * t[mu] + from.offsets[b][mu] - to.offsets[a][mu]).collect();
                let apart = g.image(&apart);
                let moved: Vec<i64> =
                    (0..ndim).map(|mu| (apart[mu] - from.offsets[b2][mu] + to.offsets[a2][mu]) / 2).collect();
                tap_of.get(&moved[..]).map(|t| ((a2 * n_b + b2) * taps + t, s_a != s_b))
            };
            let maps: Vec<_> = (0..elements.len()).map(|n| move |index| image(n, index)).collect();
            orbits(n_a * n_b * taps, &maps)
        };
        let mut patterns = HashMap::new();
        for (to, _) in outputs {
            for (from, _) in inputs {
                patterns.entry((*to, *from)).or_insert_with(|| between(&kinds[to], &kinds[from]));
            }
        }
        let each = |fields: &Fields| -> Vec<Field> {
            fields.iter().flat_map(|(field, count)| std::iter::repeat_n(*field, *count)).collect()
        };
        let (ins, outs) = (each(inputs), each(outputs));
        let channels = symmetry.channels(inputs, ndim);
        let mut weights = vec![None; channels * symmetry.channels(outputs, ndim) * taps];
        let (mut biases, mut n_weights, mut n_biases, mut row) = (Vec::new(), 0, 0, 0);
        for to in &outs {
            let n_a = kinds[to].offsets.len();
            let mut column = 0;
            for from in &ins {
                let (pattern, n_b) = (&patterns[&(*to, *from)], kinds[from].offsets.len());
                for (index, place) in pattern.places.iter().enumerate() {
                    let (a, b, t) = (index / (n_b * taps), index / taps % n_b, index % taps);
                    weights[((row + a) * channels + column + b) * taps + t] = place.map(|p| p.from(n_weights));
                }
                n_weights += pattern.orbits;
                column += n_b;
            }
            let images = &kinds[to].images;
            let maps: Vec<_> = (0..elements.len()).map(|n| move |a: usize| Some(images[n][a])).collect();
            let own = orbits(n_a, &maps);
            biases.extend(own.places.iter().map(|p| p.map(|p| p.from(n_biases))));
            n_biases += own.orbits;
            row += n_a;
        }
        Self { weights, biases, n_weights, n_biases }
    }

    /// Terms of the sum of an output that has most of them.
    pub fn terms(&self) -> usize {
        let rows = self.weights.chunks(self.weights.len() / self.biases.len().max(1));
        rows.map(|row| row.iter().flatten().count()).max().unwrap_or(0).max(1)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::Vector => "vector",
            Self::Bond => "bond",
            Self::Regular => "regular",
        })
    }
}

/// Fields in words, as in "2 vector and 8 regular fields".
pub fn in_words(fields: &Fields) -> String {
    let words: Vec<String> = fields.iter().map(|(field, count)| format!("{count} {field}")).collect();
    format!("{} fields", words.join(" and "))
}
