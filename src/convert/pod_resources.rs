//! Resources of a pod as a whole (`spec.resources`; the feature PodLevelResources, stable since
//! Kubernetes 1.37).
//!
//! The CRI has them in the sandbox, where they look like the sum of the containers, and in each
//! container that has no limit of its own: a kubelet gives it the pod's (`getCPULimit` and
//! `getMemoryLimit` in `pkg/kubelet/kuberuntime/kuberuntime_container_linux.go`). Sent like that, every
//! such container would ask for what all of them have together.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container as PodContainer, PodSpec, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};

use super::{api_spec, resources};
use crate::{proto::LinuxContainerResources, quantity};

/// Reads an amount; none where it is none.
type Read = fn(&str) -> Option<u64>;

/// The amounts that the kubelet lends from the pod, and how each is read.
const LENT: [(&str, Read); 2] = [
    ("cpu", |text| quantity::parse_cpu(text).ok()),
    ("memory", |text| quantity::parse_memory(text).ok()),
];

/// The pod's own resources as they are `written` in the API server, if there are any. Containers give
/// back what is the pod's.
pub fn written(containers: &mut [PodContainer], written: &PodSpec) -> Option<ResourceRequirements> {
    let of_pod = written.resources.as_ref()?;
    for container in containers {
        let Some(given) = api_spec::container(written, &container.name) else {
            continue;
        };
        let own = given.resources.as_ref();
        let has = |list: Option<&BTreeMap<String, Quantity>>, name: &str| {
            list.is_some_and(|list| list.contains_key(name))
        };
        for (name, _) in LENT {
            let limits = own.and_then(|own| own.limits.as_ref());
            if has(of_pod.limits.as_ref(), name) && !has(limits, name) {
                let requests = own.and_then(|own| own.requests.as_ref());
                give_back(container, name, !has(requests, name));
            }
        }
    }
    Some(of_pod.clone())
}

/// The pod's own resources as the figures of its sandbox tell, if it has any: its `containers`
/// have higher limits together than the pod then, which no sum of them has. Those that have what the
/// whole pod has give it back. Init containers do not count in the sum: they run at other times.
pub fn recovered(
    containers: &mut [PodContainer],
    is_init: impl Fn(&PodContainer) -> bool,
    sandbox: &LinuxContainerResources,
) -> Option<ResourceRequirements> {
    // Huge pages are not lent, and the only figures that can be wrong.
    let figures = LinuxContainerResources {
        hugepage_limits: Vec::new(),
        ..sandbox.clone()
    };
    let whole = resources::requirements(&figures, BTreeMap::new(), None);
    let whole = whole.ok().flatten().unwrap_or_default();
    let mut of_pod = ResourceRequirements::default();
    for (name, read) in LENT {
        let amount = |list: &Option<BTreeMap<String, Quantity>>| {
            let amount = list.as_ref().and_then(|list| list.get(name));
            amount.and_then(|amount| read(&amount.0))
        };
        let Some(limit) = amount(&whole.limits) else {
            continue;
        };
        let own_limit = |container: &PodContainer| {
            let own = container.resources.as_ref();
            own.and_then(|own| amount(&own.limits))
        };
        let mains = containers.iter().filter(|container| !is_init(container));
        let sum = mains
            .filter_map(own_limit)
            .fold(0_u64, |sum, amount| sum.saturating_add(amount));
        if sum <= limit || !containers.iter().any(|one| own_limit(one) == Some(limit)) {
            continue;
        }
        for container in &mut *containers {
            if own_limit(container) == Some(limit) {
                let requests = container.resources.as_ref().map(|own| &own.requests);
                let is_lent = requests.and_then(amount) == Some(limit);
                give_back(container, name, is_lent);
            }
        }
        let copy = |from: &Option<BTreeMap<String, Quantity>>,
                    to: &mut Option<BTreeMap<String, Quantity>>| {
            if let Some(amount) = from.as_ref().and_then(|from| from.get(name)) {
                to.get_or_insert_default()
                    .insert(name.to_owned(), amount.clone());
            }
        };
        copy(&whole.limits, &mut of_pod.limits);
        copy(&whole.requests, &mut of_pod.requests);
    }
    resources::default_requests(&mut of_pod, None);
    (of_pod != ResourceRequirements::default()).then_some(of_pod)
}

/// Takes a limit from a container that has it from its pod, and the request that was made of it.
fn give_back(container: &mut PodContainer, name: &str, request_too: bool) {
    let Some(own) = &mut container.resources else {
        return;
    };
    let lists = [(&mut own.limits, true), (&mut own.requests, request_too)];
    for (list, _) in lists.into_iter().filter(|(_, is_lent)| *is_lent) {
        if let Some(amounts) = list {
            amounts.remove(name);
        }
        if list.as_ref().is_some_and(BTreeMap::is_empty) {
            *list = None;
        }
    }
    if *own == ResourceRequirements::default() {
        container.resources = None;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::*;

    fn containers(list: Value) -> Vec<PodContainer> {
        serde_json::from_value(list).unwrap()
    }

    /// What a kubelet's `calculateSandboxResources` makes of two CPUs and 4 GiB.
    fn sandbox() -> LinuxContainerResources {
        LinuxContainerResources {
            cpu_shares: 1024,
            cpu_quota: 200_000,
            cpu_period: 100_000,
            memory_limit_in_bytes: 4 << 30,
            ..Default::default()
        }
    }

    fn both(cpu: &str, memory: &str) -> Value {
        let all = json!({"cpu": cpu, "memory": memory});
        json!({"limits": all, "requests": all})
    }

    #[test]
    fn what_is_written_of_a_pod_is_the_pod_s() {
        let pod: PodSpec = serde_json::from_value(json!({
            "resources": {"limits": {"cpu": "2", "memory": "4Gi"}, "requests": {"cpu": "1"}},
            "containers": [
                {"name": "a"},
                {"name": "b", "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "500m"}}},
            ],
        }))
        .unwrap();
        let mut made = containers(json!([
            {"name": "a", "resources": both("2", "4Gi")},
            {"name": "b", "resources": {
                "limits": {"cpu": "2", "memory": "1Gi"},
                "requests": {"cpu": "500m"},
            }},
            {"name": "elsewhere", "resources": both("2", "4Gi")},
        ]));
        let got = written(&mut made, &pod);
        assert_eq!(json!(got), json!(pod.resources));
        let want = json!([
            {"name": "a"},
            {"name": "b", "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "500m"}}},
            {"name": "elsewhere", "resources": both("2", "4Gi")},
        ]);
        assert_eq!(json!(made), want);
        let none = PodSpec::default();
        assert_eq!(written(&mut made, &none), None);
        assert_eq!(json!(made), want);
    }

    #[test]
    fn a_pod_s_own_resources_are_told_from_a_sum() {
        let recovered = |list: Value, sandbox: LinuxContainerResources| {
            let mut made = containers(list);
            let is_init = |one: &PodContainer| one.name == "init";
            let got = recovered(&mut made, is_init, &sandbox);
            (json!(got), json!(made))
        };
        // Two containers without limits, and one with a memory limit and a request of its own.
        let (of_pod, made) = recovered(
            json!([
                {"name": "init", "resources": both("2", "4Gi")},
                {"name": "a", "resources": both("2", "4Gi")},
                {"name": "b", "resources": {
                    "limits": {"cpu": "2", "memory": "1Gi"},
                    "requests": {"cpu": "500m"},
                }},
            ]),
            sandbox(),
        );
        let want = json!({
            "limits": {"cpu": "2", "memory": "4Gi"},
            "requests": {"cpu": "1", "memory": "4Gi"},
        });
        assert_eq!(of_pod, want);
        let want = json!([
            {"name": "init"},
            {"name": "a"},
            {"name": "b", "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "500m"}}},
        ]);
        assert_eq!(made, want);
        for (name, list, sandbox) in [
            (
                "a sum",
                json!([
                    {"name": "init", "resources": both("2", "4Gi")},
                    {"name": "a", "resources": both("1", "1Gi")},
                    {"name": "b", "resources": both("1", "3Gi")},
                ]),
                sandbox(),
            ),
            (
                "one container, which has what the pod has",
                json!([{"name": "a", "resources": both("2", "4Gi")}]),
                sandbox(),
            ),
            (
                "a container that was resized since",
                json!([{"name": "a", "resources": both("3", "8Gi")}]),
                sandbox(),
            ),
            (
                "no figures",
                json!([
                    {"name": "a", "resources": both("2", "4Gi")},
                    {"name": "b", "resources": both("2", "4Gi")},
                ]),
                LinuxContainerResources::default(),
            ),
        ] {
            let (of_pod, made) = recovered(list.clone(), sandbox);
            assert_eq!((of_pod, made), (Value::Null, list), "{name}");
        }
    }
}
