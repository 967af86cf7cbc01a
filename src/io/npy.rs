//! numpy's `.npy` (versions 1 to 3) with one array `[mu, x_0, .., x_{D-1}, a, b]` of complex64 or complex128 in C order.

use super::codec::Codec;
use super::fault::{COPY_AGAIN, fault};
use super::format::Format;
use super::header::{ByteOrder, Header};
use super::links::{LinkArray, MAX_COLORS};
use super::options::ReadOptions;
use super::options::WriteOptions;
use super::payload::{agree, extent, shorten};
use super::source::Source;
use crate::error::Result;

const NAME: &str = "npy header";
const MAGIC: &[u8] = b"\x93NUMPY";
const LONGEST_HEADER: usize = 1 << 16;

/// A `.npy` header: type, shape and where the data begin.
pub(crate) struct Array {
    pub descr: String,
    pub shape: Vec<i64>,
    pub fortran: bool,
    pub offset: u64,
}

pub(crate) fn header(source: &mut dyn Source, options: &ReadOptions) -> Result<Header> {
    header_as(source, Format::Npy, options)
}

/// What an array of links that is a file of its own or a member of an archive says of itself.
pub(crate) fn header_as(source: &mut dyn Source, format: Format, options: &ReadOptions) -> Result<Header> {
    let array = array(source)?;
    Ok(plan(&array, source.length(), format, options)?.0)
}

pub(crate) fn read(source: &mut dyn Source, options: &ReadOptions) -> Result<(LinkArray, Header)> {
    read_as(source, Format::Npy, options)
}

/// The same with the links.
pub(crate) fn read_as(source: &mut dyn Source, format: Format, options: &ReadOptions) -> Result<(LinkArray, Header)> {
    let array = array(source)?;
    let (header, codec) = plan(&array, source.length(), format, options)?;
    let mut links = LinkArray::zeros(header.shape.as_deref().unwrap_or_default(), header.n_colors.unwrap_or(1))?;
    let size = links.data.len() * 2 * codec.width();
    codec.read(&source.bytes(array.offset, size)?, &mut links.data);
    Ok((links, header))
}

/// The header of the array at the beginning of `source`.
pub(crate) fn array(source: &mut dyn Source) -> Result<Array> {
    let start = source.bytes(0, source.length().min(12) as usize)?.into_owned();
    let (length, begin) = match start[..] {
        [_, _, _, _, _, _, 1, _, a, b, ..] => (u32::from(u16::from_le_bytes([a, b])), 10),
        [_, _, _, _, _, _, 2 | 3, _, a, b, c, d] => (u32::from_le_bytes([a, b, c, d]), 12),
        _ => return Err(fault(NAME, "version", 6, "allowed are versions 1, 2 and 3", COPY_AGAIN)),
    };
    if !start.starts_with(MAGIC) {
        return Err(fault(NAME, "magic", 0, "the file does not begin with \\x93NUMPY", "this is not a .npy file"));
    }
    if length as usize > LONGEST_HEADER {
        let message = format!("{length} bytes, allowed are {LONGEST_HEADER}");
        return Err(fault(NAME, "HEADER_LEN", 8, message, COPY_AGAIN));
    }
    let text = source.bytes(begin, length as usize)?;
    let text = String::from_utf8_lossy(&text);
    let missing = |key: &str| fault(NAME, key, begin, format!("not found in '{}'", shorten(&text)), COPY_AGAIN);
    let value = |key: &str| value(&text, key).ok_or_else(|| missing(key));
    let descr = value("descr")?.trim_matches(['\'', '"']).to_string();
    let fortran = value("fortran_order")? == "True";
    let shape = value("shape")?.trim_matches(['(', ')']).split(',').map(str::trim).filter(|s| !s.is_empty());
    let shape = shape.take(8).map(|s| s.parse().map_err(|_| missing("shape"))).collect::<Result<_>>()?;
    Ok(Array { descr, shape, fortran, offset: begin + u64::from(length) })
}

/// The value of `key` in the Python dictionary that a header is.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("'{key}':"))?;
    let rest = rest.trim_start();
    let end = if rest.starts_with('(') { rest.find(')')? + 1 } else { rest.find([',', '}'])? };
    Some(rest[..end].trim())
}

fn plan(array: &Array, length: u64, format: Format, options: &ReadOptions) -> Result<(Header, Codec)> {
    let refuse = |field: &str, message: String, remedy: &str| fault(NAME, field, 0, message, remedy);
    let codec = complex(&array.descr).ok_or_else(|| {
        let message = format!("'{}'; allowed are complex64 and complex128", shorten(&array.descr));
        refuse("descr", message, "save array.astype(numpy.complex128)")
    })?;
    if array.fortran {
        let message = "the array is in Fortran order".to_string();
        return Err(refuse("fortran_order", message, "save numpy.ascontiguousarray(array)"));
    }
    let (shape, n) = lattice(&array.shape)?;
    let wanted = array.shape.iter().fold(2 * codec.width() as u64, |v, &l| v.saturating_mul(l.unsigned_abs()));
    if wanted != length - array.offset {
        let message = format!("shape {:?} needs {wanted} bytes, {} are there", array.shape, length - array.offset);
        return Err(fault(NAME, "data", array.offset, message, COPY_AGAIN));
    }
    let mut header = Header::new(format);
    header.shape = agree("shape", Some(shape), options.shape.as_ref())?;
    header.n_colors = agree("n_colors", Some(n), options.n_colors.as_ref())?;
    header.precision = Some(codec.precision);
    header.byte_order = Some(codec.order);
    header.rows = Some(n);
    Ok((header, codec))
}

fn complex(descr: &str) -> Option<Codec> {
    let (order, kind) = descr.split_at_checked(1)?;
    let order = match order {
        "<" => ByteOrder::Little,
        ">" => ByteOrder::Big,
        _ => return None,
    };
    let precision = match kind {
        "c8" => 32,
        "c16" => 64,
        _ => return None,
    };
    Some(Codec { precision, order })
}

/// Extents and colours of an array `[D, L_0, .., L_{D-1}, N, N]`.
fn lattice(shape: &[i64]) -> Result<(Vec<usize>, usize)> {
    let refuse = || {
        let message = format!("{shape:?} is not [D, L_0, .., L_(D-1), N, N] with D = 1..4 and N = 1..{MAX_COLORS}");
        fault(NAME, "shape", 0, message, "arrange the axes as [mu, x_0, .., a, b], time last")
    };
    let [d, extents @ .., a, b] = shape else { return Err(refuse()) };
    let n = usize::try_from(*a).ok().filter(|n| (1..=MAX_COLORS).contains(n) && a == b).ok_or_else(refuse)?;
    if *d != extents.len() as i64 || !(1..=4).contains(d) {
        return Err(refuse());
    }
    let shape = extents.iter().map(|&l| extent(NAME, "shape", 0, l)).collect::<Result<_>>()?;
    Ok((shape, n))
}

/// Bytes of an array with this type, shape and data; the data begin at a multiple of 64.
pub(crate) fn file(descr: &str, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let sizes: String = shape.iter().map(|l| format!("{l}, ")).collect();
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}", sizes.trim_end());
    while (10 + text.len() + 1) % 64 != 0 {
        text.push(' ');
    }
    text.push('\n');
    let mut out = Vec::with_capacity(10 + text.len() + data.len());
    out.extend(MAGIC);
    out.extend([1, 0]);
    out.extend((text.len() as u16).to_le_bytes());
    out.extend(text.as_bytes());
    out.extend(data);
    out
}

pub(crate) fn write(links: &LinkArray, options: &WriteOptions) -> Result<Vec<u8>> {
    let codec = Codec { precision: options.precision, order: ByteOrder::Little };
    let mut data = Vec::with_capacity(links.data.len() * 2 * codec.width());
    codec.write(&links.data, &mut data);
    let mut shape = vec![links.extents.len()];
    shape.extend(&links.extents);
    shape.extend([links.n_colors; 2]);
    Ok(file(if options.precision == 32 { "<c8" } else { "<c16" }, &shape, &data))
}
