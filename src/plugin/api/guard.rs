//! Who may send requests. A unix socket has an owner and a mode; a TCP port of this machine is everybody's,
//! and also a browser's: whatever page it shows can send requests to loopback addresses.

use std::{fs, io, net::IpAddr, path::Path};

use crate::plugin::http::Request;

/// Longest token in bytes.
const MAX_TOKEN_BYTES: usize = 16 << 10;

/// What requests must have.
#[derive(Default)]
pub(crate) struct Guard {
    is_tcp: bool,
    token: Option<Vec<u8>>,
}

impl Guard {
    /// For requests that come over TCP or a unix socket, with the token that they must have, if any.
    pub(crate) fn new(is_tcp: bool, token: Option<Vec<u8>>) -> Self {
        Self { is_tcp, token }
    }

    /// Why a request is refused: a status, and the reason.
    pub(super) fn check(&self, request: &Request) -> Result<(), (u16, String)> {
        if self.is_tcp {
            from_no_page(request)?;
        }
        let Some(token) = &self.token else {
            return Ok(());
        };
        let sent = request.header("authorization").unwrap_or_default();
        let sent = sent.strip_prefix("Bearer ").unwrap_or_default();
        match is_same(sent.trim().as_bytes(), token) {
            true => Ok(()),
            false => Err((401, "the bearer token is missing or wrong".to_owned())),
        }
    }
}

/// What no page in a browser can send: the name of another host leads here only by a trick (DNS
/// rebinding), `Origin` comes from pages alone, and only what asks before may send JSON as such (CORS).
fn from_no_page(request: &Request) -> Result<(), (u16, String)> {
    let host = request.header("host").unwrap_or_default();
    if !is_loopback(host) {
        let text = format!("the host `{host}` is not this machine's loopback address");
        return Err((421, text));
    }
    if let Some(origin) = request.header("origin") {
        return Err((403, format!("requests of pages (`{origin}`) are refused")));
    }
    let kind = request.header("content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    match request.body.is_empty() || kind.eq_ignore_ascii_case("application/json") {
        true => Ok(()),
        false => Err((
            415,
            format!("Content-Type is `{kind}`, and must be application/json"),
        )),
    }
}

/// Whether a Host header names a loopback address; its port is any, for a tunnel may lead here.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Compares in a time that does not tell how much is right.
fn is_same(sent: &[u8], token: &[u8]) -> bool {
    let different = sent.iter().zip(token).fold(0, |all, (a, b)| all | (a ^ b));
    sent.len() == token.len() && different == 0
}

/// The token in a file: one line of printable ASCII.
///
/// # Errors
/// The file cannot be read, others may read it, or it holds no token.
pub(crate) fn read_token(path: &Path) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::PermissionsExt as _;
    let wrong = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
        return Err(wrong("others may read or change it; chmod 600 it"));
    }
    let text = fs::read(path)?;
    let token = text.trim_ascii();
    let is_good =
        (1..=MAX_TOKEN_BYTES).contains(&token.len()) && token.iter().all(u8::is_ascii_graphic);
    match is_good {
        true => Ok(token.to_owned()),
        false => Err(wrong("it does not hold one line of printable ASCII")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let mut request = Request::default();
        request.headers = headers.iter().map(own).collect();
        request.body = b"{}".to_vec();
        request
    }

    #[test]
    fn what_a_page_can_send_is_refused_on_tcp() {
        let (json, host) = (
            ("Content-Type", "application/json"),
            ("Host", "127.0.0.1:4000"),
        );
        let tcp = Guard::new(true, None);
        let checked =
            |headers: &[(&str, &str)]| tcp.check(&request(headers)).err().map(|(status, _)| status);
        for (headers, want) in [
            (&[host, json][..], None),
            (&[("host", "LOCALHOST"), json], None),
            (&[("host", "[::1]:4000"), json], None),
            (
                &[host, ("Content-Type", "application/json; charset=utf-8")],
                None,
            ),
            (&[json], Some(421)),
            (&[("Host", "evil.example:4000"), json], Some(421)),
            (&[("Host", "127.0.0.1.evil.example"), json], Some(421)),
            (&[("Host", "10.0.0.1:4000"), json], Some(421)),
            (
                &[host, json, ("Origin", "http://localhost:4000")],
                Some(403),
            ),
            (&[host, ("Content-Type", "text/plain")], Some(415)),
            (&[host], Some(415)),
        ] {
            assert_eq!(checked(headers), want, "{headers:?}");
        }
        let mut question = request(&[host]);
        question.body.clear();
        assert_eq!(tcp.check(&question), Ok(()), "a question without a body");
        assert_eq!(Guard::default().check(&request(&[])), Ok(()));
    }

    #[test]
    fn a_token_has_to_be_the_one() {
        let guard = Guard::new(false, Some(b"secret".to_vec()));
        let checked = |value: &str| guard.check(&request(&[("Authorization", value)])).is_ok();
        assert!(checked("Bearer secret"));
        for wrong in [
            "",
            "secret",
            "Bearer",
            "Bearer ",
            "Bearer secre",
            "Bearer secrets",
            "Basic secret",
        ] {
            assert!(!checked(wrong), "{wrong}");
        }
        assert!(guard.check(&request(&[])).is_err());
    }

    #[test]
    fn tokens_in_files() {
        use std::os::unix::fs::PermissionsExt as _;
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |text: &str| {
            fs::write(file.path(), text).unwrap();
            read_token(file.path()).ok()
        };
        assert_eq!(read("abc\n"), Some(b"abc".to_vec()));
        assert_eq!(read(""), None);
        assert_eq!(read("a b"), None);
        let open = fs::Permissions::from_mode(0o640);
        fs::set_permissions(file.path(), open).unwrap();
        assert_eq!(read("abc"), None);
    }
}
