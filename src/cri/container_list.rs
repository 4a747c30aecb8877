//! `ListContainers` and `StreamContainers`.

use super::{
    call::in_parts,
    filter::{container_state, labels_fit, Found},
    listed, CriContext, Error,
};
use crate::proto::{
    ContainerFilter, Encoded, ListContainersRequest, ListContainersResponse, Replies,
    StreamContainersRequest, StreamContainersResponse,
};

impl CriContext {
    pub(super) fn list_containers(
        &self,
        request: &ListContainersRequest,
    ) -> Result<Encoded<ListContainersResponse>, Error> {
        let found = self.containers(&request.filter)?;
        let items = found.iter();
        let items = items.map(|found| listed::container(&found.pod, found.place));
        self.encoded(items, || {
            let containers = found
                .iter()
                .map(|found| listed::container_item(found.entry()))
                .collect();
            Ok(ListContainersResponse {
                containers: self.fitting(containers, "containers")?,
                ..Default::default()
            })
        })
    }

    pub(super) fn stream_containers(
        &self,
        request: &StreamContainersRequest,
    ) -> Result<Replies<StreamContainersResponse>, Error> {
        let message = |containers| StreamContainersResponse {
            containers,
            ..Default::default()
        };
        let found = self.containers(&request.filter)?;
        let items = found
            .iter()
            .map(|found| listed::container_item(found.entry()))
            .collect();
        Ok(in_parts(items, message))
    }

    fn containers(&self, filter: &ContainerFilter) -> Result<Vec<Found>, Error> {
        let sandbox = self.wanted_sandbox(&filter.pod_sandbox_id)?;
        let container = self.wanted_container(&filter.id)?;
        let state = filter
            .state
            .as_ref()
            .map(|value| value.state.enum_value_or_default());
        Ok(self.containers_where(|pod, entry| {
            sandbox.fits(&pod.sandbox.id)
                && container.fits(entry.id())
                && state.is_none_or(|state| state == container_state(entry.status.phase()))
                && labels_fit(&entry.container.labels, &filter.label_selector)
        }))
    }
}
