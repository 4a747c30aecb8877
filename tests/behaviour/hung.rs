//! What hangs holds up its own pod: all others go on, the CRI answers, and the daemon ends in time.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use grpcio::RpcStatusCode;
use interlink_cri::proto::{
    ContainerState, ListContainersRequest, Mount, PodSandboxConfig, RunPodSandboxRequest,
    StartContainerRequest, StatusRequest, VersionRequest, METHOD_RUNTIME_SERVICE_RUN_POD_SANDBOX,
    METHOD_RUNTIME_SERVICE_START_CONTAINER,
};
use protobuf::MessageField;

use crate::support::{
    code, container, options, sandbox, wait_for, Cri, Daemon, Fake, Hung, JobState,
};

/// Far more than any answer takes, and far less than what hangs.
const SOON: Duration = Duration::from_secs(20);

fn pod(name: &str) -> PodSandboxConfig {
    let mut config = sandbox(name);
    config.metadata.mut_or_insert_default().uid = format!("uid-{name}");
    config
}

fn directory(daemon: &Daemon, name: &str) -> PathBuf {
    let path = daemon.path(name);
    fs::create_dir_all(&path).expect("a directory");
    path
}

/// The CRI answers from memory.
fn answers(cri: &Cri) {
    let begun = Instant::now();
    let runtime = &cri.runtime;
    runtime
        .version(&VersionRequest::default(), options())
        .expect("a version");
    runtime
        .list_containers(&ListContainersRequest::default(), options())
        .expect("a list");
    let took = begun.elapsed();
    assert!(took < SOON, "{took:?}");
    println!("a version and a list took {took:?}");
}

fn is_submitted(fake: &Fake, pod: &str) -> bool {
    let requests = fake.requests("/create");
    let mut pods = requests.iter().map(|request| &request["pod"]["metadata"]);
    pods.any(|metadata| metadata.to_string().contains(pod))
}

#[test]
fn host_paths_that_hang_hold_up_their_own_pods() {
    let fake = Fake::start();
    let mut daemon = Daemon::prepare("[daemon]\ndisk_timeout = '300ms'\n[interlink]\nworkers = 2");
    daemon.interlink(&fake.url());
    let at = directory(&daemon, "dead");
    let Some(hung) = Hung::over(&at) else { return };
    daemon.run();
    let cri = daemon.cri();
    let path = at.join("data").display().to_string();
    // More than there are workers.
    for number in 0..4 {
        let mut config = container("main", &["true"]);
        config.mounts.push(Mount {
            container_path: "/data".to_owned(),
            host_path: path.clone(),
            ..Default::default()
        });
        cri.launch(&cri.run(&pod(&format!("stuck-{number}"))), &config);
    }
    wait_for("the line about the path", || {
        let log = daemon.log();
        let mut lines = log.lines();
        let held =
            |line: &&str| line.contains("not submitted, to be tried again") && line.contains(&path);
        lines.find(held).map(drop)
    });
    cri.launch(&cri.run(&pod("quick")), &container("main", &["true"]));
    wait_for("another pod is submitted", || {
        is_submitted(&fake, "quick").then_some(())
    });
    assert!(!is_submitted(&fake, "stuck"));
    answers(&cri);
    drop(hung);
    for number in 0..4 {
        wait_for("it is submitted when the mount answers", || {
            is_submitted(&fake, &format!("stuck-{number}")).then_some(())
        });
    }
}

#[test]
fn log_directories_that_hang_hold_up_their_own_pods() {
    let fake = Fake::start();
    // So long that the handlers for disks are all held up for the rest of the test.
    let settings =
        "[cri]\nhandler_threads = 2\n[daemon]\ndisk_timeout = '50s'\nshutdown_timeout = '3s'";
    let mut daemon = Daemon::prepare(settings);
    daemon.interlink(&fake.url());
    daemon.run();
    let cri = daemon.cri();
    let logs = directory(&daemon, "hung-logs");
    let containers: Vec<_> = (0..3)
        .map(|number| {
            let mut config = pod(&format!("stuck-{number}"));
            config.log_directory = logs.join(number.to_string()).display().to_string();
            cri.create(&cri.run(&config), &container("main", &["true"]))
        })
        .collect();
    let Some(hung) = Hung::over(&logs) else {
        return;
    };
    let calls: Vec<_> = containers
        .iter()
        .map(|id| {
            let request = StartContainerRequest {
                container_id: id.clone(),
                ..Default::default()
            };
            let method = &METHOD_RUNTIME_SERVICE_START_CONTAINER;
            cri.raw
                .unary_call_async(method, &request, options())
                .expect("sent")
        })
        .collect();
    for _ in 0..5 {
        answers(&cri);
    }
    // One handler is left to calls that touch nothing of a pod.
    let other = cri.run(&pod("other"));
    cri.stop_sandbox(&other);
    cri.remove_sandbox(&other);
    ends_in_time(&mut daemon);
    drop((calls, hung));
}

#[test]
fn a_container_whose_log_hangs_is_refused_with_the_path() {
    let mut daemon = Daemon::prepare("[daemon]\ndisk_timeout = '1s'");
    daemon.run();
    let cri = daemon.cri();
    let logs = directory(&daemon, "hung-logs");
    let mut config = pod("stuck");
    config.log_directory = logs.display().to_string();
    let id = cri.create(&cri.run(&config), &container("main", &["true"]));
    let Some(_hung) = Hung::over(&logs) else {
        return;
    };
    let (code, message) = code(cri.try_start(&id));
    assert_eq!(code, RpcStatusCode::UNAVAILABLE);
    assert!(message.contains(&*logs.to_string_lossy()), "{message}");
    assert_eq!(cri.state(&id), ContainerState::CONTAINER_EXITED);
    let quick = cri.launch(&cri.run(&pod("quick")), &container("main", &["true"]));
    assert_eq!(cri.state(&quick), ContainerState::CONTAINER_RUNNING);
}

#[test]
fn a_restart_serves_although_a_log_hangs() {
    let fake = Fake::start();
    let mut daemon = Daemon::prepare("[daemon]\ndisk_timeout = '300ms'");
    daemon.interlink(&fake.url());
    daemon.run();
    let cri = daemon.cri();
    let logs = directory(&daemon, "hung-logs");
    let mut config = pod("stuck");
    config.log_directory = logs.display().to_string();
    let stuck = cri.launch(&cri.run(&config), &container("main", &["true"]));
    let quick = cri.launch(&cri.run(&pod("quick")), &container("main", &["true"]));
    wait_for("both are submitted", || {
        (is_submitted(&fake, "stuck") && is_submitted(&fake, "quick")).then_some(())
    });
    daemon.kill();
    let Some(hung) = Hung::over(&logs) else {
        return;
    };
    daemon.run();
    let cri = daemon.cri();
    answers(&cri);
    fake.set_all(&JobState::Running);
    wait_for("the line about the log", || {
        let path = logs.display().to_string();
        let log = daemon.log();
        let mut lines = log.lines();
        lines
            .find(|line| line.contains("has not answered within") && line.contains(&path))
            .map(drop)
    });
    fake.set_all(&JobState::exited(0));
    wait_for("the other one ends", || {
        (cri.state(&quick) == ContainerState::CONTAINER_EXITED).then_some(())
    });
    // Its end shows without the rest of its log.
    wait_for("so does this one", || {
        (cri.state(&stuck) == ContainerState::CONTAINER_EXITED).then_some(())
    });
    assert!(daemon.terminate().success());
    drop(hung);
}

/// Release builds have no failpoint to hang at.
#[cfg(debug_assertions)]
#[test]
fn the_daemon_ends_in_time_although_the_state_s_disk_hangs() {
    let mut daemon = Daemon::prepare("[daemon]\nshutdown_timeout = '2s'");
    daemon.plant("journal=hang@2");
    daemon.run();
    let cri = daemon.cri();
    let call = |name: &str| {
        let request = RunPodSandboxRequest {
            config: MessageField::some(pod(name)),
            ..Default::default()
        };
        let method = &METHOD_RUNTIME_SERVICE_RUN_POD_SANDBOX;
        let call = cri.raw.unary_call_async(method, &request, options());
        call.expect("sent")
    };
    let calls = [call("one"), call("two"), call("three")];
    for _ in 0..5 {
        answers(&cri);
    }
    let begun = Instant::now();
    assert_eq!(daemon.terminate().code(), Some(75));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(daemon.log().contains("has not stopped within 2s"));
    drop(calls);
}

/// A daemon whose kubelet's directory can hang, with more settings.
fn with_kubelet_root(settings: &str) -> (Fake, tempfile::TempDir, Daemon) {
    let (fake, root) = (Fake::start(), tempfile::tempdir().expect("a directory"));
    let settings = format!(
        "[daemon]\ndisk_timeout = '300ms'\n[pods]\nkubelet_root = {:?}\n{settings}",
        root.path()
    );
    let mut daemon = Daemon::prepare(&settings);
    daemon.interlink(&fake.url());
    daemon.run();
    (fake, root, daemon)
}

/// The kubelet's directory of a pod: CreateContainer looks at the volumes there.
#[test]
fn volumes_that_hang_hold_up_their_own_pods() {
    let (fake, root, mut daemon) = with_kubelet_root("[cri]\nhandler_threads = 2");
    let cri = daemon.cri();
    let own = root.path().join("pods/uid-stuck");
    let volume = own.join("volumes/kubernetes.io~configmap/conf");
    fs::create_dir_all(&volume).expect("made");
    let Some(hung) = Hung::over(&own) else { return };
    let stuck = cri.run(&pod("stuck"));
    let mut config = container("main", &["true"]);
    config.mounts.push(Mount {
        container_path: "/conf".to_owned(),
        host_path: volume.display().to_string(),
        ..Default::default()
    });
    for _ in 0..3 {
        let begun = Instant::now();
        let refused = cri.try_create(&stuck, &config);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        let (code, message) = code(refused);
        assert_eq!(code, RpcStatusCode::UNAVAILABLE);
        assert!(message.contains(&*own.to_string_lossy()), "{message}");
        answers(&cri);
    }
    cri.launch(&cri.run(&pod("quick")), &container("main", &["true"]));
    wait_for("another pod is submitted", || {
        is_submitted(&fake, "quick").then_some(())
    });
    assert!(daemon.terminate().success());
    drop(hung);
}

/// The file into which the kubelet wants what a container said at its end.
#[test]
fn a_termination_log_that_hangs_keeps_no_end_from_being_shown() {
    let (fake, root, mut daemon) = with_kubelet_root("");
    let cri = daemon.cri();
    let own = root.path().join("pods/uid-stuck");
    let file = own.join("containers/main/0a1b2c3d");
    fs::create_dir_all(file.parent().expect("a parent")).expect("made");
    fs::write(&file, "").expect("written");
    let mut config = container("main", &["true"]);
    config.mounts.push(Mount {
        container_path: "/dev/termination-log".into(),
        host_path: file.display().to_string(),
        ..Default::default()
    });
    let stuck = cri.launch(&cri.run(&pod("stuck")), &config);
    let quick = cri.launch(&cri.run(&pod("quick")), &container("main", &["true"]));
    fake.wait_for_requests("/create", 2);
    let Some(hung) = Hung::over(&own) else { return };
    fake.set_all(&JobState::Ended(
        serde_json::json!({ "exitCode": 1, "message": "no such file: input.dat" }),
    ));
    assert_eq!(cri.wait_for_exit(&quick).exit_code, 1);
    assert_eq!(cri.wait_for_exit(&stuck).exit_code, 1);
    answers(&cri);
    let log = daemon.log();
    assert!(
        log.contains("cannot write its termination message"),
        "{log}"
    );
    assert!(daemon.terminate().success());
    drop(hung);
}

/// SIGTERM ends the daemon soon, by force if need be.
fn ends_in_time(daemon: &mut Daemon) {
    let begun = Instant::now();
    let status = daemon.terminate();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(status.success() || status.code() == Some(75), "{status}");
}

/// Where the state lies: what is only read, the daemon's own figures among it, touches it never.
#[test]
fn whoever_asks_how_the_daemon_is_waits_for_no_disk() {
    let fake = Fake::start();
    let mut daemon = Daemon::prepare("[daemon]\nshutdown_timeout = '2s'");
    daemon.interlink(&fake.url());
    daemon.run();
    let cri = daemon.cri();
    let id = cri.create(&cri.run(&pod("kept")), &container("main", &["true"]));
    let Some(hung) = Hung::over(&daemon.path("state")) else {
        return;
    };
    for _ in 0..5 {
        let request = StatusRequest {
            verbose: true,
            ..Default::default()
        };
        let begun = Instant::now();
        let status = cri.runtime.status(&request, options()).expect("a status");
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        let text = format!("{:?}", status.info);
        assert!(text.contains("stateBytes"), "{text}");
        answers(&cri);
        assert_eq!(cri.state(&id), ContainerState::CONTAINER_CREATED);
    }
    ends_in_time(&mut daemon);
    drop(hung);
}

/// The embedded plugin's own directory: that is a plugin that does not answer, and nothing more.
#[test]
fn a_plugin_whose_disk_hangs_is_one_that_does_not_answer() {
    let mut daemon = Daemon::prepare("[daemon]\nshutdown_timeout = '2s'");
    daemon.embed();
    daemon.run();
    let cri = daemon.cri();
    let Some(hung) = Hung::over(&daemon.path("state/plugin/pods")) else {
        return;
    };
    let id = cri.launch(&cri.run(&pod("waits")), &container("main", &["true"]));
    for _ in 0..5 {
        answers(&cri);
        assert_eq!(cri.state(&id), ContainerState::CONTAINER_RUNNING);
    }
    ends_in_time(&mut daemon);
    drop(hung);
}

/// A pipe that nobody reads: `serve 2>&1 | less`, for one.
#[test]
fn nobody_waits_for_standard_error() {
    let mut daemon = Daemon::prepare("[daemon]\nshutdown_timeout = '3s'");
    let reader = daemon.spawn_with_piped_log();
    let cri = daemon.cri();
    cri.wait_until_it_serves();
    // Each call is a line of the log; a pipe holds 64 KiB.
    for _ in 0..1500 {
        let version = cri.runtime.version(&VersionRequest::default(), options());
        version.expect("a version");
    }
    cri.create(&cri.run(&pod("quick")), &container("main", &["true"]));
    answers(&cri);
    ends_in_time(&mut daemon);
    drop(reader);
}

/// A reload reads files of the site's, which may hang as well.
#[test]
fn a_reload_that_hangs_keeps_nothing_from_ending() {
    let fake = Fake::start();
    let files = tempfile::tempdir().expect("a directory");
    let token = files.path().join("token");
    fs::write(&token, "secret").expect("written");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).expect("closed");
    let settings =
        format!("[interlink]\ntoken_file = {token:?}\n[daemon]\nshutdown_timeout = '8s'");
    let mut daemon = Daemon::prepare(&settings);
    daemon.interlink(&fake.url());
    daemon.run();
    let Some(hung) = Hung::over(files.path()) else {
        return;
    };
    wait_for("one finds another one under way", || {
        daemon.hang_up();
        daemon.log().contains("a reload is under way").then_some(())
    });
    answers(&daemon.cri());
    let begun = Instant::now();
    // Threads that read the token are late; the main thread is not, and needs no force.
    let status = daemon.terminate();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(status.success(), "{status}");
    drop(hung);
}
