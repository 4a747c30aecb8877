//! An interLink that cannot be reached, in the log: a line when that begins, lines ever less often while it
//! goes on, and one when it is over. What fails for single jobs meanwhile is not worth a line each.

use std::time::{Duration, Instant};

use crate::{
    backoff::Backoff,
    config::duration,
    model::{Job, Pod},
};

/// How long after the last line the next one comes.
const PAUSES: Backoff = Backoff::doubling(Duration::from_secs(60), Duration::from_secs(3600));

/// How an outage goes on.
#[derive(Default)]
pub(super) struct Outage(Option<Going>);

struct Going {
    since: Instant,
    /// Lines that were written of it.
    lines: u32,
    next: Instant,
}

/// What is to be said of a failed ping.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// The outage begins.
    Begins,
    /// It goes on for so long.
    GoesOn(Duration),
    /// Nothing, for now.
    Nothing,
}

impl Outage {
    /// A ping has failed.
    pub(super) fn failed(&mut self, now: Instant) -> Word {
        let going = self.0.get_or_insert(Going {
            since: now,
            lines: 0,
            next: now,
        });
        if now < going.next {
            return Word::Nothing;
        }
        going.lines += 1;
        going.next = now + PAUSES.pause(going.lines);
        match going.lines {
            1 => Word::Begins,
            _ => Word::GoesOn(now.saturating_duration_since(going.since)),
        }
    }

    /// A ping was answered well; gives for how long none had been, if that was an outage.
    pub(super) fn is_over(&mut self, now: Instant) -> Option<Duration> {
        let going = self.0.take()?;
        Some(now.saturating_duration_since(going.since))
    }
}

/// Jobs that wait for interLink: to be submitted, or to be cancelled.
pub(super) fn waiting<'a>(pods: impl IntoIterator<Item = &'a Pod>) -> usize {
    let jobs = pods.into_iter().flat_map(|pod| &pod.jobs);
    let waits = |job: &&Job| job.is_unsubmitted() || job.is_owed_a_cancellation();
    jobs.filter(waits).count()
}

/// A span as people say it: minutes, or seconds where there are none.
pub(super) fn rounded(span: Duration) -> String {
    let seconds = span.as_secs();
    let minutes = seconds / 60 * 60;
    duration::print(Duration::from_secs(if minutes > 0 {
        minutes
    } else {
        seconds
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Cancellation, Submission},
        plan::testing::with_job,
    };

    #[test]
    fn an_outage_is_told_ever_less_often_and_its_end_once() {
        let (mut outage, begun) = (Outage::default(), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(outage.is_over(begun), None);
        let mut told = Vec::new();
        for second in (0..10_000).step_by(15) {
            match outage.failed(at(second)) {
                Word::Begins => told.push(0),
                Word::GoesOn(span) => told.push(span.as_secs()),
                Word::Nothing => {}
            }
        }
        assert_eq!(told, [0, 60, 180, 420, 900, 1860, 3780, 7380]);
        assert_eq!(
            outage.is_over(at(10_000)),
            Some(Duration::from_secs(10_000))
        );
        assert_eq!(outage.is_over(at(10_001)), None);
        assert_eq!(outage.failed(at(10_002)), Word::Begins);
    }

    #[test]
    fn jobs_that_wait_are_counted() {
        let submitted = Submission::Submitted {
            at: crate::model::Nanos(1),
        };
        let pending = Submission::Pending {
            failures: 3,
            not_before: crate::model::Nanos(0),
        };
        let mut pods = [
            with_job("a", 1, submitted.clone(), 1),
            with_job("b", 1, pending, 1),
            with_job("c", 1, submitted, 1),
        ];
        pods[2].jobs[0].cancel = Some(Cancellation::Requested {
            failures: 1,
            not_before: crate::model::Nanos(0),
            denials: 0,
        });
        assert_eq!(waiting(&pods), 2);
    }

    #[test]
    fn spans_are_rounded() {
        let rounded = |seconds| rounded(Duration::from_secs(seconds));
        assert_eq!([rounded(0), rounded(59), rounded(119)], ["0s", "59s", "1m"]);
        assert_eq!(rounded(7383), "2h 3m");
    }
}
