//! Where a server listens: unix sockets and TCP behind one type.

use std::{
    fmt, fs, io,
    net::{SocketAddr, TcpListener},
    os::{
        fd::AsFd as _,
        unix::{fs::PermissionsExt as _, net::UnixListener},
    },
    path::{Path, PathBuf},
    str::FromStr,
};

use super::{error::Error, stream::Stream};
use crate::{
    endpoint::{Endpoint, Target},
    peer::{self, AtPath},
};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// `unix:///PATH`
    Unix(PathBuf),
    /// `http://IP:PORT`; port 0 takes a free one.
    Tcp(SocketAddr),
}

impl FromStr for ListenAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |why: &str| Error::Address {
            text: text.to_owned(),
            why: why.to_owned(),
        };
        if text.starts_with("unix://") {
            let endpoint = Endpoint::parse(text).map_err(|error| wrong(&error.to_string()))?;
            if let Target::Unix(path) = endpoint.target {
                return Ok(Self::Unix(path));
            }
        }
        // Not an endpoint's form: to listen takes an IP address instead of a name, and port 0.
        let Some(host) = text.strip_prefix("http://") else {
            return Err(wrong("it must be `unix:///PATH` or `http://IP:PORT`"));
        };
        let host = host.trim_end_matches('/');
        let host = match host.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => host.to_owned(),
        };
        host.parse()
            .map(Self::Tcp)
            .map_err(|_| wrong("after `http://` belong an IP address and a port"))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "http://{address}"),
        }
    }
}

/// A bound socket. A unix socket's file goes with it.
#[derive(Debug)]
pub(super) enum Listener {
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
}

impl Listener {
    pub(super) fn bind(address: &ListenAddress) -> Result<Self, Error> {
        let failed = |source| Error::Bind {
            address: address.to_string(),
            source,
        };
        match address {
            ListenAddress::Tcp(address) => {
                TcpListener::bind(address).map(Self::Tcp).map_err(failed)
            }
            ListenAddress::Unix(path) => {
                remove_stale(path)?;
                let listener = UnixListener::bind(path).map_err(failed)?;
                fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
                Ok(Self::Unix(listener, path.clone()))
            }
        }
    }

    pub(super) fn address(&self) -> io::Result<ListenAddress> {
        match self {
            Self::Unix(_, path) => Ok(ListenAddress::Unix(path.clone())),
            Self::Tcp(listener) => listener.local_addr().map(ListenAddress::Tcp),
        }
    }

    pub(super) fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Unix(listener, _) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                // Log lines are sent as they come, and answers in one write.
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
        }
    }

    /// Lets a blocked `accept` return, and every later one.
    pub(super) fn close(&self) -> io::Result<()> {
        let fd = match self {
            Self::Unix(listener, _) => listener.as_fd(),
            Self::Tcp(listener) => listener.as_fd(),
        };
        Ok(rustix::net::shutdown(fd, rustix::net::Shutdown::Both)?)
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

/// Removes the socket of a server that died; refuses when one still answers there.
fn remove_stale(path: &Path) -> Result<(), Error> {
    match peer::socket_at(path) {
        Ok(AtPath::Live) => Err(Error::InUse { path: path.into() }),
        Ok(AtPath::Dead) => fs::remove_file(path).map_err(|source| Error::Bind {
            address: path.display().to_string(),
            source,
        }),
        // Whatever else is in the way, `bind` says it best.
        Ok(AtPath::Nothing | AtPath::NoSocket) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let unix = ListenAddress::Unix("/run/a.sock".into());
        let tcp = |text: &str| ListenAddress::Tcp(text.parse().unwrap());
        let too_long = format!("unix:///{}", "x".repeat(120));
        for (text, want) in [
            ("unix:///run/a.sock", Some(unix)),
            ("http://127.0.0.1:0", Some(tcp("127.0.0.1:0"))),
            ("http://localhost:80/", Some(tcp("127.0.0.1:80"))),
            ("http://[::1]:80", Some(tcp("[::1]:80"))),
            ("unix://a.sock", None),
            ("unix:///run/", None),
            (&*too_long, None),
            ("https://127.0.0.1:1", None),
            ("http://somewhere:1", None),
            ("http://127.0.0.1", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<ListenAddress>().ok(), want, "{text}");
        }
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let address = ListenAddress::Unix(path.clone());
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "the file outlives a server that dies");
        let first = Listener::bind(&address).unwrap();
        assert!(matches!(Listener::bind(&address), Err(Error::InUse { .. })));
        drop(first);
        assert!(!path.exists());
        fs::write(&path, "precious").unwrap();
        assert!(matches!(Listener::bind(&address), Err(Error::Bind { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
