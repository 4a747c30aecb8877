//! Records as they lie on disk.
//!
//! ```text
//! ┌─────────┬──────────────────┬──────────┬────────────┬─────────────────────────┐
//! │ version │ length of JSON   │ checksum │ JSON       │ CRI config, as received │
//! │ 1 byte  │ 4 bytes, big end │ 8 bytes  │ the record │ protobuf, may be empty  │
//! └─────────┴──────────────────┴──────────┴────────────┴─────────────────────────┘
//! ```
//!
//! JSON, so that fields can come and go with a default and an administrator can read a record;
//! the CRI messages stay beside it as the bytes that came, unknown fields included. The checksum is
//! the beginning of the SHA-256 of everything else: what is read from a damaged file must not be taken
//! for true because it is JSON. Version 1 had none; every later one begins like this.

use std::{collections::HashMap, sync::Arc};

use serde::{de::DeserializeOwned, Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::table::{Table, Write};
use crate::{
    convert,
    model::{
        Container, ContainerEntry, ContainerId, ContainerStatus, CriConfig, Image, Job, Pod,
        Sandbox, SandboxStatus,
    },
};

/// The version that this daemon writes, and the newest that it reads.
const VERSION: u8 = 2;
/// Version and length.
const HEADER: usize = 5;
const CHECKSUM: usize = 8;

/// Why a record cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is shorter than it says, or than it can be.
    #[error("it is cut short")]
    CutShort,
    /// It comes from a newer daemon.
    #[error("it has version {0}, and this daemon reads up to {VERSION}; install a newer one")]
    TooNew(u8),
    /// It is not what was written.
    #[error("its checksum is wrong")]
    Checksum,
    /// Its JSON is not what belongs there.
    #[error("its content is wrong: {0}")]
    Content(String),
}

/// A record that cannot be written, because its configuration is on disk only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration of {0} was not read from the disk before it was changed")]
pub struct NotLoaded(String);

/// What changes about a pod: one record, written at every transition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PodRecord {
    /// The sandbox's changing half.
    pub status: SandboxStatus,
    /// The containers' changing halves, oldest first.
    pub containers: Vec<(ContainerId, ContainerStatus)>,
    /// As in [`Pod`].
    pub jobs: Vec<Job>,
    /// As in [`Pod`].
    pub next_job: u32,
}

impl From<&Pod> for PodRecord {
    fn from(pod: &Pod) -> Self {
        let entry = |entry: &ContainerEntry| (entry.id().clone(), entry.status.clone());
        Self {
            status: pod.status.clone(),
            containers: pod.containers.iter().map(entry).collect(),
            jobs: pod.jobs.clone(),
            next_job: pod.next_job,
        }
    }
}

impl PodRecord {
    /// Puts a pod together again. Containers without their static half are left out and named:
    /// both are written in one transaction, so that happens only to a damaged store.
    pub fn assemble(
        self,
        sandbox: Sandbox,
        containers: &mut HashMap<&str, Container>,
    ) -> (Pod, Vec<ContainerId>) {
        let mut missing = Vec::new();
        let mut pod = Pod::new(sandbox);
        pod.containers.reserve_exact(self.containers.len());
        for (id, status) in self.containers {
            match containers.remove(id.as_str()) {
                Some(mut container) => {
                    container.sandbox_id = pod.sandbox.id.clone();
                    pod.containers.push(ContainerEntry {
                        container: Arc::new(container),
                        status,
                    });
                }
                None => missing.push(id),
            }
        }
        (pod.status, pod.jobs, pod.next_job) = (self.status, self.jobs, self.next_job);
        share_ids(&mut pod);
        (pod, missing)
    }
}

/// Lets a pod's jobs have the ids of its containers, which they have read a second time.
fn share_ids(pod: &mut Pod) {
    for id in pod.jobs.iter_mut().flat_map(|job| &mut job.containers) {
        let own = pod.containers.iter().find(|entry| entry.id() == id);
        *id = own.map_or_else(|| id.clone(), |entry| entry.id().clone());
    }
}

pub(super) fn encode(record: &impl Serialize, config: &[u8]) -> Vec<u8> {
    // Plain structs with string keys: their JSON cannot fail.
    with_header(&serde_json::to_vec(record).unwrap_or_default(), config)
}

pub(super) fn with_header(json: &[u8], config: &[u8]) -> Vec<u8> {
    with_version(VERSION, json, config)
}

fn with_version(version: u8, json: &[u8], config: &[u8]) -> Vec<u8> {
    let length = u32::try_from(json.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEADER + CHECKSUM + json.len() + config.len());
    bytes.push(version);
    bytes.extend_from_slice(&length.to_be_bytes());
    let sum = checksum(&[&bytes, json, config]);
    bytes.extend_from_slice(&sum);
    bytes.extend_from_slice(json);
    bytes.extend_from_slice(config);
    bytes
}

fn checksum(parts: &[&[u8]]) -> [u8; CHECKSUM] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    let mut sum = [0; CHECKSUM];
    sum.copy_from_slice(&hash.finalize()[..CHECKSUM]);
    sum
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, &[u8]), Error> {
    let (json, config) = parts(bytes)?;
    let record = serde_json::from_slice(json).map_err(|error| Error::Content(error.to_string()))?;
    Ok((record, config))
}

/// The CRI config in a record, which is not read otherwise.
///
/// # Errors
/// A record that is none.
pub fn config(bytes: &[u8]) -> Result<&[u8], Error> {
    parts(bytes).map(|(_, config)| config)
}

/// JSON and CRI config of a record.
fn parts(bytes: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let (header, rest) = bytes.split_at_checked(HEADER).ok_or(Error::CutShort)?;
    let [version, length @ ..] = header else {
        return Err(Error::CutShort);
    };
    let length = length
        .iter()
        .fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
    let rest = if *version < 2 {
        rest
    } else {
        let (sum, rest) = rest.split_at_checked(CHECKSUM).ok_or(Error::CutShort)?;
        if sum != checksum(&[header, rest]) {
            return Err(Error::Checksum);
        }
        if *version > VERSION {
            return Err(Error::TooNew(*version));
        }
        rest
    };
    rest.split_at_checked(length).ok_or(Error::CutShort)
}

/// Reads a sandbox.
///
/// # Errors
/// A record that is no sandbox.
pub fn sandbox(bytes: &[u8]) -> Result<Sandbox, Error> {
    let (sandbox, config) = decode::<Sandbox>(bytes)?;
    Ok(Sandbox {
        config: convert::sandbox_config(config.into()),
        ..sandbox
    })
}

/// Reads a container.
///
/// # Errors
/// A record that is no container.
pub fn container(bytes: &[u8]) -> Result<Container, Error> {
    let (container, config) = decode::<Container>(bytes)?;
    Ok(Container {
        config: convert::container_config(config.into()),
        ..container
    })
}

/// Reads what changes about a pod.
///
/// # Errors
/// A record that is none.
pub fn pod(bytes: &[u8]) -> Result<PodRecord, Error> {
    decode::<PodRecord>(bytes).map(|(mut record, _)| {
        // Read, it has room for four, of half a kilobyte each. What it gives back now the next record can use.
        record.jobs.shrink_to_fit();
        record
    })
}

/// Reads an image.
///
/// # Errors
/// A record that is no image.
pub fn image(bytes: &[u8]) -> Result<Image, Error> {
    decode(bytes).map(|(record, _)| record)
}

/// The write that keeps an image.
pub fn put_image(image: &Image) -> Write {
    Write::put(Table::Images, &image.id, encode(image, &[]))
}

/// The writes that lead from one state of a pod to the next; from nothing for a new one, to
/// nothing for one that is forgotten.
///
/// # Errors
/// A sandbox or container that has changed, and whose configuration is on disk only: it would be lost.
pub fn difference(before: Option<&Pod>, after: Option<&Pod>) -> Result<Vec<Write>, NotLoaded> {
    let mut writes = Vec::new();
    let kept = |pod: Option<&Pod>, id: &ContainerId| {
        pod.and_then(|pod| pod.container(id))
            .map(|entry| entry.container.clone())
    };
    for entry in before.iter().flat_map(|pod| &pod.containers) {
        if kept(after, entry.id()).is_none() {
            writes.push(Write::delete(Table::Containers, entry.id().as_str()));
            writes.push(Write::delete(Table::LogPositions, entry.id().as_str()));
        }
    }
    for entry in after.iter().flat_map(|pod| &pod.containers) {
        let old = kept(before, entry.id());
        if !old.is_some_and(|old| Arc::ptr_eq(&old, &entry.container)) {
            let whole = whole(
                &entry.container.config,
                Table::Containers,
                entry.id().as_str(),
            )?;
            let value = encode(&*entry.container, whole);
            writes.push(Write::put(Table::Containers, entry.id().as_str(), value));
        }
    }
    match (before, after) {
        (_, Some(pod)) => {
            let key = pod.sandbox.id.as_str();
            if !before.is_some_and(|old| Arc::ptr_eq(&old.sandbox, &pod.sandbox)) {
                let whole = whole(&pod.sandbox.config, Table::Sandboxes, key)?;
                let value = encode(&*pod.sandbox, whole);
                writes.push(Write::put(Table::Sandboxes, key, value));
            }
            writes.push(Write::put(
                Table::Pods,
                key,
                encode(&PodRecord::from(pod), &[]),
            ));
        }
        (Some(pod), None) => {
            let key = pod.sandbox.id.as_str();
            writes.push(Write::delete(Table::Sandboxes, key));
            writes.push(Write::delete(Table::Pods, key));
        }
        (None, None) => {}
    }
    Ok(writes)
}

fn whole<'a>(config: &'a CriConfig, table: Table, key: &str) -> Result<&'a [u8], NotLoaded> {
    let not_loaded = || NotLoaded(format!("{}/{key}", table.name()));
    config.whole().ok_or_else(not_loaded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Nanos;
    use crate::plan::{
        batch::start,
        testing::{container as new_container, pod as new_pod},
    };

    #[test]
    fn records_read_back_with_their_config() {
        let mut one = new_container(&new_pod(&[]), "a", 3);
        one.config = convert::container_config(Arc::from(*b"\x00\xffconfig"));
        let encoded = encode(&one, b"\x00\xffconfig");
        assert_eq!(config(&encoded), Ok(&b"\x00\xffconfig"[..]));
        assert_eq!(container(&encoded), Ok(one));
    }

    #[test]
    fn damage_is_an_error_with_a_name() {
        let good = encode(&PodRecord::default(), &[]);
        assert_eq!(pod(&good), Ok(PodRecord::default()));
        for length in 0..good.len() {
            assert!(pod(&good[..length]).is_err(), "cut to {length}");
        }
        let newer = with_version(9, b"{}", &[]);
        assert_eq!(pod(&newer), Err(Error::TooNew(9)));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x5a;
            assert!(
                !matches!(pod(&bad), Ok(_) | Err(Error::TooNew(_))),
                "byte {at}"
            );
        }
        assert!(matches!(sandbox(&good), Err(Error::Content(_))));
        assert_eq!(pod(&[1, 255, 255, 255, 255]), Err(Error::CutShort));
    }

    #[test]
    fn a_transition_writes_only_what_changed() {
        let before = new_pod(&["a"]);
        let tables = |writes: Result<Vec<Write>, NotLoaded>| {
            let writes = writes.expect("configurations are there");
            writes.iter().map(Write::table).collect::<Vec<_>>()
        };
        assert_eq!(
            tables(difference(None, Some(&before))),
            [Table::Containers, Table::Sandboxes, Table::Pods]
        );
        let mut after = before.clone();
        let id = after.containers[0].id().clone();
        start(&mut after, &id, Nanos(1)).expect("starts");
        assert_eq!(
            tables(difference(Some(&before), Some(&after))),
            [Table::Pods]
        );
        after.containers.clear();
        assert_eq!(
            tables(difference(Some(&before), Some(&after))),
            [Table::Containers, Table::LogPositions, Table::Pods]
        );
        assert_eq!(
            tables(difference(Some(&after), None)),
            [Table::Sandboxes, Table::Pods]
        );
    }

    #[test]
    fn a_record_whose_configuration_is_not_there_is_not_written() {
        let mut before = new_pod(&["a"]);
        before.let_configs_go();
        let unchanged = difference(Some(&before), Some(&before));
        assert_eq!(unchanged.map(|writes| writes.len()), Ok(1));
        let mut after = before.clone();
        Arc::make_mut(&mut after.containers[0].container).attempt += 1;
        let refused = difference(Some(&before), Some(&after));
        assert_eq!(refused, Err(NotLoaded("containers/a-0".to_owned())));
        let mut after = before.clone();
        Arc::make_mut(&mut after.sandbox).attempt += 1;
        let refused = difference(Some(&before), Some(&after));
        assert_eq!(refused, Err(NotLoaded("sandboxes/sandbox".to_owned())));
    }
}
