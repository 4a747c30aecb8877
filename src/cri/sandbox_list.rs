//! `ListPodSandbox` and `StreamPodSandboxes`.

use std::sync::Arc;

use protobuf::{EnumOrUnknown, MessageField};

use super::{
    call::in_parts,
    filter::{labels_fit, sandbox_state},
    list_size::{self, Listed},
    sandbox_status::metadata,
    CriContext, Error,
};
use crate::{
    model::Pod,
    proto::{
        ListPodSandboxRequest, ListPodSandboxResponse, PodSandbox, PodSandboxFilter,
        PodSandboxState, Replies, StreamPodSandboxesRequest, StreamPodSandboxesResponse,
    },
};

impl CriContext {
    pub(super) fn list_pod_sandbox(
        &self,
        request: &ListPodSandboxRequest,
    ) -> Result<ListPodSandboxResponse, Error> {
        let items = self.fitting(self.sandboxes(&request.filter)?, "pod sandboxes")?;
        Ok(ListPodSandboxResponse {
            items,
            ..Default::default()
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
        Ok(in_parts(self.sandboxes(&request.filter)?, message))
    }

    fn sandboxes(&self, filter: &PodSandboxFilter) -> Result<Vec<PodSandbox>, Error> {
        let pods = self.pods_where(&filter.id, &filter.label_selector)?;
        let wanted = filter.state.as_ref().map(|value| value.state);
        let item = |pod: &Arc<Pod>| sandbox_state(pod.phase()).map(|state| item(pod, state));
        Ok(pods
            .iter()
            .filter_map(item)
            .filter(|item| wanted.is_none_or(|wanted| wanted == item.state))
            .collect())
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

fn item(pod: &Pod, state: PodSandboxState) -> PodSandbox {
    let sandbox = &pod.sandbox;
    PodSandbox {
        id: sandbox.id.to_string(),
        metadata: MessageField::some(metadata(pod)),
        state: EnumOrUnknown::new(state),
        created_at: sandbox.created_at.0,
        labels: sandbox.labels.clone().into_iter().collect(),
        annotations: sandbox.annotations.clone().into_iter().collect(),
        runtime_handler: sandbox.runtime_handler.clone(),
        ..Default::default()
    }
}
