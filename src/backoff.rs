//! How long to wait before something is tried again: longer each time, up to a bound.
//!
//! Pure: who waits counts the failures and has the clock. The pauses of everything in the daemon
//! that tries again come from here.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

/// After so many steps every pause is taken to be the longest one: 2^64 of anything is.
const MAX_STEPS: u32 = 64;

/// A row of pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The pause after the first failure.
    pub shortest: Duration,
    /// No pause is longer, whatever the number of failures.
    pub longest: Duration,
    /// What a pause is multiplied by to give the next one, in percent; more than 100.
    percent: u32,
}

impl Backoff {
    /// Pauses that double.
    pub const fn doubling(shortest: Duration, longest: Duration) -> Self {
        Self {
            shortest,
            longest,
            percent: 200,
        }
    }

    /// Pauses of which each is half as long again as the one before it.
    pub const fn slow(shortest: Duration, longest: Duration) -> Self {
        Self {
            shortest,
            longest,
            percent: 150,
        }
    }

    /// The pause after the `failures`-th failure in a row. The first is 1; 0 is the same.
    pub fn pause(&self, failures: u32) -> Duration {
        let steps = failures.saturating_sub(1).min(MAX_STEPS);
        let mut pause = self.shortest;
        for _ in 0..steps {
            if pause >= self.longest {
                break;
            }
            pause = pause.saturating_mul(self.percent) / 100;
        }
        pause.min(self.longest)
    }

    /// The same, less up to a quarter. How much depends on `who`, so that what failed together is
    /// not tried again together; there is no other chance in it.
    pub fn spread(&self, failures: u32, who: impl Hash) -> Duration {
        let full = self.pause(failures);
        let mut hasher = DefaultHasher::new();
        (who, failures).hash(&mut hasher);
        let per_mille = u32::try_from(hasher.finish() % 250).unwrap_or(0);
        full - full.saturating_mul(per_mille) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECONDS: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let doubling = Backoff::doubling(SECONDS(1), SECONDS(300));
        for (failures, seconds) in [
            (0, 1),
            (1, 1),
            (2, 2),
            (3, 4),
            (9, 256),
            (10, 300),
            (u32::MAX, 300),
        ] {
            assert_eq!(doubling.pause(failures), SECONDS(seconds), "{failures}");
        }
        let slow = Backoff::slow(SECONDS(2), SECONDS(5));
        let pauses = [1, 2, 3, 4].map(|failures| slow.pause(failures).as_millis());
        assert_eq!(pauses, [2000, 3000, 4500, 5000]);
    }

    #[test]
    fn odd_bounds_do_no_harm() {
        for (shortest, longest) in [
            (Duration::ZERO, SECONDS(1)),
            (SECONDS(9), SECONDS(1)),
            (Duration::MAX, Duration::MAX),
            (Duration::from_nanos(1), SECONDS(1)),
        ] {
            let pause = Backoff::slow(shortest, longest).spread(u32::MAX, "a");
            assert!(pause <= longest, "{shortest:?} {longest:?}: {pause:?}");
        }
    }

    #[test]
    fn what_failed_together_does_not_come_back_together() {
        let doubling = Backoff::doubling(SECONDS(1), SECONDS(300));
        for failures in 0..20 {
            let (full, got) = (doubling.pause(failures), doubling.spread(failures, "job"));
            assert!(
                got <= full && got >= full * 3 / 4,
                "{failures}: {got:?} of {full:?}"
            );
        }
        assert_ne!(doubling.spread(5, "a"), doubling.spread(5, "b"));
    }
}
