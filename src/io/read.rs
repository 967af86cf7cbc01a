//! Reading: find the format from the content, convert, check everything the file records.

use super::format::Format;
use super::header::Header;
use super::links::LinkArray;
use super::options::ReadOptions;
use super::source::{FileSource, Source};
use super::{bridge, ddalphaamg, detect, hirep, ildg, mdp, milc, nersc, npy, npz, openqcd, twins, validate};
use crate::error::Result;
use std::path::Path;

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
    let found = detect::format(source);
    options.format.filter(|_| source.length() > 0).map_or(found, Ok)
}

fn header(source: &mut dyn Source, options: &ReadOptions) -> Result<Header> {
    match format(source, options)? {
        Format::Nersc => nersc::header(source, options),
        Format::Ildg | Format::Scidac => ildg::header(source, options),
        Format::Milc => milc::header(source, options),
        Format::Bridge => bridge::header(source, options),
        Format::OpenQcd if options.format.is_none() => twins::header(source, options),
        Format::OpenQcd => openqcd::header(source, options),
        Format::DdAlphaAmg => ddalphaamg::header(source, options),
        Format::HiRep => hirep::header(source, options),
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
        Format::OpenQcd if options.format.is_none() => twins::read(source, options),
        Format::OpenQcd => openqcd::read(source, options),
        Format::DdAlphaAmg => ddalphaamg::read(source, options),
        Format::HiRep => hirep::read(source, options),
        Format::Mdp => mdp::read(source, options),
        Format::Npy => npy::read(source, options),
        Format::Npz => npz::read(source, options),
    }?;
    validate::check_read(&links, &mut header, options)?;
    Ok((links, header))
}
