//! CRI log files: where they may lie (`log_path`), how their lines look (`line`), and how a remote log
//! gets into one exactly once, through disconnects, rotation and restarts (`sink`, `recover`), where a
//! directory that hangs holds up its own pod alone (`log`).

mod checkpoint;
mod line;
mod log;
mod log_path;
/// What must hold whatever comes in; `fuzz/` and the tests share it.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod properties;
mod recover;
mod registry;
mod sink;
mod termination;

use std::{io, path::PathBuf};

#[cfg(any(test, fuzzing))]
use self::sink::LogSink;
pub use self::{
    log::{Fetch, Log, Progress},
    log_path::validate_log_path,
    registry::Registry,
};
use crate::disk::Hung;

/// Why a log cannot be written.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum Error {
    /// The path leaves the log directory.
    #[error("log path `{0}` leaves the pod's log directory, or is not a plain relative path")]
    Escapes(String),
    /// A file or directory cannot be used.
    #[error("log file {path} cannot be used")]
    File {
        /// Which.
        path: PathBuf,
        source: io::Error,
    },
    /// Its file system does not answer.
    #[error(transparent)]
    Hung(#[from] Hung),
    /// Another reader has taken over this log.
    #[error("another reader has taken over this log")]
    Superseded,
    /// The container has no log here.
    #[error("the container has no open log")]
    NotOpen,
    /// What was fetched ends before what was read before.
    #[error("the remote log is shorter than before; it is read again later")]
    Short,
    /// What was fetched is another text than before; one answer alone may be wrong.
    #[error("the remote log is another text than before; it is looked at once more")]
    Unrecognised,
    /// The remote log is a new one; the next fetch gives what it has.
    #[error("the remote log has begun anew; its new lines follow those of before")]
    BegunAnew,
}
