//! What can go wrong between this daemon and a plugin, and its words. What follows from it: `classification`.

mod classification;

use std::{io, path::PathBuf, time::Duration};

use super::call::Call;
use crate::{bounded::NoRoom, model::JobUid, profile::Speaker};

/// The configuration's key for the file with the bearer token.
pub(super) const TOKEN_KEY: &str = "interlink.token_file";

/// What to look at when a front end wants a login.
const TOKEN_HINT: &str = "is the token valid? See interlink.token_file";
/// What to look at when a front end does not know the way.
const WAY_HINT: &str = "see interlink.url, and what stands there";

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
    #[error("{call} answered {}", refusal(*status, *speaker, says))]
    Status {
        /// The call.
        call: Call,
        /// The HTTP status.
        status: u16,
        /// Whose word it is.
        speaker: Speaker,
        /// The speaker's own words: printable, one line, at most 1 KiB, perhaps none.
        says: String,
    },
    /// An answer of 2xx whose body is a page of something in front of interLink: it did not come
    /// from the plugin.
    #[error("{call}: something in front of interLink answered {status} with a page ({title:?}): {TOKEN_HINT}")]
    Page {
        /// The call.
        call: Call,
        /// The HTTP status.
        status: u16,
        /// The page's title: printable, one line, at most 1 KiB, perhaps empty.
        title: String,
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
    /// Answers that are being read take all the memory that they may.
    #[error("{call}: the answer's {why} (limits.max_in_flight_bytes)")]
    NoRoom {
        /// Whose answer found no room.
        call: Call,
        /// How many bytes it asked for, and how many of the room are taken.
        why: NoRoom,
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
    /// What went wrong, in a word, as metrics have it.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::NoUrl
            | Self::BadUrl { .. }
            | Self::File { .. }
            | Self::BadFile { .. }
            | Self::Request { .. } => "not_sent",
            Self::Dns { .. } => "dns",
            Self::Connect { .. } => "connect",
            Self::Tls { .. } => "tls",
            Self::TimedOut { .. } => "timeout",
            Self::Dropped { .. } | Self::Garbled { .. } => "broken",
            Self::Status {
                status: 400..500, ..
            } => "http_4xx",
            Self::Status { .. } => "http_5xx",
            Self::Page { .. } | Self::Redirect { .. } => "front_end",
            Self::TooLarge { .. } | Self::Malformed { .. } | Self::NoJobId { .. } => "malformed",
            Self::NoRoom { .. } => "no_room",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    /// The same refusal, of a speaker who was found out.
    #[must_use]
    pub fn said_by(mut self, found: Speaker) -> Self {
        if let Self::Status { speaker, .. } = &mut self {
            *speaker = found;
        }
        self
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
}

/// A refusal in words.
fn refusal(status: u16, speaker: Speaker, says: &str) -> String {
    let words = match says {
        "" => String::new(),
        says => format!(": {says}"),
    };
    match (speaker, status) {
        (Speaker::FrontEnd, 401 | 403 | 407 | 511) => {
            format!("{status} from something in front of interLink{words}: {TOKEN_HINT}")
        }
        (Speaker::FrontEnd, _) => {
            format!("{status} from something in front of interLink{words}: {WAY_HINT}")
        }
        _ => format!("{status}{words}"),
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
mod tests;
