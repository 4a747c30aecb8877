//! What a pod is owed by the workers: the next call to the remote side, or the next step that
//! time alone brings.
//!
//! Nothing is kept in a queue that a crash could lose. What is owed follows from the pod's record,
//! so after a restart it is enough to look at every pod once.

use std::time::Duration;

use super::{batch, Rules};
use crate::model::{
    Cancellation, ContainerEntry, ContainerId, Job, JobMembers, Nanos, Pod, Submission,
};

/// One thing to do for a pod. Those of one pod are done one after the other, in this order where
/// several are due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Duty {
    /// Ask the API server what the pod consists of.
    ReadApiPod(u32),
    /// The job gathers no more containers. No call.
    CloseJob(u32),
    /// POST the job.
    Submit(u32),
    /// Ask the plugin whether it has the job of a doubtful submission.
    AskForJob(u32),
    /// Look whether the plugin has a log of the job, whose end is not believed without one.
    ProveExit(u32),
    /// Fetch the rest of a container's log, then show its end.
    CompleteLog(ContainerId),
    /// The time for fetching the rest of a log is over: show the end without it. No call.
    AbandonLog(ContainerId),
    /// DELETE the job.
    Cancel(u32),
}

impl Duty {
    /// Whether it can only be carried out with interLink.
    fn calls_interlink(&self) -> bool {
        match self {
            Self::ReadApiPod(_) | Self::CloseJob(_) | Self::AbandonLog(_) => false,
            Self::Submit(_)
            | Self::AskForJob(_)
            | Self::ProveExit(_)
            | Self::CompleteLog(_)
            | Self::Cancel(_) => true,
        }
    }

    /// Its name for people and scripts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ReadApiPod(_) => "readPodFromApiServer",
            Self::CloseJob(_) => "closeJob",
            Self::Submit(_) => "submit",
            Self::AskForJob(_) => "askForJob",
            Self::ProveExit(_) => "proveExit",
            Self::CompleteLog(_) => "completeLog",
            Self::AbandonLog(_) => "abandonLog",
            Self::Cancel(_) => "cancel",
        }
    }
}

/// A duty and when it is due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owed {
    /// Not before this time.
    pub due: Nanos,
    /// What is owed.
    pub duty: Duty,
}

/// The first thing that a pod is owed, if anything. It may lie in the future: then nothing is to
/// be done until that time, unless the pod changes.
pub fn next(pod: &Pod, now: Nanos, rules: &Rules) -> Option<Owed> {
    each(pod, now, rules).min()
}

/// The same where no interLink is configured: what needs one is not due before the daemon is started with
/// one, so a pod of which jobs wait costs nothing meanwhile.
pub fn next_without_interlink(pod: &Pod, now: Nanos, rules: &Rules) -> Option<Owed> {
    each(pod, now, rules)
        .filter(|owed| !owed.duty.calls_interlink())
        .min()
}

/// All that a pod is owed, the first thing first. What follows from the first ones is not yet among it.
pub fn all(pod: &Pod, now: Nanos, rules: &Rules) -> Vec<Owed> {
    let mut owed: Vec<_> = each(pod, now, rules).collect();
    owed.sort();
    owed
}

/// All that is owed for one container: the rest of its log, and what its job is owed.
pub fn of_container(pod: &Pod, entry: &ContainerEntry, now: Nanos, rules: &Rules) -> Vec<Owed> {
    let number = pod.job_of(entry.id()).map(|job| job.number);
    let mut owed = all(pod, now, rules);
    owed.retain(|owed| match &owed.duty {
        Duty::CompleteLog(id) | Duty::AbandonLog(id) => id == entry.id(),
        Duty::ReadApiPod(job)
        | Duty::CloseJob(job)
        | Duty::Submit(job)
        | Duty::AskForJob(job)
        | Duty::ProveExit(job)
        | Duty::Cancel(job) => Some(*job) == number,
    });
    owed
}

fn each<'a>(pod: &'a Pod, now: Nanos, rules: &'a Rules) -> impl Iterator<Item = Owed> + 'a {
    let logs = pod
        .containers
        .iter()
        .filter_map(move |entry| owed_log(pod, entry, now, rules));
    let jobs = pod
        .jobs
        .iter()
        .filter_map(move |job| owed_job(pod, job, now, rules));
    logs.chain(jobs).map(move |owed| Owed {
        due: owed.due.max(now),
        ..owed
    })
}

/// No pause is longer than the longest that the rules know. A time that lies further ahead was
/// written before the clock stepped back, and counts as reached.
fn reached_or(due: Nanos, now: Nanos, longest: Duration) -> Nanos {
    if due.until(now) > longest {
        now
    } else {
        due
    }
}

fn owed_job(pod: &Pod, job: &Job, now: Nanos, rules: &Rules) -> Option<Owed> {
    let number = job.number;
    match (&job.submission, &job.cancel) {
        (_, Some(Cancellation::Done)) | (Submission::Dropped, None) => None,
        (Submission::Gathering { last_start }, _) => {
            if rules.asks_api_server && job.members == JobMembers::NotAsked {
                return Some(Owed {
                    due: now,
                    duty: Duty::ReadApiPod(number),
                });
            }
            let due = batch::closes_at(pod, job, *last_start, rules)?;
            let due = reached_or(due, now, rules.quiet_period * 2 + batch::PATIENCE);
            Some(Owed {
                due,
                duty: Duty::CloseJob(number),
            })
        }
        (Submission::Pending { not_before, .. }, _) => {
            let due = reached_or(*not_before, now, rules.retry.longest);
            Some(Owed {
                due,
                duty: Duty::Submit(number),
            })
        }
        (Submission::Unsure { not_before, .. }, _) => {
            let due = reached_or(
                *not_before,
                now,
                rules.retry.longest.max(rules.unsure_grace),
            );
            Some(Owed {
                due,
                duty: Duty::AskForJob(number),
            })
        }
        // The worker that posts has the pod in hand, and moves it on when the POST has ended.
        (Submission::Submitting { .. }, _) => None,
        (
            Submission::Submitted { .. }
            | Submission::Finished
            | Submission::Lost
            | Submission::Dropped,
            Some(Cancellation::Requested { not_before, .. }),
        ) => {
            // The log goes with the job, so what can be had of it is fetched first.
            if carried(pod, job).any(owes_log) {
                return None;
            }
            let longest = rules.retry.longest.max(rules.unsure_grace);
            let due = reached_or(*not_before, now, longest);
            Some(Owed {
                due,
                duty: Duty::Cancel(number),
            })
        }
        (Submission::Submitted { .. }, None) => {
            let doubt = job
                .unproven_exit
                .as_ref()
                .filter(|doubt| !doubt.is_proven)?;
            let due = reached_or(doubt.not_before, now, rules.retry.longest);
            Some(Owed {
                due,
                duty: Duty::ProveExit(number),
            })
        }
        // The poller asks about a job whose DELETE is confirmed, while somebody waits for its end.
        (
            Submission::Submitted { .. }
            | Submission::Finished
            | Submission::Lost
            | Submission::Dropped,
            Some(Cancellation::Delivered { .. }),
        )
        | (Submission::Finished | Submission::Lost, None) => None,
    }
}

fn owed_log(pod: &Pod, entry: &ContainerEntry, now: Nanos, rules: &Rules) -> Option<Owed> {
    let since = entry.status.log_owed_since.filter(|_| owes_log(entry))?;
    let id = entry.id().clone();
    if now.since(since) >= rules.complete_timeout {
        return Some(Owed {
            due: now,
            duty: Duty::AbandonLog(id),
        });
    }
    let job = pod.job_of(entry.id());
    let asked = match job
        .filter(|job| !job.is_settled())
        .map(|job| &job.submission)
    {
        // Nothing over there could have a log, or has one any more.
        None | Some(Submission::Dropped | Submission::Gathering { .. }) => {
            return Some(Owed {
                due: now,
                duty: Duty::AbandonLog(id),
            })
        }
        // Only a job that the plugin has can be asked for its log; until then, time passes.
        Some(
            Submission::Pending { .. } | Submission::Submitting { .. } | Submission::Unsure { .. },
        ) => false,
        Some(Submission::Submitted { .. } | Submission::Finished | Submission::Lost) => true,
    };
    if asked {
        let due = reached_or(entry.status.log_not_before, now, rules.complete_timeout);
        Some(Owed {
            due,
            duty: Duty::CompleteLog(id),
        })
    } else {
        Some(Owed {
            due: since.plus(rules.complete_timeout),
            duty: Duty::AbandonLog(id),
        })
    }
}

fn owes_log(entry: &ContainerEntry) -> bool {
    entry.status.log_owed_since.is_some() && !entry.status.log_complete
}

fn carried<'a>(pod: &'a Pod, job: &'a Job) -> impl Iterator<Item = &'a ContainerEntry> {
    job.containers.iter().filter_map(|id| pod.container(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        plan::{batch::start, lifecycle, testing::pod},
    };

    fn rules() -> Rules {
        crate::profile::rules(&Config::default())
    }

    fn started(submission: Submission) -> Pod {
        let mut pod = pod(&["a"]);
        let id = pod.containers[0].id().clone();
        start(&mut pod, &id, Nanos(100)).expect("starts");
        pod.jobs[0].submission = submission;
        pod
    }

    fn duty(pod: &Pod, now: Nanos) -> Option<Duty> {
        next(pod, now, &rules())
            .filter(|owed| owed.due <= now)
            .map(|owed| owed.duty)
    }

    #[test]
    fn each_submission_state_owes_its_own_duty() {
        let now = Nanos(0).plus(Duration::from_secs(10));
        let rows = [
            (
                Submission::Gathering {
                    last_start: Nanos(100),
                },
                Some(Duty::CloseJob(0)),
            ),
            (
                Submission::Pending {
                    failures: 0,
                    not_before: Nanos(0),
                },
                Some(Duty::Submit(0)),
            ),
            (
                Submission::Pending {
                    failures: 0,
                    not_before: now.plus(Duration::from_secs(1)),
                },
                None,
            ),
            (Submission::Submitting { failures: 0 }, None),
            (
                Submission::Unsure {
                    failures: 0,
                    since: now,
                    denials: 0,
                    not_before: now,
                },
                Some(Duty::AskForJob(0)),
            ),
            (Submission::Submitted { at: now }, None),
            (Submission::Finished, None),
            (Submission::Dropped, None),
        ];
        for (submission, want) in rows {
            assert_eq!(
                duty(&started(submission.clone()), now),
                want,
                "{submission:?}"
            );
        }
    }

    #[test]
    fn without_interlink_only_what_needs_none_is_owed() {
        let now = Nanos(0).plus(Duration::from_secs(10));
        let gathering = started(Submission::Gathering {
            last_start: Nanos(100),
        });
        let pending = started(Submission::Pending {
            failures: 0,
            not_before: Nanos(0),
        });
        let duty = |pod| next_without_interlink(pod, now, &rules()).map(|owed| owed.duty);
        assert_eq!(duty(&gathering), Some(Duty::CloseJob(0)));
        assert_eq!(duty(&pending), None);
    }

    #[test]
    fn the_log_is_fetched_before_the_job_is_cancelled() {
        let now = Nanos(1_000);
        let mut pod = started(Submission::Submitted { at: Nanos(200) });
        lifecycle::kill_sandbox(&mut pod, now);
        let id = pod.containers[0].id().clone();
        assert_eq!(duty(&pod, now), Some(Duty::CompleteLog(id.clone())));
        let late = now.plus(rules().complete_timeout);
        assert_eq!(duty(&pod, late), Some(Duty::AbandonLog(id.clone())));
        lifecycle::complete_log(&mut pod, &id);
        assert_eq!(duty(&pod, now), Some(Duty::Cancel(0)));
        pod.jobs[0].cancel_confirmed();
        assert_eq!(next(&pod, now, &rules()), None);
    }

    #[test]
    fn a_dropped_job_that_may_be_there_is_deleted() {
        let mut pod = started(Submission::Pending {
            failures: 1,
            not_before: Nanos(0),
        });
        pod.jobs[0].in_doubt_since = Some(Nanos(100));
        lifecycle::remove_sandbox(&mut pod, Nanos(1_000));
        assert_eq!(duty(&pod, Nanos(1_000)), Some(Duty::Cancel(0)));
        assert!(!pod.is_forgotten());
    }

    #[test]
    fn a_withdrawn_doubtful_job_is_asked_for_before_it_is_let_go() {
        let now = Nanos(1_000);
        let unsure = Submission::Unsure {
            failures: 1,
            since: now,
            denials: 0,
            not_before: now,
        };
        let mut pod = started(unsure);
        lifecycle::remove_sandbox(&mut pod, now);
        assert_eq!(duty(&pod, now), Some(Duty::AskForJob(0)));
        assert!(!pod.is_forgotten());
    }

    #[test]
    fn a_clock_that_stepped_back_holds_up_nothing() {
        let far = Nanos(0).plus(Duration::from_secs(86_400));
        let pod = started(Submission::Pending {
            failures: 0,
            not_before: far,
        });
        assert_eq!(duty(&pod, Nanos(1_000)), Some(Duty::Submit(0)));
        let pod = started(Submission::Gathering { last_start: far });
        assert_eq!(duty(&pod, Nanos(1_000)), Some(Duty::CloseJob(0)));
    }
}
