//! Why a request is not carried out, whoever finds that out: the API, the checks of a pod, or the
//! backend. What HTTP status each becomes is the API's business.

use std::io;

/// Why a request is not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The request is malformed, or asks for what the backend cannot do. Sending it again does not
    /// help.
    #[error("{0}")]
    Invalid(String),
    /// The request names a pod or container that the backend does not have.
    #[error("{0}")]
    NotFound(String),
    /// The request contradicts what the backend has: another pod with the same UID, or one that is
    /// being deleted.
    #[error("{0}")]
    Conflict(String),
    /// Something that the pod needs does not answer. Sending the request again helps when it does.
    #[error("{0}")]
    Unavailable(String),
    /// The backend, or the machine that it runs on, fails. Sending the request again may help.
    #[error("the plugin's backend failed: {0}")]
    Failed(#[from] io::Error),
}

impl Refusal {
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }

    pub(crate) fn not_found(text: impl Into<String>) -> Self {
        Self::NotFound(text.into())
    }

    pub(crate) fn conflict(text: impl Into<String>) -> Self {
        Self::Conflict(text.into())
    }
}
