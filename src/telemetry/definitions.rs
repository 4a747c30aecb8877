//! Every metric that is exported: its name, kind, labels and meaning. `docs/metrics.md` is made of this,
//! and a test compares it with what the daemon exports.
//!
//! Names and units follow <https://prometheus.io/docs/practices/naming/>. The values of labels come from
//! the code, or are counted and bounded, so that no pod can bring about a series of its own.

/// One metric.
#[derive(Debug, PartialEq)]
pub struct Definition {
    /// Its name as it is exported; a counter's with `_total`.
    pub name: &'static str,
    /// How its values move.
    pub kind: Kind,
    /// The names of its labels, in the order in which they are exported.
    pub labels: &'static [&'static str],
    /// What it means, in a sentence without its period.
    pub help: &'static str,
}

/// How the values of a metric move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// They only rise, from zero at the daemon's start.
    Counter,
    /// They rise and fall.
    Gauge,
    /// Counts of what was observed, up to each of these bounds.
    Histogram(&'static [f64]),
}

/// Bounds for what takes no network: 100 µs to 10 s.
pub const LOCAL_SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0,
];
/// Bounds for calls over a network: 1 ms to 150 s, the default of `interlink.create_timeout`.
pub const NETWORK_SECONDS: &[f64] = &[
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 150.0,
];
/// Bounds for jobs: 100 ms to a week.
pub const JOB_SECONDS: &[f64] = &[
    0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0, 86_400.0,
    259_200.0, 604_800.0,
];

/// Bounds for shares of what was asked for; more than 1 is what a site gives beyond that.
pub const RATIOS: &[f64] = &[
    0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.5,
];

macro_rules! definitions {
    ($($constant:ident = $name:literal, $kind:expr, [$($label:literal),*], $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Definition = Definition {
                name: $name,
                kind: $kind,
                labels: &[$($label),*],
                help: $help,
            };
        )*
        /// All of them, in the order of the documentation.
        pub const DEFINITIONS: &[&Definition] = &[$(&$constant),*];
    };
}

use Kind::{Counter, Gauge, Histogram};

definitions! {
    BUILD_INFO = "interlink_cri_build_info", Gauge, ["version"],
        "Always 1; the label has the version of the daemon";
    RPC_SECONDS = "interlink_cri_rpc_duration_seconds", Histogram(LOCAL_SECONDS), ["method", "code"],
        "CRI calls that were answered, by method and gRPC code, and how long their handlers took";
    RPC_REFUSED = "interlink_cri_rpc_refused_total", Counter, [],
        "CRI calls refused with RESOURCE_EXHAUSTED because too many were waiting";
    PANICS = "interlink_cri_panics_total", Counter, [],
        "CRI calls whose handler panicked: a fault of the daemon, to be reported";
    POOL_THREADS = "interlink_cri_pool_threads", Gauge, ["pool"],
        "Threads of a pool: `cri` handles calls of the kubelet, `interlink` works towards the plugin";
    POOL_BUSY = "interlink_cri_pool_busy_threads", Gauge, ["pool"],
        "Threads of a pool that are at work now";
    POOL_QUEUE = "interlink_cri_pool_queue_length", Gauge, ["pool"],
        "Pieces of work that wait for a thread of a pool";
    POOL_WAIT = "interlink_cri_pool_wait_seconds", Histogram(LOCAL_SECONDS), ["pool"],
        "How long pieces of work waited for a thread of a pool";
    SANDBOX_EVENTS = "interlink_cri_sandbox_events_total", Counter, ["event"],
        "Pod sandboxes that were created, stopped or removed";
    CONTAINER_EVENTS = "interlink_cri_container_events_total", Counter, ["event"],
        "Containers that were created, started, exited or removed";
    CONTAINER_EXITS = "interlink_cri_container_exits_total", Counter, ["reason"],
        "Containers that exited, by reason; `other` for reasons that a plugin invented";
    SANDBOXES = "interlink_cri_sandboxes", Gauge, ["state"],
        "Pod sandboxes by state; `removed` ones are gone for the kubelet and still owed a cancellation";
    CONTAINERS = "interlink_cri_containers", Gauge, ["state"],
        "Containers by state, as the CRI has it";
    IMAGES = "interlink_cri_images", Gauge, [],
        "Images on record";
    JOBS = "interlink_cri_jobs", Gauge, ["state"],
        "Jobs by state: that of the submission until the plugin has the job, then queued or running";
    JOBS_OWED_CANCELLATION = "interlink_cri_jobs_owed_cancellation", Gauge, [],
        "Jobs whose cancellation, or cleaning up, the plugin has not confirmed yet";
    OLDEST_UNSUBMITTED = "interlink_cri_oldest_unsubmitted_job_seconds", Gauge, [],
        "Age of the oldest job that the plugin has not taken yet; 0 where there is none";
    OLDEST_QUEUED = "interlink_cri_oldest_queued_job_seconds", Gauge, [],
        "How long the oldest job that waits in the remote queue has been there; 0 where none waits";
    OLDEST_CANCELLATION = "interlink_cri_oldest_owed_cancellation_seconds", Gauge, [],
        "How long the oldest cancellation has been owed, since the daemon's start at most; 0 where none is";
    JOBS_SUBMITTED = "interlink_cri_jobs_submitted_total", Counter, [],
        "Jobs that the plugin took";
    JOBS_REFUSED = "interlink_cri_jobs_refused_total", Counter, [],
        "Jobs that were refused for good, by the plugin or by a limit";
    JOBS_LOST = "interlink_cri_jobs_lost_total", Counter, [],
        "Jobs that the plugin had and does not know any more";
    JOBS_CANCELLED = "interlink_cri_jobs_cancelled_total", Counter, [],
        "Jobs that had not ended and whose cancellation was confirmed";
    JOB_PHASE = "interlink_cri_job_phase_duration_seconds", Histogram(JOB_SECONDS), ["phase"],
        "How long jobs took from one state to the next: created_to_submitted, submitted_to_running, \
         running_to_exited (of each container), stop_to_confirmed";
    JOB_WAITED = "interlink_cri_job_queue_duration_seconds", Histogram(JOB_SECONDS), ["partition"],
        "How long jobs waited in the remote queue, by the partition that was asked for; empty where none \
         was, `other` beyond 64";
    JOB_RAN = "interlink_cri_job_run_duration_seconds", Histogram(JOB_SECONDS), ["partition"],
        "How long containers ran, by the partition of their job";
    JOB_CPU_EFFICIENCY = "interlink_cri_job_cpu_efficiency_ratio", Histogram(RATIOS), ["partition"],
        "CPU time that ended containers used, as a share of the cores that they asked for times how long they \
         ran, by the partition of their job; only where a plugin reports it";
    JOB_MEMORY_EFFICIENCY = "interlink_cri_job_memory_efficiency_ratio", Histogram(RATIOS), ["partition"],
        "The most memory that ended containers had at once, as a share of what they asked for, by the \
         partition of their job; only where a plugin reports it";
    INTERLINK_SECONDS = "interlink_cri_interlink_call_duration_seconds", Histogram(NETWORK_SECONDS),
        ["endpoint", "outcome"],
        "Calls to interLink by endpoint and outcome, and how long they took; of a followed log, until it \
         began to flow";
    PLUGIN_UP = "interlink_cri_plugin_up", Gauge, [],
        "1 when the last ping was answered well, 0 when not";
    PLUGIN_STATE_SECONDS = "interlink_cri_plugin_state_duration_seconds", Gauge, [],
        "For how long interLink has been reachable, or not";
    PLUGIN_LAST_SUCCESS = "interlink_cri_plugin_last_success_timestamp_seconds", Gauge, [],
        "When a ping was last answered well, in seconds since the epoch; 0 before the first time";
    PLUGIN_CAPACITY = "interlink_cri_plugin_capacity", Gauge, ["resource"],
        "What the plugin says in its answer to a ping that it has: `cpu` in cores, `memory` in bytes, `pods`, \
         and accelerators by their resource names, 16 at most";
    REQUESTED = "interlink_cri_requested_resources", Gauge, ["resource"],
        "What containers that have not ended ask for: `cpu` in cores, `memory` in bytes, `gpu` in devices as \
         far as limits of namespaces count them";
    LOG_BYTES = "interlink_cri_log_bytes_total", Counter, [],
        "Bytes of container logs that were written";
    LOG_RESYNCS = "interlink_cri_log_resyncs_total", Counter, ["reason"],
        "Fetches of a log that did not continue what was read before: `unrecognised` ones are looked at again, \
         `begun_anew` logs are read from their beginning";
    STATE_COMMIT_SECONDS = "interlink_cri_state_commit_duration_seconds", Histogram(LOCAL_SECONDS),
        ["outcome"],
        "How long changes waited until they were on disk, those included that shared a write";
    STATE_BYTES = "interlink_cri_state_file_size_bytes", Gauge, [],
        "Size of the state file";
    THREADS_LATE = "interlink_cri_late_threads", Gauge, [],
        "Threads that have not come back in time; the log names them";
    AUDIT_ERRORS = "interlink_cri_audit_errors_total", Counter, [],
        "Lines of the audit that could not be written";
    EVENT_SUBSCRIBERS = "interlink_cri_event_subscribers", Gauge, [],
        "Clients that listen to container events";
    PROCESS_CPU = "process_cpu_seconds_total", Counter, [],
        "CPU time that the daemon used, in user space and in the kernel";
    PROCESS_MEMORY = "process_resident_memory_bytes", Gauge, [],
        "Resident memory of the daemon";
    PROCESS_VIRTUAL = "process_virtual_memory_bytes", Gauge, [],
        "Virtual memory of the daemon";
    PROCESS_THREADS = "process_threads", Gauge, [],
        "Threads of the daemon";
    PROCESS_FDS = "process_open_fds", Gauge, [],
        "Open file descriptors of the daemon";
    PROCESS_MAX_FDS = "process_max_fds", Gauge, [],
        "File descriptors that the daemon may have open";
    PROCESS_START = "process_start_time_seconds", Gauge, [],
        "When the daemon was started, in seconds since the epoch";
}

impl Definition {
    /// The name under which it is registered: what encodes it adds the suffix of a counter.
    pub fn base_name(&self) -> &'static str {
        self.name.strip_suffix("_total").unwrap_or(self.name)
    }
}
