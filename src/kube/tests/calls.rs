//! What is sent, and what an answer means.

use std::net::SocketAddr;

use k8s_openapi::{
    api::core::v1::{Event, PodCondition},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use rustix::net::{bind, getsockname, socket, AddressFamily, SocketType};
use serde_json::{json, Value};

use super::*;
use crate::model::Nanos;

/// 2017-07-14T02:40:00Z and a half.
const NOW: Nanos = Nanos(1_500_000_000_500_000_000);

fn event(namespace: &str, name: &str) -> Event {
    Event {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        reason: Some("Submitted".to_owned()),
        ..Event::default()
    }
}

fn condition() -> PodCondition {
    PodCondition {
        type_: "interlink.eu/Submitted".to_owned(),
        status: "True".to_owned(),
        ..PodCondition::default()
    }
}

fn body(seen: &ReceivedRequest) -> Value {
    serde_json::from_slice(&seen.body).unwrap()
}

#[test]
fn a_pod_is_read() {
    let server = always(answer(200, POD), AfterAnswer::Keep);
    let (_config, client) = client(&format!("{}/prefix/", server.url));
    let pod = client.pod("a", "b.c").unwrap().expect("a pod");
    assert_eq!(pod.object.metadata.uid.as_deref(), Some("u-1"));
    assert!(pod.bytes > 1000, "{}", pod.bytes);
    assert_eq!(pod.object.metadata.managed_fields, None, "left out");
    let seen = &server.seen()[0];
    assert_eq!(
        seen.line(),
        "GET /prefix/api/v1/namespaces/a/pods/b.c HTTP/1.1"
    );
    assert_eq!(seen.header("authorization"), Some("Bearer t0k3n"));
    assert_eq!(seen.header("accept"), Some("application/json"));
    let agent = seen.header("user-agent").unwrap();
    assert!(agent.starts_with("interlink-cri/"), "{agent}");
    assert!(seen.body.is_empty());
}

#[test]
fn a_pod_that_is_not_there_is_none() {
    let status = r#"{"kind":"Status","reason":"NotFound","message":"pods \"b\" not found"}"#;
    let server = always(answer(404, status), AfterAnswer::Keep);
    let (_config, client) = client(&server.url);
    assert_eq!(client.pod("a", "b").unwrap(), None);
    for error in [
        client
            .patch_pod_condition("a", "b", "u", &condition())
            .unwrap_err(),
        client.patch_event("a", "b", 2, NOW, "m").unwrap_err(),
        client.create_event(&event("a", "b")).unwrap_err(),
    ] {
        assert!(error.is_not_found() && !error.is_retryable(), "{error}");
        assert!(error.to_string().contains("not found"), "{error}");
    }
}

#[test]
fn what_is_written() {
    let server = always(answer(200, "{}"), AfterAnswer::Keep);
    let (_config, client) = client(&server.url);
    client.create_event(&event("lab", "train-7.1a")).unwrap();
    client
        .patch_event("lab", "train-7.1a", 3, NOW, "again")
        .unwrap();
    client
        .patch_pod_condition("lab", "train-7", "u-1", &condition())
        .unwrap();

    let seen = server.seen();
    let table = [
        ("POST /api/v1/namespaces/lab/events", "application/json"),
        (
            "PATCH /api/v1/namespaces/lab/events/train-7.1a",
            "application/strategic-merge-patch+json",
        ),
        (
            "PATCH /api/v1/namespaces/lab/pods/train-7/status",
            "application/strategic-merge-patch+json",
        ),
    ];
    assert_eq!(seen.len(), table.len());
    for (seen, (line, content)) in seen.iter().zip(table) {
        assert_eq!(seen.line(), format!("{line} HTTP/1.1"));
        assert_eq!(seen.header("content-type"), Some(content), "{line}");
        assert_eq!(seen.header("authorization"), Some("Bearer t0k3n"), "{line}");
    }
    let created = body(&seen[0]);
    assert_eq!(created["kind"], "Event");
    assert_eq!(created["metadata"]["name"], "train-7.1a");
    assert_eq!(
        body(&seen[1]),
        json!({"count": 3, "lastTimestamp": "2017-07-14T02:40:00Z", "message": "again"})
    );
    assert_eq!(
        body(&seen[2]),
        json!({
            "metadata": {"uid": "u-1"},
            "status": {"conditions": [{"type": "interlink.eu/Submitted", "status": "True"}]},
        })
    );
}

#[test]
fn bad_names_are_not_sent() {
    let server = always(answer(200, POD), AfterAnswer::Keep);
    let (_config, client) = client(&server.url);
    let pairs = [("a/b", "c"), ("a", "../../nodes/n"), ("", "b"), ("a", "")];
    for (namespace, name) in pairs {
        for error in [
            client.pod(namespace, name).unwrap_err(),
            client.create_event(&event(namespace, name)).unwrap_err(),
            client
                .patch_event(namespace, name, 1, NOW, "m")
                .unwrap_err(),
            client
                .patch_pod_condition(namespace, name, "u", &condition())
                .unwrap_err(),
        ] {
            assert!(matches!(error, Error::Name { .. }), "{namespace}/{name}");
        }
    }
    assert!(client.create_event(&Event::default()).is_err(), "no names");
    assert!(server.seen().is_empty());
}

#[test]
fn refusals_say_what_follows() {
    #[rustfmt::skip]
    let table = [
        // status, body, part of the text, retryable, forbidden
        (302, "", "answered 302", false, false),
        (400, r#"{"message":"why not"}"#, "why not", false, false),
        (401, r#"{"message":"Unauthorized"}"#, "lapsed", false, true),
        (403, r#"{"message":"no relationship found between node and this object"}"#, "Node authorizer", false, true),
        (409, r#"{"reason":"AlreadyExists"}"#, "answered 409", false, false),
        (429, "slow\ndown", "slow down", true, false),
        (500, "", "answered 500", true, false),
        (503, "", "answered 503", true, false),
    ];
    for (status, body, part, retryable, forbidden) in table {
        let server = always(answer(status, body), AfterAnswer::Keep);
        let (_config, client) = client(&server.url);
        let error = client.pod("a", "b").unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("reading pod a/b: "), "{status}: {text}");
        assert!(text.contains(part), "{status}: {text}");
        assert!(!text.contains("t0k3n"), "{status}: {text}");
        assert_eq!(error.is_retryable(), retryable, "{status}");
        let advises = error.to_string().contains("Node authorizer");
        assert_eq!(advises, forbidden, "{status}");
        assert_eq!(server.seen().len(), 1, "{status}: it is asked once");
    }
}

#[test]
fn redirects_are_not_followed() {
    let target = always(answer(200, POD), AfterAnswer::Keep);
    let head = format!(
        "HTTP/1.1 307 X\r\nLocation: {}/x\r\nContent-Length: 0\r\n\r\n",
        target.url
    );
    let server = always(head, AfterAnswer::Keep);
    let (_config, client) = client(&server.url);
    client.pod("a", "b").unwrap_err();
    assert!(target.seen().is_empty(), "the token belongs to the server");
}

#[test]
fn answers_that_are_of_no_use() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"metadata\":";
    let many = format!(
        r#"{{"spec":{{"containers":[{}{{}}]}}}}"#,
        "{},".repeat(100_000)
    );
    let large = format!(r#"{{"x":"{}"}}"#, "x".repeat(4 << 20));
    #[rustfmt::skip]
    let table = [
        // name, answer, part of the text, retryable
        ("nothing", Vec::new(), "no answer from http://localhost:", true),
        ("not HTTP", b"hello\r\n\r\n".to_vec(), "not an HTTP answer", false),
        ("cut off", cut.as_bytes().to_vec(), "no answer from http://localhost:", true),
        ("too large", answer(200, &large), "larger than 4194304 bytes", false),
        ("too many elements", answer(200, &many), "it has too many elements", false),
        ("no JSON", answer(200, "hush"), "is not a pod, from line 1", false),
        ("another shape", answer(200, r#"{"metadata":{"generation":"hush"}}"#), "is not a pod", false),
    ];
    for (name, bytes, part, retryable) in table {
        let server = always(bytes, AfterAnswer::Close);
        let (_config, client) = client(&server.url);
        let error = client.pod("a", "b").unwrap_err();
        let text = crate::telemetry::chain(&error);
        assert!(text.contains(part), "{name}: {text}");
        assert!(!text.contains("hush"), "{name}: {text}");
        assert_eq!(error.is_retryable(), retryable, "{name}: {text}");
    }
}

#[test]
fn a_list_of_pods_that_does_not_end_is_given_up() {
    let page = r#"{"metadata":{"continue":"x"},"items":[{"spec":{"containers":[]}}]}"#;
    let server = always(answer(200, page), AfterAnswer::Keep);
    let (_config, client) = client(&server.url);
    let error = client.live_pods_of("n").unwrap_err().to_string();
    assert!(error.contains("does not end after 5000 pods"), "{error}");
    let page = r#"{"items":[{"spec":{"containers":[{"name":"a","env":[{}]}]}},
        {"spec":{"containers":[]},"status":{"phase":"Failed"}}]}"#;
    let server = always(answer(200, page), AfterAnswer::Keep);
    let (_config, client) = super::client(&server.url);
    let pods = client.live_pods_of("n").unwrap();
    assert_eq!(pods.len(), 1);
    assert_eq!(pods[0].containers[0].env, None, "nobody wants to know");
}

#[test]
fn nobody_there() {
    // A port that is taken, so that no other test gets it, and where nobody listens.
    let taken = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&taken, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = SocketAddr::try_from(getsockname(&taken).unwrap()).unwrap();
    let (_config, client) = client(&format!("http://{address}"));
    let error = client.pod("a", "b").unwrap_err();
    assert!(matches!(error, Error::Network { .. }), "{error:?}");
    assert!(error.is_retryable());
}

#[test]
fn a_call_has_a_time_limit() {
    for head in ["", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"] {
        let server = ApiServer::tcp(move |_, conn| {
            conn.send(head.as_bytes());
            conn.wait_closed();
            AfterAnswer::Close
        });
        let config = Config::new(&server.url, "", "token: t");
        let limits = Limits {
            time: Duration::from_millis(300),
            ..PATIENCE
        };
        let error = Client::new(&config.path(), limits)
            .pod("a", "b")
            .unwrap_err();
        assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
        assert!(error.to_string().ends_with("within 300ms"), "{error}");
    }
}

#[test]
fn a_connection_is_kept_and_may_break() {
    let server = ApiServer::tcp(|seen, conn| match seen.number {
        // The third request comes over a kept connection, which is lost.
        2 => AfterAnswer::Reset,
        _ => {
            conn.send(&answer(200, POD));
            AfterAnswer::Keep
        }
    });
    let (_config, client) = client(&server.url);
    for _ in 0..3 {
        client.pod("a", "b").unwrap();
    }
    let by: Vec<_> = server.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(by, [0, 0, 0, 1], "the last one once more over a new one");

    let gone = ApiServer::tcp(|_, _| AfterAnswer::Reset);
    let (_config, client) = super::client(&gone.url);
    let error = client.pod("a", "b").unwrap_err();
    assert!(matches!(error, Error::Network { .. }), "{error:?}");
    assert_eq!(gone.seen().len(), 2, "not more often");
}
