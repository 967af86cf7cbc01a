//! Worm algorithm for the flux representation at chemical potential (arXiv 1206.2954; N. Prokof'ev, B. Svistunov, PRL 87, 160601).
//!
//! The ensemble is extended by configurations with phi at the tail u and phi* at the head v: div k = delta_u - delta_v, and W(f_x) becomes
//! W(E_x) with E_x = f_x + delta_{x,u} + delta_{x,v}; they have the extra weight c. Every move fulfils detailed balance:
//!
//! - l -> l +- 1 on a random link: `[l! (|k|+l)!]/[l'! (|k|+l')!] prod_ends W(E')/W(E)`.
//! - closed: u = v = x at a random site with min(1, c V R/2), R = W(E+2)/W(E); open with u = v: closed again with the inverse, in half of the
//!   trials.
//! - open: the head goes to a random neighbour, k of the link between changes by +-1:
//!   `e^{mu dk} (|k|+l)!/(|k'|+l)! W(E'_v)/W(E_v) W(E'_w)/W(E_w)`, twice that where it leaves the tail, half where it arrives there.
//!
//! An update ends at a fixed number of visits to the closed sector, so that means over those visits are unbiased.

use super::field::{Flux, Link, Torus};
use super::weights::Weights;
use crate::error::{Error, Result};
use crate::interrupt::poll;
use crate::random::{Blocks, Draws, Purpose, Trial};

/// The Markov kernel of one set of couplings.
#[derive(Debug, Clone)]
pub struct Worm {
    torus: Torus,
    weights: Weights,
    mu: f64,
    visits: u64,
    log_open: f64,
}

/// What one update saw.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Elementary steps, each a trial of an l and a trial of the worm.
    pub steps: u64,
    /// Steps after which the configuration was closed.
    pub visits: u64,
    /// Worms begun, with those that closed at once.
    pub worms: u64,
    /// Accepted changes of l.
    pub link_changes: u64,
    /// Accepted steps of a head.
    pub head_steps: u64,
    /// Mean over the visits of sum_x k_{x,time} / V.
    pub density: f64,
    /// Mean over the visits of sum_x W(f_x + 2)/W(f_x) / V.
    pub phi2: f64,
    /// `<phi_{y+d} phi*_y>` by displacement d, from the open sector.
    pub correlator: Vec<f64>,
}

/// Largest occupation number that a sensible choice of couplings reaches.
const MOST_FIELD: f64 = 1e6;

impl Worm {
    /// Checks the couplings; `visits` closed configurations make one update.
    pub fn new(torus: Torus, eta: f64, lam: f64, mu: f64, visits: u64) -> Result<Self> {
        let weights = Weights::new(eta, lam, 1024)?;
        if !mu.is_finite() {
            return Err(Error::value(format!("mu = {mu}: the chemical potential is a finite number")));
        }
        if visits == 0 {
            return Err(Error::value("visits = 0: an update ends after at least 1 closed configuration"));
        }
        check_size(&torus, eta, lam, mu)?;
        let mut worm = Self { torus, weights, mu, visits, log_open: 0.0 };
        worm.log_open = worm.first_guess();
        Ok(worm)
    }

    /// The lattice.
    pub fn torus(&self) -> &Torus {
        &self.torus
    }

    /// The same with another weight of the open sector, ln c.
    pub fn with_log_open(mut self, log_open: f64) -> Result<Self> {
        if log_open.is_nan() || log_open.abs() >= 600.0 {
            return Err(Error::value(format!(
                "log_open = {log_open}: the logarithm of a weight, between -600 and 600"
            )));
        }
        self.log_open = log_open;
        Ok(self)
    }

    /// ln c.
    pub fn log_open(&self) -> f64 {
        self.log_open
    }

    /// c = 1/(V^2 <|phi|^2>) bounds the open sector even where |phi| is ordered (sum over u, v of G is at most that).
    fn first_guess(&mut self) -> f64 {
        let (eta, lam) = self.weights.couplings();
        let ordered = (hopping(&self.torus, self.mu) - eta).max(0.0) / (2.0 * lam).max(f64::MIN_POSITIVE);
        let phi2 = self.weights.ratio(0).max(ordered.min(MOST_FIELD));
        -(2.0 * (self.torus.sites() as f64).ln() + phi2.ln())
    }

    /// One update: a function of the configuration, the draws and the number of the chain.
    pub fn update(&self, flux: &mut Flux, draws: Draws, chain: u32) -> Result<Report> {
        let mut walker = Walker::new(self, std::mem::take(flux));
        let result = walker.run(draws, chain);
        *flux = Flux(walker.links);
        result
    }
}

/// Open configurations for each closed one that a warm-up aims at: errors for a given time are then within a factor 1.3 of the smallest,
/// in both phases; with as many of either kind they are up to 1.8 times larger.
const OPEN_TO_CLOSED: f64 = 4.0;

/// ln c after update number `done` of a warm-up, which had `steps` steps for `visits` visits.
///
/// The ratio of the sectors is proportional to c, so each update gives an estimate of ln c; they are averaged with weights that grow
/// linearly.
pub fn adapted(log_open: f64, done: u64, steps: u64, visits: u64) -> f64 {
    let open = steps.saturating_sub(visits) as f64 + 0.5;
    let missing = (OPEN_TO_CLOSED * visits as f64 / open).ln();
    log_open + 2.0 / (done as f64 + 3.0) * missing.clamp(-3.0, 3.0)
}

/// 2 (D - 1) + 2 cosh mu: what the hops of a constant field add up to.
fn hopping(torus: &Torus, mu: f64) -> f64 {
    2.0 * (torus.ndim() as f64 - 1.0) + 2.0 * mu.cosh()
}

fn check_size(torus: &Torus, eta: f64, lam: f64, mu: f64) -> Result<()> {
    let gap = eta - hopping(torus, mu);
    if lam == 0.0 && gap <= 0.0 {
        let mass2 = eta - 2.0 * torus.ndim() as f64;
        let bound = if mass2 > 0.0 {
            format!("|mu| < {:.6} (cosh mu = 1 + m^2/2, m^2 = eta - 2 D = {mass2:.6})", (1.0 + 0.5 * mass2).acosh())
        } else {
            format!("m^2 = eta - 2 D = {mass2:.6} > 0")
        };
        return Err(Error::value(format!(
            "eta = {eta}, mu = {mu} with lam = 0: the free theory diverges; it needs {bound}, or give lam > 0"
        )));
    }
    let field = if lam == 0.0 { 1.0 / (gap * torus.sites() as f64) } else { -gap.min(0.0) / (2.0 * lam) };
    if field.is_nan() || field >= MOST_FIELD {
        return Err(Error::value(format!(
            "eta = {eta}, lam = {lam}, mu = {mu}: |phi|^2 of about {field:.2e}; above {MOST_FIELD:.0e} the fluxes are too many: \
             take a smaller mu or a larger lam or eta"
        )));
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Ends {
    tail: usize,
    head: usize,
    /// Site of tail - head.
    displacement: usize,
}

/// A configuration of the extended ensemble on its way.
struct Walker<'a> {
    torus: &'a Torus,
    weights: Weights,
    /// e^{mu dk} by direction of the head.
    boosts: [f64; 8],
    /// c V/2.
    opening: f64,
    goal: u64,
    open_weight: f64,
    links: Vec<Link>,
    /// E_x / 2.
    half: Vec<usize>,
    ends: Option<Ends>,
    time_flux: i64,
    /// sum_x R(E_x / 2).
    phi2: f64,
    open_visits: Vec<u64>,
    report: Report,
}

impl<'a> Walker<'a> {
    fn new(worm: &'a Worm, flux: Flux) -> Self {
        let (torus, mut weights) = (&worm.torus, worm.weights.clone());
        let mut boosts = [1.0; 8];
        boosts[torus.ndim() - 1] = worm.mu.exp();
        boosts[2 * torus.ndim() - 1] = (-worm.mu).exp();
        let half = flux.half_occupation(torus);
        let phi2 = half.iter().map(|&j| weights.ratio(j)).sum();
        Self {
            torus,
            weights,
            boosts,
            opening: 0.5 * torus.sites() as f64 * worm.log_open.exp(),
            goal: worm.visits,
            open_weight: worm.log_open.exp(),
            half,
            ends: None,
            time_flux: flux.time_flux(torus),
            phi2,
            open_visits: vec![0; torus.sites()],
            links: flux.0,
            report: Report::default(),
        }
    }

    fn run(&mut self, draws: Draws, chain: u32) -> Result<Report> {
        let mut blocks = Blocks::new();
        let (mut sum_flux, mut sum_phi2) = (0.0, 0.0);
        let (mut visits, mut steps) = (0, 0u64);
        while visits < self.goal {
            // Steps come in pairs of blocks, and the size of a refill is even.
            if blocks.is_empty() {
                poll()?;
                let first = 2 * steps;
                blocks.refill(&draws.of((first >> 32) as u16).stream(Purpose::Worm), chain, first as u32);
            }
            self.try_link(blocks.trial());
            self.try_worm(blocks.trial());
            steps += 1;
            match self.ends {
                None => {
                    visits += 1;
                    sum_flux += self.time_flux as f64;
                    sum_phi2 += self.phi2;
                }
                Some(ends) => self.open_visits[ends.displacement] += 1,
            }
        }
        self.finish(steps, sum_flux, sum_phi2)
    }

    fn finish(&mut self, steps: u64, sum_flux: f64, sum_phi2: f64) -> Result<Report> {
        let flux = Flux(std::mem::take(&mut self.links));
        let closed =
            flux.divergence(self.torus).iter().all(|&d| d == 0) && flux.half_occupation(self.torus) == self.half;
        self.links = flux.0;
        if !closed {
            return Err(Error::value("internal error: a closed worm left a divergence; please report it"));
        }
        let (sites, visits) = (self.torus.sites() as f64, self.goal as f64);
        let unit = visits * sites * self.open_weight;
        Ok(Report {
            steps,
            visits: self.goal,
            density: sum_flux / (visits * sites),
            phi2: sum_phi2 / (visits * sites),
            correlator: self.open_visits.iter().map(|&n| n as f64 / unit).collect(),
            ..std::mem::take(&mut self.report)
        })
    }

    #[inline(always)]
    fn try_link(&mut self, trial: Trial) {
        let pick = trial.below(2 * self.links.len());
        let link = pick >> 1;
        let [x, y] = self.torus.ends(link);
        let (hx, hy) = (self.half[x], self.half[y]);
        let Link { k, l } = self.links[link];
        let (l, total) = (f64::from(l), f64::from(k.abs()) + f64::from(l));
        if pick & 1 == 1 {
            let (rx, ry) = (self.weights.ratio(hx), self.weights.ratio(hy));
            if trial.uniform * (l + 1.0) * (total + 1.0) < rx * ry {
                self.links[link].l += 1;
                (self.half[x], self.half[y]) = (hx + 1, hy + 1);
                self.phi2 += self.weights.ratio(hx + 1) - rx + self.weights.ratio(hy + 1) - ry;
                self.report.link_changes += 1;
            }
        } else if l > 0.0 {
            let (rx, ry) = (self.weights.ratio(hx - 1), self.weights.ratio(hy - 1));
            if trial.uniform * rx * ry < l * total {
                self.links[link].l -= 1;
                (self.half[x], self.half[y]) = (hx - 1, hy - 1);
                self.phi2 += rx - self.weights.ratio(hx) + ry - self.weights.ratio(hy);
                self.report.link_changes += 1;
            }
        }
    }

    #[inline(always)]
    fn try_worm(&mut self, trial: Trial) {
        match self.ends {
            None => self.try_open(trial),
            // The lowest bit decides, the highest choose the direction.
            Some(ends) if ends.tail == ends.head && trial.word & 1 == 1 => self.try_close(ends, trial),
            Some(ends) => self.try_step(ends, trial),
        }
    }

    #[inline(always)]
    fn try_open(&mut self, trial: Trial) {
        let x = trial.below(self.half.len());
        let ratio = self.weights.ratio(self.half[x]);
        if trial.uniform < self.opening * ratio {
            self.half[x] += 1;
            self.phi2 += self.weights.ratio(self.half[x]) - ratio;
            self.ends = Some(Ends { tail: x, head: x, displacement: 0 });
            self.report.worms += 1;
        }
    }

    #[inline(always)]
    fn try_close(&mut self, ends: Ends, trial: Trial) {
        let half = self.half[ends.tail];
        let ratio = self.weights.ratio(half - 1);
        if trial.uniform * self.opening * ratio < 1.0 {
            self.half[ends.tail] = half - 1;
            self.phi2 += ratio - self.weights.ratio(half);
            self.ends = None;
        }
    }

    #[inline(always)]
    fn try_step(&mut self, ends: Ends, trial: Trial) {
        let (ndim, v) = (self.torus.ndim(), ends.head);
        let direction = trial.below(2 * ndim);
        let w = self.torus.neighbour(v, direction);
        let forward = direction < ndim;
        let (link, change, opposite) = if forward {
            (direction * self.half.len() + v, 1, direction + ndim)
        } else {
            ((direction - ndim) * self.half.len() + w, -1, direction - ndim)
        };
        let Link { k, l } = self.links[link];
        let at_tail = if v == ends.tail {
            2.0
        } else if w == ends.tail {
            0.5
        } else {
            1.0
        };
        let weight = self.boosts[direction] * at_tail;
        let total = f64::from(k.abs()) + f64::from(l);
        // |k| grows: E_v stays, E_w + 2; it shrinks: E_v - 2, E_w stays.
        if k * change >= 0 {
            let ratio = self.weights.ratio(self.half[w]);
            if trial.uniform * (total + 1.0) >= weight * ratio {
                return;
            }
            self.half[w] += 1;
            self.phi2 += self.weights.ratio(self.half[w]) - ratio;
        } else {
            let ratio = self.weights.ratio(self.half[v] - 1);
            if trial.uniform * ratio >= weight * total {
                return;
            }
            self.phi2 += ratio - self.weights.ratio(self.half[v]);
            self.half[v] -= 1;
        }
        self.links[link].k = k + change;
        if direction % ndim == ndim - 1 {
            self.time_flux += i64::from(change);
        }
        let displacement = self.torus.neighbour(ends.displacement, opposite);
        self.ends = Some(Ends { head: w, displacement, ..ends });
        self.report.head_steps += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worm(extents: &[usize], eta: f64, lam: f64, mu: f64, visits: u64) -> Worm {
        Worm::new(Torus::new(extents).unwrap(), eta, lam, mu, visits).unwrap()
    }

    /// Two sites in time: k is one number, and all l below 12 are summed.
    fn enumerated(eta: f64, lam: f64, mu: f64) -> [f64; 2] {
        let logs = Weights::new(eta, lam, 64).unwrap().log_weights(64);
        let factorial = |n: i32| (1..=n).map(f64::from).product::<f64>();
        let (mut z, mut density, mut phi2) = (0.0, 0.0, 0.0);
        for k in -10i32..=10 {
            for l in (0..144).map(|n| [n / 12, n % 12]) {
                // Both sites touch both links.
                let half = (k.abs() + l[0] + l[0] + l[1] + l[1] - l[0] - l[1]) as usize;
                let links: f64 = l.iter().map(|&l| factorial(k.abs() + l) * factorial(l)).product();
                let weight = (2.0 * mu * f64::from(k) + 2.0 * logs[half]).exp() / links;
                z += weight;
                density += weight * f64::from(k);
                phi2 += weight * (logs[half + 1] - logs[half]).exp();
            }
        }
        [density / z, phi2 / z]
    }

    #[test]
    fn means_are_those_of_the_enumeration() -> Result<()> {
        let expected = enumerated(3.0, 1.0, 0.4);
        let worm = worm(&[2], 3.0, 1.0, 0.4, 500);
        let mut flux = Flux::empty(worm.torus());
        let mut sums = [[0.0; 2]; 2];
        let updates = 4000;
        for sweep in 0..updates {
            let report = worm.update(&mut flux, Draws::new(1, sweep), 0)?;
            for (sum, x) in sums.iter_mut().zip([report.density, report.phi2]) {
                *sum = [sum[0] + x, sum[1] + x * x];
            }
        }
        for ([sum, square], exact) in sums.into_iter().zip(expected) {
            let n = updates as f64;
            let mean = sum / n;
            let pull = (mean - exact) / ((square / n - mean * mean) / n).sqrt();
            assert!(pull.abs() < 4.0, "{mean}, exact {exact}, {pull} sigma");
        }
        Ok(())
    }

    #[test]
    fn updates_are_functions_of_seed_sweep_and_chain() -> Result<()> {
        let worm = worm(&[3, 4], 4.1, 1.0, 0.9, 300);
        let run = |seed, chain| {
            let mut flux = Flux::empty(worm.torus());
            let reports: Result<Vec<_>> =
                (0..5).map(|sweep| worm.update(&mut flux, Draws::new(seed, sweep), chain)).collect();
            reports.map(|reports| (flux, reports))
        };
        assert_eq!(run(1, 0)?, run(1, 0)?);
        assert_ne!(run(1, 0)?, run(1, 1)?);
        assert_ne!(run(1, 0)?, run(2, 0)?);
        Ok(())
    }

    /// What closes a worm undoes what opened it, and the open sector at distance zero is <|phi|^2>.
    #[test]
    fn sectors_agree_at_distance_zero() -> Result<()> {
        let worm = worm(&[4, 4], 4.5, 1.0, 0.3, 200_000);
        let mut flux = Flux::empty(worm.torus());
        worm.update(&mut flux, Draws::new(1, 0), 0)?;
        let report = worm.update(&mut flux, Draws::new(1, 1), 0)?;
        assert!((report.correlator[0] / report.phi2 - 1.0).abs() < 0.03, "{} {}", report.correlator[0], report.phi2);
        Ok(())
    }

    #[test]
    fn couplings_beyond_reason_are_refused() {
        let refused = |eta, lam, mu| Worm::new(Torus::new(&[4, 4]).unwrap(), eta, lam, mu, 10).is_err();
        assert!(refused(4.25, 0.0, 0.5) && refused(4.0, 0.0, 0.0) && refused(4.25, 1.0, f64::NAN));
        assert!(refused(4.25, 1.0, 800.0) && refused(4.25, 1e-9, 2.0) && !refused(4.25, 1.0, -2.0));
    }
}
