//! What a plugin's report of a job changes.
//!
//! Every change is monotonic: a late or repeated answer never resurrects a container, and times
//! are set once.

use super::{
    init_containers, lifecycle,
    report::{JobReport, ReportedEnd, ReportedState, Verdict},
    stop_ends,
    submission::Event,
    unmentioned, unproven_exit, Rules,
};
use crate::model::{
    exit_code, exit_reason, ContainerEntry, ContainerId, Exit, Expected, Job, Nanos, Pod, Remote,
    WaitReason,
};

/// Takes over what the plugin reports of job `number`. Containers that it does not mention stay as
/// they are.
pub fn apply(pod: &mut Pod, number: u32, report: &JobReport, now: Nanos, rules: &Rules) {
    let Some(job) = pod.job_mut(number) else {
        return;
    };
    if !report.remote_id.is_empty() {
        job.remote_id = Some(report.remote_id.clone());
    }
    if report.is_unreadable {
        return;
    }
    if job.awaits_gang && report.shows_the_job() {
        job.awaits_gang = false;
        job.trouble = None;
    }
    if unproven_exit::judge(pod, number, report, now, rules) == Verdict::TakeOver
        && init_containers::judge(pod, number, report, now, rules) == Verdict::TakeOver
    {
        take_over(pod, number, report, now, rules);
        if let Some(others) = unmentioned::judge(pod, number, report, now, rules) {
            take_over(pod, number, &others, now, rules);
        }
        lifecycle::forget_what_will_not_run(pod, number);
    }
    let has_ended = |job: &&Job| lifecycle::has_ended(pod, job);
    if pod.job(number).filter(has_ended).is_some() {
        if let Some(job) = pod.job_mut(number) {
            job.submission_event(Event::Ended, now, rules);
        }
    }
    stop_ends::conclude(pod, now);
}

fn take_over(pod: &mut Pod, number: u32, report: &JobReport, now: Nanos, rules: &Rules) {
    let Some(job) = pod.job_mut(number) else {
        return;
    };
    let waiting = report.waiting();
    let is_known = |known: &WaitReason| waiting.is_some_and(|why| why.is_same_cause(known));
    if !job.waiting.as_deref().is_some_and(is_known) {
        job.waiting = waiting.cloned().map(Box::new);
    }
    for expected in &mut job.expected {
        if let Some(state) = report.state(&expected.name) {
            note_state(expected, state, now, rules);
        }
    }
    let carried = job.containers.clone();
    let carried = |entry: &&mut ContainerEntry| carried.contains(entry.id());
    for entry in pod.containers.iter_mut().filter(carried) {
        if let Some(state) = report.state(&entry.container.name) {
            apply_state(entry, state, now, rules);
        }
    }
}

/// Notes what is reported of a container that the kubelet has not started yet.
fn note_state(expected: &mut Expected, state: &ReportedState, now: Nanos, rules: &Rules) {
    if expected.end.is_some() {
        return;
    }
    match state {
        ReportedState::NotShown => {}
        ReportedState::Queued { .. } => expected.remote = expected.remote.max(Remote::Queued),
        ReportedState::Running { .. } => expected.remote = Remote::Running,
        ReportedState::Ended(ended) => {
            expected.remote = Remote::Running;
            // Its times are those of its binding.
            expected.end = Some(exit(Nanos(0), ended, now, rules));
        }
    }
}

fn apply_state(entry: &mut ContainerEntry, state: &ReportedState, now: Nanos, rules: &Rules) {
    if !entry.status.is_live() {
        return;
    }
    match state {
        ReportedState::NotShown => {}
        ReportedState::Queued { .. } => entry.status.remote = Remote::Queued,
        ReportedState::Running { since } => began(entry, since.unwrap_or(now), now),
        ReportedState::Ended(ended) => {
            let earliest = entry.container.created_at;
            began(entry, ended.started_at.unwrap_or(earliest), now);
            let exit = exit(started(entry), ended, now, rules);
            entry.status.reported = Some(Box::new(exit));
            entry.status.log_owed_since = entry.status.log_owed_since.or(Some(now));
        }
    }
}

/// Notes that the remote run began at this time, once. Clocks over there differ, so the time is kept
/// between the start and now.
fn began(entry: &mut ContainerEntry, at: Nanos, now: Nanos) {
    if entry.status.remote == Remote::Running {
        return;
    }
    entry.status.remote = Remote::Running;
    entry.status.started_at = Some(at.min(now).max(started(entry)));
}

fn started(entry: &ContainerEntry) -> Nanos {
    let started = entry.status.started_at;
    started.unwrap_or(entry.container.created_at)
}

/// The end in the CRI's terms. Times are kept to started <= finished <= now.
fn exit(started: Nanos, ended: &ReportedEnd, now: Nanos, rules: &Rules) -> Exit {
    let shown = rules.exit_table.shown(ended);
    let usual = match shown.code {
        0 => exit_reason::COMPLETED,
        _ => exit_reason::ERROR,
    };
    Exit {
        code: shown.code,
        reason: match shown.reason.is_empty() {
            true => usual.to_owned(),
            false => shown.reason,
        },
        message: match shown.explanation.is_empty() {
            true => ended.explanation.clone(),
            false => shown.explanation,
        },
        finished_at: ended.finished_at.unwrap_or(now).min(now).max(started),
        termination_message: Some(ended.message.clone()).filter(|message| !message.is_empty()),
        used: ended.used.is_known().then(|| Box::new(ended.used)),
    }
}

/// How long a job is waited for that the plugin has accepted and not shown since, because the others of
/// its gang are to come.
pub const GANG_PATIENCE: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

/// Whether a job that was missing from this many answers in a row, for this long, is lost.
pub fn is_lost(missed_polls: u32, missing_for: std::time::Duration, rules: &Rules) -> bool {
    missed_polls >= rules.lost_polls && missing_for >= rules.lost_grace
}

/// Whether a job whose end is not believed has gone: the batch system itself does not know it any more, so
/// nothing of it can still be made ready. It takes some answers, because the batch system may only be away.
pub fn is_gone(missed_polls: u32, job: Option<&Job>) -> bool {
    const DENIALS: u32 = 3;
    missed_polls >= DENIALS && job.is_some_and(never_ran)
}

/// Whether the plugin has said that a job has ended, and it has no log.
fn never_ran(job: &Job) -> bool {
    let doubt = job.unproven_exit.as_ref();
    doubt.is_some_and(|doubt| doubt.log_since.is_none() && !doubt.is_proven)
}

/// Shows the end of a container whose log is complete. If the log says that the site has ended the job, in
/// this word, that counts more than an end that gives no cause.
pub fn complete_log(pod: &mut Pod, id: &ContainerId, by_site: Option<&str>, rules: &Rules) {
    let reported = pod
        .container(id)
        .and_then(|entry| entry.status.reported.as_deref().cloned());
    let names_no_cause =
        |exit: &Exit| [exit_reason::COMPLETED, exit_reason::ERROR].contains(&exit.reason.as_str());
    if let (Some(word), Some(reported)) = (by_site, reported.filter(names_no_cause)) {
        let code = match reported.code {
            0 => exit_code::FAILED,
            code => code,
        };
        let shown = unproven_exit::shown(word, code, rules);
        let exit = Exit {
            code: shown.code,
            reason: shown.reason,
            message: shown.explanation,
            ..reported
        };
        if let Some(status) = pod.status_mut(id) {
            status.exit.get_or_insert(Box::new(exit));
        }
    }
    lifecycle::complete_log(pod, id);
}

/// Ends a lost job and its containers.
pub fn lose(pod: &mut Pod, number: u32, now: Nanos, rules: &Rules) {
    let Some(job) = pod.job_mut(number) else {
        return;
    };
    let (was, never_ran) = (job.submission.clone(), never_ran(job));
    job.submission_event(Event::Missing, now, rules);
    if job.submission == was {
        return;
    }
    // Those that are being stopped have come to what was wanted of them.
    stop_ends::end(pod, number, now);
    let Some(job) = pod.job(number) else {
        return;
    };
    let named = job
        .remote_id
        .as_ref()
        .map(|id| format!(" (remote id {id})"))
        .unwrap_or_default();
    let said = job.trouble.as_ref();
    let said = said.map(|words| format!(": {words}")).unwrap_or_default();
    let (code, reason, what) = match never_ran {
        true => (
            exit_code::TERMINATED,
            exit_reason::CANCELLED,
            "it was cancelled while it waited, for the plugin said that it had ended, and it has no log",
        ),
        false => (
            exit_code::KILLED,
            exit_reason::JOB_LOST,
            "ask the site what became of it",
        ),
    };
    let message = format!(
        "the plugin does not know job {}{named} any more; {what}{said}",
        job.uid
    );
    lifecycle::fail_job(pod, number, code, reason, &message, now);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        model::{ContainerPhase, Submission, UnprovenExit},
        plan::{batch::start, testing::pod},
        profile::{
            self,
            status_reply::{WireContainer, WireEnd, WireState},
        },
    };

    const NOW: Nanos = Nanos(1_000_000);

    fn rules() -> Rules {
        profile::rules(&Config::default())
    }

    fn submitted() -> Pod {
        let mut pod = pod(&["a"]);
        let id = pod.containers[0].id().clone();
        start(&mut pod, &id, Nanos(100)).expect("starts");
        pod.jobs[0].submission = Submission::Submitted { at: Nanos(200) };
        pod
    }

    fn at(nanos: i64) -> Option<Nanos> {
        Some(Nanos(nanos))
    }

    fn ended(end: WireEnd) -> WireState {
        WireState::Ended(Box::new(end))
    }

    fn containers(state: WireState) -> Vec<WireContainer> {
        let name = "a".to_owned();
        vec![WireContainer { name, state }]
    }

    fn running(since: Option<Nanos>) -> WireState {
        WireState::Running { since }
    }

    fn waiting(reason: &str) -> WireState {
        WireState::Waiting {
            reason: reason.to_owned(),
            message: String::new(),
        }
    }

    fn tell(pod: &mut Pod, state: WireState, now: Nanos) {
        let report = profile::job_report("job-7", &containers(state), &pod.jobs[0]);
        apply(pod, 0, &report, now, &rules());
    }

    #[test]
    fn exit_codes_and_reasons() {
        let rows = [
            ("success", 0, None, "", (0, "Completed")),
            ("failure", 7, None, "", (7, "Error")),
            ("signal without a code", 0, Some(9), "", (137, "Error")),
            ("signal with a code", 143, Some(15), "", (143, "Error")),
            (
                "out of memory without a code",
                0,
                None,
                "OOMKilled",
                (137, "OOMKilled"),
            ),
            ("a plugin's own reason", 1, None, "Strange", (1, "Strange")),
            (
                "what the table knows",
                1,
                None,
                "JobTimeout",
                (124, "TimeLimit"),
            ),
            ("a negative code", -1, None, "", (-1, "Error")),
        ];
        for (name, code, signal, reason, want) in rows {
            let mut pod = submitted();
            let end = WireEnd {
                code,
                signal,
                reason: reason.to_owned(),
                ..WireEnd::default()
            };
            tell(&mut pod, ended(end), NOW);
            let exit = pod.containers[0].status.reported.clone().expect(name);
            assert_eq!((exit.code, exit.reason.as_str()), want, "{name}");
        }
    }

    #[test]
    fn times_are_made_sane() {
        let rows = [
            ("zero times", None, None, (100, NOW.0)),
            ("good times", at(500), at(600), (500, 600)),
            ("a clock behind", at(1), at(2), (100, 100)),
            (
                "a clock ahead",
                at(5_000_000),
                at(6_000_000),
                (NOW.0, NOW.0),
            ),
            ("ended before it started", at(500), at(300), (500, 500)),
        ];
        for (name, started_at, finished_at, want) in rows {
            let mut pod = submitted();
            let end = WireEnd {
                started_at,
                finished_at,
                ..WireEnd::default()
            };
            tell(&mut pod, ended(end), NOW);
            let status = &pod.containers[0].status;
            let finished = status.reported.as_ref().expect(name).finished_at;
            let started = status.started_at.expect(name);
            assert_eq!((started.0, finished.0), want, "{name}");
        }
    }

    #[test]
    fn the_end_is_not_shown_before_the_log_is_complete() {
        let mut pod = submitted();
        tell(&mut pod, ended(WireEnd::default()), NOW);
        assert_eq!(pod.containers[0].status.phase(), ContainerPhase::Running);
        assert_eq!(pod.jobs[0].submission, Submission::Finished);
        assert_eq!(pod.jobs[0].remote_id.as_deref(), Some("job-7"));
        let id = pod.containers[0].id().clone();
        lifecycle::complete_log(&mut pod, &id);
        assert_eq!(pod.containers[0].status.phase(), ContainerPhase::Exited);
    }

    #[test]
    fn a_late_answer_changes_nothing() {
        let mut pod = submitted();
        tell(&mut pod, ended(WireEnd::default()), NOW);
        let before = pod.clone();
        tell(&mut pod, running(None), Nanos(NOW.0 + 1));
        let code = 3;
        let other = WireEnd {
            code,
            ..WireEnd::default()
        };
        tell(&mut pod, ended(other), NOW);
        assert_eq!(pod, before);
    }

    #[test]
    fn running_sets_the_start_once() {
        let mut pod = submitted();
        tell(&mut pod, running(at(700)), NOW);
        assert_eq!(pod.containers[0].status.started_at, Some(Nanos(700)));
        tell(&mut pod, running(at(900)), NOW);
        assert_eq!(pod.containers[0].status.started_at, Some(Nanos(700)));
        let mut pod = submitted();
        tell(&mut pod, running(None), NOW);
        assert_eq!(pod.containers[0].status.started_at, Some(NOW));
    }

    #[test]
    fn a_container_whose_probes_have_not_passed_runs() {
        let mut pod = submitted();
        tell(&mut pod, waiting("Resources"), NOW);
        assert_eq!(pod.containers[0].status.remote, Remote::Queued);
        tell(&mut pod, waiting("Waiting for probes to be ready."), NOW);
        assert_eq!(pod.containers[0].status.remote, Remote::Running);
    }

    #[test]
    fn why_a_job_waits_is_kept_while_it_does() {
        let mut pod = submitted();
        let why = |message: &str| WireState::Waiting {
            reason: "JobHeld".to_owned(),
            message: message.to_owned(),
        };
        let kept = |pod: &Pod| pod.jobs[0].waiting.as_ref().map(ToString::to_string);
        tell(&mut pod, why("place 9 in the queue"), NOW);
        assert_eq!(kept(&pod).as_deref(), Some("JobHeld: place 9 in the queue"));
        let before = pod.clone();
        tell(&mut pod, why("place 8 in the queue"), NOW);
        assert_eq!(pod, before, "other figures are no news");
        tell(&mut pod, why("Priority"), NOW);
        assert_eq!(kept(&pod).as_deref(), Some("JobHeld: Priority"));
        assert_eq!(pod.containers[0].status.remote, Remote::Queued);
        tell(&mut pod, waiting(""), NOW);
        assert_eq!(kept(&pod), None);
        tell(&mut pod, why("Priority"), NOW);
        tell(&mut pod, running(None), NOW);
        assert_eq!(kept(&pod), None);
    }

    #[test]
    fn an_empty_state_does_not_show_the_job() {
        let rows = [
            ("no container", vec![], false),
            ("an empty state", containers(WireState::Nothing), false),
            ("waiting", containers(waiting("")), true),
            ("running", containers(running(None)), true),
        ];
        for (name, containers, want) in rows {
            let report = profile::job_report("", &containers, &submitted().jobs[0]);
            assert_eq!(report.shows_the_job(), want, "{name}");
        }
    }

    #[test]
    fn a_lost_job_ends_its_containers_once() {
        let mut pod = submitted();
        lose(&mut pod, 0, NOW, &rules());
        let exit = pod.containers[0].status.exit.clone().expect("ended");
        assert_eq!((exit.code, exit.reason.as_str()), (137, "JobLost"));
        let before = pod.clone();
        lose(&mut pod, 0, Nanos(NOW.0 + 5), &rules());
        assert_eq!(pod, before);
        // The batch system has forgotten one that was cancelled while it waited.
        let mut pod = submitted();
        assert!(!is_gone(99, pod.job(0)));
        pod.jobs[0].unproven_exit = Some(Box::new(UnprovenExit {
            since: NOW,
            not_before: NOW,
            log_since: None,
            is_proven: false,
        }));
        assert!(!is_gone(2, pod.job(0)));
        assert!(is_gone(3, pod.job(0)));
        lose(&mut pod, 0, NOW, &rules());
        let exit = pod.containers[0].status.exit.clone().expect("ended");
        assert_eq!((exit.code, exit.reason.as_str()), (143, "Cancelled"));
        assert!(!is_lost(4, rules().lost_grace, &rules()));
        assert!(!is_lost(99, rules().lost_grace / 2, &rules()));
        assert!(is_lost(5, rules().lost_grace, &rules()));
    }
}
