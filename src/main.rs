//! The exit code and the memory, nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(target_env = "gnu")]
    allocator::set_up();
    interlink_cri::cli::main()
}

/// The allocator of the C library, which the gRPC core and the rest of the program share.
///
/// It was measured against jemalloc and mimalloc: docs/performance.md has the figures.
#[cfg(target_env = "gnu")]
mod allocator {
    use std::ffi::c_int;

    // Parameters of `malloc.h`.
    /// How many bytes at the end of the heap may be free without going back to the system.
    const M_TRIM_THRESHOLD: c_int = -1;
    /// From how many bytes on something is allocated outside of the heap, and goes back once it is freed.
    const M_MMAP_THRESHOLD: c_int = -3;
    /// How many heaps there may be.
    const M_ARENA_MAX: c_int = -8;

    /// A list of 4,000 containers has about as much, and is asked for each second: it should find its memory where
    /// the last one had its own, instead of 400 pages for each megabyte that the kernel has to clear. Left to
    /// itself, glibc learns such a size from what is freed, which is smaller than what was asked for. What is
    /// larger than that, as the largest requests are, leaves no hole in the heap.
    const LARGE: c_int = 4 << 20;

    unsafe extern "C" {
        // Neither takes or gives a pointer, and both may be called by any thread at any time: mallopt(3),
        // malloc_trim(3).
        safe fn mallopt(parameter: c_int, value: c_int) -> c_int;
        safe fn malloc_trim(spare: usize) -> c_int;
    }

    pub fn set_up() {
        // What is refused stays as it was, and costs memory or time.
        // A heap for each thread would keep what the other threads could use.
        let _ = mallopt(M_ARENA_MAX, 1);
        let _ = mallopt(M_MMAP_THRESHOLD, LARGE);
        let _ = mallopt(M_TRIM_THRESHOLD, LARGE);
        interlink_cri::memory::set_release(|| {
            let _ = malloc_trim(0);
            super::let_go_of_program();
        });
    }
}

/// Unmaps pages of the program and its libraries; each is mapped again when it is used.
#[cfg(target_env = "gnu")]
fn let_go_of_program() {
    use rustix::mm::{madvise, Advice};

    for addresses in interlink_cri::memory::unchanged_program() {
        let start = std::ptr::without_provenance_mut(addresses.start);
        // SAFETY: these are private mappings of files that stay as long as the process. No page of them was changed,
        // nor can be, so that whoever reads them finds the very same bytes. What is refused stays mapped.
        let _ = unsafe { madvise(start, addresses.len(), Advice::LinuxDontNeed) };
    }
}
