//! What the API server adds to a job: the pod as its author wrote it, and the containers that the
//! kubelet is still expected to create, made as it would make them.

use std::{collections::HashSet, sync::Arc};

use k8s_openapi::api::core::v1::{Container as PodContainer, Pod as ApiPod, PodSpec};

use super::{api_objects, api_pod::api_pod, Context};
use crate::{
    convert::{self, JobContainer},
    host::{self, PodMounts},
    kube::{self, Api},
    kubelet::{self, all_containers, Allowance, KubeletPod},
    model::{Container, ContainerId, Job, Pod, Shared},
    proto::ContainerConfig,
    store,
};

/// Why the containers that are expected cannot be part of a job.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server does not say.
    #[error("the API server has no answer")]
    NoAnswer,
    /// It has not what a container's variables come from.
    #[error(transparent)]
    Kube(#[from] kube::Error),
    /// Only a kubelet could make it.
    #[error(transparent)]
    Kubelet(#[from] kubelet::Error),
    /// It cannot be part of a remote job.
    #[error(transparent)]
    Convert(#[from] convert::Error),
    /// What the kubelet has created cannot be read from the disk.
    #[error(transparent)]
    State(#[from] store::Error),
    /// The node does not have what it mounts.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// It cannot be written.
    #[error(transparent)]
    Encode(#[from] protobuf::Error),
}

impl Error {
    /// Whether a file system on this node does not answer, or the state cannot be read, so that it cannot be
    /// told yet.
    pub fn is_hung(&self) -> bool {
        match self {
            Self::Host(error) => error.is_hung(),
            Self::State(_) => true,
            _ => false,
        }
    }
}

/// What the API server adds to a job.
pub struct FromApi {
    /// The pod as the API server has it.
    pub pod: Arc<ApiPod>,
    /// The containers that the job expects.
    pub expected: Vec<JobContainer>,
    /// A container that the kubelet has created, where it had to be decoded for those expected.
    decoded: Option<Decoded>,
}

/// A container that the kubelet has created, and its configuration.
type Decoded = (Arc<Container>, ContainerConfig);

impl FromApi {
    /// Gives a container's configuration away, if it was decoded before.
    pub fn take_decoded(&mut self, id: &ContainerId) -> Option<ContainerConfig> {
        let decoded = self.decoded.take_if(|(container, _)| container.id == *id);
        decoded.map(|(_, config)| config)
    }

    /// The pod's service account.
    pub fn service_account(&self) -> &str {
        self.pod.spec.as_ref().map_or("", service_account)
    }
}

/// The service account that a pod has in the API server. A pod of an ordinary kubelet has one always,
/// a static one none.
pub fn service_account(written: &PodSpec) -> &str {
    written.service_account_name.as_deref().unwrap_or_default()
}

/// Reads what the API server adds to a job; none where there is no API server, or no answer.
///
/// # Errors
/// A container that is expected and cannot be part of the job.
pub fn read(context: &Context, pod: &Pod, job: &Job) -> Result<Option<FromApi>, Error> {
    let found = api_pod(context, pod);
    let (Some(api), Some(found)) = (&context.api, found) else {
        return match job.expected.is_empty() {
            true => Ok(None),
            false => Err(Error::NoAnswer),
        };
    };
    let mut decoded = None;
    let mut made = Vec::new();
    if !job.expected.is_empty() {
        decoded = first_started(context, pod, job)?;
        made = expected(context, api, pod, job, &found, decoded.as_ref())?;
    }
    Ok(Some(FromApi {
        pod: found,
        expected: made,
        decoded,
    }))
}

fn expected(
    context: &Context,
    api: &Api,
    pod: &Pod,
    job: &Job,
    found: &ApiPod,
    started: Option<&Decoded>,
) -> Result<Vec<JobContainer>, Error> {
    let names = job.expected.iter().map(|expected| &expected.name);
    let written: Vec<_> = names.filter_map(|name| written(found, name)).collect();
    if written.len() < job.expected.len() {
        return Err(Error::NoAnswer);
    }
    let settings = &context.settings;
    let objects = api_objects::read(api, found, &pod.sandbox.namespace, &written)?;
    let kubelet_pod = KubeletPod {
        pod: found,
        uid: &pod.sandbox.uid,
        kubelet_root: &settings.kubelet_root,
        pod_ip: pod.sandbox.ip,
        objects: &objects,
        image_user: Some(settings.image_uid),
        service_variables: service_variables(started, found),
    };
    let mut reader = mount_reader(context, pod);
    let mut allowance = Allowance::for_containers(context.config.limits.max_pod_bytes);
    let made = written.iter().map(|container| {
        let config = kubelet::container_config(&kubelet_pod, container, &mut allowance)?;
        convert::check_container(&config, settings)?;
        let found = reader.read(&config.mounts)?;
        convert::check_volumes(&config, &found, settings)?;
        Ok(JobContainer {
            container: Arc::new(record(pod, container, &config)?),
            config,
            found,
        })
    });
    made.collect()
}

/// What is written of a container.
fn written<'a>(api_pod: &'a ApiPod, name: &str) -> Option<&'a PodContainer> {
    let mut all = api_pod.spec.iter().flat_map(all_containers);
    all.find(|container| container.name == name)
}

/// What reads the volumes of a pod for its job.
pub fn mount_reader(context: &Context, pod: &Pod) -> PodMounts {
    PodMounts::for_job(context.logs.disk(), &pod.sandbox, &context.config)
}

/// The first container of the job that the kubelet has created.
fn first_started(context: &Context, pod: &Pod, job: &Job) -> Result<Option<Decoded>, Error> {
    let first = convert::to_run(pod, job).next();
    let decode = |container: &Arc<Container>| {
        let loaded = context.store.load_container(container)?;
        let config = convert::decode_container_config(&loaded)?;
        Ok((container.clone(), config))
    };
    first.map(|entry| decode(&entry.container)).transpose()
}

/// The variables about services that the kubelet gave to a container, but those that are its own: it
/// gives the same to all of the pod (`getServiceEnvVarMap` in pkg/kubelet/kubelet_pods.go).
fn service_variables(started: Option<&Decoded>, api_pod: &ApiPod) -> kubelet::Variables {
    let Some((container, config)) = started else {
        return Vec::new();
    };
    let own = written(api_pod, &container.name);
    let own = own.iter().flat_map(|one| one.env.iter().flatten());
    let own: HashSet<_> = own.map(|one| one.name.as_str()).collect();
    let mut variables = kubelet::service_variables(&config.envs);
    variables.retain(|(name, _)| !own.contains(name.as_str()));
    variables
}

/// The record that the container would have. It is never kept.
fn record(pod: &Pod, written: &PodContainer, config: &ContainerConfig) -> Result<Container, Error> {
    Ok(Container {
        id: ContainerId::from(written.name.as_str()),
        sandbox_id: pod.sandbox.id.clone(),
        name: written.name.as_str().into(),
        attempt: 0,
        image: written.image.as_deref().unwrap_or_default().into(),
        image_id: Shared::default(),
        labels: config.labels.iter().collect(),
        annotations: config.annotations.iter().collect(),
        log_path: config.log_path.clone(),
        created_at: pod.sandbox.created_at,
        config: convert::encode_container_config(config)?,
    })
}
