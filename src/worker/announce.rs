//! Tells people how jobs are doing: events on their pods, and the condition of a readiness gate.
//!
//! The thread hears which pods changed, and compares each with how it looked the last time. So it
//! may fall behind, or miss a change, and still tell the truth in the end.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{select, Receiver};
use k8s_openapi::api::core::v1::{Pod as ApiPod, PodCondition};

use super::{api_pod, Context};
use crate::{
    backoff::Backoff,
    daemon_log::Scope,
    kube::{self, Api, EventType, PodRef},
    model::{Pod, SandboxId, SandboxPhase},
    plan::{
        job_events::{self, JobEvent, RunningCondition},
        pod_containers::PodContainers,
    },
    telemetry::chain,
    threads,
};

/// The readiness gate that says whether a pod's job runs.
const GATE: &str = "interlink.eu/job-running";
/// Pauses after a condition that could not be set.
const PAUSES: Backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_secs(60));
/// How often all pods are looked at, whatever was heard.
const SWEEP: Duration = Duration::from_secs(60);

/// Runs until told to stop.
pub fn run(context: &Context, api: &Api, changed: &Receiver<SandboxId>, stop: &Receiver<()>) {
    let pods = context.store.pods();
    let mut announcer = Announcer {
        context,
        api,
        // What happened before our start was told then.
        seen: pods
            .iter()
            .map(|pod| (pod.sandbox.id.clone(), pod.clone()))
            .collect(),
        gates: HashMap::new(),
        sweep: Instant::now(),
    };
    loop {
        threads::beat("announce", SWEEP.saturating_mul(3));
        select! {
            recv(changed) -> id => match id {
                Ok(id) => announcer.look(&id),
                Err(_) => return,
            },
            recv(stop) -> _ => return,
            default(announcer.until_next()) => announcer.look_again(),
        }
        if context.is_stopping() {
            return;
        }
    }
}

struct Announcer<'a> {
    context: &'a Context,
    api: &'a Api,
    /// Pods as they looked the last time.
    seen: HashMap<SandboxId, Arc<Pod>>,
    /// Pods with the gate, and those of which that is not known.
    gates: HashMap<SandboxId, Gate>,
    sweep: Instant,
}

/// A gate's condition.
#[derive(Default)]
struct Gate {
    /// As it was last set; none where that is not known.
    set: Option<RunningCondition>,
    /// When to try again, and how often in a row it failed.
    again: Option<(Instant, u32)>,
}

impl Announcer<'_> {
    fn until_next(&self) -> Duration {
        let again = self.gates.values().filter_map(|gate| Some(gate.again?.0));
        let next = again
            .min()
            .map_or(self.sweep, |again| again.min(self.sweep));
        next.saturating_duration_since(Instant::now())
    }

    fn look_again(&mut self) {
        let now = Instant::now();
        let mut ids: Vec<_> = self
            .gates
            .iter()
            .filter(|(_, gate)| gate.again.is_some_and(|(at, _)| at <= now))
            .map(|(id, _)| id.clone())
            .collect();
        if now >= self.sweep {
            self.sweep = now + SWEEP;
            let pods = self.context.store.pods();
            ids = pods.iter().map(|pod| pod.sandbox.id.clone()).collect();
            self.seen.retain(|id, _| ids.contains(id));
            self.gates.retain(|id, _| ids.contains(id));
        }
        ids.iter().for_each(|id| self.look(id));
    }

    fn look(&mut self, id: &SandboxId) {
        threads::beat("announce", SWEEP.saturating_mul(3));
        let Some(pod) = self.context.store.pod(id) else {
            self.seen.remove(id);
            self.gates.remove(id);
            return;
        };
        let _scope = Scope::of_pod(&pod);
        let before = self.seen.insert(id.clone(), pod.clone());
        for event in job_events::new_events(before.as_deref(), &pod) {
            self.post(&pod, &event);
        }
        if pod.phase() == SandboxPhase::Ready && !pod.containers.is_empty() {
            self.set_gate(&pod);
        } else {
            self.gates.remove(id);
        }
    }

    fn post(&self, pod: &Pod, event: &JobEvent) {
        let Some(recorder) = &self.api.recorder else {
            return;
        };
        let about = PodRef {
            namespace: pod.sandbox.namespace.to_string(),
            name: pod.sandbox.name.clone(),
            uid: pod.sandbox.uid.clone(),
        };
        let kind = match event.is_warning {
            true => EventType::Warning,
            false => EventType::Normal,
        };
        let (reason, message) = (event.reason, &event.message);
        let now = self.context.store.clock().now();
        if let Err(error) = recorder.record(&self.api.client, &about, kind, reason, message, now) {
            self.trouble(&format!("event {reason} is not posted"), &error);
        }
    }

    fn trouble(&self, what: &str, error: &kube::Error) {
        self.context.announce_trouble.print(|held_back| {
            log::warn!(error = chain(error), held_back; "{what}");
        });
    }

    fn set_gate(&mut self, pod: &Pod) {
        let id = &pod.sandbox.id;
        let waits = |gate: &Gate| gate.again.is_some_and(|(at, _)| at > Instant::now());
        if self.gates.get(id).is_some_and(waits) {
            return;
        }
        let found = match api_pod::ask(self.context, pod) {
            Ok(Some(found)) => found,
            Ok(None) => return,
            // It may have the gate.
            Err(api_pod::NoAnswer) => return self.delay(id),
        };
        let spec = found.spec.as_ref();
        let mut gates = spec
            .iter()
            .flat_map(|spec| spec.readiness_gates.iter().flatten());
        let Some(spec) = spec.filter(|_| gates.any(|gate| gate.condition_type == GATE)) else {
            self.gates.remove(id);
            return;
        };
        let wanted = job_events::running_condition(pod, &PodContainers::from(spec));
        let gate = self.gates.entry(id.clone()).or_default();
        let is_set = match &gate.set {
            Some(set) => *set == wanted,
            None => shows(&found, &wanted),
        };
        if is_set {
            (gate.set, gate.again) = (Some(wanted), None);
            return;
        }
        let condition = condition(&wanted, self.context);
        let sandbox = &pod.sandbox;
        let uid = found.metadata.uid.as_deref().unwrap_or(&sandbox.uid);
        let (place, name) = (&sandbox.namespace, &sandbox.name);
        match self
            .api
            .client
            .patch_pod_condition(place, name, uid, &condition)
        {
            Ok(()) => (gate.set, gate.again) = (Some(wanted), None),
            // Another pod has the name now.
            Err(error) if error.is_not_found() || error.is_conflict() => {
                self.api.pods.forget(&sandbox.uid);
                gate.again = None;
            }
            Err(error) => {
                self.trouble(&format!("condition {GATE} is not set"), &error);
                self.delay(id);
            }
        }
    }

    fn delay(&mut self, id: &SandboxId) {
        let gate = self.gates.entry(id.clone()).or_default();
        let failures = gate.again.map_or(0, |(_, failures)| failures);
        let failures = failures.saturating_add(1);
        gate.again = Some((Instant::now() + PAUSES.pause(failures), failures));
    }
}

fn shows(pod: &ApiPod, wanted: &RunningCondition) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let mut ours = conditions.filter(|condition| condition.type_ == GATE);
    ours.any(|it| {
        it.status == truth(wanted.status)
            && it.reason.as_deref() == Some(wanted.reason)
            && it.message.as_deref().unwrap_or_default() == wanted.message
    })
}

fn condition(wanted: &RunningCondition, context: &Context) -> PodCondition {
    PodCondition {
        type_: GATE.to_owned(),
        status: truth(wanted.status).to_owned(),
        reason: Some(wanted.reason.to_owned()),
        // Empty rather than none: a patch leaves alone what it does not name.
        message: Some(wanted.message.clone()),
        last_transition_time: Some(kube::time(context.store.clock().now())),
        ..PodCondition::default()
    }
}

fn truth(status: bool) -> &'static str {
    match status {
        true => "True",
        false => "False",
    }
}
