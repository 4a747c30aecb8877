//! What a rule comes to, and what must have been heard before it can be tried.

use serde_json::Value;

use crate::{cli::check_plugin::observed::Observed, text::one_line_of};

/// What a rule comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is kept.
    Ok,
    /// It is not kept, and the daemon copes: what that means for users.
    Deviates(String),
    /// It is not kept, and something does not work: what.
    Fails(String),
    /// It was not tried, and why.
    NotTried(String),
}

/// The verdict, or the one that came before it could be given.
pub(super) fn either(verdict: Result<Verdict, Verdict>) -> Verdict {
    verdict.unwrap_or_else(|verdict| verdict)
}

pub(super) fn deviates(text: impl Into<String>) -> Verdict {
    Verdict::Deviates(text.into())
}

pub(super) fn fails(text: impl Into<String>) -> Verdict {
    Verdict::Fails(text.into())
}

pub(super) fn not_tried<T>(why: &str) -> Result<T, Verdict> {
    Err(Verdict::NotTried(why.to_owned()))
}

/// What a call came to, where it was made.
pub(super) fn tried<T>(what: &Option<T>) -> Result<&T, Verdict> {
    match what {
        Some(what) => Ok(what),
        None => not_tried("what comes before it failed"),
    }
}

/// Whether the pod was accepted, so that what follows could be tried.
pub(super) fn accepted(seen: &Observed) -> Result<(), Verdict> {
    match &seen.job_id {
        Some(_) => Ok(()),
        None => not_tried("the submission failed"),
    }
}

/// The entry of the pod in the answer in which it has ended.
pub(super) fn end_of(seen: &Observed) -> Result<Value, Verdict> {
    accepted(seen)?;
    let ended = match &seen.ended {
        Some(ended) => ended,
        None => return not_tried("the job did not end in time (--timeout)"),
    };
    tried(&ended.entry(&seen.uid)).cloned()
}

/// A text of a plugin's, short enough for a line.
pub(super) fn short(text: &str) -> String {
    const BYTES: usize = 200;
    format!("`{}`", one_line_of(text, BYTES))
}
