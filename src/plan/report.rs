//! What a plugin reports of a job, in the daemon's own terms.
//!
//! `profile` makes a report of an answer, once; everything here decides by reports and knows no
//! plugin by name. The fact has one name all the way: a wire status becomes a [`JobReport`], what is
//! to be done with it is a [`Verdict`], and what is taken over stands in the container's status.

use crate::model::{Nanos, Used, WaitReason};

/// What a plugin reports of one job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobReport {
    /// The plugin's own id of the job; often empty.
    pub remote_id: String,
    /// The containers that it speaks of, init containers included, by the names that they have here.
    pub containers: Vec<ContainerReport>,
    /// It says something of the job that cannot be understood: the plugin has it, and that is all.
    pub is_unreadable: bool,
}

/// What a plugin reports of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerReport {
    /// The container's name in its pod.
    pub name: String,
    /// What the plugin says of it.
    pub state: ReportedState,
}

/// How a container is over there, as the plugin reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportedState {
    /// The plugin names the container and says nothing of it: it does not have the job.
    NotShown,
    /// It waits in the remote queue, or for another container.
    Queued {
        /// Why, where the plugin says so; it changes nothing but what people are told.
        why: WaitReason,
    },
    /// It runs.
    Running {
        /// Since when, where the plugin says so.
        since: Option<Nanos>,
    },
    /// It has ended.
    Ended(ReportedEnd),
}

/// The end of a container, as the plugin reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportedEnd {
    /// Exit code; 128 + signal where only a signal is reported.
    pub code: i32,
    /// The plugin's word for the cause; empty where there is none.
    pub reason: String,
    /// What the job said at its end; empty where that was nothing.
    pub message: String,
    /// Our explanation; empty where there is none.
    pub explanation: String,
    /// When it began, where the plugin says so.
    pub started_at: Option<Nanos>,
    /// When it ended, where the plugin says so.
    pub finished_at: Option<Nanos>,
    /// What it used, where the plugin says so.
    pub used: Used,
    /// The plugin says this also of jobs that never ran: `unproven_exit` decides.
    pub is_unproven: bool,
}

/// What the log of a job tells of its end, as `profile` reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobLog {
    /// There is none.
    Nothing,
    /// The job has begun; nothing is said of an end.
    Begun,
    /// The containers have ended by themselves.
    Ended,
    /// The site has ended the job; the word that `profile::ends` has for it.
    EndedBySite(&'static str),
}

/// What to do with a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Take it over.
    TakeOver,
    /// Leave it: the plugin is to be asked again, or nothing is left that it could change.
    Leave,
}

impl JobReport {
    /// Whether the plugin really has the job.
    pub fn shows_the_job(&self) -> bool {
        let mut states = self.containers.iter().map(|container| &container.state);
        self.is_unreadable || states.any(|state| *state != ReportedState::NotShown)
    }

    /// Whether it says nothing but that containers wait or run. If that has changed nothing in a pod, it changes
    /// nothing in the same pod at any later time, either: no clock runs from an answer like that
    /// (`worker::properties` holds `observe::apply` to it).
    pub fn only_waits_or_runs(&self) -> bool {
        let mut states = self.containers.iter().map(|container| &container.state);
        let is_open = |state: &ReportedState| match state {
            ReportedState::Queued { .. } | ReportedState::Running { .. } => true,
            ReportedState::NotShown | ReportedState::Ended(_) => false,
        };
        !self.is_unreadable && !self.containers.is_empty() && states.all(is_open)
    }

    /// Why the job waits: what is said of the first container of which anything is said.
    pub fn waiting(&self) -> Option<&WaitReason> {
        let mut states = self.containers.iter().map(|container| &container.state);
        states.find_map(|state| match state {
            ReportedState::Queued { why } if !why.is_empty() => Some(why),
            _ => None,
        })
    }

    /// The state of a container.
    pub fn state(&self, name: &str) -> Option<&ReportedState> {
        let mut containers = self.containers.iter();
        let named = containers.find(|container| container.name == name)?;
        Some(&named.state)
    }
}

impl ReportedState {
    /// The exit code of a container that has ended.
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Ended(end) => Some(end.code),
            Self::NotShown | Self::Queued { .. } | Self::Running { .. } => None,
        }
    }
}
