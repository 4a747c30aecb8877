//! What the decisions have to know of a plugin. `profile` says it for each.

use std::time::Duration;

/// Facts about a plugin that change what follows from its answers.
#[derive(Clone, Debug)]
pub struct PluginTraits {
    /// For how long it may give its last answer to /status again, whatever it is asked.
    pub repeats_answers_for: Duration,
    /// For how long it may report a job as ended whose nodes are still being made ready.
    pub may_prepare_for: Duration,
    /// Its words for what happened to a job, and what the kubelet is shown instead.
    pub known_ends: &'static [KnownEnd],
}

/// An end that a plugin reports in words of its own.
#[derive(Clone, Copy, Debug)]
pub struct KnownEnd {
    /// Pattern of the reason that the plugin gives, without regard to upper and lower case.
    pub when_reason: &'static str,
    /// The exit code that is shown.
    pub code: i32,
    /// The reason that is shown.
    pub reason: &'static str,
    /// Our explanation; empty where the reason says all.
    pub message: &'static str,
}
