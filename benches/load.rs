//! `make bench`: the daemon under the load of a large node. Starts the real binary, fills it with
//! pods over its socket, and prints how long calls take and how much memory the daemon holds.
//!
//! `BENCH_PODS` sets the number of pods (1000), each with two containers.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use grpcio::{CallOption, ChannelBuilder, EnvBuilder};
use interlink_cri::proto::{
    ContainerConfig, ContainerMetadata, ContainerStatusRequest, CreateContainerRequest,
    ImageServiceClient, ImageSpec, KeyValue, ListContainersRequest, ListPodSandboxRequest,
    PodSandboxConfig, PodSandboxMetadata, PullImageRequest, RemovePodSandboxRequest,
    RunPodSandboxRequest, RuntimeServiceClient, StartContainerRequest, StopPodSandboxRequest,
    VersionRequest,
};
use protobuf::MessageField;

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody to tell.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Daemon {
    fn start(directory: &Path) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_interlink-cri"))
            .args(["serve", "--log-level", "error", "--socket"])
            .arg(directory.join("cri.sock"))
            .arg("--state-dir")
            .arg(directory.join("state"))
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the daemon starts");
        Self(child)
    }

    /// A line of /proc/PID/status, in its own unit.
    fn status(&self, key: &str) -> String {
        let text = fs::read_to_string(format!("/proc/{}/status", self.0.id())).expect("status");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.expect("a line").trim().to_owned()
    }
}

fn main() {
    // `cargo bench` passes flags that are for the standard harness.
    let pods: usize = std::env::var("BENCH_PODS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1000);
    let directory = tempfile::tempdir().expect("a directory");
    let begun = Instant::now();
    let daemon = Daemon::start(directory.path());
    let environment = Arc::new(EnvBuilder::new().cq_count(1).build());
    let socket = format!("unix:{}", directory.path().join("cri.sock").display());
    let channel = ChannelBuilder::new(environment)
        .max_receive_message_len(64 << 20)
        .connect(&socket);
    let runtime = RuntimeServiceClient::new(channel.clone());
    let images = ImageServiceClient::new(channel);
    let ready = CallOption::default()
        .wait_for_ready(true)
        .timeout(Duration::from_secs(20));
    runtime
        .version(&VersionRequest::default(), ready)
        .expect("the daemon answers");
    println!(
        "start until the first answer      {:>10.1?}",
        begun.elapsed()
    );
    println!(
        "memory, idle                      {:>10}",
        daemon.status("VmRSS")
    );
    println!(
        "threads                           {:>10}",
        daemon.status("Threads")
    );

    let image = ImageSpec {
        image: "busybox:1.36".into(),
        ..Default::default()
    };
    let pull = PullImageRequest {
        image: MessageField::some(image),
        ..Default::default()
    };
    let image = images
        .pull_image(&pull, options())
        .expect("pulled")
        .image_ref;

    let mut sandboxes = Vec::new();
    let mut containers = Vec::new();
    let mut times = Times::default();
    for number in 0..pods {
        let config = MessageField::some(sandbox(number));
        let request = RunPodSandboxRequest {
            config: config.clone(),
            ..Default::default()
        };
        let id = times.time("RunPodSandbox", || {
            runtime.run_pod_sandbox(&request, options())
        });
        let id = id.pod_sandbox_id;
        for name in ["main", "side"] {
            let request = CreateContainerRequest {
                pod_sandbox_id: id.clone(),
                config: MessageField::some(container(name, &image)),
                sandbox_config: config.clone(),
                ..Default::default()
            };
            let created = times.time("CreateContainer", || {
                runtime.create_container(&request, options())
            });
            let container_id = created.container_id;
            let request = StartContainerRequest {
                container_id: container_id.clone(),
                ..Default::default()
            };
            times.time("StartContainer", || {
                runtime.start_container(&request, options())
            });
            containers.push(container_id);
        }
        sandboxes.push(id);
    }
    for container_id in &containers {
        let request = ContainerStatusRequest {
            container_id: container_id.clone(),
            ..Default::default()
        };
        times.time("ContainerStatus", || {
            runtime.container_status(&request, options())
        });
    }
    for _ in 0..50 {
        let all = ListContainersRequest::default();
        times.time("ListContainers", || {
            runtime.list_containers(&all, options())
        });
        let all = ListPodSandboxRequest::default();
        times.time("ListPodSandbox", || {
            runtime.list_pod_sandbox(&all, options())
        });
    }
    println!(
        "memory, {pods} pods of 2 containers {:>10}",
        daemon.status("VmRSS")
    );
    println!(
        "threads                           {:>10}",
        daemon.status("Threads")
    );
    for id in sandboxes {
        let request = StopPodSandboxRequest {
            pod_sandbox_id: id.clone(),
            ..Default::default()
        };
        times.time("StopPodSandbox", || {
            runtime.stop_pod_sandbox(&request, options())
        });
        let request = RemovePodSandboxRequest {
            pod_sandbox_id: id,
            ..Default::default()
        };
        times.time("RemovePodSandbox", || {
            runtime.remove_pod_sandbox(&request, options())
        });
    }
    println!(
        "memory, all removed               {:>10}",
        daemon.status("VmRSS")
    );
    times.print();
}

fn options() -> CallOption {
    CallOption::default().timeout(Duration::from_secs(60))
}

fn sandbox(number: usize) -> PodSandboxConfig {
    let metadata = PodSandboxMetadata {
        name: format!("pod-{number}"),
        namespace: "bench".into(),
        uid: format!("00000000-0000-4000-8000-{number:012}"),
        ..Default::default()
    };
    PodSandboxConfig {
        metadata: MessageField::some(metadata),
        ..Default::default()
    }
}

/// A container as a kubelet sends it: with the variables of some services.
fn container(name: &str, image: &str) -> ContainerConfig {
    let envs = (0..30).map(|n| KeyValue {
        key: format!("SERVICE_{n}_PORT_443_TCP_ADDR"),
        value: format!("10.96.{n}.1").into_bytes(),
        ..Default::default()
    });
    let image = ImageSpec {
        image: image.into(),
        ..Default::default()
    };
    let metadata = ContainerMetadata {
        name: name.into(),
        ..Default::default()
    };
    ContainerConfig {
        metadata: MessageField::some(metadata),
        image: MessageField::some(image),
        command: vec!["sleep".into(), "inf".into()],
        envs: envs.collect(),
        ..Default::default()
    }
}

/// Durations by call.
#[derive(Default)]
struct Times(Vec<(&'static str, Vec<Duration>)>);

impl Times {
    fn time<T>(&mut self, name: &'static str, call: impl FnOnce() -> grpcio::Result<T>) -> T {
        let begun = Instant::now();
        let answer = call().expect(name);
        let took = begun.elapsed();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, times)) => times.push(took),
            None => self.0.push((name, vec![took])),
        }
        answer
    }

    fn print(&mut self) {
        println!(
            "\n{:<18} {:>7} {:>10} {:>10} {:>10}",
            "call", "count", "median", "p99", "max"
        );
        for (name, times) in &mut self.0 {
            times.sort();
            let at = |part: usize| times[(times.len() - 1) * part / 100];
            let (median, p99, max) = (at(50), at(99), at(100));
            println!(
                "{name:<18} {:>7} {median:>10.1?} {p99:>10.1?} {max:>10.1?}",
                times.len()
            );
        }
    }
}
