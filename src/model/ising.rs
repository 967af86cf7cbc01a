//! The two-dimensional Ising model, S = -beta sum s_x s_y over bonds, by single-spin sweeps (R. J. Glauber, J. Math. Phys. 4, 294)
//! and by Wolff clusters (PRL 62, 361).

use crate::error::{Error, Result};
use crate::interrupt::poll;
use crate::memory::require;
use crate::random::{Purpose, SiteRng, Stream};
use rand::RngExt;
use rand::distr::Bernoulli;

/// How spins are updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// One attempt to flip every spin, in the order of storage, accepted with 1/(1 + exp(beta dE)).
    ///
    /// With min(1, exp(-beta dE)) sweeps of a fixed order are not ergodic: flips with dE <= 0 are then certain.
    Metropolis,
    /// So many Wolff clusters.
    Wolff(usize),
}

/// Spins -1 and +1 on a periodic square lattice.
#[derive(Debug, Clone)]
pub struct Ising {
    rows: usize,
    columns: usize,
    spins: Vec<i8>,
}

/// Observables after every step.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// -sum s_x s_y over bonds, / sites.
    pub energy: Vec<f64>,
    /// sum_x s_x / sites.
    pub magnetization: Vec<f64>,
    /// Sites flipped.
    pub flipped: Vec<f64>,
}

impl Ising {
    /// Spins row by row.
    pub fn new(rows: usize, columns: usize, spins: Vec<i8>) -> Result<Self> {
        if rows < 2 || columns < 2 || spins.len() != rows * columns {
            return Err(Error::value(format!(
                "a lattice {rows} x {columns} with {} spins; both sides must be 2 or more",
                spins.len()
            )));
        }
        match spins.iter().find(|s| s.abs() != 1) {
            Some(s) => Err(Error::value(format!("a spin is {s}; only -1 and +1 are allowed"))),
            None => Ok(Self { rows, columns, spins }),
        }
    }

    /// The spins, row by row.
    pub fn spins(&self) -> &[i8] {
        &self.spins
    }

    fn neighbours(&self, site: usize) -> [usize; 4] {
        let (r, c) = (site / self.columns, site % self.columns);
        let row = |r: usize| r * self.columns + c;
        let column = |c: usize| r * self.columns + c;
        [
            row((r + 1) % self.rows),
            row((r + self.rows - 1) % self.rows),
            column((c + 1) % self.columns),
            column((c + self.columns - 1) % self.columns),
        ]
    }

    /// Energy per site.
    pub fn energy(&self) -> f64 {
        let bond = |x: usize, y: usize| i64::from(self.spins[x] * self.spins[y]);
        let forward = |x: usize| {
            let near = self.neighbours(x);
            bond(x, near[0]) + bond(x, near[2])
        };
        -(0..self.spins.len()).map(forward).sum::<i64>() as f64 / self.spins.len() as f64
    }

    /// Magnetisation per site.
    pub fn magnetization(&self) -> f64 {
        self.spins.iter().map(|s| i64::from(*s)).sum::<i64>() as f64 / self.spins.len() as f64
    }

    /// Runs `steps` steps, numbered from `first` on; every `keep_every`-th configuration is kept.
    pub fn run(
        &mut self,
        update: Update,
        beta: f64,
        steps: usize,
        keep_every: usize,
        seed: u64,
        first: u64,
    ) -> Result<(Trace, Vec<i8>)> {
        if !(beta.is_finite() && beta >= 0.0) {
            return Err(Error::value(format!("beta = {beta} is not allowed; the cluster needs a finite beta >= 0")));
        }
        let records = steps / keep_every;
        let bytes = records as u128 * self.spins.len() as u128 + 24 * steps as u128;
        require(&format!("{steps} updates with {records} records of {} spins", self.spins.len()), bytes)?;
        let (mut trace, mut kept) = (Trace::default(), Vec::new());
        for step in 0..steps {
            let stream = Stream::new(seed, Purpose::Spins, first + step as u64);
            let flipped = match update {
                Update::Metropolis => self.sweep(beta, &mut stream.site(0)),
                Update::Wolff(clusters) => self.clusters(clusters, beta, &stream),
            }?;
            trace.flipped.push(flipped as f64);
            trace.energy.push(self.energy());
            trace.magnetization.push(self.magnetization());
            if (step + 1) % keep_every == 0 {
                kept.extend_from_slice(&self.spins);
            }
        }
        Ok((trace, kept))
    }

    fn sweep(&mut self, beta: f64, rng: &mut SiteRng) -> Result<usize> {
        // By (sum of the neighbours times the spin) / 2 = -2 .. 2, of which the energy changes by 4.
        let accept = [-2.0, -1.0, 0.0, 1.0, 2.0].map(|half| 1.0 / (1.0 + (4.0 * beta * half).exp()));
        let accept = accept.map(coin).into_iter().collect::<Result<Vec<_>>>()?;
        let mut flipped = 0;
        for site in 0..self.spins.len() {
            if site % SITES_BETWEEN_POLLS == 0 {
                poll()?;
            }
            let around: i8 = self.neighbours(site).iter().map(|&y| self.spins[y]).sum();
            if rng.sample(accept[(around * self.spins[site] / 2 + 2) as usize]) {
                self.spins[site] = -self.spins[site];
                flipped += 1;
            }
        }
        Ok(flipped)
    }

    fn clusters(&mut self, count: usize, beta: f64, stream: &Stream) -> Result<usize> {
        let count = u32::try_from(count)
            .map_err(|_| Error::value(format!("clusters = {count}; allowed are at most {} an update", u32::MAX)))?;
        (0..count).try_fold(0, |flipped, number| Ok(flipped + self.cluster(beta, stream.site(number))?))
    }

    fn cluster(&mut self, beta: f64, mut rng: SiteRng) -> Result<usize> {
        let bond = coin(1.0 - (-2.0 * beta).exp())?;
        let root = rng.random_range(0..self.spins.len());
        // Without bonds every cluster is one spin: always flipping it would keep the parity of the number of flips.
        if bond.p() == 0.0 && rng.random() {
            return Ok(0);
        }
        let sign = self.spins[root];
        self.spins[root] = -sign;
        let (mut front, mut size) = (vec![root], 1);
        let mut visits = 0usize;
        while let Some(site) = front.pop() {
            if visits.is_multiple_of(SITES_BETWEEN_POLLS) {
                poll()?;
            }
            visits += 1;
            for y in self.neighbours(site) {
                if self.spins[y] == sign && rng.sample(bond) {
                    self.spins[y] = -sign;
                    front.push(y);
                    size += 1;
                }
            }
        }
        Ok(size)
    }
}

/// A coin with this probability.
fn coin(p: f64) -> Result<Bernoulli> {
    Bernoulli::new(p).map_err(|e| Error::value(format!("a probability of {p}: {e}")))
}

const SITES_BETWEEN_POLLS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    /// <E>, <|m|>, <m^2> of a 4 x 3 lattice by the sum over all 4096 configurations.
    fn enumerate(beta: f64) -> [f64; 3] {
        let (mut z, mut sums) = (0.0, [0.0; 3]);
        for bits in 0..4096u32 {
            let spins = (0..12).map(|x| if bits >> x & 1 == 1 { 1 } else { -1 }).collect();
            let Ok(ising) = Ising::new(4, 3, spins) else { unreachable!("the sizes agree") };
            let (e, m) = (ising.energy(), ising.magnetization());
            let weight = (-beta * e * 12.0).exp();
            z += weight;
            for (sum, value) in sums.iter_mut().zip([e, m.abs(), m * m]) {
                *sum += weight * value;
            }
        }
        sums.map(|s| s / z)
    }

    #[test]
    fn both_updates_sample_the_boltzmann_weight() -> Result<()> {
        let exact = enumerate(0.4);
        for update in [Update::Metropolis, Update::Wolff(2)] {
            let mut ising = Ising::new(4, 3, vec![1; 12])?;
            ising.run(update, 0.4, 500, 1, 3, 0)?;
            let (trace, _) = ising.run(update, 0.4, 200_000, 200_000, 3, 500)?;
            let absolute: Vec<f64> = trace.magnetization.iter().map(|m| m.abs()).collect();
            let square: Vec<f64> = trace.magnetization.iter().map(|m| m * m).collect();
            for (values, expected) in [&trace.energy, &absolute, &square].into_iter().zip(exact) {
                let bins: Vec<f64> = values.chunks(1000).map(|b| b.iter().sum::<f64>() / 1000.0).collect();
                let mean = bins.iter().sum::<f64>() / 200.0;
                let variance = bins.iter().map(|b| (b - mean).powi(2)).sum::<f64>() / (199.0 * 200.0);
                let pull = (mean - expected) / variance.sqrt();
                assert!(pull.abs() < 4.0, "{update:?}: {mean}, exact {expected}, {pull} sigma");
            }
        }
        Ok(())
    }

    #[test]
    fn a_run_can_be_cut() -> Result<()> {
        let mut whole = Ising::new(8, 8, vec![1; 64])?;
        let mut cut = whole.clone();
        whole.run(Update::Wolff(1), 0.44, 40, 1, 9, 0)?;
        cut.run(Update::Wolff(1), 0.44, 15, 1, 9, 0)?;
        cut.run(Update::Wolff(1), 0.44, 25, 1, 9, 15)?;
        assert_eq!(whole.spins(), cut.spins());
        Ok(())
    }

    #[test]
    fn wrong_spins_are_refused() {
        assert!(Ising::new(4, 4, vec![0; 16]).is_err());
        assert!(Ising::new(1, 4, vec![1; 4]).is_err());
        assert!(
            Ising::new(2, 2, vec![1; 4]).is_ok_and(|mut i| i.run(Update::Metropolis, f64::NAN, 1, 1, 0, 0).is_err())
        );
    }
}
