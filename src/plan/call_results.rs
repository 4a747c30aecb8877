//! What the answers of the remote side to our calls change about a pod.
//!
//! The workers make the calls; what follows from how they ended is decided here, so that it can be
//! explored without a network.

use super::{
    lifecycle, observe,
    report::JobReport,
    stop_ends,
    submission::{Event, MIN_DENIALS},
    Rules,
};
use crate::model::{exit_code, exit_reason, Cancellation, Job, Nanos, Pod, Submission};

/// What is told of a job that waits for its gang.
const AWAITS_GANG: &str =
    "accepted without a job id; it waits for the other pods that it is to run with";

/// How a POST ended. A `reason` is for people: it becomes the message of the containers' end, or of an
/// event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Posted {
    /// The plugin took the job.
    Accepted {
        /// What it calls it.
        remote_id: String,
    },
    /// The plugin took the job, and gives it an id when the others of its gang have come.
    AwaitsGang,
    /// Refused for good.
    Refused {
        /// The plugin's words.
        reason: String,
    },
    /// The plugin says that it failed: tried again a few times, and then believed.
    ServerError {
        /// The plugin's words.
        reason: String,
    },
    /// The plugin has not acted; it may go better later.
    NotActed {
        /// What kept the call from the plugin.
        reason: String,
    },
    /// The plugin may have acted.
    InDoubt {
        /// What came instead of an answer.
        reason: String,
        /// It has most likely refused the job: where it denies the job afterwards, that counts as a
        /// [`ServerError`](Self::ServerError).
        likely_refusal: bool,
    },
}

/// Takes over how the POST of a job ended. True when the job is refused for good with it.
pub fn posted(pod: &mut Pod, number: u32, posted: &Posted, now: Nanos, rules: &Rules) -> bool {
    let Some(job) = pod.job_mut(number) else {
        return false;
    };
    let refusal = match posted {
        Posted::Accepted { remote_id } => {
            job.remote_id = Some(remote_id.clone());
            job.trouble = None;
            job.submission_event(Event::Accepted, now, rules);
            None
        }
        Posted::AwaitsGang => {
            job.awaits_gang = true;
            job.trouble = Some(AWAITS_GANG.to_owned());
            job.submission_event(Event::Accepted, now, rules);
            None
        }
        Posted::InDoubt {
            reason,
            likely_refusal,
        } => {
            let refusals = u32::from(*likely_refusal);
            job.server_errors = job.server_errors.saturating_add(refusals);
            job.trouble = Some(reason.clone());
            job.submission_event(Event::InDoubt, now, rules);
            None
        }
        Posted::NotActed { reason } => {
            job.trouble = Some(reason.clone());
            job.submission_event(Event::NotActed, now, rules);
            None
        }
        Posted::ServerError { reason } => {
            job.server_errors = job.server_errors.saturating_add(1);
            job.trouble = Some(reason.clone());
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
        fail_submission(pod, number, reason, now);
    }
    stop_ends::conclude(pod, now);
    refusal.is_some()
}

/// Ends the containers of a job that will not be submitted.
fn fail_submission(pod: &mut Pod, number: u32, why: &str, now: Nanos) {
    let (code, reason) = (exit_code::NOT_STARTED, exit_reason::SUBMISSION_FAILED);
    lifecycle::fail_job(pod, number, code, reason, why, now);
}

/// Ends a job that is refused before it is posted: it would never find room in its namespace.
pub fn refused_here(pod: &mut Pod, number: u32, why: &str, now: Nanos, rules: &Rules) {
    let Some(job) = pod.job_mut(number) else {
        return;
    };
    if !matches!(job.submission, Submission::Pending { .. }) {
        return;
    }
    job.held = None;
    job.submission_event(Event::Withdrawn, now, rules);
    fail_submission(pod, number, why, now);
}

/// What came of the question whether the plugin has a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It speaks of the job, or denies it.
    Report(JobReport),
    /// The answer may be one to another question, or names no job: see [`Event::Untold`].
    Untold,
    /// There was no answer.
    NoAnswer,
}

/// Takes over the answer to the question whether the plugin has a job. A denial counts for the time at
/// which the question was asked: an answer that comes late says nothing of what happened meanwhile. True when the job is refused for good with it.
pub fn asked(
    pod: &mut Pod,
    number: u32,
    answer: &Asked,
    asked_at: Nanos,
    now: Nanos,
    rules: &Rules,
) -> bool {
    let Some(job) = pod.job_mut(number) else {
        return false;
    };
    let mut refused = false;
    match answer {
        Asked::NoAnswer => job.submission_event(Event::NoAnswer, now, rules),
        Asked::Untold => job.submission_event(Event::Untold, now, rules),
        Asked::Report(report) if report.shows_the_job() => {
            job.trouble = None;
            job.submission_event(Event::Shown, now, rules);
            observe::apply(pod, number, report, now, rules);
        }
        Asked::Report(_) => {
            job.submission_event(Event::Denied, asked_at, rules);
            let is_denied = matches!(job.submission, Submission::Pending { .. });
            if is_denied && job.server_errors > rules.server_error_retries {
                let reason = job.trouble.clone().unwrap_or_default();
                job.submission_event(Event::Withdrawn, now, rules);
                fail_submission(pod, number, &reason, now);
                refused = true;
            }
        }
    }
    stop_ends::conclude(pod, now);
    lifecycle::forget_settled_jobs(pod);
    refused
}

/// Takes over that a doubtful job has a log, although the plugin denies it: it runs, or has run, and is
/// not to be submitted again. If the plugin goes on denying it, it is lost.
pub fn adopt_because_of_log(pod: &mut Pod, number: u32, now: Nanos, rules: &Rules) {
    if let Some(job) = pod.job_mut(number) {
        job.trouble = None;
        job.submission_event(Event::Shown, now, rules);
    }
}

/// How a DELETE ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deleted {
    /// The plugin confirms it, or says (404, 410) that it does not know the job.
    Confirmed,
    /// It could not be delivered, or the plugin refuses it.
    Failed,
    /// The plugin refuses it, or somebody else confirms it; and, asked, the plugin does not show the job.
    Denied,
    /// The same, but the answer does not tell whether the plugin has the job.
    Untold,
}

/// Whether a cancellation that the plugin has not confirmed is worth the question whether it has the job at
/// all: when somebody says that the job is gone, and after several refusals, because plugins answer 500 for
/// one that is gone. A fresh job may be missing from the answers.
pub fn may_be_gone(job: &Job, says_gone: bool, now: Nanos, rules: &Rules) -> bool {
    let refused_before = matches!(job.cancel, Some(Cancellation::Requested { failures, .. }) if failures >= MIN_DENIALS);
    let since = match job.submission {
        Submission::Submitted { at } => Some(at),
        _ => job.in_doubt_since,
    };
    let is_fresh = since.is_some_and(|since| now.since(since) < rules.unsure_grace);
    (says_gone || refused_before) && !is_fresh
}

/// Takes over how the DELETE of a job ended that was sent with this grace period. If a container of the
/// job is being stopped, a confirmation alone does not tell how it ended, so the plugin is asked; and
/// where the grace period has become shorter meanwhile, the plugin is told that.
pub fn deleted(
    pod: &mut Pod,
    number: u32,
    deleted: Deleted,
    sent_grace_seconds: u32,
    now: Nanos,
    rules: &Rules,
) {
    let is_with_plugin = |job: &&Job| matches!(job.submission, Submission::Submitted { .. });
    let job = pod.job(number).filter(is_with_plugin);
    let is_asked_for = job.is_some_and(|job| pod.awaits_stop(job));
    if let Some(job) = pod.job_mut(number) {
        let is_shorter = job.grace_seconds < sent_grace_seconds;
        match deleted {
            Deleted::Confirmed if is_asked_for && is_shorter => job.cancel_again(now),
            Deleted::Confirmed if is_asked_for => job.cancel_delivered(now),
            Deleted::Confirmed => job.cancel_confirmed(),
            Deleted::Failed => job.cancel_failed(now, rules),
            Deleted::Denied => job.cancel_denied(now, rules),
            Deleted::Untold => job.cancel_untold(now, rules),
        }
    }
    stop_ends::conclude(pod, now);
    lifecycle::forget_settled_jobs(pod);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        plan::{batch, testing},
        profile,
    };

    /// A plugin that refuses in its own words with a status that leaves open whether it has acted
    /// is believed when it has denied the job as often as another one may answer 500.
    #[test]
    fn a_likely_refusal_counts_when_the_plugin_denies_the_job() {
        let rules = profile::rules(&Config::default());
        let mut pod = testing::pod(&["a"]);
        let id = pod.containers[0].id().clone();
        batch::start(&mut pod, &id, Nanos(1)).expect("starts");
        pod.jobs[0].submission_event(Event::Closed, Nanos(1), &rules);
        let refusal = Posted::InDoubt {
            reason: "unsupported hostPath type".to_owned(),
            likely_refusal: true,
        };
        let mut now = Nanos(2);
        let mut rounds = 0;
        let refused = loop {
            rounds += 1;
            pod.jobs[0].submission_event(Event::PostBegins, now, &rules);
            assert!(
                !posted(&mut pod, 0, &refusal, now, &rules),
                "it is in doubt"
            );
            let denied = (0..MIN_DENIALS).any(|_| {
                now = now.plus(rules.unsure_grace);
                let nothing = Asked::Report(JobReport::default());
                asked(&mut pod, 0, &nothing, now, now, &rules)
            });
            if denied || rounds > 10 {
                break denied;
            }
        };
        assert!(refused);
        assert_eq!(rounds, rules.server_error_retries + 1);
        let exit = pod.containers[0].status.exit.as_ref().expect("an end");
        assert_eq!(
            (exit.code, &*exit.reason),
            (exit_code::NOT_STARTED, exit_reason::SUBMISSION_FAILED)
        );
        assert_eq!(exit.message, "unsupported hostPath type");
    }

    #[test]
    fn a_job_that_is_refused_here_ends_its_containers() {
        let rules = profile::rules(&Config::default());
        let mut pod = testing::pod(&["a"]);
        let id = pod.containers[0].id().clone();
        batch::start(&mut pod, &id, Nanos(1)).expect("starts");
        pod.jobs[0].submission_event(Event::Closed, Nanos(1), &rules);
        refused_here(&mut pod, 0, "too large", Nanos(9), &rules);
        let exit = pod.containers[0].status.exit.as_ref().expect("an end");
        let want = (exit_code::NOT_STARTED, "too large");
        assert_eq!((exit.code, &*exit.message), want);
        assert_eq!(pod.jobs[0].submission, Submission::Dropped);
    }
}
