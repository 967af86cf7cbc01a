//! Residual O(3)- and lattice-equivariant networks on spins, read out by a linear model (arXiv 2306.11527, 2310.13222).
//!
//! With shell sums `F_0 = S`, `F_n = sum_{j in shell n} S_j` a block is `S' = N(S + A(S))`, `N` dividing every spin by its length:
//! - attention: `X = sum_n W^X_n F_n` for X = Q, K, V and `A_i = (N_ref/N) sum_j ReLU(Q_i . K_j / sqrt 3) V_j` (or softmax rows);
//!   `N_ref` is the number of sites on which the network was made, so weights keep their meaning on larger lattices;
//! - local: `X = sum_n W^X_n F_n` for X = V, G and `A_i = sigmoid(b + c |G_i|^2) V_i`, the baseline without attention.
//!
//! `log W_eff = sum_n c_n sum_{<ij>_n} S_i . S_j + constant` on the spins after the last block.

use super::attention::{AttentionPlanes, SCORE, relu_forward, relu_pullback, softmax_forward, softmax_pullback};
use super::effective::{Effective, shell_products};
use super::lattice::{Shell, Shells, Spin, SpinLattice, add_scaled, dot};
use super::planar::padded;
use crate::error::{Error, Result};
use crate::rng::{Purpose, Stream};
use pulp::{Arch, Simd, WithSimd};

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
    fn fields(self) -> usize {
        if self == Self::Local { 2 } else { 3 }
    }

    fn parameters(self, shells: usize) -> usize {
        self.fields() * (shells + 1) + if self == Self::Local { 2 } else { 0 }
    }

    /// Position of V among the fields.
    fn value(self) -> usize {
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
    /// Sites of the lattice for which the network was made.
    pub reference_sites: usize,
}

impl Architecture {
    /// Number of parameters: blocks, couplings, constant.
    pub fn parameters(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(|b| b.parameters(self.shells.len())).sum();
        blocks + self.coupling_shells.len() + 1
    }
}

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
        if architecture.reference_sites == 0 {
            return Err(Error::value("reference_sites = 0: give the number of sites of the training lattice"));
        }
        let shells = Shells::new(lattice, &architecture.shells)?;
        let coupling_shells = Shells::new(lattice, &architecture.coupling_shells)?;
        let parameters = vec![0.0; architecture.parameters()];
        let mut network = Self { architecture, shells, coupling_shells, parameters };
        for block in 0..network.architecture.blocks.len() {
            network.initialise(block, seed);
        }
        Ok(network)
    }

    /// The same weights on another lattice.
    pub fn on(&self, lattice: SpinLattice) -> Result<Self> {
        Ok(Self {
            architecture: self.architecture.clone(),
            shells: self.shells.on(lattice)?,
            coupling_shells: self.coupling_shells.on(lattice)?,
            parameters: self.parameters.clone(),
        })
    }

    /// The same network with one more block, the identity at first.
    pub fn with_block(&self, block: Block, seed: u64) -> Result<Self> {
        let mut architecture = self.architecture.clone();
        architecture.blocks.push(block);
        let mut longer = Self::new(self.lattice(), architecture, seed)?;
        let old = self.first_parameter(self.architecture.blocks.len());
        let new = longer.first_parameter(longer.architecture.blocks.len());
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

    fn first_parameter(&self, block: usize) -> usize {
        self.architecture.blocks[..block].iter().map(|b| b.parameters(self.shells.len())).sum()
    }

    fn initialise(&mut self, block: usize, seed: u64) {
        let kind = self.architecture.blocks[block];
        let (first, width) = (self.first_parameter(block), self.shells.len() + 1);
        let mut rng = Stream::new(seed, Purpose::Weights, block as u64).site(0);
        for field in 0..kind.fields() {
            for p in &mut self.parameters[first + field * width..first + (field + 1) * width] {
                *p = if field == kind.value() { 0.0 } else { 0.1 * rng.normal() };
            }
        }
    }

    /// Buffers for evaluations of this network.
    pub fn workspace(&self) -> Workspace {
        let (sites, width) = (self.lattice().sites(), self.shells.len() + 1);
        let spins = |n: usize| vec![[0.0; 4]; n];
        let layer = || Saved { sums: spins(width * sites), fields: spins(3 * sites), lengths: vec![0.0; sites] };
        Workspace {
            layers: self.architecture.blocks.iter().map(|_| layer()).collect(),
            spins: (0..=self.architecture.blocks.len()).map(|_| spins(sites)).collect(),
            sums: spins(width.max(self.coupling_shells.len()) * sites),
            fields: spins(3 * sites),
            added: spins(sites),
            cotangent: spins(sites),
            row: vec![0.0; sites],
            planes: AttentionPlanes::new(padded(sites)),
            gradient: vec![0.0; self.parameters.len()],
        }
    }

    /// log W_eff; the spins after every block stay in `work`.
    pub fn forward(&self, spins: &[Spin], work: &mut Workspace) -> f64 {
        Arch::new().dispatch(Forward { network: self, spins, work })
    }

    /// log W_eff; derivatives with respect to spins and parameters stay in `work`.
    pub fn backward(&self, spins: &[Spin], work: &mut Workspace) -> f64 {
        Arch::new().dispatch(Backward { network: self, spins, work })
    }

    /// `sum_{<ij>_n} S_i . S_j` of the spins after the last block.
    pub fn features(&self, spins: &[Spin], work: &mut Workspace) -> Vec<f64> {
        self.forward(spins, work);
        shell_products(&self.coupling_shells, &work.spins[self.architecture.blocks.len()])
    }

    fn scale(&self) -> f64 {
        self.architecture.reference_sites as f64 / self.lattice().sites() as f64
    }

    fn couplings(&self) -> &[f64] {
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

/// What the reverse pass needs of one block.
#[derive(Debug, Clone)]
struct Saved {
    /// `[n][site]`, F_0 first.
    sums: Vec<Spin>,
    /// `[field][site]`
    fields: Vec<Spin>,
    /// |S + A|
    lengths: Vec<f64>,
}

/// Buffers of one evaluation: O(N) numbers a block.
#[derive(Debug, Clone)]
pub struct Workspace {
    layers: Vec<Saved>,
    /// Spins before the first block and after every block.
    pub spins: Vec<Vec<Spin>>,
    sums: Vec<Spin>,
    fields: Vec<Spin>,
    added: Vec<Spin>,
    /// Derivative of log W_eff with respect to the spins.
    pub cotangent: Vec<Spin>,
    row: Vec<f64>,
    planes: AttentionPlanes,
    /// Derivative of log W_eff with respect to the parameters.
    pub gradient: Vec<f64>,
}

struct Forward<'a> {
    network: &'a Network,
    spins: &'a [Spin],
    work: &'a mut Workspace,
}

impl WithSimd for Forward<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let (network, work) = (self.network, self.work);
        work.spins[0].copy_from_slice(self.spins);
        for block in 0..network.architecture.blocks.len() {
            network.block_forward(simd, block, work);
        }
        let last = &work.spins[network.architecture.blocks.len()];
        network.coupling_shells.sums(last, &mut work.sums);
        let sites = last.len();
        let mut value = network.parameters[network.parameters.len() - 1];
        for (n, c) in network.couplings().iter().enumerate() {
            let sums = &work.sums[n * sites..(n + 1) * sites];
            let product = last.iter().zip(sums).fold(0.0, |sum, (s, f)| sum + dot(s, f));
            value += c * (0.5 * product);
        }
        value
    }
}

impl Network {
    #[inline(always)]
    fn block_forward<S: Simd>(&self, simd: S, block: usize, work: &mut Workspace) {
        let sites = self.lattice().sites();
        let (before, after) = work.spins.split_at_mut(block + 1);
        let (spins, out) = (&before[block], &mut after[0]);
        let Saved { sums, fields, lengths } = &mut work.layers[block];
        sums[..sites].copy_from_slice(spins);
        self.shells.sums(spins, &mut sums[sites..]);
        let kind = self.architecture.blocks[block];
        let weights = &self.parameters[self.first_parameter(block)..];
        combine(weights, kind.fields(), self.shells.len() + 1, sums, fields, sites);
        if kind != Block::Local {
            fields[..sites].iter_mut().for_each(|q| *q = q.map(|x| SCORE * x));
        }
        let (q, rest) = fields.split_at(sites);
        let (k, v) = rest.split_at(sites);
        match kind {
            Block::Relu => relu_forward(simd, &mut work.planes, [q, k, v], self.scale(), &mut work.added),
            Block::Softmax => softmax_forward([q, k, v], self.scale(), &mut work.row, &mut work.added),
            Block::Local => {
                let gate = &weights[2 * (self.shells.len() + 1)..];
                for i in 0..sites {
                    let open = sigmoid(gate[0] + gate[1] * dot(&k[i], &k[i]));
                    work.added[i] = q[i].map(|x| open * x);
                }
            }
        }
        for i in 0..sites {
            let sum = [0, 1, 2, 3].map(|c| spins[i][c] + work.added[i][c]);
            lengths[i] = length(&sum);
            out[i] = sum.map(|x| x / lengths[i]);
        }
    }

    /// Turns `work.cotangent` of the spins after `block` into that of the spins before it; adds to `work.gradient`.
    #[inline(always)]
    fn block_pullback<S: Simd>(&self, simd: S, block: usize, work: &mut Workspace) {
        let (sites, width) = (self.lattice().sites(), self.shells.len() + 1);
        let Saved { sums, fields, lengths } = &work.layers[block];
        let out = &work.spins[block + 1];
        let kind = self.architecture.blocks[block];
        let scale = if kind == Block::Local { 1.0 } else { self.scale() };
        for i in 0..sites {
            let along = dot(&work.cotangent[i], &out[i]);
            let projected = [0, 1, 2, 3].map(|c| (work.cotangent[i][c] - along * out[i][c]) / lengths[i]);
            work.cotangent[i] = projected;
            work.added[i] = projected.map(|x| scale * x);
        }
        let first = self.first_parameter(block);
        let (q, rest) = fields.split_at(sites);
        let (k, v) = rest.split_at(sites);
        let (dq, rest) = work.fields.split_at_mut(sites);
        let (dk, dv) = rest.split_at_mut(sites);
        match kind {
            Block::Relu => relu_pullback(simd, &mut work.planes, [q, k, v], &work.added, [&mut *dq, dk, dv]),
            Block::Softmax => softmax_pullback([q, k, v], &work.added, &mut work.row, [&mut *dq, dk, dv]),
            Block::Local => {
                let gate = [self.parameters[first + 2 * width], self.parameters[first + 2 * width + 1]];
                for i in 0..sites {
                    let square = dot(&k[i], &k[i]);
                    let open = sigmoid(gate[0] + gate[1] * square);
                    let slope = open * (1.0 - open) * dot(&work.added[i], &q[i]);
                    dq[i] = work.added[i].map(|x| open * x);
                    dk[i] = k[i].map(|x| 2.0 * gate[1] * slope * x);
                    work.gradient[first + 2 * width] += slope;
                    work.gradient[first + 2 * width + 1] += slope * square;
                }
            }
        }
        if kind != Block::Local {
            dq.iter_mut().for_each(|q| *q = q.map(|x| SCORE * x));
        }
        let weights = &self.parameters[first..];
        combine_pullback(
            weights,
            &mut work.gradient[first..],
            kind.fields(),
            width,
            sums,
            &work.fields,
            &mut work.sums,
        );
        for i in 0..sites {
            add_scaled(&mut work.cotangent[i], 1.0, &work.sums[i]);
        }
        self.shells.sums_pullback(&work.sums[sites..], &mut work.cotangent);
    }
}

struct Backward<'a> {
    network: &'a Network,
    spins: &'a [Spin],
    work: &'a mut Workspace,
}

impl WithSimd for Backward<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let (network, work) = (self.network, self.work);
        let value = Forward { network, spins: self.spins, work }.with_simd(simd);
        work.gradient.fill(0.0);
        work.cotangent.fill([0.0; 4]);
        let last = network.architecture.blocks.len();
        let (sites, n_parameters) = (network.lattice().sites(), network.parameters.len());
        let first = n_parameters - 1 - network.coupling_shells.len();
        for (n, &c) in network.couplings().iter().enumerate() {
            let mut product = 0.0;
            for i in 0..sites {
                let sum = &work.sums[n * sites + i];
                product += dot(&work.spins[last][i], sum);
                add_scaled(&mut work.cotangent[i], c, sum);
            }
            work.gradient[first + n] = 0.5 * product;
        }
        work.gradient[n_parameters - 1] = 1.0;
        for block in (0..last).rev() {
            network.block_pullback(simd, block, work);
        }
        value
    }
}

/// `fields[f][i] = sum_n weights[f][n] sums[n][i]`
#[inline(always)]
fn combine(weights: &[f64], fields: usize, width: usize, sums: &[Spin], out: &mut [Spin], sites: usize) {
    for f in 0..fields {
        let out = &mut out[f * sites..(f + 1) * sites];
        out.fill([0.0; 4]);
        for n in 0..width {
            let weight = weights[f * width + n];
            for (out, sum) in out.iter_mut().zip(&sums[n * sites..(n + 1) * sites]) {
                add_scaled(out, weight, sum);
            }
        }
    }
}

/// Reverse pass of [`combine`]: adds to the gradient of the weights, overwrites the cotangents of the sums.
#[inline(always)]
fn combine_pullback(
    weights: &[f64],
    gradient: &mut [f64],
    fields: usize,
    width: usize,
    sums: &[Spin],
    cotangents: &[Spin],
    out: &mut [Spin],
) {
    let sites = sums.len() / width;
    for n in 0..width {
        let sums = &sums[n * sites..(n + 1) * sites];
        let out = &mut out[n * sites..(n + 1) * sites];
        out.fill([0.0; 4]);
        for f in 0..fields {
            let weight = weights[f * width + n];
            let mut total = [0.0; 4];
            for ((out, sum), cotangent) in out.iter_mut().zip(sums).zip(&cotangents[f * sites..(f + 1) * sites]) {
                add_scaled(out, weight, cotangent);
                for c in 0..4 {
                    total[c] += sum[c] * cotangent[c];
                }
            }
            gradient[f * width + n] += total[0] + total[1] + total[2];
        }
    }
}

/// Length of a spin; 1 when it is 1 to rounding, so that a block with V = 0 changes no bit.
#[inline(always)]
fn length(s: &Spin) -> f64 {
    let square = dot(s, s);
    if (square - 1.0).abs() < 16.0 * f64::EPSILON { 1.0 } else { square.sqrt().max(f64::MIN_POSITIVE) }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spin_fermion::random_spins;

    fn network(blocks: &[Block]) -> (Network, Vec<Spin>) {
        let lattice = SpinLattice::new([4, 5]).unwrap();
        let architecture = Architecture {
            blocks: blocks.to_vec(),
            shells: vec![(1, 0), (1, 1), (2, 1)],
            coupling_shells: vec![(1, 0), (2, 0)],
            reference_sites: 16,
        };
        let mut network = Network::new(lattice, architecture, 1).unwrap();
        let mut rng = Stream::new(3, Purpose::Noise, 0).site(0);
        network.parameters.iter_mut().for_each(|p| *p = 0.3 * rng.normal());
        (network, random_spins(lattice, 2, 0))
    }

    fn slope(f: impl Fn(f64) -> f64) -> f64 {
        let h = 1e-3;
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
                let agrees = (found - slope(f)).abs() < 1e-8 * (1.0 + found.abs());
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
            assert!(kinks * 20 <= checked, "{blocks:?}: {kinks} of {checked} derivatives are wrong");
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
