//! What is made up for after an interruption: the daemon's own, or interLink's.

use std::sync::Arc;

use super::Context;
use crate::{
    daemon_log::Scope,
    model::{Cancellation, Job, Pod, Resumed, Submission},
    plan::{other_boot, submission::Event},
    profile::recognise,
    telemetry::chain,
};

impl Context {
    /// What a crash left: a POST of which nobody knows how it ended.
    pub(super) fn recover(&self) {
        if self.store.resumed() == Resumed::OtherBoot {
            self.restart_doubts();
        }
        let posting = |pod: &Arc<Pod>| {
            pod.jobs
                .iter()
                .any(|job| matches!(job.submission, Submission::Submitting { .. }))
        };
        let pods: Vec<_> = self.store.pods().into_iter().filter(posting).collect();
        if pods.is_empty() {
            return;
        }
        log::warn!(
            pods = pods.len();
            "pods had a submission under way when the daemon ended; the plugin is asked about \
             each before anything is submitted again"
        );
        self.change_jobs(&pods, |job, now, rules| {
            job.submission_event(Event::Recovered, now, rules)
        });
    }

    /// The machine was booted, so nobody knows how long what is on record has lasted.
    fn restart_doubts(&self) {
        let doubts = |pod: &Arc<Pod>| other_boot::has_doubts(pod);
        let pods: Vec<_> = self.store.pods().into_iter().filter(doubts).collect();
        if pods.is_empty() {
            return;
        }
        log::info!(
            "the machine was booted, and its clock may have been set: grace periods of doubtful submissions and \
             cancellations of {} pods begin anew, and stops keep their deadlines",
            pods.len()
        );
        self.change_pods(&pods, other_boot::restart_doubts);
    }

    /// Which plugin it is that live jobs were given to. What was recognised before is forgotten by a
    /// restart.
    pub(super) fn recognise_by_records(&self) {
        let pods = self.store.pods();
        let polled = |pod: &Pod, job: &&Job| pod.is_polled(job);
        let jobs = pods
            .iter()
            .flat_map(|pod| pod.jobs.iter().filter(|job| polled(pod, job)));
        let mut ids = jobs.filter_map(|job| job.remote_id.as_deref());
        self.recognise(ids.find_map(recognise::by_job_id));
    }

    /// Takes up the logs of the containers that have not ended, before anybody can ask for them. Touches
    /// no file.
    pub fn recover_logs(&self) {
        for pod in self.store.pods() {
            for entry in &pod.containers {
                let status = &entry.status;
                if status.started_at.is_none() || status.log_complete {
                    continue;
                }
                let position = self.store.take_log_position(entry.id());
                let opened = self.logs.recover(&pod.sandbox, &entry.container, position);
                if let Err(error) = opened {
                    let _scope = Scope::of_container(&pod, entry);
                    log::error!(
                        error = chain(&error);
                        "its log cannot be written, so it stays as it is until the daemon is started again"
                    );
                }
            }
        }
    }

    /// interLink is back: nothing waits for its back-off to end.
    pub(super) fn hasten(&self) {
        let waits = |pod: &Arc<Pod>| pod.jobs.iter().any(|job| !job.is_settled());
        let pods: Vec<_> = self.store.pods().into_iter().filter(waits).collect();
        self.change_jobs(&pods, |job, now, _| {
            if let Submission::Pending { not_before, .. } | Submission::Unsure { not_before, .. } =
                &mut job.submission
            {
                *not_before = now.min(*not_before);
            }
            // Denials count only when they lie apart.
            if let Some(Cancellation::Requested {
                not_before,
                denials: 0,
                ..
            }) = &mut job.cancel
            {
                *not_before = now.min(*not_before);
            }
        });
    }
}
