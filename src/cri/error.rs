//! The one table from errors to gRPC codes.
//!
//! The kubelet shows users the message and, but for NOT_FOUND, ignores the code. Events with the
//! same text are counted together, so messages are stable: nothing in them changes between two
//! attempts at the same thing.

use grpcio::{RpcStatus, RpcStatusCode};

use crate::{convert, host, identity, logs, plan::batch, store, telemetry::chain, text};

/// Why a CRI call is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object that the call is about does not exist.
    #[error("{kind} `{id}` does not exist")]
    NotFound {
        /// What it would be.
        kind: &'static str,
        /// What the call named it.
        id: String,
    },
    /// The call makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The call makes sense, but not now or not here.
    #[error("{0}")]
    Precondition(String),
    /// The site does not allow it.
    #[error("{0}")]
    Denied(String),
    /// What the call would create is there.
    #[error("{0}")]
    Exists(String),
    /// This runtime does not do that.
    #[error("{0}")]
    Unimplemented(String),
    /// More calls than can wait.
    #[error("{0}")]
    Exhausted(String),
    /// The beginning of an id fits several objects.
    #[error(transparent)]
    Ambiguous(#[from] store::Ambiguous),
    /// The state could not be changed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The log file cannot be used.
    #[error("{0}")]
    Log(String),
    /// A file system that the pod names does not answer.
    #[error("{0}")]
    Hung(String),
    /// What the call waits for has not come in time.
    #[error("{0}")]
    TimeOut(String),
    /// The daemon ends before what the call waits for has come.
    #[error("interlink-cri is being stopped; ask it again when it is back")]
    Ending,
    /// Something that must not happen did.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// A refusal by the conversion, about a container of a pod.
    pub fn convert(about: &str, error: &convert::Error) -> Self {
        let text = format!("{about}: {error}");
        if error.is_precondition() {
            Self::Precondition(text)
        } else {
            Self::Invalid(text)
        }
    }

    /// A pod whose jobs would not be its author's.
    pub fn identity(about: &str, error: &identity::Error) -> Self {
        let text = format!("{about}: {}", chain(error));
        match error.is_temporary() {
            true => Self::Precondition(text),
            false => Self::Denied(text),
        }
    }

    /// A container that cannot be started.
    pub fn not_started(about: &str, refusal: batch::Refusal) -> Self {
        Self::Precondition(format!("{about}: {refusal}"))
    }

    /// A log file that cannot be used.
    pub fn log(about: &str, error: &logs::Error) -> Self {
        let text = format!("{about}: {}", chain(error));
        match error {
            logs::Error::Hung(_) => Self::Hung(text),
            _ => Self::Log(text),
        }
    }

    /// A mount of which it cannot be told what it is.
    pub fn host(about: &str, error: &host::Error) -> Self {
        let text = format!("{about}: {}", chain(error));
        match error.is_hung() {
            true => Self::Hung(text),
            false => Self::Precondition(text),
        }
    }

    /// The name of its gRPC code, as metrics have it.
    pub fn code_name(&self) -> &'static str {
        match self.code() {
            RpcStatusCode::NOT_FOUND => "NOT_FOUND",
            RpcStatusCode::INVALID_ARGUMENT => "INVALID_ARGUMENT",
            RpcStatusCode::FAILED_PRECONDITION => "FAILED_PRECONDITION",
            RpcStatusCode::PERMISSION_DENIED => "PERMISSION_DENIED",
            RpcStatusCode::ALREADY_EXISTS => "ALREADY_EXISTS",
            RpcStatusCode::UNIMPLEMENTED => "UNIMPLEMENTED",
            RpcStatusCode::RESOURCE_EXHAUSTED => "RESOURCE_EXHAUSTED",
            RpcStatusCode::UNAVAILABLE => "UNAVAILABLE",
            RpcStatusCode::DEADLINE_EXCEEDED => "DEADLINE_EXCEEDED",
            RpcStatusCode::INTERNAL => "INTERNAL",
            _ => "UNKNOWN",
        }
    }

    fn code(&self) -> RpcStatusCode {
        match self {
            Self::NotFound { .. }
            | Self::Store(store::Error::NoSandbox(_) | store::Error::NotOnDisk { .. }) => {
                RpcStatusCode::NOT_FOUND
            }
            Self::Invalid(_) | Self::Ambiguous(_) => RpcStatusCode::INVALID_ARGUMENT,
            Self::Precondition(_) => RpcStatusCode::FAILED_PRECONDITION,
            Self::Denied(_) => RpcStatusCode::PERMISSION_DENIED,
            Self::Exists(_) | Self::Store(store::Error::Exists { .. }) => {
                RpcStatusCode::ALREADY_EXISTS
            }
            Self::Unimplemented(_) => RpcStatusCode::UNIMPLEMENTED,
            Self::Exhausted(_) => RpcStatusCode::RESOURCE_EXHAUSTED,
            Self::Store(
                store::Error::OverBudget(_) | store::Error::Disk(store::DiskError::Commit { .. }),
            ) => RpcStatusCode::RESOURCE_EXHAUSTED,
            Self::Store(store::Error::Disk(_)) | Self::Log(_) | Self::Hung(_) | Self::Ending => {
                RpcStatusCode::UNAVAILABLE
            }
            Self::TimeOut(_) => RpcStatusCode::DEADLINE_EXCEEDED,
            Self::Store(store::Error::Record { .. } | store::Error::NotLoaded(_))
            | Self::Internal(_) => RpcStatusCode::INTERNAL,
        }
    }

    /// Whether it is our fault or our machine's, and so worth a line in the daemon's log.
    pub fn is_ours(&self) -> bool {
        // Who asks for too much asks again and again, and of a disk that hangs there is a line already.
        let is_usual = matches!(
            self,
            Self::Store(store::Error::OverBudget(_)) | Self::Hung(_) | Self::Ending
        );
        !is_usual
            && matches!(
                self.code(),
                RpcStatusCode::INTERNAL
                    | RpcStatusCode::UNAVAILABLE
                    | RpcStatusCode::RESOURCE_EXHAUSTED
            )
    }
}

impl From<&Error> for RpcStatus {
    fn from(error: &Error) -> Self {
        RpcStatus::with_message(error.code(), shown(&chain(error)))
    }
}

/// The longest message. gRPC carries it in a header of 8 KiB, where a byte may take three; the
/// kubelet's events hold no more.
const MAX_MESSAGE: usize = 1024;

/// A text that a request may have had a part in, on one line. What is too long is cut in its
/// middle: what to do about an error stands at the end.
fn shown(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            line.extend(letter.escape_default());
        } else {
            line.push(letter);
        }
    }
    if line.len() <= MAX_MESSAGE {
        return line;
    }
    const GAP: &str = " ... ";
    let half = (MAX_MESSAGE - GAP.len()) / 2;
    let (begin, end) = (text::beginning(&line, half), text::end(&line, half));
    format!("{begin}{GAP}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SandboxId;

    #[test]
    fn a_message_is_one_short_line_whatever_the_request_said() {
        let refused = |id: String| {
            let kind = "container";
            RpcStatus::from(&Error::NotFound { kind, id })
        };
        let message = refused("a\n\u{1b}[31mb".to_owned());
        assert_eq!(
            message.message(),
            "container `a\\n\\u{1b}[31mb` does not exist"
        );
        for letter in ["x", "ü", "語", "\0"] {
            let status = refused(letter.repeat(100_000));
            let message = status.message();
            assert!((1000..=MAX_MESSAGE).contains(&message.len()), "{message}");
            assert!(message.starts_with("container `") && message.ends_with("` does not exist"));
        }
    }

    #[test]
    fn the_table() {
        let exists = store::Error::Exists {
            pod: "a/b".into(),
            attempt: 0,
            id: SandboxId::from("x"),
        };
        let rows = [
            (
                Error::NotFound {
                    kind: "container",
                    id: "x".into(),
                },
                RpcStatusCode::NOT_FOUND,
            ),
            (
                Error::Invalid(String::new()),
                RpcStatusCode::INVALID_ARGUMENT,
            ),
            (
                Error::Ambiguous(store::Ambiguous("a".into())),
                RpcStatusCode::INVALID_ARGUMENT,
            ),
            (
                Error::Precondition(String::new()),
                RpcStatusCode::FAILED_PRECONDITION,
            ),
            (
                Error::Denied(String::new()),
                RpcStatusCode::PERMISSION_DENIED,
            ),
            (Error::Store(exists), RpcStatusCode::ALREADY_EXISTS),
            (
                Error::Exhausted(String::new()),
                RpcStatusCode::RESOURCE_EXHAUSTED,
            ),
            (
                Error::Store(store::OverBudget::default().into()),
                RpcStatusCode::RESOURCE_EXHAUSTED,
            ),
            (
                Error::Store(store::DiskError::Closed.into()),
                RpcStatusCode::UNAVAILABLE,
            ),
            (
                Error::Unimplemented(String::new()),
                RpcStatusCode::UNIMPLEMENTED,
            ),
            (
                Error::TimeOut(String::new()),
                RpcStatusCode::DEADLINE_EXCEEDED,
            ),
            (Error::Ending, RpcStatusCode::UNAVAILABLE),
        ];
        for (error, code) in rows {
            assert_eq!(error.code(), code, "{error:?}");
        }
    }
}
