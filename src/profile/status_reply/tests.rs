use serde_json::json;

use super::*;
use crate::memory_testing::holds_little;

const UIDS: [&str; 3] = [
    "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
    "6fa459ea-ee8a-3ca4-894e-db77e160355e",
    "0f6e1c1a-9a3b-4a53-8c36-000000000003",
];

fn uid(index: usize) -> JobUid {
    JobUid::parse(UIDS[index]).unwrap()
}

fn asked(count: usize) -> Vec<AskedJob> {
    let job = |index| AskedJob {
        uid: uid(index),
        containers: 1,
        told_before: None,
    };
    (0..count).map(job).collect()
}

fn read(body: &str) -> StatusReply {
    StatusReply::read(body.as_bytes(), &asked(2)).expect(body)
}

fn status(reply: &StatusReply, index: usize) -> &WireStatus {
    match reply.jobs.get(&uid(index)) {
        Some(ToldJob::Status(status)) => status,
        told => panic!("{told:?}"),
    }
}

/// The state of a container of the first job.
fn state(state: &str) -> Result<WireState, String> {
    let containers = format!("[{{\"name\":\"c\",\"state\":{state}}}]");
    let body = format!("[{{\"UID\":\"{}\",\"containers\":{containers}}}]", UIDS[0]);
    match read(&body).jobs.remove(&uid(0)).expect("it is mentioned") {
        ToldJob::Status(mut status) => Ok(status.containers.remove(0).state),
        ToldJob::Unreadable(why) => Err(why),
        ToldJob::AsBefore => panic!("nothing was told before"),
    }
}

fn end(terminated: &str) -> Result<WireEnd, String> {
    match state(&format!("{{\"terminated\":{terminated}}}"))? {
        WireState::Ended(end) => Ok(*end),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_entry_that_was_told_before_is_not_read_again() {
    let entry = |index: usize, state: &str| {
        let state = format!("{{\"name\":\"c\",\"state\":{{\"{state}\":{{}}}}}}");
        format!("{{\"UID\":\"{}\",\"containers\":[{state}]}}", UIDS[index])
    };
    let read = |asked: &[AskedJob], first: &str, second: &str| {
        let body = format!("[{},\n {}]", entry(0, first), entry(1, second));
        StatusReply::read(body.as_bytes(), asked).expect("a list")
    };
    let mut asked = asked(2);
    let reply = read(&asked, "running", "running");
    for job in &mut asked {
        job.told_before = reply.entries.get(&job.uid).copied();
    }
    let again = read(&asked, "running", "waiting");
    assert_eq!(again.jobs[&uid(0)], ToldJob::AsBefore);
    let WireState::Waiting { .. } = status(&again, 1).containers[0].state else {
        panic!("{again:?}");
    };
    assert_eq!(again.entries[&uid(0)], reply.entries[&uid(0)]);
    assert_ne!(again.entries[&uid(1)], reply.entries[&uid(1)]);
    assert_eq!(again.shown().len(), 2);
    assert!(!again.denies(uid(0)));
    // Where one job is spoken of twice, the last word counts, read or not.
    for (bodies, is_as_before) in [
        ([entry(0, "running"), entry(0, "waiting")], false),
        ([entry(0, "waiting"), entry(0, "running")], true),
    ] {
        let body = format!("[{}]", bodies.join(","));
        let twice = StatusReply::read(body.as_bytes(), &asked).expect("a list");
        assert_eq!(twice.jobs[&uid(0)] == ToldJob::AsBefore, is_as_before);
    }
}

#[test]
fn answers_in_every_form() {
    let one = json!({"name": "p", "UID": UIDS[0], "JID": 7, "containers": null});
    for (body, count) in [
        ("null".to_owned(), 0),
        ("[]".to_owned(), 0),
        (json!([one]).to_string(), 1),
        (one.to_string(), 1),
    ] {
        let reply = read(&body);
        assert_eq!(reply.jobs.len(), count, "{body}");
        assert!(reply.denies(uid(1)), "{body}");
        if count > 0 {
            assert_eq!(status(&reply, 0).remote_id, "7", "{body}");
        }
    }
    for body in [
        "",
        "{}",
        "7",
        "\"x\"",
        "[",
        "[{}",
        "<html>",
        r#"{"error":"x"}"#,
        "[] []",
    ] {
        let read = StatusReply::read(body.as_bytes(), &asked(2));
        assert!(read.is_err(), "{body}");
    }
}

/// As a plugin answered that writes naive times.
#[test]
fn one_odd_entry_leaves_the_others_alone() {
    let odd = r#"{"name":"odd","UID":"1b4e28ba-2fa1-11d2-883f-0016d3cca427","namespace":"default",
        "JID":"job-101","containers":[{"name":"odd","state":STATE}]}"#;
    let good = r#"{"name":"good","UID":"6fa459ea-ee8a-3ca4-894e-db77e160355e","namespace":"default",
        "JID":"job-102","containers":[{"name":"good","state":{"terminated":{"exitCode":0}}}]}"#;
    for (state, is_readable) in [
        (r#"{"running":{"startedAt":"2026-01-01T00:00:00"}}"#, true),
        (r#"{"terminated":{"exitCode":"1"}}"#, true),
        (r#"{"terminated":{"exitCode":0.0}}"#, true),
        (r#"{"terminated":{"exitCode":99999999999}}"#, true),
        (r#"{"terminated":{"exitCode":1e999}}"#, true),
        (r#"{"terminated":{"exitCode":0,"message":"\udc80"}}"#, true),
        (r#"{"terminated":{"exitCode":0,"finishedAt":{}}}"#, true),
        (r#"{"terminated":{"exitCode":0.5}}"#, false),
        (r#"{"terminated":{"exitCode":"one"}}"#, false),
        (r#"{"terminated":7}"#, false),
        (r#"{"running":true}"#, false),
        (r#"[]"#, false),
    ] {
        let odd = odd.replace("STATE", state);
        for body in [format!("[{odd},{good}]"), format!("[{good},{odd}]")] {
            let reply = read(&body);
            assert_eq!(status(&reply, 1).remote_id, "job-102", "{state}");
            let readable = matches!(reply.jobs[&uid(0)], ToldJob::Status(_));
            assert_eq!(readable, is_readable, "{state}");
            assert_eq!(reply.shown(), HashSet::from([uid(0), uid(1)]), "{state}");
        }
    }
}

#[test]
fn an_entry_that_names_no_job_denies_none() {
    let good = format!("{{\"UID\":\"{}\"}}", UIDS[1]);
    for odd in [
        "null",
        "{}",
        "7",
        "[]",
        "{\"UID\":null}",
        "{\"UID\":\"x\"}",
        "{\"UID\":[]}",
    ] {
        // In its place.
        let reply = read(&format!("[{odd},{good}]"));
        assert!(!reply.denies(uid(0)) && !reply.denies(uid(1)), "{odd}");
        assert!(reply.shown().is_empty(), "{odd}");
        // In that of another one, of which more is known.
        let reply = read(&format!("[{good},{odd}]"));
        assert!(reply.denies(uid(0)), "{odd}");
        // Anywhere.
        let reply = read(&format!("[{odd}]"));
        assert!(!reply.denies(uid(0)) && !reply.denies(uid(1)), "{odd}");
    }
}

#[test]
fn states_are_the_latest_that_is_set() {
    let nothing = || String::new();
    let waiting = WireState::Waiting {
        reason: "JobHeld".to_owned(),
        message: "Priority; a b".to_owned(),
    };
    let plain = WireState::Waiting {
        reason: nothing(),
        message: nothing(),
    };
    let running = |seconds: i64| WireState::Running {
        since: (seconds > 0).then_some(Nanos(seconds * 1_000_000_000)),
    };
    for (json, want) in [
        ("{}", WireState::Nothing),
        (
            r#"{"waiting":null,"running":null,"terminated":null}"#,
            WireState::Nothing,
        ),
        (r#"{"waiting":{}}"#, plain),
        (
            r#"{"waiting":{"reason":"JobHeld","message":"Priority;\n a\tb"}}"#,
            waiting,
        ),
        (r#"{"waiting":{},"running":{}}"#, running(0)),
        (
            r#"{"running":{"startedAt":"1970-01-01T00:00:07Z"},"other":1}"#,
            running(7),
        ),
        (
            r#"{"running":{"startedAt":"1970-01-01T01:00:07+01:00"}}"#,
            running(7),
        ),
        (
            r#"{"running":{"startedAt":"1970-01-01T00:00:07"}}"#,
            running(7),
        ),
        (
            r#"{"running":{"startedAt":"1970-01-01 00:00:07"}}"#,
            running(7),
        ),
        (r#"{"running":{"startedAt":7}}"#, running(7)),
        (r#"{"running":{"startedAt":"7.0"}}"#, running(7)),
        (r#"{"running":{"startedAt":7e99}}"#, running(0)),
        (
            r#"{"running":{"startedAt":"0001-01-01T00:00:00Z"}}"#,
            running(0),
        ),
        (r#"{"running":{"startedAt":"yesterday"}}"#, running(0)),
        (r#"{"running":{"startedAt":false}}"#, running(0)),
    ] {
        assert_eq!(state(json), Ok(want), "{json}");
    }
    let ended = state(r#"{"waiting":{},"running":{},"terminated":{}}"#);
    assert_eq!(ended, Ok(WireState::Ended(Box::default())));
}

#[test]
fn ends_are_small_and_plain() {
    let (line, ends) = ("Out\n\tof\u{1b} memory ".repeat(9999), "é".repeat(9999));
    let json = json!({"reason": line, "message": ends, "exitCode": 1, "signal": "9"});
    let got = end(&json.to_string()).expect("an end");
    assert_eq!(
        (got.code, got.signal, got.message.len()),
        (1, Some(9), 4096)
    );
    assert!(got.reason.starts_with("Out of memory Out") && got.reason.len() <= 1024);
    let id = json!([{"UID": UIDS[0], "JID": line}]).to_string();
    assert!(status(&read(&id), 0).remote_id.len() <= 1024);
    let why = end(r#"{"exitCode":{}}"#).expect_err("no number");
    assert_eq!(why, "an object where a text belongs");
}

#[test]
fn jobs_and_containers_that_were_not_asked_for_are_not_kept() {
    let shown =
        |uid: &str| json!({"UID": uid, "containers": [{"name": "c", "state": {"running": {}}}]});
    let body =
        json!([shown(UIDS[2]), {"UID": "0f6e1c1a-9a3b-4a53-8c36-000000000004"}, shown(UIDS[0])]);
    let reply = read(&body.to_string());
    assert_eq!(reply.jobs.len(), 1);
    assert_eq!(reply.others, HashSet::from([uid(2)]));
    let container = json!({"name": "c", "state": {"running": {}}});
    let many =
        |count: usize| json!([{"UID": UIDS[0], "containers": vec![container.clone(); count]}]);
    let reply = read(&many(65).to_string());
    assert_eq!(status(&reply, 0).containers.len(), 65);
    let reply = read(&many(66).to_string());
    assert_eq!(
        reply.jobs[&uid(0)],
        ToldJob::Unreadable("it speaks of more than 65 containers".to_owned())
    );
    // What is given no state takes no room.
    let nothing = format!(
        "[{{\"UID\":\"{}\",\"containers\":[{}{{}}]}}]",
        UIDS[0],
        "{},null,".repeat(9999)
    );
    assert!(status(&read(&nothing), 0).containers.is_empty());
}

/// One megabyte of each, at the least.
#[test]
fn memory_is_a_small_multiple_of_the_answer() {
    let entry = |inner: &str| format!("{{\"UID\":\"{}\",\"containers\":[{inner}]}}", UIDS[0]);
    let ended = |message: &str| {
        format!("{{\"name\":\"c\",\"state\":{{\"terminated\":{{\"message\":\"{message}\"}}}}}}")
    };
    let mega = 1 << 20;
    let others: String = (0..mega / 80)
        .map(|n| entry(&ended("")).replace(&UIDS[0][..8], &format!("{n:08x}")) + ",")
        .collect();
    for (name, body) in [
        ("empty entries", format!("[{}{{}}]", "{},".repeat(mega / 3))),
        ("nulls", format!("[{}null]", "null,".repeat(mega / 5))),
        (
            "empty containers",
            format!(
                "[{}]",
                entry(&(String::from("{},").repeat(mega / 3) + "{}"))
            ),
        ),
        (
            "containers with a name",
            format!(
                "[{}]",
                entry(&(String::from("{\"name\":\"a\",\"state\":{}},").repeat(mega / 24) + "{}"))
            ),
        ),
        ("jobs that were not asked for", format!("[{others}{{}}]")),
        (
            "one job again and again",
            format!("[{}{{}}]", (entry(&ended("x")) + ",").repeat(mega / 80)),
        ),
        (
            "a long text",
            format!("[{}]", entry(&ended(&"x".repeat(mega)))),
        ),
        (
            "a long text with escapes",
            format!("[{}]", entry(&ended(&"\\n\\udc80".repeat(mega / 8)))),
        ),
        (
            "a long number",
            format!(
                "[{}]",
                entry("{\"name\":\"c\",\"state\":{\"terminated\":{\"exitCode\":1NINES}}}")
                    .replace("NINES", &"9".repeat(mega))
            ),
        ),
        ("depth", "[".repeat(mega)),
        (
            "depth that is closed",
            "[".repeat(mega / 2) + &"]".repeat(mega / 2),
        ),
        (
            "a long name of a field",
            format!("[{{\"{}\":1}}]", "\\u00e9".repeat(mega / 6)),
        ),
    ] {
        let asked = asked(3);
        holds_little(name, body.as_bytes(), 16_384, |body| {
            drop(StatusReply::read(body, &asked));
        });
    }
}
