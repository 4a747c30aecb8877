//! The words that plugins have for what happened to a job. Job and Deployment controllers act on exit
//! codes and reasons, so that the kubelet is shown the same for the same cause.

use crate::{
    model::{exit_code, exit_reason},
    plan::KnownEnd,
};

const TIME_LIMIT: &str = "the job reached its time limit at the site";
const NODE_FAILED: &str = "the node that the job ran on failed";

/// The words, in the order in which they are looked through.
pub(super) const KNOWN: [KnownEnd; 10] = [
    // Kubernetes, and the SLURM plugin since it tells OOM (pkg/slurm/Status.go, ReasonOOMKilled).
    known(
        "OOMKilled",
        exit_code::KILLED,
        exit_reason::OUT_OF_MEMORY,
        "",
    ),
    // From here on in capital letters: job states as squeue(1) has them.
    known(
        "OUT_OF_MEMORY*",
        exit_code::KILLED,
        exit_reason::OUT_OF_MEMORY,
        "",
    ),
    // The SLURM plugin (pkg/slurm/Status.go, ReasonSlurmJobTimeout).
    known(
        "*JobTimeout",
        exit_code::TIMED_OUT,
        exit_reason::TIME_LIMIT,
        TIME_LIMIT,
    ),
    known(
        "TIMEOUT",
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
    known(
        "*Preempt*",
        exit_code::TERMINATED,
        exit_reason::PREEMPTED,
        "the site needed the node for another job",
    ),
    known(
        "NODE_FAIL*",
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
        "the node that the job was to run on failed",
    ),
    known(
        "*Cancel*",
        exit_code::TERMINATED,
        exit_reason::CANCELLED,
        "somebody cancelled the job at the site",
    ),
];

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
