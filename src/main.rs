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
        super::program::set_up();
        interlink_cri::memory::set_release(|| {
            let _ = malloc_trim(0);
            super::program::let_go();
        });
    }
}

/// The pages of the program and its libraries.
#[cfg(target_env = "gnu")]
mod program {
    use std::{fs, ptr, sync::OnceLock};

    use interlink_cri::memory::{as_in_files, Mapping};
    use rustix::mm::{madvise, Advice};

    /// Kinds of file systems that have their files on this machine (statfs(2)): those of ext, XFS, Btrfs, OverlayFS,
    /// SquashFS, EROFS, tmpfs, ramfs and ZFS. What has gone from another machine could not be read again.
    const LOCAL: [u32; 9] = [
        0xef53,
        0x5846_5342,
        0x9123_683e,
        0x794c_7630,
        0x7371_7368,
        0xe0f5_e1e2,
        0x0102_1994,
        0x8584_58f6,
        0x2fc1_2fc1,
    ];

    /// What is there for as long as the process is: no other thread has begun, and nothing unloads it. What a
    /// library loads later may go, or be written to, while it is looked at.
    static STAYS: OnceLock<Vec<Mapping>> = OnceLock::new();

    fn mappings() -> Vec<Mapping> {
        let smaps = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
        as_in_files(&smaps)
    }

    pub fn set_up() {
        let mut stays = mappings();
        stays.retain(|mapping| {
            let kind = rustix::fs::statfs(mapping.path.as_str()).map(|stat| stat.f_type as u32);
            kind.is_ok_and(|kind| LOCAL.contains(&kind))
        });
        // Said once, where the program begins.
        let _ = STAYS.set(stays);
    }

    /// Unmaps their pages; each is mapped again when it is used.
    pub fn let_go() {
        let stays = STAYS.get().map_or(&[][..], Vec::as_slice);
        let mut mappings = mappings();
        // One whose file was replaced has another path now.
        mappings.retain(|mapping| stays.contains(mapping));
        for Mapping { addresses, .. } in mappings {
            let start = ptr::without_provenance_mut(addresses.start);
            // SAFETY: these are private mappings of files that stay as long as the process. No page of them was
            // changed, nor can be, so that whoever reads them finds the very same bytes. What is refused stays
            // mapped.
            let _ = unsafe { madvise(start, addresses.len(), Advice::LinuxDontNeed) };
        }
    }
}
