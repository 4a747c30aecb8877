//! How the SLURM plugin's jobs end, as their logs tell it. It reports neither why SLURM has ended a job nor
//! the exit code of one whose containers have none.

use serde_json::json;

use crate::support::{container, sandbox, Cri, Daemon, Fake, JobState, JOB_NUMBER};

const BEGINNING: &str = "This pod web/7 has been submitted to SLURM node n1.\n";

/// A pod whose container has ended with this `terminated` object, and whose job has written this.
fn ended(fake: &Fake, cri: &Cri, name: &str, state: serde_json::Value, job_log: &str) -> String {
    let mut config = sandbox(name);
    config.metadata.mut_or_insert_default().uid = format!("uid-{name}");
    fake.set_job_log(name, job_log);
    let before = fake.requests("/create").len();
    let id = cri.launch(&cri.run(&config), &container(name, &["true"]));
    fake.wait_for_requests("/create", before + 1);
    fake.set(name, &JobState::Ended(state));
    id
}

#[test]
fn are_told_by_what_slurm_and_the_job_script_have_written() {
    let fake = Fake::start();
    fake.number_jobs();
    let daemon = Daemon::start(&fake.url(), "[jobs]\nprepare_grace = '1s'");
    let cri = daemon.cri();
    let by_slurm = |why: &str| {
        format!("{BEGINNING}slurmstepd: error: *** JOB {JOB_NUMBER} ON n1 CANCELLED AT 2026-01-02T10:00:00{why} ***\n")
    };
    let started = json!({"exitCode": 0, "startedAt": "2026-01-02T10:00:00Z"});
    let not_started = json!({"exitCode": 0, "startedAt": null});
    let word = format!("{BEGINNING}2026 Container d pid 12 ended with status 0.\n");
    let rows = [
        (
            "a",
            json!({"exitCode": 15}),
            by_slurm(""),
            (143, "Cancelled"),
        ),
        (
            "b",
            started.clone(),
            by_slurm(" DUE TO PREEMPTION"),
            (143, "Preempted"),
        ),
        (
            "c",
            not_started.clone(),
            by_slurm(" DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS"),
            (137, "NodeFailure"),
        ),
        ("d", not_started.clone(), word, (0, "Completed")),
        ("e", started, BEGINNING.to_owned(), (0, "Completed")),
    ];
    let ids = rows
        .iter()
        .map(|(name, state, log, _)| ended(&fake, &cri, name, state.clone(), log));
    let ids: Vec<_> = ids.collect();
    // Cancelled while it waited: it has no log at all.
    let waited = ended(&fake, &cri, "f", not_started, "");
    for (id, (name, .., want)) in ids.iter().zip(&rows) {
        let status = cri.wait_for_exit(id);
        assert_eq!((status.exit_code, &*status.reason), *want, "{name}");
    }
    let status = cri.wait_for_exit(&waited);
    assert_eq!((status.exit_code, &*status.reason), (143, "Cancelled"));
    assert!(
        status.message.contains("jobs.prepare_grace"),
        "{}",
        status.message
    );
    // If its nodes were being made ready, it must not run.
    let deleted = fake.wait_for_requests("/delete", 1);
    assert_eq!(deleted[0]["spec"]["containers"][0]["name"], "f");
}
