//! How much a node is to offer.

use crate::quantity::{self, NotAQuantity};

/// The most CPUs: cAdvisor keeps the number of a CPU in 16 bits (`getCPUID` in `lib/utils/sysfs`), and
/// the kubelet has a metric for each.
pub const MAX_CPUS: u64 = 1 << 16;
/// The most memory in bytes, 1 EiB: the kubelet counts it in 63 bits, also summed up.
pub const MAX_MEMORY: u64 = 1 << 60;
/// The least memory in bytes. The kubelet holds back some for itself, and evicts pods below 100 MiB.
pub const MIN_MEMORY: u64 = 1 << 30;

/// Why a node cannot be of some size.
#[derive(Debug, thiserror::Error)]
pub enum BadAmount {
    /// A text that is no amount.
    #[error("the amount of {what}")]
    NotAQuantity {
        /// `CPUs` or `memory`.
        what: &'static str,
        /// Names the text, and says what would be a quantity.
        source: NotAQuantity,
    },
    /// So many CPUs.
    #[error("a node cannot have {0} CPUs; 1 to {MAX_CPUS} are possible. Larger clusters need several nodes")]
    Cpus(u64),
    /// So much memory.
    #[error(
        "a node cannot have {} of memory; {} to {} are possible",
        quantity::memory(*.0).0,
        quantity::memory(MIN_MEMORY).0,
        quantity::memory(MAX_MEMORY).0
    )]
    Memory(u64),
}

/// The size of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amounts {
    /// Logical CPUs.
    pub cpus: u64,
    /// Bytes of memory; a multiple of 1024, as `/proc/meminfo` counts.
    pub memory: u64,
}

impl Amounts {
    /// Reads Kubernetes quantities, such as `4096` and `16Ti`. Part of a CPU, or of a KiB, is left
    /// out.
    ///
    /// # Errors
    /// Texts that are no quantities, and amounts that a kubelet cannot take.
    pub fn parse(cpu: &str, memory: &str) -> Result<Self, BadAmount> {
        let not_a_quantity = |what| move |source| BadAmount::NotAQuantity { what, source };
        let cpus = quantity::parse_cpu(cpu).map_err(not_a_quantity("CPUs"))? / 1000;
        let memory = quantity::parse_memory(memory).map_err(not_a_quantity("memory"))?;
        Self::new(cpus, memory)
    }

    /// Takes amounts that are within bounds.
    ///
    /// # Errors
    /// Amounts that a kubelet cannot take.
    pub fn new(cpus: u64, memory: u64) -> Result<Self, BadAmount> {
        if cpus == 0 || cpus > MAX_CPUS {
            return Err(BadAmount::Cpus(cpus));
        }
        if !(MIN_MEMORY..=MAX_MEMORY).contains(&memory) {
            return Err(BadAmount::Memory(memory));
        }
        Ok(Self {
            cpus,
            memory: memory / 1024 * 1024,
        })
    }

    /// By how much of it the larger of two differs from this, in parts of a hundred.
    pub fn change_to(self, other: Self) -> f64 {
        let change = |old: u64, new: u64| (new as f64 - old as f64).abs() * 100.0 / old as f64;
        change(self.cpus, other.cpus).max(change(self.memory, other.memory))
    }
}

impl std::fmt::Display for Amounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} CPUs and {} of memory",
            self.cpus,
            quantity::memory(self.memory).0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_that_a_kubelet_can_take() {
        let large = Amounts::parse("4096", "16Ti").expect("fits");
        assert_eq!((large.cpus, large.memory), (4096, 16 << 40));
        assert_eq!(large.to_string(), "4096 CPUs and 16Ti of memory");
        let odd = Amounts::parse("2500m", "4G").expect("fits");
        assert_eq!((odd.cpus, odd.memory % 1024), (2, 0));
        for (cpu, memory) in [
            ("0", "1Ti"),
            ("999m", "1Ti"),
            ("65537", "1Ti"),
            ("4", "1023Mi"),
            ("4", "2Ei"),
            ("four", "1Ti"),
            ("4", "much"),
            ("-1", "1Ti"),
        ] {
            assert!(Amounts::parse(cpu, memory).is_err(), "{cpu} {memory}");
        }
    }

    #[test]
    fn a_change_is_that_of_the_amount_that_changed_most() {
        let of = |cpus, memory: u64| Amounts::new(cpus, memory << 30).expect("fits");
        assert!((of(100, 100).change_to(of(100, 100))).abs() < 0.01);
        assert!((of(100, 100).change_to(of(110, 80)) - 20.0).abs() < 0.01);
        assert!((of(100, 100).change_to(of(50, 100)) - 50.0).abs() < 0.01);
    }
}
