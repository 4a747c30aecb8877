//! What any answer to /status makes of a pod.

use std::time::Duration;

use super::poll;
use crate::{
    config::Config,
    interlink::{properties::is_plain, wire},
    model::{ContainerPhase, Nanos, Pod, Submission},
    plan::{
        batch, lifecycle,
        observe::{self, Report},
        properties::{follows, holds},
        testing, Rules,
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
    let rules = Rules::from(&Config::default());
    let (mut pod, mut now) = submitted();
    for status in &statuses {
        let containers = poll::containers(status, &pod.jobs[0]);
        let before = pod.clone();
        for again in [false, true] {
            now = now.plus(Duration::from_secs(1));
            let once = pod.clone();
            let report = Report {
                remote_id: &status.jid,
                containers: &containers,
            };
            observe::apply(&mut pod, 0, report, now, &rules);
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
