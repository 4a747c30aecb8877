//! No thread dies unseen: whichever panics or ends, the daemon ends with a code of its own and says
//! why, and the next one has all pods. The threads are those that ARCHITECTURE.md lists.

use std::{collections::BTreeSet, fs, path::Path};

use futures_executor::block_on;
use futures_util::StreamExt as _;
use grpcio::{CallOption, RpcStatusCode};
use interlink_cri::{
    proto::{
        ContainerState, GetEventsRequest, ListContainersRequest, RunPodSandboxRequest,
        VersionRequest,
    },
    threads::EXIT_CODE,
};
use protobuf::MessageField;

use crate::support::{
    self, code, container, options, sandbox, wait_for, ApiServer, Cri, Daemon, Fake, JobState,
};

/// A daemon with all its threads, and a pod whose two containers run.
struct Bench {
    daemon: Daemon,
    pod: String,
    containers: Vec<String>,
    /// The rest of the world, for a daemon without an embedded plugin.
    remote: Option<(Fake, ApiServer)>,
    _directory: tempfile::TempDir,
}

impl Bench {
    /// With an interLink server that has to be looked up, and an API server. One log is followed
    /// and the other one polled.
    fn remote() -> Self {
        let (fake, api) = (Fake::start(), ApiServer::start());
        let directory = tempfile::tempdir().expect("a directory");
        let kubeconfig = directory.path().join("kubeconfig");
        api.kubeconfig(&kubeconfig);
        let settings = format!(
            "[kubernetes]\nkubeconfig = {kubeconfig:?}\n[logs]\nfollowers = 1\n\
             [daemon]\nshutdown_timeout = '2s'\n[jobs]\njob_scope = 'containers'\n[metrics]\nlisten = '127.0.0.1:0'\n\
             [node]\ncheck_interval = '50ms'\nlabels = {{ a = 'b' }}"
        );
        let url = fake.url().replace("127.0.0.1", "localhost");
        let mut daemon = Daemon::prepare(&settings);
        daemon.interlink(&url);
        // Nobody is there, which the thread that sends traces bears.
        daemon.set_variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
        daemon.set_variable("OTEL_BSP_SCHEDULE_DELAY", "20");
        daemon.run();
        let mut bench = Self::with(daemon, directory, Some((fake, api)));
        bench.launch();
        bench
    }

    fn embedded() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut bench = Self::with(
            Daemon::embedded_with("[daemon]\nshutdown_timeout = '2s'"),
            directory,
            None,
        );
        bench.launch();
        bench
    }

    fn with(
        daemon: Daemon,
        directory: tempfile::TempDir,
        remote: Option<(Fake, ApiServer)>,
    ) -> Self {
        Self {
            daemon,
            pod: String::new(),
            containers: Vec::new(),
            remote,
            _directory: directory,
        }
    }

    fn launch(&mut self) {
        let cri = self.daemon.cri();
        self.pod = cri.run(&sandbox("kept"));
        for name in ["a", "b"] {
            let config = container(name, &["sleep", "3600"]);
            self.containers.push(cri.launch(&self.pod, &config));
        }
        if let Some((fake, _)) = &self.remote {
            self.submitted(fake, 2);
            fake.set_all(&JobState::Running);
        }
    }

    /// Waits until the plugin has so many of the pod's containers.
    fn submitted(&self, fake: &Fake, count: usize) {
        wait_for("the containers are submitted", || {
            (self.submissions(fake) == count).then_some(())
        });
    }

    /// How many of the pod's containers were submitted in all.
    fn submissions(&self, fake: &Fake) -> usize {
        let requests = fake.requests("/create");
        let containers = requests
            .iter()
            .filter_map(|request| request["pod"]["spec"]["containers"].as_array())
            .flatten();
        let names = containers.filter_map(|container| container["name"].as_str());
        names.filter(|name| ["a", "b"].contains(name)).count()
    }

    /// Starts the daemon anew with a planted death; does what `poke` does until it has died, and
    /// checks how. Then all is as before with the next one. `thread` is its name, or the beginning if
    /// any of several may be the one.
    fn die(&mut self, failpoint: &str, thread: &str, text: &str, poke: impl Fn(&Daemon, usize)) {
        self.daemon.kill();
        let before = self.daemon.log().len();
        self.daemon.plant(failpoint);
        self.daemon.spawn();
        let mut pokes = 0;
        let status = wait_for(&format!("it dies of {failpoint}"), || {
            let ended = self.daemon.has_ended();
            if ended.is_none() {
                pokes += 1;
                poke(&self.daemon, pokes);
            }
            ended
        });
        assert_eq!(status.code(), Some(EXIT_CODE), "{failpoint}: {status}");
        let log = self.daemon.log().split_off(before);
        let lines: Vec<_> = log.lines().filter(|line| is_a_death(line)).collect();
        assert_eq!(lines.len(), 1, "{failpoint}: {lines:#?}");
        for part in ["ERROR", &format!("thread `{thread}"), "` has died: ", text] {
            assert!(lines[0].contains(part), "{failpoint}: {part}: {}", lines[0]);
        }
        // The pod that it happened with, for one that does it after each start.
        let names_a_pod =
            lines[0].contains(" while working on pod lab/") && lines[0].contains(" (pod sandbox ");
        let is_panic_of_worker = failpoint.starts_with("interlink=panic");
        assert_eq!(names_a_pod, is_panic_of_worker, "{failpoint}: {}", lines[0]);
        assert!(log.trim_end().ends_with(lines[0]), "{failpoint}: {log}");
        self.daemon.plant("");
        self.daemon.run();
        self.check(failpoint);
    }

    /// Starts the daemon anew with a thread that will hang, and does things until that is said; then it has to
    /// end in time, and all is as before with the next one.
    fn hang(&mut self, failpoint: &str, thread: &str) {
        let said = format!("thread `{thread}");
        self.with_fault(failpoint, |log| {
            let mut lines = log.lines();
            lines.any(|line| line.contains(&said) && line.contains("has not come back"))
        });
        let status = self.daemon.terminate();
        assert!(
            status.success() || status.code() == Some(75),
            "{failpoint}: {status}"
        );
        self.daemon.plant("");
        self.daemon.run();
        self.check(failpoint);
    }

    /// Starts the daemon anew with an error that will happen, and does things until that is said.
    fn fail(&mut self, fault: &str) {
        let (point, _) = fault.split_once('=').expect("a point");
        let said = format!("planted at `{point}` by a test");
        self.with_fault(fault, |log| log.contains(&said));
        self.check(fault);
    }

    fn with_fault(&mut self, failpoint: &str, is_said: impl Fn(&str) -> bool) {
        self.daemon.kill();
        let before = self.daemon.log().len();
        self.daemon.plant(failpoint);
        self.daemon.spawn();
        self.daemon.cri().wait_until_it_serves();
        if let Some((fake, _)) = &self.remote {
            fake.set_log("a", format!("{failpoint}\n"));
            fake.set_log("b", format!("{failpoint}\n"));
        }
        let mut pokes = 0;
        wait_for(&format!("it is said that {failpoint}"), || {
            if is_said(&self.daemon.log()[before..]) {
                return Some(());
            }
            pokes += 1;
            poke(&self.daemon, pokes);
            None
        });
    }

    fn check(&self, after: &str) {
        let cri = self.daemon.cri();
        for id in &self.containers {
            let state = cri.state(id);
            assert_eq!(state, ContainerState::CONTAINER_RUNNING, "after {after}");
        }
        if let Some((fake, _)) = &self.remote {
            assert_eq!(self.submissions(fake), 2, "after {after}");
        }
    }

    fn threads(&self) -> BTreeSet<String> {
        threads_of(self.daemon.pid())
    }
}

fn is_a_death(line: &str) -> bool {
    line.contains("has died") || line.contains("panicked")
}

/// Names of the threads of a process, as the kernel has them.
fn threads_of(pid: u32) -> BTreeSet<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let names = tasks.into_iter().flatten().flatten();
    // One may end meanwhile.
    names
        .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
        .map(|name| name.trim_end().to_owned())
        .collect()
}

/// Makes the daemon do something of everything; it may die of it.
fn poke(daemon: &Daemon, number: usize) {
    // The kernel would take the signal for the end before the daemon listens.
    if daemon
        .cri()
        .runtime
        .list_containers(&ListContainersRequest::default(), short())
        .is_err()
    {
        return;
    }
    let _ = daemon.metrics();
    let cri = daemon.cri();
    let mut config = sandbox(&format!("poke-{number}"));
    config.metadata.mut_or_insert_default().uid = format!("poke-{number}");
    config.log_directory = daemon
        .path(&format!("logs/poke-{number}"))
        .display()
        .to_string();
    fs::create_dir_all(&config.log_directory).expect("a directory");
    let request = RunPodSandboxRequest {
        config: MessageField::some(config),
        ..Default::default()
    };
    let Ok(pod) = cri.runtime.run_pod_sandbox(&request, short()) else {
        return;
    };
    let config = container("poke", &["sleep", "3600"]);
    if let Ok(id) = cri.try_create(&pod.pod_sandbox_id, &config) {
        let _ = cri.try_start(&id);
    }
}

fn short() -> CallOption {
    CallOption::default().timeout(std::time::Duration::from_millis(500))
}

fn hang_up(daemon: &Daemon, _: usize) {
    if daemon
        .cri()
        .runtime
        .version(&VersionRequest::default(), short())
        .is_ok()
    {
        daemon.hang_up();
    }
}

/// Deaths by panic with a remote plugin: where it is planted, and which thread it is. Some come at
/// the first occasion, some when there was work to do already.
const REMOTE: &[(&str, &str)] = &[
    ("grpc=panic@3", "grpc-0"),
    ("cri=panic", "cri-"),
    ("cri-read=panic", "cri-read-"),
    ("log=panic@3", "log"),
    ("dispatch=panic", "dispatch"),
    ("dispatch=panic@8", "dispatch"),
    ("interlink=panic", "interlink-"),
    ("poll=panic@2", "poll"),
    ("stops=panic", "stops"),
    ("announce=panic@2", "announce"),
    ("node=panic@2", "node"),
    ("follow=panic@3", "follow"),
    ("follower=panic", "follow-0"),
    ("log-poll=panic", "log-poll"),
    // Before the first write of this daemon, and after the second.
    ("journal=panic", "journal"),
    ("journal=panic@4", "journal"),
    ("resolve=panic", "resolve"),
    ("watch=panic@2", "watch"),
    ("metrics=panic@2", "metrics"),
    ("traces=panic@2", "OpenTelemetry.Traces.BatchProcessor"),
];

const EMBEDDED: &[(&str, &str)] = &[
    ("plugin-pods=panic@2", "plugin-pods"),
    ("http-accept=panic", "http-accept"),
    ("http=panic@2", "http-"),
];

/// Threads that return although nobody told them to.
const REMOTE_RETURNS: &[&str] = &[
    "cri-0",
    "dispatch",
    "interlink-0",
    "poll",
    "stops",
    "announce",
    "node",
    "follow",
    "log-poll",
    "journal",
    "watch",
    "metrics",
];

const EMBEDDED_RETURNS: &[&str] = &["plugin-pods", "http-accept"];

fn die_of_panics(bench: &mut Bench, deaths: &[(&str, &str)]) {
    for (failpoint, thread) in deaths {
        let point = failpoint.split('=').next().expect("a point");
        let text = format!(": planted at `{point}`; by a test; the process ends");
        bench.die(failpoint, thread, &text, poke);
    }
}

fn die_of_returns(bench: &mut Bench, names: &[&str]) {
    for name in names {
        let text = "it ended although nobody told it to stop";
        bench.die(&format!("{name}=return"), name, text, poke);
    }
}

#[test]
fn a_thread_that_panics_ends_the_daemon_and_no_pod_is_lost() {
    let mut bench = Bench::remote();
    die_of_panics(&mut bench, REMOTE);
    bench.die("main=panic", "main", "planted at `main`", hang_up);
    bench.die("reload=panic", "reload", "planted at `reload`", hang_up);
    bench.die("signals=panic", "signals", "planted at `signals`", hang_up);
}

#[test]
fn a_thread_of_the_embedded_plugin_too() {
    let mut bench = Bench::embedded();
    die_of_panics(&mut bench, EMBEDDED);
    die_of_returns(&mut bench, EMBEDDED_RETURNS);
}

#[test]
fn a_thread_that_returns_untold_ends_the_daemon() {
    die_of_returns(&mut Bench::remote(), REMOTE_RETURNS);
}

#[test]
fn the_end_itself_is_no_exception() {
    let mut daemon = Daemon::prepare("");
    daemon.plant("grpc-stop=panic");
    daemon.run();
    assert_eq!(daemon.terminate().code(), Some(EXIT_CODE));
    assert!(daemon.log().contains("thread `grpc-stop` has died"));
}

#[test]
fn a_handler_that_panics_answers_and_all_others_go_on() {
    let mut daemon = Daemon::prepare("");
    daemon.plant("handler=panic@6");
    daemon.run();
    let cri = daemon.cri();
    let call = || cri.runtime.version(&VersionRequest::default(), options());
    let answers: Vec<_> = (0..10).map(|_| call()).collect();
    let mut failed = answers.into_iter().filter(Result::is_err);
    let (code, text) = code(failed.next().expect("one failed"));
    assert_eq!(code, RpcStatusCode::INTERNAL);
    assert!(text.contains("planted at `handler`"), "{text}");
    assert!(failed.next().is_none());
    cri.run(&sandbox("fine"));
    assert_eq!(panics(&daemon), 1);
    let log = daemon.log();
    let lines: Vec<_> = log.lines().filter(|line| is_a_death(line)).collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(
        lines[0].contains("ERROR") && lines[0].contains("Version failed: its handler panicked at")
    );
    assert!(daemon.terminate().success());
}

#[test]
fn a_call_to_a_disk_that_panics_is_its_caller_s_fault() {
    let mut daemon = Daemon::prepare("");
    daemon.plant("disk-call=panic");
    daemon.run();
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("fine"));
    let id = cri.create(&pod, &container("main", &["true"]));
    let (code, text) = code(cri.try_start(&id));
    assert_eq!(code, RpcStatusCode::INTERNAL);
    assert!(text.contains("planted at `disk-call`"), "{text}");
    cri.start(&id);
    assert!(daemon.terminate().success());
}

#[test]
fn a_stream_that_panics_ends_and_all_others_go_on() {
    let mut daemon = Daemon::prepare("");
    daemon.plant("stream=panic");
    daemon.run();
    let cri = daemon.cri();
    let events = |cri: &Cri| {
        let request = GetEventsRequest::default();
        let stream = cri.runtime.get_container_events(&request, options());
        stream.expect("a stream")
    };
    let first = block_on(events(&cri).next()).expect("an end");
    let (code, text) = code(first);
    assert_eq!(code, RpcStatusCode::INTERNAL);
    assert!(text.contains("planted at `stream`"), "{text}");
    assert_eq!(panics(&daemon), 1);
    let mut second = events(&cri);
    let runs = (1..).map(|number| cri.run(&sandbox(&format!("seen-{number}"))));
    // The subscription may take a moment.
    let event = std::thread::scope(|scope| {
        let event = scope.spawn(|| block_on(second.next()));
        for _ in runs.take_while(|_| !event.is_finished()) {}
        event.join().expect("an event")
    });
    assert!(event.expect("an event").is_ok());
}

/// Threads of which one hangs that has to come back: where, and the beginning of its name. Those of gRPC, of
/// one connection or log, and those that only wait (`signals`, `main`) say of no time at which they are back.
const HANGS: &[(&str, &str)] = &[
    ("cri=hang", "cri-"),
    ("cri-read=hang", "cri-read-"),
    ("dispatch=hang@4", "dispatch"),
    ("interlink=hang", "interlink-"),
    ("poll=hang@2", "poll"),
    ("stops=hang", "stops"),
    ("announce=hang@2", "announce"),
    ("node=hang@2", "node"),
    ("follow=hang@3", "follow"),
    ("log-poll=hang", "log-poll"),
    ("journal=hang@2", "journal"),
    ("metrics=hang@2", "metrics"),
];

#[test]
fn a_thread_that_hangs_is_said_and_the_daemon_ends_in_time() {
    let mut remote = Bench::remote();
    for (failpoint, thread) in HANGS {
        remote.hang(failpoint, thread);
    }
    let mut embedded = Bench::embedded();
    embedded.hang("plugin-pods=hang@2", "plugin-pods");
}

/// Errors of the system at places where there is no other way to bring them about. What is done there is done
/// again, and nothing is lost.
#[test]
fn an_error_of_the_system_is_said_and_all_goes_on() {
    let mut remote = Bench::remote();
    for fault in ["disk=error@3", "log-file=error", "metrics-accept=error"] {
        remote.fail(fault);
    }
    let mut embedded = Bench::embedded();
    for fault in ["accept=error", "record=error"] {
        embedded.fail(fault);
    }
}

#[test]
fn a_poller_that_hangs_is_said_in_the_log_and_in_status() {
    let fake = Fake::start();
    let mut daemon = Daemon::prepare(
        "[interlink]\nconnect_timeout = '100ms'\nrequest_timeout = '100ms'\nping_interval = '100ms'",
    );
    daemon.interlink(&fake.url());
    daemon.plant("poll=hang@3");
    daemon.run();
    let hangs = wait_for("the thread counts as hung", || {
        let condition = condition(&daemon, "ThreadsReady");
        (condition["status"] == false).then_some(condition)
    });
    let message = hangs["message"].as_str().expect("a message");
    assert!(message.contains("thread `poll` has not come back for"));
    assert_eq!(condition(&daemon, "RuntimeReady")["status"], true);
    wait_for("the log says it once", || {
        let log = daemon.log();
        let mut lines = log
            .lines()
            .filter(|line| line.contains("has not come back"));
        let line = lines.next()?;
        assert!(line.contains("ERROR") && lines.next().is_none(), "{log}");
        Some(())
    });
}

#[test]
fn an_error_of_the_disk_is_an_answer_and_the_next_call_goes_on() {
    let mut daemon = Daemon::prepare("");
    // The state is made by the first one.
    daemon.run();
    daemon.kill();
    daemon.plant("disk=error");
    daemon.run();
    let cri = daemon.cri();
    let request = RunPodSandboxRequest {
        config: MessageField::some(sandbox("first")),
        ..Default::default()
    };
    let refused = cri.runtime.run_pod_sandbox(&request, options());
    let (_, text) = code(refused);
    assert!(text.contains("cannot be written"), "{text}");
    assert!(daemon.log().contains("planted at `disk` by a test"));
    cri.run(&sandbox("first"));
}

/// What an answer says may be what the last one said, and still be news.
#[test]
fn an_answer_that_could_not_be_written_counts_when_it_comes_again() {
    let fake = Fake::start();
    let mut daemon = Daemon::prepare("[metrics]\nlisten = '127.0.0.1:0'");
    daemon.interlink(&fake.url());
    daemon.run();
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("answered"));
    cri.launch(&pod, &container("main", &["true"]));
    // One of the first writes after a start is that of the first answer.
    for write in 1..=3 {
        fake.set_all(&JobState::Queued);
        wait_for_jobs(&daemon, "queued");
        daemon.kill();
        daemon.plant(&format!("disk=error@{write}"));
        fake.set_all(&JobState::Running);
        daemon.run();
        wait_for_jobs(&daemon, "running");
    }
    assert!(daemon.log().contains("cannot keep what the plugin said"));
}

/// Waits until the job counts as one in this state.
fn wait_for_jobs(daemon: &Daemon, state: &str) {
    let metric = format!("interlink_cri_jobs{{state=\"{state}\"}}");
    wait_for(&metric, || {
        (daemon.metric(&metric) == Some(1.0)).then_some(())
    });
}

#[test]
fn a_connection_that_cannot_be_accepted_is_not_the_last_one() {
    let mut bench = Bench::embedded();
    bench.daemon.kill();
    bench.daemon.plant("accept=error");
    bench.daemon.run();
    wait_for("the error shows", || {
        let log = bench.daemon.log();
        log.contains("planted at `accept` by a test").then_some(())
    });
    wait_for("the next connection is served", || {
        (condition(&bench.daemon, "InterLinkReady")["status"] == true).then_some(())
    });
    bench.check("accept=error");
}

/// A condition as `status` shows it.
fn condition(daemon: &Daemon, name: &str) -> serde_json::Value {
    let status = status(daemon);
    let conditions = status["conditions"].as_array().expect("conditions");
    let found = conditions
        .iter()
        .find(|condition| condition["type"] == name);
    found.expect("the condition").clone()
}

fn status(daemon: &Daemon) -> serde_json::Value {
    let socket = daemon.socket().display().to_string();
    let (_, text, _) = support::command(&["status", "--socket", &socket, "-o", "json"]);
    serde_json::from_str(&text).expect("JSON")
}

/// How many panics the daemon has counted.
fn panics(daemon: &Daemon) -> u64 {
    status(daemon)["info"]["daemon"]["counters"]["panics"]
        .as_u64()
        .expect("a number")
}

/// The kinds of threads that ARCHITECTURE.md has a row for: their names, with N for a number.
fn documented() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let text = fs::read_to_string(path).expect("ARCHITECTURE.md");
    let (_, rest) = text
        .split_once("\n## Threads\n")
        .expect("the part about threads");
    let rows = rest.lines().take_while(|line| !line.starts_with("## "));
    let firsts = rows.filter_map(|row| row.strip_prefix("| `")?.split(" | ").next());
    let names = firsts.flat_map(|cell| cell.split(", "));
    names.map(|name| name.replace('`', "")).collect()
}

/// Whether the kernel's name of a thread, cut to 15 bytes, is of a kind.
fn is_of(name: &str, kind: &str) -> bool {
    match kind.strip_suffix('N') {
        Some(prefix) => name
            .strip_prefix(prefix)
            .is_some_and(|number| number.parse::<u64>().is_ok()),
        // The first thread has the program's name.
        None if kind == "main" => name == "interlink-cri",
        None => name == &kind[..kind.len().min(15)],
    }
}

#[test]
fn the_threads_are_those_of_the_documentation() {
    let kinds = documented();
    assert!(kinds.len() > 15, "{kinds:?}");
    let mut remote = Bench::remote();
    remote.daemon.kill();
    remote.daemon.plant("resolve=hang");
    remote.daemon.run();
    let mut embedded = Bench::embedded();
    embedded.daemon.kill();
    embedded.daemon.plant("grpc-stop=hang");
    embedded.daemon.run();
    let mut reloading = Daemon::prepare("");
    reloading.plant("reload=hang");
    reloading.run();
    reloading.hang_up();
    let mut missing = kinds.clone();
    let mut look = |threads: &BTreeSet<String>| {
        for name in threads {
            let kind = kinds.iter().find(|kind| is_of(name, kind));
            let kind = kind.unwrap_or_else(|| panic!("ARCHITECTURE.md has no row for `{name}`"));
            missing.remove(kind);
        }
        missing.clone()
    };
    let mut left = BTreeSet::new();
    wait_for("all but the last one are there", || {
        look(&remote.threads());
        look(&threads_of(reloading.pid()));
        left = look(&embedded.threads());
        (left.len() <= 1).then_some(())
    });
    assert_eq!(left, BTreeSet::from(["grpc-stop".to_owned()]));
    embedded.daemon.signal_end();
    wait_for("the last one is there", || {
        look(&embedded.threads()).is_empty().then_some(())
    });
}

/// Whoever adds a thread adds how it dies.
#[test]
fn each_kind_of_thread_has_died_here() {
    let dead: Vec<_> = [REMOTE, EMBEDDED].concat();
    let has_died = |kind: &str| {
        let name = kind.trim_end_matches('N');
        dead.iter()
            .any(|(_, thread)| *thread == kind || kind.ends_with('N') && thread.starts_with(name))
    };
    let by_hand = ["main", "signals", "grpc-stop", "disk-N", "reload"];
    // No code of ours runs there.
    let of_grpc = [
        "default-executor",
        "resolver-executor",
        "event_engine",
        "timer_manager",
        "grpc_global_timer",
    ];
    for kind in documented() {
        let exempt = by_hand.contains(&&*kind) || of_grpc.contains(&&*kind);
        assert!(exempt || has_died(&kind), "no test kills `{kind}`");
    }
}
