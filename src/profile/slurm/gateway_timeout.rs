//! What an answer 504 means. A proxy says with it that the next one did not answer in time; the SLURM
//! plugin says with it that it could not submit a job, and why (Create.go, `SubmitHandler`).

/// What can be made of the words of a 504 (Gateway Timeout).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayTimeout {
    /// A proxy's: nobody knows what became of the call.
    Unknown,
    /// Somebody's words. A plugin's most likely, who could not do it; but that is not certain.
    Words,
    /// sbatch could not do it.
    Failed,
    /// SLURM cannot do it now: its controller is away, or the user has as many jobs as allowed.
    NotNow,
    /// sbatch had something to say and may have submitted the job all the same, which the plugin then
    /// does not know. To do it again would be one more job each time.
    PerhapsDone,
}

/// Words of proxies, and of an sbatch that had no answer from SLURM itself.
const OUT_OF_TIME: [&str; 4] = ["timeout", "time-out", "timed out", "deadline"];

/// Words of an sbatch that has certainly not submitted, and will when something has changed by itself.
const NOT_NOW: [&str; 3] = [
    "unable to contact slurm controller",
    "standby mode",
    "maxsubmitjob",
];

/// What somebody means who answers 504 with these words.
pub fn gateway_timeout(says: &str) -> GatewayTimeout {
    let says = says.to_lowercase();
    let is_page = says.starts_with('<');
    if says.is_empty() || is_page || OUT_OF_TIME.iter().any(|words| says.contains(words)) {
        return GatewayTimeout::Unknown;
    }
    if !says.contains("sbatch:") {
        return GatewayTimeout::Words;
    }
    let failed = says.contains("submission failed");
    if failed && NOT_NOW.iter().any(|words| says.contains(words)) {
        return GatewayTimeout::NotNow;
    }
    // A warning is no error, and an error after which sbatch goes on is none either.
    let goes_on = says.contains("retrying") && !failed;
    match says.contains("sbatch: error") && !goes_on {
        true => GatewayTimeout::Failed,
        false => GatewayTimeout::PerhapsDone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_told_from_the_plugin() {
        for (says, want) in [
            ("", GatewayTimeout::Unknown),
            ("<html><h1>504 Gateway Time-out</h1></html>", GatewayTimeout::Unknown),
            ("upstream request timeout", GatewayTimeout::Unknown),
            (
                "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
                GatewayTimeout::Unknown,
            ),
            (
                "sbatch: error: invalid partition specified: nonexist \
                 sbatch: error: Batch job submission failed: Invalid partition name specified",
                GatewayTimeout::Failed,
            ),
            (
                "sbatch: error: Batch job submission failed: Unable to contact slurm controller \
                 (connect failure)",
                GatewayTimeout::NotNow,
            ),
            (
                "sbatch: error: QOSMaxSubmitJobPerUserLimit sbatch: error: Batch job submission \
                 failed: Job violates accounting/QOS policy",
                GatewayTimeout::NotNow,
            ),
            ("sbatch: unrecognized option '--x' sbatch: error: bad", GatewayTimeout::Failed),
            (
                "unsupported hostPath type File for volume data in pod train",
                GatewayTimeout::Words,
            ),
            (
                "sbatch: Warning: can't run 1 processes on 2 nodes, setting nnodes to 1",
                GatewayTimeout::PerhapsDone,
            ),
            (
                "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying.",
                GatewayTimeout::PerhapsDone,
            ),
        ] {
            assert_eq!(gateway_timeout(says), want, "{says}");
        }
    }
}
