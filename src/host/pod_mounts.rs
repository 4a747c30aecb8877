//! The mounts of a pod, looked at where one that hangs holds up that pod alone.

use std::path::{Path, PathBuf};

use super::{Error, MountReader};
use crate::{config::Config, disk::Disk, kubelet::FoundMount, model::Sandbox, proto::Mount};

/// Reads what a pod's containers mount, on the threads of [`Disk`].
pub struct PodMounts {
    disk: Disk,
    pod: String,
    /// None after a call that has not come back: that has it.
    reader: Option<MountReader>,
    fresh: Box<dyn Fn() -> MountReader + Send>,
}

impl PodMounts {
    /// For a job that is about to be submitted: see [`MountReader::for_job`].
    pub fn for_job(disk: &Disk, sandbox: &Sandbox, config: &Config) -> Self {
        Self::new(disk, sandbox, config, MountReader::for_job)
    }

    /// For a container that is being created: see [`MountReader::for_check`].
    pub fn for_check(disk: &Disk, sandbox: &Sandbox, config: &Config) -> Self {
        Self::new(disk, sandbox, config, MountReader::for_check)
    }

    fn new(
        disk: &Disk,
        sandbox: &Sandbox,
        config: &Config,
        reader: fn(&Path, &str, u64) -> MountReader,
    ) -> Self {
        let (root, uid) = (config.pods.kubelet_root.clone(), sandbox.uid.clone());
        let limit = config.pods.max_volume_bytes;
        Self {
            disk: disk.clone(),
            pod: sandbox.id.to_string(),
            reader: None,
            fresh: Box::new(move || reader(&root, &uid, limit)),
        }
    }

    /// What stands behind each of these mounts.
    ///
    /// # Errors
    /// The first one of which it cannot be told; one that hangs.
    pub fn read(&mut self, mounts: &[Mount]) -> Result<Vec<FoundMount>, Error> {
        let Some(first) = mounts.first() else {
            return Ok(Vec::new());
        };
        let path = PathBuf::from(&first.host_path);
        let mut reader = self.reader.take().unwrap_or_else(|| (self.fresh)());
        let mounts = mounts.to_vec();
        let (reader, found) = self.disk.call(&self.pod, &path, move || {
            let found = reader.read(&mounts);
            (reader, found)
        })?;
        self.reader = Some(reader);
        found
    }
}
