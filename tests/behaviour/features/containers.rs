//! Containers: `docs/features.md`, section "Containers".

use std::collections::HashMap;

use grpcio::RpcStatusCode;
use interlink_cri::proto::{ContainerConfig, ImageStatusRequest, RunPodSandboxRequest, Signal};
use protobuf::MessageField;
use serde_json::{json, Value};

use super::kubelet::{container, pod, Node};
use crate::support;

#[test]
fn stop_signals() {
    let node = Node::new("");
    let cri = node.cri();
    let mut config = container(Vec::new());
    for (signal, name) in [
        (Signal::SIGNAL_SIGUSR1, json!("SIGUSR1")),
        (Signal::SIGNAL_SIGRTMINPLUS3, json!("SIGRTMIN+3")),
        (Signal::SIGNAL_RUNTIME_DEFAULT, Value::Null),
    ] {
        config.stop_signal = signal.into();
        let before = node.fake.requests("/create").len();
        let sandbox = cri.run(&pod());
        let id = cri.launch(&sandbox, &config);
        let created = node.fake.wait_for_requests("/create", before + 1);
        let spec = &created[before]["pod"]["spec"];
        assert_eq!(spec["containers"][0]["lifecycle"]["stopSignal"], name);
        // Without it Kubernetes takes no signal.
        let system = (!name.is_null()).then_some("linux");
        assert_eq!(spec["os"]["name"], json!(system));
        assert_eq!(cri.status(&id).stop_signal, signal.into());
        cri.remove_sandbox(&sandbox);
    }
}

fn of_image(reference: &str) -> ContainerConfig {
    let mut config = container(Vec::new());
    let image = config.image.mut_or_insert_default();
    image.image = reference.to_owned();
    image.user_specified_image.clear();
    config
}

#[test]
fn images_that_are_in_no_registry() {
    let others = [
        "/cvmfs/unpacked.cern.ch/registry.hub.docker.com/library/debian:stable",
        "docker://ghcr.io/a/b:1",
        "library://lolcow",
    ];
    for settings in [
        "[images]\nreferences = 'any'",
        "[interlink]\nplugin = 'slurm'",
    ] {
        let node = Node::new(settings);
        let cri = node.cri();
        for other in others {
            let created = node.created(&pod(), &of_image(other));
            assert_eq!(created["pod"]["spec"]["containers"][0]["image"], other);
            let request = ImageStatusRequest {
                image: of_image(other).image,
                ..Default::default()
            };
            let status = cri.images.image_status(&request, support::options());
            let image = status.expect("an answer").image;
            assert_eq!(image.repo_tags, [other]);
            assert!(image.id.starts_with("sha256:"), "{}", image.id);
        }
    }
    let node = Node::new("");
    let cri = node.cri();
    let request = ImageStatusRequest {
        image: of_image(others[0]).image,
        ..Default::default()
    };
    let refused = cri.images.image_status(&request, support::options());
    let (code, text) = support::code(refused);
    assert_eq!(code, RpcStatusCode::INVALID_ARGUMENT);
    assert!(text.contains("`images.references = \"any\"`"), "{text}");
}

#[test]
fn images_by_annotation() {
    let settings = "[images]\nreferences = 'any'\nannotation = 'interlink.eu/images'";
    let node = Node::new(settings);
    let annotated = |text: &str| {
        let mut pod = pod();
        let annotation = ("interlink.eu/images".to_owned(), text.to_owned());
        pod.annotations.extend(HashMap::from([annotation]));
        pod
    };
    let own = container(Vec::new()).image.image.clone();
    for (text, want) in [
        ("/cvmfs/debian", "/cvmfs/debian"),
        ("main=/cvmfs/debian, side=docker://b", "/cvmfs/debian"),
        ("side=/cvmfs/debian", own.as_str()),
    ] {
        let created = node.created(&annotated(text), &container(Vec::new()));
        let image = &created["pod"]["spec"]["containers"][0]["image"];
        assert_eq!(image, want, "{text}");
    }
    let bad = RunPodSandboxRequest {
        config: MessageField::some(annotated("main=/cvmfs/a;reboot")),
        ..Default::default()
    };
    let refused = node.cri().runtime.run_pod_sandbox(&bad, support::options());
    let (code, text) = support::code(refused);
    assert_eq!(code, RpcStatusCode::INVALID_ARGUMENT);
    assert!(
        text.contains("annotation `interlink.eu/images`: image reference"),
        "{text}"
    );
}
