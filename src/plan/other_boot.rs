//! What becomes of times on record when nobody knows how long ago they were: the machine was booted, and its
//! wall clock may have been set meanwhile.
//!
//! What must last at least so long begins anew: doubts, and what is waited for before something counts as lost.
//! A stop, which must not last longer, keeps its deadline.

use crate::model::{Cancellation, Job, Nanos, Pod, Submission};

/// Whether a pod has times that begin anew.
pub fn has_doubts(pod: &Pod) -> bool {
    let mut anew = pod.clone();
    restart_doubts(&mut anew, Nanos(i64::MAX));
    anew != *pod
}

/// Begins anew what must last.
pub fn restart_doubts(pod: &mut Pod, now: Nanos) {
    for job in &mut pod.jobs {
        restart(job, now);
    }
    for entry in &mut pod.containers {
        if let (Some(since), None) = (&mut entry.status.log_owed_since, &entry.status.exit) {
            *since = now;
        }
    }
}

fn restart(job: &mut Job, now: Nanos) {
    if let Submission::Unsure { since, denials, .. } = &mut job.submission {
        (*since, *denials) = (now, 0);
    }
    if let Some(Cancellation::Requested { denials, .. }) = &mut job.cancel {
        *denials = 0;
    }
    // `jobs.kill_wait` counts from there.
    if let Some(Cancellation::Delivered { at }) = &mut job.cancel {
        *at = now;
    }
    let begun = [
        &mut job.deleted_at,
        &mut job.in_doubt_since,
        &mut job.unmentioned_since,
        &mut job.unreported_inits.in_doubt_since,
    ];
    for since in begun.into_iter().flatten() {
        *since = now;
    }
    if let Some(exit) = &mut job.unproven_exit {
        exit.since = now;
        exit.log_since = exit.log_since.map(|_| now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Stopping, UnprovenExit},
        plan::testing,
    };

    #[test]
    fn doubts_begin_anew_and_stops_keep_their_deadlines() {
        let unsure = Submission::Unsure {
            failures: 2,
            since: Nanos(5),
            denials: 2,
            not_before: Nanos(6),
        };
        let mut pod = testing::with_job("a", 1, unsure, 1);
        let stopping = Stopping {
            since: Nanos(5),
            deadline: Nanos(50),
            is_overdue: false,
            shared_until: None,
        };
        pod.containers[0].status.stopping = Some(stopping.clone());
        pod.containers[0].status.log_owed_since = Some(Nanos(5));
        let job = &mut pod.jobs[0];
        job.in_doubt_since = Some(Nanos(5));
        job.unmentioned_since = Some(Nanos(5));
        job.deleted_at = Some(Nanos(5));
        job.unproven_exit = Some(Box::new(UnprovenExit {
            since: Nanos(5),
            not_before: Nanos(6),
            log_since: Some(Nanos(5)),
            is_proven: false,
        }));
        assert!(has_doubts(&pod));
        restart_doubts(&mut pod, Nanos(100));
        let unsure = Submission::Unsure {
            failures: 2,
            since: Nanos(100),
            denials: 0,
            not_before: Nanos(6),
        };
        let job = &pod.jobs[0];
        assert_eq!(job.submission, unsure);
        assert_eq!(job.in_doubt_since, Some(Nanos(100)));
        assert_eq!(job.unmentioned_since, Some(Nanos(100)));
        assert_eq!(job.deleted_at, Some(Nanos(100)));
        let exit = job.unproven_exit.as_ref().expect("there");
        assert_eq!((exit.since, exit.log_since), (Nanos(100), Some(Nanos(100))));
        let status = &pod.containers[0].status;
        assert_eq!(status.stopping, Some(stopping));
        assert_eq!(status.log_owed_since, Some(Nanos(100)));
    }

    #[test]
    fn a_pod_without_doubts_is_left_alone() {
        let at = Nanos(5);
        let pod = testing::with_job("a", 1, Submission::Submitted { at }, 1);
        assert!(!has_doubts(&pod));
    }
}
