//! How much a job asks SLURM for.
//!
//! The plugin asks for the largest limit of any container, init containers included
//! (`SubmitHandler` in Create.go: `cpuLimit`, `memoryLimit`), although all main containers run at once.
//! Where a container has a limit it drops what the flags say of that resource (`produceSLURMScript` in
//! prepare.go: "Ignoring --mem flag from annotations"). So what a job needs altogether is put on one of
//! its containers, and limits make way for flags. It does not matter to the plugin which container has
//! a limit: it enforces none.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, Pod, PodSpec, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};

use super::flags::{self, Flag, FLAGS, FLAVOR};
use crate::quantity;

const MIB: u64 = 1 << 20;

/// A resource that the plugin makes a flag of.
struct Resource {
    name: &'static str,
    flag: Flag,
    /// Reads an amount: millicores, or bytes.
    read: fn(&str) -> Option<u64>,
    /// What the plugin asks for where this is the largest limit: CPUs, or MiB.
    asked: fn(u64) -> u64,
    /// What has to be asked for where this is needed.
    needed: fn(u64) -> u64,
    /// The limit with which the plugin asks for that much.
    limit: fn(u64) -> Quantity,
}

const RESOURCES: [Resource; 2] = [
    Resource {
        name: "cpu",
        flag: Flag::CpusPerTask,
        read: |text| quantity::parse_cpu(text).ok(),
        asked: |millicores| millicores.div_ceil(1000),
        needed: |millicores| millicores.div_ceil(1000),
        limit: |cpus| quantity::cpu(cpus.saturating_mul(1000)),
    },
    Resource {
        name: "memory",
        flag: Flag::Memory,
        read: |text| quantity::parse_memory(text).ok(),
        // 0 would be all that the node has.
        asked: |bytes| bytes / MIB,
        needed: |bytes| bytes.div_ceil(MIB),
        limit: |mib| quantity::memory(mib.saturating_mul(MIB)),
    },
];

/// Gives a job's pod the limits with which the plugin asks for what its containers need together, or
/// for what its flags say.
pub fn complete(pod: &mut Pod) {
    let annotations = pod.metadata.annotations.get_or_insert_default();
    let has_flavor = annotations.contains_key(FLAVOR);
    let Some(spec) = &mut pod.spec else {
        return;
    };
    for resource in &RESOURCES {
        let own = annotations.get(FLAGS).map_or("", String::as_str);
        if let Some(value) = flags::value(own, resource.flag) {
            // In the long form, which is the one that the plugin is sure to know.
            let flags = flags::with(own, resource.flag, &value);
            annotations.insert(FLAGS.to_owned(), flags);
            resource.clear_limits(spec);
        } else {
            resource.sum_up(spec, has_flavor);
        }
    }
}

impl Resource {
    /// What a container may use: its limit, else its request. None where it says neither.
    fn amount(&self, of: Option<&ResourceRequirements>) -> Option<u64> {
        let of = of?;
        self.read(of.limits.as_ref())
            .or(self.read(of.requests.as_ref()))
    }

    fn read(&self, list: Option<&BTreeMap<String, Quantity>>) -> Option<u64> {
        list?
            .get(self.name)
            .and_then(|amount| (self.read)(&amount.0))
    }

    fn limit_of(&self, container: &Container) -> Option<u64> {
        let own = container.resources.as_ref()?;
        self.read(own.limits.as_ref())
    }

    /// What the pod needs: what it says for itself, else the sum of the main containers or the most
    /// that an init container takes, whichever is more (`PodLimits` in
    /// `staging/src/k8s.io/component-helpers/resource/helpers.go` of Kubernetes).
    fn needed(&self, spec: &PodSpec) -> Option<u64> {
        if let Some(whole) = self.amount(spec.resources.as_ref()) {
            return Some(whole);
        }
        let amount = |container: &Container| self.amount(container.resources.as_ref());
        let inits = spec.init_containers.iter().flatten().filter_map(amount);
        let mains = spec.containers.iter().filter_map(amount);
        let sum = mains.reduce(u64::saturating_add);
        sum.max(inits.max())
    }

    /// Puts what the pod needs on its first container, unless the plugin would ask for that anyway. A
    /// flavour decides where there is no limit at all, for it may be chosen for its amounts.
    fn sum_up(&self, spec: &mut PodSpec, has_flavor: bool) {
        let limits = all(spec).filter_map(|container| self.limit_of(container));
        let largest = limits.max();
        let of_pod = spec.resources.as_ref().and_then(|of| of.limits.as_ref());
        if largest.is_none() && self.read(of_pod).is_none() && has_flavor {
            return;
        }
        let Some(needed) = self.needed(spec).map(self.needed) else {
            return;
        };
        if largest.map(self.asked) == Some(needed) {
            return;
        }
        self.clear_limits(spec);
        if let Some(first) = spec.containers.first_mut() {
            let own = first.resources.get_or_insert_default();
            let limits = own.limits.get_or_insert_default();
            limits.insert(self.name.to_owned(), (self.limit)(needed));
        }
    }

    fn clear_limits(&self, spec: &mut PodSpec) {
        let inits = spec.init_containers.iter_mut().flatten();
        for container in inits.chain(&mut spec.containers) {
            let own = container.resources.as_mut();
            if let Some(limits) = own.and_then(|own| own.limits.as_mut()) {
                limits.remove(self.name);
            }
        }
    }
}

fn all(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    let inits = spec.init_containers.iter().flatten();
    inits.chain(&spec.containers)
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::*;

    /// What the plugin asks sbatch for, CPUs and MiB: `SubmitHandler` in Create.go and
    /// `produceSLURMScript` in prepare.go. None is what it takes where nothing is said.
    fn asked(pod: &Pod) -> (Option<u64>, Option<u64>) {
        let spec = pod.spec.as_ref().unwrap();
        let annotations = pod.metadata.annotations.as_ref().unwrap();
        let flags = annotations.get(FLAGS).map_or("", String::as_str);
        let [cpu, memory] = RESOURCES.map(|resource| {
            let limits = all(spec).filter_map(|container| resource.limit_of(container));
            let from_flags = |name: &str| {
                let mut words = flags.split_whitespace();
                let value = words.find_map(|word| word.strip_prefix(name));
                value.map(|value| value.parse().unwrap())
            };
            let name = match resource.name {
                "cpu" => "--cpus-per-task=",
                _ => "--mem=",
            };
            limits.max().map(resource.asked).or(from_flags(name))
        });
        (cpu, memory)
    }

    fn completed(spec: Value, annotations: Value) -> Pod {
        let pod = json!({"metadata": {"annotations": annotations}, "spec": spec});
        let mut pod: Pod = serde_json::from_value(pod).unwrap();
        complete(&mut pod);
        pod
    }

    fn container(limits: Value, requests: Value) -> Value {
        json!({"name": "c", "resources": {"limits": limits, "requests": requests}})
    }

    fn limited(cpu: &str, memory: &str) -> Value {
        container(json!({"cpu": cpu, "memory": memory}), json!({}))
    }

    #[test]
    fn a_job_asks_for_what_its_containers_need_together() {
        for (name, spec, want) in [
            (
                "one",
                json!({"containers": [limited("2", "4Gi")]}),
                (Some(2), Some(4096)),
            ),
            (
                "two",
                json!({"containers": [limited("2", "4Gi"), limited("1500m", "1Gi")]}),
                (Some(4), Some(5120)),
            ),
            (
                "parts of a CPU and of a MiB",
                json!({"containers": [limited("500m", "100M"), limited("400m", "100k")]}),
                (Some(1), Some(96)),
            ),
            (
                "less than a MiB, which would be all of the node's",
                json!({"containers": [limited("1", "500k")]}),
                (Some(1), Some(1)),
            ),
            (
                "an init container that needs more",
                json!({
                    "initContainers": [limited("8", "1Gi"), limited("1", "1Gi")],
                    "containers": [limited("2", "4Gi"), limited("2", "4Gi")],
                }),
                (Some(8), Some(8192)),
            ),
            (
                "a request without a limit",
                json!({"containers": [
                    limited("2", "4Gi"),
                    container(json!({"memory": "1Gi"}), json!({"cpu": "3"})),
                ]}),
                (Some(5), Some(5120)),
            ),
            (
                "requests alone",
                json!({"containers": [container(json!({}), json!({"cpu": "4", "memory": "8Gi"}))]}),
                (Some(4), Some(8192)),
            ),
            (
                "the pod's own",
                json!({
                    "resources": {"limits": {"cpu": "3", "memory": "4Gi"}},
                    "containers": [limited("2", "4Gi"), limited("2", "1Gi")],
                }),
                (Some(3), Some(4096)),
            ),
            (
                "nothing",
                json!({"containers": [{"name": "c"}, {"name": "d"}]}),
                (None, None),
            ),
        ] {
            assert_eq!(asked(&completed(spec, json!({}))), want, "{name}");
        }
    }

    #[test]
    fn flags_count_more_than_limits() {
        let two = json!({"containers": [limited("2", "4Gi"), limited("2", "4Gi")]});
        for (flags, want, stand) in [
            (
                "--mem=16384 --cpus-per-task=16",
                (Some(16), Some(16_384)),
                "--cpus-per-task=16 --mem=16384",
            ),
            (
                "-p gpu -c 3",
                (Some(3), Some(8192)),
                "-p gpu --cpus-per-task=3",
            ),
            ("-c3", (Some(3), Some(8192)), "--cpus-per-task=3"),
            ("--mem 512", (Some(4), Some(512)), "--mem=512"),
            ("--time=1", (Some(4), Some(8192)), "--time=1"),
            ("--cluster=c", (Some(4), Some(8192)), "--cluster=c"),
        ] {
            let pod = completed(two.clone(), json!({FLAGS: flags}));
            assert_eq!(asked(&pod), want, "{flags}");
            assert_eq!(pod.metadata.annotations.unwrap()[FLAGS], stand, "{flags}");
        }
    }

    #[test]
    fn a_flavor_decides_where_there_is_no_limit() {
        let requests = json!({"containers": [container(json!({}), json!({"cpu": "1"}))]});
        let with = json!({FLAVOR: "large"});
        assert_eq!(asked(&completed(requests, with.clone())), (None, None));
        let limits = json!({"containers": [limited("1", "1Gi"), limited("1", "1Gi")]});
        assert_eq!(asked(&completed(limits, with)), (Some(2), Some(2048)));
    }

    #[test]
    fn whoever_adds_up_gets_the_same() {
        let pod = completed(
            json!({"containers": [limited("2", "4Gi"), limited("2", "4Gi")]}),
            json!({}),
        );
        let limits: Vec<_> = all(pod.spec.as_ref().unwrap())
            .map(|container| json!(container.resources.as_ref().unwrap().limits))
            .collect();
        assert_eq!(limits, [json!({"cpu": "4", "memory": "8Gi"}), json!({})]);
    }
}
