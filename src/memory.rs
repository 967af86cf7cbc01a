//! How much memory there is: asked before memory is taken, by everything whose size a caller or a file chooses.

use crate::error::{Error, Result};
use std::fs;

/// Less than this is taken without asking.
const SMALL: u128 = 1 << 26;

/// Refuses what does not fit into the memory that is free now; `what` names it.
pub fn require(what: &str, bytes: u128) -> Result<()> {
    if bytes < SMALL {
        return Ok(());
    }
    match available() {
        Some(free) if bytes > free as u128 => Err(Error::value(format!(
            "{what} needs {} of memory; {} are available here: ask for less",
            gibibytes(bytes),
            gibibytes(free as u128)
        ))),
        _ => Ok(()),
    }
}

/// Bytes that a product of counts of items of `size` bytes takes, without overflow.
pub(crate) fn product(counts: &[usize], size: usize) -> u128 {
    counts.iter().fold(size as u128, |bytes, &n| bytes.saturating_mul(n as u128))
}

fn gibibytes(bytes: u128) -> String {
    format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64)
}

/// Bytes that can be taken without swapping or being killed, where the system says (Linux, with its control groups).
fn available() -> Option<usize> {
    let system = fs::read_to_string("/proc/meminfo").ok().and_then(|text| of_system(&text));
    let group = ["/sys/fs/cgroup", "/sys/fs/cgroup/memory"].into_iter().filter_map(of_group).min();
    system.into_iter().chain(group).min()
}

/// `MemAvailable` of /proc/meminfo.
fn of_system(text: &str) -> Option<usize> {
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
    let kib: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib.saturating_mul(1024))
}

/// What is left below the limit of a control group (version 2 or 1); file pages that can be dropped do not count as used.
fn of_group(folder: &str) -> Option<usize> {
    let read = |names: [&str; 2]| names.iter().find_map(|name| fs::read_to_string(format!("{folder}/{name}")).ok());
    let number = |text: String| text.trim().parse::<usize>().ok();
    let limit = read(["memory.max", "memory.limit_in_bytes"]).and_then(number)?;
    let used = read(["memory.current", "memory.usage_in_bytes"]).and_then(number)?;
    let pages = read(["memory.stat", "memory.stat"]).and_then(|text| droppable(&text)).unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(pages)))
}

fn droppable(stat: &str) -> Option<usize> {
    let line = stat.lines().find(|line| line.starts_with("inactive_file "))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        assert_eq!(of_system("MemTotal: 9 kB\nMemAvailable:    2048 kB\n"), Some(2 << 20));
        assert_eq!(of_system("MemTotal: 9 kB\n"), None);
        assert_eq!(droppable("anon 5\ninactive_file 4096\n"), Some(4096));
        let folder = std::env::temp_dir().join(format!("plaq-memory-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in
            [("memory.max", "1000\n"), ("memory.current", "900\n"), ("memory.stat", "inactive_file 300\n")]
        {
            fs::write(folder.join(name), text).unwrap();
        }
        assert_eq!(of_group(&folder.display().to_string()), Some(400));
        fs::write(folder.join("memory.max"), "max\n").unwrap();
        assert_eq!(of_group(&folder.display().to_string()), None);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn more_than_there_is_is_refused_with_both_numbers() {
        assert!(require("", 1 << 20).is_ok());
        if available().is_some() {
            let text = require("a field", 1 << 60).unwrap_err().to_string();
            assert!(text.starts_with("a field needs 1073741824.0 GiB of memory; "), "{text}");
        }
        assert_eq!(product(&[usize::MAX, 3], 8), 24 * usize::MAX as u128);
    }
}
