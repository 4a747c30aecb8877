//! `ListPodSandbox` and `StreamPodSandboxes`.

use std::sync::Arc;

use protobuf::{EnumOrUnknown, Message};

use super::{
    call::in_parts,
    filter::{labels_fit, sandbox_state},
    list_size::{self, Listed},
    listed, CriContext, Error,
};
use crate::{
    model::Pod,
    proto::{
        Encoded, ListPodSandboxRequest, ListPodSandboxResponse, PodSandboxFilter, Replies,
        StreamPodSandboxesRequest, StreamPodSandboxesResponse,
    },
};

impl CriContext {
    pub(super) fn list_pod_sandbox(
        &self,
        request: &ListPodSandboxRequest,
    ) -> Result<Encoded<ListPodSandboxResponse>, Error> {
        let pods = self.sandboxes(&request.filter)?;
        self.encoded(pods.iter().map(|pod| listed::sandbox(pod)), || {
            let items = pods
                .iter()
                .filter_map(|pod| listed::sandbox_item(pod))
                .collect();
            Ok(ListPodSandboxResponse {
                items: self.fitting(items, "pod sandboxes")?,
                ..Default::default()
            })
        })
    }

    pub(super) fn stream_pod_sandboxes(
        &self,
        request: &StreamPodSandboxesRequest,
    ) -> Result<Replies<StreamPodSandboxesResponse>, Error> {
        let message = |pod_sandboxes| StreamPodSandboxesResponse {
            pod_sandboxes,
            ..Default::default()
        };
        let pods = self.sandboxes(&request.filter)?;
        Ok(in_parts(
            pods.iter()
                .filter_map(|pod| listed::sandbox_item(pod))
                .collect(),
            message,
        ))
    }

    fn sandboxes(&self, filter: &PodSandboxFilter) -> Result<Vec<Arc<Pod>>, Error> {
        let mut pods = self.pods_where(&filter.id, &filter.label_selector)?;
        if let Some(wanted) = filter.state.as_ref() {
            let state = |pod: &Pod| sandbox_state(pod.phase()).map(EnumOrUnknown::new);
            pods.retain(|pod| state(pod) == Some(wanted.state));
        }
        Ok(pods)
    }

    /// A list put together from encoded items; what `cut` makes of it where they do not fit into a
    /// message.
    pub(super) fn encoded<'a, T: Message>(
        &self,
        items: impl Iterator<Item = &'a [u8]> + Clone,
        cut: impl FnOnce() -> Result<T, Error>,
    ) -> Result<Encoded<T>, Error> {
        let total: usize = items.clone().map(<[u8]>::len).sum();
        if total as u64 + list_size::MARGIN <= self.config.cri.max_message_bytes as u64 {
            let mut bytes = Vec::with_capacity(total);
            items.for_each(|item| bytes.extend_from_slice(item));
            return Ok(Encoded::new(bytes));
        }
        let list = cut()?;
        Encoded::encode(&list).map_err(|error| Error::Internal(format!("the list: {error}")))
    }

    /// A list that fits into one message.
    pub(super) fn fitting<T: Listed>(&self, items: Vec<T>, what: &str) -> Result<Vec<T>, Error> {
        list_size::fitting(items, what, self.config.cri.max_message_bytes)
    }

    /// Pods that are not removed, the latest first, as far as id and labels fit.
    pub(super) fn pods_where(
        &self,
        id: &str,
        selector: &std::collections::HashMap<String, String>,
    ) -> Result<Vec<Arc<Pod>>, Error> {
        let wanted = self.wanted_sandbox(id)?;
        let mut pods = self.store.pods();
        pods.retain(|pod| {
            sandbox_state(pod.phase()).is_some()
                && wanted.fits(&pod.sandbox.id)
                && labels_fit(&pod.sandbox.labels, selector)
        });
        pods.sort_by_key(|pod| std::cmp::Reverse(pod.sandbox.created_at));
        Ok(pods)
    }
}
