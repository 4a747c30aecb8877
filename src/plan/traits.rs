//! What the decisions have to know of a plugin. `profile` says it for each.

use std::time::Duration;

/// Facts about a plugin that change what is sent to it and what follows from its answers.
#[derive(Clone, Debug)]
pub struct PluginTraits {
    /// For how long it may give its last answer to /status again, whatever it is asked.
    pub repeats_answers_for: Duration,
    /// Its words for what happened to a job, and what the kubelet is shown instead.
    pub known_ends: &'static [KnownEnd],
    /// The most jobs that it answers for in one question; none where there is no such limit.
    pub max_question: Option<usize>,
    /// What becomes of init containers that are sent with a job.
    pub init_containers: InitContainers,
    /// Whether it runs no more than one of the main containers of a job.
    pub one_container_per_job: bool,
    /// Whether an end with code 0 and without a start is believed at once.
    pub ends_without_start: EndsWithoutStart,
    /// What it means when a submission is answered well, for our pod, with an empty job id.
    pub empty_job_id: EmptyJobId,
    /// The body that it takes at /create where it is spoken to without an interLink server between.
    pub create_body: CreateBody,
    /// What can be had of logs.
    pub logs: LogForm,
    /// How many logs may be followed at once without holding up its other answers; none where any number may.
    pub max_followed: Option<usize>,
    /// Which amounts of a job's containers count for its allocation.
    pub allocation: Allocation,
    /// Which probes are of use over there.
    pub probes: Probes,
    /// Which image references it takes.
    pub image_refs: ImageRefs,
    /// Whether a ping may tell what is free in the cluster, rather than what there is.
    pub pings_with_what_is_free: bool,
    /// What the keys of a volume's files may be.
    pub volume_keys: VolumeKeys,
}

/// What becomes of init containers that are sent with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitContainers {
    /// They are run, and reported under their own names at least where they are asked for by name.
    Reported,
    /// They are run and never reported. That a main container has begun or ended means that they have
    /// succeeded; that one has failed goes unnoticed.
    Unreported,
    /// They are not run at all: each needs a job of its own.
    NotRun,
}

/// Whether an end with code 0 and without a start is believed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndsWithoutStart {
    /// It is: the plugin reports an end only of what has run.
    Believed,
    /// Not where `profile` marks it as unproven: see `plan::unproven_exit`.
    Unproven,
}

/// What it means when a submission is answered well, for our pod, with an empty job id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyJobId {
    /// The job may or may not exist: the plugin is asked.
    Doubt,
    /// The job is accepted, and gets its id when the others of its gang have come.
    AwaitsGang,
}

/// The body of /create that a plugin takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateBody {
    /// One pod, as the interLink server sends it since 0.5.
    One,
    /// A list of one pod, as it was sent before.
    List,
}

/// What can be had of logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogForm {
    /// A log can be followed as it grows.
    Followed,
    /// All of it so far, whether following is asked for or not.
    Whole,
    /// Nothing: what is answered is no log.
    Missing,
}

/// Which amounts of a job's containers count for its allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// It is not known.
    Unknown,
    /// The largest limit of any container, for each resource.
    LargestLimit,
    /// The sum of the main containers' requests; limits are not looked at.
    SumOfRequests,
    /// Each container has its own, as Kubernetes has it.
    Each,
}

/// Which probes are of use over there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probes {
    /// All are carried out as Kubernetes does it.
    All,
    /// Readiness and startup probes do harm; liveness probes may be of use.
    LivenessOnly,
    /// None is looked at.
    Ignored,
}

/// What the keys of a volume's files may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeKeys {
    /// Names, as Kubernetes has it.
    Names,
    /// Paths too, with directories in them.
    Paths,
}

/// Which image references a plugin takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageRefs {
    /// Those of registries.
    OciOnly,
    /// Also paths of files and the schemes of Singularity and Apptainer.
    PathsAndSchemes,
}

/// An end that a plugin reports in words of its own.
#[derive(Clone, Copy, Debug)]
pub struct KnownEnd {
    /// Pattern of the reason that the plugin gives, without regard to upper and lower case.
    pub when_reason: &'static str,
    /// The exit code that is shown.
    pub code: i32,
    /// The reason that is shown.
    pub reason: &'static str,
    /// Our explanation; empty where the reason says all.
    pub message: &'static str,
}
