//! To which trace the call belonged that something began with.

use serde::{Deserialize, Serialize};

/// The trace context of a CRI call, in the form of the W3C's headers
/// (<https://www.w3.org/TR/trace-context/>). Kept with what the call has changed, so that what happens
/// to a job hours later can name the trace that it began in, also after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceContext {
    /// `traceparent`: version, trace id, span id and flags.
    pub parent: String,
    /// `tracestate`: what tracing systems have added, at most [`TraceContext::MAX_STATE`] bytes; empty where
    /// there is nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub state: String,
}

impl TraceContext {
    /// The longest `tracestate` that is passed on, in bytes: as much as the W3C wants everybody to.
    pub const MAX_STATE: usize = 512;
}
