//! The format of a file from how it begins; names and extensions are never looked at.

use super::fault::fault;
use super::format::Format;
use super::source::Source;
use super::{bridge, hirep, openqcd};
use crate::error::{Error, Result};

/// The format of a file from its content.
pub(crate) fn format(source: &mut dyn Source) -> Result<Format> {
    let length = source.length().min(4096) as usize;
    let start = source.bytes(0, length)?;
    if start.is_empty() {
        return Err(fault("file", "content", 0, "the file is empty", "copy it again from its source"));
    }
    let by_magic = MAGIC.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, format)| *format);
    // openQCD's header is also that of DDalphaAMG: `twins` tells them apart.
    let by_shape = || openqcd::looks_like(&start).then_some(Format::OpenQcd);
    let by_group = || hirep::looks_like(&start).then_some(Format::HiRep);
    let by_text = || bridge::looks_like(&start).then_some(Format::Bridge);
    by_magic.or_else(by_shape).or_else(by_group).or_else(by_text).ok_or_else(|| unknown(&start))
}

const MAGIC: [(&[u8], Format); 11] = [
    (b"BEGIN_HEADER", Format::Nersc),
    (&[0x45, 0x67, 0x89, 0xab], Format::Ildg),
    (&[0x87, 0x4e, 0, 0], Format::Milc),
    (&[0, 0, 0x4e, 0x87], Format::Milc),
    (&[0xda, 0xe7, 0, 0], Format::Milc),
    (&[0, 0, 0xe7, 0xda], Format::Milc),
    (b"\x93NUMPY", Format::Npy),
    (b"PK\x03\x04", Format::Npz),
    (b"PK\x05\x06", Format::Npz),
    (b"File Type: MDP FIELD", Format::Mdp),
    (b"File Type: MDP", Format::Mdp),
];

const FOREIGN: [(&[u8], &str); 5] = [
    (&[0x1f, 0x8b], "this is a gzip file: gunzip it first"),
    (b"version https://git-lfs", "this is a Git LFS pointer, not the data: run git lfs pull where it came from"),
    (b"BZh", "this is a bzip2 file: bunzip2 it first"),
    (&[0xfd, b'7', b'z', b'X', b'Z'], "this is an xz file: unxz it first"),
    (b"\x89HDF", "this is an HDF5 file: read it with h5py and use GaugeField.from_numpy"),
];

fn unknown(start: &[u8]) -> Error {
    let known = Format::all_names();
    let foreign = FOREIGN.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, hint)| (*hint).to_string());
    let shown = &start[..start.len().min(8)];
    let message = format!("the first bytes {shown:02x?} belong to none of the known formats ({known})");
    fault(
        "file",
        "magic",
        0,
        message,
        foreign.unwrap_or_else(|| "give format= if you know it, or convert the file".into()),
    )
}
