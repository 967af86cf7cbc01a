//! A file appears complete or not at all: temporary name in the same folder, flush, rename; links, modes and devices stay.

use crate::error::{Error, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const ENDING: &str = ".tmp";
const MOST_LINKS: usize = 40;
/// A file younger than this may not have been locked yet.
const YOUNGEST_LEFTOVER: Duration = Duration::from_secs(60);

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Writes `bytes` to `path`; after an error nothing of it is left and an older file is untouched.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, |file| file.write_all(bytes)).map_err(|e| Error::os(path.display().to_string(), e))
}

fn replace(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let path = &target(path)?;
    let old = fs::metadata(path).ok();
    if old.as_ref().is_some_and(fs::Metadata::is_dir) {
        return Err(ErrorKind::IsADirectory.into());
    }
    if old.as_ref().is_some_and(|old| !old.is_file()) {
        let text = "it is a device or a pipe, which writing would replace by a file: give another name";
        return Err(io::Error::new(ErrorKind::InvalidInput, text));
    }
    remove_leftovers(path);
    let (temporary, mut file) = temporary_file(path)?;
    let done = old
        .map_or(Ok(()), |old| file.set_permissions(old.permissions()))
        .and_then(|()| fill(&mut file))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path));
    if done.is_err() {
        // The first error is the one to report; a failed clean-up would only hide it.
        drop(fs::remove_file(&temporary));
        return done;
    }
    sync_folder(path);
    Ok(())
}

/// The file that a symbolic link stands for, whether it exists or not.
fn target(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            Ok(next) => path = path.parent().unwrap_or(Path::new("")).join(next),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "the symbolic links go round in a circle"))
}

/// A new file beside `path`, locked for as long as it is being written.
fn temporary_file(path: &Path) -> io::Result<(PathBuf, File)> {
    let Some(name) = path.file_name() else { return Err(ErrorKind::InvalidFilename.into()) };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.subsec_nanos());
    loop {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!(".{}.{}.{now:08x}.{number}{ENDING}", name.to_string_lossy(), std::process::id());
        let temporary = path.with_file_name(name);
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Ok(file) => {
                // Where files cannot be locked, leftovers are not removed.
                drop(file.lock());
                return Ok((temporary, file));
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Removes temporary files of `path` whose writers were killed: old ones that nobody holds a lock on.
fn remove_leftovers(path: &Path) {
    let Some(start) = path.file_name().map(|name| format!(".{}.", name.to_string_lossy())) else { return };
    for entry in fs::read_dir(folder_of(path)).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let middle = name.strip_prefix(&start).and_then(|rest| rest.strip_suffix(ENDING));
        let ours = middle.is_some_and(|middle| middle.bytes().all(|b| b.is_ascii_hexdigit() || b == b'.'));
        if ours && is_abandoned(&entry.path()) {
            drop(fs::remove_file(entry.path()));
        }
    }
}

fn is_abandoned(path: &Path) -> bool {
    let age = fs::metadata(path).and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
    let free = || OpenOptions::new().write(true).open(path).is_ok_and(|file| file.try_lock().is_ok());
    age.is_some_and(|age| age >= YOUNGEST_LEFTOVER) && free()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the new name durable where folders can be flushed (not on Windows); the data already are.
fn sync_folder(path: &Path) {
    drop(File::open(folder_of(path)).and_then(|f| f.sync_all()));
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
    #[cfg(unix)]
    fn links_modes_and_devices_stay_and_leftovers_go() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = folder("links");
        let (path, link) = (folder.join("field"), folder.join("link"));
        symlink("field", &link).unwrap();
        write_atomically(&link, b"first").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let leftover = folder.join(".field.77.0000abcd.3.tmp");
        fs::write(&leftover, b"half").unwrap();
        write_atomically(&link, b"second").unwrap();
        assert!(leftover.exists(), "a young file may still be written to");
        let old = SystemTime::now() - Duration::from_secs(3600);
        let held = OpenOptions::new().write(true).open(&leftover).unwrap();
        held.set_modified(old).unwrap();
        held.lock().unwrap();
        write_atomically(&link, b"third").unwrap();
        assert!(leftover.exists(), "a locked file is being written to");
        drop(held);
        write_atomically(&link, b"fourth").unwrap();
        assert!(!leftover.exists());
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"fourth");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write_atomically(Path::new("/dev/null"), b"x").is_err());
        let round = folder.join("round");
        symlink("round", &round).unwrap();
        assert!(write_atomically(&round, b"x").is_err());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn threads_on_one_path_do_not_disturb_each_other() {
        let folder = folder("threads");
        let path = folder.join("field");
        std::thread::scope(|scope| {
            for k in 0..8u8 {
                let path = &path;
                scope.spawn(move || (0..10).for_each(|_| write_atomically(path, &[k; 1000]).unwrap()));
            }
        });
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.len() == 1000 && bytes.iter().all(|&b| b == bytes[0]));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
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
