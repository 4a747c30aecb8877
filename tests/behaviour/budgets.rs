//! Input that would take much more memory than it comes with, or more than one pod may have.

use std::fs;

use serde_json::json;

use crate::support::{
    command, container, sandbox, wait_for, ApiServer, Daemon, Fake, Fault, JobState, UID,
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
