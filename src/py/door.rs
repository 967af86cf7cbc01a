//! The one door to Python: releases the GIL, polls signals, converts errors.

use crate::error::{Error, Result};
use crate::interrupt;
use crate::number::Isa;
use numpy::{IntoPyArray, PyArrayMethods};
use pyo3::exceptions::{PyKeyboardInterrupt, PyOSError, PyRuntimeWarning, PyTypeError, PyValueError};
use pyo3::prelude::*;
use std::ffi::CString;

pyo3::create_exception!(plaq, PlaqError, pyo3::exceptions::PyException, "Root of the errors of plaq.");
pyo3::create_exception!(plaq, FormatError, PlaqError, "A file is damaged or does not say what its format promises.");
pyo3::create_exception!(
    plaq,
    ConvergenceError,
    PlaqError,
    "An iteration did not reach its tolerance; `.history` holds the residuals, `.best` the best iterate of a solve."
);
pyo3::create_exception!(plaq, CheckpointError, PlaqError, "A checkpoint cannot be used for this run.");

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Value(_) => PyValueError::new_err(message),
            Error::Type(_) => PyTypeError::new_err(message),
            Error::Format(_) => FormatError::new_err(message),
            Error::Convergence { history, best, .. } => Python::attach(|py| {
                let error = ConvergenceError::new_err(message);
                let _ = error.value(py).setattr("history", history);
                let best = best.map(|best| best.as_slice().to_vec().into_pyarray(py));
                let _ = error.value(py).setattr("best", best);
                error
            }),
            Error::Os { source, path } => match source.raw_os_error() {
                Some(code) => {
                    // Python prints the number itself.
                    let text = source.to_string();
                    let text = text.strip_suffix(&format!(" (os error {code})")).unwrap_or(&text).to_string();
                    PyOSError::new_err((code, text, path))
                }
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
pub(super) fn enter<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T> + Send) -> PyResult<T> {
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

/// Refuses what cannot fit into this machine, before memory is taken.
#[pyfunction]
pub(super) fn require_memory(what: &str, bytes: u128) -> PyResult<()> {
    Ok(crate::memory::require(what, bytes)?)
}

/// Says what is wrong with the threads and the instruction set that were asked for, and imports numpy's C interface, whose first use in a
/// kernel's return a Ctrl-C would turn into a panic.
pub(super) fn prepare(py: Python<'_>) -> PyResult<()> {
    let _ = vec![0.0].into_pyarray(py).try_readonly();
    let complaints = [crate::field::complaint(), Isa::requested().err().map(|error| error.to_string())];
    for text in complaints.into_iter().flatten() {
        PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &CString::new(text)?, 1)?;
    }
    Ok(())
}
