//! What a job's pod asks for, as far as namespaces have limits of it.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container as PodContainer, PodSpec, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};

use super::{extended, resources, Settings};
use crate::{
    model::{Demand, StringMap},
    proto::ContainerConfig,
    quantity::{parse_cpu, parse_memory},
};

/// Cores and GPUs of a pod: main containers run side by side, init containers one after the other before
/// them. What the pod asks for as a whole counts more. A batch system gives whole cores, and one at the
/// least.
pub fn demand(spec: &PodSpec, settings: &Settings) -> Demand {
    let cpu = |container: &PodContainer| amount(container.resources.as_ref(), "cpu", parse_cpu);
    let of_pod = amount(spec.resources.as_ref(), "cpu", parse_cpu);
    let millicores = of_pod.unwrap_or_else(|| most(spec, |one| cpu(one).unwrap_or_default()));
    let cores = millicores.div_ceil(1000).max(1);
    let gpus = most(spec, |container| {
        let names = settings.extended.iter().map(|extended| extended.name());
        let amounts =
            names.filter_map(|name| amount(container.resources.as_ref(), name, parse_memory));
        amounts.fold(0, u64::saturating_add)
    });
    let small = |amount: u64| u32::try_from(amount).unwrap_or(u32::MAX);
    Demand {
        cores: small(cores),
        gpus: small(gpus),
    }
}

/// What a container of a pod with these annotations asks for by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Thousandths of a core.
    pub millicores: u64,
    /// Bytes of memory.
    pub bytes: u64,
    /// GPUs and what else is in `resources.extended`, by resource name.
    pub extended: BTreeMap<String, u64>,
}

/// What a container asks for by itself, for figures: what cannot be read counts as nothing.
pub fn asked(
    config: &ContainerConfig,
    name: &str,
    annotations: &StringMap,
    settings: &Settings,
) -> Asked {
    let (millicores, bytes) = resources::asked(&config.linux.resources);
    let extended = extended::amounts(&settings.extended, config, name, annotations);
    let extended = extended.unwrap_or_default().into_iter();
    Asked {
        millicores,
        bytes,
        extended: extended
            .filter_map(|(name, amount)| Some((name, amount.0.parse().ok()?)))
            .collect(),
    }
}

/// The most that is needed at once.
fn most(spec: &PodSpec, of: impl Fn(&PodContainer) -> u64) -> u64 {
    let mains = spec.containers.iter().map(&of).fold(0, u64::saturating_add);
    let inits = spec.init_containers.iter().flatten().map(of).max();
    mains.max(inits.unwrap_or_default())
}

/// A limit, or the request where there is none.
fn amount<E>(
    resources: Option<&ResourceRequirements>,
    name: &str,
    parse: fn(&str) -> Result<u64, E>,
) -> Option<u64> {
    let resources = resources?;
    let of = |amounts: &Option<BTreeMap<String, Quantity>>| {
        amounts
            .as_ref()?
            .get(name)
            .and_then(|amount| parse(&amount.0).ok())
    };
    of(&resources.limits).or_else(|| of(&resources.requests))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Config;

    #[test]
    fn what_a_pod_asks_for() {
        let settings = Settings::new(&Config::default()).expect("settings");
        let container = |cpu: &str, gpus: &str| {
            json!({"name": "c", "resources": {
                "limits": {"cpu": cpu, "nvidia.com/gpu": gpus, "example.org/x": "7"},
            }})
        };
        let plain = json!({"name": "c"});
        let request = json!({"name": "c", "resources": {"requests": {"cpu": "2500m"}}});
        for (spec, cores, gpus) in [
            (json!({"containers": [plain]}), 1, 0),
            (
                json!({"containers": [container("1500m", "1"), container("1", "2")]}),
                3,
                3,
            ),
            (
                json!({"containers": [container("1", "1")], "initContainers": [container("4", "0")]}),
                4,
                1,
            ),
            (json!({"containers": [request]}), 3, 0),
            (
                json!({"containers": [plain], "resources": {"limits": {"cpu": "6"}}}),
                6,
                0,
            ),
        ] {
            let parsed: PodSpec = serde_json::from_value(spec.clone()).expect("a spec");
            assert_eq!(demand(&parsed, &settings), Demand { cores, gpus }, "{spec}");
        }
    }
}
