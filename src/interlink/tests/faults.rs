//! What goes wrong, and how soon it is told.

use std::{
    os::fd::OwnedFd,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc,
    },
};

use rustix::net::{bind, connect, listen, socket, AddressFamily, SocketAddrUnix, SocketType};

use super::*;
use crate::profile::status_reply::StatusReply;

/// How each of two calls ends: one that may be made twice, one that must not.
fn both(client: &Client) -> [Error; 2] {
    [
        client.status(about(&[])).unwrap_err(),
        client.create(&submission()).unwrap_err(),
    ]
}

#[test]
fn refusals_carry_the_plugins_words() {
    let wrapped = "HTTP InterLink session 1:  call exit status: 500. Body: sbatch: &#39;x&#39;";
    let table = [
        (
            400,
            "Both Tail and LimitBytes set\n",
            "400 Both Tail and LimitBytes set",
        ),
        (401, "", "401 "),
        (404, "404 page not found", "404 404 page not found"),
        (500, "", "500 "),
        (500, wrapped, "500 sbatch: 'x'"),
        (503, "503", "503 503"),
        (504, "two\nlines", "504 two lines"),
    ];
    for (status, body, want) in table {
        let server = always(answer(status, body), AfterAnswer::Keep);
        for error in both(&client(&server.url)) {
            assert_eq!(kind(&error), want);
            assert_eq!(error.status(), Some(status));
        }
    }
    let endless = Server::tcp(|_, conn| {
        conn.send(b"HTTP/1.1 500 X\r\n\r\n");
        while conn.write_all(&[b'x'; 4096]).is_ok() {}
        AfterAnswer::Close
    });
    let error = client(&endless.url).ping().unwrap_err();
    assert!(kind(&error).len() <= 1030 && kind(&error).starts_with("500 xxx"));
}

#[test]
fn redirects_are_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let target = Server::tcp(|_, _| AfterAnswer::Close);
        let head = format!(
            "HTTP/1.1 {status} X\r\nLocation: {}/login?secret=1\r\nContent-Length: 0\r\n\r\n",
            target.url
        );
        let server = always(head, AfterAnswer::Keep);
        let client = client(&server.url);
        let [status_error, create_error] = both(&client);
        let delete_error = client.delete(&pod("u")).unwrap_err();
        for error in [status_error, create_error, delete_error] {
            assert_eq!(kind(&error), format!("{status} to {}/login", target.url));
        }
        assert_eq!(target.seen().len(), 0);
    }
}

#[test]
fn answers_that_are_none() {
    let huge = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(60 << 10));
    let chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let table = [
        (
            "nothing",
            String::new(),
            AfterAnswer::Close,
            "dropped answer",
        ),
        ("reset", String::new(), AfterAnswer::Reset, "dropped answer"),
        (
            "half a head",
            "HTTP/1.1 200 OK\r\nContent".into(),
            AfterAnswer::Close,
            "dropped answer",
        ),
        (
            "not http",
            "SSH-2.0-OpenSSH_9.9\r\n\r\n".into(),
            AfterAnswer::Close,
            "garbled",
        ),
        ("huge head", huge, AfterAnswer::Close, "garbled"),
        (
            "half a body",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[]".into(),
            AfterAnswer::Close,
            "dropped body",
        ),
        (
            "reset body",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[]".into(),
            AfterAnswer::Reset,
            "dropped body",
        ),
        (
            "half a chunk",
            format!("{chunk}5\r\n[]"),
            AfterAnswer::Close,
            "dropped body",
        ),
        (
            "no last chunk",
            format!("{chunk}2\r\n[]\r\n"),
            AfterAnswer::Close,
            "dropped body",
        ),
        (
            "bad chunk",
            format!("{chunk}zz\r\n[]\r\n"),
            AfterAnswer::Close,
            "garbled",
        ),
    ];
    for (name, bytes, after, want) in table {
        let server = always(bytes, after);
        for error in both(&client(&server.url)) {
            assert_eq!(kind(&error), want, "{name}");
            assert!(error.is_ambiguous(), "{name}");
        }
    }
}

#[test]
fn answers_that_do_not_end() {
    let server = Server::tcp(|_, conn| {
        conn.send(b"HTTP/1.1 200 OK\r\n\r\n");
        while conn.write_all(&[b'['; 4096]).is_ok() {}
        AfterAnswer::Close
    });
    let config = InterLink {
        max_reply_bytes: 1 << 20,
        ..config(&server.url)
    };
    for error in both(&Client::new(&config).unwrap()) {
        assert_eq!(kind(&error), "too large");
    }
}

#[test]
fn an_answer_as_large_as_allowed() {
    let server = always(answer(200, "[  ]"), AfterAnswer::Keep);
    for (max_reply_bytes, fits) in [(4, true), (3, false)] {
        let config = InterLink {
            max_reply_bytes,
            ..config(&server.url)
        };
        let got = Client::new(&config).unwrap().status(about(&[]));
        assert_eq!(got.is_ok(), fits, "{max_reply_bytes}");
    }
}

#[test]
fn answers_that_are_late() {
    type Step = fn(&mut dyn Connection);
    let table: [(&str, Step, &str); 4] = [
        ("nothing", |_| {}, "late answer"),
        (
            "half a head",
            |conn| conn.send(b"HTTP/1.1 200"),
            "late answer",
        ),
        (
            "half a body",
            |conn| conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[]"),
            "late body",
        ),
        (
            "drop by drop",
            |conn| {
                conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n");
                while conn.write_all(b" ").is_ok() {
                    thread::sleep(Duration::from_millis(5));
                }
            },
            "late body",
        ),
    ];
    for (name, step, want) in table {
        let server = Server::tcp(move |_, conn| {
            step(conn);
            conn.wait_closed();
            AfterAnswer::Close
        });
        let client = hasty(&server.url);
        let began = Instant::now();
        for (error, key) in both(&client).iter().zip(["request", "create"]) {
            assert_eq!(kind(error), want, "{name}");
            assert!(
                error
                    .to_string()
                    .contains(&format!("interlink.{key}_timeout")),
                "{error}"
            );
        }
        assert!(
            began.elapsed() >= 2 * SHORT && began.elapsed() < PATIENCE / 2,
            "{name}"
        );
    }
}

#[test]
fn nobody_there() {
    let dir = tempfile::tempdir().unwrap();
    let free = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let table = [
        (format!("http://{free}"), "connect"),
        (format!("https://{free}"), "connect"),
        // Too long for a label, so that no name server is asked.
        (format!("http://{}", "x".repeat(70)), "dns"),
        (
            format!("unix://{}/missing", dir.path().display()),
            "connect",
        ),
    ];
    for (url, want) in table {
        for error in both(&client(&url)) {
            assert_eq!(kind(&error), want, "{url}: {error}");
            assert!(error.is_retryable() && !error.is_ambiguous());
        }
    }
}

/// A listener whose queue is full: connections are neither taken nor refused.
#[test]
fn connections_that_are_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let address = SocketAddrUnix::new(&path).unwrap();
    let new = || -> OwnedFd { socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap() };
    let listener = new();
    bind(&listener, &address).unwrap();
    listen(&listener, 0).unwrap();
    let first = new();
    connect(&first, &address).unwrap();

    let config = InterLink {
        connect_timeout: SHORT,
        ..config(&format!("unix://{}", path.display()))
    };
    for error in both(&Client::new(&config).unwrap()) {
        assert_eq!(kind(&error), "late connect");
        assert!(
            error.to_string().contains("interlink.connect_timeout"),
            "{error}"
        );
    }
}

/// The server hangs up in the moment in which a kept connection is used again.
#[test]
fn a_stale_connection_does_not_show() {
    let server = Server::tcp(|seen, conn| match seen.number {
        1 => AfterAnswer::Close,
        3 => AfterAnswer::Reset,
        _ => {
            conn.send(&answer(200, "[]"));
            AfterAnswer::Keep
        }
    });
    let client = client(&server.url);
    for _ in 0..3 {
        client.status(about(&[])).unwrap();
    }
    let by: Vec<_> = server.seen().iter().map(|seen| seen.connection).collect();
    // The repeated ones are not kept, so the third call needed a new one again.
    assert_eq!(by, [0, 0, 1, 2, 3]);
}

#[test]
fn a_submission_is_never_sent_twice() {
    for after in [AfterAnswer::Close, AfterAnswer::Reset] {
        let server = always("", after);
        let error = client(&server.url).create(&submission()).unwrap_err();
        assert_eq!(kind(&error), "dropped answer");
        assert_eq!(server.seen().len(), 1);
    }
}

#[test]
fn connections_that_the_server_closes_meanwhile_are_not_used() {
    let server = Server::tcp(|_, conn| {
        conn.send(&answer(200, "[]"));
        AfterAnswer::Close
    });
    let client = client(&server.url);
    for round in 1..=3 {
        client.status(about(&[])).unwrap();
        assert_eq!(server.seen().len(), round);
    }
    assert_eq!(server.connections(), 3);
}

#[test]
fn shutting_down_cuts_calls_off() {
    let server = Server::tcp(|_, conn| {
        conn.wait_closed();
        AfterAnswer::Close
    });
    let client = Arc::new(client(&server.url));
    let caller = client.clone();
    let result = spawn(move || caller.create(&submission()));
    eventually("the request arrives", || !server.seen().is_empty());
    client.shut_down();
    assert_eq!(kind(&join(&result).unwrap_err()), "cancelled true");
    for error in both(&client) {
        assert_eq!(kind(&error), "cancelled false");
    }
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn shutting_down_in_the_middle_of_an_answer() {
    for head in ["Content-Length: 99", "Connection: close"] {
        let server = Server::tcp(move |_, conn| {
            conn.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n[]").as_bytes());
            conn.wait_closed();
            AfterAnswer::Close
        });
        let client = Arc::new(client(&server.url));
        let caller = client.clone();
        let result = spawn(move || caller.status(about(&[])));
        eventually("the request arrives", || !server.seen().is_empty());
        client.shut_down();
        assert_eq!(
            kind(&join(&result).unwrap_err()),
            "cancelled true",
            "{head}"
        );
    }
}

/// The server would end its own process over half a body.
#[test]
fn shutting_down_lets_a_request_be_sent_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let client = Arc::new(client(&format!("unix://{}", path.display())));
    let caller = client.clone();
    let pods: Vec<_> = (0..40_000).map(|i| pod(&i.to_string())).collect();
    let length = serde_json::to_vec(&pods).unwrap().len();
    let result = spawn(move || caller.status(about(&pods)));

    let (mut conn, _) = listener.accept().unwrap();
    let mut first = [0; 1000];
    std::io::Read::read_exact(&mut conn, &mut first).unwrap();
    // The buffers are full by now, or soon: the client is in the middle of sending.
    client.shut_down();
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut conn, &mut rest).unwrap();
    let all = [&first[..], &rest].concat();
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    assert_eq!(all.len() - end - 4, length, "all of the body");
    assert_eq!(kind(&join(&result).unwrap_err()), "cancelled true");
}

#[test]
fn calls_run_side_by_side() {
    let here = Arc::new(AtomicUsize::new(0));
    let count = here.clone();
    let server = Server::tcp(move |_, conn| {
        count.fetch_add(1, Ordering::SeqCst);
        eventually("all eight are here", || count.load(Ordering::SeqCst) >= 8);
        conn.send(&answer(200, "[]"));
        AfterAnswer::Keep
    });
    let client = Arc::new(client(&server.url));
    let results: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            spawn(move || client.status(about(&[])))
        })
        .collect();
    for result in results {
        assert_eq!(
            join(&result).map_err(|e| kind(&e)),
            Ok(StatusReply::default())
        );
    }
}
