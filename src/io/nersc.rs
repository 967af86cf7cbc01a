//! NERSC archive format: a text header, then big- or little-endian links of which the last row may be left out.

use super::checksum;
use super::codec::Codec;
use super::fault::{COPY_AGAIN, fault};
use super::format::Format;
use super::header::{ByteOrder, Checksum, Header};
use super::links::{LinkArray, MAX_COLORS};
use super::options::ReadOptions;
use super::options::WriteOptions;
use super::payload::{Payload, agree, extent_text, overrule, shorten};
use super::source::Source;
use super::validate::check_sum;
use crate::error::{Error, Result};

const NAME: &str = "NERSC header";
const LONGEST_HEADER: u64 = 1 << 16;
const MOST_FIELDS: usize = 1024;

/// Fields that describe the links; everything else in a header is metadata.
const STRUCTURAL: [&str; 7] =
    ["DATATYPE", "HDR_VERSION", "STORAGE_FORMAT", "CHECKSUM", "LINK_TRACE", "PLAQUETTE", "FLOATING_POINT"];

struct Field {
    key: String,
    value: String,
    offset: u64,
}

struct Plan {
    payload: Payload,
    order_stated: bool,
}

pub(crate) fn header(source: &mut dyn Source, options: &ReadOptions) -> Result<Header> {
    Ok(plan(source, options)?.0)
}

pub(crate) fn read(source: &mut dyn Source, options: &ReadOptions) -> Result<(LinkArray, Header)> {
    let (mut header, mut plan) = plan(source, options)?;
    let at = plan.payload.offset;
    let bytes = source.bytes(at, plan.payload.size() as usize)?;
    if !plan.order_stated {
        find_byte_order(&mut plan.payload, &bytes, &mut header);
    }
    let sum = checksum::nersc(&bytes, plan.payload.codec.order);
    if header.checksums.is_empty() {
        header.warn(format!("CHECKSUM is 0 or missing in the header; the data sum to {sum:08x}"));
    }
    let recorded = header.checksums.clone();
    if !recorded.is_empty() {
        check_sum(&recorded, &[sum], at, &mut header, options)?;
    }
    Ok((plan.payload.decode(&bytes)?, header))
}

/// `IEEE32` and `IEEE64` should be big-endian, but files written on little-endian machines exist.
fn find_byte_order(payload: &mut Payload, bytes: &[u8], header: &mut Header) {
    let stated = payload.codec.order;
    let fits = |order| match header.checksums.first() {
        Some(recorded) => checksum::nersc(bytes, order) == recorded.value,
        None => payload.plausible_in(order, bytes),
    };
    if !fits(stated) && fits(stated.other()) {
        payload.codec.order = stated.other();
        header.byte_order = Some(stated.other());
        header.warn(format!(
            "FLOATING_POINT does not state the byte order; the data are {}-endian",
            stated.other().name()
        ));
    }
}

fn plan(source: &mut dyn Source, options: &ReadOptions) -> Result<(Header, Plan)> {
    let (fields, offset) = fields(source)?;
    let mut header = Header::new(Format::Nersc);
    let (dimension, n_file, square) = datatype(require(&fields, "DATATYPE")?)?;
    let shape = (1..=dimension).map(|i| dimension_field(&fields, i)).collect::<Result<Vec<_>>>()?;
    let (codec, order_stated) = floating_point(require(&fields, "FLOATING_POINT")?)?;
    let shape = agree("shape", Some(shape), options.shape.as_ref())?.unwrap_or_default();
    let available = source.length() - offset;
    let block = |n| {
        let mut payload = Payload::lexicographic("NERSC", &shape, n, codec, offset);
        // Only SU(3) has one established meaning without the suffix; for others the length of the file decides.
        if !square && n > 1 && (n == 3 || available < payload.size()) {
            payload.rows = n - 1;
        }
        payload
    };
    let fits = |n| (0..block(n).site_bytes() as u64).contains(&(available.wrapping_sub(block(n).size())));
    let n = overrule("DATATYPE", Some(n_file), options.n_colors, fits, &mut header)?.unwrap_or(n_file);
    let payload = block(n);
    payload.check_size(available, &mut header)?;
    header.shape = Some(shape);
    header.n_colors = Some(n);
    header.precision = Some(codec.precision);
    header.byte_order = Some(codec.order);
    header.rows = Some(payload.rows);
    recorded(&fields, &mut header)?;
    header.metadata = metadata(&fields);
    Ok((header, Plan { payload, order_stated }))
}

/// The fields of the text header and the offset of the data.
fn fields(source: &mut dyn Source) -> Result<(Vec<Field>, u64)> {
    let head = source.bytes(0, source.length().min(LONGEST_HEADER) as usize)?;
    if !head.starts_with(b"BEGIN_HEADER") {
        return Err(fault(NAME, "BEGIN_HEADER", 0, "the file does not begin with it", "this is not a NERSC file"));
    }
    let end = end_of_header(&head)?;
    let (mut found, mut offset) = (Vec::<Field>::new(), 0);
    for line in head[..end].split_inclusive(|&b| b == b'\n') {
        let at = offset as u64;
        offset += line.len();
        if let Some((key, value)) = String::from_utf8_lossy(line).split_once('=') {
            add(&mut found, Field { key: key.trim().into(), value: value.trim().into(), offset: at })?;
        }
    }
    Ok((found, end as u64))
}

/// The byte after the line END_HEADER.
fn end_of_header(head: &[u8]) -> Result<usize> {
    let mut end = 0;
    for line in head.split_inclusive(|&b| b == b'\n') {
        end += line.len();
        if line.trim_ascii() == b"END_HEADER" && line.ends_with(b"\n") {
            return Ok(end);
        }
    }
    let message = format!("no line END_HEADER in the first {} bytes", head.len());
    Err(fault(NAME, "END_HEADER", 0, message, COPY_AGAIN))
}

fn add(found: &mut Vec<Field>, field: Field) -> Result<()> {
    match found.iter().find(|other| other.key == field.key) {
        Some(other) if other.value == field.value => Ok(()),
        Some(other) => {
            let message = format!("it is there twice: '{}' and '{}'", shorten(&other.value), shorten(&field.value));
            Err(fault(NAME, shorten(&field.key), field.offset, message, "delete the wrong line"))
        }
        None if found.len() == MOST_FIELDS => {
            let message = format!("more than {MOST_FIELDS} fields");
            Err(fault(NAME, shorten(&field.key), field.offset, message, COPY_AGAIN))
        }
        None => {
            found.push(field);
            Ok(())
        }
    }
}

fn require<'a>(fields: &'a [Field], key: &str) -> Result<&'a Field> {
    fields
        .iter()
        .find(|f| f.key == key)
        .ok_or_else(|| fault(NAME, key, 0, "it is missing", "add the line to the header"))
}

fn dimension_field(fields: &[Field], i: usize) -> Result<usize> {
    let field = require(fields, &format!("DIMENSION_{i}"))?;
    extent_text(NAME, &field.key, field.offset, &field.value)
}

/// Dimension, colours and whether all rows are there, from e.g. `4D_SU3_GAUGE_3x3`.
fn datatype(field: &Field) -> Result<(usize, usize, bool)> {
    let parse = || {
        let (dimension, rest) = field.value.split_once("D_")?;
        let (group, suffix) = rest.split_once("_GAUGE")?;
        let dimension = dimension.parse().ok().filter(|d| (1..=4).contains(d))?;
        let n: usize = match group {
            "U1" => 1,
            _ => group.strip_prefix("SU")?.parse().ok().filter(|n| (2..=MAX_COLORS).contains(n))?,
        };
        let square = suffix.eq_ignore_ascii_case(&format!("_{n}x{n}"));
        (square || suffix.is_empty()).then_some((dimension, n, square || n == 1))
    };
    parse().ok_or_else(|| {
        let message = format!(
            "'{}' is not a gauge field; allowed are 4D_SU3_GAUGE, 4D_SU3_GAUGE_3x3 and the same for \
                               U1, SU2 to SU{MAX_COLORS} and 1D to 4D",
            shorten(&field.value)
        );
        fault(NAME, "DATATYPE", field.offset, message, "convert the file with the program that wrote it")
    })
}

fn floating_point(field: &Field) -> Result<(Codec, bool)> {
    let (precision, order, stated) = match field.value.as_str() {
        "IEEE32" => (32, ByteOrder::Big, false),
        "IEEE64" => (64, ByteOrder::Big, false),
        "IEEE32BIG" => (32, ByteOrder::Big, true),
        "IEEE64BIG" => (64, ByteOrder::Big, true),
        "IEEE32LITTLE" => (32, ByteOrder::Little, true),
        "IEEE64LITTLE" => (64, ByteOrder::Little, true),
        other => {
            let message =
                format!("'{}'; allowed are IEEE32, IEEE64, each with BIG or LITTLE or neither", shorten(other));
            return Err(fault(NAME, "FLOATING_POINT", field.offset, message, "correct the header"));
        }
    };
    Ok((Codec { precision, order }, stated))
}

fn recorded(fields: &[Field], header: &mut Header) -> Result<()> {
    if let Some(field) = fields.iter().find(|f| f.key == "CHECKSUM") {
        let digits = field.value.trim_start_matches("0x").trim_start_matches("0X");
        let value = u32::from_str_radix(digits, 16).map_err(|_| {
            let message = format!("'{}' is not a hexadecimal number of 32 bits", shorten(&field.value));
            fault(NAME, "CHECKSUM", field.offset, message, "write 0 if the checksum is not known")
        })?;
        if value != 0 {
            header.checksums.push(Checksum { name: "CHECKSUM".into(), value });
        }
    }
    header.plaquette = average(fields, "PLAQUETTE", header)?;
    header.link_trace = average(fields, "LINK_TRACE", header)?;
    Ok(())
}

/// A recorded average; 0 stands for "not computed" in the wild.
fn average(fields: &[Field], key: &str, header: &mut Header) -> Result<Option<f64>> {
    let Some(field) = fields.iter().find(|f| f.key == key) else { return Ok(None) };
    let value: f64 = field.value.parse().ok().filter(|x: &f64| x.is_finite()).ok_or_else(|| {
        let message = format!("'{}' is not a number", shorten(&field.value));
        fault(NAME, key, field.offset, message, "write 0 if it is not known")
    })?;
    if value == 0.0 {
        header.warn(format!("{key} is 0 in the header and was not compared"));
        return Ok(None);
    }
    Ok(Some(value))
}

fn is_structural(key: &str) -> bool {
    STRUCTURAL.contains(&key) || key.starts_with("DIMENSION_")
}

fn metadata(fields: &[Field]) -> Vec<(String, String)> {
    let periodic = |f: &Field| f.key.starts_with("BOUNDARY_") && f.value == "PERIODIC";
    let kept = fields.iter().filter(|f| !is_structural(&f.key) && !periodic(f));
    kept.map(|f| (f.key.clone(), f.value.clone())).collect()
}

pub(crate) fn write(links: &LinkArray, options: &WriteOptions) -> Result<Vec<u8>> {
    let n = links.n_colors;
    let codec = Codec { precision: options.precision, order: ByteOrder::Big };
    let mut payload = Payload::lexicographic("NERSC", &links.extents, n, codec, 0);
    payload.rows = options.rows.unwrap_or(n);
    let data = payload.encode(links)?;
    let mut lines = description(links, &payload, checksum::nersc(&data, codec.order))?;
    for (key, value) in &options.metadata {
        check_metadata(key, value)?;
        let line = format!("{key} = {value}");
        match lines.iter_mut().find(|l| l.split_once(" = ").is_some_and(|(other, _)| other == key)) {
            Some(old) => *old = line,
            None => lines.push(line),
        }
    }
    let mut file = format!("BEGIN_HEADER\n{}\nEND_HEADER\n", lines.join("\n")).into_bytes();
    if file.len() as u64 > LONGEST_HEADER {
        return Err(Error::value(format!("metadata too long: a NERSC header holds {LONGEST_HEADER} bytes; use ildg")));
    }
    file.extend(data);
    Ok(file)
}

fn description(links: &LinkArray, payload: &Payload, sum: u32) -> Result<Vec<String>> {
    let (d, n) = (links.extents.len(), links.n_colors);
    let group = if n == 1 { "U1".to_string() } else { format!("SU{n}") };
    let suffix = if payload.rows == n && n > 1 { format!("_{n}x{n}") } else { String::new() };
    let mut lines = vec!["HDR_VERSION = 1.0".to_string(), format!("DATATYPE = {d}D_{group}_GAUGE{suffix}")];
    lines.push("STORAGE_FORMAT = 1.0".into());
    lines.extend(links.extents.iter().enumerate().map(|(i, l)| format!("DIMENSION_{} = {l}", i + 1)));
    lines.push(format!("LINK_TRACE = {:.12}", links.link_trace()));
    lines.extend(links.plaquette()?.map(|p| format!("PLAQUETTE = {p:.12}")));
    let open = |i: usize| i == d && links.open_slice().is_some();
    lines.extend((1..=d).map(|i| format!("BOUNDARY_{i} = {}", if open(i) { "OPEN" } else { "PERIODIC" })));
    lines.push(format!("CHECKSUM = {sum:x}"));
    lines.push(format!("FLOATING_POINT = IEEE{}BIG", payload.codec.precision));
    Ok(lines)
}

fn check_metadata(key: &str, value: &str) -> Result<()> {
    if is_structural(key) {
        return Err(Error::value(format!("metadata {key}: the writer computes this field of a NERSC header itself")));
    }
    if key.contains('=') || value.contains('\n') || value.trim() != value {
        let text = "names without '=' and values on one line without outer blanks";
        return Err(Error::value(format!("metadata {key}: a NERSC header takes {text}; use ildg or npz")));
    }
    Ok(())
}
