//! Cancelling jobs: the plugin is told until it confirms, or does not know the job. Only its own word counts:
//! after anybody else's it is asked.

use std::time::Duration;

use super::{audit_line, changes::Hold, job_request, Context};
use crate::{
    audit::Outcome,
    interlink::Client,
    model::{Cancellation, Job, Pod, SandboxId, Submission},
    plan::call_results::{self, Asked, Deleted},
    profile::Speaker,
    telemetry::{chain, Counter},
};

/// Delivers a cancellation.
pub fn cancel(context: &Context, client: &Client, id: &SandboxId, number: u32) -> Hold {
    let Some(pod) = context.store.pod(id) else {
        return Hold::No;
    };
    let Some(job) = pod.job(number) else {
        return Hold::No;
    };
    let (name, uid) = (pod.full_name(), job.uid);
    let grace = Duration::from_secs(job.grace_seconds.into());
    let has_ended = matches!(job.submission, Submission::Finished | Submission::Lost);
    let what = match has_ended {
        true => "cleaned up",
        false => "cancelled",
    };
    let sent = job_request::delete_pod(context, &pod, job, grace);
    let ended = match context.call(|| client.delete(&sent)) {
        Ok(Speaker::Interlink) => {
            log::info!("pod {name}: job {uid} {what}");
            Deleted::Confirmed
        }
        Err(error) if error.confirms_a_deletion() => {
            log::info!("pod {name}: job {uid} is not known to the plugin any more");
            Deleted::Confirmed
        }
        Ok(Speaker::FrontEnd | Speaker::Unknown) => {
            let reason = "the answer is not known to be the plugin's";
            log::debug!("pod {name}: job {uid} perhaps {what}, the plugin is asked: {reason}");
            denied(context, client, &pod, job, true)
        }
        Err(error) => {
            let reason = chain(&error);
            log::warn!("pod {name}: job {uid} not {what}, to be tried again: {reason}");
            let says_gone = matches!(error.status(), Some(404 | 410)) || error.denies_the_job();
            match error.status() {
                Some(_) => denied(context, client, &pod, job, says_gone),
                None => Deleted::Failed,
            }
        }
    };
    let was_denied = ended == Deleted::Denied;
    let mut done = false;
    let hold = context.change(id, |pod, now| {
        call_results::deleted(pod, number, ended, now, &context.rules);
        let left = pod.job(number);
        done = left.is_none_or(|job| job.cancel == Some(Cancellation::Done));
    });
    if done && hold == Hold::No {
        if !has_ended {
            context.counters.count(Counter::JobsCancelled);
        }
        if was_denied {
            log::info!("pod {name}: job {uid} is not known to the plugin any more");
        }
        let outcome = match (has_ended, was_denied) {
            (true, _) => Outcome::CleanedUp,
            (false, true) => Outcome::Gone,
            (false, false) => Outcome::Cancelled,
        };
        audit_line::cancellation(context, &pod, job, &sent.metadata, outcome);
    }
    hold
}

/// Whether the plugin, asked, does not have a job any more whose deletion somebody has confirmed, or has
/// refused again and again.
fn denied(context: &Context, client: &Client, pod: &Pod, job: &Job, says_gone: bool) -> Deleted {
    let now = context.store.clock().now();
    if !call_results::may_be_gone(job, says_gone, now, &context.rules) {
        return Deleted::Failed;
    }
    match context.ask_about(client, pod, job) {
        Ok(Asked::Report(report)) if report.shows_the_job() => Deleted::Failed,
        Ok(Asked::Report(_)) => Deleted::Denied,
        Ok(Asked::Untold | Asked::NoAnswer) => Deleted::Untold,
        Err(error) if error.denies_the_job() => Deleted::Denied,
        Err(_) => Deleted::Failed,
    }
}
