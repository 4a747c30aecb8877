//! What lies on disk: the format of earlier versions, damage, and a disk that is full.

use std::{fs, path::Path, process::Command, sync::Arc};

use crate::support::{code, container, options, sandbox, wait_for, Daemon, Fake, Fault};
use grpcio::RpcStatusCode;
use interlink_cri::{
    model::{ContainerPhase, SandboxPhase, Submission, SystemClock},
    proto::RunPodSandboxRequest,
    store::{Error, Store},
};
use protobuf::MessageField;
use redb::ReadableTable as _;

fn open(directory: &Path) -> Store {
    let (wake, _) = crossbeam_channel::unbounded();
    Store::open(directory, Arc::new(SystemClock), wake).expect("it opens")
}

/// A state directory as version 0.1.0 left it when it was killed, with records of version 1: one
/// pod that had failed, one that ran.
#[test]
fn a_state_directory_of_the_first_version_opens() {
    let dir = tempfile::tempdir().expect("dir");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/state-v1");
    fs::copy(fixture.join("state.redb"), dir.path().join("state.redb")).expect("copied");
    for round in 0..2 {
        let store = open(dir.path());
        let mut pods = store.pods();
        pods.sort_by_key(|pod| pod.full_name());
        let names: Vec<_> = pods.iter().map(|pod| pod.full_name()).collect();
        assert_eq!(names, ["default/failing", "lab/train"]);
        assert!(pods.iter().all(|pod| pod.phase() == SandboxPhase::Ready));
        let [failed, running] = [0, 1].map(|at| &pods[at].containers[0].status);
        assert_eq!(failed.exit.as_ref().map(|exit| exit.code), Some(7));
        assert_eq!(running.phase(), ContainerPhase::Running);
        assert_eq!(pods[0].jobs[0].submission, Submission::Finished);
        assert!(matches!(
            pods[1].jobs[0].submission,
            Submission::Submitted { .. }
        ));
        let image = &pods[1].containers[0].container.image_id;
        assert!(store.images().iter().any(|known| *image == known.id));
        if round == 0 {
            // Written anew in today's format, and read again.
            for pod in &pods {
                let touched = store.update::<_, Error>(&pod.sandbox.id, |pod| {
                    pod.next_job += 1;
                    Ok(())
                });
                touched.expect("written");
            }
        }
    }
}

#[test]
fn a_damaged_state_file_is_kept_and_the_daemon_serves() {
    let mut daemon = Daemon::prepare("");
    fs::create_dir_all(daemon.path("state")).expect("made");
    fs::write(daemon.path("state/state.redb"), b"no store at all").expect("written");
    daemon.run();
    let cri = daemon.cri();
    cri.run(&sandbox("train"));
    let log = daemon.log();
    assert!(log.contains("state.redb.damaged-"), "{log}");
    assert!(
        log.contains("0 records that can be read were taken over"),
        "{log}"
    );
}

/// A small file system of its own; unmounted with it.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).expect("made");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "none"])
            .arg(at)
            .output()
            .ok()?;
        mounted.status.success().then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the daemon may still be there when a test fails.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_changes_and_nothing_else() {
    let mut daemon = Daemon::prepare("");
    let Some(_disk) = SmallDisk::mount(&daemon.path("state")) else {
        eprintln!("skipped: a small file system can only be mounted by root");
        return;
    };
    daemon.run();
    let cri = daemon.cri();
    let kept = cri.run(&sandbox("kept"));
    let ballast = daemon.path("state/ballast");
    // As much as there is room for.
    let _ = fs::write(&ballast, vec![1; 8 << 20]);
    let request = |number: usize| RunPodSandboxRequest {
        config: MessageField::some(sandbox(&format!("pod-{number}"))),
        ..Default::default()
    };
    let mut number = 0;
    let (refused, message) = wait_for("a change is refused", || {
        number += 1;
        let answer = cri.runtime.run_pod_sandbox(&request(number), options());
        answer.is_err().then(|| code(answer))
    });
    assert_eq!(refused, RpcStatusCode::RESOURCE_EXHAUSTED);
    assert!(message.contains("free space"), "{message}");
    let list = || {
        let answer = cri.runtime.list_pod_sandbox(&Default::default(), options());
        answer.expect("a list").items
    };
    assert_eq!(list().len(), number, "what was refused is not there");
    assert!(list().iter().any(|item| item.id == kept));
    fs::remove_file(&ballast).expect("removed");
    cri.runtime
        .run_pod_sandbox(&request(number), options())
        .expect("there is room again");
    let before = list().len();
    daemon.kill_and_restart();
    let cri = daemon.cri();
    let answer = cri.runtime.list_pod_sandbox(&Default::default(), options());
    assert_eq!(answer.expect("a list").items.len(), before);
}

/// Changes where the daemon's clock stood, as the state has it.
fn change_clock(daemon: &Daemon, change: impl FnOnce(&mut serde_json::Value)) {
    const VALUES: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("values");
    let file = redb::Database::open(daemon.path("state/state.redb")).expect("opens");
    let transaction = file.begin_write().expect("begins");
    {
        let mut values = transaction.open_table(VALUES).expect("a table");
        let mark = values.get("clock").expect("reads");
        let mark = mark.map(|mark| mark.value().to_vec()).expect("a mark");
        let mut mark = serde_json::from_slice(&mark).expect("a mark");
        change(&mut mark);
        let mark = serde_json::to_vec(&mark).expect("written");
        values.insert("clock", &*mark).expect("written");
    }
    transaction.commit().expect("committed");
}

/// The wall clock is set back by an hour between two runs: what was measured goes on being measured.
#[test]
fn the_clock_goes_on_across_a_restart_whatever_the_wall_clock_says() {
    const HOUR: i64 = 3_600_000_000_000;
    let mut daemon = Daemon::prepare("");
    daemon.run();
    let created_at = |daemon: &Daemon, name: &str| {
        let cri = daemon.cri();
        let id = cri.create(&cri.run(&sandbox(name)), &container("main", &["true"]));
        cri.status(&id).created_at
    };
    let first = created_at(&daemon, "first");
    daemon.kill();
    change_clock(&daemon, |mark| {
        let time = mark["time"].as_i64().expect("a time");
        mark["time"] = (time + HOUR).into();
    });
    daemon.run();
    let passed = created_at(&daemon, "second") - first;
    assert!((HOUR..HOUR + HOUR / 10).contains(&passed), "{passed}");
}

/// Nobody knows how long the machine was down, so a doubt lasts from now on.
#[test]
fn doubts_begin_anew_with_another_boot() {
    let fake = Fake::start();
    fake.faults("/create", &[Fault::DropBefore]);
    fake.always("/status", Some(Fault::Status(500, "no such job")));
    let mut daemon = Daemon::start(&fake.url(), "[interlink]\nunsure_grace = '1h'");
    let cri = daemon.cri();
    cri.launch(&cri.run(&sandbox("train")), &container("main", &["true"]));
    fake.wait_for_requests("/create", 1);
    fake.wait_for_requests("/status", 1);
    daemon.kill();
    change_clock(&daemon, |mark| mark["boot"] = "another".into());
    daemon.run();
    wait_for("the line about it", || {
        daemon
            .log()
            .contains("the machine was booted")
            .then_some(())
    });
}
