//! What identifies a network on spins: its blocks, the shells that they sum, the lattice on which they were learned.

use super::lattice::Shell;
use crate::error::{Error, Result};

/// What a block adds to the spins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// Attention with `max(0, score)`.
    Relu,
    /// Attention with a softmax over all sites.
    Softmax,
    /// Norm-gated shell sums without attention.
    Local,
}

impl Block {
    /// Name in files and in Python.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::Softmax => "softmax",
            Self::Local => "local",
        }
    }

    /// The block called `name`.
    pub fn from_name(name: &str) -> Result<Self> {
        [Self::Relu, Self::Softmax, Self::Local]
            .into_iter()
            .find(|b| b.name() == name)
            .ok_or_else(|| Error::value(format!("unknown block \"{name}\": allowed are relu, softmax, local")))
    }

    /// Number of shell-weighted fields.
    pub(super) fn fields(self) -> usize {
        if self == Self::Local { 2 } else { 3 }
    }

    pub(super) fn parameters(self, shells: usize) -> usize {
        self.fields() * (shells + 1) + if self == Self::Local { 2 } else { 0 }
    }

    /// Position of V among the fields.
    pub(super) fn value(self) -> usize {
        if self == Self::Local { 0 } else { 2 }
    }
}

/// What identifies an architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Architecture {
    /// The blocks, first to last.
    pub blocks: Vec<Block>,
    /// Shells that are summed in the blocks (the site itself is always there).
    pub shells: Vec<Shell>,
    /// Shells of the linear read-out.
    pub coupling_shells: Vec<Shell>,
    /// Extents of the lattice for which the network was made.
    pub reference: [usize; 2],
}

impl Architecture {
    /// Number of parameters: blocks, couplings, constant.
    pub fn parameters(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(|b| b.parameters(self.shells.len())).sum();
        blocks + self.coupling_shells.len() + 1
    }

    /// Number of the first parameter of a block.
    pub(super) fn first_parameter(&self, block: usize) -> usize {
        self.blocks[..block].iter().map(|b| b.parameters(self.shells.len())).sum()
    }

    /// `(name, length)` of every group of parameters, in order.
    pub fn layout(&self) -> Vec<(String, usize)> {
        let width = self.shells.len() + 1;
        let mut names = Vec::new();
        for (k, block) in self.blocks.iter().enumerate() {
            let fields: &[&str] = if *block == Block::Local { &["value", "gate"] } else { &["query", "key", "value"] };
            names.extend(fields.iter().map(|f| (format!("block{k}.{f}"), width)));
            if *block == Block::Local {
                names.push((format!("block{k}.threshold"), 2));
            }
        }
        names.push(("couplings".into(), self.coupling_shells.len()));
        names.push(("constant".into(), 1));
        names
    }
}
