//! numpy's `.npz`: a zip archive with the array `links` and one text array `metadata/NAME` for each metadata value.

use super::fault::fault;
use super::format::Format;
use super::header::{Checksum, Header};
use super::links::LinkArray;
use super::options::ReadOptions;
use super::options::WriteOptions;
use super::source::Source;
use super::zip::Member;
use super::{npy, zip};
use crate::error::Result;

const LINKS: &str = "links.npy";
const METADATA: &str = "metadata/";

pub(crate) fn header(source: &mut dyn Source, options: &ReadOptions) -> Result<Header> {
    let archive = source.bytes(0, source.length() as usize)?;
    let members = zip::members(&archive)?;
    let chosen = choose(&members)?;
    let mut header = npy::header_as(&mut &*zip::extract(&archive, chosen)?, Format::Npz, options)?;
    describe(&archive, &members, chosen, &mut header)?;
    Ok(header)
}

pub(crate) fn read(source: &mut dyn Source, options: &ReadOptions) -> Result<(LinkArray, Header)> {
    let archive = source.bytes(0, source.length() as usize)?;
    let members = zip::members(&archive)?;
    let chosen = choose(&members)?;
    let (links, mut header) = npy::read_as(&mut &*zip::extract(&archive, chosen)?, Format::Npz, options)?;
    describe(&archive, &members, chosen, &mut header)?;
    Ok((links, header))
}

/// The array called `links`, or the only one.
fn choose(members: &[Member]) -> Result<&Member> {
    let arrays: Vec<&Member> = members.iter().filter(|m| !m.name.starts_with(METADATA)).collect();
    let named = arrays.iter().find(|m| m.name == LINKS);
    let chosen = named.or(if arrays.len() == 1 { arrays.first() } else { None });
    chosen.copied().ok_or_else(|| {
        let names: Vec<&str> = arrays.iter().map(|m| m.name.as_str()).take(16).collect();
        let message = format!("none of the arrays {names:?} is called 'links'");
        fault("npz", "links", 0, message, "save with numpy.savez(path, links=array)")
    })
}

fn describe(archive: &[u8], members: &[Member], chosen: &Member, header: &mut Header) -> Result<()> {
    header.checksums.push(Checksum { name: "crc32".into(), value: chosen.crc });
    for member in members {
        let Some(name) = member.name.strip_prefix(METADATA) else { continue };
        let key = name.strip_suffix(".npy").unwrap_or(name).to_string();
        header.metadata.push((key, text(&zip::extract(archive, member)?)?));
    }
    Ok(())
}

/// A zero-dimensional array of little-endian UCS-4 text.
fn text(mut bytes: &[u8]) -> Result<String> {
    let array = npy::array(&mut bytes)?;
    if !array.descr.starts_with("<U") || !array.shape.is_empty() {
        let message = format!("type '{}' with shape {:?}; metadata are texts", array.descr, array.shape);
        return Err(fault("npz", "metadata", array.offset, message, "save numpy.array('text')"));
    }
    let words = bytes[array.offset as usize..].as_chunks::<4>().0;
    let text: String = words.iter().map(|&w| char::from_u32(u32::from_le_bytes(w)).unwrap_or('\u{fffd}')).collect();
    Ok(text.trim_end_matches('\0').to_string())
}

pub(crate) fn write(links: &LinkArray, options: &WriteOptions) -> Result<Vec<u8>> {
    let mut members = vec![(LINKS.to_string(), npy::write(links, options)?)];
    for (key, value) in &options.metadata {
        let data: Vec<u8> = value.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        let length = value.chars().count().max(1);
        let data = if data.is_empty() { vec![0; 4] } else { data };
        members.push((format!("{METADATA}{key}.npy"), npy::file(&format!("<U{length}"), &[], &data)));
    }
    zip::archive(&members)
}
