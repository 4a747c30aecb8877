//! One call to the API server: its request, when it is made once more, and its answer or why there is none.

use std::{
    io::{self, Read},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use ureq::{
    http::{header, HeaderValue, Method, Request, Response},
    Agent, Body,
};

use crate::{
    daemon_log,
    kube::{
        access::{Access, Session},
        error::Error,
    },
    text::one_line,
};

/// The type of what is asked for, and of what is written as a whole.
pub(super) const JSON: &str = "application/json";
/// As much of a refusal is read as can matter.
const MAX_REFUSAL_BYTES: u64 = 64 << 10;

/// Limits of each call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the look-up of the name to the last byte of the answer.
    pub time: Duration,
    /// Largest answer in bytes.
    pub reply_bytes: u64,
}

impl Default for Limits {
    /// 15 s and 4 MiB. An object in etcd has at most 1.5 MiB (its --max-request-bytes).
    fn default() -> Self {
        Self {
            time: Duration::from_secs(15),
            reply_bytes: 4 << 20,
        }
    }
}

/// A request, and what to call it in errors.
pub(super) struct Outgoing {
    pub(super) call: String,
    pub(super) method: Method,
    pub(super) path: String,
    /// With its content type.
    pub(super) body: Option<(&'static str, Vec<u8>)>,
}

/// Makes calls, each with the credentials of its moment and within the limits.
///
/// * The kubeconfig and the files that it names are looked at before each call, and read again
///   when one has changed.
/// * A connection is kept for a few seconds. When it breaks before an answer begins, as a kept
///   one may at any time, the call is made once more over a new one, within the same limit; that
///   does no harm, because each call has the same effect twice as once.
/// * Redirects are not followed, and a proxy from the environment is not used.
#[derive(Debug)]
pub(super) struct Transport {
    access: Access,
    limits: Limits,
}

impl Transport {
    /// Reads nothing yet.
    pub(super) fn new(kubeconfig: &Path, limits: Limits) -> Self {
        Self {
            access: Access::new(kubeconfig),
            limits,
        }
    }

    /// Whether the kubeconfig and its files can be used now.
    ///
    /// # Errors
    /// What is wrong with them, as every call would say.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.access.session().map(drop)
    }

    /// The body of a good answer.
    pub(super) fn call(&self, out: &Outgoing) -> Result<Vec<u8>, Error> {
        let session = self.access.session()?;
        let bearer = self.access.bearer(&session)?;
        let send = |agent, time| send(&session, agent, out, bearer.as_ref(), time);
        let began = Instant::now();
        let first = send(&session.kept, self.limits.time);
        let left = self.limits.time.saturating_sub(began.elapsed());
        let result = match first {
            Err(error) if is_broken(&error) && !left.is_zero() => send(&session.fresh, left),
            first => first,
        };
        let result = result
            .map_err(|error| self.blame(&session, out, error))
            .and_then(|response| self.receive(&session, out, response));
        let elapsed_ms = daemon_log::millis(began.elapsed());
        match &result {
            Ok(body) => log::debug!(
                call:% = out.call, elapsed_ms;
                "the API server has answered with {} bytes",
                body.len()
            ),
            Err(error) => log::debug!(
                call:% = out.call, elapsed_ms, error:%;
                "the API server has not answered well"
            ),
        }
        result
    }

    fn receive(
        &self,
        session: &Session,
        out: &Outgoing,
        response: Response<Body>,
    ) -> Result<Vec<u8>, Error> {
        let status = response.status().as_u16();
        let body = response.into_body();
        if !matches!(status, 200..300) {
            let mut text = Vec::new();
            let mut reader = body.into_reader().take(MAX_REFUSAL_BYTES);
            if let Err(error) = reader.read_to_end(&mut text) {
                log::debug!(
                    call:% = out.call, error:%;
                    "the text of an answer with status {status} broke off"
                );
            }
            return Err(Error::refusal(&out.call, status, &text));
        }
        let mut bytes = body
            .into_with_config()
            .limit(self.limits.reply_bytes)
            .read_to_vec()
            .map_err(|error| self.blame(session, out, error))?;
        // It has grown to twice what came.
        bytes.shrink_to_fit();
        Ok(bytes)
    }

    /// Why there is no answer, or not all of it.
    fn blame(&self, session: &Session, out: &Outgoing, error: ureq::Error) -> Error {
        let (call, to) = (out.call.clone(), session.server.url.clone());
        match error {
            ureq::Error::Timeout(_) => Error::TimedOut {
                call,
                to,
                limit: self.limits.time,
            },
            ureq::Error::BodyExceedsLimit(_) => Error::TooLarge {
                call,
                limit: self.limits.reply_bytes,
            },
            ureq::Error::Protocol(error) => Error::Malformed {
                call,
                why: format!("not an HTTP answer: {}", one_line(&error.to_string())),
            },
            other => Error::Network {
                call,
                to,
                source: Arc::new(other.into_io()),
            },
        }
    }
}

fn send(
    session: &Session,
    agent: &Agent,
    out: &Outgoing,
    bearer: Option<&HeaderValue>,
    time: Duration,
) -> Result<Response<Body>, ureq::Error> {
    let mut request = Request::builder()
        .method(out.method.clone())
        .uri(format!("{}{}", session.server.base, out.path))
        .header(header::ACCEPT, JSON);
    if let Some(host) = &session.server.host {
        request = request.header(header::HOST, host);
    }
    if let Some(bearer) = bearer {
        request = request.header(header::AUTHORIZATION, bearer);
    }
    match &out.body {
        None => agent.run(limited(agent, request.body(())?, time)),
        Some((content, body)) => {
            let request = request.header(header::CONTENT_TYPE, *content);
            agent.run(limited(agent, request.body(body.as_slice())?, time))
        }
    }
}

fn limited<B: ureq::AsSendBody>(agent: &Agent, request: Request<B>, time: Duration) -> Request<B> {
    let request = agent.configure_request(request);
    request.timeout_global(Some(time)).build()
}

/// As a kept connection does whose other end has hung up meanwhile.
fn is_broken(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Io(error) => matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof
                | io::ErrorKind::NotConnected
        ),
        _ => false,
    }
}
