//! Answers to /status, made into reports.

use super::{
    known_ends, slurm,
    status_reply::{WireContainer, WireEnd, WireState},
};
use crate::{
    model::{exit_code, Job, Used, WaitReason},
    plan::{ContainerReport, JobReport, ReportedEnd, ReportedState},
};

/// What a plugin says of a job: its own id, and the states of containers under the names that they
/// have here.
pub fn job_report(remote_id: &str, containers: &[WireContainer], job: &Job) -> JobReport {
    let known_id = job.remote_id.as_deref().unwrap_or_default();
    let is_slurm = slurm::is_job_id(if remote_id.is_empty() {
        known_id
    } else {
        remote_id
    });
    let report = |container: &WireContainer| {
        let mut state = reported_state(&container.state);
        if let ReportedState::Ended(end) = &mut state {
            if job.is_init(&container.name) && end.code == 0 && !is_container_s_own(&end.reason) {
                slurm::clear_job_s_fate(end);
            }
            if end.code == 0 && known_ends::means_failure(&end.reason) {
                end.code = exit_code::FAILED;
            }
            end.is_unproven = is_slurm && slurm::may_not_have_run(end);
        }
        ContainerReport {
            name: container.name.clone(),
            state,
        }
    };
    JobReport {
        remote_id: remote_id.to_owned(),
        containers: containers.iter().map(report).collect(),
        ..JobReport::default()
    }
}

fn reported_state(state: &WireState) -> ReportedState {
    match state {
        WireState::Nothing => ReportedState::NotShown,
        WireState::Waiting { reason, .. } if slurm::runs_although_waiting(reason) => {
            ReportedState::Running { since: None }
        }
        WireState::Waiting { reason, message } => ReportedState::Queued {
            why: WaitReason {
                reason: reason.clone(),
                message: message.clone(),
            },
        },
        WireState::Running { since } => ReportedState::Running { since: *since },
        WireState::Ended(end) => ReportedState::Ended(reported_end(end)),
    }
}

fn reported_end(end: &WireEnd) -> ReportedEnd {
    ReportedEnd {
        code: code(end),
        reason: end.reason.clone(),
        message: end.message.clone(),
        explanation: String::new(),
        started_at: end.started_at,
        finished_at: end.finished_at,
        used: Used {
            ran_millis: ran_millis(end),
            ..end.used
        },
        is_unproven: false,
    }
}

/// For how long it ran, by the plugin's own times.
fn ran_millis(end: &WireEnd) -> Option<u64> {
    let nanos = end.finished_at?.0.checked_sub(end.started_at?.0)?;
    u64::try_from(nanos / 1_000_000).ok()
}

/// Whether a reason is about a container by itself, in the words of Kubernetes, and not about its job.
fn is_container_s_own(reason: &str) -> bool {
    ["Error", "ContainerCannotRun", "StartError"].contains(&reason)
}

/// The exit code; where a plugin gives a signal but no code, the one that a shell would show.
/// Controllers must not take a killed container for a successful one.
fn code(end: &WireEnd) -> i32 {
    match (end.code, end.signal) {
        (0, Some(signal)) if (1..128).contains(&signal) => 128 + signal,
        (code, _) => code,
    }
}
