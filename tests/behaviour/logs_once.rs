//! Each remote line is written exactly once and in order, whatever breaks.

use std::path::PathBuf;

use crate::support::{container, log_text, sandbox, wait_for, Cri, Daemon, Fake, Fault, JobState};

struct Running {
    id: String,
    log: PathBuf,
}

/// A pod with one running container.
fn running(fake: &Fake, cri: &Cri, name: &str) -> Running {
    let mut config = sandbox(name);
    config.metadata.mut_or_insert_default().uid = format!("uid-{name}");
    let pod = cri.run(&config);
    let before = fake.requests("/create").len();
    let id = cri.launch(&pod, &container(name, &["true"]));
    fake.wait_for_requests("/create", before + 1);
    fake.set(name, &JobState::Running);
    let log = cri.status(&id).log_path.into();
    Running { id, log }
}

fn wait_for_text(running: &Running, want: &str) {
    let mut seen = String::new();
    wait_for(&format!("the log is {want:?}"), || {
        seen = log_text(&running.log);
        (seen == want).then_some(())
    });
}

fn lines(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|number| format!("line {number}\n")).collect()
}

#[test]
fn through_disconnects_in_the_middle_of_a_line() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    fake.break_logs_after(25);
    fake.set_log("main", lines(0..10));
    let main = running(&fake, &cri, "main");
    wait_for_text(&main, &lines(0..10));
    fake.set_log("main", lines(0..20));
    wait_for_text(&main, &lines(0..20));
    fake.set("main", &JobState::exited(0));
    cri.wait_for_exit(&main.id);
    assert_eq!(log_text(&main.log), lines(0..20));
}

#[test]
fn through_restarts_of_the_daemon() {
    let fake = Fake::start();
    let mut daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    fake.set_log("main", lines(0..5));
    let main = running(&fake, &cri, "main");
    wait_for_text(&main, &lines(0..5));
    daemon.kill_and_restart();
    fake.set_log("main", lines(0..9) + "half a li");
    wait_for_text(&main, &lines(0..9));
    assert!(daemon.terminate().success());
    daemon.run();
    fake.set_log("main", lines(0..9) + "half a line\nand the end");
    fake.set("main", &JobState::exited(0));
    daemon.cri().wait_for_exit(&main.id);
    assert_eq!(
        log_text(&main.log),
        lines(0..9) + "half a line\nand the end\n"
    );
}

#[test]
fn with_a_prefix_that_grows() {
    let fake = Fake::start();
    let mut daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    fake.set_job_log("main", "job: prolog\n");
    fake.set_log("main", "out 1\n");
    let main = running(&fake, &cri, "main");
    wait_for_text(&main, "job: prolog\nout 1\n");
    // The job's own output comes before the container's, so everything behind it moves.
    fake.set_job_log("main", "job: prolog\njob: module loaded\n");
    daemon.kill_and_restart();
    wait_for_text(&main, "job: prolog\nout 1\njob: module loaded\n");
    fake.set_log("main", "out 1\nout 2\n");
    wait_for_text(&main, "job: prolog\nout 1\njob: module loaded\nout 2\n");
    fake.set_job_log("main", "job: prolog\njob: module loaded\njob: epilog\n");
    fake.set("main", &JobState::exited(0));
    daemon.cri().wait_for_exit(&main.id);
    assert_eq!(
        log_text(&main.log),
        "job: prolog\nout 1\njob: module loaded\nout 2\njob: epilog\n"
    );
}

#[test]
fn bytes_of_any_kind_and_lines_of_any_length() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let long = "x".repeat(40_000);
    let log = [b"\xff\x00\x1b[31m\r\n", long.as_bytes(), b"\n\n"].concat();
    fake.set_log("main", log.clone());
    let main = running(&fake, &cri, "main");
    fake.set("main", &JobState::exited(0));
    cri.wait_for_exit(&main.id);
    let file = std::fs::read(&main.log).expect("reads");
    let tags: Vec<_> = file
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            line.split(|byte| *byte == b' ')
                .nth(2)
                .expect("a tag")
                .to_vec()
        })
        .collect();
    assert_eq!(tags, [b"F", b"P", b"P", b"F", b"F"].map(|tag| tag.to_vec()));
    assert_eq!(log_text(&main.log), String::from_utf8_lossy(&log));
}

#[test]
fn with_more_containers_than_followers() {
    let fake = Fake::start();
    let daemon = Daemon::start(&fake.url(), "[logs]\nfollowers = 1");
    let cri = daemon.cri();
    let names = ["a", "b", "c"];
    names
        .iter()
        .for_each(|name| fake.set_log(name, format!("{name} 1\n")));
    let all: Vec<_> = names
        .iter()
        .map(|name| running(&fake, &cri, name))
        .collect();
    for (name, one) in names.iter().zip(&all) {
        wait_for_text(one, &format!("{name} 1\n"));
    }
    names
        .iter()
        .for_each(|name| fake.set_log(name, format!("{name} 1\n{name} 2\n")));
    for (name, one) in names.iter().zip(&all) {
        wait_for_text(one, &format!("{name} 1\n{name} 2\n"));
    }
}

/// Starts so many containers whose logs have a line, and gives how many of the logs are followed.
fn followed(fake: &Fake, daemon: &Daemon, count: usize) -> usize {
    let cri = daemon.cri();
    for number in 0..count {
        let name = format!("c{number}");
        fake.set_log(&name, "line\n");
        let one = running(fake, &cri, &name);
        wait_for_text(&one, "line\n");
    }
    fake.followed_logs()
}

#[test]
fn of_any_number_of_containers_each_by_a_follower() {
    let fake = Fake::start();
    let daemon = Daemon::start(&fake.url(), "[interlink]\nplugin = 'slurm'");
    assert_eq!(followed(&fake, &daemon, 24), 24);
}

/// A server that keeps a thread for each followed log has none left for anything else.
#[test]
fn of_many_containers_with_few_followers_where_the_plugin_is_not_known() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    assert_eq!(followed(&fake, &daemon, 20), 16);
}

/// The first answer, and what comes after the job was queued again.
#[test]
fn of_a_log_that_begins_anew() {
    let fake = Fake::start();
    let mut daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let first = "start\nstep 1\nstep 2\nstep 3\n";
    fake.set_log("main", first);
    let main = running(&fake, &cri, "main");
    wait_for_text(&main, first);
    // The stream that is open goes on to show nothing, as that of a file that was replaced.
    fake.set_log("main", "start again\n");
    wait_for_text(&main, &format!("{first}start again\n"));
    let second = "start again\nstep 1\nstep 2\nstep 3\n";
    fake.set_log("main", second);
    wait_for_text(&main, &format!("{first}{second}"));
    assert_eq!(daemon.log().matches("has begun anew").count(), 1);
    daemon.kill_and_restart();
    fake.set_log("main", format!("{second}step 4\n"));
    fake.set("main", &JobState::exited(0));
    daemon.cri().wait_for_exit(&main.id);
    assert_eq!(log_text(&main.log), format!("{first}{second}step 4\n"));
}

/// After the second run has ended, with all of its log at once.
#[test]
fn of_a_log_that_has_begun_anew_when_its_container_ends() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let first = "start\na line that is longer than all of the second log\n";
    fake.set_log("main", first);
    let main = running(&fake, &cri, "main");
    wait_for_text(&main, first);
    fake.set_log("main", "start again\nstep 1\nstep 2\n");
    fake.set("main", &JobState::exited(0));
    cri.wait_for_exit(&main.id);
    let second = "start again\nstep 1\nstep 2\n";
    assert_eq!(log_text(&main.log), format!("{first}{second}"));
}

/// The SLURM plugin's job script begins job.out anew, and appends to what the container wrote before.
#[test]
fn of_a_slurm_job_that_is_queued_again() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let job = |node: &str| {
        format!("This pod web/7 has been submitted to SLURM node {node}.\nRunning main on {node}\n")
    };
    fake.set_job_log("main", job("n1"));
    fake.set_log("main", lines(0..16));
    let main = running(&fake, &cri, "main");
    wait_for_text(&main, &(job("n1") + &lines(0..16)));
    fake.set("main", &JobState::Queued);
    fake.set_job_log("main", job("node-22"));
    fake.set("main", &JobState::Running);
    let so_far = job("n1") + &lines(0..16) + &job("node-22");
    wait_for_text(&main, &so_far);
    fake.set_log("main", lines(0..16) + &lines(0..3));
    wait_for_text(&main, &(so_far.clone() + &lines(0..3)));
    fake.set_log("main", lines(0..16) + &lines(0..5));
    fake.set("main", &JobState::exited(0));
    cri.wait_for_exit(&main.id);
    assert_eq!(log_text(&main.log), so_far + &lines(0..5));
}

/// One wrong answer changes nothing.
#[test]
fn when_another_text_comes_in_between() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    fake.set_log("main", "one\ntwo\n");
    let main = running(&fake, &cri, "main");
    wait_for_text(&main, "one\ntwo\n");
    fake.faults("/getLogs", &[Fault::Answer("no such file or directory\n")]);
    let asked = fake.requests("/getLogs").len();
    fake.wait_for_requests("/getLogs", asked + 3);
    fake.set_log("main", "one\ntwo\nthree\n");
    wait_for_text(&main, "one\ntwo\nthree\n");
}
