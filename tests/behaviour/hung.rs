//! What hangs holds up its own pod: all others go on, the CRI answers, and the daemon ends in time.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use grpcio::RpcStatusCode;
use interlink_cri::proto::{
    ContainerState, ListContainersRequest, Mount, PodSandboxConfig, RunPodSandboxRequest,
    StartContainerRequest, VersionRequest, METHOD_RUNTIME_SERVICE_RUN_POD_SANDBOX,
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
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
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
    let begun = Instant::now();
    let status = daemon.terminate();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(status.success() || status.code() == Some(75), "{status}");
    drop((calls, hung));
}

#[test]
fn a_container_whose_log_hangs_is_refused_with_the_path() {
    let mut daemon = Daemon::prepare("[daemon]\ndisk_timeout = '200ms'");
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
