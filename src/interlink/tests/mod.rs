//! The client against a small scripted server.

mod calls;
mod faults;
mod logs;
mod secure;

use std::{
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::ObjectMeta};

use super::{wire::PodCreateRequests, Client, Error, Phase, StatusQuestion};
use crate::{
    config::schema::InterLink,
    http_testing::{AfterAnswer, Connection, ReceivedRequest, Server},
};

/// Longer than anything here takes on a busy machine, shorter than a reader's patience.
const PATIENCE: Duration = Duration::from_secs(20);
/// A limit that is meant to strike, and not before the server has come to its turn.
const SHORT: Duration = Duration::from_millis(500);

fn config(url: &str) -> InterLink {
    InterLink {
        url: Some(url.to_owned()),
        connect_timeout: PATIENCE,
        request_timeout: PATIENCE,
        create_timeout: PATIENCE,
        ..InterLink::default()
    }
}

fn client(url: &str) -> Client {
    Client::new(&config(url)).unwrap()
}

/// A client whose calls may take a short time only, once connected.
fn hasty(url: &str) -> Client {
    let config = InterLink {
        request_timeout: SHORT,
        create_timeout: SHORT,
        ..config(url)
    };
    Client::new(&config).unwrap()
}

fn pod(uid: &str) -> Pod {
    Pod {
        metadata: ObjectMeta {
            uid: Some(uid.to_owned()),
            ..ObjectMeta::default()
        },
        ..Pod::default()
    }
}

/// A question to /status about these pods.
fn about(pods: &[Pod]) -> StatusQuestion {
    let mut question = StatusQuestion::new();
    for pod in pods {
        question.add(pod, None).unwrap();
    }
    question
}

fn submission() -> PodCreateRequests {
    PodCreateRequests {
        pod: pod("u"),
        ..PodCreateRequests::default()
    }
}

/// A whole answer.
fn answer(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// A server that gives the same bytes to every request.
fn always(bytes: impl Into<Vec<u8>>, after: AfterAnswer) -> Server {
    let bytes = bytes.into();
    Server::tcp(move |_: &ReceivedRequest, conn: &mut dyn Connection| {
        conn.send(&bytes);
        after
    })
}

/// Runs something on another thread.
fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (tx, rx) = mpsc::channel();
    thread::spawn(move || tx.send(work()));
    rx
}

/// What such a thread gives back, in good time.
fn join<T>(rx: &Receiver<T>) -> T {
    rx.recv_timeout(PATIENCE).expect("it ends")
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// The kind of an error, short enough for tables.
fn kind(error: &Error) -> String {
    let phase = |phase: &Phase| format!("{phase:?}").to_lowercase();
    match error {
        Error::Dns { .. } => "dns".into(),
        Error::Connect { .. } => "connect".into(),
        Error::Tls { .. } => "tls".into(),
        Error::TimedOut { phase: at, .. } => format!("late {}", phase(at)),
        Error::Dropped { phase: at, .. } => format!("dropped {}", phase(at)),
        Error::Garbled { .. } => "garbled".into(),
        Error::Status { status, says, .. } => format!("{status} {says}"),
        Error::Page { status, title, .. } => format!("{status} page {title}"),
        Error::Redirect { status, to, .. } => format!("{status} to {to}"),
        Error::TooLarge { .. } => "too large".into(),
        Error::Malformed { .. } => "malformed".into(),
        Error::NoJobId { .. } => "no job id".into(),
        Error::Cancelled { sent, .. } => format!("cancelled {sent}"),
        other => format!("{other:?}"),
    }
}
