//! Looking for the log of a job that may never have begun.

use std::ops::ControlFlow;

use super::{changes::Hold, job_request, Context};
use crate::{
    interlink::{Client, LogLimits},
    model::{Job, Pod, SandboxId, UnprovenExit},
    plan::{unproven_exit, JobLog},
    profile,
    telemetry::chain,
};

/// The beginning of the log of a job's first container; empty where there is none. What the job itself
/// has written stands in the log of each.
pub fn beginning(context: &Context, client: &Client, pod: &Pod, job: &Job) -> Vec<u8> {
    let first = job.containers.first();
    let request = first.and_then(|first| job_request::log_request(pod, job, first));
    let Some(request) = request else {
        return Vec::new();
    };
    let limits = LogLimits {
        bytes: profile::LOOKED_THROUGH as u64,
        time: context.config.interlink.request_timeout,
    };
    let mut beginning = Vec::new();
    let looked = context.call(|| {
        client.logs(&request, limits, &mut |piece| {
            beginning.extend_from_slice(piece);
            ControlFlow::Continue(())
        })
    });
    if let Err(error) = looked {
        log::debug!(error = chain(&error); "no log of a job");
    }
    beginning
}

/// What the beginning of a log tells of the end of a job. Init containers end without a word.
fn job_log(pod: &Pod, job: &Job, beginning: &[u8]) -> JobLog {
    let containers = job.containers.iter().zip(&job.names);
    let mains = containers.filter(|(_, name)| !job.is_init(name));
    let requests: Vec<_> = mains
        .filter_map(|(id, _)| job_request::log_request(pod, job, id))
        .collect();
    let names: Vec<_> = requests
        .iter()
        .map(|it| it.container_name.as_str())
        .collect();
    let id = job.remote_id.as_deref().unwrap_or_default();
    profile::job_log(beginning, id, &names)
}

/// Looks whether the plugin has a log for any of a job's containers.
pub fn look(context: &Context, client: &Client, id: &SandboxId, number: u32) -> Hold {
    let Some(pod) = context.store.pod(id) else {
        return Hold::No;
    };
    let Some(job) = pod.job(number) else {
        return Hold::No;
    };
    let beginning = beginning(context, client, &pod, job);
    let log = job_log(&pod, job, &beginning);
    let is_first = |doubt: &UnprovenExit| doubt.not_before == doubt.since;
    if log == JobLog::Nothing && job.unproven_exit.as_deref().is_some_and(is_first) {
        log::info!(
            "the plugin says that the job has ended, but it has no log, so it is not believed yet"
        );
    }
    context.change(id, |pod, now| {
        unproven_exit::looked(pod, number, log, now, &context.rules)
    })
}
