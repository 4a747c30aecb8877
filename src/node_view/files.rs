//! What the files say of a machine of another size.

use super::{Amounts, Error};
use crate::quantity::kibibytes;

/// Cores that are described, at most: with more CPUs than these, several are threads of one core.
/// cAdvisor compares each CPU with all cores of its node (`getCoresInfo`).
const MAX_CORES: u64 = 4096;
/// Memory that must be free at least, for the kubelet's own reserve and its threshold for evictions.
const MIN_FREE: u64 = 512 << 20;

/// A file in the directory of NUMA nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Relative to the directory.
    pub(super) path: String,
    pub(super) kind: Kind,
}

/// What is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File(String),
    Link(String),
}

/// `/proc/meminfo` of the larger machine, on which as much is in use as on the real one. It must be:
/// with cgroup v2 the kubelet may take `MemTotal` less `MemFree` for what is in use (libcontainer's
/// `rootStatsFromMeminfo`; later versions add up `memory.stat`), and it evicts pods when that comes near
/// `MemTotal`.
///
/// # Errors
/// A text that is none, or less memory than is in use.
pub(super) fn meminfo(real: &str, amounts: Amounts) -> Result<String, Error> {
    let value = |line: &'static str| {
        let missing = Error::Kernel {
            file: "/proc/meminfo",
            line,
        };
        real.lines()
            .find_map(|text| kibibytes(text, line))
            .ok_or(missing)
    };
    let (total, free) = (value("MemTotal:")?, value("MemFree:")?);
    let used = total.saturating_sub(free);
    let wanted = amounts.memory / 1024;
    if wanted < used.saturating_add(MIN_FREE / 1024) {
        return Err(Error::InUse {
            wanted: amounts.memory,
            used: used.saturating_mul(1024),
        });
    }
    let lines = real.lines().map(|text| {
        let shown = |label: &'static str| {
            let value = kibibytes(text, label)?;
            // More by as much as the whole is more; less by as much, where that is less.
            let value = value.saturating_add(wanted).saturating_sub(total);
            Some(format!("{label:<16}{value:>8} kB\n"))
        };
        ["MemTotal:", "MemFree:", "MemAvailable:"]
            .into_iter()
            .find_map(shown)
            .unwrap_or_else(|| format!("{text}\n"))
    });
    Ok(lines.collect())
}

/// The numbers of the CPUs, as `online` and `cpulist` have them.
pub(super) fn cpu_list(amounts: Amounts) -> String {
    match amounts.cpus {
        1 => "0\n".to_owned(),
        cpus => format!("0-{}\n", cpus - 1),
    }
}

/// The directory of NUMA nodes: one node, and on it one package with all cores. With more nodes than
/// 8 the kubelet's topology manager would not start.
pub(super) fn nodes(amounts: Amounts) -> Vec<Entry> {
    let file = |path: &str, text: &str| Entry {
        path: path.to_owned(),
        kind: Kind::File(text.to_owned()),
    };
    let kibibytes = amounts.memory / 1024;
    let mut entries = vec![
        file("online", "0\n"),
        file("possible", "0\n"),
        file("has_cpu", "0\n"),
        file("has_memory", "0\n"),
        file("node0/distance", "10\n"),
        file("node0/cpulist", &cpu_list(amounts)),
        file(
            "node0/meminfo",
            &format!("Node 0 MemTotal:       {kibibytes} kB\n"),
        ),
    ];
    let threads = amounts.cpus.div_ceil(MAX_CORES);
    for core in 0..amounts.cpus.div_ceil(threads) {
        let topology = format!("node0/cores/{core}/topology");
        entries.push(file(&format!("{topology}/core_id"), &format!("{core}\n")));
        entries.push(file(&format!("{topology}/physical_package_id"), "0\n"));
    }
    entries.extend((0..amounts.cpus).map(|cpu| Entry {
        path: format!("node0/cpu{cpu}"),
        kind: Kind::Link(format!("cores/{}", cpu / threads)),
    }));
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    const REAL: &str = "\
MemTotal:       24684084 kB
MemFree:        10717624 kB
MemAvailable:   23763128 kB
Buffers:          162328 kB
SwapTotal:             0 kB
HugePages_Total:       0
";

    fn amounts(cpus: u64, memory: u64) -> Amounts {
        Amounts::new(cpus, memory).expect("within bounds")
    }

    /// As cAdvisor's regular expression finds it.
    fn value(text: &str, label: &str) -> u64 {
        let found = text.lines().find_map(|line| kibibytes(line, label));
        found.expect("a line")
    }

    #[test]
    fn as_much_memory_is_in_use_as_before() {
        for memory in [16_u64 << 40, 20 << 30] {
            let text = meminfo(REAL, amounts(4, memory)).expect("fits");
            let (total, free) = (value(&text, "MemTotal:"), value(&text, "MemFree:"));
            assert_eq!(total, memory / 1024);
            assert_eq!(total - free, 24_684_084 - 10_717_624, "in use");
            let taken = total - value(&text, "MemAvailable:");
            assert_eq!(taken, 24_684_084 - 23_763_128);
            assert!(text.contains("Buffers:          162328 kB\n"));
            assert!(text.ends_with("HugePages_Total:       0\n"));
        }
    }

    #[test]
    fn less_memory_than_is_in_use_is_refused() {
        let error = meminfo(REAL, amounts(4, 13 << 30)).expect_err("too little");
        assert!(matches!(error, Error::InUse { .. }), "{error}");
        let error = meminfo("MemTotal: 5 kB\n", amounts(4, 13 << 30)).expect_err("no text");
        assert_eq!(error.to_string(), "/proc/meminfo has no line MemFree:");
    }

    #[test]
    fn a_machine_is_one_node_with_all_cpus() {
        for (cpus, threads, list) in [
            (1, 1, "0\n"),
            (64, 1, "0-63\n"),
            (4097, 2, "0-4096\n"),
            (65_536, 16, "0-65535\n"),
        ] {
            let entries = nodes(amounts(cpus, 16 << 40));
            let has = |path: &str| entries.iter().find(|entry| entry.path == path);
            let list = Kind::File(list.to_owned());
            assert_eq!(has("node0/cpulist").map(|entry| &entry.kind), Some(&list));
            let links = entries.iter().filter_map(|entry| match &entry.kind {
                Kind::Link(to) => Some(to),
                Kind::File(_) => None,
            });
            let links: Vec<_> = links.collect();
            assert_eq!(links.len() as u64, cpus);
            for to in links {
                assert!(has(&format!("node0/{to}/topology/core_id")).is_some());
            }
            let cores = entries
                .iter()
                .filter(|entry| entry.path.ends_with("/core_id"));
            assert_eq!(cores.count() as u64, cpus.div_ceil(threads));
        }
    }
}
