//! Where the API server is, and by which name it is known: the kubeconfig's `server` and
//! `tls-server-name`, checked and taken apart.

use std::net::{IpAddr, SocketAddr};

use ureq::{
    config::Config,
    http::{HeaderValue, Uri},
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::NextTimeout,
    },
};

use crate::{
    endpoint::{self, Endpoint, Target},
    text::is_dns_subdomain,
};

/// The API server's address.
#[derive(Clone, Debug)]
pub struct Server {
    /// The URL as given, without a slash at its end; it may have a path.
    pub url: String,
    /// What requests' URLs begin with: `url`, with the name in the server's certificate.
    pub(super) base: String,
    /// The Host header, where `base` has another name than `url`.
    pub(super) host: Option<HeaderValue>,
    /// `url`, for the look-up of its host.
    uri: Uri,
    endpoint: Endpoint,
}

impl Server {
    /// Reads `https://HOST[:PORT][/PREFIX]`. `http://` passes for this machine's own loopback
    /// only, where nobody listens in.
    ///
    /// # Errors
    /// What is wrong with it. A password is not repeated.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let endpoint = Endpoint::parse(url).map_err(|error| match error {
            endpoint::Error::NotAUrl => format!("{error}; write https://HOST:PORT"),
            endpoint::Error::Scheme => "must begin with https://".to_owned(),
            endpoint::Error::Password => {
                format!("{error}; use a client certificate or a token")
            }
            other => other.to_string(),
        })?;
        if matches!(endpoint.target, Target::Unix(_)) {
            return Err("must begin with https://".to_owned());
        }
        if !endpoint.is_tls && !endpoint.target.is_local() {
            return Err("http:// would show the credentials to others; use https".to_owned());
        }
        let base = endpoint.base.clone();
        Ok(Self {
            // Not reached: it has been parsed.
            uri: base.parse().map_err(|_| "not a URL")?,
            url: base.clone(),
            base,
            host: None,
            endpoint,
        })
    }

    /// The same server, with another name in its certificate. Without TLS there is none.
    ///
    /// # Errors
    /// Not a host name.
    pub(super) fn known_as(self, name: &str) -> Result<Self, String> {
        let wrong = || "not a host name".to_owned();
        let authority = match self.uri.authority() {
            Some(authority) if self.endpoint.is_tls => authority,
            _ => return Ok(self),
        };
        let name = match name.parse::<IpAddr>() {
            Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
            Ok(IpAddr::V4(_)) => name.to_owned(),
            Err(_) => Some(name.to_ascii_lowercase())
                .filter(|name| is_dns_subdomain(name))
                .ok_or_else(wrong)?,
        };
        let port = authority.port().map(|port| format!(":{port}"));
        let path = self.uri.path().trim_end_matches('/');
        let base = format!("https://{name}{}{path}", port.unwrap_or_default());
        Ok(Self {
            base,
            host: Some(HeaderValue::from_str(authority.as_str()).map_err(|_| wrong())?),
            ..self
        })
    }
}

/// Looks up the server's own host, whatever name a request's URL has.
#[derive(Debug)]
pub(super) struct ServerResolver(pub(super) Server);

impl Resolver for ServerResolver {
    fn resolve(
        &self,
        _: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let ip = match &self.0.endpoint.target {
            Target::Tcp { host, port } => host.parse().ok().map(|ip| SocketAddr::new(ip, *port)),
            Target::Unix(_) => None,
        };
        match ip {
            // An address needs no thread to look it up.
            Some(address) => {
                let mut found = self.empty();
                found.push(address);
                Ok(found)
            }
            None => DefaultResolver::default().resolve(&self.0.uri, config, timeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_servers() {
        #[rustfmt::skip]
        let table = [
            // url, another name, base, host
            ("https://10.0.0.1:6443", None, "https://10.0.0.1:6443", None),
            ("https://api.example/k8s/c1/", None, "https://api.example/k8s/c1", None),
            ("http://127.0.0.1:8001", None, "http://127.0.0.1:8001", None),
            ("http://[::1]:8001", None, "http://[::1]:8001", None),
            ("http://localhost", None, "http://localhost", None),
            ("https://10.0.0.1:6443/x/", Some("kubernetes"), "https://kubernetes:6443/x", Some("10.0.0.1:6443")),
            ("https://[fd00::1]", Some("api.Example"), "https://api.example", Some("[fd00::1]")),
            ("http://localhost:1", Some("kubernetes"), "http://localhost:1", None),
            ("https://a:1", Some("fd00::2"), "https://[fd00::2]:1", Some("a:1")),
        ];
        for (url, name, base, host) in table {
            let server = Server::parse(url).unwrap();
            let server = match name {
                Some(name) => server.known_as(name).unwrap(),
                None => server,
            };
            assert_eq!(server.base, base, "{url}");
            assert_eq!(
                server.host.map(|host| host.to_str().unwrap().to_owned()),
                host.map(str::to_owned),
                "{url}"
            );
        }
    }

    #[test]
    fn bad_servers() {
        let table = [
            ("", "not a URL"),
            ("10.0.0.1:6443", "must begin with"),
            ("/x", "must begin with"),
            ("ftp://h", "must begin with"),
            ("http://api.example:8080", "use https"),
            ("http://10.0.0.1", "use https"),
            ("http://127.0.0.1.evil.example", "use https"),
            ("http://localhost.evil.example", "use https"),
            ("https://u:hush@h", "client certificate"),
            ("https://h?hush", "query"),
            ("https://h/#x", "fragment"),
            ("https://h:0", "bad port"),
            ("https://h:", "bad port"),
        ];
        for (url, part) in table {
            let why = Server::parse(url).expect_err(url);
            assert!(
                why.contains(part) && !why.contains("hush"),
                "{url:?}: {why}"
            );
        }
        for name in ["", "a b", "a/b", "a@b", "a:1", "[::1]"] {
            let server = Server::parse("https://h").unwrap();
            assert!(server.known_as(name).is_err(), "{name:?}");
        }
    }
}
