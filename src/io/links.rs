//! Gauge links as a plain array `[mu, x_0, .., x_{D-1}, a, b]` (last axis time, C order) with the checks that files need.

use crate::error::{Error, Result};
use crate::{interrupt, memory};
use num_complex::Complex64;

/// Largest number of colours that files are read and written with.
pub const MAX_COLORS: usize = 8;

/// Largest extent of a lattice in a file.
pub(crate) const MAX_EXTENT: usize = 1 << 16;

/// Links of a periodic lattice; axis `mu` is direction `mu`, the last lattice axis is time, `n_colors` = 1 is U(1).
#[derive(Debug, Clone, PartialEq)]
pub struct LinkArray {
    /// Extents `L_0 .. L_{D-1}`.
    pub extents: Vec<usize>,
    /// N of SU(N), or 1 for U(1).
    pub n_colors: usize,
    /// Matrix elements in the order `[mu, x_0, .., x_{D-1}, a, b]`.
    pub data: Vec<Complex64>,
}

/// The link that is farthest from the group.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    /// Largest of `|U U^dagger - 1|` (elementwise) and, for N > 1, `|det U - 1|`.
    pub size: f64,
    /// Direction of the link.
    pub direction: usize,
    /// Site of the link.
    pub site: Vec<usize>,
}

impl LinkArray {
    /// An array of zeros for the given extents and colours, refused if there is no memory for it.
    pub(crate) fn zeros(extents: &[usize], n_colors: usize) -> Result<Self> {
        let length = extents.iter().fold(extents.len() * n_colors * n_colors, |length, &l| length.saturating_mul(l));
        let bytes = memory::product(&[length], size_of::<Complex64>());
        memory::require(&format!("links on a lattice {extents:?}"), bytes)?;
        Ok(Self { extents: extents.to_vec(), n_colors, data: vec![Complex64::ZERO; length] })
    }

    /// The time slice whose temporal links are all zero, if it is the only one: open boundaries between it and the next.
    pub fn open_slice(&self) -> Option<usize> {
        let (time, volume) = (self.extents.len() - 1, self.volume());
        let length = self.extents[time];
        let missing = |site: usize| self.link(time, site).iter().all(|&z| z == Complex64::ZERO);
        let mut zero = (0..length).filter(|&t| missing(t));
        let slice = zero.next().filter(|_| time > 0 && zero.next().is_none())?;
        (slice..volume).step_by(length).all(missing).then_some(slice)
    }

    /// Whether the plaquette at `site` in a plane with `nu` (the larger direction) has a link on the `open` slice.
    fn is_missing(&self, open: Option<usize>, nu: usize, site: usize) -> bool {
        let time = self.extents.len() - 1;
        nu == time && open == Some(site % self.extents[time])
    }

    /// With open boundaries: sum of all plaquettes, those in space weighted 1/2 on the two boundary slices, over the number of
    /// sites, planes and colours, without and with the time slice that is lost (openQCD's conventions).
    pub(crate) fn open_plaquettes(&self) -> Option<[f64; 2]> {
        let (time, slice) = (self.extents.len() - 1, self.open_slice()?);
        let length = self.extents[time];
        let edge = |site: usize| site % length == slice || site % length == (slice + 1) % length;
        let planes = || (0..time).flat_map(|mu| (mu + 1..=time).map(move |nu| (mu, nu)));
        let (mut weighted, mut all) = (0.0, 0.0);
        for (mu, nu) in planes() {
            for site in 0..self.volume() {
                let trace = self.plaquette_trace(mu, nu, site);
                weighted += if nu < time && edge(site) { 0.5 * trace } else { trace };
                all += trace;
            }
        }
        let sites = (self.volume() / length * planes().count() * self.n_colors) as f64;
        Some([weighted / (sites * (length - 1) as f64), all / (sites * length as f64)])
    }

    /// Number of sites.
    pub fn volume(&self) -> usize {
        self.extents.iter().product()
    }

    /// Number of complex elements in one link.
    pub(crate) fn link_len(&self) -> usize {
        self.n_colors * self.n_colors
    }

    /// The matrix of direction `mu` at the site with C-order index `site`.
    pub(crate) fn link(&self, mu: usize, site: usize) -> &[Complex64] {
        let start = (mu * self.volume() + site) * self.link_len();
        &self.data[start..start + self.link_len()]
    }

    /// The same, to be changed.
    pub(crate) fn link_mut(&mut self, mu: usize, site: usize) -> &mut [Complex64] {
        let (start, length) = ((mu * self.volume() + site) * self.link_len(), self.link_len());
        &mut self.data[start..start + length]
    }

    /// Refuses arrays whose length, extents or colours do not fit together, and elements that are not finite.
    pub fn check_shape(&self) -> Result<()> {
        let bad = self.extents.iter().any(|&l| l == 0 || l > MAX_EXTENT);
        if self.extents.is_empty() || self.extents.len() > 4 || bad {
            return Err(Error::value(format!(
                "lattice shape {:?}: allowed are 1 to 4 extents from 1 to {MAX_EXTENT}",
                self.extents
            )));
        }
        check_colors(self.n_colors)?;
        let sites = self.extents.iter().try_fold(1usize, |v, &l| v.checked_mul(l));
        let wanted = sites.and_then(|v| v.checked_mul(self.extents.len() * self.link_len()));
        if wanted != Some(self.data.len()) {
            return Err(Error::value(format!(
                "{} link elements do not fill {} directions on a lattice {:?} with {} colours",
                self.data.len(),
                self.extents.len(),
                self.extents,
                self.n_colors
            )));
        }
        Ok(())
    }

    /// Mean of Re tr(plaquette)/N over sites and planes, without those that open boundaries lack; `None` in one dimension.
    pub fn plaquette(&self) -> Result<Option<f64>> {
        let (d, open) = (self.extents.len(), self.open_slice());
        let (mut sum, mut count) = (0.0, 0usize);
        for (mu, nu) in (0..d).flat_map(|mu| (mu + 1..d).map(move |nu| (mu, nu))) {
            for site in (0..self.volume()).filter(|&site| !self.is_missing(open, nu, site)) {
                sum += self.plaquette_trace(mu, nu, site);
                count += 1;
            }
            interrupt::poll()?;
        }
        Ok((count > 0).then(|| sum / (count * self.n_colors) as f64))
    }

    /// Re tr of `U_mu(x) U_nu(x+mu) [U_nu(x) U_mu(x+nu)]^dagger`.
    fn plaquette_trace(&self, mu: usize, nu: usize, site: usize) -> f64 {
        let n = self.n_colors;
        let (lower, right) = (self.link(mu, site), self.link(nu, self.forward(site, mu)));
        let (left, upper) = (self.link(nu, site), self.link(mu, self.forward(site, nu)));
        let mut trace = 0.0;
        for a in 0..n {
            for b in 0..n {
                let (mut there, mut back) = (Complex64::ZERO, Complex64::ZERO);
                for c in 0..n {
                    there += lower[a * n + c] * right[c * n + b];
                    back += left[a * n + c] * upper[c * n + b];
                }
                trace += (there * back.conj()).re;
            }
        }
        trace
    }

    /// Index of the periodic neighbour of `site` in direction `mu`.
    pub fn forward(&self, site: usize, mu: usize) -> usize {
        let stride: usize = self.extents[mu + 1..].iter().product();
        let length = self.extents[mu];
        if (site / stride) % length + 1 == length { site - (length - 1) * stride } else { site + stride }
    }

    /// Mean of Re tr U/N over all links.
    pub fn link_trace(&self) -> f64 {
        let n = self.n_colors;
        let trace = |link: &[Complex64]| (0..n).map(|a| link[a * (n + 1)].re).sum::<f64>();
        let links = self.data.len() / self.link_len();
        self.data.chunks_exact(self.link_len()).map(trace).sum::<f64>() / (links * n) as f64
    }

    /// The link farthest from the group; links that open boundaries lack do not count.
    pub fn unitarity_violation(&self) -> Result<Violation> {
        let (mut worst, mut at, open) = (0.0, 0, self.open_slice());
        for (index, link) in self.data.chunks_exact(self.link_len()).enumerate() {
            if self.is_missing(open, index / self.volume(), index % self.volume()) {
                continue;
            }
            let size = link_violation(link, self.n_colors);
            if size > worst || size.is_nan() {
                (worst, at) = (size, index);
            }
            if size.is_nan() {
                break;
            }
            if index % 4096 == 0 {
                interrupt::poll()?;
            }
        }
        let (direction, site) = self.position(at);
        Ok(Violation { size: worst, direction, site })
    }

    /// Direction and site of the first link with an element that is infinite or not a number.
    pub fn first_not_finite(&self) -> Option<(usize, Vec<usize>)> {
        let index = self.data.iter().position(|z| !z.is_finite())?;
        Some(self.position(index / self.link_len()))
    }

    fn position(&self, link: usize) -> (usize, Vec<usize>) {
        let volume = self.volume();
        let mut rest = link % volume;
        let mut site = vec![0; self.extents.len()];
        for (x, &length) in site.iter_mut().zip(&self.extents).rev() {
            *x = rest % length;
            rest /= length;
        }
        (link / volume, site)
    }
}

/// Refuses numbers of colours that files are not read or written with.
pub(crate) fn check_colors(n_colors: usize) -> Result<()> {
    if (1..=MAX_COLORS).contains(&n_colors) {
        return Ok(());
    }
    Err(Error::value(format!("{n_colors} colours: allowed are 1 (U(1)) to {MAX_COLORS} (SU({MAX_COLORS}))")))
}

fn link_violation(u: &[Complex64], n: usize) -> f64 {
    let mut worst = if n > 1 { (determinant(u, n) - 1.0).norm() } else { 0.0 };
    for a in 0..n {
        for b in 0..=a {
            let product: Complex64 = (0..n).map(|c| u[a * n + c] * u[b * n + c].conj()).sum();
            let size = (product - if a == b { 1.0 } else { 0.0 }).norm();
            if size > worst || size.is_nan() {
                worst = size;
            }
        }
    }
    worst
}

/// Determinant by elimination with partial pivoting; `n` is at most [`MAX_COLORS`].
pub(crate) fn determinant(matrix: &[Complex64], n: usize) -> Complex64 {
    let mut m = [Complex64::ZERO; MAX_COLORS * MAX_COLORS];
    m[..n * n].copy_from_slice(matrix);
    let mut product = Complex64::ONE;
    for k in 0..n {
        let pivot =
            (k..n).fold(k, |best, i| if m[i * n + k].norm_sqr() > m[best * n + k].norm_sqr() { i } else { best });
        if m[pivot * n + k] == Complex64::ZERO {
            return Complex64::ZERO;
        }
        if pivot != k {
            (0..n).for_each(|j| m.swap(pivot * n + j, k * n + j));
            product = -product;
        }
        product *= m[k * n + k];
        for i in k + 1..n {
            let factor = m[i * n + k] / m[k * n + k];
            for j in k..n {
                let subtract = factor * m[k * n + j];
                m[i * n + j] -= subtract;
            }
        }
    }
    product
}

/// Fills the last row of a special unitary matrix from the others: the conjugate cofactors.
pub(crate) fn complete_last_row(u: &mut [Complex64], n: usize) {
    for column in 0..n {
        let mut minor = [Complex64::ZERO; MAX_COLORS * MAX_COLORS];
        let kept = (0..n * (n - 1)).filter(|i| i % n != column);
        for (target, source) in kept.enumerate() {
            minor[target] = u[source];
        }
        let sign = if (n - 1 + column).is_multiple_of(2) { 1.0 } else { -1.0 };
        u[(n - 1) * n + column] = (determinant(&minor[..(n - 1) * (n - 1)], n - 1) * sign).conj();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_row_of_a_permutation() {
        // Rows e1, e2, e3, e0 form a cycle of four: determinant -1 without the sign of the last row.
        for (n, sign) in [(2, -1.0), (3, 1.0), (4, -1.0)] {
            let mut u = vec![Complex64::ZERO; n * n];
            (0..n - 1).for_each(|a| u[a * n + a + 1] = Complex64::ONE);
            complete_last_row(&mut u, n);
            assert_eq!(u[(n - 1) * n], Complex64::from(sign));
            assert_eq!(determinant(&u, n), Complex64::ONE);
        }
    }

    #[test]
    fn worst_link_is_found_where_it_is() {
        let mut links = LinkArray { extents: vec![2, 3], n_colors: 1, data: vec![Complex64::ONE; 12] };
        links.link_mut(1, 4)[0] = Complex64::new(0.0, 2.0);
        let expected = Violation { size: 3.0, direction: 1, site: vec![1, 1] };
        assert_eq!(links.unitarity_violation().unwrap(), expected);
        assert_eq!(links.plaquette().unwrap(), Some((4.0 + 0.0) / 6.0));
        assert_eq!(links.link_trace(), 11.0 / 12.0);
        links.link_mut(0, 2)[0].im = f64::NAN;
        assert_eq!(links.first_not_finite(), Some((0, vec![0, 2])));
    }
}
