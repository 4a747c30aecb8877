//! What this machine has to offer.

use std::{fs, thread};

use crate::plugin::backend::Capacity;

/// Pods that this machine is said to take. No more than a number: cores and memory are what limits
/// them.
const POD_CAPACITY: u64 = 1000;

pub(super) fn of_this_machine() -> Capacity {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    Capacity {
        cpus: cpus as u64,
        memory_kib: total_memory_kib(&meminfo),
        pods: POD_CAPACITY,
        accelerators: Vec::new(),
    }
}

/// The total of /proc/meminfo.
fn total_memory_kib(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    // Its `kB` are 1024 bytes: proc_meminfo(5).
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_as_the_kernel_tells_it() {
        for (text, want) in [
            (
                "MemTotal:       24690816 kB\nMemFree: 1 kB\n",
                Some(24_690_816),
            ),
            ("MemFree: 1 kB\n", None),
            ("MemTotal: lots\n", None),
            ("", None),
        ] {
            assert_eq!(total_memory_kib(text), want, "{text}");
        }
        assert!(of_this_machine().memory_kib > Some(0));
    }
}
