//! `check-plugin`: what a plugin does of what docs/wire.md asks for.

use std::{
    io::Read as _,
    process::{Command, Stdio},
};

use rustix::process::{kill_process, Pid, Signal};
use serde_json::{json, Value};

use crate::{
    local_plugin::Fixture,
    support::{command, wait_for, CreateForm, Fake, Fault, JobState},
};

const BINARY: &str = env!("CARGO_BIN_EXE_interlink-cri");

/// Tries what is at a URL: the exit code, and the report.
fn check(url: &str, more: &[&str]) -> (i32, Value) {
    let (code, text, error) = command(&[&["check-plugin", url, "-o", "json"], more].concat());
    let report = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}\n{error}"));
    (code, report)
}

/// The rules that are not kept, with their verdicts.
fn broken(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rules = report["rules"].as_array().expect("rules").iter();
    rules
        .map(|rule| (text(&rule["id"]), text(&rule["verdict"])))
        .filter(|(_, verdict)| verdict != "ok")
        .collect()
}

fn of(rules: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(id, verdict): &(&str, &str)| ((*id).to_owned(), (*verdict).to_owned());
    rules.iter().map(owned).collect()
}

/// A fake whose jobs end at once and have logs.
fn fake_with_logs() -> Fake {
    let fake = Fake::start();
    fake.begin_jobs_as(&JobState::Ended(json!({
        "exitCode": 0, "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:01Z",
    })));
    for name in ["prepare", "main"] {
        fake.set_log(name, format!("interlink-cri check of {name}\n"));
    }
    fake
}

/// The local plugin keeps all rules, whoever it is taken for.
#[test]
fn the_local_plugin_keeps_all_rules() {
    let fixture = Fixture::new();
    let url = format!("unix://{}", fixture.socket().display());
    let (code, report) = check(&url, &[]);
    assert_eq!(broken(&report), of(&[]), "{report:#}");
    assert_eq!((code, &report["plugin"]), (0, &json!("local")));
    let (_, table, _) = command(&["check-plugin", &url]);
    assert!(table.contains("17 kept, 0 deviate, 0 fail"), "{table}");
}

/// What only deviates is told, and nothing is left behind.
#[test]
fn deviations_are_told() {
    let fake = fake_with_logs();
    fake.answer_creates_with(CreateForm::Wrapped201);
    fake.set_job_log("main", "job 17 begins\n");
    // One refusal for the question about an unknown pod, which is the second that is asked.
    fake.faults("/status", &[Fault::Pass, Fault::Status(404, "unknown")]);
    let (code, report) = check(&fake.url(), &[]);
    // The fake has logs by the names of containers, whoever they are of.
    let want = ["W3", "W6", "W11", "W13"].map(|id| (id, "deviates"));
    assert_eq!(broken(&report), of(&want), "{report:#}");
    assert_eq!((code, &report["plugin"]), (3, &json!("htcondor")));
    assert!(fake.jobs().is_empty(), "it is deleted");
}

#[test]
fn failures_are_told() {
    let fake = fake_with_logs();
    fake.always("/delete", Some(Fault::Status(500, "scancel failed")));
    fake.begin_jobs_as(&JobState::Ended(
        json!({ "exitCode": 127, "reason": "Error" }),
    ));
    let (code, report) = check(&fake.url(), &[]);
    let failed = broken(&report);
    for id in ["W9", "W16"] {
        let fails = (id.to_owned(), "fails".to_owned());
        assert!(failed.contains(&fails), "{id}: {report:#}");
    }
    assert_eq!(code, 1);
}

/// Without a submission that goes well most rules cannot be tried.
#[test]
fn what_cannot_be_tried_is_no_success() {
    let fake = Fake::start();
    fake.always("/create", Some(Fault::Status(400, "no such partition")));
    let (code, report) = check(&fake.url(), &[]);
    let rules = broken(&report);
    assert!(
        rules.contains(&("W3".to_owned(), "fails".to_owned())),
        "{report:#}"
    );
    assert!(
        rules.contains(&("W9".to_owned(), "not tried".to_owned())),
        "{report:#}"
    );
    assert_eq!(code, 1);
    // Nobody knows whether a refusal was one.
    assert_eq!(fake.requests("/delete").len(), 2);
    let (code, _, error) = command(&["check-plugin", "http://127.0.0.1:1"]);
    assert_eq!(code, 1, "{error}");
}

/// A plugin has no /pinglink; what the server would make of each call is sent to it.
#[test]
fn a_plugin_without_a_server_is_told() {
    let fake = fake_with_logs();
    fake.always("/pinglink", Some(Fault::Status(404, "404 page not found")));
    let (_, report) = check(&fake.url(), &["--profile", "docker"]);
    assert_eq!(
        (&report["direct"], &report["plugin"]),
        (&json!(true), &json!("docker"))
    );
    let created = fake.requests("/create");
    let created = created.last().expect("a submission");
    assert_eq!(created["container"][1]["name"], "main");
    assert_eq!(created.get("configmaps"), None);
}

#[test]
fn an_interrupt_leaves_nothing_behind() {
    let fake = Fake::start();
    let mut child = Command::new(BINARY)
        .args(["check-plugin", &fake.url()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    fake.wait_for_requests("/status", 6);
    assert_eq!(fake.jobs().len(), 1, "its job runs");
    kill_process(Pid::from_child(&child), Signal::INT).expect("signalled");
    let status = wait_for("it ends", || child.try_wait().expect("waited"));
    assert_eq!(status.code(), Some(130));
    assert!(fake.jobs().is_empty(), "its job is deleted");
    let mut text = String::new();
    child
        .stdout
        .take()
        .expect("piped")
        .read_to_string(&mut text)
        .expect("text");
    assert!(text.contains("W9   not tried"), "{text}");
}
