//! A block of link matrices in a file: which sites, directions, rows and words come in which order, and its conversion.

use super::codec::Codec;
use super::fault::{COPY_AGAIN, fault};
use super::header::{ByteOrder, Header};
use super::links::{LinkArray, MAX_COLORS, MAX_EXTENT, complete_last_row};
use crate::error::{Error, Result};
use crate::interrupt;

/// Layout of a block of links with all directions of a site together.
#[derive(Debug, Clone)]
pub(crate) struct Payload {
    /// Name of the format, for messages.
    pub format: &'static str,
    pub shape: Vec<usize>,
    pub n_colors: usize,
    pub codec: Codec,
    /// Rows stored of each matrix: all, or all but the last.
    pub rows: usize,
    /// Where the block begins.
    pub offset: u64,
    /// Lattice axes, the one that runs fastest in the file first.
    pub axes: Vec<usize>,
    /// Our direction for each direction of the file.
    pub directions: Vec<usize>,
}

impl Payload {
    /// The order of ILDG, SciDAC, NERSC and MILC: x fastest, time slowest, directions x, y, z, t.
    pub fn lexicographic(format: &'static str, shape: &[usize], n_colors: usize, codec: Codec, offset: u64) -> Self {
        let axes: Vec<usize> = (0..shape.len()).collect();
        let directions = axes.clone();
        Self { format, shape: shape.to_vec(), n_colors, codec, rows: n_colors, offset, axes, directions }
    }

    fn link_bytes(&self) -> usize {
        self.rows * self.n_colors * 2 * self.codec.width()
    }

    /// Bytes of one site.
    pub fn site_bytes(&self) -> usize {
        self.shape.len() * self.link_bytes()
    }

    /// Bytes of the block; saturates far beyond any file.
    pub fn size(&self) -> u64 {
        self.shape.iter().fold(self.site_bytes() as u64, |size, &l| size.saturating_mul(l as u64))
    }

    fn describe(&self) -> String {
        format!("lattice {:?}, {} colours, {} rows, {} bit", self.shape, self.n_colors, self.rows, self.codec.precision)
    }

    /// Refuses a block that does not fill the `available` bytes; less than a site's bytes too many is a warning.
    pub fn check_size(&self, available: u64, header: &mut Header) -> Result<()> {
        let (size, at) = (self.size(), self.offset);
        let text = format!("the header ({}) promises {size} bytes, the file has {available}", self.describe());
        if available < size {
            return Err(fault(self.format, "data", at, text, format!("{COPY_AGAIN}, or its header is wrong")));
        }
        let extra = available - size;
        if extra >= self.site_bytes() as u64 {
            let remedy =
                "the extents, precision or rows in the header are wrong, or something was appended to the file";
            return Err(fault(self.format, "data", at, text, remedy));
        }
        if extra > 0 {
            header.warn(format!("{extra} trailing bytes after the links are ignored"));
        }
        Ok(())
    }

    /// Converts the block (as long as [`Payload::size`]) to links.
    pub fn decode(&self, bytes: &[u8]) -> Result<LinkArray> {
        let mut links = LinkArray::zeros(&self.shape, self.n_colors)?;
        let (n, stored) = (self.n_colors, self.rows * self.n_colors);
        let sites = bytes.chunks_exact(self.site_bytes());
        for (rank, (site, record)) in file_order(&self.shape, &self.axes).zip(sites).enumerate() {
            for (&mu, matrix) in self.directions.iter().zip(record.chunks_exact(self.link_bytes())) {
                let link = links.link_mut(mu, site);
                self.codec.read(matrix, &mut link[..stored]);
                if self.rows < n {
                    complete_last_row(link, n);
                }
            }
            if rank % 1024 == 0 {
                interrupt::poll()?;
            }
        }
        Ok(links)
    }

    /// Converts links to the bytes of the block.
    pub fn encode(&self, links: &LinkArray) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.size() as usize);
        let stored = self.rows * self.n_colors;
        for (rank, site) in file_order(&self.shape, &self.axes).enumerate() {
            for &mu in &self.directions {
                self.codec.write(&links.link(mu, site)[..stored], &mut bytes);
            }
            if rank % 1024 == 0 {
                interrupt::poll()?;
            }
        }
        Ok(bytes)
    }

    /// Whether the rows of the first link have unit length when read in this byte order.
    pub fn plausible_in(&self, order: ByteOrder, bytes: &[u8]) -> bool {
        let mut row = [num_complex::Complex64::ZERO; MAX_COLORS];
        let row = &mut row[..self.n_colors];
        Codec { order, ..self.codec }.read(bytes, row);
        let norm: f64 = row.iter().map(|z| z.norm_sqr()).sum();
        (norm - 1.0).abs() < 0.01
    }
}

/// C-order indices of all sites in the order in which the listed axes run, fastest first.
pub(crate) fn file_order(shape: &[usize], axes: &[usize]) -> impl Iterator<Item = usize> {
    let mut runs: Vec<Run> = axes
        .iter()
        .map(|&axis| Run { at: 0, length: shape[axis], stride: shape[axis + 1..].iter().product() })
        .collect();
    let mut index = 0;
    (0..shape.iter().product()).map(move |_| {
        let site = index;
        for run in &mut runs {
            run.at += 1;
            index += run.stride;
            if run.at < run.length {
                break;
            }
            index -= run.length * run.stride;
            run.at = 0;
        }
        site
    })
}

struct Run {
    at: usize,
    length: usize,
    stride: usize,
}

/// An extent as a file states it.
pub(crate) fn extent(format: &str, field: &str, offset: u64, value: i64) -> Result<usize> {
    usize::try_from(value).ok().filter(|l| (1..=MAX_EXTENT).contains(l)).ok_or_else(|| {
        let message = format!("extent {value} is not between 1 and {MAX_EXTENT}");
        fault(format, field, offset, message, "the header is damaged or this is not a lattice: correct the field")
    })
}

/// The same, from text.
pub(crate) fn extent_text(format: &str, field: &str, offset: u64, text: &str) -> Result<usize> {
    let number: i64 = text.trim().parse().map_err(|_| {
        let message = format!("'{}' is not a whole number", shorten(text));
        fault(format, field, offset, message, format!("an extent between 1 and {MAX_EXTENT} belongs there"))
    })?;
    extent(format, field, offset, number)
}

/// The beginning of a text from a file, fit to be shown in a message.
pub(crate) fn shorten(text: &str) -> String {
    let visible = |c: char| if c.is_control() { '?' } else { c };
    text.trim().chars().take(60).map(visible).collect()
}

/// The number of colours: what the caller gave, with a warning where the label of the file is another but the length fits.
pub(crate) fn overrule(
    label: &str,
    file: Option<usize>,
    given: Option<usize>,
    fits: impl FnOnce(usize) -> bool,
    header: &mut Header,
) -> Result<Option<usize>> {
    match (file, given) {
        (Some(said), Some(n)) if said != n && fits(n) => {
            header.warn(format!("{label} says {said} colours; the given {n} fit the length of the data and were used"));
            Ok(given)
        }
        _ => agree("n_colors", file, given.as_ref()),
    }
}

/// What the file says if it says it, else what the caller gave; an error if the two differ.
pub(crate) fn agree<T: PartialEq + Clone + std::fmt::Debug>(
    name: &str,
    file: Option<T>,
    given: Option<&T>,
) -> Result<Option<T>> {
    match (file, given) {
        (Some(file), Some(given)) if file != *given => {
            Err(Error::value(format!("{name} {given:?} was given, but the file says {file:?}; leave {name} out")))
        }
        (file, given) => Ok(file.or_else(|| given.cloned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_run_in_the_order_of_the_axes() {
        let index = |x: usize, y: usize, z: usize| (x * 3 + y) * 4 + z;
        let first: Vec<usize> = file_order(&[2, 3, 4], &[0, 1, 2]).collect();
        let expected: Vec<usize> =
            (0..4).flat_map(|z| (0..3).flat_map(move |y| (0..2).map(move |x| index(x, y, z)))).collect();
        assert_eq!(first, expected);
        assert!(file_order(&[2, 3, 4], &[2, 1, 0]).eq(0..24));
    }

    #[test]
    fn sizes_saturate_instead_of_overflowing() {
        let codec = Codec { precision: 64, order: ByteOrder::Big };
        let payload = Payload::lexicographic("test", &[MAX_EXTENT; 4], MAX_COLORS, codec, 0);
        assert_eq!(payload.size(), u64::MAX);
    }
}
