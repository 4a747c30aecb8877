//! How containers end: codes, reasons, messages, the termination-log file, times.

use crate::support::{container, sandbox, Daemon, Fake, JobState};
use interlink_cri::proto::Mount;
use serde_json::json;

#[test]
fn codes_reasons_and_messages_come_from_the_plugin() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let rows = [
        ("success", json!({ "exitCode": 0 }), (0, "Completed")),
        ("failure", json!({ "exitCode": 3 }), (3, "Error")),
        (
            "signal",
            json!({ "exitCode": 0, "signal": 9 }),
            (137, "Error"),
        ),
        (
            "oom",
            json!({ "exitCode": 0, "reason": "OOMKilled" }),
            (137, "OOMKilled"),
        ),
        (
            "limit",
            json!({ "exitCode": 1, "reason": "SlurmJobTimeout" }),
            (124, "TimeLimit"),
        ),
        (
            "odd-times",
            json!({ "exitCode": 0, "startedAt": "1970-01-01T00:00:00Z", "finishedAt": "2170-01-01T00:00:00Z" }),
            (0, "Completed"),
        ),
    ];
    for (name, ended, (code, reason)) in rows {
        let mut config = sandbox(name);
        config.metadata.mut_or_insert_default().uid = format!("uid-{name}");
        let pod = cri.run(&config);
        let before = fake.requests("/create").len();
        let id = cri.launch(&pod, &container(name, &["true"]));
        fake.wait_for_requests("/create", before + 1);
        fake.set(name, &JobState::Ended(ended));
        let status = cri.wait_for_exit(&id);
        assert_eq!(
            (status.exit_code, status.reason.as_str()),
            (code, reason),
            "{name}"
        );
        assert!(
            0 < status.created_at && status.created_at <= status.started_at,
            "{name}"
        );
        assert!(status.started_at <= status.finished_at, "{name}");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        assert!(
            status.finished_at as u128 <= now.expect("after 1970").as_nanos(),
            "{name}"
        );
    }
}

#[test]
fn what_a_job_says_goes_to_the_termination_log() {
    let fake = Fake::start();
    let root = tempfile::tempdir().expect("a directory");
    let file = root.path().join("pods/uid/containers/main/0a1b2c3d");
    std::fs::create_dir_all(file.parent().expect("a parent")).expect("made");
    std::fs::write(&file, "").expect("written");
    let settings = format!("[pods]\nkubelet_root = '{}'", root.path().display());
    let daemon = Daemon::start(&fake.url(), &settings);
    let cri = daemon.cri();
    let mut pod = sandbox("speaks");
    pod.metadata.mut_or_insert_default().uid = "uid".into();
    let pod = cri.run(&pod);
    let mut config = container("main", &["true"]);
    config.mounts.push(Mount {
        container_path: "/dev/termination-log".into(),
        host_path: file.display().to_string(),
        ..Default::default()
    });
    let id = cri.launch(&pod, &config);
    fake.wait_for_requests("/create", 1);
    fake.set_all(&JobState::Ended(
        json!({ "exitCode": 1, "message": "no such file: input.dat" }),
    ));
    let status = cri.wait_for_exit(&id);
    assert_eq!(
        std::fs::read_to_string(&file).expect("reads"),
        "no such file: input.dat"
    );
    assert_eq!(
        status.message, "",
        "a text goes to one of the two, not both"
    );
    assert_eq!(
        status.mounts[0].host_path,
        file.display().to_string(),
        "as it was given"
    );
}
