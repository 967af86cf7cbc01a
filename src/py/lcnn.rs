//! Python: equivariant convolutional networks of [`crate::lcnn`].

use super::door::enter;
use super::gauge::{Gauge, array};
use crate::any::compile::lcnn;
use crate::any::regression::{self, Sample};
use crate::any::spec::parse;
use crate::any::{AnyGauge, Capability, with_gauge};
use crate::concept::{Configuration, Readout};
use crate::error::Result;
use crate::gauge::GaugeField;
use crate::lcnn::{Function, Layer, Network};
use crate::number::Real;
use num_complex::Complex64;
use numpy::{IntoPyArray, PyArray1, PyArrayDyn, PyReadonlyArray1, PyReadonlyArrayDyn};
use pyo3::prelude::*;
use std::sync::Arc;

/// A network without its parameters.
#[pyclass(frozen, module = "plaq._plaq")]
struct LcnnCore {
    network: Network,
}

/// Fields with the outputs that they should give.
#[pyclass(frozen, module = "plaq._plaq")]
struct LcnnSamples {
    samples: Vec<Sample>,
}

#[pymethods]
impl LcnnSamples {
    /// Each target in the order of the outputs.
    #[new]
    fn new(fields: Vec<PyRef<'_, Gauge>>, targets: Vec<PyReadonlyArray1<'_, f64>>) -> Self {
        let sample = |(field, target): (PyRef<'_, Gauge>, PyReadonlyArray1<'_, f64>)| Sample {
            field: field.field.clone(),
            target: target.as_array().to_vec(),
        };
        Self { samples: fields.into_iter().zip(targets).map(sample).collect() }
    }
}

impl LcnnCore {
    fn shape(&self, field: &AnyGauge) -> Vec<usize> {
        let (channels, sites) = self.network.outputs();
        if sites { [field.extents(), &[channels]].concat() } else { vec![channels] }
    }
}

#[pymethods]
impl LcnnCore {
    /// From the description as JSON text.
    #[new]
    fn new(spec: &str) -> PyResult<Self> {
        Ok(Self { network: lcnn(&parse(spec)?)? })
    }

    #[getter]
    fn n_parameters(&self) -> usize {
        self.network.n_parameters()
    }

    /// Layer, name and shape of each array of parameters.
    fn arrays(&self) -> Vec<(usize, &'static str, Vec<usize>)> {
        let own = |(n, layer): (usize, &Layer)| {
            let arrays = layer.parameters(self.network.ndim());
            arrays.into_iter().map(move |(name, shape, _)| (n, name, shape))
        };
        self.network.layers().iter().enumerate().flat_map(own).collect()
    }

    fn initial<'py>(&self, py: Python<'py>, seed: u64) -> Bound<'py, PyArray1<f64>> {
        self.network.initial(seed).into_pyarray(py)
    }

    /// Shape of the output for a field.
    fn output_shape(&self, field: &Gauge) -> Vec<usize> {
        self.shape(&field.field)
    }

    /// Outputs of several fields.
    fn predict<'py>(
        &self,
        py: Python<'py>,
        fields: Vec<PyRef<'py, Gauge>>,
        parameters: PyReadonlyArray1<'py, f64>,
    ) -> PyResult<Vec<Bound<'py, PyArrayDyn<f64>>>> {
        let fields: Vec<_> = fields.iter().map(|field| field.field.clone()).collect();
        let parameters = parameters.as_array().to_vec();
        let outputs = enter(py, || regression::predict(&self.network, &parameters, &fields))?;
        outputs.into_iter().zip(&fields).map(|(output, field)| array(py, output, self.shape(field))).collect()
    }

    /// Outputs, cotangent of the links and gradient of the parameters.
    #[allow(clippy::type_complexity)]
    fn pullback<'py>(
        &self,
        py: Python<'py>,
        field: &Gauge,
        parameters: PyReadonlyArray1<'py, f64>,
        cotangent: PyReadonlyArrayDyn<'py, f64>,
    ) -> PyResult<(Bound<'py, PyArrayDyn<f64>>, Bound<'py, PyArrayDyn<Complex64>>, Bound<'py, PyArray1<f64>>)> {
        let parameters = parameters.as_array().to_vec();
        let cotangent: Vec<f64> = cotangent.as_array().iter().copied().collect();
        let field = Arc::clone(&field.field);
        let result = enter(py, || with_gauge!(&*field, u => pullback(&self.network, &parameters, u, &cotangent)))?;
        let (extents, n) = (field.extents(), field.n_colors());
        let links = array(py, result.links, [&[extents.len()], extents, &[n, n]].concat())?;
        Ok((array(py, result.outputs, self.shape(&field))?, links, result.parameters.into_pyarray(py)))
    }

    /// Mean squared error of some samples and its gradient.
    fn squared_error<'py>(
        &self,
        py: Python<'py>,
        samples: &LcnnSamples,
        parameters: PyReadonlyArray1<'py, f64>,
        indices: Vec<usize>,
    ) -> PyResult<(f64, Bound<'py, PyArray1<f64>>)> {
        let parameters = parameters.as_array().to_vec();
        let chosen: Vec<&Sample> = indices.iter().filter_map(|&n| samples.samples.get(n)).collect();
        let (loss, gradient) = enter(py, || regression::squared_error(&self.network, &parameters, &chosen))?;
        Ok((loss, gradient.into_pyarray(py)))
    }

    /// Mean squared error of all samples.
    fn loss(&self, py: Python<'_>, samples: &LcnnSamples, parameters: PyReadonlyArray1<'_, f64>) -> PyResult<f64> {
        let parameters = parameters.as_array().to_vec();
        enter(py, || regression::loss(&self.network, &parameters, &samples.samples))
    }
}

struct Pulled {
    outputs: Vec<f64>,
    links: Vec<Complex64>,
    parameters: Vec<f64>,
}

fn pullback<R: Real<Total = f64>, const N: usize>(
    network: &Network,
    parameters: &[f64],
    u: &GaugeField<R, N>,
    cotangent: &[f64],
) -> Result<Pulled> {
    if const { !Capability::Lcnn.of(N) } {
        return Err(Capability::Lcnn.missing(N));
    }
    let (outputs, tape) = network.record(parameters, u)?;
    let (mut force, mut gradient) = (u.zero(), vec![0.0; parameters.len()]);
    network.pullback(parameters, u, &tape, cotangent, Some(&mut force), Some(&mut gradient))?;
    Ok(Pulled { outputs, links: force.to_array(), parameters: gradient })
}

/// Adds the classes and the names of functions.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<LcnnCore>()?;
    module.add_class::<LcnnSamples>()?;
    module.add("FUNCTIONS", Function::TABLE.map(|(name, _)| name).to_vec())
}
