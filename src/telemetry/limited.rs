//! A limit on log lines that the other side can bring about at will.

use std::time::{Duration, Instant};

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
}
