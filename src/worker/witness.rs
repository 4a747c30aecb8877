//! Looking for the log of a job that may never have begun.

use std::ops::ControlFlow;

use super::{
    context::{Context, Hold},
    convert_job,
};
use crate::{
    interlink::{Client, LogLimits},
    model::SandboxId,
    plan::witness,
    telemetry::chain,
};

/// Looks whether the plugin has a log for any of a job's containers.
pub fn look(context: &Context, client: &Client, id: &SandboxId, number: u32) -> Hold {
    let Some(pod) = context.store.pod(id) else {
        return Hold::No;
    };
    let Some(job) = pod.jobs.iter().find(|job| job.number == number) else {
        return Hold::No;
    };
    let limits = LogLimits {
        bytes: 1,
        time: context.config.interlink.request_timeout,
    };
    // What the job itself has written stands in the log of each.
    let first = job.containers.first();
    let request = first.and_then(|first| convert_job::log_request(&pod, job, first));
    let mut has_log = false;
    if let Some(request) = request {
        let looked = context.call(|| {
            client.logs(&request, limits, &mut |_| {
                has_log = true;
                ControlFlow::Break(())
            })
        });
        if let Err(error) = looked {
            let (name, uid) = (pod.full_name(), job.uid);
            log::debug!("pod {name}: no log of job {uid}: {}", chain(&error));
        }
    }
    if !has_log {
        log::info!(
            "pod {}: the plugin says that job {} has ended, but it has no log, so it is not believed \
             yet",
            pod.full_name(),
            job.uid
        );
    }
    context.change(id, |pod, now| witness::looked(pod, number, has_log, now))
}
