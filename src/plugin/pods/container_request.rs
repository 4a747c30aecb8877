//! The containers of a /create: checked for what no backend could run.

use std::{collections::BTreeMap, path::PathBuf};

use k8s_openapi::api::core::v1::Container;

use super::{identifiers::relative_path, volumes::PodVolume};
use crate::{plugin::refusal::Refusal, text::is_dns_label};

/// A container to run.
#[derive(Debug)]
pub(crate) struct ContainerRequest {
    pub(crate) name: String,
    /// As the pod names it; may be empty.
    pub(crate) image: String,
    /// Empty where the image's own is meant.
    pub(crate) command: Vec<String>,
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    /// May be empty, relative, or a directory that only the image has.
    pub(crate) working_dir: String,
    pub(crate) mounts: Vec<MountRequest>,
    /// `runAsUser`, the container's own or else the pod's.
    pub(crate) run_as_user: Option<i64>,
    /// Whether the container has a restart policy of its own, as a sidecar has.
    pub(crate) has_restart_policy: bool,
}

/// A volume in a container.
#[derive(Debug)]
pub(crate) struct MountRequest {
    /// The name of one of the pod's volumes.
    pub(crate) volume: String,
    pub(crate) mount_path: String,
    /// Which part of the volume; empty for all.
    pub(crate) sub_path: PathBuf,
}

impl ContainerRequest {
    /// Checks a container of a pod whose volumes are `volumes`.
    pub(super) fn check(
        container: &Container,
        pod_user: Option<i64>,
        volumes: &[PodVolume],
    ) -> Result<Self, Refusal> {
        let name = &container.name;
        let refusal = |text: &str| Refusal::invalid(format!("container `{name}`: {text}"));
        if !is_dns_label(name) {
            return Err(Refusal::invalid(format!(
                "`{name}` is not a DNS label, so no container's name"
            )));
        }
        let command = container.command.clone().unwrap_or_default();
        let args = container.args.clone().unwrap_or_default();
        if command.iter().chain(&args).any(|word| word.contains('\0')) {
            return Err(refusal("a word of its command has a NUL byte"));
        }
        let working_dir = container.working_dir.clone().unwrap_or_default();
        if working_dir.contains('\0') {
            return Err(refusal("its working directory has a NUL byte"));
        }
        let own = container.security_context.as_ref();
        Ok(Self {
            name: name.clone(),
            image: container.image.clone().unwrap_or_default(),
            command,
            args,
            env: check_env(container).map_err(|text| refusal(&text))?,
            working_dir,
            mounts: check_mounts(container, volumes)?,
            run_as_user: own.and_then(|own| own.run_as_user).or(pod_user),
            has_restart_policy: container.restart_policy.is_some(),
        })
    }
}

/// The environment of a container; none of it is left to be looked up in the cluster.
fn check_env(container: &Container) -> Result<BTreeMap<String, String>, String> {
    let env_from = container.env_from.as_ref();
    if env_from.is_some_and(|sources| !sources.is_empty()) {
        return Err("envFrom must be resolved before it comes here".to_owned());
    }
    let mut env = BTreeMap::new();
    for variable in container.env.iter().flatten() {
        let key = &variable.name;
        let value = variable.value.clone().unwrap_or_default();
        if variable.value_from.is_some() {
            return Err(format!(
                "valueFrom of `{key}` must be resolved before it comes here"
            ));
        }
        if key.is_empty() || key.contains(['=', '\0']) || value.contains('\0') {
            return Err(format!("`{key}` cannot be an environment variable"));
        }
        env.insert(key.clone(), value);
    }
    Ok(env)
}

fn check_mounts(
    container: &Container,
    volumes: &[PodVolume],
) -> Result<Vec<MountRequest>, Refusal> {
    let name = &container.name;
    let devices = container.volume_devices.as_ref();
    if devices.is_some_and(|devices| !devices.is_empty()) {
        let text = format!("container `{name}`: volumeDevices are not supported");
        return Err(Refusal::invalid(text));
    }
    let mut mounts = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        let refuse = |text: &str| {
            let volume = &mount.name;
            let text = format!("container `{name}`: mount of volume `{volume}`: {text}");
            Err(Refusal::invalid(text))
        };
        if !volumes.iter().any(|volume| volume.name == mount.name) {
            return refuse("there is no such volume");
        }
        if mount.sub_path_expr.as_ref().is_some_and(|e| !e.is_empty()) {
            return refuse("subPathExpr must be resolved before it comes here");
        }
        let sub_path = mount.sub_path.as_deref().unwrap_or_default();
        let sub_path = match sub_path {
            "" => PathBuf::new(),
            some => match relative_path(some) {
                Some(path) => path,
                None => return refuse("subPath must stay inside the volume"),
            },
        };
        if mount.mount_path.is_empty() || mount.mount_path.contains('\0') {
            return refuse("its mountPath is empty or has a NUL byte");
        }
        mounts.push(MountRequest {
            volume: mount.name.clone(),
            mount_path: mount.mount_path.clone(),
            sub_path,
        });
    }
    Ok(mounts)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PodSpec;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_container_s_own_user_goes_before_the_pod_s() {
        let spec: PodSpec = serde_json::from_value(json!({
            "securityContext": {"runAsUser": 7},
            "containers": [{"name": "a"}, {"name": "b", "securityContext": {"runAsUser": 8}}],
        }))
        .unwrap();
        let pod_user = spec.security_context.unwrap().run_as_user;
        let checked = spec.containers.iter().map(|container| {
            let checked = ContainerRequest::check(container, pod_user, &[]).unwrap();
            checked.run_as_user
        });
        assert_eq!(checked.collect::<Vec<_>>(), [Some(7), Some(8)]);
    }
}
