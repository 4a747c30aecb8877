//! `PodSandboxStats`, `ListPodSandboxStats` and `StreamPodSandboxStats`. See `container_stats` for
//! what is known.

use std::sync::Arc;

use super::{
    encode::Fields,
    listed::{self, Usage},
    CriContext, Error,
};
use crate::{
    model::Pod,
    proto::{
        Encoded, ListPodSandboxStatsRequest, ListPodSandboxStatsResponse, PodSandboxState,
        PodSandboxStatsFilter, PodSandboxStatsRequest, PodSandboxStatsResponse, Replies,
        StreamPodSandboxStatsRequest, StreamPodSandboxStatsResponse,
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
        let ready = Some(PodSandboxState::SANDBOX_READY.into());
        let fits = self.sandbox_filter(&filter.id, ready, &filter.label_selector)?;
        Ok(self.pods_where(fits))
    }
}

fn stats(usage: Usage) -> impl listed::WriteItem<Arc<Pod>> {
    move |fields: &mut Fields<'_>, pod: &Arc<Pod>| listed::sandbox_stats(fields, pod, &usage)
}
