//! The figures for Prometheus say what has happened, and cannot hurt the daemon.

use std::{
    io::Write as _,
    net::{TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::json;

use crate::support::{container, get, sandbox, wait_for, Daemon, Fake, JobState};

const ANY_PORT: &str = "[metrics]\nlisten = '127.0.0.1:0'\n";

/// Waits until metrics have these values.
fn wait_for_values(daemon: &Daemon, values: &[(&str, f64)]) {
    for (name, want) in values {
        let mut last = None;
        wait_for(&format!("{name} is {want}"), || {
            last = daemon.metric(name);
            (last == Some(*want)).then_some(())
        });
    }
}

#[test]
fn a_pods_life_is_counted_and_timed() {
    let fake = Fake::start();
    fake.answer_pings_with(
        &json!({
            "status": "ok",
            "resources": {"cpu": "64", "memory": "1Gi", "pods": "10", "accelerators": [
                {"resourceType": "nvidia.com/gpu", "available": "4"},
            ]},
        })
        .to_string(),
    );
    let daemon = Daemon::start(&fake.url(), ANY_PORT);
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("counted"));
    let mut config = container("main", &["true"]);
    let resources = config
        .linux
        .mut_or_insert_default()
        .resources
        .mut_or_insert_default();
    (resources.cpu_quota, resources.cpu_period) = (150_000, 100_000);
    resources.memory_limit_in_bytes = 1 << 20;
    let id = cri.launch(&pod, &config);
    fake.wait_for_requests("/create", 1);
    wait_for_values(
        &daemon,
        &[
            ("interlink_cri_jobs{state=\"queued\"}", 1.0),
            ("interlink_cri_containers{state=\"running\"}", 1.0),
            ("interlink_cri_requested_resources{resource=\"cpu\"}", 1.5),
            (
                "interlink_cri_requested_resources{resource=\"memory\"}",
                1_048_576.0,
            ),
            ("interlink_cri_plugin_up", 1.0),
            ("interlink_cri_plugin_capacity{resource=\"cpu\"}", 64.0),
            (
                "interlink_cri_plugin_capacity{resource=\"memory\"}",
                1_073_741_824.0,
            ),
            (
                "interlink_cri_plugin_capacity{resource=\"nvidia.com/gpu\"}",
                4.0,
            ),
        ],
    );
    assert!(daemon.metric("interlink_cri_oldest_queued_job_seconds") > Some(0.0));
    fake.set("main", &JobState::Running);
    let phase =
        |name: &str| format!("interlink_cri_job_phase_duration_seconds_count{{phase=\"{name}\"}}");
    wait_for_values(
        &daemon,
        &[
            ("interlink_cri_jobs{state=\"running\"}", 1.0),
            (&phase("created_to_submitted"), 1.0),
            (&phase("submitted_to_running"), 1.0),
            (
                "interlink_cri_job_queue_duration_seconds_count{partition=\"\"}",
                1.0,
            ),
        ],
    );
    assert_eq!(
        daemon.metric("interlink_cri_oldest_queued_job_seconds"),
        Some(0.0)
    );
    fake.set("main", &JobState::exited(0));
    cri.wait_for_exit(&id);
    let second = cri.run(&sandbox("stopped"));
    cri.launch(&second, &container("other", &["sleep", "9"]));
    fake.wait_for_requests("/create", 2);
    for sandbox in [&pod, &second] {
        cri.stop_sandbox(sandbox);
        cri.remove_sandbox(sandbox);
    }
    wait_for_values(&daemon, &[
        (&phase("running_to_exited"), 1.0),
        (&phase("stop_to_confirmed"), 1.0),
        ("interlink_cri_jobs_owed_cancellation", 0.0),
        ("interlink_cri_sandbox_events_total{event=\"created\"}", 2.0),
        ("interlink_cri_sandbox_events_total{event=\"removed\"}", 2.0),
        ("interlink_cri_container_events_total{event=\"created\"}", 2.0),
        ("interlink_cri_container_events_total{event=\"started\"}", 2.0),
        ("interlink_cri_container_events_total{event=\"exited\"}", 2.0),
        ("interlink_cri_container_exits_total{reason=\"Completed\"}", 1.0),
        ("interlink_cri_jobs_submitted_total", 2.0),
        ("interlink_cri_interlink_call_duration_seconds_count{endpoint=\"create\",outcome=\"ok\"}", 2.0),
        ("interlink_cri_rpc_duration_seconds_count{method=\"StartContainer\",code=\"OK\"}", 2.0),
        ("interlink_cri_requested_resources{resource=\"cpu\"}", 0.0),
        ("interlink_cri_pool_busy_threads{pool=\"interlink\"}", 0.0),
        ("interlink_cri_pool_queue_length{pool=\"interlink\"}", 0.0),
    ]);
    let commits = "interlink_cri_state_commit_duration_seconds_count{outcome=\"ok\"}";
    assert!(daemon.metric(commits) > Some(5.0));
}

#[test]
fn failures_are_counted_by_what_went_wrong() {
    let mut fake = Fake::start();
    let daemon = Daemon::start(&fake.url(), ANY_PORT);
    let cri = daemon.cri();
    assert!(cri.try_status("nobody").is_err());
    wait_for_values(&daemon, &[
        ("interlink_cri_rpc_duration_seconds_count{method=\"ContainerStatus\",code=\"NOT_FOUND\"}", 1.0),
        ("interlink_cri_plugin_up", 1.0),
    ]);
    fake.down();
    wait_for_values(&daemon, &[("interlink_cri_plugin_up", 0.0)]);
    let calls = "interlink_cri_interlink_call_duration_seconds_count";
    let refused = format!("{calls}{{endpoint=\"ping\",outcome=\"connect\"}}");
    wait_for("pings fail", || {
        daemon.metric(&refused).filter(|count| *count >= 1.0)
    });
    assert!(daemon.metric("interlink_cri_plugin_last_success_timestamp_seconds") > Some(1e9));
}

#[test]
fn a_port_that_is_taken_keeps_no_daemon_from_serving() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let fake = Fake::start();
    let daemon = Daemon::start(&fake.url(), &format!("[metrics]\nlisten = '{address}'\n"));
    daemon.cri().run(&sandbox("served"));
    let log = daemon.log();
    assert!(
        log.contains(&format!("cannot listen on {address} (metrics.listen)")),
        "{log}"
    );
}

#[test]
fn a_unix_socket_is_the_owners_and_goes_with_the_daemon() {
    let mut daemon = Daemon::prepare("");
    let socket = daemon.path("metrics.sock");
    let mut config = std::fs::read_to_string(daemon.path("config.toml")).expect("reads");
    config = config.replace(
        "listen = \"off\"",
        &format!("listen = \"unix://{}\"", socket.display()),
    );
    std::fs::write(daemon.path("config.toml"), config).expect("writes");
    daemon.run();
    let mode = std::fs::metadata(&socket)
        .expect("a socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let answer =
        get(UnixStream::connect(&socket).expect("connects"), "/metrics").expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains("content-type: text/plain; version=0.0.4"),
        "{answer}"
    );
    // One that was killed leaves its socket behind, and the next one takes its place.
    daemon.kill_and_restart();
    assert!(get(UnixStream::connect(&socket).expect("connects"), "/").is_ok());
    assert!(daemon.terminate().success());
    assert!(!socket.exists());
}

#[test]
fn who_says_nothing_holds_up_neither_the_kubelet_nor_the_next_scrape_for_long() {
    let fake = Fake::start();
    let mut daemon = Daemon::start(&fake.url(), ANY_PORT);
    let log = daemon.log();
    let (_, rest) = log
        .split_once("metrics are served on http://")
        .expect("it listens");
    let (address, _) = rest.split_once("/metrics").expect("an address");
    let silent: Vec<_> = (0..3)
        .map(|_| {
            let mut stream = TcpStream::connect(address).expect("connects");
            stream.write_all(b"GET /").expect("begins");
            stream
        })
        .collect();
    daemon.cri().run(&sandbox("served"));
    assert!(daemon
        .metrics()
        .is_some_and(|text| text.contains("interlink_cri_build_info")));
    drop(silent);
    assert!(daemon.terminate().success());
}

/// Prometheus' own tool with these arguments and this input; nothing where it is not installed.
fn promtool(arguments: &[&str], input: &str) -> Option<(bool, String)> {
    let started = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: promtool is not installed (Debian's package prometheus)");
            return None;
        }
        Err(error) => panic!("promtool: {error}"),
    };
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("takes its input");
    drop(stdin);
    let output = child.wait_with_output().expect("ends");
    let text = [output.stdout, output.stderr].concat();
    Some((
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

#[test]
fn prometheus_reads_the_figures_the_alerts_and_the_dashboard() {
    let fake = Fake::start();
    let daemon = Daemon::start(&fake.url(), ANY_PORT);
    daemon.cri().run(&sandbox("scraped"));
    let answer = daemon.metrics().expect("an answer");
    let (_, figures) = answer.split_once("\r\n\r\n").expect("a body");
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/prometheus");
    let file = |name: &str| files.join(name).display().to_string();
    let dashboard = std::fs::read_to_string(file("dashboard.json")).expect("reads");
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels
        .filter_map(|panel| panel["targets"].as_array())
        .flatten();
    let rules: Vec<_> = targets
        .map(|target| {
            let expression = target["expr"].as_str().expect("an expression");
            let expression = expression.replace("$__rate_interval", "5m");
            json!({"record": "dashboard:expression", "expr": expression})
        })
        .collect();
    assert!(rules.len() > 30);
    let rules = json!({"groups": rules.iter().enumerate().map(|(number, rule)| {
        json!({"name": format!("panel-{number}"), "rules": [rule]})
    }).collect::<Vec<_>>()});
    let expressions = daemon.path("expressions.yml");
    std::fs::write(&expressions, rules.to_string()).expect("writes");
    for (arguments, input) in [
        (vec!["check".to_owned(), "metrics".into()], figures),
        (vec!["check".into(), "rules".into(), file("alerts.yml")], ""),
        (
            vec!["test".into(), "rules".into(), file("alerts-test.yml")],
            "",
        ),
        (
            vec!["check".into(), "config".into(), file("prometheus.yml")],
            "",
        ),
        (
            vec![
                "check".into(),
                "rules".into(),
                "--lint=none".into(),
                expressions.display().to_string(),
            ],
            "",
        ),
    ] {
        let words: Vec<_> = arguments.iter().map(String::as_str).collect();
        let Some((is_good, says)) = promtool(&words, input) else {
            return;
        };
        assert!(is_good, "promtool {arguments:?}: {says}");
    }
}
