//! Memory that is not needed any more goes back to the system.
//!
//! An allocator keeps what was freed for the next one who asks. After a thousand pods were removed, or all of
//! the state was read at the start, that is more than the daemon itself. And of the program, what only the start
//! or a rare call needs stays mapped once it was read. So once things are quiet, the allocator is told to give back,
//! and the program's pages are let go: those that are needed are still in the system's page cache, and are mapped
//! again when they are used. That takes a millisecond or two, in which others may wait to allocate, and what is
//! needed again costs a little more the first time; so it is not done while there is much to do, nor often.

mod program;

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash},
    sync::OnceLock,
    time::{Duration, Instant},
};

pub use self::program::{note_program, unchanged_program};

/// The shortest time between two times that memory is given back.
const PAUSE: Duration = Duration::from_secs(10);
/// Memory is given back at the latest so long after the first change, however much there is to do.
const LONGEST: Duration = Duration::from_secs(60);

static RELEASE: OnceLock<fn()> = OnceLock::new();

/// Says how memory is given back. The program knows its allocator; without a word from it nothing is done.
pub fn set_release(release: fn()) {
    // Said once, where the program begins.
    let _ = RELEASE.set(release);
}

/// Gives memory back.
pub fn release() {
    if let Some(release) = RELEASE.get() {
        release();
    }
}

/// A map with no more places than these keeps them.
const SMALL: usize = 64;
/// A map is made smaller when it has so many places for each entry.
const SPARSE: usize = 8;

/// Makes a map smaller that is mostly empty: by itself it keeps the places that it had when it was largest. To be
/// called after entries were removed; taken over all removals, that costs each of them a fraction of one insertion.
pub fn shrink<K: Eq + Hash, V, S: BuildHasher>(map: &mut HashMap<K, V, S>) {
    if map.capacity() > SMALL && map.capacity() / SPARSE >= map.len() {
        map.shrink_to(map.len() * 2);
    }
}

/// Tells when it is quiet.
#[derive(Debug)]
pub struct Quiet {
    /// How many changes there were at the last look.
    changes: u64,
    /// Since when there is something to give back.
    since: Option<Instant>,
    /// When it was last done.
    last: Option<Instant>,
}

impl Quiet {
    /// From now on. The start has left something to give back.
    pub fn new(now: Instant) -> Self {
        Self {
            changes: 0,
            since: Some(now),
            last: None,
        }
    }

    /// Whether memory is to be given back now: something has changed since the last time, and nothing since
    /// the last look. `changes` counts them.
    pub fn is_due(&mut self, changes: u64, now: Instant) -> bool {
        let is_quiet = changes == self.changes;
        self.changes = changes;
        if !is_quiet && self.since.is_none() {
            self.since = Some(now);
        }
        let Some(since) = self.since else {
            return false;
        };
        let waited = |from: Instant, time| now.saturating_duration_since(from) >= time;
        let may = self.last.is_none_or(|last| waited(last, PAUSE));
        let is_due = may && (is_quiet || waited(since, LONGEST));
        if is_due {
            (self.since, self.last) = (None, Some(now));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At each second the number of changes so far; gives the seconds at which memory is given back.
    fn given_back(changes: impl Iterator<Item = u64>) -> Vec<u64> {
        let begin = Instant::now();
        let mut quiet = Quiet::new(begin);
        let looks = (1..).zip(changes);
        let due = looks.filter(|(second, changes)| {
            quiet.is_due(*changes, begin + Duration::from_secs(*second))
        });
        due.map(|(second, _)| second).collect()
    }

    #[test]
    fn a_map_becomes_smaller_with_what_is_in_it_and_not_at_each_removal() {
        let mut map: HashMap<_, _> = (0..10_000).map(|number| (number, ())).collect();
        let mut times = 0;
        for number in 0..10_000 {
            map.remove(&number);
            let before = map.capacity();
            shrink(&mut map);
            assert!(map.capacity() <= SMALL.max(SPARSE * 2 * map.len()));
            times += u32::from(map.capacity() < before);
        }
        assert!((3..8).contains(&times), "{times}");
    }

    #[test]
    fn it_is_done_once_when_it_has_become_quiet() {
        let nothing = std::iter::repeat_n(0, 100);
        assert_eq!(given_back(nothing), [1], "what the start has left");
        let burst = [0, 5, 9, 9, 9].into_iter();
        let burst = burst.chain(std::iter::repeat_n(9, 100));
        assert_eq!(given_back(burst), [1, 11]);
    }

    #[test]
    fn it_is_not_done_often_and_not_put_off_for_ever() {
        let now_and_then = (0..61).map(|second| second / 3);
        let often = given_back(now_and_then);
        assert!(
            often.windows(2).all(|two| two[1] - two[0] >= 10),
            "{often:?}"
        );
        assert!(often.len() >= 5, "{often:?}");
        assert_eq!(given_back(1..150), [60, 121]);
    }
}
