//! Sockets as ureq sees them: TCP or unix, with time limits on every read and write, and a way
//! to cut them off from another thread.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use rustix::net::{recv, RecvFlags};
use ureq::unversioned::transport::{Buffers, LazyBuffers, NextTimeout, Transport};

use super::gathering::Gathering;

/// Bytes for input and for output each. The head of an answer must fit.
pub(super) const BUFFER_BYTES: usize = 64 << 10;

/// Cuts calls off from another thread. Clones are one and the same.
///
/// A call that is sending its request is allowed to finish that first: the server ends its own
/// process when the body of a /delete, /status or /getLogs breaks off.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<Mutex<Group>>);

#[derive(Debug, Default)]
struct Group {
    cancelled: bool,
    /// Bounded by the number of open connections: the dead ones go when a new one comes.
    sockets: Vec<Weak<Socket>>,
}

impl CancelToken {
    /// One that has not been used.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the calls that carry this handle, now and from now on.
    pub fn cancel(&self) {
        let sockets = {
            let mut group = self.0.lock();
            group.cancelled = true;
            std::mem::take(&mut group.sockets)
        };
        for socket in sockets.iter().filter_map(Weak::upgrade) {
            socket.close();
        }
    }

    /// Whether [`cancel`](Self::cancel) has been called.
    pub fn is_cancelled(&self) -> bool {
        self.0.lock().cancelled
    }

    /// Takes a new socket under this handle; false when it is too late.
    pub(super) fn admit(&self, socket: &Arc<Socket>) -> bool {
        let mut group = self.0.lock();
        group.sockets.retain(|other| other.strong_count() > 0);
        if !group.cancelled {
            group.sockets.push(Arc::downgrade(socket));
        }
        !group.cancelled
    }
}

/// What an I/O error says when the connection was cut off from this side.
fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "cut off from this side")
}

/// One connected socket.
#[derive(Debug)]
pub(super) struct Socket {
    stream: Stream,
    turn: Mutex<Turn>,
    /// Notified when it is cut off.
    closed: Condvar,
}

#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

#[derive(Debug, Default)]
struct Turn {
    sending: bool,
    closing: bool,
}

impl Socket {
    pub(super) fn new(stream: Stream) -> Arc<Self> {
        Arc::new(Self {
            stream,
            turn: Mutex::default(),
            closed: Condvar::new(),
        })
    }

    /// Wakes whoever waits for input; whoever sends is stopped when it turns to listening.
    fn close(&self) {
        let mut turn = self.turn.lock();
        turn.closing = true;
        self.closed.notify_all();
        if !turn.sending {
            self.shut_down();
        }
    }

    /// Waits for some time, or until it is cut off.
    fn rest(&self, span: Duration) {
        let mut turn = self.turn.lock();
        self.closed
            .wait_while_for(&mut turn, |turn| !turn.closing, span);
    }

    fn begin_sending(&self) -> io::Result<()> {
        let mut turn = self.turn.lock();
        // A request under way goes on; a new one does not begin.
        if turn.closing && !turn.sending {
            return Err(cut_off());
        }
        turn.sending = true;
        Ok(())
    }

    fn begin_listening(&self) -> io::Result<()> {
        let mut turn = self.turn.lock();
        turn.sending = false;
        if turn.closing {
            self.shut_down();
            return Err(cut_off());
        }
        Ok(())
    }

    fn shut_down(&self) {
        // An error means that it is closed already.
        let _ = match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }

    /// Open, and silent, as it must be between two calls.
    fn is_quiet(&self) -> bool {
        let mut byte = [0u8];
        let seen = recv(
            self.as_fd(),
            &mut byte[..],
            RecvFlags::PEEK | RecvFlags::DONTWAIT,
        );
        !self.turn.lock().closing && matches!(seen, Err(rustix::io::Errno::AGAIN))
    }

    fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        match &self.stream {
            Stream::Tcp(stream) => stream.set_read_timeout(limit),
            Stream::Unix(stream) => stream.set_read_timeout(limit),
        }
    }

    fn set_write_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        match &self.stream {
            Stream::Tcp(stream) => stream.set_write_timeout(limit),
            Stream::Unix(stream) => stream.set_write_timeout(limit),
        }
    }

    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match &self.stream {
            Stream::Tcp(stream) => (&*stream).read(buf),
            Stream::Unix(stream) => (&*stream).read(buf),
        }
    }

    fn write(&self, buf: &[u8]) -> io::Result<usize> {
        match &self.stream {
            Stream::Tcp(stream) => (&*stream).write(buf),
            Stream::Unix(stream) => (&*stream).write(buf),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

/// A time limit that can be lifted while the call goes on, which those of ureq cannot: the head
/// of a followed log has one, and the text of a refusal, but the log itself has none.
#[derive(Clone, Debug, Default)]
pub(super) struct LiftableLimit(Arc<Mutex<Option<Instant>>>);

impl LiftableLimit {
    pub(super) fn new(limit: Duration) -> Self {
        Self(Arc::new(Mutex::new(Instant::now().checked_add(limit))))
    }

    pub(super) fn lift(&self) {
        *self.0.lock() = None;
    }

    fn is_lifted(&self) -> bool {
        self.0.lock().is_none()
    }
}

/// A time limit that several system calls share.
pub(super) struct Deadline {
    pub(super) at: Option<Instant>,
    limit: NextTimeout,
}

impl Deadline {
    pub(super) fn new(limit: NextTimeout, liftable: &LiftableLimit) -> Self {
        let at = match limit.after.is_not_happening() {
            true => None,
            // A limit beyond the clock's range is none.
            false => Instant::now().checked_add(*limit.after),
        };
        let at = at.into_iter().chain(*liftable.0.lock()).min();
        Self { at, limit }
    }

    /// What is left of it; never zero, which sockets would take for "no limit".
    pub(super) fn left(&self) -> Result<Option<Duration>, ureq::Error> {
        match self.at {
            None => Ok(None),
            Some(at) => match at.saturating_duration_since(Instant::now()) {
                Duration::ZERO => Err(self.passed()),
                left => Ok(Some(left.max(Duration::from_micros(1)))),
            },
        }
    }

    pub(super) fn passed(&self) -> ureq::Error {
        ureq::Error::Timeout(self.limit.reason)
    }
}

/// Both kinds mean that a socket's time limit has struck.
pub(super) fn is_late(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// A socket with the buffers that ureq works on.
pub(super) struct SocketTransport {
    socket: Arc<Socket>,
    liftable: LiftableLimit,
    buffers: Box<dyn Buffers + Send + Sync>,
    /// Of an answer that is a log as it grows.
    gathering: Option<Gathering>,
}

impl SocketTransport {
    pub(super) fn new(socket: Arc<Socket>, liftable: LiftableLimit) -> Self {
        Self {
            socket,
            liftable,
            buffers: Box::new(LazyBuffers::new(BUFFER_BYTES, BUFFER_BYTES)),
            gathering: None,
        }
    }

    /// For an answer that comes in pieces for as long as a log grows, once its limit is lifted.
    pub(super) fn gathering(
        socket: Arc<Socket>,
        liftable: LiftableLimit,
        buffers: impl Buffers + Send + Sync + 'static,
    ) -> Self {
        Self {
            buffers: Box::new(buffers),
            gathering: Some(Gathering::default()),
            ..Self::new(socket, liftable)
        }
    }

    /// Lets more come of a log that was read a moment ago.
    fn gather(&mut self) {
        if let Some(gathering) = &mut self.gathering {
            self.socket.rest(gathering.rest(Instant::now()));
        }
    }
}

impl Transport for SocketTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut *self.buffers
    }

    fn transmit_output(&mut self, amount: usize, limit: NextTimeout) -> Result<(), ureq::Error> {
        let deadline = Deadline::new(limit.for_write(), &self.liftable);
        self.socket.begin_sending()?;
        let mut rest = &self.buffers.output()[..amount];
        while !rest.is_empty() {
            self.socket.set_write_timeout(deadline.left()?)?;
            match self.socket.write(rest) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(n) => rest = &rest[n..],
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if is_late(&e) => return Err(deadline.passed()),
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    fn await_input(&mut self, limit: NextTimeout) -> Result<bool, ureq::Error> {
        self.gather();
        let deadline = Deadline::new(limit.for_read(), &self.liftable);
        self.socket.begin_listening()?;
        let input = self.buffers.input_append_buf();
        let amount = loop {
            self.socket.set_read_timeout(deadline.left()?)?;
            match self.socket.read(input) {
                Ok(n) => break n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if is_late(&e) => return Err(deadline.passed()),
                Err(e) => return Err(e.into()),
            }
        };
        let is_all = amount < input.len();
        self.buffers.input_appended(amount);
        if let Some(gathering) = &mut self.gathering {
            if self.liftable.is_lifted() {
                gathering.note(amount, is_all, Instant::now());
            }
        }
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.socket.is_quiet()
    }
}

impl fmt::Debug for SocketTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SocketTransport")
            .field(&self.socket.stream)
            .finish()
    }
}
