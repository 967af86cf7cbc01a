//! Effective models: functions of the spins that stand in for log W, with their gradient.

use super::lattice::{Shell, Shells, Spin, SpinLattice, add_scaled, dot};
use crate::error::{Error, Result};

/// An effective log weight.
pub trait Effective: Sync {
    /// The lattice.
    fn lattice(&self) -> SpinLattice;
    /// `log W_eff(S)`
    fn log_weight(&self, spins: &[Spin]) -> f64;
    /// `log W_eff(S)`, and its derivative with respect to every spin component (not projected to the sphere) in `out`.
    fn gradient(&self, spins: &[Spin], out: &mut [Spin]) -> f64;
}

/// `log W_eff = sum_n couplings[n] sum_{<ij>_n} S_i . S_j + constant`, each pair once.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    shells: Shells,
    /// One coupling a shell: beta J_n.
    pub couplings: Vec<f64>,
    /// log W_eff without couplings.
    pub constant: f64,
}

impl Linear {
    /// A model with zero couplings.
    pub fn new(lattice: SpinLattice, shells: &[Shell]) -> Result<Self> {
        if shells.is_empty() {
            return Err(Error::value("shells is empty: name at least one shell"));
        }
        let shells = Shells::new(lattice, shells)?;
        Ok(Self { couplings: vec![0.0; shells.len()], shells, constant: 0.0 })
    }

    /// The shells.
    pub fn shells(&self) -> &Shells {
        &self.shells
    }

    /// `F_n = sum_{<ij>_n} S_i . S_j`
    pub fn features(&self, spins: &[Spin]) -> Vec<f64> {
        shell_products(&self.shells, spins)
    }

    /// The field at `site`: log W_eff depends on `S_site` through `h . S_site`.
    #[inline(always)]
    pub fn field(&self, spins: &[Spin], site: usize) -> Spin {
        let mut h = [0.0; 4];
        for (n, &coupling) in self.couplings.iter().enumerate() {
            add_scaled(&mut h, coupling, &self.shells.sum(n, spins, site));
        }
        h
    }
}

/// `sum_{<ij>_n} S_i . S_j` for every shell.
pub(super) fn shell_products(shells: &Shells, spins: &[Spin]) -> Vec<f64> {
    let mut products = vec![0.0; shells.len()];
    for (i, spin) in spins.iter().enumerate() {
        for (n, product) in products.iter_mut().enumerate() {
            *product += dot(spin, &shells.sum(n, spins, i));
        }
    }
    products.iter().map(|p| 0.5 * p).collect()
}

impl Effective for Linear {
    fn lattice(&self) -> SpinLattice {
        self.shells.lattice()
    }

    fn log_weight(&self, spins: &[Spin]) -> f64 {
        let terms = self.features(spins).into_iter().zip(&self.couplings);
        terms.fold(self.constant, |sum, (feature, coupling)| sum + coupling * feature)
    }

    fn gradient(&self, spins: &[Spin], out: &mut [Spin]) -> f64 {
        let mut energy = 0.0;
        for i in 0..spins.len() {
            out[i] = self.field(spins, i);
            energy += dot(&spins[i], &out[i]);
        }
        0.5 * energy + self.constant
    }
}
