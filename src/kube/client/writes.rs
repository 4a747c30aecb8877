//! What is written to the API server: events, a condition of a pod, and what a node offers.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Event, PodCondition},
    apimachinery::pkg::api::resource::Quantity,
};
use serde::Serialize;
use serde_json::json;
use ureq::http::Method;

use super::{
    transport::{Outgoing, JSON},
    Client,
};
use crate::{
    kube::{
        checked_name::{namespace, subdomain},
        error::Error,
        time,
    },
    model::Nanos,
};

/// A merge that knows lists by a key of their items: other conditions of a pod stay
/// (k8s.io/apimachinery/pkg/types/patch.go).
const STRATEGIC_MERGE: &str = "application/strategic-merge-patch+json";
/// Single changes, each by its place (RFC 6902).
const JSON_PATCH: &str = "application/json-patch+json";

impl Client {
    /// Creates an event in the namespace that it names.
    ///
    /// # Errors
    /// No answer, or a refusal; [`Error::is_conflict`] when there is one of this name.
    pub fn create_event(&self, event: &Event) -> Result<(), Error> {
        let place = event.metadata.namespace.as_deref().unwrap_or_default();
        let place = namespace(place)?;
        let name = event.metadata.name.as_deref().unwrap_or_default();
        let call = format!("creating event {place}/{}", subdomain("event", name)?);
        self.transport
            .call(&Outgoing {
                method: Method::POST,
                path: format!("/api/v1/namespaces/{place}/events"),
                body: Some((JSON, write(&call, event)?)),
                call,
            })
            .map(drop)
    }

    /// Counts an event once more.
    ///
    /// # Errors
    /// No answer, or a refusal; [`Error::is_not_found`] when the event is gone, as it is after an
    /// hour by default (the API server's --event-ttl).
    pub fn patch_event(
        &self,
        in_namespace: &str,
        name: &str,
        count: i32,
        last_timestamp: Nanos,
        message: &str,
    ) -> Result<(), Error> {
        let place = namespace(in_namespace)?;
        let name = subdomain("event", name)?;
        let patch = json!({
            "count": count,
            "lastTimestamp": time(last_timestamp),
            "message": message,
        });
        self.patch(
            format!("changing event {place}/{name}"),
            format!("/api/v1/namespaces/{place}/events/{name}"),
            &patch,
        )
    }

    /// Sets one condition in a pod's status; the others stay. `uid` is `metadata.uid`: of a
    /// static pod, that of its mirror pod.
    ///
    /// # Errors
    /// No answer, or a refusal; [`Error::is_conflict`] when the pod of this name has another UID.
    pub fn patch_pod_condition(
        &self,
        in_namespace: &str,
        name: &str,
        uid: &str,
        condition: &PodCondition,
    ) -> Result<(), Error> {
        let place = namespace(in_namespace)?;
        let name = subdomain("pod", name)?;
        let patch = json!({
            "metadata": {"uid": uid},
            "status": {"conditions": [condition]},
        });
        self.patch(
            format!("setting a condition of pod {place}/{name}"),
            format!("/api/v1/namespaces/{place}/pods/{name}/status"),
            &patch,
        )
    }

    /// Sets amounts in a node's `status.capacity`; the others stay. The kubelet's own updates leave them
    /// alone, and copy them to `status.allocatable` (`MachineInfo` in pkg/kubelet/nodestatus).
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn set_node_capacity(
        &self,
        name: &str,
        amounts: &BTreeMap<String, Quantity>,
    ) -> Result<(), Error> {
        let name = subdomain("node", name)?;
        let operations: Vec<_> = amounts
            .iter()
            .map(|(resource, amount)| {
                // RFC 6901.
                let key = resource.replace('~', "~0").replace('/', "~1");
                json!({"op": "add", "path": format!("/status/capacity/{key}"), "value": amount})
            })
            .collect();
        let call = format!("setting the capacity of node {name}");
        self.transport
            .call(&Outgoing {
                method: Method::PATCH,
                path: format!("/api/v1/nodes/{name}/status"),
                body: Some((JSON_PATCH, write(&call, &operations)?)),
                call,
            })
            .map(drop)
    }

    /// Sets labels and annotations of a node; the others stay.
    ///
    /// # Errors
    /// No answer, or a refusal: NodeRestriction lets a node set few labels of Kubernetes' own.
    pub fn set_node_metadata(
        &self,
        name: &str,
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let name = subdomain("node", name)?;
        self.patch(
            format!("setting labels and annotations of node {name}"),
            format!("/api/v1/nodes/{name}"),
            &json!({"metadata": {"labels": labels, "annotations": annotations}}),
        )
    }

    fn patch(&self, call: String, path: String, patch: &impl Serialize) -> Result<(), Error> {
        self.transport
            .call(&Outgoing {
                method: Method::PATCH,
                path,
                body: Some((STRATEGIC_MERGE, write(&call, patch)?)),
                call,
            })
            .map(drop)
    }
}

fn write(call: &str, body: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(body).map_err(|error| Error::Malformed {
        call: call.to_owned(),
        why: format!("the request cannot be written: {error}"),
    })
}
