//! How fast the log of a container is taken in, and how long its file may become: one container that writes
//! without end must not take the disk and the time of the others.
//!
//! What comes too fast is read later, and nothing of it is lost: the plugin keeps it. A file that has grown
//! too long waits for its rotation, which the kubelet does by `containerLogMaxSize` (10 MiB unless set, looked
//! at every 10 s: `container_log_manager.go` in k8s.io/kubernetes/pkg/kubelet/logs, since 1.14).

use std::time::{Duration, Instant};

/// How much may come at once before the rate counts: what arrives in so many seconds at that rate. A program
/// that prints much when it starts is not slowed down.
const BURST_SECONDS: u64 = 8;
/// A log that stays too fast says so again after this long.
const SAY_AGAIN: Duration = Duration::from_secs(600);

/// The bounds of each container's log, in bytes; 0 is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogBounds {
    /// Bytes of log in each second (`logs.max_bytes_per_second`).
    pub bytes_per_second: u64,
    /// Bytes of the file that is being written (`logs.max_file_bytes`).
    pub file_bytes: u64,
}

/// What a reader waits for before it takes more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The log has come too fast: this long.
    Rate(Duration),
    /// Its file is full: until it is another one.
    Rotation,
}

/// How far a log is within its bounds.
#[derive(Debug)]
pub struct Pace {
    bounds: LogBounds,
    /// Bytes that the rate has not made up for, as of `at`.
    ahead: u64,
    at: Instant,
    said_fast: Option<Instant>,
    said_full: bool,
}

impl Pace {
    /// That of a log of which nothing was written yet.
    pub fn new(bounds: LogBounds, now: Instant) -> Self {
        Self {
            bounds,
            ahead: 0,
            at: now,
            said_fast: None,
            said_full: false,
        }
    }

    /// Takes note that so many bytes of the log were written, and that the file is so long now. Gives what the
    /// next ones wait for.
    pub fn wrote(&mut self, bytes: u64, file: u64, now: Instant) -> Option<Wait> {
        let rate = self.bounds.bytes_per_second;
        let passed = now.saturating_duration_since(self.at).as_nanos();
        let made_up = passed.saturating_mul(u128::from(rate)) / NANOS;
        if made_up > 0 || self.ahead == 0 {
            // Else what has passed is counted with the next bytes.
            self.at = now;
        }
        let made_up = u64::try_from(made_up).unwrap_or(u64::MAX);
        self.ahead = self.ahead.saturating_sub(made_up).saturating_add(bytes);
        if self.is_full(file) {
            return Some(Wait::Rotation);
        }
        let over = self
            .ahead
            .saturating_sub(rate.saturating_mul(BURST_SECONDS));
        let nanos = u128::from(over)
            .saturating_mul(NANOS)
            .checked_div(u128::from(rate))?;
        let pause = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        (!pause.is_zero()).then_some(Wait::Rate(pause))
    }

    /// Whether a file of this length takes no more.
    pub fn is_full(&self, file: u64) -> bool {
        self.bounds.file_bytes != 0 && file >= self.bounds.file_bytes
    }

    /// The file is a new one.
    pub fn rotated(&mut self) {
        self.said_full = false;
    }

    /// What is to be said in the log itself of this wait, if it was not said lately.
    pub fn notice(&mut self, wait: Wait, now: Instant) -> Option<String> {
        match wait {
            Wait::Rate(_) => {
                let recent = |said: Instant| now.saturating_duration_since(said) < SAY_AGAIN;
                if self.said_fast.replace(now).is_some_and(recent) {
                    return None;
                }
                Some(format!(
                    "interlink-cri: this log grows faster than logs.max_bytes_per_second = {}, so it is read \
                     more slowly and shown late; nothing is left out",
                    self.bounds.bytes_per_second
                ))
            }
            Wait::Rotation => {
                if std::mem::replace(&mut self.said_full, true) {
                    return None;
                }
                Some(format!(
                    "interlink-cri: this file has reached logs.max_file_bytes = {}; the log goes on when the \
                     kubelet has rotated it, and ends here if its container ends before",
                    self.bounds.file_bytes
                ))
            }
        }
    }
}

const NANOS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(rate: u64, file: u64, now: Instant) -> Pace {
        let bounds = LogBounds {
            bytes_per_second: rate,
            file_bytes: file,
        };
        Pace::new(bounds, now)
    }

    #[test]
    fn a_log_is_taken_in_at_its_rate_after_a_burst() {
        let begin = Instant::now();
        let mut pace = pace(1000, 0, begin);
        assert_eq!(pace.wrote(8000, 8000, begin), None, "the burst");
        let mut now = begin;
        let mut taken = 0;
        while now < begin + Duration::from_secs(60) {
            taken += 100;
            match pace.wrote(100, 0, now) {
                Some(Wait::Rate(pause)) => now += pause,
                other => panic!("{other:?}"),
            }
        }
        assert!((59_000..61_000).contains(&taken), "{taken}");
    }

    #[test]
    fn a_log_within_its_rate_never_waits() {
        let begin = Instant::now();
        let mut pace = pace(1000, 0, begin);
        for step in 0..10_000 {
            // Ten bytes every ten milliseconds, looked at more often than the rate makes up for one.
            let now = begin + Duration::from_micros(step * 100);
            let bytes = if step % 100 == 0 { 10 } else { 0 };
            assert_eq!(pace.wrote(bytes, 0, now), None);
        }
        assert!(pace.ahead <= 10, "{}", pace.ahead);
    }

    #[test]
    fn without_bounds_nothing_waits() {
        let now = Instant::now();
        let mut pace = pace(0, 0, now);
        assert_eq!(pace.wrote(u64::MAX, u64::MAX, now), None);
        assert_eq!(pace.wrote(u64::MAX, u64::MAX, now), None);
    }

    #[test]
    fn a_full_file_waits_for_its_rotation_and_says_so_once_for_each_file() {
        let now = Instant::now();
        let mut pace = pace(0, 100, now);
        assert_eq!(pace.wrote(99, 99, now), None);
        assert_eq!(pace.wrote(1, 100, now), Some(Wait::Rotation));
        let text = pace.notice(Wait::Rotation, now).expect("said");
        assert!(text.contains("logs.max_file_bytes = 100"), "{text}");
        assert_eq!(pace.notice(Wait::Rotation, now), None);
        pace.rotated();
        assert!(pace.notice(Wait::Rotation, now).is_some());
    }

    #[test]
    fn a_fast_log_says_so_now_and_then() {
        let begin = Instant::now();
        let mut pace = pace(1, 0, begin);
        let wait = pace.wrote(100, 0, begin).expect("it waits");
        let text = pace.notice(wait, begin).expect("said");
        assert!(text.contains("logs.max_bytes_per_second = 1,"), "{text}");
        assert_eq!(pace.notice(wait, begin + Duration::from_secs(1)), None);
        let later = begin + Duration::from_secs(1) + SAY_AGAIN;
        assert!(pace.notice(wait, later).is_some());
    }
}
