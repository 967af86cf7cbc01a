//! ILDG (Lattice Data Grid format 1.1) and SciDAC gauge fields written as LIME records with their SciDAC checksums.

use super::checksum;
use super::codec::Codec;
use super::header::ByteOrder;
use super::links::LinkArray;
use super::options::WriteOptions;
use super::payload::Payload;
use super::xml::document;
use super::{ildg, lime};
use crate::error::{Error, Result};
use std::time::{SystemTime, UNIX_EPOCH};

const NAMESPACE: &str = "xmlns=\"http://www.lqcd.org/ildg\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
                         xsi:schemaLocation=\"http://www.lqcd.org/ildg/filefmt.xsd\"";

/// A LIME file with or without the ILDG records.
pub(crate) fn write(links: &LinkArray, options: &WriteOptions, with_ildg: bool) -> Result<Vec<u8>> {
    if with_ildg && links.extents.len() != 4 {
        let text =
            format!("ILDG files are four-dimensional, these links have {:?}; write scidac or npz", links.extents);
        return Err(Error::value(text));
    }
    let codec = Codec { precision: options.precision, order: ByteOrder::Big };
    let payload = Payload::lexicographic("LIME", &links.extents, links.n_colors, codec, 0);
    let data = payload.encode(links)?;
    let sums = checksum::scidac(&data, payload.site_bytes())?.map(|sum| format!("{sum:x}"));
    let [suma, sumb] = sums;
    let checksum = document("scidacChecksum", &[("version", "1.0".into()), ("suma", suma), ("sumb", sumb)]);
    let (file, field, user) = (file_xml(links), record_xml(links, options), user_xml(options));
    let title = given(options, ildg::FILE_TEXT).unwrap_or("gauge configuration written by plaq");
    let format = with_ildg.then(|| format_xml(links, options.precision));

    let mut out = Vec::with_capacity(data.len() + 8192);
    lime::write_message(&mut out, &[(ildg::FILE_RECORD, file.as_bytes()), (ildg::FILE_TEXT, title.as_bytes())]);
    let mut records = vec![(ildg::FIELD_RECORD, field.as_bytes()), (ildg::USER_RECORD, user.as_bytes())];
    records.extend(format.as_ref().map(|text| (ildg::FORMAT_RECORD, text.as_bytes())));
    records.extend(given(options, ildg::NAME_TEXT).map(|name| (ildg::NAME_TEXT, name.as_bytes())));
    records.push((ildg::BINARY[usize::from(!with_ildg)], &data));
    records.push((ildg::CHECKSUM_RECORD, checksum.as_bytes()));
    lime::write_message(&mut out, &records);
    Ok(out)
}

fn given<'a>(options: &'a WriteOptions, key: &str) -> Option<&'a str> {
    options.metadata.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}

fn file_xml(links: &LinkArray) -> String {
    let dims: Vec<String> = links.extents.iter().map(usize::to_string).collect();
    let leaves = [
        ("version", "1.1".to_string()),
        ("spacetime", dims.len().to_string()),
        ("dims", dims.join(" ")),
        ("volfmt", "0".into()),
    ];
    document("scidacFile", &leaves)
}

fn record_xml(links: &LinkArray, options: &WriteOptions) -> String {
    let n = links.n_colors;
    let letter = if options.precision == 32 { "F" } else { "D" };
    let colors = if n == 2 || n == 3 { n.to_string() } else { "N".into() };
    let leaves = [
        ("version", "1.0".to_string()),
        ("date", given(options, "date").map_or_else(now, str::to_string)),
        ("globaldata", "0".into()),
        ("datatype", format!("QDP_{letter}{colors}_ColorMatrix")),
        ("precision", letter.into()),
        ("colors", n.to_string()),
        ("typesize", (n * n * options.precision as usize / 4).to_string()),
        ("datacount", links.extents.len().to_string()),
    ];
    document("scidacRecord", &leaves)
}

fn format_xml(links: &LinkArray, precision: u32) -> String {
    let group = if links.n_colors == 1 { "u1".to_string() } else { format!("su{}", links.n_colors) };
    let mut leaves =
        vec![("version", "1.0".to_string()), ("field", format!("{group}gauge")), ("precision", precision.to_string())];
    leaves.extend(["lx", "ly", "lz", "lt"].into_iter().zip(links.extents.iter().map(usize::to_string)));
    document(&format!("ildgFormat {NAMESPACE}"), &leaves)
}

/// Metadata that has no record of its own, as pairs of `<name>` and `<value>`.
fn user_xml(options: &WriteOptions) -> String {
    let own = [ildg::FILE_TEXT, ildg::NAME_TEXT, "date"];
    let kept = options.metadata.iter().filter(|(key, _)| !own.contains(&key.as_str()));
    let leaves: Vec<(&str, String)> =
        kept.flat_map(|(key, value)| [("name", key.clone()), ("value", value.clone())]).collect();
    document("plaq", &leaves)
}

/// The time in UTC, in the words that QIO uses.
fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    utc(seconds)
}

/// Gregorian date of a Unix time: days are counted in 400-year eras of 146097 days that begin on 1 March.
fn utc(seconds: u64) -> String {
    let days = seconds / 86400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12;
    let year = 400 * era + year + u64::from(month < 2);
    let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    format!(
        "{} {} {day_of_month:2} {:02}:{:02}:{:02} {year} UTC",
        weekdays[(seconds / 86400 % 7) as usize],
        names[month as usize],
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn dates() {
        assert_eq!(utc(0), "Thu Jan  1 00:00:00 1970 UTC");
        assert_eq!(utc(951_782_400), "Tue Feb 29 00:00:00 2000 UTC");
        assert_eq!(utc(1_133_729_346), "Sun Dec  4 20:49:06 2005 UTC");
    }
}
