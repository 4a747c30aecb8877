//! Rotation as the kubelet does it: rename, then `ReopenContainerLog`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::support::{
    code, container, log_text, options, sandbox, wait_for, Cri, Daemon, Fake, JobState,
};
use grpcio::RpcStatusCode;
use interlink_cri::proto::ReopenContainerLogRequest;

fn reopen(cri: &Cri, id: &str) -> grpcio::Result<()> {
    let request = ReopenContainerLogRequest {
        container_id: id.into(),
        ..Default::default()
    };
    cri.runtime
        .reopen_container_log(&request, options())
        .map(drop)
}

fn running(fake: &Fake, cri: &Cri) -> (String, PathBuf) {
    let pod = cri.run(&sandbox("rotated"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    fake.wait_for_requests("/create", 1);
    fake.set_all(&JobState::Running);
    let log = cri.status(&id).log_path.into();
    (id, log)
}

fn wait_for_text(log: &Path, want: &str) {
    wait_for(&format!("the log is {want:?}"), || {
        (log_text(log) == want).then_some(())
    });
}

#[test]
fn the_new_file_is_there_at_once_and_the_old_one_rests() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    fake.set_log("main", "one\n");
    let (id, log) = running(&fake, &cri);
    wait_for_text(&log, "one\n");
    let old = log.with_extension("log.20260101-000000");
    fs::rename(&log, &old).expect("renamed");
    reopen(&cri, &id).expect("reopened");
    assert!(log.exists(), "when the call returns");
    fake.set_log("main", "one\ntwo\n");
    wait_for_text(&log, "two\n");
    assert_eq!(log_text(&old), "one\n");
    fake.set_all(&JobState::exited(0));
    cri.wait_for_exit(&id);
    assert_eq!(log_text(&log), "two\n");
    let refused = code(reopen(&cri, &id));
    assert_eq!(
        refused.0,
        RpcStatusCode::FAILED_PRECONDITION,
        "only a running one"
    );
    assert_eq!(code(reopen(&cri, "unknown")).0, RpcStatusCode::NOT_FOUND);
}

#[test]
fn a_crash_between_rename_and_reopen_loses_and_repeats_nothing() {
    let fake = Fake::start();
    let mut daemon = Daemon::with(&fake);
    fake.set_log("main", "one\n");
    let (id, log) = running(&fake, &daemon.cri());
    wait_for_text(&log, "one\n");
    daemon.kill();
    let old = log.with_extension("log.20260101-000000");
    fs::rename(&log, &old).expect("renamed");
    fake.set_log("main", "one\ntwo\n");
    daemon.run();
    wait_for_text(&log, "two\n");
    reopen(&daemon.cri(), &id).expect("reopened");
    daemon.kill_and_restart();
    fake.set_log("main", "one\ntwo\nthree\n");
    fake.set_all(&JobState::exited(0));
    daemon.cri().wait_for_exit(&id);
    assert_eq!(
        (log_text(&old), log_text(&log)),
        ("one\n".into(), "two\nthree\n".into())
    );
}
