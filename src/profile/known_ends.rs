//! The words that plugins have for what happened to a job. Job and Deployment controllers act on exit
//! codes and reasons, so that the kubelet is shown the same for the same cause.
//!
//! [`KNOWN`] has the causes that have a code and a reason of their own. Job states of SLURM come as
//! squeue(1) has them, long and short, and as sacct(1) cuts them off at ten characters (`OUT_OF_ME+`).
//!
//! Plugins report many of these with exit code 0, because no process gave one. [`means_failure`] tells a
//! word that stands for a failure, whatever it is: such an end is never a success. Its code is 1 then,
//! unless [`KNOWN`] or the site has a better one.

use crate::{
    model::{exit_code, exit_reason},
    plan::KnownEnd,
};

const TIME_LIMIT: &str = "the job reached its time limit at the site";
const NODE_FAILED: &str = "the node that the job ran on failed";
const BOOT_FAILED: &str = "the node that the job was to run on failed";
const PREEMPTED: &str = "the site needed the node for another job";
const CANCELLED: &str = "somebody cancelled the job at the site";

/// The words, in the order in which they are looked through.
pub(super) const KNOWN: &[KnownEnd] = &[
    // Kubernetes, and the SLURM plugin since it tells OOM (pkg/slurm/Status.go, ReasonOOMKilled).
    known(
        "OOMKilled",
        exit_code::KILLED,
        exit_reason::OUT_OF_MEMORY,
        "",
    ),
    // From here on in capital letters: job states as squeue(1) has them.
    known(
        "OUT_OF_ME*",
        exit_code::KILLED,
        exit_reason::OUT_OF_MEMORY,
        "",
    ),
    known("OOM", exit_code::KILLED, exit_reason::OUT_OF_MEMORY, ""),
    // The SLURM plugin (pkg/slurm/Status.go, ReasonSlurmJobTimeout).
    known(
        "*JobTimeout",
        exit_code::TIMED_OUT,
        exit_reason::TIME_LIMIT,
        TIME_LIMIT,
    ),
    known(
        "TIMEOU*",
        exit_code::TIMED_OUT,
        exit_reason::TIME_LIMIT,
        TIME_LIMIT,
    ),
    known(
        "TO",
        exit_code::TIMED_OUT,
        exit_reason::TIME_LIMIT,
        TIME_LIMIT,
    ),
    // Kubernetes, for Jobs and pods with `activeDeadlineSeconds`.
    known(
        "DeadlineExceeded",
        exit_code::TIMED_OUT,
        exit_reason::TIME_LIMIT,
        TIME_LIMIT,
    ),
    // The deadline of a job, which its submission or the site's policy sets.
    known(
        "DEADLINE",
        exit_code::TIMED_OUT,
        exit_reason::TIME_LIMIT,
        TIME_LIMIT,
    ),
    known(
        "DL",
        exit_code::TIMED_OUT,
        exit_reason::TIME_LIMIT,
        TIME_LIMIT,
    ),
    known(
        "*Preempt*",
        exit_code::TERMINATED,
        exit_reason::PREEMPTED,
        PREEMPTED,
    ),
    known(
        "PR",
        exit_code::TERMINATED,
        exit_reason::PREEMPTED,
        PREEMPTED,
    ),
    known(
        "NODE_FAIL*",
        exit_code::KILLED,
        exit_reason::NODE_FAILURE,
        NODE_FAILED,
    ),
    known(
        "NF",
        exit_code::KILLED,
        exit_reason::NODE_FAILURE,
        NODE_FAILED,
    ),
    known(
        "*NodeFail*",
        exit_code::KILLED,
        exit_reason::NODE_FAILURE,
        NODE_FAILED,
    ),
    known(
        "BOOT_FAIL",
        exit_code::KILLED,
        exit_reason::NODE_FAILURE,
        BOOT_FAILED,
    ),
    known(
        "BF",
        exit_code::KILLED,
        exit_reason::NODE_FAILURE,
        BOOT_FAILED,
    ),
    known(
        "*Cancel*",
        exit_code::TERMINATED,
        exit_reason::CANCELLED,
        CANCELLED,
    ),
    known(
        "CA",
        exit_code::TERMINATED,
        exit_reason::CANCELLED,
        CANCELLED,
    ),
    // Another cluster of a federation has started the job's sibling.
    known(
        "REVOKED",
        exit_code::TERMINATED,
        exit_reason::CANCELLED,
        CANCELLED,
    ),
    known(
        "RV",
        exit_code::TERMINATED,
        exit_reason::CANCELLED,
        CANCELLED,
    ),
    // HTCondor, of a job that condor_rm(1) or a policy has removed from the queue.
    known(
        "Removed",
        exit_code::TERMINATED,
        exit_reason::CANCELLED,
        CANCELLED,
    ),
];

/// Words that stand for a failure, at whose beginning one of a reason may be cut off.
const FAILURES: [&str; 17] = [
    "abort", "cancel", "crash", "deadline", "denied", "error", "evict", "fail", "held", "kill",
    "lost", "oom", "preempt", "reject", "removed", "suspend", "timeou",
];

/// The same, as a reason as a whole: where no word of it tells.
const FAILED_STATES: [&str; 15] = [
    // SLURM, short.
    "f",
    "ca",
    "to",
    "nf",
    "pr",
    "bf",
    "dl",
    "rv",
    // SLURM, and as sacct(1) cuts it.
    "revoked",
    "outofme",
    "outofmemory",
    "launchfa",
    "reconfig",
    // Kubernetes.
    "containercannotrun",
    "unexpectedadmission",
];

/// Words after which nothing of a reason counts: `NoError`, `Completed with 0 errors`.
const SUCCESSES: [&str; 12] = [
    "0",
    "complete",
    "completed",
    "done",
    "no",
    "ok",
    "succeeded",
    "success",
    "successful",
    "successfully",
    "without",
    "zero",
];

/// Whether a reason stands for a failure, in any spelling: `NODE_FAIL`, `SlurmJobTimeout`, `oomkilled`,
/// `CANCELLED+`.
pub(super) fn means_failure(reason: &str) -> bool {
    let words = words(reason);
    let is_known = |known: &[&str], word: &str| known.contains(&word);
    if words.iter().any(|word| is_known(&SUCCESSES, word)) {
        return false;
    }
    let fails = |word: &String| FAILURES.iter().any(|failure| word.starts_with(failure));
    let whole = words.concat();
    let ends = ["fail", "failed", "failure", "error", "killed", "timeout"];
    is_known(&FAILED_STATES, &whole)
        || words.iter().any(fails)
        || ends.iter().any(|end| whole.ends_with(end))
}

/// The words of a reason in small letters: parted by a change to capital letters, and by all that is
/// neither letter nor digit.
fn words(reason: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut last = ' ';
    for c in reason.chars() {
        if c.is_alphanumeric() {
            match words.last_mut() {
                Some(word)
                    if last.is_alphanumeric() && !(last.is_lowercase() && c.is_uppercase()) =>
                {
                    word.extend(c.to_lowercase());
                }
                _ => words.push(c.to_lowercase().collect()),
            }
        }
        last = c;
    }
    words
}

const fn known(
    when_reason: &'static str,
    code: i32,
    reason: &'static str,
    message: &'static str,
) -> KnownEnd {
    KnownEnd {
        when_reason,
        code,
        reason,
        message,
    }
}

#[cfg(test)]
mod tests {
    use crate::{config::Config, plan::ReportedEnd, profile};

    fn shown(toml: &str, reported: (i32, &str, &str)) -> String {
        let config: Config = toml::from_str(toml).unwrap();
        let (code, reason, message) = reported;
        let table = profile::rules(&config).exit_table;
        let shown = table.shown(&ReportedEnd {
            code,
            reason: reason.to_owned(),
            message: message.to_owned(),
            ..ReportedEnd::default()
        });
        format!("{} {}: {}", shown.code, shown.reason, shown.explanation)
    }

    #[test]
    fn common_ends_of_jobs_are_known() {
        for (reported, want) in [
            ((0, "OOMKilled", ""), "137 OOMKilled: "),
            ((1, "OUT_OF_MEMORY", "m"), "137 OOMKilled: "),
            (
                (0, "SlurmJobTimeout", ""),
                "124 TimeLimit: the job reached its time limit at the site",
            ),
            (
                (9, "timeout", ""),
                "124 TimeLimit: the job reached its time limit at the site",
            ),
            (
                (0, "PREEMPTED", ""),
                "143 Preempted: the site needed the node for another job",
            ),
            (
                (0, "NODE_FAIL", ""),
                "137 NodeFailure: the node that the job ran on failed",
            ),
            (
                (1, "SlurmNodeFailure", ""),
                "137 NodeFailure: the node that the job ran on failed",
            ),
            (
                (0, "CANCELLED", ""),
                "143 Cancelled: somebody cancelled the job at the site",
            ),
            ((0, "Completed", ""), "0 Completed: "),
            ((3, "", "m"), "3 : "),
            ((3, "Error", ""), "3 Error: "),
        ] {
            assert_eq!(shown("", reported), want, "{reported:?}");
            let as_is = format!("{} {}: ", reported.0, reported.1);
            assert_eq!(shown("[states]\nbuiltin = false", reported), as_is);
        }
    }

    #[test]
    fn states_that_are_cut_or_short_are_known() {
        for (states, want) in [
            (&["OUT_OF_ME+", "out_of_memory", "OOM"][..], "137 OOMKilled"),
            (
                &["TIMEOU+", "TIMEOUT", "to", "DEADLINE", "DL"],
                "124 TimeLimit",
            ),
            (&["PREEMPTED", "PREEMPTE+", "PR"], "143 Preempted"),
            (&["NODE_FAIL", "NF", "BOOT_FAIL", "BF"], "137 NodeFailure"),
            (
                &[
                    "CANCELLED+",
                    "CANCELLED by 1000",
                    "CA",
                    "REVOKED",
                    "RV",
                    "Removed",
                ],
                "143 Cancelled",
            ),
        ] {
            for state in states {
                let shown = shown("", (0, state, ""));
                assert!(shown.starts_with(want), "{state}: {shown}");
                assert!(super::means_failure(state), "{state}");
            }
        }
    }

    #[test]
    fn reasons_that_mean_a_failure() {
        for reason in [
            "FAILED",
            "FAILED+",
            "F",
            "failure",
            "Error",
            "ERROR",
            "LAUNCH_FAILED",
            "LAUNCH_FA+",
            "RECONFIG_FAIL",
            "Held",
            "JobHeld",
            "Suspended",
            "OOMKilled",
            "oomkilled",
            "Evicted",
            "ContainerCannotRun",
            "CONTAINERCANNOTRUN",
            "DeadlineExceeded",
            "StartError",
            "killed",
            "SlurmNodeFailure",
            "nodefail",
            "slurmjobtimeout",
            "Job failed",
            "JobLost",
            "CrashLoopBackOff",
            "Aborted",
        ] {
            assert!(super::means_failure(reason), "{reason}");
        }
        for reason in [
            "",
            "Completed",
            "COMPLETED",
            "CD",
            "Succeeded",
            "Success",
            "OK",
            "Done",
            "Exited",
            "NoError",
            "NO_ERROR",
            "Completed with 0 errors",
            "without failure",
            "Room",
            "Total",
            "Finished",
            "Terminated",
            "Strange",
            "é+",
            "COMPLETING",
        ] {
            assert!(!super::means_failure(reason), "{reason}");
        }
    }

    #[test]
    fn the_site_s_own_entries_come_first() {
        let toml =
            "[[states.handlers]]\nwhen_reason = 'slurmjobtimeout'\nwhen_message = '*grace*'\n\
                    exit_code = 0\nreason = 'Completed'\n\
                    [[states.handlers]]\nwhen_exit_code = 42\nmessage = 'licence server away'\n\
                    [[states.handlers]]\nwhen_reason = 'LOST'\nexit_code = 200";
        for (reported, want) in [
            ((1, "SlurmJobTimeout", "in its grace time"), "0 Completed: "),
            (
                (1, "SlurmJobTimeout", "x"),
                "124 TimeLimit: the job reached its time limit at the site",
            ),
            ((42, "Error", "x"), "42 Error: licence server away"),
            ((1, "Lost", "x"), "200 Lost: "),
        ] {
            assert_eq!(shown(toml, reported), want, "{reported:?}");
        }
    }
}
