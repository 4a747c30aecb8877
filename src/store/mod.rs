//! The only owner of state: pods (sandboxes with their containers and jobs) and images, in memory
//! behind locks, and on disk before anybody is told.
//!
//! # Changing a pod
//!
//! [`Store::update`] takes the pod's turn, hands a copy to a closure, writes the difference to
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
mod disk;
mod disk_error;
mod events;
mod images;
mod index;
mod journal;
mod life;
mod load;
mod lookup;
mod private;
/// What must hold whatever comes in; `fuzz/` and the tests share it.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod properties;
mod record;
mod recover;
mod revision;
mod salvage;
mod table;
mod taken;
mod transitions;
mod watches;

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::Arc,
    time::Instant,
};

use crossbeam_channel::Sender;
use parking_lot::{Mutex, RwLock};

use self::{
    budget::Budget, events::Subscribers, journal::Journal, revision::Revision, taken::Taken,
    transitions::Transitions,
};
use crate::{
    config::policy::Limits,
    model::{Clock, ClockMark, ContainerId, Image, Nanos, Pod, Resumed, Sandbox, SandboxId},
    telemetry::Counters,
    threads::all_or_end,
    traces,
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
    /// Opens the state in a directory. Every pod that changes is named on `wake`; the channel may
    /// be unbounded, because its reader only notes the name and never blocks.
    ///
    /// # Errors
    /// A directory that cannot be used or is in use, a store that cannot be opened or comes from a
    /// newer daemon.
    pub fn open(
        directory: &Path,
        clock: Arc<dyn Clock>,
        wake: Sender<SandboxId>,
    ) -> Result<Self, Error> {
        let (journal, contents) = Journal::open(directory)?;
        let found = recover::recover(&contents).map_err(|(record, error)| Error::Record {
            record,
            reason: error.to_string(),
        })?;
        let mut aside = Vec::new();
        for damage in &found.damage {
            log::error!(
                "cannot read a record of the state: {}; it is left out",
                damage.what
            );
            aside.extend(
                damage
                    .row
                    .iter()
                    .flat_map(|(table, key)| set_aside(&contents, *table, key)),
            );
        }
        let stale = found.stale_positions.iter();
        let stale = stale.map(|id| Write::delete(Table::LogPositions, id.as_str()));
        journal.commit(stale.collect())?;
        if !aside.is_empty() {
            log::error!(
                "{} damaged records of the state are moved to the table `set_aside`",
                aside.len() / 2
            );
            journal.commit(aside)?;
        }
        log::info!(
            pods = found.pods.len();
            "the state has {} pods and {} images",
            found.pods.len(),
            found.images.len()
        );
        let mut taken = Taken::default();
        let sandboxes = found.pods.iter().map(|pod| &pod.sandbox);
        sandboxes.for_each(|sandbox| taken.note(sandbox));
        let owners = found.pods.iter().flat_map(|pod| {
            pod.containers
                .iter()
                .map(|entry| (entry.id().clone(), pod.sandbox.id.clone()))
        });
        let owners = owners.collect();
        let cidr = found
            .values
            .get(POD_CIDR)
            .map(|value| String::from_utf8_lossy(value).into_owned());
        let mark = found.values.get(CLOCK);
        // One that cannot be read is no worse than none.
        let mark = mark.and_then(|value| serde_json::from_slice::<ClockMark>(value).ok());
        // Without pods nothing was measured, and the wall clock is as good as any.
        let resumed = match mark.as_ref().filter(|_| !found.pods.is_empty()) {
            Some(mark) => clock.resume(mark),
            None => Resumed::SameBoot,
        };
        let budget = Budget::new(Limits::default(), found.pods.iter());
        let pods = found
            .pods
            .into_iter()
            .map(|pod| (pod.sandbox.id.clone(), Cell::new(pod)));
        let images = found
            .images
            .into_iter()
            .map(|image| (image.id.clone(), Arc::new(image)));
        Ok(Self {
            taken: Mutex::new(taken),
            pods: RwLock::new(pods.collect()),
            owners: RwLock::new(owners),
            images: RwLock::new(images.collect()),
            image_turn: Mutex::default(),
            pod_cidr: RwLock::new(cidr),
            log_positions: Mutex::new(found.log_positions),
            subscribers: Subscribers::default(),
            watches: Watches::default(),
            budget,
            journal,
            transitions: Transitions::default(),
            clock,
            clock_mark: Mutex::new(mark),
            resumed,
            wake,
            revision: Revision::default(),
        })
    }

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

    /// The pod of a container.
    pub fn pod_of(&self, id: &ContainerId) -> Option<Arc<Pod>> {
        let owner = self.owners.read().get(id).cloned()?;
        self.pod(&owner).filter(|pod| pod.container(id).is_some())
    }

    /// Adds a sandbox, READY and empty.
    ///
    /// # Errors
    /// As [`add_sandbox_beside`](Self::add_sandbox_beside).
    pub fn add_sandbox(&self, sandbox: Sandbox) -> Result<(), Error> {
        self.add_sandbox_beside(|_| Ok(sandbox))
    }

    /// Adds a sandbox, READY and empty, made from what others have. Nobody else gets what it takes then;
    /// what is made waits for nothing.
    ///
    /// # Errors
    /// The closure's own; [`Error::Exists`] for an attempt at a pod that has a sandbox; [`Error::OverBudget`];
    /// [`Error::Disk`].
    pub fn add_sandbox_beside<E: From<Error>>(
        &self,
        make: impl FnOnce(&Others<'_>) -> Result<Sandbox, E>,
    ) -> Result<(), E> {
        let mut pod = {
            let mut taken = self.taken.lock();
            let pods = self.pods.read();
            let others = Others {
                taken: &taken,
                pod: &|id| pods.get(id).map(|cell| cell.pod()),
            };
            let sandbox = make(&others)?;
            if let Some(id) = others.same_as(&sandbox) {
                return Err(E::from(Error::Exists {
                    pod: format!("{}/{}", sandbox.namespace, sandbox.name),
                    attempt: sandbox.attempt,
                    id: id.clone(),
                }));
            }
            let pod = Pod::new(sandbox);
            taken.note(&pod.sandbox);
            pod
        };
        traces::stamp(None, &mut pod);
        traces::note_pod(&pod, None);
        let written = all_or_end(|| self.write_new(&pod));
        if let Err(error) = written {
            self.taken.lock().forget(&pod.sandbox);
            return Err(error.into());
        }
        all_or_end(|| self.add(pod));
        Ok(())
    }

    fn write_new(&self, pod: &Pod) -> Result<(), Error> {
        let reserved = self.budget.reserve(None, Some(pod))?;
        self.commit(record::difference(None, Some(pod))?)?;
        reserved.keep();
        Ok(())
    }

    /// Shows a new pod that is on disk.
    fn add(&self, mut pod: Pod) {
        {
            // What it has keeps no configuration alive.
            let mut taken = self.taken.lock();
            taken.forget(&pod.sandbox);
            pod.let_configs_go();
            taken.note(&pod.sandbox);
        }
        let (id, cell) = (pod.sandbox.id.clone(), Cell::new(pod));
        let _turn = cell.turn.lock();
        let _changing = self.revision.change();
        self.pods.write().insert(id, cell.clone());
        self.announce(None, &cell.pod());
    }

    /// Changes a pod, all or nothing: when the closure or the disk refuses, nothing has happened.
    ///
    /// # Errors
    /// The closure's own; [`Error::NoSandbox`]; [`Error::OverBudget`]; [`Error::Disk`].
    pub fn update<T, E: From<Error>>(
        &self,
        id: &SandboxId,
        change: impl FnOnce(&mut Pod) -> Result<T, E>,
    ) -> Result<T, E> {
        let cell = self.cell(id).ok_or_else(|| Error::NoSandbox(id.clone()))?;
        let mut forgotten = cell.turn.lock();
        if *forgotten {
            return Err(Error::NoSandbox(id.clone()).into());
        }
        let before = cell.pod();
        let mut after = (*before).clone();
        let answer = change(&mut after)?;
        traces::stamp(Some(&before), &mut after);
        if after != *before {
            let kept = Some(&after).filter(|pod| !pod.is_forgotten());
            let reserved = self.budget.reserve(Some(&*before), kept);
            let reserved = reserved.map_err(Error::OverBudget)?;
            let writes = self.writes(&before, &after)?;
            *forgotten = all_or_end(|| -> Result<_, DiskError> {
                self.commit(writes)?;
                Ok(self.publish(&cell, &before, after))
            })
            .map_err(Error::Disk)?;
            reserved.keep();
        }
        Ok(answer)
    }

    /// Changes several pods with one write to disk. Pods that do not exist any more are passed
    /// over.
    ///
    /// # Errors
    /// [`Error::Disk`]; then no pod has changed.
    pub fn update_many(&self, mut changes: Vec<(SandboxId, Change<'_>)>) -> Result<(), Error> {
        changes.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut writes = Vec::new();
        let mut taken = Vec::new();
        let mut seen = HashSet::new();
        let (first, again): (Vec<_>, Vec<_>) = changes
            .into_iter()
            .partition(|(id, _)| seen.insert(id.clone()));
        for (id, change) in first {
            let Some(cell) = self.cell(&id) else { continue };
            let turn = cell.turn.lock_arc();
            if *turn {
                continue;
            }
            let before = cell.pod();
            let mut after = (*before).clone();
            change(&mut after);
            if after != *before {
                writes.extend(self.writes(&before, &after)?);
                let kept = Some(&after).filter(|pod| !pod.is_forgotten());
                let noted = self.budget.note(&before, kept);
                taken.push((cell, turn, before, after, noted));
            }
        }
        all_or_end(|| -> Result<_, DiskError> {
            self.commit(writes)?;
            for (cell, mut turn, before, after, noted) in taken {
                noted.keep();
                *turn = self.publish(&cell, &before, after);
            }
            Ok(())
        })
        .map_err(Error::Disk)?;
        if again.is_empty() {
            Ok(())
        } else {
            self.update_many(again)
        }
    }

    fn writes(&self, before: &Pod, after: &Pod) -> Result<Vec<Write>, Error> {
        let kept = Some(after).filter(|pod| !pod.is_forgotten());
        Ok(record::difference(Some(before), kept)?)
    }

    /// Shows a pod's new state; true when the pod is forgotten with it.
    fn publish(&self, cell: &Cell, before: &Arc<Pod>, mut after: Pod) -> bool {
        after.let_configs_go();
        let after = Arc::new(after);
        let forgotten = after.is_forgotten();
        let _changing = self.revision.change();
        *cell.current.write() = after.clone();
        if forgotten {
            // In this order: what is taken and no pod is one that is being added.
            self.taken.lock().forget(&after.sandbox);
            self.pods.write().remove(&after.sandbox.id);
        } else if !Arc::ptr_eq(&before.sandbox, &after.sandbox) {
            self.taken.lock().follow(&before.sandbox, &after.sandbox);
        }
        self.announce(Some(before), &after);
        forgotten
    }

    fn announce(&self, before: Option<&Pod>, after: &Arc<Pod>) {
        index::follow(&mut self.owners.write(), before, after);
        self.transitions.follow(before, after, self.clock.now());
        life::tell(before, after);
        if self.subscribers.are_there() {
            self.subscribers
                .publish(&events::between(before, after, self.clock.now()));
        }
        self.watches.tell(after);
        // Nobody listens any more when the daemon is about to end; what is owed is on disk.
        let _ = self.wake.send(after.sandbox.id.clone());
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

    /// Writes all or nothing, and returns when it is on disk.
    fn commit(&self, mut writes: Vec<Write>) -> Result<(), DiskError> {
        if writes.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        // The times in these records mean something to the next daemon only with where the clock stood.
        let mark = self.clock.mark().filter(|mark| {
            let known = self.clock_mark.lock();
            !known.as_ref().is_some_and(|known| known.agrees_with(mark))
        });
        let value = mark.as_ref().and_then(|mark| serde_json::to_vec(mark).ok());
        writes.extend(value.map(|value| Write::put(Table::Values, CLOCK, value)));
        let result = self.journal.commit(writes);
        if let (Ok(()), Some(mark)) = (&result, mark) {
            *self.clock_mark.lock() = Some(mark);
        }
        self.transitions.commit(result.is_ok(), began.elapsed());
        result
    }

    fn cell(&self, id: &SandboxId) -> Option<Arc<Cell>> {
        self.pods.read().get(id).cloned()
    }
}

/// The writes that move a row to where nobody reads it.
fn set_aside(contents: &table::Contents, table: Table, key: &str) -> Vec<Write> {
    let rows = contents.iter().filter(|(known, _)| *known == table);
    let found = rows
        .flat_map(|(_, rows)| rows)
        .find(|(known, _)| known == key);
    let Some((_, value)) = found else {
        return Vec::new();
    };
    let name = format!("{}/{key}", table.name());
    vec![
        Write::put(Table::SetAside, &name, value.clone()),
        Write::delete(table, key),
    ]
}

const POD_CIDR: &str = "pod_cidr";
const CLOCK: &str = "clock";

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
