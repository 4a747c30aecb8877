//! When each of the logs that one thread reads is read again: a log is fetched whole each time, so one that is
//! quiet is asked for less and less often, and all of them together cost no more than a known rate.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

use crate::backoff::Backoff;

/// What fetching all of them may cost in the long run.
const BYTES_PER_SECOND: u64 = 1 << 20;
/// How much longer than the shortest pause that of a quiet log becomes.
const SLOWEST: u32 = 6;

/// The logs, and when their turns are.
#[derive(Debug)]
pub struct Turns<K> {
    pauses: Backoff,
    logs: HashMap<K, Turn>,
    /// The lengths of all logs, as far as they were read.
    bytes: u64,
}

#[derive(Debug)]
struct Turn {
    due: Instant,
    /// The log's length when it was read.
    bytes: u64,
    /// Reads in a row that brought nothing new.
    quiet: u32,
}

impl<K: Clone + Eq + Hash> Turns<K> {
    /// None yet; one that has something to say each time is read with this pause between.
    pub fn new(pause: Duration) -> Self {
        Self {
            pauses: Backoff::doubling(pause, pause.saturating_mul(SLOWEST)),
            logs: HashMap::new(),
            bytes: 0,
        }
    }

    /// From now on these are read, and no others. New ones are first read within one pause, one after the other.
    pub fn set(&mut self, keys: impl IntoIterator<Item = K>, now: Instant) {
        let mut before = std::mem::take(&mut self.logs);
        let mut new = Vec::new();
        for key in keys {
            match before.remove(&key) {
                Some(turn) => {
                    self.logs.insert(key, turn);
                }
                None => new.push(key),
            }
        }
        self.bytes = self.logs.values().map(|turn| turn.bytes).sum();
        let step = self.pauses.shortest / u32::try_from(new.len()).unwrap_or(u32::MAX).max(1);
        let mut due = now;
        for key in new {
            let (bytes, quiet) = (0, 0);
            self.logs.insert(key, Turn { due, bytes, quiet });
            due += step;
        }
    }

    /// The log whose turn comes first, and when that is.
    pub fn next(&self) -> Option<(&K, Instant)> {
        let turns = self.logs.iter().map(|(key, turn)| (key, turn.due));
        turns.min_by_key(|(_, due)| *due)
    }

    /// A log was read; it is so long now. One that could not be read is as long as before.
    pub fn was_read(&mut self, key: &K, bytes: Option<u64>, now: Instant) {
        let Some(turn) = self.logs.get_mut(key) else {
            return;
        };
        let bytes = bytes.unwrap_or(turn.bytes);
        turn.quiet = match bytes == turn.bytes {
            true => turn.quiet.saturating_add(1),
            false => 0,
        };
        self.bytes = self.bytes.saturating_sub(turn.bytes).saturating_add(bytes);
        turn.bytes = bytes;
        let all_read = Duration::from_millis(self.bytes.saturating_mul(1000) / BYTES_PER_SECOND);
        turn.due = now + self.pauses.pause(turn.quiet).max(all_read);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);

    /// Reads for so long, in no time, logs of such lengths; gives how often each of them was read.
    fn read(
        turns: &mut Turns<usize>,
        span: Duration,
        lengths: impl Fn(usize, u32) -> u64,
        logs: usize,
    ) -> Vec<u32> {
        let begin = Instant::now();
        turns.set(0..logs, begin);
        let mut reads = vec![0; logs];
        while let Some((&log, due)) = turns.next().filter(|(_, due)| *due < begin + span) {
            reads[log] += 1;
            turns.was_read(&log, Some(lengths(log, reads[log])), due);
        }
        reads
    }

    #[test]
    fn what_goes_on_is_read_each_time_and_what_is_quiet_less_and_less_often() {
        let mut turns = Turns::new(PAUSE);
        let lengths = |log, reads: u32| if log == 0 { u64::from(reads) } else { 1 };
        let reads = read(&mut turns, Duration::from_secs(300), lengths, 2);
        // At first after 5 s, then 5, 10, 20, and 30 from there on.
        assert_eq!(reads, [60, 13]);
    }

    #[test]
    fn a_quiet_log_that_goes_on_is_read_often_again() {
        let mut turns = Turns::new(PAUSE);
        let now = Instant::now();
        turns.set(["log"], now);
        (0..10).for_each(|_| turns.was_read(&"log", Some(7), now));
        assert_eq!(turns.next(), Some((&"log", now + PAUSE * SLOWEST)));
        turns.was_read(&"log", Some(8), now);
        assert_eq!(turns.next(), Some((&"log", now + PAUSE)));
        turns.was_read(&"log", None, now);
        turns.was_read(&"log", None, now);
        assert_eq!(turns.next(), Some((&"log", now + PAUSE * 2)));
    }

    #[test]
    fn long_logs_take_no_more_than_the_rate_together() {
        let mut turns = Turns::new(PAUSE);
        let (span, log) = (Duration::from_secs(600), 8 << 20);
        let reads = read(&mut turns, span, |_, reads| log + u64::from(reads), 10);
        let bytes: u64 = reads.iter().map(|reads| u64::from(*reads) * log).sum();
        let rate = bytes / span.as_secs();
        assert!(rate < BYTES_PER_SECOND * 5 / 4, "{rate} bytes a second");
        assert!(rate > BYTES_PER_SECOND / 2, "{rate} bytes a second");
        assert!(reads.iter().all(|count| *count > 5), "{reads:?}");
    }

    #[test]
    fn new_logs_are_spread_and_those_that_stay_keep_their_turns() {
        let mut turns = Turns::new(PAUSE);
        let now = Instant::now();
        turns.set([0], now);
        turns.was_read(&0, Some(1), now);
        turns.set([0, 1, 2, 3, 4, 5], now);
        let dues: Vec<_> = (1..6).map(|log| turns.logs[&log].due - now).collect();
        assert_eq!(dues, [0, 1, 2, 3, 4].map(Duration::from_secs));
        assert_eq!(turns.logs[&0].due, now + PAUSE);
        turns.set([], now);
        assert_eq!(turns.next(), None);
    }
}
