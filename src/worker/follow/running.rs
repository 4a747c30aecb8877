//! The containers whose logs are read.

use super::super::Context;
use crate::{
    model::{ContainerEntry, ContainerId, Pod, Remote, SandboxId},
    traces::{self, Origin},
};

/// A container whose log is to be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The pod's sandbox.
    pub sandbox: SandboxId,
    /// Whose log it is.
    pub container: ContainerId,
}

/// The containers that run over there and have a log here.
pub fn running(context: &Context) -> Vec<Target> {
    let mut targets = Vec::new();
    for pod in context.store.pods() {
        for entry in pod.containers.iter().filter(|entry| runs(entry)) {
            if context.logs.get(entry.id()).is_some() {
                let (sandbox, container) = (pod.sandbox.id.clone(), entry.id().clone());
                targets.push(Target { sandbox, container });
            }
        }
    }
    targets
}

fn runs(entry: &ContainerEntry) -> bool {
    entry.status.is_live() && entry.status.remote == Remote::Running
}

/// A container of a pod, while it runs over there.
pub fn entry_of(pod: &Pod, container: &ContainerId) -> Option<ContainerEntry> {
    pod.container(container)
        .filter(|entry| runs(entry))
        .cloned()
}

/// To which trace the reading of a container's log belongs, where traces are on.
pub fn origin(pod: &Pod, entry: &ContainerEntry) -> Option<Origin> {
    traces::is_on().then(|| Origin::of_container(pod, entry))
}
