//! When the plugin is asked for the state of jobs.

use interlink_cri::proto::ContainerState;

use crate::support::{container, sandbox, wait_for, Cri, Daemon, Fake, Fault, FirstOnly, JobState};

/// A pod with a container, `cN`; gives the container's id, and the UID of its job.
pub fn launch(fake: &Fake, cri: &Cri, number: usize) -> (String, String) {
    let before = fake.requests("/create").len();
    let mut config = sandbox(&format!("pod-{number}"));
    config.metadata.mut_or_insert_default().uid = format!("uid-{number}");
    let pod = cri.run(&config);
    let id = cri.launch(&pod, &container(&format!("c{number}"), &["true"]));
    let created = fake.wait_for_requests("/create", before + 1);
    let uid = created[before]["pod"]["metadata"]["uid"].as_str();
    (id, uid.expect("a UID").to_owned())
}

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

/// However the plugin fails over one job, the others are seen, and so is that one when it answers again.
#[test]
fn one_job_over_which_the_plugin_fails_does_not_hide_the_others() {
    let fake = Fake::start();
    let daemon = Daemon::start(&fake.url(), "[interlink]\nrequest_timeout = '700ms'");
    let cri = daemon.cri();
    let json = "application/json";
    let faults = [
        Fault::Says(404, json, r#"{"detail":"Unknown pod"}"#),
        Fault::Says(
            422,
            json,
            r#"{"detail":[{"loc":["body",0,"spec"],"msg":"field required"}]}"#,
        ),
        Fault::Says(
            400,
            json,
            r#"{"error":"Invalid request: Missing pod name in metadata"}"#,
        ),
        Fault::Status(500, ""),
        Fault::Status(502, ""),
        Fault::Status(504, ""),
        Fault::Answer("[{"),
        Fault::DropBefore,
        Fault::Hang,
    ];
    let mut hidden = Vec::new();
    for (row, fault) in faults.iter().enumerate() {
        let launch = |number: usize| launch(&fake, &cri, 3 * row + number);
        let pods = [0, 1, 2].map(launch);
        fake.spoil_status(&pods[1].1, Some(fault.clone()));
        for number in 0..3 {
            let code = i32::try_from(number).expect("small");
            fake.set(&format!("c{}", 3 * row + number), &JobState::exited(code));
        }
        for number in [0, 2] {
            let code = cri.wait_for_exit(&pods[number].0).exit_code;
            assert_eq!(code, i32::try_from(number).expect("small"), "{fault:?}");
        }
        hidden.push(pods[1].clone());
    }
    for (id, _) in &hidden {
        assert_eq!(cri.state(id), ContainerState::CONTAINER_RUNNING);
    }
    let log = daemon.log();
    assert!(log.contains("is asked about by itself"), "{log}");
    for (_, uid) in &hidden {
        fake.spoil_status(uid, None);
    }
    for (id, _) in &hidden {
        assert_eq!(cri.wait_for_exit(id).exit_code, 1);
    }
}

#[test]
fn a_plugin_that_takes_too_long_for_many_jobs_is_asked_about_fewer() {
    let fake = Fake::start();
    let daemon = Daemon::start(&fake.url(), "[interlink]\nrequest_timeout = '700ms'");
    let cri = daemon.cri();
    fake.bear(2);
    let ids: Vec<_> = (0..7).map(|number| launch(&fake, &cri, number).0).collect();
    wait_for("it is learned", || {
        daemon
            .log()
            .contains("jobs at once, so it is asked about fewer")
            .then_some(())
    });
    let before = fake.requests("/status").len();
    let asked = fake.wait_for_requests("/status", before + 12);
    let sizes = asked[before..]
        .iter()
        .map(|jobs| jobs.as_array().map_or(0, Vec::len));
    assert!(sizes.max() <= Some(2), "what it bears is remembered");
    fake.set_all(&JobState::exited(4));
    for id in &ids {
        assert_eq!(cri.wait_for_exit(id).exit_code, 4);
    }
}

/// As plugins made with the Python SDK do by default, with an interLink server in front of them or not.
#[test]
fn a_plugin_that_answers_for_the_first_job_only_is_asked_one_by_one() {
    for how in [FirstOnly::LeavesOut, FirstOnly::Remembers] {
        let fake = Fake::start();
        let daemon = Daemon::with(&fake);
        let cri = daemon.cri();
        fake.answer_first_only(how);
        let ids: Vec<_> = (0..6).map(|number| launch(&fake, &cri, number).0).collect();
        fake.set_all(&JobState::Running);
        const LEARNED: &str = "asked about one job at a time";
        wait_for("it is learned", || {
            daemon.log().contains(LEARNED).then_some(())
        });
        let before = fake.requests("/status").len();
        let asked = fake.wait_for_requests("/status", before + 24);
        let one_by_one = asked[before + 12..]
            .iter()
            .all(|jobs| jobs.as_array().is_some_and(|jobs| jobs.len() == 1));
        assert!(one_by_one, "{how:?}");
        for id in &ids {
            assert_eq!(
                cri.state(id),
                ContainerState::CONTAINER_RUNNING,
                "{how:?}: none is lost"
            );
        }
        fake.set_all(&JobState::exited(5));
        for id in &ids {
            assert_eq!(cri.wait_for_exit(id).exit_code, 5);
        }
        assert_eq!(daemon.log().matches(LEARNED).count(), 1);
    }
}

/// A container of which the plugin never speaks ends with its job, and not before.
#[test]
fn what_a_plugin_never_mentions_ends_with_its_job() {
    let fake = Fake::start();
    let daemon = Daemon::start(&fake.url(), "[jobs]\nquiet_period = '2s'");
    let cri = daemon.cri();
    fake.speak_of_first_containers_only();
    let pod = cri.run(&sandbox("pair"));
    let [a, b] = ["a", "b"].map(|name| cri.launch(&pod, &container(name, &["true"])));
    fake.wait_for_requests("/create", 1);
    fake.set_all(&JobState::Running);
    let polls = fake.requests("/status").len();
    fake.wait_for_requests("/status", polls + 20);
    assert_eq!(cri.state(&b), ContainerState::CONTAINER_RUNNING);
    fake.set("a", &JobState::exited(6));
    assert_eq!(cri.wait_for_exit(&a).exit_code, 6);
    let end = cri.wait_for_exit(&b);
    assert_eq!((end.exit_code, end.reason.as_str()), (6, "Error"));
    assert!(
        end.message.contains("never spoke of this container"),
        "{}",
        end.message
    );
    assert_eq!(fake.requests("/create").len(), 1);
}
