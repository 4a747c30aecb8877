//! The calls, one by one: what goes in, what comes back.

use std::{
    io,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Pod;
use parking_lot::RwLock;
use serde::Serialize;

use super::{
    answer::{Body, Limit, PIECE_BYTES},
    call::Call,
    created::Created,
    direct::retrieved,
    error::{Error, TOKEN_KEY},
    follow::FollowReader,
    link::{Link, Outgoing},
    status_question::StatusQuestion,
    transport::CancelToken,
    wire::{self, LogStruct, PingResponse, PodCreateRequests},
};
use crate::{
    bounded::InFlight,
    config::schema::InterLink,
    net::TokenFile,
    plan::CreateBody,
    profile::{self, speaker, status_reply::StatusReply, Speaker},
    telemetry::Counters,
    text::{one_line, LINE_MAX},
};

/// Largest answer that does not tell of many jobs: a plugin that never ends one costs no memory.
const SHORT_REPLY_BYTES: u64 = 1 << 20;

/// Talks to one interLink server. Blocking, and shared by all threads: no lock is held while a
/// call waits.
///
/// * /create uses a new connection each time and is sent once. The other calls keep a few
///   connections for 15 s; when one breaks before an answer begins, as a kept one may at any
///   time, the call is made once more over a new one, within the same limit.
/// * Nothing else is tried twice, and redirects are not followed.
/// * Every wait has a limit; a followed log has one until it begins to flow.
/// * A proxy from the environment is not used.
#[derive(Debug)]
pub struct Client {
    config: InterLink,
    /// The form of /create where there is no server between.
    create_body: CreateBody,
    /// The most bytes of a /create.
    max_request: u64,
    /// For the answers that are being read.
    room: Arc<InFlight>,
    token: Option<TokenFile>,
    /// Cuts off everything.
    all: CancelToken,
    link: RwLock<Arc<Link>>,
    counters: Arc<Counters>,
}

/// What a ping is answered with.
#[derive(Clone, Debug, PartialEq)]
pub struct Ping {
    /// The answer as text: printable, one line, at most 1 KiB, perhaps empty.
    pub text: String,
    /// The answer as newer plugins write it.
    pub parsed: Option<PingResponse>,
}

impl Ping {
    /// Reads the answer to a ping; any will do.
    pub(super) fn read(body: &[u8]) -> Self {
        let body = body.trim_ascii_start();
        let parsed = match body.starts_with(b"{") {
            true => serde_json::from_slice(body).ok(),
            false => None,
        };
        // A line of it is shown; bytes that are no text would become three each.
        let text = one_line(&String::from_utf8_lossy(
            &body[..body.len().min(4 * LINE_MAX)],
        ));
        Self { text, parsed }
    }
}

/// An answer as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawAnswer {
    /// The HTTP status, 200 to 299.
    pub status: u16,
    /// At most 1 MiB.
    pub body: Vec<u8>,
}

impl RawAnswer {
    /// Reads it as the answer to the submission of a pod with this UID.
    ///
    /// # Errors
    /// One that cannot be read, or that names no job.
    pub fn created(&self, uid: &str) -> Result<Created, Error> {
        Created::read(&self.body, uid)
    }
}

/// How much of a log is wanted at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// Bytes; what lies beyond is not read.
    pub bytes: u64,
    /// For all of it, connecting included.
    pub time: Duration,
}

/// Where the reading of a log ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEnd {
    /// At the end of what there is now.
    Complete,
    /// At the limit; there is more.
    Limit,
    /// Where the receiver asked to stop.
    Stopped,
}

impl Client {
    /// Reads the files that the configuration names, the token apart, and connects to nothing.
    ///
    /// # Errors
    /// The URL is missing or bad, or a PEM file is unreadable or unfit.
    pub fn new(config: &InterLink) -> Result<Self, Error> {
        let all = CancelToken::new();
        Ok(Self {
            token: config
                .token_file
                .as_deref()
                .map(|path| TokenFile::new(TOKEN_KEY, path)),
            link: RwLock::new(Arc::new(Link::new(config, &all)?)),
            create_body: profile::traits(config.plugin).create_body,
            max_request: u64::MAX,
            room: InFlight::new(usize::MAX),
            config: config.clone(),
            all,
            counters: Arc::default(),
        })
    }

    /// Sends no /create with more bytes than this.
    #[must_use]
    pub fn with_request_limit(self, max_request: u64) -> Self {
        Self {
            max_request,
            ..self
        }
    }

    /// Takes room for the answers that are being read here.
    #[must_use]
    pub fn with_room(self, room: Arc<InFlight>) -> Self {
        Self { room, ..self }
    }

    /// Counts and times its calls here.
    #[must_use]
    pub fn with_counters(self, counters: Arc<Counters>) -> Self {
        Self { counters, ..self }
    }

    /// Reads the certificates and the key again and drops the connections that are idle. Calls
    /// under way are not touched. A token needs no reload: its file is looked at for each call.
    ///
    /// # Errors
    /// A file is unreadable or unfit; everything stays as it was then.
    pub fn reload(&self) -> Result<(), Error> {
        let link = Arc::new(Link::new(&self.config, &self.all)?);
        *self.link.write() = link;
        Ok(())
    }

    /// Cuts off all calls and refuses new ones: they fail with [`Error::Cancelled`]. For the end
    /// of the daemon, which cannot wait as long as a submission may.
    pub fn shut_down(&self) {
        self.all.cancel();
    }

    /// Submits a pod.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer without a job id. See [`Error::is_ambiguous`]: the job
    /// may exist all the same.
    pub fn create(&self, request: &PodCreateRequests) -> Result<Created, Error> {
        let call = Call::Create;
        let limit = self.create_limit();
        let uid = request.pod.metadata.uid.as_deref().unwrap_or_default();
        self.timed(call, || {
            let body = self.create_body(request)?;
            Created::read(&self.exchange(call, &body, limit)?.bytes, uid)
        })
    }

    /// The body of /create, in the form that is taken at the other end.
    ///
    /// # Errors
    /// It cannot be written as JSON, or is larger than allowed.
    pub fn create_body(&self, request: &PodCreateRequests) -> Result<Vec<u8>, Error> {
        let call = Call::Create;
        let most = self.max_request;
        match (self.config.direct, self.create_body) {
            (false, _) => bounded_json(call, request, most),
            (true, CreateBody::One) => bounded_json(call, &retrieved(request), most),
            (true, CreateBody::List) => bounded_json(call, &[retrieved(request)], most),
        }
    }

    /// Cancels a pod's job and lets the plugin forget it, its log included. Gives who said that it
    /// is done: only interLink's or the plugin's own word is to be believed.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn delete(&self, pod: &Pod) -> Result<Speaker, Error> {
        let call = match self.config.direct {
            true => Call::DirectDelete,
            false => Call::Delete,
        };
        self.timed(call, || {
            let body = self.exchange(call, &unbounded_json(call, pod)?, self.request_limit())?;
            Ok(speaker::confirmation(&body.bytes))
        })
    }

    /// Asks how pods are. Those that the plugin does not know are left out of the answer.
    ///
    /// # Errors
    /// No answer, a refusal, or not a list. One pod can spoil the answer for all.
    pub fn status(&self, question: StatusQuestion) -> Result<StatusReply, Error> {
        let call = Call::Status;
        self.timed(call, || {
            let (question, asked) = question.finish();
            let body = self.exchange(call, &question, self.request_limit())?;
            drop(question);
            StatusReply::read(&body.bytes, &asked).map_err(|why| Error::Malformed { call, why })
        })
    }

    /// Reads a container's log as it is now (`Follow` is not sent) and hands it to `sink` piece
    /// by piece.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer that breaks off; `sink` has got what came before.
    pub fn logs(
        &self,
        request: &LogStruct,
        limits: LogLimits,
        sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<LogEnd, Error> {
        self.timed(Call::Logs, || self.read_log(request, limits, sink))
    }

    fn read_log(
        &self,
        request: &LogStruct,
        limits: LogLimits,
        sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<LogEnd, Error> {
        let limit = Limit {
            time: limits.time,
            key: "the limit for this log",
        };
        let body = log_request(request, false)?;
        let mut answer = self
            .link()
            .exchange(&self.outgoing(Call::Logs, &body, limit)?)?;
        let mut piece = vec![0; PIECE_BYTES];
        let mut left = limits.bytes;
        loop {
            let got = answer.read(&mut piece)?;
            if got == 0 {
                return Ok(LogEnd::Complete);
            }
            let fits = usize::try_from(left).unwrap_or(usize::MAX).min(got);
            if fits > 0 && sink(&piece[..fits]).is_break() {
                return Ok(LogEnd::Stopped);
            }
            if fits < got {
                return Ok(LogEnd::Limit);
            }
            left -= fits as u64;
        }
    }

    /// Reads a container's log from now on as it grows (`Follow` is sent). `cancel` ends it from
    /// another thread, at any moment from before this call on. The limit for the first byte of
    /// the answer is that of /create: the server waits as long for its plugin here.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn follow(&self, request: &LogStruct, cancel: &CancelToken) -> Result<FollowReader, Error> {
        self.timed(Call::Logs, || {
            let body = log_request(request, true)?;
            let out = self.outgoing(Call::Logs, &body, self.create_limit())?;
            let answer = self.link().open(&out, cancel)?;
            Ok(FollowReader::new(answer))
        })
    }

    /// Asks whether the plugin is there. Any refusal says that it is not, or not well: the
    /// server's is 503, or 500 with the text `503`. So does the page of a front end.
    ///
    /// # Errors
    /// No answer, a refusal, or a page.
    pub fn ping(&self) -> Result<Ping, Error> {
        let (call, body): (_, &[u8]) = match self.config.direct {
            true => (Call::DirectPing, b"[]"),
            false => (Call::Ping, b""),
        };
        self.timed(call, || {
            let body = self.exchange(call, body, self.request_limit())?;
            Ok(Ping::read(&body.bytes))
        })
    }

    /// Makes a call with any body, and gives the answer as it came. For those who look at answers
    /// themselves.
    ///
    /// # Errors
    /// No answer, or one with a status of 300 or above.
    pub fn raw(&self, call: Call, body: &[u8]) -> Result<RawAnswer, Error> {
        let limit = match call {
            Call::Create => self.create_limit(),
            _ => self.request_limit(),
        };
        let answer = self.link().exchange(&self.outgoing(call, body, limit)?)?;
        Ok(RawAnswer {
            status: answer.status(),
            body: answer.bytes(SHORT_REPLY_BYTES, &self.room)?.bytes,
        })
    }

    /// Makes a call within a span, and counts it with how it ended and how long it took.
    fn timed<T>(&self, call: Call, run: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let began = Instant::now();
        let span = self.link().span(call);
        let result = span.within(run);
        let outcome = result.as_ref().err().map_or("ok", Error::outcome);
        let metrics = &self.counters.metrics;
        metrics.interlink_call(call.name(), outcome, began.elapsed());
        let failed = result.as_ref().err();
        span.called(failed.map(|error| (outcome, error as &dyn std::error::Error)));
        result
    }

    fn exchange(&self, call: Call, body: &[u8], limit: Limit) -> Result<Body, Error> {
        let out = self.outgoing(call, body, limit)?;
        let max = match call {
            Call::Status => self.config.max_reply_bytes,
            _ => self.config.max_reply_bytes.min(SHORT_REPLY_BYTES),
        };
        self.link().exchange(&out)?.bytes(max, &self.room)
    }

    fn outgoing<'a>(
        &self,
        call: Call,
        body: &'a [u8],
        limit: Limit,
    ) -> Result<Outgoing<'a>, Error> {
        let bearer = self.token.as_ref().map(TokenFile::bearer).transpose()?;
        Ok(Outgoing {
            call,
            body,
            bearer,
            limit,
        })
    }

    fn link(&self) -> Arc<Link> {
        self.link.read().clone()
    }

    fn request_limit(&self) -> Limit {
        Limit {
            time: self.config.request_timeout,
            key: "interlink.request_timeout",
        }
    }

    fn create_limit(&self) -> Limit {
        Limit {
            time: self.config.create_timeout,
            key: "interlink.create_timeout",
        }
    }
}

/// The body of a request that may have `most` bytes: a byte of a text can take six in JSON.
fn bounded_json<T: Serialize + ?Sized>(call: Call, body: &T, most: u64) -> Result<Vec<u8>, Error> {
    let mut written = Bounded {
        bytes: Vec::new(),
        most,
    };
    match wire::write(&mut written, body) {
        Ok(()) => Ok(written.bytes),
        Err(source) => Err(Error::Request { call, source }),
    }
}

/// Takes no more than `most` bytes.
struct Bounded {
    bytes: Vec<u8>,
    most: u64,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.bytes.len() + bytes.len()) as u64 > self.most {
            let most = self.most;
            return Err(io::Error::other(format!(
                "it would have more than the {most} bytes that `limits.max_request_bytes` allows"
            )));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn unbounded_json<T: Serialize + ?Sized>(call: Call, body: &T) -> Result<Vec<u8>, Error> {
    let mut written = Vec::new();
    wire::write(&mut written, body).map_err(|source| Error::Request { call, source })?;
    Ok(written)
}

fn log_request(request: &LogStruct, follow: bool) -> Result<Vec<u8>, Error> {
    let mut request = request.clone();
    request.opts.follow = follow;
    unbounded_json(Call::Logs, &request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_testing::holds_little;

    #[test]
    fn an_answer_to_a_ping_takes_no_more_than_a_small_multiple_of_its_bytes() {
        let mega = 1 << 20;
        let many = |piece: &str| piece.repeat(mega / piece.len()).into_bytes();
        let around = |before: &str, middle: Vec<u8>, after: &str| {
            [before.as_bytes(), &middle, after.as_bytes()].concat()
        };
        for (name, body) in [
            ("no text", vec![0xff; mega]),
            ("blanks", many(" ")),
            ("nulls", around("[", many("null,"), "null]")),
            (
                "accelerators",
                around("{\"resources\":{\"accelerators\":[", many("{},"), "{}]}}"),
            ),
            ("taints", around("{\"taints\":[", many("{},"), "{}]}")),
            ("a long word", around("{\"status\":\"", many("x"), "\"}")),
            (
                "fields",
                around("{", many("\"a\":[{}],"), "\"status\":\"ok\"}"),
            ),
        ] {
            holds_little(name, &body, 65_536, |body| drop(Ping::read(body)));
        }
        let ping = Ping::read(b" {\"status\":\"ok\",\"taints\":null}");
        assert_eq!(
            ping.parsed.map(|ping| (ping.status, ping.taints)),
            Some(("ok".into(), None))
        );
    }
}
