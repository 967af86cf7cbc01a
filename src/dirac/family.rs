//! Dirac operators without a field, as data, and bound to the links of a field.

use super::clover;
use super::hopping::{Geometry, Hopping};
use super::stencil::{Diagonal, LinkQuark, Stencil};
use super::wall::{DomainWall, Wall};
use crate::error::{Error, Result};
use crate::field::{Space, Vector};
use crate::gauge::GaugeField;
use crate::group;
use crate::lattice::{Lattice, Sites};
use crate::number::Real;
use num_complex::Complex64;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A Dirac operator without a field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum DiracSpec {
    /// Wilson and clover fermions, with a twisted mass.
    Wilson {
        /// Bare mass m.
        #[serde(default)]
        mass: Option<f64>,
        /// 1/(2 m + 2 d), where no mass is given.
        #[serde(default)]
        kappa: Option<f64>,
        /// Coefficient of the clover term.
        #[serde(default)]
        csw: f64,
        /// Twisted mass.
        #[serde(default)]
        mu: f64,
        /// Angle of the phase at the boundary of each direction; antiperiodic in time where there is none.
        #[serde(default)]
        boundary: Vec<f64>,
        /// Weight of the spatial directions against one for time.
        #[serde(default = "one")]
        spatial: f64,
    },
    /// Staggered fermions.
    Staggered {
        /// Bare mass.
        mass: f64,
        /// As of Wilson fermions.
        #[serde(default)]
        boundary: Vec<f64>,
        /// Whether there are links of three steps beside those of one.
        #[serde(default)]
        long: bool,
    },
    /// Domain-wall fermions.
    DomainWall {
        /// Quark mass.
        mass: f64,
        /// Height of the wall.
        m5: f64,
        /// Extent of the fifth dimension.
        ls: usize,
        /// Coefficients of the Moebius kernel.
        #[serde(default = "one")]
        b: f64,
        /// As `b`.
        #[serde(default)]
        c: f64,
        /// As of Wilson fermions.
        #[serde(default)]
        boundary: Vec<f64>,
    },
}

fn one() -> f64 {
    1.0
}

impl DiracSpec {
    fn boundary(&self, ndim: usize) -> Vec<f64> {
        match self {
            Self::Wilson { boundary, .. } | Self::Staggered { boundary, .. } | Self::DomainWall { boundary, .. }
                if !boundary.is_empty() =>
            {
                boundary.clone()
            }
            _ => (0..ndim).map(|mu| if mu + 1 == ndim { std::f64::consts::PI } else { 0.0 }).collect(),
        }
    }
    /// Weights of the directions.
    pub fn weights(&self, ndim: usize) -> Vec<f64> {
        let spatial = match self {
            Self::Wilson { spatial, .. } => *spatial,
            Self::Staggered { .. } | Self::DomainWall { .. } => 1.0,
        };
        (0..ndim).map(|mu| if mu + 1 == ndim { 1.0 } else { spatial }).collect()
    }
    /// The bare mass in some dimensions.
    pub fn mass(&self, ndim: usize) -> f64 {
        match self {
            Self::Wilson { mass, kappa, .. } => {
                mass.unwrap_or_else(|| kappa.map_or(0.0, |kappa| 0.5 / kappa - ndim as f64))
            }
            Self::Staggered { mass, .. } | Self::DomainWall { mass, .. } => *mass,
        }
    }
    /// Components of a spinor in some dimensions: 4 or 2, 1 for staggered fermions.
    pub fn spins(&self, ndim: usize) -> usize {
        match self {
            Self::Staggered { .. } => 1,
            _ if ndim == 2 => 2,
            _ => 4,
        }
    }
    /// Extent of a fifth dimension.
    pub fn slices(&self) -> Option<usize> {
        match self {
            Self::DomainWall { ls, .. } => Some(*ls),
            _ => None,
        }
    }
    /// The numbers of a domain wall.
    pub fn wall(&self, ndim: usize) -> Option<Wall> {
        match *self {
            Self::DomainWall { mass, m5, ls, b, c, .. } => {
                Some(Wall { mass, ls, kernel: [b, c], at_site: ndim as f64 - m5 })
            }
            _ => None,
        }
    }
    /// The Pauli-Villars field of a domain wall, which takes away the bulk of its fifth dimension: the same at mass 1.
    pub fn regulator(&self) -> Option<Self> {
        self.with_wall_mass(1.0)
    }
    /// Whether the other is of the same kind with the same numbers but for masses.
    pub fn differs_in_masses_alone(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Staggered { boundary, long, .. },
                Self::Staggered { boundary: other_boundary, long: other_long, .. },
            ) => (boundary, long) == (other_boundary, other_long),
            (
                Self::Wilson { csw, boundary, spatial, .. },
                Self::Wilson { csw: other_csw, boundary: other_boundary, spatial: other_spatial, .. },
            ) => (csw, boundary, spatial) == (other_csw, other_boundary, other_spatial),
            (Self::DomainWall { mass, .. }, Self::DomainWall { .. }) => {
                other.with_wall_mass(*mass).as_ref() == Some(self)
            }
            _ => false,
        }
    }
    fn with_wall_mass(&self, value: f64) -> Option<Self> {
        let mut copy = self.clone();
        let Self::DomainWall { mass, .. } = &mut copy else { return None };
        *mass = value;
        Some(copy)
    }
    /// Spinors in all slices at a site.
    pub fn components(&self, ndim: usize) -> usize {
        self.slices().unwrap_or(1) * self.spins(ndim)
    }
    /// What messages call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Wilson { .. } => "Wilson",
            Self::Staggered { .. } => "Staggered",
            Self::DomainWall { .. } => "DomainWall",
        }
    }
    fn check(&self, ndim: usize) -> Result<()> {
        let boundary = self.boundary(ndim);
        if boundary.len() != ndim {
            return Err(Error::value(format!(
                "boundary has {} phases for a field of {ndim} dimensions; give one for each direction",
                boundary.len()
            )));
        }
        if matches!(self, Self::Wilson { .. }) && ndim == 1 {
            return Err(Error::value("Wilson fermions need 2, 3 or 4 dimensions; the field has 1 (Staggered can)"));
        }
        if let Self::DomainWall { ls, .. } = self {
            if ndim != 2 && ndim != 4 {
                return Err(Error::value(format!(
                    "domain walls are between fermions with a chirality, in 2 or 4 dimensions; the field has {ndim}"
                )));
            }
            if *ls == 0 {
                return Err(Error::value("ls = 0; a domain wall has at least one slice"));
            }
        }
        Ok(())
    }
}

/// A Dirac operator prepared for a lattice: neighbours and phases are known.
pub struct Family<R> {
    spec: DiracSpec,
    geometry: Arc<Geometry<R>>,
    /// Of steps of three sites.
    long: Option<Arc<Geometry<R>>>,
}

/// Largest N of SU(N) that fermions are compiled for.
pub const MOST_COLORS: usize = 4;

impl<R: Real> Family<R> {
    /// For a lattice; an error says what does not fit.
    pub fn new(spec: &DiracSpec, lattice: &Arc<Lattice>) -> Result<Self> {
        let ndim = lattice.ndim();
        spec.check(ndim)?;
        let (angles, weights) = (spec.boundary(ndim), spec.weights(ndim));
        let staggered = matches!(spec, DiracSpec::Staggered { .. });
        let extents = lattice.extents().to_vec();
        if let Some((mu, extent)) = extents.iter().enumerate().find(|(_, e)| staggered && **e % 2 == 1) {
            return Err(Error::value(format!(
                "staggered fermions need even extents; direction {mu} has {extent} sites"
            )));
        }
        let geometry = |length: usize| {
            let factor = |x: &[usize], mu: usize| {
                let sign = if staggered && x[..mu].iter().sum::<usize>() % 2 == 1 { -1.0 } else { 1.0 };
                phase(angles[mu] * ((x[mu] + length) / extents[mu]) as f64) * sign * weights[mu]
            };
            Arc::new(Geometry::new(lattice, length as i32, factor))
        };
        let long = matches!(spec, DiracSpec::Staggered { long: true, .. }).then(|| geometry(3));
        Ok(Self { spec: spec.clone(), geometry: geometry(1), long })
    }

    /// The operator on a field.
    pub fn on<const N: usize, Q: Real>(&self, field: &GaugeField<Q, N>) -> Result<Box<dyn LinkQuark<R, N>>> {
        self.on_fat(field, None)
    }

    /// The operator on links of one step and, where it has them, of three; they need not be unitary.
    pub fn on_fat<const N: usize, Q: Real>(
        &self,
        field: &GaugeField<Q, N>,
        long: Option<&GaugeField<Q, N>>,
    ) -> Result<Box<dyn LinkQuark<R, N>>> {
        if self.long.is_some() != long.is_some() {
            return Err(Error::value("improved staggered fermions have fat and long links, others neither"));
        }
        if N > MOST_COLORS {
            return Err(Error::value(format!(
                "fermions are known for U(1), SU(2), SU(3) and SU({MOST_COLORS}); the field is of {}",
                group::name(N)
            )));
        }
        let ndim = self.geometry.lattice().ndim();
        let quark: Box<dyn LinkQuark<R, N>> = match self.spec.spins(ndim) {
            1 => Box::new(self.bind::<N, 1, Q>(field, long)?),
            2 => Box::new(self.bind::<N, 2, Q>(field, None)?),
            _ => Box::new(self.bind::<N, 4, Q>(field, None)?),
        };
        match self.spec.wall(ndim) {
            Some(wall) => Ok(Box::new(DomainWall::new(quark, wall)?)),
            None => Ok(quark),
        }
    }

    fn bind<const N: usize, const S: usize, Q: Real>(
        &self,
        field: &GaugeField<Q, N>,
        long: Option<&GaugeField<Q, N>>,
    ) -> Result<Stencil<R, N, S>> {
        let lattice = self.geometry.lattice();
        let space = Space::new(lattice, Sites::All, N * S);
        let both = [(Some(&self.geometry), Some(field)), (self.long.as_ref(), long)];
        let hoppings = both.into_iter().filter_map(|(geometry, links)| Some(Hopping::new(geometry?, links?))).collect();
        let diagonal = match &self.spec {
            DiracSpec::Staggered { mass, .. } => Diagonal::Constant(*mass),
            // Not used: the part at the site is that of the wall.
            DiracSpec::DomainWall { .. } => Diagonal::Constant(1.0),
            DiracSpec::Wilson { csw, mu, .. } => {
                let mass = self.spec.mass(lattice.ndim()) + self.spec.weights(lattice.ndim()).iter().sum::<f64>();
                match (*csw == 0.0, *mu == 0.0) {
                    (true, true) => Diagonal::Constant(mass),
                    (true, false) => Diagonal::Twisted(mass, *mu),
                    (false, _) if S == 1 => Diagonal::Constant(mass),
                    (false, _) => self.clover::<N, S, Q>(field, (mass, *mu, *csw))?,
                }
            }
        };
        Ok(Stencil::new(space, hoppings, diagonal))
    }

    /// The clover term in the storage of this operator.
    fn clover<const N: usize, const S: usize, Q: Real>(
        &self,
        field: &GaugeField<Q, N>,
        numbers: (f64, f64, f64),
    ) -> Result<Diagonal<R>> {
        if let Some(same) = (field as &dyn std::any::Any).downcast_ref::<GaugeField<R, N>>() {
            let ([direct, inverse], log_det) = clover::blocks::<R, N, S>(same, numbers)?;
            return Ok(Diagonal::Blocks { direct, inverse, log_det });
        }
        let size = S / 2 * N;
        let space = Space::new(field.lattice(), Sites::All, 2 * size * size);
        let ([direct, inverse], log_det) = clover::blocks::<Q, N, S>(field, numbers)?;
        let moved = |values| -> Result<_> {
            Ok(Vector { space: space.clone(), values }.convert::<R>(self.geometry.lattice())?.values)
        };
        let log_det = R::Total::splat(log_det.lane(0));
        Ok(Diagonal::Blocks { direct: moved(direct)?, inverse: moved(inverse)?, log_det })
    }
}

/// exp(i angle), exact where it is a power of i.
fn phase(angle: f64) -> Complex64 {
    let quarter = (angle / std::f64::consts::FRAC_PI_2).rem_euclid(4.0);
    match quarter {
        0.0 => Complex64::new(1.0, 0.0),
        1.0 => Complex64::new(0.0, 1.0),
        2.0 => Complex64::new(-1.0, 0.0),
        3.0 => Complex64::new(0.0, -1.0),
        _ => Complex64::from_polar(1.0, angle),
    }
}
