//! The open logs of all containers. The CRI calls open and reopen them, the workers write them.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use super::{log_path::LogPath, Error, LogSink};
use crate::model::{Container, ContainerId, Sandbox};

/// The open logs, by container.
#[derive(Default)]
pub struct Registry {
    open: Mutex<HashMap<ContainerId, Arc<LogSink>>>,
}

impl Registry {
    /// Makes the log of a container that starts.
    ///
    /// # Errors
    /// A log that cannot be made.
    pub fn create(&self, sandbox: &Sandbox, container: &Container) -> Result<(), Error> {
        let sink = match log_path(sandbox, container)? {
            Some(path) => LogSink::create(path)?,
            None => LogSink::discard(),
        };
        self.open
            .lock()
            .insert(container.id.clone(), Arc::new(sink));
        Ok(())
    }

    /// Opens the log of a container again after a restart.
    ///
    /// # Errors
    /// A log that cannot be opened.
    pub fn recover(
        &self,
        sandbox: &Sandbox,
        container: &Container,
        checkpoint: Option<&[u8]>,
    ) -> Result<(), Error> {
        let sink = match log_path(sandbox, container)? {
            Some(path) => LogSink::recover(path, checkpoint)?,
            None => LogSink::discard(),
        };
        self.open
            .lock()
            .insert(container.id.clone(), Arc::new(sink));
        Ok(())
    }

    /// The open log of a container.
    pub fn get(&self, id: &ContainerId) -> Option<Arc<LogSink>> {
        self.open.lock().get(id).cloned()
    }

    /// Opens a container's log file anew after a rotation; returns a checkpoint to be kept.
    ///
    /// # Errors
    /// [`Error::NotOpen`]; a file that cannot be made.
    pub fn reopen(&self, id: &ContainerId) -> Result<Option<Vec<u8>>, Error> {
        self.get(id).ok_or(Error::NotOpen)?.reopen()
    }

    /// Closes a container's log. A reader that still has it can write it to its end.
    pub fn remove(&self, id: &ContainerId) {
        self.open.lock().remove(id);
    }
}

fn log_path(sandbox: &Sandbox, container: &Container) -> Result<Option<LogPath>, Error> {
    if sandbox.log_directory.is_empty() || container.log_path.is_empty() {
        return Ok(None);
    }
    LogPath::new(&sandbox.log_directory, &container.log_path).map(Some)
}
