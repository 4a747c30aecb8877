//! When a followed log is read again: at once, or a little later with what comes meanwhile.
//!
//! Each small piece is a wakeup and a write, so what trickles is gathered. What comes after a silence is read at once,
//! and so is what comes fast: who rests while there is more gets no more than the socket holds, each time.

use std::time::{Duration, Instant};

/// A log that comes in small pieces is read no more often than this.
const GATHER: Duration = Duration::from_millis(200);
/// A log of which less came in one to two times [`GATHER`] trickles.
const LITTLE: usize = 32 << 10;

/// How much came of a log in the last moments.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// When the last piece was read, where that was all there was of a log that trickles.
    emptied: Option<Instant>,
    /// When the present moment began, of the length [`GATHER`].
    begun: Option<Instant>,
    /// Bytes that came in it, and in the one before.
    came: [usize; 2],
}

impl Gathering {
    /// Notes that so many bytes were read, and whether that was all there was.
    pub(super) fn note(&mut self, bytes: usize, is_all: bool, now: Instant) {
        let passed = self.begun.map(|begun| now.saturating_duration_since(begun));
        match passed {
            Some(passed) if passed < GATHER => {}
            Some(passed) if passed < 2 * GATHER => {
                (self.begun, self.came) = (Some(now), [0, self.came[0]]);
            }
            _ => (self.begun, self.came) = (Some(now), [0, 0]),
        }
        self.came[0] = self.came[0].saturating_add(bytes);
        let trickles = self.came[0].saturating_add(self.came[1]) < LITTLE;
        self.emptied = (is_all && trickles).then_some(now);
    }

    /// How long to let more come before the next piece is read.
    pub(super) fn rest(&mut self, now: Instant) -> Duration {
        let emptied = self.emptied.take();
        emptied.map_or(Duration::ZERO, |emptied| {
            GATHER.saturating_sub(now.saturating_duration_since(emptied))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader of a log that comes at this rate, into a socket that holds so much; gives the bytes that it has read
    /// after so many seconds, and how often it read.
    fn read(bytes_per_second: usize, socket: usize, seconds: u64) -> (usize, u32) {
        const STEP: Duration = Duration::from_micros(100);
        const PIECE: usize = 8 << 10;
        let (begin, mut gathering) = (Instant::now(), Gathering::default());
        let (mut now, mut waiting, mut got, mut reads) = (Duration::ZERO, 0.0_f64, 0, 0);
        let arrive = |now: &mut Duration, waiting: &mut f64, span: Duration| {
            *now += span;
            let more = bytes_per_second as f64 * span.as_secs_f64();
            *waiting = (*waiting + more).min(socket as f64);
        };
        while now < Duration::from_secs(seconds) {
            let rest = gathering.rest(begin + now);
            arrive(&mut now, &mut waiting, rest.max(STEP));
            let bytes = (waiting as usize).min(PIECE);
            if bytes > 0 {
                waiting -= bytes as f64;
                gathering.note(bytes, bytes < PIECE, begin + now);
                (got, reads) = (got + bytes, reads + 1);
            }
        }
        (got, reads)
    }

    #[test]
    fn what_trickles_is_gathered_and_what_comes_fast_is_not_held_up() {
        let (got, reads) = read(2_000, 100_000, 20);
        assert!(got > 39_000 && reads < 110, "{got} in {reads}");
        for rate in [500_000, 2_000_000, 30_000_000] {
            let (got, _) = read(rate, 100_000, 20);
            assert!(got > rate * 19, "{got} at {rate}");
        }
    }

    #[test]
    fn a_log_that_was_fast_and_trickles_now_is_gathered_again() {
        let (begin, mut gathering) = (Instant::now(), Gathering::default());
        gathering.note(1 << 20, true, begin);
        assert_eq!(gathering.rest(begin), Duration::ZERO);
        for (millis, rest) in [(150, 0), (250, 0), (460, 200), (5_000, 200)] {
            let now = begin + Duration::from_millis(millis);
            gathering.note(100, true, now);
            assert_eq!(gathering.rest(now), Duration::from_millis(rest), "{millis}");
            assert_eq!(gathering.rest(now), Duration::ZERO, "once");
        }
        gathering.note(100, false, begin + Duration::from_secs(9));
        assert_eq!(gathering.rest(begin), Duration::ZERO, "there is more");
    }
}
