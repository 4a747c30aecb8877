//! No remote job outlives its pod: cancellations are owed until they are confirmed.

use crate::support::{container, log_text, sandbox, wait_for, Daemon, Fake, Fault, JobState};
use interlink_cri::proto::ContainerState;

#[test]
fn a_shared_job_is_cancelled_with_its_last_container() {
    let fake = Fake::start();
    // Long enough for two starts on a machine under load.
    let daemon = Daemon::start(&fake.url(), "[jobs]\nquiet_period = '2s'");
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("shared"));
    let a = cri.launch(&pod, &container("a", &["true"]));
    let b = cri.launch(&pod, &container("b", &["true"]));
    fake.wait_for_requests("/create", 1);
    fake.set_all(&JobState::Running);
    cri.stop(&a);
    assert_eq!(cri.status(&a).exit_code, 137);
    assert_eq!(cri.state(&b), ContainerState::CONTAINER_RUNNING);
    let polls = fake.requests("/status").len();
    fake.wait_for_requests("/status", polls + 3);
    assert!(fake.requests("/delete").is_empty(), "b goes on");
    assert_eq!(
        cri.status(&a).exit_code,
        137,
        "the plugin's running resurrects nothing"
    );
    cri.stop(&b);
    let deleted = fake.wait_for_requests("/delete", 1);
    assert_eq!(deleted[0]["metadata"]["deletionGracePeriodSeconds"], 2);
}

#[test]
fn the_rest_of_the_log_is_fetched_before_the_job_goes() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("last-words"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    fake.wait_for_requests("/create", 1);
    fake.set_log("main", "all of it\n");
    let log = cri.status(&id).log_path;
    cri.stop_sandbox(&pod);
    fake.wait_for_requests("/delete", 1);
    assert_eq!(log_text(log.as_ref()), "all of it\n");
}

#[test]
fn a_cancellation_is_delivered_across_errors_outages_and_crashes() {
    let mut fake = Fake::start();
    let mut daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("owed"));
    cri.launch(&pod, &container("main", &["true"]));
    fake.wait_for_requests("/create", 1);
    fake.set_all(&JobState::Running);
    let polls = fake.requests("/status").len();
    fake.wait_for_requests("/status", polls + 2);
    fake.down();
    cri.remove_sandbox(&pod);
    daemon.kill_and_restart();
    fake.faults(
        "/delete",
        &[Fault::Status(500, "scancel failed"), Fault::DropBefore],
    );
    fake.up();
    wait_for("the job is gone", || fake.jobs().is_empty().then_some(()));
    assert!(fake.requests("/delete").len() >= 3);
    wait_for("nothing is owed any more", || {
        (daemon.owed_cancellations() == 0).then_some(())
    });
}

#[test]
fn a_job_in_doubt_whose_pod_is_gone_is_found_and_cancelled() {
    let fake = Fake::start();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    // Taken, but nobody learns of it; and then the plugin cannot be asked for a while.
    fake.faults("/create", &[Fault::DropAfter]);
    fake.always("/status", Some(Fault::Status(503, "away")));
    let pod = cri.run(&sandbox("ghost"));
    cri.launch(&pod, &container("main", &["true"]));
    wait_for("the job is there", || {
        (fake.jobs().len() == 1).then_some(())
    });
    cri.remove_sandbox(&pod);
    fake.always("/status", None);
    wait_for("the job is gone", || fake.jobs().is_empty().then_some(()));
    assert_eq!(fake.requests("/create").len(), 1);
}
