//! What a job's own output tells of its end. It stands at the beginning of the log of each of its
//! containers.
//!
//! The job script says when a container has ended, after it has written the file from which the plugin
//! reads its exit code, and when it is at its own end (prepare.go, `waitCtns`, `endScript`; since c96b591).
//! What the plugin says of a job without such a file is no exit code: it reads the last number in squeue's
//! `CODE:SIGNAL` (Status.go, `SlurmExitCodePattern`), so that a script that ends with 100 before its
//! containers run comes out as 0, and a cancelled one as 15.
//!
//! Where SLURM ends a job, slurmstepd writes why (slurm, src/slurmd/slurmstepd/req.c,
//! `_handle_signal_container`; as of 22.05):
//!
//! ```text
//! slurmstepd: error: *** JOB 5 ON n1 CANCELLED AT 2026-01-02T10:00:00 ***
//! slurmstepd: error: *** JOB 5 ON n1 CANCELLED AT 2026-01-02T10:00:00 DUE TO TIME LIMIT ***
//! ```

use crate::plan::JobLog;

/// How much of a log is looked through: the job's own output is short.
pub const LOOKED_THROUGH: usize = 256 << 10;

const SCRIPT_ENDS: &str = "End of script, highest exit code ";

/// Why SLURM ended a job, as slurmstepd writes it, and the state that squeue(1) has for it. A job that is
/// queued again has not ended.
const CAUSES: [(&str, Option<&str>); 5] = [
    (" DUE TO TIME LIMIT", Some("TIMEOUT")),
    (" DUE TO PREEMPTION", Some("PREEMPTED")),
    (" DUE TO NODE FAILURE", Some("NODE_FAIL")),
    (" DUE TO JOB REQUEUE", None),
    ("", Some("CANCELLED")),
];

/// Reads the beginning of a log: whether these containers of a job with this id have ended by themselves,
/// and else what became of the job.
pub fn job_log(log: &[u8], job_id: &str, names: &[&str]) -> JobLog {
    let text = String::from_utf8_lossy(log);
    let has_ended = |name: &&str| text.lines().any(|line| says_ended(line, name));
    let is_at_end = || text.lines().any(|line| line.contains(SCRIPT_ENDS));
    if text.trim().is_empty() {
        return JobLog::Nothing;
    }
    if (!names.is_empty() && names.iter().all(has_ended)) || is_at_end() {
        return JobLog::Ended;
    }
    let last = text.lines().rev().find_map(|line| cause(line, job_id));
    match last.flatten() {
        Some(state) => JobLog::EndedBySite(state),
        None => JobLog::Begun,
    }
}

/// `DATE Container NAME pid PID ended with status CODE.`
fn says_ended(line: &str, name: &str) -> bool {
    let said = line.split_once(' ').map_or("", |(_, said)| said);
    let said = said.strip_prefix("Container ");
    let of_it = said.and_then(|said| said.strip_prefix(name));
    of_it.is_some_and(|rest| rest.starts_with(" pid ") && rest.contains(" ended with status "))
}

/// What a line says of the end of a job, and of this one.
fn cause(line: &str, job_id: &str) -> Option<Option<&'static str>> {
    let said = line.strip_prefix("slurmstepd")?.split_once("*** JOB ")?.1;
    let said = said.strip_prefix(job_id)?.strip_prefix(" ON ")?;
    let (_, why) = said.split_once(" CANCELLED AT ")?;
    let known = CAUSES.iter().find(|(words, _)| why.contains(words));
    known.map(|(_, state)| *state)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGINNING: &str = "This pod web/7 has been submitted to SLURM node n1.\n\
        To get more info, please run: scontrol show job 5.\n\
        2026-01-02T10:00:00+00:00 Running in background a pid 12...\n";

    fn read(end: &str) -> JobLog {
        job_log(format!("{BEGINNING}{end}").as_bytes(), "5", &["a"])
    }

    #[test]
    fn ends_of_jobs() {
        use JobLog::{Begun, Ended, EndedBySite};
        let cancelled = |why: &str| {
            read(&format!(
                "slurmstepd: error: *** JOB 5 ON n1 CANCELLED AT 2026-01-02T10:00:00{why} ***\n"
            ))
        };
        for (got, want) in [
            (read(""), Begun),
            (
                read("2026-01-02T10:00:01+00:00 Container a pid 12 ended with status 0.\n"),
                Ended,
            ),
            (
                read("2026-01-02T10:00:01+00:00 Container ab pid 12 ended with status 0.\n"),
                Begun,
            ),
            (
                read("2026-01-02T10:00:01+00:00 End of script, highest exit code 0...\n"),
                Ended,
            ),
            (
                read("2026-01-02T10:00:01+00:00 Waiting for container a pid 12...\n"),
                Begun,
            ),
            (cancelled(""), EndedBySite("CANCELLED")),
            (cancelled(" DUE TO TIME LIMIT"), EndedBySite("TIMEOUT")),
            (cancelled(" DUE TO PREEMPTION"), EndedBySite("PREEMPTED")),
            (
                cancelled(" DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS"),
                EndedBySite("NODE_FAIL"),
            ),
            (cancelled(" DUE TO JOB REQUEUE"), Begun),
            (
                read("slurmstepd-n1: error: *** JOB 5 ON n1 CANCELLED AT 2026 ***\nout\n"),
                EndedBySite("CANCELLED"),
            ),
            // Another job, a step of it, and a container that speaks of such a line.
            (
                read("slurmstepd: error: *** JOB 55 ON n1 CANCELLED AT 2026 ***\n"),
                Begun,
            ),
            (
                read("slurmstepd: error: *** STEP 5.0 ON n1 CANCELLED AT 2026 ***\n"),
                Begun,
            ),
            (
                read("it says slurmstepd: error: *** JOB 5 ON n1 CANCELLED AT 2026 ***\n"),
                Begun,
            ),
            (job_log(b"preparing\n", "5", &["a"]), Begun),
            (job_log(b"", "5", &["a"]), JobLog::Nothing),
        ] {
            assert_eq!(got, want);
        }
    }

    #[test]
    fn each_container_has_to_have_ended() {
        let log = b"D Container a pid 1 ended with status 0.\n";
        assert_eq!(job_log(log, "5", &["a", "b"]), JobLog::Begun);
        let log = [&log[..], b"D Container b pid 1 ended with status 3.\n"].concat();
        assert_eq!(job_log(&log, "5", &["a", "b"]), JobLog::Ended);
        assert_eq!(job_log(&log, "5", &[]), JobLog::Begun);
    }
}
