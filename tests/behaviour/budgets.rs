//! Input that would take much more memory than it comes with, or more than one pod may have.

use std::fs;

use grpcio::RpcStatusCode;
use interlink_cri::proto::{ContainerConfig, KeyValue, PodSandboxConfig, RunPodSandboxRequest};
use protobuf::MessageField;
use serde_json::json;

use crate::support::{
    code, command, container, options, sandbox, wait_for, ApiServer, Cri, Daemon, Fake, Fault,
    JobState, UID,
};

/// What a daemon may have held at most when it was given a few megabytes.
const SMALL_KIB: u64 = 200 << 10;

/// The most memory that the daemon has had.
fn peak_kib(daemon: &Daemon) -> u64 {
    let path = format!("/proc/{}/status", daemon.pid());
    let text = fs::read_to_string(path).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let figure = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    figure.expect("a figure")
}

/// A variable of 1 KiB, and 24 that each name the one before twice: 16 GiB in the end.
fn doubling() -> serde_json::Value {
    let first = json!({"name": "A0", "value": "x".repeat(1024)});
    let next = |number: usize| {
        let before = number - 1;
        json!({"name": format!("A{number}"), "value": format!("$(A{before})$(A{before})")})
    };
    std::iter::once(first).chain((1..=24).map(next)).collect()
}

#[test]
fn variables_that_multiply_stay_behind() {
    let (api, fake) = (ApiServer::start(), Fake::start());
    let root = tempfile::tempdir().expect("a directory");
    let kubeconfig = root.path().join("kubeconfig");
    api.kubeconfig(&kubeconfig);
    let spec = json!({
        "initContainers": [{"name": "first", "image": "a"}],
        "containers": [{"name": "main", "image": "a", "env": doubling()}],
    });
    let metadata = json!({"name": "web", "namespace": "lab", "uid": UID});
    api.put("pods", json!({"metadata": metadata, "spec": spec}));
    let settings =
        format!("[kubernetes]\nkubeconfig = {kubeconfig:?}\n[jobs]\nquiet_period = '1h'");
    let mut daemon = Daemon::start(&fake.url(), &settings);
    let cri = daemon.cri();
    // So that it is still to be submitted when the daemon starts again.
    fake.always("/create", Some(Fault::Status(503, "later")));
    let pod = cri.run(&sandbox("web"));
    let first = cri.launch(&pod, &container("first", &["true"]));
    let want = "container `main`: env `A7`: it would be longer than 131072 bytes";
    let is_said = |daemon: &Daemon| daemon.log().contains(want);
    wait_for("the reason is in the log", || {
        is_said(&daemon).then_some(())
    });
    assert!(peak_kib(&daemon) < SMALL_KIB, "{}", peak_kib(&daemon));
    daemon.kill_and_restart();
    fake.always("/create", None);
    let cri = daemon.cri();
    let created = wait_for("the job is taken", || {
        let created = fake.requests("/create");
        created.last().filter(|_| !fake.jobs().is_empty()).cloned()
    });
    let names = created["pod"]["spec"]["containers"].as_array();
    let names: Vec<_> = names
        .into_iter()
        .flatten()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(names, ["first"], "without what could not be made");
    fake.set("first", &JobState::exited(0));
    assert_eq!(cri.wait_for_exit(&first).exit_code, 0);
    assert!(peak_kib(&daemon) < SMALL_KIB, "{}", peak_kib(&daemon));
}

#[test]
fn run_pod_refuses_variables_that_multiply() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("pod.json");
    let spec = json!({"containers": [{"name": "main", "image": "a", "env": doubling()}]});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec});
    fs::write(&file, pod.to_string()).expect("written");
    let file = file.display().to_string();
    let (code, _, error) = command(&["run-pod", &file, "--socket", "/no/such.sock"]);
    assert_ne!(code, 0);
    let want = "container `main`: env `A7`: it would be longer than 131072 bytes";
    assert!(error.contains(want), "{error}");
}

/// A container with a variable of so many bytes.
fn with_variable(name: &str, bytes: usize) -> ContainerConfig {
    let mut config = container(name, &["true"]);
    config.envs = vec![KeyValue {
        key: "LARGE".to_owned(),
        value: vec![b'x'; bytes],
        ..Default::default()
    }];
    config
}

fn own(namespace: &str, name: &str) -> PodSandboxConfig {
    let mut config = sandbox(name);
    let metadata = config.metadata.mut_or_insert_default();
    metadata.namespace = namespace.to_owned();
    metadata.uid = format!("uid-{name}");
    config
}

fn try_run(cri: &Cri, config: &PodSandboxConfig) -> grpcio::Result<()> {
    let request = RunPodSandboxRequest {
        config: MessageField::some(config.clone()),
        ..Default::default()
    };
    let answer = cri.runtime.run_pod_sandbox(&request, options());
    answer.map(drop)
}

#[track_caller]
fn is_refused<T: std::fmt::Debug>(answer: grpcio::Result<T>, words: &[&str]) {
    let (code, message) = code(answer);
    assert_eq!(code, RpcStatusCode::RESOURCE_EXHAUSTED, "{message}");
    for word in words {
        assert!(message.contains(word), "{word}: {message}");
    }
}

#[test]
fn a_container_larger_than_its_budget_is_refused() {
    let mut daemon = Daemon::prepare("");
    daemon.run();
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("web"));
    for number in 0..10 {
        let config = with_variable(&format!("c{number}"), 15 << 20);
        let words = [
            "`limits.max_container_bytes` allows 4194304",
            "would take 157",
            "lab/web",
        ];
        is_refused(cri.try_create(&pod, &config), &words);
    }
    // Six bytes of the message for each of them, and a thousand of memory later.
    let mut many = container("many", &["true"]);
    many.envs = vec![KeyValue::new(); 100_000];
    is_refused(
        cri.try_create(&pod, &many),
        &["its 200112 bytes", "too many elements"],
    );
    cri.create(&pod, &with_variable("good", 1 << 20));
    assert!(peak_kib(&daemon) < SMALL_KIB, "{}", peak_kib(&daemon));
}

#[test]
fn pods_namespaces_and_the_node_have_budgets_of_their_own() {
    let mut daemon = Daemon::prepare(
        "[limits]\nmax_container_bytes = 65536\nmax_pod_bytes = 100000\n\
         max_namespace_bytes = 150000\nmax_total_bytes = 250000",
    );
    daemon.run();
    let cri = daemon.cri();
    let first = cri.run(&own("lab", "first"));
    cri.create(&first, &with_variable("a", 60_000));
    let pod_words = ["pod `lab/first`", "`limits.max_pod_bytes` allows 100000"];
    is_refused(
        cri.try_create(&first, &with_variable("b", 60_000)),
        &pod_words,
    );
    let second = cri.run(&own("lab", "second"));
    cri.create(&second, &with_variable("a", 60_000));
    let mut third = own("lab", "third");
    third
        .annotations
        .insert("note".to_owned(), "x".repeat(40_000));
    let words = [
        "namespace `lab`",
        "`limits.max_namespace_bytes` allows 150000",
    ];
    is_refused(try_run(&cri, &third), &words);
    // Another tenant has room, until the node has none.
    let quiet = cri.run(&own("quiet", "quiet"));
    cri.create(&quiet, &with_variable("a", 60_000));
    third.metadata.mut_or_insert_default().namespace = "other".to_owned();
    third
        .annotations
        .insert("note".to_owned(), "x".repeat(90_000));
    is_refused(
        try_run(&cri, &third),
        &["`limits.max_total_bytes` allows 250000"],
    );
    // What is kept is counted again after a restart, and what is removed is given back.
    daemon.kill_and_restart();
    let cri = daemon.cri();
    is_refused(
        try_run(&cri, &third),
        &["`limits.max_total_bytes` allows 250000"],
    );
    is_refused(
        cri.try_create(&first, &with_variable("b", 60_000)),
        &pod_words,
    );
    cri.remove_sandbox(&first);
    try_run(&cri, &third).expect("there is room again");
}

#[test]
fn a_job_whose_request_is_too_large_is_refused() {
    let fake = Fake::start();
    let settings = "[limits]\nmax_request_bytes = 65536\n[pods]\nmax_volume_bytes = 32768";
    let daemon = Daemon::start(&fake.url(), settings);
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("web"));
    // In JSON each of them takes six.
    let mut config = with_variable("main", 0);
    config.envs[0].value = vec![1; 20_000];
    let id = cri.launch(&pod, &config);
    let status = cri.wait_for_exit(&id);
    let want = "more than the 65536 bytes that `limits.max_request_bytes` allows";
    assert!(status.message.contains(want), "{}", status.message);
    assert!(fake.requests("/create").is_empty());
}
