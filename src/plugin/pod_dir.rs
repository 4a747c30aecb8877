//! What the plugin keeps on disk, and where.
//!
//! ```text
//! ROOT/lock                    held by the plugin that runs on ROOT
//! ROOT/doorbell                see `doorbell`
//! ROOT/new/UID/                a pod being laid out; renamed to pods/UID when it is complete
//! ROOT/trash/UID/              a deleted pod, until its files are removed
//! ROOT/pods/UID/pod.json       PodRecord
//!               deletion.json  Deletion, once somebody asked for it
//!               volumes/NAME/  emptyDirs, and the files of configMaps, secrets...
//!               containers/NAME/orders.json   Orders: what the shim is to run
//!                               lock          held by the shim for as long as it lives
//!                               start.json    Start, written by the shim
//!                               exit.json     Exit, written by the shim, at last
//!                               output.log    stdout and stderr in their order
//!                               shim.log      what the shim itself complains of
//!                               work/         the scratch directory
//! ```
//!
//! Records are replaced by rename, so that a reader sees a whole one or none. They are not
//! synced: the processes do not outlive a crash of the machine, so neither need the records.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rustix::process::{Flock, FlockOffsetType, FlockType};
use serde::{de::DeserializeOwned, Deserialize, Serialize};

use super::processes::ProcessId;

/// The plugin's root.
#[derive(Clone, Debug)]
pub(super) struct Root(pub(super) PathBuf);

impl Root {
    pub(super) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    pub(super) fn pods(&self) -> PathBuf {
        self.0.join("pods")
    }

    pub(super) fn new_pods(&self) -> PathBuf {
        self.0.join("new")
    }

    pub(super) fn trash(&self) -> PathBuf {
        self.0.join("trash")
    }

    pub(super) fn pod(&self, uid: &str) -> PodDir {
        PodDir(self.pods().join(uid))
    }
}

/// A pod's directory.
#[derive(Clone, Debug)]
pub(super) struct PodDir(pub(super) PathBuf);

impl PodDir {
    pub(super) fn record(&self) -> PathBuf {
        self.0.join("pod.json")
    }

    pub(super) fn deletion(&self) -> PathBuf {
        self.0.join("deletion.json")
    }

    pub(super) fn volume(&self, name: &str) -> PathBuf {
        self.0.join("volumes").join(name)
    }

    pub(super) fn container(&self, name: &str) -> ContainerDir {
        ContainerDir(self.0.join("containers").join(name))
    }
}

/// A container's directory.
#[derive(Clone, Debug)]
pub(super) struct ContainerDir(pub(super) PathBuf);

impl ContainerDir {
    pub(super) fn orders(&self) -> PathBuf {
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
        let file = File::open(self.lock()).ok()?;
        let holder = rustix::process::fcntl_getlk(&file, &whole_file).ok()??;
        Some(holder.pid?.as_raw_nonzero().get())
    }
}

/// A pod, as far as it matters after /create.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PodRecord {
    /// The format of this record and of all beside it.
    pub(super) version: u32,
    pub(super) uid: String,
    pub(super) name: String,
    pub(super) namespace: String,
    /// What /create answered.
    pub(super) jid: String,
    /// Tells a repeated /create from another one.
    pub(super) fingerprint: String,
    pub(super) grace_seconds: u64,
    pub(super) created_at: Timestamp,
    /// In the order in which they run.
    pub(super) init_containers: Vec<ContainerRecord>,
    pub(super) containers: Vec<ContainerRecord>,
}

impl PodRecord {
    pub(super) const VERSION: u32 = 1;

    /// Init containers, then main containers.
    pub(super) fn all_containers(&self) -> impl Iterator<Item = &ContainerRecord> {
        self.init_containers.iter().chain(&self.containers)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ContainerRecord {
    pub(super) name: String,
    pub(super) image: String,
}

/// A deletion that was asked for and is not done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Deletion {
    /// When patience ends.
    pub(super) kill_at: Timestamp,
}

/// What a shim is to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Orders {
    /// Where the doorbell is.
    pub(super) root: PathBuf,
    pub(super) uid: String,
    /// Command and arguments; at least one.
    pub(super) command: Vec<String>,
    /// The whole environment.
    pub(super) env: Vec<(String, String)>,
    /// As asked for; empty for the scratch directory.
    pub(super) working_dir: String,
}

/// That a container was started. From the first of these records on it is never started again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) shim: ProcessId,
    /// Unset for the moment between the decision to start and the start.
    pub(super) container: Option<ProcessId>,
    pub(super) at: Timestamp,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Exit {
    pub(super) code: i32,
    pub(super) signal: Option<i32>,
    /// `Completed`, `Error`, `StartError` or `Lost`.
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) started_at: Timestamp,
    pub(super) finished_at: Timestamp,
}

/// Replaces a record.
pub(super) fn write_record<T: Serialize>(path: &Path, record: &T) -> io::Result<()> {
    let next = path.with_extension("next");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&next)?;
    file.write_all(&serde_json::to_vec(record)?)?;
    fs::rename(&next, path)
}

/// Reads a record; one that does not exist is nothing.
pub(super) fn read_record<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_whole_private_or_absent() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deletion.json");
        assert_eq!(read_record::<Deletion>(&path).unwrap(), None);
        for kill_at in [Timestamp::UNIX_EPOCH, Timestamp::now()] {
            write_record(&path, &Deletion { kill_at }).unwrap();
            assert_eq!(read_record(&path).unwrap(), Some(Deletion { kill_at }));
        }
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no leftovers");
        fs::write(&path, "{").unwrap();
        assert!(read_record::<Deletion>(&path).is_err());
    }

    #[test]
    fn nobody_holds_a_lock_that_was_never_taken() {
        let dir = tempfile::tempdir().unwrap();
        let container = ContainerDir(dir.path().into());
        assert_eq!(container.shim_pid(), None);
        fs::write(container.lock(), "").unwrap();
        assert_eq!(container.shim_pid(), None);
    }
}
