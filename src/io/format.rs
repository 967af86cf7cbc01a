//! The known formats, and which file name extension stands for which when writing.

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
    /// DDalphaAMG; read only.
    DdAlphaAmg,
    /// HiRep; read only.
    HiRep,
    /// FermiQCD's MDP; read only.
    Mdp,
    /// numpy array.
    Npy,
    /// numpy archive.
    Npz,
}

const TABLE: [(Format, &str); 11] = [
    (Format::Nersc, "nersc"),
    (Format::Ildg, "ildg"),
    (Format::Scidac, "scidac"),
    (Format::Milc, "milc"),
    (Format::Bridge, "bridge"),
    (Format::OpenQcd, "openqcd"),
    (Format::DdAlphaAmg, "ddalphaamg"),
    (Format::HiRep, "hirep"),
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
    /// Names of all formats.
    pub(crate) fn all_names() -> String {
        names(TABLE.iter().map(|t| t.1))
    }

    /// Lower-case name of the format.
    pub fn name(self) -> &'static str {
        TABLE.iter().find(|(format, _)| *format == self).map_or("", |(_, name)| name)
    }

    /// The format called `name`.
    pub fn from_name(name: &str) -> Result<Self> {
        let found = TABLE.iter().find(|(_, known)| known.eq_ignore_ascii_case(name));
        found
            .map(|(format, _)| *format)
            .ok_or_else(|| Error::value(format!("format '{name}' is not known; known are {}", Self::all_names())))
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
}

fn names<'a>(list: impl Iterator<Item = &'a str>) -> String {
    list.collect::<Vec<_>>().join(", ")
}
