//! Reading: find the format from the content, convert, check everything the file records.

use super::format::Format;
use super::header::Header;
use super::links::{LinkArray, MAX_EXTENT, check_colors};
use super::source::{FileSource, Source};
use super::{bridge, ildg, mdp, milc, nersc, npy, npz, openqcd, validate};
use crate::error::{Error, Result};
use std::path::Path;

/// What the caller knows about a file, and what may be wrong with it.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Format; found from the content if `None`.
    pub format: Option<Format>,
    /// Extents, for files that do not state them.
    pub shape: Option<Vec<usize>>,
    /// Number of colours (1 for U(1)), for files that do not state it.
    pub n_colors: Option<usize>,
    /// Accept links outside the group (Schroedinger functional, open boundaries); a recorded plaquette or link trace
    /// that differs is then a warning, because such codes normalise it differently.
    pub allow_nonunitary: bool,
    /// Turn wrong checksums, plaquettes and link traces into warnings.
    pub ignore_checksum: bool,
}

impl ReadOptions {
    fn check(&self) -> Result<()> {
        if let Some(n) = self.n_colors {
            check_colors(n)?;
        }
        let Some(shape) = &self.shape else { return Ok(()) };
        let good = (1..=4).contains(&shape.len()) && shape.iter().all(|l| (1..=MAX_EXTENT).contains(l));
        if good {
            return Ok(());
        }
        Err(Error::value(format!("shape {shape:?}: give 1 to 4 extents between 1 and {MAX_EXTENT}, time last")))
    }
}

/// Reads and verifies the links in the file at `path`.
pub fn read(path: impl AsRef<Path>, options: &ReadOptions) -> Result<(LinkArray, Header)> {
    links(&mut FileSource::open(path.as_ref())?, options)
}

/// Reads what the file at `path` says of itself, without its links.
pub fn read_header(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Header> {
    header(&mut FileSource::open(path.as_ref())?, options)
}

/// Reads and verifies the links in a file that is in memory.
pub fn read_bytes(mut bytes: &[u8], options: &ReadOptions) -> Result<(LinkArray, Header)> {
    links(&mut bytes, options)
}

/// Reads what a file in memory says of itself.
pub fn read_header_bytes(mut bytes: &[u8], options: &ReadOptions) -> Result<Header> {
    header(&mut bytes, options)
}

fn format(source: &mut dyn Source, options: &ReadOptions) -> Result<Format> {
    options.check()?;
    let found = Format::detect(source);
    options.format.filter(|_| source.length() > 0).map_or(found, Ok)
}

fn header(source: &mut dyn Source, options: &ReadOptions) -> Result<Header> {
    match format(source, options)? {
        Format::Nersc => nersc::header(source, options),
        Format::Ildg | Format::Scidac => ildg::header(source, options),
        Format::Milc => milc::header(source, options),
        Format::Bridge => bridge::header(source, options),
        Format::OpenQcd => openqcd::header(source, options),
        Format::Mdp => mdp::header(source, options),
        Format::Npy => npy::header(source, options),
        Format::Npz => npz::header(source, options),
    }
}

fn links(source: &mut dyn Source, options: &ReadOptions) -> Result<(LinkArray, Header)> {
    let (links, mut header) = match format(source, options)? {
        Format::Nersc => nersc::read(source, options),
        Format::Ildg | Format::Scidac => ildg::read(source, options),
        Format::Milc => milc::read(source, options),
        Format::Bridge => bridge::read(source, options),
        Format::OpenQcd => openqcd::read(source, options),
        Format::Mdp => mdp::read(source, options),
        Format::Npy => npy::read(source, options),
        Format::Npz => npz::read(source, options),
    }?;
    validate::check_read(&links, &mut header, options)?;
    Ok((links, header))
}
