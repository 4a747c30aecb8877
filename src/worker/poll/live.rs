//! The jobs to ask about.

use std::{sync::Arc, time::Duration};

use crate::model::{JobUid, Nanos, Pod, Remote, SandboxId, Submission};

/// How long after its submission a job is watched closely.
const FRESH: Duration = Duration::from_secs(30);

/// A job that the plugin has, with what /status wants of it.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) sandbox: SandboxId,
    pub(super) number: u32,
    pub(super) uid: JobUid,
    pub(super) pod: Arc<Pod>,
    /// It was submitted a moment ago, or nothing is known of it yet: somebody waits for it.
    pub(super) fresh: bool,
}

/// All jobs that the plugin has, and that nobody has told it to end.
pub(super) fn live_jobs(pods: &[Arc<Pod>], now: Nanos) -> Vec<Live> {
    let mut live = Vec::new();
    for pod in pods {
        for job in pod.jobs.iter().filter(|job| job.is_polled()) {
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
                fresh: young || unknown,
            });
        }
    }
    live
}
