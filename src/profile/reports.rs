//! Answers to /status, made into reports.

use k8s_openapi::{
    api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus},
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::slurm;
use crate::{
    model::{Job, Nanos},
    plan::{ContainerReport, JobReport, ReportedEnd, ReportedState},
};

/// What a plugin says of a job: its own id, and the states of containers under the names that they
/// have here. A container of which it gives no state at all is as good as not mentioned.
pub fn job_report(remote_id: &str, containers: &[ContainerStatus], job: &Job) -> JobReport {
    let known_id = job.remote_id.as_deref().unwrap_or_default();
    let is_slurm = slurm::is_job_id(if remote_id.is_empty() {
        known_id
    } else {
        remote_id
    });
    let report = |status: &ContainerStatus| {
        let mut state = reported_state(status.state.as_ref()?);
        if let ReportedState::Ended(end) = &mut state {
            end.is_unproven = is_slurm && slurm::may_not_have_run(end);
            if job.is_init(&status.name) && end.code == 0 {
                slurm::clear_job_s_fate(end);
            }
        }
        Some(ContainerReport {
            name: status.name.clone(),
            state,
        })
    };
    JobReport {
        remote_id: remote_id.to_owned(),
        containers: containers.iter().filter_map(report).collect(),
    }
}

/// Whether a plugin that says this of some containers has their job.
pub fn shows_a_job(containers: &[ContainerStatus]) -> bool {
    let mut states = containers.iter().filter_map(|one| one.state.as_ref());
    states.any(|state| reported_state(state) != ReportedState::NotShown)
}

/// Where a plugin sets more than one part of a state, the latest counts.
fn reported_state(state: &ContainerState) -> ReportedState {
    if let Some(ended) = &state.terminated {
        return ReportedState::Ended(reported_end(ended));
    }
    let since = state
        .running
        .as_ref()
        .map(|it| time(it.started_at.as_ref()));
    match (since, &state.waiting) {
        (Some(since), _) => ReportedState::Running { since },
        (None, Some(waiting)) if slurm::runs_although_waiting(waiting) => {
            ReportedState::Running { since: None }
        }
        (None, Some(_)) => ReportedState::Queued,
        (None, None) => ReportedState::NotShown,
    }
}

fn reported_end(ended: &ContainerStateTerminated) -> ReportedEnd {
    ReportedEnd {
        code: code(ended),
        reason: ended.reason.clone().unwrap_or_default(),
        message: ended.message.clone().unwrap_or_default(),
        started_at: time(ended.started_at.as_ref()),
        finished_at: time(ended.finished_at.as_ref()),
        is_unproven: false,
    }
}

/// The exit code; where a plugin gives a signal but no code, the one that a shell would show.
/// Controllers must not take a killed container for a successful one.
fn code(ended: &ContainerStateTerminated) -> i32 {
    match (ended.exit_code, ended.signal) {
        (0, Some(signal)) if (1..128).contains(&signal) => 128 + signal,
        (code, _) => code,
    }
}

/// A time that is one: Go's zero time, and what lies before 1970, say that there is none.
fn time(time: Option<&Time>) -> Option<Nanos> {
    let nanos = time.map(|time| Nanos::from(time.0));
    nanos.filter(|nanos| nanos.0 > 0)
}
