//! Pod sandboxes: what never changes about one, and what does.

use std::{net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{CriConfig, JobUid, Nanos, SandboxId, Shared, StringMap, TraceContext};

/// What `RunPodSandbox` was asked for. Never changes while the sandbox exists, but for the
/// resources in `config`, which `UpdatePodSandboxResources` replaces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sandbox {
    /// Given by this daemon: 64 hex digits.
    pub id: SandboxId,
    /// Pod name (`metadata.name`).
    pub name: String,
    /// Pod namespace (`metadata.namespace`).
    pub namespace: Shared<str>,
    /// Pod UID (`metadata.uid`); not a UUID for static pods.
    pub uid: String,
    /// Another sandbox of this UID was on record when this one was made, perhaps a removed one that is
    /// still owed cancellations. So none of this one's jobs carries the UID.
    #[serde(default)]
    pub is_uid_taken: bool,
    /// Which attempt at this pod the sandbox is (`metadata.attempt`).
    pub attempt: u32,
    /// Labels, returned byte for byte.
    pub labels: StringMap,
    /// Annotations, returned byte for byte.
    pub annotations: StringMap,
    /// The runtime handler asked for; empty for the default one.
    pub runtime_handler: Shared<str>,
    /// Host directory of the pod's container logs; empty when none was given.
    pub log_directory: String,
    /// When the sandbox was created. Unlike the other times here it is part of what never
    /// changes: it rises strictly within a pod.
    pub created_at: Nanos,
    /// The pod's address, where it has one.
    #[serde(default)]
    pub ip: Option<IpAddr>,
    /// The `PodSandboxConfig` as received, without its labels and annotations, encoded. Kept beside the
    /// JSON on disk, not within, and as a rule only there.
    #[serde(skip)]
    pub config: CriConfig,
}

impl Sandbox {
    /// The UID of a job of this sandbox.
    pub fn job_uid(&self, number: u32) -> JobUid {
        let own = match self.is_uid_taken {
            true => "",
            false => &self.uid,
        };
        JobUid::derive(own, &self.id, self.attempt, number)
    }
}

/// What changes about a pod sandbox.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SandboxStatus {
    /// Set once, when the sandbox was stopped.
    #[serde(default)]
    pub stopped_at: Option<Nanos>,
    /// Set once, when the sandbox was removed. The CRI no longer shows it; what is left is the
    /// tombstone that remembers the cancellations that its jobs are still owed.
    #[serde(default)]
    pub removed_at: Option<Nanos>,
    /// The trace of the `RunPodSandbox` that made it, where traces are on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_in: Option<Arc<TraceContext>>,
}

/// A sandbox's state as the CRI has it, and what comes after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxPhase {
    /// `SANDBOX_READY`.
    Ready,
    /// `SANDBOX_NOTREADY`.
    NotReady,
    /// Gone for the CRI; jobs may still be owed a cancellation.
    Removed,
}

impl SandboxStatus {
    /// The state, derived from the times.
    pub fn phase(&self) -> SandboxPhase {
        match (self.stopped_at, self.removed_at) {
            (_, Some(_)) => SandboxPhase::Removed,
            (Some(_), None) => SandboxPhase::NotReady,
            (None, None) => SandboxPhase::Ready,
        }
    }
}
