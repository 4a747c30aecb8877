//! What a change of a pod means for the figures: events that are counted, and phases that are timed.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::{
    convert, memory,
    model::{
        exit_reason, ContainerEntry, ContainerPhase, Job, JobUid, Nanos, Pod, Remote, SandboxPhase,
        Submission,
    },
    telemetry::{Counters, Phase},
    traces::{self, Origin, Phase as Span},
};

/// Follows the changes of all pods.
#[derive(Default)]
pub struct Transitions {
    counters: Arc<Counters>,
    /// Since when jobs are owed a cancellation, as far as this process knows.
    owed: Mutex<HashMap<JobUid, Nanos>>,
}

impl Transitions {
    /// Counts and times into these.
    pub fn new(counters: Arc<Counters>) -> Self {
        Self {
            counters,
            owed: Mutex::default(),
        }
    }

    /// When the oldest cancellation that is owed was first known to be.
    pub fn oldest_owed(&self) -> Option<Nanos> {
        self.owed.lock().values().min().copied()
    }

    /// A change of the state waited so long until it was on disk, or was refused.
    pub fn commit(&self, is_ok: bool, took: std::time::Duration) {
        self.counters.metrics.state_commit(is_ok, took);
    }

    /// Notes the cancellations that are owed at the start.
    pub fn begin<'a>(&self, pods: impl Iterator<Item = &'a Pod>, now: Nanos) {
        let jobs = pods.flat_map(|pod| &pod.jobs).filter(|job| is_owed(job));
        self.owed.lock().extend(jobs.map(|job| (job.uid, now)));
    }

    /// Looks at one change.
    pub fn follow(&self, before: Option<&Pod>, after: &Pod, now: Nanos) {
        self.sandbox(before, after);
        for entry in &after.containers {
            let old = before.and_then(|pod| pod.container(entry.id()));
            self.container(after, old, entry);
        }
        let metrics = &self.counters.metrics;
        for old in before.iter().flat_map(|pod| &pod.containers) {
            if after.container(old.id()).is_none() {
                metrics.container("removed");
            }
        }
        for job in &after.jobs {
            let old = before.and_then(|pod| pod.job(job.number));
            self.job((before, old), (after, job), now);
        }
        for old in before.iter().flat_map(|pod| &pod.jobs) {
            if after.job(old.number).is_none() {
                // Settled, and forgotten in the same change.
                self.confirmed(before.unwrap_or(after), old, now);
            }
        }
    }

    fn sandbox(&self, before: Option<&Pod>, after: &Pod) {
        let metrics = &self.counters.metrics;
        let event = match (before.map(Pod::phase), after.phase()) {
            (None, _) => "created",
            (Some(SandboxPhase::Ready), SandboxPhase::NotReady) => "stopped",
            (Some(SandboxPhase::Ready | SandboxPhase::NotReady), SandboxPhase::Removed) => {
                "removed"
            }
            _ => return,
        };
        metrics.sandbox(event);
    }

    fn container(&self, pod: &Pod, old: Option<&ContainerEntry>, new: &ContainerEntry) {
        let metrics = &self.counters.metrics;
        if old.is_none() {
            metrics.container("created");
        }
        let was = old.map_or(ContainerPhase::Created, |entry| entry.status.phase());
        let is = new.status.phase();
        if was == is {
            return;
        }
        if was == ContainerPhase::Created && new.status.started_at.is_some() {
            metrics.container("started");
        }
        let Some(exit) = &new.status.exit else {
            return;
        };
        metrics.container("exited");
        metrics.exit(exit_reason::known(&exit.reason));
        let ran = old.is_some_and(|entry| entry.status.remote == Remote::Running);
        if let (true, Some(started)) = (ran, new.status.started_at) {
            let span = exit.finished_at.since(started);
            traces::phase(Span::RunningToEnded, (started, exit.finished_at), || {
                Origin::of_container(pod, new)
            });
            metrics.job_phase(Phase::RunningToExited, span);
            metrics.job_ran(partition(pod.job_of(new.id())), span);
        }
        if let Some(used) = exit.used.as_deref() {
            let share = convert::efficiency(&new.container, used);
            let partition = partition(pod.job_of(new.id()));
            metrics.job_efficiency(partition, share.cpu, share.memory);
        }
    }

    fn job(&self, before: (Option<&Pod>, Option<&Job>), after: (&Pod, &Job), now: Nanos) {
        let ((old_pod, old), (pod, job)) = (before, after);
        let metrics = &self.counters.metrics;
        let submitted = |job: &Job| match job.submission {
            Submission::Submitted { at } => Some(at),
            _ => None,
        };
        if let (None, Some(at)) = (old.and_then(submitted), submitted(job)) {
            metrics.job_phase(Phase::CreatedToSubmitted, at.since(job.created_at));
            traces::phase(Span::CreatedToSubmitted, (job.created_at, at), || {
                Origin::of_submission(pod, job)
            });
        }
        // A container that ends between two polls is never seen running: such jobs are not timed here.
        let runs = |pod: &Pod, job: &Job| job.containers.iter().any(|id| has_run(pod, id));
        let had_run = old_pod.zip(old).is_some_and(|(pod, job)| runs(pod, job));
        if let (false, true, Some(at)) = (had_run, runs(pod, job), submitted(job)) {
            // By the plugin's word, where it says since when: the poller comes later.
            let begun = began_at(pod, job).unwrap_or(now).max(at);
            let span = begun.since(at);
            traces::phase(Span::SubmittedToRunning, (at, begun), || {
                Origin::of_job(pod, job)
            });
            metrics.job_phase(Phase::SubmittedToRunning, span);
            metrics.job_waited(partition(Some(job)), span);
        }
        match (old.is_some_and(is_owed), is_owed(job)) {
            (false, true) => {
                self.owed.lock().insert(job.uid, now);
            }
            (true, false) => old
                .into_iter()
                .for_each(|old| self.confirmed(old_pod.unwrap_or(pod), old, now)),
            _ => {}
        }
    }

    /// A cancellation is confirmed of a job that was in this state before, and its pod too.
    fn confirmed(&self, pod: &Pod, before: &Job, now: Nanos) {
        let mut owed = self.owed.lock();
        let since = owed.remove(&before.uid);
        memory::shrink(&mut owed);
        drop(owed);
        let had_ended = matches!(before.submission, Submission::Finished | Submission::Lost);
        if let (Some(since), false) = (since, had_ended) {
            let span = now.since(since);
            self.counters
                .metrics
                .job_phase(Phase::StopToConfirmed, span);
            traces::phase(Span::StopToConfirmed, (since, now), || {
                Origin::of_cancellation(pod, before)
            });
        }
    }
}

fn is_owed(job: &Job) -> bool {
    job.is_owed_a_cancellation()
}

fn has_run(pod: &Pod, id: &crate::model::ContainerId) -> bool {
    pod.container(id)
        .is_some_and(|entry| entry.status.remote == Remote::Running)
}

/// When the first of a job's containers began to run, as far as they are known to.
fn began_at(pod: &Pod, job: &Job) -> Option<Nanos> {
    let entries = job.containers.iter().filter_map(|id| pod.container(id));
    let begun = entries.filter(|entry| entry.status.remote == Remote::Running);
    begun.filter_map(|entry| entry.status.started_at).min()
}

fn partition(job: Option<&Job>) -> &str {
    job.and_then(|job| job.partition.as_deref())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use prometheus_client::{encoding::prometheus_text::encode, registry::Registry};

    use super::*;
    use crate::plan::{batch, testing};

    #[test]
    fn cancellations_are_timed_whether_their_job_is_kept_or_forgotten() {
        let transitions = Transitions::default();
        let mut pods = [testing::pod(&["a"]), testing::pod(&["b"])];
        for pod in &mut pods {
            let id = pod.containers[0].id().clone();
            batch::start(pod, &id, Nanos(1)).expect("starts");
            pod.jobs[0].submission = Submission::Submitted { at: Nanos(2) };
        }
        pods[1].jobs[0].uid = JobUid::parse(&"1".repeat(32)).expect("a UID");
        let [kept, forgotten] = pods;
        for (pod, is_forgotten) in [(kept, false), (forgotten, true)] {
            let mut asked = pod.clone();
            asked.jobs[0].cancel = Some(crate::model::Cancellation::Requested {
                failures: 0,
                not_before: Nanos(0),
                denials: 0,
            });
            transitions.follow(Some(&pod), &asked, Nanos(1_000_000_000));
            assert_eq!(transitions.oldest_owed(), Some(Nanos(1_000_000_000)));
            let mut done = asked.clone();
            done.jobs[0].cancel = Some(crate::model::Cancellation::Done);
            if is_forgotten {
                done.jobs.clear();
            }
            transitions.follow(Some(&asked), &done, Nanos(3_000_000_000));
            assert_eq!(transitions.oldest_owed(), None);
        }
        let (mut registry, mut text) = (Registry::default(), String::new());
        transitions.counters.metrics.register(&mut registry);
        encode(&mut text, &registry).expect("text");
        let sum = "interlink_cri_job_phase_duration_seconds_sum{phase=\"stop_to_confirmed\"} 4";
        assert!(text.contains(sum), "{text}");
    }
}
