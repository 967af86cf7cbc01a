//! The random numbers of one update: key and counter, with a term that keeps several pseudofermions of one trajectory apart.

use super::{Purpose, Stream};

/// Seed of the run, number of the update, and the term of the action that draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draws {
    /// Seed of the run.
    pub seed: u64,
    /// Number of the update, below 2^40.
    pub sweep: u64,
    /// Number of the term.
    pub term: u16,
}

impl Draws {
    /// The numbers of update `sweep`, term 0.
    pub fn new(seed: u64, sweep: u64) -> Self {
        Self { seed, sweep, term: 0 }
    }
    /// The numbers of another term of the same update.
    pub fn of(self, term: u16) -> Self {
        Self { term, ..self }
    }
    /// The stream of a purpose: the term stands in the upper 16 of the 56 bits of the sweep number.
    pub fn stream(self, purpose: Purpose) -> Stream {
        Stream::new(self.seed, purpose, u64::from(self.term) << 40 | (self.sweep & ((1 << 40) - 1)))
    }
}
