//! The pod: one sandbox with its containers and jobs. It is the unit that changes as one: every
//! transition takes a pod and gives the next one, and the store writes it whole.

use std::sync::Arc;

use super::{
    Container, ContainerEntry, ContainerId, ContainerStatus, Job, Nanos, Remote, Sandbox,
    SandboxPhase, SandboxStatus, Submission,
};

/// One sandbox with its containers and jobs.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    /// What never changes about the sandbox.
    pub sandbox: Arc<Sandbox>,
    /// How far it has come.
    pub status: SandboxStatus,
    /// The containers, oldest first.
    pub containers: Vec<ContainerEntry>,
    /// The jobs, by number.
    pub jobs: Vec<Job>,
    /// What the next job gets as its number; none is given twice.
    pub next_job: u32,
}

impl Pod {
    /// A pod with a fresh sandbox and nothing in it.
    pub fn new(sandbox: Sandbox) -> Self {
        Self {
            sandbox: Arc::new(sandbox),
            status: SandboxStatus::default(),
            containers: Vec::new(),
            jobs: Vec::new(),
            next_job: 0,
        }
    }

    /// The sandbox's state.
    pub fn phase(&self) -> SandboxPhase {
        self.status.phase()
    }

    /// `namespace/name`, as people call the pod.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.sandbox.namespace, self.sandbox.name)
    }

    /// A container by its id.
    pub fn container(&self, id: &ContainerId) -> Option<&ContainerEntry> {
        self.containers.iter().find(|entry| entry.id() == id)
    }

    /// A container's changing half by its id.
    pub fn status_mut(&mut self, id: &ContainerId) -> Option<&mut ContainerStatus> {
        self.containers
            .iter_mut()
            .find(|entry| entry.id() == id)
            .map(|entry| &mut entry.status)
    }

    /// Adds a container that was just created.
    pub fn add_container(&mut self, container: Container) {
        self.containers.push(ContainerEntry {
            container: Arc::new(container),
            status: ContainerStatus::default(),
        });
    }

    /// Leaves the configurations of its sandbox and containers to the disk, which has them.
    pub fn let_configs_go(&mut self) {
        if self.sandbox.config.whole().is_some() {
            Arc::make_mut(&mut self.sandbox).config.let_go();
        }
        for entry in &mut self.containers {
            if entry.container.config.whole().is_some() {
                Arc::make_mut(&mut entry.container).config.let_go();
            }
        }
    }

    /// A job by its number.
    pub fn job(&self, number: u32) -> Option<&Job> {
        self.jobs.iter().find(|job| job.number == number)
    }

    /// A job by its number, to be changed.
    pub fn job_mut(&mut self, number: u32) -> Option<&mut Job> {
        self.jobs.iter_mut().find(|job| job.number == number)
    }

    /// The job that carries a container; a container is started once, so there is at most one.
    pub fn job_of(&self, id: &ContainerId) -> Option<&Job> {
        self.jobs.iter().find(|job| job.containers.contains(id))
    }

    /// Whether a container of a job is being stopped, and it is not known yet how it ended.
    pub fn awaits_stop(&self, job: &Job) -> bool {
        let mut carried = job.containers.iter().filter_map(|id| self.container(id));
        carried.any(|entry| entry.status.awaits_stop())
    }

    /// Whether the poller has to ask for a job: the plugin has it, and has not been told to end it, or
    /// somebody waits to know how it ended.
    pub fn is_polled(&self, job: &Job) -> bool {
        let has_it = matches!(job.submission, Submission::Submitted { .. });
        has_it && (job.cancel.is_none() || job.is_owed_a_cancellation() && self.awaits_stop(job))
    }

    /// Whether one of a job's containers runs over there, or has run.
    pub fn has_begun(&self, job: &Job) -> bool {
        let entries = job.containers.iter().filter_map(|id| self.container(id));
        entries.map(|entry| &entry.status).any(|status| {
            status.remote == Remote::Running || status.reported.is_some() || status.exit.is_some()
        })
    }

    /// Since when a job waits in the remote queue; none where it does not, or is being cancelled.
    pub fn queued_since(&self, job: &Job) -> Option<Nanos> {
        match job.submission {
            Submission::Submitted { at } if job.cancel.is_none() && !self.has_begun(job) => {
                Some(at)
            }
            _ => None,
        }
    }

    /// A creation time for the next container: `now`, but later than every one before it.
    pub fn next_created_at(&self, now: Nanos) -> Nanos {
        let last = self
            .containers
            .iter()
            .map(|entry| entry.container.created_at)
            .max();
        let last = last
            .unwrap_or(self.sandbox.created_at)
            .max(self.sandbox.created_at);
        now.max(Nanos(last.0.saturating_add(1)))
    }

    /// Whether nothing is left of the pod: its sandbox is removed and no job is owed anything.
    pub fn is_forgotten(&self) -> bool {
        self.phase() == SandboxPhase::Removed && self.jobs.iter().all(Job::is_settled)
    }
}
