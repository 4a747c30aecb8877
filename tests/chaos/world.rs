//! The processes: the daemon, the plugin, and the relay between them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use interlink_cri::{model::SystemClock, proto::StatusRequest, store::Store, threads::EXIT_CODE};
use parking_lot::Mutex;
use serde_json::Value;

use crate::{
    books::{Books, Count},
    faults::Weather,
    habits::Habits,
    relay::Relay,
    support::{options, ApiServer, Cri, Daemon},
    tenant,
};

/// How long the end of a campaign may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// Times that fit the faults: the plugin acts at most a second after the client gave up, which is
/// well within `unsure_grace`; and a log is not given up while a storm lasts.
const SETTINGS: &str = "
[jobs]
quiet_period = '60ms'
lost_grace = '3s'
lost_polls = 4
[logs]
complete_timeout = '80s'
[interlink]
request_timeout = '1s'
create_timeout = '1s'
unsure_grace = '2500ms'
server_error_retries = 1000
";

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    Daemon,
    Plugin,
    Both,
    /// The relay: connections break, and for a moment nobody listens.
    Proxy,
    /// One thread of the daemon, which takes all of it along.
    Thread,
}

/// Where a planted panic may strike.
const POINTS: [&str; 8] = [
    "dispatch",
    "interlink",
    "poll",
    "follow",
    "follower",
    "journal",
    "cri",
    "grpc",
];
/// How long is waited for one to strike.
const STRIKES_WITHIN: Duration = Duration::from_millis(2500);

pub struct World {
    daemon: Mutex<Daemon>,
    plugin: Mutex<Plugin>,
    relay: Relay,
    api: Option<ApiServer>,
    directory: tempfile::TempDir,
}

impl World {
    pub fn new(habits: Habits, weather: Weather, api: Option<ApiServer>) -> Self {
        let directory = tempfile::Builder::new().prefix("icx").tempdir();
        let directory = directory.expect("a directory");
        let mut plugin = Plugin {
            child: None,
            directory: directory.path().to_owned(),
        };
        plugin.start();
        let relay = Relay::start(plugin.socket(), habits, weather);
        let mut settings = SETTINGS.to_owned() + &habits.settings();
        settings.push_str(tenant::SETTINGS);
        settings = settings.replacen("[logs]\n", &format!("[logs]\n{}", tenant::LOG_SETTINGS), 1);
        if let Some(api) = &api {
            let kubeconfig = directory.path().join("kubeconfig");
            api.kubeconfig(&kubeconfig);
            settings.push_str(&format!("[kubernetes]\nkubeconfig = {kubeconfig:?}\n"));
        }
        let daemon = Daemon::start(&relay.url(), &settings);
        Self {
            daemon: Mutex::new(daemon),
            plugin: Mutex::new(plugin),
            relay,
            api,
            directory,
        }
    }

    pub fn weather(&self) -> &Weather {
        self.relay.weather()
    }

    pub fn relay(&self) -> &Relay {
        &self.relay
    }

    /// The API server, in a campaign that has one.
    pub fn api(&self) -> Option<&ApiServer> {
        self.api.as_ref()
    }

    /// A client of the daemon, whoever that is at the time.
    pub fn cri(&self) -> Cri {
        self.daemon.lock().cri()
    }

    /// Where containers leave their marks.
    pub fn ledger(&self) -> PathBuf {
        self.directory.path().join("ledger")
    }

    /// Below it are the log directories of pods.
    pub fn logs(&self) -> PathBuf {
        self.directory.path().join("logs")
    }

    pub fn daemon_log(&self) -> String {
        self.daemon.lock().log()
    }

    pub fn plugin_log(&self) -> String {
        fs::read_to_string(self.directory.path().join("plugin.log")).unwrap_or_default()
    }

    pub fn memory_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.daemon.lock().pid());
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok())
            .unwrap_or_default()
    }

    /// How the plugin speaks.
    pub fn habits(&self) -> &Habits {
        self.relay.habits()
    }

    /// SIGKILL, a pause, and a new one on the same state.
    pub fn kill_and_restart(&self, victim: Victim, pause: Duration) {
        if victim == Victim::Proxy {
            return self.relay.restart(pause);
        }
        let (daemon, plugin) = (victim != Victim::Plugin, victim != Victim::Daemon);
        let mut daemon = daemon.then(|| self.daemon.lock());
        let mut plugin = plugin.then(|| self.plugin.lock());
        if let Some(plugin) = &mut plugin {
            plugin.kill();
        }
        if let Some(daemon) = &mut daemon {
            daemon.kill();
        }
        thread::sleep(pause);
        if let Some(plugin) = &mut plugin {
            plugin.start();
        }
        if let Some(daemon) = &mut daemon {
            daemon.run();
        }
    }

    /// The daemon is started again with a panic planted at one of its threads, and once more when it
    /// has died of that. Gives who was killed: all of it, where nothing came to that point in time.
    pub fn panic_and_restart(&self, books: &Books, rng: &mut Rng) -> Victim {
        let point = POINTS[rng.usize(0..POINTS.len())];
        {
            let mut daemon = self.daemon.lock();
            daemon.kill();
            daemon.plant(&format!("{point}=panic@{}", rng.u32(1..12)));
            daemon.spawn();
        }
        let deadline = Instant::now() + STRIKES_WITHIN;
        // Not under the lock: clients work with it meanwhile.
        let ended = loop {
            let ended = self.daemon.lock().has_ended();
            if ended.is_some() || Instant::now() > deadline {
                break ended;
            }
            thread::sleep(Duration::from_millis(10));
        };
        if let Some(status) = ended.filter(|status| status.code() != Some(EXIT_CODE)) {
            books.violation(format!(
                "the daemon died of a panic at {point} with {status}"
            ));
        }
        let mut daemon = self.daemon.lock();
        daemon.kill();
        daemon.plant("");
        daemon.run();
        match ended {
            Some(_) => Victim::Thread,
            None => Victim::Daemon,
        }
    }

    /// What the daemon still has to tell the plugin, in its own words.
    fn owed(&self) -> Vec<String> {
        let request = StatusRequest {
            verbose: true,
            ..Default::default()
        };
        let status = self.cri().runtime.status(&request, options());
        let info = status.expect("a status").info;
        let owed = info
            .get("interlink")
            .map(|text| serde_json::from_str::<Value>(text));
        let owed = owed.expect("a part about interLink").expect("JSON");
        let owed = owed["owedCancellations"].as_array().expect("a list");
        owed.iter().map(Value::to_string).collect()
    }

    /// After all pods are removed: waits until nothing is left of them, and looks.
    pub fn settle(&self, books: &Books) {
        let pods = self.directory.path().join("plugin/pods");
        let left = until_empty(|| entries(&pods));
        for uid in left {
            books.count(Count::Leaked);
            books.violation(format!("job {uid} outlives its pod"));
        }
        for uid in self.relay.twice() {
            books.violation(format!("job {uid} was submitted again after it was taken"));
        }
        let owed = until_empty(|| self.owed());
        for what in owed {
            books.count(Count::Leaked);
            books.violation(format!("still owed: {what}"));
        }
        self.daemon.lock().kill();
        let state = self.daemon.lock().path("state");
        let (wake, _woken) = crossbeam_channel::unbounded();
        let store = Store::open(&state, Arc::new(SystemClock), wake).expect("the state opens");
        for pod in store.pods() {
            books.violation(format!(
                "{} is still in the state: {pod:?}",
                pod.full_name()
            ));
        }
        self.plugin.lock().kill();
        for process in until_empty(|| processes_of(self.directory.path())) {
            books.count(Count::Leaked);
            books.violation(format!("a process is left: {process}"));
        }
        books.compare(&fs::read_to_string(self.ledger()).unwrap_or_default());
        for (who, log) in [("daemon", self.daemon_log()), ("plugin", self.plugin_log())] {
            for line in log.lines().filter(|line| has_panicked(line)) {
                books.violation(format!("the {who} says: {line}"));
            }
        }
    }
}

fn has_panicked(line: &str) -> bool {
    line.contains("panicked") && !line.contains("planted at")
}

/// The local plugin.
struct Plugin {
    child: Option<Child>,
    directory: PathBuf,
}

impl Plugin {
    fn socket(&self) -> PathBuf {
        self.directory.join("plugin.sock")
    }

    fn start(&mut self) {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.directory.join("plugin.log"));
        let child = Command::new(env!("CARGO_BIN_EXE_interlink-cri"))
            .args(["plugin", "--log-level", "debug", "--root"])
            .arg(self.directory.join("plugin"))
            .arg("--listen")
            .arg(format!("unix://{}", self.socket().display()))
            .stdout(Stdio::null())
            .stderr(log.expect("a log file"))
            .spawn();
        self.child = Some(child.expect("the plugin starts"));
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("reaped");
        }
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks until nothing is left, or patience; gives what is left.
fn until_empty(mut look: impl FnMut() -> Vec<String>) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = look();
        if left.is_empty() || Instant::now() > deadline {
            return left;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn entries(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Processes whose command, environment or working directory names a directory.
fn processes_of(directory: &Path) -> Vec<String> {
    let name = directory.to_string_lossy();
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for pid in entries(Path::new("/proc")) {
        if pid == own || !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let place = Path::new("/proc").join(&pid);
        let text = |file: &str| {
            let bytes = fs::read(place.join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let cwd = fs::read_link(place.join("cwd")).unwrap_or_default();
        let command = text("cmdline");
        let is_ours = command.contains(&*name) || text("environ").contains(&*name);
        if is_ours || cwd.starts_with(directory) {
            found.push(format!("{pid} {command}"));
        }
    }
    found
}
