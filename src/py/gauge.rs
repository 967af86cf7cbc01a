//! Python: gauge fields, their observables and threads.

use super::door::enter;
use crate::any::{AnyGauge, with_gauge};
use crate::concept::Objective;
use crate::error::{Error, Result};
use crate::lattice::path::{self, Path, WeightedPath};
use crate::observable::{loops, topology};
use crate::{field, group, lattice, sampler};
use num_complex::Complex64;
use numpy::{Element, IntoPyArray, PyArray1, PyArray2, PyArrayDyn, PyArrayMethods};
use numpy::{PyReadonlyArray1, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;
use std::sync::Arc;

/// A gauge field inside the core; `plaq.GaugeField` wraps it.
#[pyclass(frozen, module = "plaq._plaq")]
pub(crate) struct Gauge {
    pub(crate) field: Arc<AnyGauge>,
}

impl From<AnyGauge> for Gauge {
    fn from(field: AnyGauge) -> Self {
        Self { field: Arc::new(field) }
    }
}

/// A numpy array of the given shape.
pub(crate) fn array<'py, T: Element>(
    py: Python<'py>,
    data: Vec<T>,
    shape: Vec<usize>,
) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
    data.into_pyarray(py).reshape(shape)
}

/// The elements of a C-contiguous array.
pub(crate) fn elements(array: &PyReadonlyArrayDyn<'_, Complex64>) -> Result<Vec<Complex64>> {
    array.as_slice().map(<[Complex64]>::to_vec).map_err(|_| Error::value("array is not C-contiguous"))
}

impl Gauge {
    pub(super) fn link_shape(&self) -> Vec<usize> {
        let (extents, n) = (self.field.extents(), self.field.n_colors());
        [&[extents.len()], extents, &[n, n]].concat()
    }

    fn changed(&self, py: Python<'_>, change: impl FnOnce(&mut AnyGauge) -> Result<()> + Send) -> PyResult<Self> {
        let mut field = AnyGauge::clone(&self.field);
        enter(py, move || {
            change(&mut field)?;
            Ok(field.into())
        })
    }
}

/// A number for each field, and its derivatives with respect to the coefficients, `[field, coefficient]`.
pub(super) type PyObjectives<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray2<f64>>);

pub(super) fn objectives<'py>(py: Python<'py>, list: &[Objective<f64>]) -> PyResult<PyObjectives<'py>> {
    let values: Vec<f64> = list.iter().map(|objective| objective.value).collect();
    let rows: Vec<Vec<f64>> = list.iter().map(|objective| objective.gradient.clone()).collect();
    Ok((values.into_pyarray(py), PyArray2::from_vec2(py, &rows)?))
}

pub(super) fn inside(fields: &[PyRef<'_, Gauge>]) -> Vec<Arc<AnyGauge>> {
    fields.iter().map(|field| field.field.clone()).collect()
}

pub(super) fn numbers(theta: &PyReadonlyArray1<'_, f64>) -> Vec<f64> {
    theta.as_array().to_vec()
}

#[pymethods]
impl Gauge {
    #[staticmethod]
    fn cold(py: Python<'_>, shape: Vec<usize>, n_colors: usize) -> PyResult<Self> {
        enter(py, || Ok(AnyGauge::cold(&shape, n_colors)?.into()))
    }
    #[staticmethod]
    fn hot(py: Python<'_>, shape: Vec<usize>, n_colors: usize, seed: u64) -> PyResult<Self> {
        enter(py, || Ok(AnyGauge::hot(&shape, n_colors, seed)?.into()))
    }
    /// From links `[mu, x.., a, b]`; the caller has checked the number of axes.
    #[staticmethod]
    fn from_array(py: Python<'_>, links: PyReadonlyArrayDyn<'_, Complex64>) -> PyResult<Self> {
        let (shape, data) = (links.shape().to_vec(), elements(&links)?);
        enter(py, || match shape.as_slice() {
            [ndim, extents @ .., n, m] if *ndim == extents.len() && n == m => {
                Ok(AnyGauge::from_array(extents, *n, &data)?.into())
            }
            _ => Err(Error::value(format!("links have shape {shape:?}; (D, L_0, .., L_D-1, N, N) is needed"))),
        })
    }
    fn to_array<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArrayDyn<Complex64>>> {
        let data = enter(py, || Ok(self.field.to_array()))?;
        array(py, data, self.link_shape())
    }
    #[getter]
    fn shape(&self) -> Vec<usize> {
        self.field.extents().to_vec()
    }
    #[getter]
    fn n_colors(&self) -> usize {
        self.field.n_colors()
    }
    #[getter]
    fn group(&self) -> String {
        self.field.group()
    }
    #[getter]
    fn lanes(&self) -> usize {
        self.field.lanes()
    }
    /// The time slice whose temporal links are zero (open boundaries), or None.
    fn open_slice(&self) -> Option<usize> {
        self.field.open_slice()
    }
    fn unitarity_violation(&self, py: Python<'_>) -> PyResult<f64> {
        enter(py, || self.field.unitarity_violation())
    }
    fn reunitarize(&self, py: Python<'_>) -> PyResult<Self> {
        self.changed(py, AnyGauge::reunitarize)
    }
    fn gauge_transform(&self, py: Python<'_>, g: PyReadonlyArrayDyn<'_, Complex64>) -> PyResult<Self> {
        let g = elements(&g)?;
        self.changed(py, move |field| field.gauge_transform(&g))
    }
    fn random_gauge_transform(&self, py: Python<'_>, seed: u64) -> PyResult<Self> {
        self.changed(py, move |field| {
            field.random_gauge_transform(seed);
            Ok(())
        })
    }
    /// sum over sites and loops of weight x Re tr W / N.
    fn trace_sum(&self, py: Python<'_>, loops: Vec<(f64, Path)>) -> PyResult<f64> {
        enter(py, || {
            let loops = self.weighted(loops)?;
            Ok(with_gauge!(&*self.field, field => loops::trace_sum(field, &loops)))
        })
    }
    /// tr W(x) / N on the lattice.
    fn trace_density<'py>(&self, py: Python<'py>, path: Path) -> PyResult<Bound<'py, PyArrayDyn<Complex64>>> {
        let density = enter(py, || {
            path::check_closed(&path, self.field.extents())?;
            Ok(with_gauge!(&*self.field, field => loops::trace_density(field, &path)))
        })?;
        array(py, density, self.shape())
    }
    fn charge_density<'py>(&self, py: Python<'py>, definition: &str) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        let density = enter(py, || with_gauge!(&*self.field, field => topology::charge_density(field, definition)))?;
        array(py, density, self.shape())
    }
    fn energy_density<'py>(&self, py: Python<'py>, definition: &str) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        let density = enter(py, || with_gauge!(&*self.field, field => topology::energy_density(field, definition)))?;
        array(py, density, self.shape())
    }
}

impl Gauge {
    fn weighted(&self, loops: Vec<(f64, Path)>) -> Result<Vec<WeightedPath>> {
        let extents = self.field.extents();
        loops
            .into_iter()
            .map(|(weight, path)| {
                path::check_closed(&path, extents)?;
                Ok(WeightedPath { weight, path })
            })
            .collect()
    }
}

/// Threads that kernels run on.
///
/// Returns
/// -------
/// int
///     Set by :func:`set_num_threads` or ``RAYON_NUM_THREADS``; by default one for each processor.
///
/// Examples
/// --------
/// >>> import plaq as pq
/// >>> pq.num_threads() >= 1
/// True
#[pyfunction]
fn num_threads() -> usize {
    field::num_threads()
}

/// Choose the number of threads that kernels run on; results do not depend on it.
///
/// Parameters
/// ----------
/// threads : int
///     At least 1.
///
/// Raises
/// ------
/// ValueError
///     Not a possible number of threads.
///
/// Examples
/// --------
/// >>> import plaq as pq
/// >>> threads = pq.num_threads()
/// >>> pq.set_num_threads(1)
/// >>> pq.num_threads()
/// 1
/// >>> pq.set_num_threads(threads)
#[pyfunction]
fn set_num_threads(threads: usize) -> PyResult<()> {
    Ok(field::set_num_threads(threads)?)
}

#[pyfunction]
fn check_shape(shape: Vec<usize>) -> PyResult<usize> {
    Ok(lattice::check_extents(&shape)?)
}

/// The loops of a family: weights and paths.
#[pyfunction]
fn loop_family(name: &str, shape: Vec<usize>) -> PyResult<Vec<(f64, Path)>> {
    Ok(path::family(name, &shape)?.into_iter().map(|l| (l.weight, l.path)).collect())
}

/// Adds classes, functions and tables of names.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Gauge>()?;
    module.add_function(wrap_pyfunction!(num_threads, module)?)?;
    module.add_function(wrap_pyfunction!(set_num_threads, module)?)?;
    module.add_function(wrap_pyfunction!(check_shape, module)?)?;
    module.add_function(wrap_pyfunction!(loop_family, module)?)?;
    module.add("LOOP_FAMILIES", path::FAMILIES.to_vec())?;
    module.add("CHARGES", topology::CHARGES.to_vec())?;
    module.add("ENERGIES", topology::ENERGIES.to_vec())?;
    module.add("INTEGRATORS", sampler::INTEGRATORS.map(|i| i.name).to_vec())?;
    module.add("MAX_COLORS", group::MAX_COLORS)?;
    module.add("INSTRUCTION_SET", crate::instruction_set())
}
