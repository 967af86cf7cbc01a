//! MILC binary gauge files in either byte order: version 5 (96-byte header, two checksums) and the older 28-byte header.

use super::checksum;
use super::codec::{Codec, words};
use super::fault::{COPY_AGAIN, fault};
use super::format::Format;
use super::header::{ByteOrder, Checksum, Header};
use super::links::LinkArray;
use super::options::ReadOptions;
use super::payload::{Payload, agree, extent};
use super::source::Source;
use super::validate::check_sum;
use crate::error::Result;

const NAME: &str = "MILC header";
const VERSION_5: u32 = 20103;
const VERSION_1: u32 = 59354;
const HEADER_5: usize = 96;
const HEADER_1: usize = 28;

pub(crate) fn header(source: &mut dyn Source, options: &ReadOptions) -> Result<Header> {
    Ok(plan(source, options)?.0)
}

pub(crate) fn read(source: &mut dyn Source, options: &ReadOptions) -> Result<(LinkArray, Header)> {
    let (mut header, payload) = plan(source, options)?;
    let bytes = source.bytes(payload.offset, payload.size() as usize)?;
    let recorded = header.checksums.clone();
    let found = checksum::milc(&bytes, payload.codec.order)?;
    if !recorded.is_empty() {
        check_sum(&recorded, &found, payload.offset, &mut header, options)?;
    } else if payload.offset == HEADER_5 as u64 {
        let [sum29, sum31] = found;
        header.warn(format!("both checksums are 0 in the header; the data sum to {sum29:08x} {sum31:08x}"));
    }
    Ok((payload.decode(&bytes)?, header))
}

fn plan(source: &mut dyn Source, options: &ReadOptions) -> Result<(Header, Payload)> {
    let (version, order) = version(source)?;
    let length = if version == VERSION_5 { HEADER_5 } else { HEADER_1 };
    if source.length() < length as u64 {
        let message = format!("{length} bytes are needed, the file has {}", source.length());
        return Err(fault(NAME, "header", 0, message, COPY_AGAIN));
    }
    let head = source.bytes(0, length)?.into_owned();
    let numbers: Vec<u32> = words(&head, order).collect();
    let axes = ["nx", "ny", "nz", "nt"].iter().zip(&numbers[1..5]).zip(1u64..);
    let shape =
        axes.map(|((name, &l), i)| extent(NAME, name, 4 * i, i64::from(l as i32))).collect::<Result<Vec<_>>>()?;
    let mut header = Header::new(Format::Milc);
    if version == VERSION_5 {
        version_5(&head, &numbers, &mut header)?;
    } else {
        header.warn("the old MILC header records no checksum");
        header.metadata = [5, 6].map(|i| (format!("c{}", i - 4), f32::from_bits(numbers[i]).to_string())).into();
    }
    let shape = agree("shape", Some(shape), options.shape.as_ref())?.unwrap_or_default();
    let n = agree("n_colors", Some(3), options.n_colors.as_ref())?.unwrap_or_default();
    let payload = Payload::lexicographic("MILC", &shape, n, Codec { precision: 32, order }, length as u64);
    payload.check_size(source.length() - length as u64, &mut header)?;
    header.shape = Some(shape);
    header.n_colors = Some(n);
    header.precision = Some(32);
    header.rows = Some(n);
    header.byte_order = Some(order);
    Ok((header, payload))
}

fn version(source: &mut dyn Source) -> Result<(u32, ByteOrder)> {
    let magic = source.bytes(0, 4)?;
    for order in [ByteOrder::Big, ByteOrder::Little] {
        if let Some(version) = words(&magic, order).find(|v| [VERSION_5, VERSION_1].contains(v)) {
            return Ok((version, order));
        }
    }
    let message = format!("{magic:02x?} is neither version 5 (20103) nor the old version (59354) in either byte order");
    Err(fault(NAME, "magic", 0, message, "this is not a MILC gauge file that plaq reads"))
}

fn version_5(head: &[u8], numbers: &[u32], header: &mut Header) -> Result<()> {
    let stamp = String::from_utf8_lossy(&head[20..84]);
    header.metadata.push(("date".into(), stamp.trim_end_matches('\0').trim().to_string()));
    if numbers[21] != 0 {
        let message = format!("{} announces a list of site coordinates; allowed is 0, the natural order", numbers[21]);
        return Err(fault(NAME, "order", 84, message, "save the field with save_serial in MILC"));
    }
    let sums = [("sum29", numbers[22]), ("sum31", numbers[23])];
    if numbers[22..24] == [0, 0] {
        return Ok(());
    }
    header.checksums.extend(sums.map(|(name, value)| Checksum { name: name.into(), value }));
    Ok(())
}
