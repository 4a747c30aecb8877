//! Changing pods from a worker, and what follows when the disk does not take a change.

use std::{sync::Arc, time::Duration};

use super::Context;
use crate::{
    model::{Job, Nanos, Pod, SandboxId},
    plan::Rules,
    store::{Change, Error},
    telemetry::chain,
};

/// Whether a pod is to be left alone for a while, although something is owed to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// No.
    No,
    /// The disk refused to keep what has happened.
    ForDisk,
    /// A file system that the pod names does not answer.
    ForHungDisk,
}

impl Hold {
    /// How long the pod is left alone; none if it is not.
    pub fn span(self) -> Option<Duration> {
        match self {
            Hold::No => None,
            Hold::ForDisk => Some(Duration::from_secs(1)),
            Hold::ForHungDisk => Some(Duration::from_secs(10)),
        }
    }
}

impl Context {
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

    /// Changes all jobs of these pods in few transactions.
    pub(super) fn change_jobs(&self, pods: &[Arc<Pod>], change: fn(&mut Job, Nanos, &Rules)) {
        self.change_pods(pods, |pod, now| {
            pod.jobs
                .iter_mut()
                .for_each(|job| change(job, now, &self.rules));
        });
    }

    /// Changes these pods in few transactions.
    pub(super) fn change_pods(&self, pods: &[Arc<Pod>], change: impl Fn(&mut Pod, Nanos) + Copy) {
        let now = self.store.clock().now();
        for some in pods.chunks(256) {
            let changes = some.iter().map(|pod| {
                let all = move |pod: &mut Pod| change(pod, now);
                (pod.sandbox.id.clone(), Box::new(all) as Change<'_>)
            });
            if let Err(error) = self.store.update_many(changes.collect()) {
                log::error!(
                    pods = some.len(), error = chain(&error);
                    "cannot keep changes of pods on disk, and they stay as they were"
                );
            }
        }
    }
}
