use super::*;
use crate::{kube::event::EventType, text::is_dns_subdomain};

const START: Nanos = Nanos(1_500_000_000_000_000_000);
const SECOND: Duration = Duration::from_secs(1);
const NANO: Duration = Duration::from_nanos(1);

fn pod(name: &str) -> PodRef {
    PodRef {
        namespace: "lab".to_owned(),
        name: name.to_owned(),
        uid: format!("uid-of-{name}"),
    }
}

struct Bench {
    limit: EventLimit,
    now: Nanos,
}

impl Bench {
    fn new() -> Self {
        Self {
            limit: EventLimit::new(),
            now: START,
        }
    }

    fn advance(&mut self, span: Duration) {
        self.now = self.now.plus(span);
    }

    fn see(&mut self, name: &str, reason: &str, message: &str) -> Option<Planned> {
        self.see_as(EventType::Normal, &pod(name), reason, message)
    }

    fn see_as(
        &mut self,
        kind: EventType,
        pod: &PodRef,
        reason: &str,
        message: &str,
    ) -> Option<Planned> {
        let it = Occurrence {
            pod,
            kind,
            reason,
            message,
        };
        self.limit.admit(&it, self.now)
    }

    /// Its count and message, or nothing when it is dropped.
    fn short(&mut self, message: &str) -> Option<(i32, String)> {
        let planned = self.see("train-7", "Waiting", message)?;
        Some((planned.count, planned.message))
    }
}

fn some(count: i32, message: &str) -> Option<(i32, String)> {
    Some((count, message.to_owned()))
}

#[test]
fn an_identical_event_counts_the_first_up() {
    let mut bench = Bench::new();
    let first = bench.see("train-7", "Submitted", "as job 5").unwrap();
    let name = format!("train-7.{:x}", START.0);
    assert_eq!(
        first,
        Planned {
            name,
            count: 1,
            first: START,
            message: "as job 5".to_owned(),
        }
    );
    for count in 2..5 {
        bench.advance(SECOND * 7);
        let next = bench.see("train-7", "Submitted", "as job 5").unwrap();
        assert_eq!(
            next,
            Planned {
                count,
                ..first.clone()
            }
        );
    }
}

#[test]
fn what_makes_events_identical() {
    let mut bench = Bench::new();
    let base = pod("a");
    bench.see_as(EventType::Normal, &base, "R", "m").unwrap();
    let other = |change: fn(&mut PodRef)| {
        let mut pod = base.clone();
        change(&mut pod);
        pod
    };
    let table = [
        ("itself", EventType::Normal, base.clone(), "R", "m", 2),
        ("type", EventType::Warning, base.clone(), "R", "m", 1),
        ("reason", EventType::Normal, base.clone(), "S", "m", 1),
        ("message", EventType::Normal, base.clone(), "R", "n", 1),
        ("the cut", EventType::Normal, base.clone(), "Rm", "", 1),
        (
            "uid",
            EventType::Normal,
            other(|p| p.uid.push('x')),
            "R",
            "m",
            1,
        ),
        (
            "name",
            EventType::Normal,
            other(|p| p.name.push('x')),
            "R",
            "m",
            1,
        ),
        (
            "namespace",
            EventType::Normal,
            other(|p| p.namespace.push('x')),
            "R",
            "m",
            1,
        ),
        ("itself again", EventType::Normal, base.clone(), "R", "m", 3),
    ];
    for (name, kind, pod, reason, message, count) in table {
        let planned = bench.see_as(kind, &pod, reason, message).unwrap();
        assert_eq!(planned.count, count, "{name}");
    }
}

#[test]
fn different_messages_of_one_reason_are_different_events() {
    let mut bench = Bench::new();
    for i in 0..25 {
        let message = format!("job {i} runs");
        assert_eq!(bench.short(&message), some(1, &message));
        bench.advance(SECOND);
    }
    assert_eq!(bench.short("job 25 runs"), None, "the bucket is empty");
}

#[test]
fn a_pod_has_25_events_and_one_more_each_5_minutes() {
    let mut bench = Bench::new();
    for count in 1..=25 {
        assert_eq!(bench.short("m"), some(count, "m"));
    }
    assert_eq!(bench.short("m"), None);
    assert!(
        bench.see("train-8", "Waiting", "m").is_some(),
        "another pod"
    );
    assert_eq!(bench.see("train-7", "Other", "m"), None, "of all reasons");

    bench.advance(REFILL - NANO);
    assert_eq!(bench.short("m"), None);
    bench.advance(NANO);
    assert_eq!(bench.short("m"), some(28, "m"), "dropped ones are counted");
    assert_eq!(bench.short("m"), None);

    // Parts of the time for one token are not lost.
    bench.advance(REFILL / 2);
    assert_eq!(bench.short("m"), None);
    bench.advance(REFILL / 2);
    assert!(bench.short("m").is_some());

    bench.advance(REFILL * 3);
    let passed = (0..9).filter(|_| bench.short("m").is_some()).count();
    assert_eq!(passed, 3);
    bench.advance(REFILL * 10_000);
    let passed = (0..99).filter(|_| bench.short("m").is_some()).count();
    assert_eq!(passed, 25, "never more than that");
    bench.now = Nanos(5);
    assert!(bench.short("m").is_some(), "the clock was set back");
}

#[test]
fn messages_are_cut() {
    let mut bench = Bench::new();
    let long = "ä".repeat(600);
    let planned = bench.see("train-7", "Waiting", &long).unwrap();
    assert_eq!(planned.message, "ä".repeat(512));
    let odd = format!("a{long}");
    let planned = bench.see("train-7", "Waiting", &odd).unwrap();
    assert_eq!(planned.message.len(), 1023);
}

#[test]
fn names_are_the_api_servers_kind_and_no_two_are_the_same() {
    let mut bench = Bench::new();
    let names: Vec<_> = ["a", "b", "c"]
        .map(|message| bench.see("train-7", "R", message).unwrap().name)
        .to_vec();
    let hex = |plus: i64| format!("train-7.{:x}", START.0 + plus);
    assert_eq!(names, [hex(0), hex(1), hex(2)], "at one moment");
    bench.now = Nanos(1);
    let name = bench.see("train-7", "R", "d").unwrap().name;
    assert_eq!(name, hex(3), "the clock was set back");

    for long in [
        "a".repeat(253),
        format!("{}-.{}", "a".repeat(235), "b".repeat(9)),
    ] {
        let name = bench.see(&long, "R", "m").unwrap().name;
        assert!(is_dns_subdomain(&name), "{name}");
        assert!(name.starts_with(&"a".repeat(230)), "{name}");
    }
}

#[test]
fn memory_has_a_bound() {
    let mut bench = Bench::new();
    for i in 0..5000 {
        bench.see(&format!("pod-{i}"), "R", "m").unwrap();
    }
    assert_eq!(bench.limit.pods.keys().len(), 4096);
    assert_eq!(bench.see("pod-0", "R", "m").unwrap().count, 1, "forgotten");
    assert_eq!(bench.see("pod-4999", "R", "m").unwrap().count, 2);

    for i in 0..100 {
        bench.see("pod", "R", &i.to_string());
    }
    let pod = digest(&["lab", "pod", "uid-of-pod"]);
    let seen = &bench.limit.pods.get(&pod).unwrap().seen;
    assert_eq!(seen.len(), EVENTS);
    bench.advance(REFILL);
    assert_eq!(bench.see("pod", "R", "99").unwrap().count, 2, "remembered");
}
