use super::*;
use crate::{
    config::{schema::Jobs, Config},
    model::{exit_code, Exit, Expected, JobMembers},
    plan::{
        batch::start,
        call_results::{deleted, may_be_gone, Deleted},
        observe,
        owed::{self, Duty},
        report::{ContainerReport, JobReport, ReportedEnd, ReportedState},
        testing::pod,
        UnconfirmedStops,
    },
};

const PATIENCE: Duration = Duration::from_secs(30);
const NOW: Nanos = Nanos(1_000_000_000_000);

fn rules(unconfirmed_stop: UnconfirmedStop) -> Rules {
    let jobs = Jobs {
        unconfirmed_stop,
        ..Jobs::default()
    };
    Rules {
        unconfirmed_stops: std::sync::Arc::new(UnconfirmedStops::new(&jobs)),
        ..crate::profile::rules(&Config::default())
    }
}

fn later(seconds: u64) -> Nanos {
    NOW.plus(Duration::from_secs(seconds))
}

fn running(names: &[&str], submission: Submission) -> (Pod, Vec<ContainerId>) {
    let mut pod = pod(names);
    let ids: Vec<_> = pod.containers.iter().map(|it| it.id().clone()).collect();
    for id in &ids {
        start(&mut pod, id, Nanos(100)).expect("starts");
    }
    pod.jobs[0].submission = submission;
    (pod, ids)
}

fn submitted(names: &[&str]) -> (Pod, Vec<ContainerId>) {
    running(names, Submission::Submitted { at: Nanos(200) })
}

fn stop(pod: &mut Pod, id: &ContainerId, grace: u32, now: Nanos) {
    stop_container(pod, id, grace, PATIENCE, now);
}

fn confirm(pod: &mut Pod, now: Nanos) {
    let grace = pod.jobs[0].grace_seconds;
    let rules = rules(UnconfirmedStop::Release);
    deleted(pod, 0, Deleted::Confirmed, grace, now, &rules);
}

fn report(pod: &mut Pod, name: &str, code: i32, now: Nanos) {
    let report = JobReport {
        containers: vec![ContainerReport {
            name: name.to_owned(),
            state: ReportedState::Ended(ReportedEnd {
                code,
                ..ReportedEnd::default()
            }),
        }],
        ..JobReport::default()
    };
    observe::apply(pod, 0, &report, now, &rules(UnconfirmedStop::Release));
}

fn duty(pod: &Pod, now: Nanos) -> Option<Duty> {
    let owed = owed::next(pod, now, &rules(UnconfirmedStop::Release));
    owed.filter(|owed| owed.due <= now).map(|owed| owed.duty)
}

fn exit(pod: &Pod, id: &ContainerId) -> Option<Exit> {
    pod.container(id)
        .and_then(|it| it.status.exit.as_deref().cloned())
}

#[test]
fn a_stop_waits_for_the_containers_own_end() {
    let (mut pod, ids) = submitted(&["a"]);
    stop(&mut pod, &ids[0], 5, NOW);
    assert_eq!(of_container(&pod, &ids[0]), StopOutcome::Waits);
    assert_eq!(duty(&pod, NOW), Some(Duty::Cancel(0)));
    assert_eq!(pod.jobs[0].grace_seconds, 5);
    assert!(pod.is_polled(&pod.jobs[0]));
    confirm(&mut pod, later(1));
    assert_eq!(duty(&pod, later(1)), None, "the plugin is asked");
    assert!(pod.is_polled(&pod.jobs[0]));
    report(&mut pod, "a", 0, later(2));
    assert_eq!(of_container(&pod, &ids[0]), StopOutcome::Waits);
    assert_eq!(
        duty(&pod, later(2)),
        Some(Duty::CompleteLog(ids[0].clone()))
    );
    lifecycle::complete_log(&mut pod, &ids[0]);
    assert_eq!(of_container(&pod, &ids[0]), StopOutcome::Done);
    assert_eq!(exit(&pod, &ids[0]).expect("an end").code, 0);
    assert_eq!(duty(&pod, later(3)), Some(Duty::Cancel(0)), "what was kept");
    confirm(&mut pod, later(3));
    assert!(pod.jobs[0].is_settled());
}

#[test]
fn a_job_that_is_gone_after_its_deletion_was_killed() {
    let (mut pod, ids) = submitted(&["a"]);
    let rules = Rules {
        kill_wait: Duration::from_secs(3),
        ..rules(UnconfirmedStop::Hold)
    };
    stop(&mut pod, &ids[0], 5, NOW);
    gone(&mut pod, 0, NOW, &rules);
    assert_eq!(of_container(&pod, &ids[0]), StopOutcome::Waits);
    confirm(&mut pod, later(1));
    gone(&mut pod, 0, later(2), &rules);
    assert_eq!(of_container(&pod, &ids[0]), StopOutcome::Waits, "KillWait");
    gone(&mut pod, 0, later(4), &rules);
    assert_eq!(duty(&pod, later(4)), Some(Duty::AbandonLog(ids[0].clone())));
    lifecycle::complete_log(&mut pod, &ids[0]);
    let exit = exit(&pod, &ids[0]).expect("an end");
    assert_eq!(exit.code, exit_code::KILLED);
    assert!(exit.message.contains("not known"), "{}", exit.message);
    assert!(pod.jobs[0].is_settled());
}

#[test]
fn when_the_time_is_over_it_is_released_or_held() {
    for unconfirmed in [UnconfirmedStop::Release, UnconfirmedStop::Hold] {
        let rules = rules(unconfirmed);
        let (mut pod, ids) = submitted(&["a"]);
        stop(&mut pod, &ids[0], 5, NOW);
        confirm(&mut pod, later(1));
        let deadline = next_deadline(&pod).expect("a deadline");
        assert_eq!(deadline, later(35));
        let before = pod.clone();
        time_is_over(&mut pod, later(34), &rules);
        assert_eq!(pod, before, "there is a second left");
        time_is_over(&mut pod, deadline, &rules);
        assert_eq!(next_deadline(&pod), None);
        assert!(matches!(
            pod.jobs[0].cancel,
            Some(Cancellation::Requested { .. })
        ));
        match unconfirmed {
            UnconfirmedStop::Release => {
                assert_eq!(of_container(&pod, &ids[0]), StopOutcome::Done);
                let exit = exit(&pod, &ids[0]).expect("an end");
                assert_eq!(exit.code, exit_code::KILLED);
                assert!(exit.message.contains("may still run"), "{}", exit.message);
            }
            UnconfirmedStop::Hold => {
                assert_eq!(of_container(&pod, &ids[0]), StopOutcome::Overdue);
                assert_eq!(exit(&pod, &ids[0]), None);
                stop(&mut pod, &ids[0], 2, later(60));
                assert_eq!(of_container(&pod, &ids[0]), StopOutcome::Waits);
                assert_eq!(next_deadline(&pod), Some(later(92)));
                report(&mut pod, "a", 3, later(61));
                lifecycle::complete_log(&mut pod, &ids[0]);
                assert_eq!(exit(&pod, &ids[0]).expect("an end").code, 3);
            }
        }
    }
}

/// The SLURM plugin answers 500 to the DELETE of a job that it has deleted, and a kubelet asks again all the
/// time where a stop is held.
#[test]
fn a_job_that_was_deleted_is_gone_although_its_stop_is_asked_for_again_and_again() {
    let rules = Rules {
        kill_wait: Duration::from_secs(60),
        ..rules(UnconfirmedStop::Hold)
    };
    let (mut pod, ids) = submitted(&["a"]);
    stop(&mut pod, &ids[0], 5, NOW);
    confirm(&mut pod, later(1));
    for second in [35, 70] {
        time_is_over(&mut pod, later(second), &rules);
        stop(&mut pod, &ids[0], 5, later(second));
        deleted(&mut pod, 0, Deleted::Failed, 5, later(second), &rules);
        let before = pod.clone();
        gone(&mut pod, 0, later(60), &rules);
        assert_eq!(pod, before, "KillWait counts from the first confirmation");
    }
    gone(&mut pod, 0, later(71), &rules);
    assert!(pod.jobs[0].is_settled());
}

#[test]
fn failures_of_a_cancellation_count_although_it_is_asked_for_again() {
    let rules = rules(UnconfirmedStop::Hold);
    let (mut pod, ids) = submitted(&["a"]);
    for second in [0, 40, 80, 120, 160] {
        time_is_over(&mut pod, later(second), &rules);
        stop(&mut pod, &ids[0], 0, later(second));
        assert_eq!(duty(&pod, later(second)), Some(Duty::Cancel(0)));
        let may = may_be_gone(&pod.jobs[0], false, later(second), &rules);
        assert_eq!(may, second >= 120);
        deleted(&mut pod, 0, Deleted::Failed, 0, later(second), &rules);
    }
}

#[test]
fn a_clock_that_stepped_back_holds_no_stop() {
    let (mut pod, ids) = submitted(&["a"]);
    stop(&mut pod, &ids[0], 5, NOW);
    time_is_over(&mut pod, Nanos(300), &rules(UnconfirmedStop::Release));
    assert_eq!(of_container(&pod, &ids[0]), StopOutcome::Done);
}

#[test]
fn a_shorter_grace_shortens_and_the_same_again_changes_nothing() {
    let (mut pod, ids) = submitted(&["a"]);
    stop(&mut pod, &ids[0], 300, NOW);
    let before = pod.clone();
    stop(&mut pod, &ids[0], 300, later(10));
    assert_eq!(pod, before);
    stop(&mut pod, &ids[0], 2, later(10));
    assert_eq!(pod.jobs[0].grace_seconds, 2);
    assert_eq!(next_deadline(&pod), Some(later(42)));
    // The DELETE with the longer one was under way: the shorter one is still to be told.
    let rules = rules(UnconfirmedStop::Release);
    deleted(&mut pod, 0, Deleted::Confirmed, 300, later(11), &rules);
    assert_eq!(duty(&pod, later(11)), Some(Duty::Cancel(0)));
    confirm(&mut pod, later(12));
    stop(&mut pod, &ids[0], 0, later(11));
    assert_eq!(duty(&pod, later(13)), Some(Duty::Cancel(0)));
}

#[test]
fn containers_of_one_job_that_are_stopped_together_have_their_own_ends() {
    let (mut pod, ids) = submitted(&["a", "b"]);
    stop(&mut pod, &ids[0], 5, NOW);
    assert_eq!(of_container(&pod, &ids[0]), StopOutcome::Waits);
    assert_eq!(pod.jobs[0].cancel, None, "b goes on");
    assert_eq!(next_deadline(&pod), Some(NOW.plus(SHARED_WAIT)));
    let before = pod.clone();
    stop(&mut pod, &ids[0], 5, later(1));
    assert_eq!(pod, before, "asked again, it waits no longer");
    stop(&mut pod, &ids[1], 5, later(1));
    assert_eq!(duty(&pod, later(1)), Some(Duty::Cancel(0)));
    assert_eq!(pod.jobs[0].grace_seconds, 5);
    time_is_over(&mut pod, later(3), &rules(UnconfirmedStop::Release));
    confirm(&mut pod, later(3));
    for (name, id, code) in [("a", &ids[0], 3), ("b", &ids[1], 4)] {
        assert_eq!(of_container(&pod, id), StopOutcome::Waits);
        report(&mut pod, name, code, later(4));
        lifecycle::complete_log(&mut pod, id);
        assert_eq!(exit(&pod, id).expect("an end").code, code);
    }
}

#[test]
fn a_container_whose_job_goes_on_for_others_ends_after_a_moment_and_says_so() {
    for (grace, wait) in [(5, SHARED_WAIT), (0, Duration::ZERO)] {
        let (mut pod, ids) = submitted(&["a", "b"]);
        stop(&mut pod, &ids[0], grace, NOW);
        let rules = rules(UnconfirmedStop::Hold);
        time_is_over(&mut pod, NOW.plus(wait), &rules);
        let exit = exit(&pod, &ids[0]).expect("an end");
        assert!(exit.message.contains("goes on"), "{}", exit.message);
        assert_eq!(pod.jobs[0].cancel, None);
        stop(&mut pod, &ids[1], grace, later(9));
        assert_eq!(of_container(&pod, &ids[1]), StopOutcome::Waits);
        assert!(pod.jobs[0].is_owed_a_cancellation());
    }
}

#[test]
fn when_the_others_have_ended_meanwhile_the_job_is_cancelled() {
    let (mut pod, ids) = submitted(&["a", "b"]);
    stop(&mut pod, &ids[0], 5, NOW);
    report(&mut pod, "b", 0, later(1));
    time_is_over(&mut pod, later(2), &rules(UnconfirmedStop::Release));
    assert_eq!(of_container(&pod, &ids[0]), StopOutcome::Waits);
    assert!(pod.jobs[0].is_owed_a_cancellation());
    assert_eq!(next_deadline(&pod), Some(later(35)));
}

#[test]
fn a_sidecar_ends_with_what_it_served() {
    let (mut pod, ids) = submitted(&["proxy", "main"]);
    pod.jobs[0].members = JobMembers::Awaits {
        others: Vec::new(),
        sidecars: vec!["proxy".to_owned()],
    };
    let with_sidecar = pod.clone();
    stop(&mut pod, &ids[1], 5, NOW);
    assert_eq!(duty(&pod, NOW), Some(Duty::Cancel(0)));
    confirm(&mut pod, later(1));
    report(&mut pod, "main", 0, later(2));
    lifecycle::complete_log(&mut pod, &ids[1]);
    assert_eq!(exit(&pod, &ids[1]).expect("an end").code, 0);
    // The kubelet comes to it now, and is told its end.
    stop(&mut pod, &ids[0], 3, later(2));
    assert_eq!(of_container(&pod, &ids[0]), StopOutcome::Waits);
    report(&mut pod, "proxy", 143, later(3));
    lifecycle::complete_log(&mut pod, &ids[0]);
    assert_eq!(exit(&pod, &ids[0]).expect("an end").code, 143);
    // What it serves goes on without it.
    let mut pod = with_sidecar;
    stop(&mut pod, &ids[0], 5, NOW);
    time_is_over(&mut pod, later(2), &rules(UnconfirmedStop::Release));
    assert_eq!(of_container(&pod, &ids[0]), StopOutcome::Done);
    assert_eq!(pod.jobs[0].cancel, None);
}

#[test]
fn the_stop_of_what_has_ended_cancels_nothing_that_goes_on() {
    let (mut pod, ids) = submitted(&["a", "b"]);
    report(&mut pod, "a", 7, NOW);
    stop(&mut pod, &ids[0], 5, later(1));
    assert_eq!(of_container(&pod, &ids[0]), StopOutcome::Waits, "its log");
    assert_eq!(pod.jobs[0].cancel, None);
    lifecycle::complete_log(&mut pod, &ids[0]);
    assert_eq!(exit(&pod, &ids[0]).expect("an end").code, 7);
}

#[test]
fn an_init_container_takes_along_what_comes_after_it() {
    let (mut pod, ids) = submitted(&["first"]);
    pod.jobs[0].expected = vec![Expected::new("main")];
    pod.jobs[0].inits = vec!["first".to_owned()];
    stop(&mut pod, &ids[0], 5, NOW);
    assert_eq!(of_container(&pod, &ids[0]), StopOutcome::Waits);
    assert!(pod.jobs[0].expected.is_empty());
}

#[test]
fn what_never_left_ends_at_once_and_what_may_have_left_does_not() {
    let pending = Submission::Pending {
        failures: 1,
        not_before: Nanos(0),
    };
    let (mut pod, ids) = running(&["a"], pending.clone());
    stop(&mut pod, &ids[0], 5, NOW);
    assert_eq!(of_container(&pod, &ids[0]), StopOutcome::Done);
    assert!(pod.jobs[0].is_settled());
    let (mut pod, ids) = running(&["a"], pending);
    pod.jobs[0].in_doubt_since = Some(Nanos(100));
    stop(&mut pod, &ids[0], 5, NOW);
    assert_eq!(of_container(&pod, &ids[0]), StopOutcome::Waits);
    assert_eq!(duty(&pod, NOW), Some(Duty::Cancel(0)));
    confirm(&mut pod, later(1));
    assert_eq!(of_container(&pod, &ids[0]), StopOutcome::Done);
}

#[test]
fn a_sandbox_waits_for_all_of_its_containers() {
    let (mut pod, ids) = submitted(&["a", "b"]);
    let created = crate::plan::testing::container(&pod, "never-started", 0);
    pod.add_container(created);
    stop_sandbox(&mut pod, PATIENCE, NOW);
    assert_eq!(pod.phase(), SandboxPhase::NotReady);
    assert_eq!(of_sandbox(&pod), StopOutcome::Waits);
    confirm(&mut pod, later(1));
    report(&mut pod, "a", 0, later(2));
    lifecycle::complete_log(&mut pod, &ids[0]);
    assert_eq!(of_sandbox(&pod), StopOutcome::Waits);
    report(&mut pod, "b", 0, later(3));
    lifecycle::complete_log(&mut pod, &ids[1]);
    assert_eq!(of_sandbox(&pod), StopOutcome::Done);
}

#[test]
fn a_removal_waits_for_nothing_and_leaves_the_cancellation_owed() {
    let (mut pod, ids) = submitted(&["a"]);
    stop(&mut pod, &ids[0], 5, NOW);
    confirm(&mut pod, later(1));
    lifecycle::remove_container(&mut pod, &ids[0], later(2));
    assert_eq!(of_container(&pod, &ids[0]), StopOutcome::Done);
    assert_eq!(duty(&pod, later(2)), Some(Duty::Cancel(0)));
    confirm(&mut pod, later(3));
    assert!(pod.jobs.is_empty());
}
