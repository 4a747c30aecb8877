//! What can go wrong with the API server and the way to it, and what follows from it.
//!
//! | error | retryable | everyone's |
//! |---|---|---|
//! | kubeconfig, or a file that it names, unreadable or unfit | | yes |
//! | a name that Kubernetes does not allow: nothing was sent | | |
//! | no connection, no TLS session, connection lost, no answer in time | yes | yes |
//! | 429, 5xx; no room for the answer | yes | yes |
//! | 401 | | yes |
//! | any other status; an answer that is too large or not what was asked for | | |
//!
//! * **Retryable**: the same call can succeed later, without a change to anything here.
//! * **Everyone's**: a call about another pod would have met the same.
//!
//! An error can be cloned, so that it can be told again while nobody is asked.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use serde::Deserialize;

use crate::{bounded::NoRoom, net, text::one_line_of};

/// The API server's word for a namespace that takes nothing new (`NamespaceTerminatingCause` in
/// k8s.io/api/core/v1/types.go).
const TERMINATING: &str = "NamespaceTerminating";

/// Most bytes that are kept of what the API server says.
const MAX_WORDS_BYTES: usize = 512;

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum Error {
    /// The kubeconfig cannot be read.
    #[error("kubeconfig {} cannot be read; make it readable, or name another", path.display())]
    Unreadable {
        path: PathBuf,
        source: Arc<io::Error>,
    },
    /// The kubeconfig does not say what is needed, or wants what is not done.
    #[error("kubeconfig {}: {key}: {why}", path.display())]
    Kubeconfig {
        path: PathBuf,
        /// Where in it, as in `users[node].user.exec`.
        key: String,
        /// What is wrong, and what to do. Never a part of a secret.
        why: String,
    },
    /// A certificate, key or token that the kubeconfig holds or names is of no use.
    #[error("kubeconfig {} holds or names what is of no use; renew it, or name another", path.display())]
    Credentials {
        path: PathBuf,
        /// Key and file, and what is wrong.
        source: Arc<net::Error>,
    },
    /// A name that Kubernetes does not allow. Nothing was sent.
    #[error("{what} {name:?} is not a name that Kubernetes allows")]
    Name {
        /// What it was to name.
        what: &'static str,
        /// The name: printable, short.
        name: String,
    },
    /// No connection, no TLS session, or a connection that broke.
    #[error("{call}: no answer from {to}")]
    Network {
        /// The call, for people.
        call: String,
        /// The API server's URL.
        to: String,
        source: Arc<io::Error>,
    },
    /// No answer in time.
    #[error("{call}: no whole answer from {to} within {limit:?}")]
    TimedOut {
        /// The call, for people.
        call: String,
        /// The API server's URL.
        to: String,
        limit: Duration,
    },
    /// An answer other than success.
    #[error("{call}: the API server answered {status}{}{}", after_colon(says), advice(*status, reason))]
    Status {
        /// The call, for people.
        call: String,
        /// The HTTP status.
        status: u16,
        /// The API server's word for it, perhaps none: `NotFound`, `Conflict`.
        reason: String,
        /// Its own words: printable, one line, at most 512 bytes, perhaps none.
        says: String,
    },
    /// The answer is larger than allowed.
    #[error("{call}: the answer is larger than {limit} bytes")]
    TooLarge {
        /// The call, for people.
        call: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// Answers that are being read take all the memory that they may.
    #[error("{call}: the answer's {why} (limits.max_in_flight_bytes)")]
    NoRoom {
        /// Whose answer found no room, for people.
        call: String,
        /// How many bytes it asked for, and how many of the room are taken.
        why: NoRoom,
    },
    /// The request cannot be written, or the answer is not what was asked for.
    #[error("{call}: {why}")]
    Malformed {
        /// The call, for people.
        call: String,
        /// What is wrong. Never a part of the answer.
        why: String,
    },
}

impl Error {
    /// Whether the same call can succeed later. The table stands at the top of this file.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Network { .. } | Self::TimedOut { .. } | Self::NoRoom { .. } => true,
            Self::Status { status, .. } => matches!(status, 429 | 500..),
            _ => false,
        }
    }

    /// Whether what the call was about is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Status { status: 404, .. })
    }

    /// Whether the API server has another state of it than the call took for granted: an event of
    /// this name, or a pod of another UID.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Status { status: 409, .. })
    }

    /// Whether a call about another pod would have met the same.
    pub(super) fn is_everyones(&self) -> bool {
        match self {
            Self::Unreadable { .. } | Self::Kubeconfig { .. } | Self::Credentials { .. } => true,
            Self::Status { status: 401, .. } => true,
            _ => self.is_retryable(),
        }
    }

    /// A refusal, from an answer's status and body.
    pub(super) fn refusal(call: &str, status: u16, body: &[u8]) -> Self {
        let given: Given = serde_json::from_slice(body).unwrap_or_else(|_| Given {
            // A proxy's, or an early refusal of Go's server.
            message: String::from_utf8_lossy(body).into_owned(),
            ..Given::default()
        });
        let causes = given.details.unwrap_or_default().causes;
        let reason = match causes.iter().any(|cause| cause.reason == TERMINATING) {
            true => TERMINATING,
            false => &given.reason,
        };
        Self::Status {
            call: call.to_owned(),
            status,
            reason: one_line_of(reason, MAX_WORDS_BYTES),
            says: one_line_of(&given.message, MAX_WORDS_BYTES),
        }
    }
}

/// What is read of a `Status` (k8s.io/apimachinery/pkg/apis/meta/v1).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Given {
    reason: String,
    message: String,
    details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    causes: Vec<Cause>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
}

fn is_refused(status: u16, reason: &str) -> bool {
    matches!(status, 401 | 403) && reason != TERMINATING
}

fn advice(status: u16, reason: &str) -> &'static str {
    match status {
        401 => {
            "; the credentials of the kubeconfig are not accepted here: they may have lapsed. Those \
             of a kubelet may read only pods that are bound to its node (Node authorizer)"
        }
        403 if is_refused(status, reason) => {
            "; the credentials of a kubelet may read only pods that are bound to its node (Node \
             authorizer)"
        }
        _ => "",
    }
}

fn after_colon(says: &str) -> String {
    match says {
        "" => String::new(),
        says => format!(": {says}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io() -> Arc<io::Error> {
        Arc::new(io::ErrorKind::ConnectionReset.into())
    }

    fn status(status: u16) -> Error {
        Error::refusal("reading pod a/b", status, b"")
    }

    #[test]
    fn what_follows_from_an_error() {
        let (call, to, path) = (String::new, String::new, || PathBuf::from("/k"));
        let bad = net::Error::Bad {
            key: "client-key",
            path: path(),
            why: "x".into(),
        };
        let limit = Duration::from_secs(15);
        let (y, n) = (true, false);
        #[rustfmt::skip]
        let table = [
            // name, error, retryable, forbidden, everyone's
            ("unreadable", Error::Unreadable { path: path(), source: io() }, n, n, y),
            ("kubeconfig", Error::Kubeconfig { path: path(), key: call(), why: call() }, n, n, y),
            ("credentials", Error::Credentials { path: path(), source: Arc::new(bad) }, n, n, y),
            ("name", Error::Name { what: "pod", name: call() }, n, n, n),
            ("network", Error::Network { call: call(), to: to(), source: io() }, y, n, y),
            ("late", Error::TimedOut { call: call(), to: to(), limit }, y, n, y),
            ("too large", Error::TooLarge { call: call(), limit: 1 }, n, n, n),
            ("no room", Error::NoRoom { call: call(), why: NoRoom { wanted: 3, used: 1, most: 2 } }, y, n, y),
            ("malformed", Error::Malformed { call: call(), why: call() }, n, n, n),
            ("redirect", status(302), n, n, n),
            ("400", status(400), n, n, n),
            ("401", status(401), n, y, y),
            ("403", status(403), n, y, n),
            ("404", status(404), n, n, n),
            ("409", status(409), n, n, n),
            ("422", status(422), n, n, n),
            ("429", status(429), y, n, y),
            ("500", status(500), y, n, y),
            ("503", status(503), y, n, y),
            ("504", status(504), y, n, y),
        ];
        for (name, error, retryable, forbidden, everyones) in table {
            assert_eq!(error.is_retryable(), retryable, "{name}: retryable");
            let advises = error.to_string().contains("Node authorizer");
            assert_eq!(advises, forbidden, "{name}: forbidden");
            assert_eq!(error.is_everyones(), everyones, "{name}: everyone's");
        }
    }

    #[test]
    fn refusals_become_short_texts() {
        let long = format!(r#"{{"message":"{}"}}"#, "ä".repeat(5000));
        let deleted = r#"{"kind":"Status","reason":"Forbidden","message":"no new content",
            "details":{"name":"a","causes":[{"reason":"NamespaceTerminating"}]}}"#;
        let table = [
            (
                "a Status",
                404,
                r#"{"kind":"Status","reason":"NotFound","message":"pods \"b\" not found"}"#,
                "pods \"b\" not found",
                "NotFound",
            ),
            (
                "nothing",
                404,
                "",
                "reading pod a/b: the API server answered 404",
                "",
            ),
            (
                "a proxy's",
                502,
                "bad\r\n\u{1b}[31mgateway\n",
                "bad [31mgateway",
                "",
            ),
            ("another JSON", 500, "[1]", "500: [1]", ""),
            (
                "forbidden",
                403,
                r#"{"reason":"Forbidden"}"#,
                "Node authorizer",
                "Forbidden",
            ),
            (
                "lapsed",
                401,
                r#"{"reason":"Unauthorized"}"#,
                "lapsed",
                "Unauthorized",
            ),
            (
                "deleted",
                403,
                deleted,
                "403: no new content",
                "NamespaceTerminating",
            ),
            ("long", 500, &long, "500: ää", ""),
        ];
        for (name, status, body, part, reason) in table {
            let error = Error::refusal("reading pod a/b", status, body.as_bytes());
            let text = error.to_string();
            assert!(text.contains(part), "{name}: {text}");
            assert!(!text.contains(char::is_control), "{name}: {text:?}");
            assert!(text.len() < 800, "{name}: {} bytes", text.len());
            match &error {
                Error::Status { reason: got, .. } => assert_eq!(got, reason, "{name}"),
                other => panic!("{name}: {other:?}"),
            }
        }
        let deleted = Error::refusal("x", 403, deleted.as_bytes());
        assert!(!deleted.to_string().contains("Node"));
    }
}
