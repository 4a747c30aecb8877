//! The calls to the API server, one by one.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::{
    ConfigMap, Event, Node, PersistentVolume, PersistentVolumeClaim, Pod, PodCondition, PodSpec,
    Secret,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::{de::DeserializeOwned, Deserialize, Serialize};
use serde_json::json;
use ureq::{
    http::{header, HeaderValue, Method, Request, Response},
    Agent, Body,
};

use super::{
    access::{Access, Session},
    checked_name::{namespace, subdomain},
    error::Error,
    time,
};
use crate::{
    bounded::{self, Budget, Held, InFlight, Weighed},
    daemon_log,
    model::Nanos,
    text::one_line,
};

/// A merge that knows lists by a key of their items: other conditions of a pod stay
/// (k8s.io/apimachinery/pkg/types/patch.go).
const STRATEGIC_MERGE: &str = "application/strategic-merge-patch+json";
/// Single changes, each by its place (RFC 6902).
const JSON_PATCH: &str = "application/json-patch+json";
const JSON: &str = "application/json";
/// Pods that are asked for at once: 40 KiB each would still be an answer that is read.
const PAGE: usize = 100;
/// Parts of a list that are asked for: ten times what a node of Kubernetes may have.
const PAGES: usize = 50;
/// What the pods of a node may take, without what [`LISTED_WITHOUT`] leaves out.
const MAX_LISTED_BYTES: usize = 32 << 20;
/// Who has set which field is often more than all the rest, and nobody here wants to know.
const WITHOUT: &[&str] = &["managedFields"];
/// What a list of pods is read without: what they ask for is wanted, and whether they have ended.
const LISTED_WITHOUT: &[&str] = &[
    "managedFields",
    "annotations",
    "labels",
    "env",
    "envFrom",
    "args",
    "command",
    "volumes",
    "volumeMounts",
    "tolerations",
    "affinity",
    "conditions",
    "containerStatuses",
    "initContainerStatuses",
];
/// As much of a refusal is read as can matter.
const MAX_REFUSAL_BYTES: u64 = 64 << 10;

/// Limits of each call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the look-up of the name to the last byte of the answer.
    pub time: Duration,
    /// Largest answer in bytes.
    pub reply_bytes: u64,
}

impl Default for Limits {
    /// 15 s and 4 MiB. An object in etcd has at most 1.5 MiB (its --max-request-bytes).
    fn default() -> Self {
        Self {
            time: Duration::from_secs(15),
            reply_bytes: 4 << 20,
        }
    }
}

/// Talks to one API server. Blocking, and shared by all threads: no lock is held while a call
/// waits.
///
/// * The kubeconfig and the files that it names are looked at before each call, and read again
///   when one has changed.
/// * A connection is kept for a few seconds. When it breaks before an answer begins, as a kept
///   one may at any time, the call is made once more over a new one, within the same limit; that
///   does no harm, because each call has the same effect twice as once.
/// * Redirects are not followed, and a proxy from the environment is not used.
#[derive(Debug)]
pub struct Client {
    access: Access,
    limits: Limits,
    /// For the answers that are being read.
    room: Arc<InFlight>,
}

/// A part of a list of pods.
#[derive(Default, Deserialize)]
#[serde(default)]
struct PodPage {
    metadata: PageEnd,
    items: Vec<Pod>,
}

/// Where a part of a list ends.
#[derive(Default, Deserialize)]
#[serde(default)]
struct PageEnd {
    /// What to ask the next part with; empty at the end.
    #[serde(rename = "continue")]
    rest: Option<String>,
}

/// A request, and what to call it in errors.
struct Outgoing {
    call: String,
    method: Method,
    path: String,
    /// With its content type.
    body: Option<(&'static str, Vec<u8>)>,
}

impl Client {
    /// Reads nothing yet: a daemon may start before its kubelet has credentials.
    pub fn new(kubeconfig: &Path, limits: Limits) -> Self {
        Self {
            access: Access::new(kubeconfig),
            limits,
            room: InFlight::new(usize::MAX),
        }
    }

    /// Takes room for the answers that are being read here.
    #[must_use]
    pub fn with_room(self, room: Arc<InFlight>) -> Self {
        Self { room, ..self }
    }

    /// Whether the kubeconfig and its files can be used now. Connects to nothing.
    ///
    /// # Errors
    /// What is wrong with them, as every call would say.
    pub fn check(&self) -> Result<(), Error> {
        self.access.session().map(drop)
    }

    /// Reads a pod, and says what it takes; `None` when there is none of this name.
    ///
    /// Like all objects it comes without `metadata.managedFields`, which can be larger than all the rest.
    ///
    /// # Errors
    /// No answer, a refusal, or not a pod.
    pub fn pod(&self, in_namespace: &str, name: &str) -> Result<Option<Weighed<Pod>>, Error> {
        let place = namespace(in_namespace)?;
        let name = subdomain("pod", name)?;
        let path = format!("/api/v1/namespaces/{place}/pods/{name}");
        self.weighed("pod", &format!("{place}/{name}"), path, WITHOUT)
    }

    /// Reads a ConfigMap; `None` when there is none of this name. A node may read those that its
    /// own pods name.
    ///
    /// # Errors
    /// No answer, a refusal, or not a ConfigMap.
    pub fn config_map(&self, in_namespace: &str, name: &str) -> Result<Option<ConfigMap>, Error> {
        let place = namespace(in_namespace)?;
        let name = subdomain("ConfigMap", name)?;
        let path = format!("/api/v1/namespaces/{place}/configmaps/{name}");
        self.read("ConfigMap", &format!("{place}/{name}"), path)
    }

    /// Reads a Secret; `None` when there is none of this name. A node may read those that its own
    /// pods name.
    ///
    /// # Errors
    /// No answer, a refusal, or not a Secret.
    pub fn secret(&self, in_namespace: &str, name: &str) -> Result<Option<Secret>, Error> {
        let place = namespace(in_namespace)?;
        let name = subdomain("Secret", name)?;
        let path = format!("/api/v1/namespaces/{place}/secrets/{name}");
        self.read("Secret", &format!("{place}/{name}"), path)
    }

    /// Reads a claim; `None` when there is none of this name. A node may read those that its own
    /// pods name.
    ///
    /// # Errors
    /// No answer, a refusal, or not a claim.
    pub fn claim(
        &self,
        in_namespace: &str,
        name: &str,
    ) -> Result<Option<PersistentVolumeClaim>, Error> {
        let place = namespace(in_namespace)?;
        let name = subdomain("claim", name)?;
        let path = format!("/api/v1/namespaces/{place}/persistentvolumeclaims/{name}");
        self.read("claim", &format!("{place}/{name}"), path)
    }

    /// Reads a persistent volume; `None` when there is none of this name. A node may read those
    /// that claims of its own pods are bound to.
    ///
    /// # Errors
    /// No answer, a refusal, or not a persistent volume.
    pub fn persistent_volume(&self, name: &str) -> Result<Option<PersistentVolume>, Error> {
        let name = subdomain("persistent volume", name)?;
        let path = format!("/api/v1/persistentvolumes/{name}");
        self.read("persistent volume", name, path)
    }

    /// Reads a node; `None` when there is none of this name. A node may read itself.
    ///
    /// # Errors
    /// No answer, a refusal, or not a node.
    pub fn node(&self, name: &str) -> Result<Option<Node>, Error> {
        let name = subdomain("node", name)?;
        self.read("node", name, format!("/api/v1/nodes/{name}"))
    }

    /// The specs of the pods that a node has and that have not ended, page by page.
    ///
    /// # Errors
    /// No answer, a refusal, or not a list of pods.
    pub fn live_pods_of(&self, node: &str) -> Result<Vec<PodSpec>, Error> {
        let node = subdomain("node", node)?;
        let too_much = |why: String| Error::Malformed {
            call: format!("reading pods of node {node}"),
            why,
        };
        let mut specs = Vec::new();
        let mut rest = String::new();
        let mut bytes = 0_usize;
        for _ in 0..PAGES {
            let path =
                format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{node}&limit={PAGE}{rest}");
            let page: Option<Weighed<PodPage>> =
                self.weighed("pods of node", node, path, LISTED_WITHOUT)?;
            let page = page.unwrap_or_default();
            bytes = bytes.saturating_add(page.bytes);
            if bytes > MAX_LISTED_BYTES {
                let why = format!("they would take more than {MAX_LISTED_BYTES} bytes of memory");
                return Err(too_much(why));
            }
            let page = page.object;
            let live = page.items.into_iter().filter(|pod| {
                let phase = pod
                    .status
                    .as_ref()
                    .and_then(|status| status.phase.as_deref());
                !matches!(phase, Some("Succeeded" | "Failed"))
            });
            specs.extend(live.filter_map(|pod| pod.spec));
            match page.metadata.rest {
                Some(token) if !token.is_empty() => {
                    rest = format!("&continue={}", in_query(&token));
                }
                _ => return Ok(specs),
            }
        }
        let most = PAGES * PAGE;
        Err(too_much(format!("the list does not end after {most} pods")))
    }

    /// Sets amounts in a node's `status.capacity`; the others stay. The kubelet's own updates leave them
    /// alone, and copy them to `status.allocatable` (`MachineInfo` in pkg/kubelet/nodestatus).
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn set_node_capacity(
        &self,
        name: &str,
        amounts: &BTreeMap<String, Quantity>,
    ) -> Result<(), Error> {
        let name = subdomain("node", name)?;
        let operations: Vec<_> = amounts
            .iter()
            .map(|(resource, amount)| {
                // RFC 6901.
                let key = resource.replace('~', "~0").replace('/', "~1");
                json!({"op": "add", "path": format!("/status/capacity/{key}"), "value": amount})
            })
            .collect();
        let call = format!("setting the capacity of node {name}");
        self.call(&Outgoing {
            method: Method::PATCH,
            path: format!("/api/v1/nodes/{name}/status"),
            body: Some((JSON_PATCH, write(&call, &operations)?)),
            call,
        })
        .map(drop)
    }

    /// Sets labels and annotations of a node; the others stay.
    ///
    /// # Errors
    /// No answer, or a refusal: NodeRestriction lets a node set few labels of Kubernetes' own.
    pub fn set_node_metadata(
        &self,
        name: &str,
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let name = subdomain("node", name)?;
        self.patch(
            format!("setting labels and annotations of node {name}"),
            format!("/api/v1/nodes/{name}"),
            &json!({"metadata": {"labels": labels, "annotations": annotations}}),
        )
    }

    fn read<T: DeserializeOwned>(
        &self,
        kind: &str,
        name: &str,
        path: String,
    ) -> Result<Option<T>, Error> {
        let found = self.weighed(kind, name, path, WITHOUT)?;
        Ok(found.map(|found| found.object))
    }

    /// Reads an object without fields of some names, and says what it takes.
    fn weighed<T: DeserializeOwned>(
        &self,
        kind: &str,
        name: &str,
        path: String,
        without: &'static [&'static str],
    ) -> Result<Option<Weighed<T>>, Error> {
        let out = Outgoing {
            call: format!("reading {kind} {name}"),
            method: Method::GET,
            path,
            body: None,
        };
        let body = match self.call(&out) {
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        // Until it is read it may take so much.
        let _held = self.hold(&out.call, 4 * body.len())?;
        let budget = Budget::for_text(body.len()).without(without);
        let why = match bounded::from_json_within(&body, &budget) {
            Ok(object) => return Ok(Some(object)),
            // The error's own text may quote the answer.
            Err(bounded::Error::Json(error)) => format!(
                "the answer is not a {kind}, from line {} column {} on",
                error.line(),
                error.column()
            ),
            Err(error @ bounded::Error::TooMuch { .. }) => format!("the answer: {error}"),
        };
        let call = out.call;
        Err(Error::Malformed { call, why })
    }

    fn hold(&self, call: &str, bytes: usize) -> Result<Held, Error> {
        self.room.hold(bytes).map_err(|why| Error::NoRoom {
            call: call.to_owned(),
            why,
        })
    }

    /// Creates an event in the namespace that it names.
    ///
    /// # Errors
    /// No answer, or a refusal; [`Error::is_conflict`] when there is one of this name.
    pub fn create_event(&self, event: &Event) -> Result<(), Error> {
        let place = event.metadata.namespace.as_deref().unwrap_or_default();
        let place = namespace(place)?;
        let name = event.metadata.name.as_deref().unwrap_or_default();
        let call = format!("creating event {place}/{}", subdomain("event", name)?);
        self.call(&Outgoing {
            method: Method::POST,
            path: format!("/api/v1/namespaces/{place}/events"),
            body: Some((JSON, write(&call, event)?)),
            call,
        })
        .map(drop)
    }

    /// Counts an event once more.
    ///
    /// # Errors
    /// No answer, or a refusal; [`Error::is_not_found`] when the event is gone, as it is after an
    /// hour by default (the API server's --event-ttl).
    pub fn patch_event(
        &self,
        in_namespace: &str,
        name: &str,
        count: i32,
        last_timestamp: Nanos,
        message: &str,
    ) -> Result<(), Error> {
        let place = namespace(in_namespace)?;
        let name = subdomain("event", name)?;
        let patch = json!({
            "count": count,
            "lastTimestamp": time(last_timestamp),
            "message": message,
        });
        self.patch(
            format!("changing event {place}/{name}"),
            format!("/api/v1/namespaces/{place}/events/{name}"),
            &patch,
        )
    }

    /// Sets one condition in a pod's status; the others stay. `uid` is `metadata.uid`: of a
    /// static pod, that of its mirror pod.
    ///
    /// # Errors
    /// No answer, or a refusal; [`Error::is_conflict`] when the pod of this name has another UID.
    pub fn patch_pod_condition(
        &self,
        in_namespace: &str,
        name: &str,
        uid: &str,
        condition: &PodCondition,
    ) -> Result<(), Error> {
        let place = namespace(in_namespace)?;
        let name = subdomain("pod", name)?;
        let patch = json!({
            "metadata": {"uid": uid},
            "status": {"conditions": [condition]},
        });
        self.patch(
            format!("setting a condition of pod {place}/{name}"),
            format!("/api/v1/namespaces/{place}/pods/{name}/status"),
            &patch,
        )
    }

    fn patch(&self, call: String, path: String, patch: &impl Serialize) -> Result<(), Error> {
        self.call(&Outgoing {
            method: Method::PATCH,
            path,
            body: Some((STRATEGIC_MERGE, write(&call, patch)?)),
            call,
        })
        .map(drop)
    }

    /// The body of a good answer.
    fn call(&self, out: &Outgoing) -> Result<Vec<u8>, Error> {
        let session = self.access.session()?;
        let bearer = self.access.bearer(&session)?;
        let send = |agent, time| send(&session, agent, out, bearer.as_ref(), time);
        let began = Instant::now();
        let first = send(&session.kept, self.limits.time);
        let left = self.limits.time.saturating_sub(began.elapsed());
        let result = match first {
            Err(error) if is_broken(&error) && !left.is_zero() => send(&session.fresh, left),
            first => first,
        };
        let result = result
            .map_err(|error| self.blame(&session, out, error))
            .and_then(|response| self.receive(&session, out, response));
        let elapsed_ms = daemon_log::millis(began.elapsed());
        match &result {
            Ok(body) => log::debug!(
                call:% = out.call, elapsed_ms;
                "the API server has answered with {} bytes",
                body.len()
            ),
            Err(error) => log::debug!(
                call:% = out.call, elapsed_ms, error:%;
                "the API server has not answered well"
            ),
        }
        result
    }

    fn receive(
        &self,
        session: &Session,
        out: &Outgoing,
        response: Response<Body>,
    ) -> Result<Vec<u8>, Error> {
        let status = response.status().as_u16();
        let body = response.into_body();
        if !matches!(status, 200..300) {
            let mut text = Vec::new();
            let mut reader = body.into_reader().take(MAX_REFUSAL_BYTES);
            if let Err(error) = reader.read_to_end(&mut text) {
                log::debug!(
                    call:% = out.call, error:%;
                    "the text of an answer with status {status} broke off"
                );
            }
            return Err(Error::refusal(&out.call, status, &text));
        }
        let mut bytes = body
            .into_with_config()
            .limit(self.limits.reply_bytes)
            .read_to_vec()
            .map_err(|error| self.blame(session, out, error))?;
        // It has grown to twice what came.
        bytes.shrink_to_fit();
        Ok(bytes)
    }

    /// Why there is no answer, or not all of it.
    fn blame(&self, session: &Session, out: &Outgoing, error: ureq::Error) -> Error {
        let (call, to) = (out.call.clone(), session.server.url.clone());
        match error {
            ureq::Error::Timeout(_) => Error::TimedOut {
                call,
                to,
                limit: self.limits.time,
            },
            ureq::Error::BodyExceedsLimit(_) => Error::TooLarge {
                call,
                limit: self.limits.reply_bytes,
            },
            ureq::Error::Protocol(error) => Error::Malformed {
                call,
                why: format!("not an HTTP answer: {}", one_line(&error.to_string())),
            },
            other => Error::Network {
                call,
                to,
                source: Arc::new(other.into_io()),
            },
        }
    }
}

fn send(
    session: &Session,
    agent: &Agent,
    out: &Outgoing,
    bearer: Option<&HeaderValue>,
    time: Duration,
) -> Result<Response<Body>, ureq::Error> {
    let mut request = Request::builder()
        .method(out.method.clone())
        .uri(format!("{}{}", session.server.base, out.path))
        .header(header::ACCEPT, JSON);
    if let Some(host) = &session.server.host {
        request = request.header(header::HOST, host);
    }
    if let Some(bearer) = bearer {
        request = request.header(header::AUTHORIZATION, bearer);
    }
    match &out.body {
        None => agent.run(limited(agent, request.body(())?, time)),
        Some((content, body)) => {
            let request = request.header(header::CONTENT_TYPE, *content);
            agent.run(limited(agent, request.body(body.as_slice())?, time))
        }
    }
}

fn limited<B: ureq::AsSendBody>(agent: &Agent, request: Request<B>, time: Duration) -> Request<B> {
    let request = agent.configure_request(request);
    request.timeout_global(Some(time)).build()
}

/// As a kept connection does whose other end has hung up meanwhile.
fn is_broken(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Io(error) => matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof
                | io::ErrorKind::NotConnected
        ),
        _ => false,
    }
}

/// A value as it may stand in a URL's query.
fn in_query(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    text.bytes()
        .map(|byte| match plain(&byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

fn write(call: &str, body: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(body).map_err(|error| Error::Malformed {
        call: call.to_owned(),
        why: format!("the request cannot be written: {error}"),
    })
}
