//! Bytes at an offset, from a file or from memory; a read is refused before memory is taken if the bytes are not there.

use super::fault::{COPY_AGAIN, fault};
use crate::error::{Error, Result};
use crate::{interrupt, memory};
use std::borrow::Cow;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes read between two looks at Ctrl-C.
const PIECE: usize = 1 << 24;

/// A file of known length.
pub(crate) trait Source {
    /// Length in bytes.
    fn length(&self) -> u64;

    /// Exactly `count` bytes from `offset`, which are known to be there.
    fn fetch(&mut self, offset: u64, count: usize) -> Result<Cow<'_, [u8]>>;

    /// Exactly `count` bytes from `offset`.
    fn bytes(&mut self, offset: u64, count: usize) -> Result<Cow<'_, [u8]>> {
        if offset.checked_add(count as u64).is_none_or(|end| end > self.length()) {
            let message = format!("{count} bytes are needed, the file ends at byte {}", self.length());
            return Err(fault("file", "length", offset, message, COPY_AGAIN));
        }
        self.fetch(offset, count)
    }
}

impl Source for &[u8] {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn fetch(&mut self, offset: u64, count: usize) -> Result<Cow<'_, [u8]>> {
        Ok(Cow::Borrowed(&self[offset as usize..offset as usize + count]))
    }
}

/// A regular file on disk.
pub(crate) struct FileSource {
    file: File,
    length: u64,
    path: String,
}

impl FileSource {
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        // Asked of the name: opening a pipe would wait for its writer.
        let metadata = std::fs::metadata(path).map_err(|e| Error::os(&name, e))?;
        if metadata.is_dir() {
            return Err(Error::os(&name, ErrorKind::IsADirectory.into()));
        }
        if !metadata.is_file() {
            let text = "not a regular file: copy pipes and devices to a file first";
            return Err(Error::os(&name, std::io::Error::new(ErrorKind::InvalidInput, text)));
        }
        let file = File::open(path).map_err(|e| Error::os(&name, e))?;
        Ok(Self { file, length: metadata.len(), path: name })
    }
}

impl Source for FileSource {
    fn length(&self) -> u64 {
        self.length
    }

    fn fetch(&mut self, offset: u64, count: usize) -> Result<Cow<'_, [u8]>> {
        memory::require(&format!("reading {count} bytes of {}", self.path), count as u128)?;
        let mut bytes = vec![0; count];
        self.file.seek(SeekFrom::Start(offset)).map_err(|e| Error::os(&self.path, e))?;
        for piece in bytes.chunks_mut(PIECE) {
            self.file.read_exact(piece).map_err(|e| Error::os(&self.path, e))?;
            interrupt::poll()?;
        }
        Ok(Cow::Owned(bytes))
    }
}
