//! Gauge fields of any group: made, converted to and from arrays, transformed.

use super::storage::{AnyGauge, Make, check_colors, with_gauge};
use crate::error::{Error, Result};
use crate::gauge::{GaugeField, array, matrix};
use crate::group;
use crate::lattice::{self, Lattice};
use crate::matrix::Matrix;
use crate::memory;
use crate::number::{Isa, Real};
use num_complex::Complex64;
use std::sync::Arc;

struct Cold;

impl Make for Cold {
    fn make<R: Real, const N: usize>(&self, lattice: Arc<Lattice>) -> Result<GaugeField<R, N>> {
        Ok(GaugeField::cold(lattice))
    }
}

struct Hot(u64);

impl Make for Hot {
    fn make<R: Real, const N: usize>(&self, lattice: Arc<Lattice>) -> Result<GaugeField<R, N>> {
        Ok(GaugeField::hot(lattice, self.0))
    }
}

struct Links<'a>(&'a [Complex64]);

impl Make for Links<'_> {
    fn make<R: Real, const N: usize>(&self, lattice: Arc<Lattice>) -> Result<GaugeField<R, N>> {
        let volume = lattice.volume();
        Ok(GaugeField::from_sites(lattice, |site, mu| matrix(self.0, mu * volume + site)))
    }
}

impl AnyGauge {
    /// All links one.
    pub fn cold(extents: &[usize], n_colors: usize) -> Result<Self> {
        Self::check(extents, n_colors)?;
        Self::build(n_colors, Isa::best(), extents, Cold)
    }

    /// Haar-distributed links.
    pub fn hot(extents: &[usize], n_colors: usize, seed: u64) -> Result<Self> {
        Self::check(extents, n_colors)?;
        Self::build(n_colors, Isa::best(), extents, Hot(seed))
    }

    /// Links from an array `[mu, x.., a, b]`, not checked for unitarity.
    pub fn from_array(extents: &[usize], n_colors: usize, data: &[Complex64]) -> Result<Self> {
        let length = Self::check(extents, n_colors)?;
        if data.len() != length {
            return Err(Error::value(format!(
                "{} matrix elements given for {} on {extents:?}; {length} are needed",
                data.len(),
                group::name(n_colors)
            )));
        }
        Self::build(n_colors, Isa::best(), extents, Links(data))
    }

    /// The number of matrix elements, after checking that the sizes are allowed.
    fn check(extents: &[usize], n_colors: usize) -> Result<usize> {
        check_colors(n_colors)?;
        let volume = lattice::check_extents(extents)?;
        let per_site = extents.len() * n_colors * n_colors;
        let what = format!("a field of {} on {extents:?}", group::name(n_colors));
        memory::require(&what, memory::product(&[volume, per_site], size_of::<Complex64>()))?;
        Ok(volume * per_site)
    }

    /// Array `[mu, x.., a, b]`.
    pub fn to_array(&self) -> Vec<Complex64> {
        with_gauge!(self, field => array(field))
    }

    /// Extents.
    pub fn extents(&self) -> &[usize] {
        with_gauge!(self, field => field.lattice().extents())
    }

    /// N of SU(N), 1 for U(1).
    pub fn n_colors(&self) -> usize {
        fn colors<R, const N: usize>(_: &GaugeField<R, N>) -> usize {
            N
        }
        with_gauge!(self, field => colors(field))
    }

    /// Number of lanes of the storage.
    pub fn lanes(&self) -> usize {
        with_gauge!(self, field => field.lattice().lanes())
    }

    /// Name of the group.
    pub fn group(&self) -> String {
        group::name(self.n_colors())
    }

    /// max |U^dagger U - 1|, |det U - 1|; links that open boundaries lack do not count.
    pub fn unitarity_violation(&self) -> Result<f64> {
        let closed = self.open_slice().map(|slice| self.with_slice(slice, Complex64::ONE)).transpose()?;
        Ok(with_gauge!(closed.as_ref().unwrap_or(self), field => field.unitarity_violation()))
    }

    /// Links brought back to the group; those that open boundaries lack stay away.
    pub fn reunitarize(&mut self) -> Result<()> {
        let open = self.open_slice();
        if let Some(slice) = open {
            *self = self.with_slice(slice, Complex64::ONE)?;
        }
        with_gauge!(self, field => field.reunitarize());
        if let Some(slice) = open {
            *self = self.with_slice(slice, Complex64::ZERO)?;
        }
        Ok(())
    }

    /// The time slice whose temporal links are zero: open boundaries between it and the next.
    pub fn open_slice(&self) -> Option<usize> {
        with_gauge!(self, field => field.open_slice())
    }

    /// The field with the temporal links of a slice replaced by a multiple of one.
    fn with_slice(&self, slice: usize, value: Complex64) -> Result<Self> {
        let (n, volume) = (self.n_colors(), self.extents().iter().product::<usize>());
        let (time, length) = (self.extents().len() - 1, self.extents()[self.extents().len() - 1]);
        let mut data = self.to_array();
        for (site, link) in data[time * volume * n * n..].chunks_exact_mut(n * n).enumerate() {
            if site % length == slice {
                link.iter_mut()
                    .enumerate()
                    .for_each(|(k, z)| *z = if k % (n + 1) == 0 { value } else { Complex64::ZERO });
            }
        }
        Self::from_array(self.extents(), n, &data)
    }

    /// U_mu(x) -> g(x) U_mu(x) g(x+mu)^dagger with `g` an array `[x.., a, b]`.
    pub fn gauge_transform(&mut self, g: &[Complex64]) -> Result<()> {
        let n = self.n_colors();
        let length = self.extents().iter().product::<usize>() * n * n;
        if g.len() != length {
            return Err(Error::value(format!("gauge transformation has {} elements; {length} are needed", g.len())));
        }
        with_gauge!(self, field => transform(field, |site| matrix(g, site)));
        Ok(())
    }

    /// A gauge transformation by Haar-distributed matrices.
    pub fn random_gauge_transform(&mut self, seed: u64) {
        with_gauge!(self, field => random_transform(field, seed));
    }
}

fn transform<R: Real, const N: usize>(field: &mut GaugeField<R, N>, g: impl Fn(usize) -> Matrix<f64, N>) {
    let lattice = field.lattice().clone();
    let pack = |vector: usize| {
        let lanes: Vec<_> = (0..R::LANES).map(|lane| g(lattice.site(vector, lane) as usize)).collect();
        crate::gauge::pack(&lanes)
    };
    let g: Vec<Matrix<R, N>> = (0..lattice.vectors()).map(pack).collect();
    field.gauge_transform(&g);
}

fn random_transform<R: Real, const N: usize>(field: &mut GaugeField<R, N>, seed: u64) {
    let stream = crate::random::Stream::new(seed, crate::random::Purpose::Start, 1);
    transform(field, |site| group::haar::<N>(&mut stream.site(site as u32)));
}
