//! Counters of what the daemon did, shown in the verbose `Status`.

use std::sync::atomic::{AtomicU64, Ordering};

use super::metrics::Metrics;

/// One thing that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// CRI calls answered.
    CriCalls,
    /// CRI calls answered with an error.
    CriErrors,
    /// CRI calls refused because too many were waiting.
    CriRefused,
    /// CRI calls whose handler panicked: a fault of ours, and never anything else.
    Panics,
    /// Jobs that the plugin took.
    JobsSubmitted,
    /// Jobs that the plugin refused for good.
    JobsRefused,
    /// Jobs that the plugin lost.
    JobsLost,
    /// Jobs that had not ended, and whose cancellation was confirmed.
    JobsCancelled,
    /// Calls to interLink.
    InterLinkCalls,
    /// Calls to interLink that failed.
    InterLinkErrors,
    /// Bytes of container logs written.
    LogBytes,
    /// Lines of the audit that could not be written.
    AuditErrors,
}

impl Counter {
    /// Every counter with its name.
    pub const ALL: [(Counter, &'static str); 12] = [
        (Counter::CriCalls, "cri_calls"),
        (Counter::CriErrors, "cri_errors"),
        (Counter::CriRefused, "cri_refused"),
        (Counter::Panics, "panics"),
        (Counter::JobsSubmitted, "jobs_submitted"),
        (Counter::JobsRefused, "jobs_refused"),
        (Counter::JobsLost, "jobs_lost"),
        (Counter::JobsCancelled, "jobs_cancelled"),
        (Counter::InterLinkCalls, "interlink_calls"),
        (Counter::InterLinkErrors, "interlink_errors"),
        (Counter::LogBytes, "log_bytes"),
        (Counter::AuditErrors, "audit_errors"),
    ];
}

/// All counters, from zero at the daemon's start.
#[derive(Debug, Default)]
pub struct Counters {
    values: [AtomicU64; Counter::ALL.len()],
    /// What is counted by labels, and timed.
    pub metrics: Metrics,
}

impl Counters {
    /// Adds to a counter.
    pub fn add(&self, counter: Counter, count: u64) {
        self.values[counter as usize].fetch_add(count, Ordering::Relaxed);
    }

    /// Adds one to a counter.
    pub fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// A counter's value.
    pub fn get(&self, counter: Counter) -> u64 {
        self.values[counter as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_a_place_of_its_own() {
        let counters = Counters::default();
        for (index, (counter, _)) in Counter::ALL.iter().enumerate() {
            assert_eq!(*counter as usize, index);
            counters.add(*counter, index as u64);
            assert_eq!(counters.get(*counter), index as u64);
        }
    }
}
