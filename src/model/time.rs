//! Points in time, and where they come from. Time is handed in, so that back-off, grace periods
//! and loss are tested without sleeping.

use std::{
    fmt, fs,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
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
    /// The time now; never less than before.
    fn now(&self) -> Nanos;
}

/// The machine's clock, of which nobody can set the time: doubts, pauses and deadlines are measured with it.
///
/// It begins with the wall clock, goes on with the time since boot (suspends included), and approaches the
/// wall clock where somebody has set that, by a tenth of the time that passes: of a grace period of 30 s that
/// leaves 27 s at least. After a restart of the process it begins with the wall clock again.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Nanos {
        static STEADY: Mutex<Option<(Steady, SinceBoot)>> = Mutex::new(None);
        let span = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let wall = Nanos::default().plus(span);
        let begin = || {
            let (passed, time) = (Duration::ZERO, wall);
            (Steady { passed, time }, SinceBoot::begin())
        };
        let mut steady = STEADY.lock();
        let (steady, since_boot) = steady.get_or_insert_with(begin);
        // Read under the lock, so that it grows from one reader to the next.
        let passed = since_boot.passed(&|| fs::read_to_string("/proc/uptime").ok());
        steady.advance(passed, wall)
    }
}

/// How the time since boot is measured. `Instant` leaves out the time in which the machine was suspended, and
/// the kernel's `uptime` has it, in hundredths of a second.
#[derive(Debug)]
struct SinceBoot {
    begin: Instant,
    /// The first `uptime`, less what had passed since `begin`.
    uptime: Option<Duration>,
    /// When that was looked at last.
    looked: Option<Duration>,
    suspended: Duration,
}

impl SinceBoot {
    /// How often the `uptime` is looked at.
    const LOOK: Duration = Duration::from_secs(1);
    /// A smaller difference is one of reading two clocks.
    const NOTICED: Duration = Duration::from_millis(100);

    fn begin() -> Self {
        Self {
            begin: Instant::now(),
            uptime: None,
            looked: None,
            suspended: Duration::ZERO,
        }
    }

    /// What has passed since the beginning; `uptime` reads the kernel's.
    fn passed(&mut self, uptime: &dyn Fn() -> Option<String>) -> Duration {
        let awake = self.begin.elapsed();
        if self
            .looked
            .is_none_or(|looked| awake >= looked + Self::LOOK)
        {
            self.looked = Some(awake);
            if let Some(uptime) = uptime().as_deref().and_then(parse_uptime) {
                self.look(awake, uptime);
            }
        }
        awake + self.suspended
    }

    fn look(&mut self, awake: Duration, uptime: Duration) {
        let first = *self.uptime.get_or_insert(uptime.saturating_sub(awake));
        let slept = uptime.saturating_sub(first).saturating_sub(awake);
        if slept > self.suspended + Self::NOTICED {
            self.suspended = slept;
        }
    }
}

/// The first number of `/proc/uptime`: seconds since boot.
fn parse_uptime(text: &str) -> Option<Duration> {
    let seconds = text.split_ascii_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// A time that nobody can set.
#[derive(Debug)]
struct Steady {
    /// What had passed since the beginning at the last look.
    passed: Duration,
    /// What time it was then.
    time: Nanos,
}

impl Steady {
    /// A clock that is off approaches the wall clock by one part in so many of the time that passes.
    const APPROACH: i64 = 10;

    fn advance(&mut self, passed: Duration, wall: Nanos) -> Nanos {
        let more = passed.saturating_sub(self.passed);
        let most = i64::try_from(more.as_nanos()).unwrap_or(i64::MAX) / Self::APPROACH;
        let expected = self.time.plus(more);
        let correction = wall.0.saturating_sub(expected.0).clamp(-most, most);
        self.passed = self.passed.max(passed);
        self.time = Nanos(expected.0.saturating_add(correction));
        self.time
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
    #[test]
    fn a_wall_clock_that_is_set_moves_no_deadline_by_more_than_a_tenth() {
        const SECOND: i64 = 1_000_000_000;
        let year = 365 * 24 * 3600 * SECOND;
        let steps = [
            year,
            -year,
            3600 * SECOND,
            -3600 * SECOND,
            i64::MAX,
            i64::MIN,
        ];
        for step in steps {
            let begin = Nanos(2 * year);
            let mut steady = Steady {
                passed: Duration::ZERO,
                time: begin,
            };
            let mut last = begin;
            for second in 1..=30 {
                let passed = Duration::from_secs(second);
                let wall = Nanos(begin.0.saturating_add(step)).plus(passed);
                let now = steady.advance(passed, wall);
                assert!(now > last, "{step}");
                last = now;
            }
            let passed = last.since(begin).as_secs_f64();
            assert!((27.0..=33.0).contains(&passed), "{step}: {passed}");
        }
    }

    #[test]
    fn a_small_error_is_corrected_soon_and_stays_so() {
        let mut steady = Steady {
            passed: Duration::ZERO,
            time: Nanos(1_000_000),
        };
        let mut at = |passed, wall| steady.advance(Duration::from_nanos(passed), Nanos(wall)).0;
        assert_eq!(at(10_000, 1_010_500), 1_010_500);
        assert_eq!(at(20_000, 1_020_500), 1_020_500);
        assert_eq!(at(10_000, 1_010_500), 1_020_500, "it never goes back");
    }

    #[test]
    fn suspends_count() {
        let seconds = Duration::from_secs;
        let mut since_boot = SinceBoot::begin();
        since_boot.look(seconds(1), seconds(1001));
        assert_eq!(since_boot.suspended, Duration::ZERO);
        since_boot.look(seconds(2), Duration::from_millis(1_002_010));
        assert_eq!(
            since_boot.suspended,
            Duration::ZERO,
            "hundredths are not exact"
        );
        since_boot.look(seconds(3), seconds(4603));
        assert_eq!(since_boot.suspended, seconds(3600));
        since_boot.look(seconds(4), seconds(4));
        assert_eq!(since_boot.suspended, seconds(3600), "it never goes back");
        assert_eq!(
            parse_uptime("350735.47 234388.90\n"),
            Some(Duration::from_millis(350_735_470))
        );
        for odd in ["", "x", "-1 2", "nan", "1e300"] {
            assert_eq!(parse_uptime(odd), None, "{odd}");
        }
    }

    #[test]
    fn the_machine_s_clock_only_grows() {
        let mut last = SystemClock.now();
        for _ in 0..1000 {
            let now = SystemClock.now();
            assert!(now >= last);
            last = now;
        }
        let wall = Nanos::from(jiff::Timestamp::now());
        let off = (wall.0 - last.0).unsigned_abs();
        assert!(off < 60_000_000_000, "it began with the wall clock: {off}");
    }
}
