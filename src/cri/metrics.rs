//! `ListMetricDescriptors`, `ListPodSandboxMetrics` and `StreamPodSandboxMetrics`.
//!
//! The names are those of the kubelet's own container metrics. What a container asked for and when
//! it started is known here and reported; what it uses over there is not, and such a metric has a
//! descriptor but no value, rather than a zero that nobody measured.

use protobuf::{EnumOrUnknown, MessageField};

use super::{parts::in_parts, CriContext, Error};
use crate::{
    convert,
    model::{ContainerEntry, ContainerPhase, Nanos, Pod, SandboxPhase},
    proto::{
        ContainerMetrics, LinuxContainerResources, ListMetricDescriptorsRequest,
        ListMetricDescriptorsResponse, ListPodSandboxMetricsRequest, ListPodSandboxMetricsResponse,
        Metric, MetricDescriptor, MetricType, PodSandboxMetrics, Replies,
        StreamPodSandboxMetricsRequest, StreamPodSandboxMetricsResponse, UInt64Value,
    },
};

/// The labels of every metric, in this order.
const LABELS: [&str; 5] = ["id", "name", "image", "pod", "namespace"];

/// How a metric is read; most cannot be.
enum Source {
    /// Only the remote side knows, and interLink has no way to ask.
    Remote,
    /// From the clock.
    Now,
    /// From the container's start.
    Started,
    /// From the resources that it asked for; not reported where it asked for none.
    Asked(fn(&LinuxContainerResources) -> i64),
}

const METRICS: &[(&str, &str, Source)] = &[
    (
        "container_blkio_device_usage_total",
        "Bytes moved to and from block devices.",
        Source::Remote,
    ),
    (
        "container_cpu_cfs_periods_total",
        "CPU scheduling periods that have passed.",
        Source::Remote,
    ),
    (
        "container_cpu_cfs_throttled_periods_total",
        "Periods in which the container was throttled.",
        Source::Remote,
    ),
    (
        "container_cpu_cfs_throttled_seconds_total",
        "Seconds for which the container was throttled.",
        Source::Remote,
    ),
    (
        "container_cpu_system_seconds_total",
        "CPU seconds spent in the kernel.",
        Source::Remote,
    ),
    (
        "container_cpu_usage_seconds_total",
        "CPU seconds spent.",
        Source::Remote,
    ),
    (
        "container_cpu_user_seconds_total",
        "CPU seconds spent in user space.",
        Source::Remote,
    ),
    (
        "container_file_descriptors",
        "Open file descriptors.",
        Source::Remote,
    ),
    ("container_fs_inodes_free", "Free inodes.", Source::Remote),
    ("container_fs_inodes_total", "Inodes.", Source::Remote),
    (
        "container_fs_limit_bytes",
        "Bytes that the container may use of its file system.",
        Source::Remote,
    ),
    (
        "container_fs_reads_bytes_total",
        "Bytes read from file systems.",
        Source::Remote,
    ),
    (
        "container_fs_reads_total",
        "Reads from file systems.",
        Source::Remote,
    ),
    (
        "container_fs_usage_bytes",
        "Bytes used of the container's file system.",
        Source::Remote,
    ),
    (
        "container_fs_writes_bytes_total",
        "Bytes written to file systems.",
        Source::Remote,
    ),
    (
        "container_fs_writes_total",
        "Writes to file systems.",
        Source::Remote,
    ),
    (
        "container_last_seen",
        "When the container was last seen, in seconds since the epoch.",
        Source::Now,
    ),
    (
        "container_memory_cache",
        "Bytes of page cache.",
        Source::Remote,
    ),
    (
        "container_memory_failcnt",
        "Times the memory limit was hit.",
        Source::Remote,
    ),
    (
        "container_memory_failures_total",
        "Page faults.",
        Source::Remote,
    ),
    (
        "container_memory_kernel_usage",
        "Bytes of kernel memory.",
        Source::Remote,
    ),
    (
        "container_memory_mapped_file",
        "Bytes of mapped files.",
        Source::Remote,
    ),
    (
        "container_memory_max_usage_bytes",
        "Most bytes of memory that were used at once.",
        Source::Remote,
    ),
    (
        "container_memory_rss",
        "Bytes of resident memory.",
        Source::Remote,
    ),
    ("container_memory_swap", "Bytes of swap.", Source::Remote),
    (
        "container_memory_usage_bytes",
        "Bytes of memory used, whenever they were last touched.",
        Source::Remote,
    ),
    (
        "container_memory_working_set_bytes",
        "Bytes of memory that cannot be reclaimed.",
        Source::Remote,
    ),
    (
        "container_network_receive_bytes_total",
        "Bytes received.",
        Source::Remote,
    ),
    (
        "container_network_receive_errors_total",
        "Errors while receiving.",
        Source::Remote,
    ),
    (
        "container_network_receive_packets_dropped_total",
        "Packets dropped while receiving.",
        Source::Remote,
    ),
    (
        "container_network_receive_packets_total",
        "Packets received.",
        Source::Remote,
    ),
    (
        "container_network_transmit_bytes_total",
        "Bytes sent.",
        Source::Remote,
    ),
    (
        "container_network_transmit_errors_total",
        "Errors while sending.",
        Source::Remote,
    ),
    (
        "container_network_transmit_packets_dropped_total",
        "Packets dropped while sending.",
        Source::Remote,
    ),
    (
        "container_network_transmit_packets_total",
        "Packets sent.",
        Source::Remote,
    ),
    (
        "container_oom_events_total",
        "Out-of-memory events.",
        Source::Remote,
    ),
    ("container_processes", "Processes.", Source::Remote),
    ("container_sockets", "Open sockets.", Source::Remote),
    (
        "container_spec_cpu_period",
        "CPU period asked for, in microseconds.",
        Source::Asked(|r| r.cpu_period),
    ),
    (
        "container_spec_cpu_quota",
        "CPU quota asked for, in microseconds for each period.",
        Source::Asked(|r| r.cpu_quota),
    ),
    (
        "container_spec_cpu_shares",
        "CPU shares asked for.",
        Source::Asked(|r| r.cpu_shares),
    ),
    (
        "container_spec_memory_limit_bytes",
        "Memory limit asked for.",
        Source::Asked(|r| r.memory_limit_in_bytes),
    ),
    (
        "container_spec_memory_swap_limit_bytes",
        "Memory and swap limit asked for.",
        Source::Asked(|r| r.memory_swap_limit_in_bytes),
    ),
    (
        "container_start_time_seconds",
        "When the container started, in seconds since the epoch.",
        Source::Started,
    ),
    ("container_threads", "Threads.", Source::Remote),
    (
        "container_threads_max",
        "Threads that the container may have.",
        Source::Remote,
    ),
];

impl CriContext {
    pub(super) fn list_metric_descriptors(
        &self,
        _: &ListMetricDescriptorsRequest,
    ) -> Result<ListMetricDescriptorsResponse, Error> {
        let descriptor = |(name, help, _): &(&str, &str, Source)| MetricDescriptor {
            name: (*name).to_owned(),
            help: (*help).to_owned(),
            label_keys: LABELS.map(str::to_owned).to_vec(),
            ..Default::default()
        };
        let descriptors = METRICS.iter().map(descriptor).collect();
        Ok(ListMetricDescriptorsResponse {
            descriptors,
            ..Default::default()
        })
    }

    pub(super) fn list_pod_sandbox_metrics(
        &self,
        _: &ListPodSandboxMetricsRequest,
    ) -> Result<ListPodSandboxMetricsResponse, Error> {
        let pod_metrics = self.fitting(self.pod_metrics(), "pods' metrics")?;
        Ok(ListPodSandboxMetricsResponse {
            pod_metrics,
            ..Default::default()
        })
    }

    pub(super) fn stream_pod_sandbox_metrics(
        &self,
        _: &StreamPodSandboxMetricsRequest,
    ) -> Result<Replies<StreamPodSandboxMetricsResponse>, Error> {
        let message = |pod_sandbox_metrics| StreamPodSandboxMetricsResponse {
            pod_sandbox_metrics,
            ..Default::default()
        };
        Ok(in_parts(self.pod_metrics(), message))
    }

    fn pod_metrics(&self) -> Vec<PodSandboxMetrics> {
        let now = self.now();
        let pods = self.store.pods();
        let ready = pods.iter().filter(|pod| pod.phase() == SandboxPhase::Ready);
        ready.map(|pod| of_pod(pod, now)).collect()
    }
}

fn of_pod(pod: &Pod, now: Nanos) -> PodSandboxMetrics {
    let running = pod
        .containers
        .iter()
        .filter(|e| e.status.phase() == ContainerPhase::Running);
    let of_container = |entry: &ContainerEntry| ContainerMetrics {
        container_id: entry.id().to_string(),
        metrics: of_container(pod, entry, now),
        ..Default::default()
    };
    PodSandboxMetrics {
        pod_sandbox_id: pod.sandbox.id.to_string(),
        container_metrics: running.map(of_container).collect(),
        ..Default::default()
    }
}

fn of_container(pod: &Pod, entry: &ContainerEntry, now: Nanos) -> Vec<Metric> {
    let container = &entry.container;
    let config = convert::shown_of_container(container);
    let seconds = |time: Nanos| u64::try_from(time.0 / 1_000_000_000).ok();
    let value = |source: &Source| match source {
        Source::Remote => None,
        Source::Now => seconds(now),
        Source::Started => entry.status.started_at.and_then(seconds),
        Source::Asked(read) => u64::try_from(read(&config.linux.resources))
            .ok()
            .filter(|value| *value > 0),
    };
    let labels = [
        container.id.as_str(),
        &container.name,
        &container.image,
        &pod.sandbox.name,
        &pod.sandbox.namespace,
    ];
    let metric = |(name, _, source): &(&str, &str, Source)| {
        let value = UInt64Value {
            value: value(source)?,
            ..Default::default()
        };
        Some(Metric {
            name: (*name).to_owned(),
            timestamp: now.0,
            metric_type: EnumOrUnknown::new(MetricType::GAUGE),
            label_values: labels.map(str::to_owned).to_vec(),
            value: MessageField::some(value),
            ..Default::default()
        })
    };
    METRICS.iter().filter_map(metric).collect()
}
