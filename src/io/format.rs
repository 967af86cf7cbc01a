//! The known formats, how their files begin, and which file name extension stands for which when writing.

use super::fault::fault;
use super::source::Source;
use super::{bridge, openqcd};
use crate::error::{Error, Result};
use std::path::Path;

/// A file format of gauge links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// NERSC archive.
    Nersc,
    /// LIME with ILDG records.
    Ildg,
    /// LIME with SciDAC records only.
    Scidac,
    /// MILC version 5, or the older 28-byte header; read only.
    Milc,
    /// Bridge++ text; read only.
    Bridge,
    /// openQCD.
    OpenQcd,
    /// FermiQCD's MDP; read only.
    Mdp,
    /// numpy array.
    Npy,
    /// numpy archive.
    Npz,
}

const TABLE: [(Format, &str); 9] = [
    (Format::Nersc, "nersc"),
    (Format::Ildg, "ildg"),
    (Format::Scidac, "scidac"),
    (Format::Milc, "milc"),
    (Format::Bridge, "bridge"),
    (Format::OpenQcd, "openqcd"),
    (Format::Mdp, "mdp"),
    (Format::Npy, "npy"),
    (Format::Npz, "npz"),
];

const EXTENSIONS: [(&str, Format); 8] = [
    ("nersc", Format::Nersc),
    ("ildg", Format::Ildg),
    ("lime", Format::Ildg),
    ("scidac", Format::Scidac),
    ("qio", Format::Scidac),
    ("openqcd", Format::OpenQcd),
    ("npy", Format::Npy),
    ("npz", Format::Npz),
];

impl Format {
    /// Lower-case name of the format.
    pub fn name(self) -> &'static str {
        TABLE.iter().find(|(format, _)| *format == self).map_or("", |(_, name)| name)
    }

    /// The format called `name`.
    pub fn from_name(name: &str) -> Result<Self> {
        let found = TABLE.iter().find(|(_, known)| known.eq_ignore_ascii_case(name));
        found.map(|(format, _)| *format).ok_or_else(|| {
            Error::value(format!("format '{name}' is not known; known are {}", names(TABLE.iter().map(|t| t.1))))
        })
    }

    /// The format that the extension of `path` stands for.
    pub fn from_extension(path: &Path) -> Result<Self> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
        let found = EXTENSIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(extension));
        found.map(|(_, format)| *format).ok_or_else(|| {
            Error::value(format!(
                "'{}' does not say in which format to write; give format= or one of the extensions {}",
                path.display(),
                names(EXTENSIONS.iter().map(|t| t.0))
            ))
        })
    }

    /// The format of a file from its content.
    pub(crate) fn detect(source: &mut dyn Source) -> Result<Self> {
        let length = source.length().min(4096) as usize;
        let start = source.bytes(0, length)?;
        if start.is_empty() {
            return Err(fault("file", "content", 0, "the file is empty", "copy it again from its source"));
        }
        let by_magic = MAGIC.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, format)| *format);
        let by_shape = || openqcd::looks_like(&start).then_some(Self::OpenQcd);
        let by_text = || bridge::looks_like(&start).then_some(Self::Bridge);
        by_magic.or_else(by_shape).or_else(by_text).ok_or_else(|| unknown(&start))
    }
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

const FOREIGN: [(&[u8], &str); 4] = [
    (&[0x1f, 0x8b], "this is a gzip file: gunzip it first"),
    (b"BZh", "this is a bzip2 file: bunzip2 it first"),
    (&[0xfd, b'7', b'z', b'X', b'Z'], "this is an xz file: unxz it first"),
    (b"\x89HDF", "this is an HDF5 file: read it with h5py and use GaugeField.from_numpy"),
];

fn unknown(start: &[u8]) -> Error {
    let known = names(TABLE.iter().map(|t| t.1));
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

fn names<'a>(list: impl Iterator<Item = &'a str>) -> String {
    list.collect::<Vec<_>>().join(", ")
}
