//! FermiQCD's MDP fields of gauge links: axes and directions (t, x, y, z), the last axis fastest.

use super::codec::{Codec, words};
use super::fault::{COPY_AGAIN, fault};
use super::format::Format;
use super::header::{ByteOrder, Header};
use super::links::{LinkArray, MAX_COLORS};
use super::options::ReadOptions;
use super::payload::{Payload, agree, extent};
use super::source::Source;
use crate::error::Result;

const NAME: &str = "MDP header";
/// What FermiQCD writes, and what its Python tools write (1325884739).
const ENDIAN_MARKS: [u32; 2] = [0x8765_4321, 0x4f07_6543];
/// Three texts of 60 bytes, then 32-bit words: mark, dimension, ten extents, bytes per site, sites.
const TEXTS: usize = 180;
const HEADER: usize = TEXTS + 4 * 14;

pub(crate) fn header(source: &mut dyn Source, options: &ReadOptions) -> Result<Header> {
    Ok(plan(source, options)?.0)
}

pub(crate) fn read(source: &mut dyn Source, options: &ReadOptions) -> Result<(LinkArray, Header)> {
    let (header, payload) = plan(source, options)?;
    let bytes = source.bytes(payload.offset, payload.size() as usize)?;
    Ok((payload.decode(&bytes)?, header))
}

fn plan(source: &mut dyn Source, options: &ReadOptions) -> Result<(Header, Payload)> {
    if source.length() < HEADER as u64 {
        let message = format!("{HEADER} bytes are needed, the file has {}", source.length());
        return Err(fault(NAME, "header", 0, message, COPY_AGAIN));
    }
    let head = source.bytes(0, HEADER)?.into_owned();
    let order = byte_order(&head)?;
    let numbers: Vec<u32> = words(&head[TEXTS..], order).collect();
    if numbers[1] != 4 {
        let message = format!("{} dimensions; allowed is 4 (t, x, y, z)", numbers[1]);
        return Err(fault(NAME, "ndim", 184, message, "convert the field with FermiQCD"));
    }
    let box_size = ["box[0]", "box[1]", "box[2]", "box[3]"].iter().zip(&numbers[2..6]).zip(0u64..);
    let [t, x, y, z] = box_size
        .map(|((name, &l), i)| extent(NAME, name, 188 + 4 * i, i64::from(l as i32)))
        .collect::<Result<Vec<_>>>()?[..]
    else {
        return Err(fault(NAME, "box", 188, "four extents are needed", COPY_AGAIN));
    };
    let mut header = Header::new(Format::Mdp);
    let shape = agree("shape", Some(vec![x, y, z, t]), options.shape.as_ref())?.unwrap_or_default();
    let (n, precision) = group(numbers[12], options)?;
    let mut payload = Payload::lexicographic("MDP", &shape, n, Codec { precision, order }, HEADER as u64);
    payload.axes = vec![2, 1, 0, 3];
    payload.directions = vec![3, 0, 1, 2];
    payload.check_size(source.length() - HEADER as u64, &mut header)?;
    header.shape = Some(shape);
    header.n_colors = Some(n);
    header.precision = Some(precision);
    header.rows = Some(n);
    header.byte_order = Some(order);
    let text =
        |i: usize| String::from_utf8_lossy(&head[60 * i..60 * (i + 1)]).trim_end_matches('\0').trim().to_string();
    header.metadata = vec![("program".into(), text(1)), ("date".into(), text(2))];
    header.warn("MDP files record no checksum");
    Ok((header, payload))
}

fn byte_order(head: &[u8]) -> Result<ByteOrder> {
    let mark = &head[TEXTS..TEXTS + 4];
    let fits = |order: &ByteOrder| words(mark, *order).all(|word| ENDIAN_MARKS.contains(&word));
    [ByteOrder::Little, ByteOrder::Big].into_iter().find(fits).ok_or_else(|| {
        let message = format!("{mark:02x?} is neither mark (87654321, 4f076543) in either byte order");
        fault(NAME, "endianess", TEXTS as u64, message, COPY_AGAIN)
    })
}

/// Colours and precision from the bytes of a site: 4 directions, N^2 complex numbers of 8 or 16 bytes (never ambiguous).
fn group(site_bytes: u32, options: &ReadOptions) -> Result<(usize, u32)> {
    let candidates = (1..=MAX_COLORS).flat_map(|n| [(n, 32), (n, 64)]);
    let fits = |&(n, precision): &(usize, u32)| (n * n) as u32 * precision == site_bytes;
    let found = candidates.into_iter().find(fits).ok_or_else(|| {
        let message = format!("{site_bytes} bytes a site are not those of 4 links with 1 to {MAX_COLORS} colours");
        fault(NAME, "bytes_per_site", 228, message, "this is not a gauge field")
    })?;
    agree("n_colors", Some(found.0), options.n_colors.as_ref())?;
    Ok(found)
}
