//! The API over a backend in memory: what is above the seam needs no processes.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
};

use parking_lot::Mutex;
use serde_json::{json, Value};

use super::*;
use crate::memory_testing::holds_little;
use crate::plugin::{
    backend::{AcceleratorCapacity, Capacity, ContainerReport, PodReport, ReportedState},
    http::{Limits, ListenAddress, Server},
    pods::{ContainerExit, PodRecord},
};

const UID: &str = "0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a10";

/// A pod whose containers do what the test says.
struct MemoryPod {
    record: Arc<PodRecord>,
    states: BTreeMap<String, ReportedState>,
    is_being_deleted: bool,
    is_log_complete: Arc<AtomicBool>,
}

/// Grace period and patience of a call of [`Backend::delete`].
type DeleteCall = (Option<Duration>, Duration);

/// A backend that runs nothing.
#[derive(Clone, Default)]
struct MemoryBackend {
    pods: Arc<Mutex<BTreeMap<String, MemoryPod>>>,
    deletions: Arc<Mutex<Vec<DeleteCall>>>,
    is_broken: Arc<AtomicBool>,
}

impl MemoryBackend {
    fn set_state(&self, container: &str, state: ReportedState) {
        let mut pods = self.pods.lock();
        let pod = pods.get_mut(UID).unwrap();
        pod.states.insert(container.to_owned(), state);
    }
}

impl Backend for MemoryBackend {
    fn create(&self, request: &PodRequest) -> Result<String, Refusal> {
        if self.is_broken.load(Ordering::Relaxed) {
            return Err(io::Error::other("the disk is full").into());
        }
        let mut pods = self.pods.lock();
        if let Some(pod) = pods.get(&request.uid) {
            pod.record
                .check_repeated(&request.fingerprint, pod.is_being_deleted)?;
            return Ok(pod.record.jid.clone());
        }
        let record = Arc::new(request.record(format!("memory-{}", pods.len())));
        let pod = MemoryPod {
            record: Arc::clone(&record),
            states: BTreeMap::new(),
            is_being_deleted: false,
            is_log_complete: Arc::default(),
        };
        pods.insert(request.uid.clone(), pod);
        Ok(record.jid.clone())
    }

    fn delete(
        &self,
        uid: &str,
        grace: Option<Duration>,
        _: AfterEnd,
        patience: Duration,
    ) -> Result<DeleteOutcome, Refusal> {
        self.deletions.lock().push((grace, patience));
        let mut pods = self.pods.lock();
        let Some(pod) = pods.get_mut(uid) else {
            return Ok(DeleteOutcome::Unknown);
        };
        if pod.is_being_deleted {
            pods.remove(uid);
            return Ok(DeleteOutcome::Gone);
        }
        pod.is_being_deleted = true;
        Ok(DeleteOutcome::KilledAt(Timestamp::UNIX_EPOCH))
    }

    fn status(&self, uid: &str) -> Option<PodReport> {
        let pods = self.pods.lock();
        let pod = pods.get(uid)?;
        let report = |name: &String| ContainerReport {
            name: name.clone(),
            image: "busybox".to_owned(),
            id: format!("memory://{name}"),
            state: pod.states.get(name).cloned().unwrap_or_else(|| {
                let message = Some("in the queue".to_owned());
                let reason = "PodInitializing";
                ReportedState::Waiting { reason, message }
            }),
        };
        let record = &pod.record;
        Some(PodReport {
            record: Arc::clone(record),
            init_containers: record
                .init_containers
                .iter()
                .map(|c| report(&c.name))
                .collect(),
            containers: record.containers.iter().map(|c| report(&c.name)).collect(),
        })
    }

    fn log(&self, uid: &str, container: &str) -> Result<ContainerLog, Refusal> {
        let pods = self.pods.lock();
        let pod = pods.get(uid).ok_or_else(|| Refusal::not_found("no pod"))?;
        let mut file = tempfile::tempfile()?;
        write!(file, "{container} says\nhello\n")?;
        let is_complete = Arc::clone(&pod.is_log_complete);
        Ok(ContainerLog {
            file,
            is_complete: Box::new(move || is_complete.load(Ordering::Relaxed)),
        })
    }

    fn capacity(&self) -> Capacity {
        Capacity {
            cpus: 128,
            memory_kib: None,
            pods: 7,
            accelerators: vec![AcceleratorCapacity {
                resource: "nvidia.com/gpu".to_owned(),
                count: 4,
            }],
        }
    }

    fn begin_stop(&self) {}
}

fn serve(backend: &MemoryBackend) -> Server {
    let api = Api::new(Box::new(backend.clone()), Faults::default());
    let address = "http://127.0.0.1:0".parse().unwrap();
    Server::start(&address, Limits::default(), move |request, responder| {
        api.handle(&request, responder);
    })
    .unwrap()
}

/// Sends one request; gives status and body.
fn ask(server: &Server, path: &str, body: &Value) -> (u16, String) {
    let ListenAddress::Tcp(address) = server.address() else {
        panic!("not TCP");
    };
    let body = body.to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

fn pod(image: &str) -> Value {
    json!({
        "metadata": {"name": "train-7", "namespace": "lab", "uid": UID},
        "spec": {
            // No command: whether an image can tell what to run is the backend's business.
            "containers": [{"name": "main", "image": image}],
            "initContainers": [{"name": "init", "image": image}],
            "terminationGracePeriodSeconds": 5,
        },
    })
}

#[test]
fn a_pod_is_created_once_and_refused_where_another_has_its_uid() {
    let backend = MemoryBackend::default();
    let server = serve(&backend);
    let created = json!({"PodUID": UID, "PodJID": "memory-0"});
    let body = json!({"pod": pod("busybox")});
    for _ in 0..2 {
        let (status, text) = ask(&server, "/create", &body);
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &answer), (200, &created));
    }
    let (status, text) = ask(&server, "/create", &json!({"pod": pod("other")}));
    assert_eq!(status, 409);
    assert!(text.contains("another pod with the UID"), "{text}");
    assert_eq!(ask(&server, "/create", &json!({})).0, 400);
    backend.is_broken.store(true, Ordering::Relaxed);
    let (status, text) = ask(&server, "/create", &body);
    assert_eq!(status, 500);
    assert!(text.contains("the disk is full"), "{text}");
}

#[test]
fn every_state_shows_in_the_status() {
    let backend = MemoryBackend::default();
    let server = serve(&backend);
    ask(&server, "/create", &json!({"pod": pod("busybox")}));
    let status = || {
        let (status, text) = ask(&server, "/status", &json!([pod("busybox")]));
        assert_eq!(status, 200);
        serde_json::from_str::<Value>(&text).unwrap()[0].clone()
    };
    let seen = status();
    assert_eq!(
        (&seen["JID"], &seen["UID"]),
        (&json!("memory-0"), &json!(UID))
    );
    let waiting = &seen["containers"][0]["state"]["waiting"];
    assert_eq!(waiting["message"], "in the queue");

    let at = Timestamp::UNIX_EPOCH;
    backend.set_state("main", ReportedState::Running { started_at: at });
    let exit = ContainerExit {
        code: 137,
        signal: Some(9),
        reason: "Error".to_owned(),
        message: String::new(),
        started_at: at,
        finished_at: at,
        cpu_millis: None,
    };
    backend.set_state("init", ReportedState::Terminated(exit));
    let seen = status();
    let main = &seen["containers"][0];
    assert_eq!(
        (&main["ready"], &main["started"]),
        (&json!(true), &json!(true))
    );
    let running = &main["state"]["running"];
    assert_eq!(running["startedAt"], "1970-01-01T00:00:00Z");
    let init = &seen["initContainers"][0];
    assert_eq!(
        (&init["name"], &init["ready"]),
        (&json!("init"), &json!(false))
    );
    let terminated = &init["state"]["terminated"];
    assert_eq!(
        (&terminated["exitCode"], &terminated["signal"]),
        (&json!(137), &json!(9))
    );
    assert_eq!(terminated["containerID"], "memory://init");
    assert_eq!(terminated.get("message"), None);
}

#[test]
fn a_deletion_says_how_far_it_has_come() {
    let backend = MemoryBackend::default();
    let server = serve(&backend);
    ask(&server, "/create", &json!({"pod": pod("busybox")}));
    for want in ["is killed at 1970", "is gone", "is not here"] {
        let (status, text) = ask(&server, "/delete", &pod("busybox"));
        assert_eq!(status, 200);
        assert!(text.contains(want), "{text} / {want}");
    }
    let grace = Some(Duration::from_secs(5));
    assert_eq!(*backend.deletions.lock(), [(grace, DELETE_PATIENCE); 3]);
}

#[test]
fn a_log_is_followed_until_the_backend_says_that_it_is_complete() {
    let backend = MemoryBackend::default();
    let server = serve(&backend);
    let request = |opts: Value| {
        json!({"Namespace": "lab", "PodUID": UID, "PodName": "train-7", "ContainerName": "main",
            "Opts": opts})
    };
    let (status, _) = ask(&server, "/getLogs", &request(json!({})));
    assert_eq!(status, 404);
    ask(&server, "/create", &json!({"pod": pod("busybox")}));
    let whole = (200, "main says\nhello\n".to_owned());
    assert_eq!(ask(&server, "/getLogs", &request(json!({}))), whole);
    let (_, tail) = ask(&server, "/getLogs", &request(json!({"Tail": 1})));
    assert_eq!(tail, "hello\n");
    std::thread::scope(|scope| {
        let follower = scope.spawn(|| ask(&server, "/getLogs", &request(json!({"Follow": true}))));
        // Something else is asked meanwhile, and the follower still waits.
        assert_eq!(ask(&server, "/pinglink", &json!("")).0, 200);
        assert!(!follower.is_finished());
        let pods = backend.pods.lock();
        pods[UID].is_log_complete.store(true, Ordering::Relaxed);
        drop(pods);
        assert_eq!(follower.join().unwrap(), whole);
    });
}

#[test]
fn the_backend_s_capacity_is_what_a_ping_tells() {
    let server = serve(&MemoryBackend::default());
    let (status, text) = ask(&server, "/pinglink", &json!(""));
    assert_eq!(status, 200);
    let ping: Value = serde_json::from_str(&text).unwrap();
    let gpus = json!([{"resourceType": "nvidia.com/gpu", "available": "4"}]);
    let want = json!({"cpu": "128", "memory": "", "pods": "7", "accelerators": gpus});
    assert_eq!(ping, json!({"status": "ok", "resources": want}));
    let known = replies::ping(Capacity {
        memory_kib: Some(24_690_816),
        ..Capacity::default()
    });
    assert_eq!(known.resources.unwrap().memory, "24690816Ki");
}

#[test]
fn a_request_takes_no_more_than_a_bound() {
    let backend = MemoryBackend::default();
    let api = Api::new(Box::new(backend.clone()), Faults::default());
    api.create(json!({"pod": pod("busybox")}).to_string().as_bytes())
        .unwrap();
    let many = |piece: &str| piece.repeat((1 << 20) / piece.len());
    let asked = format!("{{\"metadata\":{{\"uid\":\"{UID}\"}}}},");
    let spare = crate::bounded::SPARE_BYTES as u64;
    for (name, body) in [
        (
            "containers",
            format!(
                "{{\"pod\":{{\"spec\":{{\"containers\":[{}{{}}]}}}}}}",
                many("{},")
            ),
        ),
        (
            "a pod's containers",
            format!("{{\"spec\":{{\"containers\":[{}{{}}]}}}}", many("{},")),
        ),
        ("pods", format!("[{}{{}}]", many("{},"))),
        ("one pod again and again", format!("[{}{{}}]", many(&asked))),
        (
            "secrets",
            format!("{{\"pod\":{{}},\"secrets\":[{}{{}}]}}", many("{},")),
        ),
        (
            "volumes",
            format!("{{\"pod\":{{}},\"container\":[{}{{}}]}}", many("{},")),
        ),
        ("a long name", format!("{{\"PodName\":\"{}\"}}", many("x"))),
        (
            "what nobody knows",
            format!("{{\"x\":[{}{{}}]}}", many("{},")),
        ),
    ] {
        let body = body.as_bytes();
        holds_little(name, body, spare, |body| drop(api.create(body)));
        holds_little(name, body, spare, |body| drop(api.delete(body)));
        holds_little(name, body, 65_536, |body| drop(api.status(body)));
        holds_little(name, body, spare, |body| drop(api.open_log(body)));
    }
    let body = format!("[{}{{}}]", many(&asked));
    assert_eq!(api.status(body.as_bytes()).unwrap().len(), 1);
}

#[test]
fn volumes_that_name_one_large_map_again_and_again_are_refused() {
    let api = Api::new(Box::new(MemoryBackend::default()), Faults::default());
    let volume = |at: usize| json!({"name": format!("v{at}"), "configMap": {"name": "large"}});
    let mut pod = pod("busybox");
    pod["spec"]["volumes"] = (0..100).map(volume).collect();
    let map = json!({"metadata": {"name": "large"}, "data": {"a": "x".repeat(1 << 20)}});
    let body = json!({"pod": pod, "configmaps": [map]}).to_string();
    let refusal = api.create(body.as_bytes()).unwrap_err().to_string();
    assert!(
        refusal.contains("with volume `v32` the pod's volumes hold"),
        "{refusal}"
    );
}
