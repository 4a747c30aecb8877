//! One request: its head as it is parsed, and how its body is delimited.

use std::io;

use httparse::Status;

const MAX_HEADERS: usize = 64;

/// One request, body and all.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The method, such as `GET`.
    pub method: String,
    /// The target as sent: path, query and all.
    pub target: String,
    /// The headers in their order. A value that is not UTF-8 has replacement characters.
    pub headers: Vec<(String, String)>,
    /// The body, with its transfer coding taken off.
    pub body: Vec<u8>,
    /// Who sent it, for people.
    pub peer: String,
    pub(super) http_1_0: bool,
}

impl Request {
    /// The target's path, without query and, from a proxy, without scheme and host.
    pub fn path(&self) -> &str {
        let target = self.target.split(['?', '#']).next().unwrap_or_default();
        match target.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
            None => target,
        }
    }

    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    fn headers_named<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Whether the client wants the connection kept for another request.
    pub(super) fn keeps_alive(&self) -> bool {
        let says = |word: &str| {
            self.headers_named("connection")
                .flat_map(|value| value.split(','))
                .any(|token| token.trim().eq_ignore_ascii_case(word))
        };
        if self.http_1_0 {
            says("keep-alive")
        } else {
            !says("close")
        }
    }
}

/// Why there is no request.
#[derive(Debug)]
pub(super) enum Failure {
    /// The client is gone, or silent for too long; nobody is there to be told.
    Gone,
    /// What came is no request that this server takes. To be answered, then closed.
    Refused(u16, String),
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

pub(super) fn refused<T>(status: u16, text: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Refused(status, text.into()))
}

/// How a body is delimited.
pub(super) enum Framing {
    Length(usize),
    Chunked,
}

/// Parses a head, if all of it is there: the request without its body, and the head's length.
pub(super) fn parse_head(bytes: &[u8]) -> Result<Option<(Request, usize)>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let used = match parsed.parse(bytes) {
        Ok(Status::Complete(used)) => used,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return refused(431, format!("more than {MAX_HEADERS} headers"))
        }
        Err(error) => return refused(400, format!("not an HTTP request: {error}")),
    };
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let request = Request {
        method: text(parsed.method),
        target: text(parsed.path),
        headers: parsed
            .headers
            .iter()
            .map(|header| {
                let value = String::from_utf8_lossy(header.value).into_owned();
                (header.name.to_owned(), value)
            })
            .collect(),
        body: Vec::new(),
        peer: String::new(),
        http_1_0: parsed.version == Some(0),
    };
    Ok(Some((request, used)))
}

/// How the body is delimited. What two servers could read in two ways is refused (RFC 9112,
/// 6.3), because this one may stand behind another.
pub(super) fn framing(request: &Request) -> Result<Framing, Failure> {
    let mut codings = request.headers_named("transfer-encoding");
    let mut lengths = request.headers_named("content-length");
    match (codings.next(), lengths.next()) {
        (None, None) => Ok(Framing::Length(0)),
        (Some(_), Some(_)) => refused(400, "both Content-Length and Transfer-Encoding"),
        (Some(coding), None) => {
            if codings.next().is_none() && coding.trim().eq_ignore_ascii_case("chunked") {
                Ok(Framing::Chunked)
            } else {
                refused(501, format!("cannot read the transfer coding `{coding}`"))
            }
        }
        (None, Some(length)) => {
            if lengths.any(|other| other != length) {
                return refused(400, "several lengths that differ");
            }
            let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
            match length.parse() {
                Ok(length) if digits => Ok(Framing::Length(length)),
                _ if digits => refused(413, "a length beyond all limits"),
                _ => refused(400, format!("`{length}` is no length")),
            }
        }
    }
}
