//! Block Gibbs sampling of many chains in parallel, and its overrelaxed form (Adler, PRD 23, 2901), which turns
//! the autocorrelation time 1/(1 - r) into 1/sqrt(1 - r).

use super::layer::{Float, Units};
use super::model::Model;
use crate::error::{Error, Result};
use crate::field::inside;
use crate::interrupt::poll;
use crate::memory::require;
use crate::random::{Purpose, Stream};

/// How a layer moves given the other one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kick {
    /// A fresh draw from the conditional law.
    Fresh,
    /// Overrelaxation with parameter omega in (0, 2); 1 is a fresh draw.
    Overrelaxed(f64),
}

/// Advances chains (rows of `visible`) by `sweeps` steps v -> h -> v' and keeps every configuration: `(sweeps, chains, n)`.
///
/// Half step `j` of the run uses sweep `first + j` of the Gibbs streams and chain number as site.
/// Overrelaxed hidden units start from a fresh draw, or from `hidden` (updated in place) when it is given.
pub fn sample<R: Float>(
    model: &Model<R>,
    visible: &mut [R],
    hidden: &mut Option<Vec<R>>,
    sweeps: usize,
    keep_every: usize,
    kick: Kick,
    seed: u64,
    first: u64,
) -> Result<Vec<R>> {
    check(model, kick)?;
    let (n, m) = (model.visible.len(), model.hidden.len());
    let chains = visible.len() / n;
    let fresh_start = hidden.is_none();
    let state = hidden.get_or_insert_with(|| vec![R::ZERO; chains * m]);
    let records = sweeps / keep_every;
    let bytes = records as u128 * size_of_val(visible) as u128;
    require(&format!("{records} records of {chains} chains with {n} visible units"), bytes)?;
    let mut kept = Vec::with_capacity(records * visible.len());
    let (mut hidden_means, mut visible_means) = (vec![R::ZERO; chains * m], vec![R::ZERO; chains * n]);
    inside(|| {
        for sweep in 0..sweeps {
            poll()?;
            let step = first.wrapping_add(2 * sweep as u64);
            let hidden_kick = if fresh_start && sweep == 0 { Kick::Fresh } else { kick };
            let streams = [step, step.wrapping_add(1)].map(|step| Stream::new(seed, Purpose::Gibbs, step));
            match hidden_kick {
                Kick::Fresh => model.draw_hidden(visible, &streams[0], &mut hidden_means, state),
                Kick::Overrelaxed(omega) => {
                    model.hidden_mean(visible, &mut hidden_means);
                    model.hidden.overrelax(&streams[0], R::of(omega), &hidden_means, state);
                }
            }
            match kick {
                Kick::Fresh => model.draw_visible(state, &streams[1], &mut visible_means, visible),
                Kick::Overrelaxed(omega) => {
                    model.visible_mean(state, &mut visible_means);
                    model.visible.overrelax(&streams[1], R::of(omega), &visible_means, visible);
                }
            }
            if (sweep + 1) % keep_every == 0 {
                kept.extend_from_slice(visible);
            }
        }
        Ok(())
    })?;
    Ok(kept)
}

fn check<R: Float>(model: &Model<R>, kick: Kick) -> Result<()> {
    let Kick::Overrelaxed(omega) = kick else { return Ok(()) };
    if model.visible.units != Units::Gaussian || model.hidden.units != Units::Gaussian {
        return Err(Error::value("overrelaxation is defined for Gaussian units in both layers; use method=\"gibbs\""));
    }
    if !(omega > 0.0 && omega < 2.0) {
        return Err(Error::value(format!("omega = {omega} is not between 0 and 2; 1 is the ordinary Gibbs step")));
    }
    Ok(())
}
