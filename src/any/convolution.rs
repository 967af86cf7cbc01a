//! Convolutional networks whose precision is known at run time, compiled for every shape of input that they meet.

use super::spec::parse;
use crate::error::{Error, Result};
use crate::field::inside;
use crate::nn::{Batch, Chosen, Layer, Loss, Numbers, Plan, Samples, check_symmetry, flat, initial};
use crate::number::Isa;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(target_arch = "x86_64")]
use crate::number::{F32x8Avx2, F32x16Avx512, F64x4Avx2, F64x8Avx512};

/// Channels and extents of an input.
type Shape = (usize, Vec<usize>);

/// Plans that are kept; those of more shapes are compiled anew.
const KEPT: usize = 64;

/// Tenths of the time of a product where lanes are samples, in units of that where they are channels (measured) ...
const TENTHS: usize = 17;
/// ... if the activations of all of them fit into a cache of this size.
const CACHE: u128 = 1 << 20;

/// A network for lattices of one dimension and any extents; parameters are handed in.
pub struct AnyConvolution {
    ndim: usize,
    layers: Vec<Layer>,
    n_parameters: usize,
    plans: Mutex<HashMap<Shape, Arc<Plan>>>,
}

/// Runs an expression with `$batch` for numbers of the precision of the samples, on the lanes of this machine.
macro_rules! with_batch {
    ($plan:expr, $theta:expr, $samples:expr, $count:expr, $batch:ident => $body:expr) => {{
        let (plan, theta, samples, count): (&Plan, &[f64], &Samples, usize) = ($plan, $theta, $samples, $count);
        macro_rules! on {
            ($real:ty, $lanes:literal) => {
                if are_samples::<$real>(plan, count, $lanes) {
                    let $batch = Batch::<$real, 1>::new(plan, theta, samples)?;
                    $body
                } else {
                    let $batch = Batch::<$real, $lanes>::new(plan, theta, samples)?;
                    $body
                }
            };
        }
        match (&samples.numbers, Isa::best()) {
            #[cfg(target_arch = "x86_64")]
            (Numbers::Single(_), Isa::Avx512) => on!(F32x16Avx512, 16),
            #[cfg(target_arch = "x86_64")]
            (Numbers::Double(_), Isa::Avx512) => on!(F64x8Avx512, 8),
            #[cfg(target_arch = "x86_64")]
            (Numbers::Single(_), Isa::Avx2) => on!(F32x8Avx2, 8),
            #[cfg(target_arch = "x86_64")]
            (Numbers::Double(_), Isa::Avx2) => on!(F64x4Avx2, 4),
            (Numbers::Single(_), _) => {
                let $batch = Batch::<f32, 1>::new(plan, theta, samples)?;
                $body
            }
            (Numbers::Double(_), _) => {
                let $batch = Batch::<f64, 1>::new(plan, theta, samples)?;
                $body
            }
        }
    }};
}

/// Whether lanes are samples and not channels: few channels would leave most lanes empty.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
fn are_samples<R>(plan: &Plan, count: usize, lanes: usize) -> bool {
    let by_samples = plan.products(1) * count.div_ceil(lanes) * lanes;
    plan.bytes::<R, 1>() <= CACHE && by_samples * TENTHS < plan.products(lanes) * count * 10
}

impl AnyConvolution {
    /// A network from the description of its layers as JSON text.
    pub fn new(layers: &str, ndim: usize) -> Result<Self> {
        let layers: Vec<Layer> = parse(layers)?;
        if !(1..=4).contains(&ndim) {
            return Err(Error::value(format!("ndim = {ndim}; allowed are 1 to 4")));
        }
        for (place, layer) in flat(&layers) {
            layer.check(ndim).map_err(|error| Error::value(format!("layer {place}, {error}")))?;
        }
        check_symmetry(&layers)?;
        let n_parameters = layers.iter().map(Layer::n_parameters).sum();
        Ok(Self { ndim, layers, n_parameters, plans: Mutex::default() })
    }

    /// Number of parameters.
    pub fn n_parameters(&self) -> usize {
        self.n_parameters
    }

    /// Place of the layer, name and shape of each array of parameters.
    pub fn arrays(&self) -> Vec<(String, &'static str, Vec<usize>)> {
        let own = |(place, layer): (String, &Layer)| {
            layer.parameters().into_iter().map(move |(name, shape, _)| (place.clone(), name, shape))
        };
        flat(&self.layers).into_iter().flat_map(own).collect()
    }

    /// Initial parameters.
    pub fn initial(&self, seed: u64) -> Vec<f64> {
        initial(&self.layers, seed)
    }

    /// The network for inputs of this shape.
    pub fn plan(&self, channels: usize, extents: &[usize]) -> Result<Arc<Plan>> {
        if extents.len() != self.ndim {
            return Err(Error::value(format!(
                "the network is for {} dimensions; the extents of the samples are {extents:?}",
                self.ndim
            )));
        }
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let shape = (channels, extents.to_vec());
        if let Some(plan) = plans.get(&shape) {
            return Ok(plan.clone());
        }
        let plan = Arc::new(Plan::new(&self.layers, channels, extents)?);
        if plans.len() >= KEPT {
            plans.clear();
        }
        plans.insert(shape, plan.clone());
        Ok(plan)
    }

    fn plan_of(&self, samples: &Samples) -> Result<Arc<Plan>> {
        self.plan(samples.channels, &samples.extents)
    }

    /// Outputs of the chosen samples, one after another.
    pub fn predict(&self, theta: &[f64], samples: &Samples, chosen: Chosen<'_>) -> Result<Vec<f64>> {
        let plan = self.plan_of(samples)?;
        let count = chosen.samples.len();
        inside(|| with_batch!(&plan, theta, samples, count, batch => batch.predict(chosen)))
    }

    /// Mean loss of the chosen samples.
    pub fn loss(&self, theta: &[f64], samples: &Samples, chosen: Chosen<'_>, loss: &Loss) -> Result<f64> {
        let plan = self.plan_of(samples)?;
        let count = chosen.samples.len();
        inside(|| with_batch!(&plan, theta, samples, count, batch => batch.loss(chosen, loss)))
    }

    /// Mean loss of the chosen samples and its derivatives.
    pub fn gradient(
        &self,
        theta: &[f64],
        samples: &Samples,
        chosen: Chosen<'_>,
        loss: &Loss,
    ) -> Result<(f64, Vec<f64>)> {
        let plan = self.plan_of(samples)?;
        let count = chosen.samples.len();
        inside(|| with_batch!(&plan, theta, samples, count, batch => batch.gradient(chosen, loss)))
    }

    /// Cotangents of inputs and parameters for those of the outputs.
    pub fn pullback(
        &self,
        theta: &[f64],
        samples: &Samples,
        chosen: Chosen<'_>,
        cotangents: &[f64],
    ) -> Result<(Vec<f64>, Vec<f64>)> {
        let plan = self.plan_of(samples)?;
        let count = chosen.samples.len();
        inside(|| with_batch!(&plan, theta, samples, count, batch => batch.pullback(chosen, cotangents)))
    }
}
