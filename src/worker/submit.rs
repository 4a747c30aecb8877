//! Submitting jobs, and asking about those of which it is not known whether they were submitted.

use k8s_openapi::api::core::v1::Pod as JobsPod;

use super::{
    audit_line,
    changes::Hold,
    expected::{self, FromApi},
    job_request, limits, unproven_exit, Context,
};
use crate::{
    audit::Outcome,
    interlink::{self, Client, Created},
    model::{Job, Pod, SandboxId, Submission},
    plan::{
        batch,
        call_results::{self, Asked, Posted},
        limits as plan_limits,
        submission::Event,
        EmptyJobId, JobReport,
    },
    profile::{self, recognise, Speaker},
    telemetry::{chain, Counter},
};

/// Closes a job to further containers.
pub fn close(context: &Context, id: &SandboxId, number: u32) -> Hold {
    context.change(id, |pod, now| {
        batch::close(pod, number, now, &context.rules)
    })
}

/// Posts a job. That it is about to leave is on disk before it leaves, so a crash from here on
/// leads to a question, not to a second run.
pub fn submit(context: &Context, client: &Client, id: &SandboxId, number: u32) -> Hold {
    let from_api = match ask_api(context, id, number) {
        Ok(from_api) => from_api,
        Err(hold) => return hold,
    };
    // Before the pod's turn: it may read a file.
    let owner = context
        .store
        .pod(id)
        .map(|pod| audit_line::owner_to_be(context, &pod, from_api.as_ref()));
    let turn = match limits::take_turn(context, id, number, from_api.as_ref()) {
        Ok(turn) => turn,
        Err(hold) => return hold,
    };
    let begun = context.try_change(id, |pod, now| {
        if let Some(job) = pod.job_mut(number) {
            job.submission_event(Event::PostBegins, now, &context.rules);
            job.owner = owner.unwrap_or_default().into();
            plan_limits::admit(job, turn.demand);
        }
    });
    drop(turn);
    if begun.is_err() {
        return Hold::ForDisk;
    }
    let Some(pod) = context.store.pod(id) else {
        return Hold::No;
    };
    let Some(job) = pod.job(number) else {
        return Hold::No;
    };
    if !matches!(job.submission, Submission::Submitting { .. }) {
        return Hold::No;
    }
    let (posted, sent) = post(context, client, &pod, job, from_api);
    let refused = context.settle(id, |pod, now| {
        if let (Some(job), Some(sent)) = (pod.job_mut(number), &sent) {
            job.owner = audit_line::owner_sent(&job.owner, sent).into();
            job.partition = profile::partition(&sent.metadata).map(Into::into);
        }
        call_results::posted(pod, number, &posted, now, &context.rules)
    });
    if let Some(outcome) = audit_line::outcome(&posted, refused) {
        let sent = sent.unwrap_or_else(|| job_request::status_pod(context, &pod, job));
        audit_line::submission(context, id, (&pod, job), &sent.metadata, outcome);
    }
    if refused {
        context.counters.count(Counter::JobsRefused);
    } else if matches!(posted, Posted::Accepted { .. } | Posted::AwaitsGang) {
        context.counters.count(Counter::JobsSubmitted);
    }
    Hold::No
}

/// What the API server adds to the job. Where containers that the kubelet has not created yet cannot
/// be part of it, it is submitted without them, and they get jobs of their own.
fn ask_api(context: &Context, id: &SandboxId, number: u32) -> Result<Option<FromApi>, Hold> {
    let pod = context.store.pod(id);
    let job = pod.as_ref().and_then(|pod| pod.job(number));
    let (Some(pod), Some(job)) = (&pod, job) else {
        return Ok(None);
    };
    let error = match expected::read(context, pod, job) {
        Ok(from_api) => return Ok(from_api),
        Err(error) if error.is_hung() => {
            log::warn!(error = chain(&error); "job not submitted, to be tried again");
            return Err(Hold::ForHungDisk);
        }
        Err(error) => error,
    };
    log::warn!(error = chain(&error); "job takes only along what the kubelet has started");
    let forgotten = context.try_change(id, |pod, _| batch::forget_expected(pod, number));
    match forgotten {
        Ok(()) => Ok(None),
        Err(_) => Err(Hold::ForDisk),
    }
}

/// Posts a job; gives how that ended, and the pod that was sent.
fn post(
    context: &Context,
    client: &Client,
    pod: &Pod,
    job: &Job,
    from_api: Option<FromApi>,
) -> (Posted, Option<JobsPod>) {
    let request = match job_request::create_request(context, pod, job, from_api) {
        Ok(request) => request,
        Err(error) if error.is_temporary() => {
            let reason = chain(&error);
            log::warn!(error = reason; "job not submitted, to be tried again");
            return (Posted::NotActed { reason }, None);
        }
        Err(error) => {
            let reason = chain(&error);
            log::warn!(error = reason; "job refused");
            return (Posted::Refused { reason }, None);
        }
    };
    let posted = match context.call(|| client.create(&request)) {
        Ok(created) => accepted(context, created),
        Err(error) => failed(context, &settled(context, client, error)),
    };
    (posted, Some(request.pod))
}

fn accepted(context: &Context, created: Created) -> Posted {
    context.recognise(recognise::by_answer(created.is_wrapped, created.has_jobid));
    match (created.remote_id, context.rules.plugin.empty_job_id) {
        (Some(remote_id), _) => {
            context.recognise(recognise::by_job_id(&remote_id));
            Posted::Accepted { remote_id }
        }
        (None, EmptyJobId::AwaitsGang) => {
            log::info!("job is accepted without an id, and waits for its gang");
            Posted::AwaitsGang
        }
        (None, EmptyJobId::Doubt) => {
            let call = interlink::Call::Create;
            failed(context, &interlink::Error::NoJobId { call })
        }
    }
}

/// A refusal of which it is known whose word it is. Where the refusal itself does not tell, a ping does: one
/// that the plugin answers well has come by whatever stands in front of it, and so has the submission; one
/// that fails says that there is an outage, with which the job has nothing to do.
fn settled(context: &Context, client: &Client, error: interlink::Error) -> interlink::Error {
    if !error.is_unsettled() {
        return error;
    }
    match context.call(|| client.ping()) {
        Ok(_) => error.said_by(Speaker::Interlink),
        Err(_) => error.said_by(Speaker::FrontEnd),
    }
}

fn failed(context: &Context, error: &interlink::Error) -> Posted {
    let reason = chain(error);
    let level = context.level_of_failure();
    if error.is_ambiguous() {
        log::log!(
            level, error = reason;
            "it is not known whether the job was submitted, and the plugin will be asked"
        );
        Posted::InDoubt {
            likely_refusal: error.is_likely_refusal(),
            reason,
        }
    } else if error.is_server_error() {
        log::log!(level, error = reason; "job not submitted, to be tried again");
        Posted::ServerError { reason }
    } else if error.is_retryable() {
        log::log!(level, error = reason; "job not submitted, to be tried again");
        Posted::NotActed { reason }
    } else {
        log::warn!(error = reason; "job refused");
        Posted::Refused { reason }
    }
}

/// Asks the plugin whether it has a job.
pub fn ask(context: &Context, client: &Client, id: &SandboxId, number: u32) -> Hold {
    let Some(pod) = context.store.pod(id) else {
        return Hold::No;
    };
    let Some(job) = pod.job(number) else {
        return Hold::No;
    };
    let sent = job_request::status_pod(context, &pod, job);
    let asked_at = context.store.clock().now();
    let asked = match context.ask_about(client, &pod, job) {
        Ok(answer) => answer,
        // It was asked about this job alone.
        Err(error) if error.denies_the_job() => Asked::Report(JobReport::default()),
        Err(error) => {
            log::debug!(error = chain(&error); "asked about a job, without an answer");
            Asked::NoAnswer
        }
    };
    let is_shown = match &asked {
        Asked::Report(report) => Some(report.shows_the_job()),
        Asked::Untold | Asked::NoAnswer => None,
    };
    match (is_shown, &asked) {
        (Some(true), _) => log::info!("asked about a job: the plugin has it"),
        (Some(false), _) => {
            log::info!("asked about a job: the plugin does not know it");
        }
        (None, Asked::Untold) => {
            log::debug!("asked about a job: the answer names no job, or is one to another question")
        }
        (None, _) => {}
    }
    let log_tells_of_it =
        || profile::log_tells_of_the_job(&unproven_exit::beginning(context, client, &pod, job));
    if is_shown == Some(false) && log_tells_of_it() {
        log::warn!("job has a log, so it is not submitted again");
        let hold = context.change(id, |pod, now| {
            call_results::adopt_because_of_log(pod, number, now, &context.rules);
        });
        if hold == Hold::No {
            audit_line::submission(context, id, (&pod, job), &sent.metadata, Outcome::Accepted);
        }
        return hold;
    }
    let mut refused = false;
    let mut reason = None;
    let hold = context.change(id, |pod, now| {
        refused = call_results::asked(pod, number, &asked, asked_at, now, &context.rules);
        reason = pod.job(number).and_then(|job| job.trouble.clone());
    });
    if hold != Hold::No {
        return hold;
    }
    let outcome = if refused {
        log::warn!(error = reason.unwrap_or_default(); "job refused");
        context.counters.count(Counter::JobsRefused);
        Outcome::Refused
    } else if is_shown == Some(true) {
        Outcome::Accepted
    } else {
        return hold;
    };
    audit_line::submission(context, id, (&pod, job), &sent.metadata, outcome);
    hold
}
