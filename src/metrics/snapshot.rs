//! Gauges of what is on record, read when somebody asks.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
};

use super::process::Process;
use crate::{
    convert::{self, Asked},
    model::{
        Container, ContainerEntry, ContainerId, ContainerPhase, Job, Nanos, Pod, SandboxPhase,
        Submission,
    },
    store::Store,
    telemetry::{
        definitions::{self as all, Definition, Kind},
        Counter, Counters, Health, Reach,
    },
    threads,
};

/// As many kinds of what a plugin says that it has are shown.
const MAX_CAPACITIES: usize = 16;

/// What the gauges are read from.
pub struct Sources {
    /// All pods and images.
    pub store: Arc<Store>,
    /// Whether interLink can be reached.
    pub health: Arc<Health>,
    /// What was counted.
    pub counters: Arc<Counters>,
    /// What counts as a GPU.
    pub settings: convert::Settings,
}

/// What a container asks for, and the record that says so.
type Known = (Arc<Container>, Arc<Asked>);

/// Reads the gauges.
pub struct Snapshot {
    sources: Sources,
    started: SystemTime,
    /// What containers ask for, so that a configuration is read once.
    asked: Mutex<HashMap<ContainerId, Known>>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Snapshot")
    }
}

impl Snapshot {
    pub fn new(sources: Sources) -> Self {
        Self {
            sources,
            started: SystemTime::now(),
            asked: Mutex::default(),
        }
    }

    /// What containers that were started and have not ended ask for, by resource.
    fn requested(&self, pods: &[Arc<Pod>]) -> BTreeMap<String, f64> {
        let mut known = self.asked.lock();
        let mut seen = HashMap::with_capacity(known.len());
        let mut sums = BTreeMap::from([("cpu".to_owned(), 0.0), ("memory".to_owned(), 0.0)]);
        let mut add = |resource: &str, amount: f64| {
            *sums.entry(resource.to_owned()).or_default() += amount;
        };
        for pod in pods {
            for entry in &pod.containers {
                if entry.status.phase() != ContainerPhase::Running {
                    continue;
                }
                let (asked, is_all) = self.asked_by(&known, pod, entry);
                add("cpu", number(asked.millicores) / 1000.0);
                add("memory", number(asked.bytes));
                for (name, amount) in &asked.extended {
                    add(name, number(*amount));
                }
                if is_all {
                    seen.insert(entry.id().clone(), (entry.container.clone(), asked));
                }
            }
        }
        *known = seen;
        sums
    }

    /// What a container asks for, and whether that is all: where the state cannot be read, what calls show of
    /// it has to do.
    fn asked_by(
        &self,
        known: &HashMap<ContainerId, Known>,
        pod: &Pod,
        entry: &ContainerEntry,
    ) -> (Arc<Asked>, bool) {
        // The record is another one once its resources were updated.
        if let Some((container, asked)) = known.get(entry.id()) {
            if Arc::ptr_eq(container, &entry.container) {
                return (asked.clone(), true);
            }
        }
        let container = &entry.container;
        let loaded = self.sources.store.load_container(container).ok();
        let config = loaded.and_then(|loaded| convert::decode_container_config(&loaded).ok());
        let is_all = config.is_some();
        let config = config.unwrap_or_else(|| convert::shown_of_container(container));
        let (annotations, settings) = (&pod.sandbox.annotations, &self.sources.settings);
        let asked = convert::asked(&config, &container.name, annotations, settings);
        (Arc::new(asked), is_all)
    }
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let Sources {
            store,
            health,
            counters,
            ..
        } = &self.sources;
        let (pods, now) = (store.pods(), store.clock().now());
        let mut to = Encoder(encoder);
        to.labelled(&all::BUILD_INFO, [(env!("CARGO_PKG_VERSION"), 1.0)])?;
        for (definition, counter) in COUNTERS {
            to.counter(definition, number(counters.get(*counter)))?;
        }
        to.labelled(&all::SANDBOXES, sandboxes(&pods))?;
        to.labelled(&all::CONTAINERS, containers(&pods))?;
        to.gauge(&all::IMAGES, count(store.images().len()))?;
        to.labelled(&all::JOBS, jobs(&pods))?;
        let owed = all_jobs(&pods).filter(|(_, job)| is_owed(job)).count();
        to.gauge(&all::JOBS_OWED_CANCELLATION, count(owed))?;
        let unsubmitted = oldest(&pods, now, |_, job| {
            job.is_unsubmitted().then_some(job.created_at)
        });
        to.gauge(&all::OLDEST_UNSUBMITTED, unsubmitted)?;
        to.gauge(&all::OLDEST_QUEUED, oldest(&pods, now, Pod::queued_since))?;
        let owed = store.oldest_owed_cancellation();
        to.gauge(&all::OLDEST_CANCELLATION, age(owed, now))?;
        let (reach, since) = health.now();
        let is_up = f64::from(u8::from(matches!(reach, Reach::Ready(_))));
        to.gauge(&all::PLUGIN_UP, is_up)?;
        to.gauge(&all::PLUGIN_STATE_SECONDS, since.as_secs_f64())?;
        to.gauge(&all::PLUGIN_LAST_SUCCESS, seconds(health.last_ready()))?;
        let capacity = health.capacity();
        let capacity = capacity.iter().take(MAX_CAPACITIES);
        let capacity = capacity.map(|(resource, amount)| (resource.as_str(), *amount));
        to.labelled(&all::PLUGIN_CAPACITY, capacity)?;
        let requested = self.requested(&pods);
        let requested = requested.iter().map(|(name, sum)| (name.as_str(), *sum));
        to.labelled(&all::REQUESTED, requested)?;
        to.gauge(&all::STATE_BYTES, number(store.size_on_disk()))?;
        to.gauge(&all::THREADS_LATE, count(threads::late().len()))?;
        to.gauge(&all::EVENT_SUBSCRIBERS, count(store.subscriber_count()))?;
        self.process(&mut to)
    }
}

impl Snapshot {
    fn process(&self, to: &mut Encoder) -> fmt::Result {
        let process = Process::now();
        to.counter(&all::PROCESS_CPU, process.cpu)?;
        for (definition, value) in [
            (&all::PROCESS_MEMORY, process.resident),
            (&all::PROCESS_VIRTUAL, process.virtual_size),
            (&all::PROCESS_THREADS, process.threads),
            (&all::PROCESS_FDS, process.fds),
            (&all::PROCESS_MAX_FDS, process.max_fds),
        ] {
            if let Some(value) = value {
                to.gauge(definition, number(value))?;
            }
        }
        to.gauge(&all::PROCESS_START, seconds(Some(self.started)))
    }
}

/// Counters that the verbose `Status` shows as well.
const COUNTERS: &[(&Definition, Counter)] = &[
    (&all::RPC_REFUSED, Counter::CriRefused),
    (&all::PANICS, Counter::Panics),
    (&all::JOBS_SUBMITTED, Counter::JobsSubmitted),
    (&all::JOBS_REFUSED, Counter::JobsRefused),
    (&all::JOBS_LOST, Counter::JobsLost),
    (&all::JOBS_CANCELLED, Counter::JobsCancelled),
    (&all::LOG_BYTES, Counter::LogBytes),
    (&all::AUDIT_ERRORS, Counter::AuditErrors),
];

/// Writes metrics by their definitions.
struct Encoder<'a>(DescriptorEncoder<'a>);

impl Encoder<'_> {
    fn gauge(&mut self, definition: &Definition, value: f64) -> fmt::Result {
        let help = sentence(definition);
        let mut metric =
            self.0
                .encode_descriptor(definition.name, &help, None, MetricType::Gauge)?;
        metric.encode_gauge(&value)
    }

    fn counter(&mut self, definition: &Definition, value: f64) -> fmt::Result {
        let (name, help) = (definition.base_name(), sentence(definition));
        let mut metric = self
            .0
            .encode_descriptor(name, &help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    /// A gauge with one label.
    fn labelled<'l>(
        &mut self,
        definition: &Definition,
        values: impl IntoIterator<Item = (&'l str, f64)>,
    ) -> fmt::Result {
        let help = sentence(definition);
        let mut metric =
            self.0
                .encode_descriptor(definition.name, &help, None, MetricType::Gauge)?;
        debug_assert!(definition.kind == Kind::Gauge && definition.labels.len() == 1);
        let name = definition.labels.first().copied().unwrap_or_default();
        for (label, value) in values {
            let labels = [(name, label)];
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }
}

fn sentence(definition: &Definition) -> String {
    format!("{}.", definition.help)
}

fn sandboxes(pods: &[Arc<Pod>]) -> [(&'static str, f64); 3] {
    let of = |phase| count(pods.iter().filter(|pod| pod.phase() == phase).count());
    [
        ("ready", of(SandboxPhase::Ready)),
        ("not_ready", of(SandboxPhase::NotReady)),
        ("removed", of(SandboxPhase::Removed)),
    ]
}

fn containers(pods: &[Arc<Pod>]) -> [(&'static str, f64); 3] {
    let of = |phase| {
        let entries = pods.iter().flat_map(|pod| &pod.containers);
        count(
            entries
                .filter(|entry| entry.status.phase() == phase)
                .count(),
        )
    };
    [
        ("created", of(ContainerPhase::Created)),
        ("running", of(ContainerPhase::Running)),
        ("exited", of(ContainerPhase::Exited)),
    ]
}

fn jobs(pods: &[Arc<Pod>]) -> Vec<(&'static str, f64)> {
    const STATES: [&str; 9] = [
        "gathering",
        "pending",
        "submitting",
        "unsure",
        "queued",
        "running",
        "finished",
        "lost",
        "dropped",
    ];
    let mut counts = BTreeMap::new();
    for (pod, job) in all_jobs(pods) {
        *counts.entry(state(pod, job)).or_insert(0) += 1;
    }
    let of = |state| count(counts.get(state).copied().unwrap_or(0));
    STATES.map(|state| (state, of(state))).to_vec()
}

fn state(pod: &Pod, job: &Job) -> &'static str {
    match job.submission {
        Submission::Gathering { .. } => "gathering",
        Submission::Pending { .. } => "pending",
        Submission::Submitting { .. } => "submitting",
        Submission::Unsure { .. } => "unsure",
        Submission::Submitted { .. } if pod.has_begun(job) => "running",
        Submission::Submitted { .. } => "queued",
        Submission::Finished => "finished",
        Submission::Lost => "lost",
        Submission::Dropped => "dropped",
    }
}

fn is_owed(job: &Job) -> bool {
    job.is_owed_a_cancellation()
}

fn all_jobs(pods: &[Arc<Pod>]) -> impl Iterator<Item = (&Pod, &Job)> {
    pods.iter()
        .flat_map(|pod| pod.jobs.iter().map(move |job| (&**pod, job)))
}

/// Seconds since the oldest of the times that jobs have; 0 where none has one.
fn oldest(pods: &[Arc<Pod>], now: Nanos, of: impl Fn(&Pod, &Job) -> Option<Nanos>) -> f64 {
    age(
        all_jobs(pods).filter_map(|(pod, job)| of(pod, job)).min(),
        now,
    )
}

/// A time in the future, after a step of the clock, is no age.
fn age(since: Option<Nanos>, now: Nanos) -> f64 {
    let span = since.map(|since| now.since(since));
    let span = span.filter(|span| *span != Duration::MAX);
    span.unwrap_or_default().as_secs_f64()
}

fn seconds(time: Option<SystemTime>) -> f64 {
    let span = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    span.unwrap_or_default().as_secs_f64()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "figures for people: 53 bits are enough"
)]
fn number(value: u64) -> f64 {
    value as f64
}

fn count(value: usize) -> f64 {
    number(value as u64)
}
