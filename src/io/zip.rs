//! As much of zip (PKWARE APPNOTE 6.3) as `.npz` needs: stored and deflated members, zip64 sizes, CRC-32.

use super::fault::{COPY_AGAIN, fault};
use crate::error::{Error, Result};
use miniz_oxide::inflate::decompress_to_vec_with_limit;
use std::borrow::Cow;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;
const MOST_MEMBERS: u64 = 1024;
/// A compressed archive may grow to this multiple of its size.
const LARGEST_GROWTH: u64 = 4;
const LARGEST_SMALL: u64 = 1 << 16;
const SAVE_AGAIN: &str = "save it again with numpy.savez";
const STORED: u64 = 0;
const DEFLATED: u64 = 8;

/// One file of an archive.
pub(crate) struct Member {
    pub name: String,
    pub crc: u32,
    method: u64,
    compressed: u64,
    size: u64,
    offset: u64,
}

/// Little-endian numbers at offsets that may lie outside.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn slice(&self, at: u64, count: u64) -> Result<&'a [u8]> {
        let end = at.checked_add(count).filter(|&end| end <= self.0.len() as u64);
        let range = end.map(|end| at as usize..end as usize);
        range.and_then(|r| self.0.get(r)).ok_or_else(|| {
            let message = format!("{count} bytes are needed, the archive has {}", self.0.len());
            fault("npz", "zip record", at, message, COPY_AGAIN)
        })
    }

    fn number(&self, at: u64, width: u64) -> Result<u64> {
        Ok(self.slice(at, width)?.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)))
    }

    fn expect(&self, at: u64, signature: u32, what: &str) -> Result<()> {
        if self.number(at, 4)? == u64::from(signature) {
            return Ok(());
        }
        Err(fault("npz", what, at, "its signature is not there", COPY_AGAIN))
    }
}

/// The members that the central directory lists.
pub(crate) fn members(archive: &[u8]) -> Result<Vec<Member>> {
    let bytes = Bytes(archive);
    let (count, mut at) = directory(&bytes)?;
    if count > MOST_MEMBERS {
        return Err(fault("npz", "members", at, format!("{count} members, allowed are {MOST_MEMBERS}"), SAVE_AGAIN));
    }
    let mut found = Vec::new();
    for _ in 0..count {
        let (member, length) = member(&bytes, at)?;
        found.push(member);
        at += length;
    }
    let total = found.iter().fold(0u64, |sum, m| sum.saturating_add(m.size));
    let limit = (LARGEST_GROWTH * archive.len() as u64).max(LARGEST_SMALL);
    if total > limit {
        let message = format!("{total} bytes would come out of the archive, allowed are {limit}");
        return Err(fault("npz", "size", at, message, SAVE_AGAIN));
    }
    Ok(found)
}

/// Number of members and offset of the central directory.
fn directory(bytes: &Bytes<'_>) -> Result<(u64, u64)> {
    let start = bytes.0.len().saturating_sub(22 + 0xffff);
    let mark = END.to_le_bytes();
    let end = bytes.0[start..].windows(4).rposition(|w| w == mark).map(|i| (start + i) as u64);
    let end = end.ok_or_else(|| fault("npz", "end of central directory", 0, "it is missing", COPY_AGAIN))?;
    let (count, offset) = (bytes.number(end + 10, 2)?, bytes.number(end + 16, 4)?);
    if count != 0xffff && offset != 0xffff_ffff {
        return Ok((count, offset));
    }
    let locator = end.checked_sub(20).ok_or_else(|| fault("npz", "zip64 locator", end, "it is missing", COPY_AGAIN))?;
    bytes.expect(locator, LOCATOR_64, "zip64 locator")?;
    let end_64 = bytes.number(locator + 8, 8)?;
    bytes.expect(end_64, END_64, "zip64 end of central directory")?;
    Ok((bytes.number(end_64 + 32, 8)?, bytes.number(end_64 + 48, 8)?))
}

/// The member whose directory entry is at `at`, and the length of the entry.
fn member(bytes: &Bytes<'_>, at: u64) -> Result<(Member, u64)> {
    bytes.expect(at, CENTRAL, "central directory")?;
    let lengths = [28, 30, 32].map(|i| bytes.number(at + i, 2));
    let [name, extra, comment] = lengths;
    let (name, extra, comment) = (name?, extra?, comment?);
    let text = String::from_utf8_lossy(bytes.slice(at + 46, name)?).into_owned();
    let mut member = Member {
        name: text,
        crc: bytes.number(at + 16, 4)? as u32,
        method: bytes.number(at + 10, 2)?,
        compressed: bytes.number(at + 20, 4)?,
        size: bytes.number(at + 24, 4)?,
        offset: bytes.number(at + 42, 4)?,
    };
    zip64(&Bytes(bytes.slice(at + 46 + name, extra)?), &mut member)?;
    Ok((member, 46 + name + extra + comment))
}

/// Replaces sizes that did not fit 32 bits by those of the zip64 extra field.
fn zip64(extra: &Bytes<'_>, member: &mut Member) -> Result<()> {
    let mut at = 0;
    while at + 4 <= extra.0.len() as u64 {
        let (kind, length) = (extra.number(at, 2)?, extra.number(at + 2, 2)?);
        if kind == 1 {
            let mut next = at + 4;
            for size in [&mut member.size, &mut member.compressed, &mut member.offset] {
                if *size == 0xffff_ffff {
                    *size = extra.number(next, 8)?;
                    next += 8;
                }
            }
        }
        at += 4 + length;
    }
    Ok(())
}

/// The content of a member, verified by its CRC-32.
pub(crate) fn extract<'a>(archive: &'a [u8], member: &Member) -> Result<Cow<'a, [u8]>> {
    let bytes = Bytes(archive);
    let refuse = |field: &str, message: String, remedy: &str| {
        fault("npz", format!("{} {field}", member.name), member.offset, message, remedy)
    };
    bytes.expect(member.offset, LOCAL, "local header")?;
    let skip = 30 + bytes.number(member.offset + 26, 2)? + bytes.number(member.offset + 28, 2)?;
    let raw = bytes.slice(member.offset + skip, member.compressed)?;
    let data = match member.method {
        STORED => Cow::Borrowed(raw),
        DEFLATED => Cow::Owned(
            decompress_to_vec_with_limit(raw, member.size as usize)
                .map_err(|e| refuse("deflate", format!("{:?}", e.status), COPY_AGAIN))?,
        ),
        other => return Err(refuse("method", format!("compression {other} is not deflate"), SAVE_AGAIN)),
    };
    let sum = crc32fast::hash(&data);
    if data.len() as u64 != member.size || sum != member.crc {
        let message = format!("the archive records {:08x}, the data sum to {sum:08x}", member.crc);
        return Err(refuse("crc32", message, COPY_AGAIN));
    }
    Ok(data)
}

/// An archive of stored members.
pub(crate) fn archive(members: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let total: usize = members.iter().map(|(name, data)| data.len() + 2 * name.len() + 256).sum();
    if total as u64 >= u64::from(u32::MAX) || members.len() as u64 > MOST_MEMBERS {
        return Err(Error::value("a .npz file of 4 GiB or more than 1024 values is not written; write .npy or ildg"));
    }
    let (mut out, mut directory) = (Vec::with_capacity(total), Vec::new());
    for (name, data) in members {
        let offset = out.len() as u32;
        let common = entry(name, data);
        out.extend(LOCAL.to_le_bytes());
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(data);
        directory.extend(CENTRAL.to_le_bytes());
        directory.extend(20u16.to_le_bytes());
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (start, count) = (out.len() as u32, members.len() as u16);
    out.extend(&directory);
    out.extend(END.to_le_bytes());
    out.extend([0; 4]);
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0; 2]);
    Ok(out)
}

/// The fields that local header and directory share: version, UTF-8 flag, method, date 1980-01-01, CRC, sizes, lengths.
fn entry(name: &str, data: &[u8]) -> Vec<u8> {
    let (size, mut out) = (data.len() as u32, Vec::with_capacity(26));
    for word in [20u16, 0x0800, 0, 0, 0x0021] {
        out.extend(word.to_le_bytes());
    }
    for word in [crc32fast::hash(data), size, size] {
        out.extend(word.to_le_bytes());
    }
    out.extend((name.len() as u16).to_le_bytes());
    out.extend([0, 0]);
    out
}
