//! What the plugin has told of each job so far. It is lost by a restart, which only gives the jobs more time.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Weak},
    time::Instant,
};

use super::live::Live;
use crate::{
    memory,
    model::{JobUid, Pod},
    profile::status_reply::EntryHash,
};

/// What was told of jobs.
#[derive(Default)]
pub(super) struct Told(HashMap<JobUid, OfJob>);

/// What was told of one.
#[derive(Default)]
pub(super) struct OfJob {
    /// The last answers left it out.
    pub(super) missing: Option<Missing>,
    /// When it was last in an answer.
    pub(super) heard: Option<Instant>,
    /// When it was last in the first answer of a round: some plugins repeat it to later questions.
    pub(super) came_early: Option<Instant>,
    /// The last answer about it could not be understood.
    pub(super) is_unreadable: bool,
    /// The last entry about it, if the same one would change nothing.
    effectless: Option<Effectless>,
}

/// Answers in a row that left a job out.
pub(super) struct Missing {
    pub(super) polls: u32,
    pub(super) since: Instant,
}

struct Effectless {
    entry: EntryHash,
    /// The pod that it has left as it is. Weak, so that no state of it is kept longer than by the store; what a
    /// weak reference points to is not used for another pod, also when that one is gone.
    pod: Weak<Pod>,
}

impl Told {
    /// Of a job of which something was told.
    pub(super) fn of(&self, job: JobUid) -> Option<&OfJob> {
        self.0.get(&job)
    }

    /// Of a job, to be added to.
    pub(super) fn of_mut(&mut self, job: JobUid) -> &mut OfJob {
        self.0.entry(job).or_default()
    }

    /// Forgets jobs that are not among these.
    pub(super) fn retain(&mut self, live: &HashSet<JobUid>) {
        self.0.retain(|uid, _| live.contains(uid));
        memory::shrink(&mut self.0);
    }

    /// Whether some are missing.
    pub(super) fn misses_some(&self) -> bool {
        self.0.values().any(|job| job.missing.is_some())
    }

    /// The last entry about a job, if the same one would change nothing in its pod as it is now.
    pub(super) fn effectless_entry(&self, live: &Live) -> Option<EntryHash> {
        let last = self.of(live.uid)?.effectless.as_ref()?;
        std::ptr::eq(last.pod.as_ptr(), Arc::as_ptr(&live.pod)).then_some(last.entry)
    }
}

impl OfJob {
    /// Notes that this entry has left the pod as it is, and would again; or that nothing is known of the next one.
    pub(super) fn note_effectless(&mut self, entry: Option<(EntryHash, &Arc<Pod>)>) {
        self.effectless = entry.map(|(entry, pod)| Effectless {
            entry,
            pod: Arc::downgrade(pod),
        });
    }
}
