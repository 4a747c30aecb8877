//! One container with its job, as a line of the table shows it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use serde_json::{json, Value};

use crate::model::{Nanos, WaitReason};

/// One container with its job.
pub struct Row {
    /// Its namespace and name.
    pub pod: String,
    /// The id of its pod sandbox.
    pub sandbox: String,
    /// Its name.
    pub container: String,
    /// Its id.
    pub id: String,
    /// Its state, as the CRI has it.
    pub state: &'static str,
    /// What the verbose status says of the remote side.
    pub remote: Value,
    /// Since the container was created.
    pub age: Option<Duration>,
    /// How long its job waited in the remote queue, or has waited, while the plugin has it.
    pub queued: Option<Duration>,
    /// How long it ran over there, or has run.
    pub ran: Option<Duration>,
}

/// How many columns the table has.
pub const COLUMNS: usize = 12;
/// What stands above them.
pub const HEADINGS: [&str; COLUMNS] = [
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
    "EFFICIENCY",
    "WHY IT WAITS",
];

impl Row {
    /// How far its job has come, in one word.
    pub fn remote_word(&self) -> String {
        submission(&self.remote["job"], &self.remote["state"])
    }

    /// The partition that its job asked for; empty where it asked for none.
    pub fn partition(&self) -> &str {
        self.remote["job"]["partition"].as_str().unwrap_or_default()
    }

    /// The shares of the CPU time and the memory that it asked for, once it has ended and where its plugin
    /// says what it used.
    pub fn shares(&self) -> (Option<f64>, Option<f64>) {
        let used = &self.remote["used"];
        (
            used["cpuEfficiency"].as_f64(),
            used["memoryEfficiency"].as_f64(),
        )
    }

    /// These shares as people read them.
    fn efficiency(&self) -> String {
        let (cpu, memory) = self.shares();
        let percent = |name: &str, share: Option<f64>| {
            share.map(|share| format!("{name} {:.0}%", share * 100.0))
        };
        let both = [percent("cpu", cpu), percent("mem", memory)];
        let said: Vec<_> = both.into_iter().flatten().collect();
        match said.is_empty() {
            true => "-".to_owned(),
            false => said.join(" "),
        }
    }

    /// As an object for programs.
    pub fn json(&self) -> Value {
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
            "cpuEfficiency": self.shares().0,
            "memoryEfficiency": self.shares().1,
        })
    }

    /// As cells, under [`HEADINGS`].
    pub fn cells(&self) -> [String; COLUMNS] {
        let job = &self.remote["job"];
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        [
            self.pod.clone(),
            self.container.clone(),
            self.id.chars().take(12).collect(),
            self.state.to_owned(),
            self.remote_word(),
            text(&job["uid"]),
            text(&job["remoteId"]),
            brief(self.age),
            brief(self.queued),
            brief(self.ran),
            self.efficiency(),
            why_it_waits(job, &self.remote["state"]),
        ]
    }
}

/// Nanoseconds since the epoch.
pub fn now() -> i64 {
    let span = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(span.unwrap_or_default().as_nanos()).unwrap_or(i64::MAX)
}

/// The time between two times in nanoseconds; none where one is missing or they are the wrong way round.
pub fn since(earlier: i64, later: i64) -> Option<Duration> {
    let span = later.checked_sub(earlier).filter(|_| earlier > 0)?;
    u64::try_from(span).ok().map(Duration::from_nanos)
}

/// How long a container's job waited over there, and how long the container ran.
pub fn times(
    remote: &Value,
    started: i64,
    finished: i64,
    now: i64,
) -> (Option<Duration>, Option<Duration>) {
    let submitted = remote["job"]["submittedAt"].as_str();
    let submitted: Option<Timestamp> = submitted.and_then(|at| at.parse().ok());
    let submitted = submitted.map(|at| Nanos::from(at).0);
    let has_run = remote["state"] == "Running";
    let end = if finished > 0 { finished } else { now };
    let queued = submitted.and_then(|at| match (has_run, finished > 0) {
        (true, false) => since(at, started.max(at)),
        // One that ended before anybody saw it run may have no start of its own.
        (true, true) => since(at, started),
        (false, false) => since(at, now),
        (false, true) => None,
    });
    (queued, since(started, end).filter(|_| has_run))
}

/// A time in at most two units, `-` where there is none.
pub fn brief(span: Option<Duration>) -> String {
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

#[cfg(test)]
impl Row {
    /// An ended container, of which no more is known than what it used.
    pub(super) fn exited(container: &str, used: Value) -> Self {
        Self {
            pod: "lab/a".to_owned(),
            sandbox: String::new(),
            container: container.to_owned(),
            id: String::new(),
            state: "exited",
            remote: json!({ "used": used }),
            age: None,
            queued: None,
            ran: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let submitted = Nanos(10 * SECOND).rfc3339();
        let remote = |state: &str| json!({"state": state, "job": {"submittedAt": submitted}});
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
        assert_eq!(
            of(&remote("Running"), 9, 70),
            (None, Some(61)),
            "nobody saw it begin"
        );
        assert_eq!(of(&Value::Null, 9, 0), (None, None));
        // A clock that went back gives no time at all.
        assert_eq!(of(&remote("Running"), 200, 0), (Some(190), None));
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

    #[test]
    fn what_a_container_made_of_what_it_asked_for() {
        for (used, want) in [
            (
                json!({"cpuEfficiency": 0.754, "memoryEfficiency": 0.25}),
                "cpu 75% mem 25%",
            ),
            (
                json!({"cpuEfficiency": 1.5, "memoryEfficiency": null}),
                "cpu 150%",
            ),
            (json!({"memoryEfficiency": 0.001}), "mem 0%"),
            (Value::Null, "-"),
        ] {
            assert_eq!(Row::exited("main", used).efficiency(), want);
        }
    }
}
