//! More calls than can be handled are refused at once; what was taken is done.

use crate::support::{container, options, sandbox, Daemon, Fake, Fault, JobState};
use grpcio::RpcStatusCode;
use interlink_cri::proto::{
    PodSandboxConfig, RunPodSandboxRequest, StatusRequest, METHOD_RUNTIME_SERVICE_RUN_POD_SANDBOX,
};
use protobuf::MessageField;

#[test]
fn a_flood_is_refused_and_leaves_the_daemon_well() {
    let mut daemon = Daemon::prepare("[cri]\nhandler_threads = 1\nqueue_length = 2");
    daemon.run();
    let cri = daemon.cri();
    // Calls that write to disk, so that they are slower than their arrival.
    let calls: Vec<_> = (0..400)
        .map(|number| {
            let mut config = sandbox(&format!("pod-{number}"));
            config.metadata.mut_or_insert_default().uid = format!("uid-{number}");
            let request = RunPodSandboxRequest {
                config: MessageField::some(config),
                ..Default::default()
            };
            let method = &METHOD_RUNTIME_SERVICE_RUN_POD_SANDBOX;
            cri.raw
                .unary_call_async(method, &request, options())
                .expect("sent")
        })
        .collect();
    let (mut done, mut refused) = (0, 0);
    for call in calls {
        match futures_executor::block_on(call) {
            Ok(_) => done += 1,
            Err(grpcio::Error::RpcFailure(status)) => {
                assert_eq!(
                    status.code(),
                    RpcStatusCode::RESOURCE_EXHAUSTED,
                    "{status:?}"
                );
                assert!(status.message().contains("try again"));
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(done + refused, 400);
    assert!(done > 0 && refused > 0, "{done} done, {refused} refused");
    cri.runtime
        .status(&StatusRequest::default(), options())
        .expect("it is well");
    let list = cri
        .runtime
        .list_pod_sandbox(&Default::default(), options())
        .expect("a list");
    assert_eq!(list.items.len(), done, "what was refused has left nothing");
}

#[test]
fn submissions_that_hang_hold_up_no_cancellation_and_no_log() {
    let fake = Fake::start();
    let daemon = Daemon::start(
        &fake.url(),
        "[interlink]\nworkers = 4\ncreate_timeout = '10m'",
    );
    let cri = daemon.cri();
    let stopped = cri.run(&sandbox("stopped"));
    cri.launch(&stopped, &container("a", &["true"]));
    let ended = cri.run(&with_uid("ended"));
    let id = cri.launch(&ended, &container("b", &["true"]));
    fake.wait_for_requests("/create", 2);
    fake.set_all(&JobState::Running);
    fake.always("/create", Some(Fault::Hang));
    for number in 0..8 {
        let pod = cri.run(&with_uid(&format!("slow-{number}")));
        cri.launch(&pod, &container("main", &["true"]));
    }
    fake.wait_for_requests("/create", 2 + 3);
    cri.stop_sandbox(&stopped);
    fake.wait_for_requests("/delete", 1);
    fake.set_log("b", "its last words\n");
    fake.set("b", &JobState::exited(3));
    assert_eq!(cri.wait_for_exit(&id).exit_code, 3);
}

fn with_uid(name: &str) -> PodSandboxConfig {
    let mut config = sandbox(name);
    config.metadata.mut_or_insert_default().uid = format!("uid-{name}");
    config
}
