//! The backend that runs containers as plain processes of this machine.
//!
//! The files, from the container up: [`program`] finds what a command means here, [`shim`] is the
//! process beside each container, [`output`] what a container prints, [`container_dir`] what the two leave on disk, [`container`] the
//! state that is read off that, [`pod`] the order in which containers start and end, and
//! [`supervisor`] the pods and the thread that looks after them.

mod capacity;
mod container;
mod container_dir;
mod layout;
mod output;
mod pod;
mod processes;
mod program;
mod requirements;
pub mod shim;
mod shims;
mod supervisor;
mod wakeup;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use self::supervisor::Supervisor;
use super::{
    backend::{AfterEnd, Backend, Capacity, ContainerLog, DeleteOutcome, PodReport},
    error::Error,
    pods::{open_file, PodRequest},
    refusal::Refusal,
};

/// Runs pods as processes of this machine.
pub(crate) struct LocalBackend {
    supervisor: Supervisor,
}

impl LocalBackend {
    /// Takes over a root directory, with what an earlier plugin left running in it. `shim` is the
    /// executable that is started as `SHIM plugin-shim DIR`; of what a container prints so many bytes are
    /// kept, all where that is 0.
    ///
    /// # Errors
    /// The root directory cannot be used or has a plugin already, or there is no thread.
    pub(crate) fn start(root: &Path, shim: PathBuf, max_output: u64) -> Result<Self, Error> {
        Ok(Self {
            supervisor: Supervisor::start(root, shim, max_output)?,
        })
    }
}

impl Backend for LocalBackend {
    fn create(&self, request: &PodRequest) -> Result<String, Refusal> {
        requirements::check(request)?;
        self.supervisor.create(request)
    }

    fn delete(
        &self,
        uid: &str,
        grace: Option<Duration>,
        then: AfterEnd,
        patience: Duration,
    ) -> Result<DeleteOutcome, Refusal> {
        Ok(self.supervisor.delete(uid, grace, then, patience)?)
    }

    fn status(&self, uid: &str) -> Option<PodReport> {
        let pod = self.supervisor.advanced(uid)?;
        Some(pod.report())
    }

    fn log(&self, uid: &str, container: &str) -> Result<ContainerLog, Refusal> {
        let no_pod = || Refusal::not_found(format!("no pod {uid}"));
        let pod = self.supervisor.pod(uid).ok_or_else(no_pod)?;
        let mut containers = pod.record.all_containers();
        if !containers.any(|one| one.name == container) {
            let text = format!("pod {uid} has no container `{container}`");
            return Err(Refusal::not_found(text));
        }
        let output = container_dir::ContainerDir::of(&pod.dir, container).output();
        let file = match open_file(&output) {
            // The pod was deleted between the two looks.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(no_pod()),
            file => file?,
        };
        let shims = self.supervisor.shims();
        let (pod, container) = (Arc::clone(&pod), container.to_owned());
        Ok(ContainerLog {
            file,
            is_complete: Box::new(move || pod.is_log_complete(&container, &shims)),
        })
    }

    fn capacity(&self) -> Capacity {
        capacity::of_this_machine()
    }

    fn begin_stop(&self) {
        self.supervisor.begin_stop();
    }
}
