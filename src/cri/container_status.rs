//! `ContainerStatus`.

use std::{collections::HashMap, path::Path};

use protobuf::{EnumOrUnknown, MessageField};
use serde_json::json;

use super::{filter::container_state, CriContext, Error};
use crate::{
    convert,
    model::{Container, ContainerEntry, Nanos, Pod},
    proto::{
        ContainerMetadata, ContainerResources, ContainerStatus, ContainerStatusRequest,
        ContainerStatusResponse, ImageSpec,
    },
};

impl CriContext {
    pub(super) fn container_status(
        &self,
        request: &ContainerStatusRequest,
    ) -> Result<ContainerStatusResponse, Error> {
        let (pod, id) = self.container(&request.container_id)?;
        let gone = || Error::NotFound {
            kind: "container",
            id: request.container_id.clone(),
        };
        let entry = pod.container(&id).ok_or_else(gone)?;
        let info = if request.verbose {
            self.container_info(&pod, entry)
        } else {
            HashMap::new()
        };
        let status = MessageField::some(status(&pod, entry));
        Ok(ContainerStatusResponse {
            status,
            info,
            ..Default::default()
        })
    }

    fn container_info(&self, pod: &Pod, entry: &ContainerEntry) -> HashMap<String, String> {
        let remote = self.remote_info(pod, entry);
        let sandbox = json!(entry.container.sandbox_id);
        HashMap::from([
            ("remote".to_owned(), remote.to_string()),
            ("sandboxID".to_owned(), sandbox.to_string()),
        ])
    }
}

/// A container's metadata.
pub fn metadata(container: &Container) -> ContainerMetadata {
    let (name, attempt) = (container.name.to_string(), container.attempt);
    ContainerMetadata {
        name,
        attempt,
        ..Default::default()
    }
}

/// The image as the user wrote it. The kubelet shows it as the container's image, and takes a status
/// without one for an error (`verifyContainerStatus` in cri-client/pkg/utils.go).
pub fn image_spec(container: &Container) -> ImageSpec {
    let image = container.image.to_string();
    ImageSpec {
        user_specified_image: image.clone(),
        image,
        ..Default::default()
    }
}

/// The absolute path of a container's log; empty where none was asked for, which no kubelet does: on
/// removal it deletes all whose path begins like this one (`Clean` in
/// pkg/kubelet/logs/container_log_manager.go).
pub fn log_path(pod: &Pod, container: &Container) -> String {
    if container.log_path.is_empty() || pod.sandbox.log_directory.is_empty() {
        return String::new();
    }
    Path::new(&pod.sandbox.log_directory)
        .join(&container.log_path)
        .display()
        .to_string()
}

/// A container's status. Mounts come back as they were given: the kubelet finds the
/// termination-log file through them (`getTerminationMessage` in
/// pkg/kubelet/kuberuntime/kuberuntime_container.go). So do labels and annotations: in one of those it
/// has noted a hash of the container, and it restarts one whose hash is another
/// (`containerChanged` in kuberuntime_manager.go).
pub fn status(pod: &Pod, entry: &ContainerEntry) -> ContainerStatus {
    let (container, state) = (&entry.container, &entry.status);
    let config = convert::shown_of_container(container);
    let linux = config.linux.resources.clone();
    let resources = linux.is_some().then(|| ContainerResources {
        linux,
        ..Default::default()
    });
    let exit = state.exit.as_ref();
    let nanos = |time: Option<Nanos>| time.map_or(0, |time| time.0);
    ContainerStatus {
        id: container.id.to_string(),
        metadata: MessageField::some(metadata(container)),
        state: EnumOrUnknown::new(container_state(state.phase())),
        created_at: container.created_at.0,
        // `kubectl` shows 0 as 1970, also for one that ended before it was started.
        started_at: nanos(state.started_at.or(exit.map(|_| container.created_at))),
        finished_at: nanos(exit.map(|exit| exit.finished_at)),
        exit_code: exit.map_or(0, |exit| exit.code),
        image: MessageField::some(image_spec(container)),
        // One identity for pull, list and status: the kubelet's image garbage collection keeps what a
        // container names (`detectImages` in pkg/kubelet/images/image_gc_manager.go).
        image_ref: container.image_id.to_string(),
        image_id: container.image_id.to_string(),
        reason: exit.map(|exit| exit.reason.clone()).unwrap_or_default(),
        message: exit.map(|exit| exit.message.clone()).unwrap_or_default(),
        labels: container.labels.to_map(),
        annotations: container.annotations.to_map(),
        mounts: config.mounts,
        stop_signal: config.stop_signal,
        log_path: log_path(pod, container),
        resources: MessageField::from_option(resources),
        ..Default::default()
    }
}
