//! Jobs: the remote runs that interLink knows. One job is one interLink pod and carries one or
//! more containers of one sandbox.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    shared::{Common, Latest},
    ContainerId, Exit, JobUid, Nanos, Remote, Shared, TraceContext,
};

/// One remote run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Counts the jobs of a sandbox from 0.
    pub number: u32,
    /// The UID that interLink knows it under.
    pub uid: JobUid,
    /// The containers that it carries, in the order of their starts.
    pub containers: Vec<ContainerId>,
    /// Their names, in the same order: what the plugin knows them by. Kept here because a
    /// container's record may be removed before its job is cancelled.
    pub names: Vec<Shared<str>>,
    /// When the first of them was started.
    pub created_at: Nanos,
    /// How far the submission has come.
    pub submission: Submission,
    /// When the plugin said that it has it; stays when it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitted_at: Option<Nanos>,
    /// Answers to its submission so far by which the plugin most likely refuses it. Counted apart from
    /// other failures, because only these can mean a refusal.
    #[serde(default)]
    pub server_errors: u32,
    /// Why it could not be submitted the last time, or what the plugin said when it could not tell
    /// its state; for people.
    #[serde(default)]
    pub trouble: Option<String>,
    /// When the last POST ended of which it is not known whether the plugin has acted on it, or will;
    /// none once the plugin has shown the job. With it, nothing lets the job go without a DELETE.
    #[serde(default)]
    pub in_doubt_since: Option<Nanos>,
    /// The plugin's own id of the job (the number of a batch system, for one), once it is known.
    #[serde(default)]
    pub remote_id: Option<String>,
    /// The plugin has accepted it without an id, and gives it one when the others of its gang have come.
    /// Until it shows the job, its silence is no denial.
    #[serde(default)]
    pub awaits_gang: bool,
    /// The longest grace period that any of its containers was stopped with, in seconds.
    #[serde(default)]
    pub grace_seconds: u32,
    /// The cancellation, once somebody asked for it.
    #[serde(default)]
    pub cancel: Option<Cancellation>,
    /// When the plugin confirmed a DELETE of it, where another one is owed since.
    #[serde(default)]
    pub deleted_at: Option<Nanos>,
    /// The containers that belong to it, as far as they are known.
    // Named `knowledge` on disk since the first version that kept it.
    #[serde(default, rename = "knowledge")]
    pub members: JobMembers,
    /// The names of those of its containers that are init containers over there.
    #[serde(default)]
    pub inits: Vec<String>,
    /// Containers that go with it although the kubelet has not started them yet, in the pod's
    /// order. They are bound to the job when it does.
    #[serde(default)]
    pub expected: Vec<Expected>,
    /// How its init containers are taken to be while the plugin does not report them.
    // Named `silence` on disk since the first version that kept it.
    #[serde(default, rename = "silence")]
    pub unreported_inits: UnreportedInits,
    /// Whose it is over there, as far as that was said when it was sent.
    #[serde(default)]
    pub owner: Shared<JobOwner>,
    /// The partition that it asked for when it was sent, where it asked for one.
    #[serde(default)]
    pub partition: Option<Shared<str>>,
    /// What it has over there, where its namespace has limits.
    #[serde(default)]
    pub demand: Option<Demand>,
    /// Why it is not submitted yet, while its namespace has no room for it; for people.
    #[serde(default)]
    pub held: Option<String>,
    /// Why it waits over there, while it does, and its plugin says so.
    #[serde(default)]
    pub waiting: Option<Box<WaitReason>>,
    /// Since when all that the plugin mentions of it has ended, while containers go unmentioned.
    #[serde(default)]
    pub unmentioned_since: Option<Nanos>,
    /// Set while an end is reported for it, but nothing proves that it ever ran.
    // Named `unwitnessed` on disk since the first version that kept it.
    #[serde(default, rename = "unwitnessed")]
    pub unproven_exit: Option<Box<UnprovenExit>>,
    /// The trace of the `StartContainer` that it began with, where traces are on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_in: Option<Arc<TraceContext>>,
    /// The trace of the call that asked for its cancellation, where traces are on and a call did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_in: Option<Arc<TraceContext>>,
}

/// What a job asks for, as far as namespaces have limits of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// Whole cores.
    pub cores: u32,
    /// GPUs, and what else is in `resources.extended`.
    pub gpus: u32,
}

/// Whose a job is over there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JobOwner {
    /// The user that was asked for; none leaves it to the plugin.
    #[serde(default)]
    pub uid: Option<i64>,
    /// The group that was asked for.
    #[serde(default)]
    pub gid: Option<i64>,
    /// The account that the site said.
    #[serde(default)]
    pub account: Option<String>,
    /// The pod's service account, where the API server told it.
    #[serde(default)]
    pub service_account: Option<String>,
}

impl Common for JobOwner {
    fn latest() -> &'static Latest<Self> {
        static LATEST: Latest<JobOwner> = Latest::new();
        &LATEST
    }
}

/// Why a job, or a container of it, waits, in the plugin's words: `JobHeld`, `ImagePullBackOff`, those of
/// a scheduler.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitReason {
    /// A word; one line, perhaps empty.
    pub reason: String,
    /// A sentence; one line, perhaps empty.
    pub message: String,
}

impl WaitReason {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.reason.is_empty() && self.message.is_empty()
    }

    /// Whether the cause is the same, whatever the figures: places in a queue and times change with each
    /// answer, and each change of a record is a write.
    pub fn is_same_cause(&self, other: &Self) -> bool {
        let letters = |text: &Self| {
            let text = format!("{}:{}", text.reason, text.message);
            let letters = text.chars().filter(|c| !c.is_numeric());
            letters.collect::<String>()
        };
        letters(self) == letters(other)
    }
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let both = [self.reason.as_str(), self.message.as_str()];
        let said: Vec<_> = both.into_iter().filter(|text| !text.is_empty()).collect();
        f.write_str(&said.join(": "))
    }
}

/// An end that is not believed until something proves that the job ran. `plan::unproven_exit` moves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnprovenExit {
    /// When it was first reported.
    pub since: Nanos,
    /// No look for a log before this time.
    pub not_before: Nanos,
    /// When the plugin was first seen to have a log of the job.
    #[serde(default)]
    pub log_since: Option<Nanos>,
    /// The log says that its containers have ended.
    #[serde(default)]
    pub is_proven: bool,
}

/// How the init containers of a job are taken to be that the plugin does not report.
/// `plan::init_containers` moves it, and draws the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreportedInits {
    /// They count as successful, because main containers are said to run.
    #[serde(default)]
    pub presumed: bool,
    /// Since when they are asked for by name, because a main container has ended badly.
    #[serde(default)]
    pub in_doubt_since: Option<Nanos>,
}

/// The containers that belong to a job that gathers, as the API server's pod tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobMembers {
    /// The API server was not asked.
    #[default]
    NotAsked,
    /// The API server did not say: the job closes when no more containers come.
    Unknown,
    /// The job closes when the kubelet has started these too.
    Awaits {
        /// Names of the containers that it waits for.
        others: Vec<String>,
        /// The pod's sidecars. While nothing else has come, the pod's init containers may still be
        /// running, and the job waits as long as it takes.
        sidecars: Vec<String>,
    },
}

/// A container of a job that the kubelet has not started yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The container's name in the pod.
    pub name: String,
    /// What the plugin last said of it.
    #[serde(default)]
    pub remote: Remote,
    /// Its end, as the plugin reported it.
    #[serde(default)]
    pub end: Option<Exit>,
}

impl Expected {
    /// One of which nothing has been heard.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            remote: Remote::Unknown,
            end: None,
        }
    }
}

/// How far a job's submission has come. `plan::submission` moves it, and draws the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Submission {
    /// Containers that are started now still join.
    Gathering {
        /// The last start; the quiet period counts from here.
        last_start: Nanos,
    },
    /// Closed, and owed a POST. The plugin does not have it: it was never asked to take it, has
    /// certainly not acted, or denies it.
    Pending {
        /// POSTs that failed in a way that can pass.
        failures: u32,
        /// No POST before this time.
        not_before: Nanos,
    },
    /// A POST is about to leave, or has left. On disk before it leaves: found after a crash,
    /// this means that the plugin may or may not have acted.
    Submitting {
        /// POSTs that failed before this one.
        failures: u32,
    },
    /// A POST ended in a way that leaves open whether the plugin acted. It is asked until it
    /// shows the job, or has not shown it for long enough. Also before another POST, when one
    /// failed since.
    Unsure {
        /// POSTs that failed, this one included.
        failures: u32,
        /// When the doubt began.
        since: Nanos,
        /// Answers in a row that did not show the job.
        denials: u32,
        /// No question before this time.
        not_before: Nanos,
    },
    /// The plugin has it, and is polled for its state.
    Submitted {
        /// When the plugin said so.
        at: Nanos,
    },
    /// All its containers have ended.
    Finished,
    /// The plugin had it and does not know it any more.
    Lost,
    /// It will not be submitted any more: refused for good, or cancelled before it left. One of
    /// which an earlier POST may have been acted on is owed a DELETE.
    Dropped,
}

/// The cancellation of a job: an HTTP DELETE that is owed until the plugin confirms it or does
/// not know the job. A finished job is owed one too, for what it left behind over there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Cancellation {
    /// Owed.
    Requested {
        /// Deliveries that failed.
        failures: u32,
        /// No delivery before this time.
        not_before: Nanos,
        /// Answers in a row that did not show the job, after refusals.
        #[serde(default)]
        denials: u32,
    },
    /// The plugin has confirmed it, and is asked how the containers ended that are being stopped. What
    /// it still has of the job afterwards is deleted with another DELETE.
    Delivered {
        /// When it was confirmed.
        at: Nanos,
    },
    /// The plugin confirmed it, or nothing was there to cancel.
    Done,
}

impl Job {
    /// A job that gathers, with nothing in it yet.
    pub fn new(number: u32, uid: JobUid, created_at: Nanos) -> Self {
        Self {
            number,
            uid,
            containers: Vec::new(),
            names: Vec::new(),
            created_at,
            submission: Submission::Gathering {
                last_start: created_at,
            },
            submitted_at: None,
            server_errors: 0,
            trouble: None,
            in_doubt_since: None,
            remote_id: None,
            awaits_gang: false,
            grace_seconds: 0,
            cancel: None,
            deleted_at: None,
            members: JobMembers::default(),
            inits: Vec::new(),
            expected: Vec::new(),
            unreported_inits: UnreportedInits::default(),
            owner: Shared::default(),
            partition: None,
            demand: None,
            held: None,
            waiting: None,
            unmentioned_since: None,
            unproven_exit: None,
            started_in: None,
            stopped_in: None,
        }
    }

    /// Whether its end was asked for and is not settled.
    pub fn is_owed_a_cancellation(&self) -> bool {
        matches!(
            self.cancel,
            Some(Cancellation::Requested { .. } | Cancellation::Delivered { .. })
        )
    }

    /// When the plugin first confirmed a DELETE of it, while its cancellation is not settled.
    pub fn deletion_confirmed_at(&self) -> Option<Nanos> {
        match self.cancel {
            Some(Cancellation::Requested { .. }) => self.deleted_at,
            Some(Cancellation::Delivered { at }) => self.deleted_at.or(Some(at)),
            Some(Cancellation::Done) | None => None,
        }
    }

    /// When the plugin took it; none where it has not, or had before that was kept and the job has ended.
    pub fn submitted_at(&self) -> Option<Nanos> {
        match self.submission {
            Submission::Submitted { at } => Some(at),
            _ => self.submitted_at,
        }
    }

    /// Whether the plugin has not taken it yet, and is to.
    pub fn is_unsubmitted(&self) -> bool {
        matches!(
            self.submission,
            Submission::Gathering { .. }
                | Submission::Pending { .. }
                | Submission::Submitting { .. }
                | Submission::Unsure { .. }
        )
    }

    /// Whether a container of this name is an init container over there.
    pub fn is_init(&self, name: &str) -> bool {
        self.inits.iter().any(|init| init == name)
    }

    /// The names of the pod's sidecars, as far as the API server told.
    pub fn sidecars(&self) -> &[String] {
        match &self.members {
            JobMembers::NotAsked | JobMembers::Unknown => &[],
            JobMembers::Awaits { sidecars, .. } => sidecars,
        }
    }

    /// Whether a container of this name is one of them.
    pub fn is_sidecar(&self, name: &str) -> bool {
        self.sidecars().iter().any(|sidecar| sidecar == name)
    }

    /// The names of all that it carries, of those first that the kubelet has started.
    pub fn all_names(&self) -> impl Iterator<Item = &str> {
        let expected = self.expected.iter().map(|expected| expected.name.as_str());
        self.names.iter().map(|name| &**name).chain(expected)
    }

    /// Whether nothing more is owed for it, now or later without a new request.
    pub fn is_settled(&self) -> bool {
        matches!(self.cancel, Some(Cancellation::Done))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is kept under other names on disk than here is read, and written under those names.
    #[test]
    fn names_on_disk_stay() {
        let job = Job {
            members: JobMembers::Unknown,
            unreported_inits: UnreportedInits {
                presumed: true,
                in_doubt_since: Some(Nanos(3)),
            },
            unproven_exit: Some(Box::new(UnprovenExit {
                since: Nanos(4),
                not_before: Nanos(5),
                log_since: None,
                is_proven: false,
            })),
            cancel: Some(Cancellation::Done),
            ..Job::new(0, JobUid::parse(&"0".repeat(32)).expect("a UID"), Nanos(1))
        };
        let written = serde_json::to_value(&job).expect("JSON");
        assert_eq!(written["knowledge"], "Unknown");
        assert_eq!(written["silence"]["presumed"], true);
        assert_eq!(written["unwitnessed"]["log_since"], serde_json::Value::Null);
        assert!(written["unwitnessed"].is_object());
        assert_eq!(written["cancel"], "Done");
        let read: Job = serde_json::from_value(written).expect("a job");
        assert_eq!(read, job);
    }
}
