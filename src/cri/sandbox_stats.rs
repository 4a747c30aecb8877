//! `PodSandboxStats`, `ListPodSandboxStats` and `StreamPodSandboxStats`. See `container_stats` for
//! what is known.

use std::sync::Arc;

use super::{
    encode::Fields,
    filter::labels_fit,
    listed::{self, Usage},
    CriContext, Error,
};
use crate::{
    model::{Pod, SandboxPhase},
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
        Ok(listed::one(&pod, stats(self.usage())))
    }

    pub(super) fn list_pod_sandbox_stats(
        &self,
        request: &ListPodSandboxStatsRequest,
    ) -> Result<Encoded<ListPodSandboxStatsResponse>, Error> {
        let list = listed::list(
            &self.ready(&request.filter)?,
            stats(self.usage()),
            self.config.cri.max_message_bytes,
            ("pods' usage", |list: &mut ListPodSandboxStatsResponse| {
                &mut list.stats
            }),
        );
        list.map(|list| list.encoded)
    }

    pub(super) fn stream_pod_sandbox_stats(
        &self,
        request: &StreamPodSandboxStatsRequest,
    ) -> Result<Replies<Encoded<StreamPodSandboxStatsResponse>>, Error> {
        let ready = self.ready(&request.filter)?;
        Ok(listed::stream(ready, stats(self.usage())))
    }

    fn ready(&self, filter: &PodSandboxStatsFilter) -> Result<Vec<Arc<Pod>>, Error> {
        let wanted = self.wanted_sandbox(&filter.id)?;
        Ok(self.pods_where(|pod| {
            pod.phase() == SandboxPhase::Ready
                && wanted.fits(&pod.sandbox.id)
                && labels_fit(&pod.sandbox.labels, &filter.label_selector)
        }))
    }
}

fn stats(usage: Usage) -> impl listed::WriteItem<Arc<Pod>> {
    move |fields: &mut Fields<'_>, pod: &Arc<Pod>| listed::sandbox_stats(fields, pod, &usage)
}
