//! Statuses of jobs as tests write them.

#[cfg(test)]
use serde_json::{json, Value};

use super::status_reply::{AskedJob, StatusReply, ToldJob, WireContainer};
use crate::model::JobUid;

/// Containers of these names, in states as a plugin writes them.
#[cfg(test)]
pub fn containers(states: &[(&str, Value)]) -> Vec<WireContainer> {
    let containers = states.iter();
    let containers: Vec<_> = containers
        .map(|(name, state)| json!({"name": name, "state": state}))
        .collect();
    let read = containers_in(json!(containers).to_string().as_bytes());
    assert_eq!(read.len(), states.len(), "{states:?} are readable");
    read
}

/// The containers in a list as a plugin writes it; none where it is not readable.
pub fn containers_in(list: &[u8]) -> Vec<WireContainer> {
    const UID: &str = "0f6e1c1a-9a3b-4a53-8c36-000000000000";
    let body = [
        br#"{"UID":""#,
        UID.as_bytes(),
        br#"","containers":"#,
        list,
        b"}",
    ]
    .concat();
    let uid = JobUid::parse(UID).expect("a UID");
    let containers = 0;
    let mut reply = StatusReply::read(
        &body,
        &[AskedJob {
            uid,
            containers,
            told_before: None,
        }],
    )
    .unwrap_or_default();
    match reply.jobs.remove(&uid) {
        Some(ToldJob::Status(status)) => status.containers,
        Some(ToldJob::Unreadable(_) | ToldJob::AsBefore) | None => Vec::new(),
    }
}
