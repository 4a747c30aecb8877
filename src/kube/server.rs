//! Where the API server is, and by which name it is known: the kubeconfig's `server` and
//! `tls-server-name`, checked and taken apart.

use std::net::{IpAddr, SocketAddr};

use ureq::{
    config::Config,
    http::{uri::Authority, HeaderValue, Uri},
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::NextTimeout,
    },
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
}

impl Server {
    /// Reads `https://HOST[:PORT][/PREFIX]`. `http://` passes for this machine's own loopback
    /// only, where nobody listens in.
    ///
    /// # Errors
    /// What is wrong with it. A password is not repeated.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url
            .parse()
            .map_err(|_| "not a URL; write https://HOST:PORT")?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err("must begin with https://".to_owned());
        };
        if authority.as_str().contains('@') {
            return Err(
                "must not hold a user name or password; use a client certificate \
                        or a token"
                    .into(),
            );
        }
        if uri.query().is_some() || url.contains('#') {
            return Err("must not have a query or fragment".to_owned());
        }
        if port(authority).is_some_and(|port| port.parse().ok().is_none_or(|port: u16| port == 0)) {
            return Err("has a bad port".to_owned());
        }
        match scheme {
            "https" => {}
            "http" if is_loopback(bare(authority)) => {}
            "http" => return Err("http:// would show the credentials to others; use https".into()),
            _ => return Err("must begin with https://".to_owned()),
        }
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self {
            base: url.clone(),
            url,
            host: None,
            uri,
        })
    }

    /// The same server, with another name in its certificate. Without TLS there is none.
    ///
    /// # Errors
    /// Not a host name.
    pub(super) fn known_as(self, name: &str) -> Result<Self, String> {
        let wrong = || "not a host name".to_owned();
        let authority = match self.uri.authority() {
            Some(authority) if self.is_tls() => authority,
            _ => return Ok(self),
        };
        let name = match name.parse::<IpAddr>() {
            Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
            Ok(IpAddr::V4(_)) => name.to_owned(),
            Err(_) => super::names::subdomain("host", &name.to_ascii_lowercase())
                .map_err(|_| wrong())?
                .to_owned(),
        };
        let port = port(authority).map(|port| format!(":{port}"));
        let path = self.uri.path().trim_end_matches('/');
        let base = format!("https://{name}{}{path}", port.unwrap_or_default());
        Ok(Self {
            base,
            host: Some(HeaderValue::from_str(authority.as_str()).map_err(|_| wrong())?),
            ..self
        })
    }

    pub(super) fn is_tls(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }
}

/// Without the brackets of an IPv6 address.
fn bare(authority: &Authority) -> &str {
    let host = authority.host();
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

fn port(authority: &Authority) -> Option<&str> {
    let (_, port) = authority.as_str().rsplit_once(':')?;
    (!port.ends_with(']')).then_some(port)
}

fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback(),
        Err(_) => host == "localhost",
    }
}

/// Looks up the server's own host, whatever name a request's URL has.
#[derive(Debug)]
pub(super) struct Whereabouts(pub(super) Server);

impl Resolver for Whereabouts {
    fn resolve(
        &self,
        _: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let uri = &self.0.uri;
        let ip = uri.authority().and_then(|at| bare(at).parse().ok());
        match ip {
            // An address needs no thread to look it up.
            Some(ip) => {
                let port = uri
                    .port_u16()
                    .unwrap_or(if self.0.is_tls() { 443 } else { 80 });
                let mut found = self.empty();
                found.push(SocketAddr::new(ip, port));
                Ok(found)
            }
            None => DefaultResolver::default().resolve(uri, config, timeout),
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
