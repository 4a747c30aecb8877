//! What the local backend keeps of a container, and where.
//!
//! ```text
//! ROOT/doorbell                               the wake-up socket, see `wakeup`
//! ROOT/pods/UID/containers/NAME/orders.json   CommandRecord: what the shim is to run
//!                               lock          held by the shim for as long as it lives
//!                               start.json    StartRecord, written by the shim
//!                               exit.json     ContainerExit, written by the shim at last
//!                               output.log    stdout and stderr in their order
//!                               shim.log      what the shim itself complains of
//!                               work/         the scratch directory
//! ```

use std::path::PathBuf;

use jiff::Timestamp;
use rustix::process::{Flock, FlockOffsetType, FlockType};
use serde::{Deserialize, Serialize};

use super::processes::ProcessId;
use crate::plugin::pods::{open_file, PodDir};

/// A container's directory.
#[derive(Clone, Debug)]
pub(super) struct ContainerDir(pub(super) PathBuf);

impl ContainerDir {
    pub(super) fn of(pod: &PodDir, container: &str) -> Self {
        Self(pod.container(container))
    }

    // The name is that of the first version: a container may have been prepared by it.
    pub(super) fn command(&self) -> PathBuf {
        self.0.join("orders.json")
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    pub(super) fn start(&self) -> PathBuf {
        self.0.join("start.json")
    }

    pub(super) fn exit(&self) -> PathBuf {
        self.0.join("exit.json")
    }

    pub(super) fn output(&self) -> PathBuf {
        self.0.join("output.log")
    }

    pub(super) fn shim_log(&self) -> PathBuf {
        self.0.join("shim.log")
    }

    pub(super) fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    /// The process that holds the lock: the shim, while it lives.
    ///
    /// A record lock goes with its process, however that ends, and asking for it takes nothing.
    pub(super) fn shim_pid(&self) -> Option<i32> {
        let whole_file = Flock {
            start: 0,
            length: 0,
            pid: None,
            typ: FlockType::WriteLock,
            offset_type: FlockOffsetType::Set,
        };
        let file = open_file(&self.lock()).ok()?;
        let holder = rustix::process::fcntl_getlk(&file, &whole_file).ok()??;
        Some(holder.pid?.as_raw_nonzero().get())
    }
}

/// What a shim is to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct CommandRecord {
    /// The plugin's root directory, where the wake-up socket is.
    pub(super) root: PathBuf,
    /// The pod's UID, which the shim sends as a wake-up.
    pub(super) uid: String,
    /// Command and arguments; at least one.
    pub(super) command: Vec<String>,
    /// The whole environment.
    pub(super) env: Vec<(String, String)>,
    /// As asked for; empty for the scratch directory.
    pub(super) working_dir: String,
    /// The most that is kept of what it prints, in bytes; 0 is no bound, as for containers that were prepared
    /// before there was one.
    #[serde(default)]
    pub(super) max_output: u64,
}

/// That a container was started. From the first of these records on it is never started again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StartRecord {
    pub(super) shim: ProcessId,
    /// Unset for the moment between the decision to start and the start.
    pub(super) container: Option<ProcessId>,
    pub(super) at: Timestamp,
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn nobody_holds_a_lock_that_was_never_taken() {
        let dir = tempfile::tempdir().unwrap();
        let container = ContainerDir(dir.path().into());
        assert_eq!(container.shim_pid(), None);
        fs::write(container.lock(), "").unwrap();
        assert_eq!(container.shim_pid(), None);
    }
}
