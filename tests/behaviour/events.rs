//! `GetContainerEvents`: what happens, in order, to any number of subscribers.

use crate::support::{container, options, sandbox, wait_for, Cri, Daemon};
use futures_executor::block_on;
use futures_util::StreamExt as _;
use grpcio::CallOption;
use interlink_cri::proto::{
    ContainerEventResponse, ContainerEventType, GetEventsRequest, RemoveContainerRequest,
};

fn daemon() -> (Daemon, Cri) {
    let mut daemon = Daemon::prepare("[cri]\nevent_backlog = 64");
    daemon.run();
    let cri = daemon.cri();
    (daemon, cri)
}

/// How many subscribers the daemon counts.
fn subscribers(daemon: &Daemon) -> u64 {
    let socket = daemon.socket().display().to_string();
    let (_, text, _) = crate::support::command(&["status", "--socket", &socket, "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    value["info"]["daemon"]["eventSubscribers"]
        .as_u64()
        .expect("a number")
}

#[test]
fn each_transition_is_told_once_and_in_order_to_everybody() {
    use ContainerEventType as Type;
    let (daemon, cri) = daemon();
    let mut streams: Vec<_> = (0..20)
        .map(|_| {
            let request = GetEventsRequest::default();
            cri.runtime
                .get_container_events(&request, CallOption::default())
                .expect("a stream")
        })
        .collect();
    wait_for("all are known", || {
        (subscribers(&daemon) == 20).then_some(())
    });
    let pod = cri.run(&sandbox("told"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    cri.stop(&id);
    let request = RemoveContainerRequest {
        container_id: id.clone(),
        ..Default::default()
    };
    cri.runtime
        .remove_container(&request, options())
        .expect("removed");
    cri.remove_sandbox(&pod);
    let want = [
        (Type::CONTAINER_CREATED_EVENT, &pod),
        (Type::CONTAINER_STARTED_EVENT, &pod),
        (Type::CONTAINER_CREATED_EVENT, &id),
        (Type::CONTAINER_STARTED_EVENT, &id),
        (Type::CONTAINER_STOPPED_EVENT, &id),
        (Type::CONTAINER_DELETED_EVENT, &id),
        (Type::CONTAINER_STOPPED_EVENT, &pod),
        (Type::CONTAINER_DELETED_EVENT, &pod),
    ];
    for stream in &mut streams {
        let events: Vec<ContainerEventResponse> = block_on(
            stream
                .take(want.len())
                .map(|event| event.expect("an event"))
                .collect(),
        );
        for (event, (kind, id)) in events.iter().zip(want) {
            assert_eq!(
                (event.container_event_type, &event.container_id),
                (kind.into(), id)
            );
            assert!(event.created_at > 0);
            let metadata = &event.pod_sandbox_status.metadata;
            assert_eq!(
                metadata.name, "told",
                "the kubelet ignores an event without"
            );
        }
    }
    drop(streams);
}

#[test]
fn who_does_not_read_holds_up_nobody_and_is_cut_off() {
    let (daemon, cri) = daemon();
    let request = GetEventsRequest::default();
    let stream = cri
        .runtime
        .get_container_events(&request, CallOption::default());
    let _unread = stream.expect("a stream");
    wait_for("it is known", || (subscribers(&daemon) == 1).then_some(()));
    let mut number = 0;
    wait_for("it is cut off", || {
        for _ in 0..50 {
            number += 1;
            let mut config = sandbox(&format!("pod-{number}"));
            // Events carry the pod, so large pods fill the way sooner.
            config
                .annotations
                .insert("filler".into(), "x".repeat(20_000));
            let id = cri.run(&config);
            cri.remove_sandbox(&id);
        }
        daemon.log().contains("too far behind").then_some(())
    });
    assert_eq!(subscribers(&daemon), 0);
}
