//! How a container ended: the record, and the codes and reasons that are ours. All that the daemon
//! itself says of an end stands here; what a plugin says is in `profile`.

use serde::{Deserialize, Serialize};

use super::Nanos;

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code; 128 + signal where a signal ended it.
    pub code: i32,
    /// One CamelCase word: `Completed`, `Error`, `OOMKilled`, `SubmissionFailed`, `JobLost`...
    pub reason: String,
    /// Our own explanation. What the job itself said goes to `termination_message`, never to
    /// both: the kubelet appends the termination-log file to this text.
    pub message: String,
    /// When it ended: never before it started, never in the future.
    pub finished_at: Nanos,
    /// What the job said at its end, bound for the termination-log file.
    #[serde(default)]
    pub termination_message: Option<String>,
    /// What it used over there, where its plugin says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Box<Used>>,
}

/// What a container used over there, as far as its plugin says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Used {
    /// CPU time of all its processes, in milliseconds.
    #[serde(default)]
    pub cpu_millis: Option<u64>,
    /// The most memory that it had at once, in bytes.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// For how long it ran by the plugin's own clock, in milliseconds: what the CRI shows is kept to this
    /// machine's.
    #[serde(default)]
    pub ran_millis: Option<u64>,
}

impl Used {
    /// The keys of `allocatedResources` in the status of a container under which a plugin reports these:
    /// seconds of CPU time, and bytes, both as quantities of Kubernetes. `docs/wire.md` tells plugins.
    pub const CPU_KEY: &str = "cri.interlink.eu/cpu-seconds";
    /// See [`Self::CPU_KEY`].
    pub const MEMORY_KEY: &str = "cri.interlink.eu/memory-peak";

    /// Whether the plugin says anything.
    pub fn is_known(&self) -> bool {
        self.cpu_millis.is_some() || self.memory_bytes.is_some()
    }
}

/// Exit codes of containers that did not end by themselves.
pub mod exit_code {
    /// It failed, and no other code is known.
    pub const FAILED: i32 = 1;
    /// It took too long, as timeout(1) has it.
    pub const TIMED_OUT: i32 = 124;
    /// It could not be started, as Docker and containerd have it.
    pub const NOT_STARTED: i32 = 128;
    /// It was killed (128 + SIGKILL).
    pub const KILLED: i32 = 137;
    /// It was asked to end (128 + SIGTERM).
    pub const TERMINATED: i32 = 143;
}

/// Reasons of ends. The first three are those of every container runtime: controllers and people
/// look for them.
pub mod exit_reason {
    /// It ended with code 0.
    pub const COMPLETED: &str = "Completed";
    /// It ended with another code, or was stopped.
    pub const ERROR: &str = "Error";
    /// It used more memory than it may.
    pub const OUT_OF_MEMORY: &str = "OOMKilled";
    /// The plugin refused its job for good.
    pub const SUBMISSION_FAILED: &str = "SubmissionFailed";
    /// Its log could not be opened, or its command could not be started.
    pub const START_ERROR: &str = "StartError";
    /// The plugin had its job, and does not know it any more.
    pub const JOB_LOST: &str = "JobLost";
    /// Its job ended before it ran.
    pub const NEVER_RAN: &str = "NeverRan";
    /// An init container before it failed, so it did not run.
    pub const INIT_CONTAINER_FAILED: &str = "InitContainerFailed";
    /// Its job reached the site's time limit.
    pub const TIME_LIMIT: &str = "TimeLimit";
    /// The site ended its job in favour of another.
    pub const PREEMPTED: &str = "Preempted";
    /// The node that its job ran on failed.
    pub const NODE_FAILURE: &str = "NodeFailure";
    /// Somebody cancelled its job at the site.
    pub const CANCELLED: &str = "Cancelled";

    /// The reason, if it is one of these, else `other`: a plugin or a setting can bring about any word.
    pub fn known(reason: &str) -> &'static str {
        const ALL: [&str; 12] = [
            COMPLETED,
            ERROR,
            OUT_OF_MEMORY,
            SUBMISSION_FAILED,
            START_ERROR,
            JOB_LOST,
            NEVER_RAN,
            INIT_CONTAINER_FAILED,
            TIME_LIMIT,
            PREEMPTED,
            NODE_FAILURE,
            CANCELLED,
        ];
        let found = ALL.into_iter().find(|known| *known == reason);
        found.unwrap_or("other")
    }
}
