//! `PodSandboxStats`, `ListPodSandboxStats` and `StreamPodSandboxStats`. See `container_stats` for
//! what is known.

use std::sync::Arc;

use super::{encode::Fields, listed, CriContext, Error};
use crate::{
    model::{Nanos, Pod, SandboxPhase},
    proto::{
        Encoded, ListPodSandboxStatsRequest, ListPodSandboxStatsResponse, PodSandboxStatsFilter,
        PodSandboxStatsRequest, PodSandboxStatsResponse, Replies, StreamPodSandboxStatsRequest,
        StreamPodSandboxStatsResponse,
    },
};

impl CriContext {
    pub(super) fn pod_sandbox_stats(
        &self,
        request: &PodSandboxStatsRequest,
    ) -> Result<Encoded<PodSandboxStatsResponse>, Error> {
        let pod = self.sandbox(&request.pod_sandbox_id)?;
        Ok(listed::one(&pod, stats_at(self.now())))
    }

    pub(super) fn list_pod_sandbox_stats(
        &self,
        request: &ListPodSandboxStatsRequest,
    ) -> Result<Encoded<ListPodSandboxStatsResponse>, Error> {
        listed::list(
            &self.ready(&request.filter)?,
            stats_at(self.now()),
            self.config.cri.max_message_bytes,
            ("pods' usage", |list: &mut ListPodSandboxStatsResponse| {
                &mut list.stats
            }),
        )
    }

    pub(super) fn stream_pod_sandbox_stats(
        &self,
        request: &StreamPodSandboxStatsRequest,
    ) -> Result<Replies<Encoded<StreamPodSandboxStatsResponse>>, Error> {
        let ready = self.ready(&request.filter)?;
        Ok(listed::stream(ready, stats_at(self.now())))
    }

    fn ready(&self, filter: &PodSandboxStatsFilter) -> Result<Vec<Arc<Pod>>, Error> {
        let mut pods = self.pods_where(&filter.id, &filter.label_selector)?;
        pods.retain(|pod| pod.phase() == SandboxPhase::Ready);
        Ok(pods)
    }
}

fn stats_at(now: Nanos) -> impl listed::WriteItem<Arc<Pod>> {
    move |fields: &mut Fields<'_>, pod: &Arc<Pod>| listed::sandbox_stats(fields, pod, now)
}
