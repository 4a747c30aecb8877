//! What a kubelet would make of any pod stays within bounds.

use std::{collections::BTreeMap, path::Path};

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use serde::Deserialize;

use super::{
    all_containers,
    allowance::{Allowance, MAX_PATH, MAX_PATHS, MAX_TEXT, MAX_TEXTS},
    api_objects::ApiObjects,
    container_config,
    pod::KubeletPod,
};
use crate::{
    model::{weight, ENTRY_BYTES},
    proto::ContainerConfig,
};

/// The most that is made of a pod here.
pub const MAX_POD: u64 = 4 << 20;

/// The longest message that an error has beside the names in it.
const MAX_MESSAGE: usize = 512;

/// A pod with what it names.
#[derive(Deserialize)]
struct Given {
    pod: Pod,
    #[serde(default)]
    configmaps: BTreeMap<String, ConfigMap>,
    #[serde(default)]
    secrets: BTreeMap<String, Secret>,
}

/// Reads JSON of a pod, its ConfigMaps and its Secrets, and makes the configurations of its containers:
/// each can be started, all together are within the pod's allowance, and a refusal is short.
pub fn any_pod(data: &[u8]) {
    let Ok(given) = serde_json::from_slice::<Given>(data) else {
        return;
    };
    let objects = ApiObjects {
        configmaps: given.configmaps,
        secrets: given.secrets,
        ..ApiObjects::default()
    };
    let pod = KubeletPod {
        pod: &given.pod,
        uid: "u-1",
        kubelet_root: Path::new("/k"),
        pod_ip: None,
        objects: &objects,
        image_user: None,
        service_variables: Vec::new(),
    };
    let mut allowance = Allowance::for_containers(MAX_POD);
    let mut made = 0;
    for container in given.pod.spec.iter().flat_map(all_containers) {
        match container_config(&pod, container, &mut allowance) {
            Ok(config) => made += can_be_started(&config),
            Err(error) => assert!(error.to_string().len() <= MAX_MESSAGE + data.len()),
        }
    }
    assert!(made <= MAX_POD);
}

fn can_be_started(config: &ContainerConfig) -> u64 {
    let variables = config.envs.iter();
    let variables = variables.map(|one| one.key.len() + one.value.len() + 2);
    let texts = config.command.iter().chain(&config.args);
    let texts: Vec<_> = variables.chain(texts.map(|text| text.len() + 1)).collect();
    assert!(texts.iter().all(|bytes| *bytes <= MAX_TEXT));
    assert!(texts.iter().sum::<usize>() + texts.len() * ENTRY_BYTES <= MAX_TEXTS);
    let paths = config.mounts.iter();
    let paths: Vec<_> = paths
        .map(|mount| mount.host_path.len() + mount.container_path.len())
        .collect();
    assert!(paths.iter().all(|bytes| *bytes <= 2 * MAX_PATH));
    assert!(paths.iter().sum::<usize>() <= MAX_PATHS);
    let mut names: Vec<_> = config.envs.iter().map(|one| &one.key).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), config.envs.len(), "each variable once");
    use protobuf::Message as _;
    weight(&config.write_to_bytes().expect("it can be encoded"))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::{json, Value};

    use super::*;

    /// A variable that names the one before it twice, and so on.
    fn doubling() -> Value {
        let first = json!({"name": "A0", "value": "x".repeat(1024)});
        let next = |number: usize| {
            let before = number - 1;
            json!({"name": format!("A{number}"), "value": format!("$(A{before})$(A{before})")})
        };
        let all = std::iter::once(first).chain((1..=24).map(next));
        json!({"name": "c", "image": "i", "env": all.collect::<Vec<_>>()})
    }

    fn with(container: Value) -> Value {
        let mut container = container;
        (container["name"], container["image"]) = ("c".into(), "i".into());
        container
    }

    /// What takes much more than it comes with, for a bound that it meets.
    fn attacks() -> Vec<(&'static str, Value, &'static str)> {
        let many = 3000;
        let variable = |number: usize, value: Value| {
            let mut variable = value;
            variable["name"] = format!("V{number}").into();
            variable
        };
        let variables = |value: Value| {
            let all = (0..many).map(|number| variable(number, value.clone()));
            all.collect::<Vec<_>>()
        };
        let long = json!({"name": "L", "value": "x".repeat(100_000)});
        let named = |text: &str| json!({"env": [long], "args": vec![text.to_owned(); many]});
        let prefixes = (0..many).map(
            |number| json!({"prefix": format!("P{number}_"), "configMapRef": {"name": "large"}}),
        );
        let of = |source: Value| json!({"env": variables(json!({"valueFrom": source}))});
        let mounts = |mount: Value| json!({"env": [long], "volumeMounts": vec![mount; many]});
        let total = "would come to more than 2097152 bytes";
        let one = "it would be longer than 131072 bytes";
        vec![
            (
                "doubling",
                doubling(),
                "env `A7`: it would be longer than 131072 bytes",
            ),
            (
                "args",
                named("$(L)"),
                "args[19]: the variables, command and args",
            ),
            ("an argument", named("$(L)$(L)"), one),
            (
                "prefixes",
                json!({"envFrom": prefixes.collect::<Vec<_>>()}),
                total,
            ),
            (
                "a large key",
                of(json!({"configMapKeyRef": {"name": "huge", "key": "k"}})),
                one,
            ),
            (
                "keys",
                of(json!({"configMapKeyRef": {"name": "large", "key": "a7"}})),
                total,
            ),
            (
                "secrets",
                of(json!({"secretKeyRef": {"name": "s", "key": "k"}})),
                total,
            ),
            (
                "a field",
                of(json!({"fieldRef": {"fieldPath": "metadata.annotations['n']"}})),
                total,
            ),
            (
                "annotations",
                of(json!({"fieldRef": {"fieldPath": "metadata.annotations"}})),
                one,
            ),
            (
                "subPathExpr",
                mounts(json!({"name": "v", "mountPath": "/v", "subPathExpr": "$(L)"})),
                "it would be longer than 4096 bytes",
            ),
            (
                "a path",
                mounts(json!({"name": "v", "mountPath": "/v"})),
                "the paths of a container's mounts would come to more than 2097152 bytes",
            ),
            // Only time.
            (
                "open names",
                with(json!({"command": ["$(".repeat(400_000)]})),
                one,
            ),
        ]
    }

    fn given(container: &Value, count: usize) -> Value {
        let data: serde_json::Map<_, _> = (0..1000)
            .map(|key| (format!("a{key}"), "x".repeat(700).into()))
            .collect();
        let containers = vec![with(container.clone()); count];
        json!({
            "pod": {
                "metadata": {"annotations": {"n": "\u{7}".repeat(50_000)}},
                "spec": {
                    "containers": containers,
                    "volumes": [{"name": "v", "hostPath": {"path": format!("/{}", "y".repeat(4000))}}],
                },
            },
            "configmaps": {"large": {"data": data}, "huge": {"data": {"k": "x".repeat(300_000)}}},
            "secrets": {"s": {"stringData": {"k": "x".repeat(5000)}}},
        })
    }

    fn refusal(given: &Value) -> Option<String> {
        let Given {
            pod,
            configmaps,
            secrets,
        } = serde_json::from_value(given.clone()).expect("a pod");
        let objects = ApiObjects {
            configmaps,
            secrets,
            ..ApiObjects::default()
        };
        let pod = super::super::testing::kubelet_pod(&pod, &objects);
        let mut allowance = Allowance::for_containers(MAX_POD);
        let mut all = pod.pod.spec.iter().flat_map(all_containers);
        let error = all.find_map(|one| container_config(&pod, one, &mut allowance).err());
        error.map(|error| error.to_string())
    }

    #[test]
    fn what_multiplies_is_refused_by_name_before_it_is_made() {
        for (name, container, want) in attacks() {
            let given = given(&container, 1);
            let error = refusal(&given).unwrap_or_default();
            assert!(error.starts_with("container `c`: "), "{name}: {error}");
            assert!(error.contains(want), "{name}: {error}");
        }
    }

    #[test]
    fn memory_and_time_stay_small_whatever_multiplies() {
        for (name, container, _) in attacks() {
            let given = given(&container, 1);
            let bytes = given.to_string();
            // What it takes to read the pod is another matter.
            let read = allocation_counter::measure(|| {
                drop(serde_json::from_slice::<Given>(bytes.as_bytes()));
            });
            let begun = Instant::now();
            let used = allocation_counter::measure(|| any_pod(bytes.as_bytes()));
            let made = used.bytes_max.saturating_sub(read.bytes_max);
            assert!(made <= 2 * MAX_TEXTS as u64, "{name}: {made} bytes");
            let took = begun.elapsed();
            assert!(took < Duration::from_secs(10), "{name}: {took:?}");
        }
    }

    #[test]
    fn many_containers_share_the_allowance_of_their_pod() {
        let one = json!({"envFrom": [{"configMapRef": {"name": "small"}}]});
        let mut given = given(&one, 100);
        given["configmaps"]["small"] = json!({"data": {"A": "x".repeat(100_000)}});
        let error = refusal(&given).unwrap_or_default();
        let want = "container `c`: the containers of the pod would come to more than 4194304 bytes";
        assert!(error.contains(want), "{error}");
        let bytes = given.to_string();
        let used = allocation_counter::measure(|| any_pod(bytes.as_bytes()));
        assert!(used.bytes_max < 4 * MAX_POD, "{}", used.bytes_max);
    }
}
