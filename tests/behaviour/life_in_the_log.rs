//! What the daemon's own log tells of a pod's life, as JSON: every line parses, and says which pod, job and
//! container it is about.

use std::fs;

use serde_json::Value;

use crate::support::{container, sandbox, wait_for, Daemon, Fake, Fault, JobState};

fn lines(daemon: &Daemon) -> Vec<Value> {
    let log = daemon.log();
    // The last one may be half written.
    let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let parsed = whole.lines().map(|line| {
        let parsed = serde_json::from_str(line);
        parsed.unwrap_or_else(|error| panic!("{error}: {line}"))
    });
    parsed.collect()
}

fn text<'a>(line: &'a Value, key: &str) -> &'a str {
    line[key].as_str().unwrap_or_default()
}

const POD: [&str; 4] = ["namespace", "pod", "pod_uid", "sandbox"];
const JOB: [&str; 6] = ["namespace", "pod", "pod_uid", "sandbox", "job", "jid"];
const CONTAINER: [&str; 8] = [
    "namespace",
    "pod",
    "pod_uid",
    "sandbox",
    "job",
    "jid",
    "container",
    "container_id",
];

/// What a pod's life is at `info`, and which keys each line has.
const LIFE: [(&str, &[&str]); 6] = [
    ("pod sandbox is ready", &POD),
    ("job is submitted", &JOB),
    ("container runs", &CONTAINER),
    ("container has ended", &CONTAINER),
    ("job cleaned up", &JOB),
    ("pod sandbox is removed", &POD),
];

/// Lines of the rooms that deal with pods which are about none, or about all.
const ABOUT_NO_POD: [&str; 6] = [
    "interLink is ready",
    "a call is answered",
    "interLink has answered",
    "interLink has not answered well",
    "interLink cannot be reached",
    "the plugin behind interLink is taken for",
];

#[test]
fn a_life_is_a_handful_of_lines_and_each_says_whose_it_is() {
    let fake = Fake::start();
    let daemon = Daemon::start(&fake.url(), "[daemon]\nlog_format = 'json'");
    let cri = daemon.cri();
    fake.faults("/create", &[Fault::Status(503, "no room")]);
    let pod = cri.run(&sandbox("train"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    fake.wait_for_requests("/create", 2);
    let again = cri.try_create(&pod, &container("main", &["true"]));
    again.expect_err("it is there already");
    fake.set_all(&JobState::Running);
    wait_for("it runs", || {
        daemon.log().contains("container runs").then_some(())
    });
    fake.set_all(&JobState::exited(7));
    cri.wait_for_exit(&id);
    cri.stop_sandbox(&pod);
    wait_for("it is cleaned up", || {
        daemon.log().contains("job cleaned up").then_some(())
    });
    cri.remove_sandbox(&pod);
    wait_for("it is removed", || {
        let log = daemon.log();
        log.contains("pod sandbox is removed").then_some(())
    });
    let all = lines(&daemon);

    let info: Vec<_> = all
        .iter()
        .filter(|line| text(line, "level") == "info" && text(line, "pod") == "train")
        .filter(|line| {
            let message = text(line, "message");
            !message.ends_with("refused") && !message.starts_with("audit: ")
        })
        .collect();
    let said: Vec<_> = info.iter().map(|line| text(line, "message")).collect();
    let life: Vec<_> = LIFE.iter().map(|(message, _)| *message).collect();
    assert_eq!(said, life);
    for (line, (message, keys)) in info.iter().zip(LIFE) {
        for key in keys {
            assert_ne!(text(line, key), "", "{key} of {message}");
        }
        assert_eq!(text(line, "sandbox"), pod);
    }
    assert_eq!(text(info[3], "container_id"), id);
    assert_eq!(info[3]["exit_code"], 7);
    assert_eq!(info[3]["reason"], "Error");

    // A call that failed says so once, with why, and for which job.
    let failed = all.iter().find(|line| text(line, "level") == "warn");
    let failed = failed.expect("a warning");
    assert_eq!(
        text(failed, "message"),
        "job not submitted, to be tried again"
    );
    assert!(text(failed, "error").contains("503"), "{failed}");
    assert_eq!(text(failed, "job"), text(info[1], "job"));
    let refused = all
        .iter()
        .find(|line| text(line, "message") == "CreateContainer refused");
    let refused = refused.expect("a refusal");
    assert_eq!(
        (text(refused, "rpc"), text(refused, "pod")),
        ("CreateContainer", "train")
    );

    // Every call is there at `debug`, with its time and its pod.
    for rpc in [
        "RunPodSandbox",
        "CreateContainer",
        "StartContainer",
        "StopPodSandbox",
    ] {
        let answered = all
            .iter()
            .find(|line| text(line, "message") == "a call is answered" && text(line, "rpc") == rpc);
        let answered = answered.unwrap_or_else(|| panic!("{rpc} is not there"));
        assert!(
            answered["elapsed_ms"].as_f64().is_some_and(|ms| ms > 0.0),
            "{answered}"
        );
        assert_eq!(text(answered, "pod"), "train", "{answered}");
    }
    let post = all
        .iter()
        .rfind(|line| text(line, "call").contains("/create"));
    let post = post.expect("the call to interLink");
    assert!(
        post["elapsed_ms"].is_number() && post["pod"] == "train",
        "{post}"
    );

    // Whatever these rooms say of pods says of which.
    let rooms = ["cri", "worker", "interlink"].map(|room| format!("interlink_cri::{room}"));
    for line in &all {
        let is_of_rooms = rooms
            .iter()
            .any(|room| text(line, "target").starts_with(room));
        let message = text(line, "message");
        let may_lack = ABOUT_NO_POD.iter().any(|known| message.starts_with(known));
        assert!(
            !is_of_rooms || may_lack || !text(line, "pod").is_empty(),
            "about which pod? {line}"
        );
    }
}

#[test]
fn an_outage_is_told_of_all_jobs_at_once() {
    let mut fake = Fake::start();
    let settings =
        "[daemon]\nlog_format = 'json'\n[interlink]\nping_interval = '100ms'\nretry_min = '50ms'";
    let daemon = Daemon::start(&fake.url(), settings);
    let cri = daemon.cri();
    let says = |words: &str| daemon.log().matches(words).count();
    wait_for("it is reached", || {
        (says("interLink is ready") == 1).then_some(())
    });
    fake.down();
    wait_for("it is away", || {
        (says("cannot be reached") == 1).then_some(())
    });
    for name in ["a", "b", "c"] {
        let mut config = sandbox(name);
        config.metadata.mut_or_insert_default().uid = format!("uid-{name}");
        let pod = cri.run(&config);
        cri.launch(&pod, &container("main", &["true"]));
    }
    wait_for("each job was tried", || {
        let tried = lines(&daemon);
        let tried = tried
            .iter()
            .filter(|line| text(line, "message") == "job not submitted, to be tried again");
        let mut pods: Vec<_> = tried.map(|line| text(line, "pod").to_owned()).collect();
        pods.sort();
        pods.dedup();
        (pods.len() == 3).then_some(())
    });
    fake.up();
    wait_for("it is back", || {
        (says("interLink is ready again, after") == 1).then_some(())
    });
    let warnings = lines(&daemon);
    let warnings: Vec<_> = warnings
        .iter()
        .filter(|line| text(line, "level") == "warn")
        .map(|line| text(line, "message"))
        .collect();
    assert_eq!(warnings, ["interLink cannot be reached, 0 jobs wait"]);
}

#[test]
fn a_hangup_changes_level_and_format() {
    let mut daemon = Daemon::prepare("[daemon]\nlog_level = 'warn'");
    daemon.run();
    let again = |level: &str, format: &str| {
        let config = fs::read_to_string(daemon.path("config.toml")).expect("read");
        let others = config.lines().filter(|line| !line.starts_with("log_"));
        let others: Vec<_> = others.collect();
        let new = format!("[daemon]\nlog_level = '{level}'\nlog_format = '{format}'");
        let new = others.join("\n").replacen("[daemon]", &new, 1);
        fs::write(daemon.path("config.toml"), new).expect("written");
        let before = daemon.log().len();
        daemon.hang_up();
        wait_for("a line of the new kind", || {
            // Only a call that is answered tells that the level is what it is.
            let _ = daemon.cri().try_status("none");
            let log = daemon.log().split_off(before);
            // Calls that were answered before have lines of the old kind.
            let (_, since) = log.split_once("are read again")?;
            let mut whole = since.lines().skip(1);
            whole
                .find(|line| line.contains("ContainerStatus"))
                .map(str::to_owned)
        })
    };
    assert!(!daemon.log().contains("INFO"), "{}", daemon.log());
    let line = again("debug", "json");
    let parsed: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(parsed["rpc"], "ContainerStatus");
    let line = again("interlink_cri=debug", "text");
    assert!(
        line.starts_with('[') && line.contains("ContainerStatus refused"),
        "{line}"
    );
    assert!(daemon.log().contains("are read again"));
}

/// systemd says in JOURNAL_STREAM what it has connected standard error with.
#[test]
fn the_journal_gets_priorities() {
    use std::os::unix::fs::MetadataExt as _;

    let mut daemon = Daemon::prepare("");
    let log = fs::File::create(daemon.path("log")).expect("a log");
    let is = log.metadata().expect("its metadata");
    daemon.set_variable("JOURNAL_STREAM", &format!("{}:{}", is.dev(), is.ino()));
    daemon.run();
    let log = daemon.log();
    assert!(
        log.lines()
            .any(|line| line.starts_with("<6>serving the CRI on ")),
        "{log}"
    );
    assert!(log.lines().all(|line| line.starts_with('<')), "{log}");

    let mut other = Daemon::prepare("");
    other.set_variable("JOURNAL_STREAM", "8:1");
    other.run();
    let log = other.log();
    assert!(log.lines().all(|line| line.starts_with('[')), "{log}");
}
