//! `jobs`: which container is in which job.

use std::collections::HashMap;

use serde_json::{json, Value};

use super::client::{Client, Error};
use crate::{
    model::WaitReason,
    proto::{ContainerState, ContainerStatusRequest, ListContainersRequest, ListPodSandboxRequest},
};

/// One container with its job.
struct Row {
    pod: String,
    sandbox: String,
    container: String,
    id: String,
    state: &'static str,
    remote: Value,
}

/// Lists containers and jobs.
///
/// # Errors
/// A daemon that cannot be reached.
pub fn run(client: &Client, as_json: bool) -> Result<String, Error> {
    let rows = rows(client)?;
    if as_json {
        let list: Vec<_> = rows.iter().map(Row::json).collect();
        return Ok(format!("{:#}\n", Value::from(list)));
    }
    let mut table = vec![[
        "POD",
        "CONTAINER",
        "CONTAINER ID",
        "STATE",
        "REMOTE",
        "JOB",
        "REMOTE ID",
        "WHY IT WAITS",
    ]
    .map(str::to_owned)];
    table.extend(rows.iter().map(Row::cells));
    Ok(render(&table))
}

fn rows(client: &Client) -> Result<Vec<Row>, Error> {
    let sandboxes = client
        .runtime(|c, o| c.list_pod_sandbox(&ListPodSandboxRequest::default(), o))?
        .items;
    let pods: HashMap<String, String> = sandboxes
        .into_iter()
        .map(|item| {
            (
                item.id,
                format!("{}/{}", item.metadata.namespace, item.metadata.name),
            )
        })
        .collect();
    let containers = client
        .runtime(|c, o| c.list_containers(&ListContainersRequest::default(), o))?
        .containers;
    let mut rows = Vec::with_capacity(containers.len());
    for container in containers {
        let request = ContainerStatusRequest {
            container_id: container.id.clone(),
            verbose: true,
            ..Default::default()
        };
        // Removed between the two calls: it has no row.
        let Ok(status) = client.runtime(|c, o| c.container_status(&request, o)) else {
            continue;
        };
        let remote = status
            .info
            .get("remote")
            .and_then(|text| serde_json::from_str(text).ok());
        rows.push(Row {
            pod: pods
                .get(&container.pod_sandbox_id)
                .cloned()
                .unwrap_or_default(),
            sandbox: container.pod_sandbox_id,
            container: container.metadata.name.clone(),
            id: container.id,
            state: match container.state.enum_value_or_default() {
                ContainerState::CONTAINER_CREATED => "created",
                ContainerState::CONTAINER_RUNNING => "running",
                ContainerState::CONTAINER_EXITED => "exited",
                ContainerState::CONTAINER_UNKNOWN => "unknown",
            },
            remote: remote.unwrap_or(Value::Null),
        });
    }
    rows.sort_by(|a, b| (&a.pod, &a.container).cmp(&(&b.pod, &b.container)));
    Ok(rows)
}

impl Row {
    fn json(&self) -> Value {
        json!({
            "pod": self.pod,
            "podSandboxID": self.sandbox,
            "container": self.container,
            "containerID": self.id,
            "state": self.state,
            "remote": self.remote,
        })
    }

    fn cells(&self) -> [String; 8] {
        let job = &self.remote["job"];
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        [
            self.pod.clone(),
            self.container.clone(),
            self.id.chars().take(12).collect(),
            self.state.to_owned(),
            submission(job, &self.remote["state"]),
            text(&job["uid"]),
            text(&job["remoteId"]),
            why_it_waits(job, &self.remote["state"]),
        ]
    }
}

/// How far a job has come, in one word: the submission until the plugin has it, then what the
/// plugin says.
fn submission(job: &Value, state: &Value) -> String {
    let name = match &job["submission"] {
        Value::String(name) => name.clone(),
        Value::Object(fields) => fields.keys().next().cloned().unwrap_or_default(),
        _ => return "-".to_owned(),
    };
    let word = match (name.as_str(), state.as_str()) {
        ("Submitted", Some(state @ ("Queued" | "Running"))) => state.to_owned(),
        _ => name,
    };
    word.to_lowercase()
}

/// Why a container's job waits, in the plugin's words; `-` where it does not, or nothing is said.
fn why_it_waits(job: &Value, state: &Value) -> String {
    if let (true, Some(held)) = (
        job["submission"]["Pending"].is_object(),
        job["held"].as_str(),
    ) {
        return held.to_owned();
    }
    let why: Option<WaitReason> = serde_json::from_value(job["waiting"].clone()).ok();
    match why.filter(|_| *state == "Queued") {
        Some(why) => why.to_string(),
        None => "-".to_owned(),
    }
}

/// Columns as wide as their widest cell.
pub fn render<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("   ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["A", "LONG"], ["longer", "b"]].map(|row| row.map(str::to_owned));
        assert_eq!(render(&rows), "A        LONG\nlonger   b\n");
    }

    #[test]
    fn why_a_job_waits() {
        let job = json!({"waiting": {"reason": "JobHeld", "message": "Priority"}});
        for (job, state, want) in [
            (&job, json!("Queued"), "JobHeld: Priority"),
            (&job, json!("Running"), "-"),
            (&json!({"waiting": null}), json!("Queued"), "-"),
            (&Value::Null, Value::Null, "-"),
        ] {
            assert_eq!(why_it_waits(job, &state), want, "{job} {state}");
        }
    }

    #[test]
    fn one_word_for_how_far_a_job_has_come() {
        let rows = [
            (
                json!({"submission": {"Gathering": {}}}),
                json!("Unknown"),
                "gathering",
            ),
            (
                json!({"submission": {"Submitted": {"at": 1}}}),
                json!("Queued"),
                "queued",
            ),
            (
                json!({"submission": {"Submitted": {"at": 1}}}),
                json!("Unknown"),
                "submitted",
            ),
            (
                json!({"submission": "Finished"}),
                json!("Running"),
                "finished",
            ),
            (Value::Null, Value::Null, "-"),
        ];
        for (job, state, want) in rows {
            assert_eq!(submission(&job, &state), want, "{job}");
        }
    }
}
