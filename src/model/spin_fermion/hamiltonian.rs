//! The O(3) spin-fermion (Kondo lattice) model of arXiv 2306.11527: electrons on a square lattice coupled to classical spins.
//!
//! `H = -t sum_{a, x, mu} (c+_a(x) c_a(x + mu) + h.c.) + (J/2) sum_x S(x) . sigma(x)`: every bond x -> x + mu is counted once
//! for every x, so extent 2 has hopping -2t and extent 1 an on-site -2t. Integrating out the electrons leaves
//! `log W(S) = sum_n log(1 + exp(-(E_n - mu)/T))`.

use super::eigen::hermitian_eigenvalues;
use super::lattice::{Spin, SpinLattice};
use super::planar::Planar;
use crate::error::{Error, Result};
use num_complex::Complex64;

/// The model at fixed couplings and temperature.
#[derive(Debug, Clone, PartialEq)]
pub struct SpinFermion {
    /// The lattice.
    pub lattice: SpinLattice,
    /// Hopping t.
    pub hopping: f64,
    /// Coupling J of electrons and spins.
    pub coupling: f64,
    /// Chemical potential mu.
    pub mu: f64,
    /// Temperature T > 0.
    pub temperature: f64,
}

impl SpinFermion {
    /// A model; couplings must be finite and the temperature positive.
    pub fn new(lattice: SpinLattice, hopping: f64, coupling: f64, mu: f64, temperature: f64) -> Result<Self> {
        for (name, value) in [("t", hopping), ("J", coupling), ("mu", mu)] {
            if !value.is_finite() {
                return Err(Error::value(format!("{name} = {value}: give a finite number")));
            }
        }
        if !(temperature > 0.0 && temperature.is_finite()) {
            return Err(Error::value(format!("T = {temperature}: the temperature must be positive and finite")));
        }
        if lattice.sites() > 4096 {
            return Err(Error::value(format!("{} sites: dense diagonalisation is limited to 4096", lattice.sites())));
        }
        Ok(Self { lattice, hopping, coupling, mu, temperature })
    }

    /// Bound on |E|: `4 |t| + |J| / 2`.
    pub fn bandwidth(&self) -> f64 {
        4.0 * self.hopping.abs() + 0.5 * self.coupling.abs()
    }

    /// `(J/2) s . sigma` as `[00, 01, 10, 11]`.
    #[inline(always)]
    pub(super) fn exchange(&self, s: &Spin) -> [Complex64; 4] {
        let h = 0.5 * self.coupling;
        let off = Complex64::new(h * s[0], -h * s[1]);
        [Complex64::new(h * s[2], 0.0), off, off.conj(), Complex64::new(-h * s[2], 0.0)]
    }

    fn planar(&self, spins: &[Spin]) -> Planar {
        let [lx, ly] = self.lattice.extents;
        let mut h = Planar::zeros(2 * lx * ly, 2 * lx * ly);
        let mut hop = |a: usize, b: usize| {
            for s in 0..2 {
                h.re[(2 * a + s) * h.stride + 2 * b + s] -= self.hopping;
                h.re[(2 * b + s) * h.stride + 2 * a + s] -= self.hopping;
            }
        };
        for x in 0..lx {
            for y in 0..ly {
                hop(x * ly + y, (x + 1) % lx * ly + y);
                hop(x * ly + y, x * ly + (y + 1) % ly);
            }
        }
        for (i, spin) in spins.iter().enumerate() {
            for (k, value) in self.exchange(spin).into_iter().enumerate() {
                let (a, b) = (2 * i + k / 2, 2 * i + k % 2);
                h.set(a, b, h.get(a, b) + value);
            }
        }
        h
    }

    /// The 2N x 2N Hermitian matrix, row by row; row `2 site + spin`.
    pub fn matrix(&self, spins: &[Spin]) -> Vec<Complex64> {
        let h = self.planar(spins);
        (0..h.rows).flat_map(|i| (0..h.rows).map(move |j| (i, j))).map(|(i, j)| h.get(i, j)).collect()
    }

    /// The 2N eigenvalues, ascending.
    pub fn energies(&self, spins: &[Spin]) -> Result<Vec<f64>> {
        hermitian_eigenvalues(&mut self.planar(spins))
    }

    /// `log W(S)`
    pub fn log_weight(&self, spins: &[Spin]) -> Result<f64> {
        let energies = self.energies(spins)?;
        Ok(energies.iter().map(|e| log_one_plus_exp(-(e - self.mu) / self.temperature)).sum())
    }
}

/// `log(1 + exp(x))` without overflow.
fn log_one_plus_exp(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}
