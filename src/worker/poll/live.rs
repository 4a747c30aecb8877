//! The jobs to ask about.

use std::{sync::Arc, time::Duration};

use crate::{
    daemon_log::{self, Scope},
    model::{Job, JobUid, Nanos, Pod, Remote, SandboxId, Submission},
    worker::{question, Context},
};

/// How long after its submission a job is watched closely.
const FRESH: Duration = Duration::from_secs(30);

/// A job that the plugin has, with what /status wants of it.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) sandbox: SandboxId,
    pub(super) number: u32,
    pub(super) uid: JobUid,
    pub(super) pod: Arc<Pod>,
    /// Its state is asked for. Others are asked about so that one answer tells of all: see
    /// `worker::question`.
    pub(super) is_polled: bool,
    /// It was submitted a moment ago, nothing is known of it yet, or it is to end: somebody waits for it.
    pub(super) fresh: bool,
}

impl Live {
    /// What lines of the log about it are about.
    pub(super) fn scope(&self) -> Scope {
        let scope = Scope::of_pod(&self.pod);
        let job = self.pod.job(self.number);
        job.into_iter().for_each(daemon_log::note_job);
        scope
    }
}

/// All jobs that the plugin has and has not been told to end, or whose end somebody waits for; and where
/// the plugin repeats its answers, those of which it is not known whether it has them.
pub(super) fn live_jobs(context: &Context, pods: &[Arc<Pod>], now: Nanos) -> Vec<Live> {
    let repeats = context.repeats_for(pods).is_some();
    let mut live = Vec::new();
    for pod in pods {
        let is_asked = |job: &&Job| pod.is_polled(job) || repeats && question::is_doubtful(job);
        for job in pod.jobs.iter().filter(is_asked) {
            let young = match job.submission {
                Submission::Submitted { at } => now.since(at) < FRESH,
                _ => false,
            };
            let unknown = job
                .containers
                .iter()
                .filter_map(|id| pod.container(id))
                .any(|entry| entry.status.is_live() && entry.status.remote == Remote::Unknown);
            live.push(Live {
                sandbox: pod.sandbox.id.clone(),
                number: job.number,
                uid: job.uid,
                pod: pod.clone(),
                is_polled: pod.is_polled(job),
                fresh: pod.is_polled(job) && (young || unknown || pod.awaits_stop(job)),
            });
        }
    }
    live
}
