//! Stands between the daemon and the plugin, passes on what they say, and commits faults.

use std::{
    collections::HashSet,
    io::{self, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};

use interlink_cri::plugin::http::{Limits, Request, Responder, Server};
use parking_lot::Mutex;
use serde_json::{json, Value};

use crate::{
    client::{self, Answer, Framing},
    faults::{Fault, Weather},
};

const HTML: &str = "text/html; charset=utf-8";
const LOGIN_PAGE: &[u8] = b"<!DOCTYPE html><html><head><title>Sign In</title></head></html>";

pub struct Relay {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    plugin: PathBuf,
    weather: Weather,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Jobs that the plugin took.
    taken: HashSet<String>,
    /// Jobs that were submitted again after that.
    twice: Vec<String>,
    /// Jobs that the last answer about them hid.
    hidden: HashSet<String>,
    /// Containers whose log was told wrong.
    doubtful: HashSet<String>,
}

impl Relay {
    pub fn start(plugin: PathBuf, weather: Weather) -> Self {
        let shared = Arc::new(Shared {
            plugin,
            weather,
            seen: Mutex::default(),
        });
        let limits = Limits {
            connections: 512,
            ..Limits::default()
        };
        let address = "http://127.0.0.1:0".parse().expect("an address");
        let server = Server::start(&address, limits, {
            let shared = shared.clone();
            move |request: Request, responder: Responder| {
                // Whoever is gone needs no answer.
                let _ = shared.handle(&request, responder);
            }
        });
        let server = server.expect("the relay listens");
        Self { server, shared }
    }

    pub fn url(&self) -> String {
        self.server.address().to_string()
    }

    pub fn weather(&self) -> &Weather {
        &self.shared.weather
    }

    /// Jobs that were submitted again after the plugin had taken them.
    pub fn twice(&self) -> Vec<String> {
        self.shared.seen.lock().twice.clone()
    }

    /// Whether a container's log was told with repetitions.
    pub fn is_log_doubtful(&self, container: &str) -> bool {
        self.shared.seen.lock().doubtful.contains(container)
    }
}

impl Shared {
    fn handle(&self, request: &Request, responder: Responder) -> io::Result<()> {
        let path = request.path().to_owned();
        let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        let mut fault = self.weather.strike(&path);
        if path == "/status" {
            fault = self.ration(fault, &body);
        }
        let Some(fault) = fault else {
            return self.pass(&path, &body, None, responder);
        };
        self.weather.committed(fault);
        match fault {
            Fault::Answers500 => responder.text(500, "the plugin has a bad day"),
            Fault::Answers502 => responder.text(502, "bad gateway"),
            Fault::Answers503 => responder.text(503, "try again later"),
            Fault::Answers429 => responder.text(429, "too many requests"),
            Fault::WantsLogin => responder.send(403, HTML, LOGIN_PAGE),
            Fault::ShowsLoginPage => responder.send(200, HTML, LOGIN_PAGE),
            Fault::HasNoRoute => responder.text(404, "404 page not found\n"),
            Fault::WantsTls => {
                responder.text(400, "Client sent an HTTP request to an HTTPS server.\n")
            }
            Fault::DropsBefore => {
                responder.drop_connection();
                Ok(())
            }
            Fault::HangsBefore => {
                responder.hang();
                Ok(())
            }
            Fault::ActsLate => {
                while responder.pause(Duration::from_millis(100)) {}
                thread::sleep(Duration::from_millis(700));
                self.forward(&path, &body).map(drop)
            }
            Fault::BreaksOff | Fault::Stalls | Fault::Repeats => {
                self.pass(&path, &body, Some(fault), responder)
            }
            _ => {
                let answer = self.forward(&path, &body)?;
                answer_wrongly(fault, answer, responder)
            }
        }
    }

    /// Answers that hide a job never come twice running for the same job.
    fn ration(&self, fault: Option<Fault>, asked: &Value) -> Option<Fault> {
        let hides = fault.is_some_and(Fault::hides_jobs);
        let uids = asked.as_array().into_iter().flatten();
        let uids = uids.map(|pod| text(&pod["metadata"]["uid"]));
        let uids: Vec<_> = uids.collect();
        let mut seen = self.seen.lock();
        if hides {
            if uids.iter().any(|uid| seen.hidden.contains(uid)) {
                return None;
            }
            seen.hidden.extend(uids);
        }
        fault
    }

    fn forward(&self, path: &str, body: &Value) -> io::Result<Answer> {
        let answer = client::ask(&self.plugin, path, body)?;
        if path == "/create" && answer.status == 200 {
            let uid = text(&body["pod"]["metadata"]["uid"]);
            let mut seen = self.seen.lock();
            if !seen.taken.insert(uid.clone()) {
                seen.twice.push(uid);
            }
        }
        Ok(answer)
    }

    fn pass(
        &self,
        path: &str,
        body: &Value,
        fault: Option<Fault>,
        responder: Responder,
    ) -> io::Result<()> {
        if path == "/getLogs" {
            return self.pass_log(body, fault, responder);
        }
        let answer = self.forward(path, body)?;
        responder.send(answer.status, "application/json", &answer.body)?;
        if path == "/status" && answer.status == 200 {
            let mut seen = self.seen.lock();
            for pod in body.as_array().into_iter().flatten() {
                seen.hidden.remove(&text(&pod["metadata"]["uid"]));
            }
        }
        Ok(())
    }

    fn pass_log(&self, body: &Value, fault: Option<Fault>, responder: Responder) -> io::Result<()> {
        let mut from = client::open(&self.plugin, "/getLogs", &body.to_string())?;
        let (status, framing) = client::read_head(&mut from)?;
        let mut to = responder.stream(status, "text/plain")?;
        let mut first = true;
        while let Some(part) = read_part(&mut from, &framing)? {
            match fault.filter(|_| first && !part.is_empty()) {
                Some(Fault::BreaksOff) => {
                    to.write_all(&part[..part.len() / 2])?;
                    to.drop_connection();
                    return Ok(());
                }
                Some(Fault::Stalls) => {
                    to.write_all(&part[..part.len() / 2])?;
                    if !to.pause(Duration::from_secs(4)) {
                        return Ok(());
                    }
                    to.write_all(&part[part.len() / 2..])?;
                }
                Some(Fault::Repeats) => {
                    let name = text(&body["ContainerName"]);
                    self.seen.lock().doubtful.insert(name);
                    to.write_all(&part)?;
                    to.write_all(&part)?;
                }
                _ => to.write_all(&part)?,
            }
            first = false;
            if part.is_empty() {
                return to.finish();
            }
        }
        Ok(())
    }
}

/// The next part of a log; an empty one is its end, and none is a connection that was cut.
fn read_part(from: &mut BufReader<UnixStream>, framing: &Framing) -> io::Result<Option<Vec<u8>>> {
    use io::Read as _;
    match framing {
        Framing::Chunked => client::read_chunk(from),
        Framing::Length(length) => {
            let mut part = Vec::new();
            from.take(*length).read_to_end(&mut part)?;
            Ok(Some(part))
        }
    }
}

fn answer_wrongly(fault: Fault, answer: Answer, responder: Responder) -> io::Result<()> {
    let body = match fault {
        Fault::DropsAfter => {
            responder.drop_connection();
            return Ok(());
        }
        Fault::HangsAfter => {
            responder.hang();
            return Ok(());
        }
        Fault::Truncates => {
            let half = answer.body.len() / 2;
            let responder = responder.cut_body_after(half);
            return responder.send(answer.status, "application/json", &answer.body);
        }
        Fault::NeverEnds => {
            let mut body = responder.stream(200, "application/json")?;
            let spaces = vec![b' '; 64 << 10];
            loop {
                body.write_all(&spaces)?;
            }
        }
        Fault::NotHttp => return responder.raw(b"\x16\x03\x01 this is no HTTP\r\n\r\n"),
        Fault::WrongTypes => json!([{ "UID": 5, "PodJID": {}, "containers": "none" }]),
        Fault::SaysNull => Value::Null,
        _ => lie(fault, answer.json()),
    };
    responder.json(answer.status, &body)
}

/// A status that is not true.
fn lie(fault: Fault, mut statuses: Value) -> Value {
    let Some(pods) = statuses.as_array_mut() else {
        return statuses;
    };
    match fault {
        Fault::NamesStrangers => pods.push(json!({
            "name": "nobody", "namespace": "nowhere", "JID": "0",
            "UID": "11111111-2222-4333-8444-555555555555",
            "containers": [{ "name": "c", "state": { "terminated": { "exitCode": 3 } },
                "image": "", "imageID": "", "ready": false, "restartCount": 0 }],
        })),
        Fault::SaysTwice => pods.extend_from_within(..),
        Fault::Forgets => pods.clear(),
        Fault::NullLists => {
            for pod in pods {
                pod["containers"] = Value::Null;
                pod["initContainers"] = Value::Null;
            }
        }
        Fault::LeavesOutContainer => {
            for pod in pods {
                if let Some(containers) = pod["containers"].as_array_mut() {
                    if containers.len() > 1 {
                        containers.pop();
                    }
                }
            }
        }
        _ => {
            for state in pods.iter_mut().flat_map(states) {
                match fault {
                    Fault::UnknownStates => *state = json!({ "exploded": {} }),
                    Fault::CodeOutOfRange if state["terminated"].is_object() => {
                        state["terminated"]["exitCode"] = json!(4_294_967_296_u64);
                    }
                    Fault::ClockYearsOff => turn_clock(state),
                    _ => {}
                }
            }
        }
    }
    statuses
}

fn states(pod: &mut Value) -> impl Iterator<Item = &mut Value> {
    let containers = pod["containers"].as_array_mut().into_iter().flatten();
    containers.map(|container| &mut container["state"])
}

fn turn_clock(state: &mut Value) {
    let (past, future) = (json!("1970-01-01T00:00:00Z"), json!("2099-12-31T23:59:59Z"));
    for kind in ["running", "terminated"] {
        if state[kind].is_object() {
            state[kind]["startedAt"] = future.clone();
            if kind == "terminated" {
                state[kind]["finishedAt"] = past.clone();
            }
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
