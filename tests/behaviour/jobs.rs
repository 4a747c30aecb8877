//! Which containers share a job: those that start together share a job; init containers and
//! restarts get jobs of their own.

use std::collections::HashSet;

use crate::support::{container, sandbox, wait_for, Daemon, Fake, JobState, UID};
use serde_json::Value;

fn names(created: &Value) -> Vec<&str> {
    let containers = created["pod"]["spec"]["containers"]
        .as_array()
        .expect("containers");
    containers
        .iter()
        .filter_map(|one| one["name"].as_str())
        .collect()
}

fn uid(created: &Value) -> &str {
    created["pod"]["metadata"]["uid"].as_str().expect("a UID")
}

/// Long enough for two starts on a machine under load.
const TOGETHER: &str = "[jobs]\nquiet_period = '2s'";

#[test]
fn two_containers_one_job() {
    let fake = Fake::start();
    let daemon = Daemon::start(&fake.url(), TOGETHER);
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("pair"));
    let a = cri.launch(&pod, &container("a", &["true"]));
    let b = cri.launch(&pod, &container("b", &["true"]));
    let created = fake.wait_for_requests("/create", 1);
    assert_eq!(names(&created[0]), ["a", "b"]);
    fake.set("a", &JobState::exited(0));
    fake.set("b", &JobState::Running);
    assert_eq!(cri.wait_for_exit(&a).exit_code, 0);
    assert_eq!(
        cri.state(&b),
        interlink_cri::proto::ContainerState::CONTAINER_RUNNING
    );
    fake.set("b", &JobState::exited(5));
    assert_eq!(cri.wait_for_exit(&b).exit_code, 5);
    assert_eq!(fake.requests("/create").len(), 1);
}

#[test]
fn init_then_main() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("with-init"));
    let init = cri.launch(&pod, &container("init", &["true"]));
    fake.wait_for_requests("/create", 1);
    fake.set("init", &JobState::exited(0));
    assert_eq!(cri.wait_for_exit(&init).exit_code, 0);
    cri.launch(&pod, &container("main", &["true"]));
    let created = fake.wait_for_requests("/create", 2);
    assert_eq!(
        (names(&created[0]), names(&created[1])),
        (vec!["init"], vec!["main"])
    );
    assert_eq!(
        uid(&created[0]),
        UID,
        "the first job carries the pod's own UID"
    );
    assert_ne!(uid(&created[1]), UID);
}

#[test]
fn a_restart_is_a_job_of_its_own() {
    let fake = Fake::start();
    let daemon = Daemon::start(&fake.url(), TOGETHER);
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("restarts"));
    let (_a, mut config) = (
        cri.launch(&pod, &container("a", &["true"])),
        container("b", &["true"]),
    );
    let mut id = cri.launch(&pod, &config);
    fake.wait_for_requests("/create", 1);
    fake.set("a", &JobState::Running);
    for attempt in 1..3_u32 {
        fake.set("b", &JobState::exited(1));
        cri.wait_for_exit(&id);
        config.metadata.mut_or_insert_default().attempt = attempt;
        config.log_path = format!("b/{attempt}.log");
        id = cri.launch(&pod, &config);
        let created = fake.wait_for_requests("/create", attempt as usize + 1);
        assert_eq!(names(&created[attempt as usize]), ["b"]);
        assert_eq!(cri.status(&id).metadata.attempt, attempt);
    }
    let uids: HashSet<_> = fake
        .requests("/create")
        .iter()
        .map(|c| uid(c).to_owned())
        .collect();
    assert_eq!(uids.len(), 3, "no two jobs share a UID");
}

#[test]
fn a_uid_that_is_no_uuid_becomes_one() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let mut config = sandbox("static");
    config.metadata.mut_or_insert_default().uid = "0123456789abcdef0123456789abcdef".into();
    let pod = cri.run(&config);
    cri.launch(&pod, &container("main", &["true"]));
    let created = &fake.wait_for_requests("/create", 1)[0];
    assert_eq!(uid(created).len(), 36);
    let annotations = &created["pod"]["metadata"]["annotations"];
    assert_eq!(
        annotations["cri.interlink.eu/pod-uid"],
        "0123456789abcdef0123456789abcdef"
    );
}

#[test]
fn plugin_annotations_reach_their_plugin_and_the_kubelets_do_not() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let mut config = sandbox("annotated");
    for (key, value) in [
        ("slurm-job.vk.io/flags", "--time=5"),
        ("kubernetes.io/config.source", "api"),
    ] {
        config.annotations.insert(key.into(), value.into());
    }
    let pod = cri.run(&config);
    cri.launch(&pod, &container("main", &["true"]));
    let created = &fake.wait_for_requests("/create", 1)[0];
    let annotations = &created["pod"]["metadata"]["annotations"];
    assert_eq!(annotations["slurm-job.vk.io/flags"], "--time=5");
    assert!(annotations["kubernetes.io/config.source"].is_null());
}

#[test]
fn a_container_stopped_before_its_job_left_never_runs() {
    let fake = Fake::start();
    let daemon = Daemon::start(&fake.url(), TOGETHER);
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("early"));
    let a = cri.launch(&pod, &container("a", &["true"]));
    let b = cri.launch(&pod, &container("b", &["true"]));
    cri.stop(&a);
    assert_eq!(cri.status(&a).exit_code, 137);
    let created = fake.wait_for_requests("/create", 1);
    assert_eq!(names(&created[0]), ["b"]);
    fake.set("b", &JobState::exited(0));
    cri.wait_for_exit(&b);

    let alone = cri.run(&sandbox("alone"));
    let id = cri.launch(&alone, &container("c", &["true"]));
    cri.stop(&id);
    cri.remove_sandbox(&alone);
    let late = cri.run(&sandbox("late"));
    cri.launch(&late, &container("d", &["true"]));
    let created = wait_for("the later pod's job", || {
        Some(fake.requests("/create")).filter(|list| list.len() >= 2)
    });
    assert_eq!(
        names(&created[1]),
        ["d"],
        "the one that was stopped is not submitted"
    );
}
