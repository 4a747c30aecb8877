//! What is counted and timed while it happens. Gauges of what is on record are read when they are
//! asked for, by the room `metrics`.

use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry},
};

use super::definitions::{self as all, Definition, Kind};

/// A label with a value that the code has, so that there are only so many.
type Label = (&'static str, &'static str);
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// What is counted and timed.
#[derive(Debug)]
pub struct Metrics {
    rpcs: Histograms<[Label; 2]>,
    interlink: Histograms<[Label; 2]>,
    pool_threads: Family<[Label; 1], Gauge>,
    pool_busy: Family<[Label; 1], Gauge>,
    pool_queue: Family<[Label; 1], Gauge>,
    pool_wait: Histograms<[Label; 1]>,
    sandboxes: Family<[Label; 1], Counter>,
    containers: Family<[Label; 1], Counter>,
    exits: Family<[Label; 1], Counter>,
    phases: Histograms<[Label; 1]>,
    waited: Histograms<[(&'static str, String); 1]>,
    ran: Histograms<[(&'static str, String); 1]>,
    cpu_efficiency: Histograms<[(&'static str, String); 1]>,
    memory_efficiency: Histograms<[(&'static str, String); 1]>,
    commits: Histograms<[Label; 1]>,
    resyncs: Family<[Label; 1], Counter>,
    /// The partitions that have series of their own.
    partitions: Mutex<Vec<String>>,
}

/// A part of a job's life that is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// From the start of its first container until the plugin had it.
    CreatedToSubmitted,
    /// Until its first container ran.
    SubmittedToRunning,
    /// A container's run.
    RunningToExited,
    /// From the request of a cancellation until the plugin confirmed it.
    StopToConfirmed,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::CreatedToSubmitted => "created_to_submitted",
            Self::SubmittedToRunning => "submitted_to_running",
            Self::RunningToExited => "running_to_exited",
            Self::StopToConfirmed => "stop_to_confirmed",
        }
    }
}

/// As many partitions have series of their own.
const MAX_PARTITIONS: usize = 64;

fn local() -> Histogram {
    Histogram::new(all::LOCAL_SECONDS.iter().copied())
}

fn network() -> Histogram {
    Histogram::new(all::NETWORK_SECONDS.iter().copied())
}

fn of_jobs() -> Histogram {
    Histogram::new(all::JOB_SECONDS.iter().copied())
}

fn ratios() -> Histogram {
    Histogram::new(all::RATIOS.iter().copied())
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            rpcs: Family::new_with_constructor(local),
            interlink: Family::new_with_constructor(network),
            pool_threads: Family::default(),
            pool_busy: Family::default(),
            pool_queue: Family::default(),
            pool_wait: Family::new_with_constructor(local),
            sandboxes: Family::default(),
            containers: Family::default(),
            exits: Family::default(),
            phases: Family::new_with_constructor(of_jobs),
            waited: Family::new_with_constructor(of_jobs),
            ran: Family::new_with_constructor(of_jobs),
            cpu_efficiency: Family::new_with_constructor(ratios),
            memory_efficiency: Family::new_with_constructor(ratios),
            commits: Family::new_with_constructor(local),
            resyncs: Family::default(),
            partitions: Mutex::default(),
        }
    }
}

impl Metrics {
    /// A CRI call was answered.
    pub fn rpc(&self, method: &'static str, code: &'static str, took: Duration) {
        let labels = [("method", method), ("code", code)];
        observe(&self.rpcs, &labels, took);
    }

    /// A call to interLink has ended.
    pub fn interlink_call(&self, endpoint: &'static str, outcome: &'static str, took: Duration) {
        let labels = [("endpoint", endpoint), ("outcome", outcome)];
        observe(&self.interlink, &labels, took);
    }

    /// The gauges of a pool of so many threads.
    pub fn pool(&self, pool: &'static str, threads: usize) -> PoolMetrics {
        let labels = [("pool", pool)];
        let threads = i64::try_from(threads).unwrap_or(i64::MAX);
        self.pool_threads.get_or_create_owned(&labels).set(threads);
        PoolMetrics {
            busy: self.pool_busy.get_or_create_owned(&labels),
            queue: self.pool_queue.get_or_create_owned(&labels),
            wait: self.pool_wait.get_or_create_owned(&labels),
        }
    }

    /// A pod sandbox was `created`, `stopped` or `removed`.
    pub fn sandbox(&self, event: &'static str) {
        self.sandboxes.get_or_create(&[("event", event)]).inc();
    }

    /// A container was `created`, `started`, `exited` or `removed`.
    pub fn container(&self, event: &'static str) {
        self.containers.get_or_create(&[("event", event)]).inc();
    }

    /// A container exited for one of the known reasons.
    pub fn exit(&self, reason: &'static str) {
        self.exits.get_or_create(&[("reason", reason)]).inc();
    }

    /// A phase of a job's life is over.
    pub fn job_phase(&self, phase: Phase, took: Duration) {
        observe(&self.phases, &[("phase", phase.name())], took);
    }

    /// A job has begun to run after it waited for so long.
    pub fn job_waited(&self, partition: &str, span: Duration) {
        let labels = [("partition", self.bounded(partition))];
        observe(&self.waited, &labels, span);
    }

    /// A container of a job has ended after it ran for so long.
    pub fn job_ran(&self, partition: &str, span: Duration) {
        let labels = [("partition", self.bounded(partition))];
        observe(&self.ran, &labels, span);
    }

    /// A container of a job has ended that used such shares of the CPU time and of the memory that it asked
    /// for, as far as they are known.
    pub fn job_efficiency(&self, partition: &str, cpu: Option<f64>, memory: Option<f64>) {
        for (family, share) in [
            (&self.cpu_efficiency, cpu),
            (&self.memory_efficiency, memory),
        ] {
            if let Some(share) = share {
                let labels = [("partition", self.bounded(partition))];
                family.get_or_create(&labels).observe(share);
            }
        }
    }

    /// A change of the state waited until it was on disk, or was not to be had there.
    pub fn state_commit(&self, is_ok: bool, took: Duration) {
        let outcome = if is_ok { "ok" } else { "error" };
        observe(&self.commits, &[("outcome", outcome)], took);
    }

    /// A fetch of a log did not continue what was read before.
    pub fn log_resync(&self, reason: &'static str) {
        self.resyncs.get_or_create(&[("reason", reason)]).inc();
    }

    /// A partition's name, or `other` where too many have series already: pods choose these.
    fn bounded(&self, partition: &str) -> String {
        let mut known = self.partitions.lock();
        if known.iter().any(|name| name == partition) {
            return partition.to_owned();
        }
        if known.len() >= MAX_PARTITIONS {
            return "other".to_owned();
        }
        known.push(partition.to_owned());
        partition.to_owned()
    }

    /// Registers everything that is counted and timed here.
    pub fn register(&self, registry: &mut Registry) {
        add(registry, &all::RPC_SECONDS, self.rpcs.clone());
        add(registry, &all::POOL_THREADS, self.pool_threads.clone());
        add(registry, &all::POOL_BUSY, self.pool_busy.clone());
        add(registry, &all::POOL_QUEUE, self.pool_queue.clone());
        add(registry, &all::POOL_WAIT, self.pool_wait.clone());
        add(registry, &all::SANDBOX_EVENTS, self.sandboxes.clone());
        add(registry, &all::CONTAINER_EVENTS, self.containers.clone());
        add(registry, &all::CONTAINER_EXITS, self.exits.clone());
        add(registry, &all::JOB_PHASE, self.phases.clone());
        add(registry, &all::JOB_WAITED, self.waited.clone());
        add(registry, &all::JOB_RAN, self.ran.clone());
        let (cpu, memory) = (&self.cpu_efficiency, &self.memory_efficiency);
        add(registry, &all::JOB_CPU_EFFICIENCY, cpu.clone());
        add(registry, &all::JOB_MEMORY_EFFICIENCY, memory.clone());
        add(registry, &all::INTERLINK_SECONDS, self.interlink.clone());
        add(registry, &all::STATE_COMMIT_SECONDS, self.commits.clone());
        add(registry, &all::LOG_RESYNCS, self.resyncs.clone());
    }
}

fn observe<L>(family: &Histograms<L>, labels: &L, took: Duration)
where
    L: Clone + std::hash::Hash + Eq,
{
    family.get_or_create(labels).observe(took.as_secs_f64());
}

fn add(registry: &mut Registry, definition: &Definition, metric: impl Metric) {
    debug_assert!(definition.kind != Kind::Counter || definition.name.ends_with("_total"));
    registry.register(definition.base_name(), definition.help, metric);
}

/// The gauges of one pool of threads.
#[derive(Clone, Debug)]
pub struct PoolMetrics {
    busy: Gauge,
    queue: Gauge,
    wait: Histogram,
}

impl PoolMetrics {
    /// A piece of work waits from now on.
    pub fn enqueued(&self) {
        self.queue.inc();
    }

    /// It was not taken into the queue.
    pub fn refused(&self) {
        self.queue.dec();
    }

    /// A thread has taken it up. It counts as busy until what is given is dropped.
    pub fn begun(&self, waited: Duration) -> Busy<'_> {
        self.queue.dec();
        self.wait.observe(waited.as_secs_f64());
        self.busy.inc();
        Busy(&self.busy)
    }
}

/// A thread that is at work.
pub struct Busy<'a>(&'a Gauge);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::prometheus_text::encode;

    use super::*;

    fn text(metrics: &Metrics) -> String {
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).expect("text");
        text
    }

    #[test]
    fn partitions_of_pods_are_bounded() {
        let metrics = Metrics::default();
        for number in 0..1000 {
            metrics.job_waited(&format!("p{number}"), Duration::from_secs(1));
        }
        let text = text(&metrics);
        let name = "interlink_cri_job_queue_duration_seconds_count";
        let series: Vec<_> = text.lines().filter(|line| line.starts_with(name)).collect();
        assert_eq!(series.len(), MAX_PARTITIONS + 1);
        assert!(
            text.contains(&format!("{name}{{partition=\"other\"}} 936")),
            "{text}"
        );
    }

    #[test]
    fn a_pool_tells_what_waits_and_what_works() {
        let metrics = Metrics::default();
        let pool = metrics.pool("cri", 8);
        pool.enqueued();
        pool.enqueued();
        let busy = pool.begun(Duration::from_millis(3));
        let part = text(&metrics);
        for line in [
            "interlink_cri_pool_threads{pool=\"cri\"} 8",
            "interlink_cri_pool_queue_length{pool=\"cri\"} 1",
            "interlink_cri_pool_busy_threads{pool=\"cri\"} 1",
            "interlink_cri_pool_wait_seconds_count{pool=\"cri\"} 1",
        ] {
            assert!(part.contains(line), "{line}\n{part}");
        }
        drop(busy);
        pool.refused();
        let idle = text(&metrics);
        assert!(idle.contains("queue_length{pool=\"cri\"} 0"), "{idle}");
        assert!(idle.contains("busy_threads{pool=\"cri\"} 0"), "{idle}");
    }
}
