//! Those who wait for a pod to come to a state: no thread does, each is called with every new one.

use std::{collections::HashMap, mem, sync::Arc};

use parking_lot::Mutex;

use crate::model::{Pod, SandboxId};

/// Is called with a pod as it is, and with each state that follows, until it says that it has seen
/// enough; with none where the pod is forgotten. It never blocks.
pub type Watcher = Box<dyn FnMut(Option<&Pod>) -> bool + Send>;

/// All watchers.
#[derive(Clone, Default)]
pub struct Watches(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    by_pod: HashMap<SandboxId, Vec<(u64, Watcher)>>,
    last: u64,
    has_ended: bool,
}

impl Watches {
    /// Shows a pod's new state.
    pub fn tell(&self, pod: &Pod) {
        let mut inner = self.0.lock();
        let Some(mut watchers) = inner.by_pod.remove(&pod.sandbox.id) else {
            return;
        };
        watchers.retain_mut(|(_, watcher)| !watcher(Some(pod)));
        if !watchers.is_empty() {
            inner.by_pod.insert(pod.sandbox.id.clone(), watchers);
        }
    }

    /// Calls a watcher with each state of a pod from now on, the present one first. After
    /// [`end`](Self::end) it is dropped uncalled.
    pub fn add(
        &self,
        id: &SandboxId,
        mut watcher: Watcher,
        pod: impl FnOnce() -> Option<Arc<Pod>>,
    ) -> Watch {
        let mut inner = self.0.lock();
        inner.last += 1;
        let number = inner.last;
        // Looked at under the lock, so no state is missed between this one and those that are told.
        if !inner.has_ended && !watcher(pod().as_deref()) {
            let watchers = inner.by_pod.entry(id.clone()).or_default();
            watchers.push((number, watcher));
        }
        Watch {
            watches: self.clone(),
            id: id.clone(),
            number,
        }
    }

    /// How many wait for something.
    pub fn count(&self) -> usize {
        self.0.lock().by_pod.values().map(Vec::len).sum()
    }

    /// Drops all watchers, and those to come: the daemon ends.
    pub fn end(&self) {
        let mut inner = self.0.lock();
        inner.has_ended = true;
        let watchers = mem::take(&mut inner.by_pod);
        // Who waits is woken by the end of its watcher, and gives back its place.
        drop(inner);
        drop(watchers);
    }

    fn remove(&self, id: &SandboxId, number: u64) {
        let mut inner = self.0.lock();
        if let Some(watchers) = inner.by_pod.get_mut(id) {
            watchers.retain(|(other, _)| *other != number);
            if watchers.is_empty() {
                inner.by_pod.remove(id);
            }
        }
    }
}

/// A watcher's place. It is not called any more when this is dropped.
pub struct Watch {
    watches: Watches,
    id: SandboxId,
    number: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watches.remove(&self.id, self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::plan::testing::pod;

    #[test]
    fn a_watcher_is_called_until_it_has_seen_enough_or_is_gone() {
        let watches = Watches::default();
        let (id, calls) = (SandboxId::from("sandbox"), Arc::new(AtomicUsize::new(0)));
        let add = |enough: usize| {
            let calls = calls.clone();
            let watcher = move |_: Option<&Pod>| calls.fetch_add(1, Ordering::SeqCst) + 1 >= enough;
            watches.add(&id, Box::new(watcher), || None)
        };
        let _first = add(2);
        assert_eq!(calls.load(Ordering::SeqCst), 1, "the present state");
        let pod = pod(&[]);
        for _ in 0..3 {
            watches.tell(&pod);
        }
        assert_eq!(calls.load(Ordering::SeqCst), 2);
        drop(add(99));
        watches.tell(&pod);
        assert_eq!(calls.load(Ordering::SeqCst), 3);
        assert!(watches.0.lock().by_pod.is_empty());
    }
}
