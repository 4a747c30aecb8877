//! Points in time, and where they come from. Time is handed in, so that back-off, grace periods
//! and loss are tested without sleeping.

use std::{
    fmt,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// Nanoseconds since the Unix epoch: the CRI's own unit for `created_at`, `started_at` and
/// `finished_at`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nanos(pub i64);

impl Nanos {
    /// How long ago `earlier` was, seen from `self`. A wall clock can step back; a time that
    /// lies in the future counts as long ago, so that what waits on it goes on at once instead
    /// of hanging for the length of the step.
    pub fn since(self, earlier: Nanos) -> Duration {
        match u64::try_from(self.0.saturating_sub(earlier.0)) {
            Ok(nanos) => Duration::from_nanos(nanos),
            Err(_) => Duration::MAX,
        }
    }

    /// How long to wait from `now` until `self`; nothing when it has passed.
    pub fn until(self, now: Nanos) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(now.0)).unwrap_or(0))
    }

    /// This time moved forward.
    #[must_use]
    pub fn plus(self, span: Duration) -> Nanos {
        Nanos(
            self.0
                .saturating_add(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)),
        )
    }

    /// The time in RFC 3339 with nanoseconds, UTC, as CRI log lines and people want it.
    pub fn rfc3339(self) -> String {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(time) => format!("{time:.9}"),
            // Every i64 of nanoseconds lies within jiff's range; kept for form.
            Err(_) => "1970-01-01T00:00:00.000000000Z".to_owned(),
        }
    }
}

impl fmt::Debug for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

impl From<jiff::Timestamp> for Nanos {
    fn from(time: jiff::Timestamp) -> Self {
        let nanos = time.as_nanosecond();
        Self(i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX }))
    }
}

/// Where "now" comes from.
pub trait Clock: Send + Sync + 'static {
    /// The time now, by the wall clock.
    fn now(&self) -> Nanos;
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Nanos {
        let span = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Nanos::default().plus(span)
    }
}

/// A clock that moves only when told to, for tests.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn at(now: Nanos) -> Self {
        Self(AtomicI64::new(now.0))
    }

    /// Moves the clock forward.
    pub fn advance(&self, span: Duration) {
        let next = self.now().plus(span);
        self.set(next);
    }

    /// Sets the clock, backward too.
    pub fn set(&self, now: Nanos) {
        self.0.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Nanos {
        Nanos(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_steps_back_hangs_nobody() {
        let (early, late) = (Nanos(1_000), Nanos(5_000));
        assert_eq!(late.since(early), Duration::from_nanos(4_000));
        assert_eq!(early.since(late), Duration::MAX);
        assert_eq!(early.until(late), Duration::ZERO);
        assert_eq!(late.until(early), Duration::from_nanos(4_000));
    }

    #[test]
    fn prints_nine_digits() {
        assert_eq!(
            Nanos(1_500_000_000_000_000_007).rfc3339(),
            "2017-07-14T02:40:00.000000007Z"
        );
        assert_eq!(Nanos(0).rfc3339(), "1970-01-01T00:00:00.000000000Z");
    }
}
