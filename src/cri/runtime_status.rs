//! `Status`.

use std::{collections::HashMap, time::Duration};

use protobuf::MessageField;
use serde_json::json;

use super::{sandbox_status::job_info, CriContext, Error};
use crate::{
    model::{Nanos, SandboxPhase},
    proto::{
        RuntimeCondition, RuntimeFeatures, RuntimeHandler, RuntimeHandlerFeatures, RuntimeStatus,
        StatusRequest, StatusResponse,
    },
    telemetry::{Counter, NodeOffer, Reach},
    threads::{self, Late},
};

impl CriContext {
    pub(super) fn status(&self, request: &StatusRequest) -> Result<StatusResponse, Error> {
        let (reach, since) = self.health.now();
        let status = RuntimeStatus {
            conditions: conditions(
                &reach,
                since,
                self.config.interlink.not_ready_after,
                &threads::late(),
                self.health.node(),
            ),
            ..Default::default()
        };
        let configured = self.config.cri.runtime_handlers.iter().map(String::as_str);
        let handlers = std::iter::once("").chain(configured);
        Ok(StatusResponse {
            status: MessageField::some(status),
            info: if request.verbose {
                self.info(&reach, since)
            } else {
                HashMap::new()
            },
            runtime_handlers: handlers.map(handler).collect(),
            features: MessageField::some(RuntimeFeatures::default()),
            ..Default::default()
        })
    }

    fn info(&self, reach: &Reach, since: Duration) -> HashMap<String, String> {
        let pods = self.store.pods();
        let counters = Counter::ALL
            .iter()
            .map(|(counter, name)| ((*name).to_owned(), json!(self.counters.get(*counter))));
        let counters: serde_json::Map<_, _> = counters.collect();
        let owed: Vec<_> = pods
            .iter()
            .flat_map(|pod| pod.jobs.iter().map(move |job| (pod, job)))
            .filter(|(_, job)| job.is_owed_a_cancellation())
            .map(|(pod, job)| json!({ "pod": pod.full_name(), "job": job_info(job) }))
            .collect();
        let (state, message) = words(reach);
        let jobs = pods.iter().flat_map(|pod| &pod.jobs);
        let unsubmitted = jobs.filter(|job| job.is_unsubmitted());
        let unsubmitted: Vec<_> = unsubmitted.map(|job| job.created_at).collect();
        let now = self.now();
        // A time in the future, after a step of the clock, is no age.
        let age = |since: Option<Nanos>| {
            let span = since.map(|since| now.since(since));
            span.filter(|span| *span != Duration::MAX)
                .map(|span| span.as_secs())
        };
        let queued = pods
            .iter()
            .flat_map(|pod| pod.jobs.iter().map(move |job| (pod, job)));
        let queued = queued.filter_map(|(pod, job)| Some((pod.queued_since(job)?, pod, job)));
        let oldest_queued = queued.min_by_key(|(since, ..)| *since);
        let last = self
            .health
            .last_ready()
            .and_then(|time| time.elapsed().ok());
        let daemon = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptimeSeconds": self.started.elapsed().as_secs(),
            "sandboxes": pods.iter().filter(|pod| pod.phase() != SandboxPhase::Removed).count(),
            "containers": pods.iter().map(|pod| pod.containers.len()).sum::<usize>(),
            "jobs": pods.iter().map(|pod| pod.jobs.len()).sum::<usize>(),
            "images": self.store.images().len(),
            "unsubmittedJobs": unsubmitted.len(),
            "oldestUnsubmittedSeconds": age(unsubmitted.iter().min().copied()),
            "oldestQueued": oldest_queued.map(|(since, pod, job)| json!({
                "pod": pod.full_name(),
                "partition": job.partition,
                "remoteId": job.remote_id,
                "since": since.rfc3339(),
                "ageSeconds": age(Some(since)),
                "waiting": job.waiting.as_ref().map(ToString::to_string),
            })),
            "oldestOwedCancellationSeconds": age(self.store.oldest_owed_cancellation()),
            "stateBytes": self.store.size_on_disk(),
            "parkedStops": self.store.watches().count(),
            "eventSubscribers": self.store.subscriber_count(),
            "podCIDR": self.store.pod_cidr().or_else(|| self.config.network.pod_cidr.clone()),
            "counters": counters,
        });
        let recognised = self.health.plugin();
        let interlink = json!({
            "state": state,
            "message": message,
            "sinceSeconds": since.as_secs(),
            "lastAnswerSeconds": last.map(|span| span.as_secs()),
            "pingMilliseconds": self.health.ping_time().map(|time| time.as_millis()),
            "owedCancellations": owed,
            "owed": self.owed_counts(pods.iter().map(|pod| &**pod)),
            "plugin": self.config.interlink.plugin.name(),
            "recognisedPlugin": recognised.map(|plugin| plugin.name),
            "recognisedBy": recognised.map(|plugin| plugin.by),
        });
        let mut info = HashMap::from([
            ("daemon".to_owned(), daemon.to_string()),
            ("interlink".to_owned(), interlink.to_string()),
        ]);
        if let Some(node) = self.health.node() {
            let node = json!({"offered": node.offered, "trouble": node.trouble});
            info.insert("node".to_owned(), node.to_string());
        }
        info
    }
}

/// RuntimeReady is never cleared: that would stop the kubelet's whole sync loop, deletions
/// included (`syncLoop` in pkg/kubelet/kubelet.go). Conditions of other names are only shown. NetworkReady is, where the administrator wants an
/// unreachable interLink to keep new pods away: running ones and deletions go on (`SyncPod` there).
fn conditions(
    reach: &Reach,
    since: Duration,
    limit: Option<Duration>,
    late: &[Late],
    node: Option<NodeOffer>,
) -> Vec<RuntimeCondition> {
    let (state, message) = words(reach);
    let ready = matches!(reach, Reach::Ready(_));
    let keeps_pods_away = !ready && limit.is_some_and(|limit| since >= limit);
    let lines: Vec<_> = late.iter().map(ToString::to_string).collect();
    let names = lines.join("; ");
    let condition = |name: &str, status, reason: &str, message: &str| RuntimeCondition {
        type_: name.to_owned(),
        status,
        reason: if status {
            String::new()
        } else {
            reason.to_owned()
        },
        message: if status {
            String::new()
        } else {
            message.to_owned()
        },
        ..Default::default()
    };
    let mut all = vec![
        condition("RuntimeReady", true, "", ""),
        condition("NetworkReady", !keeps_pods_away, state, message),
        condition("InterLinkReady", ready, state, message),
        condition("ThreadsReady", late.is_empty(), "ThreadHangs", &names),
    ];
    if let Some(node) = node {
        let trouble = node.trouble.unwrap_or_default();
        all.push(condition(
            "NodeOfferReady",
            trouble.is_empty(),
            "NodeDiffers",
            &trouble,
        ));
    }
    all
}

fn words(reach: &Reach) -> (&'static str, &str) {
    match reach {
        Reach::NotConfigured => (
            "NotConfigured",
            "no interLink is configured (interlink.url); jobs wait",
        ),
        Reach::Unknown => ("NotAskedYet", "interLink has not been asked yet"),
        Reach::Ready(answer) => ("Ready", answer),
        Reach::Away(reason) => ("Unreachable", reason),
    }
}

fn handler(name: &str) -> RuntimeHandler {
    RuntimeHandler {
        name: name.to_owned(),
        features: MessageField::some(RuntimeHandlerFeatures::default()),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_setting_lets_interlink_clear_network_ready() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let away = Reach::Away("connection refused".into());
        let rows = [
            (
                "ready",
                Reach::Ready("ok".into()),
                minute,
                Some(second),
                [true, true, true],
            ),
            (
                "away, no setting",
                away.clone(),
                minute,
                None,
                [true, true, false],
            ),
            (
                "away, within grace",
                away.clone(),
                second,
                Some(minute),
                [true, true, false],
            ),
            (
                "away, beyond grace",
                away,
                minute,
                Some(second),
                [true, false, false],
            ),
            (
                "not configured",
                Reach::NotConfigured,
                minute,
                None,
                [true, true, false],
            ),
        ];
        for (name, reach, since, limit, want) in rows {
            let got: Vec<_> = conditions(&reach, since, limit, &[], None)
                .iter()
                .map(|c| c.status)
                .collect();
            assert_eq!(got[..3], want, "{name}");
            assert!(got[3], "{name}");
        }
    }
    #[test]
    fn a_thread_that_hangs_shows_and_keeps_nothing_away() {
        let late = Late {
            thread: "poll".into(),
            task: None,
            silent_for: Duration::from_secs(90),
            limit: Duration::from_secs(60),
        };
        let reach = Reach::Ready("ok".into());
        let all = conditions(&reach, Duration::ZERO, None, &[late], None);
        let status: Vec<_> = all.iter().map(|condition| condition.status).collect();
        assert_eq!(status, [true, true, true, false]);
        assert!(all[3]
            .message
            .contains("`poll` has not come back for 90.0 s"));
    }
}
