//! ILDG (Lattice Data Grid format 1.1) and SciDAC gauge fields in LIME records, read with their SciDAC checksums.

use super::checksum;
use super::codec::Codec;
use super::fault::fault;
use super::format::Format;
use super::header::{ByteOrder, Checksum, Header, LimeRecord};
use super::links::{LinkArray, MAX_COLORS};
use super::options::ReadOptions;
use super::payload::{Payload, agree, extent_text, overrule, shorten};
use super::source::Source;
use super::validate::check_sum;
use super::{lime, xml};
use crate::error::{Error, Result};

pub(crate) const BINARY: [&str; 2] = ["ildg-binary-data", "scidac-binary-data"];
pub(crate) const FORMAT_RECORD: &str = "ildg-format";
pub(crate) const FILE_RECORD: &str = "scidac-private-file-xml";
pub(crate) const FIELD_RECORD: &str = "scidac-private-record-xml";
pub(crate) const USER_RECORD: &str = "scidac-record-xml";
pub(crate) const CHECKSUM_RECORD: &str = "scidac-checksum";
/// Texts that are written back as records of their own.
pub(crate) const FILE_TEXT: &str = "scidac-file-xml";
pub(crate) const NAME_TEXT: &str = "ildg-data-lfn";
/// Records that may be there only once if the file holds one field.
const SINGLE: [&str; 6] = [BINARY[0], BINARY[1], FORMAT_RECORD, FILE_RECORD, FIELD_RECORD, CHECKSUM_RECORD];
const LARGEST_TEXT: u64 = 1 << 20;

/// Leaf elements of one XML record.
struct Leaves {
    record: &'static str,
    offset: u64,
    list: Vec<(String, String)>,
}

impl Leaves {
    fn get(&self, name: &str) -> Option<&str> {
        self.list.iter().find(|(key, _)| key == name).map(|(_, text)| text.trim())
    }

    fn refuse(&self, name: &str, text: &str, allowed: &str) -> Error {
        let message = format!("<{name}> is '{}'; allowed: {allowed}", shorten(text));
        fault(
            "LIME",
            format!("{} {name}", self.record),
            self.offset,
            message,
            "the record is damaged: correct or remove it",
        )
    }

    fn require(&self, name: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| {
            let field = format!("{} {name}", self.record);
            fault("LIME", field, self.offset, "the element is missing", "remove the record and give shape and group")
        })
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>> {
        let parse = |text: &str| text.parse().map_err(|_| self.refuse(name, text, "a whole number"));
        self.get(name).map(parse).transpose()
    }
}

/// What the records say about the links.
#[derive(Default)]
struct Said {
    shape: Option<Vec<usize>>,
    n_colors: Option<usize>,
    precision: Option<u32>,
    precision_field: &'static str,
}

pub(crate) fn header(source: &mut dyn Source, options: &ReadOptions) -> Result<Header> {
    Ok(plan(source, options)?.0)
}

pub(crate) fn read(source: &mut dyn Source, options: &ReadOptions) -> Result<(LinkArray, Header)> {
    let (mut header, payload, record) = plan(source, options)?;
    let payload = payload.ok_or_else(|| {
        let message = "no record states shape and group";
        fault("LIME", FORMAT_RECORD, record.offset, message, "give shape (time last) and, if you like, group")
    })?;
    let bytes = source.bytes(payload.offset, payload.size() as usize)?;
    let recorded = header.checksums.clone();
    if recorded.is_empty() {
        header.warn("the file records no checksum");
    } else {
        let found = checksum::scidac(&bytes, payload.site_bytes())?;
        check_sum(&recorded, &found, payload.offset, &mut header, options)?;
    }
    Ok((payload.decode(&bytes)?, header))
}

fn plan(source: &mut dyn Source, options: &ReadOptions) -> Result<(Header, Option<Payload>, LimeRecord)> {
    let mut header = Header::new(Format::Scidac);
    header.records = lime::records(source, &mut header.warnings)?;
    check_single(&header.records)?;
    let record = BINARY.iter().find_map(|kind| find(&header.records, kind)).ok_or_else(|| {
        let kinds: Vec<&str> = header.records.iter().map(|r| r.kind.as_str()).take(16).collect();
        let message = format!("neither {} nor {} among the records {kinds:?}", BINARY[0], BINARY[1]);
        fault("LIME", BINARY[0], 0, message, "this LIME file holds no gauge field")
    })?;
    if record.kind == BINARY[0] {
        header.format = Format::Ildg;
    }
    let said = said(source, &mut header, options)?;
    header.checksums = checksums(source, &mut header, options)?;
    header.metadata.extend(metadata(source, &mut header.warnings, &header.records)?);
    header.byte_order = Some(ByteOrder::Big);
    header.shape = agree("shape", said.shape.clone(), options.shape.as_ref())?;
    header.n_colors = options.n_colors.or(said.n_colors);
    header.precision = said.precision;
    let Some(shape) = header.shape.clone() else {
        agree("n_colors", said.n_colors, options.n_colors.as_ref())?;
        return Ok((header, None, record));
    };
    let fits = |n: usize| sizes(&shape, n, &record).iter().any(|p| p.size() == record.size);
    overrule("ildg-format", said.n_colors, options.n_colors, fits, &mut header)?;
    let payload = payload(&shape, &said, &record, &mut header)?;
    Ok((header, Some(payload), record))
}

fn find(records: &[LimeRecord], kind: &str) -> Option<LimeRecord> {
    records.iter().find(|r| r.kind == kind).cloned()
}

fn check_single(records: &[LimeRecord]) -> Result<()> {
    for kind in SINGLE {
        if let Some(second) = records.iter().filter(|r| r.kind == kind).nth(1) {
            let remedy = "plaq reads files with one field: split the file (lime_extract_record)";
            return Err(fault("LIME", kind, second.offset, "the record is there twice", remedy));
        }
    }
    Ok(())
}

/// The leaves of a record; XML that cannot be parsed is only a warning if the caller gave what it could say.
fn load(
    source: &mut dyn Source,
    header: &mut Header,
    kind: &'static str,
    options: &ReadOptions,
) -> Result<Option<Leaves>> {
    let Some(record) = find(&header.records, kind) else { return Ok(None) };
    let bytes = source.bytes(record.offset, record.size.min(LARGEST_TEXT) as usize)?;
    match xml::leaves(kind, record.offset, &bytes) {
        Ok(list) => Ok(Some(Leaves { record: kind, offset: record.offset, list })),
        Err(Error::Format(error)) if options.shape.is_some() && options.n_colors.is_some() => {
            header.warn(format!("record {kind} was not used: {}; shape and group are those given", error.message));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn said(source: &mut dyn Source, header: &mut Header, options: &ReadOptions) -> Result<Said> {
    let mut said = Said { precision_field: "precision", ..Said::default() };
    if let Some(leaves) = load(source, header, FORMAT_RECORD, options)? {
        from_ildg(&leaves, &mut said)?;
    }
    if let Some(leaves) = load(source, header, FILE_RECORD, options)? {
        from_file(&leaves, &mut said)?;
    }
    if let Some(leaves) = load(source, header, FIELD_RECORD, options)? {
        from_record(&leaves, &mut said, header, options)?;
    }
    Ok(said)
}

fn from_ildg(leaves: &Leaves, said: &mut Said) -> Result<()> {
    let axes = ["lx", "ly", "lz", "lt"];
    let extent =
        |name: &&str| extent_text("ILDG", &format!("ildg-format {name}"), leaves.offset, leaves.require(name)?);
    said.shape = Some(axes.iter().map(extent).collect::<Result<_>>()?);
    let field = leaves.require("field")?;
    let group = field.strip_suffix("gauge").unwrap_or("");
    let n = if group == "u1" { Some(1) } else { group.strip_prefix("su").and_then(|n| n.parse().ok()) };
    let n = n.filter(|n| (1..=MAX_COLORS).contains(n));
    said.n_colors = Some(n.ok_or_else(|| leaves.refuse("field", field, "su3gauge, su2gauge, .., su8gauge, u1gauge"))?);
    let precision = leaves.require("precision")?;
    let allowed = precision.parse().ok().filter(|p| [32, 64].contains(p));
    said.precision = Some(allowed.ok_or_else(|| leaves.refuse("precision", precision, "32, 64"))?);
    said.precision_field = "ildg-format precision";
    Ok(())
}

/// Keeps the first statement, refuses a second that differs.
fn same<T: PartialEq + std::fmt::Debug>(kept: &mut Option<T>, leaves: &Leaves, name: &str, value: T) -> Result<()> {
    match kept {
        Some(first) if *first != value => {
            Err(leaves.refuse(name, &format!("{value:?}"), &format!("{first:?}, as before")))
        }
        _ => {
            *kept = Some(value);
            Ok(())
        }
    }
}

fn from_file(leaves: &Leaves, said: &mut Said) -> Result<()> {
    if leaves.number::<i64>("volfmt")?.is_some_and(|v| v != 0) {
        return Err(leaves.refuse("volfmt", leaves.get("volfmt").unwrap_or(""), "0 (one file)"));
    }
    let Some(dims) = leaves.get("dims") else { return Ok(()) };
    let field = format!("{} dims", leaves.record);
    let one = |text| extent_text("SciDAC", &field, leaves.offset, text);
    let shape = dims.split_ascii_whitespace().take(5).map(one).collect::<Result<Vec<_>>>()?;
    let spacetime = leaves.number::<usize>("spacetime")?.unwrap_or(shape.len());
    if spacetime != shape.len() || !(1..=4).contains(&spacetime) {
        return Err(leaves.refuse("dims", dims, &format!("{spacetime} extents, at most 4")));
    }
    same(&mut said.shape, leaves, "dims", shape)
}

fn from_record(leaves: &Leaves, said: &mut Said, header: &mut Header, options: &ReadOptions) -> Result<()> {
    if let Some(date) = leaves.get("date") {
        header.metadata.push(("date".into(), date.to_string()));
    }
    if let Some(n) = leaves.number("colors")? {
        same(&mut said.n_colors, leaves, "colors", n)?;
    }
    let precision = match leaves.get("precision") {
        None => None,
        Some("F") => Some(32),
        Some("D") => Some(64),
        Some(other) => return Err(leaves.refuse("precision", other, "F, D")),
    };
    match (said.precision, precision) {
        // The size of the data decides between the two; ildg-format is checked against it.
        (Some(a), Some(b)) if a != b => header.warn(format!("{} says {b} bit, ildg-format {a}", leaves.record)),
        (None, Some(b)) => (said.precision, said.precision_field) = (Some(b), "scidac-private-record-xml precision"),
        _ => {}
    }
    let (count, size) = (leaves.number::<usize>("datacount")?, leaves.number::<usize>("typesize")?);
    if let Some(allowed) = said.shape.as_ref().map(Vec::len).filter(|&d| count.is_some_and(|count| count != d)) {
        return Err(leaves.refuse("datacount", &number(count), &format!("{allowed}, one link a direction")));
    }
    let allowed = options.n_colors.or(said.n_colors).filter(|&n| n <= MAX_COLORS).map(|n| [8 * n * n, 16 * n * n]);
    if let Some(allowed) = allowed.filter(|allowed| size.is_some_and(|size| !allowed.contains(&size))) {
        return Err(leaves.refuse("typesize", &number(size), &format!("{} or {}", allowed[0], allowed[1])));
    }
    Ok(())
}

fn number(value: Option<usize>) -> String {
    value.map_or(String::new(), |v| v.to_string())
}

/// The blocks of `n` colours, in 32 and 64 bit.
fn sizes(shape: &[usize], n: usize, record: &LimeRecord) -> [Payload; 2] {
    let codec = |precision| Codec { precision, order: ByteOrder::Big };
    [32, 64].map(|precision| Payload::lexicographic("LIME", shape, n, codec(precision), record.offset))
}

fn payload(shape: &[usize], said: &Said, record: &LimeRecord, header: &mut Header) -> Result<Payload> {
    let all = (1..=MAX_COLORS).filter(|n| header.n_colors.is_none_or(|given| given == *n));
    // n^2 times 4 or 8 bytes never coincide, so the size tells colours and precision.
    let found = all.flat_map(|n| sizes(shape, n, record)).find(|p| p.size() == record.size);
    let Some(found) = found else {
        let groups = header.n_colors.map_or(format!("1 to {MAX_COLORS}"), |n| n.to_string());
        let message =
            format!("{} bytes do not hold a lattice {shape:?} with {groups} colours in 32 or 64 bit", record.size);
        let remedy = "extents, group or the length of the record are wrong";
        return Err(fault("LIME", &record.kind, record.offset, message, remedy));
    };
    if let Some(stated) = said.precision.filter(|&stated| stated != found.codec.precision) {
        let message =
            format!("{stated} bit, but the {} bytes of the data are {} bit", record.size, found.codec.precision);
        return Err(fault("LIME", said.precision_field, record.offset, message, "correct the precision in the record"));
    }
    header.n_colors = Some(found.n_colors);
    header.precision = Some(found.codec.precision);
    header.rows = Some(found.n_colors);
    Ok(found)
}

fn checksums(source: &mut dyn Source, header: &mut Header, options: &ReadOptions) -> Result<Vec<Checksum>> {
    let Some(leaves) = load(source, header, CHECKSUM_RECORD, options)? else { return Ok(Vec::new()) };
    let one = |name: &str| -> Result<Checksum> {
        let text = leaves.require(name)?;
        let value = u32::from_str_radix(text.trim_start_matches("0x"), 16);
        let value = value.map_err(|_| leaves.refuse(name, text, "a hexadecimal number of 32 bits"))?;
        Ok(Checksum { name: name.into(), value })
    };
    Ok(vec![one("suma")?, one("sumb")?])
}

fn metadata(
    source: &mut dyn Source,
    warnings: &mut Vec<String>,
    records: &[LimeRecord],
) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for record in records.iter().filter(|r| !SINGLE.contains(&r.kind.as_str())) {
        if record.size > LARGEST_TEXT {
            warnings.push(format!("record {} of {} bytes is not shown", record.kind, record.size));
            continue;
        }
        let bytes = source.bytes(record.offset, record.size as usize)?;
        let text = String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_string();
        if record.kind == USER_RECORD && text.contains("<plaq>") {
            found.extend(own_metadata(xml::leaves(USER_RECORD, record.offset, &bytes)?));
        } else if !text.is_empty() {
            found.push((record.kind.clone(), text));
        }
    }
    Ok(found)
}

/// Pairs of `<name>` and `<value>` as the writer leaves them.
fn own_metadata(leaves: Vec<(String, String)>) -> Vec<(String, String)> {
    leaves.chunks_exact(2).map(|pair| (pair[0].1.clone(), pair[1].1.clone())).collect()
}
