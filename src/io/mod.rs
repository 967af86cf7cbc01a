//! Gauge fields in files: formats found by content, checked against everything they record, converted to `[mu, x_0, .., a, b]`.

mod atomic;
mod bridge;
mod checksum;
mod codec;
mod ddalphaamg;
mod detect;
mod fault;
mod format;
mod header;
mod hirep;
mod ildg;
mod ildg_write;
mod lime;
mod links;
mod mdp;
mod milc;
mod nersc;
mod npy;
mod npz;
mod openqcd;
mod options;
mod payload;
mod read;
mod source;
mod twins;
mod validate;
mod write;
mod xml;
mod zip;

pub use format::Format;
pub use header::{ByteOrder, Checksum, Header, LimeRecord};
pub use links::{LinkArray, MAX_COLORS, Violation};
pub use options::{ReadOptions, WriteOptions};
pub use read::{read, read_bytes, read_header, read_header_bytes};
pub use validate::{LINK_TOLERANCE_F32, LINK_TOLERANCE_F64, PLAQUETTE_TOLERANCE_NERSC, PLAQUETTE_TOLERANCE_OPENQCD};
pub use write::{to_bytes, write};
