//! Cancelling jobs: the plugin is told until it confirms, or does not know the job. Only its own word counts:
//! after anybody else's it is asked.

use std::time::Duration;

use super::{audit_line, changes::Hold, job_request, logs, Context};
use crate::{
    audit::Outcome,
    interlink::Client,
    model::{Cancellation, Job, Pod, SandboxId, Submission},
    plan::{
        call_results::{self, Asked, Deleted},
        observe, stopping,
    },
    profile::Speaker,
    telemetry::{chain, Counter},
};

/// How long the rest of a log may hold up the cancellation of its job.
const LOG_TIME: Duration = Duration::from_secs(5);

/// Delivers a cancellation.
pub fn cancel(context: &Context, client: &Client, id: &SandboxId, number: u32) -> Hold {
    let Some(pod) = context.store.pod(id) else {
        return Hold::No;
    };
    let Some(job) = pod.job(number) else {
        return Hold::No;
    };
    let grace = Duration::from_secs(job.grace_seconds.into());
    let has_ended = matches!(job.submission, Submission::Finished | Submission::Lost);
    let what = match has_ended {
        true => "cleaned up",
        false => "cancelled",
    };
    if pod.awaits_stop(job) && is_first(job) {
        read_logs(context, client, &pod, job);
    }
    let sent = job_request::delete_pod(context, &pod, job, grace);
    let ended = match context.call(|| client.delete(&sent)) {
        Ok(Speaker::Interlink) => {
            log::info!("job {what}");
            Deleted::Confirmed
        }
        Err(error) if error.confirms_a_deletion() => {
            log::info!("job is not known to the plugin any more");
            Deleted::Confirmed
        }
        Ok(Speaker::FrontEnd | Speaker::Unknown) => {
            let error = "the answer is not known to be the plugin's";
            log::debug!(error; "job perhaps {what}, and the plugin is asked");
            denied(context, client, &pod, job, true)
        }
        Err(error) => {
            let (level, error_text) = (context.level_of_failure(), chain(&error));
            log::log!(level, error = error_text; "job not {what}, to be tried again");
            let says_gone = matches!(error.status(), Some(404 | 410)) || error.denies_the_job();
            match error.status() {
                Some(_) => denied(context, client, &pod, job, says_gone),
                None => Deleted::Failed,
            }
        }
    };
    let was_denied = ended == Deleted::Denied;
    let grace_seconds = job.grace_seconds;
    let (mut done, mut is_asked_for) = (false, false);
    let hold = context.change(id, |pod, now| {
        call_results::deleted(pod, number, ended, grace_seconds, now, &context.rules);
        let cancel = pod.job(number).map(|job| job.cancel.as_ref());
        done = cancel.is_none_or(|cancel| cancel == Some(&Cancellation::Done));
        is_asked_for = matches!(cancel, Some(Some(Cancellation::Delivered { .. })));
    });
    if (done || is_asked_for) && hold == Hold::No {
        if !has_ended {
            context.counters.count(Counter::JobsCancelled);
        }
        if was_denied {
            log::info!("job is not known to the plugin any more");
        }
        let outcome = match (has_ended, was_denied) {
            (true, _) => Outcome::CleanedUp,
            (false, true) => Outcome::Gone,
            (false, false) => Outcome::Cancelled,
        };
        audit_line::cancellation(context, &pod, job, &sent.metadata, outcome);
    }
    match is_asked_for && hold == Hold::No {
        true => ask_for_the_end(context, client, id, number),
        false => hold,
    }
}

/// Whether a cancellation is delivered for the first time.
fn is_first(job: &Job) -> bool {
    matches!(
        job.cancel,
        Some(Cancellation::Requested { failures: 0, .. })
    )
}

/// Reads what there is of the logs of a job's containers: some plugins delete them with the job.
fn read_logs(context: &Context, client: &Client, pod: &Pod, job: &Job) {
    let carried = job.containers.iter().filter_map(|id| pod.container(id));
    for entry in carried.filter(|entry| entry.status.is_live()) {
        if let Err(reason) = logs::fetch_within(context, client, pod, entry, false, LOG_TIME) {
            log::debug!(
                container = entry.container.name.as_str(), container_id:% = entry.id(), error = reason;
                "cannot read its log before its job is cancelled"
            );
        }
    }
}

/// Asks, right after a DELETE was confirmed, how the containers ended that are being stopped: many plugins
/// forget a job soon after. While it still runs, the poller asks on.
fn ask_for_the_end(context: &Context, client: &Client, id: &SandboxId, number: u32) -> Hold {
    context.nudge_poller();
    let Some(pod) = context.store.pod(id) else {
        return Hold::No;
    };
    let Some(job) = pod.job(number) else {
        return Hold::No;
    };
    match context.ask_about(client, &pod, job) {
        Ok(Asked::Report(report)) if report.shows_the_job() => context.change(id, |pod, now| {
            observe::apply(pod, number, &report, now, &context.rules);
        }),
        Ok(Asked::Report(_)) => note_gone(context, id, number),
        Err(error) if error.denies_the_job() => note_gone(context, id, number),
        Ok(Asked::Untold | Asked::NoAnswer) => Hold::No,
        Err(error) => {
            log::debug!(error = chain(&error); "asked how a job ended, without an answer");
            Hold::No
        }
    }
}

fn note_gone(context: &Context, id: &SandboxId, number: u32) -> Hold {
    context.change(id, |pod, now| {
        stopping::gone(pod, number, now, &context.rules);
    })
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
