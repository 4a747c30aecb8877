//! What behaviour tests stand on: the real daemon in a directory of its own, a CRI client, and a
//! scripted interLink server. Everything ends with its owner; waiting is for a condition, with a
//! deadline.
#![allow(
    dead_code,
    unused_imports,
    reason = "each test file takes what it needs"
)]

mod api_server;
mod collector;
mod create_form;
mod cri;
mod fake;
mod flood;
mod hung;
mod listener;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

pub use self::{
    api_server::{ApiServer, TOKEN},
    collector::{Collector, Span, Takes},
    create_form::CreateForm,
    cri::{code, container, options, sandbox, Cri, UID},
    fake::{Fake, Fault, FirstOnly, JobState, JOB_NUMBER},
    flood::Flood,
    hung::Hung,
};

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(60);
const BINARY: &str = env!("CARGO_BIN_EXE_interlink-cri");

/// Short times, so that tests take little of it.
const SETTINGS: &str = "
[jobs]
quiet_period = '80ms'
poll_min = '40ms'
poll_max = '150ms'
lost_polls = 3
lost_grace = '400ms'
stop_patience = '2s'
[interlink]
retry_min = '40ms'
retry_max = '300ms'
request_timeout = '2s'
create_timeout = '2s'
unsure_grace = '400ms'
ping_interval = '200ms'
[logs]
poll_interval = '200ms'
complete_timeout = '5s'
[metrics]
listen = 'off'
";

/// Waits until a condition gives something.
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} in vain: {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The daemon: the real binary, in a directory of its own. Killed on drop; its log is shown when
/// the test fails.
pub struct Daemon {
    child: Option<Child>,
    directory: tempfile::TempDir,
    arguments: Vec<String>,
    failpoint: String,
    environment: Vec<(String, String)>,
    umask: Option<String>,
}

impl Daemon {
    /// A daemon that talks to an interLink server.
    pub fn with(fake: &Fake) -> Self {
        Self::start(&fake.url(), "")
    }

    /// A daemon with more settings, as TOML.
    pub fn start(url: &str, settings: &str) -> Self {
        let mut daemon = Self::prepare(settings);
        daemon.interlink(url);
        daemon.run();
        daemon
    }

    /// A daemon that runs containers as processes of this machine.
    pub fn embedded() -> Self {
        Self::embedded_with("")
    }

    /// The same, with more settings.
    pub fn embedded_with(settings: &str) -> Self {
        let mut daemon = Self::prepare(settings);
        daemon.embed();
        daemon.run();
        daemon
    }

    /// Lets the next one that is started talk to an interLink server.
    pub fn interlink(&mut self, url: &str) {
        self.arguments = vec!["--interlink-url".into(), url.into()];
    }

    /// A daemon that is not started yet.
    pub fn prepare(settings: &str) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("icri")
            .tempdir()
            .expect("a directory");
        fs::write(directory.path().join("config.toml"), merged(settings)).expect("writes");
        Self {
            child: None,
            directory,
            arguments: Vec::new(),
            failpoint: String::new(),
            environment: Vec::new(),
            umask: None,
        }
    }

    /// What the next one that is started dies of, in the words of `src/threads/failpoint.rs`; of
    /// nothing if that is empty.
    pub fn plant(&mut self, failpoint: &str) {
        failpoint.clone_into(&mut self.failpoint);
    }

    /// The umask of the next one that is started.
    pub fn set_umask(&mut self, umask: &str) {
        self.umask = Some(umask.to_owned());
    }

    /// A variable in the environment of the next one that is started.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Lets the next one that is started run containers as processes of this machine.
    pub fn embed(&mut self) {
        self.arguments = vec!["--embedded-plugin".into()];
    }

    /// Starts it, without waiting for it to serve.
    pub fn spawn(&mut self) {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"));
        self.spawn_with_log(log.expect("a log file").into());
    }

    /// The same, with a log that goes into a pipe; gives the end that somebody may read.
    pub fn spawn_with_piped_log(&mut self) -> std::io::PipeReader {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        self.spawn_with_log(writer.into());
        reader
    }

    fn spawn_with_log(&mut self, log: Stdio) {
        let command = match &self.umask {
            None => Command::new(BINARY),
            Some(umask) => {
                let mut shell = Command::new("sh");
                let script = format!("umask {umask} && exec \"$0\" \"$@\"");
                shell.args(["-c", &script, BINARY]);
                shell
            }
        };
        let mut command = command;
        let child = command
            .arg("serve")
            .args(self.log_level())
            .arg("--config")
            .arg(self.path("config.toml"))
            .arg("--socket")
            .arg(self.socket())
            .arg("--state-dir")
            .arg(self.path("state"))
            .args(&self.arguments)
            .env("INTERLINK_FAILPOINT", &self.failpoint)
            .envs(self.environment.iter().cloned())
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("the daemon starts"));
    }

    /// The flag for the level of its log, which is `debug` unless the configuration says another.
    fn log_level(&self) -> &'static [&'static str] {
        let config = fs::read_to_string(self.path("config.toml")).expect("a configuration");
        match config.contains("log_level") {
            true => &[],
            false => &["--log-level", "debug"],
        }
    }

    /// Starts it, and waits until it answers.
    pub fn run(&mut self) {
        self.spawn();
        self.cri().wait_until_it_serves();
    }

    /// Ends it the hard way.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("killed");
        child.wait().expect("reaped");
    }

    /// Kills it and starts it again on the same state.
    pub fn kill_and_restart(&mut self) {
        self.kill();
        self.run();
    }

    /// Sends SIGTERM.
    pub fn signal_end(&self) {
        let pid = rustix::process::Pid::from_child(self.child.as_ref().expect("it runs"));
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signalled");
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal_end();
        let mut child = self.child.take().expect("it runs");
        wait_for("the daemon ends", || child.try_wait().expect("waited"))
    }

    /// Sends SIGHUP.
    pub fn hang_up(&self) {
        let pid = rustix::process::Pid::from_child(self.child.as_ref().expect("it runs"));
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("signalled");
    }

    /// How it ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        let child = self.child.as_mut().expect("it was started");
        child.try_wait().expect("waited")
    }

    /// Waits for it to end by itself.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        wait_for("the daemon ends", || child.try_wait().expect("waited"))
    }

    /// The process id of the one that runs.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Lets it take no more memory than it has now and so much. The kernel counts what is reserved as well,
    /// of which the gRPC core and the threads have some hundreds of megabytes from the beginning.
    pub fn limit_memory(&self, more: u64) {
        let most = Some(self.memory("VmData") + more);
        let limit = rustix::process::Rlimit {
            current: most,
            maximum: most,
        };
        let pid = rustix::process::Pid::from_child(self.child.as_ref().expect("it runs"));
        rustix::process::prlimit(Some(pid), rustix::process::Resource::Data, limit)
            .expect("limited");
    }

    /// A figure of its memory in `/proc/PID/status`, in bytes: `VmHWM` is the most that it has had.
    pub fn memory(&self, figure: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(figure));
        let kib = line.and_then(|line| line.trim_matches([':', '\t', ' ']).split(' ').next());
        kib.and_then(|kib| kib.trim().parse::<u64>().ok())
            .expect("a figure")
            << 10
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn socket(&self) -> PathBuf {
        self.path("cri.sock")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The number of cancellations that it still owes the plugin.
    pub fn owed_cancellations(&self) -> usize {
        let socket = self.socket().display().to_string();
        let (_, text, _) = command(&["status", "--socket", &socket, "-o", "json"]);
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        value["info"]["interlink"]["owedCancellations"]
            .as_array()
            .map_or(0, Vec::len)
    }

    /// What `GET /metrics` gives, of a daemon with `metrics.listen = '127.0.0.1:0'`.
    pub fn metrics(&self) -> Option<String> {
        let log = self.log();
        let (_, rest) = log.rsplit_once("metrics are served on http://")?;
        let (address, _) = rest.split_once("/metrics")?;
        let stream = TcpStream::connect(address).ok()?;
        // Its thread may be the one that hangs.
        let patience = Some(Duration::from_secs(5));
        stream.set_read_timeout(patience).ok()?;
        get(stream, "/metrics").ok()
    }

    /// A metric's value, labels as they are written included in its name.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let text = self.metrics()?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line?.parse().ok()
    }

    /// A client of it, whose pods log below its directory.
    pub fn cri(&self) -> Cri {
        Cri::new(&self.socket(), &self.path("logs"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the daemon's log ---\n{}", self.log());
        }
    }
}

/// The test settings with others on top, key by key.
fn merged(settings: &str) -> String {
    let mut table: toml::Table = SETTINGS.parse().expect("good settings");
    let more: toml::Table = settings.parse().expect("good settings");
    for (section, keys) in more {
        let own = table
            .entry(section)
            .or_insert_with(|| toml::Table::new().into());
        let (Some(own), toml::Value::Table(keys)) = (own.as_table_mut(), keys) else {
            panic!("sections only");
        };
        own.extend(keys);
    }
    table.to_string()
}

/// The answer to a GET, its head included.
pub fn get(mut stream: impl Read + Write, path: &str) -> std::io::Result<String> {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Runs a command of the binary to its end: exit code, standard output, standard error.
pub fn command(arguments: &[&str]) -> (i32, String, String) {
    command_with(arguments, &[])
}

/// The same, with more environment variables.
pub fn command_with(arguments: &[&str], environment: &[(&str, &Path)]) -> (i32, String, String) {
    let output = Command::new(BINARY)
        .args(arguments)
        .stdin(Stdio::null())
        .env("NO_COLOR", "1")
        .envs(environment.iter().copied())
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (
        output.status.code().unwrap_or(-1),
        text(output.stdout),
        text(output.stderr),
    )
}

/// What a file has of whole lines. Who reads while it is written sees some pages of a write before the others.
pub fn whole_lines(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap_or_default();
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    bytes.truncate(end.map_or(0, |at| at + 1));
    bytes
}

/// The contents of a CRI log file so far, parts joined; every line must be well formed.
pub fn log_text(path: &Path) -> String {
    contents(&whole_lines(path)).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// The contents of a file that nobody writes, for those who can do something about a line that is not well formed.
pub fn read_log(path: &Path) -> Result<String, String> {
    contents(&fs::read(path).unwrap_or_default())
}

fn contents(log: &[u8]) -> Result<String, String> {
    let mut text = Vec::new();
    for line in log.split_inclusive(|byte| *byte == b'\n') {
        let wrong = |what: &str| format!("{what}: {:?}", String::from_utf8_lossy(line));
        let line = line.strip_suffix(b"\n").ok_or_else(|| wrong("torn"))?;
        let mut fields = line.splitn(4, |byte| *byte == b' ');
        let time = String::from_utf8_lossy(fields.next().unwrap_or_default());
        if !time.ends_with('Z') || !time.contains('T') {
            return Err(wrong("no time"));
        }
        if fields.next() != Some(&b"stdout"[..]) {
            return Err(wrong("no stream"));
        }
        let tag = fields.next().ok_or_else(|| wrong("no tag"))?;
        text.extend_from_slice(fields.next().ok_or_else(|| wrong("no content"))?);
        match tag {
            b"F" => text.push(b'\n'),
            b"P" => {}
            _ => return Err(wrong("unknown tag")),
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}
