//! An interLink server for the measurements: its plugin takes every job, and says that it runs.

use std::{
    io::Write as _,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        Arc,
    },
    thread,
    time::Duration,
};

use interlink_cri::plugin::http::{Limits, ListenAddress, Request, Responder, Server};
use serde_json::{json, Value};

/// A running server; it ends with this.
pub struct InterLink {
    server: Server,
    behaviour: Arc<Behaviour>,
}

/// What it does instead of answering as it should.
#[derive(Default)]
pub struct Behaviour {
    /// No answer is ever given.
    pub hangs: AtomicBool,
    /// Cancelled jobs go on.
    pub ignores_cancellations: AtomicBool,
    /// Jobs with this number and every multiple of it have ended; 0 for none.
    pub has_ended: AtomicU64,
    /// How many milliseconds an answer about states takes.
    pub status_takes: AtomicU64,
    /// How many lines each log has.
    pub lines: AtomicU64,
    /// About how many jobs was asked, in all questions together.
    pub asked: AtomicU64,
    /// How many logs are being followed.
    pub followed: AtomicU64,
    accepted: AtomicU64,
    cancelled: AtomicU64,
}

impl InterLink {
    pub fn start() -> Self {
        let behaviour = Arc::new(Behaviour::default());
        let shared = behaviour.clone();
        let address: ListenAddress = "http://127.0.0.1:0".parse().expect("an address");
        // Each followed log has one.
        let limits = Limits {
            connections: 2048,
            ..Limits::default()
        };
        let server = Server::start(&address, limits, move |request, responder| {
            // Whoever is gone needs no answer.
            let _ = answer(&shared, &request, responder);
        });
        Self {
            server: server.expect("a server"),
            behaviour,
        }
    }

    pub fn url(&self) -> String {
        self.server.address().to_string()
    }

    pub fn behaviour(&self) -> &Behaviour {
        &self.behaviour
    }

    /// Waits until so many jobs are submitted.
    pub fn wait_for_jobs(&self, count: u64) {
        wait(|| self.behaviour.accepted.load(Ordering::Relaxed) >= count);
    }

    /// Waits until so many cancellations were asked for.
    pub fn wait_for_cancellations(&self, count: u64) {
        wait(|| self.behaviour.cancelled.load(Ordering::Relaxed) >= count);
    }
}

/// Waits for a condition, for as long as it takes.
pub fn wait(condition: impl Fn() -> bool) {
    while !condition() {
        thread::sleep(Duration::from_millis(20));
    }
}

fn answer(behaviour: &Behaviour, request: &Request, responder: Responder) -> std::io::Result<()> {
    if behaviour.hangs.load(Ordering::Relaxed) {
        responder.hang();
        return Ok(());
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
    match request.path() {
        "/create" => {
            let uid = &body["pod"]["metadata"]["uid"];
            behaviour.accepted.fetch_add(1, Ordering::Relaxed);
            responder.json(200, &json!({"PodUID": uid, "PodJID": uid}))
        }
        "/delete" => {
            behaviour.cancelled.fetch_add(1, Ordering::Relaxed);
            responder.text(200, "deleted")
        }
        "/status" => {
            let takes = behaviour.status_takes.load(Ordering::Relaxed);
            thread::sleep(Duration::from_millis(takes));
            let pods = body.as_array().map_or(&[][..], |pods| pods);
            behaviour
                .asked
                .fetch_add(pods.len() as u64, Ordering::Relaxed);
            let known = pods.iter().filter(|_| {
                let cancelled = behaviour.cancelled.load(Ordering::Relaxed) > 0;
                !cancelled || behaviour.ignores_cancellations.load(Ordering::Relaxed)
            });
            let statuses: Vec<_> = known.map(|pod| status(behaviour, pod)).collect();
            responder.json(200, &statuses)
        }
        "/getLogs" => logs(
            behaviour,
            body["Opts"]["Follow"].as_bool() == Some(true),
            responder,
        ),
        _ => responder.text(200, "ok"),
    }
}

/// A line of every log, with its end.
pub fn line_of_log(number: u64) -> String {
    format!("step {number:08}: residual 1.25e-07, 1 048 576 cells, 12 iterations of the solver\n")
}

fn logs(behaviour: &Behaviour, is_followed: bool, responder: Responder) -> std::io::Result<()> {
    let mut body = responder.stream(200, "text/plain")?;
    behaviour
        .followed
        .fetch_add(u64::from(is_followed), Ordering::Relaxed);
    let mut sent = 0;
    loop {
        let is_over = !is_followed || behaviour.has_ended.load(Ordering::Relaxed) > 0;
        let due = behaviour.lines.load(Ordering::Relaxed);
        let text: String = (sent..due).map(line_of_log).collect();
        body.write_all(text.as_bytes())?;
        body.flush()?;
        sent = due;
        if is_over || !body.pause(Duration::from_millis(50)) {
            return body.finish();
        }
    }
}

fn status(behaviour: &Behaviour, pod: &Value) -> Value {
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    let number: u64 = uid
        .rsplit('-')
        .next()
        .and_then(|end| end.parse().ok())
        .unwrap_or(1);
    let state = match behaviour.has_ended.load(Ordering::Relaxed) {
        0 => json!({"running": {"startedAt": "2026-11-26T00:00:00Z"}}),
        every if number.is_multiple_of(every) => json!({"terminated": {"exitCode": 0}}),
        _ => json!({"running": {"startedAt": "2026-11-26T00:00:00Z"}}),
    };
    let containers = pod["spec"]["containers"]
        .as_array()
        .map_or(&[][..], |all| all);
    let containers: Vec<_> = containers
        .iter()
        .map(|one| {
            json!({
                "name": one["name"], "state": state, "image": "", "imageID": "", "ready": true,
                "restartCount": 0,
            })
        })
        .collect();
    json!({
        "name": pod["metadata"]["name"], "UID": uid, "namespace": pod["metadata"]["namespace"],
        "JID": uid, "containers": containers, "initContainers": null,
    })
}
