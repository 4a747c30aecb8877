//! A listener for requests without a body, one at a time. Whatever comes, it costs one thread, 8 KiB and
//! three seconds.

use std::{
    fs,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{
            fs::PermissionsExt as _,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    config::metrics::Listen,
    peer::{self, AtPath},
};

/// How long a request may take to come.
const READ: Duration = Duration::from_secs(1);
/// How long its answer may take to leave.
const WRITE: Duration = Duration::from_secs(2);
/// The most bytes of a request: Prometheus sends some hundred.
const MAX_REQUEST: usize = 8 << 10;

/// A bound socket. A unix socket's file goes with it.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Binds; nothing for `off`.
    ///
    /// # Errors
    /// The address is taken, or not to be had.
    pub fn bind(listen: &Listen) -> io::Result<Option<Self>> {
        match listen {
            Listen::Off => Ok(None),
            Listen::Tcp(address) => Ok(Some(Self::Tcp(TcpListener::bind(address)?))),
            Listen::Unix(path) => {
                clear_stale(path)?;
                let listener = UnixListener::bind(path)?;
                fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
                Ok(Some(Self::Unix(listener, path.clone())))
            }
        }
    }

    /// Where it listens, with the true port.
    pub fn address(&self) -> String {
        match self {
            Self::Unix(_, path) => format!("unix://{}", path.display()),
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => format!("http://{address}"),
                Err(_) => "an address that is not known".to_owned(),
            },
        }
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// The system has no descriptor for it, or the listener is closed.
    pub fn accept(&self) -> io::Result<Stream> {
        crate::threads::fault("metrics-accept")?;
        Ok(match self {
            Self::Tcp(listener) => Stream::Tcp(listener.accept()?.0),
            Self::Unix(listener, _) => Stream::Unix(listener.accept()?.0),
        })
    }

    /// Lets a blocked `accept` return, and every later one.
    pub fn close(&self) {
        let fd: BorrowedFd<'_> = match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener, _) => listener.as_fd(),
        };
        // Fails only where it is closed already.
        let _ = rustix::net::shutdown(fd, rustix::net::Shutdown::Both);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            // Gone already, or in a directory that is: either way nothing is left to do.
            let _ = fs::remove_file(path);
        }
    }
}

/// Removes a socket that nobody listens on any more: a killed daemon leaves its own behind.
fn clear_stale(path: &Path) -> io::Result<()> {
    match peer::socket_at(path) {
        Ok(AtPath::Dead) => fs::remove_file(path),
        // Whatever else is in the way, `bind` says it best.
        Ok(AtPath::Nothing | AtPath::NoSocket | AtPath::Live) | Err(_) => Ok(()),
    }
}

/// One connection.
#[derive(Debug)]
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn limit(&self, left: Duration) -> io::Result<()> {
        // No time at all would be no limit.
        let left = Some(left.max(Duration::from_millis(1)));
        match self {
            Self::Tcp(stream) => {
                stream.set_read_timeout(left)?;
                stream.set_write_timeout(left)
            }
            Self::Unix(stream) => {
                stream.set_read_timeout(left)?;
                stream.set_write_timeout(left)
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An answer: status line, type and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: &'static str,
    pub content_type: &'static str,
    pub body: String,
}

impl Answer {
    /// One line of text.
    pub fn text(status: &'static str, text: &str) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: format!("{text}\n"),
        }
    }
}

/// Reads a request and answers it; `answer` gets the path of a GET.
///
/// # Errors
/// The other side was slow, went away, or sent no request.
pub fn serve(stream: &mut Stream, answer: impl FnOnce(&str) -> Answer) -> io::Result<()> {
    let head = read_head(stream, Instant::now() + READ)?;
    let answer = match request_line(&head) {
        Some(("GET", path)) => answer(path),
        Some(_) => Answer::text("405 Method Not Allowed", "only GET is served here"),
        None => Answer::text("400 Bad Request", "this is no HTTP request"),
    };
    let head = format!(
        "HTTP/1.1 {}\r\ncontent-type: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        answer.status,
        answer.content_type,
        answer.body.len()
    );
    let bytes = [head.as_bytes(), answer.body.as_bytes()].concat();
    write_all(stream, &bytes, Instant::now() + WRITE)
}

fn read_head(stream: &mut Stream, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        stream.limit(left(deadline)?)?;
        let count = stream.read(&mut piece)?;
        if count == 0 || head.len() + count > MAX_REQUEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        head.extend_from_slice(&piece[..count]);
    }
    Ok(head)
}

fn write_all(stream: &mut Stream, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.limit(left(deadline)?)?;
        let count = stream.write(bytes)?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[count..];
    }
    Ok(())
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(io::ErrorKind::TimedOut.into()),
        false => Ok(left),
    }
}

/// Method and path of a request, the query left out.
fn request_line(head: &[u8]) -> Option<(&str, &str)> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let path = target.split('?').next()?;
    let is_request = words.next().is_none() && version.starts_with("HTTP/1.");
    (is_request && path.starts_with('/')).then_some((method, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_lines() {
        for (head, want) in [
            ("GET /metrics HTTP/1.1\r\n\r\n", Some(("GET", "/metrics"))),
            (
                "GET /metrics?a=b HTTP/1.0\r\nhost: x\r\n\r\n",
                Some(("GET", "/metrics")),
            ),
            ("POST / HTTP/1.1\r\n\r\n", Some(("POST", "/"))),
            ("GET /metrics\r\n\r\n", None),
            ("GET  / HTTP/1.1\r\n\r\n", None),
            ("GET metrics HTTP/1.1\r\n\r\n", None),
            ("GET / HTTP/2 x\r\n\r\n", None),
            ("\r\n\r\n", None),
            ("\u{16}\u{3}\u{1}\r\n\r\n", None),
        ] {
            assert_eq!(request_line(head.as_bytes()), want, "{head:?}");
        }
        assert_eq!(request_line(b"\xff\xfe / HTTP/1.1"), None);
    }

    /// What comes back for bytes that are sent, and whether the connection ended by itself.
    fn exchange(sent: &[u8]) -> String {
        let (mut ours, theirs) = UnixStream::pair().expect("a pair");
        ours.write_all(sent).expect("sends");
        ours.shutdown(std::net::Shutdown::Write).expect("ends");
        // An error is as good as an answer: the connection closes.
        let _ = serve(&mut Stream::Unix(theirs), |path| {
            Answer::text("200 OK", path)
        });
        let mut answer = String::new();
        ours.read_to_string(&mut answer).expect("text");
        answer
    }

    #[test]
    fn any_bytes_get_an_answer_or_an_end() {
        assert!(exchange(b"GET /a HTTP/1.1\r\n\r\n").ends_with("\r\n\r\n/a\n"));
        assert!(exchange(b"PUT /a HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
        assert!(exchange(b"\x16\x03\x01\r\n\r\n").starts_with("HTTP/1.1 400"));
        assert_eq!(exchange(b"GET /a HTTP/1.1\r\n"), "", "ends early");
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(MAX_REQUEST));
        assert_eq!(exchange(long.as_bytes()), "");
    }

    #[test]
    fn who_sends_a_byte_now_and_then_is_cut_off() {
        let (mut ours, theirs) = UnixStream::pair().expect("a pair");
        let began = Instant::now();
        let sender = std::thread::spawn(move || {
            while ours.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let mut stream = Stream::Unix(theirs);
        assert!(serve(&mut stream, |path| Answer::text("200 OK", path)).is_err());
        assert!(began.elapsed() < READ + Duration::from_secs(10));
        drop(stream);
        sender.join().expect("ends");
    }
}
