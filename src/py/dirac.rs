//! Python: Dirac operators and solves.

use super::door::enter;
use super::gauge::{Gauge, array, elements};
use crate::action;
use crate::any::spec::parse;
use crate::any::{self, AnyDirac, SolveOptions, SpectrumOf};
use crate::dirac::{DiracSpec, gamma};
use crate::error::{Error, Result};
use crate::solver::{EigenParams, Method, SolveInfo, SolveParams};
use num_complex::Complex64;
use numpy::{PyArrayDyn, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::Arc;

/// A Dirac operator on a field; `plaq.dirac.Operator` wraps it.
#[pyclass(frozen, module = "plaq._plaq")]
pub(crate) struct DiracCore {
    operator: Arc<dyn AnyDirac>,
    extents: Vec<usize>,
}

impl DiracCore {
    /// Shape of a vector: `x.., spin, colour`, and the slices of a fifth dimension before the spin.
    fn one(&self) -> Vec<usize> {
        let (spins, colors) = self.operator.components();
        self.extents.iter().copied().chain(self.operator.slices()).chain([spins, colors]).collect()
    }
    /// Number of columns of an array of vectors.
    fn columns(&self, shape: &[usize]) -> Result<usize> {
        let one = self.one();
        match shape.split_first() {
            Some((columns, rest)) if rest == one && *columns > 0 => Ok(*columns),
            _ => Err(Error::value(format!("vectors have shape {shape:?}; (columns, {one:?}) is needed"))),
        }
    }
}

#[pymethods]
impl DiracCore {
    #[new]
    #[pyo3(signature = (spec, field, long=None))]
    fn new(py: Python<'_>, spec: &str, field: &Gauge, long: Option<&Gauge>) -> PyResult<Self> {
        let spec = parse(spec)?;
        let (field, long) = (field.field.clone(), long.map(|long| long.field.clone()));
        let extents = field.extents().to_vec();
        enter(py, move || Ok(Self { operator: any::bind(&spec, &field, long.as_deref())?.into(), extents }))
    }
    /// Components of a spinor, and colours.
    #[getter]
    fn components(&self) -> (usize, usize) {
        self.operator.components()
    }
    fn apply<'py>(
        &self,
        py: Python<'py>,
        x: PyReadonlyArrayDyn<'py, Complex64>,
        adjoint: bool,
    ) -> PyResult<Bound<'py, PyArrayDyn<Complex64>>> {
        let (shape, data) = (x.shape().to_vec(), elements(&x)?);
        let columns = self.columns(&shape)?;
        let out = enter(py, || self.operator.apply(&data, columns, adjoint))?;
        array(py, out, shape)
    }
    /// The solution and a dict of what it cost.
    #[expect(clippy::too_many_arguments, reason = "one keyword each")]
    fn solve<'py>(
        &self,
        py: Python<'py>,
        b: PyReadonlyArrayDyn<'py, Complex64>,
        guess: Option<PyReadonlyArrayDyn<'py, Complex64>>,
        low_modes: Option<PyReadonlyArrayDyn<'py, Complex64>>,
        method: Option<&str>,
        mixed: bool,
        even_odd: bool,
        tolerance: f64,
        max_iterations: usize,
    ) -> PyResult<(Bound<'py, PyArrayDyn<Complex64>>, Bound<'py, PyDict>)> {
        let (shape, data) = (b.shape().to_vec(), elements(&b)?);
        let guess = guess.map(|guess| elements(&guess)).transpose()?;
        let low = low_modes.map_or(Ok(Vec::new()), |low| elements(&low))?;
        let columns = self.columns(&shape)?;
        let method = method.map(Method::named).transpose()?;
        let options = SolveOptions { method, mixed, even_odd, params: SolveParams { tolerance, max_iterations } };
        let solved = enter(py, || self.operator.solve(&data, guess.as_deref(), &low, columns, &options))?;
        let info = cost(py, solved.info, &solved.method)?;
        Ok((array(py, solved.x, shape)?, info))
    }

    /// Solutions of (D^dagger D + shift) x = b, `[shift, column, x.., spin, colour]`, and a dict of what they cost.
    fn solve_shifted<'py>(
        &self,
        py: Python<'py>,
        b: PyReadonlyArrayDyn<'py, Complex64>,
        shifts: Vec<f64>,
        tolerance: f64,
        max_iterations: usize,
    ) -> PyResult<(Bound<'py, PyArrayDyn<Complex64>>, Bound<'py, PyDict>)> {
        let (shape, data) = (b.shape().to_vec(), elements(&b)?);
        let columns = self.columns(&shape)?;
        let params = SolveParams { tolerance, max_iterations };
        let (x, info) = enter(py, || self.operator.solve_shifted(&data, columns, &shifts, params))?;
        Ok((array(py, x, [vec![shifts.len()], shape].concat())?, cost(py, info, "multi-shift cg")?))
    }

    /// Eigenvalues and, where asked for, vectors `[number, x.., spin, colour]`, and a dict of what they cost.
    #[expect(clippy::too_many_arguments, clippy::type_complexity, reason = "one keyword each; values, vectors, costs")]
    fn eigenvalues<'py>(
        &self,
        py: Python<'py>,
        of: &str,
        count: usize,
        largest: bool,
        vectors: bool,
        tolerance: f64,
        max_applications: usize,
        degree: Option<usize>,
    ) -> PyResult<(Vec<f64>, Option<Bound<'py, PyArrayDyn<Complex64>>>, Bound<'py, PyDict>)> {
        let of = SpectrumOf::named(of)?;
        let params = EigenParams { count, largest, tolerance, max_applications, degree, keep_even: false };
        let found = enter(py, || self.operator.eigenvalues(of, params, vectors))?;
        let info = PyDict::new(py);
        info.set_item("residuals", found.residuals)?;
        info.set_item("scale", found.scale)?;
        info.set_item("degree", found.degree)?;
        info.set_item("restarts", found.info.iterations)?;
        info.set_item("applications", found.info.applications)?;
        let shape = [vec![count], self.one()].concat();
        let vectors = if vectors { Some(array(py, found.vectors, shape)?) } else { None };
        Ok((found.values, vectors, info))
    }
}

/// What a solve cost.
fn cost<'py>(py: Python<'py>, info: SolveInfo, method: &str) -> PyResult<Bound<'py, PyDict>> {
    let cost = PyDict::new(py);
    cost.set_item("method", method)?;
    cost.set_item("iterations", info.iterations)?;
    cost.set_item("applications", info.applications)?;
    cost.set_item("residual", info.residual)?;
    cost.set_item("history", info.history)?;
    Ok(cost)
}

/// gamma_mu for spinors of 2 or 4 components, `[mu, row, column]`.
#[pyfunction]
fn gamma_matrices(py: Python<'_>, spins: usize) -> PyResult<Bound<'_, PyArrayDyn<Complex64>>> {
    fn all<const S: usize>(count: usize) -> Vec<Complex64> {
        let entries = (0..count).flat_map(|mu| gamma::matrix::<S>(mu).into_iter().flatten());
        entries.map(|(re, im)| Complex64::new(re, im)).collect()
    }
    match spins {
        2 => array(py, all::<2>(2), vec![2, 2, 2]),
        4 => array(py, all::<4>(4), vec![4, 4, 4]),
        _ => Err(Error::value(format!("spinors have 2 or 4 components; got {spins}")).into()),
    }
}

/// What is wrong with the quarks of an action, as far as it is known without a field.
#[pyfunction]
#[pyo3(signature = (dirac, n_flavors, over, one_solve))]
fn check_quarks(dirac: &str, n_flavors: u32, over: Option<&str>, one_solve: bool) -> PyResult<()> {
    let over: Option<DiracSpec> = over.map(parse).transpose()?;
    Ok(action::check_quarks(&parse(dirac)?, over.as_ref(), n_flavors, one_solve)?)
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(check_quarks, module)?)?;
    module.add_function(wrap_pyfunction!(gamma_matrices, module)?)?;
    module.add_class::<DiracCore>()
}
