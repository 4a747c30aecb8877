//! What the API server adds to a job: the pod as its author wrote it, and the containers that the
//! kubelet has not come to yet, made as it would make them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use k8s_openapi::api::core::v1::{Container as PodContainer, Pod as ApiPod};
use protobuf::Message as _;

use super::{learn::api_pod, objects, Context};
use crate::{
    convert::{
        self,
        author::{Author, ExpectedContainer},
        kubelet::Kubelet,
    },
    host::{self, Look},
    kube::{self, Api},
    model::{Container, ContainerId, Job, Pod},
    proto::{ContainerConfig, KeyValue},
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
    let objects = objects::read(api, found, &pod.sandbox.namespace, &written)?;
    let kubelet = Kubelet {
        pod: found,
        uid: &pod.sandbox.uid,
        root: &context.settings.kubelet_root,
        pod_ip: pod.sandbox.ip,
        objects: &objects,
        image_user: Some(context.settings.image_uid),
        service_variables: service_variables(pod, job, author)?,
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

/// The variables about services that the kubelet gave to a container of the job: it gives the same
/// to all of the pod.
fn service_variables(
    pod: &Pod,
    job: &Job,
    author: &Author,
) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let Some(first) = convert::to_run(pod, job).next() else {
        return Ok(Vec::new());
    };
    let config = convert::decode_container_config(&first.container)?;
    let written = author.container(&first.container.name);
    let own = written.iter().flat_map(|one| one.env.iter().flatten());
    let own: BTreeSet<_> = own.map(|one| one.name.as_str()).collect();
    let mut variables = of_services(config.envs);
    variables.retain(|(name, _)| !own.contains(name.as_str()));
    Ok(variables)
}

/// Those that a kubelet makes of services (`FromServices`): for each `X_SERVICE_HOST` that has its
/// `X_SERVICE_PORT`, and `X_PORT...` as Docker had it.
fn of_services(variables: Vec<KeyValue>) -> Vec<(String, Vec<u8>)> {
    let names: BTreeSet<_> = variables.iter().map(|one| one.key.clone()).collect();
    let hosts = names
        .iter()
        .filter_map(|name| name.strip_suffix("_SERVICE_HOST"));
    let hosts: Vec<_> = hosts
        .filter(|name| names.contains(&format!("{name}_SERVICE_PORT")))
        .collect();
    let is_one = |key: &str| {
        let mut rests = hosts.iter().filter_map(|name| key.strip_prefix(name));
        rests.any(|rest| {
            matches!(rest, "_SERVICE_HOST" | "_SERVICE_PORT" | "_PORT")
                || rest.starts_with("_SERVICE_PORT_")
                || rest.starts_with("_PORT_")
        })
    };
    let variables = variables.into_iter().filter(|one| is_one(&one.key));
    variables.map(|one| (one.key, one.value)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_brings_is_told_from_what_looks_like_it() {
        let rows = [
            ("KUBERNETES_SERVICE_HOST", true),
            ("KUBERNETES_SERVICE_PORT", true),
            ("KUBERNETES_SERVICE_PORT_HTTPS", true),
            ("KUBERNETES_PORT", true),
            ("KUBERNETES_PORT_443_TCP_ADDR", true),
            ("DB_PORT", false),
            ("LONE_SERVICE_HOST", false),
            ("KUBERNETES_PORTAL", false),
        ];
        let variables = rows.map(|(name, _)| KeyValue {
            key: name.to_owned(),
            ..Default::default()
        });
        let kept = of_services(variables.into());
        let kept: Vec<_> = kept.iter().map(|(name, _)| name.as_str()).collect();
        let want = rows.iter().filter(|(_, is_one)| *is_one);
        let want: Vec<_> = want.map(|(name, _)| *name).collect();
        assert_eq!(kept, want);
    }
}
