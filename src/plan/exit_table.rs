//! What an end that a plugin reports looks like to the kubelet. Job and Deployment controllers act
//! on exit codes and reasons, and plugins have words of their own for what befell a job.

use crate::config::{
    pattern::Pattern,
    policy::{StateHandler, States},
};

/// Exit code of what was killed (128 + SIGKILL).
const KILLED: i32 = 137;
/// Exit code of what was asked to end (128 + SIGTERM).
const TERMINATED: i32 = 143;
/// Exit code of what took too long, as timeout(1) has it.
const TIMED_OUT: i32 = 124;

/// The entries that come with the daemon: when the reason fits, code, reason and message.
const BUILTIN: [(&str, i32, &str, &str); 10] = [
    ("OOMKilled", KILLED, "OOMKilled", ""),
    ("OUT_OF_MEMORY*", KILLED, "OOMKilled", ""),
    (
        "*JobTimeout",
        TIMED_OUT,
        "TimeLimit",
        "the job reached its time limit at the site",
    ),
    (
        "TIMEOUT",
        TIMED_OUT,
        "TimeLimit",
        "the job reached its time limit at the site",
    ),
    (
        "DeadlineExceeded",
        TIMED_OUT,
        "TimeLimit",
        "the job reached its time limit at the site",
    ),
    (
        "*Preempt*",
        TERMINATED,
        "Preempted",
        "the site needed the node for another job",
    ),
    (
        "NODE_FAIL*",
        KILLED,
        "NodeFailure",
        "the node that the job ran on failed",
    ),
    (
        "*NodeFail*",
        KILLED,
        "NodeFailure",
        "the node that the job ran on failed",
    ),
    (
        "BOOT_FAIL",
        KILLED,
        "NodeFailure",
        "the node that the job was to run on failed",
    ),
    (
        "*Cancel*",
        TERMINATED,
        "Cancelled",
        "somebody cancelled the job at the site",
    ),
];

/// What a plugin reports of an end.
#[derive(Clone, Copy, Debug)]
pub struct Reported<'a> {
    /// The exit code.
    pub code: i32,
    /// The reason; empty where there is none.
    pub reason: &'a str,
    /// The message; empty where there is none.
    pub message: &'a str,
}

/// What is shown of it. The plugin's message is not here: it is the job's own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The exit code.
    pub code: i32,
    /// The reason; empty where there is none.
    pub reason: String,
    /// Our explanation; empty where there is none.
    pub explanation: String,
}

/// The table, in the order in which it is looked through.
#[derive(Clone, Debug, Default)]
pub struct ExitTable(Vec<Handler>);

#[derive(Clone, Debug)]
struct Handler {
    reason: Option<Pattern>,
    message: Option<Pattern>,
    code: Option<i32>,
    shown_code: Option<i32>,
    shown_reason: Option<String>,
    explanation: String,
}

impl From<&States> for ExitTable {
    fn from(states: &States) -> Self {
        let own = states.handlers.iter().map(Handler::from);
        let builtin = BUILTIN
            .iter()
            .filter(|_| states.builtin)
            .map(Handler::builtin);
        Self(own.chain(builtin).collect())
    }
}

impl ExitTable {
    /// What is shown of an end: as the first entry says that fits, else as it was reported.
    pub fn shown(&self, end: Reported<'_>) -> Shown {
        let handler = self.0.iter().find(|handler| handler.fits(end));
        let code = handler.and_then(|handler| handler.shown_code);
        let reason = handler.and_then(|handler| handler.shown_reason.clone());
        Shown {
            code: code.unwrap_or(end.code),
            reason: reason.unwrap_or_else(|| end.reason.to_owned()),
            explanation: handler
                .map(|handler| handler.explanation.clone())
                .unwrap_or_default(),
        }
    }
}

impl From<&StateHandler> for Handler {
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

impl Handler {
    fn builtin(entry: &(&str, i32, &str, &str)) -> Self {
        let (when, code, reason, explanation) = *entry;
        Self {
            reason: Some(pattern(when)),
            message: None,
            code: None,
            shown_code: Some(code),
            shown_reason: Some(reason.to_owned()),
            explanation: explanation.to_owned(),
        }
    }

    fn fits(&self, end: Reported<'_>) -> bool {
        let fits = |pattern: &Option<Pattern>, text: &str| {
            let pattern = pattern.as_ref();
            pattern.is_none_or(|pattern| pattern.fits(text))
        };
        fits(&self.reason, end.reason)
            && fits(&self.message, end.message)
            && self.code.is_none_or(|code| code == end.code)
    }
}

/// The configuration's check lets only patterns pass; any other text stands for itself.
fn pattern(text: &str) -> Pattern {
    Pattern::of_words(text).unwrap_or_else(|_| Pattern::literally(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn shown(toml: &str, reported: (i32, &str, &str)) -> String {
        let config: Config = toml::from_str(toml).unwrap();
        let (code, reason, message) = reported;
        let shown = ExitTable::from(&config.states).shown(Reported {
            code,
            reason,
            message,
        });
        format!("{} {}: {}", shown.code, shown.reason, shown.explanation)
    }

    #[test]
    fn what_befalls_jobs_is_known() {
        for (reported, want) in [
            ((0, "OOMKilled", ""), "137 OOMKilled: "),
            ((1, "OUT_OF_MEMORY", "m"), "137 OOMKilled: "),
            (
                (0, "SlurmJobTimeout", ""),
                "124 TimeLimit: the job reached its time limit at the site",
            ),
            (
                (9, "timeout", ""),
                "124 TimeLimit: the job reached its time limit at the site",
            ),
            (
                (0, "PREEMPTED", ""),
                "143 Preempted: the site needed the node for another job",
            ),
            (
                (0, "NODE_FAIL", ""),
                "137 NodeFailure: the node that the job ran on failed",
            ),
            (
                (1, "SlurmNodeFailure", ""),
                "137 NodeFailure: the node that the job ran on failed",
            ),
            (
                (0, "CANCELLED", ""),
                "143 Cancelled: somebody cancelled the job at the site",
            ),
            ((0, "Completed", ""), "0 Completed: "),
            ((3, "", "m"), "3 : "),
            ((3, "Error", ""), "3 Error: "),
        ] {
            assert_eq!(shown("", reported), want, "{reported:?}");
            let as_is = format!("{} {}: ", reported.0, reported.1);
            assert_eq!(shown("[states]\nbuiltin = false", reported), as_is);
        }
    }

    #[test]
    fn the_site_s_own_entries_come_first() {
        let toml =
            "[[states.handlers]]\nwhen_reason = 'slurmjobtimeout'\nwhen_message = '*grace*'\n\
                    exit_code = 0\nreason = 'Completed'\n\
                    [[states.handlers]]\nwhen_exit_code = 42\nmessage = 'licence server away'\n\
                    [[states.handlers]]\nwhen_reason = 'LOST'\nexit_code = 200";
        for (reported, want) in [
            ((1, "SlurmJobTimeout", "in its grace time"), "0 Completed: "),
            (
                (1, "SlurmJobTimeout", "x"),
                "124 TimeLimit: the job reached its time limit at the site",
            ),
            ((42, "Error", "x"), "42 Error: licence server away"),
            ((1, "Lost", "x"), "200 Lost: "),
        ] {
            assert_eq!(shown(toml, reported), want, "{reported:?}");
        }
    }
}
