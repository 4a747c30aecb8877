//! The records of a pod, whatever runs it. They are JSON files in its directory (`root_dir`).
//!
//! A record is replaced by rename, so that a reader sees a whole one or none. Records are not
//! synced: the processes do not outlive a crash of the machine, so neither need the records.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use jiff::Timestamp;
use rustix::fs::OFlags;
use serde::{de::DeserializeOwned, Deserialize, Serialize};

use crate::{confined, plugin::refusal::Refusal, threads};

/// What is kept of a pod after /create, as `pod.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PodRecord {
    /// The format of this record and of all beside it.
    pub(crate) version: u32,
    pub(crate) uid: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// The job's id, as /create answered it.
    pub(crate) jid: String,
    /// Tells a repeated /create from that of another pod with the same UID.
    pub(crate) fingerprint: String,
    pub(crate) grace_seconds: u64,
    pub(crate) created_at: Timestamp,
    /// In the order in which they run.
    pub(crate) init_containers: Vec<ContainerRecord>,
    pub(crate) containers: Vec<ContainerRecord>,
}

impl PodRecord {
    pub(crate) const VERSION: u32 = 1;

    /// Init containers, then main containers.
    pub(crate) fn all_containers(&self) -> impl Iterator<Item = &ContainerRecord> {
        self.init_containers.iter().chain(&self.containers)
    }

    /// Whether a /create with this fingerprint is for this pod, which exists: then nothing has to be
    /// done. interLink's clients repeat a /create whose answer they did not hear.
    ///
    /// # Errors
    /// The request is for another pod, or comes while this one is being deleted.
    pub(crate) fn check_repeated(
        &self,
        fingerprint: &str,
        is_being_deleted: bool,
    ) -> Result<(), Refusal> {
        let uid = &self.uid;
        if is_being_deleted {
            return Err(Refusal::conflict(format!(
                "pod {uid} is being deleted; create it again when it is gone"
            )));
        }
        if self.fingerprint != fingerprint {
            return Err(Refusal::conflict(format!(
                "there is another pod with the UID {uid}"
            )));
        }
        Ok(())
    }
}

/// What is kept of each container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ContainerRecord {
    pub(crate) name: String,
    pub(crate) image: String,
}

/// A deletion that was asked for and is not complete, as `deletion.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DeletionRecord {
    /// When the grace period is over.
    pub(crate) kill_at: Timestamp,
    /// Until when the pod is kept although it has ended.
    #[serde(default)]
    pub(crate) keep_until: Option<Timestamp>,
}

/// How a container ended. The local backend's shim keeps it as `exit.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ContainerExit {
    pub(crate) code: i32,
    pub(crate) signal: Option<i32>,
    /// One word: `Completed`, `Error`, `StartError` or `Lost`.
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) started_at: Timestamp,
    pub(crate) finished_at: Timestamp,
    /// CPU time of all its processes, in milliseconds; none where it never ran, or nobody knows.
    #[serde(default)]
    pub(crate) cpu_millis: Option<u64>,
}

/// Replaces a record.
pub(crate) fn write_record<T: Serialize>(path: &Path, record: &T) -> io::Result<()> {
    threads::fault("record")?;
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

/// The longest record: what is to be run has the container's whole environment.
const MAX_RECORD: u64 = 64 << 20;

/// Reads a record; one that does not exist is nothing.
///
/// # Errors
/// It cannot be read, is no record, or no regular file, or too long: containers run as the plugin's user, and
/// can put anything there.
pub(crate) fn read_record<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let file = match open_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_RECORD + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_RECORD {
        return Err(io::Error::other("it is too long for a record"));
    }
    Ok(Some(serde_json::from_slice(&bytes)?))
}

/// Opens a regular file for reading, where a container may have put something else: a pipe would hold up
/// whoever opens it, and with that all pods.
pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::NotFound.into());
    };
    Ok(confined::file(confined::root(dir)?, name, OFlags::RDONLY)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_whole_private_or_absent() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deletion.json");
        assert_eq!(read_record::<DeletionRecord>(&path).unwrap(), None);
        for kill_at in [Timestamp::UNIX_EPOCH, Timestamp::now()] {
            write_record(
                &path,
                &DeletionRecord {
                    kill_at,
                    keep_until: None,
                },
            )
            .unwrap();
            assert_eq!(
                read_record(&path).unwrap(),
                Some(DeletionRecord {
                    kill_at,
                    keep_until: None
                })
            );
        }
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no leftovers");
        fs::remove_file(&path).unwrap();
        let made = rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        );
        made.unwrap();
        assert!(read_record::<DeletionRecord>(&path).is_err(), "a pipe");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert!(read_record::<DeletionRecord>(&path).is_err(), "a link");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "{").unwrap();
        assert!(read_record::<DeletionRecord>(&path).is_err());
    }
}
