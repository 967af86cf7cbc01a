//! Residual O(3)- and lattice-equivariant networks on spins, read out by a linear model (arXiv 2306.11527, 2310.13222).
//!
//! With shell sums `F_0 = S`, `F_n = f_n sum_{j in shell n} S_j` a block is `S' = N(S + A(S))`, `N` dividing every spin by its length:
//! - attention: `X = sum_n W^X_n F_n` for X = Q, K, V and `A_i = (N_ref/N) sum_j ReLU(Q_i . K_j / sqrt 3) V_j`, or
//!   `A_i = sum_j softmax_j(Q_i . K_j / sqrt 3) V_j`;
//! - local: `X = sum_n W^X_n F_n` for X = V, G and `A_i = sigmoid(b + c |G_i|^2) V_i`, the baseline without attention.
//!
//! `log W_eff = sum_n c_n f_n sum_{<ij>_n} S_i . S_j + constant` on the spins after the last block. On the reference lattice, for
//! which the network was made, N_ref/N and the f_n are 1; elsewhere f_n is the ratio of the numbers of sites in shell n. So the
//! same parameters are the same function of the neighbourhood of a site: periodic copies of a configuration keep its values
//! (softmax weights sum to 1 on every lattice and need no factor).

use super::architecture::{Architecture, Block};
use super::effective::Effective;
use super::lattice::{Shells, Spin, SpinLattice};
use crate::error::{Error, Result};
use crate::random::{Purpose, Stream};
use rand::RngExt;
use rand_distr::StandardNormal;

const MOST_BLOCKS: usize = 1024;

/// A network on one lattice. Parameters: blocks in order (fields in order, weights by shell, the site first), couplings, constant.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    architecture: Architecture,
    shells: Shells,
    coupling_shells: Shells,
    /// The parameters.
    pub parameters: Vec<f64>,
}

impl Network {
    /// A network whose blocks are the identity: V = 0, the other fields N(0, 0.1^2), couplings 0.
    pub fn new(lattice: SpinLattice, architecture: Architecture, seed: u64) -> Result<Self> {
        if architecture.coupling_shells.is_empty() {
            return Err(Error::value("coupling_shells is empty: name at least one shell"));
        }
        let layers = architecture.blocks.len();
        if layers > MOST_BLOCKS {
            return Err(Error::value(format!("{layers} layers; allowed are at most {MOST_BLOCKS}")));
        }
        let reference = SpinLattice::new(architecture.reference)?;
        let shells = Shells::learned_on(reference, lattice, &architecture.shells)?;
        let coupling_shells = Shells::learned_on(reference, lattice, &architecture.coupling_shells)?;
        let parameters = vec![0.0; architecture.parameters()];
        let mut network = Self { architecture, shells, coupling_shells, parameters };
        for block in 0..network.architecture.blocks.len() {
            network.initialise(block, seed);
        }
        Ok(network)
    }

    /// The same weights on another lattice.
    pub fn on(&self, lattice: SpinLattice) -> Result<Self> {
        let mut other = Self::new(lattice, self.architecture.clone(), 0)?;
        other.parameters.copy_from_slice(&self.parameters);
        Ok(other)
    }

    /// The same network with one more block, the identity at first.
    pub fn with_block(&self, block: Block, seed: u64) -> Result<Self> {
        let mut architecture = self.architecture.clone();
        architecture.blocks.push(block);
        let mut longer = Self::new(self.lattice(), architecture, seed)?;
        let old = self.architecture.first_parameter(self.architecture.blocks.len());
        let new = longer.architecture.first_parameter(longer.architecture.blocks.len());
        longer.parameters[..old].copy_from_slice(&self.parameters[..old]);
        longer.parameters[new..].copy_from_slice(&self.parameters[old..]);
        Ok(longer)
    }

    /// The architecture.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Extents of the lattice.
    pub fn lattice_extents(&self) -> [usize; 2] {
        self.shells.lattice().extents
    }

    /// Replaces the parameters; the number must fit and all must be finite.
    pub fn set_parameters(&mut self, parameters: Vec<f64>) -> Result<()> {
        if parameters.len() != self.parameters.len() {
            let (got, want) = (parameters.len(), self.parameters.len());
            return Err(Error::value(format!("{got} parameters; this network has {want}")));
        }
        if let Some(bad) = parameters.iter().position(|p| !p.is_finite()) {
            return Err(Error::value(format!("parameters[{bad}] = {}: parameters must be finite", parameters[bad])));
        }
        self.parameters = parameters;
        Ok(())
    }

    fn initialise(&mut self, block: usize, seed: u64) {
        let kind = self.architecture.blocks[block];
        let (first, width) = (self.architecture.first_parameter(block), self.shells.len() + 1);
        let mut rng = Stream::new(seed, Purpose::Weights, block as u64).site(0);
        for field in 0..kind.fields() {
            for p in &mut self.parameters[first + field * width..first + (field + 1) * width] {
                *p = if field == kind.value() { 0.0 } else { 0.1 * rng.sample::<f64, _>(StandardNormal) };
            }
        }
    }

    /// Shells of the blocks.
    pub(super) fn shells(&self) -> &Shells {
        &self.shells
    }

    /// Shells of the read-out, with the factors of this lattice.
    pub fn coupling_shells(&self) -> &Shells {
        &self.coupling_shells
    }

    /// Factor of the sum over all sites in a block.
    pub(super) fn scale(&self, block: Block) -> f64 {
        let [x, y] = self.architecture.reference;
        if block == Block::Relu { (x * y) as f64 / self.lattice().sites() as f64 } else { 1.0 }
    }

    /// Couplings of the read-out.
    pub fn couplings(&self) -> &[f64] {
        let first = self.parameters.len() - 1 - self.coupling_shells.len();
        &self.parameters[first..self.parameters.len() - 1]
    }
}

impl Effective for Network {
    fn lattice(&self) -> SpinLattice {
        self.shells.lattice()
    }

    fn log_weight(&self, spins: &[Spin]) -> f64 {
        self.forward(spins, &mut self.workspace())
    }

    fn gradient(&self, spins: &[Spin], out: &mut [Spin]) -> f64 {
        let mut work = self.workspace();
        let value = self.backward(spins, &mut work);
        out.copy_from_slice(&work.cotangent);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::spin_fermion::{dot, random_spins};

    fn network(blocks: &[Block]) -> (Network, Vec<Spin>) {
        let lattice = SpinLattice::new([4, 5]).unwrap();
        let architecture = Architecture {
            blocks: blocks.to_vec(),
            shells: vec![(1, 0), (1, 1), (2, 1)],
            coupling_shells: vec![(1, 0), (2, 0)],
            reference: [4, 5],
        };
        let mut network = Network::new(lattice, architecture, 1).unwrap();
        let mut rng = Stream::new(3, Purpose::Noise, 0).site(0);
        network.parameters.iter_mut().for_each(|p| *p = 0.3 * rng.sample::<f64, _>(StandardNormal));
        (network, random_spins(lattice, 2, 0))
    }

    fn slope(f: impl Fn(f64) -> f64, h: f64) -> f64 {
        (8.0 * (f(h) - f(-h)) - (f(2.0 * h) - f(-2.0 * h))) / (12.0 * h)
    }

    #[test]
    fn gradients_equal_differences() {
        use Block::{Local, Relu, Softmax};
        for blocks in [&[][..], &[Relu], &[Softmax], &[Local], &[Relu, Local, Softmax, Relu]] {
            let (network, spins) = network(blocks);
            let mut work = network.workspace();
            assert_eq!(network.backward(&spins, &mut work), network.log_weight(&spins));
            let (mut checked, mut kinks) = (0, 0);
            let mut check = |found: f64, f: &dyn Fn(f64) -> f64| {
                // a kink of a relu between the points is passed by smaller steps, where rounding allows fewer digits
                let within = |h: f64, tolerance: f64| (found - slope(f, h)).abs() < tolerance * (1.0 + found.abs());
                let agrees = within(1e-3, 1e-8) || blocks.contains(&Relu) && (within(1e-4, 1e-7) || within(1e-5, 1e-6));
                checked += 1;
                kinks += usize::from(!agrees);
            };
            for k in 0..network.parameters.len() {
                check(work.gradient[k], &|h| {
                    let mut moved = network.clone();
                    moved.parameters[k] += 1e-2 * h;
                    100.0 * moved.log_weight(&spins)
                });
            }
            for site in 0..spins.len() {
                for c in 0..3 {
                    check(work.cotangent[site][c], &|h| {
                        let mut moved = spins.clone();
                        moved[site][c] += 1e-2 * h;
                        100.0 * network.log_weight(&moved)
                    });
                }
            }
            assert!(kinks == 0 && checked > 60, "{blocks:?}: {kinks} of {checked} derivatives are wrong");
        }
    }

    /// A configuration and its 2x2 copies: the same spins come out at every copy of a site.
    #[test]
    fn weights_are_the_same_function_on_larger_lattices() {
        for kind in [Block::Relu, Block::Softmax, Block::Local] {
            let (small, large) = (SpinLattice::new([6, 6]).unwrap(), SpinLattice::new([12, 12]).unwrap());
            let all = small.all_shells();
            let architecture = Architecture {
                blocks: vec![kind; 2],
                shells: all.clone(),
                coupling_shells: all,
                reference: small.extents,
            };
            let mut network = Network::new(small, architecture, 1).unwrap();
            let mut rng = Stream::new(4, Purpose::Noise, 0).site(0);
            network.parameters.iter_mut().for_each(|p| *p = 0.2 * rng.sample::<f64, _>(StandardNormal));
            let spins = random_spins(small, 2, 0);
            let site = |x: usize, y: usize| x % 6 * 6 + y % 6;
            let copies: Vec<Spin> = (0..144).map(|i| spins[site(i / 12, i % 12)]).collect();
            let larger = network.on(large).unwrap();
            let (mut here, mut there) = (network.workspace(), larger.workspace());
            let constant = network.parameters[network.parameters.len() - 1];
            let (one, four) = (network.forward(&spins, &mut here), larger.forward(&copies, &mut there));
            assert!((4.0 * (one - constant) - (four - constant)).abs() < 1e-11, "{kind:?}: {one} {four}");
            for i in 0..144 {
                let (a, b) = (&here.spins[2][site(i / 12, i % 12)], &there.spins[2][i]);
                assert!((dot(a, b) - 1.0).abs() < 1e-13 && (0..3).all(|c| (a[c] - b[c]).abs() < 1e-12));
            }
            assert!((dot(&here.spins[2][7], &spins[7]) - 1.0).abs() > 1e-3);
        }
    }

    #[test]
    fn new_blocks_are_the_identity() {
        for kind in [Block::Relu, Block::Softmax, Block::Local] {
            let (short, spins) = network(&[Block::Relu]);
            let long = short.with_block(kind, 9).unwrap();
            assert_eq!(short.log_weight(&spins), long.log_weight(&spins));
            assert_eq!(long.parameters.len(), long.architecture().parameters());
        }
    }
}
