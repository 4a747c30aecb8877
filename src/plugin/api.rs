//! The interLink API, as a plugin behind the interLink server has to answer it, or as the
//! server itself would: /create takes both forms.
//!
//! Statuses: 200; 400 for what is malformed or cannot be run here; 404 for a log of a pod or
//! container that is not there, and for other paths; 409 for a /create whose UID another pod
//! has; 413 and the like from the server below; 500 when this machine fails us. Every refusal
//! says why in plain text.

use std::{
    fs::{self, File},
    io,
    sync::Arc,
    thread,
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde::de::DeserializeOwned;

use super::{
    faults::Faults,
    http::{Request, Responder},
    logs::{self, Wanted},
    names::is_uid,
    pod::Pod as LocalPod,
    routes::Route,
    submission::{self, Submission},
    supervisor::{Deleted, Supervisor},
    Refusal,
};
use crate::interlink::wire::{CreateStruct, LogStruct, PingResources, PingResponse, PodStatus};

/// How long /delete waits for the end: less than clients usually wait for an answer.
const DELETE_PATIENCE: Duration = Duration::from_secs(25);
/// Pods that /pinglink offers. No more than a number: the machine is what limits them.
const POD_CAPACITY: u32 = 1000;

pub(super) struct Api {
    pub(super) supervisor: Supervisor,
    pub(super) faults: Faults,
}

impl Api {
    /// Answers one request.
    pub(super) fn handle(&self, request: &Request, responder: Responder) {
        let sent = match Route::of_path(request.path()) {
            None => responder.text(404, &format!("there is nothing at {}", request.path())),
            Some(route) => match self.faults.strike(route, responder) {
                None => Ok(()),
                Some(responder) => self.act(route, request, responder),
            },
        };
        if let Err(error) = sent {
            log::debug!("{} {}: {error}", request.method, request.target);
        }
    }

    fn act(&self, route: Route, request: &Request, responder: Responder) -> io::Result<()> {
        let body = &request.body;
        match route {
            Route::Create => match self.create(body) {
                Ok(created) => responder.json(200, &created),
                Err(refusal) => refusal.send(request, responder),
            },
            Route::Delete => match self.delete(body) {
                Ok(text) => responder.text(200, &text),
                Err(refusal) => refusal.send(request, responder),
            },
            Route::Status => match self.status(body) {
                Ok(statuses) => responder.json(200, &statuses),
                Err(refusal) => refusal.send(request, responder),
            },
            Route::Logs => self.logs(request, responder),
            Route::Ping => responder.json(200, &ping()),
            // Nothing is cached here.
            Route::UpdateCache => responder.text(200, "Updated cache"),
        }
    }

    fn create(&self, body: &[u8]) -> Result<CreateStruct, Refusal> {
        let submission = Submission::parse(body)?;
        let pod_jid = self.supervisor.create(&submission)?;
        Ok(CreateStruct {
            pod_uid: submission.record.uid,
            pod_jid,
        })
    }

    fn delete(&self, body: &[u8]) -> Result<String, Refusal> {
        let pod: Pod = parse(body)?;
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        if !is_uid(&uid) {
            let text = format!("metadata.uid `{uid}` is not a lower-case UUID");
            return Err(Refusal::invalid(text));
        }
        let grace = submission::grace(&pod);
        match self.supervisor.delete(&uid, grace, DELETE_PATIENCE)? {
            Deleted::Unknown => Ok(format!("pod {uid} is not here, so it is gone")),
            Deleted::Gone => Ok(format!("pod {uid} is gone")),
            Deleted::Until(time) => Ok(format!("pod {uid} is ending, and is killed at {time:.0}")),
        }
    }

    fn status(&self, body: &[u8]) -> Result<Vec<PodStatus>, Refusal> {
        if body.trim_ascii().is_empty() {
            return Ok(Vec::new());
        }
        let pods: Option<Vec<Pod>> = parse(body)?;
        let known = pods.into_iter().flatten().filter_map(|pod| {
            let pod = self.supervisor.look(pod.metadata.uid.as_deref()?)?;
            Some(pod.status())
        });
        Ok(known.collect())
    }

    fn logs(&self, request: &Request, responder: Responder) -> io::Result<()> {
        match self.find_log(&request.body) {
            Err(refusal) => refusal.send(request, responder),
            Ok(found) => {
                let is_over = || self.supervisor.is_over(&found.pod, &found.container);
                logs::answer(found.file, found.wanted, is_over, responder)
            }
        }
    }

    fn find_log(&self, body: &[u8]) -> Result<FoundLog, Refusal> {
        let request: LogStruct = parse(body)?;
        let wanted = logs::check(&request, Timestamp::now())?;
        let no_pod = || Refusal::unknown(format!("no pod {}", request.pod_uid));
        let pod = self.supervisor.pod(&request.pod_uid).ok_or_else(no_pod)?;
        let container = request.container_name;
        if !pod.record.all_containers().any(|one| one.name == container) {
            let text = format!("pod {} has no container `{container}`", request.pod_uid);
            return Err(Refusal::unknown(text));
        }
        let file = match File::open(pod.dir.container(&container).output()) {
            // Deleted between the two looks.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(no_pod()),
            file => file?,
        };
        Ok(FoundLog {
            wanted,
            pod,
            container,
            file,
        })
    }
}

struct FoundLog {
    wanted: Wanted,
    pod: Arc<LocalPod>,
    container: String,
    file: File,
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::invalid(error.to_string()))
}

/// What this machine has.
fn ping() -> PingResponse {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    PingResponse {
        status: "ok".to_owned(),
        resources: Some(PingResources {
            cpu: cpus.to_string(),
            memory: total_memory(&memory).unwrap_or_default(),
            pods: POD_CAPACITY.to_string(),
            accelerators: Vec::new(),
        }),
        taints: None,
    }
}

/// The total of /proc/meminfo as a quantity. Its kB are 1024 bytes (proc(5)).
fn total_memory(meminfo: &str) -> Option<String> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib = line.trim().strip_suffix("kB")?.trim();
    kib.parse::<u64>().ok().map(|kib| format!("{kib}Ki"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_as_a_quantity() {
        for (text, want) in [
            (
                "MemTotal:       24690816 kB\nMemFree: 1 kB\n",
                Some("24690816Ki"),
            ),
            ("MemFree: 1 kB\n", None),
            ("MemTotal: lots\n", None),
            ("", None),
        ] {
            assert_eq!(total_memory(text).as_deref(), want, "{text}");
        }
        assert_ne!(ping().resources.unwrap_or_default().memory, "");
    }
}
