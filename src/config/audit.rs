//! Every key about the audit file, its default, and why.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[audit]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// File that gets a line of JSON for each submission and cancellation: whose job it was, and what
    /// became of it. On a local disk; it is made with mode 0600, appended to, and opened again when it
    /// was renamed, or on SIGHUP. Unset: the lines go to the daemon's log, at level `info`. A line that
    /// cannot be written is an error in the log and stops no job.
    pub file: Option<PathBuf>,
}
