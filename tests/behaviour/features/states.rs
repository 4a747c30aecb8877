//! Ends: `docs/features.md`, section "Ends".

use interlink_cri::proto::ContainerStatus;
use serde_json::{json, Value};

use super::kubelet::{container, pod, Node};
use crate::support::JobState;

/// What the kubelet sees of an end that the plugin reports like this.
fn shown(node: &Node, reported: Value) -> ContainerStatus {
    let cri = node.cri();
    let sandbox = cri.run(&pod());
    let before = node.fake.requests("/create").len();
    let id = cri.launch(&sandbox, &container(Vec::new()));
    node.fake.wait_for_requests("/create", before + 1);
    node.fake.set_all(&JobState::Ended(reported));
    let status = cri.wait_for_exit(&id);
    cri.remove_sandbox(&sandbox);
    status
}

fn check(node: &Node, reported: Value, want: (i32, &str, &str)) {
    let status = shown(node, reported.clone());
    let got = (
        status.exit_code,
        status.reason.as_str(),
        status.message.as_str(),
    );
    assert_eq!(got, want, "{reported}");
}

#[test]
fn ends_by_themselves() {
    let node = Node::new("");
    check(&node, json!({"exitCode": 0}), (0, "Completed", ""));
    check(&node, json!({"exitCode": 3}), (3, "Error", ""));
    check(
        &node,
        json!({"exitCode": 0, "signal": 9}),
        (137, "Error", ""),
    );
    check(
        &node,
        json!({"exitCode": 3, "reason": "Strange"}),
        (3, "Strange", ""),
    );
}

#[test]
fn a_failure_without_a_code_is_no_success() {
    let node = Node::new("");
    for (reason, code) in [
        ("FAILED", 1),
        ("LAUNCH_FAILED", 1),
        ("Held", 1),
        ("Evicted", 1),
    ] {
        check(
            &node,
            json!({"exitCode": 0, "reason": reason}),
            (code, reason, ""),
        );
    }
    for (reason, code, shown) in [
        ("CANCELLED+", 143, "Cancelled"),
        ("OUT_OF_ME+", 137, "OOMKilled"),
    ] {
        let status = self::shown(&node, json!({"exitCode": 0, "reason": reason}));
        assert_eq!((status.exit_code, status.reason.as_str()), (code, shown));
    }
    check(
        &node,
        json!({"exitCode": 0, "reason": "Completed"}),
        (0, "Completed", ""),
    );
}

#[test]
fn ends_by_the_site() {
    let node = Node::new("");
    for (reason, code, shown, word) in [
        ("OOMKilled", 137, "OOMKilled", ""),
        ("SlurmJobTimeout", 124, "TimeLimit", "time limit"),
        ("PREEMPTED", 143, "Preempted", "another job"),
        ("NODE_FAIL", 137, "NodeFailure", "failed"),
        ("CANCELLED", 143, "Cancelled", "cancelled"),
    ] {
        let status = self::shown(&node, json!({"exitCode": 0, "reason": reason}));
        assert_eq!((status.exit_code, status.reason.as_str()), (code, shown));
        assert!(status.message.contains(word), "{}", status.message);
    }
}

#[test]
fn ends_by_setting() {
    let node = Node::new(
        "[states]\nbuiltin = false\n\
         [[states.handlers]]\nwhen_reason = 'LicenceExpired'\nexit_code = 75\nreason = 'Licence'\n\
         message = 'no licence was free; submit again'\n\
         [[states.handlers]]\nwhen_exit_code = 64\nwhen_message = '*quota*'\nreason = 'Quota'",
    );
    let licence = (75, "Licence", "no licence was free; submit again");
    check(
        &node,
        json!({"exitCode": 1, "reason": "licenceexpired"}),
        licence,
    );
    check(
        &node,
        json!({"exitCode": 64, "message": "disk quota exceeded"}),
        (64, "Quota", ""),
    );
    check(
        &node,
        json!({"exitCode": 64, "message": "x"}),
        (64, "Error", ""),
    );
    check(
        &node,
        json!({"exitCode": 1, "reason": "PREEMPTED"}),
        (1, "PREEMPTED", ""),
    );
}
