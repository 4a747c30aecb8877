//! `GetContainerEvents`: everything that happens from the call on, to any number of subscribers.

use std::sync::Arc;

use futures_channel::mpsc;
use futures_util::{future::ready, StreamExt as _};
use parking_lot::Mutex;
use protobuf::{EnumOrUnknown, MessageField};

use super::{container_status, list_size::fitting, sandbox_status, CriContext, Error};
use crate::{
    daemon_log::Scope,
    proto::{ContainerEventResponse, ContainerEventType, GetEventsRequest, Replies},
    store::{Delivery, Event, EventKind},
    telemetry::chain,
};

impl CriContext {
    pub(super) fn get_container_events(
        &self,
        _: &GetEventsRequest,
    ) -> Result<Replies<ContainerEventResponse>, Error> {
        let (sender, receiver) = mpsc::channel::<Arc<Event>>(self.config.cri.event_backlog);
        // One sender for all events: every clone of it would add a place to the channel.
        let sender = Mutex::new(sender);
        let deliver = move |event: &Event| match sender.lock().try_send(Arc::new(event.clone())) {
            Ok(()) => Delivery::Taken,
            Err(error) if error.is_full() => Delivery::Behind,
            Err(_) => Delivery::Gone,
        };
        let alive = Arc::new(());
        self.store.subscribe(Box::new(deliver), &alive);
        let limit = self.config.cri.max_message_bytes;
        let replies = receiver.filter_map(move |event| {
            // Held for as long as the stream is.
            let _ = &alive;
            // One that cannot be sent would end the stream. The kubelet asks for the lists, too.
            let _scope = Scope::of_pod(&event.pod);
            let fits = fitting(vec![response(&event)], "statuses of one pod", limit);
            let event = fits
                .inspect_err(|error| log::error!(error = chain(error); "an event is left out"))
                .ok();
            ready(event.and_then(|mut one| one.pop()))
        });
        Ok(replies.boxed())
    }
}

fn response(event: &Event) -> ContainerEventResponse {
    let kind = match event.kind {
        EventKind::Created => ContainerEventType::CONTAINER_CREATED_EVENT,
        EventKind::Started => ContainerEventType::CONTAINER_STARTED_EVENT,
        EventKind::Stopped => ContainerEventType::CONTAINER_STOPPED_EVENT,
        EventKind::Deleted => ContainerEventType::CONTAINER_DELETED_EVENT,
    };
    let pod = &event.pod;
    let statuses = pod
        .containers
        .iter()
        .map(|entry| container_status::status(pod, entry));
    ContainerEventResponse {
        container_id: event.id.clone(),
        container_event_type: EnumOrUnknown::new(kind),
        // The kubelet drops events that are older than what it knows, and those without the metadata
        // of their pod (`processCRIEvents` in pkg/kubelet/pleg/evented.go).
        created_at: event.at.0,
        pod_sandbox_status: MessageField::some(sandbox_status::status(pod)),
        containers_statuses: statuses.collect(),
        ..Default::default()
    }
}
