//! How containers and sandboxes are killed, fail, and are removed: they have ended at once, and what the
//! remote side is owed follows from the pod. Stops that wait to be known to have happened are in `stopping`.

use super::stop_ends;
use crate::model::{
    exit_code, exit_reason, Cancellation, Container, ContainerEntry, ContainerId, ContainerPhase,
    ContainerStatus, Job, Nanos, Pod, SandboxPhase, Submission,
};

/// Ends one container here and now. Its job is cancelled once none of its containers is left to run;
/// one that shares its job with others goes on over there until the last of them ends.
/// `grace_seconds` is how long it may take to end over there. One that was never started stays as it is.
pub fn kill_container(pod: &mut Pod, id: &ContainerId, grace_seconds: u32, now: Nanos) {
    let Some(entry) = pod.containers.iter_mut().find(|entry| entry.id() == id) else {
        return;
    };
    if entry.status.phase() != ContainerPhase::Running {
        return;
    }
    end_now(&entry.container, &mut entry.status, now);
    if let Some(job) = pod.jobs.iter_mut().find(|job| job.containers.contains(id)) {
        job.grace_seconds = job.grace_seconds.max(grace_seconds);
        let number = job.number;
        forget_what_will_not_run(pod, number);
    }
    cancel_idle_jobs(pod, now);
}

/// Ends the sandbox here and now: every container, also one that was never started; and every job is
/// cancelled.
pub fn kill_sandbox(pod: &mut Pod, now: Nanos) {
    end_sandbox(pod, now, |_| false);
}

/// The same, but for the containers that are waited for.
pub(super) fn end_sandbox(
    pod: &mut Pod,
    now: Nanos,
    is_waited_for: impl Fn(&ContainerEntry) -> bool,
) {
    if pod.phase() == SandboxPhase::Ready {
        pod.status.stopped_at = Some(now.max(pod.sandbox.created_at));
    }
    // CREATED ones, too: no call of the kubelet stops them one by one.
    for entry in &mut pod.containers {
        if !is_waited_for(entry) {
            end_now(&entry.container, &mut entry.status, now);
        }
    }
    for job in &mut pod.jobs {
        job.request_cancel(now);
    }
}

/// Removes a container's record; a running one is killed first. The job goes with its last
/// container.
pub fn remove_container(pod: &mut Pod, id: &ContainerId, now: Nanos) {
    kill_container(pod, id, 0, now);
    pod.containers.retain(|entry| entry.id() != id);
    let left: Vec<ContainerId> = pod
        .containers
        .iter()
        .map(|entry| entry.id().clone())
        .collect();
    for job in pod
        .jobs
        .iter_mut()
        // One that carries what the kubelet is still to start goes on.
        .filter(|job| job.containers.contains(id) && job.expected.is_empty())
    {
        if !job.containers.iter().any(|carried| left.contains(carried)) {
            job.request_cancel(now);
        }
    }
    stop_ends::conclude(pod, now);
    forget_settled_jobs(pod);
}

/// Removes the sandbox with all its containers. What stays is the tombstone that remembers the
/// cancellations still owed.
pub fn remove_sandbox(pod: &mut Pod, now: Nanos) {
    kill_sandbox(pod, now);
    pod.containers.clear();
    pod.status.removed_at = pod.status.removed_at.or(Some(now));
    stop_ends::conclude(pod, now);
    forget_settled_jobs(pod);
}

/// Drops the records of jobs that are owed nothing and carry no container that is still shown,
/// so that a container which restarts for months does not leave a trail.
pub fn forget_settled_jobs(pod: &mut Pod) {
    let containers = &pod.containers;
    pod.jobs.retain(|job| {
        !job.is_settled()
            || job
                .containers
                .iter()
                .any(|id| containers.iter().any(|entry| entry.id() == id))
    });
}

/// Ends the containers of a job that failed as a whole (refused, lost) with our own explanation.
pub fn fail_job(pod: &mut Pod, number: u32, code: i32, reason: &str, message: &str, now: Nanos) {
    let Some(job) = pod.job(number) else {
        return;
    };
    let carried = job.containers.clone();
    for entry in pod
        .containers
        .iter_mut()
        .filter(|entry| carried.contains(entry.id()))
    {
        if entry.status.exit.is_some() {
            continue;
        }
        let (container, status) = (&entry.container, &mut entry.status);
        let own = || Box::new(status.own_end(container, (code, reason), message, now));
        status.exit = Some(status.reported.clone().unwrap_or_else(own));
        status.log_complete = true;
    }
}

/// Ends the containers of a job that still live with our own explanation, as if the plugin had
/// reported it: what can be had of their logs is fetched before it shows.
pub(super) fn report_end(
    pod: &mut Pod,
    number: u32,
    code: i32,
    reason: &str,
    message: &str,
    now: Nanos,
) {
    let Some(job) = pod.job(number) else {
        return;
    };
    let carried = job.containers.clone();
    let live = |entry: &&mut ContainerEntry| carried.contains(entry.id()) && entry.status.is_live();
    for entry in pod.containers.iter_mut().filter(live) {
        let status = &mut entry.status;
        let end = status.own_end(&entry.container, (code, reason), message, now);
        status.reported = Some(Box::new(end));
        status.log_owed_since = status.log_owed_since.or(Some(now));
    }
}

/// Shows the end that the plugin reported; the log is complete, or as complete as it will be.
pub fn complete_log(pod: &mut Pod, id: &ContainerId) {
    if let Some(status) = pod.status_mut(id) {
        status.log_complete = true;
        if status.exit.is_none() {
            status.exit = status.reported.clone();
        }
    }
}

/// Where an init container fails or is stopped, what comes after it does not run: the kubelet
/// starts it in another job, or not at all (`computeInitContainerActions` in
/// pkg/kubelet/kuberuntime/kuberuntime_container.go).
pub(super) fn forget_what_will_not_run(pod: &mut Pod, number: u32) {
    let Some(job) = pod.job(number) else {
        return;
    };
    let mut carried = job.containers.iter().filter_map(|id| pod.container(id));
    let init_failed = carried.any(|entry| {
        let status = &entry.status;
        let end = status.exit.as_ref().or(status.reported.as_ref());
        let has_failed = end.is_some_and(|end| end.code != 0);
        job.is_init(&entry.container.name) && (has_failed || status.awaits_stop())
    });
    let mut expected = job.expected.iter();
    let expected_init_failed = expected
        .any(|one| job.is_init(&one.name) && one.end.as_ref().is_some_and(|end| end.code != 0));
    let Some(job) = pod.job_mut(number) else {
        return;
    };
    if init_failed {
        job.expected.clear();
    } else if expected_init_failed {
        // The kubelet is still to see the failed one itself.
        let inits = &job.inits;
        job.expected
            .retain(|one| one.end.is_some() && inits.contains(&one.name));
    }
}

/// Whether every container of a job has ended, as far as it is still recorded, and those that the
/// kubelet has not started yet.
pub fn has_ended(pod: &Pod, job: &Job) -> bool {
    let mut carried = job.containers.iter().filter_map(|id| pod.container(id));
    carried.all(|entry| entry.status.exit.is_some() || entry.status.reported.is_some())
        && job.expected.iter().all(|expected| expected.end.is_some())
}

/// Ends a container here and now: with what the plugin reported, else as killed.
fn end_now(container: &Container, status: &mut ContainerStatus, now: Nanos) {
    if status.exit.is_some() {
        return;
    }
    let was_started = status.started_at.is_some();
    let killed = (exit_code::KILLED, exit_reason::ERROR);
    let killed = || Box::new(status.own_end(container, killed, "", now));
    status.exit = Some(status.reported.clone().unwrap_or_else(killed));
    if was_started {
        status.log_owed_since = status.log_owed_since.or(Some(now));
    } else {
        status.log_complete = true;
    }
}

/// Cancels the jobs of which no container is left to run. One that finished by itself keeps its
/// remote files until its containers are removed.
fn cancel_idle_jobs(pod: &mut Pod, now: Nanos) {
    let idle: Vec<u32> = pod
        .jobs
        .iter()
        .filter(|job| job.cancel.is_none() && job.submission != Submission::Finished)
        .filter(|job| has_ended(pod, job))
        .map(|job| job.number)
        .collect();
    for job in pod.jobs.iter_mut().filter(|job| idle.contains(&job.number)) {
        job.request_cancel(now);
        if job.cancel == Some(Cancellation::Done) {
            // It never left, so there is no log to fetch.
            let carried = job.containers.clone();
            for entry in pod
                .containers
                .iter_mut()
                .filter(|entry| carried.contains(entry.id()))
            {
                entry.status.log_complete = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Exit, Expected},
        plan::{
            batch::start,
            testing::{container, pod},
        },
    };

    fn running(names: &[&str]) -> (Pod, Vec<ContainerId>) {
        let mut pod = pod(names);
        let ids: Vec<_> = pod
            .containers
            .iter()
            .map(|entry| entry.id().clone())
            .collect();
        for id in &ids {
            start(&mut pod, id, Nanos(100)).expect("starts");
        }
        pod.jobs[0].submission = Submission::Submitted { at: Nanos(200) };
        (pod, ids)
    }

    fn code(pod: &Pod, id: &ContainerId) -> Option<i32> {
        pod.container(id)
            .and_then(|entry| entry.status.exit.as_ref())
            .map(|exit| exit.code)
    }

    #[test]
    fn a_stopped_init_container_takes_its_job_with_it() {
        for (is_init, want) in [(true, 0), (false, 1)] {
            let (mut pod, ids) = running(&["first"]);
            let job = &mut pod.jobs[0];
            job.expected = vec![Expected::new("main")];
            job.inits = is_init.then(|| "first".to_owned()).into_iter().collect();
            kill_container(&mut pod, &ids[0], 5, Nanos(300));
            assert_eq!(pod.jobs[0].expected.len(), want);
            assert_eq!(pod.jobs[0].cancel.is_some(), is_init);
        }
    }

    #[test]
    fn a_shared_job_is_cancelled_with_its_last_container() {
        let (mut pod, ids) = running(&["a", "b"]);
        kill_container(&mut pod, &ids[0], 5, Nanos(300));
        assert_eq!(
            (code(&pod, &ids[0]), code(&pod, &ids[1])),
            (Some(exit_code::KILLED), None)
        );
        assert_eq!(pod.jobs[0].cancel, None);
        kill_container(&mut pod, &ids[1], 5, Nanos(400));
        assert!(matches!(
            pod.jobs[0].cancel,
            Some(Cancellation::Requested { .. })
        ));
    }

    #[test]
    fn a_container_that_ended_meanwhile_keeps_its_own_code() {
        let (mut pod, ids) = running(&["a"]);
        let status = pod.status_mut(&ids[0]).expect("there");
        status.reported = Some(Box::new(Exit {
            code: 3,
            reason: "Error".into(),
            message: String::new(),
            finished_at: Nanos(250),
            termination_message: None,
            used: None,
        }));
        kill_container(&mut pod, &ids[0], 5, Nanos(300));
        assert_eq!(code(&pod, &ids[0]), Some(3));
        let before = pod.clone();
        kill_container(&mut pod, &ids[0], 5, Nanos(999));
        assert_eq!(pod, before, "a second stop changes nothing");
    }

    #[test]
    fn a_job_that_never_left_is_dropped_at_once() {
        let (mut pod, ids) = running(&["a"]);
        pod.jobs[0].submission = Submission::Gathering {
            last_start: Nanos(100),
        };
        kill_container(&mut pod, &ids[0], 5, Nanos(300));
        assert_eq!(pod.jobs[0].submission, Submission::Dropped);
        assert!(pod.containers[0].status.log_complete);
    }

    #[test]
    fn stopping_the_sandbox_ends_all_and_cancels_finished_jobs_too() {
        let (mut pod, _) = running(&["a"]);
        pod.add_container(container(&pod, "never-started", 0));
        pod.jobs[0].submission = Submission::Finished;
        kill_sandbox(&mut pod, Nanos(300));
        assert_eq!(pod.phase(), SandboxPhase::NotReady);
        assert!(pod
            .containers
            .iter()
            .all(|e| e.status.phase() == ContainerPhase::Exited));
        assert!(matches!(
            pod.jobs[0].cancel,
            Some(Cancellation::Requested { .. })
        ));
    }

    #[test]
    fn a_removed_pod_is_forgotten_only_when_its_jobs_are_settled() {
        let (mut pod, _) = running(&["a"]);
        remove_sandbox(&mut pod, Nanos(300));
        assert_eq!(pod.phase(), SandboxPhase::Removed);
        assert!(pod.containers.is_empty() && !pod.is_forgotten());
        pod.jobs[0].cancel_confirmed();
        assert!(pod.is_forgotten());
    }

    #[test]
    fn restarts_leave_no_trail_of_jobs() {
        let (mut pod, ids) = running(&["a"]);
        pod.jobs[0].submission = Submission::Finished;
        remove_container(&mut pod, &ids[0], Nanos(300));
        assert_eq!(pod.jobs.len(), 1, "its remote files are owed a deletion");
        pod.jobs[0].cancel_confirmed();
        forget_settled_jobs(&mut pod);
        assert!(pod.jobs.is_empty());
    }
}
