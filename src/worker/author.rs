//! What the API server adds to a job: the pod as its author wrote it, and the containers that the
//! kubelet has not come to yet, made as it would make them.

use std::{collections::HashMap, sync::Arc};

use k8s_openapi::api::core::v1::{Container as PodContainer, Pod as ApiPod};
use protobuf::Message as _;

use super::{learn::api_pod, Context};
use crate::{
    convert::{
        self,
        author::{Author, ExpectedContainer},
        kubelet::Kubelet,
        objects::Objects,
    },
    host::{self, Look},
    kube::{self, Api},
    model::{Container, ContainerId, Job, Pod},
    proto::ContainerConfig,
};

/// Why the containers that were expected cannot go along.
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
    Kubelet(#[from] convert::kubelet::Error),
    /// It cannot travel.
    #[error(transparent)]
    Convert(#[from] convert::Error),
    /// The node does not have what it mounts.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// It cannot be written.
    #[error(transparent)]
    Encode(#[from] protobuf::Error),
}

/// What the author of a job's pod wrote; none where no API server says.
///
/// # Errors
/// A container that was expected and cannot go along.
pub fn author(context: &Context, pod: &Pod, job: &Job) -> Result<Option<Author>, Error> {
    let found = api_pod(context, pod);
    let (Some(api), Some(found)) = (&context.api, found) else {
        return match job.expected.is_empty() {
            true => Ok(None),
            false => Err(Error::NoAnswer),
        };
    };
    let mut author = Author {
        spec: found.spec.clone().unwrap_or_default(),
        expected: Vec::new(),
    };
    author.expected = expected(context, api, pod, job, &found, &author)?;
    Ok(Some(author))
}

fn expected(
    context: &Context,
    api: &Api,
    pod: &Pod,
    job: &Job,
    found: &ApiPod,
    author: &Author,
) -> Result<Vec<ExpectedContainer>, Error> {
    let names = job.expected.iter().map(|expected| &expected.name);
    let written = names.filter_map(|name| author.container(name));
    let written: Vec<_> = written.collect();
    if written.len() < job.expected.len() {
        return Err(Error::NoAnswer);
    }
    let objects = objects(api, &pod.sandbox.namespace, &written)?;
    let kubelet = Kubelet {
        pod: found,
        uid: &pod.sandbox.uid,
        root: &context.settings.kubelet_root,
        pod_ip: pod.sandbox.ip,
        objects: &objects,
        service_variables: service_variables(pod, job)?,
    };
    let mut look = Look::for_job(&pod.sandbox.uid, &context.settings);
    let made = written.iter().map(|container| {
        let config = kubelet.container(container)?;
        convert::check_container(&config, &context.settings)?;
        let found = look.at(&config.mounts)?;
        convert::check_volumes(&config, &found, &context.settings)?;
        Ok(ExpectedContainer {
            container: record(pod, container, &config)?,
            config,
            found,
        })
    });
    made.collect()
}

/// The ConfigMaps and Secrets that containers take variables from. Those that are not there may be
/// optional.
fn objects(api: &Api, namespace: &str, containers: &[&PodContainer]) -> Result<Objects, Error> {
    let mut objects = Objects::default();
    for source in containers
        .iter()
        .flat_map(|one| one.env_from.iter().flatten())
    {
        if let Some(map) = &source.config_map_ref {
            add_map(&mut objects, api, namespace, &map.name)?;
        }
        if let Some(secret) = &source.secret_ref {
            add_secret(&mut objects, api, namespace, &secret.name)?;
        }
    }
    let variables = containers.iter().flat_map(|one| one.env.iter().flatten());
    for source in variables.filter_map(|variable| variable.value_from.as_ref()) {
        if let Some(map) = &source.config_map_key_ref {
            add_map(&mut objects, api, namespace, &map.name)?;
        }
        if let Some(secret) = &source.secret_key_ref {
            add_secret(&mut objects, api, namespace, &secret.name)?;
        }
    }
    Ok(objects)
}

fn add_map(objects: &mut Objects, api: &Api, namespace: &str, name: &str) -> Result<(), Error> {
    if !objects.configmaps.contains_key(name) {
        if let Some(map) = api.client.config_map(namespace, name)? {
            objects.configmaps.insert(name.to_owned(), map);
        }
    }
    Ok(())
}

fn add_secret(objects: &mut Objects, api: &Api, namespace: &str, name: &str) -> Result<(), Error> {
    if !objects.secrets.contains_key(name) {
        if let Some(secret) = api.client.secret(namespace, name)? {
            objects.secrets.insert(name.to_owned(), secret);
        }
    }
    Ok(())
}

/// The variables about services that the kubelet gave to a container of the job: it gives the same
/// to all of the pod.
fn service_variables(pod: &Pod, job: &Job) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let Some(first) = convert::to_run(pod, job).next() else {
        return Ok(Vec::new());
    };
    let config = convert::decode_container_config(&first.container)?;
    let is_one = |name: &str| {
        let about = ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT"];
        about.iter().any(|end| name.ends_with(end))
            || name.contains("_SERVICE_PORT_")
            || name.contains("_PORT_")
    };
    let variables = config.envs.into_iter().filter(|one| is_one(&one.key));
    Ok(variables.map(|one| (one.key, one.value)).collect())
}

/// The record that the container would have. It is never kept.
fn record(pod: &Pod, written: &PodContainer, config: &ContainerConfig) -> Result<Container, Error> {
    let texts = |map: &HashMap<String, String>| map.clone().into_iter().collect();
    Ok(Container {
        id: ContainerId::from(written.name.as_str()),
        sandbox_id: pod.sandbox.id.clone(),
        name: written.name.clone(),
        attempt: 0,
        image: written.image.clone().unwrap_or_default(),
        image_id: String::new(),
        labels: texts(&config.labels),
        annotations: texts(&config.annotations),
        log_path: config.log_path.clone(),
        created_at: pod.sandbox.created_at,
        config: Arc::from(config.write_to_bytes()?),
    })
}
