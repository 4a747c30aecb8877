//! `ListPodSandbox` and `StreamPodSandboxes`.

use std::{collections::HashMap, sync::Arc};

use protobuf::EnumOrUnknown;

use super::{
    encode::Fields,
    filter::{is_all, labels_fit, sandbox_state},
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
        let make = || {
            let pods = self.sandboxes(&request.filter)?;
            listed::list(
                &pods,
                write,
                self.config.cri.max_message_bytes,
                ("pod sandboxes", |list: &mut ListPodSandboxResponse| {
                    &mut list.items
                }),
            )
        };
        self.kept_or_made(&self.all_sandboxes, is_all(&*request.filter), make)
    }

    pub(super) fn stream_pod_sandboxes(
        &self,
        request: &StreamPodSandboxesRequest,
    ) -> Result<Replies<Encoded<StreamPodSandboxesResponse>>, Error> {
        Ok(listed::stream(self.sandboxes(&request.filter)?, write))
    }

    fn sandboxes(&self, filter: &PodSandboxFilter) -> Result<Vec<Arc<Pod>>, Error> {
        let mut pods = self.pods_where(&filter.id, &filter.label_selector)?;
        if let Some(wanted) = filter.state.as_ref() {
            let state = |pod: &Pod| sandbox_state(pod.phase()).map(EnumOrUnknown::new);
            pods.retain(|pod| state(pod) == Some(wanted.state));
        }
        Ok(pods)
    }

    /// A list that fits into one message.
    pub(super) fn fitting<T: Listed>(&self, items: Vec<T>, what: &str) -> Result<Vec<T>, Error> {
        list_size::fitting(items, what, self.config.cri.max_message_bytes)
    }

    /// Pods that are not removed, the latest first, as far as id and labels fit.
    pub(super) fn pods_where(
        &self,
        id: &str,
        selector: &HashMap<String, String>,
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

fn write(fields: &mut Fields<'_>, pod: &Arc<Pod>) {
    listed::sandbox(fields, pod);
}
