//! Faults on request, seen from the other side.

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    client,
    fixture::{log_request, sh_pod, Fixture},
};

#[test]
fn a_status_for_some_calls_and_then_none() {
    let fixture = Fixture::with_faults(&["create:status=500,times=2"]);
    let pod = sh_pod("true");
    for _ in 0..2 {
        assert_eq!(fixture.ask("/create", &json!({ "pod": pod })).status, 500);
        assert_eq!(fixture.status(&pod), None, "it did not act");
    }
    fixture.create(&pod);
}

#[test]
fn drops_before_and_after_acting() {
    let fixture =
        Fixture::with_faults(&["create:drop-before,times=1", "create:drop-after,times=1"]);
    let pod = sh_pod("true");
    let create = || fixture.try_ask("/create", &json!({ "pod": pod }));
    assert_eq!(create().unwrap_err().kind(), ErrorKind::InvalidData);
    assert_eq!(fixture.status(&pod), None);
    assert_eq!(create().unwrap_err().kind(), ErrorKind::InvalidData);
    assert!(fixture.status(&pod).is_some());
    assert_eq!(create().unwrap().status, 200);
}

#[test]
fn a_log_that_breaks_off() {
    let fixture = Fixture::with_faults(&["logs:drop=5,times=2"]);
    let pod = sh_pod("echo hello world");
    fixture.create(&pod);
    fixture.end_of(&pod, "main");
    for follow in [false, true] {
        let body = log_request(&pod, "main", json!({ "Follow": follow }));
        let answer = fixture.ask("/getLogs", &body);
        assert_eq!((answer.text().as_str(), answer.is_whole), ("hello", false));
    }
    assert_eq!(fixture.log(&pod, "main", json!({})), "hello world\n");
}

#[test]
fn garbage_delay_and_hanging_with_others_served_meanwhile() {
    let fixture = Fixture::with_faults(&[
        "delete:garbage,times=1",
        "ping:delay=300ms,times=1",
        "status:hang",
    ]);
    let error = fixture.try_ask("/delete", &sh_pod("true")).unwrap_err();
    assert!(error.to_string().contains("no HTTP"), "{error}");
    let begin = Instant::now();
    assert_eq!(fixture.ask("/pinglink", &json!("")).status, 200);
    assert!(begin.elapsed() >= Duration::from_millis(300));
    let hanging = client::open(&fixture.socket(), "/status", "[]").unwrap();
    assert_eq!(fixture.ask("/pinglink", &json!("")).status, 200);
    let stream = hanging.get_ref();
    stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let error = std::io::Read::read(&mut &*stream, &mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "no answer comes");
}
