//! Errors by which a plugin says that it does not know a job. They are answers to a question about that
//! job alone; of a plugin that is ill they say nothing, so nothing is taken for one that could mean a
//! missing command or file of its own.
//!
//! | plugin | words | where |
//! |---|---|---|
//! | those made with the Python SDK | `No containers found for UUID` | answer 404 to /status |
//! | Docker | `Maybe it was deleted or never existed` | pkg/docker/Status.go, `StatusHandler`: answer 404 |
//! | HTCondor | `list index out of range` | answer 500: no job in condor_q's list |
//! | HTCondor | `Pod not found`, `Job 7 not found in HTCondor queue or history`, `No job data found for job 7` | handles.py:768-839 |
//! | SLURM | `open .../main.status: no such file or directory` | Status.go: squeue has forgotten the job, and it left no status file |
//! | SLURM | `Invalid job id specified` | squeue, scancel |
//! | any | `pods "x" not found`, `job 7 does not exist`, `unknown job`, `no such container` | |

/// Words that say it by themselves, in lower case.
const WORDS: [&str; 10] = [
    "no job data found for job",
    "maybe it was deleted or never existed",
    "no containers found for uuid",
    "list index out of range",
    ".status: no such file",
    "invalid job id specified",
    "no such container",
    "no such pod",
    "no such job",
    "unknown job",
];

/// What is said of something that is not there.
const MISSING: [&str; 4] = ["not found", "does not exist", "doesn't exist", "unknown to"];
/// What a job is called.
const JOBS: [&str; 6] = ["pod", "pods", "job", "container", "containers", "uid"];
/// What makes the missing thing another one.
const OTHERS: [&str; 9] = [
    "command",
    "file",
    "directory",
    "module",
    "image",
    "partition",
    "account",
    "script",
    "page",
];

/// Whether an error's words say that a plugin does not know the job that it was asked about.
pub fn is_unknown_job(words: &str) -> bool {
    let lower = words.to_lowercase();
    WORDS.iter().any(|words| lower.contains(words))
        || MISSING.iter().any(|missing| {
            let before = lower.split_once(missing).map(|(before, _)| before);
            before.is_some_and(names_a_job)
        })
}

/// Whether the last sentence of a text is about a job, and about nothing else.
fn names_a_job(before: &str) -> bool {
    let sentence = before.rsplit(['.', ';']).next().unwrap_or(before);
    let has = |list: &[&str]| {
        let mut words = sentence.split(|c: char| !c.is_alphanumeric());
        words.any(|word| list.contains(&word))
    };
    has(&JOBS) && !has(&OTHERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_an_unknown_job() {
        for (words, want) in [
            (r#"{"detail":"No containers found for UUID"}"#, true),
            (
                r#"{"error": "Internal error: list index out of range"}"#,
                true,
            ),
            (
                "open /home/svc/.interlink/default-u/main.status: no such file or directory",
                true,
            ),
            ("slurm_load_jobs error: Invalid job id specified", true),
            (r#"pods "train" not found"#, true),
            (r#"{"error":"Pod not found or already deleted"}"#, true),
            ("No job data found for job 7", true),
            (
                "DIND container with UUID  not found. Maybe it was deleted or never existed.",
                true,
            ),
            ("Error: job 4711 does not exist", true),
            ("No such container: abc", true),
            ("", false),
            ("404 page not found", false),
            ("Not Found", false),
            ("squeue: command not found", false),
            ("cannot list jobs: squeue: command not found", false),
            (
                "open /etc/interlink/config.yaml: no such file or directory",
                false,
            ),
            ("job script not found", false),
            ("container image not found", false),
            ("connection refused", false),
        ] {
            assert_eq!(is_unknown_job(words), want, "{words}");
        }
    }
}
