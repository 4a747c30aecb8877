//! Where an HTTP server is: a URL from a configuration, checked and taken apart. Pure; what each
//! client allows beyond that it says itself.

use std::{fmt, net::IpAddr, path::PathBuf};

use rustix::net::SocketAddrUnix;
use ureq::http::{uri::Authority, Uri};

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// What every request's URL begins with, without a slash at its end. It may have a path.
    pub base: String,
    /// Where the connection goes.
    pub target: Target,
    /// Whether the connection is to be TLS.
    pub is_tls: bool,
}

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A host and a port.
    Tcp {
        /// Name, IPv4 or IPv6 address, without brackets.
        host: String,
        /// Never 0.
        port: u16,
    },
    /// A socket in the file system.
    Unix(PathBuf),
}

impl Target {
    /// Whether nobody but this machine can be there.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp { host, .. } => match host.parse::<IpAddr>() {
                Ok(ip) => ip.is_loopback(),
                Err(_) => host == "localhost",
            },
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// Why a text is no address. A password in it is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a URL.
    #[error("not a URL")]
    NotAUrl,
    /// Another scheme, or none.
    #[error("must begin with http://, https:// or unix:///")]
    Scheme,
    /// No host.
    #[error("has no host")]
    NoHost,
    /// A user name or password before the host.
    #[error("must not hold a user name or password")]
    Password,
    /// A query or fragment.
    #[error("must not have a query or fragment")]
    Query,
    /// No number, or 0, or more than 65535.
    #[error("has a bad port")]
    Port,
    /// A socket whose path is not absolute, or that of a directory.
    #[error("unix:// needs the socket's absolute path, as in unix:///run/x.sock")]
    RelativeSocket,
    /// A socket whose path does not fit into an address of one.
    #[error("{0} is too long for a socket's path (107 bytes at most)")]
    LongSocket(String),
}

impl Endpoint {
    /// Reads `http://HOST[:PORT][/PREFIX]`, the same with `https`, or `unix:///PATH`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(url: &str) -> Result<Self, Error> {
        match url.strip_prefix("unix://") {
            Some(path) => Self::unix(path),
            None => Self::tcp(url),
        }
    }

    /// The path is taken as it is; nothing is decoded.
    fn unix(path: &str) -> Result<Self, Error> {
        if !path.starts_with('/') {
            // What stands where a host would may hold a password.
            return Err(match path.contains('@') {
                true => Error::Password,
                false => Error::RelativeSocket,
            });
        }
        if path.ends_with('/') {
            return Err(Error::RelativeSocket);
        }
        SocketAddrUnix::new(path).map_err(|_| Error::LongSocket(path.to_owned()))?;
        Ok(Self {
            // The server does not look at the host name, but HTTP wants one.
            base: "http://localhost".to_owned(),
            target: Target::Unix(path.into()),
            is_tls: false,
        })
    }

    fn tcp(url: &str) -> Result<Self, Error> {
        // Wherever it stands: a `/` in a password looks like the end of the host.
        if url.contains('@') {
            return Err(Error::Password);
        }
        let uri: Uri = url.parse().map_err(|_| Error::NotAUrl)?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(Error::Scheme),
        };
        let authority = uri.authority().ok_or(Error::NoHost)?;
        // The parser drops a fragment silently.
        if uri.query().is_some() || url.contains('#') {
            return Err(Error::Query);
        }
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let port = match port_text(authority) {
            None if is_tls => 443,
            None => 80,
            Some(text) => match text.parse() {
                Ok(port) if port != 0 => port,
                _ => return Err(Error::Port),
            },
        };
        if host.is_empty() {
            return Err(Error::NoHost);
        }
        Ok(Self {
            base: url.trim_end_matches('/').to_owned(),
            target: Target::Tcp {
                host: host.to_owned(),
                port,
            },
            is_tls,
        })
    }
}

/// What stands behind the last colon that is not part of an IPv6 address.
fn port_text(authority: &Authority) -> Option<&str> {
    let (_, port) = authority.as_str().rsplit_once(':')?;
    (!port.ends_with(']')).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_addresses() {
        #[rustfmt::skip]
        let table = [
            // url, base, target, is TLS, is local
            ("http://h:3000", "http://h:3000", "h:3000", false, false),
            ("http://h", "http://h", "h:80", false, false),
            ("https://h.example/", "https://h.example", "h.example:443", true, false),
            ("HTTPS://h", "HTTPS://h", "h:443", true, false),
            ("https://h:8443/a/b//", "https://h:8443/a/b", "h:8443", true, false),
            ("http://10.0.0.1:1", "http://10.0.0.1:1", "10.0.0.1:1", false, false),
            ("http://127.0.0.1.evil.example", "http://127.0.0.1.evil.example", "127.0.0.1.evil.example:80", false, false),
            ("http://127.0.0.2:1", "http://127.0.0.2:1", "127.0.0.2:1", false, true),
            ("http://localhost", "http://localhost", "localhost:80", false, true),
            ("http://[::1]:3000", "http://[::1]:3000", "[::1]:3000", false, true),
            ("http://[fd00::1]", "http://[fd00::1]", "[fd00::1]:80", false, false),
            ("unix:///run/il.sock", "http://localhost", "/run/il.sock", false, true),
            ("unix:///run/a@b.sock", "http://localhost", "/run/a@b.sock", false, true),
        ];
        for (url, base, target, is_tls, is_local) in table {
            let endpoint = Endpoint::parse(url).unwrap();
            assert_eq!(endpoint.base, base, "{url}");
            assert_eq!(endpoint.target.to_string(), target, "{url}");
            assert_eq!(endpoint.is_tls, is_tls, "{url}");
            assert_eq!(endpoint.target.is_local(), is_local, "{url}");
        }
    }

    #[test]
    fn bad_addresses() {
        let long = format!("unix:///{}", "x".repeat(120));
        let table = [
            ("", "not a URL"),
            ("h:3000", "must begin with"),
            ("/run/il.sock", "must begin with"),
            ("ftp://h", "must begin with"),
            ("http://", "not a URL"),
            ("http://:3000", "host"),
            ("http://h:0", "bad port"),
            ("http://h:", "bad port"),
            ("http://h:70000", "port"),
            ("http://h?x=1", "query"),
            ("http://h/#x", "fragment"),
            ("http://h /", "not a URL"),
            ("http://user:hush@h", "password"),
            ("http://user:/hush@h", "password"),
            ("user:hush@h", "password"),
            ("unix://user:hush@h", "password"),
            ("unix://run/il.sock", "absolute path"),
            ("unix:///", "absolute path"),
            ("unix:///run/", "absolute path"),
            (&long, "too long"),
        ];
        for (url, part) in table {
            let error = Endpoint::parse(url).expect_err(url).to_string();
            assert!(error.contains(part), "{url}: {error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
