//! `ContainerStats`, `ListContainerStats` and `StreamContainerStats`.
//!
//! interLink reports no usage, so figures stay zero; what the kubelet and `crictl stats` follow
//! (ids, names, labels, times) is there.

use protobuf::MessageField;

use super::{call::in_parts, container_status::metadata, filter::labels_fit, CriContext, Error};
use crate::{
    model::{ContainerEntry, ContainerPhase, Nanos},
    proto::{
        ContainerAttributes, ContainerStats, ContainerStatsFilter, ContainerStatsRequest,
        ContainerStatsResponse, CpuUsage, ListContainerStatsRequest, ListContainerStatsResponse,
        MemoryUsage, Replies, StreamContainerStatsRequest, StreamContainerStatsResponse,
        UInt64Value,
    },
};

impl CriContext {
    pub(super) fn container_stats(
        &self,
        request: &ContainerStatsRequest,
    ) -> Result<ContainerStatsResponse, Error> {
        let (pod, id) = self.container(&request.container_id)?;
        let stats = pod.container(&id).map(|entry| stats(entry, self.now()));
        Ok(ContainerStatsResponse {
            stats: MessageField::from_option(stats),
            ..Default::default()
        })
    }

    pub(super) fn list_container_stats(
        &self,
        request: &ListContainerStatsRequest,
    ) -> Result<ListContainerStatsResponse, Error> {
        let stats = self.running_stats(&request.filter)?;
        let stats = self.fitting(stats, "containers' usage")?;
        Ok(ListContainerStatsResponse {
            stats,
            ..Default::default()
        })
    }

    pub(super) fn stream_container_stats(
        &self,
        request: &StreamContainerStatsRequest,
    ) -> Result<Replies<StreamContainerStatsResponse>, Error> {
        let message = |container_stats| StreamContainerStatsResponse {
            container_stats,
            ..Default::default()
        };
        Ok(in_parts(self.running_stats(&request.filter)?, message))
    }

    fn running_stats(&self, filter: &ContainerStatsFilter) -> Result<Vec<ContainerStats>, Error> {
        let sandbox = self.wanted_sandbox(&filter.pod_sandbox_id)?;
        let container = self.wanted_container(&filter.id)?;
        let running = self.containers_where(|pod, entry| {
            entry.status.phase() == ContainerPhase::Running
                && sandbox.fits(&pod.sandbox.id)
                && container.fits(entry.id())
                && labels_fit(&entry.container.labels, &filter.label_selector)
        });
        let now = self.now();
        Ok(running
            .iter()
            .map(|found| stats(found.entry(), now))
            .collect())
    }
}

/// A container's stats at a time.
pub fn stats(entry: &ContainerEntry, now: Nanos) -> ContainerStats {
    let container = &entry.container;
    let attributes = ContainerAttributes {
        id: container.id.to_string(),
        metadata: MessageField::some(metadata(container)),
        labels: container.labels.clone().into_iter().collect(),
        annotations: container.annotations.clone().into_iter().collect(),
        ..Default::default()
    };
    ContainerStats {
        attributes: MessageField::some(attributes),
        cpu: MessageField::some(cpu(now)),
        memory: MessageField::some(memory(now)),
        ..Default::default()
    }
}

/// CPU usage at a time.
pub fn cpu(now: Nanos) -> CpuUsage {
    CpuUsage {
        timestamp: now.0,
        usage_core_nano_seconds: zero(),
        usage_nano_cores: zero(),
        ..Default::default()
    }
}

/// Memory usage at a time.
pub fn memory(now: Nanos) -> MemoryUsage {
    MemoryUsage {
        timestamp: now.0,
        working_set_bytes: zero(),
        usage_bytes: zero(),
        rss_bytes: zero(),
        ..Default::default()
    }
}

fn zero() -> MessageField<UInt64Value> {
    MessageField::some(UInt64Value::default())
}
