//! The one door to Python: releases the GIL, polls signals, converts errors.

mod gauge;
mod io;
mod lcnn;
mod optimizer;
mod rbm;
mod sampler;
mod scalar;
mod smear;
mod spin;

use crate::error::{Error, Result};
use crate::interrupt;
use pyo3::exceptions::{PyKeyboardInterrupt, PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;

pyo3::create_exception!(plaq, PlaqError, pyo3::exceptions::PyException, "Root of the errors of plaq.");
pyo3::create_exception!(plaq, FormatError, PlaqError, "A file is damaged or does not say what its format promises.");
pyo3::create_exception!(
    plaq,
    ConvergenceError,
    PlaqError,
    "An iteration did not reach its tolerance; `.history` holds the residuals."
);
pyo3::create_exception!(plaq, CheckpointError, PlaqError, "A checkpoint cannot be used for this run.");

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Value(_) => PyValueError::new_err(message),
            Error::Type(_) => PyTypeError::new_err(message),
            Error::Format(_) => FormatError::new_err(message),
            Error::Convergence { history, .. } => Python::attach(|py| {
                let error = ConvergenceError::new_err(message);
                let _ = error.value(py).setattr("history", history);
                error
            }),
            Error::Os { source, path } => match source.raw_os_error() {
                Some(code) => PyOSError::new_err((code, source.to_string(), path)),
                None => PyOSError::new_err(message),
            },
            Error::Interrupted => PyKeyboardInterrupt::new_err(()),
            Error::Callback(inner) => match inner.downcast_ref::<PyErr>() {
                Some(error) => Python::attach(|py| error.clone_ref(py)),
                None => PlaqError::new_err(message),
            },
        }
    }
}

/// Runs `work` without the GIL, with Ctrl-C answered through [`interrupt::poll`] and panics turned into errors.
pub(crate) fn enter<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T> + Send) -> PyResult<T> {
    fn signals() -> Result<()> {
        Python::attach(|py| py.check_signals()).map_err(|error| Error::Callback(std::sync::Arc::new(error)))
    }
    let guarded = || std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| interrupt::with_poll(signals, work)));
    match py.detach(guarded) {
        Ok(result) => Ok(result?),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(PlaqError::new_err(format!("internal error ({text}); please report it with the call that caused it")))
        }
    }
}

#[pymodule]
fn _plaq(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    gauge::register(module)?;
    io::register(module)?;
    lcnn::register(module)?;
    optimizer::register(module)?;
    rbm::register(module)?;
    sampler::register(module)?;
    scalar::register(module)?;
    smear::register(module)?;
    spin::register(module)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("PlaqError", py.get_type::<PlaqError>())?;
    module.add("FormatError", py.get_type::<FormatError>())?;
    module.add("ConvergenceError", py.get_type::<ConvergenceError>())?;
    module.add("CheckpointError", py.get_type::<CheckpointError>())?;
    Ok(())
}
