//! What is remembered of pods, with a clock that stands still.

use std::{
    panic::{catch_unwind, AssertUnwindSafe},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc, Arc, OnceLock,
    },
    thread,
};

use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use serde_json::json;

use super::*;
use crate::{
    bounded::Weighed,
    model::{Clock, ManualClock, Nanos},
};

pub(super) const LIFE: Duration = Duration::from_secs(60);
pub(super) const NANO: Duration = Duration::from_nanos(1);

pub(super) type Answer = Result<Option<Pod>, Error>;

/// Answers with a function of the pod's name, and counts.
pub(super) struct Fake<F> {
    calls: AtomicUsize,
    answer: F,
}

impl<F: Fn(&str) -> Answer + Send + Sync + 'static> Pods for Fake<F> {
    fn pod(&self, namespace: &str, name: &str) -> Result<Option<Weighed<Pod>>, Error> {
        assert_eq!(namespace, "lab");
        self.calls.fetch_add(1, Ordering::SeqCst);
        let weighed = |object| Weighed { object, bytes: 1 };
        Ok((self.answer)(name)?.map(weighed))
    }
}

/// A source of pods whose UID is their name.
pub(super) struct Bench<F> {
    fake: Arc<Fake<F>>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) source: Arc<PodSource>,
}

impl<F: Fn(&str) -> Answer + Send + Sync + 'static> Bench<F> {
    pub(super) fn new(size: usize, answer: F) -> Self {
        let calls = AtomicUsize::new(0);
        let fake = Arc::new(Fake { calls, answer });
        let clock = Arc::new(ManualClock::at(Nanos(1 << 60)));
        let source = PodSource::new(fake.clone(), size, LIFE, clock.clone());
        Self {
            fake,
            clock,
            source: Arc::new(source),
        }
    }

    pub(super) fn get(&self, name: &str) -> Result<Option<Arc<Pod>>, Error> {
        self.source.get("lab", name, name)
    }

    /// How often the API server was asked so far.
    pub(super) fn calls(&self) -> usize {
        self.fake.calls.load(Ordering::SeqCst)
    }
}

fn pod(uid: &str) -> Pod {
    serde_json::from_value(json!({"metadata": {"uid": uid}})).unwrap()
}

pub(super) fn there(name: &str) -> Answer {
    Ok(Some(pod(name)))
}

#[test]
fn a_pod_is_remembered_for_its_life() {
    let bench = Bench::new(9, there);
    for _ in 0..3 {
        assert!(bench.get("a").unwrap().is_some());
    }
    assert_eq!(bench.calls(), 1);
    bench.clock.advance(LIFE - NANO);
    bench.get("a").unwrap();
    assert_eq!(bench.calls(), 1);
    bench.clock.advance(NANO);
    bench.get("a").unwrap();
    assert_eq!(bench.calls(), 2);
    bench.clock.set(Nanos(5));
    bench.get("a").unwrap();
    assert_eq!(bench.calls(), 3, "the clock was set back");
}

#[test]
fn a_pod_that_is_not_there_is_asked_for_soon() {
    let bench = Bench::new(9, |_| Ok(None));
    for (advance, calls) in [(0, 1), (4, 1), (1, 2), (5, 3)] {
        bench.clock.advance(Duration::from_secs(advance));
        assert_eq!(bench.get("a").unwrap(), None);
        assert_eq!(bench.calls(), calls, "{advance}");
    }
}

#[test]
fn the_uid_must_be_the_pods_or_its_static_pods() {
    let noted = |key: &str, uid: &str| json!({"uid": "v", "annotations": {key: uid}});
    let table = [
        ("its own", json!({"uid": "u"}), true),
        ("another", json!({"uid": "v"}), false),
        ("none", json!({}), false),
        (
            "a mirror pod",
            noted("kubernetes.io/config.hash", "u"),
            true,
        ),
        (
            "a mirror pod",
            noted("kubernetes.io/config.mirror", "u"),
            true,
        ),
        ("another's", noted("kubernetes.io/config.hash", "w"), false),
        (
            "not a UID",
            noted("kubernetes.io/config.source", "u"),
            false,
        ),
    ];
    for (name, metadata, is_it) in table {
        let pod = json!({ "metadata": metadata });
        let bench = Bench::new(9, move |_| {
            Ok(Some(serde_json::from_value(pod.clone()).unwrap()))
        });
        let got = bench.source.get("lab", "a", "u").unwrap();
        assert_eq!(got.is_some(), is_it, "{name}");
    }
}

#[test]
fn so_many_pods_and_no_more() {
    let bench = Bench::new(2, there);
    for (name, calls) in [("a", 1), ("b", 2), ("a", 2), ("c", 3), ("a", 3), ("b", 4)] {
        bench.get(name).unwrap();
        assert_eq!(bench.calls(), calls, "{name}");
    }
}

#[test]
fn a_forgotten_pod_is_asked_for() {
    let bench = Bench::new(9, there);
    bench.get("a").unwrap();
    bench.get("b").unwrap();
    bench.source.forget("a");
    bench.get("b").unwrap();
    assert_eq!(bench.calls(), 2);
    bench.get("a").unwrap();
    assert_eq!(bench.calls(), 3);

    // While the answer is on its way: it may be an old one.
    let back = Arc::new(OnceLock::<Arc<PodSource>>::new());
    let source = back.clone();
    let bench = Bench::new(9, move |name: &str| {
        source.get().unwrap().forget(name);
        there(name)
    });
    back.set(bench.source.clone()).unwrap();
    for calls in 1..=2 {
        assert!(bench.get("a").unwrap().is_some());
        assert_eq!(bench.calls(), calls);
    }
}

/// Counts how often it is looked at.
struct Watched(AtomicUsize);

impl Clock for Watched {
    fn now(&self) -> Nanos {
        self.0.fetch_add(1, Ordering::SeqCst);
        Nanos(1 << 60)
    }
}

#[test]
fn threads_that_want_one_pod_share_a_request() {
    const THREADS: usize = 6;
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let fake = Arc::new(Fake {
        calls: AtomicUsize::new(0),
        answer: move |name: &str| {
            gate.lock().recv_timeout(PATIENCE.time).unwrap();
            there(name)
        },
    });
    let clock = Arc::new(Watched(AtomicUsize::new(0)));
    let source = Arc::new(PodSource::new(fake.clone(), 9, LIFE, clock.clone()));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let source = source.clone();
            thread::spawn(move || source.get("lab", "a", "a").unwrap().is_some())
        })
        .collect();
    // Each has looked at the clock: one asks, and the others are about to wait.
    let end = std::time::Instant::now() + PATIENCE.time;
    while clock.0.load(Ordering::SeqCst) < THREADS {
        assert!(std::time::Instant::now() < end, "never: all have come");
        thread::yield_now();
    }
    for _ in 0..THREADS {
        go.send(()).unwrap();
    }
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    assert_eq!(fake.calls.load(Ordering::SeqCst), 1);
}

#[test]
fn a_panic_leaves_nobody_waiting() {
    let first = AtomicUsize::new(0);
    let bench = Bench::new(9, move |name: &str| {
        assert!(first.fetch_add(1, Ordering::SeqCst) > 0, "the first time");
        there(name)
    });
    assert!(catch_unwind(AssertUnwindSafe(|| bench.get("a"))).is_err());
    assert!(bench.get("a").unwrap().is_some());
}
