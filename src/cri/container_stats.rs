//! `ContainerStats`, `ListContainerStats` and `StreamContainerStats`.
//!
//! interLink reports no usage, so figures stay zero; what the kubelet and `crictl stats` follow
//! (ids, names, labels, times) is there.

use super::{
    encode::Fields,
    filter::Found,
    listed::{self, Usage},
    CriContext, Error,
};
use crate::proto::{
    ContainerState, ContainerStatsFilter, ContainerStatsRequest, ContainerStatsResponse, Encoded,
    ListContainerStatsRequest, ListContainerStatsResponse, Replies, StreamContainerStatsRequest,
    StreamContainerStatsResponse,
};

impl CriContext {
    pub(super) fn container_stats(
        &self,
        request: &ContainerStatsRequest,
    ) -> Result<Encoded<ContainerStatsResponse>, Error> {
        let (pod, id) = self.container(&request.container_id)?;
        let usage = self.usage();
        let entry = pod.container(&id).ok_or_else(|| Error::NotFound {
            kind: "container",
            id: request.container_id.clone(),
        })?;
        let stats = listed::one(entry, move |fields, entry| {
            listed::container_stats(fields, entry, &usage);
        });
        Ok(stats)
    }

    pub(super) fn list_container_stats(
        &self,
        request: &ListContainerStatsRequest,
    ) -> Result<Encoded<ListContainerStatsResponse>, Error> {
        let list = listed::list(
            &self.running(&request.filter)?,
            stats(self.usage()),
            self.config.cri.max_message_bytes,
            (
                "containers' usage",
                |list: &mut ListContainerStatsResponse| &mut list.stats,
            ),
        );
        list.map(|list| list.encoded)
    }

    pub(super) fn stream_container_stats(
        &self,
        request: &StreamContainerStatsRequest,
    ) -> Result<Replies<Encoded<StreamContainerStatsResponse>>, Error> {
        let running = self.running(&request.filter)?;
        Ok(listed::stream(running, stats(self.usage())))
    }

    /// What is known of everybody's usage now.
    pub(super) fn usage(&self) -> Usage {
        Usage::at(self.now())
    }

    fn running(&self, filter: &ContainerStatsFilter) -> Result<Vec<Found>, Error> {
        let ids = [filter.pod_sandbox_id.as_str(), &filter.id];
        let running = Some(ContainerState::CONTAINER_RUNNING);
        let fits = self.container_filter(ids, running, &filter.label_selector)?;
        Ok(self.containers_where(fits))
    }
}

fn stats(usage: Usage) -> impl listed::WriteItem<Found> {
    move |fields: &mut Fields<'_>, found: &Found| {
        listed::container_stats(fields, found.entry(), &usage);
    }
}
