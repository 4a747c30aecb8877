//! Looking for the log of a job that may never have begun.

use std::ops::ControlFlow;

use super::{changes::Hold, job_request, Context};
use crate::{
    interlink::{Client, LogLimits},
    model::{Job, Pod, SandboxId, UnprovenExit},
    plan::unproven_exit,
    telemetry::chain,
};

/// Most bytes of a log in which its beginning is looked for.
const BEGINNING: u64 = 4096;

/// The beginning of the log of a job's first container; empty where there is none. What the job itself
/// has written stands in the log of each.
pub fn beginning(context: &Context, client: &Client, pod: &Pod, job: &Job) -> Vec<u8> {
    let first = job.containers.first();
    let request = first.and_then(|first| job_request::log_request(pod, job, first));
    let Some(request) = request else {
        return Vec::new();
    };
    let limits = LogLimits {
        bytes: BEGINNING,
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
        let (name, uid) = (pod.full_name(), job.uid);
        log::debug!("pod {name}: no log of job {uid}: {}", chain(&error));
    }
    beginning
}

/// Looks whether the plugin has a log for any of a job's containers.
pub fn look(context: &Context, client: &Client, id: &SandboxId, number: u32) -> Hold {
    let Some(pod) = context.store.pod(id) else {
        return Hold::No;
    };
    let Some(job) = pod.job(number) else {
        return Hold::No;
    };
    let has_log = !beginning(context, client, &pod, job).is_empty();
    let is_first = |doubt: &UnprovenExit| doubt.not_before == doubt.since;
    if !has_log && job.unproven_exit.as_ref().is_some_and(is_first) {
        log::info!(
            "pod {}: the plugin says that job {} has ended, but it has no log, so it is not believed \
             yet",
            pod.full_name(),
            job.uid
        );
    }
    context.change(id, |pod, now| {
        unproven_exit::looked(pod, number, has_log, now)
    })
}
