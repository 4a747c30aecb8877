//! What is changed for the SLURM plugin: `docs/features.md`, section "With the SLURM plugin".

use serde_json::{json, Value};

use super::{
    kubelet::{container, pod, Node},
    resources::{figures, with},
};

/// A pod with two containers, one of two CPUs and 4 GiB, one that asks for half a CPU and has 1 GiB.
fn two_containers(node: &Node, annotations: &[(&str, &str)]) -> Value {
    let before = node.fake.requests("/create").len();
    let mut pod = pod();
    let text = |(key, text): &(&str, &str)| ((*key).to_owned(), (*text).to_owned());
    pod.annotations.extend(annotations.iter().map(text));
    let cri = node.cri();
    let sandbox = cri.run(&pod);
    for (name, resources) in [
        ("first", figures(2000, 2000, 4 << 30)),
        ("second", figures(500, 0, 1 << 30)),
    ] {
        let mut config = with(resources);
        config.metadata.mut_or_insert_default().name = name.to_owned();
        cri.launch(&sandbox, &config);
    }
    let created = node
        .fake
        .wait_for_requests("/create", before + 1)
        .remove(before);
    cri.remove_sandbox(&sandbox);
    created
}

/// The CPU and memory limits of a pod's containers.
fn limits(created: &Value) -> Vec<[Value; 2]> {
    let containers = created["pod"]["spec"]["containers"].as_array();
    let containers = containers.expect("a list").iter();
    let limits = containers.map(|one| &one["resources"]["limits"]);
    limits
        .map(|limits| ["cpu", "memory"].map(|name| limits[name].clone()))
        .collect()
}

const SLURM: &str = "[interlink]\nplugin = 'slurm'\n[jobs]\nquiet_period = '2s'";

#[test]
fn one_allocation_for_all_containers() {
    let each = [[json!("2"), json!("4Gi")], [Value::Null, json!("1Gi")]];
    let together = [[json!("3"), json!("5Gi")], [Value::Null, Value::Null]];
    let node = Node::new(SLURM);
    assert_eq!(limits(&two_containers(&node, &[])), together);
    // A plugin that nobody names is known by its job's id.
    let node = Node::new("[jobs]\nquiet_period = '2s'");
    assert_eq!(limits(&two_containers(&node, &[])), each);
    assert_eq!(limits(&two_containers(&node, &[])), each);
    node.fake.number_jobs();
    let cri = node.cri();
    let before = node.fake.requests("/create").len();
    let mut other = pod();
    let metadata = other.metadata.mut_or_insert_default();
    metadata.name = "other".to_owned();
    metadata.uid = "7d1f5c39-1f0e-4a35-9d5c-0c8f6a1b2e3d".to_owned();
    cri.launch(&cri.run(&other), &container(Vec::new()));
    node.fake.wait_for_requests("/create", before + 1);
    assert_eq!(limits(&two_containers(&node, &[])), together);
}

#[test]
fn flags_that_say_how_much() {
    let node = Node::new(SLURM);
    let flags = "slurm-job.vk.io/flags";
    let created = two_containers(&node, &[(flags, "-p gpu --mem=16G -c4")]);
    let none = [Value::Null, Value::Null];
    assert_eq!(limits(&created), [none.clone(), none.clone()]);
    let arrived = &created["pod"]["metadata"]["annotations"][flags];
    assert_eq!(arrived, "-p gpu --cpus-per-task=4 --mem=16G");
    let mut flavored = pod();
    let flavor = ("slurm-job.vk.io/flavor".to_owned(), "large".to_owned());
    flavored.annotations.extend([flavor]);
    let created = node.created(&flavored, &with(figures(500, 0, 0)));
    assert_eq!(limits(&created), [none]);
}

#[test]
fn gpus_are_asked_for_by_flag() {
    let node = Node::new(SLURM);
    let flags = |annotations: &[(&str, &str)]| {
        let mut pod = pod();
        let gpus = ("interlink.eu/nvidia-gpus", "4");
        let all = annotations.iter().chain([&gpus]);
        let all = all.map(|(key, text)| ((*key).to_owned(), (*text).to_owned()));
        pod.annotations.extend(all);
        let created = node.created(&pod, &container(Vec::new()));
        created["pod"]["metadata"]["annotations"]["slurm-job.vk.io/flags"].clone()
    };
    assert_eq!(flags(&[]), "--gres=gpu:4");
    let own = "--gpus-per-node=a100:2";
    assert_eq!(flags(&[("slurm-job.vk.io/flags", own)]), own);
    assert_eq!(flags(&[("slurm-job.vk.io/flavor", "gpu")]), Value::Null);
}
