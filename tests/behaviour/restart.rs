//! The daemon ends and comes back: what it knew, who else may run, what it leaves.

use std::{
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    time::Duration,
};

use crate::support::{
    command, container, options, sandbox, wait_for, Cri, Daemon, Fake, Fault, JobState,
};
use interlink_cri::proto::{
    ContainerState, ImageSpec, ImageStatusRequest, PodSandboxState, PodSandboxStatus,
    PodSandboxStatusRequest,
};
use protobuf::MessageField;

fn sandbox_status(cri: &Cri, id: &str) -> PodSandboxStatus {
    let request = PodSandboxStatusRequest {
        pod_sandbox_id: id.into(),
        ..Default::default()
    };
    let answer = cri
        .runtime
        .pod_sandbox_status(&request, options())
        .expect("a status");
    answer.status.into_option().expect("a status")
}

#[test]
fn everything_is_back_after_a_kill() {
    let fake = Fake::start();
    let mut daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("kept"));
    let stopped = {
        let mut config = sandbox("stopped");
        config.metadata.mut_or_insert_default().uid = "another".into();
        cri.run(&config)
    };
    cri.stop_sandbox(&stopped);
    let exited = cri.launch(&pod, &container("exited", &["true"]));
    fake.wait_for_requests("/create", 1);
    fake.set_all(&JobState::exited(9));
    cri.wait_for_exit(&exited);
    let running = cri.launch(&pod, &container("running", &["true"]));
    fake.wait_for_requests("/create", 2);
    let created = cri.create(&pod, &container("created", &["true"]));
    let before = [&exited, &running, &created].map(|id| cri.status(id));
    let sandboxes = [&pod, &stopped].map(|id| sandbox_status(&cri, id));

    daemon.kill_and_restart();
    let cri = daemon.cri();
    for (status, id) in before.iter().zip([&exited, &running, &created]) {
        assert_eq!(&cri.status(id), status);
    }
    assert_eq!(
        [&pod, &stopped].map(|id| sandbox_status(&cri, id)),
        sandboxes
    );
    assert_eq!(sandboxes[0].state, PodSandboxState::SANDBOX_READY.into());
    let image = MessageField::some(ImageSpec {
        image: "busybox:1.36".into(),
        ..Default::default()
    });
    let request = ImageStatusRequest {
        image,
        ..Default::default()
    };
    assert!(cri
        .images
        .image_status(&request, options())
        .expect("an answer")
        .image
        .is_some());

    fake.set("running", &JobState::exited(6));
    assert_eq!(
        cri.wait_for_exit(&running).exit_code,
        6,
        "the job went on meanwhile"
    );
    cri.start(&created);
    assert_eq!(cri.state(&created), ContainerState::CONTAINER_RUNNING);
    assert_eq!(fake.wait_for_requests("/create", 3).len(), 3);
}

#[test]
fn a_second_daemon_is_refused() {
    let mut daemon = Daemon::prepare("");
    daemon.run();
    let state = daemon.path("state").display().to_string();
    let other = daemon.path("other").display().to_string();
    let socket = daemon.socket().display().to_string();
    let (code, _, error) = command(&[
        "serve",
        "--state-dir",
        &state,
        "--socket",
        &format!("{other}.sock"),
    ]);
    assert_eq!(code, 1);
    assert!(
        error.contains(&state) && error.contains("in use"),
        "{error}"
    );
    let (code, _, error) = command(&["serve", "--state-dir", &other, "--socket", &socket]);
    assert_eq!(code, 1);
    assert!(
        error.contains(&socket) && error.contains("in use"),
        "{error}"
    );
    daemon.cri().run(&sandbox("still-there"));
}

#[test]
fn the_socket_is_private_and_a_stale_one_is_cleared() {
    let mut daemon = Daemon::prepare("");
    daemon.run();
    let mode = |daemon: &Daemon| {
        let metadata = std::fs::symlink_metadata(daemon.socket()).expect("a socket");
        assert!(metadata.file_type().is_socket());
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(&daemon), 0o660);
    daemon.kill();
    assert!(daemon.socket().exists(), "a killed daemon leaves it behind");
    daemon.run();
    assert_eq!(mode(&daemon), 0o660);
    assert!(daemon.terminate().success());
    assert!(!daemon.socket().exists(), "a clean end removes it");
}

#[test]
fn a_clean_stop_is_quick_also_while_the_plugin_hangs() {
    let fake = Fake::start();
    for path in ["/create", "/pinglink", "/status"] {
        fake.always(path, Some(Fault::Hang));
    }
    let settings = "[interlink]\ncreate_timeout = '60s'\nrequest_timeout = '60s'\n[daemon]\nshutdown_timeout = '5s'";
    let mut daemon = Daemon::start(&fake.url(), settings);
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("hangs"));
    cri.launch(&pod, &container("main", &["true"]));
    fake.wait_for_requests("/create", 1);
    let begun = std::time::Instant::now();
    assert!(daemon.terminate().success());
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_hangup_reads_the_log_level_again() {
    let mut daemon = Daemon::prepare("[daemon]\nlog_level = 'debug'");
    daemon.run();
    daemon.hang_up();
    wait_for("it says so", || {
        daemon.log().contains("are read again").then_some(())
    });
    // One that is misspelt is told, and changes nothing.
    let path = daemon.path("config.toml");
    let good = std::fs::read_to_string(&path).expect("reads");
    let (said, bad) = (daemon.log(), good.replace("\"debug\"", "\"infoo\""));
    assert_ne!(good, bad);
    std::fs::write(&path, bad).expect("writes");
    daemon.hang_up();
    let error = "daemon.log_level = \"infoo\": `infoo` is no level";
    wait_for("it says so", || {
        let log = daemon.log();
        let new = &log[said.len()..];
        (new.contains("nothing is changed") && new.contains(error)).then_some(())
    });
    daemon.cri().run(&sandbox("told"));
    wait_for("the level is as it was", || {
        daemon
            .log()
            .contains("pod lab/told: pod sandbox is ready")
            .then_some(())
    });
}
