//! What the pod has in the API server and the CRI does not carry: probes, hooks, exact resources,
//! names of volumes. A job's pod is completed by it.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::core::v1::{
        Container as PodContainer, PodSecurityContext, PodSpec, ResourceRequirements,
        SecurityContext,
    },
    apimachinery::pkg::api::resource::Quantity,
};

use crate::{kubelet::all_containers, plan::node_offer, text::is_dns_label};

/// What is written of a container.
pub fn container<'a>(written: &'a PodSpec, name: &str) -> Option<&'a PodContainer> {
    all_containers(written).find(|container| container.name == name)
}

/// Where a container stands in the pod; those that are not in it come last.
pub fn position(written: &PodSpec, name: &str) -> usize {
    let found = all_containers(written).position(|container| container.name == name);
    found.unwrap_or(usize::MAX)
}

/// Adds to a job's pod what the CRI did not say of the pod itself.
pub fn complete_pod(spec: &mut PodSpec, written: &PodSpec) {
    complete_pod_security(spec, written);
    complete_empty_dirs(spec, written);
    rename_volumes(spec, written);
}

/// Adds to a container what the CRI did not say.
pub fn complete_container(container: &mut PodContainer, written: &PodContainer) {
    container.liveness_probe.clone_from(&written.liveness_probe);
    container
        .readiness_probe
        .clone_from(&written.readiness_probe);
    container.startup_probe.clone_from(&written.startup_probe);
    container.lifecycle.clone_from(&written.lifecycle);
    if written.ports.is_some() {
        container.ports.clone_from(&written.ports);
    }
    if let Some(given) = &written.resources {
        let own = container.resources.get_or_insert_default();
        add_missing(own, given);
        take_offered(own);
    }
    if let Some(given) = &written.security_context {
        complete_security(&mut container.security_context, given);
    }
}

/// The CRI has no `runAsNonRoot`, and cannot tell a user who was asked for from the image's. What the
/// site dropped stays dropped: root.
fn complete_security(own: &mut Option<SecurityContext>, given: &SecurityContext) {
    let not_root = given.run_as_non_root.filter(|demand| *demand);
    let user = given.run_as_user.filter(|user| *user != 0);
    if not_root.is_none() && user.is_none() {
        return;
    }
    let own = own.get_or_insert_default();
    own.run_as_non_root = not_root;
    own.run_as_user = own.run_as_user.or(user);
}

/// Adds to a pod's security context what the CRI did not say. It puts `fsGroup` among the
/// supplemental groups.
fn complete_pod_security(spec: &mut PodSpec, written: &PodSpec) {
    let Some(given) = &written.security_context else {
        return;
    };
    let own = spec.security_context.get_or_insert_default();
    own.run_as_non_root = given.run_as_non_root.filter(|demand| *demand);
    if let Some(group) = given.fs_group {
        let mut groups = own.supplemental_groups.take().unwrap_or_default();
        let asked = given.supplemental_groups.as_deref().unwrap_or_default();
        groups.retain(|one| *one != group || asked.contains(one));
        own.supplemental_groups = (!groups.is_empty()).then_some(groups);
        own.fs_group = Some(group);
        own.fs_group_change_policy
            .clone_from(&given.fs_group_change_policy);
    }
    if *own == PodSecurityContext::default() {
        spec.security_context = None;
    }
}

/// What the CRI said stands, for the kubelet may have changed it since (a resize). The rest comes
/// as it was written: extended resources, ephemeral storage, memory requests.
fn add_missing(own: &mut ResourceRequirements, given: &ResourceRequirements) {
    let add = |own: &mut Option<BTreeMap<String, Quantity>>,
               given: &Option<BTreeMap<String, Quantity>>| {
        for (name, amount) in given.iter().flatten() {
            let own = own.get_or_insert_default();
            if name == "cpu" || name == "memory" {
                own.entry(name.clone()).or_insert_with(|| amount.clone());
            } else {
                own.insert(name.clone(), amount.clone());
            }
        }
    };
    add(&mut own.limits, &given.limits);
    add(&mut own.requests, &given.requests);
}

/// Makes the cluster's CPUs and memory that were asked for by the names that the node offers them by the
/// job's `cpu` and `memory`. They count more than these, which the kubelet's own machine has to have.
fn take_offered(own: &mut ResourceRequirements) {
    for list in [&mut own.limits, &mut own.requests].into_iter().flatten() {
        for (offered, name) in [(node_offer::CPU, "cpu"), (node_offer::MEMORY, "memory")] {
            if let Some(amount) = list.remove(offered) {
                list.insert(name.to_owned(), amount);
            }
        }
    }
}

/// Gives emptyDirs what the author said of them: the CRI knows no limit of their size.
fn complete_empty_dirs(spec: &mut PodSpec, written: &PodSpec) {
    for volume in spec.volumes.iter_mut().flatten() {
        let mut all = written.volumes.iter().flatten();
        let written = all.find(|written| written.name == volume.name);
        if let (Some(own), Some(written)) = (&mut volume.empty_dir, written) {
            let written = written.empty_dir.clone().unwrap_or_default();
            own.size_limit = written.size_limit;
        }
    }
}

/// Gives volumes the names that the author gave them, where the CRI lost those: host paths, and
/// what was mounted by subPath. A name that something else has already stays free for that.
fn rename_volumes(spec: &mut PodSpec, written: &PodSpec) {
    let mut names = BTreeMap::new();
    for own in all_containers(spec) {
        let written = container(written, &own.name);
        let written = written.and_then(|container| container.volume_mounts.as_ref());
        for mount in own.volume_mounts.iter().flatten() {
            let mut same = written.iter().flat_map(|list| list.iter());
            let same = same.find(|written| written.mount_path == mount.mount_path);
            if let Some(written) = same.filter(|written| is_dns_label(&written.name)) {
                names
                    .entry(mount.name.clone())
                    .or_insert_with(|| written.name.clone());
            }
        }
    }
    let mut taken: BTreeSet<_> = spec
        .volumes
        .iter()
        .flatten()
        .map(|v| v.name.clone())
        .collect();
    let is_path = |name: &String| {
        let mut volumes = spec.volumes.iter().flatten();
        volumes.any(|volume| volume.name == *name && volume.host_path.is_some())
    };
    // Contents are found by the names of their volumes, so those stay.
    let mut renames: BTreeMap<_, _> = names.into_iter().filter(|(old, _)| is_path(old)).collect();
    renames.retain(|_, new| taken.insert(new.clone()));
    for volume in spec.volumes.iter_mut().flatten() {
        if let Some(name) = renames.get(&volume.name) {
            volume.name.clone_from(name);
        }
    }
    let inits = spec.init_containers.iter_mut().flatten();
    for container in inits.chain(&mut spec.containers) {
        for mount in container.volume_mounts.iter_mut().flatten() {
            if let Some(name) = renames.get(&mount.name) {
                mount.name.clone_from(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_cluster_s_cpus_and_memory_are_the_job_s() {
        let amounts =
            json!({"interlink.eu/cpu": "64", "interlink.eu/memory": "256Gi", "a.org/x": "1"});
        let written: PodContainer = serde_json::from_value(json!({
            "name": "a",
            "resources": {"limits": amounts, "requests": amounts},
        }))
        .unwrap();
        let mut container: PodContainer = serde_json::from_value(json!({
            "name": "a",
            "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "100m"}},
        }))
        .unwrap();
        complete_container(&mut container, &written);
        let want = json!({"cpu": "64", "memory": "256Gi", "a.org/x": "1"});
        assert_eq!(
            json!(container.resources),
            json!({"limits": want, "requests": want})
        );
    }

    #[test]
    fn what_the_cri_lost_comes_back() {
        let written: PodContainer = serde_json::from_value(json!({
            "name": "a",
            "livenessProbe": {"exec": {"command": ["true"]}},
            "lifecycle": {"preStop": {"exec": {"command": ["sync"]}}},
            "resources": {
                "limits": {"cpu": "2", "memory": "2048Mi", "nvidia.com/gpu": "4"},
                "requests": {"memory": "1Gi", "ephemeral-storage": "10Gi", "nvidia.com/gpu": "4"},
            },
        }))
        .unwrap();
        let mut container: PodContainer = serde_json::from_value(json!({
            "name": "a",
            // Resized since, and counted from a device plugin.
            "resources": {"limits": {"cpu": "3", "nvidia.com/gpu": "1"}},
        }))
        .unwrap();
        complete_container(&mut container, &written);
        let want = json!({
            "name": "a",
            "livenessProbe": {"exec": {"command": ["true"]}},
            "lifecycle": {"preStop": {"exec": {"command": ["sync"]}}},
            "resources": {
                "limits": {"cpu": "3", "memory": "2048Mi", "nvidia.com/gpu": "4"},
                "requests": {"memory": "1Gi", "ephemeral-storage": "10Gi", "nvidia.com/gpu": "4"},
            },
        });
        assert_eq!(json!(container), want);
    }

    #[test]
    fn demands_of_security_come_back() {
        let of_container = |own: serde_json::Value, given: serde_json::Value| {
            let mut own: Option<SecurityContext> = serde_json::from_value(own).unwrap();
            complete_security(&mut own, &serde_json::from_value(given).unwrap());
            json!(own)
        };
        for (own, given, want) in [
            (json!(null), json!({}), json!(null)),
            (json!(null), json!({"runAsNonRoot": false}), json!(null)),
            (
                json!(null),
                json!({"runAsNonRoot": true, "runAsUser": 65532}),
                json!({"runAsNonRoot": true, "runAsUser": 65532}),
            ),
            (json!(null), json!({"runAsUser": 0}), json!(null)),
            (
                json!({"runAsUser": 7, "runAsGroup": 8}),
                json!({"runAsUser": 7}),
                json!({"runAsUser": 7, "runAsGroup": 8}),
            ),
        ] {
            assert_eq!(of_container(own, given.clone()), want, "{given}");
        }
        let of_pod = |own: serde_json::Value, given: serde_json::Value| {
            let spec = |context: serde_json::Value| -> PodSpec {
                serde_json::from_value(json!({"containers": [], "securityContext": context}))
                    .unwrap()
            };
            let mut made = spec(own);
            let written = spec(given);
            complete_pod_security(&mut made, &written);
            json!(made.security_context)
        };
        for (own, given, want) in [
            (json!(null), json!(null), json!(null)),
            (json!(null), json!({}), json!(null)),
            (
                json!({"supplementalGroups": [6000, 5000]}),
                json!({"fsGroup": 6000, "supplementalGroups": [5000],
                       "fsGroupChangePolicy": "OnRootMismatch", "runAsNonRoot": true}),
                json!({"fsGroup": 6000, "supplementalGroups": [5000],
                       "fsGroupChangePolicy": "OnRootMismatch", "runAsNonRoot": true}),
            ),
            (
                json!({"supplementalGroups": [6000]}),
                json!({"fsGroup": 6000}),
                json!({"fsGroup": 6000}),
            ),
        ] {
            assert_eq!(of_pod(own, given.clone()), want, "{given}");
        }
    }

    #[test]
    fn scratch_space_gets_its_limit_back() {
        let spec = |scratch: serde_json::Value| -> PodSpec {
            let volumes = json!([
                {"name": "scratch", "emptyDir": scratch},
                {"name": "data", "hostPath": {"path": "/data"}},
            ]);
            serde_json::from_value(json!({"containers": [], "volumes": volumes})).unwrap()
        };
        let mut made = spec(json!({"medium": "Memory"}));
        let written = spec(json!({"medium": "Memory", "sizeLimit": "2Gi"}));
        complete_empty_dirs(&mut made, &written);
        assert_eq!(made, written);
    }

    #[test]
    fn host_paths_get_their_names_back() {
        let mut spec: PodSpec = serde_json::from_value(json!({
            "containers": [
                {"name": "a", "volumeMounts": [
                    {"name": "host-x", "mountPath": "/data"},
                    {"name": "conf", "mountPath": "/conf"},
                    {"name": "host-y", "mountPath": "/y"},
                ]},
                {"name": "b", "volumeMounts": [{"name": "host-x", "mountPath": "/other"}]},
            ],
            "volumes": [
                {"name": "host-x", "hostPath": {"path": "/x"}},
                {"name": "conf", "configMap": {"name": "conf"}},
                {"name": "host-y", "hostPath": {"path": "/y"}},
            ],
        }))
        .unwrap();
        let written = serde_json::from_value(json!({"containers": [
            {"name": "a", "volumeMounts": [
                {"name": "data", "mountPath": "/data"},
                {"name": "settings", "mountPath": "/conf"},
                // Something else has that name.
                {"name": "conf", "mountPath": "/y"},
            ]},
        ]}))
        .unwrap();
        rename_volumes(&mut spec, &written);
        let names: Vec<_> = spec
            .volumes
            .iter()
            .flatten()
            .map(|v| v.name.as_str())
            .collect();
        assert_eq!(names, ["data", "conf", "host-y"]);
        let mounts = |index: usize| -> Vec<_> {
            let mounts = spec.containers[index].volume_mounts.iter().flatten();
            mounts.map(|mount| mount.name.as_str()).collect()
        };
        assert_eq!((mounts(0), mounts(1)), (names, vec!["data"]));
    }
}
