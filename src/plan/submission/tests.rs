use std::time::Duration;

use super::*;
use crate::{
    config::Config,
    model::{JobUid, SandboxId},
};

const EVENTS: [Event; 14] = [
    Event::Closed,
    Event::PostBegins,
    Event::Accepted,
    Event::NotActed,
    Event::InDoubt,
    Event::Recovered,
    Event::Shown,
    Event::Denied,
    Event::NoAnswer,
    Event::Untold,
    Event::Refused,
    Event::Withdrawn,
    Event::Ended,
    Event::Missing,
];

fn rules() -> Rules {
    crate::profile::rules(&Config::default())
}

fn job(submission: Submission) -> Job {
    let uid = JobUid::derive("", &SandboxId::from("s"), 0, 0);
    Job {
        submission,
        ..Job::new(0, uid, Nanos(0))
    }
}

fn after(from: &Submission, event: Event, at_secs: u64) -> Submission {
    step(
        from,
        event,
        Nanos(0).plus(Duration::from_secs(at_secs)),
        "job",
        &rules(),
    )
}

#[test]
fn only_submitting_can_have_a_post_under_way_and_only_pending_leads_there() {
    let now = Nanos(0);
    let states = [
        Submission::Gathering { last_start: now },
        Submission::Submitting { failures: 0 },
        Submission::Unsure {
            failures: 1,
            since: now,
            denials: 9,
            not_before: now,
        },
        Submission::Submitted { at: now },
        Submission::Finished,
        Submission::Lost,
        Submission::Dropped,
    ];
    for state in states
        .iter()
        .filter(|s| !matches!(s, Submission::Submitting { .. }))
    {
        for event in EVENTS {
            let next = after(state, event, 1000);
            assert!(
                !matches!(next, Submission::Submitting { .. }),
                "{state:?} {event:?}"
            );
        }
    }
}

#[test]
fn final_states_stay() {
    for state in [Submission::Finished, Submission::Lost, Submission::Dropped] {
        for event in EVENTS {
            assert_eq!(after(&state, event, 1), state, "{event:?}");
        }
    }
}

#[test]
fn doubt_ends_only_after_enough_denials_over_enough_time() {
    let mut state = after(&Submission::Submitting { failures: 0 }, Event::InDoubt, 0);
    for second in [1, 2, 3, 4, 29] {
        state = after(&state, Event::Denied, second);
        assert!(matches!(state, Submission::Unsure { .. }), "at {second} s");
    }
    state = after(&state, Event::NoAnswer, 31);
    for second in [32, 33] {
        state = after(&state, Event::Denied, second);
        assert!(
            matches!(state, Submission::Unsure { .. }),
            "the count starts again"
        );
    }
    state = after(&state, Event::Denied, 34);
    assert!(matches!(state, Submission::Pending { .. }));
}

#[test]
fn a_crash_during_a_post_leaves_doubt() {
    let state = after(&Submission::Submitting { failures: 2 }, Event::Recovered, 7);
    assert!(matches!(
        state,
        Submission::Unsure {
            failures: 3,
            denials: 0,
            ..
        }
    ));
    let pending = Submission::Pending {
        failures: 2,
        not_before: Nanos(0),
    };
    assert_eq!(after(&pending, Event::Recovered, 7), pending);
}

#[test]
fn what_never_left_is_cancelled_without_a_call() {
    let now = Nanos(0);
    for state in [
        Submission::Gathering { last_start: now },
        Submission::Pending {
            failures: 3,
            not_before: now,
        },
        Submission::Dropped,
    ] {
        let mut job = job(state);
        job.request_cancel(now);
        assert_eq!(
            (&job.submission, &job.cancel),
            (&Submission::Dropped, &Some(Cancellation::Done))
        );
    }
    for state in [
        Submission::Submitting { failures: 0 },
        Submission::Unsure {
            failures: 1,
            since: now,
            denials: 0,
            not_before: now,
        },
        Submission::Submitted { at: now },
        Submission::Finished,
        Submission::Lost,
    ] {
        let mut job = job(state);
        job.request_cancel(now);
        assert!(matches!(job.cancel, Some(Cancellation::Requested { .. })));
        assert!(!job.is_settled());
    }
}

/// A job with a POST that ended in doubt, which the plugin then denied for long enough.
fn denied_after_doubt() -> Job {
    let mut job = job(Submission::Submitting { failures: 0 });
    job.submission_event(Event::InDoubt, Nanos(0), &rules());
    for second in [31, 32, 33] {
        let now = Nanos(0).plus(Duration::from_secs(second));
        job.submission_event(Event::Denied, now, &rules());
    }
    assert!(matches!(job.submission, Submission::Pending { .. }));
    job
}

#[test]
fn what_may_have_been_acted_on_is_not_let_go_without_a_delete() {
    let later = Nanos(0).plus(Duration::from_secs(40));
    let mut removed = denied_after_doubt();
    removed.request_cancel(later);
    let mut refused = denied_after_doubt();
    refused.submission_event(Event::PostBegins, later, &rules());
    refused.submission_event(Event::Refused, later, &rules());
    let mut given_up = denied_after_doubt();
    given_up.submission_event(Event::Withdrawn, later, &rules());
    let mut denied = job(Submission::Submitting { failures: 0 });
    denied.submission_event(Event::InDoubt, Nanos(0), &rules());
    denied.request_cancel(Nanos(1));
    for _ in 0..MIN_DENIALS {
        denied.submission_event(Event::Denied, later, &rules());
    }
    for (name, job) in [
        ("removed", removed),
        ("refused", refused),
        ("given up", given_up),
        ("removed before it was denied", denied),
    ] {
        assert_eq!(job.submission, Submission::Dropped, "{name}");
        let is_owed = matches!(job.cancel, Some(Cancellation::Requested { .. }));
        assert!(is_owed && !job.is_settled(), "{name}");
    }
}

#[test]
fn a_question_comes_before_another_post() {
    let later = Nanos(0).plus(Duration::from_secs(40));
    let mut job = denied_after_doubt();
    job.submission_event(Event::PostBegins, later, &rules());
    job.submission_event(Event::NotActed, later, &rules());
    assert!(matches!(job.submission, Submission::Unsure { .. }));
    let mut shown = job.clone();
    job.submission_event(Event::Denied, later, &rules());
    assert!(matches!(job.submission, Submission::Pending { .. }));
    shown.submission_event(Event::Shown, later, &rules());
    assert_eq!(shown.in_doubt_since, None);
}

#[test]
fn a_withdrawn_job_is_not_submitted_again() {
    for event in [Event::NotActed, Event::Refused] {
        let mut job = job(Submission::Submitting { failures: 0 });
        job.request_cancel(Nanos(0));
        job.submission_event(event, Nanos(1), &rules());
        assert_eq!(
            (&job.submission, &job.cancel),
            (&Submission::Dropped, &Some(Cancellation::Done))
        );
    }
}
