use super::*;
use crate::{
    config::Config,
    plan::testing::{self, with_job as pod},
};

const LIMIT: Limit = Limit {
    jobs: Some(2),
    cores: Some(8),
    gpus: None,
};

fn pending() -> Submission {
    Submission::Pending {
        failures: 0,
        not_before: Nanos(0),
    }
}

fn held(id: &str, age: i64) -> Pod {
    let mut pod = pod(id, age, pending(), 1);
    hold(&mut pod, 0, "no room", Nanos(age));
    pod
}

fn running(id: &str, cores: u32) -> Pod {
    pod(id, 1, Submission::Submitted { at: Nanos(1) }, cores)
}

fn verdict(pods: &[Pod], age: i64, cores: u32) -> Verdict {
    let namespace = testing::pod(&[]).sandbox.namespace.clone();
    let own = SandboxId::from("m");
    let demand = Demand { cores, gpus: 0 };
    decide(pods.iter(), &namespace, (&own, Nanos(age)), demand, &LIMIT)
}

#[test]
fn a_job_waits_for_room_with_figures() {
    assert_eq!(verdict(&[], 5, 8), Verdict::Room);
    assert_eq!(verdict(&[running("a", 4)], 5, 4), Verdict::Room);
    let Verdict::Wait(why) = verdict(&[running("a", 4)], 5, 5) else {
        panic!("there is no room");
    };
    assert!(
        why.contains("1 of 2 jobs, 4 of 8 cores") && why.contains("needs 5 cores"),
        "{why}"
    );
    assert!(matches!(
        verdict(&[running("a", 1), running("b", 1)], 5, 1),
        Verdict::Wait(_)
    ));
    let Verdict::Never(why) = verdict(&[], 5, 9) else {
        panic!("it would never run");
    };
    assert!(why.contains("9 of 8 cores"), "{why}");
}

#[test]
fn the_oldest_goes_first() {
    let pods = [running("a", 4), held("b", 3)];
    assert!(
        matches!(verdict(&pods, 5, 1), Verdict::Wait(_)),
        "behind an older one"
    );
    assert_eq!(verdict(&pods, 2, 1), Verdict::Room, "it is older itself");
    assert_eq!(
        verdict(&[held("z", 5)], 5, 1),
        Verdict::Room,
        "of two of an age one goes"
    );
    assert!(matches!(verdict(&[held("b", 5)], 5, 1), Verdict::Wait(_)));
    // One that waits for something else is in nobody's way.
    assert_eq!(verdict(&[pod("b", 3, pending(), 8)], 5, 8), Verdict::Room);
}

#[test]
fn what_counts_is_what_the_plugin_may_have() {
    let of = |submission: Submission, cancel: Option<Cancellation>| {
        let mut pod = pod("a", 1, submission, 4);
        pod.jobs[0].cancel = cancel;
        Usage::of_pod(&pod).jobs
    };
    let requested = Cancellation::Requested {
        failures: 0,
        not_before: Nanos(0),
        denials: 0,
    };
    let submitted = Submission::Submitted { at: Nanos(1) };
    for (submission, cancel, jobs) in [
        (pending(), None, 0),
        (Submission::Submitting { failures: 0 }, None, 1),
        (submitted.clone(), None, 1),
        (submitted.clone(), Some(requested), 1),
        (submitted, Some(Cancellation::Done), 0),
        (Submission::Finished, None, 0),
        (Submission::Lost, None, 0),
        (Submission::Dropped, None, 0),
    ] {
        assert_eq!(
            of(submission.clone(), cancel.clone()),
            jobs,
            "{submission:?} {cancel:?}"
        );
    }
}

#[test]
fn the_first_entry_that_fits_counts() {
    let config: Config = toml::from_str(
        "[[limits.namespaces]]\nnamespaces = ['lab-*']\njobs = 2\n\
         [[limits.namespaces]]\nnamespaces = ['free']\n\
         [[limits.namespaces]]\ncores = 9",
    )
    .expect("settings");
    let limits = NamespaceLimits::new(&config.limits);
    let jobs = |jobs| Limit {
        jobs: Some(jobs),
        ..Limit::default()
    };
    assert_eq!(limits.of("lab-a"), Some(jobs(2)));
    assert_eq!(limits.of("free"), None);
    assert_eq!(limits.of("web").and_then(|limit| limit.cores), Some(9));
}
