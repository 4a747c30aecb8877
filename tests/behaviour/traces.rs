//! Traces: what a client's trace context becomes on its way to interLink, what is sent to a collector, and
//! that no collector can hurt the daemon.

use std::{
    fs,
    time::{Duration, Instant},
};

use interlink_cri::proto::{KeyValue, VersionRequest};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::support::{
    container, options, sandbox, wait_for, Collector, Cri, Daemon, Fake, Fault, JobState, Span,
    Takes, UID,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const STOP_TRACE: &str = "5bf92f3577b34da6a3ce929d0e0e4737";
const SERVICE: &str = "runtime.v1.RuntimeService";

/// A collector's clients send what they have every so many milliseconds.
const DELAY: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "50");

fn traceparent(trace: &str, is_sampled: bool) -> String {
    format!("00-{trace}-{PARENT}-0{}", u8::from(is_sampled))
}

fn traced(daemon: &Daemon, trace: &str) -> Cri {
    daemon
        .cri()
        .within(&traceparent(trace, true), "vendor=some")
}

fn prepare(fake: &Fake, url: &str, settings: &str) -> Daemon {
    let mut daemon = Daemon::prepare(settings);
    daemon.interlink(&fake.url());
    daemon.set_variable("OTEL_EXPORTER_OTLP_ENDPOINT", url);
    daemon.set_variable(DELAY.0, DELAY.1);
    daemon
}

fn start(fake: &Fake, collector: &Collector, settings: &str) -> Daemon {
    let mut daemon = prepare(fake, &collector.url(), settings);
    daemon.run();
    daemon
}

fn rpc(collector: &Collector, method: &str, trace: &str) -> Span {
    let name = format!("{SERVICE}/{method}");
    collector.wait_for(&name, |span| span.trace == trace)
}

#[test]
fn one_trace_from_a_client_to_interlink() {
    let (fake, collector) = (Fake::start(), Collector::start());
    let mut daemon = prepare(
        &fake,
        &collector.url(),
        "[kubernetes]\nnode_name = 'login-1'",
    );
    daemon.set_variable("OTEL_RESOURCE_ATTRIBUTES", "site=lab");
    daemon.set_variable("OTEL_EXPORTER_OTLP_HEADERS", "x-key=hush");
    daemon.run();
    let cri = traced(&daemon, TRACE);
    let pod = cri.run(&sandbox("traced"));
    let mut config = container("main", &["true"]);
    config.envs.push(KeyValue {
        key: "PASSWORD".into(),
        value: "hush".into(),
        ..Default::default()
    });
    let id = cri.launch(&pod, &config);

    let of_pod = [
        ("k8s.pod.name", "traced"),
        ("k8s.pod.uid", UID),
        ("k8s.namespace.name", "lab"),
        ("pod.name", "traced"),
        ("pod.uid", UID),
        ("pod.namespace", "lab"),
        ("interlink.sandbox.id", &pod),
    ];
    let of_container = [
        ("k8s.container.name", "main"),
        ("container.name", "main"),
        ("container.id", &id),
        ("container.image.name", "busybox:1.36"),
    ];
    for (method, of_what) in [
        ("RunPodSandbox", vec![&of_pod[..]]),
        ("CreateContainer", vec![&of_pod, &of_container]),
        ("StartContainer", vec![&of_pod, &of_container]),
    ] {
        let span = rpc(&collector, method, TRACE);
        assert_eq!(span.kind, SpanKind::Server);
        assert_eq!((&*span.parent, &*span.state), (PARENT, "vendor=some"));
        assert!(!span.is_error && span.nanos > 0, "{span:#?}");
        let method = format!("{SERVICE}/{method}");
        span.has(&[
            ("rpc.system.name", "grpc"),
            ("rpc.method", &method),
            ("rpc.status_code", "OK"),
            ("rpc.response.status_code", "OK"),
        ]);
        of_what.into_iter().for_each(|of_what| span.has(of_what));
        for (key, want) in [
            ("service.name", "interlink-cri"),
            ("k8s.node.name", "login-1"),
            ("site", "lab"),
        ] {
            assert_eq!(span.resource.get(key).map(String::as_str), Some(want));
        }
    }

    let start = rpc(&collector, "StartContainer", TRACE);
    let created = collector.wait_for("POST /create", |_| true);
    assert_eq!(created.kind, SpanKind::Client);
    assert_eq!((&*created.trace, &*created.parent), (TRACE, &*start.id));
    let (parent, state) = fake.traces("/create").remove(0);
    assert_eq!(parent, Some(format!("00-{TRACE}-{}-01", created.id)));
    assert_eq!(state.as_deref(), Some("vendor=some"));
    let port = fake.url().rsplit_once(':').expect("a port").1.to_owned();
    created.has(&[
        ("http.request.method", "POST"),
        ("url.full", &format!("{}/create", fake.url())),
        ("http.response.status_code", "200"),
        ("server.address", "127.0.0.1"),
        ("server.port", &port),
    ]);
    created.has(&of_pod);
    created.has(&of_container);
    let submitted = collector.wait_for("job created to submitted", |_| true);
    assert_eq!((&*submitted.trace, &*submitted.parent), (TRACE, &*start.id));
    submitted.has(&[("interlink.job.containers", "main")]);
    assert!(submitted.attributes.contains_key("interlink.job.remote_id"));

    // What comes later has traces of its own.
    fake.set_all(&JobState::Running);
    for name in ["job submitted to running", "GET /getLogs"] {
        let span = collector.wait_for(name, |_| true);
        assert!(span.trace != TRACE && span.links_to(TRACE), "{span:#?}");
        span.has(&of_pod);
    }
    fake.set_all(&JobState::exited(0));
    cri.wait_for_exit(&id);
    let ended = collector.wait_for("container running to ended", |_| true);
    assert!(ended.trace != TRACE && ended.links_to(TRACE), "{ended:#?}");
    assert_eq!(ended.links[0], (TRACE.to_owned(), start.id.clone()));
    ended.has(&of_container);

    assert!(daemon.terminate().success());
    let shown = format!("{:?}", collector.spans());
    assert!(!shown.contains("hush"), "no secrets in spans");
    assert!(!daemon.log().contains("hush"), "nor in the log");
    let header = |name: &str| {
        let requests = collector.requests();
        requests[0].header(name).map(str::to_owned)
    };
    assert_eq!(header("x-key").as_deref(), Some("hush"));
}

#[test]
fn a_stop_has_the_trace_of_its_call_and_links_to_the_start() {
    let (fake, collector) = (Fake::start(), Collector::start());
    let daemon = start(&fake, &collector, "");
    let cri = traced(&daemon, TRACE);
    let pod = cri.run(&sandbox("stopped"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    fake.wait_for_requests("/create", 1);
    fake.set_all(&JobState::Running);
    collector.wait_for("job submitted to running", |_| true);
    traced(&daemon, STOP_TRACE).stop(&id);

    let stop = rpc(&collector, "StopContainer", STOP_TRACE);
    stop.has(&[("rpc.status_code", "OK"), ("container.id", &id)]);
    let delete = collector.wait_for("DELETE /delete", |_| true);
    for span in [
        &delete,
        &collector.wait_for("job stop to confirmed", |_| true),
    ] {
        assert_eq!((&*span.trace, &*span.parent), (STOP_TRACE, &*stop.id));
        assert!(span.links_to(TRACE), "{span:#?}");
    }
    let (parent, _) = fake.traces("/delete").remove(0);
    assert_eq!(parent, Some(format!("00-{STOP_TRACE}-{}-01", delete.id)));
}

/// Release builds have no failpoints to plant a panic at.
#[cfg(debug_assertions)]
#[test]
fn a_refusal_has_its_code_and_a_fault_is_an_error() {
    let (fake, collector) = (Fake::start(), Collector::start());
    let mut daemon = prepare(&fake, &collector.url(), "");
    daemon.plant("handler=panic@10");
    daemon.run();
    let cri = traced(&daemon, TRACE);
    assert!(cri.try_start("none").is_err());
    let refused = rpc(&collector, "StartContainer", TRACE);
    refused.has(&[
        ("rpc.status_code", "NOT_FOUND"),
        ("error.type", "NOT_FOUND"),
    ]);
    assert!(!refused.is_error, "a client's mistake");
    let is_panic = |error: grpcio::Error| error.to_string().contains("planted");
    while !cri.try_start("none").is_err_and(is_panic) {}
    let name = format!("{SERVICE}/StartContainer");
    let fault = collector.wait_for(&name, |span| span.is_error);
    fault.has(&[("rpc.status_code", "INTERNAL")]);
    assert!(fault.status.contains("planted at `handler`"), "{fault:#?}");
    fake.always("/pinglink", Some(Fault::Status(503, "no")));
    let failed = collector.wait_for("POST /pinglink", |span| span.is_error);
    failed.has(&[("http.response.status_code", "503")]);
    assert!(failed.attributes.contains_key("error.type"));
}

#[test]
fn links_outlive_a_restart() {
    let (fake, collector) = (Fake::start(), Collector::start());
    let mut daemon = start(&fake, &collector, "");
    let cri = traced(&daemon, TRACE);
    let pod = cri.run(&sandbox("kept"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    collector.wait_for("job created to submitted", |_| true);
    daemon.kill_and_restart();
    fake.set_all(&JobState::Running);
    for name in ["job submitted to running", "GET /getLogs"] {
        collector.wait_for(name, |span| span.links_to(TRACE));
    }
    fake.set_all(&JobState::exited(0));
    daemon.cri().wait_for_exit(&id);
    collector.wait_for("container running to ended", |span| span.links_to(TRACE));
}

#[test]
fn a_job_is_recorded_to_its_end_or_not_at_all() {
    let (fake, collector) = (Fake::start(), Collector::start());
    let settings = format!(
        "[traces]\nendpoint = '{}'\nsampler = 'parentbased_always_off'",
        collector.url()
    );
    let mut daemon = prepare(&fake, "http://127.0.0.1:1", &settings);
    daemon.run();
    let unsampled = "6bf92f3577b34da6a3ce929d0e0e4738";
    let of = |name: &str, uid: &str, cri: &Cri| {
        let mut config = sandbox(name);
        config.metadata.mut_or_insert_default().uid = uid.to_owned();
        let pod = cri.run(&config);
        cri.launch(&pod, &container("main", &["true"]))
    };
    let none = daemon.cri().within(&traceparent(unsampled, false), "");
    of("unseen", "unseen", &none);
    let requests = fake.wait_for_requests("/create", 1);
    assert_eq!(requests.len(), 1);
    // The plugin hears of it all the same, and that it is not recorded.
    let (parent, _) = fake.traces("/create").remove(0);
    let parent = parent.expect("a context");
    assert!(
        parent.contains(unsampled) && parent.ends_with("-00"),
        "{parent}"
    );
    let cri = traced(&daemon, TRACE);
    let seen = of("seen", "seen", &cri);
    fake.wait_for_requests("/create", 2);
    fake.set_all(&JobState::Running);
    collector.wait_for("job submitted to running", |span| span.links_to(TRACE));
    fake.set_all(&JobState::exited(0));
    cri.wait_for_exit(&seen);
    collector.wait_for("container running to ended", |span| span.links_to(TRACE));
    assert!(daemon.terminate().success());
    for span in collector.spans() {
        assert!(span.trace == TRACE || span.links_to(TRACE), "{span:#?}");
    }
}

#[test]
fn a_collector_that_is_down_costs_a_line_in_the_log() {
    let (fake, mut collector) = (Fake::start(), Collector::start());
    collector.down();
    let mut daemon = start(&fake, &collector, "");
    let said = || {
        let log = daemon.log();
        log.matches("does not take spans").count()
    };
    wait_for("the log says it", || (said() == 1).then_some(()));
    let cri = traced(&daemon, TRACE);
    let pod = cri.run(&sandbox("goes-on"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    fake.wait_for_requests("/create", 1);
    fake.set_all(&JobState::exited(0));
    cri.wait_for_exit(&id);
    assert_eq!(said(), 1);
    collector.takes(Takes::Nothing(400));
    collector.up();
    wait_for("it is refused", || {
        (collector.requests().len() > 1).then_some(())
    });
    assert_eq!(said(), 1);
    collector.takes(Takes::All);
    wait_for("the log says that it is over", || {
        daemon.log().contains("takes spans again; ").then_some(())
    });
    assert!(daemon.terminate().success());
}

#[test]
fn a_collector_that_hangs_costs_no_memory_and_no_time() {
    let (fake, collector) = (Fake::start(), Collector::start());
    collector.takes(Takes::Hangs);
    let mut daemon = prepare(&fake, &collector.url(), "");
    daemon.set_variable("OTEL_BSP_MAX_QUEUE_SIZE", "64");
    daemon.set_variable("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "32");
    daemon.run();
    let cri = daemon.cri();
    let call = |count: usize| {
        for _ in 0..count {
            let answer = cri.runtime.version(&VersionRequest::default(), options());
            answer.expect("a version");
        }
    };
    call(500);
    wait_for("it hangs", || {
        (!collector.requests().is_empty()).then_some(())
    });
    let before = resident(&daemon);
    call(3000);
    let grown = resident(&daemon).saturating_sub(before);
    // 3000 spans would be more than 3 MiB.
    assert!(grown < 2 << 20, "{grown} bytes");
    let began = Instant::now();
    assert!(daemon.terminate().success());
    // It would wait for 10 s, the limit of a request.
    assert!(began.elapsed() < Duration::from_secs(8));
}

/// Bytes of memory that a daemon has.
fn resident(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("a status");
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kib.expect("a number") << 10
}

#[test]
fn off_unless_asked_for_and_off_where_it_cannot_be() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = traced(&daemon, TRACE);
    let pod = cri.run(&sandbox("plain"));
    cri.launch(&pod, &container("main", &["true"]));
    fake.wait_for_requests("/create", 1);
    assert_eq!(fake.traces("/create"), [(None, None)]);

    let mut wrong = prepare(&fake, "http://me:hush@127.0.0.1:4318", "");
    wrong.run();
    let log = wrong.log();
    assert!(
        log.contains("there are no traces: OTEL_EXPORTER_OTLP_ENDPOINT must not"),
        "{log}"
    );
    assert!(!log.contains("hush"));
}
