//! A gauge field of any group, on lanes or site by site: the only match on the group and the instruction set.

use crate::error::{Error, Result};
use crate::gauge::GaugeField;
use crate::group::{self, MAX_COLORS};
use crate::lanes::Isa;
use crate::lattice::{self, Lattice};
use crate::matrix::{Complex, Matrix};
use num_complex::Complex64;
use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use crate::lanes::{F64x8Avx2, F64x8Avx512};

/// Declares the enum, the conversions into it and the macro that runs one expression for whichever variant is there.
macro_rules! variants {
    ($dollar:tt $($(#[$attribute:meta])* $variant:ident($real:ty, $n:literal),)*) => {
        /// A gauge field whose group and storage are known at run time.
        #[derive(Debug, Clone)]
        pub enum AnyGauge {
            $($(#[$attribute])* #[doc = "One storage of one group."] $variant(GaugeField<$real, $n>),)*
        }

        $($(#[$attribute])* impl From<GaugeField<$real, $n>> for AnyGauge {
            fn from(field: GaugeField<$real, $n>) -> Self {
                Self::$variant(field)
            }
        })*

        /// Evaluates an expression with `$field` bound to the typed field inside an `AnyGauge`.
        macro_rules! with_gauge {
            ($dollar any:expr, $dollar field:ident => $dollar body:expr) => {
                match $dollar any {
                    $($(#[$attribute])* $crate::any::AnyGauge::$variant($dollar field) => $dollar body,)*
                }
            };
        }
        pub(crate) use with_gauge;

        impl AnyGauge {
            fn build(n_colors: usize, isa: Isa, extents: &[usize], make: impl Make) -> Result<Self> {
                check_colors(n_colors)?;
                let fits = Lattice::cut(extents, 8).is_some() && n_colors <= 3;
                let isa = if fits { isa } else { Isa::Scalar };
                $($(#[$attribute])* if <$real as Storage>::ISA == isa && n_colors == $n {
                    let lattice = Lattice::new(extents, <$real as crate::real::Real>::LANES)?;
                    return Ok(make.make::<$real, $n>(lattice)?.into());
                })*
                Err(Error::value(format!("no storage for {}", group::name(n_colors))))
            }
        }
    };
}

/// Which instruction set a scalar type stands for.
trait Storage {
    const ISA: Isa;
}

impl Storage for f64 {
    const ISA: Isa = Isa::Scalar;
}

#[cfg(target_arch = "x86_64")]
impl Storage for F64x8Avx2 {
    const ISA: Isa = Isa::Avx2;
}

#[cfg(target_arch = "x86_64")]
impl Storage for F64x8Avx512 {
    const ISA: Isa = Isa::Avx512;
}

variants! { $
    U1(f64, 1),
    Su2(f64, 2),
    Su3(f64, 3),
    Su4(f64, 4),
    Su5(f64, 5),
    Su6(f64, 6),
    Su7(f64, 7),
    Su8(f64, 8),
    #[cfg(target_arch = "x86_64")]
    U1Avx2(F64x8Avx2, 1),
    #[cfg(target_arch = "x86_64")]
    Su2Avx2(F64x8Avx2, 2),
    #[cfg(target_arch = "x86_64")]
    Su3Avx2(F64x8Avx2, 3),
    #[cfg(target_arch = "x86_64")]
    U1Avx512(F64x8Avx512, 1),
    #[cfg(target_arch = "x86_64")]
    Su2Avx512(F64x8Avx512, 2),
    #[cfg(target_arch = "x86_64")]
    Su3Avx512(F64x8Avx512, 3),
}

/// A constructor that works for every storage.
trait Make {
    fn make<R: crate::real::Real, const N: usize>(&self, lattice: std::sync::Arc<Lattice>) -> Result<GaugeField<R, N>>;
}

struct Cold;

impl Make for Cold {
    fn make<R: crate::real::Real, const N: usize>(&self, lattice: std::sync::Arc<Lattice>) -> Result<GaugeField<R, N>> {
        Ok(GaugeField::cold(lattice))
    }
}

struct Hot(u64);

impl Make for Hot {
    fn make<R: crate::real::Real, const N: usize>(&self, lattice: std::sync::Arc<Lattice>) -> Result<GaugeField<R, N>> {
        Ok(GaugeField::hot(lattice, self.0))
    }
}

struct Links<'a>(&'a [Complex64]);

impl Make for Links<'_> {
    fn make<R: crate::real::Real, const N: usize>(&self, lattice: std::sync::Arc<Lattice>) -> Result<GaugeField<R, N>> {
        let volume = lattice.volume();
        Ok(GaugeField::from_sites(lattice, |site, mu| matrix(self.0, mu * volume + site)))
    }
}

/// Matrix number `n` of an array of matrices.
pub(crate) fn matrix<const N: usize>(data: &[Complex64], n: usize) -> Matrix<f64, N> {
    Matrix::from_fn(|i, j| {
        let z = data[(n * N + i) * N + j];
        Complex::new(z.re, z.im)
    })
}

/// Bytes of memory of this machine, where the system says (Linux).
pub(crate) fn physical_memory() -> Option<usize> {
    static BYTES: OnceLock<Option<usize>> = OnceLock::new();
    *BYTES.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/meminfo").ok()?;
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        let kib: usize = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib * 1024)
    })
}

fn check_colors(n_colors: usize) -> Result<()> {
    if (1..=MAX_COLORS).contains(&n_colors) {
        return Ok(());
    }
    Err(Error::value(format!("{n_colors} colours; allowed are 1 (U(1)) and 2 to {MAX_COLORS} (SU(N))")))
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
        let bytes = volume * per_site * size_of::<Complex64>();
        match physical_memory() {
            Some(memory) if bytes > memory => Err(Error::value(format!(
                "{} on {extents:?} needs {} GiB for its links; this machine has {} GiB",
                group::name(n_colors),
                bytes >> 30,
                memory >> 30
            ))),
            _ => Ok(volume * per_site),
        }
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

    /// max |U^dagger U - 1|, |det U - 1|.
    pub fn unitarity_violation(&self) -> f64 {
        with_gauge!(self, field => field.unitarity_violation())
    }

    /// Links brought back to the group.
    pub fn reunitarize(&mut self) {
        with_gauge!(self, field => field.reunitarize());
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

pub(crate) fn array<R: crate::real::Real, const N: usize>(field: &GaugeField<R, N>) -> Vec<Complex64> {
    let volume = field.lattice().volume();
    let mut data = vec![Complex64::ZERO; field.lattice().ndim() * volume * N * N];
    field.for_each_link(|site, mu, link| {
        for i in 0..N {
            for j in 0..N {
                data[((mu * volume + site) * N + i) * N + j] = Complex64::new(link.0[i][j].re, link.0[i][j].im);
            }
        }
    });
    data
}

fn transform<R: crate::real::Real, const N: usize>(field: &mut GaugeField<R, N>, g: impl Fn(usize) -> Matrix<f64, N>) {
    let lattice = field.lattice().clone();
    let pack = |vector: usize| {
        let lanes: Vec<_> = (0..R::LANES).map(|lane| g(lattice.site(vector, lane) as usize)).collect();
        crate::gauge::pack(&lanes)
    };
    let g: Vec<Matrix<R, N>> = (0..lattice.vectors()).map(pack).collect();
    field.gauge_transform(&g);
}

fn random_transform<R: crate::real::Real, const N: usize>(field: &mut GaugeField<R, N>, seed: u64) {
    let stream = crate::rng::Stream::new(seed, crate::rng::Purpose::Start, 1);
    transform(field, |site| group::haar::<N>(&mut stream.site(site as u32)));
}
