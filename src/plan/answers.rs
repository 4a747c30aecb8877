//! What the answers of the remote side to our calls change about a pod.
//!
//! The workers make the calls; what follows from how they ended is decided here, so that it can be
//! explored without a network.

use super::{
    lifecycle::{self, NOT_STARTED, REFUSED},
    observe::{self, Report},
    submission::{Event, MIN_DENIALS},
    Rules,
};
use crate::model::{Cancel, Job, Nanos, Pod, Submission};

/// How a POST ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Posted {
    /// The plugin took the job.
    Accepted {
        /// What it calls it.
        remote_id: String,
    },
    /// Refused for good.
    Refused {
        /// Why, for the user.
        reason: String,
    },
    /// The plugin says that it failed: tried again a few times, and then believed.
    ServerError {
        /// Why, for the user.
        reason: String,
    },
    /// The plugin has not acted; it may go better later.
    NotActed,
    /// The plugin may have acted.
    InDoubt,
}

/// Takes over how the POST of a job ended. True when the job is refused for good with it.
pub fn posted(pod: &mut Pod, number: u32, posted: &Posted, now: Nanos, rules: &Rules) -> bool {
    let Some(job) = job_mut(pod, number) else {
        return false;
    };
    let refusal = match posted {
        Posted::Accepted { remote_id } => {
            job.remote_id = Some(remote_id.clone());
            job.submission_event(Event::Accepted, now, rules);
            None
        }
        Posted::InDoubt => {
            job.submission_event(Event::InDoubt, now, rules);
            None
        }
        Posted::NotActed => {
            job.submission_event(Event::NotActed, now, rules);
            None
        }
        Posted::ServerError { reason } => {
            job.server_errors = job.server_errors.saturating_add(1);
            if job.server_errors > rules.server_error_retries {
                Some(reason)
            } else {
                job.submission_event(Event::NotActed, now, rules);
                None
            }
        }
        Posted::Refused { reason } => Some(reason),
    };
    if let Some(reason) = refusal {
        job.submission_event(Event::Refused, now, rules);
        lifecycle::fail_job(pod, number, NOT_STARTED, REFUSED, reason, now);
    }
    refusal.is_some()
}

/// Takes over the answer to the question whether the plugin has a job; none where there was no
/// answer. A denial counts for the time at which the question was asked: an answer that comes late
/// says nothing of what happened meanwhile.
pub fn asked(
    pod: &mut Pod,
    number: u32,
    answer: Option<Report<'_>>,
    asked_at: Nanos,
    now: Nanos,
    rules: &Rules,
) {
    let Some(job) = job_mut(pod, number) else {
        return;
    };
    match answer {
        None => job.submission_event(Event::NoAnswer, now, rules),
        Some(report) if report.shows_the_job() => {
            job.submission_event(Event::Shown, now, rules);
            observe::apply(pod, number, report, now, rules);
        }
        Some(_) => job.submission_event(Event::Denied, asked_at, rules),
    }
    lifecycle::forget_settled_jobs(pod);
}

/// How a DELETE ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deleted {
    /// The plugin confirms it, or says (404) that it does not know the job.
    Confirmed,
    /// It could not be delivered, or the plugin refuses it.
    Failed,
    /// The plugin refuses it, and, asked, does not show the job.
    Denied,
}

/// Whether a refused cancellation is worth the question whether the plugin has the job at all:
/// plugins answer 500 for one that is gone. A fresh job may be missing from its answers.
pub fn may_be_gone(job: &Job, now: Nanos, rules: &Rules) -> bool {
    let refused_before =
        matches!(job.cancel, Some(Cancel::Requested { failures, .. }) if failures >= MIN_DENIALS);
    let fresh = match job.submission {
        Submission::Submitted { at } => now.since(at) < rules.unsure_grace,
        _ => false,
    };
    refused_before && !fresh
}

/// Takes over how the DELETE of a job ended.
pub fn deleted(pod: &mut Pod, number: u32, deleted: Deleted, now: Nanos, rules: &Rules) {
    if let Some(job) = job_mut(pod, number) {
        match deleted {
            Deleted::Confirmed => job.cancel_confirmed(),
            Deleted::Failed => job.cancel_failed(now, rules),
            Deleted::Denied => job.cancel_denied(now, rules),
        }
    }
    lifecycle::forget_settled_jobs(pod);
}

fn job_mut(pod: &mut Pod, number: u32) -> Option<&mut Job> {
    pod.jobs.iter_mut().find(|job| job.number == number)
}
