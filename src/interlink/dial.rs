//! Makes connections: name, socket, TLS session. Every failure leaves here as a [`Failed`], so
//! that whatever else goes wrong in a call is known to have gone wrong afterwards.

use std::{
    fmt, io,
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustix::net::{
    connect, socket_with, sockopt, AddressFamily, SocketAddrUnix, SocketFlags, SocketType,
};
use ureq::{
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{ResolvedSocketAddrs, Resolver},
        transport::{ConnectionDetails, Connector, NextTimeout, RustlsConnector, Transport},
    },
};

use super::{
    resolver::NameResolver,
    stream_buffers::StreamBuffers,
    transport::{is_late, CancelToken, Deadline, LiftableLimit, Socket, SocketTransport, Stream},
};
use crate::{endpoint::Target, peer};

/// A peer that is gone without a word is noticed after 60 s; only a followed log waits longer.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Failed {
    Dns(io::Error),
    Connect(io::Error),
    Tls(io::Error),
    TimedOut(ureq::Timeout),
    Cancelled,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Failed {}

/// Sorts an error: a time limit is one at whatever step it struck.
fn failed(error: ureq::Error, otherwise: fn(io::Error) -> Failed) -> Failed {
    match error {
        ureq::Error::Timeout(which) => Failed::TimedOut(which),
        other => otherwise(other.into_io()),
    }
}

/// The way to one server. Clones share its TLS sessions.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    way: Arc<Way>,
    users: LocalUsers,
    /// Who may cut the connection off.
    cancels: Vec<CancelToken>,
    /// A limit beside ureq's own; none in a default one.
    limit: LiftableLimit,
    /// For a connection that brings a log as it grows: the room for the largest piece of its request.
    stream: Option<usize>,
}

#[derive(Debug)]
enum Way {
    Tcp {
        resolver: NameResolver,
        tls: RustlsConnector,
    },
    Unix(SocketAddrUnix),
}

/// Whose sockets of this machine may be spoken to.
#[derive(Clone, Debug)]
pub(super) enum LocalUsers {
    Anybody,
    /// Root, the daemon's own user, and these.
    Own(Vec<u32>),
}

impl LocalUsers {
    /// As `interlink.local_users` has them; names that are not known are nobody's.
    pub(super) fn new(names: &[String]) -> Self {
        match names.iter().any(|name| name == "*") {
            true => Self::Anybody,
            false => Self::Own(
                names
                    .iter()
                    .filter_map(|name| peer::user_id(name))
                    .collect(),
            ),
        }
    }

    /// Whether what listens on a loopback address may be spoken to. Where nothing does, the kernel refuses
    /// the connection, or root has led it elsewhere.
    fn check_listeners(&self, address: SocketAddr) -> io::Result<()> {
        if let Self::Own(_) = self {
            let uids = peer::listeners(address)?;
            uids.into_iter().try_for_each(|uid| self.check(uid))?;
        }
        Ok(())
    }

    /// Whether the other end of a connection may be spoken to. Somebody may have listened only for the moment:
    /// then the connection is theirs, or they still listen.
    fn check_connected(&self, stream: &TcpStream) -> io::Result<()> {
        if let Self::Own(_) = self {
            let (own, other) = (stream.local_addr()?, stream.peer_addr()?);
            self.check_listeners(other)?;
            let uid = peer::owner(own, other)?;
            uid.map_or(Ok(()), |uid| self.check(uid))?;
        }
        Ok(())
    }

    fn check(&self, uid: u32) -> io::Result<()> {
        match self {
            Self::Own(more) if !peer::is_own(uid) && !more.contains(&uid) => {
                Err(io::Error::new(io::ErrorKind::PermissionDenied, format!(
                    "the socket there belongs to user {uid}, and would be sent tokens and Secrets; if \
                     that is as it should be, name the user in interlink.local_users"
                )))
            }
            _ => Ok(()),
        }
    }
}

impl Dialer {
    /// # Errors
    /// The path cannot be a socket's.
    pub(super) fn new(target: &Target, users: LocalUsers, cancel: CancelToken) -> io::Result<Self> {
        let way = match target {
            Target::Tcp { host, port } => Way::Tcp {
                resolver: NameResolver::new(host, *port),
                tls: RustlsConnector::default(),
            },
            Target::Unix(path) => Way::Unix(unix_address(path)?),
        };
        Ok(Self {
            way: Arc::new(way),
            users,
            cancels: vec![cancel],
            limit: LiftableLimit::default(),
            stream: None,
        })
    }

    /// The same way, for one log that is followed, and that another handle can cut off as well. The largest
    /// piece of its request has `output` bytes.
    pub(super) fn once(&self, cancel: &CancelToken, limit: &LiftableLimit, output: usize) -> Self {
        let mut dialer = self.clone();
        dialer.cancels.push(cancel.clone());
        dialer.limit = limit.clone();
        dialer.stream = Some(output);
        dialer
    }

    fn make(&self, details: &ConnectionDetails) -> Result<Box<dyn Transport>, Failed> {
        let deadline = Deadline::new(details.timeout, &self.limit);
        let stream = match &*self.way {
            Way::Tcp { resolver, .. } => {
                // With TLS the certificate says who it is.
                let users = match details.needs_tls() {
                    true => &LocalUsers::Anybody,
                    false => &self.users,
                };
                Stream::Tcp(dial_tcp(resolver, users, &deadline)?)
            }
            Way::Unix(address) => {
                let stream = dial_unix(address, &deadline)?;
                let uid = peer::unix_owner(&stream).map_err(Failed::Connect)?;
                self.users.check(uid).map_err(Failed::Connect)?;
                Stream::Unix(stream)
            }
        };
        let socket = Socket::new(stream);
        if !self.cancels.iter().all(|cancel| cancel.admit(&socket)) {
            return Err(Failed::Cancelled);
        }
        let limit = self.limit.clone();
        let transport = match self.stream {
            Some(output) => SocketTransport::gathering(socket, limit, StreamBuffers::new(output)),
            None => SocketTransport::new(socket, limit),
        };
        match &*self.way {
            Way::Tcp { tls, .. } if details.needs_tls() => shake_hands(tls, details, transport)
                .map_err(|error| match self.is_cancelled() {
                    true => Failed::Cancelled,
                    false => failed(error, Failed::Tls),
                }),
            _ => Ok(Box::new(transport)),
        }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancels.iter().any(CancelToken::is_cancelled)
    }
}

impl Connector for Dialer {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        _: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        self.make(details)
            .map(Some)
            .map_err(|failed| ureq::Error::Other(Box::new(failed)))
    }
}

/// ureq asks for addresses before each call, also when it has a connection; [`Dialer`] looks them
/// up itself, and only when it needs them.
#[derive(Debug)]
pub(super) struct Unresolved;

impl Resolver for Unresolved {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

/// Tries the addresses in turn. Each gets half of the time that is left, the last one all of
/// it: so one that swallows packets does not use up the time of the next.
fn dial_tcp(
    resolver: &NameResolver,
    users: &LocalUsers,
    deadline: &Deadline,
) -> Result<TcpStream, Failed> {
    let late = || failed(deadline.passed(), Failed::Connect);
    let addresses = resolver
        .look_up(deadline.at)
        .map_err(Failed::Dns)?
        .ok_or_else(late)?;
    let mut error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (i, address) in addresses.iter().enumerate() {
        let left = deadline.left().map_err(|e| failed(e, Failed::Connect))?;
        let share = match i + 1 == addresses.len() {
            true => left,
            false => left.map(|left| left / 2),
        };
        match connect_checked(address, users, share) {
            Ok(stream) => return Ok(stream),
            Err(e) => error = e,
        }
    }
    match is_late(&error) {
        true => Err(late()),
        false => Err(Failed::Connect(error)),
    }
}

/// Connects; to an address of this machine only where the right user is there before and after.
fn connect_checked(
    address: &SocketAddr,
    users: &LocalUsers,
    limit: Option<Duration>,
) -> io::Result<TcpStream> {
    if !address.ip().to_canonical().is_loopback() {
        return connect_tcp(address, limit);
    }
    users.check_listeners(*address)?;
    let stream = connect_tcp(address, limit)?;
    users.check_connected(&stream)?;
    Ok(stream)
}

fn connect_tcp(address: &SocketAddr, limit: Option<Duration>) -> io::Result<TcpStream> {
    let stream = match limit {
        Some(limit) => TcpStream::connect_timeout(address, limit.max(Duration::from_millis(1))),
        None => TcpStream::connect(address),
    }?;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(&stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(&stream, KEEPALIVE_PROBES)?;
    Ok(stream)
}

fn unix_address(path: &Path) -> io::Result<SocketAddrUnix> {
    Ok(SocketAddrUnix::new(path)?)
}

/// The standard library has no time limit for this: connecting to a unix socket waits while the
/// listener's queue is full. The limit for sending covers it (unix_stream_connect in Linux).
fn dial_unix(address: &SocketAddrUnix, deadline: &Deadline) -> Result<UnixStream, Failed> {
    let io = |error: rustix::io::Errno| Failed::Connect(error.into());
    let kind = SocketType::STREAM;
    let fd = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).map_err(io)?;
    loop {
        let left = deadline.left().map_err(|e| failed(e, Failed::Connect))?;
        sockopt::set_socket_timeout(&fd, sockopt::Timeout::Send, left).map_err(io)?;
        match connect(&fd, address) {
            Ok(()) => return Ok(UnixStream::from(fd)),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                return Err(failed(deadline.passed(), Failed::Connect))
            }
            Err(error) => return Err(io(error)),
        }
    }
}

fn shake_hands(
    tls: &RustlsConnector,
    details: &ConnectionDetails,
    transport: SocketTransport,
) -> Result<Box<dyn Transport>, ureq::Error> {
    let details = ConnectionDetails {
        uri: details.uri,
        addrs: details.resolver.empty(),
        config: details.config,
        // Calls differ in their time limits, never in how they do TLS. ureq cannot know that,
        // and would read all authorities anew and forget the session for each connection.
        request_level: false,
        resolver: details.resolver,
        now: details.now,
        timeout: details.timeout,
        current_time: details.current_time.clone(),
        run_connector: details.run_connector.clone(),
        register_shutdown: details.register_shutdown.clone(),
    };
    match tls.connect(&details, Some(transport))? {
        Some(transport) => Ok(Box::new(transport)),
        None => Err(ureq::Error::ConnectionFailed),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn peers_that_are_gone_are_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = connect_tcp(&listener.local_addr().unwrap(), None).unwrap();
        assert!(sockopt::socket_keepalive(&stream).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&stream).unwrap(), KEEPALIVE_IDLE);
        assert!(stream.nodelay().unwrap());
    }
    /// A listener of another user: sockets belong to whom the thread is that makes them.
    fn of_nobody() -> Option<(TcpListener, u32)> {
        let nobody = rustix::process::Uid::from_raw(65534);
        let made = std::thread::spawn(move || {
            rustix::thread::set_thread_uid(nobody).ok()?;
            TcpListener::bind("127.0.0.1:0").ok()
        });
        Some((made.join().unwrap()?, nobody.as_raw()))
    }

    #[test]
    fn what_another_user_listens_on_is_not_spoken_to() {
        if !rustix::process::geteuid().is_root() {
            return eprintln!("skipped: only root can be somebody else");
        }
        let (listener, uid) = of_nobody().expect("a listener of nobody");
        let address = listener.local_addr().unwrap();
        let refused = connect_checked(&address, &LocalUsers::new(&[]), None).unwrap_err();
        let text = refused.to_string();
        assert!(
            text.contains("user 65534") && text.contains("interlink.local_users"),
            "{text}"
        );
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "nothing was even connected");
        for names in ["*".to_owned(), uid.to_string(), "nobody".to_owned()] {
            let users = LocalUsers::new(std::slice::from_ref(&names));
            connect_checked(&address, &users, None).expect(&names);
        }
        // Who listened only for the moment.
        let stream = connect_tcp(&address, None).unwrap();
        let accepted = std::thread::spawn(move || {
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65534)).unwrap();
            listener.set_nonblocking(false).unwrap();
            // The earlier connections wait before it.
            (0..4)
                .map(|_| listener.accept().unwrap())
                .collect::<Vec<_>>()
        });
        let _accepted = accepted.join().unwrap();
        assert!(peer::listeners(address).unwrap().is_empty());
        assert!(LocalUsers::new(&[]).check_connected(&stream).is_err());
    }

    #[test]
    fn own_listeners_are_spoken_to() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        connect_checked(&address, &LocalUsers::new(&[]), None).unwrap();
        drop(listener);
        let refused = connect_checked(&address, &LocalUsers::new(&[]), None).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
