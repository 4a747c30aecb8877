//! Which probes are sent with a job.
//!
//! The plugin's job script carries probes out beside the containers (probes.go,
//! `generateProbeScript`). A readiness or startup probe that is late writes code 1 into the status
//! files of all containers of the pod, and the containers themselves run on
//! (`shutDownContainersOnProbeFail` kills the shells that wait for them). Nothing follows from a liveness
//! probe but that the container is said to wait, which `runs_although_waiting` knows.

use k8s_openapi::api::core::v1::{Pod, Probe};

/// Kubernetes' defaults (`SetDefaults_Probe` in `pkg/apis/core/v1/defaults.go`).
const PERIOD: i32 = 10;
const FAILURES: i32 = 3;

/// Takes readiness and startup probes from a job's pod. A liveness probe waits instead for as long as
/// the startup probe may take, so that no other plugin ends a container that is still starting.
pub fn complete(pod: &mut Pod) {
    let spec = pod.spec.iter_mut();
    let containers = spec.flat_map(|spec| {
        let inits = spec.init_containers.iter_mut().flatten();
        inits.chain(&mut spec.containers)
    });
    for container in containers {
        container.readiness_probe = None;
        let startup = container.startup_probe.take();
        if let (Some(startup), Some(liveness)) = (startup, &mut container.liveness_probe) {
            let delay = liveness.initial_delay_seconds.unwrap_or(0);
            liveness.initial_delay_seconds = Some(delay.max(longest(&startup)));
        }
    }
}

/// How many seconds may pass until a startup probe has failed.
fn longest(startup: &Probe) -> i32 {
    let period = startup.period_seconds.unwrap_or(PERIOD);
    let failures = startup.failure_threshold.unwrap_or(FAILURES);
    let delay = startup.initial_delay_seconds.unwrap_or(0);
    period.saturating_mul(failures).saturating_add(delay)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_liveness_probes_are_sent_and_wait_for_the_start() {
        let probe = json!({"exec": {"command": ["true"]}});
        for (given, want) in [
            (
                json!({"readinessProbe": probe, "startupProbe": probe}),
                json!({}),
            ),
            (
                json!({"readinessProbe": probe, "livenessProbe": probe}),
                json!({"livenessProbe": probe}),
            ),
            (
                json!({"startupProbe": probe, "livenessProbe": probe}),
                json!({"livenessProbe": {"exec": {"command": ["true"]}, "initialDelaySeconds": 30}}),
            ),
            (
                json!({
                    "startupProbe": {"initialDelaySeconds": 5, "periodSeconds": 2, "failureThreshold": 10},
                    "livenessProbe": {"initialDelaySeconds": 60},
                }),
                json!({"livenessProbe": {"initialDelaySeconds": 60}}),
            ),
            (
                json!({
                    "startupProbe": {"periodSeconds": i32::MAX, "failureThreshold": i32::MAX},
                    "livenessProbe": {},
                }),
                json!({"livenessProbe": {"initialDelaySeconds": i32::MAX}}),
            ),
        ] {
            let container = |mut with: serde_json::Value| {
                with["name"] = json!("c");
                with
            };
            let spec = json!({"containers": [container(given.clone())]});
            let mut pod: Pod =
                serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
            complete(&mut pod);
            let got = &pod.spec.unwrap().containers[0];
            assert_eq!(json!(got), container(want), "{given}");
        }
    }
}
