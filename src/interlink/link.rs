//! One HTTP exchange: what is sent, how long it may take, and what an answer or its absence
//! means. [`client`](super::client) says what each call is for.

use std::{
    io,
    time::{Duration, Instant},
};

use rustls::AlertDescription as Alert;
use ureq::{
    config::Config,
    http::{header, HeaderValue, Request},
    tls::TlsConfig,
    Agent,
};
use uuid::Uuid;

use super::{
    answer::{lost, Answer, Head, Limit},
    call::Call,
    dial::{Dialer, Failed, LocalUsers, Unresolved},
    error::{Error, Phase, TOKEN_KEY},
    tls,
    transport::{CancelToken, LiftableLimit, BUFFER_BYTES},
};
use crate::{
    config::schema::InterLink,
    daemon_log,
    endpoint::{self, Endpoint, Target},
    text::one_line,
    traces::{self, HttpCall},
};

/// Who calls.
const USER_AGENT: &str = concat!("interlink-cri/", env!("CARGO_PKG_VERSION"));
/// The header that server and plugin put into their logs.
const SESSION: &str = "InterLink-Http-Session";
/// The headers that make the server's spans a part of the trace (<https://www.w3.org/TR/trace-context/>).
const TRACE_PARENT: &str = "traceparent";
const TRACE_STATE: &str = "tracestate";
/// Largest head of an answer.
const MAX_HEAD_BYTES: usize = BUFFER_BYTES / 2;
/// Largest head of the answer that brings a followed log, and the input that a TLS session of it keeps. There
/// may be hundreds of them.
const STREAM_HEAD_BYTES: usize = 16 << 10;
/// Room for the largest piece of a request for a followed log, without its token: the request line, a header, or
/// some of the body.
const STREAM_PIECE_BYTES: usize = 4 << 10;
/// Connections that are kept for the next call.
const IDLE_CONNECTIONS: usize = 4;
/// For how long. The server closes its end after 30 s (its ReadTimeout, in the absence of an
/// IdleTimeout), and a call must not run into that.
const IDLE_AGE: Duration = Duration::from_secs(15);

/// One request, complete: nothing is sent before the whole body exists.
pub(super) struct Outgoing<'a> {
    pub(super) call: Call,
    pub(super) body: &'a [u8],
    pub(super) bearer: Option<HeaderValue>,
    pub(super) limit: Limit,
}

/// The way to the server, with the connections that are open.
#[derive(Debug)]
pub(super) struct Link {
    base: String,
    target: Target,
    to: String,
    connect: Limit,
    tls: TlsConfig,
    /// Keeps connections for the next call. Such a connection may turn out to be closed, when
    /// the server hung up in the same moment; the request goes once more then, over a new one.
    pooled: HttpAgent,
    /// Uses each connection once. Submissions go this way: a broken old connection would leave
    /// open whether the job exists.
    single: HttpAgent,
}

/// An agent, and the way in which it makes its connections.
#[derive(Debug)]
struct HttpAgent {
    agent: Agent,
    dialer: Dialer,
}

impl HttpAgent {
    fn new(config: Config, dialer: Dialer) -> Self {
        Self {
            agent: Agent::with_parts(config, dialer.clone(), Unresolved),
            dialer,
        }
    }
}

impl Link {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// The URL, or one of the PEM files.
    pub(super) fn new(from: &InterLink, all: &CancelToken) -> Result<Self, Error> {
        let endpoint = address(from.url.as_deref().ok_or(Error::NoUrl)?)?;
        let users = LocalUsers::new(&from.local_users);
        let dialer = Dialer::new(&endpoint.target, users, all.clone())
            .map_err(|e| Error::BadUrl { why: e.to_string() })?;
        let tls = match endpoint.is_tls {
            true => tls::config(from)?,
            false => TlsConfig::default(),
        };
        let connect = Limit {
            time: from.connect_timeout,
            key: "interlink.connect_timeout",
        };
        let pooled = config(tls.clone(), connect.time, IDLE_CONNECTIONS, USUAL);
        let single = config(tls.clone(), connect.time, 0, USUAL);
        Ok(Self {
            base: endpoint.base,
            to: endpoint.target.to_string(),
            target: endpoint.target,
            connect,
            tls,
            pooled: HttpAgent::new(pooled, dialer.clone()),
            single: HttpAgent::new(single, dialer),
        })
    }

    /// The span of a call, which begins now.
    pub(super) fn span(&self, call: Call) -> traces::Span {
        if !traces::is_on() {
            return traces::Span::default();
        }
        let (host, port) = match &self.target {
            Target::Tcp { host, port } => (host.as_str(), Some(*port)),
            Target::Unix(_) => (self.to.as_str(), None),
        };
        traces::call(HttpCall {
            method: call.method().as_str(),
            path: call.path(),
            base: &self.base,
            host,
            port,
        })
    }

    /// Sends a request and waits for the head of a good answer; all of the answer has to arrive
    /// within the request's limit.
    ///
    /// # Errors
    /// No good answer.
    pub(super) fn exchange(&self, out: &Outgoing) -> Result<Answer, Error> {
        let began = Instant::now();
        if !out.call.is_repeatable() {
            return self.attempt(&self.single, out, Some(out.limit.time));
        }
        let first = self.attempt(&self.pooled, out, Some(out.limit.time));
        let left = out.limit.time.saturating_sub(began.elapsed());
        match first {
            Err(Error::Dropped {
                phase: Phase::Answer,
                ..
            }) if !left.is_zero() => self.attempt(&self.single, out, Some(left)),
            other => other,
        }
    }

    /// The same, for an answer without an end: the limit is for its head alone.
    ///
    /// # Errors
    /// No good answer.
    pub(super) fn open(&self, out: &Outgoing, cancel: &CancelToken) -> Result<Answer, Error> {
        let limit = LiftableLimit::new(out.limit.time);
        let token = out.bearer.as_ref().map_or(0, HeaderValue::len);
        let sizes = Sizes {
            head: STREAM_HEAD_BYTES,
            input: STREAM_HEAD_BYTES,
            output: STREAM_PIECE_BYTES + token,
        };
        let dialer = self.single.dialer.once(cancel, &limit, sizes.output);
        let config = config(self.tls.clone(), self.connect.time, 0, sizes);
        let http = HttpAgent::new(config, dialer);
        let answer = self.attempt(&http, out, None)?;
        limit.lift();
        Ok(answer)
    }

    fn attempt(
        &self,
        http: &HttpAgent,
        out: &Outgoing,
        time: Option<Duration>,
    ) -> Result<Answer, Error> {
        let session = Uuid::new_v4();
        let began = Instant::now();
        let result = self.try_once(http, out, time, &session);
        let (call, elapsed_ms) = (out.call, daemon_log::millis(began.elapsed()));
        match &result {
            Ok(_) => log::debug!(call:%, elapsed_ms, session:%; "interLink has answered"),
            Err(error) => {
                log::debug!(call:%, elapsed_ms, session:%, error:%; "interLink has not answered well");
            }
        }
        result
    }

    fn try_once(
        &self,
        http: &HttpAgent,
        out: &Outgoing,
        time: Option<Duration>,
        session: &Uuid,
    ) -> Result<Answer, Error> {
        if http.dialer.is_cancelled() {
            return Err(Error::Cancelled {
                call: out.call,
                sent: false,
            });
        }
        let request = self.request(out, session)?;
        let request = http.agent.configure_request(request);
        let response = http
            .agent
            .run(request.timeout_global(time).build())
            .map_err(|error| self.blame(http, out, error))?;
        let status = response.status().as_u16();
        traces::note_http_status(status);
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = response.headers();
        let to = headers.get(header::LOCATION).map(location);
        let head = Head {
            status,
            content_type: headers.get(header::CONTENT_TYPE).map(text),
        };
        let body = response.into_body().into_reader();
        let answer = Answer::new(out.call, out.limit, http.dialer.clone(), head, body);
        match status {
            200..300 => Ok(answer),
            300..400 => Err(Error::Redirect {
                call: out.call,
                status,
                to: to.unwrap_or_default(),
            }),
            _ => Err(answer.refusal()),
        }
    }

    fn request<'a>(&self, out: &Outgoing<'a>, session: &Uuid) -> Result<Request<&'a [u8]>, Error> {
        let mut request = Request::builder()
            .method(out.call.method())
            .uri(format!("{}{}", self.base, out.call.path()))
            .header(header::CONTENT_TYPE, "application/json")
            .header(SESSION, session.to_string());
        if let Some(bearer) = &out.bearer {
            request = request.header(header::AUTHORIZATION, bearer);
        }
        if let Some(trace) = traces::headers() {
            request = request.header(TRACE_PARENT, trace.parent);
            if !trace.state.is_empty() {
                request = request.header(TRACE_STATE, trace.state);
            }
        }
        // Not reached with an address that has been parsed.
        request
            .body(out.body)
            .map_err(|e| Error::BadUrl { why: e.to_string() })
    }

    /// Why there is no head of an answer.
    fn blame(&self, http: &HttpAgent, out: &Outgoing, error: ureq::Error) -> Error {
        let (call, limit) = (out.call, out.limit);
        let error = match error {
            ureq::Error::Other(other) => match other.downcast::<Failed>() {
                Ok(failed) => return self.not_connected(call, limit, *failed),
                Err(other) => ureq::Error::Other(other),
            },
            error => error,
        };
        match error {
            _ if http.dialer.is_cancelled() => Error::Cancelled { call, sent: true },
            ureq::Error::Io(source) if is_refused_certificate(&source) => Error::Tls {
                call,
                to: self.to.clone(),
                source,
            },
            error => lost(call, limit, Phase::Answer, error),
        }
    }

    fn not_connected(&self, call: Call, limit: Limit, failed: Failed) -> Error {
        let to = self.to.clone();
        match failed {
            Failed::Dns(source) => Error::Dns {
                call,
                host: to,
                source,
            },
            Failed::Connect(source) => Error::Connect { call, to, source },
            Failed::Tls(source) => Error::Tls { call, to, source },
            Failed::Cancelled => Error::Cancelled { call, sent: false },
            Failed::TimedOut(which) => {
                let limit = match which {
                    ureq::Timeout::Connect => self.connect,
                    _ => limit,
                };
                Error::TimedOut {
                    call,
                    phase: Phase::Connect,
                    limit: limit.time,
                    key: limit.key,
                }
            }
        }
    }
}

/// The URL without what may be a password.
fn address(url: &str) -> Result<Endpoint, Error> {
    Endpoint::parse(url).map_err(|error| {
        let why = match error {
            endpoint::Error::Password => {
                format!("{error}: put a bearer token into {TOKEN_KEY}")
            }
            endpoint::Error::Query | endpoint::Error::Port => format!("{url:?} {error}"),
            other => other.to_string(),
        };
        Error::BadUrl { why }
    })
}

/// Bytes of the head of an answer, and of the buffers of a connection.
#[derive(Clone, Copy)]
struct Sizes {
    head: usize,
    input: usize,
    output: usize,
}

/// Of all calls but a followed log.
const USUAL: Sizes = Sizes {
    head: MAX_HEAD_BYTES,
    input: BUFFER_BYTES,
    output: BUFFER_BYTES,
};

fn config(tls: TlsConfig, connect: Duration, idle: usize, sizes: Sizes) -> Config {
    Agent::config_builder()
        .tls_config(tls)
        .timeout_connect(Some(connect))
        .max_idle_connections(idle)
        .max_idle_connections_per_host(idle)
        .max_idle_age(IDLE_AGE)
        .user_agent(USER_AGENT)
        .http_status_as_error(false)
        .max_redirects(0)
        // Taken from the environment otherwise.
        .proxy(None)
        .max_response_header_size(sizes.head)
        .input_buffer_size(sizes.input)
        .output_buffer_size(sizes.output)
        .build()
}

/// With TLS 1.3 a server refuses a client's certificate after the request has been sent, and
/// without having looked at it.
fn is_refused_certificate(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(
        inner,
        Some(rustls::Error::AlertReceived(
            Alert::AccessDenied
                | Alert::BadCertificate
                | Alert::CertificateExpired
                | Alert::CertificateRequired
                | Alert::CertificateRevoked
                | Alert::CertificateUnknown
                | Alert::DecryptError
                | Alert::UnknownCA
                | Alert::UnsupportedCertificate
        ))
    )
}

/// Without the query, where login pages put secrets.
fn location(value: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    let path = text.split(['?', '#']).next().unwrap_or_default();
    one_line(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_url_is_told_without_its_password() {
        for (url, part) in [
            ("h:3000", "must begin with"),
            ("http://h:0", "\"http://h:0\" has a bad port"),
            ("http://h?x=1", "\"http://h?x=1\" must not have a query"),
            ("http://user:hush@h", "interlink.token_file"),
            ("unix://run/il.sock", "absolute path"),
        ] {
            let error = address(url).expect_err(url).to_string();
            assert!(error.contains(part), "{url}: {error}");
            assert!(error.starts_with("interlink.url"), "{url}: {error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
