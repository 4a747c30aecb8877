//! What plugins write in answers to /status: what is odd about one job leaves the others alone.

use interlink_cri::proto::ContainerState;
use serde_json::{json, Value};

use crate::{
    polling::launch,
    support::{command, container, sandbox, wait_for, Daemon, Fake, Fault, JobState},
};

/// Pods with a container each, `c0`, `c1`...; gives the containers' ids, and the UIDs of their jobs.
fn pods(fake: &Fake, daemon: &Daemon, count: usize) -> (Vec<String>, Vec<String>) {
    let cri = daemon.cri();
    let pods = (0..count).map(|number| launch(fake, &cri, number));
    pods.unzip()
}

/// The bytes are those of a plugin in Python.
#[test]
fn times_without_a_zone_and_numbers_as_text_are_read() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let (ids, _) = pods(&fake, &daemon, 4);
    let started = json!({"running": {"startedAt": "2026-01-01T00:00:00"}});
    fake.set("c0", &JobState::As(started));
    for (name, code) in [
        ("c1", json!(0.0)),
        ("c2", json!("1")),
        ("c3", json!(1_u64 << 40)),
    ] {
        fake.set(name, &JobState::Ended(json!({"exitCode": code})));
    }
    let codes: Vec<_> = ids[1..]
        .iter()
        .map(|id| cri.wait_for_exit(id).exit_code)
        .collect();
    assert_eq!(codes, [0, 1, i32::MAX]);
    wait_for("the first one runs over there", || {
        let (status, info) = cri.verbose_status(&ids[0]);
        let remote: Value = serde_json::from_str(&info["remote"]).expect("JSON");
        let is_running = status.state.enum_value() == Ok(ContainerState::CONTAINER_RUNNING);
        (is_running && remote["state"] == "Running").then_some(())
    });
}

/// The words are those of a scheduler.
#[test]
fn why_a_job_waits_is_shown() {
    let mut fake = Fake::start();
    let mut daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let (ids, _) = pods(&fake, &daemon, 1);
    let message = "Priority; QOSMaxJobsPerUserLimit";
    let why = json!({"reason": "JobHeld", "message": message});
    fake.set("c0", &JobState::As(json!({"waiting": why})));
    let waiting = || {
        let (status, info) = cri.verbose_status(&ids[0]);
        assert_eq!(status.state, ContainerState::CONTAINER_RUNNING.into());
        let remote: Value = serde_json::from_str(&info["remote"]).expect("JSON");
        Some(remote["job"]["waiting"].clone()).filter(|waiting| *waiting == why)
    };
    wait_for("the reason", waiting);
    let socket = daemon.socket().display().to_string();
    let (code, table, _) = command(&["jobs", "--socket", &socket]);
    assert_eq!(code, 0);
    assert!(table.contains(&format!("JobHeld: {message}")), "{table}");
    // It is kept.
    fake.down();
    daemon.kill_and_restart();
    assert!(waiting().is_some());
    fake.up();
    fake.set("c0", &JobState::Running);
    wait_for("it runs", || {
        let (_, table, _) = command(&["jobs", "--socket", &socket]);
        (table.contains("running") && !table.contains("JobHeld")).then_some(())
    });
    fake.set("c0", &JobState::exited(0));
    assert_eq!(cri.wait_for_exit(&ids[0]).exit_code, 0);
}

#[test]
fn what_cannot_be_understood_is_said_once_and_its_job_waits() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let (ids, uids) = pods(&fake, &daemon, 4);
    fake.set("c0", &JobState::Ended(json!({"exitCode": 0.5})));
    fake.set("c1", &JobState::Ended(json!("gone")));
    fake.say_of(&uids[2], Value::Null);
    // Many times as many polls as may miss a job.
    let polls = fake.requests("/status").len();
    fake.wait_for_requests("/status", polls + 40);
    fake.set("c3", &JobState::exited(7));
    assert_eq!(cri.wait_for_exit(&ids[3]).exit_code, 7);
    for id in &ids[..3] {
        assert_eq!(cri.state(id), ContainerState::CONTAINER_RUNNING);
    }
    let log = daemon.log();
    for (number, why) in [
        (2, "names no job"),
        (0, "a number where a whole number belongs"),
        (1, "a text where an object belongs"),
    ] {
        let said = log
            .lines()
            .filter(|line| line.contains("cannot be understood") && line.contains(&uids[number]));
        let said: Vec<_> = said.collect();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].contains(&format!("lab/pod-{number}")) && said[0].contains(why),
            "{said:?}"
        );
    }
    // What they say later counts.
    fake.set("c0", &JobState::exited(3));
    fake.say_of(
        &uids[2],
        json!({"UID": uids[2], "containers": [
            {"name": "c2", "state": {"terminated": {"exitCode": 4}}},
        ]}),
    );
    assert_eq!(cri.wait_for_exit(&ids[0]).exit_code, 3);
    assert_eq!(cri.wait_for_exit(&ids[2]).exit_code, 4);
}

/// What `crictl inspect` and `crictl info` show: what is to be done next and when, and how old the last word
/// is.
#[test]
fn what_is_owed_and_when_it_was_last_polled_is_shown() {
    let fake = Fake::start();
    fake.always("/create", Some(Fault::Status(503, "no room")));
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("train"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    let remote = || -> Value {
        let (_, info) = cri.verbose_status(&id);
        serde_json::from_str(&info["remote"]).expect("JSON")
    };
    let duty = |remote: &Value| remote["owed"][0]["duty"].as_str().map(str::to_owned);
    fake.wait_for_requests("/create", 1);
    let before = wait_for("a submission is owed", || {
        Some(remote()).filter(|remote| duty(remote).as_deref() == Some("submit"))
    });
    let owed = &before["owed"][0];
    assert!(
        owed["inSeconds"].is_u64() && owed["due"].is_string(),
        "{owed}"
    );
    assert_eq!(before["lastPoll"], Value::Null);
    let known = &before["interLinkPod"];
    assert_eq!(
        (&known["namespace"], &known["name"]),
        (&json!("lab"), &json!("train"))
    );
    assert_eq!(known["uid"], before["job"]["uid"]);

    fake.begin_jobs_as(&JobState::Running);
    fake.always("/create", None);
    let after = wait_for("it is polled", || {
        Some(remote()).filter(|remote| remote["lastPollAgeSeconds"].is_u64())
    });
    assert!(
        after["lastPoll"].is_string() && duty(&after).is_none(),
        "{after}"
    );

    fake.always("/delete", Some(Fault::Status(503, "no")));
    fake.set_all(&JobState::exited(0));
    cri.wait_for_exit(&id);
    cri.stop_sandbox(&pod);
    wait_for("its cleaning up is owed", || {
        (duty(&remote()).as_deref() == Some("cancel")).then_some(())
    });
    let socket = daemon.socket().display().to_string();
    let (_, text, _) = command(&["status", "--socket", &socket, "-o", "json"]);
    let status: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(status["info"]["interlink"]["owed"], json!({"cancel": 1}));
}
