//! `PodSandboxStats`, `ListPodSandboxStats` and `StreamPodSandboxStats`. See `container_stats` for
//! what is known.

use protobuf::MessageField;

use super::{call::in_parts, container_stats, sandbox_status::metadata, CriContext, Error};
use crate::{
    model::{ContainerPhase, Nanos, Pod, SandboxPhase},
    proto::{
        LinuxPodSandboxStats, ListPodSandboxStatsRequest, ListPodSandboxStatsResponse,
        PodSandboxAttributes, PodSandboxStats, PodSandboxStatsFilter, PodSandboxStatsRequest,
        PodSandboxStatsResponse, Replies, StreamPodSandboxStatsRequest,
        StreamPodSandboxStatsResponse,
    },
};

impl CriContext {
    pub(super) fn pod_sandbox_stats(
        &self,
        request: &PodSandboxStatsRequest,
    ) -> Result<PodSandboxStatsResponse, Error> {
        let pod = self.sandbox(&request.pod_sandbox_id)?;
        let stats = MessageField::some(stats(&pod, self.now()));
        Ok(PodSandboxStatsResponse {
            stats,
            ..Default::default()
        })
    }

    pub(super) fn list_pod_sandbox_stats(
        &self,
        request: &ListPodSandboxStatsRequest,
    ) -> Result<ListPodSandboxStatsResponse, Error> {
        let stats = self.fitting(self.ready_stats(&request.filter)?, "pods' usage")?;
        Ok(ListPodSandboxStatsResponse {
            stats,
            ..Default::default()
        })
    }

    pub(super) fn stream_pod_sandbox_stats(
        &self,
        request: &StreamPodSandboxStatsRequest,
    ) -> Result<Replies<StreamPodSandboxStatsResponse>, Error> {
        let message = |pod_sandbox_stats| StreamPodSandboxStatsResponse {
            pod_sandbox_stats,
            ..Default::default()
        };
        Ok(in_parts(self.ready_stats(&request.filter)?, message))
    }

    fn ready_stats(&self, filter: &PodSandboxStatsFilter) -> Result<Vec<PodSandboxStats>, Error> {
        let mut pods = self.pods_where(&filter.id, &filter.label_selector)?;
        pods.retain(|pod| pod.phase() == SandboxPhase::Ready);
        let now = self.now();
        Ok(pods.iter().map(|pod| stats(pod, now)).collect())
    }
}

fn stats(pod: &Pod, now: Nanos) -> PodSandboxStats {
    let sandbox = &pod.sandbox;
    let attributes = PodSandboxAttributes {
        id: sandbox.id.to_string(),
        metadata: MessageField::some(metadata(pod)),
        labels: sandbox.labels.clone().into_iter().collect(),
        annotations: sandbox.annotations.clone().into_iter().collect(),
        ..Default::default()
    };
    let running = pod
        .containers
        .iter()
        .filter(|e| e.status.phase() == ContainerPhase::Running);
    let linux = LinuxPodSandboxStats {
        cpu: MessageField::some(container_stats::cpu(now)),
        memory: MessageField::some(container_stats::memory(now)),
        containers: running
            .map(|entry| container_stats::stats(entry, now))
            .collect(),
        ..Default::default()
    };
    PodSandboxStats {
        attributes: MessageField::some(attributes),
        linux: MessageField::some(linux),
        ..Default::default()
    }
}
