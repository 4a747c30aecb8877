//! What any answer to /status makes of a pod.

use std::time::Duration;

use super::reports;
use crate::{
    config::Config,
    interlink::properties::is_plain,
    model::{ContainerPhase, JobUid, Nanos, Pod, Submission},
    plan::{
        batch, lifecycle, observe,
        properties::{follows, holds},
        testing,
    },
    profile::status_reply::{AskedJob, StatusReply, ToldJob},
};

/// The kubelet reads no more of a termination message.
const MAX_TERMINATION_MESSAGE: usize = 4096;

/// Longer than anything is waited for.
const LONG: Duration = Duration::from_secs(1000 * 24 * 60 * 60);

/// The jobs that answers of fuzz targets and tests are read for.
pub const ASKED: [&str; 3] = [
    "0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a10",
    "6fa459ea-ee8a-3ca4-894e-db77e160355e",
    "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
];

/// The question that such an answer is read for.
pub fn asked() -> Vec<AskedJob> {
    let uids = ASKED.iter().filter_map(|uid| JobUid::parse(uid));
    let containers = 4;
    let told_before = None;
    uids.map(|uid| AskedJob {
        uid,
        containers,
        told_before,
    })
    .collect()
}

/// Reads answers, one after the other, with a record separator (RFC 7464) between them, and takes what
/// they say of each job for a status of the same one: nothing panics, times stay in order, what is final
/// stays, and what is kept is small.
pub fn any_status(answers: &[u8]) {
    let (mut pod, mut now) = submitted();
    for body in answers.split(|byte| *byte == 0x1e) {
        match StatusReply::read(body, &asked()) {
            Ok(reply) => any_reply(&reply, body.len(), &mut pod, &mut now),
            Err(why) => is_plain(&why),
        }
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

fn any_reply(reply: &StatusReply, length: usize, pod: &mut Pod, now: &mut Nanos) {
    let rules = crate::profile::rules(&Config::default());
    let asked: Vec<_> = asked().iter().map(|job| job.uid).collect();
    assert!(reply.jobs.keys().all(|uid| asked.contains(uid)));
    assert!(reply.others.len() * ASKED[0].len() <= length);
    for told in asked.iter().filter_map(|uid| reply.jobs.get(uid)) {
        if let ToldJob::Unreadable(why) = told {
            is_plain(why);
        }
        let report = reports::report(told, &pod.jobs[0]);
        let before = pod.clone();
        for again in [false, true] {
            *now = now.plus(Duration::from_secs(1));
            let once = pod.clone();
            observe::apply(pod, 0, &report, *now, &rules);
            assert!(!again || *pod == once, "the same answer again says nothing");
        }
        if report.only_waits_or_runs() {
            let (once, latest) = (pod.clone(), now.plus(LONG));
            observe::apply(pod, 0, &report, latest, &rules);
            assert_eq!(*pod, once, "nor does it ever");
        }
        holds(pod, *now);
        follows(&before, pod);
        is_small(pod);
    }
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
    if let Some(why) = &pod.jobs[0].waiting {
        is_plain(&why.reason);
        is_plain(&why.message);
    }
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

    /// What some plugin may write instead of a job, or within one.
    fn odd() -> impl Strategy<Value = String> {
        let uid = || proptest::sample::select(&ASKED[..]);
        let inner = proptest::sample::select(
            &[
                "null",
                "7",
                "[]",
                "{}",
                "\"x\"",
                "true",
                "1e999",
                "\"\\udc80\"",
                "[null]",
                "[[]]",
                "[{\"name\":\"main\",\"state\":{\"terminated\":{\"exitCode\":0.5}}}]",
                "[{\"name\":\"main\",\"state\":{\"running\":[]}}]",
                "[{\"name\":{},\"state\":{\"waiting\":{}}}]",
            ][..],
        );
        let field =
            proptest::sample::select(&["UID", "JID", "containers", "initContainers", "x"][..]);
        prop_oneof![
            inner.clone().prop_map(str::to_owned),
            (field, inner.clone()).prop_map(|(field, inner)| format!("{{\"{field}\":{inner}}}")),
            (uid(), inner).prop_map(|(uid, inner)| {
                format!("{{\"UID\":\"{uid}\",\"containers\":{inner}}}")
            }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_final_stays_and_times_are_in_order(
            mut pods in proptest::collection::vec(pod(), 0..6),
        ) {
            let mut answers = Vec::new();
            for (index, pod) in pods.iter_mut().enumerate() {
                pod["UID"] = json!(ASKED[index % ASKED.len()]);
                let body = json!([pod]).to_string();
                let reply = StatusReply::read(body.as_bytes(), &asked()).expect("an answer");
                let told: Vec<_> = reply.jobs.values().collect();
                prop_assert!(matches!(told[..], [ToldJob::Status(_)]), "{}", body);
                answers.push(body);
            }
            any_status(answers.join("\u{1e}").as_bytes());
        }

        /// Whatever is said of other jobs, and wherever, what is said of one is understood.
        #[test]
        fn a_good_entry_survives_odd_ones(
            good in pod(),
            odd in proptest::collection::vec(odd(), 0..5),
            at in any::<proptest::sample::Index>(),
        ) {
            let mut good = good;
            let (uid, others) = (ASKED[0], &asked()[1..]);
            good["UID"] = json!(uid);
            let mut entries: Vec<_> = odd.iter().filter(|odd| !odd.contains(uid)).cloned().collect();
            entries.insert(at.index(entries.len() + 1), good.to_string());
            let body = format!("[{}]", entries.join(","));
            any_status(body.as_bytes());
            let reply = StatusReply::read(body.as_bytes(), &asked()).expect("an answer");
            let alone = StatusReply::read(good.to_string().as_bytes(), &asked()).expect("an answer");
            let uid = asked()[0].uid;
            prop_assert!(matches!(alone.jobs.get(&uid), Some(ToldJob::Status(_))));
            prop_assert_eq!(reply.jobs.get(&uid), alone.jobs.get(&uid));
            if !odd.iter().all(|odd| odd.contains("UID\":\"")) {
                prop_assert!(others.iter().any(|job| !reply.denies(job.uid)));
            }
        }
    }
}
