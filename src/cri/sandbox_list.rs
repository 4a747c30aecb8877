//! `ListPodSandbox` and `StreamPodSandboxes`.

use std::{collections::HashMap, sync::Arc};

use protobuf::EnumOrUnknown;

use super::{
    encode::Fields,
    filter::{is_all, labels_fit, sandbox_state, Wanted},
    kept_list::Whole,
    list_size::{self, Listed},
    listed, CriContext, Error,
};
use crate::{
    model::{Pod, SandboxId},
    proto::{
        Encoded, ListPodSandboxRequest, ListPodSandboxResponse, PodSandboxFilter, PodSandboxState,
        Replies, StreamPodSandboxesRequest, StreamPodSandboxesResponse,
    },
};

impl CriContext {
    pub(super) fn list_pod_sandbox(
        &self,
        request: &ListPodSandboxRequest,
    ) -> Result<Encoded<ListPodSandboxResponse>, Error> {
        let fits = self.sandbox_filter_of(&request.filter)?;
        let make = || {
            let pods = self.pods_where(&fits);
            let list = listed::list(
                &pods,
                write,
                self.config.cri.max_message_bytes,
                ("pod sandboxes", |list: &mut ListPodSandboxResponse| {
                    &mut list.items
                }),
            );
            list.map(|list| Whole::new(pods, list))
        };
        let is_all = is_all(&*request.filter);
        self.kept_or_made(&self.all_sandboxes, is_all, |pod| fits(pod), make)
    }

    pub(super) fn stream_pod_sandboxes(
        &self,
        request: &StreamPodSandboxesRequest,
    ) -> Result<Replies<Encoded<StreamPodSandboxesResponse>>, Error> {
        let fits = self.sandbox_filter_of(&request.filter)?;
        Ok(listed::stream(self.pods_where(fits), write))
    }

    fn sandbox_filter_of<'a>(
        &self,
        filter: &'a PodSandboxFilter,
    ) -> Result<impl Fn(&Pod) -> bool + 'a, Error> {
        let state = filter.state.as_ref().map(|wanted| wanted.state);
        self.sandbox_filter(&filter.id, state, &filter.label_selector)
    }

    /// A filter of pods by id, by state if one is given, and by labels.
    pub(super) fn sandbox_filter<'a>(
        &self,
        id: &str,
        state: Option<EnumOrUnknown<PodSandboxState>>,
        selector: &'a HashMap<String, String>,
    ) -> Result<impl Fn(&Pod) -> bool + use<'a>, Error> {
        let wanted = self.wanted_sandbox(id)?;
        Ok(move |pod: &Pod| {
            let is_in = |state| sandbox_state(pod.phase()).map(EnumOrUnknown::new) == Some(state);
            state.is_none_or(is_in)
                && wanted.fits(&pod.sandbox.id)
                && labels_fit(&pod.sandbox.labels, selector)
        })
    }

    /// What a filter's sandbox id means.
    pub(super) fn wanted_sandbox(&self, id: &str) -> Result<Wanted<SandboxId>, Error> {
        Ok(Wanted::from_lookup(id, self.find_sandbox(id)?))
    }

    /// A list that fits into one message.
    pub(super) fn fitting<T: Listed>(&self, items: Vec<T>, what: &str) -> Result<Vec<T>, Error> {
        list_size::fitting(items, what, self.config.cri.max_message_bytes)
    }

    /// Pods that are not removed, the latest first; those that a filter lets through.
    pub(super) fn pods_where(&self, fits: impl Fn(&Pod) -> bool) -> Vec<Arc<Pod>> {
        if let Some(whole) = self.current(&self.all_sandboxes) {
            let fitting = whole.items().iter().filter(|pod| fits(pod));
            return fitting.cloned().collect();
        }
        let mut pods = self.store.pods();
        pods.retain(|pod| sandbox_state(pod.phase()).is_some() && fits(pod));
        pods.sort_by_key(|pod| std::cmp::Reverse(pod.sandbox.created_at));
        pods
    }
}

fn write(fields: &mut Fields<'_>, pod: &Arc<Pod>) {
    listed::sandbox(fields, pod);
}
