//! The calls of the interLink API, and what is sent with each.

use std::fmt;

use ureq::http::Method;

/// One of the server's endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Submits a pod.
    Create,
    /// Cancels a pod and forgets it.
    Delete,
    /// Asks how pods are.
    Status,
    /// Reads or follows a container's log.
    Logs,
    /// Asks whether the plugin is there.
    Ping,
    /// [`Delete`](Self::Delete) without a server between.
    DirectDelete,
    /// [`Ping`](Self::Ping) without a server between: a question about no pod.
    DirectPing,
}

impl Call {
    /// The path below the server's address.
    pub fn path(self) -> &'static str {
        match self {
            Self::Create => "/create",
            Self::Delete | Self::DirectDelete => "/delete",
            Self::Status | Self::DirectPing => "/status",
            Self::Logs => "/getLogs",
            Self::Ping => "/pinglink",
        }
    }

    /// The endpoint as metrics have it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete | Self::DirectDelete => "delete",
            Self::Status => "status",
            Self::Logs => "logs",
            Self::Ping | Self::DirectPing => "ping",
        }
    }

    /// The method that interLink's own client uses; the server does not check, a proxy may.
    pub(super) fn method(self) -> Method {
        match self {
            Self::Create | Self::Ping | Self::DirectDelete => Method::POST,
            Self::Delete => Method::DELETE,
            Self::Status | Self::Logs | Self::DirectPing => Method::GET,
        }
    }

    /// Whether a connection that breaks before the first byte of an answer may be answered with
    /// the same request over a new one. Doing any of these twice is doing it once; a submission
    /// is the exception.
    pub(super) fn is_repeatable(self) -> bool {
        !matches!(self, Self::Create)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method(), self.path())
    }
}
