//! Calls to a CRI socket, as bytes: what a client makes of an answer is no part of what is measured.

use std::{ffi::CString, io::Read as _, sync::Arc, time::Duration};

use grpcio::{
    CallOption, ChannelBuilder, Client, ClientUnaryReceiver, EnvBuilder, GrpcSlice, Marshaller,
    MessageReader, Method, MethodType,
};
use interlink_cri::proto::{
    ContainerState, ContainerStateValue, ContainerStatsRequest, ContainerStatusRequest,
    CreateContainerRequest, CreateContainerResponse, ImageSpec, ListContainerStatsRequest,
    ListContainersRequest, ListContainersResponse, ListPodSandboxRequest,
    ListPodSandboxStatsRequest, PodSandboxState, PodSandboxStateValue, PodSandboxStatusRequest,
    PullImageRequest, PullImageResponse, RemovePodSandboxRequest, RunPodSandboxRequest,
    RunPodSandboxResponse, StartContainerRequest, StatusRequest, StopContainerRequest,
    StopPodSandboxRequest, VersionRequest,
};
use protobuf::{Message, MessageField};

use crate::{measure::Times, messages::Names};

/// A method whose messages are bytes.
pub type RawMethod = Method<Vec<u8>, Vec<u8>>;

/// A method of the runtime service.
pub const fn method(name: &'static str) -> RawMethod {
    const BYTES: Marshaller<Vec<u8>> = Marshaller { ser, de };
    Method {
        ty: MethodType::Unary,
        name,
        req_mar: BYTES,
        resp_mar: BYTES,
    }
}

// The signatures of these two are grpcio's.
#[allow(clippy::ptr_arg)]
fn ser(bytes: &Vec<u8>, to: &mut GrpcSlice) -> grpcio::Result<()> {
    *to = bytes.clone().into();
    Ok(())
}

fn de(mut from: MessageReader) -> grpcio::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(from.len());
    from.read_to_end(&mut bytes)
        .map_err(|error| grpcio::Error::Codec(Box::new(error)))?;
    Ok(bytes)
}

/// A connection of its own to a CRI socket.
pub struct Connection(Client);

/// A pod that runs.
pub struct Pod {
    id: String,
    containers: Vec<String>,
}

impl Pod {
    /// Its first container.
    pub fn container(&self) -> &str {
        self.containers.first().map_or("", String::as_str)
    }
}

impl Connection {
    /// Connects, and waits for the first answer.
    pub fn open(socket: &str) -> Self {
        let environment = Arc::new(EnvBuilder::new().cq_count(1).build());
        let own = CString::new("grpc.use_local_subchannel_pool").expect("no zero byte");
        let channel = ChannelBuilder::new(environment)
            .max_receive_message_len(64 << 20)
            .raw_cfg_int(own, 1)
            .connect(&format!("unix:{socket}"));
        let connection = Self(Client::new(channel));
        connection.ready();
        connection
    }

    /// Waits for an answer.
    pub fn ready(&self) {
        let patient = CallOption::default()
            .wait_for_ready(true)
            .timeout(Duration::from_secs(20));
        let version = method("/runtime.v1.RuntimeService/Version");
        let answer = self.0.unary_call(&version, &Vec::new(), patient);
        answer.expect("the runtime answers");
    }

    /// The answer's bytes.
    pub fn raw(&self, method: &RawMethod, request: &Vec<u8>) -> Vec<u8> {
        let options = CallOption::default().timeout(Duration::from_secs(60));
        self.0
            .unary_call(method, request, options)
            .unwrap_or_else(|error| panic!("{}: {error}", method.name))
    }

    fn call(&self, times: &mut Times, name: &'static str, request: &impl Message) -> Vec<u8> {
        let request = request.write_to_bytes().expect("a message");
        let method = method(name);
        times.time(name, || self.raw(&method, &request))
    }

    /// The image ref of an image, pulled.
    pub fn pull(&self, image: &str) -> String {
        let image = ImageSpec {
            image: image.into(),
            ..Default::default()
        };
        let request = PullImageRequest {
            image: MessageField::some(image),
            ..Default::default()
        };
        let name = "/runtime.v1.ImageService/PullImage";
        let answer = self.call(&mut Times::default(), name, &request);
        let answer = PullImageResponse::parse_from_bytes(&answer);
        answer.expect("an image ref").image_ref
    }

    /// Runs a pod's sandbox, and creates and starts its containers.
    pub fn run_pod(&self, names: &Names, image: &str, containers: usize, times: &mut Times) -> Pod {
        let config = MessageField::some(names.sandbox());
        let request = RunPodSandboxRequest {
            config: config.clone(),
            ..Default::default()
        };
        let answer = self.call(times, "/runtime.v1.RuntimeService/RunPodSandbox", &request);
        let answer = RunPodSandboxResponse::parse_from_bytes(&answer).expect("an answer");
        let mut pod = Pod {
            id: answer.pod_sandbox_id,
            containers: Vec::new(),
        };
        for number in 0..containers {
            let request = CreateContainerRequest {
                pod_sandbox_id: pod.id.clone(),
                config: MessageField::some(names.container(&format!("main-{number}"), image)),
                sandbox_config: config.clone(),
                ..Default::default()
            };
            let name = "/runtime.v1.RuntimeService/CreateContainer";
            let answer = self.call(times, name, &request);
            let answer = CreateContainerResponse::parse_from_bytes(&answer).expect("an answer");
            let request = StartContainerRequest {
                container_id: answer.container_id.clone(),
                ..Default::default()
            };
            self.call(times, "/runtime.v1.RuntimeService/StartContainer", &request);
            pod.containers.push(answer.container_id);
        }
        pod
    }

    /// Asks for a pod's first container to be stopped, and does not wait for it.
    pub fn begin_stop(&self, pod: &Pod) -> ClientUnaryReceiver<Vec<u8>> {
        let request = StopContainerRequest {
            container_id: pod.container().to_owned(),
            timeout: 300,
            ..Default::default()
        };
        let request = request.write_to_bytes().expect("a message");
        let options = CallOption::default().timeout(Duration::from_secs(600));
        let stop = method("/runtime.v1.RuntimeService/StopContainer");
        let receiver = self.0.unary_call_async(&stop, &request, options);
        receiver.expect("the call begins")
    }

    /// How many containers have ended.
    pub fn exited(&self) -> usize {
        let request = in_state(ContainerState::CONTAINER_EXITED);
        let name = "/runtime.v1.RuntimeService/ListContainers";
        let answer = self.call(&mut Times::default(), name, &request);
        let answer = ListContainersResponse::parse_from_bytes(&answer);
        answer.expect("an answer").containers.len()
    }

    /// Stops and removes a pod.
    pub fn remove_pod(&self, pod: &Pod, times: &mut Times) {
        let request = StopPodSandboxRequest {
            pod_sandbox_id: pod.id.clone(),
            ..Default::default()
        };
        self.call(times, "/runtime.v1.RuntimeService/StopPodSandbox", &request);
        let request = RemovePodSandboxRequest {
            pod_sandbox_id: pod.id.clone(),
            ..Default::default()
        };
        self.call(
            times,
            "/runtime.v1.RuntimeService/RemovePodSandbox",
            &request,
        );
    }
}

/// A read with the answer that it had.
pub struct Read {
    /// What it is called.
    pub name: &'static str,
    pub method: RawMethod,
    pub request: Vec<u8>,
    pub answer: Vec<u8>,
}

/// A call's name without its service.
pub fn call_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// Asks for the containers in a state.
fn in_state(state: ContainerState) -> ListContainersRequest {
    let mut request = ListContainersRequest::default();
    let filter = request.filter.mut_or_insert_default();
    filter.state = MessageField::some(ContainerStateValue {
        state: state.into(),
        ..Default::default()
    });
    request
}

fn encoded(request: &impl Message) -> Vec<u8> {
    request.write_to_bytes().expect("a message")
}

/// All reads that a kubelet makes.
pub struct Reads(pub Vec<Read>);

impl Reads {
    /// Each as it is answered now; those about one pod ask for this one.
    pub fn of(connection: &Connection, pod: &Pod) -> Self {
        let container = pod.container().to_owned();
        let status = PodSandboxStatusRequest {
            pod_sandbox_id: pod.id.clone(),
            ..Default::default()
        };
        let container_status = ContainerStatusRequest {
            container_id: container.clone(),
            ..Default::default()
        };
        let stats = ContainerStatsRequest {
            container_id: container,
            ..Default::default()
        };
        let read_as = |name, path: &'static str, request: Vec<u8>| {
            let method = method(path);
            let answer = connection.raw(&method, &request);
            Read {
                name,
                method,
                request,
                answer,
            }
        };
        let read = |path: &'static str, request| read_as(call_name(path), path, request);
        // All are in these states, but lists with a filter are made anew each time.
        let mut ready = ListPodSandboxRequest::default();
        let sandboxes = ready.filter.mut_or_insert_default();
        sandboxes.state = MessageField::some(PodSandboxStateValue {
            state: PodSandboxState::SANDBOX_READY.into(),
            ..Default::default()
        });
        let running = in_state(ContainerState::CONTAINER_RUNNING);
        Self(vec![
            read(
                "/runtime.v1.RuntimeService/Version",
                encoded(&VersionRequest::default()),
            ),
            read(
                "/runtime.v1.RuntimeService/Status",
                encoded(&StatusRequest::default()),
            ),
            read(
                "/runtime.v1.RuntimeService/PodSandboxStatus",
                encoded(&status),
            ),
            read(
                "/runtime.v1.RuntimeService/ContainerStatus",
                encoded(&container_status),
            ),
            read("/runtime.v1.RuntimeService/ContainerStats", encoded(&stats)),
            read(
                "/runtime.v1.RuntimeService/ListPodSandbox",
                encoded(&ListPodSandboxRequest::default()),
            ),
            read(
                "/runtime.v1.RuntimeService/ListContainers",
                encoded(&ListContainersRequest::default()),
            ),
            read_as(
                "ListPodSandbox ready",
                "/runtime.v1.RuntimeService/ListPodSandbox",
                encoded(&ready),
            ),
            read_as(
                "ListContainers running",
                "/runtime.v1.RuntimeService/ListContainers",
                encoded(&running),
            ),
            read(
                "/runtime.v1.RuntimeService/ListContainerStats",
                encoded(&ListContainerStatsRequest::default()),
            ),
            read(
                "/runtime.v1.RuntimeService/ListPodSandboxStats",
                encoded(&ListPodSandboxStatsRequest::default()),
            ),
        ])
    }

    /// A read by its name.
    pub fn named(&self, name: &str) -> &Read {
        let read = self.0.iter().find(|read| read.name == name);
        read.expect("a read of this name")
    }
}
