//! What identifies a network on spins: its blocks, the shells that they sum, the lattice on which they were learned.

use super::lattice::Shell;

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
}
