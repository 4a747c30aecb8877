//! The bodies of requests to interLink about a job.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod as JobsPod;

use super::{
    expected::{self, mount_reader, FromApi},
    Context,
};
use crate::{
    convert::{self, JobContainer, JobPod},
    host,
    identity::{self, PodFacts},
    interlink::wire::{LogStruct, PodCreateRequests},
    model::{ContainerId, Demand, Job, Pod},
    profile::{self, outgoing},
    store,
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
    /// What it is made of cannot be read from the disk.
    #[error(transparent)]
    State(#[from] store::Error),
    /// The job would be somebody else's, or nobody's.
    #[error(transparent)]
    Identity(#[from] identity::Error),
}

impl Error {
    /// Whether the same may go well later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Host(error) => error.is_temporary(),
            Self::Identity(error) => error.is_temporary(),
            Self::State(_) => true,
            Self::Convert(_) => false,
        }
    }
}

/// The body of /create for a job, with the contents that its volumes have now, completed by what the
/// API server adds. A container that the kubelet has created since it was asked comes as the kubelet
/// sent it.
pub fn create_request(
    context: &Context,
    pod: &Pod,
    job: &Job,
    mut from_api: Option<FromApi>,
) -> Result<PodCreateRequests, Error> {
    let pod = &context.store.load(pod)?;
    let mut reader = mount_reader(context, pod);
    let mut containers = Vec::new();
    for entry in convert::to_run(pod, job) {
        let decoded = from_api.as_mut();
        let config = match decoded.and_then(|api| api.take_decoded(&entry.container.id)) {
            Some(config) => config,
            None => convert::decode_container_config(&entry.container)?,
        };
        containers.push(JobContainer {
            container: entry.container.clone(),
            found: reader.read(&config.mounts)?,
            config,
        });
    }
    let (api_pod, expected) = match from_api {
        Some(FromApi { pod, expected, .. }) => (Some(pod), expected),
        None => (None, Vec::new()),
    };
    let is_expected = |name: &str| job.expected.iter().any(|one| one.name == name);
    let expected = expected.into_iter();
    containers.extend(expected.filter(|one| is_expected(&one.container.name)));
    let written = api_pod.as_ref().and_then(|pod| pod.spec.as_ref());
    let (pod_here, settings) = (&pod.sandbox, &context.settings);
    let default_memory = outgoing::default_memory(&pod_here.annotations, settings.default_memory);
    let JobPod {
        mut pod,
        configmaps,
        secrets,
        projected,
    } = convert::job_pod(pod, job, &containers, written, default_memory, settings)?;
    context
        .outgoing
        .complete_job(&pod_here.namespace, &mut pod, &context.rules.plugin);
    if let Some(written) = written {
        profile::complete_time_limit(&mut pod, written, &context.config.jobs);
    }
    let account = written.map(expected::service_account);
    let facts = PodFacts {
        namespace: &pod_here.namespace,
        annotations: &pod_here.annotations,
    };
    context.users.apply(facts, account, settings, &mut pod)?;
    // After the check of what the pod's author wants by flags: this is what the pod asks for by itself.
    profile::complete_gpus(&mut pod, &context.config.jobs);
    Ok(PodCreateRequests {
        pod,
        configmaps,
        secrets,
        projected_volumes: projected,
        jobscript_url: String::new(),
    })
}

/// What a job asks for, as far as namespaces have limits of it. No volume is read.
pub fn demand(
    context: &Context,
    pod: &Pod,
    job: &Job,
    from_api: Option<&FromApi>,
) -> Result<Demand, Error> {
    let pod = &context.store.load(pod)?;
    let mut containers = Vec::new();
    for entry in convert::to_run(pod, job) {
        containers.push(JobContainer {
            container: entry.container.clone(),
            config: convert::decode_container_config(&entry.container)?,
            found: Vec::new(),
        });
    }
    let expected = from_api.iter().flat_map(|api| &api.expected);
    containers.extend(expected.cloned());
    for container in &mut containers {
        container.config.mounts.clear();
        container.found.clear();
    }
    let written = from_api.and_then(|api| api.pod.spec.as_ref());
    let settings = &context.settings;
    let made = convert::job_pod(pod, job, &containers, written, None, settings)?;
    let spec = made.pod.spec.unwrap_or_default();
    Ok(convert::demand(&spec, settings))
}

/// The pod to ask /status about.
pub fn status_pod(context: &Context, pod: &Pod, job: &Job) -> JobsPod {
    let short = convert::status_pod(pod, job, &context.settings);
    completed(context, pod, job, short)
}

/// The body of /delete.
pub fn delete_pod(context: &Context, pod: &Pod, job: &Job, grace: Duration) -> JobsPod {
    let short = convert::delete_pod(pod, job, grace, &context.settings);
    completed(context, pod, job, short)
}

/// A pod that stands for a submitted job, with the site's metadata: plugins may look for it there.
fn completed(context: &Context, pod: &Pod, job: &Job, mut short: JobsPod) -> JobsPod {
    let namespace = &pod.sandbox.namespace;
    let metadata = &mut short.metadata;
    context.outgoing.complete_metadata(namespace, metadata);
    if let Some(account) = &job.owner.account {
        profile::set_account(metadata, account);
    }
    short
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
