//! Requests to interLink from what conversion gives.

use super::Context;
use crate::{
    convert::{self, author::Author, prepared::PreparedMounts, JobPod},
    host::{self, Look},
    interlink::wire::{LogStruct, PodCreateRequests},
    model::{ContainerId, Job, Pod},
};

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The job cannot be made of what is stored.
    #[error(transparent)]
    Convert(#[from] convert::Error),
    /// The node does not have what the job mounts.
    #[error(transparent)]
    Host(#[from] host::Error),
}

impl Error {
    /// Whether the same may go well later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Host(error) if error.is_temporary())
    }
}

/// The body of /create for a job, with the contents that its volumes have now. What the kubelet has
/// started since the `author` was asked for comes as the kubelet said it.
pub fn create_request(
    context: &Context,
    pod: &Pod,
    job: &Job,
    mut author: Option<Author>,
) -> Result<PodCreateRequests, Error> {
    if let Some(author) = &mut author {
        let is_expected = |name: &str| job.expected.iter().any(|one| one.name == name);
        author
            .expected
            .retain(|one| is_expected(&one.container.name));
    }
    let mut look = Look::for_job(&pod.sandbox.uid, &context.settings);
    let mut prepared = PreparedMounts::new();
    for entry in convert::to_run(pod, job) {
        let config = convert::decode_container_config(&entry.container)?;
        prepared.insert(entry.id().clone(), look.at(&config.mounts)?);
    }
    let JobPod {
        pod,
        configmaps,
        secrets,
        projected,
    } = convert::job_pod(pod, job, &prepared, author.as_ref(), &context.settings)?;
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
