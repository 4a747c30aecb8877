//! How long to wait after a failure: exponential, with a cap and jitter.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use super::Rules;

/// The pause after the `failures`-th failure in a row (the first is 1): `retry_min` doubled each
/// time up to `retry_max`, less up to a quarter. The jitter comes from `who`, so that jobs which
/// failed together do not come back together, and the function stays pure.
pub fn pause(failures: u32, who: impl Hash, rules: &Rules) -> Duration {
    let doublings = failures.saturating_sub(1).min(30);
    let full = rules
        .retry_min
        .saturating_mul(1 << doublings)
        .min(rules.retry_max);
    let mut hasher = DefaultHasher::new();
    (who, failures).hash(&mut hasher);
    let per_mille = u32::try_from(hasher.finish() % 250).unwrap_or(0);
    full - full * per_mille / 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn doubles_up_to_the_cap_and_jitters_below() {
        let rules = Rules {
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(300),
            ..Rules::from(&Config::default())
        };
        for (failures, full) in [
            (0, 1),
            (1, 1),
            (2, 2),
            (3, 4),
            (9, 256),
            (10, 300),
            (u32::MAX, 300),
        ] {
            let got = pause(failures, "job", &rules);
            let full = Duration::from_secs(full);
            assert!(
                got <= full && got >= full * 3 / 4,
                "{failures}: {got:?} of {full:?}"
            );
        }
        assert_ne!(pause(5, "a", &rules), pause(5, "b", &rules));
    }
}
