//! What is known of the remote side, and owed to it, in the verbose answers: for `crictl inspect`,
//! `crictl inspectp` and `crictl info`.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{json, Value};

use super::{sandbox_status::job_info, CriContext};
use crate::{
    convert,
    model::{ContainerEntry, Job, Nanos, Pod},
    plan::owed::{self, Owed},
};

impl CriContext {
    /// A container's remote side: its job, the pod that interLink knows, what was last heard, and what is
    /// owed next.
    pub(super) fn remote_info(&self, pod: &Pod, entry: &ContainerEntry) -> Value {
        let now = self.now();
        let job = pod.job_of(entry.id());
        let heard = job.and_then(|job| self.last_heard(job));
        let owed = owed::of_container(pod, entry, now, &self.rules);
        json!({
            "state": entry.status.remote,
            "used": used_info(entry),
            "logComplete": entry.status.log_complete,
            "stopping": entry.status.stopping,
            "job": job.map(job_info),
            "interLinkPod": job.map(|job| json!({
                "namespace": pod.sandbox.namespace,
                "name": pod.sandbox.name,
                "uid": job.uid.to_string(),
            })),
            "lastPoll": heard.map(Nanos::rfc3339),
            "lastPollAgeSeconds": heard.map(|heard| now.since(heard).as_secs()),
            "owed": owed_info(&owed, now),
        })
    }

    /// All that a pod is owed.
    pub(super) fn pod_owed_info(&self, pod: &Pod) -> Value {
        let now = self.now();
        owed_info(&owed::all(pod, now, &self.rules), now)
    }

    /// How many pieces of work of each kind are owed to these pods, those included whose time has not come.
    pub(super) fn owed_counts<'a>(&self, pods: impl Iterator<Item = &'a Pod>) -> Value {
        let (now, mut counts) = (self.now(), BTreeMap::<_, usize>::new());
        for owed in pods.flat_map(|pod| owed::all(pod, now, &self.rules)) {
            *counts.entry(owed.duty.name()).or_default() += 1;
        }
        json!(counts)
    }

    /// When the plugin last told the state of a job, since the daemon's start.
    fn last_heard(&self, job: &Job) -> Option<Nanos> {
        let age = self.health.last_heard(job.uid.as_u128())?.elapsed().ok()?;
        let age = i64::try_from(age.as_nanos()).ok()?;
        Some(Nanos(self.now().0.saturating_sub(age)))
    }
}

/// What a container that has ended used, and what share of what it asked for that is; null where its plugin
/// does not say.
fn used_info(entry: &ContainerEntry) -> Value {
    let end = entry
        .status
        .exit
        .as_ref()
        .or(entry.status.reported.as_ref());
    let Some(used) = end.and_then(|end| end.used.as_deref()) else {
        return Value::Null;
    };
    let share = convert::efficiency(&entry.container, used);
    let seconds =
        |millis: Option<u64>| millis.map(|millis| Duration::from_millis(millis).as_secs_f64());
    json!({
        "cpuSeconds": seconds(used.cpu_millis),
        "memoryPeakBytes": used.memory_bytes,
        "ranSeconds": seconds(used.ran_millis),
        "cpuEfficiency": share.cpu,
        "memoryEfficiency": share.memory,
    })
}

fn owed_info(owed: &[Owed], now: Nanos) -> Value {
    let one = |owed: &Owed| {
        json!({
            "duty": owed.duty.name(),
            "due": owed.due.rfc3339(),
            "inSeconds": owed.due.until(now).as_secs(),
        })
    };
    owed.iter().map(one).collect()
}
