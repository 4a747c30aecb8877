//! interLink's SLURM plugin (github.com/interlink-hq/interlink-slurm-plugin, in Go): what it says, how
//! that is recognised, and what it needs of what it is sent.
//!
//! Files are those in the plugin's `pkg/slurm`: Status.go as of its commit 0cb7f04, Create.go as of
//! 00bfc68, prepare.go and probes.go as of f8451d9. Most of it was seen with the plugin at f8451d9 behind
//! the interLink server at f6321757 and before a SLURM 22.05; see docs/features.md.
//!
//! What it says:
//!
//! | the plugin | where it does so | handled by |
//! |---|---|---|
//! | gives one answer to whatever it is asked within 10 s, so a fresh job is missing from it | Status.go, `StatusHandler`: `timer`, `cachedStatus` | [`REPEATS_ANSWERS_FOR`], `plan::freshness`, `worker::question`; `worker::poll`, which asks when the 10 s are over; `plan::submission` for a fresh job |
//! | reports only what the question has under `spec.containers`; init containers go unmentioned | Status.go: every loop over `pod.Spec.Containers` | `plan::init_containers`, `convert::status_pod` |
//! | gives each container the fate of the whole job, a time limit for one | Status.go: `TO`, `OOM` | [`clear_job_s_fate`], for init containers that ended well before |
//! | says "Waiting for probes to be ready." of a container that runs | Status.go: `R` | [`runs_although_waiting`] |
//! | says nothing of a job that it has no id for: an empty state | Status.go: the branch where `checkIfJidExists` says no | `profile::status_reply` |
//! | reports code 0 and no start for a job whose nodes are made ready (`CF`), and for one that was cancelled while it waited | Status.go: `default`, for every state that its pattern does not know | [`may_not_have_run`], `plan::unproven_exit` |
//! | takes the signal for the exit code of a job whose containers have none: 0 for a script that failed before them, 15 for a cancelled one | Status.go: `SlurmExitCodePattern`; prepare.go: `getExitCode` | [`job_log`], what the job script and slurmstepd have written |
//! | refuses a question for a job that was cancelled while it waited, once SLURM has forgotten it (`MinJobAge`, 300 s) | Status.go: where squeue has an error | `plan::observe`, `lose` |
//! | refuses a question for all jobs because of one whose status file is missing, and names the file | Status.go: where squeue has an error, "unable to retrieve container status" | `worker::poll`, which leaves out the job that is named, or halves the question |
//! | answers 504 when sbatch fails, with its words | Create.go, `SubmitHandler`: `StatusGatewayTimeout` | [`gateway_timeout`] |
//! | forgets a job when it dies between sbatch and its own note | Create.go: `SLURMBatchSubmit`, then `handleJidAndPodUid` | [`log_tells_of_the_job`] |
//! | puts the job's own output before that of a container, so a log grows at its beginning | GetLogs.go | `plan::log_resync` |
//! | begins job.out anew when a job is queued again, and appends to what the container wrote before | prepare.go: `--output`, `runCtn` | [`log_tells_of_the_job`], `plan::log_resync` |
//! | writes a note into a followed log, every 4 s, while there is none | GetLogs.go: "Cannot open in follow mode" | [`log_notes`] |
//! | answers 500 to the deletion of a job that it does not know | not looked up | `plan::call_results`, `may_be_gone` |
//!
//! What it needs of a pod, beyond what Kubernetes asks for:
//!
//! | habit | what is done about it | where |
//! |---|---|---|
//! | flags for sbatch stand in the annotation `slurm-job.vk.io/flags` | the site's partition, account and QoS are added there | [`outgoing`], [`flags`] |
//! | the flags go onto lines `#SBATCH FLAG` without the quotes that they had, before `--uid` of the pod's `runAsUser` | where the site says whose jobs are, flags that change that, in any spelling, are refused | [`restrictions`] |
//! | `pre-exec` and others are copied into the job's script, where lines `#SBATCH` count as well | refused there, too | [`restrictions`] |
//! | a named set of flags stands in `slurm-job.vk.io/flavor` | the site's flavour is written there | [`outgoing`] |
//! | a job without `--time` gets the longest that its partition has; only a script with preStop hooks passes a warning on (hooks.go, `generatePreStopTrap`) | the pod's deadline becomes `--time`, its grace period `--signal=B:TERM@N` where there are such hooks | [`time_limit`] |
//! | GPUs of a pod only choose a flavour with as many; without flavours the job has none (prepare.go, `resolveFlavor`; seen in August 2026) | they become `--gres`, where neither flags nor a flavour say so | [`gpus`] |
//! | no memory limit is taken for 1 MB; a limit counts more than `--mem` among the flags | `jobs.default_memory` becomes the limit, but not beside `--mem` | [`outgoing::default_memory`] |
//! | `defaultMode` is read without looking whether it is there; missing, it crashes the request | Kubernetes' default is written out | [`outgoing`] |
//! | `type` of a host path is read in the same way | Kubernetes' default, the empty text, is written out | [`outgoing`] |
//! | the largest limit of any container is asked for, though all run at once (Create.go, `SubmitHandler`: `cpuLimit`, `memoryLimit`) | what they need together is the limit of one of them | [`allocation`] |
//! | `--mem` and `--cpus-per-task` among the flags are dropped where there is a limit (prepare.go, `produceSLURMScript`) | limits of what the flags say are left out | [`allocation`] |
//! | a readiness or startup probe that is late writes code 1 for all containers of the pod, and they run on (probes.go, `shutDownContainersOnProbeFail`) | only liveness probes are sent | [`probes`] |
//! | a file whose key has a `/` cannot be written, and the whole volume is left out without a word (prepare.go, `mountDataSimpleVolume`: `RemoveAll` clears the error) | directories of volumes are volumes of their own, unless the profile says that the plugin makes them | `convert::volumes` |
//! | an image that is no absolute path and has no scheme gets a prefix; it stands in the job's script without quotes (prepare.go, `prepareImage`) | other images are passed on as they were written, if a shell has nothing to read in them | `convert::image` |

mod allocation;
pub mod flags;
pub mod gateway_timeout;
pub mod gpus;
pub mod job_log;
pub mod log_notes;
mod options;
pub mod outgoing;
mod probes;
pub mod restrictions;
pub mod time_limit;
mod words;

use std::time::Duration;

use crate::plan::ReportedEnd;

/// The plugin's 10 s, and a little. They begin before its answer arrives, so a question that long after
/// the arrival makes it ask SLURM.
pub(super) const REPEATS_ANSWERS_FOR: Duration = Duration::from_millis(10_100);

/// What is said of a container whose job runs while its probes have not passed.
const WAITS_FOR_PROBES: &str = "Waiting for probes";

/// What the job script prints before anything else (prepare.go, `produceSLURMScript`).
const SUBMITTED: &[u8] = b"has been submitted to SLURM node";

/// SLURM's job ids are numbers. Other plugins' are not, and theirs may run without a word.
pub(super) fn is_job_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether the plugin says this end also of jobs that never ran.
pub(super) fn may_not_have_run(end: &ReportedEnd) -> bool {
    end.code == 0 && end.started_at.is_none()
}

/// Whether a container that is said to wait for this reason runs.
pub(super) fn runs_although_waiting(reason: &str) -> bool {
    reason.starts_with(WAITS_FOR_PROBES)
}

/// Takes what happened to the job from the end of a container that was over before.
pub(super) fn clear_job_s_fate(end: &mut ReportedEnd) {
    end.reason.clear();
    end.message.clear();
}

/// Whether the beginning of a log is that of a job that SLURM has, or had.
pub fn log_tells_of_the_job(beginning: &[u8]) -> bool {
    let mut windows = beginning.windows(SUBMITTED.len());
    windows.any(|window| window == SUBMITTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_of_slurm_jobs() {
        for (beginning, is_one) in [
            (
                "This pod web/1 has been submitted to SLURM node n1.\nmore",
                true,
            ),
            ("job 7 not found", false),
            ("", false),
        ] {
            assert_eq!(
                log_tells_of_the_job(beginning.as_bytes()),
                is_one,
                "{beginning}"
            );
        }
    }

    #[test]
    fn ids_of_slurm_jobs() {
        for (id, is_one) in [
            ("4711", true),
            ("local-1f", false),
            ("17.0", false),
            ("", false),
        ] {
            assert_eq!(is_job_id(id), is_one, "{id}");
        }
    }
}
