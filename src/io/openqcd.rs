//! openQCD configurations (export_cnfg): little-endian, axes (t, x, y, z), the eight links at each odd site, z fastest.

use super::codec::Codec;
use super::fault::{COPY_AGAIN, fault};
use super::format::Format;
use super::header::{ByteOrder, Header};
use super::links::LinkArray;
use super::options::ReadOptions;
use super::options::WriteOptions;
use super::payload::{Payload, agree, extent, file_order};
use super::source::Source;
use crate::error::{Error, Result};
use crate::interrupt;

const NAME: &str = "openQCD header";
pub(crate) const HEADER: usize = 24;
const EXTENTS: [&str; 4] = ["N0", "N1", "N2", "N3"];
const COLORS: usize = 3;
const CODEC: Codec = Codec { precision: 64, order: ByteOrder::Little };
/// z runs fastest, then y, x and t.
const AXES: [usize; 4] = [2, 1, 0, 3];
/// Our directions in openQCD's order t, x, y, z.
const DIRECTIONS: [usize; 4] = [3, 0, 1, 2];

/// Whether a file, which has no magic number, begins with four plausible extents and a plausible 3 P.
pub(crate) fn looks_like(start: &[u8]) -> bool {
    let Some((extents, plaquette)) = numbers(start) else { return false };
    extents.iter().all(|l| (1..=4096).contains(l)) && plaquette.abs() <= 3.0
}

fn numbers(head: &[u8]) -> Option<([i32; 4], f64)> {
    let words = head.as_chunks::<4>().0;
    let extents = <[[u8; 4]; 4]>::try_from(words.get(..4)?).ok()?.map(i32::from_le_bytes);
    let plaquette = <[u8; 8]>::try_from(head.get(16..HEADER)?).ok()?;
    Some((extents, f64::from_le_bytes(plaquette)))
}

pub(crate) fn header(source: &mut dyn Source, options: &ReadOptions) -> Result<Header> {
    Ok(plan(source, options)?.0)
}

pub(crate) fn read(source: &mut dyn Source, options: &ReadOptions) -> Result<(LinkArray, Header)> {
    let (header, payload) = plan(source, options)?;
    let bytes = source.bytes(HEADER as u64, payload.size() as usize)?;
    let mut links = LinkArray::zeros(&payload.shape, COLORS)?;
    let size = 16 * COLORS * COLORS;
    let mut matrices = bytes.chunks_exact(size);
    visit(&payload.shape, |mu, site| {
        if let Some(matrix) = matrices.next() {
            CODEC.read(matrix, links.link_mut(mu, site));
        }
    })?;
    Ok((links, header))
}

/// Calls `each` with (direction, site) of every link in the order of the file.
fn visit(shape: &[usize], mut each: impl FnMut(usize, usize)) -> Result<()> {
    for site in file_order(shape, &AXES) {
        let mut parity = 0;
        let mut rest = site;
        for &length in shape.iter().rev() {
            parity += rest % length;
            rest /= length;
        }
        if parity % 2 == 1 {
            for mu in DIRECTIONS {
                each(mu, site);
                each(mu, backward(shape, site, mu));
            }
        }
        if site % 4096 == 0 {
            interrupt::poll()?;
        }
    }
    Ok(())
}

fn backward(shape: &[usize], site: usize, mu: usize) -> usize {
    let stride: usize = shape[mu + 1..].iter().product();
    if (site / stride).is_multiple_of(shape[mu]) { site + (shape[mu] - 1) * stride } else { site - stride }
}

fn plan(source: &mut dyn Source, options: &ReadOptions) -> Result<(Header, Payload)> {
    let (extents, plaquette) = head(source)?;
    extents.iter().zip(EXTENTS).zip(0u64..).try_for_each(|((&l, name), i)| even_extent(name, 4 * i, l))?;
    let [t, x, y, z] = extents;
    let shape = vec![x, y, z, t];
    let mut header = Header::new(Format::OpenQcd);
    let shape = agree("shape", Some(shape), options.shape.as_ref())?.unwrap_or_default();
    agree("n_colors", Some(COLORS), options.n_colors.as_ref())?;
    let payload = Payload::lexicographic("openQCD", &shape, COLORS, CODEC, HEADER as u64);
    payload.check_size(source.length() - HEADER as u64, &mut header)?;
    header.shape = Some(shape);
    header.n_colors = Some(COLORS);
    header.precision = Some(64);
    header.rows = Some(COLORS);
    header.byte_order = Some(ByteOrder::Little);
    header.plaquette = Some(plaquette);
    Ok((header, payload))
}

/// Four extents, time first, and the mean of Re tr(plaquette)/3.
pub(crate) fn head(source: &mut dyn Source) -> Result<([usize; 4], f64)> {
    let head = source.bytes(0, source.length().min(HEADER as u64) as usize)?.into_owned();
    let Some((words, plaquette)) = numbers(&head) else {
        let message = format!("{HEADER} bytes are needed, the file has {}", source.length());
        return Err(fault(NAME, "header", 0, message, COPY_AGAIN));
    };
    let mut extents = [0; 4];
    for (i, (l, &word)) in extents.iter_mut().zip(&words).enumerate() {
        *l = extent(NAME, EXTENTS[i], 4 * i as u64, i64::from(word))?;
    }
    if !plaquette.is_finite() || plaquette.abs() > 3.0 {
        let message = format!("{plaquette} is not an average of Re tr U between -3 and 3");
        return Err(fault(NAME, "plaquette", 16, message, COPY_AGAIN));
    }
    Ok((extents, plaquette / 3.0))
}

fn even_extent(name: &str, offset: u64, length: usize) -> Result<()> {
    if length.is_multiple_of(2) {
        return Ok(());
    }
    let message = format!("extent {length} is odd; openQCD lattices have even extents");
    Err(fault(NAME, name, offset, message, "the file is damaged or of another format"))
}

pub(crate) fn write(links: &LinkArray, options: &WriteOptions) -> Result<Vec<u8>> {
    let good = links.extents.len() == 4 && links.extents.iter().all(|l| l % 2 == 0) && links.n_colors == COLORS;
    if !good || options.precision != 64 {
        return Err(Error::value(format!(
            "openQCD files hold SU(3) links in 64 bit on four even extents; given are {} colours, {} bit, {:?}",
            links.n_colors, options.precision, links.extents
        )));
    }
    let [x, y, z, t] = links.extents[..] else { return Err(Error::value("four extents are needed")) };
    let mut out = Vec::with_capacity(HEADER + 16 * links.data.len());
    [t, x, y, z].iter().for_each(|&l| out.extend((l as i32).to_le_bytes()));
    let plaquette = links.open_plaquettes().map(|[weighted, _]| weighted).or(links.plaquette()?);
    out.extend((3.0 * plaquette.unwrap_or(1.0)).to_le_bytes());
    visit(&links.extents, |mu, site| CODEC.write(links.link(mu, site), &mut out))?;
    Ok(out)
}
