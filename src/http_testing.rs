//! A server that reads whole requests, remembers them, and answers with raw bytes.

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        Arc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::Mutex;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What happens to the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterAnswer {
    Keep,
    Close,
    /// Not even a FIN: the next thing that the client hears is RST.
    Reset,
}

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReceivedRequest {
    /// 0 for the server's first connection.
    pub(crate) connection: usize,
    /// 0 for the server's first request.
    pub(crate) number: usize,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl ReceivedRequest {
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// The server's end of a connection.
pub(crate) trait Connection: Read + Write {
    /// Sends what the client may no longer be there to read.
    fn send(&mut self, bytes: &[u8]) {
        let _ = self.write_all(bytes).and_then(|()| self.flush());
    }

    /// Waits until the client has closed its end; panics when it does not.
    fn wait_closed(&mut self) {
        let mut byte = [0];
        match self.read(&mut byte) {
            Ok(0) => {}
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {}
            other => panic!("the client is still there: {other:?}"),
        }
    }
}

impl<T: Read + Write> Connection for T {}

pub(crate) type Script = dyn Fn(&ReceivedRequest, &mut dyn Connection) -> AfterAnswer + Send + Sync;

struct State {
    script: Box<Script>,
    seen: Mutex<Vec<ReceivedRequest>>,
    connections: AtomicUsize,
    stop: AtomicBool,
}

/// Stopped on drop.
pub(crate) struct Server {
    pub(crate) url: String,
    state: Arc<State>,
    wake: Box<dyn Fn() + Send>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn tcp(
        script: impl Fn(&ReceivedRequest, &mut dyn Connection) -> AfterAnswer + Send + Sync + 'static,
    ) -> Self {
        Self::start_tcp("http", None, Box::new(script))
    }

    pub(crate) fn tls(
        config: ServerConfig,
        script: impl Fn(&ReceivedRequest, &mut dyn Connection) -> AfterAnswer + Send + Sync + 'static,
    ) -> Self {
        Self::start_tcp("https", Some(Arc::new(config)), Box::new(script))
    }

    fn start_tcp(scheme: &str, tls: Option<Arc<ServerConfig>>, script: Box<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let wake = Box::new(move || drop(TcpStream::connect(address)));
        let url = format!("{scheme}://localhost:{}", address.port());
        let accept = move || listener.accept().unwrap().0;
        Self::start(url, script, wake, accept, move |state, stream| {
            stream
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            let raw = stream.try_clone().unwrap();
            let after = match &tls {
                None => serve(state, &mut { stream }),
                Some(config) => {
                    let session = ServerConnection::new(config.clone()).unwrap();
                    let mut secure = StreamOwned::new(session, stream);
                    let after = serve(state, &mut secure);
                    if after == AfterAnswer::Close {
                        secure.conn.send_close_notify();
                        let _ = secure.flush();
                    }
                    after
                }
            };
            if after == AfterAnswer::Reset {
                let zero = Some(Duration::ZERO);
                rustix::net::sockopt::set_socket_linger(&raw, zero).unwrap();
            }
        })
    }

    pub(crate) fn unix(
        path: &Path,
        script: impl Fn(&ReceivedRequest, &mut dyn Connection) -> AfterAnswer + Send + Sync + 'static,
    ) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let url = format!("unix://{}", path.display());
        let path = path.to_owned();
        let wake = Box::new(move || drop(UnixStream::connect(&path)));
        let accept = move || listener.accept().unwrap().0;
        Self::start(url, Box::new(script), wake, accept, |state, stream| {
            stream
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            serve(state, &mut { stream });
        })
    }

    fn start<S: Send + 'static>(
        url: String,
        script: Box<Script>,
        wake: Box<dyn Fn() + Send>,
        accept: impl Fn() -> S + Send + 'static,
        handle: impl Fn(&Arc<State>, S) + Send + Sync + 'static,
    ) -> Self {
        let state = Arc::new(State {
            script,
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let shared = state.clone();
        let handle = Arc::new(handle);
        let thread = thread::spawn(move || loop {
            let stream = accept();
            if shared.stop.load(Ordering::SeqCst) {
                return;
            }
            let (state, handle) = (shared.clone(), handle.clone());
            thread::spawn(move || handle(&state, stream));
        });
        Self {
            url,
            state,
            wake,
            thread: Some(thread),
        }
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<ReceivedRequest> {
        self.state.seen.lock().clone()
    }

    /// The connections that have brought a request so far.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        (self.wake)();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn serve(state: &State, conn: &mut dyn Connection) -> AfterAnswer {
    let mut connection = None;
    while let Some((head, body)) = read_request(conn) {
        let connection =
            *connection.get_or_insert_with(|| state.connections.fetch_add(1, Ordering::SeqCst));
        let seen = {
            let mut all = state.seen.lock();
            let number = all.len();
            all.push(ReceivedRequest {
                connection,
                number,
                head,
                body,
            });
            all[number].clone()
        };
        match (state.script)(&seen, conn) {
            AfterAnswer::Keep => {}
            after => return after,
        }
    }
    AfterAnswer::Close
}

/// `None` when the client has gone, or sends half a request.
fn read_request(conn: &mut dyn Connection) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 16 << 10];
    let (head, length) = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            bytes.drain(..end + 4);
            let seen = ReceivedRequest {
                head,
                ..ReceivedRequest::default()
            };
            let length: usize = seen
                .header("content-length")
                .map_or(0, |n| n.parse().unwrap());
            break (seen.head, length);
        }
        match conn.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(n) => bytes.extend_from_slice(&piece[..n]),
        }
    };
    while bytes.len() < length {
        match conn.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(n) => bytes.extend_from_slice(&piece[..n]),
        }
    }
    assert_eq!(bytes.len(), length, "more than one request at a time");
    Some((head, bytes))
}
