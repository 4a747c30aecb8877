//! Every filter of the list calls; the streaming twins give the same.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use crate::support::{code, container, options, sandbox, Cri, Daemon};
use futures_executor::block_on;
use futures_util::TryStreamExt as _;
use interlink_cri::proto::{
    ContainerFilter, ContainerState, ContainerStateValue, ListContainerStatsRequest,
    ListContainersRequest, ListImagesRequest, ListPodSandboxRequest, ListPodSandboxStatsRequest,
    PodSandboxFilter, PodSandboxState, PodSandboxStateValue, StreamContainerStatsRequest,
    StreamContainersRequest, StreamImagesRequest, StreamPodSandboxStatsRequest,
    StreamPodSandboxesRequest,
};
use protobuf::{EnumOrUnknown, MessageField};

struct Fixture {
    cri: Cri,
    ready: String,
    stopped: String,
    created: String,
    running: String,
    exited: String,
    _daemon: Daemon,
}

fn fixture() -> Fixture {
    let mut daemon = Daemon::prepare("");
    daemon.run();
    let cri = daemon.cri();
    let (ready, stopped) = (cri.run(&sandbox("ready")), cri.run(&sandbox("stopped")));
    let labelled = |name: &str| {
        let mut config = container(name, &["true"]);
        config.labels.insert("role".into(), name.into());
        config
    };
    let created = cri.create(&ready, &labelled("created"));
    let running = cri.launch(&ready, &labelled("running"));
    let exited = cri.launch(&stopped, &labelled("exited"));
    cri.stop_sandbox(&stopped);
    Fixture {
        cri,
        ready,
        stopped,
        created,
        running,
        exited,
        _daemon: daemon,
    }
}

fn sandboxes(cri: &Cri, filter: PodSandboxFilter) -> Vec<String> {
    let filter = MessageField::some(filter);
    let request = ListPodSandboxRequest {
        filter: filter.clone(),
        ..Default::default()
    };
    let list = || {
        let list = cri.runtime.list_pod_sandbox(&request, options());
        list.expect("a list").items
    };
    let first = list();
    all_sandboxes(cri);
    let list = list();
    assert_eq!(list, first, "made, and copied from the list of all");
    let request = StreamPodSandboxesRequest {
        filter,
        ..Default::default()
    };
    let stream = cri
        .runtime
        .stream_pod_sandboxes(&request, options())
        .expect("a stream");
    let parts: Vec<_> = block_on(stream.try_collect()).expect("parts");
    let streamed: Vec<_> = parts
        .into_iter()
        .flat_map(|part| part.pod_sandboxes)
        .collect();
    assert_eq!(list, streamed, "the twins agree");
    list.into_iter().map(|item| item.id).collect()
}

fn containers(cri: &Cri, filter: ContainerFilter) -> Vec<String> {
    let filter = MessageField::some(filter);
    let request = ListContainersRequest {
        filter: filter.clone(),
        ..Default::default()
    };
    let list = || {
        let list = cri.runtime.list_containers(&request, options());
        list.expect("a list").containers
    };
    let first = list();
    all_containers(cri);
    let list = list();
    assert_eq!(list, first, "made, and copied from the list of all");
    let request = StreamContainersRequest {
        filter,
        ..Default::default()
    };
    let stream = cri
        .runtime
        .stream_containers(&request, options())
        .expect("a stream");
    let parts: Vec<_> = block_on(stream.try_collect()).expect("parts");
    let streamed: Vec<_> = parts.into_iter().flat_map(|part| part.containers).collect();
    assert_eq!(list, streamed, "the twins agree");
    list.into_iter().map(|item| item.id).collect()
}

fn selector(key: &str, value: &str) -> HashMap<String, String> {
    HashMap::from([(key.to_owned(), value.to_owned())])
}

#[test]
fn sandboxes_by_id_state_and_labels() {
    let f = fixture();
    let state = |state| {
        let state = EnumOrUnknown::new(state);
        MessageField::some(PodSandboxStateValue {
            state,
            ..Default::default()
        })
    };
    let all = sandboxes(&f.cri, PodSandboxFilter::default());
    assert_eq!(
        all,
        [f.stopped.clone(), f.ready.clone()],
        "the latest first"
    );
    let rows = [
        (
            "by id",
            PodSandboxFilter {
                id: f.ready.clone(),
                ..Default::default()
            },
            vec![&f.ready],
        ),
        (
            "by the beginning of an id",
            PodSandboxFilter {
                id: f.ready[..13].into(),
                ..Default::default()
            },
            vec![&f.ready],
        ),
        (
            "unknown id",
            PodSandboxFilter {
                id: "nothing".into(),
                ..Default::default()
            },
            vec![],
        ),
        (
            "ready",
            PodSandboxFilter {
                state: state(PodSandboxState::SANDBOX_READY),
                ..Default::default()
            },
            vec![&f.ready],
        ),
        (
            "not ready",
            PodSandboxFilter {
                state: state(PodSandboxState::SANDBOX_NOTREADY),
                ..Default::default()
            },
            vec![&f.stopped],
        ),
        (
            "by label",
            PodSandboxFilter {
                label_selector: selector("app", "ready"),
                ..Default::default()
            },
            vec![&f.ready],
        ),
        (
            "all of it must fit",
            PodSandboxFilter {
                id: f.ready.clone(),
                label_selector: selector("app", "stopped"),
                ..Default::default()
            },
            vec![],
        ),
    ];
    for (name, filter, want) in rows {
        assert_eq!(
            sandboxes(&f.cri, filter).iter().collect::<Vec<_>>(),
            want,
            "{name}"
        );
    }
}

#[test]
fn containers_by_id_sandbox_state_and_labels() {
    let f = fixture();
    let state = |state| {
        let state = EnumOrUnknown::new(state);
        MessageField::some(ContainerStateValue {
            state,
            ..Default::default()
        })
    };
    assert_eq!(containers(&f.cri, ContainerFilter::default()).len(), 3);
    let rows = [
        (
            "by id",
            ContainerFilter {
                id: f.running.clone(),
                ..Default::default()
            },
            vec![&f.running],
        ),
        (
            "unknown id",
            ContainerFilter {
                id: "nothing".into(),
                ..Default::default()
            },
            vec![],
        ),
        (
            "by sandbox",
            ContainerFilter {
                pod_sandbox_id: f.stopped.clone(),
                ..Default::default()
            },
            vec![&f.exited],
        ),
        (
            "unknown sandbox",
            ContainerFilter {
                pod_sandbox_id: "nothing".into(),
                ..Default::default()
            },
            vec![],
        ),
        (
            "created",
            ContainerFilter {
                state: state(ContainerState::CONTAINER_CREATED),
                ..Default::default()
            },
            vec![&f.created],
        ),
        (
            "exited",
            ContainerFilter {
                state: state(ContainerState::CONTAINER_EXITED),
                ..Default::default()
            },
            vec![&f.exited],
        ),
        (
            "by label",
            ContainerFilter {
                label_selector: selector("role", "running"),
                ..Default::default()
            },
            vec![&f.running],
        ),
        (
            "all of it must fit",
            ContainerFilter {
                pod_sandbox_id: f.ready.clone(),
                label_selector: selector("role", "exited"),
                ..Default::default()
            },
            vec![],
        ),
    ];
    for (name, filter, want) in rows {
        assert_eq!(
            containers(&f.cri, filter).iter().collect::<Vec<_>>(),
            want,
            "{name}"
        );
    }
}

#[test]
fn stats_and_images_have_their_twins_too() {
    let f = fixture();
    let list = f
        .cri
        .runtime
        .list_container_stats(&ListContainerStatsRequest::default(), options());
    let list = list.expect("stats").stats;
    assert_eq!(list.len(), 1, "only what runs");
    assert_eq!(list[0].attributes.id, f.running);
    assert!(list[0].cpu.timestamp > 0 && list[0].memory.timestamp > 0);
    let stream = f
        .cri
        .runtime
        .stream_container_stats(&StreamContainerStatsRequest::default(), options());
    let parts: Vec<_> = block_on(stream.expect("a stream").try_collect()).expect("parts");
    assert_eq!(parts[0].container_stats[0].attributes, list[0].attributes);

    let list = f
        .cri
        .runtime
        .list_pod_sandbox_stats(&ListPodSandboxStatsRequest::default(), options());
    let list = list.expect("stats").stats;
    assert!(list
        .iter()
        .all(|stats| stats.attributes.is_some() && stats.linux.is_some()));
    let stream = f
        .cri
        .runtime
        .stream_pod_sandbox_stats(&StreamPodSandboxStatsRequest::default(), options());
    let parts: Vec<_> = block_on(stream.expect("a stream").try_collect()).expect("parts");
    assert_eq!(parts[0].pod_sandbox_stats.len(), list.len());

    let list = f
        .cri
        .images
        .list_images(&ListImagesRequest::default(), options());
    let list = list.expect("images").images;
    let stream = f
        .cri
        .images
        .stream_images(&StreamImagesRequest::default(), options());
    let parts: Vec<_> = block_on(stream.expect("a stream").try_collect()).expect("parts");
    assert_eq!(parts[0].images, list);
    assert_eq!(list[0].repo_tags, ["docker.io/library/busybox:1.36"]);
}

#[test]
fn an_ambiguous_id_is_refused() {
    let f = fixture();
    for number in 0..17 {
        f.cri.run(&sandbox(&format!("more-{number}")));
    }
    let all = sandboxes(&f.cri, PodSandboxFilter::default());
    let shared = all
        .iter()
        .map(|id| &id[..1])
        .find(|first| all.iter().filter(|id| id.starts_with(first)).count() > 1);
    let filter = PodSandboxFilter {
        id: shared.expect("19 ids").into(),
        ..Default::default()
    };
    let request = ListPodSandboxRequest {
        filter: MessageField::some(filter),
        ..Default::default()
    };
    let refused = code(f.cri.runtime.list_pod_sandbox(&request, options()));
    assert_eq!(refused.0, grpcio::RpcStatusCode::INVALID_ARGUMENT);
}

fn all_sandboxes(cri: &Cri) -> Vec<String> {
    let request = ListPodSandboxRequest::default();
    let list = cri.runtime.list_pod_sandbox(&request, options());
    let list = list.expect("a list").items;
    list.into_iter().map(|one| one.id).collect()
}

fn all_containers(cri: &Cri) -> Vec<String> {
    ids_of(cri, &ListContainersRequest::default())
}

fn ids_of(cri: &Cri, request: &ListContainersRequest) -> Vec<String> {
    let list = cri.runtime.list_containers(request, options());
    let list = list.expect("a list").containers;
    list.into_iter().map(|one| one.id).collect()
}

fn in_state(cri: &Cri, state: ContainerState) -> Vec<String> {
    let filter = ContainerFilter {
        state: MessageField::some(ContainerStateValue {
            state: EnumOrUnknown::new(state),
            ..Default::default()
        }),
        ..Default::default()
    };
    let request = ListContainersRequest {
        filter: MessageField::some(filter),
        ..Default::default()
    };
    ids_of(cri, &request)
}

/// A list of all is kept until something changes, and parts of it are copied from there; no client may get one from
/// before what it was told.
#[test]
fn what_was_answered_shows_in_the_next_list() {
    let mut daemon = Daemon::prepare("");
    daemon.run();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (daemon, is_over) = (&daemon, &is_over);
        for _ in 0..2 {
            scope.spawn(move || {
                let cri = daemon.cri();
                while !is_over.load(Ordering::Relaxed) {
                    all_sandboxes(&cri);
                    all_containers(&cri);
                }
            });
        }
        let changing: Vec<_> = (0..4)
            .map(|client| {
                scope.spawn(move || {
                    let cri = daemon.cri();
                    for number in 0..25 {
                        let mut config = sandbox(&format!("pod-{client}-{number}"));
                        config.metadata.mut_or_insert_default().uid =
                            format!("uid-{client}-{number}");
                        let pod = cri.run(&config);
                        let all = all_sandboxes(&cri);
                        assert!(all.contains(&pod), "was made");
                        let id = cri.create(&pod, &container("main", &["true"]));
                        let all = all_containers(&cri);
                        assert!(all.contains(&id), "was created");
                        let created = in_state(&cri, ContainerState::CONTAINER_CREATED);
                        assert!(created.contains(&id), "was created");
                        cri.start(&id);
                        let created = in_state(&cri, ContainerState::CONTAINER_CREATED);
                        assert!(!created.contains(&id), "was started");
                        cri.remove_sandbox(&pod);
                        let all = all_containers(&cri);
                        assert!(!all.contains(&id), "is gone");
                    }
                })
            })
            .collect();
        let ends: Vec<_> = changing.into_iter().map(|client| client.join()).collect();
        is_over.store(true, Ordering::Relaxed);
        for end in ends {
            end.expect("each list shows what was answered");
        }
    });
}
