//! Many clients, large messages, many containers, many subscribers: everything is answered, and
//! threads and descriptors come back to where they were.

use std::{collections::HashSet, fs, sync::Barrier, thread, time::Duration};

use crate::support::{code, container, options, sandbox, wait_for, Cri, Daemon};
use futures_executor::block_on;
use futures_util::StreamExt as _;
use grpcio::{CallOption, RpcStatusCode};
use interlink_cri::proto::{
    GetEventsRequest, ImageSpec, KeyValue, ListContainersRequest, ListImagesRequest,
    ListPodSandboxRequest, PodSandboxConfig, PodSandboxStatusRequest, PullImageRequest,
    RemovePodSandboxRequest, RunPodSandboxRequest, StreamContainersRequest,
    StreamPodSandboxesRequest, VersionRequest,
};
use protobuf::MessageField;

/// Threads that the C core of gRPC starts when it likes, a handful in all.
const CORE: [&str; 5] = [
    "event_engine",
    "default-exec",
    "resolver-exec",
    "timer_manager",
    "grpc_global",
];

/// Threads and descriptors of the daemon.
fn holds(daemon: &Daemon) -> (usize, usize) {
    let entries = |what: &str| {
        let path = format!("/proc/{}/{what}", daemon.pid());
        let entries = fs::read_dir(path).expect("it runs");
        entries.map(|entry| entry.expect("an entry").path())
    };
    let threads = entries("task").filter(|task| {
        // A thread may have ended meanwhile.
        let name = fs::read_to_string(task.join("comm")).unwrap_or_default();
        !CORE.iter().any(|core| name.starts_with(core))
    });
    (threads.count(), entries("fd").count())
}

/// Waits until the daemon holds no more than it did.
fn wait_until_it_holds(daemon: &Daemon, before: (usize, usize)) {
    wait_for("threads and descriptors are given back", || {
        let now = holds(daemon);
        let given_back = now.0 <= before.0 && now.1 <= before.1;
        given_back.then_some(())
    });
}

fn own(name: &str) -> PodSandboxConfig {
    let mut config = sandbox(name);
    config.metadata.mut_or_insert_default().uid = format!("uid-{name}");
    config
}

/// Tries until there is room for the call.
fn insist<T>(call: impl Fn() -> grpcio::Result<T>) -> T {
    loop {
        match call() {
            Ok(answer) => return answer,
            Err(grpcio::Error::RpcFailure(status))
                if status.code() == RpcStatusCode::RESOURCE_EXHAUSTED =>
            {
                thread::sleep(Duration::from_millis(20));
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn two_hundred_and_fifty_six_clients_are_all_served() {
    let mut daemon = Daemon::prepare("");
    daemon.run();
    let cri = daemon.cri();
    // Once, so that all threads are there.
    cri.remove_sandbox(&cri.run(&own("first")));
    let before = holds(&daemon);
    // A connection each, a thread for a few.
    let patient = || CallOption::default().timeout(Duration::from_secs(60));
    thread::scope(|scope| {
        for group in 0..16 {
            let daemon = &daemon;
            scope.spawn(move || {
                let clients: Vec<Cri> = (0..16).map(|_| daemon.cri()).collect();
                let mut ids = HashSet::new();
                for (number, cri) in clients.iter().enumerate() {
                    let config = own(&format!("pod-{group}-{number}"));
                    let request = RunPodSandboxRequest {
                        config: MessageField::some(config),
                        ..Default::default()
                    };
                    let answer = insist(|| cri.runtime.run_pod_sandbox(&request, patient()));
                    ids.insert(answer.pod_sandbox_id);
                }
                assert_eq!(ids.len(), 16);
                let all = insist(|| {
                    let all = ListPodSandboxRequest::default();
                    clients[0].runtime.list_pod_sandbox(&all, patient())
                });
                let listed: HashSet<_> = all.items.into_iter().map(|item| item.id).collect();
                assert!(ids.is_subset(&listed), "everybody's own is there");
                for (id, cri) in ids.iter().zip(&clients) {
                    let request = RemovePodSandboxRequest {
                        pod_sandbox_id: id.clone(),
                        ..Default::default()
                    };
                    insist(|| cri.runtime.remove_pod_sandbox(&request, patient()));
                }
            });
        }
    });
    let left = cri.runtime.list_pod_sandbox(&Default::default(), options());
    assert!(left.expect("a list").items.is_empty());
    wait_until_it_holds(&daemon, before);
}

fn with_note(name: &str, bytes: usize) -> RunPodSandboxRequest {
    let mut config = own(name);
    config.annotations.insert("note".into(), "x".repeat(bytes));
    RunPodSandboxRequest {
        config: MessageField::some(config),
        ..Default::default()
    }
}

/// With as much as an API server lets each of them have; all of them would be 18 MiB.
#[test]
fn seventy_pods_with_large_annotations_are_listed() {
    let mut daemon = Daemon::prepare("");
    daemon.run();
    let cri = daemon.cri();
    let mut ids = HashSet::new();
    for number in 0..70 {
        let request = with_note(&format!("pod-{number}"), 260_000);
        let answer = cri.runtime.run_pod_sandbox(&request, options());
        ids.insert(answer.expect("it is taken").pod_sandbox_id);
    }
    let listed = cri.runtime.list_pod_sandbox(&Default::default(), options());
    let listed = listed.expect("a list").items;
    assert!(listed
        .iter()
        .all(|pod| pod.annotations["note"].len() < 260_000));
    let listed: HashSet<_> = listed.into_iter().map(|pod| pod.id).collect();
    assert_eq!(listed, ids);
    let request = StreamPodSandboxesRequest::default();
    let stream = cri.runtime.stream_pod_sandboxes(&request, options());
    let parts: Vec<_> = block_on(stream.expect("a stream").collect());
    let streamed = parts
        .into_iter()
        .flat_map(|part| part.expect("a part").pod_sandboxes);
    let whole = streamed.filter(|pod| pod.annotations["note"].len() == 260_000);
    assert_eq!(whole.map(|pod| pod.id).collect::<HashSet<_>>(), ids);
    let refused = cri
        .runtime
        .run_pod_sandbox(&with_note("larger", 1 << 20), options());
    let (code, message) = code(refused);
    assert_eq!(code, RpcStatusCode::FAILED_PRECONDITION);
    assert!(message.contains("cri.max_metadata_bytes"), "{message}");
}

/// 110 pods, as many as a kubelet runs, each with as much as an API server lets it have, in namespaces that
/// have no more than their budget; beside them a tenant with one small pod.
#[test]
fn the_largest_legal_pods_leave_a_quiet_tenant_alone() {
    const LARGEST: usize = 256 << 10;
    let daemon = Daemon::start("http://127.0.0.1:1", "");
    let cri = daemon.cri();
    let note = || ("note".to_owned(), "x".repeat(LARGEST - 100));
    let mut loud = Vec::new();
    for number in 0..110 {
        let mut config = own(&format!("loud-{number}"));
        config.metadata.mut_or_insert_default().namespace = format!("loud-{}", number % 4);
        config.annotations.extend([note()]);
        let pod = cri.run(&config);
        let mut large = container("main", &["true"]);
        large.annotations.extend([note()]);
        large.envs.extend((0..400).map(|variable| KeyValue {
            key: format!("VARIABLE_{variable}"),
            value: "y".repeat(512).into(),
            ..Default::default()
        }));
        large.args = (0..100).map(|argument| argument.to_string()).collect();
        loud.push((pod.clone(), cri.launch(&pod, &large)));
    }
    let mut config = own("quiet");
    config.metadata.mut_or_insert_default().namespace = "quiet".to_owned();
    let quiet = cri.run(&config);
    let id = cri.launch(&quiet, &container("main", &["true"]));
    let pods = cri
        .runtime
        .list_pod_sandbox(&ListPodSandboxRequest::default(), options());
    let pods = pods.expect("all pods are listed").items;
    assert_eq!(pods.len(), 111);
    assert!(pods.iter().any(|pod| pod.id == quiet));
    let all = cri
        .runtime
        .list_containers(&ListContainersRequest::default(), options());
    let all = all.expect("all containers are listed").containers;
    assert_eq!(all.len(), 111);
    assert!(all.iter().any(|container| container.id == id));
    // Statuses have it whole.
    for (pod, container) in &loud {
        let request = PodSandboxStatusRequest {
            pod_sandbox_id: pod.clone(),
            ..Default::default()
        };
        let status = cri
            .runtime
            .pod_sandbox_status(&request, options())
            .expect("a status");
        assert_eq!(status.status.annotations["note"].len(), LARGEST - 100);
        assert_eq!(
            cri.status(container).annotations["note"].len(),
            LARGEST - 100
        );
    }
    cri.stop_sandbox(&quiet);
    cri.remove_sandbox(&quiet);
}

/// A kubelet sends along the annotations of the pod that wants the image.
#[test]
fn images_keep_no_annotations_of_pods() {
    let daemon = Daemon::start("http://127.0.0.1:1", "");
    let cri = daemon.cri();
    for number in 0..72 {
        let mut image = ImageSpec {
            image: "registry.example/tool:1".to_owned(),
            ..Default::default()
        };
        let note = (format!("pod-{number}"), "x".repeat(250 << 10));
        image.annotations.extend([note]);
        let request = PullImageRequest {
            image: MessageField::some(image),
            ..Default::default()
        };
        cri.images.pull_image(&request, options()).expect("pulled");
    }
    let images = cri
        .images
        .list_images(&ListImagesRequest::default(), options());
    let images = images.expect("listed").images;
    assert_eq!(images.len(), 1);
    assert!(images[0].spec.annotations.is_empty());
    cri.run(&sandbox("the-next"));
}

#[test]
fn the_largest_request_is_taken_and_a_larger_one_refused() {
    let mut daemon = Daemon::prepare("[cri]\nmax_metadata_bytes = 16777216");
    daemon.run();
    let cri = daemon.cri();
    let limit = 16 << 20;
    let large = with_note("large", limit - 4096);
    cri.runtime
        .run_pod_sandbox(&large, options())
        .expect("it is taken");
    let answer = cri
        .runtime
        .run_pod_sandbox(&with_note("larger", limit + 1), options());
    assert_eq!(code(answer).0, RpcStatusCode::RESOURCE_EXHAUSTED);
    let all = cri.runtime.list_pod_sandbox(&Default::default(), options());
    let all = all.expect("a list").items;
    assert_eq!(all.len(), 1, "and the daemon is well");
    assert_eq!(all[0].annotations["note"].len(), limit - 4096);
}

#[test]
fn a_thousand_containers_are_listed_whole_and_in_parts() {
    let mut daemon = Daemon::prepare("");
    daemon.run();
    let cri = daemon.cri();
    thread::scope(|scope| {
        for group in 0..8 {
            let daemon = &daemon;
            scope.spawn(move || {
                let cri = daemon.cri();
                for number in 0..5 {
                    let pod = cri.run(&own(&format!("pod-{group}-{number}")));
                    for name in 0..25 {
                        cri.create(&pod, &container(&format!("c-{name}"), &["true"]));
                    }
                }
            });
        }
    });
    let request = ListContainersRequest::default();
    let listed = cri.runtime.list_containers(&request, options());
    let listed: HashSet<_> = listed
        .expect("a list")
        .containers
        .into_iter()
        .map(|one| one.id)
        .collect();
    assert_eq!(listed.len(), 1000);
    let request = StreamContainersRequest::default();
    let stream = cri
        .runtime
        .stream_containers(&request, options())
        .expect("a stream");
    let parts: Vec<_> = block_on(stream.collect());
    let streamed = parts
        .into_iter()
        .flat_map(|part| part.expect("a part").containers);
    let streamed: HashSet<_> = streamed.map(|one| one.id).collect();
    assert_eq!(streamed, listed);
}

#[test]
fn a_thousand_subscribers_come_and_go_and_leave_nothing() {
    let mut daemon = Daemon::prepare("[cri]\nevent_backlog = 16");
    daemon.run();
    let cri = daemon.cri();
    let mut before = None;
    for round in 0..6 {
        let streams: Vec<_> = (0..200)
            .map(|_| {
                let request = GetEventsRequest::default();
                let stream = cri
                    .runtime
                    .get_container_events(&request, CallOption::default());
                stream.expect("a stream")
            })
            .collect();
        wait_for("all are known", || (subscribers(&cri) == 200).then_some(()));
        // Nobody reads, and no call waits for that.
        for number in 0..10 {
            cri.remove_sandbox(&cri.run(&own(&format!("pod-{round}-{number}"))));
        }
        drop(streams);
        wait_for("they are gone", || (subscribers(&cri) == 0).then_some(()));
        // After the first ones all threads are there.
        before.get_or_insert_with(|| holds(&daemon));
    }
    wait_until_it_holds(&daemon, before.expect("there were rounds"));
}

/// How many subscribers the daemon counts.
fn subscribers(cri: &Cri) -> u64 {
    let request = interlink_cri::proto::StatusRequest {
        verbose: true,
        ..Default::default()
    };
    let status = cri.runtime.status(&request, options()).expect("a status");
    let info: serde_json::Value = serde_json::from_str(&status.info["daemon"]).expect("JSON");
    info["eventSubscribers"].as_u64().expect("a number")
}

/// Two bytes pass for a mount, which takes some hundreds.
#[test]
fn requests_of_many_small_elements_are_refused_before_they_are_made() {
    let mut daemon = Daemon::prepare("");
    daemon.run();
    let cri = daemon.cri();
    let pod = cri.run(&own("one"));
    let mut config = container("main", &["true"]);
    config.mounts = vec![Default::default(); 2_000_000];
    let before = daemon.memory("VmHWM");
    let (code, message) = code(cri.try_create(&pod, &config));
    assert_eq!(code, RpcStatusCode::RESOURCE_EXHAUSTED, "{message}");
    assert!(message.contains("too many elements"), "{message}");
    let more = daemon.memory("VmHWM") - before;
    assert!(more < 64 << 20, "{more}");
    cri.create(&pod, &container("main", &["true"]));
}

/// More than there are handlers, and each as large as a message may be. What is received takes as much as
/// `limits.max_in_flight_bytes` at most, and what is under way as much again.
#[test]
fn large_requests_of_many_clients_at_once_do_not_add_up() {
    let daemon = Daemon::start("http://127.0.0.1:1", "");
    let quiet = daemon.cri();
    let before = daemon.memory("VmHWM");
    let request = with_note("large", (16 << 20) - 4096);
    let all_are_there = Barrier::new(32);
    let codes: Vec<_> = thread::scope(|scope| {
        let clients: Vec<_> = (0..32)
            .map(|_| {
                let (daemon, request, all_are_there) = (&daemon, &request, &all_are_there);
                scope.spawn(move || {
                    let cri = daemon.cri();
                    cri.runtime
                        .version(&VersionRequest::default(), options())
                        .expect("a version");
                    all_are_there.wait();
                    code(cri.runtime.run_pod_sandbox(request, options())).0
                })
            })
            .collect();
        quiet.run(&own("quiet"));
        let codes = clients.into_iter().map(|client| client.join());
        codes.map(|code| code.expect("an answer")).collect()
    });
    // It has too large a note, or found no room.
    for code in codes {
        let is_refused = [
            RpcStatusCode::FAILED_PRECONDITION,
            RpcStatusCode::RESOURCE_EXHAUSTED,
        ];
        assert!(is_refused.contains(&code), "{code:?}");
    }
    quiet.run(&own("quiet-too"));
    let more = daemon.memory("VmHWM") - before;
    println!("{} MiB more", more >> 20);
    assert!(more < 256 << 20, "{more}");
}
