//! /getLogs.

use std::fs;

use serde_json::json;

use super::{
    client::{self, read_chunk, read_head},
    fixture::{log_request, sh_pod, until, Fixture, MAX_OUTPUT, UID},
};

#[test]
fn parts_of_a_log() {
    let fixture = Fixture::new();
    let pod = sh_pod("for n in 1 2 3 4; do echo line $n; done; printf end");
    fixture.create(&pod);
    assert_eq!(fixture.end_of(&pod, "main").0, 0);
    let whole = "line 1\nline 2\nline 3\nline 4\nend";
    for (opts, want) in [
        (json!({}), whole),
        (json!({"Follow": true}), whole),
        (json!({"Timestamps": true}), whole),
        (json!({"Tail": 2}), "line 4\nend"),
        (json!({"Tail": 100, "Follow": true}), whole),
        (json!({"Bytes": 5}), "4\nend"),
        (json!({"SinceSeconds": 3600}), whole),
        (json!({"SinceTime": "2100-01-01T00:00:00Z"}), ""),
        (json!({"SinceTime": "0001-01-01T00:00:00Z"}), whole),
    ] {
        assert_eq!(fixture.log(&pod, "main", opts.clone()), want, "{opts}");
    }
}

#[test]
fn wrong_requests_are_told_so() {
    let fixture = Fixture::new();
    let pod = sh_pod("true");
    fixture.create(&pod);
    let other = {
        let mut other = pod.clone();
        other["metadata"]["uid"] = json!("00000000-0000-4000-8000-000000000000");
        other
    };
    for (body, status, want) in [
        (json!("{"), 400, "EOF"),
        (
            log_request(&pod, "../main", json!({})),
            400,
            "ContainerName",
        ),
        (
            log_request(&pod, "main", json!({"Tail": 1, "Bytes": 1})),
            400,
            "exclude",
        ),
        (
            log_request(&pod, "none", json!({})),
            404,
            "no container `none`",
        ),
        (log_request(&other, "main", json!({})), 404, "no pod"),
    ] {
        let answer = fixture.ask("/getLogs", &body);
        assert_eq!(answer.status, status, "{body}");
        assert!(answer.text().contains(want), "{}", answer.text());
    }
}

#[test]
fn a_followed_log_comes_as_it_is_written_and_ends_with_its_container() {
    let fixture = Fixture::new();
    let gate = fixture.dir().join("gate");
    let pod = sh_pod(&format!(
        "echo one; until test -e {}; do sleep 0.01; done; printf 'two\\nthree'",
        gate.display()
    ));
    fixture.create(&pod);
    let body = log_request(&pod, "main", json!({"Follow": true})).to_string();
    let mut follower = client::open(&fixture.socket(), "/getLogs", &body).unwrap();
    assert_eq!(read_head(&mut follower).unwrap().0, 200);
    assert_eq!(read_chunk(&mut follower).unwrap().unwrap(), b"one\n");
    fs::write(&gate, "").unwrap();
    let mut rest = Vec::new();
    loop {
        let chunk = read_chunk(&mut follower).unwrap().expect("not cut");
        if chunk.is_empty() {
            break;
        }
        rest.extend(chunk);
    }
    assert_eq!(rest, b"two\nthree");
}

#[test]
fn a_log_is_followed_from_before_its_container_starts_until_its_pod_is_deleted() {
    let fixture = Fixture::new();
    let gate = fixture.dir().join("gate");
    let wait = format!("until test -e {}; do sleep 0.01; done", gate.display());
    let pod = super::fixture::pod_of(json!({
        "initContainers": [super::fixture::sh("init", &wait)],
        "containers": [super::fixture::sh("main", "echo hello; exec sleep 600")],
    }));
    fixture.create(&pod);
    std::thread::scope(|scope| {
        let follower = scope.spawn(|| fixture.log(&pod, "main", json!({"Follow": true})));
        fs::write(&gate, "").unwrap();
        let output = fixture.container_dir(UID, "main").join("output.log");
        until("it says hello", || {
            fs::read(&output).is_ok_and(|log| log == b"hello\n")
        });
        assert!(!follower.is_finished());
        fixture.delete(&pod);
        assert_eq!(follower.join().unwrap(), "hello\n");
    });
}

#[test]
fn bytes_are_bytes() {
    let fixture = Fixture::new();
    let pod = sh_pod("printf 'a\\000b\\377\\r\\n'; head -c 300000 /dev/zero");
    fixture.create(&pod);
    assert_eq!(fixture.end_of(&pod, "main").0, 0);
    let answer = fixture.ask("/getLogs", &log_request(&pod, "main", json!({})));
    assert!(answer.is_whole && answer.body.starts_with(b"a\0b\xff\r\n"));
    assert_eq!(answer.body.len(), 300_006);
}

#[test]
fn followers_that_leave_do_not_use_the_connections_up() {
    let fixture = Fixture::new();
    let pod = sh_pod("echo hello; exec sleep 600");
    fixture.create(&pod);
    fixture.wait_for(&pod, "main", "running");
    let body = log_request(&pod, "main", json!({"Follow": true})).to_string();
    for _ in 0..4 {
        // More at once than half of what may be open.
        let followers: Vec<_> = (0..300)
            .map(|_| {
                let mut found = None;
                // Those that have left are noticed a moment later.
                until("there is room for another follower", || {
                    let mut follower = client::open(&fixture.socket(), "/getLogs", &body).unwrap();
                    let is_answered = read_head(&mut follower).is_ok_and(|head| head.0 == 200);
                    found = is_answered.then_some(follower);
                    is_answered
                });
                found
            })
            .collect();
        drop(followers);
    }
}

#[test]
fn a_container_that_prints_without_end_keeps_its_file_within_the_bound_and_its_work() {
    let fixture = Fixture::new();
    let pod = sh_pod("yes too much | head -c 3000000; echo done >&2; echo worked > result; exit 3");
    fixture.create(&pod);
    assert_eq!(fixture.end_of(&pod, "main").0, 3);
    let log = fixture.log(&pod, "main", json!({}));
    let rest = &log[usize::try_from(MAX_OUTPUT).unwrap()..];
    assert!(log.starts_with("too much\ntoo much\n"));
    assert!(
        rest.contains("interlink-cri: more than 1048576 bytes were printed"),
        "{rest}"
    );
    assert!(!rest.contains("done"), "{rest}");
    let work = fixture.container_dir(UID, "main").join("work/result");
    assert_eq!(fs::read_to_string(work).unwrap(), "worked\n");
}
