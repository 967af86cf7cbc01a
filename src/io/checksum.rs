//! The three checksums of lattice files: NERSC's sum of words, MILC's rotated words, SciDAC's rotated CRC-32 of sites.

use super::codec::words;
use super::header::ByteOrder;
use crate::error::Result;
use crate::interrupt;

/// Sum modulo 2^32 of the data as 32-bit words.
pub(crate) fn nersc(data: &[u8], order: ByteOrder) -> u32 {
    words(data, order).fold(0, u32::wrapping_add)
}

/// Words rotated left by their rank modulo 29 and 31, xor-ed.
pub(crate) fn milc(data: &[u8], order: ByteOrder) -> Result<[u32; 2]> {
    rotated(words(data, order))
}

/// CRC-32 of each site's bytes, rotated left by the site's rank modulo 29 and 31, xor-ed.
pub(crate) fn scidac(data: &[u8], site_bytes: usize) -> Result<[u32; 2]> {
    rotated(data.chunks_exact(site_bytes).map(crc32fast::hash))
}

fn rotated(values: impl Iterator<Item = u32>) -> Result<[u32; 2]> {
    let mut sums = [0, 0];
    for (value, rank) in values.zip(0u64..) {
        sums[0] ^= value.rotate_left((rank % 29) as u32);
        sums[1] ^= value.rotate_left((rank % 31) as u32);
        if rank % 65536 == 0 {
            interrupt::poll()?;
        }
    }
    Ok(sums)
}
