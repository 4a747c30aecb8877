//! Ends of jobs that may never have begun.
//!
//! Some plugins report a job as ended, with exit code 0, whose nodes are still being made ready, or that
//! was cancelled while it waited, or whose script failed before its containers ran; `profile` marks such
//! an end as unproven. A job that did run has a log, for the job itself writes into it first, and says
//! there when its containers have ended.
//!
//! | the log | what is believed |
//! |---|---|
//! | says that the containers have ended | the end that is reported |
//! | says that the site has ended the job | that |
//! | says neither for [`SILENT_ANSWERS`] times as long as an answer is repeated | the job ended before its containers ran; until then it may have just begun |
//! | is not there for `jobs.prepare_grace` | the job was cancelled while it waited; it is, if it was not |

use std::time::Duration;

use super::{
    exit_table::ShownEnd,
    lifecycle,
    report::{JobLog, JobReport, ReportedEnd, ReportedState, Verdict},
    submission::Event,
    traits::EndsWithoutStart,
    Rules,
};
use crate::model::{exit_code, exit_reason, Job, Nanos, Pod, Remote, UnprovenExit};

/// Pause between two looks for a log.
const PAUSE: Duration = Duration::from_secs(5);
/// How often the plugin must have given an answer of its own, and an end in each, while the log says none.
const SILENT_ANSWERS: u32 = 2;

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
        is_proven: false,
    };
    let doubt = job.unproven_exit.get_or_insert(Box::new(begun));
    if doubt.is_proven {
        return Verdict::TakeOver;
    }
    if let Some(log_since) = doubt.log_since {
        if now.since(log_since) >= rules.plugin.repeats_answers_for * SILENT_ANSWERS {
            let message = "it ended before this container ran; its log may tell why";
            let end = (exit_code::NOT_STARTED, exit_reason::NEVER_RAN, message);
            fail(pod, number, end, now);
        }
    } else if now.since(doubt.since) >= rules.prepare_grace {
        let message =
            "it was cancelled while it waited: the plugin says that it has ended, and it has no \
                       log. If it was only being made ready, raise jobs.prepare_grace";
        let end = (exit_code::TERMINATED, exit_reason::CANCELLED, message);
        fail(pod, number, end, now);
        // One that is being made ready all the same must not run.
        if let Some(job) = pod.job_mut(number) {
            job.request_cancel(now);
        }
    }
    Verdict::Leave
}

/// Notes what the log tells.
pub fn looked(pod: &mut Pod, number: u32, log: JobLog, now: Nanos, rules: &Rules) {
    let job = pod.job_mut(number);
    let Some(doubt) = job.and_then(|job| job.unproven_exit.as_mut()) else {
        return;
    };
    doubt.not_before = now.plus(PAUSE);
    match log {
        JobLog::Nothing => {}
        JobLog::Begun => doubt.log_since = doubt.log_since.or(Some(now)),
        JobLog::Ended => doubt.is_proven = true,
        JobLog::EndedBySite(word) => {
            let shown = shown(word, exit_code::FAILED, rules);
            let end = (shown.code, &*shown.reason, &*shown.explanation);
            fail(pod, number, end, now);
            if let Some(job) = pod.job_mut(number) {
                job.submission_event(Event::Ended, now, rules);
            }
        }
    }
}

/// What is shown of an end for which the site has a word.
pub(super) fn shown(word: &str, code: i32, rules: &Rules) -> ShownEnd {
    rules.exit_table.shown(&ReportedEnd {
        code,
        reason: word.to_owned(),
        ..ReportedEnd::default()
    })
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

fn fail(pod: &mut Pod, number: u32, end: (i32, &str, &str), now: Nanos) {
    let Some(job) = pod.job_mut(number) else {
        return;
    };
    job.expected.clear();
    let (code, reason, message) = end;
    let message = format!("job {}: {message}", job.uid);
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
        looked(&mut pod, 0, JobLog::Nothing, Nanos(20), &rules());
        assert_eq!(duty(&pod, Nanos(21)), None, "not at once again");
        assert_eq!(
            duty(&pod, Nanos(20).plus(PAUSE)),
            Some(owed::Duty::ProveExit(0))
        );
        tell(&mut pod, no_start(), Nanos(30));
        assert_eq!(code(&pod), None);
        looked(&mut pod, 0, JobLog::Begun, Nanos(40), &rules());
        let again = Nanos(40).plus(PAUSE);
        assert_eq!(duty(&pod, again), Some(owed::Duty::ProveExit(0)));
        tell(&mut pod, no_start(), Nanos(50));
        assert_eq!(code(&pod), None, "it may be what was said before");
        looked(&mut pod, 0, JobLog::Ended, again, &rules());
        assert_eq!(duty(&pod, again.plus(PAUSE)), None);
        tell(&mut pod, no_start(), again);
        assert_eq!(code(&pod), Some(0));
    }

    #[test]
    fn an_end_before_the_containers_ran_is_no_success() {
        let mut pod = pod("4711");
        tell(&mut pod, no_start(), Nanos(10));
        looked(&mut pod, 0, JobLog::Begun, Nanos(20), &rules());
        let window = rules().plugin.repeats_answers_for;
        tell(&mut pod, no_start(), Nanos(20).plus(window));
        assert_eq!(code(&pod), None, "it may have just begun");
        tell(
            &mut pod,
            no_start(),
            Nanos(20).plus(window * SILENT_ANSWERS),
        );
        assert_eq!(code(&pod), Some(exit_code::NOT_STARTED));
        assert_eq!(pod.jobs[0].submission, Submission::Finished);
    }

    #[test]
    fn the_site_s_word_for_an_end_is_believed() {
        let mut pod = pod("4711");
        tell(&mut pod, no_start(), Nanos(10));
        let log = JobLog::EndedBySite("PREEMPTED");
        looked(&mut pod, 0, log, Nanos(20), &rules());
        let end = pod.containers[0].status.reported.clone().expect("an end");
        assert_eq!((end.code, &*end.reason), (143, exit_reason::PREEMPTED));
        assert_eq!(pod.jobs[0].submission, Submission::Finished);
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
        tell(&mut pod, no_start(), Nanos(10).plus(rules().prepare_grace));
        assert_eq!(code(&pod), Some(exit_code::TERMINATED));
        let end = pod.containers[0].status.reported.clone().expect("an end");
        assert_eq!(end.reason, exit_reason::CANCELLED);
        assert!(pod.jobs[0].cancel.is_some(), "it must not run all the same");
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
