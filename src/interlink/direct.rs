//! What a plugin gets that is spoken to without an interLink server between: what the server would
//! have made of it.
//!
//! | call | to a server | to a plugin | source |
//! |---|---|---|---|
//! | /create | `PodCreateRequests` | `RetrievedPodData`, or a list of one | pkg/interlink/api/create.go, func.go |
//! | /delete | DELETE | POST | pkg/interlink/api/delete.go |
//! | /pinglink | POST | GET /status with an empty list | pkg/interlink/api/ping.go |
//!
//! As of the server at f632175.

use k8s_openapi::api::core::v1::{Container, PodSpec, Volume};

use super::wire::{PodCreateRequests, RetrievedContainer, RetrievedPodData};

/// A pod with the contents of its volumes sorted by container. Whatever a container mounts that has not
/// come with the request is left out, as the server does it.
pub(super) fn retrieved(request: &PodCreateRequests) -> RetrievedPodData {
    let spec = request.pod.spec.clone().unwrap_or_default();
    let containers = spec.init_containers.iter().flatten();
    let containers = containers.chain(&spec.containers);
    RetrievedPodData {
        containers: containers
            .map(|container| contents_of(container, &spec, request))
            .collect(),
        pod: request.pod.clone(),
    }
}

fn contents_of(
    container: &Container,
    spec: &PodSpec,
    request: &PodCreateRequests,
) -> RetrievedContainer {
    let mut contents = RetrievedContainer {
        name: container.name.clone(),
        ..RetrievedContainer::default()
    };
    for mount in container.volume_mounts.iter().flatten() {
        let mut volumes = spec.volumes.iter().flatten();
        if let Some(volume) = volumes.find(|volume| volume.name == mount.name) {
            add_contents(&mut contents, volume, request);
        }
    }
    contents
}

fn add_contents(contents: &mut RetrievedContainer, volume: &Volume, request: &PodCreateRequests) {
    if let Some(source) = &volume.config_map {
        let mut maps = request.configmaps.iter();
        let found = maps.find(|map| map.metadata.name.as_ref() == Some(&source.name));
        contents.configmaps.extend(found.cloned());
    } else if let Some(source) = &volume.secret {
        let mut secrets = request.secrets.iter();
        let found = secrets.find(|secret| secret.metadata.name == source.secret_name);
        contents.secrets.extend(found.cloned());
    } else if volume.projected.is_some() || volume.downward_api.is_some() {
        let mut maps = request.projected_volumes.iter();
        let found = maps.find(|map| map.metadata.name.as_ref() == Some(&volume.name));
        contents.projected_volumes.extend(found.cloned());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn contents_go_to_the_containers_that_mount_them() {
        let named = |name: &str| json!({"metadata": {"name": name}});
        let request = json!({
            "pod": {"spec": {
                "initContainers": [{"name": "i", "volumeMounts": [
                    {"name": "vs", "mountPath": "/s"},
                ]}],
                "containers": [{"name": "m", "volumeMounts": [
                    {"name": "vc", "mountPath": "/c"}, {"name": "vp", "mountPath": "/p"},
                    {"name": "ve", "mountPath": "/e"}, {"name": "none", "mountPath": "/n"},
                ]}],
                "volumes": [
                    {"name": "vc", "configMap": {"name": "c"}},
                    {"name": "vs", "secret": {"secretName": "s"}},
                    {"name": "vp", "projected": {"sources": []}},
                    {"name": "ve", "emptyDir": {}},
                ],
            }},
            "configmaps": [named("other"), named("c")],
            "secrets": [named("s")],
            "projectedvolumesmaps": [named("vp")],
        });
        let request: PodCreateRequests = serde_json::from_value(request).unwrap();
        let got = serde_json::to_value(retrieved(&request)).unwrap();
        let names = |container: usize, kind: &str| {
            let list = got["container"][container][kind].as_array().unwrap();
            let names = list.iter().map(|one| one["metadata"]["name"].clone());
            names.collect::<Vec<_>>()
        };
        assert_eq!(got["container"][0]["name"], "i");
        assert_eq!(names(0, "secrets"), ["s"]);
        assert_eq!(names(0, "configMaps").len(), 0);
        assert_eq!(names(1, "configMaps"), ["c"]);
        assert_eq!(names(1, "projectedvolumemaps"), ["vp"]);
        assert_eq!(names(1, "secrets").len(), 0);
    }
}
