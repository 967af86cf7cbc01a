//! Reals of 4 or 8 bytes in either byte order.

use super::header::ByteOrder;
use num_complex::Complex64;

/// How a file stores a real number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Codec {
    /// 32 or 64.
    pub precision: u32,
    pub order: ByteOrder,
}

impl Codec {
    /// Bytes of one real.
    pub fn width(self) -> usize {
        self.precision as usize / 8
    }

    /// Fills `out` from pairs of reals.
    pub fn read(self, bytes: &[u8], out: &mut [Complex64]) {
        match (self.precision, self.order) {
            (32, ByteOrder::Big) => fill::<4>(bytes, out, |b| f64::from(f32::from_be_bytes(b))),
            (32, ByteOrder::Little) => fill::<4>(bytes, out, |b| f64::from(f32::from_le_bytes(b))),
            (_, ByteOrder::Big) => fill::<8>(bytes, out, f64::from_be_bytes),
            (_, ByteOrder::Little) => fill::<8>(bytes, out, f64::from_le_bytes),
        }
    }

    /// Appends pairs of reals.
    pub fn write(self, values: &[Complex64], out: &mut Vec<u8>) {
        for x in values.iter().flat_map(|z| [z.re, z.im]) {
            match (self.precision, self.order) {
                (32, ByteOrder::Big) => out.extend((x as f32).to_be_bytes()),
                (32, ByteOrder::Little) => out.extend((x as f32).to_le_bytes()),
                (_, ByteOrder::Big) => out.extend(x.to_be_bytes()),
                (_, ByteOrder::Little) => out.extend(x.to_le_bytes()),
            }
        }
    }
}

fn fill<const W: usize>(bytes: &[u8], out: &mut [Complex64], real: impl Fn([u8; W]) -> f64) {
    let pairs = bytes.as_chunks::<W>().0.as_chunks::<2>().0;
    for (z, [re, im]) in out.iter_mut().zip(pairs) {
        *z = Complex64::new(real(*re), real(*im));
    }
}

/// 32-bit words in the stated order.
pub(crate) fn words(bytes: &[u8], order: ByteOrder) -> impl Iterator<Item = u32> {
    bytes.as_chunks::<4>().0.iter().map(move |&b| match order {
        ByteOrder::Big => u32::from_be_bytes(b),
        ByteOrder::Little => u32::from_le_bytes(b),
    })
}
