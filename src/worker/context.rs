//! What every worker needs.

use std::{
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    time::Duration,
};

use crossbeam_channel::{bounded, Receiver, Sender};

use crate::{
    config::Config,
    convert::Settings,
    interlink,
    kube::Api,
    logs::Registry,
    model::{Cancellation, Job, Nanos, Pod, SandboxId, Submission},
    plan::{submission::Event, Rules},
    profile::Outgoing,
    store::{Change, Error, Store},
    telemetry::{chain, Counter, Counters, Health, Limited},
};

/// What every worker needs.
pub struct Context {
    /// The state.
    pub store: Arc<Store>,
    /// The times and counts that decide what is owed.
    pub rules: Rules,
    /// The configuration.
    pub config: Arc<Config>,
    /// The open container logs.
    pub logs: Arc<Registry>,
    /// Whether interLink can be reached.
    pub health: Arc<Health>,
    /// What conversion depends on.
    pub settings: Settings,
    /// What is changed in pods before they are sent.
    pub outgoing: Outgoing,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// The API server, if it may be asked.
    pub api: Option<Arc<Api>>,
    /// Holds back repeated lines about polls that fail.
    pub poll_trouble: Limited,
    /// Holds back repeated lines about pods that cannot be read.
    pub api_trouble: Limited,
    /// The same about events and conditions.
    pub announce_trouble: Limited,
    stopping: AtomicBool,
    nudge: (Sender<()>, Receiver<()>),
}

/// Whether a pod is to be left alone for a while, although something is owed to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// No.
    No,
    /// The disk refused to keep what has happened.
    ForDisk,
    /// No interLink is configured.
    NoInterLink,
}

impl Hold {
    /// How long.
    pub fn span(self) -> Option<Duration> {
        match self {
            Hold::No => None,
            Hold::ForDisk => Some(Duration::from_secs(1)),
            Hold::NoInterLink => Some(Duration::from_secs(10)),
        }
    }
}

impl Context {
    /// Puts together what the workers need.
    pub fn new(
        store: Arc<Store>,
        config: Arc<Config>,
        logs: Arc<Registry>,
        health: Arc<Health>,
        counters: Arc<Counters>,
        settings: Settings,
        api: Option<Arc<Api>>,
    ) -> Self {
        Self {
            store,
            api,
            rules: Rules::from(&*config),
            config,
            logs,
            health,
            counters,
            settings,
            outgoing: Outgoing::default(),
            poll_trouble: Limited::new(Duration::from_secs(60)),
            api_trouble: Limited::new(Duration::from_secs(60)),
            announce_trouble: Limited::new(Duration::from_secs(60)),
            stopping: AtomicBool::new(false),
            nudge: bounded(1),
        }
    }

    /// With what is changed in pods before they are sent.
    pub fn with_outgoing(mut self, outgoing: Outgoing) -> Self {
        self.outgoing = outgoing;
        self
    }

    /// Changes a pod. A pod that is gone needs no change.
    pub(super) fn try_change(
        &self,
        id: &SandboxId,
        change: impl FnOnce(&mut Pod, Nanos),
    ) -> Result<(), Error> {
        let changed = self.store.update(id, |pod| {
            change(pod, self.store.clock().now());
            Ok(())
        });
        match changed {
            Err(Error::NoSandbox(_)) => Ok(()),
            other => other,
        }
    }

    /// Changes a pod, or holds it: the duty is still owed then, and carrying it out again does no
    /// harm.
    pub(super) fn change(&self, id: &SandboxId, change: impl FnOnce(&mut Pod, Nanos)) -> Hold {
        match self.try_change(id, change) {
            Ok(()) => Hold::No,
            Err(_) => Hold::ForDisk,
        }
    }

    /// Notes what has happened over there and cannot be asked for again: tries until the disk
    /// takes it. At the daemon's end the record says `Submitting`, which leads to a question.
    /// Gives what the change gave; the default for a pod that is gone.
    pub(super) fn settle<T: Default>(
        &self,
        id: &SandboxId,
        change: impl Fn(&mut Pod, Nanos) -> T,
    ) -> T {
        let mut given = T::default();
        while self
            .try_change(id, |pod, now| given = change(pod, now))
            .is_err()
            && !self.is_stopping()
        {
            std::thread::sleep(Duration::from_secs(1));
        }
        self.nudge_poller();
        given
    }

    /// Calls interLink, and counts.
    pub(super) fn call<T>(
        &self,
        call: impl FnOnce() -> Result<T, interlink::Error>,
    ) -> Result<T, interlink::Error> {
        let answer = call();
        self.counters.count(Counter::InterLinkCalls);
        if answer.is_err() {
            self.counters.count(Counter::InterLinkErrors);
        }
        answer
    }

    /// What a crash left: a POST of which nobody knows how it ended.
    pub(super) fn recover(&self) {
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
            "{} pods had a submission under way when the daemon ended",
            pods.len()
        );
        self.change_jobs(&pods, |job, now, rules| {
            job.submission_event(Event::Recovered, now, rules)
        });
    }

    /// Opens the logs of the containers that have not ended, before anybody can ask for them.
    pub fn recover_logs(&self) {
        for pod in self.store.pods() {
            for entry in &pod.containers {
                let status = &entry.status;
                if status.started_at.is_none() || status.log_complete {
                    continue;
                }
                let position = self.store.take_log_position(entry.id());
                let opened = self
                    .logs
                    .recover(&pod.sandbox, &entry.container, position.as_deref());
                if let Err(error) = opened {
                    let about = super::logs::about(&pod, entry);
                    log::error!("{about}: its log cannot be written: {}", chain(&error));
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
            if let Some(Cancellation::Requested { not_before, .. }) = &mut job.cancel {
                *not_before = now.min(*not_before);
            }
        });
    }

    fn change_jobs(&self, pods: &[Arc<Pod>], change: fn(&mut Job, Nanos, &Rules)) {
        let now = self.store.clock().now();
        for some in pods.chunks(256) {
            let changes = some.iter().map(|pod| {
                let all = move |pod: &mut Pod| {
                    pod.jobs
                        .iter_mut()
                        .for_each(|job| change(job, now, &self.rules));
                };
                (pod.sandbox.id.clone(), Box::new(all) as Change<'_>)
            });
            if let Err(error) = self.store.update_many(changes.collect()) {
                log::error!("states not kept: {error}");
            }
        }
    }

    /// Tells the poller that something has just been submitted.
    pub(super) fn nudge_poller(&self) {
        // Full: it has been told already.
        let _ = self.nudge.0.try_send(());
    }

    pub(super) fn nudged(&self) -> Receiver<()> {
        self.nudge.1.clone()
    }

    pub(super) fn begin_stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}
