//! What the system says of this process.

use std::fs;

use rustix::{
    process::{getrlimit, Resource},
    time::{clock_gettime, ClockId},
};

/// What the system says of this process, as far as it says anything.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// Seconds of CPU time.
    pub cpu: f64,
    /// Bytes in memory.
    pub resident: Option<u64>,
    /// Bytes of address space.
    pub virtual_size: Option<u64>,
    /// How many threads there are.
    pub threads: Option<u64>,
    /// How many file descriptors are open.
    pub fds: Option<u64>,
    /// How many may be.
    pub max_fds: Option<u64>,
}

impl Process {
    /// Asks the system.
    pub fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let time = clock_gettime(ClockId::ProcessCPUTime);
        // The directory that is being read is one of them.
        let fds = fs::read_dir("/proc/self/fd").map(|entries| entries.count().saturating_sub(1));
        #[expect(clippy::cast_precision_loss, reason = "seconds of CPU time")]
        let cpu = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
        Self {
            cpu,
            resident: field(&status, "VmRSS:").map(|kib| kib * 1024),
            virtual_size: field(&status, "VmSize:").map(|kib| kib * 1024),
            threads: field(&status, "Threads:"),
            fds: fds.ok().map(|count| count as u64),
            max_fds: getrlimit(Resource::Nofile).current,
        }
    }
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_there() {
        let process = Process::now();
        assert!(process.resident > Some(1 << 20), "{process:?}");
        assert!(process.virtual_size >= process.resident, "{process:?}");
        assert!(process.threads >= Some(1) && process.fds >= Some(1));
        assert!(process.max_fds.is_none_or(|most| Some(most) >= process.fds));
        assert_eq!(field("VmRSS:\t  12 kB\nThreads:\t3\n", "Threads:"), Some(3));
        assert_eq!(field("", "Threads:"), None);
    }
}
