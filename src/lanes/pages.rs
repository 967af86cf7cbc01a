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

/// The layout that a block is really given.
fn given(layout: Layout) -> Layout {
    if layout.size() < SMALLEST {
        return layout;
    }
    layout.align_to(PAGE).unwrap_or(layout)
}

#[cfg(target_os = "linux")]
fn advise(block: *mut u8, layout: Layout) {
    if layout.align() == PAGE && !block.is_null() {
        // SAFETY: the block was just allocated with this size; the advice does not change its content. A refusal is harmless.
        unsafe { libc::madvise(block.cast(), layout.size(), libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn advise(_block: *mut u8, _layout: Layout) {}

// SAFETY: every block comes from and returns to `System` with the layout that `given` makes of the caller's, whose size is the
// same and whose alignment is at least the caller's.
unsafe impl GlobalAlloc for HugePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let layout = given(layout);
        let block = unsafe { System.alloc(layout) };
        advise(block, layout);
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { System.dealloc(block, given(layout)) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.size() < SMALLEST {
            return unsafe { System.alloc_zeroed(layout) };
        }
        let block = unsafe { self.alloc(layout) };
        if !block.is_null() {
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.size() < SMALLEST && size < SMALLEST {
            return unsafe { System.realloc(block, layout, size) };
        }
        let Ok(larger) = Layout::from_size_align(size, layout.align()) else { return std::ptr::null_mut() };
        let moved = unsafe { self.alloc(larger) };
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
