//! Labels and annotations: `docs/features.md`, section "Labels and annotations".

use interlink_cri::proto::PodSandboxConfig;
use serde_json::{json, Value};

use super::kubelet::{container, pod, Node};

fn annotated(pairs: &[(&str, &str)]) -> PodSandboxConfig {
    let mut pod = pod();
    let pairs = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    pod.annotations.extend(pairs);
    pod
}

/// Those of the pod and of the site, without where the job comes from.
fn own(created: &Value, kind: &str) -> Value {
    let all = created["pod"]["metadata"][kind].as_object().expect("a map");
    let own = all
        .iter()
        .filter(|(key, _)| !key.starts_with("cri.interlink.eu/"));
    own.map(|(key, value)| (key.clone(), value.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[test]
fn annotations_for_plugins() {
    let node = Node::new("");
    let given = [
        ("interlink.eu/pod-vpn", "true"),
        ("interlink.virtual-kubelet.io/wstunnel-timeout", "30s"),
        ("slurm-job.vk.io/flags", "--time=1:00:00"),
        ("example.com/note", "any other"),
        ("kubectl.kubernetes.io/last-applied-configuration", "{}"),
    ];
    let created = node.created(&annotated(&given), &container(Vec::new()));
    let want = json!({
        "interlink.eu/pod-vpn": "true",
        "interlink.virtual-kubelet.io/wstunnel-timeout": "30s",
        "slurm-job.vk.io/flags": "--time=1:00:00",
        "example.com/note": "any other",
    });
    assert_eq!(own(&created, "annotations"), want);
}

#[test]
fn annotations_by_setting() {
    let node = Node::new(
        "[metadata]\nannotations_allow = ['slurm-job.vk.io/*']\n\
         annotations_deny = ['*/pre-exec']",
    );
    let given = [
        ("slurm-job.vk.io/flags", "--time=1"),
        ("slurm-job.vk.io/pre-exec", "rm -rf /"),
        ("example.com/note", "x"),
    ];
    let created = node.created(&annotated(&given), &container(Vec::new()));
    assert_eq!(
        own(&created, "annotations"),
        json!({"slurm-job.vk.io/flags": "--time=1"})
    );
    // Nor are they sent later, with questions about the job.
    let asked = node.fake.wait_for_requests("/delete", 1);
    let annotations = &asked[0]["metadata"]["annotations"];
    assert_eq!(annotations["slurm-job.vk.io/pre-exec"], Value::Null);
}

#[test]
fn labels() {
    let node = Node::new("[metadata]\nlabels_deny = ['secret*']");
    let mut pod = pod();
    pod.labels
        .insert("secret-project".to_owned(), "x".to_owned());
    let created = node.created(&pod, &container(Vec::new()));
    assert_eq!(own(&created, "labels"), json!({"app": "web"}));
}

#[test]
fn where_a_job_comes_from() {
    let node = Node::new("");
    let created = node.created(&pod(), &container(Vec::new()));
    let metadata = &created["pod"]["metadata"];
    for kind in ["labels", "annotations"] {
        for (key, want) in [
            ("pod-name", "web"),
            ("pod-namespace", "lab"),
            ("pod-uid", "0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a10"),
            ("job-number", "0"),
        ] {
            assert_eq!(
                metadata[kind][format!("cri.interlink.eu/{key}")],
                want,
                "{kind}"
            );
        }
    }
}

#[test]
fn defaults_of_the_node() {
    let node = Node::new(
        "[[metadata.defaults]]\noverride = true\npartition = 'cpu'\nflavor = 'small'\n\
         annotations = { 'slurm-job.vk.io/image-root' = 'docker://' }\n\
         [[metadata.defaults]]\naccount = 'shared'\nqos = 'low'",
    );
    let created = node.created(&pod(), &container(Vec::new()));
    let want = json!({
        "slurm-job.vk.io/flags": "--partition=cpu --account=shared --qos=low",
        "slurm-job.vk.io/flavor": "small",
        "slurm-job.vk.io/image-root": "docker://",
    });
    assert_eq!(own(&created, "annotations"), want);
    // A pod has its way with the first entry, and not with the second.
    let given = [
        ("slurm-job.vk.io/flags", "-p gpu --account=mine --time=1"),
        ("slurm-job.vk.io/flavor", "large"),
    ];
    let created = node.created(&annotated(&given), &container(Vec::new()));
    let want = json!({
        "slurm-job.vk.io/flags": "-p gpu --time=1 --account=shared --qos=low",
        "slurm-job.vk.io/flavor": "large",
        "slurm-job.vk.io/image-root": "docker://",
    });
    assert_eq!(own(&created, "annotations"), want);
}

#[test]
fn defaults_of_a_namespace() {
    let node = Node::new(
        "[[metadata.defaults]]\nnamespaces = ['lab', 'lab-*']\naccount = 'lab'\n\
         [[metadata.defaults]]\naccount = 'guests'",
    );
    for (namespace, want) in [("lab", "lab"), ("lab-2", "lab"), ("web", "guests")] {
        let mut pod = pod();
        pod.metadata.mut_or_insert_default().namespace = namespace.to_owned();
        let created = node.created(&pod, &container(Vec::new()));
        let flags = format!("--account={want}");
        assert_eq!(
            created["pod"]["metadata"]["annotations"]["slurm-job.vk.io/flags"],
            flags
        );
    }
}
