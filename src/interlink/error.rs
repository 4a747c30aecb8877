//! What can go wrong between this daemon and a plugin, and what follows from it.
//!
//! # What follows
//!
//! Four questions are answered by [`Error`], here and nowhere else:
//!
//! | what happened | retryable | ambiguous | unreachable | server error |
//! |---|---|---|---|---|
//! | no name, no connection, no TLS session, no connection in time | yes | | yes | |
//! | token file unreadable or malformed | yes | | | |
//! | sent, then: no answer in time, connection lost, not HTTP, call cut off | yes | yes | | |
//! | 2xx, but the body is malformed, or has no job id, or ends early | yes | yes | | |
//! | 2xx, but the body is larger than allowed | | yes | | |
//! | 502, 504; 500 without a word | yes | yes | | |
//! | 504 with an error of sbatch | | | | yes |
//! | 504 of an sbatch that cannot submit now | yes | | | |
//! | 504 with anything else that sbatch says: the job may have been submitted | | | | |
//! | 408, 425, 429, 503 | yes | | | |
//! | 401, 407, a redirect: no valid token, most often a lapsed one | yes | | | |
//! | any other 5xx, with the plugin's words | | | | yes |
//! | any other 4xx; a wrong address, certificate, key | | | | |
//!
//! * **Retryable**: the same call can succeed later, without a change to the pod.
//! * **Ambiguous**: the plugin may have acted. From the first byte of a request on everything
//!   is, except a refusal that can only be had instead of an action. 502 and 504 are a proxy's
//!   or a server's word that the next one did not answer; but there are plugins that mean something
//!   else by 504 (`profile::gateway_timeout`). A 500 without a body is the same:
//!   the server (0.6, 0.7: `ReqWithError` in pkg/interlink/api/handler.go) writes it when its
//!   own call to the plugin breaks or takes longer than 120 s, while a plugin's 500 comes with
//!   text. A 200 whose body cannot be used may stand for a job that runs.
//! * **Unreachable**: there was nobody to take the request.
//! * **Server error**: plugins answer 500 for what can pass and for what cannot, so the caller
//!   tries a few times and then believes it. Never together with "retryable".

use std::{io, path::PathBuf, time::Duration};

use super::call::Call;
use crate::{
    model::JobUid,
    profile::{self, GatewayTimeout},
};

/// The configuration's key for the file with the bearer token.
pub(super) const TOKEN_KEY: &str = "interlink.token_file";

/// Why a call, or the making of a [`Client`](super::Client), failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `interlink.url` is not set.
    #[error("interlink.url is not set")]
    NoUrl,
    /// `interlink.url` cannot be used. The URL is left out where it may hold a password.
    #[error("interlink.url: {why}")]
    BadUrl {
        /// What is wrong with it.
        why: String,
    },
    /// A file that the configuration names cannot be read.
    #[error("{key} {}", path.display())]
    File {
        /// The configuration's key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system reports.
        source: io::Error,
    },
    /// A file that the configuration names does not hold what it should.
    #[error("{key} {}: {why}", path.display())]
    BadFile {
        /// The configuration's key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it. Never a part of it.
        why: String,
    },
    /// The name of the server cannot be resolved.
    #[error("{call}: no address for {host}")]
    Dns {
        /// The call.
        call: Call,
        /// HOST:PORT.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Nobody takes connections there.
    #[error("{call}: no connection to {to}")]
    Connect {
        /// The call.
        call: Call,
        /// HOST:PORT or the socket's path.
        to: String,
        /// What the operating system reports.
        source: io::Error,
    },
    /// No TLS session: one side does not trust the other, or it is not TLS.
    #[error("{call}: no TLS session with {to}")]
    Tls {
        /// The call.
        call: Call,
        /// HOST:PORT.
        to: String,
        /// What the operating system reports.
        source: io::Error,
    },
    /// A time limit struck.
    #[error("{call}: {} within {limit:?} ({key})", phase.missing())]
    TimedOut {
        /// The call.
        call: Call,
        /// What was waited for.
        phase: Phase,
        /// The limit.
        limit: Duration,
        /// Where the limit comes from: the configuration's key.
        key: &'static str,
    },
    /// The connection broke after it had been made.
    #[error("{call}: connection lost {}", phase.moment())]
    Dropped {
        /// The call.
        call: Call,
        /// What was waited for.
        phase: Phase,
        /// What the operating system reports.
        source: io::Error,
    },
    /// What came back is not HTTP.
    #[error("{call}: not an HTTP answer: {why}")]
    Garbled {
        /// The call.
        call: Call,
        /// What is wrong with it.
        why: String,
    },
    /// An answer with a status of 400 or above.
    #[error("{call} answered {status}{}{says}", if says.is_empty() { "" } else { ": " })]
    Status {
        /// The call.
        call: Call,
        /// The HTTP status.
        status: u16,
        /// The plugin's own words: printable, one line, at most 1 KiB, perhaps none.
        says: String,
    },
    /// An answer that points elsewhere. It is not followed: the body and the token belong here.
    #[error("{call} was redirected ({status}) to {to:?}; a proxy that wants a login does this, see interlink.token_file and interlink.url")]
    Redirect {
        /// The call.
        call: Call,
        /// The HTTP status.
        status: u16,
        /// Where to, without query: printable, one line.
        to: String,
    },
    /// The answer is larger than allowed.
    #[error("{call}: the answer is larger than {limit} bytes{}", key_of(*call))]
    TooLarge {
        /// The call.
        call: Call,
        /// The limit in bytes.
        limit: u64,
    },
    /// A 200 whose body is not JSON, or JSON of another shape.
    #[error("{call}: malformed answer: {why}")]
    Malformed {
        /// The call.
        call: Call,
        /// What is wrong with it.
        why: String,
    },
    /// A 200 to a submission that names no job.
    #[error("{call}: the answer has no PodJID")]
    NoJobId {
        /// The call.
        call: Call,
    },
    /// The request cannot be written as JSON.
    #[error("{call}: request")]
    Request {
        /// The call.
        call: Call,
        /// The error that caused it.
        source: serde_json::Error,
    },
    /// The call was cut off from this side.
    #[error("{call}: cancelled")]
    Cancelled {
        /// The call.
        call: Call,
        /// Whether the request may have left by then.
        sent: bool,
    },
}

/// What a call was waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Name, connection, TLS session. The request has not left.
    Connect,
    /// The head of the answer. The request has left, perhaps not all of it.
    Answer,
    /// The rest of the answer.
    Body,
}

impl Phase {
    fn missing(self) -> &'static str {
        match self {
            Self::Connect => "no connection",
            Self::Answer => "no answer",
            Self::Body => "no complete answer",
        }
    }

    fn moment(self) -> &'static str {
        match self {
            Self::Connect => "before the request",
            Self::Answer => "before the answer",
            Self::Body => "in the middle of the answer",
        }
    }
}

impl Error {
    /// Whether the same call can succeed later. The table stands at the top of this file.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::File { .. } | Self::BadFile { .. } => self.is_about_token(),
            Self::Dns { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::TimedOut { .. }
            | Self::Dropped { .. }
            | Self::Garbled { .. }
            | Self::Redirect { .. }
            | Self::Malformed { .. }
            | Self::NoJobId { .. }
            | Self::Cancelled { .. } => true,
            Self::Status { status, .. } => {
                matches!(status, 401 | 407 | 408 | 425 | 429 | 503)
                    || self.is_ambiguous()
                    || self.gateway_timeout() == Some(GatewayTimeout::NotNow)
            }
            Self::NoUrl | Self::BadUrl { .. } | Self::TooLarge { .. } | Self::Request { .. } => {
                false
            }
        }
    }

    /// Whether the plugin may have acted. The table stands at the top of this file.
    pub fn is_ambiguous(&self) -> bool {
        match self {
            Self::TimedOut { phase, .. } => *phase != Phase::Connect,
            Self::Status { status, says, .. } => match status {
                500 => says.is_empty(),
                502 => true,
                504 => matches!(
                    profile::gateway_timeout(says),
                    GatewayTimeout::Unknown | GatewayTimeout::Words
                ),
                _ => false,
            },
            Self::Cancelled { sent, .. } => *sent,
            Self::Dropped { .. }
            | Self::Garbled { .. }
            | Self::TooLarge { .. }
            | Self::Malformed { .. }
            | Self::NoJobId { .. } => true,
            Self::NoUrl
            | Self::BadUrl { .. }
            | Self::File { .. }
            | Self::BadFile { .. }
            | Self::Dns { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::Redirect { .. }
            | Self::Request { .. } => false,
        }
    }

    /// Whether there was nobody to take the request. Nothing but the tests asks for it.
    #[cfg(test)]
    pub(super) fn is_unreachable(&self) -> bool {
        match self {
            Self::Dns { .. } | Self::Connect { .. } | Self::Tls { .. } => true,
            Self::TimedOut { phase, .. } => *phase == Phase::Connect,
            _ => false,
        }
    }

    /// Whether the plugin or the server said that it failed: to be tried a few times more.
    pub fn is_server_error(&self) -> bool {
        match self.gateway_timeout() {
            Some(meaning) => meaning == GatewayTimeout::Failed,
            None => matches!(self, Self::Status { status: 500.., .. }) && !self.is_retryable(),
        }
    }

    /// Whether a plugin has most likely refused, in its own words, although it may have acted.
    pub fn is_likely_refusal(&self) -> bool {
        self.gateway_timeout() == Some(GatewayTimeout::Words)
    }

    fn gateway_timeout(&self) -> Option<GatewayTimeout> {
        match self {
            Self::Status {
                status: 504, says, ..
            } => Some(profile::gateway_timeout(says)),
            _ => None,
        }
    }

    /// Whether the plugin's words name a job.
    pub fn names(&self, job: JobUid) -> bool {
        matches!(self, Self::Status { says, .. } if says.contains(&job.to_string()))
    }

    /// The HTTP status, when there was one of 300 or above.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } | Self::Redirect { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether this call was cut off from this side: nothing to report.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled { .. })
    }

    /// A token is replaced while the daemon runs, other files are not.
    fn is_about_token(&self) -> bool {
        matches!(self, Self::File { key, .. } | Self::BadFile { key, .. }
            if *key == TOKEN_KEY)
    }
}

/// The key that bounds the answer, where there is one.
fn key_of(call: Call) -> &'static str {
    match call {
        Call::Status => " (interlink.max_reply_bytes)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call = Call::Create;

    fn io() -> io::Error {
        io::ErrorKind::ConnectionReset.into()
    }

    fn timed_out(phase: Phase) -> Error {
        Error::TimedOut {
            call: CALL,
            phase,
            limit: Duration::from_secs(9),
            key: "interlink.create_timeout",
        }
    }

    fn status(status: u16, says: &str) -> Error {
        let (call, says) = (CALL, says.to_owned());
        Error::Status { call, status, says }
    }

    fn file(key: &'static str) -> Error {
        let (path, source) = (PathBuf::from("/x"), io());
        Error::File { key, path, source }
    }

    fn dropped(phase: Phase) -> Error {
        let (call, source) = (CALL, io());
        Error::Dropped {
            call,
            phase,
            source,
        }
    }

    fn cancelled(sent: bool) -> Error {
        Error::Cancelled { call: CALL, sent }
    }

    #[test]
    fn what_follows_from_an_error() {
        let (call, to, why) = (CALL, String::new, String::new);
        let source = io;
        let (y, n) = (true, false);
        let json = || serde_json::from_str::<u8>("x").unwrap_err();
        #[rustfmt::skip]
        let table = [
            // name, error, retryable, ambiguous, unreachable, server error
            ("no url", Error::NoUrl, n, n, n, n),
            ("bad url", Error::BadUrl { why: why() }, n, n, n, n),
            ("token file", file("interlink.token_file"), y, n, n, n),
            ("ca file", file("interlink.ca_file"), n, n, n, n),
            ("dns", Error::Dns { call, host: to(), source: source() }, y, n, y, n),
            ("connect", Error::Connect { call, to: to(), source: source() }, y, n, y, n),
            ("tls", Error::Tls { call, to: to(), source: source() }, y, n, y, n),
            ("no connection in time", timed_out(Phase::Connect), y, n, y, n),
            ("no answer in time", timed_out(Phase::Answer), y, y, n, n),
            ("no complete answer in time", timed_out(Phase::Body), y, y, n, n),
            ("lost before the answer", dropped(Phase::Answer), y, y, n, n),
            ("lost in the answer", dropped(Phase::Body), y, y, n, n),
            ("not http", Error::Garbled { call, why: why() }, y, y, n, n),
            ("redirect", Error::Redirect { call, status: 302, to: to() }, y, n, n, n),
            ("too large", Error::TooLarge { call, limit: 1 }, n, y, n, n),
            ("malformed", Error::Malformed { call, why: why() }, y, y, n, n),
            ("no job id", Error::NoJobId { call }, y, y, n, n),
            ("request", Error::Request { call, source: json() }, n, n, n, n),
            ("cancelled before", cancelled(false), y, n, n, n),
            ("cancelled after", cancelled(true), y, y, n, n),
            ("400", status(400, "x"), n, n, n, n),
            ("401", status(401, ""), y, n, n, n),
            ("403", status(403, "x"), n, n, n, n),
            ("404", status(404, ""), n, n, n, n),
            ("407", status(407, ""), y, n, n, n),
            ("408", status(408, ""), y, n, n, n),
            ("409", status(409, ""), n, n, n, n),
            ("413", status(413, ""), n, n, n, n),
            ("425", status(425, ""), y, n, n, n),
            ("429", status(429, ""), y, n, n, n),
            ("500 with words", status(500, "sbatch: error"), n, n, n, y),
            ("500 without a word", status(500, ""), y, y, n, n),
            ("501", status(501, ""), n, n, n, y),
            ("502", status(502, "x"), y, y, n, n),
            ("503", status(503, ""), y, n, n, n),
            ("504", status(504, "x"), y, y, n, n),
            ("504 of sbatch", status(504, "sbatch: error: x"), n, n, n, y),
            ("504, not now", status(504, "sbatch: error: Batch job submission failed: Job violates QOSMaxSubmitJobPerUserLimit"), y, n, n, n),
            ("504 with a warning", status(504, "sbatch: Warning: x"), n, n, n, n),
            ("599", status(599, ""), n, n, n, y),
        ];
        for (says, likely) in [("x", true), ("", false), ("sbatch: error: x", false)] {
            assert_eq!(status(504, says).is_likely_refusal(), likely, "{says}");
        }
        for (name, error, retryable, ambiguous, unreachable, server_error) in table {
            assert_eq!(error.is_retryable(), retryable, "{name}: retryable");
            assert_eq!(error.is_ambiguous(), ambiguous, "{name}: ambiguous");
            assert_eq!(error.is_unreachable(), unreachable, "{name}: unreachable");
            assert_eq!(error.is_server_error(), server_error, "{name}: server");
            assert!(!(ambiguous && unreachable), "{name}: cannot be both");
        }
    }

    #[test]
    fn texts_say_what_failed_and_which_limit_struck() {
        let table = [
            (
                timed_out(Phase::Answer),
                "POST /create: no answer within 9s (interlink.create_timeout)",
            ),
            (
                dropped(Phase::Body),
                "POST /create: connection lost in the middle of the answer",
            ),
            (
                status(500, "no such partition"),
                "POST /create answered 500: no such partition",
            ),
            (status(504, ""), "POST /create answered 504"),
            (file("interlink.ca_file"), "interlink.ca_file /x"),
        ];
        for (error, text) in table {
            assert_eq!(error.to_string(), text);
        }
    }
}
