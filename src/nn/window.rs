//! Which numbers of a lattice a layer adds up: windows that slide over a periodic lattice, or one that covers all of it.

use crate::error::{Error, Result};
use crate::memory;

/// Windows of equal size; window `o` covers the positions `table[o * taps ..][.. taps]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Windows {
    /// Positions that the windows lie on.
    pub inputs: usize,
    /// Number of windows.
    pub outputs: usize,
    /// Positions of a window.
    pub taps: usize,
    /// Positions, window by window.
    pub table: Vec<u32>,
}

/// How windows slide, number by number in each direction.
pub struct Slide<'a> {
    /// Sites of a window.
    pub size: &'a [usize],
    /// Sites between windows.
    pub stride: &'a [usize],
    /// Sites between the sites of a window.
    pub dilation: &'a [usize],
}

impl Slide<'_> {
    /// Displacement of tap `t` (in C order) of a window that is centred, as torch does for `padding="same"`.
    pub fn displacement(&self, t: usize) -> Vec<i64> {
        let t = decode(t, self.size);
        let along = |mu: usize| {
            let (d, k) = (self.dilation[mu], self.size[mu]);
            (t[mu] * d) as i64 - (d * (k - 1) / 2) as i64
        };
        (0..self.size.len()).map(along).collect()
    }

    fn taps(&self) -> usize {
        self.size.iter().product()
    }
}

impl Windows {
    /// One window over all positions.
    pub fn all(positions: usize) -> Self {
        Self { inputs: positions, outputs: 1, taps: positions, table: (0..positions as u32).collect() }
    }

    /// Windows around every `stride`-th site of a periodic lattice, and the extents of what they give: L / stride, rounded up.
    pub fn periodic(extents: &[usize], slide: &Slide<'_>) -> Result<(Vec<usize>, Self)> {
        let result: Vec<usize> = extents.iter().zip(slide.stride).map(|(l, s)| l.div_ceil(*s)).collect();
        let offsets: Vec<Vec<i64>> = (0..slide.taps()).map(|t| slide.displacement(t)).collect();
        let windows = Self::filled(extents, &result, slide.stride, &offsets)?;
        Ok((result, windows))
    }

    /// Windows side by side that start at the first site; the extents are (L - size) / stride + 1, rounded down.
    pub fn whole(extents: &[usize], slide: &Slide<'_>) -> Result<(Vec<usize>, Self)> {
        if extents.iter().zip(slide.size).any(|(l, k)| l < k) {
            let text = format!("windows of {:?} do not fit into the extents {extents:?} that come in", slide.size);
            return Err(Error::value(format!("{text}; take a larger lattice or a smaller window")));
        }
        let sizes = extents.iter().zip(slide.size).zip(slide.stride);
        let result: Vec<usize> = sizes.map(|((l, k), s)| (l - k) / s + 1).collect();
        let offset = |t: usize| decode(t, slide.size).into_iter().map(|t| t as i64).collect();
        let offsets: Vec<Vec<i64>> = (0..slide.taps()).map(offset).collect();
        let windows = Self::filled(extents, &result, slide.stride, &offsets)?;
        Ok((result, windows))
    }

    fn filled(extents: &[usize], result: &[usize], stride: &[usize], offsets: &[Vec<i64>]) -> Result<Self> {
        let (inputs, outputs) = (extents.iter().product(), result.iter().product());
        memory::require("the table of windows of a layer", memory::product(&[outputs, offsets.len()], 4))?;
        let mut table = Vec::with_capacity(outputs * offsets.len());
        for o in 0..outputs {
            let corner = decode(o, result);
            for offset in offsets {
                let along = |mu: usize| (corner[mu] * stride[mu]) as i64 + offset[mu];
                let wrap =
                    |site: usize, mu: usize| site * extents[mu] + along(mu).rem_euclid(extents[mu] as i64) as usize;
                table.push((0..extents.len()).fold(0, wrap) as u32);
            }
        }
        Ok(Self { inputs, outputs, taps: offsets.len(), table })
    }
}

/// Coordinates in C order.
pub fn decode(mut index: usize, extents: &[usize]) -> Vec<usize> {
    let mut x = vec![0; extents.len()];
    for mu in (0..extents.len()).rev() {
        x[mu] = index % extents[mu];
        index /= extents[mu];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_two_and_three_sites() {
        let slide = |size, stride, dilation| Slide { size, stride, dilation };
        let (extents, windows) = Windows::periodic(&[5], &slide(&[2], &[2], &[1])).unwrap();
        assert_eq!((extents, windows.table), (vec![3], vec![0, 1, 2, 3, 4, 0]));
        let (_, windows) = Windows::periodic(&[4], &slide(&[3], &[1], &[2])).unwrap();
        assert_eq!(windows.table[..6], [2, 0, 2, 3, 1, 3]);
        let (extents, windows) = Windows::whole(&[3, 2], &slide(&[2, 2], &[2, 2], &[1, 1])).unwrap();
        assert_eq!((extents, windows.table), (vec![1, 1], vec![0, 1, 2, 3]));
        assert!(Windows::whole(&[1, 4], &slide(&[2, 2], &[2, 2], &[1, 1])).is_err());
    }
}
