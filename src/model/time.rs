//! Points in time, and where they come from. Time is handed in, so that back-off, grace periods
//! and loss are tested without sleeping.

use std::{
    fmt, fs,
    sync::{
        atomic::{AtomicI64, Ordering},
        OnceLock,
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use rustix::time::{clock_gettime, ClockId};
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

    /// What is to be kept with the times that come from this clock, so that it can go on from there after a
    /// restart; none where that cannot be.
    fn mark(&self) -> Option<ClockMark> {
        None
    }

    /// Goes on from where it stood when a mark was made.
    fn resume(&self, _mark: &ClockMark) -> Resumed {
        Resumed::SameBoot
    }
}

/// Where a clock stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockMark {
    /// The kernel's id of the boot.
    pub boot: String,
    /// Nanoseconds from then, suspends included.
    pub since_boot: i64,
    /// What time it was.
    pub time: Nanos,
}

impl ClockMark {
    /// What time it is now by the clock that left this mark, and what is known of the time between. After a
    /// boot that is the wall clock's word, but the clock does not go back: what was owed since then is not put
    /// off.
    fn resumed(&self, now: &Self) -> (Nanos, Resumed) {
        if self.boot == now.boot && self.since_boot <= now.since_boot {
            let passed = now.since_boot.saturating_sub(self.since_boot);
            let time = Nanos(self.time.0.saturating_add(passed));
            return (time, Resumed::SameBoot);
        }
        (self.time.max(now.time), Resumed::OtherBoot)
    }

    /// Whether it says of a clock what another mark says of it, give or take the time that it takes to look.
    pub fn agrees_with(&self, other: &Self) -> bool {
        const NOTICED: u64 = 100_000_000;
        let began = |mark: &Self| mark.time.0.saturating_sub(mark.since_boot);
        self.boot == other.boot && began(self).abs_diff(began(other)) < NOTICED
    }
}

/// What is known of the time that passed while a clock was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// How long it was.
    SameBoot,
    /// Only what the wall clock says, which may have been set meanwhile: the machine was booted.
    OtherBoot,
}

/// The machine's clock, of which nobody can set the time: doubts, pauses and deadlines are measured with it.
///
/// It begins with the wall clock, or where it stood before a restart of the process; goes on with the time
/// since boot (suspends included); and approaches the wall clock where somebody has set that, by a tenth of the
/// time that passes: of a grace period of 30 s that leaves 27 s at least.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

static STEADY: Mutex<Option<Steady>> = Mutex::new(None);

impl Clock for SystemClock {
    fn now(&self) -> Nanos {
        let wall = wall_clock();
        let mut steady = STEADY.lock();
        // Read under the lock, so that it grows from one reader to the next.
        let passed = since_boot();
        let begin = || Steady { passed, time: wall };
        steady.get_or_insert_with(begin).advance(passed, wall)
    }

    fn mark(&self) -> Option<ClockMark> {
        let time = self.now();
        Some(ClockMark {
            boot: boot_id()?,
            since_boot: Nanos::default().plus(since_boot()).0,
            time,
        })
    }

    fn resume(&self, mark: &ClockMark) -> Resumed {
        let passed = since_boot();
        let now = ClockMark {
            boot: boot_id().unwrap_or_default(),
            since_boot: Nanos::default().plus(passed).0,
            time: wall_clock(),
        };
        let (time, resumed) = mark.resumed(&now);
        *STEADY.lock() = Some(Steady { passed, time });
        resumed
    }
}

fn wall_clock() -> Nanos {
    let span = SystemTime::now().duration_since(UNIX_EPOCH);
    Nanos::default().plus(span.unwrap_or_default())
}

/// The time since boot. `Instant` leaves out the time in which the machine was suspended.
fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Which boot of the machine this is. It is asked for with every change of the state, so it is read once: no
/// process lives on through a boot.
fn boot_id() -> Option<String> {
    static READ: OnceLock<String> = OnceLock::new();
    if let Some(id) = READ.get() {
        return Some(id.clone());
    }
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(READ.get_or_init(|| id.trim().to_owned()).clone())
}

/// A time that nobody can set.
#[derive(Debug)]
struct Steady {
    /// The time since boot at the last look.
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

    fn mark(boot: &str, since_boot: i64, time: i64) -> ClockMark {
        ClockMark {
            boot: boot.to_owned(),
            since_boot,
            time: Nanos(time),
        }
    }

    #[test]
    fn a_clock_goes_on_across_restarts_whatever_the_wall_clock_says() {
        let old = mark("a", 100, 5_000);
        let rows = [
            ("the wall clock was not set", mark("a", 130, 5_030), 5_030),
            ("it was set forward", mark("a", 130, 900_000), 5_030),
            ("it was set back", mark("a", 130, 3), 5_030),
        ];
        for (name, now, want) in rows {
            assert_eq!(
                old.resumed(&now),
                (Nanos(want), Resumed::SameBoot),
                "{name}"
            );
        }
        let rows = [
            ("another boot", mark("b", 5, 5_100), 5_100),
            ("the same one, which began anew", mark("a", 5, 5_100), 5_100),
            (
                "another boot, and the wall clock set back",
                mark("b", 5, 3),
                5_000,
            ),
            ("a boot without an id", mark("", 500, 5_100), 5_100),
        ];
        for (name, now, want) in rows {
            assert_eq!(
                old.resumed(&now),
                (Nanos(want), Resumed::OtherBoot),
                "{name}"
            );
        }
    }

    #[test]
    fn marks_agree_while_nobody_sets_the_wall_clock() {
        let second = 1_000_000_000;
        let old = mark("a", second, 5 * second);
        assert!(old.agrees_with(&mark("a", 61 * second, 65 * second + 1000)));
        assert!(!old.agrees_with(&mark("a", 61 * second, 66 * second)));
        assert!(!old.agrees_with(&mark("b", second, 5 * second)));
        let far = mark("a", i64::MAX, i64::MIN);
        assert!(!old.agrees_with(&far));
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
