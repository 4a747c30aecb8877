//! The Kubernetes events and the readiness condition that follow from a pod's jobs. Events come from
//! a comparison of two states of the pod. However many changes lie between the two, no event comes
//! twice, and what came and went meanwhile is left out.

use super::pod_containers::PodContainers;
use crate::model::{exit_reason, Cancellation, ContainerEntry, Job, Pod, Remote, Submission};

/// So many attempts at a submission fail before there is an event.
const MANY_FAILURES: u32 = 3;

/// An event on a pod, as `kubectl describe pod` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobEvent {
    /// One CamelCase word, as events of Kubernetes have it.
    pub reason: &'static str,
    /// `Warning` rather than `Normal`.
    pub is_warning: bool,
    /// A sentence for people.
    pub message: String,
}

impl JobEvent {
    fn normal(reason: &'static str, message: String) -> Self {
        Self {
            reason,
            is_warning: false,
            message,
        }
    }

    fn warning(reason: &'static str, message: String) -> Self {
        Self {
            reason,
            is_warning: true,
            message,
        }
    }
}

/// The events of a pod's jobs since the pod was as `before`; all of them for a new pod.
pub fn new_events(before: Option<&Pod>, after: &Pod) -> Vec<JobEvent> {
    let jobs = after.jobs.iter();
    jobs.flat_map(|job| {
        let old = before.and_then(|pod| pod.job(job.number));
        new_events_of_job(before.zip(old), after, job)
    })
    .collect()
}

fn new_events_of_job(before: Option<(&Pod, &Job)>, after: &Pod, job: &Job) -> Vec<JobEvent> {
    let was = |is: &dyn Fn(&Pod, &Job) -> bool| before.is_some_and(|(pod, job)| is(pod, job));
    let is_new = |is: &dyn Fn(&Pod, &Job) -> bool| is(after, job) && !was(is);
    let named = named(job);
    let mut events = Vec::new();
    if is_new(&|_, job| was_taken(job)) {
        let names: Vec<_> = job.all_names().collect();
        let message = format!("{named} was submitted, with {}", names.join(", "));
        events.push(JobEvent::normal("JobSubmitted", message));
    }
    if is_new(&|_, job| is_late(job)) {
        let why = job
            .trouble
            .as_deref()
            .unwrap_or("the plugin is being asked");
        let message = format!("{named} is not submitted yet, and is tried again: {why}");
        events.push(JobEvent::warning("SubmissionDelayed", message));
    }
    if is_new(&|_, job| held(job).is_some()) {
        let why = held(job).unwrap_or_default();
        events.push(JobEvent::normal("NamespaceLimit", format!("{named} {why}")));
    }
    let why = job.waiting.as_ref();
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    if is_new(&|pod, job| remote(pod, job) >= Some(Remote::Running)) {
        events.push(JobEvent::normal("JobStarted", format!("{named} runs")));
    } else if is_new(&|pod, job| remote(pod, job) >= Some(Remote::Queued)) {
        let message = format!("{named} waits in the remote queue{why}");
        events.push(JobEvent::normal("JobQueued", message));
    } else if is_queued(after, job) && !was(&|_, old| old.waiting == job.waiting) && !why.is_empty()
    {
        events.push(JobEvent::normal(
            "JobWaiting",
            format!("{named} waits{why}"),
        ));
    }
    if is_new(&|_, job| job.submission == Submission::Dropped) {
        if let Some(why) = refusal(after, job) {
            events.push(JobEvent::warning(
                exit_reason::SUBMISSION_FAILED,
                why.to_owned(),
            ));
        }
    }
    if is_new(&|_, job| job.submission == Submission::Lost) {
        let message = format!("the plugin does not know {named} any more");
        events.push(JobEvent::warning(exit_reason::JOB_LOST, message));
    }
    let is_cancelled = |_: &Pod, job: &Job| {
        matches!(job.submission, Submission::Submitted { .. })
            && job.cancel == Some(Cancellation::Done)
    };
    if is_new(&is_cancelled) {
        events.push(JobEvent::normal(
            "JobCancelled",
            format!("{named} was cancelled"),
        ));
    }
    events
}

fn named(job: &Job) -> String {
    match &job.remote_id {
        Some(id) => format!("job {id}"),
        None => format!("job {}", job.uid),
    }
}

/// Whether a job should be with the plugin by now. One failure or two pass unnoticed.
fn is_late(job: &Job) -> bool {
    match job.submission {
        Submission::Pending { failures, .. }
        | Submission::Submitting { failures }
        | Submission::Unsure { failures, .. } => failures >= MANY_FAILURES,
        Submission::Gathering { .. }
        | Submission::Submitted { .. }
        | Submission::Finished
        | Submission::Lost
        | Submission::Dropped => false,
    }
}

/// Why a job is not submitted yet, while its namespace has no room for it.
fn held(job: &Job) -> Option<&str> {
    let is_pending = matches!(job.submission, Submission::Pending { .. });
    job.held.as_deref().filter(|_| is_pending)
}

/// Whether the plugin has, or had, the job.
fn was_taken(job: &Job) -> bool {
    matches!(
        job.submission,
        Submission::Submitted { .. } | Submission::Finished | Submission::Lost
    )
}

/// The furthest that any of a job's containers has come over there.
fn remote(pod: &Pod, job: &Job) -> Option<Remote> {
    let started = carried(pod, job).map(|entry| entry.status.remote);
    let expected = job.expected.iter().map(|expected| expected.remote);
    started.chain(expected).max()
}

/// Whether the plugin has the job, and nothing of it has begun.
fn is_queued(pod: &Pod, job: &Job) -> bool {
    matches!(job.submission, Submission::Submitted { .. })
        && remote(pod, job) == Some(Remote::Queued)
}

/// What the plugin said when it refused the job.
fn refusal<'a>(pod: &'a Pod, job: &'a Job) -> Option<&'a str> {
    let mut exits = carried(pod, job).filter_map(|entry| entry.status.exit.as_ref());
    let refused = exits.find(|exit| exit.reason == exit_reason::SUBMISSION_FAILED)?;
    Some(&refused.message)
}

fn carried<'a>(pod: &'a Pod, job: &'a Job) -> impl Iterator<Item = &'a ContainerEntry> {
    job.containers.iter().filter_map(|id| pod.container(id))
}

/// The condition of a pod's readiness gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningCondition {
    /// Whether the pod's job runs.
    pub status: bool,
    /// Why, or why not, in one word.
    pub reason: &'static str,
    /// Why the job waits, in the plugin's words; empty where it says nothing.
    pub message: String,
}

/// Whether a pod's job runs. Init containers do not count: the pod is not ready while they run.
pub fn running_condition(pod: &Pod, containers: &PodContainers) -> RunningCondition {
    let (status, reason) = running(pod, containers);
    let held = pod.jobs.iter().rev().find_map(held);
    if let ("JobPending", Some(why)) = (reason, held) {
        return RunningCondition {
            status,
            reason: "NamespaceLimit",
            message: why.to_owned(),
        };
    }
    let mut jobs = pod.jobs.iter().rev().filter(|job| is_queued(pod, job));
    let why = jobs.find_map(|job| job.waiting.as_ref());
    RunningCondition {
        status,
        reason,
        message: match (status, why) {
            (false, Some(why)) => why.to_string(),
            _ => String::new(),
        },
    }
}

fn running(pod: &Pod, containers: &PodContainers) -> (bool, &'static str) {
    let is_main = |entry: &&ContainerEntry| {
        containers
            .mains
            .iter()
            .any(|main| entry.container.name == *main)
    };
    let mains: Vec<_> = pod.containers.iter().filter(is_main).collect();
    let mut live = mains.iter().filter(|entry| entry.status.is_live());
    if live
        .clone()
        .any(|entry| entry.status.remote == Remote::Running)
    {
        return (true, "JobRunning");
    }
    if live.any(|entry| entry.status.remote == Remote::Queued) {
        return (false, "JobQueued");
    }
    // One that was lost before it has been told of, and is being tried again.
    let last = pod.jobs.last();
    if last.is_some_and(|job| job.submission == Submission::Lost) {
        return (false, exit_reason::JOB_LOST);
    }
    let have_ended = mains.iter().all(|entry| !entry.status.is_live());
    match !mains.is_empty() && have_ended {
        true => (false, "JobFinished"),
        false => (false, "JobPending"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Nanos, WaitReason},
        plan::{batch::start, lifecycle, testing::pod},
    };

    /// A pod with a job of two containers.
    fn started() -> Pod {
        let mut pod = pod(&["a", "b"]);
        for id in pod
            .containers
            .iter()
            .map(|c| c.id().clone())
            .collect::<Vec<_>>()
        {
            start(&mut pod, &id, Nanos(1)).expect("starts");
        }
        pod
    }

    fn with(pod: &Pod, change: impl FnOnce(&mut Pod)) -> Pod {
        let mut pod = pod.clone();
        change(&mut pod);
        pod
    }

    fn words(before: Option<&Pod>, after: &Pod) -> Vec<&'static str> {
        new_events(before, after)
            .iter()
            .map(|one| one.reason)
            .collect()
    }

    #[test]
    fn each_step_is_told_once() {
        let gathering = started();
        assert!(words(None, &gathering).is_empty());
        let submitted = with(&gathering, |pod| {
            pod.jobs[0].submission = Submission::Submitted { at: Nanos(2) };
            pod.jobs[0].remote_id = Some("4711".to_owned());
        });
        let queued = with(&submitted, |pod| {
            pod.containers[0].status.remote = Remote::Queued
        });
        let running = with(&queued, |pod| {
            pod.containers[1].status.remote = Remote::Running
        });
        let all_run = with(&running, |pod| {
            pod.containers[0].status.remote = Remote::Running
        });
        let finished = with(&all_run, |pod| {
            pod.jobs[0].submission = Submission::Finished
        });
        let lost = with(&running, |pod| pod.jobs[0].submission = Submission::Lost);
        let cancelled = with(&running, |pod| {
            pod.jobs[0].cancel = Some(Cancellation::Done)
        });
        let cleaned_up = with(&finished, |pod| {
            pod.jobs[0].cancel = Some(Cancellation::Done)
        });
        let failed = |failures| {
            with(&gathering, |pod| {
                let not_before = Nanos(9);
                pod.jobs[0].submission = Submission::Pending {
                    failures,
                    not_before,
                };
            })
        };
        let again = with(&gathering, |pod| {
            pod.jobs[0].submission = Submission::Submitting { failures: 3 };
        });
        for (name, before, after, want) in [
            ("failed twice", Some(&gathering), &failed(2), vec![]),
            (
                "failed often",
                Some(&failed(2)),
                &failed(3),
                vec!["SubmissionDelayed"],
            ),
            ("tried again", Some(&failed(3)), &again, vec![]),
            ("failed more often", Some(&again), &failed(4), vec![]),
            (
                "submitted in the end",
                Some(&failed(4)),
                &submitted,
                vec!["JobSubmitted"],
            ),
            (
                "submitted",
                Some(&gathering),
                &submitted,
                vec!["JobSubmitted"],
            ),
            ("queued", Some(&submitted), &queued, vec!["JobQueued"]),
            ("running", Some(&queued), &running, vec!["JobStarted"]),
            ("all running", Some(&running), &all_run, vec![]),
            ("finished", Some(&all_run), &finished, vec![]),
            ("lost", Some(&running), &lost, vec!["JobLost"]),
            (
                "cancelled",
                Some(&running),
                &cancelled,
                vec!["JobCancelled"],
            ),
            ("cleaned up", Some(&finished), &cleaned_up, vec![]),
            (
                "all at once",
                Some(&gathering),
                &running,
                vec!["JobSubmitted", "JobStarted"],
            ),
            (
                "a new pod",
                None,
                &queued,
                vec!["JobSubmitted", "JobQueued"],
            ),
            ("nothing", Some(&running), &running, vec![]),
        ] {
            assert_eq!(words(before, after), want, "{name}");
        }
        let text = &new_events(Some(&gathering), &submitted)[0].message;
        assert_eq!(text, "job 4711 was submitted, with a, b");
    }

    fn why(message: &str) -> WaitReason {
        WaitReason {
            reason: "JobHeld".to_owned(),
            message: message.to_owned(),
        }
    }

    #[test]
    fn why_a_job_waits_is_told_when_it_changes() {
        let submitted = with(&started(), |pod| {
            pod.jobs[0].submission = Submission::Submitted { at: Nanos(2) };
        });
        let waits = |message: &str| {
            with(&submitted, |pod| {
                pod.containers[0].status.remote = Remote::Queued;
                pod.jobs[0].waiting = Some(Box::new(why(message)));
            })
        };
        let told = |before: &Pod, after: &Pod| {
            let told = new_events(Some(before), after).into_iter();
            told.map(|one| (one.reason, one.message))
                .collect::<Vec<_>>()
        };
        let (priority, held) = (waits("Priority"), waits("Held by root"));
        let events = told(&submitted, &priority);
        assert_eq!(events[0].0, "JobQueued");
        assert!(
            events[0].1.ends_with("queue: JobHeld: Priority"),
            "{events:?}"
        );
        let events = told(&priority, &held);
        assert_eq!(events[0].0, "JobWaiting");
        assert!(
            events[0].1.ends_with("waits: JobHeld: Held by root"),
            "{events:?}"
        );
        assert_eq!(told(&held, &held), []);
        let silent = with(&held, |pod| pod.jobs[0].waiting = None);
        assert_eq!(told(&held, &silent), []);
        let runs = with(&held, |pod| {
            pod.containers[1].status.remote = Remote::Running
        });
        assert_eq!(told(&held, &runs)[0].0, "JobStarted");
        let other = with(&runs, |pod| pod.jobs[0].waiting = Some(Box::new(why("x"))));
        assert_eq!(told(&runs, &other), [], "it has begun");
    }

    #[test]
    fn a_refusal_is_told_in_the_plugin_s_words() {
        let before = started();
        let after = with(&before, |pod| {
            pod.jobs[0].submission = Submission::Dropped;
            lifecycle::fail_job(
                pod,
                0,
                128,
                exit_reason::SUBMISSION_FAILED,
                "invalid partition",
                Nanos(9),
            );
        });
        let events = new_events(Some(&before), &after);
        let want = JobEvent::warning("SubmissionFailed", "invalid partition".to_owned());
        assert_eq!(events, [want]);
        // One that was stopped before it left was not refused.
        let stopped = with(&before, |pod| {
            lifecycle::kill_sandbox(pod, Nanos(9));
        });
        assert!(words(Some(&before), &stopped).is_empty());
    }

    #[test]
    fn a_pod_runs_while_one_of_its_main_containers_does() {
        let containers = PodContainers {
            inits: vec!["a".to_owned()],
            sidecars: Vec::new(),
            mains: vec!["b".to_owned()],
        };
        let remote = |index: usize, remote| {
            with(&started(), |pod| {
                pod.containers[index].status.remote = remote
            })
        };
        let ended = with(&remote(1, Remote::Running), |pod| {
            let id = pod.containers[1].id().clone();
            lifecycle::kill_container(pod, &id, 0, Nanos(9));
        });
        let lost = with(&ended, |pod| pod.jobs[0].submission = Submission::Lost);
        for (name, pod, want) in [
            ("nothing known", started(), (false, "JobPending")),
            (
                "an init container",
                remote(0, Remote::Running),
                (false, "JobPending"),
            ),
            ("queued", remote(1, Remote::Queued), (false, "JobQueued")),
            ("running", remote(1, Remote::Running), (true, "JobRunning")),
            ("ended", ended, (false, "JobFinished")),
            ("lost", lost, (false, exit_reason::JOB_LOST)),
            (
                "empty",
                super::super::testing::pod(&[]),
                (false, "JobPending"),
            ),
        ] {
            let got = running_condition(&pod, &containers);
            assert_eq!((got.status, got.reason), want, "{name}");
        }
        let mut waits = remote(1, Remote::Queued);
        waits.jobs[0].submission = Submission::Submitted { at: Nanos(2) };
        waits.jobs[0].waiting = Some(Box::new(why("Priority")));
        let got = running_condition(&waits, &containers);
        assert_eq!(
            (got.reason, &*got.message),
            ("JobQueued", "JobHeld: Priority")
        );
        waits.containers[1].status.remote = Remote::Running;
        assert_eq!(running_condition(&waits, &containers).message, "");
    }
}
