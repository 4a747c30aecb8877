//! Answering, and everything else that a server can do to a client.

use std::{
    io::{self, Write as _},
    net::Shutdown,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    time::{Duration, Instant},
};

use http::StatusCode;
use serde::Serialize;

use super::{request::Request, stop::StopSignal, stream::Stream};

/// How often a waiting handler looks whether its client is still there.
const PRESENCE_CHECK: Duration = Duration::from_millis(100);

/// Answers one request. Dropped without an answer, it closes the connection.
#[derive(Debug)]
pub struct Responder {
    stream: Arc<Stream>,
    stop: Arc<StopSignal>,
    progress: Arc<Progress>,
    keep_alive: bool,
    http_1_0: bool,
    head_only: bool,
    cut: Cut,
}

/// How far the answer to a request has come, for whoever has given its [`Responder`] away.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Bytes of the answer may have left, or the connection was closed in place of one.
    has_begun: AtomicBool,
    /// A whole answer was sent that lets the connection go on.
    is_reusable: AtomicBool,
}

impl Progress {
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }

    pub(super) fn is_reusable(&self) -> bool {
        self.is_reusable.load(Ordering::Relaxed)
    }
}

/// What is kept back of an answer.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Nothing.
    Whole,
    /// Everything after this many bytes of the body.
    Body(usize),
    /// Everything.
    All,
}

impl Responder {
    pub(super) fn new(request: &Request, stream: &Arc<Stream>, stop: &Arc<StopSignal>) -> Self {
        Self {
            stream: Arc::clone(stream),
            stop: Arc::clone(stop),
            progress: Arc::default(),
            keep_alive: request.keeps_alive(),
            http_1_0: request.http_1_0,
            head_only: request.method == "HEAD",
            cut: Cut::Whole,
        }
    }

    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Answers with a body of known length.
    ///
    /// # Errors
    /// The client is gone, or the answer was cut on purpose.
    pub fn send(mut self, status: u16, content_type: &str, body: &[u8]) -> io::Result<()> {
        let head = self.head(status, content_type, Some(body.len()));
        let body = if self.head_only { &[] } else { body };
        self.write_head_and_body(head, body)?;
        self.allow_reuse();
        Ok(())
    }

    /// Answers with plain text.
    ///
    /// # Errors
    /// As [`Responder::send`].
    pub fn text(self, status: u16, text: &str) -> io::Result<()> {
        self.send(status, "text/plain; charset=utf-8", text.as_bytes())
    }

    /// Answers with JSON.
    ///
    /// # Errors
    /// As [`Responder::send`], and values that JSON cannot hold.
    pub fn json<T: Serialize + ?Sized>(self, status: u16, value: &T) -> io::Result<()> {
        let body = serde_json::to_vec(value)?;
        self.send(status, "application/json", &body)
    }

    /// Begins an answer of unknown length. Each write is sent at once.
    ///
    /// # Errors
    /// As [`Responder::send`].
    pub fn stream(mut self, status: u16, content_type: &str) -> io::Result<BodyWriter> {
        // HTTP/1.0 knows no chunks: the end of the connection is the end of the body.
        self.keep_alive &= !self.http_1_0;
        let head = self.head(status, content_type, None);
        self.write_head_and_body(head, &[])?;
        Ok(BodyWriter { to: self })
    }

    /// Sends bytes that need not be HTTP at all, and closes.
    ///
    /// # Errors
    /// The client is gone.
    pub fn raw(self, bytes: &[u8]) -> io::Result<()> {
        self.begin();
        (&*self.stream).write_all(bytes)
    }

    /// Closes the connection without an answer.
    pub fn drop_connection(self) {
        self.begin();
        self.stream.shutdown(Shutdown::Both);
    }

    /// From here on only the first `bytes` bytes of a body are sent; then the connection is
    /// closed. The head promises the whole.
    #[must_use]
    pub fn cut_body_after(mut self, bytes: usize) -> Self {
        self.cut = Cut::Body(bytes);
        self
    }

    /// From here on nothing is sent: instead of an answer the client sees the connection close.
    #[must_use]
    pub fn cut_all(mut self) -> Self {
        self.cut = Cut::All;
        self
    }

    /// Waits, for no longer than the client is there and the server runs; gives whether both
    /// still do. A handler waits in no other way: the server's end waits for its handlers.
    #[must_use]
    pub fn pause(&self, span: Duration) -> bool {
        let end = Instant::now() + span;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if self.stop.wait(left.min(PRESENCE_CHECK)) || self.is_client_gone() {
                return false;
            }
            if left <= PRESENCE_CHECK {
                return true;
            }
        }
    }

    /// Gives no answer for as long as the client waits for one and the server runs.
    pub fn hang(self) {
        while self.pause(PRESENCE_CHECK) {}
    }

    /// Whether the client has hung up.
    pub fn is_client_gone(&self) -> bool {
        self.stream.is_gone()
    }

    fn head(&self, status: u16, content_type: &str, length: Option<usize>) -> Vec<u8> {
        let framing = match length {
            Some(length) => format!("Content-Length: {length}\r\n"),
            None if self.http_1_0 => String::new(),
            None => "Transfer-Encoding: chunked\r\n".to_owned(),
        };
        let connection = match (self.keep_alive, self.http_1_0) {
            (false, _) => "Connection: close\r\n",
            (true, true) => "Connection: keep-alive\r\n",
            (true, false) => "",
        };
        let reason = reason(status);
        format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\n{framing}{connection}\r\n"
        )
        .into_bytes()
    }

    fn begin(&self) {
        self.progress.has_begun.store(true, Ordering::Relaxed);
    }

    /// The answer is whole, so the connection goes on if the client wants it.
    fn allow_reuse(&self) {
        let is_reusable = &self.progress.is_reusable;
        is_reusable.store(self.keep_alive, Ordering::Relaxed);
    }

    fn write_head_and_body(&mut self, head: Vec<u8>, body: &[u8]) -> io::Result<()> {
        self.begin();
        if matches!(self.cut, Cut::All) {
            return Err(self.cut_now());
        }
        let (part, cut) = self.uncut(body);
        let mut bytes = head;
        bytes.extend_from_slice(part);
        (&*self.stream).write_all(&bytes)?;
        if cut {
            return Err(self.cut_now());
        }
        Ok(())
    }

    /// The part of `body` that is sent, and whether that is not all of it.
    fn uncut<'a>(&mut self, body: &'a [u8]) -> (&'a [u8], bool) {
        match &mut self.cut {
            Cut::Whole => (body, false),
            Cut::Body(left) if body.len() <= *left => {
                *left -= body.len();
                (body, false)
            }
            Cut::Body(left) => (&body[..*left], true),
            Cut::All => (&[], true),
        }
    }

    fn cut_now(&self) -> io::Error {
        self.stream.shutdown(Shutdown::Both);
        io::Error::new(io::ErrorKind::BrokenPipe, "cut on purpose")
    }
}

/// A body that is written as it comes. Dropped before [`BodyWriter::finish`], it closes the
/// connection, and the client knows that the end is missing.
#[derive(Debug)]
pub struct BodyWriter {
    to: Responder,
}

impl BodyWriter {
    /// Ends the body.
    ///
    /// # Errors
    /// The client is gone.
    pub fn finish(self) -> io::Result<()> {
        if !self.to.http_1_0 && !self.to.head_only {
            (&*self.to.stream).write_all(b"0\r\n\r\n")?;
        }
        self.to.allow_reuse();
        Ok(())
    }

    /// See [`Responder::pause`].
    #[must_use]
    pub fn pause(&self, span: Duration) -> bool {
        self.to.pause(span)
    }

    /// See [`Responder::is_client_gone`].
    pub fn is_client_gone(&self) -> bool {
        self.to.is_client_gone()
    }

    /// Closes the connection, the end of the body missing.
    pub fn drop_connection(self) {
        self.to.drop_connection();
    }
}

impl io::Write for BodyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // An empty chunk would end the body.
        if bytes.is_empty() || self.to.head_only {
            return Ok(bytes.len());
        }
        let (part, cut) = self.to.uncut(bytes);
        if !part.is_empty() {
            let chunk = if self.to.http_1_0 {
                part.to_vec()
            } else {
                let mut chunk = format!("{:x}\r\n", part.len()).into_bytes();
                chunk.extend_from_slice(part);
                chunk.extend_from_slice(b"\r\n");
                chunk
            };
            (&*self.to.stream).write_all(&chunk)?;
        }
        if cut {
            return Err(self.to.cut_now());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The phrase after a status; faults may ask for a status that has none.
fn reason(status: u16) -> &'static str {
    let known = StatusCode::from_u16(status).ok();
    known
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Unnamed")
}
