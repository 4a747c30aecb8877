//! What is sent, and what good answers mean.

use std::{collections::HashSet, fs};

use super::{
    super::{
        wire::{LogStruct, PingResponse},
        CancelToken, Created, LogEnd, LogLimits,
    },
    *,
};
use crate::profile::status_reply::{StatusReply, ToldJob, WireStatus};

/// The job that the plugin shows.
const JOB: &str = "0f6e1c1a-9a3b-4a53-8c36-000000000001";

/// Answers each endpoint as a plugin that is well.
fn plugin(seen: &ReceivedRequest, conn: &mut dyn Connection) -> AfterAnswer {
    let path = seen.line().split(' ').nth(1).unwrap_or_default();
    conn.send(&match path.rsplit('/').next().unwrap_or_default() {
        "create" => answer(200, r#"{"PodUID":"u","PodJID":"42"}"#),
        "delete" => answer(200, "All containers deleted"),
        "status" => answer(
            200,
            r#"[{"name":"p","UID":"0f6e1c1a-9a3b-4a53-8c36-000000000001","JID":"7"}]"#,
        ),
        "getLogs" => answer(200, "hello\n"),
        "pinglink" => answer(200, r#"{"status":"ok"}"#),
        _ => answer(404, ""),
    });
    AfterAnswer::Keep
}

fn read_log(client: &Client) -> Vec<u8> {
    let limits = LogLimits {
        bytes: 1 << 20,
        time: PATIENCE,
    };
    let mut log = Vec::new();
    let end = client.logs(&LogStruct::default(), limits, &mut |piece| {
        log.extend_from_slice(piece);
        std::ops::ControlFlow::Continue(())
    });
    assert_eq!(end.unwrap(), LogEnd::Complete);
    log
}

fn make_all_calls(client: &Client) {
    assert_eq!(
        client.create(&submission()).unwrap().remote_id.as_deref(),
        Some("42")
    );
    client.delete(&pod("u")).unwrap();
    let status = client.status(about(&[pod(JOB), pod("v")])).unwrap();
    let told: Vec<_> = status.jobs.into_values().collect();
    let remote_id = "7".to_owned();
    let want = WireStatus {
        remote_id,
        containers: Vec::new(),
    };
    assert_eq!(told, [ToldJob::Status(want)]);
    assert_eq!(read_log(client), b"hello\n");
    let ping = client.ping().unwrap();
    let want = PingResponse {
        status: "ok".into(),
        ..PingResponse::default()
    };
    assert_eq!(ping.parsed, Some(want));
}

#[test]
fn every_call_over_tcp_and_unix() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    fs::write(&token, "hush\n").unwrap();
    let servers = [
        ("tcp", Server::tcp(plugin)),
        ("unix", Server::unix(&dir.path().join("s"), plugin)),
    ];
    for (name, server) in servers {
        let client = Client::new(&InterLink {
            token_file: Some(token.clone()),
            ..config(&server.url)
        });
        make_all_calls(&client.unwrap());
        let seen = server.seen();
        let sent: Vec<_> = seen
            .iter()
            .map(|seen| (seen.line(), String::from_utf8_lossy(&seen.body)))
            .collect();
        let pod =
            |uid| format!(r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"uid":"{uid}"}}}}"#);
        let create = format!(
            r#"{{"pod":{},"configmaps":[],"secrets":[],"projectedvolumesmaps":[],"jobscriptURL":""}}"#,
            pod("u")
        );
        let status = format!("[{},{}]", pod(JOB), pod("v"));
        let logs = serde_json::to_string(&LogStruct::default()).unwrap();
        let want = [
            ("POST /create HTTP/1.1", create),
            ("DELETE /delete HTTP/1.1", pod("u")),
            ("GET /status HTTP/1.1", status),
            ("GET /getLogs HTTP/1.1", logs),
            ("POST /pinglink HTTP/1.1", String::new()),
        ];
        assert_eq!(sent.len(), want.len(), "{name}");
        for (sent, want) in sent.iter().zip(&want) {
            assert_eq!((sent.0, &*sent.1), (want.0, &*want.1), "{name}");
        }
        let mut sessions = HashSet::new();
        for seen in &seen {
            let line = seen.line();
            let length = seen.body.len().to_string();
            let version = concat!("interlink-cri/", env!("CARGO_PKG_VERSION"));
            for (header, want) in [
                ("authorization", "Bearer hush"),
                ("content-type", "application/json"),
                ("content-length", &length),
                ("user-agent", version),
            ] {
                assert_eq!(seen.header(header), Some(want), "{name}: {line}: {header}");
            }
            assert!(seen
                .header("host")
                .is_some_and(|h| h.starts_with("localhost")));
            assert_eq!(seen.header("transfer-encoding"), None, "{name}: {line}");
            let session = seen.header("interlink-http-session").unwrap_or_default();
            uuid::Uuid::parse_str(session).expect(line);
            assert!(sessions.insert(session), "{name}: {line}: fresh for each");
        }
    }
}

#[test]
fn a_prefix_stands_before_every_path() {
    let server = Server::tcp(plugin);
    let client = client(&format!("{}/site/a/", server.url));
    make_all_calls(&client);
    assert_eq!(server.seen()[2].line(), "GET /site/a/status HTTP/1.1");
    assert_eq!(server.seen()[0].header("authorization"), None);
}

#[test]
fn large_bodies_arrive_whole() {
    let dir = tempfile::tempdir().unwrap();
    let servers = [
        Server::tcp(plugin),
        Server::unix(&dir.path().join("s"), plugin),
    ];
    for server in servers {
        let pods: Vec<_> = (0..20_000).map(|i| pod(&i.to_string())).collect();
        client(&server.url).status(about(&pods)).unwrap();
        let body = &server.seen()[0].body;
        assert!(body.len() > 1 << 20);
        assert_eq!(serde_json::from_slice::<Vec<Pod>>(body).unwrap(), pods);
    }
}

#[test]
fn submissions_use_new_connections_and_the_rest_shares_one() {
    let server = Server::tcp(plugin);
    let client = client(&server.url);
    for _ in 0..3 {
        client.status(about(&[])).unwrap();
        client.create(&submission()).unwrap();
        client.delete(&pod("u")).unwrap();
    }
    let by: Vec<_> = server.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(by, [0, 1, 0, 0, 2, 0, 0, 3, 0]);
}

#[test]
fn answers_to_a_submission() {
    let long = format!(r#"{{"PodJID":"{}"}}"#, "7".repeat(5000));
    let table = [
        ("plain", r#"{"PodUID":"u","PodJID":"7"}"#, "7"),
        ("in a list", r#"[{"PodUID":"u","PodJID":"7"}]"#, "7"),
        ("several lines", r#"{"PodJID":" 7\n\u001b8 "}"#, "7 8"),
        ("empty body", "", "malformed"),
        ("text", "submitted", "malformed"),
        ("half of it", r#"{"PodJID":"7"#, "malformed"),
        ("empty list", "[]", "malformed"),
        (
            "two jobs",
            r#"[{"PodJID":"7"},{"PodJID":"8"}]"#,
            "malformed",
        ),
        ("no id", r#"{"PodUID":"u"}"#, "no job id"),
        ("null id", r#"{"PodJID":null}"#, "no job id"),
        ("blank id", r#"{"PodJID":" \n"}"#, "no job id"),
    ];
    for (name, body, want) in table {
        let server = always(answer(200, body), AfterAnswer::Keep);
        let got = client(&server.url).create(&submission());
        if let Err(error) = &got {
            assert!(error.is_ambiguous(), "{name}");
        }
        let id = |created: Created| created.remote_id.unwrap_or_default();
        let got = got.map_or_else(|e| kind(&e), id);
        assert_eq!(got, want, "{name}");
    }
    let server = always(answer(200, &long), AfterAnswer::Keep);
    let id = client(&server.url).create(&submission()).unwrap().remote_id;
    assert!(id.is_some_and(|id| id.len() <= 1024));
}

#[test]
fn answers_to_a_ping() {
    let table = [
        ("", "", false),
        ("0", "0", false),
        ("pong\n", "pong", false),
        ("[]", "[]", false),
        ("null", "null", false),
        (r#"{"status":1}"#, r#"{"status":1}"#, false),
        (
            r#"{"status":"ok","x":[]}"#,
            r#"{"status":"ok","x":[]}"#,
            true,
        ),
    ];
    for (body, text, parsed) in table {
        let server = always(answer(200, body), AfterAnswer::Keep);
        let ping = client(&server.url).ping().unwrap();
        assert_eq!(ping.text, text);
        assert_eq!(ping.parsed.is_some(), parsed, "{body}");
    }
}

#[test]
fn answers_to_a_status() {
    let table = [
        ("null", "0"),
        ("[]", "0"),
        ("[{}]", "0"),
        ("", "malformed"),
        ("{}", "malformed"),
    ];
    for (body, want) in table {
        let server = always(answer(200, body), AfterAnswer::Keep);
        let got = client(&server.url).status(about(&[]));
        let got = got.map_or_else(|e| kind(&e), |reply| reply.jobs.len().to_string());
        assert_eq!(got, want, "{body}");
    }
}

#[test]
fn bodies_in_every_framing() {
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n1\r\n]\r\n0\r\n\r\n";
    let table = [
        ("chunked", chunked, AfterAnswer::Keep),
        (
            "until the end",
            "HTTP/1.1 200 OK\r\n\r\n[]",
            AfterAnswer::Close,
        ),
        ("HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\n[]", AfterAnswer::Close),
        (
            "201",
            "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n[]",
            AfterAnswer::Keep,
        ),
    ];
    for (name, bytes, after) in table {
        let server = always(bytes, after);
        let client = client(&server.url);
        for _ in 0..2 {
            assert_eq!(
                client.status(about(&[])).map_err(|e| kind(&e)),
                Ok(StatusReply::default()),
                "{name}"
            );
        }
    }
}

#[test]
fn a_new_token_is_used_from_the_next_call_on() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    fs::write(&token, "one").unwrap();
    let server = Server::tcp(plugin);
    let client = Client::new(&InterLink {
        token_file: Some(token.clone()),
        ..config(&server.url)
    });
    let client = client.unwrap();
    client.ping().unwrap();
    fs::write(&token, "second").unwrap();
    client.ping().unwrap();
    fs::remove_file(&token).unwrap();
    client.ping().expect("the last one is used for a while");
    let restarted = Client::new(&InterLink {
        token_file: Some(token.clone()),
        ..config(&server.url)
    });
    let error = restarted.unwrap().ping().unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error:?}");
    assert!(error.is_retryable());
    let sent: Vec<_> = server
        .seen()
        .iter()
        .map(|seen| seen.header("authorization").unwrap_or_default().to_owned())
        .collect();
    assert_eq!(sent, ["Bearer one", "Bearer second", "Bearer second"]);
}

#[test]
fn nothing_works_without_an_address() {
    let error = Client::new(&InterLink::default()).unwrap_err();
    assert!(matches!(error, Error::NoUrl), "{error:?}");
}

#[test]
fn clients_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>() {}
    shared::<Client>();
    shared::<CancelToken>();
    sent::<super::super::FollowReader>();
    sent::<Error>();
}
