//! Bridge++ text: one number after another in the order t, z, y, x, mu, a, b, (re, im), nothing else.

use super::fault::fault;
use super::format::Format;
use super::header::Header;
use super::links::{LinkArray, MAX_COLORS};
use super::options::ReadOptions;
use super::payload::{file_order, shorten};
use super::source::Source;
use crate::error::Result;
use crate::interrupt;
use num_complex::Complex64;

const NAME: &str = "Bridge++ text";

/// Whether the beginning of a file is numbers in text.
pub(crate) fn looks_like(start: &[u8]) -> bool {
    let allowed = |b: &u8| b.is_ascii_digit() || b.is_ascii_whitespace() || b"+-.eE".contains(b);
    start.iter().all(allowed) && start.iter().any(u8::is_ascii_digit)
}

pub(crate) fn header(source: &mut dyn Source, options: &ReadOptions) -> Result<Header> {
    let text = source.bytes(0, source.length() as usize)?;
    describe(&text, options)
}

pub(crate) fn read(source: &mut dyn Source, options: &ReadOptions) -> Result<(LinkArray, Header)> {
    let text = source.bytes(0, source.length() as usize)?;
    let mut header = describe(&text, options)?;
    header.warn("text files record no checksum");
    let (Some(shape), Some(n)) = (&header.shape, header.n_colors) else {
        let message = format!("{} numbers fit several lattices or groups, or none", count(&text)?);
        return Err(fault(NAME, "shape", 0, message, "give shape (time last) and, if you like, group"));
    };
    Ok((links(&text, shape, n)?, header))
}

fn describe(text: &[u8], options: &ReadOptions) -> Result<Header> {
    let mut header = Header::new(Format::Bridge);
    header.precision = Some(64);
    let numbers = count(text)?;
    let found = candidates(numbers, options);
    if let [(shape, n)] = &found[..] {
        if options.shape.is_none() {
            header.warn(format!("the text states no shape; its {numbers} numbers fit {shape:?} with {n} colours"));
        }
        (header.shape, header.n_colors, header.rows) = (Some(shape.clone()), Some(*n), Some(*n));
    } else if let (Some(shape), true) = (&options.shape, found.is_empty()) {
        let message =
            format!("{numbers} numbers do not fill {shape:?} with 1 to {MAX_COLORS} colours (or the given group)");
        return Err(fault(
            NAME,
            "length",
            text.len() as u64,
            message,
            "correct shape or group, or copy the file again",
        ));
    }
    Ok(header)
}

/// Lattices that `numbers` fill: the given shape, or four equal extents.
fn candidates(numbers: usize, options: &ReadOptions) -> Vec<(Vec<usize>, usize)> {
    let shapes = match &options.shape {
        Some(shape) => vec![shape.clone()],
        None => (2..=256).map(|l| vec![l; 4]).collect(),
    };
    let colors = |n: &usize| options.n_colors.is_none_or(|given| given == *n);
    let all = shapes.into_iter().flat_map(|s| (1..=MAX_COLORS).filter(colors).map(move |n| (s.clone(), n)));
    all.filter(|(s, n)| s.iter().try_fold(2 * s.len() * n * n, |v, &l| v.checked_mul(l)) == Some(numbers)).collect()
}

fn count(text: &[u8]) -> Result<usize> {
    let mut numbers = 0;
    for _ in words(text) {
        if numbers % 65536 == 0 {
            interrupt::poll()?;
        }
        numbers += 1;
    }
    Ok(numbers)
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

fn links(text: &[u8], shape: &[usize], n: usize) -> Result<LinkArray> {
    let mut links = LinkArray::zeros(shape, n)?;
    let mut words = words(text);
    let axes: Vec<usize> = (0..shape.len()).collect();
    for (rank, site) in file_order(shape, &axes).enumerate() {
        for mu in 0..shape.len() {
            for z in links.link_mut(mu, site) {
                *z = Complex64::new(real(words.next(), text)?, real(words.next(), text)?);
            }
        }
        if rank % 1024 == 0 {
            interrupt::poll()?;
        }
    }
    Ok(links)
}

fn real(word: Option<&[u8]>, text: &[u8]) -> Result<f64> {
    let word = word.unwrap_or_default();
    let number = std::str::from_utf8(word).ok().and_then(|w| w.parse().ok());
    number.ok_or_else(|| {
        let offset = (word.as_ptr() as usize).saturating_sub(text.as_ptr() as usize) as u64;
        let message = format!("'{}' is not a number", shorten(&String::from_utf8_lossy(&word[..word.len().min(60)])));
        fault(NAME, "number", offset, message, "the file is damaged: copy it again from its source")
    })
}
