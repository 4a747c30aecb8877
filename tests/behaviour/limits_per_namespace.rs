//! `[limits]`: a namespace has so many jobs, cores and GPUs at once; its other jobs wait here, the oldest
//! first, and say so.

use interlink_cri::proto::{ContainerConfig, PodSandboxConfig};
use serde_json::{json, Value};

use crate::support::{self, container, sandbox, wait_for, ApiServer, Cri, Daemon, Fake, JobState};

/// A pod of a name, with a UID of its own.
fn pod(name: &str, namespace: &str) -> PodSandboxConfig {
    let mut pod = sandbox(name);
    let metadata = pod.metadata.mut_or_insert_default();
    metadata.namespace = namespace.to_owned();
    metadata.uid = uid(name);
    pod
}

fn uid(name: &str) -> String {
    let number: u64 = name.bytes().map(u64::from).sum();
    format!("0f6e1c1a-9a3b-4a53-8c36-{number:012x}")
}

fn cores(count: i64) -> ContainerConfig {
    let mut config = container("main", &["true"]);
    let linux = config.linux.mut_or_insert_default();
    let resources = linux.resources.mut_or_insert_default();
    (resources.cpu_quota, resources.cpu_period) = (count * 100_000, 100_000);
    config
}

/// Starts a pod; gives sandbox and container.
fn start(cri: &Cri, name: &str, namespace: &str, config: &ContainerConfig) -> (String, String) {
    let sandbox = cri.run(&pod(name, namespace));
    let container = cri.launch(&sandbox, config);
    (sandbox, container)
}

/// The names of the pods that were submitted, in that order.
fn submitted(fake: &Fake) -> Vec<String> {
    let requests = fake.requests("/create");
    let names = requests.iter().map(|created| {
        let annotations = &created["pod"]["metadata"]["annotations"];
        let name = annotations["cri.interlink.eu/pod-name"].as_str();
        name.expect("a name").to_owned()
    });
    names.collect()
}

fn wait_for_submissions(fake: &Fake, names: &[&str]) {
    wait_for(&format!("{names:?} are submitted"), || {
        (submitted(fake).len() >= names.len()).then_some(())
    });
    assert_eq!(submitted(fake), names);
}

fn wait_for_word(daemon: &Daemon, name: &str, figures: &str) {
    wait_for(&format!("{name} waits, with {figures}"), || {
        let log = daemon.log();
        let mut lines = log.lines();
        let is_it = |line: &str| {
            line.contains(&format!("pod lab/{name}:")) && line.contains("waits for room")
        };
        lines
            .any(|line| is_it(line) && line.contains(figures))
            .then_some(())
    });
}

#[test]
fn jobs_wait_for_room_and_go_on_by_age() {
    let fake = Fake::start();
    let settings = "[limits]\nnamespaces = [{ namespaces = ['lab'], jobs = 1 }]\n";
    let mut daemon = Daemon::start(&fake.url(), settings);
    let cri = daemon.cri();
    let main = container("main", &["true"]);
    let first = start(&cri, "first", "lab", &main);
    wait_for_submissions(&fake, &["first"]);
    fake.set_all(&JobState::Running);
    let second = start(&cri, "second", "lab", &main);
    wait_for_word(&daemon, "second", "1 of 1 jobs");
    let socket = daemon.socket();
    let arguments = ["jobs", "--socket", socket.to_str().expect("text")];
    let (code, table, _) = support::command(&arguments);
    assert!(
        code == 0 && table.contains("waits for room in namespace `lab`"),
        "{table}"
    );
    start(&cri, "third", "lab", &main);
    wait_for_word(&daemon, "third", "behind 1 older ones");
    let fourth = start(&cri, "fourth", "lab", &main);
    wait_for_word(&daemon, "fourth", "behind 2 older ones");
    // Other namespaces have room of their own.
    start(&cri, "other", "web", &main);
    wait_for_submissions(&fake, &["first", "other"]);
    // One that is not wanted any more leaves the queue.
    cri.remove_sandbox(&fourth.0);
    // The books are the records: a crash changes nothing.
    daemon.kill_and_restart();
    let cri = daemon.cri();
    fake.set("main", &JobState::exited(0));
    cri.wait_for_exit(&first.1);
    wait_for_submissions(&fake, &["first", "other", "second"]);
    fake.set("main", &JobState::exited(0));
    cri.wait_for_exit(&second.1);
    wait_for_submissions(&fake, &["first", "other", "second", "third"]);
}

#[test]
fn a_job_that_is_cancelled_makes_room() {
    let fake = Fake::start();
    let settings = "[limits]\nnamespaces = [{ jobs = 1 }]\n";
    let daemon = Daemon::start(&fake.url(), settings);
    let cri = daemon.cri();
    let main = container("main", &["true"]);
    let (first, _) = start(&cri, "first", "lab", &main);
    wait_for_submissions(&fake, &["first"]);
    start(&cri, "second", "lab", &main);
    wait_for_word(&daemon, "second", "1 of 1 jobs");
    cri.remove_sandbox(&first);
    wait_for_submissions(&fake, &["first", "second"]);
    // Not before the plugin has confirmed it.
    assert_eq!(fake.requests("/delete").len(), 1);
}

#[test]
fn cores_and_gpus_count() {
    let fake = Fake::start();
    let settings = "[limits]\nnamespaces = [{ cores = 4, gpus = 2 }]\n";
    let daemon = Daemon::start(&fake.url(), settings);
    let cri = daemon.cri();
    let (_, large) = start(&cri, "large", "lab", &cores(5));
    cri.wait_for_refusal(&large, "5 of 4 cores");
    let (_, first) = start(&cri, "first", "lab", &cores(3));
    wait_for_submissions(&fake, &["first"]);
    start(&cri, "second", "lab", &cores(2));
    wait_for_word(
        &daemon,
        "second",
        "3 of 4 cores, 0 of 2 GPUs; the job needs 2 cores",
    );
    fake.set("main", &JobState::exited(0));
    cri.wait_for_exit(&first);
    wait_for_submissions(&fake, &["first", "second"]);
    let mut with_gpus = pod("gpus", "lab");
    let amount = ("interlink.eu/nvidia-gpus".to_owned(), "3".to_owned());
    with_gpus.annotations.extend([amount]);
    let sandbox = cri.run(&with_gpus);
    let status = cri.wait_for_exit(&cri.launch(&sandbox, &cores(1)));
    assert!(status.message.contains("3 of 2 GPUs"), "{}", status.message);
}

#[test]
fn a_job_that_waits_for_room_says_so_on_its_pod() {
    let (api, fake) = (ApiServer::start(), Fake::start());
    let dir = tempfile::tempdir().expect("a directory");
    let kubeconfig = dir.path().join("kubeconfig");
    api.kubeconfig(&kubeconfig);
    for name in ["first", "second"] {
        let spec = json!({
            "containers": [{"name": "main", "image": "busybox:1.36", "command": ["true"]}],
            "readinessGates": [{"conditionType": "interlink.eu/job-running"}],
        });
        let metadata = json!({"name": name, "namespace": "lab", "uid": uid(name)});
        api.put("pods", json!({"metadata": metadata, "spec": spec}));
    }
    let settings = format!(
        "[limits]\nnamespaces = [{{ jobs = 1 }}]\n[kubernetes]\nkubeconfig = {kubeconfig:?}\n"
    );
    let daemon = Daemon::start(&fake.url(), &settings);
    let cri = daemon.cri();
    let main = container("main", &["true"]);
    start(&cri, "first", "lab", &main);
    wait_for_submissions(&fake, &["first"]);
    start(&cri, "second", "lab", &main);
    let events = || api.asked("POST", "/api/v1/namespaces/lab/events");
    let event = wait_for("an event", || {
        let events = events().into_iter().map(|(_, _, body)| body);
        let mut events = events.filter(|event| event["reason"] == "NamespaceLimit");
        events.next()
    });
    assert_eq!(event["involvedObject"]["name"], "second");
    let message = event["message"].as_str().expect("a message");
    assert!(
        message.contains("`lab`, which has 1 of 1 jobs"),
        "{message}"
    );
    let condition = wait_for("a condition", || {
        let pod = api.object("pods", "second");
        let conditions = pod["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let is_it = |one: &Value| one["reason"] == "NamespaceLimit";
        conditions.into_iter().find(is_it)
    });
    assert_eq!(condition["status"], "False");
    let message = condition["message"].as_str().expect("a message");
    assert!(message.contains("1 of 1 jobs"), "{message}");
}
