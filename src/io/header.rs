//! What a file says of itself.

use super::format::Format;

/// Order of the bytes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    /// Most significant byte first.
    Big,
    /// Least significant byte first.
    Little,
}

impl ByteOrder {
    /// `"big"` or `"little"`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Big => "big",
            Self::Little => "little",
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Big => Self::Little,
            Self::Little => Self::Big,
        }
    }
}

/// A checksum that a file records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    /// Name in the file: `CHECKSUM`, `sum29`, `sum31`, `suma`, `sumb`, `crc32`.
    pub name: String,
    /// The recorded value.
    pub value: u32,
}

/// One record of a LIME file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimeRecord {
    /// Type of the record, e.g. `ildg-binary-data`.
    pub kind: String,
    /// Byte offset of the record's data.
    pub offset: u64,
    /// Bytes of data.
    pub size: u64,
}

/// What a file says of itself; nothing of it has been checked against the links unless the links were read too.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Format found from the content.
    pub format: Format,
    /// Extents in this package's order (time last); `None` if the file does not say and none was given.
    pub shape: Option<Vec<usize>>,
    /// N of SU(N), 1 for U(1).
    pub n_colors: Option<usize>,
    /// 32 or 64 bits a real.
    pub precision: Option<u32>,
    /// Rows stored of each matrix.
    pub rows: Option<usize>,
    /// Byte order of the data; `None` for text.
    pub byte_order: Option<ByteOrder>,
    /// Checksums the file records.
    pub checksums: Vec<Checksum>,
    /// Mean Re tr(plaquette)/N the file records, whatever its own normalisation.
    pub plaquette: Option<f64>,
    /// Mean Re tr(link)/N the file records.
    pub link_trace: Option<f64>,
    /// `"periodic"` or, with zero temporal links on one slice, `"open"`; known once the links are read.
    pub boundary: Option<&'static str>,
    /// Everything else the file says, in its order.
    pub metadata: Vec<(String, String)>,
    /// Records of a LIME file.
    pub records: Vec<LimeRecord>,
    /// What is odd about the file although it can be read.
    pub warnings: Vec<String>,
}

impl Header {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            shape: None,
            n_colors: None,
            precision: None,
            rows: None,
            byte_order: None,
            checksums: Vec::new(),
            plaquette: None,
            link_trace: None,
            boundary: None,
            metadata: Vec::new(),
            records: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(crate) fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }
}
