//! Reading requests off a connection.

use std::{
    io::{self, Read as _, Write as _},
    time::{Duration, Instant},
};

use httparse::Status;

use super::{
    limits::Limits,
    request::{framing, parse_head, refused, Failure, Framing, Request},
    stream::Stream,
};
use crate::bounded::Held;

/// Longest line before a chunk, extensions included.
const MAX_CHUNK_LINE: usize = 1024;

/// Reads one request after the other.
pub(super) struct Reader<'a> {
    stream: &'a Stream,
    limits: &'a Limits,
    /// What was read and not yet used.
    buffer: Vec<u8>,
    /// The room of the last request's body.
    held: Option<Held>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(stream: &'a Stream, limits: &'a Limits) -> Self {
        Self {
            stream,
            limits,
            buffer: Vec::new(),
            held: None,
        }
    }

    /// The next request.
    pub(super) fn next(&mut self) -> Result<Request, Failure> {
        self.held = None;
        if self.buffer.is_empty() {
            // Between requests a connection may rest; its end here is the usual one.
            self.fill(Instant::now() + self.limits.idle)?;
        }
        let deadline = Instant::now() + self.limits.request;
        let mut request = self.head(deadline)?;
        let framing = framing(&request)?;
        self.continue_if_asked(&request, &framing)?;
        request.body = match framing {
            Framing::Length(length) => self.counted(length, deadline)?,
            Framing::Chunked => self.chunked(deadline)?,
        };
        Ok(request)
    }

    fn head(&mut self, deadline: Instant) -> Result<Request, Failure> {
        loop {
            if let Some((request, used)) = parse_head(&self.buffer)? {
                self.buffer.drain(..used);
                return Ok(request);
            }
            if self.buffer.len() >= self.limits.head_bytes {
                return refused(431, "the request's head is too long");
            }
            self.fill(deadline)?;
        }
    }

    fn continue_if_asked(&self, request: &Request, framing: &Framing) -> Result<(), Failure> {
        let Some(expected) = request.header("expect") else {
            self.check_length(framing)?;
            return Ok(());
        };
        if !expected.eq_ignore_ascii_case("100-continue") {
            return refused(417, format!("cannot meet the expectation `{expected}`"));
        }
        self.check_length(framing)?;
        if self.buffer.is_empty() && !request.http_1_0 {
            (&*self.stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        Ok(())
    }

    fn check_length(&self, framing: &Framing) -> Result<(), Failure> {
        match framing {
            Framing::Length(length) if *length > self.limits.body_bytes => self.too_large(),
            _ => Ok(()),
        }
    }

    /// Takes room for so many bytes more, as they come: who sends slowly takes none from others.
    fn hold(&mut self, bytes: usize) -> Result<(), Failure> {
        let bytes = bytes.saturating_mul(4);
        let result = match &mut self.held {
            Some(held) => held.grow(bytes),
            None => self.limits.room.hold(bytes).map(|held| {
                self.held = Some(held);
            }),
        };
        result.or_else(|why| refused(503, format!("the request's {why}; try again in a moment")))
    }

    fn too_large<T>(&self) -> Result<T, Failure> {
        let limit = self.limits.body_bytes;
        refused(413, format!("a body may have no more than {limit} bytes"))
    }

    fn counted(&mut self, length: usize, deadline: Instant) -> Result<Vec<u8>, Failure> {
        while self.buffer.len() < length {
            self.fill(deadline)?;
        }
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    fn chunked(&mut self, deadline: Instant) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        loop {
            let size = self.chunk_size(deadline)?;
            if size == 0 {
                self.trailers(deadline)?;
                return Ok(body);
            }
            if size > self.limits.body_bytes.saturating_sub(body.len()) {
                return self.too_large();
            }
            let mut chunk = self.counted(size + 2, deadline)?;
            if !chunk.ends_with(b"\r\n") {
                return refused(400, "a chunk is longer than it says");
            }
            chunk.truncate(size);
            body.append(&mut chunk);
        }
    }

    fn chunk_size(&mut self, deadline: Instant) -> Result<usize, Failure> {
        loop {
            match httparse::parse_chunk_size(&self.buffer) {
                Ok(Status::Complete((used, size))) => {
                    self.buffer.drain(..used);
                    // A size that memory cannot hold is above every limit.
                    return Ok(usize::try_from(size).unwrap_or(usize::MAX));
                }
                Ok(Status::Partial) if self.buffer.len() < MAX_CHUNK_LINE => self.fill(deadline)?,
                _ => return refused(400, "a chunk has no size that can be read"),
            }
        }
    }

    /// Skips what may follow the last chunk.
    fn trailers(&mut self, deadline: Instant) -> Result<(), Failure> {
        let mut skipped = 0;
        loop {
            let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") else {
                if self.buffer.len() > self.limits.head_bytes {
                    return refused(431, "the trailers are too long");
                }
                self.fill(deadline)?;
                continue;
            };
            self.buffer.drain(..end + 2);
            skipped += end;
            if end == 0 {
                return Ok(());
            }
            if skipped > self.limits.head_bytes {
                return refused(431, "the trailers are too long");
            }
        }
    }

    /// Reads some more; the end of the stream and the deadline are failures.
    fn fill(&mut self, deadline: Instant) -> Result<(), Failure> {
        let mut some = [0_u8; 16 * 1024];
        let left = deadline.saturating_duration_since(Instant::now());
        if left == Duration::ZERO {
            return Err(Failure::Gone);
        }
        self.stream.limit_reads(left)?;
        loop {
            match (&*self.stream).read(&mut some) {
                Ok(0) => return Err(Failure::Gone),
                Ok(length) => {
                    self.hold(length)?;
                    self.buffer.extend_from_slice(&some[..length]);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Failure::Gone),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixStream, thread};

    use super::*;
    use crate::bounded::InFlight;

    fn limits() -> Limits {
        Limits {
            head_bytes: 1024,
            body_bytes: 64,
            idle: Duration::from_secs(5),
            ..Limits::default()
        }
    }

    /// Sends `bytes` in pieces and hangs up; gives what the reader makes of them.
    fn read_all(bytes: &[u8], piece: usize) -> (Vec<Request>, Failure) {
        let (mut client, server) = UnixStream::pair().unwrap();
        let sent = bytes.to_vec();
        let writer = thread::spawn(move || {
            for piece in sent.chunks(piece) {
                if client.write_all(piece).is_err() {
                    break;
                }
            }
            client.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            let _ = client.read_to_end(&mut answer);
            answer
        });
        let stream = Stream::Unix(server);
        let limits = limits();
        let mut reader = Reader::new(&stream, &limits);
        let mut requests = Vec::new();
        let failure = loop {
            match reader.next() {
                Ok(request) => requests.push(request),
                Err(failure) => break failure,
            }
        };
        drop(stream);
        let _ = writer.join().unwrap();
        (requests, failure)
    }

    #[test]
    fn requests_in_one_piece_and_in_many() {
        let text = b"GET /status?x=1 HTTP/1.1\r\nHost: u\r\nContent-Length: 5\r\n\r\n[{}1]\
            POST http://unix/create HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
            3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n\
            POST / HTTP/1.0\r\n\r\n";
        for piece in [1, 2, 7, text.len()] {
            let (requests, failure) = read_all(text, piece);
            assert!(matches!(failure, Failure::Gone), "{piece}: {failure:?}");
            let seen: Vec<_> = requests
                .iter()
                .map(|r| {
                    (
                        r.method.as_str(),
                        r.path(),
                        r.body.as_slice(),
                        r.keeps_alive(),
                    )
                })
                .collect();
            assert_eq!(
                seen,
                [
                    ("GET", "/status", b"[{}1]".as_slice(), true),
                    ("POST", "/create", b"abcde".as_slice(), true),
                    ("POST", "/", b"".as_slice(), false),
                ],
                "pieces of {piece}"
            );
        }
    }

    #[test]
    fn what_is_refused() {
        let long_header = format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(2000));
        let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(65));
        let long_chunk_line = format!(
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;{}",
            "x".repeat(2000)
        );
        for (name, text, want) in [
            ("no HTTP", "\0\x01\x02 hello\r\n\r\n", 400),
            ("a bad version", "GET / HTTP/9.9\r\n\r\n", 400),
            ("a long head", long_header.as_str(), 431),
            ("many headers", many_headers.as_str(), 431),
            (
                "a bad length",
                "GET / HTTP/1.1\r\nContent-Length: +5\r\n\r\n",
                400,
            ),
            (
                "a length beyond numbers",
                "GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
                413,
            ),
            (
                "a long body",
                "GET / HTTP/1.1\r\nContent-Length: 65\r\n\r\n",
                413,
            ),
            (
                "two lengths",
                "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                400,
            ),
            (
                "a length and chunks",
                "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                400,
            ),
            (
                "gzip",
                "GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
                501,
            ),
            (
                "a chunk too many",
                "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n41\r\n",
                413,
            ),
            (
                "an endless chunk",
                "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
                413,
            ),
            (
                "a chunk beyond its size",
                "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
                400,
            ),
            (
                "a chunk without size",
                "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
                400,
            ),
            ("a long chunk line", long_chunk_line.as_str(), 400),
            ("a wish", "GET / HTTP/1.1\r\nExpect: tea\r\n\r\n", 417),
        ] {
            let (requests, failure) = read_all(text.as_bytes(), text.len());
            assert!(requests.is_empty(), "{name}");
            match failure {
                Failure::Refused(status, text) => assert_eq!(status, want, "{name}: {text}"),
                Failure::Gone => panic!("{name}: gone"),
            }
        }
    }

    #[test]
    fn half_a_request_is_nobody() {
        for text in [
            "",
            "GET / HT",
            "GET / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
        ] {
            let (requests, failure) = read_all(text.as_bytes(), 1000);
            assert!(
                requests.is_empty() && matches!(failure, Failure::Gone),
                "{text}"
            );
        }
    }

    #[test]
    fn a_body_that_finds_no_room_is_refused_until_there_is_some() {
        let body = vec![b'x'; 100 << 10];
        let head = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
        let limits = Limits {
            body_bytes: 1 << 20,
            room: InFlight::new(500 << 10),
            ..limits()
        };
        let read = |streams: &mut Vec<Stream>| {
            let (mut client, server) = UnixStream::pair().unwrap();
            let text = [head.as_bytes(), &body].concat();
            let writer = thread::spawn(move || {
                // Who is refused may be cut off.
                let _ = client.write_all(&text);
            });
            streams.push(Stream::Unix(server));
            writer
        };
        let mut streams = Vec::new();
        let writers = [read(&mut streams), read(&mut streams)];
        let mut first = Reader::new(&streams[0], &limits);
        assert_eq!(first.next().unwrap().body.len(), body.len());
        let refusal = Reader::new(&streams[1], &limits).next().unwrap_err();
        assert!(
            matches!(&refusal, Failure::Refused(503, text) if text.contains("of 512000")),
            "{refusal:?}"
        );
        drop(first);
        assert_eq!(limits.room.used(), 0);
        drop(streams);
        for writer in writers {
            writer.join().unwrap();
        }
    }

    #[test]
    fn a_client_that_waits_for_100_continue_gets_it() {
        let (mut client, server) = UnixStream::pair().unwrap();
        let stream = Stream::Unix(server);
        let head = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
        client.write_all(head).unwrap();
        let waiter = thread::spawn(move || {
            let mut line = [0; 25];
            client.read_exact(&mut line).unwrap();
            assert_eq!(&line, b"HTTP/1.1 100 Continue\r\n\r\n");
            client.write_all(b"hi").unwrap();
            client
        });
        let limits = limits();
        let request = Reader::new(&stream, &limits).next().unwrap();
        assert_eq!(request.body, b"hi");
        drop(waiter.join().unwrap());
    }
}
