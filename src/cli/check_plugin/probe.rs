//! Tries a plugin with a harmless pod, and keeps what it answers.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::{json, Value};
use uuid::Uuid;

use super::observed::{self, Heard, Observed};
use crate::{
    bounded,
    interlink::{
        self,
        wire::{LogOpts, LogStruct, PodCreateRequests},
        Call, Client, Created, RawAnswer,
    },
    profile::recognise,
    telemetry::chain,
};

/// Pause between two questions whether the job has ended.
const PAUSE: Duration = Duration::from_millis(500);
/// The container that runs first.
const INIT: &str = "prepare";
/// The container that is waited for.
const MAIN: &str = "main";
/// Amounts that every known plugin can read: some take whole CPUs only, and no binary units.
const CPU: &str = "1";
const MEMORY: &str = "64M";

/// What is tried, and with what.
pub struct Probe<'a> {
    /// The way to the plugin.
    pub client: &'a Client,
    /// Whether there is no interLink server between.
    pub direct: bool,
    /// The image of the pod's containers.
    pub image: &'a str,
    /// The pod's namespace.
    pub namespace: &'a str,
    /// When the job must have ended.
    pub deadline: Instant,
    /// Set when somebody wants it to end.
    pub interrupted: &'a AtomicBool,
}

/// A pod that is tried, and whether it may be over there.
pub struct Pod {
    uid: String,
    name: String,
    /// A submission has left: it has to be deleted.
    pub is_owed: bool,
}

impl Pod {
    /// One that nobody has.
    pub fn new() -> Self {
        let uid = Uuid::new_v4().to_string();
        let name = format!("interlink-cri-check-{}", uid.get(..8).unwrap_or(&uid));
        Self {
            uid,
            name,
            is_owed: false,
        }
    }
}

impl Probe<'_> {
    /// Tries everything up to the end of the pod. What was not come to is missing.
    pub fn run(&self, pod: &mut Pod, seen: &mut Observed) {
        seen.uid = pod.uid.clone();
        seen.lines = [INIT, MAIN].map(|name| (name, line_of(name))).into();
        let stranger = Pod::new();
        seen.ping = self.heard(self.ping(), b"");
        if !matches!(seen.ping, Some(Heard::Answer(..))) {
            return;
        }
        seen.empty = self.ask(&[]);
        seen.unknown = self.ask(&[&stranger]);
        seen.unknown_log = self.log(&stranger, MAIN, false);
        seen.malformed = self.heard(Call::Create, b"{\"pod\":");
        self.submit(pod, seen);
        if seen.job_id.is_none() {
            return;
        }
        seen.fresh = self.ask(&[pod]);
        seen.mixed = self.ask(&[&stranger, pod]);
        seen.ended = self.wait_for_end(pod);
        if seen.ended.is_none() {
            return;
        }
        seen.logs = [INIT, MAIN]
            .into_iter()
            .filter_map(|name| self.log(pod, name, false))
            .collect();
        seen.followed = self.log(pod, MAIN, true);
        if let Some(again) = self.create(pod) {
            let created = again.as_ref().ok();
            let created = created.and_then(|answer| answer.created(&pod.uid).ok());
            seen.again = Some((heard_of(again), created.map(|created| job_id(created).0)));
        }
    }

    /// Deletes the pod. Tried also when somebody wants it to end.
    pub fn clean_up(&self, pod: &Pod, seen: &mut Observed) {
        if !pod.is_owed {
            return;
        }
        let call = match self.direct {
            true => Call::DirectDelete,
            false => Call::Delete,
        };
        let body = self.pod(pod).to_string().into_bytes();
        let delete = || Some(heard_of(self.client.raw(call, &body)));
        seen.deleted = delete();
        if self.is_interrupted() {
            return;
        }
        seen.gone = self.ask(&[pod]);
        seen.deleted_again = delete();
    }

    fn submit(&self, pod: &mut Pod, seen: &mut Observed) {
        // From here on it may be there, whatever comes back.
        pod.is_owed = !self.is_interrupted();
        let begun = Instant::now();
        let Some(answer) = self.create(pod) else {
            return;
        };
        seen.create_took = begun.elapsed();
        let created = answer.as_ref().ok();
        let created = created.and_then(|answer| answer.created(&pod.uid).ok());
        seen.form_of = created
            .as_ref()
            .and_then(|it| recognise::by_answer(it.is_wrapped, it.has_jobid));
        seen.job_id = created.map(job_id);
        seen.created = Some(heard_of(answer));
    }

    fn create(&self, pod: &Pod) -> Option<Result<RawAnswer, interlink::Error>> {
        if self.is_interrupted() {
            return None;
        }
        let request = PodCreateRequests {
            // The pod is written here, so it is one. To read one from text is in the program anyway.
            pod: bounded::from_json(self.pod(pod).to_string().as_bytes()).unwrap_or_default(),
            ..PodCreateRequests::default()
        };
        let body = self.client.create_body(&request);
        Some(body.and_then(|body| self.client.raw(Call::Create, &body)))
    }

    fn wait_for_end(&self, pod: &Pod) -> Option<Heard> {
        loop {
            let heard = self.ask(&[pod])?;
            if observed::has_ended(&heard, &pod.uid) {
                return Some(heard);
            }
            if Instant::now() + PAUSE > self.deadline {
                return None;
            }
            thread::sleep(PAUSE);
        }
    }

    fn ask(&self, pods: &[&Pod]) -> Option<Heard> {
        let pods: Vec<_> = pods.iter().map(|pod| self.pod(pod)).collect();
        self.heard(Call::Status, Value::from(pods).to_string().as_bytes())
    }

    fn log(&self, pod: &Pod, container: &str, follow: bool) -> Option<Heard> {
        let request = LogStruct {
            namespace: self.namespace.to_owned(),
            pod_uid: pod.uid.clone(),
            pod_name: pod.name.clone(),
            container_name: container.to_owned(),
            opts: LogOpts {
                follow,
                ..LogOpts::default()
            },
        };
        // Made of texts, so it can be written.
        let body = serde_json::to_vec(&request).unwrap_or_default();
        self.heard(Call::Logs, &body)
    }

    fn ping(&self) -> Call {
        match self.direct {
            true => Call::DirectPing,
            false => Call::Ping,
        }
    }

    /// Makes a call, unless somebody wants all this to end.
    fn heard(&self, call: Call, body: &[u8]) -> Option<Heard> {
        let body = match call {
            Call::DirectPing => b"[]",
            _ => body,
        };
        (!self.is_interrupted()).then(|| heard_of(self.client.raw(call, body)))
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    /// The pod as every call carries it.
    fn pod(&self, pod: &Pod) -> Value {
        let container = |name: &str| {
            let amounts = json!({ "cpu": CPU, "memory": MEMORY });
            json!({
                "name": name,
                "image": self.image,
                "command": ["/bin/sh", "-c", format!("echo {}", line_of(name))],
                "resources": { "limits": amounts, "requests": amounts },
            })
        };
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": pod.name,
                "namespace": self.namespace,
                "uid": pod.uid,
                "labels": {
                    "app.kubernetes.io/managed-by": "interlink-cri",
                    "cri.interlink.eu/check-plugin": "true",
                },
                "annotations": {},
            },
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 5,
                "initContainers": [container(INIT)],
                "containers": [container(MAIN)],
            },
            // An interLink server asks its plugin about pods in this phase, and answers for others from
            // memory (pkg/interlink/api/status.go, 0.6 and 0.7).
            "status": { "phase": "Pending" },
        })
    }
}

/// The line that a container writes.
fn line_of(container: &str) -> String {
    format!("interlink-cri check of {container}")
}

/// The job id in an answer to a submission, perhaps empty, and whether the answer has the usual form.
fn job_id(created: Created) -> (String, bool) {
    let is_usual = !(created.is_wrapped || created.has_jobid || created.is_list);
    (created.remote_id.unwrap_or_default(), is_usual)
}

fn heard_of(answer: Result<RawAnswer, interlink::Error>) -> Heard {
    match answer {
        Ok(RawAnswer { status, body }) => {
            Heard::Answer(status, String::from_utf8_lossy(&body).into_owned())
        }
        Err(interlink::Error::Status { status, says, .. }) => Heard::Refusal(status, says),
        Err(error) => Heard::Nothing(chain(&error)),
    }
}
