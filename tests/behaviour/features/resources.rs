//! Resources: `docs/features.md`, section "Resources".

use grpcio::RpcStatusCode;
use interlink_cri::proto::{
    CDIDevice, ContainerConfig, Device, HugepageLimit, KeyValue, LinuxContainerResources,
    UpdateContainerResourcesRequest,
};
use protobuf::MessageField;
use serde_json::{json, Value};

use super::kubelet::{container, pod, Node};
use crate::support::{self, JobState};

/// `calculateLinuxResources` of a kubelet 1.36, for millicores and bytes.
pub fn figures(request: i64, limit: i64, memory: i64) -> LinuxContainerResources {
    let shared = if request == 0 { limit } else { request };
    LinuxContainerResources {
        cpu_shares: (shared * 1024 / 1000).clamp(2, 262_144),
        cpu_quota: if limit == 0 {
            0
        } else {
            (limit * 100).max(1000)
        },
        cpu_period: 100_000,
        memory_limit_in_bytes: memory,
        oom_score_adj: 1000,
        hugepage_limits: ["1GB", "2MB"].map(|size| huge_pages(size, 0)).into(),
        unified: [("memory.oom.group".to_owned(), "1".to_owned())].into(),
        ..Default::default()
    }
}

fn huge_pages(page_size: &str, limit: u64) -> HugepageLimit {
    HugepageLimit {
        page_size: page_size.to_owned(),
        limit,
        ..Default::default()
    }
}

pub fn with(resources: LinuxContainerResources) -> ContainerConfig {
    let mut config = container(Vec::new());
    config.linux.mut_or_insert_default().resources = MessageField::some(resources);
    config
}

fn arrived(created: &Value) -> Value {
    created["pod"]["spec"]["containers"][0]["resources"].clone()
}

#[test]
fn cpu_and_memory() {
    let node = Node::new("");
    for (request, limit, memory, want) in [
        (0, 0, 0, Value::Null),
        (
            0,
            1000,
            0,
            json!({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}),
        ),
        (
            500,
            500,
            64 << 20,
            json!({
                "limits": {"cpu": "500m", "memory": "64Mi"},
                "requests": {"cpu": "500m", "memory": "64Mi"},
            }),
        ),
        (
            250,
            1500,
            1_000_000_000,
            json!({
                "limits": {"cpu": "1500m", "memory": "1G"},
                "requests": {"cpu": "250m", "memory": "1G"},
            }),
        ),
        (100, 0, 0, json!({"requests": {"cpu": "100m"}})),
        (
            0,
            64_000,
            256 << 30,
            json!({
                "limits": {"cpu": "64", "memory": "256Gi"},
                "requests": {"cpu": "64", "memory": "256Gi"},
            }),
        ),
    ] {
        let created = node.created(&pod(), &with(figures(request, limit, memory)));
        assert_eq!(arrived(&created), want, "{request} {limit} {memory}");
    }
}

#[test]
fn another_cfs_period() {
    let node = Node::new("");
    let resources = LinuxContainerResources {
        cpu_quota: 3_500,
        cpu_period: 5_000,
        ..figures(700, 700, 0)
    };
    let got = arrived(&node.created(&pod(), &with(resources)));
    assert_eq!(got["limits"]["cpu"], "700m");
}

#[test]
fn exclusive_cpus() {
    let node = Node::new("");
    let resources = LinuxContainerResources {
        cpu_quota: -1,
        cpuset_cpus: "2-5".to_owned(),
        ..figures(4000, 4000, 1 << 30)
    };
    let got = arrived(&node.created(&pod(), &with(resources)));
    assert_eq!(
        got,
        json!({"limits": {"memory": "1Gi"}, "requests": {"cpu": "4", "memory": "1Gi"}})
    );
}

#[test]
fn a_memory_request() {
    let node = Node::new("");
    // With the feature gate MemoryQoS only. Kubelets before 1.36 send `memory.min` alone.
    for (keys, want) in [
        (&[("memory.min", "33554432")][..], "32Mi"),
        (&[("memory.min", "67108864"), ("memory.low", "0")], "64Mi"),
        (&[("memory.min", "0"), ("memory.low", "33554432")], "32Mi"),
    ] {
        let mut resources = figures(0, 0, 64 << 20);
        let text = |(key, text): &(&str, &str)| ((*key).to_owned(), (*text).to_owned());
        resources.unified.extend(keys.iter().map(text));
        let got = arrived(&node.created(&pod(), &with(resources)));
        let want = json!({"limits": {"memory": "64Mi"}, "requests": {"memory": want}});
        assert_eq!(got, want, "{keys:?}");
    }
}

#[test]
fn a_limit_without_a_request() {
    let node = Node::new("");
    // Shares and quota say both of CPU; of memory a kubelet without MemoryQoS sends the limit alone.
    let got = arrived(&node.created(&pod(), &with(figures(0, 2000, 4 << 30))));
    let both = json!({"cpu": "2", "memory": "4Gi"});
    assert_eq!(got, json!({"limits": both, "requests": both}));
}

#[test]
fn a_default_memory_limit() {
    let node = Node::new("[jobs]\ndefault_memory = '2Gi'\nquiet_period = '50ms'");
    let got = arrived(&node.created(&pod(), &with(figures(0, 0, 0))));
    assert_eq!(
        got,
        json!({"limits": {"memory": "2Gi"}, "requests": {"memory": "2Gi"}})
    );
    let mut pod = pod();
    let flags = ("slurm-job.vk.io/flags".to_owned(), "--mem=300".to_owned());
    pod.annotations.extend([flags]);
    let got = arrived(&node.created(&pod, &with(figures(0, 0, 0))));
    assert_eq!(got, json!(null), "the flag says it");
}

#[test]
fn huge_page_limits() {
    let node = Node::new("");
    let resources = LinuxContainerResources {
        hugepage_limits: vec![huge_pages("1GB", 0), huge_pages("2MB", 128 << 20)],
        ..figures(0, 0, 64 << 20)
    };
    let got = arrived(&node.created(&pod(), &with(resources)));
    let pages = json!("128Mi");
    assert_eq!(
        (
            &got["limits"]["hugepages-2Mi"],
            &got["requests"]["hugepages-2Mi"]
        ),
        (&pages, &pages)
    );
}

#[test]
fn swap_and_other_cgroup_keys() {
    let node = Node::new("");
    let mut resources = figures(0, 0, 64 << 20);
    resources.memory_swap_limit_in_bytes = 128 << 20;
    resources.oom_score_adj = -997;
    resources
        .unified
        .insert("memory.swap.max".to_owned(), "67108864".to_owned());
    let got = arrived(&node.created(&pod(), &with(resources)));
    let memory = json!({"memory": "64Mi"});
    assert_eq!(got, json!({"limits": memory, "requests": memory}));
}

#[test]
fn resources_of_a_whole_pod() {
    let node = Node::new("[jobs]\nquiet_period = '3s'");
    let mut pod = pod();
    // Two CPUs and 4 GiB for all; a kubelet gives them to each container without a limit.
    let whole = figures(1000, 2000, 4 << 30);
    let linux = pod.linux.mut_or_insert_default();
    linux.resources = MessageField::some(whole.clone());
    let cri = node.cri();
    let sandbox = cri.run(&pod);
    for (name, resources) in [
        ("first", figures(2000, 2000, 4 << 30)),
        ("second", figures(500, 2000, 1 << 30)),
    ] {
        let mut config = with(resources);
        config.metadata.mut_or_insert_default().name = name.to_owned();
        cri.launch(&sandbox, &config);
    }
    let spec = &node.fake.wait_for_requests("/create", 1)[0]["pod"]["spec"];
    let want = json!({
        "limits": {"cpu": "2", "memory": "4Gi"},
        "requests": {"cpu": "1", "memory": "4Gi"},
    });
    assert_eq!(spec["resources"], want);
    assert_eq!(spec["containers"][0]["resources"], json!(null));
    let want = json!({
        "limits": {"memory": "1Gi"},
        "requests": {"cpu": "500m", "memory": "1Gi"},
    });
    assert_eq!(spec["containers"][1]["resources"], want);
}

fn gpu(created: &Value) -> Value {
    let got = arrived(created);
    let amounts = [
        &got["limits"]["nvidia.com/gpu"],
        &got["requests"]["nvidia.com/gpu"],
    ];
    assert_eq!(amounts[0], amounts[1], "Kubernetes wants them equal");
    amounts[0].clone()
}

#[test]
fn gpus_of_a_device_plugin() {
    let node = Node::new("");
    let mut config = container(Vec::new());
    config.envs.push(KeyValue {
        key: "NVIDIA_VISIBLE_DEVICES".to_owned(),
        value: b"GPU-5a1c,GPU-77f0".to_vec(),
        ..Default::default()
    });
    let created = node.created(&pod(), &config);
    assert_eq!(gpu(&created), "2");
    let env = &created["pod"]["spec"]["containers"][0]["env"];
    let names: Vec<_> = env
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(
        names,
        ["KUBERNETES_SERVICE_HOST"],
        "the ids are of this node's devices"
    );
}

#[test]
fn gpus_by_cdi_and_by_device() {
    let node = Node::new("");
    let cdi = |name: &str| CDIDevice {
        name: name.to_owned(),
        ..Default::default()
    };
    let device = |path: &str| Device {
        host_path: path.to_owned(),
        container_path: path.to_owned(),
        permissions: "rw".to_owned(),
        ..Default::default()
    };
    let mut by_cdi = container(Vec::new());
    by_cdi.CDI_devices = vec![cdi("nvidia.com/gpu=0"), cdi("nvidia.com/gpu=1")];
    assert_eq!(gpu(&node.created(&pod(), &by_cdi)), "2");
    // A DRA driver's: one device has settings of its claim besides.
    by_cdi.CDI_devices = vec![
        cdi("k8s.gpu.nvidia.com/device=gpu-0"),
        cdi("k8s.gpu.nvidia.com/device=gpu-1"),
        cdi("k8s.gpu.nvidia.com/claim=a85e5873-fc49-4554-a151-de159f528a04-gpu-1"),
    ];
    assert_eq!(gpu(&node.created(&pod(), &by_cdi)), "2");
    let mut by_annotation = container(Vec::new());
    let names = "nvidia.com/gpu=0,nvidia.com/gpu=3".to_owned();
    by_annotation
        .annotations
        .insert("cdi.k8s.io/nvidia-device-plugin_1".to_owned(), names);
    assert_eq!(gpu(&node.created(&pod(), &by_annotation)), "2");
    let mut by_device = container(Vec::new());
    by_device.devices = ["/dev/nvidia3", "/dev/nvidiactl", "/dev/fuse"]
        .map(device)
        .into();
    assert_eq!(gpu(&node.created(&pod(), &by_device)), "1");
    let log = node.daemon.log();
    assert!(
        log.contains("device `/dev/fuse` belongs to this node"),
        "{log}"
    );
    assert!(!log.contains("device `/dev/nvidia3`"), "{log}");
}

#[test]
fn gpus_by_annotation() {
    let node = Node::new("");
    let annotated = |text: &str| {
        let mut pod = pod();
        pod.annotations
            .insert("interlink.eu/nvidia-gpus".to_owned(), text.to_owned());
        pod
    };
    for (text, want) in [
        ("4", json!("4")),
        ("main=1,side=2", json!("1")),
        ("side=2", Value::Null),
    ] {
        assert_eq!(
            gpu(&node.created(&annotated(text), &container(Vec::new()))),
            want,
            "{text}"
        );
    }
    let bad = interlink_cri::proto::RunPodSandboxRequest {
        config: MessageField::some(annotated("two")),
        ..Default::default()
    };
    let refused = node.cri().runtime.run_pod_sandbox(&bad, support::options());
    let (code, text) = support::code(refused);
    assert_eq!(code, RpcStatusCode::INVALID_ARGUMENT);
    assert!(
        text.contains("pod `lab/web`: annotation `interlink.eu/nvidia-gpus`: write"),
        "{text}"
    );
}

#[test]
fn other_resources_by_mapping() {
    let mapping =
        "[resources]\nextended = [{ name = 'example.com/fpga', devices = ['/dev/fpga*'], \
                   annotation = 'example.com/fpgas' }]";
    let node = Node::new(mapping);
    let mut config = container(Vec::new());
    for path in ["/dev/fpga0", "/dev/fpga1", "/dev/nvidia0"] {
        config.devices.push(Device {
            host_path: path.to_owned(),
            ..Default::default()
        });
    }
    let got = arrived(&node.created(&pod(), &config));
    let want = json!({"example.com/fpga": "2"});
    assert_eq!((&got["limits"], &got["requests"]), (&want, &want));
}

fn resize(id: &str, resources: LinuxContainerResources) -> UpdateContainerResourcesRequest {
    UpdateContainerResourcesRequest {
        container_id: id.to_owned(),
        linux: MessageField::some(resources),
        ..Default::default()
    }
}

#[test]
fn a_resize_before_submission() {
    let node = Node::new("[jobs]\nquiet_period = '3s'");
    let cri = node.cri();
    let sandbox = cri.run(&pod());
    let id = cri.launch(&sandbox, &with(figures(500, 500, 64 << 20)));
    // CPU and memory come in separate calls.
    let cpu = LinuxContainerResources {
        cpu_quota: 200_000,
        cpu_period: 100_000,
        cpu_shares: 2048,
        ..Default::default()
    };
    let memory = LinuxContainerResources {
        memory_limit_in_bytes: 1 << 30,
        ..Default::default()
    };
    for resources in [cpu, memory] {
        let request = resize(&id, resources);
        let done = cri
            .runtime
            .update_container_resources(&request, support::options());
        done.expect("resized");
    }
    let got = arrived(&node.fake.wait_for_requests("/create", 1)[0]);
    assert_eq!(
        got,
        json!({
            "limits": {"cpu": "2", "memory": "1Gi"},
            "requests": {"cpu": "2", "memory": "1Gi"},
        })
    );
}

#[test]
fn a_resize_after_submission() {
    let node = Node::new("");
    let cri = node.cri();
    let sandbox = cri.run(&pod());
    let id = cri.launch(&sandbox, &with(figures(500, 500, 64 << 20)));
    node.fake.wait_for_requests("/create", 1);
    node.fake.set_all(&JobState::Running);
    let request = resize(&id, figures(1000, 1000, 0));
    let refused = cri
        .runtime
        .update_container_resources(&request, support::options());
    let (code, text) = support::code(refused);
    assert_eq!(code, RpcStatusCode::FAILED_PRECONDITION);
    assert!(
        text.contains("a submitted job cannot be resized; recreate the pod"),
        "{text}"
    );
}
