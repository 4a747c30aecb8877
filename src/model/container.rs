//! Containers: what never changes about one, and what does.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ContainerId, CriConfig, Exit, Nanos, SandboxId, Shared, StringMap, TraceContext};

/// What `CreateContainer` was asked for. Never changes while the container exists, but for the
/// resources in `config`, which `UpdateContainerResources` replaces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// Given by this daemon: 64 hex digits.
    pub id: ContainerId,
    /// The sandbox that it belongs to.
    pub sandbox_id: SandboxId,
    /// Container name (`metadata.name`).
    pub name: Shared<str>,
    /// Which attempt at this container it is (`metadata.attempt`).
    pub attempt: u32,
    /// The image as the user wrote it: what the remote side gets, and what people are shown.
    pub image: Shared<str>,
    /// The image's one identity (see `convert::image_ref`).
    pub image_id: Shared<str>,
    /// Labels, returned byte for byte.
    pub labels: StringMap,
    /// Annotations, returned byte for byte: the kubelet restarts a container whose hash
    /// annotation changed.
    pub annotations: Shared<StringMap>,
    /// Path of the log relative to the sandbox's log directory; empty when none was given.
    pub log_path: String,
    /// When the container was created; rises strictly within a pod, whatever the wall clock
    /// does, because the kubelet takes the greatest as the latest.
    pub created_at: Nanos,
    /// The `ContainerConfig` as received, without its labels and annotations, encoded. Kept beside the
    /// JSON on disk, not within, and as a rule only there.
    #[serde(skip)]
    pub config: CriConfig,
}

/// What changes about a container. The phase is derived from the times, each set once, so that
/// a late or repeated answer cannot resurrect anything:
///
/// ```text
///            start                    report              log complete
///  CREATED ─────────► RUNNING ───────────────► (reported) ─────────────► EXITED
///     │    started_at    │                      still RUNNING for the CRI   ▲ exit
///     └──────────────────┴──────────────── kill, failure ───────────────────┘
/// ```
///
/// A container that is being stopped stays RUNNING until its end is known: see [`Stopping`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// When `StartContainer` succeeded; later, once it is known, when the remote run began.
    #[serde(default)]
    pub started_at: Option<Nanos>,
    /// What the plugin last said of a container that has not ended.
    #[serde(default)]
    pub remote: Remote,
    /// The end as the plugin reported it, not yet shown: log bytes must be on disk before a
    /// container is EXITED, or `kubectl logs -f` loses the end.
    #[serde(default)]
    pub reported: Option<Box<Exit>>,
    /// When the log was first owed its completion: the end was reported, or the container was
    /// stopped. From here the time allowed for fetching the rest is counted.
    #[serde(default)]
    pub log_owed_since: Option<Nanos>,
    /// No attempt to fetch the rest of the log before this time.
    #[serde(default)]
    pub log_not_before: Nanos,
    /// All of the remote log that can be had is in the log file.
    #[serde(default)]
    pub log_complete: bool,
    /// Set while the container is being stopped, and still RUNNING because it is not known to have ended.
    #[serde(default)]
    pub stopping: Option<Stopping>,
    /// The end as the CRI shows it. Set once; the container is EXITED from here on.
    #[serde(default)]
    pub exit: Option<Box<Exit>>,
    /// The trace of the `CreateContainer` that made it, where traces are on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_in: Option<Arc<TraceContext>>,
    /// The trace of its `StartContainer`, where traces are on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_in: Option<Arc<TraceContext>>,
}

/// A stop that waits to be known to have happened. `plan::stopping` moves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopping {
    /// When it was asked for, the last time that it was asked for anew.
    pub since: Nanos,
    /// The longest that it is waited for: grace period and patience.
    pub deadline: Nanos,
    /// The time is over, and the end is not known: whoever waited has been told, and asks again.
    #[serde(default)]
    pub is_overdue: bool,
    /// Set while the job is not cancelled yet, because it goes on for other containers: until then it is
    /// waited for stops of these, too.
    #[serde(default)]
    pub shared_until: Option<Nanos>,
}

/// What the plugin says of a container that has not ended; each state comes before the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Remote {
    /// Nothing yet: not submitted, or not answered for.
    #[default]
    Unknown,
    /// Waiting in the remote queue.
    Queued,
    /// Running there, so its log can be followed.
    Running,
}

/// A container's state as the CRI has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerPhase {
    /// `CONTAINER_CREATED`.
    Created,
    /// `CONTAINER_RUNNING`, also while the job waits in the remote queue.
    Running,
    /// `CONTAINER_EXITED`.
    Exited,
}

impl ContainerStatus {
    /// An end of which the plugin has not told, with our own explanation: now, but not before the start.
    pub fn own_end(
        &self,
        container: &Container,
        (code, reason): (i32, &str),
        message: &str,
        now: Nanos,
    ) -> Exit {
        Exit {
            code,
            reason: reason.to_owned(),
            message: message.to_owned(),
            finished_at: now.max(self.started_at.unwrap_or(container.created_at)),
            termination_message: None,
            used: None,
        }
    }

    /// The state, derived from what is set.
    pub fn phase(&self) -> ContainerPhase {
        match (&self.exit, self.started_at) {
            (Some(_), _) => ContainerPhase::Exited,
            (None, Some(_)) => ContainerPhase::Running,
            (None, None) => ContainerPhase::Created,
        }
    }

    /// Whether it is being stopped, and nobody knows yet how it ended.
    pub fn awaits_stop(&self) -> bool {
        self.stopping.is_some() && self.is_live()
    }

    /// Whether the remote side may still have more to say about it: it was started, no end is
    /// reported, and nobody stopped it.
    pub fn is_live(&self) -> bool {
        self.started_at.is_some() && self.reported.is_none() && self.exit.is_none()
    }
}

/// A container with its two halves.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerEntry {
    /// Its record, which never changes.
    pub container: Arc<Container>,
    /// How far it has come.
    pub status: ContainerStatus,
}

impl ContainerEntry {
    /// The container's id.
    pub fn id(&self) -> &ContainerId {
        &self.container.id
    }
}
