//! Submissions that go wrong: refused, delayed, in doubt. One start is one remote run.

use std::time::{Duration, Instant};

use crate::support::{
    command, container, options, sandbox, wait_for, Daemon, Fake, Fault, JobState,
};
use interlink_cri::proto::{
    ContainerState, ListContainersRequest, StatusRequest, StopContainerRequest,
};

#[test]
fn a_refusal_shows_the_plugins_words() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    fake.faults(
        "/create",
        &[Fault::Status(
            400,
            "sbatch: error: invalid partition `gpux`",
        )],
    );
    let pod = cri.run(&sandbox("refused"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    cri.wait_for_refusal(&id, "invalid partition `gpux`");
    cri.remove_sandbox(&pod);
    assert_eq!(
        fake.requests("/create").len(),
        1,
        "a refusal is not tried again"
    );
    assert!(
        fake.requests("/delete").is_empty(),
        "there is nothing to cancel"
    );
}

#[test]
fn a_server_error_is_tried_a_few_times_and_then_believed() {
    let fake = Fake::start();
    let daemon = Daemon::start(&fake.url(), "[interlink]\nserver_error_retries = 2");
    let cri = daemon.cri();
    fake.always(
        "/create",
        Some(Fault::Status(500, "sbatch: error: out of memory")),
    );
    let pod = cri.run(&sandbox("error"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    cri.wait_for_refusal(&id, "out of memory");
    assert_eq!(fake.requests("/create").len(), 3);
}

#[test]
fn what_can_pass_is_tried_until_it_does() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let busy = Fault::Status(503, "busy");
    fake.faults(
        "/create",
        &[busy.clone(), Fault::Status(429, "slow down"), busy],
    );
    let pod = cri.run(&sandbox("patient"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    fake.wait_for_requests("/create", 4);
    fake.set_all(&JobState::exited(0));
    assert_eq!(cri.wait_for_exit(&id).exit_code, 0);
}

#[test]
fn a_plugin_that_is_down_is_waited_for() {
    let mut fake = Fake::start();
    fake.down();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("early"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    let ready = || {
        let status = cri
            .runtime
            .status(&StatusRequest::default(), options())
            .expect("a status");
        let conditions = status.status.conditions.clone();
        let find = |name: &str| {
            conditions
                .iter()
                .find(|c| c.type_ == name)
                .expect("there")
                .status
        };
        assert!(
            find("RuntimeReady") && find("NetworkReady"),
            "the node stays up"
        );
        find("InterLinkReady")
    };
    wait_for("the condition says so", || (!ready()).then_some(()));
    assert_eq!(cri.state(&id), ContainerState::CONTAINER_RUNNING);
    fake.up();
    fake.wait_for_requests("/create", 1);
    wait_for("the condition says so", || ready().then_some(()));
    fake.set_all(&JobState::exited(0));
    assert_eq!(cri.wait_for_exit(&id).exit_code, 0);
    assert_eq!(fake.requests("/create").len(), 1);
}

/// The first promise: no CRI call waits for a plugin.
#[test]
fn a_plugin_that_hangs_holds_up_no_call() {
    let fake = Fake::start();
    for path in ["/create", "/status", "/delete", "/getLogs", "/pinglink"] {
        fake.always(path, Some(Fault::Hang));
    }
    let settings = "[interlink]\nrequest_timeout = '30s'\ncreate_timeout = '30s'";
    let daemon = Daemon::start(&fake.url(), settings);
    let cri = daemon.cri();
    let begun = Instant::now();
    for number in 0..10 {
        let mut config = sandbox(&format!("pod-{number}"));
        config.metadata.mut_or_insert_default().uid = format!("uid-{number}");
        let pod = cri.run(&config);
        let id = cri.launch(&pod, &container("main", &["true"]));
        cri.runtime
            .list_containers(&ListContainersRequest::default(), options())
            .expect("a list");
        cri.runtime
            .status(&StatusRequest::default(), options())
            .expect("a status");
        let request = StopContainerRequest {
            container_id: id.clone(),
            timeout: 30,
            ..Default::default()
        };
        cri.runtime
            .stop_container(&request, options())
            .expect("stopped");
        assert_eq!(
            cri.state(&id),
            ContainerState::CONTAINER_EXITED,
            "when the call returns"
        );
        cri.remove_sandbox(&pod);
    }
    // 80 calls: far below the hang of a single one, even on a machine under load.
    assert!(
        begun.elapsed() < Duration::from_secs(25),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_job_that_was_taken_without_an_answer_is_not_submitted_twice() {
    for fault in [
        Fault::DropAfter,
        Fault::Answer(""),
        Fault::Status(504, "gateway time-out"),
    ] {
        let fake = Fake::start();
        let daemon = Daemon::with(&fake);
        let cri = daemon.cri();
        let taken = matches!(fault, Fault::DropAfter);
        fake.faults("/create", std::slice::from_ref(&fault));
        let pod = cri.run(&sandbox("doubt"));
        let id = cri.launch(&pod, &container("main", &["true"]));
        fake.wait_for_requests("/create", 1);
        if taken {
            fake.wait_for_requests("/status", 2);
            fake.set_all(&JobState::exited(4));
            assert_eq!(cri.wait_for_exit(&id).exit_code, 4);
            assert_eq!(
                fake.requests("/create").len(),
                1,
                "{fault:?}: it was asked first"
            );
        } else {
            // The plugin denies it, again and again: so it was never taken.
            fake.wait_for_requests("/create", 2);
            assert!(
                fake.requests("/status").len() >= 3,
                "{fault:?}: it was asked first"
            );
            fake.set_all(&JobState::exited(0));
            assert_eq!(cri.wait_for_exit(&id).exit_code, 0);
        }
    }
}

#[test]
fn a_crash_in_the_middle_of_a_submission_leads_to_a_question() {
    let fake = Fake::start();
    let settings = "[interlink]\ncreate_timeout = '30s'";
    let mut daemon = Daemon::start(&fake.url(), settings);
    let cri = daemon.cri();
    fake.faults("/create", &[Fault::Hang]);
    let pod = cri.run(&sandbox("crash"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    fake.wait_for_requests("/create", 1);
    daemon.kill_and_restart();
    let cri = daemon.cri();
    let created = fake.wait_for_requests("/create", 2);
    assert_eq!(created[0], created[1], "the same job, under the same UID");
    assert!(
        fake.requests("/status").len() >= 3,
        "asked before it was submitted again"
    );
    fake.set_all(&JobState::exited(0));
    assert_eq!(cri.wait_for_exit(&id).exit_code, 0);
}

/// How many calls to interLink have failed, as the daemon counts them.
fn failed_calls(daemon: &Daemon) -> u64 {
    let socket = daemon.socket().display().to_string();
    let (_, text, _) = command(&["status", "--socket", &socket, "-o", "json"]);
    let status: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    status["info"]["daemon"]["counters"]["interlink_errors"]
        .as_u64()
        .unwrap_or_else(|| panic!("no such counter in {text}"))
}

#[test]
fn a_job_that_the_plugin_forgot_is_lost_and_an_unreachable_plugin_loses_none() {
    let mut fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("lost"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    fake.wait_for_requests("/create", 1);
    fake.set_all(&JobState::Running);
    let polls = fake.requests("/status").len();
    fake.wait_for_requests("/status", polls + 3);
    let before = failed_calls(&daemon);
    fake.down();
    let down = Instant::now();
    wait_for("what would lose a job if no answer were a denial", || {
        // `jobs.lost_polls` and `jobs.lost_grace`, and as many pings.
        let is_often = failed_calls(&daemon) >= before + 6;
        (is_often && down.elapsed() > Duration::from_millis(400)).then_some(())
    });
    assert_eq!(cri.state(&id), ContainerState::CONTAINER_RUNNING);
    fake.up();
    let polls = fake.requests("/status").len();
    fake.wait_for_requests("/status", polls + 2);
    assert_eq!(cri.state(&id), ContainerState::CONTAINER_RUNNING);
    fake.forget_jobs();
    let status = cri.wait_for_exit(&id);
    assert_eq!((status.exit_code, status.reason.as_str()), (137, "JobLost"));
    assert!(!status.message.is_empty());
}

/// A SLURM plugin that is killed between sbatch and its own note does not know its job; but the job has
/// a log.
#[test]
fn a_doubtful_job_that_has_a_log_is_not_submitted_again() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    fake.faults("/create", &[Fault::DropBefore]);
    fake.set_job_log(
        "main",
        "This pod a/1 has been submitted to SLURM node n1.\n",
    );
    let pod = cri.run(&sandbox("doubt"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    let status = cri.wait_for_exit(&id);
    assert_eq!((status.exit_code, status.reason.as_str()), (137, "JobLost"));
    assert_eq!(fake.requests("/create").len(), 1);
}

/// The plugin, and six pods with a container each; the job of the first one spoils every answer.
fn with_a_spoiler(words: impl Fn(&str) -> String) -> (Fake, Daemon, Vec<String>) {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let mut ids = Vec::new();
    for number in 0..6 {
        let mut config = sandbox(&format!("pod-{number}"));
        config.metadata.mut_or_insert_default().uid = format!("uid-{number}");
        let pod = cri.run(&config);
        ids.push(cri.launch(&pod, &container(&format!("c{number}"), &["true"])));
        fake.wait_for_requests("/create", number + 1);
        if number == 0 {
            let uid = &fake.jobs()[0];
            fake.spoil_status_with(uid, &words(uid));
        }
    }
    (fake, daemon, ids)
}

const UNREADABLE: &str = "cannot read job.status: input/output error";

#[test]
fn one_job_that_spoils_the_answer_does_not_hide_the_others() {
    let (fake, daemon, ids) = with_a_spoiler(|_| UNREADABLE.to_owned());
    let cri = daemon.cri();
    fake.set_all(&JobState::exited(0));
    wait_for("the other five end", || {
        let exited = |id: &&String| cri.state(id) == ContainerState::CONTAINER_EXITED;
        (ids.iter().filter(exited).count() == 5).then_some(())
    });
    assert_eq!(cri.state(&ids[0]), ContainerState::CONTAINER_RUNNING);
}

/// The SLURM plugin gives its last answer again for 10 s, whatever it is asked meanwhile. That a job is
/// not in such an answer says nothing.
#[test]
fn an_answer_that_is_given_again_loses_no_job() {
    let (fake, daemon, ids) = with_a_spoiler(|_| UNREADABLE.to_owned());
    let cri = daemon.cri();
    fake.repeat_answers_for(Duration::from_millis(600));
    fake.set_all(&JobState::Running);
    // Many times as long as a job may be missing.
    let polls = fake.requests("/status").len();
    fake.wait_for_requests("/status", polls + 60);
    for id in &ids {
        assert_eq!(cri.state(id), ContainerState::CONTAINER_RUNNING);
    }
    fake.set_all(&JobState::exited(0));
    wait_for("the other five end", || {
        let exited = |id: &&String| cri.state(id) == ContainerState::CONTAINER_EXITED;
        (ids.iter().filter(exited).count() == 5).then_some(())
    });
}

#[test]
fn a_job_that_a_refusal_names_is_left_out_of_the_question() {
    let words =
        |uid: &str| format!("unable to retrieve container status: open lab-{uid}/run-a.status");
    let (fake, daemon, ids) = with_a_spoiler(words);
    let cri = daemon.cri();
    fake.repeat_answers_for(Duration::from_millis(600));
    fake.set_all(&JobState::exited(0));
    for id in &ids[1..] {
        assert_eq!(cri.wait_for_exit(id).exit_code, 0);
    }
    assert_eq!(cri.state(&ids[0]), ContainerState::CONTAINER_RUNNING);
}
