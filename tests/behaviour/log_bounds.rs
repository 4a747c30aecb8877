//! A container that prints without end: its log is bounded in rate and size, the log says so itself, and the
//! others have theirs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use interlink_cri::proto::ReopenContainerLogRequest;

use crate::support::{
    container, log_text, options, sandbox, wait_for, whole_lines, Cri, Daemon, Fake, JobState,
};

/// Of some bytes each, so that a part of a log can be told from another.
fn lines(count: usize) -> String {
    (0..count).map(|n| format!("line {n:06}\n")).collect()
}

/// The remote lines of a log file, and what the daemon itself has said in it.
fn read(file: &Path) -> (String, Vec<String>) {
    let (mut remote, mut said) = (String::new(), Vec::new());
    for line in String::from_utf8_lossy(&whole_lines(file)).lines() {
        let (_, line) = line.split_once(' ').expect("a time");
        match line.split_once(" F ").expect("a whole line") {
            ("stdout", text) => remote += &format!("{text}\n"),
            ("stderr", text) => said.push(text.to_owned()),
            other => panic!("{other:?}"),
        }
    }
    (remote, said)
}

fn running(fake: &Fake, cri: &Cri, name: &str) -> (String, PathBuf) {
    let pod = cri.run(&sandbox(name));
    fake.begin_jobs_as(&JobState::Running);
    let id = cri.launch(&pod, &container(name, &["true"]));
    let log = cri.status(&id).log_path.into();
    (id, log)
}

#[test]
fn a_full_file_waits_for_its_rotation_and_nothing_is_lost() {
    const MAX: u64 = 65_536;
    let fake = Fake::start();
    let mut daemon = Daemon::start(&fake.url(), &format!("[logs]\nmax_file_bytes = {MAX}"));
    let log = lines(8000);
    fake.set_log("main", log.clone());
    let (id, file) = running(&fake, &daemon.cri(), "main");
    let mut whole = String::new();
    for part in 0.. {
        let read = wait_for("the file is full, or the log whole", || {
            let (remote, said) = read(&file);
            let is_whole = whole.len() + remote.len() == log.len();
            (!said.is_empty() || is_whole).then_some((remote, said))
        });
        whole += &read.0;
        if whole.len() == log.len() {
            break;
        }
        let said = read.1.join("\n");
        assert!(
            said.contains(&format!("logs.max_file_bytes = {MAX};")),
            "{said}"
        );
        let length = fs::metadata(&file).expect("there").len();
        assert!(length < 2 * MAX, "{length}");
        if part == 1 {
            // The notice is not taken for a line of the remote log.
            daemon.kill_and_restart();
        }
        let rotated = file.with_extension(format!("log.20260101-{part:06}"));
        fs::rename(&file, rotated).expect("renamed");
        let request = ReopenContainerLogRequest {
            container_id: id.clone(),
            ..Default::default()
        };
        let reopened = daemon
            .cri()
            .runtime
            .reopen_container_log(&request, options());
        reopened.expect("reopened");
    }
    assert_eq!(whole, log);
}

#[test]
fn a_full_file_that_nobody_rotates_does_not_keep_its_container() {
    let fake = Fake::start();
    let settings = "[logs]\nmax_file_bytes = 65536\ncomplete_timeout = '1s'";
    let daemon = Daemon::start(&fake.url(), settings);
    let cri = daemon.cri();
    let log = lines(8000);
    fake.set_log("main", log.clone());
    let (id, file) = running(&fake, &cri, "main");
    wait_for("the file is full", || {
        (!read(&file).1.is_empty()).then_some(())
    });
    fake.set("main", &JobState::exited(3));
    cri.wait_for_exit(&id);
    assert_eq!(cri.status(&id).exit_code, 3);
    let (remote, said) = read(&file);
    assert!(log.starts_with(&remote) && remote.len() < log.len());
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(fs::metadata(&file).expect("there").len() < 2 * 65_536);
}

#[test]
fn a_log_that_comes_too_fast_is_shown_late_and_a_quiet_one_is_not() {
    let fake = Fake::start();
    // Its rate is so low that it does not catch up while the test runs.
    let daemon = Daemon::start(&fake.url(), "[logs]\nmax_bytes_per_second = 2048");
    let cri = daemon.cri();
    let log = lines(8000);
    fake.set_log("main", log.clone());
    let (id, file) = running(&fake, &cri, "main");
    let said = wait_for("the log says that it is too fast", || {
        read(&file).1.first().cloned()
    });
    assert!(said.contains("logs.max_bytes_per_second = 2048,"), "{said}");
    fake.set_log("quiet", "one\n");
    let (_, quiet) = running(&fake, &cri, "quiet");
    wait_for("the quiet log", || {
        (log_text(&quiet) == "one\n").then_some(())
    });
    assert!(read(&file).0.len() < log.len(), "it is not all there yet");
    fake.set("main", &JobState::exited(0));
    cri.wait_for_exit(&id);
    let (remote, said) = read(&file);
    assert!(
        remote == log,
        "all of it is there in the end: {} bytes",
        remote.len()
    );
    assert_eq!(said.len(), 1, "{said:?}");
}
