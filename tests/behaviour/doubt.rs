//! Jobs of which it is not known whether the plugin has them: asked for, taken over, or deleted, but never
//! forgotten.

use std::time::Duration;

use crate::support::{container, sandbox, wait_for, Cri, Daemon, Fake, Fault, JobState};
use interlink_cri::proto::ContainerState;

/// An error about the one job that was asked about, from a plugin that does not know it, is a denial like
/// any other: it takes several, over a time.
const UNKNOWN_JOB: [Fault; 3] = [
    Fault::Says(
        404,
        "application/json",
        "status call exit status: 500. Body: {&#34;detail&#34;:&#34;No containers found for \
         UUID&#34;}",
    ),
    Fault::Status(
        500,
        "status call exit status: 500. Body: {\"error\": \"Internal error: list index out of \
         range\"}",
    ),
    Fault::Status(
        500,
        "status call exit status: 500. Body: open /home/svc/.interlink/default-UID/main.status: no \
         such file or directory",
    ),
];

#[test]
fn a_doubtful_job_that_the_plugin_says_not_to_know_is_submitted_again() {
    for answer in UNKNOWN_JOB {
        let fake = Fake::start();
        let daemon = Daemon::with(&fake);
        let cri = daemon.cri();
        fake.faults("/create", &[Fault::DropBefore]);
        fake.always("/status", Some(answer.clone()));
        let pod = cri.run(&sandbox("doubt"));
        let id = cri.launch(&pod, &container("main", &["true"]));
        fake.wait_for_requests("/create", 2);
        assert!(fake.requests("/status").len() >= 3, "{answer:?}");
        fake.always("/status", None);
        fake.set_all(&JobState::exited(0));
        assert_eq!(cri.wait_for_exit(&id).exit_code, 0);
    }
}

/// The SLURM plugin repeats its last answer for 10 s. One that is about other jobs was given to another
/// question, and denies nothing, however often it comes.
#[test]
fn a_repeated_answer_about_other_jobs_is_no_denial() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let other = cri.run(&sandbox("other"));
    cri.launch(&other, &container("main", &["true"]));
    fake.wait_for_requests("/create", 1);
    fake.set_all(&JobState::Running);
    fake.repeat_answers_for(Duration::from_secs(600));
    let polls = fake.requests("/status").len();
    fake.wait_for_requests("/status", polls + 2);
    fake.faults("/create", &[Fault::DoneBut(504, "gateway time-out")]);
    let pod = cri.run(&sandbox("doubt"));
    let id = cri.launch(&pod, &container("second", &["true"]));
    // More often, and for longer, than it takes to believe a denial.
    wait_for("the plugin was asked about the job", || {
        (daemon.log().matches("asked about a job").count() >= 6).then_some(())
    });
    fake.repeat_answers_for(Duration::ZERO);
    fake.set("second", &JobState::exited(4));
    assert_eq!(cri.wait_for_exit(&id).exit_code, 4);
    assert_eq!(fake.requests("/create").len(), 2);
}

/// Two empty answers look alike: one that was given to a question about another job denies nothing.
#[test]
fn a_repeated_empty_answer_is_no_denial() {
    let fake = Fake::start();
    let daemon = Daemon::start(
        &fake.url(),
        "[interlink]\nplugin = 'slurm'\n[jobs]\nlost_grace = '1m'",
    );
    let cri = daemon.cri();
    // As the plugin does that repeats its answers: the poller knows it by its ids, and asks about all at once then.
    fake.number_jobs();
    fake.repeat_answers_for(Duration::from_secs(5));
    fake.faults("/create", &[Fault::DropBefore]);
    let never_sent = cri.run(&sandbox("first"));
    let never_sent = cri.launch(&never_sent, &container("first", &["true"]));
    fake.wait_for_requests("/status", 1);
    fake.faults("/create", &[Fault::DoneBut(504, "gateway time-out")]);
    let taken = cri.run(&sandbox("second"));
    let taken = cri.launch(&taken, &container("second", &["true"]));
    fake.wait_for_requests("/create", 3);
    fake.set_all(&JobState::exited(4));
    for id in [never_sent, taken] {
        assert_eq!(cri.wait_for_exit(&id).exit_code, 4);
    }
    assert_eq!(fake.requests("/create").len(), 3);
}

#[test]
fn a_job_that_the_plugin_says_not_to_know_is_lost() {
    for answer in UNKNOWN_JOB {
        let fake = Fake::start();
        let daemon = Daemon::with(&fake);
        let cri = daemon.cri();
        let pod = cri.run(&sandbox("lost"));
        let id = cri.launch(&pod, &container("main", &["true"]));
        fake.wait_for_requests("/create", 1);
        fake.set_all(&JobState::Running);
        // One that is ill loses nothing, however long.
        fake.always(
            "/status",
            Some(Fault::Status(500, "squeue: command not found")),
        );
        let polls = fake.requests("/status").len();
        fake.wait_for_requests("/status", polls + 10);
        assert_eq!(cri.state(&id), ContainerState::CONTAINER_RUNNING);
        fake.always("/status", Some(answer));
        let status = cri.wait_for_exit(&id);
        assert_eq!((status.exit_code, status.reason.as_str()), (137, "JobLost"));
    }
}

/// A POST is acted on, but a proxy gives it up, and the plugin shows nothing of the job for longer than
/// `interlink.unsure_grace`.
fn in_doubt(second: &[Fault]) -> (Fake, Daemon, String, String) {
    let fake = Fake::start();
    fake.hide_jobs(true);
    fake.faults("/create", &[Fault::DoneBut(504, "gateway time-out")]);
    fake.faults("/create", second);
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("doubt"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    fake.wait_for_requests("/create", 2);
    (fake, daemon, pod, id)
}

#[test]
fn a_job_that_exists_is_taken_over() {
    for refusal in [
        Fault::Status(409, "already exists"),
        Fault::Status(409, ""),
        Fault::Status(500, "docker: name already in use"),
        // Nobody's word: the question comes before another POST.
        Fault::Says(
            403,
            "text/html",
            "<!DOCTYPE html><html><title>Sign In</title></html>",
        ),
        Fault::Status(503, "try again later"),
    ] {
        let (fake, daemon, _, id) = in_doubt(std::slice::from_ref(&refusal));
        let cri = daemon.cri();
        fake.hide_jobs(false);
        fake.set_all(&JobState::exited(4));
        assert_eq!(cri.wait_for_exit(&id).exit_code, 4, "{refusal:?}");
        assert_eq!(fake.requests("/create").len(), 2, "{refusal:?}");
    }
}

#[test]
fn a_refused_job_that_may_run_is_deleted() {
    let (fake, daemon, _, id) = in_doubt(&[Fault::Status(400, "sbatch: error: no such partition")]);
    let cri = daemon.cri();
    cri.wait_for_refusal(&id, "no such partition");
    wait_for("the job is gone", || fake.jobs().is_empty().then_some(()));
    wait_for("nothing is owed", || {
        (daemon.owed_cancellations() == 0).then_some(())
    });
}

/// The plugin says that it has the job, and never shows it.
#[test]
fn a_job_that_is_said_to_exist_and_never_shows_is_refused_and_deleted() {
    let exists = Fault::Status(409, "already exists");
    let (fake, daemon, _, id) = in_doubt(&vec![exists; 9]);
    daemon.cri().wait_for_refusal(&id, "already exists");
    wait_for("the job is gone", || fake.jobs().is_empty().then_some(()));
}

/// The pod goes while its job waits for another POST, with a crash in between.
#[test]
fn a_removed_pod_leaves_no_job_that_may_run() {
    for is_killed in [false, true] {
        let outage = vec![Fault::Says(404, "text/plain", "404 page not found\n"); 200];
        let (fake, mut daemon, pod, _) = in_doubt(&outage);
        if is_killed {
            daemon.kill_and_restart();
        }
        let asked = fake.requests("/create").len();
        fake.wait_for_requests("/create", asked + 1);
        daemon.cri().remove_sandbox(&pod);
        wait_for("the job is gone", || fake.jobs().is_empty().then_some(()));
        wait_for("nothing is owed", || {
            (daemon.owed_cancellations() == 0).then_some(())
        });
    }
}

/// `crictl rmp -f`, or a kubelet that lost its sandbox: the same pod comes again while its first job is
/// still owed a DELETE.
#[test]
fn a_uid_that_is_owed_a_deletion_is_not_used_again() {
    let fake = Fake::start();
    let mut daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let start = |cri: &Cri| {
        let pod = cri.run(&sandbox("again"));
        let id = cri.launch(&pod, &container("main", &["true"]));
        (pod, id)
    };
    let uid = |request: &serde_json::Value| request["pod"]["metadata"]["uid"].clone();
    let (first, _) = start(&cri);
    fake.wait_for_requests("/create", 1);
    fake.always("/delete", Some(Fault::Status(503, "slow")));
    cri.remove_sandbox(&first);
    fake.wait_for_requests("/delete", 1);
    daemon.kill_and_restart();
    let cri = daemon.cri();
    let (second, id) = start(&cri);
    let created = fake.wait_for_requests("/create", 2);
    assert_ne!(uid(&created[0]), uid(&created[1]));
    fake.set_all(&JobState::Running);
    fake.always("/delete", None);
    wait_for("the first job is gone", || {
        (fake.jobs().len() == 1 && daemon.owed_cancellations() == 0).then_some(())
    });
    fake.set_all(&JobState::exited(5));
    assert_eq!(cri.wait_for_exit(&id).exit_code, 5);
    cri.remove_sandbox(&second);
    wait_for("the second job is gone", || {
        (fake.jobs().is_empty() && daemon.owed_cancellations() == 0).then_some(())
    });
    // Nothing is owed any more: the pod has its own UID again.
    start(&cri);
    let created = fake.wait_for_requests("/create", 3);
    assert_eq!(uid(&created[0]), uid(&created[2]));
}
