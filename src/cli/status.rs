//! `status`: how the daemon and the way to the plugin are.

use std::time::Duration;

use serde_json::{json, Map, Value};

use super::{
    client::{Client, Error},
    jobs::{brief, render},
};
use crate::proto::{StatusRequest, StatusResponse, VersionRequest};

/// Shows the daemon's status. The flag is true when every condition is.
///
/// # Errors
/// A daemon that cannot be reached.
pub fn run(client: &Client, as_json: bool) -> Result<(String, bool), Error> {
    let version = client.runtime(|c, o| c.version(&VersionRequest::default(), o))?;
    let request = StatusRequest {
        verbose: true,
        ..Default::default()
    };
    let status = client.runtime(|c, o| c.status(&request, o))?;
    let healthy = status
        .status
        .conditions
        .iter()
        .all(|condition| condition.status);
    let name = format!("{} {}", version.runtime_name, version.runtime_version);
    let text = if as_json {
        format!("{:#}\n", as_value(&name, &status))
    } else {
        as_text(&name, &status)
    };
    Ok((text, healthy))
}

fn as_value(name: &str, status: &StatusResponse) -> Value {
    let conditions: Vec<_> = status
        .status
        .conditions
        .iter()
        .map(|c| json!({"type": c.type_, "status": c.status, "reason": c.reason, "message": c.message}))
        .collect();
    json!({ "runtime": name, "conditions": conditions, "info": info(status) })
}

fn info(status: &StatusResponse) -> Map<String, Value> {
    let parsed = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
    status
        .info
        .iter()
        .map(|(key, text)| (key.clone(), parsed(text)))
        .collect()
}

fn as_text(name: &str, status: &StatusResponse) -> String {
    let mut rows = vec![["runtime".to_owned(), name.to_owned()]];
    for condition in &status.status.conditions {
        let word = if condition.status {
            "yes".to_owned()
        } else {
            format!("no: {} ({})", condition.message, condition.reason)
        };
        rows.push([condition.type_.clone(), word]);
    }
    let info = info(status);
    let daemon = &info.get("daemon").cloned().unwrap_or_default();
    for key in [
        "uptimeSeconds",
        "sandboxes",
        "containers",
        "jobs",
        "images",
        "podCIDR",
        "unsubmittedJobs",
        "oldestUnsubmittedSeconds",
        "oldestOwedCancellationSeconds",
        "stateBytes",
    ] {
        rows.push([key.to_owned(), plain(&daemon[key])]);
    }
    rows.push(["oldestQueued".to_owned(), oldest_queued(daemon)]);
    for (key, value) in daemon["counters"].as_object().into_iter().flatten() {
        rows.push([key.clone(), plain(value)]);
    }
    let interlink = &info.get("interlink").cloned().unwrap_or_default();
    rows.push(["plugin".to_owned(), plugin(interlink)]);
    for key in ["lastAnswerSeconds", "pingMilliseconds"] {
        rows.push([key.to_owned(), plain(&interlink[key])]);
    }
    let node = info.get("node").cloned().unwrap_or_default();
    for (name, amount) in node["offered"].as_object().into_iter().flatten() {
        rows.push([format!("offered {name}"), plain(amount)]);
    }
    let owed = interlink["owedCancellations"]
        .as_array()
        .map_or(0, Vec::len);
    rows.push(["owed cancellations".to_owned(), owed.to_string()]);
    render(&rows)
}

/// The job that has waited longest in the remote queue.
fn oldest_queued(daemon: &Value) -> String {
    let job = &daemon["oldestQueued"];
    let Some(pod) = job["pod"].as_str() else {
        return "-".to_owned();
    };
    let age = job["ageSeconds"].as_u64().map(Duration::from_secs);
    let mut text = format!("{pod}, for {}, since {}", brief(age), plain(&job["since"]));
    for (name, value) in [
        ("partition", &job["partition"]),
        ("remote id", &job["remoteId"]),
    ] {
        if let Some(value) = value.as_str() {
            text = format!("{text}, {name} {value}");
        }
    }
    match job["waiting"].as_str() {
        Some(why) => format!("{text}: {why}"),
        None => text,
    }
}

/// The plugin that is configured, and the one that was recognised.
fn plugin(interlink: &Value) -> String {
    let configured = plain(&interlink["plugin"]);
    match interlink["recognisedPlugin"].as_str() {
        Some(name) => format!(
            "{configured}: {name}, by {}",
            plain(&interlink["recognisedBy"])
        ),
        None => configured,
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_queued_job_has_its_pod_and_its_partition() {
        let mut daemon = json!({"oldestQueued": {
            "pod": "lab/train", "partition": "gpu", "remoteId": "4711", "ageSeconds": 7260,
            "since": "2026-11-27T08:00:00Z", "waiting": "Priority",
        }});
        assert_eq!(
            oldest_queued(&daemon),
            "lab/train, for 2h1m, since 2026-11-27T08:00:00Z, partition gpu, remote id 4711: Priority"
        );
        for key in ["partition", "remoteId", "waiting"] {
            daemon["oldestQueued"][key] = Value::Null;
        }
        assert_eq!(
            oldest_queued(&daemon),
            "lab/train, for 2h1m, since 2026-11-27T08:00:00Z"
        );
        assert_eq!(oldest_queued(&json!({"oldestQueued": null})), "-");
    }
}
