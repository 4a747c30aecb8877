//! The only owner of state: pods (sandboxes with their containers and jobs) and images, in memory
//! behind locks, and on disk before anybody is told.
//!
//! # Changing a pod
//!
//! [`Store::update`] (`change.rs`) takes the pod's turn, hands a copy to a closure, writes the difference to
//! disk, and only then shows the new pod to readers, tells subscribers, and wakes the workers. The
//! turn is that pod's own, so waiting for the disk holds up nobody else; the journal writes what
//! waits together in one go. Readers get an `Arc<Pod>` and never hold a lock.
//!
//! # Lock order
//!
//! A pod's `turn` (several only in ascending order of sandbox id), then `taken`, then `pods`, then a pod's
//! `current`; or any one of `owners`, `subscribers`, what the budget has given; `watches`, then `pods` or a pod's
//! `current`; `image_turn`, then `images`.
//! Only turns are held while the disk is waited for, and none across a network call.
//!
//! # Panics
//!
//! A caller's closure that panics has changed a copy, and nothing has happened. After a panic of the
//! store itself memory and disk may differ, so that one ends the process, whoever called.

mod budget;
mod change;
mod disk;
mod disk_error;
mod events;
mod images;
mod index;
mod journal;
mod life;
mod load;
mod lookup;
mod open;
mod private;
/// What must hold whatever comes in; `fuzz/` and the tests share it.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod properties;
mod record;
mod recover;
mod revision;
mod rows;
mod salvage;
mod table;
mod taken;
mod transitions;
mod watches;

use std::{collections::HashMap, sync::Arc};

use crossbeam_channel::Sender;
use parking_lot::{Mutex, RwLock};

use self::{
    budget::Budget, events::Subscribers, journal::Journal, revision::Revision, taken::Taken,
    transitions::Transitions,
};
use crate::{
    config::policy::Limits,
    model::{Clock, ClockMark, ContainerId, Image, Nanos, Pod, Resumed, SandboxId},
    telemetry::Counters,
};

pub use self::{
    budget::OverBudget,
    disk_error::Error as DiskError,
    events::{Delivery, Event, EventKind, Subscriber},
    index::Ambiguous,
    table::{Table, Write},
    taken::Others,
    watches::{Watch, Watcher, Watches},
};

/// Why the state could not be changed.
#[derive(Clone, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum Error {
    /// The disk refused; nothing has changed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A record on disk comes from a newer daemon.
    #[error("{record} in the state file cannot be read: {reason}")]
    Record {
        /// Which record.
        record: String,
        reason: String,
    },
    /// No such sandbox.
    #[error("pod sandbox {0} does not exist")]
    NoSandbox(SandboxId),
    /// The same attempt at the same pod has a sandbox already.
    #[error("attempt {attempt} of pod {pod} has pod sandbox {id} already; remove that one first")]
    Exists {
        /// Namespace and name.
        pod: String,
        /// Which sandbox of the pod: the kubelet counts from 0.
        attempt: u32,
        /// The sandbox that has it.
        id: SandboxId,
    },
    /// A record that was removed meanwhile.
    #[error("{record} is not in the state file any more")]
    NotOnDisk {
        /// Which record.
        record: String,
    },
    /// A record was changed without what only the disk has of it; nothing has changed.
    #[error(transparent)]
    NotLoaded(#[from] record::NotLoaded),
    /// More than may be kept.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
}

/// One pod's place in the store.
struct Cell {
    /// Whoever changes the pod holds this, also while waiting for the disk. True once the pod is
    /// forgotten: who waited for its turn finds nothing left to change.
    turn: Arc<Mutex<bool>>,
    current: RwLock<Arc<Pod>>,
}

impl Cell {
    fn new(pod: Pod) -> Arc<Self> {
        Arc::new(Self {
            turn: Arc::default(),
            current: RwLock::new(Arc::new(pod)),
        })
    }

    fn pod(&self) -> Arc<Pod> {
        self.current.read().clone()
    }
}

/// A change to one pod.
pub type Change<'a> = Box<dyn FnOnce(&mut Pod) + 'a>;

/// The state of the daemon.
pub struct Store {
    taken: Mutex<Taken>,
    pods: RwLock<HashMap<SandboxId, Arc<Cell>>>,
    owners: RwLock<HashMap<ContainerId, SandboxId>>,
    images: RwLock<HashMap<String, Arc<Image>>>,
    image_turn: Mutex<()>,
    pod_cidr: RwLock<Option<String>>,
    log_positions: Mutex<HashMap<ContainerId, Vec<u8>>>,
    subscribers: Subscribers,
    watches: Watches,
    budget: Budget,
    journal: Journal,
    transitions: Transitions,
    clock: Arc<dyn Clock>,
    /// What the disk has of the clock.
    clock_mark: Mutex<Option<ClockMark>>,
    resumed: Resumed,
    wake: Sender<SandboxId>,
    revision: Revision,
}

impl Store {
    /// What is known of the time between the last change on disk and the opening.
    pub fn resumed(&self) -> Resumed {
        self.resumed
    }

    /// Keeps no more of pods than these limits allow. What is there already stays.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.budget = self.budget.with_limits(limits);
        self
    }

    /// Counts and times what happens to pods here.
    #[must_use]
    pub fn with_counters(mut self, counters: Arc<Counters>) -> Self {
        self.transitions = Transitions::new(counters);
        let pods = self.pods();
        let pods = pods.iter().map(|pod| &**pod);
        self.transitions.begin(pods, self.clock.now());
        self
    }

    /// When the oldest cancellation that is owed was first known to this process.
    pub fn oldest_owed_cancellation(&self) -> Option<Nanos> {
        self.transitions.oldest_owed()
    }

    /// Bytes that the state takes on disk, as of the last change. Touches no disk.
    pub fn size_on_disk(&self) -> u64 {
        self.journal.size()
    }

    /// Whether a container of a pod may have this configuration, to be asked before more is made of it.
    ///
    /// # Errors
    /// [`Error::OverBudget`].
    pub fn check_container(&self, pod: &Pod, name: &str, bytes: u64) -> Result<(), Error> {
        Ok(self.budget.check_container(pod, name, bytes)?)
    }

    /// The clock that all times come from.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// A pod; one that is removed but still owed something too.
    pub fn pod(&self, id: &SandboxId) -> Option<Arc<Pod>> {
        self.cell(id).map(|cell| cell.pod())
    }

    /// All pods, in no order, those removed but still owed something included.
    pub fn pods(&self) -> Vec<Arc<Pod>> {
        self.pods.read().values().map(|cell| cell.pod()).collect()
    }

    /// Another number after each change of a pod: who has looked at all of them need not look again while it
    /// is the same.
    pub fn revision(&self) -> u64 {
        self.revision.now()
    }

    /// The same for who keeps what it has seen for others: none while a change is being shown, which one of them
    /// may have seen already.
    pub fn settled_revision(&self) -> Option<u64> {
        self.revision.settled()
    }

    /// To be called when nothing has changed for a moment: what memory the disk has taken for many changes is given
    /// back some time later. It waits for nothing.
    pub fn release_memory(&self) {
        self.journal.release_memory();
    }

    /// The pod of a container.
    pub fn pod_of(&self, id: &ContainerId) -> Option<Arc<Pod>> {
        let owner = self.owners.read().get(id).cloned()?;
        self.pod(&owner).filter(|pod| pod.container(id).is_some())
    }

    /// Names every pod on the wake channel, for the start.
    pub fn wake_all(&self) {
        for pod in self.pods() {
            let _ = self.wake.send(pod.sandbox.id.clone());
        }
    }

    /// Adds a listener for everything that happens to sandboxes and containers from now on.
    /// It is let go when nobody holds `alive` any more.
    pub fn subscribe(&self, subscriber: Subscriber, alive: &Arc<()>) {
        self.subscribers.add(subscriber, alive);
    }

    /// How many listen.
    pub fn subscriber_count(&self) -> usize {
        self.subscribers.count()
    }

    /// Calls a watcher with each state of a pod, the present one first, until it has seen enough.
    pub fn watch(&self, id: &SandboxId, watcher: Watcher) -> Watch {
        self.watches.add(id, watcher, || self.pod(id))
    }

    /// Those who wait for a pod to come to a state.
    pub fn watches(&self) -> &Watches {
        &self.watches
    }

    /// The node's pod CIDR, as the kubelet last gave it.
    pub fn pod_cidr(&self) -> Option<String> {
        self.pod_cidr.read().clone()
    }

    /// Keeps the node's pod CIDR.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn set_pod_cidr(&self, cidr: &str) -> Result<(), Error> {
        let write = Write::put(Table::Values, POD_CIDR, cidr.as_bytes().to_vec());
        self.commit(vec![write])?;
        *self.pod_cidr.write() = Some(cidr.to_owned());
        Ok(())
    }

    /// How far a container's log was written when the daemon last ended; given once.
    pub fn take_log_position(&self, id: &ContainerId) -> Option<Vec<u8>> {
        self.log_positions.lock().remove(id)
    }

    /// Keeps how far a container's log is written. Of a container that is gone, nothing is kept.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn put_log_position(&self, id: &ContainerId, position: Vec<u8>) -> Result<(), Error> {
        let Some(pod) = self.pod_of(id) else {
            return Ok(());
        };
        // With the pod's turn, so that it cannot come after the deletion of the container.
        let Some(cell) = self.cell(&pod.sandbox.id) else {
            return Ok(());
        };
        let _turn = cell.turn.lock();
        if cell.pod().container(id).is_some() {
            self.commit(vec![Write::put(Table::LogPositions, id.as_str(), position)])?;
        }
        Ok(())
    }

    /// Writes what is waiting and closes the disk. Changes fail from here on.
    pub fn close(&self) {
        self.journal.close();
    }

    fn cell(&self, id: &SandboxId) -> Option<Arc<Cell>> {
        self.pods.read().get(id).cloned()
    }
}

const POD_CIDR: &str = "pod_cidr";
const CLOCK: &str = "clock";

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
