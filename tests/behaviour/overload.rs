//! More calls than can be handled are refused at once; what was taken is done.

use crate::support::{options, sandbox, Daemon};
use grpcio::RpcStatusCode;
use interlink_cri::proto::{
    RunPodSandboxRequest, StatusRequest, METHOD_RUNTIME_SERVICE_RUN_POD_SANDBOX,
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
