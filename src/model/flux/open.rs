//! Configurations with open worms: heads that walked away from their tails and stayed there (arXiv 2112.12474, counting of worms).

use super::field::{Flux, Torus};
use crate::error::{Error, Result};
use crate::interrupt::poll;
use crate::random::{Blocks, Stream};

/// Tries to end a walk at a site of its own.
const MOST_STEPS: usize = 10_000;

/// Adds `count` open worms to the fluxes and returns (tail, head) of each: div k = +1 at the tail, -1 at the head.
///
/// A tail is a random site; its head takes `steps` random steps and goes on until it stands on a site that is no other end. So all ends
/// differ, and sum_x |div k| grows by 2 `count`.
pub fn open_worms(
    torus: &Torus,
    flux: &mut Flux,
    count: usize,
    steps: usize,
    stream: &Stream,
    site: u32,
) -> Result<Vec<[usize; 2]>> {
    if 2 * count > torus.sites() {
        return Err(Error::value(format!(
            "n = {count}: {count} open worms have {} different ends; {:?} has {} sites",
            2 * count,
            torus.extents(),
            torus.sites()
        )));
    }
    let mut walk = Walk { blocks: Blocks::new(), drawn: 0, stream, site };
    let mut taken = vec![false; torus.sites()];
    let mut ends = Vec::with_capacity(count);
    for _ in 0..count {
        let mut tail = walk.below(torus.sites())?;
        while taken[tail] {
            tail = walk.below(torus.sites())?;
        }
        taken[tail] = true;
        let (mut head, mut done) = (tail, 0);
        while done < steps || taken[head] {
            if done == steps + MOST_STEPS {
                let text = format!(
                    "n = {count}: no free site was found for a head; ask for fewer worms on {:?}",
                    torus.extents()
                );
                return Err(Error::value(text));
            }
            let direction = walk.below(2 * torus.ndim())?;
            let next = torus.neighbour(head, direction);
            let (link, change) = match direction.checked_sub(torus.ndim()) {
                None => (direction * torus.sites() + head, 1),
                Some(backward) => (backward * torus.sites() + next, -1),
            };
            flux.0[link].k += change;
            (head, done) = (next, done + 1);
        }
        taken[head] = true;
        ends.push([tail, head]);
    }
    Ok(ends)
}

struct Walk<'a> {
    blocks: Blocks,
    drawn: u32,
    stream: &'a Stream,
    site: u32,
}

impl Walk<'_> {
    fn below(&mut self, n: usize) -> Result<usize> {
        if self.blocks.is_empty() {
            poll()?;
            self.blocks.refill(self.stream, self.site, self.drawn);
        }
        self.drawn = self.drawn.wrapping_add(1);
        Ok(self.blocks.trial().below(n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    #[test]
    fn ends_are_where_the_divergence_is() {
        let torus = Torus::new(&[4, 3, 5]).unwrap();
        let stream = Stream::new(1, Purpose::Worm, 0);
        for count in [0, 1, 7, 30] {
            let mut flux = Flux::empty(&torus);
            let ends = open_worms(&torus, &mut flux, count, 9, &stream, 3).unwrap();
            let mut expected = vec![0; torus.sites()];
            for [tail, head] in &ends {
                expected[*tail] += 1;
                expected[*head] -= 1;
            }
            assert_eq!(flux.divergence(&torus), expected);
            assert_eq!(expected.iter().map(|d: &i64| d.abs()).sum::<i64>(), 2 * count as i64);
        }
        assert!(open_worms(&torus, &mut Flux::empty(&torus), 31, 9, &stream, 3).is_err());
    }
}
