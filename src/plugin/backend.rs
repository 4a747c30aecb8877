//! The seam between the interLink API and what runs pods. Above it are HTTP, JSON and the records
//! of pods; below it are processes of this machine ([`super::local`]), or in time the jobs of a
//! batch system.
//!
//! # The contract
//!
//! *Threads.* Every call comes from the thread of one HTTP connection, so calls come in any order
//! and at once, also for the same pod. No call may make calls for other pods wait for longer than
//! a look at the disk takes. [`Backend::delete`] alone may wait, and for no longer than it is told.
//!
//! *What is kept.* A backend owns its pods. What a call has acknowledged is on disk before the call
//! returns, and a backend that is started on the same root directory knows it again: a pod that
//! was created is there, one that was to be deleted is deleted without being asked again, and a
//! container that was started is not started a second time.
//!
//! *Repetition.* interLink's clients send a request again when they did not hear the answer. So a
//! repeated call has the effect of one call, and its answer.
//!
//! *Errors.* A [`Refusal`] means that nothing was done, but for [`Refusal::Failed`], after which
//! the pod may be there in whole or not at all; the caller may repeat the call.

use std::{fs::File, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    pods::{ContainerExit, PodRecord, PodRequest},
    refusal::Refusal,
};

/// Runs pods. See the module for what every implementation promises.
pub(crate) trait Backend: Send + Sync {
    /// Takes a pod over, and starts it or has it started; gives the job's id, which is the plugin's
    /// own name for the run.
    ///
    /// The request was checked as a whole: its names can be parts of paths, every mount has its
    /// volume. The pod's record, its files and its volumes are on disk when this returns, all of
    /// them or none. A pod with the same UID and the same fingerprint is the same pod: this starts
    /// nothing then, and gives the job's id again.
    ///
    /// # Errors
    /// `Conflict` where the UID is that of another pod, or of one that is being deleted; `Invalid`
    /// for what this backend cannot run; `Failed`.
    fn create(&self, request: &PodRequest) -> Result<String, Refusal>;

    /// Ends a pod, and removes all that is left of it, or keeps that for a while: asks its containers to end, and kills them
    /// when `grace` is over (the grace period of the pod's own spec, where none is given). Waits up
    /// to `patience` for that.
    ///
    /// The request is on disk before anything ends. It cannot be withdrawn; a later one can only
    /// shorten the grace period. Containers that have not started never do.
    ///
    /// # Errors
    /// `Failed`, where the request cannot be kept; the containers go on then.
    fn delete(
        &self,
        uid: &str,
        grace: Option<Duration>,
        then: AfterEnd,
        patience: Duration,
    ) -> Result<DeleteOutcome, Refusal>;

    /// What is known of a pod now; none if there is no pod of that UID. Asks whoever has to be
    /// asked, so that an end shows in the first answer after it.
    fn status(&self, uid: &str) -> Option<PodReport>;

    /// Opens the log of a container. One that has not started has an empty log.
    ///
    /// # Errors
    /// `NotFound` where there is no such pod or container; `Failed`.
    fn log(&self, uid: &str, container: &str) -> Result<ContainerLog, Refusal>;

    /// What this backend has to offer in all, used or not.
    fn capacity(&self) -> Capacity;

    /// Lets calls that wait return soon, and everything that does come is answered from what is
    /// known. Called before the HTTP server stops, because that waits for its handlers. Pods go on.
    fn begin_stop(&self);
}

/// What becomes of a pod that is deleted when it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterEnd {
    /// Nothing of it is left.
    Remove,
    /// How it ended and its logs are there for a while, or until it is deleted once more.
    Keep,
}

/// What became of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeleteOutcome {
    /// There was no pod of that UID.
    Unknown,
    /// Nothing of the pod is left.
    Gone,
    /// Nothing of the pod runs, and how it ended is kept.
    Ended,
    /// The pod is still ending. It is killed at that time if it has not ended by then.
    KilledAt(Timestamp),
}

/// What a backend reports of a pod.
#[derive(Clone, Debug)]
pub(crate) struct PodReport {
    pub(crate) record: Arc<PodRecord>,
    /// As in the record, and in its order.
    pub(crate) init_containers: Vec<ContainerReport>,
    /// As in the record, and in its order.
    pub(crate) containers: Vec<ContainerReport>,
}

/// What a backend reports of a container.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ContainerReport {
    pub(crate) name: String,
    /// The image that the pod names; nobody says that it was used.
    pub(crate) image: String,
    /// Which container this is among all of the backend's, as `SCHEME://...`.
    pub(crate) id: String,
    pub(crate) state: ReportedState,
}

/// How far a container has come, in the three states that Kubernetes knows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ReportedState {
    /// It does not run yet, or never will; `reason` is one word.
    Waiting {
        reason: &'static str,
        message: Option<String>,
    },
    Running {
        started_at: Timestamp,
    },
    /// It has ended, or could not be started. This state is final.
    Terminated(ContainerExit),
}

/// The log of a container, stdout and stderr in one file.
pub(crate) struct ContainerLog {
    pub(crate) file: File,
    /// Says whether nothing more will be written to `file`; true is final. It is asked often, and
    /// still has an answer when the pod has been deleted meanwhile: true.
    pub(crate) is_complete: Box<dyn Fn() -> bool + Send>,
}

/// What a backend has to offer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capacity {
    pub(crate) cpus: u64,
    /// None where nobody knows.
    pub(crate) memory_kib: Option<u64>,
    pub(crate) pods: u64,
    pub(crate) accelerators: Vec<AcceleratorCapacity>,
}

/// How many accelerators of one kind there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AcceleratorCapacity {
    /// The extended resource's name, such as `nvidia.com/gpu`.
    pub(crate) resource: String,
    pub(crate) count: u64,
}
