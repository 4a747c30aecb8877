//! Submitting jobs, and asking about those of which it is not known whether they were submitted.

use super::{context::Hold, convert_job, Context};
use crate::{
    convert,
    interlink::{self, Client},
    model::{Job, Pod, SandboxId, Submission},
    plan::{
        lifecycle::{self, NOT_STARTED},
        observe::{self, Report},
        submission::Event,
    },
    telemetry::{chain, Counter},
};

/// Closes a job to further containers.
pub fn close(context: &Context, id: &SandboxId, number: u32) -> Hold {
    context.change(id, |pod, now| {
        if let Some(job) = job_mut(pod, number) {
            job.submission_event(Event::Closed, now, &context.rules);
        }
    })
}

/// Posts a job. That it is about to leave is on disk before it leaves, so a crash from here on
/// leads to a question, not to a second run.
pub fn submit(context: &Context, client: &Client, id: &SandboxId, number: u32) -> Hold {
    let begun = context.try_change(id, |pod, now| {
        if let Some(job) = job_mut(pod, number) {
            job.submission_event(Event::PostBegins, now, &context.rules);
        }
    });
    if begun.is_err() {
        return Hold::ForDisk;
    }
    let Some(pod) = context.store.pod(id) else {
        return Hold::No;
    };
    let Some(job) = pod.jobs.iter().find(|job| job.number == number) else {
        return Hold::No;
    };
    if !matches!(job.submission, Submission::Submitting { .. }) {
        return Hold::No;
    }
    let outcome = post(context, client, &pod, job);
    log_outcome(&pod, job, &outcome);
    context.settle(id, move |pod, now| {
        note(context, pod, number, &outcome, now)
    });
    Hold::No
}

/// How a POST ended.
enum Outcome {
    Accepted { remote_id: String },
    Refused { reason: String },
    ServerError { reason: String },
    NotActed { reason: String },
    InDoubt { reason: String },
}

fn post(context: &Context, client: &Client, pod: &Pod, job: &Job) -> Outcome {
    let request = match convert_job::create_request(context, pod, job) {
        Ok(request) => request,
        Err(error) => {
            return Outcome::Refused {
                reason: chain(&error),
            }
        }
    };
    match context.call(|| client.create(&request)) {
        Ok(created) => Outcome::Accepted {
            remote_id: created.remote_id,
        },
        Err(error) => failed(&error),
    }
}

fn failed(error: &interlink::Error) -> Outcome {
    let reason = chain(error);
    if error.is_ambiguous() {
        Outcome::InDoubt { reason }
    } else if error.is_server_error() {
        Outcome::ServerError { reason }
    } else if error.is_retryable() {
        Outcome::NotActed { reason }
    } else {
        Outcome::Refused { reason }
    }
}

fn note(
    context: &Context,
    pod: &mut Pod,
    number: u32,
    outcome: &Outcome,
    now: crate::model::Nanos,
) {
    let Some(job) = job_mut(pod, number) else {
        return;
    };
    let rules = &context.rules;
    let refusal = match outcome {
        Outcome::Accepted { remote_id } => {
            context.counters.count(Counter::JobsSubmitted);
            job.remote_id = Some(remote_id.clone());
            job.submission_event(Event::Accepted, now, rules);
            None
        }
        Outcome::InDoubt { .. } => {
            job.submission_event(Event::InDoubt, now, rules);
            None
        }
        Outcome::NotActed { .. } => {
            job.submission_event(Event::NotActed, now, rules);
            None
        }
        Outcome::ServerError { reason } => {
            job.server_errors = job.server_errors.saturating_add(1);
            if job.server_errors > rules.server_error_retries {
                Some(reason)
            } else {
                job.submission_event(Event::NotActed, now, rules);
                None
            }
        }
        Outcome::Refused { reason } => Some(reason),
    };
    if let Some(reason) = refusal {
        context.counters.count(Counter::JobsRefused);
        job.submission_event(Event::Refused, now, rules);
        lifecycle::fail_job(pod, number, NOT_STARTED, "SubmissionFailed", reason, now);
    }
}

fn log_outcome(pod: &Pod, job: &Job, outcome: &Outcome) {
    let (name, uid) = (pod.full_name(), job.uid);
    match outcome {
        Outcome::Accepted { remote_id } => {
            log::info!("pod {name}: job {uid} submitted, remote id {remote_id}");
        }
        Outcome::Refused { reason } => log::warn!("pod {name}: job {uid} refused: {reason}"),
        Outcome::ServerError { reason } | Outcome::NotActed { reason } => {
            log::warn!("pod {name}: job {uid} not submitted, to be tried again: {reason}");
        }
        Outcome::InDoubt { reason } => {
            log::warn!(
                "pod {name}: it is not known whether job {uid} was submitted, the plugin will be \
                 asked: {reason}"
            );
        }
    }
}

/// Asks the plugin whether it has a job.
pub fn ask(context: &Context, client: &Client, id: &SandboxId, number: u32) -> Hold {
    let Some(pod) = context.store.pod(id) else {
        return Hold::No;
    };
    let Some(job) = pod.jobs.iter().find(|job| job.number == number) else {
        return Hold::No;
    };
    let uid = job.uid.to_string();
    let answer = context.call(|| client.status(&[convert::status_pod(&pod, job)]));
    let name = pod.full_name();
    match answer {
        Ok(statuses) => {
            let status = statuses
                .into_iter()
                .find(|status| status.uid.eq_ignore_ascii_case(&uid));
            let containers = status
                .as_ref()
                .map(|s| super::poll::containers(s, job))
                .unwrap_or_default();
            let remote_id = status.map(|status| status.jid).unwrap_or_default();
            let report = Report {
                remote_id: &remote_id,
                containers: &containers,
            };
            let shown = report.shows_the_job();
            log::info!(
                "pod {name}: asked about job {uid}: the plugin {}",
                if shown { "has it" } else { "does not know it" }
            );
            context.change(id, |pod, now| {
                let event = if shown { Event::Shown } else { Event::Denied };
                if let Some(job) = job_mut(pod, number) {
                    job.submission_event(event, now, &context.rules);
                }
                if shown {
                    observe::apply(pod, number, report, now, &context.rules);
                }
                lifecycle::forget_settled_jobs(pod);
            })
        }
        Err(error) => {
            log::debug!("pod {name}: asked about job {uid}: {}", chain(&error));
            context.change(id, |pod, now| {
                if let Some(job) = job_mut(pod, number) {
                    job.submission_event(Event::NoAnswer, now, &context.rules);
                }
            })
        }
    }
}

/// A job of a pod by its number.
pub fn job_mut(pod: &mut Pod, number: u32) -> Option<&mut Job> {
    pod.jobs.iter_mut().find(|job| job.number == number)
}
