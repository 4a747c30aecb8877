//! Logs: bounded ones, and followed ones.

use std::{
    io::Read,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    super::{wire::LogStruct, CancelToken, FollowReader, LogEnd, LogLimits},
    *,
};

fn limits(bytes: u64) -> LogLimits {
    let time = PATIENCE;
    LogLimits { bytes, time }
}

fn wants_follow(seen: &ReceivedRequest) -> bool {
    let request: LogStruct = serde_json::from_slice(&seen.body).unwrap();
    request.opts.follow
}

/// Cuts the reader's error open.
fn cause(error: &std::io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(error) => kind(error),
        None => error.to_string(),
    }
}

#[test]
fn logs_end_where_asked() {
    let text = "x".repeat(100_000);
    let server = always(answer(200, &text), AfterAnswer::Keep);
    let client = client(&server.url);
    let table = [
        ("all", 1 << 20, usize::MAX, 100_000, LogEnd::Complete),
        (
            "exactly all",
            100_000,
            usize::MAX,
            100_000,
            LogEnd::Complete,
        ),
        ("one less", 99_999, usize::MAX, 99_999, LogEnd::Limit),
        ("nothing", 0, usize::MAX, 0, LogEnd::Limit),
        ("told to stop", 1 << 20, 1, 1, LogEnd::Stopped),
    ];
    for (name, bytes, stop_at, at_least, want) in table {
        let mut got = 0;
        let end = client.logs(&LogStruct::default(), limits(bytes), &mut |piece| {
            got += piece.len();
            assert!(!piece.is_empty() && piece.len() <= 64 << 10, "{name}");
            match got >= stop_at {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        assert_eq!(end.unwrap(), want, "{name}");
        assert!(
            got >= at_least && (got == at_least || want == LogEnd::Stopped),
            "{name}: {got}"
        );
    }
}

#[test]
fn a_log_that_breaks_off_leaves_what_came() {
    let broken = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nbegin";
    let server = always(broken, AfterAnswer::Close);
    let mut got = Vec::new();
    let mut request = LogStruct::default();
    request.opts.follow = true;
    let error = client(&server.url).logs(&request, limits(1000), &mut |piece| {
        got.extend_from_slice(piece);
        ControlFlow::Continue(())
    });
    assert_eq!(kind(&error.unwrap_err()), "dropped body");
    assert_eq!(got, b"begin");
    assert!(!wants_follow(&server.seen()[0]));
}

#[test]
fn a_log_has_its_own_time_limit() {
    let server = Server::tcp(|_, conn| {
        conn.wait_closed();
        AfterAnswer::Close
    });
    let limits = LogLimits {
        bytes: 9,
        time: SHORT,
    };
    let error = client(&server.url)
        .logs(&LogStruct::default(), limits, &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap_err();
    assert_eq!(kind(&error), "late answer");
}

/// A server that sends a first line, and goes on when the test says so.
fn stream_server(next: Receiver<&'static [u8]>) -> Server {
    let next = parking_lot::Mutex::new(next);
    Server::tcp(move |_, conn| {
        conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst\n\r\n");
        for piece in next.lock().iter() {
            conn.send(piece);
        }
        AfterAnswer::Close
    })
}

fn read_some(reader: &mut FollowReader) -> Result<Vec<u8>, String> {
    let mut buf = vec![0; 1024];
    let n = reader.read(&mut buf).map_err(|e| cause(&e))?;
    buf.truncate(n);
    Ok(buf)
}

/// A log of which the first line has been read, and what more is sent of it.
fn followed() -> (mpsc::Sender<&'static [u8]>, Server, FollowReader) {
    let (tx, rx) = mpsc::channel();
    let server = stream_server(rx);
    let mut reader = client(&server.url)
        .follow(&LogStruct::default(), &CancelToken::new())
        .unwrap();
    assert_eq!(read_some(&mut reader).unwrap(), b"first\n");
    (tx, server, reader)
}

#[test]
fn a_followed_log_comes_as_it_grows() {
    let (tx, rx) = mpsc::channel();
    let server = stream_server(rx);
    // The limits of other calls do not matter once it flows.
    let client = hasty(&server.url);
    let mut reader = client
        .follow(&LogStruct::default(), &CancelToken::new())
        .unwrap();
    assert!(wants_follow(&server.seen()[0]));
    assert_eq!(read_some(&mut reader).unwrap(), b"first\n");
    thread::sleep(SHORT + SHORT / 2);
    tx.send(b"5\r\nnext\n\r\n".as_slice()).unwrap();
    assert_eq!(read_some(&mut reader).unwrap(), b"next\n");
    tx.send(b"0\r\n\r\n".as_slice()).unwrap();
    assert_eq!(read_some(&mut reader).unwrap(), b"");
    assert_eq!(read_some(&mut reader).unwrap(), b"");
}

/// Each piece costs a wakeup and a write, so those that follow each other closely come together.
#[test]
fn a_followed_log_in_small_pieces_is_read_now_and_then() {
    let (tx, _server, mut reader) = followed();
    tx.send(b"4\r\none\n\r\n".as_slice()).unwrap();
    let begun = Instant::now();
    assert_eq!(read_some(&mut reader).unwrap(), b"one\n");
    tx.send(b"4\r\ntwo\n\r\n".as_slice()).unwrap();
    assert_eq!(read_some(&mut reader).unwrap(), b"two\n");
    assert!(begun.elapsed() >= Duration::from_millis(200));
}

/// A stream begins with all there is of a log. Whoever rested after each piece that does not fill a buffer got half a
/// megabyte of it in a second: as much as the socket holds, each time.
#[test]
fn a_followed_log_that_comes_fast_is_not_held_up() {
    const PIECES: usize = 6 << 10;
    // 4,096 bytes with its head and its end.
    let piece = format!("ff9\r\n{}\r\n", "x".repeat(0xff9));
    let server = Server::tcp(move |_, conn| {
        conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        (0..PIECES).for_each(|_| conn.send(piece.as_bytes()));
        conn.send(b"0\r\n\r\n");
        AfterAnswer::Close
    });
    let mut reader = client(&server.url)
        .follow(&LogStruct::default(), &CancelToken::new())
        .unwrap();
    let (begun, mut got) = (Instant::now(), 0);
    let mut buffer = vec![0; 8 << 10];
    loop {
        match reader.read(&mut buffer).unwrap() {
            0 => break,
            count => got += count,
        }
    }
    assert_eq!(got, PIECES * 0xff9);
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}

/// A follower's buffers are small at first.
#[test]
fn a_followed_log_may_have_a_long_head() {
    let head = |bytes| {
        let page = "x".repeat(bytes);
        let head = format!("HTTP/1.1 200 OK\r\nX-Page: {page}\r\n\r\nlog\n");
        let server = Server::tcp(move |_, conn| {
            conn.send(head.as_bytes());
            AfterAnswer::Close
        });
        let cancel = CancelToken::new();
        let mut reader = client(&server.url).follow(&LogStruct::default(), &cancel)?;
        Ok::<_, Error>(read_some(&mut reader).unwrap())
    };
    assert_eq!(head(15 << 10).unwrap(), b"log\n");
    assert_eq!(kind(&head(17 << 10).unwrap_err()), "garbled");
}

/// What a plugin says while there is no log.
#[test]
fn a_followed_log_comes_without_the_plugin_s_notes() {
    let note =
        "HTTP InterLink session 1: Cannot open in follow mode the container logs /x because \
                it does not exist yet, sleeping before retrying...";
    let text = format!("job\n{note}{note}first\n");
    let server = always(answer(200, &text), AfterAnswer::Keep);
    let client = client(&server.url);
    let mut reader = client
        .follow(&LogStruct::default(), &CancelToken::new())
        .unwrap();
    let mut got = String::new();
    reader.read_to_string(&mut got).unwrap();
    assert_eq!(got, "job\nfirst\n");
}

#[test]
fn a_followed_log_that_breaks_off_is_an_error_for_good() {
    let (tx, _server, mut reader) = followed();
    drop(tx);
    assert_eq!(read_some(&mut reader).unwrap_err(), "dropped body");
    assert!(read_some(&mut reader).is_err());
}

#[test]
fn cancelling_wakes_the_reader() {
    for by_client in [false, true] {
        let (_tx, rx) = mpsc::channel();
        let server = stream_server(rx);
        let client = Arc::new(client(&server.url));
        let cancel = CancelToken::new();
        let mut reader = client.follow(&LogStruct::default(), &cancel).unwrap();
        assert_eq!(read_some(&mut reader).unwrap(), b"first\n");
        let result = spawn(move || read_some(&mut reader));
        // The reader waits, or is about to; both must do.
        match by_client {
            true => client.shut_down(),
            false => cancel.cancel(),
        }
        assert_eq!(join(&result).unwrap_err(), "cancelled true");
        assert_eq!(cancel.is_cancelled(), !by_client);
    }
}

#[test]
fn cancelling_before_anything_flows() {
    let server = Server::tcp(|_, conn| {
        conn.wait_closed();
        AfterAnswer::Close
    });
    let client = Arc::new(client(&server.url));
    let cancel = CancelToken::new();
    let (caller, handle) = (client.clone(), cancel.clone());
    let result = spawn(move || caller.follow(&LogStruct::default(), &handle).map(drop));
    eventually("the request arrives", || !server.seen().is_empty());
    cancel.cancel();
    assert_eq!(kind(&join(&result).unwrap_err()), "cancelled true");

    let again = client.follow(&LogStruct::default(), &cancel).unwrap_err();
    assert_eq!(kind(&again), "cancelled false");
    assert_eq!(server.seen().len(), 1, "nothing is sent any more");
    client.shut_down();
}

#[test]
fn one_follower_is_cancelled_and_the_others_go_on() {
    let server = Server::tcp(|seen, conn| {
        conn.send(b"HTTP/1.1 200 OK\r\n\r\nhello");
        if seen.number == 1 {
            conn.send(b" again");
            return AfterAnswer::Close;
        }
        conn.wait_closed();
        AfterAnswer::Close
    });
    let client = client(&server.url);
    let (one, other) = (CancelToken::new(), CancelToken::new());
    let mut first = client.follow(&LogStruct::default(), &one).unwrap();
    let mut second = client.follow(&LogStruct::default(), &other).unwrap();
    one.cancel();
    assert_eq!(read_some(&mut first).unwrap_err(), "cancelled true");
    let mut all = String::new();
    second.read_to_string(&mut all).unwrap();
    assert_eq!(all, "hello again");
}

#[test]
fn a_follower_is_answered_in_time_or_not_at_all() {
    type Step = fn(&mut dyn Connection);
    let table: [(&str, Step, &str); 3] = [
        ("nothing", |_| {}, "late answer"),
        (
            "a refusal without an end",
            |conn| conn.send(b"HTTP/1.1 404 X\r\nContent-Length: 99\r\n\r\nno pod"),
            "404 no pod",
        ),
        (
            "a refusal",
            |conn| conn.send(&answer(500, "no such pod")),
            "500 no such pod",
        ),
    ];
    for (name, step, want) in table {
        let server = Server::tcp(move |_, conn| {
            step(conn);
            conn.wait_closed();
            AfterAnswer::Close
        });
        let result = hasty(&server.url).follow(&LogStruct::default(), &CancelToken::new());
        assert_eq!(kind(&result.unwrap_err()), want, "{name}");
    }
}

#[test]
fn a_dropped_reader_closes_its_connection() {
    let (tx, rx) = mpsc::channel();
    let server = Server::tcp(move |_, conn| {
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhello");
        conn.wait_closed();
        tx.send(()).unwrap();
        AfterAnswer::Close
    });
    let client = client(&server.url);
    drop(
        client
            .follow(&LogStruct::default(), &CancelToken::new())
            .unwrap(),
    );
    join(&rx);
}
