//! Init containers that a plugin does not speak of.
//!
//! Some plugins report only containers that the question names under `spec.containers`, and
//! say of all of them what their job does; init containers go unmentioned. That main containers run
//! means that the init containers have succeeded, so that is presumed of the silent ones: else the
//! kubelet would wait for them for ever.
//!
//! ```text
//!            a main container runs, or ends well        one ends badly
//!   silent ──────────────────────────────────► presumed ──────────────┐
//!     └───────────────────────────────────────────────────────────────┴──► in doubt
//!                               a main container ends badly
//! ```
//!
//! The job runs, and its main containers are said to, while its init containers still do. So
//! when a main container ends badly, it may never have run. Nothing is taken over then until the plugin
//! was asked for the init containers by name, among the others: of ended ones such a plugin knows
//! the exit codes. Where one has failed that was presumed to have succeeded, the pod begins anew, in
//! a new sandbox, as the kubelet does it: its init containers run again.

use super::{
    lifecycle,
    report::{JobReport, ReportedState, Verdict},
    traits::InitContainers,
    Rules,
};
use crate::model::{exit_reason, Exit, Job, Nanos, Pod, Remote};

/// Judges a report of job `number` by what it leaves out of its init containers, and presumes of
/// those what follows.
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
    let presumed = job.unreported_inits.presumed;
    if job.inits.is_empty() || !(presumed || is_open(pod, job)) {
        return Verdict::TakeOver;
    }
    let mut names = report.containers.iter().map(|one| &one.name);
    if names.any(|name| job.is_init(name)) {
        if let (true, Some((name, code))) = (presumed, first_failure(job, report)) {
            begin_anew(pod, number, &name, code, now);
            return Verdict::Leave;
        }
        return Verdict::TakeOver;
    }
    let states = || report.containers.iter().map(|one| &one.state);
    if states().any(|state| state.exit_code().is_some_and(|code| code != 0)) {
        // A plugin that never speaks of them would be asked in vain.
        let is_useless = rules.plugin.init_containers == InitContainers::Unreported;
        if !is_useless && is_still_asked(pod, number, now, rules) {
            return Verdict::Leave;
        }
    } else if !states().any(init_containers_are_over) {
        return Verdict::TakeOver;
    }
    presume(pod, number, now);
    Verdict::TakeOver
}

/// Whether the init containers are being asked for by name, from the first time on.
fn is_still_asked(pod: &mut Pod, number: u32, now: Nanos, rules: &Rules) -> bool {
    let unreported = pod.job_mut(number).map(|job| &mut job.unreported_inits);
    let since = unreported.map(|unreported| *unreported.in_doubt_since.get_or_insert(now));
    since.is_some_and(|since| now.since(since) < rules.unsure_grace)
}

/// Whether the state of a main container tells that the init containers have succeeded.
fn init_containers_are_over(main: &ReportedState) -> bool {
    matches!(main, ReportedState::Running { .. }) || main.exit_code() == Some(0)
}

/// Whether the end of an init container is still to be heard of.
fn is_open(pod: &Pod, job: &Job) -> bool {
    let mut carried = job.containers.iter().filter_map(|id| pod.container(id));
    let mut expected = job.expected.iter();
    carried.any(|entry| job.is_init(&entry.container.name) && entry.status.is_live())
        || expected.any(|expected| job.is_init(&expected.name) && expected.end.is_none())
}

/// The init container that failed, and its exit code. Those after it did not run, whatever is said
/// of them.
fn first_failure(job: &Job, report: &JobReport) -> Option<(String, i32)> {
    job.inits.iter().find_map(|init| {
        let code = report.state(init)?.exit_code()?;
        (code != 0).then(|| (init.clone(), code))
    })
}

/// Ends the init containers that are not spoken of, as successful.
fn presume(pod: &mut Pod, number: u32, now: Nanos) {
    let succeeded = Exit {
        code: 0,
        reason: exit_reason::COMPLETED.to_owned(),
        message: String::new(),
        finished_at: now,
        termination_message: None,
        used: None,
    };
    let Some(job) = pod.job_mut(number) else {
        return;
    };
    job.unreported_inits.presumed = true;
    let (inits, carried) = (job.inits.clone(), job.containers.clone());
    let expected = job.expected.iter_mut();
    for expected in expected.filter(|one| one.end.is_none() && inits.contains(&one.name)) {
        expected.remote = Remote::Running;
        expected.end = Some(succeeded.clone());
    }
    let open = pod.containers.iter_mut().filter(|entry| {
        carried.contains(entry.id())
            && inits.iter().any(|init| entry.container.name == *init)
            && entry.status.is_live()
    });
    for entry in open {
        let status = &mut entry.status;
        status.remote = Remote::Running;
        let finished_at = now.max(status.started_at.unwrap_or(now));
        status.reported = Some(Box::new(Exit {
            finished_at,
            ..succeeded.clone()
        }));
        status.log_owed_since = status.log_owed_since.or(Some(now));
    }
}

/// The kubelet was told that an init container has succeeded, and it has not. No container's end
/// would make the kubelet run it again; that of the sandbox does.
fn begin_anew(pod: &mut Pod, number: u32, failed: &str, code: i32, now: Nanos) {
    let Some(job) = pod.job(number) else {
        return;
    };
    let message = format!(
        "init container `{failed}` failed in job {} with code {code}, so this container did not run",
        job.uid
    );
    let reason = exit_reason::INIT_CONTAINER_FAILED;
    // What the job itself has written is in their logs.
    lifecycle::report_end(pod, number, code, reason, &message, now);
    lifecycle::kill_sandbox(pod, now);
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::*;
    use crate::{
        config::Config,
        model::{Expected, SandboxPhase, Submission},
        plan::{batch::start, observe, testing},
        profile,
    };

    fn rules() -> Rules {
        profile::rules(&Config::default())
    }

    /// A job with init container `i`, which runs, another one, `j`, and main container `m`.
    fn pod() -> Pod {
        let mut pod = testing::pod(&["i"]);
        let id = pod.containers[0].id().clone();
        start(&mut pod, &id, Nanos(1)).expect("starts");
        let job = &mut pod.jobs[0];
        job.submission = Submission::Submitted { at: Nanos(2) };
        job.inits = vec!["i".to_owned(), "j".to_owned()];
        job.expected = ["j", "m"].map(Expected::new).into();
        pod
    }

    fn bind(pod: &mut Pod, name: &str, now: Nanos) {
        let new = testing::container(pod, name, 0);
        let id = new.id.clone();
        pod.add_container(new);
        start(pod, &id, now).expect("starts");
    }

    fn report_of(pod: &Pod, states: &[(&str, Value)]) -> JobReport {
        let containers = profile::testing::containers(states);
        profile::job_report("", &containers, &pod.jobs[0])
    }

    fn tell(pod: &mut Pod, states: &[(&str, Value)], now: Nanos) {
        let report = report_of(pod, states);
        observe::apply(pod, 0, &report, now, &rules());
    }

    fn running() -> Value {
        json!({"running": {}})
    }

    fn ended(code: i32) -> Value {
        json!({"terminated": {"exitCode": code}})
    }

    fn code(pod: &Pod, name: &str) -> Option<i32> {
        let mut entries = pod.containers.iter();
        let entry = entries.find(|entry| entry.container.name == name)?;
        let end = entry.status.exit.as_ref();
        end.or(entry.status.reported.as_ref()).map(|end| end.code)
    }

    fn expected(pod: &Pod) -> Vec<(&str, Option<i32>)> {
        let expected = pod.jobs[0].expected.iter();
        let end = |one: &Expected| one.end.as_ref().map(|end| end.code);
        expected.map(|one| (one.name.as_str(), end(one))).collect()
    }

    #[test]
    fn while_main_containers_wait_nothing_is_presumed() {
        let mut pod = pod();
        tell(&mut pod, &[("m", json!({"waiting": {}}))], Nanos(10));
        assert_eq!(code(&pod, "i"), None);
        assert_eq!(expected(&pod), [("j", None), ("m", None)]);
        assert!(!pod.jobs[0].unreported_inits.presumed);
    }

    #[test]
    fn a_main_container_that_runs_or_ended_well_means_that_they_succeeded() {
        for (state, end) in [(running(), None), (ended(0), Some(0))] {
            let mut pod = pod();
            tell(&mut pod, &[("m", state)], Nanos(10));
            assert_eq!(code(&pod, "i"), Some(0));
            assert_eq!(expected(&pod), [("j", Some(0)), ("m", end)]);
        }
    }

    #[test]
    fn what_is_said_of_them_counts() {
        let mut pod = pod();
        tell(&mut pod, &[("i", running()), ("m", running())], Nanos(10));
        assert_eq!(code(&pod, "i"), None);
        tell(&mut pod, &[("i", ended(0)), ("j", ended(4))], Nanos(20));
        assert_eq!(code(&pod, "i"), Some(0));
        assert_eq!(expected(&pod), [("j", Some(4))]);
        assert!(!pod.jobs[0].unreported_inits.presumed);
    }

    #[test]
    fn a_bad_end_leads_to_a_question() {
        let grace = rules().unsure_grace;
        // Nothing was presumed yet: the init container is told to have failed, and all is well.
        let mut pod = pod();
        tell(&mut pod, &[("m", ended(68))], Nanos(10));
        assert_eq!(pod.jobs[0].unreported_inits.in_doubt_since, Some(Nanos(10)));
        assert_eq!(
            (code(&pod, "i"), expected(&pod)),
            (None, vec![("j", None), ("m", None)])
        );
        let told = [("i", ended(3)), ("j", ended(68)), ("m", ended(68))];
        tell(&mut pod, &told, Nanos(20));
        assert_eq!((code(&pod, "i"), expected(&pod)), (Some(3), vec![]));
        assert_eq!(pod.phase(), SandboxPhase::Ready);
        // The plugin does not speak of them even then.
        let mut pod = self::pod();
        tell(&mut pod, &[("m", ended(68))], Nanos(10));
        tell(&mut pod, &[("m", ended(68))], Nanos(10).plus(grace));
        assert_eq!(code(&pod, "i"), Some(0));
        assert_eq!(expected(&pod), [("j", Some(0)), ("m", Some(68))]);
    }

    #[test]
    fn a_plugin_that_never_reports_them_is_not_asked() {
        let mut pod = pod();
        let mut rules = rules();
        rules.plugin.init_containers = InitContainers::Unreported;
        let report = report_of(&pod, &[("m", ended(68))]);
        observe::apply(&mut pod, 0, &report, Nanos(10), &rules);
        assert_eq!(code(&pod, "i"), Some(0));
        assert_eq!(expected(&pod), [("j", Some(0)), ("m", Some(68))]);
    }

    #[test]
    fn a_presumption_that_was_wrong_ends_the_sandbox() {
        let mut pod = pod();
        tell(&mut pod, &[("m", running())], Nanos(10));
        bind(&mut pod, "j", Nanos(11));
        bind(&mut pod, "m", Nanos(12));
        tell(&mut pod, &[("m", ended(68))], Nanos(20));
        assert_eq!(
            code(&pod, "m"),
            None,
            "the init containers are asked for first"
        );
        let told = [("i", ended(0)), ("j", ended(3)), ("m", ended(68))];
        tell(&mut pod, &told, Nanos(30));
        assert_eq!(code(&pod, "m"), Some(3));
        let end = pod.containers[2].status.exit.clone().expect("shown");
        assert_eq!(end.reason, exit_reason::INIT_CONTAINER_FAILED);
        assert!(
            end.message.contains("init container `j` failed"),
            "{}",
            end.message
        );
        assert_eq!(pod.phase(), SandboxPhase::NotReady);
        assert!(pod.jobs[0].cancel.is_some());
    }

    #[test]
    fn a_presumption_that_was_right_leaves_the_end_as_it_is() {
        let mut pod = pod();
        tell(&mut pod, &[("m", running())], Nanos(10));
        bind(&mut pod, "m", Nanos(12));
        tell(&mut pod, &[("m", ended(5))], Nanos(20));
        // The end of the job says nothing of an init container that ended well before.
        let timeout = json!({"terminated": {"exitCode": 0, "reason": "JobTimeout"}});
        let told = [("i", timeout.clone()), ("j", timeout), ("m", ended(5))];
        tell(&mut pod, &told, Nanos(30));
        assert_eq!(code(&pod, "m"), Some(5));
        assert_eq!(pod.phase(), SandboxPhase::Ready);
    }

    #[test]
    fn an_init_container_that_ended_well_is_not_blamed_for_the_end_of_the_job() {
        let mut pod = pod();
        let timeout = json!({"terminated": {"exitCode": 0, "reason": "JobTimeout"}});
        tell(
            &mut pod,
            &[("i", timeout.clone()), ("m", timeout)],
            Nanos(10),
        );
        assert_eq!(code(&pod, "i"), Some(0));
        assert_eq!(expected(&pod), [("j", None), ("m", Some(124))]);
    }
}
