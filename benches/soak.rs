//! `make soak`: pods come and go for a long time, and the daemon's memory is watched. Starts the
//! real binary with its embedded plugin, and prints a curve; ends with 1 when memory has grown.
//!
//! `SOAK_SECONDS` sets how long (600). The rule: once all pods are gone, the daemon holds no more
//! than a tenth above what it held at the end of the first fifth of the time, with pods.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode},
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        Arc,
    },
    thread,
    time::{Duration, Instant},
};

use futures_executor::block_on;
use futures_util::StreamExt as _;
use grpcio::{CallOption, ChannelBuilder, EnvBuilder};
use interlink_cri::proto::{
    ContainerConfig, ContainerMetadata, ContainerState, ContainerStatusRequest,
    CreateContainerRequest, GetEventsRequest, ImageServiceClient, ImageSpec, ListContainersRequest,
    ListPodSandboxRequest, PodSandboxConfig, PodSandboxMetadata, PullImageRequest,
    RemovePodSandboxRequest, RunPodSandboxRequest, RuntimeServiceClient, StartContainerRequest,
    StopPodSandboxRequest, VersionRequest,
};
use protobuf::MessageField;

/// Clients that run pods, one after the other.
const CLIENTS: usize = 4;

fn main() -> ExitCode {
    let seconds = std::env::var("SOAK_SECONDS").ok();
    let seconds = seconds.map_or(600, |text| text.parse().expect("SOAK_SECONDS is a number"));
    let span = Duration::from_secs(seconds);
    let directory = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start(directory.path());
    let runtime = daemon.runtime();
    let ready = options().wait_for_ready(true);
    runtime
        .version(&VersionRequest::default(), ready)
        .expect("the daemon answers");
    let (pods, events, over) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicBool::new(false),
    );
    let begun = Instant::now();
    let mut curve = Curve::default();
    println!(
        "{:>6} {:>9} {:>8} {:>4} {:>9} {:>7} {:>7}",
        "time", "RSS KiB", "threads", "fds", "state KiB", "pods", "events"
    );
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (daemon, pods, over) = (&daemon, &pods, &over);
            scope.spawn(move || {
                let client = Client::new(daemon, client);
                for number in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    client.one_pod(number);
                    pods.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // A kubelet's habits: it listens, and lists every second.
        scope.spawn(|| {
            let request = GetEventsRequest::default();
            let runtime = daemon.runtime();
            let stream = runtime.get_container_events(&request, CallOption::default());
            let mut stream = stream.expect("a stream");
            while !over.load(Ordering::Relaxed) {
                if let Some(Ok(_)) = block_on(stream.next()) {
                    events.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        scope.spawn(|| {
            let runtime = daemon.runtime();
            while !over.load(Ordering::Relaxed) {
                let all = runtime.list_pod_sandbox(&ListPodSandboxRequest::default(), options());
                all.expect("a list");
                let all = runtime.list_containers(&ListContainersRequest::default(), options());
                all.expect("a list");
                thread::sleep(Duration::from_secs(1));
            }
        });
        let step = (span / 60).max(Duration::from_secs(1));
        while begun.elapsed() < span {
            thread::sleep(step);
            curve.note(&daemon, begun.elapsed(), &pods, &events);
        }
        over.store(true, Ordering::Relaxed);
    });
    // What is owed to the plugin is done meanwhile.
    thread::sleep(Duration::from_secs(5));
    curve.note(&daemon, begun.elapsed(), &pods, &events);
    curve.verdict()
}

/// The memory over time, in KiB.
#[derive(Default)]
struct Curve(Vec<u64>);

impl Curve {
    fn note(&mut self, daemon: &Daemon, at: Duration, pods: &AtomicUsize, events: &AtomicUsize) {
        let memory = daemon.memory_kib();
        self.0.push(memory);
        println!(
            "{:>5}s {memory:>9} {:>8} {:>4} {:>9} {:>7} {:>7} {}",
            at.as_secs(),
            daemon.count("task"),
            daemon.count("fd"),
            daemon.state_kib(),
            pods.load(Ordering::Relaxed),
            events.load(Ordering::Relaxed),
            "#".repeat(usize::try_from(memory / 1024).unwrap_or(0).min(100)),
        );
    }

    fn verdict(&self) -> ExitCode {
        let (Some(early), Some(last)) = (self.0.get(self.0.len() / 5), self.0.last()) else {
            return ExitCode::FAILURE;
        };
        let most = early + early / 10;
        if *last <= most {
            println!("no growth: {last} KiB at the end, {early} KiB after the first fifth");
            ExitCode::SUCCESS
        } else {
            println!("GROWTH: {last} KiB at the end, {early} KiB after the first fifth");
            ExitCode::FAILURE
        }
    }
}

struct Daemon {
    child: Child,
    directory: PathBuf,
}

impl Daemon {
    fn start(directory: &Path) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_interlink-cri"))
            .args(["serve", "--embedded-plugin", "--log-level", "error"])
            .arg("--socket")
            .arg(directory.join("cri.sock"))
            .arg("--state-dir")
            .arg(directory.join("state"))
            .env("INTERLINK_CRI_JOBS_QUIET_PERIOD", "50ms")
            .spawn()
            .expect("the daemon starts");
        Self {
            child,
            directory: directory.to_owned(),
        }
    }

    fn channel(&self) -> grpcio::Channel {
        let environment = Arc::new(EnvBuilder::new().cq_count(1).build());
        let socket = self.directory.join("cri.sock");
        ChannelBuilder::new(environment).connect(&format!("unix:{}", socket.display()))
    }

    fn runtime(&self) -> RuntimeServiceClient {
        RuntimeServiceClient::new(self.channel())
    }

    fn memory_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let text = fs::read_to_string(path).expect("it runs");
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number
            .and_then(|number| number.parse().ok())
            .expect("a number")
    }

    fn count(&self, what: &str) -> usize {
        let path = format!("/proc/{}/{what}", self.child.id());
        fs::read_dir(path).expect("it runs").count()
    }

    fn state_kib(&self) -> u64 {
        let file = fs::metadata(self.directory.join("state/state.redb"));
        file.map_or(0, |file| file.len() / 1024)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Client<'a> {
    number: usize,
    runtime: RuntimeServiceClient,
    images: ImageServiceClient,
    daemon: &'a Daemon,
}

impl<'a> Client<'a> {
    fn new(daemon: &'a Daemon, number: usize) -> Self {
        Self {
            number,
            runtime: daemon.runtime(),
            images: ImageServiceClient::new(daemon.channel()),
            daemon,
        }
    }

    /// A pod with a container that ends by itself and one that is stopped.
    fn one_pod(&self, number: u64) {
        let name = format!("soak-{}-{number}", self.number);
        let logs = self.daemon.directory.join("logs").join(&name);
        let config = PodSandboxConfig {
            metadata: MessageField::some(PodSandboxMetadata {
                name,
                namespace: "soak".into(),
                uid: format!("{:08x}-0000-4000-8000-{number:012x}", self.number),
                ..Default::default()
            }),
            log_directory: logs.display().to_string(),
            ..Default::default()
        };
        let request = RunPodSandboxRequest {
            config: MessageField::some(config),
            ..Default::default()
        };
        let pod = self.runtime.run_pod_sandbox(&request, options());
        let pod = pod.expect("a sandbox").pod_sandbox_id;
        self.launch(&pod, "side", "exec sleep 600");
        let main = self.launch(
            &pod,
            "main",
            "i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); done",
        );
        self.wait_for_exit(&main);
        let request = StopPodSandboxRequest {
            pod_sandbox_id: pod.clone(),
            ..Default::default()
        };
        self.runtime
            .stop_pod_sandbox(&request, options())
            .expect("stopped");
        let request = RemovePodSandboxRequest {
            pod_sandbox_id: pod,
            ..Default::default()
        };
        self.runtime
            .remove_pod_sandbox(&request, options())
            .expect("removed");
        // What the kubelet does with the logs of a pod that is gone.
        let _ = fs::remove_dir_all(logs);
    }

    fn launch(&self, pod: &str, name: &str, script: &str) -> String {
        let image = MessageField::some(ImageSpec {
            image: "busybox:1.36".into(),
            ..Default::default()
        });
        let pull = PullImageRequest {
            image: image.clone(),
            ..Default::default()
        };
        self.images.pull_image(&pull, options()).expect("pulled");
        let config = ContainerConfig {
            metadata: MessageField::some(ContainerMetadata {
                name: name.into(),
                ..Default::default()
            }),
            image,
            command: vec!["sh".into(), "-c".into(), script.into()],
            log_path: format!("{name}/0.log"),
            ..Default::default()
        };
        let request = CreateContainerRequest {
            pod_sandbox_id: pod.into(),
            config: MessageField::some(config),
            ..Default::default()
        };
        let created = self.runtime.create_container(&request, options());
        let container_id = created.expect("created").container_id;
        let request = StartContainerRequest {
            container_id: container_id.clone(),
            ..Default::default()
        };
        self.runtime
            .start_container(&request, options())
            .expect("started");
        container_id
    }

    fn wait_for_exit(&self, id: &str) {
        let request = ContainerStatusRequest {
            container_id: id.into(),
            ..Default::default()
        };
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let answer = self.runtime.container_status(&request, options());
            let status = answer.expect("a status").status.unwrap_or_default();
            if status.state == ContainerState::CONTAINER_EXITED.into() {
                assert_eq!(status.exit_code, 0, "{status:?}");
                return;
            }
            assert!(Instant::now() < deadline, "it does not end: {status:?}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn options() -> CallOption {
    CallOption::default().timeout(Duration::from_secs(60))
}
