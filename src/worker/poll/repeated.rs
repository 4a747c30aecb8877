//! Answers that say again what they said: of a thousand jobs that run, each poll tells the same.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Weak},
};

use super::live::Live;
use crate::{
    model::{JobUid, Pod},
    profile::status_reply::EntryHash,
};

/// The last entry about each job, where the same one would change nothing.
#[derive(Default)]
pub(super) struct Repeated(HashMap<JobUid, Last>);

struct Last {
    entry: EntryHash,
    /// The pod that it has left as it is. Weak, so that no state of it is kept longer than by the store.
    pod: Weak<Pod>,
}

impl Repeated {
    /// The entry about this job that would change nothing in its pod, as it is now.
    pub(super) fn entry(&self, live: &Live) -> Option<EntryHash> {
        let last = self.0.get(&live.uid)?;
        is_same(&last.pod, &live.pod).then_some(last.entry)
    }

    /// Notes that this entry about the job has left this state of its pod as it is, and will.
    pub(super) fn note(&mut self, job: JobUid, entry: EntryHash, pod: &Arc<Pod>) {
        let pod = Arc::downgrade(pod);
        self.0.insert(job, Last { entry, pod });
    }

    /// Notes that nothing is known of the next entry about this job.
    pub(super) fn forget(&mut self, job: JobUid) {
        self.0.remove(&job);
    }

    /// Forgets jobs that are not among these.
    pub(super) fn retain(&mut self, live: &HashSet<JobUid>) {
        self.0.retain(|uid, _| live.contains(uid));
    }
}

/// What a weak reference points to is not used again for another pod, also when that pod is gone.
fn is_same(kept: &Weak<Pod>, pod: &Arc<Pod>) -> bool {
    std::ptr::eq(kept.as_ptr(), Arc::as_ptr(pod))
}
