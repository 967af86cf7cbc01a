//! Python: convolutional networks of [`crate::nn`].

use super::door::enter;
use super::gauge::array;
use crate::any::AnyConvolution;
use crate::any::spec::parse;
use crate::nn::{Chosen, Loss, Numbers, Samples};
use numpy::{IntoPyArray, PyArray1, PyArrayDyn, PyReadonlyArray1, PyReadonlyArrayDyn};
use pyo3::prelude::*;

/// Cotangent of the input, and derivatives by the parameters.
type SampleCotangents<'py> = (Bound<'py, PyArrayDyn<f64>>, Bound<'py, PyArray1<f64>>);

/// A network without its parameters.
#[pyclass(frozen, module = "plaq._plaq")]
struct ConvolutionCore {
    network: AnyConvolution,
}

/// Samples `[sample, channel, x..]` with the numbers that the network should give, or none.
#[pyclass(frozen, module = "plaq._plaq")]
struct SamplesCore {
    samples: Samples,
    count: usize,
}

impl SamplesCore {
    fn build(shape: &[usize], numbers: Numbers, targets: PyReadonlyArray1<'_, f64>) -> Self {
        let (channels, extents) = (shape[1], shape[2..].to_vec());
        let samples = Samples { channels, extents, numbers, targets: targets.as_array().to_vec() };
        Self { samples, count: shape[0] }
    }

    /// Numbers of all samples.
    fn all(&self) -> Vec<usize> {
        (0..self.count).collect()
    }
}

#[pymethods]
impl SamplesCore {
    /// In single precision.
    #[staticmethod]
    fn single(numbers: PyReadonlyArrayDyn<'_, f32>, targets: PyReadonlyArray1<'_, f64>) -> Self {
        let values = numbers.as_array().iter().copied().collect();
        Self::build(numbers.as_array().shape(), Numbers::Single(values), targets)
    }

    /// In double precision.
    #[staticmethod]
    fn double(numbers: PyReadonlyArrayDyn<'_, f64>, targets: PyReadonlyArray1<'_, f64>) -> Self {
        let values = numbers.as_array().iter().copied().collect();
        Self::build(numbers.as_array().shape(), Numbers::Double(values), targets)
    }
}

#[pymethods]
impl ConvolutionCore {
    /// From the description of the layers as JSON text.
    #[new]
    fn new(layers: &str, ndim: usize) -> PyResult<Self> {
        Ok(Self { network: AnyConvolution::new(layers, ndim)? })
    }

    #[getter]
    fn n_parameters(&self) -> usize {
        self.network.n_parameters()
    }

    /// Place of the layer, name and shape of each array of parameters.
    fn arrays(&self) -> Vec<(String, &'static str, Vec<usize>)> {
        self.network.arrays()
    }

    fn initial<'py>(&self, py: Python<'py>, seed: u64) -> Bound<'py, PyArray1<f64>> {
        self.network.initial(seed).into_pyarray(py)
    }

    /// Shape of the output of one sample.
    fn output_shape(&self, channels: usize, extents: Vec<usize>) -> PyResult<Vec<usize>> {
        Ok(self.network.plan(channels, &extents)?.output_shape())
    }

    /// Outputs of all samples.
    fn predict<'py>(
        &self,
        py: Python<'py>,
        samples: &SamplesCore,
        parameters: PyReadonlyArray1<'py, f64>,
    ) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        let (parameters, all) = (parameters.as_array().to_vec(), samples.all());
        let chosen = Chosen { samples: &all, shifts: &[] };
        let outputs = enter(py, || self.network.predict(&parameters, &samples.samples, chosen))?;
        let shape = self.network.plan(samples.samples.channels, &samples.samples.extents)?.output_shape();
        array(py, outputs, [&[samples.count], &shape[..]].concat())
    }

    /// Cotangents of the inputs and of the parameters, the latter summed over samples.
    fn pullback<'py>(
        &self,
        py: Python<'py>,
        samples: &SamplesCore,
        parameters: PyReadonlyArray1<'py, f64>,
        cotangents: PyReadonlyArrayDyn<'py, f64>,
    ) -> PyResult<SampleCotangents<'py>> {
        let (parameters, all) = (parameters.as_array().to_vec(), samples.all());
        let cotangents: Vec<f64> = cotangents.as_array().iter().copied().collect();
        let chosen = Chosen { samples: &all, shifts: &[] };
        let pulled = || self.network.pullback(&parameters, &samples.samples, chosen, &cotangents);
        let (inputs, gradient) = enter(py, pulled)?;
        let shape = [&[samples.count, samples.samples.channels], &samples.samples.extents[..]].concat();
        Ok((array(py, inputs, shape)?, gradient.into_pyarray(py)))
    }

    /// Mean loss of some samples and its gradient; each input is moved by its row of `shifts`, if there are any.
    fn gradient<'py>(
        &self,
        py: Python<'py>,
        samples: &SamplesCore,
        parameters: PyReadonlyArray1<'py, f64>,
        loss: &str,
        indices: Vec<usize>,
        shifts: Vec<Vec<usize>>,
    ) -> PyResult<(f64, Bound<'py, PyArray1<f64>>)> {
        let (parameters, loss): (_, Loss) = (parameters.as_array().to_vec(), parse(loss)?);
        let chosen = Chosen { samples: &indices, shifts: &shifts };
        let both = enter(py, || self.network.gradient(&parameters, &samples.samples, chosen, &loss))?;
        Ok((both.0, both.1.into_pyarray(py)))
    }

    /// Mean loss of all samples.
    fn loss(
        &self,
        py: Python<'_>,
        samples: &SamplesCore,
        parameters: PyReadonlyArray1<'_, f64>,
        loss: &str,
    ) -> PyResult<f64> {
        let (parameters, loss): (_, Loss) = (parameters.as_array().to_vec(), parse(loss)?);
        let all = samples.all();
        let chosen = Chosen { samples: &all, shifts: &[] };
        enter(py, || self.network.loss(&parameters, &samples.samples, chosen, &loss))
    }
}

/// Adds the classes.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<ConvolutionCore>()?;
    module.add_class::<SamplesCore>()
}
