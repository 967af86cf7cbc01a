//! Resolvents of the electrons at the poles of the weight, under changes of one spin (Sherman, Morrison, Woodbury).
//!
//! With `z_k = mu + i T y_k` and `G_k = (z_k - H)^{-1}`, a change `A = (J/2) (S' - S) . sigma` at one site gives
//! `log W(S')/W(S) = sum_k w_k log |det(1 - A G_k(site, site))|^2` with 2x2 determinants, up to the error of the pole sum
//! (constants and tr H^2 do not change), and `G_k' = G_k + G_k A (1 - G_k A)^{-1} G_k` in O(N^2).

use super::hamiltonian::SpinFermion;
use super::lattice::Spin;
use super::planar::{Planar, Row, add_outer, add_two};
use super::poles::pole_sum;
use crate::error::{Error, Result};
use crate::interrupt::poll;
use num_complex::Complex64;
use pulp::{Arch, Simd, WithSimd};
use std::f64::consts::PI;

type Block = [Complex64; 4];

/// The resolvents without spins and the pole sum: computed once for a model.
#[derive(Debug, Clone)]
pub(super) struct FreeResolvents {
    layout: Layout,
    poles: Vec<Planar>,
    weights: Vec<f64>,
    /// Largest error of one eigenvalue's term in log W.
    pub error: f64,
}

impl FreeResolvents {
    /// Sums over plane waves, for the pole sum with this tolerance.
    pub fn new(model: &SpinFermion, tolerance: f64) -> Result<Self> {
        let range = (model.bandwidth() + model.mu.abs()) / model.temperature;
        if range > 1e5 {
            let text = format!("(bandwidth + |mu|) / T = {range:.3e} is above 1e5");
            return Err(Error::value(format!("{text}: the exact local updates need a higher temperature")));
        }
        let sum = pole_sum(range, tolerance)?;
        let layout = Layout::new(model);
        let at = |y: &f64| free_resolvent(model, &layout, Complex64::new(model.mu, model.temperature * y));
        let poles = sum.frequencies.iter().map(at).collect::<Result<_>>()?;
        Ok(Self { poles, layout, weights: sum.weights, error: sum.error })
    }

    /// Number of poles.
    pub fn len(&self) -> usize {
        self.weights.len()
    }
}

fn free_resolvent(model: &SpinFermion, layout: &Layout, z: Complex64) -> Result<Planar> {
    let [lx, ly] = model.lattice.extents;
    let wave = |k: usize, r: usize, l: usize| (2.0 * PI * ((k * r) % l) as f64 / l as f64).cos();
    let energy = |k: usize, q: usize| -2.0 * model.hopping * (wave(k, 1, lx) + wave(q, 1, ly));
    let mut by_displacement = vec![Complex64::ZERO; lx * ly];
    for k in 0..lx {
        for q in 0..ly {
            poll()?;
            let g = (z - energy(k, q)).inv() / (lx * ly) as f64;
            for dx in 0..lx {
                for dy in 0..ly {
                    by_displacement[dx * ly + dy] += g * wave(k, dx, lx) * wave(q, dy, ly);
                }
            }
        }
    }
    let mut matrix = Planar::zeros(layout.rows(), 2 * layout.sites);
    for row in 0..layout.rows() {
        poll()?;
        let (a, s) = (row % layout.sites, row / layout.sites);
        for b in 0..lx * ly {
            let (dx, dy) = ((a / ly + lx - b / ly) % lx, (a % ly + ly - b % ly) % ly);
            matrix.set(row, layout.index(b, s), by_displacement[dx * ly + dy]);
        }
    }
    Ok(matrix)
}

/// Order of rows and columns: all sites with spin up, then all with spin down.
///
/// At mu = 0 on lattices with even extents the antiunitary `Theta = (-1)^{x+y} sigma_y K` has `Theta H Theta^{-1} = -H`, hence
/// `Theta G Theta^{-1} = -G` at imaginary z: the rows with spin down follow from those with spin up and are not stored.
#[derive(Debug, Clone)]
struct Layout {
    sites: usize,
    /// `(-1)^{x+y}`, if half of the rows are enough.
    signs: Option<Vec<f64>>,
}

impl Layout {
    fn new(model: &SpinFermion) -> Self {
        let [lx, ly] = model.lattice.extents;
        let halved = model.mu == 0.0 && lx % 2 == 0 && ly % 2 == 0;
        let sign = |site: usize| if (site / ly + site % ly).is_multiple_of(2) { 1.0 } else { -1.0 };
        Self { sites: lx * ly, signs: halved.then(|| (0..lx * ly).map(sign).collect()) }
    }

    fn rows(&self) -> usize {
        if self.signs.is_some() { self.sites } else { 2 * self.sites }
    }

    #[inline(always)]
    fn index(&self, site: usize, spin: usize) -> usize {
        spin * self.sites + site
    }

    /// Rows of `site` with spin up and spin down.
    #[inline(always)]
    fn copy_rows(&self, g: &Planar, site: usize, up: &mut Row, down: &mut Row) {
        g.copy_row(site, up);
        let Some(signs) = &self.signs else {
            return g.copy_row(self.index(site, 1), down);
        };
        let n = self.sites;
        for (j, sign) in signs.iter().map(|s| s * signs[site]).enumerate() {
            (down.re[j], down.im[j]) = (sign * up.re[n + j], -sign * up.im[n + j]);
            (down.re[n + j], down.im[n + j]) = (-sign * up.re[j], sign * up.im[j]);
        }
    }

    /// The 2x2 block of a site.
    #[inline(always)]
    fn block(&self, g: &Planar, site: usize) -> Block {
        let [up, down] = [0, 1].map(|spin| self.index(site, spin));
        let [a, b] = [up, down].map(|column| g.get(site, column));
        match self.signs {
            Some(_) => [a, b, b.conj(), -a.conj()],
            None => [a, b, g.get(down, up), g.get(down, down)],
        }
    }
}

/// The resolvents for the current spins.
#[derive(Debug)]
pub(super) struct Resolvents<'a> {
    model: &'a SpinFermion,
    layout: &'a Layout,
    weights: &'a [f64],
    poles: Vec<Planar>,
    rows: [Row; 4],
}

impl<'a> Resolvents<'a> {
    /// Starts from the free resolvents and puts the spins in one after another.
    pub fn new(model: &'a SpinFermion, free: &'a FreeResolvents, spins: &[Spin]) -> Result<Self> {
        let rows = [(); 4].map(|()| Row::zeros(2 * model.lattice.sites()));
        let mut all = Self { model, layout: &free.layout, weights: &free.weights, poles: free.poles.clone(), rows };
        for (site, spin) in spins.iter().enumerate() {
            poll()?;
            all.change(site, spin);
        }
        Ok(all)
    }

    /// How log W depends on the spin at `site`.
    pub fn local(&self, site: usize) -> LocalWeight {
        let half = Complex64::new(0.5, 0.0);
        let part = |(g, w): (&Planar, &f64)| {
            let [a, b, c, d] = self.layout.block(g, site);
            let h = 0.5 * self.model.coupling;
            let vector = [half * (b + c), half * Complex64::I * (b - c), half * (a - d)];
            LocalPole { linear: vector.map(|v| -2.0 * h * v), quadratic: -h * h * (a * d - b * c), weight: *w }
        };
        LocalWeight { poles: self.poles.iter().zip(self.weights).map(part).collect() }
    }

    /// Adds `step` to the spin at `site`.
    pub fn change(&mut self, site: usize, step: &Spin) {
        let a = self.model.exchange(step);
        Arch::new().dispatch(Change { resolvents: self, site, a });
    }
}

fn product(a: &Block, b: &Block) -> Block {
    [a[0] * b[0] + a[1] * b[2], a[0] * b[1] + a[1] * b[3], a[2] * b[0] + a[3] * b[2], a[2] * b[1] + a[3] * b[3]]
}

/// `A (1 - G A)^{-1}`
fn dressed(a: &Block, g: &Block) -> Block {
    let ga = product(g, a);
    let m = [Complex64::ONE - ga[0], -ga[1], -ga[2], Complex64::ONE - ga[3]];
    let inverse_determinant = (m[0] * m[3] - m[1] * m[2]).inv();
    product(a, &[m[3], -m[1], -m[2], m[0]].map(|x| x * inverse_determinant))
}

struct Change<'r, 'a> {
    resolvents: &'r mut Resolvents<'a>,
    site: usize,
    a: Block,
}

impl WithSimd for Change<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let [first, second, x, y] = &mut self.resolvents.rows;
        let layout = self.resolvents.layout;
        let [p, q] = [0, 1].map(|spin| layout.index(self.site, spin));
        for g in &mut self.resolvents.poles {
            let t = dressed(&self.a, &layout.block(g, self.site));
            layout.copy_rows(g, self.site, first, second);
            x.clear_from(0);
            y.clear_from(0);
            add_two(simd, (&mut x.re, &mut x.im), t[0], first, t[1], second);
            add_two(simd, (&mut y.re, &mut y.im), t[2], first, t[3], second);
            add_outer(simd, g, p, x, q, y);
        }
    }
}

/// `det(1 - A G) = 1 + linear . dS + quadratic dS . dS` at one pole.
#[derive(Debug, Clone)]
struct LocalPole {
    linear: [Complex64; 3],
    quadratic: Complex64,
    weight: f64,
}

/// `log W(S + dS) - log W(S)` as a function of the change dS of one spin.
#[derive(Debug, Clone)]
pub(super) struct LocalWeight {
    poles: Vec<LocalPole>,
}

impl LocalWeight {
    /// The change of log W.
    #[inline(always)]
    pub fn change(&self, d: &Spin) -> f64 {
        let square = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
        let term = |p: &LocalPole| {
            let linear = p.linear[0] * d[0] + p.linear[1] * d[1] + p.linear[2] * d[2];
            p.weight * (1.0 + linear + p.quadratic * square).norm_sqr().ln()
        };
        self.poles.iter().map(term).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::spin_fermion::{SpinLattice, random_spins};
    use crate::random::{Purpose, Stream};
    use rand::RngExt;

    #[test]
    fn local_changes_equal_rediagonalisation() {
        for (extents, mu, temperature) in
            [([4, 4], 0.0, 0.1), ([3, 5], 0.7, 0.2), ([2, 1], -6.0, 0.3), ([6, 6], 0.0, 0.05)]
        {
            let lattice = SpinLattice::new(extents).unwrap();
            let model = SpinFermion::new(lattice, 1.0, 1.3, mu, temperature).unwrap();
            let free = FreeResolvents::new(&model, 1e-9).unwrap();
            let mut spins = random_spins(lattice, 5, 0);
            let fresh = random_spins(lattice, 6, 0);
            let mut resolvents = Resolvents::new(&model, &free, &spins).unwrap();
            let mut rng = Stream::new(1, Purpose::Noise, 0).site(0);
            for _ in 0..20 {
                let site = rng.random_range(0..lattice.sites());
                let step = [0, 1, 2, 3].map(|c| fresh[site][c] - spins[site][c]);
                let before = model.log_weight(&spins).unwrap();
                let change = resolvents.local(site).change(&step);
                resolvents.change(site, &step);
                spins[site] = fresh[site];
                let exact = model.log_weight(&spins).unwrap() - before;
                let bound = 4.0 * lattice.sites() as f64 * free.error + 1e-10;
                assert!((change - exact).abs() < bound, "{extents:?}: {change} {exact} {bound:e}");
            }
        }
    }
}
