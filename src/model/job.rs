//! Jobs: the remote runs that interLink knows. One job is one interLink pod and carries one or
//! more containers of one sandbox.

use serde::{Deserialize, Serialize};

use super::{ContainerId, JobUid, Nanos};

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
    pub names: Vec<String>,
    /// When the first of them was started.
    pub created_at: Nanos,
    /// How far the submission has come.
    pub submission: Submission,
    /// Answers 500 to its submission so far. Counted apart from other failures, because only
    /// these can mean a refusal.
    #[serde(default)]
    pub server_errors: u32,
    /// What the plugin calls it (a SLURM job id...), once it said so.
    #[serde(default)]
    pub remote_id: Option<String>,
    /// The longest grace period that any of its containers was stopped with, in seconds.
    #[serde(default)]
    pub grace_seconds: u32,
    /// The cancellation, once somebody asked for it.
    #[serde(default)]
    pub cancel: Option<Cancel>,
}

/// How far a job's submission has come. `plan::submission` moves it, and draws the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Submission {
    /// Containers that are started now still join.
    Gathering {
        /// The last start; the quiet period counts from here.
        last_start: Nanos,
    },
    /// Closed, and owed a POST. The plugin has certainly not acted on it so far.
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
    /// shows the job, or has not shown it for long enough.
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
    /// It will never be submitted: refused for good, or cancelled before it left.
    Dropped,
}

/// The cancellation of a job: an HTTP DELETE that is owed until the plugin confirms it or does
/// not know the job. A finished job is owed one too, for what it left behind over there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Cancel {
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
    /// The plugin confirmed it, or nothing was there to cancel.
    Done,
}

impl Job {
    /// Whether the poller has to ask for it: the plugin has it and has not been told to end it.
    pub fn is_polled(&self) -> bool {
        matches!(self.submission, Submission::Submitted { .. }) && self.cancel.is_none()
    }

    /// Whether nothing more is owed for it, now or later without a new request.
    pub fn is_settled(&self) -> bool {
        matches!(self.cancel, Some(Cancel::Done))
    }
}
