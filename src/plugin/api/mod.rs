//! The interLink API, as a plugin behind the interLink server has to answer it, or as the
//! server itself would: /create takes both forms.
//!
//! Statuses: 200; 400 for what is malformed or cannot be run here; 404 for a log of a pod or
//! container that is not there, and for other paths; 409 for a /create whose UID another pod
//! has; 413 and the like from the HTTP server; 500 when the backend's machine fails. Every refusal
//! says why in plain text.
//!
//! The API knows pods through [`Backend`] alone, and no processes.

mod faults;
mod guard;
mod logs;
mod replies;
mod route;

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, io, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde::de::DeserializeOwned;

use self::route::Route;
use super::{
    backend::{AfterEnd, Backend, ContainerLog, DeleteOutcome},
    http::{Request, Responder},
    pods::{grace_period, is_pod_uid, keeps_end, PodRequest},
    refusal::Refusal,
};
use crate::{
    bounded,
    interlink::wire::{CreateStruct, LogStruct, PodStatus},
    json::{self, Piece},
};

pub use self::faults::{Fault, FaultError, FAULT_HELP};
pub(super) use self::{
    faults::Faults,
    guard::{read_token, Guard},
};

/// How long /delete waits for the pod's end: less than clients usually wait for an answer.
// The interLink server waits 120 s for its plugin (0.6, 0.7); `interlink.request_timeout` of this
// daemon is 30 s by default.
const DELETE_PATIENCE: Duration = Duration::from_secs(25);
/// The same where the caller asks how the pod has ended.
const KEEP_PATIENCE: Duration = Duration::from_secs(1);

/// Answers requests from what a backend knows.
pub(super) struct Api {
    backend: Box<dyn Backend>,
    faults: Faults,
    guard: Guard,
}

impl Api {
    pub(super) fn new(backend: Box<dyn Backend>, faults: Faults) -> Self {
        Self {
            backend,
            faults,
            guard: Guard::default(),
        }
    }

    /// With what requests must have.
    pub(super) fn guarded(mut self, guard: Guard) -> Self {
        self.guard = guard;
        self
    }

    /// Lets requests that wait for a pod's end be answered soon.
    pub(super) fn begin_stop(&self) {
        self.backend.begin_stop();
    }

    /// Answers one request.
    pub(super) fn handle(&self, request: &Request, responder: Responder) {
        if let Err((status, text)) = self.guard.check(request) {
            let (path, peer) = (request.path(), &request.peer);
            log::warn!("{path} of {peer} is answered {status}: {text}");
            // Whoever has no answer has sent what is refused.
            let _ = responder.text(status, &text);
            return;
        }
        let sent = match Route::of_path(request.path()) {
            None => responder.text(404, &format!("there is nothing at {}", request.path())),
            Some(route) => match self.faults.strike(route, responder) {
                None => Ok(()),
                Some(responder) => self.act(route, request, responder),
            },
        };
        if let Err(error) = sent {
            let (method, target) = (&request.method, &request.target);
            log::debug!("{method} {target}: the answer was not sent whole: {error}");
        }
    }

    fn act(&self, route: Route, request: &Request, responder: Responder) -> io::Result<()> {
        let body = &request.body;
        match route {
            Route::Create => match self.create(body) {
                Ok(created) => {
                    let (uid, peer) = (&created.pod_uid, &request.peer);
                    log::info!("pod {uid} is created for {peer}");
                    responder.json(200, &created)
                }
                Err(refusal) => refuse(&refusal, request, responder),
            },
            Route::Delete => match self.delete(body) {
                Ok(text) => responder.text(200, &text),
                Err(refusal) => refuse(&refusal, request, responder),
            },
            Route::Status => match self.status(body) {
                Ok(statuses) => responder.json(200, &statuses),
                Err(refusal) => refuse(&refusal, request, responder),
            },
            Route::Logs => match self.open_log(body) {
                Ok((range, log)) => logs::answer(log, range, responder),
                Err(refusal) => refuse(&refusal, request, responder),
            },
            Route::Ping => responder.json(200, &replies::ping(self.backend.capacity())),
            // The server's caches of this are what the call is for; nothing is cached here.
            Route::UpdateCache => responder.text(200, "Updated cache"),
        }
    }

    fn create(&self, body: &[u8]) -> Result<CreateStruct, Refusal> {
        let request = PodRequest::parse(body)?;
        let pod_jid = self.backend.create(&request)?;
        Ok(CreateStruct {
            pod_uid: request.uid,
            pod_jid,
        })
    }

    fn delete(&self, body: &[u8]) -> Result<String, Refusal> {
        let pod: Pod = parse(body)?;
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        if !is_pod_uid(&uid) {
            let text = format!("metadata.uid `{uid}` is not a lower-case UUID");
            return Err(Refusal::invalid(text));
        }
        let grace = grace_period(&pod);
        // Who wants to know how the pod ended asks for that, so nobody has to wait here.
        let (then, patience) = match keeps_end(&pod) {
            true => (AfterEnd::Keep, KEEP_PATIENCE),
            false => (AfterEnd::Remove, DELETE_PATIENCE),
        };
        Ok(match self.backend.delete(&uid, grace, then, patience)? {
            DeleteOutcome::Unknown => format!("pod {uid} is not here, so it is gone"),
            DeleteOutcome::Gone => format!("pod {uid} is gone"),
            DeleteOutcome::Ended => format!("pod {uid} is gone; how it ended is kept for a while"),
            DeleteOutcome::KilledAt(time) => {
                format!("pod {uid} is ending, and is killed at {time:.0}")
            }
        })
    }

    fn status(&self, body: &[u8]) -> Result<Vec<PodStatus>, Refusal> {
        if body.trim_ascii().is_empty() {
            return Ok(Vec::new());
        }
        let mut asked = BTreeSet::new();
        let mut known = Vec::new();
        // Go clients send `null` for an empty list.
        let mut pods = Piece::of_body(body).and_then(Piece::list).map_err(odd)?;
        while let Some(pod) = pods.next_element().map_err(odd)? {
            let Some(uid) = uid_of(pod).map_err(odd)? else {
                continue;
            };
            // One that is named again and again is spoken of once.
            if let Some(report) = self.backend.status(&uid) {
                if asked.insert(uid) {
                    known.push(replies::pod_status(report));
                }
            }
        }
        Ok(known)
    }

    fn open_log(&self, body: &[u8]) -> Result<(logs::LogRange, ContainerLog), Refusal> {
        let request: LogStruct = parse(body)?;
        let range = logs::check(&request, Timestamp::now())?;
        let log = self
            .backend
            .log(&request.pod_uid, &request.container_name)?;
        Ok((range, log))
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    bounded::from_json(body).map_err(|error| Refusal::invalid(error.to_string()))
}

fn odd(error: json::Error) -> Refusal {
    Refusal::invalid(error.to_string())
}

/// `metadata.uid` of a pod; nothing else of it is wanted.
fn uid_of(pod: Piece<'_>) -> Result<Option<String>, json::Error> {
    let metadata = pod.field("metadata")?;
    let uid = metadata
        .map(|metadata| metadata.field("uid"))
        .transpose()?
        .flatten();
    uid.map(|uid| Ok(uid.text()?.into_owned())).transpose()
}

fn refuse(refusal: &Refusal, request: &Request, responder: Responder) -> io::Result<()> {
    let status = match refusal {
        Refusal::Invalid(_) => 400,
        Refusal::NotFound(_) => 404,
        Refusal::Conflict(_) => 409,
        Refusal::Failed(_) => 500,
        Refusal::Unavailable(_) => 503,
    };
    log::info!("{} is answered {status}: {refusal}", request.path());
    responder.text(status, &refusal.to_string())
}
