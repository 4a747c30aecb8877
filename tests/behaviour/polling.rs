//! When the plugin is asked for the state of jobs.

use crate::support::{container, sandbox, Daemon, Fake, JobState};

/// The SLURM plugin gives its last answer again for 10 s, so a question within them is of no use. The
/// test's daemon pings every 200 ms.
#[test]
fn no_ping_brings_a_question_that_would_be_answered_from_memory() {
    let fake = Fake::start();
    fake.number_jobs();
    let daemon = Daemon::with(&fake);
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("numbered"));
    let id = cri.launch(&pod, &container("main", &["true"]));
    // The job's number is known from the answer to its submission.
    fake.wait_for_requests("/status", 1);
    let pings = fake.requests("/pinglink").len();
    fake.wait_for_requests("/pinglink", pings + 10);
    assert_eq!(fake.requests("/status").len(), 1);
    // Within the 10 s, also for a job that is new: the plugin could not show it.
    let next = cri.launch(&pod, &container("next", &["true"]));
    fake.wait_for_requests("/create", 2);
    let pings = fake.requests("/pinglink").len();
    fake.wait_for_requests("/pinglink", pings + 5);
    assert_eq!(fake.requests("/status").len(), 1);
    // And when they are over.
    fake.set("main", &JobState::exited(2));
    fake.set("next", &JobState::exited(3));
    assert_eq!(cri.wait_for_exit(&id).exit_code, 2);
    assert_eq!(cri.wait_for_exit(&next).exit_code, 3);
}
