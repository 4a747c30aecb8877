//! When a followed log is read again: at once, or a little later with what comes meanwhile.
//!
//! Each small piece is a wakeup and a write, so what trickles is gathered. What comes after a silence is read at once.
//! Who rests while there is more gets no more than the socket holds, each time; so what comes fast is read while there
//! is something, and gathered for a moment only where that was all.

use std::time::{Duration, Instant};

/// A log that comes in small pieces is read no more often than this.
const GATHER: Duration = Duration::from_millis(200);
/// The same for a log that comes fast: 20 MB/s with a socket that holds 64 KiB.
const GATHER_FAST: Duration = Duration::from_millis(2);
/// A log of which less came in one to two times [`GATHER`] trickles.
const LITTLE: usize = 32 << 10;

/// How much came of a log in the last moments.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// Until when more is let come, where the last piece was all there was.
    rests_until: Option<Instant>,
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
        let rest = match trickles {
            true => GATHER,
            false => GATHER_FAST,
        };
        self.rests_until = is_all.then(|| now + rest);
    }

    /// How long to let more come before the next piece is read.
    pub(super) fn rest(&mut self, now: Instant) -> Duration {
        let until = self.rests_until.take();
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: usize = 8 << 10;

    /// A reader of a log that comes at this rate, into a socket that holds so much; gives the bytes that it has read
    /// after so many seconds, and how often it read.
    fn read(bytes_per_second: usize, socket: usize, seconds: u64) -> (usize, u32) {
        const STEP: Duration = Duration::from_micros(100);
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
            let (got, reads) = read(rate, 100_000, 20);
            assert!(got > rate * 19, "{got} at {rate}");
            // As many as pieces, or each time that more was let come.
            let most = (20 * rate / PIECE) as u32 + 20 * 500;
            assert!(reads < most, "{reads} at {rate}");
        }
    }

    #[test]
    fn a_log_that_was_fast_and_trickles_now_is_gathered_again() {
        let (begin, mut gathering) = (Instant::now(), Gathering::default());
        gathering.note(1 << 20, true, begin);
        assert_eq!(gathering.rest(begin), GATHER_FAST);
        for (millis, rest) in [(150, 2), (250, 2), (460, 200), (5_000, 200)] {
            let now = begin + Duration::from_millis(millis);
            gathering.note(100, true, now);
            assert_eq!(gathering.rest(now), Duration::from_millis(rest), "{millis}");
            assert_eq!(gathering.rest(now), Duration::ZERO, "once");
        }
        gathering.note(100, false, begin + Duration::from_secs(9));
        assert_eq!(gathering.rest(begin), Duration::ZERO, "there is more");
    }
}
