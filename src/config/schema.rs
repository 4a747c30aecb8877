//! Every key of the daemon itself, its default, and why; `policy` has those about what pods ask
//! for. The sample under `packaging/` and the man page are made from
//! the doc comments of this file and of those that `SCHEMA` in `sample.rs` lists; a test compares them.

use std::{fmt, fs, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    audit::Audit,
    duration,
    identity::Identity,
    metrics::Metrics,
    node::Node,
    policy::{Limits, Metadata, Network, Pods, Resources, Security, States},
    stops::{UnconfirmedStop, UnconfirmedStopEntry},
    traces::Traces,
};

/// The whole configuration, as written in TOML. Unknown keys are refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The daemon as a process.
    pub daemon: Daemon,
    /// The gRPC face towards the kubelet.
    pub cri: Cri,
    /// The interLink server, and how it is talked to.
    pub interlink: InterLink,
    /// The API server, which may be asked for what the CRI does not carry.
    pub kubernetes: Kubernetes,
    /// What the node offers to the scheduler.
    pub node: Node,
    /// How containers become jobs, and how jobs are watched.
    pub jobs: Jobs,
    /// Container logs.
    pub logs: Logs,
    /// Images.
    pub images: Images,
    /// Pods on this node, and their volumes.
    pub pods: Pods,
    /// How much may be kept of pods.
    pub limits: Limits,
    /// What jobs ask for beside CPU and memory.
    pub resources: Resources,
    /// What sites forbid.
    pub security: Security,
    /// Whose jobs are.
    pub identity: Identity,
    /// The audit of submissions and cancellations.
    pub audit: Audit,
    /// The figures for Prometheus.
    pub metrics: Metrics,
    /// OpenTelemetry traces.
    pub traces: Traces,
    /// Labels and annotations of jobs.
    pub metadata: Metadata,
    /// Addresses of pods.
    pub network: Network,
    /// What the ends that plugins report look like to the kubelet.
    pub states: States,
}

/// `[daemon]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Daemon {
    /// The CRI socket. Not `.../run/crio/crio.sock`: the kubelet treats that name specially.
    pub socket: PathBuf,
    /// Group that may use the socket beside root; unset leaves the daemon's own.
    pub socket_group: Option<String>,
    /// Where state is kept. Must be on a local disk.
    pub state_dir: PathBuf,
    /// `off`, `error`, `warn`, `info`, `debug`, `trace`, or a filter with parts, such as
    /// `info,interlink_cri::interlink=debug`.
    pub log_level: String,
    /// How lines of the log are written: `text` for people, `json` for programs. What a line is about (pod,
    /// job, call) is in both. SIGHUP reads level and format again.
    pub log_format: LogFormat,
    /// How long a stop may take. Then the process ends, whatever hangs, with exit code 75.
    #[serde(with = "duration")]
    pub shutdown_timeout: Duration,
    /// How long a call waits for a file system that a pod names: a host path, a volume, its log
    /// directory. Then it is refused with the path, until the file system answers.
    #[serde(with = "duration")]
    pub disk_timeout: Duration,
}

impl Default for Daemon {
    fn default() -> Self {
        Self {
            socket: "/run/interlink-cri/interlink-cri.sock".into(),
            socket_group: None,
            state_dir: "/var/lib/interlink-cri".into(),
            log_level: "info".to_owned(),
            log_format: LogFormat::Text,
            shutdown_timeout: Duration::from_secs(20),
            // A busy NFS server takes a second now and then; the kubelet gives up after two minutes.
            disk_timeout: Duration::from_secs(5),
        }
    }
}

/// How lines of the daemon's log are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A sentence, with what it is about behind it.
    Text,
    /// A JSON object in each line.
    Json,
}

/// `[cri]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cri {
    /// Threads for CRI calls that may wait for a disk. From two on, a quarter of them is kept for calls that
    /// touch no log directory or volume of a pod. A quarter as many besides answer from memory: lists and Status.
    pub handler_threads: usize,
    /// Calls of each kind (they touch what a pod names, the state, or nothing) that may wait for a handler;
    /// one more is refused with RESOURCE_EXHAUSTED.
    pub queue_length: usize,
    /// Largest gRPC message in bytes, in and out. The kubelet accepts no more than 16 MiB.
    pub max_message_bytes: usize,
    /// Most bytes of labels and annotations of a pod, and of each of its containers. An API server
    /// accepts 256 KiB of annotations.
    pub max_metadata_bytes: usize,
    /// Runtime handlers that pods may ask for beside the default one (RuntimeClass `handler`).
    pub runtime_handlers: Vec<String>,
    /// Event subscribers that fall this many events behind are cut off.
    pub event_backlog: usize,
}

impl Default for Cri {
    fn default() -> Self {
        Self {
            handler_threads: 8,
            queue_length: 512,
            max_message_bytes: 16 << 20,
            max_metadata_bytes: 1 << 20,
            runtime_handlers: Vec::new(),
            event_backlog: 1024,
        }
    }
}

/// `[interlink]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InterLink {
    /// `http://HOST:PORT`, `https://HOST:PORT` or `unix:///PATH`. Unset: jobs wait.
    pub url: Option<String>,
    /// The plugin behind the server, so that its ways are known from the start: `slurm`,
    /// `htcondor`, `kubernetes`, `docker`, `unicore`, `sdk` (the Python SDK), `nats`, or `local`
    /// (this daemon's own). `auto` takes nothing for granted, and learns from what it sees.
    pub plugin: Plugin,
    /// Whether `url` is the plugin's own, without an interLink server before it. The plugin is then
    /// sent what the server would make of each call.
    pub direct: bool,
    /// File with a bearer token; read again when it changes.
    pub token_file: Option<PathBuf>,
    /// Users whose sockets on this machine may be spoken to, beside root's and the daemon's own: a name or an
    /// id, `*` for all. Without TLS, whoever binds a loopback port first gets what is sent there,
    /// tokens and the contents of Secrets included.
    pub local_users: Vec<String>,
    /// PEM file with the authorities to trust instead of the usual public ones.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the client certificate chain; needs `client_key_file`.
    pub client_cert_file: Option<PathBuf>,
    /// PEM file with the client certificate's key.
    pub client_key_file: Option<PathBuf>,
    /// Threads that submit and cancel jobs and complete logs.
    pub workers: usize,
    /// Limit for making a connection.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// Limit for a whole call other than /create and a followed log.
    #[serde(with = "duration")]
    pub request_timeout: Duration,
    /// Limit for /create. The server itself waits 120 s for its plugin.
    #[serde(with = "duration")]
    pub create_timeout: Duration,
    /// Largest reply to /status in bytes; other replies have at most 1 MiB, logs any length.
    pub max_reply_bytes: u64,
    /// First and shortest pause before a failed call is tried again; it doubles from there.
    #[serde(with = "duration")]
    pub retry_min: Duration,
    /// Longest pause before a failed call is tried again.
    #[serde(with = "duration")]
    pub retry_max: Duration,
    /// How often a 500 answer to a submission is tried again before the job fails for good.
    /// Plugins answer 500 for what can pass and for what cannot.
    pub server_error_retries: u32,
    /// After a submission that may or may not have been acted upon: how long the plugin must go
    /// on denying the job before it is submitted again. The SLURM plugin asks squeue at most
    /// every 10 s and may leave out a fresh pod until then.
    #[serde(with = "duration")]
    pub unsure_grace: Duration,
    /// How often reachability is checked with /pinglink.
    #[serde(with = "duration")]
    pub ping_interval: Duration,
    /// Unset: an unreachable interLink shows only as a condition. Set: after this long it also
    /// clears NetworkReady, and the node takes no new pods until it is back.
    #[serde(with = "duration::option")]
    pub not_ready_after: Option<Duration>,
}

impl Default for InterLink {
    fn default() -> Self {
        Self {
            url: None,
            plugin: Plugin::Auto,
            direct: false,
            token_file: None,
            local_users: Vec::new(),
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            workers: 4,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            create_timeout: Duration::from_secs(150),
            max_reply_bytes: 32 << 20,
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(300),
            server_error_retries: 3,
            unsure_grace: Duration::from_secs(30),
            ping_interval: Duration::from_secs(15),
            not_ready_after: None,
        }
    }
}

/// A plugin whose ways are known; `profile` has what is known of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plugin {
    /// Any of them, or another one.
    Auto,
    /// interLink's SLURM plugin, in Go.
    Slurm,
    /// interLink's HTCondor plugin.
    HtCondor,
    /// interLink's Kubernetes plugin.
    Kubernetes,
    /// interLink's Docker plugin.
    Docker,
    /// The UNICORE plugin of interTwin.
    Unicore,
    /// One made with interLink's Python SDK.
    Sdk,
    /// The plugin that hands jobs to HTCondor-CE and others through NATS.
    Nats,
    /// The local plugin of this daemon.
    Local,
}

impl Plugin {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Auto,
        Self::Slurm,
        Self::HtCondor,
        Self::Kubernetes,
        Self::Docker,
        Self::Unicore,
        Self::Sdk,
        Self::Nats,
        Self::Local,
    ];

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Slurm => "slurm",
            Self::HtCondor => "htcondor",
            Self::Kubernetes => "kubernetes",
            Self::Docker => "docker",
            Self::Unicore => "unicore",
            Self::Sdk => "sdk",
            Self::Nats => "nats",
            Self::Local => "local",
        }
    }

    /// The one that the configuration calls so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plugin| plugin.name() == name)
    }
}

impl fmt::Display for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `[kubernetes]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kubernetes {
    /// The kubelet's kubeconfig. With it pods are read as the API server has them, so that jobs
    /// carry what the CRI does not (probes, hooks, exact resources), a whole pod can be one job,
    /// and events and conditions tell how the job is doing. The kubelet's own rights are enough.
    pub kubeconfig: Option<PathBuf>,
    /// This node's name, as events have it; unset takes the host name.
    pub node_name: Option<String>,
    /// Whether events about jobs are posted on their pods.
    pub events: bool,
    /// How long a pod that was read is taken to be unchanged.
    #[serde(with = "duration")]
    pub cache_time: Duration,
    /// Pods that are remembered.
    pub cache_size: usize,
}

impl Default for Kubernetes {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            node_name: None,
            events: true,
            cache_time: Duration::from_secs(60),
            cache_size: 512,
        }
    }
}

impl Kubernetes {
    /// This node's name: the one that is configured, or the host name, as the kubelet names its node unless
    /// it is told otherwise (`pkg/util/node`).
    pub fn node(&self) -> String {
        let host = || fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let own = || host().trim().to_lowercase();
        self.node_name.clone().unwrap_or_else(own)
    }
}

/// `[jobs]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Jobs {
    /// What a job is: the containers of a pod that start together (`containers`), or the whole
    /// pod with its init containers (`pod`), so that they share emptyDirs and one allocation.
    /// Unset is `pod` where `kubernetes.kubeconfig` is set, without which there is no choice.
    pub job_scope: Option<JobScope>,
    /// Containers of a pod that start within this time of each other share one job.
    #[serde(with = "duration")]
    pub quiet_period: Duration,
    /// Pause between status polls while something starts or stops.
    #[serde(with = "duration")]
    pub poll_min: Duration,
    /// Pause between status polls while all is quiet.
    #[serde(with = "duration")]
    pub poll_max: Duration,
    /// Jobs in one /status call of the poller, at the most. The first call is about 200, and each answer within two
    /// seconds doubles that; one that takes more than six halves it, and after a call that fails, the next one is about
    /// half as many, or 200 again. A question about a single job takes at most 199 others along, and only with a
    /// plugin that repeats its answers.
    pub poll_batch: usize,
    /// Polls in a row that must miss a job before it counts as lost...
    pub lost_polls: u32,
    /// ...and how long it must have been missing.
    #[serde(with = "duration")]
    pub lost_grace: Duration,
    /// How long a job may be said to have ended, with code 0, without a start and without a log, before it
    /// counts as cancelled while it waited, and is cancelled. The SLURM plugin says the same of a job whose
    /// nodes are being made ready: longer than slurm.conf's ResumeTimeout where nodes are powered up
    /// for jobs; half a minute is enough where none are.
    #[serde(with = "duration")]
    pub prepare_grace: Duration,
    /// How long after its grace period a stop is waited for. A container that is being stopped stays
    /// RUNNING until the plugin says how it ended, or that its job is gone. Shorter than the kubelet's
    /// `runtimeRequestTimeout`, which is 2 minutes unless set.
    #[serde(with = "duration")]
    pub stop_patience: Duration,
    /// What becomes of a stop that the plugin has not confirmed by then: `release` ends the container with
    /// code 137, and its job may still run; `hold` refuses with DEADLINE_EXCEEDED, and the container stays
    /// RUNNING and its pod Terminating, so that no successor runs beside it. The cancellation goes on in
    /// both. `hold` is for StatefulSets, and whatever else must run at most once.
    pub unconfirmed_stop: UnconfirmedStop,
    /// The same for some pods: the first entry counts that fits. `namespaces` are patterns, `handlers`
    /// are runtime handlers (RuntimeClass), each without any fits all; `then` is `release` or `hold`.
    pub unconfirmed_stops: Vec<UnconfirmedStopEntry>,
    /// How long processes of a job may go on after the plugin has confirmed its end and does not know it
    /// any more: slurm.conf's KillWait for the SLURM plugin, whose DELETE is an scancel.
    #[serde(with = "duration")]
    pub kill_wait: Duration,
    /// Memory limit given to containers that have none, as a quantity. Set it for the SLURM
    /// plugin, which takes a missing one for 1 MB. Flags for sbatch with `--mem` count more.
    pub default_memory: Option<String>,
    /// What GPUs (`nvidia.com/gpu`, `amd.com/gpu`) are called in SLURM: those of a pod are asked for with
    /// `--gres=NAME:COUNT` among the flags for sbatch, where these say nothing of GPUs and no flavour is
    /// asked for. The SLURM plugin by itself only looks for a flavour with as many. `gpu:a100` asks for a
    /// type; empty adds nothing.
    pub gres: String,
    /// Whether `activeDeadlineSeconds` of a pod is the time limit of its jobs, in the pod that is sent and
    /// as `--time` among the flags for sbatch, in minutes, rounded up. Flags that have a limit stay. Needs
    /// kubernetes.kubeconfig, for the CRI has no deadlines.
    pub time_limit: bool,
    /// When a job is warned before that limit, by so many seconds as the pod has in
    /// `terminationGracePeriodSeconds`, with `--signal=B:TERM@N` for sbatch: `auto`, where a container has
    /// a preStop hook, for only then does the SLURM plugin's script pass it on; `always`; `never`.
    pub end_warning: EndWarning,
}

/// When a job is warned before its time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndWarning {
    /// Where its containers hear of it.
    Auto,
    /// Wherever it has a limit.
    Always,
    /// Nowhere.
    Never,
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            job_scope: None,
            quiet_period: Duration::from_millis(500),
            poll_min: Duration::from_secs(1),
            poll_max: Duration::from_secs(10),
            poll_batch: 10_000,
            lost_polls: 5,
            lost_grace: Duration::from_secs(120),
            // Nodes in a cloud can take so long.
            prepare_grace: Duration::from_secs(30 * 60),
            stop_patience: Duration::from_secs(30),
            unconfirmed_stop: UnconfirmedStop::Release,
            unconfirmed_stops: Vec::new(),
            kill_wait: Duration::ZERO,
            default_memory: None,
            gres: "gpu".to_owned(),
            time_limit: true,
            end_warning: EndWarning::Auto,
        }
    }
}

/// What a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobScope {
    /// The containers of a pod that start together.
    Containers,
    /// A whole pod.
    Pod,
}

/// `[logs]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Logs {
    /// Running containers whose log is followed as it grows, by a thread each; beyond them logs are fetched
    /// again and again. At most 16 while it is not known which plugin there is (`interlink.plugin = "auto"`), and
    /// none with plugins that cannot follow.
    pub followers: usize,
    /// Pause between two fetches of a log that is not followed. It becomes up to six times as long while
    /// nothing new comes, and longer where all such logs together would take more than 1 MiB a second.
    #[serde(with = "duration")]
    pub poll_interval: Duration,
    /// How long the rest of a log may take to fetch when its container has ended.
    #[serde(with = "duration")]
    pub complete_timeout: Duration,
    /// Bytes of each running container's log that are read in a second, after a burst of eight times as many;
    /// 0 is no bound. A log that comes faster is shown late, and says so itself; what it has when its container
    /// ends is read as fast as it comes.
    pub max_bytes_per_second: u64,
    /// Bytes that a log file may have until the kubelet rotates it, which it does at its own
    /// containerLogMaxSize; 0 is no bound. Then the log waits, and says so itself; the rest is left out if
    /// the container ends and complete_timeout passes before that. The embedded plugin keeps no more of what a
    /// container prints, either.
    pub max_file_bytes: u64,
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            followers: 256,
            poll_interval: Duration::from_secs(5),
            complete_timeout: Duration::from_secs(15),
            // A kubelet that rotates at 10 MiB looks every 10 s.
            max_bytes_per_second: 8 << 20,
            max_file_bytes: 1 << 30,
        }
    }
}

/// `[images]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Images {
    /// The user that images are reported to have, so that runAsNonRoot pods pass the kubelet's
    /// check although nobody looked into the image; 0 reports none.
    pub uid: u32,
    /// Which references to images are passed on: `oci`, those of registries; `any`, also paths
    /// (`/cvmfs/...`) and URLs (`docker://`, `library://`, `oras://`), as they are written; `auto`,
    /// what `interlink.plugin` is known to take.
    pub references: ImageReferences,
    /// A pod annotation that names the images to send in place of those in the pod: one for all
    /// containers, `/cvmfs/a`, or by container, `main=/cvmfs/a,side=docker://b`. A kubelet accepts
    /// references of registries alone, so other images have no other way. Unset: no annotation does;
    /// it gets around admission rules about images.
    pub annotation: Option<String>,
}

impl Default for Images {
    fn default() -> Self {
        Self {
            uid: 65532,
            references: ImageReferences::Auto,
            annotation: None,
        }
    }
}

/// Which references to images are passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageReferences {
    /// Those that the plugin is known to take.
    Auto,
    /// Those of registries.
    Oci,
    /// Also paths and URLs.
    Any,
}
