//! `run-pod` against the embedded plugin: real processes, end to end.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
};

use interlink_cri::proto::ListPodSandboxRequest;

use crate::support::{command, options, Daemon};

struct Ran {
    code: i32,
    output: String,
    error: String,
}

fn run(daemon: &Daemon, manifest: &str, more: &[&str]) -> Ran {
    let file = daemon.path("pod.yaml");
    fs::write(&file, manifest).expect("written");
    let (file, socket) = (
        file.display().to_string(),
        daemon.socket().display().to_string(),
    );
    let arguments = [
        &["run-pod", &file, "--socket", &socket, "--timeout", "60s"],
        more,
    ]
    .concat();
    let temporary = daemon.path("tmp");
    fs::create_dir_all(&temporary).expect("made");
    let (code, output, error) = crate::support::command_with(&arguments, &[("TMPDIR", &temporary)]);
    Ran {
        code,
        output,
        error,
    }
}

fn pod(spec: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: test}}\nspec: {spec}\n")
}

#[test]
fn init_containers_then_the_others_with_env_and_arguments() {
    let daemon = Daemon::embedded();
    let ran = run(
        &daemon,
        &pod(
            "{initContainers: [{name: first, image: a, command: [sh, -c, 'echo prepared']}], \
              containers: [{name: main, image: a, command: [sh, -c, 'echo \"$GREETING $0\"'], \
              args: [world], env: [{name: GREETING, value: hello}]}, \
              {name: side, image: a, command: [echo, aside]}]}",
        ),
        &[],
    );
    assert_eq!(ran.code, 0, "{}", ran.error);
    let lines: Vec<_> = ran.output.lines().map(str::trim).collect();
    assert_eq!(lines[0], "first | prepared");
    assert!(lines.contains(&"main  | hello world"), "{lines:?}");
    assert!(lines.contains(&"side  | aside"), "{lines:?}");
    assert!(ran.error.contains("stopped and removed"), "{}", ran.error);
}

#[test]
fn the_pods_result_is_the_exit_code() {
    let daemon = Daemon::embedded();
    let one = |command: &str| {
        pod(&format!(
            "{{containers: [{{name: main, image: a, command: {command}}}]}}"
        ))
    };
    for (command, code) in [
        ("[sh, -c, 'exit 7']", 7),
        ("[sh, -c, 'kill -TERM $$$$']", 143),
        ("[sh, -c, 'kill -KILL $$$$']", 137),
        ("[/no/such/program]", 127),
    ] {
        let ran = run(&daemon, &one(command), &[]);
        assert_eq!(ran.code, code, "{command}: {}", ran.error);
    }
    let failing = pod(
        "{initContainers: [{name: first, image: a, command: ['false']}], \
         containers: [{name: main, image: a, command: [echo, never]}]}",
    );
    let ran = run(&daemon, &failing, &[]);
    assert_eq!(
        (ran.code, ran.output.contains("never")),
        (1, false),
        "{}",
        ran.error
    );
}

#[test]
fn a_container_without_a_command_is_refused_with_the_reason() {
    let daemon = Daemon::embedded();
    let ran = run(&daemon, &pod("{containers: [{name: main, image: a}]}"), &[]);
    assert_eq!(ran.code, 128, "{}", ran.error);
    assert!(
        ran.error.contains("SubmissionFailed") && ran.error.contains("command"),
        "{}",
        ran.error
    );
}

#[test]
fn a_kept_pod_shows_in_jobs() {
    let daemon = Daemon::embedded();
    let manifest = pod("{containers: [{name: main, image: a, command: ['true']}]}");
    let ran = run(&daemon, &manifest, &["--keep"]);
    assert_eq!(ran.code, 0, "{}", ran.error);
    let kept = ran
        .error
        .lines()
        .find_map(|line| line.split("its logs are in ").nth(1));
    let kept = PathBuf::from(kept.expect("it says where"));
    assert!(kept.is_dir());
    fs::remove_dir_all(kept).expect("removed");
    let socket = daemon.socket().display().to_string();
    let (code, table, _) = command(&["jobs", "--socket", &socket]);
    assert_eq!(code, 0);
    let row: Vec<_> = table
        .lines()
        .nth(1)
        .expect("a row")
        .split_whitespace()
        .collect();
    assert_eq!(
        (row[0], row[1], row[3], row[4]),
        ("default/test", "main", "exited", "finished")
    );
    let (_, json, _) = command(&["jobs", "--socket", &socket, "-o", "json"]);
    let rows: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(rows[0]["remote"]["job"]["submission"], "Finished");
}

#[test]
fn manifests_that_cannot_run_say_why() {
    let daemon = Daemon::embedded();
    for (manifest, word) in [
        ("nonsense: [", "not a Pod"),
        ("metadata: {name: a}\nspec: {containers: []}", "containers"),
        (
            "metadata: {name: a}\nspec: {containers: [{name: c, image: i, envFrom: [{configMapRef: {name: x}}]}]}",
            "ConfigMap `x` is not there",
        ),
        (
            "metadata: {name: a}\nspec: {containers: [{name: c, image: i}], volumes: [{name: v, projected: {sources: [{serviceAccountToken: {path: t}}]}}]}",
            "--service-account-token",
        ),
    ] {
        let ran = run(&daemon, manifest, &[]);
        assert_eq!(ran.code, 1, "{manifest}");
        assert!(ran.error.contains(word), "{word} is not in: {}", ran.error);
    }
    let left = fs::read_dir(daemon.path("tmp")).expect("lists").count();
    assert_eq!(left, 0, "nothing is left behind");
}

#[test]
fn the_examples_run() {
    let daemon = Daemon::embedded();
    let examples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples");
    for (name, code) in [("hello.yaml", 0), ("failing.yaml", 7)] {
        let manifest = fs::read_to_string(examples.join(name)).expect("an example");
        let ran = run(&daemon, &manifest, &[]);
        assert_eq!(ran.code, code, "{name}: {}", ran.error);
    }
}

#[test]
fn what_stands_beside_a_pod_arrives_in_its_volumes() {
    let root = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::embedded_with(&format!("[pods]\nkubelet_root = {:?}\n", root.path()));
    let examples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples");
    let manifest = fs::read_to_string(examples.join("volumes.yaml")).expect("an example");
    let token = daemon.path("token");
    fs::write(&token, "eyJhbGciOi\n").expect("written");
    let (root_text, token) = (
        root.path().display().to_string(),
        token.display().to_string(),
    );
    let more = [
        "--kubelet-root",
        &root_text,
        "--service-account-token",
        &token,
    ];
    let ran = run(&daemon, &manifest, &more);
    assert_eq!(ran.code, 0, "{}", ran.error);
    let lines: Vec<_> = ran
        .output
        .lines()
        .filter_map(|line| line.split("| ").nth(1))
        .collect();
    for want in [
        "learning_rate = 0.01",
        "training with 2 settings",
        "hunter2",
        "  with mode 400",
        "eyJhbGciOi",
        "default",
        "app=\"train\"",
        "variable:     hunter2",
    ] {
        assert!(lines.contains(&want), "{want} is not in {lines:?}");
    }
    let left = fs::read_dir(root.path().join("pods"))
        .expect("lists")
        .count();
    assert_eq!(left, 0, "nothing is left behind");
}

/// A `run-pod` that goes on, and what it prints.
fn spawn(daemon: &Daemon, script: &str) -> (Child, BufReader<ChildStdout>) {
    let file = daemon.path("pod.yaml");
    let containers =
        format!("{{containers: [{{name: main, image: a, command: [sh, -c, '{script}']}}]}}");
    fs::write(&file, pod(&containers)).expect("written");
    let temporary = daemon.path("tmp");
    fs::create_dir_all(&temporary).expect("made");
    let mut child = Command::new(env!("CARGO_BIN_EXE_interlink-cri"))
        .arg("run-pod")
        .arg(&file)
        .arg("--socket")
        .arg(daemon.socket())
        .env("TMPDIR", &temporary)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    (child, output)
}

/// As `run-pod ... | head -1` does.
#[test]
fn a_reader_that_goes_away_ends_the_pod() {
    let daemon = Daemon::embedded();
    let (child, mut output) = spawn(&daemon, "while :; do echo again; sleep 0.05; done");
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    assert!(line.contains("main | again"), "{line}");
    drop(output);
    let ended = child.wait_with_output().expect("ended");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(141), "{said}");
    assert!(
        said.contains("stopped and removed") && !said.contains("panicked"),
        "{said}"
    );
    let list = ListPodSandboxRequest::default();
    let list = daemon.cri().runtime.list_pod_sandbox(&list, options());
    assert!(list.expect("listed").items.is_empty());
    let left = fs::read_dir(daemon.path("tmp"))
        .expect("a directory")
        .count();
    assert_eq!(left, 0, "its logs are gone, too");
}

/// As a package's upgrade does.
#[test]
fn a_restart_of_the_daemon_goes_unnoticed() {
    let mut daemon = Daemon::embedded();
    let go = daemon.path("go");
    let script = format!(
        "echo begun; while ! test -e {}; do sleep 0.05; done; echo goes on; exit 5",
        go.display()
    );
    let (child, mut output) = spawn(&daemon, &script);
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    assert!(line.contains("main | begun"), "{line}");
    assert!(daemon.terminate().success());
    daemon.run();
    fs::write(&go, "").expect("written");
    let ended = child.wait_with_output().expect("ended");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(5), "{said}");
    line.clear();
    output.read_line(&mut line).expect("a line");
    assert!(line.contains("main | goes on"), "{line}");
    assert!(said.contains("stopped and removed"), "{said}");
}
