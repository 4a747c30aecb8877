//! Which started containers form which job.
//!
//! The CRI starts containers one at a time; interLink runs whole pods. Containers of one sandbox
//! that are started close together travel as one job, so that they share a node, localhost and
//! emptyDirs there. A job gathers containers until the quiet period has passed.

use super::Rules;
use crate::model::{
    ContainerId, ContainerPhase, Job, JobUid, Nanos, Pod, SandboxPhase, Submission,
};

/// Why a container cannot be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such container in this pod.
    #[error("the container does not exist")]
    NoContainer,
    /// It was started before.
    #[error("the container is already running")]
    Running,
    /// It has ended; a restart is a new container.
    #[error("the container has exited; create a new one to run it again")]
    Exited,
    /// Its sandbox was stopped or removed.
    #[error("the pod sandbox is not ready")]
    SandboxNotReady,
}

/// Starts a container: from here on it is RUNNING for the CRI, and part of a job.
///
/// # Errors
/// A container that is not CREATED, or whose sandbox is not READY.
pub fn start(pod: &mut Pod, id: &ContainerId, now: Nanos) -> Result<(), Refusal> {
    let entry = pod.container(id).ok_or(Refusal::NoContainer)?;
    match entry.status.phase() {
        ContainerPhase::Created => {}
        ContainerPhase::Running => return Err(Refusal::Running),
        ContainerPhase::Exited => return Err(Refusal::Exited),
    }
    if pod.phase() != SandboxPhase::Ready {
        return Err(Refusal::SandboxNotReady);
    }
    let (name, now) = (
        entry.container.name.clone(),
        now.max(entry.container.created_at),
    );
    if let Some(status) = pod.status_mut(id) {
        status.started_at = Some(now);
    }
    let job = gathering_job(pod, &name, now);
    job.containers.push(id.clone());
    job.names.push(name);
    job.submission = Submission::Gathering { last_start: now };
    Ok(())
}

/// The job that still gathers, or a new one. Names are unique within a job, because the plugin
/// knows containers by name: a second attempt at a container travels in the next job.
fn gathering_job<'a>(pod: &'a mut Pod, name: &str, now: Nanos) -> &'a mut Job {
    let open = pod.jobs.iter().position(|job| {
        matches!(job.submission, Submission::Gathering { .. })
            && !job.names.iter().any(|taken| taken == name)
    });
    let index = open.unwrap_or_else(|| {
        let number = pod.next_job;
        pod.next_job = number.saturating_add(1);
        let sandbox = &pod.sandbox;
        pod.jobs.push(Job {
            number,
            uid: JobUid::derive(&sandbox.uid, &sandbox.id, sandbox.attempt, number),
            containers: Vec::new(),
            names: Vec::new(),
            created_at: now,
            submission: Submission::Gathering { last_start: now },
            server_errors: 0,
            remote_id: None,
            grace_seconds: 0,
            cancel: None,
        });
        pod.jobs.len() - 1
    });
    &mut pod.jobs[index]
}

/// When a gathering job closes. A container that was created since the last start is about to be
/// started too, so the quiet period counts from its creation.
pub fn closes_at(pod: &Pod, last_start: Nanos, rules: &Rules) -> Nanos {
    let created = pod
        .containers
        .iter()
        .filter(|entry| entry.status.phase() == ContainerPhase::Created)
        .map(|entry| entry.container.created_at)
        .max();
    created
        .map_or(last_start, |created| created.max(last_start))
        .plus(rules.quiet_period)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        plan::testing::{container, created, pod},
    };

    fn jobs(pod: &Pod) -> Vec<Vec<&str>> {
        pod.jobs
            .iter()
            .map(|job| job.names.iter().map(String::as_str).collect())
            .collect()
    }

    #[test]
    fn containers_started_close_together_share_a_job() {
        let mut pod = pod(&["a", "b"]);
        let ids: Vec<_> = pod.containers.iter().map(|c| c.id().clone()).collect();
        for id in &ids {
            start(&mut pod, id, Nanos(1_000)).expect("starts");
        }
        assert_eq!(jobs(&pod), [["a", "b"]]);
        assert_eq!(pod.next_job, 1);
    }

    #[test]
    fn a_closed_job_takes_no_more() {
        let mut pod = pod(&["init", "main"]);
        let ids: Vec<_> = pod.containers.iter().map(|c| c.id().clone()).collect();
        start(&mut pod, &ids[0], Nanos(1)).expect("starts");
        pod.jobs[0].submission = Submission::Pending {
            failures: 0,
            not_before: Nanos(2),
        };
        start(&mut pod, &ids[1], Nanos(3)).expect("starts");
        assert_eq!(jobs(&pod), [["init"], ["main"]]);
        assert_ne!(pod.jobs[0].uid, pod.jobs[1].uid);
    }

    #[test]
    fn a_second_attempt_at_a_name_is_a_job_of_its_own() {
        let mut pod = pod(&["a"]);
        let first = pod.containers[0].id().clone();
        start(&mut pod, &first, Nanos(1)).expect("starts");
        pod.add_container(container(&pod, "a", 1));
        let second = pod.containers[1].id().clone();
        start(&mut pod, &second, Nanos(2)).expect("starts");
        assert_eq!(jobs(&pod), [["a"], ["a"]]);
    }

    #[test]
    fn only_a_created_container_in_a_ready_sandbox_starts() {
        let mut one = pod(&["a"]);
        let id = one.containers[0].id().clone();
        assert_eq!(
            start(&mut one, &ContainerId::from("x"), Nanos(1)),
            Err(Refusal::NoContainer)
        );
        start(&mut one, &id, Nanos(1)).expect("starts");
        assert_eq!(start(&mut one, &id, Nanos(1)), Err(Refusal::Running));
        let mut stopped = pod(&["a"]);
        let id = stopped.containers[0].id().clone();
        stopped.status.stopped_at = Some(Nanos(1));
        assert_eq!(
            start(&mut stopped, &id, Nanos(2)),
            Err(Refusal::SandboxNotReady)
        );
    }

    #[test]
    fn a_container_that_was_just_created_holds_the_job_open() {
        let rules = Rules::from(&Config::default());
        let mut pod = pod(&["a"]);
        let id = pod.containers[0].id().clone();
        start(&mut pod, &id, Nanos(1_000)).expect("starts");
        assert_eq!(
            closes_at(&pod, Nanos(1_000), &rules),
            Nanos(1_000).plus(rules.quiet_period)
        );
        let next = created(&pod, "b", Nanos(9_000));
        pod.add_container(next);
        assert_eq!(
            closes_at(&pod, Nanos(1_000), &rules),
            Nanos(9_000).plus(rules.quiet_period)
        );
    }
}
