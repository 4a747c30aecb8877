//! Cancelling jobs: the plugin is told until it confirms, or does not know the job.

use std::time::Duration;

use super::{changes::Hold, job_request, reports, Context};
use crate::{
    interlink::{self, Client},
    model::{Cancellation, Job, Pod, SandboxId, Submission},
    plan::call_results::{self, Deleted},
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
    let ended =
        match context.call(|| client.delete(&job_request::delete_pod(context, &pod, job, grace))) {
            Ok(()) => {
                log::info!("pod {name}: job {uid} {what}");
                Deleted::Confirmed
            }
            Err(error) if error.status() == Some(404) => {
                log::info!("pod {name}: job {uid} is not known to the plugin any more");
                Deleted::Confirmed
            }
            Err(error) => {
                let reason = chain(&error);
                log::warn!("pod {name}: job {uid} not {what}, to be tried again: {reason}");
                if is_denied(context, client, &pod, job, &error) {
                    Deleted::Denied
                } else {
                    Deleted::Failed
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
    }
    hold
}

/// Whether a plugin that keeps on refusing a cancellation says that it does not have the job.
fn is_denied(
    context: &Context,
    client: &Client,
    pod: &Pod,
    job: &Job,
    error: &interlink::Error,
) -> bool {
    let now = context.store.clock().now();
    if error.status().is_none() || !call_results::may_be_gone(job, now, &context.rules) {
        return false;
    }
    match context.call(|| client.status(&[job_request::status_pod(context, pod, job)])) {
        Ok(statuses) => !reports::report_of(&statuses, job).shows_the_job(),
        Err(_) => false,
    }
}
