//! The Python module `plaq._plaq`: one file a family, all through one door.

mod dirac;
mod door;
mod flux;
mod gauge;
mod io;
mod lcnn;
mod nn;
mod optimizer;
mod rbm;
mod sampler;
mod scalar;
mod smear;
mod spin;
mod transform;

use pyo3::prelude::*;

#[pymodule]
fn _plaq(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    crate::HugePages::keep_freed_blocks();
    door::prepare(py)?;
    module.add_function(wrap_pyfunction!(door::require_memory, module)?)?;
    dirac::register(module)?;
    flux::register(module)?;
    gauge::register(module)?;
    io::register(module)?;
    lcnn::register(module)?;
    nn::register(module)?;
    optimizer::register(module)?;
    rbm::register(module)?;
    sampler::register(module)?;
    scalar::register(module)?;
    smear::register(module)?;
    spin::register(module)?;
    transform::register(module)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("PlaqError", py.get_type::<door::PlaqError>())?;
    module.add("FormatError", py.get_type::<door::FormatError>())?;
    module.add("ConvergenceError", py.get_type::<door::ConvergenceError>())?;
    module.add("CheckpointError", py.get_type::<door::CheckpointError>())?;
    Ok(())
}
