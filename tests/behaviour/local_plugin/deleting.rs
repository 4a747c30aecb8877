//! /delete: patience, then none; and nothing is left.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::{json, Value};

use super::fixture::{is_alive, pod_of, processes_with, sh, sh_pod, until, Fixture, UID};

fn with_grace(pod: &Value, seconds: u64) -> Value {
    let mut pod = pod.clone();
    pod["metadata"]["deletionGracePeriodSeconds"] = json!(seconds);
    pod
}

#[test]
fn a_container_may_end_in_its_own_way() {
    let fixture = Fixture::new();
    let (ready, done) = (fixture.dir().join("ready"), fixture.dir().join("done"));
    let pod = sh_pod(&format!(
        "trap 'touch {}; exit 0' TERM; touch {}; while :; do sleep 0.02; done",
        done.display(),
        ready.display()
    ));
    fixture.create(&pod);
    until("it runs", || ready.exists());
    let begin = Instant::now();
    let answer = fixture.delete(&pod);
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("is gone"), "{}", answer.text());
    assert!(
        begin.elapsed() < Duration::from_secs(15),
        "the pod's grace is 30 s"
    );
    assert!(done.exists());
    assert!(!fixture.pod_dir(UID).exists());
    assert_eq!(fixture.status(&pod), None);
}

#[test]
fn who_does_not_listen_is_killed_with_all_who_hide() {
    let fixture = Fixture::new();
    let pids = fixture.dir().join("pids");
    let pod = sh_pod(&format!(
        "trap '' TERM; echo $$ >> {0}; sh -c 'echo $$ >> {0}; exec sleep 600' & \
         (setsid sh -c 'trap \"\" TERM; echo $$ >> {0}; while :; do sleep 1; done' &); \
         while :; do sleep 1; done",
        pids.display()
    ));
    fixture.create(&pod);
    let read = || fs::read_to_string(&pids).unwrap_or_default();
    until("all three run", || read().lines().count() == 3);
    let begin = Instant::now();
    let answer = fixture.delete(&with_grace(&pod, 1));
    assert!(answer.text().contains("is gone"), "{}", answer.text());
    assert!(
        begin.elapsed() >= Duration::from_millis(900),
        "its patience was a second"
    );
    for pid in read().lines() {
        assert!(!is_alive(pid), "{pid} hides");
    }
    assert!(!fixture.pod_dir(UID).exists());
}

#[test]
fn no_grace_is_no_grace_and_a_second_request_may_take_it_away() {
    let fixture = Fixture::new();
    let ready = fixture.dir().join("ready");
    let deaf = format!(
        "trap '' TERM; touch {}; while :; do sleep 0.02; done",
        ready.display()
    );
    let pod = sh_pod(&deaf);
    for first in [None, Some(600)] {
        fixture.create(&pod);
        until("it runs", || ready.exists());
        let begin = Instant::now();
        std::thread::scope(|scope| {
            if let Some(grace) = first {
                let patient = with_grace(&pod, grace);
                scope.spawn(|| assert_eq!(fixture.delete(&{ patient }).status, 200));
                let file = fixture.pod_dir(UID).join("deletion.json");
                until("the first is on record", || file.exists());
                let again = fixture.ask("/create", &json!({ "pod": pod }));
                assert_eq!(again.status, 409);
                assert!(again.text().contains("being deleted"), "{}", again.text());
            }
            assert_eq!(fixture.delete(&with_grace(&pod, 0)).status, 200);
        });
        assert!(begin.elapsed() < Duration::from_secs(15), "{first:?}");
        assert!(!fixture.pod_dir(UID).exists());
        fs::remove_file(&ready).unwrap();
    }
}

#[test]
fn others_are_served_while_a_pod_takes_its_time() {
    let fixture = Fixture::new();
    let ready = fixture.dir().join("ready");
    let pod = sh_pod(&format!(
        "trap '' TERM; touch {}; while :; do sleep 0.02; done",
        ready.display()
    ));
    fixture.create(&pod);
    until("it runs", || ready.exists());
    std::thread::scope(|scope| {
        let deletion = scope.spawn(|| fixture.delete(&with_grace(&pod, 3)));
        let file = fixture.pod_dir(UID).join("deletion.json");
        until("the deletion has begun", || file.exists());
        let mut other = sh_pod("true");
        other["metadata"]["uid"] = json!("00000000-0000-4000-8000-000000000001");
        fixture.create(&other);
        assert_eq!(fixture.end_of(&other, "main").0, 0);
        assert!(fixture.delete(&other).text().contains("is gone"));
        assert!(fixture.status(&pod).is_some(), "it is still ending");
        assert!(
            !deletion.is_finished(),
            "nothing of this had to wait for it"
        );
    });
}

#[test]
fn what_is_not_there_is_gone() {
    let fixture = Fixture::new();
    let pod = sh_pod("true");
    let answer = fixture.delete(&pod);
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("is not here"), "{}", answer.text());
    fixture.create(&pod);
    assert_eq!(fixture.end_of(&pod, "main").0, 0);
    for want in ["is gone", "is not here"] {
        let answer = fixture.delete(&pod);
        assert_eq!(answer.status, 200);
        assert!(answer.text().contains(want), "{}", answer.text());
    }
    for body in [json!("{"), json!({}), json!({"metadata": {"uid": "../.."}})] {
        assert_eq!(fixture.ask("/delete", &body).status, 400, "{body}");
    }
}

#[test]
fn containers_that_wait_never_start_once_the_pod_is_to_go() {
    let fixture = Fixture::new();
    let (ready, mark) = (fixture.dir().join("ready"), fixture.dir().join("mark"));
    let init = format!(
        "trap 'exit 0' TERM; touch {}; while :; do sleep 0.02; done",
        ready.display()
    );
    let pod = pod_of(json!({
        "initContainers": [sh("init", &init)],
        "containers": [sh("main", &format!("touch {}", mark.display()))],
    }));
    fixture.create(&pod);
    until("init runs", || ready.exists());
    assert!(fixture.delete(&pod).text().contains("is gone"));
    assert!(!mark.exists());
}

#[test]
fn directories_that_a_container_locked_go_too() {
    let fixture = Fixture::new();
    let pod = sh_pod("mkdir -p a/b; touch a/b/c; ln -s / root; chmod 000 a/b; chmod 500 a");
    fixture.create(&pod);
    assert_eq!(fixture.end_of(&pod, "main").0, 0);
    assert!(fixture.delete(&pod).text().contains("is gone"));
    for dir in ["pods", "trash"] {
        let left = fs::read_dir(fixture.root().join(dir)).unwrap().count();
        assert_eq!(left, 0, "{dir}");
    }
}

/// What a shim writes when its container has ended.
const EXIT: &str = r#"{"code":0,"signal":null,"reason":"Completed","message":"","started_at":"2026-01-01T00:00:00Z","finished_at":"2026-01-01T00:00:00Z"}"#;

#[test]
fn an_end_that_a_container_writes_itself_is_not_believed_while_its_shim_lives() {
    let fixture = Fixture::new();
    let script = format!("echo '{EXIT}' > ../exit.json; echo written; exec sleep 3600");
    let pod = sh_pod(&script);
    fixture.create(&pod);
    until("it has written", || {
        fixture.log(&pod, "main", json!({})) == "written\n"
    });
    let state = fixture.state(&pod, "main");
    assert!(state.get("running").is_some(), "{state}");
    fixture.delete(&pod);
    let dir = fixture.dir().display().to_string();
    until("its processes are gone", || processes_with(&dir).is_empty());
}

#[test]
fn a_container_that_counts_as_ended_is_ended_with_its_pod() {
    let fixture = Fixture::new();
    let script = format!(
        "sleep 3600 & echo '{EXIT}' > ../exit.json; kill -9 $PPID; echo written; sleep 3600"
    );
    let pod = sh_pod(&script);
    fixture.create(&pod);
    let (code, ..) = fixture.end_of(&pod, "main");
    assert_eq!(code, 0, "there is nobody left who would know better");
    fixture.delete(&pod);
    let dir = fixture.dir().display().to_string();
    until("its processes are gone", || processes_with(&dir).is_empty());
    assert!(fixture.status(&pod).is_none());
}
