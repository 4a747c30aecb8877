//! The server as a client sees it.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use super::*;

fn server(limits: Limits, handler: impl Fn(Request, Responder) + Send + Sync + 'static) -> Server {
    Server::start(&"http://127.0.0.1:0".parse().unwrap(), limits, handler).unwrap()
}

fn connect(server: &Server) -> TcpStream {
    let ListenAddress::Tcp(address) = server.address() else {
        panic!("not TCP");
    };
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
}

/// Sends a request on a connection of its own; gives everything that comes until it is closed.
fn ask(server: &Server, path: &str) -> String {
    let mut stream = connect(server);
    write!(stream, "GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // A connection that was cut may end in a reset; what came before it counts.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn every_trick(request: Request, responder: Responder) {
    let done = match request.path() {
        "/text" => responder.text(200, "hello"),
        "/json" => responder.json(409, &serde_json::json!({"a": [1]})),
        "/echo" => responder.send(200, "application/octet-stream", &request.body),
        "/stream" => responder.stream(200, "text/plain").and_then(|mut body| {
            body.write_all(b"one")?;
            body.write_all(b"")?;
            body.write_all(b"three")?;
            body.finish()
        }),
        "/unfinished" => responder
            .stream(200, "text/plain")
            .and_then(|mut body| body.write_all(b"one")),
        "/raw" => responder.raw(b"\0not http\n"),
        "/cut" => responder.cut_body_after(2).text(200, "hello"),
        "/cut-late" => responder.cut_body_after(50).text(200, "hello"),
        "/cut-all" => responder.cut_all().text(200, "hello"),
        "/panic" => panic!("on purpose"),
        "/panic-late" => {
            let mut body = responder.stream(200, "text/plain").unwrap();
            body.write_all(b"one").unwrap();
            panic!("on purpose, late")
        }
        "/panic-dropped" => {
            responder.drop_connection();
            panic!("on purpose, without a connection")
        }
        "/pause" => match responder.pause(Duration::from_secs(60)) {
            true => responder.text(200, "waited"),
            false => Ok(()),
        },
        "/forever" => responder.stream(200, "text/plain").and_then(|mut body| {
            while body.pause(Duration::from_millis(1)) {
                body.write_all(b"again\n")?;
            }
            Ok(())
        }),
        "/hang" => {
            responder.hang();
            Ok(())
        }
        "/drop" => {
            responder.drop_connection();
            Ok(())
        }
        _ => Ok(()),
    };
    drop(done);
}

#[test]
fn every_kind_of_answer() {
    let server = server(Limits::default(), every_trick);
    for (path, want) in [
        (
            "/text",
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\n\
             Connection: close\r\n\r\nhello",
        ),
        (
            "/json",
            "HTTP/1.1 409 Conflict\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\
             Connection: close\r\n\r\n{\"a\":[1]}",
        ),
        (
            "/stream",
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\
             Connection: close\r\n\r\n3\r\none\r\n5\r\nthree\r\n0\r\n\r\n",
        ),
        (
            "/unfinished",
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\
             Connection: close\r\n\r\n3\r\none\r\n",
        ),
        ("/raw", "\0not http\n"),
        (
            "/cut",
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\n\
             Connection: close\r\n\r\nhe",
        ),
        ("/cut-all", ""),
        (
            "/panic-late",
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\
             Connection: close\r\n\r\n3\r\none\r\n",
        ),
        ("/panic-dropped", ""),
        ("/drop", ""),
        ("/nothing", ""),
    ] {
        assert_eq!(ask(&server, path), want, "{path}");
    }
    let panicked = ask(&server, "/panic");
    assert!(panicked.starts_with("HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain"));
    assert!(panicked.ends_with("\r\n\r\n"), "no words: it is no refusal");
    assert!(ask(&server, "/cut-late").ends_with("hello"));
    assert!(ask(&server, "not-a-path\x07").starts_with("HTTP/1.1 400 "));
}

#[test]
fn a_connection_serves_many_requests() {
    let server = server(Limits::default(), every_trick);
    let mut stream = connect(&server);
    for _ in 0..3 {
        stream
            .write_all(b"POST /echo HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")
            .unwrap();
        let mut reader = BufReader::new(&stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && !head.contains("close"));
        let mut body = [0; 3];
        reader.read_exact(&mut body).unwrap();
        assert_eq!(&body, b"abc");
    }
}

#[test]
fn one_connection_too_many_is_told_so() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let server = server(limits, every_trick);
    let mut first = connect(&server);
    first.write_all(b"GET /forever HTTP/1.1\r\n\r\n").unwrap();
    first.read_exact(&mut [0; 200]).unwrap();
    assert!(ask(&server, "/text").starts_with("HTTP/1.1 503 "));
    drop(first);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !ask(&server, "/text").starts_with("HTTP/1.1 200 ") {
        assert!(Instant::now() < deadline, "the place does not get free");
    }
}

#[test]
fn an_idle_connection_is_closed() {
    let limits = Limits {
        idle: Duration::from_millis(50),
        ..Limits::default()
    };
    let server = server(limits, every_trick);
    let mut stream = connect(&server);
    assert_eq!(stream.read(&mut [0; 10]).unwrap(), 0);
}

#[test]
fn stop_ends_handlers_that_wait_hang_and_stream() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let limits = Limits::default();
    let mut server =
        Server::start(&ListenAddress::Unix(socket.clone()), limits, every_trick).unwrap();
    let streams: Vec<_> = ["/pause", "/hang", "/forever"]
        .map(|path| {
            let mut stream = UnixStream::connect(&socket).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\n\r\n").unwrap();
            stream
        })
        .into();
    (&streams[2]).read_exact(&mut [0; 300]).unwrap();
    let begin = Instant::now();
    server.stop();
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert!(!socket.exists() || UnixStream::connect(&socket).is_err());
    for mut stream in streams {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(!rest.ends_with(b"0\r\n\r\n"), "no false end of a stream");
    }
    server.stop();
    drop(server);
    assert!(!socket.exists());
}
