//! What an end that a plugin reports looks like to the kubelet. Job and Deployment controllers act
//! on exit codes and reasons, and plugins have words of their own for the ends of jobs. The entries
//! that come with the daemon stand in `profile::known_ends`; here is how one is chosen.

use super::{report::ReportedEnd, traits::KnownEnd};
use crate::config::{
    pattern::Pattern,
    policy::{StateHandler, States},
};

/// What is shown of a reported end. The plugin's message is not here: it is the job's own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownEnd {
    /// Exit code; 128 + signal where a signal ended it.
    pub code: i32,
    /// The reason; empty where there is none.
    pub reason: String,
    /// Our explanation; empty where there is none.
    pub explanation: String,
}

/// The table, in the order in which it is looked through.
#[derive(Clone, Debug, Default)]
pub struct ExitTable(Vec<Entry>);

#[derive(Clone, Debug)]
struct Entry {
    reason: Option<Pattern>,
    message: Option<Pattern>,
    code: Option<i32>,
    shown_code: Option<i32>,
    shown_reason: Option<String>,
    explanation: String,
}

impl ExitTable {
    /// The entries of the site, and behind them the ends that plugins are known to report, unless the
    /// site does not want those.
    pub fn new(states: &States, known: &[KnownEnd]) -> Self {
        let own = states.handlers.iter().map(Entry::from);
        let known = known.iter().filter(|_| states.builtin).map(Entry::from);
        Self(own.chain(known).collect())
    }

    /// What is shown of an end: as the first entry says that fits, else as it was reported.
    pub fn shown(&self, end: &ReportedEnd) -> ShownEnd {
        let entry = self.0.iter().find(|entry| entry.fits(end));
        let code = entry.and_then(|entry| entry.shown_code);
        let reason = entry.and_then(|entry| entry.shown_reason.clone());
        ShownEnd {
            code: code.unwrap_or(end.code),
            reason: reason.unwrap_or_else(|| end.reason.clone()),
            explanation: entry
                .map(|entry| entry.explanation.clone())
                .unwrap_or_default(),
        }
    }
}

impl From<&StateHandler> for Entry {
    fn from(from: &StateHandler) -> Self {
        Self {
            reason: from.when_reason.as_deref().map(pattern),
            message: from.when_message.as_deref().map(pattern),
            code: from.when_exit_code,
            shown_code: from.exit_code,
            shown_reason: from.reason.clone(),
            explanation: from.message.clone().unwrap_or_default(),
        }
    }
}

impl From<&KnownEnd> for Entry {
    fn from(from: &KnownEnd) -> Self {
        Self {
            reason: Some(pattern(from.when_reason)),
            message: None,
            code: None,
            shown_code: Some(from.code),
            shown_reason: Some(from.reason.to_owned()),
            explanation: from.message.to_owned(),
        }
    }
}

impl Entry {
    fn fits(&self, end: &ReportedEnd) -> bool {
        let fits = |pattern: &Option<Pattern>, text: &str| {
            let pattern = pattern.as_ref();
            pattern.is_none_or(|pattern| pattern.fits(text))
        };
        fits(&self.reason, &end.reason)
            && fits(&self.message, &end.message)
            && self.code.is_none_or(|code| code == end.code)
    }
}

/// The configuration's check lets only patterns pass; any other text stands for itself.
fn pattern(text: &str) -> Pattern {
    Pattern::of_words(text).unwrap_or_else(|_| Pattern::literally(text))
}
