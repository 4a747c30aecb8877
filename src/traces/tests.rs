use std::sync::Arc;

use opentelemetry::{
    trace::{Link, SpanContext, SpanKind, TraceContextExt as _, TraceId},
    Context,
};
use opentelemetry_sdk::trace::SamplingDecision;

use super::{
    attributes::{bounded, of_container, of_job},
    headers::{read, received, written},
    sampler::sampler,
    *,
};
use crate::{
    config::traces::Sampler,
    model::{Nanos, TraceContext},
    plan::{batch, testing},
};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A kept context, of a trace with this number.
fn kept(trace: u8, is_sampled: bool) -> Arc<TraceContext> {
    let flags = u8::from(is_sampled);
    Arc::new(TraceContext {
        parent: format!("00-{trace:032x}-00f067aa0ba902b7-{flags:02x}"),
        state: String::new(),
    })
}

fn span_of(kept: &TraceContext) -> SpanContext {
    read(kept).expect("a context")
}

#[test]
fn nothing_is_allocated_where_traces_are_off() {
    let mut pod = testing::pod(&["a"]);
    let before = pod.clone();
    let mut work = || {
        let span = rpc("x/y", [("traceparent", PARENT.as_bytes())].into_iter());
        span.within(|| note_pod(&before, None));
        span.answered("OK", String::new);
        let http = call(HttpCall {
            method: "POST",
            path: "/create",
            base: "http://h",
            host: "h",
            port: None,
        });
        http.within(|| assert!(headers().is_none()));
        http.called(None);
        phase(Phase::RunningToEnded, (Nanos(1), Nanos(2)), || {
            unreachable!("nobody asks")
        });
        stamp(None, &mut pod);
        on_behalf(None, || note_http_status(200));
    };
    let used = allocation_counter::measure(&mut work);
    assert_eq!(used.count_total, 0);
    assert_eq!(pod, before);
}

#[test]
fn a_context_is_read_as_it_is_written() {
    let metadata = [
        ("user-agent", "grpc-go"),
        ("traceparent", PARENT),
        ("tracestate", "a=b,c=d"),
        ("traceparent", "second"),
    ];
    let metadata = metadata.iter().map(|(key, text)| (*key, text.as_bytes()));
    let got = received(metadata).expect("a context");
    assert!(got.is_remote() && got.is_sampled());
    let again = written(&Context::new().with_remote_span_context(got)).expect("a context");
    let want = TraceContext {
        parent: PARENT.to_owned(),
        state: "a=b,c=d".to_owned(),
    };
    assert_eq!(again, want);
    assert_eq!(written(&Context::new()), None);
    let json = serde_json::to_string(&want).expect("JSON");
    assert_eq!(
        serde_json::from_str::<TraceContext>(&json).expect("reads"),
        want
    );
}

#[test]
fn what_is_no_context_begins_a_trace() {
    let long = format!("a={}", "x".repeat(TraceContext::MAX_STATE));
    let state = [
        ("traceparent", PARENT.as_bytes()),
        ("tracestate", long.as_bytes()),
    ];
    let got = received(state.into_iter()).expect("a context");
    assert_eq!(got.trace_state().header(), "", "too long");
    for bad in [
        &b""[..],
        b"00",
        b"\xff\xff",
        b"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
    ] {
        let got = received([("traceparent", bad)].into_iter());
        assert_eq!(got, None, "{}", String::from_utf8_lossy(bad));
    }
}

#[test]
fn a_job_links_once_to_each_trace_that_it_began_in() {
    let mut pod = testing::pod(&["a", "b"]);
    let ids: Vec<_> = pod
        .containers
        .iter()
        .map(|entry| entry.id().clone())
        .collect();
    for id in &ids {
        batch::start(&mut pod, id, Nanos(1)).expect("starts");
    }
    pod.status.run_in = Some(kept(1, true));
    pod.containers[0].status.created_in = Some(kept(1, true));
    pod.containers[0].status.started_in = Some(kept(2, true));
    pod.containers[1].status.started_in = Some(kept(3, true));
    pod.jobs[0].started_in = Some(kept(2, true));
    let job = &pod.jobs[0];
    let traces = |origin: &Origin| -> Vec<_> {
        let links = origin.links().into_iter();
        links.map(|link| link.span_context.trace_id()).collect()
    };
    let parent = |origin: &Origin| origin.parent().span().span_context().trace_id();
    let number = |number: u8| TraceId::from(u128::from(number));

    let submission = Origin::of_submission(&pod, job);
    assert_eq!(parent(&submission), number(2));
    assert_eq!(traces(&submission), [number(3), number(1)]);
    let later = Origin::of_job(&pod, job);
    assert_eq!(parent(&later), TraceId::INVALID);
    assert_eq!(traces(&later), [number(2), number(3), number(1)]);
    let container = Origin::of_container(&pod, &pod.containers[1]);
    assert_eq!(traces(&container), [number(3), number(2), number(1)]);

    // After the restart of another daemon, or where the records of containers are gone.
    let mut gone = pod.clone();
    gone.containers.clear();
    gone.jobs[0].stopped_in = Some(kept(9, true));
    let stop = Origin::of_cancellation(&gone, &gone.jobs[0]);
    assert_eq!(parent(&stop), number(9));
    assert_eq!(traces(&stop), [number(2), number(1)]);
}

#[test]
fn values_are_bounded() {
    let pod = testing::pod(&["a"]);
    let mut container = (*pod.containers[0].container).clone();
    container.image = "ü".repeat(10_000).into();
    for pair in of_container(&container) {
        assert!(pair.value.as_str().len() <= 256, "{}", pair.key);
    }
    assert_eq!(bounded("short"), "short");
    let mut pod = testing::pod(&["a"]);
    let id = pod.containers[0].id().clone();
    batch::start(&mut pod, &id, Nanos(1)).expect("starts");
    pod.jobs[0].names = (0..1000).map(|number| format!("{number}").into()).collect();
    let names = of_job(&pod.jobs[0]);
    let names = names
        .iter()
        .find(|pair| pair.key.as_str() == "interlink.job.containers");
    assert!(names.is_some_and(|names| names.value.as_str().matches(',').count() == 31));
}

#[test]
fn what_links_to_a_recorded_trace_is_recorded() {
    let decide = |named, parent: Option<&TraceContext>, links: &[&TraceContext]| {
        let context = match parent {
            Some(parent) => Context::new().with_remote_span_context(span_of(parent)),
            None => Context::new(),
        };
        let links: Vec<_> = links
            .iter()
            .map(|kept| Link::with_context(span_of(kept)))
            .collect();
        let id = TraceId::from(1);
        let kind = SpanKind::Internal;
        let result = sampler(named, 0.0).should_sample(Some(&context), id, "x", &kind, &[], &links);
        result.decision == SamplingDecision::RecordAndSample
    };
    let (yes, no) = (kept(1, true), kept(2, false));
    for named in [
        Sampler::ParentOrAll,
        Sampler::ParentOnly,
        Sampler::ParentOrRatio,
    ] {
        assert_eq!(decide(named, None, &[]), named == Sampler::ParentOrAll);
        assert!(decide(named, Some(&yes), &[]) && !decide(named, Some(&no), &[]));
        assert!(decide(named, None, &[&yes]) && !decide(named, None, &[&no]));
        assert!(decide(named, None, &[&no, &yes]));
        assert!(!decide(named, Some(&no), &[&yes]), "a parent counts more");
    }
    assert!(decide(Sampler::AlwaysOn, Some(&no), &[&no]));
    assert!(!decide(Sampler::AlwaysOff, Some(&yes), &[&yes]));
    assert!(!decide(Sampler::Ratio, Some(&yes), &[&yes]));
}
