//! Lists of all pod sandboxes and all containers, kept until something changes.
//!
//! A kubelet asks for both each second, and again every two and every ten, whether anything has changed or not:
//! its PLEG relists, its statuses and its garbage collection do (seen with kubelet 1.36). Of a node where nothing
//! happens they get the very bytes that the last one got.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use protobuf::Message;

use crate::proto::Encoded;

/// A list that nobody has asked for in such a time is forgotten.
const UNASKED: Duration = Duration::from_secs(15);

/// The last list of everything.
pub struct KeptList<L>(Mutex<Option<Kept<L>>>);

struct Kept<L> {
    /// That of the state that it shows.
    revision: u64,
    list: Encoded<L>,
    /// When it was asked for last.
    asked: Instant,
}

impl<L> Default for KeptList<L> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<L: Message> KeptList<L> {
    /// The list of the state's revision, which was read before anything that `make` reads.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn get<E>(
        &self,
        (revision, now): (u64, Instant),
        make: impl FnOnce() -> Result<Encoded<L>, E>,
    ) -> Result<Encoded<L>, E> {
        {
            let mut kept = self.0.lock();
            if let Some(kept) = kept.as_mut().filter(|kept| kept.revision == revision) {
                kept.asked = now;
                return Ok(kept.list.clone());
            }
            // The new one may take its memory.
            *kept = None;
        }
        let list = make()?;
        *self.0.lock() = Some(Kept {
            revision,
            list: list.clone(),
            asked: now,
        });
        Ok(list)
    }

    /// Forgets what nobody asks for any more; whether there was such a list.
    pub fn forget_unasked(&self, now: Instant) -> bool {
        let is_unasked = |kept: &mut Kept<L>| now.saturating_duration_since(kept.asked) > UNASKED;
        self.0.lock().take_if(is_unasked).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::proto::VersionResponse;

    #[test]
    fn a_list_is_made_once_for_each_revision_and_forgotten_when_nobody_asks() {
        let (kept, made) = (KeptList::<VersionResponse>::default(), Cell::new(0));
        let begin = Instant::now();
        let get = |revision: u64, seconds: u64| {
            let now = begin + Duration::from_secs(seconds);
            let list = kept.get((revision, now), || {
                made.set(made.get() + 1);
                Encoded::encode(&VersionResponse {
                    version: made.get().to_string(),
                    ..Default::default()
                })
            });
            let list = list.and_then(|list| list.decode());
            list.expect("a list").version
        };
        assert_eq!([get(1, 0), get(1, 9)], ["1", "1"]);
        assert_eq!([get(2, 9), get(2, 10)], ["2", "2"]);
        let forget = |seconds| kept.forget_unasked(begin + Duration::from_secs(seconds));
        assert!(!forget(25));
        assert_eq!(get(2, 25), "2", "it was asked for");
        assert!(!forget(40) && forget(41) && !forget(41));
        assert_eq!(get(2, 41), "3");
    }

    #[test]
    fn what_fails_is_not_kept() {
        let kept = KeptList::<VersionResponse>::default();
        let now = (1, Instant::now());
        assert_eq!(kept.get(now, || Err("no")).err(), Some("no"));
        let list = kept.get(now, || {
            Ok::<_, &str>(Encoded::encode(&VersionResponse::default()).expect("encodes"))
        });
        assert!(list.is_ok());
    }
}
