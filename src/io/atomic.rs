//! A file appears complete or not at all: temporary name in the same folder, flush, rename.

use crate::error::{Error, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Writes `bytes` to `path`; after an error nothing of it is left and an older file is untouched.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, |file| file.write_all(bytes)).map_err(|e| Error::os(path.display().to_string(), e))
}

fn replace(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    if path.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    let temporary = temporary_name(path)?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
    let done = fill(&mut file).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temporary, path));
    if done.is_err() {
        // The first error is the one to report; a failed clean-up would only hide it.
        drop(fs::remove_file(&temporary));
        return done;
    }
    sync_folder(path);
    Ok(())
}

fn temporary_name(path: &Path) -> io::Result<PathBuf> {
    let Some(name) = path.file_name() else { return Err(ErrorKind::InvalidFilename.into()) };
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let name = format!(".{}.{}.{number}.tmp", name.to_string_lossy(), std::process::id());
    Ok(path.with_file_name(name))
}

/// Makes the new name durable where folders can be flushed (not on Windows); the data already are.
fn sync_folder(path: &Path) {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    drop(File::open(folder).and_then(|f| f.sync_all()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("plaq-atomic-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn full_disk_leaves_the_old_file() {
        let folder = folder("full");
        let path = folder.join("field");
        fs::write(&path, b"old").unwrap();
        let failed = replace(&path, |file| {
            file.write_all(b"half of the new")?;
            Err(ErrorKind::StorageFull.into())
        });
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "a temporary file was left behind");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn folder_or_missing_folder_is_an_os_error() {
        let folder = folder("missing");
        for path in [folder.clone(), folder.join("no/such/field"), PathBuf::from("/")] {
            assert!(matches!(write_atomically(&path, b"x"), Err(Error::Os { .. })), "{path:?}");
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir_all(folder).unwrap();
    }
}
