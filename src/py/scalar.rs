//! Python: scalar fields.

use super::gauge::array;
use crate::error::Error;
use crate::lattice::{Lattice, check_extents};
use crate::memory::require;
use crate::scalar::{self, ScalarField};
use numpy::{PyArrayDyn, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;

/// A scalar field inside the core; `plaq.ScalarField` wraps it.
#[pyclass(frozen, module = "plaq._plaq")]
pub(super) struct Scalars {
    pub(super) field: ScalarField<f64>,
}

impl Scalars {
    pub(super) fn array_shape(&self) -> Vec<usize> {
        [self.field.lattice().extents(), &[self.field.components()]].concat()
    }
}

#[pymethods]
impl Scalars {
    #[staticmethod]
    fn from_array(values: PyReadonlyArrayDyn<'_, f64>) -> PyResult<Self> {
        let shape = values.shape().to_vec();
        let data = values.as_slice().map_err(|_| Error::value("array is not C-contiguous"))?;
        let [extents @ .., components] = shape.as_slice() else {
            return Err(Error::value("a scalar field has shape (L_0, .., L_D-1, components)").into());
        };
        let lattice = Lattice::new(extents, 1)?;
        let field = ScalarField::from_sites(lattice, *components, |site, c| data[site * components + c]);
        Ok(Self { field })
    }
    #[staticmethod]
    fn random(shape: Vec<usize>, components: usize, seed: u64) -> PyResult<Self> {
        let numbers = check_extents(&shape)? as u128 * components as u128;
        require(&format!("a scalar field of {components} components on {shape:?}"), 16 * numbers)?;
        let lattice = Lattice::new(&shape, 1)?;
        let values = scalar::normals(&lattice, components, seed);
        Ok(Self { field: ScalarField::from_sites(lattice, components, |site, c| values[site * components + c]) })
    }
    fn to_array<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        array(py, self.field.to_array(), self.array_shape())
    }
    #[getter]
    fn shape(&self) -> Vec<usize> {
        self.field.lattice().extents().to_vec()
    }
    #[getter]
    fn components(&self) -> usize {
        self.field.components()
    }
}

/// Adds the class.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Scalars>()
}
