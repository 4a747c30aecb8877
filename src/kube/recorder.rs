//! Events about pods, as `kubectl describe pod` shows them.

use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use parking_lot::Mutex;

use super::{
    client::Client,
    error::Error,
    event::{EventType, Occurrence, PodRef},
    event_limit::{EventLimit, Planned},
    time,
};
use crate::model::Nanos;

/// Who reports.
const COMPONENT: &str = "interlink-cri";

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The API server has a new one.
    Created,
    /// One that was there has this new count.
    Counted(i32),
    /// Nothing was sent: the pod has used up its events for now.
    Dropped,
}

/// Posts events, and no more of them than client-go's recorder would: identical ones are counted, and
/// a pod has 25 at once and one more each 5 minutes (see `event_limit`). All of this is in memory:
/// after a restart it begins anew.
#[derive(Debug)]
pub struct Recorder {
    node: String,
    limit: Mutex<EventLimit>,
}

impl Recorder {
    /// For the events of one node.
    pub fn new(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            limit: Mutex::new(EventLimit::new()),
        }
    }

    /// Posts an event. `reason` is one word in UpperCamelCase, for machines; `message` is for
    /// people, and is cut to 1024 bytes.
    ///
    /// Nothing is tried twice: an event that is lost is lost, but for its count, which the next
    /// identical one carries on.
    ///
    /// # Errors
    /// No answer, or a refusal; also for a namespace that is being deleted.
    pub fn record(
        &self,
        client: &Client,
        pod: &PodRef,
        kind: EventType,
        reason: &str,
        message: &str,
        now: Nanos,
    ) -> Result<Recorded, Error> {
        let it = Occurrence {
            pod,
            kind,
            reason,
            message,
        };
        let planned = self.limit.lock().admit(&it, now);
        let Some(planned) = planned else {
            log::debug!(
                namespace = pod.namespace, pod = pod.name, reason;
                "an event is dropped: the pod has used up its events for now"
            );
            return Ok(Recorded::Dropped);
        };
        if planned.count > 1 {
            let (place, name) = (&pod.namespace, &planned.name);
            match client.patch_event(place, name, planned.count, now, &planned.message) {
                Ok(()) => return Ok(Recorded::Counted(planned.count)),
                // It has expired, or was never created.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        match client.create_event(&self.event(&it, planned, now)) {
            Ok(()) => Ok(Recorded::Created),
            // A call whose answer was lost had created it.
            Err(error) if error.is_conflict() => Ok(Recorded::Created),
            Err(error) => Err(error),
        }
    }

    fn event(&self, it: &Occurrence, planned: Planned, now: Nanos) -> Event {
        let pod = it.pod;
        Event {
            metadata: ObjectMeta {
                name: Some(planned.name),
                namespace: Some(pod.namespace.clone()),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                kind: Some("Pod".to_owned()),
                api_version: Some("v1".to_owned()),
                namespace: Some(pod.namespace.clone()),
                name: Some(pod.name.clone()),
                uid: Some(pod.uid.clone()),
                ..ObjectReference::default()
            },
            type_: Some(it.kind.as_str().to_owned()),
            reason: Some(it.reason.to_owned()),
            message: Some(planned.message),
            count: Some(planned.count),
            first_timestamp: Some(time(planned.first)),
            last_timestamp: Some(time(now)),
            source: Some(EventSource {
                component: Some(COMPONENT.to_owned()),
                host: Some(self.node.clone()),
            }),
            reporting_component: Some(COMPONENT.to_owned()),
            reporting_instance: Some(self.node.clone()),
            ..Event::default()
        }
    }
}
