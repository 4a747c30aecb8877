//! A CRI client with a kubelet's habits.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use grpcio::{CallOption, ChannelBuilder, EnvBuilder, MetadataBuilder, RpcStatusCode};
use interlink_cri::proto::{
    ContainerConfig, ContainerMetadata, ContainerState, ContainerStatus, ContainerStatusRequest,
    CreateContainerRequest, ImageServiceClient, ImageSpec, PodSandboxConfig, PodSandboxMetadata,
    PodSandboxState, PodSandboxStatusRequest, PullImageRequest, RemovePodSandboxRequest,
    RunPodSandboxRequest, RuntimeServiceClient, StartContainerRequest, StopContainerRequest,
    StopPodSandboxRequest, VersionRequest,
};
use protobuf::MessageField;

use super::wait_for;

/// The pod UID that test sandboxes have.
pub const UID: &str = "0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a10";

/// A sandbox as a kubelet would ask for it.
pub fn sandbox(name: &str) -> PodSandboxConfig {
    let metadata = PodSandboxMetadata {
        name: name.into(),
        namespace: "lab".into(),
        uid: UID.into(),
        ..Default::default()
    };
    PodSandboxConfig {
        metadata: MessageField::some(metadata),
        labels: HashMap::from([
            ("io.kubernetes.pod.uid".to_owned(), UID.to_owned()),
            ("app".to_owned(), name.to_owned()),
        ]),
        ..Default::default()
    }
}

/// A container as a kubelet would ask for it.
pub fn container(name: &str, command: &[&str]) -> ContainerConfig {
    let metadata = ContainerMetadata {
        name: name.into(),
        ..Default::default()
    };
    let image = ImageSpec {
        image: "busybox:1.36".into(),
        ..Default::default()
    };
    ContainerConfig {
        metadata: MessageField::some(metadata),
        image: MessageField::some(image),
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        log_path: format!("{name}/0.log"),
        ..Default::default()
    }
}

/// The client.
pub struct Cri {
    pub runtime: RuntimeServiceClient,
    pub images: ImageServiceClient,
    /// For calls that are not waited for.
    pub raw: grpcio::Client,
    logs: PathBuf,
    /// `traceparent` and `tracestate` of calls.
    trace: Option<(String, String)>,
}

pub fn options() -> CallOption {
    CallOption::default().timeout(Duration::from_secs(30))
}

/// The code that a call was refused with.
pub fn code<T: std::fmt::Debug>(result: grpcio::Result<T>) -> (RpcStatusCode, String) {
    match result {
        Err(grpcio::Error::RpcFailure(status)) => (status.code(), status.message().to_owned()),
        other => panic!("not refused: {other:?}"),
    }
}

impl Cri {
    pub fn new(socket: &Path, logs: &Path) -> Self {
        let environment = Arc::new(EnvBuilder::new().cq_count(1).build());
        let channel = ChannelBuilder::new(environment)
            .max_receive_message_len(64 << 20)
            // A daemon that is started again is found at once.
            .initial_reconnect_backoff(Duration::from_millis(50))
            .max_reconnect_backoff(Duration::from_millis(200))
            .connect(&format!("unix:{}", socket.display()));
        Self {
            runtime: RuntimeServiceClient::new(channel.clone()),
            images: ImageServiceClient::new(channel.clone()),
            raw: grpcio::Client::new(channel),
            logs: logs.to_owned(),
            trace: None,
        }
    }

    /// The same client, within a trace.
    pub fn within(self, parent: &str, state: &str) -> Self {
        let trace = Some((parent.to_owned(), state.to_owned()));
        Self { trace, ..self }
    }

    fn options(&self) -> CallOption {
        let Some((parent, state)) = &self.trace else {
            return options();
        };
        let mut metadata = MetadataBuilder::new();
        metadata.add_str("traceparent", parent).expect("a value");
        metadata.add_str("tracestate", state).expect("a value");
        options().headers(metadata.build())
    }

    pub fn wait_until_it_serves(&self) {
        wait_for("the daemon serves", || {
            let options = CallOption::default().timeout(Duration::from_millis(500));
            self.runtime
                .version(&VersionRequest::default(), options)
                .ok()
        });
    }

    /// Runs a sandbox; its log directory is made as a kubelet would.
    pub fn run(&self, config: &PodSandboxConfig) -> String {
        self.try_run(config).expect("a sandbox")
    }

    /// The same, for those who can do without one.
    pub fn try_run(&self, config: &PodSandboxConfig) -> grpcio::Result<String> {
        let request = RunPodSandboxRequest {
            config: MessageField::some(self.with_logs(config)),
            ..Default::default()
        };
        let answer = self.runtime.run_pod_sandbox(&request, self.options())?;
        Ok(answer.pod_sandbox_id)
    }

    fn with_logs(&self, config: &PodSandboxConfig) -> PodSandboxConfig {
        let mut config = config.clone();
        if config.log_directory.is_empty() {
            let directory = self.logs.join(&config.metadata.name);
            fs::create_dir_all(&directory).expect("a log directory");
            config.log_directory = directory.display().to_string();
        }
        config
    }

    /// Pulls the image and creates a container.
    pub fn create(&self, sandbox: &str, config: &ContainerConfig) -> String {
        self.try_create(sandbox, config).expect("a container")
    }

    pub fn try_create(&self, sandbox: &str, config: &ContainerConfig) -> grpcio::Result<String> {
        let pull = PullImageRequest {
            image: config.image.clone(),
            ..Default::default()
        };
        self.images.pull_image(&pull, self.options())?;
        let request = CreateContainerRequest {
            pod_sandbox_id: sandbox.into(),
            config: MessageField::some(config.clone()),
            ..Default::default()
        };
        Ok(self
            .runtime
            .create_container(&request, self.options())?
            .container_id)
    }

    pub fn start(&self, id: &str) {
        self.try_start(id).expect("started");
    }

    pub fn try_start(&self, id: &str) -> grpcio::Result<()> {
        let request = StartContainerRequest {
            container_id: id.into(),
            ..Default::default()
        };
        self.runtime
            .start_container(&request, self.options())
            .map(drop)
    }

    /// Creates and starts.
    pub fn launch(&self, sandbox: &str, config: &ContainerConfig) -> String {
        let id = self.create(sandbox, config);
        self.start(&id);
        id
    }

    pub fn stop(&self, id: &str) {
        let request = StopContainerRequest {
            container_id: id.into(),
            timeout: 2,
            ..Default::default()
        };
        self.runtime
            .stop_container(&request, self.options())
            .expect("stopped");
    }

    pub fn stop_sandbox(&self, id: &str) {
        let request = StopPodSandboxRequest {
            pod_sandbox_id: id.into(),
            ..Default::default()
        };
        self.runtime
            .stop_pod_sandbox(&request, self.options())
            .expect("stopped");
    }

    pub fn remove_sandbox(&self, id: &str) {
        let request = RemovePodSandboxRequest {
            pod_sandbox_id: id.into(),
            ..Default::default()
        };
        self.runtime
            .remove_pod_sandbox(&request, self.options())
            .expect("removed");
    }

    pub fn sandbox_state(&self, id: &str) -> PodSandboxState {
        let request = PodSandboxStatusRequest {
            pod_sandbox_id: id.into(),
            ..Default::default()
        };
        let answer = self.runtime.pod_sandbox_status(&request, self.options());
        let status = answer.expect("a status").status;
        status.state.enum_value_or_default()
    }

    pub fn status(&self, id: &str) -> ContainerStatus {
        self.try_status(id).expect("a status")
    }

    pub fn try_status(&self, id: &str) -> grpcio::Result<ContainerStatus> {
        let request = ContainerStatusRequest {
            container_id: id.into(),
            ..Default::default()
        };
        let answer = self.runtime.container_status(&request, self.options())?;
        Ok(answer.status.into_option().expect("a status"))
    }

    /// The status with what is told to people: texts in JSON, by their names.
    pub fn verbose_status(&self, id: &str) -> (ContainerStatus, HashMap<String, String>) {
        let request = ContainerStatusRequest {
            container_id: id.into(),
            verbose: true,
            ..Default::default()
        };
        let answer = self.runtime.container_status(&request, self.options());
        let answer = answer.expect("a status");
        (answer.status.into_option().expect("a status"), answer.info)
    }

    pub fn state(&self, id: &str) -> ContainerState {
        self.status(id).state.enum_value_or_default()
    }

    /// Waits until a container has ended because its job was refused, in these words.
    pub fn wait_for_refusal(&self, id: &str, words: &str) {
        let status = self.wait_for_exit(id);
        assert_eq!(
            (status.exit_code, status.reason.as_str()),
            (128, "SubmissionFailed")
        );
        assert!(status.message.contains(words), "{}", status.message);
    }

    /// Waits until a container has exited; gives its last status.
    pub fn wait_for_exit(&self, id: &str) -> ContainerStatus {
        wait_for(&format!("container {id} exits"), || {
            Some(self.status(id))
                .filter(|status| status.state == ContainerState::CONTAINER_EXITED.into())
        })
    }
}
