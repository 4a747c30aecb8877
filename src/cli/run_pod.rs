//! `run-pod`: takes a Pod manifest through the socket as a kubelet would, shows what happens, and
//! ends with the pod's result.

use std::{
    fs,
    io::{IsTerminal as _, Read, Write as _},
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    time::{Duration, Instant},
};

use protobuf::MessageField;

use super::{
    client::{Client, Error},
    cri_log::Tail,
    manifest::{self, Layout, Plan},
    pod_dir::PodDir,
};
use crate::{
    proto::{
        ContainerConfig, ContainerState, ContainerStatus, ContainerStatusRequest,
        CreateContainerRequest, PodSandboxConfig, PullImageRequest, RemovePodSandboxRequest,
        RunPodSandboxRequest, StartContainerRequest, StopPodSandboxRequest,
    },
    text::for_terminal,
};

/// The largest manifest: a Pod with ConfigMaps and Secrets, of which the API server takes 1.5 MiB each.
const MAX_MANIFEST_BYTES: u64 = 8 << 20;
/// How often states and logs are looked at.
const PAUSE: Duration = Duration::from_millis(50);
/// Exit code after an interrupt (128 + SIGINT).
const INTERRUPTED: i32 = 130;
/// Exit code when whoever read the output has gone (128 + SIGPIPE).
const NOBODY_READS: i32 = 141;
/// Exit code when the pod did not end in time.
const TIMED_OUT: i32 = 124;

/// What `run-pod` was asked for.
#[derive(Debug)]
pub struct Options {
    /// The manifest; `-` is standard input.
    pub file: PathBuf,
    /// The daemon's socket.
    pub socket: PathBuf,
    /// Leave the pod as it is at the end.
    pub keep: bool,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// The kubelet's root, as the daemon knows it: volumes are prepared there.
    pub kubelet_root: PathBuf,
    /// The token for volumes that ask for one of the pod's service account.
    pub service_account_token: Option<PathBuf>,
}

/// Runs a pod; returns the exit code: the pod's own, or that of what went wrong.
///
/// # Errors
/// A manifest that cannot be run, or a call that the daemon refused.
pub fn run(options: &Options) -> Result<i32, Error> {
    let text =
        read(&options.file).map_err(|e| Error(format!("{}: {e}", options.file.display())))?;
    let mut manifest = manifest::read(&text).map_err(|error| Error(error.to_string()))?;
    if let Some(file) = &options.service_account_token {
        let token = read(file).map_err(|error| Error(format!("{}: {error}", file.display())))?;
        manifest.objects.token = Some(token.trim_end().to_owned());
    }
    let mut logs = Logs::create(options.keep)?;
    let layout = Layout {
        logs: logs.path.clone(),
        kubelet_root: options.kubelet_root.clone(),
    };
    let planned = manifest::plan(&manifest, &layout);
    let plan = planned.map_err(|error| {
        logs.keep = false;
        Error(error.to_string())
    })?;
    let uid = &plan.sandbox.metadata.uid;
    let prepared = PodDir::create(&layout.kubelet_root, uid, &plan.volumes);
    let mut directory = prepared.map_err(|error| {
        logs.keep = false;
        let root = layout.kubelet_root.display();
        Error(format!(
            "the pod's volumes cannot be prepared below {root}: {error}"
        ))
    })?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let signals = [
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
        // The terminal is closed.
        signal_hook::consts::SIGHUP,
    ];
    for signal in signals {
        signal_hook::flag::register(signal, interrupted.clone())
            .map_err(|error| Error(format!("signal {signal}: {error}")))?;
    }
    let mut run = Run {
        client: Client::new(&options.socket),
        screen: Screen::new(&plan),
        interrupted,
        deadline: options.timeout.map(|span| Instant::now() + span),
        kept_logs: options.keep.then(|| logs.path.clone()),
        sandbox: String::new(),
    };
    let result = run.pod(&plan);
    // Without a sandbox there is nothing to keep logs for.
    logs.keep &= !run.sandbox.is_empty();
    drop(run);
    if let Some(directory) = &mut directory {
        directory.keep = logs.keep;
    }
    result.or_else(|end| match end {
        End::Refused(error) => Err(error),
        End::Interrupted => Ok(INTERRUPTED),
        End::TimedOut => Ok(TIMED_OUT),
        End::NobodyReads => Ok(NOBODY_READS),
    })
}

fn read(file: &Path) -> std::io::Result<String> {
    if file == Path::new("-") {
        return read_all(&mut std::io::stdin());
    }
    read_all(&mut fs::File::open(file)?)
}

fn read_all(from: &mut dyn Read) -> std::io::Result<String> {
    let mut text = String::new();
    // One byte more than there may be shows that there are more.
    from.take(MAX_MANIFEST_BYTES + 1)
        .read_to_string(&mut text)?;
    match text.len() as u64 > MAX_MANIFEST_BYTES {
        true => Err(std::io::Error::other(format!(
            "it has more than {MAX_MANIFEST_BYTES} bytes"
        ))),
        false => Ok(text),
    }
}

/// Why a run ended before its pod.
enum End {
    Refused(Error),
    Interrupted,
    TimedOut,
    /// Whoever read standard output has gone, as `head` does.
    NobodyReads,
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

struct Run {
    client: Client,
    screen: Screen,
    interrupted: Arc<AtomicBool>,
    deadline: Option<Instant>,
    /// Where the logs are, if the pod is to be kept.
    kept_logs: Option<PathBuf>,
    sandbox: String,
}

impl Drop for Run {
    /// However a run ends, also by a panic, the pod does not outlive it.
    fn drop(&mut self) {
        self.clean_up();
    }
}

/// A started container.
struct Started {
    name: String,
    id: String,
    log: Tail,
    since: Instant,
    exit_code: Option<i32>,
}

impl Run {
    fn pod(&mut self, plan: &Plan) -> Result<i32, End> {
        let metadata = &plan.sandbox.metadata;
        self.screen
            .say(&format!("pod {}/{}", metadata.namespace, metadata.name));
        fs::create_dir_all(&plan.sandbox.log_directory)
            .map_err(|error| Error(format!("{}: {error}", plan.sandbox.log_directory)))?;
        let request = RunPodSandboxRequest {
            config: MessageField::some(plan.sandbox.clone()),
            ..Default::default()
        };
        let answer = self.client.runtime(|c, o| c.run_pod_sandbox(&request, o))?;
        self.sandbox = answer.pod_sandbox_id;
        self.screen
            .say(&format!("pod sandbox {} is ready", short(&self.sandbox)));

        for config in &plan.init {
            let started = self.start(&plan.sandbox, config)?;
            let code = self.wait(vec![started])?;
            if code != 0 {
                self.screen
                    .say("an init container failed, so the pod ends here");
                return Ok(code);
            }
        }
        let mut started = Vec::new();
        for config in &plan.main {
            started.push(self.start(&plan.sandbox, config)?);
        }
        self.wait(started)
    }

    /// Pull, create, start: one container, in a kubelet's order.
    fn start(&self, sandbox: &PodSandboxConfig, config: &ContainerConfig) -> Result<Started, End> {
        let mut config = config.clone();
        let pull = PullImageRequest {
            image: config.image.clone(),
            ..Default::default()
        };
        let image = self.client.images(|c, o| c.pull_image(&pull, o))?.image_ref;
        config.image.mut_or_insert_default().image = image;
        let (name, log_path) = (config.metadata.name.clone(), config.log_path.clone());
        let log_path = Path::new(&sandbox.log_directory).join(log_path);
        if let Some(directory) = log_path.parent() {
            fs::create_dir_all(directory)
                .map_err(|error| Error(format!("{}: {error}", directory.display())))?;
        }
        let create = CreateContainerRequest {
            pod_sandbox_id: self.sandbox.clone(),
            config: MessageField::some(config),
            sandbox_config: MessageField::some(sandbox.clone()),
            ..Default::default()
        };
        let id = self
            .client
            .runtime(|c, o| c.create_container(&create, o))?
            .container_id;
        let start = StartContainerRequest {
            container_id: id.clone(),
            ..Default::default()
        };
        self.client.runtime(|c, o| c.start_container(&start, o))?;
        self.screen
            .say(&format!("container {name} ({}) is started", short(&id)));
        Ok(Started {
            name,
            id,
            log: Tail::new(log_path),
            since: Instant::now(),
            exit_code: None,
        })
    }

    /// Shows logs until all have exited; the first code that is not 0 is the result.
    fn wait(&self, mut started: Vec<Started>) -> Result<i32, End> {
        let mut result = 0;
        while started
            .iter()
            .any(|container| container.exit_code.is_none())
        {
            if self.interrupted.load(Ordering::SeqCst) {
                self.screen.say("interrupted");
                return Err(End::Interrupted);
            }
            if self
                .deadline
                .is_some_and(|deadline| Instant::now() >= deadline)
            {
                self.screen.say("the time is over");
                return Err(End::TimedOut);
            }
            for container in started.iter_mut().filter(|c| c.exit_code.is_none()) {
                // The state first: the log is complete once a container has exited.
                let status = self.status(&container.id)?;
                for line in container.log.read_new() {
                    self.screen.log(&container.name, &line)?;
                }
                if status.state == ContainerState::CONTAINER_EXITED.into() {
                    container.exit_code = Some(status.exit_code);
                    if result == 0 {
                        result = status.exit_code;
                    }
                    self.screen
                        .exited(&container.name, &status, container.since.elapsed());
                }
            }
            std::thread::sleep(PAUSE);
        }
        Ok(result)
    }

    fn status(&self, id: &str) -> Result<ContainerStatus, Error> {
        let request = ContainerStatusRequest {
            container_id: id.to_owned(),
            ..Default::default()
        };
        let answer = self
            .client
            .runtime_through_restart(|c, o| c.container_status(&request, o))?;
        answer
            .status
            .into_option()
            .ok_or_else(|| Error(format!("container {id} has no status")))
    }

    fn clean_up(&self) {
        if self.sandbox.is_empty() {
            return;
        }
        if let Some(logs) = &self.kept_logs {
            let (sandbox, logs) = (short(&self.sandbox), logs.display());
            self.screen.say(&format!(
                "pod sandbox {sandbox} is kept, its logs are in {logs}"
            ));
            return;
        }
        let id = self.sandbox.clone();
        let stop = StopPodSandboxRequest {
            pod_sandbox_id: id.clone(),
            ..Default::default()
        };
        let remove = RemovePodSandboxRequest {
            pod_sandbox_id: id,
            ..Default::default()
        };
        let client = &self.client;
        let done = client
            .runtime_through_restart(|c, o| c.stop_pod_sandbox(&stop, o))
            .and_then(|_| client.runtime_through_restart(|c, o| c.remove_pod_sandbox(&remove, o)));
        match done {
            Ok(_) => self.screen.say("pod sandbox is stopped and removed"),
            Err(error) => self
                .screen
                .say(&format!("the pod sandbox is still there: {error}")),
        }
    }
}

/// The parent of the pod's log directory, made for this run; removed at its end, however it ends,
/// unless the pod is kept.
struct Logs {
    path: PathBuf,
    keep: bool,
}

impl Logs {
    fn create(keep: bool) -> Result<Self, Error> {
        let name = format!("interlink-cri-{}", uuid::Uuid::new_v4().simple());
        let path = log_parent(rustix::process::geteuid().is_root()).join(name);
        fs::create_dir(&path).map_err(|error| Error(format!("{}: {error}", path.display())))?;
        Ok(Self { path, keep })
    }
}

/// Where a run keeps its logs. For root it is where a kubelet has those of its pods: the packages' unit
/// lets the daemon write nowhere else, least of all in `/tmp`. `TMPDIR` names another place.
fn log_parent(root: bool) -> PathBuf {
    match (std::env::var_os("TMPDIR"), Path::new("/var/log")) {
        (None, log) if root && log.is_dir() => log.to_owned(),
        _ => std::env::temp_dir(),
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.path) {
            let _ = writeln!(std::io::stderr(), "{}: {error}", self.path.display());
        }
    }
}

/// What a person sees. Our own words go to standard error, logs to standard output.
struct Screen {
    width: usize,
    colour: bool,
    /// Whether standard output is a terminal, which obeys what is in logs.
    escapes_logs: bool,
    begun: Instant,
}

impl Screen {
    fn new(plan: &Plan) -> Self {
        let names = plan
            .init
            .iter()
            .chain(&plan.main)
            .map(|config| config.metadata.name.len());
        let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            width: names.max().unwrap_or(0),
            colour,
            escapes_logs: std::io::stdout().is_terminal(),
            begun: Instant::now(),
        }
    }

    fn say(&self, text: &str) {
        let seconds = self.begun.elapsed().as_secs_f32();
        let (dim, plain) = if self.colour {
            ("\x1b[2m", "\x1b[0m")
        } else {
            ("", "")
        };
        // In one write: the lines of logs come in between.
        let line = format!("{dim}{seconds:7.2}s{plain}  {text}\n");
        // Nobody need be there to read it.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    fn log(&self, name: &str, line: &str) -> Result<(), End> {
        let (bold, plain) = if self.colour {
            ("\x1b[36m", "\x1b[0m")
        } else {
            ("", "")
        };
        let line = match self.escapes_logs {
            true => &for_terminal(line),
            false => line,
        };
        let width = self.width;
        writeln!(
            std::io::stdout(),
            "{:8}  {bold}{name:width$} |{plain} {line}",
            ""
        )
        .map_err(|_| End::NobodyReads)
    }

    fn exited(&self, name: &str, status: &ContainerStatus, took: Duration) {
        let (code, reason) = (status.exit_code, &status.reason);
        let colour = if code == 0 { "\x1b[32m" } else { "\x1b[31m" };
        let (colour, plain) = if self.colour {
            (colour, "\x1b[0m")
        } else {
            ("", "")
        };
        let took = took.as_secs_f32();
        self.say(&format!(
            "container {name} exited with {colour}code {code}{plain} ({reason}) after {took:.1}s"
        ));
        if !status.message.is_empty() {
            let message = match std::io::stderr().is_terminal() {
                true => &for_terminal(&status.message),
                false => &status.message,
            };
            self.say(&format!("    {message}"));
        }
    }
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
