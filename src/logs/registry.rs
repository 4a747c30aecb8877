//! The open logs of all containers. The CRI calls open and reopen them, the workers write them.

use std::{collections::HashMap, path::Path, sync::Arc};

use parking_lot::Mutex;

use super::{log::Ways, termination, Error, Log};
use crate::{
    disk::Disk,
    memory,
    model::{Container, ContainerId, Sandbox},
    plan::log_pace::LogBounds,
};

/// The open logs, by container.
#[derive(Default)]
pub struct Registry {
    ways: Arc<Ways>,
    open: Mutex<HashMap<ContainerId, Arc<Log>>>,
}

impl Registry {
    /// With the threads that touch log files, and the bounds of each log.
    pub fn new(disk: Disk, bounds: LogBounds) -> Self {
        Self {
            ways: Arc::new(Ways { disk, bounds }),
            open: Mutex::default(),
        }
    }

    /// The threads that touch log files, and whatever else pods name: each pod has one turn for all of
    /// it.
    pub fn disk(&self) -> &Disk {
        &self.ways.disk
    }

    /// Makes the log of a container that starts.
    ///
    /// # Errors
    /// A log that cannot be made; [`Error::Hung`].
    pub fn create(&self, sandbox: &Arc<Sandbox>, container: &Arc<Container>) -> Result<(), Error> {
        self.insert(container, Log::create(&self.ways, sandbox, container)?);
        Ok(())
    }

    /// Takes up the log of a container again after a restart. Its file is opened when it is needed.
    ///
    /// # Errors
    /// [`Error::Escapes`].
    pub fn recover(
        &self,
        sandbox: &Arc<Sandbox>,
        container: &Arc<Container>,
        checkpoint: Option<Vec<u8>>,
    ) -> Result<(), Error> {
        let log = Log::recover(&self.ways, sandbox, container, checkpoint)?;
        self.insert(container, log);
        Ok(())
    }

    fn insert(&self, container: &Container, log: Log) {
        let id = container.id.clone();
        self.open.lock().insert(id, Arc::new(log));
    }

    /// The open log of a container.
    pub fn get(&self, id: &ContainerId) -> Option<Arc<Log>> {
        self.open.lock().get(id).cloned()
    }

    /// How many logs are open.
    pub fn count(&self) -> usize {
        self.open.lock().len()
    }

    /// Opens a container's log file anew after a rotation; returns a checkpoint to be kept.
    ///
    /// # Errors
    /// [`Error::NotOpen`]; a file that cannot be made; [`Error::Hung`].
    pub fn reopen(&self, id: &ContainerId) -> Result<Option<Vec<u8>>, Error> {
        self.get(id).ok_or(Error::NotOpen)?.reopen()
    }

    /// Closes a container's log. A reader that still has it can write it to its end.
    pub fn remove(&self, id: &ContainerId) {
        let mut open = self.open.lock();
        open.remove(id);
        memory::shrink(&mut open);
    }

    /// Writes what a job said at its end into the file that the kubelet has made for it below its
    /// root directory. No symlink is followed on the way, and no file is made.
    ///
    /// # Errors
    /// A path outside the root, or a file that is not there or not a regular one; [`Error::Hung`].
    pub fn write_termination(
        &self,
        sandbox: &Sandbox,
        root: &Path,
        path: &Path,
        message: &str,
    ) -> Result<(), Error> {
        let (root, file, message) = (root.to_owned(), path.to_owned(), message.to_owned());
        let write = move || termination::write(&root, &file, &message);
        self.disk().call(sandbox.id.as_str(), path, write)?
    }
}
