//! `ListContainers` and `StreamContainers`.

use std::collections::HashMap;

use super::{
    encode::Fields,
    filter::{container_state, is_all, labels_fit, Found, Wanted},
    kept_list::Whole,
    listed, CriContext, Error,
};
use crate::{
    model::ContainerId,
    proto::{
        ContainerFilter, ContainerState, Encoded, ListContainersRequest, ListContainersResponse,
        Replies, StreamContainersRequest, StreamContainersResponse,
    },
};

impl CriContext {
    pub(super) fn list_containers(
        &self,
        request: &ListContainersRequest,
    ) -> Result<Encoded<ListContainersResponse>, Error> {
        let fits = self.container_filter_of(&request.filter)?;
        let make = || {
            let found = self.containers_where(&fits);
            let list = listed::list(
                &found,
                write,
                self.config.cri.max_message_bytes,
                ("containers", |list: &mut ListContainersResponse| {
                    &mut list.containers
                }),
            );
            list.map(|list| Whole::new(found, list))
        };
        self.kept_or_made(&self.all_containers, is_all(&*request.filter), &fits, make)
    }

    pub(super) fn stream_containers(
        &self,
        request: &StreamContainersRequest,
    ) -> Result<Replies<Encoded<StreamContainersResponse>>, Error> {
        let fits = self.container_filter_of(&request.filter)?;
        Ok(listed::stream(self.containers_where(fits), write))
    }

    fn container_filter_of<'a>(
        &self,
        filter: &'a ContainerFilter,
    ) -> Result<impl Fn(&Found) -> bool + 'a, Error> {
        let state = filter
            .state
            .as_ref()
            .map(|value| value.state.enum_value_or_default());
        let ids = [filter.pod_sandbox_id.as_str(), &filter.id];
        self.container_filter(ids, state, &filter.label_selector)
    }

    /// A filter of containers by the ids of sandbox and container, by state if one is given, and by labels.
    pub(super) fn container_filter<'a>(
        &self,
        [sandbox, container]: [&str; 2],
        state: Option<ContainerState>,
        selector: &'a HashMap<String, String>,
    ) -> Result<impl Fn(&Found) -> bool + use<'a>, Error> {
        let sandbox = self.wanted_sandbox(sandbox)?;
        let container = self.wanted_container(container)?;
        Ok(move |found: &Found| {
            let entry = found.entry();
            sandbox.fits(&found.pod.sandbox.id)
                && container.fits(entry.id())
                && state.is_none_or(|state| state == container_state(entry.status.phase()))
                && labels_fit(&entry.container.labels, selector)
        })
    }

    /// What a filter's container id means.
    fn wanted_container(&self, id: &str) -> Result<Wanted<ContainerId>, Error> {
        Ok(Wanted::from_lookup(id, self.store.resolve_container(id)?))
    }

    /// Containers, the latest first, those of removed sandboxes left out, each with its pod; those that a filter lets
    /// through.
    pub(super) fn containers_where(&self, fits: impl Fn(&Found) -> bool) -> Vec<Found> {
        if let Some(whole) = self.current(&self.all_containers) {
            let fitting = whole.items().iter().filter(|found| fits(found));
            return fitting.cloned().collect();
        }
        let pods = self.store.pods();
        let mut fitting: Vec<_> = pods.iter().flat_map(Found::all_of).filter(fits).collect();
        fitting.sort_by_key(|found| std::cmp::Reverse(found.created_at()));
        fitting
    }
}

fn write(fields: &mut Fields<'_>, found: &Found) {
    listed::container(fields, found.entry());
}
