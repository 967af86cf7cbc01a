//! HiRep configurations: big-endian words N, T, X, Y, Z, the mean plaquette, then doubles; axes and directions (t, x, y, z), z fastest.
//!
//! Links are N x N matrices, or for SU(2) quaternions q with U = [[q0 + i q3, -q2 + i q1], [q2 + i q1, q0 - i q3]].

use super::codec::Codec;
use super::fault::{COPY_AGAIN, fault};
use super::format::Format;
use super::header::{ByteOrder, Header};
use super::links::{LinkArray, MAX_COLORS};
use super::options::ReadOptions;
use super::payload::{Payload, agree, extent, file_order};
use super::source::Source;
use crate::error::Result;
use crate::interrupt;
use num_complex::Complex64;

const NAME: &str = "HiRep header";
const HEADER: usize = 28;
/// z runs fastest, then y, x and t.
const AXES: [usize; 4] = [2, 1, 0, 3];
/// Our directions in HiRep's order t, x, y, z.
const DIRECTIONS: [usize; 4] = [3, 0, 1, 2];
const CODEC: Codec = Codec { precision: 64, order: ByteOrder::Big };
const QUATERNION: usize = 4 * 8;

/// Whether a file, which has no magic number, begins with a number of colours, four extents and a plaquette.
pub(crate) fn looks_like(start: &[u8]) -> bool {
    let Some((words, plaquette)) = numbers(start) else { return false };
    let colors = (2..=MAX_COLORS as i32).contains(&words[0]);
    colors && words[1..].iter().all(|l| (1..=4096).contains(l)) && plaquette.abs() <= 1.0
}

fn numbers(head: &[u8]) -> Option<([i32; 5], f64)> {
    let words = <[[u8; 4]; 5]>::try_from(head.as_chunks::<4>().0.get(..5)?).ok()?.map(i32::from_be_bytes);
    let plaquette = <[u8; 8]>::try_from(head.get(20..HEADER)?).ok()?;
    Some((words, f64::from_be_bytes(plaquette)))
}

pub(crate) fn header(source: &mut dyn Source, options: &ReadOptions) -> Result<Header> {
    Ok(plan(source, options)?.0)
}

pub(crate) fn read(source: &mut dyn Source, options: &ReadOptions) -> Result<(LinkArray, Header)> {
    let (header, payload) = plan(source, options)?;
    if header.rows != Some(1) {
        let bytes = source.bytes(payload.offset, payload.size() as usize)?;
        return Ok((payload.decode(&bytes)?, header));
    }
    let bytes = source.bytes(payload.offset, payload.size() as usize / 2)?;
    Ok((quaternions(&payload, &bytes)?, header))
}

fn plan(source: &mut dyn Source, options: &ReadOptions) -> Result<(Header, Payload)> {
    let head = source.bytes(0, source.length().min(HEADER as u64) as usize)?.into_owned();
    let Some((words, plaquette)) = numbers(&head) else {
        let message = format!("{HEADER} bytes are needed, the file has {}", source.length());
        return Err(fault(NAME, "header", 0, message, COPY_AGAIN));
    };
    let colors = usize::try_from(words[0])
        .ok()
        .filter(|n| (2..=MAX_COLORS).contains(n))
        .ok_or_else(|| fault(NAME, "N", 0, format!("{}; allowed are 2 to {MAX_COLORS}", words[0]), COPY_AGAIN))?;
    let names = ["GLB_T", "GLB_X", "GLB_Y", "GLB_Z"].iter().zip(&words[1..]).zip(1u64..);
    let [t, x, y, z] =
        names.map(|((name, &l), i)| extent(NAME, name, 4 * i, i64::from(l))).collect::<Result<Vec<_>>>()?[..]
    else {
        return Err(fault(NAME, "extents", 4, "four are needed", COPY_AGAIN));
    };
    if !plaquette.is_finite() {
        return Err(fault(NAME, "plaquette", 20, format!("{plaquette} is not a number"), COPY_AGAIN));
    }
    let mut header = Header::new(Format::HiRep);
    let shape = agree("shape", Some(vec![x, y, z, t]), options.shape.as_ref())?.unwrap_or_default();
    agree("n_colors", Some(colors), options.n_colors.as_ref())?;
    let mut payload = Payload::lexicographic("HiRep", &shape, colors, CODEC, HEADER as u64);
    (payload.axes, payload.directions) = (AXES.to_vec(), DIRECTIONS.to_vec());
    let length = source.length() - HEADER as u64;
    let halved = colors == 2 && length == payload.size() / 2;
    if !halved {
        payload.check_size(length, &mut header)?;
    }
    header.shape = Some(shape);
    header.n_colors = Some(colors);
    header.precision = Some(64);
    header.rows = Some(if halved { 1 } else { colors });
    header.byte_order = Some(ByteOrder::Big);
    header.plaquette = Some(plaquette);
    Ok((header, payload))
}

/// SU(2) matrices from quaternions.
fn quaternions(payload: &Payload, bytes: &[u8]) -> Result<LinkArray> {
    let mut links = LinkArray::zeros(&payload.shape, 2)?;
    let sites = bytes.chunks_exact(4 * QUATERNION);
    for (rank, (site, record)) in file_order(&payload.shape, &AXES).zip(sites).enumerate() {
        for (mu, numbers) in DIRECTIONS.into_iter().zip(record.chunks_exact(QUATERNION)) {
            let mut pairs = [Complex64::ZERO; 2];
            CODEC.read(numbers, &mut pairs);
            let [q0, q1, q2, q3] = [pairs[0].re, pairs[0].im, pairs[1].re, pairs[1].im];
            let row = [Complex64::new(q0, q3), Complex64::new(-q2, q1)];
            links.link_mut(mu, site).copy_from_slice(&[row[0], row[1], -row[1].conj(), row[0].conj()]);
        }
        if rank % 1024 == 0 {
            interrupt::poll()?;
        }
    }
    Ok(links)
}
