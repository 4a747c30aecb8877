//! How much a namespace may have with the plugin at once, and which of its jobs go on waiting.
//!
//! What a namespace has follows from the records of its jobs, so it is the same after a restart. Jobs that
//! wait do so in the order of their age: a small one does not pass a large one that is older, or the
//! large one would never run.

use std::{fmt, time::Duration};

use crate::{
    config::{limits::NamespaceLimit, pattern::Patterns, policy::Limits},
    model::{Cancellation, Demand, Job, Nanos, Pod, SandboxId, Submission},
};

/// How long a job waits at the most before it is looked at again, whatever was heard of others.
const LOOKED_AT_AFTER: Duration = Duration::from_secs(60);

/// The limits of all namespaces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NamespaceLimits(Vec<(Option<Patterns>, Limit)>);

/// What a namespace may have at once; what is none is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// Jobs.
    pub jobs: Option<u32>,
    /// Cores.
    pub cores: Option<u32>,
    /// GPUs.
    pub gpus: Option<u32>,
}

impl NamespaceLimits {
    /// Those of a configuration; entries with patterns that are none, which a check has refused, are
    /// for nothing.
    pub fn new(from: &Limits) -> Self {
        let entries = from.namespaces.iter().map(|entry: &NamespaceLimit| {
            let patterns = match entry.namespaces.as_slice() {
                [] => None,
                patterns => Some(Patterns::new(patterns).unwrap_or_default()),
            };
            let limit = Limit {
                jobs: entry.jobs,
                cores: entry.cores,
                gpus: entry.gpus,
            };
            (patterns, limit)
        });
        Self(entries.collect())
    }

    /// The limit of a namespace, if it has one.
    pub fn of(&self, namespace: &str) -> Option<Limit> {
        let fits = |patterns: &Option<Patterns>| {
            patterns
                .as_ref()
                .is_none_or(|patterns| patterns.any(namespace))
        };
        let mut entries = self.0.iter();
        let found = entries.find(|(patterns, _)| fits(patterns));
        found
            .map(|(_, limit)| *limit)
            .filter(|limit| *limit != Limit::default())
    }
}

impl Limit {
    /// Whether cores or GPUs are limited.
    pub fn is_of_resources(&self) -> bool {
        self.cores.is_some() || self.gpus.is_some()
    }

    fn holds(&self, usage: Usage) -> bool {
        let fits = |limit: Option<u32>, used: u64| limit.is_none_or(|limit| used <= limit.into());
        fits(self.jobs, usage.jobs) && fits(self.cores, usage.cores) && fits(self.gpus, usage.gpus)
    }
}

/// What jobs have, or would have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Jobs that the plugin has, or may have.
    pub jobs: u64,
    /// Their cores.
    pub cores: u64,
    /// Their GPUs.
    pub gpus: u64,
}

impl Usage {
    /// What the jobs of a pod have.
    pub fn of_pod(pod: &Pod) -> Self {
        let jobs = pod.jobs.iter().filter(|job| is_with_the_plugin(job));
        jobs.fold(Self::default(), |usage, job| {
            usage.and(job.demand.unwrap_or_default())
        })
    }

    fn of_pods<'a>(pods: impl Iterator<Item = &'a Pod>) -> Self {
        pods.map(Self::of_pod)
            .fold(Self::default(), |sum, one| Self {
                jobs: sum.jobs + one.jobs,
                cores: sum.cores + one.cores,
                gpus: sum.gpus + one.gpus,
            })
    }

    fn and(self, demand: Demand) -> Self {
        Self {
            jobs: self.jobs + 1,
            cores: self.cores + u64::from(demand.cores),
            gpus: self.gpus + u64::from(demand.gpus),
        }
    }

    /// Whether there is less of something than before.
    pub fn is_less_than(&self, before: &Self) -> bool {
        self.jobs < before.jobs || self.cores < before.cores || self.gpus < before.gpus
    }
}

/// Whether the plugin has a job, or may have it. One that was told to end counts until that is confirmed.
fn is_with_the_plugin(job: &Job) -> bool {
    let is_sent = match job.submission {
        Submission::Submitting { .. }
        | Submission::Unsure { .. }
        | Submission::Submitted { .. } => true,
        Submission::Gathering { .. }
        | Submission::Pending { .. }
        | Submission::Finished
        | Submission::Lost
        | Submission::Dropped => false,
    };
    is_sent && job.cancel != Some(Cancellation::Done)
}

/// The age of a job that waits for room in its namespace, and nothing where it does not.
pub fn waits_since(pod: &Pod) -> Option<(Nanos, u32)> {
    let waits =
        |job: &&Job| job.held.is_some() && matches!(job.submission, Submission::Pending { .. });
    let jobs = pod.jobs.iter().filter(waits);
    jobs.map(|job| (job.created_at, job.number)).min()
}

/// What becomes of a job that is to be posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is room for it.
    Room,
    /// It waits: why, with figures.
    Wait(String),
    /// It would never find room: why, with figures.
    Never(String),
}

/// Decides about a job of a pod, which asks for this much. `pods` are all that are known; those of other
/// namespaces do not count.
pub fn decide<'a>(
    pods: impl Iterator<Item = &'a Pod> + Clone,
    namespace: &str,
    (id, created_at): (&SandboxId, Nanos),
    demand: Demand,
    limit: &Limit,
) -> Verdict {
    if !limit.holds(Usage::default().and(demand)) {
        let asked = Figures(limit, Usage::default().and(demand));
        return Verdict::Never(format!(
            "the job asks for more than namespace `{namespace}` may have at once: {asked}"
        ));
    }
    let same = pods.filter(|pod| pod.sandbox.namespace == namespace);
    let used = Usage::of_pods(same.clone());
    let is_older = |pod: &&Pod| {
        let since = waits_since(pod).map(|(since, _)| since);
        since.is_some_and(|since| (since, &pod.sandbox.id) < (created_at, id))
    };
    let has_room = limit.holds(used.and(demand));
    let older = same.filter(is_older).count();
    if has_room && older == 0 {
        return Verdict::Room;
    }
    let figures = Figures(limit, used);
    let Demand { cores, gpus } = demand;
    let behind = match older {
        0 => String::new(),
        _ => format!(", behind {older} older ones"),
    };
    Verdict::Wait(format!(
        "waits for room in namespace `{namespace}`, which has {figures}; the job needs {cores} cores and \
         {gpus} GPUs{behind}"
    ))
}

/// What is used of what is limited.
struct Figures<'a>(&'a Limit, Usage);

impl fmt::Display for Figures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(limit, used) = self;
        let figures = [
            (limit.jobs, used.jobs, "jobs"),
            (limit.cores, used.cores, "cores"),
            (limit.gpus, used.gpus, "GPUs"),
        ];
        let figures = figures.into_iter().filter_map(|(limit, used, what)| {
            limit.map(|limit| format!("{used} of {limit} {what}"))
        });
        f.write_str(&figures.collect::<Vec<_>>().join(", "))
    }
}

/// Notes that a job waits for room, and why. It is looked at again when others of its namespace have
/// ended, and after a while.
pub fn hold(pod: &mut Pod, number: u32, why: &str, now: Nanos) {
    let Some(job) = pod.job_mut(number) else {
        return;
    };
    if let Submission::Pending { not_before, .. } = &mut job.submission {
        *not_before = now.plus(LOOKED_AT_AFTER);
        job.held = Some(why.to_owned());
    }
}

/// Notes what a job that is about to be posted will have.
pub fn admit(job: &mut Job, demand: Option<Demand>) {
    job.held = None;
    job.demand = demand.or(job.demand);
}

#[cfg(test)]
mod tests;
