//! A stop is answered when it is true, at most its grace period and `jobs.stop_patience` later; and no
//! thread waits for that.

use std::{
    fs,
    time::{Duration, Instant},
};

use futures_executor::block_on;
use grpcio::{ClientUnaryReceiver, RpcStatusCode};
use interlink_cri::proto::{
    ContainerState, StopContainerRequest, StopContainerResponse, StopPodSandboxRequest,
    METHOD_RUNTIME_SERVICE_STOP_CONTAINER,
};

use crate::support::{
    code, command, container, log_text, options, sandbox, wait_for, Cri, Daemon, Fake, Fault,
    JobState,
};

/// What a plugin says to a deletion that it carries out later.
const LATER: Fault = Fault::Answer("deleted");

fn request(id: &str, grace: i64) -> StopContainerRequest {
    StopContainerRequest {
        container_id: id.into(),
        timeout: grace,
        ..Default::default()
    }
}

fn stop(cri: &Cri, id: &str, grace: i64) -> grpcio::Result<StopContainerResponse> {
    let request = request(id, grace);
    cri.runtime.stop_container(&request, options())
}

/// A stop that is not waited for. It is cancelled when this is dropped.
fn begin(cri: &Cri, id: &str, grace: i64) -> ClientUnaryReceiver<StopContainerResponse> {
    let method = &METHOD_RUNTIME_SERVICE_STOP_CONTAINER;
    let call = cri
        .raw
        .unary_call_async(method, &request(id, grace), options());
    call.expect("sent")
}

fn parked(daemon: &Daemon) -> u64 {
    let socket = daemon.socket().display().to_string();
    let (_, text, _) = command(&["status", "--socket", &socket, "-o", "json"]);
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    value["info"]["daemon"]["parkedStops"]
        .as_u64()
        .expect("a count")
}

fn wait_for_parked(daemon: &Daemon, count: u64) {
    wait_for(&format!("{count} stops are parked"), || {
        (parked(daemon) == count).then_some(())
    });
}

/// How many threads the daemon has, without those of the gRPC core, which come and go with the load.
fn threads(daemon: &Daemon) -> usize {
    const CORE: [&str; 5] = [
        "default-executo",
        "resolver-execut",
        "event_engine",
        "timer_manager",
        "grpc_global_tim",
    ];
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("its threads");
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    let ours = |name: &String| !CORE.contains(&name.trim_end());
    names.filter(ours).count()
}

/// A container whose job runs over there.
fn running(fake: &Fake, cri: &Cri, name: &str) -> (String, String) {
    let pod = cri.run(&sandbox(name));
    let id = cri.launch(&pod, &container("main", &["true"]));
    fake.wait_for_requests("/create", 1);
    fake.set_all(&JobState::Running);
    (pod, id)
}

#[test]
fn a_container_ends_in_its_own_way_before_its_successor_begins() {
    let daemon = Daemon::embedded();
    let cri = daemon.cri();
    let (pod, ended) = (cri.run(&sandbox("saves")), daemon.path("ended"));
    let saves = format!(
        "trap 'echo saving; sleep 2; touch {}; echo saved; exit 0' TERM; echo ready; \
         while :; do sleep 0.02; done",
        ended.display()
    );
    let first = cri.launch(&pod, &container("main", &["sh", "-c", &saves]));
    let log = cri.status(&first).log_path;
    wait_for("it runs", || {
        (log_text(log.as_ref()) == "ready\n").then_some(())
    });
    let begun = Instant::now();
    stop(&cri, &first, 20).expect("stopped");
    assert!(
        begun.elapsed() >= Duration::from_secs(2),
        "it was waited for"
    );
    let status = cri.status(&first);
    assert_eq!(cri.state(&first), ContainerState::CONTAINER_EXITED);
    assert_eq!((status.exit_code, &*status.reason), (0, "Completed"));
    // The shell may have a word on what it waited for.
    let written = log_text(log.as_ref());
    assert!(written.ends_with("saving\nsaved\n"), "{written}");
    let mut next = container(
        "main",
        &[
            "sh",
            "-c",
            &format!("test -e {} && echo alone", ended.display()),
        ],
    );
    next.metadata.mut_or_insert_default().attempt = 1;
    next.log_path = "main/1.log".to_owned();
    let second = cri.launch(&pod, &next);
    let log = cri.status(&second).log_path;
    wait_for("the successor has ended", || {
        (cri.state(&second) == ContainerState::CONTAINER_EXITED).then_some(())
    });
    assert_eq!(log_text(log.as_ref()), "alone\n");
    wait_for("nothing is left of the first", || {
        (daemon.owed_cancellations() == 0).then_some(())
    });
}

#[test]
fn containers_of_one_job_that_are_stopped_together_end_in_their_own_way() {
    let daemon = Daemon::embedded();
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("two"));
    let saves = |name: &str, code: u8| {
        let script = format!(
            "trap 'sleep 1; echo saved; exit {code}' TERM; echo ready; while :; do sleep 0.02; done"
        );
        cri.create(&pod, &container(name, &["sh", "-c", &script]))
    };
    let ids = [saves("a", 0), saves("b", 4)];
    for id in &ids {
        cri.start(id);
    }
    let logs = ids.each_ref().map(|id| cri.status(id).log_path);
    wait_for("they run", || {
        let ready = |log: &String| log_text(log.as_ref()) == "ready\n";
        logs.iter().all(ready).then_some(())
    });
    // As a kubelet ends a pod: one call for each container, at the same time.
    let stops = ids.each_ref().map(|id| begin(&cri, id, 20));
    for stop in stops {
        block_on(stop).expect("stopped");
    }
    assert_eq!(
        ids.each_ref().map(|id| cri.status(id).exit_code),
        [0, 4],
        "each its own"
    );
    for log in &logs {
        assert!(log_text(log.as_ref()).ends_with("saved\n"));
    }
}

#[test]
fn who_does_not_listen_is_killed_and_says_so() {
    let daemon = Daemon::embedded();
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("deaf"));
    let deaf = "trap '' TERM; echo ready; while :; do sleep 0.02; done";
    let id = cri.launch(&pod, &container("main", &["sh", "-c", deaf]));
    let log = cri.status(&id).log_path;
    wait_for("it runs", || {
        (log_text(log.as_ref()) == "ready\n").then_some(())
    });
    let request = StopPodSandboxRequest {
        pod_sandbox_id: pod,
        ..Default::default()
    };
    let begun = Instant::now();
    stop(&cri, &id, 1).expect("stopped");
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "its grace period"
    );
    assert_eq!(cri.status(&id).exit_code, 137);
    let stopped = cri.runtime.stop_pod_sandbox(&request, options());
    stopped.expect("nothing is left to wait for");
}

#[test]
fn a_stopped_sandbox_waits_for_its_containers() {
    let fake = Fake::start();
    let daemon = Daemon::start(&fake.url(), "[jobs]\nstop_patience = '60s'");
    let cri = daemon.cri();
    let (pod, id) = running(&fake, &cri, "whole");
    fake.always("/delete", Some(LATER));
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| daemon.cri().stop_sandbox(&pod));
        wait_for_parked(&daemon, 1);
        assert_eq!(cri.state(&id), ContainerState::CONTAINER_RUNNING);
        assert!(!stopping.is_finished());
        fake.set_log("main", "last words\n");
        fake.set_all(&JobState::exited(3));
        stopping.join().expect("stopped");
    });
    let status = cri.status(&id);
    assert_eq!(status.exit_code, 3);
    assert_eq!(log_text(status.log_path.as_ref()), "last words\n");
    assert!(!fake.requests("/delete").is_empty());
}

#[test]
fn a_stop_that_is_not_confirmed_is_released_or_held() {
    for (then, is_held) in [("release", false), ("hold", true)] {
        let fake = Fake::start();
        let settings = format!(
            "[jobs]\nstop_patience = '400ms'\n\
             unconfirmed_stops = [{{ namespaces = ['l*'], then = '{then}' }}]"
        );
        let daemon = Daemon::start(&fake.url(), &settings);
        let cri = daemon.cri();
        let (_, id) = running(&fake, &cri, then);
        fake.always("/delete", Some(Fault::Status(503, "away")));
        if is_held {
            let (code, message) = code(stop(&cri, &id, 0));
            assert_eq!(code, RpcStatusCode::DEADLINE_EXCEEDED, "{message}");
            assert!(
                message.contains("container main of pod lab/hold"),
                "{message}"
            );
            assert_eq!(cri.state(&id), ContainerState::CONTAINER_RUNNING);
            fake.always("/delete", None);
            wait_for("asked again, it is stopped", || stop(&cri, &id, 0).ok());
            assert_eq!(fake.jobs(), Vec::<String>::new(), "{then}");
        } else {
            stop(&cri, &id, 0).expect("stopped");
            let message = cri.status(&id).message;
            assert!(message.contains("may still run"), "{message}");
            assert_eq!(daemon.owed_cancellations(), 1);
        }
        assert_eq!(cri.status(&id).exit_code, 137);
        fake.always("/delete", None);
        wait_for("nothing is owed any more", || {
            (daemon.owed_cancellations() == 0).then_some(())
        });
    }
}

/// As the SLURM plugin does with a job that it has deleted.
#[test]
fn a_held_stop_ends_although_what_was_deleted_cannot_be_deleted() {
    let fake = Fake::start();
    let settings =
        "[jobs]\nstop_patience = '300ms'\nkill_wait = '2s'\nunconfirmed_stop = 'hold'\n[interlink]\nretry_max = '1s'";
    let daemon = Daemon::start(&fake.url(), settings);
    let cri = daemon.cri();
    let (_, id) = running(&fake, &cri, "main");
    fake.faults("/delete", &[Fault::Pass]);
    fake.always("/delete", Some(Fault::Status(500, "")));
    wait_for("asked again and again, it is stopped", || {
        stop(&cri, &id, 0).ok()
    });
    let status = cri.status(&id);
    assert!(status.message.contains("job is gone"), "{}", status.message);
    assert!(
        fake.requests("/delete").len() > 1,
        "it was asked for again meanwhile"
    );
}

#[test]
fn a_stop_survives_a_restart_and_is_joined_not_doubled() {
    let fake = Fake::start();
    let mut daemon = Daemon::start(&fake.url(), "[jobs]\nstop_patience = '60s'");
    let cri = daemon.cri();
    let (_, id) = running(&fake, &cri, "kept");
    fake.always("/delete", Some(LATER));
    let call = begin(&cri, &id, 30);
    wait_for_parked(&daemon, 1);
    fake.wait_for_requests("/delete", 1);
    assert!(daemon.terminate().success());
    let (code, message) = code(block_on(call));
    assert_eq!(code, RpcStatusCode::UNAVAILABLE, "{message}");
    daemon.run();
    assert_eq!(cri.state(&id), ContainerState::CONTAINER_RUNNING);
    let calls = [begin(&cri, &id, 30), begin(&cri, &id, 30)];
    wait_for_parked(&daemon, 2);
    daemon.kill_and_restart();
    for call in calls {
        block_on(call).expect_err("the daemon was killed");
    }
    let call = begin(&cri, &id, 30);
    wait_for_parked(&daemon, 1);
    assert_eq!(fake.requests("/delete").len(), 1, "it was confirmed");
    fake.set_all(&JobState::exited(0));
    block_on(call).expect("stopped");
    assert_eq!(cri.status(&id).exit_code, 0);
}

#[test]
fn a_shorter_grace_period_shortens_a_stop() {
    let fake = Fake::start();
    let daemon = Daemon::start(&fake.url(), "[jobs]\nstop_patience = '60s'");
    let cri = daemon.cri();
    let (_, id) = running(&fake, &cri, "hurried");
    fake.always("/delete", Some(LATER));
    let long = begin(&cri, &id, 300);
    fake.wait_for_requests("/delete", 1);
    let short = begin(&cri, &id, 3);
    let deleted = fake.wait_for_requests("/delete", 2);
    let graces = deleted
        .iter()
        .map(|body| body["metadata"]["deletionGracePeriodSeconds"].as_i64());
    assert_eq!(graces.collect::<Vec<_>>(), [Some(300), Some(3)]);
    fake.set_all(&JobState::exited(143));
    block_on(long).expect("stopped");
    block_on(short).expect("stopped");
    assert_eq!(cri.status(&id).exit_code, 143);
}

/// 500 parked stops hold no thread and leave lists as fast as they are; and who goes away is let go.
#[test]
fn parked_stops_hold_nothing_up() {
    const STOPS: usize = 500;
    let fake = Fake::start();
    let daemon = Daemon::start(&fake.url(), "[jobs]\nstop_patience = '300s'");
    let cri = daemon.cri();
    let ids: Vec<_> = (0..STOPS)
        .map(|number| {
            let pod = cri.run(&sandbox(&format!("pod-{number}")));
            cri.launch(&pod, &container("main", &["true"]))
        })
        .collect();
    fake.wait_for_requests("/create", STOPS);
    fake.set_all(&JobState::Running);
    let list = || {
        let mut times: Vec<_> = (0..20)
            .map(|_| {
                let begun = Instant::now();
                let list = cri
                    .runtime
                    .list_containers(&Default::default(), options())
                    .expect("a list");
                assert_eq!(list.containers.len(), STOPS);
                begun.elapsed()
            })
            .collect();
        times.sort();
        times[times.len() / 2]
    };
    wait_for("all is quiet", || {
        (daemon.owed_cancellations() == 0).then_some(())
    });
    // Each has a thread, and there will be no more of them.
    wait_for("logs are followed", || {
        (fake.followed_logs() == 16).then_some(())
    });
    let (threads_before, before) = (threads(&daemon), list());
    fake.always("/delete", Some(Fault::Hang));
    let calls: Vec<_> = ids.iter().map(|id| begin(&cri, id, 30)).collect();
    wait_for_parked(&daemon, STOPS as u64);
    let (threads_while, during) = (threads(&daemon), list());
    println!("lists take {before:?} before, {during:?} with {STOPS} stops parked");
    // One here and there comes and goes by itself: gRPC's own, those of the disk.
    assert!(
        threads_while < threads_before + 10,
        "{threads_before} threads became {threads_while}"
    );
    assert!(
        during < before * 10 + Duration::from_millis(100),
        "{before:?}, {during:?}"
    );
    drop(calls);
    wait_for_parked(&daemon, 0);
    let first = &ids[0];
    assert_eq!(cri.state(first), ContainerState::CONTAINER_RUNNING);
}
