//! Memory of fields in huge pages, where the system grants them on request (Linux, `madvise`).
//!
//! A field of 16^4 SU(3) links is 38 MB. In pages of 4 kB a map that makes a new field spends as long in page faults as in its
//! arithmetic, and every step across the lattice misses the address cache; with pages of 2 MB neither is seen.

use std::alloc::{GlobalAlloc, Layout, System};

const PAGE: usize = 2 << 20;
/// Smaller blocks would waste too much of their last page.
const SMALLEST: usize = 4 << 20;

/// The system's allocator; large blocks start at a huge page and ask for more of them. Set for a whole program or module with
/// `#[global_allocator]`, as the Python module does.
#[derive(Debug, Clone, Copy)]
pub struct HugePages;

/// Freed memory that glibc may keep at the end of a heap.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT: usize = 64 << 20;

impl HugePages {
    /// Lets glibc keep what blocks below 4 MB leave behind, up to 64 MB, instead of returning it to the system with every field
    /// that is freed: a map that makes some fields an update spends up to nine tenths of its time in page faults otherwise (on a
    /// virtual machine, `docs/performance.md`). For the whole process, and not where the user has set thresholds.
    pub fn keep_freed_blocks() {
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        {
            let names = ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"];
            if names.iter().all(|name| std::env::var_os(name).is_none()) {
                // SAFETY: mallopt takes a lock of its own and has no other conditions; a refusal is harmless.
                unsafe {
                    libc::mallopt(libc::M_MMAP_THRESHOLD, SMALLEST as libc::c_int);
                    libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT as libc::c_int);
                }
            }
        }
    }
}

/// Large blocks: whole pages straight from the system, zero and not yet touched.
#[cfg(target_os = "linux")]
mod large {
    use super::{PAGE, SMALLEST};
    use std::alloc::Layout;
    use std::ptr::null_mut;

    pub fn is_large(layout: Layout) -> bool {
        layout.size() >= SMALLEST && layout.align() <= PAGE
    }

    /// Bytes of the mapping of a block.
    fn length(size: usize) -> usize {
        size.div_ceil(4096) * 4096
    }

    /// A mapping that starts at a huge page: one that is too long, cut at both ends.
    pub fn map(size: usize) -> *mut u8 {
        let Some(wide) = length(size).checked_add(PAGE) else { return null_mut() };
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a fresh anonymous mapping; what is cut off belongs to it and is used by nobody.
        unsafe {
            let start = libc::mmap(null_mut(), wide, access, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
            if start == libc::MAP_FAILED {
                return null_mut();
            }
            let skipped = (start as usize).next_multiple_of(PAGE) - start as usize;
            let block = start.byte_add(skipped);
            if skipped > 0 {
                libc::munmap(start, skipped);
            }
            libc::munmap(block.byte_add(length(size)), PAGE - skipped);
            // A refusal is harmless.
            libc::madvise(block, length(size), libc::MADV_HUGEPAGE);
            block.cast()
        }
    }

    /// # Safety
    /// The block came from `map` with this size.
    pub unsafe fn unmap(block: *mut u8, size: usize) {
        unsafe { libc::munmap(block.cast(), length(size)) };
    }
}

/// Elsewhere the system's allocator serves every block.
#[cfg(not(target_os = "linux"))]
mod large {
    use std::alloc::Layout;

    pub fn is_large(_layout: Layout) -> bool {
        false
    }
    pub fn map(_size: usize) -> *mut u8 {
        std::ptr::null_mut()
    }
    /// # Safety
    /// Never called.
    pub unsafe fn unmap(_block: *mut u8, _size: usize) {}
}

// SAFETY: a block comes from and returns to `large` or `System`, as `is_large` says of the caller's layout; mappings are aligned to
// a huge page, which is at least what `is_large` allows, and as long as the layout asks.
unsafe impl GlobalAlloc for HugePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if large::is_large(layout) { large::map(layout.size()) } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if large::is_large(layout) {
            unsafe { large::unmap(block, layout.size()) }
        } else {
            unsafe { System.dealloc(block, layout) }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if large::is_large(layout) { large::map(layout.size()) } else { unsafe { System.alloc_zeroed(layout) } }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Ok(wanted) = Layout::from_size_align(size, layout.align()) else { return std::ptr::null_mut() };
        if !large::is_large(layout) && !large::is_large(wanted) {
            return unsafe { System.realloc(block, layout, size) };
        }
        let moved = unsafe { self.alloc(wanted) };
        if !moved.is_null() {
            unsafe { moved.copy_from_nonoverlapping(block, layout.size().min(size)) };
            unsafe { self.dealloc(block, layout) };
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(block: *mut u8, size: usize, byte: u8) -> bool {
        // SAFETY: the callers pass blocks of at least this size.
        unsafe { std::slice::from_raw_parts(block, size) }.iter().all(|&b| b == byte)
    }

    #[test]
    fn blocks_keep_their_content_when_they_grow_and_shrink_across_the_threshold() {
        let layout = |size: usize| Layout::from_size_align(size, 64).unwrap();
        let mut size = 1000;
        // SAFETY: every block is used within its size and returned with the layout of its last size.
        unsafe {
            let mut block = HugePages.alloc_zeroed(layout(size));
            assert!(filled(block, size, 0));
            block.write_bytes(7, size);
            for next in [SMALLEST, 3 * SMALLEST + 5, SMALLEST - 1, 9 * SMALLEST, 4096] {
                block = HugePages.realloc(block, layout(size), next);
                assert!(filled(block, size.min(next), 7));
                assert!(next < SMALLEST || (block as usize).is_multiple_of(PAGE));
                block.write_bytes(7, next);
                size = next;
            }
            HugePages.dealloc(block, layout(size));
            let zero = HugePages.alloc_zeroed(layout(2 * SMALLEST));
            assert!(filled(zero, 2 * SMALLEST, 0));
            HugePages.dealloc(zero, layout(2 * SMALLEST));
        }
    }
}
