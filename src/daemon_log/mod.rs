//! The daemon's own log: what its lines are about, and what they look like.
//!
//! Lines are written with the macros of the crate `log`. What a line is about stands in key-values beside
//! its message, so that a log can be filtered by pod, job or call, whatever the message says. The message is
//! the same for each event of a kind; `error` has what went wrong.
//!
//! Which pod a piece of work is for is said once, by a [`Scope`]: all lines that the thread writes until
//! the scope ends have the pod's keys, those of lower rooms included, which know no pods.

mod format;
mod scope;

use std::time::Duration;

pub use self::{
    format::{is_journal, Format},
    scope::{note_container, note_job, note_pod, note_pod_to_be, Fields, Scope},
};

/// Every key that lines have, with its meaning; `docs/operations.md` shows them. Keys without a value are
/// left out.
pub const KEYS: &[(&str, &str)] = &[
    ("namespace", "the pod's namespace"),
    ("pod", "the pod's name"),
    ("pod_uid", "the pod's UID, as the API server has it"),
    ("sandbox", "the id of its pod sandbox"),
    ("container", "the container's name"),
    ("container_id", "the container's id"),
    ("job", "the UID under which interLink has the job"),
    (
        "jid",
        "the remote side's own id of the job: of a batch system, its number",
    ),
    ("rpc", "the CRI call"),
    ("call", "the call to interLink or to the API server"),
    (
        "session",
        "the id that interLink's own log has for the call (`InterLink-Http-Session`)",
    ),
    ("elapsed_ms", "how long it took, in milliseconds"),
    ("error", "what went wrong, with its causes"),
    ("exit_code", "the exit code of a container"),
    (
        "reason",
        "a word for why: of the end of a container, of an event",
    ),
    (
        "held_back",
        "lines like this one that were left out since the last one",
    ),
    ("jobs", "how many jobs it is about"),
    ("pods", "how many pods it is about"),
    ("node", "the node's name"),
    ("signal", "the number of a signal"),
    ("thread", "the name of a thread of the daemon"),
];

/// A span as `elapsed_ms` has it.
pub fn millis(span: Duration) -> f64 {
    // Microseconds are the last that mean something.
    (span.as_secs_f64() * 1e6).round() / 1e3
}
