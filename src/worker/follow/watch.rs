//! A followed log, as the `follow` thread sees it: the stream that is to be cut off when its container has
//! ended, and now and then when nothing comes.
//!
//! A server goes on to follow the file that it has opened. When that is replaced or emptied over there, by
//! a rotation or because the job is queued again, nothing comes any more, and only a new stream, which
//! begins with all there is, shows what was written since.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::{backoff::Backoff, interlink::CancelToken};

/// A new stream brings the whole log again: of a long one, not more than this in a second.
const BYTES_PER_SECOND: u64 = 1 << 20;
/// How much longer than the shortest pause the longest one is, apart from that.
const SLOWEST: u32 = 60;

/// One followed log.
pub struct Watch(Mutex<State>);

struct State {
    stream: CancelToken,
    ended: bool,
    /// When something came, or the stream began.
    heard: Instant,
    /// Streams in a row that brought nothing new.
    silent: u32,
    /// How long the log was when the stream began.
    bytes: u64,
    pauses: Backoff,
}

impl Watch {
    /// One on which silence is looked into after this time at the earliest.
    pub fn new(pause: Duration) -> Self {
        Self(Mutex::new(State {
            stream: CancelToken::new(),
            ended: false,
            heard: Instant::now(),
            silent: 0,
            bytes: 0,
            pauses: Backoff::doubling(pause, pause.saturating_mul(SLOWEST)),
        }))
    }

    /// What ends the next stream, of a log of which so many bytes were read.
    pub fn begin(&self, bytes: u64) -> CancelToken {
        let mut state = self.0.lock();
        state.stream = CancelToken::new();
        (state.heard, state.bytes) = (Instant::now(), bytes);
        if state.ended {
            state.stream.cancel();
        }
        state.stream.clone()
    }

    /// Something has come, though nothing new yet: the stream begins with what is known.
    pub fn came(&self, now: Instant) {
        self.0.lock().heard = now;
    }

    /// Something new has come.
    pub fn heard(&self, now: Instant) {
        let mut state = self.0.lock();
        (state.heard, state.silent) = (now, 0);
    }

    /// Cuts off a stream on which nothing has come for long.
    pub fn look_at_it(&self, now: Instant) {
        let mut state = self.0.lock();
        let transfer = Duration::from_secs(state.bytes / BYTES_PER_SECOND);
        let pause = state
            .pauses
            .pause(state.silent.saturating_add(1))
            .max(transfer);
        if now.saturating_duration_since(state.heard) >= pause {
            state.heard = now;
            state.silent = state.silent.saturating_add(1);
            state.stream.cancel();
        }
    }

    /// Cuts off the stream, and those to come.
    pub fn end(&self) {
        let mut state = self.0.lock();
        state.ended = true;
        state.stream.cancel();
    }

    /// Whether the log is not to be followed any more.
    pub fn has_ended(&self) -> bool {
        self.0.lock().ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_looked_into_ever_less_often() {
        let second = Duration::from_secs(1);
        let watch = Watch::new(second);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let (stream, begun) = (watch.begin(0), Instant::now());
            let cut = (1..100).find(|after| {
                watch.look_at_it(begun + second * *after);
                stream.is_cancelled()
            });
            pauses.push(cut.expect("cut off"));
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        watch.heard(Instant::now());
        let stream = watch.begin(10 << 20);
        watch.look_at_it(Instant::now() + second * 9);
        assert!(
            !stream.is_cancelled(),
            "a long log is not fetched each second"
        );
        watch.look_at_it(Instant::now() + second * 11);
        assert!(stream.is_cancelled());
        // However slowly it comes, a stream on which it comes is not silent.
        let (stream, begun) = (watch.begin(10 << 20), Instant::now());
        for after in 0..60 {
            watch.came(begun + second * after);
            watch.look_at_it(begun + second * after + second / 2);
        }
        assert!(!stream.is_cancelled());
        watch.look_at_it(begun + second * 71);
        assert!(stream.is_cancelled());
    }

    #[test]
    fn an_end_cuts_off_what_begins_later() {
        let watch = Watch::new(Duration::from_secs(5));
        watch.end();
        assert!(watch.begin(0).is_cancelled() && watch.has_ended());
    }
}
