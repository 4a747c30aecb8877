//! What a kubelet would send for a container (`generateContainerConfig` in
//! `pkg/kubelet/kuberuntime/kuberuntime_container.go`), made from the pod as its author wrote it: for
//! containers that are part of a job before the kubelet has come to them, and for people who have no
//! kubelet.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::Container;
use protobuf::{Message as _, MessageField};

use super::{
    allowance::{Allowance, MAX_TEXT},
    annotations,
    environment::{self, Environment},
    error::Error,
    pod::KubeletPod,
    resources::linux_resources,
    security_context::security_context,
    stop_signal::stop_signal,
    volume_paths,
};
use crate::{
    model::weight,
    proto::{ContainerConfig, ContainerMetadata, ImageSpec, KeyValue, LinuxContainerConfig},
};

/// What a kubelet would send for a container, of one pod's allowance for all.
///
/// # Errors
/// What only a kubelet could resolve; what no process could be started with, which is not made.
pub fn container_config(
    pod: &KubeletPod<'_>,
    container: &Container,
    allowance: &mut Allowance,
) -> Result<ContainerConfig, Error> {
    let config = config(pod, container).and_then(|config| {
        let encoded = config.write_to_bytes();
        let encoded = encoded.map_err(|error| Error::new(error.to_string()))?;
        allowance.take(usize::try_from(weight(&encoded)).unwrap_or(usize::MAX))?;
        Ok(config)
    });
    config.map_err(|error| error.about(format_args!("container `{}`", container.name)))
}

fn config(pod: &KubeletPod<'_>, container: &Container) -> Result<ContainerConfig, Error> {
    let name = container.name.clone();
    let Some(image) = container.image.clone().filter(|image| !image.is_empty()) else {
        return Err(Error::new("it has no image"));
    };
    let allowance = &mut Allowance::for_texts();
    let variables = environment::variables(pod, container, allowance)?;
    let command = expanded("command", &container.command, &variables, allowance)?;
    let args = expanded("args", &container.args, &variables, allowance)?;
    if container.volume_devices.iter().flatten().next().is_some() {
        return Err(Error::new(
            "it has volumeDevices, which only a kubelet can map",
        ));
    }
    let lifecycle = container.lifecycle.as_ref();
    let signal = lifecycle.and_then(|lifecycle| lifecycle.stop_signal.as_deref());
    let signal = signal.map(stop_signal).unwrap_or_default();
    Ok(ContainerConfig {
        image: MessageField::some(ImageSpec {
            user_specified_image: image.clone(),
            image,
            ..Default::default()
        }),
        command,
        args,
        working_dir: container.working_dir.clone().unwrap_or_default(),
        mounts: volume_paths::mounts(pod, container, &variables)?,
        labels: labels(pod, &name),
        annotations: annotations(pod, container)?,
        log_path: format!("{name}/0.log"),
        stdin: container.stdin.unwrap_or(false),
        stdin_once: container.stdin_once.unwrap_or(false),
        tty: container.tty.unwrap_or(false),
        stop_signal: signal.into(),
        linux: MessageField::some(linux(pod, container)?),
        metadata: MessageField::some(ContainerMetadata {
            name,
            ..Default::default()
        }),
        envs: variables
            .into_variables()
            .map(|(key, value)| KeyValue {
                key,
                value,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    })
}

/// The command or the arguments, with the values of the variables that they name.
fn expanded(
    what: &str,
    texts: &Option<Vec<String>>,
    variables: &Environment,
    allowance: &mut Allowance,
) -> Result<Vec<String>, Error> {
    let texts = texts.iter().flatten().enumerate();
    let made = texts.map(|(index, text)| {
        // Beside it is its NUL.
        let made = allowance.expand(text, |name| variables.value_of(name), 1, MAX_TEXT);
        made.map_err(|error| error.about(format_args!("{what}[{index}]")))
    });
    made.collect()
}

/// `newContainerLabels` in `pkg/kubelet/kuberuntime/labels.go`.
fn labels(pod: &KubeletPod<'_>, container: &str) -> HashMap<String, String> {
    let text = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    HashMap::from([
        text(annotations::CONTAINER_NAME, container),
        text(annotations::POD_NAME, pod.name()),
        text(annotations::POD_NAMESPACE, pod.namespace()),
        text(annotations::POD_UID, pod.uid),
    ])
}

/// `newContainerAnnotations`, there. The API server fills in the defaults.
fn annotations(
    pod: &KubeletPod<'_>,
    container: &Container,
) -> Result<HashMap<String, String>, Error> {
    let grace = pod.spec()?.termination_grace_period_seconds.unwrap_or(30);
    let path = container.termination_message_path.as_deref();
    let policy = container.termination_message_policy.as_deref();
    let text = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    Ok(HashMap::from([
        text(annotations::RESTART_COUNT, "0"),
        text(
            annotations::MESSAGE_PATH,
            path.unwrap_or(annotations::DEFAULT_MESSAGE_PATH),
        ),
        text(annotations::MESSAGE_POLICY, policy.unwrap_or("File")),
        text(annotations::GRACE_PERIOD, &grace.to_string()),
    ]))
}

fn linux(pod: &KubeletPod<'_>, container: &Container) -> Result<LinuxContainerConfig, Error> {
    let of_pod = pod.spec()?.security_context.as_ref();
    let security = security_context(container, of_pod, pod.kubelet_root, pod.image_user);
    Ok(LinuxContainerConfig {
        resources: MessageField::some(linux_resources(container.resources.as_ref())?),
        security_context: MessageField::some(security),
        ..Default::default()
    })
}
