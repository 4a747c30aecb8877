//! What any answer to /status makes of a pod.

use std::time::Duration;

use super::reports;
use crate::{
    config::Config,
    interlink::{properties::is_plain, wire},
    model::{ContainerPhase, Nanos, Pod, Submission},
    plan::{
        batch, lifecycle, observe,
        properties::{follows, holds},
        testing,
    },
};

/// The kubelet reads no more of a termination message.
const MAX_TERMINATION_MESSAGE: usize = 4096;

/// Takes each status of the answer for one of the same job, one after the other: nothing panics,
/// times stay in order, what is final stays, and what is kept is small.
pub fn any_status(body: &[u8]) {
    let statuses = match wire::status_list(body) {
        Ok(statuses) => statuses,
        Err(why) => return is_plain(&why),
    };
    let rules = crate::profile::rules(&Config::default());
    let (mut pod, mut now) = submitted();
    for status in &statuses {
        let report = reports::report(Some(status), &pod.jobs[0]);
        let before = pod.clone();
        for again in [false, true] {
            now = now.plus(Duration::from_secs(1));
            let once = pod.clone();
            observe::apply(&mut pod, 0, &report, now, &rules);
            assert!(!again || pod == once, "the same answer again says nothing");
        }
        holds(&pod, now);
        follows(&before, &pod);
        is_small(&pod);
    }
    let before = pod.clone();
    for entry in &before.containers {
        lifecycle::complete_log(&mut pod, entry.id());
        let ended = pod.container(entry.id()).map(|entry| entry.status.phase());
        let is_reported = entry.status.reported.is_some();
        assert_eq!(ended == Some(ContainerPhase::Exited), is_reported);
    }
    holds(&pod, now);
    follows(&before, &pod);
}

/// A pod whose job carries containers with names that plugins know, and one that they do not.
fn submitted() -> (Pod, Nanos) {
    let mut pod = testing::pod(&["init", "main", "side", "Side_Car"]);
    let ids: Vec<_> = pod.containers.iter().map(|c| c.id().clone()).collect();
    let now = Nanos(1_700_000_000_000_000_000);
    for id in ids {
        batch::start(&mut pod, &id, now).expect("it is created");
    }
    pod.jobs[0].submission = Submission::Submitted { at: now };
    (pod, now)
}

fn is_small(pod: &Pod) {
    is_plain(pod.jobs[0].remote_id.as_deref().unwrap_or_default());
    for exit in pod.containers.iter().flat_map(|c| &c.status.reported) {
        is_plain(&exit.reason);
        let message = exit.termination_message.as_deref().unwrap_or_default();
        assert!(message.len() <= MAX_TERMINATION_MESSAGE);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{json, Value};

    use super::*;

    fn time() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            Just(json!("0001-01-01T00:00:00Z")),
            (0_i64..20).prop_map(|s| json!(format!("2023-11-14T22:13:{:02}Z", s + 20))),
            (1970..9999).prop_map(|year| json!(format!("{year}-06-01T00:00:00Z"))),
        ]
    }

    fn state() -> impl Strategy<Value = Value> {
        let ended = (
            any::<i32>(),
            -1..130,
            "\\PC{0,9}",
            "\\PC{0,9}",
            time(),
            time(),
        );
        prop_oneof![
            Just(json!({})),
            Just(json!({"waiting": {}})),
            time().prop_map(|at| json!({"running": {"startedAt": at}})),
            ended.prop_map(|(code, signal, reason, message, started, finished)| {
                json!({"terminated": {
                    "exitCode": code, "signal": signal, "reason": reason, "message": message,
                    "startedAt": started, "finishedAt": finished,
                }})
            }),
        ]
    }

    fn container() -> impl Strategy<Value = Value> {
        let name = prop_oneof![Just("init"), Just("main"), Just("side"), Just("other")];
        (name, state()).prop_map(|(name, state)| {
            json!({"name": name, "state": state, "ready": false, "restartCount": 0,
                "image": "", "imageID": ""})
        })
    }

    fn pod() -> impl Strategy<Value = Value> {
        let containers = || proptest::collection::vec(container(), 0..4);
        (containers(), containers(), "\\PC{0,9}").prop_map(|(containers, init, id)| {
            json!({"JID": id, "containers": containers, "initContainers": init})
        })
    }

    proptest! {
        #[test]
        fn what_is_final_stays_and_times_are_in_order(
            pods in proptest::collection::vec(pod(), 0..6),
        ) {
            let body = json!(pods).to_string();
            prop_assert_eq!(wire::status_list(body.as_bytes()).map(|list| list.len()), Ok(pods.len()));
            any_status(body.as_bytes());
        }
    }
}
