//! Requests to interLink from what conversion gives.

use super::Context;
use crate::{
    convert::{self, JobPod},
    interlink::wire::{LogStruct, PodCreateRequests},
    model::{ContainerId, Job, Pod},
};

/// The body of /create for a job.
pub fn create_request(
    context: &Context,
    pod: &Pod,
    job: &Job,
) -> Result<PodCreateRequests, convert::Error> {
    let JobPod {
        pod,
        configmaps,
        secrets,
        projected,
    } = convert::job_pod(pod, job, &context.settings)?;
    Ok(PodCreateRequests {
        pod,
        configmaps,
        secrets,
        projected_volumes: projected,
        jobscript_url: String::new(),
    })
}

/// The body of /getLogs for a container of a job: all of its log.
pub fn log_request(pod: &Pod, job: &Job, container: &ContainerId) -> Option<LogStruct> {
    let target = convert::log_target(pod, job, container)?;
    Some(LogStruct {
        namespace: target.namespace,
        pod_uid: target.pod_uid.to_string(),
        pod_name: target.pod_name,
        container_name: target.container_name,
        ..LogStruct::default()
    })
}
