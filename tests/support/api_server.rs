//! An API server, as far as a kubelet's credentials reach: pods and what they name to read, events
//! and a pod's status to write. It keeps what it is asked, and can be told to fail.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use interlink_cri::plugin::http::{Request, Responder};
use parking_lot::Mutex;
use serde_json::{json, Value};

use super::{listener::Listener, Fault};

/// The token that it asks for.
pub const TOKEN: &str = "kubelet-token-7c1f";

/// A request: method, path, body.
pub type Asked = (String, String, Value);

#[derive(Default)]
struct State {
    /// By path.
    objects: BTreeMap<String, Value>,
    asked: Vec<Asked>,
    fault: Option<Fault>,
    /// By path.
    spoilt: BTreeMap<String, Fault>,
}

/// The server.
pub struct ApiServer {
    listener: Listener,
    state: Arc<Mutex<State>>,
}

impl ApiServer {
    pub fn start() -> Self {
        let state = Arc::default();
        Self {
            listener: Listener::start(handler(&state)),
            state,
        }
    }

    /// Starts to listen, again at the same address.
    pub fn up(&mut self) {
        self.listener.up(handler(&self.state));
    }

    /// Stops listening. What it knows stays.
    pub fn down(&mut self) {
        self.listener.down();
    }

    /// Writes a kubeconfig for it.
    pub fn kubeconfig(&self, file: &Path) {
        let address = self.listener.url();
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "k",
            "contexts": [{"name": "k", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": address}}],
            "users": [{"name": "u", "user": {"token": TOKEN}}],
        });
        fs::write(file, config.to_string()).expect("written");
    }

    /// Every request meets this fault, until told otherwise.
    pub fn always(&self, fault: Option<Fault>) {
        self.state.lock().fault = fault;
    }

    /// Questions for an object meet this fault.
    pub fn spoil(&self, kind: &str, name: &str, fault: Fault) {
        self.state.lock().spoilt.insert(path(kind, name), fault);
    }

    /// Has an object: a persistent volume, or one of `pods`, `configmaps`, `secrets` and so on in
    /// the namespace `lab`.
    pub fn put(&self, kind: &str, object: Value) {
        let name = object["metadata"]["name"].as_str().expect("a name");
        let path = path(kind, name);
        self.state.lock().objects.insert(path, object);
    }

    /// Changes an object, as somebody else would.
    pub fn change(&self, kind: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let mut state = self.state.lock();
        let object = state.objects.get_mut(&path(kind, name));
        change(object.expect("it is there"));
    }

    /// An object as it is now.
    pub fn object(&self, kind: &str, name: &str) -> Value {
        let state = self.state.lock();
        state
            .objects
            .get(&path(kind, name))
            .cloned()
            .unwrap_or_default()
    }

    /// What was asked, of paths that begin like this.
    pub fn asked(&self, method: &str, path: &str) -> Vec<Asked> {
        let state = self.state.lock();
        let asked = state.asked.iter();
        let fits = |(m, p, _): &&Asked| m == method && p.starts_with(path);
        asked.filter(fits).cloned().collect()
    }
}

fn path(kind: &str, name: &str) -> String {
    match kind {
        "persistentvolumes" | "nodes" => format!("/api/v1/{kind}/{name}"),
        _ => format!("/api/v1/namespaces/lab/{kind}/{name}"),
    }
}

fn handler(state: &Arc<Mutex<State>>) -> impl Fn(Request, Responder) + Clone {
    let state = state.clone();
    move |request, responder| handle(&state, &request, responder)
}

fn handle(state: &Mutex<State>, request: &Request, responder: Responder) {
    let path = request
        .path()
        .split('?')
        .next()
        .unwrap_or_default()
        .to_owned();
    let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
    let method = request.method.as_str().to_owned();
    let fault = {
        let mut state = state.lock();
        state
            .asked
            .push((method.clone(), path.clone(), body.clone()));
        let own = state.spoilt.get(&path).filter(|_| method == "GET");
        own.or(state.fault.as_ref()).cloned()
    };
    let bearer = format!("Bearer {TOKEN}");
    // Whoever is gone needs no answer.
    let _ = match fault {
        Some(Fault::DropBefore | Fault::DropAfter) => return responder.drop_connection(),
        Some(Fault::Hang) => return responder.hang(),
        Some(Fault::Says(status, content_type, body)) => {
            responder.send(status, content_type, body.as_bytes())
        }
        Some(Fault::Status(status, text) | Fault::DoneBut(status, text)) => {
            responder.text(status, text)
        }
        Some(Fault::Answer(text)) => responder.text(200, text),
        Some(Fault::Floods(flood)) => flood.send(responder),
        None | Some(Fault::Pass) if request.header("authorization") != Some(&bearer) => {
            responder.text(401, "Unauthorized")
        }
        None | Some(Fault::Pass) => {
            let (status, answer) = answer(&mut state.lock(), &method, &path, body);
            responder.json(status, &answer)
        }
    };
}

fn answer(state: &mut State, method: &str, path: &str, body: Value) -> (u16, Value) {
    match method {
        "GET" if path == "/api/v1/pods" => {
            let pods = state.objects.iter();
            let pods = pods
                .filter(|(path, _)| path.contains("/pods/"))
                .map(|(_, pod)| pod);
            let items: Vec<_> = pods.cloned().collect();
            (
                200,
                json!({"kind": "PodList", "metadata": {}, "items": items}),
            )
        }
        "GET" => match state.objects.get(path) {
            Some(object) => (200, object.clone()),
            None => not_found(),
        },
        "POST" => {
            let name = body["metadata"]["name"].as_str().unwrap_or_default();
            state.objects.insert(format!("{path}/{name}"), body.clone());
            (201, body)
        }
        _ => {
            let path = path.strip_suffix("/status").unwrap_or(path);
            match state.objects.get_mut(path) {
                Some(object) => {
                    match body {
                        Value::Array(operations) => add(object, &operations),
                        body => merge(object, body),
                    }
                    (200, object.clone())
                }
                None => not_found(),
            }
        }
    }
}

fn not_found() -> (u16, Value) {
    let status = json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404});
    (404, status)
}

/// A JSON patch that adds.
fn add(object: &mut Value, operations: &[Value]) {
    for operation in operations {
        assert_eq!(operation["op"], "add", "{operation}");
        let path = operation["path"].as_str().expect("a path");
        let (parent, key) = path.rsplit_once('/').expect("a pointer");
        let key = key.replace("~1", "/").replace("~0", "~");
        let parent = object.pointer_mut(parent).expect("the parent is there");
        parent[key] = operation["value"].clone();
    }
}

/// A strategic merge, of which only conditions are lists.
fn merge(object: &mut Value, patch: Value) {
    let Value::Object(fields) = patch else {
        *object = patch;
        return;
    };
    for (key, value) in fields {
        match value {
            Value::Array(items) if key == "conditions" => {
                let mut known = object[&key].as_array().cloned().unwrap_or_default();
                for item in items {
                    known.retain(|one| one["type"] != item["type"]);
                    known.push(item);
                }
                object[&key] = known.into();
            }
            value => merge(&mut object[&key], value),
        }
    }
}
