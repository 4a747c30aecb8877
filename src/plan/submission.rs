//! The submission of a job as a state machine, and its cancellation.
//!
//! ```text
//!              Closed            PostBegins             Accepted
//!  Gathering ─────────► Pending ───────────► Submitting ─────────► Submitted ──► Finished
//!      │                 │ ▲ ▲   NotActed        │ │                  ▲    │ Ended
//!      │                 │ │ └───────────────────┘ │ InDoubt          │    └─────► Lost
//!      │                 │ │                       │ Recovered        │      Missing
//!      │                 │ └───────────────────────▼──────────────────┘
//!      │                 │        Denied         Unsure    Shown
//!      │ Withdrawn       │    (long enough)                      Refused: Submitting ──► Dropped
//!      └────────────────►└──────────────► Dropped
//! ```
//!
//! Its invariants are those of ARCHITECTURE.md ("Jobs"): 1 to 4 and 8 are about these transitions.

use std::hash::Hash;

use super::Rules;
use crate::model::{Cancellation, Job, Nanos, Submission};

/// Denials in a row, at the least, before a doubtful submission counts as never made.
pub const MIN_DENIALS: u32 = 3;

/// What can happen to a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The quiet period has passed: nothing joins any more.
    Closed,
    /// A worker is about to POST.
    PostBegins,
    /// The plugin took the job.
    Accepted,
    /// The POST failed and the plugin has not acted; it may go better later.
    NotActed,
    /// The POST failed and the plugin may have acted.
    InDoubt,
    /// The daemon came back from a crash or a stop.
    Recovered,
    /// The plugin, asked about a doubtful job, shows it.
    Shown,
    /// The plugin, asked about a doubtful job, does not know it.
    Denied,
    /// The plugin, asked about a doubtful job, gave no answer.
    NoAnswer,
    /// The plugin, asked about a doubtful job, gave an answer that may be one to another question; asked
    /// now, it would do so again.
    Untold,
    /// The plugin refused the job for good.
    Refused,
    /// Nobody wants the job any more.
    Withdrawn,
    /// All its containers have ended.
    Ended,
    /// The plugin does not know it any more.
    Missing,
}

/// The state after an event. An event that does not belong to a state leaves it as it is: it is
/// the late echo of something that has been dealt with.
pub fn step<W: Hash>(
    from: &Submission,
    event: Event,
    now: Nanos,
    who: W,
    rules: &Rules,
) -> Submission {
    use Submission as S;
    let pause = |failures: u32| now.plus(rules.retry.spread(failures, &who));
    let unsure = |failures: u32| S::Unsure {
        failures,
        since: now,
        denials: 0,
        not_before: now.plus(rules.retry.shortest),
    };
    let next_question = now.plus(rules.unsure_grace / (MIN_DENIALS + 1));
    match (from, event) {
        (S::Gathering { .. }, Event::Closed) => S::Pending {
            failures: 0,
            not_before: now,
        },
        (S::Gathering { .. }, Event::Withdrawn) => S::Dropped,

        (S::Pending { failures, .. }, Event::PostBegins) => S::Submitting {
            failures: *failures,
        },
        (S::Pending { .. }, Event::Withdrawn) => S::Dropped,

        (S::Submitting { .. }, Event::Accepted) => S::Submitted { at: now },
        (S::Submitting { failures }, Event::NotActed) => {
            let failures = failures.saturating_add(1);
            S::Pending {
                failures,
                not_before: pause(failures),
            }
        }
        (S::Submitting { failures }, Event::InDoubt | Event::Recovered) => {
            unsure(failures.saturating_add(1))
        }
        (S::Submitting { .. }, Event::Refused) => S::Dropped,

        (S::Unsure { .. }, Event::Shown) => S::Submitted { at: now },
        (
            S::Unsure {
                failures,
                since,
                denials,
                ..
            },
            Event::Denied,
        ) => {
            let denials = denials.saturating_add(1);
            // After the clock has stepped back, the time that has passed is not known.
            let since = &(*since).min(now);
            if denials >= MIN_DENIALS && now.since(*since) >= rules.unsure_grace {
                S::Pending {
                    failures: *failures,
                    not_before: now,
                }
            } else {
                S::Unsure {
                    failures: *failures,
                    since: *since,
                    denials,
                    not_before: next_question,
                }
            }
        }
        // Neither one nor the other: what was denied before stays denied.
        (
            S::Unsure {
                failures,
                since,
                denials,
                ..
            },
            Event::Untold,
        ) => S::Unsure {
            failures: *failures,
            since: *since,
            denials: *denials,
            not_before: next_question,
        },
        // No answer is no denial: the count starts again, the grace period goes on.
        (
            S::Unsure {
                failures, since, ..
            },
            Event::NoAnswer,
        ) => {
            let failures = failures.saturating_add(1);
            S::Unsure {
                failures,
                since: *since,
                denials: 0,
                not_before: pause(failures),
            }
        }

        (S::Submitted { .. }, Event::Ended) => S::Finished,
        (S::Submitted { .. }, Event::Missing) => S::Lost,

        (
            S::Gathering { .. },
            Event::PostBegins
            | Event::Accepted
            | Event::NotActed
            | Event::InDoubt
            | Event::Recovered
            | Event::Shown
            | Event::Denied
            | Event::NoAnswer
            | Event::Untold
            | Event::Refused
            | Event::Ended
            | Event::Missing,
        )
        | (
            S::Pending { .. },
            Event::Closed
            | Event::Accepted
            | Event::NotActed
            | Event::InDoubt
            | Event::Recovered
            | Event::Shown
            | Event::Denied
            | Event::NoAnswer
            | Event::Untold
            | Event::Refused
            | Event::Ended
            | Event::Missing,
        )
        | (
            S::Submitting { .. },
            Event::Closed
            | Event::PostBegins
            | Event::Shown
            | Event::Denied
            | Event::NoAnswer
            | Event::Untold
            | Event::Withdrawn
            | Event::Ended
            | Event::Missing,
        )
        | (
            S::Unsure { .. },
            Event::Closed
            | Event::PostBegins
            | Event::Accepted
            | Event::NotActed
            | Event::InDoubt
            | Event::Recovered
            | Event::Refused
            | Event::Withdrawn
            | Event::Ended
            | Event::Missing,
        )
        | (
            S::Submitted { .. },
            Event::Closed
            | Event::PostBegins
            | Event::Accepted
            | Event::NotActed
            | Event::InDoubt
            | Event::Recovered
            | Event::Shown
            | Event::Denied
            | Event::NoAnswer
            | Event::Untold
            | Event::Refused
            | Event::Withdrawn,
        )
        | (S::Finished | S::Lost | S::Dropped, _) => from.clone(),
    }
}

impl Job {
    /// Moves the submission on. One that nobody wants any more does not go back to `Pending`,
    /// from where it would be submitted: it is dropped.
    ///
    /// A POST that ended in doubt may be acted on at any time, long after the plugin has denied the
    /// job. So the doubt lasts until the plugin shows the job: one question comes before each further
    /// POST, and a job that is dropped is owed a DELETE.
    pub fn submission_event(&mut self, event: Event, now: Nanos, rules: &Rules) {
        let was_posted = matches!(self.submission, Submission::Submitting { .. });
        self.submission = step(&self.submission, event, now, self.uid, rules);
        match self.submission {
            Submission::Unsure { .. } if was_posted => self.in_doubt_since = Some(now),
            Submission::Submitted { at } => {
                self.in_doubt_since = None;
                self.submitted_at = Some(at);
            }
            Submission::Pending {
                failures,
                not_before,
            } if was_posted => {
                if let Some(since) = self.in_doubt_since {
                    let denials = MIN_DENIALS - 1;
                    self.submission = Submission::Unsure {
                        failures,
                        since,
                        denials,
                        not_before,
                    };
                }
            }
            _ => {}
        }
        let is_dropped = matches!(self.submission, Submission::Dropped);
        if is_dropped && self.in_doubt_since.is_some() {
            self.request_cancel(now);
        }
        let is_with_nobody = is_dropped || matches!(self.submission, Submission::Pending { .. });
        if is_with_nobody && self.cancel.is_some() {
            self.submission = Submission::Dropped;
            if self.in_doubt_since.is_none() {
                self.cancel = Some(Cancellation::Done);
            }
        }
    }

    /// Asks for the job's end. What has certainly not been submitted is dropped here and now; all
    /// else is owed a DELETE, a finished job too, for what it left behind over there.
    pub fn request_cancel(&mut self, now: Nanos) {
        if self.cancel.is_some() {
            return;
        }
        let never_left = match self.submission {
            Submission::Gathering { .. } | Submission::Pending { .. } | Submission::Dropped => {
                self.submission = Submission::Dropped;
                self.in_doubt_since.is_none()
            }
            Submission::Submitting { .. }
            | Submission::Unsure { .. }
            | Submission::Submitted { .. }
            | Submission::Finished
            | Submission::Lost => false,
        };
        self.cancel = Some(match never_left {
            true => Cancellation::Done,
            false => Cancellation::Requested {
                failures: 0,
                not_before: now,
                denials: 0,
            },
        });
    }

    /// Asks for the end once more of a job whose end was asked for, at once, and is not settled. What was
    /// learnt of it so far stays: a kubelet asks again every few seconds, and a plugin that fails to delete
    /// what it has deleted would else never be asked whether it has the job.
    pub fn cancel_again(&mut self, now: Nanos) {
        self.deleted_at = self.deletion_confirmed_at();
        match &mut self.cancel {
            // Denials count only when they lie apart.
            Some(Cancellation::Requested {
                denials: 0,
                not_before,
                ..
            }) => *not_before = now,
            Some(Cancellation::Requested { .. } | Cancellation::Done) | None => {}
            Some(Cancellation::Delivered { .. }) => {
                self.cancel = Some(Cancellation::Requested {
                    failures: 0,
                    not_before: now,
                    denials: 0,
                });
            }
        }
    }

    /// The plugin confirmed the cancellation, and is asked how its containers ended.
    pub fn cancel_delivered(&mut self, now: Nanos) {
        if self.cancel.is_some() {
            self.cancel = Some(Cancellation::Delivered { at: now });
        }
    }

    /// The plugin confirmed the cancellation, or does not know the job.
    pub fn cancel_confirmed(&mut self) {
        if self.cancel.is_some() {
            self.cancel = Some(Cancellation::Done);
        }
    }

    /// The cancellation could not be delivered; it stays owed.
    pub fn cancel_failed(&mut self, now: Nanos, rules: &Rules) {
        if let Some(Cancellation::Requested { failures, .. }) = self.cancel {
            let failures = failures.saturating_add(1);
            let not_before = now.plus(rules.retry.spread(failures, self.uid));
            self.cancel = Some(Cancellation::Requested {
                failures,
                not_before,
                denials: 0,
            });
        }
    }

    /// The cancellation could not be delivered, and the plugin has not told whether it has the job.
    pub fn cancel_untold(&mut self, now: Nanos, rules: &Rules) {
        let seen = match self.cancel {
            Some(Cancellation::Requested { denials, .. }) => denials,
            _ => return,
        };
        self.cancel_failed(now, rules);
        if let Some(Cancellation::Requested { denials, .. }) = &mut self.cancel {
            *denials = seen;
        }
    }

    /// The plugin has not confirmed the cancellation and, asked, does not show the job. Once it may be
    /// mistaken: it may give an answer again from before. Several times in a row, over the time for which
    /// it may be blind to a fresh job, the job is gone.
    pub fn cancel_denied(&mut self, now: Nanos, rules: &Rules) {
        let Some(Cancellation::Requested { denials, .. }) = self.cancel else {
            return;
        };
        let seen = denials.saturating_add(1);
        if seen >= MIN_DENIALS {
            self.cancel = Some(Cancellation::Done);
            return;
        }
        self.cancel_failed(now, rules);
        if let Some(Cancellation::Requested {
            denials,
            not_before,
            ..
        }) = &mut self.cancel
        {
            *denials = seen;
            let pause = rules.unsure_grace / (MIN_DENIALS - 1);
            *not_before = (*not_before).max(now.plus(pause));
        }
    }
}

#[cfg(test)]
mod tests;
