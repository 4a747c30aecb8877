//! What people are told of a pod's job: events, and the condition of a readiness gate.

use crate::support::{
    container, sandbox, wait_for, ApiServer, Daemon, Fake, Fault, JobState, TOKEN, UID,
};
use serde_json::{json, Value};

const EVENTS: &str = "/api/v1/namespaces/lab/events";
const STATUS: &str = "/api/v1/namespaces/lab/pods/web/status";

struct Cluster {
    api: ApiServer,
    fake: Fake,
    daemon: Daemon,
    _root: tempfile::TempDir,
}

impl Cluster {
    /// With a pod `web` of one container, and keys of `[kubernetes]`.
    fn new(gates: Value, more: &str) -> Self {
        let (api, fake) = (ApiServer::start(), Fake::start());
        let root = tempfile::tempdir().expect("a directory");
        let kubeconfig = root.path().join("kubeconfig");
        api.kubeconfig(&kubeconfig);
        api.put(
            "pods",
            json!({
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "web", "namespace": "lab", "uid": UID},
                "spec": {"containers": [{"name": "main", "image": "a"}], "readinessGates": gates},
                "status": {"conditions": [{"type": "Initialized", "status": "True"}]},
            }),
        );
        let settings =
            format!("[kubernetes]\nkubeconfig = {kubeconfig:?}\nnode_name = 'login-1'\n{more}");
        Self {
            daemon: Daemon::start(&fake.url(), &settings),
            api,
            fake,
            _root: root,
        }
    }

    /// Starts the pod; gives its sandbox.
    fn launch(&self) -> String {
        let cri = self.daemon.cri();
        let pod = cri.run(&sandbox("web"));
        cri.launch(&pod, &container("main", &["true"]));
        pod
    }

    fn reasons(&self) -> Vec<String> {
        let posted = self.api.asked("POST", EVENTS);
        let reasons = posted
            .iter()
            .filter_map(|(_, _, event)| event["reason"].as_str());
        reasons.map(str::to_owned).collect()
    }

    fn wait_for_event(&self, reason: &str) -> Value {
        wait_for(&format!("event {reason}"), || {
            let posted = self.api.asked("POST", EVENTS);
            let found = posted
                .into_iter()
                .find(|(_, _, event)| event["reason"] == reason);
            found.map(|(_, _, event)| event)
        })
    }

    fn condition(&self) -> Value {
        let pod = self.api.object("pods", "web");
        let conditions = pod["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let mut ours = conditions
            .into_iter()
            .filter(|one| one["type"] == "interlink.eu/job-running");
        ours.next().unwrap_or_default()
    }

    fn wait_for_condition(&self, status: &str, reason: &str) {
        wait_for(&format!("{status}, {reason}"), || {
            let it = self.condition();
            (it["status"] == status && it["reason"] == reason).then_some(())
        });
    }
}

fn gate() -> Value {
    json!([{"conditionType": "interlink.eu/job-running"}])
}

#[test]
fn events_tell_the_story_of_a_job() {
    let cluster = Cluster::new(json!([]), "");
    let pod = cluster.launch();
    let submitted = cluster.wait_for_event("JobSubmitted");
    assert_eq!(
        submitted["message"],
        format!("job jid-{UID} was submitted, with main")
    );
    assert_eq!(submitted["type"], "Normal");
    let about = &submitted["involvedObject"];
    assert_eq!(
        (&about["kind"], &about["name"], &about["uid"]),
        (&json!("Pod"), &json!("web"), &json!(UID))
    );
    let source = json!({"component": "interlink-cri", "host": "login-1"});
    assert_eq!(submitted["source"], source);
    cluster.wait_for_event("JobQueued");
    cluster.fake.set_all(&JobState::Running);
    cluster.wait_for_event("JobStarted");
    cluster.daemon.cri().stop_sandbox(&pod);
    cluster.wait_for_event("JobCancelled");
    assert_eq!(
        cluster.reasons(),
        ["JobSubmitted", "JobQueued", "JobStarted", "JobCancelled"]
    );
    let log = cluster.daemon.log();
    assert!(!log.contains(TOKEN), "{log}");
    // A pod without the gate has no such condition.
    assert!(cluster.api.asked("PATCH", STATUS).is_empty());
}

#[test]
fn a_job_that_cannot_be_submitted_for_long_is_a_warning() {
    let cluster = Cluster::new(json!([]), "");
    cluster
        .fake
        .always("/create", Some(Fault::Status(503, "maintenance")));
    cluster.launch();
    let delayed = cluster.wait_for_event("SubmissionDelayed");
    assert_eq!(delayed["type"], "Warning");
    let message = delayed["message"].as_str().unwrap_or_default();
    assert!(message.contains("answered 503: maintenance"), "{message}");
    cluster.fake.always("/create", None);
    cluster.wait_for_event("JobQueued");
    let told = ["SubmissionDelayed", "JobSubmitted", "JobQueued"];
    assert_eq!(cluster.reasons(), told);
}

#[test]
fn a_front_end_s_refusal_is_told_as_such() {
    let cluster = Cluster::new(json!([]), "");
    let page = "<html><head><title>Sign In</title></head></html>";
    let refusal = Fault::Says(403, "text/html", page);
    cluster.fake.always("/create", Some(refusal));
    cluster.launch();
    let delayed = cluster.wait_for_event("SubmissionDelayed");
    let message = delayed["message"].as_str().unwrap_or_default();
    let words = "403 from something in front of interLink: Sign In: is the token valid?";
    assert!(message.contains(words), "{message}");
    cluster.fake.always("/create", None);
    cluster.wait_for_event("JobQueued");
}

#[test]
fn a_refusal_and_a_loss_are_warnings() {
    let cluster = Cluster::new(json!([]), "");
    cluster.fake.always(
        "/create",
        Some(Fault::Status(400, "invalid partition specified: gpuu")),
    );
    cluster.launch();
    let failed = cluster.wait_for_event("SubmissionFailed");
    assert_eq!(failed["type"], "Warning");
    let message = failed["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("invalid partition specified: gpuu"),
        "{message}"
    );

    let cluster = Cluster::new(json!([]), "");
    cluster.launch();
    cluster.fake.wait_for_requests("/create", 1);
    cluster.fake.set_all(&JobState::Running);
    cluster.wait_for_event("JobStarted");
    cluster.fake.forget_jobs();
    let lost = cluster.wait_for_event("JobLost");
    assert_eq!(lost["type"], "Warning");
}

#[test]
fn why_a_job_waits_is_told_in_the_plugin_s_words() {
    let cluster = Cluster::new(gate(), "");
    cluster.launch();
    cluster.fake.wait_for_requests("/create", 1);
    let waits = |reason: &str| {
        let why = json!({"reason": reason, "message": "Priority; QOSMaxJobsPerUserLimit"});
        cluster.fake.set_all(&JobState::As(json!({"waiting": why})));
    };
    cluster.wait_for_event("JobQueued");
    waits("JobHeld");
    let want = "JobHeld: Priority; QOSMaxJobsPerUserLimit";
    let told = cluster.wait_for_event("JobWaiting");
    assert_eq!(told["type"], "Normal");
    let message = told["message"].as_str().unwrap_or_default();
    assert!(message.ends_with(want), "{message}");
    wait_for("the condition's message", || {
        let it = cluster.condition();
        (it["reason"] == "JobQueued" && it["message"] == want).then_some(())
    });
    cluster.fake.set_all(&JobState::Running);
    wait_for("the condition without it", || {
        let it = cluster.condition();
        (it["reason"] == "JobRunning" && it["message"] == "").then_some(())
    });
}

#[test]
fn events_can_be_turned_off() {
    let cluster = Cluster::new(gate(), "events = false");
    cluster.launch();
    cluster.wait_for_condition("False", "JobQueued");
    assert!(cluster.reasons().is_empty());
}

#[test]
fn a_gate_says_whether_the_job_runs() {
    let mut cluster = Cluster::new(gate(), "");
    let pod = cluster.launch();
    cluster.wait_for_condition("False", "JobQueued");
    cluster.fake.set_all(&JobState::Running);
    cluster.wait_for_condition("True", "JobRunning");
    // The other conditions stay.
    let conditions = cluster.api.object("pods", "web")["status"]["conditions"].clone();
    assert_eq!(conditions[0]["type"], "Initialized");
    let (_, _, patch) = cluster.api.asked("PATCH", STATUS).remove(0);
    assert_eq!(patch["metadata"]["uid"], UID);
    // The job ends while the API server is away, and the daemon too.
    cluster.api.down();
    cluster.fake.set_all(&JobState::exited(0));
    wait_for("the daemon has heard of it", || {
        let log = cluster.daemon.log();
        log.contains("condition interlink.eu/job-running is not set")
            .then_some(())
    });
    cluster.daemon.kill_and_restart();
    cluster.api.up();
    cluster.wait_for_condition("False", "JobFinished");
    cluster.daemon.cri().remove_sandbox(&pod);
}

#[test]
fn a_condition_is_set_in_the_end_whatever_the_api_server_does() {
    for fault in [
        Fault::Status(503, "overloaded"),
        Fault::Status(403, "forbidden"),
        Fault::DropBefore,
        Fault::Hang,
    ] {
        let cluster = Cluster::new(gate(), "");
        cluster.launch();
        cluster.wait_for_condition("False", "JobQueued");
        cluster.api.always(Some(fault.clone()));
        cluster.fake.set_all(&JobState::Running);
        let before = cluster.api.asked("PATCH", STATUS).len();
        wait_for("it is tried", || {
            (cluster.api.asked("PATCH", STATUS).len() > before).then_some(())
        });
        cluster.api.always(None);
        cluster.wait_for_condition("True", "JobRunning");
    }
}

#[test]
fn an_api_server_that_hangs_delays_nothing() {
    let cluster = Cluster::new(gate(), "");
    let pod = cluster.launch();
    cluster.wait_for_condition("False", "JobQueued");
    cluster.api.always(Some(Fault::Hang));
    cluster.fake.set_all(&JobState::exited(3));
    let cri = cluster.daemon.cri();
    wait_for("the end is seen", || {
        let request = interlink_cri::proto::ListContainersRequest::default();
        let listed = cri
            .runtime
            .list_containers(&request, crate::support::options());
        let containers = listed.expect("listed").containers;
        let exited = interlink_cri::proto::ContainerState::CONTAINER_EXITED;
        containers
            .iter()
            .all(|one| one.state == exited.into())
            .then_some(())
    });
    cri.remove_sandbox(&pod);
    cluster.fake.wait_for_requests("/delete", 1);
}
