//! A pod's deadline as the time limit of its job.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::flags::{self, Flag, FLAGS};
use crate::config::schema::{EndWarning, Jobs};

/// What a pod has that says nothing (`DefaultTerminationGracePeriodSeconds` in `pkg/apis/core/types.go` of
/// Kubernetes).
const DEFAULT_GRACE: i64 = 30;
/// The longest warning that sbatch takes, in seconds (sbatch(1), `--signal`).
const MAX_WARNING: i64 = 65_535;

/// Gives a job's pod the deadline that is `written` in the pod of the API server, unless its flags have a
/// time limit: a job without one gets the longest that its partition has, and waits for room for that.
///
/// The warning is TERM to the job's script. Only where a main container has a preStop hook does the script
/// pass it on to its containers (hooks.go, `generatePreStopTrap`); any other script ends by it, and its
/// containers with it. Without a warning SLURM sends TERM to all processes at the limit, and KILL after
/// slurm.conf's KillWait.
pub fn complete(pod: &mut Pod, written: &PodSpec, jobs: &Jobs) {
    let deadline = written
        .active_deadline_seconds
        .filter(|deadline| *deadline > 0);
    let Some(deadline) = deadline.filter(|_| jobs.time_limit) else {
        return;
    };
    let spec = pod.spec.get_or_insert_default();
    spec.active_deadline_seconds = Some(deadline);
    let passes_on = spec.containers.iter().any(has_pre_stop_hook);
    let annotations = pod.metadata.annotations.get_or_insert_default();
    let own = annotations.get(FLAGS).map_or("", String::as_str);
    if flags::has(own, Flag::Time) {
        return;
    }
    // sbatch counts in minutes.
    let minutes = deadline.unsigned_abs().div_ceil(60);
    let mut all = flags::with(own, Flag::Time, &minutes.to_string());
    let grace = written
        .termination_grace_period_seconds
        .unwrap_or(DEFAULT_GRACE);
    let grace = grace.min(MAX_WARNING);
    let is_warned = match jobs.end_warning {
        EndWarning::Auto => passes_on,
        EndWarning::Always => true,
        EndWarning::Never => false,
    };
    if is_warned && (1..deadline).contains(&grace) && !flags::has(own, Flag::Signal) {
        all = flags::with(&all, Flag::Signal, &format!("B:TERM@{grace}"));
    }
    annotations.insert(FLAGS.to_owned(), all);
}

fn has_pre_stop_hook(container: &Container) -> bool {
    let hook = container.lifecycle.as_ref();
    let hook = hook.and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    hook.is_some_and(|hook| hook.exec.is_some() || hook.http_get.is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deadline_is_a_time_limit() {
        let (auto, always) = (EndWarning::Auto, EndWarning::Always);
        for (deadline, grace, own, hook, warning, want) in [
            (None, None, "-p gpu", false, always, "-p gpu"),
            (Some(0), None, "", false, always, ""),
            (Some(60), None, "", false, auto, "--time=1"),
            (Some(61), None, "-p gpu", false, auto, "-p gpu --time=2"),
            (
                Some(3600),
                Some(90),
                "",
                true,
                auto,
                "--time=60 --signal=B:TERM@90",
            ),
            (
                Some(3600),
                None,
                "",
                false,
                always,
                "--time=60 --signal=B:TERM@30",
            ),
            (
                Some(3600),
                Some(90),
                "",
                true,
                EndWarning::Never,
                "--time=60",
            ),
            (Some(3600), Some(0), "", true, auto, "--time=60"),
            // No time is left before the warning.
            (Some(60), Some(60), "", true, auto, "--time=1"),
            (
                Some(200_000),
                Some(100_000),
                "",
                true,
                auto,
                "--time=3334 --signal=B:TERM@65535",
            ),
            (Some(60), None, "-t 5", true, auto, "-t 5"),
            (
                Some(60),
                None,
                "--time=1:00:00",
                true,
                auto,
                "--time=1:00:00",
            ),
            (
                Some(90),
                None,
                "--signal=USR1",
                true,
                auto,
                "--signal=USR1 --time=2",
            ),
            (
                Some(i64::MAX),
                None,
                "",
                false,
                auto,
                "--time=153722867280912931",
            ),
        ] {
            let hook = match hook {
                true => json!({"preStop": {"exec": {"command": ["save"]}}}),
                false => json!(null),
            };
            let mut pod: Pod = serde_json::from_value(json!({
                "metadata": {"annotations": {FLAGS: own}},
                "spec": {"containers": [{"name": "a", "lifecycle": hook}]},
            }))
            .expect("a pod");
            let written: PodSpec = serde_json::from_value(json!({
                "containers": [],
                "activeDeadlineSeconds": deadline,
                "terminationGracePeriodSeconds": grace,
            }))
            .expect("a spec");
            let jobs = Jobs {
                end_warning: warning,
                ..Jobs::default()
            };
            complete(&mut pod, &written, &jobs);
            let got = pod.metadata.annotations.as_ref().expect("annotations");
            assert_eq!(got[FLAGS], want, "{deadline:?} {grace:?} {own}");
            let sent = pod
                .spec
                .as_ref()
                .and_then(|spec| spec.active_deadline_seconds);
            assert_eq!(sent, deadline.filter(|deadline| *deadline > 0));
            let before = pod.clone();
            let jobs = Jobs {
                time_limit: false,
                ..Jobs::default()
            };
            complete(&mut pod, &written, &jobs);
            assert_eq!(pod, before, "not wanted");
        }
    }
}
