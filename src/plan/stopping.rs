//! Stops that are true: a container that is being stopped stays RUNNING until it is known to have ended,
//! or the time for that is over.
//!
//! ```text
//!              stop_container                    the plugin reports the end, or the job is gone
//!  RUNNING ────────────────────► stopping ────────────────────────────────────► EXITED
//!     │                           │    ▲                                          ▲
//!     │                           │    │ stop_container, again                    │
//!     │             time_is_over  ├────┴─── overdue (hold)                        │
//!     │                           └─────────────────────────── (release) ─────────┤
//!     │                           │ after SHARED_WAIT: the job goes on for others │
//!     │                           └───────────────────────────────────────────────┤
//!     └─── the job never left ────────────────────────────────────────────────────┘
//! ```
//!
//! Meanwhile the job is owed a DELETE, and is asked about: `owed`, `call_results`. A job can only be cancelled
//! as a whole, so that begins when all that it carries is to be stopped. A kubelet that ends a pod stops its
//! containers at the same time (`killContainersWithSyncResult` in
//! pkg/kubelet/kuberuntime/kuberuntime_container.go), and its sidecars once the others have ended
//! (`terminationOrdering`, kuberuntime_termination_order.go): those end with what they served.

use std::time::Duration;

use super::{
    lifecycle,
    stop_ends::{self, killed},
    Rules,
};
use crate::{
    config::stops::UnconfirmedStop,
    model::{
        Cancellation, ContainerEntry, ContainerId, ContainerPhase, Job, Nanos, Pod, SandboxPhase,
        Stopping, Submission,
    },
};

/// How long the stop of a container whose job goes on for others waits for stops of these. The kubelet sends
/// all of a pod's at once; it can be longer apart where one of them has a preStop hook.
const SHARED_WAIT: Duration = Duration::from_secs(2);

/// What a stop has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopOutcome {
    /// It is not known yet whether all has ended.
    Waits,
    /// Nothing of it runs any more, as far as the kubelet is concerned.
    Done,
    /// The time is over, and the end is not known.
    Overdue,
}

/// How a container can be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Its end can be waited for.
    Wait,
    /// Its job has not left, so there is nothing to wait for.
    AtOnce,
    /// Its end is known, and the rest of its log is to come; its job goes on for others.
    Ended,
    /// Its job goes on for others, so its end will not come.
    Shared,
}

/// Stops one container. Where its job can be cancelled, it stays RUNNING until its end is known, for at most
/// the grace period and `patience`; so it does while its job goes on for others, for [`SHARED_WAIT`] or its
/// grace period, and has ended then if these still go on. One whose job never left has ended at once. Asked
/// again, a shorter grace period shortens, and a longer one changes nothing.
///
/// A container that was never started stays as it is, as the kubelet does not stop those
/// (`ConvertPodStatusToRunningPod` in pkg/kubelet/container/helpers.go).
pub fn stop_container(
    pod: &mut Pod,
    id: &ContainerId,
    grace_seconds: u32,
    patience: Duration,
    now: Nanos,
) {
    let runs = |entry: &&ContainerEntry| entry.status.phase() == ContainerPhase::Running;
    if pod.container(id).filter(runs).is_none() {
        return;
    }
    match way(pod, id) {
        Way::Wait => begin(pod, id, grace_seconds, patience, now),
        Way::AtOnce => lifecycle::kill_container(pod, id, grace_seconds, now),
        Way::Ended => {
            note(pod, id, grace_seconds, patience, None, now);
        }
        Way::Shared => begin_shared(pod, id, grace_seconds, patience, now),
    }
    stop_ends::conclude(pod, now);
}

/// Stops the sandbox: no container of it is started any more, every job is cancelled, and a container
/// whose end can be waited for stays RUNNING until that is known. This is where the pod is gone for the
/// remote side: the kubelet removes records minutes later, when it collects garbage
/// (pkg/kubelet/kuberuntime/kuberuntime_gc.go).
pub fn stop_sandbox(pod: &mut Pod, patience: Duration, now: Nanos) {
    if pod.phase() == SandboxPhase::Removed {
        return;
    }
    // The whole pod goes, so nothing is shared with what goes on.
    let waits = |entry: &&ContainerEntry| {
        entry.status.phase() == ContainerPhase::Running && way(pod, entry.id()) != Way::AtOnce
    };
    let waiting: Vec<_> = pod.containers.iter().filter(waits).collect();
    let waiting: Vec<_> = waiting.iter().map(|entry| entry.id().clone()).collect();
    for id in &waiting {
        // The kubelet has given containers their grace period when it calls this.
        begin(pod, id, 0, patience, now);
    }
    lifecycle::end_sandbox(pod, now, |entry| waiting.contains(entry.id()));
    stop_ends::conclude(pod, now);
}

fn way(pod: &Pod, id: &ContainerId) -> Way {
    let (Some(entry), Some(job)) = (pod.container(id), pod.job_of(id)) else {
        return Way::AtOnce;
    };
    if job.is_owed_a_cancellation() {
        return Way::Wait;
    }
    let is_shared = goes_on_without(pod, job, entry);
    if entry.status.reported.is_some() {
        return match is_shared {
            true => Way::Ended,
            false => Way::Wait,
        };
    }
    let never_left = match job.submission {
        Submission::Gathering { .. } | Submission::Pending { .. } | Submission::Dropped => {
            job.in_doubt_since.is_none()
        }
        Submission::Submitting { .. }
        | Submission::Unsure { .. }
        | Submission::Submitted { .. } => false,
        Submission::Finished | Submission::Lost => true,
    };
    if never_left {
        return Way::AtOnce;
    }
    match is_shared {
        true => Way::Shared,
        false => Way::Wait,
    }
}

/// Whether a job carries others that are to go on. Sidecars do not go on by themselves.
fn goes_on_without(pod: &Pod, job: &Job, stopped: &ContainerEntry) -> bool {
    let mut carried = job.containers.iter().filter_map(|id| pod.container(id));
    let goes_on = |entry: &ContainerEntry| {
        entry.id() != stopped.id()
            && entry.status.is_live()
            && entry.status.stopping.is_none()
            && !job.is_sidecar(&entry.container.name)
    };
    let others_go_on = carried.any(goes_on);
    // What comes after an init container that is stopped does not run.
    let is_init = job.is_init(&stopped.container.name);
    let more_to_come = !is_init && job.expected.iter().any(|expected| expected.end.is_none());
    others_go_on || more_to_come
}

/// Begins to wait for a container's end, or shortens that, and has its job cancelled.
fn begin(pod: &mut Pod, id: &ContainerId, grace_seconds: u32, patience: Duration, now: Nanos) {
    let Some(number) = pod.job_of(id).map(|job| job.number) else {
        return;
    };
    if !note(pod, id, grace_seconds, patience, None, now) {
        return;
    }
    let grace_seconds = longest_grace(pod, number, patience, now);
    if let Some(job) = pod.job_mut(number) {
        job.grace_seconds = grace_seconds;
    }
    cancel(pod, number, now);
}

/// Begins to wait for stops of the others in a container's job, or shortens that.
fn begin_shared(
    pod: &mut Pod,
    id: &ContainerId,
    grace_seconds: u32,
    patience: Duration,
    now: Nanos,
) {
    let wait = SHARED_WAIT.min(Duration::from_secs(grace_seconds.into()));
    if !note(pod, id, grace_seconds, patience, Some(wait), now) {
        return;
    }
    let number = pod.job_of(id).map(|job| job.number);
    if let Some(job) = number.and_then(|number| pod.job_mut(number)) {
        job.grace_seconds = job.grace_seconds.max(grace_seconds);
    }
    sharing_is_over(pod, now);
}

/// Notes the stop of a container, or that it is to be shorter. False where nothing is new.
fn note(
    pod: &mut Pod,
    id: &ContainerId,
    grace_seconds: u32,
    patience: Duration,
    shared_wait: Option<Duration>,
    now: Nanos,
) -> bool {
    let Some(status) = pod.status_mut(id) else {
        return false;
    };
    let deadline = now.plus(Duration::from_secs(grace_seconds.into()) + patience);
    let is_same =
        |stop: &&Stopping| !stop.is_overdue && stop.shared_until.is_some() == shared_wait.is_some();
    let under_way = status.stopping.as_ref().filter(is_same);
    if under_way.is_some_and(|stop| stop.deadline <= deadline) {
        return false;
    }
    status.stopping = Some(Stopping {
        since: now,
        deadline,
        is_overdue: false,
        shared_until: shared_wait.map(|wait| now.plus(wait)),
    });
    true
}

/// Has a job cancelled whose containers are being stopped, its sidecars with them.
fn cancel(pod: &mut Pod, number: u32, now: Nanos) {
    lifecycle::forget_what_will_not_run(pod, number);
    let Some(job) = pod.job(number) else { return };
    let (carried, sidecars) = (job.containers.clone(), job.sidecars().to_vec());
    let in_job = |entry: &&mut ContainerEntry| carried.contains(entry.id());
    let mut longest: Option<Stopping> = None;
    for entry in pod.containers.iter_mut().filter(in_job) {
        if let Some(stop) = &mut entry.status.stopping {
            stop.shared_until = None;
            let is_longer = longest
                .as_ref()
                .is_none_or(|it| it.deadline < stop.deadline);
            longest = is_longer.then(|| stop.clone()).or(longest);
        }
    }
    for entry in pod.containers.iter_mut().filter(in_job) {
        let is_sidecar = sidecars
            .iter()
            .any(|sidecar| entry.container.name == *sidecar);
        let status = &mut entry.status;
        if is_sidecar && status.is_live() && status.stopping.is_none() {
            status.stopping.clone_from(&longest);
        }
    }
    let Some(job) = pod.job_mut(number) else {
        return;
    };
    if matches!(job.submission, Submission::Finished | Submission::Lost) {
        return;
    }
    job.cancel_again(now);
    job.request_cancel(now);
}

/// Ends the wait for stops of the others in a job, where it is over.
fn sharing_is_over(pod: &mut Pod, now: Nanos) {
    let is_over = |entry: &&ContainerEntry| {
        let stop = entry.status.stopping.as_ref();
        let is_over = |stop: &Stopping| {
            stop.shared_until
                .is_some_and(|until| until <= now || now < stop.since)
        };
        is_waited_for(entry) && stop.is_some_and(is_over)
    };
    let over: Vec<_> = pod.containers.iter().filter(is_over).collect();
    let over: Vec<_> = over.iter().map(|entry| entry.id().clone()).collect();
    for id in over {
        match way(pod, &id) {
            Way::Shared => {
                lifecycle::kill_container(pod, &id, 0, now);
                let status = pod.status_mut(&id);
                if let Some(exit) = status.and_then(|status| status.exit.as_mut()) {
                    stop_ends::SHARED.clone_into(&mut exit.message);
                }
            }
            Way::AtOnce => lifecycle::kill_container(pod, &id, 0, now),
            Way::Ended => {
                if let Some(stop) = pod.status_mut(&id).and_then(|it| it.stopping.as_mut()) {
                    stop.shared_until = None;
                }
            }
            // The others have ended meanwhile.
            Way::Wait => {
                if let Some(number) = pod.job_of(&id).map(|job| job.number) {
                    cancel(pod, number, now);
                }
            }
        }
    }
}

/// The longest grace period that is left for any of a job's containers, in seconds.
fn longest_grace(pod: &Pod, number: u32, patience: Duration, now: Nanos) -> u32 {
    let carried = pod.job(number).into_iter().flat_map(|job| &job.containers);
    let stops = carried.filter_map(|id| pod.container(id)?.status.stopping.as_ref());
    let left = stops.map(|stop| stop.deadline.until(now).saturating_sub(patience));
    let longest = left.max().unwrap_or_default();
    let seconds = longest.as_nanos().div_ceil(1_000_000_000);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// When the next wait for a stop is over, if anything of the pod is being stopped.
pub fn next_deadline(pod: &Pod) -> Option<Nanos> {
    let entries = pod.containers.iter().filter(|entry| is_waited_for(entry));
    let stops = entries.filter_map(|entry| entry.status.stopping.as_ref());
    let ends = stops.map(|stop| stop.shared_until.unwrap_or(stop.deadline));
    ends.min()
}

fn is_waited_for(entry: &ContainerEntry) -> bool {
    let status = &entry.status;
    status.exit.is_none()
        && status
            .stopping
            .as_ref()
            .is_some_and(|stop| !stop.is_overdue)
}

/// Ends the wait for stops whose time is over, as `jobs.unconfirmed_stop` has it. The job stays owed its
/// cancellation.
pub fn time_is_over(pod: &mut Pod, now: Nanos, rules: &Rules) {
    sharing_is_over(pod, now);
    let unconfirmed = rules.unconfirmed_stops.of(&pod.sandbox);
    // A time before the beginning tells of a clock that has stepped back: how long it was is not known.
    let is_over = |stop: &Stopping| stop.deadline <= now || now < stop.since;
    let mut over = Vec::new();
    for entry in pod
        .containers
        .iter_mut()
        .filter(|entry| is_waited_for(entry))
    {
        let killed = killed(entry, stop_ends::MAY_RUN, now);
        let status = &mut entry.status;
        let Some(stop) = status.stopping.as_mut().filter(|stop| is_over(stop)) else {
            continue;
        };
        if status.reported.is_none() && unconfirmed == UnconfirmedStop::Hold {
            stop.is_overdue = true;
        } else {
            status.exit = Some(status.reported.clone().unwrap_or_else(|| Box::new(killed)));
            status.log_owed_since = status.log_owed_since.or(Some(now));
        }
        over.push(entry.id().clone());
    }
    let is_over = |job: &&mut Job| job.containers.iter().any(|id| over.contains(id));
    for job in pod.jobs.iter_mut().filter(is_over) {
        if matches!(job.cancel, Some(Cancellation::Delivered { .. })) {
            job.cancel_again(now);
        }
    }
    stop_ends::conclude(pod, now);
}

/// Takes over that the plugin does not have a job any more whose DELETE it has confirmed: its containers
/// have ended, nobody knows how. Where the batch system may leave processes running for a while
/// (`jobs.kill_wait`), that is waited for.
pub fn gone(pod: &mut Pod, number: u32, now: Nanos, rules: &Rules) {
    let Some(job) = pod.job_mut(number) else {
        return;
    };
    let Some(at) = job.deletion_confirmed_at() else {
        return;
    };
    if now.since(at) >= rules.kill_wait || now < at {
        job.cancel_confirmed();
        stop_ends::conclude(pod, now);
    }
}

/// What the stop of a container has come to; of one that is not there any more, too.
pub fn of_container(pod: &Pod, id: &ContainerId) -> StopOutcome {
    let status = pod.container(id).map(|entry| &entry.status);
    match status.filter(|status| status.phase() == ContainerPhase::Running) {
        None => StopOutcome::Done,
        Some(status) => match &status.stopping {
            Some(stop) if stop.is_overdue => StopOutcome::Overdue,
            Some(_) => StopOutcome::Waits,
            None => StopOutcome::Done,
        },
    }
}

/// What the stop of a sandbox has come to.
pub fn of_sandbox(pod: &Pod) -> StopOutcome {
    let outcomes: Vec<_> = pod
        .containers
        .iter()
        .map(|entry| of_container(pod, entry.id()))
        .collect();
    let first = [StopOutcome::Waits, StopOutcome::Overdue];
    let found = first.into_iter().find(|one| outcomes.contains(one));
    found.unwrap_or(StopOutcome::Done)
}

#[cfg(test)]
mod tests;
