//! Which state of the pods one has looked at.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Counts the changes of pods since the start.
#[derive(Debug, Default)]
pub struct Revision {
    /// How many changes are being shown: who sees a pod's new state now may not see yet that it is counted.
    under_way: AtomicU32,
    changes: AtomicU64,
}

impl Revision {
    /// Begins to show a change. It is counted when the guard is dropped.
    pub fn change(&self) -> Changing<'_> {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        Changing(self)
    }

    /// How many changes there were.
    pub fn now(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// The same, unless one is being shown: who has seen a change gets a number with it, or none.
    pub fn settled(&self) -> Option<u64> {
        // In this order: a change is counted before it is no longer under way.
        let is_settled = self.under_way.load(Ordering::SeqCst) == 0;
        is_settled.then(|| self.now())
    }
}

/// While it lives, a change is being shown.
#[must_use]
pub struct Changing<'a>(&'a Revision);

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.changes.fetch_add(1, Ordering::SeqCst);
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_counted_when_all_see_it() {
        let revision = Revision::default();
        assert_eq!(revision.settled(), Some(0));
        let (first, second) = (revision.change(), revision.change());
        assert_eq!((revision.now(), revision.settled()), (0, None));
        drop(first);
        assert_eq!((revision.now(), revision.settled()), (1, None));
        drop(second);
        assert_eq!(revision.settled(), Some(2));
    }
}
