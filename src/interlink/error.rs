//! What can go wrong between this daemon and a plugin, and what follows from it.
//!
//! # What follows
//!
//! Three questions are answered by [`Error`], here and nowhere else. Whose word a refusal is says
//! [`profile::speaker`]; one whose speaker is unknown counts as the plugin's until it is settled
//! ([`Error::is_unsettled`]).
//!
//! | what happened | retryable | ambiguous | server error |
//! |---|---|---|---|
//! | no name, no connection, no TLS session, no connection in time | yes | | |
//! | token file unreadable or malformed | yes | | |
//! | sent, then: no answer in time, connection lost, not HTTP, call cut off | yes | yes | |
//! | 2xx, but the body is malformed, or has no job id, or ends early | yes | yes | |
//! | 2xx, but the body is a front end's page | yes | yes | |
//! | 2xx, but the body is larger than allowed | | yes | |
//! | 502, 504; 500 without a word | yes | yes | |
//! | 504 with an error of sbatch | | | yes |
//! | 504 of an sbatch that cannot submit now | yes | | |
//! | 504 with anything else that sbatch says: the job may have been submitted | | | |
//! | 408, 425, 429, 503 | yes | | |
//! | no room for the answer | yes | yes | |
//! | 503 of an Envoy that lost its connection after it had sent the request | yes | yes | |
//! | 401, 407, a redirect: no valid token, most often a lapsed one | yes | | |
//! | a front end's 4xx but 413, its 501, 505 and 511 | yes | | |
//! | a front end's other 5xx: it may be what it makes of the plugin's answer | yes | yes | |
//! | 409, or words that the job exists, to a submission | yes | yes | |
//! | any other 5xx, with the plugin's words | | | yes |
//! | any other 4xx; a wrong address, certificate, key | | | |
//!
//! * **Retryable**: the same call can succeed later, without a change to the pod. A front end's
//!   refusal is an outage, whatever its status: a token that lapsed, an ingress that restarts, a
//!   certificate that was renewed. But its 413 says that this pod is too large for it.
//! * **Ambiguous**: the plugin may have acted. From the first byte of a request on everything
//!   is, except a refusal that can only be had instead of an action. 502 and 504 are a proxy's
//!   or a server's word that the next one did not answer; but there are plugins that mean something
//!   else by 504 (`profile::gateway_timeout`). A 500 without a body is the same:
//!   the server (0.6, 0.7: `ReqWithError` in pkg/interlink/api/handler.go) writes it when its
//!   own call to the plugin breaks or takes longer than 120 s, while a plugin's 500 comes with
//!   text. A 200 whose body cannot be used may stand for a job that runs. And a plugin that refuses
//!   a job because it exists has most likely acted on an earlier request for it.
//! * **Server error**: plugins answer 500 for what can pass and for what cannot, so the caller
//!   tries a few times and then believes it. Never together with "retryable".

use std::{io, path::PathBuf, time::Duration};

use super::call::Call;
use crate::{
    bounded::NoRoom,
    model::JobUid,
    profile::{self, speaker, GatewayTimeout, Speaker},
};

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
            | Self::Page { .. }
            | Self::NoRoom { .. }
            | Self::Cancelled { .. } => true,
            Self::Status {
                status, speaker, ..
            } => {
                matches!(status, 401 | 407 | 408 | 425 | 429 | 503)
                    || (*speaker == Speaker::FrontEnd && *status != 413)
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
            Self::Status {
                status,
                says,
                speaker,
                ..
            } => match (status, speaker) {
                (501 | 505 | 511, Speaker::FrontEnd) => false,
                (503, _) => speaker::may_have_passed_on(says),
                (500.., Speaker::FrontEnd) | (502, _) => true,
                (500, _) if says.is_empty() => true,
                (504, _) => matches!(
                    profile::gateway_timeout(says),
                    GatewayTimeout::Unknown | GatewayTimeout::Words
                ),
                _ => self.says_exists(),
            },
            Self::Cancelled { sent, .. } => *sent,
            Self::Page { .. }
            | Self::Dropped { .. }
            | Self::Garbled { .. }
            | Self::TooLarge { .. }
            | Self::NoRoom { .. }
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

    /// Whether the plugin or the server said that it failed: to be tried a few times more.
    pub fn is_server_error(&self) -> bool {
        match self.gateway_timeout() {
            Some(meaning) => meaning == GatewayTimeout::Failed,
            None => matches!(self, Self::Status { status: 500.., .. }) && !self.is_retryable(),
        }
    }

    /// Whether a plugin has most likely refused, in its own words, although it may have acted.
    pub fn is_likely_refusal(&self) -> bool {
        self.gateway_timeout() == Some(GatewayTimeout::Words) || self.says_exists()
    }

    /// Whether a plugin refuses a submission because it has the job already.
    fn says_exists(&self) -> bool {
        match self {
            Self::Status {
                call: Call::Create,
                status,
                speaker,
                says,
            } => {
                *speaker != Speaker::FrontEnd
                    && !matches!(status, 401 | 407 | 408 | 425 | 429 | 502..)
                    && speaker::says_exists(*status, says)
            }
            _ => false,
        }
    }

    fn gateway_timeout(&self) -> Option<GatewayTimeout> {
        match self {
            Self::Status {
                speaker: Speaker::FrontEnd,
                ..
            } => None,
            Self::Status {
                status: 504, says, ..
            } => Some(profile::gateway_timeout(says)),
            _ => None,
        }
    }

    /// Whether something in front of interLink has answered, and not the plugin.
    pub fn is_of_front_end(&self) -> bool {
        match self {
            Self::Status { speaker, .. } => *speaker == Speaker::FrontEnd,
            Self::Redirect { .. } | Self::Page { .. } => true,
            _ => false,
        }
    }

    /// Whether this is a refusal, for good if it is the plugin's, of which the answer alone does not
    /// tell whose it is.
    pub fn is_unsettled(&self) -> bool {
        let is_open = matches!(
            self,
            Self::Status {
                status: 400..500,
                speaker: Speaker::Unknown,
                ..
            }
        );
        is_open && (!self.is_retryable() || self.says_exists())
    }

    /// The same refusal, of a speaker who was found out.
    #[must_use]
    pub fn said_by(mut self, found: Speaker) -> Self {
        if let Self::Status { speaker, .. } = &mut self {
            *speaker = found;
        }
        self
    }

    /// Whether the plugin says that it does not know the job that it was asked about.
    pub fn denies_the_job(&self) -> bool {
        matches!(self, Self::Status { speaker, says, .. }
            if *speaker != Speaker::FrontEnd && profile::is_unknown_job(says))
    }

    /// Whether the plugin answers a DELETE with 404 or 410: it has no such job.
    pub fn confirms_a_deletion(&self) -> bool {
        matches!(
            self,
            Self::Status {
                call: Call::Delete,
                status: 404 | 410,
                speaker: Speaker::Interlink,
                ..
            }
        )
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
