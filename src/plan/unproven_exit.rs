//! Ends of jobs that may never have begun.
//!
//! Some plugins report a job as ended, with exit code 0, whose nodes are still being made ready, or that
//! was cancelled while it waited; `profile` marks such an end as unproven. A job that did run has a log,
//! for the job itself writes into it first. So an unproven end is believed when there is a log, and when
//! it is still reported after the time for which the plugin repeats its answers: the log may be that of a
//! job that has just begun.

use std::time::Duration;

use super::{
    lifecycle,
    report::{JobReport, ReportedState, Verdict},
    traits::EndsWithoutStart,
    Rules,
};
use crate::model::{exit_code, exit_reason, Job, Nanos, Pod, Remote, UnprovenExit};

/// Pause between two looks for a log.
const PAUSE: Duration = Duration::from_secs(5);

/// Judges a report of job `number`: whether the end that it tells of can be believed.
pub(super) fn judge(
    pod: &mut Pod,
    number: u32,
    report: &JobReport,
    now: Nanos,
    rules: &Rules,
) -> Verdict {
    let Some(job) = pod.job(number) else {
        return Verdict::Leave;
    };
    let is_believed = rules.plugin.ends_without_start == EndsWithoutStart::Believed;
    let is_proven = is_believed || was_seen(pod, job) || !is_unproven(report);
    let Some(job) = pod.job_mut(number) else {
        return Verdict::Leave;
    };
    if is_proven {
        job.unproven_exit = None;
        return Verdict::TakeOver;
    }
    let begun = UnprovenExit {
        since: now,
        not_before: now,
        log_since: None,
    };
    let doubt = job.unproven_exit.get_or_insert(begun);
    if let Some(log_since) = doubt.log_since {
        return match now.since(log_since) < rules.plugin.repeats_answers_for {
            true => Verdict::Leave,
            false => Verdict::TakeOver,
        };
    }
    if now.since(doubt.since) >= rules.plugin.may_prepare_for {
        end(pod, number, now);
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

/// Whether anything of a job was seen to run, or to end.
fn was_seen(pod: &Pod, job: &Job) -> bool {
    let mut carried = job.containers.iter().filter_map(|id| pod.container(id));
    let mut expected = job.expected.iter();
    carried.any(|one| one.status.remote == Remote::Running || one.status.reported.is_some())
        || expected.any(|one| one.remote == Remote::Running)
}

/// Whether all that is reported of a job is that it has ended, and nothing proves that it ran.
fn is_unproven(report: &JobReport) -> bool {
    let is_unproven =
        |state: &ReportedState| matches!(state, ReportedState::Ended(end) if end.is_unproven);
    let mut containers = report.containers.iter();
    !report.containers.is_empty() && containers.all(|one| is_unproven(&one.state))
}

fn end(pod: &mut Pod, number: u32, now: Nanos) {
    let Some(job) = pod.job_mut(number) else {
        return;
    };
    job.expected.clear();
    let message = format!(
        "the plugin says that job {} has ended, but nothing tells that it ever ran; it was cancelled \
         while it waited, most likely",
        job.uid
    );
    let (code, reason) = (exit_code::KILLED, exit_reason::NEVER_RAN);
    lifecycle::report_end(pod, number, code, reason, &message, now);
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::*;
    use crate::{
        config::Config,
        model::Submission,
        plan::{batch::start, observe, owed, testing},
        profile,
    };

    fn pod(remote_id: &str) -> Pod {
        let mut pod = testing::pod(&["a"]);
        let id = pod.containers[0].id().clone();
        start(&mut pod, &id, Nanos(1)).expect("starts");
        pod.jobs[0].submission = Submission::Submitted { at: Nanos(2) };
        pod.jobs[0].remote_id = Some(remote_id.to_owned());
        pod
    }

    fn report_of(pod: &Pod, state: Value) -> JobReport {
        let containers = profile::testing::containers(&[("a", state)]);
        profile::job_report("", &containers, &pod.jobs[0])
    }

    fn tell(pod: &mut Pod, state: Value, now: Nanos) {
        let report = report_of(pod, state);
        observe::apply(pod, 0, &report, now, &rules());
    }

    fn rules() -> Rules {
        profile::rules(&Config::default())
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
        tell(
            &mut pod,
            no_start(),
            Nanos(40).plus(rules().plugin.repeats_answers_for),
        );
        assert_eq!(code(&pod), Some(0));
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
        tell(
            &mut pod,
            no_start(),
            Nanos(10).plus(rules().plugin.may_prepare_for),
        );
        assert_eq!(code(&pod), Some(exit_code::KILLED));
        let end = pod.containers[0].status.reported.clone().expect("an end");
        assert_eq!(end.reason, exit_reason::NEVER_RAN);
        assert_eq!(pod.jobs[0].submission, Submission::Finished);
    }

    #[test]
    fn a_plugin_that_reports_only_what_ran_is_believed() {
        let mut pod = pod("4711");
        tell(&mut pod, no_start(), Nanos(10));
        assert_eq!(code(&pod), None);
        let mut rules = rules();
        rules.plugin.ends_without_start = EndsWithoutStart::Believed;
        let report = report_of(&pod, no_start());
        observe::apply(&mut pod, 0, &report, Nanos(11), &rules);
        assert_eq!(code(&pod), Some(0));
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
