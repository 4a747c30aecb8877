//! A pod's GPUs among the flags for sbatch.

use k8s_openapi::api::core::v1::{Container, Pod};

use super::flags::{self, Flag, FLAGS, FLAVOR};
use crate::{config::schema::Jobs, quantity::parse_memory};

/// What the plugin counts as GPUs (prepare.go, `detectGPUResources`).
const GPUS: [&str; 2] = ["nvidia.com/gpu", "amd.com/gpu"];

/// Asks for the GPUs of a job's pod: those of its containers together, or of the init container that needs
/// more. Nothing is changed where flags say something of GPUs already, or a flavour is asked for.
pub fn complete(pod: &mut Pod, jobs: &Jobs) {
    let Some(spec) = pod.spec.as_ref().filter(|_| !jobs.gres.is_empty()) else {
        return;
    };
    let mains = spec.containers.iter().map(of);
    let mains = mains.fold(0, u64::saturating_add);
    let inits = spec.init_containers.iter().flatten().map(of).max();
    let count = mains.max(inits.unwrap_or_default());
    if count == 0 {
        return;
    }
    let annotations = pod.metadata.annotations.get_or_insert_default();
    let own = annotations.get(FLAGS).map_or("", String::as_str);
    if annotations.contains_key(FLAVOR) || flags::have_gpus(own) {
        return;
    }
    let all = flags::with(own, Flag::Gres, &format!("{}:{count}", jobs.gres));
    annotations.insert(FLAGS.to_owned(), all);
}

fn of(container: &Container) -> u64 {
    let limits = container
        .resources
        .as_ref()
        .and_then(|it| it.limits.as_ref());
    let amounts = GPUS.iter().filter_map(|name| limits?.get(*name));
    // A count may have a suffix, as an amount of memory.
    let counts = amounts.filter_map(|amount| parse_memory(&amount.0).ok());
    counts.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn gpus_are_asked_for_where_nothing_says_so() {
        let container = |name: &str, resource: &str, count: &str| json!({"name": name, "resources": {"limits": {resource: count}}});
        let (one, two) = (
            container("a", "nvidia.com/gpu", "1"),
            container("b", "amd.com/gpu", "2"),
        );
        let init = json!([container("i", "nvidia.com/gpu", "8")]);
        let other = container("c", "example.org/fpga", "3");
        let plain = json!({});
        let flavor = json!({FLAVOR: "gpu"});
        let flags = |text: &str| json!({ FLAGS: text });
        for (containers, inits, annotations, gres, want) in [
            (
                json!([one, two, other]),
                json!([]),
                &plain,
                "gpu",
                "--gres=gpu:3",
            ),
            (json!([one]), init, &plain, "gpu:a100", "--gres=gpu:a100:8"),
            (json!([other]), json!([]), &plain, "gpu", ""),
            (json!([one]), json!([]), &plain, "", ""),
            (json!([one]), json!([]), &flavor, "gpu", ""),
            (
                json!([one]),
                json!([]),
                &flags("-p main"),
                "gpu",
                "-p main --gres=gpu:1",
            ),
            (
                json!([one]),
                json!([]),
                &flags("--gpus-per-node=2"),
                "gpu",
                "--gpus-per-node=2",
            ),
            (json!([one]), json!([]), &flags("-G 4"), "gpu", "-G 4"),
            (
                json!([one]),
                json!([]),
                &flags("--gres=gpu:2"),
                "gpu",
                "--gres=gpu:2",
            ),
        ] {
            let mut pod: Pod = serde_json::from_value(json!({
                "metadata": {"annotations": annotations},
                "spec": {"containers": containers, "initContainers": inits},
            }))
            .expect("a pod");
            let jobs = Jobs {
                gres: gres.to_owned(),
                ..Jobs::default()
            };
            complete(&mut pod, &jobs);
            let annotations = pod.metadata.annotations.unwrap_or_default();
            let flags = annotations.get(FLAGS).map_or("", String::as_str);
            assert_eq!(flags, want, "{annotations:?}");
        }
    }
}
