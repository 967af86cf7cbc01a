//! openQCD and DDalphaAMG files have one header and one length: only the recorded plaquette tells their orders of links apart.

use super::header::Header;
use super::links::LinkArray;
use super::options::ReadOptions;
use super::source::Source;
use super::{ddalphaamg, openqcd, validate};
use crate::error::Result;

/// Larger files are not read for their header's sake.
const LARGEST_TRIAL: u64 = 1 << 28;

pub(crate) fn header(source: &mut dyn Source, options: &ReadOptions) -> Result<Header> {
    if source.length() <= LARGEST_TRIAL {
        return Ok(read(source, options)?.1);
    }
    let mut header = openqcd::header(source, options)?;
    header.warn("DDalphaAMG files have the same header; which one it is shows when the links are read");
    Ok(header)
}

/// openQCD's order unless only DDalphaAMG's has the recorded plaquette.
pub(crate) fn read(source: &mut dyn Source, options: &ReadOptions) -> Result<(LinkArray, Header)> {
    let first = openqcd::read(source, options);
    if let Ok((links, header)) = &first
        && validate::has_recorded_plaquette(links, header)?
    {
        return first;
    }
    match ddalphaamg::read(source, options) {
        Ok((links, header)) if validate::has_recorded_plaquette(&links, &header)? => Ok((links, header)),
        _ => first,
    }
}
