//! `jobs`: which container is in which job.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::{Args, ValueEnum};

use serde_json::{json, Value};

use super::client::{Client, Error};
use crate::{
    model::WaitReason,
    proto::{ContainerState, ContainerStatusRequest, ListContainersRequest, ListPodSandboxRequest},
};

/// Which containers are shown, and in which order.
#[derive(Args, Clone, Debug, Default)]
pub struct Choice {
    /// Only those of this namespace
    #[arg(long, short)]
    namespace: Option<String>,
    /// Only those of pods whose name has this in it
    #[arg(long)]
    pod: Option<String>,
    /// Only those whose job is so far, such as pending, queued, running; may be given several times
    #[arg(long, value_name = "STATE")]
    remote: Vec<String>,
    /// Only those whose job asked for this partition or flavor
    #[arg(long)]
    partition: Option<String>,
    /// What to sort by; times with the longest first
    #[arg(long, value_enum, default_value_t = Sort::Pod)]
    sort: Sort,
}

/// What to sort by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Sort {
    #[default]
    Pod,
    Age,
    Queued,
    Ran,
}

impl Choice {
    fn takes(&self, row: &Row) -> bool {
        let (namespace, name) = row.pod.split_once('/').unwrap_or(("", &row.pod));
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == value)
        };
        let job = &row.remote["job"];
        let far = submission(job, &row.remote["state"]);
        is(&self.namespace, namespace)
            && self.pod.as_deref().is_none_or(|part| name.contains(part))
            && (self.remote.is_empty() || self.remote.contains(&far))
            && is(
                &self.partition,
                job["partition"].as_str().unwrap_or_default(),
            )
    }

    fn sort(&self, rows: &mut [Row]) {
        rows.sort_by(|a, b| (&a.pod, &a.container).cmp(&(&b.pod, &b.container)));
        let time = |row: &Row| match self.sort {
            Sort::Pod => None,
            Sort::Age => row.age,
            Sort::Queued => row.queued,
            Sort::Ran => row.ran,
        };
        rows.sort_by_key(|row| std::cmp::Reverse(time(row)));
    }
}

/// One container with its job.
struct Row {
    pod: String,
    sandbox: String,
    container: String,
    id: String,
    state: &'static str,
    remote: Value,
    /// Since the container was created.
    age: Option<Duration>,
    /// How long its job waited in the remote queue, or has waited, while the plugin has it.
    queued: Option<Duration>,
    /// How long it ran over there, or has run.
    ran: Option<Duration>,
}

/// Lists containers and jobs.
///
/// # Errors
/// A daemon that cannot be reached.
pub fn run(client: &Client, as_json: bool, choice: &Choice) -> Result<String, Error> {
    let mut rows = rows(client)?;
    rows.retain(|row| choice.takes(row));
    choice.sort(&mut rows);
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
        "AGE",
        "QUEUED",
        "RAN",
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
        let remote = remote.unwrap_or(Value::Null);
        let shown = &status.status;
        let (queued, ran) = times(&remote, shown.started_at, shown.finished_at, now());
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
            remote,
            age: since(container.created_at, now()),
            queued,
            ran,
        });
    }
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
            "ageSeconds": self.age.map(|span| span.as_secs()),
            "queuedSeconds": self.queued.map(|span| span.as_secs()),
            "ranSeconds": self.ran.map(|span| span.as_secs()),
        })
    }

    fn cells(&self) -> [String; 11] {
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
            brief(self.age),
            brief(self.queued),
            brief(self.ran),
            why_it_waits(job, &self.remote["state"]),
        ]
    }
}

/// Nanoseconds since the epoch.
fn now() -> i64 {
    let span = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(span.unwrap_or_default().as_nanos()).unwrap_or(i64::MAX)
}

/// The time between two times in nanoseconds; none where one is missing or they are the wrong way round.
fn since(earlier: i64, later: i64) -> Option<Duration> {
    let span = later.checked_sub(earlier).filter(|_| earlier > 0)?;
    u64::try_from(span).ok().map(Duration::from_nanos)
}

/// How long a container's job waited over there, and how long the container ran.
fn times(
    remote: &Value,
    started: i64,
    finished: i64,
    now: i64,
) -> (Option<Duration>, Option<Duration>) {
    let submitted = remote["job"]["submission"]["Submitted"]["at"].as_i64();
    let has_run = remote["state"] == "Running";
    let end = if finished > 0 { finished } else { now };
    let queued = submitted.and_then(|at| match (has_run, finished > 0) {
        (true, _) => since(at, started.max(at)),
        (false, false) => since(at, now),
        (false, true) => None,
    });
    (queued, since(started, end).filter(|_| has_run))
}

/// A time in at most two units, `-` where there is none.
fn brief(span: Option<Duration>) -> String {
    let Some(span) = span else {
        return "-".to_owned();
    };
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, _, _) => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
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
    fn times_are_brief() {
        for (seconds, want) in [
            (0, "0s"),
            (61, "1m1s"),
            (3600 + 120, "1h2m"),
            (2 * 86_400 + 3 * 3600, "2d3h"),
        ] {
            assert_eq!(brief(Some(Duration::from_secs(seconds))), want);
        }
        assert_eq!(brief(None), "-");
    }

    #[test]
    fn how_long_a_job_waited_and_a_container_ran() {
        const SECOND: i64 = 1_000_000_000;
        let remote = |state: &str| json!({"state": state, "job": {"submission": {"Submitted": {"at": 10 * SECOND}}}});
        let of = |remote: &Value, started: i64, finished: i64| {
            let (queued, ran) = times(remote, started * SECOND, finished * SECOND, 100 * SECOND);
            (queued.map(|it| it.as_secs()), ran.map(|it| it.as_secs()))
        };
        assert_eq!(of(&remote("Queued"), 9, 0), (Some(90), None));
        assert_eq!(of(&remote("Running"), 40, 0), (Some(30), Some(60)));
        assert_eq!(of(&remote("Running"), 40, 70), (Some(30), Some(30)));
        assert_eq!(
            of(&remote("Queued"), 9, 70),
            (None, None),
            "stopped before it ran"
        );
        assert_eq!(of(&Value::Null, 9, 0), (None, None));
        // A clock that went back gives no time at all.
        assert_eq!(of(&remote("Running"), 200, 0), (Some(190), None));
    }

    #[test]
    fn rows_are_chosen_and_sorted() {
        let row = |pod: &str, state: &str, partition: &str, queued: u64| Row {
            pod: pod.to_owned(),
            sandbox: String::new(),
            container: "main".to_owned(),
            id: String::new(),
            state: "running",
            remote: json!({"state": state, "job": {
                "submission": {"Submitted": {"at": 1}}, "partition": partition,
            }}),
            age: None,
            queued: Some(Duration::from_secs(queued)),
            ran: None,
        };
        let mut rows = vec![
            row("lab/a", "Queued", "gpu", 5),
            row("lab/b", "Running", "cpu", 9),
            row("web/a", "Queued", "gpu", 7),
        ];
        let chosen = |choice: &Choice, rows: &[Row]| {
            let taken = rows.iter().filter(|row| choice.takes(row));
            taken.map(|row| row.pod.clone()).collect::<Vec<_>>()
        };
        let text = |text: &str| Some(text.to_owned());
        let by = |change: fn(&mut Choice)| {
            let mut choice = Choice::default();
            change(&mut choice);
            choice
        };
        let namespace = Choice {
            namespace: text("lab"),
            ..Choice::default()
        };
        assert_eq!(chosen(&namespace, &rows), ["lab/a", "lab/b"]);
        let pod = Choice {
            pod: text("b"),
            ..Choice::default()
        };
        assert_eq!(
            chosen(&pod, &rows),
            ["lab/b"],
            "the namespace is not looked at"
        );
        let partition = Choice {
            partition: text("gpu"),
            ..Choice::default()
        };
        assert_eq!(chosen(&partition, &rows), ["lab/a", "web/a"]);
        let queued = by(|choice| choice.remote = vec!["queued".into()]);
        assert_eq!(chosen(&queued, &rows), ["lab/a", "web/a"]);
        by(|choice| choice.sort = Sort::Queued).sort(&mut rows);
        assert_eq!(
            chosen(&Choice::default(), &rows),
            ["lab/b", "web/a", "lab/a"]
        );
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
