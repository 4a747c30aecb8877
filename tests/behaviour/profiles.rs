//! Plugins that differ from each other: named by `interlink.plugin`, or recognised by what they say.

use serde_json::{json, Value};

use crate::support::{command, container, sandbox, wait_for, CreateForm, Daemon, Fake, JobState};

/// Long enough for two starts on a machine under load.
const TOGETHER: &str = "[jobs]\nquiet_period = '2s'";

fn recognised(daemon: &Daemon) -> Value {
    let socket = daemon.socket().display().to_string();
    let (_, text, _) = command(&["status", "--socket", &socket, "-o", "json"]);
    let status: Value = serde_json::from_str(&text).expect("JSON");
    status["info"]["interlink"]["recognisedPlugin"].clone()
}

fn of_plugin(name: &str, more: &str) -> String {
    format!("{more}\n[interlink]\nplugin = '{name}'")
}

fn container_count(created: &Value) -> usize {
    let containers = created["pod"]["spec"]["containers"].as_array();
    containers.map_or(0, Vec::len)
}

/// The server passes on the 201 of a plugin as a failure; the job is there all the same, and nobody
/// asks for it again.
#[test]
fn a_plugin_that_answers_201_behind_the_server() {
    let fake = Fake::start();
    fake.answer_creates_with(CreateForm::Wrapped201);
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("created"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    fake.wait_for_requests("/create", 1);
    wait_for("the plugin is recognised", || {
        Some(recognised(&daemon)).filter(|plugin| plugin == "htcondor")
    });
    fake.set_all(&JobState::exited(3));
    assert_eq!(cri.wait_for_exit(&id).exit_code, 3);
    assert_eq!(fake.requests("/create").len(), 1);
    assert!(
        fake.requests("/getLogs").is_empty(),
        "what it answers there is no log"
    );
}

#[test]
fn an_id_in_a_list_under_another_name() {
    let fake = Fake::start();
    fake.answer_creates_with(CreateForm::JobIdInList);
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("listed"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    fake.wait_for_requests("/create", 1);
    fake.set_all(&JobState::exited(0));
    assert_eq!(cri.wait_for_exit(&id).exit_code, 0);
    assert_eq!(recognised(&daemon), "unicore");
    assert_eq!(fake.requests("/create").len(), 1);
}

/// What recognises itself by its ping is asked for one job at a time from the start.
#[test]
fn a_plugin_that_answers_for_one_pod_is_asked_for_one() {
    let fake = Fake::start();
    fake.answer_pings_with(r#"{"message": "HTCondor sidecar is alive", "status": "healthy"}"#);
    fake.number_jobs();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    wait_for("the plugin is recognised", || {
        Some(recognised(&daemon)).filter(|plugin| plugin == "htcondor")
    });
    let ids = ["one", "two", "three"].map(|name| {
        let pod = cri.run(&sandbox(name));
        cri.launch(&pod, &container("main", &["true"]))
    });
    fake.wait_for_requests("/create", 3);
    fake.set_all(&JobState::Running);
    fake.wait_for_requests("/status", 12);
    fake.set_all(&JobState::exited(0));
    for id in &ids {
        cri.wait_for_exit(id);
    }
    for question in fake.requests("/status") {
        assert_eq!(question.as_array().map(Vec::len), Some(1), "{question}");
    }
    let (needle, log) = ("is taken for `htcondor`", daemon.log());
    assert_eq!(log.matches(needle).count(), 1, "it is said once");
}

#[test]
fn job_ids_that_are_numbers_are_those_of_a_batch_system() {
    let fake = Fake::start();
    fake.number_jobs();
    let mut daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("numbered"));
    cri.launch(&pod, &container("main", &["true"]));
    let is_recognised = |daemon: &Daemon| {
        wait_for("the plugin is recognised", || {
            Some(recognised(daemon)).filter(|plugin| plugin == "slurm")
        })
    };
    is_recognised(&daemon);
    // And it is after a restart, without another submission.
    daemon.kill_and_restart();
    is_recognised(&daemon);
    assert_eq!(fake.requests("/create").len(), 1);
}

#[test]
fn what_is_configured_is_not_guessed() {
    let fake = Fake::start();
    fake.number_jobs();
    let daemon = Daemon::start(&fake.url(), &of_plugin("docker", ""));
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("named"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    fake.wait_for_requests("/create", 1);
    // An end without a start, of a job with a number, and no log: this plugin is believed.
    fake.set_all(&JobState::exited(0));
    assert_eq!(cri.wait_for_exit(&id).exit_code, 0);
    assert_eq!(recognised(&daemon), Value::Null);
    let followed = |request: &Value| request["Opts"]["Follow"] == json!(true);
    assert!(
        !fake.requests("/getLogs").iter().any(followed),
        "it follows no logs"
    );
}

/// A gang is complete when its last pod has come. Until then the plugin has accepted the job, and says
/// nothing of it.
#[test]
fn a_job_without_an_id_waits_for_its_gang() {
    let fake = Fake::start();
    fake.answer_creates_with(CreateForm::EmptyId);
    fake.hide_jobs(true);
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("gang"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    fake.wait_for_requests("/create", 1);
    // More polls than make a job lost, over a longer time than that takes.
    fake.wait_for_requests("/status", 12);
    assert!(cri.status(&id).finished_at == 0, "it is not lost");
    fake.hide_jobs(false);
    fake.set_all(&JobState::exited(5));
    assert_eq!(cri.wait_for_exit(&id).exit_code, 5);
    assert_eq!(fake.requests("/create").len(), 1);
}

/// A plugin that never answers so has not accepted the job: it is asked, denies it, and gets it again.
#[test]
fn a_job_without_an_id_is_in_doubt_elsewhere() {
    let fake = Fake::start();
    fake.answer_creates_with(CreateForm::EmptyId);
    fake.hide_jobs(true);
    let daemon = Daemon::start(&fake.url(), &of_plugin("slurm", ""));
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("doubtful"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    fake.wait_for_requests("/create", 2);
    fake.answer_creates_with(CreateForm::Object);
    fake.number_jobs();
    fake.hide_jobs(false);
    fake.set_all(&JobState::Ended(json!({
        "exitCode": 4, "startedAt": "2026-01-01T00:00:00Z",
    })));
    assert_eq!(cri.wait_for_exit(&id).exit_code, 4);
}

#[test]
fn where_one_container_of_a_job_runs_each_has_its_own() {
    let fake = Fake::start();
    let daemon = Daemon::start(&fake.url(), &of_plugin("sdk", TOGETHER));
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("apart"));
    let ids = ["a", "b", "c"].map(|name| cri.launch(&pod, &container(name, &["true"])));
    let created = fake.wait_for_requests("/create", 3);
    assert!(created.iter().all(|one| container_count(one) == 1));
    for (code, name) in (0..).zip(["a", "b", "c"]) {
        fake.set(name, &JobState::exited(code));
    }
    for (code, id) in (0..).zip(&ids) {
        assert_eq!(cri.wait_for_exit(id).exit_code, code);
    }
}
