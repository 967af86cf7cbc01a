//! Raw words of Philox streams, sixteen counter blocks at a time, for chains that draw integers and uniforms in turn.

use super::array::{LANES, Words, philox_lanes};
use super::{Stream, open_unit};

/// Blocks of four words drawn one after another at one site; trial `n` has block `n`, whatever was drawn before.
#[derive(Debug, Clone)]
pub struct Blocks {
    words: Vec<Words>,
    next: usize,
}

/// An integer of 64 bits and a uniform in (0, 1): what a Metropolis trial needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// Uniform 64 bits.
    pub word: u64,
    /// Uniform in (0, 1), independent of them.
    pub uniform: f64,
}

impl Trial {
    /// Uniform integer below `n`, to 2^-64 n.
    #[inline(always)]
    pub fn below(self, n: usize) -> usize {
        ((u128::from(self.word) * n as u128) >> 64) as usize
    }
}

const GROUPS: usize = 32;

impl Blocks {
    /// Room for [`Blocks::SIZE`] blocks, none of them drawn.
    pub fn new() -> Self {
        Self { words: vec![[[0; LANES]; 4]; GROUPS], next: Self::SIZE }
    }

    /// Blocks that are drawn at once.
    pub const SIZE: usize = GROUPS * LANES;

    /// Whether the next call of [`Blocks::trial`] needs [`Blocks::refill`] before it.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.next >= Self::SIZE
    }

    /// Blocks `first`, `first + 1`, ... of `stream` at `site`.
    pub fn refill(&mut self, stream: &Stream, site: u32, first: u32) {
        pulp::Arch::new().dispatch(Refill { stream, site, first, words: &mut self.words });
        self.next = 0;
    }

    /// The next block as an integer and a uniform.
    #[inline(always)]
    pub fn trial(&mut self) -> Trial {
        let (group, lane) = (&self.words[self.next / LANES % GROUPS], self.next % LANES);
        self.next += 1;
        let word = u64::from(group[0][lane]) << 32 | u64::from(group[1][lane]);
        Trial { word, uniform: open_unit(group[2][lane], group[3][lane]) }
    }
}

impl Default for Blocks {
    fn default() -> Self {
        Self::new()
    }
}

struct Refill<'a> {
    stream: &'a Stream,
    site: u32,
    first: u32,
    words: &'a mut [Words],
}

impl pulp::WithSimd for Refill<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        let mut block = [0; LANES];
        for (group, words) in self.words.iter_mut().enumerate() {
            for lane in 0..LANES {
                block[lane] = self.first.wrapping_add((group * LANES + lane) as u32);
            }
            *words = philox_lanes(self.stream, &[self.site; LANES], &block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    #[test]
    fn trials_are_the_blocks_of_the_stream() {
        let stream = Stream::new(3, Purpose::Worm, 1 << 41);
        let mut blocks = Blocks::new();
        assert!(blocks.is_empty());
        blocks.refill(&stream, 7, 1000);
        for n in 0..Blocks::SIZE {
            let [a, b, c, d] = stream.block(7, 1000 + n as u32);
            let expected = Trial { word: u64::from(a) << 32 | u64::from(b), uniform: open_unit(c, d) };
            assert_eq!(blocks.trial(), expected);
        }
        assert!(blocks.is_empty());
        assert_eq!(Trial { word: u64::MAX, uniform: 0.5 }.below(6), 5);
        assert_eq!(Trial { word: 0, uniform: 0.5 }.below(6), 0);
    }
}
