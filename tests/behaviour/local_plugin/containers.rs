//! What a container is, how it ends, and whose turn it is.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _};

use serde_json::json;

use super::fixture::{is_alive, pod_of, processes_with, sh, sh_pod, until, Fixture, UID};

#[test]
fn a_container_gets_its_command_environment_and_directory_and_nothing_else() {
    let fixture = Fixture::new();
    let pod = pod_of(json!({"containers": [{
        "name": "main", "image": "busybox",
        "command": ["sh", "-c", "env; pwd; echo \"$0 $1\"; cat; echo err >&2; echo out"],
        "args": ["a b", "$(C)"],
        "env": [
            {"name": "GREETING", "value": "hello\n'world' \"$x\""},
            {"name": "TWICE", "value": "1"}, {"name": "TWICE", "value": "2"},
            {"name": "EMPTY"},
        ],
    }]}));
    let created = fixture.create(&pod);
    assert_eq!(created, json!({"PodUID": UID, "PodJID": "local-0f6e1c1a"}));
    assert_eq!(fixture.end_of(&pod, "main").0, 0);
    let work = fixture.container_dir(UID, "main").join("work");
    let work = work.canonicalize().unwrap().display().to_string();
    let log = fixture.log(&pod, "main", json!({}));
    let (env, rest) = log.split_at(log.rfind(&format!("{work}\na b")).unwrap());
    assert_eq!(rest, format!("{work}\na b $(C)\nerr\nout\n"));
    assert!(env.contains("GREETING=hello\n'world' \"$x\"\n"), "{env}");
    let keys: BTreeSet<_> = env
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, _)| key)
        // These the shell brings along.
        .filter(|key| !["PWD", "SHLVL", "_", "OLDPWD"].contains(key))
        .collect();
    let want = ["EMPTY", "GREETING", "HOME", "HOSTNAME", "PATH", "TWICE"];
    assert_eq!(keys, BTreeSet::from(want));
    for line in [
        "TWICE=2",
        "EMPTY=",
        "HOSTNAME=train-7",
        &format!("HOME={work}"),
    ] {
        assert!(env.lines().any(|one| one == line), "{line} in {env}");
    }
    let status = fixture.status(&pod).unwrap();
    assert_eq!(
        (
            &status["name"],
            &status["namespace"],
            &status["UID"],
            &status["JID"]
        ),
        (
            &json!("train-7"),
            &json!("lab"),
            &json!(UID),
            &json!("local-0f6e1c1a")
        )
    );
    assert_eq!(status["containers"][0]["image"], "busybox");
}

#[test]
fn every_way_to_end() {
    let fixture = Fixture::new();
    let file = |name: &str, text: &str, mode| {
        let path = fixture.dir().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.display().to_string()
    };
    let plain = file("plain", "", 0o644);
    let orphan = file("orphan", "#!/no/such/interpreter\n", 0o755);
    let in_file = json!({"name": "a", "image": "i", "command": ["true"], "workingDir": plain});
    let command = |words: &[&str]| json!({"name": "a", "image": "i", "command": words});
    for (number, (name, container, code, reason, message)) in [
        ("well", sh("a", "exit 0"), 0, "Completed", ""),
        ("badly", sh("a", "exit 7"), 7, "Error", ""),
        (
            "by a signal",
            sh("a", "kill -9 $$"),
            137,
            "Error",
            "ended by signal 9",
        ),
        (
            "by itself",
            sh("a", "kill -TERM $$"),
            143,
            "Error",
            "ended by signal 15",
        ),
        (
            "not found",
            command(&["no-such-tool"]),
            127,
            "StartError",
            "`no-such-tool` not found",
        ),
        (
            "no such file",
            command(&["/no/such"]),
            127,
            "StartError",
            "`/no/such`: no such file",
        ),
        (
            "not executable",
            command(&[&plain]),
            126,
            "StartError",
            "is not executable",
        ),
        (
            "a directory",
            command(&["/usr"]),
            126,
            "StartError",
            "is a directory",
        ),
        (
            "no interpreter",
            command(&[&orphan]),
            127,
            "StartError",
            "needs an interpreter",
        ),
        ("nowhere", in_file, 128, "StartError", "is not a directory"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut pod = pod_of(json!({ "containers": [container] }));
        let uid = format!("00000000-0000-4000-8000-{number:012}");
        pod["metadata"]["uid"] = json!(uid);
        fixture.create(&pod);
        let (got_code, got_reason, got_message) = fixture.end_of(&pod, "a");
        assert_eq!(
            (got_code, got_reason.as_str()),
            (code, reason),
            "{name}: {got_message}"
        );
        assert!(got_message.contains(message), "{name}: {got_message}");
        let end = fixture.state(&pod, "a")["terminated"].clone();
        let time = |key: &str| {
            end[key]
                .as_str()
                .unwrap()
                .parse::<jiff::Timestamp>()
                .unwrap()
        };
        assert!(time("startedAt") <= time("finishedAt"), "{name}: {end}");
        assert!(
            time("finishedAt") <= jiff::Timestamp::now(),
            "{name}: {end}"
        );
    }
}

#[test]
fn main_containers_run_together_and_share_volumes() {
    let fixture = Fixture::new();
    let meet = |own: &str, other: &str| {
        let mut container = sh(
            own,
            &format!(
                "cd $INTERLINK_VOLUME_MEETING_POINT; echo {own} > {own}; \
                 until test -s {other}; do sleep 0.01; done; cat {other}"
            ),
        );
        container["volumeMounts"] = json!([{"name": "meeting-point", "mountPath": "/meet"}]);
        container
    };
    let pod = pod_of(json!({
        "containers": [meet("left", "right"), meet("right", "left")],
        "volumes": [{"name": "meeting-point", "emptyDir": {}}],
    }));
    fixture.create(&pod);
    for (name, other) in [("left", "right\n"), ("right", "left\n")] {
        assert_eq!(fixture.end_of(&pod, name).0, 0);
        assert_eq!(fixture.log(&pod, name, json!({})), other);
    }
}

#[test]
fn init_containers_run_one_by_one_before_the_main_ones() {
    let fixture = Fixture::new();
    let gate = fixture.dir().join("gate");
    let trace = fixture.dir().join("trace");
    let step =
        |name: &str, more: &str| sh(name, &format!("echo {name} >> {}; {more}", trace.display()));
    let wait = format!("until test -e {}; do sleep 0.01; done", gate.display());
    let pod = pod_of(json!({
        "initContainers": [step("first", &wait), step("second", "true")],
        "containers": [step("main", "true")],
    }));
    fixture.create(&pod);
    fixture.wait_for(&pod, "first", "running");
    for name in ["second", "main"] {
        let waiting = fixture.wait_for(&pod, name, "waiting");
        assert_eq!(waiting["reason"], "PodInitializing", "{name}");
    }
    let status = fixture.status(&pod).unwrap();
    assert_eq!(status["initContainers"][0]["ready"], true);
    fs::write(&gate, "").unwrap();
    assert_eq!(fixture.end_of(&pod, "main").0, 0);
    assert_eq!(fs::read_to_string(&trace).unwrap(), "first\nsecond\nmain\n");
}

#[test]
fn the_next_container_starts_without_being_asked_for() {
    let fixture = Fixture::new();
    let mark = fixture.dir().join("mark");
    let pod = pod_of(json!({
        "initContainers": [sh("a", "true"), sh("b", "sleep 0.1"), sh("c", "true")],
        "containers": [sh("main", &format!("touch {}", mark.display()))],
    }));
    fixture.create(&pod);
    until("main has run", || mark.exists());
}

#[test]
fn an_init_container_that_fails_keeps_the_main_ones_from_starting() {
    let fixture = Fixture::new();
    let pod = pod_of(json!({
        "initContainers": [sh("first", "exit 3"), sh("second", "true")],
        "containers": [sh("main", "true")],
    }));
    fixture.create(&pod);
    assert_eq!(fixture.end_of(&pod, "first").0, 3);
    for name in ["second", "main"] {
        let waiting = fixture.wait_for(&pod, name, "waiting");
        let message = waiting["message"].as_str().unwrap();
        assert!(
            message.contains("init container `first` failed"),
            "{message}"
        );
    }
    // Nobody will ever write there, so a follower need not wait.
    assert_eq!(fixture.log(&pod, "main", json!({"Follow": true})), "");
    assert!(!fixture
        .container_dir(UID, "main")
        .join("start.json")
        .exists());
}

#[test]
fn what_a_container_leaves_behind_ends_with_it() {
    let fixture = Fixture::new();
    let pids = fixture.dir().join("pids");
    let pod = sh_pod(&format!(
        "sleep 600 & echo $! >> {0}; (setsid sh -c 'echo $$ >> {0}; exec sleep 600' &); \
         until test $(wc -l < {0}) = 2; do sleep 0.01; done; exit 5",
        pids.display()
    ));
    fixture.create(&pod);
    assert_eq!(fixture.end_of(&pod, "main").0, 5);
    for pid in fs::read_to_string(&pids).unwrap().lines() {
        assert!(!is_alive(pid), "{pid} outlives its container");
    }
}

#[test]
fn the_shim_that_dies_takes_its_container_along() {
    let fixture = Fixture::new();
    let pid = fixture.dir().join("pid");
    let pod = sh_pod(&format!("echo $$ > {}; sleep 600", pid.display()));
    fixture.create(&pod);
    fixture.wait_for(&pod, "main", "running");
    until("it says who it is", || {
        fs::read_to_string(&pid).is_ok_and(|pid| pid.ends_with('\n'))
    });
    let start = fs::read(fixture.container_dir(UID, "main").join("start.json")).unwrap();
    let start: serde_json::Value = serde_json::from_slice(&start).unwrap();
    let shim = rustix::process::Pid::from_raw(start["shim"]["pid"].as_i64().unwrap() as i32);
    rustix::process::kill_process(shim.unwrap(), rustix::process::Signal::KILL).unwrap();
    let (code, reason, _) = fixture.end_of(&pod, "main");
    assert_eq!((code, reason.as_str()), (137, "Lost"));
    let pid = fs::read_to_string(&pid).unwrap();
    until("the container is gone", || !is_alive(&pid));
}

#[test]
fn a_container_is_started_once_however_often_a_shim_is() {
    let fixture = Fixture::new();
    let trace = fixture.dir().join("trace");
    let pod = sh_pod(&format!("echo run >> {}; sleep 600", trace.display()));
    fixture.create(&pod);
    fixture.wait_for(&pod, "main", "running");
    let again = || {
        std::process::Command::new(super::fixture::SHIM)
            .arg("plugin-shim")
            .arg(fixture.container_dir(UID, "main"))
            .status()
            .unwrap()
    };
    assert!(again().success(), "while it runs");
    fixture.delete(&json!({"metadata": {"uid": "0f6e1c1a-9a3b-4a53-8c36-000000000000"}}));
    let text = fixture.dir().display().to_string();
    let shims = processes_with(&text);
    assert!(!shims.is_empty());
    let start = fs::read(fixture.container_dir(UID, "main").join("start.json")).unwrap();
    let start: serde_json::Value = serde_json::from_slice(&start).unwrap();
    let group = start["container"]["pid"].as_i64().unwrap() as i32;
    let group = rustix::process::Pid::from_raw(group).unwrap();
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
    assert_eq!(fixture.end_of(&pod, "main").0, 137);
    assert!(again().success(), "after its end");
    assert_eq!(fs::read_to_string(&trace).unwrap(), "run\n");
}

/// A look at the wrong moment once took a shim that was about to start for one that had died,
/// and killed its container.
#[test]
fn nobody_is_lost_by_being_looked_at_while_starting() {
    let fixture = Fixture::new();
    let pods: Vec<_> = (0..40)
        .map(|number| {
            let mut pod = pod_of(json!({"containers": [sh("a", "true"), sh("b", "true")]}));
            pod["metadata"]["uid"] = json!(format!("00000000-0000-4000-8000-{number:012}"));
            pod
        })
        .collect();
    let all = json!(pods);
    std::thread::scope(|scope| {
        let creator = scope.spawn(|| pods.iter().for_each(|pod| drop(fixture.create(pod))));
        while !creator.is_finished() {
            assert_eq!(fixture.ask("/status", &all).status, 200);
        }
    });
    for pod in &pods {
        for name in ["a", "b"] {
            assert_eq!(
                fixture.end_of(pod, name),
                (0, "Completed".into(), String::new())
            );
        }
    }
}
