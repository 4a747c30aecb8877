//! A pod's life in the daemon's log: what has happened to it with a change. At `info` that is a handful of
//! lines for a pod, whoever has brought the change about.

use crate::{
    daemon_log::{self, Scope},
    model::{ContainerEntry, Job, Pod, Remote, SandboxPhase, Submission},
};

/// Writes what one change of a pod means.
pub fn tell(before: Option<&Pod>, after: &Pod) {
    let _scope = Scope::of_pod(after);
    if before.is_none() {
        log::info!("pod sandbox is ready");
    }
    for job in &after.jobs {
        job_events(before.and_then(|pod| pod.job(job.number)), job);
    }
    for entry in &after.containers {
        let old = before.and_then(|pod| pod.container(entry.id()));
        container_events(after, old, entry);
    }
    let was = before.map(Pod::phase);
    match after.phase() {
        phase if was == Some(phase) => {}
        SandboxPhase::Ready => {}
        SandboxPhase::NotReady => log::debug!("pod sandbox is stopped"),
        SandboxPhase::Removed => log::info!("pod sandbox is removed"),
    }
}

fn job_events(old: Option<&Job>, job: &Job) {
    let was = old.map(|old| &old.submission);
    if was == Some(&job.submission) {
        return;
    }
    let _scope = Scope::open();
    daemon_log::note_job(job);
    let is_submitted = |submission: &Submission| matches!(submission, Submission::Submitted { .. });
    if is_submitted(&job.submission) && !was.is_some_and(is_submitted) {
        log::info!("job is submitted");
    }
}

fn container_events(pod: &Pod, old: Option<&ContainerEntry>, entry: &ContainerEntry) {
    let is = &entry.status;
    let was = old.map(|entry| &entry.status);
    if was == Some(is) {
        return;
    }
    let _scope = Scope::of_container(pod, entry);
    if was.is_none() {
        log::debug!("container is created");
    }
    if is.started_at.is_some() && was.is_none_or(|was| was.started_at.is_none()) {
        log::debug!("container is started");
    }
    match (is.remote, was.map(|was| was.remote)) {
        (remote, Some(was)) if remote == was => {}
        (Remote::Unknown, _) => {}
        (Remote::Queued, _) => log::debug!("container waits in the remote queue"),
        (Remote::Running, _) => log::info!("container runs"),
    }
    if was.is_none_or(|was| was.exit.is_none()) {
        if let Some(exit) = &is.exit {
            // How it succeeded needs no words.
            let error = if exit.code == 0 { "" } else { &exit.message };
            log::info!(exit_code = exit.code, reason = exit.reason, error; "container has ended");
        }
    }
}
