//! Lists of all pod sandboxes and all containers, kept until something changes.
//!
//! A kubelet asks for both each second, and again every two and every ten, whether anything has changed or not:
//! its PLEG relists, its statuses and its garbage collection do (seen with kubelet 1.36). Of a node where nothing
//! happens they get the very bytes that the last one got. Of those who ask for a part of it, as its runtime cache does
//! for what is ready or runs, the part is copied from there.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use protobuf::Message;

use super::listed::List;
use crate::proto::Encoded;

/// A list that nobody has asked for in such a time is forgotten.
const UNASKED: Duration = Duration::from_secs(15);

/// The last list of everything.
pub struct KeptList<L, T>(Mutex<Option<Kept<L, T>>>);

struct Kept<L, T> {
    /// That of the state that it shows.
    revision: u64,
    whole: Arc<Whole<L, T>>,
    /// When it was asked for last.
    asked: Instant,
}

/// A list of everything, and what it lists, in the same order.
pub struct Whole<L, T> {
    items: Vec<T>,
    list: List<L>,
}

impl<L: Message, T> Whole<L, T> {
    /// A list of these items.
    pub fn new(items: Vec<T>, list: List<L>) -> Self {
        Self { items, list }
    }

    /// What is listed.
    pub fn items(&self) -> &[T] {
        &self.items
    }

    /// All of it.
    pub fn list(&self) -> Encoded<L> {
        self.list.encoded.clone()
    }

    /// The list of those that fit, copied from the whole one; none where values were cut in that.
    pub fn part(&self, fits: impl Fn(&T) -> bool) -> Option<Encoded<L>> {
        let ends = self.list.ends.as_ref()?;
        let whole = self.list.encoded.as_slice();
        // Neighbours are copied together.
        let (mut runs, mut bytes, mut start) = (Vec::<Range<usize>>::new(), 0, 0);
        for (item, end) in self.items.iter().zip(ends) {
            if fits(item) {
                bytes += end - start;
                match runs.last_mut().filter(|run| run.end == start) {
                    Some(run) => run.end = *end,
                    None => runs.push(start..*end),
                }
            }
            start = *end;
        }
        if bytes == whole.len() {
            return Some(self.list());
        }
        let mut part = Vec::with_capacity(bytes);
        for run in runs {
            part.extend_from_slice(&whole[run]);
        }
        Some(Encoded::new(part))
    }
}

impl<L, T> Default for KeptList<L, T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<L, T> KeptList<L, T> {
    /// The list of the state's revision, which was read before anything that `make` reads.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn get<E>(
        &self,
        (revision, now): (u64, Instant),
        make: impl FnOnce() -> Result<Whole<L, T>, E>,
    ) -> Result<Arc<Whole<L, T>>, E> {
        if let Some(whole) = self.current((revision, now)) {
            return Ok(whole);
        }
        // The new one may take its memory.
        *self.0.lock() = None;
        let whole = Arc::new(make()?);
        *self.0.lock() = Some(Kept {
            revision,
            whole: whole.clone(),
            asked: now,
        });
        Ok(whole)
    }

    /// The list of the state's revision, if there is one.
    pub fn current(&self, (revision, now): (u64, Instant)) -> Option<Arc<Whole<L, T>>> {
        let mut kept = self.0.lock();
        let kept = kept.as_mut().filter(|kept| kept.revision == revision)?;
        kept.asked = now;
        Some(kept.whole.clone())
    }

    /// Forgets what nobody asks for any more; whether there was such a list.
    pub fn forget_unasked(&self, now: Instant) -> bool {
        let is_unasked =
            |kept: &mut Kept<L, T>| now.saturating_duration_since(kept.asked) > UNASKED;
        self.0.lock().take_if(is_unasked).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::{
        cri::listed,
        proto::{PodSandbox, PodSandboxStatsRequest},
    };

    /// A list of texts; any message with a text in its first field does.
    type Texts = Whole<PodSandboxStatsRequest, String>;

    fn texts(items: &[&str]) -> Texts {
        let items: Vec<_> = items.iter().map(ToString::to_string).collect();
        let list = listed::list(
            &items,
            |fields, item| fields.text(1, item),
            1 << 20,
            (
                "texts",
                |_: &mut PodSandboxStatsRequest| -> &mut Vec<PodSandbox> {
                    unreachable!("they fit")
                },
            ),
        );
        Whole::new(items, list.expect("a list"))
    }

    #[test]
    fn a_list_is_made_once_for_each_revision_and_forgotten_when_nobody_asks() {
        let (kept, made) = (KeptList::default(), Cell::new(0));
        let begin = Instant::now();
        let get = |revision: u64, seconds: u64| {
            let now = begin + Duration::from_secs(seconds);
            let whole = kept.get((revision, now), || {
                made.set(made.get() + 1);
                Ok::<_, String>(texts(&[&made.get().to_string()]))
            });
            whole.expect("a list").items()[0].clone()
        };
        assert_eq!([get(1, 0), get(1, 9)], ["1", "1"]);
        assert_eq!([get(2, 9), get(2, 10)], ["2", "2"]);
        let forget = |seconds| kept.forget_unasked(begin + Duration::from_secs(seconds));
        assert!(!forget(25));
        assert_eq!(get(2, 25), "2", "it was asked for");
        let current = |revision, seconds| {
            kept.current((revision, begin + Duration::from_secs(seconds)))
                .is_some()
        };
        assert!(current(2, 26) && !current(3, 27));
        assert!(!forget(41) && forget(42) && !forget(42));
        assert!(!current(2, 42));
        assert_eq!(get(2, 42), "3");
    }

    #[test]
    fn what_fails_is_not_kept() {
        let kept = KeptList::default();
        let now = (1, Instant::now());
        assert_eq!(kept.get(now, || Err("no")).err(), Some("no"));
        assert!(kept.get(now, || Ok::<_, &str>(texts(&["a"]))).is_ok());
    }

    #[test]
    fn a_part_is_what_a_list_of_those_would_be() {
        let all = ["a", "bb", "", &"c".repeat(300), "dd", "e"];
        let whole = texts(&all);
        for choice in 0..1 << all.len() {
            let is_chosen = |item: &str| {
                let place = all.iter().position(|one| *one == item);
                place.is_some_and(|place| choice >> place & 1 == 1)
            };
            let part = whole.part(|item| is_chosen(item)).expect("a part");
            let chosen: Vec<_> = all.into_iter().filter(|item| is_chosen(item)).collect();
            assert_eq!(part.as_slice(), texts(&chosen).list().as_slice());
        }
    }
}
