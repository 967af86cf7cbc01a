//! Forward and reverse pass of networks on spins; formulas in `network.rs`.

use super::architecture::{Architecture, Block};
use super::attention::{AttentionPlanes, SCORE, relu_forward, relu_pullback, softmax_forward, softmax_pullback};
use super::effective::{Effective, shell_products};
use super::lattice::{Spin, add_scaled, dot, each};
use super::network::Network;
use super::planar::padded;
use pulp::{Arch, Simd, WithSimd};

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

impl Workspace {
    /// `width`: most shell sums of a block or of the read-out.
    pub(super) fn new(architecture: &Architecture, sites: usize, width: usize) -> Self {
        let sums = architecture.shells.len() + 1;
        let spins = |n: usize| vec![[0.0; 4]; n];
        let layer = || Saved { sums: spins(sums * sites), fields: spins(3 * sites), lengths: vec![0.0; sites] };
        Self {
            layers: architecture.blocks.iter().map(|_| layer()).collect(),
            spins: (0..=architecture.blocks.len()).map(|_| spins(sites)).collect(),
            sums: spins(width * sites),
            fields: spins(3 * sites),
            added: spins(sites),
            cotangent: spins(sites),
            row: vec![0.0; sites],
            planes: AttentionPlanes::new(padded(sites)),
            gradient: vec![0.0; architecture.parameters()],
        }
    }
}

pub(super) struct Forward<'a> {
    pub network: &'a Network,
    pub spins: &'a [Spin],
    pub work: &'a mut Workspace,
}

impl WithSimd for Forward<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let (network, work) = (self.network, self.work);
        work.spins[0].copy_from_slice(self.spins);
        for block in 0..network.architecture().blocks.len() {
            network.block_forward(simd, block, work);
        }
        let last = &work.spins[network.architecture().blocks.len()];
        network.coupling_shells().sums(last, &mut work.sums);
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
    /// Buffers for evaluations of this network.
    pub fn workspace(&self) -> Workspace {
        let width = (self.shells().len() + 1).max(self.coupling_shells().len());
        Workspace::new(self.architecture(), self.lattice().sites(), width)
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
        shell_products(self.coupling_shells(), &work.spins[self.architecture().blocks.len()])
    }
}

impl Network {
    #[inline(always)]
    fn block_forward<S: Simd>(&self, simd: S, block: usize, work: &mut Workspace) {
        let sites = work.added.len();
        let (before, after) = work.spins.split_at_mut(block + 1);
        let (spins, out) = (&before[block], &mut after[0]);
        let Saved { sums, fields, lengths } = &mut work.layers[block];
        sums[..sites].copy_from_slice(spins);
        self.shells().sums(spins, &mut sums[sites..]);
        let kind = self.architecture().blocks[block];
        let weights = &self.parameters[self.architecture().first_parameter(block)..];
        combine(weights, kind.fields(), self.shells().len() + 1, sums, fields, sites);
        if kind != Block::Local {
            fields[..sites].iter_mut().for_each(|q| *q = each(*q, |x| SCORE * x));
        }
        let (q, rest) = fields.split_at(sites);
        let (k, v) = rest.split_at(sites);
        match kind {
            Block::Relu => relu_forward(simd, &mut work.planes, [q, k, v], self.scale(kind), &mut work.added),
            Block::Softmax => softmax_forward([q, k, v], &mut work.row, &mut work.added),
            Block::Local => {
                let gate = &weights[2 * (self.shells().len() + 1)..];
                for i in 0..sites {
                    let open = sigmoid(gate[0] + gate[1] * dot(&k[i], &k[i]));
                    work.added[i] = each(q[i], |x| open * x);
                }
            }
        }
        for i in 0..sites {
            let mut sum = spins[i];
            for c in 0..sum.len() {
                sum[c] += work.added[i][c];
            }
            lengths[i] = length(&sum);
            out[i] = each(sum, |x| x / lengths[i]);
        }
    }

    /// Turns `work.cotangent` of the spins after `block` into that of the spins before it; adds to `work.gradient`.
    #[inline(always)]
    fn block_pullback<S: Simd>(&self, simd: S, block: usize, work: &mut Workspace) {
        let (sites, width) = (work.added.len(), self.shells().len() + 1);
        let Saved { sums, fields, lengths } = &work.layers[block];
        let out = &work.spins[block + 1];
        let kind = self.architecture().blocks[block];
        let scale = self.scale(kind);
        for i in 0..sites {
            let along = dot(&work.cotangent[i], &out[i]);
            let projected = &mut work.cotangent[i];
            for c in 0..projected.len() {
                projected[c] = (projected[c] - along * out[i][c]) / lengths[i];
            }
            work.added[i] = each(*projected, |x| scale * x);
        }
        let first = self.architecture().first_parameter(block);
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
                    dq[i] = each(work.added[i], |x| open * x);
                    dk[i] = each(k[i], |x| 2.0 * gate[1] * slope * x);
                    work.gradient[first + 2 * width] += slope;
                    work.gradient[first + 2 * width + 1] += slope * square;
                }
            }
        }
        if kind != Block::Local {
            dq.iter_mut().for_each(|q| *q = each(*q, |x| SCORE * x));
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
        self.shells().sums_pullback(&work.sums[sites..], &mut work.cotangent);
    }
}

pub(super) struct Backward<'a> {
    pub network: &'a Network,
    pub spins: &'a [Spin],
    pub work: &'a mut Workspace,
}

impl WithSimd for Backward<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let (network, work) = (self.network, self.work);
        let value = Forward { network, spins: self.spins, work }.with_simd(simd);
        work.gradient.fill(0.0);
        work.cotangent.fill([0.0; 4]);
        let last = network.architecture().blocks.len();
        let (sites, n_parameters) = (work.added.len(), network.parameters.len());
        let first = n_parameters - 1 - network.coupling_shells().len();
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
