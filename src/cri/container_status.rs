//! `ContainerStatus`.

use std::path::Path;

use protobuf::Message as _;
use serde_json::json;

use super::{encode::Fields, filter::container_state, listed, CriContext, Error};
use crate::{
    convert,
    model::{Container, ContainerEntry, Nanos, Pod},
    proto::{
        ContainerResources, ContainerStatus, ContainerStatusRequest, ContainerStatusResponse,
        Encoded,
    },
};

impl CriContext {
    pub(super) fn container_status(
        &self,
        request: &ContainerStatusRequest,
    ) -> Result<Encoded<ContainerStatusResponse>, Error> {
        let (pod, id) = self.container(&request.container_id)?;
        let gone = || Error::NotFound {
            kind: "container",
            id: request.container_id.clone(),
        };
        let entry = pod.container(&id).ok_or_else(gone)?;
        let mut bytes = Vec::new();
        let mut fields = Fields::of(&mut bytes);
        fields.long_message(1, |fields| write(fields, &pod, entry));
        if request.verbose {
            for (key, value) in self.container_info(&pod, entry) {
                fields.long_message(2, |fields| {
                    fields.text(1, key);
                    fields.text(2, &value);
                });
            }
        }
        Ok(Encoded::new(bytes))
    }

    fn container_info(&self, pod: &Pod, entry: &ContainerEntry) -> [(&'static str, String); 2] {
        let remote = self.remote_info(pod, entry);
        let sandbox = json!(entry.container.sandbox_id);
        [
            ("remote", remote.to_string()),
            ("sandboxID", sandbox.to_string()),
        ]
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

/// A container's status.
pub fn status(pod: &Pod, entry: &ContainerEntry) -> ContainerStatus {
    let mut bytes = Vec::new();
    write(&mut Fields::of(&mut bytes), pod, entry);
    // It was just written.
    ContainerStatus::parse_from_bytes(&bytes).unwrap_or_default()
}

/// Writes a container's status. Mounts come back as they were given: the kubelet finds the
/// termination-log file through them (`getTerminationMessage` in
/// pkg/kubelet/kuberuntime/kuberuntime_container.go). So do labels and annotations: in one of those it
/// has noted a hash of the container, and it restarts one whose hash is another
/// (`containerChanged` in kuberuntime_manager.go).
fn write(fields: &mut Fields<'_>, pod: &Pod, entry: &ContainerEntry) {
    let (container, state) = (&entry.container, &entry.status);
    let mut config = convert::shown_of_container(container);
    let exit = state.exit.as_ref();
    let nanos = |time: Option<Nanos>| time.map_or(0, |time| time.0);
    fields.text(1, container.id.as_str());
    fields.message(2, |fields| listed::container_metadata(fields, container));
    fields.number(3, container_state(state.phase()) as u32);
    fields.int64(4, container.created_at.0);
    // `kubectl` shows 0 as 1970, also for one that ended before it was started.
    let started_at = state.started_at.or(exit.map(|_| container.created_at));
    fields.int64(5, nanos(started_at));
    fields.int64(6, nanos(exit.map(|exit| exit.finished_at)));
    fields.int64(7, exit.map_or(0, |exit| exit.code.into()));
    fields.message(8, |fields| listed::image(fields, container));
    // One identity for pull, list and status: the kubelet's image garbage collection keeps what a
    // container names (`detectImages` in pkg/kubelet/images/image_gc_manager.go).
    fields.text(9, &container.image_id);
    if let Some(exit) = exit {
        fields.text(10, &exit.reason);
        fields.text(11, &exit.message);
    }
    fields.map(12, &container.labels);
    fields.map(13, &container.annotations);
    for mount in &config.mounts {
        fields.encoded(14, mount);
    }
    fields.text(15, &log_path(pod, container));
    let linux = config.linux.mut_or_insert_default().resources.take();
    if linux.is_some() {
        let resources = ContainerResources {
            linux: linux.into(),
            ..Default::default()
        };
        fields.encoded(16, &resources);
    }
    fields.text(17, &container.image_id);
    fields.number(19, config.stop_signal.value() as u32);
}

#[cfg(test)]
mod tests {
    use protobuf::{EnumOrUnknown, MessageField};

    use super::*;
    use crate::{
        model::{Exit, StringMap},
        plan::testing,
        proto::{
            ContainerConfig, ContainerMetadata, ImageSpec, LinuxContainerConfig,
            LinuxContainerResources, Mount, Signal,
        },
    };

    #[test]
    fn a_status_has_what_the_record_has() {
        let mount = Mount {
            container_path: "/dev/termination-log".into(),
            host_path: "/pods/log".into(),
            readonly: true,
            ..Default::default()
        };
        let linux = LinuxContainerResources {
            cpu_shares: 512,
            ..Default::default()
        };
        let config = ContainerConfig {
            mounts: vec![mount.clone(), mount],
            linux: MessageField::some(LinuxContainerConfig {
                resources: MessageField::some(linux.clone()),
                ..Default::default()
            }),
            stop_signal: Signal::SIGNAL_SIGUSR1.into(),
            ..Default::default()
        };
        let mut pod = testing::pod(&["a"]);
        std::sync::Arc::make_mut(&mut pod.sandbox).log_directory = "/logs".into();
        let entry = &mut pod.containers[0];
        let container = std::sync::Arc::make_mut(&mut entry.container);
        container.labels = StringMap::from([("name", "z")]);
        container.annotations = StringMap::from([("hash", "1"), ("more", "2")]).into();
        (container.attempt, container.log_path) = (300, "a/0.log".into());
        container.config = convert::encode_container_config(&config).expect("fits");
        let mut want = ContainerStatus {
            id: container.id.to_string(),
            metadata: MessageField::some(ContainerMetadata {
                name: container.name.to_string(),
                attempt: 300,
                ..Default::default()
            }),
            state: EnumOrUnknown::new(container_state(entry.status.phase())),
            created_at: container.created_at.0,
            image: MessageField::some(ImageSpec {
                image: container.image.to_string(),
                user_specified_image: container.image.to_string(),
                ..Default::default()
            }),
            image_ref: container.image_id.to_string(),
            image_id: container.image_id.to_string(),
            labels: container.labels.to_map(),
            annotations: container.annotations.to_map(),
            mounts: config.mounts,
            stop_signal: config.stop_signal,
            log_path: "/logs/a/0.log".into(),
            resources: MessageField::some(ContainerResources {
                linux: MessageField::some(linux),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(status(&pod, &pod.containers[0]), want);
        let entry = &mut pod.containers[0];
        entry.status.exit = Some(Box::new(Exit {
            code: -1,
            reason: "Error".into(),
            message: "it said so".into(),
            finished_at: Nanos(9),
            termination_message: None,
            used: None,
        }));
        want.state = EnumOrUnknown::new(container_state(entry.status.phase()));
        (want.started_at, want.finished_at, want.exit_code) = (want.created_at, 9, -1);
        (want.reason, want.message) = ("Error".into(), "it said so".into());
        assert_eq!(status(&pod, &pod.containers[0]), want);
    }
}
