//! DDalphaAMG configurations: openQCD's header, all links of a site together, axes and directions (t, z, y, x), x fastest.

use super::codec::Codec;
use super::format::Format;
use super::header::{ByteOrder, Header};
use super::links::LinkArray;
use super::openqcd;
use super::options::ReadOptions;
use super::payload::{Payload, agree};
use super::source::Source;
use crate::error::Result;

const COLORS: usize = 3;
/// Our directions in the order of the file.
const DIRECTIONS: [usize; 4] = [3, 2, 1, 0];

pub(crate) fn header(source: &mut dyn Source, options: &ReadOptions) -> Result<Header> {
    Ok(plan(source, options)?.0)
}

pub(crate) fn read(source: &mut dyn Source, options: &ReadOptions) -> Result<(LinkArray, Header)> {
    let (header, payload) = plan(source, options)?;
    let bytes = source.bytes(payload.offset, payload.size() as usize)?;
    Ok((payload.decode(&bytes)?, header))
}

fn plan(source: &mut dyn Source, options: &ReadOptions) -> Result<(Header, Payload)> {
    let ([t, z, y, x], plaquette) = openqcd::head(source)?;
    let mut header = Header::new(Format::DdAlphaAmg);
    let shape = agree("shape", Some(vec![x, y, z, t]), options.shape.as_ref())?.unwrap_or_default();
    agree("n_colors", Some(COLORS), options.n_colors.as_ref())?;
    let codec = Codec { precision: 64, order: ByteOrder::Little };
    let mut payload = Payload::lexicographic("DDalphaAMG", &shape, COLORS, codec, openqcd::HEADER as u64);
    payload.directions = DIRECTIONS.to_vec();
    payload.check_size(source.length() - payload.offset, &mut header)?;
    header.shape = Some(shape);
    header.n_colors = Some(COLORS);
    header.precision = Some(64);
    header.rows = Some(COLORS);
    header.byte_order = Some(ByteOrder::Little);
    header.plaquette = Some(plaquette);
    Ok((header, payload))
}
