//! When a cluster has changed so much, and for so long, that its node should say so.

use std::time::Duration;

use super::Amounts;

/// What to make of the amounts that a cluster is found to have, against those that its node offers.
#[derive(Debug)]
pub struct Lasting {
    offered: Amounts,
    /// The least change that counts, in parts of a hundred of what is offered.
    percent: f64,
    /// How long it must last.
    settle: Duration,
    /// When the change was seen first, and has been seen each time since.
    since: Option<Duration>,
    told: Option<Amounts>,
}

impl Lasting {
    /// Nothing has been seen yet.
    pub fn new(offered: Amounts, percent: f64, settle: Duration) -> Self {
        Self {
            offered,
            percent,
            settle,
            since: None,
            told: None,
        }
    }

    /// Takes in what a cluster has. `now` is any clock that only goes forward. True once for each
    /// change that has lasted.
    pub fn look(&mut self, seen: Amounts, now: Duration) -> bool {
        if self.offered.change_to(seen) < self.percent {
            (self.since, self.told) = (None, None);
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let is_told = |told: Amounts| told.change_to(seen) < self.percent;
        if now.saturating_sub(since) < self.settle || self.told.is_some_and(is_told) {
            return false;
        }
        self.told = Some(seen);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once_when_it_has_lasted() {
        let of = |cpus| Amounts::new(cpus, 1 << 40).expect("fits");
        let settle = Duration::from_secs(300);
        let mut lasting = Lasting::new(of(1000), 10.0, settle);
        for (second, cpus, want) in [
            (0, 1000, false),
            (10, 1099, false),
            (20, 1200, false),
            // Nodes that were away for a moment.
            (310, 1000, false),
            (320, 1200, false),
            (619, 1210, false),
            (620, 1205, true),
            (630, 1200, false),
            (900, 1400, true),
            (910, 1000, false),
            (920, 500, false),
            (1300, 500, true),
        ] {
            let now = Duration::from_secs(second);
            assert_eq!(lasting.look(of(cpus), now), want, "at {second} s");
        }
    }
}
