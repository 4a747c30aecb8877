//! Stands between the daemon and the plugin, passes on what they say with the habits of another plugin,
//! and commits faults. It is what a proxy and an interLink server are elsewhere, and can be restarted.

use std::{
    collections::HashSet,
    io::{self, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use interlink_cri::plugin::http::{Limits, ListenAddress, Request, Responder, Server};
use parking_lot::Mutex;
use serde_json::{json, Value};

use crate::{
    client::{self, Answer, Framing},
    faults::{Fault, Weather},
    habits::{Habits, Logs, Memory},
};

const HTML: &str = "text/html; charset=utf-8";
const LOGIN_PAGE: &[u8] = b"<!DOCTYPE html><html><head><title>Sign In</title></head></html>";

/// How long the port may be taken after a restart.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Relay {
    address: ListenAddress,
    server: Mutex<Option<Server>>,
    shared: Arc<Shared>,
}

struct Shared {
    plugin: PathBuf,
    habits: Habits,
    memory: Mutex<Memory>,
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
    pub fn start(plugin: PathBuf, habits: Habits, weather: Weather) -> Self {
        let shared = Arc::new(Shared {
            plugin,
            habits,
            memory: Mutex::default(),
            weather,
            seen: Mutex::default(),
        });
        let address = "http://127.0.0.1:0".parse().expect("an address");
        let server = listen(&address, &shared).expect("the relay listens");
        Self {
            address: server.address().clone(),
            server: Mutex::new(Some(server)),
            shared,
        }
    }

    /// Goes away, with all connections, and comes back at the same address.
    pub fn restart(&self, pause: Duration) {
        let mut server = self.server.lock();
        // It waits for its threads, of which some wait for the plugin.
        let old = server.take();
        thread::spawn(move || drop(old));
        thread::sleep(pause);
        let deadline = Instant::now() + PATIENCE;
        while server.is_none() {
            match listen(&self.address, &self.shared) {
                Ok(new) => *server = Some(new),
                Err(error) => {
                    assert!(
                        Instant::now() < deadline,
                        "the relay listens again: {error}"
                    );
                    thread::sleep(Duration::from_millis(10));
                }
            }
        }
    }

    pub fn url(&self) -> String {
        self.address.to_string()
    }

    pub fn habits(&self) -> &Habits {
        &self.shared.habits
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

fn listen(
    address: &ListenAddress,
    shared: &Arc<Shared>,
) -> Result<Server, interlink_cri::plugin::http::Error> {
    let limits = Limits {
        connections: 512,
        ..Limits::default()
    };
    let shared = Arc::clone(shared);
    Server::start(address, limits, move |request, responder| {
        // Whoever is gone needs no answer.
        let _ = shared.handle(&request, responder);
    })
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

    /// Asks the local plugin, and says what the plugin would say whose habits these are.
    fn forward(&self, path: &str, body: &Value) -> io::Result<Answer> {
        match path {
            "/create" => self.create(body),
            "/status" => self.status(body),
            "/pinglink" => self.ping(path, body),
            _ => {
                let answer = client::ask(&self.plugin, path, body)?;
                if path == "/delete" && answer.status == 200 {
                    self.memory.lock().forget(&text(&body["metadata"]["uid"]));
                }
                Ok(answer)
            }
        }
    }

    fn create(&self, body: &Value) -> io::Result<Answer> {
        let Some(request) = self.habits.taken(body) else {
            return Ok(said(422, "this is not the form of a request"));
        };
        let answer = client::ask(&self.plugin, "/create", &request)?;
        if answer.status != 200 {
            return Ok(answer);
        }
        let uid = text(&request["pod"]["metadata"]["uid"]);
        self.memory.lock().accept(&uid);
        let mut seen = self.seen.lock();
        if !seen.taken.insert(uid.clone()) {
            seen.twice.push(uid);
        }
        Ok(self.habits.created(answer))
    }

    fn status(&self, question: &Value) -> io::Result<Answer> {
        if self.habits.is_direct && question.as_array().is_some_and(Vec::is_empty) {
            return self.ping("/status", question);
        }
        if let Some(again) = self.memory.lock().repeated(&self.habits) {
            return Ok(said(200, &again.to_string()));
        }
        let asked = Memory::asked(&self.habits, question);
        let answer = client::ask(&self.plugin, "/status", &asked)?;
        match serde_json::from_slice(&answer.body) {
            Ok(Value::Array(jobs)) if answer.status == 200 => {
                let mut memory = self.memory.lock();
                let (status, answer) = memory.answer(&self.habits, question, jobs);
                Ok(match answer {
                    Value::String(words) => said(status, &words),
                    answer => said(status, &answer.to_string()),
                })
            }
            _ => Ok(answer),
        }
    }

    fn ping(&self, path: &str, body: &Value) -> io::Result<Answer> {
        let answer = client::ask(&self.plugin, path, body)?;
        Ok(match self.habits.ping() {
            Some(words) if answer.status == 200 => said(200, words),
            _ => answer,
        })
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
        responder.send(answer.status, kind_of(&answer), &answer.body)?;
        if path == "/status" && answer.status == 200 {
            let mut seen = self.seen.lock();
            for pod in body.as_array().into_iter().flatten() {
                seen.hidden.remove(&text(&pod["metadata"]["uid"]));
            }
        }
        Ok(())
    }

    fn pass_log(&self, body: &Value, fault: Option<Fault>, responder: Responder) -> io::Result<()> {
        let mut request = body.clone();
        match self.habits.logs {
            Logs::Followed => {}
            Logs::Whole => request["Opts"]["Follow"] = json!(false),
            Logs::Missing(words) => return responder.text(200, words),
        }
        let mut from = client::open(&self.plugin, "/getLogs", &request.to_string())?;
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
            return responder.send(answer.status, kind_of(&answer), &answer.body);
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
        Fault::Floods => {
            let many = format!("[{}{{}}]", "{},".repeat(300_000));
            return responder.send(answer.status, "application/json", many.as_bytes());
        }
        Fault::SaysNull => Value::Null,
        _ if answer.status != 200 => {
            return responder.send(answer.status, kind_of(&answer), &answer.body)
        }
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
                    Fault::CodeIsNoNumber if state["terminated"].is_object() => {
                        state["terminated"]["exitCode"] = json!("killed");
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

fn said(status: u16, body: &str) -> Answer {
    Answer {
        status,
        body: body.as_bytes().to_vec(),
        is_whole: true,
    }
}

/// The type of an answer's body.
fn kind_of(answer: &Answer) -> &'static str {
    match answer.body.first() {
        Some(b'{' | b'[') => "application/json",
        _ => "text/plain; charset=utf-8",
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
