//! LIME: a chain of records, each with a 144-byte big-endian header (magic, version, flags, length, type).

use super::fault::{COPY_AGAIN, fault};
use super::header::LimeRecord;
use super::payload::shorten;
use super::source::Source;
use crate::error::Result;

const MAGIC: [u8; 4] = [0x45, 0x67, 0x89, 0xab];
const HEADER: u64 = 144;
const MOST_RECORDS: usize = 1024;
const BEGIN: u16 = 0x8000;
const END: u16 = 0x4000;

/// All records of the file; `warnings` receives what is odd but harmless.
pub(crate) fn records(source: &mut dyn Source, warnings: &mut Vec<String>) -> Result<Vec<LimeRecord>> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < source.length() {
        let left = source.length() - at;
        if left < HEADER {
            let message = format!("{left} bytes are left, a record header has {HEADER}");
            if found.is_empty() || source.bytes(at, left as usize)?.iter().any(|&b| b != 0) {
                return Err(fault("LIME", "record header", at, message, COPY_AGAIN));
            }
            warnings.push(format!("{left} trailing zero bytes after the last record are ignored"));
            return Ok(found);
        }
        let record = record(source, at)?;
        at = record.offset + record.size.next_multiple_of(8);
        found.push(record);
        if found.len() > MOST_RECORDS {
            return Err(fault("LIME", "record header", at, format!("more than {MOST_RECORDS} records"), COPY_AGAIN));
        }
    }
    Ok(found)
}

fn record(source: &mut dyn Source, at: u64) -> Result<LimeRecord> {
    let left = source.length() - at - HEADER;
    let head = source.bytes(at, HEADER as usize)?;
    let number = |range: std::ops::Range<usize>| head[range].iter().fold(0u64, |n, &b| n << 8 | u64::from(b));
    let (version, size) = (number(4..6), number(8..16));
    if head[..4] != MAGIC {
        let message = format!("{:02x?} instead of the LIME magic 45 67 89 ab", &head[..4]);
        return Err(fault(
            "LIME",
            "magic",
            at,
            message,
            "the file is damaged before this record, or bytes were appended",
        ));
    }
    if version != 1 {
        return Err(fault("LIME", "version", at + 4, format!("{version}; allowed is 1"), COPY_AGAIN));
    }
    let name = head[16..].split(|&b| b == 0).next().unwrap_or(&[]);
    let kind = String::from_utf8_lossy(name).into_owned();
    if size > left {
        let message = format!("record '{}' announces {size} bytes, {left} are left in the file", shorten(&kind));
        return Err(fault("LIME", "length", at + 8, message, COPY_AGAIN));
    }
    Ok(LimeRecord { kind, offset: at + HEADER, size })
}

/// Appends a message (a group of records).
pub(crate) fn write_message(out: &mut Vec<u8>, records: &[(&str, &[u8])]) {
    for (i, (kind, data)) in records.iter().enumerate() {
        let flags = if i == 0 { BEGIN } else { 0 } | if i + 1 == records.len() { END } else { 0 };
        out.extend(MAGIC);
        out.extend(1u16.to_be_bytes());
        out.extend(flags.to_be_bytes());
        out.extend((data.len() as u64).to_be_bytes());
        let start = out.len();
        out.extend(kind.as_bytes());
        out.resize(start + 128, 0);
        out.extend(*data);
        out.resize(out.len().next_multiple_of(8), 0);
    }
}
