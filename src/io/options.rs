//! What callers say about the files they read and write.

use super::format::Format;
use super::links::{MAX_EXTENT, check_colors};
use crate::error::{Error, Result};

/// What the caller knows about a file, and what may be wrong with it.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Format; found from the content if `None`.
    pub format: Option<Format>,
    /// Extents, for files that do not state them.
    pub shape: Option<Vec<usize>>,
    /// Number of colours (1 for U(1)), for files that do not state it.
    pub n_colors: Option<usize>,
    /// Accept links outside the group (Schroedinger functional, open boundaries); a recorded plaquette or link trace
    /// that differs is then a warning, because such codes normalise it differently.
    pub allow_nonunitary: bool,
    /// Smallest extent that the caller can use; 0 takes every lattice.
    pub smallest_extent: usize,
    /// Turn wrong checksums, plaquettes and link traces into warnings.
    pub ignore_checksum: bool,
}

impl ReadOptions {
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(n) = self.n_colors {
            check_colors(n)?;
        }
        let Some(shape) = &self.shape else { return Ok(()) };
        let good = (1..=4).contains(&shape.len()) && shape.iter().all(|l| (1..=MAX_EXTENT).contains(l));
        if good {
            return Ok(());
        }
        Err(Error::value(format!("shape {shape:?}: give 1 to 4 extents between 1 and {MAX_EXTENT}, time last")))
    }
}

/// How links are written.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    /// Format; taken from the extension of the file if `None`.
    pub format: Option<Format>,
    /// 32 or 64 bits a real.
    pub precision: u32,
    /// Rows of each matrix in a NERSC file: N - 1 or N; `None` is N.
    pub rows: Option<usize>,
    /// Names and values to keep with the field.
    pub metadata: Vec<(String, String)>,
    /// Accept links outside the group (Schroedinger functional, open boundaries).
    pub allow_nonunitary: bool,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self { format: None, precision: 64, rows: None, metadata: Vec::new(), allow_nonunitary: false }
    }
}
