//! The exit code and the allocator, nothing else.

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

    /// How many heaps there may be (`malloc.h`).
    const M_ARENA_MAX: c_int = -8;

    unsafe extern "C" {
        // Neither takes or gives a pointer, and both may be called by any thread at any time: mallopt(3),
        // malloc_trim(3).
        safe fn mallopt(parameter: c_int, value: c_int) -> c_int;
        safe fn malloc_trim(spare: usize) -> c_int;
    }

    pub fn set_up() {
        // A heap for each thread would keep what the other threads could use. If it is refused, there are
        // more.
        let _ = mallopt(M_ARENA_MAX, 1);
        interlink_cri::memory::set_release(|| {
            let _ = malloc_trim(0);
        });
    }
}
