//! `doctor`: what is wrong with a node, and what to do about it.

use serde_json::Value;

use crate::support::{command, wait_for, Daemon, Fake};

/// The exit code, and verdict and advice of a check.
fn look(arguments: &[&str], check: &str) -> (i32, String, String) {
    let (code, text, error) = command(&[&["doctor", "-o", "json"], arguments].concat());
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}\n{error}"));
    let findings = report["findings"].as_array().expect("findings");
    let of = |key: &str| {
        let mut all = findings.iter().filter(|one| one["check"] == check);
        let found = all
            .next()
            .unwrap_or_else(|| panic!("{check} is not in {text}"));
        found[key].as_str().expect("text").to_owned()
    };
    (code, of("verdict"), of("advice"))
}

#[test]
fn a_daemon_and_an_interlink_that_answer_are_good() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let socket = daemon.socket().display().to_string();
    let url = fake.url();
    let flags = ["--socket", &socket, "--interlink-url", &url];
    for check in ["daemon", "interLink"] {
        // The daemon has pinged its server a moment after it serves.
        let advice = wait_for(check, || {
            let (_, verdict, advice) = look(&flags, check);
            (verdict == "ok").then_some(advice)
        });
        assert_eq!(advice, "", "{check}");
    }
}

#[test]
fn what_is_away_is_a_fault_with_advice() {
    let flags = [
        "--socket",
        "/nowhere/s.sock",
        "--interlink-url",
        "unix:///nowhere/i.sock",
    ];
    for (check, word) in [("daemon", "systemctl start"), ("interLink", "check-plugin")] {
        let (code, verdict, advice) = look(&flags, check);
        assert_eq!((code, verdict.as_str()), (3, "fault"), "{check}");
        assert!(advice.contains(word), "{advice}");
    }
}

#[test]
fn a_kubelet_with_another_runtime_is_a_fault() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(
        file.path(),
        "containerRuntimeEndpoint: unix:///run/other.sock\n",
    )
    .expect("written");
    let path = file.path().display().to_string();
    let (code, verdict, advice) = look(&["--kubelet-config", &path], "kubelet");
    assert_eq!((code, verdict.as_str()), (3, "fault"));
    assert!(
        advice.contains("containerRuntimeEndpoint: unix:///run/interlink-cri/"),
        "{advice}"
    );
}
