//! The figures as a real Prometheus has them: it scrapes the daemon while pods come and go, and at the end it
//! has what the client did and what interLink was asked for.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{json, Value};

use crate::support::{container, sandbox, wait_for, Daemon, Fake, JobState};

const PODS: usize = 50;
/// So many of them fail.
const FAIL: usize = 7;

/// A Prometheus that scrapes a daemon, with the rules that come with it.
struct Prometheus {
    child: Child,
    port: u16,
}

impl Prometheus {
    /// None where it is not installed.
    fn start(daemon: &Daemon) -> Option<Self> {
        let log = daemon.log();
        let (_, rest) = log.split_once("metrics are served on http://")?;
        let (address, _) = rest.split_once("/metrics")?;
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/prometheus/alerts.yml");
        let config = json!({
            "global": {"scrape_interval": "500ms", "evaluation_interval": "1s"},
            "rule_files": [rules],
            "scrape_configs": [{
                "job_name": "interlink-cri",
                "static_configs": [{"targets": [address]}],
            }],
        });
        let file = daemon.path("prometheus.yml");
        fs::write(&file, config.to_string()).expect("writes");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        drop(listener);
        let said = File::create(daemon.path("prometheus.log")).expect("a file");
        let started = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                daemon.path("tsdb").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn();
        match started {
            Ok(child) => Some(Self { child, port }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                println!("skipped: prometheus is not installed (Debian's package prometheus)");
                None
            }
            Err(error) => panic!("prometheus: {error}"),
        }
    }

    /// What its API answers; nothing while it does not.
    fn ask(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET /api/v1/{path} HTTP/1.0\r\nhost: test\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        serde_json::from_str(body).ok()
    }

    /// The value of an expression that has one.
    fn value(&self, expression: &str) -> Option<f64> {
        let encoded: String = expression
            .bytes()
            .map(|byte| format!("%{byte:02x}"))
            .collect();
        let answer = self.ask(&format!("query?query={encoded}"))?;
        let value = &answer["data"]["result"][0]["value"][1];
        value.as_str()?.parse().ok()
    }

    fn wait_for_value(&self, expression: &str, want: f64) {
        let mut last = None;
        wait_for(&format!("{expression} is {want}"), || {
            last = self.value(expression);
            (last == Some(want)).then_some(())
        });
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_prometheus_has_is_what_the_client_did() {
    let fake = Fake::start();
    let daemon = Daemon::start(&fake.url(), "[metrics]\nlisten = '127.0.0.1:0'\n");
    let Some(prometheus) = Prometheus::start(&daemon) else {
        return;
    };
    let cri = daemon.cri();
    let mut pods = Vec::new();
    for number in 0..PODS {
        let pod = cri.run(&sandbox(&format!("scraped-{number}")));
        let name = format!("main-{number}");
        let id = cri.launch(&pod, &container(&name, &["true"]));
        pods.push((pod, name, id));
    }
    fake.wait_for_requests("/create", PODS);
    prometheus.wait_for_value("interlink_cri_jobs{state=\"queued\"}", PODS as f64);
    for (_, name, _) in &pods {
        fake.set(name, &JobState::Running);
    }
    prometheus.wait_for_value("interlink_cri_jobs{state=\"running\"}", PODS as f64);
    for (number, (_, name, _)) in pods.iter().enumerate() {
        fake.set(name, &JobState::exited(i32::from(number < FAIL)));
    }
    for (pod, _, id) in &pods {
        cri.wait_for_exit(id);
        cri.stop_sandbox(pod);
        cri.remove_sandbox(pod);
    }
    // What the client did.
    let rpc = |method: &str| {
        format!("interlink_cri_rpc_duration_seconds_count{{method=\"{method}\",code=\"OK\"}}")
    };
    for method in [
        "RunPodSandbox",
        "CreateContainer",
        "StartContainer",
        "StopPodSandbox",
        "RemovePodSandbox",
    ] {
        prometheus.wait_for_value(&rpc(method), PODS as f64);
    }
    let (failed, well) = (FAIL as f64, (PODS - FAIL) as f64);
    for (expression, want) in [
        (
            "sum(interlink_cri_sandbox_events_total{event=\"removed\"})",
            PODS as f64,
        ),
        (
            "interlink_cri_container_events_total{event=\"exited\"}",
            PODS as f64,
        ),
        (
            "interlink_cri_container_exits_total{reason=\"Completed\"}",
            well,
        ),
        (
            "interlink_cri_container_exits_total{reason=\"Error\"}",
            failed,
        ),
        ("interlink_cri_jobs_submitted_total", PODS as f64),
        (
            "sum(interlink_cri_job_queue_duration_seconds_count)",
            PODS as f64,
        ),
        (
            "sum(interlink_cri_job_run_duration_seconds_count)",
            PODS as f64,
        ),
        ("interlink_cri_jobs_owed_cancellation", 0.0),
        ("sum(interlink_cri_jobs)", 0.0),
        // From the kernel: as long as the daemon has been there.
        ("count(process_resident_memory_bytes > 1e6)", 1.0),
    ] {
        prometheus.wait_for_value(expression, want);
    }
    // What interLink was asked for, once nothing more is owed.
    for (endpoint, path) in [("create", "/create"), ("delete", "/delete")] {
        let calls = format!(
            "sum(interlink_cri_interlink_call_duration_seconds_count{{endpoint=\"{endpoint}\"}})"
        );
        prometheus.wait_for_value(&calls, fake.requests(path).len() as f64);
    }
    let targets = prometheus.ask("targets").expect("its targets");
    let target = &targets["data"]["activeTargets"][0];
    assert_eq!(target["health"], "up", "{target:#}");
    assert_eq!(target["lastError"], "", "{target:#}");
    // The rules can be evaluated, and none of them fires on a good day.
    let rules = wait_for("all rules are evaluated", || {
        let answer = prometheus.ask("rules")?;
        let groups = answer["data"]["groups"].as_array()?.clone();
        let rules: Vec<_> = groups
            .iter()
            .flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default())
            .collect();
        let is_evaluated = rules.iter().all(|rule| rule["health"] != "unknown");
        (is_evaluated && !rules.is_empty()).then_some(rules)
    });
    for rule in &rules {
        assert_eq!(rule["health"], "ok", "{rule:#}");
        assert_ne!(rule["state"], "firing", "{rule:#}");
    }
}
