//! Limits on log lines that the other side can bring about at will.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// Lets one line through in each period, and counts what it held back.
pub struct Limited {
    period: Duration,
    state: Mutex<(Option<Instant>, u64)>,
}

impl Limited {
    /// One line in each period.
    pub const fn new(period: Duration) -> Self {
        Self {
            period,
            state: Mutex::new((None, 0)),
        }
    }

    /// Runs `print` if a line may go out now, with how many were held back since the last one.
    pub fn print(&self, print: impl FnOnce(u64)) {
        let mut state = self.state.lock();
        if state.0.is_some_and(|last| last.elapsed() < self.period) {
            state.1 += 1;
            return;
        }
        let held_back = std::mem::take(&mut state.1);
        state.0 = Some(Instant::now());
        drop(state);
        print(held_back);
    }
}

/// The same for each text by itself: what is new shows at once, and what comes again and again
/// does not hide it.
pub struct LimitedByText {
    period: Duration,
    /// When a text was last printed, and how often it was held back since. By its hash, for a text may be
    /// as long as what somebody sends.
    seen: Mutex<HashMap<u64, (Instant, u64)>>,
}

impl LimitedByText {
    /// As many texts are remembered.
    const MAX: usize = 256;

    /// One line for each text in each period.
    pub fn new(period: Duration) -> Self {
        Self {
            period,
            seen: Mutex::default(),
        }
    }

    /// As [`Limited::print`]; gives whether it ran.
    pub fn print(&self, text: &str, print: impl FnOnce(u64)) -> bool {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let key = hasher.finish();
        let mut seen = self.seen.lock();
        let held_back = match seen.get_mut(&key) {
            Some((last, held_back)) if last.elapsed() < self.period => {
                *held_back += 1;
                return false;
            }
            Some((_, held_back)) => *held_back,
            None => 0,
        };
        if seen.len() >= Self::MAX {
            seen.clear();
        }
        seen.insert(key, (Instant::now(), 0));
        drop(seen);
        print(held_back);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_it_holds_back() {
        let limited = Limited::new(Duration::from_secs(3600));
        let mut printed = Vec::new();
        for _ in 0..5 {
            limited.print(|held| printed.push(held));
        }
        assert_eq!(printed, [0]);
        let unlimited = Limited::new(Duration::ZERO);
        unlimited.print(|held| printed.push(held));
        assert_eq!(printed, [0, 0]);
    }

    #[test]
    fn each_text_has_its_own_limit() {
        let limited = LimitedByText::new(Duration::from_secs(3600));
        let mut printed = Vec::new();
        for text in ["a", "a", "b", "a", "b"] {
            limited.print(text, |held| printed.push((text, held)));
        }
        assert_eq!(printed, [("a", 0), ("b", 0)]);
        let unlimited = LimitedByText::new(Duration::ZERO);
        for number in 0..2 * LimitedByText::MAX {
            unlimited.print(&number.to_string(), |_| {});
            assert!(unlimited.seen.lock().len() <= LimitedByText::MAX);
        }
    }
}
