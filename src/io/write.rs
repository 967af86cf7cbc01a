//! Writing: strict about what goes in, and a file appears complete or not at all.

use super::atomic::write_atomically;
use super::format::Format;
use super::links::LinkArray;
use super::options::WriteOptions;
use super::{ildg_write, nersc, npy, npz, openqcd, validate};
use crate::error::{Error, Result};
use std::path::Path;

/// Writes `links` to `path`.
pub fn write(path: impl AsRef<Path>, links: &LinkArray, options: &WriteOptions) -> Result<()> {
    let path = path.as_ref();
    let format = options.format.map_or_else(|| Format::from_extension(path), Ok)?;
    write_atomically(path, &to_bytes(links, format, options)?)
}

/// The bytes of the file that [`write()`] writes.
pub fn to_bytes(links: &LinkArray, format: Format, options: &WriteOptions) -> Result<Vec<u8>> {
    if ![32, 64].contains(&options.precision) {
        return Err(Error::value(format!("precision {}: allowed are 32 and 64", options.precision)));
    }
    validate::check_write(links, options.precision, options.allow_nonunitary)?;
    check_rows(links.n_colors, format, options)?;
    check_metadata(format, options)?;
    match format {
        Format::Nersc => nersc::write(links, options),
        Format::Ildg => ildg_write::write(links, options, true),
        Format::Scidac => ildg_write::write(links, options, false),
        Format::OpenQcd => openqcd::write(links, options),
        Format::Npy => npy::write(links, options),
        Format::Npz => npz::write(links, options),
        Format::Milc | Format::Bridge | Format::Mdp | Format::HiRep | Format::DdAlphaAmg => Err(Error::value(format!(
            "{} files are only read; write nersc, ildg, scidac, openqcd, npy or npz",
            format.name()
        ))),
    }
}

fn check_rows(n: usize, format: Format, options: &WriteOptions) -> Result<()> {
    let Some(rows) = options.rows.filter(|&rows| rows != n) else { return Ok(()) };
    if format != Format::Nersc {
        return Err(Error::value(format!("rows = {rows}: {} files hold all {n} rows; leave rows out", format.name())));
    }
    if n == 1 || rows != n - 1 {
        return Err(Error::value(format!(
            "rows = {rows}: a NERSC file of {n} colours holds {n} rows or, for N > 1, N - 1"
        )));
    }
    if options.allow_nonunitary {
        return Err(Error::value(format!("rows = {rows} cannot hold links outside the group; write all {n} rows")));
    }
    Ok(())
}

fn check_metadata(format: Format, options: &WriteOptions) -> Result<()> {
    if matches!(format, Format::Npy | Format::OpenQcd) && !options.metadata.is_empty() {
        return Err(Error::value(format!("{} files hold no metadata; write npz, ildg or nersc", format.name())));
    }
    for (index, (key, value)) in options.metadata.iter().enumerate() {
        if key.trim().is_empty() || key.trim() != key || key.len() > 128 || key.contains(char::is_control) {
            return Err(Error::value(format!("metadata name {key:?}: give 1 to 128 bytes without control characters")));
        }
        if options.metadata[..index].iter().any(|(other, _)| other == key) {
            return Err(Error::value(format!("metadata name {key:?} is given twice")));
        }
        if value.contains(|c: char| c.is_control() && c != '\n' && c != '\t') {
            return Err(Error::value(format!("metadata {key}: control characters cannot be written")));
        }
    }
    Ok(())
}
