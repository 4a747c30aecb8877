//! Ends of jobs that may never have begun.
//!
//! The SLURM plugin takes a job whose nodes are still being made ready (`CF`) for one that has
//! failed, and one that was cancelled while it waited for one that has ended: it reports exit code 0 and
//! no time of a start for both. A job that did run has a log, for the job itself writes into it first.
//! So such an end is believed when there is a log, and when it is still reported after the time for
//! which the plugin repeats its answers: the log may be that of a job that has just begun.

use std::time::Duration;

use k8s_openapi::api::core::v1::ContainerState;

use super::{
    freshness::REPEATS_FOR,
    lifecycle,
    observe::{exit_code, Report, Verdict},
};
use crate::model::{exit_code, exit_reason, Job, Nanos, Pod, Remote, UnprovenExit};

/// How long a job may be made ready. SLURM itself forgets one that was cancelled long before.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// Pause between two looks for a log.
const PAUSE: Duration = Duration::from_secs(5);

/// Weighs what is said of the job at `index`: whether it can be believed.
pub fn weigh(pod: &mut Pod, index: usize, report: Report<'_>, now: Nanos) -> Verdict {
    let job = &pod.jobs[index];
    if !is_slurm(job) || was_seen(pod, job) || !tells_of_an_end_without_a_start(report) {
        pod.jobs[index].unproven_exit = None;
        return Verdict::TakeOver;
    }
    let begun = UnprovenExit {
        since: now,
        not_before: now,
        log_since: None,
    };
    let doubt = pod.jobs[index].unproven_exit.get_or_insert(begun);
    if let Some(log_since) = doubt.log_since {
        return match now.since(log_since) < REPEATS_FOR {
            true => Verdict::Leave,
            false => Verdict::TakeOver,
        };
    }
    if now.since(doubt.since) >= PATIENCE {
        end(pod, index, now);
    }
    Verdict::Leave
}

/// Notes whether a log was found.
pub fn looked(pod: &mut Pod, number: u32, has_log: bool, now: Nanos) {
    let job = pod.job_mut(number);
    if let Some(doubt) = job.and_then(|job| job.unproven_exit.as_mut()) {
        let found = has_log.then_some(now);
        doubt.log_since = doubt.log_since.or(found);
        doubt.not_before = now.plus(PAUSE);
    }
}

/// Whether the beginning of a log is that of a job that SLURM has, or had.
///
/// A SLURM plugin that dies between sbatch and its own note does not know the job afterwards; but the
/// job writes this first.
pub fn is_of_slurm(beginning: &[u8]) -> bool {
    const SUBMITTED: &[u8] = b"has been submitted to SLURM node";
    let mut windows = beginning.windows(SUBMITTED.len());
    windows.any(|window| window == SUBMITTED)
}

/// SLURM's job ids are numbers; other plugins' are not, and theirs may run without a word.
fn is_slurm(job: &Job) -> bool {
    let id = job.remote_id.as_deref().unwrap_or_default();
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether anything of a job was seen to run, or to end.
fn was_seen(pod: &Pod, job: &Job) -> bool {
    let mut carried = job.containers.iter().filter_map(|id| pod.container(id));
    let mut expected = job.expected.iter();
    carried.any(|one| one.status.remote == Remote::Running || one.status.reported.is_some())
        || expected.any(|one| one.remote == Remote::Running)
}

fn tells_of_an_end_without_a_start(report: Report<'_>) -> bool {
    let states = report.containers.iter();
    let mut states = states.filter_map(|status| status.state.as_ref()).peekable();
    let is_strange = |state: &ContainerState| {
        state.terminated.as_ref().is_some_and(|ended| {
            let start = ended.started_at.as_ref().map(|at| Nanos::from(at.0));
            exit_code(ended) == 0 && start.is_none_or(|start| start.0 <= 0)
        })
    };
    states.peek().is_some() && states.all(is_strange)
}

fn end(pod: &mut Pod, index: usize, now: Nanos) {
    let job = &mut pod.jobs[index];
    job.expected.clear();
    let message = format!(
        "the plugin says that job {} has ended, but nothing tells that it ever ran; it was cancelled \
         while it waited, most likely",
        job.uid
    );
    let number = job.number;
    lifecycle::report_end(
        pod,
        number,
        exit_code::KILLED,
        exit_reason::NEVER_RAN,
        &message,
        now,
    );
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::*;
    use crate::{
        config::Config,
        model::Submission,
        plan::{batch::start, observe, owed, testing, Rules},
    };

    fn pod(remote_id: &str) -> Pod {
        let mut pod = testing::pod(&["a"]);
        let id = pod.containers[0].id().clone();
        start(&mut pod, &id, Nanos(1)).expect("starts");
        pod.jobs[0].submission = Submission::Submitted { at: Nanos(2) };
        pod.jobs[0].remote_id = Some(remote_id.to_owned());
        pod
    }

    fn tell(pod: &mut Pod, state: Value, now: Nanos) {
        let status = json!({"name": "a", "state": state, "ready": false, "restartCount": 0,
            "image": "", "imageID": ""});
        let statuses = [serde_json::from_value(status).unwrap()];
        let report = Report {
            remote_id: "",
            containers: &statuses,
        };
        observe::apply(pod, 0, report, now, &rules());
    }

    fn rules() -> Rules {
        Rules::from(&Config::default())
    }

    fn no_start() -> Value {
        json!({"terminated": {"exitCode": 0, "startedAt": null}})
    }

    fn code(pod: &Pod) -> Option<i32> {
        pod.containers[0]
            .status
            .reported
            .as_ref()
            .map(|end| end.code)
    }

    fn duty(pod: &Pod, now: Nanos) -> Option<owed::Duty> {
        let owed = owed::next(pod, now, &rules());
        owed.filter(|owed| owed.due <= now).map(|owed| owed.duty)
    }

    #[test]
    fn an_end_without_a_start_is_believed_when_there_is_a_log() {
        let mut pod = pod("4711");
        tell(&mut pod, no_start(), Nanos(10));
        assert_eq!(code(&pod), None);
        assert_eq!(duty(&pod, Nanos(10)), Some(owed::Duty::ProveExit(0)));
        looked(&mut pod, 0, false, Nanos(20));
        assert_eq!(duty(&pod, Nanos(21)), None, "not at once again");
        assert_eq!(
            duty(&pod, Nanos(20).plus(PAUSE)),
            Some(owed::Duty::ProveExit(0))
        );
        tell(&mut pod, no_start(), Nanos(30));
        assert_eq!(code(&pod), None);
        looked(&mut pod, 0, true, Nanos(40));
        assert_eq!(duty(&pod, Nanos(40).plus(PAUSE)), None);
        tell(&mut pod, no_start(), Nanos(50));
        assert_eq!(code(&pod), None, "it may be what was said before");
        tell(&mut pod, no_start(), Nanos(40).plus(REPEATS_FOR));
        assert_eq!(code(&pod), Some(0));
    }

    #[test]
    fn logs_of_slurm_jobs() {
        for (beginning, is_one) in [
            (
                "This pod web/1 has been submitted to SLURM node n1.\nmore",
                true,
            ),
            ("job 7 not found", false),
            ("", false),
        ] {
            assert_eq!(is_of_slurm(beginning.as_bytes()), is_one, "{beginning}");
        }
    }

    #[test]
    fn a_job_that_runs_after_all_goes_on() {
        let mut pod = pod("4711");
        tell(&mut pod, no_start(), Nanos(10));
        tell(&mut pod, json!({"running": {}}), Nanos(20));
        assert_eq!(pod.jobs[0].unproven_exit, None);
        assert_eq!(pod.containers[0].status.remote, Remote::Running);
        tell(&mut pod, no_start(), Nanos(30));
        assert_eq!(code(&pod), Some(0), "it was seen to run");
    }

    #[test]
    fn one_of_which_nothing_is_ever_seen_has_not_succeeded() {
        let mut pod = pod("4711");
        tell(&mut pod, no_start(), Nanos(10));
        tell(&mut pod, no_start(), Nanos(10).plus(PATIENCE));
        assert_eq!(code(&pod), Some(exit_code::KILLED));
        let end = pod.containers[0].status.reported.clone().expect("an end");
        assert_eq!(end.reason, exit_reason::NEVER_RAN);
        assert_eq!(pod.jobs[0].submission, Submission::Finished);
    }

    #[test]
    fn other_ends_are_believed_at_once() {
        let start = json!({"terminated": {"exitCode": 0, "startedAt": "2024-06-01T10:00:00Z"}});
        for (id, state, want) in [
            ("4711", start, 0),
            ("4711", json!({"terminated": {"exitCode": 3}}), 3),
            ("local-1f", no_start(), 0),
            ("17.0", no_start(), 0),
            ("", no_start(), 0),
        ] {
            let mut pod = pod(id);
            tell(&mut pod, state, Nanos(10));
            assert_eq!(code(&pod), Some(want), "{id}");
        }
    }
}
