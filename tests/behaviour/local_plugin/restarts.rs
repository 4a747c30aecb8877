//! Plugins come and go; containers stay.

use std::{
    fs,
    os::unix::net::UnixStream,
    process::{Child, Command, Stdio},
};

use serde_json::{json, Value};

use super::fixture::{is_alive, pod_of, sh, sh_pod, until, Fixture, SHIM, UID};

/// A plugin as a process of its own, killed at the end without ado.
struct Process(Child);

impl Process {
    fn start(fixture: &Fixture) -> Self {
        let child = command(fixture).stdout(Stdio::null()).spawn().unwrap();
        // Its own from here on: whatever fails, it is killed.
        let process = Self(child);
        let socket = fixture.socket();
        until("it listens", || UnixStream::connect(&socket).is_ok());
        process
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(fixture: &Fixture) -> Command {
    let mut command = Command::new(SHIM);
    command
        .arg("plugin")
        .arg("--listen")
        .arg(format!("unix://{}", fixture.socket().display()))
        .arg("--root")
        .arg(fixture.root());
    command
}

/// The processes whose parent is `pid`, with their states.
fn children_of(pid: &str) -> Vec<String> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((_, rest)) = stat.rsplit_once(") ") else {
            continue;
        };
        if rest.split(' ').nth(1) == Some(pid) {
            children.push(stat);
        }
    }
    children
}

#[test]
fn a_killed_plugin_s_successor_knows_what_ran_what_ended_and_what_waits() {
    let mut fixture = Fixture::without_plugin();
    let (gate, trace) = (fixture.dir().join("gate"), fixture.dir().join("trace"));
    let pod = pod_of(json!({
        "initContainers": [sh("init", &format!(
            "echo init >> {1}; until test -e {0}; do sleep 0.01; done",
            gate.display(), trace.display(),
        ))],
        "containers": [sh("main", &format!("echo main >> {}; exit 4", trace.display()))],
    }));
    let mut ended = sh_pod("echo bye; exit 9");
    ended["metadata"]["uid"] = json!("00000000-0000-4000-8000-000000000001");
    let mut lasting = sh_pod("echo $$; exec sleep 600");
    lasting["metadata"]["uid"] = json!("00000000-0000-4000-8000-000000000002");

    let first = Process::start(&fixture);
    for pod in [&pod, &ended, &lasting] {
        fixture.create(pod);
    }
    fixture.wait_for(&pod, "init", "running");
    fixture.wait_for(&lasting, "main", "running");
    assert_eq!(fixture.end_of(&ended, "main").0, 9);
    let started = fixture.state(&lasting, "main");
    drop(first);

    // What happens while nobody is there is not missed.
    fs::write(&gate, "").unwrap();
    let exit = fixture.container_dir(UID, "init").join("exit.json");
    until("init ends", || exit.exists());
    fixture.start(&[]);
    assert_eq!(fixture.end_of(&pod, "init").0, 0);
    assert_eq!(fixture.end_of(&pod, "main").0, 4);
    assert_eq!(fixture.end_of(&ended, "main").0, 9);
    assert_eq!(fixture.log(&ended, "main", json!({})), "bye\n");
    assert_eq!(fixture.state(&lasting, "main"), started);
    assert_eq!(
        fs::read_to_string(&trace).unwrap(),
        "init\nmain\n",
        "each once"
    );

    let pid = fixture.log(&lasting, "main", json!({}));
    assert!(is_alive(&pid));
    assert!(fixture.delete(&lasting).text().contains("is gone"));
    assert!(!is_alive(&pid));
}

#[test]
fn a_deletion_is_carried_out_by_the_next_plugin() {
    let mut fixture = Fixture::without_plugin();
    let ready = fixture.dir().join("ready");
    let pod = sh_pod(&format!(
        "trap '' TERM; touch {}; while :; do sleep 0.02; done",
        ready.display()
    ));
    let first = Process::start(&fixture);
    fixture.create(&pod);
    until("it runs", || ready.exists());
    let start = fs::read(fixture.container_dir(UID, "main").join("start.json")).unwrap();
    let start: Value = serde_json::from_slice(&start).unwrap();
    let pid = start["container"]["pid"].to_string();
    let mut patient = pod.clone();
    patient["metadata"]["deletionGracePeriodSeconds"] = json!(6);
    std::thread::scope(|scope| {
        let request = scope.spawn(|| fixture.try_ask("/delete", &patient));
        let file = fixture.pod_dir(UID).join("deletion.json");
        until("it is on record", || file.exists());
        drop(first);
        assert!(request.join().unwrap().is_err(), "nobody could answer");
    });
    assert!(is_alive(&pid));
    fixture.start(&[]);
    until("nobody has to ask again", || !fixture.pod_dir(UID).exists());
    assert!(!is_alive(&pid));
}

#[test]
fn two_plugins_on_one_root_do_not_happen() {
    let fixture = Fixture::new();
    let output = command(&fixture).output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("another local plugin runs on"), "{text}");
}

#[test]
fn a_plugin_reaps_its_shims_and_ends_on_sigterm() {
    let fixture = Fixture::without_plugin();
    let mut process = Process::start(&fixture);
    let pod = pod_of(json!({"containers": [sh("a", "true"), sh("b", "exit 1")]}));
    fixture.create(&pod);
    fixture.end_of(&pod, "a");
    fixture.end_of(&pod, "b");
    until("no zombies", || children_of(&process.pid()).is_empty());
    let pid = rustix::process::Pid::from_child(&process.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(process.0.wait().unwrap().success());
    assert!(!fixture.socket().exists());
}

#[test]
fn stopping_does_not_wait_for_anybody() {
    let mut fixture = Fixture::new();
    let pod = sh_pod("trap '' TERM; while :; do sleep 0.05; done");
    fixture.create(&pod);
    fixture.wait_for(&pod, "main", "running");
    let socket = fixture.socket();
    let follow = super::fixture::log_request(&pod, "main", json!({"Follow": true}));
    let waiting: Vec<_> = [("/delete", pod.clone()), ("/getLogs", follow)]
        .into_iter()
        .map(|(path, body)| {
            let socket = socket.clone();
            std::thread::spawn(move || super::client::ask(&socket, path, &body))
        })
        .collect();
    let file = fixture.pod_dir(UID).join("deletion.json");
    until("somebody waits", || file.exists());
    let begin = std::time::Instant::now();
    fixture.stop();
    // The deletion alone would take the default grace period of 30 s.
    assert!(begin.elapsed() < std::time::Duration::from_secs(20));
    for waiting in waiting {
        let _ = waiting.join().unwrap();
    }
}
