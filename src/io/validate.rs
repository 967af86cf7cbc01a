//! Checks of links against the group and against what their file records, with stated tolerances.

use super::fault::{COPY_AGAIN, fault};
use super::format::Format;
use super::header::{Checksum, Header};
use super::links::LinkArray;
use super::options::ReadOptions;
use crate::error::{Error, Result};

/// Largest violation of unitarity accepted in 32-bit files.
pub const LINK_TOLERANCE_F32: f64 = 1e-4;

/// Largest violation of unitarity accepted in 64-bit files; many of them were converted from 32-bit ones.
pub const LINK_TOLERANCE_F64: f64 = 1e-5;

/// Largest difference from the `PLAQUETTE` and `LINK_TRACE` of a NERSC header, which old codes print with six digits.
pub const PLAQUETTE_TOLERANCE_NERSC: f64 = 1e-5;

/// Largest difference from the plaquette (divided by 3) that openQCD stores as a double.
pub const PLAQUETTE_TOLERANCE_OPENQCD: f64 = 1e-10;

/// Beyond this a 64-bit file gets a warning: its links were not made in double precision.
const DOUBLE_PRECISION: f64 = 1e-10;

/// Everything that can be checked once the links are there.
pub(crate) fn check_read(links: &LinkArray, header: &mut Header, options: &ReadOptions) -> Result<()> {
    let format = header.format.name();
    if let Some((mu, site)) = links.first_not_finite() {
        let message = format!("link U_{mu}{site:?} has an element that is infinite or not a number");
        let remedy = "the file is damaged, or precision or byte order are not what its header says";
        return Err(fault(format, "links", 0, message, remedy));
    }
    if let Some(extent) = links.extents.iter().find(|&&l| l < options.smallest_extent) {
        let message = format!(
            "extent {extent} in {:?}; fields have extents of at least {}",
            links.extents, options.smallest_extent
        );
        return Err(fault(format, "shape", 0, message, "a lattice of one site in a direction is not supported"));
    }
    header.boundary = Some(if links.open_slice().is_some() { "open" } else { "periodic" });
    check_group(links, header, options)?;
    check_recorded(links, header, options)
}

fn check_group(links: &LinkArray, header: &mut Header, options: &ReadOptions) -> Result<()> {
    let worst = links.unitarity_violation()?;
    let tolerance = if header.precision == Some(32) { LINK_TOLERANCE_F32 } else { LINK_TOLERANCE_F64 };
    let text = format!(
        "link U_{}{:?} violates unitarity or det U = 1 by {:.1e}, allowed is {tolerance:.0e}",
        worst.direction, worst.site, worst.size
    );
    if worst.size <= tolerance {
        if tolerance == LINK_TOLERANCE_F64 && worst.size > DOUBLE_PRECISION {
            header.warn(format!("links are in the group only to {:.1e}: reunitarize() makes them exact", worst.size));
        }
        return Ok(());
    }
    if options.allow_nonunitary {
        header.warn(text);
        return Ok(());
    }
    let remedy = "shape, group, precision or byte order are wrong or the file is damaged; only fields whose boundary links \
                  are not in the group (Schroedinger functional) are read with allow_nonunitary";
    Err(fault(header.format.name(), "links", 0, text, remedy))
}

fn check_recorded(links: &LinkArray, header: &mut Header, options: &ReadOptions) -> Result<()> {
    let tolerance = plaquette_tolerance(header.format);
    if let (Some(recorded), Some(found)) = (header.plaquette, nearest_plaquette(links, header)?) {
        compare("PLAQUETTE", recorded, found, tolerance, header, options)?;
    }
    if let Some(recorded) = header.link_trace {
        compare("LINK_TRACE", recorded, links.link_trace(), tolerance, header, options)?;
    }
    Ok(())
}

fn plaquette_tolerance(format: Format) -> f64 {
    match format {
        Format::OpenQcd | Format::DdAlphaAmg | Format::HiRep => PLAQUETTE_TOLERANCE_OPENQCD,
        _ => PLAQUETTE_TOLERANCE_NERSC,
    }
}

/// Whether the links have the plaquette that their file records.
pub(crate) fn has_recorded_plaquette(links: &LinkArray, header: &Header) -> Result<bool> {
    let difference =
        |found: f64| header.plaquette.is_none_or(|p| (p - found).abs() <= plaquette_tolerance(header.format));
    Ok(nearest_plaquette(links, header)?.is_some_and(difference))
}

/// The mean plaquette; with open boundaries, which codes normalise in three ways, the nearest to the recorded one.
fn nearest_plaquette(links: &LinkArray, header: &Header) -> Result<Option<f64>> {
    let (mean, recorded) = (links.plaquette()?, header.plaquette.unwrap_or_default());
    let others = links.open_plaquettes().into_iter().flatten();
    Ok(mean.into_iter().chain(others).min_by(|a, b| (a - recorded).abs().total_cmp(&(b - recorded).abs())))
}

fn compare(
    name: &str,
    recorded: f64,
    found: f64,
    tolerance: f64,
    header: &mut Header,
    options: &ReadOptions,
) -> Result<()> {
    if (recorded - found).abs() <= tolerance {
        return Ok(());
    }
    let text = format!("the file records {recorded}, its links give {found:.12}, allowed is {tolerance:.0e}");
    if options.allow_nonunitary || options.ignore_checksum {
        header.warn(format!("{name}: {text}"));
        return Ok(());
    }
    let remedy = match header.format {
        Format::OpenQcd | Format::DdAlphaAmg => {
            "neither openQCD's nor DDalphaAMG's order of links gives it: the file is damaged or of another program"
        }
        _ => "the file is damaged, of another program, or its header belongs to another field",
    };
    Err(fault(header.format.name(), name, 0, text, remedy))
}

/// Compares one recorded checksum with that of the data.
pub(crate) fn check_sum(
    recorded: &[Checksum],
    found: &[u32],
    at: u64,
    header: &mut Header,
    options: &ReadOptions,
) -> Result<()> {
    if recorded.iter().map(|c| c.value).eq(found.iter().copied()) {
        return Ok(());
    }
    let hex = |values: Vec<u32>| values.iter().map(|v| format!("{v:08x}")).collect::<Vec<_>>().join(" ");
    let text = format!(
        "the file records {}, its data sum to {}",
        hex(recorded.iter().map(|c| c.value).collect()),
        hex(found.to_vec())
    );
    let name = recorded.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join("/");
    if options.ignore_checksum {
        header.warn(format!("{name}: {text}"));
        return Ok(());
    }
    Err(fault(header.format.name(), name, at, text, COPY_AGAIN))
}

/// What a strict writer demands of the links.
pub(crate) fn check_write(links: &LinkArray, precision: u32, allow_nonunitary: bool) -> Result<()> {
    links.check_shape()?;
    if let Some((mu, site)) = links.first_not_finite() {
        return Err(Error::value(format!("link U_{mu}{site:?} has an element that is infinite or not a number")));
    }
    let worst = links.unitarity_violation()?;
    let tolerance = if precision == 32 { LINK_TOLERANCE_F32 } else { LINK_TOLERANCE_F64 };
    if worst.size <= tolerance || allow_nonunitary {
        return Ok(());
    }
    Err(Error::value(format!(
        "link U_{}{:?} violates unitarity or det U = 1 by {:.1e}, allowed is {tolerance:.0e}; call reunitarize() first",
        worst.direction, worst.site, worst.size
    )))
}
