//! Where the server is: `interlink.url`, checked and taken apart.

use std::{fmt, path::PathBuf};

use rustix::net::SocketAddrUnix;
use ureq::http::Uri;

use super::error::Error;

/// The server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// What every request's URL begins with, without a slash at the end.
    pub(super) base: String,
    /// Where the connection goes.
    pub(super) target: Target,
}

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A host, as a name or a bare address, and a port.
    Tcp {
        /// Name, IPv4 or IPv6 address, without brackets.
        host: String,
        /// Port.
        port: u16,
    },
    /// A socket in the file system.
    Unix(PathBuf),
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

impl Address {
    /// Reads `http://HOST[:PORT][/PREFIX]`, the same with `https`, or `unix:///PATH`.
    ///
    /// # Errors
    /// Anything else. A URL with a name or password in it is refused without being repeated.
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        match url.strip_prefix("unix://") {
            Some(path) => Self::unix(path),
            None => Self::tcp(url),
        }
        .map_err(|why| Error::BadUrl { why })
    }

    /// The path is taken as it is; nothing is decoded.
    fn unix(path: &str) -> Result<Self, String> {
        if !path.starts_with('/') || path.ends_with('/') {
            return Err(
                "unix:// needs the socket's absolute path, as in unix:///run/x.sock".into(),
            );
        }
        SocketAddrUnix::new(path)
            .map_err(|_| format!("{path} is too long for a socket's path (107 bytes at most)"))?;
        Ok(Self {
            // The server does not look at the host name, but HTTP wants one.
            base: "http://localhost".to_owned(),
            target: Target::Unix(path.into()),
        })
    }

    fn tcp(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|_| "not a URL".to_owned())?;
        let default_port = match uri.scheme_str() {
            Some("http") => 80,
            Some("https") => 443,
            _ => return Err("must begin with http://, https:// or unix:///".into()),
        };
        let authority = uri.authority().ok_or("has no host")?;
        if authority.as_str().contains('@') {
            return Err(
                "must not hold a user name or password: put a bearer token into \
                        interlink.token_file"
                    .into(),
            );
        }
        // The parser drops a fragment silently.
        if uri.query().is_some() || url.contains('#') {
            return Err(format!("{url:?} must not have a query or fragment"));
        }
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let port = match authority.as_str().rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| format!("{url:?} has a bad port"))?,
            _ => default_port,
        };
        if host.is_empty() {
            return Err(format!("{url:?} has no host"));
        }
        Ok(Self {
            base: url.trim_end_matches('/').to_owned(),
            target: Target::Tcp {
                host: host.to_owned(),
                port,
            },
        })
    }

    /// Whether the connection is to be TLS.
    pub(super) fn is_tls(&self) -> bool {
        // The scheme's case does not matter to the parser.
        self.base
            .get(..6)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_addresses() {
        let table = [
            ("http://h:3000", "http://h:3000", "h:3000", false),
            ("http://h", "http://h", "h:80", false),
            (
                "https://h.example/",
                "https://h.example",
                "h.example:443",
                true,
            ),
            ("HTTPS://h", "HTTPS://h", "h:443", true),
            ("https://h:8443/a/b//", "https://h:8443/a/b", "h:8443", true),
            (
                "http://10.0.0.1:1",
                "http://10.0.0.1:1",
                "10.0.0.1:1",
                false,
            ),
            (
                "http://[::1]:3000",
                "http://[::1]:3000",
                "[::1]:3000",
                false,
            ),
            ("http://[::1]", "http://[::1]", "[::1]:80", false),
            (
                "unix:///run/il.sock",
                "http://localhost",
                "/run/il.sock",
                false,
            ),
        ];
        for (url, base, target, tls) in table {
            let address = Address::parse(url).unwrap();
            assert_eq!(address.base, base, "{url}");
            assert_eq!(address.target.to_string(), target, "{url}");
            assert_eq!(address.is_tls(), tls, "{url}");
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
            ("http://h:70000", "port"),
            ("http://h?x=1", "query"),
            ("http://h/#x", "fragment"),
            ("http://h /", "not a URL"),
            ("http://user:hush@h", "token_file"),
            ("unix://run/il.sock", "absolute path"),
            ("unix:///", "absolute path"),
            ("unix:///run/", "absolute path"),
            (&long, "too long"),
        ];
        for (url, part) in table {
            let error = Address::parse(url).expect_err(url).to_string();
            assert!(error.contains(part), "{url}: {error}");
            assert!(error.starts_with("interlink.url"), "{url}: {error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
