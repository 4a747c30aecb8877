//! A plugin in a directory of its own. Whatever a test does, its end ends every process and
//! removes every file.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use interlink_cri::plugin::{http::ListenAddress, Plugin, PluginConfig};
use serde_json::{json, Value};
use tempfile::TempDir;

use super::client::{self, Answer};

pub const SHIM: &str = env!("CARGO_BIN_EXE_interlink-cri");
/// The most that is kept of what a container prints, in bytes.
pub const MAX_OUTPUT: u64 = 1 << 20;
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Fixture {
    pub plugin: Option<Plugin>,
    dir: TempDir,
}

impl Fixture {
    pub fn new() -> Self {
        Self::with_faults(&[])
    }

    pub fn with_faults(faults: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("icp").tempdir().unwrap();
        let mut fixture = Self { plugin: None, dir };
        fixture.start(faults);
        fixture
    }

    /// A directory in which no plugin runs yet.
    pub fn without_plugin() -> Self {
        let dir = tempfile::Builder::new().prefix("icp").tempdir().unwrap();
        Self { plugin: None, dir }
    }

    pub fn start(&mut self, faults: &[&str]) {
        self.plugin = Some(Plugin::start(self.config(faults)).unwrap());
    }

    fn config(&self, faults: &[&str]) -> PluginConfig {
        PluginConfig {
            listen: ListenAddress::Unix(self.socket()),
            token_file: None,
            root: self.root(),
            shim: SHIM.into(),
            max_output_bytes: MAX_OUTPUT,
            faults: faults.iter().map(|fault| fault.parse().unwrap()).collect(),
        }
    }

    /// Stops the plugin; containers go on.
    pub fn stop(&mut self) {
        self.plugin.take().unwrap().stop();
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn root(&self) -> PathBuf {
        self.dir().join("root")
    }

    pub fn socket(&self) -> PathBuf {
        self.dir().join("s")
    }

    pub fn pod_dir(&self, uid: &str) -> PathBuf {
        self.root().join("pods").join(uid)
    }

    pub fn container_dir(&self, uid: &str, container: &str) -> PathBuf {
        self.pod_dir(uid).join("containers").join(container)
    }

    /// Sends one request that must be answered.
    pub fn ask(&self, path: &str, body: &Value) -> Answer {
        self.try_ask(path, body)
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub fn try_ask(&self, path: &str, body: &Value) -> io::Result<Answer> {
        client::ask(&self.socket(), path, body)
    }

    /// Creates a pod that must be taken.
    pub fn create(&self, pod: &Value) -> Value {
        let answer = self.ask("/create", &json!({ "pod": pod }));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    pub fn delete(&self, pod: &Value) -> Answer {
        self.ask("/delete", pod)
    }

    /// The pod's entry in /status, if it is known.
    pub fn status(&self, pod: &Value) -> Option<Value> {
        let answer = self.ask("/status", &json!([pod]));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json().as_array().unwrap().first().cloned()
    }

    /// The state of a container: `{"running": ...}` and the like.
    pub fn state(&self, pod: &Value, container: &str) -> Value {
        let status = self.status(pod).expect("a pod that is known");
        let lists = ["containers", "initContainers"];
        let mut all = lists
            .iter()
            .flat_map(|list| status[list].as_array().unwrap());
        let found = all.find(|one| one["name"] == container);
        found.unwrap_or_else(|| panic!("no {container} in {status}"))["state"].clone()
    }

    /// Waits for a container to be in a state; gives what it says of itself there.
    pub fn wait_for(&self, pod: &Value, container: &str, state: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.state(pod, container);
            if let Some(details) = seen.get(state) {
                return details.clone();
            }
            assert!(Instant::now() < deadline, "{container} is {seen}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for a container's end; gives code, reason and message.
    pub fn end_of(&self, pod: &Value, container: &str) -> (i64, String, String) {
        let end = self.wait_for(pod, container, "terminated");
        let text = |key: &str| end[key].as_str().unwrap_or_default().to_owned();
        (
            end["exitCode"].as_i64().unwrap(),
            text("reason"),
            text("message"),
        )
    }

    /// A container's log, or a part of it.
    pub fn log(&self, pod: &Value, container: &str, opts: Value) -> String {
        let answer = self.ask("/getLogs", &log_request(pod, container, opts));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.is_whole);
        answer.text()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.end_all();
        if !std::thread::panicking() {
            let dir = self.dir().display().to_string();
            until("all processes are gone", || processes_with(&dir).is_empty());
        }
    }
}

impl Fixture {
    /// Ends every pod, also on the way out of a test that failed; so nothing in here panics.
    fn end_all(&mut self) {
        // A test's own faults may be in the way; a plugin that is started now has none.
        self.plugin = None;
        let Ok(plugin) = Plugin::start(self.config(&[])) else {
            return;
        };
        for entry in fs::read_dir(self.root().join("pods"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let uid = entry.file_name().to_string_lossy().into_owned();
            let pod = json!({"metadata": {"uid": uid, "deletionGracePeriodSeconds": 0}});
            if let Err(error) = self.try_ask("/delete", &pod) {
                eprintln!("cannot delete pod {uid}: {error}");
            }
        }
        plugin.stop();
    }
}

pub const UID: &str = "0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a10";

/// A pod of the given spec.
pub fn pod_of(spec: Value) -> Value {
    json!({
        "metadata": {"name": "train-7", "namespace": "lab", "uid": UID},
        "spec": spec,
        "status": {"phase": "Pending"},
    })
}

/// A container that runs a shell script.
pub fn sh(name: &str, script: &str) -> Value {
    json!({"name": name, "image": "busybox", "command": ["sh", "-c", script]})
}

/// A pod of one container `main` that runs a shell script.
pub fn sh_pod(script: &str) -> Value {
    pod_of(json!({ "containers": [sh("main", script)] }))
}

pub fn log_request(pod: &Value, container: &str, opts: Value) -> Value {
    json!({
        "Namespace": pod["metadata"]["namespace"],
        "PodUID": pod["metadata"]["uid"],
        "PodName": pod["metadata"]["name"],
        "ContainerName": container,
        "Opts": opts,
    })
}

/// Waits for a condition, for not longer than patience lasts.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not so in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process exists and is no zombie.
pub fn is_alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| {
        stat.rsplit_once(')')
            .is_some_and(|(_, rest)| !rest.starts_with(" Z"))
    })
}

/// The processes that have a text in their command line or environment.
pub fn processes_with(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.parse::<u32>().is_err() || name == std::process::id().to_string() {
            continue;
        }
        let has = |file: &str| {
            fs::read(entry.path().join(file))
                .is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(text))
        };
        if has("cmdline") || has("environ") {
            found.push(name);
        }
    }
    found
}
