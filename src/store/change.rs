//! How pods come, change and go: on disk first, then for all who look.

use std::{collections::HashSet, sync::Arc, time::Instant};

use super::{
    events, index, life, record,
    table::{Table, Write},
    taken::Others,
    Cell, Change, DiskError, Error, Store, CLOCK,
};
use crate::{
    memory,
    model::{Pod, Sandbox, SandboxId},
    threads::all_or_end,
    traces,
};

impl Store {
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
            let mut pods = self.pods.write();
            pods.remove(&after.sandbox.id);
            memory::shrink(&mut pods);
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

    /// Writes all or nothing, and returns when it is on disk.
    pub(super) fn commit(&self, mut writes: Vec<Write>) -> Result<(), DiskError> {
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
}
