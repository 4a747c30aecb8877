//! What administrators are told of how long jobs waited and ran, and what they made of what they asked for.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use serde_json::{json, Value};

use crate::support::{command, container, sandbox, wait_for, Daemon, Fake, JobState};

const ANY_PORT: &str = "[metrics]\nlisten = '127.0.0.1:0'\n";

/// A container of two cores and 1 GiB.
fn sized(name: &str) -> interlink_cri::proto::ContainerConfig {
    let mut config = container(name, &["true"]);
    let linux = config.linux.mut_or_insert_default();
    let resources = linux.resources.mut_or_insert_default();
    (resources.cpu_quota, resources.cpu_period) = (200_000, 100_000);
    resources.memory_limit_in_bytes = 1 << 30;
    config
}

fn jobs(daemon: &Daemon, arguments: &[&str]) -> String {
    let socket = daemon.socket().display().to_string();
    let (code, out, error) = command(&[&["jobs", "--socket", &socket], arguments].concat());
    assert_eq!(code, 0, "{error}");
    out
}

#[test]
fn what_a_plugin_says_of_usage_becomes_an_efficiency() {
    let fake = Fake::start();
    let mut daemon = Daemon::start(&fake.url(), ANY_PORT);
    let cri = daemon.cri();
    let mut config = sandbox("wasteful");
    let flags = ("slurm-job.vk.io/flags".into(), "--partition=gpu".into());
    config.annotations.extend([flags]);
    let pod = cri.run(&config);
    let id = cri.launch(&pod, &sized("main"));
    fake.wait_for_requests("/create", 1);
    let used =
        json!({"cri.interlink.eu/cpu-seconds": "10", "cri.interlink.eu/memory-peak": "768Mi"});
    fake.says_used("main", used);
    fake.set("main", &JobState::Running);
    let end = json!({
        "exitCode": 0, "startedAt": "2026-11-27T08:00:00Z", "finishedAt": "2026-11-27T08:00:20Z",
    });
    fake.set("main", &JobState::Ended(end));
    cri.wait_for_exit(&id);
    // 10 s of two cores for 20 s, and three quarters of a GiB.
    for (name, want) in [("cpu", 0.25), ("memory", 0.75)] {
        let sum = format!("interlink_cri_job_{name}_efficiency_ratio_sum{{partition=\"gpu\"}}");
        wait_for(&sum, || daemon.metric(&sum).filter(|sum| *sum == want));
    }
    assert!(jobs(&daemon, &[]).contains("cpu 25% mem 75%"));
    daemon.kill_and_restart();
    let list: Value = serde_json::from_str(&jobs(&daemon, &["--json"])).expect("JSON");
    let row = &list[0];
    assert_eq!(row["cpuEfficiency"], 0.25, "kept on disk: {row}");
    assert_eq!(row["remote"]["used"]["cpuSeconds"], 10.0);
    assert_eq!(row["remote"]["used"]["memoryPeakBytes"], 768 << 20);
}

#[test]
fn a_plugin_that_says_nothing_of_usage_or_nonsense_brings_no_figure() {
    let fake = Fake::start();
    let daemon = Daemon::start(&fake.url(), ANY_PORT);
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("silent"));
    for (name, used) in [
        ("null", Value::Null),
        ("list", json!([1, 2])),
        (
            "word",
            json!({"cri.interlink.eu/cpu-seconds": "much", "cri.interlink.eu/memory-peak": {}}),
        ),
        ("other", json!({"cpu": "2", "memory": "1Gi"})),
    ] {
        let id = cri.launch(&pod, &sized(name));
        wait_for("the job", || {
            (!fake.requests("/create").is_empty()).then_some(())
        });
        fake.says_used(name, used);
        wait_for("its end", || {
            fake.set(name, &JobState::exited(0));
            (cri.status(&id).finished_at > 0).then_some(())
        });
    }
    assert!(!jobs(&daemon, &[]).contains('%'));
    let text = daemon.metrics().expect("figures");
    assert!(!text.contains("efficiency_ratio_count"), "{text}");
}

/// The local plugin measures what its containers use.
#[test]
fn the_local_plugin_says_what_a_container_used() {
    let daemon = Daemon::embedded();
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("busy"));
    // Half of it by a grandchild.
    let script = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
    let twice = format!("(sh -c '{script}'); {script}");
    let id = cri.launch(&pod, &container("main", &["sh", "-c", &twice]));
    assert_eq!(cri.wait_for_exit(&id).exit_code, 0);
    let list: Value = serde_json::from_str(&jobs(&daemon, &["--json"])).expect("JSON");
    let used = &list[0]["remote"]["used"];
    assert!(used["cpuSeconds"].as_f64() > Some(0.02), "{used}");
    assert_eq!(
        list[0]["cpuEfficiency"],
        Value::Null,
        "it asked for nothing"
    );
}

#[test]
fn the_job_that_waits_longest_is_named() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let socket = daemon.socket().display().to_string();
    let status = || {
        let (_, text, _) = command(&["status", "--socket", &socket]);
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("oldestQueued "));
        line.map(str::trim).unwrap_or_default().to_owned()
    };
    assert_eq!(status(), "-");
    for (number, name) in ["first", "second"].into_iter().enumerate() {
        let mut config = sandbox(name);
        let flags = (
            "slurm-job.vk.io/flags".into(),
            format!("-p {name}-partition"),
        );
        config.annotations.extend([flags]);
        let pod = cri.run(&config);
        cri.launch(&pod, &container(name, &["true"]));
        fake.wait_for_requests("/create", number + 1);
    }
    let named = |pod: &str| {
        let end = format!("partition {pod}-partition");
        wait_for(&end, || {
            let line = status();
            (line.contains(&format!("/{pod}, for ")) && line.contains(&end)).then_some(())
        });
    };
    named("first");
    let over = |limit: &str| jobs(&daemon, &["--queued-over", limit, "--sort", "queued"]);
    assert_eq!(over("1h").lines().count(), 1, "the heading");
    assert_eq!(over("1ms").lines().count(), 3);
    fake.set("first", &JobState::Running);
    named("second");
    // How long it waited is known when it has ended as well.
    fake.set("first", &JobState::exited(0));
    wait_for("its end", || {
        let ended = jobs(&daemon, &["--remote", "finished", "--queued-over", "1ms"]);
        ended.contains("lab/first").then_some(())
    });
}

/// Whoever watches goes on through a restart of the daemon, and ends when nobody reads any more.
#[test]
fn a_table_that_is_watched_goes_on_through_a_restart() {
    let fake = Fake::start();
    let mut daemon = Daemon::with(&fake);
    daemon.cri().run(&sandbox("before"));
    let mut watcher = Command::new(env!("CARGO_BIN_EXE_interlink-cri"))
        .args(["jobs", "--watch", "200ms", "--socket"])
        .arg(daemon.socket())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let out = BufReader::new(watcher.stdout.take().expect("a pipe"));
    let mut lines = out.lines().map(|line| line.expect("text"));
    let heading = lines.next().expect("a heading");
    assert!(
        heading.starts_with("POD ") && heading.contains(" EFFICIENCY "),
        "{heading}"
    );
    daemon.kill();
    let mut said = BufReader::new(watcher.stderr.take().expect("a pipe")).lines();
    let said = said.next().expect("a line").expect("text");
    assert!(said.contains("is `interlink-cri serve` running"), "{said}");
    daemon.run();
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("after"));
    cri.launch(&pod, &container("main", &["true"]));
    let row = lines.find(|line| line.starts_with("lab/after "));
    assert!(row.is_some_and(|row| row.contains(" main ")));
    drop(lines);
    assert!(watcher.wait().expect("it ends").success());
}
