//! The rules of docs/wire.md, and what a plugin's answers say of each. Pure: `probe` has the answers.

mod deletions;
mod logs;
mod questions;
mod submissions;
mod verdict;

pub use self::verdict::Verdict;

use super::observed::Observed;

/// A rule that a plugin should keep.
pub struct Rule {
    /// Its number in docs/wire.md.
    pub id: &'static str,
    /// Its title there.
    pub title: &'static str,
    /// What the answers say of it.
    pub verdict: fn(&Observed) -> Verdict,
}

const fn rule(id: &'static str, title: &'static str, verdict: fn(&Observed) -> Verdict) -> Rule {
    Rule { id, title, verdict }
}

/// The rules of docs/wire.md, in the order in which they are tried and shown.
pub const RULES: [Rule; 17] = [
    rule("W1", "A ping is answered", questions::ping),
    rule(
        "W2",
        "A question about no pod is answered",
        questions::empty,
    ),
    rule(
        "W3",
        "A submission is answered with the pod's UID and a job id",
        submissions::form,
    ),
    rule(
        "W4",
        "A submission is answered before its job has run",
        submissions::prompt,
    ),
    rule(
        "W5",
        "A pod that was accepted is in the next answer",
        questions::fresh,
    ),
    rule(
        "W6",
        "A question about an unknown pod is answered without it",
        questions::unknown,
    ),
    rule(
        "W7",
        "A question is answered for each pod, whatever the others are",
        questions::mixed,
    ),
    rule(
        "W8",
        "Every container is reported by its name",
        questions::containers,
    ),
    rule(
        "W9",
        "An end has its exit code and its times",
        questions::ends,
    ),
    rule(
        "W10",
        "Init containers run, before the main containers",
        questions::inits,
    ),
    rule(
        "W11",
        "A log is what the container wrote, and nothing else",
        logs::logs,
    ),
    rule(
        "W12",
        "A followed log ends with its container",
        logs::followed,
    ),
    rule(
        "W13",
        "The log of an unknown pod is empty, or refused",
        logs::unknown_log,
    ),
    rule(
        "W14",
        "A submission that cannot be read is refused",
        submissions::malformed,
    ),
    rule(
        "W15",
        "A second submission of a pod does not start it again",
        submissions::again,
    ),
    rule(
        "W16",
        "A deletion is confirmed, and the pod is gone",
        deletions::deleted,
    ),
    rule(
        "W17",
        "The deletion of an unknown pod is confirmed, or answered with 404",
        deletions::deleted_again,
    ),
];

#[cfg(test)]
mod tests;
