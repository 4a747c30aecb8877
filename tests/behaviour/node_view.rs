//! `node-view`: what a kubelet sees of its machine, what others see of that, and what is left.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
};

use rustix::mount::{unmount, UnmountFlags};
use serde_json::json;

use crate::support::{command, wait_for, Fake};

const BINARY: &str = env!("CARGO_BIN_EXE_interlink-cri");

/// Whether namespaces can be made here. Says so when not.
fn can_mount() -> bool {
    let made = Command::new("unshare").args(["--mount", "true"]).output();
    let can = made.is_ok_and(|output| output.status.success());
    if !can {
        println!("skipped: no mount namespace can be made here; run as root");
    }
    can
}

/// A kubelet's root directory, unmounted at the end.
struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn flag(&self) -> String {
        format!("--root-dir={}", self.0.path().display())
    }

    fn path(&self) -> PathBuf {
        self.0.path().canonicalize().expect("it is there")
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // Nothing is mounted where a test went wrong.
        let _ = unmount(self.path().as_path(), UnmountFlags::DETACH);
    }
}

/// A shell that runs as if it were a kubelet.
struct Inside {
    child: Child,
    lines: Box<dyn Iterator<Item = String>>,
    input: Option<ChildStdin>,
}

impl Inside {
    fn start(arguments: &[&str], root: &Root, script: &str) -> Self {
        let mut child = Command::new(BINARY)
            .arg("node-view")
            .args(arguments)
            .args(["--", "sh", "-ec", script, "kubelet", &root.flag()])
            .env("INTERLINK_CRI_INTERLINK_PING_INTERVAL", "50ms")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self {
            input: child.stdin.take(),
            lines: Box::new(lines.map_while(Result::ok)),
            child,
        }
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap_or_default()
    }

    fn wait(mut self) -> i32 {
        drop(self.input.take());
        let status = wait_for("the end", || self.child.try_wait().expect("waited"));
        status.code().unwrap_or(-1)
    }
}

fn memory() -> String {
    let text = fs::read_to_string("/proc/meminfo").expect("readable");
    text.lines().next().unwrap_or_default().to_owned()
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").expect("readable")
}

/// All mounts but those of tests, which run beside each other, without their numbers.
fn other_mounts() -> Vec<String> {
    let tests = std::env::temp_dir().display().to_string();
    let text = mounts();
    let others = text.lines().filter(|line| !line.contains(&tests));
    let others = others.map(|line| line.split(' ').skip(3).collect::<Vec<_>>().join(" "));
    let mut others: Vec<_> = others.collect();
    others.sort();
    others
}

/// The command that cAdvisor's look at a machine comes to, a line for each answer.
const LOOK: &str = "
grep MemTotal /proc/meminfo
ls -d /sys/devices/system/node/node*[0-9] | wc -l
ls -d /sys/devices/system/node/node0/cpu*[0-9] | wc -l
cat /sys/devices/system/cpu/online
cat /sys/devices/system/node/node0/cpu4095/topology/core_id
cat /sys/devices/system/node/node0/cpu4095/topology/physical_package_id
grep -c MemTotal:.*17179869184.kB /sys/devices/system/node/node0/meminfo
";

#[test]
fn a_kubelet_sees_a_larger_machine_and_nobody_else_does() {
    if !can_mount() {
        return;
    }
    let root = Root::new();
    let (memory_before, mounts_before) = (memory(), other_mounts());
    let cpus_before = fs::read_to_string("/sys/devices/system/cpu/online").expect("readable");
    let volume = root.path().join("volume");
    let script = format!(
        "{LOOK}
        mkdir {volume}; mount -t tmpfs volume {volume}; echo data > {volume}/seen
        if echo 1 2>/dev/null > /sys/devices/system/node/online; then echo written; else echo closed; fi
        echo $$; shift; echo \"$@\"; read end; umount {volume}; rmdir {volume}; exit 5",
        volume = volume.display()
    );
    let mut inside = Inside::start(&["--cpu", "4096", "--memory", "16Ti"], &root, &script);
    let told: Vec<_> = (0..8).map(|_| inside.line()).collect();
    assert_eq!(
        told,
        [
            "MemTotal:       17179869184 kB",
            "1",
            "4096",
            "0-4095",
            "4095",
            "0",
            "1",
            "closed"
        ]
    );
    // The same process: its parent's signals, and systemd's, reach the kubelet.
    assert_eq!(inside.line(), inside.child.id().to_string());
    assert_eq!(
        inside.line(),
        "--cgroups-per-qos=false --enforce-node-allocatable=",
        "no cgroup can have CPUs that are not there"
    );
    // A volume that the kubelet mounts is there for the daemon.
    let seen = fs::read_to_string(volume.join("seen")).expect("the volume shows outside");
    assert_eq!(seen, "data\n");
    assert_eq!(memory(), memory_before);
    let cpus = fs::read_to_string("/sys/devices/system/cpu/online").expect("readable");
    assert_eq!(cpus, cpus_before);
    assert_eq!(other_mounts(), mounts_before);
    let input = inside.input.as_mut().expect("piped");
    input.write_all(b"end\n").expect("written");
    assert_eq!(inside.wait(), 5, "the kubelet's own exit code");
    assert_eq!(other_mounts(), mounts_before);
    // What is left is a mount of the root on itself, once.
    let again = Inside::start(&["--cpu", "2", "--memory", "1Ti"], &root, "exit 0");
    assert_eq!(again.wait(), 0);
    let point = format!(" {} ", root.path().display());
    let text = mounts();
    let left: Vec<_> = text.lines().filter(|line| line.contains(&point)).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].contains(" shared:"), "{left:?}");
}

#[test]
fn what_cannot_work_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("kubelet.yaml");
    fs::write(&config, "cpuManagerPolicy: static\n").expect("written");
    let config = format!("--config={}", config.display());
    let root = format!("--root-dir={}", directory.path().display());
    for (arguments, want) in [
        (
            vec!["--cpu=64", "--memory=1Ti", "--", "true", &root, &config],
            "cpuManagerPolicy: static",
        ),
        (
            vec![
                "--cpu=64",
                "--memory=1Ti",
                "--",
                "true",
                &root,
                "--cgroups-per-qos",
            ],
            "--cgroups-per-qos",
        ),
        (
            vec!["--cpu=64", "--memory=4Mi", "--", "true", &root],
            "4Mi of memory; 1Gi to 1Ei are possible",
        ),
        (
            vec!["--cpu=1000000", "--memory=1Ti", "--", "true", &root],
            "1000000 CPUs; 1 to 65536 are possible",
        ),
        (vec!["--cpu=4", "--", "true"], "--memory"),
        (
            vec![
                "--cpu=4",
                "--memory=1Ti",
                "--restart-on-change=5",
                "--",
                "true",
            ],
            "--from",
        ),
        (
            vec![
                "--from=interlink",
                "--interlink-url=http://127.0.0.1:9",
                "--",
                "true",
            ],
            "127.0.0.1:9",
        ),
    ] {
        let (code, _, error) = command(&[&["node-view"][..], &arguments].concat());
        assert_ne!(code, 0, "{arguments:?}");
        assert!(error.contains(want), "{arguments:?}: {error}");
    }
    assert!(!mounts().contains(&root));
}

#[test]
fn without_the_right_to_mount_it_says_so() {
    if !can_mount() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let output = Command::new("setpriv")
        .args(["--bounding-set=-sys_admin", "--inh-caps=-sys_admin"])
        .args([
            BINARY,
            "node-view",
            "--cpu=64",
            "--memory=1Ti",
            "--",
            "true",
        ])
        .arg(format!("--root-dir={}", directory.path().display()))
        .output()
        .expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("need CAP_SYS_ADMIN; start this as root"),
        "{error}"
    );
}

fn answer(cpus: &str) -> String {
    json!({"status": "ok", "resources": {"cpu": cpus, "memory": "8Ti"}}).to_string()
}

#[test]
fn a_kubelet_is_ended_when_the_cluster_has_changed_for_long() {
    if !can_mount() {
        return;
    }
    let (fake, root) = (Fake::start(), Root::new());
    fake.answer_pings_with(&answer("2k"));
    let script =
        "cat /sys/devices/system/cpu/online; trap 'exit 7' TERM; while :; do sleep 0.05; done";
    let url = fake.url();
    let flags = [
        "--from",
        "interlink",
        "--restart-on-change",
        "10%",
        "--settle",
        "200ms",
    ];
    let mut inside = Inside::start(
        &[&flags[..], &["--interlink-url", &url]].concat(),
        &root,
        script,
    );
    assert_eq!(inside.line(), "0-1999");
    let asked = || fake.requests("/pinglink").len();
    // A change that is too small has no effect.
    fake.answer_pings_with(&answer("1900"));
    let before = asked();
    wait_for("some answers", || (asked() > before + 10).then_some(()));
    assert_eq!(inside.child.try_wait().expect("waited"), None);
    fake.answer_pings_with(&answer("1500"));
    assert_eq!(inside.wait(), 7);
}
