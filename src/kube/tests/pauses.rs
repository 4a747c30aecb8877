//! How often a failing API server is asked, with a clock that stands still.

use std::sync::{
    atomic::{AtomicUsize, Ordering},
    Arc, OnceLock,
};

use super::{
    source::{there, Answer, Bench, LIFE, NANO},
    *,
};
use crate::model::{ManualClock, Nanos};

fn failing(status: u16) -> Answer {
    Err(Error::refusal("reading pod", status, b"no"))
}

#[test]
fn a_dead_server_is_asked_less_and_less() {
    let is_up = Arc::new(AtomicUsize::new(0));
    let up = is_up.clone();
    let bench = Bench::new(9, move |name: &str| match up.load(Ordering::SeqCst) {
        0 => failing(503),
        _ => there(name),
    });
    let mut calls = 0;
    let mut ask = |is_asked: bool, is_up: bool| {
        calls += usize::from(is_asked);
        let got = bench.get("a").map(|pod| pod.is_some());
        assert_eq!(bench.calls(), calls);
        match is_up {
            true => assert!(got.unwrap()),
            false => assert_eq!(
                got.unwrap_err().to_string(),
                "reading pod: the API server answered 503: no"
            ),
        }
    };
    ask(true, false);
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
        bench.clock.advance(Duration::from_secs(seconds) - NANO);
        ask(false, false);
        ask(false, false);
        bench.clock.advance(NANO);
        ask(true, false);
    }
    is_up.store(1, Ordering::SeqCst);
    ask(false, false);
    bench.clock.advance(Duration::from_secs(60));
    ask(true, true);
    is_up.store(0, Ordering::SeqCst);
    bench.clock.advance(LIFE);
    ask(true, false);
    bench.clock.advance(Duration::from_secs(1));
    ask(true, false);
}

#[test]
fn failures_of_everyone_and_of_one() {
    let table = [
        (401, true),
        (429, true),
        (500, true),
        (403, false),
        (422, false),
    ];
    for (status, is_everyones) in table {
        let bench = Bench::new(9, move |name: &str| match name {
            "bad" => failing(status),
            name => there(name),
        });
        bench.get("good").unwrap();
        bench.get("bad").unwrap_err();
        bench.get("good").expect("it is remembered");
        assert_eq!(bench.get("other").is_err(), is_everyones, "{status}");
        bench.get("bad").unwrap_err();
        let calls = 3 - usize::from(is_everyones);
        assert_eq!(bench.calls(), calls, "{status}: the bad one is paused");

        bench.clock.advance(Duration::from_secs(1));
        bench.get("bad").unwrap_err();
        bench.clock.advance(Duration::from_secs(2) - NANO);
        bench.get("bad").unwrap_err();
        assert_eq!(bench.calls(), calls + 1, "{status}: the pause doubles");
    }
}

/// A server that fails, and where somebody else comes while `a` is asked for.
fn two_at_a_time() -> Bench<impl Fn(&str) -> Answer + Send + Sync + 'static> {
    let back = Arc::new(OnceLock::<Arc<PodSource>>::new());
    let source = back.clone();
    let bench = Bench::new(9, move |name: &str| {
        if name == "a" {
            let source = source.get().unwrap();
            source.get("lab", "b", "b").unwrap_err();
        }
        failing(500)
    });
    back.set(bench.source.clone()).unwrap();
    bench
}

#[test]
fn calls_that_fail_together_are_one_failure_and_one_tries_again() {
    let bench = two_at_a_time();
    // Asked for, failures so far, and the pause after that.
    for (asked, calls, seconds) in [("a", 2, 1), ("a", 3, 2), ("c", 4, 4)] {
        bench.get(asked).unwrap_err();
        assert_eq!(bench.calls(), calls, "{asked}");
        bench.clock.advance(Duration::from_secs(seconds) - NANO);
        bench.get("c").unwrap_err();
        assert_eq!(bench.calls(), calls, "{asked}: {seconds} s are not over");
        bench.clock.advance(NANO);
    }
}

#[test]
fn through_a_client() {
    let server = ApiServer::tcp(|seen, conn| {
        let status = if seen.number == 0 { 200 } else { 503 };
        conn.send(&answer(status, POD));
        AfterAnswer::Keep
    });
    let (_config, client) = client(&server.url);
    let clock = Arc::new(ManualClock::at(Nanos(1 << 60)));
    let source = PodSource::new(Arc::new(client), 9, LIFE, clock);
    for _ in 0..3 {
        assert!(source.get("a", "b", "u-1").unwrap().is_some());
        source.get("a", "c", "u-2").unwrap_err();
        source.get("a", "d", "u-3").unwrap_err();
    }
    assert_eq!(server.seen().len(), 2);
}
