use std::{
    fs,
    os::unix::fs::{symlink, PermissionsExt as _},
};

use super::*;

fn audit(path: &Path) -> (Audit, Arc<Counters>) {
    let mut config = Config::default();
    config.audit.file = Some(path.to_owned());
    let counters = Arc::new(Counters::default());
    (Audit::new(&config, counters.clone()), counters)
}

fn line(pod: &str) -> Line<'_> {
    Line {
        time: "2026-11-26T16:00:00Z".to_owned(),
        action: Action::Submission,
        outcome: Outcome::InDoubt,
        namespace: "lab",
        pod,
        pod_uid: "u",
        service_account: None,
        uid: Some(1000),
        gid: None,
        job_uid: "j".to_owned(),
        remote_id: Some("4711"),
        flags: Some("-p gpu".to_owned()),
    }
}

fn pods(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("reads");
    let lines = text.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        line["pod"].as_str().expect("a pod").to_owned()
    });
    lines.collect()
}

#[test]
fn a_line_has_all_of_it() {
    let text = serde_json::to_string(&line("web")).expect("JSON");
    let want = r#"{"time":"2026-11-26T16:00:00Z","action":"submission","outcome":"in-doubt","namespace":"lab","pod":"web","podUID":"u","serviceAccount":null,"uid":1000,"gid":null,"jobUID":"j","remoteId":"4711","flags":"-p gpu"}"#;
    assert_eq!(text, want);
}

#[test]
fn lines_are_appended_to_a_private_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("audit");
    let (audit, counters) = audit(&path);
    audit.write(&line("a"));
    let mode = fs::metadata(&path).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    audit.write(&line("b\nc"));
    assert_eq!(pods(&path), ["a", "b\nc"]);
    // Rotated by renaming it, or by telling the daemon.
    let old = dir.path().join("audit.1");
    fs::rename(&path, &old).expect("renamed");
    audit.write(&line("d"));
    audit.reopen();
    audit.write(&line("e"));
    assert_eq!(
        (pods(&old).len(), pods(&path)),
        (2, vec!["d".to_owned(), "e".to_owned()])
    );
    assert_eq!(counters.get(Counter::AuditErrors), 0);
}

#[test]
fn what_cannot_be_written_is_counted() {
    let dir = tempfile::tempdir().expect("a directory");
    let elsewhere = dir.path().join("elsewhere");
    fs::write(&elsewhere, "").expect("written");
    let link = dir.path().join("link");
    symlink(&elsewhere, &link).expect("linked");
    for path in [link, dir.path().to_owned(), dir.path().join("none/audit")] {
        let (audit, counters) = audit(&path);
        audit.write(&line("a"));
        assert_eq!(counters.get(Counter::AuditErrors), 1, "{}", path.display());
    }
    assert_eq!(fs::read_to_string(&elsewhere).expect("reads"), "");
}
