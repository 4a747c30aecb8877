//! The calls of a script. The letters:
//!
//! ```text
//! R  RunPodSandbox; r: the next attempt     C  CreateContainer; c: the next attempt
//! X  StopPodSandbox                         S  StartContainer
//! Z  RemovePodSandbox                       T  StopContainer
//! V  UpdatePodSandboxResources              D  RemoveContainer
//! I  PullImage        i  RemoveImage        U  UpdateContainerResources
//! M  ImageStatus      m  ListImages         O  ReopenContainerLog
//! Q  PodSandboxStatus q  ContainerStatus    L  ListPodSandbox    l  ListContainers
//! A  ContainerStats   a  ListPodSandboxStats                     G  UpdateRuntimeConfig
//! ```

use std::collections::HashMap;

use protobuf::{Message, MessageField};

use super::{checks, given_out, Node};
use crate::{
    cri::Error,
    proto::{
        ContainerConfig, ContainerMetadata, ContainerStatsRequest, ContainerStatusRequest,
        CreateContainerRequest, ImageSpec, ImageStatusRequest, LinuxContainerResources,
        ListContainersRequest, ListImagesRequest, ListPodSandboxRequest,
        ListPodSandboxStatsRequest, NetworkConfig, PodSandboxConfig, PodSandboxMetadata,
        PodSandboxStatusRequest, PullImageRequest, RemoveContainerRequest, RemoveImageRequest,
        RemovePodSandboxRequest, ReopenContainerLogRequest, RunPodSandboxRequest, RuntimeConfig,
        StartContainerRequest, StopContainerRequest, StopPodSandboxRequest,
        UpdateContainerResourcesRequest, UpdatePodSandboxResourcesRequest,
        UpdateRuntimeConfigRequest,
    },
};

const UID: &str = "0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a10";

/// A message that a kubelet could have sent, with what is given merged into it.
fn merged<M: Message>(mut template: M, given: &[u8]) -> M {
    // What comes before a fault has been read.
    let _ = template.merge_from_bytes(given);
    template
}

/// The same for a message of which the interesting part is an id.
macro_rules! named {
    ($request:ident, $field:ident, $given:expr, $known:expr) => {{
        let template = $request {
            $field: "0".to_owned(),
            ..Default::default()
        };
        let mut request = merged(template, $given);
        given_out(&mut request.$field, $known);
        request
    }};
}

impl Node {
    pub(super) fn call(&mut self, kind: u8, given: &[u8]) {
        let error = match kind.to_ascii_uppercase() {
            b'R' => self.run(kind == b'r', given),
            b'C' => self.create(kind == b'c', given),
            _ => self.call_by_id(kind, given),
        };
        if let Some(error) = error {
            checks::error(kind, &error);
        }
    }

    fn run(&mut self, is_next: bool, given: &[u8]) -> Option<Error> {
        let metadata = PodSandboxMetadata {
            name: "train".to_owned(),
            namespace: "lab".to_owned(),
            uid: UID.to_owned(),
            attempt: if is_next {
                self.sandboxes.len() as u32
            } else {
                0
            },
            ..Default::default()
        };
        let config = PodSandboxConfig {
            metadata: MessageField::some(metadata),
            log_directory: "/train".to_owned(),
            labels: HashMap::from([("app".to_owned(), "train".to_owned())]),
            ..Default::default()
        };
        let template = RunPodSandboxRequest {
            config: MessageField::some(config),
            ..Default::default()
        };
        let mut request = merged(template, given);
        if let Some(config) = request.config.as_mut() {
            // Wherever a request would have its logs, here they stay below one directory.
            if config.log_directory.starts_with('/') {
                let logs = self.logs();
                config.log_directory.insert_str(0, &logs.to_string_lossy());
            }
        }
        match self.face().run_pod_sandbox(&request) {
            Ok(answer) => {
                self.sandboxes.push(answer.pod_sandbox_id);
                None
            }
            Err(error) => Some(error),
        }
    }

    fn create(&mut self, is_next: bool, given: &[u8]) -> Option<Error> {
        let metadata = ContainerMetadata {
            name: "main".to_owned(),
            attempt: if is_next {
                self.containers.len() as u32
            } else {
                0
            },
            ..Default::default()
        };
        let image = ImageSpec {
            image: "busybox".to_owned(),
            ..Default::default()
        };
        let config = ContainerConfig {
            metadata: MessageField::some(metadata),
            image: MessageField::some(image),
            command: vec!["sleep".to_owned(), "60".to_owned()],
            log_path: "main/0.log".to_owned(),
            ..Default::default()
        };
        let template = CreateContainerRequest {
            pod_sandbox_id: "0".to_owned(),
            config: MessageField::some(config),
            ..Default::default()
        };
        let mut request = merged(template, given);
        given_out(&mut request.pod_sandbox_id, &self.sandboxes);
        match self.face().create_container(&request) {
            Ok(answer) => {
                self.containers.push(answer.container_id);
                None
            }
            Err(error) => Some(error),
        }
    }

    fn call_by_id(&self, kind: u8, given: &[u8]) -> Option<Error> {
        let (face, pods, containers) = (self.face(), &self.sandboxes, &self.containers);
        match kind {
            b'X' => face
                .stop_pod_sandbox(&named!(StopPodSandboxRequest, pod_sandbox_id, given, pods))
                .err(),
            b'Z' => face
                .remove_pod_sandbox(&named!(
                    RemovePodSandboxRequest,
                    pod_sandbox_id,
                    given,
                    pods
                ))
                .err(),
            b'V' => face
                .update_pod_sandbox_resources(&named!(
                    UpdatePodSandboxResourcesRequest,
                    pod_sandbox_id,
                    given,
                    pods
                ))
                .err(),
            b'Q' => {
                let mut request = named!(PodSandboxStatusRequest, pod_sandbox_id, given, pods);
                request.verbose = true;
                face.pod_sandbox_status(&request).err()
            }
            b'S' => face
                .start_container(&named!(
                    StartContainerRequest,
                    container_id,
                    given,
                    containers
                ))
                .err(),
            b'T' => face
                .stop_container(&named!(
                    StopContainerRequest,
                    container_id,
                    given,
                    containers
                ))
                .err(),
            b'D' => face
                .remove_container(&named!(
                    RemoveContainerRequest,
                    container_id,
                    given,
                    containers
                ))
                .err(),
            b'U' => {
                let linux = LinuxContainerResources {
                    cpu_quota: 50_000,
                    ..Default::default()
                };
                let template = UpdateContainerResourcesRequest {
                    container_id: "0".to_owned(),
                    linux: MessageField::some(linux),
                    ..Default::default()
                };
                let mut request = merged(template, given);
                given_out(&mut request.container_id, containers);
                face.update_container_resources(&request).err()
            }
            b'O' => face
                .reopen_container_log(&named!(
                    ReopenContainerLogRequest,
                    container_id,
                    given,
                    containers
                ))
                .err(),
            b'q' => {
                let mut request = named!(ContainerStatusRequest, container_id, given, containers);
                request.verbose = true;
                face.container_status(&request).err()
            }
            b'A' => face
                .container_stats(&named!(
                    ContainerStatsRequest,
                    container_id,
                    given,
                    containers
                ))
                .err(),
            b'a' => face
                .list_pod_sandbox_stats(&merged(ListPodSandboxStatsRequest::new(), given))
                .err(),
            b'L' => face
                .list_pod_sandbox(&merged(ListPodSandboxRequest::new(), given))
                .err(),
            b'l' => face
                .list_containers(&merged(ListContainersRequest::new(), given))
                .err(),
            _ => self.call_about_images(kind, given),
        }
    }

    fn call_about_images(&self, kind: u8, given: &[u8]) -> Option<Error> {
        let face = self.face();
        let image = MessageField::some(ImageSpec {
            image: "busybox".to_owned(),
            ..Default::default()
        });
        match kind {
            b'I' => {
                let template = PullImageRequest {
                    image,
                    ..Default::default()
                };
                face.pull_image(&merged(template, given)).err()
            }
            b'i' => {
                let template = RemoveImageRequest {
                    image,
                    ..Default::default()
                };
                face.remove_image(&merged(template, given)).err()
            }
            b'M' => {
                let template = ImageStatusRequest {
                    image,
                    ..Default::default()
                };
                face.image_status(&merged(template, given)).err()
            }
            b'm' => face
                .list_images(&merged(ListImagesRequest::new(), given))
                .err(),
            b'G' => {
                let network = NetworkConfig {
                    pod_cidr: "10.1.0.0/29".to_owned(),
                    ..Default::default()
                };
                let config = RuntimeConfig {
                    network_config: MessageField::some(network),
                    ..Default::default()
                };
                let template = UpdateRuntimeConfigRequest {
                    runtime_config: MessageField::some(config),
                    ..Default::default()
                };
                face.update_runtime_config(&merged(template, given)).err()
            }
            _ => None,
        }
    }
}
