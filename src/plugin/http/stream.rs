//! Connections: unix sockets and TCP behind one type.

use std::{
    io::{self, IoSlice, Read, Write},
    net::{Shutdown, TcpStream},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use rustix::net::RecvFlags;

use crate::peer;

/// One connection. Reads and writes go through a shared reference: the server keeps another
/// one, to cut the connection when it stops.
#[derive(Debug)]
pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    /// Whether a user may use it at all: whoever has connected to a unix socket is root or this process's own
    /// user, whatever became of the socket's mode.
    pub(super) fn is_permitted(&self) -> bool {
        match self {
            Self::Unix(stream) => peer::unix_owner(stream).is_ok_and(peer::is_own),
            Self::Tcp(_) => true,
        }
    }

    /// Who is at the other end, for people.
    pub(super) fn peer(&self) -> String {
        let user = |uid: Option<u32>| match uid {
            Some(uid) => format!("user {uid}"),
            None => "an unknown user".to_owned(),
        };
        match self {
            Self::Unix(stream) => user(peer::unix_owner(stream).ok()),
            Self::Tcp(stream) => match (stream.local_addr(), stream.peer_addr()) {
                (Ok(own), Ok(other)) => {
                    let uid = peer::owner(own, other).ok().flatten();
                    format!("{} at {other}", user(uid))
                }
                _ => user(None),
            },
        }
    }

    /// Limits the next reads; the shortest limit that sockets know is taken for nothing left.
    pub(super) fn limit_reads(&self, span: Duration) -> io::Result<()> {
        let span = Some(span.max(Duration::from_millis(1)));
        match self {
            Self::Unix(stream) => stream.set_read_timeout(span),
            Self::Tcp(stream) => stream.set_read_timeout(span),
        }
    }

    pub(super) fn limit_writes(&self, span: Duration) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.set_write_timeout(Some(span)),
            Self::Tcp(stream) => stream.set_write_timeout(Some(span)),
        }
    }

    /// Ends one or both directions. Whoever is blocked on the stream returns.
    pub(super) fn shutdown(&self, how: Shutdown) {
        let done = match self {
            Self::Unix(stream) => stream.shutdown(how),
            Self::Tcp(stream) => stream.shutdown(how),
        };
        // Fails only when the other side has ended it before.
        drop(done);
    }

    /// Whether the other side has hung up. Bytes that wait to be read mean that it has not.
    pub(super) fn is_gone(&self) -> bool {
        let mut byte = [0_u8; 1];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match rustix::net::recv(self, &mut byte[..], flags) {
            Ok((_, length)) => length == 0,
            Err(error) => error != rustix::io::Errno::AGAIN && error != rustix::io::Errno::INTR,
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}

impl Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => (&*stream).read(buffer),
            Stream::Tcp(stream) => (&*stream).read(buffer),
        }
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => (&*stream).write(bytes),
            Stream::Tcp(stream) => (&*stream).write(bytes),
        }
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => (&*stream).write_vectored(parts),
            Stream::Tcp(stream) => (&*stream).write_vectored(parts),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
