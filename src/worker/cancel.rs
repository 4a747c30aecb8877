//! Cancelling jobs: the plugin is told until it confirms, or does not know the job.

use std::time::Duration;

use super::{context::Hold, submit::job_mut, Context};
use crate::{
    convert,
    interlink::{self, Client},
    model::{Cancel, Job, Pod, SandboxId, Submission},
    plan::{lifecycle, observe::Report, submission::MIN_DENIALS},
    telemetry::{chain, Counter},
};

/// Delivers a cancellation.
pub fn cancel(context: &Context, client: &Client, id: &SandboxId, number: u32) -> Hold {
    let Some(pod) = context.store.pod(id) else {
        return Hold::No;
    };
    let Some(job) = pod.jobs.iter().find(|job| job.number == number) else {
        return Hold::No;
    };
    let (name, uid) = (pod.full_name(), job.uid);
    let grace = Duration::from_secs(job.grace_seconds.into());
    let confirmed = match context.call(|| client.delete(&convert::delete_pod(&pod, job, grace))) {
        Ok(()) => {
            log::info!("pod {name}: job {uid} cancelled");
            true
        }
        Err(error)
            if error.status() == Some(404) || is_unknown(context, client, &pod, job, &error) =>
        {
            log::info!("pod {name}: job {uid} is not known to the plugin any more");
            true
        }
        Err(error) => {
            let reason = chain(&error);
            log::warn!("pod {name}: job {uid} not cancelled, to be tried again: {reason}");
            false
        }
    };
    if confirmed {
        context.counters.count(Counter::JobsCancelled);
    }
    context.change(id, |pod, now| {
        if let Some(job) = job_mut(pod, number) {
            if confirmed {
                job.cancel_confirmed();
            } else {
                job.cancel_failed(now, &context.rules);
            }
        }
        lifecycle::forget_settled_jobs(pod);
    })
}

/// Whether a plugin that keeps on refusing a cancellation does not know the job at all: plugins
/// answer 500 for one that is gone. A fresh job may be missing from its answers, so only one that
/// was submitted long enough ago counts.
fn is_unknown(
    context: &Context,
    client: &Client,
    pod: &Pod,
    job: &Job,
    error: &interlink::Error,
) -> bool {
    let refusals = match job.cancel {
        Some(Cancel::Requested { failures, .. }) => failures,
        _ => return false,
    };
    let fresh = match job.submission {
        Submission::Submitted { at } => {
            context.store.clock().now().since(at) < context.rules.unsure_grace
        }
        _ => false,
    };
    if error.status().is_none() || refusals < MIN_DENIALS || fresh {
        return false;
    }
    let uid = job.uid.to_string();
    match context.call(|| client.status(&[convert::status_pod(pod, job)])) {
        Ok(statuses) => !statuses
            .iter()
            .filter(|status| status.uid.eq_ignore_ascii_case(&uid))
            .any(|status| {
                let containers = super::poll::containers(status, job);
                Report {
                    remote_id: "",
                    containers: &containers,
                }
                .shows_the_job()
            }),
        Err(_) => false,
    }
}
