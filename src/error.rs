//! The errors of the crate; each message says what was given, what is allowed and what to do.

use std::sync::Arc;

/// Result of every fallible call in the crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A file that does not say what its format promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatError {
    /// Format or record in which the fault lies, e.g. `"NERSC header"`.
    pub format: String,
    /// Name of the field at fault, e.g. `"DIMENSION_1"`.
    pub field: String,
    /// Byte offset in the file at which the field starts.
    pub offset: u64,
    /// What was found and what is allowed.
    pub message: String,
    /// What the user can do.
    pub remedy: String,
}

impl std::fmt::Display for FormatError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: field {} at byte {}: {}; {}", self.format, self.field, self.offset, self.message, self.remedy)
    }
}

/// Everything that can go wrong.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// An argument has a value that is not allowed (`ValueError` in Python).
    #[error("{0}")]
    Value(String),
    /// An argument has a type that is not allowed (`TypeError` in Python).
    #[error("{0}")]
    Type(String),
    /// A file is damaged or lies about itself (`plaq.FormatError`).
    #[error("{0}")]
    Format(FormatError),
    /// An iteration did not reach its tolerance (`plaq.ConvergenceError`).
    #[error("{message}")]
    Convergence {
        /// What was asked, what was reached, what to do.
        message: String,
        /// Residual after each iteration.
        history: Vec<f64>,
        /// The best that was found, `[column][site][spin][colour]`, where there is such a thing.
        best: Option<Arc<Vec<num_complex::Complex64>>>,
    },
    /// The operating system refused (`OSError`).
    #[error("{path}: {source}")]
    Os {
        /// The path that was used.
        path: String,
        /// The operating system's error.
        source: Arc<std::io::Error>,
    },
    /// The user pressed Ctrl-C (`KeyboardInterrupt`).
    #[error("interrupted")]
    Interrupted,
    /// A function supplied by the caller failed; its own error is inside.
    #[error("{0}")]
    Callback(Arc<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// A wrong value.
    pub fn value(message: impl Into<String>) -> Self {
        Self::Value(message.into())
    }

    /// A failed operating system call on `path`.
    pub fn os(path: impl Into<String>, source: std::io::Error) -> Self {
        Self::Os { path: path.into(), source: Arc::new(source) }
    }
}

impl From<FormatError> for Error {
    fn from(e: FormatError) -> Self {
        Self::Format(e)
    }
}
