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
    cri::{CriContext, Error},
    proto::{
        ContainerConfig, ContainerMetadata, ContainerStatsRequest, ContainerStatusRequest,
        CreateContainerRequest, ImageSpec, ImageStatusRequest, NetworkConfig, PodSandboxConfig,
        PodSandboxMetadata, PodSandboxStatusRequest, PullImageRequest, RemoveContainerRequest,
        RemoveImageRequest, RemovePodSandboxRequest, ReopenContainerLogRequest,
        RunPodSandboxRequest, RuntimeConfig, StartContainerRequest, StopContainerRequest,
        StopPodSandboxRequest, UpdateContainerResourcesRequest, UpdatePodSandboxResourcesRequest,
        UpdateRuntimeConfigRequest,
    },
};

const UID: &str = "0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a10";

type Method<Q, P> = fn(&CriContext, &Q) -> Result<P, Error>;

/// A message that a kubelet could have sent, with what is given merged into it.
fn merged<M: Message>(mut template: M, given: &[u8]) -> M {
    // What comes before a fault has been read.
    let _ = template.merge_from_bytes(given);
    template
}

/// A request about one object, by its id.
trait ById: Message {
    /// Where the id stands, and the ids of that kind that were given out.
    fn id<'a>(&mut self, node: &'a Node) -> (&mut String, &'a [String]);
}

macro_rules! by_id {
    ($field:ident of $known:ident: $($request:ident),+) => {
        $(impl ById for $request {
            fn id<'a>(&mut self, node: &'a Node) -> (&mut String, &'a [String]) {
                (&mut self.$field, &node.$known)
            }
        })+
    };
}

by_id!(pod_sandbox_id of sandboxes: StopPodSandboxRequest, RemovePodSandboxRequest);
by_id!(pod_sandbox_id of sandboxes: PodSandboxStatusRequest, UpdatePodSandboxResourcesRequest);
by_id!(container_id of containers: StartContainerRequest, StopContainerRequest);
by_id!(container_id of containers: RemoveContainerRequest, UpdateContainerResourcesRequest);
by_id!(container_id of containers: ReopenContainerLogRequest, ContainerStatusRequest);
by_id!(container_id of containers: ContainerStatsRequest);

impl Node {
    pub(super) fn call(&mut self, kind: u8, given: &[u8]) {
        let error = match kind.to_ascii_uppercase() {
            b'R' => self.run(kind == b'r', given),
            b'C' => self.create(kind == b'c', given),
            _ => self.call_simply(kind, given),
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

    fn call_simply(&self, kind: u8, given: &[u8]) -> Option<Error> {
        match kind {
            b'X' => self.by_id(given, CriContext::stop_pod_sandbox),
            b'Z' => self.by_id(given, CriContext::remove_pod_sandbox),
            b'V' => self.by_id(given, CriContext::update_pod_sandbox_resources),
            b'Q' => self.by_id(given, CriContext::pod_sandbox_status),
            b'S' => self.by_id(given, CriContext::start_container),
            b'T' => self.by_id(given, CriContext::stop_container),
            b'D' => self.by_id(given, CriContext::remove_container),
            b'U' => self.by_id(given, CriContext::update_container_resources),
            b'O' => self.by_id(given, CriContext::reopen_container_log),
            b'q' => self.by_id(given, CriContext::container_status),
            b'A' => self.by_id(given, CriContext::container_stats),
            b'a' => self.merge(
                Default::default(),
                given,
                CriContext::list_pod_sandbox_stats,
            ),
            b'L' => self.merge(Default::default(), given, CriContext::list_pod_sandbox),
            b'l' => self.merge(Default::default(), given, CriContext::list_containers),
            b'm' => self.merge(Default::default(), given, CriContext::list_images),
            _ => self.call_about_images(kind, given),
        }
    }

    /// Calls about the last object of a kind, unless another is given.
    fn by_id<Q: ById, P>(&self, given: &[u8], method: Method<Q, P>) -> Option<Error> {
        let mut template = Q::new();
        "0".clone_into(template.id(self).0);
        let mut request = merged(template, given);
        let (id, known) = request.id(self);
        given_out(id, known);
        method(self.face(), &request).err()
    }

    fn merge<Q: Message, P>(
        &self,
        template: Q,
        given: &[u8],
        method: Method<Q, P>,
    ) -> Option<Error> {
        method(self.face(), &merged(template, given)).err()
    }

    fn call_about_images(&self, kind: u8, given: &[u8]) -> Option<Error> {
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
                self.merge(template, given, CriContext::pull_image)
            }
            b'i' => {
                let template = RemoveImageRequest {
                    image,
                    ..Default::default()
                };
                self.merge(template, given, CriContext::remove_image)
            }
            b'M' => {
                let template = ImageStatusRequest {
                    image,
                    ..Default::default()
                };
                self.merge(template, given, CriContext::image_status)
            }
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
                self.merge(template, given, CriContext::update_runtime_config)
            }
            _ => None,
        }
    }
}
